"""Exact derivatives of the rates along a line of tokens, Z + tH.

The entries of the arrays are floats, so they are rationals, and det(I + cG) of the Gram matrix G of Z + tH is a
polynomial in t of degree 2 min(n, d). Its values at that many integers and one more give its coefficients, in rational
arithmetic and without a rule of differentiation: what is found here is independent of the closed forms it judges.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from fractions import Fraction
from functools import cache
from typing import Any, NamedTuple

import numpy as np
from flint import fmpq, fmpq_mat

from srr._arrays import positive, require_finite, require_membership, require_shape
from verify.decide import as_float64

Array = Any


class Derivatives(NamedTuple):
    """First and second derivative at t = 0, in nats."""

    first: Fraction
    second: Fraction


def rate_along(Z: Array, H: Array, *, eps: float) -> Derivatives:
    """Derivatives of R(Z + tH), R(Z) = ½ log det(I + d/(n eps²) ZᵀZ) (N23 eq. 7), for Z and H ``(n, d)``."""
    Z, H = _line(Z, H)
    n, d = Z.shape
    return _sum([_term(rational(Z), rational(H), None, fmpq(d, n) / _square(eps))])


def subspace_rate_along(Z: Array, H: Array, U: Array, *, eps: float) -> Derivatives:
    """Derivatives of Rᶜ(Z + tH | U) for bases U ``(K, d, p)``, orthonormal or not (N23 eq. 8)."""
    Z, H = _line(Z, H)
    U = as_float64(U, "U")
    require_shape(U, ("K", Z.shape[1], "p"), "U")
    require_finite(U, "U")
    c = fmpq(U.shape[2], Z.shape[0]) / _square(eps)
    return _sum(_term(rational(Z) * rational(u), rational(H) * rational(u), None, c) for u in U)


def partition_rate_along(Z: Array, H: Array, Pi: Array, *, eps: float) -> Derivatives:
    """Derivatives of Rᶜ(Z + tH | Pi) for memberships Pi ``(n, K)``, hard or soft, held fixed (MCR²)."""
    Z, H = _line(Z, H)
    Pi = as_float64(Pi, "Pi")
    require_shape(Pi, (Z.shape[0], "K"), "Pi")
    require_membership(Pi, Z.shape[0])
    n, d = Z.shape
    parts = []
    for column in Pi.T:
        weights = rational(column[:, None]).entries()
        size = sum(weights)
        if size > 0:
            term = _term(rational(Z), rational(H), weights, d / (size * _square(eps)))
            parts.append((term[0] * size / n, term[1] * size / n))
    return _sum(parts)


def rational(a: np.ndarray) -> fmpq_mat:
    """A matrix of floats as the rationals that they are."""
    return fmpq_mat(*a.shape, [fmpq(*x.as_integer_ratio()) for x in a.ravel().tolist()])


def _term(Z: fmpq_mat, H: fmpq_mat, weights: Sequence[fmpq] | None, c: fmpq) -> tuple[fmpq, fmpq]:
    # Derivatives of ½ log det(I + c (Z+tH)ᵀ W (Z+tH)), W = diag(weights).
    n, d = Z.nrows(), Z.ncols()
    q = min(n, d)
    W = _diagonal(weights or [fmpq(1)] * n)
    identity = _diagonal([fmpq(1)] * q)
    values = []
    for t in range(-q, q + 1):
        A = Z + H * fmpq(t)
        gram = W * A * A.transpose() if n < d else A.transpose() * W * A
        values.append((identity + gram * c).det())
    p0, p1, p2 = (_low_coefficients(q) * fmpq_mat(2 * q + 1, 1, values)).entries()
    return p1 / p0 / 2, p2 / p0 - (p1 / p0) ** 2 / 2


@cache
def _low_coefficients(q: int) -> fmpq_mat:
    """The map from values at -q..q of a polynomial of degree 2q to its coefficients of degree 0, 1 and 2."""
    size = 2 * q + 1
    vandermonde = fmpq_mat(size, size, [fmpq(t) ** j for t in range(-q, q + 1) for j in range(size)])
    return fmpq_mat(3, size, vandermonde.inv().entries()[: 3 * size])


def _diagonal(entries: Sequence[fmpq]) -> fmpq_mat:
    n = len(entries)
    return fmpq_mat(n, n, [entries[i] if i == j else fmpq(0) for i in range(n) for j in range(n)])


def _line(Z: Array, H: Array) -> tuple[np.ndarray, np.ndarray]:
    Z, H = as_float64(Z, "Z"), as_float64(H, "H")
    require_shape(Z, ("n", "d"), "Z")
    require_shape(H, Z.shape, "H")
    require_finite(Z, "Z")
    require_finite(H, "H")
    return Z, H


def _square(eps: float) -> fmpq:
    return fmpq(*positive(eps, "eps").as_integer_ratio()) ** 2


def _sum(terms: Iterable[tuple[fmpq, fmpq]]) -> Derivatives:
    firsts, seconds = zip(*terms, strict=True)
    return Derivatives(*(Fraction(int(x.p), int(x.q)) for x in (sum(firsts, fmpq(0)), sum(seconds, fmpq(0)))))
