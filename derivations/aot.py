"""The attention-only layer Z⁺ = Z + η Σ_j A_jZU_jU_jᵀ on the noisy mixture of subspaces of its theorem.

The subspaces U_k are orthogonal, and the tokens fall into K classes of m, C_k the columns of I that belong to class k.
The signal of a class is C_kᵀZU_kU_kᵀ, its noise the rest of C_kᵀZ.
"""

from __future__ import annotations

from dataclasses import replace

import sympy

from derivations.checks import Calculus
from derivations.expression import Expr, Matrix, Sum, norm_squared, reciprocal, substitute
from derivations.notation import ORTHOGONAL_BASES, I_d, I_n, Z, eta, family
from derivations.proof import Derivation, chain
from derivations.rules import known
from derivations.sources import AOT

tau = sympy.Symbol("tau", positive=True)
"""The threshold, and the value of what passes it."""
C = Matrix("C", "n", "m", "k", orthonormal=True, mutually=True)
U = family(orthonormal=True, mutually=True)
_U_j, _C_j = (replace(A, index="j") for A in (U, C))
A, _A_j = (Matrix("A", "n", "n", index) for index in "kj")
LAYER: Expr = Z + eta * Sum("j", _A_j @ Z @ _U_j @ _U_j.T)
_EVENT = known(_A_j, tau * _C_j @ _C_j.T)
_MODEL = (
    ORTHOGONAL_BASES,
    "classes of m tokens each: C_kᵀC_k = I, and C_jᵀC_k = 0 for j ≠ k",
)
_GOOD = (
    "the good event: in head k every token of class k keeps its own entry alone, and no other keeps any, A_k = τC_kC_kᵀ"
)
_ANY = "any attention A_k in head k"


def signal(tokens: Expr) -> Expr:
    """What lies in the subspace of class k, of its tokens."""
    return C.T @ tokens @ U @ U.T


def noise(tokens: Expr) -> Expr:
    """What lies outside of it."""
    return C.T @ tokens @ (I_d - U @ U.T)


HEADS = Derivation(
    name="attention-only-layer-in-heads",
    title="In orthogonal heads the attention-only layer acts head by head",
    hypotheses=(_MODEL[0], "any tokens", _ANY),
    source=f"{AOT}, the layer",
    steps=chain(
        LAYER @ U,
        ("=", (I_n + eta * A) @ Z @ U, Calculus(), "U_jᵀU_k is I for j = k and zero otherwise."),
    ),
    remark="Whatever the attention: a token grows along a head by what it attends to there, its noise as its signal.",
)

SIGNAL = Derivation(
    name="signal-after-an-attention-only-layer",
    title="On the good event the signal of every class is multiplied by 1 + ητ",
    hypotheses=(*_MODEL, _GOOD),
    source=f"{AOT}, theorem 1",
    uses=(HEADS,),
    steps=chain(
        signal(LAYER),
        (
            "=",
            (1 + eta * tau) * signal(Z),
            Calculus((_EVENT,)),
            "Class k attends to itself in head k, each token to itself.",
        ),
    ),
)

NOISE = Derivation(
    name="noise-after-an-attention-only-layer",
    title="On the good event the noise of every class stays as it is",
    hypotheses=(*_MODEL, _GOOD),
    source=f"{AOT}, theorem 1",
    uses=(HEADS,),
    steps=chain(
        noise(LAYER),
        ("=", noise(Z), Calculus((_EVENT,)), "In the other heads class k attends to nothing."),
    ),
)

RATIO = Derivation(
    name="signal-to-noise-ratio-after-an-attention-only-layer",
    title="On the good event the signal-to-noise ratio of every class is multiplied by 1 + ητ exactly",
    hypotheses=(*_MODEL, _GOOD, "a class that has noise"),
    source=f"{AOT}, theorem 1",
    definitions=(("Z^+", LAYER),),
    uses=(SIGNAL, NOISE),
    steps=chain(
        norm_squared(signal(LAYER)) * reciprocal(norm_squared(noise(LAYER))),
        (
            "=",
            (1 + eta * tau) ** 2 * norm_squared(signal(Z)) * reciprocal(norm_squared(noise(Z))),
            Calculus((_EVENT,)),
            "The signal grows by the factor, the noise does not change.",
        ),
    ),
    remark="The ratio of the squares: its root is the theorem's. No token sees another one; the ratio grows with the "
    "length of the tokens, and by (1 + ητ)^L over L layers as long as the event holds in each.",
)

_ALL_KEPT = known(_A_j, tau * I_n)
_V_j = family(orthonormal=True, mutually=True, complete=True, index="j")

ALL_KEPT = Derivation(
    name="attention-only-layer-if-every-head-keeps-every-token",
    title="If every token keeps its own entry in every head, the layer scales all and the ratio stays",
    hypotheses=("a complete family of mutually orthogonal subspaces: Σ_k U_kU_kᵀ = I", "A_k = τI in every head"),
    source="derived",
    uses=(HEADS,),
    steps=chain(
        substitute(LAYER, {_U_j: _V_j}), ("=", (1 + eta * tau) * Z, Calculus((_ALL_KEPT,)), "Σ_j U_jU_jᵀ = I.")
    ),
    remark="So it is the silence of the other heads that raises the ratio, not the attention of its own.",
)

_kept, _kept_j = (Matrix("S", "m", "m", index) for index in "kj")
_SOME_KEPT = known(_A_j, tau * _C_j @ _kept_j @ _C_j.T)

SOME_KEPT = Derivation(
    name="attention-only-layer-if-some-tokens-attend-elsewhere",
    title="If only other classes are kept silent, the signal is multiplied by I + ητS and the noise stays",
    hypotheses=(
        *_MODEL,
        "in head k the tokens of class k attend among themselves, A_k = τC_kS_kC_kᵀ, S_k any m x m matrix",
    ),
    source="derived",
    uses=(HEADS,),
    steps=chain(
        C.T @ LAYER,
        (
            "=",
            C.T @ Z + eta * tau * _kept @ signal(Z),
            Calculus((_SOME_KEPT,)),
            "Head k alone moves class k, in its own subspace.",
        ),
    ),
    remark="S_k = I is the good event; a row of zeros leaves its token as it is, a row with its one entry off the "
    "diagonal adds the signal of another token.",
)
