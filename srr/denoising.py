"""Optimal denoising under a mixture of Gaussian subspaces, and attention as an approximation of it.

A clean token is z = U_s a, s drawn with weights π, a ~ N(0, Diag(λ_s)); it is seen as x = z + σw, w ~ N(0, I).
Everything here acts on every token (row) by itself.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from array_api_compat import array_namespace

from srr._arrays import (
    Array,
    detached,
    is_concrete,
    namespace,
    positive,
    require_finite,
    require_orthonormal,
    require_shape,
    require_tokens,
)
from srr._heads import require_subspaces, side_by_side

__all__ = ["SubspaceMixture", "attention_denoiser"]


@dataclass(frozen=True, eq=False)
class SubspaceMixture:
    """The mixture Σ_k π_k N(0, U_k Diag(λ_k) U_kᵀ).

    Parameters
    ----------
    U : array, shape (K, d, p)
        Bases, each orthonormal; the subspaces may lie to one another in any way.
    variances : array, shape (K, p)
        λ > 0.
    weights : array, shape (K,)
        π > 0; only their ratios matter.

    Raises
    ------
    TypeError, ValueError
        An argument of the wrong kind, shape or value; the message names it.
    """

    U: Array
    variances: Array
    weights: Array

    def __post_init__(self) -> None:
        namespace(U=self.U, variances=self.variances, weights=self.weights)
        _require_orthonormal_bases(self.U)
        K, _, p = self.U.shape
        require_shape(self.variances, (K, p), "variances")
        require_shape(self.weights, (K,), "weights")
        _require_positive(self.variances, "variances")
        _require_positive(self.weights, "weights")

    def log_density(self, X: Array, *, noise: float) -> Array:
        """log q(x) of every noisy token of X ``(..., n, d)``, in nats: ``(..., n)``."""
        logits = self._log_joint(X, self._variance(X, noise))
        xp = array_namespace(logits)
        top = xp.max(logits, axis=-1)
        total = top + xp.log(xp.sum(xp.exp(logits - top[..., None]), axis=-1))
        return total - xp.log(xp.sum(self.weights)) - self.U.shape[1] / 2 * math.log(2 * math.pi)

    def memberships(self, X: Array, *, noise: float) -> Array:
        """P(s = k | x) of every noisy token: ``(..., n, K)``, rows on the simplex."""
        return _softmax(self._log_joint(X, self._variance(X, noise)))

    def posterior_mean(self, X: Array, *, noise: float) -> Array:
        """E[z | x] of every noisy token: ``(..., n, d)``, the denoiser of least mean square error.

        Notes
        -----
        Σ_k P(k|x) U_k Diag(λ_k/(λ_k + σ²)) U_kᵀ x: the Wiener filters of the subspaces, weighted by membership.
        """
        square = self._variance(X, noise)
        return self._filtered(X, square, self.variances / (self.variances + square))

    def score(self, X: Array, *, noise: float) -> Array:
        """∇ log q(x) of every noisy token: ``(..., n, d)``.

        Notes
        -----
        −Σ_k P(k|x) (U_k Diag(λ_k) U_kᵀ + σ²I)⁻¹ x. N23 proposition 1 has memberships that leave out the weights
        and determinants, which is right where π_k / √det(U_k Diag(λ_k) U_kᵀ + σ²I) is the same for all k.
        """
        square = self._variance(X, noise)
        return self._filtered(X, square, self.variances / (self.variances + square) / square) - X / square

    def _log_joint(self, X: Array, square: float) -> Array:
        # log π_k + log q(x | k), up to the constants left to log_density.
        xp = array_namespace(X)
        d, p = self.U.shape[1:]
        total = self.variances + square
        log_det = xp.sum(xp.log(total), axis=-1) + (d - p) * math.log(square)
        explained = xp.sum(self.variances / total * _project(X, self.U) ** 2, axis=-1)
        distance = (xp.sum(X**2, axis=-1)[..., None] - explained) / square
        return xp.log(self.weights) - (distance + log_det) / 2

    def _filtered(self, X: Array, square: float, gain: Array) -> Array:
        share = _softmax(self._log_joint(X, square))
        return _unproject(share[..., None] * gain * _project(X, self.U), self.U)

    def _variance(self, X: Array, noise: float) -> float:
        namespace(X=X, U=self.U)
        _require_tokens_of(X, self.U)
        return positive(noise, "noise") ** 2


def attention_denoiser(X: Array, U: Array, *, noise: float) -> Array:
    """Σ_k softmax_k(‖U_kᵀx‖²/2σ²) U_kU_kᵀx of every noisy token: attention over subspaces.

    Parameters
    ----------
    X : array, shape (..., n, d)
        Noisy tokens.
    U : array, shape (K, d, p)
        Bases, each orthonormal.
    noise : float
        σ > 0.

    Returns
    -------
    array, shape (..., n, d)

    Raises
    ------
    TypeError, ValueError
        An argument of the wrong kind, shape or value; the message names it.

    Notes
    -----
    Yu et al. 2023 (arXiv 2306.01129), eq. 6. For unit variances and equal weights it is within (1 + log K) σ² ‖x‖
    of the posterior mean, at every x.
    """
    xp = namespace(X=X, U=U)
    _require_orthonormal_bases(U)
    _require_tokens_of(X, U)
    square = positive(noise, "noise") ** 2
    Y = _project(X, U)
    share = _softmax(xp.sum(Y**2, axis=-1) / (2 * square))
    return _unproject(share[..., None] * Y, U)


def _project(X: Array, U: Array) -> Array:
    """U_kᵀx for every token and subspace: ``(..., n, K, p)``."""
    xp = array_namespace(X)
    K, _, p = U.shape
    return xp.reshape(xp.matmul(X, side_by_side(U)), (*X.shape[:-1], K, p))


def _unproject(Y: Array, U: Array) -> Array:
    """Σ_k U_k y_k of ``(..., n, K, p)``: ``(..., n, d)``."""
    xp = array_namespace(Y)
    K, _, p = U.shape
    return xp.matmul(xp.reshape(Y, (*Y.shape[:-2], K * p)), xp.matrix_transpose(side_by_side(U)))


def _softmax(logits: Array) -> Array:
    xp = array_namespace(logits)
    weights = xp.exp(logits - xp.max(logits, axis=-1, keepdims=True))
    return weights / xp.sum(weights, axis=-1, keepdims=True)


def _require_orthonormal_bases(U: Array) -> None:
    require_subspaces(U)
    require_orthonormal(U)


def _require_tokens_of(X: Array, U: Array) -> None:
    require_tokens(X, "X")
    require_shape(X, ("...", "n", U.shape[1]), "X")


def _require_positive(a: Array, name: str) -> None:
    require_finite(a, name)
    if is_concrete(a):
        least = float(array_namespace(a).min(detached(a)))
        if not least > 0:
            raise ValueError(f"{name} must have entries > 0, got {least!r}")
