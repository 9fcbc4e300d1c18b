"""The compression half: the gradient step on Rᶜ(Z|U), and the attention that is put in its place.

Tokens are rows. Throughout β = p/(n ε²), which the papers write γ, Y_k = Z U_k are the tokens in head k,
and S_k is the row softmax of Y_kY_kᵀ. For mutually orthogonal subspaces Rᶜ depends on the singular values
of each Y_k alone, and a step that multiplies a singular value s by 1 − q takes off at least ½ β s² q (2 −
q)/(1 + β s²).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from array_api_compat import array_namespace
from flint import fmpq, fmpq_mat

from srr import (
    attention,
    coding_rate,
    curvature,
    subspace_coding_rate,
    subspace_coding_rate_and_gradient,
)
from verify import decide
from verify.arrays import to_numpy
from verify.case import Case, Instance
from verify.claims._instances import ONE_TOKEN, complete_family, norm
from verify.claims._sources import BOOK, HU, N23
from verify.claims._steps import (
    assume_visible,
    coarseness,
    gather,
    heads,
    inner,
    official_measure,
    softmax,
    spectra,
)
from verify.derivatives import rational
from verify.figures import compression as figures
from verify.figures.rates import official_measure_by_spread
from verify.ledger import HOLDS, HOLDS_UNDER, REFUTED, Outcome, claim
from verify.outcome import all_of, at_most, decided, equal, exactly

SMALL: dict[str, Any] = {"n": (1, 10), "d": (1, 8), "K": (1, 3), "p": (1, 3)}
ORTHOGONAL: dict[str, Any] = {**SMALL, "coherence": ("orthogonal",)}


def _beta(m: Instance) -> float:
    return m.p / (m.n * m.eps**2)


def _gradient(m: Instance) -> Any:
    return subspace_coding_rate_and_gradient(m.Z, m.U, eps=m.eps)[1]


def _change(m: Instance, after: Any) -> decide.Decision:
    return decide.subspace_rate_change(m.Z, after, m.U, eps=m.eps)


def _mixture_with_spectrum(case: Case, **given: Any) -> Instance:
    # A mixture at the token scale that makes λ_max(β Y_kᵀY_k) the number drawn.
    m = case.mixture(**given, scale=1.0)
    top = float(spectra(m.Z, m.U, m.eps).max())
    case.assume(top > 1e-12)
    wanted = case.log_uniform("lambda_max", 1e-2, 1e2)
    return Instance(m.Z * math.sqrt(wanted / top), m.U, m.labels, m.eps, m.n, m.d, m.K, m.p)


# --- the exact gradient step --------------------------------------------------------------------------------


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
    slope = norm(_gradient(m))
    assume_visible(case, kappa * abs(1 - theta / 2) * slope**2, m.Z, after, slope)
    return decided(_change(m, after))


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
    beta, L = _beta(m), curvature.subspace_rate(m.U, m.n, eps=m.eps)
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
    x, beta = spectra(m.Z, m.U, m.eps), _beta(m)
    kappa = case.log_uniform("kappa beta", 0.1, 100.0) / beta
    ratio = kappa * beta / (1 + float(x.min()))
    case.condition("kappa beta / (1 + beta s_min^2)", case.wrong(ratio, 0.0), 2, along="kappa beta")
    after = attention.exact_step(m.Z, m.U, eps=m.eps, step=kappa)
    slope = norm(_gradient(m))
    assume_visible(case, kappa * abs(1 - ratio / 2) * slope**2, m.Z, after, slope)
    return decided(_change(m, after))


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
    inverse = xp.linalg.inv(case.asarray(np.eye(m.p)) / _beta(m) + xp.matmul(xp.matrix_transpose(Y), Y))
    shrinking = gather(xp.matmul(m.U, inverse), m.U)
    scale = norm(m.Z) * (1 + float(spectra(m.Z, m.U, m.eps).max()))
    return all_of(
        equal(turned, V @ after, size=m.n + m.d, scale=scale),
        equal(after, m.Z - kappa * m.Z @ shrinking, size=m.n + m.d, scale=scale),
    )


# --- the Neumann step ---------------------------------------------------------------------------------------


@claim(
    "compression.neumann-remainder",
    title="What the first-order Neumann step leaves out",
    statement=r"(I+X)^{-1}-(I-X)=X^2(I+X)^{-1},\qquad X=\beta Y_k^\top Y_k",
    source=f"{N23}, eq. 67-69",
    relation="=",
    hypotheses="any subspaces, any tokens",
    expect=HOLDS,
    twin="X in place of X^2",
    proof=("remainder-of-the-first-order-neumann-inverse",),
    derivations=("first-order-neumann-is-too-small",),
    instances=100,
    figure=figures.neumann_remainder,
)
def neumann_remainder(case: Case) -> Outcome:
    """True by algebra. Checked on the two steps: Neumann less exact is κβ Σ_k Y_k X_k²(I + X_k)⁻¹ U_kᵀ, so
    in a direction with X = x the Neumann gradient is wrong by the factor x², and points backwards once x >
    1.
    """
    m = case.mixture(**SMALL, scale=(0.1, 10.0), eps=(0.1, 10.0))
    xp, beta = array_namespace(m.Z), _beta(m)
    kappa = curvature.compression_step(m.U, m.n, eps=m.eps)
    Y = heads(m.Z, m.U)
    X = beta * xp.matmul(xp.matrix_transpose(Y), Y)
    inverse = xp.linalg.inv(X + case.asarray(np.eye(m.p)))
    left_out = xp.matmul(Y, case.wrong(xp.matmul(X, X), X))
    left_out = kappa * beta * gather(xp.matmul(left_out, inverse), m.U)
    neumann = attention.neumann_step(m.Z, m.U, eps=m.eps, step=kappa)
    exact = attention.exact_step(m.Z, m.U, eps=m.eps, step=kappa)
    top = float(spectra(m.Z, m.U, m.eps).max())
    return equal(neumann - exact, left_out, size=m.n + m.d, scale=norm(m.Z) * (1 + top) ** 2)


@claim(
    "compression.neumann-step-descends",
    title="The first-order Neumann step compresses while the heads' Gram matrices are below 1",
    statement=r"R^c\Big(Z-\kappa\beta\sum_kU_k(I-\beta Y_kY_k^\top)Y_k\Big)\le R^c(Z),"
    r"\quad\lambda_{\max}(\beta Y_k^\top Y_k)<1,\ \kappa\beta<2",
    source=f"{N23}, eq. 67-69, which states no condition",
    relation="<=",
    hypotheses="orthogonal subspaces, 0 < kappa beta < 2; the condition is on the tokens",
    expect=HOLDS_UNDER,
    twin="kappa beta above 2",
    proof=("neumann-step-compresses-below-one",),
    derivations=("neumann-direction-descends-below-one", "neumann-gradient-before-the-turn"),
    uses=("compression.neumann-remainder",),
    witness=ONE_TOKEN | {"lambda_max": 2.0, "kappa beta": 1.0},
    figure=figures.neumann_step,
)
def neumann_step_descends(case: Case) -> Outcome:
    """True under the condition alone: a singular value with x = βs² is multiplied by 1 − κβ(1 − x), so it
    shrinks when x < 1 and grows when x > 1. With unit tokens and ε² = 0.01 the largest x is far above 1,
    and the step then expands what it should compress. Tokens are scaled so that the largest x is as drawn.
    """
    m = _mixture_with_spectrum(case, **ORTHOGONAL)
    x, beta = spectra(m.Z, m.U, m.eps), _beta(m)
    theta = case.uniform("kappa beta", 0.1, 1.9)
    theta = case.wrong(theta, theta + 2.5)
    case.condition("lambda_max of beta Y^T Y", x.max(), 1, along="lambda_max")
    after = attention.neumann_step(m.Z, m.U, eps=m.eps, step=theta / beta)
    q = theta * (1 - x)
    promised = float(np.sum(np.abs(x * q * (2 - q)) / (1 + x))) / 2
    assume_visible(case, promised, m.Z, after, norm(_gradient(m)))
    return decided(_change(m, after))


@claim(
    "compression.neumann-step-overlapping",
    title="The Neumann step compresses while the Gram matrices are below 1, for overlapping subspaces too",
    statement=r"R^c\Big(Z-\kappa\beta\sum_kU_k(I-\beta Y_kY_k^\top)Y_k\Big)\le R^c(Z),"
    r"\quad\lambda_{\max}(\beta Y_k^\top Y_k)<1,\ \kappa\le\frac{1}{L_c}",
    source=f"asked here: {N23}, eq. 67-69 with the condition of compression.neumann-step-descends, for any U_k",
    relation="<=",
    hypotheses="one token and two lines in the plane, at an angle from 0.2 to 1.5; x from 0.5 to 0.99 in one head, "
    "at most a quarter of it in the other; kappa L_c from 0.01 to 1",
    expect=REFUTED,
    twin="the lines at a right angle, for which it is true",
    uses=("compression.neumann-step-descends",),
    instances=150,
    witness={
        "x of head 1": 0.9,
        "y of head 2 by y of head 1": -0.25,
        "angle": 0.5,
        "eps": 1.0,
        "kappa L_c": 0.5,
    },
)
def neumann_step_overlapping(case: Case) -> Outcome:
    """False: where one head has x near 1 its share of the step vanishes, though its share of the gradient
    does not. What the other heads do then moves the tokens of that head, and may move them outwards.
    """
    x1 = case.uniform("x of head 1", 0.5, 0.99)
    ratio = case.uniform("y of head 2 by y of head 1", -0.5, 0.5)
    angle = case.wrong(case.uniform("angle", 0.2, 1.5), math.pi / 2)
    eps, kappa = case.log_uniform("eps", 0.01, 10.0), case.uniform("kappa L_c", 0.01, 1.0)
    U = np.array([[[1.0], [0.0]], [[math.cos(angle)], [math.sin(angle)]]])
    y = math.sqrt(x1) * eps * np.array([1.0, ratio])  # beta = 1/eps^2: one token, p = 1
    Z = case.asarray(np.linalg.solve(U[:, :, 0], y)[None, :])
    bases = case.asarray(U)
    step = kappa * curvature.compression_step(bases, 1, eps=eps)
    after = attention.neumann_step(Z, bases, eps=eps, step=step)
    value, gradient = subspace_coding_rate_and_gradient(Z, bases, eps=eps)
    assume_visible(case, abs(inner(gradient, after - Z)), Z, after, norm(gradient))
    return decided(decide.subspace_rate_change(Z, after, bases, eps=eps), rate=float(value))


@claim(
    "compression.neumann-series-converges",
    title="One more term of the Neumann series brings it closer to the inverse while the Gram matrices are below 1",
    statement=r"\|E_{m+1}\|_F\le\|E_m\|_F,\quad E_m=(I+X_k)^{-1}-\sum_{j<m}(-X_k)^j=(-X_k)^m(I+X_k)^{-1},"
    r"\quad X_k=\beta Y_k^\top Y_k,\ \lambda_{\max}(X_k)<1",
    source=f"{N23}, eq. 67-69; {BOOK}, eq. gd_rc_neumann",
    relation="<=",
    hypotheses="any subspaces, any tokens, m from one to six, every head",
    expect=HOLDS_UNDER,
    twin="the series in X_k, without its signs",
    uses=("compression.neumann-remainder",),
    instances=100,
    witness=ONE_TOKEN | {"lambda_max": 3.0, "terms": 1},
    figure=figures.neumann_remainder,
)
def neumann_series_converges(case: Case) -> Outcome:
    """True under the condition alone: X^m (I + X)⁻¹ falls with m where x < 1, and grows without bound where
    x > 1. Decided in rational arithmetic.
    """
    m = _mixture_with_spectrum(case, **SMALL)
    top = float(spectra(m.Z, m.U, m.eps).max())
    case.assume(abs(top - 1) > 1e-12 * m.n * m.d)  # or rounding says on which side it is
    case.condition("lambda_max of beta Y^T Y", top, 1, along="lambda_max")
    terms, sign = case.integer("terms", 1, 6), case.wrong(-1, 1)
    beta = fmpq(m.p, m.n) / fmpq(*m.eps.as_integer_ratio()) ** 2
    identity = fmpq_mat(np.eye(m.p, dtype=int).tolist())

    def falls(U: np.ndarray) -> bool:
        Y = rational(to_numpy(m.Z)) * rational(U)
        X = Y.transpose() * Y * beta
        error, term = (identity + X).inv(), identity
        left_out, squares = error, []
        for _ in range(terms + 1):
            error, term, left_out = error - term, term * X * sign, left_out * -X
            squares.append(sum((x**2 for x in error.entries()), fmpq(0)))
        return bool(error == left_out and squares[-1] <= squares[-2])

    return exactly(all(map(falls, to_numpy(m.U))))


@claim(
    "compression.neumann-series-from-one",
    title="The Neumann series as the book prints it, from k = 1",
    statement=r"(I-A)^{-1}=\sum_{k=1}^{\infty}A^k,\qquad\|A\|<1",
    source=f"{BOOK}, eq. gd_rc_neumann, as printed",
    relation="=",
    hypotheses="A = -beta Y^T Y with norm at most 1/2, 60 terms",
    expect=REFUTED,
    twin="the series from k = 0",
    instances=50,
    witness=ONE_TOKEN,
)
def neumann_series_from_one(case: Case) -> Outcome:
    """False by the term A⁰ = I: without it the first-order step would be Z + κβ² Σ U_kY_kY_kᵀY_k, with no
    term of first order at all. Checked on the exact step.
    """
    m = case.mixture(**SMALL, scale=1.0)
    xp, beta = array_namespace(m.Z), _beta(m)
    top = float(spectra(m.Z, m.U, m.eps).max())
    case.assume(top > 1e-12)
    Z = m.Z * math.sqrt(0.5 / max(top, 0.5))
    Y = heads(Z, m.U)
    A = -beta * xp.matmul(xp.matrix_transpose(Y), Y)
    term, total = Y, case.wrong(0 * Y, Y)
    for _ in range(60):
        term = xp.matmul(term, A)
        total = total + term
    kappa = curvature.compression_step(m.U, m.n, eps=m.eps)
    exact = attention.exact_step(Z, m.U, eps=m.eps, step=kappa)
    return equal(exact, Z - kappa * beta * gather(total, m.U), size=60 + m.n, scale=4 * norm(Z))


@claim(
    "compression.second-order-term-ascends",
    title="Descending the second-order term of the log-determinant alone expands",
    statement=r"R^c\Big(Z+\eta\sum_kU_kY_kY_k^\top Y_k\Big)\ge R^c(Z),\qquad\eta>0",
    source=f"{HU}, section 3: log det(I+X) = tr X - tr X^2/2 + ...",
    relation="monotone",
    hypotheses="orthogonal subspaces, any tokens, any eta",
    expect=HOLDS,
    twin="the same direction with the other sign",
    proof=("second-order-step-expands",),
    derivations=("second-order-term-alone-expands",),
    instances=100,
    figure=figures.second_order_term,
)
def second_order_term_ascends(case: Case) -> Outcome:
    """True: it multiplies every singular value s by 1 + ηs². This is Hu, Zou and Xu's explanation of
    attention that raises Rᶜ: the softmax stands in this term, and the first-order term, which compresses,
    is left to the skip.
    """
    m = case.mixture(**ORTHOGONAL)
    xp, eta = array_namespace(m.Z), case.log_uniform("eta s^2", 1e-3, 1e2)
    Y = heads(m.Z, m.U)
    top = norm(Y)
    case.assume(top > 0)
    up = gather(xp.matmul(Y, xp.matmul(xp.matrix_transpose(Y), Y)), m.U) / top**2
    after = m.Z + case.wrong(eta, -eta) * up
    gradient = _gradient(m)
    assume_visible(case, eta * inner(gradient, up), m.Z, after, norm(gradient))
    return decided(_change(m, after), ">=")


@claim(
    "compression.log-det-expansion",
    title="The first terms of log det(I + X) bound it, in turn from above and from below",
    statement=r"\operatorname{tr}X-\tfrac12\operatorname{tr}X^2\le\log\det(I+X)\le\min\big(\operatorname{tr}X,\ "
    r"\operatorname{tr}X-\tfrac12\operatorname{tr}X^2+\tfrac13\operatorname{tr}X^3\big),\qquad X=\beta Y_k^\top Y_k",
    source=f"{HU}, section 3: log det(I+X) = tr X - tr X^2/2 + ..., which it cuts off",
    relation="<=",
    hypotheses="any subspaces, any tokens, every head",
    expect=HOLDS,
    twin="a sixth of the third term",
    proof=("log-det-at-most-trace", "log-det-at-least-two-terms", "log-det-at-most-three-terms"),
    derivations=("compression-rate-at-most-the-energy", "compression-rate-to-second-order"),
    instances=100,
    figure=figures.log_det_between_its_terms,
)
def log_det_expansion(case: Case) -> Outcome:
    """True at every size of X, though the series converges below 1 only. Summed over the heads, and halved, the same
    holds of Rᶜ.
    """
    m = case.mixture(**SMALL)
    Y = heads(m.Z, m.U)
    xp = array_namespace(Y)
    G = xp.matmul(xp.matrix_transpose(Y), Y) * _beta(m)
    trace, square = xp.sum(Y**2, axis=(1, 2)) * _beta(m), xp.sum(G**2, axis=(1, 2))
    cube = xp.sum(xp.matmul(G, G) * G, axis=(1, 2))
    found = 2 * coding_rate(Y, eps=m.eps, method="svd")  # its error is relative: X may be tiny
    size, third = m.n + m.d, case.wrong(1 / 3, 1 / 18) * cube
    return all_of(
        at_most(found, trace, size=size, scale=trace),
        at_most(trace - square / 2, found, size=size, scale=trace + square),
        at_most(found, trace - square / 2 + third, size=size, scale=trace + square + cube),
    )


@claim(
    "compression.heads-of-two-dimensions",
    title="In heads of two dimensions the exact gradient needs no factorisation",
    statement=r"\nabla R^c(Z\mid U_{[K]})=\beta\sum_kU_k\,\frac{(1+\operatorname{tr}X_k)I-X_k}"
    r"{1+\operatorname{tr}X_k+\det X_k}\,Y_k,\qquad X_k=\beta Y_kY_k^\top,\ p=2",
    source=f"derived from {N23}, eq. 9, whose inverse it calls expensive; Cayley and Hamilton",
    relation="=",
    hypotheses="any subspaces of two dimensions, any tokens",
    expect=HOLDS,
    twin="the determinant left out: one term of the Neumann series, scaled",
    derivations=("inverse-in-two-dimensions",),
    uses=("rates.gradient-subspace",),
    instances=60,
)
def heads_of_two_dimensions(case: Case) -> Outcome:
    """True: two terms of a polynomial in X_k are its inverse, where Neumann's series asks for all. Their factors are
    taken in rational arithmetic.
    """
    m = case.mixture(n=(1, 5), d=(2, 6), K=(1, 3), p=2, scale=(0.1, 10.0), eps=(0.1, 10.0))
    Z, beta = rational(to_numpy(m.Z)), fmpq(2, m.n) / fmpq(*m.eps.as_integer_ratio()) ** 2
    total = fmpq_mat(m.n, m.d)
    for U in to_numpy(m.U):
        Y = Z * rational(U)
        X = beta * (Y.transpose() * Y)
        trace = X[0, 0] + X[1, 1]
        share = fmpq_mat(2, 2, [1 + trace, 0, 0, 1 + trace]) - X
        total += Y * share * rational(U).transpose() * (beta / (1 + trace + case.wrong(X.det(), 0)))
    closed = np.array([[int(x.p) / int(x.q) for x in row] for row in total.tolist()])
    found = subspace_coding_rate_and_gradient(m.Z, m.U, eps=m.eps, method="svd")[1]
    return equal(found, closed, size=m.n + m.d, scale=_beta(m) * m.K * norm(m.Z))


@claim(
    "compression.neumann-regime",
    title="Unit tokens have Gram matrices between 1/(K eps^2) and p/eps^2",
    statement=r"\frac{1}{K\varepsilon^2}\le\max_k\lambda_{\max}(\beta Y_k^\top Y_k)\le\frac{p}{\varepsilon^2}"
    r",\qquad\|z_i\|=1",
    source=f"where the hypothesis of {N23}, eq. 67-69 can hold",
    relation="<=",
    hypotheses="orthogonal subspaces that span the space, tokens of norm 1",
    expect=HOLDS,
    twin="eps in place of eps^2",
    instances=100,
    figure=figures.regime_of_unit_tokens,
)
def neumann_regime(case: Case) -> Outcome:
    """True: the traces of the K p × p matrices add up to p/ε², since the tokens have norm 1 and the heads
    span. So a first-order Neumann step needs ε² > 1/K at least, and after LayerNorm, which makes the norms
    √d, ε² > p. With the ε² = 0.01 of the official code the largest eigenvalue is at least 8.3 for K = 12.
    """
    m = _unit_tokens(case, K=(1, 4), p=(1, 3), n=(1, 12))
    top = float(spectra(m.Z, m.U, m.eps).max())
    square = case.wrong(m.eps**2, m.eps)
    least, most = 1 / (m.K * square), m.p / square
    return at_most(np.array([least, top]), np.array([top, most]), size=m.n + m.d, scale=most * coarseness(m.Z), top=top)


@claim(
    "compression.neumann-step-at-official-precision",
    title="The Neumann step compresses unit tokens at the official precision",
    statement=r"R^c\Big(Z-\kappa\beta\sum_kU_k(I-\beta Y_kY_k^\top)Y_k\Big)\le R^c(Z),"
    r"\quad\|z_i\|=1,\ \varepsilon^2=0.01,\ \kappa\beta\le1",
    source=f"{N23}, approximation 4, whose tokens have norm 1; eps^2 = 0.01 is the default of its code",
    relation="<=",
    hypotheses="orthogonal subspaces that span the space, tokens of norm 1, kappa beta <= 1",
    expect=REFUTED,
    twin="eps^2 above p, for which it is true",
    derivations=("neumann-gradient-turns-around",),
    uses=("compression.neumann-step-descends", "compression.neumann-regime"),
    instances=100,
    witness=ONE_TOKEN | {"eps": 0.1, "kappa beta": 1.0},
    figure=figures.regime_of_unit_tokens,
)
def neumann_step_at_official_precision(case: Case) -> Outcome:
    """False: by compression.neumann-regime the largest x is at least 100/K, and in such a direction the
    step has the wrong sign: it expands. The twin has all x ≤ p/ε² < 1.
    """
    m = _unit_tokens(case, K=(1, 4), p=(1, 3), n=(1, 12), eps=case.wrong(0.1, (2.0, 4.0)))
    theta = case.uniform("kappa beta", 0.1, 1.0)
    after = attention.neumann_step(m.Z, m.U, eps=m.eps, step=theta / _beta(m))
    return decided(_change(m, after))


# --- attention in place of the gradient ---------------------------------------------------------------------


def _unit_tokens(case: Case, *, noise: float | tuple[float, float] = (0.0, 1.0), **given: Any) -> Instance:
    # Orthogonal subspaces that span the space, and tokens of norm 1.
    m = case.mixture(**{"eps": (0.1, 10.0), **given}, d=1, coherence=("orthogonal",), noise=noise, scale=1.0)
    Z = to_numpy(m.Z)
    size = np.linalg.norm(Z, axis=1, keepdims=True)
    case.assume(float(size.min()) > 1e-6)
    return Instance(case.asarray(Z / size), m.U, m.labels, m.eps, m.n, m.d, m.K, m.p)


def _slopes(m: Instance) -> tuple[float, float]:
    # Σ tr G_k and Σ tr(G_k S_k), with G_k = Y_k (I + β Y_kᵀY_k)⁻¹ Y_kᵀ.
    Y = to_numpy(heads(m.Z, m.U))
    left, s, _ = np.linalg.svd(Y, full_matrices=False)
    G = (left * (s**2 / (1 + _beta(m) * s**2))[:, None, :]) @ left.swapaxes(1, 2)
    return float(np.sum(np.trace(G, axis1=1, axis2=2))), float(np.sum(G * softmax(Y).swapaxes(1, 2)))


@claim(
    "compression.derived-step-is-neumann",
    title="With the Gram matrix in place of its softmax and a complete family, the derived step is the Neumann step",
    statement=r"(1-\kappa\beta)Z+\kappa\beta^2\sum_kU_kY_k(Y_k^\top Y_k)=Z-\kappa\Big("
    r"\beta\sum_kU_kU_k^\top Z-\beta^2\sum_kU_kY_k(Y_k^\top Y_k)\Big)",
    source=f"{N23}, approximation 4, eq. 61-76",
    relation="=",
    hypotheses="orthogonal subspaces that span the space",
    expect=HOLDS,
    twin="a space of ten dimensions, which they do not span",
    proof=("attention-with-the-gram-matrix-is-the-neumann-step",),
    instances=100,
)
def derived_step_is_neumann(case: Case) -> Outcome:
    """True: then Σ_k U_kU_kᵀ = I, and nothing is left of the approximation but the softmax. (Asked for one
    dimension, orthogonal subspaces are drawn in K·p, which they span.)
    """
    m = case.mixture(**{**ORTHOGONAL, "d": case.wrong(1, 10)}, noise=1.0, scale=(0.1, 10.0))
    xp, beta = array_namespace(m.Z), _beta(m)
    theta = case.uniform("kappa beta", 0.1, 2.0)
    Y = heads(m.Z, m.U)
    cubic = beta * gather(xp.matmul(Y, xp.matmul(xp.matrix_transpose(Y), Y)), m.U)
    left = (1 - theta) * m.Z + theta * cubic
    right = attention.neumann_step(m.Z, m.U, eps=m.eps, step=theta / beta)
    return equal(left, right, size=m.n + m.d, scale=(1 + theta) * (norm(m.Z) + beta * norm(Y) ** 3))


@claim(
    "compression.book-prefactor",
    title="The book's gradient with the prefactor of MSSA counted twice",
    statement=r"Z-\kappa\big(\beta Z-\beta^2\,\mathrm{MSSA}(Z)\big)=(1-\kappa\beta)Z+\kappa\beta\,"
    r"\mathrm{MSSA}(Z),\qquad\mathrm{MSSA}(Z)=\beta\sum_kU_k\,\mathrm{SSA}(Z|U_k)",
    source=f"{BOOK}, eq. gd-mcr-parts, as printed beside {N23}, eq. 10-12",
    relation="=",
    hypotheses="orthogonal subspaces, beta drawn away from 1",
    expect=REFUTED,
    twin="beta Z - beta MSSA(Z), the MSSA having its own beta",
    derivations=("prefactor-of-attention-in-the-gradient",),
    instances=50,
    witness=ONE_TOKEN | {"eps": 2.0, "kappa beta": 1.0},
)
def book_prefactor(case: Case) -> Outcome:
    """False unless β = 1: the book's MSSA already contains β, and β² in front of it makes β³ of what the
    expansion has as β². Against the derived step of eq. 10.
    """
    m = case.mixture(**ORTHOGONAL, scale=(0.1, 1.0))
    beta = _beta(m)
    case.assume(abs(math.log(beta)) > 0.1)
    theta = case.uniform("kappa beta", 0.1, 1.0)
    attended = attention.mssa(m.Z, m.U, eps=m.eps)
    left = m.Z - theta / beta * (beta * m.Z - beta ** case.wrong(2, 1) * attended)
    right = attention.derived_step(m.Z, m.U, eps=m.eps, step=theta / beta)
    return equal(left, right, size=m.n + m.d, scale=norm(m.Z) + norm(attended))


@claim(
    "compression.residual-is-twice-a-derived-step",
    title="Z + MSSA(Z) is twice the derived step of size 1/(2 beta)",
    statement=r"(1-\kappa\beta)Z+\kappa\beta\,\mathrm{MSSA}(Z)=\tfrac12\big(Z+\mathrm{MSSA}(Z)\big),"
    r"\qquad\kappa=\frac1{2\beta}",
    source=f"{N23}, eq. 10 and 18, which drops the coefficients of eq. 10 without a word",
    relation="=",
    hypotheses="any subspaces, any tokens",
    expect=HOLDS,
    twin="kappa = 1/beta",
    proof=("residual-attention-is-half-a-step",),
    instances=100,
)
def residual_is_twice_a_derived_step(case: Case) -> Outcome:
    """True. So CRATE's first half is a legitimate step up to a factor 2, which a LayerNorm right behind it
    would remove and the skip past the LayerNorm of the official code does not.
    """
    m = case.mixture(**SMALL)
    kappa = case.wrong(0.5, 1.0) / _beta(m)
    left = attention.derived_step(m.Z, m.U, eps=m.eps, step=kappa)
    right = 0.5 * attention.residual_step(m.Z, m.U, eps=m.eps)
    return equal(left, right, size=m.n + m.d, scale=norm(m.Z) + norm(right))


@claim(
    "compression.derived-step-descends",
    title="The derived MSSA step compresses if the softmax times its prefactor is a contraction",
    statement=r"R^c\big((1-\kappa\beta)Z+\kappa\beta\,\mathrm{MSSA}(Z)\big)\le R^c(Z),\quad"
    r"0<\kappa\beta\le1,\ \beta\max_k\|S_k\|_2<1",
    source=f"{N23}, eq. 10-12 and approximation 4, which states no condition on eps or on the scale",
    relation="<=",
    hypotheses="orthogonal subspaces, eps from 0.01 to 10, token scales from 0.01 to 100, kappa beta <= 1",
    expect=HOLDS_UNDER,
    twin="Z + kappa beta MSSA(Z), without the shrinking of Z",
    proof=("attention-step-compresses",),
    witness=ONE_TOKEN | {"p": 2, "d": 2, "kappa beta": 1.0},
)
def derived_step_descends(case: Case) -> Outcome:
    """True under the condition: head k becomes ((1 − κβ) I + κβ² S_k) Y_k, whose norm is below that of Y_k
    when β‖S_k‖₂ < 1. As ‖S_k‖₂ ≥ 1 this asks for n ε² > p, ε above 0.57 at n = 197 and p = 64. Outside, the
    common component of the tokens, which the softmax keeps, is multiplied by 1 − κβ + κβ² > 1.
    """
    m = case.mixture(**{**ORTHOGONAL, "n": (1, 16)})
    beta = _beta(m)
    theta = case.uniform("kappa beta", 0.05, 1.0)
    S = softmax(heads(m.Z, m.U))
    spread = beta * float(np.linalg.norm(S, 2, axis=(1, 2)).max())
    case.condition("beta max |S_k|_2", spread, 1, along="eps")
    after = attention.derived_step(m.Z, m.U, eps=m.eps, step=theta / beta)
    after = case.wrong(after, after + theta * m.Z)
    x, factor = spectra(m.Z, m.U, m.eps), 1 - theta + theta * spread
    promised = float(np.sum(x * abs(1 - factor**2) / (1 + x))) / 2
    assume_visible(case, promised, m.Z, after, norm(_gradient(m)))
    return decided(_change(m, after))


@claim(
    "compression.derived-step-first-order",
    title="To first order the derived step compresses exactly when its softmax weighs less than its skip",
    statement=r"\frac{d}{d\kappa}R^c\big((1-\kappa\beta)Z+\kappa\beta\,\mathrm{MSSA}(Z)\big)\Big|_{\kappa=0}\le0"
    r"\iff\beta\sum_k\mathrm{tr}(G_kS_k)\le\sum_k\mathrm{tr}\,G_k,"
    r"\quad G_k=Y_k^\top(I+\beta Y_kY_k^\top)^{-1}Y_k",
    source=f"the slope of {N23}, eq. 10-12",
    relation="=",
    hypotheses="orthogonal subspaces that span the space; tried with kappa the slope over L_c |step|^2, so short that "
    "the curvature cannot turn the sign, and where that change exceeds rounding",
    expect=HOLDS,
    twin="S_k without its weight beta",
    proof=("gradient-of-the-compression-rate", "slope-of-the-attention-step"),
    derivations=("attention-step-descends-to-first-order",),
    uses=("compression.residual-slope", "curvature.subspace-rate"),
)
def derived_step_first_order(case: Case) -> Outcome:
    """True: the slope is −β² Σ_k [tr G_k − β tr(G_kS_k)]. The Hessian lies between −L_c/8 and L_c, so at this
    κ it takes away half of a fall at most and a sixteenth of a rise. Both directions are decided: the step falls
    where the right side says so, and rises where it does not.
    """
    m = case.mixture(**{**ORTHOGONAL, "d": 1}, scale=(1e-2, 1e1), eps=(0.05, 10.0))
    beta, (kept, attended) = _beta(m), _slopes(m)
    lighter = case.wrong(beta, 1.0) * attended <= kept
    mixed = attention.mssa(m.Z, m.U, eps=m.eps)
    move, gradient = beta * (mixed - m.Z), _gradient(m)
    slope = abs(inner(gradient, move))
    # Where MSSA(Z) is Z, as for one token at beta = 1, the move is rounding and its sign says nothing.
    assume_visible(case, slope / beta, m.Z, mixed, norm(gradient))
    kappa = slope / (curvature.subspace_rate(m.U, m.n, eps=m.eps) * norm(move) ** 2)
    after = m.Z + kappa * move
    assume_visible(case, kappa * slope / 2, m.Z, after, norm(gradient))
    return decided(_change(m, after), "<=" if lighter else ">", attended=attended, kept=kept)


@claim(
    "compression.residual-slope",
    title="The slope of R^c along the attention",
    statement=r"\langle\nabla R^c(Z),\sum_kU_k\mathrm{SSA}(Z|U_k)\rangle"
    r"=\beta\sum_k\mathrm{tr}(G_kS_k),\quad G_k=Y_k^\top(I+\beta Y_kY_k^\top)^{-1}Y_k",
    source=f"{N23}, eq. 9 and 12",
    relation="=",
    hypotheses="orthogonal subspaces",
    expect=HOLDS,
    twin="overlapping subspaces, between which cross terms appear",
    proof=("slope-along-attention",),
    instances=100,
    uses=("rates.gradient-subspace",),
    figure=figures.attention_slope,
)
def residual_slope(case: Case) -> Outcome:
    """True for orthogonal subspaces; cross terms Y_jᵀ… U_jᵀU_k appear between others. Rounding is told by what
    it can move: the gradient, β-Lipschitz, with the tokens; the attention with its scores.
    """
    coherence = case.wrong("orthogonal", "random")
    m = case.mixture(**{**SMALL, "coherence": (coherence,)}, scale=(0.1, 10.0), eps=(0.1, 10.0))
    gradient = subspace_coding_rate_and_gradient(m.Z, m.U, eps=m.eps, method="svd")[1]
    attended, Y = attention.mssa(m.Z, m.U), heads(m.Z, m.U)
    score = 1 + float(np.max(np.sum(to_numpy(Y) ** 2, axis=-1)))
    return equal(
        inner(gradient, attended),
        _beta(m) * _slopes(m)[1],
        size=m.n + m.d,
        scale=(_beta(m) * norm(Y) * norm(attended) + norm(gradient) * norm(attended) * score) * coarseness(m.Z),
    )


@claim(
    "compression.residual-step-descends",
    title="Z + MSSA(Z), the first half of every CRATE layer, compresses",
    statement=r"R^c\big(Z+\mathrm{MSSA}(Z|U_{[K]})\big)\le R^c(Z)",
    source=f"{N23}, eq. 18 with eq. 12, and its code with the theoretical output matrix [U_1 ... U_K]",
    relation="<=",
    hypotheses="orthogonal subspaces; MSSA of the paper, without prefactor (CRATE-C), or the code's p^-1/2",
    expect=REFUTED,
    twin="heads of dimension p = 1, where it never falls: R^c(Z + MSSA(Z)) >= R^c(Z)",
    uses=("compression.residual-slope",),
    instances=150,
    witness=ONE_TOKEN | {"form": "paper"},
)
def residual_step_descends(case: Case) -> Outcome:
    """False, and nearly always the other way round (Hu, Zou and Xu 2024): the softmax is a weighted mean
    that leans to similar tokens, and adding it lengthens the tokens along the directions they share. For
    one token the step is a multiplication by 1 + β. For p = 1 the slope is Σ y_i y_j S_ij ≥ (Σ y)²/n, so Rᶜ
    rises for all tokens.
    """
    m = case.mixture(**{**ORTHOGONAL, "p": case.wrong((1, 3), 1)}, scale=(0.1, 10.0), eps=(0.1, 10.0))
    xp, form = array_namespace(m.Z), case.choice("form", ("paper", "conceptual", "official"))
    if form == "official":
        output = xp.reshape(xp.permute_dims(m.U, (1, 0, 2)), (m.d, m.K * m.p))
        after = m.Z + attention.mssa_official(m.Z, m.U, output=output)
    else:
        after = attention.residual_step(m.Z, m.U, eps=m.eps if form == "paper" else None)
    gradient = _gradient(m)
    assume_visible(case, abs(inner(gradient, after - m.Z)), m.Z, after, norm(gradient))
    return decided(_change(m, after), case.wrong("<=", ">="))


@claim(
    "compression.residual-step-ascends",
    title="Adding attention never compresses",
    statement=r"R^c\Big(Z+\eta\sum_kU_k\mathrm{SSA}(Z|U_k)\Big)\ge R^c(Z),\quad\eta>0",
    source=f"asked here of all tokens: {HU}, whose experiment finds it in every layer",
    relation="monotone",
    hypotheses="orthogonal subspaces, eta from 0.001 to 1; tokens of a mixture, or many equal tokens and one far one",
    expect=REFUTED,
    twin="heads of dimension p = 1, for which it is true",
    uses=("compression.residual-slope", "compression.residual-step-descends"),
    instances=150,
    witness={"tokens": "far", "copies": 30, "scale": 100.0, "eps": 1.0, "eta": 0.01},
)
def residual_step_ascends(case: Case) -> Outcome:
    """Rarely false, but false: no random mixture tried refutes it, and it is true for p = 1. For small η it asks
    for Σ tr(G_kS_k) ≥ 0, by compression.residual-slope. The counterexample has many equal tokens (0.02, 0.01) that
    attend to one far token, for which they have a positive inner product in the metric of the softmax and a
    negative one in the metric (I + βYᵀY)⁻¹ of the gradient; 18 tokens in the plane are enough.
    """
    kind = case.choice("tokens", ("mixture", "far"))
    if kind == "mixture" or case.twin:
        m = case.mixture(**{**ORTHOGONAL, "p": case.wrong((1, 3), 1)}, scale=(0.1, 10.0), eps=(0.1, 10.0))
    else:
        copies, scale = case.integer("copies", 1, 40), case.log_uniform("scale", 1.0, 100.0)
        near, apart = np.array([0.02, 0.01]), np.array([1.0, 0.0])
        Z = scale * np.stack([apart, *[near] * copies, 1.5 * apart - copies / 2 * near])
        eps, n = case.log_uniform("eps", 0.1, 10.0), copies + 2
        m = Instance(case.asarray(Z), case.asarray(np.eye(2)[None]), None, eps, n, 2, 1, 2)
    after = attention.residual_step(m.Z, m.U, step=case.log_uniform("eta", 1e-3, 1.0))
    gradient = _gradient(m)
    assume_visible(case, abs(inner(gradient, after - m.Z)), m.Z, after, norm(gradient))
    return decided(_change(m, after), ">=")


@claim(
    "compression.one-token-is-left-alone",
    title="One token at eps = sqrt(p) is not denoised but left as it is",
    statement=r"(1-\kappa\beta)z+\kappa\beta\,\mathrm{MSSA}(z)=z,\qquad n=1,\ \varepsilon=\sqrt p",
    source=f"{N23}, section 2.3, which finds the denoiser of eq. 6 in this case",
    relation="=",
    hypotheses="one token, orthogonal subspaces that span the space, any kappa",
    expect=HOLDS,
    twin="eps = 2 sqrt(p)",
    proof=("attention-step-on-equal-tokens",),
    instances=50,
)
def one_token_is_left_alone(case: Case) -> Outcome:
    """True: the softmax of one score is 1 and β is 1, so MSSA(z) = Σ U_kU_kᵀ z = z. What distinguishes the
    denoiser, a weight for each subspace, is gone with the softmax over subspaces; the exact step does
    shrink the token.
    """
    given = {**ORTHOGONAL, "n": 1, "d": 1, "p": case.integer("dimension", 1, 3)}
    m = case.mixture(**{**given, "eps": case.wrong(1.0, 2.0) * math.sqrt(given["p"])})
    kappa = case.uniform("kappa", 0.1, 2.0)
    after = attention.derived_step(m.Z, m.U, eps=m.eps, step=kappa)
    return equal(after, m.Z, size=m.d, scale=(1 + kappa) * norm(m.Z))


@claim(
    "compression.minus-attention-descends",
    title="Z - eta MSSA(Z) compresses for steps that are short enough",
    statement=r"R^c(Z-\eta M)\le R^c(Z),\quad0<\eta<\frac{2\,\langle\nabla R^c,M\rangle}{L_c\|M\|^2},"
    r"\quad M=\sum_kU_k\mathrm{SSA}(Z|U_k)",
    source=f"{HU}, CRATE-N",
    relation="<=",
    hypotheses="orthogonal subspaces; tokens with a positive slope, else the bound is 0",
    expect=HOLDS_UNDER,
    twin="Z + eta MSSA(Z)",
    proof=("minus-attention-descends",),
    uses=("compression.residual-slope",),
    witness=ONE_TOKEN | {"eta": 8.0},
    figure=figures.attention_slope,
)
def minus_attention_descends(case: Case) -> Outcome:
    """True by the Hessian bound L_c. The minus sign repairs the direction but fixes no step size: one token
    is multiplied by 1 − η, and grows once η > 2, as β in the paper's MSSA easily is.
    """
    m = case.mixture(**ORTHOGONAL, scale=(0.1, 10.0), eps=(0.1, 10.0))
    eta = case.log_uniform("eta", 1e-3, 1e2)
    attended, gradient = attention.mssa(m.Z, m.U), _gradient(m)
    slope = inner(gradient, attended)
    bend = eta * curvature.subspace_rate(m.U, m.n, eps=m.eps) * norm(attended) ** 2
    case.condition("eta L_c |M|^2 / slope", bend / slope if slope > 0 else math.inf, 2, along="eta")
    after = attention.residual_step(m.Z, m.U, step=case.wrong(-eta, eta))
    assume_visible(case, abs(eta * (slope - bend / 2)), m.Z, after, norm(gradient))
    return decided(_change(m, after))


@claim(
    "compression.projections-sum-to-identity",
    title="The projections on incoherent subspaces add up to the identity",
    statement=r"\sum_kU_kU_k^\top Z=Z\qquad\text{for incoherent }U_{[K]}",
    source=f"{N23}, approximation 4, heuristic step in eq. 61-76",
    relation="=",
    hypotheses="mutually orthogonal subspaces, tokens with noise, K p below d",
    expect=REFUTED,
    twin="tokens without noise, each in one of the subspaces, for which it is true",
    instances=50,
    witness=ONE_TOKEN | {"d": 2},
)
def projections_sum_to_identity(case: Case) -> Outcome:
    """False: incoherence is not enough. Σ U_kU_kᵀ = I asks that the subspaces be orthogonal and span the
    space; for less, the tokens must lie in the span of orthogonal subspaces, as in the twin. For
    overlapping subspaces the eigenvalues of the sum go up to K.
    """
    m = case.mixture(**ORTHOGONAL, noise=case.wrong((0.1, 1.0), 0.0))
    case.assume(m.d > m.K * m.p)
    return equal(gather(heads(m.Z, m.U), m.U), m.Z, size=m.d + m.p, scale=norm(m.Z))


@claim(
    "compression.projections-cost-nothing",
    title="For orthogonal subspaces the rate does not see what the projections drop",
    statement=r"R^c(Z-\kappa(\beta Z-\beta^2C))=R^c\Big(Z-\kappa\Big("
    r"\beta\sum_kU_kU_k^\top Z-\beta^2C\Big)\Big),\quad C=\sum_kU_kY_kY_k^\top Y_k",
    source=f"what heuristic sum_k U_k U_k^T Z = Z of {N23}, approximation 4, costs",
    relation="=",
    hypotheses="orthogonal subspaces that need not span, tokens with noise",
    expect=HOLDS,
    twin="overlapping subspaces",
    proof=("compression-rate-does-not-see-what-projections-drop",),
    instances=100,
)
def projections_cost_nothing(case: Case) -> Outcome:
    """True: Rᶜ depends on U_kᵀZ alone, and U_kᵀ Σ_j U_jU_jᵀ = U_kᵀ when the subspaces are orthogonal. The
    component outside all of them is shrunk without effect on Rᶜ, though R and the loss do see it.
    """
    coherence = case.wrong("orthogonal", "random")
    given = {**SMALL, "K": (2, 3), "coherence": (coherence,)}
    m = case.mixture(**given, noise=(0.1, 1.0), scale=(0.1, 10.0), eps=(0.1, 10.0))
    beta, theta = _beta(m), case.uniform("kappa beta", 0.1, 1.5)
    neumann = attention.neumann_step(m.Z, m.U, eps=m.eps, step=theta / beta)
    dropped = m.Z - gather(heads(m.Z, m.U), m.U)
    rates = [subspace_coding_rate(Z, m.U, eps=m.eps, method="svd") for Z in (neumann, neumann - theta * dropped)]
    gradient = norm(subspace_coding_rate_and_gradient(neumann, m.U, eps=m.eps)[1])
    # The rates see the tokens before they are multiplied by up to 1 + x and rounded.
    moved = gradient * (norm(m.Z) + norm(neumann)) * (1 + float(spectra(m.Z, m.U, m.eps).max()))
    return equal(*rates, size=m.n + m.d, scale=float(rates[0]) + moved)


@claim(
    "compression.attention-is-a-mean",
    title="Attention never returns a token longer than the longest it sees, at any scale and number of tokens",
    statement=r"\max_i\|\mathrm{SSA}(Z\mid U_k)_i\|\le\max_j\|U_k^\top z_j\|",
    source=f"{N23}, approximation 4, where the softmax stands for the Gram matrix",
    relation="<=",
    hypotheses="any subspaces, any tokens",
    expect=HOLDS,
    twin="the Gram matrix for the softmax",
    instances=100,
    figure=figures.longest_token,
)
def attention_is_a_mean(case: Case) -> Outcome:
    """True: columns of the softmax add up to one. Those of the Gram matrix grow with the tokens' number and squared
    length, so the second term of the gradient outweighs the first once β‖Y_k‖² > 1, whereas attention weighs what it
    weighs: with the softmax the balance of the two is set by hand.
    """
    m = case.mixture(scale=(1.0, 100.0))
    Y = to_numpy(heads(m.Z, m.U))
    seen = to_numpy(attention.ssa(m.Z, m.U)) if not case.twin else Y @ Y.swapaxes(1, 2) @ Y
    returned, longest = (np.max(np.linalg.norm(a, axis=2), axis=1) for a in (seen, Y))
    scale = longest * (1 + longest**2) * coarseness(m.Z)
    return at_most(returned, longest, size=m.n + m.d, scale=scale)


@claim(
    "compression.softmax-mass",
    title="For unit tokens the softmax gives a token's own class at most e times the odds of a uniform one",
    statement=r"\sum_{i\in\text{class}(j)}S_{ij}\le\frac{e\,n_k}{e\,n_k+n-n_k},\qquad\|z_i\|=1",
    source=f"the hypotheses of {N23}, approximation 4: unit tokens in the union of orthogonal subspaces",
    relation="<=",
    hypotheses="orthogonal subspaces, tokens without noise and of norm 1, the head of each token's own class",
    expect=HOLDS,
    twin="1 in place of e: the uniform mass",
    instances=100,
    figure=figures.softmax_mass,
)
def softmax_mass(case: Case) -> Outcome:
    """True: the scores are inner products of unit vectors within the class and 0 outside, so no token of
    the class gets more than e times the weight of a token outside.
    """
    m = _unit_tokens(case, K=(2, 4), p=(1, 3), n=(1, 24), noise=0.0)
    mass, share = _own_mass(m), _own_share(m)
    factor = case.wrong(math.e, 1.0)
    most = factor * share / (factor * share + 1 - share)
    return at_most(mass, most, size=m.n, scale=coarseness(m.Z))


def _own_mass(m: Instance) -> np.ndarray:
    # For each token, the softmax mass on its own class in the head of that class.
    S, labels = softmax(heads(m.Z, m.U)), to_numpy(m.labels)
    same = labels[:, None] == labels
    return np.sum(S[labels, np.arange(m.n)] * same, axis=1)


def _own_share(m: Instance) -> np.ndarray:
    labels = to_numpy(m.labels)
    return np.mean(labels[:, None] == labels, axis=1)


@claim(
    "compression.softmax-cosine",
    title="For unit tokens the softmax points ever further from the Gram matrix that it replaces, as dimensions grow",
    statement=r"\cos\big([Y_kS_k]_k,\,[Y_kY_k^\top Y_k]_k\big)=\frac e{\sqrt{e^2+p-1+(K-1)\,p\,"
    r"\big(1+\frac{e-1}{Kp}\big)^2}},\qquad Z=[U_1\cdots U_K]\otimes\mathbf 1_m^\top",
    source=f"asked here of the heuristic step of {N23}, approximation 4: the Gram matrix replaced by its softmax",
    relation="=",
    hypotheses="unit tokens, m on every axis of each of K orthogonal subspaces that fill the space, in any position",
    expect=HOLDS,
    twin="one for e, as if the softmax were uniform",
    uses=("compression.softmax-mass",),
    instances=60,
    figure=figures.softmax_cosine,
)
def softmax_cosine(case: Case) -> Outcome:
    """True, and it meets every hypothesis of the step: unit tokens that lie in the subspaces. A token weighs itself e
    times as much as any other, and there are Kp − 1 axes to be heard: in 6 heads of 64 the cosine is 0.14. Repeating
    the tokens m times changes nothing.
    """
    K, p, m = case.integer("K", 1, 6), case.integer("p", 1, 8), case.integer("tokens on each axis", 1, 3)
    U = complete_family(case.rng(), K, p)
    Z = np.repeat(U.swapaxes(1, 2).reshape(K * p, K * p), m, axis=0)
    Z, U = case.asarray(Z), case.asarray(U)
    Y = heads(Z, U)
    xp = array_namespace(Y)
    seen, gram = attention.ssa(Z, U), xp.matmul(Y, xp.matmul(xp.matrix_transpose(Y), Y))
    cosine = xp.sum(seen * gram) / xp.linalg.vector_norm(seen) / xp.linalg.vector_norm(gram)
    e = case.wrong(math.e, 1.0)
    closed = e / math.sqrt(e**2 + p - 1 + (K - 1) * p * (1 + (e - 1) / (K * p)) ** 2)
    return equal(cosine, closed, size=len(Z) + K * p, scale=1.0)


@claim(
    "compression.softmax-derivative",
    title="When tokens move, softmax mass moves within a row, by the covariance of the scores with their change",
    statement=r"\Big\langle F,\frac{dS_k}{dt}\Big\rangle=\sum_j\operatorname{Cov}_{S_{k,j}}(F_j,E_j),\qquad"
    r"\mathbf 1^\top\frac{dS_k}{dt}=0,\qquad E=\frac{d}{dt}\,Y_k^\top Y_k",
    source=f"derived; the softmax of {N23}, eq. 11",
    relation="=",
    hypotheses="any subspaces, any tokens that move in any direction, every head, any F; to one part in 10^7",
    expect=HOLDS,
    twin="second moments for covariances",
    proof=("derivative-of-the-softmax", "derivative-of-the-softmax-is-symmetric"),
    instances=60,
)
def softmax_derivative(case: Case) -> Outcome:
    """True: the derivative is symmetric and positive semidefinite, so a token attends more to what its score grows for,
    and pays with the rest of its row. By differences of fourth order in float64.
    """
    m = case.mixture(**SMALL, scale=(0.1, 3.0))
    rng, Y = case.rng("direction"), to_numpy(heads(m.Z, m.U)).astype(np.float64)
    H, F = rng.standard_normal(Y.shape), rng.standard_normal((m.K, m.n, m.n))
    H = H / norm(H)
    E, width = H @ Y.swapaxes(1, 2), 1e-3 / (1 + norm(Y))
    E = E + E.swapaxes(1, 2)
    S = {k: softmax(Y + k * width * H) for k in (-2, -1, 0, 1, 2)}
    change = (8 * (S[1] - S[-1]) - (S[2] - S[-2])) / (12 * width)
    moments = [np.sum(S[0] * A, axis=2) for A in (F * E, F, E)]
    covariance = float(np.sum(moments[0] - case.wrong(1, 0) * moments[1] * moments[2]))
    unit = 1e-7 * norm(F) * norm(E)
    return all_of(
        at_most(abs(float(np.sum(F * change)) - covariance), unit, size=1, scale=unit),
        at_most(float(np.abs(change.sum(axis=2)).max()), unit, size=1, scale=unit),
    )


@claim(
    "compression.softmax-is-membership",
    title="The softmax indicates membership once the tokens are long enough",
    statement=r"\sum_{i\in\text{class}(j)}S_{ij}\ge0.9,\qquad\|z_j\|^2>\log(9n)",
    source=f"{N23}, approximation 4, heuristic step: the Gram matrix replaced by its softmax",
    relation="<=",
    hypotheses="orthogonal subspaces, tokens without noise, the head of each token's own class",
    expect=HOLDS_UNDER,
    twin="the mass on the other classes",
    uses=("compression.softmax-mass",),
    witness={
        "coherence": "orthogonal",
        "K": 2,
        "p": 1,
        "d": 2,
        "n": 2,
        "eps": 1.0,
        "scale": 1.0,
        "noise": 0.0,
        "seed": 0,
        "squared norm": 1.0,
    },
    figure=figures.softmax_mass,
)
def softmax_is_membership(case: Case) -> Outcome:
    """True under the condition: a token's score with itself is ‖z‖² against 0 for n − n_k others, which
    leaves 1/10 of the mass at most. Under the papers' hypothesis ‖z‖ = 1 the condition never holds, and by
    compression.softmax-mass such a mass needs a class of 77 % of the tokens. After LayerNorm ‖z‖² = d: it
    then holds, but most of the mass is on the token itself.
    """
    m = _unit_tokens(case, K=(2, 4), p=(1, 3), n=(2, 24), noise=0.0)
    labels = to_numpy(m.labels)
    case.assume(len(set(labels.tolist())) > 1)
    square = case.log_uniform("squared norm", 0.1, 100.0)
    m = Instance(m.Z * math.sqrt(square), m.U, m.labels, m.eps, m.n, m.d, m.K, m.p)
    case.condition("log(9 n) / |z|^2", math.log(9 * m.n) / square, 1, along="squared norm")
    mass = _own_mass(m)
    return at_most(0.9, case.wrong(mass, 1 - mass).min(), size=m.n, scale=square * coarseness(m.Z))


@claim(
    "compression.attention-permutes",
    title="Attention is equivariant to permutations of the tokens",
    statement=r"\mathrm{MSSA}(ZP\mid U_{[K]})=\mathrm{MSSA}(Z\mid U_{[K]})\,P,\qquad P\text{ a permutation}",
    source=f"{N23}, eq. 11-12",
    relation="=",
    hypotheses="any subspaces, any tokens",
    expect=HOLDS,
    twin="P any rotation among the tokens",
    instances=100,
)
def attention_permutes(case: Case) -> Outcome:
    """True of P that permutes, and of no other rotation: unlike the exact step, attention tells tokens
    apart.
    """
    m = case.mixture(**{**SMALL, "n": (2, 10)}, scale=(0.1, 3.0))
    rng = case.rng("permutation")
    P = np.eye(m.n)[rng.permutation(m.n)]
    P = case.asarray(case.wrong(P, np.linalg.qr(rng.standard_normal((m.n, m.n)))[0]))
    left, right = (
        attention.mssa(P @ m.Z, m.U, eps=m.eps),
        P @ attention.mssa(m.Z, m.U, eps=m.eps),
    )
    return equal(left, right, size=m.n + m.d, scale=(1 + norm(m.Z) ** 2) * _beta(m) * m.K * norm(m.Z))


@claim(
    "compression.attention-rotates",
    title="Attention is equivariant to rotations of tokens and subspaces together",
    statement=r"\mathrm{MSSA}(OZ\mid OU_{[K]})=O\,\mathrm{MSSA}(Z\mid U_{[K]}),\qquad O\in O(d)",
    source=f"{N23}, eq. 11-12, and its invariance of the rate reduction to joint rotations",
    relation="=",
    hypotheses="any subspaces: they need be neither orthogonal nor complete",
    expect=HOLDS,
    twin="only the tokens rotated",
    proof=("attention-rotates-with-tokens-and-subspaces",),
    instances=100,
    uses=("rates.joint-rotation",),
)
def attention_rotates(case: Case) -> Outcome:
    """True for every family of subspaces: U_kᵀZ, and so the softmax, do not change."""
    m = case.mixture(**{**SMALL, "d": (2, 8)}, scale=(0.1, 3.0))
    turn = case.asarray(np.linalg.qr(case.rng("rotation").standard_normal((m.d, m.d)))[0])
    U = case.wrong(array_namespace(m.U).matmul(turn, m.U), m.U)
    left = attention.mssa(m.Z @ turn.T, U, eps=m.eps)
    right = attention.mssa(m.Z, m.U, eps=m.eps) @ turn.T
    return equal(left, right, size=m.n + m.d, scale=(1 + norm(m.Z) ** 2) * _beta(m) * m.K * norm(m.Z))


# --- what the official code measures, and what the step costs -----------------------------------------------


@claim(
    "compression.normalised-measure-range",
    title="The range of the official layer-wise measure, which normalises every token in every head",
    statement=r"\frac K2\log\Big(1+\frac p{\varepsilon^2}\Big)\le R^c_{\rm code}\le\frac{Kr}{2}"
    r"\log\Big(1+\frac{p}{r\varepsilon^2}\Big),\qquad r=\min(n,p)",
    source=f"code of {N23}, CodingRate, whose eps = 0.01 is epsilon^2",
    relation="<=",
    hypotheses="orthogonal subspaces, tokens with noise, epsilon^2 = 0.01",
    expect=HOLDS,
    twin="eps = 0.01 read as epsilon",
    instances=100,
    uses=("rates.official-measure-ends",),
    figure=official_measure_by_spread,
)
def normalised_measure_range(case: Case) -> Outcome:
    """True: each head's p × p matrix has trace p/ε² and rank r at most; log(1 + x) is concave, so the rate
    is least when all tokens of a head are parallel and greatest when they are isotropic. The scale of the
    tokens is gone: a layer that only shrinks or lengthens leaves the measure as it is.
    """
    m = case.mixture(**ORTHOGONAL, noise=(0.1, 1.0))
    eps = 0.1
    value = official_measure(m.Z, m.U, eps=case.wrong(eps, eps**2))
    r = min(m.n, m.p)
    least, most = m.K / 2 * math.log1p(m.p / eps**2), m.K * r / 2 * math.log1p(m.p / (r * eps**2))
    values = np.array([least, value]), np.array([value, most])
    return at_most(*values, size=m.n + m.p, scale=most * (1 + m.p / eps**2) * coarseness(m.Z))


@dataclass(frozen=True)
class _Sized:
    """A matrix of which only the size is known, and a list of the flops spent on it and its like."""

    rows: int
    columns: int
    spent: list[float]

    def _made(self, rows: int, columns: int, flops: float) -> _Sized:
        self.spent.append(flops)
        return _Sized(rows, columns, self.spent)

    def __matmul__(self, other: _Sized) -> _Sized:
        return self._made(self.rows, other.columns, 2 * self.rows * self.columns * other.columns)

    @property
    def T(self) -> _Sized:
        return _Sized(self.columns, self.rows, self.spent)

    def gram(self) -> _Sized:
        """A Aᵀ, of which half need be computed."""
        return self._made(self.rows, self.rows, self.rows * (self.rows + 1) * self.columns)

    def cholesky(self) -> _Sized:
        return self._made(self.rows, self.rows, self.rows**3 / 3)

    def solve(self, right: _Sized) -> _Sized:
        """With the matrix of which this is the Cholesky factor."""
        return self._made(right.rows, right.columns, 2 * self.rows**2 * right.columns)


@claim(
    "compression.exact-gradient-costs-more",
    title="The exact gradient costs more than attention",
    statement=r"\mathrm{flops}\big(\nabla R^c\big)>\mathrm{flops}\big(\mathrm{MSSA}\big),"
    r"\qquad\frac np<\frac{3+\sqrt{13}}6\approx1.10",
    source=f"{N23}, section 2.3, which calls the inverse of eq. 9 expensive",
    relation="<",
    hypotheses="flops of products, Gram matrices and triangular solves; the softmax itself is free",
    expect=HOLDS_UNDER,
    twin="the factorisation of the exact gradient left out",
    uses=("compression.exact-step-is-one-linear-map",),
    witness={"K": 1, "p": 1, "n": 2},
    figure=figures.multiplications_by_tokens,
)
def exact_gradient_costs_more(case: Case) -> Outcome:
    """True for fewer than 1.10 p tokens only: by the push-through identity the gradient needs Cholesky
    factors p × p, not the n × n inverses that eq. 9 prints, and is linear in n where attention is
    quadratic. At n = 197, p = 64 it costs a third of attention per head. Counted by doing both on matrices
    that know their size alone; projection in and out are common to both.
    """
    K, p, n = case.integer("K", 1, 16), case.integer("p", 1, 256), case.integer("n", 1, 256)
    case.condition("n / p", n / p, (3 + math.sqrt(13)) / 6, along="n")
    exact, attention_ = _Sized(n, p, []), _Sized(n, p, [])
    if p < n:
        exact.T.gram().cholesky().solve(exact.T)
    else:
        exact.gram().cholesky().solve(exact)
    attention_.gram() @ attention_
    factor = case.wrong(0.0, min(n, p) ** 3 / 3)
    flops = {"exact": K * (sum(exact.spent) - factor), "attention": K * sum(attention_.spent)}
    return exactly(flops["exact"] > flops["attention"], **flops)
