"""CRATE for images: ``model/crate.py`` of the code of Yu et al. 2023 (arXiv 2306.01129)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from verify.layouts import halves
from verify.layouts.description import describe
from verify.layouts.layout import State, Tap
from verify.layouts.stack import Stack

SHEET = """
    pos_embedding                                1 n d
    cls_token                                    1 1 d
    to_patch_embedding.1.weight                  q
    to_patch_embedding.1.bias                    q
    to_patch_embedding.2.weight                  d q
    to_patch_embedding.2.bias                    d
    to_patch_embedding.3.weight                  d
    to_patch_embedding.3.bias                    d
    transformer.layers.{i}.0.norm.weight         d
    transformer.layers.{i}.0.norm.bias           d
    transformer.layers.{i}.0.fn.qkv.weight       m d
    transformer.layers.{i}.0.fn.to_out.0.weight? d m
    transformer.layers.{i}.0.fn.to_out.0.bias?   d
    transformer.layers.{i}.1.norm.weight         d
    transformer.layers.{i}.1.norm.bias           d
    transformer.layers.{i}.1.fn.weight           d d
    mlp_head.0.weight                            d
    mlp_head.0.bias                              d
    mlp_head.1.weight                            c d
    mlp_head.1.bias                              c
"""


def require_output(state: State, sizes: Mapping[str, int]) -> None:
    """The output matrix is left out for one head of dimension d alone, and then with its bias."""
    name = "transformer.layers.0.0.fn.to_out.0"
    if f"{name}.weight" not in state and (sizes["m"] != sizes["d"] or f"{name}.bias" in state):
        raise ValueError(f"the state dict must have '{name}.weight' unless one head has dimension d, got no such name")


def _build(state: State, sizes: Mapping[str, int], constants: Mapping[str, Any]) -> Any:
    from verify.models.crate import Crate, sides

    image, patch, channels = sides(sizes["n"] - 1, sizes["q"])
    return Crate(
        image_size=image,
        patch_size=patch,
        channels=channels,
        num_classes=sizes["c"],
        dim=sizes["d"],
        depth=sizes["depth"],
        heads=constants["heads"],
        dim_head=sizes["m"] // constants["heads"],
        step_size=constants["step_size"],
        lambd=constants["lambd"],
    )


CRATE = describe(
    "crate",
    Stack(
        "transformer.layers.{i}.",
        (
            halves.attention(
                "0.fn",
                "0.norm",
                "0",
                projection="qkv.weight",
                output="to_out.0.weight",
                bias="to_out.0.bias",
                wrapper="0",
            ),
            halves.ista("1.fn", "1.norm", "1", wrapper="1"),
        ),
        end=Tap("1", "output"),
        layer=halves.crate,
    ),
    source="Yu et al. 2023 (arXiv 2306.01129), model/crate.py of its code",
    sheet=SHEET,
    constants={"heads": None, "step_size": 0.1, "lambd": 0.1, "norm_floor": 1e-5},
    build=_build,
    trunk="transformer",
    check=require_output,
)
