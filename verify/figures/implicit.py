"""Figures of the implicit steps."""

from __future__ import annotations

import math

import numpy as np

import srr
from srr import SparseRateReduction, attention, curvature, implicit, mixtures
from srr.layers import descent, implicit_descent
from verify import decide
from verify.claims._instances import complete_family
from verify.figure import Curve, Figure, Points


def singular_values() -> Figure:
    """The roots of the cubic, s as a function of t, and what the step makes of singular values."""
    n, eps = 40, 0.5
    grid, line = np.geomspace(0.1, 30, 24), np.geomspace(0.001, 30, 400)
    beta = 1 / (n * eps**2)
    U, curves, points = np.eye(1)[None], [], []
    Z = np.ones((n, 1)) / math.sqrt(n)  # one head of dimension one: s is its length
    for c in (2.0, 8.0, 32.0):
        s = line * (1 + c + line**2) / (1 + line**2)
        seen = (s >= 0.1) & (s <= 30)
        curves.append(Curve(f"roots, κβ = {c:g}", s[seen], line[seen]))
        moved = [implicit.implicit_step(x / math.sqrt(beta) * Z, U, eps=eps, step=c / beta) for x in grid]
        found = [math.sqrt(beta) * float(np.linalg.norm(after)) for after in moved]
        points.append(Points(f"srr, κβ = {c:g}", grid, found))
    return Figure(
        title="What the implicit step makes of a singular value",
        x_label="√β s",
        y_label="√β t(s)",
        curves=tuple(curves),
        points=tuple(points),
        x_log=True,
        y_log=True,
        caption="Roots t of βt³ − βst² + (1 + κβ)t − s = 0. Up to κβ = 8 there is one for every s; beyond, there may "
        "be three, and the step jumps from the smallest to the largest where both give the least value.",
    )


def steps_of_every_size() -> Figure:
    """The change of Rᶜ of tokens of equal singular values, by the size of the step, explicit and implicit."""
    n, K, p, eps, x = 8, 2, 3, 0.5, 10.0
    rng = np.random.default_rng(0)
    U, frame = complete_family(rng, K, p), np.linalg.qr(rng.standard_normal((n, K * p)))[0]
    beta, unit = p / (n * eps**2), curvature.compression_step(U, n, eps=eps)
    Z, whole = math.sqrt(x / beta) * frame, math.log1p(x)
    line, grid = np.geomspace(0.1, 1000, 160), np.geomspace(0.1, 1000, 17)

    def share(ratio: np.ndarray) -> np.ndarray:
        return np.log1p(x * ratio**2) / whole - 1

    def proximal(c: float) -> float:
        roots = np.roots([x, -x, 1 + c, -1])
        real = roots[np.abs(roots.imag) < 1e-9].real
        return float(min(real, key=lambda r: math.log1p(x * r * r) / 2 + x * (1 - r) ** 2 / (2 * c)))

    steps = {
        "explicit": (attention.exact_step, np.array([1 - c / (1 + x) for c in line])),
        "implicit": (implicit.implicit_step, np.array([proximal(c) for c in line])),
        "semi-implicit": (implicit.semi_implicit_step, np.array([1 / (1 + c / (1 + x)) for c in line])),
    }
    curves, points = [], []
    for name, (step, ratio) in steps.items():
        moved = [step(Z, U, eps=eps, step=t * unit) for t in grid]
        found = [decide.subspace_rate_change(Z, after, U, eps=eps).midpoint for after in moved]
        seen = share(ratio) < 0.5
        curves.append(Curve(f"theory, {name}", line[seen], share(ratio)[seen]))
        found = np.array(found) / (K * p / 2 * whole)
        points.append(Points(f"srr, {name}", grid[found < 0.5], found[found < 0.5], certified=True))
    return Figure(
        title="Explicit steps compress up to a size, implicit ones at any",
        x_label="κ L_c",
        y_label="ΔRᶜ / Rᶜ",
        curves=tuple(curves),
        points=tuple(points),
        edges=(("κ L_c = 2", 2.0), ("2(1 + βs²), where the explicit step turns", 2 * (1 + x))),
        x_log=True,
        caption=f"{n} tokens of equal singular values, βs² = {x:g}, in {K} orthogonal heads of dimension {p}. "
        "κL_c = 2 is what the explicit step is safe to for all tokens.",
    )


def guarantees() -> Figure:
    """What the implicit steps take off, in units of ‖ΔZ‖²/κ, of tokens of equal singular values."""
    n, K, p, eps = 8, 2, 3, 0.5
    rng = np.random.default_rng(0)
    U, frame = complete_family(rng, K, p), np.linalg.qr(rng.standard_normal((n, K * p)))[0]
    beta, unit = p / (n * eps**2), curvature.compression_step(U, n, eps=eps)
    grid, points = np.geomspace(0.01, 1000, 14), []
    for name, step in (("implicit", implicit.implicit_step), ("semi-implicit", implicit.semi_implicit_step)):
        for x in (0.1, 10.0):
            Z, found = math.sqrt(x / beta) * frame, []
            for t in grid:
                after = step(Z, U, eps=eps, step=t * unit)
                fall = -decide.subspace_rate_change(Z, after, U, eps=eps).midpoint
                found.append(fall * t * unit / float(np.sum((after - Z) ** 2)))
            points.append(Points(f"{name}, βs² = {x:g}", grid, found, certified=True))
    ends = grid[[0, -1]]
    return Figure(
        title="What implicit steps of every size are sure to take off",
        x_label="κ L_c",
        y_label="fall of Rᶜ × κ / ‖ΔZ‖²",
        curves=(
            Curve("½, the guarantee of the implicit step", ends, (0.5, 0.5)),
            Curve("1, that of the semi-implicit step", ends, (1, 1)),
        ),
        points=tuple(points),
        x_log=True,
        y_log=True,
        caption=f"{n} tokens of equal singular values in {K} orthogonal heads of dimension {p}. Both steps keep more "
        "than they promise, over five decades of step sizes.",
    )


def shrinking() -> Figure:
    """What an implicit and an explicit step of one size leave of a singular value, below and above κβ = 2."""
    n, eps = 40, 0.5
    beta, U, Z = 1 / (n * eps**2), np.eye(1)[None], np.ones((n, 1)) / math.sqrt(n)
    line, grid = np.geomspace(0.05, 30, 80), np.geomspace(0.05, 30, 14)
    curves, points, edges = [], [], []
    for c in (0.5, 2.0):
        curves.append(Curve(f"explicit: 1 − κβ/(1 + βs²), κβ = {c:g}", line, 1 - c / (1 + line**2)))
        found = [
            float(np.linalg.norm(implicit.implicit_step(s / math.sqrt(beta) * Z, U, eps=eps, step=c / beta)))
            * math.sqrt(beta)
            / s
            for s in grid
        ]
        points.append(Points(f"implicit, srr, κβ = {c:g}", grid, found))
        edges.append((f"βs² = ½(κβ + √(κ²β² + 4)), κβ = {c:g}", math.sqrt((c + math.sqrt(c * c + 4)) / 2)))
    return Figure(
        title="Where the implicit step shrinks more than the explicit one",
        x_label="√β s",
        y_label="after / before",
        curves=tuple(curves),
        points=tuple(points),
        edges=tuple(edges),
        x_log=True,
        caption="One head of dimension one. Below the edge of its κβ the explicit step shrinks more, to the other side "
        "of zero if κβ > 1 + βs²; above it the implicit one does.",
    )


def curvature_seen_from_tokens() -> Figure:
    """The steepest quadratic that −R needs above it, seen from one token: over all its other lengths, and bounded."""
    eps = 1.0
    line, grid = np.geomspace(0.01, 100, 80), np.geomspace(0.01, 100, 15)
    far_off = np.geomspace(1e-2, 1e4, 300)
    ends, bounds = np.concatenate([-far_off[::-1], far_off]), []
    tokens = ends[:, None, None]
    rates = np.asarray(srr.coding_rate(tokens, eps=eps))
    worst = []
    for u in grid:
        s = math.sqrt(u)
        rate, gradient = srr.coding_rate_and_gradient(np.array([[s]]), eps=eps)
        h = ends - s
        far = np.abs(h) > 1e-2
        worst.append(float(np.max(2 * (float(rate) - rates + float(gradient[0, 0]) * h)[far] / h[far] ** 2)))
        bounds.append(float(curvature.expansion_at(np.array([[s]]), eps=eps)))
    return Figure(
        title="How much −R is curved upwards, as seen from a token",
        x_label="u = αs²",
        y_label="curvature / α",
        curves=(
            Curve("min(1/8, u, log(1 + u)/u)", line, np.minimum(1 / 8, np.minimum(line, np.log1p(line) / line))),
            Curve("1/8, for all tokens", line[[0, -1]], (1 / 8, 1 / 8)),
        ),
        points=(Points("expansion_at", grid, bounds), Points("what is needed", grid, worst)),
        x_log=True,
        y_log=True,
        caption="One token of dimension one; what is needed is the largest of 2(R(Z) + ⟨∇R(Z), H⟩ − R(Z + H))/‖H‖² "
        "over displacements H. From long tokens, and from short ones, −R looks flatter than its bound 1/8.",
    )


def layers_by_precision() -> Figure:
    """What one implicit descent layer and one of `layers.descent` take off the loss, from coarse to fine precision."""
    mixture = mixtures.sample(n=32, d=8, K=2, p=4, noise=0.3, seed=0)
    grid, lam = np.geomspace(1e-3, 3, 11), 0.1
    falls: dict[str, list[float]] = {"implicit descent": [], "descent": []}
    for eps in grid:
        objective = SparseRateReduction(mixture.U, eps, lam)
        for name, build in (("implicit descent", implicit_descent), ("descent", descent)):
            after = build(mixture.U, eps=eps, lam=lam)(mixture.Z)
            falls[name].append(-decide.loss_change(objective, mixture.Z, after).midpoint)
    Z, Y, fine = mixture.Z, mixture.Z @ mixture.U, np.array([1e-3, 0.1])
    (n, d), p = Z.shape, mixture.U.shape[2]
    limit = np.sum(Y @ np.linalg.inv(Y.swapaxes(1, 2) @ Y) @ mixture.U.swapaxes(1, 2), axis=0)
    limit += lam * np.sign(Z) - Z @ np.linalg.inv(Z.T @ Z)
    slope = float(np.sum(limit**2)) * n / (p + d / 8)
    return Figure(
        title="What one layer takes off the loss, by the precision",
        x_label="ε",
        y_label="fall of the loss (nats)",
        curves=(Curve("s‖∇L‖², s = nε²/(p + d/8), small ε", fine, slope * fine**2),),
        points=tuple(Points(name, grid, found, certified=True) for name, found in falls.items()),
        edges=(("ε = 1/300", 1 / 300),),
        x_log=True,
        y_log=True,
        caption=f"{n} tokens of a mixture of two subspaces, λ = {lam}. The explicit step is of the order of ε², and so "
        "is what it takes off; the implicit layer's depends on the size of the tokens.",
    )
