"""Figures of the rates."""

from __future__ import annotations

import math

import numpy as np

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
