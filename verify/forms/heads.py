"""Heads apart and together again."""

from __future__ import annotations

import numpy as np

from verify.bounded import Bounded


def split(flat: Bounded, K: int, *, interleaved: bool = False) -> Bounded:
    """``(..., n, K p)`` to ``(..., K, n, p)``; interleaved, head k has the columns k, k + K, …"""

    def apart(a: np.ndarray) -> np.ndarray:
        *batch, n, inner = a.shape
        if interleaved:
            return np.moveaxis(a.reshape(*batch, n, inner // K, K), -1, -3)
        return np.swapaxes(a.reshape(*batch, n, K, inner // K), -3, -2)

    return flat.shaped(apart)


def joined(heads: Bounded, *, interleaved: bool = False) -> Bounded:
    """``(..., K, n, p)`` to ``(..., n, K p)``."""

    def together(a: np.ndarray) -> np.ndarray:
        *batch, K, n, p = a.shape
        rows = np.moveaxis(a, -3, -1) if interleaved else np.swapaxes(a, -3, -2)
        return rows.reshape(*batch, n, K * p)

    return heads.shaped(together)
