"""Figures of the optima of the sparse rate reduction."""

from __future__ import annotations

import numpy as np

from srr import SparseRateReduction
from verify.experiments.interpretability import Parameters, converged, drawn, optimum
from verify.figure import Curve, Figure, Points


def loss_at_the_end() -> Figure:
    """Where monotone layers end, from a mixture and from its control, beside the least loss of all."""
    given = Parameters(n=10, K=2, p=2, noise=0.05)
    d, line, grid = given.K * given.p, np.geomspace(0.05, 0.4, 60), (0.08, 0.12, 0.25)
    points = []
    for kind in ("mixture", "control"):
        U, Z = drawn(given, kind, "rotated")
        ends = [converged(Z, U, eps=given.eps, lam=lam, layers=120)[0] for lam in grid]
        losses = [float(SparseRateReduction(U, given.eps, lam).loss(end)) for lam, end in zip(grid, ends, strict=True)]
        points.append(Points(f"after 120 layers, {kind}", grid, losses))
    least = [-optimum(given.n, d, given.p, eps=given.eps, lam=lam)[0] for lam in line]
    return Figure(
        title="The least loss Rᶜ − R + λ‖Z‖₁, and where layers that lower it end",
        x_label="λ",
        y_label="loss, nats",
        curves=(Curve("one token on each axis, others zero", line, least),),
        points=tuple(points),
        x_log=True,
        caption=f"{given.n} tokens in {d} dimensions, two planes in random position; control: Gaussian tokens of equal "
        "second moment. Where the line is zero the best representation is none.",
    )
