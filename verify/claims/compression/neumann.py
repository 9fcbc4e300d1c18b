"""The Neumann step: the gradient to first order, and how far that reaches."""

from __future__ import annotations

import math

import numpy as np
from array_api_compat import array_namespace
from flint import fmpq, fmpq_mat

from srr import attention, coding_rate, curvature, subspace_coding_rate_and_gradient
from verify import decide
from verify.arrays import to_numpy
from verify.case import Case
from verify.claims._instances import ONE_TOKEN, norm
from verify.claims._sources import BOOK, HU, N23
from verify.claims._steps import assume_visible, coarseness, gather, heads, inner, spectra
from verify.claims.compression._mixtures import (
    ORTHOGONAL,
    SMALL,
    change,
    mixture_with_spectrum,
    rate_gradient,
    unit_tokens,
)
from verify.derivatives import rational
from verify.figures import compression as figures
from verify.ledger import HOLDS, HOLDS_UNDER, REFUTED, Outcome, claim
from verify.outcome import all_of, at_most, decided, equal, exactly


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
    xp, beta = array_namespace(m.Z), m.beta
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
    m = mixture_with_spectrum(case, **ORTHOGONAL)
    x, beta = spectra(m.Z, m.U, m.eps), m.beta
    theta = case.uniform("kappa beta", 0.1, 1.9)
    theta = case.wrong(theta, theta + 2.5)
    case.condition("lambda_max of beta Y^T Y", x.max(), 1, along="lambda_max")
    after = attention.neumann_step(m.Z, m.U, eps=m.eps, step=theta / beta)
    q = theta * (1 - x)
    promised = float(np.sum(np.abs(x * q * (2 - q)) / (1 + x))) / 2
    assume_visible(case, promised, m.Z, after, norm(rate_gradient(m)))
    return decided(change(m, after))


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
    m = mixture_with_spectrum(case, **SMALL)
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
    xp, beta = array_namespace(m.Z), m.beta
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
    gradient = rate_gradient(m)
    assume_visible(case, eta * inner(gradient, up), m.Z, after, norm(gradient))
    return decided(change(m, after), ">=")


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
    G = xp.matmul(xp.matrix_transpose(Y), Y) * m.beta
    trace, square = xp.sum(Y**2, axis=(1, 2)) * m.beta, xp.sum(G**2, axis=(1, 2))
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
    return equal(found, closed, size=m.n + m.d, scale=m.beta * m.K * norm(m.Z))


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
    m = unit_tokens(case, K=(1, 4), p=(1, 3), n=(1, 12))
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
    m = unit_tokens(case, K=(1, 4), p=(1, 3), n=(1, 12), eps=case.wrong(0.1, (2.0, 4.0)))
    theta = case.uniform("kappa beta", 0.1, 1.0)
    after = attention.neumann_step(m.Z, m.U, eps=m.eps, step=theta / m.beta)
    return decided(change(m, after))
