"""What the sparse rate reduction rewards: its range, its maximisers, its dependence on scale.

Tokens are columns in the statements, as in the papers, and rows in the checks. α = d/(nε²), β = p/(nε²), which the
papers write γ. A complete orthonormal family is K bases of dimension p = d/K, orthogonal to one another; q = min(d, n).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np

import srr
from verify import derivatives
from verify.arrays import to_numpy
from verify.claims._instances import (
    bases,
    clusters,
    complete_family,
    direction,
    norm,
    sensitivity,
    tokens,
)
from verify.claims._sources import BOOK, MCR2, N23
from verify.decide import rate_reduction_change
from verify.figures import objective as figures
from verify.ledger import HOLDS, REFUTED, Case, Outcome, claim
from verify.outcome import all_of, at_most, decided, equal

Array = Any


@claim(
    "objective.gradient",
    title="The gradient of the smooth part of the loss",
    statement=(
        r"\nabla(R^c-R)(Z)=\beta\sum_kU_kY_k(I+\beta Y_k^\top Y_k)^{-1}-\alpha Z(I+\alpha Z^\top"
        r" Z)^{-1},\qquad Y_k=U_k^\top Z"
    ),
    source=f"{N23}, eq. 1, 9 and 78",
    relation="=",
    hypotheses="any Z, any bases",
    expect=HOLDS,
    twin="the gradient of their sum",
    proof=("gradient-of-the-smooth-loss",),
    uses=("rates.gradient", "rates.gradient-subspace"),
    instances=100,
)
def gradient(case: Case) -> Outcome:
    """`SparseRateReduction.smooth_gradient` against exact directional derivatives, found without calculus."""
    rng = case.rng()
    t = tokens(case, rng, eps=(0.3, 10.0), scale=(0.01, 3.0))
    U = bases(case, rng, t.d)
    H = direction(rng, (t.n, t.d))
    slope = srr.SparseRateReduction(U, t.eps, 0.1).smooth_gradient(t.Z) * case.asarray(H)
    compression = derivatives.subspace_rate_along(t.Z, H, U, eps=t.eps).first
    exact = compression - case.wrong(1, -1) * derivatives.rate_along(t.Z, H, eps=t.eps).first
    lipschitz = t.alpha + srr.curvature.subspace_rate(U, t.n, eps=t.eps)
    steep = 1 + (t.alpha + lipschitz) * norm(t.Z) ** 2  # the fast route squares the condition number
    scale = lipschitz * norm(t.Z) * np.linalg.norm(H) * steep
    return equal(slope.sum(), float(exact), size=t.n + t.d, scale=scale)


@claim(
    "objective.maximum",
    title="The largest rate reduction against a complete family, at fixed energy",
    statement=(
        r"\|Z\|_F^2=n\ \Rightarrow\ \Delta R(Z\mid U_{[K]})\le\tfrac q2\log\frac{1+\alpha n/q}{1+\beta"
        r" n/q},\qquad\text{attained at }ZZ^\top=\tfrac nq P,"
        r"\ P\text{ a projector of rank }q\text{ commuting with all }U_kU_k^\top"
    ),
    source=f"derived; question raised by {N23}, figure 1",
    relation="tight",
    hypotheses="complete orthonormal family, tokens of mean square norm one",
    expect=HOLDS,
    twin="the value of tokens in one of the subspaces alone, p for q",
    derivations=("largest-rate-reduction-at-fixed-energy", "rate-reduction-in-a-direction-is-concave"),
    uses=("rates.compression-bounds-rate-common",),
    instances=100,
    figure=figures.reduction_by_scale,
)
def maximum(case: Case) -> Outcome:
    """Let h(x) = ½ log((1+αx)/(1+βx)). Fischer's inequality gives ΔR ≤ Σ h over the eigenvalues of the diagonal
    blocks U_kᵀZZᵀU_k; h is concave, increasing and zero at zero, so Σ h is largest at equal eigenvalues, and there
    are at most q that count. For n ≥ d the maximisers are all Z with ZZᵀ = (n/d) I: isotropic tokens, with no
    regard to U.
    """
    f = _family(case)
    any_tokens = case.asarray(math.sqrt(f.n) * f.Z / np.linalg.norm(f.Z))
    q = min(f.d, f.n)
    spread = np.linalg.qr(f.Z if f.n >= f.d else f.Z[:, : f.n])[0]  # (n, q), orthonormal columns
    attained = case.asarray(math.sqrt(f.n / q) * spread @ f.axes[:, :q].T)
    bound = _ceiling(f, case.wrong(q, min(f.p, f.n)))
    size = f.n + f.d
    (value, scale), (best, best_scale) = (_rate_reduction(case, f, Z) for Z in (any_tokens, attained))
    return all_of(
        at_most(value, bound, size=size, scale=scale + bound),
        equal(best, bound, size=size, scale=best_scale + bound),
    )


@claim(
    "objective.only-subspaces",
    title="Maximising the rate reduction puts every token into one of the subspaces",
    statement=r"\Delta R(Z\mid U_{[K]})\text{ maximal}\ \Rightarrow\ \text{every }z_i\in\bigcup_k\mathrm{span}(U_k)",
    source=f"{N23}, figure 1 and section 2.2, as pictured",
    relation="<",
    hypotheses="complete orthonormal family with K >= 2, tokens of mean square norm one, n >= d",
    expect=REFUTED,
    twin="isotropic tokens reach no more than the maximum",
    derivations=("largest-rate-reduction-at-fixed-energy",),
    uses=("objective.maximum", "rates.gram-only"),
    instances=60,
    witness={"seed": 0, "K, p, n": (2, 1, 2), "eps": 1.0, "tokens": "ones", "subspaces": "axes"},
    figure=figures.reduction_by_scale,
)
def only_subspaces(case: Case) -> Outcome:
    """Isotropic tokens attain the maximum, and a random rotation leaves none of them in a subspace: two tokens at
    (1, ±1)/√2 in the plane, for the two axes as subspaces. The check asks that tokens off the subspaces stay a
    thousandth below the maximum.
    """
    f = _family(case, ((2, 1, 2), (2, 1, 4), (3, 1, 3), (2, 2, 4)))
    Z = math.sqrt(f.n / f.d) * np.linalg.qr(f.Z)[0]
    inside = np.linalg.norm(Z @ f.U, axis=-1) / np.linalg.norm(Z, axis=-1)
    case.assume(np.max(inside) < 0.99)
    value, scale = _rate_reduction(case, f, case.asarray(Z))
    maximum = _ceiling(f, f.d)
    reach = case.wrong(1 - 1e-3, 1) * maximum
    return at_most(value, reach, size=f.n + f.d, scale=scale, value=float(value), maximum=maximum, tokens=Z)


@claim(
    "objective.sparsest",
    title="With the l0 term, tokens on the coordinate axes are optimal, whatever the subspaces",
    statement=(
        r"\|z_i\|=1\ \Rightarrow\ \Delta R(Z\mid U_{[K]})-\lambda\|Z\|_0\le\tfrac d2\log\frac{1"
        r"+1/\varepsilon^2}{1+1/(K\varepsilon^2)}-\lambda n,\qquad\text{attained at }\pm e_j,"
        r"\ \tfrac nd\text{ tokens on each axis}"
    ),
    source=f"derived; {N23}, eq. 1 for unit-norm tokens",
    relation="tight",
    hypotheses="complete orthonormal family in any position, n a multiple of d",
    expect=HOLDS,
    twin="lambda n p, as if each token needed the p dimensions of its subspace",
    uses=("objective.maximum",),
    instances=100,
    figure=figures.reduction_by_scale,
)
def sparsest(case: Case) -> Outcome:
    """A unit token has at least one entry, and tokens spread evenly over the axes have ZZᵀ = (n/d) I. So the learned
    subspaces play no part in the maximiser: it is a union of d lines, and the same for every U.
    """
    f = _family(case, ((1, 1, 1), (2, 1, 2), (2, 1, 4), (2, 2, 4), (3, 1, 6)))
    lam = case.log_uniform("lam", 1e-3, 1.0)
    keep = np.argsort(np.argsort(f.Z, axis=1), axis=1) < case.integer("entries", 1, 4)
    sparse = f.Z * keep
    sparse = sparse / np.linalg.norm(sparse, axis=1, keepdims=True)
    axes = np.tile(np.eye(f.d), (f.n // f.d, 1)) * np.sign(f.Z[:, :1])
    bound = _ceiling(f, f.d) - lam * f.n * case.wrong(1, f.p)
    objective = srr.SparseRateReduction(case.asarray(f.U), f.eps, lam)
    values, scales = [], []
    for Z in map(case.asarray, (sparse, axes)):
        terms = objective.terms(Z)
        values.append(terms.rate_reduction - lam * float(terms.l0))
        scales.append(_rate_reduction(case, f, Z)[1] + lam * f.n * f.d)
    steep = 1 + f.d / f.eps**2  # the fast route squares the condition number
    size = f.n + f.d
    return all_of(
        at_most(values[0], bound, size=size, scale=steep * scales[0]),
        equal(values[1], bound, size=size, scale=steep * scales[1]),
    )


@claim(
    "objective.bounded",
    title="The rate reduction against a complete family is bounded, at every scale",
    statement=r"\Delta R(Z\mid U_{[K]})\le\tfrac q2\log K",
    source=f"derived; {BOOK}, on the scale of the rate reduction",
    relation="<=",
    hypotheses="complete orthonormal family, tokens of any scale",
    expect=HOLDS,
    twin="nine tenths of it",
    derivations=("rate-reduction-saturates",),
    uses=("objective.maximum",),
    instances=100,
    figure=figures.reduction_by_scale,
)
def bounded(case: Case) -> Outcome:
    """`objective.maximum` as the energy grows: h(x) < ½ log(α/β) = ½ log K. Isotropic tokens approach it; others
    need not.
    """
    f = _family(case)
    scale = case.log_uniform("scale", 1e-2, 1e3)
    isotropic = case.choice("spread", ("isotropic", "any")) == "isotropic"
    Z = np.linalg.qr(f.Z)[0] if isotropic and f.n >= f.d else f.Z
    value, unit = _rate_reduction(case, f, case.asarray(scale * Z))
    bound = min(f.n, f.d) / 2 * math.log(f.K)
    return at_most(value, case.wrong(1, 0.9) * bound, size=f.n + f.d, scale=unit + bound)


@claim(
    "objective.non-negative",
    title="The rate reduction against subspaces is never negative",
    statement=r"R^c(Z\mid U_{[K]})\le R(Z)",
    source=f"asked here of what holds of the labelled rate reduction ({MCR2})",
    relation="<=",
    hypotheses="complete orthonormal family",
    expect=REFUTED,
    twin="class k in the k-th subspace",
    uses=("rates.partition-below",),
    instances=100,
    witness={
        "seed": 0,
        "K, p, n": (2, 1, 1),
        "eps": 1.0,
        "tokens": "ones",
        "subspaces": "axes",
        "scale": 2.0,
    },
)
def non_negative(case: Case) -> Outcome:
    """A token that several heads see is paid for by each of them. One token (s, s) against the two axes has
    R = ½ log(1 + 4s²/ε²) and Rc = log(1 + s²/ε²), more once s² > 2ε². Decided by enclosure: the change from zero.
    """
    if case.twin:
        c = clusters(case, case.rng())
        return decided(rate_reduction_change(0 * c.Z, c.Z, c.U, eps=c.eps), ">=")
    f = _family(case)
    Z = case.asarray(case.log_uniform("scale", 0.1, 100.0) * f.Z)
    change = rate_reduction_change(0 * Z, Z, case.asarray(f.U), eps=f.eps)
    return decided(change, ">=", tokens=to_numpy(Z), U=f.U)


@claim(
    "objective.grows-with-scale",
    title="The rate reduction grows with the scale of the tokens",
    statement=r"\Delta R(tZ\mid U_{[K]})\ge\Delta R(Z\mid U_{[K]}),\qquad t\ge1",
    source=f"asked here of what holds of the labelled rate reduction ({BOOK}, on why features must be normalised)",
    relation="monotone",
    hypotheses="complete orthonormal family with K >= 2",
    expect=REFUTED,
    twin="class k in the k-th subspace",
    uses=("objective.non-negative", "objective.bounded"),
    instances=100,
    witness={"t": 2.0, "seed": 0, "K, p, n": (2, 1, 1), "eps": 1.0, "tokens": "ones", "subspaces": "axes"},
)
def grows_with_scale(case: Case) -> Outcome:
    """Of tokens seen by several heads it falls, and without bound if they have less than full rank: rank r costs
    r log t in R and up to K times that in Rc. So large tokens are not what maximises it in general. Decided by
    enclosure.
    """
    factor = case.log_uniform("t", 1.1, 10.0)
    if case.twin:
        c = clusters(case, case.rng())
        Z, U, eps = c.Z, c.U, c.eps
    else:
        f = _family(case, FAMILIES[:1] + FAMILIES[2:])
        Z, U, eps = case.asarray(f.Z), case.asarray(f.U), f.eps
    return decided(rate_reduction_change(Z, factor * Z, U, eps=eps), ">=", tokens=to_numpy(Z), U=to_numpy(U))


# --- shared -------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Family:
    """A complete orthonormal family and Gaussian tokens, in float64 on the host."""

    Z: np.ndarray
    U: np.ndarray
    eps: float
    n: int
    d: int
    K: int
    p: int

    @property
    def axes(self) -> np.ndarray:
        """[U_1, …, U_K], (d, d)."""
        return self.U.swapaxes(0, 1).reshape(self.d, self.d)


FAMILIES = ((2, 1, 1), (1, 2, 3), (2, 1, 3), (2, 2, 2), (3, 1, 5), (3, 2, 7))
"""Subspaces, dimension of each, tokens: fewer tokens than dimensions, and more."""


def _family(case: Case, sizes: tuple[tuple[int, int, int], ...] = FAMILIES) -> Family:
    rng = case.rng()
    K, p, n = case.choice("K, p, n", sizes)
    d = K * p
    eps = case.log_uniform("eps", 0.1, 10.0)
    Z = np.ones((n, d)) if case.choice("tokens", ("ones", "gaussian")) == "ones" else rng.standard_normal((n, d))
    U = complete_family(rng, K, p)
    if case.choice("subspaces", ("axes", "random")) == "axes":
        U = np.eye(d).reshape(d, K, p).swapaxes(0, 1)
    return Family(Z, U, eps, n, d, K, p)


def _ceiling(f: Family, q: int) -> float:
    """(q/2) log((1 + αn/q)/(1 + βn/q)): q equal eigenvalues of total n, each in one head."""
    return q / 2 * (math.log1p(f.d / (q * f.eps**2)) - math.log1p(f.p / (q * f.eps**2)))


def _rate_reduction(case: Case, f: Family, Z: Array) -> tuple[Array, float]:
    U = case.asarray(f.U)
    whole = srr.coding_rate_and_gradient(Z, eps=f.eps, method="svd")
    parts = srr.subspace_coding_rate_and_gradient(Z, U, eps=f.eps, method="svd")
    return whole[0] - parts[0], sensitivity(Z, whole, parts)
