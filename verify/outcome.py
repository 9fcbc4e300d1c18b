"""What one instance of a claim says: did the relation hold, and how close was it?

Numerical relations are judged by LAPACK's normalised residual: the violation over ``size * u * scale``,
against one threshold, 30, for all sizes and dtypes (Anderson et al., LAPACK Working Note 41, section 6).
``scale`` is the sum of the absolute values of the terms that were added up, so a claim about a cancelling
difference is given the rounding error that it really has and no more.
"""

from __future__ import annotations

import math
import operator
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from verify.arrays import to_numpy, unit_roundoff

THRESHOLD = 30.0
"""LAPACK's threshold for a normalised residual."""


@dataclass(frozen=True)
class Outcome:
    """The answer of one instance.

    Attributes
    ----------
    holds
        True, False, or None where the instance could not be decided.
    ratio
        The residual over what rounding explains; at most 1 where the relation holds. None where nothing was
        rounded.
    certified
        Whether a rigorous enclosure, or exact arithmetic, decided it.
    data
        Numbers worth showing beside a counterexample.
    margin
        How far the relation is from holding, positive where it fails, in units of the claim's own: what a search
        for counterexamples climbs. No part of the answer; None where there is no more than yes or no.
    """

    holds: bool | None
    ratio: float | None = None
    certified: bool = False
    data: Mapping[str, Any] = field(default_factory=dict)
    margin: float | None = field(default=None, compare=False)

    def __bool__(self) -> bool:
        raise TypeError("an Outcome may be undecided and has no truth value; read .holds")


def equal(a: Any, b: Any, *, size: float, scale: Any, **data: Any) -> Outcome:
    """``a = b`` to rounding: max |a − b| / scale ≤ 30 · size · u.

    Parameters
    ----------
    a, b
        Arrays of one shape, or numbers. u is the coarser unit roundoff of the two; Python numbers count as
        float64.
    size
        The dimension over which errors add up: the longest sum or the matrix order, in most cases.
    scale
        The sum of the absolute terms, in the unit of ``a``: a number or an array that broadcasts against it.
    data
        Numbers worth showing beside a counterexample.
    """
    return _residual(np.abs(_difference(a, b)), unit_roundoff(a, b), size, scale, data)


def at_most(a: Any, b: Any, *, size: float, scale: Any, **data: Any) -> Outcome:
    """``a ≤ b`` to rounding: max (a − b) / scale ≤ 30 · size · u. Parameters as in `equal`."""
    return _residual(_difference(a, b), unit_roundoff(a, b), size, scale, data)


def decided(decision: Any, relation: str = "<=", **data: Any) -> Outcome:
    """The sign of a difference, decided with proof, put against zero.

    Parameters
    ----------
    decision
        What has a ``sign`` (−1, 0, 1, or None when undecided) and perhaps ``lower`` and ``upper``, as
        `verify.decide` returns; or such a sign itself.
    relation
        ``"<="``, ``"<"``, ``"=="``, ``">="`` or ``">"``: how the difference is claimed to stand to zero.
    """
    relations = {"<=": operator.le, "<": operator.lt, "==": operator.eq, ">=": operator.ge, ">": operator.gt}
    if relation not in relations:
        raise ValueError(f"relation must be one of {', '.join(relations)}, got {relation!r}")
    sign = getattr(decision, "sign", decision)
    if sign not in (-1, 0, 1, None):
        raise ValueError(f"decision must have a sign -1, 0, 1 or None, got {sign!r}")
    ends = {"difference at least": "lower", "difference at most": "upper"}
    low, high = getattr(decision, "lower", sign), getattr(decision, "upper", sign)
    middle = None if low is None else low / 2 + high / 2
    margins = {"<=": 1, "<": 1, "==": math.copysign(1, middle or 0), ">=": -1, ">": -1}
    shown = {says: getattr(decision, end) for says, end in ends.items() if hasattr(decision, end)}
    return Outcome(
        holds=None if sign is None else bool(relations[relation](sign, 0)),
        certified=sign is not None,
        data={**shown, **data},
        margin=None if middle is None else margins[relation] * middle,
    )


def exactly(holds: bool | None, **data: Any) -> Outcome:
    """A relation that was decided without rounding: integers, rationals, shapes."""
    return Outcome(holds=None if holds is None else bool(holds), certified=holds is not None, data=data)


def observed(holds: bool, **data: Any) -> Outcome:
    """A relation read off rounded numbers, without a tolerance: argmaxima, ranks, counts, plain comparisons."""
    return Outcome(holds=bool(holds), data=data)


def all_of(*outcomes: Outcome) -> Outcome:
    """Every one of several relations: refuted if any is, undecided if any is and none is refuted."""
    if not outcomes:
        raise ValueError("all_of needs at least one outcome")
    ratios = [o.ratio for o in outcomes if o.ratio is not None]
    holds: bool | None = all(o.holds is not None for o in outcomes) or None
    if any(o.holds is False for o in outcomes):
        holds = False
    return Outcome(
        holds=holds,
        ratio=worst(ratios),
        # A refutation is as certain as the relation that failed; the rest does not matter to it.
        certified=(
            any(o.certified for o in outcomes if o.holds is False)
            if holds is False
            else all(o.certified for o in outcomes)
        ),
        data={key: value for o in outcomes for key, value in o.data.items()},
        margin=worst([o.margin for o in outcomes if o.margin is not None]),
    )


def _residual(excess: np.ndarray, u: float, size: float, scale: Any, data: Mapping[str, Any]) -> Outcome:
    allowed = np.asarray(THRESHOLD * size * u * to_numpy(scale), dtype=np.float64)
    if not (np.all(allowed >= 0) and np.all(np.isfinite(allowed)) and size >= 1):
        raise ValueError(f"size must be >= 1 and scale finite and >= 0, got size {size!r} and scale {scale!r}")
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        ratios = np.where(excess <= 0, 0.0, excess / allowed)  # nothing is allowed where there are no terms
    ratio = float(np.max(ratios, initial=0.0)) if not np.any(np.isnan(ratios)) else math.nan
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        margin = float(np.max(excess / to_numpy(scale), initial=-math.inf))
    return Outcome(holds=ratio <= 1, ratio=ratio, data=data, margin=margin)


def worst(ratios: list[float]) -> float | None:
    """The largest ratio; NaN if any is, None if there is none."""
    if any(math.isnan(r) for r in ratios):
        return math.nan
    return max(ratios, default=None)


def _difference(a: Any, b: Any) -> np.ndarray:
    left, right = (to_numpy(x).astype(np.float64) for x in (a, b))
    # A silent broadcast would compare the wrong things; a number stands for an array of equal entries.
    if left.shape != right.shape and left.ndim and right.ndim:
        raise ValueError(f"a and b must have one shape, got {left.shape} and {right.shape}")
    with np.errstate(invalid="ignore", over="ignore"):  # NaN and infinity are answers here
        return np.asarray(left - right)
