"""The cross-check of a torch network: its operators fed one by one, and watched at work."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from verify.bounded import PRECISIONS
from verify.capture import CaptureError, capture, given_by, refuse_compiled
from verify.comparison import CrossCheck, Finding, tokens
from verify.forms import KINDS, Form
from verify.layouts import LAYOUTS, constants_of, recognise
from verify.layouts.description import heads_of
from verify.layouts.layout import Layout, Operator
from verify.matching import Example, match

TOKENS = 6
"""Tokens of a set that operators are fed."""
LONGEST = 37
"""Of the longest set that the network is fed: more than one class token and a square, and no square of pools."""


def network(
    model: nn.Module, *, layout: Layout | str | None, constants: dict[str, float], inputs: Any, seed: int
) -> CrossCheck:
    """As `verify.comparison`, of a torch Module."""
    if not isinstance(model, nn.Module):
        raise TypeError(f"target must be a torch Module or Subjects, got {type(model).__name__}")
    refuse_compiled(model)
    state = model.state_dict()
    for name, a in state.items():
        if a.is_floating_point() and not torch.isfinite(a).all():
            raise ValueError(f"target must have finite weights, got {a[~torch.isfinite(a)][0]} in {name}")
    if isinstance(layout, str) and layout not in LAYOUTS:
        raise ValueError(f"layout must be one of {', '.join(LAYOUTS)}, got {layout!r}")
    plan = recognise(state) if layout is None else LAYOUTS[layout] if isinstance(layout, str) else layout
    constants = {**constants_of(model), **constants}
    exact = _in_float64(model)
    operators = plan.operators(exact.state_dict(), **_accepted(plan, constants))
    for operator in operators:
        if operator.kind not in KINDS:
            raise ValueError(f"layout must have operators of known kinds, got {operator.kind} in {plan.name}")
        projection = operator.weights.get("projection", operator.weights.get("value"))
        if projection is not None and "heads" in operator.constants:
            heads_of(projection, int(operator.constants["heads"]))  # where heads that do not fit are named
    trunk = exact.get_submodule(plan.trunk)
    fed = _trunk_inputs(operators, _longest(plan, state), inputs, seed)
    taps = [tap for operator in operators for tap in (*operator.reads, operator.gives)]
    runs = [capture(exact, partial(_run, trunk, Z), taps) for Z in fed]
    modules = dict(exact.named_modules(remove_duplicate=False))
    findings, last = [], {}
    for operator in operators:
        examples = [
            Example(tuple(_plain(passed[tap]) for tap in operator.reads), _plain(passed[operator.gives]))
            for passed in runs
        ]
        if _alone(operator):
            longest = max(example.reads[0].shape[-2] for example in examples)
            examples += _fed(modules[operator.gives.module], operator, longest, seed)
        found = match(
            operator.kind,
            examples,
            operator.weights,
            operator.constants,
            wanted=operator.form,
            first=last.get(operator.kind),
        )
        last[operator.kind] = found.form
        findings.append(Finding(operator.name, found, len(examples)))
    own = _own_precision(model, plan, operators, {finding.operator: finding.match.form for finding in findings}, fed[0])
    return CrossCheck(type(model).__name__, plan.name, tuple(findings), own, _not_judged(state, plan, operators))


def _in_float64(model: nn.Module) -> nn.Module:
    try:
        return copy.deepcopy(model).double().eval()
    except Exception as error:
        raise CaptureError(f"the model must allow a copy in float64, got {type(error).__name__}: {error}") from error


def _accepted(plan: Layout, constants: Mapping[str, float]) -> dict[str, float]:
    """Those of the constants that the layout has a use for."""
    import inspect

    known = inspect.signature(plan.operators).parameters
    if any(parameter.kind is parameter.VAR_KEYWORD for parameter in known.values()):
        return dict(constants)
    return {name: value for name, value in constants.items() if name in known}


def _longest(plan: Layout, state: Mapping[str, Tensor]) -> int:
    """No more tokens than the network has places for, if its sheet tells them."""
    places = None if plan.names is None else plan.names.sizes(state).get("n")
    return LONGEST if places is None else min(LONGEST, places)


def _trunk_inputs(operators: tuple[Operator, ...], longest: int, inputs: Any, seed: int) -> list[Tensor]:
    """What was given, or tokens of every size: a fault between operators may show in some alone."""
    if inputs is not None:
        given = inputs if isinstance(inputs, Tensor) else torch.as_tensor(np.asarray(inputs))
        return [given.double() if given.is_floating_point() else given]
    alone = [operator for operator in operators if _alone(operator)]
    first = next((operator for operator in alone if operator.kind != "layer_norm"), alone[0])
    sets = tokens(first.kind, first.weights, n=TOKENS, longest=longest, seed=seed)
    return [torch.as_tensor(Z) for (Z,) in sets]


def _run(trunk: nn.Module, given: Tensor) -> None:
    try:
        trunk(given)
    except CaptureError:
        raise
    except Exception as error:
        what = f"{tuple(given.shape)} in {str(given.dtype).removeprefix('torch.')}"
        raise CaptureError(
            f"the network must run on tokens {what}, or on inputs that are given; got {type(error).__name__}: {error}"
        ) from error


def _not_judged(state: Mapping[str, Tensor], plan: Layout, operators: tuple[Operator, ...]) -> tuple[str, ...]:
    """The parts with weights that no operator is in, each by the shortest name that says so."""
    places = {tap.module for operator in operators for tap in (*operator.reads, operator.gives)} - {"", plan.trunk}
    judged = {name for name in state if any(name.startswith(f"{place}.") for place in places)}
    found = {}
    for name in (name for name in state if name not in judged):
        parts = name.split(".")
        starts = [".".join(parts[:k]) for k in range(1, len(parts) + 1)]
        found[next((s for s in starts if not any(f"{j}.".startswith(f"{s}.") for j in judged)), name)] = True
    return tuple(found)


def _alone(operator: Operator) -> bool:
    """Whether it is one submodule at work, which can be called by itself."""
    return (
        len(operator.reads) == 1
        and operator.reads[0].module == operator.gives.module
        and (operator.reads[0].side, operator.gives.side) == ("input", "output")
    )


def _fed(module: nn.Module, operator: Operator, longest: int, seed: int) -> list[Example]:
    examples = []
    for (Z,) in tokens(operator.kind, operator.weights, n=TOKENS, longest=longest, seed=seed):
        with torch.no_grad():
            try:
                result = module(torch.tensor(Z))
            except Exception as error:
                raise CaptureError(
                    f"{operator.name} must take tokens {Z.shape} in float64, got {type(error).__name__}: {error}"
                ) from error
        examples.append(Example((Z,), _plain(given_by(result, operator.name))))
    return examples


def _own_precision(
    model: nn.Module, plan: Layout, operators: tuple[Operator, ...], forms: Mapping[str, Form], given: Tensor
) -> dict[str, bool]:
    dtypes = {a.dtype for a in model.state_dict().values() if a.is_floating_point()}
    if dtypes == {torch.float64} or len(dtypes) != 1:
        return {}
    dtype = dtypes.pop()
    precision = PRECISIONS.get(str(dtype).removeprefix("torch."))
    if precision is None:
        return {}
    taps = [tap for operator in operators for tap in (*operator.reads, operator.gives)]
    trunk = model.get_submodule(plan.trunk)
    passed = capture(model, lambda: _run(trunk, given.to(dtype) if given.is_floating_point() else given), taps)
    from verify.bounded import exact

    within = {}
    for operator in operators:
        reads = tuple(exact(_plain(passed[tap]), precision) for tap in operator.reads)
        weights = {name: _plain(a) for name, a in operator.weights.items()}
        wanted = forms[operator.name](*reads, weights=weights, constants=operator.constants)
        gap = np.abs(_plain(passed[operator.gives]) - wanted.value)
        within[operator.name] = bool((gap <= wanted.error).all())
    return within


def _plain(a: Tensor) -> np.ndarray:
    return a.detach().cpu().double().numpy().copy()  # it may be a buffer that the next call writes to
