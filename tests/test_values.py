"""Derivations at exact points, by an evaluation that knows nothing of normal forms; what their letters stand for."""

import random
from dataclasses import replace
from fractions import Fraction

import numpy as np
import pytest
from flint import fmpq, nmod

from derivations import catalogue, rate_distortion
from derivations.checks import OnInterval
from derivations.exact import PRIME, RATIONALS, Point, Singular, evaluate, multiplied
from derivations.expression import EXP, Expr, Matrix, Trace, free_indices, matrices, substitute, symbols
from derivations.identity import point, same
from derivations.oracle import rounded
from verify.claims._water_filling import rate_distortion as reverse_water_filling

SIZES = {"n": 4, "d": 4, "p": 2, "K": 2, "m": 2, "q": 2, "r": 2}


def given(rules) -> dict[Expr, Expr] | None:
    """What a step assumes its matrices to be; None if that is not said so directly, or the exponential must be one."""
    found: dict[Expr, Expr] = {}
    for rule in rules:
        exponential = isinstance(rule.left, Trace) and getattr(rule.left.arg, "function", None) == EXP
        if rule.defines or exponential or (rule.assumed and (not isinstance(rule.left, Matrix) or rule.left in found)):
            return None
        if rule.assumed:
            found[rule.left] = rule.right
    return found


def at_a_point(step, *sides):
    """The values of sides of a step at a random point of the prime field where its assumptions hold, or None."""
    known = given(step.rule.rules)
    if known is None:
        return None
    rng = random.Random(0)
    try:
        for _ in known:
            sides = [substitute(side, known) for side in sides]
        named = frozenset().union(*map(matrices, sides))
        scalars = frozenset().union(*map(symbols, sides))
        first = dict.fromkeys(frozenset().union(*map(free_indices, sides)), 0)
        for _ in range(5):
            try:
                at = point(named, scalars, SIZES, rng)
                return [evaluate(side, at, first) for side in sides]
            except Singular:
                continue
    except (TypeError, ValueError, KeyError):  # a root, a share of a logarithm, a size with no number
        pass
    return None


def test_equations_hold_at_exact_points():
    """All that have an exact value there: most equations, and most of what the normal form does."""
    checked, wrong, tampered = 0, [], 0
    for derivation in catalogue().values():
        for i, step in enumerate(derivation.steps):
            found = at_a_point(step, step.start, step.end, 2 * step.end) if step.relation == "=" else None
            if found is not None:
                left, right, twice = found
                checked += 1
                tampered += not same(left, twice)
                if not same(left, right):
                    wrong.append(f"{derivation.name}, step {i}")
    assert not wrong
    assert checked >= 200
    assert tampered >= checked - 10  # but for what is zero


def small(rng: random.Random) -> fmpq:
    """Small enough that memberships sum to less than 1, and not zero."""
    return fmpq(rng.choice([-3, -2, -1, 1, 2, 3]), 16)


def rational_point(derivation):
    """The two sides at a random rational point where the hypotheses hold; None where none was found."""
    known = given(derivation.assumptions)
    if known is None:
        return None
    rng = random.Random(0)
    sides = [derivation.left, derivation.right]
    try:
        for _ in known:
            sides = [substitute(side, known) for side in sides]
        exprs = [*sides, *known.values()]
        named, scalars = (frozenset().union(*map(of, exprs)) - known.keys() for of in (matrices, symbols))
        first = dict.fromkeys(frozenset().union(*map(free_indices, exprs)), 0)
        for _ in range(10):
            at = point(named, scalars, SIZES, rng, RATIONALS, small)
            at = replace(at, scalars={name: abs(x) for name, x in at.scalars.items()})
            if all(semidefinite(evaluate(value, at, first)) for A, value in known.items() if A.psd):
                return [rounded(evaluate(side, at, first)) for side in sides]
    except (TypeError, ValueError, KeyError, Singular):
        pass
    return None


def semidefinite(rows) -> bool:
    return np.linalg.eigvalsh(np.array(rounded(rows))).min() >= -1e-12


def test_inequalities_hold_at_rational_points():
    """Statements proved by squares, tangents, Taylor and rays, where their letters have exact values."""
    checked, strict, wrong = 0, 0, []
    for derivation in catalogue().values():
        on_interval = any(isinstance(step.rule, OnInterval) for step in derivation.steps)
        bound = derivation.relation in ("<=", ">=") and not on_interval
        found = rational_point(derivation) if bound else None
        if found is not None:
            low, high = found if derivation.relation == "<=" else found[::-1]
            checked += 1
            strict += low < high - 1e-12 * (1 + abs(low))
            if low > high + 1e-12 * (1 + abs(low)):
                wrong.append(f"{derivation.name}: {low} > {high}")
    assert not wrong
    assert checked >= 70
    assert strict >= checked - 5  # the other way round they are false


# --- reverse water-filling --------------------------------------------------------------------------------------

SPECTRA = ([4.0, 2.0, 1.0, 0.5], [4.0, 1.0, 0.0, 0.0], [1.0, 1.0, 1.0, 1.0], [8.0, 0.125, 0.25, 0.125])


def diagonal(values):
    return [[q if i == j else fmpq(0) for j in range(len(values))] for i, q in enumerate(values)]


def exact(x):
    return fmpq(*Fraction(float(x)).as_integer_ratio())


@pytest.mark.parametrize("spectrum", SPECTRA)
@pytest.mark.parametrize("level", [0.05, 0.125, 0.7, 1.0, 3.0, 4.0, 9.0])
def test_the_matrices_of_water_filling(spectrum, level):
    """With C, P and G as they are named, the sides are the coding rate and the rate-distortion function."""
    d, low = 4, [min(x, level) for x in spectrum]
    error = sum(low)
    nu = error / d
    Z = diagonal([exact(np.sqrt(x)) for x in spectrum])  # n S = ZᵀZ, up to the root
    moments = [Z[i][i] * Z[i][i] for i in range(d)]
    scalars = {"alpha": 1 / exact(nu), "theta": exact(level), "u": exact(level) / exact(nu) - 1}
    values = {
        ("Z", 0): Z,
        ("P", 0): diagonal([max(exact(level) - q, fmpq(0)) for q in moments]),
        ("G", 0): diagonal([max(q - exact(level), fmpq(0)) for q in moments]),
    }
    at = Point(RATIONALS, {"n": 1, "d": d}, values, scalars)
    rate, target = np.sum(np.log1p(np.array(spectrum) / nu)) / 2, reverse_water_filling(np.array(spectrum), error)
    above, half = rate_distortion.UPPER, rate_distortion.HALF_BITS
    assert rounded(evaluate(above.left, at)) == pytest.approx(target, abs=1e-12)
    assert rounded(evaluate(above.right, at)) == pytest.approx(rate, abs=1e-12)
    assert rounded(evaluate(half.left, at)) == pytest.approx(rate, abs=1e-12)
    assert rounded(evaluate(half.right, at)) == pytest.approx(target + d / 2 * np.log(2), abs=1e-12)
    assert scalars["u"] >= 0
    assert [min(x, level) * max(x, level) for x in spectrum] == pytest.approx([level * x for x in spectrum])


# --- the Fourier transform --------------------------------------------------------------------------------------


def root_of_unity(T: int) -> nmod:
    """A primitive T-th root of 1 in the field, T a divisor of PRIME − 1."""
    for base in range(2, 100):
        w = nmod(base, PRIME) ** ((PRIME - 1) // T)
        if all(w**k != 1 for k in range(1, T)):
            return w
    raise AssertionError


@pytest.mark.parametrize("T", [2, 3, 5, 6])
def test_all_shifts_in_the_fourier_basis(T):
    """Cyclic shifts are Σ_k U_kX_kV_k* with unnormalised spectra, in a field that has roots of unity.

    The conjugate of a root is its inverse, and 1/√T is put on one side of each pair of bases.
    """
    C, N, rng, w = 2, 3, random.Random(T), root_of_unity(T)
    one, zero = nmod(1, PRIME), nmod(0, PRIME)
    z = [[[nmod(rng.randrange(PRIME), PRIME) for _ in range(T)] for _ in range(N)] for _ in range(C)]
    spectra = [
        [[sum((z[c][i][t] * w ** (-k * t % T) for t in range(T)), zero) for i in range(N)] for c in range(C)]
        for k in range(T)
    ]

    def basis(copies: int, k: int, sign: int, scale: nmod):
        return [
            [scale * w ** (sign * k * t % T) if c == e else zero for e in range(copies)]
            for c in range(copies)
            for t in range(T)
        ]

    shifts = [[z[c][i][(t - s) % T] for i in range(N) for s in range(T)] for c in range(C) for t in range(T)]
    total = [[zero] * (N * T) for _ in range(C * T)]
    for k in range(T):
        U, V_star = basis(C, k, 1, one), list(zip(*basis(N, k, -1, one / T), strict=True))
        part = multiplied(multiplied(U, spectra[k]), V_star)
        total = [[a + b for a, b in zip(*rows, strict=True)] for rows in zip(total, part, strict=True)]
        for j in range(T):
            product = multiplied(list(zip(*basis(C, j, -1, one / T), strict=True)), U)
            assert product == [[one if a == b and j == k else zero for b in range(C)] for a in range(C)]
    assert total == shifts


@pytest.mark.parametrize("T", [3, 4])
def test_the_expansion_by_fft(T):
    """The paper's operator with the plain transform; with the unitary one that of alpha/T, times T."""
    rng = np.random.default_rng(T)
    C, N, alpha = 2, 3, 0.7
    z = rng.standard_normal((C, N, T))
    shifts = np.block([[np.stack([np.roll(z[c, i], s) for s in range(T)], axis=1) for i in range(N)] for c in range(C)])
    gram, eye = shifts @ shifts.T, np.eye(C * T)
    fourier_basis = np.kron(np.eye(C), np.fft.fft(np.eye(T)) / np.sqrt(T))

    def by_frequency(norm: str) -> np.ndarray:
        X = np.moveaxis(np.fft.fft(z, axis=-1, norm=norm), -1, 0)
        blocks = alpha * np.linalg.inv(np.eye(C) + alpha * X @ X.conj().swapaxes(-1, -2))
        middle = np.zeros((C, T, C, T), complex)
        for k in range(T):
            middle[:, k, :, k] = blocks[k]
        return (fourier_basis.conj().T @ middle.reshape(C * T, C * T) @ fourier_basis).real

    def expansion(a: float) -> np.ndarray:
        return a * np.linalg.inv(eye + a * gram)

    assert by_frequency("backward") == pytest.approx(expansion(alpha), abs=1e-12)
    assert by_frequency("ortho") == pytest.approx(T * expansion(alpha / T), abs=1e-12)
    assert by_frequency("ortho") != pytest.approx(expansion(alpha), abs=1e-3)
