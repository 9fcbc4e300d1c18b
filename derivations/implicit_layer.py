"""The implicit descent layer: proximal gradient steps on a convex model that lies above the loss and touches it at Z.

What is not derived here is how much −R is curved as seen from the tokens, ℓ: it is a hypothesis.
"""

from __future__ import annotations

import sympy

from derivations.checks import Calculus, Lemma, Squares
from derivations.compression_rate import RC, W
from derivations.expression import Expr, LogDet, Matrix, Ones, Trace, inner, norm_squared, substitute
from derivations.implicit import TANGENT_IN_GRAM, WEIGHTS_HYPOTHESIS, A, X
from derivations.ista import absolute, proximal, thresholding
from derivations.notation import ANY_BASES, I_d, I_n, R, Z, alpha, lam
from derivations.notation import W as W_R
from derivations.proof import Derivation, chain
from derivations.rules import known

ell, sigma = sympy.symbols("ell sigma", positive=True)
"""ℓ, and the step size of an iteration."""
_SLOPE: Expr = Z @ A - alpha * Z @ W_R
_move = X - Z
_half = sympy.Rational(1, 2)
_spared = Matrix("D", "n", "n", psd=True)
_log_det = LogDet(I_d + alpha * Z.T @ Z)
_SEEN = known(
    substitute(_log_det, {Z: X}),
    _log_det + 2 * inner(alpha * Z @ W_R, _move) - ell * norm_squared(_move) + Trace(_spared),
)
_SEEN_HYPOTHESIS = (
    "−R lies below its quadratic model with curvature ℓ as seen from Z: R(X) = R(Z) + ⟨αZW, X − Z⟩ − ½ ℓ‖X − Z‖² + "
    "½ tr D with D positive semidefinite"
)

MODEL = Derivation(
    name="implicit-descent-model-lies-above",
    title="The smooth part of the loss lies below the model that the implicit descent layer lowers",
    hypotheses=(ANY_BASES, "any tokens X", WEIGHTS_HYPOTHESIS, _SEEN_HYPOTHESIS),
    source="derived",
    definitions=(("W_k", W), ("W", W_R)),
    uses=(TANGENT_IN_GRAM,),
    steps=chain(
        substitute(RC - R, {Z: X}),
        (
            "<=",
            RC + inner(Z @ A, _move) + Trace(_move @ A @ _move.T) / 2 - substitute(R, {Z: X}),
            Lemma(TANGENT_IN_GRAM),
            "The tangent of Rᶜ in the Gram matrices.",
        ),
        (
            "<=",
            RC - R + inner(_SLOPE, _move) + Trace(_move @ (A + ell * I_d) @ _move.T) / 2,
            Squares(weighted=((_half, I_n, _spared),), rules=(_SEEN,)),
            "−R as seen from Z.",
        ),
    ),
    remark="At X = Z both sides are equal. With λ‖X‖₁ on both sides it is a model of the whole loss.",
)

# --- one iteration ------------------------------------------------------------------------------------------------

V = Matrix("V", "n", "d")
_S = Matrix("C", "n", "d")
"""The slope of the model at Z."""
_Q = Matrix("Q", "d", "d", psd=True)
_B = Matrix("B", "d", "d", psd=True)
_STEEP = known(_Q, I_d / sigma - _B)


def _model(V: Expr) -> Expr:
    return inner(_S, V - Z) + Trace((V - Z) @ _Q @ (V - Z).T) / 2


STEP = proximal(V, sigma, "proximal-step-of-an-iteration")
SIGNED = thresholding(V, sigma, "soft-thresholding-step-of-an-iteration")
PROXIMAL, SOFT_THRESHOLD = STEP.inequality, SIGNED.inequality
_change = STEP.new - V
_one = Ones("n", "d")
_HYPOTHESES = (
    "the model is ⟨C, V − Z⟩ + ½ tr((V − Z)Q(V − Z)ᵀ), Q positive semidefinite, G = C + (V − Z)Q its gradient",
    "σ at most one over the largest eigenvalue of Q: Q = I/σ − B with B positive semidefinite",
)
_GRADIENT = known(STEP.G, _S + (V - Z) @ _Q)
_kept = norm_squared(_change) / (2 * sigma)

ITERATION = Derivation(
    name="implicit-descent-iteration-lowers-its-model",
    title="Every iteration of the implicit descent layer lowers its model by its squared length over twice its step",
    hypotheses=(*STEP.hypotheses, *_HYPOTHESES),
    source="derived",
    definitions=(("1", _one),),
    uses=(PROXIMAL,),
    steps=chain(
        _model(STEP.new) + lam * inner(_one, STEP.new),
        (
            "=",
            _model(V)
            + lam * inner(_one, V)
            + inner(STEP.G + lam * _one, _change)
            + Trace(_change @ _Q @ _change.T) / 2,
            Calculus((_GRADIENT,)),
            "The model is quadratic.",
        ),
        (
            "<=",
            _model(V) + lam * inner(_one, V) - norm_squared(_change) / sigma + Trace(_change @ _Q @ _change.T) / 2,
            Lemma(PROXIMAL),
            "The inequality of the proximal step.",
        ),
        (
            "<=",
            _model(V) + lam * inner(_one, V) - _kept,
            Squares(weighted=((_half, _change.T, _B),), rules=(_STEEP,)),
            "Q is at most I/σ.",
        ),
    ),
    remark="So any number of iterations from V = Z ends below the loss at Z. From tokens that are not negative.",
)

_sizes = lam * absolute(SIGNED.new), lam * absolute(V)

SIGNED_ITERATION = Derivation(
    name="implicit-descent-iteration-from-signed-tokens",
    title="The same with soft thresholding, from tokens of either sign",
    hypotheses=(*SIGNED.hypotheses, *_HYPOTHESES),
    source="derived",
    definitions=SOFT_THRESHOLD.definitions,
    uses=(SOFT_THRESHOLD,),
    steps=chain(
        _model(SIGNED.new) + _sizes[0],
        (
            "=",
            _model(V) + inner(SIGNED.G, _change) + Trace(_change @ _Q @ _change.T) / 2 + _sizes[0],
            Calculus((_GRADIENT,)),
            "The model is quadratic.",
        ),
        (
            "<=",
            _model(V) + _sizes[1] - norm_squared(_change) / sigma + Trace(_change @ _Q @ _change.T) / 2,
            Lemma(SOFT_THRESHOLD),
            "The inequality of the proximal step.",
        ),
        (
            "<=",
            _model(V) + _sizes[1] - _kept,
            Squares(weighted=((_half, _change.T, _B),), rules=(_STEEP,)),
            "Q is at most I/σ.",
        ),
    ),
)
