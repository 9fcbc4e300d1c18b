"""Figures of the room for nearly orthogonal directions."""

from __future__ import annotations

from verify.experiments.room import ROOM
from verify.figure import Figure


def room() -> Figure:
    """Both bounds for every reading, at a few dimensions."""
    given = ROOM.with_parameters({"d": [100, 200, 500, 1000, 2000, 5000, 10000]})
    return ROOM.figure(list(ROOM.run(given)))
