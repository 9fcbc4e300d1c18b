"""Where rates are largest: the shape function of ΔR, regularised stationary points, rate distortion, fixed energy."""

from __future__ import annotations

import sympy

from derivations.checks import Calculus, Lemma, OnInterval, Squares
from derivations.expression import (
    Differential,
    Entrywise,
    Identity,
    Inverse,
    LogDet,
    Matrix,
    Scalar,
    Trace,
    expression,
    norm_squared,
)
from derivations.notation import I_d, K, R, Z, alpha, beta, lam
from derivations.partition_rate import TANGENT
from derivations.proof import Derivation, chain
from derivations.rules import known, multiplicative

MCR2 = "Yu et al. 2020 (MCR^2, arXiv 2006.08558)"
GEO = "Wang et al. 2024 (geometry of MCR^2, arXiv 2406.01909)"

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
_SHARE = "γ = g² the share of a class"
_BELOW_ONE = {g: 1 / (1 + u)}
_SLOPE = sympy.factor(SLOPE.subs(_BELOW_ONE))
_PROPER = f"{_SHARE}, g = 1/(1 + u) < 1, and x > 0"
_X, _H = Matrix("x", 1, 1), Matrix("h", 1, 1)

SHAPE_SLOPE = Derivation(
    name="slope-of-the-shape-function",
    title="The slope of what a singular value adds to the rate reduction",
    hypotheses=(_SHARE, "x the square of a singular value, h a change of it"),
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
    hypotheses=(_PROPER,),
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
    hypotheses=(_SHARE, "x > 0"),
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
    hypotheses=(_PROPER,),
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

# --- regularised MCR² -------------------------------------------------------------------------------------------

_alpha_k = alpha / g**2
ETA = _alpha_k - alpha - lam * (1 / g**2 + 1)
"""η_k = (α_k − α) − λ(n/n_k + 1)."""
QUADRATIC = lam * _alpha_k * x**2 - ETA * x + lam / alpha

STATIONARY = Derivation(
    name="stationary-points-of-regularised-rate-reduction",
    title="Stationary singular values of the regularised rate reduction solve a quadratic",
    hypotheses=(_SHARE, "x > 0 the square of a singular value, λ the weight of ½‖Z‖²"),
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
    hypotheses=(_SHARE, "x = (η_k + w)/(2λα_k)"),
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
    remark="Zero for w² = η_k² − 4λ²/γ: the larger root is the local maximum.",
)

REGULARISER_BOUND = Derivation(
    name="bound-on-the-regulariser",
    title="There are positive stationary singular values exactly up to λ = α(1 − √γ)/(1 + √γ)",
    hypotheses=(_SHARE,),
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

# --- rate distortion --------------------------------------------------------------------------------------------

theta = sympy.Symbol("theta", positive=True)
S = Matrix("S", "d", "d", psd=True)

WATER_FILLING = Derivation(
    name="gap-to-reverse-water-filling",
    title="What the coding rate has above the rate-distortion function at small distortion",
    hypotheses=("S ≻ 0 the covariance, θ = ε²/d at most its least eigenvalue",),
    source="Cover and Thomas, Elements of Information Theory, theorem 10.3.3; derived",
    steps=chain(
        LogDet(I_d + S / theta) / 2,
        (
            "=",
            LogDet(S / theta) / 2 + LogDet(I_d + theta * Inverse(S)) / 2,
            Calculus((multiplicative(S / theta, I_d + theta * Inverse(S)),)),
            "Take out S/θ.",
        ),
    ),
    remark="The first term is the rate-distortion function, the second, ½ Σ log(1 + θ/λ_i), is the gap: it vanishes "
    "with θ.",
)

_r = sympy.Symbol("r", nonnegative=True)

HALF_BIT = Derivation(
    name="half-bit-bound",
    title="At small distortion the coding rate has at most half a bit a dimension too much",
    hypotheses=("one eigenvalue λ ≥ θ: its gap is ½ log(1 + θ/λ) with θ/λ = 1 − r, 0 ≤ r ≤ 1",),
    source="derived",
    uses=(WATER_FILLING,),
    steps=chain(
        Scalar(sympy.log(2 - _r) / 2),
        (
            "<=",
            Scalar(sympy.log(2) / 2),
            OnInterval(_r, sympy.Integer(0), sympy.Integer(1)),
            "Equal at r = 0; decreasing.",
        ),
    ),
    remark="Attained where θ = λ.",
)

NONNEGATIVE_GAP = Derivation(
    name="gap-to-reverse-water-filling-is-not-negative",
    title="The coding rate is at least the rate-distortion function at small distortion",
    hypotheses=("one eigenvalue λ ≥ θ: its gap is ½ log(1 + t), t = θ/λ",),
    source="derived",
    uses=(WATER_FILLING,),
    steps=chain(
        Scalar(sympy.log(1 + _r) / 2),
        (">=", expression(0), OnInterval(_r, sympy.Integer(0), sympy.oo), "Zero at 0; increasing."),
    ),
)

# --- fixed energy -----------------------------------------------------------------------------------------------

a = sympy.Symbol("a", positive=True)
_A, _B = Matrix("A", "d", "d", psd=True), Matrix("B", "d", "d", psd=True)
_FLAT = (1 + alpha * a) * I_d
_above = LogDet(_FLAT) + alpha / (1 + alpha * a) * (norm_squared(Z) - a * Trace(I_d))

FIXED_ENERGY = Derivation(
    name="largest-coding-rate-at-fixed-energy",
    title="At fixed energy the coding rate is largest when all singular values are equal",
    hypotheses=("‖Z‖² = a d",),
    source="concavity of log det",
    uses=(TANGENT,),
    steps=chain(
        R,
        (
            "<=",
            _above / 2,
            Lemma(TANGENT, {_A: _FLAT, _B: I_d + alpha * Z.T @ Z}, times=sympy.Rational(1, 2)),
            "The tangent of log det at ZᵀZ = aI.",
        ),
        (
            "=",
            LogDet(_FLAT) / 2,
            Calculus((known(norm_squared(Z), a * Trace(I_d)),)),
            "The energy is ad.",
        ),
    ),
    remark="The bound d/2 log(1 + αa) is attained at ZᵀZ = aI, which needs n ≥ d; otherwise with n in place of d.",
)

# --- the rate reduction of subspaces ----------------------------------------------------------------------------

_Y = Matrix("Y", "n", "d")
_GRAM = I_d + beta * _Y.T @ _Y

SATURATION = Derivation(
    name="rate-reduction-saturates",
    title="K times the energy raises log det by at most d log K",
    hypotheses=("tokens Y of a head, of d columns; α = Kβ",),
    source="derived",
    uses=(TANGENT,),
    steps=chain(
        LogDet(I_d + K * beta * _Y.T @ _Y),
        (
            "<=",
            LogDet(K * _GRAM) - (K - 1) / K * Trace(Inverse(_GRAM)),
            Lemma(TANGENT, {_A: K * _GRAM, _B: I_d + K * beta * _Y.T @ _Y}),
            "The tangent of log det at K(I + βYᵀY).",
        ),
        (
            "<=",
            LogDet(K * _GRAM),
            Squares(weighted=(((K - 1) / K, I_d, Inverse(_GRAM)),)),
            "The trace is not negative.",
        ),
    ),
    remark="So ΔR(Z|U) ≤ (d/2) log K for complete orthonormal bases, approached with growing scale and not attained.",
)

s, v = sympy.symbols("s v", positive=True)
_k = 1 + u
"""K = 1 + u."""
DIRECTION = sympy.Lambda(s, sympy.log(1 + _k * s) - sympy.log(1 + s))
_direction_slope = (_k - 1) / ((1 + _k * s) * (1 + s))

DIRECTION_SLOPE = Derivation(
    name="slope-of-the-rate-reduction-in-a-direction",
    title="What a direction of energy s/β adds to 2ΔR(Z|U), and its slope",
    hypotheses=("K = 1 + u subspaces, complete and orthonormal; φ(s) = log(1 + Ks) − log(1 + s), h a change of s",),
    source="derived",
    steps=chain(
        Differential(Trace(Entrywise(DIRECTION, _X)), _X, _H),
        (
            "=",
            Trace(Entrywise(sympy.Lambda(s, _direction_slope), _X)) * Trace(_H),
            Calculus(),
            "K/(1 + Ks) − 1/(1 + s) over one denominator.",
        ),
    ),
)

DIRECTION_CONCAVE = Derivation(
    name="rate-reduction-in-a-direction-is-concave",
    title="The slope of a direction's share of ΔR(Z|U) falls with its energy",
    hypotheses=("K = 1 + u > 1, s > 0 and v > 0",),
    source="derived",
    uses=(DIRECTION_SLOPE,),
    steps=chain(
        Scalar(_direction_slope.subs(s, s + v)),
        (
            "<=",
            Scalar(_direction_slope),
            Squares(((sympy.factor(_direction_slope - _direction_slope.subs(s, s + v)), _ONE),)),
            "The difference has no negative factor.",
        ),
    ),
    remark="So at fixed energy equal energy in all directions is best: for complete orthonormal bases ΔR(·|U) is "
    "largest where ZᵀZ is a multiple of I, whether the tokens lie on the subspaces or not.",
)
