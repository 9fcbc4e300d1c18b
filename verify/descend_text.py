"""What ``srr descend`` prints: 80 columns, words first, colour second; or JSON."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path

from rich.table import Table
from rich.text import Text

from verify.decide import Decision
from verify.layer_families import FAMILIES
from verify.problem import Problem
from verify.results import plain
from verify.terminal import page
from verify.trace import TERMS, Step, Trace

STYLES = {"fell": "green", "level": "green", "rounding": "green", "undecided": "yellow"}


def show(problem: Problem, trace: Trace, figure: Path | None) -> None:
    """Print the table of a trace and what came of each promise."""
    with page() as console:
        console.print(f"Tokens  {problem.tokens_said}", markup=False)
        console.print(f"Bases   {problem.bases_said}", markup=False)
        console.print(f"Layers  {_layers_said(problem)}", markup=False)
        console.print()
        console.print(_table(trace))
        console.print()
        for promise in _promised(trace):
            console.print(_sum([step for step in trace.steps if (step.half, step.quantity) == promise]))
        if figure is not None:
            console.print(f"Figure  {figure}", markup=False, soft_wrap=True)


def to_json(problem: Problem, trace: Trace) -> str:
    """The same as JSON."""
    K, d, p = problem.objective.U.shape
    data = {
        "tokens": problem.tokens_said,
        "bases": problem.bases_said,
        "family": problem.choice.family,
        "pre_norm": problem.choice.pre_norm,
        "objective": {"K": K, "d": d, "p": p, "eps": problem.objective.eps, "lam": problem.objective.lam},
        "start": trace.start,
        "steps": [_step_data(step) for step in trace.steps],
    }
    return json.dumps(plain(data), indent=2) + "\n"


def _step_data(step: Step) -> dict:
    decision = step.judgement.decision
    return {
        "layer": step.index + 1,
        "half": step.half,
        "terms": step.terms,
        "must_not_raise": step.quantity,
        "verdict": step.judgement.word,
        "change": None if decision is None else [decision.lower, decision.upper],
        "method": None if decision is None else decision.method,
    }


def _layers_said(problem: Problem) -> str:
    choice = problem.choice
    norm = ", LayerNorm before each half" if choice.pre_norm else ""
    sphere = ", tokens of norm 1" if FAMILIES[choice.family].labelled else ""
    return f"{len(problem.layers)} x {choice.family}{norm}{sphere}, eps={choice.eps:g} lam={choice.lam:g}"


def _table(trace: Trace) -> Table:
    table = Table(box=None, pad_edge=False, padding=(0, 1, 0, 0), header_style="dim")
    table.add_column("layer", justify="right")
    table.add_column("half")
    for term in TERMS:
        table.add_column(term, justify="right")
    table.add_column("must fall")
    table.add_column("by", justify="right")
    table.add_column("")
    table.add_row("", "", *_numbers(trace.start), "", "", "")
    last = None
    for step in trace.halves:
        decision = step.judgement.decision
        change = "" if decision is None else _signed(decision)
        table.add_row(
            "" if step.index == last else str(step.index + 1),
            step.half,
            *_numbers(step.terms),
            Text(step.quantity),
            change,
            _word(step),
        )
        last = step.index
    return table


def _numbers(terms: dict[str, float]) -> list[str]:
    return [_short(f"{terms[term] + 0.0:.4g}") for term in TERMS]  # 0.0: no -0


def _short(number: str) -> str:
    return number if len(number) <= 7 or "e" not in number else f"{float(number):.0e}"


def _signed(decision: Decision) -> str:
    change = decision.midpoint
    if decision.sign and not change:
        return "<5e-324" if decision.sign > 0 else ">-5e-324"
    return ("+" if change > 0 else "") + _short(f"{change:.3g}")


def _word(step: Step) -> Text:
    return Text(step.judgement.word, STYLES.get(step.judgement.word, "red"))


def _promised(trace: Trace) -> list[tuple[str, str]]:
    # Halves and quantities as they first come; the whole layer last.
    found = dict.fromkeys((step.half, step.quantity) for step in trace.steps)
    return sorted(found, key=lambda promise: promise[0] == "layer")


def _sum(steps: list[Step]) -> Text:
    found = Counter(step.judgement.word for step in steps)
    said = ", ".join(f"{word} {number}" for word, number in found.most_common())
    text = Text(f"{steps[0].half:<9}{steps[0].quantity:<13} {said} of {len(steps)}")
    broken = [step for step in steps if step.judgement.broken]
    if broken:
        text.append(f"; first in layer {broken[0].index + 1}")
    return text
