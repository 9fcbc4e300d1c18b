"""A layout from a few lines: the sheet of its names, and what each half of a layer is made of."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from verify.layouts.layout import LayerParts, Layout, Operator, State
from verify.layouts.names import Names
from verify.layouts.placed import placed_layers
from verify.layouts.reading import require_shapes
from verify.layouts.stack import Stack

NORM_FORMS = {1e-5: "norm.torch", 1e-6: "norm.flax", 1e-12: "norm.bert"}
"""Forms of LayerNorm by their floors."""


def describe(
    name: str,
    *stacks: Stack,
    source: str,
    sheet: str,
    constants: Mapping[str, Any],
    told: Mapping[str, Callable[[State], Any]] | None = None,
    build: Callable[[State, Mapping[str, int], Mapping[str, Any]], Any] | None = None,
    trunk: str = "",
    alone: bool | None = None,
    bases: Callable[[Mapping[str, Any], Mapping[str, Any]], Any] | None = None,
    check: Callable[[State, Mapping[str, int]], None] = lambda state, sizes: None,
    run: Callable[[Any, Any], Any] = lambda trunk, tokens: trunk(tokens),
    inputs: Callable[[State, Mapping[str, int], np.random.Generator], Sequence[Any]] | None = None,
) -> Layout:
    """A layout described by the sheet of its names and the halves of its layers.

    Parameters
    ----------
    name, source, trunk
        As in `Layout`.
    stacks : Stack
        The layers in order.
    sheet : str
        As in `Names`. Of a network in JAX names are paths, ``blocks/{i}/attend/U``, and so are its places: of Flax
        modules, or of tags (``verify.capture_jax``).
    constants : mapping
        What a state dict does not tell: keyword arguments of the layout, and their defaults, None for one that must be
        given. A function of the state dict is called for the default. Where there is a LayerNorm, ``norm_floor`` is one
        of them, 1e-5 if it is not named.
    told : mapping, optional
        Functions of the state dict for those that it does tell; another value is refused.
    build : callable, optional
        ``build(state, sizes, constants)``: a torch module of these names, whose tensors are replaced. ``sizes`` are the
        letters of the sheet, and ``"depth"``, ``"depth1"``, … for the stacks.
    alone : bool, optional
        Whether the trunk is its layers and nothing else: what goes in is what the first one reads, and what the last
        one gives comes out. By default it is if it is not the model itself.
    bases : callable, optional
        ``bases(parts, constants)``: U ``(K, d, p)``, where it is not the projection of the compression by heads.
    check : callable, optional
        ``check(state, sizes)`` raises ValueError for what no sheet can say.
    run : callable, optional
        As in `Layout`.
    inputs : callable, optional
        ``inputs(state, sizes, rng)``: what to run the network on, if its trunk takes no tokens ``(b, n, d)``.

    Returns
    -------
    Layout

    Examples
    --------
    Your own network, ``nn.ModuleList`` of blocks with ``norm``, ``attend.U``, ``attend.out`` and ``code.D``, whose
    sparsification has no LayerNorm:

    >>> MINE = describe(
    ...     "mine",
    ...     Stack(
    ...         "blocks.{i}.",
    ...         (
    ...             Half(
    ...                 "compress",
    ...                 "attention",
    ...                 Tap("", "input"),
    ...                 "attend",
    ...                 lambda w: {"projection": w["attend.U"], "output": w["attend.out"]},
    ...                 {"heads": "heads"},
    ...                 norm="norm",
    ...             ),
    ...             Half(
    ...                 "sparsify",
    ...                 "ista",
    ...                 Tap("code", "input"),
    ...                 "code",
    ...                 lambda w: {"D": w["code.D"]},
    ...                 {"eta": "eta", "lam": "lam"},
    ...                 skip=False,
    ...             ),
    ...         ),
    ...         layer=lambda c, s: srr.layers.official(c["U"], s["D"], output=c["output"], eta=s["eta"], lam=s["lam"]),
    ...     ),
    ...     source="us",
    ...     sheet='''
    ...         blocks.{i}.norm.weight  d
    ...         blocks.{i}.norm.bias    d
    ...         blocks.{i}.attend.U     m d
    ...         blocks.{i}.attend.out   d m
    ...         blocks.{i}.code.D       d d
    ...         head.*
    ...     ''',
    ...     constants={"heads": None, "eta": 0.1, "lam": 0.1},
    ... )
    """
    names = Names(sheet)
    if any(half.norm or half.norm_after for stack in stacks for half in stack.halves):
        constants = {**constants, "norm_floor": constants.get("norm_floor", 1e-5)}
    alone = bool(trunk) if alone is None else alone
    norm_form = NORM_FORMS.get(constants.get("norm_floor"), "")

    def shapes(state: State, heads: int | None = None) -> Mapping[str, tuple[int, ...]]:
        wanted = names.shapes(state)
        check(state, names.sizes(state))
        return wanted

    def resolved(state: State, given: Mapping[str, Any]) -> dict[str, Any]:
        require_shapes(state, shapes(state), alone=False)
        return _known(state, constants, told or {}, given)

    def operators(state: State, **given: Any) -> tuple[Operator, ...]:
        known = resolved(state, given)
        return tuple(
            operator
            for layer in placed_layers(names, stacks, state, trunk, norm_form, alone=alone)
            for operator in layer.operators(known)
        )

    def layers(state: State, **given: Any) -> tuple[LayerParts, ...]:
        known = resolved(state, given)
        crossed = [stack.trunk or stack.prefix for stack in stacks if any(half.context for half in stack.halves)]
        if crossed:
            raise ValueError(
                f"layers must change the tokens that they attend to, got in {crossed[0]} queries of others; give a "
                "layout of layers that do, such as verify.layouts.below(verify.layouts.LAYOUTS['depict'], 'snet.')"
            )
        found = placed_layers(names, stacks, state, trunk, norm_form, alone=alone)
        return tuple(layer.parts(index, known, bases or _projected) for index, layer in enumerate(found))

    def built(state: State, **given: Any) -> Any:
        if build is None:
            raise ValueError(f"the layout {name} has no network of srr's own, only that of its state dict")
        import torch

        known = resolved(state, given)
        depths = {
            f"depth{number or ''}": len(names.depth(state, stack.prefix.split("{i}")[0]))
            for number, stack in enumerate(stacks)
        }
        placed = tuple(placed_layers(names, stacks, state, trunk, norm_form, alone=alone))
        placed[0].parts(0, known, bases or _projected)  # where heads that do not fit are named
        with torch.device("meta"):
            model = build(state, names.sizes(state) | depths, known)
        model.load_state_dict({key: torch.as_tensor(state[key]) for key in names.judged(state)}, assign=True)
        for operator in (operator for layer in placed for operator in layer.operators(known)):
            if operator.kind == "layer_norm":
                model.get_submodule(operator.gives.module).eps = operator.constants["floor"]
        return model

    def fed(state: State, seed: int) -> Sequence[Any] | None:
        rng = np.random.Generator(np.random.PCG64(np.random.SeedSequence(seed)))
        return None if inputs is None else inputs(state, names.sizes(state), rng)

    keys = (*constants, *(told or {}))
    return Layout(name, source, shapes, operators, layers, built, trunk, names, keys, run, fed)


def heads_of(projection: Any, heads: int) -> Any:
    """U ``(K, d, p)`` of a projection ``(K p, d)``, head by head."""
    if heads < 1 or projection.shape[0] % heads:
        raise ValueError(f"heads must divide the {projection.shape[0]} rows of the projection, got {heads}")
    return projection.reshape(heads, -1, projection.shape[-1]).swapaxes(-1, -2)


def _projected(parts: Mapping[str, Any], constants: Mapping[str, Any]) -> Any:
    return heads_of(parts["projection"], parts["heads"])


def _known(
    state: State, constants: Mapping[str, Any], told: Mapping[str, Callable[[State], Any]], given: Mapping[str, Any]
) -> dict[str, Any]:
    for name in given:
        if name not in (*told, *constants):
            raise ValueError(f"constants must be among {', '.join((*told, *constants))}, got {name!r}")
    known = {name: given.get(name, default) for name, default in constants.items()}
    for name, value in known.items():
        if value is None:
            raise ValueError(f"{name} must be given, the state dict does not tell it")
        known[name] = value(state) if callable(value) else value
    for name, of in told.items():
        known[name] = of(state)
        if given.get(name, known[name]) != known[name]:
            raise ValueError(f"{name} must be {known[name]}, as the state dict tells, got {given[name]}")
    return known
