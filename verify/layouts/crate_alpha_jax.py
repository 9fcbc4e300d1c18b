"""CRATE-α in JAX: ``models/crate.py`` of the code of Yang et al. 2024 (arXiv 2405.20299).

Its operators are watched in JAX; its layers are read, and it is built, as its port to torch.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np

from verify.layouts import halves
from verify.layouts.crate_alpha import CRATE_ALPHA
from verify.layouts.description import describe
from verify.layouts.layout import LayerParts, Layout, Operator, State, Tap
from verify.layouts.reading import flat
from verify.layouts.stack import Half, Stack

SHEET = """
    cls                                                                         1 1 d
    pos_embedding                                                               1 n d
    embedding/kernel                                                            s s k d
    embedding/bias                                                              d
    Transformer/encoderblock_{i}/LayerNorm_0/scale                              d
    Transformer/encoderblock_{i}/LayerNorm_0/bias                               d
    Transformer/encoderblock_{i}/MultiHeadDotProductSubspaceAttention_0/proj/kernel d h p
    Transformer/encoderblock_{i}/MultiHeadDotProductSubspaceAttention_0/out/kernel  h p d
    Transformer/encoderblock_{i}/LayerNorm_1/scale                              d
    Transformer/encoderblock_{i}/LayerNorm_1/bias                               d
    Transformer/encoderblock_{i}/OvercompleteISTABlock_0/D                      d m
    Transformer/encoderblock_{i}/OvercompleteISTABlock_0/D1                     d m
    encoder_norm/scale                                                          d
    encoder_norm/bias                                                           d
    head/kernel                                                                 d c
    head/bias                                                                   c
"""
_BLOCK = "Transformer/encoderblock_"
_ATTENTION = "MultiHeadDotProductSubspaceAttention_0"
_ISTA = "OvercompleteISTABlock_0"
FLOOR = 1e-6
"""Of every LayerNorm, the last included, in which the port to torch has 1e-5."""


def _weights(w: State) -> dict[str, Any]:
    U, output = (w[f"{_ATTENTION}/{name}/kernel"] for name in ("proj", "out"))  # (d, K, p) and (K, p, d)
    return {"projection": U.reshape(len(U), -1).T, "output": output.reshape(-1, output.shape[-1]).T}


def _images(state: State, sizes: Mapping[str, int], rng: np.random.Generator) -> list[Any]:
    """Images (b, H, W, c) of the size that it has places for."""
    side = math.isqrt(sizes["n"] - 1) * sizes["s"]
    return [rng.standard_normal((2, side, side, sizes["k"]))]


FLAX = describe(
    "crate_alpha_jax",
    Stack(
        f"{_BLOCK}{{i}}/",
        (
            Half(
                "compress",
                "attention",
                Tap("", "input"),
                _ATTENTION,
                _weights,
                {"heads": "heads", "causal": 0},
                norm="LayerNorm_0",
                form="crate.mssa",
            ),
            Half(
                "sparsify",
                "overcomplete",
                Tap("LayerNorm_1", "input"),
                _ISTA,
                lambda w: {"D": w[f"{_ISTA}/D"], "decode": w[f"{_ISTA}/D1"]},
                {**halves.STEPS, "steps": 2},
                norm="LayerNorm_1",
                form="alpha.ista",
            ),
        ),
    ),
    source="Yang et al. 2024 (arXiv 2405.20299), models/crate.py of its code",
    sheet=SHEET,
    constants={"step_size": 0.1, "lambd": 0.1, "norm_floor": FLOOR},
    told={"heads": lambda state: state[f"{_BLOCK}0/{_ATTENTION}/proj/kernel"].shape[1]},
    trunk="Transformer",
    inputs=_images,
)
"""Its operators as they are in JAX, where its modules are Flax's."""


def to_torch(tree: Mapping[str, Any]) -> dict[str, Any]:
    """The state dict of the port to torch, as torch tensors.

    Parameters
    ----------
    tree : mapping
        Parameters of the network in JAX, nested or flat; arrays of JAX, NumPy or torch.

    Raises
    ------
    TypeError, ValueError
        They are those of another network.
    """
    w = flat(tree)
    d, heads, p = _projection(w)
    names = {
        "pos_embedding": w["pos_embedding"],
        "cls_token": w["cls"],
        "conv1.weight": np.asarray(w["embedding/kernel"]).transpose(3, 2, 0, 1),
        "conv1.bias": w["embedding/bias"],
        "mlp_head.0.weight": w["encoder_norm/scale"],
        "mlp_head.0.bias": w["encoder_norm/bias"],
        "mlp_head.1.weight": np.asarray(w["head/kernel"]).T,
        "mlp_head.1.bias": w["head/bias"],
    }
    for i in FLAX.names.depth(w, _BLOCK):
        block, layer = f"{_BLOCK}{i}/", f"transformer.layers.{i}."
        for half in (0, 1):
            names[f"{layer}{half}.norm.weight"] = w[f"{block}LayerNorm_{half}/scale"]
            names[f"{layer}{half}.norm.bias"] = w[f"{block}LayerNorm_{half}/bias"]
        names[f"{layer}0.fn.qkv.weight"] = np.asarray(w[f"{block}{_ATTENTION}/proj/kernel"]).reshape(d, heads * p).T
        names[f"{layer}0.fn.to_out.0.weight"] = np.asarray(w[f"{block}{_ATTENTION}/out/kernel"]).reshape(heads * p, d).T
        for name in ("D", "D1"):
            names[f"{layer}1.fn.{name}"] = w[f"{block}{_ISTA}/{name}"]
    import torch

    return {name: torch.tensor(np.ascontiguousarray(a)) for name, a in names.items()}


def _projection(w: State) -> tuple[int, int, int]:
    """d, K and p."""
    FLAX.names.sizes(w)
    d, heads, p = w[f"{_BLOCK}0/{_ATTENTION}/proj/kernel"].shape
    return int(d), int(heads), int(p)


def _shapes(state: State, heads: int | None = None) -> Mapping[str, tuple[int, ...]]:
    return FLAX.names.shapes(flat(state))


def _constants(state: State, given: Mapping[str, Any]) -> dict[str, Any]:
    return {"heads": _projection(flat(state))[1], "norm_floor": FLOOR, **given}


def _operators(state: State, **given: Any) -> tuple[Operator, ...]:
    return FLAX.operators(flat(state), **given)


def _layers(state: State, **given: Any) -> tuple[LayerParts, ...]:
    return CRATE_ALPHA.layers(to_torch(state), **_constants(state, given))


def _build(state: State, **given: Any) -> Any:
    model = CRATE_ALPHA.build(to_torch(state), **_constants(state, given))
    model.mlp_head[0].eps = FLOOR
    return model


CRATE_ALPHA_JAX = Layout(
    name="crate_alpha_jax",
    source="Yang et al. 2024 (arXiv 2405.20299), models/crate.py of its code",
    shapes=_shapes,
    operators=_operators,
    layers=_layers,
    build=_build,
    trunk="Transformer",
    names=FLAX.names,
    constants=FLAX.constants,
    inputs=lambda state, seed: FLAX.inputs(flat(state), seed),
)
