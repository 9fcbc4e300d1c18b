"""The works that the claims are taken from, as they are cited."""

from derivations.sources import (
    ALPHA,
    AOT,
    BOOK,
    CBSA,
    CTRL,
    FISTA,
    GEO,
    HU,
    MAE,
    MCR2,
    MDHW,
    N23,
    REDUNET,
    SEGMENTATION,
    TOST,
)

__all__ = [
    "ALPHA",
    "AOT",
    "BOOK",
    "CBSA",
    "CTRL",
    "FISTA",
    "GEO",
    "HU",
    "MAE",
    "MCR2",
    "MDHW",
    "N23",
    "REDUNET",
    "SEGMENTATION",
    "TOST",
]
