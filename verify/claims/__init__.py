"""The claims of the ledger, one module per theme."""

from __future__ import annotations

from importlib.util import find_spec

from verify.ledger import Ledger

THEMES = ("rates", "curvature", "objective", "compression", "sparsification", "layers")
"""In the order in which they rest on one another, and in which they are shown."""


def modules() -> tuple[str, ...]:
    """The modules of the themes."""
    names = (f"{__name__}.{theme}" for theme in THEMES)
    return tuple(name for name in names if find_spec(name) is not None)


def ledger() -> Ledger:
    """Every claim."""
    return Ledger.load(*modules())
