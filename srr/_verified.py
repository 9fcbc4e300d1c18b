r"""½ log det(I + c YᵀY) in float64, with a bound on all that rounding can have done to it.

The sources are Higham, *Accuracy and Stability of Numerical Algorithms* (2nd ed., 2002), for what a product and a
Cholesky factor can be off by, and Rump, *Verification methods* (Acta Numerica 19, 2010), for what an approximate
inverse factor proves. With γ_m = mu/(1 − mu), d_i² = m_ii and h = γ_{n+q+8}:

- The Gram matrix, the constant and the one on the diagonal bring |fl(M) − M|_ij ≤ γ_{n+4} d_i d_j (§3.5 and the
  Cauchy–Schwarz inequality); the computed factor has |LLᵀ − fl(M)| ≤ γ_{q+3} |L||Lᵀ| (theorem 10.3). So
  LLᵀ = M + E with |E_ij| ≤ h d_i d_j, and log det LLᵀ = 2 Σ log l_ii.
- *At no cost*: M ≥ I, so φ = ‖E‖_F ≤ h tr M moves ½ log det M by at most ½ √q φ/(1 − φ).
- *With the inverse factor*: |L⁻¹EL⁻ᵀ| ≤ h v vᵀ, v = |L⁻¹|d, the k-th power of which has a trace of at most f^k,
  f = h‖v‖²; so E moves log det by at most Σ f^k/k = −log(1 − f), however large c is. For X ≈ L⁻¹ with
  ‖I − XL‖_F ≤ δ, ‖v‖ ≤ ‖|X|d‖/(1 − δ).
- Where Y itself is known up to errors with column norms s_j: they move ½ log det by at most ½ √(cq) ‖s‖, as its
  gradient is no longer than ½ √(cq); or, with a = √c s, they add a_i d_j + d_i a_j + a_i a_j to the bound on |E_ij|.
- Whatever the condition: ½ log(1 + c tr YᵀY) ≤ ½ log det(I + cYᵀY) ≤ ½ Σ log(1 + c‖y_i‖²), the latter Hadamard's
  inequality. They are sharp where all is small, and the only finite bounds where the factorisation fails.

**Assumptions.** Floats are IEEE 754 doubles, rounded to nearest, with gradual underflow. A matrix product sums its
products, in any order, with or without fused operations, by no fast (Strassen) algorithm. LAPACK's Cholesky
factorisation is a conventional one, in any order of its sums, and divides by a pivot or multiplies by its rounded
reciprocal. ``log`` and ``log1p`` err by at most 4 units in the last place; NumPy's own tests allow no more. Underflow
is accounted for: with Y of ordinary size, what vanishes below 2⁻¹⁰²² in an entry of M is less than u, and m_ii ≥ 1.
"""

from __future__ import annotations

import math
from fractions import Fraction
from typing import NamedTuple

import numpy as np

from srr import _arrays
from srr._intervals import UNIT, Enclosure, intersection, nonnegative, outwards

SAFETY = 1.01
"""On every bound: for the rounding in computing the bound, and for products of two small terms."""
LOG_ERROR = 8 * UNIT
"""Relative error of log and log1p: 4 units in the last place."""
CLEAR = 1e-9
"""A radius this small relative to the value is not sharpened with the inverse factor."""
ORDINARY = 100
"""Y is scaled where its largest entry is outside 2^±100."""
SMALL = 2.0**-10
"""Where mu is more, γ_m² is not small beside γ_m, and SAFETY not enough: nothing is said."""
LEAST, MOST = -900, 600
"""Exponents of c, beyond which the bounds for these are widened: c‖Y‖² neither overflows nor vanishes."""
TINY = 1e-250
"""More than what underflow takes from a value that is not lost in its rounding, c‖Y‖² being small."""
LOST = 1e-120
"""More than what underflow takes from a norm: squares below 2⁻¹⁰⁷⁴, beside entries up to 2^200."""
MODEST = 200
"""For a change, c is to be within 2^±200, and its weight below;"""
FAINT = 1e-200
"""this is then more than what underflow takes from it."""


def gamma(m: int) -> float:
    """γ_m = mu/(1 − mu), which bounds m roundings in a row; infinite where mu is not small."""
    return m * UNIT / (1 - m * UNIT) if m <= SMALL / UNIT else math.inf


class Constant(NamedTuple):
    """A positive number ``mantissa * 2**exponent``, beyond the range of floats too; one for each matrix."""

    mantissa: np.ndarray
    exponent: np.ndarray

    @staticmethod
    def of(x: Fraction) -> Constant:
        """To a relative u."""
        exponent = x.numerator.bit_length() - x.denominator.bit_length()
        return Constant(np.asarray(float(x / Fraction(2) ** exponent)), np.asarray(exponent))


class Stack(NamedTuple):
    """Matrices Y ``(..., n, q)`` and the c of each, in ½ log det(I + c YᵀY)."""

    Y: np.ndarray
    c: Constant
    s: np.ndarray
    """Bounds on the norms of the errors of the columns of Y, ``(..., q)``."""
    roundings: int
    """Behind every entry of Y or its c, relative to it."""


def stack(Y: np.ndarray, c: Constant, s: np.ndarray | None = None, roundings: int = 0) -> Stack:
    """Matrices of ordinary size, whatever their size was, with errors that are bounded by ``s`` where they have any."""
    s = np.zeros((*Y.shape[:-2], Y.shape[-1])) if s is None else s
    largest = np.maximum(np.max(np.abs(Y), axis=(-2, -1)), np.max(s, axis=-1))
    shift = np.frexp(largest)[1]
    shift = np.where(np.abs(shift) <= ORDINARY, 0, shift)
    if np.any(shift):
        Y = np.ldexp(Y, -shift[..., None, None])
        s = np.where(s > 0, np.nextafter(np.ldexp(s, -shift[..., None]), np.inf), 0.0)
    return Stack(Y, Constant(c.mantissa, c.exponent + 2 * shift), s, roundings)


class Factor(NamedTuple):
    """LLᵀ = M + E with |E_ij| ≤ h d_i d_j + a_i d_j + d_i a_j + a_i a_j, for M = I + c YᵀY and a = √c s."""

    L: np.ndarray
    """NaN where the factorisation fails."""
    d: np.ndarray
    a: np.ndarray
    h: float


def factor(given: Stack, c: np.ndarray) -> Factor:
    """Factorise I + c YᵀY."""
    n, q = given.Y.shape[-2:]
    M = np.matmul(np.swapaxes(given.Y, -1, -2), given.Y)
    M *= c[..., None, None]
    diagonal = np.arange(q)
    M[..., diagonal, diagonal] += 1
    d = np.sqrt(M[..., diagonal, diagonal])
    h = SAFETY * gamma(n + q + 8 + 2 * given.roundings)
    return Factor(_arrays.cholesky(M), d, SAFETY * np.sqrt(c)[..., None] * given.s, h)


def half_log_det(given: Stack) -> Enclosure:
    """½ log det(I + c YᵀY) of each matrix, ``(...)``."""
    exponent = np.clip(given.c.exponent, LEAST, MOST)
    c = np.broadcast_to(np.ldexp(given.c.mantissa, exponent), given.Y.shape[:-2])
    with _arrays.quiet():
        found = intersection(_factored(factor(given, c)), _whatever_the_condition(given, c))
        return _beyond(found, given.c.exponent - exponent, given.Y.shape[-1])


def half_log_det_of_gram(S: np.ndarray, c: Constant, t: np.ndarray, roundings: int, lost: np.ndarray) -> Enclosure:
    """½ log det(I + c YᵀY) from S ``(..., q, q)`` with |S − YᵀY|_ij ≤ γ_roundings t_i t_j + lost, and t_i ≥ ‖y_i‖.

    As with Y itself, t in the place of its norms. No entry of S or t² is to be far above 4^``ORDINARY``; ``lost``,
    ``(...)``, is what underflow has taken from an entry at most.
    """
    q, diagonal = S.shape[-1], np.arange(S.shape[-1])
    exponent = np.clip(c.exponent, LEAST, MOST)
    constant = np.broadcast_to(np.ldexp(c.mantissa, exponent), S.shape[:-2])
    with _arrays.quiet():
        M = constant[..., None, None] * S
        M[..., diagonal, diagonal] += 1
        d = np.maximum(np.sqrt(np.maximum(M[..., diagonal, diagonal], 1)), SAFETY * np.sqrt(constant)[..., None] * t)
        h = SAFETY * (gamma(roundings + q + 8) + np.max(constant * lost))  # as d_i ≥ 1
        squares = np.diagonal(S, axis1=-2, axis2=-1)
        off = SAFETY * (gamma(roundings + 4) * t**2 + np.asarray(lost)[..., None])
        wrong = SAFETY * (gamma(q + 8) + LOG_ERROR)
        least = np.sum(np.clip(squares - off, 0, None), axis=-1)
        upper = np.sum(np.log1p(constant[..., None] * (np.clip(squares, 0, None) + off)), axis=-1) / 2
        lower = np.log1p(constant * least) / 2
        lower = np.where(np.isfinite(lower), lower, -np.inf)
        simple = outwards(lower * (1 - wrong) - TINY, upper * (1 + wrong) + TINY)
        found = intersection(_factored(Factor(_arrays.cholesky(M), d, np.zeros_like(d), float(h))), simple)
        return _beyond(found, c.exponent - exponent, q)


def _beyond(found: Enclosure, beyond: np.ndarray, q: int) -> Enclosure:
    # Constants that were clipped: the value increases with c, by no more than ½ q log of the ratio.
    more = SAFETY * q / 2 * math.log(2) * np.clip(beyond, 0, None)
    return nonnegative(outwards(np.where(beyond < 0, 0.0, found.lower), found.upper + more))


def _factored(found: Factor) -> Enclosure:
    q = found.L.shape[-1]
    logs = np.log(np.diagonal(found.L, axis1=-2, axis2=-1))
    value = np.sum(logs, axis=-1)
    phi = found.h * np.sum(found.d**2, axis=-1)
    radius = np.asarray(math.sqrt(q) / 2 * (phi / np.clip(1 - phi, 0, None) + np.sqrt(np.sum(found.a**2, axis=-1))))
    doubtful = (radius > CLEAR * value) & np.isfinite(value)
    if np.any(doubtful):
        chosen = Factor(found.L[doubtful], found.d[doubtful], found.a[doubtful], found.h)
        radius[doubtful] = np.fmin(radius[doubtful], -np.log1p(-inverse_factor(chosen).moved) / 2)
    radius += (gamma(q) + LOG_ERROR) * np.sum(np.abs(logs), axis=-1)
    radius = SAFETY * radius + TINY
    return outwards(value - radius, value + radius)


def _whatever_the_condition(given: Stack, c: np.ndarray) -> Enclosure:
    n, q = given.Y.shape[-2:]
    norms = np.sqrt(np.einsum("...ij,...ij->...j", given.Y, given.Y))
    wrong = SAFETY * (gamma(n + q + 8 + 2 * given.roundings) + LOG_ERROR)
    known = np.sqrt(np.sum(norms**2, axis=-1)) - SAFETY * np.sqrt(np.sum(given.s**2, axis=-1))
    lower = np.log1p(c * np.clip(known, 0, None) ** 2) / 2
    upper = np.sum(np.log1p(c[..., None] * (norms + SAFETY * given.s) ** 2), axis=-1) / 2
    return outwards(lower * (1 - wrong) - TINY, upper * (1 + wrong) + TINY)


class InverseFactor(NamedTuple):
    """X ≈ L⁻¹ and what it proves: ‖XMXᵀ − I‖_F ≤ rho and f ≤ moved, which say something if they are below one."""

    X: np.ndarray
    rho: np.ndarray
    moved: np.ndarray


def inverse_factor(found: Factor) -> InverseFactor:
    """Invert L approximately, and bound what that leaves."""
    L, (*_, q) = found.L, found.L.shape
    X = np.tril(_arrays.inverse_of_triangular(L))
    defect = np.matmul(X, L)
    diagonal = np.arange(q)
    defect[..., diagonal, diagonal] -= 1
    delta = SAFETY * (norm(defect) + gamma(q + 2) * norm(X) * norm(L)) + TINY
    v, a = (norm(np.matmul(np.abs(X), size[..., None])) for size in (found.d, found.a))
    e = SAFETY * (found.h * v**2 + 2 * a * v + a**2)
    moved = SAFETY * e / np.clip(1 - delta, 0, None) ** 2
    return InverseFactor(X, SAFETY * (2 * delta + delta**2 + e), moved)


def norm(A: np.ndarray) -> np.ndarray:
    """The Frobenius norm over the last two axes."""
    return np.asarray(np.sqrt(np.einsum("...ij,...ij->...", A, A)))


# --- the change ---------------------------------------------------------------------------------------------------


class Known(NamedTuple):
    """A matrix in floats, its error being within ``roundings`` u times ``size``, which also bounds its entries."""

    value: np.ndarray
    size: np.ndarray
    roundings: int


def half_log_det_change(given: Stack, change: Known, both: Known, weight: Constant) -> Enclosure:
    r"""½ log det(M + N) − ½ log det M, M = I + c YᵀY, N = ½ ``weight`` (ΔᵀS + SᵀΔ), Δ the change of Y, S = 2Y + Δ.

    As one log det of a ratio: det(M + N)/det M = det(I + K), K = A^-½ W A^-½, for A = XMXᵀ and W = XNXᵀ with any X.
    Where ‖A − I‖_F ≤ ρ < 1 and ‖K‖_F ≤ κ = ‖W‖_F/(1 − ρ) < 1, log det(I + K) is tr W − ½‖W‖², but for
    ρ/(1 − ρ) ‖W‖ in the trace, a factor between (1 + ρ)⁻² and (1 − ρ)⁻² on the square, and κ³/(3(1 − κ)) for what
    follows. Every error is a share of the change: none of log det M is in it.
    """
    n, q = given.Y.shape[-2:]
    with _arrays.quiet():
        modest = (np.abs(given.c.exponent) <= MODEST) & (weight.exponent <= MODEST)
        c, w = (np.ldexp(x.mantissa, np.where(modest, x.exponent, 0)) for x in (given.c, weight))
        inverse = inverse_factor(factor(given, np.broadcast_to(c, given.Y.shape[:-2])))
        D, T = (np.matmul(inverse.X, np.swapaxes(a.value, -1, -2)) for a in (change, both))
        D_size, T_size = (np.matmul(np.abs(inverse.X), np.swapaxes(a.size, -1, -2)) for a in (change, both))
        wrong = SAFETY * gamma(change.roundings + both.roundings + n + 3 * q + 8)
        W = np.matmul(D, np.swapaxes(T, -1, -2))
        size = norm(W + np.swapaxes(W, -1, -2)) / 2
        off = SAFETY * (wrong * norm(D_size) * norm(T_size) + gamma(q * q + 4) * size) + LOST
        trace, rho = w * np.sum(np.sum(D * T, axis=-1), axis=-1), inverse.rho
        trace_off = wrong * w * np.sum(D_size * T_size, axis=(-2, -1))
        least, kappa = w * np.clip(size - off, 0, None) / (1 + rho), w * (size + off) / np.clip(1 - rho, 0, None)
        rest = np.where(kappa < 1, kappa**3 / (3 * (1 - kappa)), np.nan)
        radius = SAFETY * (trace_off + rho * kappa + rest + 8 * UNIT * (np.abs(trace) + kappa**2)) + FAINT
        lower, upper = trace - kappa**2 / 2 - radius, trace - least**2 / 2 + radius
        return outwards(np.where(modest, lower / 2, np.nan), np.where(modest, upper / 2, np.nan))
