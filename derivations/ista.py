"""Sparse coding by ISTA: the lasso ½‖Z − A Dᵀ‖² + λ‖A‖₁, majorised, and the descent of one step."""

from __future__ import annotations

from dataclasses import dataclass

import sympy

from derivations.checks import Calculus, Lemma, OnInterval, Squares
from derivations.expression import (
    Differential,
    Entrywise,
    Expr,
    Identity,
    Matrix,
    Ones,
    expression,
    inner,
    norm_squared,
)
from derivations.normal import Rule
from derivations.notation import Z, eta, lam
from derivations.proof import Derivation, chain
from derivations.render import PLAIN
from derivations.rules import known
from derivations.sources import FISTA, N23

A = Matrix("A", "n", "m")
"""A code; rows code tokens."""
D = Matrix("D", "d", "m")
"""A dictionary; its columns are atoms."""
H = Matrix("H", "n", "m")
ONE = Ones("n", "m")
SMOOTH: Expr = norm_squared(Z - A @ D.T) / 2
SLOPE: Expr = -((Z - A @ D.T) @ D)
"""∇ of the smooth part."""
LASSO: Expr = SMOOTH + lam * inner(ONE, A)
"""The lasso of a nonnegative code."""

GRADIENT = Derivation(
    name="gradient-of-the-reconstruction-error",
    title="The gradient of the smooth part of the lasso",
    hypotheses=("any tokens, dictionary, code and direction H",),
    source=f"{N23}, eq. 17",
    steps=chain(
        Differential(SMOOTH, A, H),
        ("=", -inner(Z - A @ D.T, H @ D.T), Calculus(), "The product rule; the residual moves by −HDᵀ."),
        ("=", inner(SLOPE, H), Calculus(), "Dᵀ goes to the other side as D."),
    ),
)

L = sympy.Symbol("L", positive=True)
P = Matrix("P", "m", "m", psd=True)
NORM = known(P, L * Identity("m") - D.T @ D)
NORM_HYPOTHESIS = "P = L I − DᵀD is positive semidefinite: L is at least ‖D‖₂²"
_upper = SMOOTH + inner(SLOPE, H) + L / 2 * norm_squared(H)

MAJORISATION = Derivation(
    name="majorisation-of-the-reconstruction-error",
    title="A quadratic with curvature L above the smooth part of the lasso",
    hypotheses=("any tokens, code and direction H", NORM_HYPOTHESIS),
    source=f"{FISTA}, lemma 2.1",
    uses=(GRADIENT,),
    steps=chain(
        norm_squared(Z - (A + H) @ D.T) / 2,
        (
            "=",
            SMOOTH + inner(SLOPE, H) + norm_squared(H @ D.T) / 2,
            Calculus(),
            "The square multiplied out: the expansion ends with the second order.",
        ),
        (
            "<=",
            _upper,
            Squares(weighted=((sympy.Rational(1, 2), H.T, P),), rules=(NORM,)),
            "The difference is ½ tr(HPHᵀ).",
        ),
    ),
)

# --- one step for either constant -------------------------------------------------------------------------------

_twice = norm_squared(Z - A @ D.T)

TWO_CONSTANTS = Derivation(
    name="lasso-with-and-without-the-half",
    title="The lasso without the half is twice the one with it at half the weight",
    hypotheses=("any tokens and nonnegative code",),
    source=f"{N23}, eq. 15 (no half); eq. 17 (with half)",
    definitions=(("1", ONE),),
    steps=chain(
        _twice + lam * inner(ONE, A),
        (
            "=",
            2 * (SMOOTH + lam / 2 * inner(ONE, A)),
            Calculus(),
            "Take out 2.",
        ),
    ),
    remark="Eq. 15 prints ‖Z − DA‖² without the half; the step of eq. 17 belongs to the problem with it.",
)

ARGUMENT: Expr = A + eta * (Z - A @ D.T) @ D - eta * lam * ONE
"""What ISTA applies the ReLU to."""
_step = Matrix("G", "n", "m")

ONE_STEP = Derivation(
    name="ista-step-of-the-lasso-without-the-half",
    title="The step of the lasso without the half, at 2λ and η/2, is the step of the one with it, at λ and η",
    definitions=(("1", ONE),),
    hypotheses=("any tokens, dictionary and code", "G is the gradient of ‖Z − A Dᵀ‖²"),
    source=f"{N23}, eq. 15 and 17",
    uses=(GRADIENT, TWO_CONSTANTS),
    steps=chain(
        A - eta / 2 * _step - (eta / 2) * (2 * lam) * ONE,
        (
            "=",
            ARGUMENT,
            Calculus((known(_step, 2 * SLOPE),)),
            "G is twice the gradient of ½‖Z − A Dᵀ‖².",
        ),
    ),
    remark="So nothing but the meaning of η and λ depends on the constant.",
)

# --- the proximal operator --------------------------------------------------------------------------------------

t = sympy.Symbol("t", real=True)
x = sympy.Symbol("x", positive=True)

SUBGRADIENT = Derivation(
    name="subgradient-of-the-absolute-value",
    title="A line through the origin with slope between -1 and 1 lies below the absolute value",
    hypotheses=("−1 ≤ t ≤ 1 and x > 0; for x < 0 the same with −t",),
    source="definition of a subgradient",
    steps=chain(
        expression(t * x),
        (
            "<=",
            expression(x),
            OnInterval(t, sympy.Integer(-1), sympy.Integer(1)),
            "The difference x(1 − t) has no negative factor.",
        ),
    ),
)


@dataclass(frozen=True)
class Proximal:
    """A proximal gradient step of X, with the inequality it satisfies.

    Attributes
    ----------
    new : Matrix
        X⁺, what X becomes.
    G : Matrix
        The gradient at X.
    step : Rule
        G as the step tells it.
    hypotheses : tuple of str
    inequality : Derivation
        ⟨G + λ1, X⁺ − X⟩ ≤ −‖X⁺ − X‖²/s for X ≥ 0.
    """

    new: Matrix
    G: Matrix
    step: Rule
    hypotheses: tuple[str, ...]
    inequality: Derivation


def proximal(X: Matrix, s: sympy.Expr, title: str) -> Proximal:
    """The step of size ``s`` of X ≥ 0: X⁺ − N = X − s(G + λ1), N what the ReLU cuts off."""
    new, N, G, root = (Matrix(name, *X.shape) for name in (f"{X.name}^+", "N", "G", "S"))
    one, change = Ones(*X.shape), new - X
    step = known(G, (X - new + N) / s - lam * one)
    name, size = X.name, PLAIN.scalar(s)
    hypotheses = (
        f"{name}⁺ = ReLU({name} − {size}G − {size}λ1), and {name} ≥ 0",
        f"N ≥ 0 is what the ReLU cuts off: {name}⁺ − N = {name} − {size}G − {size}λ1 and ⟨N, {name}⁺⟩ = 0",
        f"S is the entrywise root of N ∘ {name}, so that ⟨N, {name}⟩ = ‖S‖²",
    )
    inequality = Derivation(
        name=title,
        title="A proximal step goes down a slope by at least its squared length over its size",
        hypotheses=("any G", *hypotheses),
        source=f"{FISTA}, lemma 2.3",
        definitions=(("1", one),),
        steps=chain(
            inner(G + lam * one, change),
            (
                "=",
                inner(N, change) / s - norm_squared(change) / s,
                Calculus((step,)),
                f"G + λ1 = ({name} − {name}⁺ + N)/{size}.",
            ),
            (
                "=",
                -inner(N, X) / s - norm_squared(change) / s,
                Calculus((known(inner(N, new), expression(0)),)),
                f"⟨N, {name}⁺⟩ = 0.",
            ),
            (
                "<=",
                -norm_squared(change) / s,
                Squares(((1 / s, root),), rules=(known(inner(N, X), norm_squared(root)),)),
                f"⟨N, {name}⟩ = ‖S‖².",
            ),
        ),
        remark="The ReLU cuts off only what would go beyond zero, and a token that is not negative has ⟨N, Z⟩ ≥ 0. "
        "From a negative entry nothing is guaranteed.",
    )
    return Proximal(new, G, step, hypotheses, inequality)


STEP = proximal(A, eta, "proximal-step")
PROXIMAL = STEP.inequality
_change = STEP.new - A
_majorised = SMOOTH + inner(SLOPE, _change) + L / 2 * norm_squared(_change)
_new_weight = lam * inner(ONE, STEP.new)

DESCENT = Derivation(
    name="ista-descends",
    title="One ISTA step lowers the lasso by at least (1/η − L/2) times its squared length",
    hypotheses=(*STEP.hypotheses, "G is the gradient of ½‖Z − A Dᵀ‖²", NORM_HYPOTHESIS),
    source=f"{FISTA}, lemma 2.3; {N23}, eq. 17",
    uses=(MAJORISATION, PROXIMAL),
    definitions=(("1", ONE),),
    steps=chain(
        norm_squared(Z - STEP.new @ D.T) / 2 + _new_weight,
        ("<=", _majorised + _new_weight, Lemma(MAJORISATION, {H: _change}), "The majorisation, with H = A⁺ − A."),
        (
            "=",
            LASSO + inner(STEP.G + lam * ONE, _change) + L / 2 * norm_squared(_change),
            Calculus((known(STEP.G, SLOPE),)),
            "⟨1, A⁺⟩ = ⟨1, A⟩ + ⟨1, A⁺ − A⟩, and G is the gradient.",
        ),
        (
            "<=",
            LASSO - (1 / eta - L / 2) * norm_squared(_change),
            Lemma(PROXIMAL),
            "The inequality of the proximal step.",
        ),
    ),
    remark="So every step below 2/L = 2/‖D‖₂² lowers it, and η = 1/L by L/2 times the squared length.",
)

# --- both signs -------------------------------------------------------------------------------------------------

_entry = sympy.Symbol("x", real=True)


def absolute(X: Expr) -> Expr:
    """‖X‖₁, the sum of absolute values."""
    return inner(Ones(*X.shape), Entrywise(sympy.Lambda(_entry, sympy.Abs(_entry)), X))  # type: ignore[misc]


def thresholding(X: Matrix, s: sympy.Expr, title: str) -> Proximal:
    """The step of size ``s`` of X of either sign: X⁺ = soft(X − sG, sλ), and ‖X‖₁ for ⟨1, X⟩ in its inequality."""
    new, G, T, root = (Matrix(name, *X.shape) for name in (f"{X.name}^+", "G", "T", "S"))
    change, name, size = new - X, X.name, PLAIN.scalar(s)
    step = known(G, (X - new) / s - lam * T)
    hypotheses = (
        f"{name}⁺ = soft({name} − {size}G, {size}λ), that is {name}⁺ = {name} − {size}(G + λT)",
        f"T has entries between -1 and 1, and is the sign of {name}⁺ where that is not zero: ⟨T, {name}⁺⟩ = ‖{name}⁺‖₁",
        f"S is the entrywise root of |{name}| − T ∘ {name} ≥ 0, so that ⟨T, {name}⟩ = ‖{name}‖₁ − ‖S‖²",
    )
    inequality = Derivation(
        name=title,
        title="The inequality of the proximal step for either sign",
        hypotheses=("any G", *hypotheses),
        source=f"{FISTA}, lemma 2.3",
        uses=(SUBGRADIENT,),
        definitions=(
            ("1", Ones(*X.shape)),
            (f"|{name}|_1", absolute(X)),
            (f"|{name}^+|_1", absolute(new)),
        ),
        steps=chain(
            inner(G, change) + lam * absolute(new) - lam * absolute(X),
            (
                "=",
                lam * absolute(new) - lam * absolute(X) - lam * inner(T, change) - norm_squared(change) / s,
                Calculus((step,)),
                f"G = ({name} − {name}⁺)/{size} − λT.",
            ),
            (
                "<=",
                -norm_squared(change) / s,
                Squares(
                    ((lam, root),),
                    rules=(known(inner(T, new), absolute(new)), known(inner(T, X), absolute(X) - norm_squared(root))),
                ),
                f"λT is a subgradient at {name}⁺; the difference is λ‖S‖².",
            ),
        ),
    )
    return Proximal(new, G, step, hypotheses, inequality)


# --- orthonormal dictionaries -----------------------------------------------------------------------------------

_O = Matrix("D", "d", "m", orthonormal=True)
_Y, _best, _N = Matrix("Y", "n", "m"), Matrix("A^+", "n", "m"), Matrix("N", "n", "m")
_root = Matrix("S", "n", "m")


def _lasso(X: Expr) -> Expr:
    return norm_squared(Z - X @ _O.T) / 2 + lam * inner(ONE, X)


ORTHONORMAL_SOLUTION = Derivation(
    name="lasso-with-orthonormal-dictionary",
    title="With an orthonormal dictionary one step of size 1 solves the lasso",
    hypotheses=(
        "DᵀD = I",
        "A⁺ = ReLU(ZD − λ1), N ≥ 0 what the ReLU cuts off: ZD − λ1 = A⁺ − N and ⟨N, A⁺⟩ = 0",
        "any nonnegative code Y; S the entrywise root of N ∘ Y",
    ),
    source=f"{N23}, eq. 15 to 17",
    definitions=(("1", ONE),),
    steps=chain(
        _lasso(_Y),
        (
            "=",
            _lasso(_best) + norm_squared(_Y - _best) / 2 + inner(_N, _Y),
            Calculus((known(Z @ _O, _best - _N + lam * ONE), known(inner(_N, _best), expression(0)))),
            "The square is ½‖Y − A⁺‖² and a slope; the slope at A⁺ is A⁺ − ZD + λ1 = N.",
        ),
        (
            ">=",
            _lasso(_best) + norm_squared(_Y - _best) / 2,
            Squares(((1, _root),), rules=(known(inner(_N, _Y), norm_squared(_root)),)),
            "⟨N, Y⟩ = ‖S‖².",
        ),
    ),
    remark="So A⁺ is the one minimiser. Without the half the same holds for ReLU(ZD − λ1/2).",
)

SIZE_ONE = Derivation(
    name="ista-step-of-size-one",
    title="With an orthonormal dictionary a step of size 1 forgets the code it starts from",
    definitions=(("1", ONE),),
    hypotheses=("DᵀD = I", "any code A"),
    source=f"{N23}, eq. 17",
    uses=(ORTHONORMAL_SOLUTION,),
    steps=chain(A + (Z - A @ _O.T) @ _O - lam * ONE, ("=", Z @ _O - lam * ONE, Calculus(), "ADᵀD = A.")),
)

_square = Matrix("D", "d", "d", orthonormal=True)
_ones = Ones("n", "d")

ORTHONORMAL_STEP = Derivation(
    name="ista-step-with-orthonormal-dictionary",
    title="The ISTA step from the tokens mixes them with their codes",
    definitions=(("1", _ones),),
    hypotheses=("DᵀD = I, D square; the code starts at the tokens",),
    source=f"{N23}, eq. 17",
    steps=chain(
        Z + eta * (Z - Z @ _square.T) @ _square - eta * lam * _ones,
        (
            "=",
            (1 - eta) * Z + eta * Z @ _square - eta * lam * _ones,
            Calculus(),
            "ZDᵀD = Z.",
        ),
    ),
    remark="In the papers' columns (1 − η)Z + ηDᵀZ − ηλ1; with η = 1 nothing is left of the start.",
)
