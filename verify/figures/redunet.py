"""Figures of ReduNet."""

from __future__ import annotations

import math

import numpy as np

import srr
from srr.layers import redunet
from srr.redunet import construct, on_sphere
from verify.figure import Curve, Figure, Points


def step_on_the_sphere() -> Figure:
    """A token where ΔR is stationary on the sphere, tilted: a layer multiplies its tilt by (1 − ηαh)/(1 + ηαρ)."""
    points, curves = [], []
    for m in (40, 400):
        Z, one = np.repeat(np.eye(3), (4 * m, m + 1, 4 * m - 1), axis=0), 4 * m
        Pi = np.eye(2)[np.where((np.arange(len(Z)) == one) | (Z[:, 2] == 1), 0, 1)]
        alpha = math.sqrt(5 / (18 * m))
        eps, tilt = math.sqrt(3 / (len(Z) * alpha)), 1e-3
        along, across, alone = 1 / (1 + 4 * m * alpha), 1 / (1 + (m + 1) * alpha), 1 / (1 + 9 / 4 * alpha)
        h, rho = alone - (1 - alpha * across) * along, across - alone
        longest = 2 / (h - rho)
        line, grid = np.linspace(0.02, 1.01, 100) * longest, np.linspace(0.1, 1.0, 10) * longest
        Z[one] = (math.sin(tilt), math.cos(tilt), 0)
        moved = [redunet(Z, Pi, rule="gradient", eps=eps, eta=s / alpha)(Z) for s in grid]
        found = [after[one, 0] / after[one, 1] / math.tan(tilt) for after in moved]
        curves.append(Curve(f"(1 − ηαh)/(1 + ηαρ), m = {m}", line, (1 - line * h) / (1 + line * rho)))
        points.append(Points(f"srr, m = {m}", grid, found))
    return Figure(
        title="What a layer of ReduNet makes of a token beside its place",
        x_label="η α",
        y_label="tilt after / tilt before",
        curves=tuple(curves),
        points=tuple(points),
        edges=(("16/17, safe for all tokens", 16 / 17),),
        caption="Two classes along three axes, 9m tokens, one of them where the other class lies, tilted by 0.001; αh "
        "and −αρ: how far ΔR is curved downwards there, and how far its gradient points inwards. Past −1, at "
        "ηα = 2/(h − ρ), ΔR falls: a bound that tends to 1 as m grows.",
    )


def clusters_become_orthogonal() -> Figure:
    """Three Gaussian clusters around skew centres, through layers with labels and with estimated memberships."""
    m, eps, depth = 10, 0.3, 60
    rng = np.random.default_rng(0)
    centres = np.eye(3) + 0.6 * np.eye(3)[0]
    centres /= np.linalg.norm(centres, axis=1, keepdims=True)
    Z = on_sphere(np.repeat(centres, m, axis=0) + 0.1 * rng.standard_normal((3 * m, 3)))
    Pi, alpha = np.repeat(np.eye(3), m, axis=0), 1 / (m * eps**2)
    x = alpha * m
    best = (3 * math.log1p(x) - math.log1p(3 * x)) / 2
    points = []
    for name, rule, sharpness in (
        ("with labels", "gradient", 0.0),
        ("estimated, λα_k = 9", "network", 3 / alpha),
        ("estimated, λα_k = 1", "network", 1 / (3 * alpha)),
    ):
        built = construct(Z, Pi, layers=depth, rule=rule, eps=eps, eta=0.9 / alpha, sharpness=sharpness)
        features = np.stack([Z, *(after for _, after in built)])[::4]
        points.append(Points(name, range(0, depth + 1, 4), srr.rate_reduction(features, Pi=Pi, eps=eps), joined=True))
    return Figure(
        title="Clusters through the layers of a ReduNet built from them",
        x_label="layer",
        y_label="ΔR of the labels (nats)",
        curves=(Curve("the optimum, three orthogonal lines", (0, depth), (best, best)),),
        points=tuple(points),
        caption=f"{m} tokens about each of three skew centres in R³, σ = 0.1, ε = {eps}, ηα = 0.9. The optimum is "
        "½ Σ log(1 + αn_k) − (n_k/n) log(1 + α_k n_k).",
    )
