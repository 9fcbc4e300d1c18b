"""What goes into the submodules of a torch network and what comes out, while it runs, and proof that it is that."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from verify.capture_error import CaptureError, require_calls
from verify.layouts.layout import Tap

__all__ = ["Call", "CaptureError", "capture", "given_by", "refuse_compiled"]


@dataclass(frozen=True, eq=False)
class Call:
    """One call of a submodule: all that it was given, copies of the tensors that are watched and of what it gave."""

    args: tuple[Any, ...]
    kwargs: Mapping[str, Any]
    starts: Mapping[str, Tensor]
    """By the names of arguments; the first has the name ``""``."""
    result: Tensor

    def at(self, tap: Tap) -> Tensor:
        """What passed a tap of the submodule."""
        return self.starts[tap.argument] if tap.side == "input" else self.result


def capture(
    model: nn.Module, run: Callable[[], Any], taps: Iterable[Tap], *, calls: int = 1, replay: bool = True
) -> dict[Tap, Tensor]:
    """Run a network once and keep copies of what passes its taps.

    The network is in evaluation mode and without gradients meanwhile, and afterwards as it was.

    Parameters
    ----------
    model : Module
    run : callable
        Runs it, ``lambda: model(images)``.
    taps : iterable of Tap
    calls : int
        How often each submodule is to be called.
    replay : bool
        Whether to run each submodule once more, alone, and compare.

    Returns
    -------
    dict of Tap to Tensor

    Raises
    ------
    CaptureError
        The model is compiled or scripted, whose submodules cannot be watched; it has no such submodule; one was
        called another number of times (not at all, if its parent takes its weights; twice, if it is shared),
        changes its input in place, does not take a tensor where it is watched and give one, or gives another output
        for its input again.
    """
    taps = tuple(taps)
    refuse_compiled(model)
    modules = dict(model.named_modules(remove_duplicate=False))
    for tap in taps:
        if tap.module not in modules:
            raise CaptureError(f"the model must have a submodule {tap.module!r}, got none of that name")
    names = tuple(dict.fromkeys(tap.module for tap in taps))
    _refuse_shared(modules, names)
    seen: dict[str, list[Call]] = {name: [] for name in names}
    watched = {name: ["", *sorted({tap.argument for tap in taps if tap.module == name} - {""})] for name in names}
    starts: dict[str, list[Mapping[str, Tensor]]] = {name: [] for name in names}

    def taken(module: nn.Module, args: tuple[Any, ...], kwargs: Mapping[str, Any], name: str) -> dict[str, Tensor]:
        return {argument: _taken(module, args, kwargs, argument, name) for argument in watched[name]}

    def before(name: str) -> Callable[..., None]:
        def hook(module: nn.Module, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> None:
            starts[name].append({key: a.detach().clone() for key, a in taken(module, args, kwargs, name).items()})

        return hook

    def after(name: str) -> Callable[..., None]:
        def hook(module: nn.Module, args: tuple[Any, ...], kwargs: Mapping[str, Any], result: Any) -> None:
            start = starts[name].pop()
            if not all(_equal(start[key], a) for key, a in taken(module, args, kwargs, name).items()):
                raise CaptureError(f"{name} must leave its input as it is, got one that it changed in place")
            seen[name].append(Call(args, dict(kwargs), start, given_by(result, name).detach().clone()))

        return hook

    modes = {module: module.training for module in model.modules()}
    with ExitStack() as undo, torch.no_grad():
        undo.callback(lambda: [setattr(module, "training", mode) for module, mode in modes.items()])
        model.eval()
        handles = ExitStack()
        undo.enter_context(handles)
        for name in names:
            for handle in (
                modules[name].register_forward_pre_hook(before(name), with_kwargs=True),
                modules[name].register_forward_hook(after(name), with_kwargs=True),
            ):
                handles.callback(handle.remove)
        run()
        for name, found in seen.items():
            require_calls(name, len(found), calls)
        handles.close()
        for name, found in seen.items() if replay else ():
            _replay(modules[name], name, found[0])
    return {tap: seen[tap.module][0].at(tap) for tap in taps}


def given_by(result: Any, name: str) -> Tensor:
    """The tensor that a module gives: what it returns, or the first of several.

    Raises
    ------
    CaptureError
        That is no tensor.
    """
    given = result
    if isinstance(result, tuple | list) and result:
        given = result[0]
    elif isinstance(result, Mapping) and result:
        given = next(iter(result.values()))
    if not isinstance(given, Tensor):
        raise CaptureError(f"{name} must give a tensor, got {type(given).__name__}")
    return given


def refuse_compiled(model: nn.Module) -> None:
    """Refuse what does not call its submodules as they are.

    Raises
    ------
    CaptureError
        Some part of the model is compiled or scripted.
    """
    for name, module in model.named_modules():
        compiled = getattr(module, "_compiled_call_impl", None) is not None or hasattr(module, "_orig_mod")
        if compiled or isinstance(module, torch.jit.ScriptModule):
            raise CaptureError(
                f"the model must not be compiled or scripted, got such a module at {name or 'its top'!r}; "
                "give the module it was made from"
            )


def _refuse_shared(modules: Mapping[str, nn.Module], names: tuple[str, ...]) -> None:
    owners: dict[nn.Module, str] = {}
    for name in names:
        owner = owners.setdefault(modules[name], name)
        if owner != name:
            raise CaptureError(f"{name} must be a submodule of its own, got one that is shared with {owner}")


def _replay(module: nn.Module, name: str, call: Call) -> None:
    given: dict[int | str, Any] = {**dict(enumerate(call.args)), **call.kwargs}
    given |= {_place(module, call.args, call.kwargs, argument): a.clone() for argument, a in call.starts.items()}
    kwargs = {key: value for key, value in given.items() if isinstance(key, str)}
    again = given_by(module(*(given[i] for i in range(len(call.args))), **kwargs), name)
    if not _equal(again, call.result):
        gap = float((again.double() - call.result.double()).abs().max())
        raise CaptureError(f"{name} must give the same for the same input, got another by up to {gap:.2g}")


def _equal(a: Tensor, b: Tensor) -> bool:
    """Whether they are the same, not-a-number where the other is that too."""
    return torch.equal(a, b) or (a.shape == b.shape and bool(((a == b) | (a.isnan() & b.isnan())).all()))


def _place(module: nn.Module, args: tuple[Any, ...], kwargs: Mapping[str, Any], argument: str) -> int | str:
    """Where among those of a call an argument is: its number, or its name where it is given by that."""
    if not argument and args:
        return 0
    names = list(inspect.signature(module.forward).parameters)
    if not argument:  # the first that it takes, in whatever order names are given
        return next((name for name in (*names, *kwargs) if name in kwargs), 0)
    return argument if argument in kwargs or argument not in names else names.index(argument)


def _taken(module: nn.Module, args: tuple[Any, ...], kwargs: Mapping[str, Any], argument: str, name: str) -> Tensor:
    given = {**dict(enumerate(args)), **kwargs}.get(_place(module, args, kwargs, argument))
    if not isinstance(given, Tensor):
        which = f"as {argument!r}" if argument else "first"
        raise CaptureError(f"{name} must take a tensor {which}, got {type(given).__name__}")
    return given
