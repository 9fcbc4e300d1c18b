r"""Coding rates, in nats, of tokens in rows.

R(Z) = ½ log det(I + α ZᵀZ), α = d/(n ε²), counts the nats per token that code Z to precision ε. Rᶜ(Z|U) adds the
rates of the projections onto the subspaces U, Rᶜ(Z|Π) those of the parts of a partition Π, and the rate reduction ΔR
is R less either.

Every rate takes ``method``:

``"svd"``       ½ Σ log1p(α σᵢ²) from singular values, accurate everywhere;
``"cholesky"``  one factorisation on the smaller side of the Gram matrix, three to nine times faster, with a relative
                error that grows like n·u·‖I + αZᵀZ‖ on rank-deficient data; raises `FactorisationError` when no digit
                is left;
``"auto"``      Cholesky, and the SVD for just those matrices whose error bound exceeds √u relative (u the unit
                roundoff: 1e-8 in float64, 2e-4 in float32) or whose factorisation fails. Where values cannot be read,
                under ``jax.jit``, ``jax.vmap`` and ``torch.compile``, it takes the SVD.

Where even the SVD leaves more than √u of relative error, a `PrecisionWarning` says so.

torch tensors and JAX arrays are differentiable, with the closed-form gradient: finite wherever the rate is.
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple

from srr import _arrays, _autodiff, _logdet, _partition
from srr._arrays import Array, Namespace
from srr._heads import project, side_by_side, unproject
from srr._scalars import as_array, flag

__all__ = [
    "RateReport",
    "coding_rate",
    "coding_rate_and_gradient",
    "partition_coding_rate",
    "partition_coding_rate_and_gradient",
    "rate_reduction",
    "rate_reduction_and_gradient",
    "subspace_coding_rate",
    "subspace_coding_rate_and_gradient",
]


class RateReport(NamedTuple):
    """A rate and how it was computed."""

    value: Array
    """The rate in nats, ``(...)``."""
    used_svd: Array
    """Whether the accurate route ran, per factorised matrix: ``(...)``, ``(..., K)`` with subspaces or parts."""
    error_bound: Array
    """Bound on the relative error of ``value``, to first order in u and under probabilistic rounding, ``(...)``."""


# --- R(Z) -------------------------------------------------------------------------------------------------------


def coding_rate(Z: Array, *, eps: float, method: str = "auto", report: bool = False) -> Array | RateReport:
    r"""R(Z) = ½ log det(I + α ZᵀZ), α = d/(n ε²), in nats.

    Parameters
    ----------
    Z : array, shape (..., n, d)
        n tokens of dimension d.
    eps : float
        Precision ε > 0; it enters as ε².
    method : {"auto", "cholesky", "svd"}
        See the module's docstring.
    report : bool
        Return a `RateReport` instead of the value.

    Returns
    -------
    array, shape (...), or RateReport

    Raises
    ------
    TypeError, ValueError
        An argument of the wrong kind, shape or value; the message names it.
    FactorisationError
        ``method="cholesky"`` and rounding left no digit.

    Notes
    -----
    Yu et al. 2023 (arXiv 2306.01129), eq. 7.
    """
    _arrays.namespace(Z=Z)
    _arrays.require_tokens(Z)
    root = _root(Z, Z.shape[-1], Z.shape[-2], eps)
    _arrays.choice(method, _logdet.METHODS, "method")
    if flag(report, "report"):
        return _report(*_arrays.map_blocks(lambda Z: _factored(Z, root, method), Z))
    return _arrays.map_blocks(lambda Z: (_autodiff.half_logdet(Z, None, root, method),), Z)[0]


def coding_rate_and_gradient(Z: Array, *, eps: float, method: str = "auto") -> tuple[Array, Array]:
    r"""R(Z) and ∇R(Z) = α Z (I + α ZᵀZ)⁻¹ from one factorisation.

    Parameters, errors and source as in `coding_rate`; the gradient is N23 eq. 78 with tokens in rows.

    Returns
    -------
    value : array, shape (...)
        Nats.
    gradient : array, shape (..., n, d)
    """
    _arrays.namespace(Z=Z)
    _arrays.require_tokens(Z)
    root = _root(Z, Z.shape[-1], Z.shape[-2], eps)
    _arrays.choice(method, _logdet.METHODS, "method")
    value, gradient = _arrays.map_blocks(lambda Z: _autodiff.half_logdet_and_gradient(Z, None, root, method), Z)
    return value, gradient


# --- Rᶜ(Z|U) ----------------------------------------------------------------------------------------------------


def subspace_coding_rate(
    Z: Array, U: Array, *, eps: float, method: str = "auto", report: bool = False
) -> Array | RateReport:
    r"""Rᶜ(Z|U) = Σ_k R(ZU_k) = ½ Σ_k log det(I + β U_kᵀZᵀZU_k), β = p/(n ε²), in nats.

    Parameters
    ----------
    Z : array, shape (..., n, d)
    U : array, shape (K, d, p)
        Bases of K subspaces. The formula holds for any U, orthonormal or not.
    eps, method, report
        As in `coding_rate`.

    Returns
    -------
    array, shape (...), or RateReport

    Raises
    ------
    TypeError, ValueError, FactorisationError
        As in `coding_rate`.

    Notes
    -----
    Yu et al. 2023 (arXiv 2306.01129), eq. 8. The constant is p/(n ε²), not d/(n ε²), and no part is weighted by its
    share of the tokens.
    """
    xp, root = _check_subspaces(Z, U, eps, method)
    W = side_by_side(U)
    if not flag(report, "report"):

        def rate(Z: Array) -> tuple[Array]:
            heads = _autodiff.half_logdet(project(Z, W, U.shape[0]), None, root, method)
            return (xp.sum(heads, axis=-1),)

        return _arrays.map_blocks(rate, Z)[0]
    value, used_svd, error = _arrays.map_blocks(lambda Z: _factored(project(Z, W, U.shape[0]), root, method), Z)
    # Rounding moves Y = ZU_k by 4 √d u ‖U_k‖‖Z‖, and ‖∂F/∂Y‖ ≤ √c min(√q/2, √c ‖Y‖).
    u, (n, d), p = _arrays.unit_roundoff(Z), Z.shape[-2:], U.shape[-1]
    size = root * xp.linalg.vector_norm(U, axis=(-2, -1)) * xp.linalg.vector_norm(Z, axis=(-2, -1))[..., None]
    error = error + 4 * math.sqrt(d) * u * size * xp.clip(size, max=math.sqrt(min(n, p)) / 2)
    return _report(xp.sum(value, axis=-1), used_svd, xp.sum(error, axis=-1))


def subspace_coding_rate_and_gradient(Z: Array, U: Array, *, eps: float, method: str = "auto") -> tuple[Array, Array]:
    r"""Rᶜ(Z|U) and ∇Rᶜ(Z|U) = β Σ_k Y_k (I + β Y_kᵀY_k)⁻¹ U_kᵀ, Y_k = ZU_k, from one factorisation a head.

    Parameters and errors as in `subspace_coding_rate`; N23 eq. 9 with tokens in rows.

    Returns
    -------
    value : array, shape (...)
        Nats.
    gradient : array, shape (..., n, d)
    """
    xp, root = _check_subspaces(Z, U, eps, method)
    W = side_by_side(U)

    def rate_and_gradient(Z: Array) -> tuple[Array, Array]:
        heads, by_head = _autodiff.half_logdet_and_gradient(project(Z, W, U.shape[0]), None, root, method)
        return xp.sum(heads, axis=-1), unproject(by_head, W)

    value, gradient = _arrays.map_blocks(rate_and_gradient, Z)
    return value, gradient


def _check_subspaces(Z: Array, U: Array, eps: float, method: str) -> tuple[Namespace, float]:
    xp = _arrays.namespace(Z=Z, U=U)
    _arrays.require_tokens(Z)
    _arrays.require_bases(U, Z.shape[-1])
    root = _root(Z, U.shape[-1], Z.shape[-2], eps)
    _arrays.choice(method, _logdet.METHODS, "method")
    return xp, root


# --- Rᶜ(Z|Π) ----------------------------------------------------------------------------------------------------


def partition_coding_rate(
    Z: Array, Pi: Array, *, eps: float, method: str = "auto", report: bool = False
) -> Array | RateReport:
    r"""Rᶜ(Z|Π) = Σ_k (n_k/2n) log det(I + α_k Zᵀ Diag(π_k) Z), n_k = Σ_j Π_jk, α_k = d/(n_k ε²), in nats.

    Parameters
    ----------
    Z : array, shape (..., n, d)
    Pi : array, shape (..., n, K)
        Memberships, hard or soft, rows on the simplex; batch axes broadcast against those of Z. An empty part counts
        zero; its gradient in Z is zero, and that in Pi, which does not exist there, is taken as zero.
    eps, method, report
        As in `coding_rate`.

    Returns
    -------
    array, shape (...), or RateReport

    Raises
    ------
    TypeError, ValueError, FactorisationError
        As in `coding_rate`.

    Notes
    -----
    Yu et al. 2020 (arXiv 2006.08558), MCR². Tokens of weight zero are left out of their part, and parts are padded to
    the largest: balanced hard memberships cost about one pass over the tokens.
    """
    xp, root = _check_partition(Z, Pi, eps, method)
    flag(report, "report")

    def rate(Z: Array, Pi: Array) -> tuple[Array, ...]:
        parts = _partition.gather(Z, Pi)
        if report:
            weighted = parts.tokens * xp.sqrt(parts.weights)[..., None]
            value, used_svd, error = _factored(weighted, root, method)
            return xp.sum(parts.share * value, axis=-1), used_svd, xp.sum(parts.share * error, axis=-1)
        by_part = _autodiff.half_logdet(parts.tokens, parts.weights, root, method)
        return (xp.sum(parts.share * by_part, axis=-1),)

    result = _arrays.map_blocks(rate, Z, Pi)
    return _report(*result) if report else result[0]


def partition_coding_rate_and_gradient(Z: Array, Pi: Array, *, eps: float, method: str = "auto") -> tuple[Array, Array]:
    r"""Rᶜ(Z|Π) and its gradient in Z, α Σ_k Diag(π_k) Z (I + α_k Zᵀ Diag(π_k) Z)⁻¹, α = d/(n ε²), Π held fixed.

    Parameters and errors as in `partition_coding_rate`; Chan et al. 2022 (arXiv 2105.10446), the operators C_j.

    Returns
    -------
    value : array, shape (...)
        Nats.
    gradient : array, shape (..., n, d)
    """
    xp, root = _check_partition(Z, Pi, eps, method)

    def rate_and_gradient(Z: Array, Pi: Array) -> tuple[Array, Array]:
        parts = _partition.gather(Z, Pi)
        value, by_part = _autodiff.half_logdet_and_gradient(parts.tokens, parts.weights, root, method)
        gradient = parts.collect(parts.share[..., None, None] * by_part)
        return xp.sum(parts.share * value, axis=-1), gradient

    value, gradient = _arrays.map_blocks(rate_and_gradient, Z, Pi)
    return value, gradient


def _check_partition(Z: Array, Pi: Array, eps: float, method: str) -> tuple[Namespace, float]:
    xp = _arrays.namespace(Z=Z, Pi=Pi)
    _arrays.require_tokens(Z)
    _arrays.require_membership(Pi, Z.shape[-2])
    _arrays.require_broadcast(Z=Z, Pi=Pi)
    _arrays.choice(method, _logdet.METHODS, "method")
    return xp, _root(Z, Z.shape[-1], 1, eps)  # the weights π_jk/n_k bring the n_k of α_k = d/(n_k ε²)


# --- ΔR ---------------------------------------------------------------------------------------------------------


def rate_reduction(
    Z: Array,
    *,
    U: Array | None = None,
    Pi: Array | None = None,
    eps: float,
    method: str = "auto",
    report: bool = False,
) -> Array | RateReport:
    r"""ΔR = R(Z) − Rᶜ(Z|U) or R(Z) − Rᶜ(Z|Π), in nats.

    Parameters
    ----------
    Z : array, shape (..., n, d)
    U : array, shape (K, d, p), or None
    Pi : array, shape (..., n, K), or None
        Exactly one of U and Pi is given.
    eps, method, report
        As in `coding_rate`; in the report ``used_svd`` has R first, then the heads or parts: ``(..., 1 + K)``.

    Returns
    -------
    array, shape (...), or RateReport

    Raises
    ------
    TypeError, ValueError, FactorisationError
        As in `coding_rate`.

    Notes
    -----
    Yu et al. 2023 (arXiv 2306.01129), eq. 1; Yu et al. 2020 (arXiv 2006.08558) for a partition.
    """
    _one_of(U, Pi)
    whole: Any = coding_rate(Z, eps=eps, method=method, report=report)
    rest: Any
    if U is not None:
        rest = subspace_coding_rate(Z, U, eps=eps, method=method, report=report)
    else:
        rest = partition_coding_rate(Z, Pi, eps=eps, method=method, report=report)
    if not report:
        return as_array(whole - rest)
    xp = _arrays.namespace(Z=Z)
    batch = rest.used_svd.shape[:-1]
    used_svd = xp.concat([xp.broadcast_to(whole.used_svd[..., None], (*batch, 1)), rest.used_svd], axis=-1)
    error = whole.error_bound * whole.value + rest.error_bound * rest.value
    return _report(whole.value - rest.value, used_svd, error)


def rate_reduction_and_gradient(
    Z: Array, *, U: Array | None = None, Pi: Array | None = None, eps: float, method: str = "auto"
) -> tuple[Array, Array]:
    """ΔR and its gradient in Z, the difference of those of its two rates.

    Parameters and errors as in `rate_reduction`.

    Returns
    -------
    value : array, shape (...)
        Nats.
    gradient : array, shape (..., n, d)
    """
    _one_of(U, Pi)
    whole, whole_gradient = coding_rate_and_gradient(Z, eps=eps, method=method)
    if U is not None:
        rest, rest_gradient = subspace_coding_rate_and_gradient(Z, U, eps=eps, method=method)
    else:
        rest, rest_gradient = partition_coding_rate_and_gradient(Z, Pi, eps=eps, method=method)
    return as_array(whole - rest), whole_gradient - rest_gradient


def _one_of(U: Array | None, Pi: Array | None) -> None:
    if (U is None) == (Pi is None):
        raise ValueError(f"exactly one of U and Pi must be given, got {'neither' if U is None else 'both'}")


# --- shared -----------------------------------------------------------------------------------------------------


def _root(Z: Array, dimension: int, tokens: int, eps: float) -> float:
    """√(dimension/(tokens ε²)), which must be finite in the dtype of Z; its square need not be."""
    size, largest = math.sqrt(dimension / tokens), float(_arrays.namespace(Z=Z).finfo(Z.dtype).max)
    if not size / _arrays.positive(eps, "eps") < largest:
        raise ValueError(f"eps must be above {size / largest:.1e} for {Z.dtype} tokens, got {eps!r}")
    return size / float(eps)


def _factored(A: Array, root: float, method: str) -> tuple[Array, Array, Array]:
    factored = _logdet.half_logdet(A, root, method=method, gradient=False)
    return factored.value, factored.used_svd, factored.error_bound * factored.value


def _report(value: Array, used_svd: Array, error: Array) -> RateReport:
    value, error = as_array(value), as_array(error)
    xp = _arrays.namespace(value=value)
    size = xp.abs(value)
    with _arrays.quiet():
        relative = xp.where(error == 0, 0.0, error / size)
    relative = xp.where(xp.isnan(relative), math.inf, relative)
    return RateReport(value, used_svd, as_array(relative))
