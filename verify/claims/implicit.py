"""Implicit compression: steps on Rᶜ(Z|U) of any size κ, and the layer made of them.

Throughout c = κβ, σ = √β s for a singular value s of a head Y_k = Z U_k, and Z⁺ the tokens after a step. The proximal
step minimises Rᶜ(X) + ‖X − Z‖²/(2κ); for mutually orthogonal subspaces it takes every s to the minimiser t(s) of
½ log(1 + βt²) + (t − s)²/(2κ), a root of βt³ − βst² + (1 + c)t − s.
"""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import numpy as np
from flint import acb_poly, arb, ctx, fmpq, fmpq_poly

from srr import (
    SparseRateReduction,
    attention,
    coding_rate,
    coding_rate_and_gradient,
    curvature,
    flops,
    implicit,
    subspace_coding_rate,
    subspace_coding_rate_and_gradient,
)
from srr.layers import Layer, descent, implicit_descent
from verify import decide
from verify.arrays import to_numpy
from verify.case import Case, Instance
from verify.claims._instances import ONE_TOKEN, norm
from verify.claims._sources import N23
from verify.claims._steps import assume_visible, coarseness, inner, spectra
from verify.figures import implicit as figures
from verify.ledger import HOLDS, HOLDS_UNDER, REFUTED, Outcome, claim
from verify.outcome import all_of, at_most, decided, equal, exactly, observed

SMALL: dict[str, Any] = {"n": (1, 8), "d": (1, 6), "K": (1, 3), "p": (1, 2)}
ORTHOGONAL: dict[str, Any] = {**SMALL, "coherence": ("orthogonal",)}
DERIVED = f"derived; Rᶜ as in {N23}, eq. 8"


def _kappa(case: Case, m: Instance, low: float = 1e-2, high: float = 1e4) -> float:
    return case.log_uniform("kappa beta", low, high) / m.beta


def _slope(m: Instance, Z: Any) -> float:
    return norm(subspace_coding_rate_and_gradient(Z, m.U, eps=m.eps)[1])


def _descends(case: Case, m: Instance, after: Any, promised: float) -> Outcome:
    assume_visible(case, promised, m.Z, after, max(_slope(m, m.Z), _slope(m, after)))
    return decided(decide.subspace_rate_change(m.Z, after, m.U, eps=m.eps))


def _falls_by(m: Instance, after: Any, amount: float) -> Outcome:
    # Enclosed: the promised amount against the end of the decided interval.
    change = decide.subspace_rate_change(m.Z, after, m.U, eps=m.eps)
    rounding = _slope(m, after) * (norm(m.Z) + norm(after)) * coarseness(after)
    return at_most(change.upper, -amount, size=m.n + m.d, scale=abs(change.lower) + amount + rounding)


# --- the proximal step --------------------------------------------------------------------------------------


@claim(
    "implicit.step-descends",
    title="The implicit step compresses, for every step size",
    statement=r"R^c(Z^+)\le R^c(Z),\quad Z^+=\arg\min_X R^c(X)+\frac{1}{2\kappa}\|X-Z\|_F^2,\quad\kappa>0",
    source=DERIVED,
    relation="<=",
    hypotheses="orthogonal subspaces, any tokens, kappa beta from 0.01 to 10000",
    expect=HOLDS,
    twin="the gradient step of the same size",
    proof=("proximal-step-descends",),
    uses=("compression.exact-step-descends", "implicit.step-is-the-least"),
    figure=figures.steps_of_every_size,
)
def step_descends(case: Case) -> Outcome:
    """True by definition of a minimiser: Z is among its candidates. The gradient step is bound to κβ < 2 here."""
    m = case.mixture(**ORTHOGONAL)
    kappa = _kappa(case, m)
    step = case.wrong(implicit.implicit_step, attention.exact_step)
    after = step(m.Z, m.U, eps=m.eps, step=kappa)
    return _descends(case, m, after, norm(after - m.Z) ** 2 / (2 * kappa))


@claim(
    "implicit.step-guarantee",
    title="How much the implicit step takes off at least",
    statement=r"R^c(Z)-R^c(Z^+)\ge\frac1{2\kappa}\|Z^+-Z\|_F^2",
    source=DERIVED,
    relation="<=",
    hypotheses="as implicit.step-descends, scales from 0.1 to 100",
    expect=HOLDS,
    twin="twice as much, which a convex function would grant",
    proof=("proximal-step-descends",),
    derivations=("implicit-euler-step-descends",),
    uses=("implicit.step-descends",),
    figure=figures.guarantees,
)
def step_guarantee(case: Case) -> Outcome:
    """True, and not twice as much: beyond βs² = 1 the rate is concave in s. Where κβ < 16 the implicit equation alone
    grants (1/κ − β/16) ‖Z⁺ − Z‖² (derivation implicit-euler-step-descends).
    """
    m = case.mixture(**ORTHOGONAL, scale=(0.1, 100.0), eps=(0.1, 10.0))
    kappa = _kappa(case, m)
    after = implicit.implicit_step(m.Z, m.U, eps=m.eps, step=kappa)
    return _falls_by(m, after, case.wrong(0.5, 1.0) * norm(after - m.Z) ** 2 / kappa)


def _candidates(s: float, beta: float, kappa: float) -> list[tuple[arb, arb]]:
    # Every real root of βt³ − βst² + (1 + κβ)t − s, isolated, with its value of the scalar objective.
    s_, beta_, kappa_ = (fmpq(*x.as_integer_ratio()) for x in (s, beta, kappa))
    cubic = fmpq_poly([-s_, 1 + kappa_ * beta_, -beta_ * s_, beta_])
    found = []
    for root in acb_poly(cubic).roots():
        if root.imag.contains(0):
            t = root.real
            found.append((t, (1 + arb(beta_) * t * t).log() / 2 + (t - arb(s_)) ** 2 / (2 * arb(kappa_))))
    return found


@claim(
    "implicit.step-is-the-least",
    title="The singular value chosen is the global minimiser of the scalar problem",
    statement=r"t(s)=\arg\min_t\tfrac12\log(1+\beta t^2)+\frac{(t-s)^2}{2\kappa},\qquad "
    r"\beta t^3-\beta st^2+(1+\kappa\beta)t-s=0",
    source=DERIVED,
    relation="=",
    hypotheses="beta s^2 from 0.0001 to 1000000, kappa beta from 0.01 to 1000000, half of them where there are three "
    "roots; not within a millionth of a tie",
    expect=HOLDS,
    twin="the largest root, to which the iteration t <- s/(1 + kappa beta/(1 + beta t^2)) from t = s goes",
    figure=figures.singular_values,
)
def step_is_the_least(case: Case) -> Outcome:
    """True: all roots are isolated in balls, and the one that the code's number is nearest to has the least value. Of
    three the smallest or the largest is, and not always the one near s: so no descent method from s finds it.
    """
    beta = case.log_uniform("beta", 1e-2, 1e2)
    if case.choice("roots", ("any", "three")) == "any":
        c, square = case.log_uniform("kappa beta", 1e-2, 1e6), case.log_uniform("beta s^2", 1e-4, 1e6)
    else:
        c = case.log_uniform("kappa beta above 8", 10.0, 1e5)
        square = case.uniform("share of the tie", 0.5, 2.0) * c * math.log(c)
    dtype = to_numpy(case.asarray(np.zeros(1))).dtype
    s, kappa = float(np.asarray(math.sqrt(square / beta), dtype=dtype)), c / beta
    with ctx.workprec(300):
        found = _candidates(s, beta, kappa)
        value = [v for _, v in found]
        least = min(value, key=lambda v: float(v.mid()))
        others = [v for v in value if v is not least]
        case.assume(all(v - least > 1e-6 * least for v in others))
        t = float(to_numpy(implicit.shrink(case.asarray(np.array([s])), beta=beta, step=kappa))[0])
        if case.twin:
            t = max(float(root.mid()) for root, _ in found)
        distance = [abs(arb(t) - root) for root, _ in found]
        nearest = min(range(len(found)), key=lambda i: float(distance[i].mid()))
        chosen = value[nearest] is least
    return exactly(chosen, chosen=t, roots=[float(root.mid()) for root, _ in found])


@claim(
    "implicit.single-valued-to-eight",
    title="Up to kappa beta = 8 the implicit step is continuous; beyond, tokens have two local minima",
    statement=r"\forall\,\kappa\beta>8\ \exists s:\ \beta t^3-\beta st^2+(1+\kappa\beta)t-s\ "
    r"\text{has three real roots}",
    source="derived: (1/2)log(1 + beta t^2) is curved downwards by beta/8 at most, where beta t^2 = 3",
    relation="tight",
    hypotheses="kappa beta above 8 by a hundredth up to a hundredfold; s = sqrt(3/beta)(1 + kappa beta/4)",
    expect=HOLDS,
    twin="below 8 by the same factor",
    figure=figures.singular_values,
)
def single_valued_to_eight(case: Case) -> Outcome:
    """True: at βt² = 3 the cubic has slope 1 − κβ/8. Its discriminant is taken in rationals."""
    excess = case.log_uniform("excess", 1e-2, 100.0)
    c, beta = 8 * case.wrong(1 + excess, 1 / (1 + excess)), case.log_uniform("beta", 1e-2, 1e2)
    s = math.sqrt(3 / beta) * (1 + c / 4)
    a, k = fmpq(*beta.as_integer_ratio()), fmpq(*c.as_integer_ratio())
    b, c_, e = -a * fmpq(*s.as_integer_ratio()), 1 + k, -fmpq(*s.as_integer_ratio())
    discriminant = 18 * a * b * c_ * e - 4 * b**3 * e + b**2 * c_**2 - 4 * a * c_**3 - 27 * a**2 * e**2
    return exactly(discriminant > 0)


@claim(
    "implicit.step-is-nonexpansive",
    title="The implicit step brings tokens closer together, as that of a convex function does",
    statement=r"\|P(Z_1)-P(Z_2)\|_F\le\|Z_1-Z_2\|_F,\qquad P=\mathrm{prox}_{\kappa R^c}",
    source="asked here: proximal operators of convex functions are, and R^c is not convex",
    relation="<=",
    hypotheses="orthogonal subspaces, kappa beta from 0.5 to 7.5, tokens of scale 0.1 to 10 a tenth of it apart",
    expect=REFUTED,
    twin="up to the factor 1/(1 - kappa beta/8)",
    uses=("implicit.single-valued-to-eight",),
    witness=ONE_TOKEN | {"scale": 3.0, "kappa beta": 4.0, "other": 0},
)
def step_is_nonexpansive(case: Case) -> Outcome:
    """False for every κ, however small: where a singular value has βt² > 1 the rate is concave in it, and its map has
    slope 1/(1 + κ(½ log(1 + βt²))'') > 1. Since Rᶜ + β‖Z‖²/16 is convex, 1/(1 − κβ/8) is the most, reached at βt² = 3.
    """
    m = case.mixture(**ORTHOGONAL, scale=(0.1, 10.0), eps=(0.1, 10.0))
    c = case.uniform("kappa beta", 0.5, 7.5)
    other = m.Z + case.asarray(0.1 * norm(m.Z) / math.sqrt(m.n * m.d) * case.rng("other").standard_normal((m.n, m.d)))
    ends = [implicit.implicit_step(Z, m.U, eps=m.eps, step=c / m.beta) for Z in (m.Z, other)]
    apart, factor = norm(m.Z - other), case.wrong(1.0, 1 / (1 - c / 8))
    rounding = (norm(m.Z) + norm(other)) * coarseness(m.Z)
    return at_most(norm(ends[0] - ends[1]), factor * apart, size=m.n + m.d, scale=factor * rounding)


@claim(
    "implicit.step-acts-on-singular-values",
    title="The implicit step, and the cycle over heads, take every singular value s of every head to t(s)",
    statement=r"Y_k=P\,\mathrm{Diag}(s_i)\,Q^\top\ \Longrightarrow\ Y_k^+=P\,\mathrm{Diag}(t(s_i))\,Q^\top,\qquad "
    r"Z^+-Z=\sum_k(Y_k^+-Y_k)U_k^\top",
    source=f"{DERIVED}; von Neumann's trace inequality",
    relation="=",
    hypotheses="orthogonal subspaces, any tokens, kappa beta from 0.01 to 7",
    expect=HOLDS,
    twin="with twice the step",
    derivations=("proximal-step-is-stationary",),
    uses=("implicit.step-is-the-least",),
    instances=100,
    figure=figures.singular_values,
)
def step_acts_on_singular_values(case: Case) -> Outcome:
    """True; against singular value decompositions. κβ stays where t is continuous, or rounding might decide a jump."""
    m = case.mixture(**ORTHOGONAL, scale=(0.1, 10.0), eps=(0.1, 10.0))
    kappa, beta = _kappa(case, m, 1e-2, 7.0), m.beta
    Z, expected = to_numpy(m.Z), to_numpy(m.Z).copy()
    for basis in to_numpy(m.U):
        P, s, Q = np.linalg.svd(Z @ basis, full_matrices=False)
        t = implicit.shrink(s, beta=beta, step=case.wrong(1, 2) * kappa)
        expected += (P * (t - s)) @ Q @ basis.T
    steps = (implicit.implicit_step, implicit.cyclic_step)
    size, scale = m.n + m.d, 10 * norm(m.Z) * coarseness(m.Z)
    return all_of(
        *(equal(to_numpy(step(m.Z, m.U, eps=m.eps, step=kappa)), expected, size=size, scale=scale) for step in steps)
    )


# --- against the explicit step ------------------------------------------------------------------------------


@claim(
    "implicit.shrinks-more-than-explicit",
    title="Where the implicit step shrinks a singular value more than the explicit one of the same size",
    statement=r"t(s)\le s-\frac{\kappa\beta s}{1+\beta s^2}\iff"
    r"\beta s^2\ge\tfrac12\big(\kappa\beta+\sqrt{\kappa^2\beta^2+4}\big),\qquad\kappa\beta\le 8",
    source=DERIVED,
    relation="=",
    hypotheses="kappa beta from 0.01 to 8, beta s^2 within a factor 1.01 to 30 of the bound",
    expect=HOLDS,
    twin="at beta s^2 >= kappa beta",
    derivations=("cubic-at-the-end-of-the-explicit-step",),
    uses=("implicit.step-is-the-least",),
    figure=figures.shrinking,
)
def shrinks_more_than_explicit(case: Case) -> Outcome:
    """True: at the explicit end e of σ = √β s the cubic has the sign of σ⁴ − cσ² − 1, and one root, which is t where
    it is zero. The sign is taken in rationals, and the code's t must lie on the side that it says. At κ = 1/L_c, where
    c = 1, the bound is the golden ratio: of tokens above it the implicit step takes off more, of tokens below the
    explicit one.
    """
    c, beta = case.log_uniform("kappa beta", 1e-2, 8.0), case.log_uniform("beta", 1e-2, 1e2)
    bound = (c + math.sqrt(c * c + 4)) / 2
    factor = case.log_uniform("factor", 1.01, 30.0)
    square = bound * (factor if case.choice("side", ("above", "below")) == "above" else 1 / factor)
    s = math.sqrt(square / beta)
    explicit = s - c * s / (1 + square)
    t = float(to_numpy(implicit.shrink(case.asarray(np.array([s])), beta=beta, step=c / beta))[0])
    case.assume(abs(t - explicit) > 1e-5 * s)
    u, k = fmpq(*square.as_integer_ratio()), fmpq(*c.as_integer_ratio())
    e = 1 - k / (1 + u)  # in units of σ
    sign = u * e**3 - u * e**2 + (1 + k) * e - 1
    more = square >= case.wrong(bound, c)
    return observed((sign >= 0) == more and (t <= explicit) == (sign >= 0), implicit=t, explicit=explicit)


@claim(
    "implicit.step-beats-explicit-steps",
    title="One implicit step of size 100/L_c takes off more than all the explicit steps of its cost",
    statement=r"R^c(P_{100/L_c}(Z))\le R^c(E^{N}(Z)),\quad E(Z)=Z-\tfrac1{L_c}\nabla R^c(Z),\quad "
    r"N\ \text{times}\ E\ \text{costs as much as}\ P",
    source=DERIVED,
    relation="<=",
    hypotheses="orthogonal subspaces, eps from 0.001 to 10, tokens of scale 1 with noise; N from the flops of both",
    expect=HOLDS_UNDER,
    twin="a step of size 1/L_c against as many explicit ones, hundredfold",
    uses=("implicit.step-descends", "compression.exact-step-descends"),
)
def step_beats_explicit_steps(case: Case) -> Outcome:
    """Under βs² > 25 for every singular value of every head: an explicit step takes 2 off βs² at most, the implicit one
    about 200 or nearly all. Of small tokens explicit steps cube √β s each, and a few of them leave less than 1/101.
    """
    m = case.mixture(n=(2, 12), d=(2, 6), K=(1, 3), p=(1, 2), coherence=("orthogonal",), noise=(0.1, 1.0), scale=1.0,
                     eps=(1e-3, 10.0))  # fmt: skip
    case.assume(m.n >= m.p)
    least = float(spectra(m.Z, m.U, m.eps).min())
    case.condition("25/(beta s^2) of the smallest s", 25 / max(least, 1e-9), 1.0)
    kappa = curvature.compression_step(m.U, m.n, eps=m.eps)
    sizes = m.n, m.d, m.K, m.p
    steps = -(-flops.implicit(*sizes) // flops.gradient(*sizes))  # rounded up
    ours = implicit.implicit_step(m.Z, m.U, eps=m.eps, step=case.wrong(100, 1) * kappa)
    Z = m.Z
    for _ in range(case.wrong(1, 100) * steps):
        Z = attention.exact_step(Z, m.U, eps=m.eps, step=kappa)
    ends = [float(subspace_coding_rate(X, m.U, eps=m.eps)) for X in (ours, Z)]
    start = float(subspace_coding_rate(m.Z, m.U, eps=m.eps))
    rounding = start * coarseness(m.Z)
    return at_most(ends[0], ends[1], size=m.n + m.d, scale=rounding, start=start, implicit=ends[0], explicit=ends[1])


# --- any family ---------------------------------------------------------------------------------------------


@claim(
    "implicit.semi-implicit-step-descends",
    title="The semi-implicit step compresses for every step size, however the subspaces overlap",
    statement=r"R^c(Z(I+\kappa A)^{-1})\le R^c(Z),\quad A=\beta\sum_kU_k(I+\beta Y_k^\top Y_k)^{-1}U_k^\top,"
    r"\quad\kappa>0\quad\text{(tokens in rows)}",
    source=DERIVED,
    relation="<=",
    hypotheses="orthogonal or overlapping subspaces, any tokens, kappa beta from 0.01 to 10000",
    expect=HOLDS,
    twin="the gradient step Z(I - kappa A)",
    proof=("semi-implicit-step-descends",),
    uses=("compression.exact-step-descends",),
    figure=figures.steps_of_every_size,
)
def semi_implicit_step_descends(case: Case) -> Outcome:
    """True: log det lies below its tangent in the Gram matrix, a quadratic in the tokens, whose proximal step it is."""
    m = case.mixture(**SMALL)
    kappa = _kappa(case, m)
    step = case.wrong(implicit.semi_implicit_step, attention.exact_step)
    after = step(m.Z, m.U, eps=m.eps, step=kappa)
    return _descends(case, m, after, norm(after - m.Z) ** 2 / kappa)


@claim(
    "implicit.semi-implicit-step-solves",
    title="The semi-implicit step is the gradient step with its tokens at the end",
    statement=r"Z^++\kappa Z^+A=Z,\qquad ZA=\nabla R^c(Z)",
    source=DERIVED,
    relation="=",
    hypotheses="orthogonal or overlapping subspaces, any tokens, kappa beta from 0.01 to 100",
    expect=HOLDS,
    twin="with A at twice the step",
    uses=("rates.gradient-subspace",),
    instances=100,
)
def semi_implicit_step_solves(case: Case) -> Outcome:
    """True; A from dense inverses."""
    m = case.mixture(**SMALL, scale=(0.1, 3.0), eps=(0.3, 10.0))
    kappa, beta = _kappa(case, m, 1e-2, 100.0), m.beta
    Z, A = to_numpy(m.Z), np.zeros((m.d, m.d))
    for basis in to_numpy(m.U):
        Y = Z @ basis
        A += beta * basis @ np.linalg.inv(np.eye(m.p) + beta * Y.T @ Y) @ basis.T
    after = to_numpy(implicit.semi_implicit_step(m.Z, m.U, eps=m.eps, step=kappa))
    back = after + case.wrong(1, 2) * kappa * after @ A
    grown = 1 + kappa * float(np.linalg.norm(A, 2)) + beta * norm(m.Z) ** 2
    return equal(back, Z, size=m.n + m.d, scale=norm(m.Z) * grown * coarseness(m.Z))


@claim(
    "implicit.semi-implicit-guarantee",
    title="How much the semi-implicit step takes off at least",
    statement=r"R^c(Z)-R^c(Z^+)\ge\frac1\kappa\|Z^+-Z\|_F^2",
    source=DERIVED,
    relation="<=",
    hypotheses="as implicit.semi-implicit-step-descends, scales from 0.1 to 100",
    expect=HOLDS,
    twin="twice as much",
    proof=("semi-implicit-step-descends",),
    uses=("implicit.semi-implicit-step-descends",),
    figure=figures.guarantees,
)
def semi_implicit_guarantee(case: Case) -> Outcome:
    """True, twice what the proximal step promises: it minimises a quadratic, which is convex. (It takes off less.)"""
    m = case.mixture(**SMALL, scale=(0.1, 100.0), eps=(0.1, 10.0))
    kappa = _kappa(case, m)
    after = implicit.semi_implicit_step(m.Z, m.U, eps=m.eps, step=kappa)
    return _falls_by(m, after, case.wrong(1.0, 2.0) * norm(after - m.Z) ** 2 / kappa)


@claim(
    "implicit.proximal-beats-semi-implicit",
    title="The proximal step takes off at least as much as the semi-implicit one of the same size",
    statement=r"R^c(\mathrm{prox}_{\kappa R^c}(Z))\le R^c(Z(I+\kappa A)^{-1})",
    source=DERIVED,
    relation="<=",
    hypotheses="orthogonal subspaces, any tokens, kappa beta from 0.01 to 10000",
    expect=HOLDS,
    twin="than the explicit one, kappa beta from 0.01 to 1",
    uses=("implicit.step-is-the-least",),
    figure=figures.steps_of_every_size,
)
def proximal_beats_semi_implicit(case: Case) -> Outcome:
    """True, singular value by singular value: t ↦ s/(1 + c/(1 + βt²)) increases, has the roots of the cubic as fixed
    points, and takes s to the semi-implicit step: that lies above the largest of them.
    """
    m = case.mixture(**ORTHOGONAL, scale=(0.1, 10.0), eps=(0.1, 10.0))
    kappa = _kappa(case, m, high=case.wrong(1e4, 1.0))
    other = case.wrong(implicit.semi_implicit_step, attention.exact_step)(m.Z, m.U, eps=m.eps, step=kappa)
    ours = implicit.implicit_step(m.Z, m.U, eps=m.eps, step=kappa)
    ends = [float(subspace_coding_rate(X, m.U, eps=m.eps)) for X in (ours, other)]
    rounding = (float(subspace_coding_rate(m.Z, m.U, eps=m.eps)) + _slope(m, ours) * norm(m.Z)) * coarseness(m.Z)
    return at_most(*ends, size=m.n + m.d, scale=rounding)


@claim(
    "implicit.cycle-descends",
    title="A cycle of proximal steps, one head after another, compresses however the subspaces overlap",
    statement=r"Z\leftarrow Z+(\mathrm{prox}_{\kappa R}(ZU_k)-ZU_k)U_k^\top,\ k=1,\dots,K\quad\Longrightarrow\quad "
    r"R^c(Z^+)\le R^c(Z)",
    source="asked here: what extends the proximal step to overlapping subspaces at first sight",
    relation="<=",
    hypotheses="random orthonormal bases; or two lines in the plane and a token orthogonal to the first; kappa beta "
    "from 1 to 300",
    expect=REFUTED,
    twin="the semi-implicit step",
    uses=("implicit.step-descends", "implicit.semi-implicit-step-descends"),
    witness={"subspaces": "two lines", "angle": 0.5, "sigma": 10.0, "kappa beta": 20.0},
)
def cycle_descends(case: Case) -> Outcome:
    """False: every turn lowers the rate of its own head and may raise those of the heads before by more, for which
    nobody makes up. The token of the witness is orthogonal to the first line; the step along the second takes little
    off a large rate and gives the first one, from zero, a larger one. On random subspaces it was never seen to rise.
    """
    if case.choice("subspaces", ("two lines", "random")) == "two lines":
        angle, sigma = case.uniform("angle", 0.1, 1.4), case.log_uniform("sigma", 1.0, 100.0)
        U = case.asarray(np.array([[[1.0], [0.0]], [[math.cos(angle)], [math.sin(angle)]]]))
        m = Instance(case.asarray(np.array([[0.0, sigma / math.sin(angle)]])), U, None, 1.0, 1, 2, 2, 1)
    else:
        m = case.mixture(**{**SMALL, "K": (2, 3)}, coherence=("random",), scale=(0.1, 10.0), eps=(0.1, 10.0))
    kappa = _kappa(case, m, 1.0, 300.0)
    after = case.wrong(implicit.cyclic_step, implicit.semi_implicit_step)(m.Z, m.U, eps=m.eps, step=kappa)
    return _descends(case, m, after, norm(after - m.Z) ** 2 / kappa)


# --- the layer ----------------------------------------------------------------------------------------------


@claim(
    "implicit.expansion-seen-from-the-tokens",
    title="How much -R is curved upwards as seen from the tokens at hand",
    statement=r"-R(Z+H)\le-R(Z)-\langle\nabla R(Z),H\rangle+\tfrac12\ell(Z)\|H\|_F^2,\qquad "
    r"\ell(Z)=\alpha\max_i\min\Big(\tfrac18,u_i,\tfrac{\log(1+u_i)}{u_i}\Big),\ u_i=\alpha s_i^2",
    source="derived: von Neumann's trace inequality and a bound for one singular value",
    relation="<=",
    hypotheses="any tokens and moves, among them to zero and through it",
    expect=HOLDS,
    twin="with half of it",
    uses=("curvature.coding-rate",),
    instances=300,
    figure=figures.curvature_seen_from_tokens,
)
def expansion_seen_from_the_tokens(case: Case) -> Outcome:
    """True; α/8 is needed only of tokens with a singular value near ε√(n/d). The proof is in
    `srr.curvature.expansion_at`.
    """
    n, d = case.choice("n, d", ((1, 1), (2, 2), (2, 4), (5, 3)))
    eps, scale = case.log_uniform("eps", 0.1, 10.0), case.log_uniform("scale", 0.01, 1000.0)
    rng = case.rng()
    Z = scale * np.linalg.qr(rng.standard_normal((max(n, d), min(n, d))))[0]
    Z = Z if n >= d else Z.T
    if case.choice("spectrum", ("equal", "spread")) == "spread":
        Z = Z @ np.diag(10 ** rng.uniform(-2, 0, d))
    kind = case.choice("move", ("to zero", "through zero", "any"))
    share = case.log_uniform("share", 0.01, 10.0)
    H = {"to zero": -Z, "through zero": -(1 + share) * Z, "any": share * scale * rng.standard_normal((n, d))}[kind]
    before, after = case.asarray(Z), case.asarray(Z + H)
    move = to_numpy(after) - to_numpy(before)
    value, slope = coding_rate_and_gradient(before, eps=eps, method="svd")
    end, first = float(coding_rate(after, eps=eps, method="svd")), inner(slope, move)
    ell = case.wrong(1.0, 0.5) * float(curvature.expansion_at(before, eps=eps))
    bound = -float(value) - first + ell / 2 * norm(move) ** 2
    scale_of_terms = float(value) + end + norm(slope) * norm(move) + ell * norm(move) ** 2
    return at_most(-end, bound, size=n + d, scale=scale_of_terms * coarseness(before))


def _loss(case: Case, m: Instance) -> SparseRateReduction:
    return SparseRateReduction(m.U, m.eps, case.log_uniform("lam", 1e-4, 10.0))


class _Longer(Layer):
    """One proximal gradient step on the whole loss, of a size beyond what the tokens allow."""

    def __init__(self, objective: SparseRateReduction, longer: float) -> None:
        self._layer, self._longer = descent(objective.U, eps=objective.eps, lam=objective.lam), longer

    def compress(self, Z: Any) -> Any:
        return replace(self._layer, step_per_token=self._longer * self._layer.step_per_token).compress(Z)

    def sparsify(self, Z: Any) -> Any:
        return replace(self._layer, step_per_token=self._longer * self._layer.step_per_token).sparsify(Z)


@claim(
    "implicit.layer-lowers-loss",
    title="The implicit descent layer lowers the loss, with steps as long as its tokens allow",
    statement=r"\mathcal L(Z^+)\le\mathcal L(Z),\qquad \mathcal L=R^c-R+\lambda\|\cdot\|_1",
    source="derived: the tangent of R^c in the Gram matrix, -R as seen from the tokens, and the lasso of both",
    relation="<=",
    hypotheses="orthogonal or overlapping subspaces, eps from 0.01 to 10, scales from 0.01 to 100, lambda from 0.0001 "
    "to 10, 1 to 8 iterations, signed or non-negative tokens",
    expect=HOLDS,
    twin="a proximal gradient step of the length that it reaches at small eps, a thousand times that of layers.descent",
    derivations=(
        "implicit-descent-model-lies-above",
        "implicit-descent-iteration-lowers-its-model",
        "implicit-descent-iteration-from-signed-tokens",
    ),
    uses=("implicit.expansion-seen-from-the-tokens", "implicit.semi-implicit-step-descends"),
    figure=figures.layers_by_precision,
)
def layer_lowers_loss(case: Case) -> Outcome:
    """True: L lies below a convex quadratic plus λ‖·‖₁ that touches it at Z, and every iteration lowers that by at
    least its squared length over twice its step. All of that is derived but for how much −R is curved as seen from the
    tokens, which is a hypothesis there: implicit.expansion-seen-from-the-tokens, proved on paper.
    """
    m = case.mixture(**SMALL)
    nonnegative = case.choice("tokens", ("signed", "nonnegative")) == "nonnegative"
    Z = abs(m.Z) if nonnegative else m.Z
    objective, iterations = _loss(case, m), case.choice("iterations", (1, 2, 8))
    layer: Layer = implicit_descent(m.U, eps=m.eps, lam=objective.lam, nonnegative=nonnegative, iterations=iterations)
    after = (_Longer(objective, 1000.0) if case.twin else layer)(Z)
    slope = norm(objective.smooth_gradient(Z)) + objective.lam * math.sqrt(m.n * m.d)
    least = curvature.loss_step(m.U, m.n, eps=m.eps)
    case.assume(norm(after - Z) > 0)
    promised = norm(after - Z) ** 2 * float(curvature.expansion_at(Z, eps=m.eps)) / 2 if not case.twin else 0.0
    promised = max(promised, min(norm(after - Z) * slope, norm(after - Z) ** 2 / (2 * least)) / 100)
    assume_visible(case, promised, Z, after, slope + norm(objective.smooth_gradient(after)))
    return decided(decide.loss_change(objective, Z, after))


@claim(
    "implicit.layer-written-out",
    title="The implicit descent layer computes proximal gradient steps on a lasso that lies above the loss",
    statement=r"Z^+=V^m,\ V^0=Z,\quad V^{j+1}=\mathrm{prox}_{\sigma\lambda\|\cdot\|_1}\big(V^j-\sigma(AV^j-\nabla R(Z)+"
    r"\ell(Z)(V^j-Z))\big),\quad A=\beta\sum_kU_k(I+\beta Y_kY_k^\top)^{-1}U_k^\top,\ "
    r"\sigma=\frac1{\lambda_{\max}(A)+\ell(Z)}",
    source="derived: implicit.layer-lowers-loss",
    relation="=",
    hypotheses="any tokens and bases, 1 to 4 iterations, signed or non-negative",
    expect=HOLDS,
    twin="with the gradient of R added",
    uses=("implicit.layer-lowers-loss",),
    instances=80,
)
def layer_written_out(case: Case) -> Outcome:
    """In NumPy; nothing of srr on the other side. The first half returns V + τξ, τ = λ/(L_c + α/8), |ξ| ≤ 1 and ξ = 1
    where V > 0: the second takes τξ off, as it is to be the proximal operator of τ‖·‖₁.
    """
    (n, d), (K, p) = case.choice("n, d", ((1, 2), (3, 2), (4, 3))), case.choice("K, p", ((1, 1), (2, 1), (2, 2)))
    eps, lam, rng = case.log_uniform("eps", 0.3, 3.0), case.log_uniform("lam", 0.01, 1.0), case.rng()
    steps, nonnegative = case.integer("iterations", 1, 4), case.choice("tokens", ("signed", "nonnegative")) != "signed"
    Z, U = case.asarray(rng.standard_normal((n, d))), case.asarray(rng.standard_normal((K, d, p)))
    layer = implicit_descent(U, eps=eps, lam=lam, nonnegative=nonnegative, iterations=steps)
    tokens, bases, alpha, beta = to_numpy(Z), to_numpy(U), d / (n * eps**2), p / (n * eps**2)
    Y = tokens @ bases
    A = beta * np.sum(bases @ np.linalg.inv(np.eye(p) + beta * Y.swapaxes(1, 2) @ Y) @ bases.swapaxes(1, 2), axis=0)
    slope = alpha * tokens @ np.linalg.inv(np.eye(d) + alpha * tokens.T @ tokens)
    u = alpha * np.linalg.svd(tokens, compute_uv=False) ** 2
    ell = alpha * float(np.max(np.minimum(np.minimum(u, np.log1p(u) / u), 1 / 8)))
    step = 1 / (np.linalg.eigvalsh(A)[-1] + ell)
    V = tokens
    for _ in range(steps):
        V = V - step * (V @ A - case.wrong(1, -1) * slope + ell * (V - tokens))
        V = np.maximum(V - step * lam, 0) if nonnegative else np.sign(V) * np.maximum(np.abs(V) - step * lam, 0)
    tau = lam / (beta * np.linalg.norm(np.hstack(list(bases)), 2) ** 2 + alpha / 8)
    half = to_numpy(layer.compress(Z))
    xi = (half - V) / tau
    conditioned = (1 + alpha * norm(Z) ** 2) * (1 + beta * norm(U) ** 2 * norm(Z) ** 2) * (norm(Z) + step * lam)
    unit, size = conditioned * coarseness(Z), steps * (n + d)
    return all_of(
        equal(layer(Z), V, size=size, scale=conditioned + tau),
        equal(layer.sparsify(layer.compress(Z)), V, size=size, scale=conditioned + tau),
        at_most(np.abs(xi) if not nonnegative else xi, 1.0, size=size, scale=1 + unit / tau),
        equal(xi[V > 0], np.ones_like(xi[V > 0]), size=size, scale=coarseness(Z) + unit / tau),
    )


@claim(
    "implicit.layer-at-small-eps",
    title="At small eps one implicit descent layer takes off more than a hundred layers of layers.descent",
    statement=r"\mathcal L(Z)-\mathcal L(Z^+_{\rm implicit})\ge100\,\big(\mathcal L(Z)-\mathcal L(Z^+_{\rm descent})"
    r"\big),\qquad\varepsilon\le\tfrac1{300}",
    source="derived: the step of layers.descent is of the order of eps^2, that of the implicit layer of the order of "
    "the squared size of the tokens",
    relation="<=",
    hypotheses="64 tokens of dimension 16, four orthogonal subspaces of dimension 4, noise from 0.1 to 1, lambda from "
    "0.01 to 1, eps from 0.0003 to 0.0033",
    expect=HOLDS,
    twin="at eps from 1 to 10",
    uses=("implicit.layer-lowers-loss", "layers.descent-lowers-loss"),
    instances=40,
    figure=figures.layers_by_precision,
)
def layer_at_small_eps(case: Case) -> Outcome:
    """True: λ_max(A) and ℓ(Z) go with the smallest singular values of heads and tokens, not with 1/ε²."""
    m = case.mixture(n=64, d=16, K=4, p=4, coherence=("orthogonal",), noise=(0.1, 1.0), scale=1.0, eps=1.0)
    eps = case.log_uniform("precision", *case.wrong((3e-4, 1 / 300), (1.0, 10.0)))
    objective = SparseRateReduction(m.U, eps, case.log_uniform("lam", 0.01, 1.0))
    ours, short = (
        float(objective.loss(m.Z) - objective.loss(build(m.U, eps=eps, lam=objective.lam)(m.Z)))
        for build in (implicit_descent, descent)
    )
    scale = 100 * abs(float(objective.loss(m.Z))) * coarseness(m.Z)
    return at_most(100 * short, ours, size=m.n, scale=scale, implicit=ours, descent=short)
