"""The sign of a function of one variable on an interval, decided and not sampled.

Rational functions are decided by the isolation of their roots. A multiple of log(1 + c x) is taken through its
derivative, which is rational: what starts at zero and never falls stays nonnegative.
"""

from __future__ import annotations

import sympy


def refuted(f: sympy.Expr, x: sympy.Symbol, low: sympy.Expr, high: sympy.Expr) -> str:
    """Why ``f`` ≥ 0 on [low, high] is not shown; empty if it is. Parameters must be positive factors of all of f."""
    f = sympy.factor(sympy.together(f)) if not f.has(sympy.log) else f
    parameters = f.free_symbols - {x}
    if f.has(sympy.log):
        return _by_derivative(f, x, low, high)
    positive = [part for part in sympy.Mul.make_args(f) if not part.has(x) and not part.is_number]
    if not all(part.is_nonnegative for part in positive):
        return f"a factor without {x} is not known to be nonnegative"
    rest = sympy.cancel(f / sympy.prod(positive)) if all(part.is_nonzero for part in positive) else f
    if rest.free_symbols - {x}:
        return f"more than one variable: {', '.join(sorted(map(str, parameters | {x})))}"
    return _rational(rest, x, low, high)


def _rational(f: sympy.Expr, x: sympy.Symbol, low: sympy.Expr, high: sympy.Expr) -> str:
    t = sympy.Symbol("t", real=True)
    numerator, denominator = (sympy.Poly(part, t) for part in sympy.fraction(sympy.together(f.subs(x, t))))
    if numerator.is_zero:
        return ""
    if denominator.count_roots(_end(low), _end(high)):
        return f"a pole in [{low}, {high}]"
    inside = _between(low, high)
    odd = sympy.Poly(1, t)
    for factor, power in numerator.sqf_list()[1]:
        if power % 2:
            odd *= factor
    roots = sum(1 for root in odd.real_roots() if low < root < high)
    if roots:
        return f"it changes sign {roots} times in ({low}, {high})"
    probe = next(q for q in inside if numerator.eval(q) != 0)
    value = numerator.eval(probe) / denominator.eval(probe)
    return "" if value > 0 else f"it is negative at {probe}"


def _by_derivative(f: sympy.Expr, x: sympy.Symbol, low: sympy.Expr, high: sympy.Expr) -> str:
    start = sympy.simplify(f.subs(x, low))
    if not start.is_nonnegative:
        return f"it starts at {start}"
    slope = sympy.factor(sympy.together(sympy.diff(f, x)))
    if slope.has(sympy.log):
        return "its derivative is not rational"
    reason = refuted(slope, x, low, high)
    return f"its derivative: {reason}" if reason else ""


def _end(value: sympy.Expr) -> sympy.Expr | None:
    return None if value in (sympy.oo, -sympy.oo) else value


def _between(low: sympy.Expr, high: sympy.Expr) -> list[sympy.Rational]:
    if high == sympy.oo:
        start = sympy.Integer(0) if low == -sympy.oo else low
        return [start + sympy.Rational(k, 7) for k in range(1, 200)]
    return [low + (high - low) * sympy.Rational(k, 211) for k in range(1, 211)]
