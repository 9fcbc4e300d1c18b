"""A layout from a few lines: the sheet of its names, and what each half of a layer is made of."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

from srr import layers as srr_layers
from srr.layer import HALVES
from verify.layouts.layout import LayerParts, Layout, Operator, State, Tap, passed_on
from verify.layouts.names import Names
from verify.layouts.reading import require_shapes

IN, OUT = "input", "output"
WHOLE = Tap("", "output")
"""What a layer gives, where it is a module of its own."""
NORM_FORMS = {1e-5: "norm.torch", 1e-6: "norm.flax", 1e-12: "norm.bert"}
"""Forms of LayerNorm by their floors."""


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
        ``layer(c, s)``: the `srr.Layer` of the parts of its two halves, less its LayerNorms. The parts are the weights
        and constants of `Operator`, and the bases as ``"U"``.
    """

    prefix: str
    halves: tuple[Half, ...]
    end: Tap | None = WHOLE
    layer: Callable[[Mapping[str, Any], Mapping[str, Any]], srr_layers.Layer] | None = None


def layout(
    name: str,
    *stacks: Stack,
    source: str,
    sheet: str,
    constants: Mapping[str, Any],
    told: Mapping[str, Callable[[State], Any]] | None = None,
    build: Callable[[State, Mapping[str, int], Mapping[str, Any]], Any] | None = None,
    trunk: str = "",
    bases: Callable[[Mapping[str, Any], Mapping[str, Any]], Any] | None = None,
    check: Callable[[State, Mapping[str, int]], None] = lambda state, sizes: None,
) -> Layout:
    """A layout described by the sheet of its names and the halves of its layers.

    Parameters
    ----------
    name, source, trunk
        As in `Layout`.
    stacks : Stack
        The layers in order.
    sheet : str
        As in `Names`.
    constants : mapping
        What a state dict does not tell: keyword arguments of the layout, and their defaults, None for one that must be
        given. A function of the state dict is called for the default.
    told : mapping, optional
        Functions of the state dict for those that it does tell; another value is refused.
    build : callable, optional
        ``build(state, sizes, constants)``: a torch module of these names, whose tensors are replaced. ``sizes`` are the
        letters of the sheet, and ``"depth"``, ``"depth1"``, … for the stacks.
    bases : callable, optional
        ``bases(parts, constants)``: U ``(K, d, p)``, where it is not the projection of the compression by heads.
    check : callable, optional
        ``check(state, sizes)`` raises ValueError for what no sheet can say.

    Returns
    -------
    Layout

    Examples
    --------
    Your own network, `nn.ModuleList` of blocks with ``norm``, ``attend.U``, ``attend.out`` and ``code.D``, whose
    sparsification has no LayerNorm:

    >>> MINE = layout(
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
    norm_form = NORM_FORMS.get(constants.get("norm_floor", 1e-5), "")

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
            operator for layer in _layers(names, stacks, state, trunk, norm_form) for operator in layer.operators(known)
        )

    def layers(state: State, **given: Any) -> tuple[LayerParts, ...]:
        known = resolved(state, given)
        found = _layers(names, stacks, state, trunk, norm_form)
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
        placed = tuple(_layers(names, stacks, state, trunk, norm_form))
        placed[0].parts(0, known, bases or _projected)  # where heads that do not fit are named
        with torch.device("meta"):
            model = build(state, names.sizes(state) | depths, known)
        model.load_state_dict({key: torch.as_tensor(state[key]) for key in names.judged(state)}, assign=True)
        for operator in (operator for layer in placed for operator in layer.operators(known)):
            if operator.kind == "layer_norm":
                model.get_submodule(operator.gives.module).eps = operator.constants["floor"]
        return model

    return Layout(name, source, shapes, operators, layers, built, trunk, names)


def heads_of(projection: Any, heads: int) -> Any:
    """U ``(K, d, p)`` of a projection ``(K p, d)``, head by head."""
    if heads < 1 or projection.shape[0] % heads:
        raise ValueError(f"heads must divide the {projection.shape[0]} rows of the projection, got {heads}")
    return projection.unflatten(0, (heads, -1)).mT


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


@dataclass(frozen=True, eq=False)
class _Layer:
    """One layer at its place in a network."""

    stack: Stack
    prefix: str
    weights: State
    end: Tap
    following: Tap | None
    """Where the tokens of the next layer come in."""
    norm_form: str

    def tap(self, module: str, side: str) -> Tap:
        return Tap((self.prefix + module).rstrip("."), side)  # type: ignore[arg-type]

    def placed(self, tap: Tap) -> Tap:
        return self.tap(tap.module, tap.side)

    def places(self) -> list[Tap]:
        """The tokens before each half, and after the last."""
        return [*(self.placed(half.tokens) for half in self.stack.halves), self.end]

    def operators(self, known: Mapping[str, Any]) -> Iterator[Operator]:
        places = self.places()
        for half, before, after in zip(self.stack.halves, places[:-1], places[1:], strict=True):
            seen = before
            if half.norm:
                yield from _passed_on(before, self.tap(half.norm, IN))
                yield self._layer_norm(half.norm, known)
                seen = self.tap(half.norm, OUT)
            yield from _passed_on(seen, self.tap(half.module, IN))
            result = self.tap(half.gives or half.module, OUT)
            yield Operator(
                (self.prefix + half.module).rstrip("."),
                half.kind,
                (self.tap(half.module, IN),),
                result,
                _given(half.weights(self.weights)),
                _numbers(half, known),
                half.form,
            )
            if half.wrapper is not None:
                yield from _passed_on(result, self.tap(half.wrapper, OUT))
                result = self.tap(half.wrapper, OUT)
            if half.skip:
                reads, scale = (before, result, seen), self.weights.get(half.scale)
                result = self.tap(half.norm_after, IN) if half.norm_after else after
                sign = "decoder.skip" if half.subtracts else "crate.skip"
                yield Operator(f"{before.module}.skip", "skip", reads, result, _given({"scale": scale}), form=sign)
            if half.norm_after:
                yield from _passed_on(result, self.tap(half.norm_after, IN))
                yield self._layer_norm(half.norm_after, known)
                result = self.tap(half.norm_after, OUT)
            yield from _passed_on(result, after)
        if self.following is not None:
            yield from _passed_on(self.end, self.following)

    def parts(self, index: int, known: Mapping[str, Any], bases: Callable[..., Any]) -> LayerParts:
        halves = {half.name: half for half in self.stack.halves}
        values: dict[str, dict[str, Any]] = {name: {} for name in HALVES}
        norms = dict.fromkeys(HALVES, None)
        for name, half in halves.items():
            values[name] = {**_given(half.weights(self.weights)), **_numbers(half, known)}
            values[name] |= {"scaled": self.weights.get(half.scale)}
            norms[name] = self._normaliser(half.norm, known) if half.norm else None
        c, s = (values[name] for name in HALVES)
        c["U"] = bases(c, known)
        before, *between, after = self.places()
        layer = None if self.stack.layer is None else self.stack.layer(c, s)
        if layer is not None and any(norms.values()):
            layer = srr_layers.PreNorm(layer, *(norms[name] or _as_it_is for name in HALVES))
        return LayerParts(
            index=index,
            before=before,
            between=between[0] if between else after,
            after=after,
            order=tuple(halves) if len(halves) == 2 else HALVES,  # type: ignore[arg-type]
            U=c["U"],
            output=c.get("output"),
            bias=c.get("bias"),
            D=s.get("D"),
            norms=(norms["compress"], norms["sparsify"]),
            layer=layer,
        )

    def _layer_norm(self, module: str, known: Mapping[str, Any]) -> Operator:
        weights = {"scale": self.weights[f"{module}.weight"], "shift": self.weights.get(f"{module}.bias")}
        return Operator(
            self.prefix + module,
            "layer_norm",
            (self.tap(module, IN),),
            self.tap(module, OUT),
            _given(weights),
            {"floor": known.get("norm_floor", 1e-5)},
            self.norm_form,
        )

    def _normaliser(self, module: str, known: Mapping[str, Any]) -> Callable[[Any], Any]:
        operator = self._layer_norm(module, known)
        return partial(srr_layers.layer_norm, **operator.weights, **operator.constants)


def _layers(names: Names, stacks: tuple[Stack, ...], state: State, trunk: str, norm_form: str) -> Iterator[_Layer]:
    for stack in stacks:
        depth = names.depth(state, stack.prefix.split("{i}")[0])
        for i in depth:
            prefix = stack.prefix.replace("{i}", str(i))
            weights = {key[len(prefix) :]: a for key, a in state.items() if key.startswith(prefix)}
            layer = _Layer(stack, prefix, weights, Tap(trunk, OUT), None, norm_form)  # type: ignore[arg-type]
            if i + 1 in depth:
                following = replace(layer, prefix=stack.prefix.replace("{i}", str(i + 1))).places()[0]
                layer = replace(layer, end=following, following=following)
            yield layer if stack.end is None else replace(layer, end=layer.placed(stack.end))


def _passed_on(source: Tap, target: Tap) -> Iterator[Operator]:
    if source != target:
        yield passed_on(source, target)


def _given(weights: Mapping[str, Any]) -> dict[str, Any]:
    return {name: a for name, a in weights.items() if a is not None}


def _numbers(half: Half, known: Mapping[str, Any]) -> dict[str, Any]:
    return {name: known[value] if isinstance(value, str) else value for name, value in half.constants.items()}


def _as_it_is(Z: Any) -> Any:
    return Z
