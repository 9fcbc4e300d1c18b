"""A cross-check as text: operators that were found to be the same thing are told once."""

from __future__ import annotations

from collections.abc import Iterator

from rich.console import RenderableType
from rich.padding import Padding
from rich.text import Text

from verify.crosscheck import CrossCheck, Finding

MARKS = {
    "known": "known",
    "other": "ANOTHER FORM",
    "departs": "DEPARTS",
    "unknown": "UNKNOWN",
    "undecided": "undecided",
}


def rendered(check: CrossCheck) -> Iterator[RenderableType]:
    """Everything to print."""
    yield Text(f"{check.target}" + (f", in the layout {check.layout}" if check.layout else ""))
    yield Text("")
    for names, finding in _alike(check):
        yield Text(f"{MARKS[finding.match.verdict]}: {_listed(names)}")
        for line in finding.lines():
            indent = 4 + len(line) - len(line.lstrip())
            yield Padding(Text(line.lstrip()), (0, 0, 0, indent))
        yield Text("")
    off = [name for name, within in check.own_precision.items() if not within]
    if off:
        yield Text(f"In its own precision rounding does not explain what these give: {_listed(off)}")
    elif check.own_precision:
        yield Text("In its own precision too, each is within the bound on rounding of that form.")
    counts = {verdict: sum(f.match.verdict == verdict for f in check.findings) for verdict in MARKS}
    said = {
        "known": "known",
        "other": "of another form",
        "departs": "depart",
        "unknown": "unknown",
        "undecided": "undecided",
    }
    yield Text(f"{len(check.findings)} operators: " + ", ".join(f"{n} {said[v]}" for v, n in counts.items() if n))


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
            tuple(found.constants.items()),
        )
        groups.setdefault(key, ([], finding))[0].append(finding.operator)
    return list(groups.values())


def _listed(names: list[str]) -> str:
    if len(names) <= 2:
        return ", ".join(names)
    return f"{names[0]}, {names[1]} and {len(names) - 2} more"
