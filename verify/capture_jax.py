"""What goes into the parts of a JAX network and what comes out, while it runs.

Flax modules are seen as they are called. Of a plain function the values are seen that carry a tag, as in
``jax.ad_checkpoint.checkpoint_name(z, "input of blocks/0/attend")``, which changes nothing: the text of a `Tap`.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import jax
import numpy as np
from jax.extend.core.primitives import name_p

from verify.capture_error import CaptureError, require_calls
from verify.layouts.layout import Tap


@dataclass(frozen=True, eq=False)
class Call:
    """One call of a Flax module: what came in first and what came out, and how to call it again on something else."""

    module: Any
    start: Any
    result: Any
    again: Callable[[Any], Any]


@dataclass(frozen=True, eq=False)
class Watched:
    """What was seen in one run: calls of Flax modules by their places, ``blocks/0/attend``, values by their tags."""

    calls: dict[str, list[Call]] = field(default_factory=dict)
    tags: dict[str, list[Any]] = field(default_factory=dict)

    def at(self, tap: Tap) -> Any:
        """What passed a tap; None if nothing was seen there.

        Raises
        ------
        CaptureError
            More than once.
        """
        tagged = self.tags.get(str(tap), [])
        if tagged:
            require_calls(f"the tag {str(tap)!r}", len(tagged))
            return tagged[0]
        if tap.module not in self.calls or tap.argument:
            return None
        require_calls(tap.module or "the network", len(self.calls[tap.module]))
        (call,) = self.calls[tap.module]
        return call.start if tap.side == "input" else call.result


def watch(
    run: Callable[[Any], Any], given: Any, *, place: str = "", modules: Mapping[str, Any] | None = None
) -> Watched:
    """Run a function step by step, whatever of it is compiled, and keep what is seen.

    Parameters
    ----------
    run : callable
        The network, or the part of it at ``place``, of what it is run on.
    given : array
    place : str
    modules : mapping, optional
        Of a network of `flax.nnx`: its modules by their places.

    Returns
    -------
    Watched
        Also what came in and what came out as the input and output of ``place``.

    Raises
    ------
    CaptureError
        Something was seen inside ``vmap``, ``scan`` or ``grad``, where it has no value.
    """
    seen = Watched()
    with ExitStack() as undo:
        undo.enter_context(jax.disable_jit())
        undo.enter_context(_tags(seen))
        if "flax.linen" in sys.modules:
            undo.enter_context(sys.modules["flax.linen"].intercept_methods(partial(_intercepted, seen, place)))
        undo.enter_context(_nnx(seen, modules or {}))
        result = run(given)
    seen.calls.setdefault(place, [Call(None, given, first_array(result, place), run)])
    return seen


def first_array(result: Any, name: str) -> Any:
    """What a part gives: an array, or the first of several.

    Raises
    ------
    CaptureError
        That is no array.
    """
    given = result
    if isinstance(result, tuple | list) and result:
        given = result[0]
    elif isinstance(result, Mapping) and result:
        given = next(iter(result.values()))
    return _array(given, name or "the network", "give")


@contextmanager
def _tags(seen: Watched) -> Iterator[None]:
    """Tagged values as they are made, which step by step have values."""
    once = name_p.impl

    def tagged(value: Any, *, name: str) -> Any:
        seen.tags.setdefault(name, []).append(value)
        return once(value, name=name)

    name_p.impl = tagged
    try:
        yield
    finally:
        name_p.impl = once


def _intercepted(
    seen: Watched, place: str, following: Callable[..., Any], args: Any, kwargs: Mapping[str, Any], context: Any
) -> Any:
    """One call of a method of a Flax module that is bound to its weights."""
    result = following(*args, **kwargs)
    if context.method_name == "__call__":
        name = "/".join(filter(None, (place, *context.module.path)))
        module, variables = context.module.unbind()
        _keep(seen, name, module, args, kwargs, result, partial(module.apply, variables))
    return result


@contextmanager
def _nnx(seen: Watched, modules: Mapping[str, Any]) -> Iterator[None]:
    """Modules of `flax.nnx` are plain objects: their classes get another ``__call__`` meanwhile."""
    places = {id(module): place for place, module in modules.items()}
    at_work: set[int] = set()

    def wrapped(once: Callable[..., Any]) -> Callable[..., Any]:
        def call(self: Any, *args: Any, **kwargs: Any) -> Any:
            if id(self) not in places or id(self) in at_work:  # at work where its class calls that of its parent
                return once(self, *args, **kwargs)
            at_work.add(id(self))
            try:
                result = once(self, *args, **kwargs)
            finally:
                at_work.remove(id(self))
            _keep(seen, places[id(self)], self, args, kwargs, result, self)
            return result

        return call

    with ExitStack() as undo:
        for cls in {type(module) for module in modules.values() if callable(module)}:
            own = "__call__" in cls.__dict__
            undo.callback(setattr, cls, "__call__", cls.__call__) if own else undo.callback(delattr, cls, "__call__")
            cls.__call__ = wrapped(cls.__call__)
        yield


def _keep(
    seen: Watched, name: str, module: Any, args: Any, kwargs: Mapping[str, Any], result: Any, call: Callable[..., Any]
) -> None:
    first = args[0] if args else next(iter(kwargs.values()), None)
    start = _array(first, name or "the network", "take")

    def again(Z: Any) -> Any:
        if args:
            return call(Z, *args[1:], **kwargs)
        return call(**{key: Z if index == 0 else value for index, (key, value) in enumerate(kwargs.items())})

    seen.calls.setdefault(name, []).append(Call(module, start, first_array(result, name), again))


def _array(a: Any, name: str, verb: str) -> Any:
    if isinstance(a, jax.core.Tracer):
        raise CaptureError(f"{name} must be called outside of vmap, scan and grad, got a value that is traced")
    if not isinstance(a, jax.Array | np.ndarray):
        raise CaptureError(f"{name} must {verb} an array{' first' if verb == 'take' else ''}, got {type(a).__name__}")
    return a
