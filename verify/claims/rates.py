"""What the coding rates are: identities, invariances, gradients, bounds on one another, and rate distortion.

Tokens are columns in the statements, as in the papers, and rows in the checks: Z below is the papers' Zᵀ.
α = d/(nε²), β = p/(nε²), which the papers write γ.
"""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import numpy as np
from array_api_compat import array_namespace
from flint import arb, ctx, fmpq

import srr
from srr import streaming
from verify import derivatives
from verify.arrays import to_numpy
from verify.claims._instances import (
    bases,
    clusters,
    complete_family,
    direction,
    memberships,
    norm,
    rotation,
    sensitivity,
    tokens,
)
from verify.claims._sources import BOOK, MCR2, N23, REDUNET
from verify.claims._water_filling import rate_distortion
from verify.decide import rate_change, rate_reduction_change
from verify.figures import rates as figures
from verify.ledger import HOLDS, HOLDS_UNDER, REFUTED, Case, Outcome, claim
from verify.outcome import all_of, at_most, decided, equal, exactly

# --- identities and invariances -----------------------------------------------------------------------------


@claim(
    "rates.sylvester",
    title="The rate is the same from tokens and from features",
    statement=r"\log\det(I_n+\alpha Z^\top Z)=\log\det(I_d+\alpha ZZ^\top)",
    source=f"{N23}, eq. 7; Sylvester's determinant identity",
    relation="=",
    hypotheses="any Z",
    expect=HOLDS,
    twin="alpha with n and d exchanged",
    proof=("two-forms-of-the-coding-rate",),
    instances=100,
)
def sylvester(case: Case) -> Outcome:
    """Both determinants have the factors 1 + αs², s the singular values of Z, and ones besides.

    Both are taken by LU, on the n × n and on the d × d matrix, and compared with `srr.coding_rate`.
    """
    t = tokens(case, case.rng())
    xp, Z_T = array_namespace(t.Z), array_namespace(t.Z).matrix_transpose(t.Z)
    alpha = case.wrong(t.alpha, t.n / (t.d * t.eps**2))
    by_token = xp.linalg.slogdet(case.asarray(np.eye(t.n)) + alpha * (t.Z @ Z_T))[1] / 2
    by_feature = xp.linalg.slogdet(case.asarray(np.eye(t.d)) + alpha * (Z_T @ t.Z))[1] / 2
    rate = srr.coding_rate(t.Z, eps=t.eps, method="svd")
    scale = min(t.n, t.d) * (1 + t.alpha * norm(t.Z) ** 2)
    size = t.n + t.d
    return all_of(equal(by_token, rate, size=size, scale=scale), equal(by_feature, rate, size=size, scale=scale))


@claim(
    "rates.orthogonal-invariance",
    title="R depends on the singular values alone",
    statement=r"R(OZV)=R(Z), \qquad O\in O(d),\ V\in O(n)",
    source=f"{N23}, section 2.2; {BOOK}, exercise on the coding rate",
    relation="=",
    hypotheses="any Z, O and V orthogonal",
    expect=HOLDS,
    twin="a shear for the rotation of the tokens",
    proof=("coding-rate-sees-only-singular-values",),
    instances=100,
)
def orthogonal_invariance(case: Case) -> Outcome:
    """det(I + αVᵀZᵀOᵀOZV) = det(I + αZᵀZ). Compared at random rotations, by singular values."""
    rng = case.rng()
    t = tokens(case, rng)
    V, shear = rotation(rng, t.n), np.eye(t.n) + np.eye(t.n, k=1) + np.eye(t.n, k=1 - t.n)
    turned = case.asarray(case.wrong(V, shear)) @ t.Z @ case.asarray(rotation(rng, t.d))
    before, after = (srr.coding_rate_and_gradient(Z, eps=t.eps, method="svd") for Z in (t.Z, turned))
    return equal(after[0], before[0], size=t.n + t.d, scale=sensitivity(t.Z, before, after))


@claim(
    "rates.scale-is-precision",
    title="Scaling the tokens and the precision together changes no rate",
    statement=(
        r"R_{t\varepsilon}(tZ)=R_\varepsilon(Z),\qquad R^c_{t\varepsilon}(tZ\mid U_{[K]})"
        r"=R^c_\varepsilon(Z\mid U_{[K]})"
    ),
    source=f"{N23}, eq. 7 and 8",
    relation="=",
    hypotheses="any Z, any bases, t > 0",
    expect=HOLDS,
    twin="t^2 eps for t eps",
    proof=("coding-rate-of-scaled-tokens", "compression-rate-of-scaled-tokens"),
    instances=100,
)
def scale_is_precision(case: Case) -> Outcome:
    """Only Z/ε enters. A statement about token norms is therefore one about ε, and the other way round."""
    rng = case.rng()
    t = tokens(case, rng)
    U = bases(case, rng, t.d)
    factor = case.log_uniform("t", 0.1, 10.0)
    eps = t.eps * case.wrong(factor, factor**2)
    R, Rc = srr.coding_rate_and_gradient, srr.subspace_coding_rate_and_gradient
    before = R(t.Z, eps=t.eps, method="svd"), Rc(t.Z, U, eps=t.eps, method="svd")
    after = R(factor * t.Z, eps=eps, method="svd"), Rc(factor * t.Z, U, eps=eps, method="svd")
    scale = sensitivity(t.Z, *before)
    return all_of(*(equal(a[0], b[0], size=t.n + t.d, scale=scale) for a, b in zip(after, before, strict=True)))


@claim(
    "rates.monotone",
    title="R grows with the scale of the tokens, and falls with eps",
    statement=(
        r"R_\varepsilon(tZ)\ge R_\varepsilon(Z)\quad\text{and}"
        r"\quad R_{\varepsilon/t}(Z)\ge R_\varepsilon(Z),\qquad t\ge 1"
    ),
    source=f"{BOOK}, exercise on the coding rate",
    relation="monotone",
    hypotheses="any Z, t >= 1",
    expect=HOLDS,
    twin="t below 1",
    proof=("coding-rate-grows-with-the-tokens", "coding-rate-of-scaled-tokens"),
    uses=("rates.scale-is-precision",),
    instances=100,
)
def monotone(case: Case) -> Outcome:
    """Every factor 1 + αt²s² grows with t; by `rates.scale-is-precision` the second half is the first.

    The sign of the difference is decided by enclosure.
    """
    t = tokens(case, case.rng())
    factor = case.log_uniform("t", 1.0, 1e3)
    after = t.Z * case.wrong(factor, 1 / factor)
    return decided(rate_change(t.Z, after, eps=t.eps), ">=")


@claim(
    "rates.gram-only",
    title="R and Rc(Z|U) see the tokens only through their second moment",
    statement=r"R(ZV)=R(Z),\qquad R^c(ZV\mid U_{[K]})=R^c(Z\mid U_{[K]}),\qquad V\in O(n)",
    source=f"derived from {N23}, eq. 7 and 8",
    relation="=",
    hypotheses="any Z, any bases, V orthogonal",
    expect=HOLDS,
    twin="the same of the labelled rate Rc(Z|Pi), which sees which tokens belong together",
    proof=("coding-rate-sees-only-singular-values", "compression-rate-sees-only-the-gram-matrix"),
    uses=("rates.orthogonal-invariance",),
    instances=100,
    figure=figures.labels_see_clusters,
)
def gram_only(case: Case) -> Outcome:
    """Both are functions of ZZᵀ, and ZVVᵀZᵀ = ZZᵀ. So neither can tell clusters from a rotation that mixes them."""
    rng = case.rng()
    t = tokens(case, rng)
    U = bases(case, rng, t.d)
    Pi = case.asarray(np.eye(2)[np.arange(t.n) % 2])
    mixed = case.asarray(rotation(rng, t.n)) @ t.Z
    whole = [srr.coding_rate_and_gradient(Z, eps=t.eps, method="svd") for Z in (t.Z, mixed)]
    labelled = srr.partition_coding_rate_and_gradient
    parts = [
        case.wrong(srr.subspace_coding_rate_and_gradient, labelled)(Z, case.wrong(U, Pi), eps=t.eps, method="svd")
        for Z in (t.Z, mixed)
    ]
    return all_of(*(equal(a[0], b[0], size=t.n + t.d, scale=sensitivity(t.Z, a, b)) for a, b in (whole, parts)))


@claim(
    "rates.blocks-add-up",
    title="Second moments of blocks of tokens add up to the rates of all",
    statement=r"R(Z)=\tfrac12\log\det\Big(I+\alpha\sum_iZ_iZ_i^\top\Big),\quad"
    r"\nabla R(Z)_i=\alpha\Big(I+\alpha\sum_jZ_jZ_j^\top\Big)^{-1}Z_i,\quad Z=[Z_1,Z_2,\dots]",
    source=f"derived from {N23}, eq. 7 and 8",
    relation="=",
    hypotheses="any Z in two blocks; likewise Rc(Z|U), and Rc(Z|Pi) from the moments of its parts",
    expect=HOLDS,
    twin="half of the second moments, as from one block of two",
    uses=("rates.gram-only",),
    instances=60,
)
def blocks_add_up(case: Case) -> Outcome:
    """Of srr.streaming, by either of its methods. Sums of squares are rounded, so α|Z|² counts in the unit as well."""
    rng = case.rng()
    t = tokens(case, rng, sizes=((4, 2), (5, 3), (6, 6)), scale=(0.1, 2.0))
    U, method = bases(case, rng, t.d), case.choice("method", ("gram", "qr"))
    pieces = (t.Z[: t.n // 2, ...], t.Z[t.n // 2 :, ...])
    parts = [streaming.moments([piece], method=method) for piece in pieces]
    whole = streaming.merge(*parts)
    whole = replace(whole, matrix=case.wrong(1, 0.5) * whole.matrix)
    Pi = case.asarray(np.eye(2)[(np.arange(t.n) >= t.n // 2).astype(int)])
    of_all, of_heads = (
        streaming.gradient_factor(whole, eps=t.eps),
        streaming.subspace_gradient_factor(whole, U, eps=t.eps),
    )
    given = {"eps": t.eps, "method": "svd"}
    R, dR = srr.coding_rate_and_gradient(t.Z, **given)
    Rc, dRc = srr.subspace_coding_rate_and_gradient(t.Z, U, **given)
    parted, d_parted = srr.partition_coding_rate_and_gradient(t.Z, Pi, **given)
    scale = sensitivity(t.Z, (R, dR), (Rc, dRc), (parted, d_parted))
    scale += t.alpha * norm(t.Z) ** 2 * (1 + norm(U) ** 2)
    pairs = (
        (streaming.coding_rate(whole, eps=t.eps, report=True).value, R),
        (streaming.subspace_coding_rate(whole, U, eps=t.eps, report=True).value, Rc),
        (streaming.partition_coding_rate(parts, eps=t.eps, report=True).value, parted),
        (streaming.rate_reduction(whole, U=U, eps=t.eps), R - Rc),
        (streaming.rate_reduction(parts=parts, eps=t.eps), R - parted),
    )
    values = (equal(streamed, direct, size=t.n + t.d, scale=scale) for streamed, direct in pairs)
    slopes = (
        equal(t.Z @ factor, gradient, size=t.n + t.d, scale=scale / max(norm(t.Z), 1e-300))
        for factor, gradient in ((of_all, dR), (of_heads, dRc))
    )
    return all_of(*values, *slopes)


@claim(
    "rates.isotropic-control",
    title="The rate reduction against subspaces is that of a Gaussian with the same second moment",
    statement=r"Z'Z'^\top=ZZ^\top\ \Rightarrow\ \Delta R(Z'\mid U_{[K]})=\Delta R(Z\mid U_{[K]})",
    source=f"derived; against the reading of {N23}, figure 1 that a mixture of subspaces raises it",
    relation="=",
    hypotheses="Z a noisy mixture of orthogonal subspaces U, Z' Gaussian, whitened and coloured to the same ZZ^T",
    expect=HOLDS,
    twin="the same of the labelled rate reduction, which does tell them apart",
    proof=("rate-reduction-sees-only-the-gram-matrix",),
    uses=("rates.gram-only",),
    instances=100,
    figure=figures.labels_see_clusters,
)
def isotropic_control(case: Case) -> Outcome:
    """Immediate from `rates.gram-only`, on the data that matters: tokens near the subspaces, and tokens that are not.

    With Z = QS, S the triangular factor, the control is Q'S for a random Q' with orthonormal columns.
    """
    m = case.mixture(n=(2, 12), K=(2, 3), p=(1, 2), d=(2, 6), coherence=("orthogonal",), noise=(0.0, 0.5))
    Q, S = np.linalg.qr(to_numpy(m.Z))
    fresh = np.linalg.qr(np.random.default_rng(case.seed("control")).standard_normal(Q.shape))[0]
    control = case.asarray(fresh @ S)
    Pi = case.asarray(np.eye(m.K)[to_numpy(m.labels)])
    part = case.wrong({"U": m.U}, {"Pi": Pi})
    before, after = (srr.rate_reduction_and_gradient(Z, **part, eps=m.eps, method="svd") for Z in (m.Z, control))
    whole = srr.coding_rate_and_gradient(m.Z, eps=m.eps, method="svd")
    return equal(after[0], before[0], size=m.n + m.d, scale=sensitivity(m.Z, before, after, whole))


@claim(
    "rates.labelled-sees-clusters",
    title="At a given second moment the labelled rate reduction is largest when the classes are orthogonal",
    statement=(
        r"\Delta R(ZV\mid\Pi)\le\Delta R(Z\mid\Pi)=\tfrac12\log\det(I+\alpha"
        r" ZZ^\top)-\tfrac1{2K}\log\det(I+K\alpha ZZ^\top)"
    ),
    source="derived, from det(I+A+B) <= det(I+A) det(I+B)",
    relation="<=",
    hypotheses="K classes of equal size with mutually orthogonal supports, V orthogonal",
    expect=HOLDS,
    twin="the rotated tokens taken for the orthogonal ones",
    instances=100,
    figure=figures.labels_see_clusters,
)
def labelled_sees_clusters(case: Case) -> Outcome:
    """R(Z) is fixed by ZZᵀ, and Σ log det(I + KαZ_kZ_kᵀ) ≥ log det(I + KαZZᵀ), with equality iff Z_kᵀZ_l = 0.

    So the labels are what ΔR(Z|U) lacks. For classes of different sizes it fails: the smaller class should take
    more of the space.
    """
    rng = case.rng()
    c = clusters(case, rng, scale=(0.1, 100.0))
    mixed = case.asarray(rotation(rng, c.n)) @ c.Z
    Z, other = case.wrong((c.Z, mixed), (mixed, c.Z))
    best, reached = (srr.rate_reduction_and_gradient(X, Pi=c.Pi, eps=c.eps, method="svd") for X in (Z, other))
    whole, finer = (srr.coding_rate_and_gradient(Z, eps=c.eps / math.sqrt(k), method="svd") for k in (1, c.K))
    scale = sensitivity(Z, best, reached, whole, finer)
    size = c.n + c.K * c.p
    return all_of(
        at_most(reached[0], best[0], size=size, scale=scale),
        equal(best[0], whole[0] - finer[0] / c.K, size=size, scale=scale),
    )


@claim(
    "rates.joint-rotation",
    title="Rotating tokens and subspaces together changes nothing",
    statement=r"\Delta R(OZ\mid OU_{[K]})=\Delta R(Z\mid U_{[K]}),\qquad O\in O(d)",
    source=f"{N23}, section 2.2",
    relation="=",
    hypotheses="any Z, any bases, O orthogonal",
    expect=HOLDS,
    twin="the tokens rotated alone",
    proof=("joint-rotation-and-the-rate-reduction",),
    instances=100,
)
def joint_rotation(case: Case) -> Outcome:
    """(OU_k)ᵀOZ = U_kᵀZ. The reason given for the sparsity term: without it no axes are preferred."""
    rng = case.rng()
    t = tokens(case, rng)
    U, O_T = bases(case, rng, t.d), case.asarray(rotation(rng, t.d))
    xp = array_namespace(U)
    turned_U = case.wrong(xp.matmul(xp.matrix_transpose(O_T), U), U)
    before = srr.rate_reduction_and_gradient(t.Z, U=U, eps=t.eps, method="svd")
    after = srr.rate_reduction_and_gradient(t.Z @ O_T, U=turned_U, eps=t.eps, method="svd")
    whole = srr.coding_rate_and_gradient(t.Z, eps=t.eps, method="svd")
    parts = srr.subspace_coding_rate_and_gradient(t.Z, U, eps=t.eps, method="svd")
    return equal(after[0], before[0], size=t.n + t.d, scale=sensitivity(t.Z, before, after, whole, parts))


# --- gradients ----------------------------------------------------------------------------------------------


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
    bound = m.p / (m.n * m.eps**2) * norm(m.Z)
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


# --- R and rate distortion ----------------------------------------------------------------------------------


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


# --- R, Rc(Z|U) and Rc(Z|Pi) against one another ------------------------------------------------------------


@claim(
    "rates.compression-bounds-rate",
    title="Rc(Z|U) is an upper bound of the coding rate, with the constants as stated",
    statement=r"R(Z)\le R^c(Z\mid U_{[K]})",
    source=f"{N23}, text before eq. 8",
    relation="<=",
    hypotheses="complete orthonormal family: the bases are orthogonal to one another and span the space",
    expect=REFUTED,
    twin="d for p in the constant of Rc",
    derivations=("compression-rate-at-least-that-of-the-whole",),
    instances=100,
    witness={"seed": 0, "K, p": (2, 1), "n, d": (1, 2), "eps": 1.0, "scale": 1.0, "rank": "full"},
)
def compression_bounds_rate(case: Case) -> Outcome:
    """False: with p for d each head is coded at √K times coarser precision. A lone token in one of two lines has
    R = ½ log(1 + 2z²/ε²) and Rc = ½ log(1 + z²/ε²); on clustered data R exceeds Rc always. With one constant
    it is Fischer's inequality (`rates.compression-bounds-rate-common`).
    """
    rng = case.rng()
    K, p = case.choice("K, p", ((1, 1), (2, 1), (2, 2), (3, 1)))
    t = tokens(case, rng, sizes=((1, K * p), (3, K * p)))
    U = case.asarray(complete_family(rng, K, p))
    if not case.twin:
        return decided(rate_reduction_change(0 * t.Z, t.Z, U, eps=t.eps), "<=")
    whole = srr.coding_rate_and_gradient(t.Z, eps=t.eps, method="svd")
    parts = srr.subspace_coding_rate_and_gradient(t.Z, U, eps=t.eps / math.sqrt(K), method="svd")
    return at_most(whole[0], parts[0], size=t.n + t.d, scale=sensitivity(t.Z, whole, parts))


@claim(
    "rates.compression-bounds-rate-common",
    title="Rc(Z|U) is an upper bound of the coding rate, with one constant in both",
    statement=r"\tfrac12\log\det(I+\alpha ZZ^\top)\le\tfrac12\sum_k\log\det(I+\alpha\,U_k^\top ZZ^\top U_k)",
    source=f"{N23}, text before eq. 8, amended",
    relation="<=",
    hypotheses="orthonormal bases, however they overlap",
    expect=HOLDS_UNDER,
    twin="p for d in the constant of Rc, as printed",
    derivations=("compression-rate-at-least-that-of-the-whole",),
    uses=("rates.sylvester", "rates.orthogonal-invariance"),
    instances=150,
    witness={
        "seed": 0,
        "K, p": (1, 1),
        "family": "random",
        "n, d": (1, 2),
        "eps": 1.0,
        "scale": 1.0,
        "rank": "full",
        "along": "any direction",
    },
)
def compression_bounds_rate_common(case: Case) -> Outcome:
    """By det(I+A+B) ≤ det(I+A) det(I+B) the right side is at least ½ log det(I + αZᵀFZ), F = Σ U_kU_kᵀ, and that is
    at least R when F ⪰ I: when the bases span the space as tightly as a complete orthonormal family does. Spanning
    alone is not enough, and what is not spanned is not counted at all.
    """
    rng = case.rng()
    K, p = case.choice("K, p", ((1, 1), (2, 1), (2, 2), (3, 1)))
    if case.choice("family", ("complete", "random")) == "complete":
        t = tokens(case, rng, sizes=((1, K * p), (3, K * p)), scale=(0.01, 100.0))
        U = complete_family(rng, K, p)
    else:
        t = tokens(case, rng, sizes=((1, 2 * p), (3, 2 * p), (1, p), (3, p)), scale=(0.01, 100.0))
        U = np.linalg.qr(rng.standard_normal((K, t.d, p)))[0]
    tightness, axes = np.linalg.eigh(np.sum(U @ U.swapaxes(1, 2), axis=0))
    case.condition("1 - lambda_min(sum_k U_k U_k^T)", 1 - float(tightness[0]), 1e-9)
    along = case.choice("along", ("any direction", "the weakest"))
    Z = t.Z if along == "any direction" else t.Z[:, :1] * case.asarray(axes[:, 0])
    eps = t.eps * case.wrong(math.sqrt(p / t.d), 1.0)
    whole = srr.coding_rate_and_gradient(Z, eps=t.eps, method="svd")
    parts = srr.subspace_coding_rate_and_gradient(Z, case.asarray(U), eps=eps, method="svd")
    return at_most(whole[0], parts[0], size=t.n + t.d, scale=sensitivity(Z, whole, parts))


@claim(
    "rates.compression-bounds-labelled",
    title="Rc(Z|U) is an upper bound of the labelled rate of perfectly clustered data",
    statement=(
        r"R^c(Z\mid\Pi)\le R^c(Z\mid U_{[K]})\quad\text{if}\quad\tfrac p{n_k\varepsilon^2}s^2\ge K^2"
        r"\ \text{for every singular value }s>0\text{ of every }Z_k"
    ),
    source=f"{N23}, text before eq. 8; threshold derived",
    relation="<=",
    hypotheses="K >= 2 classes of equal size, each in its own subspace of a complete orthonormal family",
    expect=HOLDS_UNDER,
    twin="the bound the other way round",
    instances=200,
    witness={"seed": 0, "K, p, m": (2, 1, 1), "eps": 1.0, "scale": 1.0},
)
def compression_bounds_labelled(case: Case) -> Outcome:
    """A direction of signal-to-noise y = p s²/(n_kε²) costs ½ log(1 + y/K) in Rc(Z|U) and (1/2K) log(1 + Ky) in
    Rc(Z|Π). Their difference falls to y = 1, rises after, and is not negative at y = K², where (1+K)^K ≥ 1 + K³ (an
    equality for K = 2). So at high signal-to-noise it is a bound, and for y ≤ 1 the labelled rate is the larger.
    """
    c = clusters(case, case.rng(), scale=(0.1, 1000.0))
    s = np.linalg.svd(to_numpy(c.Z).reshape(c.K, c.n // c.K, -1), compute_uv=False)[:, : min(c.p, c.n // c.K)]
    weakest = c.p * c.K / (c.n * c.eps**2) * float(np.min(s)) ** 2
    case.condition("K^2 / least signal-to-noise", c.K**2 / weakest, 1.0, along="scale")
    labelled = srr.partition_coding_rate_and_gradient(c.Z, c.Pi, eps=c.eps, method="svd")
    parts = srr.subspace_coding_rate_and_gradient(c.Z, c.U, eps=c.eps, method="svd")
    low, high = case.wrong((labelled, parts), (parts, labelled))
    return at_most(low[0], high[0], size=c.n + c.K * c.p, scale=sensitivity(c.Z, low, high))


@claim(
    "rates.generalises-labelled",
    title="Rc(Z|U) generalises the labelled rate, the projections acting as memberships",
    statement=r"R^c(Z\mid U_{[K]})=R^c(Z\mid\Pi)\quad\text{when class }k\text{ lies in the }k\text{-th subspace}",
    source=f"{BOOK}, on the sparse rate reduction",
    relation="=",
    hypotheses="K >= 2 classes of equal size, each in its own subspace of a complete orthonormal family",
    expect=REFUTED,
    twin="Rc(Z|U) with d for p in its constant against R(Z)",
    uses=("rates.compression-bounds-labelled",),
    instances=100,
    witness={"seed": 0, "K, p, m": (2, 1, 1), "eps": 1.0, "scale": 1.0},
)
def generalises_labelled(case: Case) -> Outcome:
    """Not even where it should be clearest: Rc(Z|U) has neither the class weights n_k/n nor the class sizes in its
    constant. What it does equal on such data, with d for p, is R(Z) itself: the reduction is then zero.
    """
    c = clusters(case, case.rng())
    eps = c.eps * case.wrong(1.0, 1 / math.sqrt(c.K))
    parts = srr.subspace_coding_rate_and_gradient(c.Z, c.U, eps=eps, method="svd")
    labelled = srr.partition_coding_rate_and_gradient(c.Z, c.Pi, eps=c.eps, method="svd")
    other = case.wrong(labelled, srr.coding_rate_and_gradient(c.Z, eps=c.eps, method="svd"))
    scale = sensitivity(c.Z, parts, other)
    return equal(
        parts[0],
        other[0],
        size=c.n + c.K * c.p,
        scale=scale,
        subspaces=float(parts[0]),
        labelled=float(labelled[0]),
    )


@claim(
    "rates.partition-below",
    title="The labelled rate reduction is never negative",
    statement=r"R^c(Z\mid\Pi)\le R(Z)",
    source=f"{MCR2}, lemma on bounds of the rate",
    relation="<=",
    hypotheses="any Z, hard or soft memberships",
    expect=HOLDS,
    twin="the parts coded twice as finely",
    proof=("partition-rate-at-most-coding-rate",),
    uses=("rates.sampling",),
    instances=100,
    figure=figures.angle_between_two_classes,
)
def partition_below(case: Case) -> Outcome:
    """Jensen: the second moments of the parts, weighted by n_k/n, average to that of the whole."""
    rng = case.rng()
    t = tokens(case, rng)
    Pi = memberships(case, rng, t.n)
    whole = srr.coding_rate_and_gradient(t.Z, eps=t.eps, method="svd")
    eps = t.eps * case.wrong(1, 0.5)
    parts = srr.partition_coding_rate_and_gradient(t.Z, Pi, eps=eps, method="svd")
    return at_most(parts[0], whole[0], size=t.n + t.d, scale=sensitivity(t.Z, whole, parts))


@claim(
    "rates.sandwich",
    title="The rate of the whole is at most the sum of the rates of its parts",
    statement=r"R(Z)\le\tfrac12\sum_k\log\det(I+\alpha Z_kZ_k^\top),\qquad\text{equality if }Z_k^\top Z_l=0\ (k\ne l)",
    source=f"{MCR2}, lemma on bounds of the rate",
    relation="tight",
    hypotheses="any split of the tokens in two",
    expect=HOLDS,
    twin="the average of the parts, not their sum",
    proof=("coding-rate-at-most-sum-over-classes", "coding-rate-of-orthogonal-classes"),
    derivations=("coding-rate-at-most-sum-over-all-classes", "coding-rate-of-classes-in-orthogonal-subspaces"),
    uses=("rates.partition-below",),
    instances=100,
    figure=figures.angle_between_two_classes,
)
def sandwich(case: Case) -> Outcome:
    """Fischer's inequality for I + αZᵀZ, whose diagonal blocks belong to the parts. The equality is checked on
    classes in orthogonal subspaces.
    """
    rng = case.rng()
    t = tokens(case, rng)
    Pi = memberships(case, rng, t.n, K=(2,))
    Pi = case.asarray(np.eye(Pi.shape[1])[np.argmax(to_numpy(Pi), axis=1)])
    c = np.repeat(complete_family(rng, 2, 2), 3, axis=0)
    orthogonal = case.asarray((rng.standard_normal((6, 1, 2)) @ c.swapaxes(1, 2))[:, 0])
    halves = case.asarray(np.repeat(np.eye(2), 3, axis=0))

    def both(Z, Pi, relation):  # type: ignore[no-untyped-def]
        xp, K = array_namespace(Z), Pi.shape[1]
        masked = xp.matrix_transpose(Pi)[:, :, None] * Z[None, ...]
        whole = srr.coding_rate_and_gradient(Z, eps=t.eps, method="svd")
        total = xp.sum(srr.coding_rate(masked, eps=t.eps, method="svd")) / case.wrong(1, K)
        return relation(whole[0], total, size=sum(Z.shape), scale=K * sensitivity(Z, whole))

    return all_of(both(t.Z, Pi, at_most), both(orthogonal, halves, equal))


@claim(
    "rates.official-measure-ends",
    title="The official layer-wise measure of Rc tells how isotropic the heads are",
    statement=(
        r"\sum_kR(Y_k)=\tfrac K2\log\big(1+\tfrac p{\varepsilon^2}\big)\text{ for parallel tokens},\quad"
        r"\tfrac{Kp}2\log\big(1+\tfrac1{\varepsilon^2}\big)\text{ for isotropic tokens},\qquad\|y_{k,i}\|=1"
    ),
    source=f"code of {N23}, vis_utils/coding_rate.py, which normalises every projected token",
    relation="tight",
    hypotheses="K heads of n unit-norm tokens of dimension p, n a multiple of p",
    expect=HOLDS,
    twin="half of n for n in the constant",
    proof=("coding-rates-of-parallel-heads", "coding-rates-of-isotropic-heads"),
    uses=("rates.maximal",),
    instances=60,
    figure=figures.official_measure_by_spread,
)
def official_measure_ends(case: Case) -> Outcome:
    """The ends of the range in `compression.normalised-measure-range`: the eigenvalues of YYᵀ sum to n, and are one for
    parallel tokens, p equal ones for isotropic tokens. The published curves show nothing else, whatever the scale.
    """
    rng = case.rng()
    K, p, m = case.choice("K, p, m", ((1, 1, 1), (2, 1, 2), (2, 2, 1), (2, 2, 2), (3, 4, 1)))
    eps = case.log_uniform("eps", 0.1, 10.0)
    line = rng.standard_normal((K, 1, p))
    parallel = np.ones((K, m * p, 1)) * line / np.linalg.norm(line, axis=-1, keepdims=True)
    isotropic = np.tile(rotation(rng, p), (K, m, 1))
    low, high = K / 2 * math.log1p(p / eps**2), K * p / 2 * math.log1p(1 / eps**2)
    outcomes = []
    for Y, end in ((case.asarray(parallel), low), (case.asarray(isotropic), high)):
        values, gradients = srr.coding_rate_and_gradient(Y, eps=eps * case.wrong(1, 2**-0.5), method="svd")
        total = array_namespace(Y).sum(values)
        outcomes.append(equal(total, end, size=(m + 1) * p, scale=sensitivity(Y, (total, gradients)) + high))
    return all_of(*outcomes)
