"""CBSA for images: ``CBSA_image_classification`` of the code of Wen et al. 2025 (arXiv 2509.16875).

A state dict of its layers alone is read as well, and built as these.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from math import isqrt
from typing import Any

from srr import cbsa, layers
from verify.layouts import halves
from verify.layouts.description import describe
from verify.layouts.layout import State, Tap
from verify.layouts.stack import Half, Stack

SHEET = """
    transformer.layers.{i}.0.norm.weight      d
    transformer.layers.{i}.0.norm.bias        d
    transformer.layers.{i}.0.fn.proj.weight   m d
    transformer.layers.{i}.0.fn.step_x        h 1 1
    transformer.layers.{i}.0.fn.step_rep      h 1 1
    transformer.layers.{i}.0.fn.to_out.weight d m
    transformer.layers.{i}.0.fn.to_out.bias   d
    transformer.layers.{i}.1.norm.weight      d
    transformer.layers.{i}.1.norm.bias        d
    transformer.layers.{i}.1.fn.weight        d d
    pos_embedding?                            1 n d
    cls_token?                                1 1 d
    mlp_head.0.weight?                        d
    mlp_head.0.bias?                          d
    mlp_head.1.weight?                        c d
    mlp_head.1.bias?                          c
"""
STEM = """
    to_patch_embedding.proj.{at}.0.weight?              {width} {before} 3 3
    to_patch_embedding.proj.{at}.1.weight?              {width}
    to_patch_embedding.proj.{at}.1.bias?                {width}
    to_patch_embedding.proj.{at}.1.running_mean?        {width}
    to_patch_embedding.proj.{at}.1.running_var?         {width}
    to_patch_embedding.proj.{at}.1.num_batches_tracked?
"""
"""Of each convolution; between two there is an activation, so that their places are even."""
CONVOLUTIONS = range(0, 8, 2)
SHEET += "".join(
    STEM.replace("{at}", str(at)).replace("{width}", width).replace("{before}", before)
    for at, before, width in zip(CONVOLUTIONS, "kefg", "efgo", strict=True)
)


@dataclass(frozen=True, eq=False)
class Grid(layers.CbsaOfficial):
    """srr's layer with the pools of the code: a grid of all tokens but the last, so that the last is in no pool."""

    def compress(self, Z: Any) -> Any:
        """Z + [s_k A_kᵀ softmax(p^−½ Q_kQ_kᵀ) Q_k]_k Wᵀ + b."""
        n = Z.shape[-2]
        side = isqrt(n - 1)
        if side**2 != n - 1:
            raise ValueError(f"Z must have a square of tokens and one more, got {n}")
        A = Z.new_zeros(64, n)
        A[:, :-1] = cbsa.grid_pooling(side, side, beside=Z)
        return Z + cbsa.contract_and_broadcast_official(
            Z, self.U, A, contract=self.contract, broadcast=self.broadcast, output=self.output, bias=self.bias
        )


def _layer(c: Mapping[str, Any], s: Mapping[str, Any]) -> layers.Layer:
    return Grid(c["U"], s["D"], 64, c["step_rep"], c["step_x"], c["output"], c["bias"], s["eta"], s["lam"])


def _convolutions(state: State) -> list[Any]:
    names = (f"to_patch_embedding.proj.{at}.0.weight" for at in CONVOLUTIONS)
    return [state[name] for name in names if name in state]


def require_whole(state: State, sizes: Mapping[str, int]) -> None:
    """The stem, the places, the class token and the head, or none of them."""
    lines = (line for line in CBSA.names.lines if line.optional and ".proj." not in line.name)
    there = {line.name: bool(line.present(state)) for line in lines} | {
        "to_patch_embedding": bool(_convolutions(state))
    }
    if any(there.values()) and not all(there.values()):
        missing = next(name for name, present in there.items() if not present)
        raise ValueError(f"the state dict must have {missing!r} beside the rest of the network, got no such name")
    widths = [len(a) for a in _convolutions(state)]
    if widths and widths[-1] != sizes["d"]:
        raise ValueError(f"the last convolution of the stem must give {sizes['d']} channels, got {widths[-1]}")


def _build(state: State, sizes: Mapping[str, int], constants: Mapping[str, Any]) -> Any:
    from verify.models.cbsa import Cbsa, CbsaImages

    heads = constants["heads"]
    given = {
        "dim": sizes["d"],
        "depth": sizes["depth"],
        "heads": heads,
        "dim_head": sizes["m"] // heads,
        "step_size": constants["step_size"],
        "lambd": constants["lambd"],
    }
    stem = _convolutions(state)
    if not stem:
        return Cbsa(**given)
    widths = (stem[0].shape[1], *map(len, stem))
    return CbsaImages(widths=widths, places=sizes["n"], num_classes=sizes["c"], **given)


CBSA = describe(
    "cbsa",
    Stack(
        "transformer.layers.{i}.",
        (
            Half(
                "compress",
                "cbsa",
                Tap("0", "input"),
                "0.fn",
                lambda w: {
                    "projection": w["0.fn.proj.weight"],
                    "step_x": w["0.fn.step_x"][:, 0, 0],
                    "step_rep": w["0.fn.step_rep"][:, 0, 0],
                    "output": w["0.fn.to_out.weight"],
                    "bias": w["0.fn.to_out.bias"],
                },
                {"heads": "heads"},
                norm="0.norm",
                wrapper="0",
                form="cbsa.attention",
            ),
            halves.ista("1.fn", "1.norm", "1", wrapper="1"),
        ),
        end=Tap("1", "output"),
        layer=_layer,
    ),
    source="Wen et al. 2025 (arXiv 2509.16875), CBSA_image_classification of its code",
    sheet=SHEET,
    constants={
        "step_size": 0.1,
        "lambd": 0.1,
        "norm_floor": 1e-5,
    },
    told={"heads": lambda state: len(state["transformer.layers.0.0.fn.step_x"])},
    build=_build,
    trunk="transformer",
    check=require_whole,
)
