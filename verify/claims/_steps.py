"""What the claims about steps have in common: heads, their spectra, and when a descent can be seen at all."""

from __future__ import annotations

from typing import Any

import numpy as np
from array_api_compat import array_namespace

from srr import coding_rate
from verify.arrays import to_numpy, unit_roundoff
from verify.case import Case
from verify.claims._instances import norm
from verify.decide import Decision
from verify.outcome import THRESHOLD

Array = Any


def heads(Z: Array, U: Array) -> Array:
    """Y_k = Z U_k, (K, n, p)."""
    return array_namespace(Z).matmul(Z, U)


def gather(Y: Array, U: Array) -> Array:
    """Σ_k Y_k U_kᵀ, (n, d)."""
    xp = array_namespace(Y)
    return xp.sum(xp.matmul(Y, xp.matrix_transpose(U)), axis=0)


def spectra(Z: Array, U: Array, eps: float) -> np.ndarray:
    """The eigenvalues x of β Y_kᵀY_k, (K, p)."""
    Y = to_numpy(heads(Z, U))
    beta = Y.shape[2] / (Y.shape[1] * eps**2)
    s = np.linalg.svd(Y, compute_uv=False)
    return np.pad(beta * s**2, ((0, 0), (0, Y.shape[2] - s.shape[1])))


def softmax(Y: Array) -> np.ndarray:
    """S_k, the row softmax of Y_k Y_kᵀ, (K, n, n)."""
    A = to_numpy(Y) @ to_numpy(Y).swapaxes(1, 2)
    E = np.exp(A - A.max(axis=-1, keepdims=True))
    return E / E.sum(axis=-1, keepdims=True)


def attended(Z: Array, U: Array, *, scale: float, causal: bool = False) -> np.ndarray:
    """[softmax(c Y_kY_kᵀ) Y_k]_k side by side, (n, K p), one token after the other; causal: over those up to it."""
    Y = to_numpy(heads(Z, U)).astype(np.float64)
    rows = []
    for t in range(Y.shape[1]):
        seen = Y[:, : t + 1] if causal else Y
        scores = scale * np.einsum("kip,kp->ki", seen, Y[:, t])
        weights = np.exp(scores - scores.max(axis=1, keepdims=True))
        weights /= weights.sum(axis=1, keepdims=True)
        rows.append(np.einsum("ki,kip->kp", weights, seen).ravel())
    return np.stack(rows)


def official_measure(Z: Array, U: Array, *, eps: float = 0.1) -> float:
    """What the code of CRATE measures for Rᶜ: Σ_k R of the tokens of head k, each divided by its norm."""
    xp = array_namespace(Z)
    Y = heads(Z, U)
    return float(xp.sum(coding_rate(Y / xp.linalg.vector_norm(Y, axis=-1, keepdims=True), eps=eps)))


def inner(a: Array, b: Array) -> float:
    """⟨a, b⟩."""
    return float(np.sum(to_numpy(a) * to_numpy(b)))


def coarseness(a: Array) -> float:
    """The unit roundoff of an array in units of float64's, for float64 numbers that were computed from it."""
    return unit_roundoff(a) / unit_roundoff(1.0)


def comparison(left: Decision, right: Decision) -> int | None:
    """The sign of left − right of two enclosed values; None if the enclosures overlap."""
    if left.upper < right.lower:
        return -1
    if left.lower > right.upper:
        return 1
    return 0 if left.lower == left.upper == right.lower == right.upper else None


def assume_visible(case: Case, promised: float, before: Array, after: Array, slope: float) -> None:
    """Reject the instance unless the descent that theory promises is more than rounding can take back.

    What is decided is the change between the arrays as stored, so near a stationary point it is the change
    made by rounding them. That is at most ``slope`` times the distance by which they are rounded, for which
    30 · max(n, d) · u · (|before| + |after|) is taken, as in `verify.outcome`. No decision is loosened by
    it.
    """
    rounded = THRESHOLD * max(after.shape) * unit_roundoff(after) * (norm(before) + norm(after))
    case.assume(promised > rounded * slope)
