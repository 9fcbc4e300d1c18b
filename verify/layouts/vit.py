"""Ordinary vision transformers under the names of timm.

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
    cls_token                     1 1 d
    pos_embed                     1 n d
    patch_embed.proj.weight       d k s s
    patch_embed.proj.bias         d
    blocks.{i}.norm1.weight       d
    blocks.{i}.norm1.bias         d
    blocks.{i}.attn.qkv.weight    3d d
    blocks.{i}.attn.qkv.bias?     3d
    blocks.{i}.attn.proj.weight   d d
    blocks.{i}.attn.proj.bias     d
    blocks.{i}.ls1.gamma?         d
    blocks.{i}.norm2.weight       d
    blocks.{i}.norm2.bias         d
    blocks.{i}.mlp.fc1.weight     m d
    blocks.{i}.mlp.fc1.bias       m
    blocks.{i}.mlp.fc2.weight     d m
    blocks.{i}.mlp.fc2.bias       d
    blocks.{i}.ls2.gamma?         d
    norm.weight                   d
    norm.bias                     d
    head.weight?                  c d
    head.bias?                    c
"""


def _build(state: State, sizes: Mapping[str, int], constants: Mapping[str, Any]) -> Any:
    from verify.models.crate_mae import side_of
    from verify.models.vit import Vit

    return Vit(
        image_size=side_of(sizes["n"] - 1) * sizes["s"],
        patch_size=sizes["s"],
        num_classes=sizes.get("c", 0),
        channels=sizes["k"],
        dim=sizes["d"],
        depth=sizes["depth"],
        heads=constants["heads"],
        hidden=sizes["m"],
        qkv_bias="blocks.0.attn.qkv.bias" in state,
        scale=1.0 if "blocks.0.ls1.gamma" in state else None,
    )


VIT = describe(
    "vit",
    Stack(
        "blocks.{i}.",
        (
            halves.qkv_attention(
                "attn",
                lambda w: halves.packed(
                    w["attn.qkv.weight"], w.get("attn.qkv.bias"), w["attn.proj.weight"], w["attn.proj.bias"]
                ),
                norm="norm1",
                scale="ls1.gamma",
            ),
            halves.mlp("mlp", "norm2", fc1="mlp.fc1", fc2="mlp.fc2", norm="norm2", scale="ls2.gamma"),
        ),
    ),
    source="Dosovitskiy et al. 2021 (arXiv 2010.11929), under the names of timm",
    sheet=SHEET,
    constants={"heads": None, "subspaces": "value", "norm_floor": 1e-6},
    build=_build,
    trunk="blocks",
    bases=halves.chosen_subspaces,
)
