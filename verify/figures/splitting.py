"""Figures of dictionaries that grow."""

from __future__ import annotations

import numpy as np

from srr import prox
from verify.figure import Curve, Figure, Points


def lasso_by_width() -> Figure:
    """The lasso of random dictionaries of growing width, and of the same with a feature along every token."""
    n, d, lam, widths = 6, 3, 0.1, (2, 4, 8, 16, 32, 64, 128)
    rng = np.random.default_rng(0)
    X, D = rng.standard_normal((n, d)), rng.standard_normal((d, max(widths)))
    lengths = np.linalg.norm(X, axis=1)
    D, own = D / np.linalg.norm(D, axis=0), (X / lengths[:, None]).T

    def lasso(D: np.ndarray) -> float:
        return float(np.sum(prox.lasso(X, D, prox.fista(X, D, lam=lam, iterations=1000), lam=lam)))

    least = float(np.sum(np.where(lengths > lam, lam * lengths - lam**2 / 2, lengths**2 / 2)))
    narrow = [np.concatenate([D[:, :m], own], axis=1) for m in widths]
    return Figure(
        title="What a dictionary of growing width codes tokens for",
        x_label="features",
        y_label="lasso, sum over the tokens",
        curves=(Curve("a feature along every token: the least of all", (widths[0], widths[-1] + n), (least, least)),),
        points=(
            Points("random features", widths, [lasso(D[:, :m]) for m in widths]),
            Points("the same, and the tokens' directions", [m + n for m in widths], [lasso(D) for D in narrow]),
        ),
        x_log=True,
        caption=f"{n} normal tokens in {d} dimensions, codes of one sign, λ = {lam}. Wider dictionaries of random "
        "features come down towards the line and stay above it: one feature more still pays.",
    )
