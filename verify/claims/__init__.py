"""The claims of the ledger, one module per theme; a large theme is a package, with one for each of its subjects."""

from __future__ import annotations

from verify.ledger import Ledger

MODULES = (
    "rates.identities",
    "rates.gradients",
    "rates.distortion",
    "rates.bounds",
    "curvature",
    "objective",
    "denoising",
    "compression.exact",
    "compression.neumann",
    "compression.attention",
    "compression.softmax",
    "compression.measure",
    "compression.cost",
    "sparsification",
    "layers",
    "implicit",
    "variants",
    "decoder",
    "alpha",
    "tost",
    "aot",
    "cbsa",
    "redunet.operators",
    "redunet.ascent",
    "redunet.memberships",
    "redunet.network",
    "redunet.shifts",
    "mcr2.singular_values",
    "mcr2.optimum",
    "mcr2.regularised",
    "mcr2.closed_loop",
    "mcr2.losses",
    "segmentation",
    "optimum",
    "splitting",
    "directions",
    "code",
    "plain",
)
"""In the order in which they rest on one another, and in which their claims are shown."""

THEMES = tuple(dict.fromkeys(module.partition(".")[0] for module in MODULES))


def ledger() -> Ledger:
    """Every claim."""
    return Ledger.load(*(f"{__name__}.{module}" for module in MODULES))
