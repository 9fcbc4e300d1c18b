"""What a squared singular value x of a class adds to 2ΔR: f(x) = log(1 + αx) − γ log(1 + αx/γ), γ the class's share."""

from __future__ import annotations

import sympy

from derivations.checks import Calculus, OnInterval, Squares
from derivations.expression import (
    Differential,
    Entrywise,
    Identity,
    Matrix,
    Scalar,
    Trace,
    expression,
)
from derivations.notation import alpha
from derivations.proof import Derivation, chain
from derivations.sources import MCR2

_ONE = Identity(1)
g, u = sympy.symbols("g u", positive=True)
"""g = √γ, the root of a class's share, is below 1: g = 1/(1 + u)."""
x = sympy.Symbol("x", positive=True)
SHAPE = sympy.Lambda(x, sympy.log(1 + alpha * x) - g**2 * sympy.log(1 + alpha * x / g**2))
"""f(x) = log(1 + αx) − γ log(1 + αx/γ), what a squared singular value of a class adds to 2ΔR."""
SLOPE = alpha**2 * (1 - g**2) * x / ((1 + alpha * x) * (g**2 + alpha * x))
"""f'(x)."""
TOP = alpha * (1 - g) / (1 + g)
"""α(1 − √γ)/(1 + √γ)."""
OF_A_CLASS = "γ = g² the share of a class"
_HALF = sympy.Rational(1, 2)
_BELOW_ONE = {g: 1 / (1 + u)}
_SLOPE = sympy.factor(SLOPE.subs(_BELOW_ONE))
PROPER = f"{OF_A_CLASS}, g = 1/(1 + u) < 1, and x > 0"
_X, _H = Matrix("x", 1, 1), Matrix("h", 1, 1)

SHAPE_SLOPE = Derivation(
    name="slope-of-the-shape-function",
    title="The slope of what a singular value adds to the rate reduction",
    hypotheses=(OF_A_CLASS, "x the square of a singular value, h a change of it"),
    source=f"{MCR2}; derived",
    steps=chain(
        Differential(Trace(Entrywise(SHAPE, _X)), _X, _H),
        (
            "=",
            Trace(Entrywise(sympy.Lambda(x, SLOPE), _X)) * Trace(_H),
            Calculus(),
            "α/(1 + αx) − α/(1 + αx/γ) over one denominator.",
        ),
    ),
)

SHAPE_INCREASES = Derivation(
    name="shape-function-increases",
    title="The slope of the shape function is positive: more energy, more rate reduction",
    hypotheses=(PROPER,),
    source=f"{MCR2}; derived",
    uses=(SHAPE_SLOPE,),
    steps=chain(
        Scalar(_SLOPE),
        (">=", expression(0), Squares(((_SLOPE, _ONE),)), "No factor is negative."),
    ),
)

SHAPE_SYMMETRY = Derivation(
    name="symmetry-of-the-slope-of-the-shape-function",
    title="The slope of the shape function is the same at x and at γ/(α²x)",
    hypotheses=(OF_A_CLASS, "x > 0"),
    source="derived",
    uses=(SHAPE_SLOPE,),
    steps=chain(
        Scalar(SLOPE.subs(x, g**2 / (alpha**2 * x))),
        ("=", Scalar(SLOPE), Calculus(), "Numerator and denominator times αx²/γ."),
    ),
    remark="So its turning point is x_T = √γ/α.",
)

_top = sympy.factor(TOP.subs(_BELOW_ONE))

TURNING_POINT = Derivation(
    name="turning-point-of-the-shape-function",
    title="The slope of the shape function is largest at x = √γ/α",
    hypotheses=(PROPER,),
    source="derived",
    uses=(SHAPE_SLOPE,),
    steps=chain(
        Scalar(_SLOPE),
        (
            "<=",
            Scalar(_top),
            Squares(
                (
                    (
                        _top * (alpha * x - 1 / (1 + u)) ** 2 / ((1 + alpha * x) * (1 / (1 + u) ** 2 + alpha * x)),
                        _ONE,
                    ),
                )
            ),
            "The difference has the factor (αx − √γ)², and is zero at x = √γ/α.",
        ),
    ),
    remark="The bound is α(1 − √γ)/(1 + √γ). The shape function is convex before x = √γ/α and concave after.",
)

CURVATURE = alpha**2 * (1 - g**2) * (g**2 - alpha**2 * x**2) / ((1 + alpha * x) ** 2 * (g**2 + alpha * x) ** 2)
"""f''(x)."""

SHAPE_CURVATURE = Derivation(
    name="curvature-of-the-shape-function",
    title="The shape function is convex before x = √γ/α and concave after",
    hypotheses=(OF_A_CLASS, "x the square of a singular value, h a change of it"),
    source="derived",
    uses=(SHAPE_SLOPE,),
    steps=chain(
        Differential(Trace(Entrywise(sympy.Lambda(x, SLOPE), _X)), _X, _H),
        (
            "=",
            Trace(Entrywise(sympy.Lambda(x, CURVATURE), _X)) * Trace(_H),
            Calculus(),
            "The quotient rule; the numerator is γ − α²x² times what is positive.",
        ),
    ),
)

INTERCEPT = sympy.Lambda(x, SHAPE(x) - x * SLOPE)
"""f(x) − x f'(x), where the tangent at x meets the axis."""

TANGENT_FALLS = Derivation(
    name="slope-of-the-intercept-of-the-shape-function",
    title="The intercept of the tangent of the shape function falls before its turning point and rises after",
    hypotheses=(OF_A_CLASS, "x the square of a singular value, h a change of it"),
    source="derived",
    uses=(SHAPE_SLOPE, SHAPE_CURVATURE),
    steps=chain(
        Differential(Trace(Entrywise(INTERCEPT, _X)), _X, _H),
        (
            "=",
            Trace(Entrywise(sympy.Lambda(x, -x * CURVATURE), _X)) * Trace(_H),
            Calculus(),
            "The derivative of f − xf' is −xf''.",
        ),
    ),
    remark="It is zero at 0 and grows without bound, so it has one more zero, beyond x = √γ/α: the tangent from the "
    "origin, f(x) = xf'(x).",
)

y = sympy.Symbol("y", positive=True)
SCALED = sympy.log(1 + g * y) - g**2 * sympy.log(1 + y / g) - (1 - g**2) * g * y**2 / ((1 + g * y) * (g + y))
"""The intercept at x = y√γ/α."""

TANGENT_POINT = Derivation(
    name="tangent-point-of-the-shape-function",
    title="In units of √γ/α where the tangent from the origin touches depends on the share of the class alone",
    hypotheses=(OF_A_CLASS, "x = y√γ/α"),
    source="derived",
    uses=(TANGENT_FALLS,),
    steps=chain(
        Scalar(INTERCEPT(g * y / alpha)),
        ("=", Scalar(SCALED), Calculus(), "α cancels."),
    ),
)

_QUARTER = {g: _HALF}
_down = sympy.Symbol("z", nonnegative=True)
_LOW, _HIGH = sympy.Rational(219, 100), sympy.Rational(11, 5)
_UP_TO, _FROM = (SCALED.subs(_QUARTER).subs(y, place) for place in (_LOW - _down, _HIGH + _down))

TANGENT_BELOW = Derivation(
    name="tangent-point-of-a-quarter-from-below",
    title="For a class of a quarter of the tokens the tangent from the origin touches beyond 2.19 turning points",
    hypotheses=("γ = 1/4, y = 2.19 − z with 0 ≤ z ≤ 1.19: from the turning point to 2.19",),
    source="derived",
    definitions=(("f(x) − xf'(x)", Scalar(_UP_TO)),),
    uses=(TANGENT_POINT,),
    steps=chain(
        Scalar(_UP_TO),
        (
            "<=",
            expression(0),
            OnInterval(_down, sympy.Integer(0), _LOW - 1),
            "Negative at z = 0, and it falls with z.",
        ),
    ),
)

TANGENT_ABOVE = Derivation(
    name="tangent-point-of-a-quarter-from-above",
    title="For a class of a quarter of the tokens the tangent from the origin touches before 2.2 turning points",
    hypotheses=("γ = 1/4, y = 2.2 + z with z ≥ 0",),
    source="derived",
    definitions=(("f(x) − xf'(x)", Scalar(_FROM)),),
    uses=(TANGENT_POINT,),
    steps=chain(
        Scalar(_FROM),
        (
            ">=",
            expression(0),
            OnInterval(_down, sympy.Integer(0), sympy.oo),
            "Positive at z = 0, and it grows with z.",
        ),
    ),
)
