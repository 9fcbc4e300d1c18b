"""Means, spreads and counts over samples, kept as they come: memory does not grow with their number."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor


class Key(NamedTuple):
    """What a number is."""

    quantity: str
    """``"Rc"``, ``"cosine"``, …"""
    what: str
    """``"before"``, ``"after"``, ``"change"``, ``"margin"`` (by how much the layer's change exceeds that of a
    control), ``"value"``, ``"certified"`` or ``"undecided"``."""
    control: str = ""
    """The null control or the counterfactual; empty for the layer itself."""


class Spread(NamedTuple):
    """A number over samples."""

    count: int
    mean: float
    deviation: float
    """Standard deviation, with count − 1; NaN for one sample."""
    least: float
    most: float
    below: int
    """Samples on which it is below zero: a change that fell."""
    above: int


@dataclass
class Running:
    """The spreads of several arrays of numbers, sample after sample.

    Arrays ``(b, ...)`` of b samples are folded in by `add`; all arrays of one shape are kept in one stack. Means and
    squares are merged as Chan, Golub and LeVeque 1979 do, so that the batches do not matter but for rounding.
    """

    groups: dict[tuple[int, ...], _Stack]

    @classmethod
    def empty(cls) -> Running:
        """Of no sample yet."""
        return cls({})

    def add(self, values: Mapping[Key, Tensor]) -> None:
        """Fold in a batch: the same keys each time, each ``(b, ...)``."""
        shapes: dict[tuple[int, ...], list[Key]] = {}
        for key, value in values.items():
            shapes.setdefault(tuple(value.shape[1:]), []).append(key)
        for shape, keys in shapes.items():
            batch = torch.stack([values[key].detach().to("cpu", torch.float64) for key in keys], dim=1)
            new = _Stack.of(tuple(keys), batch)
            self.groups[shape] = self.groups[shape].merged(new) if shape in self.groups else new

    def spreads(self) -> dict[Key, tuple[tuple[int, ...], list[Spread]]]:
        """By key, the shape of its array and the spread of every entry, in row-major order."""
        found = {}
        for shape, stack in self.groups.items():
            for i, key in enumerate(stack.keys):
                found[key] = (shape, stack.spreads(i))
        return found


class _Stack(NamedTuple):
    """Arrays of one shape: the fields from ``mean`` on are ``(keys, ...)``."""

    keys: tuple[Key, ...]
    count: int
    mean: Tensor
    squares: Tensor
    least: Tensor
    most: Tensor
    below: Tensor
    above: Tensor

    @classmethod
    def of(cls, keys: tuple[Key, ...], batch: Tensor) -> _Stack:
        mean = batch.mean(0)
        return cls(
            keys,
            len(batch),
            mean,
            ((batch - mean) ** 2).sum(0),
            batch.amin(0),
            batch.amax(0),
            (batch < 0).sum(0),
            (batch > 0).sum(0),
        )

    def merged(self, new: _Stack) -> _Stack:
        if new.keys != self.keys:
            raise ValueError("every batch must have the same keys")
        count = self.count + new.count
        gap = new.mean - self.mean
        return _Stack(
            self.keys,
            count,
            self.mean + gap * (new.count / count),
            self.squares + new.squares + gap**2 * (self.count * new.count / count),
            torch.minimum(self.least, new.least),
            torch.maximum(self.most, new.most),
            self.below + new.below,
            self.above + new.above,
        )

    def spreads(self, i: int) -> list[Spread]:
        deviation = (self.squares[i] / (self.count - 1)).sqrt() if self.count > 1 else self.squares[i] * torch.nan
        columns = (self.mean[i], deviation, self.least[i], self.most[i], self.below[i], self.above[i])
        return [Spread(self.count, *row) for row in zip(*(c.flatten().tolist() for c in columns), strict=True)]
