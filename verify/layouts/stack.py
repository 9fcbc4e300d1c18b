"""What layers are made of: halves, and stacks of layers of one kind."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from srr import layers
from verify.layouts.layout import State, Tap

WHOLE = Tap("", "output")
"""What a layer gives, where it is a module of its own."""


@dataclass(frozen=True, eq=False)
class Half:
    """One half of a layer: Z + f(norm(Z)), or without the skip. All names are relative to the layer.

    Attributes
    ----------
    name : str
        ``"compress"`` or ``"sparsify"``.
    kind : str
        What f is meant to be, as in `Operator`.
    tokens : Tap
        Z, as it comes in.
    module : str
        f.
    weights : callable
        From the tensors of the layer, by their names in it, to those of `Operator`; what is None is left out.
    constants : mapping
        Those of `Operator`: a number, or the name of the layout's constant that it is.
    norm : str, optional
        LayerNorm in front of f.
    norm_after : str, optional
        LayerNorm of what the half gives.
    skip : bool
    subtracts : bool
        Whether f is taken off instead.
    scale : str, optional
        The tensor ``(d,)`` that multiplies f before Z is added.
    gives : str, optional
        The module whose output is that of f, if it is another one.
    wrapper : str, optional
        The module that is f behind its LayerNorm, if there is one; ``""`` for the layer itself.
    form : str, optional
        The form that the published network has, as in `Operator`.
    context : Tap, optional
        Where ``tokens`` are queries that attend to others: these, which all layers share. The LayerNorm in front of f
        is theirs, and f reads them first, and the queries as the argument of the name that ``tokens`` has for them.
    """

    name: str
    kind: str
    tokens: Tap
    module: str
    weights: Callable[[State], Mapping[str, Any]]
    constants: Mapping[str, Any] = field(default_factory=dict)
    norm: str = ""
    norm_after: str = ""
    skip: bool = True
    subtracts: bool = False
    scale: str = ""
    gives: str = ""
    wrapper: str | None = None
    form: str = ""
    context: Tap | None = None


@dataclass(frozen=True, eq=False)
class Stack:
    """Layers of one kind, one after another.

    Attributes
    ----------
    prefix : str
        Of the names of layer i, such as ``"blocks.{i}."``.
    halves : tuple of Half
        In order. After a single one nothing follows.
    end : Tap or None
        The tokens that a layer gives, by default what comes out of it; None if only the next layer, or the end of the
        trunk, shows them.
    layer : callable or None
        ``layer(c, s)``: the `srr.Layer` of the parts of compression and sparsification, less its LayerNorms. The parts
        are the weights and constants of `Operator`, what ``scale`` names as ``"scaled"``, and the bases as ``"U"``.
    trunk : str, optional
        The submodule that is these layers and nothing else, where the trunk of the network is more than that. It gets
        the tokens that come into the network's, or those that the stack before it gives.
    norm : str, optional
        LayerNorm behind it. All names from here on are those in the network.
    queries : str, optional
        The tensor ``(1, q, d)`` of learned queries that come into the first layer.
    """

    prefix: str
    halves: tuple[Half, ...]
    end: Tap | None = WHOLE
    layer: Callable[[Mapping[str, Any], Mapping[str, Any]], layers.Layer] | None = None
    trunk: str = ""
    norm: str = ""
    queries: str = ""
