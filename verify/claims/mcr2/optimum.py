"""All classes: the optimum under the constraint, what is a local one, and how it depends on scale and memberships."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction

import numpy as np
from flint import arb, ctx

import srr
from srr import mcr2
from verify.arrays import to_numpy
from verify.case import Case
from verify.claims._instances import memberships, norm, rotation, sensitivity, tokens
from verify.claims._sources import BOOK, GEO, MCR2
from verify.claims.mcr2._classes import hessian, labels, orthogonal
from verify.claims.mcr2._shape import BITS, curvature, drawn_share, shape, sign, slope
from verify.derivatives import partition_rate_along, rate_along
from verify.figures import mcr2 as figures
from verify.figures.rates import angle_between_two_classes
from verify.ledger import HOLDS, REFUTED, Outcome, claim
from verify.outcome import all_of, at_most, decided, equal, exactly


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

    Z, Pi = case.asarray(np.concatenate(blocks)), labels(case, sizes)
    whole = srr.coding_rate_and_gradient(Z, eps=eps)
    parts = srr.partition_coding_rate_and_gradient(Z, Pi, eps=eps)
    scale = sensitivity(Z, whole, parts)
    apart = orthogonal(case, rng, spectra, sizes)  # in more dimensions, so at a precision that keeps α
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
        return r * shape(Fraction(self.sizes[k], r), self.share(k), self.constant) / 2


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
                outcomes.append(decided(sign(problem.value(k, most) - problem.value(k, r)), ">"))
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
    share, constant = drawn_share(case), Fraction(case.log_uniform("alpha", 0.01, 100.0))
    turning = Fraction(math.isqrt(share.numerator), math.isqrt(share.denominator)) / constant
    ratio = Fraction(case.log_uniform("a over the turning point", 1.001, 100.0))
    a, b = ratio * turning, turning / ratio
    total = case.wrong(1, -1) * (curvature(a, share, constant) + curvature(b, share, constant))
    return all_of(exactly(slope(a, share, constant) == slope(b, share, constant)), exactly(total > 0))


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
    Z, Pi = case.asarray(np.concatenate(rows)), labels(case, sizes)
    best = mcr2.optimum(sizes, ranks, d, eps=eps)
    case.assume(best.ranks == ranks)
    value, gradient = srr.rate_reduction_and_gradient(Z, Pi=Pi, eps=eps)
    constant = d / (n * eps**2)
    radial = [
        slope(Fraction(size, r), Fraction(size, n), Fraction(constant)) for size, r in zip(sizes, ranks, strict=True)
    ]
    expected = np.repeat(np.array([float(x) for x in radial]), sizes)[:, None] * to_numpy(Z)
    steep = (1 + constant * n) * d
    return all_of(
        equal(value, best.value, size=n + d, scale=steep),
        equal(gradient, expected, size=n + d, scale=steep * constant),
    )


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
    slopes = [float(slope(Fraction(m, r), Fraction(m, n), constant)) for m, r in zip(sizes, ranks, strict=True)]
    multiplier = np.repeat(np.array(slopes), sizes)[:, None]

    def gradient(X: np.ndarray) -> np.ndarray:
        return srr.rate_reduction_and_gradient(X, Pi=Pi, eps=eps)[1] - multiplier * X

    normal = np.stack([(Pi[:, k : k + 1] * Z).ravel() for k in range(2)])
    tangent = np.linalg.svd(normal)[2][2:]
    curvature = np.linalg.eigvalsh(tangent @ hessian(gradient, Z) @ tangent.T)
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
