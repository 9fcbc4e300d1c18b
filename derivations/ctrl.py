"""Closed-loop transcription: the rate reduction between two samples of equal size, as a gap of log det."""

from __future__ import annotations

import sympy

from derivations.checks import Calculus, Lemma, Squares
from derivations.expression import Expr, Inverse, LogDet, Matrix, Trace, expression
from derivations.notation import I_d, Z, alpha
from derivations.partition_rate import TANGENT
from derivations.proof import Derivation, chain
from derivations.rules import multiplicative, root, root_with_log_det
from derivations.sources import CTRL

A, B = Matrix("A", "d", "d", psd=True), Matrix("B", "d", "d", psd=True)
M: Expr = (A + B) / 2
_V, _G = Matrix("V", "d", "d", symmetric=True), Matrix("G", "d", "d", symmetric=True, psd=True)
_S = Inverse(A + B)
_HALVED: Expr = _G @ _S @ B @ _S @ _G
_BETWEEN: Expr = 4 * _HALVED
"""M⁻¹AM⁻¹B, turned so that it is symmetric."""
_QUARTER = sympy.Rational(1, 4)
GAP: Expr = LogDet(M) / 2 - LogDet(A) / 4 - LogDet(B) / 4
CURVED: Expr = Trace(Inverse(M) @ (A - B) @ Inverse(M) @ (A - B)) / 16

LOWER = Derivation(
    name="gap-of-log-det-at-the-mean",
    title="log det at the mean of two matrices exceeds the mean of its values by a square of their difference",
    hypotheses=("A and B positive definite",),
    source="derived",
    definitions=(("M", M),),
    uses=(TANGENT,),
    steps=chain(
        GAP,
        (
            "=",
            -LogDet(_BETWEEN) / 4,
            Calculus(
                (
                    multiplicative(I_d / 2, A + B),
                    multiplicative(4 * I_d, _HALVED),
                    multiplicative(_G, _S @ B @ _S @ _G),
                    multiplicative(_S, B @ _S @ _G),
                    multiplicative(B, _S @ _G),
                    multiplicative(_S, _G),
                    *root_with_log_det(_G, A),
                )
            ),
            "Determinants multiply.",
        ),
        (
            ">=",
            -(LogDet(I_d) + Trace(Inverse(I_d) @ (_BETWEEN - I_d))) / 4,
            Lemma(TANGENT, {A: I_d, B: _BETWEEN}, times=_QUARTER),
            "The tangent of log det at I.",
        ),
        (
            "=",
            CURVED,
            Calculus((root(_G, A),)),
            "M⁻¹A = I + X and M⁻¹B = I − X with X = M⁻¹(A − B)/2: what is left is tr X²/4.",
        ),
    ),
)

NONNEGATIVE = Derivation(
    name="gap-of-log-det-is-zero-for-equal-matrices-alone",
    title="The gap of log det at the mean is not negative, and zero for equal matrices alone",
    hypotheses=("A and B positive definite", "V is the square root of M⁻¹"),
    source="derived",
    definitions=(("M", M),),
    uses=(LOWER,),
    steps=chain(
        GAP,
        (">=", CURVED, Lemma(LOWER), "The square of the difference."),
        (
            ">=",
            expression(0),
            Squares(((sympy.Rational(1, 16), _V @ (A - B) @ _V),), rules=(root(_V, Inverse(M)),)),
            "It is ‖V(A − B)V‖²/16, which is zero for A = B alone, as V is invertible.",
        ),
    ),
)

_Z = Matrix("X", "n", "d")
_OF_Z, _OF_X = I_d + alpha * Z.T @ Z, I_d + alpha * _Z.T @ _Z
_M = (_OF_Z + _OF_X) / 2
_difference = alpha * (Z.T @ Z - _Z.T @ _Z)

SAMPLES = Derivation(
    name="rate-reduction-of-two-samples",
    title="The rate reduction between two equal samples is at least a square of the difference of their moments",
    hypotheses=(
        "samples Z and X of n tokens each, α = d/(nε²): for the 2n tokens of both it is α/2",
        "(A + B)/2 = I + (α/2)(ZᵀZ + XᵀX)",
    ),
    source=f"{CTRL}, the distance between features; derived",
    definitions=(("M", _M),),
    uses=(LOWER, NONNEGATIVE),
    steps=chain(
        LogDet(I_d + alpha / 2 * (Z.T @ Z + _Z.T @ _Z)) / 2 - LogDet(_OF_Z) / 4 - LogDet(_OF_X) / 4,
        (
            ">=",
            Trace(Inverse(_M) @ _difference @ Inverse(_M) @ _difference) / 16,
            Lemma(LOWER, {A: _OF_Z, B: _OF_X}),
            "The gap of log det at the mean of I + αZᵀZ and I + αXᵀX.",
        ),
    ),
    remark="So it is not negative, and zero if and only if the second moments agree: ΔR tells moments apart, not "
    "distributions.",
)
