"""Where expressions have values: an inverse, a quotient, a logarithm or a basis need not exist.

A statement is about all matrices and parameters at which both of its sides, and the equations assumed, have values. A
step holds wherever all that it mentions has one. So steps prove the statement if what they mention has a value wherever
the statement does: because its form shows it (I + such is not singular, 1 + α is not zero), or because the statement
mentions it too, and so is about nothing else. That is asked of every expression on the way, of every square and weight,
of what a rule is made of, and of every lemma as it is used; what happens inside a lemma is covered by its own proof.
Where the parts of a rule have values, its two sides have one together.

On the way log x is log |x|, for which every rule holds as well: of log det A it is enough that A is not singular.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace

import sympy

from derivations.definite import nonnegative_entries, positive_definite
from derivations.expression import (
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
    Transpose,
    children,
    free_indices,
    matrices,
)
from derivations.normal import equal


@dataclass(frozen=True)
class Need:
    """What must exist, for all members of the families that a sum runs over.

    Attributes
    ----------
    what : Expr
        An inverse; a constant that must not be zero; a function applied; a matrix that not every size allows.
    members : tuple of (str, str)
        Each free index of it, and the count of the sum that binds it, empty if none does.
    """

    what: Expr
    members: tuple[tuple[str, str], ...] = ()


def missing(mentioned: Iterable[Expr], stated: Iterable[Expr], squares: Mapping[Expr, Expr]) -> Expr | None:
    """What is mentioned and need not exist where all that is stated has values; None if there is nothing.

    A root in ``squares`` is invertible if and only if its square is.
    """
    given = {need for a in stated for need in needs(a, squares)}
    wanted = (need for a in mentioned for need in needs(a, squares))
    return next((need.what for need in wanted if not _shown(need.what) and not _among(need, given)), None)


def needs(a: Expr, squares: Mapping[Expr, Expr], bound: Mapping[str, str] | None = None) -> Iterator[Need]:
    """What must exist for ``a`` to have a value, under the sums that bind indices of it."""
    bound = bound or {}
    for what in _own(a, squares):
        yield Need(what, tuple((index, bound.get(index, "")) for index in sorted(free_indices(what))))
    inside = {**bound, a.index: a.count} if isinstance(a, Sum) else bound
    for part in children(a):
        yield from needs(part, squares, inside)


def _own(a: Expr, squares: Mapping[Expr, Expr]) -> Iterator[Expr]:
    match a:
        case Inverse(arg=arg) | LogDet(arg=arg):
            yield from map(Inverse, _regular(arg, squares))
        case Scalar(value=value):
            yield from map(Scalar, _not_zero(value))
        case Entrywise():
            yield a
        case Matrix() if a.orthonormal or a.mutually or a.complete:
            yield replace(a, index="")


def _regular(A: Expr, squares: Mapping[Expr, Expr]) -> Iterator[Expr]:
    """Matrices that are all invertible if and only if A is."""
    match A:
        case _ if A in squares:
            yield from _regular(squares[A], squares)
        case Scale(factor=Scalar(value=c), arg=arg) if c.is_nonzero:
            yield from _regular(arg, squares)
        case Scale(factor=Scale(factor=left, arg=right), arg=arg):
            for part in (left * Identity(1), right * Identity(1), arg):
                yield from _regular(part, squares)
        case Product(factors=factors) if all(part.shape == A.shape for part in factors):
            for part in factors:
                yield from _regular(part, squares)
        case Transpose(arg=arg):
            yield from _regular(arg, squares)
        case Inverse():
            pass  # which needs no more than to exist
        case _:
            yield A


def _not_zero(value: sympy.Expr) -> list[sympy.Expr]:
    """What must not be zero in a constant: denominators, and arguments of logarithms."""
    powers = (part.base for part in value.atoms(sympy.Pow) if not part.exp.is_nonnegative)
    logarithms = (part.args[0] for part in value.atoms(sympy.log))
    return [part for part in sorted({*powers, *logarithms}, key=str) if not part.is_number]


def _shown(what: Expr) -> bool:
    match what:
        case Inverse(arg=arg):
            return positive_definite(arg)
        case Scalar(value=value):
            return bool(value.is_nonzero)
        case Entrywise(function=function, arg=arg):
            entry = sympy.Dummy("entry", real=True, nonnegative=True if nonnegative_entries(arg) else None)
            return all(part.is_nonzero for part in _not_zero(function(entry)))
    return False


def _among(need: Need, given: Iterable[Need]) -> bool:
    return any(_covers(one, need) and _alike(one.what, need.what) for one in given)


def _covers(given: Need, need: Need) -> bool:
    """Whether all members needed are among those given: one of them is among all of its families."""
    counts = dict(given.members)

    def is_all(index: str) -> bool:
        return {counts.get(index)} == {A.count for A in matrices(need.what) if A.index == index}

    return all(counts.get(index) == count or (not count and is_all(index)) for index, count in need.members)


def _alike(a: Expr, b: Expr) -> bool:
    return a == b or (type(a) is type(b) and not isinstance(a, Matrix) and equal(a, b))
