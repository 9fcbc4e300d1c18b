"""A layer at its place in a network: its operators, and its parts."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import cached_property, partial
from typing import Any

from srr import layers as srr_layers
from srr.layer import HALVES
from verify.layouts.layout import LayerParts, Operator, State, Tap, passed_on
from verify.layouts.names import Names
from verify.layouts.stack import Half, Stack

IN, OUT = "input", "output"


@dataclass(frozen=True, eq=False)
class PlacedLayer:
    """One layer at its place in a network."""

    stack: Stack
    prefix: str
    state: State
    start: Tap
    """Where tokens come into the trunk of the stack."""
    end: Tap
    following: Tap | None
    """Where the tokens of the next layer come in, or those of the last one come out of the trunk."""
    norm_form: str
    preceding: Tap | None = None
    """Where the tokens of the first layer come into the trunk."""
    source: Tap | None = None
    """What the trunk of the stack gets, where that is not the trunk of the network."""
    norm_behind: str = ""
    """LayerNorm of what the last layer gives."""

    @cached_property
    def weights(self) -> State:
        """By their names in the layer."""
        return {key[len(self.prefix) :]: a for key, a in self.state.items() if key.startswith(self.prefix)}

    def named(self, module: str) -> str:
        return (self.prefix + module).rstrip("./")

    def tap(self, module: str, side: str, argument: str = "") -> Tap:
        return Tap(self.named(module), side, argument)  # type: ignore[arg-type]

    def placed(self, tap: Tap) -> Tap:
        return self.tap(tap.module, tap.side, tap.argument)

    def places(self) -> list[Tap]:
        """The tokens before each half, and after the last."""
        return [*(self.placed(half.tokens) for half in self.stack.halves), self.end]

    def operators(self, known: Mapping[str, Any]) -> Iterator[Operator]:
        places = self.places()
        if self.source is not None:
            yield from _passed_on(self.source, self.start)
        if self.preceding is not None:
            if self.stack.queries:
                name = self.stack.queries
                yield replace(passed_on(self.start, self.preceding), name=name, weights={"learned": self.state[name]})
            yield from _passed_on(self.preceding, places[0])
        for half, before, after in zip(self.stack.halves, places[:-1], places[1:], strict=True):
            seen = before
            if half.context is not None:
                seen = self.placed(half.context)
                yield from _passed_on(self.start, seen)
            norm = self._layer_norm(self.prefix + half.norm, known) if half.norm else None
            if norm is not None:
                yield from _passed_on(seen, *norm.reads)
                yield norm
                seen = norm.gives
            reads = (self.tap(half.module, IN),)
            yield from _passed_on(seen, *reads)
            if half.context is not None:
                queries = passed_on(before, self.tap(half.module, IN, half.tokens.argument))
                if norm is not None:  # which is for the tokens alone
                    queries = replace(queries, weights=norm.weights, constants=norm.constants)
                yield queries
                reads = (*reads, queries.gives)
            result = self.tap(half.gives or half.module, OUT)
            yield Operator(
                self.named(half.module),
                half.kind,
                reads,
                result,
                _given(half.weights(self.weights)),
                _numbers(half, known),
                half.form,
            )
            if half.wrapper is not None:
                yield from _passed_on(result, self.tap(half.wrapper, OUT))
                result = self.tap(half.wrapper, OUT)
            if half.skip:
                added, scale = (before, result, seen), self.weights.get(half.scale)
                result = self.tap(half.norm_after, IN) if half.norm_after else after
                sign = "decoder.skip" if half.subtracts else "crate.skip"
                yield Operator(f"{before.module}.skip", "skip", added, result, _given({"scale": scale}), form=sign)
            if half.norm_after:
                yield from _passed_on(result, self.tap(half.norm_after, IN))
                yield self._layer_norm(self.prefix + half.norm_after, known)
                result = self.tap(half.norm_after, OUT)
            yield from _passed_on(result, after)
        if self.following is not None:
            yield from _passed_on(self.end, self.following)
        if self.norm_behind:
            yield from _passed_on(self.end, Tap(self.norm_behind, IN))
            yield self._layer_norm(self.norm_behind, known)

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
        """By its name in the network."""
        place = f"{module}{self.prefix[-1]}"  # torch calls the scale a weight, Flax does not
        scale = self.state.get(f"{place}weight", self.state.get(f"{place}scale"))
        weights = {"scale": scale, "shift": self.state.get(f"{place}bias")}
        return Operator(
            module,
            "layer_norm",
            (Tap(module, IN),),
            Tap(module, OUT),
            _given(weights),
            {"floor": known.get("norm_floor", 1e-5)},
            self.norm_form,
        )

    def _normaliser(self, module: str, known: Mapping[str, Any]) -> Callable[[Any], Any]:
        operator = self._layer_norm(self.prefix + module, known)
        return partial(srr_layers.layer_norm, **operator.weights, **operator.constants)


def placed_layers(
    names: Names, stacks: tuple[Stack, ...], state: State, trunk: str, norm_form: str, *, alone: bool
) -> Iterator[PlacedLayer]:
    """All layers in order; ``alone`` in the trunk, which then passes on what comes in and what they give."""
    source = Tap(trunk, IN)
    for stack in stacks:
        depth = names.depth(state, stack.prefix.split("{i}")[0])
        start, whole = (Tap(stack.trunk or trunk, side) for side in (IN, OUT))
        first, last = alone and stack is stacks[0], alone and stack is stacks[-1]
        for i in depth:
            prefix = stack.prefix.replace("{i}", str(i))
            layer = PlacedLayer(stack, prefix, state, start, whole, None, norm_form)
            if i == depth[0] and (first or stack.trunk):
                layer = replace(layer, preceding=replace(start, argument=stack.halves[0].tokens.argument))
            if i == depth[0] and stack.trunk:
                layer = replace(layer, source=source)
            if i == depth[-1] and (last or stack.trunk):
                layer = replace(layer, following=whole, norm_behind=stack.norm)
            if i + 1 in depth:
                following = replace(layer, prefix=stack.prefix.replace("{i}", str(i + 1))).places()[0]
                layer = replace(layer, end=following, following=following)
            yield layer if stack.end is None else replace(layer, end=layer.placed(stack.end))
        source = Tap(stack.norm, OUT) if stack.norm else whole


def _passed_on(source: Tap, target: Tap) -> Iterator[Operator]:
    if source != target:
        yield passed_on(source, target)


def _given(weights: Mapping[str, Any]) -> dict[str, Any]:
    return {name: a for name, a in weights.items() if a is not None}


def _numbers(half: Half, known: Mapping[str, Any]) -> dict[str, Any]:
    return {name: known[value] if isinstance(value, str) else value for name, value in half.constants.items()}


def _as_it_is(Z: Any) -> Any:
    return Z
