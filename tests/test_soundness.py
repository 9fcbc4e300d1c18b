"""False statements that look like true ones: every check must refuse them."""

from dataclasses import replace

import pytest
import sympy

from derivations import compression_rate, definite, existence, partition_rate, rules
from derivations import expression as ex
from derivations.calculus import differential, gradient
from derivations.checks import AtSizes, Calculus, Lemma, OnInterval, Ray, Spectrum, Squares, Taylor
from derivations.expression import Identity, Inverse, LogDet, Matrix, Sum, Trace, expression, norm_squared
from derivations.normal import Rule, equal
from derivations.notation import H, I_d, I_n, Z, alpha
from derivations.plain import text
from derivations.proof import Derivation, Range, chain

P = Matrix("P", "n", "n", psd=True)
ZERO, ONE = sympy.Integer(0), sympy.Integer(1)
x = sympy.Symbol("x", nonnegative=True)


def family(name, rows, cols, index, **properties):
    return Matrix(name, rows, cols, index, **properties)


def derivation(*steps, **given):
    return Derivation("made up", "made up", ("none",), "nobody", chain(*steps), **given)


def proved(*steps, **given):
    made = derivation(*steps, **given)
    assert made.proves()
    return made


def refused(*steps):
    """Why the steps prove nothing, though the rules themselves may accept them."""
    made = derivation(*steps)
    assert not made.proves()
    return "; ".join(finding.reason for finding in made.check())


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


def test_a_family_has_as_many_members_as_it_says():
    e, f = (family("e", "n", 1, index, orthonormal=True, mutually=True, complete=True, count="n") for index in "ij")
    assert equal(Sum("i", e @ e.T, "n"), I_n)
    assert not equal(Sum("i", e @ e.T), I_n)
    assert equal(Sum("i", e @ e.T @ f, "n"), f)
    assert not equal(Sum("i", e @ e.T @ f), f)
    units = Sum("j", Sum("i", Trace(e.T @ f), "n"), "n")
    assert equal(units, expression(n))
    assert not equal(units, expression(K))
    assert definite.positive_definite(Sum("i", e @ Identity(1) @ e.T, "n"))
    assert not definite.positive_definite(Sum("i", e @ Identity(1) @ e.T))
    V = family("V", "d", "p", "k", orthonormal=True, count="m")
    squares = Sum("k", Trace(V.T @ V), "m")
    assert AtSizes(({"d": 4, "p": 2, "m": 3, "K": 2},))(squares, "=", expression(p * m)).accepted
    c = family("c", 1, 1, "i", count="n")
    assert existence.missing((Inverse(c),), (Sum("i", Inverse(c), "n"),), {}) is None
    assert existence.missing((Inverse(c),), (Sum("i", Inverse(c)),), {})
    both = Inverse(c + family("b", 1, 1, "i"))
    assert existence.missing((both,), (both,), {}) is None
    assert existence.missing((both,), (Sum("i", both, "n"),), {})


def test_a_lemma_for_every_member_is_for_as_many_as_it_says():
    X, x_i = Matrix("X", "n", 1), family("x", "n", 1, "i", count="n")
    lemma = proved(-norm_squared(X), ("<=", expression(0), Squares(((1, X),)), "a square"))
    step = Lemma(lemma, {X: x_i}, over="i", count="n")
    assert step(-Sum("i", norm_squared(x_i), "n"), "<=", expression(0)).accepted
    assert not step(-Sum("i", norm_squared(x_i)), "<=", expression(0)).accepted


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


# --- what need not exist -----------------------------------------------------------------------------------------

A, B, X, Y = (Matrix(name, "n", "n") for name in "ABXY")
V = Matrix("v", "n", 1, orthonormal=True)
ON, OFF = V @ V.T, I_n - V @ V.T
"""A projector of rank one, and the one off it, singular both."""
FAMILY = family("U", "d", "p", "k", orthonormal=True, mutually=True, complete=True)
n, d, m, p, K = sympy.symbols("n d m p K", positive=True, integer=True)
CANCELS = proved(X @ Y @ Inverse(Y), ("=", X, Calculus(), "."))


def test_a_lemma_brings_no_inverse_that_there_is_not():
    """P = P(I − P)(I − P)⁻¹ = 0 for a projector P."""
    step = ("=", ZERO * ON, Lemma(CANCELS, {X: ON, Y: OFF}), ".")
    assert derivation(ON, step).steps[0].check().accepted
    assert "there is (I - vvᵀ)⁻¹" in refused(ON, step)
    whole = I_n + ON
    proved(ON @ whole @ Inverse(whole), ("=", ON, Lemma(CANCELS, {X: ON, Y: whole}), "."))
    proved(ON @ OFF @ Inverse(OFF), ("=", ON, Lemma(CANCELS, {X: ON, Y: OFF}), "of no matrix at all"))


def test_a_lemma_for_every_member_brings_an_inverse_of_every_member():
    def member(name, index):
        return family(name, "n", "n", index)

    v = family("v", "n", 1, "k", orthonormal=True)
    on = v @ v.T
    X_k, Y_k = member("X", "k"), member("Y", "k")
    lemma = proved(Trace(X_k @ Y_k @ Inverse(Y_k)), ("=", Trace(X_k), Calculus(), "."))
    step = Lemma(lemma, {X_k: on, Y_k: I_n - on}, over="k")
    total = Sum("k", Trace(on))
    assert "there is (I - v_kv_kᵀ)⁻¹" in refused(total, ("=", ZERO * total, step, "."))
    one, all_of_them = Inverse(Y_k), Sum("k", Inverse(Y_k))
    assert existence.missing((one,), (all_of_them,), {}) is None
    assert existence.missing((all_of_them,), (one,), {})
    assert existence.missing((all_of_them,), (Sum("k", Inverse(Y_k), "m"),), {})


def test_a_step_mentions_no_inverse_that_there_is_not():
    there_and_back = (("=", A @ X @ Inverse(X), Calculus(), "."), ("=", A, Calculus(), "."))
    assert "there is X⁻¹" in refused(A, *there_and_back)
    proved(A @ Inverse(X), ("=", A @ X @ Inverse(X) @ Inverse(X), Calculus(), "."))
    assert "there is X⁻¹" in refused(
        ZERO * A, ("=", ZERO * (A @ Inverse(X)), Calculus(), "."), ("=", ZERO * A, Calculus(), ".")
    )
    nothing, weight = ZERO * Trace(ON), Squares(weighted=((ZERO, V, Inverse(ON)),))
    assert "there is (vvᵀ)⁻¹" in refused(nothing, ("<=", nothing, weight, "."))
    N = Matrix("N", "n", "n", symmetric=True)
    of_a_root = Calculus((rules.root(N, Inverse(ON)),))
    assert "there is (vvᵀ)⁻¹" in refused(A, ("=", A, of_a_root, "."))


def test_what_is_bounded_along_a_way_has_a_value_there():
    """f(R) = −‖vᵀR‖² grows along no ray; where I − vvᵀ is invertible, which is nowhere, it does."""
    R, E, J = (Matrix(name, "n", "n") for name in "REJ")
    nothing = Trace(OFF @ Inverse(OFF)) - Trace(I_n)

    def cancels(M, c):
        return proved(c * Trace(M.T @ X @ Y @ Inverse(Y) @ M), ("=", c * Trace(M.T @ X @ M), Calculus(), "."))

    f, zero = -Trace(R.T @ ON @ R), ZERO * Trace(R.T @ ON @ R)
    vanishes = Lemma(cancels(R, -2), {X: ON, Y: OFF})
    slope = proved(
        ex.Differential(f, R, R) + nothing, ("=", zero, vanishes, "."), (">=", expression(ZERO), Squares(), ".")
    )
    assert "has a value on the ray" in Ray(f, R, slope)(expression(ZERO), "<=", f).reason
    vanishes = Lemma(cancels(E, 2), {X: ON, Y: OFF})
    curvature = ex.Differential(ex.Differential(-f, R, E), R, E) + nothing
    bound = proved(
        curvature, ("=", ZERO * norm_squared(E), vanishes, "."), ("<=", ZERO * norm_squared(E), Squares(), ".")
    )
    moved, end = ex.substitute(-f, {R: R + J}), -f + ex.Differential(-f, R, J)
    assert "has a value on the way" in Taylor(-f, R, J, bound, ZERO)(moved, "<=", end).reason


def test_a_step_mentions_no_basis_that_there_is_not():
    """p ≤ d, and d = Kp, only where there are such bases."""
    W = Matrix("W", "d", "p", orthonormal=True)
    inside = ("=", Trace(W @ W.T), Calculus(), ".")
    assert "there is W" in refused(expression(p), inside, ("<=", expression(d), Squares(((1, I_d - W @ W.T),)), "."))
    proved(Trace(W @ W.T), ("<=", expression(d), Squares(((1, I_d - W @ W.T),)), "."))
    step = ("=", expression(K * p), Calculus((rules.dimension(FAMILY),)), ".")
    assert "there is U" in refused(expression(d), step)
    proved(Trace(Sum("k", FAMILY @ FAMILY.T)), step)


def test_a_step_divides_by_nothing_that_may_be_zero():
    """d − Kp is zero for a complete family, and X(d − Kp)/(d − Kp) is X for no other."""
    C = Matrix("C", "d", "d")
    start, q = C + ZERO * Sum("k", FAMILY @ FAMILY.T), expression(1 / (d - K * p))
    step = ("=", q * (d * C - K * p * C), Calculus(), ".")
    assert "nothing shows that there is 1/(-K p + d)" in refused(
        start, step, ("=", ZERO * C, Calculus((rules.dimension(FAMILY),)), ".")
    )
    t = sympy.Symbol("t", real=True)
    over = ex.Entrywise(sympy.Lambda(t, 1 / t), A)
    assert "nothing shows" in refused(B, ("=", B + ZERO * over, Calculus(), "."), ("=", B, Calculus(), "."))
    scaled = I_n + (d - K * p) * X
    solved = expression(1 / (d - K * p)) * (I_n - Inverse(scaled))
    assert not equal(X @ Inverse(scaled), solved)
    assert equal(X @ Inverse(I_n + d * X), expression(1 / d) * (I_n - Inverse(I_n + d * X)))


def test_an_equation_divides_by_nothing_that_may_be_zero():
    """(1 − α)A = Y = (1 − α)B says nothing of A and B at α = 1."""
    given = Calculus((rules.known((1 - alpha) * A, Y), rules.known((1 - alpha) * B, Y)))
    with pytest.raises(ValueError, match="the factor of a rule's left side must not be zero"):
        given(A, "=", B)


def test_a_rule_has_sides_of_one_shape():
    with pytest.raises(ValueError, match="the sides of a rule must have one shape"):
        rules.root(Matrix("N", "n", "n", symmetric=True), Matrix("Q", "d", "d", psd=True))


@pytest.mark.parametrize("declared", [{"orthonormal": True}, {"complete": True}, {"diagonal": True}])
def test_a_root_is_no_more_than_a_root(declared):
    with pytest.raises(ValueError, match="N must be declared no more than a root is"):
        rules.root(Matrix("N", "n", "n", symmetric=True, **declared), P)


def test_one_root_is_not_that_of_every_member():
    with pytest.raises(ValueError, match="one for each member"):
        rules.root(Matrix("N", "n", "n", symmetric=True), family("Q", "n", "n", "k", psd=True))
    rules.root(family("N", "n", "n", "k", symmetric=True), family("Q", "n", "n", "k", psd=True))


def test_roots_are_defined_once_and_from_what_is_given():
    """P A = N N A = A V V = A Q for roots of P and Q that have nothing to do with one another."""
    N, W = (Matrix(name, "n", "n", symmetric=True) for name in "NW")
    Q = Matrix("Q", "n", "n", psd=True)
    passes = rules.roots(A, sympy.Integer(1), N, W)[2]
    first, second = Calculus((rules.root(N, P),)), Calculus((passes, rules.root(W, Q)))
    with pytest.raises(ValueError, match="N is defined twice"):
        derivation(P @ A, ("=", N @ N @ A, first, "."), ("=", A @ Q, second, "."))
    mutual = (rules.root(N, I_n + W @ W), rules.root(W, I_n + N @ N))
    one, other = (Calculus((rule,)) for rule in mutual)
    with pytest.raises(ValueError, match="nothing may be defined from"):
        derivation(ZERO * A, ("=", I_n + W @ W - N @ N, one, "."), ("=", 2 * I_n, other, "."))


@pytest.mark.parametrize("value", [sympy.I * (1 - alpha), sympy.asin(alpha), sympy.Function("f")(alpha), sympy.nan])
def test_constants_of_unknown_kind_are_refused(value):
    with pytest.raises(ValueError, match="constants must be real"):
        expression(value)


def test_functions_are_real_and_have_derivatives():
    t, u = sympy.Symbol("t", real=True), sympy.Symbol("u", nonnegative=True)
    for f in (sympy.Lambda(t, sympy.I * t), sympy.Lambda(u, sympy.sqrt(u))):
        with pytest.raises(ValueError, match="a function must be real"):
            ex.Entrywise(f, A)
    with pytest.raises(ValueError, match="made of exp and log to have a derivative"):
        differential(ex.Entrywise(sympy.Lambda(t, sympy.Abs(t)), A), {A: B})


def test_rotations_are_not_all_orthogonal_matrices():
    """V + Vᵀ = tr(V) I for rotations of the plane, not for reflections."""
    for orthogonal in ({"orthonormal": True}, {"complete": True}):
        O = Matrix("O", "n", "n", **orthogonal)  # noqa: E741
        assert not AtSizes(({"n": 2},))(O + O.T, "=", Trace(O) * I_n).accepted
    tall = Matrix("O", "d", "n", orthonormal=True)
    assert AtSizes(({"n": 2, "d": 3},))(tall @ tall.T @ tall, "=", tall).accepted


def test_what_holds_at_stated_sizes_is_no_lemma_for_all():
    small = proved(A @ B, ("=", B @ A, AtSizes(({"n": 1},)), "."))
    assert "for all sizes" in Lemma(small)(A @ B, "=", B @ A).reason


def test_a_range_is_part_of_the_statement():
    """x² ≤ x on [0, 1] alone, also where it is used."""
    s = sympy.Symbol("s", positive=True)
    below = proved(expression(s**2), ("<=", expression(s), OnInterval(s, ZERO, ONE), "."))
    used = proved(s**2 * norm_squared(A), ("<=", s * norm_squared(A), Lemma(below, {}, norm_squared(A)), "."))
    assert used.ranges == below.ranges == (Range(s, ZERO, ONE),)
    assert "for 0 ≤ s ≤ 1" in text(used, used.check())
    everywhere = OnInterval(s, ZERO, sympy.oo)
    assert not proved(expression(s), (">=", expression(ZERO), everywhere, ".")).ranges


def test_a_name_is_that_of_one_thing():
    s, other = sympy.Symbol("s", positive=True), sympy.Symbol("s", real=True)
    plain = Matrix("P", "n", "n")
    member, counted = family("P", "n", "n", "k", psd=True), family("Q", "n", "n", "k", count="s")
    for twice in (
        Trace(P) + ZERO * Trace(plain),
        Trace(P) + ZERO * expression(other) + expression(s),
        Trace(P) + ZERO * Sum("k", Trace(member)),
        expression(s) + ZERO * Trace(counted),
        expression(s) + ZERO * Sum("k", Trace(P), "s"),
    ):
        with pytest.raises(ValueError, match="must be the name of one thing"):
            derivation(expression(ZERO), ("<=", twice, Squares(((s, Identity(1)),), ((1, I_n, P),)), "."))


def test_a_matrix_is_no_member_of_a_family_of_its_name():
    """Σ_k ‖UᵀU_k‖² = p for U a member, and 0 for U orthogonal to all."""
    one, members = (Matrix("U", "d", "p", index, orthonormal=True, mutually=True) for index in ("", "k"))
    assert not equal(Sum("k", norm_squared(one.T @ members)), expression(p))
    assert equal(Sum("k", norm_squared(replace(one, index="j").T @ members)), expression(p))


def test_a_sum_is_over_all_members_of_a_family():
    """Σ_{i ≤ K} ‖e_i‖² = K has no meaning where there are n of them, and n is less."""
    e = family("e", "n", 1, "i", orthonormal=True, count="n")
    with pytest.raises(ValueError, match="a sum over i must be over all n members, got K"):
        proved(Sum("i", norm_squared(e)), ("=", expression(K), Calculus(), "."))
    proved(Sum("i", norm_squared(e), "n"), ("=", expression(n), Calculus(), "."))


def test_products_of_logarithms_and_numbers_exist_with_their_factors():
    s = ex.inner(V, A @ V)
    stated = ex.log(s * s)
    assert existence.missing((ex.reciprocal(s),), (stated,), {}) is None
    assert existence.missing((ex.reciprocal(s + 1),), (stated,), {})
    assert existence.missing((LogDet(A),), (Inverse(2 * A @ B),), {}) is None
    assert existence.missing((LogDet(A),), (Inverse(Matrix("C", "n", "d") @ Matrix("D", "d", "n")),), {})
    assert existence.missing((Inverse(X),), (LogDet(P),), {X: P}) is None
