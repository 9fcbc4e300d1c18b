"""Counterexamples: as simple as a bounded search can make them, the same each time, and nothing left behind."""

import os
import subprocess
import sys

import pytest
from test_ledger import make

from verify.arrays import Arrays
from verify.case import Replay
from verify.outcome import exactly
from verify.witness import _simplify, attempt, smallest


def simplified(check, budget=1000, **params):
    claim = make(check)
    start = attempt(claim, Replay(params), Arrays())
    assert start.failed
    best = _simplify(claim, Arrays(), start, refutes=lambda t: t.failed, budget=budget)
    assert best.failed
    return best.params


@pytest.mark.parametrize(
    ("least", "start", "simplest"),
    [(0, 777, 0), (1, 1, 1), (3, 777, 3), (7, 8, 7), (8, 9, 8), (100, 800, 100), (100, 250, 100)],
)
def test_whole_numbers_come_down_to_the_least_that_refutes(least, start, simplest):
    assert simplified(lambda c: exactly(c.integer("x", 0, 1000) < least), x=start) == {"x": simplest}


def test_a_number_is_halved_before_it_is_counted_down():
    calls = []

    def check(case):
        calls.append(case.integer("x", 0, 2**31))
        return exactly(calls[-1] < 1000)

    assert simplified(check, x=1000 * 2**20) == {"x": 1000}
    assert len(calls) < 400


@pytest.mark.parametrize(
    ("lo", "hi", "start", "simplest"),
    [
        (0.2, 1.0, 0.3456789, 1.0),
        (0.05, 0.2, 0.15678, 0.1),
        (0.28, 0.32, 0.3156789, 0.3),
        (0.3, 0.36, 0.3456789, 0.35),
        (0.3451, 0.3462, 0.3456789, 0.346),
        (0.34567, 0.34568, 0.3456789, 0.3456789),
    ],
)
def test_real_numbers_lose_the_digits_that_are_not_needed(lo, hi, start, simplest):
    def check(case):
        return exactly(not lo < case.uniform("y", 0.0, 1.0) <= hi)

    assert simplified(check, y=start) == {"y": simplest}


def test_each_parameter_is_simplified_and_what_hangs_together_stays_so():
    def check(case):
        n, m = case.integer("n", 1, 50), case.integer("m", 1, 50)
        return exactly(n <= m or case.choice("kind", ("a", "b")) == "b")

    assert simplified(check, n=40, m=20, kind="a") == {"n": 2, "m": 1, "kind": "a"}


def test_what_is_out_of_range_or_outside_the_hypotheses_is_passed_over():
    def check(case):
        case.assume(case.integer("x", 5, 1000) != 6)
        return exactly(case.params["x"] < 6)

    assert simplified(check, x=600) == {"x": 7}


def test_a_parameter_that_is_no_longer_drawn_disappears():
    def check(case):
        if case.integer("n", 0, 9) > 2:
            case.integer("m", 0, 9)
        return exactly(False)

    assert simplified(check, n=5, m=7) == {"n": 0}


def test_simplification_stops_when_its_budget_is_spent():
    def check(case):
        return exactly(case.integer("x", 0, 2**31) < 1000)

    # Eight small numbers are tried in vain before each halving.
    assert simplified(check, budget=0, x=1000 * 2**20) == {"x": 1000 * 2**20}
    assert simplified(check, budget=8, x=1000 * 2**20) == {"x": 1000 * 2**20}
    assert simplified(check, budget=9, x=1000 * 2**20) == {"x": 1000 * 2**19}
    assert simplified(check, budget=18, x=1000 * 2**20) == {"x": 1000 * 2**18}


def test_a_search_spends_at_most_its_budget_and_as_much_again_on_simplifying():
    calls = []

    def check(case):
        calls.append(1)
        a, b = case.integer("a", 0, 10**6), case.integer("b", 0, 10**6)
        return exactly(a + b < 12345)

    claim = make(check)
    start = attempt(claim, Replay({"a": 10**6, "b": 10**6}), Arrays())
    for budget in (1, 7, 20):
        calls.clear()
        best, _ = smallest(claim, Arrays(), refutes=lambda t: t.failed, budget=budget, start=start)
        assert best.failed
        assert len(calls) == 2 * budget  # neither is done by then


def test_an_error_in_a_search_is_not_a_counterexample():
    def check(case):
        x = case.integer("x", 0, 100)
        if x < 50:
            raise ZeroDivisionError
        return exactly(x < 60)

    claim = make(check)
    start = attempt(claim, Replay({"x": 99}), Arrays())
    best, origin = smallest(claim, Arrays(), refutes=lambda t: t.failed, budget=300, start=start)
    assert (best.params, origin) == ({"x": 60}, "search")


def test_a_sample_that_is_as_simple_as_can_be_stays_a_sample():
    claim = make(lambda case: exactly(case.integer("x", 0, 100) < 60))
    start = attempt(claim, Replay({"x": 60}), Arrays())
    best, origin = smallest(claim, Arrays(), refutes=lambda t: t.failed, budget=100, start=start)
    assert best is start
    assert origin == "sample"


def test_only_what_refutes_is_a_counterexample():
    claim = make(lambda case: exactly(case.integer("x", 0, 100) < 20))
    start = attempt(claim, Replay({"x": 99}), Arrays())
    best, _ = smallest(claim, Arrays(), refutes=lambda t: t.params["x"] > 70, budget=200, start=start)
    assert best.params == {"x": 71}


def test_a_check_must_return_an_outcome():
    with pytest.raises(TypeError, match="must return an Outcome, got bool"):
        attempt(make(lambda case: True), Replay({}), Arrays())


SEARCH = """
import sys
{preload}
import verify.claims._template as template
from verify.arrays import Arrays
from verify.case import Case, Replay, Search
from verify.ledger import REFUTED, claim
from verify.outcome import exactly
from verify.witness import attempt, smallest

drawn = []

def check(case):
    drawn.append((case.integer("n", 1, 10**6), case.integer("m", -10**6, 10**6), case.log_uniform("y", 1e-3, 1e3)))
    return exactly(drawn[-1][0] * drawn[-1][2] < 123)

texts = dict(title="t", statement="s", source="s", relation="=", hypotheses="h", twin="t", expect=REFUTED)
c = claim("a.b", **texts)(check)
start = attempt(c, Replay(dict(n=10**6, m=1, y=999.0)), Arrays())
smallest(c, Arrays(), refutes=lambda t: False, budget=400, start=start)  # so that it goes on drawing
print(drawn)
"""


def test_a_search_is_the_same_whatever_is_imported_and_leaves_nothing_behind(tmp_path):
    # Hypothesis alone would try numbers that it finds in the source of imported modules, and store them.
    (tmp_path / "code").mkdir()
    (tmp_path / "code" / "local.py").write_text(f"NUMBERS = {[k * 1009 for k in range(1, 300)]}\n")
    (tmp_path / "here").mkdir()
    outputs = []
    for preload in ("", "import local", "import verify.runner, verify.report"):
        done = subprocess.run(
            [sys.executable, "-c", SEARCH.format(preload=preload)],
            capture_output=True,
            text=True,
            cwd=tmp_path / "here",
            env={**os.environ, "PYTHONPATH": os.pathsep.join([str(tmp_path / "code"), *sys.path])},
        )
        assert done.returncode == 0, done.stderr
        outputs.append(done.stdout)
    assert outputs[0] == outputs[1] == outputs[2]
    assert len(outputs[0]) > 1000
    assert list((tmp_path / "here").iterdir()) == []
