"""Which layers descend, and where: the share of layers that lower each term, over precision, scale and step."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import product
from typing import Literal

import numpy as np

import srr
from srr import curvature, layers
from verify import decide
from verify.experiments import ranges
from verify.experiments.experiment import Experiment, Row
from verify.figure import Figure, Points

RULES = ("exact", "neumann", "derived", "residual", "semi-implicit")


@dataclass(frozen=True)
class Parameters:
    """What the layers are given.

    Attributes
    ----------
    rules : tuple of str
        Compression rules of `srr.layers.crate`.
    eps, scale : tuple of float
        Precisions, and what tokens of about unit norm are multiplied by.
    step : tuple of float
        Steps, in units of 1/L_c for the gradient rules and of 1 for the residual one.
    n, d, K, p : int
        Tokens, their dimension, subspaces, the dimension of each.
    coherence : {"orthogonal", "random"}
    noise : float
    draws : int
        Token sets of each cell.
    seed : int
    """

    rules: tuple[str, ...] = RULES
    eps: tuple[float, ...] = (0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0)
    scale: tuple[float, ...] = (1.0,)
    step: tuple[float, ...] = (1.0,)
    n: int = 32
    d: int = 16
    K: int = 4
    p: int = 4
    coherence: Literal["orthogonal", "random"] = "orthogonal"
    noise: float = 0.1
    draws: int = 20
    seed: int = 0

    def __post_init__(self) -> None:
        ranges.known(self, rules=RULES)
        ranges.above(self, 0, "eps", "step")
        ranges.least(self, 0, "noise")
        ranges.room(self, apart=self.coherence == "orthogonal")


def run(given: Parameters) -> Iterator[Row]:
    """A row for each rule, precision, scale and step: on how many token sets Rᶜ and the loss fell, decided exactly."""
    cells = product(given.rules, given.eps, given.scale, given.step)
    for rule, eps, scale, step in cells:
        fell = dict.fromkeys(("Rc", "loss"), 0)
        undecided = 0
        for draw in range(given.draws):
            mixture = srr.mixtures.sample(
                n=given.n,
                d=given.d,
                K=given.K,
                p=given.p,
                noise=given.noise,
                coherence=given.coherence,
                seed=given.seed + draw,
            )
            Z = scale * mixture.Z / np.sqrt(given.p)
            objective = srr.SparseRateReduction(mixture.U, eps, 0.1)
            kappa = step if rule == "residual" else step * curvature.compression_step(mixture.U, given.n, eps=eps)
            D = np.linalg.qr(np.random.default_rng(given.seed + draw).standard_normal((given.d, given.d)))[0]
            layer = layers.crate(mixture.U, D, rule=rule, eps=eps, kappa=kappa, lam=0.1)
            half = layer.compress(Z)
            changes = {
                "Rc": decide.subspace_rate_change(Z, half, mixture.U, eps=eps),
                "loss": decide.loss_change(objective, Z, layer.sparsify(half)),
            }
            for term, change in changes.items():
                fell[term] += change.sign == -1
                undecided += change.sign is None
        yield {
            "rule": rule,
            "eps": eps,
            "scale": scale,
            "step": step,
            "draws": given.draws,
            "Rc fell": fell["Rc"],
            "loss fell": fell["loss"],
            "undecided": undecided,
        }


def total(given: Parameters) -> int:
    """How many rows."""
    return len(given.rules) * len(given.eps) * len(given.scale) * len(given.step)


def figure(rows: Sequence[Row]) -> Figure:
    """The share of token sets on which Rᶜ fell, over the precision, a line for each rule."""
    first = {name: rows[0][name] for name in ("scale", "step")}
    shown = [row for row in rows if all(row[name] == value for name, value in first.items())]
    points = []
    for rule in dict.fromkeys(row["rule"] for row in shown):
        mine = [row for row in shown if row["rule"] == rule]
        shares = [row["Rc fell"] / row["draws"] for row in mine]
        points.append(Points(rule, tuple(row["eps"] for row in mine), tuple(shares), certified=True, joined=True))
    return Figure(
        title="Where a compression step compresses",
        x_label="precision ε",
        y_label="share of token sets on which Rᶜ fell",
        points=tuple(points),
        x_log=True,
        caption=f"{rows[0]['draws']} token sets for each point, tokens times {first['scale']:g}, steps of "
        f"{first['step']:g}/L_c (of {first['step']:g} for Z + MSSA). Every fall is decided by rigorous enclosures.",
    )


def verdict(rows: Sequence[Row]) -> str:
    """Which rules always lowered Rᶜ, and which never."""
    said = []
    for rule in dict.fromkeys(row["rule"] for row in rows):
        mine = [row for row in rows if row["rule"] == rule]
        always, never = (
            all(row["Rc fell"] == want(row) for row in mine) for want in (lambda r: r["draws"], lambda r: 0)
        )
        said.append(f"{rule} {'always lowered' if always else 'never lowered' if never else 'sometimes lowered'} Rc")
    return "; ".join(said) + "."


PHASE_DIAGRAM = Experiment(
    name="phase-diagram",
    title="Phase diagram of descent",
    question="For which precisions, scales and steps does each compression rule lower Rc, and the layer the loss?",
    source="Yu et al. 2023 (arXiv 2306.01129), eq. 9-12 and 18; Hu, Zou and Xu 2024 (arXiv 2411.17182)",
    parameters=Parameters,
    full={"scale": (0.1, 1.0, 10.0), "step": (0.25, 1.0, 1.9), "draws": 100},
    total=total,
    run=run,
    columns=("rule", "eps", "scale", "step", "Rc fell", "loss fell", "draws"),
    figure=figure,
    verdict=verdict,
    grid=("rules", "eps", "scale", "step"),
)
