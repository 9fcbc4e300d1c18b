"""Layers: compress, then sparsify.

A layer is a frozen dataclass of arrays and numbers with two pure methods. Whoever writes those two gets the
rest.
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
from srr._heads import require_subspaces
from srr._scalars import Scalar, flag, nonnegative_scalar, positive_scalar, scalar
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


def _half_steps(layers: tuple[Layer, ...], Z: Array) -> Iterator[HalfStep]:
    for index, layer in enumerate(layers):
        half = layer.compress(Z)
        yield HalfStep(index, "compress", Z, half)
        Z = layer.sparsify(half)
        yield HalfStep(index, "sparsify", half, Z)


# --- CRATE as the papers define it --------------------------------------------------------------------------

_GRADIENT: dict[str, Callable[..., Array]] = {
    "exact": attention.exact_step,
    "neumann": attention.neumann_step,
    "derived": attention.derived_step,
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
    rule : {"exact", "neumann", "derived", "residual", "conceptual"}
        The compression: `attention.exact_step`, `attention.neumann_step`, `attention.derived_step`, or
        `attention.residual_step` with and without the prefactor p/(n ε²) of MSSA.
    eps : float
        Precision ε > 0.
    kappa : float or 0-d array, optional
        Step κ of the compression. By default 1 for the last two rules, and for the others 1/L_c
        (`curvature.compression_step`) of the tokens at hand.
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
    _require_square(D, U.shape[1])
    choice(rule, RULES, "rule")
    positive(eps, "eps")
    if kappa is not None:
        (scalar if rule in _RESIDUAL else positive_scalar)(kappa, U, "kappa")
    _require_ista(D, eta, lam)
    return Crate(U, D, rule, eps, kappa, eta, lam, flag(nonnegative, "nonnegative"))


def _require_square(D: Array, d: int) -> None:
    require_shape(D, (d, d), "D")
    require_finite(D, "D")


def _require_ista(D: Array, eta: Scalar, lam: Scalar) -> None:
    positive_scalar(eta, D, "eta")
    nonnegative_scalar(lam, D, "lam")


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
    _require_square(D, U.shape[1])
    if scale is not None:
        positive_scalar(scale, U, "scale")
    _require_ista(D, eta, lam)
    return Official(U, D, output, bias, scale, eta, lam)


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

    The compression becomes Z + (compress(N(Z)) − N(Z)): the update is that of the normalised tokens, the skip
    carries the tokens as they were. The sparsification becomes sparsify(N(Z)), with no skip.

    Parameters
    ----------
    layer : Layer
    first, second : callable
        N of each half; with learned parameters, ``functools.partial(layer_norm, scale=w, shift=b)``.

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

    def compress(self, Z: Array) -> Array:
        """Z + (compress(N(Z)) − N(Z))."""
        normed = self.first(Z)
        return Z + (self.layer.compress(normed) - normed)

    def sparsify(self, Z: Array) -> Array:
        """sparsify(N(Z))."""
        return self.layer.sparsify(self.second(Z))


# --- the layer that provably descends -----------------------------------------------------------------------


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
