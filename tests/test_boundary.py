"""The edge of a claim that holds under a condition: bisected along one parameter, from both sides, and replayable."""

import pytest
from test_ledger import make
from test_report import Page

import verify.boundary
from verify.arrays import Arrays
from verify.case import Rejected
from verify.examine import examine
from verify.ledger import HOLDS_UNDER
from verify.outcome import exactly
from verify.report import render
from verify.results import Run, Settings, from_json, to_json
from verify.witness import replay

QUICK = Settings()


def step(case, *, along="step", edge=2.5, blind=0.0):
    """Holds for steps up to ``edge``, whatever n; nothing is to be seen within ``blind`` of it."""
    n, value = case.integer("n", 1, 9), case.log_uniform("step", 0.1, 10.0)
    case.condition("step", value, 2.0, along=along)
    if abs(value - edge) < blind:
        raise Rejected
    return exactly(case.wrong(n > 0 and value <= edge, False))


def pair_of(check, **options):
    claim = make(check, HOLDS_UNDER, **options)
    found = examine(claim, QUICK)
    assert found.verdict == HOLDS_UNDER, found.message
    return claim, found


def test_the_edge_is_bisected_to_a_millionth_from_both_sides():
    claim, found = pair_of(step)
    pair = found.boundary.pair
    assert pair.along == "step"
    assert pair.held.value <= 2.5 < pair.failed.value <= 2.5 * (1 + 2e-6)
    assert pair.held.value > 2.5 * (1 - 2e-6)
    assert pair.held.certified
    assert pair.failed.certified
    assert {k: v for k, v in pair.held.params.items() if k != "step"} == {
        k: v for k, v in pair.failed.params.items() if k != "step"
    }
    for side, holds in ((pair.held, True), (pair.failed, False)):
        again = replay(claim, side.params, Arrays())
        assert again.outcome.holds is holds
        assert again.where.value == side.value


def test_what_nothing_can_be_seen_of_lies_between_the_sides():
    pair = pair_of(lambda case: step(case, blind=0.01))[1].boundary.pair
    assert 2.5 - 0.01 - 1e-5 < pair.held.value <= 2.5 - 0.01
    assert 2.5 + 0.01 <= pair.failed.value < 2.5 + 0.01 + 1e-5


def test_whole_numbers_end_side_by_side():
    def check(case):
        n = case.integer("n", 1, 100)
        case.condition("n", n, 50, along="n")
        return exactly(case.wrong(n < 63, False))

    pair = pair_of(check)[1].boundary.pair
    assert (pair.held.value, pair.failed.value) == (62, 63)


def test_the_failure_nearest_to_the_condition_is_reported():
    def check(case):
        n = case.choice("n", (1, 2, 3))
        value = case.uniform("step", 0.0, 10.0)
        case.condition("step", value, 2.0, along="step")
        return exactly(case.wrong(value <= 2 + n, False))

    assert pair_of(check, instances=200)[1].boundary.pair.failed.value == pytest.approx(3, rel=1e-5)


def test_the_stored_counterexample_is_a_start_too():
    def check(case):  # a thin layer of instances that fail much nearer to the condition than any sample
        n, value = case.integer("n", 1, 10**6), case.log_uniform("step", 0.1, 10.0)
        case.condition("step", value, 2.0, along="step")
        return exactly(case.wrong(value <= (2.01 if n == 77 else 5.0), False))

    pair = pair_of(check, witness={"n": 77, "step": 2.02})[1].boundary.pair
    assert pair.failed.value == pytest.approx(2.01, rel=1e-5)


def test_a_certified_side_is_preferred(monkeypatch):
    pair = pair_of(lambda case: step(case))[1].boundary.pair
    assert pair.failed.certified
    monkeypatch.setattr(verify.boundary, "WIDTH", 0.1)
    coarse = pair_of(lambda case: step(case))[1].boundary.pair
    assert coarse.failed.value > pair.failed.value


def test_a_condition_along_nothing_has_no_pair():
    found = pair_of(lambda case: step(case, along=""))[1]
    assert found.boundary.pair is None
    assert found.boundary.failed_from > 2.5


def test_a_condition_along_what_is_not_drawn_is_an_error():
    found = examine(make(lambda case: step(case, along="length"), HOLDS_UNDER), QUICK)
    assert "along must name a number that was drawn, got 'length'" in found.message


def test_a_pair_is_in_results_page_and_figure():
    claim, found = pair_of(step)
    run = Run(QUICK, (found,))
    assert from_json(to_json(run)) == run
    text = Page(render([claim], run)).text
    assert "Bisected along step, all else equal: holds at step = 2.49999" in text
    assert "certified), fails at 2.50000" in text
    (strip,) = found.figures
    assert strip.edges[0] == ("condition: below 2", 2.0)
    assert strip.edges[1][1] == found.boundary.pair.failed.value
