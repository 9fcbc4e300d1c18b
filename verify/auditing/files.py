"""An audit as data: JSON for reading, NPZ for computing."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from dataclasses import asdict
from io import BytesIO
from typing import Any

import numpy as np

from verify.auditing.result import Audit, HalfFound
from verify.auditing.running import Spread
from verify.auditing.verdict import verdicts

FORMAT = "srr-audit-1"
COLUMNS = ("network", "layer", "half", "quantity", "what", "control", "tokens", "cls", "eps", *Spread._fields)


def to_json(found: Audit) -> str:
    """Everything, with the verdicts of all forms; NaN as null."""
    return json.dumps({"format": FORMAT, **_described(found)}, allow_nan=False) + "\n"


def _described(found: Audit) -> dict[str, Any]:
    named = {
        "network": found.name,
        "samples": found.samples,
        "controlled": found.controlled,
        "certified": found.certified,
        "settings": asdict(found.forms) | {"seed": found.seed},
        "shape": found.shape,
        "verdicts": [
            {"layer": v.layer, "half": v.half, "quantity": v.quantity, "way": v.way, "shown": v.shown, "count": v.count}
            | {"verdict": v.word, "learned": v.learned, "sentence": v.sentence}
            for v in verdicts(found)
        ],
        "halves": [_half(half) for half in found.halves],
        "weights": [{name: _plain(value) for name, value in row.items()} for row in found.weights],
    }
    return named | {"untrained": None if found.twin is None else _described(found.twin)}


def _half(half: HalfFound) -> dict[str, Any]:
    numbers = [[*key, *form, *(_plain(x) for x in spread)] for (key, form), spread in half.numbers.items()]
    return {"layer": half.layer, "half": half.half, "columns": COLUMNS[3:], "numbers": numbers}


def _plain(x: float | int) -> float | int | None:
    return x if math.isfinite(x) else None


def to_npz(found: Audit) -> bytes:
    """One row for every number, one array for every column; empty, NaN or −1 where a column does not enter."""
    rows = list(_rows(found))
    content = BytesIO()
    np.savez_compressed(content, **{name: np.array([row[i] for row in rows]) for i, name in enumerate(COLUMNS)})
    return content.getvalue()


def _rows(found: Audit) -> Iterator[tuple[Any, ...]]:
    for half in found.halves:
        for (key, (tokens, cls, eps)), spread in half.numbers.items():
            form = (tokens or "", -1 if cls is None else int(cls), math.nan if eps is None else eps)
            yield found.name, half.layer, half.half, *key, *form, *spread
    if found.twin is not None:
        yield from _rows(found.twin)
