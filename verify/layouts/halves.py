"""Halves that several networks share. Names of tensors are relative to the module that has them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from srr import layers
from verify.layouts.description import heads_of
from verify.layouts.layout import Tap
from verify.layouts.stack import Half

IN, OUT = "input", "output"
STEPS = {"eta": "step_size", "lam": "lambd"}


def attention(
    module: str,
    norm: str,
    tokens: str,
    *,
    projection: str,
    output: str,
    bias: str = "",
    causal: int = 0,
    subtracts: bool = False,
    wrapper: str | None = None,
) -> Half:
    """Z + [softmax(p^−½ Y_kY_kᵀ) Y_k]_k Wᵀ + b. Where there is no W, one head of dimension d, it is the identity."""

    def weights(w: Mapping[str, Any]) -> dict[str, Any]:
        U = w[f"{module}.{projection}"]
        return {"projection": U, "output": w.get(f"{module}.{output}", _identity(U)), "bias": w.get(f"{module}.{bias}")}

    return Half(
        "compress",
        "attention",
        Tap(tokens, IN),
        module,
        weights,
        {"heads": "heads", "causal": causal},
        norm,
        subtracts=subtracts,
        wrapper=wrapper,
        form="crate.mssa-causal" if causal else "crate.mssa",
    )


def _identity(U: Any) -> Any:
    import torch

    return torch.eye(len(U), dtype=U.dtype, device=U.device) if U.shape[0] == U.shape[1] else None


def ista(module: str, norm: str, tokens: str, *, wrapper: str | None = None) -> Half:
    """relu(Z + η (Z − Z Dᵀ) D − ηλ) of normalised tokens, with no skip."""
    return Half(
        "sparsify",
        "ista",
        Tap(tokens, IN),
        module,
        lambda w: {"D": w[f"{module}.weight"]},
        STEPS,
        norm,
        skip=False,
        wrapper=wrapper,
        form="crate.ista",
    )


def mlp(
    module: str,
    tokens: str,
    *,
    fc1: str,
    fc2: str,
    norm: str = "",
    norm_after: str = "",
    transposed: bool = False,
    scale: str = "",
    gives: str = "",
    form: str = "transformer.mlp",
) -> Half:
    """Z + γ (GELU(N(Z) W₁ᵀ + b₁) W₂ᵀ + b₂), or N of that without N and γ."""

    def weights(w: Mapping[str, Any]) -> dict[str, Any]:
        found = {}
        for name, of in (("fc1", fc1), ("fc2", fc2)):
            matrix = w[f"{of}.weight"]
            found |= {name: matrix.mT if transposed else matrix, f"{name}_bias": w.get(f"{of}.bias")}
        return found

    return Half(
        "sparsify",
        "mlp",
        Tap(tokens, IN),
        module,
        weights,
        norm=norm,
        norm_after=norm_after,
        scale=scale,
        gives=gives,
        form=form,
    )


def qkv_attention(
    module: str,
    weights: Callable[[Mapping[str, Any]], Mapping[str, Any]],
    *,
    norm: str = "",
    norm_after: str = "",
    causal: int = 0,
    scale: str = "",
    gives: str = "",
) -> Half:
    """Z + γ ([softmax(p^−½ Q_kK_kᵀ) V_k]_k Wᵀ + b), the attention of ordinary transformers."""
    return Half(
        "compress",
        "qkv_attention",
        Tap("", IN),
        module,
        weights,
        {"heads": "heads", "causal": causal},
        norm=norm,
        norm_after=norm_after,
        scale=scale,
        gives=gives,
        form="transformer.attention-causal" if causal else "transformer.attention",
    )


def packed(weight: Any, bias: Any, output: Any, output_bias: Any) -> dict[str, Any]:
    """The weights of `qkv_attention` from rows of query, key and value, ``(3 d, d)`` and ``(3 d)``, in one."""
    query, key, value = weight.chunk(3)
    found = {"query": query, "key": key, "value": value, "output": output, "bias": output_bias}
    if bias is not None:
        found |= dict(zip(("query_bias", "key_bias", "value_bias"), bias.chunk(3), strict=True))
    return found


def texts(state: Mapping[str, Any], sizes: Mapping[str, int], rng: Any) -> list[Any]:
    """Numbers of words for a network with v of them and n places: texts of six, of one, and long ones."""
    return [rng.integers(0, sizes["v"], (2, min(length, sizes["n"]))) for length in (6, 1, 37)]


SUBSPACES = ("value", "key", "query")


def chosen_subspaces(parts: Mapping[str, Any], constants: Mapping[str, Any]) -> Any:
    """U of a standard transformer: the projections that ``subspaces`` names."""
    which = constants["subspaces"]
    if which not in SUBSPACES:
        raise ValueError(f"subspaces must be one of {', '.join(SUBSPACES)}, got {which!r}")
    return heads_of(parts[which], parts["heads"])


def crate(c: Mapping[str, Any], s: Mapping[str, Any]) -> layers.Layer:
    """CRATE's layer of its parts."""
    build = layers.crate_causal if c["causal"] else layers.official
    return build(c["U"], s["D"], output=c["output"], bias=c.get("bias"), eta=s["eta"], lam=s["lam"])
