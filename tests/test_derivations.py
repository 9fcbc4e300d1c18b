"""Every derivation: its steps are accepted, and none of them once it has been tampered with."""

import random
from dataclasses import replace
from fractions import Fraction

import pytest
import sympy
from flint import fmpq
from sabotage import sabotaged

from derivations import catalogue, rules
from derivations import expression as ex
from derivations.article import article
from derivations.checks import (
    AtSizes,
    Calculus,
    Drops,
    Explicit,
    Lemma,
    OnInterval,
    Ray,
    Spectrum,
    Squares,
    Taylor,
    positive_semidefinite,
)
from derivations.exact import RATIONALS, Point, evaluate
from derivations.identity import point, same
from derivations.normal import equal
from derivations.notation import I_d, I_n, R, Z, alpha
from derivations.page import with_uses
from derivations.proof import Derivation, Step, chain
from derivations.render import LATEX, PLAIN, render

DERIVATIONS = list(catalogue().values())
STEPS = [pytest.param(d, s, id=f"{d.name}-{i}") for d in DERIVATIONS for i, s in enumerate(d.steps)]
SIZES = ({"n": 2, "d": 3, "p": 2, "K": 2, "m": 2, "q": 3}, {"n": 3, "d": 2, "p": 1, "K": 2, "m": 3, "q": 2})


@pytest.mark.parametrize("derivation", DERIVATIONS, ids=lambda d: d.name)
def test_every_step_is_accepted(derivation):
    for step, finding in zip(derivation.steps, derivation.check(), strict=True):
        assert finding.accepted, (step.because, finding.reason)
        assert finding.means
    text = article([derivation])
    assert not {c for c in text if ord(c) > 0x17F}, "every sign in prose has its LaTeX"
    assert text.count(r"\section{") == 1


@pytest.mark.parametrize("most", [10, pytest.param(1000, marks=pytest.mark.slow)])
@pytest.mark.parametrize(("derivation", "step"), STEPS)
def test_no_step_survives_sabotage(derivation, step, most):
    """What is still accepted is true: the same expression in other words, or a weaker inequality."""
    rejected, wrong = 0, [*sabotaged(step.end)]
    for what, end in wrong[:: -(-len(wrong) // most)]:
        if replace(step, end=end).check().accepted:
            assert harmless(step, end), what
        else:
            rejected += 1
    assert rejected


def harmless(step: Step, end: ex.Expr) -> bool:
    """Whether the step is true with this end as well."""
    if equal(end, step.end, getattr(step.rule, "rules", ())):
        return True
    if isinstance(step.rule, OnInterval):
        x, high = step.rule.variable, step.rule.high
        low = 0 if step.rule.low == -sympy.oo else step.rule.low
        reach = 20 if high == sympy.oo else high - low
        difference = end.value - step.start.value
        signs = [sympy.sign(difference.subs(x, low + reach * sympy.Rational(k, 97))) for k in range(1, 97)]
        wanted = 1 if step.relation == "<=" else -1
        return all(sign in (0, wanted) for sign in signs)
    return False


@pytest.mark.parametrize("derivation", DERIVATIONS, ids=lambda d: d.name)
def test_every_derivation_says_what_it_is(derivation):
    assert derivation.title
    assert derivation.source
    assert derivation.hypotheses
    assert all(step.because.endswith(".") for step in derivation.steps)
    for style in (LATEX, PLAIN):
        for side in (derivation.left, *(step.end for step in derivation.steps)):
            assert render(side, style, derivation.definitions)


def test_what_a_step_rests_on_is_named():
    for derivation in DERIVATIONS:
        named = {used.name for used in with_uses(derivation.uses)}
        for step in derivation.steps:
            for part in ("lemma", "bound", "slope"):
                used = getattr(step.rule, part, None)
                assert used is None or used.name in named, (derivation.name, used.name)


# --- rules ------------------------------------------------------------------------------------------------------

A, B = ex.Matrix("A", "n", "d"), ex.Matrix("B", "d", "n")
C, D = ex.Matrix("C", "n", "n"), ex.Matrix("D", "n", "n")
P = ex.Matrix("P", "n", "n", psd=True)
BASES = ex.Matrix("U", "d", "p", "k", orthonormal=True, mutually=True, complete=True)
BLOCK = ex.Matrix("A", "p", "p", "k", psd=True)
UNITS = ex.Matrix("e", "n", 1, "i", orthonormal=True, mutually=True, complete=True, count="n")
NUMBER = ex.Matrix("a", 1, 1, "i", psd=True, count="n")
GRAM = ex.Identity("p") + alpha * (Z @ BASES).T @ (Z @ BASES)
COLUMNS = (ex.Matrix("v", "n", 1), ex.Diagonal(A @ A.T))
INSTANCES = {
    "block_log_det": (*(rules.block_log_det(BASES, A) for A in (BLOCK, GRAM)), rules.block_log_det(UNITS, NUMBER)),
    "dimension": (rules.dimension(BASES), rules.dimension(UNITS)),
    "block_inverse": (*(rules.block_inverse(BASES, A) for A in (BLOCK, GRAM)), rules.block_inverse(UNITS, NUMBER)),
    "diagonal_inverse": tuple(rules.diagonal_inverse(v, alpha) for v in COLUMNS),
    "diagonal_log_det": tuple(rules.diagonal_log_det(v, alpha) for v in COLUMNS),
    "push_through": (rules.push_through(A, B), rules.push_through(B, A), rules.push_through(A, alpha * A.T)),
    "sylvester": (rules.sylvester(A, B), rules.sylvester(B, A)),
    "woodbury": (rules.woodbury(A, B),),
    "multiplicative": (rules.multiplicative(C, D),),
}
RULES = [pytest.param(rule, id=f"{name}-{i}") for name, made in INSTANCES.items() for i, rule in enumerate(made)]


@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize("sizes", [{**SIZES[0], "d": 4}, {**SIZES[1], "d": 2}], ids=str)
def test_rules_are_equations(rule, sizes):
    rng = random.Random(0)
    sides = (rule.left, rule.right)
    matrices = frozenset().union(*map(ex.matrices, sides))
    symbols = frozenset().union(*map(ex.symbols, sides))
    for _ in range(3):
        at = point(matrices, symbols, sizes, rng)
        left, right = (evaluate(side, at) for side in sides)
        assert same(left, right)
        assert not same(evaluate(2 * rule.left, at), right)


def test_rules_of_blocks_need_a_complete_family():
    some = ex.Matrix("U", "d", "p", "k", orthonormal=True, mutually=True)
    for rule in (
        lambda U: rules.block_log_det(U, BLOCK),
        lambda U: rules.block_inverse(U, BLOCK),
        rules.dimension,
    ):
        with pytest.raises(ValueError, match="U must be a complete family"):
            rule(some)


def test_every_rule_is_tested():
    made = {
        name
        for name, value in vars(rules).items()
        if callable(value) and value.__module__ == rules.__name__ and not name.startswith("_")
    }
    assert made - {"known", "root", "root_with_log_det", "roots", "exponential_of_sum"} == set(INSTANCES)


def test_the_log_det_of_a_root():
    G = ex.Matrix("G", "n", "n", symmetric=True, psd=True)
    root, log_det = rules.root_with_log_det(G, P)
    at = point(frozenset({G}), frozenset(), {"n": 3}, random.Random(0))
    squared = {P: G @ G}
    assert root.left == G @ G
    assert root.right == P
    left, right = (evaluate(ex.substitute(side, squared), at) for side in (log_det.left, log_det.right))
    assert same(left, right)
    assert not same(left, 2 * right)
    with pytest.raises(ValueError, match="G must be positive semidefinite"):
        rules.root_with_log_det(ex.Matrix("G", "n", "n", symmetric=True), P)


def test_exponentials_of_sums():
    a, b = sympy.symbols("a b", positive=True)
    rule = rules.exponential_of_sum(s(a), s(-b / 2))

    def read(e: ex.Expr) -> sympy.Expr:
        match e:
            case ex.Trace(arg=ex.Entrywise(function=function, arg=ex.Scale(factor=factor))):
                return function(read(factor))
            case ex.Scale(factor=factor, arg=arg):
                return read(factor) * read(arg)
            case ex.Add(terms=terms):
                return sympy.Add(*map(read, terms))
        return e.value

    assert sympy.powsimp(read(rule.left) - read(rule.right)) == 0
    assert sympy.powsimp(read(rule.left) - 2 * read(rule.right)) != 0
    assert equal(rule.left, rule.right, (rule,))
    assert not equal(rule.left, 2 * rule.right, (rule,))


def test_roots_are_roots():
    """At a matrix whose singular values 3/4 and 5/12 make all roots rational."""
    P, Q = ([[Fraction(a, 5), Fraction(-b, 5)], [Fraction(b, 5), Fraction(a, 5)]] for a, b in ((3, 4), (4, 3)))

    def rotated(left, values, right):
        return [
            [fmpq_of(sum(left[i][k] * values[k] * right[j][k] for k in range(2))) for j in range(2)] for i in range(2)
        ]

    def fmpq_of(q):
        return fmpq(q.numerator, q.denominator)

    tall, N, V = (ex.Matrix(name, "n", "n", symmetric=name != "A") for name in "ANV")
    singular, root = (Fraction(3, 4), Fraction(5, 12)), (Fraction(4, 5), Fraction(12, 13))
    values = {("A", 0): rotated(P, singular, Q), ("N", 0): rotated(P, root, P), ("V", 0): rotated(Q, root, Q)}
    at = Point(RATIONALS, {"n": 2}, values, {})
    for rule in rules.roots(tall, sympy.Integer(1), N, V):
        assert evaluate(rule.left, at) == evaluate(rule.right, at)
        assert evaluate(rule.left, at) != evaluate(2 * rule.right, at)


@pytest.mark.parametrize("rule", RULES)
def test_a_rule_is_needed_for_what_it_says(rule):
    assert equal(rule.left, rule.right, (rule,))
    assert not equal(rule.left, 2 * rule.right, (rule,))


# --- checks -----------------------------------------------------------------------------------------------------

x = sympy.Symbol("x", nonnegative=True)
s = ex.expression


def refused(check, a, relation, b):
    finding = check(a, relation, b)
    return not finding.accepted and finding.reason


def test_calculus_proves_equations_only():
    assert Calculus()(A @ B, "=", (B.T @ A.T).T).accepted
    assert refused(Calculus(), A @ B, "=", B.T @ A.T)
    assert refused(Calculus(), A @ B, "<=", A @ B)


def test_squares():
    gap = ex.norm_squared(A)
    assert Squares(squares=((1, A),))(s(0), "<=", gap).accepted
    assert Squares(weighted=((alpha, A, P),))(s(0), "<=", alpha * ex.Trace(A.T @ P @ A)).accepted
    assert refused(Squares(squares=((2, A),)), s(0), "<=", gap)
    assert refused(Squares(squares=((-1, A),)), s(0), "<=", -gap)
    assert refused(Squares(squares=((1, A),)), s(0), ">=", gap)
    assert refused(Squares(squares=((1, A),)), s(0), "=", gap)
    symmetric = ex.Matrix("S", "n", "n", symmetric=True)
    assert refused(Squares(weighted=((1, A, symmetric),)), s(0), "<=", ex.Trace(A.T @ symmetric @ A))


def test_explicit_matrices():
    X = ex.Matrix("X", "n", "n")
    pair = Explicit(({"n": 2},))
    determinant = ex.Trace(X) * ex.Trace(X) / 2 - ex.Trace(X @ X) / 2
    assert pair(X @ X, "=", ex.Trace(X) * X - determinant * I_n).accepted
    assert refused(pair, X @ X, "=", ex.Trace(X) * X + determinant * I_n) == "the two sides differ at {'n': 2}"
    assert refused(Explicit(({"n": 2}, {"n": 3})), X @ X, "=", ex.Trace(X) * X - determinant * I_n)
    assert pair(ex.LogDet(X) / 2, "=", ex.log(determinant) / 2).accepted
    assert refused(pair, ex.LogDet(X), "=", ex.log(determinant) / 2)
    assert refused(pair, X, "<=", X)
    symmetric = ex.Matrix("X", "n", "n", symmetric=True)
    assert pair(symmetric, "=", symmetric.T).accepted
    assert refused(pair, X, "=", X.T)
    assert refused(pair, ex.Matrix("O", "n", "n", orthonormal=True), "=", X)


@pytest.mark.parametrize(
    ("matrix", "known"),
    [
        (A @ A.T, True),
        (A @ A.T + alpha * P, True),
        (ex.Inverse(I_n + alpha * Z @ Z.T), True),
        (A.T @ P @ A, True),
        (ex.Sum("k", ex.Matrix("U", "n", "p", "k") @ ex.Matrix("U", "n", "p", "k").T), True),
        (ex.Diag(ex.Diagonal(A @ A.T)), True),
        (ex.Diag(ex.Entrywise(sympy.Lambda(x, x / (1 + x)), ex.Diagonal(P))), True),
        (ex.Diag(ex.Entrywise(sympy.Lambda(x, x - 1), ex.Diagonal(P))), False),
        (ex.Diag(ex.Diagonal(C)), False),
        (ex.Diag(ex.Matrix("v", "n", 1)), False),
        (A @ B, False),
        (I_n - P, False),
        (-alpha * P, False),
        (C @ C, False),
        (C @ P @ D, False),
        (ex.Matrix("S", "n", "n", symmetric=True), False),
        (ex.Hadamard(P, P), False),
    ],
)
def test_positive_semidefinite_by_form(matrix, known):
    assert positive_semidefinite(matrix) is known


def test_heuristics_prove_nothing():
    assert Drops(A)(A + B.T, "~", B.T).accepted
    assert refused(Drops(2 * A), A + B.T, "~", B.T)
    assert refused(Drops(A), A + B.T, "=", B.T)


@pytest.mark.parametrize(
    ("f", "relation", "g", "true"),
    [
        (sympy.log(1 + x), "<=", x, True),
        (sympy.log(1 + x), ">=", x - x**2 / 2, True),
        (sympy.log(1 + x), ">=", x, False),
        (1 / (1 + x), "<=", sympy.Integer(1), True),
        (1 / (1 + x), ">=", 1 - x, True),
        (1 / (1 + x), "<=", 1 - x, False),
        ((1 - x) / (1 + x) ** 2, ">=", sympy.Rational(-1, 8), True),
        ((1 - x) / (1 + x) ** 2, ">=", sympy.Rational(-1, 9), False),
        ((x - 3) ** 2, ">=", sympy.Integer(0), True),
        ((x - 3) ** 3, ">=", sympy.Integer(0), False),
        (1 / (x - 3) ** 2, ">=", sympy.Integer(0), False),
        (alpha * x, ">=", sympy.Integer(0), True),
        ((alpha - 1) * x, ">=", sympy.Integer(0), False),
        (alpha - x, ">=", sympy.Integer(0), False),
    ],
)
def test_on_interval(f, relation, g, true):
    check = OnInterval(x, sympy.Integer(0), sympy.oo)
    finding = check(s(f), relation, s(g))
    assert finding.accepted is true
    assert bool(finding.reason) is not true


def test_on_interval_minds_its_ends():
    assert OnInterval(x, sympy.Integer(0), sympy.Integer(1))(s(x**2), "<=", s(x)).accepted
    assert refused(OnInterval(x, sympy.Integer(0), sympy.Integer(2)), s(x**2), "<=", s(x))
    assert refused(OnInterval(x, sympy.Integer(1), sympy.Integer(2)), s(x**2), "<=", s(x))


def test_spectrum():
    t = sympy.Symbol("t")
    log, linear = sympy.Lambda(t, sympy.log(1 + t)), sympy.Lambda(t, t)
    X = A @ A.T
    assert Spectrum(log, linear, X)(ex.LogDet(I_n + X), "<=", ex.Trace(X)).accepted
    assert refused(Spectrum(log, linear, X), ex.LogDet(I_n + X), ">=", ex.Trace(X))
    assert refused(Spectrum(log, linear, X), ex.LogDet(I_n + X), "<=", ex.Trace(2 * X))
    assert refused(Spectrum(log, linear, C), ex.LogDet(I_n + C), "<=", ex.Trace(C))


def test_identity_test_bounds_false_acceptance():
    at = ({"n": 2, "d": 3},)
    found = AtSizes(at)(ex.LogDet(I_n + A @ B), "=", ex.LogDet(I_d + B @ A))
    assert found.accepted
    assert "false acceptance at most 2^-1" in found.means
    assert refused(AtSizes(at), ex.LogDet(I_n + A @ B), "=", 2 * ex.LogDet(I_d + B @ A))
    assert refused(AtSizes(at), A @ B, "=", B.T @ A.T)
    assert refused(AtSizes(at), A @ B, "<=", A @ B)


def _derivation(*steps, name="made up", **given):
    return Derivation(name, "made up", ("none",), "nobody", chain(*steps), **given)


def test_a_lemma_must_be_proved_and_be_used_in_its_direction():
    true = _derivation(s(0), ("<=", ex.norm_squared(A), Squares(squares=((1, A),)), "."))
    false = _derivation(s(0), ("<=", -ex.norm_squared(A), Squares(squares=((1, A),)), "."))
    assert true.proves()
    assert not false.proves()
    assert Lemma(true, {A: Z})(s(1), "<=", 1 + 2 * ex.norm_squared(Z)).accepted is False
    assert Lemma(true, {A: Z}, times=2)(s(1), "<=", 1 + 2 * ex.norm_squared(Z)).accepted
    assert refused(Lemma(true, {A: Z}, times=-1), 1 + ex.norm_squared(Z), "<=", s(1))
    assert refused(Lemma(true), s(0), "=", ex.norm_squared(A))
    assert refused(Lemma(false), s(0), "<=", -ex.norm_squared(A))
    assert Lemma(true)(ex.norm_squared(A), ">=", s(0)).accepted


def test_a_lemma_may_be_weighed_by_what_is_not_negative_by_its_form():
    true = _derivation(s(0), ("<=", ex.norm_squared(A), Squares(squares=((1, A),)), "."))
    share, any_number = ex.Matrix("nu", 1, 1, psd=True), ex.Matrix("mu", 1, 1)
    for weight in (ex.Trace(share), alpha * ex.Trace(share), ex.Trace(C.T @ C)):
        assert Lemma(true, {A: Z}, times=weight)(s(0), "<=", weight * ex.norm_squared(Z)).accepted
    for weight in (ex.Trace(any_number), -ex.Trace(share), ex.Trace(C), ex.LogDet(I_n + C)):
        assert refused(Lemma(true, {A: Z}, times=weight), s(0), "<=", weight * ex.norm_squared(Z))


def test_taylor_needs_the_bound_that_is_proved():
    H = ex.Matrix("H", "n", "d")
    above = catalogue()["curvature-of-the-coding-rate-from-above"]
    moved = ex.LogDet(I_d + alpha * (Z + H).T @ (Z + H)) / 2
    end = R + ex.Differential(R, Z, H) + alpha / 2 * ex.norm_squared(H)
    assert Taylor(R, Z, H, above, alpha)(moved, "<=", end).accepted
    assert refused(Taylor(R, Z, H, above, alpha), moved, ">=", end)
    assert refused(Taylor(R, Z, H, above, 2 * alpha), moved, "<=", end)
    assert refused(Taylor(2 * R, Z, H, above, alpha), moved, "<=", end)
    assert refused(Taylor(R, Z, H, above, alpha), moved, "<=", end + R)


def test_ray_needs_the_slope_that_is_proved():
    slope = catalogue()["rates-of-classes-grow-faster-than-that-of-the-whole"]
    f = slope.left.arg
    check = Ray(f, Z, slope)
    assert check(s(0), "<=", f).accepted
    assert check(R, "<=", f + R).accepted
    assert Ray(f, Z, slope, low=1, high=2)(f, "<=", ex.substitute(f, {Z: s(2) * Z})).accepted
    assert refused(check, s(0), ">=", f)
    assert refused(check, s(0), "<=", 2 * f)
    assert refused(check, f, "<=", s(0))
    assert refused(Ray(2 * f, Z, slope), s(0), "<=", 2 * f)
    assert refused(Ray(f, Z, slope, low=2, high=1), ex.substitute(f, {Z: s(2) * Z}), "<=", f)
    assert refused(Ray(f, Z, slope, low=-1, high=0), f, "<=", s(0))


def test_steps_must_join_and_have_one_direction():
    one = Step(A, "=", A, Calculus(), ".")
    with pytest.raises(ValueError, match="every step must start where the one before ends"):
        Derivation("made up", "", (), "", (one, Step(Z, "=", Z, Calculus(), ".")))
    with pytest.raises(ValueError, match="the steps must have one direction"):
        _derivation(A, ("<=", A, Calculus(), "."), (">=", A, Calculus(), "."))
    with pytest.raises(ValueError, match="relation must be one of"):
        Step(A, "<", A, Calculus(), ".").check()


def test_oracle_is_exact():
    at = point(ex.matrices(R), ex.symbols(R), SIZES[0], random.Random(1))
    assert evaluate(ex.Trace(Z.T @ Z), at) == sum(entry**2 for row in at.matrices["Z", 0] for entry in row)
    assert Fraction(1, 2) == evaluate(R, at).logs[0][1]
