"""Rates and norms in float64, each with a bound on everything that rounding can have done to it.

Every function returns ``(value, bound)``, the exact value being in ``value ± bound``; an infinite bound says
nothing. The bounds are a priori, after Higham, *Accuracy and Stability of Numerical Algorithms* (2002):
γ_m = mu/(1 - mu) for sums of m products in any order (eq. 3.5), |ΔM| ≤ γ_{q+1}/(1 - γ_{q+1}) √(m_ii m_jj) for
Cholesky (theorem 10.5). They take for granted that the BLAS sums conventionally and that ``log`` errs by at
most 4 units in the last place.

What makes them cheap is M = I + αYᵀY ≥ I: a perturbation with ‖E‖ = e < 1 moves ½ log det M by at most
½ √q e/(1 - e).
"""

from __future__ import annotations

import math

import numpy as np

ROUNDOFF = 2.0**-53
TAME = 1e100
"""Larger numbers, and constants smaller than its inverse, are left to exact arithmetic."""
UNDERFLOW = 1e-200
"""More than all products below the smallest normal float can add up to when the rest is tame."""


def coding_rate(Z: np.ndarray, alpha: float) -> tuple[float, float]:
    """½ log det(I + α ZᵀZ)."""
    if not _tame(Z):
        return 0.0, math.inf
    return _half_log_dets(Z[None], np.array([alpha]), np.zeros(1))


def subspace_coding_rate(Z: np.ndarray, U: np.ndarray, beta: float) -> tuple[float, float]:
    """½ Σ_k log det(I + β U_kᵀZᵀZU_k)."""
    if not _tame(Z, U):
        return 0.0, math.inf
    rounded = _gamma(Z.shape[1]) * _norms(Z[None]) * _norms(U)  # of the projections Z U_k
    return _half_log_dets(Z @ U, np.full(len(U), beta), rounded)


def partition_coding_rate(
    Z: np.ndarray, Pi: np.ndarray, alphas: np.ndarray, weights: np.ndarray
) -> tuple[float, float]:
    """Σ_k w_k/2 log det(I + α_k ZᵀΠ_k Z)."""
    if not _tame(Z):
        return 0.0, math.inf
    Y = np.sqrt(Pi.T)[:, :, None] * Z
    return _half_log_dets(Y, alphas, 4 * ROUNDOFF * _norms(Y), weights)


def variational_rate(Z: np.ndarray, Pi: np.ndarray, U: np.ndarray, c: float) -> tuple[float, float]:
    """½ Σ_k (n_k/n) Σ_i log(1 + c v_ki), v_ki = Σ_j π_jk (ZU_k)²_ji / n_k."""
    if not (_tame(Z, U) and 1 / TAME < c < TAME):
        return 0.0, math.inf
    n, d = Z.shape
    sizes = np.array([math.fsum(part) for part in Pi.T.tolist()])
    shares = Pi.T / np.where(sizes > 0, sizes, 1.0)[:, None]
    Y = Z @ U
    wrong = 1.1 * _gamma(d) * np.linalg.norm(Z, axis=1)[:, None] * np.linalg.norm(U, axis=1)[:, None, :]
    v = np.einsum("kn,knp->kp", shares, Y**2)
    moved = 1.1 * np.einsum("kn,knp->kp", shares, (2 * np.abs(Y) + wrong) * wrong) + _gamma(n + 8) * v
    logs = np.log1p(c * v)
    bounds = 1.1 * c * moved / (1 + c * np.maximum(v - moved, 0)) + 8 * ROUNDOFF * logs
    value = float(sizes / n @ logs.sum(-1)) / 2
    bound = float(sizes / n @ bounds.sum(-1)) / 2 + _gamma(logs.size + 8) * value
    return value, 1.1 * bound + UNDERFLOW


def noise_share(Z: np.ndarray, Pi: np.ndarray, U: np.ndarray) -> tuple[float, float]:
    """N/(N + S), N = Σ π_jk ‖z_j − U_kU_kᵀz_j‖² and S = Σ π_jk ‖U_kᵀz_j‖²."""
    if not _tame(Z, U):
        return 0.0, math.inf
    Y = Z @ U
    outside = Z - Y @ U.swapaxes(1, 2)
    size, norms = np.linalg.norm(Z, axis=1), _norms(U)[:, None]
    inner, outer = np.linalg.norm(Y, axis=2), np.linalg.norm(outside, axis=2)
    wrong = 1.1 * _gamma(sum(U.shape[1:]) + 3) * size * norms
    off = wrong * (1 + norms) + _gamma(2) * (size + inner * norms)
    signal, noise = float(np.sum(Pi.T * inner**2)), float(np.sum(Pi.T * outer**2))
    room = 1.1 * _gamma(Z.size * len(U) + 8)
    d_signal = 1.1 * float(np.sum(Pi.T * (2 * inner + wrong) * wrong)) + room * signal + UNDERFLOW
    d_noise = 1.1 * float(np.sum(Pi.T * (2 * outer + off) * off)) + room * noise + UNDERFLOW
    if not noise + signal > 2 * (d_noise + d_signal):
        return 0.0, math.inf
    value = noise / (noise + signal)
    return value, 1.1 * (d_noise * signal + d_signal * noise + d_noise * d_signal) / (noise + signal) ** 2 * 4 + room


def l1(A: np.ndarray) -> tuple[float, float]:
    """|A|₁."""
    value = math.fsum(np.abs(A).ravel().tolist())  # correctly rounded
    return value, ROUNDOFF * value


def half_squared_residual(Z: np.ndarray, D: np.ndarray, A: np.ndarray) -> tuple[float, float]:
    """½|Z - A Dᵀ|²."""
    if not _tame(Z, D, A):
        return 0.0, math.inf
    residual = np.abs(Z - A @ D.T)
    wrong = 1.1 * _gamma(A.shape[1] + 2) * (np.abs(Z) + np.abs(A) @ np.abs(D.T))
    value = float(np.sum(residual * residual)) / 2
    bound = float(np.sum((residual + wrong) * wrong)) + _gamma(Z.size + 2) * value
    return value, 1.1 * bound + UNDERFLOW


def off_sphere(Z: np.ndarray) -> tuple[float, float]:
    """Σ_i (|z_i|² - 1)²."""
    if not _tame(Z):
        return 0.0, math.inf
    squares = np.sum(Z * Z, axis=1)
    residual, wrong = np.abs(squares - 1), 1.1 * _gamma(Z.shape[1] + 2) * (squares + 1)
    value = float(np.sum(residual * residual))
    bound = float(np.sum((2 * residual + wrong) * wrong)) + _gamma(len(Z) + 2) * value
    return value, 1.1 * bound + UNDERFLOW


def _half_log_dets(
    Y: np.ndarray, alpha: np.ndarray, projection: np.ndarray, weights: np.ndarray | None = None
) -> tuple[float, float]:
    # Y (K, n, q), alpha (K,), projection (K,) bounding the Frobenius norm of the error of Y.
    if Y.shape[1] < Y.shape[2]:
        Y = Y.swapaxes(1, 2)
    K, n, q = Y.shape
    if not (alpha.min() > 1 / TAME and alpha.max() < TAME):
        return 0.0, math.inf
    M = alpha[:, None, None] * (Y.swapaxes(1, 2) @ Y)
    diagonal = np.arange(q)
    M[:, diagonal, diagonal] += 1
    try:
        L = np.linalg.cholesky(M)
    except np.linalg.LinAlgError:
        return 0.0, math.inf
    logs = np.log(L[:, diagonal, diagonal])
    values = logs.sum(-1)
    moved = 1.1 * (_gamma(n) + _gamma(q + 1) + 5 * ROUNDOFF) * np.trace(M, axis1=1, axis2=2)
    if not moved.max() < 0.5:
        return 0.0, math.inf
    bounds = math.sqrt(q) / 2 * (moved / (1 - moved) + np.sqrt(alpha) * projection)
    bounds += _gamma(q + 8) * np.abs(logs).sum(-1) + 4 * q * ROUNDOFF  # the logs, their sum, and alpha
    if weights is not None:
        values, bounds = weights * values, weights * (bounds + 8 * ROUNDOFF * np.abs(values))
    bound = bounds.sum() + _gamma(K) * np.abs(values).sum()
    return float(values.sum()), 1.1 * float(bound) + UNDERFLOW


def _norms(Y: np.ndarray) -> np.ndarray:
    return 1.1 * np.sqrt(np.sum(Y * Y, axis=(1, 2)))


def _gamma(m: int) -> float:
    return m * ROUNDOFF / (1 - m * ROUNDOFF)


def _tame(*arrays: np.ndarray) -> bool:
    return all(float(np.max(np.abs(a))) < TAME for a in arrays)
