"""The layer that provably descends: a proximal gradient step on the whole loss."""

from __future__ import annotations

from dataclasses import dataclass

from srr import curvature, flops, prox
from srr._arrays import Array, namespace, require_shape, require_tokens
from srr._scalars import Scalar, flag
from srr.layer import Layer
from srr.objective import SparseRateReduction

__all__ = ["Descent", "descent"]


@dataclass(frozen=True, eq=False)
class Descent(Layer):
    """A proximal gradient step on the whole loss; `descent` builds it and documents it."""

    objective: SparseRateReduction
    nonnegative: bool
    step_per_token: Scalar
    """s/n, the same for every n; kept because it takes an eigenvalue of the bases."""

    def compress(self, Z: Array) -> Array:
        """Z − s ∇(Rᶜ − R)(Z)."""
        gradient = self.objective.smooth_gradient(Z)
        return Z - Z.shape[-2] * self.step_per_token * gradient

    def sparsify(self, Z: Array) -> Array:
        """The proximal operator of sλ‖·‖₁."""
        U = self.objective.U
        namespace(Z=Z, U=U)
        require_tokens(Z)
        require_shape(Z, ("...", "n", U.shape[1]), "Z")
        shrink = prox.nonnegative_soft_threshold if self.nonnegative else prox.soft_threshold
        return shrink(Z, Z.shape[-2] * self.step_per_token * self.objective.lam)

    def flops(self, n: int) -> int:
        """Of both halves on n tokens; see `srr.flops`."""
        K, d, p = self.objective.U.shape
        return flops.gradient(n, d, K, p) + flops.coding_rate_gradient(n, d)


def descent(U: Array, *, eps: float, lam: float, nonnegative: bool = False) -> Descent:
    """The provably monotone layer: a proximal gradient step on the whole loss Rᶜ − R + λ‖Z‖₁.

    Its size is s = 1/(L_c + α/8). The loss falls by at least ‖Z⁺ − Z‖²/(2s), whatever the tokens, the bases,
    ε and λ. It is the layer that descends, not each half: the first is a gradient step on both rates, the
    second the proximal operator of sλ‖·‖₁.

    Parameters
    ----------
    U : array, shape (K, d, p)
        Bases, orthonormal or not.
    eps : float
        Precision ε > 0.
    lam : float
        λ ≥ 0.
    nonnegative : bool
        Keep tokens ≥ 0. The loss then descends from tokens that are.

    Returns
    -------
    Descent

    Raises
    ------
    TypeError, ValueError
        An argument of the wrong kind, shape or value; the message names it.

    Notes
    -----
    s is `curvature.loss_step`, proportional to the number of tokens, which is read from Z when the layer is
    called. Beck and Teboulle 2009 (SIAM J. Imaging Sci. 2), lemma 2.3.
    """
    objective = SparseRateReduction(U, eps, lam)
    return Descent(objective, flag(nonnegative, "nonnegative"), curvature.loss_step(U, 1, eps=eps))
