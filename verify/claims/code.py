"""What the code computes is what is derived: functions of `srr` against the exact values of the derived formulas.

The formulas are sides of derivations, evaluated in rational arithmetic at the floats given (`derivations.oracle`); the
agreement is checked on these instances, and proved by nothing. Tokens are rows, as in the derivations.
"""

from __future__ import annotations

from collections.abc import Mapping
from fractions import Fraction
from typing import Any

import numpy as np
import sympy

import srr
from derivations import (
    attention,
    coding_rate,
    compression_rate,
    compression_step,
    denoising,
    descent_layer,
    ista,
    neumann,
    rate_reduction,
)
from derivations.expression import Expr
from derivations.notation import H as direction_of
from derivations.notation import Z, alpha
from derivations.oracle import Value, rounded, value
from srr import enclosure, streaming
from srr.enclosure import Enclosure
from srr.redunet import on_sphere
from verify import decide, derivatives
from verify.arrays import to_numpy
from verify.claims._instances import Tokens, bases, memberships, norm, tokens
from verify.decide import as_float64
from verify.ledger import HOLDS, Case, Outcome, claim
from verify.outcome import all_of, equal, exactly

Array = Any
SMALL: dict[str, Any] = {"sizes": ((1, 2), (2, 1), (3, 2), (2, 4)), "eps": (0.3, 3.0), "scale": (0.1, 3.0)}
METHODS = ("auto", "svd")


def _exact(a: Expr, arrays: Mapping[str, Array], scalars: Mapping[str, Any]) -> Any:
    """The exact value of a formula, rounded once: an array or a number."""
    found: Value = value(a, {name: to_numpy(array) for name, array in arrays.items()}, scalars)
    result = rounded(found)
    return np.array(result) if isinstance(result, list) else result


def _square(x: float) -> Fraction:
    return Fraction(x) ** 2


def _constant(width: int, t: Tokens, precision: Fraction | None = None) -> Fraction:
    """α = d/(nε²) for width d, β = p/(nε²) for width p."""
    return Fraction(width, t.n) / (_square(t.eps) if precision is None else precision)


def _steep(t: Tokens) -> float:
    """How much the fast route may lose: 1 + α‖Z‖² bounds the condition number."""
    return 1 + t.alpha * norm(t.Z) ** 2


@claim(
    "code.coding-rate",
    title="coding_rate computes both forms of the coding rate",
    statement=r"\mathtt{coding\_rate}=\tfrac12\log\det(I+\alpha Z^\top Z)=\tfrac12\log\det(I+\alpha ZZ^\top)",
    source="derivation two-forms-of-the-coding-rate",
    relation="=",
    hypotheses="any tokens",
    expect=HOLDS,
    twin="eps for eps^2",
    derivations=("two-forms-of-the-coding-rate",),
    uses=("rates.sylvester",),
    instances=50,
)
def coding_rate_value(case: Case) -> Outcome:
    """The determinants are rational numbers; their logarithms are taken in ball arithmetic."""
    t = tokens(case, case.rng(), **SMALL)
    rate = srr.coding_rate(t.Z, eps=t.eps, method=case.choice("method", METHODS))
    constant = _constant(t.d, t, case.wrong(None, Fraction(t.eps)))
    scale = min(t.n, t.d) * _steep(t)
    sides = (coding_rate.TWO_FORMS.left, coding_rate.TWO_FORMS.right)
    values = (_exact(side, {"Z": t.Z}, {"alpha": constant}) for side in sides)
    return all_of(*(equal(rate, exact, size=t.n + t.d, scale=scale) for exact in values))


@claim(
    "code.coding-rate-gradient",
    title="coding_rate_and_gradient computes the gradient of the coding rate",
    statement=r"\mathtt{gradient}=\alpha(I+\alpha ZZ^\top)^{-1}Z",
    source="derivation gradient-of-the-coding-rate",
    relation="=",
    hypotheses="any tokens",
    expect=HOLDS,
    twin="twice the formula",
    derivations=("gradient-of-the-coding-rate",),
    uses=("rates.gradient",),
    instances=50,
)
def coding_rate_gradient(case: Case) -> Outcome:
    """Entry by entry; `rates.gradient` has directional derivatives, without this formula."""
    t = tokens(case, case.rng(), **SMALL)
    found = srr.coding_rate_and_gradient(t.Z, eps=t.eps, method=case.choice("method", METHODS))[1]
    exact = _exact(alpha * coding_rate.M @ Z, {"Z": t.Z}, {"alpha": _constant(t.d, t)})
    return equal(found, case.wrong(1, 2) * exact, size=t.n + t.d, scale=_steep(t) * t.alpha * norm(t.Z))


@claim(
    "code.subspace-rate",
    title="subspace_coding_rate computes both forms of the compression rate",
    statement=r"\mathtt{subspace\_coding\_rate}=\tfrac12\sum_k\log\det(I+\beta Y_k^\top Y_k)"
    r"=\tfrac12\sum_k\log\det(I+\beta Y_kY_k^\top),\qquad Y_k=ZU_k",
    source="derivation two-forms-of-the-compression-rate",
    relation="=",
    hypotheses="any tokens, any bases",
    expect=HOLDS,
    twin="2p for p in beta",
    derivations=("two-forms-of-the-compression-rate",),
    instances=50,
)
def subspace_rate(case: Case) -> Outcome:
    """As `code.coding-rate`, with orthonormal, overlapping and arbitrary bases."""
    rng = case.rng()
    t = tokens(case, rng, **SMALL)
    U = bases(case, rng, t.d)
    rate = srr.subspace_coding_rate(t.Z, U, eps=t.eps, method=case.choice("method", METHODS))
    constants = {"beta": case.wrong(1, 2) * _constant(U.shape[2], t)}
    scale = U.shape[0] * min(t.n, t.d) * _steep(t) * (1 + norm(U) ** 2)
    sides = (compression_rate.TWO_FORMS.left, compression_rate.TWO_FORMS.right)
    values = (_exact(side, {"Z": t.Z, "U": U}, constants) for side in sides)
    return all_of(*(equal(rate, exact, size=t.n + t.d, scale=scale) for exact in values))


@claim(
    "code.subspace-gradient",
    title="subspace_coding_rate_and_gradient computes the gradient of the compression rate",
    statement=r"\mathtt{gradient}=\beta\sum_kY_k(I+\beta Y_k^\top Y_k)^{-1}U_k^\top,\qquad Y_k=ZU_k",
    source="derivation gradient-of-the-compression-rate",
    relation="=",
    hypotheses="any tokens, any bases",
    expect=HOLDS,
    twin="beta squared",
    derivations=("gradient-of-the-compression-rate",),
    uses=("rates.gradient-subspace",),
    instances=50,
)
def subspace_gradient(case: Case) -> Outcome:
    """Entry by entry."""
    rng = case.rng()
    t = tokens(case, rng, **SMALL)
    U = bases(case, rng, t.d)
    found = srr.subspace_coding_rate_and_gradient(t.Z, U, eps=t.eps, method=case.choice("method", METHODS))[1]
    beta = _constant(U.shape[2], t)
    exact = _exact(compression_rate.GRADIENT_OF_RC, {"Z": t.Z, "U": U}, {"beta": case.wrong(beta, beta**2)})
    return equal(found, exact, size=t.n + t.d, scale=_lipschitz(t, U) * norm(t.Z))


def _lipschitz(t: Tokens, U: Array) -> float:
    """β‖U‖², with what the fast route may lose."""
    return float(_constant(U.shape[2], t)) * norm(U) ** 2 * _steep(t) * (1 + norm(U) ** 2)


def _classes(t: Tokens, Pi: Array, *, weighted: bool = True) -> dict[str, Any]:
    """Z with shares ν_k = n_k/n and ω_k = π_k/ν_k of the classes that have tokens, exact."""
    columns = [[Fraction(x) for x in column] for column in to_numpy(Pi).T.tolist()]
    columns = [column for column in columns if any(column)]
    shares = [sum(column) / t.n for column in columns]
    return {
        "Z": to_numpy(t.Z),
        "nu": [[[share if weighted else 1]] for share in shares],
        "omega": [[[x / share] for x in column] for column, share in zip(columns, shares, strict=True)],
    }


@claim(
    "code.partition-rate",
    title="partition_coding_rate computes the rate of a partition",
    statement=r"\mathtt{partition\_coding\_rate}=\sum_k\frac{n_k}{2n}\log\det(I+\alpha_kZ^\top\Pi_kZ)",
    source="derivation gradient-of-the-rate-of-all-classes, what it differentiates",
    relation="=",
    hypotheses="any tokens, hard or soft memberships, classes without tokens",
    expect=HOLDS,
    twin="eps for eps^2",
    derivations=("gradient-of-the-rate-of-all-classes",),
    instances=50,
)
def partition_rate(case: Case) -> Outcome:
    """Where the shares are no integers, the logarithms are weighed in ball arithmetic."""
    rng = case.rng()
    t = tokens(case, rng, **SMALL)
    Pi = memberships(case, rng, t.n, K=(1, 2))
    rate = srr.partition_coding_rate(t.Z, Pi, eps=t.eps, method=case.choice("method", METHODS))
    constant = _constant(t.d, t, case.wrong(None, Fraction(t.eps)))
    exact = rounded(value(rate_reduction.BY_MEMBERSHIPS, _classes(t, Pi), {"alpha": constant}))
    return equal(rate, exact, size=t.n + t.d, scale=min(t.n, t.d) * t.n * _steep(t))


@claim(
    "code.partition-gradient",
    title="partition_coding_rate_and_gradient computes the gradient of the rate of a partition",
    statement=r"\mathtt{gradient}=\alpha\sum_k\Pi_kZ(I+\alpha_kZ^\top\Pi_kZ)^{-1}",
    source="derivation gradient-of-the-rate-of-all-classes",
    relation="=",
    hypotheses="any tokens, hard or soft memberships, classes without tokens",
    expect=HOLDS,
    twin="the weights n_k/n forgotten",
    derivations=("gradient-of-the-rate-of-all-classes",),
    uses=("rates.gradient-partition",),
    instances=50,
)
def partition_gradient(case: Case) -> Outcome:
    """Entry by entry."""
    rng = case.rng()
    t = tokens(case, rng, **SMALL)
    Pi = memberships(case, rng, t.n, K=(2,))
    found = srr.partition_coding_rate_and_gradient(t.Z, Pi, eps=t.eps, method=case.choice("method", METHODS))[1]
    arrays = _classes(t, Pi, weighted=case.wrong(True, False))
    exact = rounded(value(rate_reduction.GRADIENT_BY_MEMBERSHIPS, arrays, {"alpha": _constant(t.d, t)}))
    scale = 64 * _steep(t) * t.alpha * norm(t.Z)  # a share may be as small as 1/64 of a token
    return equal(found, np.array(exact), size=t.n + t.d, scale=scale)


def _two_constants(t: Tokens, U: Array) -> dict[str, Fraction]:
    return {"alpha": _constant(t.d, t), "beta": _constant(U.shape[2], t)}


@claim(
    "code.rate-reduction-gradient",
    title="rate_reduction_and_gradient and smooth_gradient compute the gradient of R - Rc, and its negative",
    statement=r"\mathtt{gradient}=\alpha Z(I+\alpha Z^\top Z)^{-1}-\beta\sum_kY_k(I+\beta Y_k^\top Y_k)^{-1}U_k^\top",
    source="derivation gradient-of-the-smooth-loss",
    relation="=",
    hypotheses="any tokens, any bases",
    expect=HOLDS,
    twin="the opposite sign",
    derivations=("gradient-of-the-smooth-loss",),
    uses=("objective.gradient",),
    instances=50,
)
def rate_reduction_gradient(case: Case) -> Outcome:
    """Entry by entry."""
    rng = case.rng()
    t = tokens(case, rng, **SMALL)
    U = bases(case, rng, t.d)
    ascent = srr.rate_reduction_and_gradient(t.Z, U=U, eps=t.eps)[1]
    descent = srr.SparseRateReduction(U, t.eps, 0.1).smooth_gradient(t.Z)
    exact = case.wrong(1, -1) * _exact(descent_layer.SLOPE, {"Z": t.Z, "U": U}, _two_constants(t, U))
    scale = (_lipschitz(t, U) + t.alpha * _steep(t)) * norm(t.Z)
    return all_of(*(equal(found, exact, size=t.n + t.d, scale=scale) for found in (-ascent, descent)))


@claim(
    "code.exact-step",
    title="exact_step computes the exact gradient step",
    statement=r"\mathtt{exact\_step}=Z-\kappa\beta\sum_kY_k(I+\beta Y_k^\top Y_k)^{-1}U_k^\top,\qquad Y_k=ZU_k",
    source="derivation exact-step-is-one-linear-map",
    relation="=",
    hypotheses="any tokens, any bases, kappa beta from 0.1 to 2",
    expect=HOLDS,
    twin="the step taken uphill",
    derivations=("exact-step-is-one-linear-map",),
    uses=("code.subspace-gradient",),
    instances=50,
)
def exact_step(case: Case) -> Outcome:
    """Entry by entry, against both sides of the derivation."""
    rng = case.rng()
    t = tokens(case, rng, **SMALL)
    U = bases(case, rng, t.d)
    beta = _constant(U.shape[2], t)
    kappa = case.uniform("kappa beta", 0.1, 2.0) / float(beta)
    found = srr.attention.exact_step(t.Z, U, eps=t.eps, step=kappa)
    scalars = {"beta": beta, "kappa": case.wrong(1, -1) * Fraction(kappa)}
    sides = (compression_step.LINEAR_MAP.left, compression_step.LINEAR_MAP.right)
    values = (_exact(side, {"Z": t.Z, "U": U}, scalars) for side in sides)
    scale = norm(t.Z) * (1 + kappa * _lipschitz(t, U))
    return all_of(*(equal(found, exact, size=t.n + t.d, scale=scale) for exact in values))


@claim(
    "code.neumann-step",
    title="neumann_step computes the first-order Neumann step",
    statement=r"\mathtt{neumann\_step}=Z-\kappa\beta\sum_kY_k(I-\beta Y_k^\top Y_k)U_k^\top,\qquad Y_k=ZU_k",
    source="derivation first-order-neumann-gradient",
    relation="=",
    hypotheses="any tokens, any bases, kappa beta from 0.1 to 2",
    expect=HOLDS,
    twin="the remainder of the series added: the exact step",
    derivations=("first-order-neumann-gradient",),
    uses=("compression.neumann-remainder",),
    instances=50,
)
def neumann_step(case: Case) -> Outcome:
    """Entry by entry."""
    rng = case.rng()
    t = tokens(case, rng, **SMALL)
    U = bases(case, rng, t.d)
    beta = _constant(U.shape[2], t)
    kappa = case.uniform("kappa beta", 0.1, 2.0) / float(beta)
    found = srr.attention.neumann_step(t.Z, U, eps=t.eps, step=kappa)
    gradient = case.wrong(neumann.NEUMANN_GRADIENT, neumann.FIRST_ORDER.right)
    exact = _exact(Z - compression_step.kappa * gradient, {"Z": t.Z, "U": U}, {"beta": beta, "kappa": kappa})
    terms = norm(t.Z) * (1 + kappa * _lipschitz(t, U) * (1 + float(beta) * norm(U) ** 2 * norm(t.Z) ** 2))
    return equal(found, exact, size=t.n + t.d, scale=terms)


@claim(
    "code.attention-on-equal-tokens",
    title="mssa computes beta times the projections, where all tokens are equal",
    statement=r"\mathtt{mssa}(1z^\top)=\beta\,1z^\top\sum_kU_kU_k^\top",
    source="derivation attention-on-equal-tokens",
    relation="=",
    hypotheses="n equal tokens, any bases",
    expect=HOLDS,
    twin="the factor beta left out",
    derivations=("attention-on-equal-tokens",),
    instances=50,
)
def attention_on_equal_tokens(case: Case) -> Outcome:
    """The one softmax with rational values is that of equal scores."""
    rng = case.rng()
    t = tokens(case, rng, **SMALL)
    U, z = bases(case, rng, t.d), to_numpy(t.Z)[:1]
    Z = case.asarray(np.repeat(z, t.n, axis=0))
    found = srr.attention.mssa(Z, U, eps=t.eps)
    beta = _constant(U.shape[2], t)
    arrays, scalars = {"z": z.T, "U": to_numpy(U)}, {"beta": case.wrong(beta, 1)}
    exact = np.array(rounded(value(attention.EQUAL_TOKENS.right, arrays, scalars, {"n": t.n})))
    return equal(found, exact, size=t.n + t.d, scale=float(beta) * norm(U) ** 2 * norm(Z))


@claim(
    "code.lasso",
    title="lasso computes the objective of ISTA on codes that are not negative",
    statement=r"\mathtt{lasso}=\tfrac12\|Z-AD^\top\|^2+\lambda\langle1,A\rangle,\qquad A\ge0",
    source="derivation lasso-with-and-without-the-half",
    relation="=",
    hypotheses="any tokens and dictionary, any code A >= 0",
    expect=HOLDS,
    twin="the 1/2 left out",
    derivations=("lasso-with-and-without-the-half",),
    instances=50,
)
def lasso(case: Case) -> Outcome:
    """The left side of the derivation has no 1/2, the right one twice the lasso at half of lambda."""
    t, D, A, lam = _coding(case)
    found = srr.prox.lasso(t.Z, D, A, lam=lam)
    scalars = {"lambda": 2 * Fraction(lam)}
    exact = _exact(ista.TWO_CONSTANTS.right / 2, {"Z": t.Z, "D": D, "A": A}, scalars)
    printed = _exact(ista.TWO_CONSTANTS.left, {"Z": t.Z, "D": D, "A": A}, {"lambda": lam})
    scale = (norm(t.Z) + norm(D) * norm(A)) ** 2 + lam * float(np.sum(to_numpy(A)))
    return equal(found, case.wrong(exact, printed), size=t.n * t.d, scale=scale)


@claim(
    "code.ista-step",
    title="ista_step computes the ReLU of the derived argument",
    statement=r"\mathtt{ista\_step}=\mathrm{ReLU}\big(A+\eta(Z-AD^\top)D-\eta\lambda1\big)",
    source="derivation ista-step-of-the-lasso-without-the-half, its right side",
    relation="=",
    hypotheses="any tokens and dictionary, codes of either sign",
    expect=HOLDS,
    twin="plus lambda",
    derivations=("ista-step-of-the-lasso-without-the-half",),
    uses=("code.lasso",),
    instances=50,
)
def ista_step(case: Case) -> Outcome:
    """The ReLU is taken of the exact argument."""
    t, D, A, lam = _coding(case, signed=True)
    eta = case.log_uniform("eta", 0.1, 2.0)
    found = srr.prox.ista_step(t.Z, D, step=eta, lam=lam, code=A)
    scalars = {"eta": eta, "lambda": case.wrong(1, -1) * Fraction(lam)}
    argument = _exact(ista.ONE_STEP.right, {"Z": t.Z, "D": D, "A": A}, scalars)
    scale = norm(A) + eta * (norm(t.Z) + norm(A) * norm(D)) * norm(D) + eta * lam
    return equal(found, np.maximum(argument, 0), size=t.d + A.shape[1], scale=scale)


def _coding(case: Case, *, signed: bool = False) -> tuple[Tokens, Array, Array, float]:
    rng = case.rng()
    t = tokens(case, rng, **SMALL)
    m = case.integer("atoms", 1, 3)
    D, A = rng.standard_normal((t.d, m)), rng.standard_normal((t.n, m))
    return t, case.asarray(D), case.asarray(A if signed else np.abs(A)), case.log_uniform("lam", 1e-3, 1.0)


@claim(
    "code.curvature-bounds",
    title="coding_rate_bounds and partition_rate_bounds give the bounds on the Hessian",
    statement=r"\mathtt{coding\_rate\_bounds}=\big(-\tfrac\alpha8,\alpha\big)",
    source="derivations curvature-of-the-coding-rate-from-below, -from-above; the same of the rate of all classes",
    relation="=",
    hypotheses="any sizes and precision",
    expect=HOLDS,
    twin="eps for eps^2",
    derivations=(
        "curvature-of-the-coding-rate-from-below",
        "curvature-of-the-coding-rate-from-above",
        "curvature-of-the-rate-of-all-classes-from-below",
        "curvature-of-the-rate-of-all-classes-from-above",
    ),
    uses=("curvature.coding-rate", "curvature.partition-rate"),
    instances=50,
)
def curvature_bounds(case: Case) -> Outcome:
    """The right sides of the derivations along a direction of norm 1."""
    t = tokens(case, case.rng(), **SMALL)
    H = np.zeros((t.n, t.d))
    H[0, 0] = 1
    scalars = {"alpha": _constant(t.d, t, case.wrong(None, Fraction(t.eps)))}
    outcomes = []
    for theme, bounds in (
        (coding_rate, srr.curvature.coding_rate_bounds),
        (rate_reduction, srr.curvature.partition_rate_bounds),
    ):
        ends = [_exact(side, {direction_of.name: H}, scalars) for side in (theme.BELOW.right, theme.ABOVE.right)]
        outcomes.append(equal(np.array(bounds(t.n, t.d, eps=t.eps)), np.array(ends), size=1, scale=t.alpha))
    return all_of(*outcomes)


@claim(
    "code.safe-steps",
    title="partition_step, reduction_step, sphere_step and sphere_step_at are what the curvatures allow",
    statement=r"\frac1\alpha,\qquad\frac8{9\alpha},\qquad\frac{16}{17\alpha},\qquad"
    r"\frac2{\frac98\alpha+\max_i\max(0,-\rho_i)},\ \rho_i=\langle z_i,\nabla_{z_i}\Delta R\rangle",
    source="derivations curvature-of-the-rate-of-all-classes-from-above, curvature-of-the-rate-reduction-from-above; "
    "on the sphere as in srr.curvature.sphere_step_at",
    relation="=",
    hypotheses="tokens on the sphere, two or three classes, hard or soft; rate_reduction_bounds as well",
    expect=HOLDS,
    twin="eps for eps^2",
    derivations=("curvature-of-the-rate-of-all-classes-from-above", "curvature-of-the-rate-reduction-from-above"),
    uses=("curvature.partition-rate", "curvature.rate-reduction"),
    instances=50,
)
def safe_steps(case: Case) -> Outcome:
    """The radial derivatives are exact: those of R less Rᶜ along a single token."""
    rng = case.rng()
    t = tokens(case, rng, **SMALL)
    Z, Pi = on_sphere(t.Z), memberships(case, rng, t.n, K=(2, 3))
    alpha, bound = _constant(t.d, t, case.wrong(None, Fraction(t.eps))), Fraction(9, 8)
    inward = [Fraction(0)]
    for i, token in enumerate(to_numpy(Z)):
        H = np.outer(np.eye(t.n)[i], token)
        whole = derivatives.rate_along(Z, H, eps=t.eps).first
        inward.append(derivatives.partition_rate_along(Z, H, Pi, eps=t.eps).first - whole)
    functions = srr.curvature.partition_step, srr.curvature.reduction_step, srr.curvature.sphere_step
    found = np.array([step(t.n, t.d, eps=t.eps) for step in functions])
    steps = np.array([float(share / alpha) for share in (1, 1 / bound, Fraction(16, 17))])
    ends = float(bound * alpha) * np.array([-1, 1])
    here = case.asarray(np.asarray(float(srr.curvature.sphere_step_at(Z, Pi, eps=t.eps))))
    return all_of(
        equal(found, steps, size=1, scale=steps),
        equal(np.array(srr.curvature.rate_reduction_bounds(t.n, t.d, eps=t.eps)), ends, size=1, scale=ends[1]),
        equal(here, float(2 / (bound * alpha + max(inward))), size=t.n + t.d, scale=steps[1] * (1 + t.alpha * t.n)),
    )


@claim(
    "code.descent-step",
    title="The first half of the descent layer is the gradient step on Rc - R",
    statement=r"\mathtt{descent.compress}=Z-s\Big(\beta\sum_kY_k(I+\beta Y_k^\top Y_k)^{-1}U_k^\top"
    r"-\alpha Z(I+\alpha Z^\top Z)^{-1}\Big)",
    source="derivation gradient-of-the-smooth-loss; s as curvature.loss_step gives it",
    relation="=",
    hypotheses="any tokens, any bases",
    expect=HOLDS,
    twin="the step taken uphill",
    derivations=("gradient-of-the-smooth-loss",),
    uses=("code.rate-reduction-gradient", "layers.descent-lowers-loss"),
    instances=50,
)
def descent_step(case: Case) -> Outcome:
    """Entry by entry, with the step size in floats."""
    rng = case.rng()
    t = tokens(case, rng, **SMALL)
    U = bases(case, rng, t.d)
    found = srr.layers.descent(U, eps=t.eps, lam=0.1).compress(t.Z)
    size = float(srr.curvature.loss_step(U, t.n, eps=t.eps))
    step = Z - case.wrong(1, -1) * sympy.Symbol("s", positive=True) * descent_layer.SLOPE
    exact = _exact(step, {"Z": t.Z, "U": U}, {**_two_constants(t, U), "s": size})
    scale = norm(t.Z) * (1 + size * (_lipschitz(t, U) + t.alpha * _steep(t)))
    return equal(found, exact, size=t.n + t.d, scale=scale)


@claim(
    "code.gaussian-denoiser",
    title="SubspaceMixture of one component computes score and Wiener filter",
    statement=r"\mathtt{score}=-(\Sigma+\sigma^2I)^{-1}x,\qquad"
    r"\mathtt{posterior\_mean}=\Sigma(\Sigma+\sigma^2I)^{-1}x,\qquad\Sigma=U\,\mathrm{diag}(\lambda)\,U^\top",
    source="derivations score-of-a-noisy-gaussian, tweedie-formula-of-a-gaussian",
    relation="=",
    hypotheses="one subspace, any variances, any noise",
    expect=HOLDS,
    twin="sigma for sigma^2",
    derivations=("score-of-a-noisy-gaussian", "tweedie-formula-of-a-gaussian"),
    uses=("denoising.tweedie",),
    instances=50,
)
def gaussian_denoiser(case: Case) -> Outcome:
    """With several components exponentials enter, which have no rational value."""
    rng = case.rng()
    d, p = case.choice("d, p", ((1, 1), (2, 1), (3, 2)))
    sigma = case.log_uniform("sigma", 0.3, 3.0)
    U, variances = np.linalg.qr(rng.standard_normal((1, d, p)))[0], 10 ** rng.uniform(-1, 1, size=(1, p))
    x = case.asarray(rng.standard_normal((1, d)))
    law = srr.denoising.SubspaceMixture(case.asarray(U), case.asarray(variances), case.asarray(np.ones(1)))
    basis, spread = to_numpy(law.U)[0], to_numpy(law.variances)[0]
    arrays = {"x": to_numpy(x).T, "Sigma": (basis * spread) @ basis.T}
    scalars = {"sigma": case.wrong(sigma, float(np.sqrt(sigma)))}
    score, mean = -denoising.PRECISION @ denoising.x, denoising.TWEEDIE.right
    scale = norm(x) * (1 + float(np.max(spread)) / sigma**2)
    return all_of(
        equal(law.score(x, noise=sigma), _exact(score, arrays, scalars).T, size=d, scale=scale / sigma**2),
        equal(law.posterior_mean(x, noise=sigma), _exact(mean, arrays, scalars).T, size=d, scale=scale),
    )


def _enclosed(found: Enclosure, exact: decide.Decision, unit: float) -> Outcome:
    """The exact change of a value from zero, known to within an enclosure by balls, is inside; and there is no room."""
    lower, upper = float(found.lower), float(found.upper)
    inside = lower <= exact.upper and exact.lower <= upper
    return exactly(inside and upper - lower <= unit, lower=lower, upper=upper, exact=exact.midpoint, unit=unit)


@claim(
    "code.enclosures",
    title="Enclosures contain the exact values, and little else",
    statement=r"\underline v\le v\le\overline v,\qquad\overline v-\underline v\le10^{-9}(1+|v|),\qquad "
    r"v=R,\ R^c(Z|U),\ R^c(Z|\Pi),\ \|Z\|_1,\ \text{lasso},\ \text{loss}",
    source="Higham 2002, theorem 10.3; Rump 2010",
    relation="<=",
    hypotheses="any tokens of moderate scale, any bases, any memberships",
    expect=HOLDS,
    twin="the value at twice the tokens",
    instances=50,
)
def enclosures(case: Case) -> Outcome:
    """The exact values are decided in ball arithmetic, as changes from tokens zero. Rates of tokens that were streamed
    as well, for which 1 + |v| + α‖Z‖² is the unit: their sums of squares are rounded.
    """
    rng = case.rng()
    t = tokens(case, rng, **SMALL)
    D = rng.standard_normal((t.d, t.d))
    Z, U, Pi = (as_float64(a, "a") for a in (t.Z, bases(case, rng, t.d), memberships(case, rng, t.n)))
    A, zero, lam = case.wrong(1, 2) * Z, 0 * Z, 0.1
    objective = srr.SparseRateReduction(U, t.eps, lam)
    found = (
        (enclosure.coding_rate(Z, eps=t.eps), decide.rate_change(zero, A, eps=t.eps)),
        (enclosure.subspace_coding_rate(Z, U, eps=t.eps), decide.subspace_rate_change(zero, A, U, eps=t.eps)),
        (enclosure.partition_coding_rate(Z, Pi, eps=t.eps), decide.partition_rate_change(zero, A, Pi, eps=t.eps)),
        (enclosure.l1(Z), decide.l1_change(zero, A)),
        (enclosure.loss(Z, U, eps=t.eps, lam=lam), decide.loss_change(objective, zero, A)),
        (enclosure.lasso(zero, D, Z, lam=lam), decide.lasso_change(zero, D, zero, A, lam=lam)),
    )
    streamed = streaming.moments([Z[:1], Z[1:]] if t.n > 1 else [Z])
    of_streamed = (
        (enclosure.streamed_coding_rate(streamed, eps=t.eps), found[0][1]),
        (enclosure.streamed_subspace_coding_rate(streamed, U, eps=t.eps), found[1][1]),
    )
    return all_of(
        *(_enclosed(e, exact, 1e-9 * (1 + abs(exact.midpoint))) for e, exact in found),
        *(_enclosed(e, exact, 1e-9 * (1 + abs(exact.midpoint) + t.alpha * norm(Z) ** 2)) for e, exact in of_streamed),
    )


@claim(
    "code.enclosures-of-changes",
    title="Enclosures of changes contain them to a share of the change",
    statement=r"\underline\delta\le v(Z^+)-v(Z)\le\overline\delta,\qquad"
    r"\overline\delta-\underline\delta\le10^{-3}\textstyle\sum|v(Z^+)-v(Z)|",
    source="Rump 2010, for log det of a ratio",
    relation="<=",
    hypotheses="any tokens of moderate scale, any bases, any memberships; a step of a ten-thousandth",
    expect=HOLDS,
    twin="a step a tenth longer",
    uses=("code.enclosures",),
    instances=50,
)
def enclosures_of_changes(case: Case) -> Outcome:
    """The sum is over the terms of the quantity, which may cancel."""
    rng = case.rng()
    t = tokens(case, rng, **SMALL)
    D = rng.standard_normal((t.d, t.d))
    Z, U, Pi = (as_float64(a, "a") for a in (t.Z, bases(case, rng, t.d), memberships(case, rng, t.n)))
    after, A, lam = Z * (1 + 1e-4), Z * (1 + case.wrong(1, 1.1) * 1e-4), 0.1
    objective = srr.SparseRateReduction(U, t.eps, lam)
    rate = decide.rate_change(Z, A, eps=t.eps)
    compression = decide.subspace_rate_change(Z, A, U, eps=t.eps)
    partition = decide.partition_rate_change(Z, A, Pi, eps=t.eps)
    l1, lasso = decide.l1_change(Z, A), decide.lasso_change(Z, D, Z, A, lam=lam)
    sizes = [abs(x.midpoint) for x in (rate, compression, l1)]
    found = (
        (enclosure.coding_rate_change(Z, after, eps=t.eps), rate, sizes[0]),
        (enclosure.subspace_coding_rate_change(Z, after, U, eps=t.eps), compression, sizes[1]),
        (enclosure.partition_coding_rate_change(Z, after, Pi, eps=t.eps), partition, abs(partition.midpoint)),
        (enclosure.l1_change(Z, after), l1, sizes[2]),
        (
            enclosure.loss_change(Z, after, U, eps=t.eps, lam=lam),
            decide.loss_change(objective, Z, A),
            sum(sizes),
        ),
        (enclosure.lasso_change(Z, D, Z, after, lam=lam), lasso, norm(Z) ** 2 * norm(D) ** 2 * 1e-4 + sizes[2]),
    )
    return all_of(*(_enclosed(e, exact, 1e-3 * size + 1e-12) for e, exact, size in found))
