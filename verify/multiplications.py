"""The scalar multiplications in the matrix products of a function, counted while it runs on NumPy arrays."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import fields, is_dataclass, replace
from typing import Any

import numpy as np


class _Counted(np.ndarray):
    """An array that notes what its matrix products take, in a list shared with all that is computed from it."""

    spent: list[int]

    def __array_finalize__(self, source: Any) -> None:
        self.spent = getattr(source, "spent", [])

    def __array_ufunc__(self, ufunc: Any, method: str, *inputs: Any, **options: Any) -> Any:
        if "out" in options:
            options["out"] = tuple(map(_bare, options["out"]))
        result = getattr(ufunc, method)(*map(_bare, inputs), **options)
        if ufunc is np.matmul:
            self.spent.append(math.prod(result.shape) * inputs[0].shape[-1])
        if isinstance(result, np.ndarray):
            result = result.view(_Counted)
            result.spent = self.spent
        return result

    def __array_function__(self, function: Any, types: Any, args: Any, options: Any) -> Any:
        result = super().__array_function__(function, types, args, options)
        return _counted(result, self.spent) if isinstance(result, np.ndarray) else result  # some drop the class


def _bare(a: Any) -> Any:
    return np.asarray(a) if isinstance(a, np.ndarray) else a


def multiplications(f: Callable[..., Any], *given: Any) -> int:
    """Scalar multiplications in the matrix products of ``f(*given)``; those of entries are not counted.

    What is given are arrays, or dataclasses that hold some, such as layers.
    """
    spent: list[int] = []
    counted = [_counted(a, spent) for a in given]
    spent.clear()  # of what a dataclass does to check its arrays
    f(*counted)
    return sum(spent)


def _counted(a: Any, spent: list[int]) -> Any:
    if isinstance(a, np.ndarray):
        counted = a.view(_Counted)
        counted.spent = spent
        return counted
    if is_dataclass(a) and not isinstance(a, type):
        return replace(a, **{field.name: _counted(getattr(a, field.name), spent) for field in fields(a)})
    return a
