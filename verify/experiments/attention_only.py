"""Does the signal-to-noise ratio of attention-only layers grow as their theorem says, at every depth?"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import product

import numpy as np

import srr
from srr import aot
from verify.experiments import ranges
from verify.experiments.experiment import Experiment, Row, spread
from verify.figure import Curve, Figure, Points
from verify.subspaces import own_part

EQUAL = 1e-9
"""Relative distance within which two ratios count as equal."""


@dataclass(frozen=True)
class Parameters:
    """The layers, and the tokens of the theorem.

    Attributes
    ----------
    thresholds : tuple of float
        τ of the thresholded attention, each from 1/2 up to 1; 0 for the plain softmax of the networks, with 1 for τ in
        the theorem's factor.
    noise : tuple of float
        δ of z_i = U_s a_i + Σ_{j≠s} U_j e_ij, e ~ N(0, δ²).
    layers : int
    eta : float
    n, K, p : int
        Tokens, subspaces that fill the space, and their dimension.
    seed : int
    """

    thresholds: tuple[float, ...] = (0.55, 0.9, 0.0)
    noise: tuple[float, ...] = (0.1, 0.4)
    layers: int = 8
    eta: float = 0.5
    n: int = 30
    K: int = 3
    p: int = 64
    seed: int = 0

    def __post_init__(self) -> None:
        ranges.least(self, 0, "thresholds", "noise", "eta")
        ranges.least(self, self.K, "n")  # a token of each class
        for threshold in self.thresholds:
            if threshold >= 1:
                raise ValueError(f"thresholds must be below 1, got {threshold}")


def run(given: Parameters) -> Iterator[Row]:
    """A row for each threshold, noise and depth: the SNR of the worst class there, beside (1 + ητ)^ℓ times that at 0.

    SNR_k = ‖U_kU_kᵀZ_k‖ / ‖(I − U_kU_kᵀ)Z_k‖. "equal" says whether every class has grown by 1 + ητ in this layer;
    "signal" and "noise" are numerator and denominator over all classes, relative to those at the start.
    """
    for threshold, noise in product(given.thresholds, given.noise):
        mixture = srr.mixtures.sample(
            n=given.n, d=given.K * given.p, K=given.K, p=given.p, noise=noise, confined=True, seed=given.seed
        )
        Z, U, Pi = mixture.Z, mixture.U, mixture.Pi
        factor = 1 + given.eta * (threshold or 1.0)
        start, first = aot.snr(Z, Pi, U), parts(Z, U, mixture.labels)
        before = start
        for depth in range(1, given.layers + 1):
            Z = aot.denoising_step(Z, U, step=given.eta, threshold=threshold or None)
            now, (signal, rest) = aot.snr(Z, Pi, U), parts(Z, U, mixture.labels)
            yield {
                "threshold": threshold or "softmax",
                "noise": noise,
                "depth": depth,
                "SNR at 0": float(start.min()),
                "SNR": float(now.min()),
                "theory": float(start.min()) * factor**depth,
                "equal": bool(np.all(np.abs(now / before - factor) <= EQUAL * factor)),
                "signal": signal / first[0],
                "rest": rest / first[1],
            }
            before = now


def parts(Z: np.ndarray, U: np.ndarray, labels: np.ndarray) -> tuple[float, float]:
    """The norms of what the tokens have in their own subspaces, and beside them."""
    inside = own_part(Z, U, labels)
    return float(np.linalg.norm(inside)), float(np.linalg.norm(Z - inside))


def total(given: Parameters) -> int:
    """How many rows."""
    return len(given.thresholds) * len(given.noise) * given.layers


def figure(rows: Sequence[Row]) -> Figure:
    """SNR over depth, of the least noise: a line of theory for each threshold, and what was measured."""
    noise = min(row["noise"] for row in rows)
    curves, points = [], []
    most = max(row["theory"] for row in rows if row["noise"] == noise)
    for threshold in spread(list(dict.fromkeys(row["threshold"] for row in rows)), 4):
        mine = [row for row in rows if (row["threshold"], row["noise"]) == (threshold, noise)]
        depths = [row["depth"] for row in mine]
        said = "softmax" if threshold == "softmax" else f"τ = {threshold:g}"
        curves.append(Curve(f"(1 + ητ)^ℓ, {said}", depths, [row["theory"] for row in mine]))
        points.append(Points(said, depths, [row["SNR"] for row in mine]))
    return Figure(
        title="Signal-to-noise ratio of attention-only layers",
        x_label="layer ℓ",
        y_label="SNR of the worst class",
        curves=tuple(curves),
        points=tuple(points),
        y_log=True,
        y_ticks=tuple((f"{y:g}", y) for y in (1.0, 3.0, 10.0, 30.0, 100.0)) if most < 300 else (),
        caption=f"Tokens of the theorem with noise δ = {noise:g}. For the softmax theory is drawn with τ = 1.",
    )


def verdict(rows: Sequence[Row]) -> str:
    """For each threshold, to which depth the equality of the theorem holds, and what is left of the ratio, by noise."""
    said = []
    for threshold in dict.fromkeys(row["threshold"] for row in rows):
        parts = []
        for noise in dict.fromkeys(row["noise"] for row in rows):
            mine = [row for row in rows if (row["threshold"], row["noise"]) == (threshold, noise)]
            failed, last = [row["depth"] for row in mine if not row["equal"]], mine[-1]
            where = f"fails first in layer {failed[0]}" if failed else f"holds in all {len(mine)} layers"
            parts.append(f"{where} with noise {noise:g} (SNR in the end {last['SNR'] / last['SNR at 0']:.3g} times)")
        name = "softmax" if threshold == "softmax" else f"threshold {threshold:g}"
        said.append(f"{name}: the equality {', '.join(parts)}")
    return ". ".join(said) + "."


ATTENTION_ONLY = Experiment(
    name="attention-only",
    title="Attention-only layers as denoisers",
    question="Does every attention-only layer multiply the signal-to-noise ratio by 1 + eta tau?",
    source="Wang et al. 2025 (arXiv 2506.03790), theorem 1",
    parameters=Parameters,
    full={
        "thresholds": (0.51, 0.55, 0.7, 0.9, 0.99, 0.0),
        "noise": (0.1, 0.2, 0.3, 0.5),
        "layers": 60,
        "n": 200,
        "K": 4,
    },
    total=total,
    run=run,
    columns=("threshold", "noise", "depth", "SNR at 0", "SNR", "theory", "equal", "signal", "rest"),
    figure=figure,
    verdict=verdict,
    grid=("thresholds", "noise"),
)
