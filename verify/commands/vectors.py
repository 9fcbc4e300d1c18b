"""``srr vectors``: conformance vectors for implementers in any language, and the check of what they computed."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from cyclopts import App, Parameter

from verify.usage import Flag, Patterns

if TYPE_CHECKING:
    from verify.vectors_check import Checked

SHOWN = 12
"""Vectors of one verdict that are told one by one."""

vectors = App(name="vectors", help="Conformance vectors: export them, and check what a program made of them.")


@vectors.command
def export(dir: Path, *, kind: Patterns = (), realistic: Flag = False) -> int:
    """Write conformance vectors into a folder; its README.md says what they are and how to use them.

    Whoever exports them, and wherever, the files are the same to the last byte.

    Parameters
    ----------
    dir
        The folder, new or of an earlier export.
    kind
        Kinds of operators, such as `attention`; all by default.
    realistic
        Also tokens of dimension 768, and those of dimension 384 in every format: some hundred megabytes.

    Returns
    -------
    int
        0.
    """
    from verify.bounded import PRECISIONS
    from verify.forms import KINDS
    from verify.output import require_writable
    from verify.terminal import progress
    from verify.usage import user_input
    from verify.vectors import export as write

    with user_input():
        require_writable(dir, "DIR", folder=True)
        with progress(len(kind or KINDS) * len(PRECISIONS), "vectors") as step:
            count, size = write(dir, kind, realistic=realistic, progress=step)
    print(f"{count} vectors, {size / 1e6:.1f} MB: {dir}")
    return 0


@vectors.command
def check(
    dir: Path, *, results: Annotated[Path | None, Parameter(show_default=False)] = None, json: Flag = False
) -> int:
    """Check the results that a program wrote for the vectors of a folder.

    Parameters
    ----------
    dir
        A folder of vectors.
    results
        A folder of safetensors files; DIR/results by default.
    json
        Print what was found as JSON.

    Returns
    -------
    int
        0 if every result is there and within its bound, 1 if not.
    """
    from json import dumps

    from verify.usage import user_input
    from verify.vectors_check import check as compare

    with user_input():
        found = compare(dir, results)
    if json:
        print(dumps(found.to_dict(), indent=1))
    else:
        _tell(found)
    return int(not found.passes)


def _tell(found: Checked) -> None:
    from verify.terminal import page

    with page() as console:
        for verdict in ("outside", "shape", "missing"):
            mine = [finding for finding in found.findings if finding.verdict == verdict]
            for finding in mine[:SHOWN]:
                console.print(f"{verdict.upper()}: {finding.vector.name}", markup=False)
                console.print(f"    {finding}", markup=False)
            if len(mine) > SHOWN:
                console.print(f"{verdict.upper()}: {len(mine) - SHOWN} more")
        for form, lines in found.forms.items():
            console.print(f"\n{form}: what was computed", markup=False)
            for line in lines:
                console.print(f"    {line}", markup=False)
        if found.unknown:
            console.print(f"\n{len(found.unknown)} results under names that no vector has, such as {found.unknown[0]}")
        counts = {v: sum(f.verdict == v for f in found.findings) for v in ("within", "outside", "shape", "missing")}
        said = {"within": "within", "outside": "outside", "shape": "of another shape", "missing": "missing"}
        console.print(
            f"{len(found.findings)} vectors: " + ", ".join(f"{n} {said[v]}" for v, n in counts.items() if n),
            markup=False,
        )
