"""The cross-check of a network in JAX: a Flax module, or a function of parameters and of what it is run on."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from verify import comparison_network as common
from verify.arrays import in_float64
from verify.bounded import PRECISIONS
from verify.capture_error import CaptureError, require_calls
from verify.capture_jax import Watched, first_array, watch
from verify.comparison import CrossCheck
from verify.layouts import chosen
from verify.layouts.layout import Layout, Operator, Tap
from verify.layouts.recognition import constants_in, operators_of_any_heads


def network(
    target: Any,
    *,
    layout: Layout | str | None,
    constants: dict[str, float],
    inputs: Any,
    seed: int,
    progress: Callable[[str, int], None],
) -> CrossCheck:
    """As `verify.comparison`, of a function or Flax module and its parameters, or of a module of `flax.nnx`."""
    name, made, params = _taken(target)
    own = {str(a.dtype) for a in jax.tree.leaves(params) if _floating(a)}
    state = _by_paths(params)
    for key, a in state.items():
        if not np.isfinite(in_float64(a)).all():
            raise ValueError(f"target must have finite weights, got {a[~np.isfinite(a)][0]} in {key}")
    plan = chosen(layout, state)
    with jax.enable_x64(True):
        run, modules = made(jax.tree.map(partial(_cast, dtype="float64"), params))
        places = operators_of_any_heads(plan, state)
        fed = _fed(plan, state, places, inputs, seed)
        first, numbers = _watched(run, fed[0], modules), {}
        if set(first.calls) != {""}:  # Flax modules
            for tap in common.taps_of(places):
                if str(tap) not in first.tags:
                    require_calls(tap.module or "the network", len(first.calls.get(tap.module, [])))
            parts = {key: calls[0].module for key, calls in first.calls.items()}
            whole = [o for o in places if all(tap.module in parts for tap in common.taps_of([o]))]
            numbers = constants_in(parts, whole)
        operators = common.operators_of(plan, state, constants, numbers)
        runs = [_seen(first, operators)]
        _require_repeatable(runs[0], _seen(_watched(run, fed[0], modules), operators))
        if plan.trunk in first.calls and plan.trunk:
            trunk, tokens = first.calls[plan.trunk][0].again, common.fed(plan, state, operators, seed, trunk=True)
            runs += [_seen(_watched(trunk, Z, modules, plan.trunk), operators) for Z in tokens]
        runs += [_seen(_watched(run, x, modules), operators) for x in fed[1:]]
        loud_run, loud_modules = made(_louder(params, state, operators))
        loud = _seen(_watched(loud_run, fed[0], loud_modules), operators)
        findings = tuple(common.judged(operators, runs, partial(_alone, first), loud, seed=seed, progress=progress))
    within = {}
    if len(own) == 1 and own != {"float64"} and (p := PRECISIONS.get(*own)):
        run, modules = made(params)
        within = common.within(operators, findings, _seen(_watched(run, _cast(fed[0], *own), modules), operators), p)
    return CrossCheck(name, plan.name, findings, within, common.not_judged(state, plan, operators))


Made = Callable[[Any], tuple[Callable[[Any], Any], Mapping[str, Any]]]
"""Of parameters: the network, and its modules by their places if they are those of `flax.nnx`."""


def _taken(target: Any) -> tuple[str, Made, Any]:
    """What it is called, the network of its parameters, and these."""
    if not isinstance(target, tuple):
        from flax import nnx

        graph, weights, rest = nnx.split(target, nnx.Param, ...)

        def merged(params: Any) -> tuple[Callable[[Any], Any], Mapping[str, Any]]:
            model = nnx.merge(graph, params, rest)
            model.eval()
            return model, {"/".join(map(str, path)): module for path, module in nnx.iter_modules(model)}

        return type(target).__name__, merged, weights
    f, params = target
    linen = sys.modules.get("flax.linen")
    if linen is not None and isinstance(f, linen.Module):
        return type(f).__name__, lambda p: (partial(f.apply, p if "params" in p else {"params": p}), {}), params
    return getattr(f, "__name__", type(f).__name__), lambda p: (partial(f, p), {}), params


def _by_paths(params: Any) -> dict[str, np.ndarray]:
    """Parameters by their paths, ``blocks/0/attend/kernel``. A leading ``params`` goes."""
    leaves, _ = jax.tree_util.tree_flatten_with_path(params)
    return {_path(path): np.asarray(a, np.float64) if _floating(a) else np.asarray(a) for path, a in leaves}


def _path(keys: Any) -> str:
    name = jax.tree_util.keystr(keys, simple=True, separator="/").removesuffix("/value")
    return name.removeprefix("params/")


def _louder(params: Any, state: Mapping[str, np.ndarray], operators: Sequence[Operator]) -> Any:
    """Parameters in float64 whose LayerNorms give more."""
    scales = [a for operator in operators if operator.kind == "layer_norm" for a in operator.weights.values()]
    names = {name for name, a in state.items() if any(a is scale for scale in scales)}

    def louder(keys: Any, a: Any) -> Any:
        return _cast(a, "float64") * common.LOUDER if _path(keys) in names else _cast(a, "float64")

    return jax.tree_util.tree_map_with_path(louder, params)


def _floating(a: Any) -> bool:
    return hasattr(a, "dtype") and jnp.issubdtype(a.dtype, jnp.floating)


def _cast(a: Any, dtype: str) -> Any:
    return jnp.asarray(a, dtype) if _floating(a) else a


def _fed(plan: Layout, state: Mapping[str, Any], places: Sequence[Operator], inputs: Any, seed: int) -> list[Any]:
    if inputs is not None:
        return [_cast(np.asarray(inputs), "float64")]
    if plan.trunk and plan.inputs(state, seed) is None:
        raise ValueError(f"inputs must be given: what the network takes, whose tokens are those of {plan.trunk}")
    return common.fed(plan, state, places, seed)


def _watched(run: Callable[[Any], Any], given: Any, modules: Mapping[str, Any], place: str = "") -> Watched:
    try:
        return watch(run, jnp.asarray(given), place=place, modules=modules)
    except CaptureError:
        raise
    except Exception as error:
        what = f"{tuple(np.shape(given))} in {np.asarray(given).dtype}"
        raise CaptureError(
            f"the network must run on {what}, or on inputs that are given; got {type(error).__name__}: {error}"
        ) from error


def _seen(watched: Watched, operators: Sequence[Operator]) -> dict[Tap, np.ndarray]:
    """What passed the taps. Of a value that has several names, as it is passed on, one will do."""
    found = {tap: watched.at(tap) for tap in common.taps_of(operators)}
    joined = [(operator.reads[0], operator.gives) for operator in operators if operator.kind == "passed_on"]
    for one, other in (*joined, *reversed(joined)):
        for source, tap in ((one, other), (other, one)):
            if found[tap] is None:
                found[tap] = found[source]
    for tap, value in found.items():
        if value is None:
            tags = ", ".join(map(repr, watched.tags)) or "none"
            raise CaptureError(
                f"the network must show {str(tap)!r}, by a Flax module there or by a tag of this text "
                f"(jax.ad_checkpoint.checkpoint_name); got the tags {tags}"
            )
    return {tap: in_float64(value) for tap, value in found.items()}


def _require_repeatable(once: common.Seen, again: common.Seen) -> None:
    for tap, a in once.items():
        if not np.array_equal(a, again[tap], equal_nan=True):
            gap = np.max(np.abs(a - again[tap])) if a.shape == again[tap].shape else np.inf
            raise CaptureError(f"the {tap} must be the same for the same input, got another by up to {gap:.2g}")


def _alone(first: Watched, operator: Operator, Z: np.ndarray, *others: np.ndarray) -> np.ndarray | None:
    """What the module gives that was seen there; None of a plain function, and of what reads more than tokens."""
    calls = first.calls.get(operator.gives.module)
    if not operator.gives.module or calls is None or others:
        return None
    try:
        result = calls[0].again(jnp.asarray(Z))
    except Exception as error:
        raise CaptureError(
            f"{operator.name} must take tokens {Z.shape} in float64, got {type(error).__name__}: {error}"
        ) from error
    return in_float64(first_array(result, operator.name))
