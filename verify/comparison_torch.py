"""The cross-check of a torch network: its operators fed one by one, and watched at work."""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from verify import comparison_network as common
from verify.arrays import in_float64
from verify.bounded import PRECISIONS
from verify.capture import CaptureError, capture, given_by, refuse_compiled
from verify.comparison import CrossCheck
from verify.layouts import chosen, constants_of
from verify.layouts.layout import Layout, Operator, Tap


def network(
    model: nn.Module,
    *,
    layout: Layout | str | None,
    constants: dict[str, float],
    inputs: Any,
    seed: int,
    progress: Callable[[str, int], None],
) -> CrossCheck:
    """As `verify.comparison`, of a torch Module."""
    if not isinstance(model, nn.Module):
        raise TypeError(
            "target must be a torch Module, a Flax module or a function with its parameters, or Subjects, "
            f"got {type(model).__name__}"
        )
    refuse_compiled(model)
    state = model.state_dict()
    for name, a in state.items():
        if (a.is_floating_point() or a.is_complex()) and not torch.isfinite(a).all():
            raise ValueError(f"target must have finite weights, got {a[~torch.isfinite(a)][0]} in {name}")
    plan = chosen(layout, state)
    exact = _in_float64(model)
    operators = common.operators_of(plan, exact.state_dict(), constants, constants_of(model, plan))
    fed = common.fed(plan, state, operators, seed) if inputs is None else [inputs]
    runs = [_seen(exact, plan, operators, Z, torch.float64) for Z in fed]
    alone = partial(_alone, dict(exact.named_modules(remove_duplicate=False)))
    loud = _seen(_louder(exact, operators), plan, operators, fed[0], torch.float64)
    findings = tuple(common.judged(operators, runs, alone, loud, seed=seed, progress=progress))
    dtypes = {a.dtype for a in state.values() if a.is_floating_point()}
    own = {}
    if len(dtypes) == 1 and dtypes != {torch.float64} and (p := PRECISIONS.get(_name(*dtypes))):
        own = common.within(operators, findings, _seen(model, plan, operators, fed[0], *dtypes), p)
    return CrossCheck(type(model).__name__, plan.name, findings, own, common.not_judged(state, plan, operators))


def _in_float64(model: nn.Module) -> nn.Module:
    try:
        exact = copy.deepcopy(model).double().eval()
    except Exception as error:
        raise CaptureError(f"the model must allow a copy in float64, got {type(error).__name__}: {error}") from error
    return exact._apply(lambda a: a.to(torch.complex128) if a.is_complex() else a)


def _louder(exact: nn.Module, operators: tuple[Operator, ...]) -> nn.Module:
    """A copy whose LayerNorms give more."""
    scales = {a.data_ptr() for o in operators if o.kind == "layer_norm" for a in o.weights.values()}
    louder = copy.deepcopy(exact)
    state, copied = exact.state_dict(), louder.state_dict()
    for name, a in state.items():
        if a.data_ptr() in scales:
            copied[name].mul_(common.LOUDER)  # the memory of the copy's own parameter
    return louder


def _name(dtype: torch.dtype) -> str:
    return str(dtype).removeprefix("torch.")


def _seen(
    model: nn.Module, plan: Layout, operators: tuple[Operator, ...], given: Any, dtype: torch.dtype
) -> dict[Tap, np.ndarray]:
    """What passes the taps when the trunk is run."""
    Z = given if isinstance(given, Tensor) else torch.as_tensor(np.asarray(given))
    Z = Z.to(dtype) if Z.is_floating_point() else Z
    passed = capture(model, partial(_run, plan, model.get_submodule(plan.trunk), Z), common.taps_of(operators))
    return {tap: in_float64(a) for tap, a in passed.items()}


def _run(plan: Layout, trunk: nn.Module, given: Tensor) -> None:
    try:
        plan.run(trunk, given)
    except CaptureError:
        raise
    except Exception as error:
        what = f"{tuple(given.shape)} in {_name(given.dtype)}"
        raise CaptureError(
            f"the network must run on tokens {what}, or on inputs that are given; got {type(error).__name__}: {error}"
        ) from error


def _alone(modules: Mapping[str, nn.Module], operator: Operator, *reads: np.ndarray) -> np.ndarray:
    Z, *others = map(torch.tensor, reads)
    if operator.kind == "redunet_fourier":
        Z = torch.view_as_complex(Z)
    beside = {tap.argument: a for tap, a in zip(operator.reads[1:], others, strict=True)}
    with torch.no_grad():
        try:
            result = modules[operator.gives.module](Z, **beside)
        except Exception as error:
            shapes = " and ".join(str(a.shape) for a in reads)
            raise CaptureError(
                f"{operator.name} must take tokens {shapes} in float64, got {type(error).__name__}: {error}"
            ) from error
    return in_float64(given_by(result, operator.name))
