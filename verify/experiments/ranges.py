"""What the parameters of an experiment may be: refused as they are made, before anything runs.

Each refusal is a ValueError that begins with the parameter's name, and says what it may be and what it was.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Any


def known(given: Any, **words: Collection[str]) -> None:
    """Each of a parameter's words must be one of these."""
    for name, options in words.items():
        for value in getattr(given, name):
            if value not in options:
                raise ValueError(f"{name} must be of {', '.join(options)}, got {value!r}")


def above(given: Any, bound: float, *names: str) -> None:
    """Numbers, or all of a list, must be above a bound."""
    for name, value in _numbers(given, names):
        if not value > bound:
            raise ValueError(f"{name} must be > {bound}, got {value}")


def least(given: Any, bound: float, *names: str) -> None:
    """Numbers, or all of a list, must be a bound at least."""
    for name, value in _numbers(given, names):
        if not value >= bound:
            raise ValueError(f"{name} must be >= {bound}, got {value}")


def room(given: Any, *, apart: bool) -> None:
    """p must leave room for a subspace in d dimensions, and if they are ``apart`` for all K side by side."""
    most = given.d // given.K if apart else given.d
    if given.p > most:
        many = f"K = {given.K} orthogonal subspaces" if apart else "subspaces"
        raise ValueError(f"p must be <= {most} for {many} in d = {given.d} dimensions, got {given.p}")


def _numbers(given: Any, names: tuple[str, ...]) -> list[tuple[str, float]]:
    values = ((name, getattr(given, name)) for name in names)
    return [(name, each) for name, value in values for each in (value if isinstance(value, tuple) else (value,))]
