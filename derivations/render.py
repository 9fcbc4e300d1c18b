"""Expressions as mathematics: LaTeX for papers and reports, plain text for the terminal."""

from __future__ import annotations

import re
from dataclasses import dataclass

import sympy

from derivations import expression as ex
from derivations.expression import Expr

SIGNS = dict(
    re.findall(
        r"(\S) (\S+)",
        r"""
        α \alpha  β \beta  γ \gamma  δ \delta  ε \varepsilon  η \eta  θ \theta  κ \kappa  λ \lambda  μ \mu  ν \nu
        π \pi  ρ \rho  σ \sigma  τ \tau  φ \varphi  ω \omega  Δ \Delta  Λ \Lambda  Π \Pi  Σ \Sigma  ℓ \ell
        ≤ \le  ≥ \ge  ≈ \approx  ≠ \ne  ⪯ \preceq  ⪰ \succeq  ≺ \prec  ≻ \succ  ≡ \equiv  ∈ \in  → \to
        ↦ \mapsto  ⇔ \Leftrightarrow  ⇒ \Rightarrow  ∇ \nabla  ∂ \partial  ∘ \odot  · \cdot  × \times
        √ \surd  ∞ \infty  − -  ± \pm  ∓ \mp  ⊥ \perp  ⟨ \langle  ⟩ \rangle  ‖ \|  … \ldots
        ½ \tfrac12  ¼ \tfrac14  ⅛ \tfrac18  ⋆ ^\star  ᵀ ^{\top}  ᶜ ^c  ⁺ ^+
        ⁻ ^-  ⁰ ^0  ¹ ^1  ² ^2  ³ ^3  ⁴ ^4  ᵐ ^m  ⁿ ^n  ₀ _0  ₁ _1  ₂ _2  ₖ _k  ₘ _m  ₙ _n
        """,
    )
)
"""Signs of mathematics that occur in names and in prose, in LaTeX."""

SUM, PRODUCT, ATOM = range(3)
"""How tightly an expression binds."""


@dataclass(frozen=True)
class Style:
    """What differs between LaTeX and plain text."""

    latex: bool

    def scalar(self, c: sympy.Expr) -> str:
        if self.latex:
            return sympy.latex(c)
        return _greek(sympy.sstr(c).replace("**(-2)", "⁻²").replace("**2", "²").replace("**3", "³").replace("*", " "))

    def sign(self, text: str) -> str:
        """A name that is written with signs of mathematics."""
        return "".join(f"{SIGNS.get(c, c)} " if c in SIGNS else c for c in text) if self.latex else text

    def name(self, A: ex.Matrix) -> str:
        name = sympy.latex(sympy.Symbol(A.name)) if self.latex else _greek(A.name)
        named = f"{name}_{A.index}" if A.index else name
        return f"{named} " if named.startswith("\\") and named[-1].isalpha() else named  # a command ends at a blank

    def transpose(self, a: str) -> str:
        return rf"{self.base(a)}^{{\top}}" if self.latex else f"{a}ᵀ"

    def base(self, a: str) -> str:
        """What an exponent can be put on."""
        return f"{{{a}}}" if "^" in a else a

    def inverse(self, a: str) -> str:
        return rf"{self.base(a)}^{{-1}}" if self.latex else f"{a}⁻¹"

    def brackets(self, a: str) -> str:
        return rf"\left({a}\right)" if self.latex else f"({a})"

    def operator(self, name: str, a: str) -> str:
        if self.latex:
            known = {"log det": r"\log\det", "log": r"\log", "exp": r"\exp", "tr": r"\operatorname{tr}"}
            return known.get(name, rf"\operatorname{{{name}}}") + self.brackets(a)
        return f"{name}({a})"

    def total(self, index: str, count: str, a: str) -> str:
        return rf"\sum_{{{index}=1}}^{{{count}}} {a}" if self.latex else f"Σ_{index} {a}"

    def power(self, a: str) -> str:
        return f"{self.base(a)}^2" if self.latex else f"{a}²"

    def norm(self, a: str) -> str:
        return rf"\left\|{a}\right\|_F" if self.latex else f"‖{a}‖"

    def inner(self, a: str, b: str) -> str:
        return rf"\left\langle {a},\, {b}\right\rangle" if self.latex else f"⟨{a}, {b}⟩"

    @property
    def hadamard(self) -> str:
        return r" \odot " if self.latex else " ∘ "

    @property
    def thin(self) -> str:
        return r"\," if self.latex else " "

    def relation(self, relation: str) -> str:
        if self.latex:
            return {"<=": r"\le", ">=": r"\ge", "~": r"\approx"}.get(relation, relation)
        return {"<=": "≤", ">=": "≥", "~": "≈"}.get(relation, relation)


LATEX, PLAIN = Style(latex=True), Style(latex=False)
_GREEK = {
    "alpha": "α",
    "beta": "β",
    "epsilon": "ε",
    "kappa": "κ",
    "eta": "η",
    "lambda": "λ",
    "theta": "θ",
    "sigma": "σ",
}
_GREEK |= {
    "Delta": "Δ",
    "tau": "τ",
    "mu": "μ",
    "gamma": "γ",
    "pi": "π",
    "nu": "ν",
    "delta": "δ",
    "omega": "ω",
    "Sigma": "Σ",
    "Lambda": "Λ",
    "rho": "ρ",
}


def _greek(text: str) -> str:
    for name, letter in sorted(_GREEK.items(), key=lambda item: -len(item[0])):  # theta before eta
        text = text.replace(name, letter)
    return text


def meanings(names: tuple[tuple[str, Expr], ...], style: Style) -> list[tuple[str, str]]:
    """Every name with what it stands for, in terms of the others."""
    return [(name, render(value, style, tuple(pair for pair in names if pair[0] != name))) for name, value in names]


def render(a: Expr, style: Style, names: tuple[tuple[str, Expr], ...] = (), at_least: int = SUM) -> str:
    """``a`` in ``style``; subexpressions that ``names`` define are written by their name."""
    text, binds = _render(a, style, {value: name for name, value in names})
    return style.brackets(text) if binds < at_least else text


def _render(a: Expr, style: Style, names: dict[Expr, str]) -> tuple[str, int]:
    if a in names:
        return style.sign(names[a]), ATOM

    def inside(part: Expr, at_least: int = SUM) -> str:
        text, binds = _render(part, style, names)
        return style.brackets(text) if binds < at_least else text

    match a:
        case ex.Scalar(value=c):
            return style.scalar(c), SUM if c.is_Add or c.could_extract_minus_sign() else PRODUCT
        case ex.Matrix():
            return style.name(a), ATOM
        case ex.Identity():
            return "I", ATOM
        case ex.Ones(rows=rows, cols=cols):
            one = r"\mathbf{1}" if style.latex else "1"
            row = style.transpose(one)
            return one if cols == 1 else row if rows == 1 else one + row, ATOM if 1 in (rows, cols) else PRODUCT
        case ex.Add(terms=terms):
            return _sum([part for term in terms for part in _terms(term)], style, names), SUM
        case ex.Scale(factor=number, arg=ex.Identity(size=1)) if not isinstance(number, ex.Scalar):
            return _render(number, style, names)
        case ex.Scale(factor=factor, arg=arg):
            return _scaled(factor, arg, style, names)
        case ex.Trace(arg=ex.Scale(factor=number, arg=ex.Identity(size=1))):
            return _render(number, style, names)
        case ex.Trace(arg=ex.Product(factors=(ex.Transpose(arg=A), B))):
            if A == B:
                return style.power(style.norm(inside(A))), PRODUCT
            return style.inner(inside(A), inside(B)), ATOM
        case ex.Product(factors=factors):
            return "".join(inside(part, PRODUCT) for part in factors), PRODUCT
        case ex.Transpose(arg=arg):
            return style.transpose(inside(arg, ATOM)), ATOM
        case ex.Inverse(arg=arg):
            return style.inverse(inside(arg, ATOM)), ATOM
        case ex.Trace(arg=arg) if arg.shape == (1, 1):  # a number
            return _render(arg, style, names)
        case ex.Trace(arg=arg):
            return style.operator("tr", inside(arg)), PRODUCT
        case ex.LogDet(arg=arg) if arg.shape == (1, 1):
            return style.operator("log", inside(arg)), PRODUCT
        case ex.LogDet(arg=arg):
            return style.operator("log det", inside(arg)), PRODUCT
        case ex.Sum(index=index, arg=arg, count=count):
            return style.total(index, count, inside(arg, PRODUCT)), SUM
        case ex.Hadamard(left=left, right=right):
            return style.hadamard.join((inside(left, PRODUCT), inside(right, PRODUCT))), SUM
        case ex.Diag(arg=arg):
            return style.operator("Diag", inside(arg)), ATOM
        case ex.Diagonal(arg=arg):
            return style.operator("diag", inside(arg)), ATOM
        case ex.Softmax(arg=arg):
            return style.operator("softmax", inside(arg)), ATOM
        case ex.Entrywise(function=ex.EXP, arg=arg):
            return style.operator("exp", inside(arg)), ATOM
        case ex.Entrywise(function=function, arg=arg):
            (x,) = function.variables
            shown = style.scalar(function.expr.subs(x, sympy.Symbol("t")))
            return (r"\left[t\mapsto " if style.latex else "[t ↦ ") + shown + (r"\right]" if style.latex else "]") + (
                style.brackets(inside(arg))
            ), ATOM
        case ex.Differential(arg=arg, matrix=matrix, along=along):
            mark = rf"\mathrm{{D}}_{{{style.name(matrix)}}}" if style.latex else f"D_{style.name(matrix)} "
            return mark + style.brackets(inside(arg)) + f"[{inside(along)}]", ATOM
    raise TypeError(f"no notation for {type(a).__name__}")


def _terms(a: Expr) -> list[Expr]:
    return [part for term in a.terms for part in _terms(term)] if isinstance(a, ex.Add) else [a]


def _sum(terms: list[Expr], style: Style, names: dict[Expr, str]) -> str:
    text = ""
    for i, term in enumerate(terms):
        shown = _render(term, style, names)[0]
        if i and shown.startswith("-"):
            text += " - " + shown[1:].lstrip()
        elif i and not (isinstance(term, ex.Scalar) and term.value == 0):
            text += " + " + shown
        elif not i:
            text = shown
    return text


def _scaled(factor: Expr, arg: Expr, style: Style, names: dict[Expr, str]) -> tuple[str, int]:
    constant, rest = sympy.Integer(1), []
    for part in (factor, arg):
        while isinstance(part, ex.Scale) and part not in names and isinstance(part.factor, ex.Scalar):
            constant *= part.factor.value
            part = part.arg
        if isinstance(part, ex.Scalar):
            constant *= part.value
        else:
            rest.append(part)
    shown = [style.brackets(t) if b < PRODUCT else t for t, b in (_render(part, style, names) for part in rest)]
    if not rest:
        return style.scalar(constant), PRODUCT
    if constant in (1, -1):
        return ("-" if constant == -1 else "") + style.thin.join(shown), SUM if constant == -1 else PRODUCT
    coefficient = style.scalar(constant)
    if constant.is_Add:
        coefficient = style.brackets(coefficient)
    return style.thin.join([coefficient, *shown]), SUM if coefficient.startswith("-") else PRODUCT
