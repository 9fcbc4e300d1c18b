"""The scalar multiplications in the matrix products of a function, counted while it runs on NumPy arrays."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np


class _Counting(np.ndarray):
    """An array whose matrix products are counted, as are those of whatever is computed from it."""

    count = 0

    def __array_ufunc__(self, ufunc: Any, method: str, *inputs: Any, **options: Any) -> Any:
        plain = [a.view(np.ndarray) if isinstance(a, _Counting) else a for a in inputs]
        result = getattr(ufunc, method)(*plain, **options)
        if ufunc is np.matmul:
            _Counting.count += math.prod(result.shape) * plain[0].shape[-1]
        return result.view(_Counting) if isinstance(result, np.ndarray) else result


def multiplications(f: Callable[..., Any], *arrays: np.ndarray) -> int:
    """Scalar multiplications in the matrix products of ``f(*arrays)``; those of entries are not counted."""
    _Counting.count = 0
    f(*(a.view(_Counting) for a in arrays))
    return _Counting.count
