"""The results of a sweep as a figure: every quantity over what was swept, or as a map where two parameters were."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from textwrap import fill
from typing import Any

from verify.experiments import load
from verify.figure import COLOURS, power, saved, style
from verify.sweep import Design, Done, varied

PANELS, LINES, TICKS, DECADES = 12, 8, 8, 1
"""The most quantities, lines and values on an axis that are told; the powers of ten from which it is logarithmic."""
REPEATS = "seed"
"""What is averaged over wherever something else was swept as well."""


@dataclass(frozen=True)
class Measured:
    """One number: where it was measured, what else tells its row from the others of its cell, and its value."""

    place: tuple[Any, ...]
    label: str
    value: float


@dataclass(frozen=True)
class Panel:
    """One quantity over one or two swept parameters."""

    quantity: str
    swept: tuple[str, ...]
    numbers: tuple[Measured, ...]


def panels(design: Design, done: Mapping[str, Done]) -> list[Panel]:
    """What there is to be drawn: the numbers that an experiment's table shows, and that are not the same everywhere."""
    experiment = load(design.experiment)
    swept = varied(design)
    if len(swept) > 1:
        swept = [name for name in swept if name != REPEATS]
    swept = sorted(swept, key=lambda name: -len({_key(cell.parameters[name]) for cell in design.cells}))[:2]
    pairs = [(cell, row) for cell in design.cells if cell.key in done for row in done[cell.key].rows]
    parameters = {name for cell in design.cells for name in cell.parameters}
    labels = _labels([row for _, row in pairs], parameters, swept)
    found = []
    for quantity in experiment.columns:
        if quantity in parameters or f"{quantity}s" in parameters:
            continue
        numbers = [
            Measured(tuple(_value(cell.parameters[name]) for name in swept), label, value)
            for (cell, row), label in zip(pairs, labels, strict=True)
            if isinstance(value := row.get(quantity), int | float) and math.isfinite(value)
        ]
        if len(set(_means(numbers).values())) > 1 or (len(swept) == 1 and len({n.value for n in numbers}) > 1):
            found.append(Panel(quantity, tuple(swept), tuple(numbers)))
    return found[:PANELS] if swept else []


def _key(value: Any) -> str:
    return json.dumps(value)


def _value(value: Any) -> Any:
    """A parameter as a place on an axis: a list of one number counts as that number."""
    if isinstance(value, list | tuple):
        return _value(value[0]) if len(value) == 1 else ", ".join(map(str, value))
    return value if isinstance(value, int | float | str) and not isinstance(value, bool) else str(value)


def _labels(rows: Sequence[Mapping[str, Any]], parameters: set[str], swept: Sequence[str]) -> list[str]:
    """What rows say of themselves that is not measured, not swept and not the same for all."""
    told = []
    for name in rows[0] if rows else ():
        given = f"{name}s" if f"{name}s" in parameters else name
        if given not in swept and (given in parameters or isinstance(rows[0][name], str)):
            told += [name] if len({_key(row[name]) for row in rows}) > 1 else []
    said = ([(name, row[name]) for name in told] for row in rows)
    return [", ".join(v if isinstance(v, str) else f"{name} {v}" for name, v in words) for words in said]


def drawn(design: Design, done: Mapping[str, Done], suffix: str) -> bytes | None:
    """The figure as the bytes of a file, the same for the same results; None where there is nothing to compare."""
    shown = panels(design, done)
    if not shown:
        return None
    from matplotlib import figure as matplotlib_figure  # without pyplot: no window, no global state

    with style(text="path"):
        wide = min(2, len(shown))
        deep = math.ceil(len(shown) / wide)
        picture = matplotlib_figure.Figure(figsize=(5.2 * wide, 3.0 * deep + 0.8), layout="constrained")
        axes = picture.subplots(deep, wide, squeeze=False).ravel()
        captions = [_draw(panel, place, picture) for panel, place in zip(shown, axes, strict=False)]
        for place in axes[len(shown) :]:
            place.set_axis_off()
        picture.suptitle(fill(f"{load(design.experiment).title}: {len(design.cells)} cells", 50 * wide))
        picture.supxlabel(fill(" ".join(dict.fromkeys(captions)), 68 * wide), fontsize=8)
        return saved(picture, suffix)


def _draw(panel: Panel, axes: Any, picture: Any) -> str:
    axes.set_title(panel.quantity, fontsize=9)
    places = [sorted({n.place[i] for n in panel.numbers}, key=_order) for i in range(len(panel.swept))]
    at = [_positions(values) for values in places]
    axes.set_xlabel(panel.swept[0])
    _scale(axes, "x", places[0])
    if len(panel.swept) == 1:
        return _lines(panel, axes, at[0])
    axes.set_ylabel(panel.swept[1])
    _scale(axes, "y", places[1])
    means = _means(panel.numbers)
    if len(means) == len(places[0]) * len(places[1]) and min(map(len, places)) > 1:
        table = [[means[x, y] for x in places[0]] for y in places[1]]
        edges = [_edges([at[i][v] for v in places[i]], _is_log(places[i])) for i in (0, 1)]
        drawing = axes.pcolormesh(*edges, table, cmap="viridis", rasterized=False)
    else:
        drawing = axes.scatter(
            [at[0][x] for x, _ in means], [at[1][y] for _, y in means], c=list(means.values()), cmap="viridis", s=18
        )
    picture.colorbar(drawing, ax=axes)
    return "Colours: means over all rows of a cell, and over whatever else was varied."


def _lines(panel: Panel, axes: Any, at: Mapping[Any, float]) -> str:
    labels = list(dict.fromkeys(n.label for n in panel.numbers))
    many = len(labels) > LINES
    for i, label in enumerate([""] if many else labels):
        means = _means([n for n in panel.numbers if many or n.label == label])
        places = sorted(means, key=lambda place: at[place[0]])
        marks = ("o", "s", "^")[i // len(COLOURS) % 3]
        axes.plot(
            [at[place[0]] for place in places],
            [means[place] for place in places],
            marker=marks,
            markersize=4,
            linewidth=0.9,
            color=COLOURS[i % len(COLOURS)],
            label=label,
        )
    axes.grid(alpha=0.3, linewidth=0.6)
    axes.spines[["top", "right"]].set_visible(False)
    if not many and any(labels):
        axes.legend(frameon=False, fontsize=7)
    return f"Means over the {len(labels)} kinds of rows of a cell." if many else "Lines join means over rows alike."


def _means(numbers: Sequence[Measured]) -> dict[tuple[Any, ...], float]:
    kept: dict[tuple[Any, ...], list[float]] = {}
    for number in numbers:
        kept.setdefault(number.place, []).append(float(number.value))
    return {place: math.fsum(values) / len(values) for place, values in kept.items()}


def _order(value: Any) -> tuple[bool, Any]:
    return isinstance(value, str), value


def _numeric(values: Sequence[Any]) -> bool:
    return all(not isinstance(value, str) for value in values)


def _is_log(values: Sequence[Any]) -> bool:
    return _numeric(values) and values[0] > 0 and math.log10(values[-1] / values[0]) >= DECADES


def _positions(values: Sequence[Any]) -> dict[Any, float]:
    return {value: float(value if _numeric(values) else i) for i, value in enumerate(values)}


def _scale(axes: Any, which: str, values: Sequence[Any]) -> None:
    from matplotlib.ticker import NullLocator

    axis = axes.xaxis if which == "x" else axes.yaxis
    if _is_log(values):
        axes.set(**{f"{which}scale": "log"})
        axis.set_minor_locator(NullLocator())
        axis.set_major_formatter(lambda value, _: power(value))
    if len(values) <= TICKS or not _numeric(values):
        axis.set_ticks(list(_positions(values).values()), [f"{v:.3g}" if _numeric(values) else v for v in values])


def _edges(centres: Sequence[float], log: bool) -> list[float]:
    """Midway between neighbours, and as far beyond the ends."""
    points = [math.log(c) for c in centres] if log else list(centres)
    inner = [(a + b) / 2 for a, b in pairwise(points)]
    edges = [2 * points[0] - inner[0], *inner, 2 * points[-1] - inner[-1]]
    return [math.exp(e) for e in edges] if log else edges
