"""Causal attention against one softmax for each token, and that no layer built on it sees a later token."""

from functools import partial

import numpy as np
import pytest
from backends import CPU, GPU, NUMPY, parametrize
from closeness import assert_close, near, rounded
from scipy.special import softmax

from srr import attention, layers

n, d, K, p = 7, 6, 3, 2


def instance(seed=0):
    """Tokens and bases that are neither orthonormal nor complete, a square dictionary and one of 11 atoms."""
    rng = np.random.default_rng(seed)
    return tuple(rng.standard_normal(shape) / np.sqrt(d) for shape in ((n, d), (K, d, p), (d, d), (d, 11)))


def one_token_at_a_time(Z, U, W, bias, scale):
    """Token t in the papers' columns: Σ_k W_k Y_k[:, :t] softmax(c Y_k[:, :t]ᵀ y_t)."""
    columns = []
    for t in range(1, len(Z) + 1):
        heads = [basis.T @ Z[:t].T for basis in U]
        attended = [Y @ softmax(scale * Y.T @ Y[:, -1]) for Y in heads]
        columns.append(W @ np.concatenate(attended) + bias)
    return np.stack(columns)


@parametrize(NUMPY, CPU, GPU)
def test_every_token_attends_to_itself_and_those_before_it(backend):
    rng = np.random.default_rng(1)
    Z, U, W, bias = rounded(backend, *instance()[:2], rng.standard_normal((d, K * p)), rng.standard_normal(d))
    with backend.active():
        z, bases, output, shift = (backend.array(a) for a in (Z, U, W, bias))
        ours = attention.causal_mssa(z, bases, output=output, bias=shift, scale=0.7)
        assert_close(backend, ours, one_token_at_a_time(Z, U, W, bias, 0.7), size=20, scale=10)
        ours = attention.causal_mssa(z, bases)
        assert_close(backend, ours, one_token_at_a_time(Z, U, np.hstack(list(U)), 0, p**-0.5), size=20, scale=10)


def test_torch_has_the_same_mask():
    torch = pytest.importorskip("torch")
    Z, U, *_ = instance()
    heads = torch.tensor(Z @ U)
    attended = torch.nn.functional.scaled_dot_product_attention(heads, heads, heads, is_causal=True)
    near(attention.causal_mssa(Z, U), np.sum(attended.numpy() @ U.swapaxes(1, 2), axis=0), size=20, scale=10)


def three(layer):
    return lambda Z: layer(layer(layer(Z)))


def causal_maps():
    _, U, D, wide = instance()
    square, overcomplete = layers.crate_causal(U, D), layers.crate_causal_overcomplete(U, wide)
    return {
        "mssa": partial(attention.causal_mssa, U=U),
        "layer": square,
        "overcomplete": overcomplete,
        "three layers with LayerNorm": three(layers.PreNorm(square)),
        "three overcomplete layers with LayerNorm": three(layers.PreNorm(overcomplete)),
    }


def sees_later_tokens(f, Z):
    """The largest share by which the first rows of f(Z) are not f of the first tokens."""
    whole = f(Z)
    return max(np.abs(f(Z[:t]) - whole[:t]).max() for t in range(1, len(Z))) / np.abs(whole).max()


@pytest.mark.parametrize("f", causal_maps().values(), ids=causal_maps())
def test_the_first_rows_are_those_of_the_first_tokens(f):
    Z = instance()[0]
    assert sees_later_tokens(f, Z) < 1e-14
    wrong = lambda Z: f(Z[::-1])[::-1]  # noqa: E731 - the mask transposed
    assert sees_later_tokens(wrong, Z) > 1e-2


def test_attention_without_the_mask_sees_later_tokens():
    Z, U, D, _ = instance()
    assert sees_later_tokens(partial(attention.mssa_official, U=U), Z) > 1e-2
    assert sees_later_tokens(layers.PreNorm(layers.official(U, D)), Z) > 1e-2


def test_the_last_token_sees_all():
    Z, U, *_ = instance()
    near(attention.causal_mssa(Z, U)[-1], attention.mssa_official(Z, U)[-1], size=20, scale=10)
    near(attention.causal_mssa(Z, U)[0], sum(basis @ basis.T @ Z[0] for basis in U), size=20, scale=10)


@pytest.mark.parametrize("size", [1e3, 1e160])
def test_a_later_token_may_be_of_any_size(size):
    Z, U, *_ = instance()
    before = attention.causal_mssa(Z, U)
    Z = np.concatenate([Z, size * Z[:1], -size * Z[1:2]])
    after = attention.causal_mssa(Z, U)
    assert np.isfinite(after).all()
    if size < 1e100:  # beyond, all tokens are divided by their size, and the small ones lose their digits
        near(after[:n], before, size=20, scale=10)


def test_rotations_turn_the_result_and_permutations_do_not_permute_it():
    Z, U, *_ = instance()
    rng = np.random.default_rng(1)
    Q = np.linalg.qr(rng.standard_normal((d, d)))[0]
    near(attention.causal_mssa(Z @ Q.T, Q @ U), attention.causal_mssa(Z, U) @ Q.T, size=20, scale=10)
    order = rng.permutation(n)
    assert np.abs(attention.causal_mssa(Z[order], U) - attention.causal_mssa(Z, U)[order]).max() > 1e-2


def test_derivatives_are_finite_and_those_of_the_values():
    torch, jax = pytest.importorskip("torch"), pytest.importorskip("jax")
    Z, U, D, _ = instance()

    def run(Z, U, D, scale=0.7):
        return layers.PreNorm(layers.crate_causal(U, D, scale=scale))(Z).sum()

    H, h = np.random.default_rng(1).standard_normal(Z.shape), 1e-6
    slope = (run(Z + h * H, U, D) - run(Z - h * H, U, D)) / (2 * h)
    tokens, bases, D_t, scale = (torch.tensor(a, requires_grad=True) for a in (Z, U, D, np.array(0.7)))
    run(tokens, bases, D_t, scale).backward()
    assert np.sum(tokens.grad.numpy() * H) == pytest.approx(slope, rel=1e-6)
    in_scale = (run(Z, U, D, 0.7 + h) - run(Z, U, D, 0.7 - h)) / (2 * h)
    assert float(scale.grad) == pytest.approx(in_scale, rel=1e-6)
    with jax.enable_x64(True):
        gradient = jax.jit(jax.grad(run))(*map(jax.numpy.asarray, (Z, U, D)))
        assert np.sum(gradient * H) == pytest.approx(slope, rel=1e-6)


# --- the code -----------------------------------------------------------------------------------------------


def code_block(x, qkv, to_out, bias, weight):
    """A block of the code for text, square or with the overcomplete dictionary, in torch."""
    torch = pytest.importorskip("torch")
    F = torch.nn.functional
    x, qkv, to_out, bias, weight = (torch.tensor(a) for a in (x, qkv, to_out, bias, weight))
    heads = F.linear(F.layer_norm(x, (d,)), qkv).unflatten(-1, (K, -1)).transpose(-3, -2)
    attended = F.scaled_dot_product_attention(heads, heads, heads, is_causal=True)
    y = F.layer_norm(x + F.linear(attended.transpose(-3, -2).flatten(-2), to_out, bias), (d,))
    if weight.shape == (d, d):
        down = F.linear(y, weight.T)
        return F.relu(y + 0.1 * (down - F.linear(F.linear(y, weight), weight.T)) - 0.01).numpy()
    first = F.relu(0.1 * F.linear(y, weight) - 0.01)
    second = F.relu(first + 0.1 * (F.linear(y, weight) - F.linear(F.linear(first, weight.T), weight)) - 0.01)
    return F.linear(second, weight.T).numpy()


@pytest.mark.parametrize("atoms", [d, 4 * d])
def test_layers_of_the_code(atoms):
    rng = np.random.default_rng(0)
    x, qkv, to_out, bias, weight = map(rng.standard_normal, ((2, n, d), (K * p, d), (d, K * p), (d,), (atoms, d)))
    U = qkv.reshape(K, p, d).transpose(0, 2, 1)
    if atoms == d:
        layer = layers.crate_causal(U, weight, output=to_out, bias=bias)
    else:
        layer = layers.crate_causal_overcomplete(U, weight.T, output=to_out, bias=bias)
    near(layers.PreNorm(layer)(x), code_block(x, qkv, to_out, bias, weight), size=20, scale=100)


def test_a_dictionary_of_another_shape_is_named():
    _, U, D, *_ = instance()
    with pytest.raises(ValueError, match=rf"^D must have shape \({d}, m\)"):
        layers.crate_causal_overcomplete(U, D[0])
