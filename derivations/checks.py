"""The rules by which a step of a derivation may be taken.

=============  ======================================================================================================
`Calculus`     general sizes: both sides have one normal form under the rewriting rules named
`Squares`      general sizes: the difference is a sum of squares and of traces tr(EᵀPE) with P positive semidefinite
`Drops`        general sizes: a heuristic move, and the difference is what it is said to drop
`Lemma`        general sizes: the difference is a positive multiple of the difference that another derivation proves
`Taylor`       general sizes: f(X + H) ≤ f(X) + Df(X)[H] + c ‖H‖²/2 from D²f(X)[H, H] ≤ c ‖H‖², proved elsewhere
`Ray`          general sizes: f(sX) ≤ f(tX) for 0 ≤ s ≤ t from Df(X)[X] ≥ 0 at every X, proved elsewhere
`Spectrum`     general sizes: tr f(X) ≤ tr g(X) for X ⪰ 0, from f ≤ g on [0, ∞)
`AtSizes`      stated sizes: values in a prime field at random points, with the probability of a false acceptance
`Explicit`     stated sizes: one rational function of the entries, which stay symbols
`OnInterval`   one variable: the sign of a difference on an interval, by isolation of roots
=============  ======================================================================================================
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import sympy

from derivations import identity, interval
from derivations.calculus import expanded
from derivations.definite import nonnegative, positive_semidefinite, real, smooth
from derivations.expression import (
    Differential,
    Expr,
    Identity,
    LogDet,
    Matrix,
    Scalar,
    Sum,
    Trace,
    expression,
    matrices,
    norm_squared,
    spectral,
    substitute,
)
from derivations.normal import Rule, equal
from derivations.proof import Derivation, Finding, Range

GENERAL = "general sizes"
EXACT = "exact algebra"


class _UnderRules:
    """A check that uses rewriting rules, some of them perhaps assumed."""

    rules: tuple[Rule, ...]
    ranges: tuple[Range, ...] = ()

    @property
    def assumptions(self) -> tuple[Rule, ...]:
        return tuple(rule for rule in self.rules if rule.assumed)

    @property
    def mentions(self) -> tuple[Expr, ...]:
        named = (A for rule in self.rules for A in matrices(rule.left) | matrices(rule.right))
        return (*(part for rule in self.rules for part in rule.of), *sorted(named, key=repr))


class _Unconditional:
    """A check that rewrites and assumes nothing."""

    rules: tuple[Rule, ...] = ()
    assumptions: tuple[Rule, ...] = ()
    ranges: tuple[Range, ...] = ()
    mentions: tuple[Expr, ...] = ()


def _for_all_sizes(derivation: Derivation) -> bool:
    return derivation.proves() and set(derivation.reach) <= {GENERAL, EXACT}


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

    @property
    def mentions(self) -> tuple[Expr, ...]:
        parts = (part for c, *given in (*self.squares, *self.weighted) for part in (expression(c), *given))
        return (*super().mentions, *parts)

    def __call__(self, a: Expr, relation: str, b: Expr) -> Finding:
        if relation not in ("<=", ">="):
            return Finding(False, GENERAL, f"it proves inequalities, not {relation}")
        if not all(real(E) for _, E, *_ in (*self.squares, *self.weighted)):
            return Finding(False, GENERAL, "a logarithm in a square is not known to be real")
        total = expression(0)
        for c, E in self.squares:
            total = total + expression(c) * norm_squared(E)
        for c, E, P in self.weighted:
            if not positive_semidefinite(P):
                return Finding(False, GENERAL, "the form of a weight does not show that it is positive semidefinite")
            total = total + expression(c) * Trace(E.T @ P @ E)
        if not all(nonnegative(expression(c)) for c, *_ in (*self.squares, *self.weighted)):
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

    @property
    def mentions(self) -> tuple[Expr, ...]:
        return (*super().mentions, self.dropped)

    def __call__(self, a: Expr, relation: str, b: Expr) -> Finding:
        if relation != "~":
            return Finding(False, GENERAL, f"it proves nothing, so it makes no {relation}")
        accepted = equal(a, b + self.dropped, self.rules)
        return Finding(accepted, GENERAL, "" if accepted else "what is dropped is not the difference")


@dataclass(frozen=True)
class Lemma(_UnderRules):
    """The difference is ``times`` the difference of a proved statement, after a substitution.

    With ``over`` it is the sum of that over all members of a family, of which there are ``count``. What is put in a
    matrix's place must be as the matrix is declared.
    """

    lemma: Derivation
    values: Mapping[Expr, Expr] = field(default_factory=dict)
    times: Expr | sympy.Expr | int = 1
    rules: tuple[Rule, ...] = ()
    over: str = ""
    count: str = "K"

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

    @property
    def ranges(self) -> tuple[Range, ...]:
        return self.lemma.ranges

    @property
    def mentions(self) -> tuple[Expr, ...]:
        return (*super().mentions, expression(self.times), *self.values.values(), *self._sides())

    def _sides(self) -> tuple[Expr, Expr]:
        """The lemma's statement with the values in it."""
        left, right = (substitute(expanded(side), self.values) for side in (self.lemma.left, self.lemma.right))
        return left, right

    def __call__(self, a: Expr, relation: str, b: Expr) -> Finding:
        proved = self.lemma.relation
        if proved == "~" or (proved == "=") != (relation == "="):
            return Finding(False, GENERAL, f"the lemma proves {proved}, not {relation}")
        if not nonnegative(expression(self.times)):
            return Finding(False, GENERAL, "the multiple is not known to be nonnegative")
        if not _for_all_sizes(self.lemma):
            return Finding(False, GENERAL, "the lemma is not proved for all sizes")
        if any(A.index and self._named_otherwise(A) for A in self.values if isinstance(A, Matrix)):
            return Finding(False, GENERAL, "a family of the lemma has two indices, and one alone is substituted")
        if not all(as_declared(A, value, self.rules) for A, value in self.values.items()):
            return Finding(False, GENERAL, "what is substituted is not known to be as the matrix is declared")
        left, right = self._sides()
        difference = expression(self.times) * _signed(left, proved, right)
        difference = Sum(self.over, difference, self.count) if self.over else difference
        if relation == "=":
            accepted = equal(a - b, difference, self.rules) or equal(b - a, difference, self.rules)
        else:
            accepted = equal(_signed(a, relation, b), difference, self.rules)
        return Finding(accepted, GENERAL, "" if accepted else "the step is not an instance of the lemma")

    def _named_otherwise(self, A: Matrix) -> bool:
        named = matrices(self.lemma.left) | matrices(self.lemma.right)
        return any(B.name == A.name and B.index != A.index and B not in self.values for B in named)


@dataclass(frozen=True)
class Taylor(_UnderRules):
    """f(X + H) ≤ f(X) + Df(X)[H] + c/2 ‖H‖², or ≥, from a bound c ‖E‖² on D²f(X)[E, E] that holds at every point.

    The matrix E is that of the bound, and nothing is assumed of it. All between X and X + H must be as X is declared: X
    is declared nothing, or positive semidefinite with X + H declared so as well. What f inverts, or takes the
    determinant of, must be positive definite there by its form, so that f is smooth on the way.
    """

    f: Expr
    X: Matrix
    H: Expr
    bound: Derivation
    c: sympy.Expr
    rules: tuple[Rule, ...] = ()

    @property
    def name(self) -> str:
        return f"Taylor, with {self.bound.name}"

    @property
    def assumptions(self) -> tuple[Rule, ...]:
        return (*super().assumptions, *self.bound.assumptions)

    @property
    def ranges(self) -> tuple[Range, ...]:
        return self.bound.ranges

    @property
    def mentions(self) -> tuple[Expr, ...]:
        bound = map(expanded, (self.bound.left, self.bound.right))
        return (*super().mentions, self.f, self.H, self._moved(), expression(self.c), *bound)

    def _moved(self) -> Expr:
        return substitute(self.f, {self.X: self.X + self.H})

    def __call__(self, a: Expr, relation: str, b: Expr) -> Finding:
        if relation != self.bound.relation or not _for_all_sizes(self.bound):
            return Finding(False, GENERAL, "the bound on the curvature is not proved, or goes the other way")
        if self.bound.restricts(self.X) or not self._stays():
            return Finding(False, GENERAL, "the bound on the curvature does not hold at every point of the way")
        if not self._smooth(self.f):
            return Finding(False, GENERAL, "the form of f does not show that it is smooth on the way")
        if not all(self._smooth(expanded(side)) for side in (self.bound.left, self.bound.right)):
            return Finding(False, GENERAL, "the form of the bound does not show that it has a value on the way")
        if not any(self._bounds(E) for E in matrices(self.bound.left) - {self.X}):
            return Finding(False, GENERAL, "the bound is not one on this second derivative")
        tangent = self.f + Differential(self.f, self.X, self.H)
        quadratic = tangent + self.c / 2 * norm_squared(self.H)
        accepted = equal(a, self._moved(), self.rules) and equal(b, quadratic, self.rules)
        return Finding(accepted, GENERAL, "" if accepted else "the two sides are not Taylor's")

    def _bounds(self, E: Matrix) -> bool:
        """Whether the bound is one on D²f(X)[E, E], for every E such as H."""
        if E.shape != self.X.shape or not as_declared(E, self.H, ()) or self.bound.restricts(E):
            return False
        curvature = Differential(Differential(self.f, self.X, E), self.X, E)
        return equal(self.bound.left, curvature, self.rules) and equal(
            self.bound.right, expression(self.c) * norm_squared(E), self.rules
        )

    def _smooth(self, f: Expr) -> bool:
        """Of a semidefinite X, what f takes an inverse or a determinant of is definite where X is, and on the way."""
        definite = substitute(f, {self.X: Identity(self.X.rows) + self.X}) if self.X.psd else f
        return smooth(f) or smooth(definite)

    def _stays(self) -> bool:
        """Whether the way from X to X + H is among the matrices that X stands for."""
        if self.X.index or self.X.diagonal or self.X.orthonormal or self.X.complete or self.X.mutually:
            return False
        if self.X.psd:
            return any(B.psd and equal(self.X + self.H, B) for B in matrices(self.H))
        return not self.X.symmetric or equal(self.H, self.H.T)


@dataclass(frozen=True)
class Ray(_UnderRules):
    """The difference is f(high X) − f(low X), 0 ≤ low ≤ high, and Df(X)[X] ≥ 0 at every point.

    The slope of f(tX) in t is Df(tX)[tX]/t. What f inverts, or takes the determinant of, must be positive definite by
    its form, so that f is smooth on the way, zero included.
    """

    f: Expr
    X: Matrix
    slope: Derivation
    low: sympy.Expr | int = 0
    high: sympy.Expr | int = 1
    rules: tuple[Rule, ...] = ()

    @property
    def name(self) -> str:
        return f"along a ray, with {self.slope.name}"

    @property
    def assumptions(self) -> tuple[Rule, ...]:
        return (*super().assumptions, *self.slope.assumptions)

    @property
    def ranges(self) -> tuple[Range, ...]:
        return self.slope.ranges

    @property
    def mentions(self) -> tuple[Expr, ...]:
        slope = map(expanded, (self.slope.left, self.slope.right))
        return (*super().mentions, self.f, expression(self.low), expression(self.high), *slope)

    def __call__(self, a: Expr, relation: str, b: Expr) -> Finding:
        if relation != "<=" or self.slope.relation != ">=" or not _for_all_sizes(self.slope):
            return Finding(False, GENERAL, "the slope is not proved, or goes the other way")
        if self.X.index or self.X.orthonormal or self.X.complete or self.slope.restricts(self.X):
            return Finding(False, GENERAL, "the slope is not known at every point of the ray")
        if not smooth(self.f):
            return Finding(False, GENERAL, "the form of f does not show that it is smooth on the ray")
        if not all(smooth(expanded(side)) for side in (self.slope.left, self.slope.right)):
            return Finding(False, GENERAL, "the form of the slope does not show that it has a value on the ray")
        if not (nonnegative(expression(self.low)) and nonnegative(expression(sympy.sympify(self.high) - self.low))):
            return Finding(False, GENERAL, "the ends are not known to be in order, none negative")
        along = Differential(self.f, self.X, self.X)
        if not (equal(self.slope.left, along, self.rules) and equal(self.slope.right, expression(0), self.rules)):
            return Finding(False, GENERAL, "what is proved is not that the slope along X is not negative")
        low, high = (substitute(self.f, {self.X: expression(t) * self.X}) for t in (self.low, self.high))
        accepted = equal(b - a, high - low, self.rules)
        return Finding(accepted, GENERAL, "" if accepted else "the difference is not what f grows by")


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

    @property
    def mentions(self) -> tuple[Expr, ...]:
        return (*super().mentions, trace_of(self.f, self.X), trace_of(self.g, self.X))

    def __call__(self, a: Expr, relation: str, b: Expr) -> Finding:
        if not positive_semidefinite(self.X):
            return Finding(False, GENERAL, "the form of X does not show that it is positive semidefinite")
        try:
            sides = trace_of(self.f, self.X), trace_of(self.g, self.X)
        except ValueError as error:
            return Finding(False, GENERAL, str(error))
        if not (equal(a, sides[0], self.rules) and equal(b, sides[1], self.rules)):
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
class Explicit(_Unconditional):
    """Both sides are one rational function of the entries of small matrices, at each of the sizes."""

    sizes: tuple[Mapping[str, int], ...]
    name: str = "simplification"

    def __call__(self, a: Expr, relation: str, b: Expr) -> Finding:
        if relation != "=":
            return Finding(False, "stated sizes", f"it proves equations, not {relation}")
        return identity.explicit(a, b, self.sizes)


@dataclass(frozen=True)
class OnInterval(_Unconditional):
    """A scalar inequality in one variable on an interval, ends included; other symbols must cancel."""

    variable: sympy.Symbol
    low: sympy.Expr
    high: sympy.Expr
    name: str = "isolation of roots"

    @property
    def ranges(self) -> tuple[Range, ...]:
        """The interval, where the variable is not declared to be in it."""
        x = self.variable
        above = self.low == -sympy.oo or (x - self.low).is_nonnegative
        below = self.high == sympy.oo or (self.high - x).is_nonnegative
        return () if above and below else (Range(x, self.low, self.high),)

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
            if len(logs) > 1 or c.has(x) or not c.is_positive or (term / logs[0]).has(x):
                raise ValueError(f"a term must be rational, or a constant times log(1 + c {x}) with c > 0, got {term}")
            total = total + expression(term / logs[0]) * LogDet(Identity(X.shape[0]) + c * X)  # type: ignore[misc]
        else:
            total = total + Trace(spectral(sympy.Lambda(x, term), X))
    return total


def as_declared(A: Expr, value: Expr, rules: tuple[Rule, ...]) -> bool:
    """Whether ``value`` is known to be all that the matrix ``A`` is declared to be."""
    if not isinstance(A, Matrix) or A.diagonal or A.mutually or (A.complete and A.index):
        return False  # no way to see it
    return (
        A.shape == value.shape
        and (not A.symmetric or equal(value, value.T, rules))
        and (not A.psd or positive_semidefinite(value))
        and (not A.orthonormal or equal(value.T @ value, Identity(A.cols), rules))
        and (not A.complete or equal(value @ value.T, Identity(A.rows), rules))
    )
