"""What the claims about rates are tried on, and how far rounding can move a rate."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from verify.arrays import to_numpy
from verify.case import Case

Array = Any

SIZES = ((1, 1), (1, 2), (2, 1), (3, 3), (2, 4), (5, 3))
"""Tokens and dimensions: one, fewer, as many, more."""


ONE_TOKEN = {
    "coherence": "orthogonal",
    "K": 1,
    "p": 1,
    "d": 1,
    "n": 1,
    "eps": 1.0,
    "scale": 1.0,
    "noise": 1.0,
    "seed": 0,
}
"""The draws of a mixture of one token on one line: the witness of many a claim, with whatever else it draws."""


@dataclass(frozen=True)
class Tokens:
    """n tokens of dimension d at precision eps, on the ledger's backend."""

    Z: Array
    eps: float
    n: int
    d: int

    @property
    def alpha(self) -> float:
        """α = d/(n ε²)."""
        return self.d / (self.n * self.eps**2)


def tokens(
    case: Case,
    rng: np.random.Generator,
    *,
    sizes: tuple[tuple[int, int], ...] = SIZES,
    eps: tuple[float, float] = (0.1, 10.0),
    scale: tuple[float, float] = (0.01, 10.0),
) -> Tokens:
    """Gaussian tokens of some scale, of full rank or of rank one; a search may put any others in their place.

    Few sizes: every new shape costs JAX a second of compilation.
    """
    n, d = case.choice("n, d", sizes)
    precision, magnitude = case.log_uniform("eps", *eps), case.log_uniform("scale", *scale)
    if case.choice("rank", ("full", "one")) == "full":
        Z = rng.standard_normal((n, d))
    else:
        Z = rng.standard_normal((n, 1)) * rng.standard_normal(d)
    return Tokens(case.asarray(magnitude * case.entries("Z", Z)), precision, n, d)


def bases(case: Case, rng: np.random.Generator, d: int, *, kinds: tuple[str, ...] = ("orthonormal", "any")) -> Array:
    """One to three bases (K, d, p): each orthonormal, however they overlap, or any vectors at all."""
    K, p = case.choice("K, p", ((1, 1), (3, 1), (2, min(2, d))))
    U = rng.standard_normal((K, d, p))
    return case.asarray(np.linalg.qr(U)[0] if case.choice("bases", kinds) == "orthonormal" else U)


def complete_family(rng: np.random.Generator, K: int, p: int) -> np.ndarray:
    """K mutually orthogonal bases (K, K·p, p) that together span the space, in random position."""
    return rotation(rng, K * p).reshape(K * p, K, p).swapaxes(0, 1)


def memberships(case: Case, rng: np.random.Generator, n: int, *, K: tuple[int, ...] = (1, 3)) -> Array:
    """(n, K), hard or soft; a part may be empty. Multiples of 1/64: rows that sum to one exactly, in float32 too."""
    parts = case.choice("K", K)
    if case.choice("memberships", ("hard", "soft")) == "hard":
        Pi = np.eye(parts)[rng.integers(parts, size=n)]
    else:
        Pi = rng.multinomial(64, rng.dirichlet(np.ones(parts), size=n)) / 64
    return case.asarray(Pi)


@dataclass(frozen=True)
class Clusters:
    """m tokens in each of K orthogonal subspaces of dimension p that span the space."""

    Z: Array
    U: Array
    Pi: Array
    eps: float
    n: int
    K: int
    p: int


def clusters(case: Case, rng: np.random.Generator, *, scale: tuple[float, float] = (0.01, 100.0)) -> Clusters:
    """Perfectly clustered, balanced, noise-free data, subspace after subspace."""
    K, p, m = case.choice("K, p, m", ((2, 1, 1), (2, 1, 3), (2, 2, 1), (2, 2, 3), (3, 1, 2)))
    eps, magnitude = case.log_uniform("eps", 0.1, 10.0), case.log_uniform("scale", *scale)
    U = complete_family(rng, K, p)
    Z = magnitude * (rng.standard_normal((K, m, p)) @ U.swapaxes(1, 2)).reshape(K * m, K * p)
    Pi = np.repeat(np.eye(K), m, axis=0)
    return Clusters(case.asarray(Z), case.asarray(U), case.asarray(Pi), eps, K * m, K, p)


def rotation(rng: np.random.Generator, n: int) -> np.ndarray:
    """A random orthogonal matrix."""
    return np.linalg.qr(rng.standard_normal((n, n)))[0]


def direction(rng: np.random.Generator, shape: tuple[int, ...]) -> np.ndarray:
    """A direction with small whole entries, not all zero: exact in float32, and in sums."""
    H = rng.integers(-3, 4, size=shape).astype(float)
    return H if np.any(H) else np.ones(shape)


def norm(a: Array) -> float:
    """√(Σ a²) over all entries."""
    return float(np.linalg.norm(to_numpy(a)))


def sensitivity(Z: Array, *rates_and_gradients: tuple[Array, Array]) -> float:
    """How much rates move with their tokens: Σ |rate| + |∇rate| |Z|, the unit in which their rounding is told."""
    return sum(float(rate) + norm(gradient) * norm(Z) for rate, gradient in rates_and_gradients)
