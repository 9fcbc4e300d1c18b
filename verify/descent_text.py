"""A `DescentReport` in a terminal and as JSON data."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from rich.console import RenderableType
from rich.table import Table
from rich.text import Text

import srr
from verify.arrays import to_numpy
from verify.descent import QUANTILES, DescentReport, Part
from verify.ledger import HOLDS, HOLDS_UNDER
from verify.results import plain

STYLES = {"holds": "green", "holds under": "yellow", "refuted": "red", "undecided": "magenta"}


def data(report: DescentReport) -> dict[str, Any]:
    """As JSON data."""
    return plain(
        {
            "verdict": report.verdict,
            "layer": report.layer,
            "instances": report.instances,
            "objective": _objective_data(report.objective),
            "parts": [_part_data(part) for part in report.parts],
            "quantiles": QUANTILES,
            "changes": report.changes,
        }
    )


def _objective_data(objective: srr.SparseRateReduction) -> dict[str, Any]:
    K, d, p = objective.U.shape
    return {"K": K, "d": d, "p": p, "eps": objective.eps, "lam": objective.lam}


def _part_data(part: Part) -> dict[str, Any]:
    witness = part.witness
    entry: dict[str, Any] = {
        "half": part.half,
        "quantity": part.quantity,
        "verdict": part.verdict,
        "counts": part.counts,
        "reproduces": part.reproduces,
        "boundaries": [{"held": edge.held, "broke": edge.broke} for edge in part.boundaries],
        "witness": None,
    }
    if witness is not None:
        decision = witness.judgement.decision
        entry["witness"] = {
            **_objective_data(witness.objective),
            "U": witness.objective.U,
            "tokens": witness.tokens,
            "before": witness.before,
            "after": witness.after,
            "change": None if decision is None else [decision.lower, decision.upper],
            "method": None if decision is None else decision.method,
        }
    return entry


def rendered(report: DescentReport) -> Iterator[RenderableType]:
    """For a rich console; at most 80 columns."""
    K, d, p = report.objective.U.shape
    yield (
        f"{_styled(report.verdict)}: {report.layer} on {report.instances} token sets, "
        f"K={K} d={d} p={p} eps={report.objective.eps:g} lam={report.objective.lam:g}"
    )
    yield _parts_table(report)
    yield ""
    yield _changes_table(report)
    for part in report.parts:
        if part.witness is not None:
            yield ""
            yield Text(_witness(part, report.objective))
    if report.verdict == HOLDS:
        yield ""
        share = 300 / report.instances
        yield f"No rise in {report.instances}: with 95 % confidence less than {share:.2g} % do."


def _styled(verdict: str) -> str:
    return f"[{STYLES[verdict]}]{verdict}[/]"


def _parts_table(report: DescentReport) -> Table:
    table = Table(box=None, pad_edge=False)
    for heading in ("half", "must not raise"):
        table.add_column(heading)
    for heading in ("fell", "level", "rounding", "rose"):
        table.add_column(heading, justify="right")
    table.add_column("verdict")
    for part in report.parts:
        counts = part.counts
        table.add_row(
            part.half,
            Text(part.quantity),
            str(counts["fell"]),
            str(counts["level"]),
            str(counts["rounding"]),
            str(counts["rose"] + counts["not finite"]),
            _styled(part.verdict),
        )
    return table


def _changes_table(report: DescentReport) -> Table:
    table = Table(box=None, pad_edge=False)
    for heading in ("half", "change of"):
        table.add_column(heading)
    for heading in ("least", "5 %", "median", "95 %", "most"):
        table.add_column(heading, justify="right")
    for half, terms in report.changes.items():
        for i, (term, quantiles) in enumerate(terms.items()):
            table.add_row(half if i == 0 else "", term, *(f"{q:+.4g}" for q in quantiles))
    return table


def _witness(part: Part, objective: srr.SparseRateReduction) -> str:
    witness = part.witness
    assert witness is not None
    decision = witness.judgement.decision
    who = "the layer" if part.half == "layer" else f"the {part.half} half"
    what = "returns no numbers" if decision is None else f"raises {part.quantity} by {decision.size}"
    rows = [("Z", witness.tokens), ("after", witness.after)]
    if part.half == "sparsify":
        rows.insert(1, ("before", witness.before))
    if witness.objective is not objective:
        rows.append(("U", witness.objective.U))
    found = "Outside the condition," if part.verdict == HOLDS_UNDER else "Smallest tokens found on which"
    lines = [f"{found} {who} {what}:"]
    for name, a in rows:
        lines.append(f"  {name:<7}" + _numbers(a).replace("\n", "\n         "))
    if witness.objective is not objective:
        lines.append(f"  eps    {witness.objective.eps:g}")
    if decision is not None:
        lines.append(f"  decided by {decision.method}")
    if not part.reproduces:
        lines += ["  On the same tokens again the layer returns something else:"]
        lines += ["  it must be a pure function of its tokens (no dropout, no state)."]
    if part.boundaries:
        edges = "; ".join(map(str, part.boundaries))
        lines += ["  With the instances scaled to one x = max_k λ_max(β Y_kᵀY_k):", f"  {edges}."]
    return "\n".join(lines)


def _numbers(a: Any) -> str:
    with np.printoptions(precision=5, linewidth=70, suppress=True, threshold=32):
        return str(to_numpy(a))
