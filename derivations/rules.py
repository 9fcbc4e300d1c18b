"""The rewriting rules a derivation may use, beside what the normal form knows already.

The normal form multiplies out, rotates traces, and has S⁻¹S = I, hence the Neumann series with its remainder. Each rule
here is an equation for all sizes, used from left to right; the tests evaluate both sides of each in exact arithmetic.
"""

from __future__ import annotations

import sympy

from derivations.expression import Expr, Identity, Inverse, LogDet, Matrix, Scalar, Sum
from derivations.normal import Rule, size


def push_through(A: Expr, B: Expr) -> Rule:
    """A (I + BA)⁻¹ = (I + AB)⁻¹ A, since A (I + BA) = (I + AB) A."""
    return Rule(A @ Inverse(Identity(B.shape[0]) + B @ A), Inverse(Identity(A.shape[0]) + A @ B) @ A)


def sylvester(A: Expr, B: Expr) -> Rule:
    """log det(I + AB) = log det(I + BA): the Schur complements of either identity in ((I, −A), (B, I))."""
    return Rule(LogDet(Identity(A.shape[0]) + A @ B), LogDet(Identity(B.shape[0]) + B @ A))


def woodbury(A: Expr, B: Expr) -> Rule:
    """(I + AB)⁻¹ = I − A (I + BA)⁻¹ B."""
    inside = Inverse(Identity(B.shape[0]) + B @ A)
    return Rule(Inverse(Identity(A.shape[0]) + A @ B), Identity(A.shape[0]) - A @ inside @ B)


def multiplicative(A: Expr, B: Expr) -> Rule:
    """log det(AB) = log det A + log det B for square matrices."""
    return Rule(LogDet(A @ B), LogDet(A) + LogDet(B))


def block_log_det(U: Matrix, A: Expr) -> Rule:
    """log det Σ_k U_kA_kU_kᵀ = Σ_k log det A_k in a complete orthonormal family: the blocks of a rotated matrix."""
    _require_complete(U)
    return Rule(LogDet(Sum(U.index, U @ A @ U.T)), Sum(U.index, LogDet(A)))


def block_inverse(U: Matrix, A: Expr) -> Rule:
    """(Σ_k U_kA_kU_kᵀ)⁻¹ = Σ_k U_kA_k⁻¹U_kᵀ in a complete orthonormal family: their product is Σ_k U_kU_kᵀ = I."""
    _require_complete(U)
    return Rule(Inverse(Sum(U.index, U @ A @ U.T)), Sum(U.index, U @ Inverse(A) @ U.T))


def dimension(U: Matrix) -> Rule:
    """d = K p in a complete orthonormal family: the trace of Σ_k U_kU_kᵀ = I."""
    _require_complete(U)
    return Rule(Scalar(size(U.rows)), Scalar(sympy.Symbol("K", positive=True, integer=True) * size(U.cols)))


def _require_complete(U: Matrix) -> None:
    if not (U.index and U.orthonormal and U.mutually and U.complete):
        raise ValueError(f"U must be a complete family of mutually orthogonal orthonormal bases, got {U}")


def known(left: Expr, right: Expr) -> Rule:
    """An equation that is a hypothesis of the derivation, or defines a matrix that its statement does not name."""
    return Rule(left, right, assumed=True)
