"""The rates beside what they are exactly, and how far from it a rounded one may be.

Two tolerances, and no other:

``stable``    what LAPACK asks of a factorisation: the exact value of a matrix within 30·size·u·‖A‖ of the given one;
``√u``        what ``method="auto"`` promises beyond that, relative.
"""

import warnings
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import Any

import families
import numpy as np
import oracle
import pytest
from families import Tokens
from flint import arb

from srr import rates
from srr._arrays import PrecisionWarning

METHODS = ("auto", "cholesky", "svd")


@dataclass(frozen=True)
class Rate:
    """One of the rates: how srr computes it, what it is exactly, and the matrices it is made of."""

    name: str
    value: Callable[..., Any]
    value_and_gradient: Callable[..., Any]
    arguments: Callable[[Tokens], dict[str, np.ndarray]]
    exact: Callable[..., arb]
    exact_gradient: Callable[..., Any]
    parts: Callable[..., list["Part"]]

    def __str__(self):
        return self.name


@dataclass(frozen=True)
class Part:
    """A term weight · ½ log det(I + root² AᵀA), where rounding may already have moved A by ``slack``."""

    weight: float
    A: np.ndarray
    root: float
    slack: float
    reach: float = 1.0
    """Norm of the map from the gradient in A to the gradient in Z."""


def _coding_parts(Z, eps):
    n, d = Z.shape
    return [Part(1.0, Z, np.sqrt(d / n) / eps, 0.0)]


def subspace_parts(Z, eps, U):
    n, p, u = len(Z), U.shape[-1], families.roundoff(Z.dtype)
    Z, U = Z.astype(float), U.astype(float)
    return [
        Part(1.0, Z @ basis, np.sqrt(p / n) / eps, 30 * len(basis) * u * _norm(Z) * _norm(basis), _norm(basis))
        for basis in U
    ]


def _partition_parts(Z, eps, Pi):
    n, d = Z.shape
    Z, Pi = Z.astype(float), Pi.astype(float)
    return [
        Part(size / n, np.sqrt(w / size)[:, None] * Z, np.sqrt(d) / eps, 0.0)
        for w, size in zip(Pi.T, Pi.sum(0), strict=True)
        if size > 0
    ]


def _norm(A):
    """‖A‖₂, clear of over- and underflow."""
    top = np.max(np.abs(A), initial=0)
    return float(np.linalg.norm(A / top, 2) * top) if top > 0 else 0.0


def _reduction(name, inner):
    return Rate(
        name,
        rates.rate_reduction,
        rates.rate_reduction_and_gradient,
        inner.arguments,
        lambda Z, *, eps, **given: oracle.coding_rate(Z, eps=eps) - inner.exact(Z, *given.values(), eps=eps),
        lambda Z, *, eps, **given: (
            oracle.coding_gradient(Z, eps=eps) - inner.exact_gradient(Z, *given.values(), eps=eps)
        ),
        lambda Z, eps, **given: _coding_parts(Z, eps) + inner.parts(Z, eps, **given),
    )


def _subspace(kind):
    return Rate(
        f"subspaces, {kind}",
        rates.subspace_coding_rate,
        rates.subspace_coding_rate_and_gradient,
        lambda t: {"U": t.bases(3, (t.d + 1) // 2, kind)},
        oracle.subspace_coding_rate,
        oracle.subspace_gradient,
        subspace_parts,
    )


def _partition(kind):
    return Rate(
        f"partition, {kind}",
        rates.partition_coding_rate,
        rates.partition_coding_rate_and_gradient,
        lambda t: {"Pi": t.memberships(3, kind)},
        oracle.partition_coding_rate,
        oracle.partition_gradient,
        _partition_parts,
    )


CODING = Rate(
    "coding",
    rates.coding_rate,
    rates.coding_rate_and_gradient,
    lambda t: {},
    oracle.coding_rate,
    oracle.coding_gradient,
    _coding_parts,
)
SINGLE = (
    CODING,
    *(_subspace(kind) for kind in ("orthonormal", "any")),
    *(_partition(kind) for kind in ("soft", "hard", "empty class", "sharp")),
)
RATES = (*SINGLE, *(_reduction(f"reduction, {r.name}", r) for r in (SINGLE[1], SINGLE[3])))

imprecise = pytest.mark.filterwarnings("ignore::srr.PrecisionWarning")
every_rate = pytest.mark.parametrize("rate", RATES, ids=str)
every_dtype = pytest.mark.parametrize("dtype", families.DTYPES, ids=["float64", "float32"])


# --- tolerances -------------------------------------------------------------------------------------------------


def half_log(x):
    """½ log(1 + x²), for x as small or large as floats go."""
    return np.where(x < 1, np.log1p(np.minimum(x, 1) ** 2) / 2, np.log(np.hypot(1, x)))


def _moved(part, u):
    """Its singular values, and how far a backward-stable algorithm may move them."""
    top = np.max(np.abs(part.A), initial=0)
    sigma = np.linalg.svd(part.A.astype(float) / top, compute_uv=False) * float(top) if top > 0 else np.zeros(1)
    return sigma, 30 * max(part.A.shape) * u * sigma[0] + part.slack


def stable(parts, dtype):
    """What a change of each A within its backward error does to the sum of the terms, plus its rounding."""
    u, total = families.roundoff(dtype), 0.0
    for part in parts:
        sigma, delta = _moved(part, u)
        low, high = part.root * np.maximum(sigma - delta, 0), part.root * (sigma + delta)
        h = np.hypot(1, low)
        spread = np.sum(np.log1p((high - low) / h * ((high + low) / h))) / 2
        total += part.weight * (spread + 30 * max(part.A.shape) * u * np.sum(half_log(high)))
    return total + np.finfo(dtype).smallest_normal


def stable_gradient(parts, dtype):
    """The same for the gradient: its derivative is at most c/(1+cσ²), σ the smallest singular value nearby."""
    u, total = families.roundoff(dtype), 0.0
    for part in parts:
        sigma, delta = _moved(part, u)
        x = part.root * np.maximum(sigma - delta, 0)
        slope = part.root / np.hypot(1, x[-1]) * (part.root / np.hypot(1, x[-1]))
        size = np.sqrt(np.sum((part.root * x / np.hypot(1, x) / np.hypot(1, x)) ** 2))
        total += part.weight * part.reach * (slope * delta + 30 * max(part.A.shape) * u * size)
    return total + np.finfo(dtype).smallest_normal


@cache
def exact(rate, tokens):
    Z, given = tokens.Z, rate.arguments(tokens)
    return rate.exact(Z, **given, eps=tokens.eps)


@cache
def exact_gradient(rate, tokens):
    Z, given = tokens.Z, rate.arguments(tokens)
    return rate.exact_gradient(Z, **given, eps=tokens.eps)


def called(function, *args, **options):
    """The result, and whether it came with a PrecisionWarning; any other warning is an error."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("error")
        warnings.simplefilter("always", PrecisionWarning)
        return function(*args, **options), bool(caught)


def listing(wrong):
    return f"{len(wrong)} instances, such as\n" + "\n".join(f"{t}: {w}" for t, w in wrong[:6])


def magnitude(parts):
    """The sum of the rates that make up the value."""
    return sum(part.weight * np.sum(half_log(part.root * _moved(part, 0)[0])) for part in parts)


def gradient_magnitude(parts):
    """The sum of the norms that make up the gradient."""
    total = 0.0
    for part in parts:
        x = part.root * _moved(part, 0)[0]
        total += part.weight * part.reach * np.sqrt(np.sum((part.root * x / np.hypot(1, x) / np.hypot(1, x)) ** 2))
    return total


def agree(a, b, *, size, scale, dtype):
    np.testing.assert_array_less(np.abs(a - b), 30 * size * families.roundoff(dtype) * scale)
