"""Denoising under Gaussians and their mixtures: score, Tweedie's formula, posterior mean, low-rank closed forms."""

from __future__ import annotations

import sympy

from derivations.checks import Calculus, Drops
from derivations.expression import (
    Differential,
    Entrywise,
    Expr,
    Inverse,
    LogDet,
    Matrix,
    Sum,
    Trace,
    inner,
    norm_squared,
)
from derivations.notation import I_d, I_p, family
from derivations.proof import Derivation, chain
from derivations.rules import known, sylvester, woodbury
from derivations.sources import BOOK, N23

sigma = sympy.Symbol("sigma", positive=True)
x, h = Matrix("x", "d", 1), Matrix("h", "d", 1)
"""A noisy token, as a column, and a direction."""
Sigma = Matrix("Sigma", "d", "d", psd=True)
PRECISION = Inverse(Sigma + sigma**2 * I_d)
"""The inverse covariance of z + σw, z ~ N(0, Σ)."""
_NAMES = (("P", PRECISION),)
LOG_DENSITY: Expr = -Trace(x.T @ PRECISION @ x) / 2
"""log q(x) up to a constant."""

SCORE = Derivation(
    name="score-of-a-noisy-gaussian",
    title="The score of a Gaussian token seen through noise",
    hypotheses=("z ~ N(0, Σ), x = z + σw with w ~ N(0, I), any direction h",),
    source=f"{N23}, proposition 1, one component",
    definitions=_NAMES,
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
    uses=(SCORE,),
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
_t = sympy.Symbol("t", real=True)
_EXP = sympy.Lambda(_t, sympy.exp(_t))
_joint = Trace(_c) * Trace(Entrywise(_EXP, -(x.T @ _P @ x) / 2))
DENSITY: Expr = Sum("k", _joint)
"""q(x) up to a constant: Σ_k c_k exp(−½ xᵀP_kx)."""
_MIXTURE = ("z ~ Σ_k π_k N(0, Σ_k), x = z + σw with w ~ N(0, I)", "c_k = π_k det(Σ_k + σ²I)^(−1/2)")
_MIXTURE_NAMES = (("q_k(x)", _joint), ("P_k", _P))

SCORE_OF_MIXTURE = Derivation(
    name="gradient-of-a-mixture-density",
    title="The gradient of the density of a noisy mixture of Gaussians",
    hypotheses=(*_MIXTURE, "any direction h"),
    source=f"{N23}, proposition 1",
    definitions=_MIXTURE_NAMES,
    uses=(SCORE,),
    steps=chain(
        Differential(DENSITY, x, h),
        (
            "=",
            -Sum("k", _joint * Trace(x.T @ _P @ h)),
            Calculus(),
            "The exponential is its own derivative; the logit has the gradient −P_kx.",
        ),
        ("=", inner(-Sum("k", _joint * _P @ x), h), Calculus(), "What multiplies h."),
    ),
    remark="Divided by q: the score is −Σ_k r_k P_kx with r_k = q_k/Σ_j q_j, a softmax of log c_k − ½ xᵀP_kx. "
    "Proposition 1 leaves out log c_k, which is right when all c_k are equal, its hypothesis.",
)

_density = Sum("k", Entrywise(_EXP, -(x.T @ _P @ x) / 2) @ _c)

LOG_SCORE = Derivation(
    name="score-of-a-mixture",
    title="The score of a noisy mixture of Gaussians is the mean of its components' by membership",
    hypotheses=(*_MIXTURE, "any direction h", "Q = Σ_k q_k(x), the density up to a constant, as a 1 x 1 matrix"),
    source=f"{N23}, proposition 1, with the constants that it leaves out",
    definitions=(("Q", _density), *_MIXTURE_NAMES),
    uses=(SCORE_OF_MIXTURE,),
    steps=chain(
        Differential(LogDet(_density), x, h),
        (
            "=",
            inner(-(Trace(Inverse(_density)) * Sum("k", _joint * _P @ x)), h),
            Calculus(),
            "d log Q = Q⁻¹ dQ.",
        ),
    ),
    remark="Q⁻¹q_k is the membership r_k.",
)

POSTERIOR = Derivation(
    name="posterior-mean-of-a-mixture",
    title="The posterior mean under a mixture is the mean of Wiener filters by membership",
    hypotheses=_MIXTURE,
    source=f"{N23}, eq. 5 and proposition 1",
    definitions=_MIXTURE_NAMES,
    uses=(SCORE_OF_MIXTURE, TWEEDIE),
    steps=chain(
        DENSITY * x - sigma**2 * Sum("k", _joint * _P @ x),
        ("=", Sum("k", _joint * (I_d - sigma**2 * _P) @ x), Calculus(), "x in every component."),
        ("=", Sum("k", _joint * _S @ _P @ x), Calculus(), "(Σ_k + σ²I)P_k = I."),
    ),
    remark="The left side is q (x + σ²∇log q): divided by q = Σ_k q_k, Tweedie's E[z|x] = Σ_k r_k Σ_kP_kx.",
)

_shared = Matrix("c", 1, 1, psd=True)
_exponential = Trace(Entrywise(_EXP, -(x.T @ _P @ x) / 2))

EQUAL_DETERMINANTS = Derivation(
    name="memberships-with-equal-determinants",
    title="With equal π_k det(Σ_k + σ²I)^(−1/2) the constants cancel from the memberships",
    hypotheses=("c_k = c for every k", "any component j, with precision P and the others P_k"),
    source=f"{N23}, proposition 1",
    definitions=(("e_k(x)", _exponential),),
    uses=(POSTERIOR,),
    steps=chain(
        Trace(_shared) * Trace(Entrywise(_EXP, -(x.T @ PRECISION @ x) / 2)) * Sum("k", _exponential),
        (
            "=",
            Trace(Entrywise(_EXP, -(x.T @ PRECISION @ x) / 2)) * Sum("k", Trace(_c) * _exponential),
            Calculus((known(_c, _shared),)),
            "c_k = c under the sum.",
        ),
    ),
    remark="Cross-multiplied: c e_j/Σ_k c_k e_k = e_j/Σ_k e_k.",
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
