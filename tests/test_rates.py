"""The rates against exact rationals, on every size, shape, rank, condition and scale of ``families``.

Two tolerances, and no other:

``stable``    what LAPACK asks of a factorisation: the exact value of a matrix within 30·size·u·‖A‖ of the given one;
``√u``        what ``method="auto"`` promises beyond that, relative.
"""

import math
import tracemalloc
import warnings
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cache
from typing import Any

import backends
import families
import numpy as np
import oracle
import pytest
from families import Tokens
from flint import arb
from hypothesis import given
from hypothesis import strategies as st

import srr
from srr import rates
from srr._arrays import FactorisationError, PrecisionWarning, quiet
from srr._partition import gather

METHODS = ("auto", "cholesky", "svd")


@dataclass(frozen=True)
class Rate:
    """One of the rates: how srr computes it, what it is exactly, and the matrices it is made of."""

    name: str
    value: Callable[..., Any]
    value_and_gradient: Callable[..., Any]
    arguments: Callable[[Tokens], dict[str, np.ndarray]]
    exact: Callable[..., arb]
    exact_gradient: Callable[..., Any]
    parts: Callable[..., list["Part"]]

    def __str__(self):
        return self.name


@dataclass(frozen=True)
class Part:
    """A term weight · ½ log det(I + root² AᵀA), where rounding may already have moved A by ``slack``."""

    weight: float
    A: np.ndarray
    root: float
    slack: float
    reach: float = 1.0
    """Norm of the map from the gradient in A to the gradient in Z."""


def _coding_parts(Z, eps):
    n, d = Z.shape
    return [Part(1.0, Z, np.sqrt(d / n) / eps, 0.0)]


def _subspace_parts(Z, eps, U):
    n, p, u = len(Z), U.shape[-1], families.roundoff(Z.dtype)
    Z, U = Z.astype(float), U.astype(float)
    return [
        Part(1.0, Z @ basis, np.sqrt(p / n) / eps, 30 * len(basis) * u * _norm(Z) * _norm(basis), _norm(basis))
        for basis in U
    ]


def _partition_parts(Z, eps, Pi):
    n, d = Z.shape
    Z, Pi = Z.astype(float), Pi.astype(float)
    return [
        Part(size / n, np.sqrt(w / size)[:, None] * Z, np.sqrt(d) / eps, 0.0)
        for w, size in zip(Pi.T, Pi.sum(0), strict=True)
        if size > 0
    ]


def _norm(A):
    """‖A‖₂, clear of over- and underflow."""
    top = np.max(np.abs(A), initial=0)
    return float(np.linalg.norm(A / top, 2) * top) if top > 0 else 0.0


def _reduction(name, inner):
    return Rate(
        name,
        rates.rate_reduction,
        rates.rate_reduction_and_gradient,
        inner.arguments,
        lambda Z, *, eps, **given: oracle.coding_rate(Z, eps=eps) - inner.exact(Z, *given.values(), eps=eps),
        lambda Z, *, eps, **given: (
            oracle.coding_gradient(Z, eps=eps) - inner.exact_gradient(Z, *given.values(), eps=eps)
        ),
        lambda Z, eps, **given: _coding_parts(Z, eps) + inner.parts(Z, eps, **given),
    )


def _subspace(kind):
    return Rate(
        f"subspaces, {kind}",
        rates.subspace_coding_rate,
        rates.subspace_coding_rate_and_gradient,
        lambda t: {"U": t.bases(3, (t.d + 1) // 2, kind)},
        oracle.subspace_coding_rate,
        oracle.subspace_gradient,
        _subspace_parts,
    )


def _partition(kind):
    return Rate(
        f"partition, {kind}",
        rates.partition_coding_rate,
        rates.partition_coding_rate_and_gradient,
        lambda t: {"Pi": t.memberships(3, kind)},
        oracle.partition_coding_rate,
        oracle.partition_gradient,
        _partition_parts,
    )


CODING = Rate(
    "coding",
    rates.coding_rate,
    rates.coding_rate_and_gradient,
    lambda t: {},
    oracle.coding_rate,
    oracle.coding_gradient,
    _coding_parts,
)
SINGLE = (
    CODING,
    *(_subspace(kind) for kind in ("orthonormal", "any")),
    *(_partition(kind) for kind in ("soft", "hard", "empty class", "sharp")),
)
RATES = (*SINGLE, *(_reduction(f"reduction, {r.name}", r) for r in (SINGLE[1], SINGLE[3])))

imprecise = pytest.mark.filterwarnings("ignore::srr.PrecisionWarning")
every_rate = pytest.mark.parametrize("rate", RATES, ids=str)
every_dtype = pytest.mark.parametrize("dtype", families.DTYPES, ids=["float64", "float32"])


# --- tolerances -------------------------------------------------------------------------------------------------


def half_log(x):
    """½ log(1 + x²), for x as small or large as floats go."""
    return np.where(x < 1, np.log1p(np.minimum(x, 1) ** 2) / 2, np.log(np.hypot(1, x)))


def _moved(part, u):
    """Its singular values, and how far a backward-stable algorithm may move them."""
    top = np.max(np.abs(part.A), initial=0)
    sigma = np.linalg.svd(part.A.astype(float) / top, compute_uv=False) * float(top) if top > 0 else np.zeros(1)
    return sigma, 30 * max(part.A.shape) * u * sigma[0] + part.slack


def stable(parts, dtype):
    """What a change of each A within its backward error does to the sum of the terms, plus its rounding."""
    u, total = families.roundoff(dtype), 0.0
    for part in parts:
        sigma, delta = _moved(part, u)
        low, high = part.root * np.maximum(sigma - delta, 0), part.root * (sigma + delta)
        h = np.hypot(1, low)
        spread = np.sum(np.log1p((high - low) / h * ((high + low) / h))) / 2
        total += part.weight * (spread + 30 * max(part.A.shape) * u * np.sum(half_log(high)))
    return total + np.finfo(dtype).smallest_normal


def stable_gradient(parts, dtype):
    """The same for the gradient: its derivative is at most c/(1+cσ²), σ the smallest singular value nearby."""
    u, total = families.roundoff(dtype), 0.0
    for part in parts:
        sigma, delta = _moved(part, u)
        x = part.root * np.maximum(sigma - delta, 0)
        slope = part.root / np.hypot(1, x[-1]) * (part.root / np.hypot(1, x[-1]))
        size = np.sqrt(np.sum((part.root * x / np.hypot(1, x) / np.hypot(1, x)) ** 2))
        total += part.weight * part.reach * (slope * delta + 30 * max(part.A.shape) * u * size)
    return total + np.finfo(dtype).smallest_normal


@cache
def exact(rate, tokens):
    Z, given = tokens.Z, rate.arguments(tokens)
    return rate.exact(Z, **given, eps=tokens.eps)


@cache
def exact_gradient(rate, tokens):
    Z, given = tokens.Z, rate.arguments(tokens)
    return rate.exact_gradient(Z, **given, eps=tokens.eps)


# --- values -----------------------------------------------------------------------------------------------------


def called(function, *args, **options):
    """The result, and whether it came with a PrecisionWarning; any other warning is an error."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("error")
        warnings.simplefilter("always", PrecisionWarning)
        return function(*args, **options), bool(caught)


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


def listing(wrong):
    return f"{len(wrong)} instances, such as\n" + "\n".join(f"{t}: {w}" for t, w in wrong[:6])


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
        elif bound > 2 * promise and rate.parts is not _subspace_parts:
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


def magnitude(parts):
    """The sum of the rates that make up the value."""
    return sum(part.weight * np.sum(half_log(part.root * _moved(part, 0)[0])) for part in parts)


def gradient_magnitude(parts):
    """The sum of the norms that make up the gradient."""
    total = 0.0
    for part in parts:
        x = part.root * _moved(part, 0)[0]
        total += part.weight * part.reach * np.sqrt(np.sum((part.root * x / np.hypot(1, x) / np.hypot(1, x)) ** 2))
    return total


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


# --- batches ----------------------------------------------------------------------------------------------------


def _agree(a, b, *, size, scale, dtype):
    np.testing.assert_array_less(np.abs(a - b), 30 * size * families.roundoff(dtype) * scale)


@every_rate
@every_dtype
@pytest.mark.parametrize("batch", [(4,), (2, 3), (1,), (2, 1, 2)])
def test_batched_equals_stack_of_singles(rate, dtype, batch):
    t = Tokens(n=6, d=4, rank=4, eps=0.6, dtype=dtype)
    Z = np.stack([replace(t, seed=s, rank=1 + s % 4).Z for s in range(np.prod(batch))]).reshape(*batch, 6, 4)
    given = rate.arguments(t)
    value, gradient = rate.value_and_gradient(Z, **given, eps=t.eps)
    plain = rate.value(Z, **given, eps=t.eps)
    report = rate.value(Z, **given, eps=t.eps, report=True)
    assert value.shape == plain.shape == report.value.shape == report.error_bound.shape == batch
    assert gradient.shape == Z.shape
    for i in np.ndindex(*batch):
        single_value, single_gradient = rate.value_and_gradient(Z[i], **given, eps=t.eps)
        _agree(value[i], single_value, size=6, scale=10.0, dtype=dtype)
        _agree(plain[i], single_value, size=6, scale=10.0, dtype=dtype)
        _agree(gradient[i], single_gradient, size=6, scale=10.0, dtype=dtype)
        single = rate.value(Z[i], **given, eps=t.eps, report=True)
        np.testing.assert_array_equal(report.used_svd[i], single.used_svd)
        np.testing.assert_allclose(report.error_bound[i], single.error_bound, rtol=1e-3)


@imprecise
@every_rate
def test_a_batch_mixes_routes_and_each_element_is_right(rate):
    kinds = [
        Tokens(n=6, d=4, rank=4, eps=1e-5, seed=1),
        Tokens(n=6, d=4, rank=1, eps=1e-5, seed=2),
        Tokens(n=6, d=4, rank=4, eps=1e-5, seed=3, defect="zero token"),
        Tokens(n=6, d=4, rank=4, eps=1e-5, scale=1e150, seed=4),
        Tokens(n=6, d=4, rank=4, eps=1e-5, scale=1e-150, seed=5),
        Tokens(n=6, d=4, rank=4, eps=1e-5, defect="zero"),
    ]
    given = rate.arguments(replace(kinds[0], seed=0))
    value, used_svd, _ = rate.value(np.stack([t.Z for t in kinds]), **given, eps=1e-5, report=True)
    gradient = rate.value_and_gradient(np.stack([t.Z for t in kinds]), **given, eps=1e-5)[1]
    assert used_svd.any()
    for i, t in enumerate(kinds):
        parts = rate.parts(t.Z, t.eps, **given)
        allowed = stable(parts, np.float64) + 2e-8 * magnitude(parts)
        assert oracle.error(value[i], rate.exact(t.Z, **given, eps=t.eps)) <= allowed, t
        allowed = stable_gradient(parts, np.float64) + 2e-8 * gradient_magnitude(parts)
        assert oracle.gradient_error(gradient[i], rate.exact_gradient(t.Z, **given, eps=t.eps)) <= allowed, t


def test_large_batches_are_cut_into_blocks_without_a_seam(monkeypatch):
    monkeypatch.setattr(srr._arrays, "BLOCK_BYTES", 3 * 5 * 4 * 8)
    t = Tokens(n=5, d=4, rank=4)
    Z = np.stack([replace(t, seed=s).Z for s in range(8)]).reshape(2, 4, 5, 4)
    for rate in RATES:
        given = rate.arguments(t)
        value, gradient = rate.value_and_gradient(Z, **given, eps=0.4)
        for i in np.ndindex(2, 4):
            single = rate.value_and_gradient(Z[i], **given, eps=0.4)
            _agree(value[i], single[0], size=5, scale=10.0, dtype=np.float64)
            _agree(gradient[i], single[1], size=5, scale=10.0, dtype=np.float64)


def test_batches_of_tokens_and_memberships_broadcast():
    t = Tokens(n=5, d=4, rank=4)
    Z = np.stack([replace(t, seed=s).Z for s in range(3)])
    Pi = np.stack([replace(t, seed=s).memberships(2) for s in range(2)])[:, None]
    value, gradient = rates.partition_coding_rate_and_gradient(Z, Pi, eps=0.4)
    assert value.shape == (2, 3)
    assert gradient.shape == (2, 3, 5, 4)
    for i, j in np.ndindex(2, 3):
        single = rates.partition_coding_rate(Z[j], Pi[i, 0], eps=0.4)
        _agree(value[i, j], single, size=5, scale=10.0, dtype=np.float64)


@pytest.mark.parametrize("batch", [(0,), (2, 0)])
@every_rate
def test_an_empty_batch_gives_an_empty_result(rate, batch):
    t = Tokens(n=5, d=4, rank=4)
    value, gradient = rate.value_and_gradient(np.zeros((*batch, 5, 4)), **rate.arguments(t), eps=0.4)
    assert value.shape == batch
    assert gradient.shape == (*batch, 5, 4)


# --- identities -------------------------------------------------------------------------------------------------


@imprecise
@given(tokens=families.tokens(dtypes=(np.float64,), sizes=(1, 2, 3, 5)))
def test_one_subspace_that_is_everything_gives_the_coding_rate(tokens):
    Z, eps = tokens.Z, tokens.eps
    whole = rates.coding_rate(Z, eps=eps, method="svd")
    allowed = 2 * stable(CODING.parts(Z, eps), np.float64)
    rotation = np.linalg.qr(np.random.default_rng(tokens.seed).standard_normal((tokens.d, tokens.d)))[0]
    for U in (np.eye(tokens.d)[None], rotation[None]):
        # A rotation is orthonormal to a few u only, which acts on Z like a backward error of that size.
        assert abs(rates.subspace_coding_rate(Z, U, eps=eps, method="svd") - whole) <= allowed
    assert abs(rates.partition_coding_rate(Z, np.ones((tokens.n, 1)), eps=eps, method="svd") - whole) <= allowed


@imprecise
@given(tokens=families.tokens(dtypes=(np.float64,), sizes=(1, 2, 3, 5)))
def test_tokens_and_dimensions_exchange_roles(tokens):
    """log det(I_d + α ZᵀZ) = log det(I_n + α Z Zᵀ), with the precision that keeps α."""
    Z, eps = tokens.Z, tokens.eps
    n, d = Z.shape
    off = rates.coding_rate(Z, eps=eps, method="svd") - rates.coding_rate(Z.T, eps=eps * n / d, method="svd")
    assert abs(off) <= 2 * stable(CODING.parts(Z, eps), np.float64)


@pytest.mark.parametrize(("n", "d"), [(3, 7), (7, 3), (4, 4)])
def test_both_sides_of_the_determinant(n, d):
    Z, eps = Tokens(n=n, d=d, rank=min(n, d)).Z, 0.3
    alpha = d / (n * eps**2)
    value = rates.coding_rate(Z, eps=eps)
    for gram in (Z @ Z.T, Z.T @ Z):
        _agree(np.linalg.slogdet(np.eye(len(gram)) + alpha * gram)[1] / 2, value, size=7, scale=10, dtype=float)


@every_rate
def test_rate_depends_on_the_ratio_of_tokens_and_precision(rate):
    t = Tokens(n=6, d=4, rank=3)
    given = rate.arguments(t)
    value = rate.value(t.Z, **given, eps=0.3, method="svd")
    _agree(rate.value(8 * t.Z, **given, eps=2.4, method="svd"), value, size=6, scale=10.0, dtype=np.float64)


@every_rate
@every_dtype
def test_zero_tokens_have_rate_zero_and_gradient_zero(rate, dtype):
    t = Tokens(n=4, d=3, rank=0, dtype=dtype, defect="zero")
    for method in METHODS:
        value, gradient = rate.value_and_gradient(t.Z, **rate.arguments(t), eps=0.5, method=method)
        assert value == 0
        assert not gradient.any()
        report = rate.value(t.Z, **rate.arguments(t), eps=0.5, method=method, report=True)
        assert report.value == 0
        assert report.error_bound == 0


def test_hard_parts_are_the_coding_rates_of_their_tokens():
    t = Tokens(n=9, d=4, rank=4)
    Pi = t.memberships(3, "hard")
    # Within part k, n_k tokens of dimension d: α_k = d/(n_k ε²) is the α of that part alone.
    parts = [rates.coding_rate(t.Z[Pi[:, k] == 1], eps=0.3) * Pi[:, k].sum() / 9 for k in range(3)]
    _agree(rates.partition_coding_rate(t.Z, Pi, eps=0.3), sum(parts), size=9, scale=10.0, dtype=np.float64)


@pytest.mark.parametrize("sizes", [(50, 1, 1), (40, 8, 4, 0, 2, 1), (16, 16, 15, 17), (1,) * 9, (30, 0)])
def test_parts_of_any_sizes(sizes):
    """Parts go by groups of about one size, and come back in their order."""
    order = np.random.default_rng(3).permutation(sum(sizes))
    labels = np.repeat(np.arange(len(sizes)), sizes)[order]
    n, d, K = len(labels), 4, len(sizes)
    Z, Pi = Tokens(n=n, d=d, rank=d).Z, np.eye(K)[labels]
    batch, memberships = np.stack([Z, Z[::-1]]), np.stack([Pi, np.roll(Pi, 1, axis=1)[::-1]])
    value, gradient = rates.partition_coding_rate_and_gradient(batch, memberships, eps=0.5)
    report = rates.partition_coding_rate(batch, memberships, eps=0.5, report=True)
    assert report.used_svd.shape == (2, K)
    _agree(report.value, value, size=n, scale=10.0, dtype=float)
    pieces = [rates.coding_rate_and_gradient(Z[labels == k], eps=0.5) for k in range(K) if sizes[k]]
    shares = [size / n for size in sizes if size]
    expected = np.zeros_like(Z)
    for k, share, (_, piece) in zip((k for k in range(K) if sizes[k]), shares, pieces, strict=True):
        expected[labels == k] = share * piece
    _agree(
        value, sum(share * piece[0] for share, piece in zip(shares, pieces, strict=True)), size=n, scale=10, dtype=float
    )
    _agree(gradient, np.stack([expected, expected[::-1]]), size=n, scale=10.0, dtype=float)


def test_parts_are_gathered_where_most_tokens_have_no_weight_in_most():
    """If half of all weights or more are zero, and not all; in groups of more than half of the most tokens."""
    Z, hard = np.random.default_rng(0).standard_normal((1, 4, 3)), np.eye(2)[None, [0, 1, 1, 1]]
    for Pi, shapes in (
        (hard, [(1, 3, 3), (1, 1, 3)]),
        (np.where(np.arange(4)[:, None] == 0, 0.5, hard), [(2, 4, 3)]),
        (0 * hard, [(2, 4, 3)]),
        (np.eye(4)[None], [(4, 1, 3)]),
    ):
        assert [tokens.shape for tokens, _ in gather(Z, Pi).groups] == shapes


def test_empty_parts_change_the_way_and_not_the_result():
    """Beside three of them most weights are zero, and tokens in one, two and three parts are gathered."""
    Z = Tokens(n=5, d=3, rank=3).Z
    Pi = np.array([[1, 0, 0], [0, 1, 0], [0.5, 0.5, 0], [0.25, 0.25, 0.5], [0, 0.75, 0.25]])
    beside = np.concatenate([Pi, np.zeros((5, 3))], axis=1)
    assert len(gather(Z[None], Pi[None]).groups) == 1 < len(gather(Z[None], beside[None]).groups)
    found, expected = (rates.partition_coding_rate_and_gradient(Z, P, eps=0.5) for P in (beside, Pi))
    for a, b in zip(found, expected, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-13, atol=1e-13)


def test_parts_are_gathered_on_the_device_of_their_tokens():
    backend = next(b for b in backends.CPU if b.name == "strict-device1")
    Z, Pi = backend.array(Tokens(n=4, d=3, rank=3).Z), backend.array(np.eye(3)[[0, 1, 2, 2]])
    assert rates.partition_coding_rate_and_gradient(Z, Pi, eps=0.5)[1].device == backend.device()


def test_one_large_part_does_not_make_the_others_large():
    n, d, K = 2000, 64, 100
    labels = np.concatenate([np.zeros(n // 2, dtype=int), np.arange(n // 2) % K])
    Z, Pi = np.random.default_rng(0).standard_normal((n, d)), np.eye(K)[labels]
    tracemalloc.start()
    rates.partition_coding_rate_and_gradient(Z, Pi, eps=0.5)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    padded = K * (n // 2) * Z[0].nbytes
    assert peak < padded / 4


@every_rate
def test_inputs_are_left_alone(rate):
    t = Tokens(n=5, d=4, rank=2, eps=1e-4)
    Z, given = t.Z, rate.arguments(t)
    before = [Z.copy(), *(a.copy() for a in given.values())]
    for method in ("auto", "svd"):
        rate.value_and_gradient(Z, **given, eps=t.eps, method=method)
        rate.value(Z, **given, eps=t.eps, method=method)
    for a, b in zip(before, (Z, *given.values()), strict=True):
        np.testing.assert_array_equal(a, b)


@every_rate
def test_strided_and_reversed_views(rate):
    t = Tokens(n=5, d=4, rank=4)
    wide = np.zeros((10, 8))
    wide[::2, ::-2] = t.Z
    given = rate.arguments(t)
    direct = rate.value_and_gradient(t.Z, **given, eps=0.4)
    viewed = rate.value_and_gradient(wide[::2, ::-2], **given, eps=0.4)
    for a, b in zip(direct, viewed, strict=True):
        _agree(a, b, size=5, scale=10.0, dtype=np.float64)


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
    assert 0 < bound < (1 if rate.parts is _subspace_parts else np.sqrt(u))


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


@every_rate
def test_a_value_alone_costs_no_gradient(rate, monkeypatch):
    monkeypatch.setattr("srr._autodiff.half_logdet_and_gradient", None)
    t = Tokens(n=5, d=4, rank=4)
    value, _, _ = rate.value(t.Z, **rate.arguments(t), eps=t.eps, report=True)
    assert rate.value(t.Z, **rate.arguments(t), eps=t.eps) == value


@pytest.mark.parametrize("shape", [(5, 3), (3, 5)])
def test_the_bound_of_the_cholesky_route_is_the_one_derived(shape):
    """γ tr M / 2F, sharpened to γ Σ M_ii (M⁻¹)_ii / 2F where asked, and the larger of two with the gradient."""
    from srr import _logdet

    n, q = shape
    A, root = np.random.default_rng(0).standard_normal((3, n, q)) * np.array([0.01, 1.0, 30.0])[:, None, None], 0.7
    small = np.swapaxes(A, -1, -2) @ A if q <= n else A @ np.swapaxes(A, -1, -2)
    M = np.eye(min(shape)) + root**2 * small
    X, F, u = np.linalg.inv(M), np.linalg.slogdet(M)[1] / 2, 2.0**-53
    gamma, rounding = 4 * np.sqrt(n + q) * u, (4 + np.sqrt(min(shape))) * u
    diagonal = np.diagonal(M, axis1=1, axis2=2)
    spread = np.sum(diagonal * np.diagonal(X, axis1=1, axis2=2), axis=1)
    turn = np.sum(diagonal * np.sum(X**2, axis=2), axis=1)

    plain = gamma * diagonal.sum(1) / (2 * F) + rounding
    sharper = gamma * spread / (2 * F) + rounding
    near = {"rtol": 1e-9}
    found = _logdet._cholesky_route(A, root, False, 1.0)
    np.testing.assert_allclose(found.error_bound, plain, **near)
    accept = np.sort(plain)[1]  # all that are above are doubtful, and sharpened
    found = _logdet._cholesky_route(A, root, False, float(accept))
    np.testing.assert_allclose(found.error_bound, np.where(plain > accept, sharper, plain), **near)
    found = _logdet._cholesky_route(A, root, True, 1.0)
    of_gradient = root * gamma * np.sqrt(spread * turn) / np.linalg.norm(found.gradient, axis=(1, 2)) + rounding
    np.testing.assert_allclose(found.error_bound, np.maximum(sharper, of_gradient), **near)
    assert found.used_svd.dtype == bool


@pytest.mark.parametrize(("n", "d", "p"), [(2, 6, 3), (7, 5, 3)])
def test_the_bound_of_the_subspace_rate_adds_the_rounding_of_the_projections(n, d, p):
    """q log(1 + δ/√q), δ = 4√d u x, x = √β‖U_k‖‖Z‖: at least once x is √q/2, and 2x/√q of it where x is less."""
    Z, U = Tokens(n=n, d=d, rank=2).Z, Tokens(n=n, d=d, rank=2).bases(2, p, "any")
    q, u = min(n, p), 2.0**-53
    for eps in (1e-6, 0.5, 1e3, 1e10):
        found = rates.subspace_coding_rate(Z, U, eps=eps, method="svd", report=True)
        factored = rates._factored(np.stack([Z @ basis for basis in U]), np.sqrt(p / n) / eps, "svd")[2]
        x = np.sqrt(p / n) / eps * np.linalg.norm(U, axis=(1, 2)) * np.linalg.norm(Z)
        projections = q * np.log1p(4 * np.sqrt(d / q) * u * x) * np.minimum(1, 2 * x / np.sqrt(q))
        np.testing.assert_allclose(found.error_bound * found.value, np.sum(factored + projections), rtol=1e-6)


def test_the_report_of_a_reduction_adds_the_errors_of_its_parts():
    t = Tokens(n=6, d=4, rank=4, eps=0.5)
    Z = np.stack([t.Z, 2 * t.Z])
    Pi = np.eye(3)[np.arange(6) % 3]
    whole = rates.coding_rate(Z, eps=t.eps, method="svd", report=True)
    parts = rates.partition_coding_rate(Z, Pi, eps=t.eps, method="svd", report=True)
    both = rates.rate_reduction(Z, Pi=Pi, eps=t.eps, method="svd", report=True)
    np.testing.assert_allclose(both.value, whole.value - parts.value)
    errors = whole.error_bound * whole.value + parts.error_bound * parts.value
    np.testing.assert_allclose(both.error_bound * abs(both.value), errors)
    assert both.used_svd.all()
    assert both.used_svd.shape == (2, 1 + parts.used_svd.shape[-1])
    for of in ({"Pi": Pi}, {"U": t.bases(2, 2)}):
        for method, used in (("cholesky", False), ("svd", True)):
            assert (rates.rate_reduction(Z, **of, eps=t.eps, method=method, report=True).used_svd == used).all()


def test_a_reduction_warns_where_its_parts_together_are_imprecise(monkeypatch):
    told = []
    monkeypatch.setattr(rates._logdet, "warn_where_imprecise", lambda *given: told.append(given))
    t = Tokens(n=6, d=4, rank=4)
    Z, Pi = t.Z, t.memberships(3)
    rates.rate_reduction(Z, Pi=Pi, eps=t.eps)
    whole, parts = (
        rates.coding_rate(Z, eps=t.eps, report=True),
        rates.partition_coding_rate(Z, Pi, eps=t.eps, report=True),
    )
    errors = [report.error_bound * report.value for report in (whole, parts)]
    ((value, error),) = told
    np.testing.assert_allclose(value, whole.value + parts.value)
    np.testing.assert_allclose(error, sum(errors))


def test_what_is_no_number_is_known_to_no_digit():
    assert rates.reported(np.array(1.0), np.array(True), np.array(np.nan)).error_bound == np.inf


def test_norms_of_any_sizes_side_by_side():
    sizes, A = np.array([1e-200, 1.0, 1e200]), np.array([[3.0, 0.0], [0.0, 4.0]])
    np.testing.assert_allclose(rates._log_norm(sizes[:, None, None] * A), np.log(5) + np.log(sizes))


def test_a_singular_value_of_minus_zero_is_zero():
    """LAPACK returns such ones."""
    from srr import _logdet

    with quiet():
        term, slope = _logdet._of_singular_values(np.array([-0.0, 0.0, 1.0]), 2.0, np.array([1.0]))
    assert np.array_equal(term[:2], [0, 0])
    assert np.array_equal(slope[:2], [0, 0])
    assert slope[2] == pytest.approx(2 * 2 / 5)
