"""The bounds of verified floating point against the formulas they are derived by, with a roundoff large enough to see."""

import math
from fractions import Fraction

import numpy as np
import pytest

from srr import _verified
from srr._verified import Constant, Factor, Known, Stack

UNIT, LOG_ERROR, SAFETY, TINY, LOST, FAINT = 1e-7, 3e-7, 1.25, 1e-6, 2e-6, 3e-6


@pytest.fixture(autouse=True)
def rounding_to_be_seen(monkeypatch):
    for name in ("UNIT", "LOG_ERROR", "SAFETY", "TINY", "LOST", "FAINT"):
        monkeypatch.setattr(_verified, name, globals()[name])


def gamma(m):
    return m * UNIT / (1 - m * UNIT)


def close(found, expected):
    np.testing.assert_allclose(found, expected, rtol=1e-9, atol=0)


def instance(n=7, q=4, c=(3.0, 40.0), s=1e-6, roundings=2):
    """Two matrices side by side, what c multiplies them by, and the errors of their columns."""
    rng = np.random.default_rng(0)
    mantissa, exponent = np.frexp(c)
    return Stack(rng.standard_normal((2, n, q)), Constant(mantissa, exponent), s * rng.random((2, q)), roundings)


def spelled(given):
    """Each matrix, its c, the errors of its columns, h, and LLᵀ = I + cYᵀY."""
    h = SAFETY * gamma(sum(given.Y.shape[-2:]) + 8 + 2 * given.roundings)
    for Y, c, s in zip(given.Y, np.ldexp(*given.c), given.s, strict=True):
        M = np.eye(Y.shape[1]) + c * Y.T @ Y
        yield Y, c, SAFETY * math.sqrt(c) * s, h, M, np.linalg.cholesky(M)


def inverse(L, d, a, h):
    """X, rho and f of the docstring."""
    X, F = np.linalg.inv(L), np.linalg.norm
    delta = SAFETY * (F(X @ L - np.eye(len(L))) + gamma(len(L) + 2) * F(X) * F(L)) + TINY
    v, w = F(np.abs(X) @ d), F(np.abs(X) @ a)
    e = SAFETY * (h * v**2 + 2 * w * v + w**2)
    return X, SAFETY * (2 * delta + delta**2 + e), SAFETY * e / (1 - delta) ** 2


def test_constants_beyond_the_range_of_floats():
    assert _verified.gamma(3) == gamma(3)
    for x in (Fraction(3, 7), Fraction(10) ** 500, 1 / Fraction(10) ** 500, Fraction(2) ** -1100, Fraction(1)):
        found = Constant.of(x)
        assert 0.5 <= found.mantissa <= 2
        assert abs(Fraction(float(found.mantissa)) * Fraction(2) ** int(found.exponent) / x - 1) < Fraction(1, 2**52)


def test_a_stack_is_of_ordinary_size():
    A = np.array([[3.0, 0.0], [1.0, 2.0]])
    Y = np.stack([A, 2.0**300 * A, 2.0**-300 * A, 0 * A, 2.0**98 * A, 2.0**99 * A])
    s = np.zeros((6, 2))
    s[2] = 2.0**-298, 0.0
    found = _verified.stack(Y, Constant(np.full(6, 0.75), np.arange(6)), s, 5)
    shift = np.array([0, 302, -297, 0, 0, 101])
    assert np.array_equal(found.Y, np.ldexp(Y, -shift[:, None, None]))
    assert found.c.mantissa.tolist() == [0.75] * 6
    assert found.c.exponent.tolist() == (np.arange(6) + 2 * shift).tolist()
    assert found.s[2].tolist() == [np.nextafter(0.5, 1), 0]
    assert found.s[[0, 1, 3, 4, 5]].tolist() == np.zeros((5, 2)).tolist()
    assert found.roundings == 5
    one = Constant(np.array(1.0), np.array(0))
    plain = _verified.stack(np.ones((1, 3, 2)), one)
    assert (plain.s.tolist(), plain.roundings) == ([[0, 0]], 0)
    off = _verified.stack(A[None, None], one, np.array([[[0.0, 2.0**200]]]))  # the errors may be the largest
    assert np.array_equal(off.Y[0, 0], np.ldexp(A, -201))


def test_the_factor_and_its_errors():
    given = instance()
    found = _verified.factor(given, np.ldexp(*given.c))
    for i, (_, _, a, h, M, L) in enumerate(spelled(given)):
        close(found.L[i], L)
        close(found.d[i], np.sqrt(np.diag(M)))
        close(found.a[i], a)
        close(found.h, h)


def test_the_inverse_factor_and_what_it_proves():
    given = instance()
    found = _verified.inverse_factor(_verified.factor(given, np.ldexp(*given.c)))
    for i, (_, _, a, h, M, L) in enumerate(spelled(given)):
        X, rho, moved = inverse(L, np.sqrt(np.diag(M)), a, h)
        np.testing.assert_allclose(found.X[i], X, rtol=1e-9, atol=1e-15)
        assert np.array_equal(found.X[i], np.tril(found.X[i]))
        close(found.rho[i], rho)
        close(found.moved[i], moved)


def test_an_inverse_factor_that_is_off_by_too_much_proves_nothing(monkeypatch):
    def of(scale, errors):
        monkeypatch.setattr(_verified._arrays, "inverse_of_triangular", lambda L: scale * np.linalg.inv(L))
        return _verified.inverse_factor(Factor(np.eye(2)[None], np.ones((1, 2)), np.full((1, 2), errors), 1e-3))

    close(of(1.0, 0.1).rho, inverse(np.eye(2), np.ones(2), np.full(2, 0.1), 1e-3)[1])
    assert np.isnan(of(1.0, 1.0).rho)
    assert np.isnan(of(1.0, 1.0).moved)
    assert np.isnan(of(3.0, 0.0).moved)  # a delta above one, the square of whose distance to it is below


@pytest.mark.parametrize("clear", [0.0, np.inf])
@pytest.mark.parametrize("s", [0.0, 1e-6])
def test_the_bound_from_the_factor(clear, s, monkeypatch):
    monkeypatch.setattr(_verified, "CLEAR", clear)
    given = instance(s=s)
    found = _verified._factored(given, np.ldexp(*given.c))
    for i, (_, _, a, h, M, L) in enumerate(spelled(given)):
        q, d, logs = len(L), np.sqrt(np.diag(M)), np.log(np.diag(L))
        phi = h * np.trace(M)
        radius = math.sqrt(q) / 2 * (phi / (1 - phi) + np.linalg.norm(a))
        if clear == 0:
            sharper = -math.log1p(-inverse(L, d, a, h)[2]) / 2
            assert sharper < 0.9 * radius
            radius = sharper
        radius = SAFETY * (radius + (gamma(q) + LOG_ERROR) * np.sum(np.abs(logs))) + TINY
        close(found.lower[i], np.sum(logs) - radius)
        close(found.upper[i], np.sum(logs) + radius)


def test_only_what_is_doubtful_is_sharpened(monkeypatch):
    given = instance()
    c = np.ldexp(*given.c)
    monkeypatch.setattr(_verified, "CLEAR", np.inf)
    free = _verified._factored(given, c)
    monkeypatch.setattr(_verified, "CLEAR", 0.0)
    sharp = _verified._factored(given, c)
    relative = [r / m for r, m in zip(free.radius, free.midpoint, strict=True)]
    monkeypatch.setattr(_verified, "CLEAR", math.sqrt(relative[0] * relative[1]))
    mixed = _verified._factored(given, c)
    doubtful = int(np.argmax(relative))
    assert mixed.upper[doubtful] == sharp.upper[doubtful] < free.upper[doubtful]
    assert mixed.upper[1 - doubtful] == free.upper[1 - doubtful]


@np.errstate(all="ignore")
def test_where_the_factor_proves_nothing(monkeypatch):
    given = instance(c=(1e9, 3.0))
    c = np.ldexp(*given.c)
    assert np.isfinite(_verified._factored(given, c).upper).all()  # however large c is
    off = given._replace(s=given.s + 1.0)
    first = _verified._factored(off, c)
    monkeypatch.setattr(_verified, "CLEAR", np.inf)
    assert np.array_equal(first, _verified._factored(off, c))  # f is above one
    monkeypatch.setattr(_verified, "factor", lambda *_: Factor(np.eye(2)[None], np.ones((1, 2)), np.zeros((1, 2)), h))
    for h in (0.4, 0.5, 0.75, 3.0):
        assert np.isfinite(_verified._factored(instance(q=2), c[:1]).upper[0]) == (h < 0.5)  # φ is below one
    over = Stack(np.full((1, 2, 2), 1e200), Constant(np.array(1.0), np.array(0)), np.zeros((1, 2)), 0)
    found = _verified._factored(over, np.array([1.0]))
    assert (found.lower[0], found.upper[0]) == (-np.inf, np.inf)


def test_stacks_of_stacks_are_stacks():
    given = instance()
    nested = Stack(given.Y[:, None], Constant(*(a[:, None] for a in given.c)), given.s[:, None], given.roundings)
    for one, other in zip(_verified.half_log_det(given), _verified.half_log_det(nested), strict=True):
        assert np.array_equal(one[:, None], other)
    change, both = (Known(A, np.abs(A), 1) for A in (1e-3 * given.Y[:, ::-1], given.Y))
    in_it, in_both = (Known(A.value[:, None], A.size[:, None], 1) for A in (change, both))
    found = _verified.half_log_det_change(given, change, both, given.c)
    assert np.isfinite(found.upper).all()
    for one, other in zip(found, _verified.half_log_det_change(nested, in_it, in_both, nested.c), strict=True):
        assert np.array_equal(one[:, None], other)


@pytest.mark.parametrize("s", [0.0, 0.01])
def test_the_bounds_whatever_the_condition(s):
    given = instance(s=s)
    found = _verified._whatever_the_condition(given, np.ldexp(*given.c))
    for i, (Y, c, s) in enumerate(zip(given.Y, np.ldexp(*given.c), given.s, strict=True)):
        wrong = SAFETY * (gamma(sum(Y.shape) + 8 + 2 * given.roundings) + LOG_ERROR)
        least = np.linalg.norm(Y) - SAFETY * np.linalg.norm(s)
        close(found.lower[i], math.log1p(c * least**2) / 2 * (1 - wrong) - TINY)
        most = np.linalg.norm(Y, axis=0) + SAFETY * s
        close(found.upper[i], np.sum(np.log1p(c * most**2)) / 2 * (1 + wrong) + TINY)


def test_errors_larger_than_the_matrix_leave_no_lower_bound():
    given = instance(s=100.0)
    assert np.all(_verified._whatever_the_condition(given, np.ldexp(*given.c)).lower <= 0)


def test_the_sharper_of_the_bounds():
    given = instance()
    c = np.ldexp(*given.c)
    one, other = _verified._factored(given, c), _verified._whatever_the_condition(given, c)
    found = _verified.half_log_det(given)
    close(found.lower, np.maximum(one.lower, other.lower))
    close(found.upper, np.minimum(one.upper, other.upper))


@pytest.mark.parametrize("exponent", [-901, -900, 600, 601, 5000])
def test_constants_beyond_which_the_bounds_are_widened(exponent, monkeypatch):
    monkeypatch.setattr(_verified, "TINY", 0.0)
    Y = np.random.default_rng(0).standard_normal((1, 3, 2))
    given = Stack(Y, Constant(np.array([0.75]), np.array([exponent])), np.zeros((1, 2)), 0)
    found = _verified.half_log_det(given)
    within = _verified.half_log_det(given._replace(c=Constant(np.array([0.75]), np.clip(given.c.exponent, -900, 600))))
    close(found.upper - within.upper + 1, SAFETY * math.log(2) * max(exponent - 600, 0) + 1)
    assert found.lower == (0 if exponent < -900 else within.lower)


@pytest.mark.parametrize("exponent", [0, 3])
def test_the_bound_on_a_change(exponent):
    given, rng = instance(s=0.0), np.random.default_rng(1)
    change, both = 3e-3 * rng.standard_normal(given.Y.shape), rng.standard_normal(given.Y.shape)
    weight = Constant(np.array([0.5, 0.75]), np.array([exponent, 1]))
    known = [Known(A, 1.5 * np.abs(A), roundings) for A, roundings in ((change, 3), (both, 4))]
    found = _verified.half_log_det_change(given, *known, weight)
    n, q = given.Y.shape[-2:]
    wrong, F = SAFETY * gamma(7 + n + 3 * q + 8), np.linalg.norm
    for i, (_, _, a, h, M, L) in enumerate(spelled(given)):
        X, rho, _ = inverse(L, np.sqrt(np.diag(M)), a, h)
        w = float(np.ldexp(weight.mantissa[i], weight.exponent[i]))
        D, T, sizes = X @ change[i].T, X @ both[i].T, [np.abs(X) @ k.size[i].T for k in known]
        size = F(D @ T.T + T @ D.T) / 2
        off = SAFETY * (wrong * F(sizes[0]) * F(sizes[1]) + gamma(q * q + 4) * size) + LOST
        trace, least, kappa = w * np.sum(D * T), w * max(size - off, 0) / (1 + rho), w * (size + off) / (1 - rho)
        rounding = wrong * w * np.sum(sizes[0] * sizes[1]) + 8 * UNIT * (abs(trace) + kappa**2)
        radius = SAFETY * (rounding + rho * kappa + kappa**3 / (3 * (1 - kappa))) + FAINT
        close(found.lower[i], (trace - kappa**2 / 2 - radius) / 2)
        close(found.upper[i], (trace - least**2 / 2 + radius) / 2)
        assert least > 0.5 * kappa


@pytest.mark.parametrize(("c", "weight"), [(200, 200), (201, 0), (-201, 0), (-200, 0), (0, 201)])
def test_changes_of_constants_that_are_not_modest_are_not_bounded(c, weight, monkeypatch):
    monkeypatch.setattr(_verified, "LOST", 0.0)
    A = np.array([[[1.0]]])
    given = Stack(A, Constant(np.array([0.5]), np.array([c])), np.zeros((1, 1)), 0)
    nothing = Known(0 * A, 0 * A, 1)
    found = _verified.half_log_det_change(given, nothing, nothing, Constant(np.array([0.5]), np.array([weight])))
    modest = abs(c) <= 200 and weight <= 200
    assert np.isfinite(found.lower).all() == np.isfinite(found.upper).all() == modest
    large = Known(A, A, 1)
    one = Constant(np.array([1.0]), np.array([0]))
    assert np.isinf(_verified.half_log_det_change(given._replace(c=one), large, Known(3 * A, 3 * A, 1), one).upper).all()
