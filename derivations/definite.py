"""Signs that the form of an expression shows: nonnegative scalars, positive semidefinite matrices."""

from __future__ import annotations

import sympy

from derivations.expression import (
    Add,
    Diag,
    Diagonal,
    Differential,
    Entrywise,
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
    children,
)
from derivations.normal import equal


def real(a: Expr) -> bool:
    """Whether every logarithm in the constants of ``a`` is one of a positive number."""
    if isinstance(a, Scalar):
        return all(part.args[0].is_positive for part in a.value.atoms(sympy.log))
    return all(real(part) for part in children(a))


def nonnegative(c: Expr) -> bool:
    """Whether the form of a scalar shows that it is: constants, traces of positive semidefinite matrices, products."""
    match c:
        case Scalar(value=value):
            return bool(sympy.factor(value).is_nonnegative)
        case Trace(arg=arg):
            return positive_semidefinite(arg)
        case Scale(factor=left, arg=right):
            return nonnegative(left) and nonnegative(right)
    return False


def positive_semidefinite(P: Expr) -> bool:
    """Whether the form of ``P`` shows that it is: sums and products EᵀQE of such, and inverses of I + such."""
    match P:
        case Identity() | Matrix(psd=True):
            return True
        case Add(terms=terms):
            return all(positive_semidefinite(part) for part in terms)
        case Scale(factor=c, arg=arg):
            return nonnegative(c) and positive_semidefinite(arg)
        case Sum(arg=arg):
            return positive_semidefinite(arg)
        case Inverse(arg=arg):
            return positive_semidefinite(arg)
        case Transpose(arg=arg):
            return positive_semidefinite(arg)
        case Diag(arg=arg):
            return _nonnegative_column(arg)
        case Product():
            constants, factors = _flat(P)
            half = len(factors) // 2
            mirrored = all(equal(factors[i], factors[-1 - i].T) for i in range(half))
            middle = len(factors) % 2 == 0 or positive_semidefinite(factors[half])
            return mirrored and middle and nonnegative(Scalar(sympy.Mul(*constants)))
    return False


def smooth(f: Expr) -> bool:
    """Whether the form of ``f`` shows that it is smooth in its matrices: all that it inverts is I + such."""
    match f:
        case Inverse(arg=arg) | LogDet(arg=arg):
            return _positive_definite(arg) and smooth(arg)
        case Entrywise() | Differential():
            return False  # not needed so far
    return all(map(smooth, children(f)))


def _positive_definite(P: Expr) -> bool:
    match P:
        case Identity():
            return True
        case Add(terms=terms):
            return positive_semidefinite(P) and any(map(_positive_definite, terms))
        case Scale(factor=Scalar(value=c), arg=arg):
            return bool(c.is_positive) and _positive_definite(arg)
    return False


def _nonnegative_column(v: Expr) -> bool:
    """Whether the form of a column shows that no entry is negative."""
    match v:
        case Diagonal(arg=arg):
            return positive_semidefinite(arg)
        case Entrywise(function=function, arg=arg):
            at = Scalar(function(sympy.Dummy(nonnegative=True)))
            return _nonnegative_column(arg) and nonnegative(at)
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
