"""CRATE-MAE: ``model/crate_ae`` of the code of Pai et al. 2024 (arXiv 2404.02446)."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from srr import layers
from verify.layouts import halves
from verify.layouts.description import describe
from verify.layouts.layout import State, Tap
from verify.layouts.stack import Half, Stack

SHEET = """
    cls_token                                       1 1 d
    pos_embed                                       1 n d
    mask_token                                      1 1 d
    decoder_pos_embed                               1 n d
    patch_embed.proj.weight                         d c s s
    patch_embed.proj.bias                           d
    blocks.{i}.layers.0.0.norm.weight               d
    blocks.{i}.layers.0.0.norm.bias                 d
    blocks.{i}.layers.0.0.fn.qkv.weight             d d
    blocks.{i}.layers.0.0.fn.to_out.0.weight        d d
    blocks.{i}.layers.0.0.fn.to_out.0.bias          d
    blocks.{i}.layers.0.1.norm.weight               d
    blocks.{i}.layers.0.1.norm.bias                 d
    blocks.{i}.layers.0.1.fn.weight                 d d
    norm.weight                                     d
    norm.bias                                       d
    decoder_embed.weight                            d d
    decoder_embed.bias                              d
    decoder_blocks.{i}.layers.0.0.norm.weight       d
    decoder_blocks.{i}.layers.0.0.norm.bias         d
    decoder_blocks.{i}.layers.0.0.fn.weight         d d
    decoder_blocks.{i}.layers.0.1.norm.weight       d
    decoder_blocks.{i}.layers.0.1.norm.bias         d
    decoder_blocks.{i}.layers.0.1.fn.qkv.weight     d d
    decoder_blocks.{i}.layers.0.1.fn.to_out.0.weight d d
    decoder_blocks.{i}.layers.0.1.fn.to_out.0.bias  d
    decoder_norm.weight                             d
    decoder_norm.bias                               d
    decoder_pred.weight                             q d
    decoder_pred.bias                               q
"""
OUTPUT = {"projection": "qkv.weight", "output": "to_out.0.weight", "bias": "to_out.0.bias"}


def _build(state: State, sizes: Mapping[str, int], constants: Mapping[str, Any]) -> Any:
    from verify.models.crate_mae import CrateMae, side_of

    return CrateMae(
        image_size=side_of(sizes["n"] - 1) * sizes["s"],
        patch_size=sizes["s"],
        channels=sizes["c"],
        dim=sizes["d"],
        depth=sizes["depth"],
        decoder_depth=sizes["depth1"],
        heads=constants["heads"],
        step_size=constants["step_size"],
        lambd=constants["lambd"],
    )


def _images(state: State, sizes: Mapping[str, int], rng: Any) -> list[Any]:
    side = math.isqrt(sizes["n"] - 1) * sizes["s"]
    return [scale * rng.standard_normal((2, sizes["c"], side, side)) for scale in (1, 1e-2, 30)]


def _decoder(c: Mapping[str, Any], s: Mapping[str, Any]) -> layers.Layer:
    return layers.crate_decoder_official(c["U"], s["A"], output=c["output"], bias=c["bias"])


CRATE_MAE = describe(
    "crate_mae",
    Stack(
        "blocks.{i}.layers.0.",
        (
            halves.attention("0.fn", "0.norm", "0", wrapper="0", **OUTPUT),
            halves.ista("1.fn", "1.norm", "1", wrapper="1"),
        ),
        end=Tap("1", "output"),
        layer=halves.crate,
    ),
    Stack(
        "decoder_blocks.{i}.",
        (
            Half(
                "sparsify",
                "linear",
                Tap("", "input"),
                "layers.0.0.fn",
                lambda w: {"A": w["layers.0.0.fn.weight"]},
                norm="layers.0.0.norm",
                skip=False,
                wrapper="layers.0.0",
                form="decoder.linear",
            ),
            halves.attention(
                "layers.0.1.fn", "layers.0.1.norm", "layers.0.1", subtracts=True, wrapper="layers.0.1", **OUTPUT
            ),
        ),
        layer=_decoder,
    ),
    source="Pai et al. 2024 (arXiv 2404.02446), model/crate_ae of the code of Yu et al. 2023",
    sheet=SHEET,
    constants={"heads": None, "step_size": 0.1, "lambd": 0.5, "norm_floor": 1e-5},
    build=_build,
    inputs=_images,
)
