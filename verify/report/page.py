"""From a run to a page."""

from __future__ import annotations

import ast
import math
import re
from collections.abc import Iterable
from functools import cache
from html import escape
from importlib.metadata import PackageNotFoundError, metadata
from itertools import groupby
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from derivations.mathml import mathml
from verify.figure import Figure, inline
from verify.findings import HALVES, findings, in_words
from verify.ledger import ASKED_HERE, HOLDS, HOLDS_UNDER, REFUTED, Claim, Evidence, Ledger, Verdict, by_origin
from verify.notation import NOTATION, WORKS
from verify.results import Result, Run
from verify.workers import run_jobs

MARKS = {
    Verdict.HOLDS: "✓",
    Verdict.HOLDS_UNDER: "◐",
    Verdict.REFUTED: "✗",
    Verdict.UNDECIDED: "?",
    Verdict.ERROR: "!",
}
"""A sign beside each verdict word, so that nothing is told by colour alone."""
NONE = "none"
"""In place of the kind of evidence, where there is no evidence."""
FEW = 20
"""Derivations that one process checks at a time."""
DERIVED = "derived here"
"""In place of a work, where a claim cites none and is no question of the ledger."""


def render(ledger: Ledger, run: Run, *, jobs: int = 1) -> str:
    """The report as one HTML text: no clock, no network, nothing beside it that it needs, so it can be sent.

    The derivations are checked again, in ``jobs`` processes.
    """
    claims = {c.slug: c for c in ledger}
    entries = [(claims[r.slug], r) for r in run.results]
    themes = list(dict.fromkeys(c.theme for c, _ in entries))
    results = {r.slug: r for r in run.results}
    found = findings(results)
    sources = [work for work in (*WORKS, DERIVED, ASKED_HERE) if any(work in works(c) for c, _ in entries)]
    return template("page.html").render(
        run=run,
        notation=NOTATION,
        findings=found,
        findings_said=in_words(found),
        halves=HALVES,
        verdicts=[v for v, number in run.tally().items() if number],
        evidence=[e for e in (*Evidence, NONE) if any((r.evidence or NONE) == e for r in run.results)],
        themes=themes,
        sources=sources,
        cited={c.slug: " ".join(str(1 + sources.index(work)) for work in works(c)) for c, _ in entries},
        figures=_figures(run),
        themed=[(theme, list(group)) for theme, group in groupby(entries, lambda entry: entry[0].theme)],
        table=[(theme, _tally(r for c, r in entries if c.theme == theme)) for theme in themes],
        refuted=by_origin(c for c, r in entries if r.verdict == REFUTED),
        differing=[r for r in run.results if not r.as_expected],
        results=results,
        derivations=_derivations((c for c, _ in entries), jobs),
        derived=_derived(c for c, _ in entries),
        premises={c.slug: _premises(c) for c, _ in entries},
    )


def number(value: float | None, digits: int = 3) -> str:
    """A few significant digits, in words where there are none."""
    if value is None:
        return "–"
    if math.isnan(value):
        return "not a number"
    return "∞" if math.isinf(value) else f"{value:.{digits}g}"


def shown(value: Any) -> str:
    """What a check says beside a counterexample: numbers in six digits."""
    if isinstance(value, list):
        return f"[{', '.join(map(shown, value))}]"
    return number(value, 6) if isinstance(value, float) else str(value)


def percent(share: float) -> str:
    """A share in per cent, two significant digits."""
    return f"{100 * share:.2g} %"


def standing(result: Result) -> str:
    """How many instances stand behind the verdict, in words."""
    counts, edge = result.counts, result.boundary
    if not counts.accepted:
        return "no instance judged"
    if result.verdict == HOLDS_UNDER and edge is not None:
        outside = f"{edge.failed_outside} of {edge.outside} outside fail"
        return f"all {edge.inside} instances inside the condition hold; {outside}"
    if result.verdict == HOLDS:
        return f"all {counts.held} instances hold"
    if result.verdict == REFUTED:
        return f"{counts.failed} of {counts.accepted} instances fail"
    return f"{counts.held} hold, {counts.failed} fail, {counts.undecided} undecided"


def tally(result: Result) -> str:
    """How many of the instances hold that a verdict is about, in two numbers; empty where none was judged."""
    if result.verdict == HOLDS_UNDER and result.boundary is not None:
        return f"{result.boundary.inside} of {result.boundary.inside}"
    return f"{result.counts.held} of {result.counts.accepted}" if result.counts.accepted else ""


def works(claim: Claim) -> list[str]:
    """The works that a claim cites, as filters name them."""
    cited = [work for work in WORKS if work in claim.source]
    return [*cited, ASKED_HERE] if claim.asked_here else cited or [DERIVED]


def place(claim: Claim) -> str:
    """Where the check is written, as one would say it: package path and line."""
    return f"{claim.check.__module__.replace('.', '/')}.py:{claim.line}"


def body(claim: Claim) -> str:
    """The check as written, but for what the page says of it already: its decorator and its docstring."""
    lines = claim.code.splitlines()
    (function,) = ast.parse(claim.code).body
    assert isinstance(function, ast.FunctionDef)
    if claim.note:
        told = function.body[0]
        del lines[told.lineno - 1 : told.end_lineno]
    return "\n".join(lines[function.lineno - 1 :])


def link(claim: Claim) -> str:
    """The same in the repository that the metadata of srr name as ``Source``; empty where they name none.

    The URL there is that of a folder of files, as in ``https://…/blob/v0.1.0``.
    """
    base = source()
    return f"{base}/{place(claim).replace(':', '#L')}" if base else ""


def source() -> str:
    """The URL in the metadata under which the files of srr are shown, or nothing."""
    try:
        urls = metadata("srr").get_all("Project-URL") or []
    except PackageNotFoundError:
        return ""
    named = dict(url.split(", ", 1) for url in urls)
    return named.get("Source", "").rstrip("/")


def words(text: str) -> Markup:
    """Text in which what stands in backticks is code."""
    return Markup(re.sub(r"`+([^`]+)`+", r"<code>\1</code>", escape(text, quote=False)))


def code(text: str) -> Markup:
    """Text between tags, where quotation marks need no escape."""
    return Markup(escape(text, quote=False))


def _derivations(claims: Iterable[Claim], jobs: int) -> Markup | str:
    """The sections of the derivations that prove claims or stand behind them, and of those that these use."""
    names = dict.fromkeys(name for c in claims for name in (*c.proof, *c.derivations))
    if not names:
        return ""
    from derivations import catalogue
    from derivations.page import with_uses

    every = tuple(d.name for d in with_uses(catalogue()[name] for name in names))
    if jobs == 1 or len(every) < FEW:
        return _sections(every)
    parts = [every[start : start + FEW] for start in range(0, len(every), FEW)]
    found = {done.job: done for done in run_jobs(_sections, (), parts, workers=jobs, timeout=600)}
    if problems := [done.problem for done in found.values() if done.problem is not None]:
        raise RuntimeError(problems[0])
    return Markup("").join(found[part].value for part in parts)


def _sections(names: tuple[str, ...]) -> Markup:
    from derivations import catalogue
    from derivations.page import sections

    return sections([catalogue()[name] for name in names])


def _derived(claims: Iterable[Claim]) -> dict[str, Markup]:
    """What the derivations of claims say, to be read beside the claims' own statements."""
    names = dict.fromkeys(name for c in claims for name in (*c.proof, *c.derivations))
    if not names:
        return {}
    from derivations import catalogue
    from derivations.page import prose
    from derivations.plain import statement

    return {name: prose(statement(catalogue()[name])) for name in names}


def _premises(claim: Claim) -> list[Markup]:
    """Facts from outside on which the derivations that prove it rest."""
    if not claim.proof:
        return []
    from derivations import catalogue
    from derivations.page import prose
    from derivations.plain import premises

    return [prose(premise) for premise in premises(catalogue()[name] for name in claim.proof)]


def _figures(run: Run) -> dict[str, list[tuple[Figure, str, str]]]:
    """Of each claim its figures: each with its drawing, and the claim that it stands with, the first that it shows."""
    first: dict[Figure, str] = {}
    drawn: dict[Figure, str] = {}
    for result in run.results:
        for figure in result.figures:
            first.setdefault(figure, result.slug)
            if figure not in drawn:
                drawn[figure] = inline(figure, f"f{len(drawn)}")  # a short name, as every mark in it bears it
    return {r.slug: [(figure, drawn[figure], first[figure]) for figure in r.figures] for r in run.results}


def _tally(results: Any) -> dict[Verdict, int]:
    found = [r.verdict for r in results]
    return {v: found.count(v) for v in Verdict}


@cache
def template(name: str, *folders: Path) -> Any:
    """A template of a page, from these folders or from this one: all pages have the look of ``base.html``."""
    environment = Environment(
        loader=FileSystemLoader([*folders, Path(__file__).parent]),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    filters = (mathml, number, shown, percent, standing, tally, place, body, link, words, code)
    environment.filters.update({function.__name__: function for function in filters})
    environment.globals.update(MARKS=MARKS, REFUTED=REFUTED)
    return environment.get_template(name)
