"""The rate Rᶜ(Z|Π) of a partition into any number of classes, and the rate reduction R − Rᶜ: curvature and steps.

The share of class k is ν_k = s_ks_kᵀ, and its memberships are the diagonal matrices Π_k = ν_k T_kT_kᵀ, hard or soft, so
that α_kΠ_k = αT_kT_kᵀ. Classes without tokens are left out.
"""

from __future__ import annotations

import sympy

from derivations import coding_rate
from derivations.checks import Calculus, Lemma, Squares, Taylor
from derivations.expression import (
    Diag,
    Differential,
    Expr,
    Inverse,
    LogDet,
    Matrix,
    Sum,
    Trace,
    inner,
    norm_squared,
    substitute,
)
from derivations.notation import H, I_d, I_n, K, R, W, Z, alpha, eta, kappa
from derivations.partition_rate import TANGENT
from derivations.proof import Derivation, chain
from derivations.rules import known, root
from derivations.sources import MCR2, REDUNET

_root = Matrix("s", 1, "r", "k", complete=True)
SHARE: Expr = Trace(_root @ _root.T)
"""ν_k; the shares sum to 1, as Σ_k s_ks_kᵀ = 1."""
T = Matrix("T", "n", "n", "k")
GRAM: Expr = I_d + alpha * Z.T @ T @ T.T @ Z
RATE: Expr = Sum("k", SHARE * LogDet(GRAM) / 2)
"""Rᶜ(Z|Π)."""
GRADIENT_OF_RATE: Expr = alpha * Sum("k", SHARE * T @ T.T @ Z @ Inverse(GRAM))
P = Matrix("P", "n", "n", psd=True)
SUM_OF_MEMBERSHIPS = known(P, I_n - Sum("k", SHARE * T @ T.T))
CLASSES = "any number of classes, hard or soft memberships Π_k = ν_kT_kT_kᵀ, held fixed"
SUMS = "P = I − Σ_k Π_k is positive semidefinite: it is zero, as the memberships of every token sum to 1"
_ANY = "any tokens and any direction H"
_NAMES = (("ν_k", SHARE), ("W", W), ("W_k", Inverse(GRAM)))

_omega = Matrix("omega", "n", 1, "k")
_nu = Matrix("nu", 1, 1, "k", psd=True)
_diagonal = I_d + alpha * Z.T @ Diag(_omega) @ Z
BY_MEMBERSHIPS: Expr = Sum("k", Trace(_nu) * LogDet(_diagonal) / 2)
"""Rᶜ(Z|Π) with memberships π_k = ν_kω_k."""
GRADIENT_BY_MEMBERSHIPS: Expr = alpha * Sum("k", Trace(_nu) * Diag(_omega) @ Z @ Inverse(_diagonal))

GRADIENT = Derivation(
    name="gradient-of-the-rate-of-all-classes",
    title="The gradient of the rate of a partition",
    hypotheses=(_ANY, "any number of classes, shares ν_k and memberships π_k = ν_kω_k, held fixed; α_kπ_k = αω_k"),
    source=f"{MCR2}; {REDUNET}",
    definitions=(("W_k", Inverse(_diagonal)),),
    steps=chain(
        Differential(BY_MEMBERSHIPS, Z, H),
        (
            "=",
            inner(GRADIENT_BY_MEMBERSHIPS, H),
            Calculus(),
            "d log det A = tr(A⁻¹ dA) in every class.",
        ),
    ),
)

_A, _B = Matrix("A", "d", "d", psd=True), Matrix("B", "d", "d", psd=True)
_N = Matrix("N", "d", "d", symmetric=True)

SAVING = Derivation(
    name="partition-rate-at-most-coding-rate",
    title="A partition saves: the rate reduction is not negative",
    hypotheses=("any tokens", CLASSES, SUMS, "N is the square root of W"),
    source=MCR2,
    definitions=(*_NAMES, ("A_k", GRAM)),
    uses=(TANGENT,),
    steps=chain(
        RATE,
        (
            "<=",
            Sum("k", SHARE * (LogDet(I_d + alpha * Z.T @ Z) + Trace(W @ (GRAM - (I_d + alpha * Z.T @ Z)))) / 2),
            Lemma(TANGENT, {_A: I_d + alpha * Z.T @ Z, _B: GRAM}, times=SHARE / 2, over="k"),
            "The tangent of log det at I + αZᵀZ, in every class.",
        ),
        (
            "=",
            R + alpha / 2 * (Sum("k", SHARE * Trace(W @ Z.T @ T @ T.T @ Z)) - Trace(W @ Z.T @ Z)),
            Calculus(),
            "The shares sum to 1.",
        ),
        (
            "<=",
            R,
            Squares(weighted=((alpha / 2, Z @ _N, P),), rules=(root(_N, W), SUM_OF_MEMBERSHIPS)),
            "The memberships sum to 1: the difference is α/2 tr((ZN)ᵀP(ZN)).",
        ),
    ),
    remark="Equality when all classes have one second moment. So splitting tokens into groups never raises their rate, "
    "if neither the groups nor the memberships cost anything.",
)

_part, _other = Matrix("Z", "m", "d", "k"), Matrix("Z", "m", "d", "j")
_of_part = I_d + K * alpha * _part.T @ _part
_of_all = I_d + alpha * Sum("j", _other.T @ _other)

SAMPLES = Derivation(
    name="rates-of-samples",
    title="The coding rates of K equal samples are on average at most that of the whole",
    hypotheses=("K samples Z_k of m = n/K tokens: d/(mε²) = Kα, and ZᵀZ = Σ_k Z_kᵀZ_k",),
    source="concavity of log det",
    definitions=(("A_k", _of_part), ("A", _of_all)),
    uses=(TANGENT,),
    steps=chain(
        Sum("k", LogDet(_of_part) / 2) / K,
        (
            "<=",
            Sum("k", LogDet(_of_all) + Trace(Inverse(_of_all) @ (_of_part - _of_all))) / (2 * K),
            Lemma(TANGENT, {_A: _of_all, _B: _of_part}, times=1 / (2 * K), over="k"),
            "The tangent of log det at A.",
        ),
        ("=", LogDet(_of_all) / 2, Calculus(), "A is the mean of the A_k, so the slopes cancel."),
    ),
)

# --- curvature --------------------------------------------------------------------------------------------------

_MOVED = {Z: T.T @ Z, H: T.T @ H}
_SECOND = Differential(Differential(RATE, Z, H), Z, H)

ABOVE = Derivation(
    name="curvature-of-the-rate-of-all-classes-from-above",
    title="The Hessian of the rate of a partition is at most alpha",
    hypotheses=(_ANY, CLASSES, SUMS),
    source="derived",
    definitions=_NAMES,
    uses=(coding_rate.ABOVE,),
    steps=chain(
        _SECOND,
        (
            "<=",
            alpha * Sum("k", SHARE * norm_squared(T.T @ H)),
            Lemma(coding_rate.ABOVE, _MOVED, times=SHARE, over="k"),
            "The term of a class is ν_kR(T_kᵀZ).",
        ),
        (
            "<=",
            alpha * norm_squared(H),
            Squares(weighted=((alpha, H, P),), rules=(SUM_OF_MEMBERSHIPS,)),
            "The memberships sum to 1.",
        ),
    ),
    remark="Not Kα, nor the largest α_k.",
)

BELOW = Derivation(
    name="curvature-of-the-rate-of-all-classes-from-below",
    title="The Hessian of the rate of a partition is at least -alpha/8",
    hypotheses=(_ANY, CLASSES, SUMS),
    source="derived",
    definitions=_NAMES,
    uses=(coding_rate.BELOW,),
    steps=chain(
        _SECOND,
        (
            ">=",
            -alpha / 8 * Sum("k", SHARE * norm_squared(T.T @ H)),
            Lemma(coding_rate.BELOW, _MOVED, times=SHARE, over="k"),
            "The term of a class is ν_kR(T_kᵀZ).",
        ),
        (
            ">=",
            -alpha / 8 * norm_squared(H),
            Squares(weighted=((alpha / 8, H, P),), rules=(SUM_OF_MEMBERSHIPS,)),
            "The memberships sum to 1.",
        ),
    ),
)

TAYLOR = Derivation(
    name="majoriser-of-the-rate-of-all-classes",
    title="The rate of a partition lies below its quadratic model with curvature alpha",
    hypotheses=("any tokens and any move H", CLASSES, SUMS),
    source="derived",
    definitions=_NAMES,
    uses=(ABOVE,),
    steps=chain(
        substitute(RATE, {Z: Z + H}),
        (
            "<=",
            RATE + Differential(RATE, Z, H) + alpha / 2 * norm_squared(H),
            Taylor(RATE, Z, H, ABOVE, alpha),
            "The second derivative along the segment from Z to Z + H is at most α‖H‖².",
        ),
        (
            "=",
            RATE + inner(GRADIENT_OF_RATE, H) + alpha / 2 * norm_squared(H),
            Calculus(),
            "The slope is the inner product with the gradient.",
        ),
    ),
)

DESCENT = Derivation(
    name="descent-on-the-rate-of-all-classes",
    title="Gradient descent on the rate of a partition lowers it for every step size below 2/alpha",
    hypotheses=("any tokens", CLASSES, SUMS, "κ > 0; the bound is not above Rᶜ(Z|Π) if κ ≤ 2/α"),
    source="derived",
    definitions=(("∇", GRADIENT_OF_RATE), *_NAMES),
    uses=(TAYLOR,),
    steps=chain(
        substitute(RATE, {Z: Z - kappa * GRADIENT_OF_RATE}),
        (
            "<=",
            RATE
            - kappa * inner(GRADIENT_OF_RATE, GRADIENT_OF_RATE)
            + alpha * kappa**2 / 2 * norm_squared(GRADIENT_OF_RATE),
            Lemma(TAYLOR, {H: -kappa * GRADIENT_OF_RATE}),
            "The quadratic model at H = −κ∇.",
        ),
        (
            "=",
            RATE - kappa * (1 - kappa * alpha / 2) * norm_squared(GRADIENT_OF_RATE),
            Calculus(),
            "The multiples of ‖∇‖² taken together.",
        ),
    ),
)

# --- the rate reduction -----------------------------------------------------------------------------------------

REDUCTION: Expr = R - RATE
GRADIENT_OF_REDUCTION: Expr = alpha * Z @ W - GRADIENT_OF_RATE
_SECOND_OF_R = Differential(Differential(R, Z, H), Z, H)
_SECOND_OF_REDUCTION = Differential(Differential(REDUCTION, Z, H), Z, H)
_NINE = sympy.Rational(9, 8) * alpha

REDUCTION_ABOVE = Derivation(
    name="curvature-of-the-rate-reduction-from-above",
    title="The Hessian of the rate reduction of a partition is at most 9/8 alpha",
    hypotheses=(_ANY, CLASSES, SUMS),
    source="derived",
    definitions=_NAMES,
    uses=(coding_rate.ABOVE, BELOW),
    steps=chain(
        _SECOND_OF_REDUCTION,
        ("<=", alpha * norm_squared(H) - _SECOND, Lemma(coding_rate.ABOVE), "The curvature of R from above."),
        ("<=", _NINE * norm_squared(H), Lemma(BELOW), "The curvature of Rᶜ(Z|Π) from below."),
    ),
)

REDUCTION_BELOW = Derivation(
    name="curvature-of-the-rate-reduction-from-below",
    title="The Hessian of the rate reduction of a partition is at least -9/8 alpha",
    hypotheses=(_ANY, CLASSES, SUMS),
    source="derived",
    definitions=_NAMES,
    uses=(coding_rate.BELOW, ABOVE),
    steps=chain(
        _SECOND_OF_REDUCTION,
        (">=", -alpha / 8 * norm_squared(H) - _SECOND, Lemma(coding_rate.BELOW), "The curvature of R from below."),
        (">=", -_NINE * norm_squared(H), Lemma(ABOVE), "The curvature of Rᶜ(Z|Π) from above."),
    ),
)

REDUCTION_TAYLOR = Derivation(
    name="minorisation-of-the-rate-reduction",
    title="A quadratic with curvature -9/8 alpha below the rate reduction of a partition",
    hypotheses=("any tokens and any move H", CLASSES, SUMS),
    source="derived",
    definitions=_NAMES,
    uses=(REDUCTION_BELOW,),
    steps=chain(
        substitute(REDUCTION, {Z: Z + H}),
        (
            ">=",
            REDUCTION + Differential(REDUCTION, Z, H) - _NINE / 2 * norm_squared(H),
            Taylor(REDUCTION, Z, H, REDUCTION_BELOW, -_NINE),
            "Taylor, with the curvature from below.",
        ),
        (
            "=",
            REDUCTION + inner(GRADIENT_OF_REDUCTION, H) - _NINE / 2 * norm_squared(H),
            Calculus(),
            "The slope is the inner product with the gradient.",
        ),
    ),
)

ASCENT = Derivation(
    name="ascent-on-the-rate-reduction",
    title="Gradient ascent on the rate reduction of a partition raises it for every step size below 16/9 over alpha",
    hypotheses=("any tokens", CLASSES, SUMS, "η > 0; the bound is not below ΔR(Z|Π) if η ≤ 16/(9α)"),
    source=f"{REDUNET}, its step without the normalisation",
    definitions=(("∇", GRADIENT_OF_REDUCTION), *_NAMES),
    uses=(REDUCTION_TAYLOR,),
    steps=chain(
        substitute(REDUCTION, {Z: Z + eta * GRADIENT_OF_REDUCTION}),
        (
            ">=",
            REDUCTION
            + eta * inner(GRADIENT_OF_REDUCTION, GRADIENT_OF_REDUCTION)
            - _NINE / 2 * eta**2 * norm_squared(GRADIENT_OF_REDUCTION),
            Lemma(REDUCTION_TAYLOR, {H: eta * GRADIENT_OF_REDUCTION}),
            "The quadratic below at H = η∇.",
        ),
        (
            "=",
            REDUCTION + eta * (1 - _NINE / 2 * eta) * norm_squared(GRADIENT_OF_REDUCTION),
            Calculus(),
            "The multiples of ‖∇‖² taken together.",
        ),
    ),
)
