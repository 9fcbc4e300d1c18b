"""A `Trace` as a figure: the terms over half-steps, and where a promise was broken."""

from __future__ import annotations

from pathlib import Path

from verify.figure import saved
from verify.output import write_all
from verify.trace import Step, Trace

COLOURS = {
    "R": "#0072b2",
    "Rc": "#d55e00",
    "dR": "#009e73",
    "loss": "#222222",
    "l1": "#cc79a7",
}  # Okabe and Ito


def write(trace: Trace, path: Path, *, title: str) -> None:
    """Draw and write the figure, whole or not at all; the same bytes for the same trace."""
    import matplotlib

    with matplotlib.rc_context({"svg.hashsalt": "srr", "svg.fonttype": "path", "font.size": 9}):
        write_all([(path, saved(_drawn(trace, title), path.suffix))])


def _drawn(trace: Trace, title: str):
    from matplotlib.figure import Figure  # without pyplot: no window, no global state
    from matplotlib.ticker import MaxNLocator

    figure = Figure(figsize=(7, 5), layout="constrained")
    rates, losses = figure.subplots(2, 1, sharex=True)
    halves = trace.halves
    place = places_of(halves)
    places = [0.0, *(place[step.index, step.half] for step in halves)]
    values = [trace.start, *(step.terms for step in halves)]
    for axes, names in ((rates, ("R", "Rc", "dR")), (losses, ("loss",))):
        for name in names:
            series = [entry[name] for entry in values]
            axes.plot(places, series, ".-", color=COLOURS[name], label=name, linewidth=1.2, markersize=4)
            steps = [step for step in trace.steps if step.quantity == name and step.judgement.broken]
            broken = [place.get((step.index, step.half), step.index + 1.0) for step in steps]
            if broken:
                at = [series[places.index(place)] for place in broken]
                axes.plot(broken, at, "o", mfc="none", color="red", label=f"{name} raised")
    rates.set(title=title, ylabel="nats")
    losses.set(xlabel="layer, half by half", ylabel="nats")
    for axes in (rates, losses):
        axes.grid(alpha=0.3)
        axes.legend(loc="center left", bbox_to_anchor=(1, 0.5), frameon=False)
    losses.xaxis.set_major_locator(MaxNLocator(integer=True))
    return figure


def places_of(halves: tuple[Step, ...]) -> dict[tuple[int, str], float]:
    """Where half-steps are drawn: layer ℓ, counted from 0, ends at ℓ + 1, and its first half at ℓ + ½."""
    places: dict[tuple[int, str], float] = {}
    for step in halves:
        second = any(index == step.index for index, _ in places)
        places[step.index, step.half] = step.index + (1.0 if second else 0.5)
    return places
