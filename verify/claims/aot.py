"""AoT: what attention alone does to the signal-to-noise ratio of a mixture, layer after layer."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from flint import arb, ctx, fmpq

from srr import flops, mixtures
from srr.aot import attention_weights, denoising_step, snr
from srr.layers import aot
from verify import decide
from verify.arrays import to_numpy
from verify.case import Case
from verify.claims._instances import norm
from verify.claims._sources import AOT, BOOK
from verify.claims._steps import gather, heads, softmax
from verify.figures import aot as figures
from verify.figures.compression import multiplications_by_tokens
from verify.ledger import HOLDS, REFUTED, Outcome, claim
from verify.multiplications import multiplications
from verify.outcome import all_of, at_most, decided, equal, exactly, observed

Array = Any

SIZES = ((2, 8, 2), (2, 8, 3), (2, 16, 4), (3, 12, 3), (2, 24, 8), (4, 16, 4))
"""Classes, dimension of each, tokens in each; p > (32/9) ln N throughout."""
DEPTH = 30
"""Layers, of which the theorem allows any number."""
LAW = "noisy mixture of low-rank Gaussians, tau in the theorem's interval, noise up to sqrt(ln N/p)"


@dataclass(frozen=True)
class Model:
    """Tokens of the noisy mixture of low-rank Gaussians, with the bases and classes that they are drawn from."""

    Z: Array
    Pi: Array
    U: Array
    labels: np.ndarray
    tau: float
    eta: float
    p: int

    @property
    def own(self) -> np.ndarray:
        """Whether head k is that of the class of token i: (K, N)."""
        return to_numpy(self.Pi).T > 0

    def step(self, Z: Array, threshold: float | None) -> Array:
        """One layer."""
        return denoising_step(Z, self.U, step=self.eta, threshold=threshold)

    def good(self, Z: Array) -> bool:
        """Whether every token attends to itself in its own head and to nothing in the others."""
        own, foreign = self.largest(Z)
        return bool(own.min() > self.tau and foreign.max() <= self.tau)

    def largest(self, Z: Array) -> tuple[np.ndarray, np.ndarray]:
        """The weight of each token for itself in its own head, and its largest weight in any other."""
        weights = to_numpy(attention_weights(Z, self.U))
        itself = np.diagonal(weights, axis1=1, axis2=2)[self.own]
        return itself, weights.max(axis=2)[~self.own]


def _upper(N: int, p: int) -> float:
    return 1 / (1 + N * math.exp(-9 * p / 32))


def _model(
    case: Case, *, noise: tuple[float, float] = (0.05, 1.0), tau: tuple[str, ...] = ("inside", "upper", "lower")
) -> Model:
    K, p, m = case.choice("K, p, tokens each", SIZES)
    N = K * m
    delta = case.uniform("noise over its limit", *noise) * math.sqrt(math.log(N) / p)
    where, top = case.choice("tau", tau), _upper(N, p)
    threshold = {"inside": (0.5 + top) / 2, "upper": top, "lower": 0.5 + 1e-6}[where]
    eta = case.uniform("eta", 0.1, 1.0)
    mixture = mixtures.sample(n=N, d=K * p, K=K, p=p, noise=delta, confined=True, seed=case.seed())
    Z, Pi, U = (case.asarray(a) for a in (mixture.Z, mixture.Pi, mixture.U))
    return Model(Z, Pi, U, mixture.labels, threshold, eta, p)


def _grown(m: Model, factor: float) -> Array:
    """The tokens, with their part in their own subspace multiplied."""
    tokens, U = to_numpy(m.Z), to_numpy(m.U)[m.labels]
    inside = np.einsum("nd,ndp->np", tokens, U)
    return tokens + (factor - 1) * np.einsum("np,ndp->nd", inside, U)


# --- what the functions compute ------------------------------------------------------------------------------


@claim(
    "aot.written-out",
    title="The layer adds attention, with the threshold or without; the ratio is that of signal and noise",
    statement=r"Z^{\ell+1}=Z^\ell+\eta\sum_kU_kY_kS_k\text{ or }Z^\ell+\eta\tau\sum_kU_kY_k[S_k>\tau],\qquad"
    r"\mathrm{SNR}_k=\frac{\|U_kU_k^\top Z_k\|_F}{\|Z_k-U_kU_k^\top Z_k\|_F}",
    source=f"{AOT}, theorem 1 and the definition before it; {BOOK}, eq. MSSA",
    relation="=",
    hypotheses="any tokens, bases of less than the dimension of the tokens, hard memberships, step and threshold; no "
    "weight within 0.001 of the threshold",
    expect=HOLDS,
    twin="attention taken away",
    instances=80,
)
def written_out(case: Case) -> Outcome:
    """Head by head in NumPy; nothing of srr on the other side."""
    K, p = case.integer("K", 1, 3), case.integer("p", 1, 2)
    n, d = case.integer("n", K, 5), case.integer("d", p + 1, 4)
    rng, eta, tau = case.rng(), case.log_uniform("eta", 0.1, 3.0), case.choice("tau", (None, 0.2, 0.6))
    Pi = np.eye(K)[np.arange(n) % K]
    Z, U = case.asarray(rng.standard_normal((n, d))), case.asarray(rng.standard_normal((K, d, p)))
    layer = aot(U, step=eta, threshold=tau)
    tokens, Y = to_numpy(Z), to_numpy(heads(Z, U))
    S = softmax(Y)
    if tau is not None:
        case.assume(np.abs(S - tau).min() > 1e-3)
        S = tau * np.greater(S, tau)
    after = tokens + case.wrong(1, -1) * eta * gather(S @ Y, to_numpy(U))
    scores = 1 + float(np.max(np.sum(Y**2, axis=2)))
    weights = equal(attention_weights(Z, U, threshold=tau), S, size=n + d, scale=scores)
    own = Pi.T[:, :, None] > 0
    signal, noise = (np.linalg.norm(own * part, axis=(1, 2)) for part in (Y, tokens - Y @ to_numpy(U).swapaxes(1, 2)))
    off = 1 + (1 + norm(U) ** 2) * norm(Z) / noise
    return all_of(
        weights,
        equal(layer(Z), after, size=n + d, scale=(1 + eta * scores * norm(U) ** 2) * norm(Z)),
        equal(snr(Z, case.asarray(Pi), U), signal / noise, size=n * d, scale=signal / noise * off),
    )


@claim(
    "aot.cost",
    title="What attention alone costs in matrix products",
    statement=r"\#\text{multiplications}=2ndKp+2n^2Kp",
    source="the operator; counted here",
    relation="=",
    hypotheses="up to twenty tokens, counted while the layer runs",
    expect=HOLDS,
    twin="with three projections for queries, keys and values",
    instances=30,
    figure=multiplications_by_tokens,
)
def cost(case: Case) -> Outcome:
    """The projection that serves as query, key and value, the way back, and two products of tokens with tokens. In
    NumPy whatever the ledger computes with.
    """
    n, K, p = case.integer("n", 1, 20), case.integer("K", 1, 3), case.integer("p", 1, 4)
    d, rng = p + case.integer("d - p", 0, 5), case.rng()
    Z, U = rng.standard_normal((n, d)), rng.standard_normal((K, d, p))
    counted = multiplications(lambda Z, U: aot(U)(Z), Z, U)
    claimed = flops.attention(n, d, K, p) // 2
    stated = 2 * n * d * K * p + 2 * n * n * K * p + case.wrong(0, 2 * n * d * K * p)
    return exactly(counted == claimed == stated, counted=counted, stated=stated)


# --- one layer ----------------------------------------------------------------------------------------------


@claim(
    "aot.tokens-grow-and-do-not-mix",
    title="Where each token attends to itself alone, a layer lengthens its signal and leaves its noise",
    statement=r"z_i^{(\ell+1)}=(1+\eta\tau)\,U_{s_i}U_{s_i}^\top z_i^{(\ell)}+(I-U_{s_i}U_{s_i}^\top)z_i^{(\ell)},"
    r"\qquad\mathrm{SNR}_k^{(\ell+1)}=(1+\eta\tau)\,\mathrm{SNR}_k^{(\ell)}",
    source=f"{AOT}, theorem 1: its equality, on the event that its proof is about; {BOOK}, thm. 1",
    relation="=",
    hypotheses=f"{LAW}; in its own head the weight of a token for itself is above tau, in the others no weight is",
    expect=HOLDS,
    twin="1 + eta for 1 + eta tau",
    proof=(
        "signal-after-an-attention-only-layer",
        "noise-after-an-attention-only-layer",
        "signal-to-noise-ratio-after-an-attention-only-layer",
    ),
    figure=figures.snr_over_depth,
)
def tokens_grow_and_do_not_mix(case: Case) -> Outcome:
    """The thresholded attention is τ on the diagonal of a class in its own head, and zero elsewhere. So no token is
    denoised by another: the noise stays as it is, and the tokens grow without bound with depth.
    """
    m = _model(case)
    case.assume(m.good(m.Z))
    factor = 1 + m.eta * case.wrong(m.tau, 1.0)
    after = m.step(m.Z, m.tau)
    before, ratio = snr(m.Z, m.Pi, m.U), snr(after, m.Pi, m.U)
    size, worst = m.Z.shape[0] + m.Z.shape[1], float(to_numpy(before).max())
    return all_of(
        equal(after, case.asarray(_grown(m, factor)), size=size, scale=norm(m.Z)),
        equal(ratio, factor * before, size=size, scale=worst * (1 + worst)),
    )


@claim(
    "aot.own-token-wins",
    title="A margin of 9p/32 over all others makes a token attend to itself",
    statement=r"\|y_i\|^2-y_i^\top y_j\ge\tfrac{9p}{32}\ \forall j\ne i\ \Longrightarrow\ "
    r"\mathrm{softmax}(Y^\top Y)_{ii}\ge\frac1{1+Ne^{-9p/32}}",
    source=f"the upper end of the interval of {AOT}, theorem 1, as a deterministic condition",
    relation="<=",
    hypotheses="any tokens of one head with that margin",
    expect=HOLDS,
    twin="a margin of 9p/64",
    instances=150,
    figure=figures.own_mass,
)
def own_token_wins(case: Case) -> Outcome:
    """The other N − 1 weights are at most e^{−9p/32} of its own."""
    rng = case.rng()
    N, p = case.integer("N", 2, 12), case.integer("p", 1, 12)
    Y = rng.standard_normal((N, p)) + case.uniform("offset", 0.0, 1.0)
    # along an axis of its own each token gets what it lacks, more or less
    gram = Y @ Y.T
    lack = np.max(gram - np.diag(np.diag(gram)) - np.diag(np.full(N, np.inf)), axis=1) - np.diag(gram)
    wanted = case.wrong(1.0, 0.5) * 9 * p / 32
    extra = np.sqrt(np.maximum(lack + wanted * case.choice("margin", (1.0, 1.01, 2.0)), 0))
    Z = case.asarray(np.hstack([Y, np.diag(extra)]))
    weights = to_numpy(attention_weights(Z, case.asarray(np.eye(N + p)[None])))[0]
    bound = np.full(N, 1 / (1 + N * math.exp(-9 * p / 32)))
    return at_most(bound, case.asarray(np.diag(weights).copy()), size=N + p, scale=1 + float(np.max(gram)) + p)


@claim(
    "aot.interval-is-not-empty",
    title="The interval of thresholds is not empty if and only if p > (32/9) ln N",
    statement=r"\tfrac12<\frac1{1+Ne^{-9p/32}}\iff p>\tfrac{32}9\ln N",
    source=f"{AOT}, theorem 1: tau in (1/2, 1/(1 + N exp(-9p/32))]",
    relation="=",
    hypotheses="N up to a million, p about the limit and far from it",
    expect=HOLDS,
    twin="p > (16/9) ln N",
    instances=150,
    figure=figures.own_mass,
)
def interval_is_not_empty(case: Case) -> Outcome:
    """Ne^{−9p/32} < 1. So 200 tokens need p ≥ 19 and 2000 need 28: the heads of 64 of the networks have room for 6·10⁷.
    In ball arithmetic.
    """
    N = int(case.log_uniform("N", 1.0, 1e6))
    p = case.integer("p", 1, 128)
    if case.choice("where", ("near", "far")) == "near":
        p = max(1, round(32 / 9 * math.log(N)) + case.choice("from the limit", (0, 1, -1, 5, -5)))
    with ctx.workprec(128):
        upper = 1 / (1 + N * arb(fmpq(-9 * p, 32)).exp())
        limit = arb(fmpq(case.wrong(32, 16), 9)) * arb(N).log()
        half = arb(fmpq(1, 2))
        case.assume(upper > half or upper < half)
        return exactly(bool(upper > half) == bool(p > limit))


@claim(
    "aot.every-threshold-of-the-interval",
    title="With every threshold of the interval a first layer multiplies the ratio by 1 + eta tau",
    statement=r"\mathrm{SNR}_k^{(1)}=(1+\eta\tau)\,\mathrm{SNR}_k^{(0)},\qquad\tfrac12<\tau\le\frac1{1+Ne^{-9p/32}}",
    source=f"asked here at finite N: {AOT}, theorem 1, is about large N, with constants that it does not name",
    relation="=",
    hypotheses=f"{LAW}; both ends of the interval",
    expect=REFUTED,
    twin="tokens with the margins of aot.own-token-wins, and no weight above 1/2 in a foreign head",
    derivations=("attention-only-layer-if-some-tokens-attend-elsewhere",),
    uses=("aot.tokens-grow-and-do-not-mix", "aot.own-token-wins"),
    witness={"K, p, tokens each": (2, 8, 2), "noise over its limit": 1.0, "tau": "upper", "eta": 1.0, "seed": 0},
)
def every_threshold_of_the_interval(case: Case) -> Outcome:
    """False at either end. At the upper one a token must beat all others by 9p/32, which ‖a_i‖² of a short one does
    not: at p = 32 and N = 200 one token in a hundred fails. At the lower one a foreign token with a weight barely above
    one half gets in: with noise √(ln N/p) a tenth of them, in the first layer. The deterministic conditions of the twin
    serve the whole interval at once.
    """
    m = _model(case, tau=("upper", "lower"))
    if case.twin:
        Y = np.einsum("nd,kdp->knp", to_numpy(m.Z), to_numpy(m.U))
        gram = Y @ Y.swapaxes(1, 2)
        margins = np.diagonal(gram, axis1=1, axis2=2)[..., None] - gram + np.where(np.eye(gram.shape[1]), np.inf, 0)
        case.assume(margins.min(axis=2)[m.own].min() > 9 * m.p / 32 + 1e-6)
        case.assume(m.largest(m.Z)[1].max() <= 0.5)
    before, after = snr(m.Z, m.Pi, m.U), snr(m.step(m.Z, m.tau), m.Pi, m.U)
    worst = float(to_numpy(before).max())
    own, foreign = m.largest(m.Z)
    shares = [float(np.mean(own <= m.tau)), float(np.mean(foreign > m.tau))]
    factor = 1 + m.eta * m.tau
    return equal(after, factor * before, size=m.Z.shape[1], scale=worst * (1 + worst), lost_and_gained=shares)


@claim(
    "aot.softmax-raises-snr",
    title="With the softmax of the networks, layers raise the signal-to-noise ratio",
    statement=r"\mathrm{SNR}(Z^{(\ell+1)})\ge\mathrm{SNR}(Z^{(\ell)}),\quad\ell<8,\qquad "
    r"Z^{(\ell+1)}=Z^{(\ell)}+\eta\sum_kU_kY_k\,\mathrm{softmax}(Y_k^\top Y_k)",
    source=f"asked here: the networks of {AOT} have no threshold",
    relation="monotone",
    hypotheses=f"{LAW}; the ratio over all classes, eight layers",
    expect=REFUTED,
    twin="the thresholded softmax, as long as the good event lasts",
    uses=("aot.tokens-grow-and-do-not-mix",),
    witness={
        "K, p, tokens each": (2, 8, 2),
        "noise over its limit": 1.0,
        "tau": "inside",
        "eta": 1.0,
        "seed": 0,
    },
    figure=figures.snr_over_depth,
)
def softmax_raises_snr(case: Case) -> Outcome:
    """False: a foreign token attends to the tokens of the class as well, and takes in their average at first, later,
    when they have grown, one of them whole. Decided in rational arithmetic, layer by layer.
    """
    m = _model(case, tau=("inside",))
    Z, U = m.Z, m.U
    for layer in range(8):
        if case.twin and not m.good(Z):
            case.assume(layer > 0)
            break
        after = m.step(Z, case.wrong(None, m.tau))
        change = decide.noise_share_change(Z, after, m.Pi, U)
        if change.sign != -1:
            return decided(change, "<=", layer=layer + 1)
        Z = after
    return decided(change)


# --- depth --------------------------------------------------------------------------------------------------


@claim(
    "aot.snr-grows-at-every-depth",
    title="The signal-to-noise ratio grows by 1 + eta tau in every layer",
    statement=r"\mathrm{SNR}(Z_k^{(\ell+1)})=(1+\eta\tau)\,\mathrm{SNR}(Z_k^{(\ell)})\qquad\forall\,\ell\in[L]",
    source=f"{AOT}, theorem 1",
    relation="=",
    hypotheses=f"{LAW}; L = {DEPTH}, the good event in the first layer",
    expect=REFUTED,
    twin="every layer before the first that aot.first-failing-layer foretells",
    derivations=("attention-only-layer-if-every-head-keeps-every-token",),
    uses=("aot.tokens-grow-and-do-not-mix", "aot.first-failing-layer"),
    instances=100,
    witness={
        "K, p, tokens each": (2, 8, 2),
        "noise over its limit": 0.05,
        "tau": "inside",
        "eta": 1.0,
        "seed": 0,
    },
    figure=figures.snr_over_depth,
)
def snr_grows_at_every_depth(case: Case) -> Outcome:
    """False for any noise but zero, once L exceeds some multiple of log(1/δ): the signal of a class grows, so the inner
    products of a foreign token with it grow as (1 + ητ)^ℓ δ, until one of them takes more than τ of its softmax, and a
    whole token of the class is added to its noise. The theorem's probability 1 − KLN^{−Ω(1)} is that of a fixed
    constant in the exponent for every ℓ, which this growth does not leave fixed.
    """
    m = _model(case)
    case.assume(m.good(m.Z))
    depth = min(DEPTH, _foretold(m)) if case.twin else DEPTH
    Z, factor = m.Z, 1 + m.eta * m.tau
    for layer in range(depth):
        moved = m.step(Z, m.tau)
        before, after = (to_numpy(snr(tokens, m.Pi, m.U)) for tokens in (Z, moved))
        if not np.all(np.abs(after / before / factor - 1) < 1e-3):
            share = decide.noise_share_change(Z, moved, m.Pi, m.U)
            ratio = equal(after, factor * before, size=1, scale=before, first_failing_layer=layer + 1)
            return all_of(ratio, decided(share, "<"))  # where the noise's share even grows, that is certain
        Z = moved
    return exactly(True, layers=depth)


@claim(
    "aot.first-failing-layer",
    title="The first layer in which the equality fails is foretold by the tokens of the first",
    statement=r"\ell^\star=\min\{\ell:\max_{i,\,k\ne s_i,\,j}\mathrm{softmax}_j(x_{kij})>\tau\},\qquad "
    r"x_{kij}=\langle U_k^\top z_i,U_k^\top z_j\rangle\cdot\begin{cases}(1+\eta\tau)^\ell&s_j=k\\1&s_j\ne k\end{cases}",
    source=f"amends {AOT}, theorem 1: what its depth L depends on",
    relation="=",
    hypotheses=f"{LAW}; the good event in the first layer; no weight within 1e-6 of tau",
    expect=HOLDS,
    twin="a growth of 1 + eta",
    uses=("aot.tokens-grow-and-do-not-mix",),
    instances=100,
    figure=figures.snr_over_depth,
)
def first_failing_layer(case: Case) -> Outcome:
    """While the good event lasts the tokens are known, and the own weights only grow, for τ ≥ ½: so it ends where a
    foreign token first has a weight above τ. The depth until then is about log(1/δ)/log(1 + ητ).
    """
    m = _model(case)
    case.assume(m.good(m.Z))
    foretold = _foretold(m, growth=1 + m.eta * case.wrong(m.tau, 1.0))
    case.assume(foretold < DEPTH)
    Z, layer = m.Z, 0
    while m.good(Z) and layer < DEPTH:
        Z, layer = m.step(Z, m.tau), layer + 1
    own, foreign = m.largest(Z)
    case.assume(min(np.abs(own - m.tau).min(), np.abs(foreign - m.tau).min()) > 1e-6)
    return observed(layer == foretold, foretold=foretold, seen=layer)


@claim(
    "aot.safe-depth",
    title="A depth to which the equality holds for certain",
    statement=r"(1+\eta\tau)^\ell\,g\le\log\frac\tau{1-\tau}\ \Longrightarrow\ "
    r"\mathrm{SNR}_k^{(\ell+1)}=(1+\eta\tau)^{\ell+1}\,\mathrm{SNR}_k^{(0)},"
    r"\qquad g=\max_{i,k\ne s_i}\big(x_{(1)}-x_{(2)}\big)",
    source=f"derived; {AOT}, theorem 1, without probability",
    relation="=",
    hypotheses=f"{LAW}; own margins positive and weights above tau, x the products of a foreign token with a class, "
    "x_(1) >= 0, with the other foreign tokens at most log(tau/(1 - tau))",
    expect=HOLDS,
    twin="eight times that depth's bound",
    uses=("aot.first-failing-layer",),
    instances=100,
    figure=figures.snr_over_depth,
)
def safe_depth(case: Case) -> Outcome:
    """A weight is at most 1/(1 + e^{−gap}), gap its lead over the second, and so at most τ if the gap is at most
    log(τ/(1 − τ)). The lead grows by 1 + ητ a layer. At τ → ½ it guarantees nothing, and at the upper end of the
    interval gaps up to 9p/32 − ln N: larger thresholds last longer.
    """
    m = _model(case, noise=(0.01, 0.5), tau=("inside", "upper"))
    case.assume(m.good(m.Z))
    Y = np.einsum("nd,kdp->knp", to_numpy(m.Z), to_numpy(m.U))
    gram, room, gap = Y @ Y.swapaxes(1, 2), math.log(m.tau / (1 - m.tau)), 0.0
    for k, i in zip(*np.nonzero(~m.own), strict=True):
        to_class, to_others = np.sort(gram[k, i, m.own[k]])[::-1], gram[k, i, ~m.own[k]]
        case.assume(to_class[0] >= 0 and to_others.max() <= room)
        gap = max(gap, to_class[0] - to_class[1])
    factor = 1 + m.eta * m.tau
    depth = math.floor(math.log(case.wrong(1, 8) * room / gap) / math.log(factor)) if room > gap else -1
    case.assume(0 <= depth < DEPTH)
    Z = m.Z
    for _ in range(depth + 1):
        Z = m.step(Z, m.tau)
    expected = case.asarray(_grown(m, factor ** (depth + 1)))
    return equal(Z, expected, size=(depth + 1) * m.Z.shape[1], scale=factor ** (depth + 1) * norm(m.Z))


# --- sizes --------------------------------------------------------------------------------------------------

PUBLISHED = {"Base": (1024, 16, 24, 102), "Medium": (1280, 20, 36, 182)}
"""d, heads, layers as inferred from GPT-2's family, and millions of parameters as published."""


@claim(
    "aot.parameters",
    title="The published parameter counts of AoT with subspace attention",
    statement=r"\#=50304\,d+2d^2L",
    source=f"{AOT}, table of the language models, MSSA; d and L inferred: 1024 and 24, 1280 and 36",
    relation="=",
    hypotheses="the two published sizes, tied embedding, positions and norms not counted, to the million",
    expect=HOLDS,
    twin="an MLP of 8 d^2 beside each attention",
    instances=30,
)
def parameters(case: Case) -> Outcome:
    """101.8 and 182.4 million, with the widths and depths of GPT-2 medium and large. U and a free output matrix make a
    layer: attention alone is a fifth of a layer of ToST.
    """
    d, K, depth, published = PUBLISHED[case.choice("model", tuple(PUBLISHED))]
    layer = aot(case.asarray(np.zeros((K, d, d // K))))
    total = 50304 * d + depth * (2 * math.prod(layer.U.shape) + case.wrong(0, 8 * d * d))
    return exactly(round(total / 1e6) == published, total=total, published=published)


# --- shared -------------------------------------------------------------------------------------------------


def _foretold(m: Model, growth: float | None = None) -> int:
    """The first layer, from 0, in which a foreign token has a weight above τ; DEPTH if none has."""
    growth = 1 + m.eta * m.tau if growth is None else growth
    Y = np.einsum("nd,kdp->knp", to_numpy(m.Z), to_numpy(m.U))
    gram = Y @ Y.swapaxes(1, 2)
    for layer in range(DEPTH):
        logits = gram * np.where(m.own[:, None, :], growth**layer, 1.0)
        weights = np.exp(logits - logits.max(axis=2, keepdims=True))
        weights /= weights.sum(axis=2, keepdims=True)
        if weights.max(axis=2)[~m.own].max() > m.tau:
            return layer
    return DEPTH
