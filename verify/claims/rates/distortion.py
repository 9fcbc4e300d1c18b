"""The coding rate beside rate distortion and entropy: how far above, where largest, what it cannot tell."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from array_api_compat import array_namespace
from flint import arb, ctx, fmpq

import srr
from verify.arrays import to_numpy
from verify.claims._instances import norm, sensitivity, tokens
from verify.claims._sources import BOOK, N23
from verify.claims._water_filling import rate_distortion
from verify.figures import rates as figures
from verify.ledger import HOLDS, HOLDS_UNDER, REFUTED, Case, Outcome, claim
from verify.outcome import all_of, at_most, equal, exactly


def population_rate(case: Case, spectrum: np.ndarray, eps: float) -> Any:
    """½ log det(I + (d/ε²) Diag(spectrum)), as R of d tokens with that second moment."""
    return srr.coding_rate(case.asarray(np.diag(np.sqrt(len(spectrum) * spectrum))), eps=eps, method="svd")


@claim(
    "rates.above-rate-distortion",
    title="The coding rate is an upper bound of the Gaussian rate distortion",
    statement=(
        r"\tfrac12\log\det\big(I+\tfrac d{\varepsilon^2}\Sigma\big)\ \ge"
        r"\ \sum_i\tfrac12\log\max\big(\tfrac{\lambda_i}\theta,1\big),"
        r"\qquad\sum_i\min(\lambda_i,\theta)=\varepsilon^2"
    ),
    source=f"{BOOK}, eqn:rate-Gaussian; Cover and Thomas, theorem 10.3.3",
    relation="<=",
    hypotheses="any covariance, singular ones too; any eps",
    expect=HOLDS,
    twin="the rate distortion at a quarter of the error",
    proof=("water-level-at-least-the-error-a-dimension", "coding-rate-at-least-the-rate-distortion"),
    instances=100,
    figure=figures.rate_distortion_plane,
)
def above_rate_distortion(case: Case) -> Outcome:
    """y = x + w, w ~ N(0, (ε²/d) I), followed by the best linear estimate is a test channel: its information is R, and
    its error is less than ε². Reverse water-filling is solved exactly.
    """
    spectrum, eps = _spectrum(case), case.log_uniform("eps", 1e-2, 1e2)
    rate = population_rate(case, spectrum, eps)
    bound = rate_distortion(spectrum, case.wrong(1, 0.25) * eps**2)
    return at_most(bound, rate, size=len(spectrum), scale=(rate + bound + len(spectrum)))


@claim(
    "rates.rate-distortion-gap",
    title="The gap between coding rate and rate distortion, at small error",
    statement=(
        r"R_\varepsilon(\Sigma)-R_{WF}(\varepsilon^2)=\tfrac12\sum_i\log\big(1"
        r"+\tfrac{\theta}{\lambda_i}\big),\qquad\theta=\tfrac{\varepsilon^2}d\le\lambda_{\min}"
    ),
    source=f"derived; {BOOK} calls R an approximation",
    relation="=",
    hypotheses="eps^2/d at most the smallest eigenvalue",
    expect=HOLDS,
    twin="the 1/2 of the gap forgotten",
    proof=("gap-to-reverse-water-filling",),
    derivations=("gap-to-reverse-water-filling-is-not-negative",),
    uses=("rates.above-rate-distortion",),
    instances=100,
    figure=figures.rate_distortion_gap,
)
def rate_distortion_gap(case: Case) -> Outcome:
    """Then R_WF = ½ Σ log(λ_i/θ) and R = ½ Σ log(1 + λ_i/θ)."""
    d, eps = case.integer("d", 1, 6), case.log_uniform("eps", 1e-2, 1e2)
    theta = eps**2 / d
    spectrum = theta * 10 ** case.rng().uniform(0.01, 4, size=d)
    rate, distortion = population_rate(case, spectrum, eps), rate_distortion(spectrum, eps**2)
    gap = case.wrong(1 / 2, 1) * float(np.sum(np.log1p(theta / spectrum)))
    return equal(rate - distortion, gap, size=d, scale=(rate + distortion + d))


@claim(
    "rates.tends-to-rate-distortion",
    title="The coding rate tends to the rate distortion as eps tends to zero",
    statement=(
        r"0\le R_\varepsilon(\Sigma)-R_{WF}(\varepsilon^2)"
        r"\le\tfrac12\sum_{\lambda_i>0}\tfrac{\varepsilon^2}{d\,\lambda_i}\ \to\ 0,"
        r"\qquad\tfrac{\varepsilon^2}{r}\le\lambda_{\min}^+"
    ),
    source=f"{BOOK}, eqn:rate-Gaussian, read as an approximation for small eps",
    relation="limit",
    hypotheses="eps^2 at most the rank r times the smallest eigenvalue above zero",
    expect=HOLDS_UNDER,
    twin="half of the bound",
    proof=(
        "gap-to-reverse-water-filling",
        "gap-to-reverse-water-filling-from-below",
        "gap-to-reverse-water-filling-from-above",
    ),
    uses=("rates.rate-distortion-gap",),
    instances=100,
    witness={"d": 2, "null": 1, "eps": 1.0, "seed": 0},
    figure=figures.gap_of_rank,
)
def tends_to_rate_distortion(case: Case) -> Outcome:
    """True for full rank, by log(1+x) ≤ x. For rank r < d the gap tends to (r/2) log(d/r) and not to zero: R spreads
    the error over d dimensions, of which d − r need none. With r for d in the constant the gap tends to zero again.
    """
    d = case.integer("d", 1, 6)
    rank = d - case.integer("null", 0, d - 1)
    case.condition("d - rank", d - rank, 1, along="null")
    eps = case.log_uniform("eps", 1e-2, 1e2)
    positive = eps**2 / rank * 10 ** case.rng().uniform(0.01, 4, size=rank)
    spectrum = np.concatenate([positive, np.zeros(d - rank)])
    rate, distortion = population_rate(case, spectrum, eps), rate_distortion(spectrum, eps**2)
    bound = case.wrong(1 / 2, 1 / 4) * float(np.sum(eps**2 / d / positive))
    scale = rate + distortion + d
    return all_of(
        at_most(distortion, rate, size=d, scale=scale),
        at_most(rate - distortion, bound, size=d, scale=scale, gap=rate - distortion, bound=bound),
    )


@claim(
    "rates.gap-of-rank",
    title="For tokens of rank r in d dimensions the coding rate keeps (r/2) log(d/r) above the rate distortion",
    statement=(
        r"R_\varepsilon(\Sigma)-R_{WF}(\varepsilon^2)=\tfrac r2\log\tfrac dr"
        r"+\tfrac12\sum_{\lambda_i>0}\log\big(1+\tfrac{\varepsilon^2}{d\,\lambda_i}\big),"
        r"\qquad\tfrac{\varepsilon^2}{r}\le\lambda_{\min}^+"
    ),
    source=f"derived; {BOOK}, eqn:rate-Gaussian, calls R an approximation",
    relation="=",
    hypotheses="eps^2 at most the rank r times the smallest eigenvalue above zero",
    expect=HOLDS,
    twin="d - r for d in the logarithm",
    proof=("gap-of-fewer-directions-than-dimensions",),
    derivations=("gap-of-fewer-directions-from-below", "gap-of-fewer-directions-from-above"),
    uses=("rates.tends-to-rate-distortion",),
    instances=100,
    figure=figures.gap_of_rank,
)
def gap_of_rank(case: Case) -> Outcome:
    """R spreads the error over d dimensions, reverse water-filling over the r that there are. As ε → 0 the first term
    stays: the largest is d/(2e), at r = d/e. With r for d in the constant of R it vanishes.
    """
    d = case.integer("d", 1, 6)
    rank = d - case.integer("null", 0, d - 1)
    eps = case.log_uniform("eps", 1e-2, 1e2)
    positive = eps**2 / rank * 10 ** case.rng().uniform(0.01, 4, size=rank)
    spectrum = np.concatenate([positive, np.zeros(d - rank)])
    rate, distortion = population_rate(case, spectrum, eps), rate_distortion(spectrum, eps**2)
    kept = rank / 2 * math.log(case.wrong(d, max(d - rank, 1)) / rank)
    gap = kept + float(np.sum(np.log1p(eps**2 / d / positive))) / 2
    return equal(rate - distortion, gap, size=d, scale=(rate + distortion + d))


@claim(
    "rates.at-total-variance",
    title="Where the error is all the variance the rate distortion is zero and the coding rate is not",
    statement=(
        r"R_{WF}(\varepsilon^2)=0,\qquad\tfrac12\log(1+d)\le R_\varepsilon(\Sigma)\le\tfrac d2\log2,"
        r"\qquad\varepsilon^2=\operatorname{tr}\Sigma"
    ),
    source=f"derived; {BOOK}, eqn:rate-Gaussian, calls R an approximation",
    relation="tight",
    hypotheses="any covariance",
    expect=HOLDS,
    twin="the upper bound for the lower one",
    uses=("rates.half-bit",),
    instances=100,
    figure=figures.gap_of_rank,
)
def at_total_variance(case: Case) -> Outcome:
    """det(I + B) is at least 1 + tr B, and at most (1 + tr B/d)^d: equal for rank one and for a flat spectrum."""
    spectrum = _spectrum(case)
    kind = case.choice("spectrum", ("one", "flat", "any"))
    if kind == "one":
        spectrum[:-1] = 0
    if kind == "flat":
        spectrum[:] = spectrum[-1]
    d, total = len(spectrum), float(np.sum(spectrum))
    rate, distortion = population_rate(case, spectrum, math.sqrt(total)), rate_distortion(spectrum, total)
    low, high = math.log1p(d) / 2, d / 2 * math.log(2)
    low = case.wrong(low, high)
    scale = rate + distortion + d
    return all_of(
        equal(distortion, 0.0, size=d, scale=scale),
        at_most(low, rate, size=d, scale=scale),
        at_most(rate, high, size=d, scale=scale),
    )


@claim(
    "rates.half-bit",
    title="The coding rate is within half a bit a dimension of the rate distortion",
    statement=r"R_\varepsilon(\Sigma)-R_{WF}(\varepsilon^2)\le\tfrac d2\log2",
    source="known for Gaussian test channels (Zamir and Feder 1996)",
    relation="tight",
    hypotheses="any covariance, any eps",
    expect=HOLDS,
    twin="nine tenths of it",
    proof=("half-bit-bound-for-every-spectrum", "half-bit-bound-is-attained"),
    derivations=("half-bit-bound",),
    uses=("rates.above-rate-distortion",),
    instances=100,
    figure=figures.gap_of_rank,
)
def half_bit(case: Case) -> Outcome:
    """Term by term ½ log(1 + dλ/ε²) − ½ log max(λ/θ, 1) is largest at λ = θ, and a sum over rank r of terms
    ½ log(1 + d/r) at most (d/2) log 2. Attained by a flat spectrum at ε² equal to the total variance, which is tried.
    """
    spectrum = _spectrum(case)
    if case.choice("spectrum", ("flat", "any")) == "flat":
        spectrum = np.full_like(spectrum, float(np.max(spectrum)))
    eps = math.sqrt(case.choice("eps^2/variance", (1.0, 0.1, 0.01, 10.0)) * float(np.sum(spectrum)))
    rate, distortion = population_rate(case, spectrum, eps), rate_distortion(spectrum, eps**2)
    bound = case.wrong(1, 0.9) * len(spectrum) / 2 * math.log(2)
    scale = rate + distortion + len(spectrum)
    return at_most(rate - distortion, bound, size=len(spectrum), scale=scale)


@claim(
    "rates.flat-spectrum",
    title="The coding rate is an exact rate distortion when the spectrum is flat",
    statement=(
        r"R_\varepsilon(\Sigma)\ge R_{WF}(D),\quad D=\sum_i\tfrac{\lambda_i\nu}{\lambda_i"
        r"+\nu}<\varepsilon^2,\ \nu=\tfrac{\varepsilon^2}d;\qquad\text{equality if }\Sigma=\lambda I"
    ),
    source="derived from the forward test channel",
    relation="tight",
    hypotheses="any covariance; equality for a multiple of the identity",
    expect=HOLDS,
    twin="equality for every covariance",
    proof=(
        "error-of-the-test-channel",
        "coding-rate-at-least-the-rate-distortion-of-the-test-channel",
        "coding-rate-of-a-flat-spectrum",
    ),
    uses=("rates.above-rate-distortion",),
    instances=100,
    figure=figures.rate_distortion_plane,
)
def flat_spectrum(case: Case) -> Outcome:
    """R is the information of the channel y = x + w and D the error of its best linear estimate. So R is a rate
    distortion function at a smaller error than ε². The inequality is checked on any spectrum, the equality on flat
    ones.
    """
    spectrum, eps = _spectrum(case), case.log_uniform("eps", 1e-2, 1e2)
    flat = np.full_like(spectrum, float(np.max(spectrum)))
    nu = eps**2 / len(spectrum)

    def against(values: np.ndarray) -> tuple[float, Any]:
        error = float(np.sum(values * nu / (values + nu)))
        return rate_distortion(values, error), population_rate(case, values, eps)

    (bound, rate), (value, flat_rate) = against(spectrum), against(case.wrong(flat, spectrum))
    scale = rate + flat_rate + len(spectrum)
    size = len(spectrum)
    return all_of(at_most(bound, rate, size=size, scale=scale), equal(value, flat_rate, size=size, scale=scale))


def _spectrum(case: Case) -> np.ndarray:
    """One to six variances over six decades, some zero, the largest not."""
    d, zeros = case.integer("d", 1, 6), case.integer("zeros", 0, 2)
    spectrum = 10 ** case.rng().uniform(-3, 3, size=d)
    spectrum[: min(zeros, d - 1)] = 0
    return spectrum


@claim(
    "rates.maximal",
    title="The largest rate at a given energy",
    statement=r"\|Z\|_F^2=n\ \Rightarrow\ R(Z)\le\tfrac q2\log\big(1+\tfrac d{q\varepsilon^2}\big),\qquad q=\min(d,n)",
    source=f"derived; unit-norm tokens: {BOOK}, on the maximal coding rate",
    relation="tight",
    hypotheses="tokens of mean square norm one",
    expect=HOLDS,
    twin="d for q",
    proof=(
        "largest-coding-rate-at-fixed-energy",
        "largest-coding-rate-of-few-tokens-at-fixed-energy",
        "largest-coding-rate-is-attained",
        "largest-coding-rate-of-few-tokens-is-attained",
    ),
    instances=100,
    figure=figures.angle_between_two_classes,
)
def maximal(case: Case) -> Outcome:
    """Concavity of Σ log(1 + αs²) in the s²: the maximum has all q singular values equal, and is attained there."""
    rng = case.rng()
    t = tokens(case, rng)
    energy = norm(t.Z)
    Z = t.Z * (math.sqrt(t.n) / energy)
    q = min(t.n, t.d)
    frame = np.linalg.qr(rng.standard_normal((max(t.n, t.d), q)))[0]
    equal_values = case.asarray(math.sqrt(t.n / q) * (frame if t.n >= t.d else frame.T))
    r = case.wrong(q, t.d)
    bound = r / 2 * math.log1p(t.d / (r * t.eps**2))
    rate, best = (srr.coding_rate_and_gradient(X, eps=t.eps, method="svd") for X in (Z, equal_values))
    scale = sensitivity(Z, rate, best) + bound
    return all_of(
        at_most(rate[0], bound, size=t.n + t.d, scale=scale),
        equal(best[0], bound, size=t.n + t.d, scale=scale),
    )


@claim(
    "rates.memorisation",
    title="The coding rate never exceeds log n, the cost of naming one of n known tokens",
    statement=r"R_\varepsilon(Z)\le\log n,\qquad\varepsilon>0",
    source=f"{BOOK}, remark on the memorisation regime: the rate, which grows as eps falls, tends to log n",
    relation="<=",
    hypotheses="any Z",
    expect=REFUTED,
    twin="the bound (r/2) log(1 + d s_1^2/(n eps^2)), r = min(d, n), s_1 the largest singular value",
    uses=("rates.monotone",),
    instances=100,
    witness={"seed": 0, "n, d": (1, 1), "eps": 0.1, "scale": 1.0, "rank": "full"},
    figure=figures.circle,
)
def memorisation(case: Case) -> Outcome:
    """True of coding n known points, false of the formula, which grows like r log(1/ε) without end, r the rank: one
    token in one dimension has ½ log(1 + z²/ε²) > 0 = log 1.
    """
    t = tokens(case, case.rng(), eps=(1e-3, 10.0))
    rate = srr.coding_rate_and_gradient(t.Z, eps=t.eps, method="svd")
    s = np.linalg.svd(to_numpy(t.Z), compute_uv=False)
    r = min(t.n, t.d)
    growing = r / 2 * math.log1p(t.alpha * s[0] ** 2)
    bound = case.wrong(math.log(t.n), growing)
    scale = sensitivity(t.Z, rate) + abs(bound) + r
    return at_most(rate[0], bound, size=t.n + t.d, scale=scale, rate=float(rate[0]), bound=bound)


@claim(
    "rates.circle",
    title="On a circle naming a ball of the best cover takes about one bit more than the rate distortion",
    statement=r"\log N_\varepsilon-\mathcal R(\varepsilon)\ \to\ \tfrac12\log\tfrac{\pi e}2\approx1.047\text{ bits},"
    r"\qquad\mathcal R=\kappa A(\kappa)-\log I_0(\kappa),\ \varepsilon^2=1-A(\kappa)^2,\ A=I_1/I_0",
    source=f"{BOOK}, theorem on covering number and rate distortion, with its O(D) made exact",
    relation="limit",
    hypotheses="tokens uniform on the unit circle in the plane, eps from 0.001 to 0.7, balls centred on the circle",
    expect=HOLDS,
    twin="balls of diameter eps",
    instances=60,
    figure=figures.circle,
)
def circle(case: Case) -> Outcome:
    """The best test channel is von Mises with concentration κ, whose mean has length A: by Kuhn and Tucker, e^(−sr²)
    I₀(2sr), s = κ/2A, being largest at r = A. A ball covers an arc 4 arcsin(ε/2). In balls:
    0 ≤ log N − R − ½ log(πe/2) ≤ log(1 + 1/x) + ε²/3, where x, the circle over the arc, is rounded up to N.
    """
    with ctx.workprec(256):
        kappa = arb(case.log_uniform("kappa", 2.0, 1e6))
        I_0, I_1 = kappa.bessel_i(0), kappa.bessel_i(1)
        eps = (1 - (I_1 / I_0) ** 2).sqrt()
        x = arb.pi() / 2 / (eps / case.wrong(2, 4)).asin()
        beyond = x.ceil().log() - kappa * I_1 / I_0 + I_0.log() - (arb.pi() * arb(1).exp() / 2).log() / 2
        above, below = beyond, (1 + 1 / x).log() + eps**2 / 3 - beyond
        return exactly(None if above.contains(0) or below.contains(0) else bool(above > 0 and below > 0))


@claim(
    "rates.maximum-entropy",
    title="Of all distributions with a given covariance, or energy, the Gaussian has the largest entropy",
    statement=r"h(x)\le\tfrac12\log\big((2\pi e)^d\det\Sigma\big)\le\tfrac d2\log\frac{2\pi e\,\mathbb E\|x\|^2}d,"
    r"\qquad h(x)\le\log\mathrm{vol}(\mathrm{supp}\,x)",
    source=f"{BOOK}, on maximum entropy; Cover and Thomas, theorem 8.6.5",
    relation="tight",
    hypotheses="affine images of independent variables: Gaussian, uniform, triangular, Laplace, exponential, logistic",
    expect=HOLDS,
    twin="pi e for 2 pi e",
    instances=60,
)
def maximum_entropy(case: Case) -> Outcome:
    """h(Ax + b) = h(x) + log|det A|, and the entropies of the marginals are known. The Gaussian reaches the first
    bound, the uniform distribution the last.
    """
    rng, d = case.rng(), case.integer("d", 1, 4)
    kinds = [case.choice(f"marginal {i}", tuple(MARGINALS)) for i in range(d)]
    entropies, variances, widths = (
        np.array(column) for column in zip(*(MARGINALS[kind] for kind in kinds), strict=True)
    )
    A, mean = rng.standard_normal((d, d)), rng.standard_normal(d)
    stretch = float(np.linalg.slogdet(A)[1])
    covariance = (A * variances) @ A.T
    constant = math.log(case.wrong(2, 1) * math.pi * math.e)
    entropy = float(np.sum(entropies)) + stretch
    gaussian = d / 2 * constant + float(np.linalg.slogdet(covariance)[1]) / 2
    energy = d / 2 * (constant + math.log((np.trace(covariance) + mean @ mean) / d))
    scale = d * float(np.linalg.cond(covariance)) + abs(entropy) + abs(gaussian) + abs(energy)
    outcomes = [at_most(entropy, gaussian, size=d, scale=scale), at_most(gaussian, energy, size=d, scale=scale)]
    if set(kinds) == {"gaussian"}:
        outcomes.append(equal(entropy, gaussian, size=d, scale=scale))
    if np.all(np.isfinite(widths)):  # a box, whose image has |det A| times its volume
        volume = float(np.sum(np.log(widths)) + np.sum(np.log(np.linalg.svd(A, compute_uv=False))))
        outcomes.append(at_most(entropy, volume, size=d, scale=scale))
        if set(kinds) == {"uniform"}:
            outcomes.append(at_most(volume, entropy, size=d, scale=scale))
    return all_of(*outcomes)


MARGINALS = {
    "gaussian": (math.log(2 * math.pi * math.e) / 2, 1.0, math.inf),
    "uniform": (0.0, 1 / 12, 1.0),
    "triangular": (1 / 2, 1 / 6, 2.0),
    "laplace": (1 + math.log(2), 2.0, math.inf),
    "exponential": (1.0, 1.0, math.inf),
    "logistic": (2.0, math.pi**2 / 3, math.inf),
}
"""Entropy in nats, variance, width of the support; triangular being the sum of two uniform ones."""


@claim(
    "rates.two-tokens",
    title="The rate of two tokens in closed form: largest when they are orthogonal",
    statement=r"R([z,w])=\tfrac12\log\big((1+\alpha\|z\|^2)(1+\alpha\|w\|^2)-\alpha^2\langle z,w\rangle^2\big)",
    source=f"derived from {N23}, eq. 7",
    relation="=",
    hypotheses="two tokens of dimension one to five",
    expect=HOLDS,
    twin="plus for minus",
    derivations=("coding-rate-of-two-tokens",),
    uses=("rates.sylvester",),
    instances=60,
    figure=figures.angle_between_two_classes,
)
def two_tokens(case: Case) -> Outcome:
    """det(I + G) = 1 + tr G + det G for the Gram matrix of two. In rational arithmetic; the logarithm as a ball."""
    t = tokens(case, case.rng(), sizes=((2, 1), (2, 2), (2, 3), (2, 5)))
    rate = srr.coding_rate_and_gradient(t.Z, eps=t.eps, method="svd")
    z, w = ([fmpq(*float(x).as_integer_ratio()) for x in row] for row in to_numpy(t.Z))
    alpha = fmpq(t.d, 2) / fmpq(*t.eps.as_integer_ratio()) ** 2
    zz, ww, zw = (alpha * sum((x * y for x, y in zip(a, b, strict=True)), fmpq(0)) for a, b in ((z, z), (w, w), (z, w)))
    with ctx.workprec(256):
        closed = float((arb((1 + zz) * (1 + ww) - case.wrong(1, -1) * zw**2).log() / 2).mid())
    return equal(rate[0], closed, size=2 + t.d, scale=sensitivity(t.Z, rate))


@claim(
    "rates.sampling",
    title="Rates of samples underestimate, on average",
    statement=r"\frac1K\sum_kR(Z_k)\le R(Z),\qquad Z=[Z_1,\dots,Z_K]\text{ in parts of equal size}",
    source="derived: Jensen, log det being concave",
    relation="<=",
    hypotheses="tokens split into samples of equal size",
    expect=HOLDS,
    twin="every sample, not their average",
    proof=("rates-of-samples",),
    instances=100,
    figure=figures.rates_of_samples,
)
def sampling(case: Case) -> Outcome:
    """The second moments of the parts average to that of the whole, and log det is concave. A single sample may well
    come out higher.
    """
    K, m = case.choice("K, m", ((2, 1), (3, 1), (2, 2)))
    t = tokens(case, case.rng(), sizes=((K * m, 1), (K * m, 3)))
    xp = array_namespace(t.Z)
    parts = srr.coding_rate(xp.reshape(t.Z, (K, m, t.d)), eps=t.eps, method="svd")
    whole = srr.coding_rate_and_gradient(t.Z, eps=t.eps, method="svd")
    scale = K * sensitivity(t.Z, whole)
    return at_most(case.wrong(xp.mean, xp.max)(parts), whole[0], size=t.n + t.d, scale=scale)
