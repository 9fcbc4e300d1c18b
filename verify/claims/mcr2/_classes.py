"""Orthogonal classes in random position, and the curvature of a function of tokens."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from verify.case import Case
from verify.claims._instances import rotation

Array = Any


def orthogonal(case: Case, rng: np.random.Generator, spectra: Sequence[np.ndarray], sizes: Sequence[int]) -> Array:
    """Mutually orthogonal classes with these singular values, in random position; tokens are rows."""
    Q = rotation(rng, sum(len(s) for s in spectra))
    rows, start = [], 0
    for s, size in zip(spectra, sizes, strict=True):
        V = np.linalg.qr(rng.standard_normal((size, len(s))))[0]
        rows.append((V * s) @ Q[start : start + len(s)])
        start += len(s)
    return case.asarray(np.concatenate(rows))


def labels(case: Case, sizes: Sequence[int]) -> Array:
    """Π of tokens class by class."""
    return case.asarray(np.repeat(np.eye(len(sizes)), sizes, axis=0))


def hessian(gradient: Callable[[np.ndarray], np.ndarray], Z: np.ndarray) -> np.ndarray:
    """By central differences of the gradient, in float64."""
    size, h = Z.size, 1e-5
    columns = []
    for i in range(size):
        H = np.zeros(size)
        H[i] = h
        H = H.reshape(Z.shape)
        columns.append((gradient(Z + H) - gradient(Z - H)).ravel() / (2 * h))
    M = np.stack(columns)
    return (M + M.T) / 2
