"""What maximises ΔR(Z|U) = R(Z) − Rᶜ(Z|U) at fixed energy: tokens without any preferred direction."""

from __future__ import annotations

import sympy

from derivations.checks import Calculus, Lemma, Squares
from derivations.expression import Expr, Inverse, LogDet, Matrix, Sum, Trace, norm_squared
from derivations.notation import I_d, I_n, K, Z, beta, compression, family, gram
from derivations.partition_rate import TANGENT
from derivations.proof import Derivation, chain
from derivations.rules import block_inverse, block_log_det, dimension, known, multiplicative, push_through, woodbury

U = family(orthonormal=True, mutually=True, complete=True)
HALF = sympy.Rational(1, 2)
A, B = Matrix("A", "d", "d", psd=True), Matrix("B", "d", "d", psd=True)
P: Expr = I_d + beta * Z.T @ Z
W, M = Inverse(P), Inverse(I_n + beta * Z @ Z.T)
BLOCKS = Sum("k", U @ gram(U) @ U.T)
COMPRESSION = compression(U)
FAMILY = "a complete family of mutually orthogonal subspaces: Σ_k U_kU_kᵀ = I"

FISCHER = Derivation(
    name="compression-rate-at-least-that-of-the-whole",
    title="The compression rate of a complete family is at least the rate of the tokens with beta for alpha",
    hypotheses=(FAMILY,),
    source="Fischer's inequality, for the blocks of I + βZᵀZ in the family",
    definitions=(("P", P), ("D", BLOCKS)),
    uses=(TANGENT,),
    steps=chain(
        LogDet(P) / 2,
        (
            "<=",
            LogDet(BLOCKS) / 2 + Trace(Inverse(BLOCKS) @ (P - BLOCKS)) / 2,
            Lemma(TANGENT, {A: BLOCKS, B: P}, times=HALF),
            "The tangent of log det at the blocks of P.",
        ),
        (
            "=",
            LogDet(BLOCKS) / 2,
            Calculus((block_inverse(U, gram(U)), dimension(U))),
            "P − D has no blocks, and D⁻¹ has nothing else.",
        ),
        ("=", COMPRESSION, Calculus((block_log_det(U, gram(U)),)), "The determinant of D is that of its blocks."),
    ),
)

a = sympy.Symbol("a", positive=True)
ENERGY = known(norm_squared(Z), a * Trace(I_d))
w = 1 / (1 + beta * a)
c = (1 + K * beta * a) / (1 + beta * a)
"""K − (K − 1)w."""
GAIN: Expr = I_d + (K - 1) * beta * Z.T @ M @ Z
"""(I + KβZᵀZ)(I + βZᵀZ)⁻¹."""
THROUGH = push_through(Z, beta * Z.T)

MAXIMUM = Derivation(
    name="largest-rate-reduction-at-fixed-energy",
    title="At fixed energy the rate reduction of a complete family is largest for tokens without preferred direction",
    hypotheses=(FAMILY, "α = Kβ, as for d = Kp", "‖Z‖² = a d"),
    source="derived",
    definitions=(("P", P), ("W", W), ("M", M), ("Rᶜ(Z|U)", COMPRESSION)),
    uses=(FISCHER, TANGENT),
    steps=chain(
        LogDet(I_d + K * beta * Z.T @ Z) / 2 - COMPRESSION,
        (
            "<=",
            LogDet(I_d + K * beta * Z.T @ Z) / 2 - LogDet(P) / 2,
            Lemma(FISCHER),
            "The compression rate is at least the rate with β for α.",
        ),
        (
            "=",
            LogDet(GAIN) / 2,
            Calculus((multiplicative(GAIN, P), THROUGH)),
            "I + KβZᵀZ = (I + (K − 1)βZᵀMZ)P, and determinants multiply.",
        ),
        (
            "<=",
            LogDet(c * I_d) / 2 + Trace(Inverse(c * I_d) @ (GAIN - c * I_d)) / 2,
            Lemma(TANGENT, {A: c * I_d, B: GAIN}, times=HALF),
            "The tangent of log det at its value for ZᵀZ = aI.",
        ),
        (
            "<=",
            LogDet(c * I_d) / 2,
            Squares(weighted=(((K - 1) / (2 * c), I_d - w * P, W),), rules=(ENERGY, woodbury(beta * Z.T, Z))),
            "I + (K − 1)βZᵀMZ = KI − (K − 1)W, and tr W is at least wd with w = 1/(1 + βa): their difference is the "
            "trace of (I − wP)W(I − wP).",
        ),
    ),
    remark="The bound is d/2 log((1 + Kβa)/(1 + βa)), attained at ZᵀZ = aI. So the rate reduction alone prefers "
    "isotropic tokens to any union of the subspaces: it is the sparsity term that breaks the symmetry.",
)
