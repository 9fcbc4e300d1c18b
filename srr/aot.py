"""AoT: attention alone, Z + η Σ_k φ(Y_kY_kᵀ) Y_k U_kᵀ with Y_k = ZU_k, as denoising of a mixture of subspaces.

φ is the row softmax, or in the theory h∘softmax with h(x) = τ where x > τ and 0 elsewhere. For τ ≥ ½ a row of φ has
one entry at most. On the good event that each token attends to itself in the head of its own class, and to nothing in
the others, a layer multiplies its part in its own subspace by 1 + ητ and leaves the rest as it is: no token mixes with
another, and the signal-to-noise ratio grows by that factor.

Wang et al. 2025 (arXiv 2506.03790).
"""

from __future__ import annotations

from dataclasses import dataclass

from srr import flops
from srr._arrays import (
    Array,
    Namespace,
    map_blocks,
    namespace,
    real,
    require_bases,
    require_broadcast,
    require_membership,
    require_shape,
    require_tokens,
)
from srr._heads import project, require_subspaces, require_tokens_and_bases, side_by_side, unproject
from srr._scalars import Scalar, scalar
from srr.attention import softmax_of_gram
from srr.layer import AttentionOnly

__all__ = ["Aot", "aot", "attention_weights", "denoising_step", "mssa_thresholded", "snr"]


def attention_weights(Z: Array, U: Array, *, threshold: float | None = None) -> Array:
    """φ(Y_kY_kᵀ) of every head k: the row softmax, and with a threshold τ where it exceeds τ, 0 elsewhere.

    Parameters
    ----------
    Z : array, shape (..., n, d)
    U : array, shape (K, d, p)
    threshold : float, optional
        τ, above 0 and below 1. Without it the softmax is left as it is.

    Returns
    -------
    array, shape (..., K, n, n)

    Raises
    ------
    TypeError, ValueError
        An argument of the wrong kind, shape or value; the message names it.
    """
    xp, tau, W = require_tokens_and_bases(Z, U), _threshold(threshold), side_by_side(U)
    return map_blocks(lambda Z: (_weights(xp, project(Z, W, U.shape[0]), tau),), Z)[0]


def mssa_thresholded(Z: Array, U: Array, *, threshold: float | None) -> Array:
    """Σ_k φ(Y_kY_kᵀ) Y_k U_kᵀ, φ as in `attention_weights`; `attention.mssa` without a threshold.

    Parameters and errors as in `attention_weights`.

    Returns
    -------
    array, shape (..., n, d)

    Notes
    -----
    Wang et al. 2025 (arXiv 2506.03790), the MSSA operator.
    """
    xp, tau, W = require_tokens_and_bases(Z, U), _threshold(threshold), side_by_side(U)

    def attend(Z: Array) -> tuple[Array]:
        Y = project(Z, W, U.shape[0])
        return (unproject(xp.matmul(_weights(xp, Y, tau), Y), W),)

    return map_blocks(attend, Z)[0]


def denoising_step(Z: Array, U: Array, *, step: Scalar, threshold: float | None) -> Array:
    """Z + η Σ_k φ(Y_kY_kᵀ) Y_k U_kᵀ: a layer of AoT.

    Parameters
    ----------
    Z, U, threshold
        As in `attention_weights`.
    step : float or 0-d array
        η.

    Returns
    -------
    array, shape (..., n, d)

    Raises
    ------
    TypeError, ValueError
        An argument of the wrong kind, shape or value; the message names it.
    """
    attended = mssa_thresholded(Z, U, threshold=threshold)
    return Z + scalar(step, Z, "step") * attended


def snr(Z: Array, Pi: Array, U: Array) -> Array:
    """‖Z_kU_k‖ / ‖Z_k − Z_kU_kU_kᵀ‖ (Frobenius) of every class: the part in its subspace over the part outside.

    Parameters
    ----------
    Z : array, shape (..., n, d)
    Pi : array, shape (..., n, K)
        Memberships, rows on the simplex; squares are weighted with them.
    U : array, shape (K, d, p)
        Bases.

    Returns
    -------
    array, shape (..., K)
        Infinite for a class without noise, NaN for one of zeros.

    Raises
    ------
    TypeError, ValueError
        An argument of the wrong kind, shape or value; the message names it.

    Notes
    -----
    Wang et al. 2025 (arXiv 2506.03790), the definition before theorem 1.
    """
    xp = namespace(Z=Z, Pi=Pi, U=U)
    require_tokens(Z)
    require_bases(U, Z.shape[-1])
    require_shape(Pi, ("...", Z.shape[-2], U.shape[0]), "Pi")
    require_membership(Pi, Z.shape[-2])
    require_broadcast(Z=Z, Pi=Pi)

    def ratio(Z: Array, Pi: Array) -> tuple[Array]:
        Y = project(Z, side_by_side(U), U.shape[0])
        inside, outside = Y, Z[:, None, ...] - xp.matmul(Y, xp.matrix_transpose(U))
        weight = xp.matrix_transpose(Pi)[..., None]
        signal, noise = (xp.sum(weight * part**2, axis=(2, 3)) for part in (inside, outside))
        return (xp.sqrt(signal / noise),)

    return map_blocks(ratio, Z, Pi)[0]


def _weights(xp: Namespace, Y: Array, tau: float | None) -> Array:
    share = softmax_of_gram(xp, Y, 1.0)
    return share if tau is None else tau * xp.astype(share > tau, Y.dtype)


def _threshold(threshold: float | None) -> float | None:
    if threshold is None:
        return None
    tau = real(threshold, "threshold")
    if not 0 < tau < 1:
        raise ValueError(f"threshold must be above 0 and below 1, got {threshold!r}")
    return tau


@dataclass(frozen=True, eq=False)
class Aot(AttentionOnly):
    """A layer of AoT; `aot` builds it and documents the fields."""

    U: Array
    step: Scalar
    threshold: float | None

    def compress(self, Z: Array) -> Array:
        """Z + η Σ_k φ(Y_kY_kᵀ) Y_k U_kᵀ."""
        return denoising_step(Z, self.U, step=self.step, threshold=self.threshold)

    def flops(self, n: int) -> int:
        """On n tokens; see `srr.flops`."""
        K, d, p = self.U.shape
        return flops.attention(n, d, K, p)


def aot(U: Array, *, step: Scalar = 1.0, threshold: float | None = 0.6) -> Aot:
    """A layer of AoT: attention with a skip, and nothing in the second half.

    Parameters
    ----------
    U : array, shape (K, d, p)
        Bases.
    step : float or 0-d array
        η.
    threshold : float, optional
        τ of the theory, above 0 and below 1; None for the softmax of the networks.

    Returns
    -------
    Aot

    Raises
    ------
    TypeError, ValueError
        An argument of the wrong kind, shape or value; the message names it.

    Notes
    -----
    Wang et al. 2025 (arXiv 2506.03790).
    """
    namespace(U=U)
    require_subspaces(U)
    scalar(step, U, "step")
    return Aot(U, step, _threshold(threshold))
