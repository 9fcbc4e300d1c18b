"""Figures of maximal coding rate reduction."""

from __future__ import annotations

import math

import numpy as np

import srr
from srr import mcr2
from verify.figure import Curve, Figure, Points


def what_a_singular_value_adds() -> Figure:
    """One class with one direction, all else zero, so that ΔR is half the shape function."""
    n, d, eps = 12, 3, 1.0
    constant = d / (n * eps**2)
    line, grid = np.geomspace(0.01, 100, 120), np.geomspace(0.01, 100, 21)
    curves, points = [], []
    for share in (1 / 2, 1 / 4, 1 / 12):
        size = round(share * n)
        Pi = np.eye(2)[(np.arange(n) >= size).astype(int)]
        direction = np.zeros((n, d))
        direction[:size, 0] = 1 / math.sqrt(size)
        found = [srr.rate_reduction(math.sqrt(t / constant) * direction, Pi=Pi, eps=eps) for t in grid]
        theory = [mcr2.shape(t / constant, share, constant) / 2 for t in line]
        curves.append(Curve(f"½ f, γ = {share:.3g}", line, theory))
        points.append(Points(f"ΔR, γ = {share:.3g}", grid, found))
    tangent = mcr2.tangent_point(1 / 4, constant) * constant
    return Figure(
        title="What one squared singular value x of a class adds to ΔR",
        x_label="α x",
        y_label="nats",
        curves=tuple(curves),
        points=tuple(points),
        edges=(("γ = ¼: turns at √γ", 0.5), (f"γ = ¼: worth most at {tangent:.2f}", tangent)),
        x_log=True,
        caption="A class with the share γ of the tokens, along one direction. Convex up to α x = √γ; a line through "
        "zero touches each curve where energy is worth most, and decides the ranks of the optimum.",
    )


def regularised_ends() -> Figure:
    """Gradient ascent on ΔR − λ‖Z‖²/2 along one direction, from a little above the smaller root."""
    n, size, d, eps = 6, 2, 2, 0.5
    constant, share = d / (n * eps**2), size / n
    largest = mcr2.largest_weight(share, constant)
    weights, grid = np.linspace(0.05, 0.9999, 100) * largest, np.linspace(0.1, 0.9, 9) * largest
    smaller, larger = np.array([mcr2.stationary_points(share, constant, lam) for lam in weights]).T
    Pi = np.eye(2)[(np.arange(n) >= size).astype(int)]
    starts = np.array([1.2 * mcr2.stationary_points(share, constant, lam)[0] for lam in grid])
    Z = np.zeros((len(grid), n, d))
    Z[:, :size, 0] = np.sqrt(starts / size)[:, None]
    for _ in range(300):
        Z = Z + (srr.rate_reduction_and_gradient(Z, Pi=Pi, eps=eps)[1] - grid[:, None, None] * Z) / (0.7 * constant)
    return Figure(
        title="Where regularised rate reduction is stationary, and where ascent ends",
        x_label="λ over its bound",
        y_label="α x",
        curves=(
            Curve("larger root, a maximum", weights / largest, constant * larger),
            Curve("smaller root, a minimum", weights / largest, constant * smaller),
        ),
        points=(
            Points("end of the ascent", grid / largest, constant * np.sum(Z**2, axis=(1, 2))),
            Points("start, 1.2 × the smaller root", grid / largest, constant * starts),
        ),
        y_log=True,
        caption=f"One direction of a class with a third of {n} tokens, ε = {eps}. At the bound α(1 − √γ)/(1 + √γ) the "
        "roots meet, and beyond it there are none.",
    )
