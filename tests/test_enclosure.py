"""Enclosures against exact values, on random and adversarial instances; and that wrong bounds are found out."""

from fractions import Fraction
from pathlib import Path

import enclosed
import numpy as np
import oracle
import pytest
from flint import arb

import srr
from srr import _arrays, _intervals, _verified, enclosure

# --- soundness --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("seeds", [range(20), *(range(first, first + 245) for first in range(20, 1000, 245))], ids=str)
def test_the_exact_value_is_inside(seeds):
    failed, compared = enclosed.failures(seeds)
    assert not failed
    assert compared == 12 * len(seeds)


@pytest.mark.slow
@pytest.mark.parametrize("first", range(0, 100_000, 1000))
def test_the_exact_value_is_inside_on_a_hundred_thousand_instances(first):
    assert not enclosed.failures(range(first, first + 1000))[0]


def test_bounds_say_something():
    """What is always infinite is always right: finite values, and changes of small steps, to many digits."""
    relative, bounded = [], 0
    for seed in range(200):
        instance = enclosed.draw(seed)
        for name, found, exact in enclosed.comparisons(instance):
            finite = np.isfinite(found.lower) and np.isfinite(found.upper)
            assert finite or "change" in name, (seed, name)
            bounded += bool(finite)
            if finite and float(arb(exact).mid()) != 0:
                relative.append(float(found.radius) / abs(float(arb(exact).mid())))
    assert bounded > 0.8 * 12 * 200
    assert np.median(relative) < 1e-13


def without_gram_sums(monkeypatch):
    original = _verified.factor

    def factor(given, c):
        return original(given, c)._replace(h=_verified.gamma(given.Y.shape[-1] + 4))

    monkeypatch.setattr(_verified, "factor", factor)


def with_gamma(gamma):
    def patch(monkeypatch):
        for module in (_verified, enclosure):
            monkeypatch.setattr(module, "gamma", gamma)

    return patch


def without_projection_errors(monkeypatch):
    original = _verified.stack
    monkeypatch.setattr(enclosure, "stack", lambda Y, c, s=None, roundings=0: original(Y, c, None, roundings))


def with_eps_not_squared(monkeypatch):
    monkeypatch.setattr(
        enclosure,
        "_constant",
        lambda dimension, n, eps: _verified.Constant.of(Fraction(dimension, n) / Fraction(eps)),
    )


def with_d_for_p(monkeypatch):
    original = enclosure._constant
    monkeypatch.setattr(enclosure, "_constant", lambda dimension, n, eps: original(dimension + 1, n, eps))


def rounded_inwards(monkeypatch):
    def inwards(lower, upper):
        return _intervals.Enclosure(*(np.where(np.isnan(a), b, a) for a, b in ((lower, -np.inf), (upper, np.inf))))

    for module in (_verified, enclosure, _intervals):
        monkeypatch.setattr(module, "outwards", inwards)


def source(old, new):
    """The bounds with a piece of their code changed."""

    def patch(monkeypatch):
        text = Path(_verified.__file__).read_text()
        assert text.count(old) == 1
        changed = dict(vars(_verified))
        exec(compile(text.replace(old, new), "changed", "exec"), changed)
        for name in ("half_log_det", "half_log_det_change"):
            monkeypatch.setattr(enclosure, name, changed[name])

    return patch


WRONG = {
    "all bounds a millionth": with_gamma(lambda m: _intervals.UNIT * m / 1e6),
    "one rounding for any number": with_gamma(lambda m: _intervals.UNIT),
    "no rounding of the Gram sums": without_gram_sums,
    "no error of the projections": without_projection_errors,
    "eps for its square": with_eps_not_squared,
    "a dimension too many": with_d_for_p,
    "not rounded outwards": rounded_inwards,
    "constants beyond the range cut off": source("found.upper + more", "found.upper"),
    "constants up to where a Gram matrix overflows": source("LEAST, MOST = -900, 600", "LEAST, MOST = -900, 900"),
    "no remainder of the change": source("rho * kappa + rest", "rho * kappa"),
    "no second order of the change": source("trace - kappa**2 / 2 - radius", "trace - radius"),
    "no rounding of the change's trace": source("SAFETY * (trace_off + rho * kappa", "SAFETY * (rho * kappa"),
    "half of the change": source("lower / 2, np.nan", "lower / 4, np.nan"),
    "Hadamard's bound halved": source(
        "axis=-1) / 2\n    return outwards(lower", "axis=-1) / 4\n    return outwards(lower"
    ),
}


@pytest.mark.parametrize("wrong", WRONG)
def test_wrong_bounds_are_found_out(wrong, monkeypatch):
    WRONG[wrong](monkeypatch)
    assert any(enclosed.failures([seed])[0] for seed in range(1000))


# --- each part of the argument -----------------------------------------------------------------------------------


def steps(count):
    """Token sets before and after a small step, and ε, with the exact change of R."""
    for seed in range(count):
        rng = np.random.default_rng(seed)
        Z = rng.standard_normal((12, 5)) * 10.0 ** rng.uniform(-3, 0, 5)
        after = Z * (1 + 1e-4 * rng.standard_normal(Z.shape))
        rates = [oracle.coding_rate(A, eps=0.1) for A in (Z, after)]
        yield Z, after, rates


@pytest.mark.parametrize("wrong", [False, True])
def test_any_inverse_factor_will_do(wrong, monkeypatch):
    """One that is off by a thousandth widens the bounds, and they hold; not if what it leaves is forgotten."""
    original = _arrays.inverse_of_triangular

    def disturbed(L):
        return original(L) * (1 + 1e-3 * np.random.default_rng(0).standard_normal(L.shape))

    monkeypatch.setattr(_arrays, "inverse_of_triangular", disturbed)
    if wrong:
        source("radius = SAFETY * (trace_off + rho * kappa + rest", "radius = SAFETY * (trace_off + rest")(monkeypatch)
    held = []
    for Z, after, rates in steps(20):
        assert enclosed.holds(enclosure.coding_rate(Z, eps=0.1), rates[0])
        held.append(enclosed.holds(enclosure.coding_rate_change(Z, after, eps=0.1), rates[1] - rates[0]))
    assert all(held) != wrong


@pytest.mark.parametrize("wrong", [False, True])
def test_a_logarithm_may_err_by_three_units(wrong, monkeypatch):
    for name in ("log", "log1p"):
        exact = getattr(np, name)
        monkeypatch.setattr(_verified.np, name, lambda x, exact=exact: exact(x) * (1 + 6 * _intervals.UNIT))
    if wrong:
        monkeypatch.setattr(_verified, "LOG_ERROR", 0.0)
    held = []
    for scale in 10.0 ** np.arange(0, 100, 5):
        Z = np.array([[scale]])
        held.append(enclosed.holds(enclosure.coding_rate(Z, eps=1.0), oracle.coding_rate(Z, eps=1.0)))
    assert all(held) != wrong


def test_the_inverse_factor_sharpens_where_the_first_bound_is_wide(monkeypatch):
    Z = np.random.default_rng(0).standard_normal((160, 120))
    sharp = enclosure.coding_rate(Z, eps=1e-3)
    monkeypatch.setattr(_verified, "CLEAR", np.inf)
    assert sharp.radius < 1e-4 * enclosure.coding_rate(Z, eps=1e-3).radius
    assert sharp.radius < 1e-11 * sharp.midpoint
    exact = srr.coding_rate(Z, eps=1e-3, method="svd")
    assert sharp.lower <= exact <= sharp.upper


def test_bounds_are_narrow_at_the_sizes_of_networks():
    rng = np.random.default_rng(0)
    Z, U = rng.standard_normal((197, 192)), np.linalg.qr(rng.standard_normal((3, 192, 64)))[0]
    for eps in (1.0, 0.1):
        for found, value in (
            (enclosure.coding_rate(Z, eps=eps), srr.coding_rate(Z, eps=eps, method="svd")),
            (enclosure.subspace_coding_rate(Z, U, eps=eps), srr.subspace_coding_rate(Z, U, eps=eps, method="svd")),
        ):
            assert found.radius <= 1e-9 * found.midpoint
            assert abs(found.midpoint - value) <= found.radius + 1e-12 * value


def test_the_change_is_bounded_to_its_own_digits():
    """Where the values' enclosures overlap a thousandfold."""
    rng = np.random.default_rng(0)
    Z = rng.standard_normal((48, 32))
    U = np.linalg.qr(rng.standard_normal((4, 32, 8)))[0]
    gradient = srr.subspace_coding_rate_and_gradient(Z, U, eps=0.5)[1]
    for step in (1e-6, 1e-9, 1e-12, 1e-14):
        after = Z - step * gradient
        change = enclosure.subspace_coding_rate_change(Z, after, U, eps=0.5)
        assert change.upper < 0
        assert change.radius < 1e-9 * abs(change.midpoint)
        old, new = (enclosure.subspace_coding_rate(A, U, eps=0.5) for A in (Z, after))
        assert (step > 1e-10) == (new.upper < old.lower)


# --- arithmetic of bounds -----------------------------------------------------------------------------------------

INF = float("inf")
HUGE = Fraction(10) ** 400


def bounds(lower, upper):
    return _intervals.Enclosure(np.array([lower]), np.array([upper]))


def ends(found):
    return float(found.lower[0]), float(found.upper[0])


def test_bounds_go_outwards_and_what_is_no_number_says_nothing():
    assert ends(_intervals.outwards(*bounds(1.0, 1.0))) == (1 - 2.0**-53, 1 + 2.0**-52)
    assert ends(_intervals.outwards(*bounds(np.nan, np.nan))) == (-INF, INF)


def test_floats_on_either_side_of_a_rational():
    assert _intervals.between(Fraction(3, 8)) == (0.375, 0.375)
    for x in (Fraction(1, 3), Fraction(1, 10)):  # the nearest float is below, and above
        low, high = _intervals.between(x)
        assert low < x < high == np.nextafter(low, 1)
    assert _intervals.between(HUGE) == (np.finfo(float).max, INF)
    assert _intervals.between(1 / HUGE) == (0.0, 5e-324)
    for x in (Fraction(0), Fraction(1, 3), HUGE):
        assert _intervals.between(-x) == tuple(-bound for bound in reversed(_intervals.between(x)))


def test_sums_multiples_and_negatives_of_bounds():
    x = bounds(1.0, 2.0)
    assert ends(_intervals.negative(x)) == (-2, -1)
    assert ends(_intervals.total(x)) == (1, 2)
    low, high = ends(_intervals.total(x, bounds(-3.0, 0.1), x))
    assert -1 - 1e-15 < low < -1 < Fraction(0.1) + 4 < high < 4.1 + 4e-15
    assert ends(_intervals.total(bounds(-INF, INF), bounds(INF, -INF))) == (-INF, INF)
    nothing = _intervals.times(Fraction(0), bounds(-INF, INF))
    assert ends(nothing) == (0, 0)
    assert nothing.lower.dtype == nothing.upper.dtype == float
    assert ends(_intervals.times(HUGE, bounds(0.0, 1.0))) == (-5e-324, INF)
    assert ends(_intervals.times(HUGE, bounds(-1.0, 0.0))) == (-INF, 5e-324)
    assert ends(_intervals.times(1 / HUGE, bounds(-1.0, 1.0))) == (-1e-323, 1e-323)
    assert ends(_intervals.times(Fraction(10) ** 100, bounds(1e300, 1e300))) == (np.finfo(float).max, INF)


def test_multiples_of_bounds_are_the_next_but_one():
    rng = np.random.default_rng(0)
    for numerator, divisor, *entries in rng.integers(-9, 10, (400, 4)):
        weight, (low, high) = Fraction(int(numerator), 2 * int(divisor) + 1), sorted(float(x) / 7 for x in entries)
        found = ends(_intervals.times(weight, bounds(low, high)))
        exact = sorted((weight * Fraction(low), weight * Fraction(high)))
        assert found[0] <= exact[0] <= found[0] + 3 * np.spacing(abs(found[0]))
        assert found[1] - 3 * np.spacing(abs(found[1])) <= exact[1] <= found[1]


# --- arguments and batches ----------------------------------------------------------------------------------------


def test_a_batch_is_the_stack_of_its_sets():
    rng = np.random.default_rng(0)
    Z, U, D = rng.standard_normal((2, 3, 7, 5)), rng.standard_normal((2, 5, 3)), rng.standard_normal((5, 4))
    Z[0, 1] *= 1e140
    Pi, A = rng.dirichlet(np.ones(2), (3, 7)), rng.standard_normal((2, 3, 7, 4))
    after = Z * (1 + 1e-6 * rng.standard_normal(Z.shape))
    calls = {
        "R": lambda i: enclosure.coding_rate(Z[i], eps=0.3),
        "Rc": lambda i: enclosure.subspace_coding_rate(Z[i], U, eps=0.3),
        "Rpi": lambda i: enclosure.partition_coding_rate(Z[i], Pi[i[1:]], eps=0.3),
        "l1": lambda i: enclosure.l1(Z[i]),
        "loss": lambda i: enclosure.loss(Z[i], U, eps=0.3, lam=0.1),
        "lasso": lambda i: enclosure.lasso(Z[i], D, A[i], lam=0.1),
        "change": lambda i: enclosure.coding_rate_change(Z[i], after[i], eps=0.3),
        "change of Rpi": lambda i: enclosure.partition_coding_rate_change(Z[i], after[i], Pi[i[1:]], eps=0.3),
    }
    for name, call in calls.items():
        whole = call(())
        assert whole.lower.shape == whole.upper.shape == (2, 3), name
        for i in np.ndindex(2, 3):
            one = call(i)
            assert one.lower.shape == (), name
            assert one.lower <= whole.upper[i], name
            assert whole.lower[i] <= one.upper, name


def test_no_sets_have_no_bounds():
    found = enclosure.subspace_coding_rate(np.zeros((0, 3, 2)), np.ones((1, 2, 1)), eps=1.0)
    assert found.lower.shape == found.upper.shape == (0,)
    assert enclosure.l1(np.zeros((0, 3, 2))).lower.shape == (0,)


def test_zero_tokens_have_rate_zero():
    Z = np.zeros((4, 3))
    for found in (
        enclosure.coding_rate(Z, eps=1e-9),
        enclosure.subspace_coding_rate(Z, np.ones((2, 3, 1)), eps=1e-9),
        enclosure.partition_coding_rate(Z, np.eye(2)[[0, 0, 1, 1]], eps=1e-9),
        enclosure.l1(Z),
    ):
        assert found.lower == 0
        assert 0 <= found.upper < 1e-200


def test_what_overflows_is_not_bounded():
    Z = np.full((2, 2), 1e300)
    assert enclosure.l1(Z * 1e8).upper == np.inf
    found = enclosure.lasso(Z, np.eye(2), 0 * Z, lam=0)
    assert found.upper == np.inf
    assert 0 <= found.lower < np.inf


def test_parameters_are_the_rational_numbers_that_they_are():
    Z = np.array([[1e-3]])
    found = enclosure.coding_rate(Z, eps=Fraction(1, 3))
    exact = (arb(1) + 9 * arb(oracle.rational(1e-3)) ** 2).log() / 2
    assert enclosed.holds(found, exact)
    assert not enclosed.holds(enclosure.coding_rate(Z, eps=0.3333333333), exact)
    assert enclosure.lasso(Z, np.ones((1, 1)), Z, lam=Fraction(1, 3)).upper == pytest.approx(1e-3 / 3)
    for number in (2**60 + 1, np.int64(2**60 + 1)):  # that no float is
        assert enclosure._exact_positive(number, "eps") == enclosure._exact_nonnegative(number, "lam") == 2**60 + 1
    assert enclosure.lasso(Z, np.ones((1, 1)), Z, lam=Fraction(0)).upper < 1e-30
    with pytest.raises(ValueError, match=r"^D must have shape \(1, m\) with no empty axis, got \(2, 1\)$"):
        enclosure.lasso(Z, np.ones((2, 1)), Z, lam=0)
    for value, error in ((Fraction(-1, 3), "eps must be > 0, got -1/3"), (Fraction(0), "eps must be > 0, got 0")):
        with pytest.raises(ValueError, match=error):
            enclosure.coding_rate(Z, eps=value)
    with pytest.raises(ValueError, match="lam must be >= 0, got -1/3"):
        enclosure.lasso(Z, np.ones((1, 1)), Z, lam=Fraction(-1, 3))


def test_arrays_of_float64_alone_are_taken():
    with pytest.raises(TypeError, match=r"^Z must be a NumPy array of float64, got numpy\.ndarray of float32$"):
        enclosure.l1(np.ones((2, 2), dtype=np.float32))
    with pytest.raises(
        ValueError, match=r"^before must have shape \(\.\.\., n, d\) with n >= 1 and d >= 1, got \(2,\)$"
    ):
        enclosure.l1_change(np.ones(2), np.ones(2))


def test_memberships_are_asked_for_to_the_rounding_of_float32():
    Z = np.random.default_rng(0).standard_normal((6, 3))
    Pi = np.random.default_rng(1).dirichlet(np.ones(3), 6).astype(np.float32).astype(np.float64)
    assert enclosure.partition_coding_rate(Z, Pi, eps=0.5).upper > 0
    with pytest.raises(ValueError, match=r"Pi must have entries >= 0, got -1e-60"):
        enclosure.partition_coding_rate(Z, np.where(Pi == Pi[0, 0], -1e-60, Pi), eps=0.5)
