"""The sparsification half: one ISTA step on a lasso, in place of a proximal step on λ‖Z‖ − R.

Tokens are rows: a code A reconstructs A Dᵀ, and ISTA is relu(A + η (Z − A Dᵀ) D − ηλ), started at A = Z.
The lasso is λ‖A‖₁ + ½‖Z − A Dᵀ‖² over A ≥ 0, and α = d/(n ε²).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from array_api_compat import array_namespace

from srr import coding_rate, coding_rate_and_gradient, curvature, prox
from verify import decide
from verify.arrays import to_numpy
from verify.case import Case
from verify.claims._instances import norm
from verify.claims._sources import ALPHA, BOOK, FISTA, N23
from verify.claims._steps import assume_visible, inner
from verify.figures import sparsification as figures
from verify.ledger import HOLDS, REFUTED, Outcome, claim
from verify.outcome import all_of, at_most, decided, equal

KAIMING = math.sqrt(6)
"""kaiming_uniform with fan-in m draws from ±√(6/m)."""


@dataclass(frozen=True)
class Coding:
    """Tokens Z (n, d) to be coded in a dictionary D (d, m), from a code A (n, m) that is not negative."""

    Z: Any
    D: Any
    A: Any
    lam: float
    n: int
    d: int

    def value_gradient(self, A: Any) -> float:
        """The norm of the gradient of the lasso at A."""
        return norm((A @ self.D.T - self.Z) @ self.D) + self.lam * math.sqrt(math.prod(A.shape))


def _orthonormal(rng: np.random.Generator, d: int) -> np.ndarray:
    return np.linalg.qr(rng.standard_normal((d, d)))[0]


def _coding(case: Case, dictionary: str = "any", start: str = "any", n: int = 5, d: int = 6) -> Coding:
    # A square dictionary; signed tokens, or tokens that are their own feasible start.
    n, d = case.integer("n", 1, n), case.integer("d", 1, d)
    lam, scale = case.log_uniform("lam", 1e-3, 1.0), case.log_uniform("scale", 0.1, 10.0)
    rng = case.rng()
    D = {
        "any": lambda: rng.standard_normal((d, d)) / math.sqrt(d),
        "orthonormal": lambda: _orthonormal(rng, d),
        "official": lambda: rng.uniform(-KAIMING, KAIMING, (d, d)) / math.sqrt(d),
    }[dictionary]()
    Z, A = scale * rng.standard_normal((n, d)), scale * np.abs(rng.standard_normal((n, d)))
    if start == "tokens":
        Z = np.abs(Z)
        A = Z
    else:
        Z = case.entries("Z", Z)
    return Coding(case.asarray(Z), case.asarray(D), case.asarray(A), lam, n, d)


def _lasso_change(c: Coding, before: Any, after: Any, lam: float | None = None) -> decide.Decision:
    return decide.lasso_change(c.Z, c.D, before, after, lam=c.lam if lam is None else lam)


# --- ISTA and its own lasso ---------------------------------------------------------------------------------


@claim(
    "sparsification.ista-descends",
    title="From a feasible code an ISTA step lowers its lasso, for every step size below 2/|D|^2",
    statement=r"F(\mathrm{ISTA}(A))\le F(A)=\lambda\|A\|_1+\tfrac12\|Z-DA\|_F^2,\quad A\ge0,\ "
    r"0<\eta<\frac{2}{\|D\|_2^2}",
    source=f"{N23}, eq. 17; {FISTA}, lemma 2.3",
    relation="<=",
    hypotheses="any dictionary, signed tokens, any code A >= 0 or the tokens themselves where they are >= 0",
    expect=HOLDS,
    twin="steps above 2/|D|^2",
    proof=("ista-descends",),
    figure=figures.ista_step_limit,
)
def ista_descends(case: Case) -> Outcome:
    """True: the step takes off at least (1/η − ‖D‖²/2) times its squared length. Decided on the codes as
    stored; near a minimiser, where the promised descent is less than their rounding can take back, the
    instance is rejected.
    """
    c = _coding(case, start=case.choice("start", ("tokens", "any")))
    theta = case.uniform("theta", 0.05, 1.95)
    theta = case.wrong(theta, theta + 2)
    eta = theta * prox.lasso_step(c.D)
    after = prox.ista_step(c.Z, c.D, step=eta, lam=c.lam, code=c.A)
    promised = abs(1 - theta / 2) / eta * norm(after - c.A) ** 2
    assume_visible(case, promised, c.A, after, c.value_gradient(c.A))
    return decided(_lasso_change(c, c.A, after))


@claim(
    "sparsification.ista-limit-is-sharp",
    title="2/|D|^2 is the largest step size of ISTA: above it, some lasso rises",
    statement=r"\forall D,\lambda,\ \eta>\frac{2}{\|D\|_2^2}\ \exists Z,\,A\ge0:"
    r"\quad F(\mathrm{ISTA}(A))>F(A)",
    source="sharpness of the step size of sparsification.ista-descends",
    relation="tight",
    hypotheses="any dictionary; A a positive code displaced along the top singular vector; eta above 2/|D|^2 by a "
    "thousandth up to a hundredfold",
    expect=HOLDS,
    twin="eta below 2/|D|^2 by the same factor",
    uses=("sparsification.ista-descends",),
    instances=100,
    figure=figures.ista_step_limit,
)
def ista_limit_is_sharp(case: Case) -> Outcome:
    """True: far from the boundary of A ≥ 0 the step is a gradient step on a quadratic, whose top
    eigenvector it multiplies by 1 − η‖D‖², below −1. The displacement is made so long that λ has no say.
    """
    c = _coding(case)
    excess = case.log_uniform("excess", 1e-3, 100.0)
    theta = 2 * case.wrong(1 + excess, 1 / (1 + excess))
    D = to_numpy(c.D)
    sigma, top = np.linalg.norm(D, 2), np.linalg.svd(D)[2][0]
    case.assume(sigma > 1e-3)
    length = 4 * c.lam * math.sqrt(c.d * (1 + 1 / excess)) / sigma**2
    rest = np.full((1, c.d), 4 * (1 + excess) * length)
    A = rest + length * (top if top.sum() >= 0 else -top)
    c = Coding(case.asarray(rest @ D.T), c.D, case.asarray(A), c.lam, 1, c.d)
    after = prox.ista_step(c.Z, c.D, step=theta * prox.lasso_step(c.D), lam=c.lam, code=c.A)
    assume_visible(case, (sigma * length) ** 2 * theta * abs(theta - 2) / 4, c.A, after, c.value_gradient(after))
    return decided(_lasso_change(c, c.A, after), ">")


@claim(
    "sparsification.orthonormal-one-step",
    title="With an orthonormal dictionary one ISTA step of size 1 solves the lasso, from any start",
    statement=r"\mathrm{ReLU}\big(A+D^\top(Z-DA)-\lambda\big)=(D^\top Z-\lambda)_+"
    r"=\mathrm{argmin}_{A\ge0}F(A)",
    source=f"{N23}, eq. 17",
    relation="=",
    hypotheses="orthonormal D, signed tokens, any start of either sign",
    expect=HOLDS,
    twin="steps of size 1/2",
    proof=("ista-step-of-size-one", "lasso-with-orthonormal-dictionary"),
    derivations=("ista-step-with-orthonormal-dictionary",),
    instances=100,
)
def orthonormal_one_step(case: Case) -> Outcome:
    """True: A cancels. Checked against the closed form, and the duality gap of the result is zero to
    rounding.
    """
    c = _coding(case, "orthonormal")
    A = c.A - case.uniform("shift", 0.0, 2.0) * norm(c.A)
    after = prox.ista_step(c.Z, c.D, step=case.wrong(1.0, 0.5), lam=c.lam, code=A)
    closed = prox.nonnegative_soft_threshold(c.Z @ c.D, c.lam)
    size = norm(c.Z) + norm(A) + c.lam
    gap = prox.lasso_gap(c.Z, c.D, after, lam=c.lam)
    return all_of(
        equal(after, closed, size=c.d, scale=size),
        at_most(gap, 0 * gap, size=c.n * c.d, scale=size**2 + size * c.lam * c.n * c.d),
    )


@claim(
    "sparsification.solves-n23-objective",
    title="ISTA solves the problem that its paper prints, with 1 in place of 1/2",
    statement=r"(D^\top Z-\lambda)_+=\mathrm{argmin}_{A\ge0}\ \lambda\|A\|_1+\|Z-DA\|_F^2,\qquad D^\top D=I",
    source=f"{N23}, eq. 15-17, as printed; the book has 1/2",
    relation="=",
    hypotheses="orthonormal D, one step of size 1, some entry of the code above lambda/2",
    expect=REFUTED,
    twin="the book's problem, with 1/2",
    derivations=("lasso-with-and-without-the-half",),
    uses=("sparsification.orthonormal-one-step",),
    instances=50,
    witness={"n": 1, "d": 1, "lam": 1.0, "scale": 1.0, "seed": 1},
)
def solves_n23_objective(case: Case) -> Outcome:
    """False: the minimiser of the printed problem is (DᵀZ − λ/2)₊, and eq. 17 is a proximal step on the
    book's. The printed problem is twice the lasso with λ/2, whose duality gap at the result of eq. 17 is
    tested.
    """
    c = _coding(case, "orthonormal")
    after = prox.ista_step(c.Z, c.D, step=1.0, lam=c.lam, code=c.A)
    case.assume(float(to_numpy(c.Z @ c.D).max()) > 0.6 * c.lam)
    gap = prox.lasso_gap(c.Z, c.D, after, lam=c.lam * case.wrong(0.5, 1.0))
    size = norm(c.Z) + norm(c.A) + c.lam
    return at_most(gap, 0 * gap, size=c.n * c.d, scale=size**2 + size * c.lam * c.n * c.d)


@claim(
    "sparsification.ista-descends-n23-objective",
    title="ISTA lowers the problem that its paper prints, with 1 in place of 1/2",
    statement=r"F_1(\mathrm{ISTA}(A))\le F_1(A)=\lambda\|A\|_1+\|Z-DA\|_F^2,"
    r"\quad A\ge0,\ \eta\le\frac1{\|D\|_2^2}",
    source=f"{N23}, eq. 15-17, as printed",
    relation="<=",
    hypotheses="any dictionary, codes near the minimiser of the printed problem",
    expect=REFUTED,
    twin="the book's problem, with 1/2",
    derivations=("lasso-with-and-without-the-half", "ista-step-of-the-lasso-without-the-half"),
    uses=("sparsification.ista-descends",),
    instances=100,
    witness={"n": 1, "d": 1, "lam": 1.0, "scale": 2.0, "seed": 1},
)
def ista_descends_n23_objective(case: Case) -> Outcome:
    """False: for the printed problem eq. 17 is a step of size η/2 with twice its λ, and walks away from its
    minimiser. The start is the result of 40 accelerated steps on the printed problem.
    """
    c = _coding(case)
    A = prox.fista(c.Z, c.D, lam=c.lam / 2, iterations=40)
    after = prox.ista_step(c.Z, c.D, step=prox.lasso_step(c.D), lam=c.lam, code=A)
    promised = norm(after - A) ** 2 / (2 * prox.lasso_step(c.D))
    assume_visible(case, promised, A, after, c.value_gradient(A))
    return decided(_lasso_change(c, A, after, c.lam * case.wrong(0.5, 1.0)))


@claim(
    "sparsification.ista-descends-from-signed-tokens",
    title="ISTA lowers its lasso from the signed tokens that the network starts it at",
    statement=r"F(\mathrm{ISTA}(Z))\le F(Z)=\lambda\|Z\|_1+\tfrac12\|Z-DZ\|_F^2,"
    r"\quad Z\text{ of either sign},\ \eta\le\frac1{\|D\|_2^2}",
    source=f"{N23}, eq. 17, started at its tokens",
    relation="<=",
    hypotheses="any dictionary, signed tokens as start: what LayerNorm hands over",
    expect=REFUTED,
    twin="started at the non-negative part of the tokens",
    uses=("sparsification.ista-descends",),
    instances=100,
    witness={"n": 1, "d": 1, "lam": 1.0, "scale": 3.0, "seed": 37181, "theta": 1.0},
)
def ista_descends_from_signed_tokens(case: Case) -> Outcome:
    """False: a signed start is infeasible, and may be better than every feasible code; relu then takes away
    what reconstructed the negative entries. The least case is one token z = −1 in D = 1.
    """
    c = _coding(case)
    start = case.wrong(c.Z, prox.nonnegative_soft_threshold(c.Z, 0.0))
    eta = case.uniform("theta", 0.1, 1.0) * prox.lasso_step(c.D)
    after = prox.ista_step(c.Z, c.D, step=eta, lam=c.lam, code=start)
    assume_visible(case, norm(after - start) ** 2 / (2 * eta), start, after, c.value_gradient(start))
    return decided(_lasso_change(c, start, after))


@claim(
    "sparsification.signed-start-beats-projected",
    title="The ISTA step from signed tokens ends below their non-negative part",
    statement=r"F(\mathrm{ISTA}(Z))\le F(Z_+),\qquad\eta\le\frac1{\|D\|_2^2}",
    source=f"asked here: the weaker descent that a signed start of {N23}, eq. 17, may still have",
    relation="<=",
    hypotheses="any dictionary, signed tokens as start",
    expect=REFUTED,
    twin="started at the non-negative part",
    uses=("sparsification.ista-descends-from-signed-tokens",),
    witness={"n": 1, "d": 2, "lam": 1.0, "scale": 3.0, "seed": 4, "theta": 1.0},
)
def signed_start_beats_projected(case: Case) -> Outcome:
    """False, though true of most draws and of every D in one dimension: what the negative entries
    contribute to D Z pulls the others astray, and is cut off afterwards.
    """
    c = _coding(case)
    projected = prox.nonnegative_soft_threshold(c.Z, 0.0)
    eta = case.uniform("theta", 0.1, 1.0) * prox.lasso_step(c.D)
    after = prox.ista_step(c.Z, c.D, step=eta, lam=c.lam, code=case.wrong(c.Z, projected))
    moved = norm(after - projected) ** 2 / (2 * eta)
    assume_visible(case, moved, projected, after, c.value_gradient(projected))
    return decided(_lasso_change(c, projected, after))


# --- the step as it is printed, and as it is initialised ----------------------------------------------------


@claim(
    "sparsification.printed-plus-lambda",
    title="The ISTA step as the book prints it, with + lambda, lowers the lasso",
    statement=r"F\big(\mathrm{ReLU}(Z-\eta D^\top(DZ-Z)+\eta\lambda\mathbf 1)\big)\le F(Z),"
    r"\quad Z\ge0,\ \eta\le\frac1{\|D\|_2^2}",
    source=f"{BOOK}, applications chapter, as printed, for CRATE and {ALPHA}",
    relation="<=",
    hypotheses="any dictionary, non-negative tokens as start",
    expect=REFUTED,
    twin="- lambda",
    uses=("sparsification.ista-descends",),
    instances=100,
    witness={"n": 1, "d": 1, "lam": 1.0, "scale": 1.0, "seed": 0},
)
def printed_plus_lambda(case: Case) -> Outcome:
    """False by a sign: with + it is a step on −λ‖A‖₁, which rewards what it should penalise."""
    c = _coding(case, start="tokens")
    eta, xp = prox.lasso_step(c.D), array_namespace(c.Z)
    moved = c.Z + eta * ((c.Z - c.Z @ c.D.T) @ c.D) + case.wrong(eta, -eta) * c.lam
    after = xp.where(moved > 0, moved, xp.zeros_like(moved))
    assume_visible(case, norm(after - c.Z) ** 2 / (2 * eta), c.Z, after, c.value_gradient(c.Z))
    return decided(_lasso_change(c, c.Z, after))


@claim(
    "sparsification.transposed-dictionary",
    title="D and its transpose may be exchanged in the ISTA step",
    statement=r"F\big(\mathrm{ReLU}(Z+\eta D(Z-D^\top Z)-\eta\lambda)\big)\le F(Z)=\lambda\|Z\|_1"
    r"+\tfrac12\|Z-DZ\|_F^2,\quad Z\ge0",
    source=f"asked here: {N23}, eq. 17, with the order that a row layout or an F.linear easily makes of it",
    relation="<=",
    hypotheses="any dictionary, non-negative tokens as start, eta = 1/|D|^2",
    expect=REFUTED,
    twin="D inside and its transpose outside",
    uses=("sparsification.ista-descends",),
    instances=100,
    witness={"n": 1, "d": 2, "lam": 0.1, "scale": 1.0, "seed": 0},
)
def transposed_dictionary(case: Case) -> Outcome:
    """False: exchanged, it is a step on the lasso of another dictionary, Dᵀ."""
    c = _coding(case, start="tokens")
    eta = prox.lasso_step(c.D)
    after = prox.ista_step(c.Z, case.wrong(c.D.T, c.D), step=eta, lam=c.lam)
    assume_visible(case, norm(after - c.Z) ** 2 / (2 * eta), c.Z, after, c.value_gradient(c.Z))
    return decided(_lasso_change(c, c.Z, after))


@claim(
    "sparsification.ista-turns",
    title="The ISTA step turns with its tokens and its dictionary",
    statement=r"\mathrm{ISTA}(OZ\mid ODO^\top)=O\,\mathrm{ISTA}(Z\mid D),\qquad O\in O(d)",
    source=f"asked here of {N23}, eq. 17, since it is true of the attention half",
    relation="=",
    hypotheses="any dictionary, signed tokens",
    expect=REFUTED,
    twin="O a permutation of the coordinates, for which it is true",
    instances=50,
    witness={"n": 1, "d": 2, "lam": 1.0, "scale": 1.0, "seed": 1, "rotation": 0},
)
def ista_turns(case: Case) -> Outcome:
    """False: relu and the threshold act on coordinates. This is what makes the axes special, which the
    rates alone, invariant to joint rotations, cannot.
    """
    c = _coding(case)
    rng = case.rng("rotation")
    turn = case.asarray(case.wrong(_orthonormal(rng, c.d), np.eye(c.d)[rng.permutation(c.d)]))
    eta = prox.lasso_step(c.D)
    left = prox.ista_step(c.Z @ turn.T, turn @ c.D @ turn.T, step=eta, lam=c.lam)
    right = prox.ista_step(c.Z, c.D, step=eta, lam=c.lam) @ turn.T
    return equal(left, right, size=c.d, scale=(1 + eta * norm(c.D)) * norm(c.Z) + eta * c.lam)


@claim(
    "sparsification.official-step-is-safe",
    title="The step 0.1 of the official code is below 1/|D|^2 at every initialisation drawn",
    statement=r"0.1\le\frac1{\|D\|_2^2}\quad\text{on each draw of}\quad D\in\mathbb R^{d\times d},"
    r"\ D_{ij}\sim\mathcal U\big(\pm\sqrt{6/d}\big)",
    source=f"code of {N23}: kaiming_uniform of a d x d matrix, step_size = 0.1",
    relation="<=",
    hypotheses="d from 64 to 160, one initialisation drawn for each instance: some that are never drawn break it",
    expect=HOLDS,
    twin="the d x 4d dictionary with fan-in d of the code of CRATE-alpha",
    uses=("sparsification.ista-descends",),
    instances=40,
    figure=figures.official_step_at_initialisation,
)
def official_step_is_safe(case: Case) -> Outcome:
    """True of what is drawn, and only just: E DᵀD = 2I and ‖D‖² tends to 8 (Marchenko and Pastur), never the 1
    of an orthonormal dictionary. CRATE-alpha's tends to 18: 0.1 is then above 1/‖D‖² and below 2/‖D‖², where ISTA
    still descends.
    """
    d = case.integer("d", 64, 160)
    bound = KAIMING / math.sqrt(d)
    D = case.asarray(case.rng().uniform(-bound, bound, (d, case.wrong(d, 4 * d))))
    return at_most(0.1, prox.lasso_step(D), size=d, scale=0.1)


@claim(
    "sparsification.official-dictionary-half-step",
    title="Five times the official step, 0.5, still lowers the lasso at its initialisation",
    statement=r"F(\mathrm{ISTA}(Z_+))\le F(Z_+),"
    r"\quad\eta=0.5,\ D_{ij}\sim\mathcal U\big(\pm\sqrt{6/d}\big)",
    source=f"asked here: {N23}, ablation of the step size, where 0.5 costs accuracy",
    relation="<=",
    hypotheses="official dictionary with |D|^2 below 18, started at the non-negative part of signed tokens",
    expect=REFUTED,
    twin="the official step, 0.1",
    uses=("sparsification.official-step-is-safe", "sparsification.ista-descends"),
    instances=200,
    witness={"n": 1, "d": 3, "lam": 1.0, "scale": 1.0, "seed": 50903},
    figure=figures.official_step_at_initialisation,
)
def official_dictionary_half_step(case: Case) -> Outcome:
    """False: 0.5 is above 2/‖D‖², which tends to 1/4. It mostly descends all the same: relu cuts off what it
    overshoots.
    """
    c = _coding(case, "official", d=16)
    case.assume(prox.lasso_step(c.D) > 1 / 18)
    start, eta = prox.nonnegative_soft_threshold(c.Z, 0.0), case.wrong(0.5, 0.1)
    after = prox.ista_step(c.Z, c.D, step=eta, lam=c.lam, code=start)
    moved = norm(after - start) ** 2 * abs(1 / eta - 1 / (2 * prox.lasso_step(c.D)))
    assume_visible(case, moved, start, after, c.value_gradient(start))
    return decided(_lasso_change(c, start, after))


# --- the lasso in place of the rate -------------------------------------------------------------------------


@claim(
    "sparsification.dictionary-preserves-rate",
    title="The dictionary preserves the rate: R(DZ) = R(Z)",
    statement=r"R(DZ)=R(Z),\qquad D_{ij}\sim\mathcal U\big(\pm\sqrt{6/d}\big)",
    source=f"{N23}, section 2.4, for an incoherent or orthogonal complete D; tested on the D of its code",
    relation="=",
    hypotheses="kaiming_uniform D, any tokens",
    expect=REFUTED,
    twin="orthonormal D, for which it is true",
    instances=50,
    witness={"n": 1, "d": 1, "lam": 1.0, "scale": 1.0, "seed": 0, "eps": 1.0},
    uses=("rates.orthogonal-invariance",),
)
def dictionary_preserves_rate(case: Case) -> Outcome:
    """True for orthonormal D, since R depends on singular values alone, and for no other: the
    initialisation of the code has E DᵀD = 2I, and nothing in training asks for DᵀD = I.
    """
    c = _coding(case, case.wrong("official", "orthonormal"))
    eps = case.log_uniform("eps", 0.1, 10.0)
    before, gradient = coding_rate_and_gradient(c.Z, eps=eps, method="svd")
    after = coding_rate(c.Z @ c.D.T, eps=eps, method="svd")
    return equal(after, before, size=c.n + c.d, scale=float(before) + norm(gradient) * norm(c.Z))


@claim(
    "sparsification.rate-gradient-turns-with-dictionary",
    title="For an orthonormal dictionary the gradient of R turns with it",
    statement=r"D\,\nabla R(Z)=\nabla R(DZ),\qquad D^\top D=I",
    source=f"{N23}, before eq. 92",
    relation="=",
    hypotheses="orthonormal D, any tokens",
    expect=HOLDS,
    twin="a kaiming_uniform D",
    proof=("gradient-of-rotated-tokens", "gradient-of-the-coding-rate"),
    uses=("rates.orthogonal-invariance",),
    instances=100,
)
def rate_gradient_turns_with_dictionary(case: Case) -> Outcome:
    """True: both are the same function of singular values in turned coordinates. So eq. 92 is eq. 88 in the
    coordinates of D.
    """
    c = _coding(case, case.wrong("orthonormal", "official"))
    eps = case.log_uniform("eps", 0.1, 10.0)
    left = coding_rate_and_gradient(c.Z, eps=eps)[1] @ c.D.T
    right = coding_rate_and_gradient(c.Z @ c.D.T, eps=eps)[1]
    condition = 1 + c.d / (c.n * eps**2) * norm(c.Z) ** 2
    return equal(left, right, size=c.n + c.d, scale=condition * norm(left))


@claim(
    "sparsification.ista-preserves-expansion",
    title="The ISTA step does not lower R, the expansion it stands for",
    statement=r"R(\mathrm{ISTA}(Z))\ge R(Z)",
    source=f"{N23}, section 2.4: R(Z^{{l+1}}) is about R(DZ^{{l+1}}), which is about R(Z^{{l+1/2}})",
    relation="<=",
    hypotheses="orthonormal D, signed or non-negative tokens, 0 < eta <= 1",
    expect=REFUTED,
    twin="a gradient step on R, of any size, in place of ISTA",
    uses=("sparsification.dictionary-preserves-rate",),
    instances=100,
    witness={"tokens": "tokens", "n": 1, "d": 1, "lam": 1.0, "scale": 1.0, "seed": 0, "eps": 1.0, "eta": 1.0},
)
def ista_preserves_expansion(case: Case) -> Outcome:
    """False for signed tokens, where relu drops dimensions, and for non-negative ones, which the threshold
    shortens. R is in neither the objective nor the constraints of the step that replaces λ‖Z‖ − R. The twin
    multiplies every singular value by 1 + ηα/(1 + αs²).
    """
    c = _coding(case, "orthonormal", start=case.choice("tokens", ("tokens", "any")))
    eps, eta = case.log_uniform("eps", 0.1, 10.0), case.uniform("eta", 0.1, 1.0)
    gradient = coding_rate_and_gradient(c.Z, eps=eps)[1]
    ascent = c.Z + eta * curvature.expansion_step(c.n, c.d, eps=eps) * gradient
    after = case.wrong(prox.ista_step(c.Z, c.D, step=eta, lam=c.lam), ascent)
    assume_visible(case, abs(inner(gradient, after - c.Z)), c.Z, after, norm(gradient))
    return decided(decide.rate_change(c.Z, after, eps=eps), ">=")


@claim(
    "sparsification.ista-lowers-sparse-rate",
    title="The ISTA step lowers lambda |Z| - R, the problem it stands for",
    statement=r"\lambda\|\mathrm{ISTA}(Z)\|_1-R(\mathrm{ISTA}(Z))\le\lambda\|Z\|_1-R(Z),\qquad Z\ge0",
    source=f"{N23}, eq. 13 and 17",
    relation="<=",
    hypotheses="orthonormal D, non-negative tokens, 0 < eta <= 1",
    expect=REFUTED,
    twin="the proximal gradient step of size 8/alpha on the problem itself",
    uses=("sparsification.ista-preserves-expansion",),
    instances=100,
    witness={"n": 1, "d": 1, "lam": 0.1, "scale": 1.0, "seed": 0, "eps": 1.0, "eta": 0.5},
)
def ista_lowers_sparse_rate(case: Case) -> Outcome:
    """False: R has left the problem with eq. 14, and the step lowers R without gaining as much on λ‖Z‖₁.
    The twin is true since −R is curved upwards by α/8 at most.
    """
    c = _coding(case, "orthonormal", start="tokens")
    eps, eta = case.log_uniform("eps", 0.1, 10.0), case.uniform("eta", 0.1, 1.0)
    s = curvature.expansion_step(c.n, c.d, eps=eps)
    gradient = coding_rate_and_gradient(c.Z, eps=eps)[1]
    direct = prox.nonnegative_soft_threshold(c.Z + s * gradient, s * c.lam)
    after = case.wrong(prox.ista_step(c.Z, c.D, step=eta, lam=c.lam), direct)
    slope = norm(gradient) + c.lam * math.sqrt(c.n * c.d)
    assume_visible(case, norm(after - c.Z) ** 2 / (2 * s), c.Z, after, slope)
    return decided(decide.sparse_rate_change(c.Z, after, eps=eps, lam=c.lam))


# --- the rigorous variant -----------------------------------------------------------------------------------


def _step_on_sparse_rate(case: Case, Z: np.ndarray, factor: float, *, eps: float, lam: float, true: bool) -> Outcome:
    # One step relu(Z + s G − sλ), s = factor/α, and G the true gradient of R, or what eq. 88 has for it,
    # α/(1 + α) Z, which is that of orthonormal tokens.
    n, d = Z.shape
    alpha, tokens = d / (n * eps**2), case.asarray(Z)
    gradient = coding_rate_and_gradient(tokens, eps=eps)[1]
    s = factor / alpha
    moved = tokens + s * gradient if true else (1 + factor / (1 + alpha)) * tokens
    after = prox.nonnegative_soft_threshold(moved, s * lam)
    slope = norm(gradient) + lam * math.sqrt(n * d)
    assume_visible(case, norm(after - tokens) ** 2 / (2 * s), tokens, after, slope)
    return decided(decide.sparse_rate_change(tokens, after, eps=eps, lam=lam))


def _from_disjoint(case: Case, factor: float) -> Outcome:
    # Orthonormal and non-negative tokens (n, n·m): m entries each, no two tokens in the same place. The loss is any, or
    # the steepest: −R is curved most at α = 3, and λ all but balances its slope at m equal entries.
    n, m = case.integer("n", 1, 4), case.integer("entries of each token", 1, 3)
    lam, eps = case.log_uniform("lam", 1e-3, 10.0), case.log_uniform("eps", 0.1, 10.0)
    entries = np.abs(case.rng().standard_normal((n, m))) + 0.1
    if case.choice("loss", ("any", "steep")) == "steep":
        eps, entries = math.sqrt(m / 3), np.ones((n, m))
        lam = (1 + case.uniform("imbalance", 1e-4, 1e-2)) * 3 / 4 / math.sqrt(m)
    entries /= np.linalg.norm(entries, axis=1, keepdims=True)
    Z = (np.eye(n)[:, :, None] * entries[:, None, :]).reshape(n, n * m)
    return _step_on_sparse_rate(case, Z, factor, eps=eps, lam=lam, true=False)


@claim(
    "sparsification.mm-step-descends",
    title="The majorisation-minimisation step lowers lambda |Z| - R from orthonormal non-negative tokens",
    statement=r"\varphi\Big(\mathrm{ReLU}\big((1+\tfrac{4}{9(1+\alpha)})Z-\tfrac{4\lambda}{9\alpha}\big)\Big)"
    r"\le\varphi(Z)=\lambda\|Z\|_1-R(Z),\quad Z^\top Z=I,\ Z\ge0",
    source=f"{N23}, eq. 88, appendix A.3",
    relation="<=",
    hypotheses="orthonormal non-negative tokens, that is of disjoint supports; any alpha and lambda, or alpha = 3 and "
    "lambda by at most a hundredth above 3/4 m^-1/2, m equal entries to a token",
    expect=HOLDS,
    twin="the step 40 times as long: 160/9 in place of 4/9, where 16 is the limit",
    proof=("majorisation-step-as-published", "majorisation-step-descends"),
    instances=150,
    uses=("curvature.majoriser-paper",),
    figure=figures.majorisation_constants,
)
def mm_step_descends(case: Case) -> Outcome:
    """True where its hypotheses are, which no layer's tokens meet: orthonormal and non-negative tokens have
    disjoint supports. (α is that of the d and n at hand, here n · m and n.)
    """
    return _from_disjoint(case, case.wrong(4 / 9, 160 / 9))


@claim(
    "sparsification.mm-step-sharp",
    title="A majoriser 18 times flatter: the step with 8 in place of 4/9",
    statement=r"\varphi\Big(\mathrm{ReLU}\big((1+\tfrac{8}{1+\alpha})Z-\tfrac{8\lambda}{\alpha}\big)\Big)"
    r"\le\varphi(Z),\quad Z^\top Z=I,\ Z\ge0",
    source=f"{N23}, eq. 77-88, with the sharp curvature alpha/8 of -R in place of 9 alpha/4",
    relation="<=",
    hypotheses="as sparsification.mm-step-descends",
    expect=HOLDS,
    twin="17 in place of 8, where 16 is the limit",
    proof=("majorisation-step-with-the-sharp-constant", "majorisation-step-descends"),
    uses=("curvature.majoriser", "sparsification.mm-step-descends"),
    instances=150,
    figure=figures.majorisation_constants,
)
def mm_step_sharp(case: Case) -> Outcome:
    """True: only the upward curvature of −R counts, and it is α/8 at most."""
    return _from_disjoint(case, case.wrong(8.0, 17.0))


@claim(
    "sparsification.expansion-limit-is-sharp",
    title="16/alpha is the largest step size on lambda |Z| - R: above it, some tokens end higher",
    statement=r"\forall\,s>\frac{16}{\alpha}\ \exists Z\ge0,\lambda:\quad\varphi\big((Z+s\nabla R(Z)-s\lambda)_+\big)"
    r">\varphi(Z)=\lambda\|Z\|_1-R(Z)",
    source=f"sharpness of the curvature alpha/8 of -R, against the 9 alpha/4 of {N23}, lemma 6",
    relation="tight",
    hypotheses="tokens with equal entries, near the singular value sigma with alpha sigma^2 = 3; s above 16/alpha by a "
    "thousandth up to a hundredfold",
    expect=HOLDS,
    twin="s below 16/alpha by the same factor",
    uses=("curvature.ends-attained", "sparsification.mm-step-sharp"),
    instances=100,
    figure=figures.majorisation_constants,
)
def expansion_limit_is_sharp(case: Case) -> Outcome:
    """True: −R is curved most where ασ² = 3, by α/8, and λ√(nd) = ασ/4 makes that point stationary. A displacement
    is multiplied by 1 − sα/8, below −1; the next term is of third order in it, since the curvature is stationary too.
    """
    n, d, eps = case.integer("n", 1, 4), case.integer("d", 1, 4), case.log_uniform("eps", 0.1, 10.0)
    excess = case.log_uniform("excess", 1e-3, 100.0)
    theta, displacement = 2 * case.wrong(1 + excess, 1 / (1 + excess)), 0.03 * math.sqrt(excess / (1 + excess) ** 3)
    alpha = d / (n * eps**2)
    sigma = math.sqrt(3 / alpha)
    lam = alpha * sigma / 4 / math.sqrt(n * d)
    Z = case.asarray(np.full((n, d), sigma * (1 + displacement) / math.sqrt(n * d)))
    s = theta * curvature.expansion_step(n, d, eps=eps)
    after = prox.nonnegative_soft_threshold(Z + s * coding_rate_and_gradient(Z, eps=eps)[1], s * lam)
    promised = alpha / 8 * (displacement * sigma) ** 2 * theta * abs(theta - 2) / 4
    assume_visible(case, promised, Z, after, alpha / 8 * norm(after - Z))
    return decided(decide.sparse_rate_change(Z, after, eps=eps, lam=lam), ">")


@claim(
    "sparsification.mm-step-from-any-tokens",
    title="The majorisation-minimisation step descends from the tokens that a network has",
    statement=r"\varphi\Big(\mathrm{ReLU}\big((1+\tfrac{4}{9(1+\alpha)})Z-\tfrac{4\lambda}{9\alpha}\big)\Big)"
    r"\le\varphi(Z)=\lambda\|Z\|_1-R(Z)",
    source=f"{N23}, eq. 88 as used in its ablation, without its hypotheses",
    relation="<=",
    hypotheses="non-negative or signed tokens that are not orthonormal",
    expect=REFUTED,
    twin="non-negative tokens and the true gradient of R in place of alpha/(1+alpha) Z",
    uses=("sparsification.mm-step-descends",),
    instances=150,
    witness={
        "start": "nonnegative",
        "n": 1,
        "entries of each token": 1,
        "lam": 1.0,
        "eps": 1.0,
        "seed": 3,
        "scale": 1.0,
    },
)
def mm_step_from_any_tokens(case: Case) -> Outcome:
    """False: α/(1 + α) Z is the gradient at orthonormal tokens only, and overshoots at longer ones; at
    signed tokens relu drops dimensions and R falls. With the true gradient the step descends from every
    non-negative start.
    """
    start = case.choice("start", ("nonnegative", "signed"))
    n, m = case.integer("n", 1, 4), case.integer("entries of each token", 1, 3)
    lam, eps = case.log_uniform("lam", 1e-3, 10.0), case.log_uniform("eps", 0.1, 10.0)
    Z = case.log_uniform("scale", 0.1, 10.0) * case.rng().standard_normal((n, n * m))
    Z = np.abs(Z) if start == "nonnegative" or case.twin else Z
    return _step_on_sparse_rate(case, Z, 4 / 9, eps=eps, lam=lam, true=case.twin)
