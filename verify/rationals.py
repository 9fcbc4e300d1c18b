"""Differences of rates and norms as rational numbers and determinants of integer matrices, without rounding.

Floats are integers over a common power of two, so Gram matrices are too. A rate is half the logarithm of a
determinant of such a matrix; the powers of two and the parameters' denominators cancel between the rate
before and the rate after.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from flint import fmpq, fmpz_mat

ZERO, ONE = fmpq(0), fmpq(1)


@dataclass(frozen=True)
class Ratio:
    """The term w/2 log(det after / det before) of a difference."""

    weight: fmpq
    before: fmpz_mat
    after: fmpz_mat


def coding_rate(old: np.ndarray, new: np.ndarray, eps: fmpq) -> list[Ratio]:
    """R(new) - R(old)."""
    n, d = old.shape
    tokens, unit = _integers(old, new)
    scale = unit * unit * d / (n * eps * eps)
    before, after = (_shifted(_gram(Z), scale) for Z in tokens)
    return [Ratio(ONE, before, after)]


def subspace_coding_rate(old: np.ndarray, new: np.ndarray, U: np.ndarray, eps: fmpq) -> list[Ratio]:
    """Rᶜ(new|U) - Rᶜ(old|U)."""
    n, p = old.shape[0], U.shape[2]
    tokens, z = _integers(old, new)
    bases, u = _integers(*U)
    scale = (z * u) ** 2 * p / (n * eps * eps)
    ratios = []
    for basis in bases:
        before, after = (_shifted(_gram(Z * basis), scale) for Z in tokens)
        ratios.append(Ratio(ONE, before, after))
    return ratios


def partition_coding_rate(old: np.ndarray, new: np.ndarray, Pi: np.ndarray, eps: fmpq) -> list[Ratio]:
    """Rᶜ(new|Pi) - Rᶜ(old|Pi)."""
    n, d = old.shape
    ratios = []
    for pi in Pi.T:
        members = pi > 0
        if not members.any():
            continue
        (weights,), w = _integers(pi[None, members])
        tokens, z = _integers(old[members], new[members])
        size = w * sum(weights.entries())
        scale = z * z * w * d / (size * eps * eps)
        before, after = (_shifted(_weighted_gram(Z, weights.entries()), scale) for Z in tokens)
        ratios.append(Ratio(size / n, before, after))
    return ratios


def variational_rate(old: np.ndarray, new: np.ndarray, Pi: np.ndarray, U: np.ndarray, eps: fmpq) -> list[Ratio]:
    """R^var(new, Pi|U) - R^var(old, Pi|U), ToST's: the determinants are products over the columns of each U_k."""
    n, d = old.shape
    ratios = []
    for pi, basis in zip(Pi.T, U, strict=True):
        members = pi > 0
        if not members.any():
            continue
        (weights,), w = _integers(pi[None, members])
        tokens, z = _integers(old[members], new[members])
        (columns,), u = _integers(basis)
        total = sum(weights.entries())
        scale = (z * u) ** 2 * d / (total * eps * eps)
        before, after = (_spread(Z * columns, weights.entries(), scale) for Z in tokens)
        ratios.append(Ratio(w * total / n, before, after))
    return ratios


def noise_share(old: np.ndarray, new: np.ndarray, Pi: np.ndarray, U: np.ndarray) -> fmpq:
    """N/(N + S) of new less that of old; N and S the squares outside and inside the subspaces of the classes."""
    (weights,), _ = _integers(Pi)
    tokens, _ = _integers(old, new)
    bases, u = _integers(*U)
    columns = weights.transpose().tolist()
    before, after = (_noise_share(Z, columns, bases, u * u) for Z in tokens)
    return after - before


def l1(old: np.ndarray, new: np.ndarray) -> fmpq:
    """|new|₁ - |old|₁."""
    (before, after), unit = _integers(old, new)
    return unit * (sum(map(abs, after.entries())) - sum(map(abs, before.entries())))


def half_squared_residual(Z: np.ndarray, D: np.ndarray, old: np.ndarray, new: np.ndarray) -> fmpq:
    """½|Z - new Dᵀ|² - ½|Z - old Dᵀ|²."""
    (tokens,), z = _integers(Z)
    (atoms,), d = _integers(D)
    codes, a = _integers(old, new)
    unit = min(z, a * d)  # both are powers of two: either is an integer multiple of the smaller
    before, after = (
        sum(r * r for r in (tokens * (z / unit).p - A * atoms.transpose() * (a * d / unit).p).entries()) for A in codes
    )
    return unit * unit * (after - before) / 2


def off_sphere(old: np.ndarray, new: np.ndarray) -> fmpq:
    """The change of Σ_i (|z_i|² - 1)²."""
    tokens, unit = _integers(old, new)
    before, after = (
        sum(((unit * unit * sum(x * x for x in row) - 1) ** 2 for row in Z.tolist()), ZERO) for Z in tokens
    )
    return after - before


def _integers(*arrays: np.ndarray) -> tuple[list[fmpz_mat], fmpq]:
    # Integer matrices and one power of two, the unit, with array = unit * matrix.
    parts = [np.frexp(a) for a in arrays]
    exponents = [e[m != 0] for m, e in parts]
    lowest = min((int(e.min()) for e in exponents if e.size), default=53) - 53
    matrices = []
    for a, (m, e) in zip(arrays, parts, strict=True):
        mantissas = np.ldexp(m, 53).astype(np.int64).ravel().tolist()
        shifts = np.where(m != 0, e - 53 - lowest, 0).ravel().tolist()
        matrices.append(fmpz_mat(*a.shape, [i << s for i, s in zip(mantissas, shifts, strict=True)]))
    return matrices, fmpq(2) ** lowest


def _gram(Y: fmpz_mat) -> fmpz_mat:
    # On the smaller side: det(I + YYᵀ) = det(I + YᵀY).
    return Y * Y.transpose() if Y.nrows() < Y.ncols() else Y.transpose() * Y


def _weighted_gram(Z: fmpz_mat, weights: list[Any]) -> fmpz_mat:
    n, d = Z.nrows(), Z.ncols()  # det(I + ΠZZᵀ) = det(I + ZᵀΠZ)
    weighted = fmpz_mat(n, d, [weights[i // d] * x for i, x in enumerate(Z.entries())])
    return weighted * Z.transpose() if n < d else Z.transpose() * weighted


def _spread(Y: fmpz_mat, weights: list[Any], scale: fmpq) -> fmpz_mat:
    # The product over i of 1 + scale Σ_j w_j Y_ji², times a power of the denominator of the scale.
    product = 1
    for column in Y.transpose().tolist():
        product *= sum(w * y * y for w, y in zip(weights, column, strict=True)) * scale.p + scale.q
    return fmpz_mat(1, 1, [product])


def _noise_share(Z: fmpz_mat, columns: list[Any], bases: list[fmpz_mat], square: fmpq) -> fmpq:
    # Z and the bases in their units, ``square`` that of the bases squared; N and S both times its denominator squared.
    signal = noise = 0
    for column, basis in zip(columns, bases, strict=True):
        Y = Z * basis
        outside = Z * square.q - Y * basis.transpose() * square.p
        for w, inner, outer in zip(column, Y.tolist(), outside.tolist(), strict=True):
            signal += w * sum(x * x for x in inner) * square.p * square.q
            noise += w * sum(x * x for x in outer)
    return fmpq(noise, noise + signal) if noise + signal else ZERO


def _shifted(gram: fmpz_mat, scale: fmpq) -> fmpz_mat:
    # A multiple of I + scale * gram; the multiplier is the same before and after, and cancels in the ratio.
    shifted = gram * scale.p
    for i in range(gram.nrows()):
        shifted[i, i] += scale.q
    return shifted
