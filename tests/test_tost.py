"""ToST: the printed formulas in the papers' columns, the official code, symmetries, causality, descent."""

import math

import numpy as np
import pytest
from backends import CPU, GPU, NUMPY, parametrize
from closeness import assert_close, near, rounded
from hypothesis import given
from hypothesis import strategies as st
from scipy.special import softmax

import srr
from srr import layers, tost

SHAPES = ((7, 5, 3, 2), (3, 4, 2, 4), (1, 4, 2, 2), (6, 3, 1, 3), (4, 1, 2, 1))  # n, d, K, p
EPS, STEP, ETA = 0.8, 0.35, 0.6


def instance(n=7, d=5, K=3, p=2, seed=0):
    """Tokens, soft memberships, and bases that are not orthonormal: the formulas hold for any."""
    rng = np.random.default_rng(seed)
    return rng.standard_normal((n, d)), rng.dirichlet(np.ones(K), size=n), rng.standard_normal((K, d, p)) / np.sqrt(d)


def orthonormal(U):
    return np.linalg.qr(U)[0]


# --- the printed formulas, tokens in columns -------------------------------------------------------------------


def printed_rate(Z, Pi, U, eps):
    """½ Σ_k N_k/N Σ_i f((U_kᵀ Z Diag(π_k) Zᵀ U_k)_ii / N_k)."""
    d, N = Z.shape
    total = 0.0
    for pi, basis in zip(Pi.T, U, strict=True):
        M = basis.T @ Z @ np.diag(pi) @ Z.T @ basis / pi.sum()
        total += pi.sum() / N * np.sum(np.log(1 + d / eps**2 * np.diag(M))) / 2
    return total


def printed_tssa(Z, Pi, U, eps, tau):
    """−τ/N Σ_k U_k D_k U_kᵀ Z Diag(π_k), D_k = Diag(f'[(U_kᵀZ)^⊙2 π_k/⟨π_k, 1⟩])."""
    d, N = Z.shape
    total = np.zeros_like(Z)
    for pi, basis in zip(Pi.T, U, strict=True):
        v = (basis.T @ Z) ** 2 @ pi / pi.sum()
        D = np.diag(d / eps**2 / (1 + d / eps**2 * v))
        total -= tau / N * basis @ D @ basis.T @ Z @ np.diag(pi)
    return total


@pytest.mark.parametrize("shape", SHAPES)
def test_the_rate_and_the_operator_are_the_papers(shape):
    Z, Pi, U = instance(*shape)
    near(tost.variational_rate(Z, Pi, U, eps=EPS), printed_rate(Z.T, Pi, U, EPS), size=sum(shape), scale=10)
    ours = tost.tssa(Z, Pi, U, eps=EPS, step=STEP)
    near(ours, printed_tssa(Z.T, Pi, U, EPS, STEP).T, size=sum(shape), scale=10)
    assert np.abs(ours).max() > 1e-3


@parametrize(NUMPY, CPU, GPU)
def test_on_every_backend(backend):
    Z, Pi, U = arrays = rounded(backend, *instance())
    with backend.active():
        z, pi, u = map(backend.array, arrays)
        value, gradient = tost.variational_rate_and_gradient(z, pi, u, eps=EPS)
        assert_close(backend, value, printed_rate(Z.T, Pi, U, EPS), size=20, scale=10)
        assert_close(backend, gradient, -printed_tssa(Z.T, Pi, U, EPS, 1.0).T, size=20, scale=10)
        shares = tost.memberships(z, u, eta=ETA)
        energy = np.sum((Z @ U) ** 2, axis=2).T
        assert_close(backend, shares, softmax(energy / (2 * ETA), axis=1), size=20, scale=20)


def test_the_gradient_is_the_derivative_with_the_memberships_held():
    Z, Pi, U = instance()
    H, h = np.random.default_rng(1).standard_normal(Z.shape), 1e-5
    ends = [tost.variational_rate(Z + s * h * H, Pi, U, eps=EPS) for s in (1, -1)]
    gradient = tost.variational_rate_and_gradient(Z, Pi, U, eps=EPS)[1]
    assert np.sum(gradient * H) == pytest.approx((ends[0] - ends[1]) / (2 * h), rel=1e-8)


def test_a_class_of_nobody_counts_for_nothing():
    Z, _, U = instance()
    Pi = np.zeros((7, 3))
    Pi[:, 1] = 1
    value, gradient = tost.variational_rate_and_gradient(Z, Pi, U, eps=EPS)
    alone, of_one = tost.variational_rate_and_gradient(Z, np.ones((7, 1)), U[1:2], eps=EPS)
    near(value, alone, size=20, scale=10)
    near(gradient, of_one, size=20, scale=10)
    assert np.isfinite(tost.tssa_causal(Z, Pi, U, eps=EPS, step=STEP)).all()


def test_principal_axes_attain_the_rate_and_half_of_them_do_not():
    Z, Pi, _ = instance()
    axes = np.stack([np.linalg.svd(np.sqrt(pi)[:, None] * Z)[2].T for pi in Pi.T])
    rate = srr.partition_coding_rate(Z, Pi, eps=EPS)
    near(tost.variational_rate(Z, Pi, axes, eps=EPS), rate, size=20, scale=10)
    assert tost.variational_rate(Z, Pi, axes[:, :, :2], eps=EPS) < 0.9 * rate


def test_batched_equals_a_stack_of_singles():
    Z, Pi, U = instance()
    batch, shares = np.stack([Z, 2 * Z, Z + 1])[:, None], np.stack([Pi, Pi[::-1]])
    value, gradient = tost.variational_rate_and_gradient(batch, shares, U, eps=EPS)
    assert value.shape == (3, 2)
    for i in range(3):
        for j in range(2):
            one, slope = tost.variational_rate_and_gradient(batch[i, 0], shares[j], U, eps=EPS)
            near(value[i, j], one, size=20, scale=10)
            near(gradient[i, j], slope, size=20, scale=10)


# --- the step ---------------------------------------------------------------------------------------------------


@given(
    seed=st.integers(0, 2**32),
    shape=st.sampled_from(SHAPES),
    log_eps=st.floats(-2, 1),
    log_scale=st.floats(-2, 2),
    longer=st.floats(0.01, 1.99),
)
def test_below_twice_the_safe_step_the_rate_falls(seed, shape, log_eps, log_scale, longer):
    Z, Pi, U = instance(*shape, seed=seed)
    Z, eps = 10**log_scale * Z, 10**log_eps
    step = longer * tost.descent_step(U, len(Z), eps=eps)
    before = tost.variational_rate(Z, Pi, U, eps=eps)
    after = tost.variational_rate(Z + tost.tssa(Z, Pi, U, eps=eps, step=step), Pi, U, eps=eps)
    assert after <= before * (1 + 1e-12)


def test_above_it_the_rate_may_rise():
    U, Z, one = np.eye(2)[None, :, :1], np.array([[1e-3, 0.0]]), np.ones((1, 1))
    step = tost.descent_step(U, 1, eps=1.0)
    before = tost.variational_rate(Z, one, U, eps=1.0)
    for longer, rises in ((1.99, False), (2.01, True)):
        after = Z + tost.tssa(Z, one, U, eps=1.0, step=longer * step)
        assert (tost.variational_rate(after, one, U, eps=1.0) > before) == rises


def test_the_safe_step_is_that_of_the_longest_basis():
    _, _, U = instance()
    assert tost.descent_step(orthonormal(U), 7, eps=EPS) == pytest.approx(7 * EPS**2 / 5)
    U = orthonormal(U)
    U[1] *= 3
    assert tost.descent_step(U, 7, eps=EPS) == pytest.approx(7 * EPS**2 / 5 / 9)
    with pytest.raises(ValueError, match=r"^U and eps must keep the step from .*, got a norm of .*e\+155 and eps = 0"):
        tost.descent_step(1e155 * U, 7, eps=EPS)


# --- symmetries -------------------------------------------------------------------------------------------------

OPERATORS = {
    "paper": lambda Z, U: tost.tssa(Z, tost.memberships(Z, U, eta=ETA), U, eps=EPS, step=STEP),
    "code": tost.tssa_official,
}
CAUSAL = {
    "paper": lambda Z, U: tost.tssa_causal(Z, tost.memberships(Z, U, eta=ETA), U, eps=EPS, step=STEP),
    "code": lambda Z, U: tost.tssa_official_causal(Z, U, denominator_bias=np.ones((3, Z.shape[-2]))),
}


@pytest.mark.parametrize("form", OPERATORS)
def test_permuting_tokens_and_rotating_the_space(form):
    Z, _, U = instance()
    order, Q = np.random.default_rng(1).permutation(7), orthonormal(np.random.default_rng(2).standard_normal((5, 5)))
    apply = OPERATORS[form]
    near(apply(Z[order], U), apply(Z, U)[order], size=20, scale=10)
    near(apply(Z @ Q.T, Q @ U), apply(Z, U) @ Q.T, size=20, scale=10)


@pytest.mark.parametrize("form", OPERATORS)
def test_the_axes_of_a_head_matter_here(form):
    # unlike those of attention: the moments are taken along them
    Z, _, U = instance()
    turn = np.array([[0.6, -0.8], [0.8, 0.6]])
    assert np.abs(OPERATORS[form](Z, U @ turn) - OPERATORS[form](Z, U)).max() > 1e-3


def leaks(apply, Z, U, t):
    """Whether what comes after token t changes what comes out up to it."""
    other = np.concatenate([Z[:t], 10 * Z[t:][::-1] + 1])
    return not np.array_equal(apply(Z, U)[:t], apply(other, U)[:t])


@pytest.mark.parametrize("t", [1, 3, 6])
@pytest.mark.parametrize("form", CAUSAL)
def test_causal_forms_do_not_see_what_comes_later(form, t):
    Z, _, U = instance()
    assert not leaks(CAUSAL[form], Z, U, t)
    assert leaks(OPERATORS[form], Z, U, t)


def test_each_token_of_the_causal_form_is_the_last_of_its_prefix():
    Z, _, U = instance()
    causal = CAUSAL["paper"](Z, U)
    for t in range(1, 8):
        near(causal[t - 1], OPERATORS["paper"](Z[:t], U)[-1], size=20, scale=10)


def test_only_the_codes_first_memberships_are_uniform():
    Z, _, U = instance()
    causal = tost.memberships_official_causal(Z, U)
    near(causal[0], np.full(3, 1 / 3), size=1, scale=1)
    assert np.abs(causal[-1] - 1 / 3).max() > 1e-3
    near(causal[-1], tost.memberships_official(Z, U)[-1], size=20, scale=10)


# --- the official code ------------------------------------------------------------------------------------------


def official(x, qkv, temp, to_out, bias, heads):
    """``tost_vision``: memberships from tokens normalised along the token axis, in torch."""
    torch = pytest.importorskip("torch")
    F = torch.nn.functional
    x, qkv, temp, to_out, bias = map(torch.tensor, (x, qkv, temp, to_out, bias))
    w = F.linear(x, qkv).unflatten(-1, (heads, -1)).transpose(-3, -2)
    share = torch.softmax((F.normalize(w, dim=-2) ** 2).sum(-1) * temp, dim=-2)
    second = ((share / (share.sum(-1, keepdim=True) + 1e-8))[..., None, :] @ w**2).squeeze(-2)
    heads_out = -w * share[..., None] * (1 / (1 + second))[..., None, :]
    return F.linear(heads_out.transpose(-3, -2).flatten(-2), to_out, bias).numpy()


def official_causal(x, qkv, temp, denom_bias, to_out, bias, heads):
    """``tost_lang``: the same with cumulative sums and a bias beside the shares."""
    torch = pytest.importorskip("torch")
    F = torch.nn.functional
    x, qkv, temp, denom_bias, to_out, bias = map(torch.tensor, (x, qkv, temp, denom_bias, to_out, bias))
    w = F.linear(x, qkv).unflatten(-1, (heads, -1)).transpose(-3, -2)
    so_far = torch.cumsum(w**2, dim=-2).clamp_min(1e-12)
    share = torch.softmax(((w**2 / so_far) + denom_bias).sum(-1) * temp, dim=-2)
    second = torch.cumsum(w**2 * share[..., None], -2) / (torch.cumsum(share, -1) + 1e-8)[..., None]
    heads_out = -w * share[..., None] / (1 + second)
    return F.linear(heads_out.transpose(-3, -2).flatten(-2), to_out, bias).numpy()


@parametrize(NUMPY, CPU, GPU)
def test_the_official_operators(backend):
    heads, p, d, n = 3, 2, 5, 7
    rng = np.random.default_rng(0)
    shapes = ((2, n, d), (heads * p, d), (heads, 1), (heads, n, 1), (d, heads * p), (d,))
    x, qkv, temp, later, to_out, bias = rounded(backend, *map(rng.standard_normal, shapes))
    with backend.active():
        U, Z = backend.array(qkv.reshape(heads, p, d).transpose(0, 2, 1)), backend.array(x)
        given = {"scale": temp[:, 0], "output": to_out, "bias": bias}
        given = {name: backend.array(a) for name, a in given.items()}
        ours = tost.tssa_official(Z, U, **given)
        assert_close(backend, ours, official(x, qkv, temp, to_out, bias, heads), size=20, scale=50)
        ours = tost.tssa_official_causal(Z, U, denominator_bias=backend.array(later[..., 0]), **given)
        assert_close(backend, ours, official_causal(x, qkv, temp, later, to_out, bias, heads), size=20, scale=50)
        bare = tost.tssa_official(Z, U)
        ones, whole = np.ones((heads, 1)), qkv.T.copy()
        assert_close(backend, bare, official(x, qkv, ones, whole, 0 * bias, heads), size=20, scale=50)


def test_the_official_memberships():
    Z, _, U = instance()
    scale, later = np.array([0.5, -1.0, 2.0]), np.random.default_rng(1).standard_normal((3, 7))
    square = (Z @ U) ** 2
    for sums, ours, more in (
        (square.sum(1, keepdims=True), tost.memberships_official, {}),
        (square.cumsum(1), tost.memberships_official_causal, {"denominator_bias": later}),
    ):
        logits = scale[:, None] * (square / sums + more.get("denominator_bias", 0 * later)[..., None]).sum(2)
        near(ours(Z, U, scale=scale, **more), softmax(logits, axis=0).T, size=20, scale=10)
        near(ours(0 * Z, U), np.full((7, 3), 1 / 3), size=1, scale=1)


def test_the_official_operator_is_the_papers_at_unit_gain():
    Z, _, U = instance()
    Pi = tost.memberships_official(Z, U)
    paper = tost.tssa(Z, Pi, U, eps=math.sqrt(5), step=7.0)
    assert tost.tssa_official(Z, U) == pytest.approx(paper, abs=1e-7)
    assert np.abs(tost.tssa(Z, Pi, U, eps=1.0, step=7.0) - paper).max() > 0.1


# --- layers -----------------------------------------------------------------------------------------------------


def test_the_layers_are_a_step_and_nothing_else():
    Z, _, U = instance()
    U = orthonormal(U)
    layer = layers.tost(U, eps=EPS, eta=ETA)
    Pi = tost.memberships(Z, U, eta=ETA)
    step = tost.descent_step(U, 7, eps=EPS)
    near(layer(Z), Z + tost.tssa(Z, Pi, U, eps=EPS, step=step), size=20, scale=10)
    near(layer(Z[:3]) - Z[:3], tost.tssa(Z[:3], Pi[:3], U, eps=EPS, step=3 / 7 * step), size=20, scale=10)
    given = layers.tost(U, eps=EPS, eta=ETA, step=STEP)
    near(given(Z), Z + tost.tssa(Z, Pi, U, eps=EPS, step=STEP), size=20, scale=10)
    halves = layers.tost(U, eps=EPS)
    near(halves(Z), layers.tost(U, eps=EPS, eta=0.5)(Z), size=1, scale=1)
    W = np.random.default_rng(1).standard_normal((5, 6))
    free = {"scale": np.arange(1.0, 4.0), "output": W, "bias": np.ones(5)}
    code = layers.tost_official(U, **free)
    near(code(Z), Z + tost.tssa_official(Z, U, **free), size=20, scale=10)
    near(code.memberships(Z), tost.memberships_official(Z, U, scale=free["scale"]), size=1, scale=1)
    for one in (layer, given, code):
        assert one.sparsify(Z) is Z


def test_layer_norm_is_before_attention_only():
    Z, _, U = instance()
    layer = layers.PreNorm(layers.tost_official(U))
    near(layer(Z), Z + tost.tssa_official(layers.layer_norm(Z), U), size=20, scale=10)
    assert np.array_equal(layer.sparsify(Z), Z)


@pytest.mark.parametrize("form", ["paper", "code"])
def test_layers_are_differentiable_under_jit_and_in_torch(form):
    torch, jax = pytest.importorskip("torch"), pytest.importorskip("jax")
    Z, _, U = instance()

    def run(Z, U):
        return (layers.tost(U, eps=EPS) if form == "paper" else layers.tost_official(U))(Z)

    H, h = np.random.default_rng(1).standard_normal(Z.shape), 1e-6
    slope = (run(Z + h * H, U) - run(Z - h * H, U)).sum() / (2 * h)
    tokens, bases = torch.tensor(Z, requires_grad=True), torch.tensor(U, requires_grad=True)
    run(tokens, bases).sum().backward()
    assert np.sum(tokens.grad.numpy() * H) == pytest.approx(slope, rel=1e-6)
    assert torch.isfinite(bases.grad).all()
    with jax.enable_x64(True):
        gradient = jax.jit(jax.grad(lambda Z, U: run(Z, U).sum()))(jax.numpy.asarray(Z), jax.numpy.asarray(U))
        assert np.sum(gradient * H) == pytest.approx(slope, rel=1e-6)
        batch = np.stack([Z, 2 * Z])
        mapped = jax.vmap(lambda Z: run(Z, jax.numpy.asarray(U)))(jax.numpy.asarray(batch))
        near(mapped, run(batch, U), size=20, scale=10)
    mapped = torch.func.vmap(lambda Z: run(Z, torch.tensor(U)))(torch.tensor(batch))
    near(mapped.numpy(), run(batch, U), size=20, scale=10)
