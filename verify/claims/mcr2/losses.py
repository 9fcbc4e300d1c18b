"""The losses of the published code."""

from __future__ import annotations

import numpy as np

import srr
from srr import mcr2
from verify.arrays import to_numpy
from verify.case import Case
from verify.claims._instances import memberships, norm, tokens
from verify.claims._sources import GEO, MCR2
from verify.ledger import HOLDS, Outcome, claim
from verify.outcome import all_of, equal


@claim(
    "mcr2.published-loss",
    title="contrastive and regularised compute the losses of the published code",
    statement=r"\gamma_2^{\rm code}\,\tfrac12\log\det\big(I+\gamma_1^{\rm code}\alpha ZZ^\top\big)-R^c,\qquad"
    r"\Delta R-\tfrac\lambda2\|Z\|_F^2",
    source=f"code of {MCR2}, loss.py, and of {GEO}",
    relation="=",
    hypotheses="any tokens, hard or soft memberships",
    expect=HOLDS,
    twin="eps for eps^2",
    instances=60,
)
def published_loss(case: Case) -> Outcome:
    """By determinants, in float64; without the 1e-8 that the code adds to the sizes of classes."""
    rng = case.rng()
    t = tokens(case, rng, sizes=((1, 2), (3, 2), (4, 3)), eps=(0.3, 3.0), scale=(0.1, 3.0))
    Pi = memberships(case, rng, t.n)
    inner, outer, lam = (case.log_uniform(name, 0.1, 20.0) for name in ("gam1", "gam2", "lam"))
    Z, square = to_numpy(t.Z).astype(float), case.wrong(t.eps**2, t.eps)

    def half_log_det(A: np.ndarray) -> float:
        return float(np.linalg.slogdet(np.eye(t.d) + A)[1]) / 2

    base = t.d / (t.n * square) * Z.T @ Z
    parts = 0.0
    for pi in to_numpy(Pi).astype(float).T:
        if pi.sum() > 0:
            parts += pi.sum() / t.n * half_log_det(t.d / (pi.sum() * square) * (Z.T * pi) @ Z)
    scale = (1 + inner) * (1 + outer) * (1 + t.n * t.alpha * norm(Z) ** 2) * 4 + lam * norm(Z) ** 2
    found = mcr2.contrastive(t.Z, Pi, eps=t.eps, inner=inner, outer=outer)
    penalised = mcr2.regularised(t.Z, Pi, eps=t.eps, lam=lam)
    gradient = mcr2.regularised_and_gradient(t.Z, Pi, eps=t.eps, lam=lam)[1]
    unpenalised = srr.rate_reduction_and_gradient(t.Z, Pi=Pi, eps=t.eps)[1]
    steep = scale * (t.alpha + lam) * (1 + norm(Z))
    return all_of(
        equal(found, outer * half_log_det(inner * base) - parts, size=t.n + t.d, scale=scale),
        equal(penalised, half_log_det(base) - parts - lam / 2 * norm(Z) ** 2, size=t.n + t.d, scale=scale),
        equal(gradient, to_numpy(unpenalised) - lam * Z, size=t.n + t.d, scale=steep),
    )
