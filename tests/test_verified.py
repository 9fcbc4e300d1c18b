"""Verified floating point against the formulas it is derived by, with a roundoff large enough to see."""

import math
from fractions import Fraction

import numpy as np
import pytest

from srr import _verified, enclosure
from srr._intervals import Enclosure
from srr._verified import Constant, Factor, Known, Stack
from srr.streaming import Moments

UNIT, LOG_ERROR, SAFETY, TINY, LOST, FAINT, VANISHED = 1e-7, 3e-7, 1.25, 1e-6, 2e-6, 3e-6, 4e-6


@pytest.fixture(autouse=True)
def rounding_to_be_seen(monkeypatch):
    for name in ("UNIT", "LOG_ERROR", "SAFETY", "TINY", "LOST", "FAINT"):
        monkeypatch.setattr(_verified, name, globals()[name])
    for name in ("SAFETY", "LOST", "VANISHED"):
        monkeypatch.setattr(enclosure, name, globals()[name])


def gamma(m):
    return m * UNIT / (1 - m * UNIT)


def close(found, expected, rtol=1e-9):
    np.testing.assert_allclose(found, expected, rtol=rtol, atol=0)


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


def factored(given, c):
    return _verified._factored(_verified.factor(given, c))


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


@np.errstate(all="ignore")
@pytest.mark.parametrize(("scale", "small"), [(1.0, True), (1.3, True), (1.8, False), (2.1, False), (9.0, False)])
def test_an_inverse_factor_that_is_off_by_too_much_proves_nothing(scale, small, monkeypatch):
    """Not, either, where the distance of delta to one is again below one."""
    monkeypatch.setattr(_verified._arrays, "inverse_of_triangular", lambda L: scale * np.linalg.inv(L))
    given = instance(n=3, q=2, c=(1.0, 2.0), s=0.0)
    for i, (_, _, a, h, M, L) in enumerate(spelled(given)):
        found = _verified.inverse_factor(Factor(L[None], np.sqrt(np.diag(M))[None], a[None], h))
        assert (found.moved[0] < 1) == small, i


@pytest.mark.parametrize("clear", [0.0, np.inf])
@pytest.mark.parametrize("s", [0.0, 1e-6])
def test_the_bound_from_the_factor(clear, s, monkeypatch):
    monkeypatch.setattr(_verified, "CLEAR", clear)
    given = instance(s=s)
    found = factored(given, np.ldexp(*given.c))
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
    free = factored(given, c)
    monkeypatch.setattr(_verified, "CLEAR", 0.0)
    sharp = factored(given, c)
    relative = [r / m for r, m in zip(free.radius, free.midpoint, strict=True)]
    monkeypatch.setattr(_verified, "CLEAR", math.sqrt(relative[0] * relative[1]))
    mixed = factored(given, c)
    doubtful = int(np.argmax(relative))
    assert mixed.upper[doubtful] == sharp.upper[doubtful] < free.upper[doubtful]
    assert mixed.upper[1 - doubtful] == free.upper[1 - doubtful]


@np.errstate(all="ignore")
def test_where_the_factor_proves_nothing(monkeypatch):
    given = instance(c=(1e9, 3.0))
    c = np.ldexp(*given.c)
    assert np.isfinite(factored(given, c).upper).all()  # however large c is
    off = given._replace(s=given.s + 1.0)
    first = factored(off, c)
    monkeypatch.setattr(_verified, "CLEAR", np.inf)
    assert np.array_equal(first, factored(off, c))  # f is above one
    monkeypatch.setattr(_verified, "factor", lambda *_: Factor(np.eye(2)[None], np.ones((1, 2)), np.zeros((1, 2)), h))
    for h in (0.4, 0.5, 0.75, 3.0):
        assert np.isfinite(factored(instance(q=2), c[:1]).upper[0]) == (h < 0.5)  # φ is below one
    over = Stack(np.full((1, 2, 2), 1e200), Constant(np.array(1.0), np.array(0)), np.zeros((1, 2)), 0)
    found = factored(over, np.array([1.0]))
    assert (found.lower[0], found.upper[0]) == (-np.inf, np.inf)


def test_stacks_of_stacks_are_stacks():
    given = instance()
    nested = Stack(given.Y[:, None], Constant(*(a[:, None] for a in given.c)), given.s[:, None], given.roundings)
    for f in (factored, _verified._whatever_the_condition):
        for one, other in zip(*(f(a, np.ldexp(*a.c)) for a in (given, nested)), strict=True):
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
    one, other = factored(given, c), _verified._whatever_the_condition(given, c)
    found = _verified.half_log_det(given)
    close(found.lower, np.maximum(one.lower, other.lower))
    close(found.upper, np.minimum(one.upper, other.upper))


def test_the_bounds_from_a_gram_matrix(monkeypatch):
    """In one matrix a column is zero, whose square rounding made negative, and another's norm is not known well."""
    given, roundings, lost = instance(), 6, np.array([2e-5, 1e-6])
    given.Y[0, :, 1] = 0
    S, t = np.swapaxes(given.Y, -1, -2) @ given.Y, np.linalg.norm(given.Y, axis=1)
    S[0, 1, 1], t[0, 1], t[0, 2] = -1e-5, 1e-4, 3 * t[0, 2]
    told = []

    def nothing(found):
        told.append(found)
        return Enclosure(np.full(2, -np.inf), np.full(2, np.inf))

    monkeypatch.setattr(_verified, "_factored", nothing)
    found = _verified.half_log_det_of_gram(S, given.c, t, roundings, lost)
    ((L, d, a, h),) = told
    c, q = np.ldexp(*given.c), 4
    close(h, SAFETY * (gamma(roundings + q + 8) + np.max(c * lost)))
    assert not a.any()
    wrong = SAFETY * (gamma(q + 8) + LOG_ERROR)
    for i in range(2):
        M, squares = np.eye(q) + c[i] * S[i], np.diag(S[i])
        close(L[i], np.linalg.cholesky(M))
        close(d[i], np.maximum(np.sqrt(np.maximum(np.diag(M), 1)), SAFETY * math.sqrt(c[i]) * t[i]))
        off = SAFETY * (gamma(roundings + 4) * t[i] ** 2 + lost[i])
        least = np.sum(np.maximum(squares - off, 0))
        close(found.lower[i], math.log1p(c[i] * least) / 2 * (1 - wrong) - TINY)
        close(found.upper[i], np.sum(np.log1p(c[i] * (np.maximum(squares, 0) + off))) / 2 * (1 + wrong) + TINY)


@pytest.mark.parametrize("exponent", [-901, -900, 600, 601, 5000])
def test_constants_beyond_which_the_bounds_are_widened(exponent, monkeypatch):
    monkeypatch.setattr(_verified, "TINY", 0.0)
    Y = np.random.default_rng(0).standard_normal((1, 3, 2))
    given = Stack(Y, Constant(np.array([0.75]), np.array([exponent])), np.zeros((1, 2)), 0)
    found = _verified.half_log_det(given)
    within = _verified.half_log_det(given._replace(c=Constant(np.array([0.75]), np.clip(given.c.exponent, -900, 600))))
    close(found.upper - within.upper + 1, SAFETY * math.log(2) * max(exponent - 600, 0) + 1)
    assert found.lower == (0 if exponent < -900 else within.lower)

    S, t = np.swapaxes(Y, -1, -2) @ Y, np.linalg.norm(Y, axis=1)
    found = _verified.half_log_det_of_gram(S, given.c, t, 1, np.zeros(1))
    clipped = Constant(given.c.mantissa, np.clip(given.c.exponent, -900, 600))
    within = _verified.half_log_det_of_gram(S, clipped, t, 1, np.zeros(1))
    close(found.upper - within.upper + 1, SAFETY * math.log(2) * max(exponent - 600, 0) + 1)
    assert within.lower > 0
    assert found.lower == (0 if exponent < -900 else within.lower)


@pytest.mark.parametrize("exponent", [0, 3])
@pytest.mark.parametrize("step", [3e-3, 1e-9])
def test_the_bound_on_a_change(step, exponent):
    given, rng = instance(s=0.0), np.random.default_rng(1)
    change, both = step * rng.standard_normal(given.Y.shape), rng.standard_normal(given.Y.shape)
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
        close(found.lower[i], (trace - kappa**2 / 2 - radius) / 2, rtol=1e-12)
        close(found.upper[i], (trace - least**2 / 2 + radius) / 2, rtol=1e-12)
        assert least > 0.5 * kappa if step > 1e-6 else least == 0


@pytest.mark.parametrize(("c", "weight"), [(200, 200), (201, 0), (-201, 0), (-200, 0), (0, 201)])
def test_changes_of_constants_that_are_not_modest_are_not_bounded(c, weight, monkeypatch):
    monkeypatch.setattr(_verified, "LOST", 0.0)
    A = np.array([[[1.0]]])
    given = Stack(A, Constant(np.array([0.5]), np.array([c])), np.zeros((1, 1)), 0)
    nothing = Known(0 * A, 0 * A, 1)
    found = _verified.half_log_det_change(given, nothing, nothing, Constant(np.array([0.5]), np.array([weight])))
    modest = abs(c) <= 200 and weight <= 200
    assert np.isfinite(found.lower).all() == np.isfinite(found.upper).all() == modest


def test_changes_that_are_not_small_are_not_bounded(monkeypatch):
    A, one = np.array([[[1.0]]]), Constant(np.array([1.0]), np.array([0]))
    given, nothing = Stack(A, one, np.zeros((1, 1)), 0), Known(0 * A, 0 * A, 1)
    assert np.isinf(_verified.half_log_det_change(given, Known(A, A, 1), Known(3 * A, 3 * A, 1), one).upper).all()
    monkeypatch.setattr(_verified, "LOST", 1e-3)
    for scale, small in ((1.1, True), (1.9, False), (3.0, False)):  # rho is between one and two, and beyond
        monkeypatch.setattr(_verified._arrays, "inverse_of_triangular", lambda L, scale=scale: scale * np.linalg.inv(L))
        found = _verified.half_log_det_change(given, nothing, nothing, one)
        assert np.isfinite(found.upper).all() == small


# --- what is made of them -----------------------------------------------------------------------------------------


def scaled(A):
    """A at ordinary size, and its exponent if it was not of that."""
    exponent = int(np.frexp(np.abs(A).max())[1])
    return (np.ldexp(A, -exponent), exponent) if abs(exponent) > 100 else (A, 0)


def taller(A):
    return A.T if len(A) < len(A.T) else A


def of_a_matrix(given, i, k=()):
    """Y, mantissa and exponent of c, and s of matrix i, or of its head k."""
    at = (i, *k)
    return given.Y[at], np.broadcast_to(given.c.mantissa, given.s.shape[:-1])[at], given.c.exponent[at], given.s[at]


@pytest.mark.parametrize("size", [1.0, 2.0**150, 2.0**-150])
@pytest.mark.parametrize("n", [2, 3, 7])
def test_projections_and_their_errors(n, size):
    rng = np.random.default_rng(0)
    Z, U = np.array([1.0, size])[:, None, None] * rng.standard_normal((2, n, 5)), rng.standard_normal((4, 5, 3)) / size
    given = enclosure._heads(Z, enclosure._Bases.of(U), Constant(np.array(0.75), np.array(3)))
    assert given.roundings == 0
    bases, down = scaled(U)
    for i in range(2):
        tokens, up = scaled(Z[i])
        for k in range(4):
            Y, mantissa, exponent, s = of_a_matrix(given, i, (k,))
            close(Y, taller(tokens @ bases[k]))
            assert (mantissa, exponent) == (0.75, 3 + 2 * (up + down))
            of_tokens, of_atoms = (np.linalg.norm(A, axis=a) for A, a in ((tokens, 1), (bases[k], 0)))
            sizes = of_tokens * np.linalg.norm(of_atoms) if n < 3 else np.linalg.norm(of_tokens) * of_atoms
            close(s, SAFETY * gamma(5) * sizes + LOST)


def handed_over(monkeypatch, f, *given, **options):
    """What a rate of streamed tokens asks the bounds from a Gram matrix for."""
    told = []

    def nothing(*asked):
        told.append(asked)
        return Enclosure(np.zeros(asked[0].shape[:-2]), np.zeros(asked[0].shape[:-2]))

    monkeypatch.setattr(enclosure, "half_log_det_of_gram", nothing)
    f(*given, **options)
    (asked,) = told
    return asked


def ordinary(S):
    """S at ordinary size, the half of the exponent taken off, and what underflow takes from it, as an exponent."""
    shift = (int(np.frexp(S.max())[1])) // 2
    shift = 0 if abs(shift) <= 100 else shift
    return np.ldexp(S, -2 * shift), shift, -1074 - min(2 * shift, 0)


def second_moments(largest):
    """S of seven tokens, one coordinate of which is zero in all of them, with that entry as its largest."""
    A = np.random.default_rng(0).standard_normal((7, 3))
    A[:, 2] = 0
    S = A.T @ A
    S = np.ldexp(S / S.max(), largest)
    return Moments(7, "gram", (S + S.T) / 2, 5)


@pytest.mark.parametrize("largest", [0, 199, 200, 202, -300])
def test_what_is_known_of_streamed_tokens(largest, monkeypatch):
    """S stays as it is up to a square of 2^200, exclusive; beyond, and far below, a power of four is taken off."""
    Z = second_moments(largest)
    S, c, t, roundings, lost = handed_over(monkeypatch, enclosure.streamed_coding_rate, Z, eps=0.5)
    expected, shift, exponent = ordinary(Z.matrix)
    assert (shift == 0) == (largest in (0, 199, 200))
    assert np.array_equal(S, expected)
    close(np.ldexp(c.mantissa, c.exponent - 2 * shift), 3 / (7 * 0.5**2))
    assert lost == math.ldexp(10, exponent)
    close(t, SAFETY * (np.sqrt(np.diag(expected)) + math.sqrt(math.ldexp(10, exponent))))
    assert t[2] > 0
    assert roundings == 5 + 2


@pytest.mark.parametrize(("largest", "of_head"), [(160, 100), (160, 101), (160, 130), (202, 1), (-300, 1)])
def test_what_is_known_of_streamed_tokens_in_heads(largest, of_head, monkeypatch):
    """A head stays as it is up to tokens of size 2^100, exclusive; beyond, a power of four of its own is taken off."""
    Z = second_moments(largest)
    S, shift, exponent = ordinary(Z.matrix)
    t = SAFETY * (np.sqrt(np.diag(S)) + math.sqrt(math.ldexp(10, exponent)))
    U = np.random.default_rng(1).standard_normal((2, 3, 3)) / t.max()
    U[0] *= 1e-5
    U[1] = np.ldexp(U[1], of_head - np.frexp(np.max(SAFETY * t @ np.abs(U[1]) + LOST))[1])
    asked = handed_over(monkeypatch, enclosure.streamed_subspace_coding_rate, Z, U, eps=0.5)
    heads, c, sizes, roundings, lost = asked
    for k, large in enumerate((0, of_head if of_head > 100 else 0)):
        H = U[k].T @ (S @ U[k])
        assert np.array_equal(heads[0, k], np.ldexp((H + H.T) / 2, -2 * large))
        close(np.ldexp(c.mantissa, c.exponent[k] - 2 * (shift + large)), 3 / (7 * 0.5**2))
        close(sizes[0, k], np.ldexp(SAFETY * t @ np.abs(U[k]) + LOST, -large))
        of_bases = 2 * (100 + 2 + 2)
        assert lost[0, k] == math.ldexp(10, max(exponent + of_bases - 2 * large, -1074))
    assert roundings == 5 + 2 * 3 + 6


@pytest.mark.parametrize("size", [1.0, 2.0**150])
@pytest.mark.parametrize("n", [2, 3, 7])
def test_the_tokens_of_a_part(n, size):
    rng = np.random.default_rng(0)
    Z, pi = size * rng.standard_normal((n, 3)), rng.random(n)
    tokens, up = scaled(Z)
    given = enclosure._part(Z, pi, Fraction(1, 3))
    close(given.Y, taller(np.sqrt(pi)[:, None] * tokens))
    assert given.s.tolist() == [VANISHED] * min(n, 3)
    assert given.roundings == 4
    close(np.ldexp(given.c.mantissa, given.c.exponent - 2 * up), 3 * 9 / np.sum(pi))


def of_step(Z, after):
    """The parts of a step at ordinary size, and the exponents to be taken off them and off their change beyond."""
    up = max(scaled(Z)[1], scaled(after)[1])
    old, new = np.ldexp(Z, -up), np.ldexp(after, -up)
    smaller = int(np.frexp(np.abs(new - old).max())[1])
    return old, np.ldexp(new - old, -smaller), old + new, up, smaller


@pytest.fixture
def told(monkeypatch):
    """What is handed to the bound on a change."""
    given = []

    def half_log_det_change(*arguments):
        given.append(arguments)
        return Enclosure(np.zeros(arguments[0].Y.shape[:-2]), np.ones(arguments[0].Y.shape[:-2]))

    monkeypatch.setattr(enclosure, "half_log_det_change", half_log_det_change)
    return given


BETA = Constant(np.array(0.75), np.array(3))
STEPS = [(n, size) for n in (2, 3, 7) for size in (1.0, 2.0**150)]


def step_of(n, size):
    rng = np.random.default_rng(0)
    Z = np.array([1.0, size])[:, None, None] * rng.standard_normal((2, n, 3))
    return Z, Z + 1e-3 * rng.standard_normal(Z.shape) * np.array([1.0, 8 * size])[:, None, None]


def known(found, value, size, roundings):
    close(found.value, value)
    close(found.size, size)
    assert found.roundings == roundings


@pytest.mark.parametrize(("n", "size"), STEPS)
def test_a_change_of_tokens(n, size, told):
    Z, after = step_of(n, size)
    enclosure._tokens_change(enclosure._Step.of(Z, after), BETA)
    ((given, change, both, weight),) = told
    for i in range(2):
        old, moved, total, up, smaller = of_step(Z[i], after[i])
        Y, mantissa, exponent, s = of_a_matrix(given, i)
        close(Y, taller(old))
        assert (mantissa, exponent, weight.mantissa, weight.exponent[i]) == (
            0.75,
            3 + 2 * up,
            0.75,
            3 + 2 * up + smaller,
        )
        assert not s.any()
        for found, A in ((change, taller(moved)), (both, taller(total))):
            known(Known(found.value[i], found.size[i], found.roundings), A, np.abs(A), 1)


@pytest.mark.parametrize(("n", "size"), STEPS)
def test_a_change_of_projections(n, size, told):
    Z, after = step_of(n, size)
    U = np.random.default_rng(1).standard_normal((4, 3, 3)) / size
    U[0] *= 2
    bases, down = scaled(U)
    enclosure._heads_change(enclosure._Step.of(Z, after), enclosure._Bases.of(U), BETA)
    ((given, change, both, weight),) = told
    for i in range(2):
        old, moved, total, up, smaller = of_step(Z[i], after[i])
        for k in range(4):
            Y, mantissa, exponent, s = of_a_matrix(given, i, (k,))
            close(Y, taller(old @ bases[k]))
            assert (mantissa, exponent) == (0.75, 3 + 2 * (up + down))
            assert (weight.mantissa, weight.exponent[i, 0]) == (0.75, 3 + 2 * (up + down) + smaller)
            assert s.any()
            for found, A in ((change, moved), (both, total)):
                sizes = taller(np.abs(A) @ np.abs(bases[k]))
                known(Known(found.value[i, k], found.size[i, k], found.roundings), taller(A @ bases[k]), sizes, 4)


@pytest.mark.parametrize(("n", "size"), STEPS)
def test_a_change_of_a_part(n, size, told):
    (_, Z), (_, after) = step_of(n, size)
    pi = np.random.default_rng(1).random(n)
    enclosure._part_change(enclosure._Step.of(Z, after), pi, Fraction(1, 3))
    ((given, change, both, weight),) = told
    old, moved, total, up, smaller = of_step(Z, after)
    close(given.Y, taller(np.sqrt(pi)[:, None] * old))
    assert given.s.tolist() == [VANISHED] * min(n, 3)
    assert given.roundings == 4
    close(np.ldexp(given.c.mantissa, given.c.exponent - 2 * up), 27 / np.sum(pi))
    close(np.ldexp(weight.mantissa, weight.exponent - 2 * up - smaller), 27 / np.sum(pi))
    for found, A in ((change, moved), (both, total)):
        weighted = taller(np.sqrt(pi)[:, None] * A)
        known(found, weighted, np.abs(weighted), 5)


def test_what_is_of_ordinary_size_stays_as_it_is():
    for size, shift in ((2.0**99, 0), (2.0**100, 101), (2.0**-101, 0), (2.0**-102, -101), (0.0, 0)):
        A, found = enclosure._scaled(np.array([[size, 0.0]]))
        assert found == shift
        assert A[0, 0] == np.ldexp(size, -shift)


@pytest.mark.parametrize(
    ("size", "of_atoms"), [(1.0, 1.0), (2.0**150, 1.0), (2.0**-150, 1.0), (1.0, 2.0**120), (2.0**150, 2.0**120)]
)
def test_residuals_and_their_change(size, of_atoms):
    rng = np.random.default_rng(0)
    Z, D = size * of_atoms * rng.standard_normal((4, 3)), of_atoms * rng.standard_normal((3, 5))
    old = size * rng.standard_normal((4, 5))
    new = old + 1e-3 * size * rng.standard_normal(old.shape)
    found = enclosure._half_squared_residual(Z, D, old)
    down = scaled(D)[1]
    unit = 2.0 ** max(scaled(Z)[1], scaled(old)[1] + down)
    tokens, code, sizes = Z / unit, old @ D.T / unit, (np.abs(Z) + np.abs(old) @ np.abs(D.T)) / unit
    residual, wrong = np.abs(tokens - code), SAFETY * gamma(7) * sizes + LOST
    value = np.sum(residual**2) / 2
    bound = SAFETY * (np.sum((residual + wrong) * wrong) + gamma(11) * value) + LOST
    close(found.lower, unit**2 * (value - bound))
    close(found.upper, unit**2 * (value + bound))
    found = enclosure._half_squared_residual_change(Z, D, old, new)
    up, (_, moved, _, shift, smaller) = scaled(2 * Z)[1], of_step(old, new)
    unit = 2.0 ** max(up, scaled(old + new)[1] + down)
    sizes = (np.abs(2 * Z) + np.abs(old + new) @ np.abs(D.T)) / unit
    D, unscaled = np.ldexp(D, -down), D
    value = -np.sum((moved @ D.T) * (2 * Z - (old + new) @ unscaled.T)) / unit / 2
    bound = SAFETY * gamma(2 * 5 + 7 + 10) * np.sum(np.abs(moved) @ np.abs(D.T) * sizes) + LOST
    close(found.lower, (value - bound) * unit * 2.0 ** (shift + smaller + down))
    close(found.upper, (value + bound) * unit * 2.0 ** (shift + smaller + down))


def test_a_residual_may_be_no_larger_than_its_bound():
    Z = np.ones((2, 2))
    found = enclosure._half_squared_residual(Z, np.eye(2), Z)
    assert -1e-300 < found.lower < 0
    wrong = SAFETY * gamma(4) * 2 + LOST
    close(found.upper, SAFETY * 4 * wrong**2 + LOST)


def test_sums_of_bounds():
    parts = Enclosure(np.array([[1.0, -2.0, 4.0], [0.0, 3.0, 5.0]]), np.array([[2.0, -1.0, 5.0], [1.0, 4.0, 6.0]]))
    found, wrong = enclosure._summed(parts), SAFETY * gamma(4)
    close(found.lower, np.array([3.0, 8.0]) - wrong * np.array([7.0, 8.0]))
    close(found.upper, np.array([6.0, 11.0]) + wrong * np.array([8.0, 11.0]))


def test_parts_have_the_weight_of_their_tokens():
    seen = []

    def f(Z, pi):
        seen.append((Z.tolist(), pi.tolist()))
        return Enclosure(np.array(1.0), np.array(2.0))

    Pi = np.array([[0.25, 0.75, 0.0], [0.0, 1.0, 0.0], [1.0, 0.0, 0.0], [1.0, 0.0, 0.0]])
    found = enclosure._over_parts(f, Pi, np.arange(8.0).reshape(4, 2))
    assert seen == [([[0, 1], [4, 5], [6, 7]], [0.25, 1, 1]), ([[0, 1], [2, 3]], [0.75, 1])]
    close((found.lower, found.upper), (1.0, 2.0))
