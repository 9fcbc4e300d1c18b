"""Differentials and gradients of matrix expressions, for general sizes.

The two are independent of each other: `differential` goes forwards, by the product rule and
d(A⁻¹) = −A⁻¹ dA A⁻¹, d log det A = tr(A⁻¹ dA); `gradient` goes backwards, by their adjoints. That ⟨gradient, H⟩ is the
differential along H is a test, not a definition.
"""

from __future__ import annotations

from collections.abc import Iterator

import sympy

from derivations import expression as ex
from derivations.expression import (
    SCALAR,
    Add,
    Diag,
    Diagonal,
    Entrywise,
    Expr,
    Hadamard,
    Identity,
    Inverse,
    Matrix,
    Ones,
    Product,
    Scale,
    Softmax,
    Sum,
    Trace,
    inner,
)


def differential(a: Expr, changes: dict[Matrix, Expr]) -> Expr:
    """da when each matrix X of ``changes`` moves by dX; everything else is held fixed.

    Raises
    ------
    ValueError
        X is one of a family that ``a`` names by another index too, or dX has an index that ``a`` sums over.
    """
    for X, dX in changes.items():
        _require_indices(a, X, dX)
    terms = tuple(_forward(a, changes))
    return Add(terms) if len(terms) > 1 else terms[0] if terms else 0 * a


def gradient(f: Expr, X: Matrix) -> Expr:
    """∇f, the matrix of X's shape with df = ⟨∇f, dX⟩, of a scalar f."""
    if f.shape != SCALAR:
        raise ValueError(f"f must be a scalar, got shape {f.shape}")
    _require_indices(f, X, X)
    terms = tuple(_backward(f, ex.expression(1), X))
    return Add(terms) if len(terms) > 1 else terms[0] if terms else 0 * X


def _require_indices(a: Expr, X: Matrix, dX: Expr) -> None:
    family = {A.index for A in ex.matrices(a) if A.name == X.name} | {X.index}
    if len(family) > 1 or ex.summed(a) & (ex.free_indices(dX) | {X.index}):
        raise ValueError(f"no derivative in {X.name}: its index, or that of its change, is another's too")


def expanded(a: Expr) -> Expr:
    """``a`` with every differential carried out."""
    if isinstance(a, ex.Differential):
        return expanded(differential(a.arg, {a.matrix: a.along}))
    return ex.with_children(a, tuple(expanded(part) for part in ex.children(a)))


def _forward(a: Expr, changes: dict[Matrix, Expr]) -> Iterator[Expr]:
    """The terms of da."""
    match a:
        case Matrix():
            if a in changes:
                yield changes[a]
        case ex.Add(terms=terms):
            for part in terms:
                yield from _forward(part, changes)
        case Scale(factor=factor, arg=arg):
            yield from (d * arg for d in _forward(factor, changes))
            yield from (factor * d for d in _forward(arg, changes))
        case Product(factors=factors):
            for i, part in enumerate(factors):
                yield from (Product((*factors[:i], d, *factors[i + 1 :])) for d in _forward(part, changes))
        case Inverse(arg=arg):
            yield from (-(a @ d @ a) for d in _forward(arg, changes))
        case ex.LogDet(arg=arg):
            yield from (Trace(Inverse(arg) @ d) for d in _forward(arg, changes))
        case Hadamard(left=left, right=right):
            yield from (Hadamard(d, right) for d in _forward(left, changes))
            yield from (Hadamard(left, d) for d in _forward(right, changes))
        case Softmax(arg=arg):
            for d in _forward(arg, changes):
                moved = Hadamard(a, d)
                yield moved - Diag(moved @ Ones(a.shape[1])) @ a  # type: ignore[misc]
        case Entrywise(function=function, arg=arg):
            yield from (Hadamard(Entrywise(_derivative(function), arg), d) for d in _forward(arg, changes))
        case ex.Differential(arg=arg, matrix=matrix, along=along):
            yield from _forward(differential(arg, {matrix: along}), changes)
        case ex.Transpose() | Trace() | Sum() | Diag() | Diagonal():  # linear
            yield from (ex.with_children(a, (d,)) for d in _forward(a.arg, changes))


def _backward(a: Expr, g: Expr, X: Matrix) -> Iterator[Expr]:
    """The terms of ∇⟨g, a⟩ with respect to X, g held fixed."""
    if X not in ex.matrices(a):
        return
    match a:
        case Matrix():
            yield g
        case ex.Add(terms=terms):
            for part in terms:
                yield from _backward(part, g, X)
        case Scale(factor=factor, arg=arg):
            yield from _backward(factor, g * arg if arg.shape == SCALAR else inner(g, arg), X)
            yield from _backward(arg, factor * g, X)
        case Product(factors=factors):
            for i, part in enumerate(factors):
                before, after = factors[:i], factors[i + 1 :]
                pulled = Product(before).T @ g if before else g
                yield from _backward(part, pulled @ Product(after).T if after else pulled, X)
        case Inverse(arg=arg):
            yield from _backward(arg, -(a.T @ g @ a.T), X)
        case Trace(arg=arg):
            yield from _backward(arg, g * Identity(arg.shape[0]), X)  # type: ignore[misc]
        case ex.LogDet(arg=arg):
            yield from _backward(arg, g * Inverse(arg).T, X)
        case ex.Transpose(arg=arg):
            yield from _backward(arg, g.T, X)
        case Sum(index=index, arg=arg, count=count):
            yield from (Sum(index, part, count) for part in _backward(arg, g, X))
        case Hadamard(left=left, right=right):
            yield from _backward(left, Hadamard(g, right), X)
            yield from _backward(right, Hadamard(g, left), X)
        case Diag(arg=arg):
            yield from _backward(arg, Diagonal(g), X)
        case Diagonal(arg=arg):
            yield from _backward(arg, Diag(g), X)
        case Softmax(arg=arg):
            pulled = Hadamard(a, g)
            yield from _backward(arg, pulled - Diag(pulled @ Ones(a.shape[1])) @ a, X)  # type: ignore[misc]
        case Entrywise(function=function, arg=arg):
            yield from _backward(arg, Hadamard(Entrywise(_derivative(function), arg), g), X)
        case ex.Differential(arg=arg, matrix=matrix, along=along):
            yield from _backward(differential(arg, {matrix: along}), g, X)


def _derivative(function: sympy.Lambda) -> sympy.Lambda:
    (x,) = function.variables
    if not all(isinstance(part, sympy.exp | sympy.log) for part in function.expr.atoms(sympy.Function)):
        raise ValueError(f"a function must be made of exp and log to have a derivative everywhere, got {function}")
    return sympy.Lambda(x, sympy.diff(function.expr, x))
