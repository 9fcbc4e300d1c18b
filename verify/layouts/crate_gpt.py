"""CRATE for text: ``model/crate_gpt.py`` of the code of Yu et al. 2023 (arXiv 2306.01129)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from verify.layouts import halves
from verify.layouts.description import describe
from verify.layouts.layout import State
from verify.layouts.stack import Stack

SHEET = """
    transformer.wte.weight                 v d
    transformer.wpe.weight                 n d
    transformer.h.{i}.prenorm_1.weight     d
    transformer.h.{i}.prenorm_1.bias       d
    transformer.h.{i}.attn.bias?           1 1 n n
    transformer.h.{i}.attn.c_attn.weight   d d
    transformer.h.{i}.attn.c_proj.weight   d d
    transformer.h.{i}.attn.c_proj.bias     d
    transformer.h.{i}.prenorm_2.weight     d
    transformer.h.{i}.prenorm_2.bias       d
    transformer.h.{i}.ista.weight          d d
    lm_head.weight                         v d
"""
ATTENTION = halves.attention(
    "attn", "prenorm_1", "", projection="c_attn.weight", output="c_proj.weight", bias="c_proj.bias", causal=1
)


def _build(state: State, sizes: Mapping[str, int], constants: Mapping[str, Any]) -> Any:
    from verify.models.crate_gpt import CrateGpt

    return CrateGpt(
        vocabulary=sizes["v"],
        block_size=sizes["n"],
        dim=sizes["d"],
        depth=sizes["depth"],
        heads=constants["heads"],
        step_size=constants["step_size"],
        lambd=constants["lambd"],
        mask="transformer.h.0.attn.bias" in state,
    )


CRATE_GPT = describe(
    "crate_gpt",
    Stack(
        "transformer.h.{i}.",
        (ATTENTION, halves.ista("ista", "prenorm_2", "prenorm_2")),
        layer=halves.crate,
    ),
    source="Yu et al. 2023 (arXiv 2306.01129), model/crate_gpt.py of its code",
    sheet=SHEET,
    constants={"heads": None, "step_size": 0.1, "lambd": 0.1, "norm_floor": 1e-5},
    build=_build,
    inputs=halves.texts,
)
