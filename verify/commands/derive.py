"""``srr derive``: derivations, step by step."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from fnmatch import fnmatchcase
from pathlib import Path
from typing import TYPE_CHECKING, Any

from verify.usage import Flag

if TYPE_CHECKING:
    from derivations.proof import Derivation, Finding


def derive(
    *names: str,
    html: Path | None = None,
    latex: Path | None = None,
    json: Flag = False,
) -> int:
    """Derivations whose every step is checked by machine; without a name, the list of them.

    Parameters
    ----------
    names
        Derivations: names or patterns, as in `neumann-*`. With --html or --latex and no name, all of them.
    html
        Write them to this file as one HTML page.
    latex
        Write them to this file as an article that pdflatex compiles.
    json
        Print them as JSON.

    Returns
    -------
    int
        0; 1 if a step is not accepted.
    """
    import json as encoder
    import sys

    from derivations import catalogue
    from derivations.plain import statement, text
    from verify.output import require_writable, write_all
    from verify.usage import user_input

    with user_input():
        chosen = _select(catalogue(), names)
        for path, option in ((html, "--html"), (latex, "--latex")):
            if path is not None:
                require_writable(path, option)
    checked = [(d, d.check()) for d in chosen]
    write_all(_documents(chosen, html, latex))
    if json:
        described = [_described(d, findings) for d, findings in checked]
        sys.stdout.write(encoder.dumps(described, indent=2, ensure_ascii=False) + "\n")
    elif html is not None or latex is not None:
        print(f"Written: {', '.join(str(path) for path in (html, latex) if path is not None)}")
    elif names:
        print("\n\n".join(text(d, findings) for d, findings in checked))
    else:
        for d, _ in checked:
            print(f"{d.name}\n    {statement(d)}")
        print(f"\n{len(checked)} derivations, {sum(len(f) for _, f in checked)} steps.")
    return 0 if all(d.proves() for d in chosen) else 1


def _described(d: Derivation, findings: Sequence[Finding]) -> dict[str, Any]:
    """A derivation as plain data."""
    from derivations.plain import bounds, equation, shown, standing, statement
    from derivations.render import PLAIN, meanings

    return {
        "name": d.name,
        "title": d.title,
        "statement": statement(d),
        "hypotheses": [*d.hypotheses],
        "without_proof": [*d.without_proof],
        "where": dict(meanings(d.definitions, PLAIN)),
        "with": [equation(rule, d) for rule in (*d.defined, *d.assumptions)],
        "for": [bounds(given, PLAIN) for given in d.ranges],
        "source": d.source,
        "uses": [used.name for used in d.uses],
        "standing": standing(d, findings),
        "start": shown(d.left, d),
        "steps": [
            {
                "relation": PLAIN.relation(step.relation),
                "end": shown(step.end, d),
                "because": step.because,
                "rule": step.rule.name,
                "accepted": found.accepted,
                "means": found.means if found.accepted else found.reason,
            }
            for step, found in zip(d.steps, findings, strict=True)
        ],
        "remark": d.remark,
    }


def _select(found: Mapping[str, Derivation], names: Sequence[str]) -> Sequence[Derivation]:
    from verify.names import nearest

    chosen: dict[str, Derivation] = {}
    for pattern in names or ("*",):
        hits = [name for name in found if fnmatchcase(name, pattern)]
        if not hits:
            near = nearest(pattern.strip("*"), found)
            raise ValueError(f"NAMES must be derivations that `srr derive` lists, got {pattern!r}{near}")
        chosen |= {name: found[name] for name in hits}
    return list(chosen.values())


def _documents(chosen: Sequence[Derivation], html: Path | None, latex: Path | None) -> Iterator[tuple[Path, str]]:
    from derivations.article import article
    from derivations.page import page

    if html is not None:
        yield html, page(chosen)
    if latex is not None:
        yield latex, article(chosen)
