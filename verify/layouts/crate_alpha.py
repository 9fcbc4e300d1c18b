"""CRATE-α in torch: ``torch_inference`` of the code of Yang et al. 2024 (arXiv 2405.20299)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from srr import layers
from verify.layouts import halves
from verify.layouts.description import describe
from verify.layouts.layout import State, Tap
from verify.layouts.stack import Half, Stack

SHEET = """
    pos_embedding                               1 n d
    cls_token                                   1 1 d
    conv1.weight                                d k s s
    conv1.bias                                  d
    transformer.layers.{i}.0.norm.weight        d
    transformer.layers.{i}.0.norm.bias          d
    transformer.layers.{i}.0.fn.qkv.weight      d d
    transformer.layers.{i}.0.fn.to_out.0.weight d d
    transformer.layers.{i}.1.norm.weight        d
    transformer.layers.{i}.1.norm.bias          d
    transformer.layers.{i}.1.fn.D               d m
    transformer.layers.{i}.1.fn.D1              d m
    mlp_head.0.weight                           d
    mlp_head.0.bias                             d
    mlp_head.1.weight                           c d
    mlp_head.1.bias                             c
"""


def _build(state: State, sizes: Mapping[str, int], constants: Mapping[str, Any]) -> Any:
    from verify.models.crate_alpha import CrateAlpha
    from verify.models.crate_mae import side_of

    return CrateAlpha(
        image_size=side_of(sizes["n"] - 1) * sizes["s"],
        patch_size=sizes["s"],
        channels=sizes["k"],
        num_classes=sizes["c"],
        dim=sizes["d"],
        depth=sizes["depth"],
        heads=constants["heads"],
        atoms=sizes["m"],
        eta=constants["step_size"],
        lmbda=constants["lambd"],
    )


def _layer(c: Mapping[str, Any], s: Mapping[str, Any]) -> layers.Layer:
    return layers.crate_alpha_official(c["U"], s["D"], s["decode"], output=c["output"], eta=s["eta"], lam=s["lam"])


CRATE_ALPHA = describe(
    "crate_alpha",
    Stack(
        "transformer.layers.{i}.",
        (
            halves.attention("0.fn", "0.norm", "0", projection="qkv.weight", output="to_out.0.weight", wrapper="0"),
            Half(
                "sparsify",
                "overcomplete",
                Tap("1", "input"),
                "1.fn",
                lambda w: {"D": w["1.fn.D"], "decode": w["1.fn.D1"]},
                {**halves.STEPS, "steps": 2},
                norm="1.norm",
                wrapper="1",
                form="alpha.ista",
            ),
        ),
        end=None,
        layer=_layer,
    ),
    source="Yang et al. 2024 (arXiv 2405.20299), torch_inference of its code",
    sheet=SHEET,
    constants={"heads": None, "step_size": 0.1, "lambd": 0.1, "norm_floor": 1e-6},
    build=_build,
    trunk="transformer",
)
