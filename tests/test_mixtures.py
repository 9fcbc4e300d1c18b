"""Mixtures have the law they were asked for, the same on every backend; angles are by their definition."""

import tracemalloc
from dataclasses import FrozenInstanceError

import numpy as np
import pytest
from backends import CPU, GPU, NUMPY, parametrize
from closeness import assert_close, near
from hypothesis import given
from hypothesis import strategies as st
from scipy.linalg import subspace_angles

from srr import mixtures

SHAPE = {"n": 20, "d": 12, "K": 3, "p": 4}


# --- the draw -----------------------------------------------------------------------------------------------


@parametrize(NUMPY, CPU, GPU)
@pytest.mark.parametrize("coherence", ["orthogonal", "random", 0.3])
def test_every_backend_gets_the_same_mixture(backend, coherence):
    given_ = SHAPE | {"noise": 0.1, "coherence": coherence, "seed": 5}
    reference = mixtures.sample(**given_)
    with backend.active():
        mixture = mixtures.sample(**given_, like=backend.array(np.zeros(1)))
        for ours, theirs in ((mixture.Z, reference.Z), (mixture.U, reference.U), (mixture.Pi, reference.Pi)):
            assert_close(backend, ours, theirs.astype(backend.dtype), size=0, scale=0)
        assert type(mixture.labels) is type(mixture.Z)
        assert np.array_equal(backend.read(mixture.labels), reference.labels)
        for ours, theirs in zip(mixture.draws(2), reference.draws(2), strict=True):
            assert_close(backend, ours, theirs.astype(backend.dtype), size=0, scale=0)


def test_a_seed_is_a_mixture():
    first, again, other = (mixtures.sample(**SHAPE, seed=seed) for seed in (1, 1, 2))
    assert np.array_equal(first.Z, again.Z)
    assert np.array_equal(first.U, again.U)
    assert not np.isclose(first.U, other.U).any()
    assert first.Z.shape == (20, 12)
    assert first.U.shape == (3, 12, 4)


def test_a_seed_gives_these_numbers():
    """Pinned: what a seed means must not change from one version to the next."""
    m = mixtures.sample(n=3, d=4, K=2, p=2, noise=0.5, spectrum=[2.0, 0.5], seed=7)
    np.testing.assert_allclose(m.Z[0], [0.39597880314214984, 1.298918321566663, 0.7338479911866334, -2.068562167502426])
    np.testing.assert_allclose(m.Z[1, :2], [0.2598243949093903, -1.1827288158968998])
    np.testing.assert_array_equal(m.labels, [0, 1, 0])
    np.testing.assert_allclose(m.U[0, 0], [-0.399344904085813, 0.8162017427453991])


def test_draws_are_fresh_and_the_same_each_time():
    mixture = mixtures.sample(**SHAPE, noise=0.1, seed=0)
    draws = list(mixture.draws(3))
    assert len(draws) == 3
    assert all(np.array_equal(a, b) for a, b in zip(draws, mixture.draws(3), strict=True))
    assert np.array_equal(mixture.draw(0).Z, mixture.Z)
    assert np.array_equal(mixture.draw(2).Z, draws[1])
    assert mixture.draw(2).U is mixture.U
    assert np.array_equal(mixture.draw(1).draw(2).Z, draws[1])
    every = np.stack([mixture.Z, *draws])
    assert len(np.unique(every)) == every.size


def test_labels_name_the_subspace_of_each_token():
    mixture = mixtures.sample(**SHAPE, seed=3)
    for index in range(3):
        drawn = mixture.draw(index)
        for z, label in zip(drawn.Z, drawn.labels, strict=True):
            near(drawn.U[label] @ (drawn.U[label].T @ z), z, size=12, scale=10)
        assert np.array_equal(drawn.Pi, np.eye(3)[drawn.labels])
    assert not np.array_equal(mixture.draw(1).labels, mixture.draw(2).labels)


@pytest.mark.parametrize(("n", "K"), [(20, 3), (21, 3), (2, 3), (1, 1)])
def test_without_weights_the_parts_are_as_equal_as_can_be(n, K):
    counts = np.bincount(mixtures.sample(n=n, d=6, K=K, p=2, seed=0).labels, minlength=K)
    assert counts.max() - counts.min() <= 1
    assert counts.sum() == n


def test_weights_are_the_shares_of_the_subspaces():
    weights = np.array([0.6, 0.3, 0.1, 0.0])
    n = 40_000
    counts = np.bincount(mixtures.sample(n=n, d=8, K=4, p=2, weights=weights, seed=0).labels, minlength=4)
    assert np.all(np.abs(counts - n * weights) <= 5 * np.sqrt(n * weights * (1 - weights)))
    assert len(set(counts)) == 4


@pytest.mark.parametrize(
    ("spectrum", "noise"),
    [(None, 0.0), ([4.0, 0.25], 0.5), ([[4.0, 1.0], [0.1, 9.0]], 0.3), ([0.0, 1.0], 2.0)],
)
def test_second_moments(spectrum, noise):
    n = 100_000
    mixture = mixtures.sample(n=n, d=5, K=2, p=2, spectrum=spectrum, noise=noise, coherence="random", seed=0)
    variances = np.broadcast_to(np.ones(2) if spectrum is None else spectrum, (2, 2))
    for k, (basis, variance) in enumerate(zip(mixture.U, variances, strict=True)):
        Z = mixture.Z[mixture.labels == k]
        covariance = basis * variance @ basis.T + noise**2 * np.eye(5)
        deviation = np.sqrt(np.outer(np.diag(covariance), np.diag(covariance)) + covariance**2)
        assert np.all(np.abs(Z.T @ Z / len(Z) - covariance) <= 5 * deviation / np.sqrt(len(Z)) + 1e-12)
        assert np.all(np.abs(Z.mean(0)) <= 5 * np.sqrt(np.diag(covariance) / len(Z)))


def test_drawing_holds_no_basis_per_token():
    mixture = mixtures.sample(n=1000, d=128, K=4, p=32, seed=0)
    tracemalloc.start()
    mixture.draw(1)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 10 * mixture.Z.nbytes  # with a basis per token, 32 times


def test_a_mixture_is_a_value():
    mixture = mixtures.sample(**SHAPE, seed=0)
    for value, name in ((mixture, "Z"), (mixture.law, "bases")):
        with pytest.raises(FrozenInstanceError):
            setattr(value, name, None)
    other = mixtures.sample(**SHAPE, seed=0)
    assert len({mixture, mixture, other}) == 2  # by identity
    assert mixture.law != other.law


def test_the_law_is_in_float64_whatever_it_is_made_of():
    law = mixtures.sample(n=5, d=4, K=2, p=2, spectrum=[2, 0], weights=np.float32([0.25, 0.75]), seed=0).law
    assert law.spectrum.tolist() == [[2, 0], [2, 0]]
    assert law.spectrum.dtype == law.weights.dtype == np.float64
    usual = mixtures.sample(n=5, d=4, K=2, p=2, seed=0).law
    assert usual.spectrum.tolist() == [[1, 1], [1, 1]]
    assert usual.weights is None


def test_weights_that_rounding_left_off_one_are_normalised():
    weights = np.array([0.25, 0.75]) * (1 + 5e-10)
    assert mixtures.sample(n=5, d=4, K=2, p=2, weights=weights, seed=0).law.weights.sum() == pytest.approx(1, abs=1e-15)


# --- how the subspaces lie ----------------------------------------------------------------------------------


@given(
    d=st.integers(1, 12),
    K=st.integers(1, 5),
    p=st.integers(1, 12),
    seed=st.integers(0, 2**32),
    coherence=st.sampled_from(["orthogonal", "random", 0.0, 1e-9, 0.3, np.pi / 2]),
)
def test_bases_are_orthonormal_and_lie_as_asked(d, K, p, seed, coherence):
    given_ = {"n": 1, "d": d, "K": K, "p": p, "coherence": coherence, "seed": seed}
    if p > d or (coherence != "random" and K * p > d):
        with pytest.raises(ValueError, match=r"\bp\b|\bcoherence\b"):
            mixtures.sample(**given_)
        return
    U = mixtures.sample(**given_).U
    near(U.swapaxes(1, 2) @ U, np.broadcast_to(np.eye(p), (K, p, p)), size=d, scale=1)
    if coherence != "random":
        angle = np.pi / 2 if coherence == "orthogonal" else coherence
        expected = np.where(np.eye(K)[:, :, None] == 1, 0, np.full(p, angle))
        near(mixtures.principal_angles(U), expected, size=d + K, scale=1)


def test_prescribed_angles_between_every_two_subspaces():
    angles = [0.0, 1e-8, 0.4, 1.2, np.pi / 2]
    U = mixtures.sample(n=1, d=20, K=4, p=5, coherence=angles, seed=0).U
    for j in range(4):
        for k in range(4):
            near(mixtures.principal_angles(U)[j, k], angles if j != k else np.zeros(5), size=20, scale=1)
    assert mixtures.coherence(U) == pytest.approx(1)
    U = mixtures.sample(n=1, d=20, K=4, p=2, coherence=[1.2, 0.4], seed=0).U
    assert mixtures.coherence(U) == pytest.approx(np.cos(0.4), rel=1e-14)


def test_subspaces_are_orthogonal_by_default():
    U = mixtures.sample(**SHAPE, seed=0).U
    W = U.transpose(1, 0, 2).reshape(12, 12)
    near(W.T @ W, np.eye(12), size=12, scale=1)
    assert mixtures.coherence(U) < 1e-14


def test_random_subspaces_are_independent_and_uniform():
    # E[(u_j · u_k)²] = 1/d for independent uniform lines
    d, number = 3, 4000
    U = np.concatenate([mixtures.sample(n=1, d=d, K=40, p=1, coherence="random", seed=s).U for s in range(100)])
    squares = (U[:-1, :, 0] * U[1:, :, 0]).sum(1) ** 2
    assert squares.mean() == pytest.approx(1 / d, abs=5 * squares.std() / np.sqrt(number))
    near(U[:, :, 0].mean(0), 0 * np.ones(d), size=1, scale=5 / np.sqrt(d * number), u=1 / 30)


@parametrize(NUMPY, CPU, GPU)
def test_principal_angles_on_every_backend(backend):
    U = np.linalg.qr(np.random.default_rng(0).standard_normal((3, 7, 2)))[0]
    with backend.active():
        bases = backend.array(U)
        expected = np.stack([[subspace_angles(a, b)[::-1] for b in U] for a in U])
        assert_close(backend, mixtures.principal_angles(bases), expected, size=20, scale=2)
        largest = max(np.linalg.norm(U[j].T @ U[k], 2) for j in range(3) for k in range(j))
        assert_close(backend, mixtures.coherence(bases), largest, size=20, scale=1)


def test_coherence_of_one_subspace_is_zero():
    assert mixtures.coherence(np.eye(5)[None, :, :2]) == 0
    assert mixtures.principal_angles(np.eye(5)[None, :, :2]).shape == (1, 1, 2)


# --- bad input ----------------------------------------------------------------------------------------------

GOOD = SHAPE | {
    "noise": 0.1,
    "spectrum": [1.0, 2.0, 3.0, 4.0],
    "weights": [0.2, 0.3, 0.5],
    "coherence": 0.5,
    "seed": 0,
    "like": np.zeros(1),
}
SIZES = (0, -1, 1.5, True, "3", None)
BAD = {
    "n": SIZES,
    "d": SIZES,
    "K": SIZES,
    "p": (*SIZES, 13),
    "noise": (-0.1, np.nan, np.inf, "1", True, None),
    "spectrum": (
        [1.0],
        np.ones((2, 4)),
        [-1.0, 1, 1, 1],
        [np.nan, 1, 1, 1],
        ["1", "2", "3", "4"],
        [[1.0], [1, 2]],
        1.0,
    ),
    "weights": ([0.5, 0.5], [0.5, 0.6, -0.1], [0.5, 0.5, 0.5], [np.nan, 0, 1], "abc", [[0.2, 0.3, 0.5]]),
    "coherence": ("low", -0.1, 1.6, [0.1], [np.nan] * 4, None, True, [[0.1] * 4]),
    "seed": (-1, 1.5, "0", None, True),
    "like": ([0.0], np.zeros(1, dtype=int), np.zeros(1, dtype=np.float16), 1.0),
}


@pytest.mark.parametrize(("name", "value"), [(name, value) for name in BAD for value in BAD[name]])
def test_bad_input_is_named(name, value):
    mixtures.sample(**GOOD)
    with pytest.raises((TypeError, ValueError), match=rf"\b{name}\b"):
        mixtures.sample(**(GOOD | {name: value}))


def test_too_many_subspaces_to_be_told_apart():
    with pytest.raises(ValueError, match=r'coherence must be "random" when K p = 12 > d = 10'):
        mixtures.sample(n=5, d=10, K=3, p=4, seed=0)
    assert mixtures.sample(n=5, d=10, K=3, p=4, coherence="random", seed=0).U.shape == (3, 10, 4)


@pytest.mark.parametrize("value", [0, -1, 1.5, True, None])
def test_bad_draws_are_named_at_once(value):
    mixture = mixtures.sample(**SHAPE, seed=0)
    with pytest.raises((TypeError, ValueError), match=r"\bnumber\b"):
        mixture.draws(value)
    if value != 0:
        with pytest.raises((TypeError, ValueError), match=r"\bindex\b"):
            mixture.draw(value)


@pytest.mark.parametrize("function", [mixtures.coherence, mixtures.principal_angles])
def test_angles_need_orthonormal_bases(function):
    U = mixtures.sample(**SHAPE, seed=0).U
    function(U)
    for bad in (1.001 * U, U[0], U * np.nan, U.astype(int), U.tolist(), U.transpose(0, 2, 1)):
        with pytest.raises((TypeError, ValueError), match=r"\bU\b"):
            function(bad)
