"""A sparse autoencoder with one hidden layer of rectified units, in NumPy."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

BATCH = 256
MOMENTS = (0.9, 0.999)


@dataclass(frozen=True, eq=False)
class SparseAutoencoder:
    """x ≈ f W + b with the code f = max(0, (x − b) V + c); the rows of W have norm one.

    Attributes
    ----------
    encode, encode_bias : arrays, shapes (d, m) and (m,)
        V and c.
    decode, decode_bias : arrays, shapes (m, d) and (d,)
        W and b.
    """

    encode: np.ndarray
    encode_bias: np.ndarray
    decode: np.ndarray
    decode_bias: np.ndarray

    def code(self, X: np.ndarray) -> np.ndarray:
        """f, ``(n, m)``."""
        return np.maximum((X - self.decode_bias) @ self.encode + self.encode_bias, 0)

    def decoded(self, code: np.ndarray) -> np.ndarray:
        """f W + b, ``(n, d)``."""
        return code @ self.decode + self.decode_bias


def loss(model: SparseAutoencoder, X: np.ndarray, *, lam: float) -> float:
    """½‖x − (f W + b)‖² + λ‖f‖₁, the mean over the tokens X ``(n, d)``."""
    code = model.code(X)
    return float(np.sum((X - model.decoded(code)) ** 2) / 2 + lam * code.sum()) / len(X)


def gradient(model: SparseAutoencoder, X: np.ndarray, *, lam: float) -> tuple[np.ndarray, ...]:
    """The derivatives of `loss` by V, c, W and b."""
    n, centred = len(X), X - model.decode_bias
    code = model.code(X)
    error = (model.decoded(code) - X) / n
    inner = (error @ model.decode.T + lam / n) * (code > 0)
    return centred.T @ inner, inner.sum(axis=0), code.T @ error, error.sum(axis=0) - model.encode @ inner.sum(axis=0)


def train(X: np.ndarray, m: int, *, lam: float, steps: int, rate: float, seed: int) -> SparseAutoencoder:
    """m features trained by Adam on batches of 256 tokens of X ``(n, d)``; the step falls to zero over the last fifth.

    W starts at random unit vectors and V at its transpose; W is scaled back to unit rows after each step.

    Notes
    -----
    Bricken et al. 2023, Towards Monosemanticity, without their revival of dead features; Kingma and Ba 2015.
    """
    rng = np.random.Generator(np.random.PCG64(np.random.SeedSequence(seed)))
    W = _unit(rng.standard_normal((m, X.shape[1])))
    weights = [W.T.copy(), np.zeros(m), W, X.mean(axis=0)]
    first, second = ([np.zeros_like(w) for w in weights] for _ in range(2))
    for step in range(1, steps + 1):
        batch = X[rng.integers(len(X), size=BATCH)]
        slopes = gradient(SparseAutoencoder(*weights), batch, lam=lam)
        pace = rate * min(1.0, 5 * (steps - step) / steps)
        for i, slope in enumerate(slopes):
            first[i] += (1 - MOMENTS[0]) * (slope - first[i])
            second[i] += (1 - MOMENTS[1]) * (slope * slope - second[i])
            mean, square = first[i] / (1 - MOMENTS[0] ** step), second[i] / (1 - MOMENTS[1] ** step)
            weights[i] = weights[i] - pace * mean / (np.sqrt(square) + 1e-8)
        weights[2] = _unit(weights[2])
    return SparseAutoencoder(*weights)


def _unit(rows: np.ndarray) -> np.ndarray:
    unit: np.ndarray = rows / np.linalg.norm(rows, axis=1, keepdims=True)
    return unit
