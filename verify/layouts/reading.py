"""One clear error where a state dict is of another kind."""

from __future__ import annotations

from collections.abc import Mapping

from verify.layouts.layout import State


def require_shapes(state: State, wanted: Mapping[str, tuple[int, ...]]) -> None:
    """Every name there with its shape, and no other.

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
        if name not in wanted:
            raise ValueError(f"the state dict must have no {name!r}, got one of shape {tuple(state[name].shape)}")
