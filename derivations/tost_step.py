"""ToST's layer for given memberships: a step on the variational rate, by majorisation.

The share of head k is ν_k = s_ks_kᵀ and its memberships are Π_k = ν_kT_kT_kᵀ, as in `derivations.rate_reduction`. With
f(x) = log(1 + cx) and c = d/ε², cv_k is α diag(U_kᵀZᵀT_kT_kᵀZU_k). So the rate is ½ Σ_k ν_k log det(I + αΔ_k), Δ_k the
diagonal part of the second moment in the basis U_k, and D_k = Diag(f'(v_k)) is c(I + αΔ_k)⁻¹.
"""

from __future__ import annotations

import sympy

from derivations.checks import Calculus, Lemma, Squares
from derivations.expression import (
    Diag,
    Diagonal,
    Differential,
    Entrywise,
    Expr,
    Hadamard,
    Inverse,
    LogDet,
    Matrix,
    Ones,
    Sum,
    Trace,
    inner,
    norm_squared,
    substitute,
)
from derivations.notation import H, I_d, I_p, Z, alpha, family
from derivations.partition_rate import TANGENT, tangent
from derivations.proof import Derivation, chain
from derivations.rate_reduction import CLASSES, SHARE, SUM_OF_MEMBERSHIPS, SUMS, P, T
from derivations.rate_reduction import RATE as PARTITION_RATE
from derivations.rules import diagonal_inverse, diagonal_log_det, known, sylvester
from derivations.sources import TOST
from derivations.tost import HADAMARD

tau = sympy.Symbol("tau", positive=True)
"""The step size."""
U = family(orthonormal=True)
Y = T.T @ Z @ U
"""The tokens of a head, weighed by the roots of their memberships."""
_moments = Diagonal(Y.T @ Y)
DELTA: Expr = Diag(_moments)
"""Δ_k, with α Δ_k = c Diag(v_k)."""
_FLAT = I_p + alpha * DELTA
GAIN = Inverse(_FLAT)
"""K_k, so that D_k = cK_k."""
RATE: Expr = Sum("k", SHARE * LogDet(_FLAT) / 2)
"""The variational rate."""
GRADIENT_OF_RATE: Expr = alpha * Sum("k", SHARE * T @ T.T @ Z @ U @ GAIN @ U.T)
_BASES = "orthonormal bases U_k, overlapping or not"
_NAMES = (("ν_k", SHARE), ("K_k", GAIN), ("Δ_k", DELTA))
_DIAGONAL = (diagonal_inverse(_moments, alpha),)
_A, _B = Matrix("A", "p", "p", psd=True), Matrix("B", "p", "p", psd=True)
_x = sympy.Symbol("x", nonnegative=True)
_LOG = sympy.Lambda(_x, sympy.log(1 + alpha * _x))

ENTRIES = Derivation(
    name="variational-rate-by-entries",
    title="The variational rate is the rate of the diagonal parts of the heads' second moments",
    hypotheses=("any tokens", CLASSES, _BASES),
    source=f"{TOST}, the variational rate",
    definitions=_NAMES,
    steps=chain(
        RATE,
        (
            "=",
            Sum("k", SHARE * inner(Ones("p"), Entrywise(_LOG, _moments)) / 2),
            Calculus((diagonal_log_det(_moments, alpha),)),
            "The determinant of a diagonal matrix.",
        ),
    ),
)

GRADIENT = Derivation(
    name="gradient-of-the-variational-rate-by-shares",
    title="The gradient of the variational rate, its gains as inverses of diagonal matrices",
    hypotheses=("any tokens and any direction H", CLASSES, _BASES),
    source=f"{TOST}, the gradient of the variational rate",
    definitions=_NAMES,
    uses=(ENTRIES,),
    steps=chain(
        Differential(RATE, Z, H),
        ("=", inner(GRADIENT_OF_RATE, H), Calculus(_DIAGONAL), "d log det A = tr(A⁻¹ dA), with a diagonal A."),
    ),
    remark="Token by token ∇ is (1/n) Σ_k Π_k U_kD_kU_kᵀz, since αν_kT_kT_kᵀK_k = Π_kD_k/n.",
)

_moved = Y + T.T @ H @ U
_NEW = I_p + alpha * Diag(Diagonal(_moved.T @ _moved))
_change = T.T @ H @ U
_linear = RATE + inner(GRADIENT_OF_RATE, H)

MAJORISER = Derivation(
    name="majoriser-of-the-variational-rate",
    title="The variational rate lies below its quadratic model with curvature alpha",
    hypotheses=("any tokens and any move H", CLASSES, SUMS, _BASES),
    source=f"{TOST}, the layer; derived",
    definitions=_NAMES,
    uses=(TANGENT, GRADIENT),
    steps=chain(
        substitute(RATE, {Z: Z + H}),
        ("=", Sum("k", SHARE * LogDet(_NEW) / 2), Calculus(), "Y_k moves by T_kᵀHU_k."),
        (
            "<=",
            Sum("k", SHARE * (LogDet(_FLAT) + Trace(GAIN @ (_NEW - _FLAT))) / 2),
            Lemma(tangent("p"), {_A: _FLAT, _B: _NEW}, times=SHARE / 2, over="k"),
            "The tangent of log det at I + αΔ_k, in every head: the gains are held fixed.",
        ),
        (
            "=",
            _linear + alpha / 2 * Sum("k", SHARE * Trace(_change @ GAIN @ _change.T)),
            Calculus(_DIAGONAL),
            "The quadratic with these gains, by powers of H.",
        ),
        (
            "<=",
            _linear + alpha / 2 * Sum("k", SHARE * norm_squared(_change)),
            Squares(
                weighted=((alpha**2 / 2 * SHARE, GAIN @ _change.T, DELTA),),
                squares=((alpha**3 / 2 * SHARE, DELTA @ GAIN @ _change.T),),
                over="k",
            ),
            "No gain is above 1: I − K_k = K_k(αΔ_k + α²Δ_k²)K_k.",
        ),
        (
            "<=",
            _linear + alpha / 2 * Sum("k", SHARE * norm_squared(T.T @ H)),
            Squares(squares=((alpha / 2 * SHARE, T.T @ H @ (I_d - U @ U.T)),), over="k"),
            "A projection U_kU_kᵀ lengthens nothing.",
        ),
        (
            "<=",
            _linear + alpha / 2 * norm_squared(H),
            Squares(weighted=((alpha / 2, H, P),), rules=(SUM_OF_MEMBERSHIPS,)),
            "The memberships sum to 1.",
        ),
    ),
)

DESCENT = Derivation(
    name="tost-step-descends",
    title="For given memberships ToST's step lowers the variational rate for every step size below 2/alpha",
    hypotheses=("any tokens", CLASSES, SUMS, _BASES, "τ > 0; the bound is not above the rate if τ ≤ 2/α = 2nε²/d"),
    source=f"{TOST}, the layer; derived",
    definitions=(("∇", GRADIENT_OF_RATE), *_NAMES),
    uses=(MAJORISER,),
    steps=chain(
        substitute(RATE, {Z: Z - tau * GRADIENT_OF_RATE}),
        (
            "<=",
            RATE
            - tau * inner(GRADIENT_OF_RATE, GRADIENT_OF_RATE)
            + alpha * tau**2 / 2 * norm_squared(GRADIENT_OF_RATE),
            Lemma(MAJORISER, {H: -tau * GRADIENT_OF_RATE}),
            "The quadratic model at H = −τ∇.",
        ),
        (
            "=",
            RATE - tau * (1 - tau * alpha / 2) * norm_squared(GRADIENT_OF_RATE),
            Calculus(),
            "The multiples of ‖∇‖² taken together.",
        ),
    ),
    remark="The memberships of the published layer move with the tokens; the bound is on the rate with the old ones.",
)

_gain = sympy.Symbol("rho", positive=True)
_Q = Matrix("Q", "p", "p", "k", psd=True)
_LARGEST = "Q_k = ρI − K_k is positive semidefinite: no gain is above ρ, so no entry of D_k above cρ"

SHARP_MAJORISER = Derivation(
    name="majoriser-of-the-variational-rate-by-its-largest-gain",
    title="The variational rate lies below its quadratic model with alpha times the largest gain for curvature",
    hypotheses=("any tokens and any move H", CLASSES, SUMS, _BASES, _LARGEST),
    source=f"{TOST}, the layer; derived",
    definitions=_NAMES,
    uses=(MAJORISER,),
    steps=chain(
        MAJORISER.left,
        *((step.relation, step.end, step.rule, step.because) for step in MAJORISER.steps[:3]),
        (
            "<=",
            _linear + alpha * _gain / 2 * Sum("k", SHARE * norm_squared(_change)),
            Squares(weighted=((alpha / 2 * SHARE, _change.T, _Q),), rules=(known(_Q, _gain * I_p - GAIN),), over="k"),
            "No gain is above ρ.",
        ),
        (
            "<=",
            _linear + alpha * _gain / 2 * Sum("k", SHARE * norm_squared(T.T @ H)),
            Squares(squares=((alpha * _gain / 2 * SHARE, T.T @ H @ (I_d - U @ U.T)),), over="k"),
            "A projection U_kU_kᵀ lengthens nothing.",
        ),
        (
            "<=",
            _linear + alpha * _gain / 2 * norm_squared(H),
            Squares(weighted=((alpha * _gain / 2, H, P),), rules=(SUM_OF_MEMBERSHIPS,)),
            "The memberships sum to 1.",
        ),
    ),
)

SHARP_DESCENT = Derivation(
    name="tost-step-descends-by-its-largest-gain",
    title="ToST's step lowers the variational rate for every step size below 2/alpha over the largest gain",
    hypotheses=(
        "any tokens",
        CLASSES,
        SUMS,
        _BASES,
        _LARGEST,
        "τ > 0; the bound is not above the rate if τ ≤ 2/(αρ), which is 2n over the largest entry of any D_k",
    ),
    source=f"{TOST}, the layer; derived",
    definitions=(("∇", GRADIENT_OF_RATE), *_NAMES),
    uses=(SHARP_MAJORISER,),
    steps=chain(
        substitute(RATE, {Z: Z - tau * GRADIENT_OF_RATE}),
        (
            "<=",
            RATE
            - tau * inner(GRADIENT_OF_RATE, GRADIENT_OF_RATE)
            + alpha * _gain * tau**2 / 2 * norm_squared(GRADIENT_OF_RATE),
            Lemma(SHARP_MAJORISER, {H: -tau * GRADIENT_OF_RATE}),
            "The quadratic model at H = −τ∇.",
        ),
        (
            "=",
            RATE - tau * (1 - tau * alpha * _gain / 2) * norm_squared(GRADIENT_OF_RATE),
            Calculus(),
            "The multiples of ‖∇‖² taken together.",
        ),
    ),
)

AT_ZERO = Derivation(
    name="curvature-of-the-variational-rate-at-zero",
    title="At Z = 0 the Hessian of the variational rate is alpha on what lies in the subspaces",
    hypotheses=("Z = 0", "any direction H", CLASSES, _BASES),
    source="derived",
    definitions=(("ν_k", SHARE),),
    uses=(GRADIENT,),
    steps=chain(
        Differential(Differential(RATE, Z, H), Z, H),
        (
            "=",
            alpha * Sum("k", SHARE * norm_squared(T.T @ H @ U)),
            Calculus((known(Z, 0 * Z), *_DIAGONAL)),
            "All gains are 1 there, and do not move to first order.",
        ),
    ),
    remark="For moves of every token within the subspaces of its heads it is α‖H‖²: so a step size above 2/α raises "
    "the rate of small enough tokens, and the bound cannot be improved.",
)

_r = Matrix("r", "p", 1, "k")
_squares = Hadamard(_r, _r)
_AXES = known(Z.T @ T @ T.T @ Z, U @ Diag(_squares) @ U.T)

ATTAINED = Derivation(
    name="variational-rate-along-principal-axes",
    title="If every head's basis holds the principal axes of its tokens, the variational rate is that of the partition",
    hypotheses=(
        "any tokens",
        CLASSES,
        _BASES,
        "ZᵀT_kT_kᵀZ = U_kDiag(r_k ∘ r_k)U_kᵀ: the columns of U_k are principal axes, r_k² what lies along them",
    ),
    source=f"{TOST}, corollary of theorem 1",
    definitions=(("ν_k", SHARE),),
    uses=(ENTRIES,),
    steps=chain(
        PARTITION_RATE,
        (
            "=",
            Sum("k", SHARE * LogDet(I_p + alpha * Diag(_squares)) / 2),
            Calculus((_AXES, sylvester(alpha * U @ Diag(_squares), U.T))),
            "Sylvester, with U_kᵀU_k = I.",
        ),
        ("=", RATE, Calculus((_AXES,)), "The second moment of a head is diagonal in its basis."),
    ),
)

_V = Matrix("V", "n", "p", "k")
_SEEN = known(T.T @ Z, _V @ U.T)

COROLLARY = Derivation(
    name="variational-rate-at-least-the-partition-rate",
    title="If every head's basis holds its tokens, the variational rate is at least the rate of the partition",
    hypotheses=("any tokens", CLASSES, _BASES, "T_kᵀZ = V_kU_kᵀ: the tokens of head k lie in its subspace"),
    source=f"{TOST}, corollary of theorem 1",
    definitions=_NAMES,
    uses=(HADAMARD, ENTRIES),
    steps=chain(
        PARTITION_RATE,
        (
            "=",
            Sum("k", SHARE * LogDet(I_d + alpha * U @ Y.T @ Y @ U.T) / 2),
            Calculus((_SEEN,)),
            "The tokens of a head are their projections.",
        ),
        (
            "=",
            Sum("k", SHARE * LogDet(I_p + alpha * Y.T @ Y) / 2),
            Calculus((sylvester(alpha * U @ Y.T @ Y, U.T),)),
            "Sylvester, with U_kᵀU_k = I.",
        ),
        (
            "<=",
            Sum("k", SHARE * (LogDet(_FLAT) + Trace(GAIN @ (alpha * Y.T @ Y - alpha * DELTA))) / 2),
            Lemma(tangent("p"), {_A: _FLAT, _B: I_p + alpha * Y.T @ Y}, times=SHARE / 2, over="k"),
            "The tangent of log det at I + αΔ_k, in every head.",
        ),
        ("=", RATE, Calculus(_DIAGONAL), "The gain is diagonal, and Y_kᵀY_k − Δ_k has a zero diagonal."),
    ),
)
