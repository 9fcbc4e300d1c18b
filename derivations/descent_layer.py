"""The descent layer: one proximal gradient step on Rᶜ(Z|U) − R(Z) + λ‖Z‖₁, and majorisation of −R alone."""

from __future__ import annotations

import sympy

from derivations import coding_rate, compression_rate
from derivations.checks import Calculus, Lemma, Squares, Taylor
from derivations.compression_rate import GRADIENT_OF_RC, OVERLAP_HYPOTHESIS, RC, TWO_GRADIENTS, L, U, Y
from derivations.compression_rate import M as M_k
from derivations.expression import Differential, Expr, Matrix, Ones, Sum, inner, norm_squared, substitute
from derivations.ista import absolute, proximal, thresholding
from derivations.notation import H, M, R, W, Z, alpha, beta, lam
from derivations.proof import Derivation, chain
from derivations.rules import known, push_through
from derivations.sources import N23

ONE = Ones("n", "d")
F: Expr = RC - R
"""The smooth part: Rᶜ(Z|U) − R(Z)."""
CURVATURE = L + alpha / 8
"""L_c + α/8, L_c = βc the Lipschitz constant of ∇Rᶜ."""

SLOPE: Expr = GRADIENT_OF_RC - alpha * Z @ W

GRADIENT = Derivation(
    name="gradient-of-the-smooth-loss",
    title="The gradient of the smooth part of the loss",
    hypotheses=("any tokens, any matrices U_k, any direction H",),
    source=f"{N23}, eq. 1, 9 and 78",
    uses=(coding_rate.GRADIENT, compression_rate.GRADIENT, TWO_GRADIENTS),
    definitions=(("M", M), ("M_k", M_k), ("W", W), ("W_k", compression_rate.W), ("Y_k", Y)),
    steps=chain(
        Differential(F, Z, H),
        ("=", inner(SLOPE, H), Calculus(), "The gradients of both rates."),
        (
            "=",
            inner(beta * Sum("k", M_k @ Y @ U.T) - alpha * M @ Z, H),
            Calculus((push_through(Y, beta * Y.T), push_through(Z, alpha * Z.T))),
            "Push-through, in every head and for the whole.",
        ),
    ),
)

ABOVE = Derivation(
    name="curvature-of-the-smooth-loss",
    title="The smooth part of the loss has curvature at most L_c + α/8",
    hypotheses=("any tokens and any direction H", OVERLAP_HYPOTHESIS),
    source="derived",
    uses=(compression_rate.ABOVE, coding_rate.BELOW),
    steps=chain(
        Differential(Differential(F, Z, H), Z, H),
        (
            "<=",
            L * norm_squared(H) - Differential(Differential(R, Z, H), Z, H),
            Lemma(compression_rate.ABOVE),
            "The curvature of Rᶜ from above.",
        ),
        (
            "<=",
            CURVATURE * norm_squared(H),
            Lemma(coding_rate.BELOW),
            "The curvature of R from below: only the negative end matters, an eighth of the positive one.",
        ),
    ),
)

TAYLOR = Derivation(
    name="descent-lemma-of-the-smooth-loss",
    title="A quadratic with curvature L_c + α/8 above the smooth part of the loss",
    hypotheses=("any tokens and any direction H", OVERLAP_HYPOTHESIS),
    source="descent lemma",
    uses=(ABOVE,),
    steps=chain(
        substitute(F, {Z: Z + H}),
        (
            "<=",
            F + Differential(F, Z, H) + CURVATURE / 2 * norm_squared(H),
            Taylor(F, Z, H, ABOVE, CURVATURE),
            "Taylor, with the bound on the second derivative along the way.",
        ),
    ),
)

s = sympy.Symbol("s", positive=True)
"""The step size."""
STEP = proximal(Z, s, "proximal-step-of-the-tokens")
PROXIMAL = STEP.inequality
_change = STEP.new - Z
_weight = lam * inner(ONE, Z)

DESCENT = Derivation(
    name="descent-layer-descends",
    title="One step of the descent layer lowers the loss by at least (1/s − (L_c + α/8)/2) times its squared length",
    hypotheses=(*STEP.hypotheses, "G is the gradient of Rᶜ − R at Z", OVERLAP_HYPOTHESIS),
    source=f"derived; the objective is {N23}, eq. 1, with the l1 norm",
    uses=(TAYLOR, PROXIMAL, coding_rate.GRADIENT, compression_rate.GRADIENT),
    definitions=(("1", ONE), ("R^c(Z)", RC), ("R(Z)", R)),
    steps=chain(
        substitute(F, {Z: STEP.new}) + lam * inner(ONE, STEP.new),
        (
            "<=",
            F + inner(SLOPE, _change) + CURVATURE / 2 * norm_squared(_change) + lam * inner(ONE, STEP.new),
            Lemma(TAYLOR, {H: _change}),
            "The descent lemma with H = Z⁺ − Z, and the gradients of both rates.",
        ),
        (
            "=",
            F + _weight + inner(STEP.G + lam * ONE, _change) + CURVATURE / 2 * norm_squared(_change),
            Calculus((known(Z @ W, (GRADIENT_OF_RC - STEP.G) / alpha),)),
            "G is the gradient, and ⟨1, Z⁺⟩ = ⟨1, Z⟩ + ⟨1, Z⁺ − Z⟩.",
        ),
        (
            "<=",
            F + _weight - (1 / s - CURVATURE / 2) * norm_squared(_change),
            Lemma(PROXIMAL),
            "The inequality of the proximal step.",
        ),
    ),
    remark="With s = 1/(L_c + α/8) the guaranteed decrease is ‖Z⁺ − Z‖²/(2s). Tokens must start nonnegative.",
)

SIGNED = thresholding(Z, s, "soft-thresholding-step-of-the-tokens")
SOFT_THRESHOLD = SIGNED.inequality
_sizes = lam * absolute(SIGNED.new), lam * absolute(Z)

SIGNED_DESCENT = Derivation(
    name="descent-layer-descends-from-signed-tokens",
    title="One step of the descent layer with soft thresholding lowers the loss from tokens of either sign",
    hypotheses=(*SIGNED.hypotheses, "G is the gradient of Rᶜ − R at Z", OVERLAP_HYPOTHESIS),
    source=f"derived; the objective is {N23}, eq. 1, with the l1 norm",
    uses=(TAYLOR, SOFT_THRESHOLD, GRADIENT),
    definitions=(*SOFT_THRESHOLD.definitions, ("R^c(Z)", RC), ("R(Z)", R)),
    steps=chain(
        substitute(F, {Z: SIGNED.new}) + _sizes[0],
        (
            "<=",
            F + inner(SLOPE, _change) + CURVATURE / 2 * norm_squared(_change) + _sizes[0],
            Lemma(TAYLOR, {H: _change}),
            "The descent lemma with H = Z⁺ − Z, and the gradients of both rates.",
        ),
        (
            "=",
            F + inner(SIGNED.G, _change) + CURVATURE / 2 * norm_squared(_change) + _sizes[0],
            Calculus((known(Z @ W, (GRADIENT_OF_RC - SIGNED.G) / alpha),)),
            "G is the gradient.",
        ),
        (
            "<=",
            F + _sizes[1] - (1 / s - CURVATURE / 2) * norm_squared(_change),
            Lemma(SOFT_THRESHOLD),
            "The inequality of the proximal step.",
        ),
    ),
    remark="With s = 1/(L_c + α/8) the guaranteed decrease is ‖Z⁺ − Z‖²/(2s).",
)

# --- majorisation of −R -----------------------------------------------------------------------------------------

_linear = R + inner(alpha * Z @ W, H)

MINORISATION = Derivation(
    name="minorisation-of-the-coding-rate",
    title="A quadratic with curvature -α/8 below the coding rate",
    hypotheses=("any tokens and any direction H",),
    source=f"{N23}, eq. 77 to 88, in their sharp form",
    uses=(coding_rate.BELOW, coding_rate.GRADIENT),
    steps=chain(
        substitute(R, {Z: Z + H}),
        (
            ">=",
            R + Differential(R, Z, H) - alpha / 16 * norm_squared(H),
            Taylor(R, Z, H, coding_rate.BELOW, -alpha / 8),
            "Taylor, with the curvature of R from below.",
        ),
        (
            "=",
            _linear - alpha / 16 * norm_squared(H),
            Calculus(),
            "The gradient is αZW.",
        ),
    ),
)

PAPER_MINORISATION = Derivation(
    name="minorisation-of-the-coding-rate-as-published",
    title="The published quadratic below the coding rate, 18 times as curved as need be",
    hypotheses=("any tokens and any direction H",),
    source=f"{N23}, eq. 77 to 88",
    uses=(MINORISATION,),
    steps=chain(
        substitute(R, {Z: Z + H}),
        (">=", _linear - alpha / 16 * norm_squared(H), Lemma(MINORISATION), "The sharp bound."),
        (
            ">=",
            _linear - sympy.Rational(9, 8) * alpha * norm_squared(H),
            Squares(((sympy.Rational(17, 16) * alpha, H),)),
            "9/8 = 18/16.",
        ),
    ),
)

EXPANSION_DESCENT = Derivation(
    name="majorisation-step-descends",
    title="A proximal step on λ‖Z‖₁ − R lowers it by at least (1/s − α/16) times its squared length",
    hypotheses=(*STEP.hypotheses, "G = −αZW is the gradient of −R at Z"),
    source=f"{N23}, eq. 77 to 88",
    uses=(MINORISATION, PROXIMAL),
    definitions=(("1", ONE), ("R(Z)", R)),
    steps=chain(
        lam * inner(ONE, STEP.new) - substitute(R, {Z: STEP.new}),
        (
            "<=",
            lam * inner(ONE, STEP.new) - R - inner(alpha * Z @ W, _change) + alpha / 16 * norm_squared(_change),
            Lemma(MINORISATION, {H: _change}),
            "The quadratic below R, with H = Z⁺ − Z.",
        ),
        (
            "=",
            _weight - R + inner(STEP.G + lam * ONE, _change) + alpha / 16 * norm_squared(_change),
            Calculus((known(Z @ W, -STEP.G / alpha),)),
            "G is the gradient.",
        ),
        (
            "<=",
            _weight - R - (1 / s - alpha / 16) * norm_squared(_change),
            Lemma(PROXIMAL),
            "The inequality of the proximal step.",
        ),
    ),
    remark="The sharp majorisation is least at s = 8/α, the published one at s = 4/(9α); any s < 16/α descends.",
)

_rows = Matrix("Z", "n", "d", complete=True)
_gradient = alpha * _rows @ substitute(W, {Z: _rows})
_PUSH = push_through(_rows, alpha * _rows.T)


def _closed_form(name: str, title: str, step: sympy.Expr, source: str) -> Derivation:
    return Derivation(
        name=name,
        title=title,
        hypotheses=("orthonormal tokens, ZZᵀ = I",),
        source=source,
        uses=(MINORISATION, coding_rate.GRADIENT),
        definitions=(("1", ONE),),
        steps=chain(
            _rows + step * _gradient - step * lam * ONE,
            (
                "=",
                _rows + step * alpha / (1 + alpha) * _rows - step * lam * ONE,
                Calculus((_PUSH,)),
                "Push-through, and ZZᵀ = I: the gradient is α/(1 + α) Z.",
            ),
            (
                "=",
                (1 + sympy.cancel(step * alpha) / (1 + alpha)) * _rows - step * lam * ONE,
                Calculus(),
                "Collected.",
            ),
        ),
        remark="The ReLU of this is the next code. The published hypotheses need n ≤ d tokens.",
    )


PAPER_STEP = _closed_form(
    "majorisation-step-as-published",
    "The majorisation step with the published constant, of orthonormal tokens",
    4 / (9 * alpha),
    f"{N23}, eq. 88",
)
SHARP_STEP = _closed_form(
    "majorisation-step-with-the-sharp-constant",
    "The majorisation step with the sharp constant, of orthonormal tokens",
    8 / alpha,
    f"{N23}, eq. 88, in its sharp form",
)

_O = Matrix("D", "d", "d", orthonormal=True, complete=True)
_rotated = Z @ _O

EQUIVARIANCE = Derivation(
    name="gradient-of-rotated-tokens",
    title="The gradient of the coding rate turns with the tokens",
    hypotheses=("any tokens, D orthogonal",),
    source=f"{N23}, eq. 92",
    uses=(coding_rate.GRADIENT,),
    definitions=(("W", W),),
    steps=chain(
        alpha * _rotated @ substitute(W, {Z: _rotated}),
        (
            "=",
            alpha * Z @ W @ _O,
            Calculus((push_through(_O, alpha * _O.T @ Z.T @ Z),)),
            "Push-through: D(I + αDᵀZᵀZD)⁻¹ = (I + αDDᵀZᵀZ)⁻¹D, and DDᵀ = I.",
        ),
    ),
    remark="So the step may be taken on the codes ZD with a dictionary D.",
)
