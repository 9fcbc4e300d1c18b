"""What rates have in common, and what they do not depend on: one subspace, parts, layout in memory."""

import tracemalloc

import backends
import families
import numpy as np
import pytest
from exact_rates import CODING, METHODS, agree, every_dtype, every_rate, imprecise, stable
from families import Tokens
from hypothesis import given

from srr import rates
from srr._partition import gather


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
        agree(np.linalg.slogdet(np.eye(len(gram)) + alpha * gram)[1] / 2, value, size=7, scale=10, dtype=float)


@every_rate
def test_rate_depends_on_the_ratio_of_tokens_and_precision(rate):
    t = Tokens(n=6, d=4, rank=3)
    given = rate.arguments(t)
    value = rate.value(t.Z, **given, eps=0.3, method="svd")
    agree(rate.value(8 * t.Z, **given, eps=2.4, method="svd"), value, size=6, scale=10.0, dtype=np.float64)


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
    agree(rates.partition_coding_rate(t.Z, Pi, eps=0.3), sum(parts), size=9, scale=10.0, dtype=np.float64)


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
    agree(report.value, value, size=n, scale=10.0, dtype=float)
    pieces = [rates.coding_rate_and_gradient(Z[labels == k], eps=0.5) for k in range(K) if sizes[k]]
    shares = [size / n for size in sizes if size]
    expected = np.zeros_like(Z)
    for k, share, (_, piece) in zip((k for k in range(K) if sizes[k]), shares, pieces, strict=True):
        expected[labels == k] = share * piece
    agree(
        value, sum(share * piece[0] for share, piece in zip(shares, pieces, strict=True)), size=n, scale=10, dtype=float
    )
    agree(gradient, np.stack([expected, expected[::-1]]), size=n, scale=10.0, dtype=float)


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
        agree(a, b, size=5, scale=10.0, dtype=np.float64)
