r"""The one factorisation under every rate: F(A) = ½ log det(I + c AᵀA) and its gradient c A (I + c AᵀA)⁻¹.

With weights w on the rows of A, F(A, w) = ½ log det(I + c Aᵀ Diag(w) A). The constant is given as ``root`` = √c, so
that a huge c never meets a tiny A. Two routes lead to F:

``cholesky``  factorises I + c AᵀA on the smaller side. Forming AᵀA squares the condition number.
``svd``       ½ Σ log1p(c σᵢ²) from the singular values of A, accurate everywhere at three to nine times the cost.

``auto`` takes Cholesky, bounds its error from the factor, and sends just the matrices whose bound exceeds √u, or whose
factorisation fails, through the SVD. Where values cannot be read (``jax.jit``, ``torch.compile``) it takes the SVD.
"""

from __future__ import annotations

import math
import sys
import warnings
from types import FrameType
from typing import NamedTuple

import array_api_compat as compat

from srr import _arrays
from srr._arrays import Array, FactorisationError, PrecisionWarning

METHODS = ("auto", "cholesky", "svd")


class Factored(NamedTuple):
    """F over a stack of matrices, and how it was computed."""

    value: Array
    """F, shape ``(...)``."""
    gradient: Array | None
    """∇F, shape of A, when asked for."""
    used_svd: Array
    """Whether the SVD gave the value, bool ``(...)``."""
    error_bound: Array
    """Bound on the relative error of the value (and of the gradient, when asked for), ``(...)``."""


def half_logdet(A: Array, root: float, *, method: str, gradient: bool = False) -> Factored:
    """F and, on request, its gradient for a stack A ``(..., n, q)``, by the route ``method``.

    Raises
    ------
    FactorisationError
        ``method="cholesky"`` and rounding left no correct digit.
    """
    concrete = _arrays.is_concrete(A)
    if method == "svd" or (method == "auto" and not concrete):
        return _svd_route(A, root, gradient)
    xp = compat.array_namespace(A)
    accept = 1.0 if method == "cholesky" else _tolerance(A)
    result = _cholesky_route(A, root, gradient, accept)
    if not concrete:
        return result
    doubtful = ~(result.error_bound <= accept)
    if not bool(xp.any(doubtful)):
        return result
    if method == "auto":
        return _replaced(result, doubtful, _svd_route(A[doubtful], root, gradient))
    _arrays.require_finite(A, "Z U")
    with _arrays.quiet():
        zero = (root * xp.max(xp.abs(A), axis=(-2, -1))) ** 2 == 0  # where F is zero, or no float is as small
    if bool(xp.any(doubtful & ~zero)):
        raise FactorisationError(
            'the Cholesky factor of I + c A^T A lost every digit to rounding; use method="auto" or "svd"'
        )
    return result._replace(error_bound=xp.where(zero, 0.0, result.error_bound))


def warn_where_imprecise(value: Array, error: Array) -> None:
    """Say so, at the call from outside srr, when even the best route leaves more than √u of relative error."""
    if not _arrays.is_concrete(error):
        return
    xp = compat.array_namespace(error)
    value, error = _arrays.detached(value), _arrays.detached(error)
    doubtful = error > _tolerance(error) * value
    if bool(xp.any(doubtful)):
        worst = float(xp.max(xp.where(doubtful, error / xp.where(value > 0, value, 1.0), 0.0)))
        warnings.warn(
            f"a rate is known only to a relative error of {worst:.1g}: the singular values of its tokens span more "
            f"than {error.dtype} resolves; report=True gives the bound",
            PrecisionWarning,
            stacklevel=_level_outside_srr(sys._getframe()),
        )


def _level_outside_srr(frame: FrameType | None) -> int:
    """How many calls up from ``frame``, which counts as one, srr was called."""
    level = 1
    while frame is not None and str(frame.f_globals.get("__name__")).partition(".")[0] == "srr":
        frame, level = frame.f_back, level + 1
    return level


def _tolerance(a: Array) -> float:
    return math.sqrt(_arrays.unit_roundoff(a))


def _replaced(result: Factored, mask: Array, new: Factored) -> Factored:
    def replaced(old: Array | None, part: Array | None) -> Array | None:
        return None if old is None else _with(old, mask, part)

    return Factored(*map(replaced, result, new))


def _with(a: Array, mask: Array, part: Array) -> Array:
    from array_api_extra import at  # not needed where every first bound is good

    return at(a, mask).set(part)


def _cholesky_route(A: Array, root: float, gradient: bool, accept: float) -> Factored:
    # Inner products of length k and a Cholesky factor of size q leave a backward error |ΔM_ij| ≤ γ √(M_ii M_jj) in
    # M = I + cG, with γ = 4 √(k+q) u, the probabilistic bound of Higham and Mary (SIAM J. Sci. Comput. 41, 2019).
    # To first order, with X = M⁻¹ and independent ΔM_ij,
    #   |Δ log det M| ≤ γ Σ M_ii X_ii ≤ γ tr M   and   ‖Δ∇F‖ ≤ √c γ (Σ M_ii X_ii · Σ M_ii (X²)_ii)^½.
    xp = compat.array_namespace(A)
    n, q = A.shape[-2:]
    u, size = _arrays.unit_roundoff(A), min(n, q)
    gamma, c = 4 * math.sqrt(n + q) * u, root * root
    A_T = xp.matrix_transpose(A)
    with _arrays.quiet():
        identity = xp.eye(size, **_arrays.like(A))
        M = c * (xp.matmul(A_T, A) if q <= n else xp.matmul(A, A_T)) + identity
        L = _arrays.cholesky(M)
        pivots, diagonal = xp.linalg.diagonal(L), xp.linalg.diagonal(M)
        value = xp.sum(xp.log(pivots), axis=-1)
        rounding = (4 + math.sqrt(size)) * u
        bound = gamma * xp.sum(diagonal, axis=-1) / (2 * value) + rounding
        sound = xp.isfinite(value) & (xp.min(pivots**2 / diagonal, axis=-1) > 8 * size * u)
        grad = None
        if gradient:
            keep = sound[..., None, None]
            X = _arrays.inverse_of_factored(xp.where(keep, M, identity), xp.where(keep, L, identity))
            grad = xp.matmul(A, c * X) if q <= n else xp.matmul(c * X, A)
            spread, turn = _spread(diagonal, X), xp.sum(diagonal * _arrays.square_norm(X), axis=-1)
            bound = gamma * spread / (2 * value) + rounding
            norm = xp.sqrt(xp.sum(_arrays.square_norm(grad), axis=-1))
            bound = xp.maximum(bound, root * gamma * xp.sqrt(spread * turn) / norm + rounding)
        elif _arrays.is_concrete(A):
            doubtful = sound & ~(bound <= accept)
            if bool(xp.any(doubtful)):
                spread = _spread(diagonal[doubtful], _arrays.inverse_of_factored(M[doubtful], L[doubtful]))
                sharper = gamma * spread / (2 * value[doubtful]) + rounding
                bound = _with(bound, doubtful, sharper)
        bound = xp.where(sound & ~xp.isnan(bound), bound, math.inf)
    return Factored(value, grad, xp.zeros_like(value, dtype=xp.bool), bound)


def _spread(diagonal: Array, X: Array) -> Array:
    xp = compat.array_namespace(X)
    return xp.sum(diagonal * xp.abs(xp.linalg.diagonal(X)), axis=-1)


def _svd_route(A: Array, root: float, gradient: bool) -> Factored:
    _arrays.require_finite(A, "Z U")  # tokens are finite, their products with bases need not be
    with _arrays.quiet():
        return _from_singular_values(A, root, gradient)


def _from_singular_values(A: Array, root: float, gradient: bool) -> Factored:
    xp = compat.array_namespace(A)
    u = _arrays.unit_roundoff(A)
    scale = _power_of_two_above(xp.max(xp.abs(A), axis=(-2, -1)))
    scaled = A / scale[..., None, None]  # exact; keeps every library's SVD clear of over- and underflow
    scale = scale[..., None]
    if gradient:
        left, sigma, right = xp.linalg.svd(scaled, full_matrices=False)
    else:
        sigma = xp.linalg.svdvals(scaled)
    terms, slopes = _of_singular_values(sigma, root, scale)
    value = xp.sum(terms, axis=-1)
    grad = xp.matmul(left * slopes[..., None, :], right) if gradient else None
    # Each computed singular value is off by a few u σ_max: by δ, and F by the change of log(1+x²)/2, x = √c σ, over
    # [σ−δ, σ+δ].
    delta = 4 * math.sqrt(sum(A.shape[-2:])) * u * sigma[..., :1]
    low, high = sigma - delta, sigma + delta
    h = xp.hypot(low, 1 / (root * scale))
    change = xp.log1p((high - low) / h * ((high + low) / h)) / 2
    error = xp.sum(xp.where(low > 0, change, _of_singular_values(high, root, scale)[0]), axis=-1)
    error = error + (4 + math.sqrt(sigma.shape[-1])) * u * value
    bound = xp.where(value > 0, error / value, 0.0)
    return Factored(value, grad, xp.ones_like(value, dtype=xp.bool), bound)


def _of_singular_values(sigma: Array, root: float, scale: Array) -> tuple[Array, Array]:
    """½ log(1 + x²), x = root·scale·σ, and its derivative root·x/(1 + x²), where x is beyond the range too."""
    xp = compat.array_namespace(sigma)
    x, t, slope = _beside_one(sigma, root, scale)
    log_x = xp.log(sigma) + xp.log(scale) + math.log(root)
    log_x = xp.where(xp.isfinite(x), xp.log(xp.clip(x, min=1.0)), log_x)
    return xp.log1p(t * t) / 2 + log_x, slope * xp.clip(x, max=1.0) / (1 + t * t)


def _beside_one(sigma: Array, root: float, scale: Array) -> tuple[Array, Array, Array]:
    """x = root·scale·σ, the smaller of x and 1/x, and root over the larger of x and one: finite where x is not."""
    xp = compat.array_namespace(sigma)
    x = xp.where(sigma > 0, sigma * (root * scale), 0.0)
    # LAPACK has singular values of −0.
    return x, xp.minimum(x, 1 / x), xp.clip(1 / xp.abs(sigma * scale), max=root)


def _power_of_two_above(a: Array) -> Array:
    xp = compat.array_namespace(a)
    largest = math.frexp(float(xp.finfo(a.dtype).max))[1] - 1
    exponent = xp.clip(xp.ceil(xp.log2(xp.where(a > 0, a, xp.ones_like(a)))), max=float(largest))
    return xp.pow(xp.full_like(a, 2.0), exponent)


def weight_gradient(A: Array, w: Array, root: float) -> Array:
    """∂F/∂w_j = ½ c a_jᵀ (I + c Aᵀ Diag(w) A)⁻¹ a_j for rows a_j of A ``(..., n, q)``; finite at w_j = 0."""
    xp, (n, q) = compat.array_namespace(A), A.shape[-2:]
    weighted = A * xp.sqrt(w)[..., None]
    scale = _power_of_two_above(xp.max(xp.abs(weighted), axis=(-2, -1)))
    _, sigma, right = xp.linalg.svd(weighted / scale[..., None, None], full_matrices=False)
    along = xp.matmul(A, xp.matrix_transpose(right))
    beside = A - xp.matmul(along, right)
    # Rows of weight above zero have nothing beside the span of the rows: what rounding leaves there must not meet c.
    rounding = 4 * math.sqrt((n + q) * q) * _arrays.unit_roundoff(A) * xp.max(xp.abs(A), axis=-1, keepdims=True)
    beside = xp.where(xp.max(xp.abs(beside), axis=-1, keepdims=True) > rounding, beside, 0.0)
    with _arrays.quiet():
        _, t, factor = _beside_one(sigma, root, scale[..., None])
    shrunk = along * (factor / xp.sqrt(1 + t * t))[..., None, :]
    return (xp.sum(shrunk**2, axis=-1) + xp.sum((root * beside) ** 2, axis=-1)) / 2


# --- second derivatives -----------------------------------------------------------------------------------------
# Plain solves, which torch and JAX can differentiate again. With B = Diag(w) A, M = I + c AᵀB and Q = I + c BAᵀ:
# ∇F = c B M⁻¹ = c Q⁻¹ B. The smaller of M and Q is the better conditioned.


def gradient_by_solve(A: Array, w: Array | None, root: float) -> Array:
    """∇F = c B M⁻¹ = c Q⁻¹ B."""
    B, c = _on_rows(w, A), root * root
    if A.shape[-2] < A.shape[-1]:
        return c * compat.array_namespace(A).linalg.solve(_token_system(A, B, root), B)
    return c * _times_inverse(B, _system(A, w, root))


def weight_gradient_by_solve(A: Array, w: Array, root: float) -> Array:
    """∂F/∂w_j = ½ c a_jᵀ M⁻¹ a_j."""
    xp = compat.array_namespace(A)
    return root * root / 2 * xp.sum(A * _times_inverse(A, _system(A, w, root)), axis=-1)


def change_of_gradient(A: Array, w: Array | None, root: float, dA: Array | None, dw: Array | None) -> Array:
    """Derivative of G = ∇F along (dA, dw), either of which may be None: (c dB − G dM) M⁻¹ = Q⁻¹ (c dB − dQ G)."""
    xp = compat.array_namespace(A)
    B, dB, c = _on_rows(w, A), xp.zeros_like(A), root * root
    if dA is not None:
        dB = dB + _on_rows(w, dA)
    if dw is not None:
        dB = dB + _on_rows(dw, A)
    G = gradient_by_solve(A, w, root)
    if A.shape[-2] >= A.shape[-1]:
        dM = _system_change(A, w, root, dA, dw)
        return _times_inverse(c * dB - xp.matmul(G, dM), _system(A, w, root))
    dQ = c * xp.matmul(dB, xp.matrix_transpose(A))
    if dA is not None:
        dQ = dQ + c * xp.matmul(B, xp.matrix_transpose(dA))
    return xp.linalg.solve(_token_system(A, B, root), c * dB - xp.matmul(dQ, G))


def change_of_weight_gradient(A: Array, w: Array, root: float, dA: Array | None, dw: Array | None) -> Array:
    """Derivative of ∂F/∂w along (dA, dw): c rows of (A M⁻¹) ∘ (dA − ½ A M⁻¹ dM)."""
    xp = compat.array_namespace(A)
    shrunk = _times_inverse(A, _system(A, w, root))
    turn = -xp.matmul(shrunk, _system_change(A, w, root, dA, dw)) / 2
    return root * root * xp.sum(shrunk * (turn if dA is None else turn + dA), axis=-1)


def _system(A: Array, w: Array | None, root: float) -> Array:
    xp = compat.array_namespace(A)
    return xp.eye(A.shape[-1], **_arrays.like(A)) + root * root * xp.matmul(xp.matrix_transpose(A), _on_rows(w, A))


def _token_system(A: Array, B: Array, root: float) -> Array:
    xp = compat.array_namespace(A)
    return xp.eye(A.shape[-2], **_arrays.like(A)) + root * root * xp.matmul(B, xp.matrix_transpose(A))


def _system_change(A: Array, w: Array | None, root: float, dA: Array | None, dw: Array | None) -> Array:
    xp = compat.array_namespace(A)
    half = xp.zeros_like(A)
    if dA is not None:
        half = half + _on_rows(w, dA)
    if dw is not None:
        half = half + _on_rows(dw, A) / 2
    product = xp.matmul(xp.matrix_transpose(A), half)
    return root * root * (product + xp.matrix_transpose(product))


def _on_rows(w: Array | None, A: Array) -> Array:
    return A if w is None else w[..., None] * A


def _times_inverse(B: Array, M: Array) -> Array:
    """B M⁻¹ for a symmetric M."""
    xp = compat.array_namespace(B)
    return xp.matrix_transpose(xp.linalg.solve(M, xp.matrix_transpose(B)))
