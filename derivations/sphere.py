"""ReduNet's step with the normalisation after it: ascent on the rate reduction along the sphere.

Token i is z_i = Zᵀe_i, e_i the unit vectors, and moves to x_i of unit length with b_ix_i = z_i + ηg_i, b_i its length
before the normalisation. There are n tokens, over which i runs, and K classes, over which k runs: either may be more.
"""

from __future__ import annotations

from derivations.checks import Calculus, Lemma, Squares
from derivations.expression import Expr, Identity, Inverse, Matrix, Sum, Trace, inner, norm_squared, substitute
from derivations.notation import H, W, Z, alpha, eta
from derivations.proof import Derivation, chain
from derivations.rate_reduction import (
    CLASSES,
    GRADIENT_OF_REDUCTION,
    GRAM,
    REDUCTION,
    REDUCTION_TAYLOR,
    SHARE,
    SUM_OF_MEMBERSHIPS,
    SUMS,
    P,
    T,
)
from derivations.rules import known
from derivations.sources import REDUNET

_one = Identity(1)
_NAMES = (("ν_k", SHARE), ("W", W), ("W_k", Inverse(GRAM)), ("∇", GRADIENT_OF_REDUCTION))

# --- one token ----------------------------------------------------------------------------------------------------

z, y, x = (Matrix(name, "d", 1) for name in "zyx")
"""A token, where the step takes it, and the same normalised."""
length = Matrix("b", 1, 1, psd=True)
_g = (y - z) / eta
_h = x - z

TOKEN = Derivation(
    name="normalised-step-of-a-token",
    title="A normalised step goes up the gradient of its token by its square times 1/η plus half the radial part",
    hypotheses=("y = z + ηg and y = bx with ‖z‖ = ‖x‖ = 1 and b ≥ 0",),
    source="derived",
    definitions=(("g", _g),),
    steps=chain(
        inner(_g, _h),
        (
            ">=",
            (1 / eta + inner(z, _g) / 2) * norm_squared(_h),
            Squares(
                squares=((Trace(length) * norm_squared(_h) / (4 * eta), _h),),
                rules=(known(y, x @ length), known(z.T @ z, _one), known(x.T @ x, _one)),
            ),
            "With c = ⟨z, x⟩ the left side is (b + 1)(1 − c)/η, ‖x − z‖² = 2(1 − c), and b = 1 + η⟨z, g⟩ + b(1 − c).",
        ),
    ),
    remark="The length before the normalisation is at least what the step leaves of the token in its own direction.",
)

# --- the radial part ----------------------------------------------------------------------------------------------

E = Matrix("E", "n", "n", psd=True)
"""The projector on the tokens that are looked at: eeᵀ for one."""
_RULES = (known(E @ E, E), known(E @ T, T @ E))
_W_k = Inverse(GRAM)
_Y = Z.T @ T @ E

RADIAL = Derivation(
    name="radial-part-of-the-gradient",
    title="The gradient of the rate reduction points inwards at no token by more than alpha times its square",
    hypotheses=(
        "any tokens; E the projector on one of them, or on some: EE = E",
        CLASSES,
        SUMS,
        "T_k diagonal: ET_k = T_kE",
    ),
    source="derived",
    definitions=_NAMES,
    steps=chain(
        inner(E @ Z, GRADIENT_OF_REDUCTION),
        (
            ">=",
            -alpha * Sum("k", SHARE * Trace(_Y.T @ _W_k @ _Y)),
            Squares(weighted=((alpha, Z.T @ E, W),), rules=_RULES),
            "The part of R is not negative; that of a class is tr(Y_kᵀW_kY_k), Y_k = ZᵀT_kE, as T_k is diagonal.",
        ),
        (
            ">=",
            -alpha * Sum("k", SHARE * norm_squared(_Y)),
            Squares(
                squares=(
                    (alpha**2 * SHARE, T.T @ Z @ _W_k @ _Y),
                    (alpha**3 * SHARE, Z.T @ T @ T.T @ Z @ _W_k @ _Y),
                ),
                over="k",
            ),
            "W_k is at most I: I − W_k = W_k(αG + α²G²)W_k, G = ZᵀT_kT_kᵀZ.",
        ),
        (
            ">=",
            -alpha * inner(Z, E @ Z),
            Squares(weighted=((alpha, E @ Z, P),), rules=(*_RULES, SUM_OF_MEMBERSHIPS)),
            "The memberships of a token sum to 1.",
        ),
    ),
)

# --- all tokens ---------------------------------------------------------------------------------------------------

X = Matrix("X", "n", "d")
"""Tokens after the normalisation."""
_e = Matrix("e", "n", 1, "i", orthonormal=True, mutually=True, complete=True, count="n")
_length = Matrix("b", 1, 1, "i", psd=True, count="n")
_z, _x = Z.T @ _e, X.T @ _e
_UNIT = known(_z.T @ _z, _one)
_y = _z + eta * GRADIENT_OF_REDUCTION.T @ _e
_move = X - Z
_moved = _x - _z
_NINE = 9 * alpha / 16


_rho = inner(_e @ _e.T @ Z, GRADIENT_OF_REDUCTION)
"""ρ_i = ⟨z_i, g_i⟩, the radial part."""


def _each(bound: Expr) -> Expr:
    return REDUCTION + Sum("i", bound, "n") - _NINE * norm_squared(_move)


_HYPOTHESES = (
    "tokens of unit length, z_i = Zᵀe_i, e_i the unit vectors",
    CLASSES,
    SUMS,
    "x_i = Xᵀe_i of unit length, b_ix_i = z_i + ηg_i with b_i ≥ 0 and g_i = ∇ᵀe_i",
)

AT_THE_TOKENS = Derivation(
    name="ascent-on-the-sphere-at-the-tokens",
    title="What a layer of ReduNet with true labels adds to the rate reduction on the sphere, by the radial gradients",
    hypotheses=(
        *_HYPOTHESES,
        "η > 0; the bound is not below ΔR(Z|Π) if η ≤ 2/(9α/8 + max(0, −ρ_i)) for every ρ_i = ⟨z_i, g_i⟩",
    ),
    source=f"{REDUNET}, the layer of true labels; derived",
    definitions=(*_NAMES, ("ρ_i", _rho)),
    uses=(REDUCTION_TAYLOR, TOKEN),
    steps=chain(
        substitute(REDUCTION, {Z: X}),
        (
            ">=",
            REDUCTION + inner(GRADIENT_OF_REDUCTION, _move) - _NINE * norm_squared(_move),
            Lemma(REDUCTION_TAYLOR, {H: _move}),
            "The quadratic below at H = X − Z.",
        ),
        (
            "=",
            _each(inner((_y - _z) / eta, _moved)),
            Calculus(),
            "The slope token by token: y_i = z_i + ηg_i.",
        ),
        (
            ">=",
            _each((1 / eta + inner(_z, (_y - _z) / eta) / 2) * norm_squared(_moved)),
            Lemma(TOKEN, {z: _z, y: _y, x: _x, length: _length}, over="i", count="n"),
            "The normalised step of every token.",
        ),
        (
            "=",
            REDUCTION + Sum("i", (1 / eta + _rho / 2 - _NINE) * norm_squared(_moved), "n"),
            Calculus(),
            "The squares of the moves add up to ‖X − Z‖².",
        ),
    ),
    remark="Where no gradient points inwards the sphere costs nothing: η ≤ 16/(9α) is enough, as without it.",
)

ASCENT = Derivation(
    name="ascent-on-the-sphere",
    title="A layer of ReduNet with true labels raises the rate reduction on the sphere, for steps to 16/17 over alpha",
    hypotheses=(
        *_HYPOTHESES,
        "T_k diagonal: e_ie_iᵀT_k = T_ke_ie_iᵀ",
        "η > 0; the bound is not below ΔR(Z|Π) if η ≤ 16/(17α)",
    ),
    source=f"{REDUNET}, the layer of true labels; derived",
    definitions=(*_NAMES, ("ρ_i", _rho)),
    uses=(AT_THE_TOKENS, RADIAL),
    steps=chain(
        substitute(REDUCTION, {Z: X}),
        (
            ">=",
            REDUCTION + Sum("i", (1 / eta + _rho / 2 - _NINE) * norm_squared(_moved), "n"),
            Lemma(AT_THE_TOKENS),
            "What the layer adds, by the radial gradients.",
        ),
        (
            ">=",
            _each((1 / eta - alpha / 2 * norm_squared(_z)) * norm_squared(_moved)),
            Lemma(RADIAL, {E: _e @ _e.T}, times=norm_squared(_moved) / 2, over="i", count="n"),
            "ρ_i ≥ −α‖z_i‖².",
        ),
        ("=", _each((1 / eta - alpha / 2) * norm_squared(_moved)), Calculus((_UNIT,)), "‖z_i‖ = 1."),
        (
            "=",
            REDUCTION + (1 / eta - 17 * alpha / 16) * norm_squared(_move),
            Calculus(),
            "The squares of the moves of all tokens add up to ‖X − Z‖².",
        ),
    ),
)
