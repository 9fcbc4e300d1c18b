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


def own_mass() -> Figure:
    """The softmax mass of a token on itself where all others are at the margin 9p/32, and of Gaussian tokens."""
    curves, points = [], []
    dims = np.array([4, 8, 12, 16, 20, 24, 32, 40])
    line = np.linspace(4, 40, 60)
    edges = []
    for N in (20, 200):
        found = []
        for p in dims:
            square = 9 * int(p) / 32
            Z = np.zeros((N, N))
            Z[0, 0] = square**0.5  # the others are zero, at the margin from it
            found.append(float(aot.attention_weights(Z, np.eye(N)[None])[0, 0, 0]))
        curves.append(Curve(f"1/(1 + Ne^(−9p/32)), N = {N}", line, 1 / (1 + N * np.exp(-9 * line / 32))))
        points.append(Points(f"at the margin 9p/32, N = {N}", dims, found))
        edges.append((f"p = (32/9) ln N, N = {N}", 32 / 9 * float(np.log(N))))
    return Figure(
        title="A margin of 9p/32 makes a token attend to itself",
        x_label="dimension p",
        y_label="softmax mass on itself",
        curves=(*curves, Curve("½, below which there is no threshold τ", (4, 40), (0.5, 0.5))),
        points=tuple(points),
        edges=tuple(edges),
        caption="The mass is at least that of the line, which is where the interval (½, 1/(1 + Ne^(−9p/32))] of the "
        "theory ends: it is empty to the left of the edge.",
    )
