"""DEPICT: the self-attention of ``model/dec_blocks.py`` of its code, and its decoder by cross-attention.

Where the mode of the decoder is ``sa``, its layers are those of the first layout. In the mode ``ca`` tokens attend to
one another, and then learned queries, one for each class, to the tokens: behind a LayerNorm of the tokens alone. The
masks that are made of both are not judged.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from srr import attention, layers
from verify.layouts.description import describe
from verify.layouts.layout import State, Tap
from verify.layouts.stack import Half, Stack

SHEET = """
    layers.{i}.norm.weight    d
    layers.{i}.norm.bias      d
    layers.{i}.fn.proj        m d
    layers.{i}.fn.step_size   1
"""
DECODER = """
    cls_emb                        1 q d
    snet.layers.{i}.norm.weight    d
    snet.layers.{i}.norm.bias      d
    snet.layers.{i}.fn.proj        m d
    snet.layers.{i}.fn.step_size   1
    cnet.layers.{i}.norm.weight    d
    cnet.layers.{i}.norm.bias      d
    cnet.layers.{i}.fn.proj        c d
    cnet.layers.{i}.fn.step_size   1
    snorm.weight                   d
    snorm.bias                     d
    cnorm.weight                   d
    cnorm.bias                     d
    mask_norm.weight               q
    mask_norm.bias                 q
"""


@dataclass(frozen=True, eq=False)
class Tied(layers.AttentionOnly):
    """Z + s [softmax(p^−½ Y_kY_kᵀ) Y_k]_k [U_1, …, U_K]ᵀ."""

    U: Any
    step: Any

    def compress(self, Z: Any) -> Any:
        """The whole layer."""
        return Z + self.step * attention.mssa_official(Z, self.U)


def _stack(prefix: str, **given: Any) -> Stack:
    half = Half(
        "compress",
        "attention",
        Tap("", "input"),
        "fn",
        lambda w: {"projection": w["fn.proj"], "step": w["fn.step_size"].reshape(())},
        {"heads": "heads", "causal": 0},
        norm="norm",
        wrapper="",
        form="depict.mssa",
    )
    return Stack(f"{prefix}layers.{{i}}.", (half,), end=None, layer=lambda c, s: Tied(c["U"], c["step"]), **given)


def _cross_stack() -> Stack:
    half = Half(
        "compress",
        "cross_attention",
        Tap("", "input", "query"),
        "fn",
        lambda w: {"projection": w["fn.proj"], "step": w["fn.step_size"].reshape(())},
        {"heads": "heads"},
        norm="norm",
        wrapper="",
        form="depict.msca",
        context=Tap("", "input"),
    )
    return Stack("cnet.layers.{i}.", (half,), end=None, trunk="cnet", norm="cnorm", queries="cls_emb")


def _build(state: State, sizes: Mapping[str, int], constants: Mapping[str, Any]) -> Any:
    from verify.models.depict import Depict

    heads = constants["heads"]
    return Depict(dim=sizes["d"], depth=sizes["depth"], heads=heads, dim_head=sizes["m"] // heads)


def _build_decoder(state: State, sizes: Mapping[str, int], constants: Mapping[str, Any]) -> Any:
    from verify.models.depict import DepictDecoder

    heads = constants["heads"]
    return DepictDecoder(
        classes=sizes["q"],
        dim=sizes["d"],
        depth=sizes["depth"],
        heads=heads,
        dim_head=sizes["m"] // heads,
        cross_depth=sizes["depth1"],
        cross_dim_head=sizes["c"] // heads,
    )


def _one_row(decoder: Any, tokens: Any) -> Any:
    """As an image of one row of patches: its size, which the decoder takes too, is told by their number."""
    return decoder(tokens, (decoder.patch_size, tokens.shape[-2] * decoder.patch_size))


CONSTANTS: Mapping[str, Any] = {"heads": None, "norm_floor": 1e-5}
SOURCE = "Wen and Li 2024 (arXiv 2411.03033)"

DEPICT = describe(
    "depict",
    _stack(""),
    source=f"{SOURCE}, model/dec_blocks.py of its code",
    sheet=SHEET,
    constants=CONSTANTS,
    build=_build,
    alone=True,
)
DEPICT_DECODER = describe(
    "depict_decoder",
    _stack("snet.", trunk="snet", norm="snorm"),
    _cross_stack(),
    source=f"{SOURCE}, model/decoder.py of its code, mode ca",
    sheet=DECODER,
    constants=CONSTANTS,
    build=_build_decoder,
    run=_one_row,
)
