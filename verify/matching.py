"""Which known form does a function compute? The comparison behind every cross-check."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from verify.arrays import in_float64
from verify.bounded import PRECISIONS, Precision, exact
from verify.forms import KINDS, Form, Kind, Named, named
from verify.forms.fitting import fitted

__all__ = ["Difference", "Example", "Match", "match"]

DEPARTURES = 2
"""Axes on which a function may differ from a named form and still be named after it."""
TELLING = 1e-3
"""A bound on rounding above this share of the result tells little: almost any form is within it."""


FAR = 1e4
"""Above which tokens are far out."""
ROUNDING = 1e-9
"""A difference below this share of the norm is none to speak of."""


@dataclass(frozen=True, eq=False)
class Example:
    """What an operator was given, and what it made of it; float64 copies of the numbers it had."""

    reads: tuple[np.ndarray, ...]
    result: np.ndarray

    @property
    def far(self) -> bool:
        """Whether some token is far out."""
        return any(np.max(np.abs(a), where=np.isfinite(a), initial=0) > FAR for a in (*self.reads, self.result))

    @property
    def overflows(self) -> bool:
        """Whether something is no number, of tokens so far out that a lower precision inside may not hold them."""
        return self.far and not all(np.isfinite(a).all() for a in (*self.reads, self.result))


@dataclass(frozen=True, eq=False)
class Difference:
    """Where a result parts from a form.

    Attributes
    ----------
    index : tuple of int
        Of the first entry that no rounding explains, of the first example that has one.
    got, wanted, bound : float
        That entry, the form's, and what rounding may explain.
    share : float
        The norm of the difference over that of the form, over all examples.
    """

    index: tuple[int, ...]
    got: float
    wanted: float
    bound: float
    share: float


@dataclass(frozen=True, eq=False)
class Match:
    """What a function computes, as far as examples tell.

    Attributes
    ----------
    verdict : str
        ``"known"``: a form that a paper prints or a code has. ``"other"``: such a form, but not the one that was
        ``wanted``. ``"departs"``: such a form, but for what
        ``departures`` say. ``"unknown"``: none; ``nearest`` is the nearest. ``"undecided"``: in this precision rounding
        may explain several.
    kind : str
    wanted : Named or None
        The form that it should be, if one was named.
    nearest : Named
        The form that it is, or departs from, or is nearest to.
    form : Form
        The very form: that of ``nearest`` but for the departures.
    departures : tuple of str
    precision : str
        The precision whose rounding explains what is left: lower than the function's own if it computes in a lower one.
    constants : mapping
        The numbers of the form, fitted if those given do not explain it.
    difference : Difference or None
        From the nearest form, if there is one that rounding does not explain.
    alike : tuple of str
        Other forms that the examples do not tell from this one.
    theory : tuple of str
        What it does where the form that theory derives does something else.
    effect : float or None
        The norm of the difference from that form over the norm of that form.
    """

    verdict: str
    kind: str
    wanted: Named | None
    nearest: Named
    form: Form
    departures: tuple[str, ...]
    precision: str
    constants: Mapping[str, float]
    difference: Difference | None
    alike: tuple[str, ...]
    theory: tuple[str, ...]
    effect: float | None

    @property
    def passes(self) -> bool:
        """Whether it is a form that a paper prints or a code has."""
        return self.verdict == "known"


def match(
    kind: str,
    examples: Sequence[Example],
    weights: Mapping[str, Any],
    constants: Mapping[str, float],
    *,
    wanted: str = "",
    precision: str | Precision = "float64",
    first: Form | None = None,
) -> Match:
    """Compare examples with every known form of an operator, and with what departs from these on one or two axes.

    Parameters
    ----------
    kind : str
        In `verify.forms.KINDS`.
    examples : sequence of Example
        At least one that does not overflow, and those that do are left out; forms that the others do not tell apart
        are reported.
    weights, constants : mapping
        Of the operator, by the names of `verify.layouts.layout.Operator`.
    wanted : str, optional
        The slug of the form that it should be.
    precision : str or Precision
        In which it computed them: its bound on rounding is what it is judged by.
    first : Form, optional
        Tried before all others.

    Returns
    -------
    Match

    Raises
    ------
    ValueError
        An unknown kind or form; no examples, or one that is not finite.
    """
    if kind not in KINDS:
        raise ValueError(f"kind must be one of {', '.join(KINDS)}, got {kind!r}")
    if isinstance(precision, str) and precision not in PRECISIONS:
        raise ValueError(f"precision must be one of {', '.join(PRECISIONS)}, got {precision!r}")
    examples = [example for example in examples if not example.overflows]
    if not any(example.result.size for example in examples):
        raise ValueError("examples must be at least one with a number in it, got none")
    arrays = {name: in_float64(a) for name, a in weights.items()}
    for name, a in arrays.items():
        if not np.isfinite(a).all():
            raise ValueError(f"{name} must be finite, got {a[~np.isfinite(a)][0]}")
    for index, example in enumerate(examples):
        for a in (*example.reads, example.result):
            if not np.isfinite(a).all():
                raise ValueError(f"examples must be finite, got {a[~np.isfinite(a)][0]} in example {index}")
    goal, p = named(wanted) if wanted else None, PRECISIONS[precision] if isinstance(precision, str) else precision
    return _Search(KINDS[kind], kind, goal, tuple(examples), arrays, dict(constants), p).result(first)


@dataclass(frozen=True, eq=False)
class _Search:
    kind: Kind
    name: str
    wanted: Named | None
    examples: tuple[Example, ...]
    weights: Mapping[str, np.ndarray]
    constants: Mapping[str, float]
    precision: Precision

    def result(self, first: Form | None) -> Match:
        found = self._agreeing(first)
        if found is not None:
            return self._found(*found)
        constants = fitted(self.name, self.examples, self.weights, self.constants)
        if constants is not None:
            other = replace(self, constants=constants)
            found = other._agreeing(None, departures=0)
            if found is not None:
                changed = (
                    f"{k} is {v:g} (not: {self.constants[k]:g})" for k, v in constants.items() if v != self.constants[k]
                )
                return other._found(*found, also=tuple(changed))
        for precision in PRECISIONS.values():
            if precision.unit > self.precision.unit and (found := self._in_lower(precision)):
                low = f"computed in {precision.name}, or off by no more than that (not: {self.precision.name})"
                return self._found(*found, also=(low,))
        near = self.wanted or min(self.kind.named, key=lambda near: self._gap(near.form))
        return self._match("unknown", near, near.form, (), ())

    def _in_lower(self, precision: Precision) -> tuple[Named, Form] | None:
        """A named form from which rounding in a lower precision explains the distance.

        Its bound says nothing about some examples; it must hold on those that it does say something about, and on each
        of them the difference must be of the size that rounding usually has.
        """
        lower = replace(self, precision=precision)
        for near in self._named():
            gap = max(replace(self, examples=(example,))._gap(near.form) for example in self.examples)
            telling = [e for e in self.examples if np.isfinite(gap) and lower._bound_share(near.form, e) < 0.1]
            if gap < 16 * precision.unit and telling and replace(lower, examples=tuple(telling))._agrees(near.form):
                return near, near.form
        return None

    def _agreeing(self, first: Form | None, departures: int = DEPARTURES) -> tuple[Named, Form] | None:
        return next(((near, form) for near, form in self._candidates(first, departures) if self._agrees(form)), None)

    def _named(self) -> tuple[Named, ...]:
        others = tuple(near for near in self.kind.named if near is not self.wanted)
        return others if self.wanted is None else (self.wanted, *others)

    def _candidates(self, first: Form | None, departures: int) -> Iterator[tuple[Named, Form]]:
        if self.wanted is not None:
            yield self.wanted, self.wanted.form
        if first is not None:
            yield min(self._named(), key=lambda near: len(first.differences(near.form))), first
        for count in range(departures + 1):
            for near in self._named():
                for form in near.form.departures(count):
                    yield near, form

    def _found(self, near: Named, form: Form, also: tuple[str, ...] = ()) -> Match:
        alike = () if also else tuple(self._alike(form))
        departures = (*form.differences(near.form), *also)
        if alike and max(self._bound_share(form, example) for example in self.examples) > TELLING:
            verdict = "undecided"
        elif departures:
            verdict = "departs"
        else:
            verdict = "known" if self.wanted in (None, near) else "other"
        return self._match(verdict, near, form, departures, alike)

    def _match(
        self, verdict: str, near: Named, form: Form, departures: tuple[str, ...], alike: tuple[str, ...]
    ) -> Match:
        theory, effect = (), None
        if self.kind.theory is not None:
            gap = self._gap(self.kind.theory.form)
            effect = gap if np.isfinite(gap) else None
            if verdict != "unknown":
                theory = self._that_matter(form)
        goal = self.wanted or near
        difference = None if verdict == "known" else self._difference(goal.form)
        return Match(
            verdict,
            self.name,
            self.wanted,
            near,
            form,
            departures,
            self.precision.name,
            self.constants,
            difference,
            alike,
            theory,
            effect,
        )

    def _that_matter(self, form: Form) -> tuple[str, ...]:
        """Differences from the theory's form, less those that make none with these weights, such as a missing bias."""
        wanted = self.kind.theory.form
        axes = [axis for axis in form.choices() if getattr(form, axis) != getattr(wanted, axis)]
        matter = [not self._same(form, replace(form, **{axis: getattr(wanted, axis)})) for axis in axes]
        return tuple(words for words, m in zip(form.differences(wanted), matter, strict=True) if m)

    def _alike(self, form: Form) -> Iterator[str]:
        for other in form.departures(1):
            if self._agrees(other) and not self._same(other, form):
                yield from other.differences(form)

    def _values(
        self, form: Form, example: Example, precision: Precision | None = None
    ) -> tuple[np.ndarray, np.ndarray] | None:
        try:
            given = tuple(exact(a, precision or self.precision) for a in example.reads)
            value = form(*given, weights=self.weights, constants=self.constants)
        except (ValueError, KeyError, IndexError, ZeroDivisionError):
            return None  # shapes that this form cannot have
        return value.value, value.error

    def _compared(self, form: Form, example: Example) -> tuple[np.ndarray, np.ndarray] | None:
        found = self._values(form, example)
        return found if found is not None and found[0].shape == example.result.shape else None

    def _agrees(self, form: Form) -> bool:
        for example in self.examples:
            found = self._compared(form, example)
            if found is None or not (np.abs(example.result - found[0]) <= found[1]).all():
                return False
            if not np.isfinite(found[1]).all():
                return False
        return True

    def _same(self, one: Form, other: Form) -> bool:
        """Whether two forms are one function with these weights, which examples that are all alike do not tell."""
        rng = np.random.Generator(np.random.PCG64(np.random.SeedSequence(0)))
        shapes = [tuple(a.shape for a in example.reads) for example in self.examples]
        probes = [Example(tuple(rng.standard_normal(shape) for shape in each), np.zeros(0)) for each in shapes]
        for example in probes:
            a, b = (self._values(form, example, PRECISIONS["float64"]) for form in (one, other))
            if a is None or b is None or a[0].shape != b[0].shape or not (np.abs(a[0] - b[0]) <= a[1] + b[1]).all():
                return False
        return True

    def _gap(self, form: Form) -> float:
        """The difference, as a share of the norm; tokens far out, which would drown it, count if no others do."""
        near = [example for example in self.examples if not example.far]
        gap = self._gap_on(near, form) if near else 0.0
        return gap if gap > ROUNDING or len(near) == len(self.examples) else self._gap_on(self.examples, form)

    def _gap_on(self, examples: Sequence[Example], form: Form) -> float:
        off = size = 0.0
        for example in examples:
            found = self._compared(form, example)
            if found is None:
                return np.inf
            off, size = off + float(np.sum((example.result - found[0]) ** 2)), size + float(np.sum(found[0] ** 2))
        return float(np.sqrt(off / size)) if size > 0 else (0.0 if off == 0 else np.inf)

    def _bound_share(self, form: Form, example: Example) -> float:
        value, error = self._values(form, example)
        size = np.abs(value).max()
        return float(error.max() / size) if size > 0 else 0.0

    def _difference(self, form: Form) -> Difference | None:
        for example in self.examples:
            found = self._compared(form, example)
            if found is None:
                return None
            value, error = found
            off = np.argwhere(~(np.abs(example.result - value) <= error))
            if len(off):
                i = tuple(int(k) for k in off[0])
                return Difference(i, float(example.result[i]), float(value[i]), float(error[i]), self._gap(form))
        return None
