"""One class: what a squared singular value adds, and where it is worth most."""

from __future__ import annotations

import math
from fractions import Fraction

from flint import arb, ctx

from srr import mcr2
from verify.case import Case
from verify.claims._sources import MCR2
from verify.claims.mcr2._shape import BITS, curvature, drawn_share, shape, sign, slope, to_fmpq
from verify.figures import mcr2 as figures
from verify.ledger import HOLDS, Outcome, claim
from verify.outcome import all_of, decided, exactly, observed


@claim(
    "mcr2.shape-function",
    title="What a squared singular value adds grows, faster and faster up to the turning point, slower beyond it",
    statement=r"f'(x)\ge0,\quad f'(x)=f'(x_T^2/x),\quad f''\ge0\iff x\le x_T=\sqrt{\gamma}/\alpha,\qquad "
    r"f(x)=\log(1+\alpha x)-\gamma\log(1+\alpha x/\gamma)",
    source=f"{MCR2}, proof of the theorem on optima; derived",
    relation="=",
    hypotheses="rational gamma < 1, alpha and x",
    expect=HOLDS,
    twin="gamma/alpha for the turning point",
    proof=(
        "slope-of-the-shape-function",
        "shape-function-increases",
        "symmetry-of-the-slope-of-the-shape-function",
        "curvature-of-the-shape-function",
    ),
    derivations=("turning-point-of-the-shape-function",),
    instances=100,
    figure=figures.what_a_singular_value_adds,
)
def shape_function(case: Case) -> Outcome:
    """f″ has the sign of γ − α²x². In rational arithmetic; slopes are the same at equal ratios to x_T."""
    share, constant = drawn_share(case), Fraction(case.log_uniform("alpha", 0.01, 100.0))
    turning = Fraction(math.isqrt(share.numerator), math.isqrt(share.denominator)) / constant
    turning = case.wrong(turning, share / constant)
    ratio = Fraction(case.log_uniform("x over the turning point", 0.01, 100.0))
    x = ratio * turning
    bend = curvature(x, share, constant)
    return all_of(
        exactly(slope(x, share, constant) >= 0),
        exactly(slope(x, share, constant) == slope(turning / ratio, share, constant)),
        exactly((bend >= 0) == (ratio <= 1)),
    )


@claim(
    "mcr2.tangent-point",
    title="A singular value is worth most, for its energy, at the tangent point",
    statement=r"\max_x\frac{f(x)}x\ \text{at}\ x_S:\ f(x_S)=x_Sf'(x_S),\qquad x_S/x_T>2.16",
    source="derived",
    relation="tight",
    hypotheses="rational gamma < 1 and alpha; the root is enclosed within one part in 10^9",
    expect=HOLDS,
    twin="the turning point",
    derivations=(
        "slope-of-the-intercept-of-the-shape-function",
        "tangent-point-of-a-quarter-from-below",
        "tangent-point-of-a-quarter-from-above",
    ),
    uses=("mcr2.shape-function",),
    instances=60,
    figure=figures.what_a_singular_value_adds,
)
def tangent_point(case: Case) -> Outcome:
    """d(f/x)/dx = (x f′ − f)/x² is positive just before the point that `srr.mcr2.tangent_point` gives and negative
    just after it, in balls.
    """
    share, constant = drawn_share(case), Fraction(case.log_uniform("alpha", 0.01, 100.0))
    given = float(share), float(constant)
    point = case.wrong(mcr2.tangent_point, mcr2.turning_point)(*given)

    def growth(x: float) -> int | None:
        with ctx.workprec(BITS):
            rational = Fraction(x)
            return sign(arb(to_fmpq(rational * slope(rational, share, constant))) - shape(x, share, constant))

    far = point > 2.16 * mcr2.turning_point(*given)
    return all_of(observed(far), decided(growth(point * (1 - 1e-9)), ">"), decided(growth(point * (1 + 1e-9)), "<"))
