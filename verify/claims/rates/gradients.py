"""Gradients of the rates, and what they are otherwise: regressions and projectors."""

from __future__ import annotations

import math

import numpy as np
from array_api_compat import array_namespace
from flint import fmpq

import srr
from verify import derivatives
from verify.arrays import to_numpy
from verify.claims._instances import bases, direction, memberships, norm, tokens
from verify.claims._sources import BOOK, N23, REDUNET
from verify.figures import rates as figures
from verify.ledger import HOLDS, REFUTED, Case, Outcome, claim
from verify.outcome import all_of, at_most, equal, exactly


@claim(
    "rates.gradient",
    title="The gradient of R",
    statement=r"\nabla R(Z)=\alpha(I_d+\alpha ZZ^\top)^{-1}Z",
    source=f"{N23}, lemma 5, eq. 78",
    relation="=",
    hypotheses="any Z",
    expect=HOLDS,
    twin="the 1/2 of R forgotten",
    proof=("gradient-of-the-coding-rate",),
    instances=100,
)
def gradient(case: Case) -> Outcome:
    """Against the exact directional derivative: det(I + α(Z+tH)(Z+tH)ᵀ) is a polynomial in t, found by interpolation
    in rational arithmetic, so that no rule of calculus enters twice.
    """
    rng = case.rng()
    t = tokens(case, rng)
    H = direction(rng, (t.n, t.d))
    slope = srr.coding_rate_and_gradient(t.Z, eps=t.eps, method="svd")[1] * case.asarray(H)
    exact = float(derivatives.rate_along(t.Z, H, eps=t.eps).first)
    xp = array_namespace(slope)
    scale = t.alpha * norm(t.Z) * np.linalg.norm(H)  # α is the gradient's Lipschitz constant
    return equal(case.wrong(1, 2) * xp.sum(slope), exact, size=t.n + t.d, scale=scale)


@claim(
    "rates.gradient-subspace",
    title="The gradient of Rc(Z|U), for orthonormal, overlapping and arbitrary bases",
    statement=(
        r"\nabla R^c(Z\mid U_{[K]})=\beta\sum_k U_kU_k^\top Z\,\big(I_n+\beta (U_k^\top Z)^\top"
        r" U_k^\top Z\big)^{-1}"
    ),
    source=f"{N23}, eq. 9",
    relation="=",
    hypotheses="any Z, any bases",
    expect=HOLDS,
    twin="d for p in the constant",
    proof=("gradient-of-the-compression-rate",),
    instances=100,
    figure=figures.length_of_the_gradient,
)
def gradient_subspace(case: Case) -> Outcome:
    """The chain rule through U_kᵀZ; against the exact directional derivative, as in `rates.gradient`."""
    rng = case.rng()
    t = tokens(case, rng)
    U = bases(case, rng, t.d)
    p = U.shape[-1]
    H = direction(rng, (t.n, t.d))
    slope = srr.subspace_coding_rate_and_gradient(t.Z, U, eps=t.eps, method="svd")[1] * case.asarray(H)
    exact = float(derivatives.subspace_rate_along(t.Z, H, U, eps=t.eps).first)
    xp = array_namespace(slope)
    scale = p / t.d * t.alpha * norm(U) ** 2 * norm(t.Z) * np.linalg.norm(H)
    return equal(case.wrong(1, t.d / p) * xp.sum(slope), exact, size=t.n + t.d, scale=scale)


@claim(
    "rates.gradient-subspace-is-bounded",
    title="The gradient of Rc(Z|U) is at most beta times the tokens",
    statement=r"\|\nabla R^c(Z\mid U_{[K]})\|_F\le\beta\,\|Z\|_F",
    source=f"derived from {N23}, eq. 9",
    relation="<=",
    hypotheses="orthonormal bases of mutually orthogonal subspaces, any Z",
    expect=HOLDS,
    twin="half of it",
    proof=("gradient-of-the-compression-rate-is-bounded",),
    uses=("rates.gradient-subspace",),
    instances=100,
    figure=figures.length_of_the_gradient,
)
def gradient_subspace_is_bounded(case: Case) -> Outcome:
    """A head turns a singular value s into βs/(1 + βs²). So a step of 1/β is never longer than the tokens are."""
    m = case.mixture(n=(1, 8), d=(1, 8), K=(1, 3), p=(1, 3), coherence=("orthogonal",))
    gradient = srr.subspace_coding_rate_and_gradient(m.Z, m.U, eps=m.eps, method="svd")[1]
    bound = m.beta * norm(m.Z)
    length = array_namespace(gradient).linalg.vector_norm(gradient)
    return at_most(length, case.wrong(1.0, 0.5) * bound, size=m.n + m.d, scale=bound)


@claim(
    "rates.gradient-partition",
    title="The gradient of Rc(Z|Pi), memberships held fixed",
    statement=(
        r"\nabla R^c(Z\mid\Pi)=\alpha\sum_k (I_d+\alpha_k Z\Pi_kZ^\top)^{-1}Z\Pi_k,"
        r"\qquad \alpha_k=\tfrac{d}{n_k\varepsilon^2}"
    ),
    source=f"{REDUNET}, the operators C_k",
    relation="=",
    hypotheses="any Z, hard or soft memberships",
    expect=HOLDS,
    twin="the weights n_k/n of the classes forgotten",
    proof=("gradient-of-the-rate-of-all-classes",),
    derivations=("gradient-of-the-partition-rate",),
    instances=100,
)
def gradient_partition(case: Case) -> Outcome:
    """(n_k/n) α_k = α for every class; against the exact directional derivative, as in `rates.gradient`."""
    rng = case.rng()
    t = tokens(case, rng)
    Pi = memberships(case, rng, t.n, K=(2,))
    H = direction(rng, (t.n, t.d))
    slope = srr.partition_coding_rate_and_gradient(t.Z, Pi, eps=t.eps, method="svd")[1] * case.asarray(H)
    exact = float(derivatives.partition_rate_along(t.Z, H, Pi, eps=t.eps).first)
    shares = to_numpy(Pi).sum(0) / t.n
    unweighted = case.asarray(to_numpy(Pi) @ np.divide(1, shares, where=shares > 0, out=np.zeros_like(shares)))
    xp = array_namespace(slope)
    total = case.wrong(xp.sum(slope), xp.sum(slope * unweighted[:, None]))
    return equal(total, exact, size=t.n + t.d, scale=t.alpha * norm(t.Z) * np.linalg.norm(H))


@claim(
    "rates.push-through",
    title="The gradient of Rc(Z|U) in the form of tokens and in the form of features",
    statement=(
        r"\sum_kU_kY_k(I_n+\beta Y_k^\top Y_k)^{-1}=\sum_kU_k(I_p+\beta Y_kY_k^\top)^{-1}Y_k,"
        r"\qquad Y_k=U_k^\top Z"
    ),
    source=f"{N23}, eq. 9; push-through identity",
    relation="=",
    hypotheses="any Z, any bases",
    expect=HOLDS,
    twin="beta forgotten inside the inverse of the second form",
    proof=("two-forms-of-the-gradient-of-the-compression-rate",),
    instances=100,
)
def push_through(case: Case) -> Outcome:
    """Y(I + βYᵀY) = (I + βYYᵀ)Y. So the exact step is one linear map for all tokens, p × p work a head and no n × n
    inverse: it mixes channels, and tokens only through the map's coefficients. Both solved densely, and compared
    with `srr`.
    """
    rng = case.rng()
    t = tokens(case, rng)
    U = bases(case, rng, t.d)
    xp, p = array_namespace(U), U.shape[-1]
    beta = p / (t.n * t.eps**2)
    Y = xp.matmul(t.Z, U)
    Y_T, U_T = xp.matrix_transpose(Y), xp.matrix_transpose(U)
    by_token = xp.linalg.solve(case.asarray(np.eye(t.n)) + beta * xp.matmul(Y, Y_T), Y)
    inner = case.wrong(beta, 1.0) * xp.matmul(Y_T, Y)
    by_feature = xp.matrix_transpose(xp.linalg.solve(case.asarray(np.eye(p)) + inner, Y_T))
    exact = srr.subspace_coding_rate_and_gradient(t.Z, U, eps=t.eps, method="svd")[1]
    scale = beta * norm(Y) * norm(U) * (1 + beta * norm(Y) ** 2)
    forms = (beta * xp.sum(xp.matmul(form, U_T), axis=0) for form in (by_token, by_feature))
    return all_of(*(equal(form, exact, size=t.n + t.d, scale=scale) for form in forms))


@claim(
    "rates.ridge-regression",
    title="A head's gradient is the residual of regressing its projected tokens on themselves",
    statement=(
        r"Y(I+\beta Y^\top Y)^{-1}=Y-YQ^\star,\qquad Q^\star=\operatorname{argmin}_Q"
        r"\ \beta\|Y-YQ\|_F^2+\|Q\|_F^2"
    ),
    source=f"{N23}, text after eq. 9",
    relation="=",
    hypotheses="any Y",
    expect=HOLDS,
    twin="the penalty doubled",
    proof=("gradient-is-a-regression-residual", "minimum-of-the-ridge-objective", "slope-of-the-ridge-objective"),
    uses=("rates.gradient",),
    instances=100,
)
def ridge_regression(case: Case) -> Outcome:
    """The minimiser is β(I + βYᵀY)⁻¹YᵀY, tried at β = α: one head that is the whole space. Found here by QR of the
    stacked least-squares problem, without that formula.
    """
    t = tokens(case, case.rng())
    xp, root = array_namespace(t.Z), math.sqrt(t.alpha)
    Y = xp.matrix_transpose(t.Z)  # tokens in columns, as in the statement
    penalty = case.asarray(case.wrong(1.0, math.sqrt(2)) * np.eye(t.n))
    Q, R = xp.linalg.qr(xp.concat([root * Y, penalty]))
    regression = xp.linalg.solve(R, xp.matrix_transpose(Q) @ xp.concat([root * Y, 0 * penalty]))
    residual = xp.matrix_transpose(Y - Y @ regression)
    slope = srr.coding_rate_and_gradient(t.Z, eps=t.eps, method="svd")[1]
    scale = t.alpha * norm(t.Z) * math.sqrt(1 + t.alpha * norm(t.Z) ** 2)
    return equal(t.alpha * residual, slope, size=t.n + t.d, scale=scale)


@claim(
    "rates.ridge-by-other-tokens",
    title="A head's gradient is what the other tokens leave unexplained of each token",
    statement=(
        r"\big[Y(I+\beta Y^\top Y)^{-1}\big]_i=y_i-\sum_{j\ne i}y_jq_j,\qquad q=\operatorname{argmin}_q"
        r"\ \beta\|y_i-\textstyle\sum_{j\ne i}y_jq_j\|^2+\|q\|^2"
    ),
    source=f"{N23}, text after eq. 9",
    relation="=",
    hypotheses="any Y",
    expect=REFUTED,
    twin="the token itself among its regressors",
    uses=("rates.ridge-regression",),
    instances=60,
    witness={"seed": 0, "n, d": (1, 1), "eps": 1.0, "scale": 1.0, "rank": "full"},
)
def ridge_by_other_tokens(case: Case) -> Outcome:
    """Each token is regressed on itself too. Without itself the residual is the gradient's divided by 1 − Q*_ii, and a
    lone token would not be shrunk at all. Each regression is solved on its own, by QR.
    """
    t = tokens(case, case.rng(), sizes=((1, 1), (2, 1), (1, 2), (3, 2)))
    Z, root = to_numpy(t.Z), math.sqrt(t.alpha)
    residuals = np.empty_like(Z)
    for i, z in enumerate(Z):
        others = Z[np.arange(t.n) != case.wrong(i, -1)].T
        count = others.shape[1]
        stacked = np.concatenate([root * others, np.eye(count)])
        Q, R = np.linalg.qr(stacked)
        residuals[i] = z - others @ np.linalg.solve(R, Q.T @ np.concatenate([root * z, np.zeros(count)]))
    slope = srr.coding_rate_and_gradient(t.Z, eps=t.eps, method="svd")[1]
    scale = t.alpha * norm(t.Z) * math.sqrt(1 + t.alpha * norm(t.Z) ** 2)
    return equal(slope, t.alpha * residuals, size=t.n + t.d, scale=scale, tokens=Z, residuals=residuals)


@claim(
    "rates.exercise-gradient",
    title="The book's exercise: the gradient of log det without the 1/2",
    statement=r"\nabla\log\det(I+\alpha ZZ^\top)=\alpha X^{-1}Z,\qquad X=I+\alpha ZZ^\top",
    source=f"{BOOK}, exercise on the gradient of the coding rate",
    relation="=",
    hypotheses="any Z",
    expect=REFUTED,
    twin="twice the printed gradient",
    uses=("rates.gradient",),
    instances=100,
    witness={"seed": 0, "n, d": (1, 1), "eps": 1.0, "scale": 1.0, "rank": "full"},
)
def exercise_gradient(case: Case) -> Outcome:
    """The printed gradient is that of ½ log det; without the ½ it is 2αX⁻¹Z. Exact directional derivatives."""
    rng = case.rng()
    t = tokens(case, rng)
    H = direction(rng, (t.n, t.d))
    slope = srr.coding_rate_and_gradient(t.Z, eps=t.eps, method="svd")[1] * case.asarray(H)
    printed = case.wrong(1, 2) * array_namespace(slope).sum(slope)
    exact = 2 * float(derivatives.rate_along(t.Z, H, eps=t.eps).first)
    scale = t.alpha * norm(t.Z) * np.linalg.norm(H)
    return equal(printed, exact, size=t.n + t.d, scale=scale, tokens=to_numpy(t.Z), printed=float(printed), exact=exact)


@claim(
    "rates.expansion-tends-to-projector",
    title="With many tokens ReduNet's expansion is the projection onto what they leave free",
    statement=r"\tfrac1\alpha E=(I+\alpha ZZ^\top)^{-1}\to I-P_{\mathrm{span}(Z)}\quad(n\to\infty)",
    source=f"{REDUNET}, text on the operators E and C_k; derivation redunet-expansion-and-the-number-of-tokens",
    relation="limit",
    hypotheses="one or two whole-numbered tokens, repeated; a hundred times as many halve the distance at least",
    expect=REFUTED,
    twin="a tenth of the precision in place of a hundred times the tokens",
    derivations=("redunet-expansion-and-the-number-of-tokens",),
    uses=("rates.gradient",),
    instances=50,
    witness={"m, d": (1, 1), "tokens": "e_1", "copies": 1, "eps": 1.0, "seed": 0},
)
def expansion_tends_to_projector(case: Case) -> Outcome:
    """False: α has n below, so E/α depends on the second moment of the tokens alone, and where all are e_1 its entry
    there is 1/(1 + d/ε²) for every n. It is ε that must tend to zero. Squared distances, in rational arithmetic.
    """
    m, d = case.choice("m, d", ((1, 1), (1, 2), (1, 3), (2, 2), (2, 3)))
    same = case.choice("tokens", ("e_1", "any")) == "e_1"
    copies, eps, rng = case.integer("copies", 1, 10), case.log_uniform("eps", 0.1, 1.0), case.rng()
    Z = derivatives.rational(np.eye(1, d) if same else direction(rng, (m, d)))
    inner = Z * Z.transpose()
    case.assume(inner.det() != 0)
    identity = derivatives.rational(np.eye(d))
    free = identity - Z.transpose() * inner.inv() * Z

    def distance(copies: int, precision: fmpq) -> fmpq:
        alpha = d / (Z.nrows() * copies * precision**2)
        expansion = (identity + Z.transpose() * Z * copies * alpha).inv()
        return sum((x**2 for x in (expansion - free).entries()), fmpq(0))

    precision = fmpq(*eps.as_integer_ratio())
    before = distance(copies, precision)
    after = case.wrong(distance(100 * copies, precision), distance(copies, precision / 10))
    return exactly(4 * after <= before, before=float(before.p) / float(before.q), after=float(after.p) / float(after.q))
