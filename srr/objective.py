"""The sparse rate reduction, which a layer should raise, and its negative, the loss."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

from srr._arrays import Array, namespace, nonnegative, positive
from srr._heads import require_subspaces
from srr._scalars import as_array
from srr.rates import coding_rate, rate_reduction, rate_reduction_and_gradient, subspace_coding_rate

__all__ = ["SparseRateReduction", "Terms"]


class Terms(NamedTuple):
    """Every term of the sparse rate reduction, each ``(...)``; rates in nats."""

    rate: Array
    """R(Z)."""
    compression: Array
    """Rᶜ(Z|U)."""
    rate_reduction: Array
    """ΔR(Z|U) = R − Rᶜ."""
    l0: Array
    """‖Z‖₀: entries whose magnitude is above the threshold, an integer."""
    l1: Array
    """‖Z‖₁."""
    value: Array
    """ΔR − λ‖Z‖₁, which the papers maximise."""
    loss: Array
    """−value, which a layer should decrease."""


@dataclass(frozen=True, eq=False)
class SparseRateReduction:
    """SRR(Z) = R(Z) − Rᶜ(Z|U) − λ‖Z‖₁.

    Parameters
    ----------
    U : array, shape (K, d, p)
        Bases of K subspaces; the formulas hold for any, orthonormal or not.
    eps : float
        Precision ε > 0; it enters as ε².
    lam : float
        λ ≥ 0.

    Raises
    ------
    TypeError, ValueError
        An argument of the wrong kind, shape or value; the message names it.

    Notes
    -----
    Yu et al. 2023 (arXiv 2306.01129), eq. 1, has ‖Z‖₀, and ‖Z‖₁, on which a proximal step can act, from eq.
    15 on. Nothing in either fixes the scale of the tokens, although ΔR rewards it.
    """

    U: Array
    eps: float
    lam: float

    def __post_init__(self) -> None:
        namespace(U=self.U)
        require_subspaces(self.U)
        positive(self.eps, "eps")
        nonnegative(self.lam, "lam")

    def terms(self, Z: Array, *, threshold: float = 0.0) -> Terms:
        """Every term at Z ``(..., n, d)``; ‖Z‖₀ counts the entries with magnitude above ``threshold``."""
        rate: Array = coding_rate(Z, eps=self.eps)
        compression: Array = subspace_coding_rate(Z, self.U, eps=self.eps)
        xp = namespace(Z=Z)
        size = xp.abs(Z)
        l0 = xp.sum(xp.astype(size > nonnegative(threshold, "threshold"), xp.int32), axis=(-2, -1))
        l1 = xp.sum(size, axis=(-2, -1))
        value = rate - compression - self.lam * l1
        terms = (rate, compression, rate - compression, l0, l1, value, -value)
        return Terms(*map(as_array, terms))

    def value(self, Z: Array) -> Array:
        """SRR(Z) in nats, shape ``(...)``."""
        return as_array(-self.loss(Z))

    def loss(self, Z: Array) -> Array:
        """Rᶜ(Z|U) − R(Z) + λ‖Z‖₁ in nats, shape ``(...)``."""
        reduction: Array = rate_reduction(Z, U=self.U, eps=self.eps)
        xp = namespace(Z=Z)
        return as_array(self.lam * xp.sum(xp.abs(Z), axis=(-2, -1)) - reduction)

    def smooth_gradient(self, Z: Array) -> Array:
        """Gradient ``(..., n, d)`` of the smooth part Rᶜ − R of the loss."""
        return -rate_reduction_and_gradient(Z, U=self.U, eps=self.eps)[1]
