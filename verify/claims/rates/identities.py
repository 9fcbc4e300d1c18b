"""Identities and invariances of the rates."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
from array_api_compat import array_namespace

import srr
from srr import streaming
from verify.arrays import to_numpy
from verify.claims._instances import bases, clusters, norm, rotation, sensitivity, tokens
from verify.claims._sources import BOOK, N23
from verify.decide import rate_change
from verify.figures import rates as figures
from verify.ledger import HOLDS, Case, Outcome, claim
from verify.outcome import all_of, at_most, decided, equal


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
