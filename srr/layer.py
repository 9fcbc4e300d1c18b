"""A layer: compress, then sparsify.

A layer is a frozen dataclass of arrays and numbers with two pure methods. Whoever writes those two gets the
rest. A layer of a decoder has its halves in the other order, and says so.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import ClassVar

from srr import flops
from srr._arrays import Array, namespace, positive, require_finite, require_shape, require_tokens

__all__ = ["AttentionOnly", "HalfStep", "Layer", "PreNorm", "layer_norm", "unroll"]


HALVES = ("compress", "sparsify")
"""The halves of a layer, in the order in which they come unless it says otherwise."""


class Layer(ABC):
    """Two pure maps of tokens ``(..., n, d)``; calling the layer composes them.

    Attributes
    ----------
    order : tuple of str
        The halves in the order in which they are taken.
    residual : tuple of str
        The halves that add to their tokens: behind LayerNorm (`PreNorm`) they add to the tokens as they were.

    Examples
    --------
    >>> @dataclass(frozen=True, eq=False)
    ... class Shrink(Layer):
    ...     factor: float
    ...     def compress(self, Z):
    ...         return self.factor * Z
    ...     def sparsify(self, Z):
    ...         return prox.soft_threshold(Z, 0.1)
    """

    order: ClassVar[tuple[str, str]] = HALVES
    residual: ClassVar[tuple[str, ...]] = ("compress",)

    @abstractmethod
    def compress(self, Z: Array) -> Array:
        """Z^ℓ to Z^{ℓ+½}: meant to decrease Rᶜ(Z|U)."""

    @abstractmethod
    def sparsify(self, Z: Array) -> Array:
        """Z^{ℓ+½} to Z^{ℓ+1}: meant to decrease λ‖Z‖₁ − R(Z)."""

    def __call__(self, Z: Array) -> Array:
        """Z^ℓ to Z^{ℓ+1}."""
        for half in self.order:
            Z = getattr(self, half)(Z)
        return Z


class AttentionOnly(Layer):
    """A layer without a second half: one that adds nothing to its tokens."""

    residual: ClassVar[tuple[str, ...]] = HALVES

    def sparsify(self, Z: Array) -> Array:
        """Z as it is."""
        return Z


@dataclass(frozen=True, eq=False)
class HalfStep:
    """One half of one layer at work."""

    index: int
    """Of the layer, from 0."""
    half: str
    """``"compress"`` or ``"sparsify"``."""
    before: Array
    after: Array


def unroll(layers: Iterable[Layer], Z: Array) -> Iterator[HalfStep]:
    """Every half-step of tokens Z ``(..., n, d)`` through the layers, in order.

    Raises
    ------
    TypeError
        ``layers`` is no iterable, or something in it has no ``compress`` and ``sparsify``; Z is no float
        array.
    ValueError
        Z has the wrong shape or is not finite.
    """
    namespace(Z=Z)
    require_tokens(Z)
    if not isinstance(layers, Iterable):
        raise TypeError(f"layers must be an iterable of layers, got {type(layers).__name__}")
    layers = tuple(layers)
    for index, layer in enumerate(layers):
        require_layer(layer, f"layers[{index}]")
    return _half_steps(layers, Z)


def require_layer(layer: object, name: str) -> None:
    if not all(callable(getattr(layer, half, None)) for half in ("compress", "sparsify")):
        raise TypeError(f"{name} must have methods compress and sparsify, got {type(layer).__name__}")


def order_of(layer: object) -> tuple[str, str]:
    """The halves of a layer in order, of one that does not derive from `Layer` too."""
    return getattr(layer, "order", HALVES)


def _half_steps(layers: tuple[Layer, ...], Z: Array) -> Iterator[HalfStep]:
    for index, layer in enumerate(layers):
        for half in order_of(layer):
            before, Z = Z, getattr(layer, half)(Z)
            yield HalfStep(index, half, before, Z)


def layer_norm(Z: Array, scale: Array | None = None, shift: Array | None = None, *, floor: float = 1e-5) -> Array:
    """Every token less its mean, over √(its variance + ``floor``), times ``scale``, plus ``shift``.

    Parameters
    ----------
    Z : array, shape (..., n, d)
    scale, shift : array, shape (d,), optional
        One and zero by default.
    floor : float
        Above zero: torch's ``eps``, which has nothing to do with the precision ε.

    Returns
    -------
    array, shape (..., n, d)

    Raises
    ------
    TypeError, ValueError
        An argument of the wrong kind, shape or value; the message names it.
    """
    given = {name: a for name, a in (("scale", scale), ("shift", shift)) if a is not None}
    xp = namespace(Z=Z, **given)
    require_tokens(Z)
    for name, a in given.items():
        require_shape(a, (Z.shape[-1],), name)
        require_finite(a, name)
    centred = Z - xp.mean(Z, axis=-1, keepdims=True)
    variance = xp.mean(centred**2, axis=-1, keepdims=True)
    normed = centred / xp.sqrt(variance + positive(floor, "floor"))
    scaled = normed if scale is None else normed * scale
    return scaled if shift is None else scaled + shift


@dataclass(frozen=True, eq=False)
class PreNorm(Layer):
    """A layer with LayerNorm in front of each half, as the official code has it.

    A half that adds to its tokens, as the compression does, becomes Z + (half(N(Z)) − N(Z)): the update is that of
    the normalised tokens, the skip carries the tokens as they were. Any other becomes half(N(Z)), with no skip.

    Parameters
    ----------
    layer : Layer
    first, second : callable
        N of ``compress`` and of ``sparsify``; with learned parameters,
        ``functools.partial(layer_norm, scale=w, shift=b)``.

    Raises
    ------
    TypeError
        ``layer`` has no ``compress`` and ``sparsify``; ``first`` or ``second`` is not callable.
    """

    layer: Layer
    first: Callable[[Array], Array] = layer_norm
    second: Callable[[Array], Array] = layer_norm

    def __post_init__(self) -> None:
        require_layer(self.layer, "layer")
        for name in ("first", "second"):
            if not callable(getattr(self, name)):
                raise TypeError(f"{name} must be callable, got {type(getattr(self, name)).__name__}")

    @property
    def order(self) -> tuple[str, str]:  # type: ignore[override]
        """That of the layer."""
        return order_of(self.layer)

    @property
    def residual(self) -> tuple[str, ...]:  # type: ignore[override]
        """Those of the layer."""
        return getattr(self.layer, "residual", Layer.residual)

    def compress(self, Z: Array) -> Array:
        """Z + (compress(N(Z)) − N(Z))."""
        return self._half("compress", Z, self.first(Z))

    def sparsify(self, Z: Array) -> Array:
        """sparsify(N(Z)), or with a skip as the compression."""
        return self._half("sparsify", Z, self.second(Z))

    def _half(self, half: str, Z: Array, normed: Array) -> Array:
        after = getattr(self.layer, half)(normed)
        return Z + (after - normed) if half in self.residual else after

    def flops(self, n: int) -> int:
        """Those of the layer on n tokens."""
        return flops.of_layer(self.layer, n)
