"""Curvature bounds against Hessians by automatic differentiation, inside and at the ends."""

import re

import numpy as np
import pytest
from backends import CPU, FAKE, GPU, NUMPY, parametrize
from closeness import near
from hypothesis import given
from hypothesis import strategies as st

import srr
from srr import curvature

torch = pytest.importorskip("torch")

SHAPES = ((4, 2), (2, 4), (3, 3), (1, 3), (3, 1), (1, 1))  # n, d
EPS = 0.6


def spectrum(f, Z):
    """Eigenvalues of the Hessian of f at Z, ascending."""
    point = torch.tensor(Z, dtype=torch.float64).reshape(-1)
    hessian = torch.autograd.functional.hessian(lambda z: f(z.reshape(Z.shape)), point)
    return torch.linalg.eigvalsh(hessian).numpy()


def log_det(A, constant):
    return torch.logdet(torch.eye(A.shape[1], dtype=A.dtype) + constant * A.T @ A) / 2


def rate(eps=EPS):
    return lambda Z: log_det(Z, Z.shape[1] / (Z.shape[0] * eps**2))


def subspace_rate(U, eps=EPS):
    U = torch.tensor(U)
    return lambda Z: sum(log_det(Z @ basis, U.shape[2] / (Z.shape[0] * eps**2)) for basis in U)


def partition_rate(Pi, eps=EPS):
    Pi = torch.tensor(Pi)

    def f(Z):
        n, d = Z.shape
        shares = Pi.sum(0)
        parts = (
            size / n * log_det(torch.sqrt(w)[:, None] * Z, d / (size * eps**2))
            for w, size in zip(Pi.T, shares, strict=True)
        )
        return sum(parts)

    return f


def bases(kind, K=3, d=4, p=2, seed=0):
    U = np.random.default_rng(seed).standard_normal((K, d, p))
    return np.linalg.qr(U)[0] if kind == "orthonormal" else U * np.array([0.3, 2.0])


# --- the bounds ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("n", "d"), SHAPES)
def test_both_ends_of_the_spectrum_of_the_rate_are_attained(n, d):
    lower, upper = curvature.coding_rate_bounds(n, d, eps=EPS)
    assert upper == pytest.approx(d / (n * EPS**2), rel=1e-15)
    at_zero = spectrum(rate(), np.zeros((n, d)))
    near(at_zero, np.full(n * d, upper), size=n + d, scale=upper)
    Z = np.zeros((n, d))
    Z[0, 0] = np.sqrt(3 / upper)  # rank one, α s² = 3
    near(spectrum(rate(), Z)[0], lower, size=n + d, scale=upper)


@given(shape=st.sampled_from(SHAPES), seed=st.integers(0, 2**32), log_scale=st.floats(-2, 2))
def test_the_spectrum_of_the_rate_lies_between(shape, seed, log_scale):
    Z = 10**log_scale * np.random.default_rng(seed).standard_normal(shape)
    lower, upper = curvature.coding_rate_bounds(*shape, eps=EPS)
    values = spectrum(rate(), Z)
    assert lower - 1e-9 * upper <= values[0]
    assert values[-1] <= upper * (1 + 1e-9)


@pytest.mark.parametrize("kind", ["orthonormal", "any"])
@pytest.mark.parametrize("n", [1, 2, 5])
def test_the_curvature_of_the_subspace_rate_is_attained_at_zero(kind, n):
    U = bases(kind)
    lower, upper = curvature.subspace_rate_bounds(U, n, eps=EPS)
    near(spectrum(subspace_rate(U), np.zeros((n, 4)))[-1], upper, size=20, scale=upper)
    assert lower == -upper / 8


def test_the_lower_end_of_the_subspace_rate_is_attained_for_orthogonal_subspaces():
    U = np.eye(4).reshape(4, 2, 2).transpose(1, 0, 2)
    lower, upper = curvature.subspace_rate_bounds(U, 3, eps=EPS)
    Z = np.zeros((3, 4))
    Z[0, 0] = np.sqrt(3 / upper)
    near(spectrum(subspace_rate(U), Z)[0], lower, size=20, scale=upper)


@given(
    kind=st.sampled_from(["orthonormal", "any"]),
    n=st.sampled_from([1, 2, 5]),
    seed=st.integers(0, 2**32),
    log_scale=st.floats(-2, 2),
)
def test_the_spectrum_of_the_subspace_rate_lies_between(kind, n, seed, log_scale):
    U = bases(kind, seed=seed)
    Z = 10**log_scale * np.random.default_rng(seed + 1).standard_normal((n, 4))
    lower, upper = curvature.subspace_rate_bounds(U, n, eps=EPS)
    values = spectrum(subspace_rate(U), Z)
    assert lower - 1e-9 * upper <= values[0]
    assert values[-1] <= upper * (1 + 1e-9)


def test_both_ends_of_the_spectrum_of_the_partition_rate_are_attained():
    n, d = 5, 2
    lower, upper = curvature.partition_rate_bounds(n, d, eps=EPS)
    Pi = np.eye(2)[[0, 0, 1, 1, 1]]
    near(spectrum(partition_rate(Pi), np.zeros((n, d)))[-1], upper, size=n + d, scale=upper)
    Z = np.zeros((n, d))
    Z[0, 0] = np.sqrt(3 * 2 * EPS**2 / d)  # α_k s² = 3 in the part of two tokens
    near(spectrum(partition_rate(Pi), Z)[0], lower, size=n + d, scale=upper)


@given(seed=st.integers(0, 2**32), hard=st.booleans(), log_scale=st.floats(-2, 2))
def test_the_spectrum_of_the_partition_rate_lies_between(seed, hard, log_scale):
    rng = np.random.default_rng(seed)
    n, d, K = 5, 2, 3
    Pi = np.eye(K)[rng.permutation([0, 1, 2, *rng.integers(0, K, 2)])] if hard else rng.dirichlet(np.ones(K), n)
    lower, upper = curvature.partition_rate_bounds(n, d, eps=EPS)
    values = spectrum(partition_rate(Pi + 1e-300), 10**log_scale * rng.standard_normal((n, d)))
    assert lower - 1e-9 * upper <= values[0]
    assert values[-1] <= upper * (1 + 1e-9)


def test_the_bound_of_the_papers_lemma_is_not_sharp():
    n, d = 3, 3
    lower, upper = curvature.coding_rate_bounds(n, d, eps=EPS)
    assert 9 / 4 * d / (n * EPS**2) == pytest.approx(2.25 * upper) == pytest.approx(-18 * lower)


# --- the constants ------------------------------------------------------------------------------------------


@parametrize(NUMPY, CPU, GPU)
@pytest.mark.parametrize(("K", "d", "p"), [(3, 4, 2), (1, 5, 5), (2, 7, 3), (4, 3, 3), (1, 1, 1)])
def test_overlap(backend, K, d, p):
    U = np.random.default_rng(0).standard_normal((K, d, p)).astype(backend.dtype)
    expected = np.linalg.eigvalsh(np.einsum("kdp,kep->de", U, U, dtype=np.float64))[-1]
    with backend.active():
        value = curvature.overlap(backend.array(U))
    assert isinstance(value, float)
    near(value, expected, size=K * p + d, scale=expected, u=np.finfo(backend.dtype).eps / 2)


def test_overlap_of_orthogonal_and_of_equal_subspaces():
    together = srr.mixtures.sample(n=1, d=12, K=3, p=4, coherence=0.0, seed=0).U
    apart = srr.mixtures.sample(n=1, d=12, K=3, p=4, seed=0).U
    assert curvature.overlap(apart) == pytest.approx(1, rel=1e-14)
    assert curvature.overlap(together) == pytest.approx(3, rel=1e-14)
    assert curvature.overlap(1e150 * apart) == pytest.approx(1e300, rel=1e-14)
    assert curvature.overlap(1e-150 * apart) == pytest.approx(1e-300, rel=1e-14)
    assert curvature.overlap(0 * apart) == curvature.subspace_rate(0 * apart, 5, eps=EPS) == 0


def test_step_sizes_are_the_inverse_curvatures():
    n, d, p, eps = 7, 5, 2, 0.3
    U = 1.7 * np.eye(d)[:, :p][None]  # λ_max = 1.7²
    L, expansion = 1.7**2 * p / (n * eps**2), d / (n * eps**2) / 8
    assert curvature.subspace_rate(U, n, eps=eps) == pytest.approx(L, rel=1e-14)
    assert curvature.expansion(n, d, eps=eps) == pytest.approx(expansion, rel=1e-14)
    assert curvature.compression_step(U, n, eps=eps) == pytest.approx(1 / L, rel=1e-14)
    assert curvature.expansion_step(n, d, eps=eps) == pytest.approx(1 / expansion, rel=1e-14)
    assert curvature.loss_step(U, n, eps=eps) == pytest.approx(1 / (L + expansion), rel=1e-14)


@pytest.mark.parametrize(("fraction", "descends"), [(1.99, True), (2.01, False)])
def test_twice_the_compression_step_is_where_descent_ends(fraction, descends):
    rng = np.random.default_rng(1)
    U, n, eps = bases("orthonormal", seed=1), 5, 0.7
    top = np.linalg.eigh(np.einsum("kdp,kep->de", U, U))[1][:, -1]
    Z = 1e-4 * np.outer(rng.standard_normal(n), top)  # near 0, along the steepest direction
    step = fraction * curvature.compression_step(U, n, eps=eps)
    before, gradient = srr.subspace_coding_rate_and_gradient(Z, U, eps=eps)
    assert (srr.subspace_coding_rate(Z - step * gradient, U, eps=eps) < before) == descends


@pytest.mark.parametrize(("fraction", "descends"), [(1.99, True), (2.01, False)])
def test_twice_the_expansion_step_is_where_descent_ends_on_the_flattest_direction(fraction, descends):
    # λ‖Z‖₁ − R at α s² = 3 with λ its slope there: a fixed point at which −R is curved by α/8
    n, d, eps = 1, 1, 0.8
    alpha = d / (n * eps**2)
    s = np.sqrt(3 / alpha)
    lam = alpha * s / (1 + alpha * s**2)
    Z = np.array([[s + 1e-3]])
    step = fraction * curvature.expansion_step(n, d, eps=eps)
    _, gradient = srr.coding_rate_and_gradient(Z, eps=eps)
    after = srr.prox.soft_threshold(Z + step * gradient, step * lam)

    def value(Z):
        return lam * np.abs(Z).sum() - srr.coding_rate(Z, eps=eps)

    assert (value(after) < value(Z)) == descends


# --- tracing, derivatives, bad input ------------------------------------------------------------------------


@parametrize(FAKE)
def test_without_values_the_constants_are_arrays(backend):
    with backend.active():
        U = backend.array(bases("orthonormal"))
        constants = curvature.subspace_rate, curvature.compression_step, curvature.loss_step
        for value in (curvature.overlap(U), *(f(U, 5, eps=EPS) for f in constants)):
            assert value.shape == ()
            assert value.device == U.device
            assert value.dtype == U.dtype


@pytest.mark.filterwarnings("ignore:.torch.jit")  # torch.func's own
def test_without_values_the_constants_are_the_same():
    U = bases("any")
    for f in (curvature.subspace_rate, curvature.compression_step, curvature.loss_step):
        found = torch.func.vmap(lambda U, f=f: f(U, 5, eps=EPS))(torch.tensor(U)[None])
        assert found.tolist() == pytest.approx([f(U, 5, eps=EPS)], rel=1e-13)


def test_under_jit():
    jax = pytest.importorskip("jax")
    U = bases("any").astype(np.float32)
    traced = jax.jit(lambda U: curvature.loss_step(U, 5, eps=EPS))(jax.numpy.asarray(U))
    assert float(traced) == pytest.approx(curvature.loss_step(U, 5, eps=EPS), rel=1e-5)


def test_no_derivative_flows_through_a_step_size():
    U = torch.tensor(bases("any"), requires_grad=True)
    assert isinstance(curvature.compression_step(U, 5, eps=EPS), float)


@pytest.mark.parametrize("power", [-1000, -560, -300, 300, 560, 1000])
def test_scale_of_bases_and_precision_together(power):
    """2^k U at precision 2^k ε is U at ε, even where the square of neither is a float."""
    U, n, s = bases("any"), 5, 2.0**power
    for f in (curvature.subspace_rate, curvature.compression_step):
        assert f(s * U, n, eps=s * EPS) == pytest.approx(f(U, n, eps=EPS), rel=1e-14)
        if abs(power) > 540:
            with pytest.raises(ValueError, match=r"^U and eps must keep .* got a norm of .* and eps = 0.6$"):
                f(s * U, n, eps=EPS)
            with pytest.raises(ValueError, match=rf"^U and eps must keep .* and eps = {re.escape(repr(s * EPS))}$"):
                f(U, n, eps=s * EPS)
    assert np.array(curvature.subspace_rate_bounds(s * U, n, eps=s * EPS)) == pytest.approx(
        np.array(curvature.subspace_rate_bounds(U, n, eps=EPS)), rel=1e-14
    )
    if abs(power) > 540:
        with pytest.raises(ValueError, match=r"^U must keep the squared norm .* got a norm of"):
            curvature.overlap(s * U)
    if power > 540:
        small = curvature.loss_step(s * U, n, eps=s * EPS)  # α/8 does not count beside L_c
        assert small == pytest.approx(curvature.compression_step(U, n, eps=EPS), rel=1e-14)


@pytest.mark.parametrize("eps", [1e-310, 1e-200, 1e200, 1e300])
def test_precision_beyond_the_range_is_named(eps):
    for f in (
        curvature.coding_rate_bounds,
        curvature.partition_rate_bounds,
        curvature.expansion,
        curvature.expansion_step,
    ):
        shows = rf"^eps must keep .* from 2.2e-308 to 1.8e\+308, got {re.escape(repr(eps))}$"
        with pytest.raises(ValueError, match=shows):
            f(5, 4, eps=eps)
    for f in (curvature.subspace_rate, curvature.loss_step, curvature.compression_step):
        with pytest.raises(ValueError, match=r"^U and eps must keep .* got a norm of"):
            f(U0, 5, eps=eps)


def test_curvature_at_the_ends_of_the_range():
    assert curvature.expansion(1, 8, eps=1e-150) == pytest.approx(1e300, rel=1e-14)
    assert curvature.expansion_step(1, 8, eps=1e150) == pytest.approx(1e300, rel=1e-14)
    assert curvature.expansion_step(1, 8, eps=1e-150) == pytest.approx(1e-300, rel=1e-14)


U0 = bases("orthonormal")
GOOD = {
    curvature.coding_rate_bounds: {"n": 5, "d": 4, "eps": 0.5},
    curvature.partition_rate_bounds: {"n": 5, "d": 4, "eps": 0.5},
    curvature.expansion: {"n": 5, "d": 4, "eps": 0.5},
    curvature.expansion_step: {"n": 5, "d": 4, "eps": 0.5},
    curvature.subspace_rate_bounds: {"U": U0, "n": 5, "eps": 0.5},
    curvature.subspace_rate: {"U": U0, "n": 5, "eps": 0.5},
    curvature.compression_step: {"U": U0, "n": 5, "eps": 0.5},
    curvature.loss_step: {"U": U0, "n": 5, "eps": 0.5},
    curvature.overlap: {"U": U0},
}
BAD = {
    "n": (0, -1, 1.5, True, "3", None),
    "d": (0, -1, 1.5, True, "3", None),
    "eps": (0, -0.5, np.nan, np.inf, "1", True, None),
    "U": (
        U0[0],
        U0[0, 0],
        U0.astype(np.float16),
        U0.astype(int),
        U0 * np.nan,
        U0.transpose(0, 2, 1),
        U0[:0],
        U0.tolist(),
    ),
}


@pytest.mark.parametrize(
    ("function", "name", "value"),
    [(f, name, value) for f, good in GOOD.items() for name in good for value in BAD[name]],
)
def test_bad_input_is_named(function, name, value):
    function(**GOOD[function])
    with pytest.raises((TypeError, ValueError), match=rf"\b{name}\b"):
        function(**(GOOD[function] | {name: value}))


def test_bases_of_zeros_have_no_compression_step():
    with pytest.raises(ValueError, match="U must not be zero"):
        curvature.compression_step(0 * U0, 5, eps=0.5)
    assert curvature.loss_step(0 * U0, 5, eps=0.5) == pytest.approx(curvature.expansion_step(5, 4, eps=0.5))
