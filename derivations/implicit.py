"""Implicit compression: the proximal step of κRᶜ(·|U), and the step that holds the weights and moves the tokens."""

from __future__ import annotations

import sympy

from derivations.checks import Calculus, Lemma, Squares, Taylor
from derivations.compression_rate import BELOW, GRADIENT, GRADIENT_OF_RC, OVERLAP_HYPOTHESIS, RC, L, U, W, Y
from derivations.compression_step import LEFT, RIGHT, SVD, SVD_HYPOTHESES, VALUES, Y_O, I_r
from derivations.compression_step import ORTHOGONAL as U_O
from derivations.expression import (
    Expr,
    Inverse,
    LogDet,
    Matrix,
    Sum,
    Trace,
    expression,
    inner,
    norm_squared,
    substitute,
)
from derivations.notation import ANY_BASES, ORTHOGONAL_BASES, H, I_d, I_p, Z, beta, gram, kappa
from derivations.partition_rate import TANGENT, tangent
from derivations.proof import Derivation, chain
from derivations.rules import known, sylvester
from derivations.sources import N23

# --- the tangent in the Gram matrix -----------------------------------------------------------------------------

X = Matrix("X", "n", "d")
"""Tokens after a step."""
A = Matrix("A", "d", "d", psd=True)
"""A = β Σ_k U_kW_kU_kᵀ, the matrix of the gradient: ∇Rᶜ = ZA."""
WEIGHTS = known(A, beta * Sum("k", U @ W @ U.T))
WEIGHTS_HYPOTHESIS = "A = β Σ_k U_kW_kU_kᵀ"
_HALF = sympy.Rational(1, 2)
_P, _Q = Matrix("A", "p", "p", psd=True), Matrix("B", "p", "p", psd=True)
_new = substitute(gram(U), {Z: X})
_change = X - Z

TANGENT_IN_GRAM = Derivation(
    name="compression-rate-below-its-tangent-in-the-gram-matrix",
    title="The compression rate lies below a quadratic in the tokens, its tangent in the Gram matrix",
    hypotheses=(ANY_BASES, WEIGHTS_HYPOTHESIS),
    source="derived",
    definitions=(("W_k", W), ("Y_k", Y)),
    uses=(TANGENT,),
    steps=chain(
        substitute(RC, {Z: X}),
        (
            "<=",
            RC + Sum("k", Trace(W @ (_new - gram(U)))) / 2,
            Lemma(tangent("p"), {_P: gram(U), _Q: _new}, times=_HALF, over="k"),
            "The tangent of log det at I + βY_kᵀY_k, in every head.",
        ),
        (
            "=",
            RC + Trace(A @ (X.T @ X - Z.T @ Z)) / 2,
            Calculus((WEIGHTS,)),
            "The heads of X are XU_k; rotate the traces.",
        ),
        (
            "=",
            RC + inner(Z @ A, _change) + Trace(_change @ A @ _change.T) / 2,
            Calculus(),
            "The square completed: ZA is the gradient.",
        ),
    ),
    remark="Its curvature is A, which is at most L_c and far below where the heads are full of large tokens.",
)

SEMI_IMPLICIT: Expr = Z @ Inverse(I_d + kappa * A)
_step = SEMI_IMPLICIT - Z

SEMI_IMPLICIT_DESCENT = Derivation(
    name="semi-implicit-step-descends",
    title="The semi-implicit step compresses for every step size, by at least its squared length divided by it",
    hypotheses=(ANY_BASES, WEIGHTS_HYPOTHESIS, "κ > 0"),
    source=f"derived; the gradient is {N23}, eq. 9",
    definitions=(("W_k", W), ("Y_k", Y)),
    uses=(TANGENT_IN_GRAM,),
    steps=chain(
        substitute(RC, {Z: SEMI_IMPLICIT}),
        (
            "<=",
            RC + inner(Z @ A, _step) + Trace(_step @ A @ _step.T) / 2,
            Lemma(TANGENT_IN_GRAM, {X: SEMI_IMPLICIT}),
            "The quadratic above Rᶜ at Z⁺ = Z(I + κA)⁻¹.",
        ),
        (
            "=",
            RC - norm_squared(_step) / kappa - Trace(_step @ A @ _step.T) / 2,
            Calculus(),
            "Z⁺A = (Z − Z⁺)/κ.",
        ),
        (
            "<=",
            RC - norm_squared(_step) / kappa,
            Squares(weighted=((_HALF, _step.T, A),)),
            "A is positive semidefinite.",
        ),
    ),
)

# --- the proximal step ------------------------------------------------------------------------------------------

R_k = Matrix("R", "p", "p", "k", symmetric=True)
_c = kappa * beta
_moved = Y_O @ R_k
_system = I_p + beta * _moved.T @ _moved
_CUBIC = known(R_k @ R_k @ Y_O.T @ Y_O @ R_k, R_k @ Y_O.T @ Y_O @ R_k - ((1 + _c) * R_k - I_p) / beta)

STATIONARY = Derivation(
    name="proximal-step-is-stationary",
    title="Where the singular values of every head solve the cubic, the tokens are stationary for the proximal problem",
    hypotheses=(
        ORTHOGONAL_BASES,
        "R_k, symmetric, commutes with G_k = βY_kᵀY_k and solves R_k²G_kR_k = R_kG_kR_k − (1 + κβ)R_k + I",
    ),
    source="derived",
    definitions=(("Y_k", Y_O), ("S_k", _system)),
    steps=chain(
        _moved @ _system + _c * _moved,
        (
            "=",
            Y_O @ (R_k + beta * R_k @ R_k @ Y_O.T @ Y_O @ R_k + _c * R_k),
            Calculus(),
            "S_k = I + βR_kY_kᵀY_kR_k.",
        ),
        ("=", Y_O @ (I_p + beta * R_k @ Y_O.T @ Y_O @ R_k), Calculus((_CUBIC,)), "The cubic."),
        ("=", Y_O @ _system, Calculus(), "S_k again."),
    ),
    remark="So Y_k⁺ + κβY_k⁺S_k⁻¹ = Y_k for Y_k⁺ = Y_kR_k and S_k = I + β(Y_k⁺)ᵀY_k⁺: the tokens less κ∇Rᶜ at the new "
    "ones. Of a singular value s, with r = t/s, the cubic says βt³ − βst² + (1 + κβ)t − s = 0.",
)

_NEW_VALUES = Matrix("T", "r", "r", "k", diagonal=True)
_saved = Matrix("D", "r", "r", "k", psd=True)
_shift = _NEW_VALUES - VALUES
_PROXIMAL = Z + Sum("k", LEFT @ _shift @ RIGHT.T @ U_O.T)
_RATE = Sum("k", LogDet(gram(U_O)) / 2)


def _of_values(S: Matrix) -> Expr:
    return LogDet(I_r + beta * S @ S)


def _by_values(S: Matrix) -> Calculus:
    return Calculus((SVD, sylvester(beta * RIGHT @ S @ S, RIGHT.T)))


_LEAST = known(_of_values(VALUES), _of_values(_NEW_VALUES) + norm_squared(_shift) / kappa + Trace(_saved))
VON_NEUMANN = (
    "von Neumann's trace inequality: of all matrices with given singular values the one with the singular vectors of Y "
    "is the nearest to Y"
)

PROXIMAL_DESCENT = Derivation(
    name="proximal-step-descends",
    title="The proximal step compresses for every step size, by at least half its squared length divided by it",
    hypotheses=(
        *SVD_HYPOTHESES,
        "Z⁺ = Z + Σ_k A_k(T_k − S_k)B_kᵀU_kᵀ, T_k diagonal: the singular values s of every head become t",
        "κ > 0; every t minimises ½ log(1 + βt²) + (t − s)²/(2κ), to which s is a candidate: so log det(I + βS_k²) = "
        "log det(I + βT_k²) + ‖T_k − S_k‖²/κ + tr D_k with D_k positive semidefinite",
    ),
    source="derived",
    steps=chain(
        substitute(_RATE, {Z: _PROXIMAL}),
        (
            "=",
            Sum("k", _of_values(_NEW_VALUES)) / 2,
            _by_values(_NEW_VALUES),
            "The singular values of the heads are now those of T_k.",
        ),
        (
            "<=",
            Sum("k", _of_values(VALUES) - norm_squared(_shift) / kappa) / 2,
            Squares(weighted=((_HALF, I_r, _saved),), rules=(_LEAST,), over="k"),
            "No value of the scalar problem is below that at t.",
        ),
        (
            "=",
            _RATE - norm_squared(_PROXIMAL - Z) / (2 * kappa),
            _by_values(VALUES),
            "The singular values of Y_k are those of S_k; the tokens move as far as they do.",
        ),
    ),
    remark="No other tokens have a smaller Rᶜ(X) + ‖X − Z‖²/(2κ): Z⁺ is the proximal step of κRᶜ.",
    premises=(VON_NEUMANN,),
)

_u, _k = sympy.symbols("u c", positive=True)
_e = 1 - _k / (1 + _u)

AGAINST_EXPLICIT = Derivation(
    name="cubic-at-the-end-of-the-explicit-step",
    title="Which of the two steps shrinks a singular value more: the sign of the cubic at the end of the explicit one",
    hypotheses=("u = βs², c = κβ; the explicit step makes of s the share e = 1 − c/(1 + u)",),
    source="derived",
    steps=chain(
        expression(_u * _e**3 - _u * _e**2 + (1 + _k) * _e - 1),
        (
            "=",
            expression(_k**2 * (_u**2 - _k * _u - 1) / (1 + _u) ** 3),
            Calculus(),
            "Over one denominator.",
        ),
    ),
    remark="The cubic of t/s is negative below its root, which is single for c ≤ 8: so t ≤ es where u ≥ (c + √(c² + "
    "4))/2, which is the golden ratio at c = 1.",
)

MINORANT = Derivation(
    name="minorant-of-the-compression-rate",
    title="The compression rate lies above its quadratic model with curvature −L/8",
    hypotheses=(ANY_BASES, "any move H", OVERLAP_HYPOTHESIS),
    source="derived",
    uses=(BELOW, GRADIENT),
    steps=chain(
        substitute(RC, {Z: Z + H}),
        (
            ">=",
            RC + GRADIENT.left - L / 16 * norm_squared(H),
            Taylor(RC, Z, H, BELOW, -L / 8),
            "The second derivative along the way from Z to Z + H is at least −L/8.",
        ),
        (
            "=",
            RC + inner(GRADIENT_OF_RC, H) - L / 16 * norm_squared(H),
            Calculus(),
            "The slope is the inner product with the gradient.",
        ),
    ),
)

_before = Z + kappa * GRADIENT_OF_RC

EULER_DESCENT = Derivation(
    name="implicit-euler-step-descends",
    title="Any solution Z of the implicit equation Z + κ∇Rᶜ(Z) = X has a lower rate than X for every step below 16/L",
    hypotheses=(ANY_BASES, OVERLAP_HYPOTHESIS, "κ > 0; Rᶜ(Z) is not above Rᶜ(X), X = Z + κ∇Rᶜ(Z), if κ ≤ 16/L, L = βc"),
    source="derived",
    definitions=(("∇", GRADIENT_OF_RC), ("W_k", W), ("Y_k", Y)),
    uses=(MINORANT, GRADIENT),
    steps=chain(
        substitute(RC, {Z: _before}),
        (
            ">=",
            RC + inner(GRADIENT_OF_RC, kappa * GRADIENT_OF_RC) - L / 16 * norm_squared(kappa * GRADIENT_OF_RC),
            Lemma(MINORANT, {H: kappa * GRADIENT_OF_RC}),
            "The quadratic below Rᶜ, with H = X − Z = κ∇.",
        ),
        (
            "=",
            RC + kappa * (1 - kappa * L / 16) * norm_squared(GRADIENT_OF_RC),
            Calculus(),
            "The multiples of ‖∇‖² taken together.",
        ),
    ),
)
