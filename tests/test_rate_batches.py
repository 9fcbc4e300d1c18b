"""Rates of many token sets at once are those of each."""

from dataclasses import replace

import numpy as np
import oracle
import pytest
from exact_rates import (
    RATES,
    agree,
    every_dtype,
    every_rate,
    gradient_magnitude,
    imprecise,
    magnitude,
    stable,
    stable_gradient,
)
from families import Tokens

import srr
from srr import rates


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
        agree(value[i], single_value, size=6, scale=10.0, dtype=dtype)
        agree(plain[i], single_value, size=6, scale=10.0, dtype=dtype)
        agree(gradient[i], single_gradient, size=6, scale=10.0, dtype=dtype)
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
            agree(value[i], single[0], size=5, scale=10.0, dtype=np.float64)
            agree(gradient[i], single[1], size=5, scale=10.0, dtype=np.float64)


def test_batches_of_tokens_and_memberships_broadcast():
    t = Tokens(n=5, d=4, rank=4)
    Z = np.stack([replace(t, seed=s).Z for s in range(3)])
    Pi = np.stack([replace(t, seed=s).memberships(2) for s in range(2)])[:, None]
    value, gradient = rates.partition_coding_rate_and_gradient(Z, Pi, eps=0.4)
    assert value.shape == (2, 3)
    assert gradient.shape == (2, 3, 5, 4)
    for i, j in np.ndindex(2, 3):
        single = rates.partition_coding_rate(Z[j], Pi[i, 0], eps=0.4)
        agree(value[i, j], single, size=5, scale=10.0, dtype=np.float64)


@pytest.mark.parametrize("batch", [(0,), (2, 0)])
@every_rate
def test_an_empty_batch_gives_an_empty_result(rate, batch):
    t = Tokens(n=5, d=4, rank=4)
    value, gradient = rate.value_and_gradient(np.zeros((*batch, 5, 4)), **rate.arguments(t), eps=0.4)
    assert value.shape == batch
    assert gradient.shape == (*batch, 5, 4)
