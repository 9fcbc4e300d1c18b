"""The rewriting rules a derivation may use, beside what the normal form knows already.

The normal form multiplies out, rotates traces, and has S⁻¹S = I, hence the Neumann series with its remainder. Each rule
here is an equation for all sizes, used from left to right; the tests evaluate both sides of each in exact arithmetic.
"""

from __future__ import annotations

from derivations.expression import Expr, Identity, Inverse, LogDet
from derivations.normal import Rule


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


def known(left: Expr, right: Expr) -> Rule:
    """An equation that is a hypothesis of the derivation, or defines a matrix that its statement does not name."""
    return Rule(left, right, assumed=True)
