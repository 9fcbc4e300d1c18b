"""Coding lengths against their formula, their identities, and the search for short codes against all partitions."""

import itertools
import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import srr
from srr import segmentation

overheads = pytest.mark.parametrize("overhead", [True, False])
rng = np.random.default_rng(0)
Z = rng.standard_normal((9, 3))
LABELS = np.array([0, 0, 1, 1, 1, 2, 2, 2, 2])
Pi = np.eye(3)[LABELS]


def by_determinants(Z, labels, eps, overhead):
    n, d = Z.shape
    total = 0.0
    for k in set(labels):
        W = Z[np.asarray(labels) == k]
        m = len(W)
        log_det = np.linalg.slogdet(np.eye(d) + d / (m * eps**2) * W.T @ W)[1]
        total += (m + d * overhead) / 2 * log_det - m * math.log(m / n)
    return total


@overheads
def test_the_length_of_one_group(overhead):
    expected = by_determinants(Z, [0] * 9, 0.5, overhead)
    assert segmentation.coding_length(Z, eps=0.5, overhead=overhead) == pytest.approx(expected, rel=1e-13)
    whole = segmentation.segmented_length(Z, np.ones((9, 1)), eps=0.5, overhead=overhead)
    assert whole == pytest.approx(expected, rel=1e-13)


@overheads
def test_the_length_of_three_groups(overhead):
    expected = by_determinants(Z, LABELS, 0.5, overhead)
    found = segmentation.segmented_length(Z, Pi, eps=0.5, overhead=overhead)
    assert found == pytest.approx(expected, rel=1e-13)
    with_empty = np.concatenate([np.zeros((9, 2)), Pi], axis=1)
    assert segmentation.segmented_length(Z, with_empty, eps=0.5, overhead=overhead) == pytest.approx(
        expected, rel=1e-13
    )


def test_tokens_of_low_rank_at_high_precision():
    line = np.outer(np.arange(1.0, 10.0), [1.0, 2.0, 3.0])
    for length in (segmentation.coding_length, lambda Z, **of: segmentation.segmented_length(Z, Pi, **of)):
        found = length(line, eps=1e-7)  # where no Cholesky factor keeps a digit
        assert found == pytest.approx(length(line, eps=1e-7, overhead=True), rel=1e-15)
        assert np.isfinite(found)


def test_a_length_is_tokens_times_rate_and_labels():
    soft = rng.dirichlet(np.ones(3), size=9)
    share = soft.mean(axis=0)
    expected = 9 * (srr.partition_coding_rate(Z, soft, eps=0.5) - np.sum(share * np.log(share)))
    assert segmentation.segmented_length(Z, soft, eps=0.5, overhead=False) == pytest.approx(expected, rel=1e-13)


def test_identical_copies_of_a_group_cost_their_overhead_and_their_labels():
    halves = np.full((9, 2), 0.5)
    one, two = (segmentation.segmented_length(Z, P, eps=0.5) for P in (np.ones((9, 1)), halves))
    assert two - one == pytest.approx(3 * srr.coding_rate(Z, eps=0.5) + 9 * math.log(2), rel=1e-12)


def test_batches_broadcast():
    stack = np.stack([Z, 2 * Z])
    found = segmentation.segmented_length(stack, Pi, eps=0.5)
    assert found.shape == (2,)
    assert found[1] == pytest.approx(segmentation.segmented_length(Z, Pi, eps=0.25), rel=1e-13)


def test_the_length_has_a_derivative_in_tokens_and_memberships():
    tokens = torch.tensor(Z, requires_grad=True)
    memberships = torch.tensor(rng.dirichlet(np.ones(2), size=9), requires_grad=True)

    def length(Z, logits):
        return segmentation.segmented_length(Z, torch.softmax(logits, dim=-1), eps=0.5)

    assert torch.autograd.gradcheck(length, (tokens, memberships))


# --- pairwise steepest descent ----------------------------------------------------------------------------------


@overheads
@settings(max_examples=20)
@given(st.integers(1, 7), st.integers(1, 9), st.floats(0.01, 3.0), st.integers(0, 2**32 - 1))
def test_descent_is_the_published_algorithm(overhead, n, d, eps, seed):
    """Against one that takes every length of every merger anew."""
    Z = np.random.default_rng(seed).standard_normal((n, d))
    labels, lengths = list(range(n)), [by_determinants(Z, range(n), eps, overhead)]
    while True:
        mergers = [
            [a if label == b else label for label in labels] for a, b in itertools.combinations(sorted(set(labels)), 2)
        ]
        if not mergers:
            break
        best = min(mergers, key=lambda labels: by_determinants(Z, labels, eps, overhead))
        if by_determinants(Z, best, eps, overhead) >= lengths[-1]:
            break
        labels = best
        lengths.append(by_determinants(Z, labels, eps, overhead))
    found = segmentation.pairwise_steepest_descent(Z, eps=eps, overhead=overhead)
    order = list(dict.fromkeys(labels))
    assert found.labels.tolist() == [order.index(label) for label in labels]
    assert found.lengths == pytest.approx(lengths, rel=1e-8, abs=1e-8)


def test_descent_separates_two_orthogonal_lines():
    Z = np.zeros((20, 3))
    Z[::2, 0], Z[1::2, 1] = rng.uniform(1, 2, size=(2, 10))
    found = segmentation.pairwise_steepest_descent(Z, eps=1e-3)
    assert found.labels.tolist() == [0, 1] * 10
    assert len(found.lengths) == 19
    assert found.lengths[-1] == pytest.approx(by_determinants(Z, found.labels, 1e-3, True), rel=1e-10)


def test_fewer_tokens_than_dimensions():
    """Two groups of several tokens each, whose roots are of one size."""
    directions = rng.standard_normal((2, 20))
    Z = rng.uniform(1, 2, size=(8, 1)) * directions[np.arange(8) % 2]
    found = segmentation.pairwise_steepest_descent(Z, eps=0.1)
    assert found.labels.tolist() == [0, 1] * 4
    assert found.lengths[-1] == pytest.approx(by_determinants(Z, found.labels, 0.1, True), rel=1e-10)


@overheads
def test_two_tokens_are_merged_just_where_it_pays(overhead):
    Z, merged = np.array([[1.0, 0.0], [0.6, 0.8]]), set()
    for eps in np.geomspace(0.05, 20.0, 60):
        two, one = (by_determinants(Z, labels, eps, overhead) for labels in ([0, 1], [0, 0]))
        found = segmentation.pairwise_steepest_descent(Z, eps=float(eps), overhead=overhead)
        assert found.labels.tolist() == ([0, 0] if one < two else [0, 1])
        merged.add(one < two)
    assert merged == {True, False}


def test_two_lines_and_a_plane_at_the_published_sizes():
    """The right three groups from a tenth of the noise level to a few times it; two, then one, far above."""
    generator = np.random.default_rng(3)
    lines = [generator.uniform(-1, 1, size=(100, 1)) * line for line in ([0.6, 0.0, 0.8], [0.0, 0.3, 0.95])]
    plane = generator.uniform(-1, 1, size=(158, 2)) @ np.eye(3)[:2]
    Z = np.concatenate([*lines, plane])
    Z += 0.01 * generator.standard_normal(Z.shape)
    truth = np.repeat([0, 1, 2], [100, 100, 158])
    for eps in (0.001, 0.01, 0.03):
        labels = segmentation.pairwise_steepest_descent(Z, eps=eps).labels
        assert int(labels.max()) == 2
        assert sum(np.bincount(truth[labels == k]).max() for k in range(3)) / 358 > 0.95
    assert int(segmentation.pairwise_steepest_descent(Z, eps=1.0).labels.max()) == 0
    assert int(segmentation.pairwise_steepest_descent(Z, eps=0.01, overhead=False).labels.max()) > 20


def test_a_token_set_must_be_one_and_readable():
    with pytest.raises(ValueError, match=r"^Z must have shape \(n, d\) with no empty axis, got \(2, 3, 4\)$"):
        segmentation.pairwise_steepest_descent(np.ones((2, 3, 4)), eps=0.5)
    unreadable = r"^Z must have values that can be read, got an array that is being traced\b"
    with pytest.raises(ValueError, match=unreadable):
        segmentation.pairwise_steepest_descent(torch.zeros((3, 2), device="meta"), eps=0.5)
    jax = pytest.importorskip("jax")
    with pytest.raises(ValueError, match=unreadable):
        jax.jit(lambda Z: segmentation.pairwise_steepest_descent(Z, eps=0.5).labels)(jax.numpy.ones((3, 2)))
