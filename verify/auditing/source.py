"""What a command line names: a network, a layout, data; of the user's own code, or in files that execute nothing."""

from __future__ import annotations

import importlib
import os
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from torch import Tensor, nn

from verify import files
from verify.layouts import LAYOUTS, Layout


def model(named: str, layout: Layout, constants: Mapping[str, Any]) -> nn.Module:
    """``package.module:factory``, called, or a checkpoint, built by the layout.

    Raises
    ------
    ValueError
        No such thing; it is no torch module; the weights are of another kind.
    """
    if _is_python(named):
        found = _imported(named, "model")
        found = found if isinstance(found, nn.Module) else found()
        if not isinstance(found, nn.Module):
            raise ValueError(f"{named} must give a torch module, got {type(found).__name__}")
        return found
    from verify.checkpoint import read

    built: nn.Module = layout.build(read(Path(named)), **constants)
    return built


def layout(named: str) -> Layout:
    """A layout by its name, or ``package.module:LAYOUT``."""
    if not _is_python(named):
        if named not in LAYOUTS:
            raise ValueError(f"layout must be one of {', '.join(LAYOUTS)} or package.module:LAYOUT, got {named!r}")
        return LAYOUTS[named]
    found = _imported(named, "layout")
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
    if _is_python(named):
        found = _imported(named, "data")
        given = found() if callable(found) and not isinstance(found, Tensor) else found
        return given, _length(given)
    array = files.load(named, "data", key="data", integers=True)
    return array, len(array)


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


def _is_python(named: str) -> bool:
    module, colon, attribute = named.partition(":")
    return bool(colon) and attribute.isidentifier() and all(part.isidentifier() for part in module.split("."))


def _imported(named: str, argument: str) -> Any:
    module, _, attribute = named.partition(":")
    if os.getcwd() not in sys.path:  # as `python -m` has it
        sys.path.insert(0, os.getcwd())
    try:
        return getattr(importlib.import_module(module), attribute)
    except (ImportError, AttributeError) as error:
        raise ValueError(f"{argument} must name something that can be imported, got {named!r}: {error}") from error


def _length(given: Any) -> int | None:
    if isinstance(given, Tensor | np.ndarray):
        return len(given)
    samples = getattr(given, "dataset", None)  # of a torch DataLoader
    return len(samples) if hasattr(samples, "__len__") else None
