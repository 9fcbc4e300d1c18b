"""Who compresses over twelve layers, by the rate itself and by the measure of the published plots?"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import product
from typing import Literal

import numpy as np

from srr._arrays import quiet
from srr.layer import order_of
from verify.claims._steps import official_measure
from verify.experiments import ranges
from verify.experiments.experiment import Experiment, Row
from verify.figure import COLOURS, Curve, Figure, Points
from verify.layer_families import FAMILIES
from verify.problem import Choice, Problem, Tokens, load
from verify.trace import terms

HALVES = ("compress", "both")
FLOOR, GONE = 1e-4, 0.01
"""The least ratio that is drawn; the share of their norm below which tokens count as gone."""


@dataclass(frozen=True)
class Parameters:
    """What the layers are, and what they are given.

    Attributes
    ----------
    rules : tuple of str
        Families of layers, as in ``srr descend``.
    halves : tuple of str
        "compress": each layer is its first half alone; "both": the layer as it is.
    depths : tuple of int
        After how many layers there is a row.
    pre_norm : bool
        Whether each half sees its tokens through LayerNorm.
    n, d, K, p : int
        Tokens, their dimension, mutually orthogonal subspaces, the dimension of each.
    noise : float
    eps, lam : float
        Of the objective. The official measure has its own precision, ε² = 0.01.
    data : {"mixture", "digits"}
        Tokens of a mixture of the subspaces, of norm about 1, or 4 x 4 patches of digits with subspaces fitted to them.
    seed : int
    """

    rules: tuple[str, ...] = tuple(FAMILIES)
    halves: tuple[str, ...] = HALVES
    depths: tuple[int, ...] = (12,)
    pre_norm: bool = False
    n: int = 48
    d: int = 24
    K: int = 4
    p: int = 6
    noise: float = 0.1
    eps: float = 0.5
    lam: float = 0.1
    data: Literal["mixture", "digits"] = "mixture"
    seed: int = 0

    def __post_init__(self) -> None:
        ranges.known(self, rules=FAMILIES, halves=HALVES)
        ranges.above(self, 0, "eps")
        ranges.least(self, 0, "noise", "lam")
        if self.data == "mixture":
            ranges.room(self, apart=True)


def run(given: Parameters) -> Iterator[Row]:
    """A row for each rule, choice of halves and depth: the measures there and at the start.

    "measure" is that of the official code, with every token divided by its norm in every head; all are in nats but the
    norm and the share of entries that are not zero. What is not finite is None.
    """
    for rule, halves in product(given.rules, given.halves):
        problem = _problem(rule, given)
        Z: np.ndarray | None = problem.Z
        start = measures(problem, problem.Z)
        for depth, layer in enumerate(problem.layers, 1):
            if Z is not None:
                Z = _after(layer, Z, halves)
            if depth in given.depths:
                now = measures(problem, Z) if Z is not None else dict.fromkeys(start)
                yield {"rule": rule, "halves": halves, "depth": depth, **_beside(start, now)}


def _after(layer: object, Z: np.ndarray, halves: str) -> np.ndarray | None:
    """The tokens after a layer, or None if they are not finite."""
    for half in ("compress",) if halves == "compress" else order_of(layer):
        with quiet():
            Z = getattr(layer, half)(Z)
        if not np.isfinite(Z).all():
            return None
    return Z


def measures(problem: Problem, Z: np.ndarray) -> dict[str, float | None]:
    """The terms of the objective, the official measure, the norm of the tokens and the share of entries ≠ 0."""
    found = terms(problem.objective, Z)
    with np.errstate(invalid="ignore", divide="ignore"):
        try:
            found["measure"] = official_measure(Z, problem.objective.U)
        except ValueError:  # a token that is zero in a head is divided by zero
            found["measure"] = math.nan
    found["norm"], found["nonzero"] = float(np.linalg.norm(Z)), found["l0"] / Z.size
    return {name: value if math.isfinite(value) else None for name, value in found.items() if name != "l0"}


def _beside(start: dict[str, float | None], now: dict[str, float | None]) -> Row:
    return {**{f"{name} at 0": value for name, value in start.items()}, **now}


def _problem(rule: str, given: Parameters) -> Problem:
    mixture = given.data == "mixture"
    tokens = Tokens(
        data=given.data,
        tokens=None,
        bases=None,
        dictionary=None,
        labels=None,
        n=given.n,
        d=given.d if mixture else None,
        K=given.K,
        p=given.p,
        noise=given.noise if mixture else None,
        coherence="orthogonal" if mixture else None,
        scale=1 / math.sqrt(given.p) if mixture else 1.0,
        seed=given.seed,
    )
    return load(tokens, Choice(rule, given.eps, given.lam, None, None, given.pre_norm, max(given.depths)))


def total(given: Parameters) -> int:
    """How many rows."""
    return len(given.rules) * len(given.halves) * len(set(given.depths))


def figure(rows: Sequence[Row]) -> Figure:
    """Both measures layer by layer, for a few rules at several depths; else what became of one over what became of the
    other at the largest depth, a point for each rule."""
    depths, layers = {row["depth"] for row in rows}, {(row["rule"], row["halves"]) for row in rows}
    return _by_layer(rows) if len(depths) > 1 and len(layers) <= len(COLOURS) else _side_by_side(rows)


def _by_layer(rows: Sequence[Row]) -> Figure:
    curves, points = [], []
    for rule, halves in dict.fromkeys((row["rule"], row["halves"]) for row in rows):
        mine = [row for row in rows if (row["rule"], row["halves"]) == (rule, halves) and _ratios(row) is not None]
        if mine:
            depths, ratios = (0, *(row["depth"] for row in mine)), ((1.0, 1.0), *(_ratios(row) or () for row in mine))
            measures, rates = zip(*ratios, strict=True)
            name = f"{rule}, {'first halves' if halves == 'compress' else 'whole layers'}"
            curves.append(Curve(f"{name}: Rᶜ", depths, rates))
            points.append(Points(f"{name}: measure", depths, measures, joined=True))
    return Figure(
        title="Rᶜ and the official measure, layer by layer",
        x_label="layer",
        y_label="share of its value at the start",
        curves=tuple(curves),
        points=tuple(points),
        y_log=True,
        caption="Lines: Rᶜ. Circles of the same colour: the layer-wise measure of the published code, which divides "
        "every token by its norm in every head. Above 1, it rose.",
    )


def _side_by_side(rows: Sequence[Row]) -> Figure:
    deepest = max(row["depth"] for row in rows)
    shown = [row for row in rows if row["depth"] == deepest and _ratios(row) is not None]
    points = []
    for halves, agree in product(dict.fromkeys(row["halves"] for row in shown), (True, False)):
        pairs = [_ratios(row) for row in shown if row["halves"] == halves]
        pairs = [pair for pair in pairs if pair is not None and ((pair[0] < 1) == (pair[1] < 1)) == agree]
        if pairs:
            said = f"{'first halves' if halves == 'compress' else 'whole layers'}, {'agree' if agree else 'disagree'}"
            points.append(Points(said, *zip(*pairs, strict=True)))
    xs = [x for series in points for x in series.x]
    ys = [y for series in points for y in series.y]
    return Figure(
        title=f"Rᶜ and the official measure after {deepest} layers",
        x_label="official measure: after / before",
        y_label="Rᶜ: after / before",
        curves=(Curve("Rᶜ as it was", (min(xs), max(xs)), (1.0, 1.0)),) if ys else (),
        points=tuple(points),
        edges=(("measure as it was", 1.0),),
        y_log=True,
        caption="A point for each rule. Top left: the published measure falls while the tokens were not compressed; "
        "bottom right: the reverse. Ratios below 10⁻⁴ are drawn at 10⁻⁴.",
    )


def _ratios(row: Row) -> tuple[float, float] | None:
    """After over before, of the official measure and of Rᶜ; None where one of them has no value."""
    if row["Rc"] is None or row["measure"] is None:
        return None
    return row["measure"] / row["measure at 0"], max(row["Rc"] / row["Rc at 0"], FLOOR)


def verdict(rows: Sequence[Row]) -> str:
    """How many rules lowered Rᶜ over all their layers, and for which the official measure says the opposite."""
    deepest = max(row["depth"] for row in rows)
    said = []
    for halves in dict.fromkeys(row["halves"] for row in rows):
        mine = [row for row in rows if row["depth"] == deepest and row["halves"] == halves]
        lowered = [row for row in mine if row["Rc"] is not None and row["Rc"] < row["Rc at 0"]]
        gone = [row for row in lowered if row["norm"] < GONE * row["norm at 0"]]
        pairs = {row["rule"]: ratios for row in mine if (ratios := _ratios(row)) is not None}
        falls = [rule for rule, (measure, rate) in pairs.items() if measure < 1 <= rate]
        hides = [rule for rule, (measure, rate) in pairs.items() if rate < 1 <= measure]
        said.append(
            f"{'First halves' if halves == 'compress' else 'Whole layers'}: {len(lowered)} of {len(mine)} rules "
            f"lowered Rc over {deepest} layers, {len(gone)} of them by shrinking the tokens below {GONE:.0%} of their "
            f"norm; the official measure has a value for {len(pairs)}; it fell though Rc did not for {len(falls)} "
            f"({', '.join(falls) or 'none'}), and Rc fell though it did not for {len(hides)} "
            f"({', '.join(hides) or 'none'})"
        )
    return ". ".join(said) + "."


TWELVE_LAYERS = Experiment(
    name="twelve-layers",
    title="Twelve layers of everything",
    question="Which update rules compress over twelve layers, and does the official layer-wise measure show it?",
    source="Yu et al. 2023 (arXiv 2306.01129), figure 3 and its code; Hu, Zou and Xu 2024 (arXiv 2411.17182)",
    parameters=Parameters,
    full={"depths": tuple(range(1, 13)), "n": 196, "d": 96, "p": 24},
    total=total,
    run=run,
    columns=("rule", "halves", "depth", "Rc at 0", "Rc", "measure at 0", "measure", "norm"),
    figure=figure,
    verdict=verdict,
    grid=("rules", "halves"),
)
