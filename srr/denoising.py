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
    map_blocks,
    namespace,
    positive,
    require_finite,
    require_orthonormal,
    require_shape,
    require_tokens,
)
from srr._heads import project, require_subspaces, side_by_side, softmax, unproject

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
        sigma = _require_noise(X, self.U, noise)

        def density(X: Array) -> tuple[Array]:
            return (_log_sum_exp(self._log_joint(X, sigma)[0]),)

        return map_blocks(density, X)[0] - self.U.shape[1] / 2 * math.log(2 * math.pi)

    def memberships(self, X: Array, *, noise: float) -> Array:
        """P(s = k | x) of every noisy token: ``(..., n, K)``, rows on the simplex."""
        sigma = _require_noise(X, self.U, noise)

        def shares(X: Array) -> tuple[Array]:
            share = softmax(self._log_joint(X, sigma)[0], axis=-2)
            return (array_namespace(X).matrix_transpose(share),)

        return map_blocks(shares, X)[0]

    def posterior_mean(self, X: Array, *, noise: float) -> Array:
        """E[z | x] of every noisy token: ``(..., n, d)``, the denoiser of least mean square error.

        Notes
        -----
        Σ_k P(k|x) U_k Diag(λ_k/(λ_k + σ²)) U_kᵀ x: the Wiener filters of the subspaces, weighted by membership.
        """
        sigma = _require_noise(X, self.U, noise)
        root = self._root(sigma)
        gain = (array_namespace(X).sqrt(self.variances) / root) ** 2

        def mean(X: Array) -> tuple[Array]:
            logits, Y, _ = self._log_joint(X, sigma)
            return (unproject(softmax(logits, axis=-2)[..., None] * gain[:, None, :] * Y, side_by_side(self.U)),)

        return map_blocks(mean, X)[0]

    def score(self, X: Array, *, noise: float) -> Array:
        """∇ log q(x) of every noisy token: ``(..., n, d)``.

        Notes
        -----
        −Σ_k P(k|x) (U_k Diag(λ_k) U_kᵀ + σ²I)⁻¹ x. N23 proposition 1 has memberships that leave out the weights
        and determinants, which is right where π_k / √det(U_k Diag(λ_k) U_kᵀ + σ²I) is the same for all k.
        """
        sigma = _require_noise(X, self.U, noise, slope=True)
        xp, root = array_namespace(X), self._root(sigma)

        def slope(X: Array) -> tuple[Array]:
            logits, Y, beside = self._log_joint(X, sigma)
            share = softmax(logits, axis=-2)[..., None]
            inside = unproject(share * (Y / root[:, None, :] / root[:, None, :]), side_by_side(self.U))
            return (-inside - xp.sum(share * beside, axis=1) / sigma,)

        return map_blocks(slope, X)[0]

    def _log_joint(self, X: Array, sigma: float) -> tuple[Array, Array, Array]:
        # log π_k + log q(x | k) up to (d/2) log 2π, ``(b, K, n)``, with U_kᵀx and (x − U_kU_kᵀx)/σ.
        xp, root = array_namespace(X), self._root(sigma)
        d, p = self.U.shape[1:]
        Y, beside = _split(X, self.U, sigma)
        distance = xp.sum(beside**2, axis=-1) + xp.sum((Y / root[:, None, :]) ** 2, axis=-1)
        log_det = xp.sum(xp.log(root), axis=1) + (d - p) * math.log(sigma)  # half of it
        log_weights = xp.log(self.weights)
        prior = log_weights - _log_sum_exp(log_weights[:, None])
        return (prior - log_det)[:, None] - distance / 2, Y, beside

    def _root(self, sigma: float) -> Array:
        """√(λ + σ²), ``(K, p)``."""
        xp = array_namespace(self.variances)
        return xp.hypot(xp.sqrt(self.variances), xp.full_like(self.variances, sigma))


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
    namespace(U=U)
    _require_orthonormal_bases(U)
    sigma = _require_noise(X, U, noise)

    def attend(X: Array) -> tuple[Array]:
        # ‖U_kᵀx‖² = ‖x‖² − ‖x − U_kU_kᵀx‖², and a softmax does not see ‖x‖².
        Y, beside = _split(X, U, sigma)
        share = softmax(-array_namespace(X).sum(beside**2, axis=-1) / 2, axis=-2)
        return (unproject(share[..., None] * Y, side_by_side(U)),)

    return map_blocks(attend, X)[0]


def _split(X: Array, U: Array, sigma: float) -> tuple[Array, Array]:
    """U_kᵀx ``(b, K, n, p)`` and (x − U_kU_kᵀx)/σ ``(b, K, n, d)``: squares of neither cancel."""
    xp = array_namespace(X)
    Y = project(X, side_by_side(U), U.shape[0])
    return Y, (X[:, None, ...] - xp.matmul(Y, xp.matrix_transpose(U))) / sigma


def _log_sum_exp(logits: Array) -> Array:
    """Over the subspaces, the last axis but one."""
    xp = array_namespace(logits)
    top = xp.max(logits, axis=-2)
    return top + xp.log(xp.sum(xp.exp(logits - top[..., None, :]), axis=-2))


def _require_orthonormal_bases(U: Array) -> None:
    require_subspaces(U)
    require_orthonormal(U)


def _require_noise(X: Array, U: Array, noise: float, *, slope: bool = False) -> float:
    """σ, beside which the tokens must leave ‖x‖²/σ² finite, and for a slope ‖x‖/σ²."""
    xp = namespace(X=X, U=U)
    require_tokens(X, "X")
    require_shape(X, ("...", "n", U.shape[1]), "X")
    sigma, least, most = positive(noise, "noise"), xp.finfo(X.dtype).smallest_normal, xp.finfo(X.dtype).max
    if not least <= sigma <= most:
        raise ValueError(f"noise must be from {least:.1e} to {most:.1e} for {X.dtype} tokens, got {noise!r}")
    if is_concrete(X) and 0 not in X.shape:
        largest, tiny = float(xp.max(xp.abs(detached(X)))), math.sqrt(X.shape[-1] / float(most))
        floor = 4 * tiny * max(largest, math.sqrt(largest) if slope else 0.0)
        if not sigma > floor:
            raise ValueError(f"noise must be above {floor:.1e} for tokens up to {largest:.1e}, got {noise!r}")
    return sigma


def _require_positive(a: Array, name: str) -> None:
    require_finite(a, name)
    if is_concrete(a):
        least = float(array_namespace(a).min(detached(a)))
        if not least > 0:
            raise ValueError(f"{name} must have entries > 0, got {least!r}")
