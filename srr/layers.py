"""All layers by name: what a layer is, and one builder for each kind."""

from srr.aot import Aot, aot
from srr.cbsa import CONTRACTIONS, Cbsa, CbsaOfficial, cbsa, cbsa_official
from srr.crate import RULES, Crate, Official, crate, official
from srr.descent import Descent, descent
from srr.layer import AttentionOnly, HalfStep, Layer, PreNorm, layer_norm, unroll
from srr.tost import Tost, TostOfficial, tost, tost_official

__all__ = [
    "CONTRACTIONS",
    "RULES",
    "Aot",
    "AttentionOnly",
    "Cbsa",
    "CbsaOfficial",
    "Crate",
    "Descent",
    "HalfStep",
    "Layer",
    "Official",
    "PreNorm",
    "Tost",
    "TostOfficial",
    "aot",
    "cbsa",
    "cbsa_official",
    "crate",
    "descent",
    "layer_norm",
    "official",
    "tost",
    "tost_official",
    "unroll",
]
