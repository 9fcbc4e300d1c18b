"""Enclosures of what is read off second moments: ToST's rate, the share of noise, the distance from the sphere.

In float64, with bounds on everything that rounding can have done, after Higham, *Accuracy and Stability of Numerical
Algorithms* (2002), eq. 3.5; the assumptions are those of ``srr/_verified.py``.
"""

from __future__ import annotations

import math

import numpy as np

from srr._verified import gamma
from srr.enclosure import Enclosure

ROUNDOFF = 2.0**-53
TAME = 1e100
"""Larger numbers, and constants smaller than its inverse, are left to exact arithmetic."""
UNDERFLOW = 1e-200
"""More than all products below the smallest normal float can add up to when the rest is tame."""
NOTHING = Enclosure(np.asarray(-math.inf), np.asarray(math.inf))
"""What says nothing."""


def variational_rate(Z: np.ndarray, Pi: np.ndarray, U: np.ndarray, c: float) -> Enclosure:
    """½ Σ_k (n_k/n) Σ_i log(1 + c v_ki), v_ki = Σ_j π_jk (ZU_k)²_ji / n_k."""
    if not (_tame(Z, U) and 1 / TAME < c < TAME):
        return NOTHING
    n, d = Z.shape
    sizes = np.array([math.fsum(part) for part in Pi.T.tolist()])
    shares = Pi.T / np.where(sizes > 0, sizes, 1.0)[:, None]
    Y = Z @ U
    wrong = 1.1 * gamma(d) * np.linalg.norm(Z, axis=1)[:, None] * np.linalg.norm(U, axis=1)[:, None, :]
    v = np.einsum("kn,knp->kp", shares, Y**2)
    moved = 1.1 * np.einsum("kn,knp->kp", shares, (2 * np.abs(Y) + wrong) * wrong) + gamma(n + 8) * v
    logs = np.log1p(c * v)
    bounds = 1.1 * c * moved / (1 + c * np.maximum(v - moved, 0)) + 8 * ROUNDOFF * logs
    value = float(sizes / n @ logs.sum(-1)) / 2
    bound = float(sizes / n @ bounds.sum(-1)) / 2 + gamma(logs.size + 8) * value
    return _around(value, 1.1 * bound + UNDERFLOW)


def noise_share(Z: np.ndarray, Pi: np.ndarray, U: np.ndarray) -> Enclosure:
    """N/(N + S), N = Σ π_jk ‖z_j − U_kU_kᵀz_j‖² and S = Σ π_jk ‖U_kᵀz_j‖²."""
    if not _tame(Z, U):
        return NOTHING
    Y = Z @ U
    outside = Z - Y @ U.swapaxes(1, 2)
    size, norms = np.linalg.norm(Z, axis=1), 1.1 * np.linalg.norm(U, axis=(1, 2))[:, None]
    inner, outer = np.linalg.norm(Y, axis=2), np.linalg.norm(outside, axis=2)
    wrong = 1.1 * gamma(sum(U.shape[1:]) + 3) * size * norms
    off = wrong * (1 + norms) + gamma(2) * (size + inner * norms)
    signal, noise = float(np.sum(Pi.T * inner**2)), float(np.sum(Pi.T * outer**2))
    room = 1.1 * gamma(Z.size * len(U) + 8)
    d_signal = 1.1 * float(np.sum(Pi.T * (2 * inner + wrong) * wrong)) + room * signal + UNDERFLOW
    d_noise = 1.1 * float(np.sum(Pi.T * (2 * outer + off) * off)) + room * noise + UNDERFLOW
    if not noise + signal > 2 * (d_noise + d_signal):
        return NOTHING
    moved = 1.1 * (d_noise * signal + d_signal * noise + d_noise * d_signal) / (noise + signal) ** 2 * 4
    return _around(noise / (noise + signal), moved + room)


def off_sphere(Z: np.ndarray) -> Enclosure:
    """Σ_i (‖z_i‖² − 1)²."""
    if not _tame(Z):
        return NOTHING
    squares = np.sum(Z * Z, axis=1)
    off, wrong = np.abs(squares - 1), 1.1 * gamma(Z.shape[1] + 2) * (squares + 1)
    value = float(np.sum(off * off))
    bound = float(np.sum((2 * off + wrong) * wrong)) + gamma(Z.size + 2) * value
    return _around(value, 1.1 * bound + UNDERFLOW)


def _around(value: float, bound: float) -> Enclosure:
    return Enclosure(np.nextafter(value - bound, -math.inf), np.nextafter(value + bound, math.inf))


def _tame(*arrays: np.ndarray) -> bool:
    return all(float(np.max(np.abs(a))) < TAME for a in arrays)
