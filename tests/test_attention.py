"""Every compression operator against the printed formula in the papers' columns, and its symmetries."""

import tracemalloc

import numpy as np
import paper
import pytest
from backends import CPU, GPU, NUMPY, parametrize
from closeness import assert_close, near, rounded
from hypothesis import given
from hypothesis import strategies as st

import srr
from srr import _arrays, attention, curvature

SHAPES = ((7, 5, 3, 2), (3, 8, 2, 4), (4, 6, 2, 4), (6, 5, 1, 5), (1, 4, 2, 2), (3, 1, 1, 1))  # n, d, K, p
EPS, STEP = 0.8, 0.35


def instance(n, d, K, p, seed=0):
    """Tokens of about unit length, and bases that are not orthonormal: the formulas hold for any."""
    rng = np.random.default_rng(seed)
    return rng.standard_normal((n, d)) / np.sqrt(d), rng.standard_normal((K, d, p)) / np.sqrt(d)


OPERATORS = {
    "exact": (
        lambda Z, U: attention.exact_step(Z, U, eps=EPS, step=STEP),
        lambda Z, U: Z - STEP * paper.gradient(Z, U, EPS),
    ),
    "neumann": (
        lambda Z, U: attention.neumann_step(Z, U, eps=EPS, step=STEP),
        lambda Z, U: Z - STEP * paper.neumann_gradient(Z, U, EPS),
    ),
    "derived": (
        lambda Z, U: attention.derived_step(Z, U, eps=EPS, step=STEP),
        lambda Z, U: (1 - STEP * gamma(Z, U)) * Z + STEP * gamma(Z, U) * paper.mssa(Z, U, EPS),
    ),
    "residual": (
        lambda Z, U: attention.residual_step(Z, U, eps=EPS),
        lambda Z, U: Z + paper.mssa(Z, U, EPS),
    ),
    "conceptual": (
        lambda Z, U: attention.residual_step(Z, U),
        lambda Z, U: Z + sum(basis @ paper.ssa(Z, basis) for basis in U),
    ),
    "negative": (
        lambda Z, U: attention.residual_step(Z, U, step=-1.0),
        lambda Z, U: Z - sum(basis @ paper.ssa(Z, basis) for basis in U),
    ),
    "mssa": (lambda Z, U: attention.mssa(Z, U, eps=EPS), lambda Z, U: paper.mssa(Z, U, EPS)),
}


def gamma(Z, U):
    return U.shape[-1] / (Z.shape[1] * EPS**2)


operators = pytest.mark.parametrize(("ours", "papers"), OPERATORS.values(), ids=OPERATORS)


@operators
@pytest.mark.parametrize("shape", SHAPES)
def test_every_operator_is_the_papers(ours, papers, shape):
    Z, U = instance(*shape)
    near(ours(Z, U), papers(Z.T, U).T, size=sum(shape), scale=10)
    assert np.abs(ours(Z, U)).max() > 1e-3


@parametrize(NUMPY, CPU, GPU)
@operators
def test_on_every_backend(backend, ours, papers):
    Z, U = rounded(backend, *instance(*SHAPES[0]))
    with backend.active():
        assert_close(backend, ours(backend.array(Z), backend.array(U)), papers(Z.T, U).T, size=20, scale=10)


@parametrize(NUMPY, CPU, GPU)
def test_ssa_has_a_slice_for_each_head(backend):
    Z, U = rounded(backend, *instance(*SHAPES[0]))
    with backend.active():
        heads = attention.ssa(backend.array(Z), backend.array(U))
        expected = np.stack([paper.ssa(Z.T, basis).T for basis in U])
        assert_close(backend, heads, expected, size=20, scale=10)


@operators
def test_batched_equals_a_stack_of_singles(ours, papers, monkeypatch):
    Z, U = instance(*SHAPES[0])
    batch = np.stack([Z, 2 * Z, -Z, Z + 1, Z**2]).reshape(5, 1, *Z.shape)
    stack = np.stack([ours(z, U) for z in batch[:, 0]])[:, None]
    near(ours(batch, U), stack, size=20, scale=100)
    monkeypatch.setattr(_arrays, "BLOCK_BYTES", 2 * Z.nbytes)  # blocks of 2, 2 and 1
    near(ours(batch, U), stack, size=20, scale=100)


# --- the exact step and its approximations ------------------------------------------------------------------


@given(
    seed=st.integers(0, 2**32),
    shape=st.sampled_from(SHAPES),
    eps=st.floats(0.05, 10),
    size=st.floats(0.01, 100),
)
def test_below_twice_the_safe_step_the_exact_step_descends(seed, shape, eps, size):
    Z, U = instance(*shape, seed)
    Z = size * Z
    step = 1.9 * curvature.compression_step(U, len(Z), eps=eps)
    before = srr.subspace_coding_rate(Z, U, eps=eps, method="svd")
    after = srr.subspace_coding_rate(attention.exact_step(Z, U, eps=eps, step=step), U, eps=eps, method="svd")
    assert after <= before * (1 + 1e-13)


def test_what_the_neumann_series_leaves_out():
    # (I + X)⁻¹ − (I − X) = X² (I + X)⁻¹ for X = γ YᵀY
    Z, U = instance(*SHAPES[0])
    g = gamma(Z.T, U)
    left_out = 0
    for basis in U:
        X = g * (Z @ basis) @ (Z @ basis).T
        left_out = left_out + g * X @ X @ np.linalg.inv(np.eye(len(Z)) + X) @ Z @ basis @ basis.T
    exact = attention.exact_step(Z, U, eps=EPS, step=STEP)
    near(attention.neumann_step(Z, U, eps=EPS, step=STEP) - exact, STEP * left_out, size=20, scale=10)


def test_half_a_step_is_half_the_residual_form():
    Z, U = instance(*SHAPES[0])
    half = attention.derived_step(Z, U, eps=EPS, step=1 / (2 * gamma(Z.T, U)))
    near(half, attention.residual_step(Z, U, eps=EPS) / 2, size=20, scale=10)


def test_the_prefactor_of_mssa_is_the_papers_gamma():
    Z, U = instance(*SHAPES[0])
    near(attention.mssa(Z, U, eps=EPS), gamma(Z.T, U) * attention.mssa(Z, U), size=20, scale=10)
    heads = attention.ssa(Z, U)
    near(attention.mssa(Z, U), sum(h @ basis.T for h, basis in zip(heads, U, strict=True)), size=20, scale=10)


@pytest.mark.parametrize("step", [attention.exact_step, attention.neumann_step])
def test_no_matrix_of_tokens_by_tokens_is_formed(step):
    Z = np.random.default_rng(0).standard_normal((6000, 6))
    U = np.eye(6)[:, :4].reshape(6, 2, 2).transpose(1, 0, 2).copy()
    step(Z, U, eps=1.0, step=0.1)
    tracemalloc.start()
    step(Z, U, eps=1.0, step=0.1)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 60 * Z.nbytes < 0.1 * 8 * len(Z) ** 2


@pytest.mark.parametrize("step", [attention.exact_step, attention.neumann_step])
def test_no_matrix_of_dimensions_by_dimensions_is_formed(step):
    p = 1000
    Z, U = np.random.default_rng(0).standard_normal((3, p)), np.eye(p)[None]
    step(Z, U, eps=1.0, step=0.1)
    tracemalloc.start()
    step(Z, U, eps=1.0, step=0.1)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 60 * Z.nbytes < U.nbytes / 5


# --- the official code --------------------------------------------------------------------------------------


def official_attention(x, qkv, to_out, bias, heads):
    """One matrix for query, key and value; scale dim_head^-0.5; heads side by side into a linear map."""
    torch = pytest.importorskip("torch")
    x, qkv, to_out, bias = (torch.tensor(a) for a in (x, qkv, to_out, bias))
    w = torch.nn.functional.linear(x, qkv).unflatten(-1, (heads, -1)).transpose(-3, -2)
    attn = torch.softmax(w @ w.transpose(-1, -2) * w.shape[-1] ** -0.5, dim=-1)
    return torch.nn.functional.linear((attn @ w).transpose(-3, -2).flatten(-2), to_out, bias).numpy()


@parametrize(NUMPY, CPU, GPU)
def test_official_attention(backend):
    heads, p, d = 3, 2, 5
    rng = np.random.default_rng(0)
    x, qkv, to_out, bias = rounded(
        backend,
        rng.standard_normal((2, 7, d)),
        rng.standard_normal((heads * p, d)),
        rng.standard_normal((d, heads * p)),
        rng.standard_normal(d),
    )
    U = qkv.reshape(heads, p, d).transpose(0, 2, 1)
    with backend.active():
        Z, bases, output, shift = (backend.array(a) for a in (x, U, to_out, bias))
        ours = attention.mssa_official(Z, bases, output=output, bias=shift)
        expected = official_attention(x, qkv, to_out, bias, heads)
        assert_close(backend, ours, expected, size=20, scale=50)
        without = attention.mssa_official(Z, bases, output=output)
        expected = official_attention(x, qkv, to_out, 0 * bias, heads)
        assert_close(backend, without, expected, size=20, scale=50)


def test_the_theory_is_a_case_of_the_official_attention():
    Z, U = instance(*SHAPES[0])
    near(attention.mssa_official(Z, U, scale=1.0), attention.mssa(Z, U), size=20, scale=10)
    p = U.shape[-1]
    near(attention.mssa_official(Z, U), attention.mssa_official(Z, U, scale=p**-0.5), size=20, scale=10)
    assert np.abs(attention.mssa_official(Z, U) - attention.mssa(Z, U)).max() > 1e-3


# --- scale --------------------------------------------------------------------------------------------------


@parametrize(NUMPY, CPU, GPU)
@pytest.mark.parametrize("exponent", [150, 20, -20, -150])
def test_softmax_of_tokens_of_any_size(backend, exponent):
    if backend.dtype == np.float32:
        exponent //= 5  # 30, 4, -4, -30
    rng = np.random.default_rng(0)
    Z, U = rng.standard_normal((6, 5)), np.linalg.qr(rng.standard_normal((2, 5, 3)))[0]
    scaled = (10.0**exponent * Z).astype(backend.dtype)
    U = U.astype(backend.dtype)
    with backend.active():
        heads = backend.read(attention.ssa(backend.array(scaled), backend.array(U))).astype(float)
    Y = scaled.astype(float) @ U.astype(float)
    gram = Y / np.abs(Y).max() @ (Y / np.abs(Y).max()).swapaxes(-1, -2)
    if exponent > 0:  # each token attends to the one it has the largest inner product with
        expected = np.take_along_axis(Y, gram.argmax(-1)[..., None], axis=-2)
    else:
        expected = np.broadcast_to(Y.mean(-2, keepdims=True), Y.shape)
    assert np.isfinite(heads).all()
    near(heads, expected, size=20, scale=np.abs(Y).max(), u=max(np.finfo(backend.dtype).eps, 1e-7))


@pytest.mark.parametrize("fraction", [0.4, 0.6, 0.99, 1.01, 1.5, 3.0])
def test_softmax_about_where_the_gram_matrix_overflows(fraction):
    p = 3
    signs = np.array([[1, 1, 1], [1, -1, 1], [-1, -1, -1.0]])
    # the largest inner product is fraction² times the largest float
    Z = fraction * np.sqrt(np.finfo(float).max / p) * signs
    assert np.array_equal(attention.ssa(Z, np.eye(p)[None])[0], Z)


def test_huge_heads_do_not_touch_the_others():
    rng = np.random.default_rng(0)
    Z, U = rng.standard_normal((2, 4, 3)), np.eye(3)[:, :2].T[:, :, None].copy()
    Z[0] *= 1e200
    Z[1, :, 0] *= 1e200
    heads = attention.ssa(Z, U)
    near(heads[0], attention.ssa(Z[0], U), size=10, scale=1e200)
    near(heads[1, 1], attention.ssa(Z[1], U[1:])[0], size=10, scale=5)


def test_derivatives_of_huge_tokens_are_finite():
    torch = pytest.importorskip("torch")
    Z, U = instance(*SHAPES[0])
    for size in (1.0, 1e150, 1e160):
        tokens = torch.tensor(size * Z, requires_grad=True)
        attention.mssa(tokens, torch.tensor(U)).sum().backward()
        assert torch.isfinite(tokens.grad).all()


def test_a_tiny_token_among_huge_ones_still_weighs_them():
    # inner products of order one, although those of the huge tokens overflow
    rng = np.random.default_rng(0)
    huge, tiny = rng.standard_normal((4, 3)), rng.standard_normal(3)
    Z = np.concatenate([1.5e154 * huge, tiny[None] / 1.5e154])
    weights = np.exp([*(huge @ tiny), 0.0])
    expected = (weights / weights.sum()) @ (Z / 1.5e154)
    attended = attention.ssa(Z, np.eye(3)[None])[0, -1]
    near(attended / 1.5e154, expected, size=10, scale=5)


# --- symmetries ---------------------------------------------------------------------------------------------


@operators
def test_permuting_tokens_permutes_the_result(ours, papers):
    Z, U = instance(*SHAPES[0])
    order = np.random.default_rng(1).permutation(len(Z))
    near(ours(Z[order], U), ours(Z, U)[order], size=20, scale=10)


@operators
def test_rotating_tokens_and_bases_rotates_the_result(ours, papers):
    Z, U = instance(*SHAPES[0])
    Q = np.linalg.qr(np.random.default_rng(1).standard_normal((5, 5)))[0]
    near(ours(Z @ Q.T, Q @ U), ours(Z, U) @ Q.T, size=20, scale=10)


@operators
def test_the_basis_of_a_subspace_does_not_matter(ours, papers):
    Z, U = instance(*SHAPES[0])
    V = np.linalg.qr(np.random.default_rng(1).standard_normal((2, 2)))[0]
    near(ours(Z, U @ V), ours(Z, U), size=20, scale=10)


# --- derivatives --------------------------------------------------------------------------------------------


@operators
def test_derivatives_in_torch_and_jax(ours, papers):
    torch, jax = pytest.importorskip("torch"), pytest.importorskip("jax")
    Z, U = instance(*SHAPES[0])
    H, V = (np.random.default_rng(1).standard_normal(a.shape) for a in (Z, U))
    h = 1e-5
    slope = (ours(Z + h * H, U + h * V) - ours(Z - h * H, U - h * V)).sum() / (2 * h)
    tokens, bases = (torch.tensor(a, requires_grad=True) for a in (Z, U))
    ours(tokens, bases).sum().backward()
    along = np.sum(tokens.grad.numpy() * H) + np.sum(bases.grad.numpy() * V)
    assert along == pytest.approx(slope, rel=1e-7, abs=1e-7)
    with jax.enable_x64(True):
        gradients = jax.jit(jax.grad(lambda Z, U: ours(Z, U).sum(), argnums=(0, 1)))
        to_Z, to_U = gradients(jax.numpy.asarray(Z), jax.numpy.asarray(U))
        assert np.sum(to_Z * H) + np.sum(to_U * V) == pytest.approx(slope, rel=1e-7, abs=1e-7)


def test_the_step_may_be_learned():
    torch = pytest.importorskip("torch")
    Z, U = (torch.tensor(a) for a in instance(*SHAPES[0]))
    for rule in (attention.exact_step, attention.neumann_step, attention.derived_step):
        step = torch.tensor(0.3, dtype=torch.float64, requires_grad=True)
        rule(Z, U, eps=EPS, step=step).sum().backward()
        two, one = rule(Z, U, eps=EPS, step=2.0), rule(Z, U, eps=EPS, step=1.0)
        assert float(step.grad) == pytest.approx(float((two - one).sum()))


# --- bad input ----------------------------------------------------------------------------------------------

Z0, U0 = instance(*SHAPES[0])
W0, B0 = np.ones((5, 6)), np.ones(5)
TOKENS, STEPPED = {"Z": Z0, "U": U0}, {"Z": Z0, "U": U0, "eps": 0.5, "step": 0.1}
GOOD = {
    attention.exact_step: STEPPED,
    attention.neumann_step: STEPPED,
    attention.derived_step: STEPPED,
    attention.residual_step: STEPPED,
    attention.ssa: TOKENS,
    attention.mssa: TOKENS | {"eps": 0.5},
    attention.mssa_official: TOKENS | {"output": W0, "bias": B0, "scale": 1.0},
}
BAD = {
    "Z": (Z0[0], Z0[:0], Z0 * np.nan, Z0.astype(np.float32), Z0.astype(int), Z0.tolist(), None),
    "U": (U0[0], U0[:, :4], U0 * np.inf, U0.astype(np.float16), U0.transpose(0, 2, 1), U0.tolist()),
    "eps": (0, -0.5, np.nan, np.inf, "1", True),
    "step": (np.nan, "1", True, np.ones(2), np.array(np.inf), np.array(1.0, dtype=np.float32)),
    "output": (W0.T, W0[:, :5], W0 * np.nan, W0.astype(np.float32), W0.tolist()),
    "bias": (B0[:4], B0[None], B0 * np.nan, B0.astype(np.float32), B0.tolist()),
    "scale": (0, -1.0, np.nan, "1", True, np.ones(2)),
}


@pytest.mark.parametrize(
    ("function", "name", "value"),
    [(f, name, value) for f, good in GOOD.items() for name in good for value in BAD[name]],
)
def test_bad_input_is_named(function, name, value):
    function(**GOOD[function])
    with pytest.raises((TypeError, ValueError), match=rf"\b{name}\b"):
        function(**(GOOD[function] | {name: value}))


@pytest.mark.parametrize("rule", [attention.exact_step, attention.neumann_step, attention.derived_step])
def test_steps_are_positive(rule):
    with pytest.raises(ValueError, match=r"step must be > 0, got -0\.1"):
        rule(Z0, U0, eps=0.5, step=-0.1)
    with pytest.raises(TypeError, match="eps"):
        rule(Z0, U0, eps=None, step=0.1)
