"""Tokens on the sphere with labels, and whether a layer raises their rate reduction."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

import srr
from srr.redunet import on_sphere
from verify.arrays import to_numpy
from verify.case import Case
from verify.claims._instances import norm
from verify.claims._steps import assume_visible
from verify.decide import Decision, partition_rate_reduction_change
from verify.ledger import Outcome
from verify.outcome import decided

Array = Any

SIZES = ((2, 2), (3, 2), (4, 3), (6, 3))
"""Tokens and dimensions."""


@dataclass(frozen=True)
class Labelled:
    """Tokens on the sphere, with labels."""

    Z: Array
    Pi: Array
    eps: float

    @property
    def n(self) -> int:
        return self.Z.shape[0]

    @property
    def d(self) -> int:
        return self.Z.shape[1]

    @property
    def alpha(self) -> float:
        """α = d/(n ε²)."""
        return self.d / (self.n * self.eps**2)

    def reduction(self) -> tuple[float, Array]:
        """ΔR and its gradient."""
        value, gradient = srr.rate_reduction_and_gradient(self.Z, Pi=self.Pi, eps=self.eps, method="svd")
        return float(value), gradient

    def radial(self) -> np.ndarray:
        """ρ_i = ⟨z_i, g_i⟩."""
        return np.sum(to_numpy(self.Z) * to_numpy(self.reduction()[1]), axis=1)


def labelled_tokens(case: Case) -> Labelled:
    """In any direction, or close to the axes, in two classes whichever way; eps such that no rate is all rounding."""
    rng = case.rng()
    n, d = case.choice("n, d", SIZES)
    if case.choice("tokens", ("any", "near axes")) == "any":
        Z = rng.standard_normal((n, d))
    else:
        spread = case.log_uniform("spread", 1e-2, 1.0)
        Z = np.eye(d)[rng.integers(d, size=n)] + spread * rng.standard_normal((n, d))
    labels = np.append([0, 1], rng.integers(2, size=n - 2))
    eps = case.log_uniform("eps", 0.03, 3.0)
    return Labelled(on_sphere(case.asarray(Z)), case.asarray(np.eye(2)[labels]), eps)


def change(t: Labelled, after: Array) -> Decision:
    """The sign of what a layer does to ΔR."""
    return partition_rate_reduction_change(t.Z, after, t.Pi, eps=t.eps)


def ascends(case: Case, t: Labelled, after: Array, step: float) -> Outcome:
    """Whether ΔR does not fall.

    To first order it rises by η times the tangent gradient squared; a tenth of that, for no more than 1/α of the step,
    must be more than rounding the tokens can take back.
    """
    gradient = to_numpy(t.reduction()[1])
    tangent = gradient - t.radial()[:, None] * to_numpy(t.Z)
    slope = norm(Labelled(after, t.Pi, t.eps).reduction()[1])
    assume_visible(case, min(step, 1 / t.alpha) * norm(tangent) ** 2 / 10, t.Z, after, slope)
    return decided(change(t, after), ">=")
