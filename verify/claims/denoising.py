"""Attention as denoising: one noisy token x = z + σw, z from a mixture of Gaussian subspaces.

The density is also computed with dense covariances in ball arithmetic, from which nothing in `srr.denoising` is taken.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from array_api_compat import array_namespace
from flint import arb, arb_mat, ctx

from srr.denoising import SubspaceMixture, attention_denoiser
from verify.arrays import to_numpy
from verify.claims._instances import norm
from verify.claims._sources import BOOK, N23
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
    proof=("score-of-a-mixture",),
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
    uses=("denoising.unit-spectrum",),
    instances=100,
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


# --- shared -------------------------------------------------------------------------------------------------


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
    """∇ log q(x) by central differences of step 2⁻⁶⁰ in 400-bit balls, with dense covariances."""
    step = arb(2) ** -60
    with ctx.workprec(400):
        U, variances, weights = (to_numpy(a) for a in (m.law.U, m.law.variances, m.law.weights))
        inverses = []
        for basis, spectrum, weight in zip(U, variances, weights, strict=True):
            B = _matrix(basis)
            cov = B * _diagonal(spectrum) * B.transpose() + _diagonal([m.noise] * m.d, square=True)
            inverses.append((arb(float(weight)) / cov.det().sqrt(), cov.inv()))

        def log_density(shift: int, sign: int) -> arb:
            moved = [arb(float(v)) + (sign * step if i == shift else 0) for i, v in enumerate(x)]
            column = arb_mat(m.d, 1, moved)
            return sum(w * (-(column.transpose() * inv * column)[0, 0] / 2).exp() for w, inv in inverses).log()

        return [float(((log_density(i, 1) - log_density(i, -1)) / (2 * step)).mid()) for i in range(m.d)]


def _matrix(a: np.ndarray) -> arb_mat:
    return arb_mat(*a.shape, [float(v) for v in a.ravel()])


def _diagonal(entries: Any, *, square: bool = False) -> arb_mat:
    values = [arb(float(v)) ** 2 if square else arb(float(v)) for v in entries]
    n = len(values)
    return arb_mat(n, n, [values[i] if i == j else arb(0) for i in range(n) for j in range(n)])
