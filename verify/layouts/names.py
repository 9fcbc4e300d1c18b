"""The names of a state dict and their shapes, written as a sheet."""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property

from verify.layouts.layout import State

Shape = tuple[int, ...]


@dataclass(frozen=True)
class Names:
    """A sheet of names and shapes.

    Parameters
    ----------
    sheet : str
        A line for each tensor, its name and the length of each axis: a number, a letter, or a multiple of a letter
        such as ``3d``. A letter has one value throughout, that of the first tensor of the state dict that tells it.
        ``{i}`` in a name stands for 0, 1, …, and so does ``{k}``; ``?`` behind a name says that it may be missing.
        ``prefix.*`` on a line of its own lets names with this prefix be as they are.

    Examples
    --------
    >>> sheet = Names('''
    ...     layers.{i}.weight  m d
    ...     layers.{i}.bias?   m
    ...     head.*
    ... ''')
    """

    sheet: str

    @cached_property
    def lines(self) -> tuple[_Line, ...]:
        return tuple(_line(*text.split()) for text in self.sheet.splitlines() if text.strip())

    def sizes(self, state: State) -> dict[str, int]:
        """What each letter stands for.

        Raises
        ------
        ValueError
            A name that must be there is missing, or has another number of axes.
        """
        known: dict[str, int] = {}
        for line in self.lines:
            for name in line.present(state):
                shape = tuple(state[name].shape)
                if len(shape) != len(line.axes):
                    raise ValueError(f"{name!r} must have {len(line.axes)} axes, got shape {shape}")
                for axis, length in zip(line.axes, shape, strict=True):
                    if axis.isalpha():
                        known.setdefault(axis, length)
                break
            else:
                if not line.optional and not line.free:
                    raise ValueError(f"the state dict must have {line.example!r}, got no such name")
        return known

    def judged(self, state: State) -> list[str]:
        """The names that a line has an opinion on."""
        return [name for line in self.lines for name in line.present(state)]

    def depth(self, state: State, prefix: str) -> range:
        """The values of ``{i}`` behind a prefix: without gaps, from the first that no other line takes.

        Raises
        ------
        ValueError
            There is none, or one is left out.
        """
        lines = [line for line in self.lines if line.prefix == prefix and not line.free]
        found = sorted({int(match["i"]) for line in lines for match in line.matches(state)})
        taken = {name.split(".")[0] for line in self.lines if line.prefix is None for name in line.present(state)}
        first = next(i for i in range(len(taken) + 1) if f"{prefix}{i}" not in taken)
        if not found or found != list(range(first, first + len(found))):
            raise ValueError(f"the layers {prefix}{first}, … must be numbered without gaps, got {found}")
        return range(first, first + len(found))

    def shapes(self, state: State) -> dict[str, Shape]:
        """Every name that there should be, with its shape.

        Raises
        ------
        ValueError
            As `sizes` and `depth`.
        """
        known = self.sizes(state)
        wanted: dict[str, Shape] = {}
        for line in self.lines:
            if line.free:
                wanted |= {match[0]: tuple(state[match[0]].shape) for match in line.matches(state)}
                continue
            for name in line.names(state, (0,) if line.prefix is None else self.depth(state, line.prefix)):
                if name in state or not line.optional:
                    wanted[name] = tuple(_length(axis, known) for axis in line.axes)
        return wanted


@dataclass(frozen=True)
class _Line:
    name: str
    axes: tuple[str, ...]
    optional: bool
    free: bool

    @cached_property
    def pattern(self) -> re.Pattern[str]:
        parts = re.split(r"(\{[a-z]\})", self.name)
        text = "".join(rf"(?P<{p[1]}>\d+)" if p.startswith("{") else re.escape(p) for p in parts)
        return re.compile(text + ".*" * self.free)

    @property
    def prefix(self) -> str | None:
        """What comes before ``{i}``."""
        return self.name.split("{i}")[0] if "{i}" in self.name else None

    @property
    def example(self) -> str:
        return re.sub(r"\{[a-z]\}", "0", self.name)

    def matches(self, state: State) -> Iterator[re.Match[str]]:
        return filter(None, map(self.pattern.fullmatch, state))

    def present(self, state: State) -> list[str]:
        return [] if self.free else [match[0] for match in self.matches(state)]

    def names(self, state: State, layers: Iterable[int]) -> Iterator[str]:
        """The names that this line stands for."""
        inner = len({match["k"] for match in self.matches(state)}) if "{k}" in self.name else 0
        for i, k in itertools.product(layers, range(max(1, inner))):
            yield self.name.replace("{i}", str(i)).replace("{k}", str(k))


def _line(name: str, *axes: str) -> _Line:
    optional, free = name.endswith("?"), name.endswith("*")
    return _Line(name.rstrip("?*"), axes, optional, free)


def _length(axis: str, known: Mapping[str, int]) -> int:
    times, letter = re.fullmatch(r"(\d*)([A-Za-z]?)", axis).groups()  # type: ignore[union-attr]
    return int(times or 1) * (known[letter] if letter else 1)
