"""Rates and gradients against exact rationals, on every size, shape, rank, condition and scale of ``families``."""

import warnings
from dataclasses import replace

import families
import numpy as np
import oracle
import pytest
from exact_rates import (
    CODING,
    METHODS,
    RATES,
    SINGLE,
    called,
    every_dtype,
    every_rate,
    exact,
    exact_gradient,
    gradient_magnitude,
    listing,
    magnitude,
    stable,
    stable_gradient,
    subspace_parts,
)
from families import Tokens
from hypothesis import given
from hypothesis import strategies as st

import srr
from srr import rates
from srr._arrays import FactorisationError, PrecisionWarning


def wrong_value(rate, tokens, method):
    """What is wrong with the value by ``method``; empty if nothing is."""
    Z, given = tokens.Z, rate.arguments(tokens)
    reference = exact(rate, tokens)
    try:
        (value, _, bound), _ = called(rate.value, Z, **given, eps=tokens.eps, method=method, report=True)
        plain, warned = called(rate.value, Z, **given, eps=tokens.eps, method=method)
    except FactorisationError:
        return "" if method == "cholesky" else "raised FactorisationError"
    if value.dtype != tokens.dtype or value.shape != ():
        return f"returned {value.dtype} {value.shape}"
    if plain != value:
        return f"is {plain!r}, reported as {value!r}"
    off, floor = oracle.error(value, reference), np.finfo(tokens.dtype).smallest_normal
    if np.isfinite(bound) and not off <= float(bound) * abs(float(value)) + floor:
        return f"is off by {off:.2e} of {float(value):.2e}, the bound says {float(bound):.2e} relative"
    parts = rate.parts(Z, tokens.eps, **given)
    precise = np.sqrt(families.roundoff(tokens.dtype)) * magnitude(parts)
    allowed = stable(parts, tokens.dtype) + (precise if method == "auto" else 0)
    if method == "cholesky":
        return ""
    if not off <= allowed:
        return f"is off by {off:.2e} of {float(value):.2e}, allowed {allowed:.2e}"
    if off > precise + floor and not warned:
        return f"is off by {off:.2e} of {float(value):.2e} and nothing said so"
    return ""


@every_rate
@every_dtype
@pytest.mark.parametrize("method", METHODS)
def test_value_on_the_explicit_family(rate, dtype, method):
    """So that no route returns NaN or a wrong number without a word."""
    wrong = [(t, w) for t in families.explicit(dtype) if (w := wrong_value(rate, t, method))]
    assert not wrong, listing(wrong)


@given(rate=st.sampled_from(RATES), tokens=families.tokens(), method=st.sampled_from(METHODS))
def test_value(rate, tokens, method):
    assert wrong_value(rate, tokens, method) == ""


@every_dtype
def test_cholesky_raises_rather_than_return_noise(dtype):
    t = Tokens(n=16, d=32, rank=2, eps=1e-9 if dtype == np.float64 else 1e-4, dtype=dtype)
    with pytest.raises(FactorisationError, match="method"):
        rates.coding_rate(t.Z, eps=t.eps, method="cholesky")


@every_dtype
@pytest.mark.parametrize("rate", SINGLE, ids=str)
def test_a_warning_is_given_just_where_the_bound_is_above_the_promise(rate, dtype):
    promise, seen = np.sqrt(families.roundoff(dtype)), set()
    for t in families.hard(dtype):
        Z, given = t.Z, rate.arguments(t)
        bound = called(rate.value, Z, **given, eps=t.eps, report=True)[0].error_bound
        warned = called(rate.value, Z, **given, eps=t.eps)[1]
        seen.add(warned)
        # A warning leaves out the rounding of ZU, so there can be fewer than the bound asks for.
        if bound < promise / 2:
            assert not warned, (t, bound)
        elif bound > 2 * promise and rate.parts is not subspace_parts:
            assert warned, (t, bound)
    assert seen == {True, False}


class Calls:
    """Ways to a rate that the precision does not determine, each one call from here."""

    t = Tokens(n=6, d=6, rank=2, eps=1e-13)
    Z = np.stack([t.Z, replace(t, seed=1).Z, replace(t, seed=2).Z])

    @staticmethod
    def torch(method):
        import torch

        Z = torch.tensor(Calls.Z, requires_grad=True)
        srr.coding_rate(Z, eps=1e-13, method=method).sum().backward()

    @staticmethod
    def jax(method):
        import jax

        with jax.enable_x64(True):
            jax.grad(lambda Z: srr.coding_rate(Z, eps=1e-13, method=method).sum())(jax.numpy.asarray(Calls.Z))


@pytest.mark.parametrize(
    "call",
    [
        lambda: srr.coding_rate(Calls.Z, eps=1e-13),
        lambda: srr.coding_rate_and_gradient(Calls.Z, eps=1e-13),
        lambda: srr.subspace_coding_rate(Calls.Z, Calls.t.bases(3, 4), eps=1e-13),
        lambda: srr.partition_coding_rate(Calls.Z, Calls.t.memberships(2), eps=1e-13),
        lambda: srr.rate_reduction(Calls.Z, U=Calls.t.bases(3, 4), eps=1e-13),
        lambda: srr.rate_reduction_and_gradient(Calls.Z, Pi=Calls.t.memberships(2), eps=1e-13),
        lambda: srr.SparseRateReduction(Calls.t.bases(3, 4), 1e-13, 0.1).loss(Calls.Z),
        lambda: srr.layers.descent(Calls.t.bases(3, 4), eps=1e-13, lam=0.1).compress(Calls.Z),
        lambda: Calls.torch("auto"),
        lambda: Calls.jax("auto"),
    ],
)
def test_one_warning_a_call_and_it_points_at_the_call(call, monkeypatch):
    monkeypatch.setattr(srr._arrays, "BLOCK_BYTES", 1)  # a block for each element of the batch
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        call()
    assert [(w.category, w.filename) for w in caught] == [(PrecisionWarning, __file__)]


def test_no_warning_of_a_part_that_does_not_matter():
    """A class of rank two, of which rounding leaves nothing, with a 1e-18th of the tokens."""
    t = Tokens(n=20, d=4, rank=4, eps=1e-13)
    Pi = np.stack([np.ones(20), 1e-17 * (np.arange(20) < 4)], axis=1)
    Z = t.Z
    Z[:4] = Tokens(n=4, d=4, rank=2).Z
    assert not called(rates.partition_coding_rate, Z, Pi, eps=t.eps)[1]
    assert called(rates.coding_rate, Z[:4], eps=t.eps)[1]


@every_dtype
def test_a_failed_factorisation_of_torch_is_no_value(dtype):
    """Where NumPy raises, torch leaves half a factor behind, all of it finite."""
    torch = pytest.importorskip("torch")
    raised = 0
    for t in (Tokens(n=n, d=8, rank=r, eps=10.0**-e, dtype=dtype) for n in (6, 8) for r in (2, 5) for e in range(10)):
        try:
            value, _, bound = rates.coding_rate(torch.tensor(t.Z), eps=t.eps, method="cholesky", report=True)
        except FactorisationError:
            raised += 1
        else:
            assert oracle.error(value, exact(CODING, t)) <= float(bound * value), t
    assert 0 < raised < 40


# --- gradients --------------------------------------------------------------------------------------------------


def wrong_gradient(rate, tokens, method):
    """What is wrong with value and gradient, computed together; empty if nothing is."""
    Z, given = tokens.Z, rate.arguments(tokens)
    try:
        results, warned = called(rate.value_and_gradient, Z, **given, eps=tokens.eps, method=method)
    except FactorisationError:
        return "" if method == "cholesky" else "raised FactorisationError"
    value, gradient = results
    if gradient.dtype != tokens.dtype or gradient.shape != Z.shape:
        return f"has gradient {gradient.dtype} {gradient.shape}"
    if method == "cholesky" and np.isfinite(value) and np.isfinite(gradient).all():
        return ""  # all it owes here; for its value there is a bound, see wrong_value
    parts, promise = rate.parts(Z, tokens.eps, **given), np.sqrt(families.roundoff(tokens.dtype))
    for what, off, size, allowed in (
        ("value", oracle.error(value, exact(rate, tokens)), magnitude(parts), stable(parts, tokens.dtype)),
        (
            "gradient",
            oracle.gradient_error(gradient, exact_gradient(rate, tokens)),
            gradient_magnitude(parts),
            stable_gradient(parts, tokens.dtype),
        ),
    ):
        if method == "auto":
            allowed += promise * size
        if not off <= allowed:
            return f"has a {what} off by {off:.2e} of {size:.2e}, allowed {allowed:.2e}"
        if what == "value" and off > promise * size + np.finfo(tokens.dtype).smallest_normal and not warned:
            return f"has a value off by {off:.2e} of {size:.2e} and nothing said so"
    return ""


@every_rate
@every_dtype
@pytest.mark.parametrize("method", ["auto", "svd"])
def test_gradient_on_the_explicit_family(rate, dtype, method):
    wrong = [(t, w) for t in families.explicit(dtype) if max(t.n, t.d) < 50 and (w := wrong_gradient(rate, t, method))]
    assert not wrong, listing(wrong)


@given(rate=st.sampled_from(RATES), tokens=families.tokens(sizes=(1, 2, 3, 5)), method=st.sampled_from(METHODS))
def test_gradient(rate, tokens, method):
    assert wrong_gradient(rate, tokens, method) == ""


@every_dtype
def test_inverses_by_halves(dtype, monkeypatch):
    """As of large matrices; here, from size 2 on."""
    monkeypatch.setattr(srr._arrays, "DIRECTLY_INVERTED", 1)
    for rate in SINGLE:
        for n, d in ((5, 4), (4, 6), (5, 5)):
            t = Tokens(n=n, d=d, rank=4, eps=0.4, dtype=dtype)
            Z, given = np.stack([t.Z, replace(t, seed=1).Z]), rate.arguments(t)
            gradient = rate.value_and_gradient(Z, **given, eps=t.eps, method="cholesky")[1]
            allowed = stable_gradient(rate.parts(t.Z, t.eps, **given), dtype)
            for i in range(2):
                assert oracle.gradient_error(gradient[i], rate.exact_gradient(Z[i], **given, eps=t.eps)) <= allowed


@pytest.mark.parametrize("rate", SINGLE[:4], ids=str)
def test_gradient_at_size_50(rate):
    for n, d in ((50, 12), (12, 50)):
        assert wrong_gradient(rate, Tokens(n=n, d=d, rank=12, eps=0.3), "auto") == ""


@pytest.mark.parametrize(
    ("gradient", "determinants", "extra"),
    [
        (oracle.coding_gradient, oracle.coding_determinants, lambda t: ()),
        (oracle.subspace_gradient, oracle.subspace_determinants, lambda t: (t.bases(2, 2, "any"),)),
        (oracle.partition_gradient, oracle.partition_determinants, lambda t: (t.memberships(3),)),
    ],
)
@pytest.mark.parametrize(("n", "d"), [(4, 3), (3, 3), (2, 5)])
def test_oracle_gradient_is_the_exact_directional_derivative(gradient, determinants, extra, n, d):
    t = Tokens(n=n, d=d, rank=min(n, d), eps=0.7)
    H = np.random.default_rng(5).standard_normal((n, d))
    given = extra(t)
    as_rational = [oracle.matrix(a) if a.ndim == 2 else [oracle.matrix(b) for b in a] for a in given]
    derivative = oracle.directional_derivative(lambda Z: determinants(Z, *as_rational, eps=t.eps), t.Z, H)
    assert oracle.inner(gradient(t.Z, *given, eps=t.eps), H) == derivative
