"""Figures of the variants of CRATE."""

from __future__ import annotations

import numpy as np

from srr import attention, mixtures, subspace_coding_rate_and_gradient
from verify.claims._steps import attended, heads
from verify.figure import Curve, Figure, Points


def slope_by_the_bases() -> Figure:
    """The bases of planes turned within their planes, which Rᶜ does not see, under an output matrix that stays."""
    n, K, p, eps = 16, 2, 2, 0.5
    mixture = mixtures.sample(n=n, d=K * p, K=K, p=p, noise=0.1, seed=0)
    Z, U = mixture.Z, mixture.U
    gradient = subspace_coding_rate_and_gradient(Z, U, eps=eps)[1]
    line, grid = np.linspace(0, 2 * np.pi, 100), np.linspace(0, 2 * np.pi, 17)
    outputs = {
        "identity": np.eye(K * p),
        "fixed": np.random.default_rng(0).uniform(-1, 1, (K * p, K * p)) / np.sqrt(K * p),
        "conceptual": np.concatenate(list(U), axis=1),
    }
    beta, Y = p / (n * eps**2), heads(Z, U)
    exact = beta * np.sum(Y @ np.linalg.inv(np.eye(p) + beta * Y.swapaxes(1, 2) @ Y) @ U.swapaxes(1, 2), axis=0)

    def turned(angle: float) -> np.ndarray:
        return U @ np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])

    def theory(W: np.ndarray, angle: float) -> float:
        return float(np.sum(exact * (attended(Z, turned(angle), scale=1.0) @ W.T)))

    def found(name: str, angle: float) -> float:
        W = np.concatenate(list(turned(angle)), axis=1) if name == "conceptual" else outputs[name]
        return float(np.sum(gradient * attention.mssa_official(Z, turned(angle), output=W, scale=1.0)))

    curves = []
    for name in ("identity", "fixed"):
        a, b = theory(outputs[name], 0), theory(outputs[name], np.pi / 2)
        curves.append(Curve(f"a cos φ + b sin φ, {name}", line / np.pi, a * np.cos(line) + b * np.sin(line)))
    same = theory(outputs["conceptual"], 0)
    curves.append(Curve("constant, C", (0, 2), (same, same)))
    points = [Points(name, grid / np.pi, [found(name, angle) for angle in grid]) for name in outputs]
    return Figure(
        title="Whether attention compresses to first order, by the bases of the same subspaces",
        x_label="φ / π",
        y_label="slope of Rᶜ along the update (nats)",
        curves=tuple(curves),
        points=tuple(points),
        caption=f"{n} tokens, {K} orthogonal planes whose bases are turned by φ. Below zero the update compresses. At "
        "φ = π the bases are reversed, and with W random or I the slope turns its sign; CRATE-C does not see φ.",
    )
