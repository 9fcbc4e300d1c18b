"""Whole layers: what becomes of the loss Rᶜ − R + λ‖Z‖₁ when the two halves are put together."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from array_api_compat import array_namespace

from srr import (
    SparseRateReduction,
    attention,
    coding_rate_and_gradient,
    curvature,
    flops,
    subspace_coding_rate_and_gradient,
)
from srr.layers import (
    Layer,
    PreNorm,
    aot,
    cbsa,
    cbsa_official,
    crate,
    crate_alpha,
    crate_alpha_official,
    crate_causal,
    crate_causal_overcomplete,
    crate_decoder,
    crate_decoder_official,
    descent,
    implicit_descent,
    layer_norm,
    official,
    redunet,
    shift_invariant_redunet,
    tost,
    tost_block,
    tost_official,
)
from verify import decide
from verify.arrays import to_numpy
from verify.case import Case, Instance
from verify.claims._instances import ONE_TOKEN, complete_family, norm
from verify.claims._sources import FISTA, N23, SEGMENTATION
from verify.claims._steps import assume_visible, coarseness, inner, official_measure
from verify.figures import layers as figures
from verify.ledger import HOLDS, REFUTED, Outcome, claim
from verify.multiplications import multiplications
from verify.outcome import all_of, at_most, decided, exactly, observed

SMALL: dict[str, Any] = {"n": (1, 8), "d": (1, 6), "K": (1, 3), "p": (1, 2), "eps": (0.1, 10.0)}


def _objective(case: Case, m: Instance) -> SparseRateReduction:
    return SparseRateReduction(m.U, m.eps, case.log_uniform("lam", 1e-3, 1.0))


def _nonnegative(m: Instance) -> Instance:
    return Instance(array_namespace(m.Z).abs(m.Z), m.U, m.labels, m.eps, m.n, m.d, m.K, m.p)


def _dictionary(case: Case, m: Instance, kind: str = "orthonormal") -> Any:
    rng = case.rng("dictionary")
    if kind == "orthonormal":
        return case.asarray(np.linalg.qr(rng.standard_normal((m.d, m.d)))[0])
    return case.asarray(rng.uniform(-math.sqrt(6 / m.d), math.sqrt(6 / m.d), (m.d, m.d)))


def _output(case: Case, m: Instance, kind: str) -> Any:
    """W of the official code: None for the theoretical one, or as initialised."""
    if kind == "theoretical":
        return None
    bound = 1 / math.sqrt(m.K * m.p)
    return case.asarray(case.rng("output seed").uniform(-bound, bound, (m.d, m.K * m.p)))


def _descends(case: Case, objective: SparseRateReduction, layer: Layer, Z: Any) -> Outcome:
    # Whether the loss does not rise. The descent layer promises |after - Z|²/2s; of a layer that promises
    # nothing, a change of that size is asked all the same.
    after = layer(Z)
    n, d = Z.shape
    step = curvature.loss_step(objective.U, n, eps=objective.eps)
    slope = norm(objective.smooth_gradient(Z)) + objective.lam * math.sqrt(n * d)
    assume_visible(case, norm(after - Z) ** 2 / (2 * step), Z, after, slope)
    return decided(decide.loss_change(objective, Z, after))


# --- what they cost -----------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Cost:
    """A layer, its tokens, and what its factorisations cost."""

    layer: Layer
    Z: np.ndarray
    factorisations: int = 0


def _costs(n: int, K: int, p: int, r: int, m: int) -> dict[str, _Cost]:
    rng, d = np.random.default_rng(0), K * p
    Z, basis, S, D = (rng.standard_normal(shape) for shape in ((n, d), (d, d), (d, d), (d, m)))
    U = np.linalg.qr(basis)[0].reshape(d, K, p).swapaxes(0, 1)
    q, Pi = min(n, d), np.eye(K)[np.arange(n) % K]
    unit, signals = Z / np.linalg.norm(Z, axis=1, keepdims=True), rng.standard_normal((n, 2, 6))
    of_heads, of_all = K * _inverse(min(n, p)), _inverse(min(n, d))
    eigenvectors, inverses = 9 * K * min(n, p) ** 3, K * (_qr(n + p, p) + 8 * p**3 // 3)

    def crate_(rule: str) -> Layer:
        return crate(U, S, rule=rule, eps=1.0, kappa=0.1)

    every = {
        **{f"crate, {rule}": _Cost(crate_(rule), Z) for rule in ("neumann", "derived", "residual", "conceptual")},
        "crate, exact": _Cost(crate_("exact"), Z, of_heads),
        "crate, implicit": _Cost(crate_("implicit"), Z, eigenvectors - 2 * d**3),  # less the check of the bases
        "crate, semi-implicit": _Cost(crate_("semi-implicit"), Z, inverses + _qr(2 * d, d) + 8 * d**3 // 3),
        "official": _Cost(official(U, S), Z),
        "causal": _Cost(crate_causal(U, S), Z),
        "causal, overcomplete": _Cost(crate_causal_overcomplete(U, D), Z),
        "alpha": _Cost(crate_alpha(U, D, eps=1.0), Z),
        "alpha, official": _Cost(crate_alpha_official(U, D, D), Z),
        "decoder": _Cost(crate_decoder(U, S), Z),
        "decoder, official": _Cost(crate_decoder_official(U, S), Z),
        "descent": _Cost(descent(U, eps=1.0, lam=0.1), Z, of_heads + of_all),
        "implicit descent": _Cost(
            implicit_descent(U, eps=1.0, lam=0.1), Z, of_all + _qr(max(n, d), q) + inverses + 4 * d**3 // 3
        ),
        "tost": _Cost(tost(U, eps=1.0), Z),
        "tost, official": _Cost(tost_official(U), Z, 2 * n * d),  # its moments are sums, no products
        "tost, block": _Cost(tost_block(U, D.T, D), Z, 2 * n * d),
        "aot": _Cost(aot(U), Z),
        **{
            f"cbsa, {how}": _Cost(cbsa(U, S, r=r, contraction=how, eps=1.0, kappa=0.1), Z, K * _inverse(min(r, n, p)))
            for how in ("pooled", "attention")
        },
        "cbsa, official": _Cost(cbsa_official(U, S, r=r), Z),
        "redunet": _Cost(redunet(unit, Pi, eps=1.0), Z),
        # the products are complex, of four times the flops; real transforms of 6 samples, one there and K + 1 back
        "shift-invariant redunet": _Cost(
            shift_invariant_redunet(signals, Pi, eps=1.0),
            signals,
            6 * 4 * n * 4 * (K + 1) + round(2.5 * 6 * math.log2(6) * 2 * n * (K + 2)),
        ),
    }
    return every | {"behind LayerNorm": _Cost(PreNorm(every["official"].layer), Z)}


def _inverse(q: int) -> int:
    """q³ for a Cholesky factor and the inverse, less 2q³ for the product that NumPy makes it of, which is counted."""
    return q**3 - 2 * q**3


def _qr(m: int, q: int) -> int:
    return (12 * m * q * q - 4 * q**3) // 3


@claim(
    "layers.cost",
    title="What every kind of layer costs",
    statement=r"\mathrm{flops}=2\cdot\#\text{multiplications in matrix products}+\text{factorisations}",
    source="derived; G. Golub and C. Van Loan, Matrix Computations, for the factorisations",
    relation="=",
    hypotheses="every kind of layer, K p = d; products counted while they are done",
    expect=HOLDS,
    twin="one token more",
    instances=6,
)
def cost(case: Case) -> Outcome:
    """True of what srr.flops says of each. In NumPy whatever the ledger computes with. Of the flops of a factorisation
    only the leading order is told: they are not counted here but added as the textbook has them.
    """
    K, p = case.integer("K", 1, 3), case.integer("p", 1, 4)
    n, m = case.integer("n", K, 9), case.integer("m", 1, 20)
    wrong = []
    for kind, it in _costs(n, K, p, case.integer("r", 1, 9), m).items():
        done = 2 * multiplications(lambda layer, Z: layer(Z), it.layer, it.Z)
        if done + it.factorisations != flops.of_layer(it.layer, n + case.wrong(0, 1)):
            wrong.append(kind)
    return exactly(not wrong, wrong=", ".join(wrong))


# --- the layer that descends --------------------------------------------------------------------------------


STEEP = ((1, 16, 1), (1, 16, 4), (2, 24, 3), (1, 32, 8))
"""Tokens, dimension and heads, at most a quarter as many: few, since every new shape costs JAX a second."""


@dataclass(frozen=True)
class Steep:
    """Tokens beside a stationary point of the loss at which it is curved upwards by nearly L_c + α/8."""

    Z: Any
    objective: SparseRateReduction
    curvature: float
    size: float


def _steep(case: Case, displacement: float) -> Steep:
    # K heads of dimension one on the line that holds all tokens. Along it −R is curved most at the size σ with
    # ασ² = 3, by α/8, and Rᶜ by Kβ(1 − 3/d)/(1 + 3/d)²: the larger d, the nearer to its most, L_c = Kβ at zero.
    # λ makes σ stationary. The tokens are displaced inwards by a share of it.
    n, d, K = case.choice("tokens, dimension, heads", STEEP)
    eps = case.log_uniform("precision", 0.1, 10.0)
    alpha, beta, x = d / (n * eps**2), 1 / (n * eps**2), 3 / d
    size = math.sqrt(3 / alpha)
    lam = size * (alpha / 4 - K * beta / (1 + x)) / math.sqrt(n * d)
    U = case.asarray(np.full((K, d, 1), 1 / math.sqrt(d)))
    Z = case.asarray(np.full((n, d), (1 - displacement) * size / math.sqrt(n * d)))
    return Steep(Z, SparseRateReduction(U, eps, lam), K * beta * (1 - x) / (1 + x) ** 2 + alpha / 8, size)


def _descent_layer(objective: SparseRateReduction, *, longer: float = 1.0, nonnegative: bool = False) -> Layer:
    layer = descent(objective.U, eps=objective.eps, lam=objective.lam, nonnegative=nonnegative)
    return replace(layer, step_per_token=longer * layer.step_per_token)


def _tokens_and_objective(case: Case, **given: Any) -> tuple[Any, SparseRateReduction, bool]:
    nonnegative = case.choice("tokens", ("signed", "nonnegative")) == "nonnegative"
    if case.choice("loss", ("any", "steep")) == "steep":
        steep = _steep(case, 0.03)
        return steep.Z, steep.objective, nonnegative
    m = case.mixture(**{**SMALL, **given})
    objective = SparseRateReduction(m.U, m.eps, case.log_uniform("lam", 1e-4, 10.0))
    return (_nonnegative(m) if nonnegative else m).Z, objective, nonnegative


@claim(
    "layers.descent-lowers-loss",
    title="The descent layer lowers the loss, at every precision, scale and sparsity",
    statement=r"\mathcal L\big(\mathrm{prox}_{s\lambda\|\cdot\|_1}(Z-s\nabla(R^c-R)(Z))\big)\le\mathcal L(Z),"
    r"\quad s=\frac1{L_c+\alpha/8},\ \mathcal L=R^c-R+\lambda\|\cdot\|_1",
    source=f"proximal gradient on the loss of {N23}, eq. 1; -R is curved upwards by alpha/8 at most",
    relation="<=",
    hypotheses="signed tokens, or the non-negative form from non-negative ones: orthogonal or overlapping subspaces, "
    "eps from 0.01 to 10, scales from 0.01 to 100, lambda from 0.0001 to 10; or the steep loss of "
    "layers.descent-step-limit-is-sharp",
    expect=HOLDS,
    twin="a step three times as long",
    proof=("descent-layer-descends", "descent-layer-descends-from-signed-tokens"),
    uses=("curvature.coding-rate", "curvature.subspace-rate", "objective.gradient", "compression.exact-step-descends"),
    figure=figures.descent_guarantee,
)
def descent_lowers_loss(case: Case) -> Outcome:
    """True: the smooth part is curved upwards by at most L_c + α/8, so the loss falls by at least
    |ΔZ|²/(2s). Instances on which that is less than rounding the tokens can take back are rejected.
    """
    Z, objective, nonnegative = _tokens_and_objective(case, eps=(1e-2, 10.0))
    layer = _descent_layer(objective, longer=case.wrong(1.0, 3.0), nonnegative=nonnegative)
    return _descends(case, objective, layer, Z)


@claim(
    "layers.descent-step-limit-is-sharp",
    title="In high dimension 2/(L_c + alpha/8) is the largest step that lowers the loss of all tokens",
    statement=r"\forall\,s>\frac2\ell\ \exists Z\ge0,\lambda:\quad\mathcal L\big(\mathrm{prox}_{s\lambda\|\cdot\|_1}"
    r"(Z-s\nabla(R^c-R)(Z))\big)>\mathcal L(Z),\qquad"
    r"\ell=\frac{1-3/d}{(1+3/d)^2}\,L_c+\frac\alpha8\ \to\ L_c+\frac\alpha8\quad(d\to\infty)",
    source="sharpness of the step size of layers.descent-lowers-loss, which is half of that limit",
    relation="tight",
    hypotheses="K <= d/4 equal heads of dimension 1, d from 16 to 32; tokens along them, near the size sigma with "
    "alpha sigma^2 = 3; s above 2/l by a thousandth up to a hundredfold",
    expect=HOLDS,
    twin="s below 2/l by the same factor",
    uses=("curvature.ends-attained", "layers.descent-lowers-loss"),
    instances=100,
    figure=figures.loss_step_limit,
)
def descent_step_limit_is_sharp(case: Case) -> Outcome:
    """True: λ makes σ a stationary point, at which the loss is curved by ℓ along the tokens. A displacement is
    multiplied by 1 − sℓ, below −1; it is so short that higher orders have no say. So L_c and α/8 do add up, and no
    smaller constant will do in every dimension; how long the steps may be in a given one is left open between
    2/(L_c + α/8) and 2/ℓ.
    """
    excess = case.log_uniform("excess", 1e-3, 100.0)
    displacement = 0.03 * math.sqrt(excess / (1 + excess) ** 3)
    steep = _steep(case, displacement)
    theta = 2 * case.wrong(1 + excess, 1 / (1 + excess))
    step = curvature.loss_step(steep.objective.U, steep.Z.shape[0], eps=steep.objective.eps)
    after = _descent_layer(steep.objective, longer=theta / (steep.curvature * step), nonnegative=True)(steep.Z)
    promised = steep.curvature * (displacement * steep.size) ** 2 * theta * abs(theta - 2) / 4
    slope = steep.curvature * norm(after - steep.Z)
    assume_visible(case, promised, steep.Z, after, slope)
    return decided(decide.loss_change(steep.objective, steep.Z, after), ">")


@claim(
    "layers.descent-guarantee",
    title="How much the descent layer takes off the loss at least",
    statement=r"\mathcal L(Z)-\mathcal L(Z^+)\ge\frac1{2s}\|Z^+-Z\|_F^2,\qquad s=\frac1{L_c+\alpha/8}",
    source=f"{FISTA}, lemma 2.3, for the loss of {N23}, eq. 1",
    relation="<=",
    hypotheses="as layers.descent-lowers-loss, eps and scales from 0.1 to 10",
    expect=HOLDS,
    twin="one and a half times as much",
    proof=("descent-layer-descends", "descent-layer-descends-from-signed-tokens"),
    uses=("layers.descent-lowers-loss",),
    instances=100,
    figure=figures.descent_guarantee,
)
def descent_guarantee(case: Case) -> Outcome:
    """True; so iterates whose loss is bounded below move ever less, and their limits are stationary.
    Enclosed: the promised amount against the end of the decided interval.
    """
    Z, objective, nonnegative = _tokens_and_objective(case, scale=(0.1, 10.0))
    after = _descent_layer(objective, nonnegative=nonnegative)(Z)
    n, d = Z.shape
    step = curvature.loss_step(objective.U, n, eps=objective.eps)
    promised = case.wrong(0.5, 0.75) * norm(after - Z) ** 2 / step
    change = decide.loss_change(objective, Z, after)
    slope = norm(objective.smooth_gradient(after)) + objective.lam * math.sqrt(n * d)
    rounding = slope * (norm(Z) + norm(after)) * coarseness(after)
    return at_most(change.upper, -promised, size=n + d, scale=abs(change.lower) + promised + rounding)


# --- layers of the literature -------------------------------------------------------------------------------


@claim(
    "layers.compression-lowers-loss",
    title="Compressing lowers the loss",
    statement=r"(R^c-R)(Z-\kappa\nabla R^c(Z))\le(R^c-R)(Z),\qquad\kappa\le\frac1{L_c}",
    source=f"{N23}, section 2: the two halves of a layer taken to serve the one objective of eq. 1",
    relation="<=",
    hypotheses="orthogonal or overlapping subspaces, any tokens, lambda = 0",
    expect=REFUTED,
    twin="the gradient step on R^c - R itself",
    uses=("compression.exact-step-descends",),
    instances=100,
    witness=ONE_TOKEN | {"K": 2, "d": 2, "eps": 3.0, "kappa L_c": 1.0},
)
def compression_lowers_loss(case: Case) -> Outcome:
    """False: the step that lowers Rᶜ shortens the tokens and lowers R as well, often by more. One token in
    one of two lines loses log(1 + 2β s²) against log(1 + β s²).
    """
    m = case.mixture(**SMALL, scale=(0.1, 10.0))
    objective = SparseRateReduction(m.U, m.eps, 0.0)
    kappa = case.uniform("kappa L_c", 0.1, 1.0) * curvature.compression_step(m.U, m.n, eps=m.eps)
    gradient, step = objective.smooth_gradient(m.Z), curvature.loss_step(m.U, m.n, eps=m.eps)
    after = case.wrong(attention.exact_step(m.Z, m.U, eps=m.eps, step=kappa), m.Z - step * gradient)
    promised = max(abs(inner(gradient, after - m.Z)), norm(after - m.Z) ** 2 / (2 * step))
    assume_visible(case, case.wrong(promised, norm(after - m.Z) ** 2 / (2 * step)), m.Z, after, norm(gradient))
    return decided(decide.loss_change(objective, m.Z, after))


@claim(
    "layers.compression-costs-rate",
    title="A nat of R^c that the first half takes off costs at most K nats of R",
    statement=r"0\le R(Z)-R(Z')\le K\,\big(R^c(Z)-R^c(Z')\big),\quad Z'=Z-\kappa\nabla R^c(Z),\ 0<\kappa\le\frac1{L_c}",
    source=f"by how much the two halves of {N23}, section 2.1, fight; found here, and not proved",
    relation="<=",
    hypotheses="K >= 2 orthogonal subspaces that span the space; any tokens",
    expect=HOLDS,
    twin="K/2 in place of K",
    uses=("compression.exact-step-descends",),
    instances=150,
    figure=figures.price_of_compression,
)
def compression_costs_rate(case: Case) -> Outcome:
    """R falls, since the step multiplies the tokens by a contraction. The factor K is reached by small tokens, where R
    ≈ α‖Z‖²/2 is K times Rᶜ; so with λ = 0 the exact step on small tokens raises the loss by K − 1 times what it takes
    off Rᶜ. It costs next to nothing where some directions of every head are empty and others full.
    """
    m = case.mixture(**{**SMALL, "d": 1, "K": (2, 3)}, coherence=("orthogonal",), scale=(0.01, 10.0))
    kappa = case.uniform("kappa L_c", 0.05, 1.0) * curvature.compression_step(m.U, m.n, eps=m.eps)
    after = attention.exact_step(m.Z, m.U, eps=m.eps, step=kappa)
    whole = decide.rate_change(m.Z, after, eps=m.eps)
    heads = decide.subspace_rate_change(m.Z, after, m.U, eps=m.eps)
    slope = norm(coding_rate_and_gradient(m.Z, eps=m.eps)[1]) + m.K * norm(_compression_gradient(m))
    rounding = (norm(m.Z) + norm(after)) * slope * coarseness(after)
    scale, factor = abs(whole.lower) + m.K * abs(heads.lower) + rounding, case.wrong(m.K, m.K / 2)
    return all_of(
        at_most(whole.upper, 0.0, size=m.n + m.d, scale=scale),
        at_most(factor * heads.upper, whole.lower, size=m.n + m.d, scale=scale),
    )


def _compression_gradient(m: Instance) -> Any:
    return subspace_coding_rate_and_gradient(m.Z, m.U, eps=m.eps)[1]


@claim(
    "layers.halves-agree-above-a-lambda",
    title="The two halves of a layer fight below a certain lambda, and only there",
    statement=r"\lambda\|Z'\|_1-R(Z')\le\lambda\|Z\|_1-R(Z)\iff\lambda\ge\lambda^*"
    r"=\frac{d}{2(1-f)\|Z\|_1}\log\frac{1+\alpha s^2}{1+\alpha f^2s^2},"
    r"\qquad Z'=Z-\kappa\nabla R^c(Z),\ f=1-\frac{\kappa\beta}{1+\beta s^2}",
    source=f"where both halves of {N23}, section 2.1, lower the objective of the second",
    relation="tight",
    hypotheses="K >= 2 orthogonal subspaces that span the space, n >= d tokens with all singular values s, kappa beta "
    "from 0.05 to 1; lambda above or below lambda* by a thousandth up to tenfold",
    expect=HOLDS,
    twin="beta for alpha in lambda*",
    uses=("layers.compression-costs-rate",),
    instances=150,
    figure=figures.where_the_halves_agree,
)
def halves_agree(case: Case) -> Outcome:
    """True: the step multiplies every singular value by f, so λ‖Z‖₁ falls by λ(1 − f)‖Z‖₁ and R by (d/2) log of that
    ratio. Below λ* whatever lowers λ‖Z‖₁ − R must undo the first half: it lengthens the tokens, and raises Rᶜ. As κ → 0
    the threshold is λ* = (d √α s/‖Z‖₁) · t/(1 + t²), t = √α s: the halves fight least where tokens are much
    longer, or much shorter, than the precision, and never once λ‖Z‖₁ ≥ d √α s/2.
    """
    K, p = case.integer("K", 2, 3), case.integer("p", 1, 2)
    d = K * p
    n, eps, rng = d + case.integer("more tokens", 0, 3), case.log_uniform("eps", 0.1, 10.0), case.rng()
    U, frame = complete_family(rng, K, p), np.linalg.qr(rng.standard_normal((n, d)))[0]
    alpha, beta = d / (n * eps**2), p / (n * eps**2)
    t, theta = case.log_uniform("alpha s^2", 1e-3, 1e3), case.uniform("kappa beta", 0.05, 1.0)
    Z = case.asarray(math.sqrt(t / alpha) * frame)
    f = 1 - theta / (1 + t / K)
    cost, cost_of_heads = (d / 2 * (math.log1p(x) - math.log1p(x * f**2)) for x in (t, t / K))
    paid = (1 - f) * float(np.sum(np.abs(to_numpy(Z))))
    threshold = case.wrong(cost, cost_of_heads) / paid
    above, excess = case.choice("lambda", ("above", "below")) == "above", case.log_uniform("excess", 1e-3, 10.0)
    lam = threshold * (1 + excess if above else 1 / (1 + excess))
    after = attention.exact_step(Z, case.asarray(U), eps=eps, step=theta / beta)
    slope = norm(coding_rate_and_gradient(Z, eps=eps)[1]) + lam * math.sqrt(n * d)
    assume_visible(case, abs(lam * paid - cost), Z, after, slope)
    return decided(decide.sparse_rate_change(Z, after, eps=eps, lam=lam), "<=" if above else ">")


@claim(
    "layers.halves-add-up",
    title="If each half lowers its own objective, the layer lowers the loss",
    statement=r"R^c(Z^{\ell+1/2})\le R^c(Z^\ell),\ F(Z^{\ell+1})\le F(Z^{\ell+1/2})\ \Longrightarrow\ "
    r"\mathcal L(Z^{\ell+1})\le\mathcal L(Z^\ell)",
    source=f"{N23}, section 2.1: alternating minimisation by layers",
    relation="<=",
    hypotheses="exact step; ISTA, orthonormal dictionary, feasible Z^{l+1/2}; both descents certified",
    expect=REFUTED,
    twin="the descent layer",
    uses=(
        "compression.exact-step-descends",
        "sparsification.ista-descends",
        "layers.compression-lowers-loss",
    ),
    instances=100,
    witness=ONE_TOKEN | {"d": 2, "lam": 0.1, "dictionary": 0, "eta": 1.0},
)
def halves_add_up(case: Case) -> Outcome:
    """False: R is in the loss and in neither half's objective, and both halves may lower it. So the best
    that CRATE's construction can promise, exact gradient and feasible lasso, does not descend either.
    """
    m = _nonnegative(case.mixture(**SMALL, scale=(0.1, 10.0)))
    objective, D = _objective(case, m), _dictionary(case, m)
    if case.twin:
        return _descends(case, objective, descent(m.U, eps=m.eps, lam=objective.lam), m.Z)
    layer = crate(m.U, D, rule="exact", eps=m.eps, eta=case.uniform("eta", 0.1, 1.0), lam=objective.lam)
    half = layer.compress(m.Z)
    after = layer.sparsify(half)
    case.assume(float(to_numpy(half).min()) >= 0)
    case.assume(decide.subspace_rate_change(m.Z, half, m.U, eps=m.eps).not_above)
    case.assume(decide.lasso_change(half, D, half, after, lam=objective.lam).not_above)
    return decided(decide.loss_change(objective, m.Z, after))


def _crate_descends(case: Case, rule: str) -> Outcome:
    m = case.mixture(**SMALL, scale=(0.1, 10.0))
    m = m if case.choice("tokens", ("signed", "nonnegative")) == "signed" else _nonnegative(m)
    objective = _objective(case, m)
    if case.twin:
        return _descends(case, objective, descent(m.U, eps=m.eps, lam=objective.lam), m.Z)
    layer = crate(m.U, _dictionary(case, m), rule=rule, eps=m.eps, lam=objective.lam)
    return _descends(case, objective, layer, m.Z)


@claim(
    "layers.crate-lowers-loss",
    title="A layer of CRATE, in the papers' form, lowers the loss",
    statement=r"\mathcal L\big(\mathrm{ISTA}(Z+\mathrm{MSSA}(Z|U_{[K]})\mid D)\big)\le\mathcal L(Z)",
    source=f"{N23}, eq. 18",
    relation="<=",
    hypotheses="orthogonal or overlapping subspaces, orthonormal dictionary, signed or non-negative tokens",
    expect=REFUTED,
    twin="the descent layer",
    uses=("compression.residual-step-descends", "layers.halves-add-up", "layers.descent-lowers-loss"),
    instances=100,
    witness=ONE_TOKEN | {"tokens": "nonnegative", "lam": 1.0, "dictionary": 0},
)
def crate_lowers_loss(case: Case) -> Outcome:
    """False, from feasible tokens too: attention lengthens them. The stored token, alone in one dimension, where the
    two rates cancel, is doubled.
    """
    return _crate_descends(case, "residual")


@claim(
    "layers.crate-derived-lowers-loss",
    title="A layer of CRATE with the attention step as derived lowers the loss",
    statement=r"\mathcal L\big(\mathrm{ISTA}((1-\kappa\beta)Z+\kappa\beta\,\mathrm{MSSA}(Z|U_{[K]})\mid D)\big)"
    r"\le\mathcal L(Z),\qquad\kappa=\frac1{L_c}",
    source=f"{N23}, eq. 10 and 17, before the coefficients are dropped",
    relation="<=",
    hypotheses="orthogonal or overlapping subspaces, orthonormal dictionary, signed or non-negative tokens",
    expect=REFUTED,
    twin="the descent layer",
    uses=("compression.derived-step-descends", "layers.crate-lowers-loss"),
    instances=100,
    witness=ONE_TOKEN | {"eps": 0.5, "tokens": "nonnegative", "lam": 1.0, "dictionary": 0},
)
def crate_derived_lowers_loss(case: Case) -> Outcome:
    """False: with its coefficients put back the step replaces Z by MSSA(Z), and β = 4 makes of the stored token
    four times itself.
    """
    return _crate_descends(case, "derived")


@claim(
    "layers.crate-neumann-lowers-loss",
    title="A layer of CRATE with the first-order Neumann step lowers the loss",
    statement=r"\mathcal L\big(\mathrm{ISTA}(Z-\kappa\beta\sum_kU_k(I-\beta Y_kY_k^\top)Y_k\mid D)\big)"
    r"\le\mathcal L(Z),\qquad\kappa=\frac1{L_c}",
    source=f"{N23}, eq. 67-69 and 17, before the softmax is put in",
    relation="<=",
    hypotheses="orthogonal or overlapping subspaces, orthonormal dictionary, signed or non-negative tokens",
    expect=REFUTED,
    twin="the descent layer",
    uses=("compression.neumann-step-descends", "layers.crate-lowers-loss"),
    instances=100,
    witness=ONE_TOKEN | {"tokens": "nonnegative", "lam": 1.0, "dictionary": 0},
)
def crate_neumann_lowers_loss(case: Case) -> Outcome:
    """False: leaving the softmax out does not help where x = βs² is above 1, as for the stored token, which becomes
    x times itself. Nor does the exact gradient: layers.halves-add-up.
    """
    return _crate_descends(case, "neumann")


@claim(
    "layers.official-compresses",
    title="The first half of a layer of the official code compresses",
    statement=r"R^c\big(Z+W\,\mathrm{SSA}(\mathrm{LN}(Z))\big)\le R^c(Z)",
    source=f"code of {N23}, model/crate.py: its compression half",
    relation="<=",
    hypotheses="orthonormal U, output matrix [U_1 ... U_K] or as initialised, tokens of scale 0.1 to 10",
    expect=REFUTED,
    twin="the exact gradient step, without LayerNorm",
    uses=("compression.residual-step-descends", "compression.exact-step-descends"),
    instances=150,
    witness=ONE_TOKEN | {"d": 2, "output": "theoretical"},
)
def official_compresses(case: Case) -> Outcome:
    """False. What is added is a mean of normalised tokens, and with U for W it points, as a rule, where the tokens do:
    of 1500 instances (seeds 0 to 9) Rᶜ rose in 99 % of those with the theoretical output matrix, in 72 % of the others.
    """
    m = case.mixture(**{**SMALL, "d": (2, 6)}, scale=(0.1, 10.0))
    output, identity = _output(case, m, case.choice("output", ("theoretical", "free"))), case.asarray(np.eye(m.d))
    exact = crate(m.U, identity, rule="exact", eps=m.eps, kappa=curvature.compression_step(m.U, m.n, eps=m.eps))
    after = case.wrong(PreNorm(official(m.U, identity, output=output)), exact).compress(m.Z)
    gradient = subspace_coding_rate_and_gradient(m.Z, m.U, eps=m.eps)[1]
    assume_visible(case, abs(inner(gradient, after - m.Z)), m.Z, after, norm(gradient))
    return decided(decide.subspace_rate_change(m.Z, after, m.U, eps=m.eps))


@claim(
    "layers.official-lowers-loss",
    title="A layer of the official code lowers the loss",
    statement=r"\mathcal L(Z^{\ell+1})\le\mathcal L(Z^\ell),\quad Z^{\ell+1/2}=Z^\ell+W\,\mathrm{SSA}"
    r"(\mathrm{LN}(Z^\ell)),\ Z^{\ell+1}=\mathrm{ISTA}(\mathrm{LN}(Z^{\ell+1/2})\mid D)",
    source=f"code of {N23}, model/crate.py, with eta = lambda = 0.1",
    relation="<=",
    hypotheses="orthonormal U, output matrix [U_1 ... U_K] or as initialised, kaiming_uniform dictionary",
    expect=REFUTED,
    twin="the descent layer",
    uses=("layers.crate-lowers-loss", "layers.descent-lowers-loss"),
    instances=150,
    witness=ONE_TOKEN | {"d": 2, "output": "theoretical", "dictionary": 0},
)
def official_lowers_loss(case: Case) -> Outcome:
    """False with the theoretical output matrix as with a free one: the second LayerNorm alone resets scale
    and mean.
    """
    m = case.mixture(**{**SMALL, "d": (2, 6)}, scale=(0.1, 10.0))
    objective = SparseRateReduction(m.U, m.eps, 0.1)
    kind = case.choice("output", ("theoretical", "free"))
    if case.twin:
        return _descends(case, objective, descent(m.U, eps=m.eps, lam=0.1), m.Z)
    output = _output(case, m, kind)
    layer = PreNorm(official(m.U, _dictionary(case, m, "official"), output=output))
    return _descends(case, objective, layer, m.Z)


# --- LayerNorm ----------------------------------------------------------------------------------------------


@claim(
    "layers.layernorm-keeps-compression",
    title="With LayerNorm in front, the exact step still compresses the tokens that came in",
    statement=r"R^c\big(\mathrm{LN}(Z)-\kappa\nabla R^c(\mathrm{LN}(Z))\big)\le R^c(Z),"
    r"\qquad\kappa\le\frac1{L_c}",
    source=f"asked here: {N23}, figure 2, normalises before each half and claims no descent across it",
    relation="<=",
    hypotheses="orthogonal or overlapping subspaces, token scales from 0.01 to 100",
    expect=REFUTED,
    twin="against the normed tokens LN(Z)",
    uses=("compression.exact-step-descends",),
    instances=100,
    witness=ONE_TOKEN | {"d": 2, "kappa L_c": 0.5},
)
def layernorm_keeps_compression(case: Case) -> Outcome:
    """False: LayerNorm brings every token to norm √d, and Rᶜ with it to where it was before the layers
    below. What the step takes off is relative to the normed tokens only.
    """
    m = case.mixture(**{**SMALL, "d": (2, 6)})
    normed = layer_norm(m.Z)
    kappa = case.uniform("kappa L_c", 0.1, 1.0) * curvature.compression_step(m.U, m.n, eps=m.eps)
    after = attention.exact_step(normed, m.U, eps=m.eps, step=kappa)
    slope = norm(subspace_coding_rate_and_gradient(normed, m.U, eps=m.eps)[1])
    assume_visible(case, kappa * slope**2 / 2, normed, after, slope)
    return decided(decide.subspace_rate_change(case.wrong(m.Z, normed), after, m.U, eps=m.eps))


@claim(
    "layers.prenorm-step-descends",
    title="The exact step taken at LN(Z) and added to Z compresses",
    statement=r"R^c\big(Z-\kappa\nabla R^c(\mathrm{LN}(Z))\big)\le R^c(Z),\qquad\kappa\le\frac1{L_c}",
    source=f"code of {N23}: the update is computed behind LayerNorm, the skip goes past it",
    relation="<=",
    hypotheses="orthogonal or overlapping subspaces, tokens of scale 1 to 100",
    expect=REFUTED,
    twin="without LayerNorm",
    uses=("compression.exact-step-descends", "layers.layernorm-keeps-compression"),
    instances=150,
    witness=ONE_TOKEN | {"K": 3, "d": 3, "kappa L_c": 1.0},
)
def prenorm_step_descends(case: Case) -> Outcome:
    """False, though the update is an exact gradient: it is that of other tokens. LayerNorm moves each token
    by its own mean and scale, which changes directions as well as lengths. Long tokens, for which the step
    is short, tell that it is not the step size.
    """
    m = case.mixture(**{**SMALL, "d": (2, 6)}, scale=(1.0, 100.0))
    kappa = case.uniform("kappa L_c", 0.01, 1.0) * curvature.compression_step(m.U, m.n, eps=m.eps)
    layer = crate(m.U, case.asarray(np.eye(m.d)), rule="exact", eps=m.eps, kappa=kappa)
    after = case.wrong(PreNorm(layer), layer).compress(m.Z)
    gradient = subspace_coding_rate_and_gradient(m.Z, m.U, eps=m.eps)[1]
    assume_visible(case, abs(inner(gradient, after - m.Z)), m.Z, after, norm(gradient))
    return decided(decide.subspace_rate_change(m.Z, after, m.U, eps=m.eps))


@claim(
    "layers.layernorm-makes-infeasible",
    title="Every token that LayerNorm hands to ISTA has a negative entry",
    statement=r"\min_i\mathrm{LN}(z)_i<0\qquad\text{unless }z\text{ is constant}",
    source=f"code of {N23}: LayerNorm in front of the ISTA half, at its initial scale and shift",
    relation="<",
    hypotheses="signed or non-negative tokens that are not constant",
    expect=HOLDS,
    twin="division by the norm without subtraction of the mean",
    instances=100,
)
def layernorm_makes_infeasible(case: Case) -> Outcome:
    """True: its entries add up to zero. So ISTA, started at these tokens, never starts feasible, and the
    lemma that its lasso falls applies to no layer of the code.
    """
    m = case.mixture(**{**SMALL, "d": (2, 6)}, noise=(0.1, 1.0), scale=(0.1, 10.0))
    m = m if case.choice("tokens", ("signed", "nonnegative")) == "signed" else _nonnegative(m)
    size = array_namespace(m.Z).linalg.vector_norm(m.Z, axis=-1, keepdims=True)
    normed = case.wrong(layer_norm(m.Z), m.Z / size)
    return observed(bool(np.all(to_numpy(normed).min(axis=1) < 0)))


@claim(
    "layers.layernorm-keeps-descent",
    title="The descent layer still lowers the loss with LayerNorm in front of it",
    statement=r"\mathcal L\big(T(\mathrm{LN}(Z))\big)\le\mathcal L(Z),\qquad T\text{ the descent layer}",
    source=f"asked here of the descent layer: the code of {N23} normalises before each half of its own",
    relation="<=",
    hypotheses="orthogonal or overlapping subspaces, token scales from 0.1 to 10",
    expect=REFUTED,
    twin="against the loss of LN(Z)",
    uses=("layers.descent-lowers-loss",),
    instances=100,
    witness=ONE_TOKEN | {"d": 3, "seed": 287, "lam": 1.0},
)
def layernorm_keeps_descent(case: Case) -> Outcome:
    """False: LayerNorm is no step on the loss, and may raise it by more than the layer takes off. So the
    loss can be followed through such a network between LayerNorms only.
    """
    m = case.mixture(**{**SMALL, "d": (2, 6)}, scale=(0.1, 10.0))
    objective, normed = _objective(case, m), layer_norm(m.Z)
    after = descent(m.U, eps=m.eps, lam=objective.lam)(normed)
    step = curvature.loss_step(m.U, m.n, eps=m.eps)
    slope = norm(objective.smooth_gradient(normed)) + objective.lam * math.sqrt(m.n * m.d)
    assume_visible(case, norm(after - normed) ** 2 / (2 * step), normed, after, slope)
    return decided(decide.loss_change(objective, case.wrong(m.Z, normed), after))


# --- what the official code measures ------------------------------------------------------------------------


@claim(
    "layers.official-measure-shows-compression",
    title="Where the official layer-wise measure falls over twelve layers, the tokens were compressed",
    statement=r"R^c_{\rm code}(Z^{12})<R^c_{\rm code}(Z^0)\ \Longrightarrow\ R^c(Z^{12})\le R^c(Z^0)",
    source=f"{N23}, figure 3, and its code: CodingRate normalises every token in every head",
    relation="<=",
    hypotheses="orthogonal subspaces, tokens of norm 1 with noise; twelve layers of Z + sum_k U_k SSA, "
    "or of the pre-norm residual of the code",
    expect=REFUTED,
    twin="twelve exact gradient steps",
    uses=("compression.normalised-measure-range", "compression.residual-step-descends"),
    instances=60,
    witness={
        "coherence": "orthogonal",
        "K": 1,
        "p": 2,
        "d": 2,
        "n": 2,
        "eps": 1.0,
        "scale": 1.0,
        "noise": 1.0,
        "seed": 2,
        "rule": "conceptual",
    },
    figure=figures.five_rules_over_depth,
)
def official_measure_shows_compression(case: Case) -> Outcome:
    """False: attention pulls tokens together in direction, which the measure sees, and lengthens them,
    which it divides out. Over twelve layers of Z + Σ U_kSSA the measure falls and Rᶜ rises; for Z − Σ
    U_kSSA, which does compress, it hardly moves. For the exact step the two agree.
    """
    m = case.mixture(n=(2, 12), d=1, K=(1, 3), p=(1, 3), coherence=("orthogonal",), noise=(0.1, 1.0), scale=1.0)
    size = np.linalg.norm(to_numpy(m.Z), axis=1, keepdims=True)
    case.assume(float(size.min()) > 1e-6)
    start = case.asarray(to_numpy(m.Z) / size)
    rule, Z = case.choice("rule", ("conceptual", "prenorm")), start
    step = 0.5 * curvature.compression_step(m.U, m.n, eps=m.eps)
    for _ in range(12):
        if case.twin:
            Z = attention.exact_step(Z, m.U, eps=m.eps, step=step)
        elif rule == "conceptual":
            Z = attention.residual_step(Z, m.U)
        else:
            Z = Z + attention.mssa(layer_norm(Z), m.U)
    before, after = official_measure(start, m.U), official_measure(Z, m.U)
    case.assume(after < before - 1e-3)
    return decided(decide.subspace_rate_change(start, Z, m.U, eps=m.eps), measure=[before, after])


# --- sizes --------------------------------------------------------------------------------------------------

PUBLISHED = {
    "CRATE-T/16": (384, 6, 12, 16, 1000, 6.09),
    "CRATE-S/16": (576, 12, 12, 16, 1000, 13.12),
    "CRATE-B/16": (768, 12, 12, 16, 1000, 22.80),
    "CRATE-L/16": (1024, 16, 24, 16, 1000, 77.64),
    "CRATE-T/8, segmentation": (192, 3, 12, 8, 21841, 5.74),
    "CRATE-S/8, segmentation": (384, 6, 12, 8, 21841, 14.12),
    "CRATE-B/8, segmentation": (768, 12, 12, 8, 21841, 38.83),
}
"""d, K, layers, patch, classes, and millions of parameters as published."""


@claim(
    "layers.crate-parameters",
    title="The published parameter counts of CRATE",
    statement=r"\#=2P+Pd+d+2d+(n+1)d+d+L(3d^2+5d)+2d+C(d+1),\qquad P=3\cdot\mathrm{patch}^2",
    source=f"{N23}, table 1; {SEGMENTATION}",
    relation="=",
    hypotheses="the seven published sizes, to the two decimals printed",
    expect=HOLDS,
    twin="separate matrices for query, key and value",
    instances=60,
)
def crate_parameters(case: Case) -> Outcome:
    """True of the tables, counted from the arrays of a layer: U serves as query, key and value, and the
    dictionary is d × d, a quarter of a ViT block. (The text of the paper says 22.08M where its table and the code
    have 22.80M for B.)
    """
    d, K, depth, patch, classes, published = PUBLISHED[case.choice("model", tuple(PUBLISHED))]
    U, square, bias = np.zeros((K, d, d // K)), np.zeros((d, d)), np.zeros(d)
    U, square, bias = map(case.asarray, (U, square, bias))
    layer = official(U, square, output=square, bias=bias)
    block = sum(math.prod(a.shape) for a in (layer.U, layer.output, layer.D, layer.bias)) + 4 * d
    block += case.wrong(0, 2 * d * d)
    pixels, patches = 3 * patch**2, (224 // patch) ** 2
    embedding = 2 * pixels + pixels * d + d + 2 * d + (patches + 1) * d + d
    total = embedding + depth * block + 2 * d + classes * (d + 1)
    return exactly(round(total / 1e6, 2) == published, total=total, published=published)
