"""Maximal coding rate reduction: what its optimum looks like, with constraint or penalty, and who gets there."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import numpy as np
from flint import arb, ctx, fmpq
from scipy.optimize import root

import srr
from srr import mcr2
from verify.arrays import to_numpy
from verify.case import Case
from verify.claims._instances import memberships, norm, rotation, sensitivity, tokens
from verify.claims._sources import BOOK, CTRL, GEO, MCR2
from verify.derivatives import partition_rate_along, rate_along
from verify.figures import mcr2 as figures
from verify.figures.rates import angle_between_two_classes
from verify.ledger import HOLDS, REFUTED, Outcome, claim
from verify.outcome import all_of, at_most, decided, equal, exactly, observed

Array = Any
BITS = 256


# --- one class: its shape function, in rationals and in balls -------------------------------------------------------


def _fmpq(x: float | Fraction) -> fmpq:
    return fmpq(*x.as_integer_ratio())


def _shape(x: Any, share: Fraction, constant: Fraction) -> arb:
    """f(x) = log(1 + αx) − γ log(1 + αx/γ), enclosed."""
    x = arb(_fmpq(x)) if isinstance(x, float | Fraction) else arb(x)
    t, g = arb(_fmpq(constant)) * x, arb(_fmpq(share))
    return (1 + t).log() - g * (1 + t / g).log()


def _slope(x: Fraction, share: Fraction, constant: Fraction) -> Fraction:
    """f′(x), by the derivative of either logarithm."""
    return constant / (1 + constant * x) - constant / (1 + constant * x / share)


def _bend(x: Fraction, share: Fraction, constant: Fraction) -> Fraction:
    """f″(x), likewise."""
    return -((constant / (1 + constant * x)) ** 2) + constant**2 / share / (1 + constant * x / share) ** 2


def _sign(x: arb) -> int | None:
    return 1 if x > 0 else -1 if x < 0 else None


def _share(case: Case) -> Fraction:
    """γ, the square of a rational number, so that x_T is rational."""
    most = case.integer("denominator of the root of the share", 2, 40)
    return Fraction(case.integer("numerator of the root of the share", 1, most - 1), most) ** 2


@claim(
    "mcr2.shape-function",
    title="What a squared singular value adds grows, faster and faster up to the turning point, slower beyond it",
    statement=r"f'(x)\ge0,\quad f'(x)=f'(x_T^2/x),\quad f''\ge0\iff x\le x_T=\sqrt{\gamma}/\alpha,\qquad "
    r"f(x)=\log(1+\alpha x)-\gamma\log(1+\alpha x/\gamma)",
    source=f"{MCR2}, proof of the theorem on optima; derived",
    relation="=",
    hypotheses="rational gamma < 1, alpha and x",
    expect=HOLDS,
    twin="gamma/alpha for the turning point",
    proof=(
        "slope-of-the-shape-function",
        "shape-function-increases",
        "symmetry-of-the-slope-of-the-shape-function",
        "curvature-of-the-shape-function",
    ),
    derivations=("turning-point-of-the-shape-function",),
    instances=100,
    figure=figures.what_a_singular_value_adds,
)
def shape_function(case: Case) -> Outcome:
    """f″ has the sign of γ − α²x². In rational arithmetic; slopes are the same at equal ratios to x_T."""
    share, constant = _share(case), Fraction(case.log_uniform("alpha", 0.01, 100.0))
    turning = Fraction(math.isqrt(share.numerator), math.isqrt(share.denominator)) / constant
    turning = case.wrong(turning, share / constant)
    ratio = Fraction(case.log_uniform("x over the turning point", 0.01, 100.0))
    x = ratio * turning
    bend = _bend(x, share, constant)
    return all_of(
        exactly(_slope(x, share, constant) >= 0),
        exactly(_slope(x, share, constant) == _slope(turning / ratio, share, constant)),
        exactly((bend >= 0) == (ratio <= 1)),
    )


@claim(
    "mcr2.tangent-point",
    title="A singular value is worth most, for its energy, at the tangent point",
    statement=r"\max_x\frac{f(x)}x\ \text{at}\ x_S:\ f(x_S)=x_Sf'(x_S),\qquad x_S/x_T>2.16",
    source="derived",
    relation="tight",
    hypotheses="rational gamma < 1 and alpha; the root is enclosed within one part in 10^9",
    expect=HOLDS,
    twin="the turning point",
    derivations=(
        "slope-of-the-intercept-of-the-shape-function",
        "tangent-point-of-a-quarter-from-below",
        "tangent-point-of-a-quarter-from-above",
    ),
    uses=("mcr2.shape-function",),
    instances=60,
    figure=figures.what_a_singular_value_adds,
)
def tangent_point(case: Case) -> Outcome:
    """d(f/x)/dx = (x f′ − f)/x² is positive just before the point that `srr.mcr2.tangent_point` gives and negative
    just after it, in balls.
    """
    share, constant = _share(case), Fraction(case.log_uniform("alpha", 0.01, 100.0))
    given = float(share), float(constant)
    point = case.wrong(mcr2.tangent_point, mcr2.turning_point)(*given)

    def growth(x: float) -> int | None:
        with ctx.workprec(BITS):
            rational = Fraction(x)
            return _sign(arb(_fmpq(rational * _slope(rational, share, constant))) - _shape(x, share, constant))

    far = point > 2.16 * mcr2.turning_point(*given)
    return all_of(observed(far), decided(growth(point * (1 - 1e-9)), ">"), decided(growth(point * (1 + 1e-9)), "<"))


# --- all classes ----------------------------------------------------------------------------------------------------


def _orthogonal(case: Case, rng: np.random.Generator, spectra: Sequence[np.ndarray], sizes: Sequence[int]) -> Array:
    """Mutually orthogonal classes with these singular values, in random position; tokens are rows."""
    Q = rotation(rng, sum(len(s) for s in spectra))
    rows, start = [], 0
    for s, size in zip(spectra, sizes, strict=True):
        V = np.linalg.qr(rng.standard_normal((size, len(s))))[0]
        rows.append((V * s) @ Q[start : start + len(s)])
        start += len(s)
    return case.asarray(np.concatenate(rows))


def _labels(case: Case, sizes: Sequence[int]) -> Array:
    return case.asarray(np.repeat(np.eye(len(sizes)), sizes, axis=0))


@claim(
    "mcr2.upper-bound",
    title="The rate reduction is at most that of the same classes made orthogonal",
    statement=r"\Delta R(Z\mid\Pi)\le\tfrac12\sum_k\sum_if_k(\sigma_{k,i}^2),\qquad"
    r"\text{equality if}\ Z_k^\top Z_l=0\ (k\ne l)",
    source=f"{MCR2}, theorem on the upper bound of the rate reduction",
    relation="tight",
    hypotheses="two or three classes of Gaussian tokens, and orthogonal classes with the same singular values",
    expect=HOLDS,
    twin="n for n_k in the second logarithm",
    derivations=("rate-reduction-at-most-sum-over-classes", "coding-rate-of-classes-in-orthogonal-subspaces"),
    uses=("rates.sandwich",),
    instances=80,
    figure=angle_between_two_classes,
)
def upper_bound(case: Case) -> Outcome:
    """By Fischer's inequality; the singular values are NumPy's."""
    rng = case.rng()
    sizes = case.choice("sizes", ((2, 3), (3, 1), (2, 2, 4)))
    eps, d, n = case.log_uniform("eps", 0.1, 3.0), 3, sum(sizes)
    constant = d / (n * eps**2)
    blocks = [case.log_uniform(f"scale {k}", 0.1, 3.0) * rng.standard_normal((size, d)) for k, size in enumerate(sizes)]
    spectra = [np.linalg.svd(Z, compute_uv=False) for Z in blocks]

    def bound(constant: float) -> float:
        total = 0.0
        for s, size in zip(spectra, sizes, strict=True):
            x, share = constant * s**2, size / n
            total += float(np.sum(np.log1p(x) - share * np.log1p(x / case.wrong(share, 1.0)))) / 2
        return total

    Z, Pi = case.asarray(np.concatenate(blocks)), _labels(case, sizes)
    whole = srr.coding_rate_and_gradient(Z, eps=eps)
    parts = srr.partition_coding_rate_and_gradient(Z, Pi, eps=eps)
    scale = sensitivity(Z, whole, parts)
    apart = _orthogonal(case, rng, spectra, sizes)  # in more dimensions, so at a precision that keeps α
    wide = apart.shape[1]
    reached = srr.rate_reduction(apart, Pi=Pi, eps=eps * math.sqrt(wide / d))
    return all_of(
        at_most(whole[0] - parts[0], bound(constant), size=n + d, scale=scale),
        equal(reached, bound(constant), size=n + wide, scale=scale + bound(constant) * 4),
    )


@dataclass(frozen=True)
class Sizes:
    """Classes, the largest rank that each may have, and a precision."""

    sizes: tuple[int, ...]
    dimensions: tuple[int, ...]
    d: int
    squared_eps: Fraction

    @property
    def n(self) -> int:
        return sum(self.sizes)

    @property
    def constant(self) -> Fraction:
        """α."""
        return Fraction(self.d, self.n) / self.squared_eps

    def share(self, k: int) -> Fraction:
        return Fraction(self.sizes[k], self.n)

    def value(self, k: int, r: int) -> arb:
        """What class k adds with r equal singular values."""
        return r * _shape(Fraction(self.sizes[k], r), self.share(k), self.constant) / 2


def _problem(case: Case, ratio: Callable[[Sizes, int], float]) -> Sizes:
    """A precision at which the least of n_k/d_k is ``beyond`` 1 times as large as ``ratio`` of it."""
    K = case.integer("K", 2, 3)
    dimensions = tuple(case.integer(f"rank {k}", 1, 4) for k in range(K))
    sizes = tuple(m * case.integer(f"tokens a dimension {k}", 1, 8) for k, m in enumerate(dimensions))
    d = sum(dimensions) + case.integer("more dimensions", 0, 3)
    beyond = case.log_uniform("beyond", 1.001, 10.0)
    at_one = Sizes(sizes, dimensions, d, Fraction(1))
    least = min(size / m / ratio(at_one, k) for k, (size, m) in enumerate(zip(sizes, dimensions, strict=True)))
    return Sizes(sizes, dimensions, d, Fraction(least / beyond))  # both points are in proportion to ε²


def _full_rank_is_optimal(problem: Sizes) -> Outcome:
    outcomes = []
    with ctx.workprec(BITS):
        for k, most in enumerate(problem.dimensions):
            for r in range(1, most):
                outcomes.append(decided(_sign(problem.value(k, most) - problem.value(k, r)), ">"))
    return all_of(*outcomes) if outcomes else exactly(True)


@claim(
    "mcr2.optimality-theorem",
    title="At the precision that the theorem asks for, every class fills its subspace",
    statement=r"\varepsilon^4<\min_k\frac{n_k}n\Big(\frac d{d_k}\Big)^2\ \Rightarrow\ "
    r"\mathrm{rank}\,Z_k^\star=d_k",
    source=f"{MCR2}, theorem on optima (ii); {BOOK} has an unspecified constant c",
    relation="=",
    hypotheses="two or three classes, ranks 1 to 4, n_k a multiple of d_k, the condition met by a factor up to 10",
    expect=REFUTED,
    twin="n_k/d_k >= x_S, the tangent point, for the condition, which is n_k/d_k > x_T",
    uses=("mcr2.tangent-point", "mcr2.upper-bound", "mcr2.equal-values"),
    instances=100,
    figure=figures.value_by_rank,
)
def optimality_theorem(case: Case) -> Outcome:
    """False: the optimum of class k has r equal singular values, r f_k(n_k/r) being largest, and f/x is largest at
    x_S > 2.16 x_T. The condition says n_k/d_k > x_T only. Decided in balls.
    """

    def ratio(problem: Sizes, k: int) -> float:
        point = case.wrong(mcr2.turning_point, mcr2.tangent_point)
        return point(float(problem.share(k)), float(problem.constant))

    return _full_rank_is_optimal(_problem(case, ratio))


@claim(
    "mcr2.no-absolute-constant",
    title="No constant in the theorem's condition makes every class fill its subspace",
    statement=r"\forall c>0\ \exists n_k,d_k,\varepsilon:\quad"
    r"\varepsilon^4<c\,\min_k\frac{n_k}n\Big(\frac d{d_k}\Big)^2\ \text{and}\ \mathrm{rank}\,Z_k^\star<d_k",
    source=f"{BOOK}, theorem on optima, with its constant c; derived",
    relation="tight",
    hypotheses="c from 0.03 to 1; a class of two tokens in a plane beside one of 10^m tokens on a line, m the least "
    "that serves",
    expect=HOLDS,
    twin="a condition that grows with log(n/n_k): n_1/d_1 >= x_S",
    uses=("mcr2.tangent-point", "mcr2.equal-values"),
    instances=40,
    figure=figures.value_by_rank,
)
def no_absolute_constant(case: Case) -> Outcome:
    """Two equal singular values beat one only beyond t² ~ ½ log(1/γ), t = x/x_T: unbounded as γ → 0. The twin
    puts the small class at its tangent point, and no m serves.
    """
    c = case.log_uniform("c", 0.03, 1.0)
    for m in range(1, 30):
        sizes = (2, 10**m)
        at_one = Sizes(sizes, (2, 1), 3, Fraction(1))
        share, constant = float(at_one.share(0)), float(at_one.constant)
        turning = mcr2.turning_point(share, constant)
        x = case.wrong(turning / math.sqrt(c) * 1.0001, mcr2.tangent_point(share, constant) * 1.0001)
        problem = Sizes(sizes, (2, 1), 3, Fraction(1.0 / x))  # n_1/d_1 = 1
        with ctx.workprec(BITS):
            if problem.value(0, 1) > problem.value(0, 2):
                return exactly(True, small=2, large=sizes[1])
    return exactly(False)


@claim(
    "mcr2.equal-values",
    title="No optimum has one singular value smaller than the others",
    statement=r"f'(a)=f'(b),\ b<x_T<a\ \Rightarrow\ f''(a)+f''(b)>0:\ \text{moving energy from one to the other gains}",
    source=f"{MCR2}, theorem on optima (ii), whose second alternative this excludes",
    relation="<",
    hypotheses="rational gamma, alpha and a/x_T from 1.001 to 100",
    expect=HOLDS,
    twin="the sum is negative",
    uses=("mcr2.shape-function",),
    instances=100,
    figure=figures.split_of_energy,
)
def equal_values(case: Case) -> Outcome:
    """Among stationary spectra at fixed energy, one with values on both sides of the turning point is no local
    maximum. As f′ is the same at x_T e^u and x_T e^−u, b f″(b) = −a f″(a). In rational arithmetic.
    """
    share, constant = _share(case), Fraction(case.log_uniform("alpha", 0.01, 100.0))
    turning = Fraction(math.isqrt(share.numerator), math.isqrt(share.denominator)) / constant
    ratio = Fraction(case.log_uniform("a over the turning point", 1.001, 100.0))
    a, b = ratio * turning, turning / ratio
    total = case.wrong(1, -1) * (_bend(a, share, constant) + _bend(b, share, constant))
    return all_of(exactly(_slope(a, share, constant) == _slope(b, share, constant)), exactly(total > 0))


@claim(
    "mcr2.optimum",
    title="The optimum under fixed energy in closed form: ranks by the tangent point, equal singular values",
    statement=r"\max_{\|Z_k\|^2=n_k,\ \mathrm{rank}Z_k\le d_k}\Delta R=\tfrac12\sum_k\max_{r\le d_k}r\,f_k(n_k/r)",
    source="derived",
    relation="tight",
    hypotheses="two or three classes, ranks 1 to 4, any precision; against 200 spectra, some near the optimum",
    expect=HOLDS,
    twin="every class fills its subspace",
    uses=("mcr2.equal-values", "mcr2.upper-bound"),
    instances=60,
    figure=figures.value_by_rank,
)
def closed_optimum(case: Case) -> Outcome:
    """Spectra of all kinds are tried: spread out, concentrated, and the optimum moved a little."""
    problem = _problem(case, lambda problem, k: case.uniform(f"point {k}", 0.1, 1.0))
    rng = case.rng()
    eps = math.sqrt(problem.squared_eps)
    found = mcr2.optimum(problem.sizes, problem.dimensions, problem.d, eps=eps)
    ranks = case.wrong(found.ranks, problem.dimensions)
    best = sum(
        r * mcr2.shape(size / r, size / problem.n, float(problem.constant)) / 2
        for r, size in zip(ranks, problem.sizes, strict=True)
    )
    highest = 0.0
    for k, (size, most) in enumerate(zip(problem.sizes, problem.dimensions, strict=True)):
        x = rng.dirichlet(np.full(most, case.choice(f"spread {k}", (1.0, 0.1, 10.0))), size=200)
        x[: 2 * most] = np.repeat(np.tril(np.ones((most, most))) / np.arange(1, most + 1)[:, None], 2, axis=0)
        x[most : 2 * most] += 0.02 * rng.random((most, most))
        t = float(problem.constant) * size * x / x.sum(axis=1, keepdims=True)
        share = size / problem.n
        highest += float(np.max(np.sum(np.log1p(t) - share * np.log1p(t / share), axis=1))) / 2
    scale = 4 * (1 + math.log1p(float(problem.constant) * problem.n)) * sum(problem.dimensions)
    return all_of(
        at_most(highest, best, size=4, scale=scale),
        equal(best, case.wrong(found.value, best), size=4, scale=scale),
    )


@claim(
    "mcr2.sphere-is-as-good",
    title="Tokens on the sphere reach the optimum that their energy allows",
    statement=r"\max_{\|z_i\|=1}\Delta R=\max_{\|Z_k\|_F^2=n_k}\Delta R,\qquad"
    r"\nabla\Delta R(Z)_k=f_k'(n_k/r_k)\,Z_k\ \text{there}",
    source=f"{MCR2}, the two normalisations; derived",
    relation="tight",
    hypotheses="two classes, each a harmonic unit-norm tight frame of its r_k-dimensional subspace, in random position",
    expect=HOLDS,
    twin="all tokens of a class equal",
    uses=("mcr2.optimum",),
    instances=40,
    figure=figures.value_by_rank,
)
def sphere_is_as_good(case: Case) -> Outcome:
    """A unit-norm tight frame has r equal singular values; one exists for n_k >= r_k. The gradient is radial: a fixed
    point of ascent with normalisation.
    """
    rng = case.rng()
    ranks = case.choice("ranks", ((2, 2), (2, 4)))
    sizes = tuple(r * case.integer(f"tokens a dimension {k}", 2, 4) for k, r in enumerate(ranks))
    d, n = sum(ranks), sum(sizes)
    eps = case.log_uniform("eps", 0.02, 0.2)
    Q, rows, start = rotation(rng, d), [], 0
    for r, size in zip(ranks, sizes, strict=True):
        angle = 2 * np.pi * np.outer(np.arange(size), np.arange(1, r // 2 + 1)) / size
        frame = np.concatenate([np.cos(angle), np.sin(angle)], axis=1) / math.sqrt(r / 2)
        if r // 2 * 2 >= size:  # where cosine and sine of a frequency fall together
            frame = np.kron(np.ones((size // r, 1)), np.eye(r))
        rows.append(case.wrong(frame, np.ones((size, 1)) * frame[:1]) @ Q[start : start + r])
        start += r
    Z, Pi = case.asarray(np.concatenate(rows)), _labels(case, sizes)
    best = mcr2.optimum(sizes, ranks, d, eps=eps)
    case.assume(best.ranks == ranks)
    value, gradient = srr.rate_reduction_and_gradient(Z, Pi=Pi, eps=eps)
    constant = d / (n * eps**2)
    radial = [
        _slope(Fraction(size, r), Fraction(size, n), Fraction(constant)) for size, r in zip(sizes, ranks, strict=True)
    ]
    expected = np.repeat(np.array([float(x) for x in radial]), sizes)[:, None] * to_numpy(Z)
    steep = (1 + constant * n) * d
    return all_of(
        equal(value, best.value, size=n + d, scale=steep),
        equal(gradient, expected, size=n + d, scale=steep * constant),
    )


def _hessian(gradient: Callable[[np.ndarray], np.ndarray], Z: np.ndarray) -> np.ndarray:
    """By central differences of the gradient, in float64."""
    size, h = Z.size, 1e-5
    columns = []
    for i in range(size):
        H = np.zeros(size)
        H[i] = h
        H = H.reshape(Z.shape)
        columns.append((gradient(Z + H) - gradient(Z - H)).ravel() / (2 * h))
    M = np.stack(columns)
    return (M + M.T) / 2


@claim(
    "mcr2.local-maxima-are-global",
    title="Under fixed energy every local maximum of the rate reduction is a global one",
    statement=r"Z\ \text{a local maximiser on}\ \{\|Z_k\|_F^2=n_k\}\ \Rightarrow\ \Delta R(Z)=\max\Delta R",
    source=f"asked here of the constrained problem of {GEO}",
    relation="=",
    hypotheses="two classes of unit tokens on axes, r_1 and r_2 equal singular values each, d = 4: stationary, and "
    "without a direction along which the rate reduction rises to second order; in float64",
    expect=REFUTED,
    twin="no such point exceeds the maximum",
    uses=("mcr2.optimum", "mcr2.equal-values"),
    instances=40,
)
def local_maxima_are_global(case: Case) -> Outcome:
    """False: classes on too few axes, each value n_k/r beyond the turning point, are local maxima, because f′(0) = 0:
    energy moved into an empty direction loses at first order. Curvature by the Hessian less that of the constraint.
    """
    d = 4
    ranks = tuple(case.integer(f"rank {k}", 1, 2) for k in range(2))
    sizes = tuple(2 * case.integer(f"tokens {k}", 1, 3) for k in range(2))
    eps, n = case.log_uniform("eps", 0.1, 2.0), sum(sizes)
    Z = np.zeros((n, d))
    first = np.arange(sizes[0]), np.arange(sizes[0]) % ranks[0]
    second = sizes[0] + np.arange(sizes[1]), 2 + np.arange(sizes[1]) % ranks[1]
    Z[first], Z[second] = 1.0, 1.0
    Pi, constant = np.repeat(np.eye(2), sizes, axis=0), Fraction(d, n) / Fraction(eps) ** 2
    slopes = [float(_slope(Fraction(m, r), Fraction(m, n), constant)) for m, r in zip(sizes, ranks, strict=True)]
    multiplier = np.repeat(np.array(slopes), sizes)[:, None]

    def gradient(X: np.ndarray) -> np.ndarray:
        return srr.rate_reduction_and_gradient(X, Pi=Pi, eps=eps)[1] - multiplier * X

    normal = np.stack([(Pi[:, k : k + 1] * Z).ravel() for k in range(2)])
    tangent = np.linalg.svd(normal)[2][2:]
    curvature = np.linalg.eigvalsh(tangent @ _hessian(gradient, Z) @ tangent.T)
    case.assume(norm(gradient(Z)) < 1e-9 and curvature[-1] < 1e-6 * float(constant))
    best = mcr2.optimum(sizes, (2, 2), d, eps=eps).value
    value = srr.rate_reduction(Z, Pi=Pi, eps=eps)
    scale = 4 * n * (1 + float(constant))
    return case.wrong(equal, at_most)(value, best, size=n, scale=scale, value=float(value), maximum=best)


@claim(
    "mcr2.grows-with-scale",
    title="The labelled rate reduction grows with the scale of the tokens",
    statement=r"\frac{d}{ds}\Delta R(sZ\mid\Pi)\ge0",
    source=f"{BOOK}, on normalisation",
    relation="<=",
    hypotheses="any tokens, hard or soft memberships",
    expect=HOLDS,
    twin="it falls",
    proof=("rate-reduction-grows-along-the-tokens", "rate-reduction-grows-with-scale"),
    uses=("rates.partition-below",),
    instances=80,
    figure=figures.reduction_by_scale,
)
def grows_with_scale(case: Case) -> Outcome:
    """The derivative along Z is exact. It is Σ γ_k tr M_k − tr M up to a positive factor, and the inverse is convex."""
    rng = case.rng()
    t = tokens(case, rng)
    Pi = memberships(case, rng, t.n)
    whole = rate_along(t.Z, t.Z, eps=t.eps).first
    slope = whole - partition_rate_along(t.Z, t.Z, Pi, eps=t.eps).first
    case.assume(not case.twin or slope > 0)
    return exactly(case.wrong(1, -1) * slope >= 0)


@claim(
    "mcr2.unbounded",
    title="Without a constraint the rate reduction grows with the logarithm of the scale, by ranks",
    statement=r"\lim_{s\to\infty}\frac{\Delta R(sZ\mid\Pi)}{\log s}=\mathrm{rank}Z-\sum_k\frac{n_k}n\mathrm{rank}Z_k",
    source=f"{BOOK}, on normalisation; derived",
    relation="limit",
    hypotheses="two classes of three Gaussian tokens, of rank one to three, in R^3 to R^6; singular "
    "values above 1/2; from s = 10^7 to 10^8, in float64",
    expect=HOLDS,
    twin="the ranks of the classes not weighted",
    uses=("mcr2.grows-with-scale",),
    instances=60,
    figure=figures.reduction_by_scale,
)
def unbounded(case: Case) -> Outcome:
    """Where the classes have the full rank of the whole the limit is zero, and the rate reduction stays bounded."""
    rng = case.rng()
    d, eps = case.integer("d", 3, 6), case.log_uniform("eps", 0.3, 3.0)
    ranks = [case.integer(f"rank {k}", 1, 3) for k in range(2)]
    blocks = [rng.standard_normal((3, r)) @ rng.standard_normal((r, d)) for r in ranks]
    spectra = [np.linalg.svd(Z, compute_uv=False) for Z in (*blocks, np.concatenate(blocks))]
    whole = min(sum(ranks), d)
    sizes = (*ranks, whole)
    case.assume(all(s[r - 1] > 0.5 for s, r in zip(spectra, sizes, strict=True)))  # ranks that can be seen
    Z, Pi = np.concatenate(blocks), np.repeat(np.eye(2), 3, axis=0)
    values = [float(srr.rate_reduction(s * Z, Pi=Pi, eps=eps, method="svd")) for s in (1e7, 1e8)]
    limit = whole - case.wrong(0.5, 1.0) * sum(ranks)
    return equal((values[1] - values[0]) / math.log(10), limit, size=100, scale=10.0)


@claim(
    "mcr2.large-eps",
    title="At low precision the rate reduction measures how far the second moments of the classes are apart",
    statement=r"\lim_{\varepsilon\to\infty}\frac{\varepsilon^4}{d^2}\Delta R=\tfrac14\sum_k\gamma_k\|S_k-\bar S\|_F^2,"
    r"\qquad S_k=\tfrac1{n_k}Z_kZ_k^\top",
    source="derived",
    relation="limit",
    hypotheses="hard memberships, Gaussian tokens of dimension 3; eps^2 from 1e4 to 1e5 times |Z|^2, within ten times "
    "the next term",
    expect=HOLDS,
    twin="1/2 for 1/4",
    instances=50,
    figure=figures.at_low_precision,
)
def large_eps(case: Case) -> Outcome:
    """In float64, from singular values; the next term is smaller by a factor of the order of d |Z|²/ε²."""
    rng = case.rng()
    sizes = case.choice("sizes", ((2, 3), (3, 3), (2, 2, 4)))
    d, n = 3, sum(sizes)
    Z = rng.standard_normal((n, d))
    square = case.log_uniform("eps^2 over |Z|^2", 1e4, 1e5) * norm(Z) ** 2
    Pi, moments, start = np.repeat(np.eye(len(sizes)), sizes, axis=0), [], 0
    for size in sizes:
        mine = Z[start : start + size]
        moments.append(mine.T @ mine / size)
        start += size
    mean = Z.T @ Z / n
    limit = sum(size / n * norm(S - mean) ** 2 for size, S in zip(sizes, moments, strict=True)) / case.wrong(4, 2)
    value = float(srr.rate_reduction(Z, Pi=Pi, eps=math.sqrt(square), method="svd")) * square**2 / d**2
    next_term = 10 * d * norm(Z) ** 2 / square * sum(norm(S) ** 2 for S in moments)
    return at_most(abs(value - limit), next_term, size=1, scale=square / d * norm(mean) * 1e3)


@claim(
    "mcr2.concave-in-memberships",
    title="The rate of a partition is concave in the memberships",
    statement=r"R^c\big(Z\mid\tfrac12(\Pi+\Pi')\big)\ge\tfrac12R^c(Z\mid\Pi)+\tfrac12R^c(Z\mid\Pi')",
    source=f"{MCR2}; Ma et al. 2007, theorem on deterministic segmentation",
    relation="<=",
    hypotheses="any tokens, three classes, hard or soft memberships",
    expect=HOLDS,
    twin="convex",
    instances=80,
    figure=figures.between_two_labellings,
)
def concave_in_memberships(case: Case) -> Outcome:
    """The perspective of a concave function of a linear one."""
    rng = case.rng()
    t = tokens(case, rng, sizes=((2, 1), (3, 3), (5, 3)))
    first, second = (case.asarray(rng.multinomial(64, rng.dirichlet(np.ones(3)), size=t.n) / 64) for _ in range(2))
    middle = srr.partition_coding_rate_and_gradient(t.Z, (first + second) / 2, eps=t.eps, method="svd")
    ends = [srr.partition_coding_rate_and_gradient(t.Z, Pi, eps=t.eps, method="svd") for Pi in (first, second)]
    sign = case.wrong(1, -1)
    lower = sign * (ends[0][0] + ends[1][0]) / 2
    return at_most(lower, sign * middle[0], size=t.n + t.d, scale=sensitivity(t.Z, middle, *ends))


@claim(
    "mcr2.hard-labels-suffice",
    title="No soft memberships have a larger rate reduction than the best hard ones",
    statement=r"\max_{\Pi\ \text{soft}}\Delta R(Z\mid\Pi)=\max_{\Pi\ \text{hard}}\Delta R(Z\mid\Pi)",
    source="derived from mcr2.concave-in-memberships",
    relation="<=",
    hypotheses="five tokens, two classes: all 32 hard memberships against 200 soft ones, some of them nearly hard",
    expect=HOLDS,
    twin="against the worst hard ones",
    uses=("mcr2.concave-in-memberships",),
    instances=30,
    figure=figures.between_two_labellings,
)
def hard_labels_suffice(case: Case) -> Outcome:
    """A concave function on a product of simplices is least at a corner."""
    rng = case.rng()
    t = tokens(case, rng, sizes=((5, 1), (5, 2), (5, 4)))
    corners = np.array(list(itertools.product((0.0, 1.0), repeat=5)))
    soft = rng.beta(*case.choice("spread", ((1.0, 1.0), (0.2, 0.2))), size=(200, 5))
    hard_rates, soft_rates = (
        to_numpy(srr.partition_coding_rate(t.Z, case.asarray(np.stack([a, 1 - a], axis=-1)), eps=t.eps, method="svd"))
        for a in (corners, soft)
    )
    whole = srr.coding_rate_and_gradient(t.Z, eps=t.eps)
    least = case.asarray(np.asarray(np.max(hard_rates) if case.twin else np.min(hard_rates)))
    return at_most(least, float(np.min(soft_rates)), size=5 + t.d, scale=4 * sensitivity(t.Z, whole))


# --- with a penalty in the place of the constraint ------------------------------------------------------------------


@claim(
    "mcr2.regularised-stationary",
    title="Stationary points of the regularised rate reduction in closed form",
    statement=r"x_k^\star=\frac{\eta_k+\sqrt{\eta_k^2-4\lambda^2n/n_k}}{2\lambda\alpha_k},\quad"
    r"\eta_k=\alpha_k-\alpha-\lambda\Big(\frac n{n_k}+1\Big):\qquad\nabla F=0,\ F=\Delta R-\tfrac\lambda2\|Z\|_F^2",
    source=f"{GEO}, theorem on local and global maximisers",
    relation="=",
    hypotheses="two orthogonal classes of random rank, each at its smaller or its larger root, lambda up to 0.99 of "
    "its bound",
    expect=HOLDS,
    twin="the sign of the last term of eta",
    derivations=("stationary-points-of-regularised-rate-reduction", "roots-of-the-stationary-quadratic"),
    instances=80,
    figure=figures.regularised_ends,
)
def regularised_stationary(case: Case) -> Outcome:
    """At the larger root f″ < 0, a maximum along the singular value; at the smaller f″ > 0."""
    rng = case.rng()
    sizes, ranks = case.choice("sizes", ((2, 3), (4, 4), (3, 6))), (2, 2)
    d, n, eps = 4, sum(sizes), case.log_uniform("eps", 0.1, 1.0)
    constant = d / (n * eps**2)
    bound = min(mcr2.largest_weight(m / n, constant) for m in sizes)
    lam = case.uniform("lambda over its bound", 0.01, 0.99) * bound
    roots = [case.choice(f"root {k}", ("larger", "smaller")) for k in range(2)]
    spectra, bends = [], []
    for size, r, which in zip(sizes, ranks, roots, strict=True):
        alpha_k, sign = d / (size * eps**2), case.wrong(1, -1)
        eta = alpha_k - constant - sign * lam * (n / size + 1)
        inside = math.sqrt(max(eta**2 - 4 * lam**2 * n / size, 0.0))
        x = (eta + (inside if which == "larger" else -inside)) / (2 * lam * alpha_k)
        points = mcr2.stationary_points(size / n, constant, lam)
        if points is None:
            return exactly(False)
        expected = points[1] if which == "larger" else points[0]
        outcome = equal(expected, x, size=4, scale=(eta / (lam * alpha_k)) * (1 + eta / (inside + 1e-300)))
        bend = float(_bend(Fraction(x), Fraction(size, n), Fraction(constant)))
        bends += [outcome, exactly((bend < 0) == (which == "larger"))]
        spectra.append(np.full(r, math.sqrt(max(x, 0.0))))
    Z, Pi = _orthogonal(case, rng, spectra, sizes), _labels(case, sizes)
    gradient = mcr2.regularised_and_gradient(Z, Pi, eps=eps, lam=lam)[1]
    steep = (1 + constant * norm(Z) ** 2) * (constant + lam) * norm(Z)
    return all_of(*bends, equal(gradient, 0 * to_numpy(Z), size=n + d, scale=steep))


@claim(
    "mcr2.regularised-global",
    title="Every global maximiser of the regularised problem uses min(n, d) directions",
    statement=r"0<\lambda\le\lambda_{\max}=\alpha\frac{\sqrt{n/n_{\max}}-1}{\sqrt{n/n_{\max}}+1}\ \Rightarrow\ "
    r"\sum_kr_k=\min(n,d)\ \text{at every global maximiser}",
    source=f"{GEO}, theorem on local and global maximisers (ii)",
    relation="=",
    hypotheses="two or three classes of 1 to 12 tokens, d from 1 to 12, lambda from 0.05 of its bound to the bound "
    "itself",
    expect=REFUTED,
    twin="lambda below f_k'(x_S), k the largest class, for the bound f_k'(x_T)",
    derivations=("regularised-rate-reduction-at-the-larger-root",),
    uses=("mcr2.regularised-stationary", "mcr2.tangent-point"),
    instances=80,
)
def regularised_global(case: Case) -> Outcome:
    """False: above f_k′(x_S) the local maximum of f_k(x) − λx lies below zero, its value at zero, and a direction given
    to class k costs more than it gains. In balls, at λ as rounded.
    """
    K = case.integer("K", 2, 3)
    sizes = tuple(case.integer(f"tokens {k}", 1, 12) for k in range(K))
    d, eps = case.integer("d", 1, 12), case.log_uniform("eps", 0.1, 1.0)
    n = sum(sizes)
    constant = Fraction(d, n) / Fraction(eps) ** 2
    share = max(sizes) / n
    point = mcr2.tangent_point(share, float(constant))
    bound = case.wrong(
        mcr2.largest_weight(share, float(constant)), float(_slope(Fraction(point), Fraction(max(sizes), n), constant))
    )
    lam = bound * case.uniform("lambda over its bound", 0.05, 1.0)
    best = mcr2.regularised_optimum(sizes, d, eps=eps, lam=lam)
    outcomes = []
    with ctx.workprec(BITS):
        for size in sizes:
            x = mcr2.stationary_points(size / n, float(constant), lam)
            if x is not None:  # what the class would gain by one direction more, at its best
                gain = _shape(x[1], Fraction(size, n), constant) - arb(_fmpq(lam)) * arb(_fmpq(x[1]))
                if _is_used(size, sizes, d):
                    outcomes.append(decided(_sign(gain), ">"))
    used = sum(best.ranks) == min(n, d)
    return all_of(*outcomes, exactly(used == all(o.holds for o in outcomes))) if outcomes else exactly(used)


def _is_used(size: int, sizes: Sequence[int], d: int) -> bool:
    """Whether a class of this size gets a direction when all min(n, d) are given out, to the smallest classes first."""
    return sum(min(m, d) for m in sizes if m < size) < min(sum(sizes), d)


@claim(
    "mcr2.regularised-endpoint",
    title="At the closed end of its interval for lambda the theorem's points are still local maximisers",
    statement=r"\lambda=\lambda_{\max}:\ \|Z_k\|\ \text{at}\ x_k^\star\ \text{is a local maximum of}\ f_k(x)-\lambda x",
    source=f"{GEO}, theorem on local and global maximisers, whose interval is (0, lambda_max]",
    relation="<=",
    hypotheses="rational alpha and root of gamma: everything is rational; against points up to 1 % below and above",
    expect=REFUTED,
    twin="lambda a hundredth below its bound",
    derivations=(
        "regularised-rate-reduction-falls-before-the-smaller-root",
        "regularised-rate-reduction-falls-after-the-larger-root",
    ),
    uses=("mcr2.regularised-stationary",),
    instances=60,
)
def regularised_endpoint(case: Case) -> Outcome:
    """False: the two roots meet at x_T, where f′ has its maximum λ_max: f(x) − λx falls through it. Nor is there a
    direction of positive curvature, f″(x_T) = 0: such a point is no strict saddle either.
    """
    share, constant = _share(case), Fraction(case.log_uniform("alpha", 0.01, 100.0))
    g = Fraction(math.isqrt(share.numerator), math.isqrt(share.denominator))
    lam = constant * (1 - g) / (1 + g) * case.wrong(Fraction(1), Fraction(99, 100))
    if case.twin:
        eta = constant * (1 - share) - lam * (1 + share)
        x = Fraction(float(eta) + math.sqrt(float(eta**2 - 4 * lam**2 * share))) / (2 * lam * constant)
    else:
        x = g / constant
    step = Fraction(case.log_uniform("distance", 1e-3, 1e-2))
    outcomes = []
    with ctx.workprec(BITS):
        for other in (x * (1 - step), x * (1 + step)):
            rise = _shape(other, share, constant) - _shape(x, share, constant) - arb(_fmpq(lam * (other - x)))
            outcomes.append(decided(_sign(rise), "<="))
    return all_of(*outcomes)


@claim(
    "mcr2.every-class-represented",
    title="A global maximiser of the regularised problem represents every class",
    statement=r"r_k>0\ \text{for every}\ k",
    source=f"asked here: whether {GEO}, theorem on local and global maximisers (ii), implies it",
    relation="<",
    hypotheses="two or three classes of 1 to 12 tokens, d from 1 to 12, lambda a hundredth of its bound",
    expect=REFUTED,
    twin="with d >= n",
    uses=("mcr2.regularised-global",),
    instances=60,
)
def every_class_represented(case: Case) -> Outcome:
    """False: the smallest classes gain most by a direction and take all they can, min(n_k, d). With sizes (6, 9, 12)
    in four dimensions the first class takes all four.
    """
    sizes = tuple(case.integer(f"tokens {k}", 1, 12) for k in range(case.integer("K", 2, 3)))
    d = case.integer("d", 1, 12)
    d = case.wrong(d, max(d, sum(sizes)))
    eps = case.log_uniform("eps", 0.1, 1.0)
    bound = mcr2.largest_weight(max(sizes) / sum(sizes), d / (sum(sizes) * eps**2))
    best = mcr2.regularised_optimum(sizes, d, eps=eps, lam=bound / 100)
    return observed(all(best.ranks), ranks=best.ranks)


@claim(
    "mcr2.regularised-optimum",
    title="The regularised optimum in closed form exceeds what ascent finds",
    statement=r"\max_ZF=\sum_kr_kh_k,\qquad h_k=\tfrac12\big(f_k(x_k^\star)-\lambda x_k^\star\big)",
    source=f"{GEO}, theorem on local and global maximisers, corrected by mcr2.regularised-global",
    relation="<=",
    hypotheses="two classes of 2 to 4 tokens, d from 2 to 4, lambda from 0.05 to 0.9 of its bound; ten ascents of 200 "
    "steps",
    expect=HOLDS,
    twin="half of the optimum",
    derivations=(
        "regularised-rate-reduction-grows-between-the-roots",
        "regularised-rate-reduction-falls-after-the-larger-root",
        "regularised-rate-reduction-at-the-larger-root",
    ),
    uses=("mcr2.regularised-stationary", "mcr2.tangent-point"),
    instances=15,
    figure=figures.regularised_ends,
)
def regularised_optimum(case: Case) -> Outcome:
    """From random tokens of several scales; and the optimum is reached by tokens built for it."""
    rng = case.rng()
    sizes = tuple(case.integer(f"tokens {k}", 2, 4) for k in range(2))
    d, eps, n = case.integer("d", 2, 4), case.log_uniform("eps", 0.2, 1.0), sum(sizes)
    constant = d / (n * eps**2)
    lam = case.uniform("lambda over its bound", 0.05, 0.9) * mcr2.largest_weight(max(sizes) / n, constant)
    best = mcr2.regularised_optimum(sizes, d, eps=eps, lam=lam)
    case.assume(best.value > 0)
    Pi = np.repeat(np.eye(2), sizes, axis=0)
    Z = rng.standard_normal((10, n, d)) * np.logspace(-1, 1, 10)[:, None, None]
    for _ in range(200):
        Z = Z + mcr2.regularised_and_gradient(Z, Pi, eps=eps, lam=lam)[1] / (9 * constant / 8 + lam)
    highest = float(np.max(mcr2.regularised(Z, Pi, eps=eps, lam=lam)))
    spectra = [np.concatenate([np.full(r, math.sqrt(x)), np.zeros(0)]) for r, x in zip(*best[:2], strict=True)]
    built = np.zeros((n, d))
    start = column = 0
    for s, size in zip(spectra, sizes, strict=True):
        built[start + np.arange(len(s)), column + np.arange(len(s))] = s
        start, column = start + size, column + len(s)
    scale = 4 * d * (1 + math.log1p(constant * norm(built) ** 2)) + lam * norm(built) ** 2
    return all_of(
        at_most(highest, case.wrong(1, 0.5) * best.value, size=n + d, scale=scale),
        equal(mcr2.regularised(built, Pi, eps=eps, lam=lam), best.value, size=n + d, scale=scale),
    )


@claim(
    "mcr2.small-starts-vanish",
    title="Ascent on the regularised objective from random tokens ends at a maximiser of positive value",
    statement=r"Z\leftarrow Z+\eta\nabla F(Z)\ \text{from random}\ Z\ \Rightarrow\ F(Z)\to\sum_kr_kh_k>0",
    source=f"asked here: whether {GEO}, strict-saddle theorem, implies it",
    relation="limit",
    hypotheses="two classes of three tokens, d = 3, lambda at half of its bound; 100 steps from Gaussian tokens with a "
    "standard deviation of 0.01 to 10 times that of the smaller root",
    expect=REFUTED,
    twin="ascent never lowers F",
    derivations=("regularised-rate-reduction-falls-before-the-smaller-root",),
    uses=("mcr2.regularised-optimum",),
    instances=30,
)
def small_starts_vanish(case: Case) -> Outcome:
    """False: Z = 0 is a local maximiser too, f′(0) = 0 < λ, and small tokens shrink to it. It is one of the theorem's
    local maximisers, with r_k = 0.
    """
    rng = case.rng()
    eps, n, d = case.log_uniform("eps", 0.2, 1.0), 6, 3
    constant, Pi = d / (n * eps**2), np.repeat(np.eye(2), 3, axis=0)
    lam = mcr2.largest_weight(0.5, constant) / 2
    points = mcr2.stationary_points(0.5, constant, lam)
    assert points is not None
    Z = rng.standard_normal((n, d)) * math.sqrt(points[0] / n) * case.log_uniform("scale", 0.01, 10.0)
    start = mcr2.regularised(Z, Pi, eps=eps, lam=lam)
    lowest = 0.0
    for _ in range(100):
        value, gradient = mcr2.regularised_and_gradient(Z, Pi, eps=eps, lam=lam)
        lowest = min(lowest, float(value - start))
        Z = Z + gradient / (9 * constant / 8 + lam)
    value = float(mcr2.regularised(Z, Pi, eps=eps, lam=lam))
    if case.twin:
        return at_most(-lowest, 0.0, size=n * d, scale=1 + abs(float(start)))
    return Outcome(holds=value > 1e-9, data={"F at the end": value, "norm at the end": norm(Z)})


@claim(
    "mcr2.strict-saddle",
    title="Every critical point of the regularised objective is a local maximiser or a strict saddle",
    statement=r"\nabla F(Z)=0\ \Rightarrow\ \nabla^2F(Z)\preceq0\ \text{at a maximiser, or}\ "
    r"\lambda_{\max}(\nabla^2F(Z))>0",
    source=f"{GEO}, strict-saddle theorem",
    relation="<",
    hypotheses="two classes of two tokens in the plane, lambda from 0.1 to 0.9 of its bound; critical points by "
    "Newton's method from random tokens, classes orthogonal or not",
    expect=HOLDS,
    twin="every critical point is a local maximiser",
    uses=("mcr2.regularised-stationary",),
    instances=40,
    figure=figures.regularised_ends,
)
def strict_saddle(case: Case) -> Outcome:
    """The squared singular values of a maximiser are zero or the larger root, and its classes are orthogonal. The
    Hessian is taken by differences, in float64.
    """
    rng = case.rng()
    n, d, eps = 4, 2, case.log_uniform("eps", 0.2, 1.0)
    constant, Pi = d / (n * eps**2), np.repeat(np.eye(2), 2, axis=0)
    lam = case.uniform("lambda over its bound", 0.1, 0.9) * mcr2.largest_weight(0.5, constant)
    points = mcr2.stationary_points(0.5, constant, lam)
    assert points is not None

    def gradient(Z: np.ndarray) -> np.ndarray:
        return mcr2.regularised_and_gradient(Z.reshape(n, d), Pi, eps=eps, lam=lam)[1].ravel()

    size = math.sqrt(points[1]) * case.log_uniform("scale", 0.1, 2.0)
    found = root(gradient, size * rng.standard_normal(n * d), tol=1e-12)
    case.assume(found.success and np.linalg.norm(gradient(found.x)) < 1e-8 * lam * size)
    Z = found.x.reshape(n, d)
    squares = [np.linalg.svd(Z[:2], compute_uv=False) ** 2, np.linalg.svd(Z[2:], compute_uv=False) ** 2]
    near = 1e-4 * points[1]
    maximal = all(min(abs(x), abs(x - points[1])) < near for s in squares for x in s)
    maximal = maximal and float(np.max(np.abs(Z[:2] @ Z[2:].T))) < near
    steepest = float(np.linalg.eigvalsh(_hessian(lambda Z: gradient(Z).reshape(n, d), Z))[-1])
    rising = steepest > 1e-5 * lam
    return Outcome(holds=maximal if case.twin else maximal != rising, data={"curvature": steepest})


@claim(
    "mcr2.weight-bounds",
    title="The bounds on lambda at the sizes of the published code",
    statement=r"\lambda_{\max}(d,n,K,\varepsilon^2)=\frac d{n\varepsilon^2}\frac{\sqrt K-1}{\sqrt K+1}",
    source=f"code of {GEO}: lambda = 2 lmb = 0.002; a comment takes eps^2 = 0.25, the loss 0.5",
    relation="=",
    hypotheses="ten classes of equal size: (100, 2000, 0.25), (100, 2000, 0.5), (128, 1000, 0.5)",
    expect=HOLDS,
    twin="eps for eps^2",
    derivations=("bound-on-the-regulariser", "slope-of-the-shape-function-at-its-turning-point"),
    instances=9,
)
def weight_bounds(case: Case) -> Outcome:
    """The default λ = 0.002 lies below each of 0.1039, 0.0519 and 0.1330."""
    d, n, square, printed = case.choice(
        "setting", ((100, 2000, 0.25, 0.1039), (100, 2000, 0.5, 0.0519), (128, 1000, 0.5, 0.1330))
    )
    bound = mcr2.largest_weight(0.1, d / (n * case.wrong(square, square**2)))
    return observed(abs(bound - printed) < 5.1e-5 and bound > 0.002, bound=bound)


# --- closed-loop transcription --------------------------------------------------------------------------------------


def _pair(case: Case, rng: np.random.Generator) -> tuple[Array, Array, float, float]:
    n, d = case.choice("n, d", ((1, 1), (2, 2), (3, 2), (2, 4)))
    eps = case.log_uniform("eps", 0.1, 3.0)
    Z, other = (case.asarray(rng.standard_normal((n, d))) for _ in range(2))
    return Z, other, eps, 4 * (1 + d / (n * eps**2)) * (norm(Z) ** 2 + norm(other) ** 2)


@claim(
    "mcr2.closed-loop-formula",
    title="The closed-loop distance is the Jensen gap of log det between two second moments",
    statement=r"\Delta R(Z,\hat Z)=\tfrac12\Big[\log\det\tfrac{A+B}2-\tfrac12\log\det A-\tfrac12\log\det B\Big]\ge0,"
    r"\quad A=I+\tfrac d{n\varepsilon^2}ZZ^\top",
    source=f"{CTRL}, definition",
    relation="=",
    hypotheses="Gaussian tokens, as many in both",
    expect=HOLDS,
    twin="A + B, not its half",
    derivations=("rate-reduction-of-two-samples",),
    instances=60,
)
def closed_loop_formula(case: Case) -> Outcome:
    """In float64. Not negative because log det is concave."""
    Z, other, eps, scale = _pair(case, case.rng())
    d, n = Z.shape[1], Z.shape[0]
    A, B = (np.eye(d) + d / (n * eps**2) * to_numpy(X).T @ to_numpy(X) for X in (Z, other))
    whole, *parts = (np.linalg.slogdet(M.astype(float))[1] for M in (case.wrong((A + B) / 2, A + B), A, B))
    found = mcr2.closed_loop_distance(Z, other, eps=eps)
    return all_of(
        equal(found, (whole - parts[0] / 2 - parts[1] / 2) / 2, size=2 * n + d, scale=scale),
        at_most(0 * found, found, size=2 * n + d, scale=scale),
    )


@claim(
    "mcr2.closed-loop-tells-apart",
    title="The closed-loop distance is zero only between equal tokens",
    statement=r"\Delta R(Z,\hat Z)=0\ \Rightarrow\ \hat Z=Z",
    source=f"{CTRL}, where it is used as a distance between Z and its transcription",
    relation="=",
    hypotheses="tokens and their negatives",
    expect=REFUTED,
    twin="only between equal second moments: at least what the distance of second moments asks for",
    derivations=("gap-of-log-det-is-zero-for-equal-matrices-alone",),
    uses=("mcr2.closed-loop-formula",),
    instances=40,
)
def closed_loop_tells_apart(case: Case) -> Outcome:
    """False: it sees second moments only, so ẐᵀẐ = ZᵀZ is enough: signs, permutations, rotations of the tokens. The
    twin: with eigenvalues of A⁻¹B other than one the gap of log det is not zero.
    """
    rng = case.rng()
    Z, other, eps, scale = _pair(case, rng)
    if not case.twin:
        other = -Z
        found = float(mcr2.closed_loop_distance(Z, other, eps=eps))
        rounding = equal(case.asarray(np.array(found)), 0.0, size=8, scale=scale)
        return Outcome(holds=not rounding.holds, data={"distance": found, "|Z - other|": 2 * norm(Z)})
    d, n = Z.shape[1], Z.shape[0]
    A, B = (np.eye(d) + d / (n * eps**2) * to_numpy(X).T @ to_numpy(X) for X in (Z, other))
    w = np.linalg.eigvals(np.linalg.solve(A, B)).real
    promised = float(np.sum(np.log((1 + w) / 2) - np.log(w) / 2)) / 2
    case.assume(promised > 1e-3)
    return at_most(promised, mcr2.closed_loop_distance(Z, other, eps=eps), size=2 * n + d, scale=scale)


def _three(case: Case) -> list[arb]:
    """The distances between three tokens of dimension one, enclosed: ab, bc, ac."""
    a, b, c = (Fraction(case.log_uniform(name, 0.01, 100.0)) for name in ("first", "second", "third"))
    found = []
    for x, y in ((a, b), (b, c), (a, c)):
        A, B = 1 + x * x, 1 + y * y  # n = d = 1 at ε = 1
        found.append((arb(_fmpq((A + B) ** 2 / (4 * A * B)))).log() / 4)
    return found


@claim(
    "mcr2.closed-loop-is-a-metric",
    title="The closed-loop distance obeys the triangle inequality",
    statement=r"\Delta R(Z_1,Z_3)\le\Delta R(Z_1,Z_2)+\Delta R(Z_2,Z_3)",
    source=f"{CTRL}, where it is called a distance",
    relation="<=",
    hypotheses="single tokens of dimension one, eps = 1",
    expect=REFUTED,
    twin="its square root",
    uses=("mcr2.closed-loop-formula",),
    instances=80,
)
def closed_loop_is_a_metric(case: Case) -> Outcome:
    """False: near zero it grows like a square. Its square root is a metric on second moments (Sra 2016). In balls."""
    with ctx.workprec(BITS):
        ab, bc, ac = _three(case)
        if case.twin:
            ab, bc, ac = ab.sqrt(), bc.sqrt(), ac.sqrt()
        return decided(_sign(ac - ab - bc), "<=")


@claim(
    "mcr2.published-loss",
    title="contrastive and regularised compute the losses of the published code",
    statement=r"\gamma_2^{\rm code}\,\tfrac12\log\det\big(I+\gamma_1^{\rm code}\alpha ZZ^\top\big)-R^c,\qquad"
    r"\Delta R-\tfrac\lambda2\|Z\|_F^2",
    source=f"code of {MCR2}, loss.py, and of {GEO}",
    relation="=",
    hypotheses="any tokens, hard or soft memberships",
    expect=HOLDS,
    twin="eps for eps^2",
    instances=60,
)
def published_loss(case: Case) -> Outcome:
    """By determinants, in float64; without the 1e-8 that the code adds to the sizes of classes."""
    rng = case.rng()
    t = tokens(case, rng, sizes=((1, 2), (3, 2), (4, 3)), eps=(0.3, 3.0), scale=(0.1, 3.0))
    Pi = memberships(case, rng, t.n)
    inner, outer, lam = (case.log_uniform(name, 0.1, 20.0) for name in ("gam1", "gam2", "lam"))
    Z, square = to_numpy(t.Z).astype(float), case.wrong(t.eps**2, t.eps)

    def half_log_det(A: np.ndarray) -> float:
        return float(np.linalg.slogdet(np.eye(t.d) + A)[1]) / 2

    base = t.d / (t.n * square) * Z.T @ Z
    parts = 0.0
    for pi in to_numpy(Pi).astype(float).T:
        if pi.sum() > 0:
            parts += pi.sum() / t.n * half_log_det(t.d / (pi.sum() * square) * (Z.T * pi) @ Z)
    scale = (1 + inner) * (1 + outer) * (1 + t.n * t.alpha * norm(Z) ** 2) * 4 + lam * norm(Z) ** 2
    found = mcr2.contrastive(t.Z, Pi, eps=t.eps, inner=inner, outer=outer)
    penalised = mcr2.regularised(t.Z, Pi, eps=t.eps, lam=lam)
    gradient = mcr2.regularised_and_gradient(t.Z, Pi, eps=t.eps, lam=lam)[1]
    unpenalised = srr.rate_reduction_and_gradient(t.Z, Pi=Pi, eps=t.eps)[1]
    steep = scale * (t.alpha + lam) * (1 + norm(Z))
    return all_of(
        equal(found, outer * half_log_det(inner * base) - parts, size=t.n + t.d, scale=scale),
        equal(penalised, half_log_det(base) - parts - lam / 2 * norm(Z) ** 2, size=t.n + t.d, scale=scale),
        equal(gradient, to_numpy(unpenalised) - lam * Z, size=t.n + t.d, scale=steep),
    )
