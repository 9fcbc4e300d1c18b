"""The spectrum of the Hessian of the coding rate: divided differences of g(s) = αs/(1 + αs²), the slope of the rate.

With Z = ASBᵀ, a singular value decomposition, the Hessian keeps the directions AKBᵀ, the directions from A or B out of
their span, and what is outside both, apart from one another.
"""

from __future__ import annotations

import sympy

from derivations.checks import Calculus, Squares
from derivations.coding_rate import GRADIENT
from derivations.expression import Differential, Expr, Identity, Inverse, Matrix, Scalar, expression
from derivations.notation import W, Z, alpha
from derivations.proof import Derivation, chain
from derivations.rules import known, push_through, woodbury
from derivations.sources import N23

A = Matrix("A", "n", "r", orthonormal=True)
B = Matrix("B", "d", "r", orthonormal=True)
S = Matrix("S", "r", "r", diagonal=True)
I_r, I_1 = Identity("r"), Identity(1)
T = Inverse(I_r + alpha * S @ S)
SVD = known(Z, A @ S @ B.T)
HYPOTHESES = ("Z = ASBᵀ, a singular value decomposition: AᵀA = BᵀB = I, S diagonal",)
THROUGH = push_through(B.T, alpha * B @ S @ S)
AROUND = woodbury(alpha * B @ S @ S, B.T)
COMMUTE = push_through(S, alpha * S)
SLOPE: Expr = alpha * Z @ W
"""∇R(Z)."""

x, y = sympy.symbols("x y", positive=True)
"""√α times two singular values."""
_s = sympy.Symbol("s", positive=True)
SIZE = 1 / ((1 + x**2) * (1 + y**2))

K = Matrix("K", "r", "r")
INSIDE = Derivation(
    name="hessian-in-singular-coordinates",
    title="The Hessian of the coding rate in the coordinates of the singular vectors",
    hypotheses=(*HYPOTHESES, "any direction AKBᵀ"),
    source=f"{N23}, lemma 5, in the singular basis",
    definitions=(("T", T), ("W", W)),
    uses=(GRADIENT,),
    steps=chain(
        A.T @ Differential(SLOPE, Z, A @ K @ B.T) @ B,
        (
            "=",
            alpha * T @ K @ T - alpha**2 * S @ T @ K.T @ S @ T,
            Calculus((SVD, THROUGH, AROUND, COMMUTE)),
            "dW = −αW(HᵀZ + ZᵀH)W, WB = BT by push-through, and I − αS²T = T.",
        ),
    ),
    remark="So entries k_ij and k_ji are coupled to one another alone, by the 2 x 2 matrix with αt_it_j on its "
    "diagonal and −α²s_it_is_jt_j beside it: its eigenvalues are αt_it_j(1 ∓ αs_is_j), with t = 1/(1 + αs²).",
)

C = Matrix("C", "d", "q", orthonormal=True)
L = Matrix("L", "r", "q")
BESIDE = Derivation(
    name="hessian-beside-the-right-singular-vectors",
    title="On directions out of the span of the right singular vectors the Hessian is alpha / (1 + alpha s^2)",
    hypotheses=(*HYPOTHESES, "columns C orthogonal to those of B, any direction ALCᵀ"),
    source=f"{N23}, lemma 5, in the singular basis",
    definitions=(("T", T), ("W", W)),
    uses=(GRADIENT,),
    steps=chain(
        Differential(SLOPE, Z, A @ L @ C.T),
        (
            "=",
            alpha * A @ T @ L @ C.T,
            Calculus((SVD, known(B.T @ C, 0 * B.T @ C), THROUGH, AROUND, COMMUTE)),
            "CᵀW = Cᵀ, and HᵀZ = CLᵀSBᵀ contributes −αAS²TLCᵀ.",
        ),
    ),
    remark="α/(1 + αs²) = g(s)/s, the divided difference of g between s and 0.",
)

E = Matrix("E", "n", "q", orthonormal=True)
N = Matrix("N", "q", "d")
OUTSIDE = Derivation(
    name="hessian-beside-the-left-singular-vectors",
    title="On directions out of the span of the left singular vectors the Hessian multiplies by alpha W",
    hypotheses=(*HYPOTHESES, "columns E orthogonal to those of A, any direction EN"),
    source=f"{N23}, lemma 5, in the singular basis",
    definitions=(("W", W),),
    uses=(GRADIENT,),
    steps=chain(
        Differential(SLOPE, Z, E @ N),
        (
            "=",
            alpha * E @ N @ W,
            Calculus((known(Z.T @ E, 0 * Z.T @ E),)),
            "ZᵀH = 0, so W does not move.",
        ),
    ),
)


def _g(s: sympy.Expr) -> sympy.Expr:
    return alpha * s / (1 + alpha * s**2)


a, b = sympy.symbols("a b", positive=True)
DIFFERENCE = Derivation(
    name="hessian-eigenvalues-are-divided-differences",
    title="The eigenvalue on symmetric pairs is the divided difference of g",
    hypotheses=("singular values a and b that differ; for a = b it is the limit, g'(a)",),
    source=f"{N23}, lemma 6, in its sharp form",
    definitions=(("g(s)", Scalar(alpha * _s / (1 + alpha * _s**2))),),
    uses=(INSIDE,),
    steps=chain(
        expression((_g(a) - _g(b)) / (a - b)),
        (
            "=",
            expression(alpha * (1 - alpha * a * b) / ((1 + alpha * a**2) * (1 + alpha * b**2))),
            Calculus(),
            "One denominator; a − b divides out.",
        ),
    ),
)

SUM = Derivation(
    name="hessian-eigenvalues-on-skew-pairs",
    title="The eigenvalue on skew pairs is (g(a) + g(b)) / (a + b)",
    hypotheses=("singular values a and b",),
    source=f"{N23}, lemma 6, in its sharp form",
    definitions=(("g(s)", Scalar(alpha * _s / (1 + alpha * _s**2))),),
    uses=(INSIDE,),
    steps=chain(
        expression((_g(a) + _g(b)) / (a + b)),
        (
            "=",
            expression(alpha * (1 + alpha * a * b) / ((1 + alpha * a**2) * (1 + alpha * b**2))),
            Calculus(),
            "One denominator; a + b divides out.",
        ),
    ),
)

LEAST = Derivation(
    name="least-eigenvalue-of-the-hessian",
    title="The divided differences of g, which the Hessian has on symmetric pairs, are at least -alpha/8",
    hypotheses=("x and y are √α times two singular values",),
    source=f"{N23}, lemma 6, in its sharp form",
    uses=(DIFFERENCE,),
    steps=chain(
        expression(alpha * (1 - x * y) * SIZE),
        (
            ">=",
            expression(-alpha / 8),
            Squares(((alpha * SIZE / 8, (x - y) * I_1), (alpha * SIZE / 8, (x * y - 3) * I_1))),
            "(1 + x²)(1 + y²) + 8(1 − xy) = (x − y)² + (xy − 3)².",
        ),
    ),
    remark="Equality at x = y with x² = 3: a singular value with αs² = 3, so the bound is sharp.",
)

LARGEST = Derivation(
    name="largest-eigenvalue-of-the-hessian",
    title="What the Hessian of the coding rate has on skew pairs is at most alpha",
    hypotheses=("x and y are √α times two singular values",),
    source=f"{N23}, lemma 6, in its sharp form",
    uses=(SUM,),
    steps=chain(
        expression(alpha * (1 + x * y) * SIZE),
        (
            "<=",
            expression(alpha),
            Squares(
                (
                    (alpha * SIZE / 2, (x - y) * I_1),
                    (alpha * SIZE / 2, x * I_1),
                    (alpha * SIZE / 2, y * I_1),
                    (alpha * SIZE, x * y * I_1),
                )
            ),
            "(1 + x²)(1 + y²) − (1 + xy) = (x − y)²/2 + x²/2 + y²/2 + x²y².",
        ),
    ),
    remark="Equality at x = y = 0, so the bound is sharp.",
)
