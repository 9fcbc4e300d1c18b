"""Polynomial identity testing: two expressions at random points of a prime field.

At fixed sizes the difference of two expressions is a rational function of their entries. If it is not zero, its
numerator of degree D vanishes at a uniformly random point of the field with probability at most D/P (Schwartz and
Zippel), and at T independent points with probability at most (D/P)ᵀ. Points at which a matrix has no inverse are drawn
again; what is conditioned on then has probability at least 1 − D/P, and D counts those determinants too.

Where the matrices are small, their entries stay symbols, and the difference is zero or not as a rational function.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping
from dataclasses import replace
from fractions import Fraction
from functools import partial
from math import ceil, log2

import sympy
from flint import nmod
from sympy.polys.fields import field

from derivations import expression as ex
from derivations.calculus import differential
from derivations.exact import (
    FIELD,
    POWERS,
    PRIME,
    Logs,
    Number,
    Point,
    Ring,
    Rows,
    Singular,
    eliminated,
    evaluate,
    multiplied,
)
from derivations.expression import Expr, Matrix
from derivations.proof import Finding


def tested(a: Expr, b: Expr, sizes: tuple[Mapping[str, int], ...], trials: int) -> Finding:
    """Whether the two agree at ``trials`` points at each of the sizes."""
    worst = 0.0
    shown = _named(sizes)
    for at in sizes:
        if any(_in_two_parts(A, at) for A in ex.matrices(a) | ex.matrices(b)):
            return Finding(False, f"exact values at {shown}", "reflections are not drawn, rotations alone")
        rng = random.Random(str(sorted(at.items())))
        for _ in range(trials):
            left, right = _values(a, b, at, rng)
            if not same(left, right):
                return Finding(False, f"exact values at {shown}", f"the two sides differ at {dict(at)}")
        worst = max(worst, _false_acceptance(a - b, at) ** trials)
    bound = f"false acceptance at most 2^{ceil(log2(worst))}"
    return Finding(True, f"exact values at {shown}, {trials} points each, {bound}")


def explicit(a: Expr, b: Expr, sizes: tuple[Mapping[str, int], ...]) -> Finding:
    """Whether the two are the same rational functions of the entries of their matrices, at each of the sizes."""
    shown = _named(sizes)
    named, scalars = ex.matrices(a) | ex.matrices(b), ex.symbols(a) | ex.symbols(b)
    for at in sizes:
        if any(_in_two_parts(A, at) for A in named):
            return Finding(False, f"explicit matrices at {shown}", "reflections are not drawn, rotations alone")
        count = sum(max(at.get(str(of), of) for of in A.shape) ** 2 * at.get(A.count, 1) for A in named) + len(scalars)
        functions, *entries = field([f"x{i}" for i in range(count)], sympy.QQ)
        ring = Ring(
            "rational functions of the entries",
            lambda q, one=functions.one: one * q.numerator / q.denominator,
            lambda x: Logs(0, ((x, Fraction(1)),)),
            lambda x: _no_function("exp"),
        )
        unused = iter(entries)
        where = point(named, scalars, at, random.Random(0), ring, lambda _, unused=unused: next(unused))
        if not same(evaluate(a, where), evaluate(b, where)):
            return Finding(False, f"explicit matrices at {shown}", f"the two sides differ at {dict(at)}")
    return Finding(True, f"explicit matrices at {shown}")


def _no_function(name: str) -> Number:
    raise TypeError(f"{name} is no rational function")


def _named(sizes: tuple[Mapping[str, int], ...]) -> str:
    return "; ".join(", ".join(f"{name} = {value}" for name, value in at.items()) or "these sizes" for at in sizes)


def _in_two_parts(A: Matrix, sizes: Mapping[str, int]) -> bool:
    """Whether the columns of A, or of its family, make an orthogonal matrix: a rotation or a reflection."""
    rows, cols = (of if isinstance(of, int) else sizes[of] for of in A.shape)  # type: ignore[misc]
    together = A.index and (A.mutually or A.complete)
    return (A.orthonormal or A.complete) and rows == cols * (sizes[A.count] if together else 1)


def uniform(rng: random.Random) -> Number:
    """A number of the prime field."""
    return nmod(rng.randrange(PRIME), PRIME)


def same(left: object, right: object) -> bool:
    """Whether two values are equal, formal logarithms included."""
    if isinstance(left, list) or isinstance(right, list):
        return left == right
    return (Logs(0) + left + -(Logs(0) + right)).is_zero()


def _values(a: Expr, b: Expr, sizes: Mapping[str, int], rng: random.Random) -> tuple[object, object]:
    for _ in range(20):
        try:
            at = point(ex.matrices(a) | ex.matrices(b), ex.symbols(a) | ex.symbols(b), sizes, rng)
            return evaluate(a, at), evaluate(b, at)
        except Singular:
            continue
    raise Singular


def point(
    matrices: frozenset[Matrix],
    symbols: frozenset[sympy.Symbol],
    sizes: Mapping[str, int],
    rng: random.Random,
    ring: Ring = FIELD,
    draw: Callable[[random.Random], Number] = uniform,
) -> Point:
    """A random point at which every matrix is as its declaration says, of the prime field or of another ring."""

    families = {replace(A, index="") for A in matrices}
    if len({A.name for A in families}) < len(families) or len({str(s) for s in symbols}) < len(symbols):
        raise ValueError("matrices, and symbols, of one name must be the same")
    values: dict[tuple[str, int], Rows] = {}
    for A in sorted(matrices, key=repr):
        rows, cols = (of if isinstance(of, int) else sizes[of] for of in A.shape)  # type: ignore[misc]
        count = sizes[A.count] if A.index else 1
        if (A.name, 0) in values:
            continue
        for k, member in enumerate(_members(A, rows, cols, count, partial(draw, rng), ring)):
            values[A.name, k] = member
    scalars = {str(s): draw(rng) for s in sorted(symbols, key=str) if str(s) not in sizes}
    return Point(ring, sizes, values, scalars)


def _members(A: Matrix, rows: int, cols: int, count: int, draw: Callable[[], Number], ring: Ring) -> list[Rows]:
    def any_matrix(m: int, n: int) -> Rows:
        return [[draw() for _ in range(n)] for _ in range(m)]

    def orthogonal(n: int) -> Rows:
        return _orthogonal(any_matrix(n, n), ring)

    if A.orthonormal:
        if A.complete and count * cols != rows:
            raise ValueError(f"a complete orthonormal family needs K p = d, got {count} * {cols} and {rows}")
        shared = orthogonal(rows)
        if A.mutually or A.complete:
            return [[row[k * cols : (k + 1) * cols] for row in shared] for k in range(count)]
        return [[row[:cols] for row in orthogonal(rows)] for _ in range(count)]
    if A.complete:  # the first rows of an orthogonal matrix: Σ_k A_kA_kᵀ = I
        if count * cols < rows:
            raise ValueError(f"a complete family needs as many columns as rows, got {count} * {cols} and {rows}")
        shared = orthogonal(count * cols)[:rows]
        return [[row[k * cols : (k + 1) * cols] for row in shared] for k in range(count)]
    made = []
    for _ in range(count):
        M = any_matrix(rows, cols)
        if A.diagonal:
            M = [[x ** (1 + A.psd) if i == j else 0 * x for j, x in enumerate(row)] for i, row in enumerate(M)]
        elif A.psd:
            M = multiplied(M, [list(row) for row in zip(*M, strict=True)])
        elif A.symmetric:
            M = [[M[min(i, j)][max(i, j)] for j in range(cols)] for i in range(rows)]
        made.append(M)
    return made


def _orthogonal(M: Rows, ring: Ring) -> Rows:
    # Cayley: (I − A)(I + A)⁻¹ of a skew A.
    n = len(M)
    one, zero = ring.number(Fraction(1)), ring.number(Fraction(0))
    A = [[zero if i == j else M[i][j] if i < j else -M[j][i] for j in range(n)] for i in range(n)]
    plus = [[A[i][j] + (one if i == j else zero) for j in range(n)] for i in range(n)]
    minus = [[(one if i == j else zero) - A[i][j] for j in range(n)] for i in range(n)]
    return multiplied(minus, eliminated(plus, ring)[0])


def _false_acceptance(a: Expr, sizes: Mapping[str, int]) -> float:
    top, bottom = degree(a, sizes)
    return min(1.0, (top + bottom) / PRIME)


def degree(a: Expr, sizes: Mapping[str, int]) -> tuple[int, int]:
    """Degrees of numerators and of a common denominator of the entries of ``a`` in those of its matrices.

    Of a logarithm, those of the powers of its argument up to `derivations.exact.POWERS`.
    """

    def size(of: ex.Size) -> int:
        return of if isinstance(of, int) else sizes[of]

    def of(part: Expr) -> tuple[int, int]:
        return degree(part, sizes)

    def times(*parts: tuple[int, int]) -> tuple[int, int]:
        return sum(p[0] for p in parts), sum(p[1] for p in parts)

    def plus(*parts: tuple[int, int]) -> tuple[int, int]:
        bottom = sum(p[1] for p in parts)
        return max(p[0] + bottom - p[1] for p in parts), bottom

    match a:
        case ex.Scalar(value=c):
            above, below = sympy.fraction(sympy.together(c))
            return _total_degree(above), _total_degree(below)
        case Matrix(orthonormal=True):
            return size(a.rows), size(a.rows)
        case Matrix(complete=True):
            drawn = size(a.cols) * (sizes[a.count] if a.index else 1)
            return drawn, drawn
        case Matrix(psd=True):
            return 2, 0
        case Matrix():
            return 1, 0
        case ex.Identity() | ex.Ones():
            return 0, 0
        case ex.Add(terms=terms):
            return plus(*map(of, terms))
        case ex.Scale(factor=left, arg=right) | ex.Hadamard(left=left, right=right):
            return times(of(left), of(right))
        case ex.Product(factors=factors):
            return times(*map(of, factors))
        case ex.Inverse(arg=arg):
            top, bottom = of(arg)
            n = size(arg.shape[0])  # type: ignore[misc]
            return (n - 1) * top + bottom, n * top
        case ex.LogDet(arg=arg):
            top, bottom = of(arg)
            n = size(arg.shape[0])  # type: ignore[misc]
            return POWERS * n * max(top, bottom), POWERS * n * bottom
        case ex.Sum(arg=arg, count=count):
            return plus(*[of(arg)] * size(count))
        case ex.Trace(arg=arg) | ex.Transpose(arg=arg) | ex.Diag(arg=arg) | ex.Diagonal(arg=arg):
            return of(arg)
        case ex.Differential(arg=arg, matrix=matrix, along=along):
            return of(differential(arg, {matrix: along}))
    raise TypeError(f"no degree for {type(a).__name__}")


def _total_degree(c: sympy.Expr) -> int:
    symbols = sorted(c.free_symbols, key=str)
    return sympy.Poly(c, *symbols).total_degree() if symbols else 0
