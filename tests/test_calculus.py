"""The calculus of derivations: against exact directional derivatives, and its normal form against exact values."""

import random

import pytest
import sympy
from expressions import ALPHA, BETA, SIZES, A, B, Grammar, S, U, V, expression_of, points

from derivations import expression as ex
from derivations.calculus import differential, gradient
from derivations.exact import Singular, evaluate
from derivations.identity import same
from derivations.normal import Rule, equal, normal

H = {A: ex.Matrix("A along", "n", "d"), B: ex.Matrix("B along", "d", "n")}


def slope(value):
    """The coefficient of t in every entry."""
    return [[x[1] for x in row] for row in value] if isinstance(value, list) else value[1]


@pytest.mark.parametrize("start", range(0, 1000, 50))
def test_differentials_and_gradients_are_exact_directional_derivatives(start):
    done = 0
    for seed in range(start, start + 50):
        rng = random.Random(seed)
        f = Grammar(rng).scalar(3)
        at, jets = points(rng, H)
        try:
            expected = slope(evaluate(f, jets))
            forwards = evaluate(differential(f, H), at)
            backwards = sum(evaluate(ex.inner(gradient(f, X), H[X]), at) for X in H)
        except Singular:
            continue
        assert same(forwards, expected), seed
        assert same(backwards, expected), seed
        done += 1
    assert done > 40


@pytest.mark.parametrize("start", range(0, 1000, 50))
def test_differentials_of_matrices(start):
    for seed in range(start, start + 50):
        rng = random.Random(-seed - 1)
        f = Grammar(rng).matrix(rng.choice(["n", "d"]), rng.choice(["n", "d", 1]), 2)
        at, jets = points(rng, H)
        try:
            assert evaluate(differential(f, H), at) == slope(evaluate(f, jets)), seed
        except Singular:
            continue


@pytest.mark.parametrize("start", range(0, 1000, 50))
def test_normal_form_is_the_expression_it_came_from(start):
    for seed in range(start, start + 50):
        rng = random.Random(seed)
        grammar = Grammar(rng)
        a = grammar.scalar(3) if seed % 2 else grammar.matrix(rng.choice(["n", "d"]), rng.choice(["n", "d", 1]), 3)
        at, _ = points(rng, {})
        try:
            before = evaluate(a, at)
        except Singular:
            continue
        assert same(before, evaluate(expression_of(normal(a)), at)), seed


def test_log_det_has_a_derivative():
    """SymPy's own derivative of log det(I + a Z Zᵀ) by a MatrixSymbol is zero, without a warning."""
    Z = sympy.MatrixSymbol("Z", 3, 3)
    a = sympy.Symbol("a")
    assert sympy.diff(sympy.log(sympy.Determinant(sympy.Identity(3) + a * Z * Z.T)), Z) == sympy.ZeroMatrix(3, 3)
    R = ex.LogDet(ex.Identity("n") + ALPHA * A @ A.T)
    assert equal(gradient(R, A), 2 * ALPHA * ex.Inverse(ex.Identity("n") + ALPHA * A @ A.T) @ A)
    assert not equal(gradient(R, A), 0 * A)


def test_rules_that_go_round_in_circles_are_refused():
    C, D = ex.Matrix("C", "n", "n"), ex.Matrix("D", "n", "n")
    with pytest.raises(RecursionError, match="the rules go round in circles"):
        normal(C @ D, (Rule(C @ D, D @ C), Rule(D @ C, C @ D)))
    S, T = (ex.Matrix(name, "n", "n", symmetric=True) for name in "ST")
    assert equal(S @ T @ S, T @ S @ S, (Rule(S @ T, T @ S),))  # its transpose would turn it back


def test_a_number_is_its_own_transpose():
    x, y = ex.Matrix("x", "n", 1), ex.Matrix("y", "n", 1)
    assert equal(x.T @ y, y.T @ x)
    assert equal(x @ x.T @ y, x @ y.T @ x)
    assert not equal(x @ y.T, y @ x.T)


def test_equal_only_if_equal():
    """Products that do not commute, transposes that are not there, powers, and factors."""
    C = ex.Matrix("C", "n", "n")
    D = ex.Matrix("D", "n", "n")
    for a, b in (
        (C @ D, D @ C),
        (ex.Trace(S @ C @ D), ex.Trace(S @ D @ C)),
        (C, C.T),
        (ex.Trace(C @ C), ex.Trace(C @ C.T)),
        (ALPHA * C, BETA * C),
        (ALPHA * C, ALPHA**2 * C),
        (2 * C, C),
        (ex.Inverse(ex.Identity("n") + C), ex.Identity("n") - C),
        (ex.Hadamard(C, D), C @ D),
        (ex.Sum("k", U @ U.T), ex.Sum("k", U) @ ex.Sum("k", U).T),
        (ex.Softmax(C), ex.Softmax(C.T).T),
        (ex.Diag(V) @ C, C @ ex.Diag(V)),
    ):
        assert not equal(a, b)
        assert equal(a, a + 0 * b)


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda: A @ A, r"the sizes of a product must match, got shapes \('n', 'd'\), \('n', 'd'\)"),
        (lambda: A + B, r"operands must have one shape, got \('n', 'd'\), \('d', 'n'\)"),
        (lambda: ex.Inverse(A), r"operand must be a square matrix, got shape \('n', 'd'\)"),
        (lambda: ex.Trace(A), "operand must be a square matrix"),
        (lambda: ex.LogDet(A), "operand must be a square matrix"),
        (lambda: ex.Hadamard(A, B), "operands must have one shape"),
        (lambda: ex.Diag(A), r"operand must be a column, got shape \('n', 'd'\)"),
        (lambda: A * B, "one of two factors must be a scalar"),
        (lambda: gradient(A, A), r"f must be a scalar, got shape \('n', 'd'\)"),
    ],
)
def test_sizes_are_checked(build, message):
    with pytest.raises(ValueError, match=message):
        build()


def test_the_grammar_reaches_every_kind_of_expression():
    seen = set()

    def walk(a):
        seen.add(type(a))
        for part in ex.children(a):
            walk(part)

    for seed in range(300):
        walk(Grammar(random.Random(seed)).scalar(3))
    kinds = {kind for kind in vars(ex).values() if isinstance(kind, type) and issubclass(kind, ex.Expr)}
    assert kinds - seen == {ex.Expr, ex.Differential}
    assert SIZES["n"] != SIZES["d"]


def test_scalars_as_matrices_of_one_entry():
    x, y = ex.Matrix("x", "n", 1), ex.Matrix("y", "n", 1)
    a, b = x.T @ y, y.T @ y
    assert equal(ex.Hadamard(a, b), a @ b)
    assert not equal(ex.Hadamard(a, b), a @ a)
    assert equal(ex.Diagonal(b), b)
    assert equal(ex.Trace(ex.Ones("n").T @ ex.Hadamard(x, y)), ex.Trace(a))
    assert not equal(ex.Trace(ex.Ones("n").T @ ex.Hadamard(x, y)), ex.Trace(b))
    columns = ex.Ones("n").T @ ex.Hadamard(A, A)  # 1 x d: the diagonal of AᵀA, transposed
    assert equal(columns, ex.Diagonal(A.T @ A).T)
    assert not equal(ex.Diagonal(A.T @ A), A.T @ A @ ex.Ones("d"))


def test_traces_of_diagonal_matrices():
    C, v, w = ex.Matrix("C", "n", "n"), ex.Matrix("v", "n", 1), ex.Matrix("w", "n", 1)
    for columns, dense in (
        (ex.Diagonal(C), C),
        (ex.Hadamard(ex.Diagonal(C), v), ex.Diag(v) @ C),
        (ex.Hadamard(v, ex.Hadamard(ex.Diagonal(C), w)), ex.Diag(ex.Hadamard(v, w)) @ C),
    ):
        assert equal(ex.Trace(ex.Diag(columns)), ex.Trace(dense))
        assert not equal(ex.Trace(ex.Diag(columns)), ex.Trace(C @ C))
    assert not equal(ex.Trace(ex.Diag(ex.Hadamard(ex.Diagonal(C), v))), ex.Trace(C))
    assert equal(ex.Diagonal(ex.Diag(v)), v)
    assert not equal(ex.Diagonal(ex.Diag(v) @ ex.Diag(v)), v)
    assert not equal(ex.Diagonal(ex.Diag(v) @ C), v)


def test_determinants_of_multiples_of_the_identity():
    n = sympy.Symbol("n", positive=True, integer=True)
    c = ALPHA / BETA
    assert equal(ex.LogDet(c * ex.Identity("n")), ex.expression(n * (sympy.log(ALPHA) - sympy.log(BETA))))
    assert equal(ex.LogDet(4 * ex.Identity("n")), -2 * ex.LogDet(ex.Identity("n") / 2))
    assert not equal(ex.LogDet(c * ex.Identity("n")), ex.LogDet(c * ex.Identity("d")))
    assert not equal(ex.LogDet(c * ex.Identity("n")), ex.LogDet(ex.Identity("n") / c))
    assert equal(ex.LogDet(ex.Identity("n")), ex.expression(0))


def test_functions_are_compared_as_rational_functions():
    t = sympy.Symbol("t")
    quotient = sympy.Lambda(t, (t**2 - 1) / (t**2 + 2 * t + 1))
    assert equal(ex.Entrywise(quotient, A), ex.Entrywise(sympy.Lambda(t, (t - 1) / (t + 1)), A))
    assert not equal(ex.Entrywise(quotient, A), ex.Entrywise(sympy.Lambda(t, (t + 1) / (t - 1)), A))
    assert not equal(ex.Entrywise(sympy.Lambda(t, sympy.log(t)), A), ex.Entrywise(sympy.Lambda(t, t), A))
