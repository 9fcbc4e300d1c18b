"""What a command line names: a network, a layout, data; of the user's own code, or in files that execute nothing."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from torch import Tensor, nn

from verify import checkpoint, files, targets
from verify.layouts import LAYOUTS, Layout, recognise
from verify.names import nearest


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


def layout(named: str) -> Layout:
    """A layout by its name, or ``package.module:LAYOUT``.

    Raises
    ------
    ValueError
        There is none.
    """
    if ":" not in named:
        if named not in LAYOUTS:
            known = f"one of {', '.join(LAYOUTS)} or package.module:LAYOUT"
            raise ValueError(f"layout must be {known}, got {named!r}{nearest(named, LAYOUTS)}")
        return LAYOUTS[named]
    found = targets.load(named, "layout")
    if not isinstance(found, Layout):
        raise ValueError(f"{named} must be a Layout, got {type(found).__name__}")
    return found


def data(named: str) -> tuple[Any, int | None]:
    """Batches, and how many samples there are if that can be told: of a file, or of ``package.module:loader``, called.

    Raises
    ------
    ValueError
        No such file or object, or not one of arrays.
    """
    if Path(named.rpartition(":")[0] or named).suffix in files.SUFFIXES or Path(named).suffix in files.SUFFIXES:
        array = files.load(named, "data", key="data", integers=True)
        return array, len(array)
    given = targets.load(named, "data")
    return given, _length(given)


def constants(given: Sequence[str]) -> dict[str, Any]:
    """``NAME=VALUE``, whole numbers and numbers as such, anything else as text."""
    found: dict[str, Any] = {}
    for text in given:
        name, equals, value = text.partition("=")
        if not equals or not name.isidentifier():
            raise ValueError(f"constant must be NAME=VALUE, got {text!r}")
        found[name] = _value(value)
    return found


def _value(text: str) -> int | float | str:
    for kind in (int, float):
        try:
            return kind(text)
        except ValueError:
            continue
    return text


def _length(given: Any) -> int | None:
    if isinstance(given, Tensor | np.ndarray):
        return len(given)
    samples = getattr(given, "dataset", None)  # of a torch DataLoader
    return len(samples) if hasattr(samples, "__len__") else None
