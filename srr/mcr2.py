r"""Maximal coding rate reduction: ΔR(Z|Π) with labels, its regularised form, and their optima in closed form.

For hard labels, with γ = n_k/n and α = d/(n ε²), everything about one class is in its *shape function* ::

    f(x) = log(1 + αx) − γ log(1 + αx/γ),    ΔR(Z|Π) ≤ ½ Σ_k Σ_i f_k(σ_ki²),

with equality where the classes are mutually orthogonal, σ_ki being the singular values of class k. f is convex up to
the turning point x_T = √γ/α and concave from there on, and f(x)/x is largest at the tangent point x_S > x_T.

Tokens are rows. Yu et al. 2020 (arXiv 2006.08558), Wang et al. 2024 (arXiv 2406.01909), Dai et al. 2022 (arXiv
2111.06636).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from srr import _arrays
from srr._arrays import Array, count, namespace, nonnegative, positive, require_shape, require_tokens
from srr._scalars import alpha, as_array
from srr.rates import coding_rate, partition_coding_rate, rate_reduction_and_gradient

__all__ = [
    "Optimum",
    "closed_loop_distance",
    "contrastive",
    "largest_weight",
    "optimum",
    "regularised",
    "regularised_and_gradient",
    "regularised_optimum",
    "shape",
    "stationary_points",
    "tangent_point",
    "turning_point",
]


# --- objectives ---------------------------------------------------------------------------------------------------


def regularised(Z: Array, Pi: Array, *, eps: float, lam: float) -> Array:
    """ΔR(Z|Π) − ½ λ‖Z‖², in nats: rate reduction with a penalty in the place of a constraint.

    Parameters
    ----------
    Z : array, shape (..., n, d)
    Pi : array, shape (..., n, K)
        Memberships, hard or soft, rows on the simplex.
    eps : float
        Precision ε > 0.
    lam : float
        λ ≥ 0.

    Returns
    -------
    array, shape (...)

    Raises
    ------
    TypeError, ValueError
        An argument of the wrong kind, shape or value; the message names it.

    Notes
    -----
    Wang et al. 2024 (arXiv 2406.01909). Their code adds ``lmb``‖Z‖² to its loss: λ = 2 ``lmb``.
    """
    return regularised_and_gradient(Z, Pi, eps=eps, lam=lam)[0]


def regularised_and_gradient(Z: Array, Pi: Array, *, eps: float, lam: float) -> tuple[Array, Array]:
    """The value of `regularised`, whose parameters and errors these are, and its gradient in Z.

    Returns
    -------
    value : array, shape (...)
        Nats.
    gradient : array, shape (..., n, d)
    """
    xp, weight = namespace(Pi=Pi), nonnegative(lam, "lam")
    value, gradient = rate_reduction_and_gradient(Z, Pi=Pi, eps=eps)
    return as_array(value - weight / 2 * xp.sum(Z * Z, axis=(-2, -1))), gradient - weight * Z


def contrastive(Z: Array, Pi: Array, *, eps: float, inner: float = 1.0, outer: float = 1.0) -> Array:
    """R with ``inner``·α in the place of α, times ``outer``, less Rᶜ(Z|Π): what the published code maximises.

    Parameters
    ----------
    Z, Pi, eps
        As in `regularised`.
    inner, outer : float
        γ₂ and 1/γ₁ of the self-supervised objective, ``gam1`` and ``gam2`` of the code; above zero. With both one
        this is ΔR(Z|Π).

    Returns
    -------
    array, shape (...)

    Raises
    ------
    TypeError, ValueError
        An argument of the wrong kind, shape or value; the message names it.

    Notes
    -----
    ``loss.py`` of the code of Yu et al. 2020, which calls ε² ``eps``, adds 1e-8 to every n_k, and minimises.
    """
    whole: Array = coding_rate(Z, eps=positive(eps, "eps") / math.sqrt(positive(inner, "inner")))
    within: Array = partition_coding_rate(Z, Pi, eps=eps)
    return as_array(positive(outer, "outer") * whole - within)


def closed_loop_distance(Z: Array, other: Array, *, eps: float) -> Array:
    """R(Z ∪ Ẑ) − ½ R(Z) − ½ R(Ẑ), in nats: how far apart the second moments of two token sets are.

    It is zero exactly where ZᵀZ = ẐᵀẐ, whatever else the two sets are.

    Parameters
    ----------
    Z, other : array, shape (..., n, d)
        As many tokens in both.
    eps : float
        Precision ε > 0.

    Returns
    -------
    array, shape (...)
        ≥ 0.

    Raises
    ------
    TypeError, ValueError
        An argument of the wrong kind, shape or value; the message names it.

    Notes
    -----
    Dai et al. 2022 (arXiv 2111.06636). It is the rate reduction of both sets together, labelled by where they come
    from. Its square root is a metric on second moments (Sra 2016, Proc. AMS 144), and it is none itself.
    """
    xp = namespace(Z=Z, other=other)
    require_tokens(Z)
    require_tokens(other, "other")
    require_shape(other, ("...", *Z.shape[-2:]), "other")
    _arrays.require_broadcast(Z=Z, other=other)
    batch = np.broadcast_shapes(Z.shape[:-2], other.shape[:-2])
    both = xp.concat([xp.broadcast_to(tokens, (*batch, *Z.shape[-2:])) for tokens in (Z, other)], axis=-2)
    rates: list[Array] = [coding_rate(tokens, eps=eps) for tokens in (both, Z, other)]
    return as_array(rates[0] - rates[1] / 2 - rates[2] / 2)


# --- one class ------------------------------------------------------------------------------------------------------


def shape(x: float, share: float, constant: float) -> float:
    """f(x) = log(1 + αx) − γ log(1 + αx/γ): twice what a squared singular value x adds to ΔR, in nats.

    Parameters
    ----------
    x : float
        ≥ 0.
    share : float
        γ = n_k/n, above 0 and below 1.
    constant : float
        α > 0.

    Returns
    -------
    float

    Raises
    ------
    TypeError, ValueError
        An argument of the wrong kind or value; the message names it.

    Notes
    -----
    f(0) = f′(0) = 0, f′(x) = α²x (1 − γ)/((1 + αx)(γ + αx)), which is the same at x and at x_T²/x.
    """
    t, share = positive(constant, "constant") * nonnegative(x, "x"), _share(share)
    return math.log1p(t) - share * math.log1p(t / share)


def turning_point(share: float, constant: float) -> float:
    """x_T = √γ/α, where the shape function turns from convex to concave. Parameters and errors as in `shape`."""
    return math.sqrt(_share(share)) / positive(constant, "constant")


def tangent_point(share: float, constant: float) -> float:
    """x_S, where f(x)/x is largest: the root of f(x) = x f′(x) above x_T. Parameters and errors as in `shape`.

    With t = x_S/x_T, which depends on γ alone, t is 2.16 for γ → 1 and grows like √log(1/γ) for γ → 0.
    """
    g = math.sqrt(_share(share))

    def excess(t: float) -> float:  # (f − x f′)/γ at x = t x_T: below zero before the tangent point
        u = g * t
        small = u * u * (1 / 2 - u * (2 / 3 - u * (3 / 4 - u * (4 / 5 - u * 5 / 6))))  # where the next line cancels
        whole = small if u < 1e-3 else math.log1p(u) - u / (1 + u)
        return whole / (g * g) + t / (g + t) - math.log1p(t / g)

    low, high = 2.0, 32.0  # beyond t of the least share that a float can be
    while (middle := (low + high) / 2) not in (low, high):
        low, high = (middle, high) if excess(middle) < 0 else (low, middle)
    return high * turning_point(share, constant)


def largest_weight(share: float, constant: float) -> float:
    """α (1 − √γ)/(1 + √γ) = f′(x_T): the largest λ at which a class has stationary points other than zero.

    Parameters and errors as in `shape`.
    """
    g = math.sqrt(_share(share))
    return positive(constant, "constant") * (1 - g) / (1 + g)


def stationary_points(share: float, constant: float, lam: float) -> tuple[float, float] | None:
    """Where f′(x) = λ: a local minimum and a local maximum of f(x) − λx, in this order; None if there are none.

    They are the roots of λ(α/γ)x² − ηx + λ/α, η = α/γ − α − λ(1/γ + 1).

    Parameters
    ----------
    share, constant
        As in `shape`.
    lam : float
        λ > 0.

    Returns
    -------
    smaller, larger : float, or None

    Raises
    ------
    TypeError, ValueError
        An argument of the wrong kind or value; the message names it.

    Notes
    -----
    Wang et al. 2024 (arXiv 2406.01909). The product of the roots is x_T²; at λ = `largest_weight` they meet there.
    """
    share, constant, lam = _share(share), positive(constant, "constant"), positive(lam, "lam")
    if lam > largest_weight(share, constant):
        return None
    eta = constant * (1 - share) - lam * (1 + share)  # γη, and below γ times the rest
    root = math.sqrt(max(eta * eta - 4 * lam * lam * share, 0.0))
    larger = (eta + root) / (2 * lam * constant)
    return share / constant / constant / larger, larger


def _share(share: float) -> float:
    if not positive(share, "share") < 1:
        raise ValueError(f"share must be < 1, got {share!r}")
    return share


# --- all classes ----------------------------------------------------------------------------------------------------


class Optimum(NamedTuple):
    """Where an objective is largest: mutually orthogonal classes, each with equal singular values."""

    ranks: tuple[int, ...]
    """Of each class."""
    squares: tuple[float, ...]
    """The square of the singular values of each class; 0 where its rank is."""
    value: float
    """In nats."""


def optimum(sizes: Sequence[int], dimensions: Sequence[int], d: int, *, eps: float) -> Optimum:
    """The largest ΔR(Z|Π) of tokens with ‖Z_k‖² = n_k and rank Z_k ≤ d_k, or with unit tokens.

    Class k has the rank r ≤ min(d_k, n_k) at which r f_k(n_k/r) is largest, next to n_k/x_S, and r equal singular
    values. It has full rank only if n_k/d_k is about x_S or more.

    Parameters
    ----------
    sizes : sequence of int
        n_k ≥ 1 of two classes or more.
    dimensions : sequence of int
        d_k ≥ 1, their sum at most d.
    d : int
        Dimension of the tokens.
    eps : float
        Precision ε > 0.

    Returns
    -------
    Optimum

    Raises
    ------
    TypeError, ValueError
        An argument of the wrong kind or value; the message names it.

    Notes
    -----
    A point with singular values on both sides of x_T is no local maximum: with f′(a) = f′(b) = μ, b = x_T²/a < x_T,
    moving energy from one to the other changes the sum by f″(a) + f″(b) > 0 to second order. So all that are not zero
    are equal, and r f(n_k/r) = n_k f(x)/x, x = n_k/r, has a single maximum. Yu et al. 2020 (arXiv 2006.08558), theorem
    1, states full rank under ε⁴ < min_k (n_k/n)(d/d_k)², that is n_k/d_k > x_T, which is not enough.
    """
    d, sizes = count(d, "d"), _sizes(sizes)
    dimensions = _counts(dimensions, "dimensions")
    if len(dimensions) != len(sizes) or sum(dimensions) > d:
        raise ValueError(f"dimensions must be one for each size, with a sum <= d = {d}, got {dimensions}")
    n, constant = sum(sizes), alpha(d, sum(sizes), eps)
    ranks, value = [], 0.0
    for k, size in enumerate(sizes):
        values = [r * shape(size / r, size / n, constant) / 2 for r in range(1, min(dimensions[k], size) + 1)]
        value += max(values)
        ranks.append(1 + values.index(max(values)))
    return Optimum(tuple(ranks), tuple(sizes[k] / r for k, r in enumerate(ranks)), value)


def regularised_optimum(sizes: Sequence[int], d: int, *, eps: float, lam: float) -> Optimum:
    """The largest ΔR(Z|Π) − ½ λ‖Z‖² for hard labels.

    A singular direction of class k adds h_k = ½ (f_k(x) − λx) at the larger stationary point. The min(n, d) directions
    go to the classes with the largest h_k, each with at most min(n_k, d), as long as h_k > 0: smaller classes first,
    and none at all to a class with λ above f_k′(x_S).

    Parameters
    ----------
    sizes, d, eps
        As in `optimum`.
    lam : float
        λ > 0.

    Returns
    -------
    Optimum

    Raises
    ------
    TypeError, ValueError
        An argument of the wrong kind or value; the message names it.

    Notes
    -----
    Wang et al. 2024 (arXiv 2406.01909), theorem 3.1, whose condition on the global maximisers, Σ r_k = min(n, d),
    presupposes h_k > 0.
    """
    d, sizes = count(d, "d"), _sizes(sizes)
    n, constant, left = sum(sizes), alpha(d, sum(sizes), eps), min(sum(sizes), d)
    gains, squares = [], []
    for size in sizes:
        points = stationary_points(size / n, constant, lam)
        x = points[1] if points else 0.0
        gains.append((shape(x, size / n, constant) - lam * x) / 2)
        squares.append(x)
    ranks = [0] * len(sizes)
    for k in sorted(range(len(sizes)), key=lambda k: -gains[k]):
        if gains[k] > 0:
            ranks[k] = min(sizes[k], left)
            left -= ranks[k]
    value = sum(r * gains[k] for k, r in enumerate(ranks))
    return Optimum(tuple(ranks), tuple(squares[k] if r else 0.0 for k, r in enumerate(ranks)), value)


def _sizes(sizes: Sequence[int]) -> tuple[int, ...]:
    found = _counts(sizes, "sizes")
    if len(found) < 2:
        raise ValueError(f"sizes must be of two classes or more, got {found}")
    return found


def _counts(values: Sequence[int], name: str) -> tuple[int, ...]:
    if isinstance(values, str) or not isinstance(values, Sequence):
        raise TypeError(f"{name} must be a sequence of whole numbers, got {values!r}")
    return tuple(count(value, name) for value in values)
