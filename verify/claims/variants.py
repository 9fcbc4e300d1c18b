"""Attention with another output matrix or a mask, what attention maps are made of, and what a layer costs."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from array_api_compat import array_namespace

from srr import attention, curvature, flops, prox, subspace_coding_rate, subspace_coding_rate_and_gradient
from srr.layers import PreNorm, crate_causal, crate_causal_overcomplete, crate_variant, official, output_matrix
from verify import decide
from verify.arrays import to_numpy
from verify.case import Case, Instance
from verify.claims._instances import ONE_TOKEN, complete_family, norm
from verify.claims._sources import BOOK, HU, N23, SEGMENTATION
from verify.claims._steps import assume_visible, attended, coarseness, heads, inner, softmax
from verify.figures import variants as figures
from verify.ledger import HOLDS, REFUTED, Outcome, claim
from verify.multiplications import multiplications
from verify.outcome import all_of, decided, equal, exactly

COMPLETE: dict[str, Any] = {"n": (1, 8), "K": (1, 4), "p": (1, 2), "d": 1, "coherence": ("orthogonal",)}
"""Heads that fill the space: d is raised to K p."""
SCALES: dict[str, Any] = {"scale": (0.1, 10.0), "eps": (0.1, 10.0)}


def _moved(m: Instance, variant: str, seed: int = 0) -> Any:
    W = output_matrix(m.U, variant, seed=seed)
    return attention.mssa_official(m.Z, m.U, output=W, scale=1.0)


def _rate_change(case: Case, m: Instance, after: Any, relation: str) -> Outcome:
    gradient = subspace_coding_rate_and_gradient(m.Z, m.U, eps=m.eps)[1]
    assume_visible(case, abs(inner(gradient, after - m.Z)), m.Z, after, norm(gradient))
    return decided(decide.subspace_rate_change(m.Z, after, m.U, eps=m.eps), relation)


def _lowers(case: Case, variant: str) -> Outcome:
    # A variant; in the twin the exact gradient step.
    m = case.mixture(**COMPLETE, **SCALES)
    if case.twin:
        step = curvature.compression_step(m.U, m.n, eps=m.eps)
        return _rate_change(case, m, attention.exact_step(m.Z, m.U, eps=m.eps, step=step), "<=")
    seed = case.integer("output seed", 0, 9) if variant == "fixed" else 0
    return _rate_change(case, m, m.Z + _moved(m, variant, seed), "<=")


def _raises(case: Case, variant: str) -> Outcome:
    # A variant; in the twin the conceptual one with heads of dimension one.
    m = case.mixture(**{**COMPLETE, "p": case.wrong((1, 2), 1)}, **SCALES)
    seed = case.integer("output seed", 0, 9) if variant == "fixed" and not case.twin else 0
    return _rate_change(case, m, m.Z + _moved(m, case.wrong(variant, "conceptual"), seed), ">=")


def _turned(case: Case, kind: str) -> Instance:
    # One head for each dimension, their bases side by side a symmetric or a skew rotation, or any.
    half, n = case.integer("half of d", 1, 3), case.integer("n", 1, 6)
    eps, scale, rng = case.log_uniform("eps", 0.1, 10.0), case.log_uniform("scale", 0.1, 3.0), case.rng()
    d = 2 * half
    Q = np.linalg.qr(rng.standard_normal((d, d)))[0]
    signs = {"symmetric": np.diag([1.0, -1.0] * half), "skew": np.kron(np.eye(half), [[0.0, -1.0], [1.0, 0.0]])}
    U = Q @ signs[kind] @ Q.T if kind in signs else Q
    Z = scale * rng.standard_normal((n, d))
    return Instance(case.asarray(Z), case.asarray(U.T[:, :, None]), None, eps, n, d, d, 1)


# --- the variants of Hu, Zou and Xu -------------------------------------------------------------------------


@claim(
    "variants.negative-lowers",
    title="CRATE-N, attention subtracted, compresses",
    statement=r"R^c\Big(Z-\sum_kU_k\mathrm{SSA}(Z|U_k)\Big)\le R^c(Z)",
    source=f"{HU}, CRATE-N",
    relation="<=",
    hypotheses="orthogonal subspaces that fill the space; tokens of a mixture, or one long among short equal ones",
    expect=REFUTED,
    twin="a step as short as compression.minus-attention-descends asks",
    uses=("compression.minus-attention-descends",),
    instances=200,
    witness={"tokens": "long", "copies": 2, "scale": 10.0, "share": 0.1, "eps": 1.0},
)
def negative_lowers(case: Case) -> Outcome:
    """True of nearly all random mixtures, and false: the step has a direction that descends, and a fixed length. On the
    line, two tokens 1 beside one 10 attend to it and become −9, and 10 becomes nearly 0.
    """
    if case.choice("tokens", ("mixture", "long")) == "mixture":
        m = case.mixture(**COMPLETE, **SCALES)
    else:
        copies, long = case.integer("copies", 1, 8), case.log_uniform("scale", 1.0, 30.0)
        Z = long * np.array([[1.0], *[[case.uniform("share", 0.0, 0.5)]] * copies])
        eps = case.log_uniform("eps", 0.1, 10.0)
        m = Instance(case.asarray(Z), case.asarray(np.ones((1, 1, 1))), None, eps, copies + 1, 1, 1, 1)
    M, eta = _moved(m, "conceptual"), 1.0
    if case.twin:
        gradient = subspace_coding_rate_and_gradient(m.Z, m.U, eps=m.eps)[1]
        slope = inner(gradient, M)
        case.assume(slope > 0)
        eta = slope / (curvature.subspace_rate(m.U, m.n, eps=m.eps) * norm(M) ** 2)
    return _rate_change(case, m, m.Z - eta * M, "<=")


@claim(
    "variants.transpose-lowers",
    title="CRATE-T, the output matrix transposed, compresses",
    statement=r"R^c\big(Z+U^\top[\mathrm{SSA}(Z|U_k)]_k\big)\le R^c(Z),\qquad U=[U_1\cdots U_K]",
    source=f"{HU}, CRATE-T",
    relation="<=",
    hypotheses="orthogonal subspaces that fill the space, K p = d",
    expect=REFUTED,
    twin="the exact gradient step",
    uses=("variants.transpose-of-symmetric-bases", "compression.exact-step-descends"),
    instances=150,
    witness=ONE_TOKEN,
)
def transpose_lowers(case: Case) -> Outcome:
    """False: where U is symmetric, as the axes are, it is CRATE-C. Nine of ten random mixtures are expanded."""
    return _lowers(case, "transpose")


@claim(
    "variants.transpose-raises",
    title="CRATE-T, the output matrix transposed, expands",
    statement=r"R^c\big(Z+U^\top[\mathrm{SSA}(Z|U_k)]_k\big)\ge R^c(Z),\qquad U=[U_1\cdots U_K]",
    source=f"asked here: the opposite of what a compression is for, which {HU} find of CRATE-C",
    relation="<=",
    hypotheses="orthogonal subspaces that fill the space, K p = d",
    expect=REFUTED,
    twin="CRATE-C with heads of dimension p = 1",
    uses=("variants.transpose-of-symmetric-bases", "compression.residual-step-ascends"),
    instances=150,
    witness=ONE_TOKEN | {"K": 2, "d": 2, "seed": 5},
)
def transpose_raises(case: Case) -> Outcome:
    """False: where U is skew it is CRATE-N. Which of the two it is like depends on the axes in which the tokens are
    written, and nothing in the theory does.
    """
    return _raises(case, "transpose")


@claim(
    "variants.fixed-lowers",
    title="CRATE-Fix, a random output matrix, compresses",
    statement=r"R^c\big(Z+W[\mathrm{SSA}(Z|U_k)]_k\big)\le R^c(Z),\quad "
    r"W_{ij}\sim\mathcal U\Big(\pm\frac1{\sqrt{Kp}}\Big)",
    source=f"{HU}, CRATE-Fix",
    relation="<=",
    hypotheses="orthogonal subspaces that fill the space; W as torch initialises it",
    expect=REFUTED,
    twin="the exact gradient step",
    uses=("variants.slope-turns-with-the-output",),
    instances=150,
    witness=ONE_TOKEN | {"output seed": 0},
)
def fixed_lowers(case: Case) -> Outcome:
    """False: W and −W are as likely, and one of them rises to first order. To second order both lengthen the tokens:
    two of three random W expand.
    """
    return _lowers(case, "fixed")


@claim(
    "variants.fixed-raises",
    title="CRATE-Fix, a random output matrix, expands",
    statement=r"R^c\big(Z+W[\mathrm{SSA}(Z|U_k)]_k\big)\ge R^c(Z),\quad "
    r"W_{ij}\sim\mathcal U\Big(\pm\frac1{\sqrt{Kp}}\Big)",
    source=f"asked here: the opposite of what a compression is for, which {HU} find of CRATE-C",
    relation="<=",
    hypotheses="orthogonal subspaces that fill the space; W as torch initialises it",
    expect=REFUTED,
    twin="CRATE-C with heads of dimension p = 1",
    uses=("variants.slope-turns-with-the-output", "compression.residual-step-ascends"),
    instances=150,
    witness=ONE_TOKEN | {"seed": 1, "output seed": 0},
)
def fixed_raises(case: Case) -> Outcome:
    """False, for the same reason as variants.fixed-lowers."""
    return _raises(case, "fixed")


@claim(
    "variants.identity-lowers",
    title="CRATE-Identity, no output matrix, compresses",
    statement=r"R^c\big(Z+[\mathrm{SSA}(Z|U_k)]_k\big)\le R^c(Z)",
    source=f"{HU}, CRATE-Identity",
    relation="<=",
    hypotheses="orthogonal subspaces that fill the space, K p = d",
    expect=REFUTED,
    twin="the exact gradient step",
    uses=("variants.slope-turns-with-the-output",),
    instances=150,
    witness=ONE_TOKEN,
)
def identity_lowers(case: Case) -> Outcome:
    """False: for the axes as bases it is CRATE-C. Four of five random mixtures are expanded."""
    return _lowers(case, "identity")


@claim(
    "variants.identity-raises",
    title="CRATE-Identity, no output matrix, expands",
    statement=r"R^c\big(Z+[\mathrm{SSA}(Z|U_k)]_k\big)\ge R^c(Z)",
    source=f"asked here: the opposite of what a compression is for, which {HU} find of CRATE-C",
    relation="<=",
    hypotheses="orthogonal subspaces that fill the space, K p = d",
    expect=REFUTED,
    twin="CRATE-C with heads of dimension p = 1",
    uses=("variants.slope-turns-with-the-output", "compression.residual-step-ascends"),
    instances=150,
    witness=ONE_TOKEN | {"seed": 1},
)
def identity_raises(case: Case) -> Outcome:
    """False: for the axes reversed, U_k = −e_k, which span the same lines, it is CRATE-N."""
    return _raises(case, "identity")


@claim(
    "variants.transpose-of-symmetric-bases",
    title="CRATE-T is CRATE-C where the bases side by side are symmetric, and CRATE-N where they are skew",
    statement=r"U^\top=\pm U\ \Longrightarrow\ Z+U^\top[\mathrm{SSA}(Z|U_k)]_k=Z\pm\sum_kU_k\mathrm{SSA}(Z|U_k)",
    source=f"{HU}, its definitions",
    relation="=",
    hypotheses="heads of dimension 1 that fill the space, U a symmetric or a skew rotation",
    expect=HOLDS,
    twin="U any rotation, against CRATE-C",
    instances=100,
)
def transpose_of_symmetric_bases(case: Case) -> Outcome:
    """True by definition; so no statement about what CRATE-T does to Rᶜ holds for all families of subspaces."""
    kind = case.choice("U", ("symmetric", "skew"))
    m = _turned(case, case.wrong(kind, "any"))
    other = {"symmetric": "conceptual", "skew": "negative"}[case.wrong(kind, "symmetric")]
    scale = norm(m.Z) * (1 + norm(m.Z) ** 2)
    return equal(m.Z + _moved(m, "transpose"), m.Z + _moved(m, other), size=m.n + m.d, scale=scale)


@claim(
    "variants.slope-turns-with-the-output",
    title="With a free output matrix, the bases U_k or their negatives compress to first order, never both",
    statement=r"\langle\nabla R^c,W[\mathrm{SSA}(Z|{-U_k})]_k\rangle"
    r"=-\langle\nabla R^c,W[\mathrm{SSA}(Z|U_k)]_k\rangle",
    source=f"{HU}, CRATE-Fix and CRATE-Identity; U_k and -U_k span the same subspace",
    relation="=",
    hypotheses="orthogonal subspaces that fill the space; W random or I",
    expect=HOLDS,
    twin="CRATE-C, for which the two slopes are the same",
    instances=100,
    figure=figures.slope_by_the_bases,
)
def slope_turns_with_the_output(case: Case) -> Outcome:
    """True: the heads are odd in U_k, and W is not made of them. So Rᶜ, which sees subspaces, has no say in whether
    the layer compresses: the sign of a basis, which it does not see, decides.
    """
    m = case.mixture(**COMPLETE, scale=(0.1, 3.0), eps=(0.1, 10.0))
    variant = case.wrong(case.choice("variant", ("identity", "fixed")), "conceptual")
    reversed_ = Instance(m.Z, -m.U, m.labels, m.eps, m.n, m.d, m.K, m.p)
    gradient = subspace_coding_rate_and_gradient(m.Z, m.U, eps=m.eps)[1]
    slopes = [inner(gradient, _moved(i, variant)) for i in (m, reversed_)]
    scale = norm(gradient) * norm(m.Z) * math.sqrt(m.d) * (1 + norm(m.Z) ** 2) * coarseness(m.Z)
    return equal(slopes[0], -slopes[1], size=m.n + m.d, scale=scale, slopes=slopes)


@claim(
    "variants.subspaces-alone",
    title="The compression of CRATE-T, CRATE-Fix and CRATE-Identity depends on the subspaces alone",
    statement=r"U_kU_k^\top=V_kV_k^\top\ \Longrightarrow\ W[\mathrm{SSA}(Z|U_k)]_k=W[\mathrm{SSA}(Z|V_k)]_k",
    source=f"asked here of the variants of {HU}: in {N23} the model of the tokens is a set of subspaces",
    relation="=",
    hypotheses="orthogonal subspaces that fill the space; V_k = U_kO, O a rotation",
    expect=REFUTED,
    twin="CRATE-C and CRATE-N",
    instances=100,
    witness=ONE_TOKEN | {"p": 2, "d": 2, "variant": "identity", "turn": 0},
)
def subspaces_alone(case: Case) -> Outcome:
    """False: of the five only C and N are maps of the subspaces."""
    m = case.mixture(**COMPLETE, scale=(0.1, 3.0), eps=(0.1, 10.0))
    variant = case.choice("variant", case.wrong(("identity", "transpose", "fixed"), ("conceptual", "negative")))
    turn = np.linalg.qr(case.rng("turn").standard_normal((m.K, m.p, m.p)))[0]
    turned = array_namespace(m.U).matmul(m.U, case.asarray(turn))
    other = Instance(m.Z, turned, m.labels, m.eps, m.n, m.d, m.K, m.p)
    scale = norm(m.Z) * math.sqrt(m.d) * (1 + norm(m.Z) ** 2)
    return equal(_moved(m, variant), _moved(other, variant), size=m.n + m.d, scale=scale)


# --- attention that is causal -------------------------------------------------------------------------------


def _sequence(case: Case) -> tuple[Any, Any, int, int, int]:
    n, K, p = case.integer("n", 2, 8), case.integer("K", 1, 3), case.integer("p", 1, 3)
    d, scale, rng = case.integer("d", p, 6), case.log_uniform("scale", 0.1, 3.0), case.rng()
    U = np.linalg.qr(rng.standard_normal((K, d, p)))[0]
    return case.asarray(scale * rng.standard_normal((n, d))), case.asarray(U), n, d, p


@claim(
    "variants.causal-layer",
    title="A causal layer sees no later token",
    statement=r"f(z_1,\dots,z_t)=\big(f(z_1,\dots,z_n)\big)_{1\ldots t},\qquad t\le n",
    source=f"{BOOK}, the chapter on applications; code of {N23}, model/crate_gpt.py, and crate-lm",
    relation="=",
    hypotheses="any subspaces; the layer with ISTA, or with two steps over 2d atoms; LayerNorm in front or not",
    expect=HOLDS,
    twin="without the mask",
    instances=100,
)
def causal_layer(case: Case) -> Outcome:
    """True: the softmax of token t is over 1, …, t, and everything else acts on each token by itself."""
    Z, U, n, d, _ = _sequence(case)
    kind, normed = case.choice("layer", ("square", "overcomplete")), case.choice("LayerNorm", (False, True))
    case.assume(d > 1 or not normed)
    rng = case.rng("dictionary")
    D = case.asarray(rng.standard_normal((d, d if kind == "square" else 2 * d)) / math.sqrt(d))
    if case.twin:
        layer = crate_variant(U, D, variant="conceptual") if kind == "square" else None
        case.assume(layer is not None)
    else:
        layer = (crate_causal if kind == "square" else crate_causal_overcomplete)(U, D)
    f = PreNorm(layer) if normed else layer
    t = case.integer("t", 1, n - 1) if n > 1 else 1
    if normed:  # a token of little variance is lengthened by LayerNorm, and its rounding with it
        case.assume(float(np.min(np.std(to_numpy(Z), axis=1))) > 1e-2 * norm(Z))
    scale = (1 + norm(Z) ** 2 + d * n) * (norm(Z) + n) * (1 + norm(D) ** 2)
    return equal(f(Z[:t, ...]), f(Z)[:t, ...], size=n + d, scale=scale)


@claim(
    "variants.causal-mask-as-printed",
    title="The causal mask as the book prints it lets no token see a later one",
    statement=r"\mathrm{CausalMask}(M)_{ij}=M_{ij}\ \text{if}\ i\ge j,\ -\infty\ \text{if}\ i<j,"
    r"\qquad V\,\mathrm{softmax}(\mathrm{CausalMask}(K^\top Q)/\sqrt p)",
    source=f"{BOOK}, the chapter on applications: softmax over columns, Q = K = V = U_k^T Z",
    relation="=",
    hypotheses="any subspaces; the first t columns of the result against those of the first t tokens",
    expect=REFUTED,
    twin="i <= j kept",
    uses=("variants.causal-layer",),
    instances=100,
    witness={"n": 2, "K": 1, "p": 1, "d": 1, "scale": 1.0, "seed": 0, "t": 1},
)
def causal_mask_as_printed(case: Case) -> Outcome:
    """False: in K^T Q the key is the row and the query the column, so that i ≥ j keeps the tokens *after* j. The
    sum over i ≤ t that the book writes beside it is right.
    """
    Z, U, n, d, p = _sequence(case)

    def masked(Z: Any) -> np.ndarray:
        Y = to_numpy(heads(Z, U)).swapaxes(1, 2)
        M = Y.swapaxes(1, 2) @ Y / math.sqrt(p)
        i, j = np.indices(M.shape[1:])
        M = np.where(case.wrong(i >= j, i <= j), M, -np.inf)
        E = np.exp(M - M.max(axis=1, keepdims=True))
        return Y @ (E / E.sum(axis=1, keepdims=True))

    t = case.integer("t", 1, n - 1)
    scale = norm(Z) * (1 + norm(Z) ** 2) * coarseness(Z)
    return equal(masked(Z[:t, ...]), masked(Z)[:, :, :t], size=n + d, scale=scale)


@claim(
    "variants.causal-prefactor",
    title="Causal attention with the papers' prefactor is causal",
    statement=r"\frac p{n\varepsilon^2}\sum_kU_k\,\mathrm{CausalSA}(Z|U_k)\ \text{is causal},\qquad n\ \text{tokens}",
    source=f"{BOOK}, the chapter on applications: causal attention put into MSSA, eq. 12 of {N23}",
    relation="=",
    hypotheses="any subspaces",
    expect=REFUTED,
    twin="n a fixed length of context",
    uses=("variants.causal-layer",),
    instances=100,
    witness={"n": 2, "K": 1, "p": 1, "d": 1, "scale": 1.0, "seed": 0, "eps": 1.0, "t": 1},
)
def causal_prefactor(case: Case) -> Outcome:
    """False: the prefactor knows how many tokens there are, and scales the first ones by it. Every token that is
    appended changes what was computed before. The code has no prefactor; a fixed context length would do as well.
    """
    Z, U, n, d, p = _sequence(case)
    eps, t = case.log_uniform("eps", 0.1, 10.0), case.integer("t", 1, n - 1)

    def scaled(Z: Any) -> Any:
        length = case.wrong(Z.shape[0], 16)
        return p / (length * eps**2) * attention.causal_mssa(Z, U)

    scale = p / eps**2 * norm(Z) * (1 + norm(Z) ** 2) * U.shape[0]
    return equal(scaled(Z[:t, ...]), scaled(Z)[:t, ...], size=n + d, scale=scale)


@claim(
    "variants.causal-step-lowers",
    title="Z plus causal attention, the first half of a layer for text, compresses",
    statement=r"R^c\Big(Z+\sum_kU_k\,\mathrm{CausalSA}(Z|U_k)\Big)\le R^c(Z)",
    source=f"{BOOK}, the chapter on applications",
    relation="<=",
    hypotheses="orthogonal subspaces that fill the space",
    expect=REFUTED,
    twin="heads of dimension p = 1 and tokens that are not negative, where it never falls",
    uses=("compression.residual-step-descends",),
    instances=150,
    witness=ONE_TOKEN,
)
def causal_step_lowers(case: Case) -> Outcome:
    """False, as without the mask: the first token attends to itself alone and is doubled. For tokens of one sign in
    every head each attended value has that sign, so all entries grow and Rᶜ with them.
    """
    m = case.mixture(**{**COMPLETE, "p": case.wrong((1, 2), 1)}, **SCALES)
    xp = array_namespace(m.Z)
    if case.twin:  # |Y_k| in every head, taken back to tokens
        Y = xp.abs(heads(m.Z, m.U))
        Z = xp.sum(xp.matmul(Y, xp.matrix_transpose(m.U)), axis=0)
        m = Instance(Z, m.U, m.labels, m.eps, m.n, m.d, m.K, m.p)
    return _rate_change(case, m, m.Z + attention.causal_mssa(m.Z, m.U), case.wrong("<=", ">="))


# --- what the functions compute ------------------------------------------------------------------------------


@claim(
    "variants.written-out",
    title="The layers compute attention with the output matrix and the mask that they name",
    statement=r"Z^{\ell+1/2}=Z+W\big[Y_k\,\mathrm{softmax}(\mathrm{mask}(c\,Y_k^\top Y_k))\big]_k+b1^\top,"
    r"\quad Z^{\ell+1}=\mathrm{ISTA}(Z^{\ell+1/2}\mid D)",
    source=f"{HU}; {BOOK}, the chapter on applications; codes for text",
    relation="=",
    hypotheses="any tokens, heads that fill the space, any dictionary, scale and steps",
    expect=HOLDS,
    twin="the second half with the dictionary transposed",
    instances=100,
)
def written_out(case: Case) -> Outcome:
    """One token after the other in NumPy; nothing of srr on the other side."""
    kind = case.choice("layer", ("conceptual", "negative", "transpose", "identity", "causal", "overcomplete"))
    n, K, p = case.integer("n", 1, 5), case.integer("K", 1, 3), case.integer("p", 1, 2)
    d, rng, scale = K * p, case.rng(), case.log_uniform("scale", 0.3, 3.0)
    eta, lam = case.log_uniform("eta", 0.03, 0.3), case.log_uniform("lam", 0.03, 1.0)
    W, b, U, Z = (rng.standard_normal(shape) for shape in ((d, d), (d,), (K, d, p), (n, d)))
    D = rng.standard_normal((d, 3 * d if kind == "overcomplete" else d))
    case.assume(d > 1 or not case.twin)
    Z, U, D, W, b = (case.asarray(a) for a in (Z, U, D, W, b))
    side = np.hstack(list(to_numpy(U)))
    if kind in ("causal", "overcomplete"):
        build = crate_causal if kind == "causal" else crate_causal_overcomplete
        layer = build(U, D, output=W, bias=b, scale=scale, eta=eta, lam=lam)
        output, shift = to_numpy(W), to_numpy(b)
    else:
        layer = crate_variant(U, D, variant=kind, scale=scale, eta=eta, lam=lam)
        output = {"conceptual": side, "negative": -side, "transpose": side.T, "identity": np.eye(d)}[kind]
        shift = np.zeros(d)
    half = to_numpy(Z) + attended(Z, U, scale=scale, causal=kind in ("causal", "overcomplete")) @ output.T + shift
    found = layer.compress(Z)
    A, M = to_numpy(found), to_numpy(D)
    if kind == "overcomplete":
        M_T = case.wrong(M.T, 2 * M.T)
        first = np.maximum(eta * A @ M - eta * lam, 0)
        end = np.maximum(first + eta * (A - first @ M.T) @ M - eta * lam, 0) @ M_T
    else:
        M = case.wrong(M, M.T)
        end = np.maximum(A + eta * (A - A @ M.T) @ M - eta * lam, 0)
    scores = 1 + scale * float(np.max(np.sum(to_numpy(heads(Z, U)) ** 2, axis=2)))
    reach = (1 + norm(D) ** 2) ** 2 * (norm(A) + 1)
    return all_of(
        equal(found, half, size=n + d, scale=scores * norm(Z) * (1 + norm(U) * norm(output)) + norm(shift)),
        equal(layer.sparsify(found), end, size=3 * d, scale=reach),
    )


# --- attention maps -----------------------------------------------------------------------------------------


@claim(
    "variants.segmentation-map",
    title="The attention map of a head is the row of its softmax that belongs to [CLS], without [CLS]",
    statement=r"A_{k,i}=\frac{e^{\langle U_k^\top z_i,U_k^\top z_{CLS}\rangle}}{\sum_je^{\langle U_k^\top z_j,"
    r"U_k^\top z_{CLS}\rangle}}=\frac{(S_k)_{CLS,i}}{1-(S_k)_{CLS,CLS}}",
    source=f"{SEGMENTATION}: the map of its segmentation, over the patches",
    relation="=",
    hypotheses="any subspaces; S_k the softmax of the paper, without p^-1/2",
    expect=HOLDS,
    twin="S_k the softmax of the code, with p^-1/2",
    instances=80,
)
def segmentation_map(case: Case) -> Outcome:
    """True of the paper's layer. The code's layer attends with p^−½ in the exponent: a map without it is sharper than
    what that layer does.
    """
    Z, U, n, d, p = _sequence(case)
    case.assume(p > 1 or not case.twin)
    Y = to_numpy(heads(Z, U))
    S = softmax(Y * case.wrong(1.0, p**-0.25))
    scores = np.einsum("kip,kp->ki", Y[:, 1:], Y[:, 0])
    shown = np.exp(scores - scores.max(axis=1, keepdims=True))
    shown /= shown.sum(axis=1, keepdims=True)
    kept = S[:, 0, 1:].sum(axis=1, keepdims=True)
    case.assume(float(kept.min()) > 1e-6)
    scale = (1 + norm(Z) ** 2) / float(kept.min())
    return equal(shown, S[:, 0, 1:] / kept, size=n + d, scale=scale)


@claim(
    "variants.cls-counts-as-a-token",
    title="With [CLS] in front, rate and attention of N patches have N + 1 in their constant",
    statement=r"R^c([z_{CLS},Z]\mid U_{[K]})=\tfrac12\sum_k\log\det\Big(I_p+\frac p{(N+1)\varepsilon^2}"
    r"\sum_{i=0}^Ny_{k,i}y_{k,i}^\top\Big),\qquad\mathrm{MSSA}=\frac p{(N+1)\varepsilon^2}\sum_kU_kY_kS_k",
    source=f"{SEGMENTATION}, eq. 5 and 6; {N23}, eq. 8 and 12, for n columns",
    relation="=",
    hypotheses="any subspaces, N from 1 to 7 patches",
    expect=HOLDS,
    twin="N for N + 1",
    uses=("variants.segmentation-map",),
    instances=80,
)
def cls_counts_as_a_token(case: Case) -> Outcome:
    """True: [CLS] is a column like any other, and n = N + 1. Moments are added up token by token."""
    Z, U, n, d, p = _sequence(case)
    eps, patches = case.log_uniform("eps", 0.1, 10.0), n - 1
    constant = p / ((patches + case.wrong(1, 0)) * eps**2)
    Y = to_numpy(heads(Z, U)).astype(np.float64)
    rate = sum(float(np.linalg.slogdet(np.eye(p) + constant * sum(np.outer(y, y) for y in head))[1]) for head in Y) / 2
    attended_to = constant * np.einsum("kij,kjp,kdp->id", softmax(Y), Y, to_numpy(U))
    largest = 1 + norm(Z) ** 2
    return all_of(
        equal(subspace_coding_rate(Z, U, eps=eps), rate, size=n + d, scale=len(Y) * p * (1 + constant * largest)),
        equal(
            attention.mssa(Z, U, eps=eps),
            attended_to,
            size=n + d,
            scale=constant * len(Y) * largest * math.sqrt(largest),
        ),
    )


@claim(
    "variants.maskcut-affinity",
    title="The affinity of MaskCut is the Gram matrix of the tokens: the heads add up to nothing but themselves",
    statement=r"M_{ij}=\sum_k\langle U_k^\top z_i,U_k^\top z_j\rangle=\langle z_i,z_j\rangle",
    source=f"{SEGMENTATION}: MaskCut on the keys of all heads",
    relation="=",
    hypotheses="orthogonal subspaces that fill the space, as the theory has them",
    expect=HOLDS,
    twin="one head left out",
    instances=60,
)
def maskcut_affinity(case: Case) -> Outcome:
    """True: Σ_k U_kU_kᵀ = I. With the subspaces of the theory the masks are those of the raw tokens, whatever the
    subspaces are; what MaskCut sees of the learned U is only how far they are from that.
    """
    K, p, n = case.integer("K", 1, 4), case.integer("p", 1, 3), case.integer("n", 1, 6)
    scale, rng = case.log_uniform("scale", 0.1, 10.0), case.rng()
    U, Z = complete_family(rng, K, p), scale * rng.standard_normal((n, K * p))
    Y = to_numpy(heads(case.asarray(Z), case.asarray(U)))[: case.wrong(K, K - 1)]
    M = np.sum(Y @ Y.swapaxes(1, 2), axis=0) if len(Y) else np.zeros((n, n))
    unit = coarseness(case.asarray(Z))
    return equal(M, Z @ Z.T, size=K * p, scale=norm(Z) ** 2 * unit)


# --- cost and size ------------------------------------------------------------------------------------------


@claim(
    "variants.layer-cost",
    title="What the two halves of a layer cost",
    statement=r"\mathrm{MSSA}:2nd^2+2n^2d,\qquad \mathrm{ISTA}:3nd^2\text{ in the code},\ 2nd^2\text{ as }"
    r"D^\top(Z-DZ)\qquad\text{multiply-adds}",
    source=f"code of {N23}, model/crate.py; the cost of attention as its followers state it",
    relation="=",
    hypotheses="K p = d; matrix products counted while they are done",
    expect=HOLDS,
    twin="separate matrices for query, key and value",
    instances=30,
)
def layer_cost(case: Case) -> Outcome:
    """True. Attention with three projections costs 4nd² + 2n²d; one of the three products of ISTA can be saved. What
    srr.flops says of them, and of the Neumann step, is twice as many flops.
    """
    K, p, n = case.integer("K", 1, 4), case.integer("p", 1, 4), case.integer("n", 1, 9)
    d, rng = K * p, case.rng()
    Z, U, D = rng.standard_normal((n, d)), rng.standard_normal((K, d, p)), rng.standard_normal((d, d))

    def separate(Z: Any, U: Any) -> Any:
        query, key, value = (Z @ basis for basis in (U, U, U))
        return np.concatenate(list(query @ key.swapaxes(1, 2) @ value), axis=1) @ D

    attend = case.wrong(attention.mssa_official, separate)
    counted = {
        "MSSA": multiplications(attend, Z, U),
        "ISTA": multiplications(lambda Z, D: prox.ista_step(Z, D, step=0.1, lam=0.1), Z, D),
        "ISTA of the code": multiplications(lambda Z, D: Z + 0.1 * (Z @ D - (Z @ D.T) @ D), Z, D),
        "Neumann": multiplications(lambda Z, U: attention.neumann_step(Z, U, eps=1.0, step=0.1), Z, U),
    }
    stated = {
        "MSSA": 2 * n * d**2 + 2 * n**2 * d,
        "ISTA": 2 * n * d**2,
        "ISTA of the code": 3 * n * d**2,
        "Neumann": 2 * n * d**2 + 2 * n * d * min(n, p),
    }
    halves = flops.attention(n, d, K, p), flops.ista_step(n, d, d)
    told = (*halves, flops.neumann(n, d, K, p), flops.of_layer(official(U, D), n))
    as_told = told == (2 * stated["MSSA"], 2 * stated["ISTA"], 2 * stated["Neumann"], sum(halves))
    return exactly(counted == stated and as_told, **counted)


@claim(
    "variants.causal-parameters",
    title="The published parameter count of causal CRATE",
    statement=r"\#=Vd+L(3d^2+5d)=60\text{M},\qquad d=768,\ L=12,\ V=50304",
    source=f"{BOOK}, its table of causal models; code of {N23}, model/crate_gpt.py",
    relation="=",
    hypotheses="to the million printed; tied embeddings; positions not counted",
    expect=HOLDS,
    twin="separate matrices for query, key and value",
    instances=5,
)
def causal_parameters(case: Case) -> Outcome:
    """True, counted from the arrays of a layer: 59.9 million. With the 1024 positions it is 60.7."""
    d, K, L, V = 768, 12, 12, 50304
    U, square, bias = map(case.asarray, (np.zeros((K, d, d // K)), np.zeros((d, d)), np.zeros(d)))
    layer = crate_causal(U, square, output=square, bias=bias)
    block = sum(math.prod(a.shape) for a in (layer.U, layer.output, layer.D, layer.bias)) + 4 * d
    total = V * d + L * (block + case.wrong(0, 2 * d * d))
    return exactly(round(total / 1e6) == 60, total=total)
