"""ToST for images: ``tost_vision`` of the code of Wu et al. 2024 (arXiv 2412.17810), its token-statistics blocks.

The convolutional stem, the position code, the two blocks of class attention and the head may be in the state dict; they
are neither judged nor built.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from srr import layers, tost
from srr.layer import HALVES
from verify.layouts import halves
from verify.layouts.description import describe
from verify.layouts.layout import State, Tap
from verify.layouts.stack import Half, Stack

SHEET = """
    blocks.{i}.gamma1               d
    blocks.{i}.gamma2               d
    blocks.{i}.norm1.weight         d
    blocks.{i}.norm1.bias           d
    blocks.{i}.attn.temp            h 1
    blocks.{i}.attn.qkv.weight      d d
    blocks.{i}.attn.qkv.bias?       d
    blocks.{i}.attn.to_out.0.weight d d
    blocks.{i}.attn.to_out.0.bias   d
    blocks.{i}.norm2.weight         d
    blocks.{i}.norm2.bias           d
    blocks.{i}.mlp.fc1.weight       m d
    blocks.{i}.mlp.fc1.bias         m
    blocks.{i}.mlp.fc2.weight       d m
    blocks.{i}.mlp.fc2.bias         d
    patch_embed.*
    pos_embeder.*
    cls_token*
    cls_attn_blocks.*
    norm.*
    head.*
"""


@dataclass(frozen=True, eq=False)
class Block(layers.Layer):
    """A block of ToST less its LayerNorms: Z + γ₁ TSSA(Z), then Z + γ₂ MLP(Z), with the parts of its operators."""

    residual: ClassVar[tuple[str, ...]] = HALVES

    c: Mapping[str, Any]
    s: Mapping[str, Any]

    def compress(self, Z: Any) -> Any:
        """Z + γ₁ TSSA(Z), the bias of the projection a dimension more in which all tokens are 1."""
        c, U, bias = self.c, self.c["U"], self.c.get("projection_bias")
        ones = Z.new_ones((*Z.shape[:-1], 1))
        row = U.new_zeros(len(U), 1, U.shape[-1]) if bias is None else bias.reshape(len(U), 1, -1)
        wide = {
            "U": _cat([U, row], -2),
            "scale": c["scale"],
            "output": _cat([c["output"], c["output"].new_zeros(1, c["output"].shape[1])], 0),
            "bias": _cat([c["bias"], c["bias"].new_zeros(1)], 0),
        }
        if c["causal"]:
            seen = c["denominator_bias"][:, : Z.shape[-2]]
            update = tost.tssa_official_causal(_cat([Z, ones], -1), **wide, denominator_bias=seen)
        else:
            update = tost.tssa_official(_cat([Z, ones], -1), **wide)
        return Z + c["scaled"] * update[..., :-1]

    def sparsify(self, Z: Any) -> Any:
        """Z + γ₂ GELU(Z W₁ᵀ + b₁) W₂ᵀ + b₂."""
        from torch.nn.functional import gelu

        s = self.s
        return Z + s["scaled"] * (gelu(Z @ s["fc1"].mT + s["fc1_bias"]) @ s["fc2"].mT + s["fc2_bias"])


def _cat(parts: list[Any], axis: int) -> Any:
    import torch

    return torch.cat(parts, dim=axis)


def _build(state: State, sizes: Mapping[str, int], constants: Mapping[str, Any]) -> Any:
    from verify.models.tost import Tost

    return Tost(
        dim=sizes["d"],
        depth=sizes["depth"],
        heads=constants["heads"],
        hidden=sizes["m"],
        qkv_bias="blocks.0.attn.qkv.bias" in state,
    )


TOST = describe(
    "tost",
    Stack(
        "blocks.{i}.",
        (
            Half(
                "compress",
                "tssa",
                Tap("", "input"),
                "attn",
                lambda w: {
                    "projection": w["attn.qkv.weight"],
                    "projection_bias": w.get("attn.qkv.bias"),
                    "scale": w["attn.temp"][:, 0],
                    "output": w["attn.to_out.0.weight"],
                    "bias": w["attn.to_out.0.bias"],
                },
                {"heads": "heads", "causal": 0},
                norm="norm1",
                scale="gamma1",
                form="tost.tssa",
            ),
            halves.mlp("mlp", "norm2", fc1="mlp.fc1", fc2="mlp.fc2", norm="norm2", scale="gamma2"),
        ),
        layer=Block,
    ),
    source="Wu et al. 2024 (arXiv 2412.17810), tost_vision of its code",
    sheet=SHEET,
    constants={"norm_floor": 1e-6},
    told={"heads": lambda state: len(state["blocks.0.attn.temp"])},
    build=_build,
    trunk="blocks",
)
