"""How fast the rates are: as a share of what the machine's matrix product allows, and against plain torch; and how much
longer their rigorous enclosures take.

Each case runs in a process of its own with one BLAS thread. What is compared takes turns there, and the best time of
each counts, so that a drifting clock touches all alike.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from verify.workers import run_jobs

EPS = 1.0
RADIUS = 1e-9
"""Relative to the value: what an enclosure's is to be below."""
PLAIN_BYTES = 2**27
"""Plain torch gets as many token sets at a time as keep one of its n × n or d × d arrays below this."""


@dataclass(frozen=True)
class Case:
    """One rate at one size."""

    rate: str
    """"R", "Rc(Z|U)", "Rc(Z|Pi)" or "dR(Z|Pi)"."""
    d: int
    n: int
    K: int
    p: int
    batch: int
    dtype: str
    gradient: bool


@dataclass(frozen=True)
class Timing:
    """What one case took."""

    case: Case
    seconds: float
    """For the whole batch."""
    limit: float
    """Seconds that the needed flops take at the rate of the matrix product."""
    torch_seconds: float | None
    """Plain torch on a batch of the same size, in proportion to the part of it that was run; None without torch."""

    @property
    def share(self) -> float:
        """Of the limit: 1 means nothing but matrix products at full rate."""
        return self.limit / self.seconds

    @property
    def speedup(self) -> float | None:
        """Over plain torch."""
        return None if self.torch_seconds is None else self.torch_seconds / self.seconds


def cases() -> list[Case]:
    """The rates at the sizes of CRATE-Base and CRATE-Large, and of a small and a square problem with labels."""
    heads = [
        Case("Rc(Z|U)", d, n, K, p, 32, dtype, gradient)
        for d, n, K, p in ((768, 197, 12, 64), (1024, 1024, 16, 64))
        for dtype in ("float64", "float32")
        for gradient in (False, True)
    ]
    labelled = [
        Case(rate, d, n, K, 0, 4, "float64", gradient)
        for d, n, K in ((384, 197, 6), (1024, 1024, 16))
        for rate in ("R", "Rc(Z|Pi)", "dR(Z|Pi)")
        for gradient in (False, True)
    ]
    return heads + labelled


@dataclass(frozen=True)
class Certified:
    """An enclosure beside the plain value."""

    case: Case
    eps: float
    most: float
    """What the enclosure may take, in times of the plain value."""


@dataclass(frozen=True)
class CertifiedTiming:
    """What an enclosure took, and how narrow it is."""

    case: Certified
    seconds: float
    plain_seconds: float
    radius: float
    """The largest of the batch, relative to the value."""
    contains: bool
    """Whether the plain values are inside, or as near as their own rounding."""

    @property
    def ratio(self) -> float:
        """Times that the plain value takes."""
        return self.seconds / self.plain_seconds

    @property
    def met(self) -> bool:
        """Whether it is as fast and as narrow as it is to be."""
        return self.ratio <= self.case.most and self.radius <= RADIUS and self.contains


def certified_cases() -> list[Certified]:
    """R of a set as large as ViT-B's dimension, and Rc(Z|U) of CRATE-Base, each at an easy and a hard precision."""
    whole, heads = (
        Case("R", 768, 1024, 0, 0, 1, "float64", False),
        Case("Rc(Z|U)", 768, 197, 12, 64, 32, "float64", False),
    )
    return [Certified(case, eps, most) for case, most in ((whole, 3.0), (heads, 4.0)) for eps in (1.0, 0.1)]


def run(cases: Sequence[Case | Certified], *, rounds: int = 5, timeout: float = 600) -> Iterator[Any]:
    """Time each case, one after the other: a `Timing` or `CertifiedTiming` of each.

    Raises
    ------
    RuntimeError
        A case failed; the message says which and why.
    """
    for done in run_jobs(measure, (rounds,), cases, workers=1, timeout=timeout):
        if done.problem is not None:
            raise RuntimeError(f"{done.job}: {done.problem}")
        yield done.value


def measure(rounds: int, case: Case | Certified) -> Timing | CertifiedTiming:
    """Time one case in this process."""
    return _enclosure(rounds, case) if isinstance(case, Certified) else _rate(rounds, case)


def _enclosure(rounds: int, certified: Certified) -> CertifiedTiming:
    import srr
    from srr import enclosure

    case, eps = certified.case, certified.eps
    rng = np.random.default_rng(0)
    Z = _tokens(case, rng)
    if case.rate == "R":
        turns = [lambda: enclosure.coding_rate(Z, eps=eps), lambda: srr.coding_rate(Z, eps=eps)]
    else:
        U = _bases(case, rng)
        turns = [
            lambda: enclosure.subspace_coding_rate(Z, U, eps=eps),
            lambda: srr.subspace_coding_rate(Z, U, eps=eps),
        ]
    bounds, value = (turn() for turn in turns)
    seconds, plain_seconds = _best(turns, rounds)
    near = 1e-9 * value
    contains = bool(np.all((bounds.lower <= value + near) & (value - near <= bounds.upper)))
    radius = float(np.max(bounds.radius / bounds.midpoint))
    return CertifiedTiming(certified, seconds, plain_seconds, radius, contains)


def _rate(rounds: int, case: Case) -> Timing:
    rng = np.random.default_rng(0)
    dtype = np.dtype(case.dtype)
    Z = _tokens(case, rng)
    square = rng.standard_normal((1024, 1024)).astype(dtype)
    ours = _ours(case, Z, rng)
    plain, part = _plain(case, Z, rng)
    turns: list[Callable[[], Any]] = [lambda: square @ square, ours, *([plain] if plain else [])]
    for turn in turns[1:]:
        turn()
    best = _best(turns, rounds)
    rate = 2 * 1024**3 / best[0]
    return Timing(case, best[1], case.batch * needed_flops(case) / rate, best[2] / part if plain else None)


def _tokens(case: Case, rng: np.random.Generator) -> np.ndarray:
    """Tokens as LayerNorm leaves them."""
    Z = rng.standard_normal((case.batch, case.n, case.d)).astype(case.dtype)
    return Z / Z.std(axis=-1, keepdims=True)


def _best(turns: Sequence[Callable[[], Any]], rounds: int) -> list[float]:
    best = [np.inf] * len(turns)
    for _ in range(rounds):
        for i, turn in enumerate(turns):
            best[i] = min(best[i], _seconds(turn))
    return best


def _seconds(turn: Callable[[], Any]) -> float:
    start = time.process_time()  # of this process: untouched by whatever else the machine does
    turn()
    return time.process_time() - start


def needed_flops(case: Case) -> float:
    """Flops of one token set: projections, one triangle of each Gram matrix, Cholesky, and what a gradient adds."""
    d, n, K, p = case.d, case.n, case.K, case.p
    if case.rate == "Rc(Z|U)":
        value = 2 * n * d * K * p + K * n * p * (p + 1) + K * p**3 / 3
        return value + (2 * K * n * p * p + 2 * n * d * K * p if case.gradient else 0)
    whole = _factor_flops(n, d, case.gradient)
    parts = K * _factor_flops(-(-n // K), d, case.gradient)
    return {"R": whole, "Rc(Z|Pi)": parts, "dR(Z|Pi)": whole + parts}[case.rate]


def _factor_flops(n: int, d: int, gradient: bool) -> float:
    small, large = min(n, d), max(n, d)
    return large * small * (small + 1) + small**3 / 3 + (2 * large * small * small if gradient else 0)


def _ours(case: Case, Z: np.ndarray, rng: np.random.Generator) -> Callable[[], Any]:
    import srr

    if case.rate == "R":
        return lambda: (srr.coding_rate_and_gradient if case.gradient else srr.coding_rate)(Z, eps=EPS)
    if case.rate == "Rc(Z|U)":
        U = _bases(case, rng)
        rate = srr.subspace_coding_rate_and_gradient if case.gradient else srr.subspace_coding_rate
        return lambda: rate(Z, U, eps=EPS)
    Pi = _labels(case)
    if case.rate == "Rc(Z|Pi)":
        rate = srr.partition_coding_rate_and_gradient if case.gradient else srr.partition_coding_rate
        return lambda: rate(Z, Pi, eps=EPS)
    rate = srr.rate_reduction_and_gradient if case.gradient else srr.rate_reduction
    return lambda: rate(Z, Pi=Pi, eps=EPS)


def _bases(case: Case, rng: np.random.Generator) -> np.ndarray:
    return np.linalg.qr(rng.standard_normal((case.K, case.d, case.p)))[0].astype(case.dtype)


def _labels(case: Case) -> np.ndarray:
    return np.eye(case.K, dtype=case.dtype)[np.arange(case.n) % case.K]


def _plain(case: Case, Z: np.ndarray, rng: np.random.Generator) -> tuple[Callable[[], Any] | None, float]:
    """The rate as people write it in torch, and the part of the batch it gets at a time."""
    try:
        import torch
    except ModuleNotFoundError:
        return None, 1.0
    torch.set_num_threads(1)
    d, n, K, p = case.d, case.n, case.K, case.p
    each = (K * n * n if p else max(K * n * n, K * d * d)) * Z.dtype.itemsize
    batch = int(min(case.batch, max(1, PLAIN_BYTES // each)))
    X = torch.tensor(Z[:batch], requires_grad=case.gradient)
    W = torch.tensor(np.swapaxes(_bases(case, rng), 1, 2).reshape(K * p, d)) if p else None
    memberships = torch.diag_embed(torch.tensor(_labels(case)).T) if not p else None  # (K, n, n)

    def rate() -> Any:
        if W is not None:
            heads = (X @ W.T).reshape(batch, n, K, p).transpose(1, 2)
            gram = heads @ heads.transpose(-1, -2)
            return 0.5 * torch.logdet(torch.eye(n, dtype=X.dtype) + p / (n * EPS**2) * gram).sum()
        identity, X_T = torch.eye(d, dtype=X.dtype), X.transpose(-1, -2)
        value = 0.0
        if case.rate != "Rc(Z|Pi)":
            value = 0.5 * torch.logdet(identity + d / (n * EPS**2) * X_T @ X).sum()
        if case.rate != "R":
            sizes = memberships.diagonal(dim1=-2, dim2=-1).sum(-1)
            grams = X_T[:, None] @ memberships @ X[:, None]
            logdets = torch.logdet(identity + (d / (sizes * EPS**2))[:, None, None] * grams)
            value = value - (sizes / (2 * n) * logdets).sum()
        return value

    def run() -> None:
        if case.gradient:
            X.grad = None
            rate().backward()
        else:
            rate()

    return run, batch / case.batch
