"""Reading a state dict: sizes from its names and shapes, and one clear error where it is of another kind."""

from __future__ import annotations

from collections.abc import Mapping

from verify.layouts.layout import State


def shape_of(state: State, name: str, axes: int) -> tuple[int, ...]:
    """The shape of one tensor.

    Raises
    ------
    ValueError
        There is no such name, or it has another number of axes.
    """
    if name not in state:
        raise ValueError(f"the state dict must have {name!r}, got {len(state)} other names")
    shape = tuple(state[name].shape)
    if len(shape) != axes:
        raise ValueError(f"{name!r} must have {axes} axes, got shape {shape}")
    return shape


def depth_of(state: State, prefix: str) -> int:
    """How many layers there are, numbered from 0 behind a prefix.

    Raises
    ------
    ValueError
        There are none, or one is left out.
    """
    starts = {name[len(prefix) :].split(".", 1)[0] for name in state if name.startswith(prefix)}
    numbers = sorted(int(start) for start in starts if start.isdecimal())
    if not numbers or numbers != list(range(len(numbers))):
        raise ValueError(f"the layers {prefix}0, {prefix}1, … must be numbered without gaps, got {numbers}")
    return len(numbers)


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
