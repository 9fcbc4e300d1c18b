"""Uphill to a violation, and from it down to simple numbers: what the searches for counterexamples have in common."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np

STARTS = 3
"""Instances from which to climb."""


class Found(BaseException):
    """Ends a climb. Not an Exception: the callers of checks suppress those."""


def climbed(height: Callable[[np.ndarray], float], start: np.ndarray, *, budget: int) -> object | None:
    """What ``height`` raises `Found` with on the way up from ``start``, in ``budget`` evaluations; else None.

    By L-BFGS-B on finite differences, which is quick where the height is smooth; then, with what is left of the
    budget, by Nelder and Mead's method from the highest point, which needs no smoothness. Where there is no height,
    it is taken for lower than all others.
    """
    from scipy.optimize import minimize

    top, lowest, left = (-np.inf, start), np.inf, budget

    def depth(point: np.ndarray) -> float:
        nonlocal top, lowest, left
        if left == 0:
            raise _Spent
        left -= 1
        if not np.isfinite(value := height(point)):
            return 1.0 - (lowest if np.isfinite(lowest) else 0.0)
        lowest = min(lowest, value)
        if value > top[0]:
            top = value, point.copy()
        return -value

    if not start.size:
        return None
    try:
        minimize(depth, start, method="L-BFGS-B", options={"maxfun": budget})
        step = 0.05 * max(1.0, float(np.max(np.abs(top[1]))))
        simplex = np.vstack([top[1], top[1] + step * np.eye(start.size)])
        settings = {"initial_simplex": simplex, "maxfev": budget, "adaptive": True, "xatol": 1e-12, "fatol": 0.0}
        minimize(depth, top[1], method="Nelder-Mead", options=settings)
    except Found as end:
        return end.args[0]
    except _Spent:
        pass
    return None


class _Spent(BaseException):
    """Ends a climb without a find."""


def simpler_tokens(rows: list[list[float]]) -> Iterator[list[list[float]]]:
    """Tokens with one less; with whole, or rounded, entries; with one entry so: the greatest simplification first."""
    if len(rows) > 1:
        for i in range(len(rows)):
            yield rows[:i] + rows[i + 1 :]
    for plain in (round, *(lambda x, d=d: rounded(x, d) for d in (1, 2, 3))):
        yield [[float(plain(x)) for x in row] for row in rows]
    for i, row in enumerate(rows):
        for j, x in enumerate(row):
            whole = (0.0, 1.0, -1.0, float(round(x)), round(2 * x) / 2)
            for y in dict.fromkeys((*whole, *(rounded(x, digits) for digits in (1, 2, 3)))):
                if y != x:
                    yield [*rows[:i], [*row[:j], y, *row[j + 1 :]], *rows[i + 1 :]]


def rounded(x: float, digits: int) -> float:
    """To a number of significant decimal digits."""
    return float(f"{x:.{digits}g}")
