"""Where a network keeps the parts of its layers, and where their tokens can be seen.

A layout reads a state dict: which tensors are the bases, the dictionary and the norms of each layer, and which
submodules see the tokens before, within and after it. It knows nothing of the code that uses them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from torch import Tensor

    from srr import Layer
    from verify.layouts.names import Names

State = Mapping[str, Any]


@dataclass(frozen=True)
class Tap:
    """What goes into a submodule, or comes out of it."""

    module: str
    """Its name, as in ``named_modules``."""
    side: Literal["input", "output"]
    argument: str = ""
    """Which of its arguments goes in, by its name; the first if empty."""

    def __str__(self) -> str:
        return f"{self.argument or self.side} of {self.module or 'the model'}"


@dataclass(frozen=True, eq=False)
class Operator:
    """One operator of a network at work: what it reads, what it gives, with which weights.

    Attributes
    ----------
    name : str
        Unique within the network, such as ``"transformer.layers.0.0.fn"``.
    kind : str
        What it is meant to be: a name in `verify.forms.KINDS`.
    reads : tuple of Tap
        Its arguments.
    gives : Tap
    weights : mapping
        Its tensors, by the names that forms of this kind have for them.
    constants : mapping
        Its numbers, such as a count of heads, a step size or a threshold, by those names.
    form : str
        The slug of the form that the published network has; empty if any will do.
    """

    name: str
    kind: str
    reads: tuple[Tap, ...]
    gives: Tap
    weights: Mapping[str, Tensor]
    constants: Mapping[str, float] = field(default_factory=dict)
    form: str = ""


@dataclass(frozen=True, eq=False)
class LayerParts:
    """A layer of a network, as an audit sees it. Shapes are those of `srr`.

    Attributes
    ----------
    index : int
    before, between, after : Tap
        Z^ℓ, Z^{ℓ+½} and Z^{ℓ+1}, each ``(b, n, d)``.
    order : tuple of str
        The halves, as in `srr.Layer`.
    U : Tensor or None, shape (K, d, p)
        Bases of the compression; None where the tokens that can be seen are no real vectors.
    output, bias : Tensor or None, shapes (d, K p) and (d,)
        What maps the heads back.
    D : Tensor or None, shape (d, m)
        Dictionary of the sparsification.
    norms : tuple of callable or None
        What compression and sparsification do to their tokens first, ``(..., n, d)`` to ``(..., n, d)``; None if
        nothing.
    layer : srr.Layer or None
        The same layer as srr has it, with these weights: from raw tokens, LayerNorms included. None for a layer that
        is none of srr's.
    """

    index: int
    before: Tap
    between: Tap
    after: Tap
    order: tuple[str, str]
    U: Tensor | None
    output: Tensor | None = None
    bias: Tensor | None = None
    D: Tensor | None = None
    norms: tuple[Callable[[Tensor], Tensor] | None, Callable[[Tensor], Tensor] | None] = (None, None)
    layer: Layer | None = None


@dataclass(frozen=True)
class Layout:
    """How one kind of network names its parts.

    Attributes
    ----------
    name : str
        As in ``srr crosscheck --layout NAME``.
    source : str
        Whose network: a paper, and a file of its code.
    shapes : callable
        The sizes that fit, ``shapes(state, heads)``, as a mapping from every name of the state dict to its shape;
        raises ValueError, naming what is missing, if the state dict is of another kind.
    operators, layers : callable
        ``operators(state, **constants)`` and ``layers(state, **constants)``; the constants, such as ``heads``, are
        those that a state dict does not tell.
    trunk : str
        The submodule that takes tokens ``(b, n, d)`` through all layers; empty if it is the model itself.
    build : callable
        ``build(state, **constants)``: a torch module of srr's own that computes what the network does, with these
        weights, whose memory it shares. Names that the sheet lets be are not in it.
    names : Names or None
        The sheet that ``shapes`` reads.
    constants : tuple of str or None
        The names of the constants; None if it says nothing about them.
    run : callable
        ``run(trunk, tokens)``: calls the trunk of a network in torch, where it takes more than the tokens.
    inputs : callable
        ``inputs(state, seed)``: what to run the network on where its trunk takes no tokens, such as numbers of words,
        one array for each run; else None.
    """

    name: str
    source: str
    shapes: Callable[..., Mapping[str, tuple[int, ...]]]
    operators: Callable[..., tuple[Operator, ...]]
    layers: Callable[..., tuple[LayerParts, ...]]
    build: Callable[..., Any]
    trunk: str = ""
    names: Names | None = None
    constants: tuple[str, ...] | None = None
    run: Callable[[Any, Any], Any] = lambda trunk, given: trunk(given)
    inputs: Callable[[State, int], Sequence[Any] | None] = lambda state, seed: None


def passed_on(source: Tap, target: Tap) -> Operator:
    """That one submodule gets what another gives, or gives what a part of it gives, as it is."""
    return Operator(f"{source} to {target}", "passed_on", (source,), target, {}, form="network.passed-on")
