"""What the rate and its gradient are for two tokens, or in heads of two dimensions: identities at stated sizes."""

from __future__ import annotations

from derivations.checks import AtSizes, Calculus, Explicit
from derivations.expression import Identity, Inverse, LogDet, Matrix, Trace
from derivations.notation import alpha
from derivations.proof import Derivation, chain
from derivations.rules import sylvester
from derivations.sources import N23

I_1, I_2, I_d = Identity(1), Identity(2), Identity("d")
Z = Matrix("Z", 2, "d")
X = Matrix("X", 2, 2)
G = alpha * Z @ Z.T
SIZES = tuple({"d": d} for d in (1, 2, 3, 5))

TWO_TOKENS = Derivation(
    name="coding-rate-of-two-tokens",
    title="The coding rate of two tokens, in closed form",
    hypotheses=("two tokens of dimension 1, 2, 3 or 5",),
    source=f"{N23}, eq. 7",
    definitions=(("G", G),),
    steps=chain(
        LogDet(I_d + alpha * Z.T @ Z) / 2,
        ("=", LogDet(I_2 + G) / 2, Calculus((sylvester(alpha * Z.T, Z),)), "Sylvester's determinant identity."),
        (
            "=",
            LogDet((1 + Trace(G) + Trace(G) * Trace(G) / 2 - Trace(G @ G) / 2) * I_1) / 2,
            AtSizes(SIZES),
            "det(I + G) = 1 + tr G + det G for a 2 x 2 matrix, and det G = ((tr G)² − tr G²)/2.",
        ),
    ),
    remark="With tokens z and w, G has the entries α|z|², α⟨z, w⟩, α|w|²: the rate is ½ log((1 + α|z|²)(1 + α|w|²) − "
    "α²⟨z, w⟩²), which is largest when the two are orthogonal.",
)

TWO_DIMENSIONS = Derivation(
    name="inverse-in-two-dimensions",
    title="The inverse in the gradient of a head of two dimensions, in closed form",
    hypotheses=("a 2 x 2 matrix X with I + X invertible",),
    source="Cayley and Hamilton, for 2 x 2 matrices",
    steps=chain(
        (1 + Trace(X) + Trace(X) * Trace(X) / 2 - Trace(X @ X) / 2) * Inverse(I_2 + X),
        (
            "=",
            (1 + Trace(X)) * I_2 - X,
            Explicit(({},)),
            "A² − (tr A)A + (det A)I = 0 for A = I + X, times A⁻¹.",
        ),
    ),
    remark="With X = βY_kᵀY_k it is what the exact step needs in a head of two dimensions: no factorisation.",
)
