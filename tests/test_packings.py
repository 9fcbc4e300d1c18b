"""Bounds on nearly orthogonal lines: against packings that are known to be optimal, and codes built here by hand."""

from fractions import Fraction
from itertools import combinations, product

import numpy as np
import pytest

from verify import packings


def largest_cosine(lines: np.ndarray) -> float:
    gram = np.abs(lines @ lines.T)
    np.fill_diagonal(gram, 0)
    return float(gram.max())


@pytest.mark.parametrize(
    ("d", "c2", "lines"),
    [
        (2, Fraction(1, 4), 3),  # the diagonals of a hexagon
        (3, Fraction(1, 5), 6),  # of an icosahedron
        (7, Fraction(1, 9), 28),
        (23, Fraction(1, 25), 276),
    ],
)
def test_equiangular_lines_that_meet_the_bound(d, c2, lines):
    assert packings.most(d, c2) == lines


@pytest.mark.parametrize(("d", "c2", "lines"), [(8, Fraction(1, 4), 120), (24, Fraction(1, 4), 98280)])
def test_the_roots_of_e8_and_the_shortest_vectors_of_leech_are_not_excluded(d, c2, lines):
    assert lines <= packings.most(d, c2)


def test_no_lower_bound_exceeds_an_upper_one():
    for d, denominator in product((2, 3, 6, 8, 15, 16, 31, 33, 64, 130, 256, 500), (4, 16, 50, 64, 250, 1000, 10**5)):
        c2 = Fraction(1, denominator)
        assert packings.least(d, c2)[0] <= packings.most(d, c2), (d, c2)


def test_the_measure_of_a_cap_where_it_is_elementary():
    for c in (Fraction(1, 10), Fraction(1, 3), Fraction(99, 100)):
        low, high = packings.cap_measure(3, c * c)  # Archimedes: uniform along an axis
        assert low <= 1 - c <= high
        assert high - low < Fraction(1, 10**30)
    low, high = packings.cap_measure(2, Fraction(1, 4))
    assert low <= Fraction(2, 3) <= high


def test_a_kerdock_set_of_four_variables():
    """Eight alternating matrices with regular differences: 128 lines with cosines of at most 1/4 in 16 dimensions."""
    points = np.array(list(product((0, 1), repeat=4)))
    pairs = list(combinations(range(4), 2))
    forms = [np.array(bits) for bits in product((0, 1), repeat=6)]

    def regular(form):  # the Pfaffian of an alternating 4 x 4 matrix
        a, b, c, d, e, f = form
        return (a * f + b * e + c * d) % 2 == 1

    found = [forms[0]]
    while len(found) < 8:  # the forms of a line of F_8 are closed under sums: a greedy choice may need another start
        ways = [form for form in forms if all(regular(form ^ other) for other in found)]
        found.append(next(f for f in ways if len(found) == 7 or _extends(f, found, forms, regular)))
    signs = []
    for form, linear in product(found, points):
        quadratic = sum(bit * points[:, i] * points[:, j] for bit, (i, j) in zip(form, pairs, strict=True))
        signs.append((-1.0) ** (quadratic + points @ linear))
    lines = np.array(signs) / 4
    assert len(lines) == packings.quadratic_forms(16, Fraction(1, 16)) == 128
    assert largest_cosine(lines) == 0.25
    kept = lines[:, :15] * 4 / np.sqrt(15)  # 16 · 1/4 + 1 of 15
    assert largest_cosine(kept) <= 5 / 15
    assert packings.quadratic_forms(15, Fraction(25, 225)) == 128
    assert packings.quadratic_forms(15, Fraction(24, 225)) < 128


def _extends(form, found, forms, regular):
    """Whether the set can be completed to eight with this form in it."""
    if len(found) == 7:
        return True
    chosen = [*found, form]
    return any(
        _extends(other, chosen, forms, regular) for other in forms if all(regular(other ^ one) for one in chosen)
    )


def multiply(a: int, b: int) -> int:
    """In F_32 = F_2[x]/(x⁵ + x² + 1)."""
    found = 0
    for i in range(5):
        if b >> i & 1:
            found ^= a << i
    for i in range(8, 4, -1):
        if found >> i & 1:
            found ^= 0b100101 << (i - 5)
    return found


def power(a: int, k: int) -> int:
    found = 1
    for _ in range(k):
        found = multiply(found, a)
    return found


def trace(a: int) -> int:
    found = 0
    for i in range(5):
        found ^= power(a, 2**i)
    assert found in (0, 1)
    return found


@pytest.mark.parametrize(("s", "t"), [(0, 3), (1, 2)])
def test_trace_forms_in_an_odd_number_of_variables(s, t):
    traces = [trace(a) for a in range(32)]
    lines = []
    for coefficients in product(range(32), repeat=s + 1):
        values = []
        for x in range(32):
            total = 0
            for j, b in enumerate(coefficients):
                total ^= multiply(b, power(x, 1 + 2**j) if j else x)
            values.append((-1.0) ** traces[total])
        lines.append(values)
    lines = np.array(lines) / np.sqrt(32)
    assert len(lines) == packings.quadratic_forms(32, Fraction(1, 4**t)) == 32 ** (s + 1)
    assert largest_cosine(lines) <= 2.0**-t + 1e-12


@pytest.mark.parametrize(("q", "k"), [(7, 2), (11, 2), (7, 3)])
def test_polynomials_modulo_a_prime(q, k):
    x = np.arange(q)
    lines = []
    for coefficients in product(range(q), repeat=k):
        values = sum(a * x ** (i + 1) for i, a in enumerate(coefficients)) % q
        wave = np.exp(2j * np.pi * values / q) / np.sqrt(q)
        lines += [np.concatenate([wave.real, wave.imag]), np.concatenate([-wave.imag, wave.real])]
    c2 = Fraction((k - 1) ** 2, q)
    assert len(lines) == packings.polynomials(2 * q, c2) == packings.polynomials(2 * q + 1, c2) == 2 * q**k
    assert largest_cosine(np.array(lines)) <= np.sqrt(float(c2)) + 1e-12
    if c2 < 1:
        assert packings.polynomials(2 * q, c2 - Fraction(1, 1000)) < 2 * q**k


def test_first():
    assert packings.first(lambda d: d >= 37, 2) == 37
    assert packings.first(lambda d: True, 5) == 5
