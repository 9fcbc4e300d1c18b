"""The sign of a difference of rates, decided and not estimated.

The entries of the arrays are floats, so they are rational numbers, and what is asked is an inequality between
determinants of rational matrices. Four means, from cheap to sure: float64 with a bound on all rounding errors,
first of the two values and then, where their enclosures overlap, of their difference itself (``srr.enclosure``);
ball arithmetic (Arb, through python-flint) at rising precision; comparison of the determinants as integers,
which settles equality.

The floats given are the subject: the layer's output on this input, rounded as it was, and no ideal layer's.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from fractions import Fraction
from numbers import Rational
from typing import Any, Protocol

import array_api_compat as compat
import numpy as np
from flint import arb, arb_mat, ctx, fmpq

from srr import enclosure
from srr._arrays import require_bases, require_finite, require_membership, require_shape
from srr._intervals import between, intersection, negative, times, total
from srr.enclosure import Enclosure
from verify import moments, rationals
from verify.arrays import to_numpy
from verify.rationals import Ratio

Array = Any
Number = int | float | Rational

PRECISIONS = (96, 192, 384, 1024, 4096)
"""Bits of the ball arithmetic, in the order tried."""
FLOATS_FROM = 256
"""Token arrays of fewer entries go straight to ball arithmetic, which is as fast there."""
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
        What decided it: ``"identical arrays"``, ``"exact rationals"``, ``"float64 with error bound"`` of the two
        values, ``"float64 with error bound of the change"`` or, for instance, ``"balls, 96 bits"``.
    """

    sign: int | None
    lower: float
    upper: float
    method: str

    def __neg__(self) -> Decision:
        sign = None if self.sign is None else -self.sign
        return Decision(sign, 0.0 - self.upper, 0.0 - self.lower, self.method)

    @property
    def not_above(self) -> bool | None:
        """Whether the value did not rise; None if undecided."""
        return None if self.sign is None else self.sign <= 0

    @property
    def midpoint(self) -> float:
        """A float in the enclosure, for tables."""
        return self.lower if self.lower == self.upper else self.lower / 2 + self.upper / 2

    @property
    def size(self) -> str:
        """How large the difference is, in words where no float is as small."""
        return f"{abs(self.midpoint):.6g}" if self.midpoint or not self.sign else "less than 5e-324"

    def __str__(self) -> str:
        word = {None: "undecided", -1: "falls", 0: "is equal", 1: "rises"}[self.sign]
        return f"{word} by {self.size} ({self.method})" if self.sign else f"{word} ({self.method})"


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
    return _decide(old, new, _rate(old, new, _positive(eps, "eps")))


def subspace_rate_change(before: Array, after: Array, U: Array, *, eps: Number) -> Decision:
    """Sign of Rᶜ(after|U) - Rᶜ(before|U), for any bases ``(K, d, p)``, orthonormal or not (N23 eq. 8)."""
    old, new = _pair(before, after)
    return _decide(old, new, _subspace_rate(old, new, _bases(U, old.shape[1]), _positive(eps, "eps")))


def partition_rate_change(before: Array, after: Array, Pi: Array, *, eps: Number) -> Decision:
    """Sign of Rᶜ(after|Pi) - Rᶜ(before|Pi), Rᶜ(Z|Pi) = Σ n_k/2n log det(I + d/(n_k eps²) ZᵀΠ_k Z).

    The memberships ``(n, K)`` may be hard or soft.
    """
    old, new = _pair(before, after)
    return _decide(old, new, _partition_rate(old, new, _memberships(Pi, len(old)), _positive(eps, "eps")))


def rate_reduction_change(before: Array, after: Array, U: Array, *, eps: Number) -> Decision:
    """Sign of ΔR(after|U) - ΔR(before|U), ΔR = R - Rᶜ."""
    old, new = _pair(before, after)
    U, precision = _bases(U, old.shape[1]), _positive(eps, "eps")
    return _decide(old, new, _rate(old, new, precision), -_subspace_rate(old, new, U, precision))


def partition_rate_reduction_change(before: Array, after: Array, Pi: Array, *, eps: Number) -> Decision:
    """Sign of ΔR(after|Pi) - ΔR(before|Pi), ΔR = R - Rᶜ, what ReduNet raises; memberships hard or soft."""
    old, new = _pair(before, after)
    memberships, precision = _memberships(Pi, len(old)), _positive(eps, "eps")
    return _decide(old, new, _rate(old, new, precision), -_partition_rate(old, new, memberships, precision))


def variational_rate_change(before: Array, after: Array, Pi: Array, U: Array, *, eps: Number) -> Decision:
    """Sign of R^var(after, Pi|U) - R^var(before, Pi|U), ToST's rate; bases ``(K, d, p)`` and memberships held fixed."""
    old, new = _pair(before, after)
    bases, memberships = _bases(U, old.shape[1]), _memberships(Pi, len(old))
    require_shape(memberships, (len(old), len(bases)), "Pi")
    return _decide(old, new, _variational_rate(old, new, memberships, bases, _positive(eps, "eps")))


def noise_share_change(before: Array, after: Array, Pi: Array, U: Array) -> Decision:
    """Sign of the change of N/(N + S): the share of the tokens' squares outside the subspaces of their classes.

    It falls where the ratio of S to N, the square of a signal-to-noise ratio over all classes, rises.
    """
    old, new = _pair(before, after)
    bases, memberships = _bases(U, old.shape[1]), _memberships(Pi, len(old))
    require_shape(memberships, (len(old), len(bases)), "Pi")
    return _decide(old, new, _noise_share(old, new, memberships, bases))


def l1_change(before: Array, after: Array) -> Decision:
    """Sign of |after|₁ - |before|₁."""
    old, new = _pair(before, after)
    return _decide(old, new, _l1(old, new))


def off_sphere_change(before: Array, after: Array) -> Decision:
    """Sign of the change of Σ_i (|z_i|² - 1)², how far the tokens are from the sphere."""
    old, new = _pair(before, after)
    return _decide(old, new, _off_sphere(old, new))


def sparse_rate_change(before: Array, after: Array, *, eps: Number, lam: Number) -> Decision:
    """Sign of the change of λ|Z|₁ - R(Z), what the sparsification half is meant to lower (N23 eq. 13)."""
    old, new = _pair(before, after)
    weight, precision = _nonnegative(lam, "lam"), _positive(eps, "eps")
    return _decide(old, new, weight * _l1(old, new), -_rate(old, new, precision))


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
    tokens, atoms = as_float64(Z, "Z"), as_float64(D, "D")
    old, new = _pair(before, after)
    require_shape(tokens, (old.shape[0], "d"), "Z")
    require_shape(atoms, (tokens.shape[1], old.shape[1]), "D")
    require_finite(tokens, "Z")
    require_finite(atoms, "D")
    residual = _half_squared_residual(tokens, atoms, old, new)
    return _decide(old, new, _nonnegative(lam, "lam") * _l1(old, new), residual)


def loss_change(objective: Objective, before: Array, after: Array) -> Decision:
    """Sign of the change of the loss -R + Rᶜ(.|U) + λ|.|₁ of ``objective`` (N23 eq. 1 with the l1 norm)."""
    old, new = _pair(before, after)
    U, precision = _bases(objective.U, old.shape[1]), _positive(objective.eps, "eps")
    return _decide(
        old,
        new,
        _subspace_rate(old, new, U, precision),
        -_rate(old, new, precision),
        _nonnegative(objective.lam, "lam") * _l1(old, new),
    )


# --- arguments ----------------------------------------------------------------------------------------------


def as_float64(a: Array, name: str) -> np.ndarray:
    """The same numbers as a NumPy float64 array, from any library and device: float32 loses nothing."""
    if not compat.is_array_api_obj(a):
        raise TypeError(f"{name} must be an array, got {type(a).__name__}")
    xp = compat.array_namespace(a)
    if compat.is_array_api_strict_namespace(xp):  # NumPy reads one of its devices
        a = a.to_device(xp.__array_namespace_info__().default_device())
    array = to_numpy(a)
    if array.dtype != np.float64:
        raise TypeError(f"{name} must be an array of float32 or float64, got {array.dtype}")
    return array


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


def _memberships(Pi: Array, n: int) -> np.ndarray:
    memberships = as_float64(Pi, "Pi")
    require_shape(memberships, (n, "K"), "Pi")
    require_membership(Pi, n)  # to the rounding of its own dtype
    return memberships


def _positive(x: Number, name: str) -> fmpq:
    value = _rational(x, name)
    if not value > 0:
        raise ValueError(f"{name} must be > 0, got {x!r}")
    return value


def _nonnegative(x: Number, name: str) -> fmpq:
    value = _rational(x, name)
    if not value >= 0:
        raise ValueError(f"{name} must be >= 0, got {x!r}")
    return value


def _rational(x: Number, name: str) -> fmpq:
    if isinstance(x, bool) or not isinstance(x, int | float | Rational | np.floating):
        raise TypeError(f"{name} must be a real number, got {type(x).__name__}")
    if not math.isfinite(x):
        raise ValueError(f"{name} must be finite, got {x!r}")
    fraction = Fraction(x if isinstance(x, Rational) else float(x))
    return fmpq(fraction.numerator, fraction.denominator)


# --- terms of a difference ----------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Term:
    """``weight`` times the change of a quantity: from enclosures of its two values, directly, and exactly."""

    weight: fmpq
    value: Callable[[np.ndarray], Enclosure]
    change: Callable[[], Enclosure]
    exact: Callable[[], fmpq | list[Ratio]]

    def __neg__(self) -> _Term:
        return replace(self, weight=-self.weight)

    def __rmul__(self, weight: fmpq) -> _Term:
        return replace(self, weight=weight * self.weight)


def _rate(old: np.ndarray, new: np.ndarray, eps: fmpq) -> _Term:
    precision = _fraction(eps)
    return _Term(
        rationals.ONE,
        lambda Z: enclosure.coding_rate(Z, eps=precision),
        lambda: enclosure.coding_rate_change(old, new, eps=precision),
        lambda: rationals.coding_rate(old, new, eps),
    )


def _subspace_rate(old: np.ndarray, new: np.ndarray, U: np.ndarray, eps: fmpq) -> _Term:
    precision = _fraction(eps)
    return _Term(
        rationals.ONE,
        lambda Z: enclosure.subspace_coding_rate(Z, U, eps=precision),
        lambda: enclosure.subspace_coding_rate_change(old, new, U, eps=precision),
        lambda: rationals.subspace_coding_rate(old, new, U, eps),
    )


def _partition_rate(old: np.ndarray, new: np.ndarray, Pi: np.ndarray, eps: fmpq) -> _Term:
    precision = _fraction(eps)
    return _Term(
        rationals.ONE,
        lambda Z: enclosure.partition_coding_rate(Z, Pi, eps=precision),
        lambda: enclosure.partition_coding_rate_change(old, new, Pi, eps=precision),
        lambda: rationals.partition_coding_rate(old, new, Pi, eps),
    )


def _variational_rate(old: np.ndarray, new: np.ndarray, Pi: np.ndarray, U: np.ndarray, eps: fmpq) -> _Term:
    c = between(_fraction(fmpq(old.shape[1]) / (eps * eps)))[0]
    return _Term(
        rationals.ONE,
        lambda Z: moments.variational_rate(Z, Pi, U, c),
        lambda: moments.NOTHING,
        lambda: rationals.variational_rate(old, new, Pi, U, eps),
    )


def _noise_share(old: np.ndarray, new: np.ndarray, Pi: np.ndarray, U: np.ndarray) -> _Term:
    return _Term(
        rationals.ONE,
        lambda Z: moments.noise_share(Z, Pi, U),
        lambda: moments.NOTHING,
        lambda: rationals.noise_share(old, new, Pi, U),
    )


def _l1(old: np.ndarray, new: np.ndarray) -> _Term:
    return _Term(rationals.ONE, enclosure.l1, lambda: enclosure.l1_change(old, new), lambda: rationals.l1(old, new))


def _off_sphere(old: np.ndarray, new: np.ndarray) -> _Term:
    return _Term(
        rationals.ONE,
        moments.off_sphere,
        lambda: moments.NOTHING,
        lambda: rationals.off_sphere(old, new),
    )


def _half_squared_residual(Z: np.ndarray, D: np.ndarray, old: np.ndarray, new: np.ndarray) -> _Term:
    return _Term(
        rationals.ONE,
        lambda A: enclosure.lasso(Z, D, A, lam=0),
        lambda: enclosure.lasso_change(Z, D, old, new, lam=0),
        lambda: rationals.half_squared_residual(Z, D, old, new),
    )


# --- the decision -------------------------------------------------------------------------------------------


def _decide(old: np.ndarray, new: np.ndarray, *terms: _Term) -> Decision:
    if np.array_equal(old, new):
        return Decision(0, 0.0, 0.0, "identical arrays")
    return (old.size >= FLOATS_FROM and _in_floats(old, new, terms)) or _in_balls(terms)


def _in_floats(old: np.ndarray, new: np.ndarray, terms: tuple[_Term, ...]) -> Decision | None:
    changes = [total(term.value(new), negative(term.value(old))) for term in terms]
    if decision := _clear(changes, terms, "float64 with error bound"):
        return decision
    changes = [intersection(change, term.change()) for change, term in zip(changes, terms, strict=True)]
    return _clear(changes, terms, "float64 with error bound of the change")


def _clear(changes: list[Enclosure], terms: tuple[_Term, ...], method: str) -> Decision | None:
    weighted = (times(_fraction(term.weight), change) for term, change in zip(terms, changes, strict=True))
    lower, upper = map(float, total(*weighted))
    if not (lower > 0 or upper < 0) or math.isinf(lower) or math.isinf(upper):
        return None
    return Decision(1 if lower > 0 else -1, lower, upper, method)


def _in_balls(terms: tuple[_Term, ...]) -> Decision:
    rational, ratios = rationals.ZERO, []
    for term in terms:
        part = term.exact()
        if isinstance(part, fmpq):
            rational += term.weight * part
        else:
            ratios += [Ratio(term.weight * r.weight, r.before, r.after) for r in part if r.before != r.after]
    if not ratios:
        return _enclosed((rational > 0) - (rational < 0), arb(rational), "exact rationals")
    for bits in PRECISIONS:
        with ctx.workprec(bits):
            value = arb(rational)
            for r in ratios:
                value += r.weight * (arb_mat(r.after).det() / arb_mat(r.before).det()).log() / 2
            if value > 0 or value < 0:
                return _enclosed(1 if value > 0 else -1, value, f"balls, {bits} bits")
        if bits == EXACT_FROM and rational == 0 and _equal(ratios):
            return Decision(0, 0.0, 0.0, "exact rationals")
    return _enclosed(None, value, f"balls, {PRECISIONS[-1]} bits")


def _equal(ratios: list[Ratio]) -> bool:
    # Whether Π det(after)^w = Π det(before)^w. A rational part other than 0 excludes equality and needs no
    # test: the logarithm of a rational number other than 1 is transcendental.
    if max(r.before.nrows() for r in ratios) > EXACT_SIZE:
        return False
    pairs = [(r.before.det(), r.after.det()) for r in ratios]
    common = math.lcm(*(int(r.weight.q) for r in ratios))
    powers = [int((r.weight * common).p) for r in ratios]
    if max(map(abs, powers)) > EXACT_SIZE:  # soft memberships: factor by factor, which suffices
        return all(before == after for before, after in pairs)
    product = fmpq(1)
    for power, (before, after) in zip(powers, pairs, strict=True):
        product *= fmpq(after, before) ** power
    return bool(product == 1)


def _fraction(x: fmpq) -> Fraction:
    return Fraction(int(x.p), int(x.q))


def _enclosed(sign: int | None, value: arb, method: str) -> Decision:
    lower, upper = -math.inf, math.inf
    if value.is_finite():
        lower = math.nextafter(float(value.lower()), -math.inf)
        upper = math.nextafter(float(value.upper()), math.inf)
    if sign is not None:  # gives back what rounding outwards to a float took
        lower, upper = (max(lower, 0.0) if sign >= 0 else lower), (min(upper, 0.0) if sign <= 0 else upper)
    return Decision(sign, lower, upper, method)
