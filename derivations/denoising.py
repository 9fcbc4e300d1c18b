"""Denoising under Gaussians and their mixtures: score, Tweedie's formula, posterior mean, low-rank closed forms."""

from __future__ import annotations

import sympy

from derivations.checks import Calculus, Drops
from derivations.expression import (
    Differential,
    Expr,
    Identity,
    Inverse,
    LogDet,
    Matrix,
    Sum,
    Trace,
    exp,
    inner,
    log,
    norm_squared,
    reciprocal,
)
from derivations.notation import I_d, I_p, family
from derivations.proof import Derivation, chain
from derivations.rules import exponential_of_sum, known, multiplicative, sylvester, woodbury
from derivations.sources import BOOK, N23

GAUSSIAN = (
    "exp(−½(a − μ)ᵀC(a − μ)) with C positive definite is, up to its integral (2π)^(m/2) det(C)^(−1/2), the density of "
    "N(μ, C⁻¹), whose mean is μ"
)
BAYES = "Bayes' rule: given x, what is not seen has the density, or the probability, of both up to a factor of x alone"
TOTAL = (
    "total probability: the density of x is the sum of those of its components, each times its weight, and the mean of "
    "z given x that of its means given the component as well, each times the component's probability given x"
)
"""What no algebra gives: the premises of all that is said here of probabilities."""

sigma = sympy.Symbol("sigma", positive=True)
x, h = Matrix("x", "d", 1), Matrix("h", "d", 1)
"""A noisy token, as a column, and a direction."""
Sigma = Matrix("Sigma", "d", "d", psd=True)
PRECISION = Inverse(Sigma + sigma**2 * I_d)
"""The inverse covariance of z + σw, z ~ N(0, Σ)."""
_NAMES = (("P", PRECISION),)
LOG_DENSITY: Expr = -Trace(x.T @ PRECISION @ x) / 2
"""log q(x) up to a constant."""

# A component, as a linear image of white noise: z = Aa, a ~ N(0, I), so that Σ = AAᵀ, singular or not.
_A, _a = Matrix("A", "d", "m"), Matrix("a", "m", 1)
_P_A = Inverse(_A @ _A.T + sigma**2 * I_d)
_mu = _A.T @ _P_A @ x
_of_a = Identity("m") + _A.T @ _A / sigma**2
_IMAGE = ("z = Aa with a ~ N(0, I), so Σ = AAᵀ, and x = z + σw with w ~ N(0, I)",)

COMPLETED = Derivation(
    name="posterior-of-a-gaussian",
    title="Given the noisy token, a Gaussian token is Gaussian with the Wiener filter as its mean",
    hypotheses=(*_IMAGE, "any a and x"),
    source=f"{N23}, eq. 5; completing the square",
    definitions=(("P", _P_A), ("μ", _mu)),
    steps=chain(
        norm_squared(_a) + norm_squared(x - _A @ _a) / sigma**2,
        (
            "=",
            Trace((_a - _mu).T @ _of_a @ (_a - _mu)) + Trace(x.T @ _P_A @ x),
            Calculus((woodbury(_A / sigma**2, _A.T),)),
            "Multiplied out, with Woodbury: P = (I − A(σ²I + AᵀA)⁻¹Aᵀ)/σ².",
        ),
    ),
    remark="The left side is −2 log of the joint density of a and x, up to a constant: so a given x has the mean μ = "
    "AᵀPx, hence z the mean ΣPx, and x the density exp(−½ xᵀPx), up to the integral over a, which no x enters.",
    premises=(GAUSSIAN, BAYES),
)

NORMALISED = Derivation(
    name="weight-of-a-component",
    title="What the completed square leaves is the determinant in the weight of a component",
    hypotheses=_IMAGE,
    source="Sylvester's identity",
    uses=(COMPLETED,),
    steps=chain(
        LogDet(_of_a),
        (
            "=",
            LogDet(I_d + _A @ _A.T / sigma**2),
            Calculus((sylvester(_A.T / sigma**2, _A),)),
            "Sylvester's determinant identity.",
        ),
        (
            "=",
            LogDet(_A @ _A.T + sigma**2 * I_d) + LogDet(I_d / sigma**2),
            Calculus((multiplicative(I_d / sigma**2, _A @ _A.T + sigma**2 * I_d),)),
            "Take out 1/σ², which is the same for every component.",
        ),
    ),
    remark="The integral over a is (2π)^(m/2) times its exponential to the power −½: so the weight of component k is "
    "c_k = π_k det(Σ_k + σ²I)^(−1/2), up to a factor that all components share.",
)

FILTERED = Derivation(
    name="mean-of-a-gaussian-token",
    title="The mean of a Gaussian token given the noisy one is the Wiener filter of it",
    hypotheses=_IMAGE,
    source=f"{N23}, eq. 5",
    definitions=(("P", PRECISION), ("μ", _mu)),
    uses=(COMPLETED,),
    steps=chain(
        _A @ _mu,
        ("=", Sigma @ PRECISION @ x, Calculus((known(_A @ _A.T, Sigma),)), "μ = AᵀPx is the mean of a, and z = Aa."),
    ),
)

SCORE = Derivation(
    name="score-of-a-noisy-gaussian",
    title="The score of a Gaussian token seen through noise",
    hypotheses=("z ~ N(0, Σ), x = z + σw with w ~ N(0, I), any direction h",),
    source=f"{N23}, proposition 1, one component",
    definitions=_NAMES,
    uses=(COMPLETED, NORMALISED),
    steps=chain(
        Differential(LOG_DENSITY, x, h),
        ("=", -Trace(x.T @ PRECISION @ h), Calculus(), "The product rule; the precision is symmetric."),
        ("=", inner(-(PRECISION @ x), h), Calculus(), "What multiplies h."),
    ),
)

TWEEDIE = Derivation(
    name="tweedie-formula-of-a-gaussian",
    title="Tweedie's formula for a Gaussian: token plus σ² score is the Wiener filter",
    hypotheses=("z ~ N(0, Σ), x = z + σw with w ~ N(0, I)",),
    source=f"{N23}, eq. 5; {BOOK}, theorem on Tweedie's formula",
    definitions=_NAMES,
    uses=(FILTERED, SCORE),
    steps=chain(
        x - sigma**2 * PRECISION @ x,
        ("=", (I_d - sigma**2 * PRECISION) @ x, Calculus(), "Take out x."),
        ("=", Sigma @ PRECISION @ x, Calculus(), "(Σ + σ²I)P = I."),
    ),
)

# --- mixtures ---------------------------------------------------------------------------------------------------

_c = Matrix("c", 1, 1, "k", psd=True)
"""π_k det(Σ_k + σ²I)^(−1/2)."""
_S = Matrix("Sigma", "d", "d", "k", psd=True)
_P = Inverse(_S + sigma**2 * I_d)
_bell = exp(-(x.T @ _P @ x) / 2)
_q = Trace(_c) * _bell
DENSITY: Expr = Sum("k", _q)
"""q(x) up to a constant: Σ_k c_k exp(−½ xᵀP_kx)."""
_r = _q * reciprocal(DENSITY)
"""r_k = q_k/q, the membership in component k given x."""
_MIXTURE = ("z ~ Σ_k π_k N(0, Σ_k), x = z + σw with w ~ N(0, I)", "c_k = π_k det(Σ_k + σ²I)^(−1/2)")
_SHARES = (("r_k", _r), ("q_k", _q), ("q", DENSITY), ("P_k", _P))
_MEMBERSHIPS = "r_k = q_k/q with q_k = c_k exp(−½ xᵀP_kx) and q = Σ_k q_k: the softmax of log c_k − ½ xᵀP_kx"
_ANY = "any x and any direction h"

SCORE_OF_MIXTURE = Derivation(
    name="gradient-of-a-mixture-density",
    title="The gradient of the density of a noisy mixture of Gaussians",
    hypotheses=(*_MIXTURE, _ANY),
    source=f"{N23}, proposition 1",
    definitions=(("q_k", _q), ("P_k", _P)),
    uses=(SCORE, COMPLETED, NORMALISED),
    steps=chain(
        Differential(DENSITY, x, h),
        (
            "=",
            -Sum("k", _q * Trace(x.T @ _P @ h)),
            Calculus(),
            "The exponential is its own derivative; the logit has the gradient −P_kx.",
        ),
        ("=", inner(-Sum("k", _q * _P @ x), h), Calculus(), "What multiplies h."),
    ),
    premises=(TOTAL,),
)

LOG_SCORE = Derivation(
    name="score-of-a-mixture",
    title="The score of a noisy mixture of Gaussians is the mean of its components' by membership",
    hypotheses=(*_MIXTURE, _MEMBERSHIPS, _ANY),
    source=f"{N23}, proposition 1, with the constants that it leaves out",
    definitions=_SHARES,
    uses=(SCORE_OF_MIXTURE,),
    steps=chain(
        Differential(log(DENSITY), x, h),
        ("=", reciprocal(DENSITY) * Differential(DENSITY, x, h), Calculus(), "d log q = q⁻¹ dq."),
        ("=", inner(-Sum("k", _r * _P @ x), h), Calculus(), "The gradient of the density, divided by it."),
    ),
)

_SCORE = Differential(log(DENSITY), x, h)

POSTERIOR = Derivation(
    name="posterior-mean-of-a-mixture",
    title="Token plus σ² score is the mean of the components' Wiener filters by membership",
    hypotheses=(*_MIXTURE, _MEMBERSHIPS, _ANY),
    source=f"{N23}, eq. 5 and proposition 1",
    definitions=_SHARES,
    uses=(LOG_SCORE, TWEEDIE, COMPLETED, NORMALISED),
    steps=chain(
        inner(x, h) + sigma**2 * _SCORE,
        ("=", inner(x - sigma**2 * Sum("k", _r * _P @ x), h), Calculus(), "The score."),
        (
            "=",
            inner(Sum("k", _r * (I_d - sigma**2 * _P) @ x), h),
            Calculus(),
            "The memberships sum to 1.",
        ),
        ("=", inner(Sum("k", _r * _S @ _P @ x), h), Calculus(), "(Σ_k + σ²I)P_k = I."),
    ),
    remark="By Bayes' rule r_k is the probability of component k given x, and Σ_kP_kx the mean of z given both: so it "
    "is Tweedie's E[z|x] = x + σ²∇log q(x), for every mixture.",
)

_common = sympy.Symbol("c", positive=True)
_EQUAL = known(_c, _common * Identity(1))
_s = _bell * reciprocal(Sum("k", _bell))
_BALANCED = "π_k det(Σ_k + σ²I)^(−1/2) = c for every k"

EQUAL_DETERMINANTS = Derivation(
    name="memberships-with-equal-determinants",
    title="With equal π_k det(Σ_k + σ²I)^(−1/2) the memberships are a softmax of −½ xᵀP_kx alone",
    hypotheses=(*_MIXTURE, _BALANCED),
    source=f"{N23}, proposition 1",
    definitions=(("P_k", _P),),
    uses=(POSTERIOR,),
    steps=chain(_r, ("=", _s, Calculus((_EQUAL,)), "c cancels.")),
)

_M = Matrix("M", "d", "d", "k", symmetric=True)
_whitened = exp(-norm_squared(_M.T @ x) / 2)
_softmax = _whitened * reciprocal(Sum("k", _whitened))
_ROOT = known(_M @ _M, _P)
_SOFTMAX = "w_k = softmax_k(−½‖M_kᵀx‖²)"

PRINTED_SCORE = Derivation(
    name="score-of-a-mixture-with-equal-determinants",
    title="Proposition 1 as printed: the score as attention of x over the roots of the components' precisions",
    hypotheses=(*_MIXTURE, _BALANCED, "M_k the symmetric root of P_k = (Σ_k + σ²I)⁻¹", _SOFTMAX, _ANY),
    source=f"{N23}, proposition 1",
    definitions=(("w_k", _softmax), ("q", DENSITY)),
    uses=(LOG_SCORE, EQUAL_DETERMINANTS),
    steps=chain(
        _SCORE,
        ("=", inner(-Sum("k", _r * _P @ x), h), Calculus(), "The score of a mixture."),
        ("=", inner(-Sum("k", _s * _P @ x), h), Calculus((_EQUAL,)), "The constants cancel."),
        ("=", inner(-Sum("k", _softmax * _M @ _M.T @ x), h), Calculus((_ROOT,)), "P_k = M_kM_kᵀ."),
    ),
    remark="N23 writes the sum over k as a product of block matrices.",
)

PRINTED_POSTERIOR = Derivation(
    name="posterior-mean-with-equal-determinants",
    title="The posterior mean of a mixture with equal determinants, its memberships a softmax of −½ xᵀP_kx",
    hypotheses=(*_MIXTURE, _BALANCED, "w_k = softmax_k(−½ xᵀP_kx)", _ANY),
    source=f"{N23}, eq. 5 and proposition 1",
    definitions=(("w_k", _s), ("q", DENSITY), ("P_k", _P)),
    uses=(POSTERIOR, EQUAL_DETERMINANTS),
    steps=chain(
        POSTERIOR.left,
        ("=", POSTERIOR.right, Calculus(), "The posterior mean of a mixture."),
        ("=", inner(Sum("k", _s * _S @ _P @ x), h), Calculus((_EQUAL,)), "The constants cancel."),
    ),
)

_z = Matrix("z", "d", 1, "k")
_near = Trace(_c) * exp(-norm_squared(x - _z) / (2 * sigma**2))
_points = Sum("k", _near)

POINTS = Derivation(
    name="tweedie-formula-of-points",
    title="Tweedie's formula for a token that is one of finitely many points",
    hypotheses=("z = z_k with probability c_k, x = z + σw with w ~ N(0, I)", _ANY),
    source=f"{N23}, eq. 5; {BOOK}, theorem on Tweedie's formula",
    definitions=(("r_k", _near * reciprocal(_points)), ("q_k", _near), ("q", _points)),
    steps=chain(
        inner(x, h) + sigma**2 * Differential(log(_points), x, h),
        (
            "=",
            inner(x - Sum("k", _near * reciprocal(_points) * (x - _z)), h),
            Calculus(),
            "The exponential is its own derivative; the logit has the gradient −(x − z_k)/σ².",
        ),
        (
            "=",
            inner(Sum("k", _near * reciprocal(_points) * _z), h),
            Calculus(),
            "The probabilities r_k of the points given x sum to 1.",
        ),
    ),
    remark="Every distribution is a limit of such, and no Gaussian component is needed.",
    premises=(BAYES, TOTAL),
)

# --- subspaces with unit spectrum -------------------------------------------------------------------------------

t = sympy.Symbol("t", positive=True)
U = family(orthonormal=True)
_COVARIANCE = U @ U.T + t**2 * I_d
_WOODBURY = woodbury(U / t**2, U.T)
_SUBSPACE = ("z ~ N(0, U_kU_kᵀ), U_k orthonormal, x = z + tw with w ~ N(0, I)",)

DETERMINANT = Derivation(
    name="determinant-of-a-noisy-subspace",
    title="The determinant of a noisy subspace depends on its dimension alone",
    hypotheses=_SUBSPACE,
    source="Sylvester's identity",
    steps=chain(
        LogDet(I_d + U @ U.T / t**2),
        ("=", LogDet(I_p + U.T @ U / t**2), Calculus((sylvester(U / t**2, U.T),)), "Sylvester's determinant identity."),
        ("=", LogDet((1 + 1 / t**2) * I_p), Calculus(), "U_kᵀU_k = I."),
    ),
    remark="It is p log(1 + 1/t²): for subspaces of one dimension N23's hypothesis says that the weights are equal.",
)

LOW_RANK = Derivation(
    name="denoiser-of-a-subspace",
    title="The optimal denoiser of a subspace with unit spectrum shrinks the projection by 1/(1 + t²)",
    hypotheses=_SUBSPACE,
    source=f"{BOOK}, denoiser of a low-rank mixture",
    uses=(TWEEDIE, POSTERIOR),
    steps=chain(
        U @ U.T @ Inverse(_COVARIANCE) @ x,
        ("=", U @ U.T @ (I_d - U @ U.T / (1 + t**2)) @ x / t**2, Calculus((_WOODBURY,)), "Woodbury, with UᵀU = I."),
        ("=", U @ U.T @ x / (1 + t**2), Calculus(), "U_kᵀU_k = I."),
    ),
)

LOGITS = Derivation(
    name="logits-of-a-mixture-of-subspaces",
    title="The memberships of subspaces with unit spectrum are a softmax of squared projections",
    hypotheses=_SUBSPACE,
    source=f"{BOOK}, denoiser of a low-rank mixture",
    uses=(DETERMINANT, POSTERIOR),
    steps=chain(
        -Trace(x.T @ Inverse(_COVARIANCE) @ x) / 2,
        (
            "=",
            -Trace(x.T @ (I_d - U @ U.T / (1 + t**2)) @ x) / (2 * t**2),
            Calculus((_WOODBURY,)),
            "Woodbury, with UᵀU = I.",
        ),
        (
            "=",
            norm_squared(U.T @ x) / (2 * t**2 * (1 + t**2)) - norm_squared(x) / (2 * t**2),
            Calculus(),
            "Multiplied out; the last term is the same for every subspace.",
        ),
    ),
    remark="N23, eq. 6, has 1/(2t²) in place of 1/(2t²(1 + t²)).",
)

_COMPONENT = -(x.T @ Inverse(_COVARIANCE) @ x) / 2
_logit, _energy = norm_squared(U.T @ x) / (2 * t**2 * (1 + t**2)), -norm_squared(x) / (2 * t**2)
_unit = exp(_COMPONENT)
_attention = exp(_logit) * reciprocal(Sum("k", exp(_logit)))
_both = exp(_logit + _energy)

UNIT_SPECTRUM = Derivation(
    name="denoiser-of-a-mixture-of-subspaces",
    title="The optimal denoiser of a mixture of subspaces with unit spectrum is attention over them",
    hypotheses=(
        "z ~ Σ_k N(0, U_kU_kᵀ)/K, U_k orthonormal of one dimension, x = z + tw with w ~ N(0, I)",
        "q = Σ_k exp(−½ xᵀ(U_kU_kᵀ + t²I)⁻¹x), the density up to a constant: all determinants are equal",
        "w_k = softmax_k(‖U_kᵀx‖²/(2t²(1 + t²)))",
        _ANY,
    ),
    source=f"{BOOK}, denoiser of a low-rank mixture",
    definitions=(("q", Sum("k", _unit)), ("w_k", _attention)),
    uses=(PRINTED_POSTERIOR, DETERMINANT, LOW_RANK, LOGITS),
    steps=chain(
        inner(x, h) + t**2 * Differential(log(Sum("k", _unit)), x, h),
        (
            "=",
            inner(Sum("k", _unit * reciprocal(Sum("k", _unit)) * U @ U.T @ Inverse(_COVARIANCE) @ x), h),
            Calculus(),
            "The posterior mean with equal determinants.",
        ),
        (
            "=",
            inner(Sum("k", _both * reciprocal(Sum("k", _both)) * U @ U.T @ x) / (1 + t**2), h),
            Calculus((_WOODBURY,)),
            "Woodbury, in the filters and in the logits.",
        ),
        (
            "=",
            inner(Sum("k", _attention * U @ U.T @ x) / (1 + t**2), h),
            Calculus((exponential_of_sum(_logit, _energy),)),
            "exp(−‖x‖²/(2t²)) is the same for every subspace and cancels.",
        ),
    ),
    remark="The subspaces need not be orthogonal to one another.",
)

ATTENTION_FILTER = Derivation(
    name="filter-of-the-attention-denoiser",
    title="The attention denoiser takes the projection itself for the shrunk one",
    hypotheses=_SUBSPACE,
    source=f"{N23}, eq. 6 and 38 to 60",
    uses=(LOW_RANK,),
    steps=chain(
        U @ U.T @ x / (1 + t**2),
        ("~", U @ U.T @ x, Drops(-(t**2 / (1 + t**2)) * U @ U.T @ x), "Drops t²/(1 + t²) of the projection."),
    ),
    remark="A relative error of t² to first order, not of t.",
)

ATTENTION_LOGITS = Derivation(
    name="logits-of-the-attention-denoiser",
    title="The attention denoiser has larger logits by the factor 1 + t²",
    hypotheses=_SUBSPACE,
    source=f"{N23}, eq. 6 and 38 to 60",
    uses=(LOGITS,),
    steps=chain(
        norm_squared(U.T @ x) / (2 * t**2 * (1 + t**2)),
        (
            "~",
            norm_squared(U.T @ x) / (2 * t**2),
            Drops(-norm_squared(U.T @ x) / (2 * (1 + t**2))),
            "Drops ‖U_kᵀx‖²/(2(1 + t²)), which does not vanish with t.",
        ),
    ),
    remark="As t goes to 0 the two logits keep a difference of ½(‖U_jᵀx‖² − ‖U_kᵀx‖²) between subspaces, while each "
    "grows like 1/t²: the memberships agree unless two projections are within O(t²) of each other.",
)
