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


def _redunet(rule: str) -> Family:
    def build(setting: Setting) -> tuple[srr.Layer, ...]:
        Z, eps = setting.Z, setting.objective.eps
        eta = setting.steps.get("eta", srr.curvature.sphere_step(*Z.shape, eps=eps) if rule == "gradient" else 0.5)
        built = srr.redunet.construct(Z, setting.Pi, layers=setting.depth, rule=rule, eps=eps, eta=eta)
        return tuple(layer for layer, _ in built)

    return Family(build, ("eta",), labelled=True)


FAMILIES = {
    **{rule: _crate(rule) for rule in layers.RULES},
    "official": Family(_official, ("eta",)),
    "descent": Family(_descent),
    "redunet": _redunet("network"),
    "redunet-gradient": _redunet("gradient"),
    "redunet-official": _redunet("official"),
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
