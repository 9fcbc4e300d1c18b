"""Adversarial token sets, bases and memberships, in the spirit of LAPACK's matrix generator.

An instance is a handful of numbers (shape, rank, condition, scale, dtype, seed, defect); its arrays are built from
them as P diag(s) Q^T, so that a failing instance shrinks to a readable one and replays from its ``repr``.
"""

from dataclasses import dataclass, replace

import numpy as np
from hypothesis import strategies as st

SIZES = (1, 2, 3, 5, 10, 50)
DEFECTS = ("none", "zero token", "zero feature", "repeated token", "equal tokens", "zero")
DTYPES = (np.float64, np.float32)


def roundoff(dtype):
    return np.finfo(dtype).eps / 2


def conditions(dtype):
    """LAPACK's three: easy, hard for a Gram matrix, hard for the matrix itself; and one where a value of the Gram
    matrix still has half its digits but the gradient does not."""
    u = roundoff(dtype)
    return (2.0, u**-0.3, np.sqrt(0.1 / u), 0.1 / u)


def scales(dtype):
    limit = 150 if dtype == np.float64 else 15
    return (1.0, 10.0**-limit, 10.0**-3, 10.0**3, 10.0**limit)


@dataclass(frozen=True)
class Tokens:
    """One token set ``Z`` (n, d) with singular values from ``scale`` down to ``scale/condition``, then zeros."""

    n: int
    d: int
    rank: int
    condition: float = 2.0
    scale: float = 1.0
    eps: float = 0.5
    dtype: type = np.float64
    seed: int = 0
    defect: str = "none"

    @property
    def Z(self):
        rng = np.random.default_rng(self.seed)
        q, rank = min(self.n, self.d), min(self.rank, self.n, self.d)
        P = np.linalg.qr(rng.standard_normal((self.n, q)))[0]
        Q = np.linalg.qr(rng.standard_normal((self.d, q)))[0]
        s = np.zeros(q)
        s[:rank] = self.condition ** -np.linspace(0, 1, rank) if rank > 1 else 1.0
        Z = (P * s) @ Q.T
        if self.defect == "zero token":
            Z[0] = 0
        elif self.defect == "zero feature":
            Z[:, 0] = 0
        elif self.defect == "repeated token":
            Z[-1] = Z[0]
        elif self.defect == "equal tokens":
            Z[:] = Z[0]
        elif self.defect == "zero":
            Z[:] = 0
        return (Z * self.scale).astype(self.dtype)

    def bases(self, K, p, kind="orthonormal"):
        """``U`` (K, d, p): each U_k orthonormal; or any vectors, overlapping and of mixed length."""
        rng = np.random.default_rng(self.seed + 1)
        U = rng.standard_normal((K, self.d, p))
        U = np.linalg.qr(U)[0] if kind == "orthonormal" else U * np.linspace(0.2, 3, p)
        return U.astype(self.dtype)

    def memberships(self, K, kind="soft"):
        """``Pi`` (n, K): soft, hard, hard with an empty last class (for K > 1), or a sharp softmax, in which some
        memberships, and the whole of the last class, are so small that their squares vanish."""
        rng = np.random.default_rng(self.seed + 2)
        if kind == "sharp":
            digits = -0.6 * np.log10(float(np.finfo(self.dtype).smallest_normal))
            Pi = 10.0 ** -np.floor(rng.uniform(0, digits, (self.n, K)))
            Pi[:, -1] = 10.0**-digits * rng.uniform(1, 2, self.n)
            Pi[np.arange(self.n), np.arange(self.n) % max(1, K - 1)] = 1
            return (Pi / Pi.sum(-1, keepdims=True)).astype(self.dtype)
        if kind == "soft":
            Pi = rng.dirichlet(np.ones(K), self.n)
            return (Pi / Pi.sum(-1, keepdims=True)).astype(self.dtype)
        filled = K - 1 if kind == "empty class" and K > 1 else K
        return np.eye(K)[np.arange(self.n) % filled].astype(self.dtype)


def shapes(dtype=np.float64):
    """Every pair of sizes, well conditioned; 50 only beside 5 and 50, where the exact reference is still quick."""
    pairs = [(n, d) for n in SIZES for d in SIZES if 50 not in (n, d)] + [(50, 5), (5, 50), (50, 50)]
    for n, d in pairs:
        yield Tokens(n=n, d=d, rank=min(n, d), eps=0.7, seed=n + d, dtype=dtype)


def hard(dtype=np.float64):
    """Wide, tall and square: each condition, rank, scale and defect, with ordinary and extreme eps."""
    for n, d in ((10, 5), (5, 10), (5, 5)):
        base = Tokens(n=n, d=d, rank=5, dtype=dtype)
        for condition in conditions(dtype)[1:]:
            yield from (replace(base, condition=condition, eps=eps) for eps in (1e-6, 1e-3, 0.5, 30.0))
        for rank in (1, 2, 4):
            yield from (replace(base, rank=rank, eps=eps) for eps in (1e-6, 1e-3, 0.5, 1e3))
        for scale in scales(dtype):
            yield from (replace(base, scale=scale, eps=eps) for eps in (1e-6, 0.5, 1e3))
        for defect in DEFECTS:
            yield from (replace(base, defect=defect, eps=eps) for eps in (1e-3, 0.5))
            yield replace(base, defect=defect, scale=scales(dtype)[-1], eps=1e-6)


def explicit(dtype=np.float64):
    """The whole list."""
    yield from shapes(dtype)
    yield from hard(dtype)


@st.composite
def tokens(draw, dtypes=DTYPES, sizes=(1, 2, 3, 5, 10), max_log_eps=3.0):
    """Draw :class:`Tokens`; simplest first, so that shrinking ends at small, full-rank, well-scaled ones."""
    dtype = draw(st.sampled_from(dtypes))
    n, d = draw(st.sampled_from(sizes)), draw(st.sampled_from(sizes))
    limit = 150 if dtype == np.float64 else 15
    return Tokens(
        n=n,
        d=d,
        rank=min(n, d) - draw(st.integers(0, min(n, d) - 1)),
        condition=10.0 ** draw(st.floats(0, np.log10(0.1 / roundoff(dtype)))),
        scale=10.0 ** draw(st.floats(0, limit).flatmap(lambda e: st.sampled_from((e, -e)))),
        eps=10.0 ** draw(st.floats(-6, max_log_eps)),
        dtype=dtype,
        seed=draw(st.integers(0, 2**16)),
        defect=draw(st.sampled_from(DEFECTS)),
    )
