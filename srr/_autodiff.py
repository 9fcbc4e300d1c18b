"""F(A, w) = ½ log det(I + c Aᵀ Diag(w) A) with closed-form derivatives, for torch and JAX to differentiate through.

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


def half_logdet(A: Array, w: Array | None, root: float, method: str) -> tuple[Array, Array]:
    """F over a stack A ``(..., n, q)`` with weights w ``(..., n)`` or None, and a bound on its error, a constant."""
    value, error = _functions(A, w)[0](A, w, root, method)
    return value, error


def half_logdet_and_gradient(A: Array, w: Array | None, root: float, method: str) -> tuple[Array, Array, Array]:
    """F, the bound, and ∂F/∂A, from one factorisation; F and ∂F/∂A are differentiable in both arguments."""
    value, error, gradient = _functions(A, w)[1](A, w, root, method)
    return value, error, gradient


def _functions(*arrays: Array | None) -> tuple[Any, Any]:
    if _torch_tracks(*arrays):
        return _torch_functions()
    return _jax_functions() if _jax_traces(*arrays) else (_value, _value_and_gradient)


def tracks(*arrays: Array | None) -> bool:
    """Whether a derivative with respect to one of the arrays may be asked for."""
    return _torch_tracks(*arrays) or _jax_traces(*arrays)


def _value(A: Array, w: Array | None, root: float, method: str) -> tuple[Array, Array]:
    factored = _logdet.half_logdet(_weighted(A, w), root, method=method)
    return factored.value, factored.error_bound * factored.value


def _value_and_gradient(A: Array, w: Array | None, root: float, method: str) -> tuple[Array, Array, Array]:
    factored = _logdet.half_logdet(_weighted(A, w), root, method=method, gradient=True)
    return factored.value, factored.error_bound * factored.value, _weighted(factored.gradient, w)


def _weighted(A: Array, w: Array | None) -> Array:
    return A if w is None else A * compat.array_namespace(w).sqrt(w)[..., None]


def _torch_tracks(*arrays: Array | None) -> bool:
    return any(
        a is not None
        and compat.is_torch_array(a)
        and ((a.requires_grad and sys.modules["torch"].is_grad_enabled()) or _in_functorch(a))
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

    Function: Any = torch.autograd.Function

    class HalfLogdet(Function):
        """F, with the gradient beside it so that the backward pass factorises nothing."""

        generate_vmap_rule = True

        @staticmethod
        def forward(A: Any, w: Any, root: Any, method: Any) -> Any:
            return _value_and_gradient(A, w, root, method)

        @staticmethod
        def setup_context(ctx: Any, inputs: Any, output: Any) -> Any:
            A, w, ctx.root, ctx.method = inputs
            ctx.mark_non_differentiable(output[1], output[2])
            ctx.save_for_backward(A, w, output[2])
            ctx.save_for_forward(A, w, output[2])

        @staticmethod
        def backward(ctx: Any, cotangent: Any, *_: Any) -> Any:
            A, w, gradient = ctx.saved_tensors
            to_A = to_w = None
            if ctx.needs_input_grad[0]:
                if torch.is_grad_enabled():  # a second derivative may follow
                    gradient = ValueAndGradient.apply(A, w, ctx.root, ctx.method)[2]
                to_A = cotangent[..., None, None] * gradient
            if ctx.needs_input_grad[1]:
                to_w = cotangent[..., None] * WeightGradient.apply(A, w, ctx.root)
            return to_A, to_w, None, None

        @staticmethod
        def jvp(ctx: Any, dA: Any, dw: Any, *_: Any) -> Any:
            A, w, gradient = ctx.saved_tensors
            return _change(gradient, A, w, dA, dw, ctx.root), None, None

    class ValueAndGradient(Function):
        """F and ∂F/∂A, both differentiable."""

        generate_vmap_rule = True

        @staticmethod
        def forward(A: Any, w: Any, root: Any, method: Any) -> Any:
            return _value_and_gradient(A, w, root, method)

        @staticmethod
        def setup_context(ctx: Any, inputs: Any, output: Any) -> Any:
            A, w, ctx.root, ctx.method = inputs
            ctx.mark_non_differentiable(output[1])
            ctx.save_for_backward(A, w)
            ctx.save_for_forward(A, w, output[2])

        @staticmethod
        def backward(ctx: Any, to_value: Any, _: Any, to_gradient: Any) -> Any:
            A, w = ctx.saved_tensors

            def both(A: Any, w: Any = None) -> Any:
                value = HalfLogdet.apply(A, w, ctx.root, ctx.method)[0]
                return value, _logdet.gradient_by_solve(A, w, ctx.root)

            parts = torch.func.vjp(both, A, *([] if w is None else [w]))[1]((to_value, to_gradient))
            return parts[0], None if w is None else parts[1], None, None

        @staticmethod
        def jvp(ctx: Any, dA: Any, dw: Any, *_: Any) -> Any:
            A, w, gradient = ctx.saved_tensors
            turn = _logdet.change_of_gradient(A, w, ctx.root, dA, dw)
            return _change(gradient, A, w, dA, dw, ctx.root), None, turn

    class WeightGradient(Function):
        """∂F/∂w, differentiable."""

        generate_vmap_rule = True

        @staticmethod
        def forward(A: Any, w: Any, root: Any) -> Any:
            return _logdet.weight_gradient(A, w, root)

        @staticmethod
        def setup_context(ctx: Any, inputs: Any, output: Any) -> Any:
            A, w, ctx.root = inputs
            ctx.save_for_backward(A, w)
            ctx.save_for_forward(A, w)

        @staticmethod
        def backward(ctx: Any, cotangent: Any) -> Any:
            plain = torch.func.vjp(lambda A, w: _logdet.weight_gradient_by_solve(A, w, ctx.root), *ctx.saved_tensors)[1]
            return *plain(cotangent), None

        @staticmethod
        def jvp(ctx: Any, dA: Any, dw: Any, _: Any) -> Any:
            A, w = ctx.saved_tensors
            return _logdet.change_of_weight_gradient(A, w, ctx.root, dA, dw)

    def _change(gradient: Any, A: Any, w: Any, dA: Any, dw: Any, root: Any) -> Any:
        change = 0 if dA is None else (gradient * dA).sum((-2, -1))
        return change if dw is None else change + (WeightGradient.apply(A, w, root) * dw).sum(-1)

    def value(A: Any, w: Any, root: Any, method: Any) -> Any:
        return HalfLogdet.apply(A, w, root, method)[:2]

    return value, ValueAndGradient.apply


@cache
def _jax_functions() -> tuple[Any, Any]:
    from functools import partial

    import jax
    from jax.custom_derivatives import SymbolicZero

    def nonzero(tangent: Any) -> Any:
        return None if isinstance(tangent, SymbolicZero) else tangent

    @partial(jax.custom_jvp, nondiff_argnums=(2, 3))
    def value(A: Any, w: Any, root: Any, method: Any) -> Any:
        return _value(A, w, root, method)

    def value_rule(root: Any, method: Any, primals: Any, tangents: Any) -> Any:
        (A, w), (dA, dw) = primals, tangents
        out, error, gradient = value_and_gradient(A, w, root, method)
        change = jax.numpy.zeros_like(out)
        if not isinstance(dA, SymbolicZero):
            change = change + jax.numpy.sum(gradient * dA, axis=(-2, -1))
        if w is not None and not isinstance(dw, SymbolicZero):
            change = change + jax.numpy.sum(weight_gradient(A, w, root) * dw, axis=-1)
        return (out, error), (change, jax.numpy.zeros_like(error))

    value.defjvp(value_rule, symbolic_zeros=True)

    @partial(jax.custom_jvp, nondiff_argnums=(2, 3))
    def value_and_gradient(A: Any, w: Any, root: Any, method: Any) -> Any:
        return _value_and_gradient(A, w, root, method)

    def value_and_gradient_rule(root: Any, method: Any, primals: Any, tangents: Any) -> Any:
        (A, w), (dA, dw) = primals, tangents
        out, change = value_rule(root, method, primals, tangents)
        gradient = value_and_gradient(A, w, root, method)[2]
        turn = _logdet.change_of_gradient(A, w, root, nonzero(dA), nonzero(dw))
        return (*out, gradient), (*change, turn)

    value_and_gradient.defjvp(value_and_gradient_rule, symbolic_zeros=True)

    @partial(jax.custom_jvp, nondiff_argnums=(2,))
    def weight_gradient(A: Any, w: Any, root: Any) -> Any:
        return _logdet.weight_gradient(A, w, root)

    @weight_gradient.defjvp
    def weight_gradient_rule(root: Any, primals: Any, tangents: Any) -> Any:
        (A, w), (dA, dw) = primals, tangents
        return weight_gradient(A, w, root), _logdet.change_of_weight_gradient(A, w, root, dA, dw)

    return value, value_and_gradient
