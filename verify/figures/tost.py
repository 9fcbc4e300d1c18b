"""Figures of ToST."""

from __future__ import annotations

import math

import numpy as np

import srr
from srr import mixtures, tost
from verify import decide
from verify.claims._instances import complete_family
from verify.figure import Curve, Figure, Points


def step_limit() -> Figure:
    """Classes in orthogonal subspaces, all second moments v: a step multiplies every token by 1 − τα/(1 + cv)."""
    m, K, p, eps = 4, 2, 3, 0.5
    n, d = m * K, K * p
    rng = np.random.default_rng(0)
    U, Pi = complete_family(rng, K, p), np.repeat(np.eye(K), m, axis=0)
    frames = [np.linalg.qr(rng.standard_normal((m, p)))[0] @ basis.T for basis in U]
    c, safe = d / eps**2, tost.descent_step(U, n, eps=eps)
    line, grid = np.linspace(0.05, 5, 100), np.linspace(0.25, 5, 20)
    curves, points = [], []
    for x in (0.1, 0.5, 1.0):
        Z = math.sqrt(x * m / c) * np.concatenate(frames)
        moved = [Z + tost.tssa(Z, Pi, U, eps=eps, step=theta * safe) for theta in grid]
        found = [decide.variational_rate_change(Z, after, Pi, U, eps=eps).midpoint for after in moved]
        theory = np.log1p(x * (1 - line / (1 + x)) ** 2) - math.log1p(x)
        curves.append(Curve(f"theory, cv = {x}", line, theory / math.log1p(x)))
        points.append(Points(f"srr, cv = {x}", grid, np.array(found) / (p / 2 * math.log1p(x)), certified=True))
    return Figure(
        title="What a TSSA step does to the variational rate, by its size",
        x_label="τ α",
        y_label="ΔR^var / R^var",
        curves=tuple(curves),
        points=tuple(points),
        edges=(("τ α = 2", 2.0),),
        caption=f"{m} tokens in each of {K} orthogonal subspaces of dimension {p}, memberships those of the classes, "
        f"ε = {eps}. Each curve crosses zero at τα = 2(1 + cv): for short tokens at the bound 2.",
    )


def distance_from_uniform() -> Figure:
    """Both memberships of tokens from four subspaces, by the number of tokens."""
    K, p = 4, 2
    sizes = (8, 16, 32, 64, 128, 256, 512, 1024)
    official, papers = [], []
    for n in sizes:
        mixture = mixtures.sample(n=n, d=K * p, K=K, p=p, noise=0.1, seed=0)
        for found, Pi in (
            (official, tost.memberships_official(mixture.Z, mixture.U)),
            (papers, tost.memberships(mixture.Z, mixture.U, eta=0.5)),
        ):
            found.append(float(np.sum(np.abs(Pi - 1 / K))) / n)
    ends = np.array(sizes)[[0, -1]]
    return Figure(
        title="The more tokens, the nearer the official memberships to uniform",
        x_label="tokens n",
        y_label="mean of ‖π_j − 1/K‖₁ over tokens",
        curves=(Curve("at most t K p / 2n, official", ends, K * p / 2 / ends),),
        points=(Points("official, t = 1", sizes, official), Points("paper's, η = ½", sizes, papers)),
        x_log=True,
        y_log=True,
        caption=f"A mixture of {K} orthogonal subspaces of dimension {p}, noise 0.1. The most that is possible, all "
        f"mass on one head, would be {2 * (1 - 1 / K)}.",
    )


def bound_by_basis() -> Figure:
    """The variational rate of tokens in the plane, over bases turned against their principal axes."""
    n, eps = 6, 0.5
    c = 2 / eps**2
    rng = np.random.default_rng(0)
    frame = np.linalg.qr(rng.standard_normal((n, 2)))[0] * math.sqrt(n)
    Pi, line, grid = np.ones((n, 1)), np.linspace(0, 1, 60), np.linspace(0, 1, 13)
    curves, points = [], []
    for square in (0.1, 0.6):
        Z = frame * np.sqrt([1.0, square])
        found = []
        for angle in grid * math.pi:
            turn = np.array([[math.cos(angle), -math.sin(angle)], [math.sin(angle), math.cos(angle)]])
            found.append(float(tost.variational_rate(Z, Pi, turn[None], eps=eps)))
        first = np.cos(line * math.pi) ** 2 + square * np.sin(line * math.pi) ** 2
        curves.append(
            Curve(
                f"½ Σ log(1 + cv_i), moments 1, {square}",
                line,
                (np.log1p(c * first) + np.log1p(c * (1 + square - first))) / 2,
            )
        )
        rate = (math.log1p(c) + math.log1p(c * square)) / 2
        curves.append(Curve(f"the rate, moments 1, {square}", (0, 1), (rate, rate)))
        points.append(Points(f"R^var, moments 1, {square}", grid, found))
    return Figure(
        title="In any basis the variational rate is at least the rate",
        x_label="angle of the basis / π",
        y_label="nats",
        curves=(curves[0], curves[2], curves[1], curves[3]),
        points=tuple(points),
        caption=f"{n} tokens of one class in the plane, ε = {eps}, second moments 1 and v. The bound is attained where "
        "the basis is that of the principal axes, and is slack most where they are furthest apart.",
    )


def where_the_bound_fails() -> Figure:
    """A class that leans out of its one-dimensional subspace: the variational rate falls below the rate."""
    n, d, eps = 6, 2, 0.5
    c = d / eps**2
    signs, line, grid = np.tile([1.0, -1.0], n // 2), np.linspace(0, 1, 60), np.linspace(0, 1, 13)
    U, Pi, rates, bounds = np.array([[[1.0], [0.0]]]), np.ones((n, 1)), [], []
    for angle in grid * math.pi / 4:
        Z = np.stack([np.full(n, math.cos(angle)), signs * math.sin(angle)], axis=1)
        rates.append(float(srr.partition_coding_rate(Z, Pi, eps=eps)))
        bounds.append(float(tost.variational_rate(Z, Pi, U, eps=eps)))
    phi = line * math.pi / 4
    inside, outside = np.log1p(c * np.cos(phi) ** 2) / 2, np.log1p(c * np.sin(phi) ** 2) / 2
    return Figure(
        title="Outside the subspaces the variational rate is no bound",
        x_label="φ / (π/4): how far the tokens lean out",
        y_label="nats",
        curves=(
            Curve("rate: ½ log(1 + c cos²φ) + ½ log(1 + c sin²φ)", line, inside + outside),
            Curve("variational rate: ½ log(1 + c cos²φ)", line, inside),
        ),
        points=(Points("R_c", grid, rates), Points("R^var", grid, bounds)),
        caption=f"{n} unit tokens at ±φ from a subspace of dimension one in the plane, c = d/ε² = {c:g}. Within the "
        "subspace both agree; what lies outside is missing from the variational rate.",
    )
