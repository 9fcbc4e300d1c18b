"""What an instance says: the normalised residual and its threshold, certified signs, several at once."""

import math
from types import SimpleNamespace

import numpy as np
import pytest

from verify.outcome import Outcome, all_of, at_most, decided, equal, exactly

U64, U32 = 2.0**-53, 2.0**-24


@pytest.mark.parametrize(("dtype", "u"), [("float64", U64), ("float32", U32)])
def test_equal_is_lapacks_ratio_with_threshold_30(dtype, u):
    a = np.ones((2, 3), dtype=dtype)
    b = a.copy()
    b[1, 2] += 64 * u
    outcome = equal(a, b, size=2, scale=4.0)
    assert outcome.ratio == pytest.approx(64 / (30 * 2 * 4), rel=1e-12)
    assert outcome.holds is True
    assert not outcome.certified
    assert equal(a, b, size=1, scale=1.0).holds is False
    assert equal(b, a, size=1, scale=1.0).ratio == equal(a, b, size=1, scale=1.0).ratio


def test_equal_holds_up_to_the_threshold_and_no_further():
    assert equal(1.0, 1.0 + 60 * U64, size=2, scale=1.0).ratio == 1.0
    assert equal(1.0, 1.0 + 60 * U64, size=2, scale=1.0).holds is True
    assert equal(1.0, 1.0 + 62 * U64, size=2, scale=1.0).holds is False


def test_the_coarser_dtype_of_the_two_counts():
    assert equal(np.float32(1), 1.0 + 20 * U32, size=1, scale=1.0).holds is True
    assert equal(1.0, 1.0 + 20 * U32, size=1, scale=1.0).holds is False


def test_scale_may_be_an_array():
    a, b = np.array([0.0, 0.0]), np.array([0.0, 100 * U64])
    assert equal(a, b, size=1, scale=np.array([1.0, 1.0])).holds is False
    assert equal(a, b, size=1, scale=np.array([1.0, 4.0])).holds is True
    assert equal(a, b, size=1, scale=np.array([4.0, 1.0])).holds is False


def test_nothing_is_allowed_where_there_are_no_terms():
    assert equal(0.0, 0.0, size=1, scale=0.0).ratio == 0.0
    tiny = equal(0.0, 5e-324, size=1, scale=0.0)
    assert tiny.holds is False
    assert tiny.ratio == math.inf


def test_at_most_is_one_sided():
    assert at_most(1.0, 2.0, size=1, scale=1.0) == Outcome(holds=True, ratio=0.0)
    assert at_most(2.0, 1.0, size=1, scale=1.0).holds is False
    assert at_most(1.0 + 20 * U64, 1.0, size=1, scale=1.0).ratio == pytest.approx(2 / 3)


@pytest.mark.parametrize("relation", [equal, at_most])
def test_nan_never_holds(relation):
    for a, b in [(math.nan, 0.0), (0.0, math.nan), (math.inf, math.inf)]:
        outcome = relation(a, b, size=1, scale=1.0)
        assert outcome.holds is False
        assert math.isnan(outcome.ratio)


def test_shapes_are_not_broadcast_but_a_number_stands_for_all():
    with pytest.raises(ValueError, match=r"one shape, got \(2, 1\) and \(2,\)"):
        equal(np.ones((2, 1)), np.ones(2), size=1, scale=1.0)
    with pytest.raises(ValueError, match="one shape"):
        at_most(np.ones((2, 1)), np.ones(2), size=1, scale=1.0)
    assert equal(np.ones(3), 1.0, size=1, scale=1.0).holds is True


@pytest.mark.parametrize(("size", "scale"), [(0, 1.0), (1, math.nan), (1, math.inf), (1, -1.0)])
def test_a_tolerance_that_is_none_is_refused(size, scale):
    with pytest.raises(ValueError, match="size must be >= 1 and scale finite and >= 0"):
        equal(1.0, 1.0, size=size, scale=scale)


def test_data_is_kept():
    assert equal(1.0, 1.0, size=1, scale=1.0, x=3).data == {"x": 3}
    assert at_most(1.0, 1.0, size=1, scale=1.0, y=4).data == {"y": 4}
    assert exactly(True, z=5).data == {"z": 5}


@pytest.mark.parametrize(
    ("relation", "holds"),
    [
        ("<=", {-1: True, 0: True, 1: False}),
        ("<", {-1: True, 0: False, 1: False}),
        ("==", {-1: False, 0: True, 1: False}),
        (">=", {-1: False, 0: True, 1: True}),
        (">", {-1: False, 0: False, 1: True}),
    ],
)
def test_decided_puts_a_sign_against_zero(relation, holds):
    for sign, expected in holds.items():
        outcome = decided(sign, relation)
        assert outcome.holds is expected
        assert outcome.certified
        assert outcome.ratio is None


def test_decided_takes_a_decision_and_shows_its_enclosure():
    outcome = decided(SimpleNamespace(sign=-1, lower=-2.0, upper=-1.0), data=7)
    assert outcome == Outcome(True, None, True, {"difference at least": -2.0, "difference at most": -1.0, "data": 7})


def test_decided_without_a_sign_is_undecided_and_not_certified():
    outcome = decided(SimpleNamespace(sign=None, lower=-1.0, upper=1.0))
    assert outcome.holds is None
    assert not outcome.certified


def test_decided_refuses_what_is_no_sign_or_relation():
    with pytest.raises(ValueError, match="sign -1, 0, 1 or None, got 2"):
        decided(2)
    with pytest.raises(ValueError, match="relation must be one of <=, <, ==, >=, >, got 'lt'"):
        decided(1, "lt")


def test_exactly_is_certified_unless_undecided():
    assert exactly(True) == Outcome(True, None, True)
    assert exactly(np.False_) == Outcome(False, None, True)
    assert exactly(None) == Outcome(None, None, False)


def test_all_of_is_as_weak_as_its_weakest_part():
    held, failed, unknown = exactly(True), exactly(False), exactly(None)
    rounded = Outcome(True, 0.5)
    assert all_of(held, held).holds is True
    assert all_of(held, unknown).holds is None
    assert all_of(unknown, failed).holds is False
    assert all_of(held, held).certified
    assert not all_of(held, rounded).certified
    assert all_of(rounded, failed).certified
    assert not all_of(held, Outcome(False, 2.0)).certified
    assert all_of(failed, Outcome(False, 2.0)).certified
    assert all_of(rounded, Outcome(True, 0.75), held).ratio == 0.75
    assert math.isnan(all_of(rounded, Outcome(False, math.nan)).ratio)
    assert all_of(held, held).ratio is None
    assert all_of(exactly(True, a=1), exactly(True, b=2)).data == {"a": 1, "b": 2}
    with pytest.raises(ValueError, match="at least one"):
        all_of()


def test_an_outcome_is_no_truth_value():
    with pytest.raises(TypeError, match=r"read \.holds"):
        assert exactly(True)
