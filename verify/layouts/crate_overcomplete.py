"""CRATE for text with more atoms than dimensions: ``crate_overcomplete.py`` of the repository crate-lm."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from srr import layers
from verify.layouts import halves
from verify.layouts.crate_gpt import ATTENTION
from verify.layouts.description import describe
from verify.layouts.layout import State, Tap
from verify.layouts.stack import Half, Stack

SHEET = """
    transformer.wte.weight                 v d
    transformer.wpe.weight                 n d
    transformer.h.{i}.prenorm_1.weight     d
    transformer.h.{i}.prenorm_1.bias       d
    transformer.h.{i}.attn.c_attn.weight   d d
    transformer.h.{i}.attn.c_proj.weight   d d
    transformer.h.{i}.attn.c_proj.bias     d
    transformer.h.{i}.prenorm_2.weight     d
    transformer.h.{i}.prenorm_2.bias       d
    transformer.h.{i}.ista.weight          m d
    transformer.ln_f.weight                d
    transformer.ln_f.bias                  d
    lm_head.weight                         v d
"""


def _build(state: State, sizes: Mapping[str, int], constants: Mapping[str, Any]) -> Any:
    from verify.models.crate_overcomplete import CrateOvercomplete

    return CrateOvercomplete(
        vocabulary=sizes["v"],
        block_size=sizes["n"],
        dim=sizes["d"],
        depth=sizes["depth"],
        heads=constants["heads"],
        atoms=sizes["m"],
        step_size=constants["step_size"],
        lambd=constants["lambd"],
    )


def _layer(c: Mapping[str, Any], s: Mapping[str, Any]) -> layers.Layer:
    return layers.crate_causal_overcomplete(
        c["U"], s["D"], output=c["output"], bias=c["bias"], eta=s["eta"], lam=s["lam"]
    )


CRATE_OVERCOMPLETE = describe(
    "crate_overcomplete",
    Stack(
        "transformer.h.{i}.",
        (
            ATTENTION,
            Half(
                "sparsify",
                "overcomplete",
                Tap("prenorm_2", "input"),
                "ista",
                lambda w: {"D": w["ista.weight"].mT},
                {**halves.STEPS, "steps": 2},
                norm="prenorm_2",
                skip=False,
                form="alpha.ista-paper",
            ),
        ),
        layer=_layer,
    ),
    source="crate_overcomplete.py of the repository crate-lm",
    sheet=SHEET,
    constants={"heads": None, "step_size": 0.1, "lambd": 0.1, "norm_floor": 1e-5},
    build=_build,
    inputs=halves.texts,
)
