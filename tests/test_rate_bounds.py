"""The bounds on the error of a rate, and the reports that carry them."""

import numpy as np
import pytest
from exact_rates import every_rate
from families import Tokens

from srr import rates
from srr._arrays import quiet


@every_rate
def test_a_value_alone_costs_no_gradient(rate, monkeypatch):
    monkeypatch.setattr("srr._autodiff.half_logdet_and_gradient", None)
    t = Tokens(n=5, d=4, rank=4)
    value, _, _ = rate.value(t.Z, **rate.arguments(t), eps=t.eps, report=True)
    assert rate.value(t.Z, **rate.arguments(t), eps=t.eps) == value


@pytest.mark.parametrize("shape", [(5, 3), (3, 5)])
def test_the_bound_of_the_cholesky_route_is_the_one_derived(shape):
    """γ tr M / 2F, sharpened to γ Σ M_ii (M⁻¹)_ii / 2F where asked, and the larger of two with the gradient."""
    from srr import _logdet

    n, q = shape
    A, root = np.random.default_rng(0).standard_normal((3, n, q)) * np.array([0.01, 1.0, 30.0])[:, None, None], 0.7
    small = np.swapaxes(A, -1, -2) @ A if q <= n else A @ np.swapaxes(A, -1, -2)
    M = np.eye(min(shape)) + root**2 * small
    X, F, u = np.linalg.inv(M), np.linalg.slogdet(M)[1] / 2, 2.0**-53
    gamma, rounding = 4 * np.sqrt(n + q) * u, (4 + np.sqrt(min(shape))) * u
    diagonal = np.diagonal(M, axis1=1, axis2=2)
    spread = np.sum(diagonal * np.diagonal(X, axis1=1, axis2=2), axis=1)
    turn = np.sum(diagonal * np.sum(X**2, axis=2), axis=1)

    plain = gamma * diagonal.sum(1) / (2 * F) + rounding
    sharper = gamma * spread / (2 * F) + rounding
    near = {"rtol": 1e-9}
    found = _logdet._cholesky_route(A, root, False, 1.0)
    np.testing.assert_allclose(found.error_bound, plain, **near)
    accept = np.sort(plain)[1]  # all that are above are doubtful, and sharpened
    found = _logdet._cholesky_route(A, root, False, float(accept))
    np.testing.assert_allclose(found.error_bound, np.where(plain > accept, sharper, plain), **near)
    found = _logdet._cholesky_route(A, root, True, 1.0)
    of_gradient = root * gamma * np.sqrt(spread * turn) / np.linalg.norm(found.gradient, axis=(1, 2)) + rounding
    np.testing.assert_allclose(found.error_bound, np.maximum(sharper, of_gradient), **near)
    assert found.used_svd.dtype == bool


@pytest.mark.parametrize(("n", "d", "p"), [(2, 6, 3), (7, 5, 3)])
def test_the_bound_of_the_subspace_rate_adds_the_rounding_of_the_projections(n, d, p):
    """q log(1 + δ/√q), δ = 4√d u x, x = √β‖U_k‖‖Z‖: at least once x is √q/2, and 2x/√q of it where x is less."""
    Z, U = Tokens(n=n, d=d, rank=2).Z, Tokens(n=n, d=d, rank=2).bases(2, p, "any")
    q, u = min(n, p), 2.0**-53
    for eps in (1e-6, 0.5, 1e3, 1e10):
        found = rates.subspace_coding_rate(Z, U, eps=eps, method="svd", report=True)
        factored = rates._factored(np.stack([Z @ basis for basis in U]), np.sqrt(p / n) / eps, "svd")[2]
        x = np.sqrt(p / n) / eps * np.linalg.norm(U, axis=(1, 2)) * np.linalg.norm(Z)
        projections = q * np.log1p(4 * np.sqrt(d / q) * u * x) * np.minimum(1, 2 * x / np.sqrt(q))
        np.testing.assert_allclose(found.error_bound * found.value, np.sum(factored + projections), rtol=1e-6)


def test_the_report_of_a_reduction_adds_the_errors_of_its_parts():
    t = Tokens(n=6, d=4, rank=4, eps=0.5)
    Z = np.stack([t.Z, 2 * t.Z])
    Pi = np.eye(3)[np.arange(6) % 3]
    whole = rates.coding_rate(Z, eps=t.eps, method="svd", report=True)
    parts = rates.partition_coding_rate(Z, Pi, eps=t.eps, method="svd", report=True)
    both = rates.rate_reduction(Z, Pi=Pi, eps=t.eps, method="svd", report=True)
    np.testing.assert_allclose(both.value, whole.value - parts.value)
    errors = whole.error_bound * whole.value + parts.error_bound * parts.value
    np.testing.assert_allclose(both.error_bound * abs(both.value), errors)
    assert both.used_svd.all()
    assert both.used_svd.shape == (2, 1 + parts.used_svd.shape[-1])
    for of in ({"Pi": Pi}, {"U": t.bases(2, 2)}):
        for method, used in (("cholesky", False), ("svd", True)):
            assert (rates.rate_reduction(Z, **of, eps=t.eps, method=method, report=True).used_svd == used).all()


def test_a_reduction_warns_where_its_parts_together_are_imprecise(monkeypatch):
    told = []
    monkeypatch.setattr(rates._logdet, "warn_where_imprecise", lambda *given: told.append(given))
    t = Tokens(n=6, d=4, rank=4)
    Z, Pi = t.Z, t.memberships(3)
    rates.rate_reduction(Z, Pi=Pi, eps=t.eps)
    whole, parts = (
        rates.coding_rate(Z, eps=t.eps, report=True),
        rates.partition_coding_rate(Z, Pi, eps=t.eps, report=True),
    )
    errors = [report.error_bound * report.value for report in (whole, parts)]
    ((value, error),) = told
    np.testing.assert_allclose(value, whole.value + parts.value)
    np.testing.assert_allclose(error, sum(errors))


def test_what_is_no_number_is_known_to_no_digit():
    assert rates.reported(np.array(1.0), np.array(True), np.array(np.nan)).error_bound == np.inf


def test_norms_of_any_sizes_side_by_side():
    sizes, A = np.array([1e-200, 1.0, 1e200]), np.array([[3.0, 0.0], [0.0, 4.0]])
    np.testing.assert_allclose(rates._log_norm(sizes[:, None, None] * A), np.log(5) + np.log(sizes))


def test_a_singular_value_of_minus_zero_is_zero():
    """LAPACK returns such ones."""
    from srr import _logdet

    with quiet():
        term, slope = _logdet._of_singular_values(np.array([-0.0, 0.0, 1.0]), 2.0, np.array([1.0]))
    assert np.array_equal(term[:2], [0, 0])
    assert np.array_equal(slope[:2], [0, 0])
    assert slope[2] == pytest.approx(2 * 2 / 5)
