"""The sign of a function of one variable on an interval, decided and not sampled.

Rational functions are decided by the isolation of their roots. A sum with logarithms of rational functions is taken
through its derivative, which is rational: what starts nonnegative and never falls stays nonnegative.
"""

from __future__ import annotations

import sympy


def refuted(f: sympy.Expr, x: sympy.Symbol, low: sympy.Expr, high: sympy.Expr) -> str:
    """Why ``f`` ≥ 0 on [low, high] is not shown; empty if it is. Parameters must be positive factors of all of f."""
    logarithms = f.atoms(sympy.log)
    if not all(part.args[0].is_rational_function(x) for part in logarithms) or not f.subs(
        {part: sympy.Symbol(f"log {i}") for i, part in enumerate(logarithms)}
    ).is_rational_function(x):
        return "it is not made of rational functions and their logarithms"
    if not logarithms:
        return _of_one_variable(f, x, low, high)
    for part in logarithms:
        reason = _of_one_variable(part.args[0], x, low, high, strictly=True)
        if reason:
            return f"the argument of a logarithm: {reason}"
    if low == -sympy.oo:
        return "it has no start"
    start = sympy.simplify(f.subs(x, low))
    if not start.is_nonnegative:
        return f"it starts at {start}"
    slope = sympy.together(sympy.diff(f, x))
    if slope.has(sympy.log):
        return "its derivative is not rational"
    reason = _of_one_variable(slope, x, low, high)
    return f"its derivative: {reason}" if reason else ""


def _of_one_variable(
    f: sympy.Expr, x: sympy.Symbol, low: sympy.Expr, high: sympy.Expr, *, strictly: bool = False
) -> str:
    """The sign of a rational function whose other symbols are in positive factors of all of it."""
    factors = sympy.Mul.make_args(sympy.factor(sympy.together(f)))
    constant = [part for part in factors if not part.has(x) and not part.is_number]
    if not all(part.is_positive for part in constant):
        return f"a factor without {x} is not known to be positive"
    rest = sympy.Mul(*(part for part in factors if part not in constant))
    if rest.free_symbols - {x}:
        return f"more than one variable: {', '.join(sorted(map(str, rest.free_symbols | {x})))}"
    return _rational(rest, x, low, high, strictly)


def _rational(f: sympy.Expr, x: sympy.Symbol, low: sympy.Expr, high: sympy.Expr, strictly: bool) -> str:
    t = sympy.Symbol("t", real=True)
    numerator, denominator = (sympy.Poly(part, t) for part in sympy.fraction(sympy.together(f.subs(x, t))))
    if numerator.is_zero:
        return "it is zero" if strictly else ""
    if denominator.count_roots(_end(low), _end(high)):
        return f"a pole in [{low}, {high}]"
    if strictly and numerator.count_roots(_end(low), _end(high)):
        return f"a root in [{low}, {high}]"
    odd = sympy.Poly(1, t)
    for factor, power in numerator.sqf_list()[1]:
        if power % 2:
            odd *= factor
    roots = sum(1 for root in odd.real_roots() if low < root < high)
    if roots:
        return f"it changes sign {roots} times in ({low}, {high})"
    probe = next(q for q in _between(low, high) if numerator.eval(q) != 0)
    value = numerator.eval(probe) / denominator.eval(probe)
    return "" if value > 0 else f"it is negative at {probe}"


def _end(value: sympy.Expr) -> sympy.Expr | None:
    return None if value in (sympy.oo, -sympy.oo) else value


def _between(low: sympy.Expr, high: sympy.Expr) -> list[sympy.Rational]:
    if low == -sympy.oo:
        return [-q for q in _between(-high, sympy.oo)] if high != sympy.oo else _between(sympy.Integer(0), high)
    if high == sympy.oo:
        return [low + sympy.Rational(k, 7) for k in range(1, 200)]
    return [low + (high - low) * sympy.Rational(k, 211) for k in range(1, 211)]
