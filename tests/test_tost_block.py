"""The block of ToST's code: against torch's own modules, and what its LayerScale and MLP do to tokens."""

import math
from functools import partial

import numpy as np
import pytest
from backends import CPU, GPU, NUMPY, parametrize
from closeness import assert_close, near, rounded

from srr import _arrays, layers, tost

VECTORS = ("bias", "down_bias", "gamma1", "gamma2")


def instance(n=7, d=6, K=3, p=2, seed=0):
    """Tokens, bases, and all that a block may be given."""
    rng = np.random.default_rng(seed)
    given = {name: rng.standard_normal(d) for name in VECTORS}
    given |= {"up": rng.standard_normal((4 * d, d)), "down": rng.standard_normal((d, 4 * d))}
    given |= {"up_bias": rng.standard_normal(4 * d), "scale": rng.standard_normal(K)}
    given |= {"output": rng.standard_normal((d, K * p))}
    return rng.standard_normal((n, d)), rng.standard_normal((K, d, p)) / np.sqrt(d), given


def test_a_block_is_what_torch_computes():
    """x + γ₁ ∘ attn(norm1(x)), then x + γ₂ ∘ mlp(norm2(x)); torch.nn's LayerNorm, Linear and GELU."""
    torch = pytest.importorskip("torch")
    nn = torch.nn
    Z, U, given = instance()
    t = {name: torch.tensor(a) for name, a in {**given, "Z": Z, "U": U}.items()}
    norm = nn.LayerNorm(6, eps=1e-6, dtype=torch.float64)
    mlp = nn.Sequential(nn.Linear(6, 24), nn.GELU(), nn.Linear(24, 6)).double()
    with torch.no_grad():
        for parameter, name in zip(mlp.parameters(), ("up", "up_bias", "down", "down_bias"), strict=True):
            parameter.copy_(t[name])
        w = norm(t["Z"]) @ t["U"]
        Pi = torch.softmax((nn.functional.normalize(w, dim=-2) ** 2).sum(-1) * t["scale"][:, None], dim=0)[..., None]
        moments = (Pi / (Pi.sum(-2, keepdim=True) + 1e-8) * w**2).sum(-2, keepdim=True)
        heads = torch.cat(tuple(-w * Pi / (1 + moments)), dim=1)
        X = t["Z"] + t["gamma1"] * (heads @ t["output"].T + t["bias"])
        expected = (X + t["gamma2"] * mlp(norm(X))).numpy()
    normed = partial(layers.layer_norm, floor=1e-6)
    block = layers.PreNorm(layers.tost_block(U, **given), normed, normed)
    near(block(Z), expected, size=50, scale=np.abs(expected).max())
    other = layers.PreNorm(layers.tost_block(U, **given))  # 10⁻⁵, torch's default, in place of 10⁻⁶
    assert np.abs(other(Z) - expected).max() > 1e-7


def test_the_first_half_is_the_official_operator_scaled():
    Z, U, given = instance()
    block = layers.tost_block(U, given["up"], given["down"])
    near(block.compress(Z), layers.tost_official(U)(Z), size=20, scale=10)
    scaled = layers.tost_block(U, given["up"], given["down"], gamma1=np.full(6, -2.0), gamma2=np.zeros(6))
    near(scaled.compress(Z) - Z, -2 * tost.tssa_official(Z, U), size=20, scale=10)
    assert np.array_equal(scaled.sparsify(Z), Z)


def test_the_gelu_is_relatively_accurate_far_below_zero():
    x = np.array([[-30.0, -8.0, -1.0, 0.0, 1.0, 40.0]])
    eye = np.eye(6)
    found = layers.tost_block(eye[None], eye, eye).sparsify(x) - x
    exact = np.array([[v * math.erfc(-v / math.sqrt(2)) / 2 for v in x[0]]])
    np.testing.assert_allclose(found, exact, rtol=1e-14, atol=1e-14)
    assert _arrays.erfc(np.array([20.0]))[0] / math.erfc(20.0) == pytest.approx(1, rel=1e-14)


@parametrize(NUMPY, CPU, GPU)
def test_on_every_backend(backend):
    Z, U, given = instance()
    Z, U, *arrays = rounded(backend, Z, U, *given.values())
    expected = layers.tost_block(U, **dict(zip(given, arrays, strict=True)))(Z)
    with backend.active():
        z, u, *arrays = map(backend.array, (Z, U, *arrays))
        found = layers.tost_block(u, **dict(zip(given, arrays, strict=True)))(z)
        assert_close(backend, found, expected, size=50, scale=np.abs(expected).max())


def test_tokens_are_permuted_with_the_block():
    Z, U, given = instance()
    block, order = layers.PreNorm(layers.tost_block(U, **given)), np.random.default_rng(1).permutation(7)
    near(block(Z[order]), block(Z)[order], size=50, scale=100)


def test_the_block_is_differentiable_under_jit_and_in_torch():
    torch, jax = pytest.importorskip("torch"), pytest.importorskip("jax")
    Z, U, given = instance()

    def run(Z, asarray):
        return layers.tost_block(asarray(U), **{name: asarray(a) for name, a in given.items()})(Z)

    H, h = np.random.default_rng(1).standard_normal(Z.shape), 1e-6
    slope = (run(Z + h * H, np.asarray) - run(Z - h * H, np.asarray)).sum() / (2 * h)
    tokens = torch.tensor(Z, requires_grad=True)
    run(tokens, torch.tensor).sum().backward()
    assert np.sum(tokens.grad.numpy() * H) == pytest.approx(slope, rel=1e-6)
    with jax.enable_x64(True):
        gradient = jax.jit(jax.grad(lambda Z: run(Z, jax.numpy.asarray).sum()))(jax.numpy.asarray(Z))
        assert np.sum(gradient * H) == pytest.approx(slope, rel=1e-6)
    batch = np.stack([Z, 2 * Z])
    mapped = torch.func.vmap(lambda Z: run(Z, torch.tensor))(torch.tensor(batch))
    near(mapped.numpy(), run(batch, np.asarray), size=50, scale=100)


def test_what_a_block_cannot_take_is_named():
    Z, U, given = instance()
    block = layers.tost_block(U, **given)
    with pytest.raises(TypeError, match=r"^(Z and up|up and Z) must have one dtype"):
        block.sparsify(Z.astype(np.float32))
    with pytest.raises(ValueError, match=r"^Z must have shape \(\.\.\., n, 6\)"):
        block.sparsify(Z[:, :4])
    with pytest.raises(TypeError, match=r"^(U and up|up and U) must have one dtype"):
        layers.tost_block(U.astype(np.float32), given["up"], given["down"])
    with pytest.raises(ValueError, match=r"^up must have shape \(m, 6\)"):
        layers.tost_block(U, given["up"][0], given["down"])
