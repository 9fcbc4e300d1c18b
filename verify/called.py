"""Somebody's function, called on arrays of the library, dtype and device that it takes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import replace
from itertools import chain
from typing import Any

import numpy as np

from verify.bounded import PRECISIONS, Precision

__all__ = ["beside", "called", "precision_of", "taken_by"]


def taken_by(f: Any, weights: Mapping[str, Any]) -> Any:
    """An array like those that a function takes: of a torch Module a parameter, else a weight, else in float64."""
    given = [a for a in weights.values() if "float" in str(getattr(a, "dtype", ""))]
    if hasattr(f, "parameters"):
        import torch

        own = (a for a in (*f.parameters(), *f.buffers()) if a.is_floating_point())
        tensors = (a for a in given if isinstance(a, torch.Tensor))
        return next(chain(own, tensors), torch.zeros(1, dtype=torch.float64))
    return next(iter(given), np.zeros(1))


def precision_of(like: Any) -> Precision:
    """What is computed on arrays like this one is rounded to; in half precision sums are taken in float32.

    Raises
    ------
    ValueError
        It is no array, or not one of floating-point numbers that bounds are known for.
    """
    if not hasattr(like, "dtype"):
        raise ValueError(f"like must be an array, got {like!r}")
    name = str(like.dtype).removeprefix("torch.")
    if name not in PRECISIONS:
        raise ValueError(f"the arrays must be of {', '.join(PRECISIONS)}, got {name}")
    precision = PRECISIONS[name]
    return precision if precision.unit < 2.0**-20 else replace(precision, sums=PRECISIONS["float32"].unit)


def beside(a: np.ndarray, like: Any) -> Any:
    """A copy of an array in the library and dtype, and on the device, of another."""
    if hasattr(like, "detach"):
        import torch

        return torch.from_numpy(np.array(a)).to(dtype=like.dtype, device=like.device)
    if isinstance(like, np.ndarray | np.generic):
        return np.array(a, dtype=like.dtype)
    from array_api_compat import array_namespace, device

    return array_namespace(like).asarray(a, dtype=like.dtype, device=device(like))


def called(f: Any, arguments: Sequence[Any]) -> Any:
    """What it gives: a torch Module in evaluation mode and without gradients, and afterwards as it was."""
    if not hasattr(f, "parameters"):
        return f(*arguments)
    import torch

    modes = {module: module.training for module in f.modules()}
    with ExitStack() as undo, torch.no_grad():
        undo.callback(lambda: [setattr(module, "training", mode) for module, mode in modes.items()])
        return f.eval()(*arguments)
