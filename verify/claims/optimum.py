"""What the optima of the sparse rate reduction look like, and what is left in them of the tokens."""

from __future__ import annotations

from typing import Any

import numpy as np

import srr
from srr import enclosure
from verify.arrays import to_numpy
from verify.case import Case
from verify.claims._instances import complete_family, sensitivity
from verify.claims._sources import N23
from verify.claims._steps import comparison
from verify.experiments.interpretability import Parameters, converged, drawn, measured, optimum
from verify.figures import optimum as figures
from verify.ledger import HOLDS, REFUTED, Outcome, claim
from verify.outcome import all_of, at_most, decided, equal, observed

FAMILIES = ((2, 1, 2), (2, 1, 3), (2, 2, 4), (2, 2, 6), (3, 1, 5), (3, 2, 7))
"""Subspaces, dimension of each, tokens: as many tokens as dimensions, and more."""


@claim(
    "optimum.one-token-on-each-axis",
    title="The most is attained by one token on each coordinate axis and all others zero, whatever the subspaces",
    statement=r"R(Z)-R^c(Z\mid U_{[K]})-\lambda\|Z\|_1\le d\max_{s\ge0}\Big["
    r"\tfrac12\log\frac{1+\alpha s^2}{1+\beta s^2}-\lambda s\Big],"
    r"\qquad\text{attained at }Z=[\pm se_1,\dots,\pm se_d,0,\dots,0]",
    source=f"derived; {N23}, eq. 1 with the l1 norm, on which its layers act",
    relation="tight",
    hypotheses="complete orthonormal family in any position, n >= d; any tokens, or tokens near that "
    "optimum; eps from 0.1 to 3, lambda from 0.001 to 1",
    expect=HOLDS,
    twin="p in place of d",
    uses=("objective.bounded",),
    instances=60,
    figure=figures.loss_at_the_end,
)
def one_token_on_each_axis(case: Case) -> Outcome:
    """True. R − Rᶜ ≤ Σ h(s_i) over the singular values, h(s) = ½ log((1 + αs²)/(1 + βs²)): the eigenvalues of the
    blocks U_kᵀZZᵀU_k are majorised by those of ZZᵀ and log(1 + βx) is concave, so Rᶜ ≥ ½ Σ log(1 + βs_i²). And ‖Z‖₁ is
    at least the nuclear norm Σ s_i. Where the maximum is above zero nothing else attains it: all s_i are then s, so
    that no entry exceeds s, and Σ|z| = Σ z²/s asks that each be 0 or ±s. So the representation is as sparse, as
    orthogonal and as aligned as can be, and tells nothing of the tokens that it came from, nor of the subspaces.
    """
    K, p, n = case.choice("K, p, n", FAMILIES)
    d, rng = K * p, case.rng()
    eps, lam = case.log_uniform("eps", 0.1, 3.0), case.log_uniform("lam", 1e-3, 1.0)
    U = case.asarray(complete_family(rng, K, p))
    best, length = optimum(n, d, p, eps=eps, lam=lam)
    best *= case.wrong(d, p) / d
    at_best = length * np.diag(rng.choice([-1.0, 1.0], d))[rng.permutation(d)]
    at_best = np.concatenate([at_best, np.zeros((n - d, d))])
    spread = rng.standard_normal((n, d))
    near = case.choice("tokens", ("any", "near")) == "near"
    Z = (at_best if near else 0) + case.log_uniform("scale", 1e-3, 10.0) * case.entries("Z", spread)

    def value(Z: np.ndarray) -> tuple[Any, float]:
        tokens = case.asarray(Z)
        whole = srr.coding_rate_and_gradient(tokens, eps=eps, method="svd")
        parts = srr.subspace_coding_rate_and_gradient(tokens, U, eps=eps, method="svd")
        size = lam * float(np.sum(np.abs(to_numpy(tokens))))
        return whole[0] - parts[0] - size, sensitivity(tokens, whole, parts) + size + abs(best)

    (anywhere, scale), (there, scale_there) = value(Z), value(at_best)
    return all_of(
        at_most(anywhere, best, size=n + d, scale=scale),
        equal(there, best, size=n + d, scale=scale_there),
    )


# --- what the layers reach ----------------------------------------------------------------------------------


LAYERS = {"n": 10, "K": 2, "p": 2, "noise": 0.05, "eps": 0.5}
LAM, MOST = 0.1, 2400


def _ended(seed: int, kind: str, bases: str) -> tuple[dict[str, float], dict[str, float]]:
    # What is measured before and after as many monotone layers as change the loss; in NumPy whatever the ledger
    # computes with.
    given = Parameters(**LAYERS, seed=seed)
    U, Z = drawn(given, kind, bases)
    goal = srr.SparseRateReduction(U, given.eps, LAM)
    before = after = measured(goal, Z)
    for _ in range(0, MOST, 120):
        Z, _ = converged(Z, U, eps=given.eps, lam=LAM, layers=120)
        last, after = after, measured(goal, Z)
        if abs(after["loss"] - last["loss"]) <= 1e-12 * abs(after["loss"]):
            break
    return before, after


@claim(
    "optimum.layers-reach-it",
    title="Layers that lower the loss end at that optimum, from mixtures and from their controls alike",
    statement=r"Z^\ell\to[\pm se_1,\dots,\pm se_d,0,\dots,0]",
    source=f"{N23}, eq. 1 and figure 1: what a network that optimises it converges to",
    relation="limit",
    hypotheses="10 tokens of two orthogonal planes that fill the space, in any position or on the axes, with noise "
    "0.05, or Gaussian ones of equal second moment; eps = 0.5, lambda = 0.1; up to 2400 layers of srr.layers.descent",
    expect=REFUTED,
    twin="they end below where they began, and not below that optimum",
    uses=("optimum.one-token-on-each-axis", "layers.descent-lowers-loss"),
    instances=3,
    witness={"tokens": "control", "bases": "rotated", "seed": 5968879},
    figure=figures.loss_at_the_end,
)
def layers_reach_it(case: Case) -> Outcome:
    """False of one start in some hundreds: a token keeps two entries, and the loss stays 0.12 nats above the least, a
    local minimum. All others end within 10⁻⁹ of it, with d entries that are not zero, each alone in its token, most
    within 120 layers. Smaller λ take more, 1500 for 0.01.
    """
    kind, bases = case.choice("tokens", ("mixture", "control")), case.choice("bases", ("rotated", "axes"))
    before, after = _ended(case.seed(), kind, bases)
    least = -optimum(10, 4, 2, eps=0.5, lam=LAM)[0]
    if case.twin:
        return observed(least - 1e-9 * abs(least) <= after["loss"] < before["loss"], **after, least=least)
    alone = round(after["nonzero"] * 40) == 4 and after["aligned"] > 1 - 1e-12
    return observed(alone and abs(after["loss"] - least) <= 1e-9 * abs(least), **after, least=least)


@claim(
    "optimum.keeps-tokens-in-their-subspaces",
    title="At the optimum tokens lie in the subspaces, as they did at the start",
    statement=r"\mathrm{mean}_{z_i\ne0}\max_k\|U_k^\top z_i\|^2/\|z_i\|^2\ \text{does not fall}",
    source=f"{N23}, figure 1: tokens compressed into the subspaces, as pictured",
    relation="monotone",
    hypotheses="as optimum.layers-reach-it, mixtures; subspaces in any position",
    expect=REFUTED,
    twin="subspaces on the coordinate axes",
    uses=("optimum.layers-reach-it", "objective.only-subspaces"),
    instances=2,
    witness={"seed": 0},
)
def keeps_tokens_in_their_subspaces(case: Case) -> Outcome:
    """False: the tokens leave the subspaces for the axes, on which ‖·‖₁ is least. They stay where the two are the same.
    Means over the tokens that are not zero.
    """
    before, after = _ended(case.seed(), "mixture", case.wrong("rotated", "axes"))
    return observed(after["inside"] >= before["inside"] - 1e-9, before=before["inside"], after=after["inside"])


@claim(
    "optimum.shows-structure",
    title="Tokens with structure have a larger rate reduction at the optimum than Gaussian ones of equal second moment",
    statement=r"\Delta R(Z^\infty\mid U_{[K]})>\Delta R(G^\infty\mid U_{[K]}),\qquad GG^\top=ZZ^\top",
    source="asked here: whether what is read off an optimum is a finding about the tokens",
    relation="<",
    hypotheses="as optimum.layers-reach-it; larger by a millionth",
    expect=REFUTED,
    twin="the share that lies inside one subspace, at the start",
    uses=("optimum.layers-reach-it", "rates.isotropic-control"),
    instances=2,
    witness={"seed": 0, "bases": "rotated"},
)
def shows_structure(case: Case) -> Outcome:
    """False: nearly always both end with the same rate reduction, loss and sparsity, to rounding. A sparse, orthogonal
    and aligned representation is what the objective makes of anything.
    """
    seed, bases = case.seed(), case.choice("bases", ("rotated", "axes"))
    (before, after), (other, control) = (_ended(seed, kind, bases) for kind in ("mixture", "control"))
    case.assume(after["loss"] < before["loss"] and control["loss"] < other["loss"])
    left, right = case.wrong((after["dR"], control["dR"]), (before["inside"], other["inside"]))
    return observed(left > right * (1 + 1e-6), mixture=left, control=right)


# --- one subspace -------------------------------------------------------------------------------------------


@claim(
    "optimum.generalises-pca",
    title="With one subspace, K = 1, the rate reduction is largest at the first principal directions",
    statement=r"R(Z)-R^c(Z\mid U)\le R(Z)-R^c(Z\mid V),\qquad V=\text{the first }p\text{ principal directions of }Z",
    source="asked here of the limit K = 1: whether the rate reduction against subspaces generalises PCA",
    relation="<=",
    hypotheses="any tokens of full rank, any orthonormal U",
    expect=REFUTED,
    twin="the last p principal directions",
    instances=40,
    witness={"n, d, p": (3, 2, 1), "eps": 1.0, "scale": 1.0, "seed": 0},
)
def generalises_pca(case: Case) -> Outcome:
    """False: the first principal directions are the worst choice and the last ones the best. The eigenvalues of UᵀZZᵀU
    lie between the least and the largest p of ZZᵀ (Poincaré's separation theorem), and R is fixed while U is learned;
    with U held fixed tokens do go along it. Decided by enclosures of both rates.
    """
    n, d, p = case.choice("n, d, p", ((3, 2, 1), (2, 3, 1), (6, 3, 2), (9, 5, 2)))
    eps, scale, rng = case.log_uniform("eps", 0.1, 10.0), case.log_uniform("scale", 0.1, 10.0), case.rng()
    Z = scale * case.entries("Z", rng.standard_normal((n, d)))
    U = np.linalg.qr(rng.standard_normal((d, p)))[0]
    directions = np.linalg.svd(Z)[2].T
    V = np.ascontiguousarray(case.wrong(directions[:, :p], directions[:, d - p :]))
    of_V, of_U = (enclosure.subspace_coding_rate(Z, basis[None], eps=eps) for basis in (V, U))
    return decided(comparison(of_V, of_U), "<=", tokens=Z, U=U, V=V)
