"""The synthetic questions of the field as experiments that anyone can repeat; one file each."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

from verify.names import nearest

if TYPE_CHECKING:
    from verify.experiments.experiment import Experiment

NAMES = (
    "phase-diagram",
    "feature-splitting",
    "room",
    "twelve-layers",
    "denoising",
    "redunet",
    "landscape",
    "interpretability",
    "attention-only",
    "tost-bound",
    "decoder-inversion",
)
"""An experiment ``some-name`` is ``SOME_NAME`` in ``verify/experiments/some_name.py``."""


def load(name: str) -> Experiment:
    """One experiment by name.

    Raises
    ------
    ValueError
        There is none of that name.
    """
    if name not in NAMES:
        raise ValueError(f"experiment must be one of {', '.join(NAMES)}, got {name!r}{nearest(name, NAMES)}")
    stem = name.replace("-", "_")
    found: Experiment = getattr(import_module(f"verify.experiments.{stem}"), stem.upper())
    return found
