"""Figures of the sparse rate reduction."""

from __future__ import annotations

import numpy as np

import srr
from verify.claims._instances import complete_family
from verify.figure import Curve, Figure, Points


def reduction_by_scale() -> Figure:
    """Tokens on the axes, whatever the subspaces, and random ones, from short to long, against their bounds."""
    K, p, m, eps = 3, 2, 2, 1.0
    d = K * p
    n = m * d
    rng = np.random.default_rng(0)
    U = complete_family(rng, K, p)
    line, grid = np.geomspace(0.05, 100, 80), np.geomspace(0.05, 100, 14)
    axes, random = np.tile(np.eye(d), (m, 1)), rng.standard_normal((n, d))
    inside = np.concatenate([rng.standard_normal((n // K, p)) @ basis.T for basis in U])
    points = []
    for name, Z in (("unit tokens ±e_j", axes), ("Gaussian tokens", random), ("tokens in the subspaces", inside)):
        unit = Z * np.sqrt(n) / np.linalg.norm(Z)
        points.append(Points(name, grid, [float(srr.rate_reduction(t * unit, U=U, eps=eps)) for t in grid]))
    most = d / 2 * np.log(K)
    return Figure(
        title="The rate reduction against subspaces, by the scale of the tokens",
        x_label="t, with ‖tZ‖² = t²n",
        y_label="ΔR(tZ|U) (nats)",
        curves=(
            Curve(
                "(d/2) log (1 + t²/ε²)/(1 + t²/Kε²), the bound", line, d / 2 * np.log((1 + line**2) / (1 + line**2 / K))
            ),
            Curve("(d/2) log K, at any scale", line[[0, -1]], (most, most)),
        ),
        points=tuple(points),
        x_log=True,
        caption=f"{n} tokens in dimension {d}, {K} orthogonal subspaces of dimension {p} in random position, ε = 1. "
        "Tokens on the coordinate axes, as sparse as unit tokens can be, are optimal though they lie in none of them.",
    )
