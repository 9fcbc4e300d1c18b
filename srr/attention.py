r"""The compression half of a layer: the exact gradient step on Rᶜ(Z|U), and attention in its place.

With Y_k = ZU_k ``(n, p)`` and β = p/(n ε²) (the papers' γ), in rows of tokens (N23: Yu et al. 2023, arXiv
2306.01129)::

    exact      Z − κ ∇Rᶜ                         ∇Rᶜ = β Σ_k Y_k (I + β Y_kᵀY_k)⁻¹ U_kᵀ       N23 eq. 9
    neumann    Z − κ (β Σ_k Y_k U_kᵀ − β² Σ_k Y_k (Y_kᵀY_k) U_kᵀ)                              N23 eq. 67–69
    derived    (1 − κβ) Z + κβ MSSA(Z)           MSSA = β Σ_k softmax(Y_kY_kᵀ) Y_k U_kᵀ        N23 eq. 10–12
    residual   Z + MSSA(Z)                                                                     N23 eq. 18
    causal     the same, with the softmax of token t over the tokens up to t

Note that the papers' MSSA already contains one β, so the derived step carries β² in front of the softmax, as
it must: the softmax stands where the Neumann step has the Gram matrix Y_kY_kᵀ.
"""

from __future__ import annotations

import math
from collections.abc import Callable

from srr._arrays import (
    Array,
    Namespace,
    detached,
    map_blocks,
    namespace,
    require_finite,
    require_shape,
)
from srr._heads import project, require_tokens_and_bases, side_by_side, unproject
from srr._scalars import Scalar, alpha, positive_scalar, scalar
from srr.rates import subspace_coding_rate_and_gradient

__all__ = [
    "causal_mssa",
    "derived_step",
    "exact_step",
    "mssa",
    "mssa_official",
    "neumann_step",
    "residual_step",
    "ssa",
]


def exact_step(Z: Array, U: Array, *, eps: float, step: Scalar) -> Array:
    """Z − κ ∇Rᶜ(Z|U): the gradient step of which attention is an approximation.

    It decreases Rᶜ for every κ below 2/L_c (`curvature.subspace_rate`).

    Parameters
    ----------
    Z : array, shape (..., n, d)
        Tokens.
    U : array, shape (K, d, p)
        Bases of K subspaces, orthonormal or not.
    eps : float
        Precision ε > 0.
    step : float or 0-d array
        κ > 0.

    Returns
    -------
    array, shape (..., n, d)

    Raises
    ------
    TypeError, ValueError
        An argument of the wrong kind, shape or value; the message names it.

    Notes
    -----
    Yu et al. 2023 (arXiv 2306.01129), eq. 9. Factorises on the smaller of p × p and n × n, once a head.
    """
    gradient = subspace_coding_rate_and_gradient(Z, U, eps=eps)[1]
    return Z - positive_scalar(step, Z, "step") * gradient


def neumann_step(Z: Array, U: Array, *, eps: float, step: Scalar) -> Array:
    """The gradient step with its inverses (I + X)⁻¹ replaced by I − X, the start of the Neumann series.

    Z − κ (β Σ_k U_kU_kᵀ Z − β² Σ_k U_k Y_k (Y_kᵀY_k)) in the papers' columns. The series converges where
    λ_max(β Y_kᵀY_k) < 1; on directions above that the step has the opposite sign to the gradient step.

    Parameters, result and errors as in `exact_step`.

    Notes
    -----
    Yu et al. 2023 (arXiv 2306.01129), eq. 67–69; any U.
    """
    xp = require_tokens_and_bases(Z, U)
    K, n, p = U.shape[0], Z.shape[-2], U.shape[-1]
    W, root = side_by_side(U), math.sqrt(alpha(p, n, eps))
    kappa = positive_scalar(step, Z, "step")

    def approximate_gradient(Z: Array) -> tuple[Array]:
        X = root * project(Z, W, K)
        X_T = xp.matrix_transpose(X)
        cubic = xp.matmul(X, xp.matmul(X_T, X)) if p <= n else xp.matmul(xp.matmul(X, X_T), X)
        return (root * unproject(X - cubic, W),)

    return Z - kappa * map_blocks(approximate_gradient, Z)[0]


def derived_step(Z: Array, U: Array, *, eps: float, step: Scalar) -> Array:
    """(1 − κβ) Z + κβ MSSA(Z): the attention step as N23 derives it, before they drop its coefficients.

    It is the Neumann step with Σ_k U_kU_kᵀ Z ≈ Z and the Gram matrix replaced by its softmax. At κ = 1/(2β)
    it is ½ (Z + MSSA(Z)), the residual form up to a factor ½.

    Parameters, result and errors as in `exact_step`.

    Notes
    -----
    Yu et al. 2023 (arXiv 2306.01129), eq. 10 with 12, approximation 4.
    """
    attended = mssa(Z, U, eps=eps)
    weight = positive_scalar(step, Z, "step") * alpha(U.shape[-1], Z.shape[-2], eps)
    return (1 - weight) * Z + weight * attended


def residual_step(Z: Array, U: Array, *, eps: float | None = None, step: Scalar = 1.0) -> Array:
    """Z + κ MSSA(Z): the compression half of CRATE as the papers define the layer, with κ = 1.

    Parameters
    ----------
    Z, U
        As in `exact_step`.
    eps : float, optional
        As in `mssa`: without it MSSA has no prefactor, which is the CRATE-C of Hu, Zou and Xu.
    step : float or 0-d array
        κ, of either sign; −1 gives their CRATE-N.

    Returns
    -------
    array, shape (..., n, d)

    Raises
    ------
    TypeError, ValueError
        An argument of the wrong kind, shape or value; the message names it.

    Notes
    -----
    Yu et al. 2023 (arXiv 2306.01129), eq. 18; Hu, Zou and Xu 2024 (arXiv 2411.17182).
    """
    return Z + scalar(step, Z, "step") * mssa(Z, U, eps=eps)


def ssa(Z: Array, U: Array) -> Array:
    """softmax(Y_kY_kᵀ) Y_k, Y_k = ZU_k, for each head k: subspace self-attention.

    Parameters
    ----------
    Z : array, shape (..., n, d)
    U : array, shape (K, d, p)

    Returns
    -------
    array, shape (..., K, n, p)

    Raises
    ------
    TypeError, ValueError
        An argument of the wrong kind, shape or value; the message names it.

    Notes
    -----
    Yu et al. 2023 (arXiv 2306.01129), eq. 11: no p^−½ in the softmax. The papers' softmax is over columns, of
    a symmetric matrix; in rows of tokens it is over rows.
    """
    xp = require_tokens_and_bases(Z, U)
    return _by_block(xp, Z, U, 1.0, lambda heads: heads)


def mssa(Z: Array, U: Array, *, eps: float | None = None) -> Array:
    """β Σ_k SSA(Z|U_k) U_kᵀ, β = p/(n ε²): multi-head subspace self-attention.

    Parameters
    ----------
    Z : array, shape (..., n, d)
    U : array, shape (K, d, p)
    eps : float, optional
        Precision ε > 0; without it the prefactor β is left out.

    Returns
    -------
    array, shape (..., n, d)

    Raises
    ------
    TypeError, ValueError
        An argument of the wrong kind, shape or value; the message names it.

    Notes
    -----
    Yu et al. 2023 (arXiv 2306.01129), eq. 12.
    """
    xp = require_tokens_and_bases(Z, U)
    beta = 1.0 if eps is None else alpha(U.shape[-1], Z.shape[-2], eps)
    W = side_by_side(U)
    return _by_block(xp, Z, U, 1.0, lambda heads: beta * unproject(heads, W))


def mssa_official(
    Z: Array, U: Array, *, output: Array | None = None, bias: Array | None = None, scale: Scalar | None = None
) -> Array:
    """[softmax(c Y_kY_kᵀ) Y_k]_k Wᵀ + b: the attention of the official code, with a free output matrix.

    Parameters
    ----------
    Z : array, shape (..., n, d)
    U : array, shape (K, d, p)
        U_k = ``qkv.weight[k * p : (k + 1) * p].T``; nothing keeps it orthonormal.
    output : array, shape (d, K p), optional
        W = ``to_out[0].weight``; by default [U_1, …, U_K], which is what theory has there, but for β.
    bias : array, shape (d,), optional
        b = ``to_out[0].bias``.
    scale : float or 0-d array, optional
        c > 0; p^−½ by default.

    Returns
    -------
    array, shape (..., n, d)

    Raises
    ------
    TypeError, ValueError
        An argument of the wrong kind, shape or value; the message names it.

    Notes
    -----
    Yu et al. 2023 (arXiv 2306.01129), eq. 115, and ``model/crate.py`` of its code.
    """
    return _official(Z, U, output, bias, scale)


def causal_mssa(
    Z: Array, U: Array, *, output: Array | None = None, bias: Array | None = None, scale: Scalar | None = None
) -> Array:
    """[softmax(mask(c Y_kY_kᵀ)) Y_k]_k Wᵀ + b: attention of each token to itself and to those before it.

    Row t of the result depends on the tokens 1, …, t alone. The last row is that of `mssa_official`.

    Parameters, result and errors as in `mssa_official`.

    Notes
    -----
    CRATE for text in Ma et al., Principles and Practice of Deep Representation Learning, where W is
    β [U_1, …, U_K] and c = p^−½; ``model/crate_gpt.py`` of the code of Yu et al. 2023 (arXiv 2306.01129), where
    W and b are free. The book's β = p/(n ε²) changes with the number of tokens, so that with it the rows are
    causal only up to a common factor; it is left to ``output``. Its mask keeps the later tokens, as printed.
    """
    return _official(Z, U, output, bias, scale, causal=True)


def _official(
    Z: Array, U: Array, output: Array | None, bias: Array | None, scale: Scalar | None, causal: bool = False
) -> Array:
    xp = require_tokens_and_bases(Z, U)
    require_output(U, output, bias)
    W = side_by_side(U) if output is None else output
    c = positive_scalar(U.shape[-1] ** -0.5 if scale is None else scale, Z, "scale")
    attended = _by_block(xp, Z, U, c, lambda heads: unproject(heads, W), causal)
    return attended if bias is None else attended + bias


def require_output(U: Array, output: Array | None, bias: Array | None) -> None:
    """Checks of ``output`` and ``bias`` in `mssa_official`."""
    K, d, p = U.shape
    for name, a, shape in (("output", output, (d, K * p)), ("bias", bias, (d,))):
        if a is not None:
            namespace(**{name: a}, U=U)
            require_shape(a, shape, name)
            require_finite(a, name)


def _by_block(
    xp: Namespace, Z: Array, U: Array, scale: Scalar, finish: Callable[[Array], Array], causal: bool = False
) -> Array:
    # In blocks of the batch, because the softmax is n × n for every head.
    W, K = side_by_side(U), U.shape[0]

    def attend(Z: Array) -> tuple[Array]:
        Y = project(Z, W, K)
        return (finish(xp.matmul(softmax_of_gram(xp, Y, scale, causal), Y)),)

    return map_blocks(attend, Z)[0]


def softmax_of_gram(xp: Namespace, Y: Array, scale: Scalar, causal: bool = False) -> Array:
    # Row softmax of scale·YYᵀ for heads (b, K, n, p). Tokens whose Gram matrix might overflow are
    # divided by their size, which comes back in two steps once the row maximum is taken off; what is left is cut off at
    # −1000, where exp is 0.
    size = xp.max(xp.abs(detached(Y)), axis=(2, 3), keepdims=True)
    safe = float(xp.finfo(Y.dtype).max) ** 0.25
    size = xp.where(size > safe, size, xp.ones_like(size))
    Y = Y / size
    gram = xp.matmul(Y, xp.matrix_transpose(Y))
    seen = xp.tril(xp.ones_like(detached(gram))) > 0 if causal else None
    if seen is not None:  # until its weight is taken away, the token itself stands in the place of a later one
        gram = xp.where(seen, gram, xp.sum(Y * Y, axis=-1, keepdims=True))
    excess = gram - xp.max(detached(gram), axis=-1, keepdims=True)
    weights = xp.exp(size * xp.maximum(scale * size * excess, -1000 / size))
    if seen is not None:
        weights = xp.where(seen, weights, xp.zeros_like(weights))
    return weights / xp.sum(weights, axis=-1, keepdims=True)
