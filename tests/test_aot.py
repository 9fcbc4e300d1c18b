"""AoT: thresholded attention against the printed formula, the ratio it raises, and the model that it denoises."""

import math

import numpy as np
import pytest
from backends import CPU, GPU, NUMPY, parametrize
from closeness import assert_close, near, rounded
from scipy.special import softmax

from srr import aot, attention, layers, mixtures

STEP, TAU = 0.35, 0.4


def instance(n=7, d=6, K=3, p=2, seed=0, size=1.0):
    rng = np.random.default_rng(seed)
    return size * rng.standard_normal((n, d)), np.linalg.qr(rng.standard_normal((K, d, p)))[0]


def printed_layer(Z, U, step, tau):
    """Z + η Σ_k U_kU_kᵀ Z φ(ZᵀU_kU_kᵀZ), φ on columns; tokens in columns."""
    total = np.zeros_like(Z)
    for basis in U:
        share = softmax(Z.T @ basis @ basis.T @ Z, axis=0)
        phi = share if tau is None else np.where(share > tau, tau, 0)
        total += basis @ basis.T @ Z @ phi
    return Z + step * total


@parametrize(NUMPY, CPU, GPU)
@pytest.mark.parametrize("tau", [None, TAU, 0.9])
def test_a_layer_is_the_papers(backend, tau):
    arrays = rounded(backend, *instance())
    with backend.active():
        Z, U = map(backend.array, arrays)
        ours = aot.denoising_step(Z, U, step=STEP, threshold=tau)
        assert_close(backend, ours, printed_layer(arrays[0].T, arrays[1], STEP, tau).T, size=20, scale=10)
        layer = layers.aot(U, step=STEP, threshold=tau)
        assert_close(backend, layer(Z), backend.read(ours), size=1, scale=1)
        assert layer.sparsify(Z) is Z


def test_the_threshold_keeps_what_exceeds_it_and_gives_it_one_value():
    Z, U = instance()
    plain, kept = aot.attention_weights(Z, U), aot.attention_weights(Z, U, threshold=TAU)
    assert set(np.unique(kept)) == {0.0, TAU}
    assert np.array_equal(kept > 0, plain > TAU)
    assert 0 < (kept > 0).sum() < kept.size
    near(plain.sum(axis=-1), np.ones((3, 7)), size=7, scale=1)
    assert (aot.attention_weights(Z, U, threshold=0.5) > 0).sum(axis=-1).max() == 1
    halves = np.ones((2, 6))
    assert np.array_equal(aot.attention_weights(halves, U, threshold=0.5), np.zeros((3, 2, 2)))


def test_the_default_layer():
    Z, U = instance()
    near(layers.aot(U)(Z), aot.denoising_step(Z, U, step=1.0, threshold=0.6), size=1, scale=1)


def test_without_a_threshold_it_is_attention():
    Z, U = instance()
    near(aot.mssa_thresholded(Z, U, threshold=None), attention.mssa(Z, U), size=20, scale=10)


def test_symmetries_and_batches():
    Z, U = instance()
    order = np.random.default_rng(1).permutation(7)
    Q = np.linalg.qr(np.random.default_rng(2).standard_normal((6, 6)))[0]
    layer, turned = layers.aot(U, threshold=TAU), layers.aot(Q @ U, threshold=TAU)
    near(layer(Z[order]), layer(Z)[order], size=20, scale=10)
    near(turned(Z @ Q.T), layer(Z) @ Q.T, size=20, scale=10)
    batch = np.stack([Z, 2 * Z, Z - 1])
    near(layer(batch), np.stack([layer(z) for z in batch]), size=20, scale=20)


@parametrize(NUMPY, CPU, GPU)
def test_the_ratio_is_that_of_norms(backend):
    Z, U = arrays = rounded(backend, *instance())
    labels = np.array([0, 0, 1, 2, 2, 2, 1])
    expected = []
    for k, basis in enumerate(U):
        own = Z[labels == k].T
        inside = basis @ basis.T @ own
        expected.append(np.linalg.norm(inside) / np.linalg.norm(own - inside))
    with backend.active():
        z, u, Pi = (backend.array(a) for a in (*arrays, np.eye(3)[labels]))
        assert_close(backend, aot.snr(z, Pi, u), np.array(expected), size=20, scale=10)


def test_noise_in_the_other_subspaces_only():
    mix = mixtures.sample(n=4000, d=14, K=3, p=4, noise=0.3, confined=True, seed=0)
    heads = np.einsum("nd,kdp->nkp", mix.Z, mix.U)
    near(np.einsum("nkp,kdp->nd", heads, mix.U), mix.Z, size=20, scale=10)  # nothing outside them all
    own = heads[np.arange(4000), mix.labels]
    strange = heads[np.arange(3) != mix.labels[:, None]]
    assert np.mean(own**2) == pytest.approx(1, abs=0.05)
    assert np.mean(strange**2) == pytest.approx(0.09, abs=0.005)
    assert aot.snr(mix.Z, mix.Pi, mix.U) == pytest.approx(np.full(3, 1 / (0.3 * math.sqrt(2))), rel=0.05)
    assert np.array_equal(mix.Z, mixtures.sample(n=4000, d=14, K=3, p=4, noise=0.3, confined=True, seed=0).Z)
    free = mixtures.sample(n=4000, d=14, K=3, p=4, noise=0.3, seed=0)
    assert np.array_equal(free.labels, mix.labels)
    assert not np.allclose(free.Z, mix.Z)


def test_on_the_good_event_signal_grows_and_noise_stays():
    mix = mixtures.sample(n=16, d=48, K=2, p=24, noise=0.05, confined=True, seed=0)
    layer = layers.aot(mix.U, step=0.5, threshold=0.6)
    before = aot.snr(mix.Z, mix.Pi, mix.U)
    near(aot.snr(layer(mix.Z), mix.Pi, mix.U), 1.3 * before, size=50, scale=before**2)
    softer = layers.aot(mix.U, step=0.5, threshold=None)
    assert np.all(aot.snr(softer(mix.Z), mix.Pi, mix.U) < 1.3 * before)


def test_layers_are_differentiable_under_jit_and_in_torch():
    torch, jax = pytest.importorskip("torch"), pytest.importorskip("jax")
    Z, U = instance()

    def run(Z, U):
        return layers.aot(U, threshold=TAU)(Z)

    H, h = np.random.default_rng(1).standard_normal(Z.shape), 1e-7
    slope = (run(Z + h * H, U) - run(Z - h * H, U)).sum() / (2 * h)
    tokens = torch.tensor(Z, requires_grad=True)
    run(tokens, torch.tensor(U)).sum().backward()
    assert np.sum(tokens.grad.numpy() * H) == pytest.approx(slope, rel=1e-6)
    with jax.enable_x64(True):
        gradient = jax.jit(jax.grad(lambda Z, U: run(Z, U).sum()))(jax.numpy.asarray(Z), jax.numpy.asarray(U))
        assert np.sum(gradient * H) == pytest.approx(slope, rel=1e-6)
