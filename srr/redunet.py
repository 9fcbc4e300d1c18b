r"""ReduNet: gradient ascent on the rate reduction of a partition, with layers that are computed and not trained.

With memberships Π, α = d/(n ε²) and α_k = d/(n_k ε²), in rows of tokens (Chan et al. 2022, arXiv 2105.10446)::

    E   = α   (I + α Zᵀ Z)⁻¹                expansion: Z E is the gradient of R
    C_k = α_k (I + α_k Zᵀ Diag(π_k) Z)⁻¹    compression of class k, of share γ_k = n_k/n

    ∇ΔR(Z|Π) = Z E − Σ_k γ_k Diag(π_k) Z C_k

A layer stores E, C_k and γ_k of the features that it was built from, and moves any tokens by η times that, then onto
the sphere. Tokens without a label are given the memberships softmax_k(−λ‖C_k z‖).
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

import array_api_compat as compat

from srr import _partition, flops
from srr._arrays import (
    Array,
    FactorisationError,
    choice,
    cholesky,
    count,
    detached,
    inverse_of_factored,
    is_concrete,
    like,
    map_blocks,
    namespace,
    nonnegative,
    quiet,
    require_broadcast,
    require_finite,
    require_membership,
    require_orthonormal,
    require_shape,
    require_tokens,
)
from srr._heads import project, require_subspaces, side_by_side, softmax
from srr._scalars import Scalar, alpha, nonnegative_scalar, positive_scalar
from srr.layer import Layer

__all__ = [
    "RULES",
    "ReduNet",
    "class_subspaces",
    "construct",
    "nearest_subspace",
    "on_sphere",
    "operators",
    "parameters",
    "redunet",
    "soft_memberships",
]

RULES = ("network", "gradient", "official")
"""Names of the forms of `redunet`."""


# --- the operators ------------------------------------------------------------------------------------------


def operators(Z: Array, Pi: Array, *, eps: float) -> tuple[Array, Array, Array]:
    """E = α(I + αZᵀZ)⁻¹, C_k = α_k(I + α_kZᵀDiag(π_k)Z)⁻¹ and γ_k = n_k/n.

    Parameters
    ----------
    Z : array, shape (..., n, d)
        Tokens.
    Pi : array, shape (..., n, K)
        Memberships, hard or soft, rows on the simplex; no class may be empty. Batch axes broadcast against those of Z.
    eps : float
        Precision ε > 0; it enters as ε².

    Returns
    -------
    E : array, shape (..., d, d)
    C : array, shape (..., K, d, d)
        Both symmetric, with eigenvalues in (0, α] and (0, α_k].
    gamma : array, shape (..., K)

    Raises
    ------
    TypeError, ValueError
        An argument of the wrong kind, shape or value; the message names it.
    FactorisationError
        I + αZᵀZ, or that of a class, has no Cholesky factor in the working precision.

    Notes
    -----
    Chan et al. 2022 (arXiv 2105.10446), the operators of a layer. Each is inverted on the smaller side of its Gram
    matrix, E z = α (z − Zᵀ (I + αZZᵀ)⁻¹ αZz) where there are fewer tokens than dimensions: α times what a ridge
    regression of z on the tokens leaves over. Accurate to about u (1 + ‖αZᵀZ‖) of their norm.
    """
    xp = _check(Z, Pi)
    n, d = Z.shape[-2:]
    whole, root = float(alpha(d, n, eps)), math.sqrt(d) / float(eps)

    def invert(Z: Array, Pi: Array) -> tuple[Array, ...]:
        E = whole * _resolvent(math.sqrt(whole) * Z)
        parts = _partition.gather(Z, Pi)  # whose weights are π_jk/n_k: they bring the n_k of α_k
        C = parts.join(*(_resolvent(root * xp.sqrt(w)[..., None] * tokens) for tokens, w in parts.groups))
        return E, (whole / parts.share)[..., None, None] * C, parts.share

    with quiet():
        E, C, gamma = map_blocks(invert, Z, Pi)
        # of an infinite matrix the inverse is zero
        size = sum(xp.sum(a) for a in ((root * detached(Z)) ** 2, detached(E), detached(C)))
    if is_concrete(size) and not math.isfinite(float(size)):
        raise FactorisationError(f"Z and eps must leave I + αZᵀZ a Cholesky factor in {Z.dtype}, got eps = {eps!r}")
    return E, C, gamma


def _check(Z: Array, Pi: Array) -> Array:
    xp = namespace(Z=Z, Pi=Pi)
    require_tokens(Z)
    require_membership(Pi, Z.shape[-2])
    require_broadcast(Z=Z, Pi=Pi)
    require_no_empty_class(Pi)
    return xp


def require_no_empty_class(Pi: Array) -> None:
    """Each class has a token: α_k = d/(n_k ε²) must be finite."""
    if not is_concrete(Pi) or 0 in Pi.shape:
        return
    xp = compat.array_namespace(Pi)
    mass = xp.reshape(xp.sum(detached(Pi), axis=-2), (-1, Pi.shape[-1]))
    if not float(xp.min(mass)) > 0:
        k = int(xp.argmin(mass)) % Pi.shape[-1]
        raise ValueError(f"Pi must have a token in each class, got none in class {k}")


def _resolvent(A: Array) -> Array:
    """(I + AᵀA)⁻¹ of ``(g, m, d)``, factorised on the smaller side: I − Aᵀ(I + AAᵀ)⁻¹A."""
    xp = compat.array_namespace(A)
    m, d = A.shape[-2:]
    A_T = xp.matrix_transpose(A)
    small = xp.matmul(A, A_T) if m < d else xp.matmul(A_T, A)
    M = xp.eye(min(m, d), **like(A)) + small
    inverse = inverse_of_factored(M, cholesky(M))
    if m >= d:
        return inverse
    return xp.eye(d, **like(A)) - xp.matmul(A_T, xp.matmul(inverse, A))


# --- memberships, sphere, subspaces -------------------------------------------------------------------------


def soft_memberships(Z: Array, C: Array, *, sharpness: Scalar = 500.0) -> Array:
    """softmax_k(−λ‖C_k z‖) of every token: ``(..., n, K)``, rows on the simplex.

    Parameters
    ----------
    Z : array, shape (..., n, d)
    C : array, shape (..., K, d, d)
        As `operators` returns them.
    sharpness : float or 0-d array
        λ ≥ 0, 500 in the code. What counts is λα_k‖z‖: ‖C_k z‖ is α_k‖z‖ for a token outside the span of class k.

    Returns
    -------
    array, shape (..., n, K)

    Raises
    ------
    TypeError, ValueError
        An argument of the wrong kind, shape or value; the message names it.

    Notes
    -----
    Chan et al. 2022 (arXiv 2105.10446), the estimated membership. α_k = d/(n_k ε²) is larger for a smaller class, so
    at equal geometry tokens are drawn to the larger one.
    """
    xp = namespace(Z=Z, C=C)
    require_tokens(Z)
    require_shape(C, ("...", "K", Z.shape[-1], Z.shape[-1]), "C")
    require_finite(C, "C")
    weight = nonnegative_scalar(sharpness, Z, "sharpness")
    return softmin(weight * xp.linalg.vector_norm(xp.matmul(Z[..., None, :, :], C), axis=-1))


def softmin(size: Array) -> Array:
    """Of ``(..., K, n)`` over the classes: ``(..., n, K)``."""
    return compat.array_namespace(size).matrix_transpose(softmax(-size, axis=-2))


def on_sphere(Z: Array, *, floor: float = 0.0) -> Array:
    """z / max(‖z‖, floor) of every token; a token of zeros stays one.

    Parameters
    ----------
    Z : array, shape (..., n, d)
    floor : float
        ≥ 0; the code has 1e-8, the papers none.

    Returns
    -------
    array, shape (..., n, d)

    Raises
    ------
    TypeError, ValueError
        An argument of the wrong kind, shape or value; the message names it.
    """
    namespace(Z=Z)
    require_tokens(Z)
    return unit(Z, nonnegative(floor, "floor"), 1)


def unit(Z: Array, floor: float, axes: int) -> Array:
    """Z over its norm along the last ``axes`` axes, which are those of one sample."""
    xp = compat.array_namespace(Z)
    over = tuple(range(-axes, 0))
    largest = xp.max(xp.abs(detached(Z)), axis=over, keepdims=True)
    largest = xp.where(largest > 0, largest, xp.ones_like(largest))  # divided out, so that no square leaves the range
    Z = Z / largest
    size = xp.linalg.vector_norm(Z, axis=over, keepdims=True)
    with quiet():
        least = floor / largest
    return Z / xp.where(size > 0, xp.maximum(size, least), xp.ones_like(size))


def class_subspaces(Z: Array, Pi: Array, p: int) -> Array:
    """The subspaces of dimension p that keep most of each class, in the order of what they keep: ``(..., K, d, p)``.

    Parameters
    ----------
    Z : array, shape (..., n, d)
    Pi : array, shape (..., n, K)
    p : int
        From 1 to d.

    Returns
    -------
    array, shape (..., K, d, p)
        The p first eigenvectors of ZᵀDiag(π_k)Z.

    Raises
    ------
    TypeError, ValueError
        An argument of the wrong kind, shape or value; the message names it.
    """
    xp = namespace(Z=Z, Pi=Pi)
    require_tokens(Z)
    require_membership(Pi, Z.shape[-2])
    require_broadcast(Z=Z, Pi=Pi)
    if count(p, "p") > Z.shape[-1]:
        raise ValueError(f"p must be <= d = {Z.shape[-1]}, got {p}")
    tokens = xp.sqrt(xp.matrix_transpose(Pi))[..., None] * Z[..., None, :, :]
    vectors = xp.linalg.eigh(xp.matmul(xp.matrix_transpose(tokens), tokens))[1]
    return xp.flip(vectors, axis=-1)[..., :p]


def nearest_subspace(Z: Array, U: Array) -> Array:
    """The subspace that keeps most of each token, argmax_k ‖U_kᵀz‖: integers ``(..., n)``.

    Parameters
    ----------
    Z : array, shape (..., n, d)
    U : array, shape (K, d, p)
        Bases, each orthonormal.

    Raises
    ------
    TypeError, ValueError
        An argument of the wrong kind, shape or value; the message names it.
    """
    xp = namespace(Z=Z, U=U)
    require_tokens(Z)
    require_subspaces(U)
    require_shape(Z, ("...", "n", U.shape[1]), "Z")
    require_orthonormal(U)

    def assign(Z: Array) -> tuple[Array]:
        Y = project(Z, side_by_side(U), U.shape[0])
        return (xp.argmax(xp.linalg.vector_norm(Y, axis=-1), axis=1),)

    return map_blocks(assign, Z)[0]


# --- the layer ----------------------------------------------------------------------------------------------


@dataclass(frozen=True, eq=False)
class ReduNet(Layer):
    """A layer of ReduNet; `redunet` builds it and documents the parameters."""

    E: Array
    """``(..., d, d)``."""
    C: Array
    """``(..., K, d, d)``."""
    gamma: Array
    """``(..., K)``."""
    Pi: Array
    """The memberships it was built with, ``(..., n, K)``."""
    rule: str
    eps: float
    eta: Scalar
    sharpness: Scalar

    def compress(self, Z: Array) -> Array:
        """Z + η (Z E − Σ_k γ_k Diag(π_k) Z C_k): meant to raise ΔR(Z|Π)."""
        xp = namespace(Z=Z, E=self.E)
        require_tokens(Z)
        *_, d = self.E.shape
        require_shape(Z, ("...", "n", d), "Z")
        by_class = xp.matmul(Z[..., None, :, :], self.C)
        if self.rule == "gradient":
            require_shape(Z, ("...", self.Pi.shape[-2], d), "Z")
            Pi = self.Pi
        else:
            Pi = softmin(self.sharpness * xp.linalg.vector_norm(by_class, axis=-1))
        weights = self.gamma[..., None] * xp.matrix_transpose(Pi)
        return Z + self.eta * (xp.matmul(Z, self.E) - xp.sum(weights[..., None] * by_class, axis=-3))

    def sparsify(self, Z: Array) -> Array:
        """Onto the sphere."""
        return on_sphere(Z, floor=1e-8 if self.rule == "official" else 0.0)

    def flops(self, n: int) -> int:
        """2 n d² (K + 1): on n tokens, the layer as built; see `srr.flops`."""
        K, d, _ = self.C.shape[-3:]
        return flops.product(n, d, (K + 1) * d)


def redunet(
    Z: Array,
    Pi: Array,
    *,
    rule: str = "network",
    eps: float,
    eta: Scalar = 0.5,
    sharpness: Scalar = 500.0,
) -> ReduNet:
    """The layer of ReduNet that labelled features define, without training.

    Parameters
    ----------
    Z : array, shape (..., n, d)
        Features of labelled tokens, on the sphere (`on_sphere`).
    Pi : array, shape (..., n, K)
        Their memberships, as in `operators`.
    rule : {"network", "gradient", "official"}
        ``"network"``, the papers' layer: it estimates the memberships of all tokens, also those it was built from, by
        `soft_memberships`. ``"gradient"`` keeps Π, so that it takes only as many tokens as it was built from, in their
        order: projected gradient ascent on ΔR(Z|Π), for which steps up to `curvature.sphere_step` are safe.
        ``"official"``, the published code: ``"network"`` with γ rounded to float32 and norms of at least 1e-8.
    eps : float
        Precision ε > 0. The code's ``eps`` is ε²: its 0.1 is √0.1 here.
    eta : float or 0-d array
        Step η > 0.
    sharpness : float or 0-d array
        λ ≥ 0 of the memberships.

    Returns
    -------
    ReduNet

    Raises
    ------
    TypeError, ValueError, FactorisationError
        As in `operators`; or an argument of the wrong kind or value: the message names it.

    Notes
    -----
    Chan et al. 2022 (arXiv 2105.10446), the layer and algorithm 1; the book (Ma et al.) prints its γ_k as n_k/d.
    """
    E, C, gamma = operators(Z, Pi, eps=eps)
    choice(rule, RULES, "rule")
    positive_scalar(eta, Z, "eta")
    nonnegative_scalar(sharpness, Z, "sharpness")
    return ReduNet(E, C, official_shares(gamma) if rule == "official" else gamma, Pi, rule, eps, eta, sharpness)


def official_shares(gamma: Array) -> Array:
    """γ as the code rounds it: to float32, whatever the dtype."""
    xp = compat.array_namespace(gamma)
    return xp.astype(xp.astype(gamma, xp.float32), gamma.dtype)


def construct(
    Z: Array,
    Pi: Array,
    *,
    layers: int,
    rule: str = "network",
    eps: float,
    eta: Scalar = 0.5,
    sharpness: Scalar = 500.0,
) -> Iterator[tuple[ReduNet, Array]]:
    """Layer after layer, each built from the features that the layers before it make of labelled tokens.

    Parameters
    ----------
    Z, Pi, rule, eps, eta, sharpness
        As in `redunet`.
    layers : int
        How many.

    Yields
    ------
    layer : ReduNet
    Z : array, shape (..., n, d)
        The features after it: all that the next layer needs, so a construction can go on from them.

    Raises
    ------
    TypeError, ValueError, FactorisationError
        As in `redunet`, when the first layer is asked for.

    Notes
    -----
    Chan et al. 2022 (arXiv 2105.10446), algorithm 1.
    """
    for _ in range(count(layers, "layers")):
        layer = redunet(Z, Pi, rule=rule, eps=eps, eta=eta, sharpness=sharpness)
        Z = layer(Z)
        yield layer, Z


# --- sizes --------------------------------------------------------------------------------------------------


def parameters(d: int, K: int) -> int:
    """(K + 1) d² + K: the numbers that a layer stores, of d dimensions and K classes."""
    return (count(K, "K") + 1) * count(d, "d") ** 2 + K
