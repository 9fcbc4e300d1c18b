"""Rates of tokens at the ends of the range of floats."""

import math

import families
import numpy as np
import oracle
import pytest
from exact_rates import METHODS, SINGLE, every_dtype, exact, exact_gradient, imprecise, subspace_parts
from families import Tokens

import srr
from srr import rates
from srr._arrays import FactorisationError


@every_dtype
@pytest.mark.parametrize("part", [1 / 64, 0.8])
def test_tokens_at_the_very_top_of_the_range(dtype, part):
    top = float(np.finfo(dtype).max) * part
    report = srr.coding_rate(np.full((6, 5), top, dtype=dtype), eps=0.5, report=True)
    exact = math.log(top) + math.log(5 / 6 / 0.25 * 30) / 2  # rank one
    assert math.isfinite(report.error_bound)
    assert abs(float(report.value) - exact) <= float(report.error_bound * report.value)


@every_dtype
@pytest.mark.parametrize("rate", SINGLE[:5], ids=str)
@pytest.mark.parametrize(("n", "d"), [(6, 4), (3, 5), (4, 4)])
@pytest.mark.parametrize("method", ["auto", "svd"])
def test_singular_values_beyond_the_range(rate, dtype, n, d, method):
    """√α·σ is infinite, its logarithm is not."""
    huge = 1e160 if dtype == np.float64 else 1e30
    t = Tokens(n=n, d=d, rank=4, scale=huge, eps=1 / huge, dtype=dtype)
    Z, given, u = t.Z, rate.arguments(t), families.roundoff(dtype)
    value, gradient = rate.value_and_gradient(Z, **given, eps=t.eps, method=method)
    size = 30 * (n + d) * u
    assert rate.value(Z, **given, eps=t.eps, method=method) == value
    assert oracle.error(value, exact(rate, t)) <= size * float(value)
    scale = 30 / huge  # condition of the tokens and bases over their size
    assert oracle.gradient_error(gradient, exact_gradient(rate, t)) <= size * scale
    assert np.max(np.abs(gradient)) > 0.01 / huge
    bound = rate.value(Z, **given, eps=t.eps, method=method, report=True).error_bound
    assert 0 < bound < (1 if rate.parts is subspace_parts else np.sqrt(u))


@imprecise
@every_dtype
@pytest.mark.parametrize("rate", SINGLE, ids=str)
def test_noise_beyond_the_range(rate, dtype):
    """Rank deficient: what rounding puts in place of zero is known by its logarithm only, and the bound says so."""
    huge = 1e160 if dtype == np.float64 else 1e30
    t = Tokens(n=6, d=4, rank=2, scale=huge, eps=1 / huge, dtype=dtype)
    report = rate.value(t.Z, **rate.arguments(t), eps=t.eps, report=True)
    assert math.isfinite(report.value)
    assert math.isfinite(report.error_bound)
    assert oracle.error(report.value, exact(rate, t)) <= float(report.error_bound * report.value)


@pytest.mark.parametrize("scale", [1e-170, 1e-150, 1e150, 1e154, 1e200, 1e300])
def test_bound_of_the_subspace_rate_at_any_scale(scale):
    """A power of two of both tokens and precision changes nothing, the bound included."""
    t, power = Tokens(n=6, d=4, rank=4), 2.0 ** round(math.log2(scale))
    U = t.bases(2, 2)
    plain = rates.subspace_coding_rate(t.Z, U, eps=0.5, report=True, method="svd")
    moved = rates.subspace_coding_rate(t.Z * power, U, eps=0.5 * power, report=True, method="svd")
    assert moved.value == plain.value
    np.testing.assert_allclose(moved.error_bound, plain.error_bound, rtol=1e-12)
    tiny = rates.subspace_coding_rate(t.Z * power, U / power, eps=0.5, report=True, method="svd")
    np.testing.assert_allclose(tiny.error_bound, plain.error_bound, rtol=1e-12)


@pytest.mark.parametrize("method", METHODS)
def test_projections_beyond_the_range_are_named(method):
    Z, U = np.full((3, 2), 1e200), np.full((1, 2, 1), 1e200)
    for function in (rates.subspace_coding_rate, rates.subspace_coding_rate_and_gradient):
        with pytest.raises(ValueError, match=r"Z U must be finite, got inf at index"):
            function(Z, U, eps=0.5, method=method)


@pytest.mark.parametrize("scale", [1e-170, 1e-320])
def test_cholesky_of_tokens_whose_rate_no_float_holds(scale):
    value, gradient = rates.coding_rate_and_gradient(np.full((3, 2), scale), eps=0.5, method="cholesky")
    assert value == 0
    np.testing.assert_allclose(gradient, 2 / (3 * 0.25) * scale, rtol=1e-3)
    with pytest.raises(FactorisationError):
        rates.coding_rate(np.full((3, 2), 1e-9), eps=0.5, method="cholesky")
