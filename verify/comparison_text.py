"""A cross-check as text: operators that were found to be the same thing are told once."""

from __future__ import annotations

from collections.abc import Iterator

from rich.console import RenderableType
from rich.padding import Padding
from rich.text import Text

from verify.comparison import CrossCheck, Finding

MARKS = {
    "known": "known",
    "other": "ANOTHER FORM",
    "departs": "DEPARTS",
    "unknown": "UNKNOWN",
    "undecided": "undecided",
}


def rendered(check: CrossCheck) -> Iterator[RenderableType]:
    """Everything to print."""
    if check.layout:
        yield Text(f"{check.target}, in the layout {check.layout}")
        yield Text("")
    groups = _alike(check)
    for names, finding in groups:
        if finding.match.kind == "passed_on" and finding.match.passes:
            continue
        yield Text(f"{MARKS[finding.match.verdict]}: {_listed(names)}")
        for line in finding.lines():
            indent = 4 + len(line) - len(line.lstrip())
            yield Padding(Text(line.lstrip()), (0, 0, 0, indent))
        yield Text("")
    wires = sum(len(names) for names, f in groups if f.match.kind == "passed_on" and f.match.passes)
    if wires:
        yield Text(f"Between submodules tokens are passed on as they are, in {_count(wires, 'place')}.")
    off = [name for name, within in check.own_precision.items() if not within]
    if off:
        yield Text(f"In its own precision rounding does not explain what these give: {_listed(off)}")
    elif check.own_precision:
        yield Text("In its own precision too, each is within the bound on rounding of that form.")
    if check.not_judged:
        yield Text(f"Not judged, outside the layers: {', '.join(check.not_judged)}.")
    counts = {verdict: sum(f.match.verdict == verdict for f in check.findings) for verdict in MARKS}
    said = {
        "known": "known",
        "other": "of another form",
        "departs": "departing",
        "unknown": "unknown",
        "undecided": "undecided",
    }
    yield Text(
        f"{_count(len(check.findings), 'operator')}: " + ", ".join(f"{n} {said[v]}" for v, n in counts.items() if n)
    )


def _count(n: int, what: str) -> str:
    return f"{n} {what}" if n == 1 else f"{n} {what}s"


def _alike(check: CrossCheck) -> list[tuple[list[str], Finding]]:
    groups: dict[tuple[object, ...], tuple[list[str], Finding]] = {}
    for finding in check.findings:
        found = finding.match
        key = (
            found.kind,
            found.verdict,
            found.form,
            found.nearest.name,
            found.precision,
            finding.overflows > 0,
            tuple(found.constants.items()),
        )
        groups.setdefault(key, ([], finding))[0].append(finding.operator)
    return list(groups.values())


def _listed(names: list[str]) -> str:
    if len(names) <= 2:
        return ", ".join(names)
    return f"{names[0]}, {names[1]} and {len(names) - 2} more"
