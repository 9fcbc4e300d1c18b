"""CRATE-α: two ISTA steps from zero, and both ways back to the tokens."""

import numpy as np
import pytest
from backends import CPU, GPU, NUMPY, parametrize
from closeness import assert_close, near, rounded

import srr
from srr import attention, layers, prox
from verify import decide
from verify.promises import promises_of

n, d, m, K, p = 7, 6, 24, 3, 2
EPS, LAM = 0.7, 0.15


def instance(seed=0):
    rng = np.random.default_rng(seed)
    U = np.linalg.qr(rng.standard_normal((K, d, p)))[0]
    return rng.standard_normal((n, d)), U, *(rng.standard_normal((2, d, m)) / np.sqrt(d))


@pytest.mark.parametrize("nonnegative", [True, False])
def test_ista_is_its_step_repeated_from_zero(nonnegative):
    Z, _, D, _ = instance()
    A = np.zeros((n, m))
    for t in range(1, 5):
        A = prox.ista_step(Z, D, step=0.03, lam=LAM, code=A, nonnegative=nonnegative)
        ours = prox.ista(Z, D, step=0.03, lam=LAM, iterations=t, nonnegative=nonnegative)
        near(ours, A, size=20, scale=10)
    assert (A < 0).any() != nonnegative
    assert 0 < np.count_nonzero(A) < A.size


def test_the_lasso_falls_to_its_least_value():
    Z, _, D, _ = instance()
    step = prox.lasso_step(D)
    codes = [np.zeros((n, m)), *(prox.ista(Z, D, step=step, lam=LAM, iterations=t) for t in range(1, 201))]
    values = [float(prox.lasso(Z, D, A, lam=LAM)) for A in codes]
    assert np.all(np.diff(values) <= 1e-12)
    assert values[-1] - values[200 // 2] < 0
    gap = float(prox.lasso_gap(Z, D, codes[-1], lam=LAM))
    least = float(prox.lasso(Z, D, prox.fista(Z, D, lam=LAM, iterations=2000), lam=LAM))
    assert values[-1] - gap <= least <= values[-1]
    assert values[2] > least + 0.1 * (values[0] - least)  # two steps are not near it


def code_block(x, qkv, to_out, D, D1):
    """A block of the code in torch: no biases, LayerNorm with 1e-6, a skip around both halves."""
    torch = pytest.importorskip("torch")
    F = torch.nn.functional
    x, qkv, to_out, D, D1 = (torch.tensor(a) for a in (x, qkv, to_out, D, D1))
    heads = F.linear(F.layer_norm(x, (d,), eps=1e-6), qkv).unflatten(-1, (K, -1)).transpose(-3, -2)
    attended = torch.softmax(heads @ heads.mT * heads.shape[-1] ** -0.5, dim=-1) @ heads
    half = x + F.linear(attended.transpose(-3, -2).flatten(-2), to_out)
    y = F.layer_norm(half, (d,), eps=1e-6)
    first = F.relu(0.1 * F.linear(y, D.T) - 0.01)
    second = F.relu(first - 0.1 * F.linear(F.linear(first, D) - y, D.T) - 0.01)
    return half.numpy(), (half + F.linear(second, D1)).numpy()


@parametrize(NUMPY, CPU, GPU)
def test_the_official_layer(backend):
    rng = np.random.default_rng(0)
    shapes = ((2, n, d), (K * p, d), (d, K * p), (d, m), (d, m))
    x, qkv, to_out, D, D1 = rounded(backend, *map(rng.standard_normal, shapes))
    half, after = code_block(x, qkv, to_out, D, D1)
    with backend.active():
        array = backend.array
        U = array(qkv.reshape(K, p, d).transpose(0, 2, 1))
        bare = layers.crate_alpha_official(U, array(D), array(D1), output=array(to_out))
        norm = lambda Z: layers.layer_norm(Z, floor=1e-6)  # noqa: E731
        layer = layers.PreNorm(bare, norm, norm)
        assert_close(backend, layer.compress(array(x)), half, size=20, scale=60)
        assert_close(backend, layer(array(x)), after, size=20, scale=200)
    assert layers.PreNorm(layer).residual == layer.residual == ("compress", "sparsify")


def test_the_papers_layer():
    Z, U, D, _ = instance()
    layer = layers.crate_alpha(U, D, eps=EPS, eta=0.05, lam=LAM)
    half = attention.residual_step(Z, U, eps=EPS)
    near(layer.compress(Z), half, size=20, scale=20)
    first = np.maximum(0.05 * half @ D - 0.05 * LAM, 0)
    second = np.maximum(first - 0.05 * (first @ D.T - half) @ D - 0.05 * LAM, 0)
    near(layer(Z), second @ D.T, size=20, scale=20)
    order = np.random.default_rng(1).permutation(n)
    near(layer(Z[order]), layer(Z)[order], size=20, scale=20)


def test_it_turns_with_its_tokens_bases_and_dictionary():
    Z, U, D, _ = instance()
    Q = np.linalg.qr(np.random.default_rng(1).standard_normal((d, d)))[0]
    layer, turned = layers.crate_alpha(U, D, eps=EPS), layers.crate_alpha(Q @ U, Q @ D, eps=EPS)
    near(turned(Z @ Q.T), layer(Z) @ Q.T, size=20, scale=20)
    assert np.abs(turned(Z) - layer(Z)).max() > 0.1


def test_its_second_half_promises_the_lasso_of_its_code():
    Z, U, D, D1 = instance()
    objective = srr.SparseRateReduction(U, EPS, LAM)
    norm = layers.layer_norm
    for layer in (
        layers.crate_alpha(U, D, eps=EPS, lam=0.3),
        layers.crate_alpha_official(U, D, D1, lam=0.3),
        layers.crate_causal_overcomplete(U, D, lam=0.3),
    ):
        for whole, tokens in ((layer, Z), (layers.PreNorm(layer), norm(Z))):
            promise = promises_of(whole, objective)[1]
            assert promise.quantity == ("lasso of A" if whole is layer else "lasso of A, normed")
            A = prox.ista(tokens, D, step=0.1, lam=0.3, iterations=2)
            expected = decide.lasso_change(tokens, D, np.zeros((n, m)), A, lam=0.3)
            assert promise.change(Z, whole.sparsify(Z)) == expected
            assert np.isfinite(promise.slope(Z, whole.sparsify(Z)))


def test_a_dictionary_of_another_shape_is_named():
    _, U, D, _ = instance()
    with pytest.raises(ValueError, match=rf"^D must have shape \({d}, m\)"):
        layers.crate_alpha(U, D[0], eps=EPS)
