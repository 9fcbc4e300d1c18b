"""The first-order Neumann step: (I + X)⁻¹ replaced by I − X, with what it leaves out and where it turns around."""

from __future__ import annotations

import sympy

from derivations.checks import Calculus, Lemma, OnInterval, Spectrum, Squares
from derivations.compression_rate import GRADIENT, GRADIENT_OF_RC, RC, U, W, Y
from derivations.compression_step import (
    AROUND,
    EXACT_DIRECTIONS,
    GRADIENT_O,
    LEFT,
    ORTHOGONAL,
    RIGHT,
    SQUARED,
    SVD,
    SVD_HYPOTHESES,
    U_J,
    VALUES,
    W_O,
    X_O,
    Y_O,
    I_r,
    of_j,
)
from derivations.expression import Expr, Inverse, LogDet, Matrix, Sum, Trace, expression, inner, norm_squared
from derivations.notation import I_p, beta
from derivations.proof import Derivation, chain
from derivations.rules import known
from derivations.sources import BOOK, HU, N23

X = Matrix("X", "p", "p")
PSD = Matrix("X", "p", "p", psd=True)

SERIES = Derivation(
    name="neumann-series-with-remainder",
    title="The Neumann series of the inverse, with its remainder after one to four terms",
    hypotheses=("I + X has an inverse",),
    source=f"{N23}, eq. 67",
    steps=chain(
        Inverse(I_p + X),
        ("=", I_p - X @ Inverse(I_p + X), Calculus(), "(I + X)(I + X)⁻¹ = I."),
        ("=", I_p - X + X @ X @ Inverse(I_p + X), Calculus(), "The step before, for the inverse that is left."),
        ("=", I_p - X + X @ X - X @ X @ X @ Inverse(I_p + X), Calculus(), "And again."),
        (
            "=",
            I_p - X + X @ X - X @ X @ X + X @ X @ X @ X @ Inverse(I_p + X),
            Calculus(),
            "And again: after m terms the remainder is (−X)^m (I + X)⁻¹.",
        ),
    ),
    remark=f"The series starts with X⁰ = I. {BOOK} prints a sum from k = 1, which lacks this term.",
)

REMAINDER = Derivation(
    name="remainder-of-the-first-order-neumann-inverse",
    title="What the first-order Neumann inverse leaves out",
    hypotheses=("I + X has an inverse",),
    source=f"{N23}, eq. 67-69",
    uses=(SERIES,),
    steps=chain(
        Inverse(I_p + X) - (I_p - X),
        ("=", X @ X @ Inverse(I_p + X), Calculus(), "(I + X)⁻¹ = I − X(I + X)⁻¹, twice."),
    ),
)

E = Matrix("E", "p", "q")

REMAINDER_SIGN = Derivation(
    name="first-order-neumann-is-too-small",
    title="The first-order Neumann inverse is too small in every direction",
    hypotheses=("X positive semidefinite", "the columns of E are any directions"),
    source=f"{N23}, eq. 67-69",
    uses=(SERIES,),
    steps=chain(
        inner(E, Inverse(I_p + PSD) @ E),
        (
            ">=",
            inner(E, (I_p - PSD) @ E),
            Squares(weighted=((1, PSD @ E, Inverse(I_p + PSD)),)),
            "The difference is tr((XE)ᵀ(I + X)⁻¹(XE)), as X commutes with the inverse.",
        ),
    ),
)

XK = beta * Y.T @ Y
NEUMANN_GRADIENT: Expr = beta * Sum("k", Y @ (I_p - XK) @ U.T)
"""β Σ_k Y_k(I − X_k)U_kᵀ with X_k = βY_kᵀY_k."""
LEFT_OUT: Expr = beta * Sum("k", Y @ XK @ XK @ W @ U.T)
"""β Σ_k Y_k X_k²(I + X_k)⁻¹ U_kᵀ."""
_NAMES = (("W_k", W), ("X_k", XK), ("Y_k", Y))

FIRST_ORDER = Derivation(
    name="first-order-neumann-gradient",
    title="The gradient of the compression rate to first order in the Gram matrices, with its exact remainder",
    hypotheses=("any tokens and any matrices U_k, overlapping or not",),
    source=f"{N23}, eq. 67-69",
    definitions=_NAMES,
    uses=(GRADIENT, SERIES),
    steps=chain(
        GRADIENT_OF_RC,
        (
            "=",
            beta * Sum("k", Y @ (I_p - XK + XK @ XK @ W) @ U.T),
            Calculus(),
            "In every head W_k = I − X_k + X_k²W_k.",
        ),
        ("=", NEUMANN_GRADIENT + LEFT_OUT, Calculus(), "The part to first order and the rest."),
    ),
)

# --- on singular directions -------------------------------------------------------------------------------------

_FIRST: Expr = beta * Sum("k", Y_O @ (I_p - X_O) @ ORTHOGONAL.T)

FIRST_ORDER_DIRECTIONS = Derivation(
    name="neumann-gradient-on-singular-directions",
    title="The first-order gradient multiplies every singular value s of a head by 1 - beta s^2",
    hypotheses=SVD_HYPOTHESES,
    source="derived",
    definitions=(("Y_k", Y_O), ("Y_j", of_j(Y_O))),
    uses=(FIRST_ORDER,),
    steps=chain(
        _FIRST @ U_J,
        ("=", of_j(beta * Y_O @ (I_p - X_O)), Calculus(), "U_kᵀU_j is I for k = j and zero otherwise."),
        (
            "=",
            of_j(beta * LEFT @ VALUES @ (I_r - SQUARED) @ RIGHT.T),
            Calculus((SVD,)),
            "A and B have orthonormal columns.",
        ),
    ),
)

x = sympy.Symbol("x", nonnegative=True)

DIRECTIONS = Derivation(
    name="slope-of-the-neumann-direction",
    title="How the first-order gradient and the exact one agree, singular value by singular value",
    hypotheses=SVD_HYPOTHESES,
    source="derived",
    definitions=(("Y_k", Y_O), ("W_k", W_O), ("X_k", X_O)),
    uses=(EXACT_DIRECTIONS, FIRST_ORDER_DIRECTIONS),
    steps=chain(
        inner(GRADIENT_O, _FIRST),
        (
            "=",
            beta * Sum("k", Trace(X_O @ W_O @ (I_p - X_O))),
            Calculus(),
            "U_kᵀU_j is I for k = j and zero otherwise.",
        ),
        (
            "=",
            beta * Sum("k", Trace(SQUARED @ (I_r - SQUARED) @ Inverse(I_r + SQUARED))),
            Calculus((SVD, AROUND)),
            "Woodbury: W = I − βBS²(I + βS²)⁻¹Bᵀ. A sum of x(1 − x)/(1 + x) over all x = βs².",
        ),
    ),
)

x = sympy.Symbol("x", nonnegative=True)
_SHARE = expression(x * (1 - x) / (1 + x))

BEFORE_THE_TURN = Derivation(
    name="neumann-gradient-before-the-turn",
    title="Up to beta s^2 = 1 the first-order gradient has the sign of the exact one",
    hypotheses=("x = βs² between 0 and 1, for a singular value s of a head; orthonormal, mutually orthogonal bases",),
    source=f"{N23}, eq. 67-69",
    uses=(DIRECTIONS,),
    steps=chain(
        _SHARE,
        (
            ">=",
            expression(0),
            OnInterval(x, sympy.Integer(0), sympy.Integer(1)),
            "A direction's share in the slope has no root between 0 and 1.",
        ),
    ),
)

TURN = Derivation(
    name="neumann-gradient-turns-around",
    title="Beyond beta s^2 = 1 the first-order gradient points against the exact one",
    hypotheses=("x = βs² at least 1, for a singular value s of a head; orthonormal, mutually orthogonal bases",),
    source=f"{N23}, eq. 67-69, which states no condition",
    uses=(DIRECTIONS,),
    steps=chain(
        _SHARE,
        (
            "<=",
            expression(0),
            OnInterval(x, sympy.Integer(1), sympy.oo),
            "A direction's share in the slope has no root beyond 1.",
        ),
    ),
    remark="Relative to the exact factor 1/(1 + x) the first-order factor 1 − x is wrong by x². Unit tokens with "
    "ε = 0.1 put most directions beyond 1: the step expands what it should compress.",
)

_P = Matrix("P", "p", "p", "k", psd=True)
_BOUNDED = known(_P, I_p - X_O)

DESCENDS = Derivation(
    name="neumann-direction-descends-below-one",
    title="The first-order direction is one of descent while the heads' Gram matrices are at most 1",
    hypotheses=(
        "orthonormal bases U_k of mutually orthogonal subspaces",
        "P_k = I − X_k is positive semidefinite, with X_k = βY_kᵀY_k",
    ),
    source=f"{N23}, eq. 67-69, with the condition it needs",
    definitions=(("W_k", W_O), ("X_k", X_O), ("Y_k", Y_O)),
    uses=(GRADIENT, FIRST_ORDER),
    steps=chain(
        inner(GRADIENT_O, _FIRST),
        ("=", DIRECTIONS.steps[0].end, Calculus(), "U_kᵀU_j is I for k = j and zero otherwise."),
        (
            ">=",
            expression(0),
            Squares(
                weighted=(
                    (beta**2, W_O @ Y_O.T, _P),
                    (beta**2, _P @ W_O @ Y_O.T, X_O),
                    (beta**2, X_O @ W_O @ Y_O.T, _P),
                ),
                rules=(_BOUNDED,),
                over="k",
            ),
            "X, W and P = I − X commute, and WP = WPW + WXPW with XP = PXP + XPX: conjugates of P and X.",
        ),
    ),
)

# --- the same on the objective ----------------------------------------------------------------------------------

_x = sympy.Symbol("x")
_LOG = sympy.Lambda(_x, sympy.log(1 + _x))

LOG_ABOVE = Derivation(
    name="log-det-at-most-trace",
    title="log det(I + X) is at most tr X",
    hypotheses=("X positive semidefinite",),
    source=f"{HU}, the expansion to first order",
    steps=chain(
        LogDet(I_p + PSD),
        (
            "<=",
            Trace(PSD),
            Spectrum(_LOG, sympy.Lambda(_x, _x), PSD),
            "log(1 + x) ≤ x for every eigenvalue x ≥ 0.",
        ),
    ),
)

LOG_BELOW = Derivation(
    name="log-det-at-least-two-terms",
    title="log det(I + X) is at least tr X - tr X^2 / 2",
    hypotheses=("X positive semidefinite",),
    source=f"{HU}, the expansion to second order",
    steps=chain(
        LogDet(I_p + PSD),
        (
            ">=",
            Trace(PSD) - Trace(PSD @ PSD) / 2,
            Spectrum(_LOG, sympy.Lambda(_x, _x - _x**2 / 2), PSD),
            "log(1 + x) ≥ x − x²/2 for every eigenvalue x ≥ 0.",
        ),
    ),
)

LOG_THIRD = Derivation(
    name="log-det-at-most-three-terms",
    title="log det(I + X) is at most tr X - tr X^2 / 2 + tr X^3 / 3",
    hypotheses=("X positive semidefinite",),
    source="the expansion to third order",
    steps=chain(
        LogDet(I_p + PSD),
        (
            "<=",
            Trace(PSD) - Trace(PSD @ PSD) / 2 + Trace(PSD @ PSD @ PSD) / 3,
            Spectrum(_LOG, sympy.Lambda(_x, _x - _x**2 / 2 + _x**3 / 3), PSD),
            "log(1 + x) ≤ x − x²/2 + x³/3 for every eigenvalue x ≥ 0.",
        ),
    ),
)

RATE_ABOVE = Derivation(
    name="compression-rate-at-most-the-energy",
    title="The compression rate is at most beta/2 times the energy in the heads",
    hypotheses=("any tokens and any matrices U_k, overlapping or not",),
    source=f"{HU}, the expansion to first order",
    definitions=(("Y_k", Y),),
    uses=(LOG_ABOVE,),
    steps=chain(
        RC,
        (
            "<=",
            beta / 2 * Sum("k", norm_squared(Y)),
            Lemma(LOG_ABOVE, {PSD: XK}, times=sympy.Rational(1, 2), over="k"),
            "log det(I + X_k) ≤ tr X_k in every head, with X_k = βY_kᵀY_k.",
        ),
    ),
)

RATE_BELOW = Derivation(
    name="compression-rate-to-second-order",
    title="The compression rate is at least its expansion to second order",
    hypotheses=("any tokens and any matrices U_k, overlapping or not",),
    source=f"{HU}, the expansion to second order",
    definitions=(("Y_k", Y),),
    uses=(LOG_BELOW,),
    steps=chain(
        RC,
        (
            ">=",
            Sum("k", beta / 2 * norm_squared(Y) - beta**2 / 4 * norm_squared(Y.T @ Y)),
            Lemma(LOG_BELOW, {PSD: XK}, times=sympy.Rational(1, 2), over="k"),
            "log det(I + X_k) ≥ tr X_k − tr X_k²/2 in every head, with X_k = βY_kᵀY_k.",
        ),
    ),
)
