"""All layers by name: what a layer is, and one builder for each kind."""

from srr.crate import RULES, Crate, Official, crate, official
from srr.descent import Descent, descent
from srr.implicit_descent import ImplicitDescent, implicit_descent
from srr.layer import HalfStep, Layer, PreNorm, layer_norm, unroll

__all__ = [
    "RULES",
    "Crate",
    "Descent",
    "HalfStep",
    "ImplicitDescent",
    "Layer",
    "Official",
    "PreNorm",
    "crate",
    "descent",
    "implicit_descent",
    "layer_norm",
    "official",
    "unroll",
]
