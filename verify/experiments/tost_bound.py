"""Does ToST's variational rate bound the rate within classes with the memberships that it is used with?"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import product
from math import sqrt
from typing import Literal

import numpy as np

import srr
from srr import tost
from verify.experiments import ranges
from verify.experiments.experiment import Experiment, Row
from verify.figure import Curve, Figure, Points

MEMBERSHIPS = ("labels", "softmax", "official")
ROUNDING = 1e-9


@dataclass(frozen=True)
class Parameters:
    """Tokens, and memberships.

    Attributes
    ----------
    memberships : tuple of str
        "labels"; "softmax" of ‖U_kᵀz‖²/2η as in the paper; "official", as in the code.
    eps : tuple of float
    noise : tuple of float
    eta : float
        Of the softmax.
    n, d, K, p : int
    coherence : {"orthogonal", "random"}
    seed : int
    """

    memberships: tuple[str, ...] = MEMBERSHIPS
    eps: tuple[float, ...] = (0.1, 0.3, 1.0, 3.0)
    noise: tuple[float, ...] = (0.0, 0.1, 0.5)
    eta: float = 0.5
    n: int = 64
    d: int = 16
    K: int = 4
    p: int = 4
    coherence: Literal["orthogonal", "random"] = "orthogonal"
    seed: int = 0

    def __post_init__(self) -> None:
        ranges.known(self, memberships=MEMBERSHIPS)
        ranges.above(self, 0, "eps", "eta")
        ranges.least(self, 0, "noise")
        ranges.room(self, apart=self.coherence == "orthogonal")


def run(given: Parameters) -> Iterator[Row]:
    """A row for each kind of memberships, noise and precision: both rates, and both after a safe step, in nats."""
    for kind, noise in product(given.memberships, given.noise):
        mixture = srr.mixtures.sample(
            n=given.n, d=given.d, K=given.K, p=given.p, noise=noise, coherence=given.coherence, seed=given.seed
        )
        Z, U = mixture.Z / sqrt(given.p), mixture.U
        Pi = _memberships(kind, mixture, Z, given.eta)
        for eps in given.eps:
            rate, bound = both(Z, Pi, U, eps)
            step = tost.descent_step(U, given.n, eps=eps)
            after, bound_after = both(Z + tost.tssa(Z, Pi, U, eps=eps, step=step), Pi, U, eps)
            yield {
                "memberships": kind,
                "noise": noise,
                "eps": eps,
                "rate": rate,
                "bound": bound,
                "holds": rate <= bound + ROUNDING * (1 + rate),
                "rate after": after,
                "bound after": bound_after,
                "rate fell": after < rate,
                "bound fell": bound_after < bound,
            }


def both(Z: np.ndarray, Pi: np.ndarray, U: np.ndarray, eps: float) -> tuple[float, float]:
    """The rate within classes, R_c(Z, Π), and the variational rate that should bound it."""
    return float(srr.partition_coding_rate(Z, Pi, eps=eps)), float(tost.variational_rate(Z, Pi, U, eps=eps))


def _memberships(kind: str, mixture: srr.mixtures.Mixture, Z: np.ndarray, eta: float) -> np.ndarray:
    if kind == "labels":
        return mixture.Pi
    if kind == "softmax":
        return tost.memberships(Z, mixture.U, eta=eta)
    return tost.memberships_official(Z, mixture.U)


def total(given: Parameters) -> int:
    """How many rows."""
    return len(given.memberships) * len(given.noise) * len(given.eps)


def figure(rows: Sequence[Row]) -> Figure:
    """The bound over what it should bound: below the diagonal it is none."""
    points = [
        Points(f"{kind}, {'above' if holds else 'below'}", [r["rate"] for r in mine], [r["bound"] for r in mine])
        for kind, holds in product(dict.fromkeys(row["memberships"] for row in rows), (True, False))
        if (mine := [row for row in rows if row["memberships"] == kind and row["holds"] == holds])
    ]
    ends = (min(row["rate"] for row in rows), max(row["rate"] for row in rows))
    return Figure(
        title="ToST's variational rate beside the rate within classes",
        x_label="rate within classes, nats",
        y_label="variational rate, nats",
        curves=(Curve("equal", ends, ends),),
        points=tuple(points),
        x_log=True,
        y_log=True,
        caption="A point for each noise and precision. On or above the line the variational rate is a bound.",
    )


def verdict(rows: Sequence[Row]) -> str:
    """For each kind of memberships, on how many settings the bound holds, and what the step lowers."""
    said = []
    for kind in dict.fromkeys(row["memberships"] for row in rows):
        mine = [row for row in rows if row["memberships"] == kind]
        held = [row for row in mine if row["holds"]]
        clean = [row for row in mine if row["noise"] == 0]
        where = (
            "always" if len(held) == len(mine) else "never" if not held else f"on {len(held)} of {len(mine)} settings"
        )
        least = min(row["bound"] / row["rate"] for row in mine)
        said.append(
            f"{kind}: it is a bound {where} (without noise on {sum(row['holds'] for row in clean)} of {len(clean)}; "
            f"least ratio {least:.3f}); the safe step lowered it on {sum(row['bound fell'] for row in mine)} and the "
            f"rate on {sum(row['rate fell'] for row in mine)} of {len(mine)}"
        )
    return ". ".join(said) + "."


TOST_BOUND = Experiment(
    name="tost-bound",
    title="ToST's bound",
    question="Is the variational rate of ToST a bound on the rate within classes, with hard and with soft memberships?",
    source="Wu et al. 2024 (arXiv 2412.17810)",
    parameters=Parameters,
    full={
        "eps": (0.03, 0.1, 0.2, 0.3, 0.5, 1.0, 2.0, 3.0, 10.0),
        "noise": (0.0, 0.01, 0.1, 0.3, 0.5, 1.0),
        "n": 512,
        "d": 64,
        "p": 16,
    },
    total=total,
    run=run,
    columns=(
        "memberships",
        "noise",
        "eps",
        "rate",
        "bound",
        "holds",
        "rate after",
        "bound after",
        "rate fell",
        "bound fell",
    ),
    figure=figure,
    verdict=verdict,
    grid=("memberships", "noise", "eps"),
)
