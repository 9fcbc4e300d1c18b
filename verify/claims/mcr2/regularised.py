"""With a penalty in the place of the constraint."""

from __future__ import annotations

import math
from collections.abc import Sequence
from fractions import Fraction

import numpy as np
from flint import arb, ctx
from scipy.optimize import root

from srr import mcr2
from verify.arrays import to_numpy
from verify.case import Case
from verify.claims._instances import norm
from verify.claims._sources import GEO
from verify.claims.mcr2._classes import hessian, labels, orthogonal
from verify.claims.mcr2._shape import BITS, curvature, drawn_share, shape, sign, slope, to_fmpq
from verify.figures import mcr2 as figures
from verify.ledger import HOLDS, REFUTED, Outcome, claim
from verify.outcome import all_of, at_most, decided, equal, exactly, observed


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
        bend = float(curvature(Fraction(x), Fraction(size, n), Fraction(constant)))
        bends += [outcome, exactly((bend < 0) == (which == "larger"))]
        spectra.append(np.full(r, math.sqrt(max(x, 0.0))))
    Z, Pi = orthogonal(case, rng, spectra, sizes), labels(case, sizes)
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
        mcr2.largest_weight(share, float(constant)), float(slope(Fraction(point), Fraction(max(sizes), n), constant))
    )
    lam = bound * case.uniform("lambda over its bound", 0.05, 1.0)
    best = mcr2.regularised_optimum(sizes, d, eps=eps, lam=lam)
    outcomes = []
    with ctx.workprec(BITS):
        for size in sizes:
            x = mcr2.stationary_points(size / n, float(constant), lam)
            if x is not None:  # what the class would gain by one direction more, at its best
                gain = shape(x[1], Fraction(size, n), constant) - arb(to_fmpq(lam)) * arb(to_fmpq(x[1]))
                if _is_used(size, sizes, d):
                    outcomes.append(decided(sign(gain), ">"))
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
    share, constant = drawn_share(case), Fraction(case.log_uniform("alpha", 0.01, 100.0))
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
            rise = shape(other, share, constant) - shape(x, share, constant) - arb(to_fmpq(lam * (other - x)))
            outcomes.append(decided(sign(rise), "<="))
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
    steepest = float(np.linalg.eigvalsh(hessian(lambda Z: gradient(Z).reshape(n, d), Z))[-1])
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
