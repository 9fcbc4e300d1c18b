"""What layers do to the terms of the objective and to their own promises, half-step by half-step."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np

import srr
from srr._arrays import quiet
from srr.layer import order_of
from verify.arrays import to_numpy
from verify.promises import Judgement, Promise, measuring, promises_of

Array = Any
Promises = Callable[[srr.Layer, srr.SparseRateReduction], tuple[Promise, ...]]

TERMS = {"R": "rate", "Rc": "compression", "dR": "rate_reduction", "l0": "l0", "l1": "l1", "loss": "loss"}
"""Short names of the objective's terms."""


@dataclass(frozen=True, eq=False)
class Step:
    """One half of one layer, or the whole of it.

    Attributes
    ----------
    index : int
        Of the layer, from 0.
    half : str
        ``"compress"``, ``"sparsify"`` or ``"layer"``.
    quantity : str
        What it promises not to raise.
    judgement : Judgement
        What became of that.
    terms : dict
        The objective's terms after it, in floating point.
    """

    index: int
    half: str
    quantity: str
    judgement: Judgement
    terms: dict[str, float]


@dataclass(frozen=True, eq=False)
class Trace:
    """Layers at work on one token set: the terms before them, and every step."""

    objective: srr.SparseRateReduction
    start: dict[str, float]
    steps: tuple[Step, ...]

    @property
    def halves(self) -> tuple[Step, ...]:
        """The half-steps, in order."""
        return tuple(step for step in self.steps if step.half != "layer")


def trace(
    layers: Iterable[srr.Layer],
    objective: srr.SparseRateReduction,
    Z: Array,
    *,
    promises: Promises = promises_of,
) -> Trace:
    """Unroll layers over tokens ``(n, d)`` and judge every promise on the way.

    Stops after the first half-step that returns tokens which are not finite.

    Raises
    ------
    TypeError, ValueError
        Z is no finite float array ``(n, d)``; whatever the layers raise.
    """
    steps: list[Step] = []
    start = terms(objective, Z)
    for index, layer in enumerate(layers):
        given = Z
        for half in order_of(layer):
            before = Z
            with quiet():  # what overflows is judged by what comes out
                Z = getattr(layer, half)(Z)
            found = _judged(index, half, layer, objective, promises, before, Z)
            steps += found
            if any(step.judgement.word == "not finite" for step in found):
                return Trace(objective, start, tuple(steps))
        steps += _judged(index, "layer", layer, objective, promises, given, Z)
    return Trace(objective, start, tuple(steps))


def _judged(
    index: int,
    half: str,
    layer: srr.Layer,
    objective: srr.SparseRateReduction,
    promises: Promises,
    before: Array,
    after: Array,
) -> list[Step]:
    values = terms(objective, after)
    return [
        Step(index, half, promise.quantity, promise.judge(before, after), values)
        for promise in promises(layer, objective)
        if promise.half == half
    ]


def terms(objective: srr.SparseRateReduction, Z: Array) -> dict[str, float]:
    """The objective's terms by their short names; NaN for tokens that are not finite."""
    if not np.isfinite(to_numpy(Z)).all():
        return dict.fromkeys(TERMS, float("nan"))
    with measuring():
        found = objective.terms(Z)
    return {short: float(to_numpy(getattr(found, name))) for short, name in TERMS.items()}
