"""Figures of ReduNet."""

from __future__ import annotations

import math

import numpy as np

import srr
from srr.layers import redunet
from srr.redunet import construct, on_sphere, operators
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


def eigenvalues_of_the_operators() -> Figure:
    """Eigenvalues of E and of C_k over those of the second moments that they invert."""
    n, size, d, eps = 12, 4, 8, 1.0
    alpha, share = d / (n * eps**2), size / n
    rng = np.random.default_rng(0)
    Pi = np.eye(2)[(np.arange(n) >= size).astype(int)]
    frame = np.linalg.qr(rng.standard_normal((size, size)))[0]
    wanted, line = np.geomspace(0.01, 100, size), np.geomspace(0.01, 300, 60)
    found: dict[str, list[float]] = {"E / α": [], "C_k / α_k": []}
    x = []
    for shift in (1.0, 3.0):
        Z = np.zeros((n, d))
        Z[:size, :size] = frame * np.sqrt(wanted * shift / alpha)
        E, C, _ = operators(Z, Pi, eps=eps)
        x += list(wanted * shift)
        found["E / α"] += list(np.diag(E)[:size] / alpha)
        found["C_k / α_k"] += list(np.diag(C[0])[:size] * share / alpha)
    return Figure(
        title="The eigenvalues of ReduNet's operators lie between zero and α, and zero and α_k",
        x_label="x = α × eigenvalue of ZZᵀ",
        y_label="eigenvalue / its bound",
        curves=(
            Curve("1/(1 + x)", line, 1 / (1 + line)),
            Curve("1/(1 + x/γ_k)", line, 1 / (1 + line / share)),
            Curve("1, the bound", line[[0, -1]], (1, 1)),
        ),
        points=tuple(Points(name, x, values) for name, values in found.items()),
        x_log=True,
        caption=f"{n} tokens in dimension {d}, of which those of one class, γ_k = 1/3, have {size} directions. "
        "Directions in which tokens are long compared with the precision are left out by both operators.",
    )


def gradients_point_outwards() -> Figure:
    """Classes on orthogonal lines: the sum of the radial parts of their gradients, by the precision."""
    m, line, grid = 3, np.geomspace(0.01, 100, 60), np.geomspace(0.01, 100, 13)
    curves, points = [], []
    for K in (2, 3, 5):
        Z, found = np.repeat(np.eye(K), m, axis=0), []
        for x in grid:
            eps = math.sqrt(1 / x)  # x = αm, α = K/(Km ε²)
            g = srr.rate_reduction_and_gradient(Z, Pi=Z, eps=eps)[1]
            found.append(float(np.sum(g * Z)))
        curves.append(Curve(f"Σγ_k tr M_k − tr M, K = {K}", line, K - 1 + 1 / (1 + K * line) - K / (1 + line)))
        points.append(Points(f"Σ ρ_i, K = {K}", grid, found))
    return Figure(
        title="On the whole the gradient of the rate reduction points outwards",
        x_label="x = αn_k",
        y_label="Σ ⟨z_i, g_i⟩",
        curves=tuple(curves),
        points=tuple(points),
        x_log=True,
        caption=f"K classes of {m} unit tokens, each on a line of its own, at right angles. The harmonic mean of the "
        "M_k is at most their mean: the sum is never negative, and so a step without labels contracts.",
    )
