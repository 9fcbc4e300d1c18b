"""ReduNet on vectors: ``redunet`` of the code of Chan et al. 2022 (arXiv 2105.10446)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from srr import layers
from verify.layouts.description import describe
from verify.layouts.layout import State, Tap
from verify.layouts.stack import Half, Stack

SHEET = """
    {i}.gam            k
    {i}.E.weight       d d
    {i}.Cs.{k}.weight  d d
"""


@dataclass(frozen=True, eq=False)
class Whole(layers.AttentionOnly):
    """A layer whose two halves are one to the outside: nothing shows the tokens between them."""

    layer: layers.Layer

    def compress(self, Z: Any) -> Any:
        """Both halves."""
        return self.layer(Z)


def by_class(w: Mapping[str, Any]) -> list[Any]:
    """The weights of the C_k, in order."""
    names = [name for name in w if name.startswith("Cs.")]
    return [w[name] for name in sorted(names, key=lambda name: int(name.split(".")[1]))]


def _weights(w: Mapping[str, Any]) -> dict[str, Any]:
    import torch

    return {"E": w["E.weight"], "C": torch.stack(by_class(w)), "shares": w["gam"]}


def _subspaces(parts: Mapping[str, Any], constants: Mapping[str, Any]) -> Any:
    """Of class k the directions in which its samples reach furthest, and C_k is least."""
    import torch

    C = parts["C"]
    rank = constants["rank"]
    if not 1 <= rank <= C.shape[-1]:
        raise ValueError(f"rank must be from 1 to {C.shape[-1]}, got {rank}")
    return torch.linalg.eigh((C + C.mT) / 2).eigenvectors[..., :rank]


def _rank(state: State) -> int:
    return max(1, len(state["0.E.weight"]) // len(state["0.gam"]))


def _layer(c: Mapping[str, Any], s: Mapping[str, Any]) -> layers.Layer:
    memberships = c["shares"][None]  # those that it was built with, which a network does not need
    return Whole(
        layers.ReduNet(c["E"].mT, c["C"].mT, c["shares"], memberships, "official", c["eps"], c["eta"], c["lam"])
    )


def _build(state: State, sizes: Mapping[str, int], constants: Mapping[str, Any]) -> Any:
    from verify.models.redunet import ReduNet

    return ReduNet(
        dim=sizes["d"], classes=sizes["k"], depth=sizes["depth"], eta=constants["eta"], lmbda=constants["lmbda"]
    )


def require_classes(state: State, sizes: Mapping[str, int]) -> None:
    """As many C_k as shares γ_k."""
    for i in sorted({name.split(".")[0] for name in state if name.endswith(".gam")}):
        found = sum(name.startswith(f"{i}.Cs.") for name in state)
        if found != sizes["k"]:
            raise ValueError(f"the layers {i}.Cs must be as many as {i}.gam is long, {sizes['k']}, got {found}")


REDUNET = describe(
    "redunet",
    Stack(
        "{i}.",
        (
            Half(
                "compress",
                "redunet",
                Tap("", "input"),
                "",
                _weights,
                {"eta": "eta", "lam": "lmbda", "eps": "eps"},
                skip=False,
                form="redunet.layer",
            ),
        ),
        layer=_layer,
    ),
    source="Chan et al. 2022 (arXiv 2105.10446), redunet of its code",
    sheet=SHEET,
    constants={"eta": 0.5, "lmbda": 500.0, "eps": 0.1**0.5, "rank": _rank},
    build=_build,
    alone=True,
    bases=_subspaces,
    check=require_classes,
)
