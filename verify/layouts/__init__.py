"""How published networks name their parts, one file for each, and how to describe one's own."""

from verify.layouts.bert import BERT
from verify.layouts.cbsa import CBSA
from verify.layouts.crate import CRATE
from verify.layouts.crate_alpha import CRATE_ALPHA
from verify.layouts.crate_alpha_jax import CRATE_ALPHA_JAX
from verify.layouts.crate_gpt import CRATE_GPT
from verify.layouts.crate_mae import CRATE_MAE
from verify.layouts.crate_overcomplete import CRATE_OVERCOMPLETE
from verify.layouts.depict import DEPICT, DEPICT_DECODER
from verify.layouts.description import describe
from verify.layouts.gpt2 import GPT2
from verify.layouts.layout import LayerParts, Layout, Operator, State, Tap
from verify.layouts.recognition import below, chosen, constants_of, recognise
from verify.layouts.redunet import REDUNET
from verify.layouts.redunet_fourier import REDUNET_FOURIER_1D, REDUNET_FOURIER_2D
from verify.layouts.stack import Half, Stack
from verify.layouts.tost import TOST
from verify.layouts.tost_lang import TOST_LANG
from verify.layouts.vit import VIT

LAYOUTS = {
    known.name: known
    for known in (
        CRATE,
        CRATE_MAE,
        CRATE_ALPHA,
        CRATE_ALPHA_JAX,
        CRATE_GPT,
        CRATE_OVERCOMPLETE,
        TOST,
        TOST_LANG,
        REDUNET,
        REDUNET_FOURIER_1D,
        REDUNET_FOURIER_2D,
        DEPICT,
        DEPICT_DECODER,
        CBSA,
        VIT,
        BERT,
        GPT2,
    )
}
"""By name."""

__all__ = [
    "LAYOUTS",
    "Half",
    "LayerParts",
    "Layout",
    "Operator",
    "Stack",
    "State",
    "Tap",
    "below",
    "chosen",
    "constants_of",
    "describe",
    "recognise",
]
