r"""Rigorous enclosures of rates, norms and losses, at the speed of matrix products.

The floats given are rational numbers, and so are the parameters (a ``fractions.Fraction`` is taken as it is): the exact
value of the formula for them lies between the bounds returned. What the bounds rest on, with sources and assumptions,
is in ``srr/_verified.py``; no ball arithmetic is needed, and NumPy arrays of float64 alone are taken.

A ``..._change`` encloses what the value after exceeds the value before by, without subtracting two values: its radius
is a share of the change, where the difference of two enclosures would have the radii of both.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from fractions import Fraction
from numbers import Rational
from typing import NamedTuple

import numpy as np

from srr import _arrays, _verified
from srr._arrays import Array
from srr._heads import project, side_by_side
from srr._intervals import Enclosure, between, negative, nonnegative, outwards, times, total
from srr._verified import (
    LOST,
    SAFETY,
    Constant,
    Known,
    Stack,
    gamma,
    half_log_det,
    half_log_det_change,
    half_log_det_of_gram,
    stack,
)
from srr.streaming import Moments

__all__ = [
    "Enclosure",
    "coding_rate",
    "coding_rate_change",
    "l1",
    "l1_change",
    "lasso",
    "lasso_change",
    "loss",
    "loss_change",
    "partition_coding_rate",
    "partition_coding_rate_change",
    "streamed_coding_rate",
    "streamed_subspace_coding_rate",
    "subspace_coding_rate",
    "subspace_coding_rate_change",
]

Number = int | float | Rational

VANISHED = 1e-300
"""More than underflow takes from the norm of a column √π_k ∘ Z, Z of ordinary size."""


# --- values -----------------------------------------------------------------------------------------------------


def coding_rate(Z: Array, *, eps: Number) -> Enclosure:
    r"""R(Z) = ½ log det(I + α ZᵀZ), α = d/(n ε²), in nats.

    Parameters
    ----------
    Z : array, shape (..., n, d)
        NumPy, float64.
    eps : int, float or Fraction
        Precision ε > 0, as the rational number that it is; it enters as ε².

    Returns
    -------
    Enclosure
        ``lower`` and ``upper``, each ``(...)``.

    Raises
    ------
    TypeError, ValueError
        An argument of the wrong kind, library, dtype, shape or value; the message names it.

    Notes
    -----
    Yu et al. 2023 (arXiv 2306.01129), eq. 7.
    """
    _require_tokens(Z=Z)
    alpha = _constant(Z.shape[-1], Z.shape[-2], eps)
    return _over_sets(lambda Z: half_log_det(stack(_taller(Z), alpha)), Z)


def subspace_coding_rate(Z: Array, U: Array, *, eps: Number) -> Enclosure:
    r"""Rᶜ(Z|U) = ½ Σ_k log det(I + β U_kᵀZᵀZU_k), β = p/(n ε²), in nats.

    Parameters, result and errors as in `coding_rate`; U is ``(K, d, p)``, any vectors (N23 eq. 8).
    """
    _require_tokens(Z=Z, U=U)
    _arrays.require_bases(U, Z.shape[-1])
    beta, bases = _constant(U.shape[-1], Z.shape[-2], eps), _Bases.of(U)
    return nonnegative(_over_sets(lambda Z: _summed(half_log_det(_heads(Z, bases, beta))), Z))


def streamed_coding_rate(Z: Moments, *, eps: Number) -> Enclosure:
    """R(Z) of tokens that were streamed: from `streaming.moments` of blocks of NumPy arrays of float64, by "gram".

    In whatever order the blocks were summed: |S − ZᵀZ|_ij ≤ γ_depth ‖z_i‖‖z_j‖. For `streaming.second_moments` it holds
    if S was summed in float64, with at most n additions in a row. Where depth, and a few times d, come to more than
    2⁴³, nothing is known: the enclosure is [0, ∞]. Result and errors as in `coding_rate`.
    """
    S, t, shift = _moments(Z)
    c = _constant(len(S), Z.n, eps)
    lost = _taken(Z.n, _lost(shift))
    return half_log_det_of_gram(S, Constant(c.mantissa, c.exponent + 2 * shift), t, Z.depth + 2, lost)


def streamed_subspace_coding_rate(Z: Moments, U: Array, *, eps: Number) -> Enclosure:
    """Rᶜ(Z|U) of tokens that were streamed; Z as in `streamed_coding_rate`, the rest as in `subspace_coding_rate`."""
    S, t, shift = _moments(Z)
    _require_tokens(U=U)
    _arrays.require_bases(U, len(S))
    beta, bases = _constant(U.shape[-1], Z.n, eps), _Bases.of(U)
    # Entry ij of the computed U_kᵀSU_k is off by γ times Σ_ab |u_ai| ‖z_a‖‖z_b‖ |u_bj|.
    heads = np.matmul(np.swapaxes(bases.U, -1, -2), np.matmul(S, bases.U))
    with _arrays.quiet():
        sizes = SAFETY * np.matmul(t, np.abs(bases.U)) + LOST
    symmetric = (heads + np.swapaxes(heads, -1, -2)) / 2
    large = np.frexp(np.max(sizes, axis=-1))[1]
    large = np.where(large > _verified.ORDINARY, large, 0)
    symmetric, sizes = np.ldexp(symmetric, -2 * large[:, None, None]), np.ldexp(sizes, -large[:, None])
    c = Constant(beta.mantissa, beta.exponent + 2 * (shift + bases.shift + large))
    # What underflow takes from S, or from a U that is scaled, enters d² times, by two entries of U, or by one of each.
    more = 2 * (_verified.ORDINARY + len(S).bit_length() + 2)
    lost = _taken(Z.n, _lost(shift) + more - 2 * large)
    roundings = Z.depth + 2 * len(S) + 6
    found = _summed(half_log_det_of_gram(symmetric[None], c, sizes[None], roundings, lost[None]))
    return nonnegative(Enclosure(found.lower[0], found.upper[0]))


def _moments(Z: Moments) -> tuple[np.ndarray, np.ndarray, int]:
    """S of ordinary size, bounds on the norms of its tokens' columns, and the half of the power of two taken off."""
    if not isinstance(Z, Moments):
        raise TypeError(f"Z must be Moments, got {type(Z).__name__}")
    if Z.method != "gram":
        raise ValueError(f"Z must have method 'gram', got {Z.method!r}")
    S = Z.matrix
    if not isinstance(S, np.ndarray) or S.dtype != np.float64:
        raise TypeError(f"Z must be moments of NumPy arrays of float64, got {type(S).__module__} of {S.dtype}")
    shift = int(np.frexp(np.max(np.diagonal(S)))[1]) // 2
    shift = 0 if abs(shift) <= _verified.ORDINARY else shift
    S = np.ldexp(S, -2 * shift)
    return S, SAFETY * (np.sqrt(np.diagonal(S)) + np.sqrt(_taken(Z.n, _lost(shift)))), shift


def _lost(shift: int) -> int:
    """The exponent of what underflow takes from a product, once this power of four is taken off."""
    return -1074 - 2 * min(shift, 0)


def _taken(n: int, exponent: int | np.ndarray) -> np.ndarray:
    """What underflow takes from an entry of S: once from each of n products, and from what the sum is scaled to."""
    with _arrays.quiet():
        return np.asarray(np.ldexp(between(Fraction(n + 3))[1], np.maximum(exponent, -1074)))


def partition_coding_rate(Z: Array, Pi: Array, *, eps: Number) -> Enclosure:
    r"""Rᶜ(Z|Π) = Σ_k (n_k/2n) log det(I + α_k Zᵀ Diag(π_k) Z), n_k = Σ_j Π_jk, α_k = d/(n_k ε²), in nats.

    Parameters, result and errors as in `coding_rate`; Pi is ``(..., n, K)``, hard or soft, and its batch axes broadcast
    against those of Z. The memberships are the floats given; that their rows sum to one is asked to the rounding of
    float32, so that float64 copies of such memberships pass.
    """
    _require_tokens(Z=Z, Pi=Pi)
    _require_memberships(Z, Pi)
    precision = _exact_positive(eps, "eps")
    return nonnegative(_over_parts(lambda Z, pi: half_log_det(_part(Z, pi, precision)), Pi, Z))


def l1(Z: Array) -> Enclosure:
    """‖Z‖₁ of arrays ``(..., n, d)``; errors as in `coding_rate`."""
    _require_tokens(Z=Z)
    return nonnegative(_each(lambda Z: _sum(np.abs(Z)), Z))


def lasso(Z: Array, D: Array, A: Array, *, lam: Number) -> Enclosure:
    """λ‖A‖₁ + ½‖Z − A Dᵀ‖², of tokens Z ``(..., n, d)`` and codes A ``(..., n, m)`` in a dictionary D ``(d, m)``.

    Result and errors as in `coding_rate`; λ ≥ 0 is taken as the rational number that it is.
    """
    _require_codes(Z, D, A=A)
    weight = _exact_nonnegative(lam, "lam")
    return total(times(weight, l1(A)), _each(lambda Z, A: _half_squared_residual(Z, D, A), Z, A))


def loss(Z: Array, U: Array, *, eps: Number, lam: Number) -> Enclosure:
    """Rᶜ(Z|U) − R(Z) + λ‖Z‖₁; arguments, result and errors as in `subspace_coding_rate` and `lasso`."""
    rates = total(subspace_coding_rate(Z, U, eps=eps), negative(coding_rate(Z, eps=eps)))
    return total(rates, times(_exact_nonnegative(lam, "lam"), l1(Z)))


# --- changes ----------------------------------------------------------------------------------------------------


def coding_rate_change(before: Array, after: Array, *, eps: Number) -> Enclosure:
    """R(after) − R(before), tokens ``(..., n, d)``; result and errors as in `coding_rate`.

    It says something for small steps only: where I + αZᵀZ moves by less than its own size.
    """
    _require_pair(before, after)
    n, d = before.shape[-2:]
    alpha = _constant(d, n, eps)
    return _over_sets(lambda old, new: _tokens_change(_Step.of(old, new), alpha), before, after)


def subspace_coding_rate_change(before: Array, after: Array, U: Array, *, eps: Number) -> Enclosure:
    """Rᶜ(after|U) − Rᶜ(before|U); result and errors as in `subspace_coding_rate`, and as in `coding_rate_change`."""
    _require_pair(before, after, U=U)
    n, d = before.shape[-2:]
    _arrays.require_bases(U, d)
    beta, bases = _constant(U.shape[-1], n, eps), _Bases.of(U)
    return _over_sets(lambda old, new: _summed(_heads_change(_Step.of(old, new), bases, beta)), before, after)


def partition_coding_rate_change(before: Array, after: Array, Pi: Array, *, eps: Number) -> Enclosure:
    """Rᶜ(after|Pi) − Rᶜ(before|Pi); result and errors as in `partition_coding_rate`, and as in `coding_rate_change`."""
    _require_pair(before, after, Pi=Pi)
    _require_memberships(before, Pi)
    precision = _exact_positive(eps, "eps")
    return _over_parts(lambda old, new, pi: _part_change(_Step.of(old, new), pi, precision), Pi, before, after)


def l1_change(before: Array, after: Array) -> Enclosure:
    """‖after‖₁ − ‖before‖₁, to a rounding."""
    _require_pair(before, after)
    return _each(lambda old, new: _sum(np.stack([np.abs(new), -np.abs(old)])), before, after)


def lasso_change(Z: Array, D: Array, before: Array, after: Array, *, lam: Number) -> Enclosure:
    """The change of λ‖A‖₁ + ½‖Z − A Dᵀ‖² from the code ``before`` to the code ``after``; arguments as in `lasso`."""
    _require_codes(Z, D, before=before, after=after)
    weight = _exact_nonnegative(lam, "lam")
    residual = _each(lambda Z, old, new: _half_squared_residual_change(Z, D, old, new), Z, before, after)
    return total(times(weight, l1_change(before, after)), residual)


def loss_change(before: Array, after: Array, U: Array, *, eps: Number, lam: Number) -> Enclosure:
    """The change of Rᶜ(Z|U) − R(Z) + λ‖Z‖₁; arguments, result and errors as in `loss` and `coding_rate_change`."""
    _require_pair(before, after, U=U)
    weight = _exact_nonnegative(lam, "lam")
    smooth = negative(coding_rate_change(before, after, eps=eps))
    compression = subspace_coding_rate_change(before, after, U, eps=eps)
    return total(compression, smooth, times(weight, l1_change(before, after)))


# --- arguments --------------------------------------------------------------------------------------------------


def _require_tokens(**arrays: Array) -> None:
    _arrays.namespace(**arrays)
    for name, a in arrays.items():
        if not isinstance(a, np.ndarray) or a.dtype != np.float64:
            given = f"{type(a).__module__}.{type(a).__name__} of {a.dtype}"
            raise TypeError(f"{name} must be a NumPy array of float64, got {given}")
    first = next(iter(arrays))
    _arrays.require_tokens(arrays[first], first)


def _require_pair(before: Array, after: Array, **others: Array) -> None:
    _require_tokens(before=before, after=after, **others)
    _arrays.require_shape(after, before.shape, "after")
    _arrays.require_finite(after, "after")


def _require_memberships(Z: Array, Pi: Array) -> None:
    _arrays.require_finite(Pi, "Pi")
    if np.any(Pi < 0):  # by what is zero in float32, too
        raise ValueError(f"Pi must have entries >= 0, got {np.min(Pi):.6g}")
    _arrays.require_membership(Pi.astype(np.float32), Z.shape[-2])
    _arrays.require_broadcast(Z=Z, Pi=Pi)


def _require_codes(Z: Array, D: Array, **codes: Array) -> None:
    _require_tokens(Z=Z, D=D, **codes)
    _arrays.require_shape(D, (Z.shape[-1], "m"), "D")
    _arrays.require_finite(D, "D")
    for name, A in codes.items():
        _arrays.require_shape(A, ("...", Z.shape[-2], D.shape[1]), name)
        _arrays.require_finite(A, name)
        _arrays.require_broadcast(Z=Z, **{name: A})


def _exact_positive(value: Number, name: str) -> Fraction:
    if isinstance(value, Fraction):
        if value <= 0:
            raise ValueError(f"{name} must be > 0, got {value}")
        return value
    return _exact(value, _arrays.positive(value, name))


def _exact_nonnegative(value: Number, name: str) -> Fraction:
    if isinstance(value, Fraction):
        if value < 0:
            raise ValueError(f"{name} must be >= 0, got {value}")
        return value
    return _exact(value, _arrays.nonnegative(value, name))


def _exact(value: Number, rounded: float) -> Fraction:
    return Fraction(int(value)) if isinstance(value, int | np.integer) else Fraction(rounded)


def _constant(dimension: int, n: int, eps: Number) -> Constant:
    return Constant.of(Fraction(dimension, n) / _exact_positive(eps, "eps") ** 2)


# --- the matrices of a rate ---------------------------------------------------------------------------------------


def _scaled(A: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Matrices of ordinary size, and the power of two that each is to be multiplied by."""
    largest = np.max(np.abs(A), axis=(-2, -1))
    shift = np.frexp(largest)[1]
    shift = np.where(np.abs(shift) <= _verified.ORDINARY, 0, shift)
    return np.ldexp(A, -shift[..., None, None]), shift


def _taller(A: np.ndarray) -> np.ndarray:
    """A or its transpose: det(I + AᵀA) = det(I + AAᵀ)."""
    return np.swapaxes(A, -1, -2) if A.shape[-2] < A.shape[-1] else A


class _Bases(NamedTuple):
    """Bases of ordinary size, ``2**shift`` times which are those given."""

    U: np.ndarray
    W: np.ndarray
    shift: int

    @staticmethod
    def of(U: np.ndarray) -> _Bases:
        shift = int(np.max(_scaled(U)[1]))
        U = np.ldexp(U, -shift)
        return _Bases(U, side_by_side(U), shift)

    def project(self, Z: np.ndarray) -> np.ndarray:
        return _taller(project(Z, self.W, len(self.U)))

    def project_sizes(self, Z: np.ndarray) -> np.ndarray:
        return _taller(project(np.abs(Z), np.abs(self.W), len(self.U)))


def _heads(Z: np.ndarray, bases: _Bases, beta: Constant) -> Stack:
    # Entry ij of the computed ZU_k is off by γ_d ‖z_i‖‖u_j‖ at most.
    Z, shift = _scaled(Z)
    n, d = Z.shape[-2:]
    tokens, atoms = np.sqrt(np.sum(Z * Z, axis=-1)), np.sqrt(np.sum(bases.U * bases.U, axis=-2))
    if n < atoms.shape[1]:
        s = tokens[:, None, :] * np.sqrt(np.sum(atoms**2, axis=1))[:, None]
    else:
        s = np.sqrt(np.sum(tokens**2, axis=1))[:, None, None] * atoms
    c = Constant(beta.mantissa, beta.exponent + 2 * (shift[:, None] + bases.shift))
    return stack(bases.project(Z), c, SAFETY * gamma(d) * s + LOST)


def _part(Z: np.ndarray, pi: np.ndarray, eps: Fraction) -> Stack:
    Z, shift = _scaled(Z)
    c = _part_constant(pi, Z.shape[1], eps)
    Y = _taller(np.sqrt(pi)[:, None] * Z)
    return stack(Y, Constant(c.mantissa, c.exponent + 2 * shift), np.full(Y.shape[1], VANISHED), roundings=4)


def _part_constant(pi: np.ndarray, d: int, eps: Fraction) -> Constant:
    return Constant.of(d / (Fraction(math.fsum(pi.tolist())) * eps**2))


# --- and of its change --------------------------------------------------------------------------------------------


class _Step(NamedTuple):
    """Tokens before, their change and their sum, all of ordinary size.

    ``2**shift`` times ``old`` and ``both`` and ``2**(shift + smaller)`` times ``change`` are those given, but for a
    rounding of each entry.
    """

    old: np.ndarray
    change: np.ndarray
    both: np.ndarray
    shift: np.ndarray
    smaller: np.ndarray

    @staticmethod
    def of(old: np.ndarray, new: np.ndarray) -> _Step:
        shift = np.maximum(_scaled(old)[1], _scaled(new)[1])
        old, new = (np.ldexp(A, -shift[..., None, None]) for A in (old, new))
        change = new - old
        smaller = np.frexp(np.max(np.abs(change), axis=(-2, -1)))[1]
        return _Step(old, np.ldexp(change, -smaller[..., None, None]), old + new, shift, smaller)

    def constants(self, c: Constant) -> tuple[Constant, Constant]:
        """c for I + c YᵀY, and the weight of its change."""
        exponent = c.exponent + 2 * self.shift
        return Constant(c.mantissa, exponent), Constant(c.mantissa, exponent + self.smaller)


def _tokens_change(step: _Step, alpha: Constant) -> Enclosure:
    c, weight = step.constants(alpha)
    change, both = (Known(_taller(A), np.abs(_taller(A)), 1) for A in (step.change, step.both))
    return half_log_det_change(stack(_taller(step.old), c), change, both, weight)


def _heads_change(step: _Step, bases: _Bases, beta: Constant) -> Enclosure:
    d = step.old.shape[-1]
    _, weight = step.constants(beta)
    change, both = (Known(bases.project(A), bases.project_sizes(A), d + 1) for A in (step.change, step.both))
    given = _heads(step.old, bases, Constant(beta.mantissa, beta.exponent + 2 * step.shift[:, None]))
    weight = Constant(weight.mantissa, weight.exponent[:, None] + 2 * bases.shift)
    return half_log_det_change(given, change, both, weight)


def _part_change(step: _Step, pi: np.ndarray, eps: Fraction) -> Enclosure:
    c, weight = step.constants(_part_constant(pi, step.old.shape[1], eps))
    root = np.sqrt(pi)[:, None]
    change, both = (Known(_taller(root * A), np.abs(_taller(root * A)), 5) for A in (step.change, step.both))
    Y = _taller(root * step.old)
    return half_log_det_change(stack(Y, c, np.full(Y.shape[1], VANISHED), roundings=4), change, both, weight)


# --- sums and residuals -------------------------------------------------------------------------------------------


def _sum(A: np.ndarray) -> Enclosure:
    """The sum of all entries, which `math.fsum` rounds once."""
    try:
        value = np.asarray(math.fsum(A.ravel().tolist()))
    except OverflowError:
        value = np.asarray(np.nan)
    return outwards(value, value)


def _half_squared_residual(Z: np.ndarray, D: np.ndarray, A: np.ndarray) -> Enclosure:
    tokens, code, size, shift = _reconstruction(Z, D, A)
    residual = np.abs(tokens - code)
    wrong = SAFETY * gamma(A.shape[1] + 2) * size + LOST
    value = _rowwise_sum(residual**2) / 2
    bound = SAFETY * (_rowwise_sum((residual + wrong) * wrong) + gamma(sum(Z.shape) + 4) * value) + LOST
    return _shifted(np.clip(value - bound, 0, None), value + bound, 2 * shift)


def _half_squared_residual_change(Z: np.ndarray, D: np.ndarray, old: np.ndarray, new: np.ndarray) -> Enclosure:
    """½‖Z − A⁺Dᵀ‖² − ½‖Z − ADᵀ‖² = −½⟨ΔDᵀ, 2Z − (A + A⁺)Dᵀ⟩."""
    step = _Step.of(old, new)
    atoms, d = _scaled(D)
    with _arrays.quiet():  # where the doubles overflow, so does the bound
        tokens, code, size, shift = _reconstruction(2 * Z, D, np.ldexp(step.both, step.shift))
    moved, moved_size = step.change @ atoms.T, np.abs(step.change) @ np.abs(atoms.T)
    value = -_rowwise_sum(moved * (tokens - code)) / 2
    wrong = gamma(2 * old.shape[1] + sum(Z.shape) + 10)
    bound = SAFETY * wrong * _rowwise_sum(moved_size * size) + LOST
    return _shifted(value - bound, value + bound, shift + step.shift + step.smaller + d)


def _reconstruction(Z: np.ndarray, D: np.ndarray, A: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray, int]:
    """Z, A Dᵀ, |Z| + |A||Dᵀ|, and the power of two that they are to be multiplied by."""
    (Z, z), (D, d), (A, a) = (_scaled(M) for M in (Z, D, A))
    shift = int(max(z, a + d))
    tokens = np.ldexp(Z, z - shift)
    code, size = (np.ldexp(product, a + d - shift) for product in (A @ D.T, np.abs(A) @ np.abs(D.T)))
    return tokens, code, np.abs(tokens) + size, shift


def _rowwise_sum(A: np.ndarray) -> np.ndarray:
    return np.asarray(np.sum(np.sum(A, axis=1)))


def _shifted(lower: np.ndarray, upper: np.ndarray, shift: int) -> Enclosure:
    with _arrays.quiet():
        return outwards(*np.ldexp((lower, upper), shift))


# --- over batches -------------------------------------------------------------------------------------------------


def _over_sets(f: Callable[..., Enclosure], *arrays: np.ndarray) -> Enclosure:
    """``f`` of token sets ``(b, n, d)``, a cache-sized block at a time."""
    return Enclosure(*map(np.asarray, _arrays.map_blocks(f, *arrays)))


def _each(f: Callable[..., Enclosure], *arrays: np.ndarray) -> Enclosure:
    """``f`` of one matrix each, over their common batch axes."""
    batch = np.broadcast_shapes(*(a.shape[:-2] for a in arrays))
    arrays = tuple(np.broadcast_to(a, (*batch, *a.shape[-2:])) for a in arrays)
    found = [f(*(a[index] for a in arrays)) for index in np.ndindex(*batch)]
    lower, upper = (np.array([x[i] for x in found]).reshape(batch) for i in (0, 1))
    return Enclosure(lower, upper)


def _summed(parts: Enclosure) -> Enclosure:
    """The sums over the second axis of two."""
    wrong = SAFETY * gamma(parts.lower.shape[1] + 1)
    with _arrays.quiet():
        lower, upper = (np.sum(bound, axis=1) for bound in parts)
        slack = (wrong * np.sum(np.abs(bound), axis=1) for bound in parts)
        return outwards(lower - next(slack), upper + next(slack))


def _over_parts(f: Callable[..., Enclosure], Pi: np.ndarray, *tokens: np.ndarray) -> Enclosure:
    """Σ_k n_k/n f(tokens of part k, their memberships); an empty part counts zero."""

    def weighted(pi: np.ndarray, *tokens: np.ndarray) -> Enclosure:
        members = pi > 0
        part = f(*(Z[members] for Z in tokens), pi[members])
        part = times(Fraction(math.fsum(pi.tolist())) / len(pi), part)
        return outwards(*part)  # fsum rounds once

    def of_one(Pi: np.ndarray, *tokens: np.ndarray) -> Enclosure:
        return total(*(weighted(pi, *tokens) for pi in Pi.T if np.any(pi > 0)))

    return _each(of_one, Pi, *tokens)
