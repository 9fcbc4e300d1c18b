"""Figures of the compression half."""

from __future__ import annotations

import math

import numpy as np

from srr import aot, attention, cbsa, curvature, mixtures, tost
from verify import decide
from verify.claims._instances import complete_family
from verify.claims._steps import heads, softmax
from verify.figure import Curve, Figure, Points
from verify.multiplications import multiplications


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
        S = aot.attention_weights(math.sqrt(square) * unit, mixture.U)
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
    moved, points = attention.mssa(Z, U), []
    beta, Y = 3 / (n * eps**2), heads(Z, U)
    S = softmax(Y)
    G = Y @ np.linalg.inv(np.eye(3) + beta * Y.swapaxes(1, 2) @ Y) @ Y.swapaxes(1, 2)
    slope, bend = beta * float(np.sum(G * S)), beta * float(np.sum((S @ Y) ** 2))
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


def neumann_remainder() -> Figure:
    """Tokens of equal singular values, x = βs²: the distance of the Neumann gradient from the exact one."""
    n, K, p, eps = 8, 2, 3, 0.5
    rng = np.random.default_rng(0)
    U = complete_family(rng, K, p)
    frame = np.linalg.qr(rng.standard_normal((n, K * p)))[0]
    beta = p / (n * eps**2)
    line, grid = np.geomspace(0.01, 10, 40), np.geomspace(0.01, 10, 14)
    found = []
    for x in grid:
        Z = math.sqrt(x / beta) * frame
        exact, first = (step(Z, U, eps=eps, step=1 / beta) for step in (attention.exact_step, attention.neumann_step))
        found.append(float(np.linalg.norm(first - exact) / np.linalg.norm(Z - exact)))
    return Figure(
        title="What the Neumann series leaves out, by the number of its terms",
        x_label="x = λ_max(β YᵀY)",
        y_label="error / exact gradient",
        curves=tuple(Curve(f"x^{m}: {m} terms", line, line**m) for m in (1, 2, 3, 6)),
        points=(Points("neumann_step, two terms", grid, found),),
        edges=(("x = 1", 1.0),),
        x_log=True,
        y_log=True,
        caption="(I + X)⁻¹ less m terms of its series is X^m (I + X)⁻¹ in size: more terms help below x = 1, and harm "
        f"beyond. {n} tokens of equal singular values in {K} orthogonal heads of dimension {p}.",
    )


def log_det_between_its_terms() -> Figure:
    """R^c of a head with one direction, between the first terms of its expansion."""
    n, eps = 4, 1.0
    beta, U, Z = 1 / (n * eps**2), np.eye(1)[None], np.full((4, 1), 0.5)
    line, grid = np.linspace(0, 2, 50), np.linspace(0.1, 2, 12)
    found = [2 * decide.subspace_rate_change(0 * Z, math.sqrt(x / beta) * Z, U, eps=eps).midpoint for x in grid]
    return Figure(
        title="log det(I + X) between the first terms of its expansion",
        x_label="x, the eigenvalue of X",
        y_label="2Rᶜ (nats)",
        curves=(
            Curve("log(1 + x)", line, np.log1p(line)),
            Curve("x", line, line),
            Curve("x − x²/2", line, line - line**2 / 2),
            Curve("x − x²/2 + x³/3", line, line - line**2 / 2 + line**3 / 3),
        ),
        points=(Points("srr", grid, found, certified=True),),
        caption="One head of dimension one. The term of second order alone, −x²/2, falls as x grows: whoever descends "
        "it lengthens the tokens.",
    )


def second_order_term() -> Figure:
    """Z + η Σ U_k Y_kY_kᵀY_k, which descends the second-order term, on tokens of equal singular values."""
    n, K, p, eps = 8, 2, 3, 0.5
    rng = np.random.default_rng(0)
    U = complete_family(rng, K, p)
    frame = np.linalg.qr(rng.standard_normal((n, K * p)))[0]
    beta = p / (n * eps**2)
    line, grid = np.linspace(0, 2, 50), np.linspace(0.1, 2, 11)
    curves, points = [], []
    for x in (0.1, 1.0, 10.0):
        Z = math.sqrt(x / beta) * frame
        Y = heads(Z, U)
        up = np.sum(Y @ Y.swapaxes(1, 2) @ Y @ U.swapaxes(1, 2), axis=0)
        found = [decide.subspace_rate_change(Z, Z + t * beta * up, U, eps=eps).midpoint for t in grid]
        theory = np.log1p(x * (1 + line * x) ** 2) / math.log1p(x) - 1
        curves.append(Curve(f"theory, βs² = {x:g}", line, theory))
        points.append(Points(f"srr, βs² = {x:g}", grid, np.array(found) * 2 / (K * p * math.log1p(x)), certified=True))
    return Figure(
        title="Descending the second-order term of log det alone expands",
        x_label="η/β",
        y_label="ΔRᶜ / Rᶜ",
        curves=tuple(curves),
        points=tuple(points),
        caption=f"{n} tokens of equal singular values in {K} orthogonal heads of dimension {p}: the update multiplies "
        "them by 1 + ηs². It is attention with the Gram matrix in place of its softmax.",
    )


def regime_of_unit_tokens() -> Figure:
    """The largest eigenvalue of the heads' Gram matrices of unit tokens: parallel, random and spread evenly."""
    K, p, m = 4, 2, 4
    d = K * p
    n = m * d
    rng = np.random.default_rng(0)
    U = complete_family(rng, K, p)
    Z = rng.standard_normal((n, d))
    kinds = {
        "parallel, in one subspace": np.repeat(U[0][:, :1].T, n, axis=0),
        "random directions": Z / np.linalg.norm(Z, axis=1, keepdims=True),
        "on the axes of all subspaces": np.tile(np.concatenate(list(U.swapaxes(1, 2))), (m, 1)),
    }
    squares = np.geomspace(0.003, 10, 9)
    points = []
    for name, tokens in kinds.items():
        found = []
        for square in squares:
            # The exact step multiplies a singular value by x/(1 + x): the least factor tells the largest x.
            after = attention.exact_step(tokens, U, eps=math.sqrt(square), step=n * square / p)
            kept = np.linalg.norm(heads(after, U), 2, axis=(1, 2)) / np.linalg.norm(
                heads(tokens, U), 2, axis=(1, 2)
            ).clip(1e-9)
            found.append(float(np.max(kept / (1 - kept))))
        points.append(Points(name, squares, found))
    ends = squares[[0, -1]]
    return Figure(
        title="How large the Gram matrices of unit tokens are",
        x_label="ε²",
        y_label="max_k λ_max(β Y_kᵀY_k)",
        curves=(
            Curve("p/ε², the most", ends, p / ends),
            Curve("1/(Kε²), the least", ends, 1 / K / ends),
            Curve("1: beyond it the Neumann step expands", ends, (1, 1)),
        ),
        points=tuple(points),
        edges=(("ε² = 0.01, the official precision", 0.01),),
        x_log=True,
        y_log=True,
        caption=f"{n} unit tokens, {K} orthogonal subspaces of dimension {p}, eigenvalues as the exact step shows "
        "them. Both bounds are attained; at the official precision even the least is above 1.",
    )


def softmax_cosine() -> Figure:
    """m equal tokens on every axis of K subspaces: attention beside the Gram matrix that it replaces."""
    sizes, curves, points = (1, 2, 4, 8, 16, 32, 64), [], []
    line = np.geomspace(1, 64, 40)
    for K in (1, 2, 4):
        found = []
        for p in sizes:
            U = np.eye(K * p).reshape(K * p, K, p).swapaxes(0, 1)
            Z = np.eye(K * p)
            Y = heads(Z, U)
            ours, gram = attention.ssa(Z, U), Y @ Y.swapaxes(1, 2) @ Y
            found.append(float(np.sum(ours * gram) / np.linalg.norm(ours) / np.linalg.norm(gram)))
        theory = math.e / np.sqrt(math.e**2 + line - 1 + (K - 1) * line * (1 + (math.e - 1) / (K * line)) ** 2)
        curves.append(Curve(f"theory, K = {K}", line, theory))
        points.append(Points(f"srr, K = {K}", sizes, found))
    return Figure(
        title="For unit tokens the softmax points ever further from the Gram matrix",
        x_label="dimension p of a head",
        y_label="cosine",
        curves=tuple(curves),
        points=tuple(points),
        x_log=True,
        caption="Orthonormal tokens, one on each axis of K orthogonal subspaces; equal tokens on an axis change "
        "nothing. The larger the heads, the more of the softmax mass goes to tokens that are orthogonal.",
    )


def longest_token() -> Figure:
    """What attention returns of tokens as they are scaled: a mean of short ones, the longest of long ones."""
    n, p = 6, 2
    Z = np.random.default_rng(0).standard_normal((n, p))
    Z /= np.linalg.norm(Z, axis=1).max()
    U, grid = np.eye(p)[None], np.geomspace(0.03, 30, 16)
    longest = [float(np.max(np.linalg.norm(attention.ssa(t * Z, U)[0], axis=1))) / t for t in grid]
    gram = [float(np.max(np.linalg.norm((t * Z) @ (t * Z).T @ (t * Z), axis=1))) / t for t in grid]
    mean, cubic = float(np.linalg.norm(Z.mean(axis=0))), float(np.max(np.linalg.norm(Z @ Z.T @ Z, axis=1)))
    short = grid[grid < 0.7]
    return Figure(
        title="Attention returns no token longer than the longest",
        x_label="length of the longest token",
        y_label="longest of SSA(Z) / longest of Z",
        curves=(
            Curve("1, the bound", grid[[0, -1]], (1, 1)),
            Curve("with the Gram matrix: t² times a constant", grid[grid < 3], cubic * grid[grid < 3] ** 2),
            Curve("the mean of the tokens, as they shrink", short[[0, -1]], (mean, mean)),
        ),
        points=(
            Points("softmax, srr", grid, longest),
            Points("Gram matrix", grid[grid < 3], [g for g, t in zip(gram, grid, strict=True) if t < 3]),
        ),
        x_log=True,
        y_log=True,
        caption=f"{n} tokens in one head of dimension {p}. With the Gram matrix, which the softmax stands for, the "
        "update grows with the cube of the tokens, and with their number.",
    )


def multiplications_by_tokens() -> Figure:
    """Multiplications in matrix products, counted while each operator runs, over the number of tokens."""
    K, p, r = 2, 8, 4
    d = K * p
    rng = np.random.default_rng(0)
    U = complete_family(rng, K, p)
    sizes, line = (4, 8, 16, 32, 64, 128, 256), np.geomspace(4, 256, 30)
    operators = {
        "MSSA": lambda Z, U, n: attention.mssa(Z, U),
        "∇Rᶜ without factorisations": lambda Z, U, n: attention.neumann_step(Z, U, eps=1.0, step=1.0),
        "TSSA": lambda Z, U, n: tost.tssa(Z, np.full((n, K), 1 / K), U, eps=1.0, step=1.0),
        "CBSA": lambda Z, U, n: cbsa.contract_and_broadcast_official(
            Z, U, cbsa.pooling(n, r), contract=np.ones(K), broadcast=np.ones(K)
        ),
    }
    points = []
    for name, operator in operators.items():
        found = [
            multiplications(lambda Z, U, f=operator, n=n: f(Z, U, n), rng.standard_normal((n, d)), U) for n in sizes
        ]
        points.append(Points(name, sizes, np.array(found) / (np.array(sizes) * d * d)))
    q = np.minimum(line, p)
    return Figure(
        title="What the operators cost a token",
        x_label="tokens n",
        y_label="multiplications / (n d²)",
        curves=(
            Curve("MSSA: 2 + 2n/d", line, 2 + 2 * line / d),
            Curve("∇Rᶜ: 2 + 2 min(n, p)/d", line, 2 + 2 * q / d),
            Curve("TSSA: 2 + 1/d", line, np.full_like(line, 2 + 1 / d)),
            Curve("CBSA: 2 + 4r/d + 2r²/nd", line, 2 + 4 * r / d + 2 * r**2 / (line * d)),
        ),
        points=tuple(points),
        x_log=True,
        y_log=True,
        caption=f"Matrix products in {K} heads of dimension {p}, d = Kp, {r} representatives, counted while they run. "
        "Attention alone is quadratic in the tokens; the exact gradient adds a p × p factorisation a head.",
    )
