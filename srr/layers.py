"""Layers: compress, then sparsify.

A layer is a frozen dataclass of arrays and numbers with two pure methods. Whoever writes those two gets the rest.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

from srr import attention, curvature, prox
from srr._arrays import (
    Array,
    choice,
    namespace,
    positive,
    require_finite,
    require_shape,
    require_tokens,
)
from srr._scalars import Scalar, alpha
from srr.objective import SparseRateReduction

__all__ = [
    "RULES",
    "Crate",
    "Descent",
    "HalfStep",
    "Layer",
    "Official",
    "PreNorm",
    "crate",
    "descent",
    "layer_norm",
    "official",
    "unroll",
]


class Layer(ABC):
    """Two pure maps of tokens ``(..., n, d)``; calling the layer composes them.

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

    @abstractmethod
    def compress(self, Z: Array) -> Array:
        """Z^ℓ to Z^{ℓ+½}: meant to decrease Rᶜ(Z|U)."""

    @abstractmethod
    def sparsify(self, Z: Array) -> Array:
        """Z^{ℓ+½} to Z^{ℓ+1}: meant to decrease λ‖Z‖₁ − R(Z)."""

    def __call__(self, Z: Array) -> Array:
        """Z^ℓ to Z^{ℓ+1}."""
        return self.sparsify(self.compress(Z))


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
        Something in ``layers`` has no ``compress`` and ``sparsify``, or Z is no float array.
    ValueError
        Z has the wrong shape or is not finite.
    """
    namespace(Z=Z)
    require_tokens(Z)
    layers = tuple(layers)
    for index, layer in enumerate(layers):
        if not (hasattr(layer, "compress") and hasattr(layer, "sparsify")):
            raise TypeError(
                f"layers must have methods compress and sparsify, got {type(layer).__name__} at index {index}"
            )
    return _half_steps(layers, Z)


def _half_steps(layers: tuple[Layer, ...], Z: Array) -> Iterator[HalfStep]:
    for index, layer in enumerate(layers):
        half = layer.compress(Z)
        yield HalfStep(index, "compress", Z, half)
        Z = layer.sparsify(half)
        yield HalfStep(index, "sparsify", half, Z)


# --- CRATE with each compression rule ---------------------------------------------------------------------------

RULES = ("exact", "neumann", "derived", "residual", "conceptual")
"""Names of the compression rules of `crate`."""


@dataclass(frozen=True, eq=False)
class Crate(Layer):
    """A CRATE layer; `crate` builds it and has the meaning of the fields."""

    U: Array
    D: Array
    rule: str
    eps: float
    kappa: Scalar | None
    eta: Scalar
    lam: Scalar
    nonnegative: bool

    def compress(self, Z: Array) -> Array:
        """The half named by ``rule``."""
        kappa = self.kappa
        match self.rule:
            case "residual":
                return attention.residual_step(Z, self.U, eps=self.eps, step=1.0 if kappa is None else kappa)
            case "conceptual":
                return attention.residual_step(Z, self.U, step=1.0 if kappa is None else kappa)
        if kappa is None:
            kappa = curvature.compression_step(self.U, Z.shape[-2], eps=self.eps)
        rule = {
            "exact": attention.exact_step,
            "neumann": attention.neumann_step,
            "derived": attention.derived_step,
        }[self.rule]
        return rule(Z, self.U, eps=self.eps, step=kappa)

    def sparsify(self, Z: Array) -> Array:
        """One ISTA step on the lasso of the tokens in D, from the tokens."""
        return prox.ista_step(Z, self.D, step=self.eta, lam=self.lam, nonnegative=self.nonnegative)


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
    """A layer of CRATE in the papers' form: a compression rule, then ISTA.

    Parameters
    ----------
    U : array, shape (K, d, p)
        Bases.
    D : array, shape (d, d)
        Dictionary.
    rule : {"exact", "neumann", "derived", "residual", "conceptual"}
        ``exact_step``, ``neumann_step``, ``derived_step`` and ``residual_step`` of `attention`; ``conceptual`` is the last
        without the prefactor p/(n ε²) (CRATE-C).
    eps : float
        Precision ε > 0.
    kappa : float or 0-d array, optional
        Step κ of the compression. By default 1 for the residual rules and 1/L_c, for the tokens at hand, for the others.
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
        An argument of the wrong kind, shape or value; the message names it. A bad step is found when the layer is called.

    Notes
    -----
    Yu et al. 2023 (arXiv 2306.01129), eq. 18; Hu, Zou and Xu 2024 (arXiv 2411.17182). For LayerNorm in front of each half
    see `PreNorm`, for the code as published `official`.
    """
    namespace(U=U, D=D)
    SparseRateReduction(U, eps, 0.0)  # U and eps as there
    _require_square(D, U.shape[1])
    return Crate(U, D, choice(rule, RULES, "rule"), eps, kappa, eta, lam, nonnegative)


def _require_square(D: Array, d: int) -> None:
    require_shape(D, (d, d), "D")
    require_finite(D, "D")


# --- the official code ------------------------------------------------------------------------------------------


def layer_norm(
    Z: Array, scale: Array | None = None, shift: Array | None = None, *, floor: float = 1e-5
) -> Array:
    """LayerNorm: every token less its mean, over √(its variance + ``floor``), times ``scale``, plus ``shift``.

    Parameters
    ----------
    Z : array, shape (..., n, d)
    scale, shift : array, shape (d,), optional
        One and zero by default.
    floor : float
        Above zero; what torch calls ``eps``. It has nothing to do with the precision ε.

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
    Z = centred / xp.sqrt(variance + positive(floor, "floor"))
    Z = Z if scale is None else Z * scale
    return Z if shift is None else Z + shift


@dataclass(frozen=True, eq=False)
class PreNorm(Layer):
    """A layer with LayerNorm in front of each half, as the code of CRATE has it.

    The compression becomes Z + u(N(Z)), where u is the layer's own update, compress(Z) − Z: the skip carries the tokens as
    they were. The sparsification becomes sparsify(N(Z)).

    Parameters
    ----------
    layer : Layer
    first, second : callable
        N of either half; e.g. ``functools.partial(layer_norm, scale=w, shift=b)``.
    """

    layer: Layer
    first: Callable[[Array], Array] = layer_norm
    second: Callable[[Array], Array] = layer_norm

    def compress(self, Z: Array) -> Array:
        """Z + (compress(N(Z)) − N(Z))."""
        normed = self.first(Z)
        return Z + (self.layer.compress(normed) - normed)

    def sparsify(self, Z: Array) -> Array:
        """sparsify(N(Z))."""
        return self.layer.sparsify(self.second(Z))


@dataclass(frozen=True, eq=False)
class Official(Layer):
    """A CRATE layer of the official code without its LayerNorms; `official` builds it."""

    U: Array
    output: Array
    D: Array
    bias: Array | None
    scale: float | None
    eta: Scalar
    lam: Scalar

    def compress(self, Z: Array) -> Array:
        """Z + [softmax(p^−½ Y_kY_kᵀ) Y_k]_k Wᵀ + b."""
        return Z + attention.mssa_official(Z, self.U, output=self.output, bias=self.bias, scale=self.scale)

    def sparsify(self, Z: Array) -> Array:
        """relu(Z + η (Z − Z Dᵀ) D − ηλ)."""
        return prox.ista_step(Z, self.D, step=self.eta, lam=self.lam)


def official(
    U: Array,
    output: Array,
    D: Array,
    *,
    bias: Array | None = None,
    scale: float | None = None,
    eta: Scalar = 0.1,
    lam: Scalar = 0.1,
) -> Official:
    """A CRATE layer as ``model/crate.py`` has it, but for LayerNorm: ``PreNorm(official(...))`` is the whole.

    Parameters
    ----------
    U, output, bias, scale
        As in `attention.mssa_official`.
    D : array, shape (d, d)
        ``FeedForward.weight``.
    eta, lam : float or 0-d array
        η > 0, λ ≥ 0; the code fixes both at 0.1.

    Returns
    -------
    Official

    Raises
    ------
    TypeError, ValueError
        An argument of the wrong kind, shape or value; the message names it. Those of `attention.mssa_official` are found
        when the layer is called.
    """
    namespace(U=U, output=output, D=D)
    SparseRateReduction(U, 1.0, 0.0)
    _require_square(D, U.shape[1])
    return Official(U, output, D, bias, scale, eta, lam)


# --- the layer that provably descends ---------------------------------------------------------------------------


@dataclass(frozen=True, eq=False)
class Descent(Layer):
    """A proximal gradient step on the whole loss; `descent` builds it."""

    objective: SparseRateReduction
    overlap: Scalar
    nonnegative: bool

    def step(self, n: int) -> Scalar:
        """1/(L_c + α/8) for n tokens."""
        _, d, p = self.objective.U.shape
        eps = self.objective.eps
        return 1 / (alpha(p, n, eps) * self.overlap + curvature.expansion(n, d, eps=eps))

    def compress(self, Z: Array) -> Array:
        """Z − s ∇(Rᶜ − R)(Z)."""
        gradient = self.objective.smooth_gradient(Z)
        return Z - self.step(Z.shape[-2]) * gradient

    def sparsify(self, Z: Array) -> Array:
        """The proximal operator of sλ‖·‖₁."""
        shrink = prox.nonnegative_soft_threshold if self.nonnegative else prox.soft_threshold
        return shrink(Z, self.step(Z.shape[-2]) * self.objective.lam)


def descent(U: Array, *, eps: float, lam: float, nonnegative: bool = False) -> Descent:
    """The provably monotone layer: one proximal gradient step, of size s = 1/(L_c + α/8), on the loss Rᶜ − R + λ‖Z‖₁.

    The loss never increases, for any U, tokens, ε and λ: it falls by at least ‖Z^{ℓ+1} − Z^ℓ‖²/(2s). Its halves do not
    separate as CRATE's do: the first takes the step on both rates, the second is the proximal operator of sλ‖·‖₁, and
    only the whole layer descends.

    Parameters
    ----------
    U : array, shape (K, d, p)
        Bases, orthonormal or not.
    eps : float
        Precision ε > 0.
    lam : float
        λ ≥ 0.
    nonnegative : bool
        Keep the tokens ≥ 0; then the loss descends from tokens that are.

    Returns
    -------
    Descent

    Raises
    ------
    TypeError, ValueError
        An argument of the wrong kind, shape or value; the message names it.

    Notes
    -----
    The step is that of `curvature.loss_step`. Beck and Teboulle 2009, lemma 2.3.
    """
    return Descent(SparseRateReduction(U, eps, lam), curvature.overlap(U), nonnegative)
