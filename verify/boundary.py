"""Where a claim that holds under a condition ceases to hold."""

from __future__ import annotations

import math
from collections.abc import Sequence

from verify.figure import Figure, Points
from verify.results import Boundary
from verify.witness import Trial


def boundary(trials: Sequence[Trial]) -> Boundary | None:
    """Where a conditional claim was seen to hold and to fail."""
    placed = [(t, t.where) for t in trials if t.where is not None]
    if not placed:
        return None
    failed = [where.value for t, where in placed if t.failed]
    held = [where.value for t, where in placed if t.outcome.holds and where.value < min(failed, default=math.inf)]
    outside = [t for t, where in placed if not where.inside]
    return Boundary(
        name=placed[0][1].name,
        bound=placed[0][1].bound,
        inside=len(placed) - len(outside),
        outside=len(outside),
        failed_outside=sum(t.failed for t in outside),
        held_up_to=max(held, default=None),
        failed_from=min(failed, default=None),
    )


def strip(trials: Sequence[Trial]) -> Figure:
    """Every instance at its value of the condition, those that hold above those that fail."""
    placed = [(t, t.where) for t in trials if t.where is not None]
    seen = [(t, where.value) for t, where in placed if math.isfinite(where.value)]
    rows = {"fails": (False, 0.0), "undecided": (None, 0.5), "holds": (True, 1.0)}
    points = []
    for name, (holds, row) in rows.items():
        for certified in (True, False):
            values = [v for t, v in seen if (t.outcome.holds, t.outcome.certified) == (holds, certified)]
            heights = [row + 0.03 * (i % 9 - 4) for i in range(len(values))]  # so that equal values are seen
            points.append(Points(name, tuple(values), tuple(heights), certified, holds))
    positive = [v for _, v in seen if v > 0]
    where = placed[0][1]
    beyond = len(placed) - len(seen)
    return Figure(
        title="Instances inside and outside the condition",
        x_label=where.name,
        y_label="",
        points=tuple(p for p in points if p.x),
        edges=((f"condition: below {where.bound:.4g}", where.bound),),
        x_log=0 < len(positive) == len(seen) and where.bound > 0 and max(positive) > 50 * min(positive),
        y_ticks=tuple((name, row) for name, (_, row) in rows.items() if any(p.label == name and p.x for p in points)),
        caption=f"{len(placed)} instances"
        + (f", of which {beyond} at an infinite value are not shown." if beyond else "."),
    )
