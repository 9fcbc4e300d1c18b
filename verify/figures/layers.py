"""Figures of whole layers."""

from __future__ import annotations

import numpy as np

import srr
from srr import curvature
from verify import decide
from verify.figure import Curve, Figure, Points


def descent_guarantee() -> Figure:
    """What the descent layer takes off the loss, over what it promises, along 12 layers each."""
    points, promises = [], []
    for eps, lam in ((0.1, 0.01), (0.5, 0.1), (2.0, 1.0)):
        mixture = srr.mixtures.sample(n=16, d=8, K=2, p=3, noise=0.1, seed=0)
        objective = srr.SparseRateReduction(mixture.U, eps=eps, lam=lam)
        layer = srr.layers.descent(mixture.U, eps=eps, lam=lam)
        step = curvature.loss_step(mixture.U, 16, eps=eps)
        Z, found = mixture.Z, []
        for _ in range(12):
            after = layer(Z)
            fall = -decide.loss_change(objective, Z, after).midpoint
            found.append((float(np.sum((after - Z) ** 2)) / (2 * step), fall))
            Z = after
        promised, fallen = zip(*(pair for pair in found if min(pair) > 0), strict=True)
        points.append(Points(f"ε = {eps}, λ = {lam}", promised, fallen, certified=True))
        promises += promised
    ends = [min(promises), max(promises)]
    return Figure(
        title="How much the descent layer lowers the loss",
        x_label="promised: ‖ΔZ‖²/2s",
        y_label="fall of the loss",
        curves=(Curve("promise kept exactly", ends, ends),),
        points=tuple(points),
        x_log=True,
        y_log=True,
        caption="Twelve layers on 16 tokens of a mixture of two subspaces, s = 1/(L_c + α/8). Every point lies on or "
        "above the line.",
    )
