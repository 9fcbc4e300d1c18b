"""All layers by name: what a layer is, and one builder for each kind."""

from srr.aot import Aot, aot
from srr.causal import Causal, CausalOvercomplete, crate_causal, crate_causal_overcomplete
from srr.cbsa import CONTRACTIONS, Cbsa, CbsaOfficial, cbsa, cbsa_official
from srr.crate import RULES, Crate, Official, crate, official
from srr.crate_alpha import Alpha, AlphaOfficial, crate_alpha, crate_alpha_official
from srr.decoder import Decoder, DecoderOfficial, crate_autoencoder, crate_decoder, crate_decoder_official
from srr.descent import Descent, descent
from srr.implicit_descent import ImplicitDescent, implicit_descent
from srr.layer import AttentionOnly, HalfStep, Layer, PreNorm, layer_norm, unroll
from srr.redunet import ReduNet, redunet
from srr.redunet_fourier import ShiftInvariantReduNet, shift_invariant_redunet
from srr.tost import Tost, TostOfficial, tost, tost_official
from srr.tost_block import TostBlock, tost_block
from srr.variants import VARIANTS, crate_variant, output_matrix

__all__ = [
    "CONTRACTIONS",
    "RULES",
    "VARIANTS",
    "Alpha",
    "AlphaOfficial",
    "Aot",
    "AttentionOnly",
    "Causal",
    "CausalOvercomplete",
    "Cbsa",
    "CbsaOfficial",
    "Crate",
    "Decoder",
    "DecoderOfficial",
    "Descent",
    "HalfStep",
    "ImplicitDescent",
    "Layer",
    "Official",
    "PreNorm",
    "ReduNet",
    "ShiftInvariantReduNet",
    "Tost",
    "TostBlock",
    "TostOfficial",
    "aot",
    "cbsa",
    "cbsa_official",
    "crate",
    "crate_alpha",
    "crate_alpha_official",
    "crate_autoencoder",
    "crate_causal",
    "crate_causal_overcomplete",
    "crate_decoder",
    "crate_decoder_official",
    "crate_variant",
    "descent",
    "implicit_descent",
    "layer_norm",
    "official",
    "output_matrix",
    "redunet",
    "shift_invariant_redunet",
    "tost",
    "tost_block",
    "tost_official",
    "unroll",
]
