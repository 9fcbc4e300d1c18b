"""Exact reference for the rates: float inputs are read as the rationals they are.

Nothing here shares code or algebra with ``srr``: determinants and solutions are exact rationals (python-flint),
logarithms are Arb enclosures, and derivatives come from the determinant as a polynomial along a line.
"""

from fractions import Fraction
from math import factorial

import numpy as np
from flint import arb, ctx, fmpq, fmpq_mat

PRECISION = 256


def rational(x):
    """The rational number that a float, or a fraction, is."""
    return fmpq(*(x if isinstance(x, Fraction) else float(x)).as_integer_ratio())


def matrix(a):
    """The rational matrix that a two-dimensional float array is."""
    a = np.asarray(a)
    return fmpq_mat(*a.shape, [rational(x) for x in a.ravel()])


@ctx.workprec(PRECISION)
def array(M):
    """The nearest float64 array to a rational matrix."""
    return np.array([[float(arb(x)) for x in row] for row in M.tolist()])


def _identity(q):
    return fmpq_mat(q, q, [int(i == j) for i in range(q) for j in range(q)])


def _scaled_rows(weights, M):
    return fmpq_mat(M.nrows(), M.ncols(), [w * x for w, row in zip(weights, M.tolist(), strict=True) for x in row])


# --- values -----------------------------------------------------------------------------------------------------
# A rate is a list of (weight, determinant): the sum of 1/2 weight log(determinant).


def coding_determinants(Z, *, eps):
    n, d = Z.nrows(), Z.ncols()
    return [(fmpq(1), _determinant(Z, fmpq(d, n) / rational(eps) ** 2))]


def subspace_determinants(Z, U, *, eps):
    beta = fmpq(U[0].ncols(), Z.nrows()) / rational(eps) ** 2
    return [(fmpq(1), _determinant(Z * basis, beta)) for basis in U]


def partition_determinants(Z, Pi, *, eps):
    n, d = Z.nrows(), Z.ncols()
    terms = []
    for members in Pi.transpose().tolist():
        size = sum(members, fmpq(0))
        if size:
            terms.append((size / n, _determinant(Z, d / (size * rational(eps) ** 2), members)))
    return terms


def _determinant(Z, weight, members=None):
    """det(I + weight Z^T diag(members) Z), on the smaller side."""
    n, d = Z.nrows(), Z.ncols()
    weighted = Z if members is None else _scaled_rows(members, Z)
    if n <= d:
        return (_identity(n) + weighted * Z.transpose() * weight).det()
    return (_identity(d) + Z.transpose() * weighted * weight).det()


@ctx.workprec(PRECISION)
def rate(terms):
    """The enclosure of a rate; relative radius below 2^-240 as long as nothing is subtracted."""
    return sum((arb(weight) * arb(det - 1).log1p() / 2 for weight, det in terms), arb(0))


def coding_rate(Z, *, eps):
    return rate(coding_determinants(matrix(Z), eps=eps))


def subspace_coding_rate(Z, U, *, eps):
    return rate(subspace_determinants(matrix(Z), [matrix(basis) for basis in U], eps=eps))


def partition_coding_rate(Z, Pi, *, eps):
    return rate(partition_determinants(matrix(Z), matrix(Pi), eps=eps))


@ctx.workprec(PRECISION)
def rounded(value):
    """An enclosure as the nearest float and a bound on its error."""
    nearest = float(value.mid())
    return nearest, float((value - arb(nearest)).abs_upper())


@ctx.workprec(PRECISION)
def error(computed, value):
    """An upper bound on ``|computed - value|``; infinite when ``computed`` is NaN."""
    computed = float(computed)
    return float((arb(computed) - value).abs_upper()) if np.isfinite(computed) else np.inf


# --- gradients --------------------------------------------------------------------------------------------------


def coding_gradient(Z, *, eps):
    """α (I + α Z Z^T)^-1 Z."""
    Z = matrix(Z)
    n, d = Z.nrows(), Z.ncols()
    return _resolvent(Z, fmpq(d, n) / rational(eps) ** 2)


def subspace_gradient(Z, U, *, eps):
    """β Σ_k (I + β Y_k Y_k^T)^-1 Y_k U_k^T with Y_k = Z U_k."""
    Z, U = matrix(Z), [matrix(basis) for basis in U]
    beta = fmpq(U[0].ncols(), Z.nrows()) / rational(eps) ** 2
    return _sum(_resolvent(Z * basis, beta) * basis.transpose() for basis in U)


def partition_gradient(Z, Pi, *, eps):
    """Σ_k (n_k/n) α_k (I + α_k Π_k Z Z^T)^-1 Π_k Z."""
    Z, Pi = matrix(Z), matrix(Pi)
    n, d = Z.nrows(), Z.ncols()
    parts = [Z * 0]
    for members in Pi.transpose().tolist():
        size = sum(members, fmpq(0))
        if size:
            weight = d / (size * rational(eps) ** 2)
            parts.append(_resolvent(Z, weight, members) * (size / n))
    return _sum(parts)


def _resolvent(Z, weight, members=None):
    n, d = Z.nrows(), Z.ncols()
    weighted = Z if members is None else _scaled_rows(members, Z)
    if n <= d:
        return (_identity(n) + weighted * Z.transpose() * weight).solve(weighted * weight)
    gram = _identity(d) + Z.transpose() * weighted * weight
    return gram.solve(weighted.transpose() * weight).transpose()


def _sum(matrices):
    first, *rest = matrices
    return sum(rest, first)


@ctx.workprec(PRECISION)
def norm(M):
    """The Frobenius norm of a rational matrix, rounded up."""
    return float(sum((arb(x) ** 2 for x in M.entries()), arb(0)).sqrt().abs_upper())


def gradient_error(computed, gradient):
    """The Frobenius norm of ``computed - gradient``; infinite when an entry is not finite."""
    computed = np.asarray(computed)
    return norm(matrix(computed) - gradient) if np.isfinite(computed).all() else np.inf


def directional_derivative(determinants, Z, H, *, degree=None):
    """The exact derivative at t = 0 of the rate of Z + t H; ``determinants`` maps a rational matrix to terms.

    Each determinant is a polynomial in t of degree at most 2 m, with m = min(n, d) unless given, so the central
    difference on the points -m, ..., m differentiates it exactly.
    """
    Z, H = matrix(Z), matrix(H)
    m = degree or min(Z.nrows(), Z.ncols())
    at = {t: determinants(Z + H * t) for t in range(-m, m + 1)}
    total = fmpq(0)
    for k, (weight, det) in enumerate(at[0]):
        slope = fmpq(0)
        for j in range(1, m + 1):
            share = fmpq((-1) ** (j + 1) * factorial(m) ** 2, j * factorial(m - j) * factorial(m + j))
            slope += share * (at[j][k][1] - at[-j][k][1])
        total += weight * slope / (2 * det)
    return total


def inner(M, H):
    """The exact inner product of a rational matrix with a float array."""
    return sum((x * rational(h) for x, h in zip(M.entries(), np.ravel(H), strict=True)), fmpq(0))
