"""Signals on the sphere with labels."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np

from verify.case import Case

Array = Any

SIGNALS = ((2, 1, (3,)), (3, 2, (4,)), (2, 2, (2, 3)))
"""Signals, channels and sizes: on a cycle with and without a middle frequency, and on a torus."""


@dataclass(frozen=True)
class Signals:
    """Signals on the sphere in two classes."""

    Z: Array
    Pi: Array
    eps: float

    @property
    def samples(self) -> int:
        """S, the size of the cycle or torus."""
        return math.prod(self.Z.shape[2:])

    @property
    def alpha(self) -> float:
        """C/(n ε²)."""
        return self.Z.shape[1] / (self.Z.shape[0] * self.eps**2)

    @property
    def scale(self) -> float:
        """What operators are multiples of, times how ill-conditioned they can be."""
        return self.alpha * (1 + self.alpha * self.Z.shape[0] ** 2 * self.samples)

    @property
    def size(self) -> int:
        return math.prod(self.Z.shape)


def labelled_signals(case: Case) -> Signals:
    """Gaussian ones, divided by their norm."""
    n, channels, size = case.choice("n, C, size", SIGNALS)
    Z = case.rng().standard_normal((n, channels * math.prod(size)))
    Z = np.reshape(Z / np.linalg.norm(Z, axis=1, keepdims=True), (n, channels, *size))
    return Signals(case.asarray(Z), case.asarray(np.eye(2)[np.arange(n) % 2]), case.log_uniform("eps", 0.2, 3.0))
