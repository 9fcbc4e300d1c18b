"""CBSA: representatives that are contracted, compressed and broadcast, beside the exact step on all tokens."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from array_api_compat import array_namespace

from srr import attention, curvature, flops, subspace_coding_rate_and_gradient
from srr.cbsa import (
    attention_contraction,
    cbsa_step,
    contract_and_broadcast_official,
    grid_pooling,
    pooling,
    representatives,
)
from srr.layers import Cbsa, CbsaOfficial, cbsa, cbsa_official
from verify import decide
from verify.arrays import to_numpy
from verify.case import Case
from verify.claims._instances import complete_family, direction, norm
from verify.claims._sources import CBSA, N23
from verify.claims._steps import assume_visible, comparison, inner
from verify.derivatives import rate_along
from verify.figures import cbsa as figures
from verify.figures.compression import multiplications_by_tokens
from verify.ledger import HOLDS, REFUTED, Outcome, claim
from verify.multiplications import multiplications
from verify.outcome import all_of, at_most, decided, equal, exactly

Array = Any

SIZES = ((2, 1, 2, 1), (4, 2, 2, 1), (3, 2, 1, 2), (6, 3, 2, 2), (8, 2, 2, 2))
"""Tokens, representatives, heads, dimension of each; few, since every new shape costs JAX a second."""


@dataclass(frozen=True)
class Contracted:
    """Tokens, bases, and a contraction."""

    Z: Array
    U: Array
    A: Array
    eps: float
    n: int
    r: int
    K: int
    p: int

    @property
    def safe(self) -> float:
        """2/(β_r ‖A‖² λ_max(Σ_k U_kU_kᵀ))."""
        size = float(np.linalg.norm(to_numpy(self.A), 2, axis=(-2, -1)).max()) ** 2
        return 2 * self.r * self.eps**2 / self.p / size / float(curvature.overlap(self.U))


def _contracted(
    case: Case,
    *,
    bases: tuple[str, ...] = ("orthogonal",),
    contractions: tuple[str, ...] = ("pooled", "attention", "any"),
    sizes: tuple[tuple[int, int, int, int], ...] = SIZES,
    eps: tuple[float, float] = (0.1, 10.0),
) -> Contracted:
    rng = case.rng()
    n, r, K, p = case.choice("n, r, K, p", sizes)
    precision, scale = case.log_uniform("eps", *eps), case.log_uniform("scale", 0.1, 10.0)
    if case.choice("bases", bases) == "orthogonal":
        U = complete_family(rng, K, p)
    else:
        U = np.linalg.qr(rng.standard_normal((K, K * p, p)))[0]
    Z, U = case.asarray(scale * rng.standard_normal((n, K * p))), case.asarray(U)
    kind = case.choice("contraction", contractions)
    A = case.asarray(rng.standard_normal((r, n))) if kind == "any" else pooling(n, r, beside=Z)
    if kind == "attention":
        A = attention_contraction(Z, U, A)
    return Contracted(Z, U, A, precision, n, r, K, p)


# --- what the functions compute -----------------------------------------------------------------------------


def _attention(Q: np.ndarray, Y: np.ndarray) -> np.ndarray:
    logits = Q @ Y.swapaxes(-1, -2) / math.sqrt(Q.shape[-1])
    weights = np.exp(logits - logits.max(axis=-1, keepdims=True))
    return weights / weights.sum(axis=-1, keepdims=True)


@claim(
    "cbsa.written-out",
    title="The layers contract, compress and broadcast in every head, then take a step of ISTA",
    statement=r"Z^{\ell+1/2}=Z-\kappa\sum_kU_k\,\beta_rQ_k(I+\beta_rQ_k^\top Q_k)^{-1}A_k\text{ or }Z+W\big["
    r"s_kQ_k\,\mathrm{softmax}(p^{-1/2}Q_k^\top Q_k)A_k\big]_k+b1^\top,\quad Z^{\ell+1}=\mathrm{ISTA}(Z^{\ell+1/2})",
    source=f"{CBSA}; its code, attn_layers.py",
    relation="=",
    hypotheses="pools of consecutive tokens, or attention from them; any tokens, bases, dictionary, output matrix, "
    "bias, precision and steps (kappa given, or 1/L_c)",
    expect=HOLDS,
    twin="with the other sign",
    instances=120,
)
def written_out(case: Case) -> Outcome:
    """Head by head in NumPy; nothing of srr on the other side. In the code Q_k = Y_k(A + t_kA_k)ᵀ, A the pools."""
    kind = case.choice("layer", ("pooled", "attention", "official"))
    (n, r, K, p), given = case.choice("n, r, K, p", SIZES), case.choice("kappa", ("given", "1/L_c"))
    d, rng, eps, kappa = K * p, case.rng(), case.log_uniform("eps", 0.5, 3.0), case.log_uniform("step", 0.1, 3.0)
    eta, lam = case.log_uniform("eta", 0.03, 0.3), case.log_uniform("lam", 0.03, 1.0)
    shapes = ((n, d), (K, d, p), (d, d), (d, d), (d,), (K,), (K,))
    Z, U, D, W, b, t, s = (case.asarray(rng.standard_normal(shape)) for shape in shapes)
    bases = to_numpy(U)
    Y, pools = to_numpy(Z) @ bases, np.zeros((r, n))
    for i in range(r):
        pools[i, i * n // r : math.ceil((i + 1) * n / r)] = 1
    pools /= pools.sum(axis=1, keepdims=True)
    A = pools if kind == "pooled" else _attention(pools @ Y, Y)
    Q = A @ Y
    scores = 1 + float(np.max(np.sum(Y**2, axis=2)))
    contraction = equal(representatives(Z, U, case.asarray(A)), Q, size=n + d, scale=scores * norm(U) * norm(Z))
    if kind == "official":
        layer: Cbsa | CbsaOfficial = cbsa_official(
            U, D, r=r, contract=t, broadcast=s, output=W, bias=b, eta=eta, lam=lam
        )
        Q = pools @ Y + to_numpy(t)[:, None, None] * Q
        scores *= 1 + float(np.max(np.sum(Q**2, axis=2)))
        moved = to_numpy(s)[:, None, None] * (A.swapaxes(1, 2) @ (_attention(Q, Q) @ Q))
        moved, size = np.hstack(list(moved)) @ to_numpy(W).T + to_numpy(b), norm(s) * norm(W) * norm(A) * norm(Q)
    else:
        kappa = kappa if given == "given" else n * eps**2 / p / np.linalg.norm(np.hstack(list(bases)), 2) ** 2
        layer = cbsa(U, D, r=r, contraction=kind, eps=eps, kappa=kappa if given == "given" else None, eta=eta, lam=lam)
        found = layer.contract(Z)
        contraction = all_of(contraction, equal(found, A, size=n + d, scale=scores * (1 + norm(U) ** 2)))
        beta = p / (r * eps**2)
        gradient = beta * Q @ np.linalg.inv(np.eye(p) + beta * Q.swapaxes(1, 2) @ Q)
        moved = -kappa * np.sum(np.swapaxes(A, -1, -2) @ gradient @ bases.swapaxes(1, 2), axis=0)
        size = kappa * beta * (1 + beta * norm(Q) ** 2) * norm(Q) * norm(A) * norm(U)
    half = layer.compress(Z)
    X, M = to_numpy(half), to_numpy(D)
    return all_of(
        contraction,
        equal(half, to_numpy(Z) + case.wrong(1, -1) * moved, size=n + d, scale=norm(Z) + norm(b) + scores * size),
        equal(
            layer.sparsify(half),
            np.maximum(X + eta * (X - X @ M.T) @ M - eta * lam, 0),
            size=2 * d,
            scale=(1 + norm(M) ** 2) * norm(X) + lam,
        ),
    )


@claim(
    "cbsa.pools",
    title="The pools take means: of consecutive tokens, of the cells of a grid",
    statement=r"(AZ)_i=\frac1{|P_i|}\sum_{j\in P_i}z_j,\qquad\bigcup_iP_i=\{1,\dots,n\}",
    source=f"code of {CBSA}, attn_layers.py: adaptive average pooling",
    relation="=",
    hypotheses="pools of equal size: any number of consecutive tokens, cells of any height and width",
    expect=HOLDS,
    twin="sums",
    instances=60,
)
def pools(case: Case) -> Outcome:
    """By a reshape in NumPy. Where n is no multiple of r neighbouring pools share a token: `cbsa.written-out`."""
    rows, columns, height, width = (case.integer(name, 1, 3) for name in ("rows", "columns", "height", "width"))
    image = case.rng().standard_normal((rows, height, columns, width))
    line, grid = image.reshape(-1), image.mean(axis=(1, 3)).reshape(-1)
    beside, mean = case.asarray(image), 1 / case.wrong(1, height * width)
    by_cell = grid_pooling(rows * height, columns * width, rows, columns, beside=beside)
    in_turn = pooling(line.size, rows, beside=beside)
    return all_of(
        equal(by_cell @ case.asarray(line), grid / mean, size=line.size, scale=norm(line)),
        equal(in_turn @ case.asarray(line), image.mean(axis=(1, 2, 3)) / mean, size=line.size, scale=norm(line)),
    )


# --- what the step is ---------------------------------------------------------------------------------------


@claim(
    "cbsa.chain-rule",
    title="Contract, compress, broadcast is the gradient of the representatives' rate",
    statement=r"\nabla_Z\sum_kR\big(U_k^\top ZA_k^\top\big)=\sum_kU_k\,\nabla R(Q_k)\,A_k,"
    r"\qquad Q_k=U_k^\top ZA_k^\top",
    source=f"{CBSA}, the unrolled objective sum_k R(U_k^T Q), the contraction held fixed",
    relation="=",
    hypotheses="any contraction, pooled, by attention or any matrix; subspaces orthogonal or overlapping",
    expect=HOLDS,
    twin="broadcast by a contraction of half the size",
)
def chain_rule(case: Case) -> Outcome:
    """Against the derivative along a line of representatives in rational arithmetic, head by head."""
    m = _contracted(case, bases=("orthogonal", "overlapping"))
    H = direction(case.rng("direction"), (m.n, m.K * m.p))
    gradient = m.Z - cbsa_step(m.Z, m.U, m.A, eps=m.eps, step=1.0)
    moved = case.asarray(H)
    Q, dQ = (to_numpy(representatives(T, m.U, m.A)) for T in (m.Z, moved))
    exact = sum(float(rate_along(q, dq, eps=m.eps).first) for q, dq in zip(Q, dQ, strict=True))
    unit = norm(gradient) * norm(H) + norm(m.Z) * norm(H)
    found = case.asarray(np.asarray(case.wrong(1.0, 0.5) * inner(gradient, H)))
    size = 1 + m.p / (m.r * m.eps**2) * float(np.sum(to_numpy(m.A) ** 2))
    return equal(found, exact, size=m.n * m.K * m.p, scale=unit * size)


@claim(
    "cbsa.all-tokens-as-representatives",
    title="With all tokens for representatives it is the exact step",
    statement=r"r=n,\ A_k=I\ \Longrightarrow\ Z-\kappa\sum_kU_k\nabla R(Q_k)A_k=Z-\kappa\nabla R^c(Z\mid U_{[K]})",
    source=f"{CBSA}; {N23}, eq. 9",
    relation="=",
    hypotheses="any tokens, subspaces orthogonal or overlapping",
    expect=HOLDS,
    twin="A = 2 I",
    uses=("cbsa.chain-rule",),
    instances=60,
)
def all_tokens_as_representatives(case: Case) -> Outcome:
    """No more than that the two rates are then one."""
    m = _contracted(case, bases=("orthogonal", "overlapping"), contractions=("pooled",))
    A = case.asarray(case.wrong(1.0, 2.0) * np.eye(m.n))
    kappa = curvature.compression_step(m.U, m.n, eps=m.eps)
    ours = cbsa_step(m.Z, m.U, A, eps=m.eps, step=kappa)
    exact = attention.exact_step(m.Z, m.U, eps=m.eps, step=kappa)
    return equal(ours, exact, size=m.n * m.K * m.p, scale=norm(m.Z))


@claim(
    "cbsa.exact-on-constant-pools",
    title="Where tokens are constant within pools, pooled CBSA is the exact step",
    statement=r"z_i=z_j\text{ within each of }r\text{ equal pools}\ \Longrightarrow\ "
    r"\sum_kU_k\nabla R(Q_k)A=\nabla R^c(Z\mid U_{[K]})",
    source=f"derived; {CBSA} says that the representatives compress all",
    relation="=",
    hypotheses="pools of consecutive tokens, or cells of an image; orthogonal or overlapping subspaces",
    expect=HOLDS,
    twin="one token apart from its pool",
    uses=("cbsa.chain-rule",),
    instances=100,
    figure=figures.pooled_step_limit,
)
def exact_on_constant_pools(case: Case) -> Outcome:
    """The Gram matrices of Z and of Q differ by n/r, and so do β and β_r; A is r/n times what repeats the tokens. So
    what CBSA loses is the variation within pools, and nothing else.
    """
    rng = case.rng()
    K, p, side = case.choice("K, p, side", ((1, 2, 1), (2, 1, 2), (2, 2, 2)))
    eps, scale = case.log_uniform("eps", 0.1, 10.0), case.log_uniform("scale", 0.1, 10.0)
    if case.choice("bases", ("orthogonal", "overlapping")) == "orthogonal":
        U = complete_family(rng, K, p)
    else:
        U = np.linalg.qr(rng.standard_normal((K, K * p, p)))[0]
    if case.choice("pools", ("rows", "grid")) == "rows":
        A = pooling(6 * side, 3)
    else:
        A = grid_pooling(2 * side, 2 * side, side, side)
    Z = scale * (A > 0).T.astype(float) @ rng.standard_normal((A.shape[0], K * p))
    Z[0] += case.wrong(0.0, scale)
    Z, U, A = map(case.asarray, (Z, U, A))
    kappa = curvature.compression_step(U, Z.shape[0], eps=eps)
    ours, exact = cbsa_step(Z, U, A, eps=eps, step=kappa), attention.exact_step(Z, U, eps=eps, step=kappa)
    return equal(ours, exact, size=Z.shape[0] * K * p, scale=norm(Z))


@claim(
    "cbsa.principal-representatives-are-exact",
    title="Principal directions for representatives, p in each head, make the exact step",
    statement=r"Y_k=V_k\Sigma_kL_k^\top,\ A_k=\sqrt{r/n}\,L_k^\top,\ r=\min(n,p)\ \Longrightarrow\ "
    r"\sum_kU_k\nabla R(Q_k)A_k=\nabla R^c(Z\mid U_{[K]})",
    source=f"derived; {CBSA}, which names attention along the channels as a case of its operator",
    relation="=",
    hypotheses="any tokens, subspaces orthogonal or overlapping",
    expect=HOLDS,
    twin="other orthonormal directions of the tokens",
    uses=("cbsa.chain-rule",),
    instances=100,
)
def principal_representatives_are_exact(case: Case) -> Outcome:
    """A_kᵀA_k is r/n times the projection onto the rows of Y_k, in which the exact gradient lies. So p representatives
    are enough, whatever the number of tokens; which, it takes a singular value decomposition to know.
    """
    m = _contracted(case, bases=("orthogonal", "overlapping"), contractions=("pooled",))
    Y = np.einsum("nd,kdp->knp", to_numpy(m.Z), to_numpy(m.U))
    left = np.linalg.svd(Y, full_matrices=False)[0].swapaxes(1, 2)
    if case.twin:
        left = np.linalg.qr(case.rng("other").standard_normal(left.swapaxes(1, 2).shape))[0].swapaxes(1, 2)
    A = case.asarray(math.sqrt(left.shape[1] / m.n) * left)
    kappa = curvature.compression_step(m.U, m.n, eps=m.eps)
    ours = cbsa_step(m.Z, m.U, A, eps=m.eps, step=kappa)
    exact = attention.exact_step(m.Z, m.U, eps=m.eps, step=kappa)
    beta = m.p / (m.n * m.eps**2)
    return equal(ours, exact, size=m.n * m.K * m.p, scale=norm(m.Z) * (1 + beta * norm(m.Z) ** 2))


@claim(
    "cbsa.pooled-representatives-keep-the-constraint",
    title="The rate of pooled representatives is at most that of the tokens",
    statement=r"\sum_kR(U_k^\top ZA^\top)\le\sum_kR(U_k^\top Z)",
    source=f"{CBSA}, the constraint R(U_k^T Q) - R(U_k^T Z) <= tau under which it compresses representatives",
    relation="<=",
    hypotheses="equal pools of consecutive tokens, fewer than tokens; orthogonal or overlapping subspaces",
    expect=HOLDS,
    twin="the contraction by attention, for a head of its own",
    uses=("cbsa.exact-on-constant-pools",),
    instances=150,
)
def pooled_representatives_keep_the_constraint(case: Case) -> Outcome:
    """β_r QQᵀ = βYPYᵀ with a projection P. So the constraint is met at τ = 0. The contraction by attention breaks it:
    when all representatives attend to the longest token, their rate is that of n such tokens. Both are enclosed.
    """
    even = tuple(s for s in SIZES if s[0] % s[1] == 0 and s[0] > s[1])
    m = _contracted(case, bases=("orthogonal", "overlapping"), contractions=("pooled",), sizes=even)
    xp, Z, U, A = array_namespace(m.Z), m.Z, m.U, m.A
    if case.twin:
        U = U[:1, ...]
        A = attention_contraction(Z, U, A)[0, ...]
    Q = xp.matmul(A, Z)
    few, all_ = (decide.subspace_rate_change(0 * T, T, U, eps=m.eps) for T in (Q, Z))
    return decided(comparison(few, all_), representatives=few.midpoint, tokens=all_.midpoint)


# --- descent ------------------------------------------------------------------------------------------------


@claim(
    "cbsa.representatives-descend",
    title="The step lowers the rate of the representatives",
    statement=r"\sum_kR(U_k^\top Z^+A^\top)\le\sum_kR(U_k^\top ZA^\top),\qquad"
    r"0<\kappa<\frac2{\beta_r\|A\|^2\lambda_{\max}(\sum_kU_kU_k^\top)}",
    source=f"{CBSA}, the objective; step size derived",
    relation="<=",
    hypotheses="one contraction for all heads, held fixed, pooled or any; orthogonal or overlapping subspaces",
    expect=HOLDS,
    twin="a step of three times the limit",
    uses=("cbsa.chain-rule", "compression.exact-step-descends"),
    figure=figures.pooled_step_limit,
)
def representatives_descend(case: Case) -> Outcome:
    """The rate of AZ is curved by β_r λ_max at most, and moving Z moves AZ by A."""
    m = _contracted(case, bases=("orthogonal", "overlapping"), contractions=("pooled", "any"))
    xp = array_namespace(m.Z)
    share = case.wrong(case.uniform("share of the limit", 1e-3, 0.99), 3.0)
    after = cbsa_step(m.Z, m.U, m.A, eps=m.eps, step=share * m.safe)
    few, moved = (xp.matmul(m.A, T) for T in (m.Z, after))
    slope = norm(subspace_coding_rate_and_gradient(few, m.U, eps=m.eps)[1])
    step = share * m.safe
    promised = norm(after - m.Z) ** 2 / step * abs(1 - share)
    assume_visible(case, promised, norm(m.A) * m.Z, norm(m.A) * after, slope)
    return decided(decide.subspace_rate_change(few, moved, m.U, eps=m.eps))


@claim(
    "cbsa.slope-on-all-tokens",
    title="For orthogonal subspaces the step is never uphill for the rate of all tokens",
    statement=r"\langle\nabla R^c(Z),\sum_kU_k\nabla R(Q_k)A_k\rangle=\sum_k\beta\beta_r\,\mathrm{tr}\big["
    r"(I+\beta Y_kY_k^\top)^{-1}Q_kQ_k^\top(I+\beta_rQ_kQ_k^\top)^{-1}\big]\ge0",
    source=f"derived; {CBSA} asks that compressing the representatives compress all tokens",
    relation="<=",
    hypotheses="mutually orthogonal subspaces; any contraction, one for each head or for all",
    expect=HOLDS,
    twin="broadcast with the sign turned",
    uses=("cbsa.chain-rule",),
    figure=figures.pooled_step_limit,
)
def slope_on_all_tokens(case: Case) -> Outcome:
    """The trace of a product of two positive semidefinite matrices: Q_kQ_kᵀ commutes with the inverse beside it. The
    identity and the sign.
    """
    m = _contracted(case)
    gradient = subspace_coding_rate_and_gradient(m.Z, m.U, eps=m.eps)[1]
    ours = m.Z - cbsa_step(m.Z, m.U, m.A, eps=m.eps, step=1.0)
    slope = case.wrong(1, -1) * inner(gradient, ours)
    Y, Q = np.einsum("nd,kdp->knp", *(to_numpy(a) for a in (m.Z, m.U))), to_numpy(representatives(m.Z, m.U, m.A))
    beta, few = (m.p / (size * m.eps**2) for size in (m.n, m.r))
    inverse, other = (np.linalg.inv(np.eye(m.p) + b * X.swapaxes(1, 2) @ X) for b, X in ((beta, Y), (few, Q)))
    closed = beta * few * np.einsum("kij,kjl,kli->", inverse, Q.swapaxes(1, 2) @ Q, other)
    unit = norm(gradient) * (norm(ours) + norm(m.Z)) * (1 + few * norm(m.A) ** 2)
    size = m.n * m.K * m.p
    return all_of(
        equal(case.asarray(np.asarray(slope)), closed, size=size, scale=unit),
        at_most(-slope, 0 * gradient[0, 0], size=size, scale=unit),
    )


@claim(
    "cbsa.pooled-step-compresses",
    title="With pools of one size the step compresses all tokens, up to twice 1/L_c",
    statement=r"R^c\Big(Z-\kappa\sum_kU_k\nabla R(Q_k)A\Big)\le R^c(Z),\qquad0<\kappa<\frac2{L_c}",
    source=f"{CBSA}: compress all by contracting a few; step size derived",
    relation="<=",
    hypotheses="mutually orthogonal subspaces, equal pools of consecutive tokens",
    expect=HOLDS,
    twin="eight times 1/L_c",
    uses=("cbsa.slope-on-all-tokens", "cbsa.representatives-descend"),
    figure=figures.pooled_step_limit,
)
def pooled_step_compresses(case: Case) -> Outcome:
    """A is √(r/n) times r orthonormal rows. So in each head the step acts on the pooled part of Y_k as the exact one
    acts on Q_k, which shrinks Q_kQ_kᵀ in the order of positive semidefinite matrices, and leaves the rest of Y_kY_kᵀ.
    """
    even = tuple(s for s in SIZES if s[0] % s[1] == 0)
    m = _contracted(case, contractions=("pooled",), sizes=even)
    theta = case.wrong(case.uniform("kappa L_c", 0.01, 1.99), 8.0)
    after = cbsa_step(m.Z, m.U, m.A, eps=m.eps, step=theta * curvature.compression_step(m.U, m.n, eps=m.eps))
    gradient = subspace_coding_rate_and_gradient(m.Z, m.U, eps=m.eps)[1]
    assume_visible(case, abs(inner(gradient, after - m.Z) * (1 - theta / 2)), m.Z, after, norm(gradient))
    return decided(decide.subspace_rate_change(m.Z, after, m.U, eps=m.eps))


@claim(
    "cbsa.attention-step-compresses",
    title="With a contraction by attention too, a step of 1/L_c compresses all tokens",
    statement=r"R^c\Big(Z-\tfrac1{L_c}\sum_kU_k\nabla R(Q_k)A_k\Big)\le R^c(Z),\qquad "
    r"A_k=\mathrm{softmax}(p^{-1/2}AY_k^\top Y_k)",
    source=f"{CBSA}: the contraction of its networks, with the gradient step on the representatives",
    relation="<=",
    hypotheses="mutually orthogonal subspaces, eps from 1 to 100",
    expect=REFUTED,
    twin="the pools themselves",
    uses=("cbsa.slope-on-all-tokens", "cbsa.pooled-step-compresses"),
    witness={
        "seed": 2,
        "n, r, K, p": (4, 1, 1, 1),
        "eps": 8.0,
        "scale": 3.0,
        "bases": "orthogonal",
        "contraction": "attention",
    },
)
def attention_step_compresses(case: Case) -> Outcome:
    """False: a representative that attends to one token has a row of norm 1, where a pool of n/r has √(r/n). At small β
    that token is multiplied by 1 − n/r.
    """
    few = ((4, 1, 1, 1), (8, 1, 2, 2), (8, 2, 2, 2))
    m = _contracted(case, contractions=("attention",), sizes=few, eps=(1.0, 100.0))
    A = case.wrong(m.A, pooling(m.n, m.r, beside=m.Z))
    after = cbsa_step(m.Z, m.U, A, eps=m.eps, step=curvature.compression_step(m.U, m.n, eps=m.eps))
    gradient = subspace_coding_rate_and_gradient(m.Z, m.U, eps=m.eps)[1]
    assume_visible(case, abs(inner(gradient, after - m.Z)) / 2, m.Z, after, norm(gradient))
    return decided(decide.subspace_rate_change(m.Z, after, m.U, eps=m.eps))


@claim(
    "cbsa.official-operator-compresses",
    title="The official operator compresses the tokens",
    statement=r"R^c\big(Z+\sum_ks_kU_kQ_k\mathrm{softmax}(p^{-1/2}Q_k^\top Q_k)A_k\big)\le R^c(Z)",
    source=f"code of {CBSA}, attn_layers.py, with the output matrix of the theory and steps as initialised, N(0, 1)",
    relation="<=",
    hypotheses="mutually orthogonal subspaces",
    expect=REFUTED,
    twin="the pooled gradient step",
    uses=("cbsa.pooled-step-compresses",),
    instances=100,
    witness={
        "n, r, K, p": (2, 1, 2, 1),
        "eps": 1.0,
        "scale": 1.0,
        "bases": "orthogonal",
        "contraction": "pooled",
        "seed": 0,
        "steps": 0,
    },
)
def official_operator_compresses(case: Case) -> Outcome:
    """False half the time, by the sign of s_k: attention among the representatives stands for the part of the Neumann
    step that lengthens, as in CRATE, and it is learned which way it goes.
    """
    even = tuple(s for s in SIZES if s[0] % s[1] == 0)
    m = _contracted(case, contractions=("pooled",), sizes=even)
    t, s = (case.asarray(a) for a in case.rng("steps").standard_normal((2, m.K)))
    if case.twin:
        kappa = curvature.compression_step(m.U, m.n, eps=m.eps)
        after = cbsa_step(m.Z, m.U, m.A, eps=m.eps, step=kappa)
    else:
        after = m.Z + contract_and_broadcast_official(m.Z, m.U, m.A, contract=t, broadcast=s)
    gradient = subspace_coding_rate_and_gradient(m.Z, m.U, eps=m.eps)[1]
    assume_visible(case, abs(inner(gradient, after - m.Z)) / 2, m.Z, after, norm(gradient))
    return decided(decide.subspace_rate_change(m.Z, after, m.U, eps=m.eps))


# --- how near it is to the exact step -----------------------------------------------------------------------


@claim(
    "cbsa.cosine-for-small-tokens",
    title="For small tokens the cosine with the exact step is the share of their norm that pooling keeps",
    statement=r"\cos\Big(\sum_kU_k\nabla R(Q_k)A,\nabla R^c(Z)\Big)\to\frac{\|\bar Z\|_F}{\|Z\|_F}"
    r"\quad(\beta\|Z\|^2\to0),\qquad\bar Z=\text{the pool averages, repeated}",
    source=f"derived; how well the operator of {CBSA} approximates the exact step",
    relation="limit",
    hypotheses="a complete family of orthogonal subspaces, equal pools; off by at most 2 beta |Z|^2 above rounding",
    expect=HOLDS,
    twin="the square of that share",
    uses=("cbsa.chain-rule",),
    instances=150,
    figure=figures.cosine_by_size,
)
def cosine_for_small_tokens(case: Case) -> Outcome:
    """Both gradients are then β times the tokens, one of all, one of Z̄, an orthogonal projection of them. Larger
    tokens may do worse or better.
    """
    even = tuple(s for s in SIZES if s[0] % s[1] == 0 and s[0] > s[1])
    m = _contracted(case, contractions=("pooled",), sizes=even)
    small = case.log_uniform("beta |Z|^2", 1e-4, 1e-2)
    beta = m.p / (m.n * m.eps**2)
    Z = math.sqrt(small / beta) / norm(m.Z) * m.Z
    exact = subspace_coding_rate_and_gradient(Z, m.U, eps=m.eps)[1]
    ours = Z - cbsa_step(Z, m.U, m.A, eps=m.eps, step=1.0)
    cosine = inner(exact, ours) / norm(exact) / norm(ours)
    kept = norm(array_namespace(Z).matmul(m.A, Z)) * math.sqrt(m.n / m.r) / norm(Z)
    case.assume(kept > 0.01)
    gap = abs(cosine - kept ** case.wrong(1, 2))
    return at_most(case.asarray(np.asarray(gap)), 2 * small, size=m.n * m.K * m.p, scale=100.0)


@claim(
    "cbsa.cosine-of-independent-tokens",
    title="For independent tokens that squared share is r/n on average, whatever the dimension",
    statement=r"\mathbb E\,\frac{\|\bar Z\|_F^2}{\|Z\|_F^2}=\frac rn",
    source=f"derived; the cost of {CBSA} is linear in r",
    relation="=",
    hypotheses="independent Gaussian tokens, equal pools; the mean of 4000 sets within six standard errors",
    expect=HOLDS,
    twin="its root",
    uses=("cbsa.cosine-for-small-tokens",),
    instances=20,
    figure=figures.share_that_pooling_keeps,
)
def cosine_of_independent_tokens(case: Case) -> Outcome:
    """The share of an r-dimensional projection of Gaussians is Beta(rd/2, (n − r)d/2). So with 64 of 256 tokens the
    step has a cosine of about one half with the exact one if tokens are independent, and of up to one if neighbours are
    alike.
    """
    rng = case.rng()
    n, r, d = case.choice("n, r, d", ((2, 1, 2), (4, 2, 2), (8, 2, 4), (16, 4, 8)))
    sets = 4000
    Z = rng.standard_normal((sets, n, d))
    A = pooling(n, r)
    share = n / r * np.sum((A @ Z) ** 2, axis=(1, 2)) / np.sum(Z**2, axis=(1, 2))
    mean = r / n
    deviation = math.sqrt(mean * (1 - mean) / (n * d / 2 + 1) / sets)
    return at_most(abs(float(share.mean()) - case.wrong(mean, math.sqrt(mean))), 6 * deviation, size=1, scale=1.0)


@claim(
    "cbsa.cosine-is-at-least-root-r-over-n",
    title="The cosine with the exact step is at least sqrt(r/n)",
    statement=r"\cos\Big(\sum_kU_k\nabla R(Q_k)A,\nabla R^c(Z)\Big)\ge\sqrt{r/n}",
    source=f"asked here: in {CBSA} a few representatives stand for all tokens",
    relation="<=",
    hypotheses="mutually orthogonal subspaces, equal pools, any tokens",
    expect=REFUTED,
    twin="tokens that are constant within pools",
    uses=("cbsa.cosine-for-small-tokens", "cbsa.exact-on-constant-pools"),
    instances=100,
    witness={
        "n, r, K, p": (2, 1, 2, 1),
        "eps": 1.0,
        "scale": 1.0,
        "bases": "orthogonal",
        "contraction": "pooled",
        "seed": 1,
    },
)
def cosine_is_at_least_root_r_over_n(case: Case) -> Outcome:
    """False: tokens that cancel within their pool are not seen at all, and r/n is a mean. Nor does it hold on average
    once tokens are large.
    """
    even = tuple(s for s in SIZES if s[0] % s[1] == 0 and s[0] > s[1])
    m = _contracted(case, contractions=("pooled",), sizes=even)
    xp = array_namespace(m.Z)
    Z = m.n / m.r * xp.matmul(xp.matrix_transpose(m.A), xp.matmul(m.A, m.Z)) if case.twin else m.Z
    exact = subspace_coding_rate_and_gradient(Z, m.U, eps=m.eps)[1]
    ours = Z - cbsa_step(Z, m.U, m.A, eps=m.eps, step=1.0)
    cosine = inner(exact, ours) / norm(exact) / norm(ours)
    return at_most(math.sqrt(m.r / m.n), case.asarray(np.asarray(cosine)), size=m.n, scale=100.0)


# --- cost ---------------------------------------------------------------------------------------------------


@claim(
    "cbsa.cost",
    title="The cost of the official operator is linear in the tokens",
    statement=r"\#\text{multiplications}=2ndKp+4nrKp+2r^2Kp=O(nrp)\text{ per head beside the projections}",
    source=f"{CBSA}, complexity; one term nrKp is the pooling, taken as a matrix product",
    relation="=",
    hypotheses="two to forty tokens, counted while the operator runs",
    expect=HOLDS,
    twin="the count of attention among all tokens, 2ndKp + 2n^2Kp",
    instances=60,
    figure=multiplications_by_tokens,
)
def cost(case: Case) -> Outcome:
    """Counted in the matrix products; the softmax and what else goes entry by entry is O(nrK). In NumPy whatever the
    ledger computes with.
    """
    n = case.integer("n", 2, 40)
    r, K, p = case.integer("r", 1, n), case.integer("K", 1, 3), case.integer("p", 1, 4)
    d = K * p + case.integer("d - Kp", 0, 3)
    rng = np.random.default_rng(0)
    Z, U, ones = rng.standard_normal((n, d)), rng.standard_normal((K, d, p)), np.ones(K)

    def run(Z: np.ndarray, U: np.ndarray, A: np.ndarray) -> Array:
        return contract_and_broadcast_official(Z, U, A, contract=ones, broadcast=ones)

    counted = multiplications(run, Z, U, pooling(n, r))
    claimed = case.wrong(flops.contract_and_broadcast(n, d, K, p, r) // 2, 2 * n * d * K * p + 2 * n * n * K * p)
    return exactly(counted == claimed, counted=counted, claimed=claimed)
