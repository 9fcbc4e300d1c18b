"""The exact gradient step Z − κ∇Rᶜ: how much it compresses, and what it does to the tokens."""

from __future__ import annotations

from dataclasses import replace

from derivations.checks import Calculus, Lemma, Squares, Taylor
from derivations.compression_rate import (
    ABOVE,
    BESSEL,
    GRADIENT,
    GRADIENT_OF_RC,
    OVERLAP_HYPOTHESIS,
    RC,
    L,
    U,
    V,
    W,
    Y,
)
from derivations.expression import Expr, Identity, Inverse, Matrix, Sum, inner, norm_squared, substitute
from derivations.notation import ANY_BASES, H, I_d, I_p, Z, beta, family, kappa
from derivations.proof import Derivation, chain
from derivations.rules import known, push_through, woodbury
from derivations.sources import N23

EXACT_STEP: Expr = Z - kappa * GRADIENT_OF_RC
_NAMES = (("∇", GRADIENT_OF_RC), ("W_k", W), ("Y_k", Y))

TAYLOR = Derivation(
    name="majoriser-of-the-compression-rate",
    title="The compression rate lies below its quadratic model with curvature L = beta c",
    hypotheses=(ANY_BASES, "any move H", OVERLAP_HYPOTHESIS),
    source="derived",
    definitions=_NAMES,
    uses=(ABOVE, GRADIENT),
    steps=chain(
        substitute(RC, {Z: Z + H}),
        (
            "<=",
            RC + GRADIENT.left + L / 2 * norm_squared(H),
            Taylor(RC, Z, H, ABOVE, L),
            "The second derivative along the segment from Z to Z + H is at most L‖H‖².",
        ),
        (
            "=",
            RC + inner(GRADIENT_OF_RC, H) + L / 2 * norm_squared(H),
            Calculus(),
            "The slope is the inner product with the gradient.",
        ),
    ),
)

DESCENT = Derivation(
    name="exact-step-descends",
    title="The exact gradient step compresses for every step size below 2/L",
    hypotheses=(ANY_BASES, OVERLAP_HYPOTHESIS, "κ > 0; the bound is not above Rᶜ(Z) if κ ≤ 2/L, L = βc"),
    source=f"{N23}, eq. 9, which leaves the step size open",
    definitions=_NAMES,
    uses=(TAYLOR,),
    steps=chain(
        substitute(RC, {Z: EXACT_STEP}),
        (
            "<=",
            RC - kappa * inner(GRADIENT_OF_RC, GRADIENT_OF_RC) + L * kappa**2 / 2 * norm_squared(GRADIENT_OF_RC),
            Lemma(TAYLOR, {H: -kappa * GRADIENT_OF_RC}),
            "The quadratic model at H = −κ∇.",
        ),
        (
            "=",
            RC - kappa * (1 - kappa * L / 2) * norm_squared(GRADIENT_OF_RC),
            Calculus(),
            "The multiples of ‖∇‖² taken together.",
        ),
    ),
)

BEST_STEP = Derivation(
    name="exact-step-of-length-one-over-l",
    title="The exact step of length 1/L takes off at least the squared gradient divided by 2L",
    hypotheses=(ANY_BASES, OVERLAP_HYPOTHESIS, "κ = 1/L, L = βc"),
    source="derived",
    definitions=_NAMES,
    uses=(TAYLOR,),
    steps=chain(
        substitute(RC, {Z: Z - GRADIENT_OF_RC / L}),
        (
            "<=",
            RC - inner(GRADIENT_OF_RC, GRADIENT_OF_RC) / L + norm_squared(GRADIENT_OF_RC) / (2 * L),
            Lemma(TAYLOR, {H: -GRADIENT_OF_RC / L}),
            "The quadratic model at its minimum, H = −∇/L.",
        ),
        ("=", RC - norm_squared(GRADIENT_OF_RC) / (2 * L), Calculus(), "The multiples of ‖∇‖² taken together."),
    ),
)

_MAP: Expr = I_d - kappa * Sum("k", U @ Inverse(I_p / beta + Y.T @ Y) @ U.T)

LINEAR_MAP = Derivation(
    name="exact-step-is-one-linear-map",
    title="The exact step is one linear map for all tokens: it mixes channels, never tokens",
    hypotheses=(ANY_BASES,),
    source=f"{N23}, eq. 9",
    definitions=_NAMES,
    uses=(GRADIENT,),
    steps=chain(
        EXACT_STEP,
        ("=", Z - kappa * beta * Z @ Sum("k", U @ W @ U.T), Calculus(), "Y_k = ZU_k: every term begins with Z."),
        ("=", Z @ _MAP, Calculus(), "βW_k = (I/β + Y_kᵀY_k)⁻¹."),
    ),
    remark="The map depends on the tokens through ZᵀZ alone, and every token goes through the same one. Token mixing "
    "comes with the softmax, not with the gradient.",
)

TOKEN_ROTATION = Derivation(
    name="exact-step-commutes-with-token-rotations",
    title="The exact step commutes with rotations of the tokens among each other",
    hypotheses=(ANY_BASES, "V orthogonal, n x n"),
    source="derived",
    definitions=_NAMES,
    uses=(LINEAR_MAP,),
    steps=chain(
        substitute(EXACT_STEP, {Z: V @ Z}),
        ("=", V @ Z @ _MAP, Calculus(), "(VZU_k)ᵀ(VZU_k) = Y_kᵀY_k: the map is the same."),
        ("=", V @ EXACT_STEP, Calculus(), "The exact step as a linear map."),
    ),
)

# --- on the singular values of orthogonal heads -----------------------------------------------------------------------

ORTHOGONAL = family(orthonormal=True, mutually=True)
U_J = family(orthonormal=True, mutually=True, index="j")
LEFT = Matrix("A", "n", "r", "k", orthonormal=True)
VALUES = Matrix("S", "r", "r", "k", diagonal=True)
RIGHT = Matrix("B", "p", "r", "k", orthonormal=True)
I_r = Identity("r")
Y_O = Z @ ORTHOGONAL
SVD = known(Y_O, LEFT @ VALUES @ RIGHT.T)
"""Y_k = A_kS_kB_kᵀ, the singular value decomposition of the tokens in head k."""
SVD_HYPOTHESES = (
    "orthonormal bases U_k of mutually orthogonal subspaces",
    "Y_k = A_kS_kB_kᵀ, a singular value decomposition of the tokens in each head: A_kᵀA_k = B_kᵀB_k = I, S_k diagonal",
)
SQUARED = beta * VALUES @ VALUES
"""βS_k², the singular values of a head squared, times β."""
THROUGH = push_through(RIGHT.T, beta * RIGHT @ VALUES @ VALUES)
AROUND = woodbury(beta * RIGHT @ VALUES @ VALUES, RIGHT.T)

W_O: Expr = Inverse(I_p + beta * Y_O.T @ Y_O)
X_O: Expr = beta * Y_O.T @ Y_O
GRADIENT_O: Expr = beta * Sum("k", Y_O @ W_O @ ORTHOGONAL.T)


def of_j(a: Expr) -> Expr:
    """The same of head j."""
    return substitute(a, {A: replace(A, index="j") for A in (LEFT, VALUES, RIGHT, ORTHOGONAL)})


EXACT_DIRECTIONS = Derivation(
    name="gradient-on-singular-directions",
    title="The gradient divides every singular value s of a head by 1 + beta s^2",
    hypotheses=SVD_HYPOTHESES,
    source="derived",
    definitions=(("Y_k", Y_O), ("Y_j", of_j(Y_O)), ("W_k", W_O)),
    uses=(GRADIENT,),
    steps=chain(
        GRADIENT_O @ U_J,
        ("=", of_j(beta * Y_O @ W_O), Calculus(), "U_kᵀU_j is I for k = j and zero otherwise."),
        (
            "=",
            of_j(beta * LEFT @ VALUES @ Inverse(I_r + SQUARED) @ RIGHT.T),
            Calculus((SVD, THROUGH)),
            "Push-through: Bᵀ(I + βBS²Bᵀ)⁻¹ = (I + βS²)⁻¹Bᵀ.",
        ),
    ),
)

_STEP = Z - kappa * GRADIENT_O
_PROJECTED = Z @ Sum("k", ORTHOGONAL @ ORTHOGONAL.T)

SINGULAR_VALUES = Derivation(
    name="exact-step-on-singular-values",
    title="The exact step multiplies every singular value s of a head by 1 - kappa beta / (1 + beta s^2)",
    hypotheses=SVD_HYPOTHESES,
    source="derived",
    definitions=(("Y_k", Y_O), ("Y_j", of_j(Y_O)), ("W_k", W_O), ("W_j", of_j(W_O))),
    uses=(EXACT_DIRECTIONS,),
    steps=chain(
        _STEP @ U_J,
        ("=", of_j(Y_O - kappa * beta * Y_O @ W_O), Calculus(), "U_kᵀU_j is I for k = j and zero otherwise."),
        (
            "=",
            of_j(LEFT @ VALUES @ (I_r - kappa * beta * Inverse(I_r + SQUARED)) @ RIGHT.T),
            Calculus((SVD, THROUGH)),
            "Push-through: Bᵀ(I + βBS²Bᵀ)⁻¹ = (I + βS²)⁻¹Bᵀ.",
        ),
    ),
    remark="Large singular values shrink least. All factors lie above -1, so that no direction grows, exactly when "
    "κβ < 2(1 + βs²) for the least singular value s.",
)

OUTSIDE = Derivation(
    name="exact-step-outside-the-subspaces",
    title="The exact step leaves what lies outside all subspaces as it is",
    hypotheses=("orthonormal bases U_k of mutually orthogonal subspaces",),
    source="derived",
    definitions=(("Y_k", Y_O), ("W_k", W_O)),
    uses=(LINEAR_MAP,),
    steps=chain(
        _STEP @ (I_d - Sum("k", ORTHOGONAL @ ORTHOGONAL.T)),
        ("=", Z - _PROJECTED, Calculus(), "U_kᵀ(I − Σ_j U_jU_jᵀ) = 0."),
    ),
)

GRADIENT_SIZE = Derivation(
    name="gradient-of-the-compression-rate-is-bounded",
    title="The gradient of the compression rate is at most beta times the tokens",
    hypotheses=("orthonormal bases U_k of mutually orthogonal subspaces",),
    source="derived",
    definitions=(("Y_k", Y_O), ("W_k", W_O)),
    uses=(BESSEL,),
    steps=chain(
        norm_squared(GRADIENT_O),
        (
            "=",
            beta**2 * Sum("k", norm_squared(Y_O @ W_O)),
            Calculus(),
            "U_kᵀU_j is I for k = j and zero otherwise.",
        ),
        (
            "<=",
            beta**2 * Sum("k", norm_squared(Y_O)),
            Squares(
                weighted=((2 * beta**3, Y_O.T @ Y_O @ W_O, I_p),),
                squares=((beta**4, Y_O @ Y_O.T @ Y_O @ W_O),),
                over="k",
            ),
            "Y − YW = βYYᵀYW, so ‖Y‖² = ‖YW‖² + 2β‖YᵀYW‖² + β²‖YYᵀYW‖².",
        ),
        ("<=", beta**2 * norm_squared(Z), Lemma(BESSEL, {H: Z}, times=beta**2), "Bessel's inequality."),
    ),
)
