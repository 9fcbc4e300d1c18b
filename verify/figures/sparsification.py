"""Figures of the sparsification half."""

from __future__ import annotations

import math

import numpy as np

from srr import coding_rate_and_gradient, curvature, prox
from verify import decide
from verify.figure import Curve, Figure, Points


def ista_step_limit() -> Figure:
    """A positive code displaced along the top singular vector of D: the step multiplies it by 1 − η‖D‖²."""
    d, lam = 6, 1e-3
    rng = np.random.default_rng(0)
    line, grid = np.linspace(0.05, 3, 100), np.linspace(0.1, 3, 30)
    points = []
    for name, D in (
        ("Gaussian D", rng.standard_normal((d, d)) / math.sqrt(d)),
        ("orthonormal D", np.linalg.qr(rng.standard_normal((d, d)))[0]),
    ):
        top = np.linalg.svd(D)[2][0]
        rest = np.full((1, d), 10.0)
        A = rest + top
        quadratic = float(np.sum((top @ D.T) ** 2)) / 2
        steps = [prox.ista_step(rest @ D.T, D, step=t * prox.lasso_step(D), lam=lam, code=A) for t in grid]
        falls = [decide.lasso_change(rest @ D.T, D, A, after, lam=lam).midpoint / quadratic for after in steps]
        points.append(Points(name, grid, falls, certified=True))
    return Figure(
        title="What an ISTA step does to its lasso, by its size",
        x_label="η ‖D‖²",
        y_label="change / ½‖D(A − A*)‖²",
        curves=(Curve("(1 − η‖D‖²)² − 1", line, (1 - line) ** 2 - 1),),
        points=tuple(points),
        edges=(("η = 2/‖D‖²", 2.0), ("1/‖D‖²", 1.0)),
        caption=f"Codes in dimension {d}, displaced by one along the top singular vector of D, λ = {lam}. The step "
        "multiplies the displacement by 1 − η‖D‖², and lowers the lasso up to 2/‖D‖².",
    )


def majorisation_constants() -> Figure:
    """Tokens beside the point where −R is curved most: the step s multiplies their displacement by 1 − sα/8."""
    n, d, eps, displacement = 2, 3, 1.0, 1e-3
    alpha = d / (n * eps**2)
    sigma = math.sqrt(3 / alpha)
    lam = alpha * sigma / 4 / math.sqrt(n * d)
    Z = np.full((n, d), sigma * (1 + displacement) / math.sqrt(n * d))
    gradient = coding_rate_and_gradient(Z, eps=eps)[1]
    line, grid = np.geomspace(0.2, 30, 100), np.geomspace(0.25, 30, 25)
    unit = alpha / 16 * (displacement * sigma) ** 2
    moved = [prox.nonnegative_soft_threshold(Z + s / alpha * gradient, s / alpha * lam) for s in grid]
    found = [decide.sparse_rate_change(Z, after, eps=eps, lam=lam).midpoint / unit for after in moved]
    longest = alpha * curvature.expansion_step(n, d, eps=eps)
    return Figure(
        title="Steps on λ‖Z‖₁ − R: the published constant, the sharp one, and the limit",
        x_label="step × α",
        y_label="change / (α/16)‖displacement‖²",
        curves=(Curve("(1 − sα/8)² − 1", line, (1 - line / 8) ** 2 - 1),),
        points=(Points("srr", grid, found, certified=True),),
        edges=(("4/9, as published", 4 / 9), ("8, the sharp majoriser", longest), ("16, the limit", 2 * longest)),
        x_log=True,
        caption=f"{n} tokens in dimension {d} with equal entries, a thousandth beside the stationary point at ασ² = 3. "
        "The sharp step reaches the minimum of its majoriser; the published one goes an eighteenth of the way.",
    )


def official_step_at_initialisation() -> Figure:
    """η‖D‖² of square dictionaries as the official code begins with them, at η = 0.1 and at five times as much."""
    sizes, rng, points = (8, 16, 32, 64, 128, 192), np.random.default_rng(0), []
    safe = np.array([prox.lasso_step(rng.uniform(-1, 1, (d, d)) * math.sqrt(6 / d)) for d in sizes])
    for eta in (0.1, 0.5):
        points.append(Points(f"η = {eta}", sizes, eta / safe))
    ends = (sizes[0], sizes[-1])
    return Figure(
        title="The step of the official code, in units of 1/‖D‖², at its initialisation",
        x_label="dimension d",
        y_label="η ‖D‖²",
        curves=(
            Curve("limit 0.8, η = 0.1", ends, (0.8, 0.8)),
            Curve("limit 4, η = 0.5", ends, (4, 4)),
            Curve("1: a proximal gradient step", ends, (1, 1)),
            Curve("2: beyond it the lasso may rise", ends, (2, 2)),
        ),
        points=tuple(points),
        x_log=True,
        caption="One dictionary d × d, uniform of ±√(6/d), for each dimension. By Marchenko and Pastur ‖D‖² tends to "
        "four times the variance of d entries, 8: the official step is safe, five times as much is not.",
    )
