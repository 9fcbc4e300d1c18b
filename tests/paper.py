"""The papers' formulas as printed: tokens in columns, Z (d, N), dense N × N inverses, one head at a time."""

import numpy as np
from scipy.special import softmax


def gradient(Z, U, eps):
    """N23 eq. 9."""
    (_, N), p = Z.shape, U.shape[-1]
    gamma = p / (N * eps**2)
    total = np.zeros_like(Z)
    for basis in U:
        Y = basis.T @ Z
        total += gamma * basis @ basis.T @ Z @ np.linalg.inv(np.eye(N) + gamma * Y.T @ Y)
    return total


def neumann_gradient(Z, U, eps):
    """N23 eq. 67 to 69."""
    (_, N), p = Z.shape, U.shape[-1]
    gamma = p / (N * eps**2)
    first = gamma * sum(basis @ basis.T for basis in U) @ Z
    return first - gamma**2 * sum(basis @ (basis.T @ Z) @ (Z.T @ basis @ basis.T @ Z) for basis in U)


def ssa(Z, basis):
    """N23 eq. 11."""
    Y = basis.T @ Z
    return Y @ softmax(Y.T @ Y, axis=0)


def mssa(Z, U, eps):
    """N23 eq. 12."""
    N, p = Z.shape[1], U.shape[-1]
    return p / (N * eps**2) * np.concatenate(list(U), axis=1) @ np.concatenate([ssa(Z, basis) for basis in U])


def ista(Z, A, D, step, lam):
    """N23 eq. 17 with the code A beside the tokens Z."""
    return np.maximum(A + step * D.T @ (Z - D @ A) - step * lam, 0)


def coding_rate(Z, eps):
    """N23 eq. 7."""
    d, N = Z.shape
    return np.linalg.slogdet(np.eye(N) + d / (N * eps**2) * Z.T @ Z)[1] / 2


def subspace_coding_rate(Z, U, eps):
    """N23 eq. 8."""
    return sum(coding_rate(basis.T @ Z, eps) for basis in U)
