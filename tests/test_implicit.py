"""Implicit compression: the scalar problem in 60 digits, the steps against what defines them, their derivatives."""

import mpmath
import numpy as np
import paper
import pytest
from backends import CPU, GPU, NUMPY, parametrize
from closeness import assert_close, near, rounded
from hypothesis import example, given
from hypothesis import strategies as st

import srr
from srr import attention, curvature, implicit, layers

EPS, STEP = 0.8, 1.7
SHAPES = ((9, 6, 3, 2), (3, 8, 2, 4), (5, 4, 1, 4), (1, 4, 2, 2), (4, 1, 1, 1))  # n, d, K, p


def instance(n, d, K, p, seed=0):
    """Tokens, and bases of mutually orthogonal subspaces."""
    rng = np.random.default_rng(seed)
    U = np.linalg.qr(rng.standard_normal((d, K * p)))[0].reshape(d, K, p).swapaxes(0, 1)
    return 2 * rng.standard_normal((n, d)), U


def overlapping(n, d, K, p, seed=0, scale=1.0):
    """Tokens, and bases that are neither orthonormal nor orthogonal to one another."""
    rng = np.random.default_rng(seed)
    return scale * rng.standard_normal((n, d)), rng.standard_normal((K, d, p)) / np.sqrt(d)


def rate(Z, U, eps):
    return float(srr.subspace_coding_rate(Z, U, eps=eps))


def beta_of(Z, U, eps=EPS):
    return U.shape[-1] / (len(Z) * eps**2)


# --- the scalar problem -----------------------------------------------------------------------------------------


def objective(t, s, beta, kappa):
    return mpmath.log(1 + beta * t * t) / 2 + (t - s) ** 2 / (2 * kappa)


def minimiser(s, beta, kappa):
    """By the cubic of t/s, from either end."""
    with mpmath.workdps(60):
        s, beta, kappa = map(mpmath.mpf, (s, beta, kappa))
        a, c = beta * s * s, beta * kappa

        def root(r):
            for _ in range(400):
                slope = 3 * a * r * r - 2 * a * r + 1 + c
                if slope <= 0:
                    return None
                new = r - (a * r**3 - a * r**2 + (1 + c) * r - 1) / slope
                if not 0 < new <= 1:
                    return None
                if abs(new - r) <= mpmath.mpf(10) ** -30 * new:
                    return new
                r = new
            return None

        roots = [r for r in (root(1 / (1 + c)), root(mpmath.mpf(1))) if r is not None]
        return s * min(roots, key=lambda r: objective(r * s, s, beta, kappa))


@given(log_s=st.floats(-150, 150), log_beta=st.floats(-150, 150), log_kappa=st.floats(-150, 150))
@example(0.0, 0.0, 0.0)
@example(-140, -94, 52)  # where σ² underflows, and t is s
@example(-140, -94, 100)  # where it does, and t is s/(κβ)
@example(-140, -94, 94.4)  # where it does, and t is s/(1 + κβ), below s/3
@example(-10, 0, 3)  # where σ² is far below 1
@example(150, 0, 298)  # the logarithm of a large t outweighs its distance
@example(156, 0, 307)  # and where (σt)² overflows it does not
@example(150, 150, 150)
@example(150, 150, -150)
@example(-150, -150, 150)
def test_root_at_every_magnitude(log_s, log_beta, log_kappa):
    s, beta, kappa = 10.0**log_s, 10.0**log_beta, 10.0**log_kappa
    t, expected = float(implicit.shrink(np.array([s]), beta=beta, step=kappa)[0]), minimiser(s, beta, kappa)
    if expected > 1e-290:
        assert abs(t - expected) <= 4e-15 * expected


@given(log_sigma=st.floats(-2, 3), log_c=st.floats(-3, 6), log_beta=st.floats(-3, 3))
@example(np.log10(3), np.log10(8), 0.0)
@example(np.log10(12), np.log10(30), 0.0)
def test_root_where_there_may_be_three(log_sigma, log_c, log_beta):
    beta = 10.0**log_beta
    s, kappa = 10.0**log_sigma / beta**0.5, 10.0**log_c / beta
    t, expected = float(implicit.shrink(np.array([s]), beta=beta, step=kappa)[0]), minimiser(s, beta, kappa)
    least, found = (objective(mpmath.mpf(x), s, beta, kappa) for x in (expected, t))
    assert found <= least * (1 + mpmath.mpf("1e-15"))
    bend = 1 / kappa + beta * (1 - beta * t * t) / (1 + beta * t * t) ** 2  # of the objective: it is the condition
    if abs(t - expected) < 0.1 * expected:  # not on the other side of the jump
        assert abs(t - expected) <= 1e-15 * (s / kappa) / max(bend, 1e-4 / kappa) + 4e-15 * expected


def test_triple_root():
    s = np.sqrt(27.0)
    near(implicit.shrink(np.array([s]), beta=1.0, step=8.0), [np.sqrt(3)], size=1, scale=1e10)  # u^(1/3), and no better


@pytest.mark.parametrize("c", [0.5, 7.0, 8.1, 8.5, 50.0, 1e4])
def test_five_steps_of_laguerres_method_reach_the_last_digit(c, monkeypatch):
    monkeypatch.setattr(implicit, "LAGUERRE", 5)
    s = np.sqrt(c) * np.append(np.geomspace(0.3, 6.0, 40), np.sqrt(27 / 8))  # at the last the roots are close
    expected = np.array([float(minimiser(x, 1.0, c)) for x in s])
    slope = 1 + c * (1 - expected**2) / (1 + expected**2) ** 2  # of s in t: how many digits t has
    near(implicit.shrink(s, beta=1.0, step=c), expected, size=1, scale=s * (1 + s / np.abs(slope)))


def test_jump_goes_to_the_smaller():
    """On either side of it the two minima are within an ulp's change of each other, and far apart."""
    low, high = 1.0, 1e3
    while np.nextafter(low, high) < high:
        middle = (low + high) / 2
        t = float(implicit.shrink(np.array([middle]), beta=1.0, step=100.0)[0])
        low, high = (middle, high) if t < middle / 3 else (low, middle)
    below, above = (float(implicit.shrink(np.array([s]), beta=1.0, step=100.0)[0]) for s in (low, high))
    assert below < 0.5 < 15 < above
    near(*(float(objective(t, low, 1, 100)) for t in (below, above)), size=10, scale=5)


def test_shrink_is_odd_and_keeps_its_shape():
    s = np.array([[-3.0, 0.0], [1e-200, 3.0]])
    t = implicit.shrink(s, beta=0.7, step=2.0)
    assert t.shape == (2, 2)
    assert t[0, 1] == 0
    assert t[0, 0] == -t[1, 1]


def test_float32_beyond_its_range():
    s = np.array([1e-30, 1.0, 1e30], dtype=np.float32)
    for step in (1e-200, 1.0, 1e200, np.array(3e38, dtype=np.float32)):
        t = implicit.shrink(s, beta=2.0, step=step)
        assert t.dtype == np.float32
        assert np.isfinite(t).all()
        assert (t <= s).all()
    torch = pytest.importorskip("torch")
    kappa = torch.tensor(3e38, requires_grad=True)
    t = implicit.shrink(torch.tensor(s), beta=2.0, step=kappa)
    t.sum().backward()
    assert torch.isfinite(t).all()
    assert torch.isfinite(kappa.grad)


# --- the proximal step ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("kappa", [0.01, 1.7, 300.0])
def test_implicit_step_is_stationary(shape, kappa):
    """Z⁺ + κ∇Rᶜ(Z⁺) = Z, in the papers' columns."""
    Z, U = instance(*shape)
    after = implicit.implicit_step(Z, U, eps=EPS, step=kappa)
    near(
        after.T + kappa * paper.gradient(after.T, U, EPS), Z.T, size=sum(shape), scale=10 * (1 + kappa * beta_of(Z, U))
    )


def test_the_smaller_gram_matrix_is_decomposed(monkeypatch):
    sizes, eigh = [], np.linalg.eigh
    monkeypatch.setattr(np.linalg, "eigh", lambda G: (sizes.append(G.shape[-1]), eigh(G))[1])
    for shape in SHAPES[:2]:
        implicit.implicit_step(*instance(*shape), eps=EPS, step=STEP)
    assert sizes == [2, 3]


@pytest.mark.parametrize("shape", SHAPES)
def test_implicit_step_acts_on_singular_values(shape):
    Z, U = instance(*shape)
    after, beta = implicit.implicit_step(Z, U, eps=EPS, step=STEP), beta_of(Z, U)
    for basis in U:
        P, s, Q_T = np.linalg.svd(Z @ basis, full_matrices=False)
        near(after @ basis, P * [float(minimiser(x, beta, STEP)) for x in s] @ Q_T, size=sum(shape), scale=10)
    outside = np.eye(shape[1]) - sum(basis @ basis.T for basis in U)
    near(after @ outside, Z @ outside, size=sum(shape), scale=10)


@given(
    seed=st.integers(0, 2**32),
    shape=st.sampled_from(SHAPES),
    log_eps=st.floats(-2, 1),
    log_c=st.floats(-2, 4),
    log_scale=st.floats(-2, 2),
)
def test_implicit_step_lowers_the_rate_by_what_it_promises(seed, shape, log_eps, log_c, log_scale):
    Z, U = instance(*shape, seed=seed)
    Z, eps = 10**log_scale * Z, 10**log_eps
    kappa = 10**log_c / beta_of(Z, U, eps)
    after = implicit.implicit_step(Z, U, eps=eps, step=kappa)
    before = rate(Z, U, eps)
    assert rate(after, U, eps) + np.sum((after - Z) ** 2) / (2 * kappa) <= before * (1 + 1e-13)
    ours = rate(after, U, eps) + np.sum((after - Z) ** 2) / (2 * kappa)
    rng = np.random.default_rng(seed)
    for size in (1e-3, 0.1, 1.0):  # a minimum, and the least
        other = after + size * np.abs(Z).max() * rng.standard_normal(Z.shape)
        assert ours <= (rate(other, U, eps) + np.sum((other - Z) ** 2) / (2 * kappa)) * (1 + 1e-13)


@given(seed=st.integers(0, 2**32), shape=st.sampled_from(SHAPES), c=st.floats(0.01, 7.9), log_scale=st.floats(-2, 2))
def test_lipschitz_below_eight(seed, shape, c, log_scale):
    """⟨P(a) − P(b), a − b⟩ ≥ (1 − κβ/8) ‖P(a) − P(b)‖²: Rᶜ + β‖·‖²/16 is convex."""
    (a, U), (b, _) = instance(*shape, seed=seed), instance(*shape, seed=seed + 1)
    a, b = 10**log_scale * a, 10**log_scale * b
    move = np.subtract(*(implicit.implicit_step(Z, U, eps=EPS, step=c / beta_of(a, U)) for Z in (a, b)))
    assert np.sum(move * (a - b)) >= (1 - c / 8) * np.sum(move**2) * (1 - 1e-12)


def test_not_nonexpansive():
    """Not for any κ: where βt² = 3 the map has slope 1/(1 − κβ/8)."""
    for c in (0.01, 1.0, 7.9):
        t = np.sqrt(3)
        s = t * (1 + c / 4)
        a, b = implicit.shrink(np.array([s, s * (1 + 1e-5)]), beta=1.0, step=c)
        assert (b - a) / (1e-5 * s) == pytest.approx(1 / (1 - c / 8), rel=1e-3)
        assert (b - a) / (1e-5 * s) > 1


def test_symmetries():
    Z, U = instance(9, 6, 3, 2)
    rng = np.random.default_rng(1)
    Q, V = (np.linalg.qr(rng.standard_normal((q, q)))[0] for q in (6, 9))
    after = implicit.implicit_step(Z, U, eps=EPS, step=STEP)
    near(implicit.implicit_step(V @ Z, U, eps=EPS, step=STEP), V @ after, size=20, scale=10)
    near(implicit.implicit_step(Z @ Q.T, Q @ U, eps=EPS, step=STEP), after @ Q.T, size=20, scale=10)
    near(implicit.implicit_step(3 * Z, U, eps=3 * EPS, step=9 * STEP), 3 * after, size=20, scale=10)
    batch = np.stack([Z, 2 * Z])
    near(implicit.implicit_step(batch, U, eps=EPS, step=STEP)[0], after, size=20, scale=10)


@pytest.mark.parametrize("scale", [1e-170, 1e-8, 1e8, 1e170])
@pytest.mark.parametrize("step", [implicit.implicit_step, implicit.semi_implicit_step, implicit.cyclic_step])
def test_finite_at_every_scale(scale, step):
    """Rank one, a zero token, a zero head: singular values that are equal, and zero."""
    Z, U = instance(9, 6, 3, 2)
    Z = scale * (np.outer(np.ones(9), U[0, :, 0]) + U[1, :, 0] * np.arange(9)[:, None])
    after = step(Z, U, eps=EPS, step=STEP)
    assert np.isfinite(after).all()
    assert np.abs(after).max() <= np.abs(Z).max() * 1.01


def test_sizes_that_differ_in_a_batch():
    Z, U = instance(9, 6, 3, 2)
    tiny, eps = 1e-150, 1e-150 * EPS
    step = implicit.implicit_step(np.stack([tiny * Z, 1e150 * Z]), U, eps=eps, step=STEP * tiny**2)
    near(step[0] / tiny, implicit.implicit_step(Z, U, eps=EPS, step=STEP), size=20, scale=10)
    near(step[1] / 1e150, Z, size=20, scale=10)


def test_rounding_that_orthogonal_subspaces_may_have():
    u, Z, U = 2.0**-53, np.ones((3, 4)), np.zeros((1, 4, 1))
    U[:, 0], U[:, 1] = 1, np.sqrt(200 * u)  # |U_k|² - 1 = 100 √d u
    implicit.implicit_step(Z, U, eps=EPS, step=STEP)
    U[:, 1] = np.sqrt(202 * u)
    with pytest.raises(ValueError, match=r"\(max \|U_j\^T U_k - I_jk\| <= 2\.2e-14\), got 2\.24e-14$"):
        implicit.implicit_step(Z, U, eps=EPS, step=STEP)


def test_overlapping_subspaces_are_told():
    Z, U = overlapping(9, 6, 3, 2)
    with pytest.raises(ValueError, match="U must be orthonormal bases of mutually orthogonal"):
        implicit.implicit_step(Z, U, eps=EPS, step=STEP)
    with pytest.raises(ValueError, match="mutually orthogonal"):
        implicit.implicit_step(Z, np.stack([np.eye(6)[:, :2]] * 2), eps=EPS, step=STEP)


# --- families that overlap --------------------------------------------------------------------------------------


@parametrize(NUMPY, CPU, GPU)
@pytest.mark.parametrize("shape", SHAPES[:2])
def test_semi_implicit_step_is_its_formula(backend, shape):
    Z, U = rounded(backend, *overlapping(*shape))
    beta = beta_of(Z, U)
    A = beta * sum(B @ np.linalg.inv(np.eye(shape[3]) + beta * (Z @ B).T @ Z @ B) @ B.T for B in U)
    expected = Z @ np.linalg.inv(np.eye(shape[1]) + STEP * A)
    with backend.active():
        after = implicit.semi_implicit_step(backend.array(Z), backend.array(U), eps=EPS, step=STEP)
        assert_close(backend, after, expected, size=20, scale=30)


@given(
    seed=st.integers(0, 2**32),
    shape=st.sampled_from(SHAPES),
    log_c=st.floats(-2, 4),
    log_scale=st.floats(-2, 2),
)
def test_semi_implicit_step_lowers_the_rate_by_what_it_promises(seed, shape, log_c, log_scale):
    Z, U = overlapping(*shape, seed=seed, scale=10**log_scale)
    kappa, before = 10**log_c / beta_of(Z, U), rate(Z, U, EPS)
    after = implicit.semi_implicit_step(Z, U, eps=EPS, step=kappa)
    assert rate(after, U, EPS) + np.sum((after - Z) ** 2) / kappa <= before * (1 + 1e-13)


def test_small_steps_are_gradient_steps():
    Z, U = instance(9, 6, 3, 2)
    kappa = 1e-6
    explicit = attention.exact_step(Z, U, eps=EPS, step=kappa)
    for step in (implicit.implicit_step, implicit.semi_implicit_step, implicit.cyclic_step):
        assert np.abs(step(Z, U, eps=EPS, step=kappa) - explicit).max() < 1e-10
        assert np.abs(step(Z, U, eps=EPS, step=kappa) - Z).max() > 1e-8


def test_cyclic_step_takes_one_head_after_another():
    Z, U = instance(9, 6, 3, 2)
    near(
        implicit.cyclic_step(Z, U, eps=EPS, step=STEP),
        implicit.implicit_step(Z, U, eps=EPS, step=STEP),
        size=20,
        scale=10,
    )
    U = np.linalg.qr(np.random.default_rng(2).standard_normal((3, 6, 2)))[0]
    expected = Z
    for k in range(3):
        expected = implicit.implicit_step(expected, U[k : k + 1], eps=EPS, step=STEP)
    near(implicit.cyclic_step(Z, U, eps=EPS, step=STEP), expected, size=20, scale=10)
    backwards = implicit.cyclic_step(Z, U[::-1], eps=EPS, step=STEP)
    assert np.abs(backwards - expected).max() > 1e-3


# --- derivatives ------------------------------------------------------------------------------------------------

HARD = {
    "any": lambda Z, U: Z,
    "equal singular values": lambda Z, U: np.eye(9)[:, :6] * 2.0,
    "rank one": lambda Z, U: np.outer(np.arange(9.0), np.ones(6)),
    "zero": lambda Z, U: np.zeros((9, 6)),
    "few tokens": lambda Z, U: Z[:1],
}


DERIVED = [
    *(("torch", kind, step) for kind in HARD for step in (implicit.implicit_step, implicit.semi_implicit_step)),
    *(("jax", kind, implicit.implicit_step) for kind in list(HARD)[:4]),  # one shape: it compiles once
    ("jax", "any", implicit.semi_implicit_step),
    ("torch", "any", implicit.cyclic_step),
]


@pytest.mark.parametrize(("library", "kind", "step"), DERIVED)
def test_first_derivatives(library, kind, step):
    """Along a random direction, in the tokens and in κ, against a difference quotient."""
    Z, U = instance(9, 6, 3, 2)
    Z = HARD[kind](Z, U)
    rng = np.random.default_rng(0)
    H, C = rng.standard_normal((2, *Z.shape))

    def value(t, kappa):
        return np.sum(C * step(Z + t * H, U, eps=EPS, step=kappa))

    h = 1e-5
    expected = [(value(h, STEP) - value(-h, STEP)) / (2 * h), (value(0, STEP + h) - value(0, STEP - h)) / (2 * h)]
    if library == "torch":
        torch = pytest.importorskip("torch")
        z, kappa = torch.tensor(Z, requires_grad=True), torch.tensor(STEP, dtype=torch.float64, requires_grad=True)
        total = (torch.tensor(C) * step(z, torch.tensor(U), eps=EPS, step=kappa)).sum()
        total.backward()
        found = [float((z.grad.numpy() * H).sum()), float(kappa.grad)]
    else:
        jax = pytest.importorskip("jax")
        jnp = jax.numpy
        with jax.enable_x64(True):
            u, c = jnp.asarray(U), jnp.asarray(C)

            def total(z, kappa):
                return jnp.sum(c * step(z, u, eps=EPS, step=kappa))

            slopes = jax.jit(jax.grad(total, argnums=(0, 1)))(jnp.asarray(Z), jnp.asarray(STEP))
            found = [float(np.sum(np.asarray(slopes[0]) * H)), float(slopes[1])]
    assert found == pytest.approx(expected, rel=1e-6, abs=1e-6)


def test_derivatives_in_the_tokens_alone_and_in_the_step_alone():
    torch = pytest.importorskip("torch")
    (Z, U), kappa = map(torch.tensor, instance(9, 6, 3, 2)), torch.tensor(STEP, dtype=torch.float64)

    def slopes(tokens, kappa, *variables):
        after = implicit.implicit_step(tokens, U, eps=EPS, step=kappa)
        return torch.autograd.grad((after**3).sum(), variables)

    z, k = Z.clone().requires_grad_(), kappa.clone().requires_grad_()
    both = slopes(z, k, z, k)
    for alone, beside in zip(slopes(z, kappa, z) + slopes(Z, k, k), both, strict=True):
        np.testing.assert_allclose(alone, beside, rtol=1e-12)


def test_derivatives_of_shrink():
    torch = pytest.importorskip("torch")
    s = torch.tensor([0.3, 2.0, 40.0], dtype=torch.float64, requires_grad=True)
    kappa = torch.tensor(3.0, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda s, kappa: implicit.shrink(s, beta=0.7, step=kappa), (s, kappa))
    assert torch.autograd.gradcheck(lambda s: implicit.shrink(s, beta=0.7, step=3.0), s)
    assert torch.autograd.gradcheck(lambda kappa: implicit.shrink(s.detach(), beta=0.7, step=kappa), kappa)
    assert torch.autograd.gradgradcheck(lambda s, kappa: implicit.shrink(s, beta=0.7, step=kappa), (s, kappa))


# --- the layer --------------------------------------------------------------------------------------------------


@given(
    seed=st.integers(0, 2**32),
    shape=st.sampled_from([(7, 6, 3, 2), (3, 6, 2, 4), (6, 6, 1, 6), (1, 4, 2, 2), (9, 1, 1, 1)]),
    log_eps=st.floats(-3, 1),
    log_lam=st.floats(-3, 2),
    log_scale=st.floats(-2, 2),
    nonnegative=st.booleans(),
    iterations=st.integers(1, 6),
)
def test_implicit_descent_lowers_the_loss(seed, shape, log_eps, log_lam, log_scale, nonnegative, iterations):
    Z, U = overlapping(*shape, seed=seed, scale=10**log_scale)
    Z, eps, lam = (np.abs(Z) if nonnegative else Z), 10**log_eps, 10**log_lam
    layer = layers.implicit_descent(U, eps=eps, lam=lam, nonnegative=nonnegative, iterations=iterations)
    before, after = (srr.SparseRateReduction(U, eps, lam).terms(z) for z in (Z, layer(Z)))
    size = sum(t.rate + t.compression + lam * t.l1 for t in (before, after))
    assert after.loss <= before.loss + 1e-13 * size


@pytest.mark.parametrize("nonnegative", [False, True])
@pytest.mark.parametrize("lam", [0.0, 0.15])
def test_one_iteration_is_a_proximal_gradient_step(lam, nonnegative):
    Z, U = instance(9, 6, 3, 2)
    beta = beta_of(Z, U)
    A = beta * sum(B @ np.linalg.inv(np.eye(2) + beta * (Z @ B).T @ Z @ B) @ B.T for B in U)
    step = 1 / (np.linalg.eigvalsh(A)[-1] + curvature.expansion_at(Z, eps=EPS))
    moved = Z - step * srr.SparseRateReduction(U, EPS, lam).smooth_gradient(Z)
    expected = np.sign(moved) * np.maximum(np.abs(moved) - step * lam, 0)
    expected = np.maximum(moved - step * lam, 0) if nonnegative else expected
    layer = layers.implicit_descent(U, eps=EPS, lam=lam, nonnegative=nonnegative, iterations=1)
    near(layer(Z), expected, size=20, scale=30)
    tau = lam * curvature.loss_step(U, 9, eps=EPS)
    xi = np.clip((moved - expected) / (step * lam), -1, 1) if lam else 0
    near(layer.compress(Z), expected + tau * xi, size=20, scale=30)
    shrunk = np.maximum(Z - tau, 0) if nonnegative else np.sign(Z) * np.maximum(np.abs(Z) - tau, 0)
    near(layer.sparsify(Z), shrunk, size=1, scale=10)
    assert np.array_equal(layer(Z) == 0, expected == 0)


def test_many_iterations_are_implicit():
    """V = Z − (VA − ∇R(Z) + λξ)/ℓ, ξ a subgradient of ‖V‖₁."""
    Z, U = instance(9, 6, 3, 2)
    lam, beta = 0.15, beta_of(Z, U)
    A = beta * sum(B @ np.linalg.inv(np.eye(2) + beta * (Z @ B).T @ Z @ B) @ B.T for B in U)
    V = layers.implicit_descent(U, eps=EPS, lam=lam, iterations=500)(Z)
    slope = srr.coding_rate_and_gradient(Z, eps=EPS)[1]
    xi = (curvature.expansion_at(Z, eps=EPS) * (Z - V) - V @ A + slope) / lam
    assert np.abs(xi).max() <= 1 + 1e-9
    near(xi[V != 0], np.sign(V[V != 0]), size=1e4, scale=10)


def test_far_tokens_move_by_no_more_than_rounding_tells():
    """Where the curvature of −R at the tokens is below that, u times its largest takes its place."""
    Z, U = instance(9, 6, 3, 2)
    layer = layers.implicit_descent(U, eps=1e-3, lam=0.1)
    for size in (0.0, 1e-200, 1e200):
        assert np.isfinite(layer(size * Z)).all()
    floor = 2.0**-53 * curvature.expansion(9, 6, eps=1e-3)
    near(layer(1e15 * Z), 1e15 * Z - 0.1 / floor * np.sign(Z), size=1e4, scale=1e15)
    assert 0.1 / floor > 1e9


def test_longer_than_the_descent_layer_at_small_eps():
    mix = srr.mixtures.sample(n=64, d=16, K=4, p=4, noise=0.1, seed=0)
    for eps, times in ((1.0, 1.01), (0.1, 5), (0.003, 2000)):
        loss = srr.SparseRateReduction(mix.U, eps, 0.1).loss
        ours, short = (
            float(loss(mix.Z) - loss(layer(mix.Z)))
            for layer in (build(mix.U, eps=eps, lam=0.1) for build in (layers.implicit_descent, layers.descent))
        )
        assert ours > times * short


# --- curvature as seen from the tokens --------------------------------------------------------------------------


@given(seed=st.integers(0, 2**32), shape=st.sampled_from([(4, 3), (3, 4), (1, 1), (5, 5)]), log_s=st.floats(-3, 3))
def test_expansion_at_majorises(seed, shape, log_s):
    rng = np.random.default_rng(seed)
    Z, H = 10**log_s * rng.standard_normal(shape), 10 ** rng.uniform(-2, 2) * rng.standard_normal(shape)
    for target in (Z + H, np.zeros(shape), -Z, rng.uniform(-1, 1) * Z):
        step = target - Z
        value, slope = srr.coding_rate_and_gradient(Z, eps=1.0)
        bound = -value - np.sum(slope * step) + curvature.expansion_at(Z, eps=1.0) / 2 * np.sum(step**2)
        assert -srr.coding_rate(target, eps=1.0) <= bound + 1e-12 * (abs(value) + np.sum(np.abs(slope * step)))


def test_expansion_at_is_the_bound_that_is_written_there():
    alpha, values = 3 / 3, np.array([[0.0, 0.1, 0.02], [0.3, 30.0, 40.0], [7.0, 6.0, 9.0], [0.01, 60.0, 50.0]])
    Z = values[:, None, :] * np.eye(3)
    u = alpha * values**2
    with np.errstate(invalid="ignore"):
        each = np.fmin(np.minimum(u, 1 / 8), np.log1p(u) / u)
    np.testing.assert_allclose(curvature.expansion_at(Z, eps=1.0), alpha * each.max(axis=1), rtol=1e-14)


def test_expansion_at_ends():
    assert curvature.expansion_at(np.zeros((3, 2)), eps=1.0) == 0
    at_three = np.sqrt(3 / 2) * np.eye(2)[:1]  # n = 1, d = 2: α = 2 and α s² = 3
    assert curvature.expansion_at(at_three, eps=1.0) == pytest.approx(curvature.expansion(1, 2, eps=1.0))
    assert curvature.expansion_at(np.array([[1e200]]), eps=1e-100) == 0  # below range
    large = curvature.expansion_at(np.array([[100.0]]), eps=0.01)
    assert large == pytest.approx(np.log1p(1e8) / 1e4)
