"""All layers by name: what a layer is, and one builder for each kind."""

from srr.crate import RULES, Crate, Official, crate, official
from srr.descent import Descent, descent
from srr.layer import HalfStep, Layer, PreNorm, layer_norm, unroll
from srr.redunet import ReduNet, redunet
from srr.redunet_fourier import ShiftInvariantReduNet, shift_invariant_redunet

__all__ = [
    "RULES",
    "Crate",
    "Descent",
    "HalfStep",
    "Layer",
    "Official",
    "PreNorm",
    "ReduNet",
    "ShiftInvariantReduNet",
    "crate",
    "descent",
    "layer_norm",
    "official",
    "redunet",
    "shift_invariant_redunet",
    "unroll",
]
