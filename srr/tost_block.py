"""A whole block of ToST's code: token statistics, then the MLP of every transformer, each behind a LayerScale.

In rows of tokens::

    Z^{ℓ+½} = Z^ℓ + γ₁ ∘ TSSA(LN(Z^ℓ))        Z^{ℓ+1} = Z^{ℓ+½} + γ₂ ∘ MLP(LN(Z^{ℓ+½}))
    MLP(Z) = GELU(Z W₁ᵀ + b₁) W₂ᵀ + b₂        GELU(x) = x Φ(x),  Φ of the standard normal distribution

The LayerNorms are those of `PreNorm`, with 10⁻⁶ below the root. The second half is not derived from any objective.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar

from array_api_compat import array_namespace

from srr import flops
from srr._arrays import Array, erfc, namespace, require_finite, require_shape, require_tokens
from srr.layer import HALVES, Layer
from srr.tost import TostOfficial, tost_official, tssa_official

__all__ = ["TostBlock", "tost_block"]


@dataclass(frozen=True, eq=False)
class TostBlock(Layer):
    """A block of the official code less its LayerNorms; `tost_block` builds it and documents the fields."""

    residual: ClassVar[tuple[str, ...]] = HALVES

    attention: TostOfficial
    up: Array
    down: Array
    up_bias: Array | None
    down_bias: Array | None
    gamma1: Array | None
    gamma2: Array | None

    def compress(self, Z: Array) -> Array:
        """Z + γ₁ ∘ TSSA(Z)."""
        a = self.attention
        return Z + _scaled(tssa_official(Z, a.U, scale=a.scale, output=a.output, bias=a.bias), self.gamma1)

    def sparsify(self, Z: Array) -> Array:
        """Z + γ₂ ∘ (GELU(Z W₁ᵀ + b₁) W₂ᵀ + b₂)."""
        namespace(Z=Z, up=self.up)
        require_tokens(Z)
        require_shape(Z, ("...", "n", self.up.shape[1]), "Z")
        hidden = _gelu(_affine(Z, self.up, self.up_bias))
        return Z + _scaled(_affine(hidden, self.down, self.down_bias), self.gamma2)

    def flops(self, n: int) -> int:
        """Of both halves on n tokens; see `srr.flops`."""
        m, d = self.up.shape
        return self.attention.flops(n) + 2 * flops.product(n, d, m)


def tost_block(
    U: Array,
    up: Array,
    down: Array,
    *,
    scale: Array | None = None,
    output: Array | None = None,
    bias: Array | None = None,
    up_bias: Array | None = None,
    down_bias: Array | None = None,
    gamma1: Array | None = None,
    gamma2: Array | None = None,
) -> TostBlock:
    """A block of the official code but for LayerNorm; ``PreNorm`` of it, with a ``floor`` of 1e-6, is the whole.

    Parameters
    ----------
    U, scale, output, bias
        As in `tost.tssa_official`.
    up : array, shape (m, d)
        W₁ = ``mlp.fc1.weight``; the code has m = 4d.
    down : array, shape (d, m)
        W₂ = ``mlp.fc2.weight``.
    up_bias : array, shape (m,), optional
    down_bias : array, shape (d,), optional
        b₁ and b₂, ``mlp.fc1.bias`` and ``mlp.fc2.bias``.
    gamma1, gamma2 : array, shape (d,), optional
        γ₁ and γ₂; ones by default. The code begins with 1 in networks of 12 layers and with 10⁻⁵ in those of 24.

    Returns
    -------
    TostBlock

    Raises
    ------
    TypeError, ValueError
        An argument of the wrong kind, shape or value; the message names it.

    Notes
    -----
    ``tost_vision`` of the code of Wu et al. 2024 (arXiv 2412.17810). Of its layer `tost_official` is the first half
    with γ₁ = 1.
    """
    attention = tost_official(U, scale=scale, output=output, bias=bias)
    vectors = {"up_bias": up_bias, "down_bias": down_bias, "gamma1": gamma1, "gamma2": gamma2}
    given = {"up": up, "down": down, **{name: a for name, a in vectors.items() if a is not None}}
    namespace(U=U, **given)
    d = U.shape[1]
    require_shape(up, ("m", d), "up")
    m = up.shape[0]
    for name, a in given.items():
        require_shape(a, {"up": (m, d), "down": (d, m), "up_bias": (m,)}.get(name, (d,)), name)
        require_finite(a, name)
    return TostBlock(attention, up, down, up_bias, down_bias, gamma1, gamma2)


def _affine(Z: Array, W: Array, b: Array | None) -> Array:
    xp = array_namespace(Z)
    mapped = xp.matmul(Z, xp.matrix_transpose(W))
    return mapped if b is None else mapped + b


def _scaled(update: Array, gamma: Array | None) -> Array:
    return update if gamma is None else gamma * update


def _gelu(X: Array) -> Array:
    """x Φ(x) = x erfc(−x/√2)/2: beside 1 + erf, digits are left where x is far below zero."""
    return X * erfc(X * -math.sqrt(1 / 2)) / 2
