"""What a command line says of a network: the layout of its parts, and what the weights do not tell."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from verify import targets
from verify.layouts import LAYOUTS, Layout
from verify.names import nearest


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
