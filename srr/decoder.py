"""The decoder of CRATE-MAE: the halves of an encoder undone, the last first.

A decoder layer takes the second half back by a linear map, then the first by attention with the other sign. In the
papers' columns::

    paper      Z^{ℓ+½} = D̃ᵀ LN(Z^ℓ)     Z^{ℓ+1} = Z^{ℓ+½} − MSSA(LN(Z^{ℓ+½}))
    official   Z^{ℓ+½} = A LN(Z^ℓ)       Z^{ℓ+1} = Z^{ℓ+½} − W[softmax(p^−½ Y_kᵀY_k)…] − b

with D̃ and the bases about those of the encoder layer that it undoes, and A, W, b free. The LayerNorms are those of
`PreNorm`. Its halves keep the names of what they undo: ``sparsify`` comes first and has no skip, ``compress`` second.

(I − hM) ∘ (I + hM) = I + O(h²) for any Lipschitz M: it is the compression alone that is undone, and to first order in
its step. For the exact step M = −∇Rᶜ the error of a layer is at most h² L_c ‖∇Rᶜ(Z)‖, L_c of `curvature.subspace_rate`.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import ClassVar

from array_api_compat import array_namespace

from srr import attention, flops
from srr._arrays import Array, namespace, positive, require_finite, require_shape, require_tokens
from srr._heads import require_subspaces
from srr._scalars import Scalar, positive_scalar
from srr.crate import Crate, Official
from srr.layer import Layer, PreNorm

__all__ = ["Decoder", "DecoderOfficial", "crate_autoencoder", "crate_decoder", "crate_decoder_official"]


@dataclass(frozen=True, eq=False)
class Decoder(Layer):
    """A decoder layer in the papers' form less its LayerNorms; `crate_decoder` builds it."""

    order: ClassVar[tuple[str, str]] = ("sparsify", "compress")

    U: Array
    D: Array
    eps: float | None
    kappa: Scalar

    def sparsify(self, Z: Array) -> Array:
        """Z D̃, D̃ᵀ Z in columns: in place of the code, what it was computed from."""
        return _mapped(Z, self.D)

    def compress(self, Z: Array) -> Array:
        """Z − κ MSSA(Z)."""
        return attention.residual_step(Z, self.U, eps=self.eps, step=-self.kappa)

    def flops(self, n: int) -> int:
        """Of both halves on n tokens; see `srr.flops`."""
        K, d, p = self.U.shape
        return flops.product(n, d, d) + flops.attention(n, d, K, p)


def crate_decoder(U: Array, D: Array, *, eps: float | None = None, kappa: Scalar = 1.0) -> Decoder:
    """A layer of the decoder of CRATE-MAE as its book defines it; ``PreNorm(crate_decoder(...))`` has its LayerNorms.

    Parameters
    ----------
    U : array, shape (K, d, p)
        Bases.
    D : array, shape (d, d)
        D̃. A dictionary with tokens Z ≈ D A in columns is undone by D, so by D̃ = Dᵀ.
    eps : float, optional
        As in `attention.mssa`.
    kappa : float or 0-d array
        Step κ > 0.

    Returns
    -------
    Decoder

    Raises
    ------
    TypeError, ValueError
        An argument of the wrong kind, shape or value; the message names it.

    Notes
    -----
    Ma et al., Principles and Practice of Deep Representation Learning, the chapter on applications; Pai et al. 2024
    (arXiv 2404.02446).
    """
    _require(U, D, "D")
    if eps is not None:
        positive(eps, "eps")
    return Decoder(U, D, eps, positive_scalar(kappa, U, "kappa"))


@dataclass(frozen=True, eq=False)
class DecoderOfficial(Layer):
    """A layer of the code of the decoder less its LayerNorms; `crate_decoder_official` builds it."""

    order: ClassVar[tuple[str, str]] = ("sparsify", "compress")

    U: Array
    A: Array
    output: Array | None
    bias: Array | None
    scale: Scalar | None

    def sparsify(self, Z: Array) -> Array:
        """Z Aᵀ."""
        return _mapped(Z, array_namespace(self.A).matrix_transpose(self.A))

    def compress(self, Z: Array) -> Array:
        """Z − [softmax(c Y_kY_kᵀ) Y_k]_k Wᵀ − b."""
        return Z - attention.mssa_official(Z, self.U, output=self.output, bias=self.bias, scale=self.scale)

    def flops(self, n: int) -> int:
        """Of both halves on n tokens; see `srr.flops`."""
        K, d, p = self.U.shape
        return flops.product(n, d, d) + flops.attention(n, d, K, p)


def crate_decoder_official(
    U: Array,
    A: Array,
    *,
    output: Array | None = None,
    bias: Array | None = None,
    scale: Scalar | None = None,
) -> DecoderOfficial:
    """A layer of the code of the decoder but for LayerNorm; ``PreNorm(crate_decoder_official(...))`` is the whole.

    Parameters
    ----------
    U, output, bias, scale
        As in `attention.mssa_official`.
    A : array, shape (d, d)
        ``FeedForward.weight``, which is free.

    Returns
    -------
    DecoderOfficial

    Raises
    ------
    TypeError, ValueError
        An argument of the wrong kind, shape or value; the message names it.

    Notes
    -----
    ``model/crate_ae/crate_decoder.py`` of the code of Yu et al. 2023 (arXiv 2306.01129). The encoder there is
    `official` with λ = 0.5.
    """
    _require(U, A, "A")
    attention.require_output(U, output, bias)
    if scale is not None:
        positive_scalar(scale, U, "scale")
    return DecoderOfficial(U, A, output, bias, scale)


def crate_autoencoder(layers: Iterable[Layer]) -> tuple[Layer, ...]:
    """The layers of an encoder, and after them a decoder layer for each, the last first.

    Parameters
    ----------
    layers : iterable of Crate, Official, or PreNorm of these
        The encoder. A `Crate` must have one of the two residual rules.

    Returns
    -------
    tuple of Layer
        Twice as many. A decoder layer has the bases of the encoder layer that it undoes, its step, and what maps its
        code back: D̃ = Dᵀ, A = D.

    Raises
    ------
    TypeError, ValueError
        A layer of another kind or rule.

    Notes
    -----
    That decoder layer ℓ has about the weights of encoder layer L + 1 − ℓ is what the book expects of training;
    nothing in the code ties them.
    """
    if not isinstance(layers, Iterable):
        raise TypeError(f"layers must be an iterable of layers, got {type(layers).__name__}")
    encoder = tuple(layers)
    return (*encoder, *(_undone(layer) for layer in reversed(encoder)))


def _undone(layer: Layer) -> Layer:
    if isinstance(layer, PreNorm):
        return PreNorm(_undone(layer.layer), layer.first, layer.second)
    if type(layer) is Official:
        return crate_decoder_official(layer.U, layer.D, output=layer.output, bias=layer.bias, scale=layer.scale)
    if not isinstance(layer, Crate):
        raise TypeError(f"layers must be of kind Crate or Official, got {type(layer).__name__}")
    if layer.rule not in ("residual", "conceptual"):
        raise ValueError(f"layers must have rule 'residual' or 'conceptual', got {layer.rule!r}")
    eps = layer.eps if layer.rule == "residual" else None
    kappa = 1.0 if layer.kappa is None else layer.kappa
    return crate_decoder(layer.U, array_namespace(layer.D).matrix_transpose(layer.D), eps=eps, kappa=kappa)


def _mapped(Z: Array, M: Array) -> Array:
    xp = namespace(Z=Z, D=M)
    require_tokens(Z)
    size, _ = M.shape
    require_shape(Z, ("...", "n", size), "Z")
    return xp.matmul(Z, M)


def _require(U: Array, M: Array, name: str) -> None:
    namespace(U=U, **{name: M})
    require_subspaces(U)
    require_shape(M, (U.shape[1], U.shape[1]), name)
    require_finite(M, name)
