"""Figures of maximal coding rate reduction."""

from __future__ import annotations

import math

import numpy as np

import srr
from srr import mcr2
from verify.figure import Curve, Figure, Points


def what_a_singular_value_adds() -> Figure:
    """One class with one direction, all else zero, so that ΔR is half the shape function."""
    n, d, eps = 12, 3, 1.0
    constant = d / (n * eps**2)
    line, grid = np.geomspace(0.01, 100, 120), np.geomspace(0.01, 100, 21)
    curves, points = [], []
    for share in (1 / 2, 1 / 4, 1 / 12):
        size = round(share * n)
        Pi = np.eye(2)[(np.arange(n) >= size).astype(int)]
        direction = np.zeros((n, d))
        direction[:size, 0] = 1 / math.sqrt(size)
        found = [srr.rate_reduction(math.sqrt(t / constant) * direction, Pi=Pi, eps=eps) for t in grid]
        theory = (np.log1p(line) - share * np.log1p(line / share)) / 2
        curves.append(Curve(f"½ f, γ = {share:.3g}", line, theory))
        points.append(Points(f"ΔR, γ = {share:.3g}", grid, found))
    tangent = mcr2.tangent_point(1 / 4, constant) * constant
    return Figure(
        title="What one squared singular value x of a class adds to ΔR",
        x_label="α x",
        y_label="nats",
        curves=tuple(curves),
        points=tuple(points),
        edges=(("γ = ¼: turns at √γ", 0.5), (f"γ = ¼: worth most at {tangent:.2f}", tangent)),
        x_log=True,
        caption="A class with the share γ of the tokens, along one direction. Convex up to α x = √γ; a line through "
        "zero touches each curve where energy is worth most, and decides the ranks of the optimum.",
    )


def regularised_ends() -> Figure:
    """Gradient ascent on ΔR − λ‖Z‖²/2 along one direction, from a little above the smaller root."""
    n, size, d, eps = 6, 2, 2, 0.5
    constant, share = d / (n * eps**2), size / n
    largest = constant * (1 - math.sqrt(share)) / (1 + math.sqrt(share))

    def roots(lam: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        eta = constant / share - constant - lam * (1 / share + 1)
        width = np.sqrt(eta**2 - 4 * lam**2 / share)
        return tuple((eta + sign * width) * share / (2 * lam * constant) for sign in (-1, 1))

    weights, grid = np.linspace(0.05, 0.9999, 100) * largest, np.linspace(0.1, 0.9, 9) * largest
    smaller, larger = roots(weights)
    Pi = np.eye(2)[(np.arange(n) >= size).astype(int)]
    starts = 1.2 * roots(grid)[0]
    Z = np.zeros((len(grid), n, d))
    Z[:, :size, 0] = np.sqrt(starts / size)[:, None]
    for _ in range(300):
        Z = Z + (srr.rate_reduction_and_gradient(Z, Pi=Pi, eps=eps)[1] - grid[:, None, None] * Z) / (0.7 * constant)
    return Figure(
        title="Where regularised rate reduction is stationary, and where ascent ends",
        x_label="λ over its bound",
        y_label="α x",
        curves=(
            Curve("larger root, a maximum", weights / largest, constant * larger),
            Curve("smaller root, a minimum", weights / largest, constant * smaller),
        ),
        points=(
            Points("end of the ascent", grid / largest, constant * np.sum(Z**2, axis=(1, 2))),
            Points("start, 1.2 × the smaller root", grid / largest, constant * starts),
        ),
        y_log=True,
        caption=f"One direction of a class with a third of {n} tokens, ε = {eps}. At the bound α(1 − √γ)/(1 + √γ) the "
        "roots meet, and beyond it there are none.",
    )


def value_by_rank() -> Figure:
    """Two orthogonal classes of one rank with equal singular values, over the rank, at three precisions."""
    m, d, most = 20, 10, 5
    rng = np.random.default_rng(0)
    Pi = np.repeat(np.eye(2), m, axis=0)
    ranks, line = np.arange(1, most + 1), np.linspace(1, most, 40)
    frames = [np.linalg.qr(rng.standard_normal((m, most)))[0] for _ in range(2)]
    curves, points, on_sphere = [], [], ([], [])
    for square in (0.4, 1.3, 4.0):
        alpha, eps, found, spread = d / (2 * m * square), math.sqrt(square), [], []
        for r in ranks:
            Z = np.zeros((2 * m, d))
            for k, frame in enumerate(frames):
                Z[k * m : (k + 1) * m, k * most : k * most + r] = math.sqrt(m / r) * frame[:, :r]
            found.append(float(srr.rate_reduction(Z, Pi=Pi, eps=eps)))
            if m % r == 0:
                axes = np.tile(np.eye(most)[:r], (m // r, 1))
                Z = np.block([[axes, 0 * axes], [0 * axes, axes]])
                on_sphere[0].append(r)
                spread.append(float(srr.rate_reduction(Z, Pi=Pi, eps=eps)))
        x = alpha * m / line
        theory = line * (np.log1p(x) - np.log1p(2 * x) / 2)
        curves.append(Curve(f"r f(n_k/r), ε² = {square:g}", line, theory / theory.max()))
        points.append(Points(f"ΔR, ε² = {square:g}", ranks, np.array(found) / theory.max()))
        on_sphere[1].extend(np.array(spread) / theory.max())
    return Figure(
        title="The rank at which the rate reduction is largest",
        x_label="rank r of each class, d_k = 5",
        y_label="ΔR / the largest",
        curves=tuple(curves),
        points=(*points, Points("unit tokens on r axes", *on_sphere)),
        caption=f"Two classes of {m} tokens in dimension {d}. The published theorem promises full rank "
        "where ε⁴ < 2, so at the first two precisions; at the second rank 3 is best. Unit tokens lose nothing.",
    )


def split_of_energy() -> Figure:
    """A class with two singular values, over how they share its energy; all other tokens are zero."""
    n, size, d, eps = 12, 4, 3, 1.0
    share, alpha = size / n, d / (n * eps**2)
    Pi, frame = np.eye(2)[(np.arange(n) >= size).astype(int)], np.eye(size)[:, :2]
    line, grid = np.linspace(0, 1, 60), np.linspace(0, 1, 13)
    curves, points = [], []

    def half_shape(x: np.ndarray) -> np.ndarray:
        return (np.log1p(x) - share * np.log1p(x / share)) / 2

    for energy in (0.5, 2.0, 8.0):
        found = []
        for part in grid:
            Z = np.zeros((n, d))
            Z[:size, :2] = frame * np.sqrt(energy / alpha * np.array([part, 1 - part]))
            found.append(float(srr.rate_reduction(Z, Pi=Pi, eps=eps)))
        curves.append(
            Curve(f"½f(a) + ½f(b), αE = {energy:g}", line, half_shape(energy * line) + half_shape(energy * (1 - line)))
        )
        points.append(Points(f"ΔR, αE = {energy:g}", grid, found))
    return Figure(
        title="Equal singular values or one alone: never one that is smaller",
        x_label="share of the energy on one of two directions",
        y_label="ΔR (nats)",
        curves=tuple(curves),
        points=tuple(points),
        caption="A class with a third of the tokens and energy E. Little energy is worth most on one direction, much "
        "of it on both alike; what is stationary between them is a minimum.",
    )


def reduction_by_scale() -> Figure:
    """Classes that differ in their spans, and classes that fill the same one, from short tokens to long."""
    m, eps = 3, 1.0
    rng = np.random.default_rng(0)
    Pi, alpha = np.repeat(np.eye(2), m, axis=0), 2 / (2 * m * eps**2)
    lines = Pi
    planes = rng.standard_normal((2 * m, 2)) * np.repeat([[1.0, 0.2], [0.2, 1.0]], m, axis=0)
    line, grid = np.geomspace(0.03, 300, 80), np.geomspace(0.03, 300, 14)
    x = alpha * m * line**2
    far = line > 1
    moments = [planes[:m].T @ planes[:m], planes[m:].T @ planes[m:]]
    sizes = [np.linalg.slogdet(moment / m)[1] for moment in moments]
    limit = (np.linalg.slogdet(sum(moments) / (2 * m))[1] - sum(sizes) / 2) / 2
    return Figure(
        title="Without a constraint the rate reduction grows with the scale, by ranks",
        x_label="scale s",
        y_label="ΔR(sZ|Π) (nats)",
        curves=(
            Curve("two lines: log(1 + x) − ½ log(1 + 2x)", line, np.log1p(x) - np.log1p(2 * x) / 2),
            Curve("one plane: a finite limit", line[[0, -1]], (limit, limit)),
            Curve("(2 − 1) log s + constant", line[far], np.log(line[far]) + math.log(alpha * m / 2) / 2),
        ),
        points=tuple(
            Points(name, grid, [float(srr.rate_reduction(s * Z, Pi=Pi, eps=eps)) for s in grid])
            for name, Z in (("classes on two lines", lines), ("both classes in one plane", planes))
        ),
        x_log=True,
        caption="Two classes of three tokens, ε = 1, x = αn_k s². It never falls; its slope against log s tends to "
        "rank Z − Σ γ_k rank Z_k, which is one for the lines and zero where every class fills the span.",
    )


def at_low_precision() -> Figure:
    """The rate reduction over its expansion at large ε."""
    m, d = 4, 3
    rng = np.random.default_rng(0)
    Pi, grid, line = np.repeat(np.eye(2), m, axis=0), np.geomspace(0.3, 100, 12), np.geomspace(0.3, 100, 60)
    lines = np.repeat(np.eye(d)[:2], m, axis=0)
    points = []
    for name, Z in (("orthogonal lines", lines), ("Gaussian tokens", rng.standard_normal((2 * m, d)))):
        S = [Z[:m].T @ Z[:m] / m, Z[m:].T @ Z[m:] / m]
        apart = sum(np.sum((moment - sum(S) / 2) ** 2) for moment in S) / 8
        found = [float(srr.rate_reduction(Z, Pi=Pi, eps=math.sqrt(e))) * e**2 / d**2 / apart for e in grid]
        points.append(Points(name, grid, found))
    x = d / (2 * line)
    exact = (np.log1p(x) - np.log1p(2 * x) / 2) * 2 / x**2
    return Figure(
        title="At low precision the rate reduction is the distance of second moments",
        x_label="ε²",
        y_label="ε⁴ΔR / (d²/4) Σ γ_k‖S_k − S̄‖²",
        curves=(
            Curve("1, the limit", line[[0, -1]], (1, 1)),
            Curve("orthogonal lines, in closed form", line, exact),
        ),
        points=tuple(reversed(points)),
        x_log=True,
        caption=f"Two classes of {m} tokens in dimension {d}, S_k their second moments and S̄ the mean of these. The "
        "shorter the tokens beside ε, the nearer the ratio to 1; for orthogonal lines it is known throughout.",
    )


def between_two_labellings() -> Figure:
    """One of two orthogonal tokens moved from its own class into that of the other, softly."""
    line, grid = np.linspace(0, 1, 60), np.linspace(0, 1, 13)
    Z, curves, points = np.eye(2), [], []
    for eps in (0.3, 1.0):
        c = 2 / eps**2
        found = [float(srr.partition_coding_rate(Z, np.array([[1, 0], [t, 1 - t]]), eps=eps)) for t in grid]
        joint = (1 + line) * (np.log1p(c / (1 + line)) + np.log1p(c * line / (1 + line))) / 4
        theory = joint + (1 - line) * math.log1p(c) / 4
        curves.append(Curve(f"in closed form, ε = {eps}", line, theory))
        curves.append(Curve(f"the chord, ε = {eps}", (0, 1), theory[[0, -1]]))
        points.append(Points(f"Rᶜ(Z|Π), ε = {eps}", grid, found))
    return Figure(
        title="The rate of a partition is concave in the memberships",
        x_label="membership t of one token in the class of the other",
        y_label="Rᶜ (nats)",
        curves=(curves[0], curves[2], curves[1], curves[3]),
        points=tuple(points),
        caption="Two orthogonal unit tokens. Every mixture of two labellings has a rate above the chord, so that the "
        "least rate, and the largest rate reduction, is that of hard labels.",
    )
