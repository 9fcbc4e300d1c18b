"""The coding rate R(Z) = ½ log det(I + α ZᵀZ): its two forms, invariance, gradient, Hessian and curvature."""

from __future__ import annotations

from derivations.checks import Calculus, Squares
from derivations.expression import Differential, LogDet, Matrix, Trace, inner, norm_squared
from derivations.notation import H, I_d, I_n, M, R, W, Z, alpha
from derivations.proof import Derivation, chain
from derivations.rules import known, push_through, sylvester

N23 = "Yu et al. 2023 (arXiv 2306.01129)"

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

# Square roots of M and W: NN = M, VV = W, NZ = ZV as for every function of ZZᵀ and of ZᵀZ, and so VZᵀZV = ZᵀZW.
_N = Matrix("N", "n", "n", symmetric=True)
_S = Matrix("V", "d", "d", symmetric=True)
_ROOTS = (
    known(_N @ _N, M),
    known(_S @ _S, W),
    known(_N @ Z, Z @ _S),
    known(_S @ Z.T @ Z @ _S, (I_d - W) / alpha),
    push_through(Z, alpha * Z.T),
)
_G = _N @ H @ _S
_ROOT_HYPOTHESES = ("N and V are the square roots of M and W, so that NZ = ZV",)

ABOVE = Derivation(
    name="curvature-of-the-coding-rate-from-above",
    title="The Hessian of the coding rate is at most alpha",
    hypotheses=("any tokens and any direction H", *_ROOT_HYPOTHESES),
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
    hypotheses=("any tokens and any direction H", *_ROOT_HYPOTHESES),
    source="sharp form of N23, lemma 6",
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
