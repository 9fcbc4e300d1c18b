"""Steps with attention in place of the gradient."""

from __future__ import annotations

import math

import numpy as np
from array_api_compat import array_namespace

from srr import attention, curvature, subspace_coding_rate, subspace_coding_rate_and_gradient
from verify.arrays import to_numpy
from verify.case import Case, Instance
from verify.claims._instances import ONE_TOKEN, norm
from verify.claims._sources import BOOK, HU, N23
from verify.claims._steps import assume_visible, coarseness, gather, heads, inner, softmax, spectra
from verify.claims.compression._mixtures import ORTHOGONAL, SMALL, change, rate_gradient
from verify.figures import compression as figures
from verify.ledger import HOLDS, HOLDS_UNDER, REFUTED, Outcome, claim
from verify.outcome import decided, equal


def _slopes(m: Instance) -> tuple[float, float]:
    # Σ tr G_k and Σ tr(G_k S_k), with G_k = Y_k (I + β Y_kᵀY_k)⁻¹ Y_kᵀ.
    Y = to_numpy(heads(m.Z, m.U))
    left, s, _ = np.linalg.svd(Y, full_matrices=False)
    G = (left * (s**2 / (1 + m.beta * s**2))[:, None, :]) @ left.swapaxes(1, 2)
    return float(np.sum(np.trace(G, axis1=1, axis2=2))), float(np.sum(G * softmax(Y).swapaxes(1, 2)))


@claim(
    "compression.derived-step-is-neumann",
    title="With the Gram matrix in place of its softmax and a complete family, the derived step is the Neumann step",
    statement=r"(1-\kappa\beta)Z+\kappa\beta^2\sum_kU_kY_k(Y_k^\top Y_k)=Z-\kappa\Big("
    r"\beta\sum_kU_kU_k^\top Z-\beta^2\sum_kU_kY_k(Y_k^\top Y_k)\Big)",
    source=f"{N23}, approximation 4, eq. 61-76",
    relation="=",
    hypotheses="orthogonal subspaces that span the space",
    expect=HOLDS,
    twin="a space of ten dimensions, which they do not span",
    proof=("attention-with-the-gram-matrix-is-the-neumann-step",),
    instances=100,
)
def derived_step_is_neumann(case: Case) -> Outcome:
    """True: then Σ_k U_kU_kᵀ = I, and nothing is left of the approximation but the softmax. (Asked for one
    dimension, orthogonal subspaces are drawn in K·p, which they span.)
    """
    m = case.mixture(**{**ORTHOGONAL, "d": case.wrong(1, 10)}, noise=1.0, scale=(0.1, 10.0))
    xp, beta = array_namespace(m.Z), m.beta
    theta = case.uniform("kappa beta", 0.1, 2.0)
    Y = heads(m.Z, m.U)
    cubic = beta * gather(xp.matmul(Y, xp.matmul(xp.matrix_transpose(Y), Y)), m.U)
    left = (1 - theta) * m.Z + theta * cubic
    right = attention.neumann_step(m.Z, m.U, eps=m.eps, step=theta / beta)
    return equal(left, right, size=m.n + m.d, scale=(1 + theta) * (norm(m.Z) + beta * norm(Y) ** 3))


@claim(
    "compression.book-prefactor",
    title="The book's gradient with the prefactor of MSSA counted twice",
    statement=r"Z-\kappa\big(\beta Z-\beta^2\,\mathrm{MSSA}(Z)\big)=(1-\kappa\beta)Z+\kappa\beta\,"
    r"\mathrm{MSSA}(Z),\qquad\mathrm{MSSA}(Z)=\beta\sum_kU_k\,\mathrm{SSA}(Z|U_k)",
    source=f"{BOOK}, eq. gd-mcr-parts, as printed beside {N23}, eq. 10-12",
    relation="=",
    hypotheses="orthogonal subspaces, beta drawn away from 1",
    expect=REFUTED,
    twin="beta Z - beta MSSA(Z), the MSSA having its own beta",
    derivations=("prefactor-of-attention-in-the-gradient",),
    instances=50,
    witness=ONE_TOKEN | {"eps": 2.0, "kappa beta": 1.0},
)
def book_prefactor(case: Case) -> Outcome:
    """False unless β = 1: the book's MSSA already contains β, and β² in front of it makes β³ of what the
    expansion has as β². Against the derived step of eq. 10.
    """
    m = case.mixture(**ORTHOGONAL, scale=(0.1, 1.0))
    beta = m.beta
    case.assume(abs(math.log(beta)) > 0.1)
    theta = case.uniform("kappa beta", 0.1, 1.0)
    attended = attention.mssa(m.Z, m.U, eps=m.eps)
    left = m.Z - theta / beta * (beta * m.Z - beta ** case.wrong(2, 1) * attended)
    right = attention.derived_step(m.Z, m.U, eps=m.eps, step=theta / beta)
    return equal(left, right, size=m.n + m.d, scale=norm(m.Z) + norm(attended))


@claim(
    "compression.residual-is-twice-a-derived-step",
    title="Z + MSSA(Z) is twice the derived step of size 1/(2 beta)",
    statement=r"(1-\kappa\beta)Z+\kappa\beta\,\mathrm{MSSA}(Z)=\tfrac12\big(Z+\mathrm{MSSA}(Z)\big),"
    r"\qquad\kappa=\frac1{2\beta}",
    source=f"{N23}, eq. 10 and 18, which drops the coefficients of eq. 10 without a word",
    relation="=",
    hypotheses="any subspaces, any tokens",
    expect=HOLDS,
    twin="kappa = 1/beta",
    proof=("residual-attention-is-half-a-step",),
    instances=100,
)
def residual_is_twice_a_derived_step(case: Case) -> Outcome:
    """True. So CRATE's first half is a legitimate step up to a factor 2, which a LayerNorm right behind it
    would remove and the skip past the LayerNorm of the official code does not.
    """
    m = case.mixture(**SMALL)
    kappa = case.wrong(0.5, 1.0) / m.beta
    left = attention.derived_step(m.Z, m.U, eps=m.eps, step=kappa)
    right = 0.5 * attention.residual_step(m.Z, m.U, eps=m.eps)
    return equal(left, right, size=m.n + m.d, scale=norm(m.Z) + norm(right))


@claim(
    "compression.derived-step-descends",
    title="The derived MSSA step compresses if the softmax times its prefactor is a contraction",
    statement=r"R^c\big((1-\kappa\beta)Z+\kappa\beta\,\mathrm{MSSA}(Z)\big)\le R^c(Z),\quad"
    r"0<\kappa\beta\le1,\ \beta\max_k\|S_k\|_2<1",
    source=f"{N23}, eq. 10-12 and approximation 4, which states no condition on eps or on the scale",
    relation="<=",
    hypotheses="orthogonal subspaces, eps from 0.01 to 10, token scales from 0.01 to 100, kappa beta <= 1",
    expect=HOLDS_UNDER,
    twin="Z + kappa beta MSSA(Z), without the shrinking of Z",
    proof=("attention-step-compresses",),
    witness=ONE_TOKEN | {"p": 2, "d": 2, "kappa beta": 1.0},
)
def derived_step_descends(case: Case) -> Outcome:
    """True under the condition: head k becomes ((1 − κβ) I + κβ² S_k) Y_k, whose norm is below that of Y_k
    when β‖S_k‖₂ < 1. As ‖S_k‖₂ ≥ 1 this asks for n ε² > p, ε above 0.57 at n = 197 and p = 64. Outside, the
    common component of the tokens, which the softmax keeps, is multiplied by 1 − κβ + κβ² > 1.
    """
    m = case.mixture(**{**ORTHOGONAL, "n": (1, 16)})
    beta = m.beta
    theta = case.uniform("kappa beta", 0.05, 1.0)
    S = softmax(heads(m.Z, m.U))
    spread = beta * float(np.linalg.norm(S, 2, axis=(1, 2)).max())
    case.condition("beta max |S_k|_2", spread, 1, along="eps")
    after = attention.derived_step(m.Z, m.U, eps=m.eps, step=theta / beta)
    after = case.wrong(after, after + theta * m.Z)
    x, factor = spectra(m.Z, m.U, m.eps), 1 - theta + theta * spread
    promised = float(np.sum(x * abs(1 - factor**2) / (1 + x))) / 2
    assume_visible(case, promised, m.Z, after, norm(rate_gradient(m)))
    return decided(change(m, after))


@claim(
    "compression.derived-step-first-order",
    title="To first order the derived step compresses exactly when its softmax weighs less than its skip",
    statement=r"\frac{d}{d\kappa}R^c\big((1-\kappa\beta)Z+\kappa\beta\,\mathrm{MSSA}(Z)\big)\Big|_{\kappa=0}\le0"
    r"\iff\beta\sum_k\mathrm{tr}(G_kS_k)\le\sum_k\mathrm{tr}\,G_k,"
    r"\quad G_k=Y_k^\top(I+\beta Y_kY_k^\top)^{-1}Y_k",
    source=f"the slope of {N23}, eq. 10-12",
    relation="=",
    hypotheses="orthogonal subspaces that span the space; tried with kappa the slope over L_c |step|^2, so short that "
    "the curvature cannot turn the sign, and where that change exceeds rounding",
    expect=HOLDS,
    twin="S_k without its weight beta",
    proof=("gradient-of-the-compression-rate", "slope-of-the-attention-step"),
    derivations=("attention-step-descends-to-first-order",),
    uses=("compression.residual-slope", "curvature.subspace-rate"),
)
def derived_step_first_order(case: Case) -> Outcome:
    """True: the slope is −β² Σ_k [tr G_k − β tr(G_kS_k)]. The Hessian lies between −L_c/8 and L_c, so at this
    κ it takes away half of a fall at most and a sixteenth of a rise. Both directions are decided: the step falls
    where the right side says so, and rises where it does not.
    """
    m = case.mixture(**{**ORTHOGONAL, "d": 1}, scale=(1e-2, 1e1), eps=(0.05, 10.0))
    beta, (kept, attended) = m.beta, _slopes(m)
    lighter = case.wrong(beta, 1.0) * attended <= kept
    mixed = attention.mssa(m.Z, m.U, eps=m.eps)
    move, gradient = beta * (mixed - m.Z), rate_gradient(m)
    slope = abs(inner(gradient, move))
    # Where MSSA(Z) is Z, as for one token at beta = 1, the move is rounding and its sign says nothing.
    assume_visible(case, slope / beta, m.Z, mixed, norm(gradient))
    kappa = slope / (curvature.subspace_rate(m.U, m.n, eps=m.eps) * norm(move) ** 2)
    after = m.Z + kappa * move
    assume_visible(case, kappa * slope / 2, m.Z, after, norm(gradient))
    return decided(change(m, after), "<=" if lighter else ">", attended=attended, kept=kept)


@claim(
    "compression.residual-slope",
    title="The slope of R^c along the attention",
    statement=r"\langle\nabla R^c(Z),\sum_kU_k\mathrm{SSA}(Z|U_k)\rangle"
    r"=\beta\sum_k\mathrm{tr}(G_kS_k),\quad G_k=Y_k^\top(I+\beta Y_kY_k^\top)^{-1}Y_k",
    source=f"{N23}, eq. 9 and 12",
    relation="=",
    hypotheses="orthogonal subspaces",
    expect=HOLDS,
    twin="overlapping subspaces, between which cross terms appear",
    proof=("slope-along-attention",),
    instances=100,
    uses=("rates.gradient-subspace",),
    figure=figures.attention_slope,
)
def residual_slope(case: Case) -> Outcome:
    """True for orthogonal subspaces; cross terms Y_jᵀ… U_jᵀU_k appear between others. Rounding is told by what
    it can move: the gradient, β-Lipschitz, with the tokens; the attention with its scores.
    """
    coherence = case.wrong("orthogonal", "random")
    m = case.mixture(**{**SMALL, "coherence": (coherence,)}, scale=(0.1, 10.0), eps=(0.1, 10.0))
    gradient = subspace_coding_rate_and_gradient(m.Z, m.U, eps=m.eps, method="svd")[1]
    attended, Y = attention.mssa(m.Z, m.U), heads(m.Z, m.U)
    score = 1 + float(np.max(np.sum(to_numpy(Y) ** 2, axis=-1)))
    return equal(
        inner(gradient, attended),
        m.beta * _slopes(m)[1],
        size=m.n + m.d,
        scale=(m.beta * norm(Y) * norm(attended) + norm(gradient) * norm(attended) * score) * coarseness(m.Z),
    )


@claim(
    "compression.residual-step-descends",
    title="Z + MSSA(Z), the first half of every CRATE layer, compresses",
    statement=r"R^c\big(Z+\mathrm{MSSA}(Z|U_{[K]})\big)\le R^c(Z)",
    source=f"{N23}, eq. 18 with eq. 12, and its code with the theoretical output matrix [U_1 ... U_K]",
    relation="<=",
    hypotheses="orthogonal subspaces; MSSA of the paper, without prefactor (CRATE-C), or the code's p^-1/2",
    expect=REFUTED,
    twin="heads of dimension p = 1, where it never falls: R^c(Z + MSSA(Z)) >= R^c(Z)",
    uses=("compression.residual-slope",),
    instances=150,
    witness=ONE_TOKEN | {"form": "paper"},
)
def residual_step_descends(case: Case) -> Outcome:
    """False, and nearly always the other way round (Hu, Zou and Xu 2024): the softmax is a weighted mean
    that leans to similar tokens, and adding it lengthens the tokens along the directions they share. For
    one token the step is a multiplication by 1 + β. For p = 1 the slope is Σ y_i y_j S_ij ≥ (Σ y)²/n, so Rᶜ
    rises for all tokens.
    """
    m = case.mixture(**{**ORTHOGONAL, "p": case.wrong((1, 3), 1)}, scale=(0.1, 10.0), eps=(0.1, 10.0))
    xp, form = array_namespace(m.Z), case.choice("form", ("paper", "conceptual", "official"))
    if form == "official":
        output = xp.reshape(xp.permute_dims(m.U, (1, 0, 2)), (m.d, m.K * m.p))
        after = m.Z + attention.mssa_official(m.Z, m.U, output=output)
    else:
        after = attention.residual_step(m.Z, m.U, eps=m.eps if form == "paper" else None)
    gradient = rate_gradient(m)
    assume_visible(case, abs(inner(gradient, after - m.Z)), m.Z, after, norm(gradient))
    return decided(change(m, after), case.wrong("<=", ">="))


@claim(
    "compression.residual-step-ascends",
    title="Adding attention never compresses",
    statement=r"R^c\Big(Z+\eta\sum_kU_k\mathrm{SSA}(Z|U_k)\Big)\ge R^c(Z),\quad\eta>0",
    source=f"asked here of all tokens: {HU}, whose experiment finds it in every layer",
    relation="monotone",
    hypotheses="orthogonal subspaces, eta from 0.001 to 1; tokens of a mixture, or many equal tokens and one far one",
    expect=REFUTED,
    twin="heads of dimension p = 1, for which it is true",
    uses=("compression.residual-slope", "compression.residual-step-descends"),
    instances=150,
    witness={"tokens": "far", "copies": 30, "scale": 100.0, "eps": 1.0, "eta": 0.01},
)
def residual_step_ascends(case: Case) -> Outcome:
    """Rarely false, but false: no random mixture tried refutes it, and it is true for p = 1. For small η it asks
    for Σ tr(G_kS_k) ≥ 0, by compression.residual-slope. The counterexample has many equal tokens (0.02, 0.01) that
    attend to one far token, for which they have a positive inner product in the metric of the softmax and a
    negative one in the metric (I + βYᵀY)⁻¹ of the gradient; 18 tokens in the plane are enough.
    """
    kind = case.choice("tokens", ("mixture", "far"))
    if kind == "mixture" or case.twin:
        m = case.mixture(**{**ORTHOGONAL, "p": case.wrong((1, 3), 1)}, scale=(0.1, 10.0), eps=(0.1, 10.0))
    else:
        copies, scale = case.integer("copies", 1, 40), case.log_uniform("scale", 1.0, 100.0)
        near, apart = np.array([0.02, 0.01]), np.array([1.0, 0.0])
        Z = scale * np.stack([apart, *[near] * copies, 1.5 * apart - copies / 2 * near])
        eps, n = case.log_uniform("eps", 0.1, 10.0), copies + 2
        m = Instance(case.asarray(Z), case.asarray(np.eye(2)[None]), None, eps, n, 2, 1, 2)
    after = attention.residual_step(m.Z, m.U, step=case.log_uniform("eta", 1e-3, 1.0))
    gradient = rate_gradient(m)
    assume_visible(case, abs(inner(gradient, after - m.Z)), m.Z, after, norm(gradient))
    return decided(change(m, after), ">=")


@claim(
    "compression.one-token-is-left-alone",
    title="One token at eps = sqrt(p) is not denoised but left as it is",
    statement=r"(1-\kappa\beta)z+\kappa\beta\,\mathrm{MSSA}(z)=z,\qquad n=1,\ \varepsilon=\sqrt p",
    source=f"{N23}, section 2.3, which finds the denoiser of eq. 6 in this case",
    relation="=",
    hypotheses="one token, orthogonal subspaces that span the space, any kappa",
    expect=HOLDS,
    twin="eps = 2 sqrt(p)",
    proof=("attention-step-on-equal-tokens",),
    instances=50,
)
def one_token_is_left_alone(case: Case) -> Outcome:
    """True: the softmax of one score is 1 and β is 1, so MSSA(z) = Σ U_kU_kᵀ z = z. What distinguishes the
    denoiser, a weight for each subspace, is gone with the softmax over subspaces; the exact step does
    shrink the token.
    """
    given = {**ORTHOGONAL, "n": 1, "d": 1, "p": case.integer("dimension", 1, 3)}
    m = case.mixture(**{**given, "eps": case.wrong(1.0, 2.0) * math.sqrt(given["p"])})
    kappa = case.uniform("kappa", 0.1, 2.0)
    after = attention.derived_step(m.Z, m.U, eps=m.eps, step=kappa)
    return equal(after, m.Z, size=m.d, scale=(1 + kappa) * norm(m.Z))


@claim(
    "compression.minus-attention-descends",
    title="Z - eta MSSA(Z) compresses for steps that are short enough",
    statement=r"R^c(Z-\eta M)\le R^c(Z),\quad0<\eta<\frac{2\,\langle\nabla R^c,M\rangle}{L_c\|M\|^2},"
    r"\quad M=\sum_kU_k\mathrm{SSA}(Z|U_k)",
    source=f"{HU}, CRATE-N",
    relation="<=",
    hypotheses="orthogonal subspaces; tokens with a positive slope, else the bound is 0",
    expect=HOLDS_UNDER,
    twin="Z + eta MSSA(Z)",
    proof=("minus-attention-descends",),
    uses=("compression.residual-slope",),
    witness=ONE_TOKEN | {"eta": 8.0},
    figure=figures.attention_slope,
)
def minus_attention_descends(case: Case) -> Outcome:
    """True by the Hessian bound L_c. The minus sign repairs the direction but fixes no step size: one token
    is multiplied by 1 − η, and grows once η > 2, as β in the paper's MSSA easily is.
    """
    m = case.mixture(**ORTHOGONAL, scale=(0.1, 10.0), eps=(0.1, 10.0))
    eta = case.log_uniform("eta", 1e-3, 1e2)
    attended, gradient = attention.mssa(m.Z, m.U), rate_gradient(m)
    slope = inner(gradient, attended)
    bend = eta * curvature.subspace_rate(m.U, m.n, eps=m.eps) * norm(attended) ** 2
    case.condition("eta L_c |M|^2 / slope", bend / slope if slope > 0 else math.inf, 2, along="eta")
    after = attention.residual_step(m.Z, m.U, step=case.wrong(-eta, eta))
    assume_visible(case, abs(eta * (slope - bend / 2)), m.Z, after, norm(gradient))
    return decided(change(m, after))


@claim(
    "compression.projections-sum-to-identity",
    title="The projections on incoherent subspaces add up to the identity",
    statement=r"\sum_kU_kU_k^\top Z=Z\qquad\text{for incoherent }U_{[K]}",
    source=f"{N23}, approximation 4, heuristic step in eq. 61-76",
    relation="=",
    hypotheses="mutually orthogonal subspaces, tokens with noise, K p below d",
    expect=REFUTED,
    twin="tokens without noise, each in one of the subspaces, for which it is true",
    instances=50,
    witness=ONE_TOKEN | {"d": 2},
)
def projections_sum_to_identity(case: Case) -> Outcome:
    """False: incoherence is not enough. Σ U_kU_kᵀ = I asks that the subspaces be orthogonal and span the
    space; for less, the tokens must lie in the span of orthogonal subspaces, as in the twin. For
    overlapping subspaces the eigenvalues of the sum go up to K.
    """
    m = case.mixture(**ORTHOGONAL, noise=case.wrong((0.1, 1.0), 0.0))
    case.assume(m.d > m.K * m.p)
    return equal(gather(heads(m.Z, m.U), m.U), m.Z, size=m.d + m.p, scale=norm(m.Z))


@claim(
    "compression.projections-cost-nothing",
    title="For orthogonal subspaces the rate does not see what the projections drop",
    statement=r"R^c(Z-\kappa(\beta Z-\beta^2C))=R^c\Big(Z-\kappa\Big("
    r"\beta\sum_kU_kU_k^\top Z-\beta^2C\Big)\Big),\quad C=\sum_kU_kY_kY_k^\top Y_k",
    source=f"what heuristic sum_k U_k U_k^T Z = Z of {N23}, approximation 4, costs",
    relation="=",
    hypotheses="orthogonal subspaces that need not span, tokens with noise",
    expect=HOLDS,
    twin="overlapping subspaces",
    proof=("compression-rate-does-not-see-what-projections-drop",),
    instances=100,
)
def projections_cost_nothing(case: Case) -> Outcome:
    """True: Rᶜ depends on U_kᵀZ alone, and U_kᵀ Σ_j U_jU_jᵀ = U_kᵀ when the subspaces are orthogonal. The
    component outside all of them is shrunk without effect on Rᶜ, though R and the loss do see it.
    """
    coherence = case.wrong("orthogonal", "random")
    given = {**SMALL, "K": (2, 3), "coherence": (coherence,)}
    m = case.mixture(**given, noise=(0.1, 1.0), scale=(0.1, 10.0), eps=(0.1, 10.0))
    beta, theta = m.beta, case.uniform("kappa beta", 0.1, 1.5)
    neumann = attention.neumann_step(m.Z, m.U, eps=m.eps, step=theta / beta)
    dropped = m.Z - gather(heads(m.Z, m.U), m.U)
    rates = [subspace_coding_rate(Z, m.U, eps=m.eps, method="svd") for Z in (neumann, neumann - theta * dropped)]
    gradient = norm(subspace_coding_rate_and_gradient(neumann, m.U, eps=m.eps)[1])
    # The rates see the tokens before they are multiplied by up to 1 + x and rounded.
    moved = gradient * (norm(m.Z) + norm(neumann)) * (1 + float(spectra(m.Z, m.U, m.eps).max()))
    return equal(*rates, size=m.n + m.d, scale=float(rates[0]) + moved)
