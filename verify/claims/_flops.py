"""Multiply-adds of the matrix products that a function does, counted while it does them."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np


class _Counted(np.ndarray):
    """A NumPy array that adds up what its matrix products cost, in a list shared with what is made of it."""

    spent: list[int]

    def __array_finalize__(self, source: Any) -> None:
        self.spent = getattr(source, "spent", [])

    def __array_ufunc__(self, ufunc: Any, method: str, *inputs: Any, **options: Any) -> Any:
        bare = [np.asarray(a) if isinstance(a, np.ndarray) else a for a in inputs]
        result = getattr(ufunc, method)(*bare, **options)
        if ufunc is np.matmul:
            self.spent.append(math.prod(result.shape) * bare[0].shape[-1])
        if isinstance(result, np.ndarray):
            result = result.view(_Counted)
            result.spent = self.spent
        return result


def multiply_adds(function: Callable[..., Any], *arrays: np.ndarray) -> int:
    """Of ``function(*arrays)``, NumPy arrays."""
    spent: list[int] = []
    counted = [a.view(_Counted) for a in arrays]
    for a in counted:
        a.spent = spent
    function(*counted)
    return sum(spent)
