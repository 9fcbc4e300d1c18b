"""R, Rᶜ(Z|U) and Rᶜ(Z|Π) against one another."""

from __future__ import annotations

import math

import numpy as np
from array_api_compat import array_namespace

import srr
from verify.arrays import to_numpy
from verify.claims._instances import clusters, complete_family, memberships, rotation, sensitivity, tokens
from verify.claims._sources import BOOK, MCR2, N23
from verify.decide import rate_reduction_change
from verify.figures import rates as figures
from verify.ledger import HOLDS, HOLDS_UNDER, REFUTED, Case, Outcome, claim
from verify.outcome import all_of, at_most, decided, equal


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
