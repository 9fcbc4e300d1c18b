"""The value of an expression at given matrices, in exact arithmetic.

One evaluation serves several rings: rational numbers, a prime field (for identity testing), and power series to first
order, whose coefficient of t is a directional derivative that knows nothing of `derivations.calculus`. Logarithms stay
formal; the exponential of a softmax is any function at all, of which only its being its own derivative is used.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from fractions import Fraction
from math import lcm
from typing import Any

import sympy
from flint import fmpq, fmpq_series, nmod
from sympy.polys.fields import FracElement
from sympy.polys.rings import PolyElement

from derivations import expression as ex
from derivations.calculus import differential
from derivations.expression import Expr, Size

Number = Any
Rows = list[list[Number]]
PRIME = 2**61 - 1
"""The prime of the field in which identities are tested."""


POWERS = 4
"""Powers of a determinant up to which values are compared, and which the degree of an identity counts."""


class Singular(ArithmeticError):
    """A matrix that is to be inverted has no inverse at this point."""


@dataclass(frozen=True)
class Logs:
    """r + Σ c log x, for r and x in a field."""

    rational: Number
    logs: tuple[tuple[Number, Fraction], ...] = ()

    def __add__(self, other: Number) -> Logs:
        other = other if isinstance(other, Logs) else Logs(other)
        return Logs(self.rational + other.rational, self.logs + other.logs)

    __radd__ = __add__

    def times(self, c: Number) -> Logs:
        """The product with a number, which must be a fraction where there are logarithms."""
        return Logs(self.rational * c, tuple((x, e * _fraction(c)) for x, e in self.logs))

    __mul__ = __rmul__ = times

    def __neg__(self) -> Logs:
        return Logs(-self.rational, tuple((x, -c) for x, c in self.logs))

    def is_zero(self) -> bool:
        """Whether r = 0 and Π x^(m c) = 1, m the common denominator of the c."""
        m = lcm(*(c.denominator for _, c in self.logs))
        product = 1
        for x, c in self.logs:
            if isinstance(x, nmod) and abs(c * m) > POWERS:  # in a field, a false equality must be unlikely
                raise ValueError(f"a coefficient of a logarithm must be at most {POWERS} over the others, got {c * m}")
            product = product * x ** int(c * m)
        return bool(self.rational == 0 and product == 1)


def _fraction(c: Number) -> Fraction:
    if isinstance(c, fmpq):
        return Fraction(int(c.p), int(c.q))
    if isinstance(c, FracElement) and c.numer.is_ground and c.denom.is_ground:
        return _ground(c.numer) / _ground(c.denom)
    small = next((Fraction(p, q) for q in (1, 2, 4) for p in range(-16, 17) if nmod(p, PRIME) == c * q), None)
    if small is None:
        raise ValueError("a logarithm must have a numeric coefficient")
    return small


def _ground(c: PolyElement) -> Fraction:
    return Fraction(int(c.LC.numerator), int(c.LC.denominator))


def exponential(x: Number) -> Number:
    """A positive number that depends on ``x`` alone: what is known of the exponential is its derivative, elsewhere."""
    digest = hashlib.sha256(str(x).encode()).digest()
    return 1 + int.from_bytes(digest[:4], "big")


@dataclass(frozen=True)
class Ring:
    """Numbers to evaluate in."""

    name: str
    number: Callable[[Fraction], Number]
    log: Callable[[Number], Number]
    exp: Callable[[Number], Number]
    invertible: Callable[[Number], bool] = lambda x: x != 0


def _rational(q: Fraction) -> fmpq:
    return fmpq(q.numerator, q.denominator)


def jet(value: fmpq, slope: fmpq | int = 0) -> fmpq_series:
    """value + slope t + O(t²)."""
    return fmpq_series([value, slope], 1, 2)


RATIONALS = Ring(
    "rational numbers",
    _rational,
    lambda x: Logs(fmpq(0), ((x, Fraction(1)),)),
    lambda x: fmpq(exponential(x)),
)
FIELD = Ring(
    f"integers modulo {PRIME}",
    lambda q: nmod(q.numerator, PRIME) / nmod(q.denominator, PRIME),
    lambda x: Logs(nmod(0, PRIME), ((x, Fraction(1)),)),
    lambda x: nmod(exponential(x), PRIME),
)
JETS = Ring(
    "power series to first order",
    lambda q: jet(_rational(q)),
    lambda x: jet(fmpq(0), x[1] / x[0]),  # up to the constant log x(0), which has no derivative
    lambda x: exponential(x[0]) * jet(fmpq(1), x[1]),
    lambda x: x[0] != 0,
)


@dataclass(frozen=True)
class Point:
    """Sizes, matrices and scalars at which to evaluate.

    Attributes
    ----------
    sizes : Mapping[str, int]
    matrices : Mapping[tuple[str, int], list of list]
        By name and member; a matrix that belongs to no family is member 0.
    scalars : Mapping[str, number]
        By name of the SymPy symbol; sizes need not be repeated.
    """

    ring: Ring
    sizes: Mapping[str, int]
    matrices: Mapping[tuple[str, int], Rows]
    scalars: Mapping[str, Number]

    def size(self, of: Size) -> int:
        return of if isinstance(of, int) else self.sizes[of]


def evaluate(a: Expr, at: Point, members: Mapping[str, int] | None = None) -> Any:
    """The value of ``a``: a list of rows, or a number for a scalar.

    Raises
    ------
    Singular
        A matrix that is to be inverted has no inverse there.
    """
    members, ring = members or {}, at.ring

    def value(part: Expr) -> Any:
        return evaluate(part, at, members)

    match a:
        case ex.Scalar(value=c):
            return _constant(c, at)
        case ex.Matrix(name=name, index=index):
            return at.matrices[name, members[index] if index else 0]
        case ex.Identity(size=of):
            one, zero = ring.number(Fraction(1)), ring.number(Fraction(0))
            return [[one if i == j else zero for j in range(at.size(of))] for i in range(at.size(of))]
        case ex.Ones(rows=rows, cols=cols):
            return [[ring.number(Fraction(1))] * at.size(cols) for _ in range(at.size(rows))]
        case ex.Add(terms=terms):
            return _added([value(part) for part in terms])
        case ex.Scale(factor=factor, arg=arg):
            c, scaled = value(factor), value(arg)
            return [[c * x for x in row] for row in scaled] if isinstance(scaled, list) else _product(c, scaled)
        case ex.Product(factors=factors):
            result = value(factors[0])
            for part in factors[1:]:
                result = multiplied(result, value(part))
            return result
        case ex.Transpose(arg=arg):
            return [list(row) for row in zip(*value(arg), strict=True)]
        case ex.Inverse(arg=arg):
            return eliminated(value(arg), ring)[0]
        case ex.LogDet(arg=arg):
            return ring.log(eliminated(value(arg), ring)[1])
        case ex.Trace(arg=arg):
            return _total(row[i] for i, row in enumerate(value(arg)))
        case ex.Sum(index=index, arg=arg, count=count):
            return _added([evaluate(arg, at, {**members, index: i}) for i in range(at.size(count))])
        case ex.Hadamard(left=left, right=right):
            pairs = zip(value(left), value(right), strict=True)
            return [[x * y for x, y in zip(*rows, strict=True)] for rows in pairs]
        case ex.Differential(arg=arg, matrix=matrix, along=along):
            return value(differential(arg, {matrix: along}))
        case ex.Diag(arg=arg):
            column = value(arg)
            return [[x if i == j else 0 * x for j in range(len(column))] for i, (x,) in enumerate(column)]
        case ex.Diagonal(arg=arg):
            return [[row[i]] for i, row in enumerate(value(arg))]
        case ex.Softmax(arg=arg):
            exponentials = [[ring.exp(x) for x in row] for row in value(arg)]
            return [[x / _total(row) for x in row] for row in exponentials]
        case ex.Entrywise(function=function, arg=arg):
            (x,) = function.variables
            name = f"entry {x}"
            expr = function.expr.subs(x, sympy.Symbol(name))

            def applied(entry: Number) -> Number:
                return _constant(expr, Point(ring, at.sizes, at.matrices, {**at.scalars, name: entry}))

            return [[applied(entry) for entry in row] for row in value(arg)]
    raise TypeError(f"no value for {type(a).__name__}")


def _product(a: Number, b: Number) -> Number:
    if isinstance(a, Logs):
        return a.times(b)
    return b.times(a) if isinstance(b, Logs) else a * b


def _total(numbers: Iterable[Number]) -> Number:
    first, *others = numbers
    for x in others:
        first = first + x
    return first


def _added(values: list[Any]) -> Any:
    if not isinstance(values[0], list):
        return _total(values)
    return [[_total(entries) for entries in zip(*rows, strict=True)] for rows in zip(*values, strict=True)]


def multiplied(A: Rows, B: Rows) -> Rows:
    """A B."""
    columns = list(zip(*B, strict=True))
    return [[_total(x * y for x, y in zip(row, column, strict=True)) for column in columns] for row in A]


def eliminated(A: Rows, ring: Ring) -> tuple[Rows, Number]:
    """A⁻¹ and det A, by Gauss and Jordan."""
    n, one, zero = len(A), ring.number(Fraction(1)), ring.number(Fraction(0))
    rows = [list(row) + [one if i == j else zero for j in range(n)] for i, row in enumerate(A)]
    determinant = one
    for j in range(n):
        pivot = next((i for i in range(j, n) if ring.invertible(rows[i][j])), None)
        if pivot is None:
            raise Singular
        if pivot != j:
            rows[j], rows[pivot], determinant = rows[pivot], rows[j], -determinant
        determinant = determinant * rows[j][j]
        inverse = one / rows[j][j]
        rows[j] = [x * inverse for x in rows[j]]
        for i in range(n):
            if i != j:
                c = rows[i][j]
                rows[i] = [x - c * y for x, y in zip(rows[i], rows[j], strict=True)]
    return [row[n:] for row in rows], determinant


def _constant(c: sympy.Expr, at: Point) -> Number:
    """A rational SymPy expression in the ring."""
    match c:
        case sympy.Symbol(name=name):
            return at.scalars[name] if name in at.scalars else at.ring.number(Fraction(at.sizes[name]))
        case sympy.Rational(p=p, q=q):
            return at.ring.number(Fraction(p, q))
        case sympy.Add(args=args):
            return _total(_constant(part, at) for part in args)
        case sympy.Mul(args=args):
            result = at.ring.number(Fraction(1))
            for part in args:
                result = result * _constant(part, at)
            return result
        case sympy.exp(args=(power,)):
            return at.ring.exp(_constant(power, at))
        case sympy.log(args=(argument,)):
            return at.ring.log(_constant(argument, at))
        case sympy.Pow(args=(base, sympy.Integer(p=power))):
            number = _constant(base, at)
            if power < 0 and not at.ring.invertible(number):
                raise Singular
            return number**power if power >= 0 else at.ring.number(Fraction(1)) / number ** (-power)
    raise TypeError(f"a constant must be a rational expression, got {c}")
