"""Figures of CRATE-α."""

from __future__ import annotations

import math

import numpy as np

from srr import prox
from verify.figure import Curve, Figure, Points


def steps_at_initialisation() -> Figure:
    """η ‖D‖² of dictionaries as the two codes begin with them, by dimension."""
    step, sizes, rng = 0.1, (8, 16, 32, 64, 128, 192), np.random.default_rng(0)
    points = []
    for name, bound in (("JAX, uniform of ±√(6/d)", math.sqrt(6)), ("torch, uniform of ±√(6/4d)", math.sqrt(6) / 2)):
        safe = [prox.lasso_step(rng.uniform(-1, 1, (d, 4 * d)) * bound / math.sqrt(d)) for d in sizes]
        points.append(Points(name, sizes, step / np.array(safe)))
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


def lasso_from_zero() -> Figure:
    """ISTA steps from zero on one atom of unit length: the distance to the least lasso, step by step."""
    lam, z, T = 0.1, 1.0, 12
    D, Z = np.ones((1, 1)), np.full((1, 1), z)
    best = lam * (z - lam) + lam**2 / 2
    curves, points = [], []
    for eta in (0.1, 0.5, 1.8):
        steps = np.arange(T + 1)
        codes = [prox.ista(Z, D, step=eta, lam=lam, iterations=int(t)) if t else 0 * Z for t in steps]
        found = [float(prox.lasso(Z, D, A, lam=lam)) - best for A in codes]
        curves.append(Curve(f"(1 − η)^2t, η = {eta}", steps, (1 - eta) ** (2.0 * steps)))
        points.append(Points(f"srr, η = {eta}", steps, np.array(found) / ((z - lam) ** 2 / 2)))
    return Figure(
        title="Every ISTA step from zero lowers its lasso, up to η = 2/‖D‖²",
        x_label="steps t",
        y_label="(F(A^t) − F*) / (F(0) − F*)",
        curves=tuple(curves),
        points=tuple(points),
        edges=(("the two steps of CRATE-α", 2.0),),
        y_log=True,
        caption=f"One atom of unit length, z = {z:g}, λ = {lam}. At the official η = 0.1 two steps from zero leave two "
        "thirds of the way to the least lasso.",
    )
