"""Figures of the implicit steps."""

from __future__ import annotations

import math

import numpy as np

from srr import attention, curvature, implicit
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
