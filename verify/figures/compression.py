"""Figures of the compression half."""

from __future__ import annotations

import math

import numpy as np

from srr import attention, curvature, mixtures, subspace_coding_rate_and_gradient
from verify import decide
from verify.claims._instances import complete_family
from verify.claims._steps import heads, softmax
from verify.figure import Curve, Figure, Points


def exact_step_limit() -> Figure:
    """Tokens whose singular values are all s, in two heads: the exact step multiplies s by 1 − κL_c/(1 + x)."""
    n, K, p, eps = 8, 2, 3, 0.5
    rng = np.random.default_rng(0)
    U = complete_family(rng, K, p)
    frame = np.linalg.qr(rng.standard_normal((n, K * p)))[0]
    beta, safe = p / (n * eps**2), curvature.compression_step(U, n, eps=eps)
    line, grid = np.linspace(0.05, 5, 100), np.linspace(0.25, 5, 20)
    curves, points = [], []
    for x in (0.1, 0.5, 1.0):
        Z = math.sqrt(x / beta) * frame
        moved = [attention.exact_step(Z, U, eps=eps, step=theta * safe) for theta in grid]
        found = [decide.subspace_rate_change(Z, after, U, eps=eps).midpoint for after in moved]
        rate = K * p / 2 * math.log1p(x)
        theory = K * p / 2 * np.log1p(x * (1 - line / (1 + x)) ** 2) - rate
        curves.append(Curve(f"theory, βs² = {x}", line, theory / rate))
        points.append(Points(f"srr, βs² = {x}", grid, np.array(found) / rate, certified=True))
    return Figure(
        title="What the exact step does to Rᶜ, by its size",
        x_label="κ L_c",
        y_label="ΔRᶜ / Rᶜ",
        curves=tuple(curves),
        points=tuple(points),
        edges=(("κ L_c = 2", 2.0),),
        caption=f"{n} tokens in {K} heads of dimension {p} at ε = {eps}. Each curve crosses zero at κL_c = 2(1 + βs²), "
        "where s is multiplied by −1: the smaller the tokens, the closer to the bound 2.",
    )


def neumann_step() -> Figure:
    """Tokens whose singular values are all s, x = βs²: the step multiplies s by 1 − κβ(1 − x)."""
    n, K, p, eps = 8, 2, 3, 0.5
    rng = np.random.default_rng(0)
    U = complete_family(rng, K, p)
    frame = np.linalg.qr(rng.standard_normal((n, K * p)))[0]
    beta = p / (n * eps**2)
    line, grid = np.geomspace(0.02, 5, 100), np.geomspace(0.02, 5, 22)
    curves, points = [], []
    for theta in (0.5, 1.0, 1.5):
        theory = K * p / 2 * (np.log1p(line * (1 - theta * (1 - line)) ** 2) - np.log1p(line))
        found = []
        for x in grid:
            Z = math.sqrt(x / beta) * frame
            after = attention.neumann_step(Z, U, eps=eps, step=theta / beta)
            found.append(decide.subspace_rate_change(Z, after, U, eps=eps).midpoint)
        curves.append(Curve(f"theory, κβ = {theta}", line, theory))
        points.append(Points(f"srr, κβ = {theta}", grid, found, certified=True))
    return Figure(
        title="The Neumann step compresses below λ_max = 1 and expands above",
        x_label="λ_max(β YᵀY)",
        y_label="ΔRᶜ (nats)",
        curves=tuple(curves),
        points=tuple(points),
        edges=(("λ_max = 1", 1.0), ("unit tokens at ε² = 0.01, K = 12: more than 8.3", 100 / 12)),
        x_log=True,
        caption=f"{n} tokens in {K} heads of dimension {p}. Every step turns sign at λ_max = 1, where the "
        "series that the step is the beginning of ceases to converge.",
    )


def softmax_mass() -> Figure:
    """The least and the largest softmax mass of a token on its own class, by the length of the tokens."""
    n, K, p = 24, 3, 2
    mixture = mixtures.sample(n=n, d=K * p, K=K, p=p, noise=0.0, seed=0)
    unit = mixture.Z / np.linalg.norm(mixture.Z, axis=1, keepdims=True)
    same = mixture.labels[:, None] == mixture.labels
    size = n // K
    line, grid = np.geomspace(0.1, 20, 100), np.geomspace(0.1, 20, 22)
    least, most = [], []
    for square in grid:
        S = softmax(heads(math.sqrt(square) * unit, mixture.U))
        own = np.sum(S[mixture.labels, np.arange(n)] * same, axis=1)
        least.append(own.min())
        most.append(own.max())
    others = n - size
    return Figure(
        title="How far the softmax is a membership",
        x_label="‖z‖²",
        y_label="softmax mass on a token's own class",
        curves=(
            Curve("at least e^‖z‖²/(e^‖z‖² + n − n_k)", line, np.exp(line) / (np.exp(line) + others)),
            Curve("at most n_k e^‖z‖²/(n_k e^‖z‖² + n − n_k)", line, size / (size + others * np.exp(-line))),
        ),
        points=(Points("least, srr", grid, least), Points("largest, srr", grid, most)),
        edges=(("‖z‖ = 1, the papers' hypothesis", 1.0), ("‖z‖² = log(9n): mass 0.9", math.log(9 * n))),
        x_log=True,
        caption=f"{n} tokens without noise in {K} orthogonal subspaces of dimension {p}, in the head of their class. A "
        f"uniform mass would be {size / n:.2f}.",
    )


def attention_slope() -> Figure:
    """The change of Rᶜ along ±MSSA, over its slope: 1 as the step tends to zero."""
    n, eps = 16, 0.5
    steps = np.geomspace(1e-4, 1.0, 17)
    mixture = mixtures.sample(n=n, d=6, K=2, p=3, noise=0.1, seed=0)
    Z, U = mixture.Z, mixture.U
    gradient, moved = subspace_coding_rate_and_gradient(Z, U, eps=eps)[1], attention.mssa(Z, U)
    slope, bend = float(np.sum(gradient * moved)), curvature.subspace_rate(U, n, eps=eps) * float(np.sum(moved**2))
    points = []
    for sign, name in ((1, "Z + η MSSA(Z)"), (-1, "Z − η MSSA(Z)")):
        found = [decide.subspace_rate_change(Z, Z + sign * eta * moved, U, eps=eps).midpoint / eta for eta in steps]
        points.append(Points(name, steps, np.array(found) / slope, certified=True))
    longest = 2 * slope / bend
    line = np.geomspace(steps[0], steps[-1], 60)
    return Figure(
        title="The slope of Rᶜ along the attention",
        x_label="η",
        y_label="ΔRᶜ / (η × slope)",
        curves=(
            Curve("+ slope, + η L_c‖M‖²/2 at most", line, 1 + line * bend / 2 / slope),
            Curve("− slope, + η L_c‖M‖²/2 at most", line, -1 + line * bend / 2 / slope),
        ),
        points=tuple(points),
        edges=(("2 slope / L_c‖M‖²", longest),),
        x_log=True,
        caption=f"{n} tokens of a mixture at ε = {eps}; slope = β Σ tr(G_k S_k) = {slope:.4g}. Adding attention raises "
        "Rᶜ at this rate; subtracting it lowers Rᶜ, surely up to the dashed line.",
    )
