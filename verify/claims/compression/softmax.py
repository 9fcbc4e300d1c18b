"""The softmax of attention: its mass, its direction, its derivative, its symmetries."""

from __future__ import annotations

import math

import numpy as np
from array_api_compat import array_namespace

from srr import attention
from verify.arrays import to_numpy
from verify.case import Case, Instance
from verify.claims._instances import complete_family, norm
from verify.claims._sources import N23
from verify.claims._steps import coarseness, heads, softmax
from verify.claims.compression._mixtures import SMALL, unit_tokens
from verify.figures import compression as figures
from verify.ledger import HOLDS, HOLDS_UNDER, Outcome, claim
from verify.outcome import all_of, at_most, equal


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
    m = unit_tokens(case, K=(2, 4), p=(1, 3), n=(1, 24), noise=0.0)
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
    m = unit_tokens(case, K=(2, 4), p=(1, 3), n=(2, 24), noise=0.0)
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
    return equal(left, right, size=m.n + m.d, scale=(1 + norm(m.Z) ** 2) * m.beta * m.K * norm(m.Z))


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
    return equal(left, right, size=m.n + m.d, scale=(1 + norm(m.Z) ** 2) * m.beta * m.K * norm(m.Z))
