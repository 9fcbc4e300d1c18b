"""Figures of the decoder."""

from __future__ import annotations

import math

import numpy as np

from srr import curvature, subspace_coding_rate_and_gradient
from verify.claims._instances import complete_family
from verify.figure import Curve, Figure, Points


def round_trip() -> Figure:
    """An exact step and the step back, from tokens of equal singular values."""
    n, K, p, eps = 8, 2, 3, 0.5
    rng = np.random.default_rng(0)
    U, frame = complete_family(rng, K, p), np.linalg.qr(rng.standard_normal((n, K * p)))[0]
    L, beta = curvature.subspace_rate(U, n, eps=eps), p / (n * eps**2)
    grid, points = np.geomspace(0.01, 1, 13), []

    def gradient(Z: np.ndarray) -> np.ndarray:
        return subspace_coding_rate_and_gradient(Z, U, eps=eps)[1]

    for x in (0.001, 0.3, 3.0):
        Z = math.sqrt(x / beta) * frame
        there = [Z - t / L * gradient(Z) for t in grid]
        errors = [np.linalg.norm(Y + t / L * gradient(Y) - Z) for t, Y in zip(grid, there, strict=True)]
        points.append(Points(f"βs² = {x}", grid, np.array(errors) * L / np.linalg.norm(gradient(Z))))
    return Figure(
        title="The error of a compression step and the decoder's step back",
        x_label="h L_c",
        y_label="error × L_c / ‖∇Rᶜ‖",
        curves=(Curve("(h L_c)², the bound", grid, grid**2),),
        points=tuple(points),
        x_log=True,
        y_log=True,
        caption=f"{n} tokens in {K} heads of dimension {p}. Short tokens attain the bound; the error is of second "
        "order in the step for all.",
    )
