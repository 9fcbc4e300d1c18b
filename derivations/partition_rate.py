"""One class of a partition, (γ/2) log det(I + (α/γ) ZᵀDiag(π)Z); the tangent of log det; the rate of two parts."""

from __future__ import annotations

from functools import cache

import sympy

from derivations import coding_rate
from derivations.checks import Calculus, Lemma, Squares, Taylor
from derivations.expression import (
    Diag,
    Differential,
    Expr,
    Identity,
    Inverse,
    LogDet,
    Matrix,
    Size,
    Sum,
    Trace,
    expression,
    inner,
)
from derivations.notation import H, I_d, R, W, Z, alpha
from derivations.proof import Derivation, chain
from derivations.rules import known, multiplicative, push_through, root, sylvester, woodbury
from derivations.sources import MCR2

BOYD = "Boyd and Vandenberghe, Convex Optimization, section 3.1.5"

gamma = sympy.Symbol("gamma", positive=True)
"""γ = n_k/n, the share of a class."""
pi = Matrix("pi", "n", 1)
"""The membership of every token in one class."""
W_CLASS = Inverse(I_d + alpha / gamma * Z.T @ Diag(pi) @ Z)
TERM: Expr = gamma * LogDet(I_d + alpha / gamma * Z.T @ Diag(pi) @ Z) / 2
"""The term of one class."""

GRADIENT = Derivation(
    name="gradient-of-the-partition-rate",
    title="The gradient of one class's term of the partition rate",
    hypotheses=("any tokens, memberships held fixed, and any direction H", "n_k = γn, so that α_k = α/γ"),
    source=f"{MCR2}; Chan et al. 2022 (ReduNet, arXiv 2105.10446)",
    definitions=(("W_k", W_CLASS),),
    steps=chain(
        Differential(TERM, Z, H),
        (
            "=",
            alpha / 2 * Trace(W_CLASS @ (H.T @ Diag(pi) @ Z + Z.T @ Diag(pi) @ H)),
            Calculus(),
            "d log det A = tr(A⁻¹ dA); the share of the class and its α/γ multiply to α.",
        ),
        (
            "=",
            inner(alpha * Diag(pi) @ Z @ W_CLASS, H),
            Calculus(),
            "The two terms are transposes of one another.",
        ),
    ),
    remark="The factor is α for every class, whatever its size.",
)

_omega = Matrix("omega", "n", 1, "k")
_nu = Matrix("nu", 1, 1, "k", psd=True)
_moved = Z.T @ Diag(_omega) @ H
_GRAM = I_d + alpha * Z.T @ Diag(_omega) @ Z
REDUCTION: Expr = R - Sum("k", Trace(_nu) * LogDet(_GRAM) / 2)
"""ΔR(Z|Π), with shares ν_k and memberships π_k = ν_k ω_k."""

GRADIENT_OF_REDUCTION = Derivation(
    name="gradient-of-the-rate-reduction",
    title="The gradient of the rate reduction of a partition",
    hypotheses=("any tokens and any direction H", "shares ν_k = n_k/n and memberships π_k = ν_k ω_k, held fixed"),
    source=f"{MCR2}; Chan et al. 2022 (ReduNet, arXiv 2105.10446)",
    definitions=(("W", W), ("W_k", Inverse(_GRAM))),
    uses=(coding_rate.GRADIENT, GRADIENT),
    steps=chain(
        Differential(REDUCTION, Z, H),
        (
            "=",
            inner(alpha * Z @ W, H) - Sum("k", Trace(_nu) * alpha / 2 * Trace(Inverse(_GRAM) @ (_moved + _moved.T))),
            Calculus(),
            "The gradient of R, and the product rule in every class.",
        ),
        (
            "=",
            inner(alpha * (Z @ W - Sum("k", Trace(_nu) * Diag(_omega) @ Z @ Inverse(_GRAM))), H),
            Calculus(),
            "The two terms of a class are transposes of one another.",
        ),
    ),
)

# --- curvature --------------------------------------------------------------------------------------------------

_P = Matrix("P", "n", "n", symmetric=True)
_HALF = (known(_P @ _P, Diag(pi) / gamma),)
_HALF_HYPOTHESIS = "memberships are nonnegative: P is the diagonal matrix with P² = Diag(π)/γ"
_MOVED = {Z: _P @ Z, H: _P @ H}
_SECOND = Differential(Differential(TERM, Z, H), Z, H)
_CURVATURE = ("any tokens and any direction H", "γ the share of the class, so that α_k = α/γ", _HALF_HYPOTHESIS)

ABOVE = Derivation(
    name="curvature-of-the-partition-rate-from-above",
    title="The Hessian of a class's term is at most alpha times its memberships",
    hypotheses=_CURVATURE,
    source="derived",
    uses=(coding_rate.ABOVE,),
    steps=chain(
        _SECOND,
        (
            "<=",
            alpha * inner(H, Diag(pi) @ H),
            Lemma(coding_rate.ABOVE, _MOVED, times=gamma, rules=_HALF),
            "The term is γR(PZ), and PZ moves by PH; γ‖PH‖² = ⟨H, Diag(π)H⟩.",
        ),
    ),
)

BELOW = Derivation(
    name="curvature-of-the-partition-rate-from-below",
    title="The Hessian of a class's term is at least -alpha/8 times its memberships",
    hypotheses=_CURVATURE,
    source="derived",
    uses=(coding_rate.BELOW,),
    steps=chain(
        _SECOND,
        (
            ">=",
            -alpha / 8 * inner(H, Diag(pi) @ H),
            Lemma(coding_rate.BELOW, _MOVED, times=gamma, rules=_HALF),
            "The term is γR(PZ), and PZ moves by PH.",
        ),
    ),
)

# --- log det is concave -----------------------------------------------------------------------------------------


@cache
def concave(size: Size) -> Derivation:
    """The second derivative of log det on matrices of a size is not positive."""
    A = Matrix("A", size, size, psd=True)
    E, V = Matrix("E", size, size, symmetric=True), Matrix("V", size, size, symmetric=True)
    return Derivation(
        name="second-derivative-of-log-det",
        title="The logarithm of the determinant is concave",
        hypotheses=("A positive definite, E symmetric",),
        source=BOYD,
        steps=chain(
            Differential(Differential(LogDet(A), A, E), A, E),
            ("=", -Trace(Inverse(A) @ E @ Inverse(A) @ E), Calculus(), "dA⁻¹ = −A⁻¹ dA A⁻¹."),
            ("<=", expression(0), Squares(((1, V @ E @ V),), rules=(root(V, Inverse(A)),)), "It is −‖VEV‖²."),
        ),
    )


@cache
def tangent(size: Size) -> Derivation:
    """The tangent of log det on matrices of a size lies above it."""
    A, B = Matrix("A", size, size, psd=True), Matrix("B", size, size, psd=True)
    flat = concave(size)
    return Derivation(
        name="tangent-of-log-det",
        title="The tangent of log det lies above it",
        hypotheses=("A and B positive definite, and so everything between them",),
        source=BOYD,
        uses=(flat,),
        steps=chain(
            LogDet(B),
            (
                "<=",
                LogDet(A) + Differential(LogDet(A), A, B - A),
                Taylor(LogDet(A), A, B - A, flat, sympy.Integer(0)),
                "Taylor, with a second derivative that is nowhere positive.",
            ),
            ("=", LogDet(A) + Trace(Inverse(A) @ (B - A)), Calculus(), "d log det A = tr(A⁻¹ dA)."),
        ),
    )


CONCAVE = concave("d")
TANGENT = tangent("d")

# --- the rate of unrelated classes ------------------------------------------------------------------------------

Z_1, Z_2 = Matrix("Z_1", "m", "d"), Matrix("Z_2", "q", "d")
I_m, I_q = Identity("m"), Identity("q")
_W1 = Inverse(I_d + alpha * Z_1.T @ Z_1)
_M1 = Inverse(I_m + alpha * Z_1 @ Z_1.T)
_inside = I_q + alpha * Z_2 @ _W1 @ Z_2.T
_outside = I_q + alpha * Z_2 @ Z_2.T
_A2, _B2 = Matrix("A", "q", "q", psd=True), Matrix("B", "q", "q", psd=True)
_S = Matrix("S", "q", "q", symmetric=True)
_first = LogDet(I_d + alpha * Z_1.T @ Z_1) / 2

UNRELATED = Derivation(
    name="coding-rate-at-most-sum-over-classes",
    title="The coding rate is at most the sum of those of two parts",
    hypotheses=("tokens in two parts Z₁ and Z₂, α the same for both", "S is the square root of (I + αZ₂Z₂ᵀ)⁻¹"),
    source=f"{MCR2}; Fischer's inequality",
    definitions=(("W₁", _W1), ("M₁", _M1)),
    uses=(TANGENT,),
    steps=chain(
        LogDet(I_d + alpha * Z_1.T @ Z_1 + alpha * Z_2.T @ Z_2) / 2,
        (
            "=",
            _first + LogDet(_inside) / 2,
            Calculus(
                (
                    multiplicative(I_d + alpha * Z_1.T @ Z_1, I_d + alpha * _W1 @ Z_2.T @ Z_2),
                    sylvester(alpha * _W1 @ Z_2.T, Z_2),
                )
            ),
            "Take out I + αZ₁ᵀZ₁, and Sylvester.",
        ),
        (
            "<=",
            _first + (LogDet(_outside) + Trace(Inverse(_outside) @ (_inside - _outside))) / 2,
            Lemma(tangent("q"), {_A2: _outside, _B2: _inside}, times=sympy.Rational(1, 2)),
            "The tangent of log det at I + αZ₂Z₂ᵀ.",
        ),
        (
            "<=",
            _first + LogDet(_outside) / 2,
            Squares(
                weighted=((alpha**2 / 2, Z_1 @ Z_2.T @ _S, _M1),),
                rules=(root(_S, Inverse(_outside)), push_through(Z_1.T, alpha * Z_1)),
            ),
            "I − W₁ = αZ₁ᵀM₁Z₁: what is dropped is tr(Eᵀ M₁ E) with E = Z₁Z₂ᵀS.",
        ),
        (
            "=",
            _first + LogDet(I_d + alpha * Z_2.T @ Z_2) / 2,
            Calculus((sylvester(alpha * Z_2.T, Z_2),)),
            "Sylvester.",
        ),
    ),
    remark="Equality when Z₁Z₂ᵀ = 0: the parts lie in orthogonal subspaces.",
)

ORTHOGONAL = Derivation(
    name="coding-rate-of-orthogonal-classes",
    title="The coding rate of parts in orthogonal subspaces is the sum of theirs",
    hypotheses=("tokens in two parts with Z₁Z₂ᵀ = 0, α the same for both",),
    source=MCR2,
    definitions=(("W₁", _W1),),
    uses=(UNRELATED,),
    steps=chain(
        UNRELATED.left,
        ("=", _first + LogDet(_inside) / 2, UNRELATED.steps[0].rule, "Take out I + αZ₁ᵀZ₁, and Sylvester."),
        (
            "=",
            _first + LogDet(_outside) / 2,
            Calculus((known(Z_1 @ Z_2.T, 0 * Z_1 @ Z_2.T), woodbury(alpha * Z_1.T, Z_1))),
            "W₁Z₂ᵀ = Z₂ᵀ, by Woodbury.",
        ),
        ("=", UNRELATED.right, UNRELATED.steps[-1].rule, "Sylvester."),
    ),
)
