"""Where rates are largest: growth, fixed energy, the ends of the official measure, saturation."""

from __future__ import annotations

import sympy

from derivations.checks import Calculus, Lemma, Squares
from derivations.expression import (
    Differential,
    Entrywise,
    Expr,
    Identity,
    Inverse,
    LogDet,
    Matrix,
    Scalar,
    Sum,
    Trace,
    norm_squared,
    substitute,
)
from derivations.notation import I_d, I_n, I_p, K, M, R, W, Z, alpha, beta, eps, eta, n, p
from derivations.partition_rate import TANGENT, tangent
from derivations.proof import Derivation, chain
from derivations.rules import known, push_through, root, sylvester

_HALF = sympy.Rational(1, 2)
_ONE = Identity(1)

# --- growth -----------------------------------------------------------------------------------------------------

_A, _B = Matrix("A", "d", "d", psd=True), Matrix("B", "d", "d", psd=True)
_N = Matrix("N", "n", "n", symmetric=True)
_more = sympy.Symbol("u", nonnegative=True)
_of_z = I_d + alpha * Z.T @ Z
_grown = (1 + _more) * Z
_of_grown = I_d + alpha * _grown.T @ _grown
_gain = _more * (_more + 2) * alpha

GROWTH = Derivation(
    name="coding-rate-grows-with-the-tokens",
    title="Longer tokens have no lower coding rate",
    hypotheses=("any tokens, multiplied by t = 1 + u ≥ 1",),
    source="derived",
    definitions=(("A", _of_grown),),
    uses=(TANGENT,),
    steps=chain(
        R,
        (
            "<=",
            (LogDet(_of_grown) - _gain * Trace(Inverse(_of_grown) @ Z.T @ Z)) / 2,
            Lemma(TANGENT, {_A: _of_grown, _B: _of_z}, times=_HALF),
            "The tangent of log det at I + αt²ZᵀZ, and t² − 1 = u(u + 2).",
        ),
        (
            "<=",
            substitute(R, {Z: _grown}),
            Squares(weighted=((_gain / 2, Z.T, Inverse(_of_grown)),)),
            "What is dropped is tr(ZA⁻¹Zᵀ), A the Gram matrix of the longer tokens.",
        ),
    ),
    remark="By the symmetry in tokens and precision the rate falls with ε as well.",
)

_ascended = Z + eta * alpha * Z @ W
_of_ascended = I_d + alpha * _ascended.T @ _ascended

ASCENT = Derivation(
    name="ascent-on-the-coding-rate",
    title="Gradient ascent on the coding rate raises it, for every step size",
    hypotheses=("any tokens, η > 0", "N is the square root of M"),
    source="derived",
    definitions=(("M", M), ("W", W), ("A", _of_ascended)),
    uses=(TANGENT,),
    steps=chain(
        R,
        (
            "<=",
            (LogDet(_of_ascended) + Trace(Inverse(_of_ascended) @ (_of_z - _of_ascended))) / 2,
            Lemma(TANGENT, {_A: _of_ascended, _B: _of_z}, times=_HALF),
            "The tangent of log det at the tokens after the step.",
        ),
        (
            "<=",
            substitute(R, {Z: _ascended}),
            Squares(
                weighted=(
                    (eta * alpha**2, Z.T @ _N, Inverse(_of_ascended)),
                    (eta**2 * alpha**3 / 2, W @ Z.T, Inverse(_of_ascended)),
                ),
                rules=(root(_N, M), push_through(Z, alpha * Z.T)),
            ),
            "The step adds 2ηα ZᵀMZ + η²α² WZᵀZW to ZᵀZ, positive semidefinite both.",
        ),
    ),
)

# --- fixed energy -----------------------------------------------------------------------------------------------

a = sympy.Symbol("a", positive=True)
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

_AN, _BN = Matrix("A", "n", "n", psd=True), Matrix("B", "n", "n", psd=True)
_FLAT_N = (1 + alpha * a) * I_n
_above_n = LogDet(_FLAT_N) + alpha / (1 + alpha * a) * (norm_squared(Z) - a * Trace(I_n))

FIXED_ENERGY_FEW = Derivation(
    name="largest-coding-rate-of-few-tokens-at-fixed-energy",
    title="The bound on the coding rate at fixed energy with the number of tokens for the dimension",
    hypotheses=("‖Z‖² = a n",),
    source="concavity of log det",
    uses=(TANGENT,),
    steps=chain(
        R,
        ("=", LogDet(I_n + alpha * Z @ Z.T) / 2, Calculus((sylvester(alpha * Z.T, Z),)), "Sylvester."),
        (
            "<=",
            _above_n / 2,
            Lemma(tangent("n"), {_AN: _FLAT_N, _BN: I_n + alpha * Z @ Z.T}, times=_HALF),
            "The tangent of log det at ZZᵀ = aI.",
        ),
        (
            "=",
            LogDet(_FLAT_N) / 2,
            Calculus((known(norm_squared(Z), a * Trace(I_n)),)),
            "The energy is an.",
        ),
    ),
)

_tall, _wide = Matrix("Q", "n", "d", orthonormal=True), Matrix("Q", "n", "d", complete=True)

ATTAINED = Derivation(
    name="largest-coding-rate-is-attained",
    title="The bound at fixed energy is attained by equal singular values, for n ≥ d",
    hypotheses=("Z = √a Q with QᵀQ = I",),
    source="derived",
    uses=(FIXED_ENERGY,),
    steps=chain(substitute(R, {Z: sympy.sqrt(a) * _tall}), ("=", LogDet(_FLAT) / 2, Calculus(), "QᵀQ = I.")),
)

ATTAINED_FEW = Derivation(
    name="largest-coding-rate-of-few-tokens-is-attained",
    title="The bound at fixed energy is attained by equal singular values, for n ≤ d",
    hypotheses=("Z = √a Q with QQᵀ = I",),
    source="derived",
    uses=(FIXED_ENERGY_FEW,),
    steps=chain(
        substitute(R, {Z: sympy.sqrt(a) * _wide}),
        (
            "=",
            LogDet(I_n + alpha * a * _wide @ _wide.T) / 2,
            Calculus((sylvester(alpha * a * _wide.T, _wide),)),
            "Sylvester.",
        ),
        ("=", LogDet(_FLAT_N) / 2, Calculus(), "QQᵀ = I."),
    ),
)

N23_CODE = "code of Yu et al. 2023 (arXiv 2306.01129), vis_utils/coding_rate.py"
_signs, _line = Matrix("s", "n", 1, "k"), Matrix("y", "p", 1, "k", orthonormal=True)
_head = Matrix("Y", "n", "p", "k")


def _measure(heads: Expr) -> Expr:
    return Sum("k", LogDet(I_p + p / (n * eps**2) * heads.T @ heads) / 2)


PARALLEL = Derivation(
    name="coding-rates-of-parallel-heads",
    title="The coding rates of heads of parallel unit tokens",
    hypotheses=("Y_k = s_ky_kᵀ with a unit column y_k and signs s_k, so that s_kᵀs_k = n",),
    source=N23_CODE,
    steps=chain(
        _measure(_signs @ _line.T),
        (
            "=",
            Sum("k", LogDet(I_p + p / eps**2 * _line @ _line.T) / 2),
            Calculus((known(_signs.T @ _signs, n * _ONE),)),
            "There are n signs.",
        ),
        (
            "=",
            Sum("k", LogDet(_ONE + p / eps**2 * _line.T @ _line) / 2),
            Calculus((sylvester(p / eps**2 * _line, _line.T),)),
            "Sylvester.",
        ),
        ("=", K * LogDet((1 + p / eps**2) * _ONE) / 2, Calculus(), "y_k has norm 1."),
    ),
)

ISOTROPIC = Derivation(
    name="coding-rates-of-isotropic-heads",
    title="The coding rates of heads of isotropic unit tokens",
    hypotheses=("Y_kᵀY_k = (n/p) I",),
    source=N23_CODE,
    steps=chain(
        _measure(_head),
        (
            "=",
            K * LogDet((1 + 1 / eps**2) * I_p) / 2,
            Calculus((known(_head.T @ _head, n / p * I_p),)),
            "p/(nε²) times n/p.",
        ),
    ),
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

s, u, v = sympy.symbols("s u v", positive=True)
_X, _H = Matrix("x", 1, 1), Matrix("h", 1, 1)
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
