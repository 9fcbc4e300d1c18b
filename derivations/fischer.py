"""Rates of all classes against the rate of the whole: Fischer's inequality, the largest ΔR(Z|Π), growth with scale.

The memberships are Π_k = C_kC_kᵀ, hard or soft, with Σ_k Π_k = I, and the shares ν_k, so that α_k = α/ν_k.
"""

from __future__ import annotations

import sympy

from derivations.checks import Calculus, Lemma, Ray, Squares
from derivations.expression import (
    Differential,
    Expr,
    Inverse,
    LogDet,
    Matrix,
    Sum,
    Trace,
    expression,
    reciprocal,
    substitute,
)
from derivations.notation import I_d, I_n, I_p, R, W, Z, alpha, family
from derivations.proof import Derivation, chain
from derivations.rate_reduction import CLASSES, GRAM, REDUCTION, SHARE, SUM_OF_MEMBERSHIPS, SUMS, P
from derivations.rules import block_log_det, known, sylvester
from derivations.sources import MCR2

C = Matrix("C", "n", "n", "k", complete=True)
_GRAM = I_d + alpha * Z.T @ C @ C.T @ Z
_W_K = Inverse(_GRAM)
PARTS: Expr = Sum("k", LogDet(_GRAM) / 2)
"""Σ_k R of the tokens of class k, with the α of all."""
_Q = Matrix("Q", "n", "n", "k", psd=True)
_OTHERS = known(_Q, I_n - C @ C.T)
_MEMBERSHIPS = "any number of classes, hard or soft memberships Π_k = C_kC_kᵀ that sum to I"
_BELOW_ONE = "Q_k = I − Π_k is positive semidefinite: no membership is above 1"
_OTHER = alpha * Z.T @ _Q @ Z
_NAMES = (("W_k", _W_K), ("W", W))
_u = sympy.Symbol("u", nonnegative=True)

SLOPE = Derivation(
    name="rates-of-classes-grow-faster-than-that-of-the-whole",
    title="Along any tokens the rates of the classes grow at least as fast as the rate of the whole",
    hypotheses=("any tokens", _MEMBERSHIPS, _BELOW_ONE),
    source="derived",
    definitions=_NAMES,
    steps=chain(
        Differential(PARTS - R, Z, Z),
        (
            "=",
            Sum("k", alpha * Trace(_W_K @ Z.T @ C @ C.T @ Z)) - alpha * Trace(W @ Z.T @ Z),
            Calculus(),
            "d log det A = tr(A⁻¹ dA).",
        ),
        (
            ">=",
            expression(0),
            Squares(
                weighted=((alpha**2, Z @ W @ Z.T @ C, _Q), (alpha, _OTHER @ W @ Z.T @ C, _W_K)),
                rules=(_OTHERS,),
                over="k",
            ),
            "W_k − W = WBW + WBW_kBW with B = αZᵀQ_kZ, what the other classes add to I + αZᵀΠ_kZ.",
        ),
    ),
)

FISCHER = Derivation(
    name="coding-rate-at-most-sum-over-all-classes",
    title="The coding rate is at most the sum of those of its classes, of any number",
    hypotheses=("any tokens", _MEMBERSHIPS, _BELOW_ONE),
    source=f"{MCR2}; Fischer's inequality",
    uses=(SLOPE,),
    steps=chain(
        R,
        ("<=", PARTS, Ray(PARTS - R, Z, SLOPE), "The difference is zero at Z = 0 and grows along every ray."),
    ),
    remark="α is that of all tokens. Equality when the classes lie in orthogonal subspaces.",
)

_nu = Trace(Matrix("nu", 1, 1, "k", psd=True))
RATE: Expr = Sum("k", _nu * LogDet(I_d + alpha * reciprocal(_nu) * Z.T @ C @ C.T @ Z) / 2)
"""Rᶜ(Z|Π), α_k = α/ν_k."""

LARGEST = Derivation(
    name="rate-reduction-at-most-sum-over-classes",
    title="The rate reduction is at most what the classes would have in orthogonal subspaces",
    hypotheses=("any tokens", _MEMBERSHIPS, _BELOW_ONE, "shares ν_k > 0, α_k = α/ν_k"),
    source=MCR2,
    definitions=(("ν_k", _nu),),
    uses=(FISCHER,),
    steps=chain(
        R - RATE,
        ("<=", PARTS - RATE, Lemma(FISCHER), "Fischer's inequality for the rate of the whole."),
    ),
    remark="With the singular values s of a class it is ½ Σ f_k(s²), f_k(x) = log(1 + αx) − ν_k log(1 + αx/ν_k).",
)

_U = family(orthonormal=True, mutually=True, complete=True)
_V = Matrix("V", "n", "p", "k")
_APART = known(C.T @ Z, _V @ _U.T)
_block = I_p + alpha * _V.T @ _V

EQUALITY = Derivation(
    name="coding-rate-of-classes-in-orthogonal-subspaces",
    title="The coding rate of classes in the subspaces of a complete orthogonal family is the sum of theirs",
    hypotheses=(
        "memberships Π_k = C_kC_kᵀ that sum to I",
        "a complete family of mutually orthogonal subspaces: Σ_k U_kU_kᵀ = I",
        "C_kᵀZ = V_kU_kᵀ: the tokens of class k lie in subspace k",
    ),
    source=MCR2,
    uses=(FISCHER,),
    steps=chain(
        R,
        ("=", LogDet(I_d + alpha * Sum("k", Z.T @ C @ C.T @ Z)) / 2, Calculus(), "The memberships sum to I."),
        (
            "=",
            LogDet(Sum("k", _U @ _block @ _U.T)) / 2,
            Calculus((_APART,)),
            "Σ_k U_kU_kᵀ = I.",
        ),
        (
            "=",
            Sum("k", LogDet(_block) / 2),
            Calculus((block_log_det(_U, _block),)),
            "The determinant is that of the blocks.",
        ),
        (
            "=",
            Sum("k", LogDet(I_d + alpha * _U @ _V.T @ _V @ _U.T) / 2),
            Calculus((sylvester(alpha * _U @ _V.T @ _V, _U.T),)),
            "Sylvester, with U_kᵀU_k = I.",
        ),
        ("=", PARTS, Calculus((_APART,)), "C_kᵀZ = V_kU_kᵀ."),
    ),
)

# --- growth with scale ------------------------------------------------------------------------------------------

_OF_ALL = I_d + alpha * Z.T @ Z
_more = GRAM - _OF_ALL

GROWS = Derivation(
    name="rate-reduction-grows-along-the-tokens",
    title="Along any tokens the slope of the rate reduction of a partition is not negative",
    hypotheses=("any tokens", CLASSES, SUMS),
    source=f"{MCR2}; derived",
    definitions=(("ν_k", SHARE), ("W", W), ("W_k", Inverse(GRAM))),
    steps=chain(
        Differential(REDUCTION, Z, Z),
        (
            "=",
            Sum("k", SHARE * Trace(Inverse(GRAM))) - Trace(W),
            Calculus(),
            "αWZᵀZ = I − W, the same in every class, and the shares sum to 1.",
        ),
        (
            ">=",
            Sum("k", SHARE * Trace(W - W @ _more @ W)) - Trace(W),
            Squares(weighted=((SHARE, _more @ W, Inverse(GRAM)),), over="k"),
            "The inverse is convex: W_k = W − WBW + WBW_kBW for I + αZᵀT_kT_kᵀZ = I + αZᵀZ + B.",
        ),
        (
            ">=",
            expression(0),
            Squares(weighted=((alpha, Z @ W, P),), rules=(SUM_OF_MEMBERSHIPS,)),
            "The memberships sum to 1, so the matrices B cancel.",
        ),
    ),
)

SCALE = Derivation(
    name="rate-reduction-grows-with-scale",
    title="Longer tokens have no lower rate reduction",
    hypotheses=("any tokens, multiplied by t = 1 + u ≥ 1", CLASSES, SUMS),
    source=f"{MCR2}; derived",
    definitions=(("ν_k", SHARE),),
    uses=(GROWS,),
    steps=chain(
        REDUCTION,
        (
            "<=",
            substitute(REDUCTION, {Z: (1 + _u) * Z}),
            Ray(REDUCTION, Z, GROWS, low=1, high=1 + _u),
            "The slope along the tokens is nowhere negative.",
        ),
    ),
    remark="So a bound on the tokens, such as their normalisation, is part of what is maximised.",
)
