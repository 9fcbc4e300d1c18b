"""GPT-2 under the names of the transformers library, whose matrices are stored as inputs by outputs.

U are the heads' projections that the constant ``subspaces`` names: ``"value"``, ``"key"`` or ``"query"``.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from verify.layouts import halves
from verify.layouts.description import describe
from verify.layouts.layout import State
from verify.layouts.stack import Stack

SHEET = """
    wte.weight                  v d
    wpe.weight                  n d
    h.{i}.ln_1.weight           d
    h.{i}.ln_1.bias             d
    h.{i}.attn.c_attn.weight    d 3d
    h.{i}.attn.c_attn.bias      3d
    h.{i}.attn.c_proj.weight    d d
    h.{i}.attn.c_proj.bias      d
    h.{i}.ln_2.weight           d
    h.{i}.ln_2.bias             d
    h.{i}.mlp.c_fc.weight       d m
    h.{i}.mlp.c_fc.bias         m
    h.{i}.mlp.c_proj.weight     m d
    h.{i}.mlp.c_proj.bias       d
    ln_f.weight                 d
    ln_f.bias                   d
    h.{i}.attn.bias*
    h.{i}.attn.masked_bias*
"""


def _build(state: State, sizes: Mapping[str, int], constants: Mapping[str, Any]) -> Any:
    from verify.models.gpt2 import Gpt2

    return Gpt2(
        vocabulary=sizes["v"],
        places=sizes["n"],
        dim=sizes["d"],
        depth=sizes["depth"],
        heads=constants["heads"],
        hidden=sizes["m"],
    )


GPT2 = describe(
    "gpt2",
    Stack(
        "h.{i}.",
        (
            halves.qkv_attention(
                "attn",
                lambda w: halves.packed(
                    w["attn.c_attn.weight"].mT, w["attn.c_attn.bias"], w["attn.c_proj.weight"].mT, w["attn.c_proj.bias"]
                ),
                norm="ln_1",
                causal=1,
            ),
            halves.mlp(
                "mlp",
                "ln_2",
                fc1="mlp.c_fc",
                fc2="mlp.c_proj",
                norm="ln_2",
                transposed=True,
                form="transformer.mlp-tanh",
            ),
        ),
    ),
    source="Radford et al. 2019, under the names of the transformers library",
    sheet=SHEET,
    constants={"heads": None, "subspaces": "value", "norm_floor": 1e-5},
    build=_build,
    inputs=halves.texts,
    bases=halves.chosen_subspaces,
)
