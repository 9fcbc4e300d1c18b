"""The ledger in a terminal: words first, colour second, 80 columns, plain text when piped."""

from __future__ import annotations

from pathlib import Path

from rich.console import Console
from rich.table import Table
from rich.text import Text

from verify.ledger import HOLDS, HOLDS_UNDER, REFUTED, Claim, Ledger, Verdict, by_origin
from verify.results import Result, Run, Witness
from verify.terminal import page

STYLE = {
    Verdict.HOLDS: "green",
    Verdict.HOLDS_UNDER: "cyan",
    Verdict.REFUTED: "magenta",
    Verdict.UNDECIDED: "yellow",
    Verdict.ERROR: "bold red",
}


def print_run(ledger: Ledger, run: Run, out: Path) -> None:
    """The table, what differs from the expected verdicts, and the sum."""
    table = Table(box=None, pad_edge=False, padding=(0, 1, 0, 0), header_style="dim", title_justify="left")
    for heading in ("Verdict", "Evidence", "Held"):
        table.add_column(heading, no_wrap=True)
    table.add_column("Claim", overflow="fold")
    for result in run.results:
        table.add_row(
            Text(result.verdict, STYLE[result.verdict]),
            result.evidence or "–",
            held(result),
            Text(result.slug) if result.as_expected else Text(f"{result.slug} (!)", "bold"),
        )
    with page() as console:
        console.print(table)
        for result in run.results:
            if not result.as_expected:
                print_difference(console, ledger[result.slug], result)
        console.print()
        console.print(summary(ledger, run))
        console.print(f"Report: {out / 'index.html'}", soft_wrap=True)


def held(result: Result) -> str:
    """How many of the accepted instances hold; of those inside, where the claim holds under a condition."""
    if result.verdict == HOLDS_UNDER and result.boundary is not None:
        return f"{result.boundary.inside}/{result.boundary.inside}"
    return f"{result.counts.held}/{result.counts.accepted}" if result.counts.accepted else "–"


def print_difference(console: Console, claim: Claim, result: Result) -> None:
    """One claim whose verdict is not the expected one: what was found, and what to do next."""
    console.print()
    console.print(Text(f"(!) {result.slug}: expected {result.expected}, found {result.verdict}", "bold"))
    if result.message:
        console.print(f"    {result.message}", soft_wrap=True, markup=False)
    if result.witness is not None and result.verdict == REFUTED:
        console.print(f"    smallest counterexample: {parameters(result.witness)}", soft_wrap=True, markup=False)
        console.print(f"    replay it: srr show {claim.slug} --replay", soft_wrap=True)
    console.print(f"    read the check: {claim.file}:{claim.line}", soft_wrap=True)


def parameters(witness: Witness) -> str:
    """The parameters of a counterexample in one line."""
    return ", ".join(f"{name} = {value}" for name, value in witness.params.items())


def summary(ledger: Ledger, run: Run) -> str:
    """The sum in one or two sentences."""
    tally = run.tally()
    words = {
        HOLDS: "hold",
        HOLDS_UNDER: "hold under a condition",
        REFUTED: f"refuted ({by_origin(ledger[r.slug] for r in run.results if r.verdict == REFUTED)})",
        Verdict.UNDECIDED: "undecided",
        Verdict.ERROR: "in error",
    }
    parts = [f"{number} {words[verdict]}" for verdict, number in tally.items() if number]
    differing = sum(not r.as_expected for r in run.results)
    verdict = "All as expected." if not differing else f"{differing} not as expected (!)."
    claims = "1 claim" if len(run.results) == 1 else f"{len(run.results)} claims"
    return f"{claims}: {', '.join(parts)}. {verdict}"
