"""Real tokens: patches of the handwritten digits that scikit-learn carries with it."""

from __future__ import annotations

import numpy as np

from verify.extras import require

PATCH = 4
"""Pixels along a side; the images have 8."""


def patches(n: int, *, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """n patches drawn without replacement, and all that there are, each ``(., 16)``, of unit norm, none blank.

    Source: the optical recognition of handwritten digits data set of E. Alpaydin and C. Kaynak (1998), bundled with
    scikit-learn: 1,797 images.

    Raises
    ------
    ValueError
        scikit-learn is missing, or n is more than there are.
    """
    require("sklearn", "data digits")
    from sklearn.datasets import load_digits

    images = load_digits().images
    side = images.shape[1] // PATCH
    tokens = images.reshape(-1, side, PATCH, side, PATCH).swapaxes(2, 3).reshape(-1, PATCH * PATCH)
    norms = np.linalg.norm(tokens, axis=1, keepdims=True)
    everything = (tokens / np.where(norms > 0, norms, 1))[norms[:, 0] > 0]
    if n > len(everything):
        raise ValueError(f"n must be <= {len(everything)}, the patches there are, got {n}")
    rng = np.random.Generator(np.random.PCG64(np.random.SeedSequence(seed)))
    return everything[rng.permutation(len(everything))[:n]], everything
