"""All the subspaces at once."""

from __future__ import annotations

from array_api_compat import array_namespace

from srr._arrays import Array, Namespace, detached, namespace, require_bases, require_shape, require_tokens


def require_subspaces(U: Array) -> None:
    """U is ``(K, d, p)`` for some d ≥ p, all finite; the columns may be any vectors."""
    require_shape(U, ("K", "d", "p"), "U")
    require_bases(U, U.shape[1])


def require_tokens_and_bases(Z: Array, U: Array) -> Namespace:
    """The namespace of tokens ``(..., n, d)`` and bases ``(K, d, p)`` that go together."""
    xp = namespace(Z=Z, U=U)
    require_tokens(Z)
    require_bases(U, Z.shape[-1])
    return xp


def side_by_side(U: Array) -> Array:
    """[U_1, …, U_K], ``(d, K p)``: one matrix product for all heads."""
    K, d, p = U.shape
    xp = array_namespace(U)
    return xp.reshape(xp.permute_dims(U, (1, 0, 2)), (d, K * p))


def project(Z: Array, W: Array, K: int) -> Array:
    """All Y_k = ZU_k of a block of tokens ``(b, n, d)``, W = [U_1, …, U_K]: ``(b, K, n, p)``."""
    xp = array_namespace(Z)
    b, n, d = Z.shape
    Y = xp.matmul(xp.reshape(Z, (b * n, d)), W)
    return xp.permute_dims(xp.reshape(Y, (b, n, K, -1)), (0, 2, 1, 3))


def unproject(Y: Array, W: Array) -> Array:
    """Σ_k Y_k U_kᵀ of heads ``(b, K, n, p)``: ``(b, n, d)``."""
    xp = array_namespace(Y)
    b, _, n, _ = Y.shape
    tokens = xp.matmul(xp.reshape(joined(Y), (b * n, W.shape[1])), xp.matrix_transpose(W))
    return xp.reshape(tokens, (b, n, W.shape[0]))


def joined(Y: Array) -> Array:
    """The heads of every token one after the other: ``(b, K, n, p)`` to ``(b, n, K p)``."""
    xp = array_namespace(Y)
    b, K, n, p = Y.shape
    return xp.reshape(xp.permute_dims(Y, (0, 2, 1, 3)), (b, n, K * p))


def softmax(logits: Array, *, axis: int) -> Array:
    """exp(logits) over its sum along an axis."""
    xp = array_namespace(logits)
    weights = xp.exp(logits - xp.max(detached(logits), axis=axis, keepdims=True))
    return weights / xp.sum(weights, axis=axis, keepdims=True)
