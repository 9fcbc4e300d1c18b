"""A theme to copy: add a claim like these to a theme, or start a new one and name it in ``__init__``.

Nothing here is part of the ledger; the tests run it, so that what is copied works.
"""

from __future__ import annotations

import numpy as np

from verify.ledger import HOLDS, HOLDS_UNDER, REFUTED, Case, Outcome, claim
from verify.outcome import at_most, equal, exactly


@claim(
    "template.sylvester",
    title="A rate is the same from either Gram matrix",
    statement=r"\log\det(I_n+\alpha ZZ^\top)=\log\det(I_d+\alpha Z^\top Z)",
    source="Yu et al. 2023, eq. (7)",
    relation="=",
    hypotheses="any Z",
    expect=HOLDS,
    twin="alpha halved on one side",
    instances=50,
)
def sylvester(case: Case) -> Outcome:
    """Sylvester's determinant identity; both sides by a plain LU, on NumPy."""
    n, d = case.integer("n", 1, 6), case.integer("d", 1, 6)
    alpha = case.log_uniform("alpha", 1e-1, 1e1)
    Z = case.rng().standard_normal((n, d))
    left = np.linalg.slogdet(np.eye(n) + alpha * Z @ Z.T)[1]
    right = np.linalg.slogdet(np.eye(d) + case.wrong(alpha, alpha / 2) * Z.T @ Z)[1]
    return equal(left, right, size=n * d, scale=1 + alpha * np.sum(Z**2), Z=Z)


@claim(
    "template.square-grows",
    title="Squaring makes a number larger",
    statement=r"x \le x^2",
    source="a false statement, kept with its counterexample",
    relation="<=",
    hypotheses="x > 0",
    expect=REFUTED,
    twin="the true statement: x <= x + x^2",
    instances=50,
)
def square_grows(case: Case) -> Outcome:
    """False below 1."""
    x = case.log_uniform("x", 1e-3, 1e3)
    return at_most(x, x**2 + case.wrong(0.0, x), size=1, scale=x + x**2)


@claim(
    "template.halving-descends",
    title="A gradient step descends while it is short",
    statement=r"f(x-\kappa f'(x)) \le f(x), \quad f(x)=\tfrac12 x^2, \quad \kappa<2",
    source="the textbook",
    relation="monotone",
    hypotheses="any whole x, any step kappa",
    expect=HOLDS_UNDER,
    twin="the step taken uphill",
    uses=("template.sylvester",),
    instances=50,
    witness={"x": 1, "kappa": 3.0},
)
def halving_descends(case: Case) -> Outcome:
    """|1 − κ| ≤ 1 exactly when κ ≤ 2."""
    x = case.integer("x", 1, 9)
    kappa = case.uniform("kappa", 0.1, 4.0)
    case.condition("kappa", kappa, 2, along="kappa")
    return exactly((x - case.wrong(kappa, -kappa) * x) ** 2 <= x**2)
