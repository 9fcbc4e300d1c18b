"""Verdicts on what a half did, with counts over samples, beside the controls that did it too."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache

from verify.auditing import coding, nulls
from verify.auditing.result import Audit, Form, HalfFound

SPECIFIC, MORE, NOT, UNCLEAR = "specific", "more than nulls", "not specific", "unclear"
ALONE = "no controls"
SAID = {
    SPECIFIC: "specific to the layer",
    MORE: "more than the controls do, which do it too",
    NOT: "not specific to the layer",
    UNCLEAR: "no effect that these samples could show",
    ALONE: "not compared with any control",
}
"""Each verdict in words."""
LEVEL = 0.01
"""An effect is one if as many samples would go one way by tossing a coin with at most this probability."""
AS_OFTEN = 0.05
"""A control shows an effect as well if its share of samples is no more than this below the layer's."""
BEATEN = 0.95
"""Unless the layer's change is the larger one on at least this share of samples."""
TARGETS = {
    "compress": ("Rc", "official Rc", "dR", "SRR"),
    "sparsify": (coding.LASSO, "lam|Z|_1 - R", "nonzero", "R", "SRR"),
}
"""The terms on which a half is judged, the one it is there for first."""
DICTIONARIES = {
    "rotated dictionary": "with the dictionary rotated at random",
    "another layer's dictionary": "with another layer's dictionary",
}


@dataclass(frozen=True)
class Null:
    """One control beside an effect: on how many of how many samples it goes the same way, and the layer further."""

    name: str
    shown: int
    beaten: int
    count: int

    @property
    def is_beaten(self) -> bool:
        """Whether the layer's own change is the larger one on nearly every sample."""
        return self.beaten >= BEATEN * self.count

    @property
    def said(self) -> str:
        """In words."""
        return {**nulls.SAID, **DICTIONARIES}[self.name]


@dataclass(frozen=True)
class Verdict:
    """What became of one term in one half, in one form.

    Attributes
    ----------
    layer, half, quantity, form
        Layers count from 0.
    way : str
        ``"fell"``, ``"rose"`` or ``"stayed"``: what it did on most samples.
    shown, count : int
        On how many of how many samples.
    word : str
        ``SPECIFIC``, ``MORE``, ``NOT``, ``UNCLEAR``, or ``ALONE`` where no control was tried.
    nulls : tuple of Null
    as_often : tuple of Null
        Those of them that show the effect as often.
    untrained : int or None
        On how many samples of as many the untrained twin shows it.
    """

    layer: int
    half: str
    quantity: str
    form: Form
    way: str
    shown: int
    count: int
    word: str
    nulls: tuple[Null, ...]
    as_often: tuple[Null, ...]
    untrained: int | None

    @property
    def learned(self) -> bool | None:
        """Whether the untrained twin shows it less often; None without one, or without an effect."""
        if self.untrained is None or self.word == UNCLEAR:
            return None
        return self.untrained < self.shown - AS_OFTEN * self.count

    @property
    def sentence(self) -> str:
        """The verdict in words, with its counts."""
        said = f"{self.quantity} {self.way} on {self.shown} of {self.count} samples"
        rivals = [null for null in self.as_often if self.word == MORE or not null.is_beaten]
        for null in sorted(rivals, key=lambda null: -null.shown)[:3] if self.word != UNCLEAR else ():
            of = "" if null.count == self.count else f" of {null.count}"
            said += f"; {null.said}: on {null.shown}{of}"
        few = self.word == UNCLEAR and _chance(self.count, self.count) > LEVEL
        said += ": too few samples to tell from chance." if few else f": {SAID[self.word]}."
        if self.untrained is not None and self.word != UNCLEAR:
            same = "" if self.learned else ", so it was not learned"
            said += f" In the untrained network it {self.way} on {self.untrained}{same}."
        return said


def judge(found: HalfFound, twin: HalfFound | None, quantity: str, form: Form) -> Verdict | None:
    """The verdict on the change of one term, or None if it was not measured in this form.

    An effect is what more samples show than chance would have it (two-sided sign test). It is specific to the layer if
    no control shows it as often; not specific if one does, unless the layer's own change is the larger one on nearly
    every sample: then it is more than what the controls do. Changes under other bases are compared as shares of where
    they start.
    """
    change = found.get(quantity, "change", form)
    if change is None:
        return None
    fell = change.below >= change.above
    shown = change.below if fell else change.above
    way = ("fell" if fell else "rose") if shown else "stayed"
    shown = shown or change.count
    beside = []
    for name in found.controls(quantity):
        theirs, margin = found.get(quantity, "change", form, name), found.get(quantity, "margin", form, name)
        if theirs is None or margin is None:
            continue
        counts = (theirs.below, margin.below) if fell else (theirs.above, margin.above)
        beside.append(Null(name, *counts, theirs.count))
    as_often = tuple(null for null in beside if null.shown / null.count >= shown / change.count - AS_OFTEN)
    if _chance(max(change.below, change.above), change.below + change.above) > LEVEL:
        word = UNCLEAR
    elif not beside:
        word = ALONE
    elif not as_often:
        word = SPECIFIC
    else:
        word = MORE if all(null.is_beaten for null in as_often) else NOT
    untrained = None
    if twin is not None:
        other = twin.get(quantity, "change", form)
        untrained = None if other is None else other.below if fell else other.above
    return Verdict(
        found.layer, found.half, quantity, form, way, shown, change.count, word, tuple(beside), as_often, untrained
    )


def verdicts(audit: Audit, form: Form | None = None) -> Iterator[Verdict]:
    """All verdicts in one form, the main one by default, half by half."""
    form = audit.main if form is None else form
    for found, twin in audit.paired():
        for quantity in TARGETS[found.half]:
            verdict = judge(found, twin, quantity, form)
            if verdict is not None:
                yield verdict


def first(audit: Audit, form: Form | None = None) -> tuple[Verdict, ...]:
    """Of every half, the verdict on the term that it is there for."""
    chosen: dict[tuple[int, str], Verdict] = {}
    for verdict in verdicts(audit, form):
        chosen.setdefault((verdict.layer, verdict.half), verdict)
    return tuple(chosen.values())


@cache
def _chance(most: int, count: int) -> float:
    from scipy.stats import binomtest

    return float(binomtest(most, count).pvalue) if count else 1.0
