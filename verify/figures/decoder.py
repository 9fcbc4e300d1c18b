"""Figures of the decoder."""

from __future__ import annotations

import math

import numpy as np

from srr import attention, curvature, mixtures, subspace_coding_rate_and_gradient
from verify.claims._instances import complete_family
from verify.claims._steps import softmax
from verify.figure import Curve, Figure, Points


def round_trip() -> Figure:
    """An exact step and the step back, from tokens of equal singular values."""
    n, K, p, eps = 8, 2, 3, 0.5
    rng = np.random.default_rng(0)
    U, frame = complete_family(rng, K, p), np.linalg.qr(rng.standard_normal((n, K * p)))[0]
    L, beta = curvature.subspace_rate(U, n, eps=eps), p / (n * eps**2)
    grid, points = np.geomspace(0.01, 1, 13), []

    def gradient(Z: np.ndarray) -> np.ndarray:
        return subspace_coding_rate_and_gradient(Z, U, eps=eps)[1]

    for x in (0.001, 0.3, 3.0):
        Z = math.sqrt(x / beta) * frame
        there = [Z - t / L * gradient(Z) for t in grid]
        errors = [np.linalg.norm(Y + t / L * gradient(Y) - Z) for t, Y in zip(grid, there, strict=True)]
        points.append(Points(f"βs² = {x}", grid, np.array(errors) * L / np.linalg.norm(gradient(Z))))
    return Figure(
        title="The error of a compression step and the decoder's step back",
        x_label="h L_c",
        y_label="error × L_c / ‖∇Rᶜ‖",
        curves=(Curve("(h L_c)², the bound", grid, grid**2),),
        points=tuple(points),
        x_log=True,
        y_log=True,
        caption=f"{n} tokens in {K} heads of dimension {p}. Short tokens attain the bound; the error is of second "
        "order in the step for all.",
    )


def round_trip_of_attention() -> Figure:
    """Attention added and taken away again, by the size of the step, and what is foretold of small steps."""
    mixture = mixtures.sample(n=12, d=6, K=2, p=3, noise=0.1, seed=0)
    Z, U, grid = mixture.Z, mixture.U, np.geomspace(0.003, 1, 12)

    def moved(Z: np.ndarray) -> np.ndarray:
        return attention.mssa(Z, U)

    def by_hand(Z: np.ndarray) -> np.ndarray:
        Y = Z @ U
        return np.sum(softmax(Y) @ Y @ U.swapaxes(1, 2), axis=0)

    found = [np.linalg.norm((there := Z + h * moved(Z)) - h * moved(there) - Z) for h in grid]
    M, t = by_hand(Z), 1e-5
    bend = float(np.linalg.norm((by_hand(Z + t * M) - by_hand(Z - t * M)) / (2 * t)))
    return Figure(
        title="The error of attention added and taken away again",
        x_label="step h",
        y_label="‖error‖",
        curves=(
            Curve("h² ‖DM(Z)[M(Z)]‖", grid, bend * grid**2),
            Curve("h ‖M(Z)‖, what is added", grid, np.linalg.norm(M) * grid),
        ),
        points=(Points("srr", grid, found),),
        x_log=True,
        y_log=True,
        caption="12 tokens of a mixture of two subspaces, M = Σ_k U_k SSA(Z|U_k). The error is of second order, with "
        "the derivative of attention along itself for a constant.",
    )


def round_trip_by_depth() -> Figure:
    """Encoders and decoders of L exact steps of size T/L, there and back, from tokens of equal singular values."""
    n, K, p, eps = 8, 2, 3, 0.5
    rng = np.random.default_rng(0)
    U, frame = complete_family(rng, K, p), np.linalg.qr(rng.standard_normal((n, K * p)))[0]
    L, beta = curvature.subspace_rate(U, n, eps=eps), p / (n * eps**2)
    depths, curves, points = (1, 2, 4, 8, 16, 32, 64), [], []
    for x in (0.3, 3.0):
        Z, found = math.sqrt(x / beta) * frame, []
        for depth in depths:
            h, tokens = 1 / L / depth, Z
            for sign in (-1.0,) * depth + (1.0,) * depth:
                tokens = tokens + sign * h * subspace_coding_rate_and_gradient(tokens, U, eps=eps)[1]
            found.append(float(np.linalg.norm(tokens - Z) / np.linalg.norm(Z)))
        # To first order in h the round trip errs by h g(s) ∫ g'/g ds over the way = h g log(g_0/g_T), g = t/(1 + t²).
        start, steps = math.sqrt(x), 4000
        t = start
        for _ in range(steps):
            middle = t - t / (1 + t * t) / (2 * steps)
            t -= middle / (1 + middle * middle) / steps
        slope = (lambda a: a / (1 + a * a))(start)
        constant = abs(slope * math.log(slope / (t / (1 + t * t)))) / start
        curves.append(Curve(f"first order in 1/L, βs² = {x:g}", depths, constant / np.array(depths)))
        points.append(Points(f"srr, βs² = {x:g}", depths, found))
    return Figure(
        title="Encoder and decoder of L layers return the tokens to within O(1/L)",
        x_label="layers L, each of size 1/(L_c L)",
        y_label="‖error‖ / ‖Z‖",
        curves=tuple(curves),
        points=tuple(points),
        x_log=True,
        y_log=True,
        caption=f"{n} tokens in {K} orthogonal heads of dimension {p}. Twice as many layers halve the error.",
    )


def least_stretch() -> Figure:
    """How far an exact step keeps apart tokens whose singular values are close, by its size."""
    n, K, p, eps = 8, 2, 3, 0.5
    rng = np.random.default_rng(0)
    U, frame = complete_family(rng, K, p), np.linalg.qr(rng.standard_normal((n, K * p)))[0]
    safe, beta = curvature.compression_step(U, n, eps=eps), p / (n * eps**2)
    line, grid, apart = np.linspace(0, 1.5, 40), np.linspace(0, 1.5, 11)[1:], 1e-4
    curves, points = [], []
    for x in (0.001, 0.3, 3.0):
        Z, W = (math.sqrt(x / beta) * (1 + e) * frame for e in (0.0, apart))
        moved = [[attention.exact_step(V, U, eps=eps, step=t * safe) for V in (Z, W)] for t in grid]
        found = [float(np.linalg.norm(a - b) / np.linalg.norm(Z - W)) for a, b in moved]
        curves.append(Curve(f"|1 − κL_c(1 − x)/(1 + x)²|, x = {x:g}", line, np.abs(1 - line * (1 - x) / (1 + x) ** 2)))
        points.append(Points(f"srr, x = {x:g}", grid, found))
    inside = line[line <= 1]
    return Figure(
        title="An exact step keeps tokens apart while it is shorter than 1/L_c",
        x_label="κ L_c",
        y_label="distance after / before",
        curves=(*curves, Curve("1 − κL_c, the bound", inside, 1 - inside)),
        points=tuple(points),
        edges=(("κ L_c = 1", 1.0),),
        caption=f"Tokens of equal singular values, x = βs², in {K} orthogonal heads of dimension {p}, and the same "
        "tokens a ten-thousandth longer. Short tokens reach the bound, and meet at κL_c = 1.",
    )
