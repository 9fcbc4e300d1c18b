"""Enclosures of real numbers between floats, and their arithmetic: every result is rounded outwards."""

from __future__ import annotations

import math
import sys
from fractions import Fraction
from typing import NamedTuple

import numpy as np

UNIT = 2.0**-53
"""The unit roundoff of float64."""


class Enclosure(NamedTuple):
    """Bounds of an exact value: ``lower <= value <= upper``; infinite where nothing is known."""

    lower: np.ndarray
    upper: np.ndarray

    @property
    def midpoint(self) -> np.ndarray:
        """A float within; NaN where nothing is known."""
        with np.errstate(invalid="ignore"):
            return np.asarray(self.lower / 2 + self.upper / 2)

    @property
    def radius(self) -> np.ndarray:
        """How far the exact value is from `midpoint` at most, but for the rounding of the two."""
        return np.asarray(self.upper / 2 - self.lower / 2)


def outwards(lower: np.ndarray, upper: np.ndarray) -> Enclosure:
    """The next floats, after one rounding of each bound; what is no number says nothing."""
    lower, upper = np.nextafter(lower, -np.inf), np.nextafter(upper, np.inf)
    return Enclosure(np.where(np.isnan(lower), -np.inf, lower), np.where(np.isnan(upper), np.inf, upper))


def nonnegative(x: Enclosure) -> Enclosure:
    """What is known of a value that is not negative."""
    return Enclosure(np.clip(x.lower, 0, None), x.upper)


def total(*terms: Enclosure) -> Enclosure:
    """The sum of enclosures."""
    first, *rest = terms
    for term in rest:
        with np.errstate(invalid="ignore"):
            first = outwards(first.lower + term.lower, first.upper + term.upper)
    return first


def negative(x: Enclosure) -> Enclosure:
    """−x."""
    return Enclosure(0.0 - x.upper, 0.0 - x.lower)


def times(weight: Fraction, x: Enclosure) -> Enclosure:
    """x times a rational number."""
    if weight < 0:
        return times(-weight, negative(x))
    if weight == 0:
        return Enclosure(np.zeros_like(x.lower), np.zeros_like(x.upper))
    low, high = between(weight)
    with np.errstate(all="ignore"):
        return outwards(
            x.lower * np.where(x.lower >= 0, low, high),
            x.upper * np.where(x.upper > 0, high, low),
        )


def intersection(x: Enclosure, y: Enclosure) -> Enclosure:
    """What both say of one value."""
    return Enclosure(np.maximum(x.lower, y.lower), np.minimum(x.upper, y.upper))


def between(x: Fraction) -> tuple[float, float]:
    """The floats below and above a rational number, which may be one of them."""
    if x < 0:
        low, high = between(-x)
        return -high, -low
    try:
        nearest = float(x)
    except OverflowError:
        return sys.float_info.max, math.inf
    exact = Fraction(nearest)
    return (
        nearest if exact <= x else math.nextafter(nearest, -math.inf),
        nearest if exact >= x else math.nextafter(nearest, math.inf),
    )
