"""From the Neumann step to attention: what each heuristic move drops, and in which direction the result goes.

Tokens are rows: S_k = softmax(Y_kY_kᵀ) acts on the rows, and MSSA(Z) = β Σ_k S_kY_kU_kᵀ contains one β.
"""

from __future__ import annotations

from derivations.checks import Calculus, Drops, Squares
from derivations.compression_rate import GRADIENT, GRADIENT_OF_RC, JOINT_ROTATION, O, U, W, Y
from derivations.compression_step import EXACT_STEP, GRADIENT_O, ORTHOGONAL, W_O, Y_O
from derivations.expression import (
    Diag,
    Differential,
    Expr,
    Hadamard,
    Matrix,
    Ones,
    Softmax,
    Sum,
    Trace,
    expression,
    inner,
    norm_squared,
    substitute,
)
from derivations.neumann import FIRST_ORDER, LEFT_OUT, NEUMANN_GRADIENT, RATE_BELOW
from derivations.notation import ANY_BASES, ORTHOGONAL_BASES, H, I_n, Z, beta, family, kappa
from derivations.proof import Derivation, chain
from derivations.rules import known, root
from derivations.sources import BOOK, HU, N23

S = Softmax(Y @ Y.T)
MSSA: Expr = beta * Sum("k", S @ Y @ U.T)
"""β Σ_k S_kY_kU_kᵀ, S_k = softmax(Y_kY_kᵀ)."""
GRAM_MSSA: Expr = beta * Sum("k", Y @ Y.T @ Y @ U.T)
"""MSSA with the Gram matrix Y_kY_kᵀ in the place of its softmax."""
PROJECTED: Expr = Z @ Sum("k", U @ U.T)
DERIVED_STEP: Expr = (1 - kappa * beta) * Z + kappa * beta * MSSA
_NAMES = (("∇", GRADIENT_OF_RC), ("MSSA(Z)", MSSA), ("S_k", S), ("W_k", W), ("Y_k", Y))

FROM_GRADIENT = Derivation(
    name="attention-from-the-gradient-step",
    title="From the exact gradient step to attention in three heuristic moves",
    hypotheses=(ANY_BASES,),
    source=f"{N23}, eq. 10-12 and approximation 4",
    definitions=_NAMES,
    uses=(FIRST_ORDER,),
    steps=chain(
        EXACT_STEP,
        (
            "~",
            Z - kappa * NEUMANN_GRADIENT,
            Drops(-kappa * LEFT_OUT),
            "The first-order Neumann step. Dropped: −κβ Σ_k Y_kX_k²W_kU_kᵀ with X_k = βY_kᵀY_k, small only for "
            "X_k well below 1.",
        ),
        (
            "=",
            Z - kappa * beta * PROJECTED + kappa * beta * GRAM_MSSA,
            Calculus(),
            "Multiplied out: Y_k(Y_kᵀY_k) = (Y_kY_kᵀ)Y_k mixes the tokens by their Gram matrix in the head.",
        ),
        (
            "~",
            Z - kappa * beta * PROJECTED + kappa * beta * MSSA,
            Drops(kappa * beta**2 * Sum("k", (Y @ Y.T - S) @ Y @ U.T)),
            "The softmax in the place of the Gram matrix, as an indicator of which tokens belong together. Dropped: "
            "the difference of the two, with the scale of the tokens.",
        ),
        (
            "~",
            DERIVED_STEP,
            Drops(kappa * beta * (Z - PROJECTED)),
            "Z in the place of its projections ZΣ_kU_kU_kᵀ. Dropped: κβ times their difference, which is zero if "
            "the U_kU_kᵀ sum to I.",
        ),
    ),
)

COMPLETE = family(orthonormal=True, mutually=True, complete=True)


def _complete(a: Expr) -> Expr:
    return substitute(a, {U: COMPLETE})


GRAM_KEPT = Derivation(
    name="attention-with-the-gram-matrix-is-the-neumann-step",
    title="With the Gram matrix kept and a complete family, the attention step is the first-order Neumann step",
    hypotheses=("orthonormal bases U_k of mutually orthogonal subspaces that span everything: Σ_k U_kU_kᵀ = I",),
    source=f"{N23}, eq. 10-12",
    definitions=(("Y_k", _complete(Y)),),
    uses=(FIRST_ORDER,),
    steps=chain(
        _complete(Z - kappa * NEUMANN_GRADIENT),
        (
            "=",
            _complete(Z - kappa * beta * PROJECTED + kappa * beta * GRAM_MSSA),
            Calculus(),
            "Multiplied out.",
        ),
        ("=", _complete((1 - kappa * beta) * Z + kappa * beta * GRAM_MSSA), Calculus(), "Σ_k U_kU_kᵀ = I."),
    ),
)

PREFACTOR = Derivation(
    name="prefactor-of-attention-in-the-gradient",
    title="Attention, which contains beta, enters the gradient with beta once more and not with its square",
    hypotheses=("orthonormal bases U_k of mutually orthogonal subspaces that span everything: Σ_k U_kU_kᵀ = I",),
    source=f"{N23}, eq. 10-12",
    definitions=(("Y_k", _complete(Y)), ("W_k", _complete(W))),
    uses=(FIRST_ORDER,),
    steps=chain(
        _complete(GRADIENT_OF_RC),
        ("=", _complete(NEUMANN_GRADIENT + LEFT_OUT), Calculus(), "The first-order gradient and its remainder."),
        (
            "=",
            _complete(beta * Z - beta * GRAM_MSSA + LEFT_OUT),
            Calculus(),
            "β² Σ_k Y_k(Y_kᵀY_k)U_kᵀ is β times attention with the Gram matrix, which has a β of its own.",
        ),
    ),
    remark=f"{BOOK}, eq. gd-mcr-parts, prints βZ − β²MSSA with β in MSSA too: right only for β = 1. The right one is "
    "βZ − βMSSA.",
)

HALF = Derivation(
    name="residual-attention-is-half-a-step",
    title="With the step size 1/(2 beta) the attention step is half of Z + MSSA(Z)",
    hypotheses=(ANY_BASES,),
    source=f"derived; {N23}, eq. 18 has Z + MSSA(Z)",
    definitions=_NAMES,
    uses=(FROM_GRADIENT,),
    steps=chain(
        DERIVED_STEP,
        (
            "=",
            (Z + MSSA) / 2 + (kappa * beta - expression(1) / 2) * (MSSA - Z),
            Calculus(),
            "Sorted by powers of κβ − ½: the second term vanishes at κ = 1/(2β).",
        ),
    ),
    remark="So the layer as the papers define it is a legitimate attention step up to a factor 2, which a "
    "normalisation after it removes; no step size gives Z + MSSA(Z) itself.",
)

# --- slopes -----------------------------------------------------------------------------------------------------

G = Y @ W @ Y.T
_G_O = Y_O @ W_O @ Y_O.T
_S_O = Softmax(Y_O @ Y_O.T)
_M_O: Expr = Sum("k", _S_O @ Y_O @ ORTHOGONAL.T)
_NAMES_O = (("∇", GRADIENT_O), ("G_k", _G_O), ("S_k", _S_O), ("W_k", W_O), ("Y_k", Y_O))

SLOPE_OF_TOKENS = Derivation(
    name="slope-along-the-tokens",
    title="How the compression rate grows with the scale of the tokens",
    hypotheses=(ANY_BASES,),
    source="derived",
    definitions=(("∇", GRADIENT_OF_RC), ("G_k", G), ("W_k", W), ("Y_k", Y)),
    uses=(GRADIENT,),
    steps=chain(
        inner(GRADIENT_OF_RC, Z),
        (
            "=",
            beta * Sum("k", Trace(U @ W @ Y.T @ Z)),
            Calculus(),
            "The inner product as a trace; W_k is symmetric.",
        ),
        ("=", beta * Sum("k", Trace(G)), Calculus(), "ZU_k = Y_k; rotate the trace."),
    ),
    remark="G_k is positive semidefinite, so this is never negative: shrinking compresses.",
)

SLOPE_OF_ATTENTION = Derivation(
    name="slope-along-attention",
    title="How the compression rate changes along the output of attention",
    hypotheses=(ORTHOGONAL_BASES,),
    source="derived",
    definitions=_NAMES_O,
    uses=(GRADIENT,),
    steps=chain(
        inner(GRADIENT_O, _M_O),
        (
            "=",
            beta * Sum("k", Trace(W_O @ Y_O.T @ _S_O @ Y_O)),
            Calculus(),
            "U_kᵀU_j is I for k = j and zero otherwise: heads do not mix.",
        ),
        ("=", beta * Sum("k", Trace(_G_O @ _S_O)), Calculus(), "Rotate the trace."),
    ),
)

_DERIVED_MOVE = kappa * beta * (beta * _M_O - Z)

SLOPE_OF_STEP = Derivation(
    name="slope-of-the-attention-step",
    title="The slope of the compression rate along the attention step",
    hypotheses=(ORTHOGONAL_BASES,),
    source="derived",
    definitions=_NAMES_O,
    uses=(SLOPE_OF_TOKENS, SLOPE_OF_ATTENTION),
    steps=chain(
        inner(GRADIENT_O, _DERIVED_MOVE),
        (
            "=",
            kappa * beta**2 * inner(GRADIENT_O, _M_O) - kappa * beta * inner(GRADIENT_O, Z),
            Calculus(),
            "The move is κβ(MSSA(Z) − Z), and MSSA(Z) = β Σ_k S_kY_kU_kᵀ.",
        ),
        (
            "=",
            -kappa * beta**2 * Sum("k", Trace(_G_O) - beta * Trace(_G_O @ _S_O)),
            Calculus(),
            "The slopes along the tokens and along attention.",
        ),
    ),
    remark="To first order the step compresses exactly if β Σ_k tr(G_kS_k) < Σ_k tr G_k.",
)

_V = Matrix("V", "p", "p", "k", symmetric=True)
_P = Matrix("P", "n", "n", "k", psd=True)

STEP_DESCENDS = Derivation(
    name="attention-step-descends-to-first-order",
    title="The attention step compresses to first order if beta times the softmax is at most 1",
    hypotheses=(
        ORTHOGONAL_BASES,
        "P_k = I − β(S_k + S_kᵀ)/2 is positive semidefinite, for instance if β times the norm of S_k is at most 1",
        "V_k is the square root of W_k",
    ),
    source="derived",
    definitions=_NAMES_O,
    uses=(SLOPE_OF_STEP,),
    steps=chain(
        SLOPE_OF_STEP.left,
        ("=", SLOPE_OF_STEP.right, Calculus(), "The slope of the step."),
        (
            "<=",
            expression(0),
            Squares(
                weighted=((kappa * beta**2, Y_O @ _V, _P),),
                rules=(root(_V, W_O), known(_P, I_n - beta / 2 * (_S_O + _S_O.T))),
                over="k",
            ),
            "Each head's share is −κβ² tr(G_kP_k) = −κβ² tr((Y_kV_k)ᵀP_k(Y_kV_k)).",
        ),
    ),
)

# --- the second-order term alone --------------------------------------------------------------------------------

SECOND_ORDER: Expr = -(beta**2) / 4 * Sum("k", norm_squared(Y.T @ Y))
"""−¼β² Σ_k ‖Y_kᵀY_k‖², the second-order term of Rᶜ."""

SECOND_ORDER_GRADIENT = Derivation(
    name="gradient-of-the-second-order-term",
    title="Descent on the second-order term alone moves along attention with the Gram matrix",
    hypotheses=(ANY_BASES, "any direction H"),
    source=f"{HU}, the expansion to second order",
    definitions=(("Y_k", Y),),
    uses=(RATE_BELOW,),
    steps=chain(
        Differential(SECOND_ORDER, Z, H),
        (
            "=",
            -(beta**2) / 2 * Sum("k", inner(Y.T @ Y, U.T @ H.T @ Y + Y.T @ H @ U)),
            Calculus(),
            "The product rule: d‖A‖² = 2⟨A, dA⟩.",
        ),
        ("=", -beta * inner(GRAM_MSSA, H), Calculus(), "The two terms are transposes of one another."),
    ),
    remark="So a step against this gradient adds attention to the tokens, as Z + MSSA(Z) does.",
)

SECOND_ORDER_ASCENDS = Derivation(
    name="second-order-term-alone-expands",
    title="Descent on the second-order term alone expands",
    hypotheses=(ORTHOGONAL_BASES,),
    source=f"{HU}, which explains the residual layer by it",
    definitions=(("∇", GRADIENT_O), ("W_k", W_O), ("Y_k", Y_O)),
    uses=(SECOND_ORDER_GRADIENT, GRADIENT),
    steps=chain(
        inner(GRADIENT_O, beta**2 * Sum("k", Y_O @ Y_O.T @ Y_O @ ORTHOGONAL.T)),
        (
            "=",
            beta**3 * Sum("k", Trace(Y_O.T @ Y_O @ W_O @ Y_O.T @ Y_O)),
            Calculus(),
            "U_kᵀU_j is I for k = j and zero otherwise; rotate the trace.",
        ),
        (
            ">=",
            expression(0),
            Squares(weighted=((beta**3, Y_O.T @ Y_O, W_O),), over="k"),
            "Each head's share is tr(EᵀW_kE) with E = Y_kᵀY_k.",
        ),
    ),
    remark="The first-order term, which the residual layer does not have, is what compresses.",
)

# --- the softmax ------------------------------------------------------------------------------------------------

_A, _E, _F = Matrix("A", "n", "n"), Matrix("E", "n", "n"), Matrix("F", "n", "n")
_z = Matrix("z", "d", 1)

EQUAL_TOKENS = Derivation(
    name="attention-on-equal-tokens",
    title="Attention leaves equal tokens equal: it adds their projections, beta times",
    hypotheses=("all tokens are zᵀ, that is Z = 1zᵀ", "any matrices U_k"),
    source=f"{N23}, eq. 11-12",
    definitions=(("S_k", S), ("Y_k", Y)),
    steps=chain(
        MSSA,
        (
            "=",
            beta * Sum("k", S @ Ones("n") @ _z.T @ U @ U.T),
            Calculus((known(Z, Ones("n") @ _z.T),)),
            "Z = 1zᵀ.",
        ),
        (
            "=",
            beta * Ones("n") @ _z.T @ Sum("k", U @ U.T),
            Calculus((known(Z, Ones("n") @ _z.T),)),
            "The rows of a softmax sum to 1, S_k1 = 1.",
        ),
    ),
    remark="The Gram matrix would have multiplied them by n‖U_kᵀz‖² in every head.",
)

_EQUAL = known(Z, Ones("n") @ _z.T)

ONE_TOKEN = Derivation(
    name="attention-step-on-equal-tokens",
    title="With a complete family the attention step scales equal tokens, and leaves them as they are if beta = 1",
    hypotheses=(
        "all tokens are zᵀ, that is Z = 1zᵀ; one token always",
        "orthonormal bases U_k of mutually orthogonal subspaces that span everything: Σ_k U_kU_kᵀ = I",
    ),
    source=f"{N23}, eq. 10-12",
    definitions=(("MSSA(Z)", _complete(MSSA)), ("S_k", _complete(S)), ("Y_k", _complete(Y))),
    uses=(EQUAL_TOKENS,),
    steps=chain(
        _complete(DERIVED_STEP),
        (
            "=",
            (1 - kappa * beta) * Z + kappa * beta**2 * Ones("n") @ _z.T @ Sum("k", COMPLETE @ COMPLETE.T),
            Calculus((_EQUAL,)),
            "The rows of a softmax sum to 1, S_k1 = 1.",
        ),
        ("=", Z + kappa * beta * (beta - 1) * Z, Calculus((_EQUAL,)), "Σ_k U_kU_kᵀ = I."),
    ),
)

_S = Softmax(_A)


def _jacobian(E: Expr) -> Expr:
    # S∘E − Diag((S∘E)1)S, the derivative of the softmax along E.
    return Hadamard(_S, E) - Diag(Hadamard(_S, E) @ Ones("n")) @ _S


NO_MASS = Derivation(
    name="derivative-of-the-softmax",
    title="A change of the scores moves no mass into or out of a row of the softmax",
    hypotheses=("any scores A and any change E",),
    source="derived",
    definitions=(("S", _S),),
    steps=chain(
        Differential(_S, _A, _E) @ Ones("n"),
        (
            "=",
            _jacobian(_E) @ Ones("n"),
            Calculus(),
            "The derivative of the softmax is S∘E − Diag((S∘E)1)S.",
        ),
        (
            "=",
            Hadamard(_S, _E) @ Ones("n") - Diag(Hadamard(_S, _E) @ Ones("n")) @ Ones("n"),
            Calculus(),
            "The rows of a softmax sum to 1, S1 = 1.",
        ),
        ("=", 0 * Ones("n"), Calculus(), "Diag(v)1 = v."),
    ),
)

SYMMETRY = Derivation(
    name="derivative-of-the-softmax-is-symmetric",
    title="The derivative of the softmax, tested against a second direction, is symmetric in the two",
    hypotheses=("any scores A and any changes E and F",),
    source="derived",
    definitions=(("S", _S),),
    steps=chain(
        inner(_F, Differential(_S, _A, _E)),
        (
            "=",
            inner(_F, _jacobian(_E)),
            Calculus(),
            "The derivative of the softmax is S∘E − Diag((S∘E)1)S.",
        ),
        (
            "=",
            inner(Hadamard(_S, _F), _E) - inner(Hadamard(_S, _F) @ Ones("n"), Hadamard(_S, _E) @ Ones("n")),
            Calculus(),
            "⟨F, S∘E⟩ = ⟨S∘F, E⟩, and ⟨F, Diag(v)S⟩ = ⟨(S∘F)1, v⟩.",
        ),
    ),
    remark="With F = E it is the sum over all rows of the variance of E under the softmax, so the derivative is "
    "positive semidefinite.",
)


ROTATION = Derivation(
    name="attention-rotates-with-tokens-and-subspaces",
    title="Attention is equivariant to rotations of tokens and subspaces together",
    hypotheses=(ANY_BASES, "O orthogonal, d x d; tokens ZOᵀ, bases OU_k"),
    source=f"{N23}, eq. 11-12",
    definitions=(("S_k", S), ("Y_k", Y)),
    uses=(JOINT_ROTATION,),
    steps=chain(
        substitute(MSSA, {Z: Z @ O.T, U: O @ U}),
        ("=", beta * Sum("k", S @ Y @ (O @ U).T), Calculus(), "OᵀO = I: each head (ZOᵀ)(OU_k) is Y_k."),
        ("=", MSSA @ O.T, Calculus(), "(OU_k)ᵀ = U_kᵀOᵀ."),
    ),
)
