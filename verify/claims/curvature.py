"""How curved the rates are, and what gradient steps follow.

Tokens are columns in the statements, as in the papers, and rows in the checks. α = d/(nε²), β = p/(nε²), which the
papers write γ. Second derivatives along a direction are exact: `verify.derivatives`.
"""

from __future__ import annotations

import math
from fractions import Fraction
from typing import Any

import numpy as np
from array_api_compat import array_namespace

import srr
from verify import derivatives
from verify.arrays import to_numpy
from verify.claims._instances import (
    SIZES,
    Tokens,
    bases,
    complete_family,
    direction,
    memberships,
    norm,
    sensitivity,
    tokens,
)
from verify.claims._sources import N23
from verify.claims._steps import assume_visible
from verify.decide import partition_rate_change, rate_change
from verify.figures import curvature as figures
from verify.ledger import HOLDS, HOLDS_UNDER, Case, Outcome, claim
from verify.outcome import all_of, at_most, decided, equal, exactly

Array = Any

# --- the Hessian of R ---------------------------------------------------------------------------------------


@claim(
    "curvature.hessian-formula",
    title="The Hessian of R",
    statement=(
        r"\nabla^2R(Z)[\Delta]=\alpha\Delta W-\alpha^2ZW(Z^\top\Delta+\Delta^\top Z)W,"
        r"\qquad W=(I+\alpha Z^\top Z)^{-1}"
    ),
    source=f"{N23}, lemma 5",
    relation="=",
    hypotheses="any Z and direction",
    expect=HOLDS,
    twin="the transposed term forgotten",
    proof=("derivative-of-the-gradient-of-the-coding-rate",),
    uses=("rates.gradient",),
    instances=100,
    figure=figures.ends_of_the_hessian,
)
def hessian_formula(case: Case) -> Outcome:
    """The gradient differentiated once more. Its inner product with a second direction H is compared with the exact
    mixed derivative, a quarter of the difference of the second derivatives along Δ+H and Δ−H.
    """
    rng = case.rng()
    t = tokens(case, rng, eps=(0.3, 10.0), scale=(0.01, 3.0))
    D, H = direction(rng, (t.n, t.d)), direction(rng, (t.n, t.d))
    xp = array_namespace(t.Z)
    Z, delta = xp.matrix_transpose(t.Z), case.asarray(D.T)  # tokens in columns, as in the statement
    W = xp.linalg.inv(case.asarray(np.eye(t.n)) + t.alpha * (t.Z @ Z))
    inner = xp.matrix_transpose(Z) @ delta
    inner = inner + case.wrong(1, 0) * xp.matrix_transpose(inner)
    hessian = t.alpha * delta @ W - t.alpha**2 * Z @ W @ inner @ W
    both, apart = (derivatives.rate_along(t.Z, D + sign * H, eps=t.eps).second for sign in (1, -1))
    scale = t.alpha * np.linalg.norm(D) * np.linalg.norm(H) * (1 + t.alpha * norm(Z) ** 2) ** 2
    return equal(xp.sum(hessian * case.asarray(H.T)), float((both - apart) / 4), size=t.n + t.d, scale=scale)


@claim(
    "curvature.nine-quarters",
    title="The papers' bound on the Hessian of R",
    statement=r"\big|\langle\Delta,\nabla^2R(Z)[\Delta]\rangle\big|\le\tfrac94\,\alpha\,\|\Delta\|_F^2",
    source=f"{N23}, lemma 6",
    relation="<=",
    hypotheses="any Z and direction",
    expect=HOLDS,
    twin="9/10 for 9/4",
    proof=("curvature-of-the-coding-rate-from-above", "curvature-of-the-coding-rate-from-below"),
    uses=("curvature.coding-rate",),
    instances=100,
    figure=figures.ends_of_the_hessian,
)
def nine_quarters(case: Case) -> Outcome:
    """True and not sharp: the constant is 1, and 1/8 below (`curvature.coding-rate`). The second derivative is
    exact.
    """
    t, H = _rate_line(case)
    second = derivatives.rate_along(t.Z, H, eps=t.eps).second
    return exactly(abs(second) <= case.wrong(Fraction(9, 4), Fraction(9, 10)) * _alpha(t) * _square(H))


@claim(
    "curvature.coding-rate",
    title="The Hessian of R lies between -alpha/8 and alpha",
    statement=r"-\tfrac\alpha8\,I\preceq\nabla^2R(Z)\preceq\alpha\,I",
    source=f"derived; sharpens {N23}, lemma 6",
    relation="<=",
    hypotheses="any Z and direction",
    expect=HOLDS,
    twin="-alpha/10 below",
    proof=("curvature-of-the-coding-rate-from-above", "curvature-of-the-coding-rate-from-below"),
    derivations=(
        "hessian-beside-the-right-singular-vectors",
        "hessian-beside-the-left-singular-vectors",
        "least-eigenvalue-of-the-hessian",
        "largest-eigenvalue-of-the-hessian",
    ),
    instances=100,
    figure=figures.ends_of_the_hessian,
)
def coding_rate_bounds(case: Case) -> Outcome:
    """The eigenvalues are α(1 ∓ ab)/((1+a²)(1+b²)), a and b running over √α times the singular values (and zero). They
    are at most α, and (1−t)/(1+t)² is least at t = 3, where it is −1/8. The second derivative is exact, and
    `srr.curvature.coding_rate_bounds` gives these two numbers to its last digit.
    """
    t, H = _rate_line(case)
    second = derivatives.rate_along(t.Z, H, eps=t.eps).second
    alpha, unit = _alpha(t), _square(H)
    bounds = srr.curvature.coding_rate_bounds(t.n, t.d, eps=t.eps)
    ends = (-alpha / case.wrong(8, 10), alpha)
    agree = all(abs(Fraction(b) - e) <= abs(e) * Fraction(2) ** -50 for b, e in zip(bounds, ends, strict=True))
    return exactly((case.twin or agree) and ends[0] * unit <= second <= ends[1] * unit)


@claim(
    "curvature.ends-attained",
    title="Both ends of the Hessian of R are attained",
    statement=(
        r"\nabla^2R(0)=\alpha I,\qquad\lambda_{\min}\nabla^2R(Z)=-\tfrac\alpha8"
        r"\ \text{ if }Z\text{ has rank one and }\alpha s^2=3"
    ),
    source="derived",
    relation="tight",
    hypotheses="any size; Z = s u v^T",
    expect=HOLDS,
    twin="the lower end at alpha s^2 = 1",
    proof=(
        "curvature-of-the-coding-rate-at-zero",
        "lowest-curvature-of-the-coding-rate",
        "curvature-of-the-coding-rate-from-below",
    ),
    uses=("curvature.coding-rate",),
    instances=100,
    figure=figures.ends_of_the_hessian,
)
def ends_attained(case: Case) -> Outcome:
    """Along Z itself the second derivative is α(1 − αs²)/(1 + αs²)², least at αs² = 3. So the bounds are sharp, and a
    majoriser of −R needs the curvature α/8, 18 times less than 9α/4.
    """
    n, d = case.choice("n, d", SIZES)
    eps = case.log_uniform("eps", 0.1, 10.0)
    alpha = d / (n * eps**2)
    Z = np.zeros((n, d))
    Z[case.integer("token", 0, n - 1), case.integer("feature", 0, d - 1)] = math.sqrt(case.wrong(3, 1) / alpha)
    Z = case.asarray(Z)
    H = direction(case.rng(), (n, d))
    top = derivatives.rate_along(0 * Z, H, eps=eps).second / _square(H)
    bottom = derivatives.rate_along(Z, Z, eps=eps).second / _square(Z)
    size = n + d
    return all_of(
        equal(_like(Z, top), alpha, size=size, scale=alpha),
        equal(_like(Z, bottom), -alpha / 8, size=size, scale=alpha),
    )


# --- the Hessians of Rc(Z|U), Rc(Z|Pi) and the rate reduction -----------------------------------------------


@claim(
    "curvature.subspace-rate",
    title="The Hessian of Rc(Z|U) lies between -L_c/8 and L_c",
    statement=(
        r"-\tfrac{L_c}8I\preceq\nabla^2R^c(Z\mid U_{[K]})\preceq L_c\,I,"
        r"\qquad L_c=\beta\,\lambda_{\max}\Big(\sum_kU_kU_k^\top\Big)"
    ),
    source="derived",
    relation="<=",
    hypotheses="any Z and direction, any bases",
    expect=HOLDS,
    twin="beta for L_c, as if the bases never overlapped",
    proof=("curvature-of-the-compression-rate-from-above", "curvature-of-the-compression-rate-from-below"),
    uses=("curvature.coding-rate",),
    instances=100,
    figure=figures.overlapping_subspaces,
)
def subspace_rate_bounds(case: Case) -> Outcome:
    """Head k contributes between −β/8 and β times ‖U_kᵀΔ‖², by `curvature.coding-rate`, and these norms add up to
    at most λ_max‖Δ‖². The second derivative is exact.
    """
    rng = case.rng()
    t = tokens(case, rng)
    U = bases(case, rng, t.d)
    H = direction(rng, (t.n, t.d))
    lower, upper = srr.curvature.subspace_rate_bounds(U, t.n, eps=t.eps)
    if case.twin:
        lower, upper = (end / srr.curvature.overlap(U) for end in (lower, upper))
    value = _like(t.Z, derivatives.subspace_rate_along(t.Z, H, U, eps=t.eps).second / _square(H))
    return all_of(
        at_most(lower, value, size=t.d, scale=upper, lower=lower, second=float(value)),
        at_most(value, upper, size=t.d, scale=upper, upper=upper),
    )


@claim(
    "curvature.subspace-ends-attained",
    title="L_c is the Lipschitz constant of the gradient of Rc(Z|U), for all bases",
    statement=(
        r"\lambda_{\max}\nabla^2R^c(0)=L_c;\qquad\lambda_{\min}\nabla^2R^c(Z)=-\tfrac{L_c}8"
        r"\ \text{ for }Z=s\,uv^\top,\ u\in\mathrm{span}(U_1),\ \beta s^2=3,\ U^\top U=I"
    ),
    source="derived",
    relation="tight",
    hypotheses="any bases for the upper end; an orthonormal family for the lower",
    expect=HOLDS,
    twin="the lower end at beta s^2 = 1",
    derivations=("curvature-of-the-compression-rate-at-zero",),
    uses=("curvature.subspace-rate", "curvature.ends-attained"),
    instances=60,
    figure=figures.overlapping_subspaces,
)
def subspace_ends_attained(case: Case) -> Outcome:
    """At zero the second derivative along H is β Σ‖U_kᵀH‖², and equals L_c‖H‖² for the top eigenvector of Σ U_kU_kᵀ.
    So no step above 2/L_c descends from everywhere. The lower end needs one direction at βs² = 3 in every head
    that sees it, which bases that overlap unequally do not offer.
    """
    rng = case.rng()
    (n, d), eps = case.choice("n, d", ((1, 1), (1, 2), (2, 3))), case.log_uniform("eps", 0.1, 10.0)
    U = bases(case, rng, d)
    V = to_numpy(U)
    top = np.linalg.eigh(np.sum(V @ V.swapaxes(1, 2), axis=0))[1][:, -1]
    token = np.eye(n)[case.integer("token", 0, n - 1)]
    H = np.outer(token, top)
    L = srr.curvature.subspace_rate(U, n, eps=eps)
    at_zero = derivatives.subspace_rate_along(np.zeros((n, d)), H, U, eps=eps).second / _square(H)

    K, p = case.choice("family", ((1, 1), (2, 1), (2, 2)))
    family = complete_family(rng, K, p)
    beta = p / (n * eps**2)
    Z = case.asarray(math.sqrt(case.wrong(3, 1) / beta) * np.outer(token, family[0, :, 0]))
    below = derivatives.subspace_rate_along(Z, Z, case.asarray(family), eps=eps).second / _square(Z)
    return all_of(
        equal(_like(U, at_zero), L, size=d, scale=L),
        equal(_like(Z, below), -beta / 8, size=K * p, scale=beta),
    )


@claim(
    "curvature.partition-rate",
    title="The Hessian of Rc(Z|Pi) lies between -alpha/8 and alpha, whatever the memberships",
    statement=r"-\tfrac\alpha8\,I\preceq\nabla^2_ZR^c(Z\mid\Pi)\preceq\alpha\,I,\qquad\alpha=\tfrac d{n\varepsilon^2}",
    source="derived",
    relation="<=",
    hypotheses="any Z and direction, hard or soft memberships held fixed",
    expect=HOLDS,
    twin="nine tenths of alpha above",
    proof=("curvature-of-the-rate-of-all-classes-from-above", "curvature-of-the-rate-of-all-classes-from-below"),
    derivations=("curvature-of-the-partition-rate-from-above", "curvature-of-the-partition-rate-from-below"),
    uses=("curvature.coding-rate",),
    instances=100,
    figure=figures.rate_reduction_along_a_class,
)
def partition_rate_bounds(case: Case) -> Outcome:
    """Class k contributes between −α/8 and α times ‖ΔΠ_k^½‖², since (n_k/n)α_k = α, and these norms add up to ‖Δ‖². So
    neither the smallest class nor the number of classes enters. The second derivative is exact.
    """
    rng = case.rng()
    t = tokens(case, rng)
    Pi = memberships(case, rng, t.n)
    H = direction(rng, (t.n, t.d))
    second = derivatives.partition_rate_along(t.Z, H, Pi, eps=t.eps).second
    upper = _alpha(t) * _square(H)
    return exactly(-upper / 8 <= second <= case.wrong(1, Fraction(9, 10)) * upper)


@claim(
    "curvature.sample-gradient",
    title="The gradient of the labelled rate reduction at a token is at most alpha times the token",
    statement=(
        r"\|g_i\|\le\alpha\|z_i\|,\qquad g_i=\alpha(M-M_k)z_i,\quad M=(I+\alpha ZZ^\top)^{-1},"
        r"\ M_k=(I+\alpha_kZ_kZ_k^\top)^{-1}"
    ),
    source="derived; used by ReduNet's step sizes",
    relation="<=",
    hypotheses="tokens of any length, hard memberships in two classes",
    expect=HOLDS,
    twin="half of it",
    uses=("rates.gradient", "rates.gradient-partition"),
    instances=150,
    figure=figures.gradient_of_a_sample,
)
def sample_gradient(case: Case) -> Outcome:
    """M and M_k both lie between 0 and I. Tokens of very different length are tried: one is pushed hardest that is
    short in its own class and lies along the others.
    """
    rng = case.rng()
    t = tokens(case, rng, sizes=((2, 1), (3, 1), (3, 2), (5, 2)))
    lengths = case.asarray(10 ** rng.uniform(-2, 1, size=(t.n, 1)))
    Z, Pi = lengths * t.Z, case.asarray(np.eye(2)[np.arange(t.n) % 2])
    gradient = srr.rate_reduction_and_gradient(Z, Pi=Pi, eps=t.eps, method="svd")[1]
    xp = array_namespace(Z)
    pushed, allowed = (xp.linalg.vector_norm(a, axis=-1) for a in (gradient, t.alpha * Z))
    return at_most(case.wrong(1, 2) * pushed, allowed, size=t.n + t.d, scale=t.alpha * norm(Z))


@claim(
    "curvature.rate-reduction",
    title="The Hessian of the labelled rate reduction is at most 9/8 alpha in size",
    statement=r"-\tfrac98\alpha\,I\preceq\nabla^2_Z\Delta R(Z\mid\Pi)\preceq\tfrac98\alpha\,I",
    source="derived",
    relation="<=",
    hypotheses="any Z and direction, hard memberships in two classes",
    expect=HOLDS,
    twin="half of alpha",
    proof=("curvature-of-the-rate-reduction-from-above", "curvature-of-the-rate-reduction-from-below"),
    uses=("curvature.coding-rate", "curvature.partition-rate"),
    instances=100,
    figure=figures.rate_reduction_along_a_class,
)
def rate_reduction_bounds(case: Case) -> Outcome:
    """The two ranges subtracted. The upper end is approached as one class becomes rare: in one dimension, class sizes 1
    and 99 reach 1.05 α. Second derivatives are exact.
    """
    t, Pi, H = _classes(case)
    return exactly(
        abs(_reduction_along(t, Pi, H)) <= case.wrong(Fraction(9, 8), Fraction(1, 2)) * _alpha(t) * _square(H)
    )


@claim(
    "curvature.rate-reduction-below",
    title="Conjecture: the Hessian of the labelled rate reduction is at least -alpha; no counterexample found",
    statement=r"\nabla^2_Z\Delta R(Z\mid\Pi)\succeq-\alpha\,I",
    source="conjectured here, and not proved; it would make 2/alpha the safe step of ascent",
    relation="<=",
    hypotheses="any Z and direction, hard memberships in two classes",
    expect=HOLDS,
    twin="half of alpha",
    uses=("curvature.rate-reduction",),
    instances=200,
    figure=figures.rate_reduction_along_a_class,
)
def rate_reduction_below(case: Case) -> Outcome:
    """A conjecture: what is known is −9/8 α, by `curvature.rate-reduction`, and −α in one dimension. −α is approached
    when a class is absent from a direction that the others fill. Minimising the smallest eigenvalue from many starts,
    up to three classes in three dimensions, came to −0.9999998 α and never below. Second derivatives are exact, so
    each instance tried is certain; the statement about all of them is not.
    """
    t, Pi, H = _classes(case)
    return exactly(_reduction_along(t, Pi, H) >= -case.wrong(1, Fraction(1, 2)) * _alpha(t) * _square(H))


# --- steps --------------------------------------------------------------------------------------------------


@claim(
    "curvature.rate-ascent",
    title="Gradient ascent on R alone never overshoots",
    statement=r"R(Z+\eta\nabla R(Z))\ge R(Z),\qquad\eta>0",
    source="derived",
    relation="monotone",
    hypotheses="any Z, any step",
    expect=HOLDS,
    twin="descent",
    proof=("ascent-on-the-coding-rate",),
    uses=("rates.gradient", "rates.monotone"),
    instances=100,
    figure=figures.steps_along_the_rate,
)
def rate_ascent(case: Case) -> Outcome:
    """The step multiplies each singular value by 1 + ηα/(1 + αs²) > 1. Decided by enclosure."""
    t = tokens(case, case.rng())
    step = case.log_uniform("step * alpha", 1e-2, 1e4) / t.alpha
    gradient = srr.coding_rate_and_gradient(t.Z, eps=t.eps, method="svd")[1]
    after = t.Z + case.wrong(step, -step) * gradient
    promised = min(step, 1 / t.alpha) / 2 * norm(gradient) ** 2
    assume_visible(case, promised, t.Z, after, norm(srr.coding_rate_and_gradient(after, eps=t.eps)[1]))
    return decided(rate_change(t.Z, after, eps=t.eps), ">=")


@claim(
    "curvature.partition-descent",
    title="Gradient descent on Rc(Z|Pi) decreases it for steps below 2/alpha",
    statement=r"R^c\big(Z-\kappa\nabla R^c(Z\mid\Pi)\mid\Pi\big)\le R^c(Z\mid\Pi),\qquad 0<\kappa\alpha<2",
    source="derived",
    relation="monotone",
    hypotheses="any Z, hard or soft memberships held fixed",
    expect=HOLDS_UNDER,
    twin="ascent",
    proof=("descent-on-the-rate-of-all-classes",),
    uses=("curvature.partition-rate", "rates.gradient-partition"),
    instances=150,
    witness={
        "seed": 0,
        "n, d": (1, 1),
        "eps": 1.0,
        "scale": 1.0,
        "rank": "full",
        "K": 1,
        "memberships": "hard",
        "step * alpha": 3.0,
    },
    figure=figures.steps_along_the_rate,
)
def partition_descent(case: Case) -> Outcome:
    """The descent lemma with curvature α, of `curvature.partition-rate`. The step 2/α is the longest: near zero the
    gradient is αZ, and a longer step raises the rate. Decided by enclosure.
    """
    rng = case.rng()
    t = tokens(case, rng)
    Pi = memberships(case, rng, t.n)
    step = case.log_uniform("step * alpha", 0.1, 10.0)
    case.condition("step * alpha", step, 2.0, along="step * alpha")
    gradient = srr.partition_coding_rate_and_gradient(t.Z, Pi, eps=t.eps, method="svd")[1]
    after = t.Z - case.wrong(1, -1) * step / t.alpha * gradient
    promised = abs(1 - step / 2) * step / t.alpha * norm(gradient) ** 2
    slope = norm(srr.partition_coding_rate_and_gradient(after, Pi, eps=t.eps)[1])
    assume_visible(case, promised, t.Z, after, slope)
    return decided(partition_rate_change(t.Z, after, Pi, eps=t.eps))


@claim(
    "curvature.rate-reduction-ascent",
    title="Gradient ascent on the labelled rate reduction increases it for steps below 16/9 over alpha",
    statement=(
        r"\Delta R\big(Z+\eta\nabla\Delta R(Z\mid\Pi)\mid\Pi\big)\ge\Delta R(Z\mid\Pi),"
        r"\qquad 0<\eta\alpha<\tfrac{16}9"
    ),
    source="derived; the step of ReduNet without its normalisation",
    relation="monotone",
    hypotheses="any Z, hard memberships in two classes held fixed",
    expect=HOLDS_UNDER,
    twin="descent",
    proof=("ascent-on-the-rate-reduction",),
    uses=("curvature.rate-reduction",),
    instances=150,
    witness={
        "seed": 3,
        "n, d": (2, 1),
        "eps": 1.0,
        "scale": 1.0,
        "rank": "full",
        "size of the second class": 0.1,
        "size of the first class": 100.0,
        "step * alpha": 2.2,
    },
)
def rate_reduction_ascent(case: Case) -> Outcome:
    """The ascent lemma with curvature 9α/8. Steps above 2/α fail: a class almost absent from a direction that the
    others fill is pushed through zero and out again. Between 16/9 and 2 no failure has been found, as the conjecture
    `curvature.rate-reduction-below` has it.
    """
    rng = case.rng()
    t = tokens(case, rng, sizes=((2, 1), (3, 1), (3, 2), (5, 2)), scale=(0.1, 3.0))
    Pi = case.asarray(np.eye(2)[np.arange(t.n) % 2])
    faint = case.log_uniform("size of the second class", 1e-4, 1.0)
    strong = case.log_uniform("size of the first class", 1.0, 100.0)
    Z = t.Z * case.asarray(np.where(np.arange(t.n) % 2, faint, strong))[:, None]
    step = case.log_uniform("step * alpha", 0.5, 10.0)
    case.condition("step * alpha", step, 16 / 9, along="step * alpha")

    def rates(Z: Array) -> tuple[Array, Array, float]:
        whole = srr.coding_rate_and_gradient(Z, eps=t.eps, method="svd")
        parts = srr.partition_coding_rate_and_gradient(Z, Pi, eps=t.eps, method="svd")
        return whole[0] - parts[0], whole[1] - parts[1], sensitivity(Z, whole, parts)

    before, gradient, scale = rates(Z)
    after, _, other = rates(Z + case.wrong(1, -1) * step / t.alpha * gradient)
    return at_most(before, after, size=t.n + t.d, scale=scale + other)


# --- majorisers of -R ---------------------------------------------------------------------------------------


@claim(
    "curvature.majoriser-paper",
    title="The papers' quadratic majoriser of -R",
    statement=r"-R(Z)\le-R(Z_0)-\langle\nabla R(Z_0),Z-Z_0\rangle+\tfrac{9\alpha}8\|Z-Z_0\|_F^2",
    source=f"{N23}, appendix A.3, eq. 77-88",
    relation="<=",
    hypotheses="any Z and Z_0",
    expect=HOLDS,
    twin="alpha/40 for 9 alpha/8",
    proof=("minorisation-of-the-coding-rate-as-published",),
    uses=("curvature.nine-quarters",),
    instances=100,
    figure=figures.majorisers,
)
def majoriser_paper(case: Case) -> Outcome:
    """True, and 18 times too steep: `curvature.majoriser`."""
    return _majorised(case, case.wrong(9 / 8, 1 / 40))


@claim(
    "curvature.majoriser",
    title="The sharp quadratic majoriser of -R",
    statement=r"-R(Z)\le-R(Z_0)-\langle\nabla R(Z_0),Z-Z_0\rangle+\tfrac\alpha{16}\|Z-Z_0\|_F^2",
    source=f"derived; sharpens {N23}, appendix A.3",
    relation="tight",
    hypotheses="any Z and Z_0",
    expect=HOLDS,
    twin="alpha/20 for alpha/16",
    proof=("minorisation-of-the-coding-rate", "lowest-curvature-of-the-coding-rate"),
    uses=("curvature.coding-rate",),
    instances=150,
    figure=figures.majorisers,
)
def majoriser(case: Case) -> Outcome:
    """Taylor with ∇²(−R) ⪯ α/8, of `curvature.coding-rate`. No smaller constant will do, by
    `curvature.ends-attained`: near rank one at αs² = 3 moves along Z_0 itself need all of it.
    """
    return _majorised(case, case.wrong(1 / 16, 1 / 20))


def _majorised(case: Case, constant: float) -> Outcome:
    rng = case.rng()
    t = tokens(case, rng)
    if case.choice("start", ("any", "rank one")) == "any":
        start = t.Z
    else:
        s = math.sqrt(case.log_uniform("alpha s^2", 0.3, 30.0) / t.alpha)
        Z = np.outer(*(np.linalg.qr(rng.standard_normal((size, 1)))[0] for size in (t.n, t.d)))
        start = case.asarray(s * Z)
    if case.choice("move", ("any", "along the start")) == "any":
        move = norm(start) / math.sqrt(t.n * t.d) * case.asarray(rng.standard_normal((t.n, t.d)))
    else:
        move = start
    move = case.log_uniform("length", 1e-2, 1e2) * move
    before = srr.coding_rate_and_gradient(start, eps=t.eps, method="svd")
    after = srr.coding_rate_and_gradient(start + move, eps=t.eps, method="svd")
    linear = array_namespace(move).sum(before[1] * move)
    quadratic = constant * t.alpha * norm(move) ** 2
    scale = sensitivity(start, before) + sensitivity(start + move, after) + norm(before[1]) * norm(move) + quadratic
    return at_most(-after[0], quadratic - before[0] - linear, size=t.n + t.d, scale=scale)


# --- shared -------------------------------------------------------------------------------------------------


def _rate_line(case: Case) -> tuple[Tokens, np.ndarray]:
    """Tokens, and a direction: any, or along the tokens, where R is curved downwards."""
    rng = case.rng()
    t = tokens(case, rng)
    radial = case.choice("direction", ("any", "along the tokens")) == "along the tokens"
    return t, to_numpy(t.Z) if radial else direction(rng, (t.n, t.d))


def _classes(case: Case) -> tuple[Tokens, np.ndarray, np.ndarray]:
    """Tokens of two classes of different strength, their labels, and a direction."""
    rng = case.rng()
    t = tokens(case, rng, sizes=((2, 1), (3, 1), (3, 2), (5, 2)))
    labels = np.eye(2)[(np.arange(t.n) > case.integer("last of the first class", 0, t.n - 2)).astype(int)]
    strength = np.where(labels[:, :1] > 0, 10.0 ** case.integer("decades", -3, 3), 1.0)
    H = direction(rng, (t.n, t.d))
    if case.choice("direction", ("any", "one class")) == "one class":
        H = H * labels[:, :1]
    return Tokens(t.Z * case.asarray(strength), t.eps, t.n, t.d), labels, H + (1 - np.any(H))


def _reduction_along(t: Tokens, Pi: np.ndarray, H: np.ndarray) -> Fraction:
    whole = derivatives.rate_along(t.Z, H, eps=t.eps).second
    return whole - derivatives.partition_rate_along(t.Z, H, Pi, eps=t.eps).second


def _alpha(t: Tokens) -> Fraction:
    return Fraction(t.d, t.n) / Fraction(t.eps) ** 2


def _square(H: Array) -> Fraction:
    return sum((Fraction(x) ** 2 for x in to_numpy(H).ravel().tolist()), Fraction(0))


def _like(Z: Array, value: Fraction) -> Array:
    """A number in the dtype of Z, so that it is judged by the rounding that went into it."""
    xp = array_namespace(Z)
    return xp.asarray(float(value), dtype=Z.dtype)
