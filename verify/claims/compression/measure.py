"""What the official code measures for Rᶜ."""

from __future__ import annotations

import math

import numpy as np

from verify.case import Case
from verify.claims._sources import N23
from verify.claims._steps import coarseness, official_measure
from verify.claims.compression._mixtures import ORTHOGONAL
from verify.figures.rates import official_measure_by_spread
from verify.ledger import HOLDS, Outcome, claim
from verify.outcome import at_most


@claim(
    "compression.normalised-measure-range",
    title="The range of the official layer-wise measure, which normalises every token in every head",
    statement=r"\frac K2\log\Big(1+\frac p{\varepsilon^2}\Big)\le R^c_{\rm code}\le\frac{Kr}{2}"
    r"\log\Big(1+\frac{p}{r\varepsilon^2}\Big),\qquad r=\min(n,p)",
    source=f"code of {N23}, CodingRate, whose eps = 0.01 is epsilon^2",
    relation="<=",
    hypotheses="orthogonal subspaces, tokens with noise, epsilon^2 = 0.01",
    expect=HOLDS,
    twin="eps = 0.01 read as epsilon",
    instances=100,
    uses=("rates.official-measure-ends",),
    figure=official_measure_by_spread,
)
def normalised_measure_range(case: Case) -> Outcome:
    """True: each head's p × p matrix has trace p/ε² and rank r at most; log(1 + x) is concave, so the rate
    is least when all tokens of a head are parallel and greatest when they are isotropic. The scale of the
    tokens is gone: a layer that only shrinks or lengthens leaves the measure as it is.
    """
    m = case.mixture(**ORTHOGONAL, noise=(0.1, 1.0))
    eps = 0.1
    value = official_measure(m.Z, m.U, eps=case.wrong(eps, eps**2))
    r = min(m.n, m.p)
    least, most = m.K / 2 * math.log1p(m.p / eps**2), m.K * r / 2 * math.log1p(m.p / (r * eps**2))
    values = np.array([least, value]), np.array([value, most])
    return at_most(*values, size=m.n + m.p, scale=most * (1 + m.p / eps**2) * coarseness(m.Z))
