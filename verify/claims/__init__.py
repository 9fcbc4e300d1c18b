"""The claims of the ledger, one module per theme."""

from __future__ import annotations

from verify.ledger import Ledger

THEMES = (
    "rates",
    "curvature",
    "objective",
    "denoising",
    "compression",
    "sparsification",
    "layers",
    "implicit",
    "variants",
    "decoder",
    "alpha",
    "tost",
    "aot",
    "cbsa",
    "redunet",
    "mcr2",
    "segmentation",
    "optimum",
    "splitting",
    "directions",
    "code",
    "plain",
)
"""In the order in which they rest on one another, and in which they are shown."""


def ledger() -> Ledger:
    """Every claim."""
    return Ledger.load(*(f"{__name__}.{theme}" for theme in THEMES))
