"""Steps in orthogonal heads, judged by the tangent of log det: when they compress from wherever they start.

Orthonormal bases of mutually orthogonal subspaces make of a step of the tokens one in every head: Y_k⁺ = Z⁺U_k. The
compression rate then changes by at most the tangents of log det at I + βY_kᵀY_k, head by head.
"""

from __future__ import annotations

import sympy

from derivations.attention import MSSA
from derivations.checks import Calculus, Lemma, Squares
from derivations.compression_rate import GRADIENT_OF_RC as GRADIENT_OF_ANY
from derivations.compression_rate import OVERLAP_HYPOTHESIS, RC, L, U
from derivations.compression_step import GRADIENT_O, ORTHOGONAL, TAYLOR, W_O, X_O, Y_O
from derivations.expression import Expr, Inverse, LogDet, Matrix, Softmax, Sum, Trace, inner, norm_squared, substitute
from derivations.notation import ORTHOGONAL_BASES, H, I_n, I_p, Z, beta, compression, eta, kappa
from derivations.partition_rate import TANGENT, tangent
from derivations.proof import Derivation, chain
from derivations.rules import known, root
from derivations.sources import HU, N23

_RATE = compression(ORTHOGONAL)
_GRAM: Expr = I_p + beta * Y_O.T @ Y_O
_A, _B = Matrix("A", "p", "p", psd=True), Matrix("B", "p", "p", psd=True)
_HALF = sympy.Rational(1, 2)


def _compresses(
    name: str,
    title: str,
    tokens: Expr,
    heads: Expr,
    rest: Squares,
    because: str,
    hypotheses: tuple[str, ...],
    source: str,
) -> Derivation:
    """Rᶜ(Z⁺) ≤ Rᶜ(Z) for tokens Z⁺ that are Y_k⁺ in the heads; ``rest`` shows that the tangents do not rise."""
    new = I_p + beta * heads.T @ heads
    return Derivation(
        name=name,
        title=title,
        hypotheses=(ORTHOGONAL_BASES, *hypotheses),
        source=source,
        definitions=(("W_k", W_O), ("Y_k", Y_O)),
        uses=(TANGENT,),
        steps=chain(
            substitute(_RATE, {Z: tokens}),
            ("=", Sum("k", LogDet(new) / 2), Calculus(), "U_kᵀU_j is I for k = j and zero otherwise."),
            (
                "<=",
                Sum("k", LogDet(_GRAM) + Trace(W_O @ (new - _GRAM))) / 2,
                Lemma(tangent("p"), {_A: _GRAM, _B: new}, times=_HALF, over="k"),
                "The tangent of log det at I + βY_kᵀY_k, in every head.",
            ),
            ("<=", _RATE, rest, because),
        ),
    )


_P = Matrix("P", "p", "p", "k", psd=True)
_V = Matrix("V", "p", "p", "k", symmetric=True)
_c = kappa * beta

FULL_HEADS = _compresses(
    "exact-step-compresses-full-heads",
    "The exact step compresses for every step size below 2(1 + beta s^2)/beta, s the least singular value of any head",
    Z - kappa * GRADIENT_O,
    Y_O - _c * Y_O @ W_O,
    Squares(weighted=((_c * beta / 2, W_O @ Y_O.T, _P),), rules=(known(_P, 2 * I_p - _c * W_O),), over="k"),
    "The tangents fall by κβ² tr(Y_kW_kP_kW_kY_kᵀ)/2.",
    ("P_k = 2I − κβW_k is positive semidefinite: κβ ≤ 2(1 + βs²) for every singular value s of Y_k",),
    "derived",
)

_theta = 2 / (1 + sympy.Symbol("u", positive=True))
_below = _theta * (2 - _theta) * beta / 2
_beyond = _theta**2 * beta / 2

NEUMANN = _compresses(
    "neumann-step-compresses-below-one",
    "The first-order Neumann step compresses while the heads' Gram matrices are at most 1",
    Z - _theta * Sum("k", Y_O @ (I_p - X_O) @ ORTHOGONAL.T),
    Y_O - _theta * Y_O @ (I_p - X_O),
    Squares(
        weighted=(
            (_below, W_O @ Y_O.T, _P),
            (_below, _P @ W_O @ Y_O.T, X_O),
            (_below, X_O @ W_O @ Y_O.T, _P),
            (_beyond, _P @ W_O @ Y_O.T, X_O),
            (2 * _beyond, X_O @ W_O @ Y_O.T, _P),
        ),
        rules=(known(_P, I_p - X_O),),
        over="k",
    ),
    "W, X and P = I − X commute, and WP = WPW + WXPW with XP = PXP + XPX: conjugates of P and X.",
    (
        "P_k = I − X_k is positive semidefinite, with X_k = βY_kᵀY_k",
        "the step size is κβ = 2/(1 + u), u > 0: between 0 and 2",
    ),
    f"{N23}, eq. 67-69, with the condition it needs",
)

_share = 1 / (1 + sympy.Symbol("u", nonnegative=True))
_S = Softmax(Y_O @ Y_O.T)
_Q = Matrix("Q", "n", "n", "k", psd=True)

ATTENTION = _compresses(
    "attention-step-compresses",
    "The attention step compresses if beta times the norm of the softmax is at most 1",
    substitute((1 - _share) * Z + _share * MSSA, {U: ORTHOGONAL}),
    (1 - _share) * Y_O + _share * beta * _S @ Y_O,
    Squares(
        weighted=((_share * beta / 2, Y_O @ _V, _Q),),
        squares=((_share * (1 - _share) * beta / 2, (I_n - beta * _S) @ Y_O @ _V),),
        rules=(root(_V, W_O), known(_Q, I_n - beta**2 * _S.T @ _S)),
        over="k",
    ),
    "With T = (1 − c)I + cβS, I − TᵀT = cQ + c(1 − c)(I − βS)ᵀ(I − βS).",
    (
        "Q_k = I − β²S_kᵀS_k is positive semidefinite: β‖S_k‖₂ ≤ 1, S_k = softmax(Y_kY_kᵀ)",
        "the step size is c = κβ = 1/(1 + u), u ≥ 0: at most 1",
        "V_k is the square root of W_k",
    ),
    f"{N23}, eq. 10-12, with the condition it needs",
)

_cube = Y_O + eta * Y_O @ Y_O.T @ Y_O
_more = I_p + beta * _cube.T @ _cube

SECOND_ORDER = Derivation(
    name="second-order-step-expands",
    title="A step of any size against the second-order term of the rate expands",
    hypotheses=(ORTHOGONAL_BASES, "any tokens, η > 0"),
    source=f"{HU}, which explains the residual layer by it",
    definitions=(("A_k", _more), ("Y_k", Y_O)),
    uses=(TANGENT,),
    steps=chain(
        _RATE,
        (
            "<=",
            Sum("k", LogDet(_more) + Trace(Inverse(_more) @ (_GRAM - _more))) / 2,
            Lemma(tangent("p"), {_A: _more, _B: _GRAM}, times=_HALF, over="k"),
            "The tangent of log det at the heads after the step.",
        ),
        (
            "<=",
            Sum("k", LogDet(_more) / 2),
            Squares(
                weighted=(
                    (eta * beta, Y_O.T @ Y_O, Inverse(_more)),
                    (eta**2 * beta / 2, Y_O.T @ Y_O @ Y_O.T, Inverse(_more)),
                ),
                over="k",
            ),
            "The step adds 2ηG² + η²G³ to G = Y_kᵀY_k, positive semidefinite both.",
        ),
        (
            "=",
            substitute(_RATE, {Z: Z + eta * Sum("k", Y_O @ Y_O.T @ Y_O @ ORTHOGONAL.T)}),
            Calculus(),
            "U_kᵀU_j is I for k = j and zero otherwise.",
        ),
    ),
)

_cubic = beta**2 * Sum("k", Y_O @ Y_O.T @ Y_O @ ORTHOGONAL.T)

PROJECTIONS = Derivation(
    name="compression-rate-does-not-see-what-projections-drop",
    title="For orthogonal subspaces Z and its projections make the same Neumann step, as far as the rate sees",
    hypotheses=(ORTHOGONAL_BASES, "any tokens"),
    source=f"{N23}, approximation 4",
    definitions=(("Y_k", Y_O),),
    steps=chain(
        substitute(_RATE, {Z: Z - kappa * (beta * Z - _cubic)}),
        (
            "=",
            substitute(_RATE, {Z: Z - kappa * (beta * Sum("k", Y_O @ ORTHOGONAL.T) - _cubic)}),
            Calculus(),
            "U_kᵀU_j is I for k = j and zero otherwise: both are the same in every head.",
        ),
    ),
)

_attended: Expr = Sum("k", Softmax(Z @ U @ (Z @ U).T) @ Z @ U @ U.T)

MINUS_ATTENTION = Derivation(
    name="minus-attention-descends",
    title="Subtracting attention compresses while the step is below 2 slope / (L |M|^2)",
    hypotheses=(
        "any tokens and any matrices U_k, overlapping or not",
        OVERLAP_HYPOTHESIS,
        "M = Σ_k S_kY_kU_kᵀ; the bound is at most Rᶜ(Z) if 0 ≤ η ≤ 2⟨∇, M⟩/(L‖M‖²), L = βc",
    ),
    source=f"{HU}, CRATE-N",
    definitions=(("∇", GRADIENT_OF_ANY), ("M", _attended)),
    uses=(TAYLOR,),
    steps=chain(
        substitute(RC, {Z: Z - eta * _attended}),
        (
            "<=",
            RC - eta * inner(GRADIENT_OF_ANY, _attended) + L * eta**2 / 2 * norm_squared(_attended),
            Lemma(TAYLOR, {H: -eta * _attended}),
            "The quadratic model at −ηM.",
        ),
    ),
)
