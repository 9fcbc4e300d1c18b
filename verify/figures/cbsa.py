"""Figures of contract-and-broadcast."""

from __future__ import annotations

import numpy as np

from srr.cbsa import pooling
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
