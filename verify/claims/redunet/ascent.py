"""Ascent on the sphere, with true labels."""

from __future__ import annotations

import math
from fractions import Fraction

import numpy as np

from srr import curvature
from srr.redunet import on_sphere, operators, redunet
from verify.arrays import to_numpy, unit_roundoff
from verify.case import Case
from verify.claims._instances import norm
from verify.claims._sources import REDUNET
from verify.claims._steps import assume_visible
from verify.claims.redunet._labelled import Labelled, ascends, change, labelled_tokens
from verify.claims.redunet._layers import never_falls
from verify.decide import partition_rate_reduction_change
from verify.figures import redunet as figures
from verify.ledger import HOLDS, HOLDS_UNDER, REFUTED, Outcome, claim
from verify.outcome import all_of, at_most, decided, equal, exactly


@claim(
    "redunet.labelled-ascent",
    title="With true labels a layer raises the rate reduction, for steps up to 16/17 over alpha",
    statement=r"\Delta R\big(\mathcal P_{\mathbb S}(Z+\eta\nabla\Delta R(Z\mid\Pi))\mid\Pi\big)\ge\Delta R(Z\mid\Pi),"
    r"\qquad z_i\in\mathbb S^{d-1},\ 0<\eta\alpha\le\tfrac{16}{17}",
    source=f"the layer of {REDUNET} with true labels; the step size derived (curvature.sphere_step_at)",
    relation="monotone",
    hypotheses="tokens on the sphere, in any direction or near the axes; two classes; eps from 0.03 to 3",
    expect=HOLDS_UNDER,
    twin="descent",
    proof=("ascent-on-the-sphere",),
    uses=("redunet.increment-is-the-gradient", "curvature.rate-reduction", "redunet.operators-are-bounded"),
    instances=150,
    witness={"seed": 0, "n, d": (2, 2), "tokens": "any", "eps": 1.0, "eta * alpha": 24.3},
    figure=figures.step_on_the_sphere,
)
def labelled_ascent(case: Case) -> Outcome:
    """True: normalising takes the radial part out of the step, and what it costs is covered by η ≤ 2/(9α/8 + max −ρ_i)
    with ρ_i ≥ −α. Decided by enclosure.
    """
    t = labelled_tokens(case)
    step = case.log_uniform("eta * alpha", 0.05, 30.0)
    case.condition("eta * alpha", step, 16 / 17)
    moved = redunet(t.Z, t.Pi, rule="gradient", eps=t.eps, eta=step / t.alpha).compress(t.Z)
    return ascends(case, t, on_sphere(case.wrong(moved, 2 * t.Z - moved)), step / t.alpha)


@claim(
    "redunet.labelled-ascent-at-the-tokens",
    title="The longer step that the tokens at hand allow raises the rate reduction too",
    statement=r"\Delta R\big(\mathcal P_{\mathbb S}(Z+\eta\nabla\Delta R)\mid\Pi\big)\ge\Delta R(Z\mid\Pi),\qquad"
    r"\eta\le\frac2{\frac98\alpha+\max_i\max(0,-\rho_i)},\ \rho_i=\langle z_i,g_i\rangle",
    source="derived (curvature.sphere_step_at)",
    relation="monotone",
    hypotheses="tokens on the sphere, in any direction or near the axes; two classes; the step or a share of it",
    expect=HOLDS,
    twin="a step thirty times as long",
    proof=("ascent-on-the-sphere-at-the-tokens",),
    uses=("redunet.labelled-ascent",),
    instances=100,
    figure=figures.step_on_the_sphere,
)
def labelled_ascent_at_the_tokens(case: Case) -> Outcome:
    """Where no gradient points inwards the sphere costs nothing: 16/(9α), as without it. Decided by enclosure."""
    t = labelled_tokens(case)
    step = case.uniform("share", 0.1, 1.0) * curvature.sphere_step_at(t.Z, t.Pi, eps=t.eps)
    step *= case.wrong(1, 30)
    return ascends(case, t, redunet(t.Z, t.Pi, rule="gradient", eps=t.eps, eta=step)(t.Z), step)


@claim(
    "redunet.step-limit-is-sharp",
    title="No step of 1.1/alpha or more is safe on the sphere, whatever the tokens",
    statement=r"\forall\,s\ge1.1\ \exists Z,\Pi:\quad"
    r"\Delta R\big(\mathcal P_{\mathbb S}(Z+\tfrac s\alpha\nabla\Delta R)\mid\Pi\big)<\Delta R(Z\mid\Pi)",
    source="derived; sharpness of redunet.labelled-ascent to 17 %",
    relation="tight",
    hypotheses="two classes along three axes, one token of the first where the second lies; s from 1.1 to 10",
    expect=HOLDS,
    twin="s/2 in place of s",
    uses=("redunet.labelled-ascent",),
    instances=10,
    figure=figures.step_on_the_sphere,
)
def step_limit_is_sharp(case: Case) -> Outcome:
    """True: 4m − 1 tokens of the first class at e_3 and one at e_2, 4m of the second at e_1 and m at e_2. There ΔR is
    stationary on the sphere, and at the one token its gradient points inwards by ρ, which nears −α as m grows. As that
    token tilts towards e_1, ΔR is curved downwards by h, a little above −ρ: a step multiplies the tilt by
    (1 − ηh)/(1 + ηρ), which is above 1 in size if η > 2/(h − ρ) → 1/α. Were the Hessian of ΔR at least −α
    (`curvature.rate-reduction-below`, not proved), 1/α would be safe; what is proved is 16/17 of it.
    """
    excess = case.log_uniform("s - 1", 0.1, 9.0)
    m = math.ceil(20 / min(excess, 1) ** 2)
    Z = np.repeat(np.eye(3), (4 * m, m + 1, 4 * m - 1), axis=0)
    one, tilt = 4 * m, 5 * unit_roundoff(case.asarray(np.ones(1))) ** 0.3
    Z[one] = (math.sin(tilt), math.cos(tilt), 0)
    first = (np.arange(len(Z)) == one) | (Z[:, 2] == 1)
    alpha = math.sqrt(5 / (18 * m))
    t = Labelled(case.asarray(Z), case.asarray(np.eye(2)[np.where(first, 0, 1)]), math.sqrt(3 / (len(Z) * alpha)))
    step = case.wrong(1 + excess, (1 + excess) / 2)
    case.assume(abs(1 + step * t.radial()[one] / alpha) > 0.02)  # else the token all but vanishes
    after = redunet(t.Z, t.Pi, rule="gradient", eps=t.eps, eta=step / alpha)(t.Z)
    assume_visible(case, tilt**2 * excess / (100 * m), t.Z[one : one + 1, :], after[one : one + 1, :], alpha * tilt)
    return decided(change(t, after), "<")


@claim(
    "redunet.radial-gradients-add-up",
    title="The gradient of the rate reduction points outwards on the whole",
    statement=r"\sum_i\rho_i=\sum_k\gamma_k\,\mathrm{tr}\,M_k-\mathrm{tr}\,M\ge0,\qquad M=\tfrac1\alpha E,\ "
    r"M_k=\tfrac1{\alpha_k}C_k",
    source="derived",
    relation="<=",
    hypotheses="tokens on the sphere, two classes",
    expect=HOLDS,
    twin="the traces without the shares",
    uses=("redunet.increment-is-the-gradient",),
    instances=100,
    figure=figures.gradients_point_outwards,
)
def radial_gradients_add_up(case: Case) -> Outcome:
    """M is the inverse of Σ γ_k M_k⁻¹, and the inverse is convex in the order of operators. So ΔR grows with the scale
    of the tokens, and what the sphere takes off is never gained by shrinking all of them.
    """
    t = labelled_tokens(case)
    E, C, gamma = operators(t.Z, t.Pi, eps=t.eps)
    M, parts = np.trace(to_numpy(E)) / t.alpha, np.trace(to_numpy(C), axis1=1, axis2=2) * to_numpy(gamma) / t.alpha
    share = to_numpy(gamma)
    total, traces = float(t.radial().sum()), float(np.sum(case.wrong(share, share / share) * parts) - M)
    scale = t.d + t.alpha * t.n
    return all_of(
        equal(case.asarray(np.array(total)), traces, size=t.n + t.d, scale=scale),
        at_most(0.0, case.asarray(np.array(total)), size=t.n + t.d, scale=scale),
    )


@claim(
    "redunet.radial-gradient-is-bounded",
    title="No gradient of a token on the sphere points inwards",
    statement=r"\rho_i=\langle z_i,g_i\rangle\ge0",
    source="asked here: normalisation would then be that of tokens which grow",
    relation="<=",
    hypotheses="tokens on the sphere, two classes",
    expect=REFUTED,
    twin="rho_i is above -alpha",
    uses=("redunet.radial-gradients-add-up",),
    instances=150,
    witness={"seed": 0, "n, d": (3, 2), "tokens": "any", "eps": 1.0},
)
def radial_gradient_is_bounded(case: Case) -> Outcome:
    """False: where the second moment of all tokens exceeds that of the token's own class, ρ_i is below zero, and it
    comes as near to −α as one likes (`redunet.step-limit-is-sharp`). By the Cauchy–Schwarz inequality it stays above.
    """
    t = labelled_tokens(case)
    least = t.radial().min()
    lengths = 1 + t.alpha * t.n
    return at_most(
        case.asarray(np.array(-least)), case.wrong(0.0, t.alpha), size=t.n + t.d, scale=t.alpha * lengths, rho=least
    )


@claim(
    "redunet.normalisation-alone",
    title="The normalisation after a step takes nothing off the rate reduction",
    statement=r"\Delta R(\mathcal P_{\mathbb S}(Z^{1/2})\mid\Pi)\ge\Delta R(Z^{1/2}\mid\Pi),\qquad "
    r"Z^{1/2}=Z+\eta\nabla\Delta R(Z\mid\Pi)",
    source=f"asked here: the layer of {REDUNET} ends on the sphere",
    relation="<=",
    hypotheses="tokens on the sphere, two classes, safe steps",
    expect=REFUTED,
    twin="no less than before the layer",
    uses=("redunet.labelled-ascent", "redunet.radial-gradients-add-up"),
    instances=60,
    witness={"seed": 0, "n, d": (2, 2), "tokens": "any", "eps": 1.0, "eta * alpha": 0.5},
)
def normalisation_alone(case: Case) -> Outcome:
    """False: a step lengthens tokens on the whole, and ΔR rewards length, which normalising takes back. What remains
    is what the tokens gained in direction, and that is a gain over the layer before.
    """
    t = labelled_tokens(case)
    step = case.uniform("eta * alpha", 0.1, 16 / 17) / t.alpha
    layer = redunet(t.Z, t.Pi, rule="gradient", eps=t.eps, eta=step)
    half = layer.compress(t.Z)
    after = layer.sparsify(half)
    if case.twin:
        return ascends(case, t, after, step)
    slope = norm(Labelled(after, t.Pi, t.eps).reduction()[1])
    assume_visible(case, slope * norm(after - half) / 100, half, after, slope)
    return decided(partition_rate_reduction_change(half, after, t.Pi, eps=t.eps), ">=")


PUBLISHED = {
    "3-D example, 500 a class": (3, 1500),
    "MNIST, 1000 a class": (784, 10000),
    "MNIST, 100 a class": (784, 1000),
    "MNIST, 10 a class": (784, 100),
    "100 dimensions, 200 samples": (100, 200),
}
"""d and n of settings of the code, all with ε² = 0.1 and η = 0.5."""


@claim(
    "redunet.published-steps-are-safe",
    title="The step of the published settings is within the guarantee",
    statement=r"\tfrac12\le\frac{16}{17\alpha},\qquad\alpha=\frac d{0.1\,n}",
    source=f"asked here: settings of the code of {REDUNET}, eta = 0.5, eps^2 = 0.1, against redunet.labelled-ascent",
    relation="<=",
    hypotheses="five settings, in fractions",
    expect=REFUTED,
    twin="those with twelve samples a dimension at least",
    uses=("redunet.labelled-ascent",),
    instances=20,
    witness={"setting": "MNIST, 100 a class"},
)
def published_steps_are_safe(case: Case) -> Outcome:
    """False of all settings with few samples: η α is 0.01 for the example in three dimensions and 0.39 for 1000 samples
    a class of MNIST, but 3.9 and 39 for 100 and for 10, and 2.5 for 200 samples in 100 dimensions.
    """
    names = [name for name, (d, n) in PUBLISHED.items() if not case.twin or n >= 12 * d]
    d, n = PUBLISHED[case.choice("setting", names)]
    product = Fraction(1, 2) * Fraction(10 * d, n)
    return exactly(product <= Fraction(16, 17), product=float(product))


@claim(
    "redunet.published-steps-ascend",
    title="Beyond the guarantee the published step raises the rate reduction all the same, layer by layer",
    statement=r"\Delta R(Z^{\ell+1}\mid\Pi)\ge\Delta R(Z^\ell\mid\Pi),\quad\ell<20,\qquad\eta=\tfrac12,\ "
    r"\varepsilon^2=0.1,\ n=2d,\ \Pi\text{ true}",
    source=f"settings of the code of {REDUNET}, 200 samples in 100 dimensions",
    relation="monotone",
    hypotheses="two classes in 10 or 20 dimensions, tokens at random on the sphere",
    expect=REFUTED,
    twin="the safe step 16/(17 alpha)",
    uses=("redunet.published-steps-are-safe",),
    instances=8,
    witness={"d": 10, "seed": 0},
)
def published_steps_ascend(case: Case) -> Outcome:
    """False: η α = 2.5. ΔR climbs at first and then overshoots. Of 40 layers with 200 random samples in 100 dimensions
    it fell in 25 with two classes and in none with ten; with 10 samples a class of 784 dimensions, η α = 39, in none of
    eight. Decided by enclosure.
    """
    d = case.choice("d", (10, 20))
    Z = case.asarray(case.rng().standard_normal((2 * d, d)))
    Pi = case.asarray(np.eye(2)[np.arange(2 * d) % 2])
    eps = math.sqrt(0.1)
    eta = case.wrong(0.5, curvature.sphere_step(2 * d, d, eps=eps))
    return never_falls(case, on_sphere(Z), Pi, layers=20, rule="gradient", eps=eps, eta=eta)
