"""The works that the claims are taken from, as they are cited."""

from derivations.sources import ALPHA, BOOK, CTRL, FISTA, GEO, HU, MCR2, MDHW, N23, REDUNET, SEGMENTATION

__all__ = ["ALPHA", "BOOK", "CTRL", "FISTA", "GEO", "HU", "MCR2", "MDHW", "N23", "REDUNET", "SEGMENTATION"]
