"""The sign of a difference of rates, decided and not estimated.

The entries of the arrays are floats, so they are rationals, and so is every Gram matrix made of them. A rate
is half the logarithm of a determinant of such a matrix; a difference of rates is half the logarithm of a ratio
of determinants, which ball arithmetic (Arb, through python-flint) encloses at rising precision until zero is
outside. Where it stays inside, the determinants are compared as integers, which settles equality. The lasso
and the l1 norm are rational throughout.

The floats given are the subject: the layer's output on this input, rounded as it was, and no ideal layer's.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from fractions import Fraction
from numbers import Rational
from typing import Any, Protocol

import array_api_compat as compat
import numpy as np
from flint import arb, arb_mat, ctx, fmpq, fmpz_mat

from srr._arrays import require_bases, require_finite, require_membership, require_shape, require_tokens

Array = Any
Number = int | float | Rational

PRECISIONS = (96, 192, 384, 1024, 4096)
"""Bits of the ball arithmetic, in the order tried."""
EXACT_FROM = 384
"""Integers are compared once this precision has not separated the determinants."""
EXACT_SIZE = 64
"""Largest matrix whose determinant is taken in integers (0.1 s)."""


@dataclass(frozen=True)
class Decision:
    """The sign of a difference ``value(after) - value(before)``, with an enclosure.

    Attributes
    ----------
    sign : int or None
        -1, 0 or 1; None if the highest precision leaves zero inside the enclosure.
    lower, upper : float
        The difference lies in ``[lower, upper]``; in nats for rates.
    method : str
        What decided it: ``"identical arrays"``, ``"exact rationals"``, or ``"balls, 96 bits"`` (say).
    """

    sign: int | None
    lower: float
    upper: float
    method: str

    @property
    def not_above(self) -> bool | None:
        """Whether the value did not rise; None if undecided."""
        return None if self.sign is None else self.sign <= 0

    @property
    def midpoint(self) -> float:
        """A float in the enclosure, for tables."""
        return self.lower if self.lower == self.upper else self.lower / 2 + self.upper / 2

    def __str__(self) -> str:
        word = {None: "undecided", -1: "falls", 0: "is equal", 1: "rises"}[self.sign]
        return f"{word} by {self.midpoint:.6g} ({self.method})" if self.sign else f"{word} ({self.method})"


class Objective(Protocol):
    """What is asked of an objective: that of ``srr.SparseRateReduction``."""

    @property
    def U(self) -> Array: ...
    @property
    def eps(self) -> float: ...
    @property
    def lam(self) -> float: ...


# --- differences --------------------------------------------------------------------------------------------


def rate_change(before: Array, after: Array, *, eps: Number) -> Decision:
    """Sign of R(after) - R(before), R(Z) = ½ log det(I + d/(n eps²) ZᵀZ) in nats (N23 eq. 7)."""
    old, new = _pair(before, after)
    return _decide(_rate(old, new, _eps(eps)), identical=np.array_equal(old, new))


def subspace_rate_change(before: Array, after: Array, U: Array, *, eps: Number) -> Decision:
    """Sign of Rᶜ(after|U) - Rᶜ(before|U), for any bases ``(K, d, p)``, orthonormal or not (N23 eq. 8)."""
    old, new = _pair(before, after)
    U = _bases(U, old.shape[1])
    return _decide(_subspace_rate(old, new, U, _eps(eps)), identical=np.array_equal(old, new))


def partition_rate_change(before: Array, after: Array, Pi: Array, *, eps: Number) -> Decision:
    """Sign of Rᶜ(after|Pi) - Rᶜ(before|Pi), Rᶜ(Z|Pi) = Σ n_k/2n log det(I + d/(n_k eps²) ZᵀΠ_k Z).

    The memberships ``(n, K)`` may be hard or soft.
    """
    old, new = _pair(before, after)
    Pi = as_float64(Pi, "Pi")
    require_shape(Pi, (old.shape[0], "K"), "Pi")
    require_membership(Pi, old.shape[0])
    return _decide(_partition_rate(old, new, Pi, _eps(eps)), identical=np.array_equal(old, new))


def rate_reduction_change(before: Array, after: Array, U: Array, *, eps: Number) -> Decision:
    """Sign of ΔR(after|U) - ΔR(before|U), ΔR = R - Rᶜ."""
    old, new = _pair(before, after)
    U, eps = _bases(U, old.shape[1]), _eps(eps)
    factors = [*_rate(old, new, eps), *_negative(_subspace_rate(old, new, U, eps))]
    return _decide(factors, identical=np.array_equal(old, new))


def l1_change(before: Array, after: Array) -> Decision:
    """Sign of |after|₁ - |before|₁."""
    old, new = _pair(before, after)
    return _decide([], _l1(old, new), identical=np.array_equal(old, new))


def sparse_rate_change(before: Array, after: Array, *, eps: Number, lam: Number) -> Decision:
    """Sign of the change of λ|Z|₁ - R(Z), what the sparsification half is meant to lower (N23 eq. 13)."""
    old, new = _pair(before, after)
    factors = _negative(_rate(old, new, _eps(eps)))
    return _decide(factors, _lam(lam) * _l1(old, new), identical=np.array_equal(old, new))


def lasso_change(Z: Array, D: Array, before: Array, after: Array, *, lam: Number) -> Decision:
    """Sign of the change of λ|A|₁ + ½|Z - A Dᵀ|² from the code ``before`` to the code ``after`` (N23 eq. 17).

    Parameters
    ----------
    Z : (n, d)
        Tokens to be coded.
    D : (d, m)
        Dictionary.
    before, after : (n, m)
        Codes of either sign: for the problem over A ≥ 0 the caller sees to it that ``before`` is feasible.
    """
    Z, D = as_float64(Z, "Z"), as_float64(D, "D")
    old, new = _pair(before, after)
    require_tokens(Z)
    require_shape(Z, (old.shape[0], "d"), "Z")
    require_shape(D, (Z.shape[1], old.shape[1]), "D")
    require_finite(D, "D")
    change = _lam(lam) * _l1(old, new) + (_squared_residual(Z, D, new) - _squared_residual(Z, D, old)) / 2
    return _decide([], change, identical=np.array_equal(old, new))


def loss_change(objective: Objective, before: Array, after: Array) -> Decision:
    """Sign of the change of the loss -R + Rᶜ(.|U) + λ|.|₁ of ``objective`` (N23 eq. 1 with the l1 norm)."""
    old, new = _pair(before, after)
    U, eps = _bases(objective.U, old.shape[1]), _eps(objective.eps)
    factors = [*_subspace_rate(old, new, U, eps), *_negative(_rate(old, new, eps))]
    return _decide(factors, _lam(objective.lam) * _l1(old, new), identical=np.array_equal(old, new))


# --- arguments ----------------------------------------------------------------------------------------------


def as_float64(a: Array, name: str) -> np.ndarray:
    """The same numbers as a NumPy float64 array, from any library and device: float32 loses nothing."""
    if not compat.is_array_api_obj(a):
        raise TypeError(f"{name} must be an array, got {type(a).__name__}")
    if compat.is_torch_array(a):
        a = a.detach().cpu()
    elif compat.is_cupy_array(a):
        a = a.get()
    elif compat.is_array_api_strict_namespace(compat.array_namespace(a)):  # NumPy reads one of its devices
        a = a.to_device(compat.array_namespace(a).__array_namespace_info__().default_device())
    array = np.asarray(a)
    if array.dtype not in (np.float32, np.float64):
        raise TypeError(f"{name} must be an array of float32 or float64, got {array.dtype}")
    return array.astype(np.float64)


def _pair(before: Array, after: Array) -> tuple[np.ndarray, np.ndarray]:
    old, new = as_float64(before, "before"), as_float64(after, "after")
    require_shape(old, ("n", "d"), "before")
    require_shape(new, old.shape, "after")
    require_finite(old, "before")
    require_finite(new, "after")
    return old, new


def _bases(U: Array, d: int) -> np.ndarray:
    U = as_float64(U, "U")
    require_bases(U, d)
    return U


def _eps(eps: Number) -> fmpq:
    value = _rational(eps, "eps")
    if not value > 0:
        raise ValueError(f"eps must be > 0, got {eps!r}")
    return value


def _lam(lam: Number) -> fmpq:
    value = _rational(lam, "lam")
    if not value >= 0:
        raise ValueError(f"lam must be >= 0, got {lam!r}")
    return value


def _rational(x: Number, name: str) -> fmpq:
    if isinstance(x, bool) or not isinstance(x, int | float | Rational | np.floating):
        raise TypeError(f"{name} must be a real number, got {type(x).__name__}")
    if not math.isfinite(x):
        raise ValueError(f"{name} must be finite, got {x!r}")
    fraction = Fraction(x if isinstance(x, Rational) else float(x))
    return fmpq(fraction.numerator, fraction.denominator)


# --- floats as integers over a common power of two ----------------------------------------------------------


def _integers(*arrays: np.ndarray) -> tuple[list[fmpz_mat], fmpq]:
    """Integer matrices and one power of two ``unit`` with array = unit * matrix, exactly."""
    parts = [np.frexp(a) for a in arrays]
    exponents = [e[m != 0] for m, e in parts]
    lowest = min((int(e.min()) for e in exponents if e.size), default=53) - 53
    matrices = []
    for a, (m, e) in zip(arrays, parts, strict=True):
        mantissas = np.ldexp(m, 53).astype(np.int64).ravel().tolist()
        shifts = np.where(m != 0, e - 53 - lowest, 0).ravel().tolist()
        matrices.append(fmpz_mat(*a.shape, [i << s for i, s in zip(mantissas, shifts, strict=True)]))
    return matrices, fmpq(2) ** lowest


def _l1(old: np.ndarray, new: np.ndarray) -> fmpq:
    (before, after), unit = _integers(old, new)
    return unit * (sum(map(abs, after.entries())) - sum(map(abs, before.entries())))


def _squared_residual(Z: np.ndarray, D: np.ndarray, A: np.ndarray) -> fmpq:
    (tokens,), z = _integers(Z)
    (code,), a = _integers(A)
    (atoms,), d = _integers(D)
    unit = min(z, a * d)  # both are powers of two, so their ratio to the smaller is an integer
    residual = tokens * (z / unit).p - code * atoms.transpose() * (a * d / unit).p
    return unit * unit * sum(r * r for r in residual.entries())


# --- rates as determinants of integer matrices --------------------------------------------------------------

ZERO = fmpq(0)

Factor = tuple[fmpq, fmpz_mat, fmpz_mat]
"""(w, B, A): the term w/2 log(det A / det B) of a difference, B from before and A from after."""


def _negative(factors: Iterable[Factor]) -> list[Factor]:
    return [(-w, before, after) for w, before, after in factors]


def _rate(old: np.ndarray, new: np.ndarray, eps: fmpq) -> list[Factor]:
    n, d = old.shape
    tokens, unit = _integers(old, new)
    scale = unit * unit * d / (n * eps * eps)
    before, after = (_shifted(_gram(Z, n, d), scale) for Z in tokens)
    return [(fmpq(1), before, after)]


def _subspace_rate(old: np.ndarray, new: np.ndarray, U: np.ndarray, eps: fmpq) -> list[Factor]:
    n, p = old.shape[0], U.shape[2]
    tokens, z = _integers(old, new)
    bases, u = _integers(*U)
    scale = (z * u) ** 2 * p / (n * eps * eps)
    factors = []
    for basis in bases:
        before, after = (_shifted(_gram(Z * basis, n, p), scale) for Z in tokens)
        factors.append((fmpq(1), before, after))
    return factors


def _partition_rate(old: np.ndarray, new: np.ndarray, Pi: np.ndarray, eps: fmpq) -> list[Factor]:
    n, d = old.shape
    factors = []
    for pi in Pi.T:
        members = pi > 0
        if not members.any():
            continue
        (weights,), w = _integers(pi[None, members])
        tokens, z = _integers(old[members], new[members])
        size = w * sum(weights.entries())
        scale = z * z * w * d / (size * eps * eps)
        before, after = (_shifted(_weighted_gram(Z, weights.entries()), scale) for Z in tokens)
        factors.append((size / n, before, after))
    return factors


def _gram(Y: fmpz_mat, n: int, p: int) -> fmpz_mat:
    return Y * Y.transpose() if n < p else Y.transpose() * Y  # the smaller side: det(I + YYᵀ) = det(I + YᵀY)


def _weighted_gram(Z: fmpz_mat, weights: list[Any]) -> fmpz_mat:
    n, d = Z.nrows(), Z.ncols()
    weighted = fmpz_mat(n, d, [weights[i // d] * x for i, x in enumerate(Z.entries())])
    return weighted * Z.transpose() if n < d else Z.transpose() * weighted  # det(I + ΠZZᵀ) = det(I + ZᵀΠZ)


def _shifted(gram: fmpz_mat, scale: fmpq) -> fmpz_mat:
    # A multiple of I + scale * gram. The multiplier is the same before and after, so it cancels in the ratio.
    q = gram.nrows()
    shifted = gram * scale.p
    for i in range(q):
        shifted[i, i] += scale.q
    return shifted


# --- the decision -------------------------------------------------------------------------------------------


def _decide(factors: list[Factor], rational: fmpq = ZERO, *, identical: bool = False) -> Decision:
    """Sign of rational + Σ w/2 log(det A / det B)."""
    if identical:
        return Decision(0, 0.0, 0.0, "identical arrays")
    factors = [f for f in factors if f[1] != f[2]]
    if not factors:
        sign = (rational > 0) - (rational < 0)
        return _enclosed(sign, arb(rational), "exact rationals")
    for bits in PRECISIONS:
        with ctx.workprec(bits):
            value = arb(rational)
            for w, before, after in factors:
                value += w * (arb_mat(after).det() / arb_mat(before).det()).log() / 2
            if value > 0 or value < 0:
                return _enclosed(1 if value > 0 else -1, value, f"balls, {bits} bits")
        if bits == EXACT_FROM and rational == 0 and _equal(factors):
            return Decision(0, 0.0, 0.0, "exact rationals")
    return _enclosed(None, value, f"balls, {PRECISIONS[-1]} bits")


def _equal(factors: list[Factor]) -> bool:
    # Whether Π det(A)^w = Π det(B)^w. A rational part other than 0 excludes equality and needs no such test:
    # the logarithm of a rational number other than 1 is transcendental.
    if max(matrix.nrows() for _, matrix, _ in factors) > EXACT_SIZE:
        return False
    pairs = [(before.det(), after.det()) for _, before, after in factors]
    common = math.lcm(*(int(w.q) for w, _, _ in factors))
    powers = [int((w * common).p) for w, _, _ in factors]
    if max(map(abs, powers)) > EXACT_SIZE:  # soft memberships: factor by factor, which suffices
        return all(before == after for before, after in pairs)
    ratio = fmpq(1)
    for power, (before, after) in zip(powers, pairs, strict=True):
        ratio *= fmpq(after, before) ** power
    return bool(ratio == 1)


def _enclosed(sign: int | None, value: arb, method: str) -> Decision:
    lower, upper = -math.inf, math.inf
    if value.is_finite():
        lower = math.nextafter(float(value.lower()), -math.inf)
        upper = math.nextafter(float(value.upper()), math.inf)
    if sign is not None:  # gives back what rounding outwards to a float took
        lower, upper = (max(lower, 0.0) if sign >= 0 else lower), (min(upper, 0.0) if sign <= 0 else upper)
    return Decision(sign, lower, upper, method)
