"""Signs that the form of an expression shows: nonnegative scalars, semidefinite and definite matrices."""

from __future__ import annotations

import sympy

from derivations.expression import (
    EXP,
    Add,
    Diag,
    Diagonal,
    Differential,
    Entrywise,
    Expr,
    Hadamard,
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
            return nonnegative_entries(arg)
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
            return positive_definite(arg) and smooth(arg)
        case Entrywise() | Differential():
            return False  # not needed so far
    return all(map(smooth, children(f)))


def positive_definite(P: Expr) -> bool:
    """Whether the form of ``P`` shows that it is: I + such, and rotated blocks of such."""
    match P:
        case Identity():
            return True
        case Add(terms=terms):
            return positive_semidefinite(P) and any(map(positive_definite, terms))
        case Scale(factor=c, arg=arg):
            return _positive(c) and positive_definite(arg)
        case Sum(index=k, arg=Product(factors=(Product(factors=(Matrix(complete=True) as U, A)), V)), count=count):
            return U.index in ("", k) and U.count == count and equal(V, U.T) and positive_definite(A)
        case Sum(arg=arg) | Inverse(arg=arg):
            return positive_definite(arg)
    return False


def _positive(c: Expr) -> bool:
    match c:
        case Scalar(value=value):
            return bool(value.is_positive)
        case Trace(arg=Entrywise(function=function, arg=arg)):
            return function == EXP and arg.shape == (1, 1)
        case Scale(factor=left, arg=right):
            return _positive(left) and _positive(right)
        case Sum(arg=arg):
            return _positive(arg)
    return False


def nonnegative_entries(A: Expr) -> bool:
    """Whether the form of a matrix shows that no entry is negative."""
    match A:
        case Matrix(psd=True, rows=1):
            return True
        case Hadamard(left=left, right=right):
            return equal(left, right)
        case Diagonal(arg=arg):
            return positive_semidefinite(arg)
        case Entrywise(function=function, arg=arg):
            at = Scalar(function(sympy.Dummy(nonnegative=True)))
            return nonnegative_entries(arg) and nonnegative(at)
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
