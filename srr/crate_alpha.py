"""CRATE-α: a dictionary with more atoms than dimensions, two ISTA steps from zero, and a way back to dimension d.

With A⁰ = 0 and Aᵗ⁺¹ = relu(Aᵗ − η Dᵀ(D Aᵗ − Z) − ηλ) in the papers' columns, D ``(d, m)``, m = 4d, the second
half is ::

    paper      Z^{ℓ+1} = D A²                 what the code stands for
    official   Z^{ℓ+1} = Z^{ℓ+½} + D̂ A²      a second dictionary D̂, and a skip

A width that stays the same, a wide dictionary and a layer whose output is its sparse code are not to be had at once:
here it is the code that does not leave the layer.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from array_api_compat import array_namespace

from srr import attention, flops, prox
from srr._arrays import Array, namespace, positive, require_finite, require_shape
from srr._heads import require_subspaces
from srr._scalars import Scalar
from srr.layer import Layer

__all__ = ["Alpha", "AlphaOfficial", "crate_alpha", "crate_alpha_official"]

STEPS = 2
"""ISTA steps of a layer."""


@dataclass(frozen=True, eq=False)
class Alpha(Layer):
    """A layer of CRATE-α in the papers' form; `crate_alpha` builds it and documents the fields."""

    U: Array
    D: Array
    eps: float
    eta: Scalar
    lam: Scalar

    def compress(self, Z: Array) -> Array:
        """Z + MSSA(Z)."""
        return attention.residual_step(Z, self.U, eps=self.eps)

    def code(self, Z: Array) -> Array:
        """A², ``(..., n, m)``: two ISTA steps from zero on the lasso of Z in D."""
        return prox.ista(Z, self.D, step=self.eta, lam=self.lam, iterations=STEPS)

    def sparsify(self, Z: Array) -> Array:
        """A² Dᵀ: what the code stands for."""
        return array_namespace(Z).matmul(self.code(Z), self.D.T)

    def flops(self, n: int) -> int:
        """Of both halves on n tokens; see `srr.flops`."""
        return flops_of_halves(n, self.U, self.D)


def crate_alpha(U: Array, D: Array, *, eps: float, eta: Scalar = 0.1, lam: Scalar = 0.1) -> Alpha:
    """A layer of CRATE-α as its construction goes: attention, then the tokens that a sparse code stands for.

    Parameters
    ----------
    U : array, shape (K, d, p)
        Bases.
    D : array, shape (d, m)
        Dictionary.
    eps : float
        Precision ε > 0.
    eta, lam : float or 0-d array
        Step η > 0 of ISTA and its λ ≥ 0. The lasso of the code falls at each step for any η < 2/‖D‖₂²
        (`prox.lasso_step`).

    Returns
    -------
    Alpha

    Raises
    ------
    TypeError, ValueError
        An argument of the wrong kind, shape or value; the message names it.

    Notes
    -----
    Yang et al. 2024 (arXiv 2405.20299), before the second dictionary and the skip. Ma et al., Principles and
    Practice of Deep Representation Learning, prints D with its sides exchanged and +ηλ.
    """
    _require(U, D, eta, lam)
    positive(eps, "eps")
    return Alpha(U, D, eps, eta, lam)


@dataclass(frozen=True, eq=False)
class AlphaOfficial(Layer):
    """A layer of the code of CRATE-α less its LayerNorms; `crate_alpha_official` builds it."""

    residual: ClassVar[tuple[str, ...]] = ("compress", "sparsify")

    U: Array
    D: Array
    decode: Array
    output: Array | None
    eta: Scalar
    lam: Scalar

    def compress(self, Z: Array) -> Array:
        """Z + [softmax(p^−½ Y_kY_kᵀ) Y_k]_k Wᵀ."""
        return Z + attention.mssa_official(Z, self.U, output=self.output)

    def code(self, Z: Array) -> Array:
        """A², ``(..., n, m)``: two ISTA steps from zero on the lasso of Z in D."""
        return prox.ista(Z, self.D, step=self.eta, lam=self.lam, iterations=STEPS)

    def sparsify(self, Z: Array) -> Array:
        """Z + A² D̂ᵀ."""
        return Z + array_namespace(Z).matmul(self.code(Z), self.decode.T)

    def flops(self, n: int) -> int:
        """Of both halves on n tokens; see `srr.flops`."""
        return flops_of_halves(n, self.U, self.D)


def crate_alpha_official(
    U: Array,
    D: Array,
    decode: Array,
    *,
    output: Array | None = None,
    eta: Scalar = 0.1,
    lam: Scalar = 0.1,
) -> AlphaOfficial:
    """A layer of the code of CRATE-α but for LayerNorm; ``PreNorm(crate_alpha_official(...))`` is the whole.

    Parameters
    ----------
    U : array, shape (K, d, p)
        Bases, as in `attention.mssa_official`.
    D : array, shape (d, m)
        Dictionary of the code, ``D``.
    decode : array, shape (d, m)
        D̂, ``D1``: the dictionary that takes the code back.
    output : array, shape (d, K p), optional
        As in `attention.mssa_official`. There is no bias.
    eta, lam : float or 0-d array
        η > 0 and λ ≥ 0; the code has 0.1 for both. At its initialisation in JAX ‖D‖₂² tends to 18, so that 0.1 is
        between 1/‖D‖₂² and 2/‖D‖₂²; in its port to torch to 4.5.

    Returns
    -------
    AlphaOfficial

    Raises
    ------
    TypeError, ValueError
        An argument of the wrong kind, shape or value; the message names it.

    Notes
    -----
    ``models/crate.py`` of the code of Yang et al. 2024 (arXiv 2405.20299). Behind LayerNorm both halves add to the
    tokens as they were.
    """
    namespace(D=D, decode=decode)
    _require(U, D, eta, lam)
    require_shape(decode, tuple(D.shape), "decode")
    require_finite(decode, "decode")
    attention.require_output(U, output, None)
    return AlphaOfficial(U, D, decode, output, eta, lam)


def _require(U: Array, D: Array, eta: Scalar, lam: Scalar) -> None:
    namespace(U=U, D=D)
    require_subspaces(U)
    prox.require_ista(D, U.shape[1], "m", eta, lam)


def flops_of_halves(n: int, U: Array, D: Array) -> int:
    """Attention, the code and its way back."""
    (K, d, p), m = U.shape, D.shape[1]
    return flops.attention(n, d, K, p) + flops.ista(n, d, m, STEPS) + flops.product(n, d, m)
