"""Where a claim that holds under a condition ceases to hold."""

from __future__ import annotations

import heapq
import math
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Any

from verify.arrays import Arrays
from verify.case import Rejected, Replay, StaleWitness
from verify.figure import Figure, Points
from verify.ledger import Claim
from verify.results import Boundary, Pair, Side, plain
from verify.witness import Trial, attempt

STARTS = 2
"""Failing instances, those nearest to the condition, from which an edge is bisected."""
WIDTH = 1e-6
"""Where bisection stops, as a share of the parameter."""


def boundary(trials: Sequence[Trial], pair: Pair | None = None) -> Boundary | None:
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
        pair=pair,
    )


def bisected(claim: Claim, arrays: Arrays, trials: Sequence[Trial]) -> Pair | None:
    """The pair with the failure nearest to the condition, of those found by bisection from the nearest failures."""
    outside = [(t.where.value, t) for t in trials if t.failed and t.where is not None and t.where.along]
    pairs = [
        pair
        for _, failed in heapq.nsmallest(STARTS, outside, key=lambda place: place[0])
        if (pair := _bisected(claim, arrays, failed, trials)) is not None
    ]
    return min(pairs, key=lambda pair: (not pair.failed.certified, pair.failed.value), default=None)


def _bisected(claim: Claim, arrays: Arrays, failed: Trial, trials: Sequence[Trial]) -> Pair | None:
    along = failed.where.along

    def at(value: Any) -> Trial | None:
        with suppress(Rejected, StaleWitness):  # near the edge there may be nothing that rounding lets one see
            return attempt(claim, Replay({**failed.params, along: value}), arrays)
        return None

    inside = sorted({t.params[along] for t in trials if t.inside and t.outcome.holds and along in t.params})
    partners = map(at, dict.fromkeys(inside[i * (len(inside) - 1) // 4] for i in range(5) if inside))
    held = next((t for t in partners if t is not None and t.outcome.holds), None)
    if held is None:
        return None
    # First the least that fails, then the most that holds beside it: what is undecided lies between them.
    failed = _pushed(at, held, failed, along, lambda t: t.failed)
    held = _pushed(at, failed, held, along, lambda t: t.outcome.holds is True)
    return Pair(along, *(Side(plain(t.params), t.where.value, t.outcome.certified) for t in (held, failed)))


def _pushed(
    at: Callable[[Any], Trial | None], wall: Trial, trial: Trial, along: str, like: Callable[[Trial], bool]
) -> Trial:
    """``trial`` moved towards ``wall`` as far as its like is found."""
    end, here = wall.params[along], trial.params[along]
    while True:
        whole = isinstance(here, int)
        middle = (end + here) // 2 if whole else math.sqrt(end * here) if end * here > 0 else (end + here) / 2
        if middle in (end, here) or (not whole and abs(end - here) <= WIDTH * max(abs(end), abs(here))):
            return trial
        found = at(middle)
        if found is not None and like(found):
            trial, here = found, middle
        else:
            end = middle


def strip(trials: Sequence[Trial], pair: Pair | None = None) -> Figure:
    """Every instance at its value of the condition, those that hold above those that fail; where the edge was found."""
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
    edges = [(f"condition: below {where.bound:.4g}", where.bound)]
    if pair is not None and math.isfinite(pair.failed.value):
        edges.append((f"bisected: fails at {pair.failed.value:.6g}", pair.failed.value))
    return Figure(
        title="Instances inside and outside the condition",
        x_label=where.name,
        y_label="",
        points=tuple(p for p in points if p.x),
        edges=tuple(edges),
        x_log=0 < len(positive) == len(seen) and where.bound > 0 and max(positive) > 50 * min(positive),
        y_ticks=tuple((name, row) for name, (_, row) in rows.items() if any(p.label == name and p.x for p in points)),
        caption=f"{len(placed)} instances"
        + (f", of which {beyond} at an infinite value are not shown." if beyond else "."),
    )
