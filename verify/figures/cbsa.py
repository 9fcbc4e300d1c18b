"""Figures of contract-and-broadcast."""

from __future__ import annotations

import numpy as np

from srr import subspace_coding_rate_and_gradient
from srr.cbsa import cbsa_step, pooling
from verify import decide
from verify.claims._instances import complete_family
from verify.figure import Curve, Figure, Points


def share_that_pooling_keeps() -> Figure:
    """Independent tokens, and tokens whose neighbours are alike, pooled to fewer and fewer representatives."""
    n, d, sets = 64, 4, 400
    rng = np.random.default_rng(0)
    Z = rng.standard_normal((sets, n, d))
    walks = np.cumsum(Z, axis=1)
    counts = (1, 2, 4, 8, 16, 32, 64)
    shares = {}
    for name, tokens in (("independent tokens", Z), ("neighbours alike", walks)):
        pooled = [n / r * np.sum((pooling(n, r) @ tokens) ** 2, axis=(1, 2)) for r in counts]
        shares[name] = [float(np.mean(each / np.sum(tokens**2, axis=(1, 2)))) for each in pooled]
    kept = np.array(counts) / n
    return Figure(
        title="The squared cosine with the exact step, for small tokens",
        x_label="r / n: representatives for each token",
        y_label="share of ‖Z‖² that pooling keeps",
        curves=(Curve("r/n, independent tokens on average", kept[[0, -1]], kept[[0, -1]]),),
        points=tuple(Points(name, kept, found) for name, found in shares.items()),
        x_log=True,
        y_log=True,
        caption=f"Means over {sets} sets of {n} Gaussian tokens of dimension {d}, and over random walks of as many "
        "steps. The published model has r/n = 1/4.",
    )


def cosine_by_size() -> Figure:
    """The cosine of pooled CBSA with the exact step, from small tokens to large ones."""
    n, r, K, p, eps = 16, 4, 2, 2, 1.0
    rng = np.random.default_rng(0)
    U, A, beta = complete_family(rng, K, p), pooling(n, r), p / (n * eps**2)
    grid, curves, points = np.geomspace(0.01, 100, 13), [], []
    for name, lean in (("neighbours alike", 0.3), ("independent", 3.0)):
        Z = np.repeat(rng.standard_normal((r, K * p)), n // r, axis=0) + lean * rng.standard_normal((n, K * p))
        Z /= np.linalg.norm(Z)
        found = []
        for t in grid:
            tokens = np.sqrt(t / beta) * Z
            exact = subspace_coding_rate_and_gradient(tokens, U, eps=eps)[1]
            ours = tokens - cbsa_step(tokens, U, A, eps=eps, step=1.0)
            found.append(float(np.sum(exact * ours) / np.linalg.norm(exact) / np.linalg.norm(ours)))
        kept = float(np.linalg.norm(Z.reshape(r, n // r, -1).mean(axis=1)) * np.sqrt(n / r))
        curves.append(Curve(f"‖Z̄‖/‖Z‖, {name}", grid[[0, -1]], (kept, kept)))
        points.append(Points(name, grid, found))
    return Figure(
        title="The cosine of pooled contract-and-broadcast with the exact step",
        x_label="β‖Z‖²",
        y_label="cosine",
        curves=tuple(curves),
        points=tuple(points),
        x_log=True,
        caption=f"{n} tokens, {r} pools, {K} orthogonal heads of dimension {p}. For small tokens the cosine is the "
        "share of their norm that the pool averages keep; for large ones it may be less or more.",
    )


def pooled_step_limit() -> Figure:
    """Tokens constant within pools, all singular values s: the pooled step is the exact one, and has its limit."""
    n, r, K, p, eps = 12, 6, 2, 3, 0.5
    rng = np.random.default_rng(0)
    U, A = complete_family(rng, K, p), pooling(n, r)
    frame = np.repeat(np.linalg.qr(rng.standard_normal((r, K * p)))[0], n // r, axis=0) / np.sqrt(n / r)
    beta = p / (n * eps**2)
    line, grid = np.linspace(0.05, 5, 60), np.linspace(0.25, 5, 16)
    curves, points = [], []
    for x in (0.1, 1.0):
        Z = np.sqrt(x / beta) * frame
        moved = [cbsa_step(Z, U, A, eps=eps, step=t / beta) for t in grid]
        found = [decide.subspace_rate_change(Z, after, U, eps=eps).midpoint for after in moved]
        curves.append(Curve(f"theory, βs² = {x}", line, np.log1p(x * (1 - line / (1 + x)) ** 2) / np.log1p(x) - 1))
        points.append(Points(f"srr, βs² = {x}", grid, 2 * np.array(found) / (K * p * np.log1p(x)), certified=True))
    return Figure(
        title="What a pooled step does to Rᶜ, by its size",
        x_label="κ L_c",
        y_label="ΔRᶜ / Rᶜ",
        curves=tuple(curves),
        points=tuple(points),
        edges=(("κ L_c = 2, safe for all tokens", 2.0),),
        caption=f"{n} tokens, equal within {r} pools, in {K} orthogonal heads of dimension {p}. The step is then the "
        "exact one, so that no longer step than 2/L_c is safe for pools either.",
    )
