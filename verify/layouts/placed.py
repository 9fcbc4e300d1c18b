"""A layer at its place in a network: its operators, and its parts."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import partial
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
    weights: State
    end: Tap
    following: Tap | None
    """Where the tokens of the next layer come in, or those of the last one come out of the trunk."""
    norm_form: str
    preceding: Tap | None = None
    """Where the tokens of the first layer come into the trunk."""

    def named(self, module: str) -> str:
        return (self.prefix + module).rstrip("./")

    def tap(self, module: str, side: str) -> Tap:
        return Tap(self.named(module), side)  # type: ignore[arg-type]

    def placed(self, tap: Tap) -> Tap:
        return self.tap(tap.module, tap.side)

    def places(self) -> list[Tap]:
        """The tokens before each half, and after the last."""
        return [*(self.placed(half.tokens) for half in self.stack.halves), self.end]

    def operators(self, known: Mapping[str, Any]) -> Iterator[Operator]:
        places = self.places()
        if self.preceding is not None:
            yield from _passed_on(self.preceding, places[0])
        for half, before, after in zip(self.stack.halves, places[:-1], places[1:], strict=True):
            seen = before
            if half.norm:
                yield from _passed_on(before, self.tap(half.norm, IN))
                yield self._layer_norm(half.norm, known)
                seen = self.tap(half.norm, OUT)
            yield from _passed_on(seen, self.tap(half.module, IN))
            result = self.tap(half.gives or half.module, OUT)
            yield Operator(
                self.named(half.module),
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
        place = f"{module}{self.prefix[-1]}"  # torch calls the scale a weight, Flax does not
        scale = self.weights.get(f"{place}weight", self.weights.get(f"{place}scale"))
        weights = {"scale": scale, "shift": self.weights.get(f"{place}bias")}
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


def placed_layers(
    names: Names, stacks: tuple[Stack, ...], state: State, trunk: str, norm_form: str, *, alone: bool
) -> Iterator[PlacedLayer]:
    """All layers in order; ``alone`` in the trunk, which then passes on what comes in and what they give."""
    start, whole = Tap(trunk, IN), Tap(trunk, OUT)  # type: ignore[arg-type]
    for stack in stacks:
        depth = names.depth(state, stack.prefix.split("{i}")[0])
        for i in depth:
            prefix = stack.prefix.replace("{i}", str(i))
            weights = {key[len(prefix) :]: a for key, a in state.items() if key.startswith(prefix)}
            layer = PlacedLayer(stack, prefix, weights, whole, None, norm_form)
            if alone and stack is stacks[0] and i == depth[0]:
                layer = replace(layer, preceding=start)
            if alone and stack is stacks[-1] and i == depth[-1]:
                layer = replace(layer, following=whole)
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
