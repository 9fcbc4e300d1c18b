"""What ``srr verify --sabotage`` prints: every function with its wrong versions, and which claim noticed each."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict
from itertools import groupby

from rich.table import Table
from rich.text import Text

from verify.sabotage import EQUIVALENT, EXEMPT, Finding
from verify.terminal import page

STYLES = {"detected": "green", "no difference": "dim", "not called": "yellow", "undetected": "bold red"}


def show(found: Sequence[Finding]) -> None:
    """A table by function, and the sum."""
    with page() as console:
        for function, findings in groupby(found, key=lambda finding: finding.sabotage.function):
            console.print(Text(function, "bold"))
            table = Table(box=None, show_header=False, pad_edge=False, padding=(0, 1, 0, 2))
            table.add_column(no_wrap=True)
            table.add_column(overflow="fold")
            for finding in findings:
                table.add_row(finding.sabotage.fault, Text(_said(finding), STYLES[finding.outcome]))
            console.print(table)
        console.print()
        console.print(_sum(found))
        equivalent = {f"{each.function} with {each.fault}": reason for each, reason in EQUIVALENT.items()}
        for name, reason in (EXEMPT | equivalent).items():
            console.print(f"Left alone: {name}, for {reason}.", markup=False)


def to_json(found: Sequence[Finding]) -> str:
    """The same as JSON."""
    return json.dumps([asdict(finding) for finding in found], indent=2) + "\n"


def _said(finding: Finding) -> str:
    if finding.claim is not None:
        return f"{finding.claim} {finding.said}"
    if finding.outcome == "undetected":
        return f"undetected: {finding.said or f'none of {finding.asked} claims noticed'}"
    return finding.outcome


def _sum(found: Sequence[Finding]) -> str:
    tally = Counter(finding.outcome for finding in found)
    return (
        f"{len(found)} wrong versions: {tally['detected']} detected, {tally['undetected']} undetected; "
        f"{tally['no difference']} make no difference, {tally['not called']} not called."
    )
