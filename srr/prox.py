r"""Sparse coding: proximal operators, ISTA, FISTA and the lasso with its duality gap.

A code A ``(..., n, m)`` reconstructs tokens Z ``(..., n, d)`` as A Dᵀ; the columns of D ``(d, m)`` are atoms. The lasso
is λ‖A‖₁ + ½‖Z − A Dᵀ‖²; N23 eq. 15 prints it with 1 for ½, which is this one at λ/2 times 2.
"""

from __future__ import annotations

import math

from srr._arrays import (
    Array,
    Namespace,
    count,
    namespace,
    positive,
    require_finite,
    require_shape,
    require_tokens,
)
from srr._scalars import Scalar, nonnegative_scalar, positive_scalar, squared_norm

__all__ = [
    "fista",
    "ista_step",
    "lasso",
    "lasso_gap",
    "lasso_step",
    "nonnegative_soft_threshold",
    "soft_threshold",
]


def soft_threshold(A: Array, threshold: Scalar) -> Array:
    """sign(a) (|a| − t)₊ for every entry: the proximal operator of t‖·‖₁.

    Parameters
    ----------
    A : array
        Any shape.
    threshold : float or 0-d array
        t ≥ 0.

    Returns
    -------
    array
        Shape of A; entries with |a| ≤ t are exactly 0.

    Raises
    ------
    TypeError, ValueError
        A is no float array or not finite; t is negative or not finite.
    """
    xp = namespace(A=A)
    require_finite(A, "A")
    t = nonnegative_scalar(threshold, A, "threshold")
    return _shrink(xp, A, t)


def nonnegative_soft_threshold(A: Array, threshold: Scalar) -> Array:
    """(a − t)₊ for every entry: the proximal operator of t‖·‖₁ + indicator of A ≥ 0.

    Parameters, result and errors as in `soft_threshold`.
    """
    xp = namespace(A=A)
    require_finite(A, "A")
    t = nonnegative_scalar(threshold, A, "threshold")
    return _shrink_nonnegative(xp, A, t)


def ista_step(
    Z: Array, D: Array, *, step: Scalar, lam: Scalar, code: Array | None = None, nonnegative: bool = True
) -> Array:
    """One proximal gradient step on the lasso: relu(A + η (Z − A Dᵀ) D − ηλ).

    In the papers' columns, relu(Z + η Dᵀ(Z − DZ) − ηλ) (N23 eq. 17), started at the tokens themselves. From a feasible
    start the lasso does not increase for η ≤ 1/‖D‖₂² (`lasso_step`), and decreases for every η below twice that.

    Parameters
    ----------
    Z : array, shape (..., n, d)
        Tokens to be coded.
    D : array, shape (d, m)
        Dictionary.
    step : float or 0-d array
        η > 0.
    lam : float or 0-d array
        λ ≥ 0.
    code : array, shape (..., n, m), optional
        The A to start from; by default Z, which asks for m = d.
    nonnegative : bool
        Keep A ≥ 0 as CRATE does; otherwise soft-threshold both signs.

    Returns
    -------
    array, shape (..., n, m)

    Raises
    ------
    TypeError, ValueError
        An argument of the wrong kind, shape or value; the message names it.

    Notes
    -----
    Yu et al. 2023 (arXiv 2306.01129), eq. 17; Beck and Teboulle 2009, eq. 1.4.
    """
    A = Z if code is None else code
    xp = _check(Z, D, A, "Z, the code to start from," if code is None else "code")
    eta, lam = positive_scalar(step, Z, "step"), nonnegative_scalar(lam, Z, "lam")
    return _ista(xp, Z, D, A, eta, lam, nonnegative)


def fista(
    Z: Array,
    D: Array,
    *,
    lam: float,
    iterations: int,
    nonnegative: bool = True,
    code: Array | None = None,
) -> Array:
    """A minimiser of the lasso by accelerated proximal gradient, after a fixed number of iterations.

    The value is within 2 ‖D‖₂² ‖A₀ − A*‖² / (iterations + 1)² of the least (Beck and Teboulle 2009, theorem 4.4); `lasso_gap`
    bounds what is left.

    Parameters
    ----------
    Z, D, lam, nonnegative
        As in `ista_step`.
    iterations : int
        At least 1; each costs two products with D.
    code : array, shape (..., n, m), optional
        The A to start from; zero by default.

    Returns
    -------
    array, shape (..., n, m)

    Raises
    ------
    TypeError, ValueError
        An argument of the wrong kind, shape or value; the message names it.
    """
    if code is None:
        xp = _check(Z, D)
        code = xp.zeros_like(xp.matmul(Z, D))
    else:
        xp = _check(Z, D, code, "code")
    lam, eta = nonnegative_scalar(lam, Z, "lam"), lasso_step(D)
    ahead, t = code, 1.0
    for _ in range(count(iterations, "iterations")):
        new = _ista(xp, Z, D, ahead, eta, lam, nonnegative)
        t_next = (1 + math.sqrt(1 + 4 * t * t)) / 2
        ahead = new + (t - 1) / t_next * (new - code)
        code, t = new, t_next
    return code


def lasso(Z: Array, D: Array, A: Array, *, lam: float) -> Array:
    """λ‖A‖₁ + ½‖Z − A Dᵀ‖², summed over the tokens.

    Parameters
    ----------
    Z : array, shape (..., n, d)
    D : array, shape (d, m)
    A : array, shape (..., n, m)
    lam : float
        λ ≥ 0.

    Returns
    -------
    array, shape (...)

    Raises
    ------
    TypeError, ValueError
        An argument of the wrong kind, shape or value; the message names it.
    """
    xp = _check(Z, D, A, "A")
    residual = Z - xp.matmul(A, D.T)
    lam = nonnegative_scalar(lam, Z, "lam")
    return xp.sum(residual**2, axis=(-2, -1)) / 2 + lam * xp.sum(xp.abs(A), axis=(-2, -1))


def lasso_gap(Z: Array, D: Array, A: Array, *, lam: float, nonnegative: bool = True) -> Array:
    """A bound on how far the lasso at A is above its least value: the duality gap, zero at a minimiser only.

    Parameters
    ----------
    Z, D, A
        As in `lasso`.
    lam : float
        λ > 0.
    nonnegative : bool
        Whether the problem is constrained to A ≥ 0; a code with a negative entry then has gap infinity.

    Returns
    -------
    array, shape (...)
        ≥ 0, summed over the tokens.

    Raises
    ------
    TypeError, ValueError
        An argument of the wrong kind, shape or value; the message names it.

    Notes
    -----
    For one token z with code a and residual r = z − Da the dual is max ½‖z‖² − ½‖z − θ‖² subject to |Dᵀθ| ≤ λ (signed) or
    Dᵀθ ≤ λ (non-negative), entrywise. The dual point is θ = s r, s the best feasible factor in [0, ∞):
    s = min(⟨z, r⟩/‖r‖², λ / max Dᵀr). Then the gap is ½(1 − s)²‖r‖² + Σ_j (λ|a_j| − s a_j (Dᵀr)_j), a sum of terms that are
    each ≥ 0, which is how it is computed: nothing of the size of ‖z‖² cancels. At a minimiser r is dual optimal, s = 1.
    """
    xp = _check(Z, D, A, "A")
    lam = positive(lam, "lam")
    residual = Z - xp.matmul(A, D.T)
    slope = xp.matmul(residual, D)
    steepest = xp.max(slope if nonnegative else xp.abs(slope), axis=-1)
    squares = xp.sum(residual**2, axis=-1)
    along = xp.sum(Z * residual, axis=-1)
    one = xp.ones_like(squares)
    s = xp.where(squares > 0, along / xp.where(squares > 0, squares, one), one)
    feasible = xp.where(steepest > 0, lam / xp.where(steepest > 0, steepest, one), math.inf)
    s = xp.clip(xp.minimum(s, feasible), min=0.0)
    terms = lam * xp.abs(A) - s[..., None] * A * slope
    terms = xp.clip(terms, min=0.0)  # below zero by rounding only
    gap = xp.sum((1 - s) ** 2 * squares, axis=-1) / 2 + xp.sum(terms, axis=(-2, -1))
    if nonnegative:
        gap = xp.where(xp.min(A, axis=(-2, -1)) < 0, math.inf, gap)
    return gap


def lasso_step(D: Array) -> Scalar:
    """1/‖D‖₂²: the step of `ista_step` and `fista`, the inverse of the curvature of ½‖Z − A Dᵀ‖².

    Parameters
    ----------
    D : array, shape (d, m)

    Returns
    -------
    float
        A 0-d array where values cannot be read, as under ``jax.jit``. A constant: no derivative flows through it.

    Raises
    ------
    TypeError, ValueError
        D is no float matrix, or not finite, or zero.
    """
    namespace(D=D)
    _require_dictionary(D)
    norm = squared_norm(D)
    if isinstance(norm, float) and norm == 0:
        raise ValueError("D must not be zero, got a matrix of zeros")
    return 1 / norm


def _check(Z: Array, D: Array, A: Array | None = None, name: str = "A") -> Namespace:
    xp = namespace(Z=Z, D=D) if A is None else namespace(Z=Z, D=D, **{name: A})
    require_tokens(Z)
    _require_dictionary(D, Z.shape[-1])
    if A is not None:
        require_shape(A, ("...", Z.shape[-2], D.shape[-1]), name)
        if A is not Z:
            require_finite(A, name)
    return xp


def _require_dictionary(D: Array, d: int | str = "d") -> None:
    require_shape(D, (d, "m"), "D")
    require_finite(D, "D")


def _ista(xp: Namespace, Z: Array, D: Array, A: Array, step: Scalar, lam: Scalar, nonnegative: bool) -> Array:
    moved = A + step * xp.matmul(Z - xp.matmul(A, D.T), D)
    return (_shrink_nonnegative if nonnegative else _shrink)(xp, moved, step * lam)


def _shrink(xp: Namespace, A: Array, t: Scalar) -> Array:
    return xp.where(t < A, A - t, xp.where(-t > A, A + t, xp.zeros_like(A)))


def _shrink_nonnegative(xp: Namespace, A: Array, t: Scalar) -> Array:
    return xp.where(t < A, A - t, xp.zeros_like(A))
