"""Arrays with a bound on what rounding can have done to them, in the precision that somebody else computes in.

A `Bounded` holds float64 values v and errors e with this meaning: the exact result, and whatever an implementation
returns that carries out the same steps in the given precision, are within e of v. Sums may be taken in any order.
The bounds are a priori, after Higham, *Accuracy and Stability of Numerical Algorithms* (2002), eq. 2.4 and 3.5: one
rounding is a factor 1 + δ, |δ| ≤ u, and a sum of m products errs by γ_m = mu/(1 − mu) of the sum of their moduli. They
take for granted that exp, erf and √ err by at most `ULPS` units of roundoff, and that products are not summed in a
lower precision.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.special import erf

__all__ = [
    "PRECISIONS",
    "Bounded",
    "Precision",
    "affine",
    "concatenated",
    "exact",
    "exp",
    "gelu",
    "relu",
    "softmax",
    "sqrt",
]

ULPS = 4
SCALINGS = 4
"""Factors, such as that of a softmax, that an implementation may take into a product of matrices or out of it."""
_DOUBLE = 2.0**-53


@dataclass(frozen=True)
class Precision:
    """A floating-point format."""

    name: str
    unit: float
    """Its unit roundoff u."""
    tiny: float
    """Its least normal number: what an underflow may lose."""

    @property
    def roundoff(self) -> float:
        """u, and that of the float64 in which the values are computed here."""
        return self.unit + _DOUBLE

    def gamma(self, m: int) -> float:
        """γ_m; infinite where mu reaches 1, and nothing can be said."""
        mu = m * self.roundoff
        return mu / (1 - mu) if mu < 1 else np.inf


PRECISIONS = {
    "float64": Precision("float64", _DOUBLE, 2.0**-1022),
    "float32": Precision("float32", 2.0**-24, 2.0**-126),
    "float16": Precision("float16", 2.0**-11, 2.0**-14),
    "bfloat16": Precision("bfloat16", 2.0**-8, 2.0**-126),
}
"""By the names that NumPy and torch have for them, the finest first."""


@dataclass(frozen=True, eq=False)
class Bounded:
    """Values, and how far rounding may have moved them."""

    value: np.ndarray
    error: np.ndarray
    precision: Precision

    __array_ufunc__ = None  # ndarray @ Bounded is for __rmatmul__

    def shaped(self, f: Callable[[np.ndarray], np.ndarray]) -> Bounded:
        """The same numbers, elsewhere: ``f`` may only move them."""
        return Bounded(f(self.value), f(self.error), self.precision)

    @property
    def shape(self) -> tuple[int, ...]:
        return self.value.shape

    @property
    def mT(self) -> Bounded:
        return self.shaped(lambda a: np.swapaxes(a, -1, -2))

    @property
    def size(self) -> np.ndarray:
        """The largest that the modulus can be."""
        return np.abs(self.value) + self.error

    def __neg__(self) -> Bounded:
        return Bounded(-self.value, self.error, self.precision)

    def __add__(self, other: Any) -> Bounded:
        b = self._lifted(other)
        return self._rounded(self.value + b.value, self.error + b.error)

    def __radd__(self, other: Any) -> Bounded:
        return self + other

    def __sub__(self, other: Any) -> Bounded:
        return self + (-self._lifted(other))

    def __rsub__(self, other: Any) -> Bounded:
        return self._lifted(other) - self

    def __mul__(self, other: Any) -> Bounded:
        b = self._lifted(other)
        moved = np.abs(self.value) * b.error + self.error * b.size
        return self._rounded(self.value * b.value, moved)

    def __rmul__(self, other: Any) -> Bounded:
        return self * other

    def __truediv__(self, other: Any) -> Bounded:
        b = self._lifted(other)
        with np.errstate(divide="ignore", invalid="ignore"):
            value = self.value / b.value
            moved = (self.error + np.abs(value) * b.error) / (np.abs(b.value) - b.error)
        return self._rounded(value, np.where(np.abs(b.value) > b.error, moved, np.inf))

    def __rtruediv__(self, other: Any) -> Bounded:
        return self._lifted(other) / self

    def __pow__(self, exponent: int) -> Bounded:
        if exponent != 2:
            raise ValueError(f"exponent must be 2, got {exponent}")
        return self * self

    def __matmul__(self, other: Any) -> Bounded:
        b = self._lifted(other)
        value, m = self.value @ b.value, self.value.shape[-1]
        largest = self.size @ b.size
        moved = np.zeros_like(value)
        if self.error.any() or b.error.any():
            moved = self.error @ b.size + np.abs(self.value) @ b.error
        slack = 1 + m * 4 * _DOUBLE  # the bounds are themselves rounded
        return Bounded(
            value,
            slack * (moved + self.precision.gamma(m + SCALINGS) * largest) + m * self.precision.tiny,
            self.precision,
        )

    def __rmatmul__(self, other: Any) -> Bounded:
        return self._lifted(other) @ self

    def sum(self, axis: int, *, keepdims: bool = False) -> Bounded:
        """Over one axis."""
        m = self.value.shape[axis]
        largest = np.sum(self.size, axis=axis, keepdims=keepdims)
        moved = np.sum(self.error, axis=axis, keepdims=keepdims) + self.precision.gamma(m) * largest
        return Bounded(np.sum(self.value, axis=axis, keepdims=keepdims), 1.01 * moved, self.precision)

    def mean(self, axis: int, *, keepdims: bool = False) -> Bounded:
        """Over one axis."""
        return self.sum(axis, keepdims=keepdims) / self.value.shape[axis]

    def cumsum(self, axis: int) -> Bounded:
        """Sums up to each place of one axis."""
        m = self.value.shape[axis]
        moved = np.cumsum(self.error, axis=axis) + self.precision.gamma(m) * np.cumsum(self.size, axis=axis)
        return Bounded(np.cumsum(self.value, axis=axis), 1.01 * moved, self.precision)

    def _lifted(self, other: Any) -> Bounded:
        return other if isinstance(other, Bounded) else exact(other, self.precision, constant=np.ndim(other) == 0)

    def _rounded(self, value: np.ndarray, moved: np.ndarray) -> Bounded:
        p = self.precision
        error = 1.01 * moved + p.roundoff * (np.abs(value) + moved) + p.tiny
        return Bounded(value, error, p)


def exact(a: Any, precision: Precision, *, constant: bool = False) -> Bounded:
    """Numbers that are given: without error, or, as a constant in the code, rounded to the precision."""
    value = np.asarray(a, dtype=np.float64)
    error = np.zeros_like(value)
    if constant and value != np.round(value):
        error = precision.unit * np.abs(value)
    return Bounded(value, error, precision)


def affine(x: Bounded, W: np.ndarray, b: np.ndarray | None = None) -> Bounded:
    """x W + b, where the sum of the products may begin with b."""
    product = x @ W
    if b is None:
        return product
    fused = x.precision.gamma(W.shape[-2] + SCALINGS) * np.abs(b)
    return Bounded(product.value, product.error + fused, x.precision) + b


def relu(x: Bounded) -> Bounded:
    """max(x, 0)."""
    return Bounded(np.maximum(x.value, 0), np.where(x.value + x.error <= 0, 0.0, x.error), x.precision)


def shrunk(x: Bounded, threshold: Bounded | float) -> Bounded:
    """sign(x) max(|x| − t, 0)."""
    return relu(x - threshold) - relu(-x - threshold)


def sqrt(x: Bounded) -> Bounded:
    """√x of x ≥ 0."""
    root = np.sqrt(np.maximum(x.value, 0))
    below = root + np.sqrt(np.maximum(x.value - x.error, 0))
    moved = np.where(below > 0, x.error / np.where(below > 0, below, 1), np.sqrt(x.error))
    return Bounded(root, 1.01 * moved + ULPS * x.precision.roundoff * (root + moved), x.precision)


def exp(x: Bounded) -> Bounded:
    """eˣ."""
    with np.errstate(over="ignore"):
        value, wide = np.exp(x.value), np.expm1(1.01 * x.error)
        error = value * wide + ULPS * x.precision.roundoff * value * (1 + wide) + x.precision.tiny
    return Bounded(value, error, x.precision)


def gelu(x: Bounded) -> Bounded:
    """x Φ(x), whose slope is below 1.13 in modulus."""
    value = x.value * (1 + erf(x.value / np.sqrt(2))) / 2
    error = 1.13 * x.error + 2 * ULPS * x.precision.roundoff * (x.size + 1)
    return Bounded(value, error + x.precision.tiny, x.precision)


def softmax(x: Bounded, axis: int = -1, *, seen: np.ndarray | None = None) -> Bounded:
    """exp(x)/Σ exp(x) over one axis, and over what is seen of it, with or without the largest taken off first.

    What is taken off is a factor of all and cancels, so that only the rounding of the difference counts.
    """
    p = x.precision
    seen = np.ones(1, dtype=bool) if seen is None else seen
    value = np.where(seen, x.value, -np.inf)
    shift = np.max(value, axis=axis, keepdims=True)
    with np.errstate(over="ignore", invalid="ignore"):
        apart = np.where(seen, np.abs(value - shift), 0) + x.error + np.max(x.error, axis=axis, keepdims=True)
        w = np.exp(value - shift)
        wide = np.expm1(np.minimum(1.01 * (x.error + p.roundoff * apart), 700)) * (1 + 2 * ULPS * p.roundoff)
        wide = np.where(seen, wide + 2 * ULPS * p.roundoff, 0)
        total = np.sum(w, axis=axis, keepdims=True)
        off = np.sum(w * wide, axis=axis, keepdims=True) / total
        off = off + p.gamma(x.value.shape[axis]) * (1 + off)
        share = w / total
        error = np.where(off < 1, share * ((1 + wide) * (1 + 2 * p.roundoff) / np.maximum(1 - off, 1e-300) - 1), 1)
    return Bounded(share, np.where(seen, np.minimum(1.01 * error + p.tiny, 1), 0), p)


def concatenated(parts: list[Bounded], axis: int) -> Bounded:
    """Side by side."""
    return Bounded(
        np.concatenate([part.value for part in parts], axis=axis),
        np.concatenate([part.error for part in parts], axis=axis),
        parts[0].precision,
    )
