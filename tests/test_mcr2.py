"""MCR²: objectives against their formulas, optima against searches, and where float64 is at its ends."""

import itertools
import math

import mpmath
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.optimize import minimize_scalar

import srr
from srr import mcr2

shares = st.floats(0.001, 0.999)
constants = st.floats(1e-3, 1e3)
rng = np.random.default_rng(0)
Z = rng.standard_normal((7, 3))
Pi = np.eye(2)[[0, 0, 0, 1, 1, 1, 1]]


def test_the_regularised_objective_and_its_gradient():
    value, gradient = mcr2.regularised_and_gradient(Z, Pi, eps=0.7, lam=0.3)
    assert value == pytest.approx(srr.rate_reduction(Z, Pi=Pi, eps=0.7) - 0.15 * np.sum(Z**2), rel=1e-14)
    assert value == mcr2.regularised(Z, Pi, eps=0.7, lam=0.3)
    H, h = rng.standard_normal(Z.shape), 1e-6
    ends = [mcr2.regularised(Z + s * h * H, Pi, eps=0.7, lam=0.3) for s in (1, -1)]
    assert np.sum(gradient * H) == pytest.approx((ends[0] - ends[1]) / (2 * h), rel=1e-8)


def test_the_contrastive_objective_with_ones_is_the_rate_reduction():
    expected = srr.rate_reduction(Z, Pi=Pi, eps=0.7)
    assert mcr2.contrastive(Z, Pi, eps=0.7) == pytest.approx(expected, rel=1e-13)
    inner, outer = 20.0, 0.05
    whole = np.linalg.slogdet(np.eye(3) + inner * 3 / (7 * 0.49) * Z.T @ Z)[1] / 2
    expected = outer * whole - srr.partition_coding_rate(Z, Pi, eps=0.7)
    assert mcr2.contrastive(Z, Pi, eps=0.7, inner=inner, outer=outer) == pytest.approx(expected, rel=1e-13)


def test_the_closed_loop_distance_is_a_rate_reduction():
    other = rng.standard_normal(Z.shape)
    both, labels = np.concatenate([Z, other]), np.repeat(np.eye(2), 7, axis=0)
    expected = srr.rate_reduction(both, Pi=labels, eps=0.7)
    assert mcr2.closed_loop_distance(Z, other, eps=0.7) == pytest.approx(expected, rel=1e-12)
    assert mcr2.closed_loop_distance(Z, -Z[::-1], eps=0.7) == pytest.approx(0, abs=1e-14)
    stack = np.stack([other, Z])
    found = mcr2.closed_loop_distance(Z, stack, eps=0.7)
    assert found.shape == (2,)
    assert found[0] == pytest.approx(expected, rel=1e-12)
    assert mcr2.closed_loop_distance(stack, Z, eps=0.7) == pytest.approx(found)


# --- one class --------------------------------------------------------------------------------------------------


@given(shares, constants, st.floats(1e-3, 1e3))
def test_the_turning_point_parts_convex_from_concave(share, constant, ratio):
    x, h = ratio * mcr2.turning_point(share, constant), 1e-3

    def slope(x):
        return constant**2 * x * (1 - share) / ((1 + constant * x) * (share + constant * x))

    rises = slope(x * (1 + h)) > slope(x)
    if ratio < 0.99 or ratio > 1.01:
        assert rises == (ratio < 1)
    assert slope(mcr2.turning_point(share, constant)) == pytest.approx(mcr2.largest_weight(share, constant), rel=1e-9)


@given(shares, constants)
def test_the_tangent_point_is_where_the_ray_from_zero_touches(share, constant):
    best = mcr2.tangent_point(share, constant)
    found = minimize_scalar(
        lambda u: -mcr2.shape(math.exp(u), share, constant) / math.exp(u),
        bracket=(math.log(best) - 1, math.log(best) + 1),
    )
    assert math.exp(found.x) == pytest.approx(best, rel=1e-5)
    assert best / mcr2.turning_point(share, constant) > 2.16


def test_the_tangent_point_at_the_published_shares():
    ratios = {0.5: 2.171, 0.25: 2.195, 0.1: 2.251, 0.01: 2.486, 1e-3: 2.803, 1e-4: 3.150}
    for share, ratio in ratios.items():
        found = mcr2.tangent_point(share, 2.0) / mcr2.turning_point(share, 2.0)
        assert found == pytest.approx(ratio, abs=6e-4)


@pytest.mark.parametrize("power", [8, 16, 40, 100])
def test_the_tangent_point_of_a_vanishing_class(power):
    """t² = log(1/γ) + 2 log t − 2 + o(1)."""
    share = 10.0**-power
    t = mcr2.tangent_point(share, 1.0) / mcr2.turning_point(share, 1.0)
    assert t * t == pytest.approx(power * math.log(10) + 2 * math.log(t) - 2, abs=2e-2)


@pytest.mark.parametrize("share", [5.6e-8, 1e-8, 1e-12, 1e-6])
def test_the_tangent_point_to_its_last_digits(share):
    """The first is where the series for small u = γ^½ t has the least digits."""
    with mpmath.workdps(50):
        g = mpmath.sqrt(share)

        def excess(t):
            u = g * t
            return (mpmath.log1p(u) - u / (1 + u)) / g**2 + t / (g + t) - mpmath.log1p(t / g)

        found = mcr2.tangent_point(share, 3.0) / mcr2.turning_point(share, 3.0)
        assert found == pytest.approx(float(mpmath.findroot(excess, found, tol=1e-30)), rel=1e-14, abs=0)


def test_the_tangent_point_of_the_least_share():
    least = np.finfo(float).smallest_normal
    t = mcr2.tangent_point(least, 1.0) / mcr2.turning_point(least, 1.0)
    assert t * t == pytest.approx(-math.log(least) + 2 * math.log(t) - 2, abs=2e-2)


@given(shares, constants, st.floats(0.001, 0.999))
def test_stationary_points_are_roots_of_the_slope(share, constant, part):
    lam = part * mcr2.largest_weight(share, constant)
    smaller, larger = mcr2.stationary_points(share, constant, lam)
    turning = mcr2.turning_point(share, constant)
    assert smaller <= turning * (1 + 1e-9)
    assert larger >= turning * (1 - 1e-9)
    for x in (smaller, larger):
        slope = constant**2 * x * (1 - share) / ((1 + constant * x) * (share + constant * x))
        assert slope == pytest.approx(lam, rel=1e-9)


def test_there_are_none_above_the_largest_weight():
    bound = mcr2.largest_weight(0.25, 4.0)
    assert bound == 4 / 3
    assert mcr2.stationary_points(0.25, 4.0, bound * 1.001) is None
    at_end = mcr2.stationary_points(0.25, 4.0, bound)
    assert at_end == pytest.approx((0.125, 0.125), rel=1e-6)


# --- all classes ------------------------------------------------------------------------------------------------


@given(
    st.lists(st.tuples(st.integers(1, 3), st.integers(1, 6)), min_size=2, max_size=3),
    st.floats(0.05, 3.0),
)
def test_the_optimum_is_the_best_of_all_ranks(classes, eps):
    dimensions = [m for m, _ in classes]
    sizes = [m * t for m, t in classes]
    d = sum(dimensions) + 1
    found = mcr2.optimum(sizes, dimensions, d, eps=eps)
    n = sum(sizes)

    def value(ranks):
        total = 0.0
        for size, r in zip(sizes, ranks, strict=True):
            a = d / (n * eps**2) * size / r
            total += r / 2 * (math.log1p(a) - size / n * math.log1p(a * n / size))
        return total

    best = max(itertools.product(*(range(1, m + 1) for m in dimensions)), key=value)
    assert found.value == pytest.approx(value(best), rel=1e-12, abs=1e-15)
    assert found.squares == tuple(size / r for size, r in zip(sizes, found.ranks, strict=True))


def test_the_four_examples_in_which_the_theorem_fails_or_holds():
    cases = (((10, 10), (2, 2), 4, 1.0878, (1, 1)), ((20, 20), (5, 5), 10, 0.78567, (4, 4)))
    for sizes, dimensions, d, square, ranks in cases:
        found = mcr2.optimum(sizes, dimensions, d, eps=math.sqrt(square))
        assert found.ranks == ranks
        assert all(square**2 < m / sum(sizes) * (d / q) ** 2 for m, q in zip(sizes, dimensions, strict=True))
    assert mcr2.optimum((10, 20, 40), (3, 4, 5), 12, eps=math.sqrt(0.1)).ranks == (3, 4, 5)


def test_the_regularised_optimum_gives_directions_to_the_smallest_classes():
    found = mcr2.regularised_optimum((6, 9, 12), 4, eps=math.sqrt(0.3), lam=0.1)
    assert found.ranks == (4, 0, 0)
    assert found.squares[1:] == (0, 0)
    for sizes, ranks in (((12, 9, 6), (0, 0, 4)), ((12, 2, 9), (0, 2, 2))):
        assert mcr2.regularised_optimum(sizes, 4, eps=math.sqrt(0.3), lam=0.1).ranks == ranks
    built = np.zeros((27, 4))
    built[np.arange(4), np.arange(4)] = math.sqrt(found.squares[0])
    labels = np.repeat(np.eye(3), (6, 9, 12), axis=0)
    value, gradient = mcr2.regularised_and_gradient(built, labels, eps=math.sqrt(0.3), lam=0.1)
    assert value == pytest.approx(found.value, rel=1e-12)
    assert np.max(np.abs(gradient)) < 1e-12


def test_a_large_weight_leaves_nothing():
    bound = mcr2.largest_weight(0.5, 4 / (8 * 0.25))
    assert mcr2.regularised_optimum((4, 4), 4, eps=0.5, lam=2 * bound) == ((0, 0), (0.0, 0.0), 0.0)
    assert mcr2.regularised_optimum((4, 4), 4, eps=0.5, lam=0.99 * bound).ranks == (0, 0)  # above f′(x_S)
    assert sum(mcr2.regularised_optimum((4, 4), 4, eps=0.5, lam=0.1 * bound).ranks) == 4


def test_dimensions_must_fit():
    with pytest.raises(ValueError, match=r"dimensions must be one for each size, with a sum <= d = 3, got \(2, 2\)"):
        mcr2.optimum((4, 4), (2, 2), 3, eps=0.5)
    with pytest.raises(ValueError, match="dimensions must be one for each size"):
        mcr2.optimum((4, 4), (2,), 4, eps=0.5)
