"""Subspaces for tokens that come without."""

from __future__ import annotations

import numpy as np

ROUNDS = 100
STARTS = 10


def fit(Z: np.ndarray, K: int, p: int, *, seed: int) -> np.ndarray:
    """Orthonormal bases ``(K, d, p)`` of K subspaces through the origin that keep as much of ``Z`` as found.

    K-subspaces: each token goes to the subspace that keeps most of it, each subspace is then the best for its
    tokens, until no more is kept; the best of ten starts from random subspaces. (Bradley and Mangasarian 2000.)

    Parameters
    ----------
    Z : (n, d)
        Tokens, not centred, as in the coding rates.
    K, p : int
        How many subspaces, of which dimension ≤ d.
    seed : int
    """
    tokens = Z.astype(np.float64)
    rng = np.random.Generator(np.random.PCG64(np.random.SeedSequence(seed)))
    bases = max((_one_start(tokens, K, p, rng) for _ in range(STARTS)), key=lambda U: kept(tokens, U))
    return bases.astype(Z.dtype)


def kept(Z: np.ndarray, U: np.ndarray) -> float:
    """The share of |Z|² that projection of each token onto its nearest subspace keeps."""
    total = float(np.sum(Z * Z))
    return float(np.sum(_energies(Z, U).max(axis=0))) / total if total else 1.0


def own_part(Z: np.ndarray, U: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Each token projected onto the subspace of its label, U_sU_sᵀz, ``(n, d)``; the bases are orthonormal."""
    own = U[labels]
    inside: np.ndarray = np.einsum("ndp,np->nd", own, np.einsum("ndp,nd->np", own, Z))
    return inside


def _one_start(Z: np.ndarray, K: int, p: int, rng: np.random.Generator) -> np.ndarray:
    U = np.linalg.qr(rng.standard_normal((K, Z.shape[1], p)))[0]
    before = -1.0
    for _ in range(ROUNDS):
        energies = _energies(Z, U)
        labels, now = energies.argmax(axis=0), float(energies.max(axis=0).sum())
        if now <= before * (1 + 1e-9):  # ties and rounding could move tokens to and fro for ever
            break
        before = now
        U = np.stack([_principal(Z[labels == k], p) if (labels == k).any() else U[k] for k in range(K)])
    return U


def _energies(Z: np.ndarray, U: np.ndarray) -> np.ndarray:
    return np.stack([np.einsum("np,np->n", Y, Y) for Y in (Z @ basis for basis in U)])


def _principal(Z: np.ndarray, p: int) -> np.ndarray:
    return np.linalg.eigh(Z.T @ Z)[1][:, ::-1][:, :p]
