"""The rules by which a step of a derivation may be taken.

=============  ======================================================================================================
`Calculus`     general sizes: both sides have one normal form under the rewriting rules named
`Squares`      general sizes: the difference is a sum of squares and of traces tr(EᵀPE) with P positive semidefinite
`Drops`        general sizes: a heuristic move, and the difference is what it is said to drop
`Lemma`        general sizes: the difference is a positive multiple of the difference that another derivation proves
`Taylor`       general sizes: f(X + H) ≤ f(X) + Df(X)[H] + c ‖H‖²/2 from D²f(X)[H, H] ≤ c ‖H‖², proved elsewhere
`Spectrum`     general sizes: tr f(X) ≤ tr g(X) for X ⪰ 0, from f ≤ g on [0, ∞)
`AtSizes`      stated sizes: values in a prime field at random points, with the probability of a false acceptance
`OnInterval`   one variable: the sign of a difference on an interval, by isolation of roots
=============  ======================================================================================================
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import sympy

from derivations import identity, interval
from derivations.calculus import expanded
from derivations.expression import (
    Add,
    Differential,
    Expr,
    Identity,
    Inverse,
    LogDet,
    Matrix,
    Product,
    Scalar,
    Scale,
    Sum,
    Trace,
    Transpose,
    expression,
    norm_squared,
    spectral,
    substitute,
)
from derivations.normal import Rule, equal
from derivations.proof import Derivation, Finding

GENERAL = "general sizes"
EXACT = "exact algebra"


class _UnderRules:
    """A check that uses rewriting rules, some of them perhaps assumed."""

    rules: tuple[Rule, ...]

    @property
    def assumptions(self) -> tuple[Rule, ...]:
        return tuple(rule for rule in self.rules if rule.assumed)


class _Unconditional:
    """A check that assumes nothing."""

    assumptions: tuple[Rule, ...] = ()


def _signed(a: Expr, relation: str, b: Expr) -> Expr:
    """What must not be negative for ``a relation b``."""
    return b - a if relation == "<=" else a - b


@dataclass(frozen=True)
class Calculus(_UnderRules):
    """Both sides have one normal form under the rules named."""

    rules: tuple[Rule, ...] = ()
    name: str = "matrix calculus"

    def __call__(self, a: Expr, relation: str, b: Expr) -> Finding:
        if relation != "=":
            return Finding(False, GENERAL, f"it proves equations, not {relation}")
        accepted = equal(a, b, self.rules)
        return Finding(accepted, GENERAL, "" if accepted else "the normal forms differ")


@dataclass(frozen=True)
class Squares(_UnderRules):
    """The difference is Σ c ‖E‖² + Σ c tr(EᵀPE), with constants c ≥ 0 and P positive semidefinite by its form.

    With ``over`` it is the sum of that over all members of a family.
    """

    squares: tuple[tuple[sympy.Expr | int, Expr], ...] = ()
    weighted: tuple[tuple[sympy.Expr | int, Expr, Expr], ...] = ()
    rules: tuple[Rule, ...] = ()
    over: str = ""
    name: str = "sum of squares"

    def __call__(self, a: Expr, relation: str, b: Expr) -> Finding:
        if relation not in ("<=", ">="):
            return Finding(False, GENERAL, f"it proves inequalities, not {relation}")
        total = expression(0)
        for c, E in self.squares:
            total = total + expression(c) * norm_squared(E)
        for c, E, P in self.weighted:
            if not positive_semidefinite(P):
                return Finding(False, GENERAL, "the form of a weight does not show that it is positive semidefinite")
            total = total + expression(c) * Trace(E.T @ P @ E)
        if not all(_nonnegative(expression(c)) for c, *_ in (*self.squares, *self.weighted)):
            return Finding(False, GENERAL, "a constant is not known to be nonnegative")
        total = Sum(self.over, total) if self.over else total
        accepted = equal(_signed(a, relation, b), total, self.rules)
        return Finding(accepted, GENERAL, "" if accepted else "the difference is not that sum of squares")


@dataclass(frozen=True)
class Drops(_UnderRules):
    """A heuristic: the two sides are said to be close, and differ by exactly what is dropped."""

    dropped: Expr
    rules: tuple[Rule, ...] = ()
    name: str = "heuristic"

    def __call__(self, a: Expr, relation: str, b: Expr) -> Finding:
        if relation != "~":
            return Finding(False, GENERAL, f"it proves nothing, so it makes no {relation}")
        accepted = equal(a, b + self.dropped, self.rules)
        return Finding(accepted, GENERAL, "" if accepted else "what is dropped is not the difference")


@dataclass(frozen=True)
class Lemma(_UnderRules):
    """The difference is ``times`` the difference of a proved statement, after a substitution.

    With ``over`` it is the sum of that over all members of a family. What is put in a matrix's place must be as the
    matrix is declared.
    """

    lemma: Derivation
    values: Mapping[Expr, Expr] = field(default_factory=dict)
    times: Expr | sympy.Expr | int = 1
    rules: tuple[Rule, ...] = ()
    over: str = ""

    @property
    def name(self) -> str:
        return self.lemma.name

    @property
    def assumptions(self) -> tuple[Rule, ...]:
        inherited = (
            Rule(substitute(rule.left, self.values), substitute(rule.right, self.values), assumed=True)
            for rule in self.lemma.assumptions
        )
        return (*super().assumptions, *inherited)

    def __call__(self, a: Expr, relation: str, b: Expr) -> Finding:
        proved = self.lemma.relation
        if proved == "~" or (proved == "=") != (relation == "="):
            return Finding(False, GENERAL, f"the lemma proves {proved}, not {relation}")
        if not _nonnegative(expression(self.times)):
            return Finding(False, GENERAL, "the multiple is not known to be nonnegative")
        if not self.lemma.proves():
            return Finding(False, GENERAL, "the lemma is not proved")
        if not all(_as_declared(A, value, self.rules) for A, value in self.values.items()):
            return Finding(False, GENERAL, "what is substituted is not known to be as the matrix is declared")
        left, right = (substitute(expanded(side), self.values) for side in (self.lemma.left, self.lemma.right))
        difference = expression(self.times) * _signed(left, proved, right)
        difference = Sum(self.over, difference) if self.over else difference
        if relation == "=":
            accepted = equal(a - b, difference, self.rules) or equal(b - a, difference, self.rules)
        else:
            accepted = equal(_signed(a, relation, b), difference, self.rules)
        return Finding(accepted, GENERAL, "" if accepted else "the step is not an instance of the lemma")


@dataclass(frozen=True)
class Taylor(_UnderRules):
    """f(X + H) ≤ f(X) + Df(X)[H] + c/2 ‖H‖², or ≥, from a bound c ‖H‖² on D²f that holds at every point."""

    f: Expr
    X: Matrix
    H: Matrix
    bound: Derivation
    c: sympy.Expr
    rules: tuple[Rule, ...] = ()

    @property
    def name(self) -> str:
        return f"Taylor, with {self.bound.name}"

    @property
    def assumptions(self) -> tuple[Rule, ...]:
        return (*super().assumptions, *self.bound.assumptions)

    def __call__(self, a: Expr, relation: str, b: Expr) -> Finding:
        slope = Differential(self.f, self.X, self.H)
        curvature = Differential(slope, self.X, self.H)
        size = norm_squared(self.H)
        if relation != self.bound.relation or not self.bound.proves():
            return Finding(False, GENERAL, "the bound on the curvature is not proved, or goes the other way")
        if self.bound.restricts(self.X):
            return Finding(False, GENERAL, "the bound on the curvature does not hold at every point")
        if not (
            equal(self.bound.left, curvature, self.rules)
            and equal(self.bound.right, expression(self.c) * size, self.rules)
        ):
            return Finding(False, GENERAL, "the bound is not one on this second derivative")
        moved = substitute(self.f, {self.X: self.X + self.H})
        accepted = equal(a, moved, self.rules) and equal(b, self.f + slope + self.c / 2 * size, self.rules)
        return Finding(accepted, GENERAL, "" if accepted else "the two sides are not Taylor's")


@dataclass(frozen=True)
class Spectrum(_UnderRules):
    """tr f(X) ≤ tr g(X), or ≥, for a symmetric X ⪰ 0, since f ≤ g on [0, ∞).

    Functions of one variable, rational but for multiples of log(1 + c x) with c > 0.
    """

    f: sympy.Lambda
    g: sympy.Lambda
    X: Expr
    rules: tuple[Rule, ...] = ()
    name: str = "spectrum"

    def __call__(self, a: Expr, relation: str, b: Expr) -> Finding:
        if not positive_semidefinite(self.X):
            return Finding(False, GENERAL, "the form of X does not show that it is positive semidefinite")
        if not (equal(a, trace_of(self.f, self.X), self.rules) and equal(b, trace_of(self.g, self.X), self.rules)):
            return Finding(False, GENERAL, "the two sides are not tr f(X) and tr g(X)")
        x = sympy.Symbol("x", nonnegative=True)
        f, g = expression(self.f(x)), expression(self.g(x))
        if relation == "=":
            return Calculus()(f, "=", g)
        found = OnInterval(x, sympy.Integer(0), sympy.oo)(f, relation, g)
        return Finding(found.accepted, GENERAL, found.reason)


@dataclass(frozen=True)
class AtSizes(_Unconditional):
    """Both sides agree at random points of a prime field, at each of the sizes."""

    sizes: tuple[Mapping[str, int], ...]
    trials: int = 3
    name: str = "identity test"

    def __call__(self, a: Expr, relation: str, b: Expr) -> Finding:
        if relation != "=":
            return Finding(False, "stated sizes", f"it proves equations, not {relation}")
        return identity.tested(a, b, self.sizes, self.trials)


@dataclass(frozen=True)
class OnInterval(_Unconditional):
    """A scalar inequality in one variable on an interval, ends included; other symbols must cancel."""

    variable: sympy.Symbol
    low: sympy.Expr
    high: sympy.Expr
    name: str = "isolation of roots"

    def __call__(self, a: Expr, relation: str, b: Expr) -> Finding:
        if not (isinstance(a, Scalar) and isinstance(b, Scalar)) or relation not in ("<=", ">="):
            return Finding(False, EXACT, "it proves inequalities between scalars")
        difference = b.value - a.value if relation == "<=" else a.value - b.value
        reason = interval.refuted(difference, self.variable, self.low, self.high)
        return Finding(reason == "", EXACT, reason)


def trace_of(f: sympy.Lambda, X: Expr) -> Expr:
    """tr f(X) for f rational but for multiples of log(1 + c x)."""
    (x,) = f.variables
    total = expression(0)
    for term in sympy.Add.make_args(sympy.expand(f.expr)):
        logs = [part for part in sympy.Mul.make_args(term) if isinstance(part, sympy.log)]
        if logs:
            c = sympy.cancel((logs[0].args[0] - 1) / x)
            total = total + expression(term / logs[0]) * LogDet(Identity(X.shape[0]) + c * X)  # type: ignore[misc]
        else:
            total = total + Trace(spectral(sympy.Lambda(x, term), X))
    return total


def _as_declared(A: Expr, value: Expr, rules: tuple[Rule, ...]) -> bool:
    if not isinstance(A, Matrix) or A.diagonal or A.mutually or (A.complete and A.index):
        return False  # no way to see it
    return (
        A.shape == value.shape
        and (not A.symmetric or equal(value, value.T, rules))
        and (not A.psd or positive_semidefinite(value))
        and (not A.orthonormal or equal(value.T @ value, Identity(A.cols), rules))
        and (not A.complete or equal(value @ value.T, Identity(A.rows), rules))
    )


def _nonnegative(c: Expr) -> bool:
    """Whether the form of a scalar shows that it is: constants, traces of positive semidefinite matrices, products."""
    match c:
        case Scalar(value=value):
            return bool(sympy.factor(value).is_nonnegative)
        case Trace(arg=arg):
            return positive_semidefinite(arg)
        case Scale(factor=left, arg=right):
            return _nonnegative(left) and _nonnegative(right)
    return False


def positive_semidefinite(P: Expr) -> bool:
    """Whether the form of ``P`` shows that it is: sums and products EᵀQE of such, and inverses of I + such."""
    match P:
        case Identity() | Matrix(psd=True):
            return True
        case Add(terms=terms):
            return all(positive_semidefinite(part) for part in terms)
        case Scale(factor=c, arg=arg):
            return _nonnegative(c) and positive_semidefinite(arg)
        case Sum(arg=arg):
            return positive_semidefinite(arg)
        case Inverse(arg=arg):
            return positive_semidefinite(arg)
        case Transpose(arg=arg):
            return positive_semidefinite(arg)
        case Product():
            constants, factors = _flat(P)
            half = len(factors) // 2
            mirrored = all(equal(factors[i], factors[-1 - i].T) for i in range(half))
            middle = len(factors) % 2 == 0 or positive_semidefinite(factors[half])
            return mirrored and middle and _nonnegative(Scalar(sympy.prod(constants)))
    return False


def _flat(P: Expr) -> tuple[list[sympy.Expr], list[Expr]]:
    """The constants and the matrix factors of a product."""
    match P:
        case Product(factors=factors):
            parts = [_flat(factor) for factor in factors]
            return [c for constants, _ in parts for c in constants], [A for _, flat in parts for A in flat]
        case Scale(factor=Scalar(value=c), arg=arg):
            constants, flat = _flat(arg)
            return [c, *constants], flat
        case Transpose(arg=arg):
            constants, flat = _flat(arg)
            return constants, [A.arg if isinstance(A, Transpose) else A.T for A in reversed(flat)]
    return [], [P]
