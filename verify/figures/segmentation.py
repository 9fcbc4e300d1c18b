"""Figures of segmentation by lossy coding."""

from __future__ import annotations

import math

import numpy as np

from srr import segmentation
from verify.figure import Curve, Figure, Points


def lengths_at_small_eps() -> Figure:
    """More than d² tokens in general position: one group against a group for each, and the lines they tend to."""
    n, d = 6, 2
    rng = np.random.default_rng(0)
    Z, alone = rng.standard_normal((n, d)), np.eye(n)
    grid, line = np.geomspace(1e-4, 1e2, 19), np.geomspace(1e-4, 0.3, 40)
    norms = np.sum(Z**2, axis=1)
    whole = (n + d) * (d * np.log(1 / line) + np.linalg.slogdet(d / n * Z.T @ Z)[1] / 2)
    parts = (1 + d) * (n * np.log(1 / line) + np.sum(np.log(d * norms)) / 2) + n * math.log(n)
    return Figure(
        title="The length of one group and of a group for every token",
        x_label="ε",
        y_label="nats",
        curves=(
            Curve("(nd + d²) log 1/ε + constant", line, whole),
            Curve("(n + nd) log 1/ε + constant", line, parts),
        ),
        points=(
            Points("one group", grid, [segmentation.coding_length(Z, eps=e) for e in grid]),
            Points("every token alone", grid, [segmentation.segmented_length(Z, alone, eps=e) for e in grid]),
        ),
        x_log=True,
        caption=f"{n} tokens in dimension {d}, so that n > d²: with its overhead the code of one group is the shorter "
        "at small ε, as at large ε, where names are all that is left to code.",
    )


def groups_by_precision() -> Figure:
    """How many groups descent leaves of two lines and a plane with noise, with the overhead and without."""
    noise, m = 0.01, 10
    rng = np.random.default_rng(0)
    lines = np.array([[1.0, 0.2, 0.1], [-0.3, 0.2, 1.0]])
    lines /= np.linalg.norm(lines, axis=1, keepdims=True)
    plane = np.array([[1.0, 0.0, 0.0], [0.0, 1.0, 0.0]])
    clean = [rng.uniform(-1, 1, (m, 1)) * lines[:1], rng.uniform(-1, 1, (m, 1)) * lines[1:]]
    Z = np.concatenate([*clean, rng.uniform(-1, 1, (2 * m, 2)) @ plane])
    Z = Z + noise * rng.standard_normal(Z.shape)
    grid = np.geomspace(1e-5, 10, 13)
    found = {
        overhead: [
            1 + int(np.max(segmentation.pairwise_steepest_descent(Z, eps=e, overhead=overhead).labels)) for e in grid
        ]
        for overhead in (True, False)
    }
    ends = grid[[0, -1]]
    return Figure(
        title="How many groups pairwise steepest descent leaves",
        x_label="ε",
        y_label="groups",
        curves=(Curve("three subspaces", ends, (3, 3)), Curve(f"one group a token: {4 * m}", ends, (4 * m, 4 * m))),
        points=(
            Points("with the overhead", grid, found[True], joined=True),
            Points("without", grid, found[False], joined=True),
        ),
        edges=(("ε = σ, the noise", noise),),
        x_log=True,
        y_log=True,
        caption=f"{m} tokens on each of two lines and {2 * m} in a plane of R³, noise σ = {noise}.",
    )


def lengths_without_overhead() -> Figure:
    """One group against a group for each token, without the overhead, and the lines they tend to."""
    n, d = 6, 2
    rng = np.random.default_rng(0)
    Z, alone = rng.standard_normal((n, d)), np.eye(n)
    grid, line = np.geomspace(1e-4, 1e2, 15), np.geomspace(1e-4, 0.3, 2)
    whole = n * (d * np.log(1 / line) + np.linalg.slogdet(d / n * Z.T @ Z)[1] / 2)
    parts = n * np.log(1 / line) + np.sum(np.log(d * np.sum(Z**2, axis=1))) / 2 + n * math.log(n)
    return Figure(
        title="Without overhead the shortest code at small ε names every token",
        x_label="ε",
        y_label="nats",
        curves=(
            Curve("nd log 1/ε + constant", line, whole),
            Curve("n log 1/ε + constant", line, parts),
            Curve("n log n, the names alone", grid[[0, -1]], [n * math.log(n)] * 2),
        ),
        points=(
            Points("one group", grid, [segmentation.coding_length(Z, eps=e, overhead=False) for e in grid]),
            Points(
                "every token alone",
                grid,
                [segmentation.segmented_length(Z, alone, eps=e, overhead=False) for e in grid],
            ),
        ),
        x_log=True,
        caption=f"{n} tokens in dimension {d}. A group of one codes a single direction, at n log 1/ε in all: less than "
        "any other at small ε, but no less than the names, and without bound.",
    )


def length_at_large_eps() -> Figure:
    """The length of one group as ε grows, its bound, and the least that names of two groups take."""
    n, d = 8, 3
    rng = np.random.default_rng(0)
    Z, halves = rng.standard_normal((n, d)), np.repeat(np.eye(2), n // 2, axis=0)
    grid, line = np.geomspace(0.3, 100, 13), np.geomspace(1, 100, 2)
    names = math.log(n) + (n - 1) * math.log(n / (n - 1))
    weight = (n + d) * d / (2 * n) * float(np.sum(Z**2))
    return Figure(
        title="At large ε the shortest code is that of one group",
        x_label="ε",
        y_label="nats",
        curves=(
            Curve("(n + d)d‖Z‖²/(2nε²), above one group", line, weight / line**2),
            Curve("names of two groups, below any split", grid[[0, -1]], (names, names)),
        ),
        points=(
            Points("one group", grid, [segmentation.coding_length(Z, eps=e) for e in grid]),
            Points("two halves", grid, [segmentation.segmented_length(Z, halves, eps=e) for e in grid]),
        ),
        edges=(("one group is the shortest from here", math.sqrt(weight / names)),),
        x_log=True,
        y_log=True,
        caption=f"{n} Gaussian tokens in dimension {d}. Names cost the same at any precision; one group needs none, "
        "and its length falls as 1/ε².",
    )
