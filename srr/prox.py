r"""Sparse coding: proximal operators, ISTA, FISTA and the lasso with its duality gap.

A code A ``(..., n, m)`` reconstructs tokens Z ``(..., n, d)`` as A Dᵀ; the columns of D ``(d, m)`` are atoms.
The lasso is λ‖A‖₁ + ½‖Z − A Dᵀ‖². Yu et al. 2023 (N23, arXiv 2306.01129), eq. 15, has no ½: theirs is twice
this one at λ/2.
"""

from __future__ import annotations

import math

from srr._arrays import (
    Array,
    Namespace,
    count,
    namespace,
    positive,
    require_broadcast,
    require_finite,
    require_shape,
    require_tokens,
)
from srr._scalars import Scalar, as_array, flag, in_range, nonnegative_scalar, positive_scalar, spectral_norm

__all__ = [
    "fista",
    "ista",
    "ista_step",
    "lasso",
    "lasso_gap",
    "lasso_step",
    "nonnegative_soft_threshold",
    "soft_threshold",
]


def soft_threshold(A: Array, threshold: Scalar) -> Array:
    """sign(a) (|a| − t)₊ for every entry a: the proximal operator of t‖·‖₁.

    Parameters
    ----------
    A : array
        Any shape.
    threshold : float or 0-d array
        t ≥ 0.

    Returns
    -------
    array
        Shape of A; exactly 0 where |a| ≤ t.

    Raises
    ------
    TypeError, ValueError
        A is no float array or not finite; t is not a finite number, or negative.
    """
    xp = namespace(A=A)
    require_finite(A, "A")
    return _shrink(xp, A, nonnegative_scalar(threshold, A, "threshold"))


def nonnegative_soft_threshold(A: Array, threshold: Scalar) -> Array:
    """(a − t)₊ for every entry a: the proximal operator of t‖·‖₁ over A ≥ 0.

    Parameters, result and errors as in `soft_threshold`.
    """
    xp = namespace(A=A)
    require_finite(A, "A")
    return _shrink_nonnegative(xp, A, nonnegative_scalar(threshold, A, "threshold"))


def ista_step(
    Z: Array, D: Array, *, step: Scalar, lam: Scalar, code: Array | None = None, nonnegative: bool = True
) -> Array:
    """One proximal gradient step on the lasso: relu(A + η (Z − A Dᵀ) D − ηλ).

    In the papers' columns relu(Z + η Dᵀ(Z − DZ) − ηλ), the code starting at the tokens themselves. From a
    feasible code the lasso does not increase for any η < 2/‖D‖₂²; η = 1/‖D‖₂² is `lasso_step`. A code with
    negative entries is not feasible for the non-negative problem, and its lasso value may then increase.

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
        The A to start from; by default Z, and then m = d.
    nonnegative : bool
        Keep A ≥ 0, as CRATE does; otherwise soft-threshold.

    Returns
    -------
    array, shape (..., n, m)

    Raises
    ------
    TypeError, ValueError
        An argument of the wrong kind, shape or value; the message names it.

    Notes
    -----
    N23 eq. 17; Beck and Teboulle 2009 (SIAM J. Imaging Sci. 2), eq. 1.4.
    """
    if code is None:
        xp = _check(Z, D)
        if D.shape[1] != Z.shape[-1]:
            raise ValueError(f"code must be given unless D is square, got D of shape {tuple(D.shape)}")
        code = Z
    else:
        xp = _check(Z, D, code=code)
    eta, lam = positive_scalar(step, Z, "step"), nonnegative_scalar(lam, Z, "lam")
    return _proximal_gradient(xp, Z, D, code, eta, lam, flag(nonnegative, "nonnegative"))


def ista(Z: Array, D: Array, *, step: Scalar, lam: Scalar, iterations: int, nonnegative: bool = True) -> Array:
    """The code after a number of ISTA steps from zero.

    A⁰ = 0, Aᵗ⁺¹ = relu(Aᵗ + η (Z − Aᵗ Dᵀ) D − ηλ). The lasso falls from one step to the next for any η < 2/‖D‖₂².

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
    iterations : int
        At least 1.
    nonnegative : bool
        Keep A ≥ 0; otherwise soft-threshold.

    Returns
    -------
    array, shape (..., n, m)

    Raises
    ------
    TypeError, ValueError
        An argument of the wrong kind, shape or value; the message names it.

    Notes
    -----
    Two steps are the code of CRATE-α, Yang et al. 2024 (arXiv 2405.20299). For a minimiser see `fista`.
    """
    xp = _check(Z, D)
    eta, lam = positive_scalar(step, Z, "step"), nonnegative_scalar(lam, Z, "lam")
    shrink = _shrink_nonnegative if flag(nonnegative, "nonnegative") else _shrink
    code = shrink(xp, eta * xp.matmul(Z, D), eta * lam)  # from zero there is nothing to reconstruct
    for _ in range(count(iterations, "iterations") - 1):
        code = _proximal_gradient(xp, Z, D, code, eta, lam, nonnegative)
    return code


def fista(
    Z: Array,
    D: Array,
    *,
    lam: Scalar,
    iterations: int,
    nonnegative: bool = True,
    code: Array | None = None,
) -> Array:
    """A minimiser of the lasso, approached by accelerated proximal gradient steps.

    After k of them the value is within 2 ‖D‖₂² ‖A₀ − A*‖² / (k + 1)² of the least; `lasso_gap` bounds what is
    left.

    Parameters
    ----------
    Z : array, shape (..., n, d)
        Tokens to be coded.
    D : array, shape (d, m)
        Dictionary.
    lam : float or 0-d array
        λ ≥ 0.
    iterations : int
        At least 1.
    nonnegative : bool
        Whether A ≥ 0 is asked for.
    code : array, shape (..., n, m), optional
        A₀; zero by default.

    Returns
    -------
    array, shape (..., n, m)

    Raises
    ------
    TypeError, ValueError
        An argument of the wrong kind, shape or value; the message names it.

    Notes
    -----
    Beck and Teboulle 2009 (SIAM J. Imaging Sci. 2), section 4 and theorem 4.4.
    """
    if code is None:
        xp = _check(Z, D)
        code = xp.zeros_like(xp.matmul(Z, D))
    else:
        xp = _check(Z, D, code=code)
    lam, eta = nonnegative_scalar(lam, Z, "lam"), lasso_step(D)
    flag(nonnegative, "nonnegative")
    ahead, t = code, 1.0
    for _ in range(count(iterations, "iterations")):
        new = _proximal_gradient(xp, Z, D, ahead, eta, lam, nonnegative)
        t_next = (1 + math.sqrt(1 + 4 * t * t)) / 2
        ahead = new + (t - 1) / t_next * (new - code)
        code, t = new, t_next
    return code


def lasso(Z: Array, D: Array, A: Array, *, lam: Scalar) -> Array:
    """λ‖A‖₁ + ½‖Z − A Dᵀ‖², summed over the tokens.

    Parameters
    ----------
    Z : array, shape (..., n, d)
    D : array, shape (d, m)
    A : array, shape (..., n, m)
    lam : float or 0-d array
        λ ≥ 0.

    Returns
    -------
    array, shape (...)

    Raises
    ------
    TypeError, ValueError
        An argument of the wrong kind, shape or value; the message names it.
    """
    xp = _check(Z, D, A=A)
    lam = nonnegative_scalar(lam, Z, "lam")
    residual = Z - xp.matmul(A, D.T)
    return as_array(xp.sum(residual**2, axis=(-2, -1)) / 2 + lam * xp.sum(xp.abs(A), axis=(-2, -1)))


def lasso_gap(Z: Array, D: Array, A: Array, *, lam: float, nonnegative: bool = True) -> Array:
    """The duality gap: a bound on how far the lasso at A lies above its least value, zero only there.

    Parameters
    ----------
    Z : array, shape (..., n, d)
    D : array, shape (d, m)
    A : array, shape (..., n, m)
    lam : float
        λ > 0.
    nonnegative : bool
        Whether the problem asks for A ≥ 0. A code with a negative entry then has gap infinity.

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
    For one token z, its code a and the residual r = z − Da, the dual is to maximise ½‖z‖² − ½‖z − θ‖² over
    |Dᵀθ| ≤ λ, or over Dᵀθ ≤ λ when a ≥ 0 is asked for. Among the points θ = s r, s ≥ 0, the best feasible one
    has s = min(⟨z, r⟩/‖r‖², λ / max |Dᵀr|), no less than 0 and without the modulus when a ≥ 0 is asked for.
    Then primal less dual is ::

        ½ (1 − s)² ‖r‖² + Σ_j (λ|a_j| − s a_j (Dᵀr)_j),

    each term ≥ 0. It is computed so: nothing of the size of ‖z‖² cancels. At a minimiser r is dual optimal
    and s = 1.
    """
    xp = _check(Z, D, A=A)
    lam = positive(lam, "lam")
    flag(nonnegative, "nonnegative")
    residual = Z - xp.matmul(A, D.T)
    slope = xp.matmul(residual, D)
    steepest = xp.max(slope if nonnegative else xp.abs(slope), axis=-1)
    square = xp.sum(residual**2, axis=-1)
    along = xp.sum(Z * residual, axis=-1)
    one = xp.ones_like(square)
    best = along / xp.where(square > 0, square, one)
    feasible = xp.where(steepest > 0, lam / xp.where(steepest > 0, steepest, one), best)
    s = xp.clip(xp.minimum(best, feasible), min=0.0)
    terms = lam * xp.abs(A) - s[..., None] * A * slope
    gap = (1 - s) ** 2 * square / 2 + xp.sum(xp.clip(terms, min=0.0), axis=-1)
    if nonnegative:
        gap = xp.where(xp.min(A, axis=-1) < 0, math.inf, gap)
    return as_array(xp.sum(gap, axis=-1))


def lasso_step(D: Array) -> Scalar:
    """1/‖D‖₂², the inverse curvature of ½‖Z − A Dᵀ‖²: the step of `fista`, and safe for `ista_step`.

    Parameters
    ----------
    D : array, shape (d, m)

    Returns
    -------
    float
        A 0-d array where values cannot be read, as under ``jax.jit``. A constant: no derivative flows through
        it.

    Raises
    ------
    TypeError, ValueError
        D is no float matrix, or not finite, or zero.
    """
    namespace(D=D)
    require_dictionary(D)
    norm = spectral_norm(D)
    if isinstance(norm, float) and norm == 0:
        raise ValueError("D must not be zero, got a matrix of zeros")
    return in_range(1 / norm / norm, "D must keep the step 1/|D|^2", f"a norm of {norm!r}")


def _check(Z: Array, D: Array, **code: Array) -> Namespace:
    xp = namespace(Z=Z, D=D, **code)
    require_tokens(Z)
    require_dictionary(D, Z.shape[-1])
    for name, A in code.items():
        require_shape(A, ("...", Z.shape[-2], D.shape[1]), name)
        require_finite(A, name)
        require_broadcast(Z=Z, **{name: A})
    return xp


def require_dictionary(D: Array, d: int | str = "d", m: int | str = "m") -> None:
    require_shape(D, (d, m), "D")
    require_finite(D, "D")


def require_ista(D: Array, d: int, m: int | str, eta: Scalar, lam: Scalar) -> None:
    """A dictionary ``(d, m)``, the step η of ISTA in it and its λ."""
    require_dictionary(D, d, m)
    positive_scalar(eta, D, "eta")
    nonnegative_scalar(lam, D, "lam")


def _proximal_gradient(
    xp: Namespace, Z: Array, D: Array, A: Array, step: Scalar, lam: Scalar, nonnegative: bool
) -> Array:
    moved = A + step * xp.matmul(Z - xp.matmul(A, D.T), D)
    return (_shrink_nonnegative if nonnegative else _shrink)(xp, moved, step * lam)


def _shrink(xp: Namespace, A: Array, t: Scalar) -> Array:
    return xp.where(t < A, A - t, xp.where(-t > A, A + t, xp.zeros_like(A)))


def _shrink_nonnegative(xp: Namespace, A: Array, t: Scalar) -> Array:
    return xp.where(t < A, A - t, xp.zeros_like(A))
