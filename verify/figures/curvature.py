"""Figures of the curvature of the rates."""

from __future__ import annotations

import numpy as np

import srr
from verify import decide, derivatives
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


def overlapping_subspaces() -> Figure:
    """Two lines at an angle: the curvature of Rᶜ at zero along the middle between them, and its lower end."""
    n, eps = 2, 1.0
    beta = 1 / (n * eps**2)
    line, grid = np.linspace(0, 1, 50), np.linspace(0, 1, 9)
    top, bottom = [], []
    for angle in grid * np.pi / 2:
        U = np.array([[[1.0], [0.0]], [[np.cos(angle)], [np.sin(angle)]]])
        middle = np.array([np.cos(angle / 2), np.sin(angle / 2)])
        H = np.stack([middle, np.zeros(2)])
        top.append(float(derivatives.subspace_rate_along(np.zeros((n, 2)), H, U, eps=eps).second) / beta)
        Z = np.array([[np.sqrt(3 / beta), 0.0], [0.0, 0.0]])
        along = np.array([[1.0, 0.0], [0.0, 0.0]])
        bottom.append(float(derivatives.subspace_rate_along(Z, along, U, eps=eps).second) / beta)
    phi = line * np.pi / 2
    x = 3 * np.cos(phi) ** 2
    return Figure(
        title="How overlapping subspaces add to the curvature of Rᶜ",
        x_label="angle between two lines / (π/2)",
        y_label="second derivative of Rᶜ / β",
        curves=(
            Curve("L_c/β = 1 + cos φ", line, 1 + np.cos(phi)),
            Curve(
                "−1/8 + cos² φ (1 − x)/(1 + x)², x = 3cos² φ", line, -1 / 8 + np.cos(phi) ** 2 * (1 - x) / (1 + x) ** 2
            ),
            Curve("−L_c/8β", line, -(1 + np.cos(phi)) / 8),
        ),
        points=(
            Points("at Z = 0, along the middle", grid, top, certified=True),
            Points("at βs² = 3 on one line, along it", grid, bottom, certified=True),
        ),
        caption="Exact second derivatives for two heads of dimension one. The upper end L_c is attained at every "
        "angle; the lower, −L_c/8, where the lines coincide and where they are orthogonal.",
    )


def rate_reduction_along_a_class() -> Figure:
    """Second derivatives of ΔR along the tokens of the only class that is not zero, exact."""
    n, eps, d = 50, 1.0, 1
    alpha = d / (n * eps**2)
    line, grid = np.geomspace(0.003, 100, 90), np.geomspace(0.003, 100, 19)
    curves, points = [], []
    for size in (25, 5, 1):
        share = size / n
        Pi = np.eye(2)[(np.arange(n) >= size).astype(int)]
        along = Pi[:, :1] / np.sqrt(size)
        found = []
        for x in grid:
            Z = np.sqrt(x / alpha) * along
            whole = derivatives.rate_along(Z, along, eps=eps).second
            found.append(float(whole - derivatives.partition_rate_along(Z, along, Pi, eps=eps).second) / alpha)
        theory = (1 - line) / (1 + line) ** 2 - (1 - line / share) / (1 + line / share) ** 2
        curves.append(Curve(f"theory, γ = {share:g}", line, theory))
        points.append(Points(f"γ = {share:g}", grid, found, certified=True))
    ends = line[[0, -1]]
    return Figure(
        title="How the labelled rate reduction is curved along a class",
        x_label="αs²",
        y_label="second derivative of ΔR / α",
        curves=(
            *curves,
            Curve("9/8, the proved bound", ends, (9 / 8, 9 / 8)),
            Curve("−1, conjectured", ends, (-1, -1)),
        ),
        points=tuple(points),
        x_log=True,
        caption=f"Exact second derivatives at {n} tokens, of which the share γ, a class, lies along one direction and "
        "the others are zero. The less γ, the higher the curve: its maximum tends to 9/8. None comes near −1.",
    )


def steps_along_the_rate() -> Figure:
    """Tokens of equal singular values: gradient steps up the rate, and down the rate of their only class."""
    n, d, eps, x = 6, 3, 0.5, 0.3
    alpha = d / (n * eps**2)
    frame = np.linalg.qr(np.random.default_rng(0).standard_normal((n, d)))[0]
    Z, Pi = np.sqrt(x / alpha) * frame, np.ones((n, 1))
    line, grid = np.linspace(0.02, 5, 60), np.linspace(0.25, 5, 20)
    up, down = srr.coding_rate_and_gradient(Z, eps=eps)[1], srr.partition_coding_rate_and_gradient(Z, Pi, eps=eps)[1]
    whole = d / 2 * np.log1p(x)
    raised = [decide.rate_change(Z, Z + t / alpha * up, eps=eps).midpoint / whole for t in grid]
    lowered = [decide.partition_rate_change(Z, Z - t / alpha * down, Pi, eps=eps).midpoint / whole for t in grid]
    return Figure(
        title="Ascent on R never overshoots, descent on Rᶜ(Z|Π) does beyond 2/α",
        x_label="step × α",
        y_label="change / rate before",
        curves=(
            Curve("ascent, in closed form", line, np.log1p(x * (1 + line / (1 + x)) ** 2) / np.log1p(x) - 1),
            Curve("descent, in closed form", line, np.log1p(x * (1 - line / (1 + x)) ** 2) / np.log1p(x) - 1),
        ),
        points=(
            Points("R(Z + η∇R)", grid, raised, certified=True),
            Points("Rᶜ(Z − κ∇Rᶜ)", grid, lowered, certified=True),
        ),
        edges=(("2/α, safe for all tokens", 2.0), ("2(1 + αs²)/α, safe for these", 2 * (1 + x))),
        caption=f"{n} tokens of equal singular values, αs² = {x}, all in one class: a step multiplies them by "
        "1 ± (step × α)/(1 + αs²). The shorter the tokens, the nearer to 2/α descent turns into ascent.",
    )


def majorisers() -> Figure:
    """−R along the tokens, from the point where it is curved most, under two parabolas."""
    n, d, eps = 2, 2, 1.0
    alpha = d / (n * eps**2)
    one = np.zeros((n, d))
    one[0, 0] = 1.0
    line, grid = np.linspace(-2.5, 2.5, 60), np.linspace(-2.5, 2.5, 21)
    start = np.sqrt(3)
    found = [-float(srr.coding_rate((start + h) / np.sqrt(alpha) * one, eps=eps)) for h in grid]
    tangent = -np.log(4) / 2 - start / 4 * line
    near = np.abs(line) < 1.1
    return Figure(
        title="−R under its two majorisers",
        x_label="√α × displacement along the token",
        y_label="−R (nats)",
        curves=(
            Curve("−½ log(1 + αs²)", line, -np.log1p((start + line) ** 2) / 2),
            Curve("with α/16, sharp", line, tangent + line**2 / 16),
            Curve("with 9α/8, the papers'", line[near], (tangent + 9 / 8 * line**2)[near]),
        ),
        points=(Points("srr", grid, found),),
        caption="One token, starting at αs² = 3. The flatter parabola stays above −R as well, and touches it to third "
        "order: no smaller constant would.",
    )


def gradient_of_a_sample() -> Figure:
    """The gradient of the labelled rate reduction at tokens of one class along a direction of its own."""
    n, d, eps = 20, 2, 0.5
    alpha = d / (n * eps**2)
    line, grid = np.geomspace(0.003, 30, 70), np.geomspace(0.003, 30, 17)
    curves, points = [], []
    for size in (10, 5, 1):
        share = size / n
        Pi = np.eye(2)[(np.arange(n) >= size).astype(int)]
        along = np.outer(Pi[:, 0] / np.sqrt(size), [1.0, 0.0])
        found = []
        for x in grid:
            Z = np.sqrt(x / alpha) * along
            g = srr.rate_reduction_and_gradient(Z, Pi=Pi, eps=eps)[1]
            found.append(float(np.linalg.norm(g[0]) / np.linalg.norm(Z[0])) / alpha)
        curves.append(Curve(f"1/(1 + x) − 1/(1 + x/γ), γ = {share:g}", line, 1 / (1 + line) - 1 / (1 + line / share)))
        points.append(Points(f"srr, γ = {share:g}", grid, found))
    return Figure(
        title="The gradient of ΔR at a token, over the token",
        x_label="x = αs²",
        y_label="‖g_i‖ / α‖z_i‖",
        curves=(*curves, Curve("1, the bound", line[[0, -1]], (1, 1))),
        points=tuple(points),
        x_log=True,
        caption=f"{n} tokens; a class with the share γ of them along one direction, the others zero. The least class "
        "comes nearest to the bound: at most (1 − √γ)/(1 + √γ).",
    )
