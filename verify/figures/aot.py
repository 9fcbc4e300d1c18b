"""Figures of AoT."""

from __future__ import annotations

import numpy as np

from srr import aot, mixtures
from verify.figure import Curve, Figure, Points


def snr_over_depth() -> Figure:
    """Layers with the threshold of the theory and with a softmax, past the depth to which the equality is foretold."""
    n, K, p, tau, eta, depth = 16, 2, 24, 0.6, 0.5, 16
    mixture = mixtures.sample(n=n, d=K * p, K=K, p=p, noise=0.05, confined=True, seed=0)
    Z, Pi, U = mixture.Z, mixture.Pi, mixture.U
    Y = np.einsum("nd,kdp->knp", Z, U)
    gram, other = Y @ Y.swapaxes(1, 2), Pi.T == 0

    def foreign(layer: int) -> float:
        logits = gram * np.where(Pi.T > 0, (1 + eta * tau) ** layer, 1)[:, None, :]
        weights = np.exp(logits - logits.max(axis=2, keepdims=True))
        return float((weights / weights.sum(axis=2, keepdims=True)).max(axis=2)[other].max())

    ends = next(layer for layer in range(100) if foreign(layer) > tau)
    layers, points, start = range(depth + 1), [], aot.snr(Z, Pi, U)
    for name, threshold in (("threshold τ", tau), ("softmax", None)):
        tokens, found = Z, []
        for _ in layers:
            found.append(float(np.min(aot.snr(tokens, Pi, U) / start)))
            tokens = aot.denoising_step(tokens, U, step=eta, threshold=threshold)
        points.append(Points(name, layers, found, joined=True))
    return Figure(
        title="The signal-to-noise ratio over the layers of AoT",
        x_label="layer ℓ",
        y_label="least SNR / SNR⁰ of a class",
        curves=(Curve("(1 + ητ)^ℓ", layers, (1 + eta * tau) ** np.arange(depth + 1)),),
        points=tuple(points),
        edges=((f"foretold to hold up to layer {ends}", float(ends)),),
        y_log=True,
        caption=f"{n} tokens in {K} orthogonal subspaces of dimension {p}, noise 0.05, η = {eta}, τ = {tau}. The "
        "equality ends in the layer in which a token of another class first outweighs τ.",
    )
