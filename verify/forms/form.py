"""A form: one of the ways in which an operator is written, as a point on axes that each have a few values."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, fields, replace
from itertools import combinations, product
from typing import Any, ClassVar, get_args, get_type_hints

import numpy as np

from verify.bounded import Bounded

Weights = Mapping[str, np.ndarray]
Constants = Mapping[str, float]


@dataclass(frozen=True)
class Form(ABC):
    """Fields are the axes, annotated with the values that they take; calling the form applies it.

    ``form(*reads, weights=..., constants=...)`` takes what the operator reads as `verify.bounded.Bounded` arrays and
    gives what it computes, with a bound on rounding.
    """

    WORDS: ClassVar[Mapping[str, Mapping[str, str]]] = {}
    """What each value of each axis means, said of the code that has it."""

    @abstractmethod
    def __call__(self, *reads: Bounded, weights: Weights, constants: Constants) -> Bounded:
        """What it makes of what it reads."""

    @classmethod
    def choices(cls) -> dict[str, tuple[Any, ...]]:
        """The values of every axis."""
        hints = get_type_hints(cls)
        return {field.name: get_args(hints[field.name]) for field in fields(cls)}

    def departures(self, count: int) -> Iterator[Form]:
        """Every form that differs from this one on exactly ``count`` axes."""
        choices = self.choices()
        for axes in combinations(choices, count):
            others = [[value for value in choices[axis] if value != getattr(self, axis)] for axis in axes]
            for values in product(*others):
                yield replace(self, **dict(zip(axes, values, strict=True)))

    def differences(self, other: Form) -> tuple[str, ...]:
        """What this form does where another does something else, axis by axis, in words."""
        found = []
        for axis in self.choices():
            mine, theirs = getattr(self, axis), getattr(other, axis)
            if mine != theirs:
                words = self.WORDS[axis]
                found.append(f"{words[mine]} (not: {words[theirs]})")
        return tuple(found)


@dataclass(frozen=True)
class Named:
    """A form that a paper prints or a published code computes."""

    slug: str
    """Permanent, and unique among all kinds: ``"crate.ista"``."""
    name: str
    source: str
    form: Form
