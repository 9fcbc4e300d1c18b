"""Figures of the curvature of the rates."""

from __future__ import annotations

import numpy as np

from verify import derivatives
from verify.figure import Curve, Figure, Points


def ends_of_the_hessian() -> Figure:
    """Second derivatives of R, exact: along the tokens, where they reach both ends, and along anything else."""
    n, d, eps = 3, 3, 1.0
    alpha = d / (n * eps**2)
    rng = np.random.default_rng(0)
    line = np.geomspace(0.03, 30, 200)
    sizes = np.geomspace(0.03, 30, 25)

    def bent(Z: np.ndarray, H: np.ndarray) -> float:
        return float(derivatives.rate_along(Z, H, eps=eps).second) / alpha / float(np.sum(H**2))

    corner = np.zeros((n, d))
    corner[0, 0] = 1.0
    radial = [bent(t * corner, corner) for t in sizes]
    others = []
    for t in np.repeat(sizes, 4):
        Z = rng.standard_normal((n, d))
        others.append(bent(t * Z / np.linalg.norm(Z, 2), rng.integers(-3, 4, size=(n, d)).astype(float)))
    everywhere = line[[0, -1]]
    return Figure(
        title="The curvature of the coding rate, from −α/8 to α",
        x_label="√α times the largest singular value",
        y_label="second derivative of R / α",
        curves=(
            Curve("(1 − αs²)/(1 + αs²)²", line, (1 - line**2) / (1 + line**2) ** 2),
            Curve("−1/8", everywhere, [-1 / 8] * 2),
            Curve("1", everywhere, [1.0] * 2),
        ),
        points=(
            Points("along one token", sizes, radial, certified=True),
            Points("random tokens and directions", np.repeat(sizes, 4), others, certified=True),
        ),
        edges=(("αs² = 3", float(np.sqrt(3))),),
        x_log=True,
        caption=f"Exact second derivatives at {n} tokens in dimension {d}. The lower end, which alone limits a step "
        "on −R, is reached at αs² = 3; the paper's bound for both ends is 9/4.",
    )
