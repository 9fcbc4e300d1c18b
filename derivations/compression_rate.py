"""The compression rate Rᶜ(Z|U) = ½ Σ_k log det(I + β Y_kᵀY_k), Y_k = Z U_k: forms, invariance, gradient, curvature."""

from __future__ import annotations

import sympy

from derivations.checks import Calculus, Lemma, Squares
from derivations.coding_rate import INVARIANCE
from derivations.expression import (
    Differential,
    Expr,
    Inverse,
    LogDet,
    Matrix,
    Sum,
    Trace,
    inner,
    norm_squared,
    substitute,
)
from derivations.notation import ANY_BASES, H, I_d, I_n, I_p, R, Z, beta, compression, eps, family, gram, head, n, p
from derivations.proof import Derivation, chain
from derivations.rules import known, push_through, roots, sylvester
from derivations.sources import N23

U = family()
Y = head(U)
W = Inverse(gram(U))
M = Inverse(I_n + beta * Y @ Y.T)
RC = compression(U)
GRADIENT_OF_RC: Expr = beta * Sum("k", Y @ W @ U.T)
"""∇Rᶜ = β Σ_k Y_k W_k U_kᵀ, W_k = (I + β Y_kᵀY_k)⁻¹."""
_NAMES = (("W_k", W), ("M_k", M), ("Y_k", Y))
_PUSH = push_through(Y, beta * Y.T)

TWO_FORMS = Derivation(
    name="two-forms-of-the-compression-rate",
    title="The compression rate from the p x p and from the n x n Gram matrices",
    hypotheses=(ANY_BASES,),
    source=f"{N23}, eq. 8",
    definitions=(("Y_k", Y),),
    steps=chain(
        RC,
        (
            "=",
            Sum("k", LogDet(I_n + beta * Y @ Y.T) / 2),
            Calculus((sylvester(beta * Y.T, Y),)),
            "Sylvester's determinant identity in every head, with A = βY_kᵀ and B = Y_k.",
        ),
    ),
)

V = Matrix("V", "n", "n", orthonormal=True, complete=True)
O = Matrix("O", "d", "d", orthonormal=True, complete=True)  # noqa: E741

TOKEN_ROTATION = Derivation(
    name="compression-rate-sees-only-the-gram-matrix",
    title="The compression rate does not change when tokens are rotated among each other",
    hypotheses=(ANY_BASES, "V orthogonal, n x n"),
    source="derived",
    steps=chain(
        substitute(RC, {Z: V @ Z}),
        (
            "=",
            Sum("k", LogDet(I_p + beta * U.T @ Z.T @ (V.T @ V) @ Z @ U) / 2),
            Calculus(),
            "The transpose of VZU_k is U_kᵀZᵀVᵀ.",
        ),
        ("=", RC, Calculus(), "VᵀV = I."),
    ),
    remark="The rate depends on the d x d matrix ZᵀZ alone: it cannot tell tokens on a union of subspaces from "
    "Gaussian tokens with the same second moment.",
)

JOINT_ROTATION = Derivation(
    name="joint-rotation-of-tokens-and-subspaces",
    title="The compression rate does not change when tokens and subspaces are rotated together",
    hypotheses=(ANY_BASES, "O orthogonal, d x d; tokens ZOᵀ, bases OU_k"),
    source=f"{N23}, section 2.2, in words",
    steps=chain(
        substitute(RC, {Z: Z @ O.T, U: O @ U}),
        (
            "=",
            Sum("k", LogDet(I_p + beta * (Z @ (O.T @ O) @ U).T @ (Z @ (O.T @ O) @ U)) / 2),
            Calculus(),
            "Each head is (ZOᵀ)(OU_k).",
        ),
        ("=", RC, Calculus(), "OᵀO = I: the heads have not changed."),
    ),
)

REDUCTION_ROTATION = Derivation(
    name="joint-rotation-and-the-rate-reduction",
    title="The rate reduction does not change when tokens and subspaces are rotated together",
    hypotheses=(ANY_BASES, "O orthogonal, d x d; tokens ZOᵀ, bases OU_k"),
    source=f"{N23}, section 2.2, in words",
    uses=(INVARIANCE, JOINT_ROTATION),
    steps=chain(
        substitute(R - RC, {Z: Z @ O.T, U: O @ U}),
        ("=", R - JOINT_ROTATION.left, Lemma(INVARIANCE, {V: I_n}), "The coding rate of rotated tokens."),
        ("=", R - RC, Lemma(JOINT_ROTATION), "The compression rate of rotated tokens and subspaces."),
    ),
)

_control = Matrix("Z'", "n", "d")

SECOND_MOMENT = Derivation(
    name="rate-reduction-sees-only-the-gram-matrix",
    title="The rate reduction against subspaces is the same for all tokens with one second moment",
    hypotheses=(ANY_BASES, "Z'ᵀZ' = ZᵀZ"),
    source="derived",
    steps=chain(
        substitute(R - RC, {Z: _control}),
        ("=", R - RC, Calculus((known(_control.T @ _control, Z.T @ Z),)), "Both rates contain ZᵀZ alone."),
    ),
)

_t = sympy.Symbol("t", positive=True)


def _at(tokens: Expr, precision: sympy.Expr) -> Expr:
    return Sum("k", LogDet(I_p + p / (n * precision**2) * (tokens @ U).T @ tokens @ U) / 2)


SCALE = Derivation(
    name="compression-rate-of-scaled-tokens",
    title="Scaling the tokens and the precision together does not change the compression rate",
    hypotheses=(ANY_BASES, "t > 0, β = p/(nε²)"),
    source=f"{N23}, eq. 8",
    steps=chain(_at(_t * Z, _t * eps), ("=", _at(Z, eps), Calculus(), "t² cancels.")),
)

TWO_GRADIENTS = Derivation(
    name="two-forms-of-the-gradient-of-the-compression-rate",
    title="The gradient of the compression rate with inverses of p x p and of n x n matrices is the same",
    hypotheses=(ANY_BASES,),
    source=f"{N23}, eq. 9",
    definitions=_NAMES,
    steps=chain(
        Sum("k", Y @ W @ U.T),
        ("=", Sum("k", M @ Y @ U.T), Calculus((_PUSH,)), "Push-through: Y(I + βYᵀY) = (I + βYYᵀ)Y in every head."),
    ),
)

GRADIENT = Derivation(
    name="gradient-of-the-compression-rate",
    title="The gradient of the compression rate, with inverses of p x p and of n x n matrices",
    hypotheses=(ANY_BASES, "any direction H"),
    source=f"{N23}, eq. 9",
    definitions=_NAMES,
    steps=chain(
        Differential(RC, Z, H),
        (
            "=",
            beta / 2 * Sum("k", Trace(W @ (U.T @ H.T @ Y + Y.T @ H @ U))),
            Calculus(),
            "d log det A = tr(A⁻¹ dA) in every head, with dY_k = HU_k.",
        ),
        ("=", inner(GRADIENT_OF_RC, H), Calculus(), "The two terms are transposes of one another; rotate the trace."),
        (
            "=",
            inner(beta * Sum("k", M @ Y @ U.T), H),
            Calculus((_PUSH,)),
            "Push-through: Y(I + βYᵀY)⁻¹ = (I + βYYᵀ)⁻¹Y.",
        ),
    ),
    remark="The source prints the n x n form; the p x p form needs the smaller inverse whenever n > p.",
)

# --- the reading as ridge regression ----------------------------------------------------------------------------

_Y = Matrix("Y", "n", "p")
Q = Matrix("Q", "n", "n")
_H = Matrix("H", "n", "n")
_M = Inverse(I_n + beta * _Y @ _Y.T)
BEST: Expr = beta * _Y @ _Y.T @ _M
"""Q* = β YYᵀ(I + β YYᵀ)⁻¹."""
RIDGE: Expr = beta * norm_squared(_Y - Q @ _Y) + norm_squared(Q)
"""β‖Y − QY‖² + ‖Q‖²: every token regressed on all tokens, itself among them."""
_RIDGE_NAMES = (("Q*", BEST), ("M", _M))

RIDGE_RESIDUAL = Derivation(
    name="gradient-is-a-regression-residual",
    title="A head's gradient is the residual of a ridge regression of its tokens on themselves",
    hypotheses=("any tokens Y of a head",),
    source=f"{N23}, after eq. 9",
    definitions=_RIDGE_NAMES,
    uses=(GRADIENT,),
    steps=chain(
        _Y @ Inverse(I_p + beta * _Y.T @ _Y),
        ("=", _M @ _Y, Calculus((push_through(_Y, beta * _Y.T),)), "Push-through."),
        ("=", _Y - BEST @ _Y, Calculus(), "M = I − βYYᵀM."),
    ),
    remark="Q* has a diagonal: a token is also regressed on itself, not only on the others as the text has it.",
)

RIDGE_SLOPE = Derivation(
    name="slope-of-the-ridge-objective",
    title="The ridge objective is stationary at Q* and nowhere else",
    hypotheses=("any tokens Y of a head, any Q and direction H",),
    source=f"{N23}, after eq. 9",
    definitions=_RIDGE_NAMES,
    steps=chain(
        Differential(RIDGE, Q, _H),
        (
            "=",
            2 * inner(Q, _H) - 2 * beta * inner(_Y - Q @ _Y, _H @ _Y),
            Calculus(),
            "The product rule.",
        ),
        (
            "=",
            2 * inner(Q @ (I_n + beta * _Y @ _Y.T) - beta * _Y @ _Y.T, _H),
            Calculus(),
            "Everything that multiplies H.",
        ),
        (
            "=",
            2 * inner((Q - BEST) @ (I_n + beta * _Y @ _Y.T), _H),
            Calculus(),
            "Q*(I + βYYᵀ) = βYYᵀ. The last factor is invertible, so this is zero for all H only if Q = Q*.",
        ),
    ),
)

RIDGE_MINIMUM = Derivation(
    name="minimum-of-the-ridge-objective",
    title="The ridge objective is least at Q*",
    hypotheses=("any tokens Y of a head and any Q",),
    source=f"{N23}, after eq. 9",
    definitions=_RIDGE_NAMES,
    uses=(RIDGE_SLOPE,),
    steps=chain(
        RIDGE,
        (
            ">=",
            substitute(RIDGE, {Q: BEST}),
            Squares(((1, Q - BEST), (beta, (Q - BEST) @ _Y))),
            "The objective is quadratic with no slope at Q*, so the difference is ‖Q − Q*‖² + β‖(Q − Q*)Y‖².",
        ),
    ),
)

# --- curvature --------------------------------------------------------------------------------------------------

_HU = H @ U

HESSIAN = Derivation(
    name="hessian-of-the-compression-rate",
    title="The second derivative of the compression rate",
    hypotheses=(ANY_BASES, "any direction H"),
    source=f"{N23}, lemma 5, in every head",
    definitions=_NAMES,
    uses=(GRADIENT,),
    steps=chain(
        Differential(Differential(RC, Z, H), Z, H),
        (
            "=",
            Sum("k", beta * inner(_HU @ W, _HU) - beta**2 * Trace(W @ (_HU.T @ Y + Y.T @ _HU) @ W @ Y.T @ _HU)),
            Calculus(),
            "The product rule on the gradient, with dW_k = −βW_k(U_kᵀHᵀY_k + Y_kᵀHU_k)W_k.",
        ),
        (
            "=",
            Sum("k", beta * inner(M @ _HU @ W, _HU) - beta**2 * Trace(_HU.T @ M @ Y @ _HU.T @ M @ Y)),
            Calculus((_PUSH,)),
            "Push-through, and I − βY_kW_kY_kᵀ = M_k.",
        ),
    ),
)

# Square roots in every head: NN = M, VV = W, NY = YV as for every function of YYᵀ and of YᵀY.
_N = Matrix("N", "n", "n", "k", symmetric=True)
_V = Matrix("V", "p", "p", "k", symmetric=True)
_ROOTS = (
    *roots(Y, beta, _N, _V),
    _PUSH,
)
_G = _N @ _HU @ _V

c = sympy.Symbol("c", positive=True)
P = Matrix("P", "d", "d", psd=True)
OVERLAP = known(P, c * I_d - Sum("k", U @ U.T))
"""P = cI − Σ_k U_kU_kᵀ, which is positive semidefinite: c is at least the largest eigenvalue of the sum."""
OVERLAP_HYPOTHESIS = "P = cI − Σ_k U_kU_kᵀ is positive semidefinite: c is at least the largest eigenvalue of the sum"
L = beta * c
"""The Lipschitz constant of ∇Rᶜ."""

ABOVE = Derivation(
    name="curvature-of-the-compression-rate-from-above",
    title="The Hessian of the compression rate is at most beta times the overlap of the subspaces",
    hypotheses=(ANY_BASES, "any direction H", OVERLAP_HYPOTHESIS),
    source="derived",
    definitions=(*_NAMES, ("G_k", _G)),
    uses=(HESSIAN,),
    steps=chain(
        HESSIAN.left,
        ("=", HESSIAN.right, Calculus((_PUSH,)), "The second derivative."),
        (
            "<=",
            beta * Sum("k", norm_squared(_HU)),
            Squares(
                squares=(
                    (beta**2 / 2, _G.T @ Y + Y.T @ _G),
                    (beta**2, _G @ Y.T),
                    (beta**3, Y.T @ _G @ Y.T),
                ),
                rules=_ROOTS,
                over="k",
            ),
            "In every head, as for the coding rate: with G_k = N_kHU_kV_k the difference is a sum of squares.",
        ),
        (
            "<=",
            L * norm_squared(H),
            Squares(weighted=((beta, H.T, P),), rules=(OVERLAP,)),
            "The difference is β tr(HPHᵀ).",
        ),
    ),
    remark="With L = βc and c the largest eigenvalue of Σ_k U_kU_kᵀ this is attained at Z = 0. For mutually orthogonal "
    "orthonormal bases c = 1.",
)

BELOW = Derivation(
    name="curvature-of-the-compression-rate-from-below",
    title="The Hessian of the compression rate is at least -1/8 of its bound from above",
    hypotheses=(ANY_BASES, "any direction H", OVERLAP_HYPOTHESIS),
    source="derived",
    definitions=(*_NAMES, ("G_k", _G)),
    uses=(HESSIAN,),
    steps=chain(
        HESSIAN.left,
        ("=", HESSIAN.right, Calculus((_PUSH,)), "The second derivative."),
        (
            ">=",
            -beta / 8 * Sum("k", norm_squared(_HU)),
            Squares(
                squares=(
                    (beta / 8, beta * Y @ _G.T @ Y - 3 * _G),
                    (beta**2 / 16, _G.T @ Y - Y.T @ _G),
                    (beta**2 / 16, Y @ _G.T - _G @ Y.T),
                ),
                rules=_ROOTS,
                over="k",
            ),
            "In every head, as for the coding rate: with G_k = N_kHU_kV_k the difference is a sum of squares.",
        ),
        (
            ">=",
            -L / 8 * norm_squared(H),
            Squares(weighted=((beta / 8, H.T, P),), rules=(OVERLAP,)),
            "The difference is β/8 tr(HPHᵀ).",
        ),
    ),
)

AT_ZERO = Derivation(
    name="curvature-of-the-compression-rate-at-zero",
    title="The Hessian of the compression rate at Z = 0",
    hypotheses=("Z = 0", "any direction H and any matrices U_k"),
    source="derived",
    definitions=_NAMES,
    uses=(HESSIAN,),
    steps=chain(
        HESSIAN.left,
        (
            "=",
            Sum("k", beta * inner(_HU @ W, _HU) - beta**2 * Trace(W @ (_HU.T @ Y + Y.T @ _HU) @ W @ Y.T @ _HU)),
            Calculus(),
            "The second derivative.",
        ),
        (
            "=",
            beta * Trace(H @ Sum("k", U @ U.T) @ H.T),
            Calculus((known(Z, 0 * Z),)),
            "At Z = 0 every Y_k is zero and every W_k is I.",
        ),
    ),
    remark="Along the top eigenvector of Σ_k U_kU_kᵀ this is L‖H‖².",
)

_ORTHOGONAL = family(orthonormal=True, mutually=True)

BESSEL = Derivation(
    name="projections-on-orthogonal-subspaces",
    title="Mutually orthogonal subspaces overlap by at most 1",
    hypotheses=("orthonormal bases U_k of mutually orthogonal subspaces", "any H"),
    source="Bessel's inequality",
    steps=chain(
        Sum("k", norm_squared(H @ _ORTHOGONAL)),
        (
            "<=",
            norm_squared(H),
            Squares(((1, H - H @ Sum("k", _ORTHOGONAL @ _ORTHOGONAL.T)),)),
            "The difference is the square of what lies outside all subspaces, ‖H − Σ_k HU_kU_kᵀ‖².",
        ),
    ),
    remark="So c = 1 in the bounds on the curvature, and the exact step may be as long as 2/β.",
)
