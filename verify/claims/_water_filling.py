"""The rate distortion of a Gaussian source, solved exactly (Cover and Thomas, theorem 10.3.3)."""

from __future__ import annotations

import numpy as np


def water_level(spectrum: np.ndarray, distortion: float) -> float:
    """θ with Σ min(θ, λ_i) = distortion, or the largest λ if the distortion is no less than their sum."""
    ascending = np.sort(spectrum)
    left = len(ascending)
    for value in ascending:
        if value * left >= distortion:
            return distortion / left
        distortion, left = distortion - value, left - 1
    return float(ascending[-1])


def rate_distortion(spectrum: np.ndarray, distortion: float) -> float:
    """Σ ½ log max(λ_i/θ, 1): the rate of a Gaussian source at that total squared error, by reverse water-filling."""
    level = water_level(spectrum, distortion)
    return float(np.sum(np.log(np.maximum(spectrum, level) / level)) / 2)
