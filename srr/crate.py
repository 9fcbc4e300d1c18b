"""CRATE: attention in place of the gradient step on Rᶜ, one ISTA step in place of that on λ‖Z‖₁ − R."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from srr import attention, curvature, flops, implicit, prox
from srr._arrays import Array, choice, namespace, positive
from srr._heads import require_subspaces
from srr._scalars import Scalar, flag, positive_scalar, scalar
from srr.layer import Layer

__all__ = ["RULES", "Crate", "Official", "crate", "official"]

# --- CRATE as the papers define it --------------------------------------------------------------------------

_GRADIENT: dict[str, Callable[..., Array]] = {
    "exact": attention.exact_step,
    "neumann": attention.neumann_step,
    "derived": attention.derived_step,
    "implicit": implicit.implicit_step,
    "semi-implicit": implicit.semi_implicit_step,
}
_RESIDUAL = ("residual", "conceptual")
RULES = (*_GRADIENT, *_RESIDUAL)
"""Names of the compression rules of `crate`."""


@dataclass(frozen=True, eq=False)
class Crate(Layer):
    """A CRATE layer in the papers' form; `crate` builds it and documents the fields."""

    U: Array
    D: Array
    rule: str
    eps: float
    kappa: Scalar | None
    eta: Scalar
    lam: Scalar
    nonnegative: bool

    def compress(self, Z: Array) -> Array:
        """The step that ``rule`` names."""
        kappa = self.kappa
        if self.rule in _RESIDUAL:
            eps = self.eps if self.rule == "residual" else None
            return attention.residual_step(Z, self.U, eps=eps, step=1.0 if kappa is None else kappa)
        if kappa is None:
            kappa = curvature.compression_step(self.U, Z.shape[-2], eps=self.eps)
        return _GRADIENT[self.rule](Z, self.U, eps=self.eps, step=kappa)

    def sparsify(self, Z: Array) -> Array:
        """relu(Z + η (Z − Z Dᵀ) D − ηλ): an ISTA step on the lasso of the tokens in D, from the tokens."""
        return prox.ista_step(Z, self.D, step=self.eta, lam=self.lam, nonnegative=self.nonnegative)

    def flops(self, n: int) -> int:
        """Of both halves on n tokens; see `srr.flops`."""
        K, d, p = self.U.shape
        compress = {
            "exact": flops.gradient,
            "neumann": flops.neumann,
            "implicit": flops.implicit,
            "semi-implicit": flops.semi_implicit,
        }.get(self.rule, flops.attention)
        return compress(n, d, K, p) + flops.ista_step(n, d, d)


def crate(
    U: Array,
    D: Array,
    *,
    rule: str = "residual",
    eps: float,
    kappa: Scalar | None = None,
    eta: Scalar = 0.1,
    lam: Scalar = 0.1,
    nonnegative: bool = True,
) -> Crate:
    """A layer of CRATE as the papers define it: a compression rule, then one ISTA step.

    Parameters
    ----------
    U : array, shape (K, d, p)
        Bases.
    D : array, shape (d, d)
        Dictionary.
    rule : {"exact", "neumann", "derived", "implicit", "semi-implicit", "residual", "conceptual"}
        The compression: `attention.exact_step`, `attention.neumann_step`, `attention.derived_step`,
        `implicit.implicit_step`, which asks for mutually orthogonal bases, `implicit.semi_implicit_step`, or
        `attention.residual_step` with and without the prefactor p/(n ε²) of MSSA.
    eps : float
        Precision ε > 0.
    kappa : float or 0-d array, optional
        Step κ of the compression. By default 1 for the last two rules, and for the others 1/L_c
        (`curvature.compression_step`) of the tokens at hand; the implicit rules compress with any.
    eta, lam : float or 0-d array
        Step η > 0 of ISTA and its λ ≥ 0.
    nonnegative : bool
        As in `prox.ista_step`.

    Returns
    -------
    Crate

    Raises
    ------
    TypeError, ValueError
        An argument of the wrong kind, shape or value; the message names it.

    Notes
    -----
    Yu et al. 2023 (arXiv 2306.01129), eq. 18, is ``"residual"``; ``"conceptual"`` is the CRATE-C of Hu, Zou
    and Xu 2024 (arXiv 2411.17182). For LayerNorm in front of each half see `PreNorm`, for the published code
    `official`.
    """
    namespace(U=U, D=D)
    require_subspaces(U)
    choice(rule, RULES, "rule")
    positive(eps, "eps")
    if kappa is not None:
        (scalar if rule in _RESIDUAL else positive_scalar)(kappa, U, "kappa")
    prox.require_ista(D, U.shape[1], U.shape[1], eta, lam)
    return Crate(U, D, rule, eps, kappa, eta, lam, flag(nonnegative, "nonnegative"))


# --- CRATE as its code has it -------------------------------------------------------------------------------


@dataclass(frozen=True, eq=False)
class Official(Layer):
    """A layer of the official code less its LayerNorms; `official` builds it and documents the fields."""

    U: Array
    D: Array
    output: Array | None
    bias: Array | None
    scale: Scalar | None
    eta: Scalar
    lam: Scalar

    def compress(self, Z: Array) -> Array:
        """Z + [softmax(c Y_kY_kᵀ) Y_k]_k Wᵀ + b."""
        return Z + attention.mssa_official(Z, self.U, output=self.output, bias=self.bias, scale=self.scale)

    def sparsify(self, Z: Array) -> Array:
        """relu(Z + η (Z − Z Dᵀ) D − ηλ)."""
        return prox.ista_step(Z, self.D, step=self.eta, lam=self.lam)

    def flops(self, n: int) -> int:
        """Of both halves on n tokens; see `srr.flops`."""
        K, d, p = self.U.shape
        return flops.attention(n, d, K, p) + flops.ista_step(n, d, d)


def official(
    U: Array,
    D: Array,
    *,
    output: Array | None = None,
    bias: Array | None = None,
    scale: Scalar | None = None,
    eta: Scalar = 0.1,
    lam: Scalar = 0.1,
) -> Official:
    """A layer of the official code but for LayerNorm; ``PreNorm(official(...))`` is the whole.

    Parameters
    ----------
    U : array, shape (K, d, p)
        Bases, as in `attention.mssa_official`.
    D : array, shape (d, d)
        Dictionary, ``FeedForward.weight``.
    output : array, shape (d, K p), optional
    bias : array, shape (d,), optional
    scale : float or 0-d array, optional
        As in `attention.mssa_official`.
    eta, lam : float or 0-d array
        η > 0 and λ ≥ 0; the code has 0.1 for both.

    Returns
    -------
    Official

    Raises
    ------
    TypeError, ValueError
        An argument of the wrong kind, shape or value; the message names it.

    Notes
    -----
    ``model/crate.py`` of the code of Yu et al. 2023 (arXiv 2306.01129).
    """
    namespace(U=U, D=D)
    require_subspaces(U)
    attention.require_output(U, output, bias)
    if scale is not None:
        positive_scalar(scale, U, "scale")
    prox.require_ista(D, U.shape[1], U.shape[1], eta, lam)
    return Official(U, D, output, bias, scale, eta, lam)
