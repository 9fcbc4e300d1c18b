"""Figures of the variants of CRATE."""

from __future__ import annotations

import numpy as np

from srr import attention, mixtures, subspace_coding_rate_and_gradient
from srr.layers import output_matrix
from verify.figure import Curve, Figure, Points


def slope_by_the_bases() -> Figure:
    """The bases of planes turned within their planes, which Rᶜ does not see, under an output matrix that stays."""
    n, K, p, eps = 16, 2, 2, 0.5
    mixture = mixtures.sample(n=n, d=K * p, K=K, p=p, noise=0.1, seed=0)
    Z, U = mixture.Z, mixture.U
    gradient = subspace_coding_rate_and_gradient(Z, U, eps=eps)[1]
    line, grid = np.linspace(0, 2 * np.pi, 100), np.linspace(0, 2 * np.pi, 17)

    def slope(angle: float, variant: str) -> float:
        turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
        W = output_matrix(U @ turn, variant)
        return float(np.sum(gradient * attention.mssa_official(Z, U @ turn, output=W, scale=1.0)))

    curves, points = [], []
    for variant in ("identity", "fixed"):
        start, quarter = slope(0, variant), slope(np.pi / 2, variant)
        curves.append(
            Curve(f"a cos φ + b sin φ, {variant}", line / np.pi, start * np.cos(line) + quarter * np.sin(line))
        )
        points.append(Points(variant, grid / np.pi, [slope(angle, variant) for angle in grid]))
    same = slope(0, "conceptual")
    curves.append(Curve("constant, C", (0, 2), (same, same)))
    points.append(Points("conceptual", grid / np.pi, [slope(angle, "conceptual") for angle in grid]))
    return Figure(
        title="Whether attention compresses to first order, by the bases of the same subspaces",
        x_label="φ / π",
        y_label="slope of Rᶜ along the update (nats)",
        curves=tuple(curves),
        points=tuple(points),
        caption=f"{n} tokens, {K} orthogonal planes whose bases are turned by φ. Below zero the update compresses. At "
        "φ = π the bases are reversed, and with W random or I the slope turns its sign; CRATE-C does not see φ.",
    )
