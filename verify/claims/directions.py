"""Room for nearly orthogonal directions: are there billions that are 99.6 % orthogonal, in thousands of dimensions?

Each reading of "99.6 % orthogonal" is a claim of its own. Arithmetic is exact, that of the caps in balls.
"""

from __future__ import annotations

from fractions import Fraction

from verify import packings
from verify.case import Case
from verify.experiments.room import READINGS
from verify.figures import directions as figures
from verify.ledger import HOLDS_UNDER, REFUTED, Outcome, claim
from verify.outcome import exactly

BILLION = 10**9
SUPERPOSITION = "folklore of superposition, as after Elhage et al. 2022, Toy Models of Superposition"


def _room(d: int, c2: Fraction) -> Outcome:
    """Whether there are a billion lines with cos² ≤ c² in d dimensions: True or False where a bound shows it."""
    (least, by), most = packings.least(d, c2), packings.most(d, c2)
    shown = True if least >= BILLION else False if most < BILLION else None
    return exactly(shown, lines_at_least=least, by=by, lines_at_most=most)


def _decided(case: Case, found: Outcome) -> Outcome:
    # Dimensions at which it is open are left out.
    case.assume(found.holds is not None)
    return found


@claim(
    "directions.billions-by-the-cosine",
    title="Thousands of dimensions have billions of directions that are 99.6 % orthogonal: |cos| at most 0.004",
    statement=r"N(d,c)\ge10^9,\quad c=0.004,\ d=O(1000),\qquad "
    r"N(d,c)=\max\{N:\exists x_1,\dots,x_N\in S^{d-1},\ |\langle x_i,x_j\rangle|\le c\ (i\ne j)\}",
    source=SUPERPOSITION,
    relation="<=",
    hypotheses="d from 100 to 10000",
    expect=REFUTED,
    twin="d from 65530 to 100000",
    instances=20,
    witness={"d": 1000},
    figure=figures.room,
)
def billions_by_the_cosine(case: Case) -> Outcome:
    """False by six orders of magnitude: in 1000 dimensions there are at most 1016 such directions, 16 more than a
    basis (Welch's bound d(1 − c²)/(1 − dc²)), and billions are impossible below d = 62,497. From d = 65,530 on
    quadratic forms over F₂ give them.
    """
    d = case.integer("d", *case.wrong((100, 10000), (65530, 100000)))
    return _room(d, READINGS["|cos| <= 0.004"]())


@claim(
    "directions.billions-by-the-angle",
    title="Thousands of dimensions have billions of directions that are 99.6 % orthogonal: angles of 99.6 % of 90°",
    statement=r"N(d,c)\ge10^9,\qquad c=\cos89.64^\circ,\ d=O(1000)",
    source=SUPERPOSITION,
    relation="<=",
    hypotheses="d from 100 to 10000",
    expect=REFUTED,
    twin="d from 50678 to 100000",
    uses=("directions.billions-by-the-cosine",),
    instances=20,
    witness={"d": 1000},
)
def billions_by_the_angle(case: Case) -> Outcome:
    """False: at most 1041 in 1000 dimensions, and billions are impossible below d = 34,242."""
    d = case.integer("d", *case.wrong((100, 10000), (50678, 100000)))
    return _room(d, READINGS["angle >= 89.64 degrees"]())


@claim(
    "directions.billions-by-the-squared-cosine",
    title="Thousands of dimensions have billions of directions that are 99.6 % orthogonal: cos² at most 0.004",
    statement=r"N(d,c)\ge10^9,\qquad c^2=0.004,\ d=O(1000)",
    source=SUPERPOSITION,
    relation="<=",
    hypotheses="d from 100 to 10000, less those at which the bounds leave it open, 612 to 2017",
    expect=HOLDS_UNDER,
    twin="|cos| at most 0.004",
    instances=40,
    witness={"d": 611},
)
def billions_by_the_squared_cosine(case: Case) -> Outcome:
    """True from d = 2018 on and false up to 611. Between them it is open: in 1000 dimensions 524,288 are certain and
    10¹⁴ are not excluded.
    """
    d = case.integer("d", 100, 10000)
    case.condition("2017/d", 2017 / d, 1)
    return _decided(case, _room(d, READINGS[case.wrong("cos^2 <= 0.004", "|cos| <= 0.004")]()))


@claim(
    "directions.billions-by-the-sine",
    title="Thousands of dimensions have billions of directions that are 99.6 % orthogonal: sines of at least 0.996",
    statement=r"N(d,c)\ge10^9,\qquad c^2=1-0.996^2,\ d=O(1000)",
    source=SUPERPOSITION,
    relation="<=",
    hypotheses="d from 100 to 10000, less those at which the bounds leave it open, 377 to 1593",
    expect=HOLDS_UNDER,
    twin="|cos| at most 0.004",
    instances=40,
    witness={"d": 376},
)
def billions_by_the_sine(case: Case) -> Outcome:
    """True from d = 1594 on and false up to 376: with |cos| up to 0.089 in place of 0.004. In 1000 dimensions it is a
    quarter of a billion that is certain, 2²⁸, and 10²³ are not excluded.
    """
    d = case.integer("d", 100, 10000)
    case.condition("1593/d", 1593 / d, 1)
    return _decided(case, _room(d, READINGS[case.wrong("sin >= 0.996", "|cos| <= 0.004")]()))


@claim(
    "directions.random-pairs",
    title="In thousands of dimensions 99 of 100 random pairs are 99.6 % orthogonal: |cos| at most 0.004",
    statement=r"P(|\langle x,y\rangle|\le0.004)\ge0.99,\qquad x,y\text{ uniform on }S^{d-1}",
    source=SUPERPOSITION,
    relation="<=",
    hypotheses="d from 1000 to 10000",
    expect=REFUTED,
    twin="sines of at least 0.996",
    instances=20,
    witness={"d": 1000},
)
def random_pairs(case: Case) -> Outcome:
    """False: a tenth of all pairs in 1000 dimensions, by the exact measure of the cap, and a third in 10,000. A typical
    |cos| is 1/√d, which is 0.03 in 1000 dimensions; a sine of 0.996 allows 0.089.
    """
    d = case.integer("d", 1000, 10000)
    low, high = packings.cap_measure(d, READINGS[case.wrong("|cos| <= 0.004", "sin >= 0.996")]())
    at_least, wanted = 1 - high, Fraction(99, 100)
    return exactly(True if at_least >= wanted else False if 1 - low < wanted else None, share=float(at_least))
