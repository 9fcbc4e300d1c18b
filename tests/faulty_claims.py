"""Claims that behave and claims that do not, for the tests of the ledger; not part of it."""

import os
import time

from verify.ledger import HOLDS, HOLDS_UNDER, REFUTED, UNDECIDED, claim
from verify.outcome import Outcome, exactly


def faulty(slug, expect=HOLDS, **options):
    texts = {
        "title": f"A claim that is {slug} & <more>",
        "statement": r"x^2 \ge 0",
        "source": "the tests",
        "relation": "<=",
        "hypotheses": "x from 1 to 100",
        "twin": "the opposite",
    }
    return claim(f"faulty.{slug}", expect=expect, instances=40, **{**texts, **options})


def number(case):
    return case.integer("x", 1, 100)


@faulty("true")
def true(case):
    """x > 0."""
    x = number(case)
    return exactly(case.wrong(x > 0, x < 0))


@faulty("rounded", uses=("faulty.true",))
def rounded(case):
    x = number(case)
    return Outcome(holds=case.wrong(True, False), ratio=x / 100)


@faulty("false", REFUTED)
def false(case):
    """Some numbers are larger than 50."""
    x = number(case)
    return exactly(case.wrong(x <= 50, True), x=x)


@faulty("conditional", HOLDS_UNDER)
def conditional(case):
    x = number(case)
    case.condition("x", x, 50)
    return exactly(case.wrong(x < 60, x < 40))


@faulty("undecided", UNDECIDED)
def undecided(case):
    x = number(case)
    return exactly(case.wrong(None if x > 90 else True, False))


@faulty("picky")
def picky(case):
    x = number(case)
    case.assume(x > 50)
    return exactly(case.wrong(x > 50, False))


@faulty("wishful")
def wishful(case):
    """Expected to hold, and does not."""
    x = number(case)
    return exactly(case.wrong(x <= 50, x < 0))


@faulty("raises")
def raises(case):
    x = number(case)
    if x > 3:
        raise ZeroDivisionError("of course\nit does \x00 <here>")
    return exactly(case.wrong(True, False))


@faulty("rejects")
def rejects(case):
    case.assume(False)
    return exactly(True)


@faulty("lenient")
def lenient(case):
    """Its twin holds as well: the check cannot fail."""
    number(case)
    return exactly(True)


@faulty("hangs")
def hangs(case):
    number(case)
    time.sleep(3600)
    return exactly(True)


@faulty("dies")
def dies(case):
    number(case)
    os._exit(3)


@faulty("infinite", REFUTED)
def infinite(case):
    number(case)
    ratio = case.wrong(float("inf"), 0.5)
    return Outcome(holds=ratio <= 1, ratio=ratio, data={"nan": float("nan"), "<b>": "&"})
