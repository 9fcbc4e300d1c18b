"""CBSA: contract the tokens to a few representatives, compress those, broadcast what it did to all.

With Y_k = ZU_k ``(n, p)`` and a contraction A_k ``(r, n)``, the representatives are Q_k = A_kY_k ``(r, p)``. Held
fixed, A_k makes their rate Σ_k R(Q_k) a function of Z, and by the chain rule its gradient is ::

    Σ_k A_kᵀ ∇R(Q_k) U_kᵀ        ∇R(Q) = β_r Q (I + β_r QᵀQ)⁻¹,  β_r = p/(r ε²):

contraction, compression, and broadcast by the same A_k. A step κ lowers the rate of the representatives for κ below
2/(β_r ‖A‖² λ_max(Σ_k U_kU_kᵀ)). For mutually orthogonal subspaces its slope on Rᶜ(Z|U) is
−Σ_k β β_r tr((I + βY_kᵀY_k)⁻¹ Q_kᵀQ_k (I + β_r Q_kᵀQ_k)⁻¹) ≤ 0. It is the exact step where r = n and A = I, and where
tokens are constant on the pools that A averages, A = r/n times the transpose of what repeats them.

Wen, Huang and Li 2025 (arXiv 2509.16875), and the code of the image models for what is called official.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from array_api_compat import array_namespace

from srr import curvature, flops, prox
from srr._arrays import (
    Array,
    Namespace,
    choice,
    count,
    like,
    namespace,
    positive,
    require_bases,
    require_finite,
    require_shape,
    require_tokens,
)
from srr._heads import require_subspaces, softmax
from srr._scalars import Scalar, positive_scalar
from srr.attention import require_output
from srr.layer import Layer
from srr.rates import coding_rate_and_gradient

__all__ = [
    "Cbsa",
    "CbsaOfficial",
    "attention_contraction",
    "cbsa",
    "cbsa_official",
    "cbsa_step",
    "contract_and_broadcast_official",
    "grid_pooling",
    "pooling",
    "representatives",
]

# --- contraction --------------------------------------------------------------------------------------------


def pooling(n: int, r: int, *, beside: Array | None = None) -> Array:
    """A ``(r, n)``: averages over r pools of consecutive tokens, as equal as n allows.

    Pool i is tokens ⌊in/r⌋ to ⌈(i + 1)n/r⌉, the last not included: torch's adaptive average pooling. Pools of unequal
    size share a token.

    Parameters
    ----------
    n, r : int
        Tokens and representatives, r ≤ n.
    beside : array, optional
        The result is of its library, dtype and device; NumPy float64 by default.

    Returns
    -------
    array, shape (r, n)

    Raises
    ------
    TypeError, ValueError
        An argument of the wrong kind or value; the message names it.
    """
    n, r = count(n, "n"), count(r, "r")
    if r > n:
        raise ValueError(f"r must be <= n = {n}, got {r}")
    A = np.zeros((r, n))
    beside = A if beside is None else beside
    namespace(beside=beside)
    for i in range(r):
        first, last = i * n // r, -((-(i + 1) * n) // r)
        A[i, first:last] = 1 / (last - first)
    return array_namespace(beside).asarray(A, **like(beside))


def grid_pooling(height: int, width: int, rows: int = 8, columns: int = 8, *, beside: Array | None = None) -> Array:
    """A ``(rows · columns, height · width)``: averages over a grid of an image whose patches are the tokens.

    Parameters
    ----------
    height, width : int
        Patches, token after token along the rows of the image.
    rows, columns : int
        Of the grid; the code has 8 and 8.
    beside : array, optional
        As in `pooling`.

    Returns
    -------
    array, shape (rows · columns, height · width)

    Raises
    ------
    TypeError, ValueError
        An argument of the wrong kind or value; the message names it.
    """
    sizes = {name: count(size, name) for name, size in (("height", height), ("width", width))}
    for name, size, most in (("rows", rows, "height"), ("columns", columns, "width")):
        if count(size, name) > sizes[most]:
            raise ValueError(f"{name} must be <= {most} = {sizes[most]}, got {size}")
    down, across = pooling(height, rows, beside=beside), pooling(width, columns, beside=beside)
    xp = array_namespace(down)
    return xp.reshape(down[:, None, :, None] * across[None, :, None, :], (rows * columns, height * width))


def attention_contraction(Z: Array, U: Array, A: Array) -> Array:
    """softmax(p^−½ (AY_k) Y_kᵀ) of every head: each pooled representative attends to the tokens.

    Parameters
    ----------
    Z : array, shape (..., n, d)
    U : array, shape (K, d, p)
    A : array, shape (r, n)
        A pooling.

    Returns
    -------
    array, shape (..., K, r, n)

    Raises
    ------
    TypeError, ValueError
        An argument of the wrong kind, shape or value; the message names it.
    """
    xp = _check(Z, U, A)
    Y = _heads(xp, Z, U)
    return _attend(xp, xp.matmul(A, Y), Y)


def representatives(Z: Array, U: Array, A: Array) -> Array:
    """Q_k = A_k Z U_k of every head.

    Parameters
    ----------
    Z : array, shape (..., n, d)
    U : array, shape (K, d, p)
    A : array, shape (r, n), or (..., K, r, n)
        The contraction, one for all heads or one for each.

    Returns
    -------
    array, shape (..., K, r, p)

    Raises
    ------
    TypeError, ValueError
        An argument of the wrong kind, shape or value; the message names it.
    """
    xp = _check(Z, U, A)
    return xp.matmul(A, _heads(xp, Z, U))


# --- the operators ------------------------------------------------------------------------------------------


def cbsa_step(Z: Array, U: Array, A: Array, *, eps: float, step: Scalar) -> Array:
    """Z − κ Σ_k A_kᵀ ∇R(A_kZU_k) U_kᵀ: a gradient step on the rate of the representatives.

    Parameters
    ----------
    Z, U, A
        As in `representatives`.
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
    Wen et al. 2025 (arXiv 2509.16875): the objective Σ_k R(U_kᵀQ), unrolled. Factorises on the smaller of r and p.
    """
    xp = _check(Z, U, A)
    gradient = coding_rate_and_gradient(xp.matmul(A, _heads(xp, Z, U)), eps=eps)[1]
    return Z - positive_scalar(step, Z, "step") * _gather(xp, xp.matmul(xp.matrix_transpose(A), gradient), U)


def contract_and_broadcast_official(
    Z: Array,
    U: Array,
    A: Array,
    *,
    contract: Array,
    broadcast: Array,
    output: Array | None = None,
    bias: Array | None = None,
) -> Array:
    """[s_k A_kᵀ softmax(p^−½ Q_kQ_kᵀ) Q_k]_k Wᵀ + b, Q_k = AY_k + t_k A_kY_k: the operator of the official code.

    Parameters
    ----------
    Z : array, shape (..., n, d)
    U : array, shape (K, d, p)
        U_k = ``proj.weight[k * p : (k + 1) * p].T``.
    A : array, shape (r, n)
        A pooling; A_k = softmax(p^−½ (AY_k) Y_kᵀ) is `attention_contraction`.
    contract, broadcast : array, shape (K,)
        t = ``step_rep[:, 0, 0]`` and s = ``step_x[:, 0, 0]``, of either sign.
    output : array, shape (d, K p), optional
        W = ``to_out.weight``; by default [U_1, …, U_K].
    bias : array, shape (d,), optional
        b = ``to_out.bias``.

    Returns
    -------
    array, shape (..., n, d)

    Raises
    ------
    TypeError, ValueError
        An argument of the wrong kind, shape or value; the message names it.

    Notes
    -----
    ``CBSA_image_classification/attn_layers.py``, which leaves the last token out of its pools though the class token
    comes first: A has a column of zeros there.
    """
    xp = _check(Z, U, A)
    _require_steps(U, contract, broadcast)
    require_output(U, output, bias)
    Y = _heads(xp, Z, U)
    Q = xp.matmul(A, Y)
    weights = _attend(xp, Q, Y)
    Q = Q + contract[:, None, None] * xp.matmul(weights, Y)
    compressed = xp.matmul(_attend(xp, Q, Q), Q)
    heads = broadcast[:, None, None] * xp.matmul(xp.matrix_transpose(weights), compressed)
    attended = _gather(xp, heads, U if output is None else _by_head(output, U.shape[0]))
    return attended if bias is None else attended + bias


def _heads(xp: Namespace, Z: Array, U: Array) -> Array:
    return xp.matmul(Z[..., None, :, :], U)


def _gather(xp: Namespace, heads: Array, U: Array) -> Array:
    """Σ_k X_k U_kᵀ of ``(..., K, n, p)``."""
    return xp.sum(xp.matmul(heads, xp.matrix_transpose(U)), axis=-3)


def _by_head(W: Array, K: int) -> Array:
    xp = array_namespace(W)
    return xp.permute_dims(xp.reshape(W, (W.shape[0], K, -1)), (1, 0, 2))


def _attend(xp: Namespace, Q: Array, Y: Array) -> Array:
    """softmax(p^−½ QYᵀ) along the tokens Y."""
    return softmax(xp.matmul(Q, xp.matrix_transpose(Y)) * Q.shape[-1] ** -0.5, axis=-1)


def _check(Z: Array, U: Array, A: Array) -> Namespace:
    xp = namespace(Z=Z, U=U, A=A)
    require_tokens(Z)
    require_bases(U, Z.shape[-1])
    heads = ("...", U.shape[0], "r", Z.shape[-2]) if A.ndim > 2 else ("r", Z.shape[-2])
    require_shape(A, heads, "A")
    require_finite(A, "A")
    return xp


def _require_steps(U: Array, contract: Array, broadcast: Array) -> None:
    for name, a in (("contract", contract), ("broadcast", broadcast)):
        namespace(**{name: a}, U=U)
        require_shape(a, (U.shape[0],), name)
        require_finite(a, name)


# --- layers -------------------------------------------------------------------------------------------------

CONTRACTIONS = ("pooled", "attention")
"""Names of the contractions of `cbsa`."""


@dataclass(frozen=True, eq=False)
class Cbsa(Layer):
    """Contract, compress and broadcast by gradient, then ISTA; `cbsa` builds it and documents the fields."""

    U: Array
    D: Array
    r: int
    contraction: str
    eps: float
    kappa: Scalar | None
    eta: Scalar
    lam: Scalar

    def contract(self, Z: Array) -> Array:
        """A, from the tokens that the step starts at."""
        A = _pools(Z, self.r)
        return A if self.contraction == "pooled" else attention_contraction(Z, self.U, A)

    def compress(self, Z: Array) -> Array:
        """Z − κ Σ_k A_kᵀ ∇R(A_kZU_k) U_kᵀ."""
        A = self.contract(Z)
        kappa = curvature.compression_step(self.U, Z.shape[-2], eps=self.eps) if self.kappa is None else self.kappa
        return cbsa_step(Z, self.U, A, eps=self.eps, step=kappa)

    def sparsify(self, Z: Array) -> Array:
        """relu(Z + η (Z − Z Dᵀ) D − ηλ), as in CRATE."""
        return prox.ista_step(Z, self.D, step=self.eta, lam=self.lam)

    def flops(self, n: int) -> int:
        """Of both halves on n tokens; see `srr.flops`."""
        (K, d, p), r = self.U.shape, min(self.r, n)
        projection, contraction = flops.product(n, d, K * p), flops.product(n, r, K * p)
        attention = 0 if self.contraction == "pooled" else projection + 2 * contraction
        of_rates: int = K * flops.coding_rate_gradient(r, p)
        return attention + 2 * (projection + contraction) + of_rates + flops.ista_step(n, d, d)


def cbsa(
    U: Array,
    D: Array,
    *,
    r: int,
    contraction: str = "pooled",
    eps: float,
    kappa: Scalar | None = None,
    eta: Scalar = 0.1,
    lam: Scalar = 0.1,
) -> Cbsa:
    """A layer of CBSA as theory has it: a gradient step on the rate of r representatives, then one ISTA step.

    Parameters
    ----------
    U : array, shape (K, d, p)
        Bases.
    D : array, shape (d, d)
        Dictionary.
    r : int
        Representatives; as many as there are tokens, if those are fewer.
    contraction : {"pooled", "attention"}
        A: `pooling`, or `attention_contraction` of it.
    eps : float
        Precision ε > 0.
    kappa : float or 0-d array, optional
        κ > 0; by default 1/L_c of the tokens at hand (`curvature.compression_step`).
    eta, lam : float or 0-d array
        Step η > 0 of ISTA and its λ ≥ 0.

    Returns
    -------
    Cbsa

    Raises
    ------
    TypeError, ValueError
        An argument of the wrong kind, shape or value; the message names it.

    Notes
    -----
    Wen et al. 2025 (arXiv 2509.16875). Pools of equal size have ‖A‖² = r/n, so that β_r ‖A‖² = β and the default step
    is half the largest that lowers the rate of the representatives for sure.
    """
    namespace(U=U, D=D)
    require_subspaces(U)
    prox.require_ista(D, U.shape[1], U.shape[1], eta, lam)
    positive(eps, "eps")
    if kappa is not None:
        positive_scalar(kappa, U, "kappa")
    return Cbsa(U, D, count(r, "r"), choice(contraction, CONTRACTIONS, "contraction"), eps, kappa, eta, lam)


@dataclass(frozen=True, eq=False)
class CbsaOfficial(Layer):
    """A layer of the official code less its LayerNorms; `cbsa_official` documents the fields."""

    U: Array
    D: Array
    r: int
    contract: Array
    broadcast: Array
    output: Array | None
    bias: Array | None
    eta: Scalar
    lam: Scalar

    def compress(self, Z: Array) -> Array:
        """Z + [s_k A_kᵀ softmax(p^−½ Q_kQ_kᵀ) Q_k]_k Wᵀ + b."""
        A = _pools(Z, self.r)
        return Z + contract_and_broadcast_official(
            Z,
            self.U,
            A,
            contract=self.contract,
            broadcast=self.broadcast,
            output=self.output,
            bias=self.bias,
        )

    def sparsify(self, Z: Array) -> Array:
        """relu(Z + η (Z − Z Dᵀ) D − ηλ)."""
        return prox.ista_step(Z, self.D, step=self.eta, lam=self.lam)

    def flops(self, n: int) -> int:
        """Of both halves on n tokens; see `srr.flops`."""
        K, d, p = self.U.shape
        return flops.contract_and_broadcast(n, d, K, p, min(self.r, n)) + flops.ista_step(n, d, d)


def cbsa_official(
    U: Array,
    D: Array,
    *,
    r: int,
    contract: Array | None = None,
    broadcast: Array | None = None,
    output: Array | None = None,
    bias: Array | None = None,
    eta: Scalar = 0.1,
    lam: Scalar = 0.1,
) -> CbsaOfficial:
    """A layer of the official code but for LayerNorm; ``PreNorm(cbsa_official(...))`` is the whole.

    Parameters
    ----------
    U : array, shape (K, d, p)
    D : array, shape (d, d)
        Dictionary.
    r : int
        Representatives, averages of consecutive tokens; as many as there are tokens, if those are fewer. For the grid
        of an image, `contract_and_broadcast_official` with `grid_pooling`.
    contract, broadcast : array, shape (K,), optional
        Learned, and drawn from N(0, 1) at first; ones by default.
    output : array, shape (d, K p), optional
    bias : array, shape (d,), optional
        As in `contract_and_broadcast_official`.
    eta, lam : float or 0-d array
        η > 0 and λ ≥ 0 of ISTA.

    Returns
    -------
    CbsaOfficial

    Raises
    ------
    TypeError, ValueError
        An argument of the wrong kind, shape or value; the message names it.
    """
    xp = namespace(U=U, D=D)
    require_subspaces(U)
    ones = xp.ones(U.shape[0], **like(U))
    contract, broadcast = (ones if a is None else a for a in (contract, broadcast))
    _require_steps(U, contract, broadcast)
    require_output(U, output, bias)
    prox.require_ista(D, U.shape[1], U.shape[1], eta, lam)
    return CbsaOfficial(U, D, count(r, "r"), contract, broadcast, output, bias, eta, lam)


def _pools(Z: Array, r: int) -> Array:
    """Pools of consecutive tokens, r or as many as there are tokens."""
    namespace(Z=Z)
    require_tokens(Z)
    return pooling(Z.shape[-2], min(r, Z.shape[-2]), beside=Z)
