"""Parameters by their names, and one clear error where they are of another kind."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from verify.layouts.layout import State


def flat(tree: Mapping[str, Any]) -> dict[str, Any]:
    """The arrays of a nested mapping by their paths, ``a/b/c``; one that is flat stays so. A leading ``params`` goes.

    Raises
    ------
    TypeError
        A name is no string, or it is that of no array.
    """
    found = dict(_leaves(tree))
    return {name.removeprefix("params/"): a for name, a in found.items()}


def _leaves(tree: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    for name, value in tree.items():
        if not isinstance(name, str):
            raise TypeError(f"names of parameters must be strings, got {name!r}")
        if isinstance(value, Mapping):
            yield from _leaves(value, f"{prefix}{name}/")
        elif not hasattr(value, "shape"):
            raise TypeError(f"{prefix + name!r} must be an array, got {type(value).__name__}")
        else:
            yield prefix + name, value


def require_shapes(state: State, wanted: Mapping[str, tuple[int, ...]], *, alone: bool = True) -> None:
    """Every name there with its shape, and if ``alone`` no other.

    Raises
    ------
    ValueError
        The first name that is missing, has another shape, or is not of this kind.
    """
    for name, shape in wanted.items():
        if name not in state:
            raise ValueError(f"the state dict must have {name!r} of shape {shape}, got no such name")
        if tuple(state[name].shape) != shape:
            raise ValueError(f"{name!r} must have shape {shape}, got {tuple(state[name].shape)}")
    for name in state:
        if alone and name not in wanted:
            raise ValueError(f"the state dict must have no {name!r}, got one of shape {tuple(state[name].shape)}")
