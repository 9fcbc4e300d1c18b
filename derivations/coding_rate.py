"""The coding rate R(Z) = ½ log det(I + α ZᵀZ): its two forms, invariance, gradient, Hessian and curvature."""

from __future__ import annotations

import sympy

from derivations.checks import Calculus, Squares
from derivations.expression import Differential, Expr, LogDet, Matrix, Trace, inner, norm_squared, substitute
from derivations.notation import H, I_d, I_n, M, R, W, Z, alpha, d, eps, n
from derivations.proof import Derivation, chain
from derivations.rules import known, push_through, roots, sylvester, woodbury
from derivations.sources import N23

TWO_FORMS = Derivation(
    name="two-forms-of-the-coding-rate",
    title="The coding rate from the d x d and from the n x n Gram matrix",
    hypotheses=("any tokens",),
    source=f"{N23}, eq. 7",
    steps=chain(
        R,
        (
            "=",
            LogDet(I_n + alpha * Z @ Z.T) / 2,
            Calculus((sylvester(alpha * Z.T, Z),)),
            "Sylvester's determinant identity, with A = αZᵀ and B = Z.",
        ),
    ),
)

_O = Matrix("O", "d", "d", orthonormal=True, complete=True)
_V = Matrix("V", "n", "n", orthonormal=True, complete=True)

INVARIANCE = Derivation(
    name="coding-rate-sees-only-singular-values",
    title="The coding rate does not change when tokens or features are rotated",
    hypotheses=("any tokens", "V orthogonal, n x n; O orthogonal, d x d"),
    source=f"{N23}, section 2.2",
    uses=(TWO_FORMS,),
    steps=chain(
        substitute(R, {Z: _V @ Z @ _O.T}),
        ("=", LogDet(I_d + alpha * _O @ Z.T @ Z @ _O.T) / 2, Calculus(), "VᵀV = I."),
        (
            "=",
            R,
            Calculus((sylvester(alpha * _O @ Z.T @ Z, _O.T),)),
            "Sylvester, with A = αOZᵀZ and B = Oᵀ; OᵀO = I.",
        ),
    ),
)

_t = sympy.Symbol("t", positive=True)


def _at(tokens: Expr, precision: sympy.Expr) -> Expr:
    return LogDet(I_d + d / (n * precision**2) * tokens.T @ tokens) / 2


SCALE = Derivation(
    name="coding-rate-of-scaled-tokens",
    title="Scaling the tokens and the precision together does not change the coding rate",
    hypotheses=("any tokens, t > 0, α = d/(nε²)",),
    source=f"{N23}, eq. 7",
    steps=chain(_at(_t * Z, _t * eps), ("=", _at(Z, eps), Calculus(), "t² cancels.")),
)

GRADIENT = Derivation(
    name="gradient-of-the-coding-rate",
    title="The gradient of the coding rate",
    hypotheses=("any tokens and any direction H",),
    source=f"{N23}, eq. 78 and 94",
    definitions=(("M", M), ("W", W)),
    steps=chain(
        Differential(R, Z, H),
        (
            "=",
            alpha / 2 * Trace(W @ (H.T @ Z + Z.T @ H)),
            Calculus(),
            "d log det A = tr(A⁻¹ dA) and the product rule.",
        ),
        ("=", alpha * inner(Z @ W, H), Calculus(), "The two terms are transposes of one another."),
        (
            "=",
            inner(alpha * M @ Z, H),
            Calculus((push_through(Z, alpha * Z.T),)),
            "Push-through: Z(I + αZᵀZ)⁻¹ = (I + αZZᵀ)⁻¹Z.",
        ),
    ),
)

HESSIAN = Derivation(
    name="hessian-of-the-coding-rate",
    title="The second derivative of the coding rate",
    hypotheses=("any tokens and any direction H",),
    source=f"{N23}, lemma 5",
    definitions=(("M", M), ("W", W)),
    uses=(GRADIENT,),
    steps=chain(
        Differential(Differential(R, Z, H), Z, H),
        (
            "=",
            alpha * inner(H @ W, H) - alpha**2 * Trace(W @ (H.T @ Z + Z.T @ H) @ W @ Z.T @ H),
            Calculus(),
            "The product rule on the gradient, with dW = −αW(HᵀZ + ZᵀH)W.",
        ),
        (
            "=",
            alpha * inner(M @ H @ W, H) - alpha**2 * Trace(H.T @ M @ Z @ H.T @ M @ Z),
            Calculus((push_through(Z, alpha * Z.T),)),
            "Push-through, and I − αZWZᵀ = M.",
        ),
    ),
)

HESSIAN_OPERATOR = Derivation(
    name="derivative-of-the-gradient-of-the-coding-rate",
    title="The Hessian of the coding rate, as a map of directions",
    hypotheses=("any tokens and any direction H",),
    source=f"{N23}, lemma 5",
    definitions=(("M", M),),
    uses=(GRADIENT,),
    steps=chain(
        Differential(alpha * M @ Z, Z, H),
        (
            "=",
            alpha * M @ H - alpha**2 * M @ (H @ Z.T + Z @ H.T) @ M @ Z,
            Calculus(),
            "The product rule on the gradient αMZ, with dM = −αM(HZᵀ + ZHᵀ)M.",
        ),
    ),
)

AT_ZERO = Derivation(
    name="curvature-of-the-coding-rate-at-zero",
    title="At Z = 0 the Hessian of the coding rate is alpha",
    hypotheses=("Z = 0", "any direction H"),
    source="derived",
    definitions=(("W", W),),
    uses=(HESSIAN,),
    steps=chain(
        HESSIAN.left,
        ("=", HESSIAN.steps[0].end, Calculus(), "The second derivative."),
        ("=", alpha * norm_squared(H), Calculus((known(Z, 0 * Z),)), "At Z = 0, W = I."),
    ),
)

_a, _b = Matrix("a", "n", 1, orthonormal=True), Matrix("b", "d", 1, orthonormal=True)
_LOWEST = sympy.sqrt(3) / sympy.sqrt(alpha) * _a @ _b.T

LOWEST = Derivation(
    name="lowest-curvature-of-the-coding-rate",
    title="Along tokens of rank one with alpha s^2 = 3 the Hessian of the coding rate is -alpha/8",
    hypotheses=("Z = H = s abᵀ with unit columns a and b, and αs² = 3",),
    source="derived",
    definitions=(("W", W),),
    uses=(HESSIAN,),
    steps=chain(
        HESSIAN.left,
        ("=", HESSIAN.steps[0].end, Calculus(), "The second derivative."),
        (
            "=",
            -alpha / 8 * norm_squared(H),
            Calculus((known(Z, _LOWEST), known(H, _LOWEST), woodbury(3 * _b, _b.T))),
            "Woodbury: W = I − 3/4 bbᵀ. It is α(1 − αs²)/(1 + αs²)² at αs² = 3.",
        ),
    ),
    remark="So the bounds on the Hessian cannot be improved.",
)

# Square roots of M and W: NN = M, VV = W, NZ = ZV as for every function of ZZᵀ and of ZᵀZ, and so VZᵀZV = ZᵀZW.
_N = Matrix("N", "n", "n", symmetric=True)
_S = Matrix("V", "d", "d", symmetric=True)
_ROOTS = (*roots(Z, alpha, _N, _S), push_through(Z, alpha * Z.T))
_G = _N @ H @ _S

ABOVE = Derivation(
    name="curvature-of-the-coding-rate-from-above",
    title="The Hessian of the coding rate is at most alpha",
    hypotheses=("any tokens and any direction H"),
    source=f"{N23}, lemma 6 has 9/4 alpha; sharp here",
    definitions=(("M", M), ("W", W), ("G", _G)),
    uses=(HESSIAN,),
    steps=chain(
        HESSIAN.left,
        ("=", HESSIAN.right, Calculus((push_through(Z, alpha * Z.T),)), "The second derivative."),
        (
            "<=",
            alpha * norm_squared(H),
            Squares(
                squares=(
                    (alpha**2 / 2, _G.T @ Z + Z.T @ _G),
                    (alpha**2, _G @ Z.T),
                    (alpha**3, Z.T @ _G @ Z.T),
                ),
                rules=_ROOTS,
            ),
            "With G = NHV the difference is a sum of squares.",
        ),
    ),
    remark="Attained at Z = 0.",
)

BELOW = Derivation(
    name="curvature-of-the-coding-rate-from-below",
    title="The Hessian of the coding rate is at least -alpha/8",
    hypotheses=("any tokens and any direction H"),
    source=f"{N23}, lemma 6, in its sharp form",
    definitions=(("M", M), ("W", W), ("G", _G)),
    uses=(HESSIAN,),
    steps=chain(
        HESSIAN.left,
        ("=", HESSIAN.right, Calculus((push_through(Z, alpha * Z.T),)), "The second derivative."),
        (
            ">=",
            -alpha / 8 * norm_squared(H),
            Squares(
                squares=(
                    (alpha / 8, alpha * Z @ _G.T @ Z - 3 * _G),
                    (alpha**2 / 16, _G.T @ Z - Z.T @ _G),
                    (alpha**2 / 16, Z @ _G.T - _G @ Z.T),
                ),
                rules=_ROOTS,
            ),
            "With G = NHV the difference is a sum of squares: (1 + a²)(1 + b²) + 8(1 − ab) = (ab − 3)² + (a − b)² "
            "for matrices.",
        ),
    ),
)
