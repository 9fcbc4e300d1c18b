"""The self-attention of DEPICT: ``model/dec_blocks.py`` of its code. Its cross-attention is not read."""

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


@dataclass(frozen=True, eq=False)
class Tied(layers.AttentionOnly):
    """Z + s [softmax(p^−½ Y_kY_kᵀ) Y_k]_k [U_1, …, U_K]ᵀ."""

    U: Any
    step: Any

    def compress(self, Z: Any) -> Any:
        """The whole layer."""
        return Z + self.step * attention.mssa_official(Z, self.U)


def _build(state: State, sizes: Mapping[str, int], constants: Mapping[str, Any]) -> Any:
    from verify.models.depict import Depict

    heads = constants["heads"]
    return Depict(dim=sizes["d"], depth=sizes["depth"], heads=heads, dim_head=sizes["m"] // heads)


DEPICT = describe(
    "depict",
    Stack(
        "layers.{i}.",
        (
            Half(
                "compress",
                "attention",
                Tap("", "input"),
                "fn",
                lambda w: {"projection": w["fn.proj"], "step": w["fn.step_size"].reshape(())},
                {"heads": "heads", "causal": 0},
                norm="norm",
                wrapper="",
                form="depict.mssa",
            ),
        ),
        end=None,
        layer=lambda c, s: Tied(c["U"], c["step"]),
    ),
    source="Wen and Li 2024 (arXiv 2411.03033), model/dec_blocks.py of its code",
    sheet=SHEET,
    constants={"heads": None, "norm_floor": 1e-5},
    build=_build,
    alone=True,
)
