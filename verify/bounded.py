"""Arrays with a bound on what rounding can have done to them, in the precision that somebody else computes in.

A `Bounded` holds float64 values v and errors e with this meaning: the exact result, and whatever an implementation
returns that carries out the same steps in the given precision, are within e of v. Sums may be taken in any order.
The bounds are a priori, after Higham, *Accuracy and Stability of Numerical Algorithms* (2002), lemma 3.1 and eq. 3.5:
one rounding is a factor 1 + δ, |δ| ≤ u, and a sum of m products errs by γ_m = mu/(1 − mu) of the sum of their moduli.
They take for granted that divisions, √, exp, erf and log err by at most ``ULPS`` units of roundoff, that products are
not summed in a lower precision, and of a softmax from which the largest is not taken off that its exponentials are
normal numbers. An error is infinite where nothing can be said, as where a sum may overflow.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from scipy.special import erf

from verify.repeatable import ball_erf, ball_log, eliminated, exponential, product, running

__all__ = [
    "PRECISIONS",
    "Bounded",
    "Precision",
    "affine",
    "at_least",
    "concatenated",
    "exact",
    "exp",
    "gelu",
    "log_det",
    "relu",
    "shrunk",
    "softmax",
    "sqrt",
]

ULPS = 4
SCALINGS = 4
"""Factors, such as that of a softmax, that an implementation may take into a product of matrices or out of it; where
products are summed in a finer format, they are powers of two, or taken there."""
_DOUBLE = 2.0**-53


@dataclass(frozen=True)
class Precision:
    """A floating-point format, and what sums are taken in."""

    name: str
    unit: float
    """Its unit roundoff u."""
    tiny: float
    """What an underflow may lose, of an operand or of a result: the least normal number, as programs flush those below
    to zero; of float16, in which none do, the least number."""
    largest: float
    """Above which it overflows."""
    sums: float | None = None
    """Unit roundoff of what products are summed in before they are rounded to the format; by default its own."""
    repeatable: bool = False
    """Whether every machine must find the same values and errors, to the last bit; many times slower."""

    @property
    def roundoff(self) -> float:
        """u, and that of the float64 in which the values are computed here."""
        return self.unit + _DOUBLE

    def gamma(self, m: int) -> float:
        """γ_m of a sum of m terms, before it is rounded to the format; infinite where nothing can be said."""
        mu = m * ((self.unit if self.sums is None else self.sums) + _DOUBLE)
        return mu / (1 - mu) if mu < 1 else np.inf

    def stored(self, value: np.ndarray, error: np.ndarray) -> np.ndarray:
        """The error of a sum behind its rounding to the format."""
        return error if self.sums is None else error + self.roundoff * (np.abs(value) + error)

    def rounded(self, a: Any) -> np.ndarray:
        """The nearest numbers of the format, ties to even, above its least normal number."""
        digits = round(-np.log2(self.unit))
        mantissa, exponent = np.frexp(np.asarray(a, dtype=np.float64))
        return np.ldexp(np.rint(np.ldexp(mantissa, digits)), exponent - digits)

    def product(self, a: np.ndarray, b: np.ndarray) -> np.ndarray:
        return product(a, b) if self.repeatable else a @ b

    def total(self, a: np.ndarray, axis: int) -> np.ndarray:
        """Keeps the axis."""
        with np.errstate(over="ignore", invalid="ignore"):
            return np.take(running(a, axis), [-1], axis) if self.repeatable else np.sum(a, axis=axis, keepdims=True)


PRECISIONS = {
    "float64": Precision("float64", _DOUBLE, 2.0**-1022, float(np.finfo(np.float64).max)),
    "float32": Precision("float32", 2.0**-24, 2.0**-126, float(np.finfo(np.float32).max)),
    "float16": Precision("float16", 2.0**-11, 2.0**-24, 65504.0),
    "bfloat16": Precision("bfloat16", 2.0**-8, 2.0**-126, 2.0**127 * (2 - 2.0**-7)),
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

    def widened(self, by: np.ndarray | float) -> Bounded:
        """The same values, each with so much more of error."""
        return Bounded(self.value, self.error + by, self.precision)

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
        with np.errstate(over="ignore", invalid="ignore"):
            return self._rounded(self.value + b.value, self.error + b.error)

    def __radd__(self, other: Any) -> Bounded:
        return self + other

    def __sub__(self, other: Any) -> Bounded:
        return self + (-self._lifted(other))

    def __rsub__(self, other: Any) -> Bounded:
        return self._lifted(other) - self

    def __mul__(self, other: Any) -> Bounded:
        b = self._lifted(other)
        with np.errstate(invalid="ignore", over="ignore"):
            moved = np.abs(self.value) * b.error + self.error * b.size
            return self._rounded(self.value * b.value, moved + self.precision.tiny * (self.size + b.size))

    def __rmul__(self, other: Any) -> Bounded:
        return self * other

    def __truediv__(self, other: Any) -> Bounded:
        b = self._lifted(other)
        with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
            value = self.value / b.value
            moved = (self.error + np.abs(value) * b.error) / (np.abs(b.value) - b.error)
        return self._rounded(value, np.where(np.abs(b.value) > b.error, moved, np.inf), ULPS)

    def __rtruediv__(self, other: Any) -> Bounded:
        return self._lifted(other) / self

    def __pow__(self, exponent: int) -> Bounded:
        if exponent != 2:
            raise ValueError(f"exponent must be 2, got {exponent}")
        return self * self

    def __matmul__(self, other: Any) -> Bounded:
        p, m = self.precision, self.value.shape[-1]
        factor, moved_factor = (
            (other.value, other.error) if isinstance(other, Bounded) else (np.asarray(other, np.float64), None)
        )
        with np.errstate(invalid="ignore", over="ignore"):
            mine = self.size
            theirs = np.abs(factor) if moved_factor is None else np.abs(factor) + moved_factor
            largest = p.product(mine, theirs)
            moved = p.tiny * (m + p.total(mine, -1) + p.total(theirs, -2))
            if self.error.any():
                moved = moved + p.product(self.error, theirs)
            if moved_factor is not None and moved_factor.any():
                moved = moved + p.product(np.abs(self.value), moved_factor)
            value = p.product(self.value, factor)
            error = p.stored(value, moved + p.gamma(m + SCALINGS) * largest)
            slack = 1 + 4 * (m + 2) * _DOUBLE  # the bounds are themselves rounded
            return _known(value, slack * error, largest, p)

    def __rmatmul__(self, other: Any) -> Bounded:
        return self._lifted(other) @ self

    def sum(self, axis: int, *, keepdims: bool = False) -> Bounded:
        """Over one axis."""
        m, p = self.value.shape[axis], self.precision
        largest = p.total(self.size, axis)
        with np.errstate(invalid="ignore"):
            value, moved = p.total(self.value, axis), p.total(self.error, axis) + p.gamma(m) * largest + 3 * m * p.tiny
            whole = _known(value, 1.01 * p.stored(value, moved), largest, p)
        return whole if keepdims else whole.shaped(lambda a: np.squeeze(a, axis))

    def mean(self, axis: int, *, keepdims: bool = False) -> Bounded:
        """Over one axis."""
        return self.sum(axis, keepdims=keepdims) / self.value.shape[axis]

    def cumsum(self, axis: int) -> Bounded:
        """Sums up to each place of one axis."""
        m, p = self.value.shape[axis], self.precision
        with np.errstate(over="ignore", invalid="ignore"):
            largest = running(self.size, axis)
            value, moved = running(self.value, axis), running(self.error, axis) + p.gamma(m) * largest + 3 * m * p.tiny
            return _known(value, 1.01 * p.stored(value, moved), largest, p)

    def _lifted(self, other: Any) -> Bounded:
        return other if isinstance(other, Bounded) else exact(other, self.precision, constant=np.ndim(other) == 0)

    def _rounded(self, value: np.ndarray, moved: np.ndarray, ulps: int = 1) -> Bounded:
        p = self.precision
        size = np.abs(value) + moved
        return _known(value, 1.01 * (moved + ulps * p.roundoff * size + 3 * p.tiny), size, p)


def _known(value: np.ndarray, error: np.ndarray, largest: np.ndarray, p: Precision) -> Bounded:
    """Infinite errors where what was computed on the way, up to ``largest``, may overflow, or the error is none."""
    lost = ~(largest <= p.largest) | ~np.isfinite(value) | np.isnan(error)
    return Bounded(value, np.where(lost, np.inf, error), p)


def exact(a: Any, precision: Precision, *, constant: bool = False) -> Bounded:
    """Numbers that are given: without error, or, as a constant in the code, rounded to the precision.

    Whole numbers and those of eight digits, such as 1/2, are what they are. Any other, such as ηλ, may itself have been
    computed in the precision, in up to three steps.
    """
    value = np.asarray(a, dtype=np.float64)
    plain = np.zeros(value.shape, dtype=bool)
    if not constant or precision.rounded(value) == value == np.rint(value) or _coarse(value) == value:
        plain = np.ones_like(plain)
    return Bounded(value, np.where(plain, 0.0, 4 * precision.unit * np.abs(value)), precision)


def _coarse(value: np.ndarray) -> np.ndarray:
    return PRECISIONS["bfloat16"].rounded(value)


def affine(x: Bounded, W: np.ndarray, b: np.ndarray | None = None) -> Bounded:
    """x W + b, where the sum of the products may begin with b."""
    product = x @ W
    if b is None:
        return product
    return product.widened(x.precision.gamma(W.shape[-2] + SCALINGS) * np.abs(b)) + b


def relu(x: Bounded) -> Bounded:
    """max(x, 0)."""
    return Bounded(np.maximum(x.value, 0), np.where(x.value + x.error <= 0, 0.0, x.error), x.precision)


def at_least(x: Bounded, floor: float) -> Bounded:
    """max(x, floor)."""
    low = exact(floor, x.precision, constant=True)
    return Bounded(np.maximum(x.value, low.value), np.maximum(x.error, low.error), x.precision)


def shrunk(x: Bounded, threshold: Bounded | float) -> Bounded:
    """sign(x) max(|x| − t, 0)."""
    return relu(x - threshold) - relu(-x - threshold)


def sqrt(x: Bounded) -> Bounded:
    """√x of x ≥ 0."""
    root = np.sqrt(np.maximum(x.value, 0))
    with np.errstate(invalid="ignore"):
        below = root + np.sqrt(np.maximum(x.value - x.error, 0))
        moved = np.where(below > 0, x.error / np.where(below > 0, below, 1), np.sqrt(x.error))
    return _known(root, 1.01 * (moved + ULPS * x.precision.roundoff * (root + moved)), x.size, x.precision)


def exp(x: Bounded) -> Bounded:
    """eˣ."""
    p, value = x.precision, exponential(x.value)
    with np.errstate(over="ignore", invalid="ignore"):
        size = value * exponential(1.01 * x.error)
        moved = x.error * size  # eʰ − 1 ≤ h eʰ
        return _known(value, 1.01 * (moved + ULPS * p.roundoff * size + p.tiny), size, p)


def gelu(x: Bounded) -> Bounded:
    """x Φ(x), whose slope is below 1.13 in modulus."""
    normal = ball_erf if x.precision.repeatable else erf
    value = x.value * (1 + normal(x.value / np.sqrt(2))) / 2
    error = 1.13 * x.error + 2 * ULPS * x.precision.roundoff * (x.size + 1) + x.precision.tiny
    return _known(value, error, x.size, x.precision)


def softmax(x: Bounded, axis: int = -1, *, seen: np.ndarray | None = None) -> Bounded:
    """exp(x)/Σ exp(x) over one axis, and over what is seen of it, with or without the largest taken off first.

    What is taken off is a factor of all and cancels, so that only the rounding of the difference counts.
    """
    p = x.precision
    seen = np.ones(x.shape, dtype=bool) if seen is None else np.broadcast_to(seen, x.shape)
    error = np.where(seen, x.error, 0.0)
    value = np.where(seen, x.value, -np.inf)
    shift = np.max(value, axis=axis, keepdims=True)
    with np.errstate(over="ignore", invalid="ignore"):
        apart = np.where(seen, np.abs(value - shift), 0.0) + error + np.max(error, axis=axis, keepdims=True)
        w = np.where(seen, exponential(value - shift), 0.0)
        argument = 1.01 * (error + p.roundoff * apart)
        wide = argument * exponential(np.minimum(argument, 700.0)) + 3 * ULPS * p.roundoff
        total = p.total(w, axis)
        off = p.total(w * wide, axis) / total + 2 * x.shape[axis] * p.tiny
        off = off + (p.gamma(x.shape[axis]) + p.roundoff) * (1 + off)
        share = w / total
        moved = np.where(off < 1, share * ((1 + wide) / np.maximum(1 - off, 1e-300) - 1), 1.0)
        moved = np.minimum(moved, _beside_the_largest(value, share, argument, axis))
        error = np.minimum(1.02 * (moved + ULPS * p.roundoff * (share + moved)) + 2 * p.tiny, 1.0)
    return _known(share, np.where(seen, error, 0.0), np.where(seen & ~np.isfinite(apart), np.inf, 0.0), p)


def _beside_the_largest(value: np.ndarray, share: np.ndarray, argument: np.ndarray, axis: int) -> np.ndarray:
    """How far shares can move where no rounding takes another entry for the largest: each other keeps a share below
    e^−gap, and the largest has what these leave."""
    largest = np.max(value, axis=axis, keepdims=True)
    top = value == largest
    gap = largest - value - argument - np.max(np.where(top, argument, 0.0), axis=axis, keepdims=True)
    below = np.where(top, 0.0, np.where(gap > 0, 1.01 * exponential(-np.maximum(gap, 0.0)), np.inf))
    rest = np.add.accumulate(below, axis=axis).take([-1], axis=axis)
    alone = np.sum(top, axis=axis, keepdims=True) == 1
    return np.where(alone, np.where(top, rest, np.maximum(share, below)), np.inf)


def log_det(M: Bounded) -> Bounded:
    """log det M of symmetric matrices ``(..., q, q)`` no smaller than I, by Cholesky's factors or by elimination.

    The factors found are those of M + E, |E| ≤ B = e + γ √(m_ii m_jj) (Higham 2002, theorem 10.3; of an elimination it
    is taken for granted that its pivots keep the rest from growing). With X = M^−½ E M^−½ and ρ = ‖ |M⁻¹| B ‖_∞ < 1, ::

        |log det(I + X)| ≤ |tr X| + ‖X‖²/(2(1 − ρ)),    |tr X| ≤ Σ |M⁻¹| ∘ B,    ‖X‖² ≤ q ρ².
    """
    p, q = replace(M.precision, sums=None), M.shape[-1]  # each step of an elimination is rounded
    with np.errstate(invalid="ignore", over="ignore", divide="ignore"):
        root = np.sqrt(np.diagonal(M.size, axis1=-2, axis2=-1))
        B = 1.01 * (M.error + p.gamma(2 * q + 4) * root[..., :, None] * root[..., None, :])
        pivots, inverse = eliminated(M.value)
        value = p.total(ball_log(pivots) if p.repeatable else np.log(pivots), -1)[..., 0]
        inverse = _at_most_inverse(M.value, inverse, p)
        rho = 1.01 * np.max(p.total(p.product(inverse, B), -1)[..., 0], axis=-1)
        trace = 1.01 * p.total(p.total(inverse * B, -1)[..., 0], -1)[..., 0]
        moved = trace + q * rho**2 / (2 * (1 - rho))
        error = moved + p.gamma(q + ULPS) * (np.abs(value) + moved) + 3 * q * p.tiny
        return _known(value, np.where(rho < 1, 1.01 * error, np.inf), np.max(M.size, axis=(-2, -1)), M.precision)


def _at_most_inverse(M: np.ndarray, X: np.ndarray, p: Precision) -> np.ndarray:
    """No less than |M⁻¹|, from about that: with R = I − XM, M⁻¹ − X = R (I − R)⁻¹ X."""
    q, gamma = M.shape[-1], PRECISIONS["float64"].gamma(M.shape[-1] + 2)
    R = np.abs(np.eye(q) - p.product(X, M)) + 1.01 * gamma * (np.eye(q) + p.product(np.abs(X), np.abs(M)))
    r = 1.01 * np.max(p.total(R, -1), axis=(-2, -1), keepdims=True)
    return np.where(r < 1, np.abs(X) + r / (1 - r) * np.max(np.abs(X), axis=-2, keepdims=True), np.inf)


def concatenated(parts: list[Bounded], axis: int) -> Bounded:
    """Side by side."""
    return Bounded(
        np.concatenate([part.value for part in parts], axis=axis),
        np.concatenate([part.error for part in parts], axis=axis),
        parts[0].precision,
    )
