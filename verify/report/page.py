"""From a run to a page."""

from __future__ import annotations

import math
from collections.abc import Iterable
from functools import cache
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from derivations.mathml import mathml
from verify.figure import Figure, inline
from verify.ledger import HOLDS, HOLDS_UNDER, REFUTED, Claim, Ledger, Verdict, by_origin
from verify.notation import NOTATION
from verify.results import Result, Run

MARKS = {
    Verdict.HOLDS: "✓",
    Verdict.HOLDS_UNDER: "◐",
    Verdict.REFUTED: "✗",
    Verdict.UNDECIDED: "?",
    Verdict.ERROR: "!",
}
"""A sign beside each verdict word, so that nothing is told by colour alone."""


def render(ledger: Ledger, run: Run) -> str:
    """The report as one HTML text: no clock, no network, and no link that leads out of it, so it can be sent."""
    claims = {c.slug: c for c in ledger}
    entries = [(claims[r.slug], r) for r in run.results]
    themes = list(dict.fromkeys(c.theme for c, _ in entries))
    return _template().render(
        run=run,
        notation=NOTATION,
        entries=entries,
        verdicts=[v for v, number in run.tally().items() if number],
        themes=themes,
        table=[(theme, _tally(r for c, r in entries if c.theme == theme)) for theme in themes],
        refuted=by_origin(c for c, r in entries if r.verdict == REFUTED),
        differing=[r for r in run.results if not r.as_expected],
        results={r.slug: r for r in run.results},
        derivations=_derivations(c for c, _ in entries),
        derived=_derived(c for c, _ in entries),
        premises={c.slug: _premises(c) for c, _ in entries},
        first=_first(r for _, r in entries),
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


def place(claim: Claim) -> str:
    """Where the check is written, as one would say it: package path and line."""
    return f"{claim.check.__module__.replace('.', '/')}.py:{claim.line}"


def _derivations(claims: Iterable[Claim]) -> str:
    """The sections of the derivations that prove claims or stand behind them, and of those that these use."""
    names = dict.fromkeys(name for c in claims for name in (*c.proof, *c.derivations))
    if not names:
        return ""
    from derivations import catalogue
    from derivations.page import sections, with_uses

    return sections(with_uses(catalogue()[name] for name in names))


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


def _first(results: Iterable[Result]) -> dict[Figure, str]:
    """The claim with which a figure is drawn, the first of those that it shows."""
    found: dict[Figure, str] = {}
    for result in results:
        for figure in result.figures:
            found.setdefault(figure, result.slug)
    return found


def _tally(results: Any) -> dict[Verdict, int]:
    found = [r.verdict for r in results]
    return {v: found.count(v) for v in Verdict}


@cache
def _template() -> Any:
    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.filters.update(
        mathml=mathml, inline=inline, number=number, shown=shown, percent=percent, standing=standing, place=place
    )
    environment.globals.update(MARKS=MARKS, REFUTED=REFUTED)
    return environment.get_template("page.html")
