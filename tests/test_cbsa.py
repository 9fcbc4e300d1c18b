"""CBSA: the operator of the code, the gradient of the representatives' rate, and what it costs."""

import numpy as np
import pytest
from backends import CPU, GPU, NUMPY, parametrize
from closeness import assert_close, near, rounded

import srr
from srr import attention, cbsa, curvature, layers
from verify.multiplications import multiplications

EPS, STEP = 0.8, 0.35


def instance(n=8, d=6, K=3, p=2, seed=0):
    rng = np.random.default_rng(seed)
    return rng.standard_normal((n, d)), np.linalg.qr(rng.standard_normal((K, d, p)))[0]


def orthogonal(n=8, K=3, p=2, seed=0):
    rng = np.random.default_rng(seed)
    frame = np.linalg.qr(rng.standard_normal((K * p, K * p)))[0]
    return rng.standard_normal((n, K * p)), frame.reshape(K * p, K, p).transpose(1, 0, 2).copy()


# --- pools ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("n", "r"), [(8, 4), (8, 3), (7, 2), (5, 5), (9, 1), (10, 4)])
def test_pools_are_torchs(n, r):
    torch = pytest.importorskip("torch")
    x = np.random.default_rng(0).standard_normal((n, 3))
    pooled = torch.nn.functional.adaptive_avg_pool1d(torch.tensor(x.T), r).numpy().T
    near(cbsa.pooling(n, r) @ x, pooled, size=n, scale=5)


@pytest.mark.parametrize("sizes", [(16, 16, 8, 8), (5, 7, 2, 3), (4, 4, 4, 4), (3, 5, 1, 1)])
def test_grids_are_torchs(sizes):
    torch = pytest.importorskip("torch")
    height, width, rows, columns = sizes
    x = np.random.default_rng(0).standard_normal((height * width, 3))
    image = torch.tensor(x.T.reshape(3, height, width))
    pooled = torch.nn.functional.adaptive_avg_pool2d(image, (rows, columns)).numpy().reshape(3, -1).T
    near(cbsa.grid_pooling(height, width, rows, columns) @ x, pooled, size=height * width, scale=5)


def test_more_pools_than_tokens_are_refused():
    with pytest.raises(ValueError, match="r must be <= n = 3, got 4"):
        cbsa.pooling(3, 4)
    with pytest.raises(ValueError, match="rows must be <= height = 4, got 8"):
        cbsa.grid_pooling(4, 9)
    with pytest.raises(ValueError, match="columns must be <= width = 4, got 8"):
        cbsa.grid_pooling(9, 4)


def test_a_contraction_of_another_shape_is_refused():
    Z, U = instance()
    for A, wanted in ((np.ones((2, 7)), r"\(r, 8\)"), (np.ones((2, 2, 8)), r"\(\.\.\., 3, r, 8\)")):
        with pytest.raises(ValueError, match=rf"^A must have shape {wanted} with no empty axis, got \(2, "):
            cbsa.representatives(Z, U, A)


# --- the official code ------------------------------------------------------------------------------------------


def official(x, proj, step_x, step_rep, to_out, bias, side, grid, heads):
    """``attn_layers.py`` without its missing token: pool the projected image, attend, attend among, attend back."""
    torch = pytest.importorskip("torch")
    F = torch.nn.functional
    x, proj, step_x, step_rep, to_out, bias = map(torch.tensor, (x, proj, step_x, step_rep, to_out, bias))
    w = F.linear(x, proj)
    image = w.transpose(-1, -2).unflatten(-1, (side, side))
    rep = F.adaptive_avg_pool2d(image, (grid, grid)).flatten(-2).transpose(-1, -2)
    w, rep = (a.unflatten(-1, (heads, -1)).transpose(-3, -2) for a in (w, rep))
    scale = w.shape[-1] ** -0.5
    attn = torch.softmax(rep @ w.transpose(-1, -2) * scale, dim=-1)
    rep = rep + step_rep * (attn @ w)
    mixed = torch.softmax(rep @ rep.transpose(-1, -2) * scale, dim=-1) @ rep
    delta = step_x * (attn.transpose(-1, -2) @ mixed)
    return F.linear(delta.transpose(-3, -2).flatten(-2), to_out, bias).numpy()


@parametrize(NUMPY, CPU, GPU)
def test_the_official_operator(backend):
    heads, p, d, side, grid = 3, 2, 5, 4, 2
    rng = np.random.default_rng(0)
    shapes = ((2, side**2, d), (heads * p, d), (heads, 1, 1), (heads, 1, 1), (d, heads * p), (d,))
    x, proj, step_x, step_rep, to_out, bias = rounded(backend, *map(rng.standard_normal, shapes))
    expected = official(x, proj, step_x, step_rep, to_out, bias, side, grid, heads)
    bare = official(x, proj, step_x, step_rep, proj.T.copy(), 0 * bias, side, grid, heads)
    with backend.active():
        Z, U = backend.array(x), backend.array(proj.reshape(heads, p, d).transpose(0, 2, 1))
        A = cbsa.grid_pooling(side, side, grid, grid, beside=Z)
        steps = {"contract": backend.array(step_rep[:, 0, 0]), "broadcast": backend.array(step_x[:, 0, 0])}
        free = {"output": backend.array(to_out), "bias": backend.array(bias)}
        assert_close(
            backend, cbsa.contract_and_broadcast_official(Z, U, A, **steps, **free), expected, size=20, scale=90
        )
        assert_close(backend, cbsa.contract_and_broadcast_official(Z, U, A, **steps), bare, size=20, scale=90)


# --- the step of the theory -------------------------------------------------------------------------------------


def rate(Z, U, A):
    """Σ_k R(A_kZU_k), head by head."""
    return sum(float(srr.coding_rate(a @ Z @ basis, eps=EPS)) for a, basis in zip(A, U, strict=True))


@pytest.mark.parametrize("kind", ["pooled", "attention", "any"])
def test_it_is_the_gradient_of_the_rate_of_the_representatives(kind):
    Z, U = instance()
    pools = cbsa.pooling(8, 3)
    A = {
        "pooled": pools,
        "attention": cbsa.attention_contraction(Z, U, pools),
        "any": np.random.default_rng(3).standard_normal((3, 3, 8)),
    }[kind]
    gradient = Z - cbsa.cbsa_step(Z, U, A, eps=EPS, step=1.0)
    H, h = np.random.default_rng(1).standard_normal(Z.shape), 1e-5
    each = np.broadcast_to(A, (3, 3, 8))
    slope = (rate(Z + h * H, U, each) - rate(Z - h * H, U, each)) / (2 * h)
    assert np.sum(gradient * H) == pytest.approx(slope, rel=1e-8)
    near(cbsa.representatives(Z, U, A), np.stack([a @ Z @ u for a, u in zip(each, U, strict=True)]), size=8, scale=5)


def test_attention_contracts_to_averages():
    Z, U = instance()
    A = cbsa.attention_contraction(Z, U, cbsa.pooling(8, 3))
    assert A.shape == (3, 3, 8)
    near(A.sum(axis=-1), np.ones((3, 3)), size=8, scale=1)
    Q, Y = cbsa.pooling(8, 3) @ Z @ U[1], Z @ U[1]
    logits = Q @ Y.T / np.sqrt(2)
    near(A[1], np.exp(logits) / np.exp(logits).sum(1, keepdims=True), size=20, scale=10)
    sharp = cbsa.attention_contraction(100 * Z, U, np.eye(8))  # exponentials that overflow, or all of which vanish
    near(sharp.sum(axis=-1), np.ones((3, 8)), size=8, scale=1)


def test_all_tokens_are_the_exact_step():
    Z, U = instance()
    exact = attention.exact_step(Z, U, eps=EPS, step=STEP)
    near(cbsa.cbsa_step(Z, U, np.eye(8), eps=EPS, step=STEP), exact, size=20, scale=10)
    assert np.abs(cbsa.cbsa_step(Z, U, cbsa.pooling(8, 4), eps=EPS, step=STEP) - exact).max() > 1e-2


@pytest.mark.parametrize("r", [1, 2, 4, 8])
def test_constant_pools_are_the_exact_step_and_its_cosine_is_known(r):
    Z, U = orthogonal()
    A = cbsa.pooling(8, r)
    constant = 8 / r * A.T @ A @ Z
    exact = attention.exact_step(constant, U, eps=EPS, step=STEP)
    near(cbsa.cbsa_step(constant, U, A, eps=EPS, step=STEP), exact, size=20, scale=10)
    small = 1e-4 * Z
    ours, theirs = (
        small - f
        for f in (cbsa.cbsa_step(small, U, A, eps=1.0, step=1.0), attention.exact_step(small, U, eps=1.0, step=1.0))
    )
    cosine = np.sum(ours * theirs) / np.linalg.norm(ours) / np.linalg.norm(theirs)
    assert cosine == pytest.approx(np.linalg.norm(constant) / np.linalg.norm(Z), abs=1e-7)


def test_pools_keep_the_step_of_the_exact_gradient():
    for seed in range(30):
        Z, U = orthogonal(seed=seed)
        before = srr.subspace_coding_rate(Z, U, eps=EPS)
        step = 1.99 * curvature.compression_step(U, 8, eps=EPS)
        after = cbsa.cbsa_step(Z, U, cbsa.pooling(8, 2), eps=EPS, step=step)
        assert srr.subspace_coding_rate(after, U, eps=EPS) < before


def test_symmetries_and_batches():
    Z, U = instance()
    A, Q = cbsa.pooling(8, 3), np.linalg.qr(np.random.default_rng(2).standard_normal((6, 6)))[0]
    order = np.random.default_rng(1).permutation(8)

    def apply(Z, U, A):
        ones = np.ones(3)
        return cbsa.contract_and_broadcast_official(Z, U, A, contract=ones, broadcast=ones)

    for f in (apply, lambda Z, U, A: cbsa.cbsa_step(Z, U, A, eps=EPS, step=STEP)):
        near(f(Z @ Q.T, Q @ U, A), f(Z, U, A) @ Q.T, size=20, scale=10)
        near(f(Z[order], U, A[:, order]), f(Z, U, A)[order], size=20, scale=10)  # pools are places: they move too
        assert np.abs(f(Z[order], U, A) - f(Z, U, A)[order]).max() > 1e-3
        batch = np.stack([Z, 2 * Z, Z - 1])[:, None]
        near(f(batch, U, A), np.stack([f(z, U, A) for z in batch[:, 0]])[:, None], size=20, scale=20)


def test_products_are_counted_and_nothing_else():
    A, B = np.ones((5, 2, 3)), np.ones((3, 4))
    assert multiplications(lambda A, B: A @ B + np.sum(A), A, B) == 5 * 2 * 3 * 4
    assert multiplications(lambda A, B: np.matmul(np.exp(A), B)[0] @ B.T, A, B) == 5 * 2 * 3 * 4 + 2 * 4 * 3
    assert multiplications(lambda A: A * A, A) == 0


# --- cost and layers --------------------------------------------------------------------------------------------


def test_the_layers_are_the_operators_and_ista():
    Z, U = instance()
    D = np.linalg.qr(np.random.default_rng(4).standard_normal((6, 6)))[0]
    pools = cbsa.pooling(8, 3)
    safe = curvature.compression_step(U, 8, eps=EPS)
    for contraction, A in (("pooled", pools), ("attention", cbsa.attention_contraction(Z, U, pools))):
        layer = layers.cbsa(U, D, r=3, contraction=contraction, eps=EPS, lam=0.2)
        near(layer.compress(Z), cbsa.cbsa_step(Z, U, A, eps=EPS, step=safe), size=20, scale=10)
        given = layers.cbsa(U, D, r=3, contraction=contraction, eps=EPS, kappa=STEP)
        near(given.compress(Z), cbsa.cbsa_step(Z, U, A, eps=EPS, step=STEP), size=20, scale=10)
        assert np.array_equal(layer.sparsify(Z), srr.prox.ista_step(Z, D, step=0.1, lam=0.2))
    few = layers.cbsa(U, D, r=100, eps=EPS, kappa=STEP)
    near(few.compress(Z), attention.exact_step(Z, U, eps=EPS, step=STEP), size=20, scale=10)
    t, s = np.array([0.5, -1.0, 2.0]), np.array([1.0, 0.3, -0.7])
    code = layers.cbsa_official(U, D, r=3, contract=t, broadcast=s, bias=np.ones(6), eta=0.3)
    update = cbsa.contract_and_broadcast_official(Z, U, pools, contract=t, broadcast=s, bias=np.ones(6))
    near(code.compress(Z), Z + update, size=20, scale=20)
    assert np.array_equal(code.sparsify(Z), srr.prox.ista_step(Z, D, step=0.3, lam=0.1))
    assert layers.cbsa_official(U.astype("f4"), D.astype("f4"), r=3)(Z.astype("f4")).dtype == np.float32
    plain = layers.cbsa_official(U, D, r=3)
    one = np.ones(3)
    near(
        plain.compress(Z) - Z,
        cbsa.contract_and_broadcast_official(Z, U, pools, contract=one, broadcast=one),
        size=20,
        scale=20,
    )


@pytest.mark.parametrize("form", ["pooled", "attention", "code"])
def test_layers_are_differentiable_under_jit_and_in_torch(form):
    torch, jax = pytest.importorskip("torch"), pytest.importorskip("jax")
    arrays = (*instance(), np.eye(6))

    def run(Z, U, D):
        if form == "code":
            return layers.cbsa_official(U, D, r=3)(Z)
        return layers.cbsa(U, D, r=3, contraction=form, eps=EPS)(Z)

    H, h = np.random.default_rng(1).standard_normal(arrays[0].shape), 1e-6
    Z, U, D = arrays
    slope = (run(Z + h * H, U, D) - run(Z - h * H, U, D)).sum() / (2 * h)
    tensors = [torch.tensor(a, requires_grad=True) for a in arrays]
    run(*tensors).sum().backward()
    assert np.sum(tensors[0].grad.numpy() * H) == pytest.approx(slope, rel=1e-5)
    with jax.enable_x64(True):
        gradient = jax.jit(jax.grad(lambda *arrays: run(*arrays).sum()))(*map(jax.numpy.asarray, arrays))
        assert np.sum(gradient * H) == pytest.approx(slope, rel=1e-5)
