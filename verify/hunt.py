"""A counterexample where no sample is one: hypothesis steered by the margin, then SciPy, uphill from the best."""

from __future__ import annotations

import heapq
from collections.abc import Callable, Sequence
from contextlib import suppress

import numpy as np

from verify.arrays import Arrays
from verify.case import Vary
from verify.climb import STARTS, Found, climbed
from verify.ledger import Claim
from verify.witness import Trial, attempt, drawn


def hunt(
    claim: Claim, arrays: Arrays, trials: Sequence[Trial], *, refutes: Callable[[Trial], bool], budget: int
) -> Trial | None:
    """An instance that refutes; None if ``budget`` evaluations find none.

    A third of them are drawn by hypothesis; the others climb, half of these from the best of all instances seen.
    """
    seen = list(trials)

    def found(trial: Trial) -> bool:
        seen.append(trial)
        return refutes(trial)

    drawn(claim, arrays, found, budget=budget // 3, climb=True)
    if refutes(seen[-1]):
        return seen[-1]
    left = budget - budget // 3
    for start in heapq.nlargest(STARTS, filter(lambda t: t.climbs, seen), key=lambda t: t.outcome.margin):
        if (top := _climbed(claim, arrays, start, refutes, left // 2)) is not None:
            return top
        left -= left // 2
    return None


def _climbed(claim: Claim, arrays: Arrays, start: Trial, refutes: Callable[[Trial], bool], budget: int) -> Trial | None:
    driver = Vary(start.params)
    attempt(claim, driver, arrays)

    def at(point: np.ndarray) -> float:
        with suppress(Exception):  # outside the hypotheses, or an error, which is no counterexample
            trial = attempt(claim, Vary(start.params, point.tolist()), arrays)
            if refutes(trial):
                raise Found(trial)
            if trial.climbs:
                return trial.outcome.margin
        return -np.inf

    return climbed(at, np.array(driver.start), budget=budget)
