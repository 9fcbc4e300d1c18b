"""False statements that look like true ones: every check must refuse them."""

import pytest
import sympy

from derivations import compression_rate, definite, partition_rate, rules
from derivations import expression as ex
from derivations.calculus import differential, gradient
from derivations.checks import AtSizes, Calculus, Lemma, OnInterval, Ray, Spectrum, Squares, Taylor
from derivations.expression import Identity, Inverse, LogDet, Matrix, Sum, Trace, expression, norm_squared
from derivations.normal import Rule, equal
from derivations.notation import H, I_n, Z, alpha
from derivations.proof import Derivation, chain

P = Matrix("P", "n", "n", psd=True)
ZERO, ONE = sympy.Integer(0), sympy.Integer(1)
x = sympy.Symbol("x", nonnegative=True)


def family(name, rows, cols, index, **properties):
    return Matrix(name, rows, cols, index, **properties)


def proved(*steps, **given):
    made = Derivation("made up", "made up", ("none",), "nobody", chain(*steps), **given)
    assert made.proves()
    return made


@pytest.mark.parametrize(
    "constant", [sympy.I, sympy.Symbol("a"), sympy.sqrt(1 - alpha), sympy.sqrt(-2), sympy.Float(0.1)]
)
def test_constants_are_real_and_exact(constant):
    with pytest.raises(ValueError, match="constants must be"):
        constant * H


def test_squares_of_logarithms_that_may_be_complex():
    E = expression(sympy.log(1 - alpha)) * H
    assert not Squares(((1, E),))(expression(0), "<=", norm_squared(E)).accepted


def test_indices_are_not_captured_inside_an_inverse():
    def mutual(k):
        return family("U", "d", "p", k, orthonormal=True, mutually=True)

    def B(k):
        return family("B", "d", "d", k)

    def A(k):
        return family("A", "d", "d", k)

    def C(k):
        return family("C", "p", "d", k)

    V = Matrix("V", "d", "p")
    S_k = Identity("d") + Sum("j", B("j") @ A("k") @ B("j").T)
    S_j = Identity("d") + Sum("j", B("j") @ A("j") @ B("j").T)
    left = Sum("k", Inverse(S_k) @ V @ mutual("k").T) @ Sum("j", mutual("j") @ C("j"))
    assert equal(left, Sum("k", Inverse(S_k) @ V @ C("k")))
    assert not equal(left, Inverse(S_j) @ V @ Sum("k", C("k")))


def test_log_det_of_what_is_more_than_an_inverse():
    A, B = Matrix("A", "n", "n"), Matrix("B", "n", "n")
    assert equal(LogDet(Inverse(A)), -LogDet(A))
    assert not equal(LogDet(Trace(B) * Inverse(A)), -LogDet(A))
    A_k = family("A", "n", "n", "k")
    assert not equal(LogDet(Sum("k", Inverse(A_k), "m")), LogDet(Sum("k", Inverse(A_k), "q")))


def test_numbers_have_reciprocals_and_sums_of_numbers_only_their_own():
    c_k, c_j, b_k = (family(name, 1, 1, index, psd=True) for name, index in (("c", "k"), ("c", "j"), ("b", "k")))
    x = family("x", "d", 1, "k")
    total, share = Sum("k", Trace(c_k)), Trace(c_k) * ex.reciprocal(Sum("j", Trace(c_j)))
    assert equal(Sum("k", share), expression(1))
    assert equal(ex.reciprocal(3 * Trace(b_k)) * Trace(b_k), expression(sympy.Rational(1, 3)))
    assert equal(ex.reciprocal(alpha * Trace(P) * total) * Trace(P), ex.reciprocal(total) / alpha)
    assert not equal(Sum("k", share * share), expression(1))
    assert not equal(Sum("k", share * x), Sum("k", x))
    x_j = family("x", "d", 1, "j")
    share_j = Trace(c_j) * ex.reciprocal(total)
    assert equal(Sum("k", share * x), Sum("j", share_j * x_j))
    assert not equal(Sum("k", Trace(b_k) * ex.reciprocal(total)), expression(1))
    assert not equal(Sum("k", share, "m"), expression(1))
    assert not equal(Trace(c_k) * ex.reciprocal(total), expression(1))
    assert not equal(Trace(P) * ex.reciprocal(Trace(P) + Trace(b_k)), expression(1))
    Z_k = family("Z", "n", "n", "k")
    inside = Sum("k", Trace(Z_k) * Trace(Inverse(I_n + P)))
    assert not equal(ex.reciprocal(inside) * Sum("k", Trace(Z_k)) * Trace(I_n + P), expression(1))
    assert not equal(ex.reciprocal(Sum("k", Trace(c_k) * Trace(Inverse(I_n + Z_k)))) * total, expression(1))


def test_counts_of_sums_matter():
    U = family("U", "d", "p", "k", orthonormal=True, mutually=True, complete=True)
    assert equal(Sum("k", U @ U.T), Identity("d"))
    assert not equal(Sum("k", U @ U.T, "m"), Identity("d"))
    U_j = family("U", "d", "p", "j", orthonormal=True, mutually=True)
    U_k = family("U", "d", "p", "k", orthonormal=True, mutually=True)
    both = Sum("j", Sum("k", Trace(U_j.T @ U_k), "m"), "q")
    assert not equal(both, Sum("k", expression(sympy.Symbol("p", positive=True, integer=True)), "q"))


def test_derivatives_whose_index_is_taken_are_refused():
    X, A = Matrix("X", "n", "d"), family("B", "d", "n", "k")
    along = family("H", "n", "d", "k")
    with pytest.raises(ValueError, match="no derivative in X"):
        differential(Sum("k", Trace(A @ X)), {X: along})
    U_k, U_j = (family("U", "d", "p", index) for index in "kj")
    with pytest.raises(ValueError, match="no derivative in U"):
        gradient(Sum("k", norm_squared(U_k)), U_j)


def test_taylor_needs_a_bound_at_every_point():
    """x⁴ has no bounded second derivative; a hypothesis on x, open or hidden, would make one."""
    x, h = Matrix("x", 1, 1), Matrix("h", 1, 1)
    f = norm_squared(x) * norm_squared(x)
    curvature = ex.Differential(ex.Differential(f, x, h), x, h)
    bound = expression(12) * norm_squared(h)
    hidden = Matrix("Q", 1, 1, psd=True)
    check = Squares(weighted=((12, h, hidden),), rules=(rules.known(hidden, Identity(1) - x.T @ x),))
    small = Derivation("small", "small", ("none",), "nobody", chain(curvature, ("<=", bound, check, ".")))
    assert small.proves()
    moved = norm_squared(x + h) * norm_squared(x + h)
    end = f + ex.Differential(f, x, h) + 6 * norm_squared(h)
    found = Taylor(f, x, h, small, sympy.Integer(12))(moved, "<=", end)
    assert not found.accepted
    assert "at every point" in found.reason
    unit = Matrix("x", "d", 1, orthonormal=True)
    assert not Taylor(norm_squared(unit), unit, Matrix("h", "d", 1), small, ONE)(
        expression(0), "<=", expression(1)
    ).accepted


def test_a_ray_goes_where_f_is_smooth_and_the_slope_is_known():
    X = Matrix("X", "n", "n")
    size = sympy.Symbol("n", positive=True, integer=True)
    singular = LogDet(X.T @ X)
    slope = proved(
        ex.Differential(singular, X, X),
        ("=", expression(2 * size), Calculus(), "."),
        (">=", expression(0), Squares(((2 * size, Identity(1)),)), "."),
    )
    found = Ray(singular, X, slope, low=1, high=2)(singular, "<=", ex.substitute(singular, {X: expression(2) * X}))
    assert not found.accepted
    assert "smooth" in found.reason
    hidden = Matrix("Q", 1, 1, psd=True)
    x = Matrix("X", 1, 1)
    wrong = Squares(weighted=((1, Identity(1), hidden),), rules=(rules.known(hidden, -2 * x.T @ x),))
    falls = proved(ex.Differential(-norm_squared(x), x, x), (">=", expression(0), wrong, "."))
    assert not Ray(-norm_squared(x), x, falls)(expression(0), "<=", -norm_squared(x)).accepted
    unit = Matrix("X", "d", 1, orthonormal=True)
    grows = proved(
        ex.Differential(norm_squared(unit), unit, unit), (">=", expression(0), Squares(((2, Identity(1)),)), ".")
    )
    assert not Ray(norm_squared(unit), unit, grows)(expression(0), "<=", norm_squared(unit)).accepted


def test_the_tangent_of_log_det_stays_where_log_det_is_defined():
    A = Matrix("A", "d", "d", psd=True)
    B = Matrix("B", "d", "d", psd=True)
    step = Lemma(partition_rate.TANGENT, {B: -2 * A})
    assert not step(LogDet(-2 * A), "<=", LogDet(A) - 3 * Trace(Inverse(A) @ A)).accepted


def test_a_lemma_is_used_for_a_whole_family():
    B_k, B_j = (family("B", "n", "n", index) for index in "kj")
    D_k = family("D", "n", "n", "k")
    rename = proved(Sum("k", Trace(B_k)), ("=", Sum("j", Trace(B_j)), Calculus(), "."))
    assert not Lemma(rename, {B_k: D_k})(Sum("k", Trace(D_k)), "=", Sum("j", Trace(B_j))).accepted


def test_a_lemma_takes_no_imaginary_direction():
    with pytest.raises(ValueError, match="constants must be real"):
        Lemma(compression_rate.BESSEL, {H: sympy.I * H})


def test_rules_of_ones_own_are_assumptions():
    made = proved(norm_squared(Z), ("=", expression(0), Calculus((Rule(Z, 0 * Z),)), "."))
    assert made.assumptions


def test_what_a_rule_defines_is_of_the_proof_alone():
    N = Matrix("N", "n", "n", symmetric=True)
    step = ("=", Trace(P), Calculus((rules.root(N, P),)), ".")
    with pytest.raises(ValueError, match="the statement must not name N"):
        proved(Trace(N @ N), step)
    with pytest.raises(ValueError, match="N must be symmetric, and the form of its square show"):
        rules.root(N, Matrix("S", "n", "n", symmetric=True))
    other = Matrix("Q", "n", "n", psd=True)
    twice = Calculus((rules.root(N, P), rules.root(N, other)))
    with pytest.raises(ValueError, match="N is defined twice"):
        proved(Trace(P), ("=", Trace(other), twice, "."))
    with pytest.raises(ValueError, match="nothing may be assumed of N"):
        proved(Trace(P), ("=", expression(0), Calculus((rules.root(N, P), rules.known(N, 0 * N))), "."))


def test_a_derivation_has_a_step():
    with pytest.raises(ValueError, match="a derivation must have a step"):
        Derivation("empty", "empty", (), "nobody", ())


def test_the_variable_of_a_function_is_no_parameter():
    t, entry = sympy.symbols("t entry", real=True)
    A = Matrix("A", "n", "d")
    scaled, squared = (ex.Entrywise(sympy.Lambda(t, f), A) for f in (entry * t, t**2))
    assert not equal(scaled, squared)
    assert equal(scaled, ex.Entrywise(sympy.Lambda(x, entry * x), A))
    diagonal = ex.Diag(ex.Entrywise(sympy.Lambda(t, t - x), ex.Diagonal(P)))
    assert not definite.positive_semidefinite(diagonal)


def test_spectrum_takes_log_of_one_plus_a_constant_multiple_alone():
    t = sympy.Symbol("t")
    square = sympy.Lambda(t, t**2)
    f = sympy.Lambda(t, sympy.log(1 + t**2))
    free = expression(sympy.Symbol("t", real=True))
    assert not Spectrum(f, square, P)(LogDet(I_n + free * P), "<=", Trace(P @ P)).accepted
    assert not Spectrum(sympy.Lambda(t, sympy.log(1 - t)), square, P)(LogDet(I_n - P), "<=", Trace(P @ P)).accepted


@pytest.mark.parametrize(
    "f",
    [
        sympy.log(1 + x) + sympy.Piecewise((0, x < 1), (-100, True)),
        sympy.log(2 - 2 * x) - sympy.log(1 - x),
        sympy.sqrt(1 + x),
        sympy.floor(x),
        sympy.log(sympy.sqrt(1 + x)),
        -sympy.log(1 + x),
    ],
)
def test_on_interval_takes_rational_functions_and_their_logarithms(f):
    try:
        value = expression(f)
    except ValueError:
        return
    found = OnInterval(x, ZERO, sympy.oo)(value, ">=", expression(0))
    assert not found.accepted
    assert found.reason


def test_on_interval_up_to_zero():
    t = sympy.Symbol("t", real=True)
    assert OnInterval(t, -sympy.oo, ZERO)(expression(t), "<=", expression(0)).accepted
    assert not OnInterval(t, -sympy.oo, ZERO)(expression(t), ">=", expression(0)).accepted


def test_identity_tests_count_the_powers_they_compare():
    A = Matrix("A", "n", "n")
    grown = LogDet(A)
    for _ in range(15):
        grown = 16 * grown
    with pytest.raises(ValueError, match="a coefficient of a logarithm"):
        AtSizes(({"n": 2},))(2 * grown, "=", 2 * LogDet(A))
    symmetric, psd = Matrix("A", "n", "n", symmetric=True), Matrix("A", "n", "n", psd=True)
    with pytest.raises(ValueError, match="of one name must be the same"):
        AtSizes(({"n": 2},))(symmetric, "=", psd)


def test_symmetric_matrices_are_square():
    with pytest.raises(ValueError, match="a symmetric matrix must be square"):
        Matrix("A", "n", "d", psd=True)


def test_taylor_asks_for_a_function_that_is_smooth_on_the_way():
    """log⟨a, X⟩² has a pole between X and X + H where ⟨a, X⟩ changes its sign."""
    a, X, E, H = (Matrix(name, "d", 1) for name in "aXEH")
    s = ex.inner(a, X)
    f = ex.log(s * s)
    slope = ex.reciprocal(s) * (ex.inner(a, E) * Identity(1))
    curvature = ex.Differential(ex.Differential(f, X, E), X, E)
    bound = proved(curvature, ("<=", ZERO * norm_squared(E), Squares(((2, slope),)), "a square"))
    moved, end = ex.substitute(f, {X: X + H}), f + ex.Differential(f, X, H)
    found = Taylor(f, X, H, bound, ZERO)(moved, "<=", end)
    assert not found.accepted
    assert "smooth" in found.reason


def test_taylor_takes_nothing_that_is_assumed_of_a_direction():
    A, X, E, H = Matrix("A", "d", "m"), *(Matrix(name, "d", "q") for name in "XEH")
    f, kernel = norm_squared(A.T @ X), rules.known(A.T @ E, 0 * (A.T @ E))
    curvature = ex.Differential(ex.Differential(f, X, E), X, E)
    bound = proved(curvature, ("<=", ZERO * norm_squared(E), Squares(rules=(kernel,)), "E is in the kernel"))
    moved, end = ex.substitute(f, {X: X + H}), f + ex.Differential(f, X, H)
    assert not Taylor(f, X, H, bound, ZERO)(moved, "<=", end).accepted
