"""The exact gradient step."""

from __future__ import annotations

import math

import numpy as np
from array_api_compat import array_namespace

from srr import attention, curvature
from verify import decide
from verify.arrays import to_numpy
from verify.case import Case
from verify.claims._instances import ONE_TOKEN, norm
from verify.claims._sources import N23
from verify.claims._steps import assume_visible, gather, heads, spectra
from verify.claims.compression._mixtures import ORTHOGONAL, SMALL, change, rate_gradient
from verify.figures import compression as figures
from verify.ledger import HOLDS, HOLDS_UNDER, Outcome, claim
from verify.outcome import all_of, decided, equal


@claim(
    "compression.exact-step-descends",
    title="The exact gradient step compresses, for every step size below 2/L_c",
    statement=r"R^c(Z-\kappa\nabla R^c(Z))\le R^c(Z),\quad 0<\kappa<\frac{2}{L_c},\quad "
    r"L_c=\frac{p}{n\varepsilon^2}\lambda_{\max}\Big(\sum_k U_kU_k^\top\Big)",
    source=f"{N23}, eq. 9, which leaves the step size open; the Hessian of R^c is at most L_c",
    relation="<=",
    hypotheses="orthogonal or overlapping subspaces, any tokens, kappa L_c from 0.05 to 1.95",
    expect=HOLDS,
    twin="kappa drawn above 2/L_c",
    proof=("exact-step-descends",),
    derivations=("projections-on-orthogonal-subspaces", "exact-step-of-length-one-over-l"),
    uses=(
        "rates.gradient-subspace",
        "curvature.subspace-rate",
    ),
    figure=figures.exact_step_limit,
)
def exact_step_descends(case: Case) -> Outcome:
    """True: the Hessian of Rᶜ is at most L_c, so a step κ = θ/L_c takes off at least κ (1 − θ/2) |∇Rᶜ|².

    Decided between the tokens before and after, as stored. Where the step promises less than rounding the
    tokens can take back, the instance is rejected; θ stops at 1.95 for the same reason.
    """
    m = case.mixture(**SMALL)
    theta = case.uniform("theta", 0.05, 1.95)
    theta = case.wrong(theta, theta + 2)
    kappa = theta * curvature.compression_step(m.U, m.n, eps=m.eps)
    after = attention.exact_step(m.Z, m.U, eps=m.eps, step=kappa)
    slope = norm(rate_gradient(m))
    assume_visible(case, kappa * abs(1 - theta / 2) * slope**2, m.Z, after, slope)
    return decided(change(m, after))


@claim(
    "compression.exact-step-limit-is-sharp",
    title="2/L_c is the largest step size: above it, some tokens are expanded",
    statement=r"\forall\,U_{[K]},\ \kappa>\frac{2}{L_c}\ \exists Z:\quad R^c(Z-\kappa\nabla R^c(Z))>R^c(Z)",
    source="sharpness of the step size of compression.exact-step-descends",
    relation="tight",
    hypotheses="any subspaces; Z small, along the top eigenvector of sum_k U_k U_k^T; kappa above 2/L_c by a "
    "thousandth up to a hundredfold",
    expect=HOLDS,
    twin="kappa below 2/L_c by the same factor",
    uses=("curvature.subspace-ends-attained", "compression.exact-step-descends"),
    figure=figures.exact_step_limit,
    instances=100,
)
def exact_step_limit_is_sharp(case: Case) -> Outcome:
    """True for all subspaces: near Z = 0 the step is Z − κβ Z Σ U_kU_kᵀ up to third order, and multiplies
    its top eigenvector by 1 − κL_c, which is below −1. The tokens are that vector, so small that the third
    order is less than 1/100 of the excess.
    """
    m = case.mixture(**SMALL, noise=0.0, scale=1.0)
    excess = case.log_uniform("excess", 1e-3, 100.0)
    theta = 2 * case.wrong(1 + excess, 1 / (1 + excess))
    U = to_numpy(m.U)
    top = np.linalg.eigh(sum(B @ B.T for B in U))[1][:, -1]
    beta, L = m.beta, curvature.subspace_rate(m.U, m.n, eps=m.eps)
    size = math.sqrt(0.01 * excess / (1 + excess) ** 3 / (m.n * max(L, beta)))
    Z = case.asarray(size * np.outer(np.ones(m.n), top))
    after = attention.exact_step(Z, m.U, eps=m.eps, step=theta / L)
    assume_visible(case, L * norm(Z) ** 2 * theta * abs(theta - 2) / 4, Z, after, L * norm(after))
    return decided(decide.subspace_rate_change(Z, after, m.U, eps=m.eps), ">")


@claim(
    "compression.exact-step-on-full-heads",
    title="Tokens that fill every head allow longer steps than 2/L_c",
    statement=r"R^c(Z-\kappa\nabla R^c(Z))\le R^c(Z),\quad 0<\kappa\beta<2\,(1+\beta s_{\min}^2)",
    source="a sharper form of compression.exact-step-descends for orthogonal subspaces",
    relation="<=",
    hypotheses="orthogonal subspaces; s_min the least singular value of any head's tokens",
    expect=HOLDS_UNDER,
    twin="any step size",
    proof=("exact-step-compresses-full-heads",),
    derivations=("exact-step-on-singular-values",),
    uses=("compression.exact-step-descends",),
    instances=150,
    witness=ONE_TOKEN | {"kappa beta": 8.0},
    figure=figures.exact_step_limit,
)
def exact_step_on_full_heads(case: Case) -> Outcome:
    """True: the step multiplies a singular value s by 1 − κβ/(1 + βs²), and every factor is above −1
    exactly when κβ < 2(1 + βs_min²). So 2/L_c is needed for heads that some direction leaves empty, as n <
    p always does, and not for full ones. Outside, single directions grow, and Rᶜ may fall all the same.
    """
    m = case.mixture(**{**ORTHOGONAL, "n": (1, 16)}, scale=(0.1, 10.0), eps=(0.1, 10.0))
    x, beta = spectra(m.Z, m.U, m.eps), m.beta
    kappa = case.log_uniform("kappa beta", 0.1, 100.0) / beta
    ratio = kappa * beta / (1 + float(x.min()))
    case.condition("kappa beta / (1 + beta s_min^2)", case.wrong(ratio, 0.0), 2, along="kappa beta")
    after = attention.exact_step(m.Z, m.U, eps=m.eps, step=kappa)
    slope = norm(rate_gradient(m))
    assume_visible(case, kappa * abs(1 - ratio / 2) * slope**2, m.Z, after, slope)
    return decided(change(m, after))


@claim(
    "compression.exact-step-is-one-linear-map",
    title="The exact step is one linear map for all tokens: it mixes channels, never tokens",
    statement=r"Z-\kappa\nabla R^c(Z)=\Big(I-\kappa\sum_kU_k(\beta^{-1}I+Y_kY_k^\top)^{-1}U_k^\top\Big)Z,"
    r"\qquad\text{so it commutes with }Z\mapsto ZV,\ V\in O(n)",
    source=f"{N23}, eq. 9; R^c sees the tokens through ZZ^T alone",
    relation="=",
    hypotheses="any subspaces, any tokens, V a rotation among the tokens",
    expect=HOLDS,
    twin="the attention step in place of the exact one",
    proof=("exact-step-is-one-linear-map", "exact-step-commutes-with-token-rotations"),
    derivations=("exact-step-outside-the-subspaces",),
    instances=100,
    uses=(
        "rates.push-through",
        "rates.gram-only",
    ),
)
def exact_step_is_one_linear_map(case: Case) -> Outcome:
    """True by the push-through identity. Token mixing therefore does not come from the gradient of Rᶜ: it
    enters with the softmax alone, and the step derived with it fails the same test.
    """
    m = case.mixture(**{**SMALL, "n": (2, 10)}, scale=(0.1, 10.0), eps=(0.1, 10.0))
    V = case.asarray(np.linalg.qr(case.rng("rotation").standard_normal((m.n, m.n)))[0])
    step = case.wrong(attention.exact_step, attention.derived_step)
    kappa = curvature.compression_step(m.U, m.n, eps=m.eps)
    after, turned = (step(Z, m.U, eps=m.eps, step=kappa) for Z in (m.Z, V @ m.Z))
    xp, Y = array_namespace(m.Z), heads(m.Z, m.U)
    inverse = xp.linalg.inv(case.asarray(np.eye(m.p)) / m.beta + xp.matmul(xp.matrix_transpose(Y), Y))
    shrinking = gather(xp.matmul(m.U, inverse), m.U)
    scale = norm(m.Z) * (1 + float(spectra(m.Z, m.U, m.eps).max()))
    return all_of(
        equal(turned, V @ after, size=m.n + m.d, scale=scale),
        equal(after, m.Z - kappa * m.Z @ shrinking, size=m.n + m.d, scale=scale),
    )
