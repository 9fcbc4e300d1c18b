"""Attention as denoising: one noisy token x = z + σw, z from a mixture of Gaussian subspaces.

The density is also computed with dense covariances in ball arithmetic, from which nothing in `srr.denoising` is taken.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from array_api_compat import array_namespace
from flint import arb, arb_mat, ctx

from srr import subspace_coding_rate_and_gradient
from srr.denoising import SubspaceMixture, attention_denoiser
from verify.arrays import to_numpy
from verify.claims._instances import norm, rotation
from verify.claims._sources import BOOK, MAE, N23
from verify.figures import denoising as figures
from verify.ledger import HOLDS, HOLDS_UNDER, REFUTED, Case, Outcome, claim
from verify.outcome import all_of, at_most, equal

Array = Any


@claim(
    "denoising.tweedie",
    title="The optimal denoiser is a step along the score",
    statement=r"\mathbb E[z\mid x]=x+\sigma^2\,\nabla\log q(x)",
    source=f"{N23}, eq. 5; {BOOK}, Tweedie's formula",
    relation="=",
    hypotheses="any mixture of Gaussian subspaces, any noise",
    expect=HOLDS,
    twin="sigma for its square",
    proof=("posterior-of-a-gaussian", "weight-of-a-component", "posterior-mean-of-a-mixture"),
    instances=60,
)
def tweedie(case: Case) -> Outcome:
    """q is a Gaussian smoothing, and ∇ of the Gaussian is −(x − z)/σ² times it. The gradient of log q is taken as a
    central difference in 400-bit arithmetic, the mean by conditioning.
    """
    m = _mixture(case)
    mean, score = m.law.posterior_mean(m.X, noise=m.noise), m.law.score(m.X, noise=m.noise)
    factor = case.wrong(m.noise**2, m.noise)
    X = to_numpy(m.X)[0]
    gradient = case.asarray(np.array([_density_gradient(m, X)]))
    size, scale = m.d + m.K, m.unit
    return all_of(
        equal(mean, m.X + factor * gradient, size=size, scale=scale),
        equal(m.noise**2 * score, m.noise**2 * gradient, size=size, scale=scale),
    )


@claim(
    "denoising.tweedie-at-every-noise-level",
    title="Tweedie's formula for tokens that are scaled and noisy",
    statement=r"\mathbb E[z\mid x]=\frac1\alpha\big(x+\sigma^2\,\nabla\log q(x)\big),\qquad x=\alpha z+\sigma w",
    source=f"{BOOK}, eq. gen_tweedie, whose gradient is to be read at x",
    relation="=",
    hypotheses="any mixture of Gaussian subspaces, alpha and sigma from 0.1 to 3",
    expect=HOLDS,
    twin="1 for 1/alpha",
    derivations=("tweedie-formula-of-points",),
    uses=("denoising.tweedie",),
    instances=60,
)
def tweedie_at_every_noise_level(case: Case) -> Outcome:
    """Of x/α it is `denoising.tweedie`, at the noise σ/α: that is how the mean is taken. q is the density of x itself,
    of the spectra α²λ; its gradient a central difference in 400-bit arithmetic.
    """
    alpha, m = case.log_uniform("alpha", 0.1, 3.0), _mixture(case)
    mean = m.law.posterior_mean(m.X / alpha, noise=m.noise / alpha)
    scaled = Noisy(SubspaceMixture(m.law.U, alpha**2 * m.law.variances, m.law.weights), m.X, m.noise, m.K, m.d)
    gradient = case.asarray(np.array([_density_gradient(scaled, to_numpy(m.X)[0])]))
    found = case.wrong(1 / alpha, 1.0) * (m.X + m.noise**2 * gradient)
    return equal(mean, found, size=m.d + m.K, scale=m.unit / alpha)


@claim(
    "denoising.mixture-with-means",
    title="The denoiser of a mixture of Gaussians with means",
    statement=r"\mathbb E[z\mid x]=\sum_k\frac{\pi_k\,\phi(x;\alpha\mu_k,S_k)}{\sum_i\pi_i\,\phi(x;\alpha\mu_i,S_i)}"
    r"\big(\mu_k+\alpha\Sigma_kS_k^{-1}(x-\alpha\mu_k)\big),\qquad "
    r"S_k=\alpha^2\Sigma_k+\sigma^2I,\ x=\alpha z+\sigma w",
    source=f"{BOOK}, eq. gmm_bayes_optimal_denoiser, also for general noise",
    relation="=",
    hypotheses="one to three components of any mean and of covariance of any rank, in one to three dimensions",
    expect=HOLDS,
    twin="alpha left out before Sigma_k",
    derivations=("posterior-of-a-gaussian",),
    uses=("denoising.tweedie-at-every-noise-level",),
    instances=60,
)
def mixture_with_means(case: Case) -> Outcome:
    """Against Tweedie's formula, with the gradient of the density as in `denoising.tweedie`. In float64."""
    rng, (K, d, rank) = case.rng(), case.choice("K, d, rank", ((2, 1, 0), (1, 1, 1), (2, 2, 1), (3, 2, 2), (3, 3, 1)))
    alpha, sigma = case.log_uniform("alpha", 0.1, 3.0), case.log_uniform("sigma", 0.1, 3.0)
    weights, means = 10 ** rng.uniform(-1, 1, size=K), 2 * rng.standard_normal((K, d))
    roots = rng.standard_normal((K, d, rank))
    clean = means[0] + roots[0] @ rng.standard_normal(rank)
    x = alpha * clean + sigma * rng.standard_normal(d)
    spreads = roots @ roots.swapaxes(1, 2)
    S, beside = alpha**2 * spreads + sigma**2 * np.eye(d), x - alpha * means
    whitened = np.linalg.solve(S, beside[..., None])[..., 0]
    logits = np.log(weights) - (np.linalg.slogdet(S)[1] + np.sum(beside * whitened, axis=1)) / 2
    share = np.exp(logits - logits.max())
    parts = means + case.wrong(alpha, 1.0) * np.einsum("kij,kj->ki", spreads, whitened)
    mean = share @ parts / share.sum()
    with ctx.workprec(400):
        noise = _diagonal([sigma] * d, square=True)
        laws = [
            (
                weight,
                [arb(alpha) * float(v) for v in mu],
                arb(alpha) ** 2 * (_matrix(A) * _matrix(A).transpose()) + noise,
            )
            for weight, mu, A in zip(weights, means, roots, strict=True)
        ]
        gradient = np.array(_log_density_gradient(laws, x))
    sizes = np.sum(np.abs(parts)) + np.linalg.norm(x) / alpha
    return equal(mean, (x + sigma**2 * gradient) / alpha, size=d + K, scale=sizes * (1 + np.abs(logits).max()))


@claim(
    "denoising.score-closed-form",
    title="The score of a mixture of subspaces as attention over its components",
    statement=(
        r"\nabla\log q(x)=-\sum_k\frac{\pi_k\det M_k\,e^{-\frac12\|M_kx\|^2}}{\sum_i\pi_i\det"
        r" M_i\,e^{-\frac12\|M_ix\|^2}}\,M_k^2x,\qquad M_k=(\Sigma_k+\sigma^2I)^{-1/2}"
    ),
    source=f"{N23}, proposition 1, amended",
    relation="=",
    hypotheses="any mixture of Gaussian subspaces, any noise",
    expect=HOLDS,
    twin="pi_k det M_k left out, as printed",
    proof=("posterior-of-a-gaussian", "weight-of-a-component", "score-of-a-mixture"),
    uses=("denoising.tweedie",),
    instances=60,
)
def score_closed_form(case: Case) -> Outcome:
    """Bayes' rule for the component. It is proposition 1 with log(π_k det M_k) in the softmax, and needs no
    hypothesis.
    """
    m = _mixture(case)
    gradient = case.asarray(np.array([_density_gradient(m, to_numpy(m.X)[0])]))
    closed = case.asarray(_attention_score(m, prior=case.wrong(1, 0)))
    return equal(m.noise**2 * closed, m.noise**2 * gradient, size=m.d + m.K, scale=m.unit)


@claim(
    "denoising.score-as-printed",
    title="Proposition 1: the score with a softmax of the norms alone",
    statement=(
        r"\nabla\log q(x)=-\sum_k\mathrm{softmax}_k\big(-\tfrac12\|M_kx\|^2\big)\,M_k^2x"
        r"\quad\text{if }\pi_i\det M_i=\pi_j\det M_j"
    ),
    source=f"{N23}, proposition 1, eq. 19-37",
    relation="=",
    hypotheses="any mixture of Gaussian subspaces, any noise; weights free or proportional to 1/det M_k",
    expect=HOLDS_UNDER,
    twin="the 1/2 in the softmax forgotten",
    proof=("posterior-of-a-gaussian", "weight-of-a-component", "score-of-a-mixture-with-equal-determinants"),
    uses=("denoising.score-closed-form",),
    instances=80,
    witness={"weights": "free", "seed": 0, "K, d, p": (2, 2, 1), "sigma": 1.0},
)
def score_as_printed(case: Case) -> Outcome:
    """The hypothesis is what makes π_k det M_k drop out of `denoising.score-closed-form`, and is needed. It ties
    the weights to σ: with unequal spectra it holds at one noise level only, so not along the layers of a network.
    """
    m = _mixture(case, balanced=case.choice("weights", ("balanced", "free")) == "balanced")
    logs = _log_priors(m)
    case.condition("spread of log(pi_k det M_k)", float(np.ptp(logs)), 1e-5)
    gradient = case.asarray(np.array([_density_gradient(m, to_numpy(m.X)[0])]))
    printed = case.asarray(_attention_score(m, prior=0, half=case.wrong(1 / 2, 1)))
    return equal(m.noise**2 * printed, m.noise**2 * gradient, size=m.d + m.K, scale=m.unit)


@claim(
    "denoising.unit-spectrum",
    title="The book's closed form for subspaces with unit variances",
    statement=(
        r"\mathbb E[z\mid x]=\frac1{1+t^2}\sum_k\mathrm{softmax}_k\Big(\frac{\|U_k^\top x\|^2}{2t^2(1"
        r"+t^2)}\Big)U_kU_k^\top x"
    ),
    source=f"{BOOK}, eq. gmm_lowrank_denoiser",
    relation="=",
    hypotheses="unit variances, equal weights, subspaces of one dimension p in any position; noise t",
    expect=HOLDS,
    twin="1/2t^2 in the softmax",
    proof=("posterior-of-a-gaussian", "weight-of-a-component", "denoiser-of-a-mixture-of-subspaces"),
    uses=("denoising.tweedie",),
    instances=80,
)
def unit_spectrum(case: Case) -> Outcome:
    """Σ_k(Σ_k + t²I)⁻¹ is U_kU_kᵀ/(1 + t²), and all determinants agree. The subspaces need not be orthogonal."""
    m = _mixture(case, unit=True)
    square = m.noise**2
    gain = case.wrong(1 / (1 + square), 1.0)
    as_if = m.noise / math.sqrt(gain)  # attention at the noise that makes 1/2σ² the printed exponent
    closed = attention_denoiser(m.X, m.law.U, noise=as_if) / (1 + square)
    mean = m.law.posterior_mean(m.X, noise=m.noise)
    return equal(closed, mean, size=m.d + m.K, scale=m.unit)


@claim(
    "denoising.attention",
    title="Attention over subspaces is the optimal denoiser to second order in the noise",
    statement=(
        r"\left\|\sum_k\mathrm{softmax}_k\big(\tfrac{\|U_k^\top x\|^2}{2\sigma^2}\big)U_kU_k^\top"
        r" x-\mathbb E[z\mid x]\right\|\le\Big(\frac{\sigma^2}{1+\sigma^2}+\log K\,\log(1"
        r"+\sigma^2)\Big)\|x\|"
    ),
    source=f"{N23}, eq. 6 and remark 3; bound derived",
    relation="<=",
    hypotheses="unit variances, equal weights, subspaces of one dimension p in any position; every x",
    expect=HOLDS,
    twin="third order, sigma^3 for sigma^2",
    derivations=("filter-of-the-attention-denoiser", "logits-of-the-attention-denoiser"),
    uses=("denoising.unit-spectrum",),
    instances=100,
    figure=figures.attention_by_noise,
)
def attention(case: Case) -> Outcome:
    """By `denoising.unit-spectrum` the two differ by a factor 1/(1+σ²) and by the same factor in the softmax.
    Scaling logits by τ changes a softmax over K by at most 2 log K · |log τ| in sum, since Σ w|l − l̄| ≤ 2 (max l −
    l̄) ≤ 2 log K. So it is uniform in x: near ties too, and faster than the O(σ) of the published route.
    """
    m = _mixture(case, unit=True, noise=(1e-2, 10.0))
    s2 = m.noise ** case.wrong(2, 3)
    bound = (s2 / (1 + s2) + math.log(m.K) * math.log1p(s2)) * norm(m.X)
    error = attention_denoiser(m.X, m.law.U, noise=m.noise) - m.law.posterior_mean(m.X, noise=m.noise)
    distance = array_namespace(error).linalg.vector_norm(error)
    return at_most(distance, bound, size=m.d + m.K, scale=m.unit)


@claim(
    "denoising.attention-any-spectrum",
    title="Attention over subspaces tends to the optimal denoiser at every token as the noise vanishes",
    statement=(
        r"\left\|\sum_k\mathrm{softmax}_k\big(\tfrac{\|U_k^\top x\|^2}{2\sigma^2}\big)U_kU_k^\top"
        r" x-\mathbb E[z\mid x]\right\|\to0\quad(\sigma\to0),\qquad\pi_k\det M_k\text{ equal}"
    ),
    source=f"{N23}, eq. 6 and the conjecture of remark 3",
    relation="limit",
    hypotheses="any variances; weights as proposition 1 wants them; every x; noise 10^-3, error at most sigma |x|",
    expect=REFUTED,
    twin="unit variances",
    uses=("denoising.attention", "denoising.score-as-printed"),
    instances=80,
    witness={"seed": 0, "lambda": 4.0, "token": "tie"},
)
def attention_any_spectrum(case: Case) -> Outcome:
    """False where two subspaces tie: x = (1, 1) for the two axes with variances 1 and λ. Attention gives each
    weight ½; the posterior weighs them as e^{−1/2} and e^{−1/2λ}, at every σ. Ties are rare: over tokens drawn from
    the mixture the mean square error does vanish relative to the optimal one.
    """
    rng = case.rng()
    variance = case.wrong(case.log_uniform("lambda", 4.0, 100.0), 1.0)
    X = np.ones(2) if case.choice("token", ("tie", "gaussian")) == "tie" else rng.standard_normal(2)
    noise = 1e-2 if case.arrays.dtype == "float32" else 1e-3
    U, variances = np.eye(2)[:, :, None], np.array([[1.0], [variance]])
    weights = np.sqrt(variances[:, 0] + noise**2)
    law = SubspaceMixture(*map(case.asarray, (U, variances, weights)))
    x = case.asarray(X[None, :])
    ideal, approximate = law.posterior_mean(x, noise=noise), attention_denoiser(x, law.U, noise=noise)
    error = approximate - ideal
    distance = array_namespace(error).linalg.vector_norm(error)
    unit = norm(x) * (1 + norm(x) ** 2 / noise**2)
    return at_most(distance, noise * norm(x), size=1, scale=unit, x=X, ideal=ideal, attention=approximate)


@claim(
    "denoising.two-point",
    title="The book's denoiser of two points",
    statement=r"\mathbb E[z\mid x]=\tanh(-x/t^2),\qquad z=\pm1\text{ with equal weight},\ x=z+tg",
    source=f"{BOOK}, two-point example, as printed",
    relation="=",
    hypotheses="any x and noise",
    expect=REFUTED,
    twin="tanh(x/t^2)",
    derivations=("tweedie-formula-of-points",),
    instances=60,
    witness={"x": 1.0, "t": 1.0},
)
def two_point(case: Case) -> Outcome:
    """The sign is wrong: a token at 1 would be taken to −1. Against Bayes' rule with the two densities."""
    x, t = case.uniform("x", -3.0, 3.0), case.log_uniform("t", 0.3, 3.0)
    plus, minus = (math.exp(-((x - z) ** 2) / (2 * t**2)) for z in (1, -1))
    mean = (plus - minus) / (plus + minus)
    printed = math.tanh(case.wrong(-1, 1) * x / t**2)
    return equal(printed, mean, size=4, scale=1 + abs(x) / t**2, printed=printed, mean=mean)


@claim(
    "denoising.ddim-step-of-a-gaussian",
    title="For a Gaussian every denoising step lowers the entropy, however long",
    statement=r"\hat x_s=\frac st\,x_t+\Big(1-\frac st\Big)\mathbb E[x\mid x_t]=\mathbb E[x_s\mid x_t],\qquad "
    r"h(\hat x_s)-h(x_t)=\sum_i\log\Big(\frac st+\Big(1-\frac st\Big)\frac{\lambda_i}{\lambda_i+t^2}\Big)<0,\quad s<t",
    source=f"{BOOK}, eq. gen_denoising_iteration, and its claim that denoising lowers the entropy; derived",
    relation="<",
    hypotheses="a Gaussian on a subspace of any dimension, s from 0.01 to 0.99 t",
    expect=HOLDS,
    twin="a step towards more noise",
    uses=("denoising.tweedie",),
    instances=60,
    figure=figures.entropy_of_a_step,
)
def ddim_step_of_a_gaussian(case: Case) -> Outcome:
    """True: the step is a linear contraction. The book's proof asks for short steps; a Gaussian needs no such bound."""
    rng, (d, p) = case.rng(), case.choice("d, p", ((1, 1), (2, 1), (3, 2), (3, 3)))
    t, share = case.log_uniform("t", 0.1, 10.0), case.uniform("s/t", 0.01, 0.99)
    share = case.wrong(share, 1 / share)
    basis, variances = np.linalg.qr(rng.standard_normal((d, p)))[0], 10 ** rng.uniform(-1, 1, size=p)
    law = SubspaceMixture(case.asarray(basis[None]), case.asarray(variances[None]), case.asarray(np.ones(1)))
    x = rng.standard_normal((4, d))
    tokens = case.asarray(x)
    step = share * tokens + (1 - share) * law.posterior_mean(tokens, noise=t)
    gains = np.append(share + (1 - share) * variances / (variances + t**2), np.full(d - p, share))
    spread = (basis * (gains[:p] - share)) @ basis.T + share * np.eye(d)
    return all_of(
        equal(step, x @ spread, size=d, scale=(1 + share) * norm(x) * (1 + 10 / t**2)),
        at_most(float(np.sum(np.log(gains))), 0.0, size=d, scale=d),
    )


# --- the compression gradient beside the score --------------------------------------------------------------


@claim(
    "denoising.entropy-grows-with-noise",
    title="More noise, more entropy: at the rate of the noise times the mean square of the score",
    statement=r"\frac{d}{dt}h(x_t)=t\,\mathbb E\|\nabla\log p_t(x_t)\|^2>0,\qquad x_t=z+tg",
    source=f"{BOOK}, on the entropy of noisy tokens; de Bruijn's identity",
    relation="=",
    hypotheses="up to three points or Gaussians on a line, t from 0.3 to 3; to one part in 10^6",
    expect=HOLDS,
    twin="t^2 for t",
    uses=("denoising.tweedie",),
    instances=40,
    figure=figures.entropy_by_noise,
)
def entropy_grows_with_noise(case: Case) -> Outcome:
    """p_t solves the heat equation in t²/2, and the rest is integration by parts. Integrals by the trapezoidal rule, h
    differentiated by differences of fourth order, in NumPy.
    """
    line, t = _line(case)
    case.assume(not case.twin or abs(t - 1) > 0.01)
    width = 5e-3 * t  # rounding and what the differences leave out are alike, about 1e-8
    h = {k: line.entropy(t + k * width) for k in (-2, -1, 1, 2)}
    slope = (8 * (h[1] - h[-1]) - (h[2] - h[-2])) / (12 * width)
    rate = t ** case.wrong(1, 2) * line.fisher(t)
    return at_most(abs(slope - rate), 1e-6 * rate, size=1, scale=rate)


@claim(
    "denoising.every-step-lowers-the-entropy",
    title="Every denoising step lowers the entropy, however long and at any noise",
    statement=r"h\big(\mathbb E[x_s\mid x_t]\big)\le h(x_t)-t(t-s)\,\mathbb E\|\nabla\log p_t(x_t)\|^2<h(x_t),"
    r"\qquad0<s<t",
    source=f"{BOOK}, whose text says so of all s < t and whose proof bounds t and asks for short steps; bound derived",
    relation="<",
    hypotheses="up to three points or Gaussians on a line, t from 0.3 to 3, s from 0.01 to 0.95 t; to 10^-8 nats",
    expect=HOLDS,
    twin="twice that bound",
    uses=("denoising.ddim-step-of-a-gaussian", "denoising.entropy-grows-with-noise"),
    instances=40,
    figure=figures.entropy_of_a_step,
)
def every_step_lowers_the_entropy(case: Case) -> Outcome:
    """True of any z with a second moment, in any dimension: the step is f(x) = (s/t)x + (1 − s/t)E[z|x] =
    x + t(t − s)∇log p_t(x), and Df = (s/t)I + (1 − s/t)Cov(z|x)/t² is positive definite. So f is one-to-one, and
    h(f(x)) − h(x) = E log det Df ≤ E tr(Df − I) = t(t − s)E Δlog p_t = −t(t − s)E‖∇log p_t‖². Neither t nor s need be
    bounded. Tried on a line, f differentiated by differences.
    """
    line, t = _line(case)
    share = case.uniform("s/t", 0.01, 0.95)
    x, width = line.grid(t), 1e-3 * t

    def step(x: np.ndarray) -> np.ndarray:
        return share * x + (1 - share) * line.posterior_mean(x, t)

    slope = (8 * (step(x + width) - step(x - width)) - (step(x + 2 * width) - step(x - 2 * width))) / (12 * width)
    change = _integral(line.density(x, t) * np.log(slope), x)
    bound = -case.wrong(1, 2) * t**2 * (1 - share) * line.fisher(t)
    return at_most(change, bound + 1e-8, size=1, scale=1.0)


@claim(
    "denoising.score-points-to-nearest-subspace",
    title="As the noise vanishes the score points to the nearest subspace",
    statement=(
        r"\big\|\sigma^2\nabla\log q(x)+(I-U_sU_s^\top)x\big\|\le\frac{\sigma^2+2\,(1-P(s\mid x))}{1+\sigma^2}"
        r"\,\|x\|"
    ),
    source=f"derived; what {MAE} and {N23} compare the compression gradient with",
    relation="<=",
    hypotheses="unit variances, equal weights, subspaces of one dimension p in any position; every x, s the likeliest",
    expect=HOLDS,
    twin="the sigma^2 left out",
    uses=("denoising.unit-spectrum",),
    instances=80,
    figure=figures.score_and_nearest_subspace,
)
def score_points_to_nearest_subspace(case: Case) -> Outcome:
    """σ²∇log q(x) = E[z|x] − x, and E[z|x] is a mean of U_kU_kᵀx/(1 + σ²) that the nearest subspace soon has alone."""
    m = _mixture(case, unit=True, noise=(1e-2, 3.0))
    share = to_numpy(m.law.memberships(m.X, noise=m.noise))[0]
    s = int(share.argmax())
    basis, x = to_numpy(m.law.U)[s], to_numpy(m.X)[0]
    towards = x @ basis @ basis.T - x
    score = m.noise**2 * to_numpy(m.law.score(m.X, noise=m.noise))[0]
    s2 = case.wrong(m.noise**2, 0.0)
    bound = (s2 + 2 * (1 - share[s])) / (1 + m.noise**2) * norm(x)
    distance = case.asarray(np.asarray(norm(score - towards)))
    return at_most(distance, bound, size=m.d + m.K, scale=m.unit)


@claim(
    "denoising.compression-gradient-points-to-subspace",
    title="The compression gradient points to the nearest subspace, as the score does",
    statement=(
        r"\cos\big(-\nabla_{z_i}R^c(Z\mid U_{[K]}),\ U_{s_i}U_{s_i}^\top z_i-z_i\big)\ge\tfrac12,\qquad"
        r" z_i=U_{s_i}a_i+\sigma w_i,\ \sigma\to0"
    ),
    source=f"{MAE}, theorem on the compression gradient, recalled: its hypotheses are to be compared with the paper",
    relation="limit",
    hypotheses="orthogonal subspaces, complete or not; N_k below and above p; sigma from 1e-6 to 1e-4, beta p over "
    "eight decades from 1e-4 to 1e4; every token",
    expect=REFUTED,
    twin="the score for the gradient",
    uses=("denoising.score-points-to-nearest-subspace", "denoising.compression-gradient-with-vanishing-noise"),
    instances=100,
    witness={"K, p, d, N_k": (2, 1, 2, 1), "sigma": 1e-4, "seed": 0, "beta p": 1.0},
)
def compression_gradient_points_to_subspace(case: Case) -> Outcome:
    """False wherever the noise vanishes first: −∇Rᶜ keeps a part of order one towards the origin within the subspace of
    the token, beside a part of order σ towards it. What it takes is β ≫ 1/σ, β ≪ 1/σ² and fewer tokens than dimensions
    (denoising.compression-gradient-with-vanishing-noise). At any β the step shrinks all it finds, and most what no
    other token fills.
    """
    m = _codebook(case, (1e-6, 1e-4))
    beta = case.log_uniform("beta p", 1e-4, 1e4) / m.p
    towards = m.own - m.Z
    if case.twin:
        law = SubspaceMixture(m.U, np.ones((m.K, m.p)), np.ones(m.K))
        direction = law.score(m.Z, noise=m.sigma)
        case.assume(law.memberships(m.Z, noise=m.sigma)[np.arange(len(m.labels)), m.labels].min() > 1 - 1e-6)
    else:
        direction = -_compression_gradient(case, m, beta)
    cosines = _cosines(direction, towards)
    return at_most(0.5, float(cosines.min()), size=1, scale=1.0, cosines=cosines)


@claim(
    "denoising.compression-gradient-with-vanishing-noise",
    title="What the compression gradient does to noise, and the window in which that is all it does",
    statement=(
        r"\Big\|\frac{\nabla_{z_i}R^c}{\beta\sigma}-\sum_{j\ne s}U_jP_j^\perp w_{ij}\Big\|\le"
        r"\frac{(1+\beta\sigma^2\|W_s\|^2)\|y_{is}\|}{\sigma(1+\beta\lambda_s)}+\sum_{j\ne s}\|w_{ij}\|"
        r"\Big(\frac1{1+\beta\lambda_j}+\beta\sigma^2\|W_j\|^2\Big)"
    ),
    source=f"derived; the regime in which the theorem of {MAE} on the compression gradient is true",
    relation="<=",
    hypotheses="orthogonal subspaces, complete or not; N_k below and above p; sigma from 1e-3 to 1, beta p over eight "
    "decades; w_ij = U_j^T w_i, W_j those of the tokens outside class j, lambda_j the least positive eigenvalue of the "
    "Gram matrix of class j in its head, P_j^perp the projector off its range",
    expect=HOLDS,
    twin="the identity for P_j^perp",
    instances=150,
    figure=figures.gradient_in_its_window,
)
def compression_gradient_with_vanishing_noise(case: Case) -> Outcome:
    """(I + βG)⁻¹ is P^⊥ to 1/(1 + βλ), and moves by at most βσ²‖W‖² with the noise of the other tokens in the head. The
    right side vanishes for 1/(σλ) ≪ β ≪ 1/(σ²‖W‖²): then the step points to the subspace, with what is left of the
    noise. With N_k ≥ p nothing is: P_j^⊥ = 0, and there is no such window.
    """
    m = _codebook(case, (1e-3, 1.0))
    beta = case.log_uniform("beta p", 1e-3, 1e5) / m.p
    gradient = _compression_gradient(case, m, beta)
    i = 0
    s, total, bound = m.labels[i], np.zeros(m.d), 0.0
    for j in range(m.K):
        Y, strangers = m.Z @ m.U[j], m.labels != j
        values, axes = np.linalg.svd(Y[~strangers])[1:]
        least = values.min() ** 2
        noise = beta * m.sigma**2 * np.linalg.norm(m.W[strangers] @ m.U[j], 2) ** 2
        if j == s:
            bound += (1 + noise) * norm(Y[i]) / m.sigma / (1 + beta * least)
            continue
        w = m.W[i] @ m.U[j]
        off = w - case.wrong(1, 0) * axes[: len(values)].T @ (axes[: len(values)] @ w)
        total += m.U[j] @ off
        bound += norm(w) * (1 / (1 + beta * least) + noise)
    distance = norm(gradient[i] / beta / m.sigma - total)
    top = beta * np.linalg.norm(m.Z, 2) ** 2
    return at_most(case.asarray(np.asarray(distance)), bound, size=m.Z.size, scale=norm(m.Z) / m.sigma * (1 + top))


@claim(
    "denoising.compression-gradient-cosine",
    title="In its window the compression gradient reaches the cosine sqrt((K - 1)(p - N_k)/(d - p))",
    statement=(
        r"\mathbb E\cos^2\big(-\nabla_{z_i}R^c,\ U_{s_i}U_{s_i}^\top z_i-z_i\big)\to\frac{(K-1)(p-N_k)}{d-p}\ "
        r"\Big(=1-\frac{N_k}p\text{ if }Kp=d\Big),\qquad\tfrac1\sigma\ll\beta\ll\tfrac1{\sigma^2},\ N_k<p"
    ),
    source=f"derived; the cosine that the theorem of {MAE} on the compression gradient reaches",
    relation="limit",
    hypotheses="orthogonal subspaces, complete or not; sigma 1e-5, beta = sigma^-1.5; the mean over 30 sets within six "
    "standard errors and 0.02",
    expect=HOLDS,
    twin="N_k for p - N_k",
    uses=("denoising.compression-gradient-with-vanishing-noise",),
    instances=12,
    figure=figures.gradient_in_its_window,
)
def compression_gradient_cosine(case: Case) -> Outcome:
    """Of the noise in a foreign head, N_k dimensions of p are filled by its class and lost. So for 197 tokens in 12
    heads of 64 it is 0.86; at N_k = p it is 0.
    """
    sizes = ((2, 6, 12, 1), (2, 6, 12, 3), (3, 8, 24, 4), (3, 8, 32, 2), (2, 10, 24, 5))
    cosines, (K, p, d, N) = [], case.choice("K, p, d, N_k", sizes)
    rng = case.rng()
    for _ in range(30):
        m = _drawn_codebook(rng, K, p, d, N, 1e-5)
        cosines.append(_cosines(-_compression_gradient(case, m, 1e-5**-1.5), m.own - m.Z) ** 2)
    wanted, share = (K - 1) * (p - N) / (d - p), (K - 1) * case.wrong(p - N, N) / (d - p)
    error = math.sqrt(wanted * max(1 - wanted, 0.05) / ((d - p) / 2 + 1) / np.size(cosines))
    return at_most(abs(float(np.mean(cosines)) - share), 6 * error + 0.02, size=1, scale=1.0)


@claim(
    "denoising.compression-gradient-with-many-tokens",
    title="With as many tokens as dimensions in each class the compression gradient points to the origin",
    statement=(
        r"\cos\big(-\nabla_{z_i}R^c,\ U_sU_s^\top z_i-z_i\big)\le\kappa\,\frac{\|(I-U_sU_s^\top)z_i\|}"
        r"{\|U_s^\top z_i\|},\qquad\kappa=\max_{j\ne s}\max\Big(1,\frac{\lambda_{\max}(Y_sY_s^\top)}"
        r"{\lambda_{\min}(Y_jY_j^\top)}\Big)\quad\forall\beta"
    ),
    source=f"derived; where the theorem of {MAE} on the compression gradient fails",
    relation="<=",
    hypotheses="orthogonal subspaces, complete or not; N_k >= p; sigma from 1e-6 to 0.1, beta p over eight decades; "
    "every token",
    expect=HOLDS,
    twin="N_k < p, with the least positive eigenvalue",
    instances=150,
    figure=figures.gradient_in_its_window,
)
def compression_gradient_with_many_tokens(case: Case) -> Outcome:
    """(I + βY_jY_jᵀ)⁻¹ then shrinks all heads alike but for κ, which no β enters: of the order of 1 for N_k ≫ p. So the
    cosine is of the order of σ√(d/p), as small as the noise.
    """
    below = tuple(size for size in CODEBOOKS if size[3] < size[1])
    enough = tuple(size for size in CODEBOOKS if size[3] >= size[1])
    m = _codebook(case, (1e-6, 0.1), sizes=case.wrong(enough, below))
    beta = case.log_uniform("beta p", 1e-2, 1e6) / m.p
    cosines = _cosines(-_compression_gradient(case, m, beta), m.own - m.Z)
    values = [np.linalg.svd(m.Z @ U, compute_uv=False) ** 2 for U in m.U]
    if case.twin:
        values = [np.linalg.svd(m.Z[m.labels == j] @ U, compute_uv=False) ** 2 for j, U in enumerate(m.U)]
    others = [min((b.min() for b in values if b is not a), default=np.inf) for a in values]
    kappa = np.array([max(1.0, a.max() / least) for a, least in zip(values, others, strict=True)])[m.labels]
    noise = np.linalg.norm(m.own - m.Z, axis=1)
    bound = kappa * noise / np.linalg.norm(m.own, axis=1)
    rounding = 1 + np.linalg.norm(m.Z, axis=1) / noise  # what is left of the tokens' digits in their noise
    return at_most(case.asarray(cosines), bound, size=m.Z.size, scale=(1 + kappa) * rounding)


@claim(
    "denoising.compression-step-takes-noise",
    title="In the window a step of 1/beta leaves N_k/p of the noise and all of the signal",
    statement=(
        r"\mathbb E\,\frac{\|(I-U_sU_s^\top)z_i^+\|^2}{\|(I-U_sU_s^\top)z_i\|^2}\to\frac{N_k}p,\qquad "
        r"z_i^+=z_i-\tfrac1\beta\nabla_{z_i}R^c,\ Kp=d,\ N_k<p"
    ),
    source=f"derived; denoising by the compression step, {MAE}",
    relation="limit",
    hypotheses="a complete family of orthogonal subspaces; sigma 1e-5, beta = sigma^-1.5; the mean over 30 sets within "
    "six standard errors and 0.02; the signal to one per cent",
    expect=HOLDS,
    twin="its square",
    uses=("denoising.compression-gradient-with-vanishing-noise",),
    instances=12,
    figure=figures.gradient_in_its_window,
)
def compression_step_takes_noise(case: Case) -> Outcome:
    """So the signal-to-noise ratio grows by √(p/N_k), once: a second step finds the noise where the class is. With
    N_k ≥ p it does not grow, at any β ≫ 1.
    """
    K, p, N = case.choice("K, p, N_k", ((2, 6, 1), (2, 6, 3), (3, 8, 4), (2, 12, 3)))
    left, rng, kept = [], case.rng(), 0.0
    for _ in range(30):
        m = _drawn_codebook(rng, K, p, K * p, N, 1e-5)
        after = m.Z - _compression_gradient(case, m, 1e-5**-1.5) / 1e-5**-1.5
        own = np.einsum("np,ndp->nd", np.einsum("nd,ndp->np", after, m.U[m.labels]), m.U[m.labels])
        left.append(np.sum((after - own) ** 2, axis=1) / np.sum((m.Z - m.own) ** 2, axis=1))
        kept = max(kept, float(np.max(np.linalg.norm(own - m.own, axis=1) / np.linalg.norm(m.own, axis=1))))
    share = N / p
    error = math.sqrt(share * (1 - share) / ((K - 1) * p / 2 + 1) / np.size(left))
    gap = abs(float(np.mean(left)) - case.wrong(share, share**2))
    return all_of(at_most(gap, 6 * error + 0.02, size=1, scale=1.0), at_most(kept, 0.01, size=1, scale=1.0))


# --- shared -------------------------------------------------------------------------------------------------

CODEBOOKS = ((2, 1, 2, 1), (2, 3, 6, 1), (2, 3, 8, 2), (3, 2, 6, 2), (2, 2, 4, 6), (2, 3, 8, 9))
"""K, p, d and tokens in each class: below and above p, complete and not."""


@dataclass(frozen=True)
class Codebook:
    """Tokens z = U_s a + σw near orthogonal subspaces, and their parts there; in NumPy."""

    Z: np.ndarray
    own: np.ndarray
    U: np.ndarray
    labels: np.ndarray
    W: np.ndarray
    sigma: float
    K: int
    p: int
    d: int


def _codebook(case: Case, sigma: tuple[float, float], *, sizes: tuple[tuple[int, ...], ...] = CODEBOOKS) -> Codebook:
    size = case.choice("K, p, d, N_k", sizes)
    noise = case.log_uniform("sigma", *sigma)
    return _drawn_codebook(case.rng(), *size, noise)


def _drawn_codebook(rng: np.random.Generator, K: int, p: int, d: int, N: int, sigma: float) -> Codebook:
    U = rotation(rng, d)[:, : K * p].reshape(d, K, p).swapaxes(0, 1)
    labels, a, W = np.repeat(np.arange(K), N), rng.standard_normal((K * N, p)), rng.standard_normal((K * N, d))
    Z = np.einsum("np,ndp->nd", a, U[labels]) + sigma * W
    own = np.einsum("np,ndp->nd", np.einsum("nd,ndp->np", Z, U[labels]), U[labels])
    return Codebook(Z, own, np.ascontiguousarray(U), labels, W, sigma, K, p, d)


def _compression_gradient(case: Case, m: Codebook, beta: float) -> np.ndarray:
    eps = math.sqrt(m.p / len(m.Z) / beta)
    Z, U = case.asarray(m.Z), case.asarray(m.U)
    return to_numpy(subspace_coding_rate_and_gradient(Z, U, eps=eps, method="svd")[1])


def _cosines(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    return np.sum(a * b, axis=1) / np.linalg.norm(a, axis=1) / np.linalg.norm(b, axis=1)


@dataclass(frozen=True)
class Noisy:
    """A mixture, one noisy token (1, d), and the noise."""

    law: SubspaceMixture
    X: Array
    noise: float
    K: int
    d: int

    @property
    def unit(self) -> float:
        """What rounding is relative to: the token, moved by the softmax as fast as its logits move."""
        return norm(self.X) * (1 + norm(self.X) ** 2 / self.noise**2)


def _mixture(
    case: Case, *, unit: bool = False, balanced: bool = False, noise: tuple[float, float] = (0.1, 3.0)
) -> Noisy:
    rng = case.rng()
    K, d, p = case.choice("K, d, p", ((2, 2, 1), (1, 1, 1), (3, 2, 1), (2, 3, 2), (3, 4, 2)))
    sigma = case.log_uniform("sigma", *noise)
    U = np.linalg.qr(rng.standard_normal((K, d, p)))[0]
    variances = np.ones((K, p)) if unit else 10 ** rng.uniform(-1, 1, size=(K, p))
    if balanced:
        weights = np.sqrt(np.prod(variances + sigma**2, axis=1))
        weights /= np.sum(weights)
    else:
        weights = np.ones(K) if unit else 10 ** rng.uniform(-1, 1, size=K)
    k = rng.integers(K)
    clean = U[k] @ (np.sqrt(variances[k]) * rng.standard_normal(p))
    X = clean + sigma * rng.standard_normal(d)
    return Noisy(SubspaceMixture(*map(case.asarray, (U, variances, weights))), case.asarray(X[None, :]), sigma, K, d)


def _covariances(m: Noisy) -> np.ndarray:
    """U_k Diag(λ_k) U_kᵀ + σ²I, (K, d, d), in float64."""
    U, variances = to_numpy(m.law.U), to_numpy(m.law.variances)
    return (U * variances[:, None, :]) @ U.swapaxes(1, 2) + m.noise**2 * np.eye(m.d)


def _log_priors(m: Noisy) -> np.ndarray:
    """log(π_k det M_k), (K,)."""
    return np.log(to_numpy(m.law.weights)) - np.linalg.slogdet(_covariances(m))[1] / 2


def _attention_score(m: Noisy, *, prior: float, half: float = 1 / 2) -> np.ndarray:
    """−Σ softmax_k(prior · log(π_k det M_k) − ½‖M_kx‖²) M_k² x, (1, d)."""
    x = to_numpy(m.X)[0]
    whitened = np.linalg.solve(_covariances(m), np.broadcast_to(x, (m.K, m.d))[..., None])[..., 0]
    logits = prior * _log_priors(m) - half * (whitened @ x)
    share = np.exp(logits - np.max(logits))
    return -(share / np.sum(share))[None, :] @ whitened


def _density_gradient(m: Noisy, x: np.ndarray) -> list[float]:
    """∇ log q(x), with dense covariances."""
    with ctx.workprec(400):
        U, variances, weights = (to_numpy(a) for a in (m.law.U, m.law.variances, m.law.weights))
        noise = _diagonal([m.noise] * m.d, square=True)
        laws = [
            (weight, [arb(0)] * m.d, _matrix(basis) * _diagonal(spectrum) * _matrix(basis).transpose() + noise)
            for basis, spectrum, weight in zip(U, variances, weights, strict=True)
        ]
        return _log_density_gradient(laws, x)


def _log_density_gradient(laws: Sequence[tuple[float, list[arb], arb_mat]], x: np.ndarray) -> list[float]:
    """Of Gaussians (weight, mean, covariance) by central differences of step 2⁻⁶⁰, in the precision at hand."""
    step, d = arb(2) ** -60, len(x)
    known = [(arb(float(weight)) / cov.det().sqrt(), mean, cov.inv()) for weight, mean, cov in laws]

    def log_density(shift: int, sign: int) -> arb:
        moved = [arb(float(v)) + (sign * step if i == shift else 0) for i, v in enumerate(x)]
        total = arb(0)
        for weight, mean, inverse in known:
            column = arb_mat(d, 1, [v - c for v, c in zip(moved, mean, strict=True)])
            total += weight * (-(column.transpose() * inverse * column)[0, 0] / 2).exp()
        return total.log()

    return [float(((log_density(i, 1) - log_density(i, -1)) / (2 * step)).mid()) for i in range(d)]


@dataclass(frozen=True)
class Line:
    """Points and Gaussians on a line: what a clean token is drawn from. In NumPy."""

    weights: np.ndarray
    means: np.ndarray
    variances: np.ndarray

    def grid(self, t: float) -> np.ndarray:
        """So fine and so long that the trapezoidal rule is exact to rounding."""
        reach = 12 * math.sqrt(self.variances.max() + t**2)
        return np.linspace(self.means.min() - reach, self.means.max() + reach, 8001)

    def density(self, x: np.ndarray, t: float) -> np.ndarray:
        return self._joint(x, t).sum(axis=0)

    def posterior_mean(self, x: np.ndarray, t: float) -> np.ndarray:
        """E[z | x_t = x], in logarithms: the density underflows far out."""
        beside, spread = x - self.means[:, None], self.variances[:, None] + t**2
        logits = np.log(self.weights / np.sqrt(spread[:, 0]))[:, None] - beside**2 / spread / 2
        share = np.exp(logits - logits.max(axis=0))
        parts = self.means[:, None] + self.variances[:, None] / spread * beside
        return (share * parts).sum(axis=0) / share.sum(axis=0)

    def entropy(self, t: float) -> float:
        x = self.grid(t)
        q = self.density(x, t)
        return -_integral(q * np.log(np.where(q > 0, q, 1.0)), x)

    def fisher(self, t: float) -> float:
        """E(∇log p_t)², the slope of the density taken by hand."""
        x = self.grid(t)
        q = self.density(x, t)
        slope = (-self._joint(x, t) * (x - self.means[:, None]) / (self.variances[:, None] + t**2)).sum(axis=0)
        return _integral(slope**2 / np.where(q > 0, q, 1.0), x)

    def _joint(self, x: np.ndarray, t: float) -> np.ndarray:
        spread = self.variances[:, None] + t**2
        heights = self.weights[:, None] / np.sqrt(2 * math.pi * spread)
        return heights * np.exp(-((x - self.means[:, None]) ** 2) / spread / 2)


def _integral(values: np.ndarray, x: np.ndarray) -> float:
    """By the trapezoidal rule, of what vanishes at both ends."""
    return float(values.sum() * (x[1] - x[0]))


def _line(case: Case) -> tuple[Line, float]:
    """A law on a line, and the noise."""
    K, kind = case.integer("components", 1, 3), case.choice("kind", ("points", "Gaussians"))
    t, rng = case.log_uniform("t", 0.3, 3.0), case.rng()
    weights = rng.dirichlet(np.ones(K))
    variances = np.zeros(K) if kind == "points" else 10 ** rng.uniform(-2, 1, size=K)
    return Line(weights, 3 * rng.standard_normal(K), variances), t


def _matrix(a: np.ndarray) -> arb_mat:
    return arb_mat(*a.shape, [float(v) for v in a.ravel()])


def _diagonal(entries: Any, *, square: bool = False) -> arb_mat:
    values = [arb(float(v)) ** 2 if square else arb(float(v)) for v in entries]
    n = len(values)
    return arb_mat(n, n, [values[i] if i == j else arb(0) for i in range(n) for j in range(n)])
