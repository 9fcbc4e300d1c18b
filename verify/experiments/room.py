"""Is there room for billions of nearly orthogonal directions in a thousand dimensions?"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from itertools import product
from math import log10

from verify import packings
from verify.experiments import ranges
from verify.experiments.experiment import Experiment, Row
from verify.figure import Curve, Figure, Points


def _sine_squared() -> Fraction:
    """cos² 89.64° = sin² 0.36° to 30 digits, more than decide anything here."""
    import flint

    before, flint.ctx.prec = flint.ctx.prec, 160
    try:
        return Fraction(int((flint.arb.sin_pi_fmpq(flint.fmpq(1, 500)) ** 2 * 10**30).floor().unique_fmpz()), 10**30)
    finally:
        flint.ctx.prec = before


READINGS = {
    "|cos| <= 0.004": lambda: Fraction(4, 1000) ** 2,
    "angle >= 89.64 degrees": _sine_squared,
    "cos^2 <= 0.004": lambda: Fraction(4, 1000),
    "sin >= 0.996": lambda: 1 - Fraction(996, 1000) ** 2,
}
"""What "99.6 % orthogonal" can mean, and the c² that it allows; the second is 99.6 % of a right angle."""


@dataclass(frozen=True)
class Parameters:
    """Which room is measured.

    Attributes
    ----------
    readings : tuple of str
        Of `READINGS`.
    d : tuple of int
        Dimensions.
    wanted : int
        Billions: the least number of directions that the statement means.
    """

    readings: tuple[str, ...] = tuple(READINGS)
    d: tuple[int, ...] = (100, 200, 400, 700, 1000, 1400, 2000, 3000, 5000, 10000)
    wanted: int = 10**9

    def __post_init__(self) -> None:
        ranges.known(self, readings=READINGS)
        ranges.least(self, 2, "d", "wanted")


def run(given: Parameters) -> Iterator[Row]:
    """A row for each reading and dimension: how many directions are certain, and how many at most.

    "random" is the share of pairs of random directions that are orthogonal enough. Below "possible from" so many
    directions as wanted are impossible, from "certain from" on they exist; both are bounds on d for the reading.
    """
    bounds = {reading: READINGS[reading]() for reading in given.readings}
    turns = {reading: _turns(c2, given.wanted) for reading, c2 in bounds.items()}
    for reading, d in product(given.readings, given.d):
        c2 = bounds[reading]
        (low, by), high = packings.least(d, c2), packings.most(d, c2)
        yield {
            "reading": reading,
            "d": d,
            "c": float(c2) ** 0.5,
            "random": float(1 - packings.cap_measure(d, c2)[0]),
            "least": low if low < 10**15 else float(low),
            "by": by,
            "log10 least": log10(low),
            "log10 most": log10(high),
            "wanted": given.wanted,
            "certain": low >= given.wanted,
            "impossible": high < given.wanted,
            "possible from": turns[reading][0],
            "certain from": turns[reading][1],
        }


def _turns(c2: Fraction, wanted: int) -> tuple[int, int]:
    """The first d that the upper bound leaves, and the first at which the lower bound shows it."""
    possible = packings.first(lambda d: packings.most(d, c2) >= wanted, 2)
    return possible, packings.first(lambda d: packings.least(d, c2)[0] >= wanted, possible)


def total(given: Parameters) -> int:
    """How many rows."""
    return len(given.readings) * len(given.d)


def figure(rows: Sequence[Row]) -> Figure:
    """Both bounds over the dimension, for each reading, on a scale on which billions and 10²⁰⁰ are both seen."""
    curves, points = [], []
    for reading in dict.fromkeys(row["reading"] for row in rows):
        mine = [row for row in rows if row["reading"] == reading]
        d = tuple(float(row["d"]) for row in mine)
        curves.append(Curve(f"at most: {_spelled(reading)}", d, tuple(row["log10 most"] for row in mine)))
        points.append(
            Points(f"at least: {_spelled(reading)}", d, tuple(row["log10 least"] for row in mine), certified=True)
        )
    ends = (min(row["d"] for row in rows), max(row["d"] for row in rows))
    wanted = rows[0]["wanted"]
    return Figure(
        title="Room for nearly orthogonal directions",
        x_label="dimension d",
        y_label="log₁₀ of the number of directions",
        curves=(*curves, Curve(f"{wanted:,} directions", ends, (log10(wanted),) * 2)),
        points=tuple(points),
        x_log=True,
        y_log=True,
        caption="Points: that many directions exist (a basis, a greedy choice, quadratic forms, polynomials modulo a "
        "prime). Curves: no more do (Welch and Sidelnikov, best order). Exact arithmetic on both sides.",
    )


def _spelled(reading: str) -> str:
    return reading.replace("<=", "≤").replace(">=", "≥").replace("^2", "²").replace(" degrees", "°")


def verdict(rows: Sequence[Row]) -> str:
    """For each reading, whether so many directions exist in the dimension nearest to 1000, and from which on."""
    said = []
    for reading in dict.fromkeys(row["reading"] for row in rows):
        row = min((row for row in rows if row["reading"] == reading), key=lambda row: abs(row["d"] - 1000))
        here = f"{reading}: at d = {row['d']} "
        if row["certain"]:
            here += f"true, 10^{row['log10 least']:.1f} exist"
        elif row["impossible"]:
            here += f"false, at most 10^{row['log10 most']:.2f}"
        else:
            here += f"open, 10^{row['log10 least']:.1f} exist and 10^{row['log10 most']:.1f} are not excluded"
        said.append(f"{here}; impossible for d < {row['possible from']}, certain from d = {row['certain from']}")
    return ". ".join(said) + "."


ROOM = Experiment(
    name="room",
    title="Room for near-orthogonal directions",
    question='Are there billions of directions with "> 99.6 % orthogonality" in O(1000) dimensions?',
    source="folklore of superposition; Welch 1974, Sidelnikov 1974, Weil 1948, Delsarte and Goethals 1975",
    parameters=Parameters,
    full={"d": tuple(range(100, 10001, 100))},
    total=total,
    run=run,
    columns=("reading", "d", "random", "log10 least", "by", "log10 most", "certain", "impossible"),
    figure=figure,
    verdict=verdict,
    grid=("readings", "d"),
)
