"""The sparse rate reduction term by term against the printed formulas, its gradient against autograd."""

import numpy as np
import paper
import pytest
from backends import CPU, GPU, NUMPY, parametrize
from closeness import assert_close, near, rounded
from hypothesis import given
from hypothesis import strategies as st

from srr import SparseRateReduction

SHAPES = ((7, 5, 3, 2), (4, 9, 2, 3), (5, 5, 1, 5), (1, 4, 2, 2), (3, 1, 1, 1))  # n, d, K, p
EPS, LAM = 0.6, 0.3


def instance(n, d, K, p, seed=0):
    rng = np.random.default_rng(seed)
    return rng.standard_normal((n, d)), np.linalg.qr(rng.standard_normal((K, d, p)))[0]


@parametrize(NUMPY, CPU, GPU)
def test_terms(backend):
    for shape in SHAPES if backend is NUMPY else SHAPES[:1]:
        Z, U = rounded(backend, *instance(*shape))
        Z[0, 0] = 0
        R, Rc, l1 = paper.coding_rate(Z.T, EPS), paper.subspace_coding_rate(Z.T, U, EPS), np.abs(Z).sum()
        assert min(R, l1) > 0.1 or shape == (3, 1, 1, 1)
        with backend.active():
            objective = SparseRateReduction(backend.array(U), EPS, LAM)
            tokens = backend.array(Z)
            terms = objective.terms(tokens)
            scale = R + Rc + l1
            expected = {
                "rate": R,
                "compression": Rc,
                "rate_reduction": R - Rc,
                "l1": l1,
                "value": R - Rc - LAM * l1,
                "loss": Rc - R + LAM * l1,
            }
            for name, value in expected.items():
                assert_close(backend, getattr(terms, name), value, size=sum(shape), scale=scale)
            assert_close(backend, objective.value(tokens), expected["value"], size=sum(shape), scale=scale)
            assert_close(backend, objective.loss(tokens), expected["loss"], size=sum(shape), scale=scale)
            assert int(terms.l0) == np.count_nonzero(Z)
            assert "int" in str(terms.l0.dtype)
            assert tuple(terms.l0.shape) == ()
            assert int(objective.terms(tokens, threshold=0.5).l0) == np.sum(np.abs(Z) > 0.5)


@given(seed=st.integers(0, 2**32), shape=st.sampled_from(SHAPES), eps=st.floats(0.1, 10))
def test_smooth_gradient_is_the_derivative_of_the_printed_formula(seed, shape, eps):
    torch = pytest.importorskip("torch")
    Z, U = instance(*shape, seed)
    tokens = torch.tensor(Z, requires_grad=True)

    def rate(Y):
        n, d = Y.shape
        return torch.logdet(torch.eye(d, dtype=Y.dtype) + d / (n * eps**2) * Y.T @ Y) / 2

    (sum(rate(tokens @ torch.tensor(basis)) for basis in U) - rate(tokens)).backward()
    gradient = SparseRateReduction(U, eps, LAM).smooth_gradient(Z)
    scale = (1 + np.sum(Z**2)) * max(eps**-2, eps**-4)  # αZ, and what rounding of the matrix does to its inverse
    near(gradient, tokens.grad.numpy(), size=sum(shape), scale=scale)


@parametrize(NUMPY, CPU, GPU)
def test_smooth_gradient(backend):
    for shape in SHAPES if backend is NUMPY else SHAPES[:1]:
        Z, U = rounded(backend, *instance(*shape))
        d, N = Z.T.shape
        alpha = d / (N * EPS**2)
        expected = paper.gradient(Z.T, U, EPS).T - alpha * (Z @ np.linalg.inv(np.eye(d) + alpha * Z.T @ Z))
        with backend.active():
            gradient = SparseRateReduction(backend.array(U), EPS, LAM).smooth_gradient(backend.array(Z))
            scale = alpha * np.abs(Z).max() * (1 + alpha * np.sum(Z**2))
            assert_close(backend, gradient, expected, size=sum(shape), scale=scale)


def test_the_loss_is_differentiable_in_torch_and_jax():
    Z, U = instance(*SHAPES[0])
    expected = SparseRateReduction(U, EPS, LAM).smooth_gradient(Z) + LAM * np.sign(Z)
    torch = pytest.importorskip("torch")
    tokens = torch.tensor(Z, requires_grad=True)
    SparseRateReduction(torch.tensor(U), EPS, LAM).loss(tokens).backward()
    near(tokens.grad.numpy(), expected, size=20, scale=10)
    jax = pytest.importorskip("jax")
    with jax.enable_x64(True):
        bases = jax.numpy.asarray(U)
        gradient = jax.jit(jax.grad(lambda Z: SparseRateReduction(bases, EPS, LAM).loss(Z)))(jax.numpy.asarray(Z))
        near(gradient, expected, size=20, scale=10)
        traced = jax.jit(lambda Z, U: SparseRateReduction(U, EPS, LAM).terms(Z))(jax.numpy.asarray(Z), bases)
        near(traced.loss, SparseRateReduction(U, EPS, LAM).loss(Z), size=20, scale=100)


@pytest.mark.parametrize("shape", SHAPES)
def test_batched_equals_a_stack_of_singles(shape):
    Z, U = instance(*shape)
    batch = np.stack([Z, 2 * Z, -Z + 1])[:, None]
    objective = SparseRateReduction(U, EPS, LAM)
    for name in ("value", "loss", "smooth_gradient"):
        f = getattr(objective, name)
        stack = np.stack([f(z) for z in batch[:, 0]])[:, None]
        near(f(batch), stack, size=sum(shape), scale=10 + np.abs(stack))
    for name, value in objective.terms(batch)._asdict().items():
        stack = np.stack([getattr(objective.terms(z), name) for z in batch[:, 0]])[:, None]
        near(value, stack, size=sum(shape), scale=10 + np.abs(stack))


def test_only_the_norms_see_more_than_the_second_moment():
    Z, U = instance(7, 5, 3, 2)
    V = np.linalg.qr(np.random.default_rng(1).standard_normal((7, 7)))[0]
    objective = SparseRateReduction(U, EPS, LAM)
    before, after = objective.terms(Z), objective.terms(V @ Z)
    assert after.rate == pytest.approx(before.rate, rel=1e-13)
    assert after.compression == pytest.approx(before.compression, rel=1e-13)
    assert after.l1 != pytest.approx(before.l1, rel=1e-3)


def test_rotating_tokens_and_bases_together_leaves_the_rate_reduction():
    Z, U = instance(7, 5, 3, 2)
    Q = np.linalg.qr(np.random.default_rng(1).standard_normal((5, 5)))[0]
    before = SparseRateReduction(U, EPS, LAM).terms(Z).rate_reduction
    together = SparseRateReduction(Q @ U, EPS, LAM).terms(Z @ Q.T).rate_reduction
    alone = SparseRateReduction(U, EPS, LAM).terms(Z @ Q.T).rate_reduction
    assert together == pytest.approx(before, rel=1e-12)
    assert alone != pytest.approx(before, rel=1e-3)


def test_it_is_a_value_that_does_not_change():
    _, U = instance(*SHAPES[0])
    objective = SparseRateReduction(U, eps=EPS, lam=0)
    with pytest.raises(AttributeError):
        objective.eps = 1.0
    assert objective != SparseRateReduction(U.copy(), eps=EPS, lam=0)  # by identity: arrays have no truth value
    assert len({objective, objective}) == 1


Z0, U0 = instance(*SHAPES[0])
GOOD = {"U": U0, "eps": 0.5, "lam": 0.1}
BAD = {
    "U": (U0[0], U0.astype(np.float16), U0 * np.nan, U0.transpose(0, 2, 1), U0.tolist(), U0[:, :, :0]),
    "eps": (0, -0.5, np.nan, np.inf, "1", True, None),
    "lam": (-0.1, np.nan, np.inf, "1", True, None),
}


@pytest.mark.parametrize(("name", "value"), [(name, value) for name in BAD for value in BAD[name]])
def test_bad_input_is_named(name, value):
    with pytest.raises((TypeError, ValueError), match=rf"\b{name}\b"):
        SparseRateReduction(**(GOOD | {name: value}))


@pytest.mark.parametrize("method", ["terms", "value", "loss", "smooth_gradient"])
@pytest.mark.parametrize("Z", [Z0[0], Z0[:0], Z0[:, :4], Z0 * np.nan, Z0.astype(np.float32), Z0.tolist()])
def test_bad_tokens_are_named(method, Z):
    f = getattr(SparseRateReduction(**GOOD), method)
    with pytest.raises((TypeError, ValueError), match=r"\b[ZU]\b"):
        f(Z)


@pytest.mark.parametrize("threshold", [-0.1, np.nan, "1", True])
def test_bad_threshold_is_named(threshold):
    with pytest.raises((TypeError, ValueError), match=r"\bthreshold\b"):
        SparseRateReduction(**GOOD).terms(Z0, threshold=threshold)
