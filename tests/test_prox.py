"""Proximal operators by their definition, ISTA and FISTA by the lasso they solve, the gap by what it says."""

import re

import numpy as np
import pytest
from backends import CPU, GPU, NUMPY, parametrize
from closeness import assert_close, near, rounded
from hypothesis import given
from hypothesis import strategies as st
from paper import ista
from scipy.optimize import minimize_scalar

import srr
from srr import prox

SHAPES = ((7, 5, 5), (3, 5, 5), (5, 5, 9), (4, 6, 3), (1, 4, 4), (6, 1, 1))  # n, d, m


def problem(n, d, m, seed=0):
    rng = np.random.default_rng(seed)
    return rng.standard_normal((n, d)), rng.standard_normal((d, m)), rng.standard_normal((n, m))


# --- proximal operators -------------------------------------------------------------------------------------


@parametrize(NUMPY, CPU, GPU)
def test_soft_threshold_solves_the_proximal_problem(backend):
    # x minimises t|x| + ½(x − a)² if and only if a − x is t·sign(x), or |a| ≤ t at x = 0
    (a,) = rounded(backend, 3 * np.random.default_rng(0).standard_normal((4, 9, 5)))
    t = 0.75
    with backend.active():
        x = prox.soft_threshold(backend.array(a), t)
        assert_close(backend, x, np.sign(a) * np.maximum(np.abs(a) - t, 0), size=1, scale=np.abs(a))
        x = backend.read(x)
    zero = x == 0
    assert 0 < zero.sum() < zero.size
    assert np.all(np.abs(a[zero]) <= t)
    assert np.all(np.sign(x[~zero]) == np.sign(a[~zero]))


@parametrize(NUMPY, CPU, GPU)
def test_nonnegative_soft_threshold_solves_the_proximal_problem(backend):
    (a,) = rounded(backend, 3 * np.random.default_rng(0).standard_normal((4, 9, 5)))
    t = 0.75
    with backend.active():
        x = prox.nonnegative_soft_threshold(backend.array(a), t)
        assert_close(backend, x, np.maximum(a - t, 0), size=1, scale=np.abs(a))
        x = backend.read(x)
    assert np.all(x >= 0)
    assert np.all(a[x == 0] <= t)
    assert 0 < (x == 0).sum() < x.size


@pytest.mark.parametrize(
    ("operator", "conjugate"),
    [
        (prox.soft_threshold, lambda a, t: np.clip(a, -t, t)),  # projection on the ball of the dual norm
        (prox.nonnegative_soft_threshold, lambda a, t: np.minimum(a, t)),
    ],
)
@given(seed=st.integers(0, 2**32), t=st.floats(0, 10), scale=st.floats(1e-150, 1e150))
def test_moreau_decomposition(operator, conjugate, seed, t, scale):
    a = np.random.default_rng(seed).standard_normal((6, 4)) * scale
    near(operator(a, t * scale) + conjugate(a, t * scale), a, size=1, scale=np.abs(a))


@pytest.mark.parametrize("operator", [prox.soft_threshold, prox.nonnegative_soft_threshold])
@given(seed=st.integers(0, 2**32), t=st.floats(0, 10))
def test_firmly_nonexpansive(operator, seed, t):
    a, b = np.random.default_rng(seed).standard_normal((2, 6, 4)) * 5
    change = operator(a, t) - operator(b, t)
    assert np.sum(change**2) <= np.sum(change * (a - b)) * (1 + 1e-13)


def test_zero_threshold_and_zero_entries():
    a = np.array([[-1.0, 0.0, 2.0]])
    assert np.array_equal(prox.soft_threshold(a, 0.0), a)
    assert np.array_equal(prox.nonnegative_soft_threshold(a, 0), [[0.0, 0.0, 2.0]])
    assert not np.signbit(prox.soft_threshold(a, 1.5)).any()


# --- the step -----------------------------------------------------------------------------------------------


@parametrize(NUMPY, CPU, GPU)
def test_ista_step_is_the_papers(backend):
    for shape in SHAPES if backend is NUMPY else SHAPES[:1]:
        Z, D, A = rounded(backend, *problem(*shape))
        step, lam = 0.3, 0.7
        with backend.active():
            arrays = [backend.array(a) for a in (Z, D, A)]
            scale = np.abs(A) + step * (np.abs(Z) + np.abs(A) @ np.abs(D).T) @ np.abs(D) + step * lam
            size = sum(shape)
            after = prox.ista_step(*arrays[:2], step=step, lam=lam, code=arrays[2])
            assert_close(backend, after, ista(Z.T, A.T, D, step, lam).T, size=size, scale=scale)
            assert (backend.read(after) > 0).any()
            signed = prox.ista_step(*arrays[:2], step=step, lam=lam, code=arrays[2], nonnegative=False)
            moved = A + step * (Z - A @ D.T) @ D
            expected = np.sign(moved) * np.maximum(np.abs(moved) - step * lam, 0)
            assert_close(backend, signed, expected, size=size, scale=scale)


def test_ista_step_starts_at_the_tokens():
    Z, D, _ = problem(7, 5, 5)
    expected = ista(Z.T, Z.T, D, 0.1, 0.2).T
    near(prox.ista_step(Z, D, step=0.1, lam=0.2), expected, size=10, scale=100)


@pytest.mark.parametrize("nonnegative", [True, False])
@given(
    seed=st.integers(0, 2**32),
    shape=st.sampled_from(SHAPES),
    fraction=st.floats(1e-3, 1.999),
    lam=st.floats(0, 10),
    scale=st.floats(1e-3, 1e3),
)
def test_ista_never_raises_the_lasso_from_a_feasible_code(nonnegative, seed, shape, fraction, lam, scale):
    Z, D, A = problem(*shape, seed)
    A = scale * (np.abs(A) if nonnegative else A)
    after = prox.ista_step(Z, D, step=fraction * prox.lasso_step(D), lam=lam, code=A, nonnegative=nonnegative)
    before, value = prox.lasso(Z, D, A, lam=lam), prox.lasso(Z, D, after, lam=lam)
    assert value <= before * (1 + 1e-12)


def test_ista_raises_the_lasso_past_twice_the_step():
    # one token, one atom: the quadratic bounces to the other side and further out
    Z, D, A = np.zeros((1, 1)), np.full((1, 1), 2.0), np.ones((1, 1))
    for fraction, grows in ((1.999, False), (2.001, True)):
        after = prox.ista_step(Z, D, step=fraction * prox.lasso_step(D), lam=0.0, code=A, nonnegative=False)
        assert (prox.lasso(Z, D, after, lam=0.0) > prox.lasso(Z, D, A, lam=0.0)) == grows


def test_ista_may_raise_the_lasso_from_signed_tokens():
    # infeasible start: relu throws away what the negative entry reconstructed
    Z, D = np.array([[-1.0]]), np.eye(1)
    after = prox.ista_step(Z, D, step=0.1, lam=0.1)
    assert after == 0
    assert prox.lasso(Z, D, after, lam=0.1) > prox.lasso(Z, D, Z, lam=0.1)


@parametrize(NUMPY, CPU, GPU)
@pytest.mark.parametrize("shape", [(5, 3), (3, 5), (4, 4), (1, 1), (6, 1)])
def test_lasso_step(backend, shape):
    (D,) = rounded(backend, np.random.default_rng(3).standard_normal(shape))
    with backend.active():
        for scale in (1.0, 1e15, 1e-15):
            scaled = D.astype(backend.dtype) * backend.dtype(scale)
            step = prox.lasso_step(backend.array(scaled))
            assert isinstance(step, float)
            expected = np.linalg.norm(scaled.astype(np.float64), 2) ** -2
            near(step, expected, size=sum(shape), scale=expected, u=np.finfo(backend.dtype).eps / 2)


def test_lasso_step_does_not_overflow_on_the_way():
    D = np.diag([3.0, 4.0])
    near(prox.lasso_step(1e140 * D), 1e-280 / 16, size=2, scale=1e-280 / 16)
    near(prox.lasso_step(1e-140 * D), 1e280 / 16, size=2, scale=1e280 / 16)


# --- the solution -------------------------------------------------------------------------------------------


@parametrize(NUMPY, CPU, GPU)
def test_fista_with_orthonormal_atoms_has_a_closed_form(backend):
    rng = np.random.default_rng(4)
    Z, D = rounded(backend, rng.standard_normal((2, 8, 6)), np.linalg.qr(rng.standard_normal((6, 4)))[0])
    lam = 0.4
    with backend.active():
        arrays = backend.array(Z), backend.array(D)
        A = prox.fista(*arrays, lam=lam, iterations=60)
        assert_close(backend, A, np.maximum(Z @ D - lam, 0), size=14, scale=10)
        A = prox.fista(*arrays, lam=lam, iterations=60, nonnegative=False)
        expected = np.sign(Z @ D) * np.maximum(np.abs(Z @ D) - lam, 0)
        assert_close(backend, A, expected, size=14, scale=10)


def test_the_first_iterates_of_fista():
    Z, D, A = problem(7, 5, 9)

    def step(A):
        return prox.ista_step(Z, D, step=prox.lasso_step(D), lam=0.2, code=A)

    first = step(A)
    second = step(first)  # no momentum yet
    t2 = (1 + np.sqrt(5)) / 2
    t3 = (1 + np.sqrt(1 + 4 * t2**2)) / 2
    third = step(second + (t2 - 1) / t3 * (second - first))
    for number, expected in enumerate((first, second, third), start=1):
        near(prox.fista(Z, D, lam=0.2, iterations=number, code=A), expected, size=20, scale=10)


@pytest.mark.parametrize("nonnegative", [True, False])
@pytest.mark.parametrize("shape", SHAPES)
def test_fista_meets_the_optimality_conditions(nonnegative, shape):
    Z, D, _ = problem(*shape, seed=5)
    lam = 0.5
    A = prox.fista(Z, D, lam=lam, iterations=5000, nonnegative=nonnegative)
    slope = (Z - A @ D.T) @ D  # ∈ λ ∂|a|
    on = A != 0
    assert on.any()
    assert np.abs(slope[on] - lam * np.sign(A[on])).max() < 1e-8
    if nonnegative:
        assert np.all(A >= 0)
        assert slope.max() <= lam + 1e-8
    else:
        assert np.abs(slope).max() <= lam + 1e-8
    assert prox.lasso_gap(Z, D, A, lam=lam, nonnegative=nonnegative) < 1e-7


@pytest.mark.parametrize("start", [False, True])
def test_fista_converges_at_its_rate_and_ista_does_not(start):
    rng = np.random.default_rng(6)
    Q, V = (np.linalg.qr(rng.standard_normal((30, 30)))[0] for _ in range(2))
    D = (Q * np.logspace(0, -3, 30)) @ V  # ‖D‖ = 1, so ill-conditioned that the quadratic rate is seen
    best = np.abs(rng.standard_normal((1, 30)))
    Z = best @ D.T  # the lasso without penalty is 0 there
    code = np.ones((1, 30)) if start else np.zeros((1, 30))
    reach, plain, worst = np.sum((best - code) ** 2), code, 0.0
    for k in range(1, 400):
        plain = prox.ista_step(Z, D, step=1.0, lam=0.0, code=plain)
        if k % 7 == 0:
            above = prox.lasso(Z, D, prox.fista(Z, D, lam=0.0, iterations=k, code=code), lam=0.0)
            bound = 2 * reach / (k + 1) ** 2
            assert above <= bound
            worst = max(worst, prox.lasso(Z, D, plain, lam=0.0) / bound)
    assert worst > 1


@parametrize(NUMPY, CPU, GPU)
def test_lasso(backend):
    for shape in SHAPES if backend is NUMPY else SHAPES[:1]:
        Z, D, A = rounded(backend, *problem(*shape))
        lam = 0.7
        with backend.active():
            value = prox.lasso(*(backend.array(a) for a in (Z, D, A)), lam=lam)
            expected = lam * np.abs(A).sum() + np.linalg.norm(Z.T - D @ A.T) ** 2 / 2
            scale = lam * np.abs(A).sum() + np.sum((np.abs(Z) + np.abs(A) @ np.abs(D).T) ** 2)
            assert_close(backend, value, expected, size=sum(shape), scale=scale)


# --- the gap ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("nonnegative", [True, False])
@given(
    seed=st.integers(0, 2**32),
    shape=st.sampled_from(SHAPES),
    lam=st.floats(1e-2, 5),
    distance=st.floats(0, 3),
)
def test_gap_bounds_the_distance_to_the_least_value(nonnegative, seed, shape, lam, distance):
    Z, D, noise = problem(*shape, seed)
    best = prox.fista(Z, D, lam=lam, iterations=300, nonnegative=nonnegative)
    A = best + distance * noise
    A = np.maximum(A, 0) if nonnegative else A
    value, least = prox.lasso(Z, D, A, lam=lam), prox.lasso(Z, D, best, lam=lam)
    gap = prox.lasso_gap(Z, D, A, lam=lam, nonnegative=nonnegative)
    assert gap >= 0
    assert value - least <= gap + 1e-13 * value  # P(A) − P(best) ≤ P(A) − P* ≤ gap


@pytest.mark.parametrize("nonnegative", [True, False])
@given(seed=st.integers(0, 2**32), shape=st.sampled_from(SHAPES), lam=st.floats(1e-2, 5))
def test_gap_is_primal_less_the_best_dual_on_the_ray(nonnegative, seed, shape, lam):
    Z, D, A = problem(*shape, seed)
    A = np.abs(A) if nonnegative else A
    gap = 0.0
    for z, a in zip(Z, A, strict=True):
        r = z - D @ a
        limit = np.max(D.T @ r if nonnegative else np.abs(D.T @ r))
        longest = lam / limit if limit > 0 else 1e3
        best = minimize_scalar(
            lambda factor, z=z, r=r: np.sum((z - factor * r) ** 2) / 2 - np.sum(z**2) / 2,  # less the dual
            bounds=(0, longest),
            method="bounded",
            options={"xatol": 1e-10},
        )
        gap += lam * np.abs(a).sum() + np.sum(r**2) / 2 + best.fun
    computed = prox.lasso_gap(Z, D, A, lam=lam, nonnegative=nonnegative)
    assert computed == pytest.approx(gap, rel=1e-6)


@parametrize(NUMPY, CPU, GPU)
def test_gap_on_every_backend(backend):
    Z, D, A = rounded(backend, *problem(7, 5, 9))
    A = np.abs(A)
    exact = prox.lasso_gap(Z, D, A, lam=0.3)
    with backend.active():
        arrays = [backend.array(a) for a in (Z, D, A)]
        scale = prox.lasso(Z, np.abs(D), A, lam=0.3)
        assert_close(backend, prox.lasso_gap(*arrays, lam=0.3), exact, size=20, scale=scale)
        infinite = prox.lasso_gap(arrays[0], arrays[1], -arrays[2], lam=0.3)
        assert np.isposinf(backend.read(infinite))
        signed = prox.lasso_gap(arrays[0], arrays[1], -arrays[2], lam=0.3, nonnegative=False)
        assert np.isfinite(backend.read(signed))


def test_gap_of_the_zero_code_for_a_large_penalty_is_zero():
    Z, D, A = problem(7, 5, 9)
    lam = 1.01 * np.abs(Z @ D).max()
    assert prox.lasso_gap(Z, D, 0 * A, lam=lam) == 0
    assert prox.lasso_gap(0 * Z, D, 0 * A, lam=lam) == 0
    assert prox.lasso_gap(Z, D, 0 * A, lam=lam / 2, nonnegative=False) > 0


def test_gap_where_no_atom_sees_the_residual():
    Z, D = np.array([[0.0, 2.0]]), np.array([[1.0], [0.0]])
    for nonnegative in (True, False):  # a = 0 is optimal, whatever the penalty
        assert prox.lasso_gap(Z, D, np.zeros((1, 1)), lam=0.3, nonnegative=nonnegative) == 0
    assert prox.lasso_gap(np.array([[-2.0, 0.0]]), D, np.zeros((1, 1)), lam=0.3) == 0


def test_gap_keeps_its_digits_near_the_solution():
    # of size ‖Z‖² = 1e16 · gap, primal less dual would be noise
    Z, D = 1e4 * np.ones((1, 1)), np.ones((1, 1))
    lam, delta = 1e-3, 1e-4
    A = Z - lam + delta
    # ½(1 − s)² r² + (λ − s r)a with r = λ − δ, s = 1 + ... capped by λ/r: exactly ½ δ²
    assert prox.lasso_gap(Z, D, A, lam=lam) == pytest.approx(delta**2 / 2, rel=1e-3, abs=1e-13)


# --- shapes, derivatives, bad input -------------------------------------------------------------------------


@pytest.mark.parametrize("shape", SHAPES)
def test_batched_equals_a_stack_of_singles(shape):
    Z, D, A = problem(*shape)
    Z, A = np.stack([Z, 2 * Z, -Z])[:, None], np.stack([A, 1 - A, A**2])[:, None]
    step = prox.lasso_step(D)

    def same(f):
        stack = np.stack([f(z, a) for z, a in zip(Z[:, 0], A[:, 0], strict=True)])[:, None]
        near(f(Z, A), stack, size=sum(shape), scale=1 + np.abs(stack))

    same(lambda Z, A: prox.ista_step(Z, D, step=step, lam=0.2, code=A))
    same(lambda Z, A: prox.fista(Z, D, lam=0.2, iterations=20))
    same(lambda Z, A: prox.lasso(Z, D, A, lam=0.2))
    same(lambda Z, A: prox.lasso_gap(Z, D, A, lam=0.2, nonnegative=False))
    same(lambda Z, A: prox.lasso_gap(Z, D, np.abs(A), lam=0.2))
    infeasible = np.abs(A) * np.array([1, -1, 1])[:, None, None, None]
    assert np.isinf(prox.lasso_gap(Z, D, infeasible, lam=0.2)).tolist() == [[False], [True], [False]]


def test_derivatives_at_the_threshold_are_torchs():
    torch = pytest.importorskip("torch")
    for ours, theirs in (
        (prox.soft_threshold, torch.nn.functional.softshrink),
        (prox.nonnegative_soft_threshold, lambda a, t: torch.relu(a - t)),
    ):
        a, b = (torch.tensor([[-2.0, -0.5, 0.0, 0.5, 2.0]], requires_grad=True) for _ in range(2))
        ours(a, 0.5).sum().backward()
        theirs(b, 0.5).sum().backward()
        assert torch.equal(a.grad, b.grad)


def test_step_and_penalty_may_be_learned():
    torch = pytest.importorskip("torch")
    Z, D, _ = (torch.tensor(a) for a in problem(7, 5, 5))
    D.requires_grad_()
    step, lam = (torch.tensor(a, dtype=torch.float64, requires_grad=True) for a in (0.3, 0.2))
    after = prox.ista_step(Z, D, step=step, lam=lam)
    after.sum().backward()
    assert lam.grad == pytest.approx(-0.3 * float((after > 0).sum()))
    moved = (Z - Z @ D.T) @ D
    assert step.grad == pytest.approx(float((moved - 0.2)[after > 0].sum().detach()))
    assert torch.isfinite(D.grad).all()
    assert isinstance(prox.lasso_step(D), float)  # a constant, and no warning that a derivative is lost


@pytest.mark.filterwarnings("ignore:.torch.jit")  # torch.func's own
def test_without_values_the_step_is_the_same():
    torch = pytest.importorskip("torch")
    D = problem(7, 5, 9)[1]
    found = torch.func.vmap(prox.lasso_step)(torch.tensor(D)[None])
    assert found.tolist() == pytest.approx([prox.lasso_step(D)], rel=1e-13)


def test_under_jit():
    jax = pytest.importorskip("jax")
    with jax.enable_x64(True):
        Z, D, A = (jax.numpy.asarray(a) for a in problem(7, 5, 9))

        @jax.jit
        def solve(Z, D, A):
            code = prox.fista(Z, D, lam=0.2, iterations=30, code=A)
            return code, prox.lasso_gap(Z, D, code, lam=0.2), prox.lasso_step(D)

        for traced, plain in zip(
            solve(Z, D, A),
            (
                code := prox.fista(Z, D, lam=0.2, iterations=30, code=A),
                prox.lasso_gap(Z, D, code, lam=0.2),
                prox.lasso_step(D),
            ),
            strict=True,
        ):
            np.testing.assert_allclose(traced, plain, rtol=1e-9, atol=1e-12)


Z0, D0, A0 = problem(4, 3, 3)
GOOD = {
    prox.soft_threshold: {"A": A0, "threshold": 0.1},
    prox.nonnegative_soft_threshold: {"A": A0, "threshold": 0.1},
    prox.ista_step: {"Z": Z0, "D": D0, "step": 0.1, "lam": 0.1, "code": A0, "nonnegative": True},
    prox.fista: {"Z": Z0, "D": D0, "lam": 0.1, "iterations": 2, "nonnegative": True, "code": A0},
    prox.lasso: {"Z": Z0, "D": D0, "A": A0, "lam": 0.1},
    prox.lasso_gap: {"Z": Z0, "D": D0, "A": A0, "lam": 0.1, "nonnegative": True},
    prox.lasso_step: {"D": D0},
}
NOT_FINITE = np.where(np.eye(3) > 0, np.nan, 0.0)
BAD = {
    "A": (A0.astype(np.float16), A0.astype(int), A0 * 1j, [[1.0]], np.full((4, 3), np.inf)),
    "Z": (Z0.astype(np.float32), Z0[0], Z0[:0], NOT_FINITE, Z0.tolist()),
    "D": (D0[:2], D0[0], D0.astype(np.float16), NOT_FINITE, np.zeros((3, 0))),
    "code": (A0[:2], A0[:, :2], np.full((4, 3), np.nan), A0.astype(np.float32)),
    "threshold": (-0.1, np.nan, "1", np.ones(2), True, None),
    "step": (0, -0.1, np.inf, "1", np.ones(3), True),
    "lam": (-0.1, np.nan, np.inf, "1", True),
    "iterations": (0, 1.5, True, "1"),
    "nonnegative": (1, "yes", None),
}


def fits(function, value):
    return function is prox.lasso_step and np.shape(value) == (2, 3)


@pytest.mark.parametrize(
    ("function", "name", "value"),
    [(f, name, value) for f, good in GOOD.items() for name in good for value in BAD[name] if not fits(f, value)],
)
def test_bad_input_is_named(function, name, value):
    function(**GOOD[function])
    with pytest.raises((TypeError, ValueError), match=rf"\b{name}\b"):
        function(**(GOOD[function] | {name: value}))


def test_a_zero_or_non_square_dictionary():
    with pytest.raises(ValueError, match=r"^D must not be zero, got a matrix of zeros$"):
        prox.lasso_step(np.zeros((3, 2)))
    with pytest.raises(ValueError, match=r"^code must be given unless D is square, got D of shape \(3, 2\)$"):
        prox.ista_step(Z0, D0[:, :2], step=0.1, lam=0.1)


def test_the_shape_of_a_dictionary_is_shown():
    with pytest.raises(ValueError, match=r"^D must have shape \(d, m\) with no empty axis, got \(3,\)$"):
        prox.lasso_step(np.ones(3))
    with pytest.raises(ValueError, match=r"^D must have shape \(3, m\) with no empty axis, got \(2, 3\)$"):
        prox.lasso(Z0, D0[:2], A0, lam=0.1)


def test_the_gap_needs_a_penalty():
    with pytest.raises(ValueError, match="lam must be > 0"):
        prox.lasso_gap(Z0, D0, A0, lam=0.0)


def test_namespace_is_flat():
    assert srr.prox is prox
    assert set(prox.__all__) <= set(dir(prox))


@pytest.mark.parametrize("scale", [1e-150, 1e150])
def test_lasso_step_of_small_and_large_dictionaries(scale):
    D = np.diag([2.0, 1.0])
    assert prox.lasso_step(scale * D) == pytest.approx(1 / (2 * scale) ** 2, rel=1e-14)


@pytest.mark.parametrize("scale", [1e-320, 1e-160, 1e160, 1e308])
def test_lasso_step_beyond_the_range_is_named(scale):
    with pytest.raises(ValueError, match=rf"^D must keep .* got a norm of {re.escape(repr(scale))}$"):
        prox.lasso_step(scale * np.eye(2))


def test_codes_and_tokens_must_broadcast():
    Z, D, A = np.ones((2, 3, 2)), np.eye(2), np.ones((4, 3, 2))
    calls = {
        "code": [
            lambda: prox.ista_step(Z, D, step=0.1, lam=0.1, code=A),
            lambda: prox.fista(Z, D, lam=0.1, iterations=1, code=A),
        ],
        "A": [lambda: prox.lasso(Z, D, A, lam=0.1), lambda: prox.lasso_gap(Z, D, A, lam=0.1)],
    }
    for name, functions in calls.items():
        for function in functions:
            with pytest.raises(ValueError, match=rf"^batch axes of Z and {name} .* got \(2,\) and \(4,\)$"):
                function()
    assert prox.lasso(Z[:, None], D, A, lam=0.1).shape == (2, 4)
