"""F(A, w) = ½ log det(I + c Aᵀ Diag(w) A) with its closed-form derivatives, for torch and JAX to differentiate through.

Neither library's own derivative of a factorisation survives a zero token, a singular class or equal singular values;
the closed form does. First derivatives are those of ``_logdet``; second derivatives come from differentiating the
closed form written as a linear solve.
"""

from __future__ import annotations

import sys
from functools import cache
from typing import Any

import array_api_compat as compat

from srr import _logdet
from srr._arrays import Array


def half_logdet(A: Array, w: Array | None, root: float, method: str) -> Array:
    """F over a stack A ``(..., n, q)`` with weights w ``(..., n)`` or None, differentiable in both."""
    if _torch_tracks(A, w):
        return _torch_functions()[0].apply(A, w, root, method)
    if _jax_traces(A, w):
        return _jax_functions()[0](A, w, root, method)
    return _value(A, w, root, method)


def half_logdet_and_gradient(A: Array, w: Array | None, root: float, method: str) -> tuple[Array, Array]:
    """F and ∂F/∂A from one factorisation, differentiable in both arguments."""
    if _torch_tracks(A, w):
        value, gradient = _torch_functions()[1].apply(A, w, root, method)
        return value, gradient
    if _jax_traces(A, w):
        return _jax_functions()[1](A, w, root, method)  # type: ignore[no-any-return]
    return _value_and_gradient(A, w, root, method)


def tracks(*arrays: Array | None) -> bool:
    """Whether a derivative with respect to one of the arrays may be asked for."""
    return _torch_tracks(*arrays) or _jax_traces(*arrays)


def _value(A: Array, w: Array | None, root: float, method: str) -> Array:
    return _logdet.half_logdet(_weighted(A, w), root, method=method, gradient=False).value


def _value_and_gradient(A: Array, w: Array | None, root: float, method: str) -> tuple[Array, Array]:
    factored = _logdet.half_logdet(_weighted(A, w), root, method=method, gradient=True)
    return factored.value, _weighted(factored.gradient, w)


def _weighted(A: Array, w: Array | None) -> Array:
    return A if w is None else A * compat.array_namespace(w).sqrt(w)[..., None]


def _torch_tracks(*arrays: Array | None) -> bool:
    return any(
        a is not None
        and compat.is_torch_array(a)
        and (a.requires_grad and sys.modules["torch"].is_grad_enabled() or _in_functorch(a))
        for a in arrays
    )


def _in_functorch(a: Array) -> bool:
    return bool(sys.modules["torch"]._C._functorch.is_functorch_wrapped_tensor(a))


def _jax_traces(*arrays: Array | None) -> bool:
    return any(
        a is not None and compat.is_jax_array(a) and isinstance(a, sys.modules["jax"].core.Tracer) for a in arrays
    )


@cache
def _torch_functions() -> tuple[Any, Any]:
    import torch

    class HalfLogdet(torch.autograd.Function):
        generate_vmap_rule = True

        @staticmethod
        def forward(A, w, root, method):  # type: ignore[no-untyped-def]
            return _value_and_gradient(A, w, root, method)

        @staticmethod
        def setup_context(ctx, inputs, output):  # type: ignore[no-untyped-def]
            A, w, ctx.root, ctx.method = inputs
            ctx.mark_non_differentiable(output[1])
            ctx.save_for_backward(A, w, output[1])

        @staticmethod
        def backward(ctx, cotangent, _):  # type: ignore[no-untyped-def]
            A, w, gradient = ctx.saved_tensors
            if torch.is_grad_enabled():  # a second derivative is wanted
                gradient = ValueAndGradient.apply(A, w, ctx.root, ctx.method)[1]
            to_A = cotangent[..., None, None] * gradient if ctx.needs_input_grad[0] else None
            to_w = None
            if ctx.needs_input_grad[1]:
                to_w = cotangent[..., None] * WeightGradient.apply(A, w, ctx.root)
            return to_A, to_w, None, None

    class ValueAndGradient(torch.autograd.Function):
        generate_vmap_rule = True

        @staticmethod
        def forward(A, w, root, method):  # type: ignore[no-untyped-def]
            return _value_and_gradient(A, w, root, method)

        @staticmethod
        def setup_context(ctx, inputs, output):  # type: ignore[no-untyped-def]
            A, w, ctx.root, ctx.method = inputs
            ctx.save_for_backward(A, w)

        @staticmethod
        def backward(ctx, to_value, to_gradient):  # type: ignore[no-untyped-def]
            A, w = ctx.saved_tensors
            inputs = (A,) if w is None else (A, w)
            with torch.enable_grad():
                parts = _torch_vjp(
                    lambda A, w=None: (
                        HalfLogdetOnly(A, w, ctx.root, ctx.method),
                        _logdet.gradient_by_solve(A, w, ctx.root),
                    ),
                    inputs,
                    (to_value, to_gradient),
                )
            return *parts, *([None] if w is None else []), None, None

    class WeightGradient(torch.autograd.Function):
        generate_vmap_rule = True

        @staticmethod
        def forward(A, w, root):  # type: ignore[no-untyped-def]
            return _logdet.weight_gradient(A, w, root)

        @staticmethod
        def setup_context(ctx, inputs, output):  # type: ignore[no-untyped-def]
            A, w, ctx.root = inputs
            ctx.save_for_backward(A, w)

        @staticmethod
        def backward(ctx, cotangent):  # type: ignore[no-untyped-def]
            A, w = ctx.saved_tensors
            with torch.enable_grad():
                parts = _torch_vjp(
                    lambda A, w: (_logdet.weight_gradient_by_solve(A, w, ctx.root),), (A, w), (cotangent,)
                )
            return *parts, None

    def HalfLogdetOnly(A, w, root, method):  # type: ignore[no-untyped-def]
        return HalfLogdet.apply(A, w, root, method)[0]

    def _torch_vjp(f, inputs, cotangents):  # type: ignore[no-untyped-def]
        return torch.func.vjp(f, *inputs)[1](cotangents)

    class First:
        apply = staticmethod(HalfLogdetOnly)

    return First, ValueAndGradient


@cache
def _jax_functions() -> tuple[Any, Any]:
    from functools import partial

    import jax
    from jax.custom_derivatives import SymbolicZero

    def instantiate(tangent, primal):  # type: ignore[no-untyped-def]
        return jax.numpy.zeros_like(primal) if isinstance(tangent, SymbolicZero) else tangent

    @partial(jax.custom_jvp, nondiff_argnums=(2, 3))
    def value(A, w, root, method):  # type: ignore[no-untyped-def]
        return _value(A, w, root, method)

    def value_rule(root, method, primals, tangents):  # type: ignore[no-untyped-def]
        (A, w), (dA, dw) = primals, tangents
        out, gradient = value_and_gradient(A, w, root, method)
        change = jax.numpy.zeros_like(out)
        if not isinstance(dA, SymbolicZero):
            change = change + jax.numpy.sum(gradient * dA, axis=(-2, -1))
        if w is not None and not isinstance(dw, SymbolicZero):
            change = change + jax.numpy.sum(weight_gradient(A, w, root) * dw, axis=-1)
        return out, change

    value.defjvp(value_rule, symbolic_zeros=True)

    @partial(jax.custom_jvp, nondiff_argnums=(2, 3))
    def value_and_gradient(A, w, root, method):  # type: ignore[no-untyped-def]
        return _value_and_gradient(A, w, root, method)

    def value_and_gradient_rule(root, method, primals, tangents):  # type: ignore[no-untyped-def]
        (A, w), (dA, dw) = primals, tangents
        out, change = value_rule(root, method, primals, tangents)
        gradient = value_and_gradient(A, w, root, method)[1]
        if w is None:
            turn = jax.jvp(lambda A: _logdet.gradient_by_solve(A, None, root), (A,), (instantiate(dA, A),))[1]
        else:
            both = (instantiate(dA, A), instantiate(dw, w))
            turn = jax.jvp(lambda A, w: _logdet.gradient_by_solve(A, w, root), (A, w), both)[1]
        return (out, gradient), (change, turn)

    value_and_gradient.defjvp(value_and_gradient_rule, symbolic_zeros=True)

    @partial(jax.custom_jvp, nondiff_argnums=(2,))
    def weight_gradient(A, w, root):  # type: ignore[no-untyped-def]
        return _logdet.weight_gradient(A, w, root)

    @weight_gradient.defjvp
    def weight_gradient_rule(root, primals, tangents):  # type: ignore[no-untyped-def]
        turn = jax.jvp(lambda A, w: _logdet.weight_gradient_by_solve(A, w, root), primals, tangents)[1]
        return weight_gradient(*primals, root), turn

    return value, value_and_gradient
