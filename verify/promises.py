"""What the halves of a layer promise to lower, and how each such descent is decided."""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import singledispatch
from typing import Any

import numpy as np

import srr
from srr import tost
from srr.layers import (
    Alpha,
    AlphaOfficial,
    Aot,
    AttentionOnly,
    CausalOvercomplete,
    Decoder,
    DecoderOfficial,
    Descent,
    ImplicitDescent,
    PreNorm,
    ReduNet,
    Tost,
    TostBlock,
    TostOfficial,
)
from verify import decide
from verify.arrays import to_numpy, unit_roundoff
from verify.decide import Decision, as_float64
from verify.outcome import THRESHOLD

Array = Any

HALVES = ("compress", "sparsify", "layer")


@dataclass(frozen=True)
class Judgement:
    """What became of a promise on one half-step.

    Attributes
    ----------
    word : str
        ``"fell"``; ``"level"``, exactly; ``"rounding"``, a rise that the layer's own rounding explains;
        ``"rose"``; ``"undecided"``; ``"not finite"``, tokens that are no numbers; or ``"no input"``, because
        the half before returned such tokens.
    decision : Decision or None
        On the change of the quantity; None where the tokens are not finite.
    """

    word: str
    decision: Decision | None

    @property
    def broken(self) -> bool:
        """Whether the promise was broken."""
        return self.word in ("rose", "not finite")


WORDS = ("fell", "level", "rounding", "rose", "undecided", "not finite", "no input")


@dataclass(frozen=True)
class Promise:
    """That one half of a layer, or the whole of it, does not raise a quantity.

    Attributes
    ----------
    half : str
        ``"compress"``, ``"sparsify"`` or ``"layer"``.
    quantity : str
        What is promised not to rise, in a word or two.
    change : callable
        Tokens before and after, ``(n, d)``, to the `Decision` on the quantity's change.
    slope : callable
        The same to the norm of the quantity's gradient at the tokens after: how much their rounding moves it.
    """

    half: str
    quantity: str
    change: Callable[[Array, Array], Decision]
    slope: Callable[[Array, Array], float]

    def __post_init__(self) -> None:
        if self.half not in HALVES:
            raise ValueError(f"half must be one of {', '.join(map(repr, HALVES))}, got {self.half!r}")

    def judge(self, before: Array, after: Array) -> Judgement:
        """What became of the promise on one half-step, tokens ``(n, d)``."""
        if not np.isfinite(to_numpy(before)).all():
            return Judgement("no input", None)
        if not np.isfinite(to_numpy(after)).all():
            return Judgement("not finite", None)
        decision = self.change(before, after)
        if decision.sign is None:
            return Judgement("undecided", decision)
        if decision.sign <= 0:
            return Judgement("fell" if decision.sign else "level", decision)
        explained = decision.upper <= self.rounding(before, after)
        return Judgement("rounding" if explained else "rose", decision)

    def rounding(self, before: Array, after: Array) -> float:
        """The rise that the rounding of the layer's own arithmetic can cause, on LAPACK's scale.

        30 · max(n, d) · u · (|before| + |after|) · slope, u the unit roundoff of the tokens' dtype.
        """
        u = unit_roundoff(after)
        with measuring():
            return THRESHOLD * max(after.shape) * u * (_norm(before) + _norm(after)) * self.slope(before, after)


@contextmanager
def measuring() -> Iterator[None]:
    """For numbers that are shown, or that need no more than an order of magnitude: no warning of few digits."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", srr.PrecisionWarning)
        yield


@singledispatch
def promises_of(layer: srr.Layer, objective: srr.SparseRateReduction) -> tuple[Promise, ...]:
    """The promises of a layer of this kind.

    CRATE's first half promises Rᶜ(Z|U), its second the lasso of the tokens in D, started at the tokens.
    CRATE-α starts its lasso at zero. `Descent` takes both rates in its first half and shrinks in its second; so
    does `ImplicitDescent`, whose first half promises the loss once its tokens are shrunk. ToST
    promises its variational rate, the memberships held fixed, its official forms at the precision ε² = d; AoT the
    noise's share in the tokens, each of the class whose subspace is nearest. A layer of another class promises what
    the theory asks of the two halves: Rᶜ(Z|U), and λ‖Z‖₁ − R(Z), or of the one half that it has; so do the MLPs of
    ToST. The whole of every layer promises the loss. A decoder promises the opposite: that what an encoder lowers does
    not fall. `ReduNet` raises the rate reduction ΔR(Z|Π) of the classes it was built for, its second half goes onto the
    sphere, and its whole promises ΔR once more.
    """
    return compression(objective), _second_half(layer, objective), loss(objective)


@promises_of.register
def _(layer: AttentionOnly, objective: srr.SparseRateReduction) -> tuple[Promise, ...]:
    return compression(objective), loss(objective)


@promises_of.register
def _(layer: Descent, objective: srr.SparseRateReduction) -> tuple[Promise, ...]:
    return smooth(objective), l1(objective), loss(objective)


@promises_of.register(Alpha)
@promises_of.register(AlphaOfficial)
@promises_of.register(CausalOvercomplete)
def _(layer: Any, objective: srr.SparseRateReduction) -> tuple[Promise, ...]:
    return compression(objective), lasso_from_zero(layer.code, layer.D, lam=float(layer.lam)), loss(objective)


@promises_of.register(Decoder)
@promises_of.register(DecoderOfficial)
def _(layer: Any, objective: srr.SparseRateReduction) -> tuple[Promise, ...]:
    return (
        opposite(sparse_rate(objective), "R - lam|Z|_1"),
        opposite(compression(objective), "-Rc"),
        opposite(loss(objective), "-loss"),
    )


@promises_of.register
def _(layer: PreNorm, objective: srr.SparseRateReduction) -> tuple[Promise, ...]:
    promises = promises_of(layer.layer, objective)
    return tuple(_normed(promise, layer) if promise.half == "sparsify" else promise for promise in promises)


def _normed(inner: Promise, layer: PreNorm) -> Promise:
    return Promise(
        inner.half,
        f"{inner.quantity}, normed",
        lambda before, after: inner.change(layer.second(before), after),
        lambda before, after: inner.slope(layer.second(before), after),
    )


@promises_of.register
def _(layer: Tost, objective: srr.SparseRateReduction) -> tuple[Promise, ...]:
    return variational_rate(layer, eps=layer.eps), loss(objective)


@promises_of.register
def _(layer: TostOfficial, objective: srr.SparseRateReduction) -> tuple[Promise, ...]:
    return variational_rate(layer, eps=math.sqrt(layer.U.shape[1])), loss(objective)


@promises_of.register
def _(layer: TostBlock, objective: srr.SparseRateReduction) -> tuple[Promise, ...]:
    first, whole = promises_of(layer.attention, objective)
    return first, sparse_rate(objective), whole


@promises_of.register
def _(layer: Aot, objective: srr.SparseRateReduction) -> tuple[Promise, ...]:
    return noise_share(layer.U), loss(objective)


@promises_of.register
def _(layer: ReduNet, objective: srr.SparseRateReduction) -> tuple[Promise, ...]:
    Pi, eps = layer.Pi, layer.eps
    return labelled_reduction(Pi, eps=eps), sphere(), labelled_reduction(Pi, eps=eps, half="layer")


@promises_of.register
def _(layer: ImplicitDescent, objective: srr.SparseRateReduction) -> tuple[Promise, ...]:
    return shrunk_loss(layer, objective), l1(objective), loss(objective)


def _second_half(layer: Any, objective: srr.SparseRateReduction) -> Promise:
    if hasattr(layer, "D") and hasattr(layer, "lam"):
        return lasso(layer.D, lam=float(layer.lam))
    return sparse_rate(objective)


# --- the quantities -----------------------------------------------------------------------------------------


def compression(objective: srr.SparseRateReduction, half: str = "compress") -> Promise:
    """Rᶜ(Z|U)."""
    U, eps = objective.U, objective.eps
    return Promise(
        half,
        "Rc",
        lambda before, after: decide.subspace_rate_change(before, after, U, eps=eps),
        lambda _, Z: _norm(srr.subspace_coding_rate_and_gradient(Z, U, eps=eps)[1]),
    )


def smooth(objective: srr.SparseRateReduction, half: str = "compress") -> Promise:
    """Rᶜ(Z|U) − R(Z), the loss without λ‖Z‖₁."""
    U, eps = objective.U, objective.eps
    return Promise(
        half,
        "Rc - R",
        lambda before, after: -decide.rate_reduction_change(before, after, U, eps=eps),
        lambda _, Z: _norm(objective.smooth_gradient(Z)),
    )


def variational_rate(layer: Tost | TostOfficial, *, eps: float, half: str = "compress") -> Promise:
    """R^var(Z, Π|U), Π the memberships of the tokens before."""

    def change(before: Array, after: Array) -> Decision:
        return decide.variational_rate_change(before, after, layer.memberships(before), layer.U, eps=eps)

    def slope(before: Array, after: Array) -> float:
        return _norm(tost.variational_rate_and_gradient(after, layer.memberships(before), layer.U, eps=eps)[1])

    return Promise(half, "Rvar", change, slope)


def noise_share(U: Array, half: str = "compress") -> Promise:
    """N/(N + S): S the squares of the tokens before in the subspace nearest to each, N those outside."""
    bases = as_float64(U, "U")

    def nearest(before: Array) -> Array:
        return np.eye(len(bases))[np.sum((as_float64(before, "before") @ bases) ** 2, axis=2).argmax(axis=0)]

    def change(before: Array, after: Array) -> Decision:
        return decide.noise_share_change(before, after, nearest(before), bases)

    def slope(_: Array, after: Array) -> float:  # N is a form of at most (1 + ‖U‖²)²; N + S is at least ¾‖Z‖²
        size = 1 + max(float(np.linalg.norm(basis, 2)) for basis in bases) ** 2
        return 6 * size**2 / max(_norm(after), float(np.finfo(float).tiny))

    return Promise(half, "noise share", change, slope)


def labelled_reduction(Pi: Array, *, eps: float, half: str = "compress") -> Promise:
    """−ΔR(Z|Π) = Rᶜ(Z|Π) − R(Z)."""
    return Promise(
        half,
        "-dR(Z|Pi)",
        lambda before, after: -decide.partition_rate_reduction_change(before, after, Pi, eps=eps),
        lambda _, Z: _norm(srr.rate_reduction_and_gradient(Z, Pi=Pi, eps=eps)[1]),
    )


def sphere(half: str = "sparsify") -> Promise:
    """Σ_i (‖z_i‖² − 1)²."""

    def slope(_: Array, Z: Array) -> float:
        tokens = as_float64(Z, "Z")
        return 4 * _norm((np.sum(tokens * tokens, axis=1, keepdims=True) - 1) * tokens)

    return Promise(half, "off sphere", decide.off_sphere_change, slope)


def sparse_rate(objective: srr.SparseRateReduction, half: str = "sparsify") -> Promise:
    """λ‖Z‖₁ − R(Z)."""
    eps, lam = objective.eps, objective.lam
    return Promise(
        half,
        "lam|Z|_1 - R",
        lambda before, after: decide.sparse_rate_change(before, after, eps=eps, lam=lam),
        lambda _, Z: _norm(srr.coding_rate_and_gradient(Z, eps=eps)[1]) + lam * _root_size(Z),
    )


def l1(objective: srr.SparseRateReduction, half: str = "sparsify") -> Promise:
    """‖Z‖₁."""
    return Promise(half, "|Z|_1", decide.l1_change, lambda _, Z: _root_size(Z))


def lasso(D: Array, *, lam: float, half: str = "sparsify") -> Promise:
    """λ‖A‖₁ + ½‖Z − A Dᵀ‖², Z the tokens before the half-step, from the code A = Z to the tokens after."""
    atoms = as_float64(D, "D")
    norm = float(np.linalg.norm(atoms, 2))

    def change(before: Array, after: Array) -> Decision:
        return decide.lasso_change(before, D, before, after, lam=lam)

    def slope(before: Array, after: Array) -> float:
        return norm * (_norm(before) + norm * _norm(after)) + lam * _root_size(after)

    return Promise(half, "lasso", change, slope)


def lasso_from_zero(code: Callable[[Array], Array], D: Array, *, lam: float, half: str = "sparsify") -> Promise:
    """λ‖A‖₁ + ½‖Z − A Dᵀ‖², Z the tokens before the half-step, from no code to the code A that it computes of them.

    The code does not leave the layer, so it is computed once more.
    """
    direct = lasso(D, lam=lam, half=half)

    def change(before: Array, after: Array) -> Decision:
        A = code(before)
        return decide.lasso_change(before, D, 0 * A, A, lam=lam)

    return Promise(half, "lasso of A", change, lambda before, after: direct.slope(before, code(before)))


def opposite(promise: Promise, quantity: str) -> Promise:
    """That what another promise is about does not fall; ``quantity`` names its negative."""
    return Promise(promise.half, quantity, lambda before, after: -promise.change(before, after), promise.slope)


def loss(objective: srr.SparseRateReduction, half: str = "layer") -> Promise:
    """Rᶜ(Z|U) − R(Z) + λ‖Z‖₁."""
    return Promise(
        half,
        "loss",
        lambda before, after: decide.loss_change(objective, before, after),
        lambda _, Z: _norm(objective.smooth_gradient(Z)) + objective.lam * _root_size(Z),
    )


def shrunk_loss(layer: srr.Layer, objective: srr.SparseRateReduction, half: str = "compress") -> Promise:
    """Rᶜ(Z|U) − R(Z) + λ‖Z‖₁ before the half-step, and of what the second half makes of the tokens after it."""
    whole = loss(objective)
    return Promise(
        half,
        "loss, shrunk",
        lambda before, after: whole.change(before, layer.sparsify(after)),
        lambda before, after: whole.slope(before, layer.sparsify(after)),
    )


def _norm(Z: Array) -> float:
    tokens = as_float64(Z, "Z")
    largest = float(np.max(np.abs(tokens)))
    return largest * float(np.linalg.norm(tokens / largest)) if largest else 0.0


def _root_size(Z: Array) -> float:
    return math.sqrt(math.prod(Z.shape))
