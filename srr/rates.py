r"""Coding rates, in nats, of tokens in rows.

R(Z) = ½ log det(I + α ZᵀZ), α = d/(n ε²), counts the nats per token that code Z to precision ε. Rᶜ(Z|U) adds the
rates of the projections onto the subspaces U, Rᶜ(Z|Π) those of the parts of a partition Π, and the rate reduction ΔR
is R less either.

Every rate takes ``method``:

==============  =======================================================================================================
``"svd"``       ½ Σ log1p(α σᵢ²) from singular values, accurate everywhere;
``"cholesky"``  one factorisation on the smaller side of the Gram matrix, three to nine times faster, with a relative
                error that grows like n·u·‖I + αZᵀZ‖ on rank-deficient data; raises `FactorisationError` when no digit
                is left, and gives NaN where values cannot be read and the matrix cannot be factorised;
``"auto"``      Cholesky, and the SVD for just those matrices whose error bound exceeds √u relative (u the unit
                roundoff: 1e-8 in float64, 2e-4 in float32) or whose factorisation fails. Where values cannot be read,
                under ``jax.jit``, ``jax.vmap`` and ``torch.compile``, it takes the SVD.
==============  =======================================================================================================

Where even the SVD leaves more than √u of relative error, a `PrecisionWarning` says so.

torch tensors and JAX arrays are differentiable, with the closed-form gradient: finite wherever the rate is. Under
``torch.compile`` a rate of which a derivative may be asked is a graph break: ``fullgraph=True`` cannot trace it.
"""

from __future__ import annotations

import math
import operator
from collections.abc import Callable
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
    if not flag(report, "report"):
        return _with_warning(_coding(Z, eps, method))[0]
    root = _check_tokens(Z, eps, method)
    return reported(*_arrays.map_blocks(lambda Z: _factored(Z, root, method), Z))


def coding_rate_and_gradient(Z: Array, *, eps: float, method: str = "auto") -> tuple[Array, Array]:
    r"""R(Z) and ∇R(Z) = α Z (I + α ZᵀZ)⁻¹ from one factorisation.

    Parameters, errors and source as in `coding_rate`; the gradient is N23 eq. 78 with tokens in rows.

    Returns
    -------
    value : array, shape (...)
        Nats.
    gradient : array, shape (..., n, d)
    """
    value, gradient = _with_warning(_coding(Z, eps, method, gradient=True))
    return value, gradient


def _coding(Z: Array, eps: float, method: str, gradient: bool = False) -> tuple[Array, ...]:
    root = _check_tokens(Z, eps, method)
    return _arrays.map_blocks(lambda Z: _half_logdet(Z, None, root, method, gradient), Z)


def _check_tokens(Z: Array, eps: float, method: str) -> float:
    _arrays.namespace(Z=Z)
    _arrays.require_tokens(Z)
    root = _root(Z, Z.shape[-1] / Z.shape[-2], eps)
    _arrays.choice(method, _logdet.METHODS, "method")
    return root


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
    if not flag(report, "report"):
        return _with_warning(_subspaces(Z, U, eps, method))[0]
    xp, root = _check_subspaces(Z, U, eps, method)
    heads = _onto(U)
    value, used_svd, error = _arrays.map_blocks(lambda Z: _factored(heads(Z), root, method), Z)
    # Rounding moves Y = ZU_k by δ/√c, δ = 4 √d u √c‖U_k‖‖Z‖, and so F by at most δ √c‖Y‖ and by q log(1 + δ/√q).
    d, q = Z.shape[-1], min(Z.shape[-2], U.shape[-1])
    with _arrays.quiet():
        log_size = math.log(root) + _log_norm(U) + _log_norm(Z)[..., None]
        log_delta = log_size + math.log(4 * math.sqrt(d / q) * _arrays.unit_roundoff(Z))
        near_zero = xp.clip(xp.exp(log_size), max=math.sqrt(q) / 2) * 2 / math.sqrt(q)
        error = error + q * xp.logaddexp(log_delta, xp.zeros_like(log_delta)) * near_zero
    return reported(xp.sum(value, axis=-1), used_svd, xp.sum(error, axis=-1))


def subspace_coding_rate_and_gradient(Z: Array, U: Array, *, eps: float, method: str = "auto") -> tuple[Array, Array]:
    r"""Rᶜ(Z|U) and ∇Rᶜ(Z|U) = β Σ_k Y_k (I + β Y_kᵀY_k)⁻¹ U_kᵀ, Y_k = ZU_k, from one factorisation a head.

    Parameters and errors as in `subspace_coding_rate`; N23 eq. 9 with tokens in rows.

    Returns
    -------
    value : array, shape (...)
        Nats.
    gradient : array, shape (..., n, d)
    """
    value, gradient = _with_warning(_subspaces(Z, U, eps, method, gradient=True))
    return value, gradient


def _subspaces(Z: Array, U: Array, eps: float, method: str, gradient: bool = False) -> tuple[Array, ...]:
    xp, root = _check_subspaces(Z, U, eps, method)
    heads, W = _onto(U), side_by_side(U)

    def rate(Z: Array) -> tuple[Array, ...]:
        value, error, *by_head = _half_logdet(heads(Z), None, root, method, gradient)
        return xp.sum(value, axis=1), xp.sum(error, axis=1), *(unproject(G, W) for G in by_head)

    return _arrays.map_blocks(rate, Z)


def _onto(U: Array) -> Callable[[Array], Array]:
    """Tokens ``(b, n, d)`` to their projections ``(b, K, n, p)``, infinite where they overflow."""
    W, K = side_by_side(U), U.shape[0]

    def heads(Z: Array) -> Array:
        with _arrays.quiet():
            return project(Z, W, K)

    return heads


def _log_norm(A: Array) -> Array:
    """log ‖A‖ over the last two axes; the norm itself may be beyond the range."""
    xp = _arrays.namespace(A=A)
    largest = xp.max(xp.abs(A), axis=(-2, -1))
    scaled = A / xp.where(largest > 0, largest, xp.ones_like(largest))[..., None, None]
    return xp.log(largest) + xp.log(xp.linalg.vector_norm(scaled, axis=(-2, -1)))


def _check_subspaces(Z: Array, U: Array, eps: float, method: str) -> tuple[Namespace, float]:
    xp = _arrays.namespace(Z=Z, U=U)
    _arrays.require_tokens(Z)
    _arrays.require_bases(U, Z.shape[-1])
    root = _root(Z, U.shape[-1] / Z.shape[-2], eps)
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
    Yu et al. 2020 (arXiv 2006.08558), MCR². Tokens of weight zero are left out of their part, and parts of about one
    size are factorised together: hard memberships cost one or two passes over the tokens.
    """
    if not flag(report, "report"):
        return _with_warning(_partitioned(Z, Pi, eps, method))[0]
    xp, root = _check_partition(Z, Pi, eps, method)

    def rate(Z: Array, Pi: Array) -> tuple[Array, ...]:
        parts = _partition.gather(Z, Pi)
        groups = [_factored(tokens * xp.sqrt(w)[..., None], root, method) for tokens, w in parts.groups]
        value, used_svd, error = map(parts.join, *groups)
        return xp.sum(parts.share * value, axis=1), used_svd, xp.sum(parts.share * error, axis=1)

    return reported(*_arrays.map_blocks(rate, Z, Pi))


def partition_coding_rate_and_gradient(Z: Array, Pi: Array, *, eps: float, method: str = "auto") -> tuple[Array, Array]:
    r"""Rᶜ(Z|Π) and its gradient in Z, α Σ_k Diag(π_k) Z (I + α_k Zᵀ Diag(π_k) Z)⁻¹, α = d/(n ε²), Π held fixed.

    Parameters and errors as in `partition_coding_rate`; Chan et al. 2022 (arXiv 2105.10446), the operators C_j.

    Returns
    -------
    value : array, shape (...)
        Nats.
    gradient : array, shape (..., n, d)
    """
    value, gradient = _with_warning(_partitioned(Z, Pi, eps, method, gradient=True))
    return value, gradient


def _partitioned(Z: Array, Pi: Array, eps: float, method: str, gradient: bool = False) -> tuple[Array, ...]:
    xp, root = _check_partition(Z, Pi, eps, method)

    def rate(Z: Array, Pi: Array) -> tuple[Array, ...]:
        parts = _partition.gather(Z, Pi)
        groups = [_half_logdet(tokens, weights, root, method, gradient) for tokens, weights in parts.groups]
        value, error = map(parts.join, *(group[:2] for group in groups))
        gradients = map(parts.collect, *(group[2:] for group in groups))
        return xp.sum(parts.share * value, axis=1), xp.sum(parts.share * error, axis=1), *gradients

    return _arrays.map_blocks(rate, Z, Pi)


def _check_partition(Z: Array, Pi: Array, eps: float, method: str) -> tuple[Namespace, float]:
    xp = _arrays.namespace(Z=Z, Pi=Pi)
    _arrays.require_tokens(Z)
    _arrays.require_membership(Pi, Z.shape[-2])
    _arrays.require_broadcast(Z=Z, Pi=Pi)
    _arrays.choice(method, _logdet.METHODS, "method")
    return xp, _root(Z, Z.shape[-1], eps)  # the weights π_jk/n_k bring the n_k of α_k = d/(n_k ε²)


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
    if not flag(report, "report"):
        return _reduction(Z, U, Pi, eps, method)[0]
    whole: Any = coding_rate(Z, eps=eps, method=method, report=True)
    rest: Any
    if U is not None:
        rest = subspace_coding_rate(Z, U, eps=eps, method=method, report=True)
    else:
        rest = partition_coding_rate(Z, Pi, eps=eps, method=method, report=True)
    xp = _arrays.namespace(Z=Z)
    batch = rest.used_svd.shape[:-1]
    used_svd = xp.concat([xp.broadcast_to(whole.used_svd[..., None], (*batch, 1)), rest.used_svd], axis=-1)
    error = whole.error_bound * whole.value + rest.error_bound * rest.value
    return reported(whole.value - rest.value, used_svd, error)


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
    value, gradient = _reduction(Z, U, Pi, eps, method, gradient=True)
    return value, gradient


def _reduction(
    Z: Array, U: Array | None, Pi: Array | None, eps: float, method: str, gradient: bool = False
) -> tuple[Array, ...]:
    whole = _coding(Z, eps, method, gradient)
    rest = _partitioned(Z, Pi, eps, method, gradient) if U is None else _subspaces(Z, U, eps, method, gradient)
    _logdet.warn_where_imprecise(whole[0] + rest[0], whole[1] + rest[1])
    return as_array(whole[0] - rest[0]), *map(operator.sub, whole[2:], rest[2:])


def _one_of(U: Array | None, Pi: Array | None) -> None:
    if (U is None) == (Pi is None):
        raise ValueError(f"exactly one of U and Pi must be given, got {'neither' if U is None else 'both'}")


# --- shared -----------------------------------------------------------------------------------------------------


def _root(Z: Array, ratio: float, eps: float) -> float:
    """√ratio/ε, which must be finite in the dtype of Z; its square need not be."""
    size, largest = math.sqrt(ratio), float(_arrays.namespace(Z=Z).finfo(Z.dtype).max)
    if not size / _arrays.positive(eps, "eps") < largest:
        raise ValueError(f"eps must be above {size / largest:.1e} for {Z.dtype} tokens, got {eps!r}")
    return size / float(eps)


def _half_logdet(A: Array, w: Array | None, root: float, method: str, gradient: bool) -> tuple[Array, ...]:
    """Value and error bound, and the gradient if asked for."""
    return (_autodiff.half_logdet_and_gradient if gradient else _autodiff.half_logdet)(A, w, root, method)


def _with_warning(result: tuple[Array, ...]) -> tuple[Array, ...]:
    """Value, and gradient if there is one; the bound on the error between them is for the warning."""
    value, error, *gradient = result
    _logdet.warn_where_imprecise(value, error)
    return value, *gradient


def _factored(A: Array, root: float, method: str) -> tuple[Array, Array, Array]:
    factored = _logdet.half_logdet(A, root, method=method)
    return factored.value, factored.used_svd, factored.error_bound * factored.value


def reported(value: Array, used_svd: Array, error: Array) -> RateReport:
    """The report of a rate whose absolute error is bounded by ``error``."""
    value, error = as_array(value), as_array(error)
    xp = _arrays.namespace(value=value)
    size = xp.abs(value)
    with _arrays.quiet():
        relative = xp.where(error == 0, 0.0, error / size)
    relative = xp.where(xp.isnan(relative), math.inf, relative)
    return RateReport(value, used_svd, as_array(relative))
