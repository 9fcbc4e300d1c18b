"""The coding rate R and the rate-distortion function of a Gaussian source at total squared error ε².

The covariance is S = ZᵀZ/n, as that of a sample, or a matrix S. Reverse water-filling at the level θ takes from every
eigenvalue λ the error min(λ, θ): C = min(S, θI) with tr C = ε², A = max(S, θI), and the rate is ½ log det(A/θ), the sum
of ½ log max(λ/θ, 1). With ν = ε²/d, which is 1/(nα), R is ½ log det(I + S/ν).
"""

from __future__ import annotations

from functools import cache

import sympy

from derivations.checks import Calculus, Lemma, OnInterval, Spectrum, Squares
from derivations.expression import Expr, Identity, Inverse, LogDet, Matrix, Scalar, Size, Trace, expression
from derivations.notation import I_d, M, R, W, Z, alpha, d, n
from derivations.partition_rate import TANGENT
from derivations.proof import Derivation, chain
from derivations.rules import known, multiplicative, root, sylvester, woodbury

COVER = "Cover and Thomas, Elements of Information Theory, theorem 10.3.3"

theta, nu = sympy.symbols("theta nu", positive=True)
"""The water level, and the error a dimension ε²/d."""
S = Matrix("S", "d", "d", psd=True)

WATER_FILLING = Derivation(
    name="gap-to-reverse-water-filling",
    title="What the coding rate has above the rate-distortion function at small distortion",
    hypotheses=("S ≻ 0 the covariance, θ = ε²/d at most its least eigenvalue",),
    source=f"{COVER}; derived",
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
    title="At small distortion an eigenvalue adds at most half a bit too much to the coding rate",
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

_z = sympy.Symbol("z", nonnegative=True)
_GAP = sympy.Lambda(_z, sympy.log(1 + _z) / 2)
_SMALL = ("S ≻ 0 the covariance, θ = ε²/d at most its least eigenvalue",)


@cache
def gap_below(size: Size) -> Derivation:
    """The gap is not negative, for covariances of a size."""
    S = Matrix("S", size, size, psd=True)
    return Derivation(
        name="gap-to-reverse-water-filling-from-below",
        title="The gap to the rate-distortion function is not negative",
        hypotheses=_SMALL,
        source="derived",
        uses=(WATER_FILLING,),
        steps=chain(
            LogDet(Identity(size) + theta * Inverse(S)) / 2,
            (
                ">=",
                expression(0),
                Spectrum(_GAP, sympy.Lambda(_z, sympy.Integer(0)), theta * Inverse(S)),
                "log(1 + z) ≥ 0 for every eigenvalue z ≥ 0 of θS⁻¹.",
            ),
        ),
    )


@cache
def gap_above(size: Size) -> Derivation:
    """The gap is of first order, for covariances of a size."""
    S = Matrix("S", size, size, psd=True)
    return Derivation(
        name="gap-to-reverse-water-filling-from-above",
        title="The gap to the rate-distortion function is at most of first order in the distortion",
        hypotheses=_SMALL,
        source="derived",
        uses=(WATER_FILLING,),
        steps=chain(
            LogDet(Identity(size) + theta * Inverse(S)) / 2,
            (
                "<=",
                theta / 2 * Trace(Inverse(S)),
                Spectrum(_GAP, sympy.Lambda(_z, _z / 2), theta * Inverse(S)),
                "log(1 + z) ≤ z for every eigenvalue z ≥ 0 of θS⁻¹.",
            ),
        ),
        remark="It is ½ Σ θ/λ_i, which tends to zero with θ.",
    )


GAP_BELOW = gap_below("d")
GAP_ABOVE = gap_above("d")

# --- every spectrum ---------------------------------------------------------------------------------------------

_HALF = sympy.Rational(1, 2)
_u = sympy.Symbol("u", nonnegative=True)
_level = (1 + _u) / (n * alpha)
"""θ = (1 + u)ν."""
C, P, G = (Matrix(name, "d", "d", psd=True) for name in "CPG")
_N = Matrix("N", "d", "d", symmetric=True)
_A, _B = Matrix("A", "d", "d", psd=True), Matrix("B", "d", "d", psd=True)
_ABOVE: Expr = Z.T @ Z / n + P
"""max(S, θI) = S + P, with P = max(θI − S, 0)."""
_OF_Z = I_d + alpha * Z.T @ Z
_WATER = "C = min(S, θI), the error of reverse water-filling at the level θ, S = ZᵀZ/n, and P = θI − C = max(θI − S, 0)"
_slack = sympy.Symbol("s", nonnegative=True)

LEVEL = Derivation(
    name="water-level-at-least-the-error-a-dimension",
    title="The water level is at least the error divided by the dimension",
    hypotheses=("C = min(S, θI) with tr C = dν, ν = ε²/d, and P = θI − C is positive semidefinite",),
    source=COVER,
    steps=chain(
        theta * Trace(I_d),
        (
            ">=",
            nu * Trace(I_d),
            Squares(weighted=((1, I_d, P),), rules=(known(P, theta * I_d - C), known(Trace(C), expression(d * nu)))),
            "The difference is tr P.",
        ),
    ),
    remark="So θ = (1 + u)ν with u ≥ 0. For an error ε² above tr S the rate is zero, and any level θ ≥ ν above all "
    "eigenvalues will do.",
)

UPPER = Derivation(
    name="coding-rate-at-least-the-rate-distortion",
    title="The coding rate is at least the rate-distortion function, for every spectrum and every error",
    hypotheses=("any tokens", _WATER, "θ = (1 + u)ν with u ≥ 0 and ν = ε²/d = 1/(nα)"),
    source="derived",
    definitions=(("W", W),),
    uses=(TANGENT, LEVEL),
    steps=chain(
        LogDet(_ABOVE / _level) / 2,
        (
            "<=",
            R + Trace(W @ (_ABOVE / _level - _OF_Z)) / 2,
            Lemma(TANGENT, {_A: _OF_Z, _B: _ABOVE / _level}, times=_HALF),
            "The tangent of log det at I + S/ν.",
        ),
        (
            "<=",
            R,
            Squares(
                weighted=((alpha * _u / (2 * (1 + _u)), Z.T, W), (1 / (2 * _level), _N, W)),
                rules=(root(_N, C), known(P, _level * I_d - C)),
            ),
            "I + S/ν − (S + P)/θ = (1/ν − 1/θ)S + C/θ, positive semidefinite both.",
        ),
    ),
    remark="Eigenvalue by eigenvalue: 1 + λ/ν ≥ 1 + λ/θ ≥ max(λ/θ, 1).",
)

CHANNEL = Derivation(
    name="error-of-the-test-channel",
    title="The linear estimate of a token from itself and noise has an error below ε²",
    hypotheses=("any tokens, noise of covariance νI with ν = ε²/d = 1/(nα)",),
    source="derived from the forward test channel",
    definitions=(("W", W),),
    steps=chain(
        Trace(W @ Z.T @ Z) / n,
        ("=", Trace(I_d - W) / (n * alpha), Calculus(), "αWZᵀZ = I − W."),
        ("<=", Trace(I_d) / (n * alpha), Squares(weighted=((1 / (n * alpha), I_d, W),)), "The trace of W is positive."),
    ),
    remark="The left side is Σ λν/(λ + ν), the right one dν = ε².",
)

AT_CHANNEL = Derivation(
    name="coding-rate-at-least-the-rate-distortion-of-the-test-channel",
    title="The coding rate is at least the rate-distortion function at the smaller error of the test channel",
    hypotheses=("any tokens", _WATER, "tr C = tr(WZᵀZ)/n = ν(d − tr W), which is Σ λν/(λ + ν), with ν = ε²/d = 1/(nα)"),
    source="derived from the forward test channel",
    definitions=(("W", W), ("M", M)),
    uses=(TANGENT, CHANNEL),
    steps=chain(
        LogDet(_ABOVE / theta) / 2,
        (
            "<=",
            R + Trace(W @ (_ABOVE / theta - _OF_Z)) / 2,
            Lemma(TANGENT, {_A: _OF_Z, _B: _ABOVE / theta}, times=_HALF),
            "The tangent of log det at I + S/ν.",
        ),
        (
            "=",
            R - Trace((I_d - W) @ P) / (2 * theta),
            Calculus((known(P, theta * I_d - C), known(Trace(C), (Trace(I_d) - Trace(W)) / (n * alpha)))),
            "tr(WS) = tr C = θd − tr P.",
        ),
        (
            "<=",
            R,
            Squares(weighted=((alpha / (2 * theta), Z @ _N, M),), rules=(root(_N, P), woodbury(alpha * Z.T, Z))),
            "I − W = αZᵀMZ, by Woodbury.",
        ),
    ),
)

_s = sympy.Symbol("s", positive=True)
_flat_level = _s * nu / (_s + nu)

FLAT = Derivation(
    name="coding-rate-of-a-flat-spectrum",
    title="For a flat spectrum the coding rate is the rate-distortion function at the error of the test channel",
    hypotheses=("S = sI; the level of the error Σ λν/(λ + ν) is sν/(s + ν), below s",),
    source="derived from the forward test channel",
    uses=(AT_CHANNEL,),
    steps=chain(
        LogDet(I_d + _s / nu * I_d) / 2,
        ("=", LogDet(_s / _flat_level * I_d) / 2, Calculus(), "1 + s/ν = s(s + ν)/(sν)."),
    ),
)

_TWICE = 2 * (theta * I_d + G) / theta

HALF_BITS = Derivation(
    name="half-bit-bound-for-every-spectrum",
    title="The coding rate is at most half a bit a dimension above the rate-distortion function",
    hypotheses=(
        "any tokens, S = ZᵀZ/n, and ν = ε²/d = 1/(nα)",
        "A = θI + G = max(S, θI), G = max(S − θI, 0), and C = min(S, θI), so that S = AC/θ",
        "tr C = dν − s with s ≥ 0: the error is ε², or tr S where that is less",
    ),
    source="known for Gaussian test channels (Zamir and Feder 1996)",
    definitions=(("A", theta * I_d + G),),
    uses=(TANGENT,),
    steps=chain(
        R,
        (
            "<=",
            LogDet(_TWICE) / 2 + Trace(Inverse(_TWICE) @ (_OF_Z - _TWICE)) / 2,
            Lemma(TANGENT, {_A: _TWICE, _B: _OF_Z}, times=_HALF),
            "The tangent of log det at 2A/θ.",
        ),
        (
            "<=",
            LogDet(_TWICE) / 2,
            Squares(
                squares=((n * alpha * _slack / 4, Identity(1)),),
                weighted=((sympy.Rational(1, 4), _N, Inverse(theta * I_d + G)),),
                rules=(
                    root(_N, G),
                    known(Z.T @ Z, n * (theta * I_d + G) @ C / theta),
                    known(Trace(C), expression(d / (n * alpha) - _slack)),
                ),
            ),
            "θA⁻¹S = C, with the trace dν − s, and I − θA⁻¹ = A⁻¹G.",
        ),
    ),
    remark="The right side is ½ log det(A/θ) + (d/2) log 2.",
)

ATTAINED = Derivation(
    name="half-bit-bound-is-attained",
    title="A flat spectrum attains the half-bit bound where the error is all its variance",
    hypotheses=("S = νI with ν = ε²/d: the level is θ = ν, and the rate-distortion function is zero",),
    source="derived",
    uses=(HALF_BITS,),
    steps=chain(
        LogDet(I_d + nu * I_d / nu) / 2,
        ("=", LogDet(2 * I_d) / 2, Calculus(), "Every one of the d eigenvalues of I + S/ν is 2."),
    ),
)

# --- fewer directions than dimensions ---------------------------------------------------------------------------

r = sympy.Symbol("r", positive=True, integer=True)
I_r = Identity("r")
Q, Lam = Matrix("Q", "d", "r", orthonormal=True), Matrix("Lambda", "r", "r", psd=True)
_theta_r = d * nu / r
_RANK = (
    "S = QΛQᵀ of rank r, QᵀQ = I and Λ positive definite",
    "θ = ε²/r at most the least eigenvalue of Λ, and ν = ε²/d",
)
_more = LogDet(I_r + nu * Inverse(Lam)) / 2
_limit = LogDet(d / r * I_r) / 2

RANK = Derivation(
    name="gap-of-fewer-directions-than-dimensions",
    title="What the coding rate has above the rate-distortion function for r directions in d dimensions",
    hypotheses=_RANK,
    source="derived",
    uses=(WATER_FILLING,),
    steps=chain(
        LogDet(I_d + Q @ Lam @ Q.T / nu) / 2,
        (
            "=",
            LogDet(I_r + Lam / nu) / 2,
            Calculus((sylvester(Q @ Lam / nu, Q.T),)),
            "Sylvester, with QᵀQ = I.",
        ),
        (
            "=",
            LogDet(Lam / _theta_r) / 2 + LogDet(d / r * (I_r + nu * Inverse(Lam))) / 2,
            Calculus((multiplicative(Lam / _theta_r, d / r * (I_r + nu * Inverse(Lam))),)),
            "Take out Λ/θ, and θ/ν = d/r.",
        ),
        (
            "=",
            LogDet(Lam / _theta_r) / 2 + _limit + _more,
            Calculus((multiplicative(d / r * I_r, I_r + nu * Inverse(Lam)),)),
            "Take out d/r.",
        ),
    ),
    remark="The first term is the rate-distortion function. As ε → 0 the gap tends to the second, (r/2) log(d/r), "
    "which is zero for full rank alone: R spreads the error over d dimensions, of which d − r need none.",
)

RANK_BELOW = Derivation(
    name="gap-of-fewer-directions-from-below",
    title="The gap for r directions in d dimensions is at least (r/2) log(d/r)",
    hypotheses=_RANK,
    source="derived",
    uses=(RANK, GAP_BELOW),
    steps=chain(
        _limit + _more,
        (
            ">=",
            _limit,
            Lemma(gap_below("r"), {Matrix("S", "r", "r", psd=True): theta / nu * Lam}),
            "½ log det(I + νΛ⁻¹) is not negative.",
        ),
    ),
)

RANK_ABOVE = Derivation(
    name="gap-of-fewer-directions-from-above",
    title="The gap for r directions in d dimensions tends to (r/2) log(d/r) at first order in the error",
    hypotheses=_RANK,
    source="derived",
    uses=(RANK, GAP_ABOVE),
    steps=chain(
        _limit + _more,
        (
            "<=",
            _limit + nu / 2 * Trace(Inverse(Lam)),
            Lemma(gap_above("r"), {Matrix("S", "r", "r", psd=True): theta / nu * Lam}),
            "½ log det(I + νΛ⁻¹) is at most half the trace of νΛ⁻¹.",
        ),
    ),
)
