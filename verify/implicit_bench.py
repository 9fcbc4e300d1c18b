"""Implicit against explicit compression: how much of Rᶜ each step takes off, and what it costs, over ε.

One mixture, one process, one BLAS thread; process time, the steps in turn and the best of each.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import srr
from srr import attention, curvature, flops, implicit, mixtures

PRECISIONS = (0.003, 0.01, 0.03, 0.1, 0.3, 1.0, 3.0)
LENGTHS = (1, 10, 100)


@dataclass(frozen=True)
class Row:
    """One way to compress at one precision."""

    eps: float
    step: str
    length: float
    """κL_c of each step."""
    steps: int
    flops: int
    seconds: float
    removed: float
    """Share of Rᶜ that is gone."""


def run(*, n: int = 197, d: int = 192, K: int = 3, p: int = 64, noise: float = 0.1, rounds: int = 3) -> Iterator[Row]:
    """Rows of tokens from a mixture of orthogonal subspaces; by default the sizes of CRATE's smallest published model.

    Explicit steps have size 1/L_c: one, and as many as cost as much as an implicit one.
    """
    mixture = mixtures.sample(n=n, d=d, K=K, p=p, noise=noise, seed=0)
    Z, U = mixture.Z, mixture.U
    explicit, proximal, semi = (cost(n, d, K, p) for cost in (flops.gradient, flops.implicit, flops.semi_implicit))
    several = -(-proximal // explicit)
    for eps in PRECISIONS:
        unit = curvature.compression_step(U, n, eps=eps)
        ways: list[tuple[str, float, int, int, Callable[..., Any]]] = [
            ("explicit", 1, steps, steps * explicit, attention.exact_step) for steps in sorted({1, several})
        ]
        for length in LENGTHS:
            ways.append(("implicit", length, 1, proximal, implicit.implicit_step))
            ways.append(("semi-implicit", length, 1, semi, implicit.semi_implicit_step))
        best, ends = [float("inf")] * len(ways), [Z] * len(ways)
        for _ in range(rounds):
            for i, (_, length, steps, _, step) in enumerate(ways):
                start, ends[i] = time.process_time(), Z
                for _ in range(steps):
                    ends[i] = step(ends[i], U, eps=eps, step=length * unit)
                best[i] = min(best[i], time.process_time() - start)
        rate = float(srr.subspace_coding_rate(Z, U, eps=eps))
        for (name, length, steps, spent, _), seconds, end in zip(ways, best, ends, strict=True):
            left = float(srr.subspace_coding_rate(end, U, eps=eps))
            yield Row(eps, name, length, steps, spent, seconds, 1 - left / rate)
