"""ToST: the variational rate ½ Σ_k (n_k/n) Σ_i f(v_ki), v_k = diag(U_kᵀ ZᵀDiag(π_k)Z U_k)/n_k, f(x) = log(1 + cx)."""

from __future__ import annotations

from functools import cache

import sympy

from derivations.checks import Calculus, Lemma, OnInterval
from derivations.expression import (
    Diag,
    Diagonal,
    Differential,
    Entrywise,
    Expr,
    Hadamard,
    Identity,
    Inverse,
    LogDet,
    Matrix,
    Ones,
    Scalar,
    Size,
    Sum,
    Trace,
    inner,
)
from derivations.notation import H, I_d, Z, family, head
from derivations.partition_rate import TANGENT, tangent
from derivations.proof import Derivation, chain
from derivations.rules import diagonal_inverse, diagonal_log_det, sylvester
from derivations.sources import TOST

c = sympy.Symbol("c", positive=True)
"""d/ε²."""
U = family()
Y = head(U)
omega = Matrix("omega", "n", 1, "k")
nu = Matrix("nu", 1, 1, "k", psd=True)
"""The share n_k/n of a head; its memberships are π_k = n_k ω_k."""
_x = sympy.Symbol("x", nonnegative=True)
F = sympy.Lambda(_x, sympy.log(1 + c * _x))
SLOPE = sympy.Lambda(_x, c / (1 + c * _x))
"""f and f'."""
MOMENTS: Expr = Diagonal(Y.T @ Diag(omega) @ Y)
"""v_k, the second moments along the columns of U_k."""
GAIN: Expr = Diag(Entrywise(SLOPE, MOMENTS))
"""D_k = Diag(f'(v_k))."""
RATE: Expr = Sum("k", Trace(nu) * inner(Ones("p"), Entrywise(F, MOMENTS)) / 2)
_HYPOTHESES = ("any tokens and bases", "memberships π_k = n_k ω_k held fixed, shares ν_k = n_k/n")
_NAMES = (("D_k", GAIN), ("v_k", MOMENTS))

_moved = H @ U

GRADIENT = Derivation(
    name="gradient-of-the-variational-rate",
    title="The gradient of ToST's variational rate",
    hypotheses=(*_HYPOTHESES, "any direction H"),
    source=f"{TOST}, the gradient of the variational rate",
    definitions=_NAMES,
    steps=chain(
        Differential(RATE, Z, H),
        (
            "=",
            Sum("k", Trace(nu) * Trace(GAIN @ Y.T @ Diag(omega) @ _moved)),
            Calculus(),
            "The chain rule in every entry; both factors Y_k move alike.",
        ),
        (
            "=",
            inner(Sum("k", Trace(nu) * Diag(omega) @ Y @ GAIN @ U.T), H),
            Calculus(),
            "What multiplies H.",
        ),
    ),
    remark="With π_k = n_k ω_k it is (1/n) Σ_k Diag(π_k) Z U_k D_k U_kᵀ: token by token "
    "z⁺ = z − (τ/n) Σ_k π_k U_k D_k U_kᵀ z, no Gram matrix between tokens.",
)

_held = Matrix("D", "p", "p", "k", symmetric=True)
QUADRATIC: Expr = Sum("k", Trace(nu) * Trace(_held @ Y.T @ Diag(omega) @ Y) / 2)

MAJORISER = Derivation(
    name="quadratic-of-the-variational-rate",
    title="With its gains held fixed the variational rate is a quadratic with the same gradient",
    hypotheses=(*_HYPOTHESES, "gains D_k held fixed, any direction H"),
    source=f"{TOST}, the layer",
    uses=(GRADIENT,),
    steps=chain(
        Sum("k", Trace(nu) * Trace(_held @ ((Z + H) @ U).T @ Diag(omega) @ ((Z + H) @ U)) / 2),
        (
            "=",
            QUADRATIC
            + inner(Sum("k", Trace(nu) * Diag(omega) @ Y @ _held @ U.T), H)
            + Sum("k", Trace(nu) * Trace(_held @ _moved.T @ Diag(omega) @ _moved) / 2),
            Calculus(),
            "Multiplied out.",
        ),
    ),
    remark="f is concave, so the rate lies below its tangent in v_k, which is this quadratic and a constant: the step "
    "majorises.",
)

t = sympy.Symbol("t", nonnegative=True)

LOG_ABOVE = Derivation(
    name="tangent-of-the-logarithm-to-the-right",
    title="The logarithm lies below its tangent to the right of the point of contact",
    hypotheses=("t = c(x − a)/(1 + ca) ≥ 0: log(1 + cx) − log(1 + ca) = log(1 + t)",),
    source="concavity",
    steps=chain(
        Scalar(sympy.log(1 + t)),
        ("<=", Scalar(t), OnInterval(t, sympy.Integer(0), sympy.oo), "Equal at 0; the derivative is t/(1 + t)."),
    ),
    remark="So f(x) ≤ f(a) + f'(a)(x − a) for x ≥ a.",
)

LOG_BELOW = Derivation(
    name="tangent-of-the-logarithm-to-the-left",
    title="The logarithm lies below its tangent to the left of the point of contact",
    hypotheses=("1 + t = (1 + ca)/(1 + cx) ≥ 1: log(1 + cx) − log(1 + ca) = −log(1 + t)",),
    source="concavity",
    steps=chain(
        Scalar(-sympy.log(1 + t)),
        (
            "<=",
            Scalar(-t / (1 + t)),
            OnInterval(t, sympy.Integer(0), sympy.oo),
            "Equal at 0; the derivative of the difference is t/(1 + t)².",
        ),
    ),
    remark="c(x − a)/(1 + ca) = −t/(1 + t), so f(x) ≤ f(a) + f'(a)(x − a) for x ≤ a.",
)

# --- a determinant is at most the product of its diagonal -------------------------------------------------------


@cache
def hadamard(size: Size) -> Derivation:
    """The log determinant of a matrix of a size is at most that of its diagonal."""
    X, A, B = (Matrix(name, size, size, psd=True) for name in "XAB")
    along = Diagonal(X)
    flat = Identity(size) + c * Diag(along)
    return Derivation(
        name="log-det-at-most-sum-over-the-diagonal",
        title="log det(I + cX) is at most the sum of log(1 + cx_ii) over the diagonal",
        hypotheses=("X positive semidefinite",),
        source=f"{TOST}, theorem 1 for f = log(1 + cx); Hadamard's inequality",
        uses=(TANGENT,),
        steps=chain(
            LogDet(Identity(size) + c * X),
            (
                "<=",
                LogDet(flat) + Trace(Inverse(flat) @ (c * X - c * Diag(along))),
                Lemma(tangent(size), {A: flat, B: Identity(size) + c * X}),
                "The tangent of log det at the diagonal of I + cX.",
            ),
            (
                "=",
                LogDet(flat),
                Calculus((diagonal_inverse(along, c),)),
                "The slope is a diagonal matrix, and what it is multiplied with has a zero diagonal.",
            ),
            (
                "=",
                inner(Ones(size), Entrywise(F, along)),
                Calculus((diagonal_log_det(along, c),)),
                "The determinant of a diagonal matrix.",
            ),
        ),
        remark="Equality when X is diagonal.",
    )


HADAMARD = hadamard("p")

_Q = Matrix("U", "d", "d", orthonormal=True, complete=True)
_root = Matrix("s", "d", 1)
_M, _X = Matrix("M", "d", "d", psd=True), Matrix("X", "d", "d", psd=True)
_seen = _Q.T @ _M @ _Q

VARIATIONAL = Derivation(
    name="variational-bound-on-the-rate",
    title="In any orthonormal basis the variational rate is at least the rate",
    hypotheses=("M positive semidefinite, U orthogonal",),
    source=f"{TOST}, theorem 1",
    uses=(HADAMARD,),
    steps=chain(
        LogDet(I_d + c * _M),
        (
            "=",
            LogDet(I_d + c * _seen),
            Calculus((sylvester(c * _Q.T @ _M, _Q),)),
            "Sylvester, with UUᵀ = I.",
        ),
        (
            "<=",
            inner(Ones("d"), Entrywise(F, Diagonal(_seen))),
            Lemma(hadamard("d"), {_X: _seen}, rules=(sylvester(c * _Q.T @ _M, _Q),)),
            "Hadamard's inequality in the basis U.",
        ),
    ),
    remark="Equality when U diagonalises M. With fewer columns than d the bound can fail, unless the image of M lies "
    "in their span.",
)

ATTAINED = Derivation(
    name="variational-bound-is-attained",
    title="In a basis of singular directions the variational rate is the rate",
    hypotheses=("U orthogonal, UᵀMU = Diag(v), v nonnegative: its square root is s, entry by entry",),
    source=f"{TOST}, theorem 1",
    uses=(VARIATIONAL,),
    steps=chain(
        LogDet(I_d + c * _Q @ Diag(Hadamard(_root, _root)) @ _Q.T),
        (
            "=",
            LogDet(I_d + c * Diag(Hadamard(_root, _root))),
            Calculus((sylvester(c * _Q @ Diag(Hadamard(_root, _root)), _Q.T),)),
            "Sylvester, with UᵀU = I.",
        ),
        (
            "=",
            inner(Ones("d"), Entrywise(F, Hadamard(_root, _root))),
            Calculus((diagonal_log_det(Hadamard(_root, _root), c),)),
            "The determinant of a diagonal matrix.",
        ),
    ),
)
