"""The factorisation under every rate: where a factor is sound, and its derivatives against differences and formulas."""

import numpy as np
import pytest

from srr import _logdet

SHAPES = [(5, 3), (3, 5), (4, 4)]
ROOT = 0.7


def instance(n, q, seed=0):
    """Two matrices side by side, with weights some of which are zero."""
    rng = np.random.default_rng(seed)
    w = rng.random((2, n))
    w[:, 0] = 0
    return rng.standard_normal((2, n, q)), w


def gradient(A, w):
    """c B M⁻¹ by an inverse."""
    B = w[..., None] * A
    return ROOT**2 * B @ np.linalg.inv(np.eye(A.shape[-1]) + ROOT**2 * np.swapaxes(A, -1, -2) @ B)


def weight_gradient(A, w):
    """½ c a_jᵀ M⁻¹ a_j by an inverse."""
    M = np.eye(A.shape[-1]) + ROOT**2 * np.swapaxes(A, -1, -2) @ (w[..., None] * A)
    return ROOT**2 / 2 * np.sum(A @ np.linalg.inv(M) * A, axis=-1)


@pytest.mark.parametrize("shape", SHAPES)
def test_value_and_gradient_by_every_route(shape):
    A, _ = instance(*shape)
    M = np.eye(shape[1]) + ROOT**2 * np.swapaxes(A, -1, -2) @ A
    for method in ("auto", "svd", "cholesky"):
        found = _logdet.half_logdet(A, ROOT, method=method, gradient=True)
        np.testing.assert_allclose(found.value, np.linalg.slogdet(M)[1] / 2, rtol=1e-13)
        np.testing.assert_allclose(found.gradient, gradient(A, np.ones(A.shape[:2])), atol=1e-13)
        assert _logdet.half_logdet(A, ROOT, method=method).gradient is None


@pytest.mark.parametrize("shape", SHAPES)
def test_first_derivatives_are_their_formulas(shape):
    A, w = instance(*shape)
    np.testing.assert_allclose(_logdet.gradient_by_solve(A, w, ROOT), gradient(A, w), atol=1e-13)
    plain = _logdet.gradient_by_solve(A, None, ROOT)
    np.testing.assert_allclose(plain, gradient(A, np.ones_like(w)), atol=1e-13)
    for f in (_logdet.weight_gradient_by_solve, _logdet.weight_gradient):
        np.testing.assert_allclose(f(A, w, ROOT), weight_gradient(A, w), rtol=1e-12)


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("moved", ["A", "w", "A and w", "A, no weights"])
def test_second_derivatives_are_differences_of_the_first(shape, moved):
    (A, w), (dA, dw), h = instance(*shape), instance(*shape, seed=1), 1e-5
    dA, dw = dA if "A" in moved else None, dw - 0.5 if moved.endswith("w") else None
    w = None if moved == "A, no weights" else w

    def at(t):
        return A if dA is None else A + t * dA, w if dw is None else w + t * dw

    for change, first in (
        (_logdet.change_of_gradient, _logdet.gradient_by_solve),
        (_logdet.change_of_weight_gradient, _logdet.weight_gradient_by_solve),
    ):
        found = change(A, w, ROOT, dA, dw)
        single = change(*(a if a is None or a is ROOT else a.astype(np.float32) for a in (A, w, ROOT, dA, dw)))
        assert single.dtype == np.float32
        difference = (first(*at(h), ROOT) - first(*at(-h), ROOT)) / (2 * h)
        np.testing.assert_allclose(found, difference, rtol=1e-7, atol=1e-8)
        assert np.abs(found).max() > 1e-2


@pytest.mark.parametrize("shape", SHAPES)
def test_the_smaller_system_is_solved(shape, monkeypatch):
    A, _ = instance(*shape)
    few = shape[0] < shape[1]
    expected = _logdet.gradient_by_solve(A, None, ROOT), _logdet.change_of_gradient(A, None, ROOT, A, None)
    monkeypatch.setattr(_logdet, "_system" if few else "_token_system", None)
    found = _logdet.gradient_by_solve(A, None, ROOT), _logdet.change_of_gradient(A, None, ROOT, A, None)
    assert all(map(np.array_equal, found, expected))


def test_what_rounding_leaves_beside_the_span_does_not_count(monkeypatch):
    """4 √((n+q)q) u of a row's largest entry."""
    monkeypatch.setattr(_logdet._arrays, "unit_roundoff", lambda A: 1e-3)
    limit = 4 * np.sqrt((3 + 5) * 5) * 1e-3
    for b, counts in ((0.99 * limit, False), (1.01 * limit, True)):
        A = np.zeros((2, 3, 5))
        A[:, :2, 0] = np.array([[1.0], [900.0]])
        A[:, 1, 4] = b, 900 * b
        A[0, 2, 0] = 50.0
        found = _logdet.weight_gradient(A, np.array([[1.0, 0.0, 0.0]] * 2), 2.0)
        for row, scale in zip(found, (1.0, 900.0), strict=True):
            expected = (scale**2 / (1 + 4 * scale**2) + (b * scale) ** 2 * counts) * 2
            assert row[1] == pytest.approx(expected, rel=1e-12)


def test_a_weight_may_be_zero_at_tokens_of_any_size():
    A = np.array([[[1e200, 0.0]], [[1e-200, 0.0]]])
    found = _logdet.weight_gradient(A, np.array([[1e-300], [1.0]]), 1e-100)
    np.testing.assert_allclose(found[:, 0], [0.5e200 / (1 + 1e-100), 0.0], rtol=1e-12)
    far_apart = np.array([[[1e80]], [[1e-250]]])
    np.testing.assert_allclose(_logdet.weight_gradient(far_apart, np.ones((2, 1)), 1e250)[:, 0], [0.5, 0.25])


def test_tokens_of_any_sizes_side_by_side():
    A = np.array([1e-200, 1e200, 0.0])[:, None, None] * np.eye(3)
    found = _logdet.half_logdet(A, 1e200, method="svd")
    np.testing.assert_allclose(found.value, [1.5 * np.log(2), 1200 * np.log(10), 0], rtol=1e-14)
    nothing = _logdet.half_logdet(0 * A, 1.0, method="cholesky")
    assert nothing.error_bound.tolist() == [0, 0, 0]


@pytest.mark.parametrize("size", [1, 2])
def test_a_factor_is_sound_where_no_pivot_is_lost(size, monkeypatch):
    """Pivots squared above 8 size u of the diagonal, of every matrix for itself."""
    least = 8 * size * 2.0**-53
    pivots = np.sqrt(least * np.array([0.999, 1.001, 1.0]))[:, None] * np.ones(size)
    pivots[:, 1:] = 0.5
    if size == 1:
        pivots[2] = 2.0**-25  # on the edge, exactly
    monkeypatch.setattr(_logdet._arrays, "cholesky", lambda M: M * (pivots / 4)[..., None])
    A = np.sqrt(3) * np.broadcast_to(np.eye(size), (3, size, size))  # the diagonal is 4
    found = _logdet._cholesky_route(A, 1.0, False, np.inf)
    edge = [True] if size == 1 else []
    assert np.isinf(found.error_bound)[: 2 + len(edge)].tolist() == [True, True, *edge]
    monkeypatch.setattr(_logdet._arrays, "cholesky", lambda M: M * pivots[..., None])
    found = _logdet._cholesky_route(0 * A, 1.0, False, np.inf)  # and is one
    assert np.isinf(found.error_bound)[: 2 + len(edge)].tolist() == [True, False, *edge]


def test_the_fast_route_asks_no_value_that_cannot_be_read():
    jax = pytest.importorskip("jax")
    A = np.random.default_rng(0).standard_normal((3, 5, 2)).astype(np.float32)
    found = jax.vmap(lambda A: _logdet.half_logdet(A, 0.5, method="cholesky").value)(jax.numpy.asarray(A))
    np.testing.assert_allclose(found, _logdet.half_logdet(A, 0.5, method="svd").value, rtol=1e-6)
