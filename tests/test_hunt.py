"""Counterexamples too rare for sampling: found by climbing, shrunk to simple numbers, the same each time."""

import math
from dataclasses import dataclass

import numpy as np
import pytest
from test_ledger import make

import srr
from verify import counterexample, examine, hunt
from verify.arrays import Arrays
from verify.case import Case, Replay, StaleWitness, Vary
from verify.climb import Found, climbed, simpler_tokens
from verify.descent import check_descent
from verify.ledger import HOLDS, HOLDS_UNDER, REFUTED
from verify.outcome import at_most, decided, exactly
from verify.results import Settings
from verify.witness import replay

QUICK = Settings()
DIRECTION = np.array([0.62, -0.31, 0.17, 0.55])


# --- claims that are false on a set that no sample meets ---------------------------------------------------------


def in_a_spot(case):
    """False within 0.003 of (0.3, 0.7): three instances in 100 000."""
    a, b = case.uniform("a", 0, 1), case.uniform("b", 0, 1)
    return at_most(case.wrong(1e-5, 2.0), (a - 0.3) ** 2 + (b - 0.7) ** 2, size=1, scale=1.0)


def along_a_line(case):
    """False for single tokens within 1.3 degrees of a direction in four dimensions."""
    m = case.mixture(n=1, d=4, K=1, p=1, noise=(0.1, 1.0), scale=1.0, eps=1.0)
    return at_most(case.wrong(5e-4, 2.0), _away(np.asarray(m.Z)[0], DIRECTION), size=1, scale=1.0)


def beyond_a_scale(case):
    """False for 10^-4 of the scales, and decided with proof."""
    scale = case.log_uniform("scale", 1.0, 10.0)
    gap = abs(math.log(scale) - 1.2345) - 1e-4 * math.log(10)
    return decided(Enclosed(case.wrong(-gap, 1.0)))


@dataclass(frozen=True)
class Enclosed:
    lower: float

    @property
    def upper(self):
        return self.lower

    @property
    def sign(self):
        return (self.lower > 0) - (self.lower < 0)


def _away(token, direction):
    """1 − cos² of the angle between them."""
    return 1 - float(token @ direction) ** 2 / float(token @ token) / float(direction @ direction)


RARE = [in_a_spot, along_a_line, beyond_a_scale]


@pytest.mark.parametrize("check", RARE)
def test_what_no_sample_shows_is_found_by_the_hunt_and_by_nothing_else(check, monkeypatch):
    claim = make(check, instances=200)
    found = examine.examine(claim, QUICK)
    assert found.verdict == REFUTED
    assert found.counts.failed == 1
    assert "no sample fails" in found.message
    assert replay(claim, found.witness.params, Arrays()).failed
    monkeypatch.setattr(examine, "HUNT", 0)
    assert examine.examine(claim, QUICK).verdict == HOLDS


def test_what_is_found_comes_down_to_simple_numbers():
    assert examine.examine(make(in_a_spot), QUICK).witness.params == {"a": 0.3, "b": 0.7}
    params = examine.examine(make(along_a_line), QUICK).witness.params
    (token,) = params["Z"]
    assert all(float(f"{x:.2g}") == x for x in token)
    assert _away(np.array(token), DIRECTION) < 5e-4


@pytest.mark.parametrize("check", RARE)
def test_a_hunt_is_the_same_each_time(check):
    first, second = (examine.examine(make(check), QUICK) for _ in range(2))
    assert first == second


def test_neither_of_its_two_halves_would_do(monkeypatch):
    claim = make(along_a_line, instances=200)
    trials, _ = examine._sample(claim, QUICK)
    options = {"refutes": lambda trial: trial.failed, "budget": 120}
    assert hunt.hunt(claim, Arrays(), trials, **options) is not None
    monkeypatch.setattr(hunt, "climbed", lambda *_, **__: None)
    assert hunt.hunt(claim, Arrays(), trials, **options) is None


def test_a_hunt_keeps_to_its_budget():
    calls = []

    def check(case):
        calls.append(1)
        return at_most(case.wrong(-1.0, 2.0) - case.uniform("a", 0, 1) ** 2, 0.0, size=1, scale=1.0)

    claim = make(check)
    trials, _ = examine._sample(claim, QUICK)
    for budget in (3, 30, 100):
        calls.clear()
        assert hunt.hunt(claim, Arrays(), trials, refutes=lambda t: t.failed, budget=budget) is None
        assert len(calls) <= budget + 3  # and a look at each start


def test_only_the_inside_of_a_condition_is_hunted_in():
    def check(case):
        x = case.uniform("x", 0, 1)
        case.condition("x", x, 0.5)
        return at_most(case.wrong(x, 2.0), 0.6, size=1, scale=1.0)

    found = examine.examine(make(check, HOLDS_UNDER), QUICK)
    assert found.verdict == HOLDS_UNDER
    assert found.message == ""


def test_errors_and_rejected_instances_are_no_counterexamples():
    def check(case):
        x = case.uniform("x", 0, 1)
        case.assume(x < 0.95)
        if x > 0.9:
            raise ZeroDivisionError
        return at_most(case.wrong(x, 2.0), 0.99, size=1, scale=1.0)

    claim = make(check)
    trials = [t for t in (_tried(claim, x) for x in np.linspace(0.1, 0.8, 8)) if t is not None]
    assert hunt.hunt(claim, Arrays(), trials, refutes=lambda t: t.failed, budget=200) is None


def _tried(claim, x):
    return replay(claim, {"x": float(x)}, Arrays())


def test_a_check_that_says_only_yes_or_no_is_hunted_by_drawing():
    found = examine.examine(make(lambda case: exactly(case.integer("x", 0, 10**6) != 0 and not case.twin)), QUICK)
    assert found.verdict == REFUTED  # hypothesis tries the ends of a range


# --- records with other entries ---------------------------------------------------------------------------------


def drawn(driver):
    case = Case(driver)
    m = case.mixture(n=2, d=3, K=1, p=1, noise=(0.1, 1.0), scale=2.0, eps=(0.1, 10.0))
    return case, m


RECORD = {
    "coherence": "orthogonal",
    **{"K": 1, "p": 1, "d": 3, "n": 2, "eps": 1.0, "scale": 2.0, "noise": 0.5, "seed": 7},
}


def test_a_record_may_hold_the_tokens_themselves():
    rows = [[1.0, 0.0, 2.0], [0.0, 0.5, 0.0]]
    case, m = drawn(Replay({**RECORD, "Z": rows}))
    assert m.Z.tolist() == (2 * np.array(rows)).tolist()
    assert case.params == {**RECORD, "Z": rows}
    plain = drawn(Replay(RECORD))[0]
    assert "Z" not in plain.params
    assert plain.complexity < case.complexity


@pytest.mark.parametrize("Z", [[[1.0, 2.0, 3.0]], [[1.0], [2.0]], "tokens", [[1.0, 2.0, math.nan]] * 2, [[1.0], 2.0]])
def test_tokens_of_another_shape_are_stale(Z):
    with pytest.raises(StaleWitness, match=r"Z must be numbers of shape \(2, 3\)"):
        drawn(Replay({**RECORD, "Z": Z}))


def test_tokens_without_noise_are_not_replaced():
    driver = Replay({**RECORD, "noise": 0.0, "Z": [[1.0] * 3] * 2})
    Case(driver).mixture(n=2, d=3, K=1, p=1, noise=0.0, scale=2.0, eps=(0.1, 10.0))
    with pytest.raises(StaleWitness, match="the record names Z"):
        driver.require_all_used()


def test_numbers_are_moved_within_their_ranges_and_entries_anywhere():
    still = Vary(RECORD)
    case, m = drawn(still)
    assert len(still.start) == 3 + 6
    assert still.start[:3] == pytest.approx([0.5, 0.0, 4 / 9])  # eps, scale (of one value), noise
    assert case.params == RECORD
    same, there = drawn(Vary(RECORD, still.start))
    assert np.allclose(there.Z, m.Z)
    assert same.params["eps"] == pytest.approx(1.0)
    moved, other = drawn(Vary(RECORD, [9.0, 9.0, -1.0, *range(6)]))
    assert (moved.params["eps"], moved.params["noise"]) == (10.0, 0.1)
    assert other.Z.ravel().tolist() == [2.0 * x for x in range(6)]
    assert drawn(Replay(moved.params))[1].Z.tolist() == other.Z.tolist()


# --- climbing and coming down -----------------------------------------------------------------------------------


def reached(height, above):
    calls = []

    def at(point):
        calls.append(point)
        if (value := height(point)) > above:
            raise Found(point)
        return value

    return at, calls


@pytest.mark.parametrize(
    ("height", "budget"),
    [
        (lambda x: -float(np.sum((x - 0.3) ** 2)), 60),
        (lambda x: -float(np.sum(np.abs(x - 0.3))), 400),  # not smooth
        (lambda x: -float(np.sum((x - 0.3) ** 2)) if x[0] < 0.31 else -np.inf, 400),  # a wall beside the top
    ],
)
def test_a_climb_reaches_the_top(height, budget):
    at, calls = reached(height, -1e-3)
    assert climbed(at, np.array([-1.0, 2.0, 0.5]), budget=budget) == pytest.approx([0.3] * 3, abs=0.04)
    assert len(calls) <= budget


def test_a_climb_stops_when_its_budget_is_spent():
    for budget in (0, 1, 7, 50):
        at, calls = reached(lambda x: -float(np.sum(x**2)), 1.0)
        assert climbed(at, np.array([-1.0, 2.0]), budget=budget) is None
        assert len(calls) == budget
    assert climbed(at, np.array([]), budget=9) is None


def test_tokens_are_simplified_row_by_row_then_entry_by_entry():
    tried = list(simpler_tokens([[1.234, -2.0], [0.0, 5.0]]))
    assert tried[:2] == [[[0.0, 5.0]], [[1.234, -2.0]]]
    assert tried[2] == [[1.0, -2.0], [0.0, 5.0]]
    assert [[1.2, -2.0], [0.0, 5.0]] in tried
    assert [[1.234, 0.0], [0.0, 5.0]] in tried
    assert [[1.234, -2.0], [0.0, 5.0]] not in tried
    assert len(list(simpler_tokens([[1.0]]))) < len(tried)


# --- layers that rise on a thin set -----------------------------------------------------------------------------

MIXTURE = srr.mixtures.sample(n=12, d=6, K=2, p=2, noise=0.1, seed=0)
OBJECTIVE = srr.SparseRateReduction(MIXTURE.U, eps=0.5, lam=0.1)
THIN = np.array([0.62, -0.31, 0.17, 0.55, -0.29, 0.33])


@dataclass(frozen=True, eq=False)
class Thin(srr.Layer):
    """Halves all tokens but those whose sum lies within 4 degrees of one direction, which it lengthens."""

    width: float = 0.02

    def compress(self, Z):
        away = _away(Z.sum(axis=0), THIN) if np.any(Z.sum(axis=0)) else 1.0
        return Z * (0.5 + 0.6 / (1 + away / self.width))

    def sparsify(self, Z):
        return Z


def test_a_layer_that_rises_on_a_thin_set_is_refuted_with_one_simple_token(monkeypatch):
    draws = [MIXTURE.draws(100)]
    found = check_descent(Thin(), OBJECTIVE, draws[0]).parts[0]
    assert found.verdict == REFUTED
    assert found.counts["fell"] == 100
    assert found.witness.tokens.shape == (1, 6)
    assert all(float(f"{x:.2g}") == x for x in found.witness.tokens.ravel())
    assert _away(found.witness.tokens[0], THIN) < 0.2 * 0.02
    assert found.witness.judgement.decision.lower > 0
    monkeypatch.setattr(counterexample, "climbed", lambda *_, **__: None)
    assert check_descent(Thin(), OBJECTIVE, MIXTURE.draws(100)).parts[0].verdict == HOLDS


def test_a_layer_that_never_rises_is_not_refuted_by_climbing():
    draws = list(MIXTURE.draws(5))
    layer = srr.layers.descent(MIXTURE.U, eps=0.5, lam=0.1)
    assert check_descent(layer, OBJECTIVE, draws, budget=100).verdict == HOLDS
