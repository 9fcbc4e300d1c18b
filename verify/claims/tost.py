"""ToST: the variational rate, its step, its memberships, and what the official code makes of them."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from array_api_compat import array_namespace
from flint import fmpq

from srr import coding_rate, flops, partition_coding_rate
from srr.layers import tost, tost_block, tost_official
from srr.tost import (
    descent_step,
    memberships,
    memberships_official,
    memberships_official_causal,
    tssa,
    tssa_causal,
    tssa_official,
    tssa_official_causal,
    variational_rate,
    variational_rate_and_gradient,
)
from verify import decide
from verify.arrays import to_numpy
from verify.case import Case
from verify.claims import _instances
from verify.claims._instances import direction, norm, rotation
from verify.claims._sources import BOOK, TOST
from verify.claims._steps import assume_visible, comparison, inner
from verify.derivatives import partition_rate_along, rational
from verify.figures import tost as figures
from verify.figures.compression import multiplications_by_tokens
from verify.ledger import HOLDS, REFUTED, Outcome, claim
from verify.multiplications import multiplications
from verify.outcome import all_of, at_most, decided, equal, exactly, observed

Array = Any

SIZES = ((2, 2, 2, 1), (1, 2, 1, 1), (1, 2, 2, 1), (3, 3, 2, 2), (5, 4, 3, 2), (6, 3, 2, 3))
"""Tokens, dimension, heads, dimension of each; few, since every new shape costs JAX a second."""


@dataclass(frozen=True)
class Classes:
    """Tokens with memberships, and orthonormal bases that overlap as they fall."""

    Z: Array
    Pi: Array
    U: Array
    eps: float
    n: int
    d: int
    K: int
    p: int

    @property
    def c(self) -> float:
        """d/ε²."""
        return self.d / self.eps**2


def _classes(
    case: Case,
    *,
    sizes: tuple[tuple[int, int, int, int], ...] = SIZES,
    kinds: tuple[str, ...] = ("softmax", "any"),
    eps: tuple[float, float] = (0.1, 10.0),
    scale: tuple[float, float] = (0.1, 10.0),
) -> Classes:
    rng = case.rng()
    n, d, K, p = case.choice("n, d, K, p", sizes)
    precision, size = case.log_uniform("eps", *eps), case.log_uniform("scale", *scale)
    U = case.asarray(np.linalg.qr(rng.standard_normal((K, d, p)))[0])
    Z = case.asarray(size * rng.standard_normal((n, d)))
    if case.choice("Pi", kinds) == "softmax":
        Pi = memberships(Z, U, eta=case.log_uniform("eta", 0.1, 10.0))
    else:
        Pi = _instances.memberships(case, rng, n, K=(K,))
    return Classes(Z, Pi, U, precision, n, d, K, p)


# --- what the layers compute --------------------------------------------------------------------------------


@claim(
    "tost.memberships-written-out",
    title="Memberships are a softmax over the heads: of squares, or in the code of shares of squares",
    statement=r"\pi_k(z_j)=\mathrm{softmax}_k\Big(\tfrac1{2\eta}\|U_k^\top z_j\|^2\Big)\text{ or }"
    r"\mathrm{softmax}_k\Big(t_k\sum_i\Big(\frac{(Y_k)_{ij}^2}{\sum_{j'}(Y_k)_{ij'}^2}+b_{kj}\Big)\Big)",
    source=f"{TOST}, eq. 10; code, tost_vision, and tost_lang, where j' goes up to j and b is learned",
    relation="=",
    hypotheses="any tokens, bases, eta, temperatures and biases",
    expect=HOLDS,
    twin="eta, and the temperatures, twice as large",
    instances=120,
)
def memberships_written_out(case: Case) -> Outcome:
    """Head by head in NumPy; nothing of srr on the other side."""
    kind, (n, d, K, p) = case.choice("form", ("paper", "official", "causal")), case.choice("n, d, K, p", SIZES)
    eta, rng = case.log_uniform("eta", 0.3, 3.0), case.rng()
    Z, U, t, b = (case.asarray(rng.standard_normal(shape)) for shape in ((n, d), (K, d, p), (K,), (K, n)))
    Y, factor = to_numpy(Z) @ to_numpy(U), case.wrong(1, 2)
    if kind == "paper":
        found, logits = tost(U, eps=1.0, eta=eta).memberships(Z), np.sum(Y**2, axis=2) / (2 * factor * eta)
    else:
        logits = _official_logits(Y, to_numpy(t) * factor, to_numpy(b) if kind == "causal" else None)
        if kind == "causal":
            found = memberships_official_causal(Z, U, scale=t, denominator_bias=b)
        else:
            found = tost_official(U, scale=t).memberships(Z)
    scale = 1 + float(np.max(np.abs(logits))) + norm(U) ** 2 * norm(Z) ** 2
    return equal(found, _softmax(logits).T, size=n + d, scale=scale)


@claim(
    "tost.written-out",
    title="The layers take off the tokens what weighted second moments say, head by head",
    statement=r"Z^{\ell+1}=Z^\ell-\frac\tau n\sum_kU_kD_kY_k\,\mathrm{Diag}(\pi_k)\text{ or }"
    r"Z^\ell-W\big[(I+\mathrm{Diag}(v_k))^{-1}Y_k\,\mathrm{Diag}(\pi_k)\big]_k+b1^\top",
    source=f"{TOST}, TSSA and its memberships; code, tost_vision and tost_lang",
    relation="=",
    hypotheses="any tokens, bases, eta, output matrix, bias and temperatures; the step given, or 1/(alpha max "
    "|U_k|^2); with sums over all tokens, or over those so far",
    expect=HOLDS,
    twin="with the other sign",
    uses=("tost.memberships-written-out",),
    instances=150,
)
def written_out(case: Case) -> Outcome:
    """Head by head in NumPy; nothing of srr on the other side. To the sizes n_k of classes the code adds 1e-8."""
    kind = case.choice("layer", ("given step", "safe step", "official", "causal", "official causal"))
    n, d, K, p = case.choice("n, d, K, p", SIZES)
    eps, eta = case.log_uniform("eps", 0.3, 3.0), case.log_uniform("eta", 0.3, 3.0)
    tau, rng = case.log_uniform("tau", 0.1, 10.0), case.rng()
    shapes = ((n, d), (K, d, p), (d, K * p), (d,), (K,), (K, n))
    Z, U, W, b, t, more = (case.asarray(rng.standard_normal(shape)) for shape in shapes)
    tokens, bases, causal = to_numpy(Z), to_numpy(U), kind.endswith("causal")
    Y, side = tokens @ bases, np.hstack(list(bases))
    if kind.startswith("official"):
        logits = _official_logits(Y, to_numpy(t), to_numpy(more) if causal else None)
        c, way_back, shift, least = 1.0, to_numpy(W), to_numpy(b), 1e-8
        if causal:
            found = Z + tssa_official_causal(Z, U, scale=t, denominator_bias=more, output=W, bias=b)
        else:
            found = tost_official(U, scale=t, output=W, bias=b)(Z)
    else:
        logits = np.sum(Y**2, axis=2) / (2 * eta)
        safe = n * eps**2 / d / np.linalg.norm(bases, 2, axis=(1, 2)).max() ** 2
        c, way_back, shift, least = d / eps**2, (safe if kind == "safe step" else tau) * side, np.zeros(d), 0.0
        if causal:
            found = Z + tssa_causal(Z, memberships(Z, U, eta=eta), U, eps=eps, step=tau)
        else:
            found = tost(U, eps=eps, eta=eta, step=None if kind == "safe step" else tau)(Z)
    Pi = _softmax(logits)[:, :, None]
    v = _total(Pi * Y**2, causal) / (_total(Pi, causal) + least)
    seen = 1 if least else np.arange(1, n + 1)[:, None] if causal else n
    taken = np.hstack(list(Pi * Y * c / (1 + c * v) / seen)) @ way_back.T - shift
    scores = 1 + float(np.max(np.abs(logits)))
    size = norm(Z) + norm(shift) + scores * c * norm(Y) * norm(way_back)
    return equal(found, tokens - case.wrong(1, -1) * taken, size=n + d, scale=size)


def _total(a: np.ndarray, causal: bool) -> np.ndarray:
    return np.cumsum(a, axis=1) if causal else np.sum(a, axis=1, keepdims=True)


def _official_logits(Y: np.ndarray, t: np.ndarray, b: np.ndarray | None) -> np.ndarray:
    """Of heads (K, n, p); causal if there is a bias."""
    shares = np.sum(Y**2 / _total(Y**2, b is not None), axis=2)
    return t[:, None] * (shares if b is None else shares + Y.shape[2] * b)


def _softmax(logits: np.ndarray) -> np.ndarray:
    weights = np.exp(logits - logits.max(axis=0))
    return weights / weights.sum(axis=0)


@claim(
    "tost.safe-step",
    title="The step that a layer takes of itself",
    statement=r"\tau=\frac1{\alpha\max_k\|U_k\|_2^2},\qquad\alpha=\frac d{n\varepsilon^2}",
    source="derived: tost.step-descends",
    relation="=",
    hypotheses="any bases, orthonormal or not",
    expect=HOLDS,
    twin="the norms not squared",
    instances=50,
)
def safe_step(case: Case) -> Outcome:
    """Half the largest that is sure to descend."""
    (n, d, K, p), eps = case.choice("n, d, K, p", SIZES), case.log_uniform("eps", 0.1, 10.0)
    U = case.asarray(case.rng().standard_normal((K, d, p)))
    longest = float(np.linalg.norm(to_numpy(U), 2, axis=(1, 2)).max())
    step = n * eps**2 / d / longest ** case.wrong(2, 1)
    return equal(case.asarray(np.asarray(float(descent_step(U, n, eps=eps)))), step, size=d + p, scale=step)


@claim(
    "tost.cost",
    title="The cost of TSSA is linear in the tokens",
    statement=r"\#\text{multiplications}=2ndKp+nKp",
    source=f"{TOST}, complexity; matrix products alone",
    relation="=",
    hypotheses="two to twenty tokens, memberships given, counted while the operator runs",
    expect=HOLDS,
    twin="with a product of tokens with tokens",
    instances=30,
    figure=multiplications_by_tokens,
)
def cost(case: Case) -> Outcome:
    """The projection, the way back, and the second moments. In NumPy whatever the ledger computes with."""
    n, K, p = case.integer("n", 2, 20), case.integer("K", 1, 3), case.integer("p", 1, 4)
    d, rng = p + case.integer("d - p", 0, 5), case.rng()
    Z, U, Pi = rng.standard_normal((n, d)), rng.standard_normal((K, d, p)), rng.dirichlet(np.ones(K), size=n)
    counted = multiplications(lambda Z, U: tssa(Z, Pi, U, eps=1.0, step=1.0), Z, U)
    claimed = case.wrong(flops.token_statistics(n, d, K, p) // 2, 2 * n * d * K * p + n * n * K * p)
    return exactly(counted == claimed, counted=counted, claimed=claimed)


# --- the bound ----------------------------------------------------------------------------------------------

CONCAVE: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "log(1 + x)": np.log1p,
    "sqrt(x)": np.sqrt,
    "min(x, 1)": lambda x: np.minimum(x, 1.0),
    "x/(1 + x)": lambda x: x / (1 + x),
    "-x^2": lambda x: -(x**2),
}


@claim(
    "tost.concave-sum-over-a-basis",
    title="A concave function summed over a diagonal is at least its sum over the eigenvalues",
    statement=r"\sum_if(\lambda_i(M))\le\sum_if\big((Q^\top MQ)_{ii}\big),\qquad Q^\top Q=I,\ M\succeq0,"
    r"\ f\text{ concave}",
    source=f"{TOST}, theorem 1; {BOOK}, thm. var_concave",
    relation="<=",
    hypotheses="any positive semidefinite M, of full rank or not, any rotation; f one of five concave functions, of "
    "which one falls and one has a corner",
    expect=HOLDS,
    twin="the convex x^2",
    figure=figures.bound_by_basis,
)
def concave_sum_over_a_basis(case: Case) -> Outcome:
    """Schur and Horn: the diagonal is majorised by the eigenvalues. That f is non-decreasing, which the theorem also
    asks for, is not needed.
    """
    rng = case.rng()
    d, rank = case.integer("d", 1, 6), case.integer("rank", 1, 6)
    f = CONCAVE[case.choice("f", tuple(CONCAVE))]
    root = case.log_uniform("scale", 1e-2, 1e2) * rng.standard_normal((d, rank))
    M, Q = root @ root.T, rotation(rng, d)
    values = np.linalg.svd(root, compute_uv=False)
    eigenvalues = np.pad(values[:d] ** 2, (0, max(0, d - len(values))))
    diagonal = np.sum((Q.T @ root) ** 2, axis=1)
    sums = [float(np.sum(case.wrong(f, np.square)(x))) for x in (eigenvalues, diagonal)]
    unit = sum(map(abs, sums)) + np.sqrt(np.trace(M)) + np.trace(M)
    return at_most(*sums, size=d * rank, scale=unit)


@claim(
    "tost.variational-bound",
    title="In any orthonormal basis the variational rate is at least the rate",
    statement=r"\log\det(I+cM)\le\sum_i\log\big(1+c\,(Q^\top MQ)_{ii}\big),\qquad M=\tfrac1nZZ^\top,"
    r"\ Q^\top Q=QQ^\top=I",
    source=f"{TOST}, theorem 1, for f(x) = log(1 + cx), c = d/eps^2",
    relation="<=",
    hypotheses="any tokens, a complete orthonormal basis",
    expect=HOLDS,
    twin="a basis of half the length",
    proof=("variational-bound-on-the-rate", "log-det-at-most-sum-over-the-diagonal"),
    uses=("tost.concave-sum-over-a-basis",),
    figure=figures.bound_by_basis,
)
def variational_bound(case: Case) -> Outcome:
    """Hadamard's inequality in the basis Q."""
    rng = case.rng("basis")
    t = _instances.tokens(case, case.rng())
    U = case.asarray(case.wrong(1.0, 0.5) * rotation(rng, t.d)[None])
    rate = coding_rate(t.Z, eps=t.eps)
    one = case.asarray(np.ones((t.n, 1)))
    above = variational_rate(t.Z, one, U, eps=t.eps)
    return at_most(rate, above, size=t.n * t.d, scale=_scale(rate) + _scale(above))


@claim(
    "tost.bound-is-attained",
    title="The bound is attained by the principal axes of each class",
    statement=r"R_c(Z,\Pi)=R^{\rm var}(Z,\Pi\mid U_{[K]})\quad\text{if every }U_k\text{ diagonalises }"
    r"Z\,\mathrm{Diag}(\pi_k)Z^\top",
    source=f"{TOST}, corollary 1; {BOOK}, cor. var_concave_logdet",
    relation="tight",
    hypotheses="any tokens, memberships hard or soft",
    expect=HOLDS,
    twin="axes that are rotated by half a radian",
    proof=("variational-rate-along-principal-axes",),
    derivations=("variational-bound-is-attained",),
    uses=("tost.variational-bound",),
    figure=figures.bound_by_basis,
)
def bound_is_attained(case: Case) -> Outcome:
    """The bases may have d columns, or p if no more directions carry anything."""
    rng = case.rng()
    n, d, K, _ = case.choice("n, d, K, p", SIZES)
    eps, size = case.log_uniform("eps", 0.1, 10.0), case.log_uniform("scale", 0.1, 10.0)
    Z = size * rng.standard_normal((n, d))
    Pi = _instances.memberships(case, rng, n, K=(K,))
    weights = to_numpy(Pi)
    axes = [np.linalg.svd(np.sqrt(weights[:, k : k + 1]) * Z, full_matrices=True)[2].T for k in range(K)]
    turn = np.eye(d)
    turn[:2, :2] = [[math.cos(0.5), -math.sin(0.5)], [math.sin(0.5), math.cos(0.5)]]
    U = np.stack(axes) @ case.wrong(np.eye(d), turn)
    Z, U = case.asarray(Z), case.asarray(U)
    rate = partition_coding_rate(Z, Pi, eps=eps)
    above = variational_rate(Z, Pi, U, eps=eps)
    return equal(rate, above, size=n * d, scale=_scale(rate) + _scale(above))


@claim(
    "tost.bound-within-subspaces",
    title="Where each class lies in its subspace, p columns are enough for the bound",
    statement=r"\mathrm{image}\big(Z\,\mathrm{Diag}(\pi_k)Z^\top\big)\subset\mathrm{image}(U_k)\ \Longrightarrow\ "
    r"R_c(Z,\Pi)\le R^{\rm var}(Z,\Pi\mid U_{[K]})",
    source=f"{TOST}, corollary 1; {BOOK}, cor. var_concave_logdet",
    relation="<=",
    hypotheses="labelled tokens without noise, each in the subspace of its class, p < d",
    expect=HOLDS,
    twin="noise as large as the signal",
    proof=("variational-rate-at-least-the-partition-rate",),
    uses=("tost.variational-bound",),
    figure=figures.where_the_bound_fails,
)
def bound_within_subspaces(case: Case) -> Outcome:
    """What lies outside U_k is zero, so the rest of a basis would add log 1."""
    noise, size = case.wrong(0.0, 1.0), (0.1, 10.0)
    m = case.mixture(n=(1, 12), K=(1, 3), p=(1, 3), d=(2, 6), eps=size, scale=size, noise=noise)
    labels = to_numpy(m.labels).astype(int)
    Pi = case.asarray(np.eye(m.K)[labels])
    rate = partition_coding_rate(m.Z, Pi, eps=m.eps)
    above = variational_rate(m.Z, Pi, m.U, eps=m.eps)
    return at_most(rate, above, size=m.n * m.d, scale=_scale(rate) + _scale(above))


@claim(
    "tost.bound-with-softmax-memberships",
    title="The variational rate of softmax memberships bounds the rate, as ToST uses it",
    statement=r"R_c(Z,\Pi)\le R^{\rm var}(Z,\Pi\mid U_{[K]}),\qquad\Pi_{jk}=\mathrm{softmax}_k"
    r"\big(\|U_k^\top z_j\|^2/2\eta\big)",
    source=f"{TOST}, the step from corollary 1 to the layer: p < d columns, memberships from a softmax",
    relation="<=",
    hypotheses="orthonormal bases with p < d, overlapping or not",
    expect=REFUTED,
    twin="every U_k completed to an orthonormal basis of the space",
    uses=("tost.bound-within-subspaces", "tost.what-the-bound-lacks"),
    witness={"n, d, K, p": (1, 2, 1, 1), "eps": 1.0, "scale": 1.0, "seed": 0, "Pi": "softmax", "eta": 1.0},
    figure=figures.where_the_bound_fails,
)
def bound_with_softmax_memberships(case: Case) -> Outcome:
    """False, and by any factor: a softmax gives every token to every class a little, so no class lies in its subspace,
    and the rate of what is outside is not in R^var. One token across its only head has rate and no R^var; so has (1, 1)
    between two axes half of what it needs. What is missing is said by tost.what-the-bound-lacks.
    """
    m = _classes(case, sizes=tuple(s for s in SIZES if s[3] < s[1]), kinds=("softmax",))
    U = m.U
    if case.twin:
        full = [np.linalg.svd(to_numpy(U)[k], full_matrices=True)[0] for k in range(m.K)]
        U = case.asarray(np.stack(full))
        rate, above = partition_coding_rate(m.Z, m.Pi, eps=m.eps), variational_rate(m.Z, m.Pi, U, eps=m.eps)
        return at_most(rate, above, size=m.n * m.d, scale=_scale(rate) + _scale(above))
    nothing = 0 * m.Z
    rate = decide.partition_rate_change(nothing, m.Z, m.Pi, eps=m.eps)
    above = decide.variational_rate_change(nothing, m.Z, m.Pi, U, eps=m.eps)
    return decided(comparison(rate, above), rate=rate.midpoint, variational=above.midpoint)


@claim(
    "tost.what-the-bound-lacks",
    title="The bound fails by what lies outside the subspaces, less what Hadamard's inequality gives away",
    statement=r"R^{\rm var}-R_c=\tfrac12\sum_k\tfrac{n_k}n\Big[\sum_i\log(1+cv_{ki})-\log\det(I+cU_k^\top M_kU_k)"
    r"-\log\det(I+cS_k)\Big],\quad S_k=V_k^\top M_kV_k-cV_k^\top M_kU_k(I+cU_k^\top M_kU_k)^{-1}U_k^\top M_kV_k",
    source=f"amends {TOST}, corollary 1; M_k = Z Diag(pi_k) Z^T/n_k, V_k completes U_k",
    relation="=",
    hypotheses="orthonormal bases with p < d, memberships hard or soft or a softmax",
    expect=HOLDS,
    twin="V_k^T M_k V_k for its Schur complement S_k",
    uses=("tost.variational-bound",),
    figure=figures.where_the_bound_fails,
)
def what_the_bound_lacks(case: Case) -> Outcome:
    """The Schur complement of I + cM_k. So the bound holds if and only if Σ_k n_k log det(I + cS_k), the rate that
    leaks out of the subspaces, is at most the gap in Hadamard's inequality within them. Sharper bases make that worse:
    with the axes of tost.bound-is-attained the gap is zero, and any leak breaks the bound.
    """
    m = _classes(case, sizes=tuple(s for s in SIZES if s[3] < s[1]))
    Z, Pi, bases = (to_numpy(a) for a in (m.Z, m.Pi, m.U))
    total, size = 0.0, 0.0
    for pi, U in zip(Pi.T, bases, strict=True):
        if not pi.any():
            continue
        V = np.linalg.svd(U, full_matrices=True)[0][:, m.p :]
        root = np.sqrt(pi / pi.sum())[:, None] * Z
        inside, outside = m.c**0.5 * root @ U, m.c**0.5 * root @ V
        block = np.eye(m.p) + inside.T @ inside
        # I + cS_k = I + Vᵀ(I + inside insideᵀ)⁻¹V, in which nothing cancels
        held = np.linalg.inv(np.eye(m.n) + case.wrong(1.0, 0.0) * inside @ inside.T)
        leak = np.linalg.slogdet(np.eye(m.d - m.p) + outside.T @ held @ outside)[1]
        diagonal, whole = np.sum(np.log1p(np.sum(inside**2, axis=0))), np.linalg.slogdet(block)[1]
        total += pi.sum() / m.n * (diagonal - whole - leak) / 2
        size += pi.sum() / m.n * (diagonal + whole + leak) * (1 + np.sum(inside**2))
    rate, above = partition_coding_rate(m.Z, m.Pi, eps=m.eps), variational_rate(m.Z, m.Pi, m.U, eps=m.eps)
    scale = size + _scale(rate) + _scale(above)
    return equal(above - rate, case.asarray(np.asarray(total)), size=m.n * m.d, scale=scale)


# --- the step -----------------------------------------------------------------------------------------------


@claim(
    "tost.gradient",
    title="The gradient of the variational rate, the memberships held fixed",
    statement=r"\nabla_ZR^{\rm var}=\tfrac1n\sum_kU_kD_kU_k^\top Z\,\mathrm{Diag}(\pi_k),\qquad "
    r"D_k=\mathrm{Diag}\big(f'(v_k)\big)",
    source=f"{TOST}, gradient of the variational rate; {BOOK}, eq. grad Rcf",
    relation="=",
    hypotheses="any tokens; orthonormal bases, overlapping; any fixed memberships",
    expect=HOLDS,
    twin="the gain 1/(1 + cv) without its c",
    proof=("gradient-of-the-variational-rate",),
)
def gradient(case: Case) -> Outcome:
    """Against the derivative along a line of tokens in rational arithmetic."""
    m = _classes(case)
    H = direction(case.rng("direction"), (m.n, m.d))
    slope = variational_rate_and_gradient(m.Z, m.Pi, m.U, eps=m.eps)[1]
    along = inner(slope, H) / case.wrong(1.0, m.c)
    return equal(case.asarray(np.asarray(along)), _slope(m, H), size=m.n * m.d, scale=norm(slope) * norm(H))


@claim(
    "tost.step-descends",
    title="A TSSA step lowers the variational rate while it is shorter than twice its majoriser allows",
    statement=r"R^{\rm var}(Z+\mathrm{TSSA}(Z),\Pi)\le R^{\rm var}(Z,\Pi),\qquad0<\tau<\frac{2n}{\max_{k,i}D_{k,ii}},"
    r"\quad\text{so for every }\tau<\frac{2n\varepsilon^2}d",
    source=f"{TOST}, the layer; the step size derived: majorisation by concavity",
    relation="<=",
    hypotheses="the memberships held fixed; orthonormal bases, however they overlap; 0.1 % to 99 % of the limit",
    expect=HOLDS,
    twin="three times the limit",
    proof=("tost-step-descends-by-its-largest-gain", "tost-step-descends"),
    derivations=(
        "quadratic-of-the-variational-rate",
        "tangent-of-the-logarithm-to-the-right",
        "tangent-of-the-logarithm-to-the-left",
    ),
    uses=("tost.gradient",),
    figure=figures.step_limit,
)
def step_descends(case: Case) -> Outcome:
    """f is concave, so R^var lies below a quadratic of the same gradient, curved by max D/n at most since the rows of Π
    are on the simplex. The limit grows with the tokens: D falls from c = d/ε² to 1/v. Decided exactly.
    """
    m = _classes(case)
    share = case.wrong(case.uniform("share of the limit", 1e-3, 0.99), 3.0)
    top = _largest_gain(m)
    tau = 2 * share * m.n / top
    after = m.Z + tssa(m.Z, m.Pi, m.U, eps=m.eps, step=tau)
    slope = norm(variational_rate_and_gradient(m.Z, m.Pi, m.U, eps=m.eps)[1])
    assume_visible(case, tau * abs(1 - share) * slope**2, m.Z, after, slope)
    return decided(decide.variational_rate_change(m.Z, after, m.Pi, m.U, eps=m.eps))


@claim(
    "tost.step-limit-is-sharp",
    title="No longer step lowers the variational rate of all tokens",
    statement=r"\forall\,\tau>\frac{2n\varepsilon^2}d\ \exists Z,\Pi,U_{[K]}:\ R^{\rm var}(Z+\mathrm{TSSA}(Z),\Pi)"
    r">R^{\rm var}(Z,\Pi)",
    source="sharpness of the uniform step size of tost.step-descends",
    relation="tight",
    hypotheses="one token along its only head, short; steps above the limit by a thousandth up to a hundredfold",
    expect=HOLDS,
    twin="steps below the limit by the same factor",
    derivations=("curvature-of-the-variational-rate-at-zero",),
    uses=("tost.step-descends",),
    figure=figures.step_limit,
)
def step_limit_is_sharp(case: Case) -> Outcome:
    """Near zero the rate is cz²/2, and the step multiplies z by 1 − τc/n, below −1."""
    d, eps = case.integer("d", 1, 4), case.log_uniform("eps", 0.1, 10.0)
    excess = case.log_uniform("excess", 1e-3, 100.0)
    short = math.sqrt(excess / (1 + excess)) * case.uniform("length", 0.01, 0.1)
    U = case.asarray(np.eye(d)[None, :, :1])
    Z = case.asarray(short * eps / math.sqrt(d) * np.eye(d)[:1])
    one = case.asarray(np.ones((1, 1)))
    tau = 2 * case.wrong(1 + excess, 1 / (1 + excess)) * descent_step(U, 1, eps=eps)
    after = Z + tssa(Z, one, U, eps=eps, step=tau)
    slope = d / eps**2 * norm(Z)
    assume_visible(case, short**2 * min(excess, 1.0) / 8, Z, after, slope)
    return decided(decide.variational_rate_change(Z, after, one, U, eps=eps), ">")


@claim(
    "tost.layer-descends",
    title="A layer of ToST lowers the variational rate when its memberships follow the tokens",
    statement=r"R^{\rm var}(Z^+,\Pi(Z^+))\le R^{\rm var}(Z,\Pi(Z)),\qquad Z^+=Z+\mathrm{TSSA}(Z),"
    r"\ \tau=\frac{n\varepsilon^2}d",
    source=f"{TOST}: the gradient takes Pi for a constant, each layer computes it anew",
    relation="<=",
    hypotheses="orthonormal bases, overlapping or not; memberships by the paper's softmax before and after",
    expect=REFUTED,
    twin="the memberships of the tokens before, before and after",
    uses=("tost.step-descends",),
    witness={"seed": 95, "n, d, K, p": (1, 2, 2, 1), "eps": 3.0, "scale": 1.0, "Pi": "softmax", "eta": 0.1},
)
def layer_descends(case: Case) -> Outcome:
    """False, if seldom, for a single token too: as tokens move, so do the weights of the heads, and with them which
    moments count. Both values are enclosed.
    """
    m = _classes(case, kinds=("softmax",))
    after = m.Z + tssa(m.Z, m.Pi, m.U, eps=m.eps, step=descent_step(m.U, m.n, eps=m.eps))
    slope = norm(variational_rate_and_gradient(m.Z, m.Pi, m.U, eps=m.eps)[1])
    assume_visible(case, norm(after - m.Z) ** 2 * m.c / m.n / 2, m.Z, after, slope)
    if case.twin:
        return decided(decide.variational_rate_change(m.Z, after, m.Pi, m.U, eps=m.eps))
    now = memberships(after, m.U, eta=case.params["eta"])
    nothing = 0 * m.Z
    old = decide.variational_rate_change(nothing, m.Z, m.Pi, m.U, eps=m.eps)
    new = decide.variational_rate_change(nothing, after, now, m.U, eps=m.eps)
    return decided(comparison(new, old), before=old.midpoint, after=new.midpoint)


@claim(
    "tost.step-lowers-the-rate-it-bounds",
    title="TSSA also descends on the rate within classes that its objective bounds",
    statement=r"\langle\nabla_ZR_c(Z,\Pi),\mathrm{TSSA}(Z)\rangle\le0",
    source=f"asked here: in {TOST} the variational form stands in for the rate within classes",
    relation="<=",
    hypotheses="orthonormal bases, overlapping; any fixed memberships, tokens of unequal length",
    expect=REFUTED,
    twin="a single class",
    uses=("tost.gradient", "tost.bound-with-softmax-memberships"),
    witness={"seed": 3, "n, d, K, p": (3, 3, 3, 1), "eps": 0.01, "spread": 1.0, "K": 3, "memberships": "soft"},
)
def step_lowers_the_rate_it_bounds(case: Case) -> Outcome:
    """False with several classes: the gain of one head acts on tokens that the covariance of another weighs. For one
    class tr((I + cM)⁻¹ U D Uᵀ M) ≥ 0, since M commutes with the first factor. The slope is exact.
    """
    rng = case.rng()
    n, d, K, p = case.choice("n, d, K, p", ((3, 3, 3, 1), (3, 2, 2, 1), (5, 3, 3, 2)))
    eps, spread = case.log_uniform("eps", 0.01, 10.0), case.uniform("spread", 0.0, 2.0)
    K = case.wrong(K, 1)
    Z = case.asarray(rng.standard_normal((n, d)) * 10 ** rng.uniform(-spread, spread, size=(n, 1)))
    U = case.asarray(np.linalg.qr(rng.standard_normal((K, d, p)))[0])
    Pi = _instances.memberships(case, rng, n, K=(K,))
    moved = tssa(Z, Pi, U, eps=eps, step=1.0)
    case.assume(norm(moved) > 0)
    slope = partition_rate_along(Z, moved, Pi, eps=eps).first
    return decided(int(slope > 0) - int(slope < 0), slope=float(slope))


# --- what the official code does ----------------------------------------------------------------------------


@claim(
    "tost.official-form-is-a-gradient-step",
    title="The official operator is TSSA at precision sqrt(d) with the safe step",
    statement=r"-\sum_kU_k\,\mathrm{Diag}\big(\tfrac1{1+v_k}\big)Y_k\,\mathrm{Diag}(\pi_k)=\mathrm{TSSA}(Z)"
    r"\quad\text{at}\quad\varepsilon^2=d,\ \tau=n=\frac1\alpha",
    source=f"code of {TOST}, AttentionTSSA, with the output matrix of the theory",
    relation="=",
    hypotheses="the code's own memberships; up to the 1e-8 that it adds to n_k",
    expect=HOLDS,
    twin="half of tau",
    uses=("tost.gradient",),
    instances=100,
)
def official_form_is_a_gradient_step(case: Case) -> Outcome:
    """The code has no ε, no step and no n: it is what the paper's formula becomes with c = d/ε² = 1 and τ = n. So ε is
    fixed at √d, coarse for tokens of norm √d, which LayerNorm makes.
    """
    m = _classes(case, kinds=("any",))
    Pi = memberships_official(m.Z, m.U)
    official = tssa_official(m.Z, m.U)
    paper = tssa(m.Z, Pi, m.U, eps=math.sqrt(m.d), step=case.wrong(float(m.n), 0.5 * m.n))
    least = float(to_numpy(Pi).sum(axis=0).min())
    off = 1e-8 / least * norm(m.Z) * math.sqrt(m.K)
    distance = case.asarray(np.asarray(norm(official - paper)))
    return at_most(distance, off, size=m.n * m.d, scale=norm(m.Z) * m.K)


@claim(
    "tost.official-step-descends",
    title="With the output matrix of the theory the official operator lowers a variational rate",
    statement=r"R^{\rm var}(Z+\mathrm{TSSA}_{\rm code}(Z),\Pi)\le R^{\rm var}(Z,\Pi),\qquad\varepsilon^2=d",
    source=f"code of {TOST}; follows from tost.official-form-is-a-gradient-step and tost.step-descends",
    relation="<=",
    hypotheses="orthonormal bases, overlapping; the code's memberships of Z held fixed; no LayerNorm in front",
    expect=HOLDS,
    twin="subtracted instead of added",
    uses=("tost.official-form-is-a-gradient-step", "tost.step-descends"),
    figure=figures.step_limit,
)
def official_step_descends(case: Case) -> Outcome:
    """True: its step is half of what majorisation allows. A free output matrix or tokens that pass the LayerNorm by
    undo it.
    """
    m = _classes(case, kinds=("any",))
    Pi, eps = memberships_official(m.Z, m.U), math.sqrt(m.d)
    after = m.Z + case.wrong(1, -1) * tssa_official(m.Z, m.U)
    slope = norm(variational_rate_and_gradient(m.Z, Pi, m.U, eps=eps)[1])
    assume_visible(case, m.n * slope**2 / 2, m.Z, after, slope)
    return decided(decide.variational_rate_change(m.Z, after, Pi, m.U, eps=eps))


@claim(
    "tost.official-memberships-ignore-scale",
    title="The official memberships do not change when all tokens are scaled",
    statement=r"\Pi_{\rm code}(sZ)=\Pi_{\rm code}(Z),\qquad s>0",
    source=f"code of {TOST}: every coordinate is normalised over the tokens",
    relation="=",
    hypotheses="any tokens and bases",
    expect=HOLDS,
    twin="the paper's memberships",
    instances=100,
)
def official_memberships_ignore_scale(case: Case) -> Outcome:
    """The paper's are a temperature away from hard to uniform as tokens grow and shrink, and so need a matching η."""
    m = _classes(case, kinds=("any",))
    s = case.log_uniform("s", 0.1, 10.0)
    pi, scaled = (case.wrong(memberships_official(Z, m.U), memberships(Z, m.U, eta=0.5)) for Z in (m.Z, s * m.Z))
    return equal(pi, scaled, size=m.n * m.d, scale=1 + m.p)


@claim(
    "tost.official-memberships-choose-alike",
    title="The official memberships give each token to the head that the paper's give it to",
    statement=r"\mathrm{argmax}_k\Pi_{\rm code}=\mathrm{argmax}_k\Pi_{\rm paper}",
    source=f"code of {TOST}, which says that its Pi is the paper's eq. 10",
    relation="=",
    hypotheses="orthonormal bases; two tokens or more",
    expect=REFUTED,
    twin="tokens whose coordinates all have the same square sum over the tokens",
    instances=100,
    witness={"n, d, K, p": (2, 2, 2, 1), "seed": 1},
)
def official_memberships_choose_alike(case: Case) -> Outcome:
    """False: the paper asks which head holds most of a token, the code in which head the token has the largest share of
    what all tokens have there. They agree where all coordinates are equally strong over the tokens.
    """
    rng = case.rng()
    n, d, K, p = case.choice("n, d, K, p", tuple((n, K * p, K, p) for n, _, K, p in SIZES if n > 1 and K > 1))
    Y = rng.standard_normal((n, d)) * 10 ** rng.uniform(-1, 1, size=d)
    if case.twin:
        Y /= np.linalg.norm(Y, axis=0)
    frame = rotation(rng, d)
    U = case.asarray(frame.reshape(d, K, p).swapaxes(0, 1).copy())
    Z = case.asarray(Y @ frame.T)
    paper, code = (to_numpy(Pi) for Pi in (memberships(Z, U, eta=0.5), memberships_official(Z, U)))
    gaps = [np.diff(np.sort(Pi, axis=1)[:, -2:], axis=1).min() for Pi in (paper, code)]
    case.assume(min(gaps) > 1e-4)  # no tie
    return observed(bool(np.array_equal(paper.argmax(axis=1), code.argmax(axis=1))))


@claim(
    "tost.official-memberships-are-nearly-uniform",
    title="The more tokens, the nearer the official memberships are to uniform",
    statement=r"\frac1n\sum_j\big\|\Pi_{j\cdot}-\tfrac1K\mathbf 1\big\|_1\le\frac{t\,Kp}{2n}",
    source=f"code of {TOST}, temperature t the same in all heads; bound derived",
    relation="<=",
    hypotheses="any tokens and bases, t from 0.1 to 10",
    expect=HOLDS,
    twin="a tenth of it",
    uses=("tost.official-memberships-ignore-scale",),
    instances=100,
    figure=figures.distance_from_uniform,
)
def official_memberships_are_nearly_uniform(case: Case) -> Outcome:
    """The normalised squares of each of the Kp coordinates add up to one, so the logits of all tokens and heads to at
    most tKp, and logits within a range r keep a softmax within r/2 of uniform. The paper's memberships know no such n.
    At t = 1 it is a quarter for 2d tokens; to tell heads apart t must grow with n/d.
    """
    m = _classes(case, kinds=("any",))
    t = case.log_uniform("t", 0.1, 10.0)
    Pi = memberships_official(m.Z, m.U, scale=case.asarray(np.full(m.K, t)))
    xp = array_namespace(Pi)
    off = xp.sum(xp.abs(Pi - 1 / m.K)) / m.n
    return at_most(off, case.wrong(1.0, 0.1) * t * m.K * m.p / (2 * m.n), size=m.n * m.K, scale=1 + t * m.p)


@claim(
    "tost.causal-forms-are-causal",
    title="The causal forms do not see later tokens",
    statement=r"f(Z)_{:t}=f(Z')_{:t}\quad\text{whenever}\quad Z_{:t}=Z'_{:t}",
    source=f"code of {TOST}, CausalSelfAttention_TSSA; and the paper's operator with the same sums",
    relation="=",
    hypotheses="the paper's form and the code's, its denominator bias included; later tokens replaced by larger ones",
    expect=HOLDS,
    twin="sums over all tokens",
    instances=100,
)
def causal_forms_are_causal(case: Case) -> Outcome:
    """Bit for bit: cumulative sums add in the order of the tokens."""
    rng = case.rng()
    n, d, K, p = case.choice("n, d, K, p", tuple(s for s in SIZES if s[0] > 1))
    t, form = case.integer("t", 1, n - 1), case.choice("form", ("paper", "code"))
    U = case.asarray(np.linalg.qr(rng.standard_normal((K, d, p)))[0])
    bias = case.asarray(rng.standard_normal((K, n)))
    first = rng.standard_normal((n, d))
    second = first.copy()
    second[t:] = 10 * rng.standard_normal((n - t, d))

    def apply(Z: Array) -> np.ndarray:
        if form == "paper":
            Pi = memberships(Z, U, eta=0.5)
            return to_numpy(case.wrong(tssa_causal, tssa)(Z, Pi, U, eps=1.0, step=1.0))
        if case.twin:
            return to_numpy(tssa_official(Z, U))
        return to_numpy(tssa_official_causal(Z, U, denominator_bias=bias))

    a, b = (apply(case.asarray(Z)) for Z in (first, second))
    return exactly(bool(np.array_equal(a[:t], b[:t])))


@claim(
    "tost.last-token-of-the-causal-form",
    title="To its last token the causal form is the form without a mask",
    statement=r"\mathrm{TSSA}_{\rm causal}(Z)_{t}=\mathrm{TSSA}(Z_{:t})_t",
    source=f"{TOST}, the causal variant: sums up to each token",
    relation="=",
    hypotheses="the paper's operator and memberships; any tokens",
    expect=HOLDS,
    twin="with n for the number of tokens so far",
    uses=("tost.causal-forms-are-causal",),
    instances=100,
)
def last_token_of_the_causal_form(case: Case) -> Outcome:
    """So a causal layer is a step for each token, on the rate of the tokens up to it. Not so in the code: there earlier
    tokens keep the memberships that they had when fewer tokens were known.
    """
    rng = case.rng()
    n, d, K, p = case.choice("n, d, K, p", tuple(s for s in SIZES if s[0] > 1))
    t = case.integer("t", 1, n - 1)
    U = case.asarray(np.linalg.qr(rng.standard_normal((K, d, p)))[0])
    Z = case.asarray(rng.standard_normal((n, d)))
    Pi = memberships(Z, U, eta=0.5)
    causal = tssa_causal(Z, Pi, U, eps=1.0, step=case.wrong(1.0, t / n))[t - 1, :]
    plain = tssa(Z[:t, :], Pi[:t, :], U, eps=1.0, step=1.0)[t - 1, :]
    return equal(causal, plain, size=n * d, scale=d * norm(Z))


@claim(
    "tost.block-written-out",
    title="The block computes token statistics and an MLP, each scaled by its own LayerScale",
    statement=r"Z^{\ell+1/2}=Z^\ell+\gamma_1\circ\mathrm{TSSA}(Z^\ell),\quad Z^{\ell+1}=Z^{\ell+1/2}"
    r"+\gamma_2\circ\big(W_2\,\mathrm{GELU}(W_1Z^{\ell+1/2}+b_1)+b_2\big),\quad\mathrm{GELU}(x)=x\,\Phi(x)",
    source=f"code of {TOST}, the block of its vision models",
    relation="=",
    hypotheses="any tokens, bases, weights and biases; less LayerNorm",
    expect=HOLDS,
    twin="the other LayerScale",
    instances=80,
)
def block_written_out(case: Case) -> Outcome:
    """In NumPy, with Python's error function; nothing of srr on the other side."""
    m = _classes(case, kinds=("any",))
    rng, width = case.rng("block"), 4 * m.d
    shapes = {"scale": (m.K,), "output": (m.d, m.K * m.p), "bias": (m.d,), "up": (width, m.d), "up_bias": (width,)}
    shapes |= {"down": (m.d, width), "down_bias": (m.d,), "gamma1": (m.d,), "gamma2": (m.d,)}
    given = {name: case.asarray(rng.standard_normal(shape)) for name, shape in shapes.items()}
    g = {name: to_numpy(a) for name, a in given.items()}
    layer, Z = tost_block(m.U, **given), to_numpy(m.Z)
    first, second = case.wrong((g["gamma1"], g["gamma2"]), (g["gamma2"], g["gamma1"]))
    Y = np.einsum("nd,kdp->knp", Z, to_numpy(m.U))
    logits = g["scale"][:, None] * np.sum(Y**2 / np.maximum(np.sum(Y**2, axis=1, keepdims=True), 1e-24), axis=2)
    Pi = np.exp(logits - logits.max(axis=0))
    Pi = (Pi / Pi.sum(axis=0))[..., None]
    heads = -Pi * Y / (1 + np.sum(Pi * Y**2, axis=1, keepdims=True) / (np.sum(Pi, axis=1, keepdims=True) + 1e-8))
    X = Z + first * (np.concatenate(list(heads), axis=1) @ g["output"].T + g["bias"])
    hidden = Z @ g["up"].T + g["up_bias"]
    gelu = hidden / 2 * (1 + np.vectorize(math.erf)(hidden / math.sqrt(2)))
    mapped = Z + second * (gelu @ g["down"].T + g["down_bias"])
    size = (1 + norm(first)) * (1 + norm(m.Z) * norm(m.U) * norm(g["output"])) * (1 + norm(g["scale"]) * m.p)
    reach = (1 + norm(second)) * (1 + norm(g["down"]) * (norm(g["up"]) * norm(m.Z) + norm(hidden)))
    return all_of(
        equal(layer.compress(m.Z), X, size=m.n * m.d, scale=size),
        equal(layer.sparsify(m.Z), mapped, size=width, scale=reach),
    )


# --- sizes --------------------------------------------------------------------------------------------------

LANGUAGE = {"base": (768, 12, 12, 110), "medium": (1024, 16, 24, 304), "large": (1280, 20, 36, 655)}
"""d, heads, layers, and millions of parameters as published."""


@claim(
    "tost.language-parameters",
    title="The published parameter counts of ToST's language models",
    statement=r"\#=50304\,d+L\big(2d^2+8d^2+K(1+1024)+2d\big)+d",
    source=f"{TOST}, table of the language models; code of tost_lang: tied embedding, no biases, positions not counted",
    relation="=",
    hypotheses="the three published sizes, widths and depths of GPT-2, context 1024, to the million",
    expect=HOLDS,
    twin="separate matrices for query, key and value",
    instances=30,
)
def language_parameters(case: Case) -> Outcome:
    """True, counted from the arrays of a layer beside the MLP: 109.6, 303.6 and 655.0 million. (The vision models T
    and S come out as published, 5.8 and 22.6 million, with XCiT's stem and two class-attention blocks; M, 68.1 in
    print, comes to 71.5 by the same count.)
    """
    d, K, depth, published = LANGUAGE[case.choice("model", tuple(LANGUAGE))]
    U, square, bias = (np.zeros(shape) for shape in ((K, d, d // K), (d, d), (K, 1024)))
    layer = tost_official(case.asarray(U), output=case.asarray(square), scale=case.asarray(np.ones(K)))
    attention = sum(math.prod(a.shape) for a in (layer.U, layer.output, layer.scale, bias)) + case.wrong(0, 2 * d * d)
    total = 50304 * d + depth * (attention + 8 * d * d + 2 * d) + d
    return exactly(round(total / 1e6) == published, total=total, published=published)


# --- shared -------------------------------------------------------------------------------------------------


def _scale(rate: Array) -> float:
    return 1 + abs(float(to_numpy(rate)))


def _largest_gain(m: Classes) -> float:
    """max D over the classes that have tokens."""
    Z, Pi, U = (to_numpy(a) for a in (m.Z, m.Pi, m.U))
    sizes = Pi.sum(axis=0)
    v = [pi @ (Z @ u) ** 2 / size for pi, u, size in zip(Pi.T, U, sizes, strict=True) if size > 0]
    return float(np.max(m.c / (1 + m.c * np.array(v))))


def _slope(m: Classes, H: np.ndarray) -> float:
    """The derivative of R^var along H at Z, the nearest float to the exact value."""
    c = fmpq(m.d) / rational(np.array([[m.eps]])).entries()[0] ** 2
    Z, direction = rational(to_numpy(m.Z)), rational(H)
    total = fmpq(0)
    for column, basis in zip(to_numpy(m.Pi).T, to_numpy(m.U), strict=True):
        weights, u = rational(column[:, None]).entries(), rational(basis)
        size = sum(weights, fmpq(0))
        if not size:
            continue
        Y, moved = (Z * u).transpose().tolist(), (direction * u).transpose().tolist()
        for y, h in zip(Y, moved, strict=True):
            v = sum((w * a * a for w, a in zip(weights, y, strict=True)), fmpq(0)) / size
            s = sum((w * a * b for w, a, b in zip(weights, y, h, strict=True)), fmpq(0)) / size
            total += size / m.n * c * s / (1 + c * v)
    return int(total.p) / int(total.q)
