"""Figures of the denoising view."""

from __future__ import annotations

import math

import numpy as np

from srr import denoising, subspace_coding_rate_and_gradient
from srr.denoising import SubspaceMixture
from verify.claims._instances import complete_family
from verify.figure import Curve, Figure, Points


def attention_by_noise() -> Figure:
    """Attention over subspaces against the optimal denoiser, at typical tokens and at one between two subspaces."""
    K, p, n = 3, 4, 40
    rng = np.random.default_rng(0)
    U = complete_family(rng, K, p)
    law = SubspaceMixture(U, np.ones((K, p)), np.full(K, 1 / K))
    labels, a, w = rng.integers(K, size=n), rng.standard_normal((n, p)), rng.standard_normal((n, K * p))
    clean = np.einsum("np,ndp->nd", a, U[labels])
    tie = (U[0] + 0.9999 * U[1])[:, 0][None]
    line, grid = np.geomspace(0.003, 3, 50), np.geomspace(0.003, 3, 13)
    typical, between = [], []
    for sigma in grid:
        for X, found in ((clean + sigma * w, typical), (tie, between)):
            gap = denoising.attention_denoiser(X, U, noise=sigma) - law.posterior_mean(X, noise=sigma)
            found.append(float(np.max(np.linalg.norm(gap, axis=1) / np.linalg.norm(X, axis=1))))
    square = line**2
    return Figure(
        title="Attention over subspaces, beside the optimal denoiser",
        x_label="noise σ",
        y_label="error / ‖x‖",
        curves=(
            Curve(
                "σ²/(1 + σ²) + log K log(1 + σ²), the bound",
                line,
                square / (1 + square) + math.log(K) * np.log1p(square),
            ),
            Curve("σ²/(1 + σ²)", line, square / (1 + square)),
        ),
        points=(Points(f"largest of {n} noisy tokens", grid, typical), Points("near a tie", grid, between)),
        x_log=True,
        y_log=True,
        caption=f"Unit variances in {K} orthogonal subspaces of dimension {p}. The error is of second order in the "
        "noise, and the shrinkage that attention lacks is nearly all of it.",
    )


def entropy_of_a_step() -> Figure:
    """What a denoising step does to the entropy of a Gaussian, by its length: the determinant of its linear map."""
    p, d, t = 2, 3, 0.7
    U = complete_family(np.random.default_rng(0), 1, d)[:, :, :p]
    line, grid = np.linspace(0.02, 1, 60), np.linspace(0.1, 1, 10)
    curves, points = [], []
    for variance in (1.0, 0.1):
        law = SubspaceMixture(U, np.full((1, p), variance), np.ones(1))
        mean = law.posterior_mean(np.eye(d), noise=t)
        found = [np.linalg.slogdet(s * np.eye(d) + (1 - s) * mean)[1] for s in grid]
        inside, outside = line + (1 - line) * variance / (variance + t**2), line
        curves.append(
            Curve(
                f"Σ log(s/t + (1 − s/t) λ_i/(λ_i + t²)), λ = {variance:g}", line, p * np.log(inside) + np.log(outside)
            )
        )
        square = p / (variance + t**2) + (d - p) / t**2
        curves.append(Curve(f"bound −t(t − s) E‖score‖², λ = {variance:g}", line, -(t**2) * (1 - line) * square))
        points.append(Points(f"srr, λ = {variance:g}", grid, found))
    return Figure(
        title="Every denoising step lowers the entropy",
        x_label="s/t",
        y_label="h(x̂_s) − h(x_t) (nats)",
        curves=(curves[0], curves[2], curves[1], curves[3]),
        points=tuple(points),
        caption=f"Gaussian tokens of variance λ in a plane of R³, at noise t = {t}. The fall is more than its rate at "
        "the start, t E‖score‖², times the length of the step.",
    )


def entropy_by_noise() -> Figure:
    """t E‖score‖², from scores of drawn tokens, against the rate at which entropies of Gaussians grow."""
    p, d, n = 2, 6, 400
    rng = np.random.default_rng(0)
    U = complete_family(rng, d // p, p)
    z, w = rng.standard_normal((n, p)), rng.standard_normal((n, d))
    labels = rng.integers(d // p, size=n)
    line, grid = np.geomspace(0.03, 10, 60), np.geomspace(0.03, 10, 13)
    one = SubspaceMixture(U[:1], np.ones((1, p)), np.ones(1))
    mixture = SubspaceMixture(U, np.ones((d // p, p)), np.full(d // p, p / d))
    points = []
    for name, law, clean in (
        ("one subspace", one, z @ U[0].T),
        ("three subspaces", mixture, np.einsum("np,ndp->nd", z, U[labels])),
    ):
        found = [t * float(np.mean(np.sum(law.score(clean + t * w, noise=t) ** 2, axis=1))) for t in grid]
        points.append(Points(f"t E‖score‖², {name}", grid, found))
    return Figure(
        title="Noise raises the entropy at the rate t E‖score‖²",
        x_label="noise t",
        y_label="dh/dt (nats)",
        curves=(
            Curve("one subspace: p t/(1 + t²) + (d − p)/t", line, p * line / (1 + line**2) + (d - p) / line),
            Curve("a Gaussian as wide: d t/(p/d + t²)", line, d * line / (p / d + line**2)),
        ),
        points=tuple(points),
        x_log=True,
        y_log=True,
        caption=f"Means over {n} tokens, d = {d}, p = {p}. For one subspace the derivative of the entropy is known; "
        "the mixture follows it at little noise, and the Gaussian of its second moment at much.",
    )


def score_and_nearest_subspace() -> Figure:
    """How far σ² times the score is from the way to the subspace of the token, against its bound, token by token."""
    K, p, n = 3, 2, 40
    rng = np.random.default_rng(0)
    U = complete_family(rng, K, p)
    law = SubspaceMixture(U, np.ones((K, p)), np.full(K, 1 / K))
    labels = rng.integers(K, size=n)
    clean = np.einsum("np,ndp->nd", rng.standard_normal((n, p)), U[labels])
    points = []
    for sigma in (0.03, 0.3, 1.0):
        X = clean + sigma * rng.standard_normal(clean.shape)
        Y = np.einsum("nd,kdp->nkp", X, U)
        logits = np.sum(Y**2, axis=2) / (2 * sigma**2 * (1 + sigma**2))
        share = np.exp(logits - logits.max(axis=1, keepdims=True))
        own = (share / share.sum(axis=1, keepdims=True))[np.arange(n), labels]
        way = X - np.einsum("np,ndp->nd", Y[np.arange(n), labels], U[labels])
        gap = np.linalg.norm(sigma**2 * law.score(X, noise=sigma) + way, axis=1) / np.linalg.norm(X, axis=1)
        bound = (sigma**2 + 2 * (1 - own)) / (1 + sigma**2)
        points.append(Points(f"σ = {sigma}", bound, gap))
    ends = (min(min(p.x) for p in points), 2.0)
    return Figure(
        title="σ² × score is the way to the subspace, up to its bound",
        x_label="(σ² + 2(1 − P(s|x)))/(1 + σ²)",
        y_label="distance / ‖x‖",
        curves=(Curve("equal", ends, ends),),
        points=tuple(points),
        x_log=True,
        y_log=True,
        caption=f"{n} tokens for each σ in {K} orthogonal planes; s is the plane a token was drawn from. Every token "
        "is on or below the line, and at little noise both are small.",
    )


def gradient_in_its_window() -> Figure:
    """The cosine of the compression gradient with the way to the subspace, and what a step leaves of the noise."""
    K, p, sigma, sets = 3, 8, 1e-5, 4
    d = K * p
    rng = np.random.default_rng(0)
    counts, cosines, left = (1, 2, 3, 4, 5, 6, 7, 8, 10, 12), [], []
    for N in counts:
        square, share = [], []
        for _ in range(sets):
            U, labels = complete_family(rng, K, p), np.repeat(np.arange(K), N)
            clean = np.einsum("np,ndp->nd", rng.standard_normal((K * N, p)), U[labels])
            Z = clean + sigma * rng.standard_normal((K * N, d))
            beta = sigma**-1.5
            eps = math.sqrt(p / len(Z) / beta)
            g = subspace_coding_rate_and_gradient(Z, U, eps=eps, method="svd")[1]

            def noise(X: np.ndarray, U: np.ndarray = U, labels: np.ndarray = labels) -> np.ndarray:
                return X - np.einsum("np,ndp->nd", np.einsum("nd,ndp->np", X, U[labels]), U[labels])

            way = noise(Z)
            square.append(np.mean(np.sum(g * way, axis=1) ** 2 / np.sum(g**2, axis=1) / np.sum(way**2, axis=1)))
            share.append(np.mean(np.sum(noise(Z - g / beta) ** 2, axis=1) / np.sum(way**2, axis=1)))
        cosines.append(float(np.mean(square)))
        left.append(float(np.mean(share)))
    ratios = np.array(counts) / p
    return Figure(
        title="How much of the noise the compression gradient sees, in its window",
        x_label="N_k / p: tokens of a class for each of its dimensions",
        y_label="share",
        curves=(
            Curve("1 − N_k/p, then 0", (0, 1, 1.5), (1, 0, 0)),
            Curve("N_k/p, then 1", (0, 1, 1.5), (0, 1, 1)),
        ),
        points=(
            Points("cos² with the way to the subspace", ratios, cosines),
            Points("noise left by a step 1/β", ratios, left),
        ),
        caption=f"{K} orthogonal subspaces of dimension {p}, noise {sigma:g}, β = σ^−1.5; means over {sets} sets. "
        "N_k tokens of a class hide N_k dimensions of the noise; once they fill their subspace the gradient sees none.",
    )
