"""Figures of CRATE-α."""

from __future__ import annotations

import math

import numpy as np

from verify.figure import Curve, Figure, Points


def steps_at_initialisation() -> Figure:
    """η ‖D‖² of dictionaries as the two codes begin with them, by dimension."""
    step, sizes, rng = 0.1, (8, 16, 32, 64, 128, 192), np.random.default_rng(0)
    points = []
    for name, bound in (("JAX, uniform of ±√(6/d)", math.sqrt(6)), ("torch, uniform of ±√(6/4d)", math.sqrt(6) / 2)):
        norms = [np.linalg.norm(rng.uniform(-1, 1, (d, 4 * d)) * bound / math.sqrt(d), 2) for d in sizes]
        points.append(Points(name, sizes, step * np.array(norms) ** 2))
    ends = (sizes[0], sizes[-1])
    return Figure(
        title="The step 0.1 of CRATE-α, in units of 1/‖D‖²",
        x_label="dimension d",
        y_label="0.1 ‖D‖²",
        curves=(
            Curve("limit 1.8, JAX", ends, (1.8, 1.8)),
            Curve("limit 0.45, torch", ends, (0.45, 0.45)),
            Curve("2: beyond it the lasso may rise", ends, (2, 2)),
            Curve("1: a proximal gradient step", ends, (1, 1)),
        ),
        points=tuple(points),
        x_log=True,
        caption="One dictionary d × 4d for each point. By Marchenko and Pastur ‖D‖² tends to nine times the variance "
        "of d entries: 18 in the original code, 4.5 in its port.",
    )
