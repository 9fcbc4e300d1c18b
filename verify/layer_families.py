"""The layers that ``srr descend`` unrolls, by name."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import numpy as np

import srr
from srr import layers
from srr._arrays import count, positive


@dataclass(frozen=True, eq=False)
class Setting:
    """What layers may be built from.

    Attributes
    ----------
    Z : array, shape (n, d)
        The tokens that they will be given.
    objective : SparseRateReduction
    D : array, shape (d, d)
        Dictionary.
    Pi : array, shape (n, K), or None
        Memberships of the tokens, hard; for labelled families.
    steps : mapping
        The step sizes that were asked for, by name.
    depth : int
        How many layers.
    """

    Z: np.ndarray
    objective: srr.SparseRateReduction
    D: np.ndarray
    Pi: np.ndarray | None
    depth: int
    steps: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class Family:
    """Layers of one kind.

    Attributes
    ----------
    build : callable
        `Setting` to its layers.
    steps : tuple of str
        The names of the step sizes that they have.
    labelled : bool
        Whether they are built from labelled tokens, of norm 1.
    """

    build: Callable[[Setting], tuple[srr.Layer, ...]]
    steps: tuple[str, ...] = ()
    labelled: bool = False


def _crate(rule: str) -> Family:
    def build(setting: Setting) -> tuple[srr.Layer, ...]:
        loss = setting.objective
        layer = layers.crate(loss.U, setting.D, rule=rule, eps=loss.eps, lam=loss.lam, **setting.steps)
        return (layer,) * setting.depth

    return Family(build, ("kappa", "eta"))


def _official(setting: Setting) -> tuple[srr.Layer, ...]:
    loss = setting.objective
    return (layers.official(loss.U, setting.D, lam=loss.lam, **setting.steps),) * setting.depth


def _descent(setting: Setting) -> tuple[srr.Layer, ...]:
    loss = setting.objective
    return (layers.descent(loss.U, eps=loss.eps, lam=loss.lam),) * setting.depth


def _variant(variant: str) -> Family:
    def build(setting: Setting) -> tuple[srr.Layer, ...]:
        loss = setting.objective
        layer = layers.crate_variant(loss.U, setting.D, variant=variant, lam=loss.lam, **setting.steps)
        return (layer,) * setting.depth

    return Family(build, ("eta",))


def _causal(setting: Setting) -> tuple[srr.Layer, ...]:
    loss = setting.objective
    return (layers.crate_causal(loss.U, setting.D, lam=loss.lam, **setting.steps),) * setting.depth


def _causal_overcomplete(setting: Setting) -> tuple[srr.Layer, ...]:
    loss, D = setting.objective, overcomplete(setting.D)
    return (layers.crate_causal_overcomplete(loss.U, D, lam=loss.lam, **setting.steps),) * setting.depth


def _alpha(setting: Setting) -> tuple[srr.Layer, ...]:
    loss, D = setting.objective, overcomplete(setting.D)
    return (layers.crate_alpha(loss.U, D, eps=loss.eps, lam=loss.lam, **setting.steps),) * setting.depth


def _alpha_official(setting: Setting) -> tuple[srr.Layer, ...]:
    loss, D = setting.objective, overcomplete(setting.D)
    decode = overcomplete(setting.D, seed=1)
    return (layers.crate_alpha_official(loss.U, D, decode, lam=loss.lam, **setting.steps),) * setting.depth


def overcomplete(D: np.ndarray, *, seed: int = 0) -> np.ndarray:
    """D and three random rotations beside it, ``(d, 4d)``: a dictionary for CRATE-α, with ‖·‖² = 4 if D is orthonormal.

    A second one for its way back, with another ``seed``, shares nothing with it but D.
    """
    rng = np.random.Generator(np.random.PCG64(np.random.SeedSequence(seed)))
    turns = np.linalg.qr(rng.standard_normal((3, *D.shape)))[0].astype(D.dtype)
    return np.hstack([D, *turns])


def _decoder(setting: Setting) -> tuple[srr.Layer, ...]:
    loss = setting.objective
    return (layers.crate_decoder(loss.U, setting.D, eps=loss.eps, **setting.steps),) * setting.depth


def _decoder_official(setting: Setting) -> tuple[srr.Layer, ...]:
    return (layers.crate_decoder_official(setting.objective.U, setting.D),) * setting.depth


def _autoencoder(setting: Setting) -> tuple[srr.Layer, ...]:
    return layers.crate_autoencoder(_crate("residual").build(setting))


def _tost(setting: Setting) -> tuple[srr.Layer, ...]:
    loss = setting.objective
    return (layers.tost(loss.U, eps=loss.eps),) * setting.depth


def _tost_official(setting: Setting) -> tuple[srr.Layer, ...]:
    return (layers.tost_official(setting.objective.U),) * setting.depth


def _tost_block(setting: Setting) -> tuple[srr.Layer, ...]:
    U = setting.objective.U
    up, down = initial_mlp(U)
    return (layers.tost_block(U, up, down),) * setting.depth


def initial_mlp(U: np.ndarray, *, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """The two weights of an MLP of width 4d as networks begin, from N(0, 0.02²): ``(4d, d)`` and ``(d, 4d)``."""
    d, rng = U.shape[1], np.random.Generator(np.random.PCG64(np.random.SeedSequence(seed)))
    up, down = 0.02 * rng.standard_normal((2, 4 * d, d))
    return up.astype(U.dtype), down.T.astype(U.dtype)


def _aot(threshold: float | None) -> Family:
    def build(setting: Setting) -> tuple[srr.Layer, ...]:
        return (layers.aot(setting.objective.U, threshold=threshold),) * setting.depth

    return Family(build)


def _representatives(setting: Setting) -> int:
    return -(-len(setting.Z) // 4)  # a quarter of the tokens, as 8 x 8 of the 16 x 16 patches of an image


def _cbsa(contraction: str) -> Family:
    def build(setting: Setting) -> tuple[srr.Layer, ...]:
        loss, r = setting.objective, _representatives(setting)
        layer = layers.cbsa(
            loss.U, setting.D, r=r, contraction=contraction, eps=loss.eps, lam=loss.lam, **setting.steps
        )
        return (layer,) * setting.depth

    return Family(build, ("kappa", "eta"))


def _cbsa_official(setting: Setting) -> tuple[srr.Layer, ...]:
    loss, r = setting.objective, _representatives(setting)
    return (layers.cbsa_official(loss.U, setting.D, r=r, lam=loss.lam, **setting.steps),) * setting.depth


def _redunet(rule: str) -> Family:
    def build(setting: Setting) -> tuple[srr.Layer, ...]:
        Z, eps = setting.Z, setting.objective.eps
        eta = setting.steps.get("eta", srr.curvature.sphere_step(*Z.shape, eps=eps) if rule == "gradient" else 0.5)
        built = srr.redunet.construct(Z, setting.Pi, layers=setting.depth, rule=rule, eps=eps, eta=eta)
        return tuple(layer for layer, _ in built)

    return Family(build, ("eta",), labelled=True)


def _implicit_descent(setting: Setting) -> tuple[srr.Layer, ...]:
    loss = setting.objective
    return (layers.implicit_descent(loss.U, eps=loss.eps, lam=loss.lam),) * setting.depth


FAMILIES = {
    **{rule: _crate(rule) for rule in layers.RULES},
    **{variant: _variant(variant) for variant in layers.VARIANTS if variant not in layers.RULES},
    "official": Family(_official, ("eta",)),
    "causal": Family(_causal, ("eta",)),
    "causal-overcomplete": Family(_causal_overcomplete, ("eta",)),
    "alpha": Family(_alpha, ("eta",)),
    "alpha-official": Family(_alpha_official, ("eta",)),
    "decoder": Family(_decoder, ("kappa",)),
    "decoder-official": Family(_decoder_official),
    "autoencoder": Family(_autoencoder, ("kappa", "eta")),
    "descent": Family(_descent),
    "tost": Family(_tost),
    "tost-official": Family(_tost_official),
    "tost-block": Family(_tost_block),
    "aot": _aot(0.6),
    "aot-softmax": _aot(None),
    "cbsa": _cbsa("pooled"),
    "cbsa-attention": _cbsa("attention"),
    "cbsa-official": Family(_cbsa_official, ("eta",)),
    "redunet": _redunet("network"),
    "redunet-gradient": _redunet("gradient"),
    "redunet-official": _redunet("official"),
    "implicit-descent": Family(_implicit_descent),
}


def build(name: str, setting: Setting) -> tuple[srr.Layer, ...]:
    """The layers of one family.

    Raises
    ------
    ValueError, TypeError
        A step size that they do not have, or that is no positive number; a depth below one.
    """
    family = FAMILIES[name]
    count(setting.depth, "layers")
    for step, value in setting.steps.items():
        if step not in family.steps:
            raise ValueError(f"{step} must be left out with {name}, which has no such step, got {value}")
        positive(value, step)
    return family.build(setting)
