"""Figures of the compression half."""

from __future__ import annotations

import math

import numpy as np

from srr import attention, curvature
from verify import decide
from verify.claims._instances import complete_family
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
        curves.append(Curve(f"theory, βs² = {x}", _numbers(line), _numbers(theory / rate)))
        points.append(Points(f"srr, βs² = {x}", _numbers(grid), _numbers(np.array(found) / rate), certified=True))
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


def _numbers(values: np.ndarray) -> tuple[float, ...]:
    return tuple(np.asarray(values, dtype=float).tolist())
