"""What a derivation says of given arrays: the value of an expression, in exact arithmetic.

The entries of arrays are floats, so they are rational numbers, and so is every expression without logarithm: nothing is
rounded. Whether the arrays meet the hypotheses of a derivation is for the caller to see to.
"""

from __future__ import annotations

from collections.abc import Mapping
from fractions import Fraction
from typing import Any

from flint import arb, ctx, fmpq

from derivations.exact import RATIONALS, Logs, Point, Rows, evaluate
from derivations.expression import Entrywise, Expr, Size, Softmax, children, matrices

Value = Rows | fmpq | Logs


def value(
    a: Expr,
    arrays: Mapping[str, Any],
    scalars: Mapping[str, Any] | None = None,
    sizes: Mapping[str, int] | None = None,
) -> Value:
    """The value of ``a``.

    Parameters
    ----------
    a : Expr
        For instance a side of a derivation; without softmax and functions of entries, whose values are not rational.
    arrays : Mapping[str, array]
        By the names of matrices, ``(rows, cols)``; of a family, ``(members, rows, cols)``.
    scalars : Mapping[str, number], optional
        By the names of symbols, such as ``alpha``.
    sizes : Mapping[str, int], optional
        Those that no array shows.

    Returns
    -------
    list of list of fmpq, fmpq or Logs
        A matrix, a number, or a number with logarithms of rational numbers, which stay formal.

    Raises
    ------
    ValueError
        A softmax or a function of entries; a size that two arrays do not agree on.
    """
    if not _rational(a):
        raise ValueError("a must have rational values, got a softmax or a function of entries")
    known = dict(sizes or {})
    entries: dict[tuple[str, int], Rows] = {}

    def read(name: Size, found: int) -> None:
        wanted = known.setdefault(name, found) if isinstance(name, str) else name
        if wanted != found:
            raise ValueError(f"arrays must agree on {name}, got {wanted} and {found}")

    for A in matrices(a):
        members = arrays[A.name] if A.index else [arrays[A.name]]
        if A.index:
            read(A.count, len(members))
        for k, member in enumerate(members):
            rows = [[exact(x) for x in row] for row in member]
            read(A.rows, len(rows))
            read(A.cols, len(rows[0]))
            entries[A.name, k] = rows
    constants = {name: exact(x) for name, x in (scalars or {}).items()}
    result: Value = evaluate(a, Point(RATIONALS, known, entries, constants))
    return result


def exact(x: Any) -> fmpq:
    """A number as the rational that it is."""
    if isinstance(x, fmpq):
        return x
    return fmpq(*(Fraction(x) if isinstance(x, Fraction | int) else Fraction(float(x))).as_integer_ratio())


def rounded(x: Value) -> Any:
    """A value in floats: a list of rows or a number, rounded once."""
    if isinstance(x, list):
        return [[rounded(entry) for entry in row] for row in x]
    if isinstance(x, fmpq):
        return int(x.p) / int(x.q)
    with ctx.workprec(256):
        total = arb(x.rational)
        for argument, c in x.logs:
            total += arb(argument).log() * arb(fmpq(c.numerator, c.denominator))
        return float(total.mid())


def _rational(a: Expr) -> bool:
    return not isinstance(a, Softmax | Entrywise) and all(map(_rational, children(a)))
