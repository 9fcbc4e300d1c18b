"""Exact derivatives along a line: against closed forms in rationals, and the calculus they do not use."""

from fractions import Fraction

import numpy as np
import pytest

import srr
from verify.derivatives import partition_rate_along, rate_along, subspace_rate_along


@pytest.mark.parametrize("z", [0.0, 0.5, -3.0])
@pytest.mark.parametrize("eps", [1.0, 0.3])
def test_one_token_in_one_dimension(z, eps):
    alpha = 1 / Fraction(eps) ** 2
    found = rate_along(np.array([[z]]), np.array([[2.0]]), eps=eps)
    z = Fraction(z)
    assert found.first == 2 * alpha * z / (1 + alpha * z**2)
    assert found.second == 4 * alpha * (1 - alpha * z**2) / (1 + alpha * z**2) ** 2


def test_the_constants_are_those_of_each_rate():
    # At zero the second derivative is the constant times the squared norm of the (projected, weighted) direction.
    H = np.array([[1.0, 2.0], [0.0, 1.0], [3.0, 0.0]])
    Z, U = np.zeros((3, 2)), np.array([[[1.0], [0.0]], [[1.0], [0.0]]])
    eps2 = Fraction(0.7) ** 2
    assert rate_along(Z, H, eps=0.7) == (0, Fraction(2, 3) / eps2 * 15)
    assert subspace_rate_along(Z, H, U, eps=0.7) == (0, Fraction(1, 3) / eps2 * 20)
    soft = np.array([[0.25, 0.75], [1.0, 0.0], [0.5, 0.5]])
    assert partition_rate_along(Z, H, soft, eps=0.7) == (0, Fraction(2, 3) / eps2 * 15)


@pytest.mark.parametrize("shape", [(2, 4), (3, 3), (5, 2)])
def test_second_derivative_is_that_of_the_first(shape):
    rng = np.random.default_rng(0)
    Z, H = rng.standard_normal((2, *shape))
    U, Pi = rng.standard_normal((3, shape[1], 2)), rng.multinomial(8, [0.5, 0.5], size=shape[0]) / 8
    h = 2.0**-20
    for along in (
        lambda Z: rate_along(Z, H, eps=0.6),
        lambda Z: subspace_rate_along(Z, H, U, eps=0.6),
        lambda Z: partition_rate_along(Z, H, Pi, eps=0.6),
    ):
        slope = (along(Z + h * H).first - along(Z - h * H).first) / Fraction(2 * h)
        assert float(slope) == pytest.approx(float(along(Z).second), rel=1e-6, abs=1e-6)


def test_parts_and_heads_of_the_whole_are_the_whole():
    rng = np.random.default_rng(1)
    Z, H = rng.standard_normal((2, 4, 3))
    whole = rate_along(Z, H, eps=0.5)
    assert subspace_rate_along(Z, H, np.eye(3)[None], eps=0.5) == whole
    assert partition_rate_along(Z, H, np.eye(2)[[0] * 4], eps=0.5) == whole  # and an empty part counts nothing
    _, gradient = srr.coding_rate_and_gradient(Z, eps=0.5)
    assert float(whole.first) == pytest.approx(np.sum(gradient * H), rel=1e-12)


def test_bad_input():
    Z = np.ones((2, 3))
    with pytest.raises(ValueError, match="H must have shape"):
        rate_along(Z, np.ones((3, 2)), eps=1.0)
    with pytest.raises(ValueError, match="eps must be > 0"):
        rate_along(Z, Z, eps=0.0)
    with pytest.raises(ValueError, match="U must have shape"):
        subspace_rate_along(Z, Z, np.ones((1, 2, 1)), eps=1.0)
    with pytest.raises(ValueError, match="rows that sum to 1"):
        partition_rate_along(Z, Z, np.ones((2, 2)), eps=1.0)
    with pytest.raises(ValueError, match="Z must be finite"):
        rate_along(Z * np.inf, Z, eps=1.0)
