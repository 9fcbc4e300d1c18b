"""Closed-loop transcription: the rate reduction as a distance."""

from __future__ import annotations

from fractions import Fraction
from typing import Any

import numpy as np
from flint import arb, ctx

from srr import mcr2
from verify.arrays import to_numpy
from verify.case import Case
from verify.claims._instances import norm
from verify.claims._sources import CTRL
from verify.claims.mcr2._shape import BITS, sign, to_fmpq
from verify.ledger import HOLDS, REFUTED, Outcome, claim
from verify.outcome import all_of, at_most, decided, equal

Array = Any


def _pair(case: Case, rng: np.random.Generator) -> tuple[Array, Array, float, float]:
    n, d = case.choice("n, d", ((1, 1), (2, 2), (3, 2), (2, 4)))
    eps = case.log_uniform("eps", 0.1, 3.0)
    Z, other = (case.asarray(rng.standard_normal((n, d))) for _ in range(2))
    return Z, other, eps, 4 * (1 + d / (n * eps**2)) * (norm(Z) ** 2 + norm(other) ** 2)


@claim(
    "mcr2.closed-loop-formula",
    title="The closed-loop distance is the Jensen gap of log det between two second moments",
    statement=r"\Delta R(Z,\hat Z)=\tfrac12\Big[\log\det\tfrac{A+B}2-\tfrac12\log\det A-\tfrac12\log\det B\Big]\ge0,"
    r"\quad A=I+\tfrac d{n\varepsilon^2}ZZ^\top",
    source=f"{CTRL}, definition",
    relation="=",
    hypotheses="Gaussian tokens, as many in both",
    expect=HOLDS,
    twin="A + B, not its half",
    derivations=("rate-reduction-of-two-samples",),
    instances=60,
)
def closed_loop_formula(case: Case) -> Outcome:
    """In float64. Not negative because log det is concave."""
    Z, other, eps, scale = _pair(case, case.rng())
    d, n = Z.shape[1], Z.shape[0]
    A, B = (np.eye(d) + d / (n * eps**2) * to_numpy(X).T @ to_numpy(X) for X in (Z, other))
    whole, *parts = (np.linalg.slogdet(M.astype(float))[1] for M in (case.wrong((A + B) / 2, A + B), A, B))
    found = mcr2.closed_loop_distance(Z, other, eps=eps)
    return all_of(
        equal(found, (whole - parts[0] / 2 - parts[1] / 2) / 2, size=2 * n + d, scale=scale),
        at_most(0 * found, found, size=2 * n + d, scale=scale),
    )


@claim(
    "mcr2.closed-loop-tells-apart",
    title="The closed-loop distance is zero only between equal tokens",
    statement=r"\Delta R(Z,\hat Z)=0\ \Rightarrow\ \hat Z=Z",
    source=f"{CTRL}, where it is used as a distance between Z and its transcription",
    relation="=",
    hypotheses="tokens and their negatives",
    expect=REFUTED,
    twin="only between equal second moments: at least what the distance of second moments asks for",
    derivations=("gap-of-log-det-is-zero-for-equal-matrices-alone",),
    uses=("mcr2.closed-loop-formula",),
    instances=40,
)
def closed_loop_tells_apart(case: Case) -> Outcome:
    """False: it sees second moments only, so ẐᵀẐ = ZᵀZ is enough: signs, permutations, rotations of the tokens. The
    twin: with eigenvalues of A⁻¹B other than one the gap of log det is not zero.
    """
    rng = case.rng()
    Z, other, eps, scale = _pair(case, rng)
    if not case.twin:
        other = -Z
        found = float(mcr2.closed_loop_distance(Z, other, eps=eps))
        rounding = equal(case.asarray(np.array(found)), 0.0, size=8, scale=scale)
        return Outcome(holds=not rounding.holds, data={"distance": found, "|Z - other|": 2 * norm(Z)})
    d, n = Z.shape[1], Z.shape[0]
    A, B = (np.eye(d) + d / (n * eps**2) * to_numpy(X).T @ to_numpy(X) for X in (Z, other))
    w = np.linalg.eigvals(np.linalg.solve(A, B)).real
    promised = float(np.sum(np.log((1 + w) / 2) - np.log(w) / 2)) / 2
    case.assume(promised > 1e-3)
    return at_most(promised, mcr2.closed_loop_distance(Z, other, eps=eps), size=2 * n + d, scale=scale)


def _three(case: Case) -> list[arb]:
    """The distances between three tokens of dimension one, enclosed: ab, bc, ac."""
    a, b, c = (Fraction(case.log_uniform(name, 0.01, 100.0)) for name in ("first", "second", "third"))
    found = []
    for x, y in ((a, b), (b, c), (a, c)):
        A, B = 1 + x * x, 1 + y * y  # n = d = 1 at ε = 1
        found.append((arb(to_fmpq((A + B) ** 2 / (4 * A * B)))).log() / 4)
    return found


@claim(
    "mcr2.closed-loop-is-a-metric",
    title="The closed-loop distance obeys the triangle inequality",
    statement=r"\Delta R(Z_1,Z_3)\le\Delta R(Z_1,Z_2)+\Delta R(Z_2,Z_3)",
    source=f"{CTRL}, where it is called a distance",
    relation="<=",
    hypotheses="single tokens of dimension one, eps = 1",
    expect=REFUTED,
    twin="its square root",
    uses=("mcr2.closed-loop-formula",),
    instances=80,
)
def closed_loop_is_a_metric(case: Case) -> Outcome:
    """False: near zero it grows like a square. Its square root is a metric on second moments (Sra 2016). In balls."""
    with ctx.workprec(BITS):
        ab, bc, ac = _three(case)
        if case.twin:
            ab, bc, ac = ab.sqrt(), bc.sqrt(), ac.sqrt()
        return decided(sign(ac - ab - bc), "<=")
