"""Regularised rate reduction, ΔR − λ/2 ‖Z‖²: what a squared singular value x of a class adds is ½ (f(x) − λx).

f is the shape function of `derivations.shape_function`, whose turning point is x_T = √γ/α. The stationary points are
x_T/q and x_Tq for one q ≥ 1.
"""

from __future__ import annotations

import sympy

from derivations.checks import Calculus, Squares
from derivations.expression import Identity, Scalar, expression
from derivations.notation import alpha, lam
from derivations.proof import Derivation, chain
from derivations.shape_function import (
    OF_A_CLASS,
    SCALED,
    SHAPE,
    SHAPE_SLOPE,
    SLOPE,
    TANGENT_POINT,
    TOP,
    TURNING_POINT,
    g,
    x,
    y,
)
from derivations.sources import GEO

_alpha_k = alpha / g**2
ETA = _alpha_k - alpha - lam * (1 / g**2 + 1)
"""η_k = (α_k − α) − λ(n/n_k + 1)."""
QUADRATIC = lam * _alpha_k * x**2 - ETA * x + lam / alpha

STATIONARY = Derivation(
    name="stationary-points-of-regularised-rate-reduction",
    title="Stationary singular values of the regularised rate reduction solve a quadratic",
    hypotheses=(OF_A_CLASS, "x > 0 the square of a singular value, λ the weight of ½‖Z‖²"),
    source=GEO,
    uses=(SHAPE_SLOPE,),
    steps=chain(
        Scalar(SLOPE - lam),
        (
            "=",
            Scalar(-alpha * QUADRATIC / ((1 + alpha * x) * (1 + _alpha_k * x))),
            Calculus(),
            "Over the common denominator.",
        ),
    ),
    remark="So f'(x) = λ exactly when λα_k x² − η_k x + λ/α = 0.",
)

_w = sympy.Symbol("w", nonnegative=True)

ROOTS = Derivation(
    name="roots-of-the-stationary-quadratic",
    title="The stationary singular values in closed form",
    hypotheses=(OF_A_CLASS, "x = (η_k + w)/(2λα_k)"),
    source=GEO,
    uses=(STATIONARY,),
    steps=chain(
        Scalar(QUADRATIC.subs(x, (ETA + _w) / (2 * lam * _alpha_k))),
        (
            "=",
            Scalar((_w**2 - (ETA**2 - 4 * lam**2 / g**2)) / (4 * lam * _alpha_k)),
            Calculus(),
            "Completing the square, with 4λα_k λ/α = 4λ²/γ.",
        ),
    ),
    remark="Zero for w² = η_k² − 4λ²/γ.",
)

REGULARISER_BOUND = Derivation(
    name="bound-on-the-regulariser",
    title="What decides on real roots of the stationary quadratic is a multiple of α(1 − √γ)/(1 + √γ) − λ",
    hypotheses=(OF_A_CLASS,),
    source=GEO,
    uses=(ROOTS,),
    steps=chain(
        Scalar(ETA - 2 * lam / g),
        (
            "=",
            Scalar((1 + g) ** 2 / g**2 * (TOP - lam)),
            Calculus(),
            "η_k ≥ 2λ/√γ, a positive sum with real roots, is a multiple of the bound less λ.",
        ),
    ),
    remark="The bound is the slope of the shape function at its turning point, and least for the largest class.",
)

AT_TURNING_POINT = Derivation(
    name="slope-of-the-shape-function-at-its-turning-point",
    title="The bound on the regulariser is the slope of the shape function at its turning point",
    hypotheses=(OF_A_CLASS,),
    source=GEO,
    uses=(REGULARISER_BOUND, TURNING_POINT),
    steps=chain(
        Scalar(SLOPE.subs(x, g / alpha)),
        ("=", Scalar(TOP), Calculus(), "x = √γ/α."),
    ),
)

# --- which root is the maximum ----------------------------------------------------------------------------------

q, _u = sympy.symbols("q u", positive=True)
v, s = sympy.symbols("v s", nonnegative=True)
LAM = SLOPE.subs(x, g * q / alpha)
"""λ = f'(x_Tq)."""
_ONE = Identity(1)
_ORDER = {q: 1 + v, g: 1 / (1 + _u)}
_ROOTS = "λ = f'(x_Tq), x_T = √γ/α: the stationary points are x_Tq and x_T/q"
_PROPER = "g = 1/(1 + u) < 1 and q = 1 + v ≥ 1"
DIFFERENCE = alpha * g * (1 - g**2) * (q - y) * (q * y - 1) / ((1 + g * y) * (g + y) * (1 + g * q) * (g + q))

SIGN = Derivation(
    name="slope-of-the-regularised-rate-reduction",
    title="The slope of what a singular value adds to the regularised rate reduction, by its zeros",
    hypotheses=(OF_A_CLASS, _ROOTS, "x = x_Ty"),
    source=f"{GEO}; derived",
    uses=(STATIONARY,),
    steps=chain(
        Scalar(SLOPE.subs(x, g * y / alpha) - LAM),
        ("=", Scalar(DIFFERENCE), Calculus(), "Over the common denominator: it has the factors q − y and qy − 1."),
    ),
    remark="Zero at y = q and at y = 1/q: the product of the roots is γ/α², as the quadratic says.",
)


def _at(place: sympy.Expr) -> sympy.Expr:
    return sympy.factor(DIFFERENCE.subs(y, place).subs(_ORDER))


_AFTER, _BETWEEN, _BEFORE = (_at(place) for place in (q + s, (q + s / q) / (1 + s), 1 / (q * (1 + s))))

AFTER = Derivation(
    name="regularised-rate-reduction-falls-after-the-larger-root",
    title="Beyond the larger root the regularised rate reduction falls",
    hypotheses=(OF_A_CLASS, _ROOTS, _PROPER, "x = x_T(q + s), s ≥ 0"),
    source=f"{GEO}; derived",
    definitions=(("f'(x) − λ", Scalar(_AFTER)),),
    uses=(SIGN,),
    steps=chain(Scalar(_AFTER), ("<=", expression(0), Squares(((-_AFTER, _ONE),)), "q − y is negative alone.")),
)

BETWEEN = Derivation(
    name="regularised-rate-reduction-grows-between-the-roots",
    title="Between the roots the regularised rate reduction grows",
    hypotheses=(OF_A_CLASS, _ROOTS, _PROPER, "x = x_T(q + s/q)/(1 + s), s ≥ 0: anywhere between the roots"),
    source=f"{GEO}; derived",
    definitions=(("f'(x) − λ", Scalar(_BETWEEN)),),
    uses=(SIGN,),
    steps=chain(Scalar(_BETWEEN), (">=", expression(0), Squares(((_BETWEEN, _ONE),)), "No factor is negative.")),
    remark="So the larger root is a local maximum of what a singular value adds, and the smaller one a local minimum.",
)

BEFORE = Derivation(
    name="regularised-rate-reduction-falls-before-the-smaller-root",
    title="Before the smaller root the regularised rate reduction falls",
    hypotheses=(OF_A_CLASS, _ROOTS, _PROPER, "x = x_T/(q(1 + s)), s ≥ 0"),
    source=f"{GEO}; derived",
    definitions=(("f'(x) − λ", Scalar(_BEFORE)),),
    uses=(SIGN,),
    steps=chain(Scalar(_BEFORE), ("<=", expression(0), Squares(((-_BEFORE, _ONE),)), "qy − 1 is negative alone.")),
    remark="Zero is the other local maximum.",
)

VALUE = Derivation(
    name="regularised-rate-reduction-at-the-larger-root",
    title="What a singular value at the larger root adds to the regularised rate reduction",
    hypotheses=(OF_A_CLASS, _ROOTS),
    source=f"{GEO}; derived",
    uses=(SIGN, TANGENT_POINT),
    steps=chain(
        Scalar((SHAPE(g * q / alpha) - LAM * g * q / alpha) / 2),
        ("=", Scalar(SCALED.subs(y, q) / 2), Calculus(), "λ is the slope: half the intercept of the tangent at x_Tq."),
    ),
    remark="It depends on γ and q alone, and is positive exactly when x_Tq lies beyond the tangent from the origin: "
    "for smaller q the local maximum is worth less than no singular value at all.",
)
