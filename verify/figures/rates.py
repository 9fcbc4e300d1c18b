"""Figures of the rates."""

from __future__ import annotations

import math

import numpy as np
from flint import arb, ctx

import srr
from verify.claims._water_filling import rate_distortion
from verify.figure import Curve, Figure, Points


def rate_distortion_gap() -> Figure:
    """A source of five unequal variances: the gap of its coding rate, from large errors to small."""
    spectrum = np.array([4.0, 2.0, 1.0, 0.5, 0.1])
    d, smallest = len(spectrum), float(spectrum.min())
    tokens = np.diag(np.sqrt(d * spectrum))
    errors = np.geomspace(1e-3, 100, 26)
    gaps = [float(srr.coding_rate(tokens, eps=math.sqrt(e))) - rate_distortion(spectrum, e) for e in errors]
    line = np.geomspace(1e-3, d * smallest, 60)
    theory = np.sum(np.log1p(line[:, None] / d / spectrum), axis=1) / 2
    everywhere = errors[[0, -1]]
    return Figure(
        title="How far the coding rate is above the rate distortion",
        x_label="ε²",
        y_label="R − R_WF (nats)",
        curves=(
            Curve("½ Σ log(1 + θ/λ_i), θ = ε²/d", line, theory),
            Curve("half a bit a dimension", everywhere, [d / 2 * math.log(2)] * 2),
        ),
        points=(Points("srr", errors, gaps),),
        edges=(("θ = λ_min", d * smallest), ("ε² = tr Σ", float(spectrum.sum()))),
        x_log=True,
        y_log=True,
        caption="Gaussian source with variances 4, 2, 1, ½ and 0.1. The formula holds up to θ = λ_min; beyond, the "
        "gap grows to less than half a bit for each dimension, and past tr Σ the source needs no rate at all.",
    )


def gap_of_rank() -> Figure:
    """Flat spectra of rank r in eight dimensions: (r/2) log(d/r) is what remains of the gap at small errors."""
    d, points, curves = 8, [], []
    shares, line = np.geomspace(1e-3, 10, 17), np.geomspace(1e-3, 1, 40)
    for r in (1, 2, 8):
        spectrum = np.concatenate([np.full(r, 1 / r), np.zeros(d - r)])
        tokens = np.diag(np.sqrt(d * spectrum))
        gaps = [float(srr.coding_rate(tokens, eps=math.sqrt(e))) - rate_distortion(spectrum, e) for e in shares]
        curves.append(Curve(f"theory, rank {r}", line, r / 2 * (math.log(d / r) + np.log1p(line * r / d))))
        points.append(Points(f"srr, rank {r}", shares, gaps))
    ends = shares[[0, -1]]
    half, one = d / 2 * math.log(2), math.log1p(d) / 2
    return Figure(
        title="What the coding rate keeps above the rate distortion, by rank",
        x_label="ε² / tr Σ",
        y_label="R − R_WF (nats)",
        curves=(
            *curves,
            Curve("half a bit a dimension", ends, (half, half)),
            Curve("½ log(1 + d), the least at ε² = tr Σ", ends, (one, one)),
        ),
        points=tuple(points),
        edges=(("ε² = tr Σ", 1.0),),
        x_log=True,
        caption=f"Flat spectra of rank r in dimension {d}. Towards small errors the gap is (r/2) log(d/r): zero at "
        "full rank alone. At ε² = tr Σ, where no rate is needed, it lies between the two horizontal lines, and the "
        "flat full spectrum has half a bit for each dimension.",
    )


def rate_distortion_plane() -> Figure:
    """Coding rates at the error that they really allow, Σ λν/(λ + ν), beside the rate distortion function."""
    points, curves = [], []
    for name, spectrum in (("flat", np.ones(4)), ("unequal", np.array([3.2, 0.6, 0.15, 0.05]))):
        total, d = float(spectrum.sum()), len(spectrum)
        levels = np.geomspace(1e-3, float(spectrum.max()), 50)
        errors = np.array([np.minimum(spectrum, level).sum() for level in levels])
        rates = np.array([np.log(np.maximum(spectrum / level, 1)).sum() / 2 for level in levels])
        seen = errors > 0.02 * total
        curves.append(Curve(f"rate distortion, {name}", errors[seen] / total, rates[seen]))
        noise = np.geomspace(0.006, 3, 13)
        true = np.array([np.sum(spectrum * v / (spectrum + v)) for v in noise]) / total
        tokens = np.diag(np.sqrt(d * spectrum))
        found = np.array([float(srr.coding_rate(tokens, eps=math.sqrt(d * v))) for v in noise])
        points.append(Points(f"R at its error, {name}", true[true > 0.02], found[true > 0.02]))
    return Figure(
        title="The coding rate as a point above the rate distortion function",
        x_label="squared error D / tr Σ",
        y_label="nats",
        curves=tuple(curves),
        points=tuple(points),
        caption="Gaussian sources in dimension 4. R at ε² is enough for the smaller error D = Σ λν/(λ + ν), ν = ε²/d: "
        "exactly what is needed for a flat spectrum, more for any other.",
    )


def angle_between_two_classes() -> Figure:
    """Two classes on one line each: the rate of the whole lies between the rate of the classes and their sum."""
    m, eps, d = 3, 0.5, 4
    alpha = d / (2 * m * eps**2)
    line, grid = np.linspace(0, 1, 60), np.linspace(0, 1, 13)
    Pi, whole, parts = np.repeat(np.eye(2), m, axis=0), [], []
    for angle in grid * math.pi / 2:
        directions = np.array([[1, 0, 0, 0], [math.cos(angle), math.sin(angle), 0, 0]])
        Z = Pi @ directions
        whole.append(float(srr.coding_rate(Z, eps=eps)))
        parts.append(float(srr.partition_coding_rate(Z, Pi, eps=eps)))
    x = alpha * m
    cosine = np.cos(line * math.pi / 2)
    ends = (0.0, 1.0)
    return Figure(
        title="Two classes on two lines: the rate between its bounds",
        x_label="angle between the lines / (π/2)",
        y_label="nats",
        curves=(
            Curve("½ log((1 + x)² − x² cos² φ)", line, np.log((1 + x) ** 2 - (x * cosine) ** 2) / 2),
            Curve("½ log(1 + 2x), the rate of the classes", ends, [math.log1p(2 * x) / 2] * 2),
            Curve("log(1 + x): the sum over the parts", ends, [math.log1p(x)] * 2),
        ),
        points=(Points("R", grid, whole), Points("Rᶜ(Z|Π)", grid, parts)),
        caption=f"{m} unit tokens on each line, ε = {eps}, x = αn_k. What is between R and Rᶜ is the rate reduction: "
        "zero where the lines coincide, largest at right angles, where R is the largest at this energy.",
    )


def circle() -> Figure:
    """Bits that name a ball of a cover of the circle, and the coding rate, over the rate distortion."""
    with ctx.workprec(128):
        kappas = [arb(10) ** (arb(i) / 5) for i in range(1, 26)]
        bessel = [(k.bessel_i(0), k.bessel_i(1)) for k in kappas]
        eps = np.array([float((1 - (b / a) ** 2).sqrt()) for a, b in bessel])
        least = np.array([float(k * b / a - a.log()) for k, (a, b) in zip(kappas, bessel, strict=True)]) / math.log(2)
    names = np.array([math.log2(math.ceil(math.pi / 2 / math.asin(e / 2))) for e in eps])
    n = 8
    turns = 2 * math.pi * np.arange(n) / n
    tokens = np.stack([np.cos(turns), np.sin(turns)], axis=1)
    rates = [float(srr.coding_rate(tokens, eps=e)) / math.log(2) for e in eps]
    return Figure(
        title="Tokens on a circle: the rate distortion, a cover, and the coding rate",
        x_label="ε",
        y_label="bits",
        curves=(
            Curve("rate distortion R", eps, least),
            Curve("R + ½ log₂(πe/2)", eps, least + math.log2(math.pi * math.e / 2) / 2),
            Curve("log₂(1 + 1/ε²)", eps, np.log2(1 + 1 / eps**2)),
        ),
        points=(
            Points("naming a ball of the best cover", eps[::2], names[::2]),
            Points("coding rate", eps[::2], rates[::2]),
        ),
        x_log=True,
        caption="Naming a ball takes 1.047 bits more than the least rate, in the limit. The coding rate grows twice as "
        "fast: it counts the two dimensions of the plane for a set of one.",
    )


def rates_of_samples() -> Figure:
    """Mean rates of samples of m Gaussian tokens, below that of the population, and Wishart's expectation of them."""
    d, eps, sets = 4, 0.02, 200
    rng = np.random.default_rng(0)
    sizes = np.array([4, 5, 6, 8, 12, 16, 24, 32, 64])
    found = [float(np.mean(srr.coding_rate(rng.standard_normal((sets, m, d)), eps=eps))) for m in sizes]
    with ctx.workprec(128):
        digammas = np.array([sum(float((arb(int(m) - i) / 2).digamma()) for i in range(d)) for m in sizes])
    theory = (d * np.log(2 * d / (sizes * eps**2)) + digammas) / 2
    population = d / 2 * math.log1p(d / eps**2)
    return Figure(
        title="The rate of a sample is on average below that of its source",
        x_label="tokens in the sample",
        y_label="coding rate (nats)",
        curves=(
            Curve("the source, ½ log det(I + d/ε² Σ)", sizes[[0, -1]], (population, population)),
            Curve("½(d log(2d/mε²) + Σ ψ((m − i)/2)), small ε", sizes, theory),
        ),
        points=(Points(f"mean of {sets} samples", sizes, found),),
        caption=f"Gaussian tokens in dimension {d}, ε = {eps}. log det is concave, so that samples underestimate; as ε "
        "tends to zero by how much is known from Wishart's distribution.",
    )


def labels_see_clusters() -> Figure:
    """Two orthogonal classes whose tokens are mixed by a rotation, which no second moment of the whole sees."""
    eps, d, square = 0.5, 2, (1.5, 0.5)
    alpha = d / (2 * eps**2)
    line, grid = np.linspace(0, 1, 60), np.linspace(0, 1, 13)
    Pi, U = np.eye(2), np.eye(2)[:, :, None]
    labelled, subspaces = [], []
    for angle in grid * math.pi / 2:
        turn = np.array([[math.cos(angle), math.sin(angle)], [-math.sin(angle), math.cos(angle)]])
        Z = turn @ np.diag(np.sqrt(square))
        labelled.append(float(srr.rate_reduction(Z, Pi=Pi, eps=eps)))
        subspaces.append(float(srr.rate_reduction(Z, U=U, eps=eps)))
    first = square[0] * np.cos(line * math.pi / 2) ** 2 + square[1] * np.sin(line * math.pi / 2) ** 2
    whole = sum(math.log1p(alpha * s) for s in square) / 2
    theory = whole - (np.log1p(2 * alpha * first) + np.log1p(2 * alpha * (sum(square) - first))) / 4
    best = whole - sum(math.log1p(2 * alpha * s) for s in square) / 4
    rest = whole - sum(math.log1p(alpha / d * s) for s in square) / 2
    ends = (0.0, 1.0)
    return Figure(
        title="Tokens of two classes mixed by a rotation: labels see it, subspaces do not",
        x_label="angle of the rotation / (π/2)",
        y_label="ΔR (nats)",
        curves=(
            Curve("ΔR(ZV|Π), in closed form", line, theory),
            Curve("constant: ΔR(ZV|U)", ends, (rest, rest)),
            Curve("the bound, of unmixed classes", ends, (best, best)),
        ),
        points=(Points("labelled", grid, labelled), Points("against subspaces", grid, subspaces)),
        caption="Two orthogonal tokens of squared lengths 1.5 and 0.5, a class and a subspace each, ε = ½. The second "
        "moment of the whole never changes: ΔR(Z|U) stays, and ΔR(Z|Π) is largest where the classes are apart.",
    )


def length_of_the_gradient() -> Figure:
    """The gradient of Rᶜ for tokens of equal singular values, in orthogonal and in coinciding heads."""
    n, p, eps = 8, 2, 0.5
    beta = p / (n * eps**2)
    frame = np.linalg.qr(np.random.default_rng(0).standard_normal((n, p)))[0]
    line, grid = np.geomspace(0.03, 30, 60), np.geomspace(0.03, 30, 16)
    curves, points = [], []
    for K in (1, 2):
        U = np.repeat(np.eye(p)[None], K, axis=0)
        found = [
            np.linalg.norm(srr.subspace_coding_rate_and_gradient(s / math.sqrt(beta) * frame, U, eps=eps)[1])
            for s in grid
        ]
        curves.append(Curve(f"Kt/(1 + t²), K = {K}", line, K * line / (1 + line**2)))
        points.append(Points(f"srr, K = {K} equal heads", grid, np.array(found) / math.sqrt(p * beta)))
    return Figure(
        title="The gradient of the compression rate is short for long tokens",
        x_label="t = √β s",
        y_label="‖∇Rᶜ‖ / √(pβ)",
        curves=(*curves, Curve("t: the bound β‖Z‖ for orthogonal heads", line[line < 2], line[line < 2])),
        points=tuple(points),
        x_log=True,
        y_log=True,
        caption=f"{n} tokens whose {p} singular values are s. The bound is what short tokens reach, in K coinciding "
        "heads K times as much; beyond t = 1 the gradient falls off as 1/t.",
    )


def official_measure_by_spread() -> Figure:
    """Unit tokens in heads of two dimensions, half at +φ and half at −φ: from parallel to isotropic."""
    K, p, n = 3, 2, 4
    line, grid = np.linspace(0, 1, 60), np.linspace(0, 1, 13)
    signs, curves, points = np.tile([1.0, -1.0], n // 2), [], []
    ends = (0.0, 1.0)
    for eps in (0.1, 0.5):
        found = []
        for angle in grid * math.pi / 4:
            tokens = np.stack([np.full(n, math.cos(angle)), signs * math.sin(angle)], axis=1)
            found.append(K * float(srr.coding_rate(tokens, eps=eps)))
        x, phi = p / eps**2, line * math.pi / 4
        theory = K / 2 * (np.log1p(x * np.cos(phi) ** 2) + np.log1p(x * np.sin(phi) ** 2))
        curves.append(Curve(f"theory, ε = {eps}", line, theory))
        points.append(Points(f"srr, ε = {eps}", grid, found))
    least, most = K / 2 * math.log1p(p / 0.01), K * p / 2 * math.log1p(1 / 0.01)
    return Figure(
        title="What the official measure of compression measures: how isotropic normalised heads are",
        x_label="φ / (π/4): from parallel to isotropic",
        y_label="official measure (nats)",
        curves=(
            *curves,
            Curve("(K/2) log(1 + p/ε²), the least", ends, (least, least)),
            Curve("(Kp/2) log(1 + 1/ε²), the most", ends, (most, most)),
        ),
        points=tuple(points),
        caption=f"{n} unit tokens in each of {K} heads of dimension {p}, at angles ±φ. Both ends are attained; they "
        "are drawn for ε = 0.1, that of the official code.",
    )
