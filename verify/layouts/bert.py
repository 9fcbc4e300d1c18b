"""BERT under the names of the transformers library, LayerNorm last.

U are the heads' projections that the constant ``subspaces`` names: ``"value"``, ``"key"`` or ``"query"``. RoBERTa has
the same names and layers, but counts its places from 2, which the network that is built does not.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from verify.layouts import halves
from verify.layouts.description import describe
from verify.layouts.layout import State
from verify.layouts.stack import Stack

SHEET = """
    embeddings.word_embeddings.weight                    v d
    embeddings.position_embeddings.weight                n d
    embeddings.token_type_embeddings.weight              t d
    embeddings.LayerNorm.weight                          d
    embeddings.LayerNorm.bias                            d
    encoder.layer.{i}.attention.self.query.weight        d d
    encoder.layer.{i}.attention.self.query.bias          d
    encoder.layer.{i}.attention.self.key.weight          d d
    encoder.layer.{i}.attention.self.key.bias            d
    encoder.layer.{i}.attention.self.value.weight        d d
    encoder.layer.{i}.attention.self.value.bias          d
    encoder.layer.{i}.attention.output.dense.weight      d d
    encoder.layer.{i}.attention.output.dense.bias        d
    encoder.layer.{i}.attention.output.LayerNorm.weight  d
    encoder.layer.{i}.attention.output.LayerNorm.bias    d
    encoder.layer.{i}.intermediate.dense.weight          m d
    encoder.layer.{i}.intermediate.dense.bias            m
    encoder.layer.{i}.output.dense.weight                d m
    encoder.layer.{i}.output.dense.bias                  d
    encoder.layer.{i}.output.LayerNorm.weight            d
    encoder.layer.{i}.output.LayerNorm.bias              d
    embeddings.position_ids*
    pooler.*
"""


def _attention(w: Mapping[str, Any]) -> dict[str, Any]:
    found = {"output": w["attention.output.dense.weight"], "bias": w["attention.output.dense.bias"]}
    for name in halves.SUBSPACES:
        found |= {name: w[f"attention.self.{name}.weight"], f"{name}_bias": w[f"attention.self.{name}.bias"]}
    return found


def _build(state: State, sizes: Mapping[str, int], constants: Mapping[str, Any]) -> Any:
    from verify.models.bert import Bert

    return Bert(
        vocabulary=sizes["v"],
        places=sizes["n"],
        kinds=sizes["t"],
        dim=sizes["d"],
        depth=sizes["depth"],
        heads=constants["heads"],
        hidden=sizes["m"],
    )


BERT = describe(
    "bert",
    Stack(
        "encoder.layer.{i}.",
        (
            halves.qkv_attention(
                "attention.self",
                _attention,
                norm_after="attention.output.LayerNorm",
                gives="attention.output.dense",
            ),
            halves.mlp(
                "intermediate.dense",
                "intermediate",
                fc1="intermediate.dense",
                fc2="output.dense",
                norm_after="output.LayerNorm",
                gives="output.dense",
            ),
        ),
    ),
    source="Devlin et al. 2019 (arXiv 1810.04805), under the names of the transformers library",
    sheet=SHEET,
    constants={"heads": None, "subspaces": "value", "norm_floor": 1e-12},
    build=_build,
    trunk="encoder",
    bases=halves.chosen_subspaces,
)
