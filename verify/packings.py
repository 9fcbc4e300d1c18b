"""How many lines in d dimensions can be nearly orthogonal to one another: bounds from both sides, in exact arithmetic.

Lines are unit vectors up to sign, and |⟨x, y⟩| ≤ c for every two of them. All bounds take c² as an exact fraction.
"""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction
from math import isqrt

from sympy import prevprime


def cap_measure(d: int, c2: Fraction) -> tuple[Fraction, Fraction]:
    """P(|⟨x, u⟩| > c) for u uniform on the sphere, I_{1−c²}((d−1)/2, 1/2), between two fractions.

    The regularised incomplete beta function in ball arithmetic.
    """
    import flint

    before, flint.ctx.prec = flint.ctx.prec, 128
    try:
        x = flint.arb(flint.fmpq(c2.denominator - c2.numerator, c2.denominator))
        ball = x.beta_lower(flint.arb(d - 1) / 2, flint.arb(1) / 2, regularized=True)
        bounds = []
        for end in (ball.lower(), ball.upper()):
            mantissa, exponent = end.man_exp()
            bounds.append(Fraction(int(mantissa)) * Fraction(2) ** int(exponent))
    finally:
        flint.ctx.prec = before
    return bounds[0], bounds[1]


def most(d: int, c2: Fraction) -> int:
    """No more lines than this, by the best order k of N (s_k − c²ᵏ) ≤ 1 − c²ᵏ, s_k = Π_{i<k} (2i+1)/(d+2i).

    Notes
    -----
    s_k is the mean of ⟨x, u⟩²ᵏ over u on the sphere. With x⊗2k for x, and S for their mean over the sphere,
    ⟨x⊗2k, S⟩ = ‖S‖² = s_k, so that ‖Σ x⊗2k‖² ≥ N² s_k by Cauchy and Schwarz, and ≤ N + N(N−1)c²ᵏ.
    Welch 1974; for real lines Sidelnikov 1974. Order 1 is the Welch bound d(1−c²)/(1−dc²).
    """
    best, k, moment, power = None, 0, Fraction(1), Fraction(1)
    while best is None or k <= 2 * best[1]:
        moment, power, k = moment * Fraction(2 * k + 1, d + 2 * k), power * c2, k + 1
        if moment > power:
            here = int((1 - power) / (moment - power))
            if best is None or here < best[0]:
                best = here, k
    return best[0]


def least(d: int, c2: Fraction) -> tuple[int, str]:
    """At least this many lines exist, and what shows it: the best of all below."""
    found = {"basis": d}
    found["greedy"] = -(-1 // cap_measure(d, c2)[1])
    found["quadratic forms"] = quadratic_forms(d, c2)
    found["polynomials"] = polynomials(d, c2)
    name = max(found, key=lambda name: found[name])
    return found[name], name


def quadratic_forms(d: int, c2: Fraction) -> int:
    """Signs (−1)^Q(x) of quadratic forms Q on F2^m whose differences all have a large rank; 0 if none fit.

    d = 2^m, |cos| ≤ 2⁻ᵗ. For even m the Delsarte-Goethals codes: 2^((m−1)(m/2−t+1)+m) lines. For odd m the forms
    Tr(ax + Σ_{j≤s} b_j x^(1+2^j)), s = (m+1)/2 − t: 2^(m(s+1)) lines; their radical is the kernel of a polynomial of
    degree 2^(2s), and of odd dimension, so 2s − 1 at most. A smaller d keeps the first d signs, a larger adds zeros.

    Notes
    -----
    Delsarte and Goethals 1975, J. Comb. Theory A 19, 26-50; MacWilliams and Sloane 1977, ch. 15.
    """
    largest = 0
    for m in range(2, d.bit_length() + 1):
        half, kept = (m + 1) // 2, min(d, 2**m)
        for t in range(1, half + 1):
            if Fraction(2 ** (m - t) + 2**m - kept, kept) ** 2 <= c2:
                exponent = m * (half - t + 1) if m % 2 else (m - 1) * (half - t + 1) + m
                largest = max(largest, 2**exponent)
    return largest


def polynomials(d: int, c2: Fraction) -> int:
    """exp(2πi f(x)/q), f of degree ≤ k < q without constant term, and i times it, in 2q ≤ d real dimensions.

    2qᵏ lines, |cos| ≤ (k − 1)/√q by Weil's bound on exponential sums, q the largest prime that fits; 0 if k < 2.

    Notes
    -----
    Weil 1948, Proc. Natl. Acad. Sci. 34, 204-207.
    """
    if d < 6:
        return 0
    q = int(prevprime(d // 2 + 1))
    k = min(isqrt(int(c2 * q)) + 1, q - 1)
    return 2 * q**k if k >= 2 else 0


def first(reached: Callable[[int], bool], start: int) -> int:
    """The least d ≥ start for which a condition that stays true once it is true is true."""
    low, high = start - 1, start
    while not reached(high):
        low, high = high, 2 * high
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if reached(middle) else (middle, high)
    return high
