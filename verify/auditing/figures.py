"""Figures of an audit: every term along the network, and what the layers do beside what controls do."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from verify.auditing import counterfactuals, nulls
from verify.auditing.coding import LASSO
from verify.auditing.half import COSINE
from verify.auditing.result import Audit, Form, HalfFound
from verify.auditing.running import Spread
from verify.figure import COLOURS, INK

MARKERS = {"compress": "o", "sparsify": "s"}
LABELS = {
    "R": ("The rate R", "R, nats"),
    "Rc": ("The compression rate Rc(Z|U), U of the layer", "Rc, nats"),
    "dR": ("The rate reduction R - Rc", "dR, nats"),
    "SRR": ("The sparse rate reduction", "SRR, nats"),
    "official Rc": ("The official measure of Rc: tokens normalised in every head", "nats"),
    "nonzero": ("The share of entries that are not zero", "share"),
    "|Z|_1": ("The sum of absolute entries", "|Z|_1"),
    LASSO: ("The lasso of the second halves, from their tokens to their codes", "lasso"),
}
"""Titles and units of the terms that are drawn."""
READING = (
    "Each half-step from its start to its mark, a circle for the first half of a layer, a square for the second; "
    "bands: one standard deviation over samples. Where a half starts elsewhere than the last one ended, the measure "
    "has changed: other bases, another LayerNorm."
)
"""How to read a term along the network."""


@dataclass(frozen=True)
class Drawing:
    """One figure: a name for its files, what it shows, and how it is drawn on axes side by side."""

    name: str
    title: str
    caption: str
    columns: int
    draw: Callable[[Sequence[Any]], None]

    @property
    def width(self) -> float:
        """In inches."""
        return 7.0 if self.columns == 1 else 2.6 + 2.5 * self.columns

    def drawn(self) -> Any:
        """As a matplotlib figure; `verify.figure.style` is that of the caller."""
        from matplotlib.figure import Figure  # without pyplot: no window, no global state

        figure = Figure(figsize=(self.width, 3.2), layout="constrained")
        self.draw(figure.subplots(1, self.columns, squeeze=False)[0])
        return figure


def drawings(found: Audit) -> Iterator[Drawing]:
    """Every term, then the controls of Rᶜ and of the cosine."""
    for quantity, (title, unit) in LABELS.items():
        if any(half.forms(quantity) for half in found.halves):
            yield _term(found, quantity, title, unit)
    first = [half for half in found.halves if half.half == "compress"]
    if any(half.controls("Rc") for half in first):
        steps = (*counterfactuals.TIED, *counterfactuals.STEPS)
        yield _beside(
            found,
            first,
            "Rc",
            "change",
            nulls.UPDATES,
            "controls",
            "What the first halves do to Rc, beside null controls",
        )
        yield _beside(
            found, first, "Rc", "change", steps, "counterfactuals", "Other first halves with the same weights"
        )
        yield _beside(
            found, first, COSINE, "value", (*nulls.UPDATES, *nulls.BASES), "cosine", "Updates against -grad Rc"
        )


# --- terms along the network ------------------------------------------------------------------------------------


def _term(found: Audit, quantity: str, title: str, unit: str) -> Drawing:
    views = tuple(
        dict.fromkeys(form.tokens for half in found.halves for form in half.forms(quantity) if form.tokens is not None)
    ) or (None,)

    def draw(axes: Sequence[Any]) -> None:
        for view, place in zip(views, axes, strict=True):
            _curves(found, quantity, view, place)
            place.set(title="" if view is None else f"{view} tokens", xlabel="layer")
        axes[0].set_ylabel(unit)
        _legend(axes[-1])

    caption = READING if quantity == "R" else "Drawn as R is."
    name = {"|Z|_1": "l1"}.get(quantity, quantity.lower().replace(" ", "-"))
    return Drawing(f"term-{name}", title, caption, len(views), draw)


def _curves(found: Audit, quantity: str, view: str | None, axes: Any) -> None:
    precisions: Sequence[float | None] = found.forms.eps if quantity in ("R", "Rc", "dR", "SRR") else (None,)
    for i, eps in enumerate(precisions):
        colour = COLOURS[i % 4]
        label = f"eps = {eps:g}" if eps is not None else "all tokens" if found.main.cls is None else "with [CLS]"
        _steps(found.halves, quantity, Form(view, found.main.cls, eps), axes, colour, "-", label, band=True)
        if found.forms.cls != "none":
            last = i == len(precisions) - 1
            _steps(found.halves, quantity, Form(view, False, eps), axes, colour, ":", "without [CLS]" if last else "")
    if found.twin is not None:
        form = Form(view, found.main.cls, found.main.eps if precisions[0] is not None else None)
        said = "untrained" if form.eps is None else f"untrained, eps = {form.eps:g}"
        _steps(found.twin.halves, quantity, form, axes, COLOURS[4], "--", said)


def _steps(
    halves: Sequence[HalfFound],
    quantity: str,
    form: Form,
    axes: Any,
    colour: str,
    line: str,
    label: str,
    band: bool = False,
) -> None:
    for i, half in enumerate(halves):
        before, after = (half.numbers.get(_key(quantity, what, form)) for what in ("before", "after"))
        if before is None or after is None:
            continue
        x, y = (i / 2, (i + 1) / 2), (before.mean, after.mean)
        axes.plot(x, y, line, color=colour, linewidth=1.2, label=label)
        label = ""  # one entry in the legend
        if band:
            marker = MARKERS[half.half]
            axes.plot(x[1:], y[1:], marker, color=colour, markersize=3.5, markerfacecolor="none")
            low, high = ([s.mean + sign * s.deviation for s in (before, after)] for sign in (-1, 1))
            axes.fill_between(x, low, high, color=colour, alpha=0.13, linewidth=0)


def _key(quantity: str, what: str, form: Form) -> Any:
    from verify.auditing.running import Key

    return Key(quantity, what), form


# --- beside controls --------------------------------------------------------------------------------------------


def _beside(
    found: Audit,
    halves: Sequence[HalfFound],
    quantity: str,
    what: str,
    names: Sequence[str],
    name: str,
    title: str,
) -> Drawing:
    form = found.main

    def draw(axes: Sequence[Any]) -> None:
        (place,) = axes
        place.axhline(0, color=INK, linewidth=0.6)
        everything = ("", *names)
        for j, control in enumerate(everything):
            shift = 0.6 * (j / (len(everything) - 1) - 0.5)
            spreads = [half.get(quantity, what, form, control) for half in halves]
            here = [(half.layer + 1 + shift, s) for half, s in zip(halves, spreads, strict=True) if s is not None]
            _dots(place, here, control or "the layer", j - 1 if control else None)
        if found.twin is not None:
            twins = [
                (h.layer + 1 - 0.36, h.get(quantity, what, form)) for h in found.twin.halves if h.half == "compress"
            ]
            _dots(place, [(x, s) for x, s in twins if s is not None], "untrained", 4, "x")
        place.set(xlabel="layer", ylabel="change of Rc, nats" if what == "change" else "cosine")
        place.set_xticks([half.layer + 1 for half in halves])
        if what == "change":
            _logarithmic(place, _threshold(halves, form))
        _legend(place)

    caption = f"{form}; bars: one standard deviation over samples."
    return Drawing(name, title, caption, 1, draw)


def _dots(axes: Any, points: Sequence[tuple[float, Spread]], label: str, colour: int | None, marker: str = "o") -> None:
    if not points:
        return
    shade = INK if colour is None else COLOURS[colour % len(COLOURS)]
    marker = marker if colour is None or colour < len(COLOURS) else "D"
    x, y = [x for x, _ in points], [s.mean for _, s in points]
    bars = [0.0 if s.count < 2 else s.deviation for _, s in points]
    fill = shade if colour is None or marker == "x" else "none"
    axes.errorbar(x, y, bars, fmt=marker, color=shade, markerfacecolor=fill, markersize=4, linewidth=0.9, label=label)


def _logarithmic(axes: Any, threshold: float) -> None:
    """Powers of ten on both sides of zero, with numbers that need no TeX."""
    axes.set_yscale("symlog", linthresh=threshold, linscale=0.5)
    low, high = axes.get_ylim()
    powers = [10.0**k for k in range(math.ceil(math.log10(threshold)), 1 + math.ceil(math.log10(max(-low, high))))]
    ticks = [tick for tick in (0.0, *powers, *(-power for power in powers)) if low <= tick <= high]
    axes.set_yticks(ticks, [f"{tick:g}" for tick in ticks], minor=False)
    axes.set_yticks([], minor=True)


def _threshold(halves: Sequence[HalfFound], form: Form) -> float:
    sizes = [abs(s.mean) for half in halves if (s := half.get("Rc", "change", form)) is not None]
    return max(1e-6, min((size for size in sizes if size), default=1.0))


def _legend(axes: Any) -> None:
    axes.legend(loc="center left", bbox_to_anchor=(1, 0.5), frameon=False, fontsize=8)
