"""Rates from streamed second moments: those of the tokens in memory, whatever the blocks."""

import re
import tracemalloc
import warnings
from fractions import Fraction
from itertools import pairwise

import enclosed
import numpy as np
import oracle
import pytest
from array_api_compat import device
from backends import CPU, GPU, parametrize
from hypothesis import given, settings
from hypothesis import strategies as st

import srr
from srr import PrecisionWarning, _verified, enclosure, streaming
from srr.streaming import blocks, merge, moments, second_moments

METHODS = streaming.METHODS
n, d, K, p = 23, 6, 3, 2


def tokens(n=n, d=d, *, scale=1.0, condition=1.0, seed=0):
    rng = np.random.default_rng(seed)
    left = np.linalg.qr(rng.standard_normal((n, min(n, d))))[0]
    right = np.linalg.qr(rng.standard_normal((d, min(n, d))))[0]
    return scale * (left * np.geomspace(1, 1 / condition, min(n, d))) @ right.T


BASES = np.random.default_rng(1).standard_normal((K, d, p))


def cut(Z, sizes):
    edges = np.cumsum([0, *sizes])
    return [Z[a:b] for a, b in pairwise(edges)]


# --- values ---


@parametrize(CPU, GPU, slow="jax-float32")
@pytest.mark.parametrize("method", METHODS)
def test_as_in_memory_on_every_library(backend, method):
    with backend.active():
        Z, U = backend.array(tokens()), backend.array(BASES)
        got = moments([Z[:5, ...], Z[5:6, ...], Z[6:, ...]], method=method)
        tolerance = 100 * np.finfo(backend.dtype).eps
        pairs = [
            (streaming.coding_rate(got, eps=0.5), srr.coding_rate(Z, eps=0.5)),
            (streaming.subspace_coding_rate(got, U, eps=0.5), srr.subspace_coding_rate(Z, U, eps=0.5)),
            (streaming.rate_reduction(got, U=U, eps=0.5), srr.rate_reduction(Z, U=U, eps=0.5)),
            (Z @ streaming.gradient_factor(got, eps=0.5), srr.coding_rate_and_gradient(Z, eps=0.5)[1]),
            (
                Z @ streaming.subspace_gradient_factor(got, U, eps=0.5),
                srr.subspace_coding_rate_and_gradient(Z, U, eps=0.5)[1],
            ),
        ]
        for streamed, whole in pairs:
            assert type(streamed) is type(whole)
            assert streamed.dtype == whole.dtype
            assert streamed.shape == whole.shape
            np.testing.assert_allclose(backend.read(streamed), backend.read(whole), rtol=0, atol=tolerance * 10)


@pytest.mark.parametrize("method", METHODS)
def test_partitions_as_in_memory(method):
    Z, labels = tokens(), np.arange(n) % K
    parts = [moments([Z[labels == k]], method=method) for k in range(K)]
    Pi = np.eye(K)[labels]
    np.testing.assert_allclose(
        streaming.partition_coding_rate(parts, eps=0.3), srr.partition_coding_rate(Z, Pi, eps=0.3), rtol=1e-13
    )
    np.testing.assert_allclose(
        streaming.rate_reduction(parts=parts, eps=0.3), srr.rate_reduction(Z, Pi=Pi, eps=0.3), rtol=1e-12
    )


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.integers(0, 9), min_size=1, max_size=12).filter(sum),
    st.integers(1, 7),
    st.sampled_from(METHODS),
    st.sampled_from([1e-6, 1.0, 1e4]),
    st.sampled_from([1.0, 1e3, 1e7]),
    st.integers(0, 2**32 - 1),
)
def test_whatever_the_blocks_the_exact_rate_is_within_the_bound(sizes, d, method, scale, condition, seed):
    Z = tokens(sum(sizes), d, scale=scale, condition=condition, seed=seed)
    got = moments(cut(Z, sizes), method=method)
    assert got.n == sum(sizes)
    U = np.random.default_rng(seed).standard_normal((2, d, 1))
    for rated, exact in (
        (streaming.coding_rate(got, eps=0.5, report=True), oracle.coding_rate(Z, eps=0.5)),
        (streaming.subspace_coding_rate(got, U, eps=0.5, report=True), oracle.subspace_coding_rate(Z, U, eps=0.5)),
    ):
        assert oracle.error(rated.value, exact) <= float(rated.error_bound) * float(rated.value) + 1e-300


def test_what_underflow_takes_is_within_the_bound():
    for seed in range(40):
        Z, U, eps = near_underflow(seed)
        eps, got = max(eps, 1e-152), moments(blocks(Z, 1 + seed % 5))
        for rated, exact in (
            (streaming.coding_rate(got, eps=eps, report=True), oracle.coding_rate(Z, eps=eps)),
            (streaming.subspace_coding_rate(got, U, eps=eps, report=True), oracle.subspace_coding_rate(Z, U, eps=eps)),
        ):
            off, bound = oracle.error(rated.value, exact), float(rated.error_bound)
            assert bound == np.inf or off <= bound * float(rated.value)


def test_what_underflow_takes_is_the_sum_over_the_tokens(monkeypatch):
    """From each of n products, by every way into an entry; and nothing where the rate would not show it."""
    u, least = 2.0**-53, 2.0
    monkeypatch.setattr(streaming._arrays, "least_normal", lambda a: least)
    Z, shown = streaming.Moments(7, "gram", np.eye(3), 4), least / u / (3 * 7 * least)
    assert streaming._lost(Z, 1.01 * shown, 1.0) == pytest.approx(3 * 7 * least)
    assert streaming._lost(Z, 0.26 * shown, 4.0) == pytest.approx(4 * 3 * 7 * least)
    assert streaming._lost(Z, 0.99 * shown, 1.0) == 0
    assert streaming._reach(np.array([[0.5], [-2.0]])) == 6.25
    assert streaming._reach(np.array([[0.5], [-0.25]])) == 1
    monkeypatch.setattr(streaming, "_lost", lambda Z, c, reach: 1e-3 * reach)
    c, U = 3 / (7 * 0.5**2), 2 / 3 * np.eye(3)[None]
    for rated, reach, size in (
        (streaming.coding_rate(Z, eps=0.5, report=True), 1, 1),
        (streaming.subspace_coding_rate(Z, U, eps=0.5, report=True), 4, 4 / 9),
    ):
        moved = 1.5 * np.log1p(c * 2e-3 * reach / (1 + c * (size - 1e-3 * reach)))
        assert rated.error_bound * rated.value == pytest.approx(moved, rel=1e-6)


@pytest.mark.parametrize("seed", range(5))
def test_triangular_moments_are_as_accurate_as_the_svd_of_all_tokens(seed):
    """Where singular values span seven decades and ε resolves them all, S has lost what T keeps."""
    Z = tokens(200, d, condition=1e7, seed=seed)
    exact = oracle.coding_rate(Z, eps=1e-8)
    accurate = streaming.coding_rate(moments(blocks(Z, 7), method="qr"), eps=1e-8)
    assert oracle.error(accurate, exact) < 1e-7
    in_memory = srr.coding_rate(Z, eps=1e-8, method="svd")
    assert oracle.error(accurate, exact) < 10 * oracle.error(in_memory, exact) + 1e-8
    with pytest.warns(PrecisionWarning, match="known only to a relative error"):
        rough = streaming.coding_rate(moments(blocks(Z, 7)), eps=1e-8)
    assert oracle.error(rough, exact) > 1e-5


def test_blocks_are_summed_pairwise():
    """2^13 blocks of one token in single precision: one after the other they would lose two digits more."""
    value = np.float32(0.1)
    Z = np.full((2**13, 1), value)
    exact = 2**13 * float(value) ** 2
    got = moments(blocks(Z, 1))
    assert abs(float(got.gram[0, 0]) - exact) < 20 * 2**-24 * exact
    assert got.depth == 1 + 13
    one_by_one = np.float32(0)
    for row in Z:
        one_by_one += row[0] * row[0]
    assert abs(float(one_by_one) - exact) > 100 * 2**-24 * exact


def test_the_bound_of_streamed_moments_is_the_one_derived(monkeypatch):
    """Every eigenvalue may be anywhere from λ − δ, or zero, to λ + δ."""
    u, spectrum = 1e-6, np.array([4.0, 1.0, 1e-9])
    monkeypatch.setattr(streaming._arrays, "unit_roundoff", lambda a: u)
    found = streaming.coding_rate(streaming.Moments(10, "gram", np.diag(spectrum), 13), eps=0.5, report=True)
    c, delta = 3 / (10 * 0.5**2), 4 * np.sqrt(13 + 3) * u * 4.0
    value = np.sum(np.log1p(c * spectrum)) / 2
    moved = np.sum(np.log((1 + c * (spectrum + delta)) / (1 + c * np.maximum(spectrum - delta, 0)))) / 2
    assert found.value == pytest.approx(value, rel=1e-14)
    assert found.error_bound == pytest.approx(moved / value + (4 + np.sqrt(3)) * u, rel=1e-9)
    T = np.diag(spectrum)
    triangular = streaming.coding_rate(streaming.Moments(10, "qr", T, 13), eps=0.5, report=True)
    of_matrix = streaming._logdet.half_logdet(T, np.sqrt(c), method="svd")
    assert triangular.value == pytest.approx(float(of_matrix.value))
    assert triangular.error_bound == pytest.approx(float(of_matrix.error_bound))


@pytest.mark.parametrize("method", METHODS)
def test_moments_of_all_tokens_come_before_the_sum_of_the_parts(method, monkeypatch):
    told = []
    monkeypatch.setattr(streaming._logdet, "warn_where_imprecise", lambda *given: told.append(given))
    other, parts = moments([2 * tokens()], method=method), [moments([tokens()], method=method)]
    whole = streaming.coding_rate(other, eps=0.5, report=True)
    inner = streaming.partition_coding_rate(parts, eps=0.5, report=True)
    assert streaming.rate_reduction(other, parts=parts, eps=0.5) == pytest.approx(whole.value - inner.value, rel=1e-14)
    ((value, error),) = told
    assert value == whole.value
    assert error == pytest.approx(whole.error_bound * whole.value + inner.error_bound * inner.value, rel=1e-14)


@pytest.mark.parametrize("given", [{"U": np.eye(d)[None]}, {"parts": [moments([tokens(condition=1e8)])]}])
def test_errors_of_both_rates_of_a_reduction_add_up(given):
    """R and Rᶜ are the same here, and so are their errors."""
    with pytest.warns(PrecisionWarning, match="known only to a relative error"):
        streaming.rate_reduction(moments([tokens(condition=1e8)]), **given, eps=1e-8)


def test_no_eigenvalue_is_negative():
    """The moments of large tokens on one line, whose other eigenvalues are rounding of either sign."""
    Z = tokens(d=1, scale=1e6) * np.arange(1, d + 1)
    got = moments([Z])
    assert min(np.linalg.eigvalsh(got.gram)) < 0
    rated = streaming.coding_rate(got, eps=1e-6, report=True)
    assert oracle.error(rated.value, oracle.coding_rate(Z, eps=1e-6)) <= rated.error_bound * rated.value
    gains = np.linalg.eigvalsh(streaming.gradient_factor(got, eps=1e-6))
    assert min(gains) >= 0
    assert max(gains) == pytest.approx(d / (n * 1e-6**2))  # that of an eigenvalue of zero


@parametrize(CPU, GPU, slow="jax-float32")
@pytest.mark.parametrize("method", METHODS)
def test_tokens_that_are_zero_have_a_rate_that_is_exactly_zero(backend, method):
    with backend.active():
        got = moments([backend.array(np.zeros((n, d)))], method=method)
        for rated, matrices in (
            (streaming.coding_rate(got, eps=0.5, report=True), ()),
            (streaming.subspace_coding_rate(got, backend.array(BASES), eps=0.5, report=True), (K,)),
            (streaming.partition_coding_rate([got] * 2, eps=0.5, report=True), (2,)),
        ):
            assert float(rated.value) == float(rated.error_bound) == 0
            assert rated.error_bound.dtype == rated.value.dtype
            assert tuple(rated.used_svd.shape) == matrices
            assert rated.used_svd.dtype == backend.array(np.array([True])).dtype
            assert device(rated.used_svd) == device(rated.value)
            assert np.all(backend.read(rated.used_svd) == (method == "qr"))


def test_projecting_adds_two_sums_over_the_dimensions():
    got = moments([tokens()])
    assert streaming._projected(got, BASES[0]).depth == got.depth + 2 * d
    triangular = moments([tokens()], method="qr")
    assert streaming._projected(triangular, BASES[0]).depth == triangular.depth


@pytest.mark.parametrize("method", METHODS)
def test_gradients_where_tokens_do_not_span(method):
    Z = tokens(4)
    got = moments([Z], method=method)
    np.testing.assert_allclose(
        Z @ streaming.gradient_factor(got, eps=0.5), srr.coding_rate_and_gradient(Z, eps=0.5)[1], atol=1e-13
    )
    G = streaming.gradient_factor(got, eps=0.5)
    c = d / (4 * 0.5**2)
    np.testing.assert_allclose(G @ (np.eye(d) + c * Z.T @ Z), c * np.eye(d), atol=1e-12)


# --- where moments come from ---


@pytest.mark.parametrize("method", METHODS)
def test_parts_from_many_machines_merge(method):
    Z = tokens()
    whole = moments([Z], method=method)
    joined = merge(moments([Z[:4]], method=method), moments([Z[4:]], method=method))
    np.testing.assert_allclose(joined.gram, whole.gram, atol=1e-14)
    assert joined.n == whole.n == n


def test_moments_that_somebody_else_has_summed():
    Z = tokens()
    got = second_moments(Z.T @ Z, n)
    np.testing.assert_allclose(streaming.coding_rate(got, eps=0.5), srr.coding_rate(Z, eps=0.5), rtol=1e-14)


def test_rounding_that_summed_moments_may_have():
    u = 2.0**-53
    assert second_moments(np.diag([1.0, 0.0]), 3).gram.tolist() == [[1, 0], [0, 0]]
    limit = 16 * 2 * u * 4
    assert second_moments(np.array([[4.0, limit], [0.0, 4.0]]), 3).gram[0, 1] == limit / 2
    with pytest.raises(ValueError, match="S must be symmetric"):
        second_moments(np.array([[4.0, 1.03 * limit], [0.0, 4.0]]), 3)
    limit = 16 * 2 * (2 + 2.0**10) * u * 4

    def negative(least):
        return second_moments(np.array([[4.0, 4.0 + least], [4.0 + least, 4.0]]), 2**20)

    assert negative(0.99 * limit).n == 2**20
    with pytest.raises(ValueError, match="S must be positive semidefinite"):
        negative(1.03 * limit)


class Lazy:
    """What a Dask array looks like from here: slices that have yet to be computed."""

    def __init__(self, Z):
        self.Z, self.shape = Z, Z.shape

    def __getitem__(self, rows):
        return Lazy(self.Z[rows])

    def compute(self):
        return self.Z


def test_memory_mapped_files_and_lazy_arrays(tmp_path):
    Z = tokens(50)
    np.save(tmp_path / "Z.npy", Z)
    for source in (np.load(tmp_path / "Z.npy", mmap_mode="r"), Lazy(Z)):
        assert [len(block) for block in blocks(source, 20)] == [20, 20, 10]
        np.testing.assert_allclose(moments(blocks(source, 20)).gram, Z.T @ Z, atol=1e-13)


def test_a_block_is_of_8192_tokens_and_its_squares_tell_whether_it_is_finite(monkeypatch):
    assert [len(block) for block in blocks(np.zeros((8193, 1)))] == [8192, 1]
    monkeypatch.setattr(streaming, "require_finite", None)  # not asked
    assert moments([tokens()]).n == n


def test_memory_does_not_grow_with_the_tokens():
    rng, rows, width = np.random.default_rng(0), 512, 64
    block = rng.standard_normal((rows, width))

    def peak(count):
        tracemalloc.start()
        moments(block for _ in range(count))
        try:
            return tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()

    peak(4)
    few, many = peak(16), peak(1024)
    assert many - few <= 7 * 8 * width**2  # one matrix for each doubling, and one more
    assert many < block.nbytes * 2


# --- enclosures ---


def near_underflow(seed):
    """Tokens whose squares underflow in part, beside constants that make them count."""
    rng = np.random.default_rng(seed)
    Z = rng.standard_normal((5, 3)) * 10.0 ** rng.uniform(-162, -150, 3)
    return Z, rng.standard_normal((2, 3, 2)) * 10.0 ** rng.uniform(-3, 3, 2), 10.0 ** rng.uniform(-175, -150)


def outside(seeds, instance):
    """On how many instances a rate is not within its bounds."""
    found = 0
    for seed in seeds:
        Z, U, eps = instance(seed)
        try:
            got = moments(blocks(Z, 1 + seed % 5))
        except ValueError:  # squares that overflow
            continue
        exact = oracle.coding_rate(Z, eps=eps), oracle.subspace_coding_rate(Z, U, eps=eps)
        pair = enclosure.streamed_coding_rate(got, eps=eps), enclosure.streamed_subspace_coding_rate(got, U, eps=eps)
        found += not all(enclosed.holds(*each) for each in zip(pair, exact, strict=True))
    return found


def drawn(seed):
    made = enclosed.draw(seed)
    return made.Z, made.U, made.eps


def test_the_exact_rate_is_within_its_enclosure():
    with np.errstate(over="ignore"):
        assert outside(range(200), drawn) == 0
    assert outside(range(60), near_underflow) == 0


WRONG = {
    "no roundings": (_verified, "gamma", lambda m: 0.0, drawn),
    "what underflow takes": (enclosure, "_lost", lambda shift: -1074, near_underflow),
    "n for the dimension": (enclosure, "_constant", lambda d, n, eps: _verified.Constant.of(Fraction(n, d)), drawn),
}


@pytest.mark.parametrize("wrong", WRONG)
def test_wrong_bounds_are_found_out(wrong, monkeypatch):
    module, name, changed, instance = WRONG[wrong]
    monkeypatch.setattr(module, name, changed)
    with np.errstate(over="ignore"):
        assert outside(range(60), instance) > 0


def test_errors_of_heads_are_those_of_the_tokens_that_cancel_in_them(monkeypatch):
    """Two coordinates nearly equal, their difference taken: small beside what was rounded in S."""
    rng = np.random.default_rng(0)
    first = 1e8 * rng.random((40, 1))
    Z, U = np.hstack([first, first + rng.random((40, 1))]), np.array([[[1.0], [-1.0]]]) / np.sqrt(2)
    exact = oracle.subspace_coding_rate(Z, U, eps=1.0)
    assert enclosed.holds(enclosure.streamed_subspace_coding_rate(moments(blocks(Z, 7)), U, eps=1.0), exact)
    original = enclosure.half_log_det_of_gram
    monkeypatch.setattr(enclosure, "half_log_det_of_gram", lambda S, c, t, *rest: original(S, c, 0 * t, *rest))
    assert not enclosed.holds(enclosure.streamed_subspace_coding_rate(moments(blocks(Z, 7)), U, eps=1.0), exact)


@pytest.mark.parametrize("eps", [0.71 * 2.0**-300, 2.0**-300])
def test_heads_of_large_tokens_and_bases_have_no_bound_beyond_the_rate(eps):
    d, z, u = 3000, 1.41 * 2.0**100, 0.999 * 2.0**100
    found = enclosure.streamed_subspace_coding_rate(moments([np.full((1, d), z)]), np.full((1, d, 1), u), eps=eps)
    head = d * oracle.rational(z) * oracle.rational(u)
    assert enclosed.holds(found, oracle.rate([(1, 1 + head**2 / oracle.rational(eps) ** 2)]))
    assert found.upper < 2 * found.lower


def test_a_bound_that_overflows_says_nothing():
    c = _verified.Constant(np.asarray(1.5), np.asarray(600))
    found = _verified.half_log_det_of_gram(np.array([[1e300]]), c, np.array([1.01e150]), 2, np.asarray(0.0))
    assert found == (0, np.inf)


@pytest.mark.parametrize("size", [64, 1024])
def test_underflow_takes_from_every_token_whatever_the_depth(size):
    Z = np.zeros((size, 2))
    Z[0, 0], Z[:, 1] = 2.0**-400, 1.41 * 2.0**-538
    got, eps = moments(blocks(Z, 1)), Fraction(1, 2**690)
    assert got.depth < 12
    assert enclosed.holds(enclosure.streamed_coding_rate(got, eps=eps), oracle.coding_rate(Z, eps=eps))
    exact = oracle.subspace_coding_rate(Z, np.eye(2)[None], eps=eps)
    assert enclosed.holds(enclosure.streamed_subspace_coding_rate(got, np.eye(2)[None], eps=eps), exact)


def test_nothing_is_known_of_more_additions_than_a_bound_can_be_proved_for():
    def both(size):
        got = second_moments(1e3 * np.eye(2), size)
        yield enclosure.streamed_coding_rate(got, eps=1e-7)
        yield enclosure.streamed_subspace_coding_rate(got, np.eye(2)[None], eps=1e-7)

    for size in (2**40, 2**43 - 100):
        exact = np.log1p(2e17 / size)
        assert all(found.lower < exact < found.upper < 1.001 * exact for found in both(size))
    for size in (2**43, 2**53, 10**16):
        assert all(found == (0, np.inf) for found in both(size))


def test_the_enclosure_of_many_tokens_is_tight():
    Z = np.random.default_rng(0).standard_normal((50000, 8))
    found = enclosure.streamed_coding_rate(moments(blocks(Z)), eps=0.5)
    assert found.lower <= streaming.coding_rate(moments(blocks(Z)), eps=0.5) <= found.upper
    assert found.radius < 1e-9 * found.midpoint


@pytest.mark.parametrize(
    ("given", "error", "message"),
    [
        (tokens(), TypeError, "Z must be Moments, got ndarray"),
        (moments([tokens()], method="qr"), ValueError, "Z must have method 'gram', got 'qr'"),
        (moments([tokens().astype(np.float32)]), TypeError, "Z must be moments .* float64, got numpy of float32$"),
    ],
)
def test_what_cannot_be_enclosed_is_named(given, error, message):
    with pytest.raises(error, match=message):
        enclosure.streamed_coding_rate(given, eps=0.5)
    with pytest.raises(error, match=message):
        enclosure.streamed_subspace_coding_rate(given, BASES, eps=0.5)
    for options in ({"eps": 0}, {"eps": float("nan")}):
        with pytest.raises(ValueError, match="eps must be"):
            enclosure.streamed_coding_rate(moments([tokens()]), **options)
    with pytest.raises(ValueError, match="U must have shape"):
        enclosure.streamed_subspace_coding_rate(moments([tokens()]), BASES[:, :4], eps=0.5)


# --- bad input ---

GOOD = moments([tokens()])


NOT_FINITE = np.full((2, d), np.nan)
EMPTY = "with no empty axis, got"


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: moments(3), TypeError, "Z must be an iterable of blocks, got int"),
        (lambda: moments([]), ValueError, "Z must have at least one token, got none"),
        (lambda: moments([tokens()], method="svd"), ValueError, "method must be one of 'gram', 'qr', got 'svd'"),
        (
            lambda: moments([tokens(), [1.0]]),
            TypeError,
            "Z[1] must be an array of NumPy, CuPy, torch or JAX, got list",
        ),
        (lambda: moments([tokens()[0]]), ValueError, f"Z[0] must have shape (n, d) {EMPTY} (6,)"),
        (lambda: moments([np.ones((2, 0))]), ValueError, f"Z[0] must have shape (n, d) {EMPTY} (2, 0)"),
        (lambda: moments([tokens()[:0], tokens()[0]]), ValueError, f"Z[1] must have shape (n, d) {EMPTY} (6,)"),
        (lambda: moments([tokens(), tokens(d=4)]), ValueError, f"Z[1] must have shape (n, 6) {EMPTY} (23, 4)"),
        (lambda: moments([tokens(), NOT_FINITE]), ValueError, "Z[1] must be finite, got nan at index (0, 0)"),
        (
            lambda: moments([tokens(), NOT_FINITE], method="qr"),
            ValueError,
            "Z[1] must be finite, got nan at index (0, 0)",
        ),
        (
            lambda: moments([tokens(), tokens().astype(np.float32)]),
            TypeError,
            "Z[1] and Z[0] must have one dtype, got float32 and float64",
        ),
        (lambda: blocks(np.ones(3)), ValueError, "Z must have shape (n, d), got (3,)"),
        (lambda: blocks(3), ValueError, "Z must have shape (n, d), got int"),
        (lambda: blocks(np.ones((3, 2)), 0), ValueError, "rows must be >= 1, got 0"),
        (lambda: merge(3, GOOD), TypeError, "first must be Moments, got int"),
        (lambda: merge(GOOD, 3), TypeError, "second must be Moments, got int"),
        (
            lambda: merge(GOOD, moments([tokens()], method="qr")),
            ValueError,
            "second must have method 'gram' as the first, got 'qr'",
        ),
        (
            lambda: merge(GOOD, moments([tokens(d=4)])),
            ValueError,
            f"second must have shape (6, 6) {EMPTY} (4, 4)",
        ),
        (
            lambda: merge(GOOD, moments([tokens().astype(np.float32)])),
            TypeError,
            "second and first must have one dtype, got float32 and float64",
        ),
        (lambda: second_moments(3, 1), TypeError, "S must be an array of NumPy, CuPy, torch or JAX, got int"),
        (lambda: second_moments(np.ones(2), 1), ValueError, f"S must have shape (d, d) {EMPTY} (2,)"),
        (lambda: second_moments(NOT_FINITE, 1), ValueError, "S must be finite, got nan at index (0, 0)"),
        (lambda: second_moments(np.ones((2, 3)), 4), ValueError, "S must be square, got shape (2, 3)"),
        (
            lambda: second_moments(np.array([[1.0, 2.0], [0.0, 1.0]]), 4),
            ValueError,
            "S must be symmetric, got entries 2 apart from their transposes",
        ),
        (lambda: second_moments(-np.eye(2), 4), ValueError, "S must have no negative diagonal, got -1"),
        (
            lambda: second_moments(np.array([[1.0, 2.0], [2.0, 1.0]]), 4),
            ValueError,
            "S must be positive semidefinite, got an eigenvalue -1",
        ),
        (lambda: second_moments(np.eye(2), 0), ValueError, "n must be >= 1, got 0"),
        (lambda: streaming.coding_rate(tokens(), eps=0.5), TypeError, "Z must be Moments, got ndarray"),
        (lambda: streaming.coding_rate(GOOD, eps=0), ValueError, "eps must be > 0, got 0"),
        (lambda: streaming.coding_rate(GOOD, eps=0.5, report=1), TypeError, "report must be True or False, got 1"),
        (lambda: streaming.subspace_coding_rate(3, BASES, eps=0.5), TypeError, "Z must be Moments, got int"),
        (
            lambda: streaming.subspace_coding_rate(GOOD, BASES[:, :4], eps=0.5),
            ValueError,
            f"U must have shape (K, 6, p) {EMPTY} (3, 4, 2)",
        ),
        (
            lambda: streaming.subspace_coding_rate(GOOD, BASES.astype(np.float32), eps=0.5),
            TypeError,
            "U and Z must have one dtype, got float32 and float64",
        ),
        (
            lambda: streaming.partition_coding_rate([], eps=0.5),
            ValueError,
            "parts must be a sequence of at least one Moments, got []",
        ),
        (
            lambda: streaming.partition_coding_rate(3, eps=0.5),
            ValueError,
            "parts must be a sequence of at least one Moments, got 3",
        ),
        (lambda: streaming.partition_coding_rate([1], eps=0.5), TypeError, "parts[0] must be Moments, got int"),
        (lambda: streaming.partition_coding_rate([GOOD, 1], eps=0.5), TypeError, "parts[1] must be Moments, got int"),
        (
            lambda: streaming.rate_reduction(GOOD, parts=[moments([tokens()[:9]])], eps=0.5),
            ValueError,
            "Z must be the 9 tokens of dimension 6 of its parts, got 23 of dimension 6",
        ),
        (
            lambda: streaming.rate_reduction(GOOD, parts=[moments([tokens(d=4)])], eps=0.5),
            ValueError,
            "Z must be the 23 tokens of dimension 4 of its parts, got 23 of dimension 6",
        ),
        (lambda: streaming.rate_reduction(3, parts=[GOOD], eps=0.5), TypeError, "Z must be Moments, got int"),
        (lambda: streaming.rate_reduction(3, U=BASES, eps=0.5), TypeError, "Z must be Moments, got int"),
        (
            lambda: streaming.rate_reduction(GOOD, eps=0.5),
            ValueError,
            "exactly one of U and parts must be given, got neither",
        ),
        (
            lambda: streaming.rate_reduction(GOOD, U=BASES, parts=[GOOD], eps=0.5),
            ValueError,
            "exactly one of U and parts must be given, got both",
        ),
        (lambda: streaming.gradient_factor(None, eps=0.5), TypeError, "Z must be Moments, got NoneType"),
    ],
)
def test_bad_input_is_named(call, error, message):
    with pytest.raises(error, match=f"^{re.escape(message)}$"):
        call()


def test_no_warning_where_nothing_is_lost():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        streaming.coding_rate(GOOD, eps=0.5)


@pytest.mark.parametrize(("dtype", "scale"), [(np.float64, 1e200), (np.float32, 1e25)])
def test_moments_that_overflow_are_refused(dtype, scale):
    Z = (scale * tokens()).astype(dtype)
    with np.errstate(over="ignore"), pytest.raises(ValueError, match=f"second moments that {dtype.__name__} can hold"):
        moments([Z])
    assert streaming.coding_rate(moments([Z], method="qr"), eps=0.5) > 0
