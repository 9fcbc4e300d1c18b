"""What a command line names: a network and data, of the user's own code, or in files that execute nothing."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from torch import Tensor, nn

from verify import checkpoint, files, targets
from verify.layouts import Layout, recognise


def model(named: str, layout: Layout | None, constants: Mapping[str, Any]) -> nn.Module:
    """``package.module:factory``, called, or a checkpoint, built by the layout: by default the one that it fits.

    Raises
    ------
    ValueError
        No such thing; it is no torch module; the weights are of another kind.
    """
    if Path(named).suffix in checkpoint.SUFFIXES:
        state = checkpoint.read(named)
        built: nn.Module = (layout or recognise(state)).build(state, **constants)
        return built
    found = targets.load(named, "model")
    if not isinstance(found, nn.Module):
        raise ValueError(f"{named} must give a torch module, got {type(found).__name__}")
    return found


def data(named: str) -> tuple[Any, int | None]:
    """Batches, and how many samples if that can be told: rows of a file, or what ``package.module:loader`` gives.

    Raises
    ------
    ValueError
        No such file or object, or not one of arrays.
    """
    if Path(named.rpartition(":")[0] or named).suffix in files.SUFFIXES or Path(named).suffix in files.SUFFIXES:
        rows = files.rows(named, "data", key="data", integers=True)
        return rows, len(rows)
    given = targets.load(named, "data")
    return given, _length(given)


def _length(given: Any) -> int | None:
    if isinstance(given, Tensor | np.ndarray):
        return len(given)
    samples = getattr(given, "dataset", None)  # of a torch DataLoader
    return len(samples) if hasattr(samples, "__len__") else None
