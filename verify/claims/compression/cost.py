"""What a step costs."""

from __future__ import annotations

import math
from dataclasses import dataclass

from verify.case import Case
from verify.claims._sources import N23
from verify.figures import compression as figures
from verify.ledger import HOLDS_UNDER, Outcome, claim
from verify.outcome import exactly


@dataclass(frozen=True)
class _Sized:
    """A matrix of which only the size is known, and a list of the flops spent on it and its like."""

    rows: int
    columns: int
    spent: list[float]

    def _made(self, rows: int, columns: int, flops: float) -> _Sized:
        self.spent.append(flops)
        return _Sized(rows, columns, self.spent)

    def __matmul__(self, other: _Sized) -> _Sized:
        return self._made(self.rows, other.columns, 2 * self.rows * self.columns * other.columns)

    @property
    def T(self) -> _Sized:
        return _Sized(self.columns, self.rows, self.spent)

    def gram(self) -> _Sized:
        """A Aᵀ, of which half need be computed."""
        return self._made(self.rows, self.rows, self.rows * (self.rows + 1) * self.columns)

    def cholesky(self) -> _Sized:
        return self._made(self.rows, self.rows, self.rows**3 / 3)

    def solve(self, right: _Sized) -> _Sized:
        """With the matrix of which this is the Cholesky factor."""
        return self._made(right.rows, right.columns, 2 * self.rows**2 * right.columns)


@claim(
    "compression.exact-gradient-costs-more",
    title="The exact gradient costs more than attention",
    statement=r"\mathrm{flops}\big(\nabla R^c\big)>\mathrm{flops}\big(\mathrm{MSSA}\big),"
    r"\qquad\frac np<\frac{3+\sqrt{13}}6\approx1.10",
    source=f"{N23}, section 2.3, which calls the inverse of eq. 9 expensive",
    relation="<",
    hypotheses="flops of products, Gram matrices and triangular solves; the softmax itself is free",
    expect=HOLDS_UNDER,
    twin="the factorisation of the exact gradient left out",
    uses=("compression.exact-step-is-one-linear-map",),
    witness={"K": 1, "p": 1, "n": 2},
    figure=figures.multiplications_by_tokens,
)
def exact_gradient_costs_more(case: Case) -> Outcome:
    """True for fewer than 1.10 p tokens only: by the push-through identity the gradient needs Cholesky
    factors p × p, not the n × n inverses that eq. 9 prints, and is linear in n where attention is
    quadratic. At n = 197, p = 64 it costs a third of attention per head. Counted by doing both on matrices
    that know their size alone; projection in and out are common to both.
    """
    K, p, n = case.integer("K", 1, 16), case.integer("p", 1, 256), case.integer("n", 1, 256)
    case.condition("n / p", n / p, (3 + math.sqrt(13)) / 6, along="n")
    exact, attention_ = _Sized(n, p, []), _Sized(n, p, [])
    if p < n:
        exact.T.gram().cholesky().solve(exact.T)
    else:
        exact.gram().cholesky().solve(exact)
    attention_.gram() @ attention_
    factor = case.wrong(0.0, min(n, p) ** 3 / 3)
    flops = {"exact": K * (sum(exact.spent) - factor), "attention": K * sum(attention_.spent)}
    return exactly(flops["exact"] > flops["attention"], **flops)
