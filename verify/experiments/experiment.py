"""An experiment: a question, the numbers that set it up, what is measured, and what follows."""

from __future__ import annotations

import json
import math
import types
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from functools import cache
from itertools import product
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

from verify.figure import Figure
from verify.names import nearest

__all__ = ["Experiment"]

Row = dict[str, Any]
"""One measurement: names to numbers, words or truth values."""
MAY_BE_ZERO = ("seed", "beside")
"""The whole numbers of experiments that count something of which there may be none, or that are seeds."""


@dataclass(frozen=True)
class Experiment:
    """A named experiment.

    Attributes
    ----------
    name : str
        As in ``srr experiment NAME``.
    title, question, source : str
    parameters : type
        A frozen dataclass whose defaults take less than a minute on two cores; its docstring says what they are. What
        it cannot be run with it refuses as it is made (``verify.experiments.ranges``).
    full : mapping
        What ``--full`` changes of them.
    total : callable
        Parameters to how many rows there will be.
    run : callable
        Parameters to rows, one after the other: a function of its parameters alone.
    columns : tuple of str
        The names of a row that the table shows.
    grid : tuple of str
        Parameters that are lists, each combination of which has rows of its own and can be run alone; in the order of
        the rows, the last varying fastest.
    figure, verdict : callable
        Rows to a picture, and to what they answer, in a sentence or two.
    """

    name: str
    title: str
    question: str
    source: str
    parameters: type
    full: Mapping[str, Any]
    total: Callable[[Any], int]
    run: Callable[[Any], Iterator[Row]]
    columns: tuple[str, ...]
    figure: Callable[[Sequence[Row]], Figure]
    verdict: Callable[[Sequence[Row]], str]
    grid: tuple[str, ...]

    def cells(self, given: Any) -> Iterator[Any]:
        """Parameters cut along the grid: those of one combination after the other, whose rows together are all rows."""
        for chosen in product(*(getattr(given, name) for name in self.grid)):
            yield replace(given, **{name: (value,) for name, value in zip(self.grid, chosen, strict=True)})

    def is_list(self, name: str) -> bool:
        """Whether a parameter is a list of values."""
        return get_origin(_hints(self.parameters).get(name)) is tuple

    def with_parameters(self, given: Mapping[str, Any]) -> Any:
        """Its parameters with some of them given.

        Raises
        ------
        ValueError
            One that it does not have, of another type, or that it cannot be run with; the message names it, and what it
            may be.
        """
        hints = _hints(self.parameters)
        names = [field.name for field in fields(self.parameters)]
        for name in given:
            if name not in names:
                known = f"{', '.join(names)}; got {name} = {given[name]!r}{nearest(name, names)}"
                raise ValueError(f"{name} must be a parameter of {self.name}: {known}")
        return self.parameters(**{name: converted(value, hints[name], name) for name, value in given.items()})


def spread(values: Sequence[Any], most: int) -> list[Any]:
    """At most so many of them, the ends among them: as many as lines of a figure can be told apart."""
    if len(values) <= most:
        return list(values)
    return [values[round(i * (len(values) - 1) / (most - 1))] for i in range(most)]


@cache
def _hints(parameters: type) -> Mapping[str, Any]:
    return get_type_hints(parameters)


def converted(value: Any, hint: Any, name: str) -> Any:
    """A value read from a file or a command line, as one of a type; whole numbers stand for floats, lists for tuples.

    Raises
    ------
    ValueError
        It is of another type.
    """
    if get_origin(hint) is Literal:
        if value not in get_args(hint):
            raise ValueError(f"{name} must be one of {', '.join(map(str, get_args(hint)))}, got {value!r}")
        return value
    if get_origin(hint) in (Union, types.UnionType):
        kinds = [kind for kind in get_args(hint) if kind is not type(None)]
        return None if value is None else converted(value, kinds[0], name)
    if get_origin(hint) is tuple:
        kind = get_args(hint)[0]
        if not isinstance(value, list | tuple) or not value:
            how = "" if isinstance(value, list | tuple) else f"; write {name}=[{json.dumps(value, default=str)}]"
            raise ValueError(f"{name} must be a list of {_said(kind, many=True)}, at least one, got {value!r}{how}")
        return tuple(converted(item, kind, f"{name}[{index}]") for index, item in enumerate(value))
    if hint is float and isinstance(value, int) and not isinstance(value, bool) and abs(value) < 2**1023:
        value = float(value)
    if type(value) is not hint or (hint is float and not math.isfinite(value)):
        raise ValueError(f"{name} must be {_said(hint)}, got {value!r}")
    least = 0 if name.split("[")[0] in MAY_BE_ZERO else 1
    if hint is int and value < least:
        raise ValueError(f"{name} must be at least {least}, got {value}")
    return value


def _said(kind: Any, *, many: bool = False) -> str:
    one = {float: "number", int: "whole number", str: "word"}
    return "true or false" if kind is bool else f"{one[kind]}s" if many else f"a {one[kind]}"
