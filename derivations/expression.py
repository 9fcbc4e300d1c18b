"""Matrix expressions of general sizes: the language in which derivations are written.

Sizes are names ("n", "d") or numbers. Scalars have shape ``()``; constants are SymPy expressions, so ``beta * Y`` and
``Y.T @ Y`` read as they would on paper. Nothing is simplified here: `derivations.normal` decides equality.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache, reduce
from typing import Any

import sympy

Size = str | int
Shape = tuple[Size, Size] | tuple[()]
SCALAR: Shape = ()


class Expr:
    """A matrix or a scalar."""

    shape: Shape

    def __add__(self, other: Any) -> Expr:
        return Add((self, expression(other)))

    def __radd__(self, other: Any) -> Expr:
        return Add((expression(other), self))

    def __sub__(self, other: Any) -> Expr:
        return Add((self, -expression(other)))

    def __rsub__(self, other: Any) -> Expr:
        return Add((expression(other), -self))

    def __neg__(self) -> Expr:
        return Scale(Scalar(sympy.Integer(-1)), self)

    def __mul__(self, other: Any) -> Expr:
        other = expression(other)
        return Scale(self, other) if self.shape == SCALAR else Scale(other, self)

    def __rmul__(self, other: Any) -> Expr:
        return expression(other) * self

    def __truediv__(self, other: Any) -> Expr:
        return self * (1 / sympy.sympify(other))

    def __matmul__(self, other: Expr) -> Expr:
        return Product((self, other))

    @property
    def T(self) -> Expr:
        return Transpose(self)


def expression(value: Any) -> Expr:
    """``value`` as an expression: numbers and SymPy expressions become scalars."""
    return value if isinstance(value, Expr) else Scalar(sympy.sympify(value, strict=True))


def _same(shapes: list[Shape]) -> Shape:
    if any(shape != shapes[0] for shape in shapes):
        raise ValueError(f"operands must have one shape, got {', '.join(map(str, shapes))}")
    return shapes[0]


def _square(a: Expr) -> Shape:
    if len(a.shape) != 2 or a.shape[0] != a.shape[1]:
        raise ValueError(f"operand must be a square matrix, got shape {a.shape}")
    return a.shape


@dataclass(frozen=True)
class Scalar(Expr):
    """A constant: a SymPy expression in sizes and parameters."""

    value: sympy.Expr
    shape: Shape = field(default=SCALAR, init=False)

    def __post_init__(self) -> None:
        if self.value.has(sympy.Float):
            raise ValueError(f"constants must be exact, got {self.value}")
        if not _real(self.value):
            raise ValueError(f"constants must be real, got {self.value}")


@cache
def _real(value: sympy.Expr) -> bool:
    # Rational functions are real where they are defined; so are logarithms; roots need an argument of known sign.
    if value.is_real is False or value.has(sympy.I, sympy.oo, sympy.zoo, sympy.nan):
        return False
    parts = (*value.free_symbols, *value.atoms(sympy.Function))
    if not all(part.is_real or isinstance(part, sympy.log) for part in parts):
        return False
    roots = (power for power in value.atoms(sympy.Pow) if not power.exp.is_integer and power.base != sympy.E)
    return all(power.base.is_nonnegative for power in roots)


@dataclass(frozen=True)
class Matrix(Expr):
    """A named matrix, or the member ``index`` of a family of them.

    Attributes
    ----------
    symmetric : bool
        A = Aᵀ.
    diagonal : bool
        Zero off the diagonal.
    orthonormal : bool
        AᵀA = I.
    mutually : bool
        A_jᵀA_k = 0 for two different members.
    complete : bool
        Σ_k A_kA_kᵀ = I; of a single matrix, AAᵀ = I.
    psd : bool
        Symmetric and positive semidefinite.
    count : str
        How many members its family has.
    """

    name: str
    rows: Size
    cols: Size
    index: str = ""
    symmetric: bool = False
    diagonal: bool = False
    orthonormal: bool = False
    mutually: bool = False
    complete: bool = False
    psd: bool = False
    count: str = "K"

    def __post_init__(self) -> None:
        if (self.symmetric or self.psd) and self.rows != self.cols:
            raise ValueError(f"a symmetric matrix must be square, got shape {self.shape}")

    @property
    def shape(self) -> Shape:  # type: ignore[override]
        return (self.rows, self.cols)


@dataclass(frozen=True)
class Identity(Expr):
    """I of a size."""

    size: Size

    @property
    def shape(self) -> Shape:  # type: ignore[override]
        return (self.size, self.size)


@dataclass(frozen=True)
class Ones(Expr):
    """The matrix whose entries are all 1."""

    rows: Size
    cols: Size = 1

    @property
    def shape(self) -> Shape:  # type: ignore[override]
        return (self.rows, self.cols)


@dataclass(frozen=True)
class Add(Expr):
    """A sum of expressions of one shape."""

    terms: tuple[Expr, ...]

    def __post_init__(self) -> None:
        _same([t.shape for t in self.terms])

    @property
    def shape(self) -> Shape:  # type: ignore[override]
        return self.terms[0].shape


@dataclass(frozen=True)
class Scale(Expr):
    """A scalar times an expression."""

    factor: Expr
    arg: Expr

    def __post_init__(self) -> None:
        if self.factor.shape != SCALAR:
            raise ValueError(f"one of two factors must be a scalar, got shapes {self.factor.shape}, {self.arg.shape}")

    @property
    def shape(self) -> Shape:  # type: ignore[override]
        return self.arg.shape


@dataclass(frozen=True)
class Product(Expr):
    """A product of matrices."""

    factors: tuple[Expr, ...]

    def __post_init__(self) -> None:
        for a, b in zip(self.factors, self.factors[1:], strict=False):
            if len(a.shape) != 2 or len(b.shape) != 2 or a.shape[1] != b.shape[0]:
                raise ValueError(f"the sizes of a product must match, got shapes {a.shape}, {b.shape}")

    @property
    def shape(self) -> Shape:  # type: ignore[override]
        return (self.factors[0].shape[0], self.factors[-1].shape[1])  # type: ignore[misc]


@dataclass(frozen=True)
class Transpose(Expr):
    """Aᵀ."""

    arg: Expr

    @property
    def shape(self) -> Shape:  # type: ignore[override]
        return self.arg.shape[::-1]


@dataclass(frozen=True)
class Inverse(Expr):
    """A⁻¹, of a matrix that has one."""

    arg: Expr

    def __post_init__(self) -> None:
        _square(self.arg)

    @property
    def shape(self) -> Shape:  # type: ignore[override]
        return self.arg.shape


@dataclass(frozen=True)
class Trace(Expr):
    """tr A."""

    arg: Expr
    shape: Shape = field(default=SCALAR, init=False)

    def __post_init__(self) -> None:
        _square(self.arg)


@dataclass(frozen=True)
class LogDet(Expr):
    """log det A, of a matrix with positive determinant."""

    arg: Expr
    shape: Shape = field(default=SCALAR, init=False)

    def __post_init__(self) -> None:
        _square(self.arg)


@dataclass(frozen=True)
class Sum(Expr):
    """Σ over the members ``index`` = 1, …, ``count`` of a family."""

    index: str
    arg: Expr
    count: str = "K"

    @property
    def shape(self) -> Shape:  # type: ignore[override]
        return self.arg.shape


@dataclass(frozen=True)
class Hadamard(Expr):
    """A ∘ B, entry by entry."""

    left: Expr
    right: Expr

    def __post_init__(self) -> None:
        _same([self.left.shape, self.right.shape])

    @property
    def shape(self) -> Shape:  # type: ignore[override]
        return self.left.shape


@dataclass(frozen=True)
class Diag(Expr):
    """Diag(v): the diagonal matrix of a column."""

    arg: Expr

    def __post_init__(self) -> None:
        if len(self.arg.shape) != 2 or self.arg.shape[1] != 1:
            raise ValueError(f"operand must be a column, got shape {self.arg.shape}")

    @property
    def shape(self) -> Shape:  # type: ignore[override]
        return (self.arg.shape[0], self.arg.shape[0])  # type: ignore[misc]


@dataclass(frozen=True)
class Diagonal(Expr):
    """diag(A): the diagonal of a square matrix, as a column."""

    arg: Expr

    def __post_init__(self) -> None:
        _square(self.arg)

    @property
    def shape(self) -> Shape:  # type: ignore[override]
        return (self.arg.shape[0], 1)  # type: ignore[misc]


@dataclass(frozen=True)
class Softmax(Expr):
    """The softmax of every row."""

    arg: Expr

    @property
    def shape(self) -> Shape:  # type: ignore[override]
        return self.arg.shape


@dataclass(frozen=True)
class Entrywise(Expr):
    """A function of one variable, applied to every entry."""

    function: sympy.Lambda
    arg: Expr

    def __post_init__(self) -> None:
        if not _real(self.function(sympy.Dummy("entry", real=True))):
            raise ValueError(f"a function must be real, got {self.function}")

    @property
    def shape(self) -> Shape:  # type: ignore[override]
        return self.arg.shape


@dataclass(frozen=True)
class Differential(Expr):
    """df along H: the derivative of f(X + tH) at t = 0, all else held fixed."""

    arg: Expr
    matrix: Matrix
    along: Expr

    @property
    def shape(self) -> Shape:  # type: ignore[override]
        return self.arg.shape


def inner(A: Expr, B: Expr) -> Expr:
    """⟨A, B⟩ = tr(AᵀB)."""
    return Trace(A.T @ B)


def norm_squared(A: Expr) -> Expr:
    """‖A‖² = tr(AᵀA)."""
    return inner(A, A)


_t = sympy.Symbol("t", real=True)
EXP = sympy.Lambda(_t, sympy.exp(_t))


def _number(s: Expr) -> Expr:
    """A scalar, or a matrix of one entry, as a matrix of one entry in the form that all numbers share."""
    return (Trace(s) if s.shape else s) * Identity(1)


def exp(s: Expr) -> Expr:
    """e^s of a number."""
    return Trace(Entrywise(EXP, _number(s)))


def log(s: Expr) -> Expr:
    """log s of a positive number."""
    return LogDet(_number(s))


def reciprocal(s: Expr) -> Expr:
    """1/s of a number that is not zero."""
    return Trace(Inverse(_number(s)))


def spectral(function: sympy.Lambda, A: Expr) -> Expr:
    """f(A) of a square matrix for a rational f: polynomials and an inverse."""
    numerator, denominator = sympy.fraction(sympy.together(function.expr))
    (x,) = function.variables
    above, below = (_polynomial(sympy.Poly(part, x), A) for part in (numerator, denominator))
    return above @ Inverse(below) if sympy.Poly(denominator, x).degree() else above / denominator


def _polynomial(f: sympy.Poly, A: Expr) -> Expr:
    size = _square(A)[0]  # type: ignore[misc]
    return reduce(lambda total, c: total @ A + c * Identity(size), f.all_coeffs(), 0 * Identity(size))


def children(a: Expr) -> tuple[Expr, ...]:
    """The expressions directly below ``a``."""
    match a:
        case Add(terms=parts) | Product(factors=parts):
            return parts
        case Differential(arg=arg, along=along):
            return (arg, along)
        case Scale(factor=left, arg=right) | Hadamard(left=left, right=right):
            return (left, right)
        case Scalar() | Matrix() | Identity() | Ones():
            return ()
    return (a.arg,)  # type: ignore[attr-defined]


def with_children(a: Expr, parts: tuple[Expr, ...]) -> Expr:
    """``a`` with other expressions below it."""
    match a:
        case Add():
            return Add(parts)
        case Product():
            return Product(parts)
        case Scale():
            return Scale(*parts)
        case Hadamard():
            return Hadamard(*parts)
        case Scalar() | Matrix() | Identity() | Ones():
            return a
        case Sum(index=index, count=count):
            return Sum(index, parts[0], count)
        case Entrywise(function=function):
            return Entrywise(function, parts[0])
        case Differential(matrix=matrix):
            return Differential(parts[0], matrix, parts[1])
    return type(a)(*parts)


def substitute(a: Expr, values: Mapping[Expr, Expr]) -> Expr:
    """``a`` with whole subexpressions replaced.

    Raises
    ------
    ValueError
        What is replaced under a derivative would change what is differentiated, or a value's index would be bound.
    """
    if a in values:
        return values[a]
    parts = tuple(substitute(part, values) for part in children(a))
    if isinstance(a, Differential) and parts[0] != a.arg:
        moves = a.matrix in values or any(a.matrix in matrices(value) for value in values.values())
        if moves:
            raise ValueError(f"no substitution that concerns {a.matrix.name} under a derivative in {a.matrix.name}")
    if isinstance(a, Sum) and parts[0] != a.arg:
        captured = any(a.index in free_indices(value) - free_indices(key) for key, value in values.items())
        if captured:
            raise ValueError(f"the index {a.index} of a value would be bound by the sum over {a.index}")
    return with_children(a, parts)


@cache
def free_indices(a: Expr) -> frozenset[str]:
    """The indices of families in ``a`` that no sum binds."""
    if isinstance(a, Matrix):
        return frozenset({a.index} - {""})
    found: frozenset[str] = frozenset().union(*(free_indices(part) for part in children(a)))
    return found - {a.index} if isinstance(a, Sum) else found


@cache
def matrices(a: Expr) -> frozenset[Matrix]:
    """The named matrices in ``a``."""
    if isinstance(a, Matrix):
        return frozenset({a})
    return frozenset().union(*(matrices(part) for part in children(a)))


@cache
def symbols(a: Expr) -> frozenset[sympy.Symbol]:
    """The scalar symbols in ``a``."""
    own: frozenset[sympy.Symbol] = frozenset()
    if isinstance(a, Scalar):
        own = frozenset(a.value.free_symbols)
    if isinstance(a, Entrywise):
        own = frozenset(a.function.free_symbols)
    return own.union(*(symbols(part) for part in children(a)))


@cache
def summed(a: Expr) -> frozenset[str]:
    """The indices over which ``a`` sums."""
    return frozenset(total.index for total in sums(a))


@cache
def sums(a: Expr) -> frozenset[Sum]:
    """The sums in ``a``."""
    own = frozenset({a}) if isinstance(a, Sum) else frozenset()
    return own.union(*(sums(part) for part in children(a)))
