"""Wrong versions of a step: a factor, a sign, a transpose, a parameter squared, a term too many, another count."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import sympy

from derivations import expression as ex
from derivations.expression import Expr


def sabotaged(a: Expr) -> Iterator[tuple[str, Expr]]:
    """What was done to ``a``, and the result."""
    yield "factor 2", 2 * a
    yield "sign", -a
    yield "a term too many", a + (ex.expression(1) if a.shape == ex.SCALAR else ex.Ones(*a.shape))
    for s in sorted(ex.symbols(a), key=str):
        if not s.is_integer:
            yield f"{s} squared", parameter(a, {s: s**2})
    for i, changed in enumerate(transposed(a)):
        yield f"transpose {i}", changed
    for i, changed in enumerate(recounted(a)):
        yield f"K for the count {i}", changed


def parameter(a: Expr, values: dict[sympy.Symbol, sympy.Expr]) -> Expr:
    """``a`` with parameters replaced."""
    if isinstance(a, ex.Scalar):
        return ex.Scalar(a.value.subs(values, simultaneous=True))
    if isinstance(a, ex.Entrywise):
        return ex.Entrywise(a.function.subs(values), parameter(a.arg, values))
    return ex.with_children(a, tuple(parameter(part, values) for part in ex.children(a)))


def transposed(a: Expr) -> Iterator[Expr]:
    """``a`` with one square part, that is no scalar, transposed."""
    if len(a.shape) == 2 and a.shape[0] == a.shape[1] and a.shape[0] != 1:
        yield ex.Transpose(a)
    yield from _in_a_part(a, transposed)


def recounted(a: Expr) -> Iterator[Expr]:
    """``a`` with one sum, that is over another number of members, over K."""
    if isinstance(a, ex.Sum) and a.count != "K":
        yield ex.Sum(a.index, a.arg)
    yield from _in_a_part(a, recounted)


def _in_a_part(a: Expr, change: Callable[[Expr], Iterator[Expr]]) -> Iterator[Expr]:
    parts = ex.children(a)
    for i, part in enumerate(parts):
        for changed in change(part):
            yield ex.with_children(a, (*parts[:i], changed, *parts[i + 1 :]))
