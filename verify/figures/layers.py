"""Figures of whole layers."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace

import numpy as np

import srr
from srr import attention, curvature
from srr.layers import layer_norm
from verify import decide
from verify.claims._instances import complete_family
from verify.claims._steps import official_measure
from verify.figure import Curve, Figure, Points
from verify.promises import measuring


def descent_guarantee() -> Figure:
    """What the descent layer takes off the loss, over what it promises, along 12 layers each."""
    points = []
    for eps, lam in ((0.1, 0.01), (0.5, 0.1), (2.0, 1.0)):
        mixture = srr.mixtures.sample(n=16, d=8, K=2, p=3, noise=0.1, seed=0)
        objective = srr.SparseRateReduction(mixture.U, eps=eps, lam=lam)
        layer = srr.layers.descent(mixture.U, eps=eps, lam=lam)
        step = curvature.loss_step(mixture.U, 16, eps=eps)
        Z, found = mixture.Z, []
        for _ in range(12):
            after = layer(Z)
            fall = -decide.loss_change(objective, Z, after).midpoint
            found.append((float(np.sum((after - Z) ** 2)) / (2 * step), fall))
            Z = after
        promised, fallen = zip(*(pair for pair in found if min(pair) > 0), strict=True)
        points.append(Points(f"ε = {eps}, λ = {lam}", promised, fallen, certified=True))
    ends = (0.03, 1.5)
    return Figure(
        title="How much the descent layer lowers the loss",
        x_label="promised: ‖ΔZ‖²/2s",
        y_label="fall of the loss",
        curves=(Curve("promise kept exactly", ends, ends),),
        points=tuple(points),
        x_log=True,
        y_log=True,
        caption="Twelve layers on 16 tokens of a mixture of two subspaces, s = 1/(L_c + α/8). Every point lies on or "
        "above the line.",
    )


def five_rules_over_depth() -> Figure:
    """Twelve layers of each update rule: the plain rate against the official measure, both as shares of their start."""
    n, eps, depth = 40, 0.5, 12
    mixture = srr.mixtures.sample(n=n, d=24, K=3, p=6, noise=0.1, seed=0)
    start, U = mixture.Z / np.linalg.norm(mixture.Z, axis=1, keepdims=True), mixture.U
    beta, half = 6 / (n * eps**2), 0.5 * curvature.compression_step(U, n, eps=eps)
    rules: dict[str, Callable[[np.ndarray], np.ndarray]] = {
        "Z + Σ U_k SSA": lambda Z: attention.residual_step(Z, U),
        "Z − Σ U_k SSA": lambda Z: attention.residual_step(Z, U, step=-1.0),
        "derived step, κβ = ½": lambda Z: attention.derived_step(Z, U, eps=eps, step=0.5 / beta),
        "exact step, κL_c = ½": lambda Z: attention.exact_step(Z, U, eps=eps, step=half),
        "pre-norm residual of the code": lambda Z: Z + attention.mssa(layer_norm(Z), U),
    }
    points = []
    with measuring():
        begun = float(srr.subspace_coding_rate(start, U, eps=eps)), official_measure(start, U)
        for name, rule in rules.items():
            Z, path = start, [(1.0, 1.0)]
            for _ in range(depth):
                Z = rule(Z)
                path.append(
                    (float(srr.subspace_coding_rate(Z, U, eps=eps)) / begun[0], official_measure(Z, U) / begun[1])
                )
            points.append(Points(name, *zip(*path, strict=True), joined=True))
    return Figure(
        title="Twelve layers of five update rules, in two measures",
        x_label="Rᶜ / its start",
        y_label="official measure / its start",
        points=tuple(points),
        edges=(("Rᶜ as at the start", 1.0),),
        x_log=True,
        caption=f"{n} unit tokens of a mixture of three subspaces of dimension 6 at ε = {eps}; a mark for each layer. "
        "The official measure, which normalises every token in every head, falls under all five rules, and most under "
        "two that go opposite ways. Rᶜ rises under two: those that CRATE uses.",
    )


def where_the_halves_agree() -> Figure:
    """For tokens whose singular values are all s: the λ from which the exact step lowers λ‖Z‖₁ − R too, and the loss.

    Tokens s·F, F with orthonormal columns, in a complete family: the step at κ = 1/L_c multiplies s by f = x/(1 + x),
    x = βs², and the loss of rate that λ has to pay for is (d/2) log((1 + αs²)/(1 + αf²s²)).
    """
    n, K, p, eps = 8, 2, 3, 0.5
    d = K * p
    rng = np.random.default_rng(0)
    U, frame = complete_family(rng, K, p), np.linalg.qr(rng.standard_normal((n, d)))[0]
    alpha, step = d / (n * eps**2), curvature.compression_step(U, n, eps=eps)
    length = float(np.sum(np.abs(frame)))
    unit = d * math.sqrt(alpha) / length

    def thresholds(t: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        x = t**2 / K
        f = x / (1 + x)
        of_R, of_Rc = np.log1p(t**2) - np.log1p((f * t) ** 2), np.log1p(x) - np.log1p(f**2 * x)
        return of_R / (2 * t * (1 - f)), (of_R - of_Rc) / (2 * t * (1 - f))

    def falls(Z: np.ndarray, after: np.ndarray, lam: float, which: int) -> bool:
        if which:
            return bool(decide.loss_change(srr.SparseRateReduction(U, eps, lam), Z, after).not_above)
        return bool(decide.sparse_rate_change(Z, after, eps=eps, lam=lam).not_above)

    line, grid = np.geomspace(0.05, 20, 80), np.geomspace(0.07, 14, 11)
    sides: dict[bool, list[tuple[float, float]]] = {True: [], False: []}
    for which in (0, 1):
        for t in grid:
            Z = t / math.sqrt(alpha) * frame
            after = attention.exact_step(Z, U, eps=eps, step=step)
            low, high = 1e-5, 10.0
            while high / low > 1.001:
                middle = math.sqrt(low * high)
                low, high = (low, middle) if falls(Z, after, middle * unit, which) else (middle, high)
            for beside in (high * 1.2, low / 1.2):
                sides[falls(Z, after, beside * unit, which)].append((t, beside))
    agree, lower = thresholds(line)
    return Figure(
        title="From which λ the two halves of a layer agree",
        x_label="√α s: token scale over precision",
        y_label="λ‖Z‖₁ / (d √α s)",
        curves=(
            Curve("λ‖Z‖₁ − R falls too, from here upwards", line, agree),
            Curve("the loss falls, from here upwards", line, lower),
            Curve("limit of short steps, t/(1 + t²)", line, line / (1 + line**2)),
        ),
        points=(
            Points("falls", *zip(*sides[True], strict=True), certified=True, holds=True),
            Points("rises", *zip(*sides[False], strict=True), certified=True, holds=False),
        ),
        x_log=True,
        y_log=True,
        caption=f"The exact step at κ = 1/L_c on {n} tokens of equal singular values in {K} heads of dimension {p}; "
        "each pair of points lies a fifth on both sides of the λ that bisection finds. Between the curves the step "
        "lowers the loss and raises what the second half is to lower; below both it raises the loss.",
    )


def loss_step_limit() -> Figure:
    """Tokens beside a stationary point at which the loss is curved by ℓ: a layer multiplies their displacement."""
    n, K, displacement = 1, 4, 1e-3
    curves, points = [], []
    for d in (16, 64):
        eps = 1.0
        alpha, beta, x = d / (n * eps**2), 1 / (n * eps**2), 3 / d
        size = math.sqrt(3 / alpha)
        lam = size * (alpha / 4 - K * beta / (1 + x)) / math.sqrt(n * d)
        bent = K * beta * (1 - x) / (1 + x) ** 2 + alpha / 8
        U = np.full((K, d, 1), 1 / math.sqrt(d))
        Z = np.full((n, d), (1 - displacement) * size / math.sqrt(n * d))
        objective = srr.SparseRateReduction(U, eps, lam)
        layer = srr.layers.descent(U, eps=eps, lam=lam, nonnegative=True)
        line, grid = np.linspace(0.1, 3.2, 50), np.linspace(0.2, 3.2, 16)
        found = []
        for theta in grid:
            after = replace(layer, step_per_token=theta * layer.step_per_token)(Z)
            found.append(decide.loss_change(objective, Z, after).midpoint / (bent / 2 * (displacement * size) ** 2))
        ratio = bent / (K * beta + alpha / 8)
        curves.append(Curve(f"(1 − sℓ)² − 1, d = {d}", line, (1 - line * ratio) ** 2 - 1))
        points.append(Points(f"srr, d = {d}", grid, found, certified=True))
    return Figure(
        title="How long the step of the descent layer may be",
        x_label="s (L_c + α/8)",
        y_label="change of the loss / (ℓ/2)‖displacement‖²",
        curves=tuple(curves),
        points=tuple(points),
        edges=(("1, the step of the layer", 1.0), ("2: no longer step is safe as d grows", 2.0)),
        caption=f"One token on the line of {K} equal heads of dimension one, a thousandth beside the size σ with ασ² = "
        "3. The step multiplies the displacement by 1 − sℓ; ℓ tends to L_c + α/8 with the dimension.",
    )


def price_of_compression() -> Figure:
    """What exact steps of 1/L_c take off R, over what they take off Rᶜ, for tokens of every size."""
    n, K, p, eps = 12, 3, 2, 0.5
    d = K * p
    rng = np.random.default_rng(0)
    U = complete_family(rng, K, p)
    frame = np.linalg.qr(rng.standard_normal((n, d)))[0]
    scales, points = np.geomspace(0.03, 30, 13), []
    alpha, step = d / (n * eps**2), curvature.compression_step(U, n, eps=eps)
    for name, Z in (("equal singular values", frame), ("Gaussian tokens", rng.standard_normal((n, d)) / math.sqrt(n))):
        ratios = []
        for t in scales:
            tokens = t / math.sqrt(alpha) * Z
            after = attention.exact_step(tokens, U, eps=eps, step=step)
            of_R = decide.rate_change(tokens, after, eps=eps).midpoint
            ratios.append(of_R / decide.subspace_rate_change(tokens, after, U, eps=eps).midpoint)
        points.append(Points(name, scales, ratios, certified=True))
    line = np.geomspace(0.03, 30, 60)
    x = line**2 / K
    f = x / (1 + x)
    price = (np.log1p(line**2) - np.log1p((f * line) ** 2)) / (np.log1p(x) - np.log1p(f**2 * x))
    return Figure(
        title="How many nats of R a nat of Rᶜ costs",
        x_label="√α s: token scale over precision",
        y_label="fall of R / fall of Rᶜ",
        curves=(
            Curve("equal singular values, in closed form", line, price),
            Curve("K, the bound", line[[0, -1]], (K, K)),
            Curve("1: the rate reduction falls above", line[[0, -1]], (1, 1)),
        ),
        points=tuple(points),
        x_log=True,
        caption=f"Exact steps of 1/L_c on {n} tokens in {K} orthogonal heads of dimension {p}, ε = {eps}. Short tokens "
        "pay the most, K; long ones pay for each nat with one.",
    )
