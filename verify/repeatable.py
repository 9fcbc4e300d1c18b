"""Arithmetic whose every bit is the same on every machine: sums in one order, no library of special functions.

NumPy's products, sums and exponentials depend on the processor, on the number of threads and on the library behind
them. What is here is made of single additions, multiplications and powers of two, which IEEE 754 defines to the last
bit, and of ball arithmetic, which computes with integers.
"""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal
from math import factorial

import numpy as np
from flint import arb, ctx

__all__ = ["ball_erf", "ball_log", "eliminated", "exponential", "product", "running"]

_LN2 = Decimal("0.693147180559945309417232121458176568")
_HIGH = float(int(_LN2 * 2**32)) / 2**32  # few digits, so that its products with whole numbers are exact
_LOW = float(_LN2 - Decimal(_HIGH))
_CACHED = 2**15  # numbers
_DEGREE = 13  # (ln 2 / 2)^14/14! < 2^-57


def product(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Σ_k a_ik b_kj, term after term."""
    shape = (*np.broadcast_shapes(a.shape[:-2], b.shape[:-2]), a.shape[-2], b.shape[-1])
    total = np.zeros(shape)
    width = max(1, _CACHED // max(1, total.size // max(1, shape[-1])))
    for start in range(0, shape[-1], width):  # so that what is added to stays in the cache
        part, columns = total[..., start : start + width], b[..., start : start + width]
        term = np.empty_like(part)
        for k in range(a.shape[-1]):
            np.multiply(a[..., :, k, None], columns[..., None, k, :], out=term)
            part += term
    return total


def running(a: np.ndarray, axis: int) -> np.ndarray:
    """Sums up to each place, term after term."""
    return np.add.accumulate(a, axis=axis)


def exponential(x: np.ndarray) -> np.ndarray:
    """eˣ to two units in the last place, underflow apart; infinite above the range, 0 below it."""
    x = np.asarray(x, dtype=np.float64)
    inside = np.clip(x, -746.0, 709.7)
    k = np.nan_to_num(np.rint(inside / float(_LN2)))
    r = (inside - k * _HIGH) - k * _LOW
    series = np.full_like(r, 1 / factorial(_DEGREE))
    for i in range(_DEGREE - 1, -1, -1):
        series = series * r + 1 / factorial(i)
    return np.where(x > 709.7, np.inf, np.where(x < -746.0, 0.0, np.ldexp(series, k.astype(np.int32))))


def eliminated(M: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Pivots and inverse of positive definite matrices ``(..., q, q)``, by elimination in their order."""
    q = M.shape[-1]
    rows = np.concatenate([M, np.broadcast_to(np.eye(q), M.shape)], axis=-1)
    pivots = np.empty(M.shape[:-1])
    for k in range(q):
        pivots[..., k] = rows[..., k, k]
        active = rows[..., k : q + k + 1]  # what is left of it is done, what is right of it has not begun
        own = active[..., k, None, :] / pivots[..., k, None, None]
        factors = active[..., :, 0, None].copy()
        factors[..., k, :] = 0
        active -= factors * own
        active[..., k, None, :] = own
    return pivots, rows[..., q:]


def ball_log(x: np.ndarray) -> np.ndarray:
    """log x, rounded from a ball; NaN where there is none."""
    return _by_ball(x, arb.log)


def ball_erf(x: np.ndarray) -> np.ndarray:
    """erf x, rounded from a ball."""
    return _by_ball(x, arb.erf)


def _by_ball(x: np.ndarray, f: Callable[[arb], arb]) -> np.ndarray:
    with ctx.workprec(100):
        return np.array([float(f(arb(float(value))).mid()) for value in np.ravel(x)]).reshape(np.shape(x))
