"""Segmentation by lossy coding: what the coding length of a set in parts is, when it is short, and who finds that.

L is n R with d R more for the basis, the overhead, or without it; Lˢ adds up the parts and the labels.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from flint import arb, ctx, fmpq, fmpq_mat

import srr
from srr import segmentation
from verify.arrays import to_numpy
from verify.case import Case
from verify.claims._instances import memberships, norm, rotation, sensitivity, tokens
from verify.claims._sources import BOOK, MDHW
from verify.figures import segmentation as figures
from verify.figures.rates import angle_between_two_classes
from verify.ledger import HOLDS, REFUTED, Outcome, claim
from verify.outcome import all_of, at_most, decided, equal

Array = Any
BITS = 256


# --- lengths, of every segmentation and in balls --------------------------------------------------------------------


def _partitions(n: int) -> Iterator[list[int]]:
    """The labels of every partition of n tokens, groups in the order of their first tokens."""
    for labels in itertools.product(*(range(i + 1) for i in range(n))):
        if all(label <= max(labels[:i], default=-1) + 1 for i, label in enumerate(labels)):
            yield list(labels)


def _hard(labels: Sequence[int]) -> np.ndarray:
    return np.eye(max(labels) + 1)[list(labels)]


def _length(Z: Array, labels: Sequence[int], eps: float, overhead: bool) -> float:
    """Lˢ of hard labels."""
    Pi = np.eye(len(labels))[list(labels)]
    return float(segmentation.segmented_length(Z, Pi.astype(Z.dtype), eps=eps, overhead=overhead))


def _shortest(Z: np.ndarray, eps: float, overhead: bool) -> tuple[float, list[int]]:
    """The least Lˢ of all partitions, from the lengths of all sets of tokens."""
    n = len(Z)
    length: dict[frozenset[int], float] = {}
    for m in range(1, n + 1):
        sets = list(itertools.combinations(range(n), m))
        found = segmentation.coding_length(Z[np.array(sets)], eps=eps, overhead=overhead)
        for members, value in zip(sets, found, strict=True):
            length[frozenset(members)] = float(value) - m * math.log(m / n)

    def total(labels: list[int]) -> float:
        return sum(length[frozenset(i for i in range(n) if labels[i] == k)] for k in set(labels))

    return min((total(labels), labels) for labels in _partitions(n))


def _enclosed(Z: np.ndarray, Pi: np.ndarray, eps: float, overhead: bool) -> arb:
    """Lˢ enclosed, by exact determinants."""
    n, d = Z.shape
    rows = fmpq_mat([[fmpq(*float(x).as_integer_ratio()) for x in row] for row in Z])
    gram, square = rows * rows.transpose(), fmpq(*eps.as_integer_ratio()) ** 2
    total = arb(0)
    for part in Pi.T:
        weights = [fmpq(*float(x).as_integer_ratio()) for x in part]
        size = sum(weights, fmpq(0))
        if size == 0:
            continue
        scale = [d * weight / (size * square) for weight in weights]
        M = fmpq_mat([[fmpq(i == j) + scale[i] * gram[i, j] for j in range(n)] for i in range(n)])
        total += arb(size + (d if overhead else 0)) / 2 * arb(M.det()).log() - arb(size) * arb(size / n).log()
    return total


def _sign(x: arb) -> int | None:
    return 1 if x > 0 else -1 if x < 0 else None


@claim(
    "segmentation.formula",
    title="coding_length and segmented_length compute the published lengths, in nats",
    statement=r"L=\tfrac{n+d}2\log\det\big(I+\tfrac d{n\varepsilon^2}ZZ^\top\big),\quad "
    r"L^s=\sum_k\big[\tfrac{n_k+d}2\log\det\big(I+\tfrac d{n_k\varepsilon^2}Z\Pi_kZ^\top\big)-n_k\log\tfrac{n_k}n\big]",
    source=f"{MDHW}, in bits",
    relation="=",
    hypotheses="any tokens, hard or soft memberships, with the overhead d and without it",
    expect=HOLDS,
    twin="n for n_k inside the determinants",
    instances=60,
)
def formula(case: Case) -> Outcome:
    """By determinants, in float64."""
    rng = case.rng()
    t = tokens(case, rng, sizes=((2, 2), (3, 1), (4, 3)), eps=(0.3, 3.0), scale=(0.1, 3.0))
    Pi, overhead = memberships(case, rng, t.n, K=(2, 3)), case.choice("overhead", (True, False))
    Z, basis = to_numpy(t.Z).astype(float), t.d if overhead else 0

    def log_det(weights: np.ndarray, size: float) -> float:
        return float(np.linalg.slogdet(np.eye(t.d) + t.d / (size * t.eps**2) * (Z.T * weights) @ Z)[1])

    parts = 0.0
    for pi in to_numpy(Pi).astype(float).T:
        if (size := pi.sum()) > 0:
            parts += (size + basis) / 2 * log_det(pi, case.wrong(size, t.n)) - size * math.log(size / t.n)
    length = segmentation.coding_length(t.Z, eps=t.eps, overhead=overhead)
    segmented = segmentation.segmented_length(t.Z, Pi, eps=t.eps, overhead=overhead)
    scale = 4 * (t.n + 3 * t.d) * (1 + t.n * t.alpha * norm(t.Z) ** 2)
    return all_of(
        equal(length, (t.n + basis) / 2 * log_det(np.ones(t.n), t.n), size=t.n + t.d, scale=scale),
        equal(segmented, parts, size=t.n + t.d, scale=scale),
    )


# --- soft memberships -----------------------------------------------------------------------------------------------


def _two_and_one(case: Case) -> tuple[np.ndarray, float]:
    """Two large tokens on two axes, and a small one on a third or none."""
    d = case.integer("d", 3, 12)
    Z = np.zeros((3, d))
    Z[0, 0] = Z[1, 1] = case.log_uniform("large", 1.0, 1e3)
    Z[2, 2] = case.choice("small", (0.0, 0.1))
    return Z, case.log_uniform("eps", 0.5, 2.0)


@claim(
    "segmentation.concave-in-memberships",
    title="The segmented length is concave in the memberships",
    statement=r"L^s\big(Z,\tfrac12(\Pi+\Pi')\big)\ge\tfrac12L^s(Z,\Pi)+\tfrac12L^s(Z,\Pi')",
    source=f"asked here of the length with overhead: {MDHW}, theorem on deterministic segmentation, has it without",
    relation="<=",
    hypotheses="two large tokens in their own groups and a small one shared between them; the overhead counted",
    expect=REFUTED,
    twin="without the overhead",
    uses=("mcr2.concave-in-memberships",),
    instances=80,
    witness={"d": 6, "large": 10.0, "small": 0.0, "eps": 1.0, "first": 0, "second": 64},
)
def concave_in_memberships(case: Case) -> Outcome:
    """False: the overhead (d/2) log det(I + d S_k/ε²) has no weight n_k that would make it a perspective, and as a
    part's second moment S_k is diluted by a token of no length it falls convexly, like (d/2) log(1/n_k). It outweighs
    the concave rest once d > 5 or so. In balls.
    """
    Z, eps = _two_and_one(case)
    ends = [case.integer(name, 0, 64) / 64 for name in ("first", "second")]
    case.assume(ends[0] != ends[1])

    def length(share: float) -> arb:
        return _enclosed(Z, np.array([[1, 0], [0, 1], [share, 1 - share]]), eps, not case.twin)

    with ctx.workprec(BITS):
        return decided(_sign(length(sum(ends) / 2) - (length(ends[0]) + length(ends[1])) / 2), ">=")


@claim(
    "segmentation.hard-labels-suffice",
    title="No soft memberships have a shorter code than the best hard ones",
    statement=r"\min_{\Pi\ \text{soft}}L^s(Z,\Pi)=\min_{\Pi\ \text{hard}}L^s(Z,\Pi)",
    source=f"asked here of the length with overhead: {MDHW}, theorem on deterministic segmentation, has it without",
    relation="<=",
    hypotheses="two groups; two large tokens and a small one, shared; all hard memberships; the overhead counted",
    expect=REFUTED,
    twin="without the overhead",
    uses=("segmentation.concave-in-memberships",),
    instances=60,
    witness={"d": 6, "large": 10.0, "small": 0.0, "eps": 1.0, "share": 32},
)
def hard_labels_suffice(case: Case) -> Outcome:
    """False: in the witness half a token in either group takes 47.03 nats, the best hard labels 47.13. In balls."""
    Z, eps = _two_and_one(case)
    share = case.integer("share", 1, 63) / 64
    with ctx.workprec(BITS):
        soft = _enclosed(Z, np.array([[1, 0], [0, 1], [share, 1 - share]]), eps, not case.twin)
        corners = itertools.product((0, 1), repeat=3)
        signs = [_sign(soft - _enclosed(Z, np.eye(2)[list(labels)], eps, not case.twin)) for labels in corners]
    return decided(None if None in signs else max(s for s in signs if s is not None), ">=")


# --- more groups, fewer groups --------------------------------------------------------------------------------------


@claim(
    "segmentation.splitting",
    title="Without overhead and labels, splitting a group never lengthens its code",
    statement=r"\sum_k\tfrac{n_k}2\log\det\big(I+\tfrac d{n_k\varepsilon^2}Z_kZ_k^\top\big)\le"
    r"\tfrac n2\log\det\big(I+\tfrac d{n\varepsilon^2}ZZ^\top\big)",
    source=f"derived; {BOOK}, on the number of groups",
    relation="<=",
    hypotheses="any tokens, split in two or three",
    expect=HOLDS,
    twin="the labels counted",
    uses=("rates.partition-below",),
    instances=80,
    figure=angle_between_two_classes,
)
def splitting(case: Case) -> Outcome:
    """So it is the labels, and the overhead, that make few groups short."""
    rng = case.rng()
    t = tokens(case, rng, sizes=((3, 1), (4, 2), (6, 3)), scale=(0.1, 10.0))
    labels = rng.permutation(np.arange(t.n) % case.integer("groups", 2, 3))
    Z = to_numpy(t.Z)
    parts = [case.asarray(Z[labels == k]) for k in range(max(labels) + 1)]
    total = sum(float(segmentation.coding_length(part, eps=t.eps, overhead=False)) for part in parts)
    counted = segmentation.segmented_length(t.Z, case.asarray(_hard(labels.tolist())), eps=t.eps, overhead=False)
    scale = t.n * sensitivity(t.Z, srr.coding_rate_and_gradient(t.Z, eps=t.eps, method="svd")) + t.n
    whole = segmentation.coding_length(t.Z, eps=t.eps, overhead=False)
    return at_most(case.wrong(case.asarray(np.asarray(total)), counted), whole, size=t.n + t.d, scale=scale)


def _general(case: Case, n: int, d: int) -> np.ndarray:
    """Tokens in general position: norms from ½ to 2, no two within an angle of 0.02."""
    rng = case.rng()
    directions = rng.standard_normal((n, d))
    directions /= np.linalg.norm(directions, axis=1, keepdims=True)
    cosines = np.abs(directions @ directions.T) - np.eye(n)
    case.assume(float(np.max(cosines)) < math.cos(0.02))
    return directions * rng.uniform(0.5, 2.0, size=(n, 1))


@claim(
    "segmentation.memorisation",
    title="Without overhead, at small eps, the shortest code names every token: as many groups as tokens",
    statement=r"\varepsilon\to0:\quad\arg\min L^s=\{\{1\},\dots,\{n\}\},\qquad\min L^s\sim n\log\tfrac1\varepsilon",
    source=f"{BOOK}, remark on the memorisation regime, made exact",
    relation="limit",
    hypotheses="2 to 5 tokens in general position, eps from 1e-9 to 1e-6 of their norms, d = 2 or 3; every partition",
    expect=HOLDS,
    twin="with the overhead",
    uses=("segmentation.splitting",),
    instances=12,
    figure=figures.lengths_without_overhead,
)
def memorisation(case: Case) -> Outcome:
    """m tokens in a group take m min(m, d) log(1/ε), against m log(1/ε) alone."""
    n, d, eps = case.integer("n", 2, 5), case.integer("d", 2, 3), case.log_uniform("eps", 1e-9, 1e-6)
    labels = _shortest(_general(case, n, d), eps, bool(case.twin))[1]
    return Outcome(holds=labels == list(range(n)), data={"groups": max(labels) + 1})


@claim(
    "segmentation.small-eps-with-overhead",
    title="With the overhead, at small eps, the shortest code has one group if n > d^2, and n groups if n < d^2",
    statement=r"\varepsilon\to0:\quad\min L^s\sim\min\big(nd+d^2,\,n+nd\big)\log\tfrac1\varepsilon",
    source=f"derived; against {BOOK}, where small eps leads to memorisation",
    relation="limit",
    hypotheses="tokens in general position, eps from 1e-13 to 1e-11 of their norms, n up to 6, d = 2 or 3; "
    "every partition",
    expect=HOLDS,
    twin="without the overhead",
    uses=("segmentation.memorisation",),
    instances=12,
    figure=figures.lengths_at_small_eps,
)
def small_eps_with_overhead(case: Case) -> Outcome:
    """A group of m takes (m + d) min(m, d) log(1/ε). Up to m = d single tokens take less; beyond, one group takes less
    than two, and each more token in it d log(1/ε), against (1 + d) log(1/ε) alone.
    """
    n, d = case.choice("n, d", ((5, 2), (6, 2), (3, 2), (2, 2), (5, 3)))
    labels = _shortest(_general(case, n, d), case.log_uniform("eps", 1e-13, 1e-11), not case.twin)[1]
    return Outcome(holds=max(labels) + 1 == (1 if n > d * d else n), data={"groups": max(labels) + 1})


@claim(
    "segmentation.memorisation-cost",
    title="The shortest code never takes more than n log n, the cost of naming n known tokens",
    statement=r"\min_\Pi L^s(Z,\Pi)\le n\log n,\qquad\varepsilon>0",
    source=f"{BOOK}, remark on the memorisation regime: the cost, which grows as eps falls, tends to log n a token",
    relation="<=",
    hypotheses="1 to 4 tokens, every partition, with the overhead and without it",
    expect=REFUTED,
    twin="the bound n log n + ((1 + d)/2 or 1/2) sum_i log(1 + d |z_i|^2/eps^2)",
    uses=("rates.memorisation", "segmentation.memorisation"),
    instances=20,
    witness={"n": 1, "d": 1, "eps": 1.0, "overhead": True, "seed": 0},
    figure=figures.lengths_without_overhead,
)
def memorisation_cost(case: Case) -> Outcome:
    """False: naming a token does not tell what it is. Each is coded as well, which takes log(1/ε) at the least; n log n
    is only what the labels take in the end.
    """
    n, d, eps = case.integer("n", 1, 4), case.integer("d", 1, 3), case.log_uniform("eps", 1e-3, 10.0)
    overhead = case.choice("overhead", (True, False))
    Z = case.rng().standard_normal((n, d))
    singly = (1 + d * overhead) / 2 * float(np.sum(np.log1p(d / eps**2 * np.sum(Z**2, axis=1))))
    bound = n * math.log(n) + case.wrong(0.0, singly)
    least = _shortest(Z, eps, overhead)[0]
    return at_most(least, bound, size=n + d, scale=4 * (bound + singly + n), least=least, bound=bound)


@claim(
    "segmentation.lazy",
    title="At large eps the shortest code is that of one group, and takes nothing in the limit",
    statement=r"\tfrac{(n+d)d}{2n\varepsilon^2}\|Z\|_F^2<\log n+(n-1)\log\tfrac n{n-1}\ \Rightarrow\ "
    r"\min_\Pi L^s=L(Z)\le\tfrac{(n+d)d}{2n\varepsilon^2}\|Z\|_F^2",
    source=f"{BOOK}, remark on the lazy regime, made exact",
    relation="<=",
    hypotheses="2 to 5 tokens, eps up to 30 times the condition's, every partition, with the overhead and without it",
    expect=HOLDS,
    twin="the labels of n groups within the same bound",
    uses=("segmentation.formula",),
    instances=20,
    figure=figures.length_at_large_eps,
)
def lazy(case: Case) -> Outcome:
    """The labels of two groups or more take at least those of one token apart from the rest; log(1 + x) ≤ x."""
    n, d, overhead = case.integer("n", 2, 5), case.integer("d", 1, 3), case.choice("overhead", (True, False))
    Z = case.rng().standard_normal((n, d))
    labels = math.log(n) + (n - 1) * math.log(n / (n - 1))
    bound = labels / case.log_uniform("beyond", 1.001, 1000.0)
    eps = math.sqrt((n + d * overhead) * d / (2 * n) * np.sum(Z**2) / bound)
    least, best = _shortest(Z, eps, overhead)
    length = case.wrong(least, _length(Z, range(n), eps, overhead))
    one = Outcome(holds=max(best) == 0, data={"groups": max(best) + 1})
    return all_of(one, at_most(length, bound, size=n + d, scale=labels))


# --- pairwise steepest descent --------------------------------------------------------------------------------------


@claim(
    "segmentation.descent-is-optimal",
    title="Pairwise steepest descent finds the shortest code",
    statement=r"L^s(Z,\Pi_{\rm greedy})\le L^s(Z,\Pi)\quad\text{for every partition }\Pi",
    source=f"asked here of all tokens: {MDHW}, where the algorithm is reported to do so in simulations",
    relation="<=",
    hypotheses="4 to 6 tokens of dimension two or three; every partition, with the overhead and without it",
    expect=REFUTED,
    twin="no merger of two of its groups makes the code shorter, and the lengths it reports fall",
    uses=("segmentation.formula",),
    instances=30,
    witness={"n": 4, "d": 2, "eps": 0.1, "overhead": True, "seed": 2},
)
def descent_is_optimal(case: Case) -> Outcome:
    """False: a merger is never undone, and one that only a second would repay is never made. Compared in balls."""
    n, d, eps = case.integer("n", 4, 6), case.integer("d", 2, 3), case.log_uniform("eps", 0.01, 1.0)
    overhead = case.choice("overhead", (True, False))
    Z = case.rng().standard_normal((n, d))
    found = segmentation.pairwise_steepest_descent(Z, eps=eps, overhead=overhead)
    labels = found.labels.tolist()
    if not case.twin:
        least, best = _shortest(Z, eps, overhead)
        if best == labels:
            return decided(0, "<=")
        with ctx.workprec(BITS):
            gap = _enclosed(Z, _hard(labels), eps, overhead) - _enclosed(Z, _hard(best), eps, overhead)
            return decided(_sign(gap), "<=", descent=found.lengths[-1], shortest=least)
    scale = (n + d) * (1 + d / eps**2 * float(np.sum(Z**2)))  # of Cholesky factors on the side of the features
    reported = equal(found.lengths[-1], _length(Z, labels, eps, overhead), size=n + d, scale=scale)
    starts = equal(found.lengths[0], _length(Z, range(n), eps, overhead), size=n + d, scale=scale)
    falling = Outcome(holds=all(a > b for a, b in itertools.pairwise(found.lengths)))
    merged = []
    for a, b in itertools.combinations(sorted(set(labels)), 2):
        other = _length(Z, [a if label == b else label for label in labels], eps, overhead)
        merged.append(at_most(found.lengths[-1], other, size=n + d, scale=scale))
    return all_of(reported, starts, falling, *merged)


NOISE = 0.01


def _lines_and_plane(case: Case) -> tuple[np.ndarray, np.ndarray]:
    """Noisy tokens of two lines and a plane in R³, any two of them at least 0.7 apart in angle."""
    rng = case.rng()
    B, above = rotation(rng, 3), rng.uniform(0.7, 1.0, size=2)
    around = np.array([0.0, rng.uniform(math.pi / 2, 3 * math.pi / 2)])
    lines = np.stack([np.cos(above) * np.cos(around), np.cos(above) * np.sin(around), np.sin(above)], axis=1)
    on_lines = [rng.uniform(-1, 1, size=(30, 1)) * line @ B for line in lines]
    Z = np.concatenate([*on_lines, rng.uniform(-1, 1, size=(45, 2)) @ B[:2]])
    return Z + NOISE * rng.standard_normal(Z.shape), np.repeat([0, 1, 2], [30, 30, 45])


@claim(
    "segmentation.noise-level",
    title="With the overhead, descent finds three subspaces, rarely as four groups, when eps is about the noise level",
    statement=r"\tfrac\sigma5\le\varepsilon\le5\sigma:\quad K\in\{3,4\},\ "
    r"\text{at least 0.85 of the tokens grouped as they were drawn}",
    source=f"{BOOK}, on the number of groups: the correct one appears when eps is about the noise level; {MDHW}",
    relation="=",
    hypotheses="two lines and a plane in R^3, angles of 0.7 at least between them, 30, 30 and 45 tokens, noise 0.01",
    expect=HOLDS,
    twin="without the overhead",
    uses=("segmentation.formula",),
    instances=5,
    figure=figures.groups_by_precision,
)
def noise_level(case: Case) -> Outcome:
    """An observation, and no more than that: fewer than one draw in 100 ends with a fourth group, a part of a subspace.
    Without the overhead there are tens of groups at ε = σ, small parts of a line or a plane being flatter.
    """
    Z, truth = _lines_and_plane(case)
    eps = NOISE * case.log_uniform("eps over the noise", 0.2, 5.0)
    labels = segmentation.pairwise_steepest_descent(Z, eps=eps, overhead=not case.twin).labels
    K = int(np.max(labels)) + 1
    right = sum(int(np.max(np.bincount(truth[labels == k]))) for k in range(K)) / len(truth)
    return Outcome(holds=K in (3, 4) and right >= 0.85, data={"groups": K, "rightly grouped": right})


@claim(
    "segmentation.descent-memorises",
    title="At small eps descent leaves every token in a group of its own, though one group has the shorter code",
    statement=r"\varepsilon\to0,\ n>d^2:\quad K_{\rm greedy}=n,\qquad L(Z)<L^s(Z,\{\{1\},\dots,\{n\}\})",
    source=f"derived; against {BOOK}, where memorisation is a property of the length",
    relation="limit",
    hypotheses="tokens in general position, n > d^2, eps from 1e-11 to 1e-9 of their norms; the overhead counted",
    expect=HOLDS,
    twin="eps from 10 to 1000 times their norms",
    uses=("segmentation.small-eps-with-overhead",),
    instances=12,
    figure=figures.groups_by_precision,
)
def descent_memorises(case: Case) -> Outcome:
    """Two single tokens take 2(1 + d) log(1/ε), together 2(2 + d) log(1/ε): no first merger is worth it."""
    n, d = case.choice("n, d", ((5, 2), (8, 2), (12, 3)))
    Z, eps = _general(case, n, d), case.log_uniform("eps", 1e-11, 1e-9) * case.wrong(1.0, 1e12)
    found = segmentation.pairwise_steepest_descent(Z, eps=eps)
    whole = float(segmentation.coding_length(Z, eps=eps))
    return Outcome(
        holds=int(np.max(found.labels)) + 1 == n and whole < found.lengths[-1],
        data={"descent": found.lengths[-1], "one group": whole},
    )


@claim(
    "segmentation.fewer-groups-at-larger-eps",
    title="The number of groups of the shortest code falls as eps grows, from memorisation to one group",
    statement=r"\varepsilon_1<\varepsilon_2\ \Rightarrow\ K(\varepsilon_1)\ge K(\varepsilon_2)",
    source=f"{BOOK}, on the phase transition of the number of groups",
    relation="monotone",
    hypotheses="two lines in the plane, three tokens each, noise 0.001; eps 1e-12, 0.001 and 1000; with the overhead; "
    "every partition",
    expect=REFUTED,
    twin="without the overhead",
    uses=("segmentation.small-eps-with-overhead", "segmentation.lazy"),
    instances=6,
    witness={"seed": 0},
)
def fewer_groups_at_larger_eps(case: Case) -> Outcome:
    """False: with n > d² tokens, noise fills the space, and at small ε one group is shorter than two, by d² log(1/ε).
    The right number lies between one and one.
    """
    rng = case.rng()
    along = rng.uniform(0.5, 2.0, size=(6, 1)) * rng.choice((-1.0, 1.0), size=(6, 1))
    Z = along * np.repeat(rotation(rng, 2), 3, axis=0) + 1e-3 * rng.standard_normal((6, 2))
    groups = [max(_shortest(Z, eps, not case.twin)[1]) + 1 for eps in (1e-12, 1e-3, 1e3)]
    return Outcome(holds=groups == sorted(groups, reverse=True), data={"groups": str(groups)})
