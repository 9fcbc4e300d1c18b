"""What an audit found: plain numbers, in the order of the network."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

from verify.auditing.running import Key, Spread
from verify.auditing.terms import Forms


class Form(NamedTuple):
    """In which form a number was measured; None where that does not enter."""

    tokens: str | None
    """Of `terms.VIEWS`."""
    cls: bool | None
    """Whether with [CLS]; None also where no token is one."""
    eps: float | None

    def __str__(self) -> str:
        words = [] if self.tokens is None else [f"{self.tokens} tokens"]
        words += [] if self.cls is None else ["with [CLS]" if self.cls else "without [CLS]"]
        return ", ".join(words + ([] if self.eps is None else [f"eps={self.eps:g}"]))


@dataclass(frozen=True, eq=False)
class HalfFound:
    """One half of one layer.

    Attributes
    ----------
    layer : int
        From 0.
    half : str
    numbers : dict
        Spreads over samples, by what they are and in which form.
    """

    layer: int
    half: str
    numbers: dict[tuple[Key, Form], Spread]

    def get(self, quantity: str, what: str, form: Form, control: str = "") -> Spread | None:
        """One number; a form says too much for a quantity into which not all of it enters. None if not measured."""
        key = Key(quantity, what, control)
        for tokens in (form.tokens, None):
            for eps in (form.eps, None):
                for cls in (form.cls, None):
                    found = self.numbers.get((key, Form(tokens, cls, eps)))
                    if found is not None:
                        return found
        return None

    def controls(self, quantity: str) -> tuple[str, ...]:
        """The controls that a change of this quantity has."""
        return tuple(dict.fromkeys(k.control for k, _ in self.numbers if k.quantity == quantity and k.what == "margin"))

    def forms(self, quantity: str, what: str = "change") -> tuple[Form, ...]:
        """The forms in which it was measured."""
        return tuple(form for key, form in self.numbers if key == Key(quantity, what))


@dataclass(frozen=True, eq=False)
class Audit:
    """What a network's layers do to the terms of the sparse rate reduction, and what controls do.

    Attributes
    ----------
    name : str
        Of the network.
    samples, controlled, certified : int
        Samples measured; those on which the controls were tried; those that were judged in exact and ball arithmetic.
    forms : Forms
    seed : int
        Of the controls.
    shape : tuple of int
        (n, d) of the tokens of the last batch.
    halves : tuple of HalfFound
        In order.
    weights : tuple of dict
        `weights.of_weights`, by layer.
    twin : Audit or None
        The same of the untrained twin.
    """

    name: str
    samples: int
    controlled: int
    certified: int
    forms: Forms
    seed: int
    shape: tuple[int, int]
    halves: tuple[HalfFound, ...]
    weights: tuple[dict[str, float], ...]
    twin: Audit | None = None

    @property
    def main(self) -> Form:
        """The form shown where there is room for one: raw tokens, all of them, at the middle precision."""
        eps = sorted(self.forms.eps)
        tokens = self.forms.tokens[0]
        return Form(tokens, None if self.forms.cls == "none" else True, eps[(len(eps) - 1) // 2])

    def paired(self) -> Iterator[tuple[HalfFound, HalfFound | None]]:
        """Every half beside that of the untrained twin."""
        others = [None] * len(self.halves) if self.twin is None else self.twin.halves
        yield from zip(self.halves, others, strict=True)
