"""ReduNet's operators E = α(I + αZᵀZ)⁻¹ and C_k: gradient ascent, regression, bounds, shift invariance."""

from __future__ import annotations

from derivations import coding_rate, partition_rate
from derivations.checks import Calculus, Squares
from derivations.expression import (
    Diag,
    Differential,
    Expr,
    Inverse,
    Matrix,
    Trace,
    expression,
    inner,
    norm_squared,
    substitute,
)
from derivations.notation import H, I_d, M, R, W, Z, alpha, d, eps, n
from derivations.partition_rate import TERM, gamma, pi
from derivations.proof import Derivation, chain
from derivations.rules import known, push_through, woodbury
from derivations.sources import REDUNET

E: Expr = alpha * W
"""E = α(I + αZᵀZ)⁻¹."""
C: Expr = alpha / gamma * Inverse(I_d + alpha / gamma * Z.T @ Diag(pi) @ Z)
"""C_k of a class with share γ: α_k(I + α_k ZᵀDiag(π)Z)⁻¹, α_k = α/γ."""
_NAMES = (("E", E), ("C_k", C))

ASCENT = Derivation(
    name="redunet-operators-are-the-gradient",
    title="ReduNet's increment is the gradient of the rate reduction",
    hypotheses=("any tokens and any direction H", "true memberships π of one class, share γ, held fixed"),
    source=f"{REDUNET}, the layer of true labels",
    definitions=_NAMES,
    uses=(coding_rate.GRADIENT, partition_rate.GRADIENT),
    steps=chain(
        Differential(R - TERM, Z, H),
        (
            "=",
            inner(alpha * Z @ W, H) - inner(gamma * Diag(pi) @ Z @ C, H),
            Calculus(),
            "The gradients of R and of the class, whose α is γα_k.",
        ),
        ("=", inner(Z @ E - gamma * Diag(pi) @ Z @ C, H), Calculus(), "αW = E."),
    ),
    remark="One class is shown; each further one adds its own −γ_kDiag(π_k)ZC_k.",
)

z, q = Matrix("z", "d", 1), Matrix("q", "n", 1)
BEST: Expr = alpha * M @ Z @ z
"""q* = α(I + αZZᵀ)⁻¹Zz."""
RIDGE: Expr = alpha * norm_squared(z - Z.T @ q) + norm_squared(q)

REGRESSION = Derivation(
    name="redunet-expansion-is-a-regression-residual",
    title="E z is α times the residual of z in a ridge regression on the tokens",
    hypotheses=("any tokens and any column z",),
    source=f"{REDUNET}, remark on regression",
    definitions=(("E", E), ("q*", BEST)),
    steps=chain(
        E @ z,
        (
            "=",
            alpha * (z - Z.T @ BEST),
            Calculus((woodbury(alpha * Z.T, Z),)),
            "Woodbury: W = I − αZᵀ(I + αZZᵀ)⁻¹Z.",
        ),
    ),
)

MINIMUM = Derivation(
    name="redunet-regression-minimum",
    title="q* minimises the ridge objective of ReduNet's regression",
    hypotheses=("any tokens, any column z and coefficients q",),
    source=f"{REDUNET}, remark on regression",
    definitions=(("q*", BEST), ("M", M)),
    steps=chain(
        RIDGE,
        (
            ">=",
            substitute(RIDGE, {q: BEST}),
            Squares(((1, q - BEST), (alpha, Z.T @ (q - BEST)))),
            "The difference is ‖q − q*‖² + α‖Zᵀ(q − q*)‖².",
        ),
    ),
)

S = Matrix("S", "d", "d", psd=True)
_TRUE_ALPHA = d / (n * eps**2)

MANY_TOKENS = Derivation(
    name="redunet-expansion-and-the-number-of-tokens",
    title="E/α depends on the second moment and on the precision, not on the number of tokens",
    hypotheses=("S = ZᵀZ/n the second moment, α = d/(nε²)",),
    source=f"{REDUNET}; derived",
    steps=chain(
        Inverse(I_d + _TRUE_ALPHA * Z.T @ Z),
        (
            "=",
            Inverse(I_d + d / eps**2 * S),
            Calculus((known(Z.T @ Z, n * S),)),
            "The number of tokens cancels.",
        ),
    ),
    remark="So more tokens alone do not make E/α the projection onto the orthogonal complement of their span; "
    "a precision ε that goes to zero does.",
)

_h = Matrix("h", "d", 1)

BELOW = Derivation(
    name="redunet-expansion-is-positive",
    title="E is positive semidefinite",
    hypotheses=("any tokens and any column h",),
    source=REDUNET,
    definitions=(("E", E), ("W", W)),
    steps=chain(
        Trace(_h.T @ E @ _h),
        (">=", expression(0), Squares(weighted=((alpha, _h, W),)), "W is the inverse of I and a Gram matrix."),
    ),
)

ABOVE = Derivation(
    name="redunet-expansion-is-at-most-alpha",
    title="E is at most α I",
    hypotheses=("any tokens and any column h",),
    source=REDUNET,
    definitions=(("E", E), ("M", M)),
    steps=chain(
        Trace(_h.T @ E @ _h),
        (
            "<=",
            alpha * norm_squared(_h),
            Squares(weighted=((alpha**2, Z @ _h, M),), rules=(push_through(Z.T, alpha * Z),)),
            "αI − E = α²ZᵀMZ.",
        ),
    ),
    remark="C_k is at most α_k I in the same way.",
)

# --- shift invariance -------------------------------------------------------------------------------------------

P = Matrix("P", "d", "d", orthonormal=True, complete=True)
_order = Matrix("Q", "n", "n", orthonormal=True, complete=True)
_SHIFTED = known(Z @ P.T, _order @ Z)
G = Matrix("G", "d", "d", psd=True)
_COMMUTES = known(P.T @ G @ P, G)

SHIFTED_TOKENS = Derivation(
    name="gram-matrix-of-shifted-tokens",
    title="If the shifts of all tokens are tokens, the d x d Gram matrix does not change under a shift",
    hypotheses=("P the shift, orthogonal", "the shifted tokens are the tokens in another order: ZPᵀ = QZ, QᵀQ = I"),
    source=f"{REDUNET}, section on shift invariance",
    steps=chain(
        P @ Z.T @ Z @ P.T,
        ("=", Z.T @ _order.T @ _order @ Z, Calculus((_SHIFTED,)), "ZPᵀ = QZ."),
        ("=", Z.T @ Z, Calculus(), "QᵀQ = I."),
    ),
)

SHIFT = Derivation(
    name="redunet-expansion-commutes-with-shifts",
    title="If the Gram matrix does not change under a shift, E commutes with it",
    hypotheses=("P the shift, orthogonal", "G = ZᵀZ with PᵀGP = G"),
    source=f"{REDUNET}, section on shift invariance",
    uses=(SHIFTED_TOKENS,),
    steps=chain(
        alpha * P @ Inverse(I_d + alpha * G),
        (
            "=",
            alpha * P @ Inverse(I_d + alpha * P.T @ G @ P),
            Calculus((_COMMUTES,)),
            "G = PᵀGP.",
        ),
        (
            "=",
            alpha * Inverse(I_d + alpha * G) @ P,
            Calculus((push_through(P, alpha * P.T @ G),)),
            "Push-through: P(I + αPᵀGP)⁻¹ = (I + αPPᵀG)⁻¹P, and PPᵀ = I.",
        ),
    ),
    remark="What commutes with the cyclic shift is circulant: E and every C_k are circular convolutions.",
)
