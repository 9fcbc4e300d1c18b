"""CRATE for text: attention that sees no later token, which makes every layer causal.

The other half acts on each token by itself. So row t of a layer's result depends on the tokens 1, …, t alone.
"""

from __future__ import annotations

from dataclasses import dataclass

from array_api_compat import array_namespace

from srr import attention, prox
from srr._arrays import Array, namespace
from srr._heads import require_subspaces
from srr._scalars import Scalar, positive_scalar
from srr.crate import Official, official
from srr.crate_alpha import STEPS, flops_of_halves

__all__ = ["Causal", "CausalOvercomplete", "crate_causal", "crate_causal_overcomplete"]


@dataclass(frozen=True, eq=False)
class Causal(Official):
    """A causal layer less its LayerNorms; `crate_causal` builds it and documents the fields."""

    def compress(self, Z: Array) -> Array:
        """Z + [softmax(mask(c Y_kY_kᵀ)) Y_k]_k Wᵀ + b."""
        return Z + attention.causal_mssa(Z, self.U, output=self.output, bias=self.bias, scale=self.scale)


def crate_causal(
    U: Array,
    D: Array,
    *,
    output: Array | None = None,
    bias: Array | None = None,
    scale: Scalar | None = None,
    eta: Scalar = 0.1,
    lam: Scalar = 0.1,
) -> Causal:
    """A causal layer of CRATE but for LayerNorm; ``PreNorm(crate_causal(...))`` is the whole.

    Parameters, errors as in `official`: with the theoretical output matrix, the default, it is the layer that the
    book defines, but for β; with a free one that of the code.

    Returns
    -------
    Causal

    Notes
    -----
    Ma et al., Principles and Practice of Deep Representation Learning, the chapter on applications;
    ``model/crate_gpt.py`` of the code of Yu et al. 2023 (arXiv 2306.01129).
    """
    layer = official(U, D, output=output, bias=bias, scale=scale, eta=eta, lam=lam)
    return Causal(layer.U, layer.D, layer.output, layer.bias, layer.scale, layer.eta, layer.lam)


@dataclass(frozen=True, eq=False)
class CausalOvercomplete(Causal):
    """A causal layer with more atoms than dimensions; `crate_causal_overcomplete` builds it."""

    def code(self, Z: Array) -> Array:
        """A², two ISTA steps from zero."""
        return prox.ista(Z, self.D, step=self.eta, lam=self.lam, iterations=STEPS)

    def sparsify(self, Z: Array) -> Array:
        """A² Dᵀ: what the code stands for, with no skip."""
        return array_namespace(Z).matmul(self.code(Z), self.D.T)

    def flops(self, n: int) -> int:
        """Of both halves on n tokens; see `srr.flops`."""
        return flops_of_halves(n, self.U, self.D)


def crate_causal_overcomplete(
    U: Array,
    D: Array,
    *,
    output: Array | None = None,
    bias: Array | None = None,
    scale: Scalar | None = None,
    eta: Scalar = 0.1,
    lam: Scalar = 0.1,
) -> CausalOvercomplete:
    """A causal layer whose second half reconstructs its tokens from two ISTA steps, as ``crate-lm`` has it.

    Parameters
    ----------
    U, output, bias, scale
        As in `attention.causal_mssa`.
    D : array, shape (d, m)
        Dictionary; ``ista.weight.T``, with m = 4d.
    eta, lam : float or 0-d array
        η > 0 and λ ≥ 0; the code has 0.1 for both.

    Returns
    -------
    CausalOvercomplete
        Less its LayerNorms; ``PreNorm`` of it is the whole.

    Raises
    ------
    TypeError, ValueError
        An argument of the wrong kind, shape or value; the message names it.

    Notes
    -----
    ``crate_overcomplete.py`` of the repository crate-lm: the dictionary of CRATE-α (`crate_alpha_official`) without
    its two other changes, the second dictionary and the skip.
    """
    namespace(U=U, D=D)
    require_subspaces(U)
    attention.require_output(U, output, bias)
    prox.require_ista(D, U.shape[1], "m", eta, lam)
    if scale is not None:
        positive_scalar(scale, U, "scale")
    return CausalOvercomplete(U, D, output, bias, scale, eta, lam)
