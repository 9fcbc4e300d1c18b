"""ToST for text: ``tost_lang`` of the code of Wu et al. 2024 (arXiv 2412.17810)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from verify.layouts import halves
from verify.layouts.description import describe
from verify.layouts.layout import State, Tap
from verify.layouts.stack import Half, Stack
from verify.layouts.tost import Block

SHEET = """
    transformer.wte.weight                 v d
    transformer.wpe.weight                 n d
    transformer.h.{i}.gamma1               d
    transformer.h.{i}.gamma2               d
    transformer.h.{i}.ln_1.weight          d
    transformer.h.{i}.ln_1.bias            d
    transformer.h.{i}.attn.temp            h 1
    transformer.h.{i}.attn.denom_bias      h n 1
    transformer.h.{i}.attn.c_attn.weight   d d
    transformer.h.{i}.attn.c_attn.bias     d
    transformer.h.{i}.attn.c_proj.weight   d d
    transformer.h.{i}.attn.c_proj.bias     d
    transformer.h.{i}.ln_2.weight          d
    transformer.h.{i}.ln_2.bias            d
    transformer.h.{i}.mlp.c_fc.weight      m d
    transformer.h.{i}.mlp.c_fc.bias        m
    transformer.h.{i}.mlp.c_proj.weight    d m
    transformer.h.{i}.mlp.c_proj.bias      d
    transformer.ln_f.weight                d
    transformer.ln_f.bias                  d
    lm_head.weight                         v d
"""


def _build(state: State, sizes: Mapping[str, int], constants: Mapping[str, Any]) -> Any:
    from verify.models.tost_lang import TostLanguage

    return TostLanguage(
        vocabulary=sizes["v"],
        block_size=sizes["n"],
        dim=sizes["d"],
        depth=sizes["depth"],
        heads=constants["heads"],
        hidden=sizes["m"],
    )


TOST_LANG = describe(
    "tost_lang",
    Stack(
        "transformer.h.{i}.",
        (
            Half(
                "compress",
                "tssa",
                Tap("", "input"),
                "attn",
                lambda w: {
                    "projection": w["attn.c_attn.weight"],
                    "projection_bias": w["attn.c_attn.bias"],
                    "scale": w["attn.temp"][:, 0],
                    "denominator_bias": w["attn.denom_bias"][..., 0],
                    "output": w["attn.c_proj.weight"],
                    "bias": w["attn.c_proj.bias"],
                },
                {"heads": "heads", "causal": 1},
                norm="ln_1",
                scale="gamma1",
                form="tost.tssa-causal",
            ),
            halves.mlp("mlp", "ln_2", fc1="mlp.c_fc", fc2="mlp.c_proj", norm="ln_2", scale="gamma2"),
        ),
        layer=Block,
    ),
    source="Wu et al. 2024 (arXiv 2412.17810), tost_lang of its code",
    sheet=SHEET,
    constants={"norm_floor": 1e-5},
    told={"heads": lambda state: len(state["transformer.h.0.attn.temp"])},
    build=_build,
    inputs=halves.texts,
)
