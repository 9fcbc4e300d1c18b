"""The numbers of a form from its examples, where those that it should have do not explain them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np


def fitted(
    kind: str, examples: Sequence[Any], weights: Mapping[str, np.ndarray], constants: Mapping[str, float]
) -> dict[str, float] | None:
    """Step η and λ of an ISTA step, by least squares on the entries that it kept; None for other kinds.

    On these Z + η G − ηλ is linear in η and in the threshold. What comes out is rounded to nine digits, so that the
    numbers that somebody wrote are found, and has still to agree with the examples.
    """
    if kind != "ista":
        return None
    D = weights["D"]
    rows, moved = [], []
    for example in examples:
        Z = example.reads[0]
        up, kept = (Z - Z @ D.T) @ D, example.result > 0
        if kept.shape != Z.shape:
            return None
        rows.append(np.stack([up[kept], -np.ones(int(kept.sum()))], axis=-1))
        moved.append((example.result - Z)[kept])
    A, b = np.concatenate(rows), np.concatenate(moved)
    if len(b) < 2 or np.linalg.matrix_rank(A) < 2:
        return None
    eta, threshold = (float(f"{x:.9g}") for x in np.linalg.lstsq(A, b, rcond=None)[0])
    if not eta > 0:
        return None
    return {**constants, "eta": eta, "lam": float(f"{threshold / eta:.9g}")}
