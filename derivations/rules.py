"""The rewriting rules a derivation may use, beside what the normal form knows already.

The normal form multiplies out, rotates traces, and has S⁻¹S = I, hence the Neumann series with its remainder. Each rule
here is an equation for all sizes, used from left to right; the tests evaluate both sides of each in exact arithmetic.
"""

from __future__ import annotations

from dataclasses import replace

import sympy

from derivations.definite import positive_semidefinite
from derivations.expression import (
    Diag,
    Entrywise,
    Expr,
    Identity,
    Inverse,
    LogDet,
    Matrix,
    Ones,
    Scalar,
    Sum,
    exp,
    free_indices,
    inner,
)
from derivations.normal import Rule
from derivations.words import size

_x = sympy.Symbol("x", real=True)


def push_through(A: Expr, B: Expr) -> Rule:
    """A (I + BA)⁻¹ = (I + AB)⁻¹ A, since A (I + BA) = (I + AB) A."""
    left, right = A @ Inverse(Identity(B.shape[0]) + B @ A), Inverse(Identity(A.shape[0]) + A @ B) @ A
    return Rule(left, right, assumed=False, of=(A, B))


def sylvester(A: Expr, B: Expr) -> Rule:
    """log det(I + AB) = log det(I + BA): the Schur complements of either identity in ((I, −A), (B, I))."""
    left, right = LogDet(Identity(A.shape[0]) + A @ B), LogDet(Identity(B.shape[0]) + B @ A)
    return Rule(left, right, assumed=False, of=(A, B))


def woodbury(A: Expr, B: Expr) -> Rule:
    """(I + AB)⁻¹ = I − A (I + BA)⁻¹ B."""
    inside = Inverse(Identity(B.shape[0]) + B @ A)
    outside = Inverse(Identity(A.shape[0]) + A @ B)
    return Rule(outside, Identity(A.shape[0]) - A @ inside @ B, assumed=False, of=(A, B))


def multiplicative(A: Expr, B: Expr) -> Rule:
    """log det(AB) = log det A + log det B for square matrices."""
    return Rule(LogDet(A @ B), LogDet(A) + LogDet(B), assumed=False, of=(A, B))


def block_log_det(U: Matrix, A: Expr) -> Rule:
    """log det Σ_k U_kA_kU_kᵀ = Σ_k log det A_k in a complete orthonormal family: the blocks of a rotated matrix."""
    _require_complete(U)
    return Rule(LogDet(_blocks(U, A)), Sum(U.index, LogDet(A), U.count), assumed=False, of=(U, A))


def block_inverse(U: Matrix, A: Expr) -> Rule:
    """(Σ_k U_kA_kU_kᵀ)⁻¹ = Σ_k U_kA_k⁻¹U_kᵀ in a complete orthonormal family: their product is Σ_k U_kU_kᵀ = I."""
    _require_complete(U)
    return Rule(Inverse(_blocks(U, A)), _blocks(U, Inverse(A)), assumed=False, of=(U, A))


def diagonal_log_det(v: Expr, c: sympy.Expr) -> Rule:
    """log det(I + c Diag(v)) = Σ_i log(1 + c v_i)."""
    total = inner(Ones(v.shape[0]), Entrywise(sympy.Lambda(_x, sympy.log(1 + c * _x)), v))  # type: ignore[misc]
    return Rule(LogDet(Identity(v.shape[0]) + c * Diag(v)), total, assumed=False, of=(v,))  # type: ignore[misc]


def diagonal_inverse(v: Expr, c: sympy.Expr) -> Rule:
    """(I + c Diag(v))⁻¹ is the diagonal matrix of 1/(1 + c v_i)."""
    inverses = Diag(Entrywise(sympy.Lambda(_x, 1 / (1 + c * _x)), v))
    return Rule(Inverse(Identity(v.shape[0]) + c * Diag(v)), inverses, assumed=False, of=(v,))  # type: ignore[misc]


def dimension(U: Matrix) -> Rule:
    """d = K p in a complete orthonormal family of K members: the trace of Σ_k U_kU_kᵀ = I."""
    _require_complete(U)
    members = Scalar(size(U.count) * size(U.cols))
    return Rule(Scalar(size(U.rows)), members, assumed=False, of=(U,))


def root(N: Matrix, A: Expr) -> Rule:
    """NN = A: N is the square root of a positive semidefinite A, which there always is."""
    if not (N.symmetric and positive_semidefinite(A)):
        raise ValueError(f"{N.name} must be symmetric, and the form of its square show that it has a root")
    if N.diagonal or N.orthonormal or N.mutually or N.complete or not free_indices(A) <= {N.index}:
        raise ValueError(f"{N.name} must be declared no more than a root is, one for each member of a family")
    return Rule(N @ N, A, assumed=False, defines=(N,), of=(A,))


def root_with_log_det(N: Matrix, A: Expr) -> tuple[Rule, Rule]:
    """The square root NN = A that is positive semidefinite itself, and log det A = 2 log det N."""
    if not N.psd:
        raise ValueError(f"{N.name} must be positive semidefinite, for its determinant to have a logarithm")
    return root(N, A), Rule(LogDet(A), 2 * LogDet(N), assumed=False, defines=(N,), of=(A,))


def roots(A: Expr, c: sympy.Expr, N: Matrix, V: Matrix) -> tuple[Rule, ...]:
    """N and V, the square roots of M = (I + c AAᵀ)⁻¹ and W = (I + c AᵀA)⁻¹, for c > 0.

    NA = AV, as for every function of AAᵀ and of AᵀA, and so V AᵀA V = AᵀA W = (I − W)/c.
    """
    M, W = Inverse(Identity(A.shape[0]) + c * A @ A.T), Inverse(Identity(A.shape[1]) + c * A.T @ A)
    made = (
        root(N, M),
        root(V, W),
        Rule(N @ A, A @ V, assumed=False),
        Rule(V @ A.T @ A @ V, (Identity(A.shape[1]) - W) / c, assumed=False),
    )
    return tuple(replace(rule, defines=(N, V), of=(M, W, A)) for rule in made)


def exponential_of_sum(a: Expr, b: Expr) -> Rule:
    """exp(a + b) = exp(a) exp(b) of numbers."""
    return Rule(exp(a + b), exp(a) * exp(b), assumed=False, of=(a, b))


def _blocks(U: Matrix, A: Expr) -> Expr:
    return Sum(U.index, U @ A @ U.T, U.count)


def _require_complete(U: Matrix) -> None:
    if not (U.index and U.orthonormal and U.mutually and U.complete):
        raise ValueError(f"U must be a complete family of mutually orthogonal orthonormal bases, got {U}")


def known(left: Expr, right: Expr) -> Rule:
    """An equation that is a hypothesis of the derivation, or defines a matrix that its statement does not name."""
    return Rule(left, right)
