"""From instances to verdicts: each verdict, each way a check can be worthless, the shape of the ledger."""

import math
import re
from dataclasses import replace
from pathlib import Path

import pytest
from sabotage import sabotaged

from derivations import catalogue
from derivations.checks import AtSizes, Explicit
from derivations.page import with_uses
from verify import claims
from verify.arrays import Arrays
from verify.case import Case, Condition, Replay, StaleWitness
from verify.examine import ATTEMPTS, boundary, examine, proves
from verify.ledger import ERROR, HOLDS, HOLDS_UNDER, REFUTED, UNDECIDED, Evidence, Ledger, by_origin, claim
from verify.outcome import Outcome, exactly
from verify.results import Counts, Settings
from verify.witness import Trial, replay

QUICK = Settings()


def make(check, expect=HOLDS, slug="test.claim", **options):
    texts = {
        "title": "title",
        "statement": "x",
        "source": "source",
        "relation": "<=",
        "hypotheses": "hypotheses",
        "twin": "the twin",
        "instances": 40,
    }
    return claim(slug, expect=expect, **{**texts, **options})(check)


def x(case, hi=100):
    return case.integer("x", 1, hi)


# --- verdicts --------------------------------------------------------------------------------------------


def test_holds_when_every_instance_holds():
    result = examine(make(lambda case: exactly(case.wrong(x(case) > 0, False))), QUICK)
    assert result.verdict == HOLDS
    assert result.as_expected
    assert result.evidence == Evidence.CERTIFIED
    assert result.counts == Counts(held=40)
    assert result.witness is None
    assert result.failure_bound == 3 / 40
    assert result.twin.verdict == result.twin.required == REFUTED
    assert result.twin.counts == Counts(failed=1)  # one counterexample is enough


def test_the_full_tier_takes_twenty_times_as_many():
    result = examine(make(lambda case: exactly(case.wrong(x(case) > 0, False))), Settings(tier="full"))
    assert result.counts == Counts(held=800)


def test_jax_takes_a_tenth_of_them():
    c = make(lambda case: exactly(case.wrong(x(case) > 0, False)), instances=41)
    assert examine(c, Settings(arrays=Arrays("jax"))).counts == Counts(held=5)
    assert examine(c, Settings(arrays=Arrays("torch"))).counts == Counts(held=41)


def test_a_twin_that_must_fail_is_tried_as_often_with_jax_as_anywhere():
    c = make(lambda case: exactly(case.wrong(True, x(case) != 7)), instances=400)
    result = examine(c, Settings(arrays=Arrays("jax")))
    assert result.counts == Counts(held=40)
    assert result.twin.verdict == REFUTED
    assert result.twin.counts.held > 40


def test_one_instance_in_floating_point_makes_the_evidence_checked():
    result = examine(make(lambda case: Outcome(case.wrong(True, False), 0.5, x(case) != 7), instances=400), QUICK)
    assert result.verdict == HOLDS
    assert result.evidence == Evidence.CHECKED


def test_the_worst_ratio_is_the_largest_and_nan_wins():
    result = examine(make(lambda case: Outcome(case.wrong(True, False), x(case, 3) / 4)), QUICK)
    assert result.worst_ratio == 0.75
    nan = examine(make(lambda case: Outcome(False, math.nan if x(case, 2) == 1 else 2.0), REFUTED), QUICK)
    assert math.isnan(nan.worst_ratio)


def test_refuted_when_one_instance_fails_with_the_simplest_counterexample():
    def check(case):
        return exactly(case.wrong(x(case, 10**6) <= 500_000, True), data="shown")

    result = examine(make(check, REFUTED), QUICK)
    assert result.verdict == REFUTED
    assert result.as_expected
    assert result.evidence == Evidence.CERTIFIED
    assert 0 < result.counts.failed < 40
    assert result.witness.params == {"x": 500_001}
    assert result.witness.origin == "search"
    assert result.witness.data == {"data": "shown"}
    assert result.failure_bound is None
    assert result.twin.required == result.twin.verdict == HOLDS
    assert result.twin.counts == Counts(held=40)


def test_a_rare_counterexample_is_kept_and_simplified_even_if_no_search_finds_it():
    def check(case):
        seed, y = case.seed(), case.uniform("y", 0, 1)
        return exactly(case.wrong(seed % 41 != 3 or y < 0.25, True))

    result = examine(make(check, REFUTED, instances=400), QUICK)
    assert result.verdict == REFUTED
    assert result.witness.params["seed"] % 41 == 3
    assert result.witness.params["y"] in (1.0, 0.5)


def test_a_certified_counterexample_is_preferred_to_a_simpler_one():
    def check(case):
        return Outcome(case.wrong(x(case) <= 10, True), 2.0, certified=case.params["x"] > 60)

    result = examine(make(check, REFUTED), QUICK)
    assert result.witness.params == {"x": 61}
    assert result.witness.certified
    assert result.evidence == Evidence.CERTIFIED


def test_an_uncertified_counterexample_is_checked_evidence():
    result = examine(make(lambda case: Outcome(case.wrong(x(case) <= 10, True), 2.0), REFUTED), QUICK)
    assert result.evidence == Evidence.CHECKED
    assert not result.witness.certified


def test_a_search_is_made_with_numpy_and_confirmed_with_the_library_of_the_run():
    seen = []

    def check(case):
        seen.append(case.arrays)
        return exactly(case.wrong(x(case, 10**6) <= 500_000, True))

    torch32 = Arrays("torch", "float32")
    result = examine(make(check, REFUTED), Settings(arrays=torch32))
    assert result.witness.params == {"x": 500_001}
    assert set(seen) == {torch32, Arrays("numpy", "float32")}
    assert seen[:40] == [torch32] * 40
    assert seen.count(torch32) == 40 + 1 + 40  # the claim, the counterexample, the twin


def test_a_counterexample_that_only_numpy_sees_is_not_shown():
    def check(case):
        return exactly(case.wrong(x(case) <= (90 if case.arrays.library == "torch" else 50), True))

    result = examine(make(check, REFUTED, instances=100), Settings(arrays=Arrays("torch")))
    assert result.witness.params["x"] > 90
    assert result.witness.origin == "sample"


def test_a_witness_refutes_again_when_replayed():
    c = make(lambda case: exactly(case.wrong(x(case) <= 50, True)), REFUTED)
    assert replay(c, examine(c, QUICK).witness.params, Arrays()).failed


def conditional(case):
    case.condition("x", x(case), 50)
    return exactly(case.wrong(case.params["x"] < 60, case.params["x"] < 40))


def test_holds_under_a_condition_shows_its_edge_and_a_failure_outside():
    result = examine(make(conditional, HOLDS_UNDER, instances=400), QUICK)
    assert result.verdict == HOLDS_UNDER
    assert result.as_expected
    edge = result.boundary
    assert (edge.name, edge.bound) == ("x", 50.0)
    assert edge.inside + edge.outside == result.counts.accepted == 400
    assert edge.failed_outside == result.counts.failed
    assert edge.failed_outside < edge.outside
    assert (edge.held_up_to, edge.failed_from) == (59.0, 60.0)
    assert result.witness.params == {"x": 60}
    assert result.failure_bound == 3 / edge.inside


def test_the_edge_lies_between_the_first_failure_and_what_held_below_it():
    def trial(value, holds):
        return Trial({}, (0,), exactly(holds), Condition("x", value, 5.0))

    trials = [trial(v, h) for v, h in [(1, True), (3, True), (3.5, None), (4, False), (4, True), (7, False), (9, True)]]
    edge = boundary(trials)
    assert (edge.held_up_to, edge.failed_from) == (3, 4)
    assert (edge.inside, edge.outside, edge.failed_outside) == (5, 2, 1)
    assert boundary(trials[4:5]).held_up_to == 4
    assert boundary(trials[4:5]).failed_from is None
    assert boundary(trials[3:4]).held_up_to is None
    assert boundary([]) is None


def test_the_ratio_of_a_conditional_claim_is_that_of_the_inside():
    def check(case):
        inside = case.condition("x", x(case), 50)
        return Outcome(case.wrong(inside, False), 0.5 if inside else 9.0)

    assert examine(make(check, HOLDS_UNDER), QUICK).worst_ratio == 0.5


def test_a_failure_inside_the_condition_refutes():
    def check(case):
        case.condition("x", x(case), 50)
        return exactly(case.params["x"] < 40)

    result = examine(make(check, HOLDS_UNDER, instances=400), QUICK)
    assert result.verdict == REFUTED
    assert not result.as_expected
    assert result.witness.params == {"x": 40}


def test_a_condition_that_is_not_needed_does_not_count():
    def check(case):
        case.condition("x", x(case), 50)
        return exactly(case.wrong(True, False))

    result = examine(make(check, HOLDS_UNDER), QUICK)
    assert result.verdict == HOLDS
    assert not result.as_expected
    assert "no instance outside the condition failed" in result.message


def test_a_condition_that_nothing_meets_is_an_error():
    def check(case):
        case.condition("x", x(case), 0)
        return exactly(False)

    result = examine(make(check, HOLDS_UNDER), QUICK)
    assert result.verdict == ERROR
    assert "no instance met the condition" in result.message


def test_a_bound_that_moves_is_an_error():
    def check(case):
        case.condition("x", 0.0, x(case, 2))
        return exactly(case.wrong(True, False))

    result = examine(make(check, HOLDS_UNDER), QUICK)
    assert result.verdict == ERROR
    assert "one condition with one bound" in result.message


def test_undecided_when_nothing_fails_and_something_is_open():
    result = examine(make(lambda case: exactly(case.wrong(None if x(case) > 50 else True, False)), UNDECIDED), QUICK)
    assert result.verdict == UNDECIDED
    assert result.as_expected
    assert result.evidence is None
    assert result.counts.undecided > 0
    assert result.failure_bound is None


def test_a_failure_outweighs_what_is_open():
    def check(case):
        return exactly(case.wrong(None if x(case) > 50 else False, True))

    result = examine(make(check, REFUTED), QUICK)
    assert result.verdict == REFUTED


def test_open_instances_inside_a_condition_leave_it_undecided():
    def check(case):
        inside = case.condition("x", x(case), 50)
        return exactly(case.wrong((None if case.params["x"] > 20 else True) if inside else False, False))

    assert examine(make(check, UNDECIDED), QUICK).verdict == UNDECIDED


# --- proofs -----------------------------------------------------------------------------------------------

PROVED = [c for c in claims.ledger() if c.proof]


@pytest.mark.parametrize("name", sorted({name for c in PROVED for name in c.proof}))
def test_every_proof_is_a_derivation_and_proves(name):
    assert proves(name)


@pytest.mark.parametrize("proved", PROVED, ids=lambda c: c.slug)
def test_a_proof_has_a_relation_that_can_prove_the_claim(proved):
    """An equation is proved by equations, a bound not by equations alone."""
    relations = {catalogue()[name].relation for name in proved.proof}
    if proved.relation == "=":
        assert "=" in relations
    elif proved.relation != "tight":
        assert relations & {"<=", ">="}


@pytest.mark.parametrize("name", sorted({name for c in PROVED for name in c.proof}))
def test_a_proof_is_one_for_all_sizes(name):
    for derivation in with_uses([catalogue()[name]]):
        assert not [step.rule.name for step in derivation.steps if isinstance(step.rule, AtSizes | Explicit)]


def test_a_heuristic_proves_nothing_and_neither_does_what_is_not_there():
    assert not proves("attention-from-the-gradient-step")
    assert not proves("no-such-derivation")


def true(case):
    return exactly(case.wrong(x(case) > 0, False))


@pytest.mark.parametrize("expect", [HOLDS, HOLDS_UNDER])
def test_a_proof_makes_the_evidence_proved(expect):
    check = true if expect == HOLDS else conditional
    result = examine(make(check, expect, proof=("exact-step-descends",), instances=400), QUICK)
    assert result.as_expected
    assert result.evidence == Evidence.PROVED
    assert result.failure_bound is None


def test_a_proof_does_not_save_a_claim_that_an_instance_refutes():
    result = examine(make(lambda case: exactly(x(case) < 50), proof=("exact-step-descends",)), QUICK)
    assert result.verdict != HOLDS
    assert result.evidence != Evidence.PROVED


def test_a_proof_that_is_not_there_is_an_error():
    result = examine(make(true, proof=("exact-step-descends", "no-such-derivation")), QUICK)
    assert result.verdict == ERROR
    assert result.message == "a derivation named as its proof proves nothing: no-such-derivation"


@pytest.mark.parametrize("what", ["factor 2", "sign", "beta squared"])
def test_a_proof_with_a_wrong_step_is_an_error(monkeypatch, what):
    right = catalogue()["exact-step-descends"]
    step = right.steps[0]
    wrong = replace(step, end=dict(sabotaged(step.end))[what])
    tampered = replace(right, steps=(wrong,))
    monkeypatch.setattr("derivations.catalogue", lambda: {right.name: tampered})
    result = examine(make(true, proof=(right.name,)), QUICK)
    assert result.verdict == ERROR
    assert right.name in result.message


def test_a_proof_that_uses_a_wrong_one_is_an_error(monkeypatch):
    right = catalogue()["exact-step-descends"]
    used = catalogue()["gradient-of-the-coding-rate"]
    wrong = replace(used, steps=(replace(used.steps[0], end=2 * used.steps[0].end),))
    monkeypatch.setattr("derivations.catalogue", lambda: {right.name: replace(right, uses=(wrong,))})
    assert examine(make(true, proof=(right.name,)), QUICK).verdict == ERROR


def test_every_derivation_is_reached_by_a_claim():
    """As a proof, as what stands behind a claim, or as what one of these uses."""
    named = {name: catalogue()[name] for c in claims.ledger() for name in (*c.proof, *c.derivations)}
    reached = {d.name for d in with_uses(named.values())}
    assert [name for name in catalogue() if name not in reached] == []


def test_what_stands_behind_a_claim_proves_nothing():
    result = examine(make(true, derivations=("exact-step-descends",)), QUICK)
    assert result.as_expected
    assert result.evidence == Evidence.CERTIFIED
    make(true, REFUTED, derivations=("exact-step-descends",))


def test_what_stands_behind_a_claim_is_a_derivation_and_not_its_proof():
    with pytest.raises(ValueError, match=r"^derivations of a\.b must be ones that exist, got no-such, none-either$"):
        ledger(make(nothing, slug="a.b", derivations=("no-such", "exact-step-descends", "none-either")))
    two = ("exact-step-descends", "implicit-euler-step-descends")
    with pytest.raises(ValueError, match=rf"^derivations of a\.b must not be in its proof too, got {', '.join(two)}$"):
        make(nothing, slug="a.b", proof=two, derivations=two)


def test_a_claim_keeps_its_figure():
    def drawn():
        """Nothing."""

    assert make(nothing, figure=drawn).figure is drawn


def test_what_is_false_has_no_proof():
    with pytest.raises(ValueError, match=r"proof of test\.claim must be of a claim that is expected to hold"):
        make(true, REFUTED, proof=("exact-step-descends",))


# --- checks that are worth nothing -------------------------------------------------------------------------


def test_a_check_that_raises_is_an_error_that_says_where():
    def check(case):
        if x(case) > 3:
            raise ZeroDivisionError("of course")
        return exactly(True)

    result = examine(make(check), QUICK)
    assert result.verdict == ERROR
    assert not result.as_expected
    assert result.message.startswith("ZeroDivisionError: of course (line ")
    assert result.message.endswith(" of check)")


def test_a_check_that_returns_no_outcome_is_an_error():
    result = examine(make(lambda case: x(case) > 0), QUICK)
    assert result.verdict == ERROR
    assert "must return an Outcome, got bool" in result.message


def test_hypotheses_that_reject_everything_are_an_error():
    def check(case):
        case.assume(False)

    result = examine(make(check), QUICK)
    assert result.verdict == ERROR
    assert f"rejected all of {40 * ATTEMPTS} instances" in result.message


def test_the_share_rejected_is_counted():
    def check(case):
        case.assume(x(case) > 50)
        return exactly(case.wrong(True, False))

    counts = examine(make(check, instances=400), QUICK).counts
    assert counts.held == 400
    assert abs(counts.share_rejected - 0.5) < 0.1


def test_hypotheses_that_reject_nearly_everything_give_up_in_the_end():
    def check(case):
        case.assume(x(case, 1000) == 1)
        return exactly(case.wrong(True, False))

    counts = examine(make(check, instances=100), QUICK).counts
    assert 0 < counts.held < 100
    assert counts.held + counts.rejected == 100 * ATTEMPTS


@pytest.mark.parametrize("expect", [HOLDS, HOLDS_UNDER, UNDECIDED])
def test_a_twin_that_is_not_refuted_is_an_error(expect):
    result = examine(make(lambda case: exactly(x(case) > 0), expect), QUICK)
    assert result.verdict == ERROR
    assert "the twin must be refuted and is holds (the twin)" in result.message
    assert "the claim itself came out holds" in result.message


def test_beside_a_false_claim_the_twin_must_hold():
    result = examine(make(lambda case: exactly(x(case) <= 50), REFUTED), QUICK)
    assert result.verdict == ERROR
    assert "the twin must be holds and is refuted" in result.message
    assert result.witness.params == {"x": 51}  # and the counterexample is still told


def test_a_twin_that_fails_only_outside_the_condition_is_not_refuted():
    def check(case):
        return exactly(case.condition("x", x(case), 50))

    result = examine(make(check, HOLDS_UNDER), QUICK)
    assert result.verdict == ERROR
    assert "is holds under" in result.message


def test_a_twin_that_raises_is_an_error():
    def check(case):
        x(case)
        return exactly(1 / case.wrong(1, 0) > 0)

    result = examine(make(check), QUICK)
    assert result.verdict == ERROR
    assert "ZeroDivisionError" in result.message


# --- witnesses that are stored with a claim ----------------------------------------------------------------


def test_a_stored_witness_is_what_is_shown():
    c = make(lambda case: exactly(case.wrong(x(case) <= 50, True)), REFUTED, witness={"x": 77})
    result = examine(c, QUICK)
    assert result.verdict == REFUTED
    assert result.witness.params == {"x": 77}
    assert result.witness.origin == "pinned"


def test_a_stored_witness_refutes_even_where_no_sample_does():
    def check(case):
        return exactly(case.wrong(case.seed() != 12345, True))

    result = examine(make(check, REFUTED, witness={"seed": 12345}), QUICK)
    assert result.verdict == REFUTED
    assert result.counts.failed == 0
    assert result.evidence == Evidence.CERTIFIED


@pytest.mark.parametrize(
    ("witness", "message"),
    [
        ({"x": 50}, "no longer refutes"),
        ({"x": 101}, "x must be an integer from 1 to 100, got 101"),
        ({"y": 77}, "draws x, which the record does not name"),
        ({"x": 77, "y": 1}, "names y, which the check never draws"),
    ],
)
def test_a_stale_witness_is_an_error(witness, message):
    c = make(lambda case: exactly(case.wrong(x(case) <= 50, True)), REFUTED, witness=witness)
    result = examine(c, QUICK)
    assert result.verdict == ERROR
    assert "StaleWitness" in result.message
    assert message in result.message


def test_a_stored_witness_outside_the_hypotheses_is_stale():
    def check(case):
        case.assume(x(case) != 77)
        return exactly(case.params["x"] <= 50)

    with pytest.raises(StaleWitness, match="outside the hypotheses"):
        replay(make(check), {"x": 77}, Arrays())


def test_the_stored_witness_of_a_conditional_claim_lies_outside():
    assert examine(make(conditional, HOLDS_UNDER, witness={"x": 80}), QUICK).witness.params == {"x": 80}

    def everywhere(case):
        case.condition("x", x(case), 50)
        return exactly(False)

    result = examine(make(everywhere, HOLDS_UNDER, witness={"x": 20}), QUICK)
    assert result.verdict == ERROR
    assert "must lie outside the condition" in result.message


# --- the same for the same seed ----------------------------------------------------------------------------


def test_equal_settings_give_equal_results_and_other_seeds_others():
    def check(case):
        return Outcome(case.wrong(True, False), case.uniform("u", 0, 1))

    assert examine(make(check), QUICK) == examine(make(check), QUICK)
    assert examine(make(check), QUICK).worst_ratio != examine(make(check), Settings(seed=1)).worst_ratio


def test_a_search_is_the_same_each_time_and_leaves_nothing_behind(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)

    def check(case):
        return exactly(case.wrong(x(case) * case.log_uniform("y", 1e-3, 1e3) < 40, True))

    first = examine(make(check, REFUTED), QUICK)
    assert first.witness.origin == "search"
    assert examine(make(check, REFUTED), QUICK) == first
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(("tier", "seed", "message"), [("slow", 0, "tier must be one of"), ("quick", -1, "seed")])
def test_settings_are_checked(tier, seed, message):
    with pytest.raises(ValueError, match=message):
        Settings(tier, seed)


# --- claims and ledgers -------------------------------------------------------------------------------------


def nothing(case):
    """A note."""
    return exactly(True)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"slug": "nodot"}, "slug must be theme.kebab-case, got 'nodot'"),
        ({"slug": "A.b"}, "slug must be theme.kebab-case, got 'A.b'"),
        ({"slug": "a.b_c"}, "slug must be theme.kebab-case, got 'a.b_c'"),
        ({"slug": "a.b.c"}, "slug must be theme.kebab-case, got 'a.b.c'"),
        ({"title": " "}, "title of test.claim must say something, got ' '"),
        ({"statement": ""}, "statement of test.claim must say something, got ''"),
        ({"source": ""}, "source of test.claim must say something, got ''"),
        ({"hypotheses": ""}, "hypotheses of test.claim must say something, got ''"),
        ({"twin": ""}, "twin of test.claim must say something, got ''"),
        (
            {"relation": "<<"},
            "relation of test.claim must be one of ('=', '<=', '<', 'tight', 'limit', 'monotone'), got '<<'",
        ),
        ({"expect": ERROR}, "expect of test.claim must be a verdict other than error, got <Verdict.ERROR: 'error'>"),
        ({"expect": "true"}, "expect of test.claim must be a verdict other than error, got 'true'"),
        ({"instances": 0}, "instances of test.claim must be >= 1, got 0"),
        (
            {"expect": UNDECIDED, "proof": ("a-name",)},
            "proof of test.claim must be of a claim that is expected to hold, got ('a-name',)",
        ),
    ],
)
def test_a_claim_that_says_nothing_is_refused(options, message):
    with pytest.raises(ValueError) as refused:  # noqa: PT011 - the whole message is compared
        make(nothing, **options)
    assert str(refused.value) == message


def test_a_claim_of_a_single_instance_is_a_claim_and_200_are_usual():
    assert make(nothing, instances=1).instances == 1
    usual = claim("a.b", title="t", statement="s", source="s", relation="=", hypotheses="h", expect=HOLDS, twin="t")
    assert usual(nothing).instances == 200
    assert (usual(nothing).uses, usual(nothing).witness, usual(nothing).proof) == ((), None, ())
    assert usual(nothing).derivations == ()


def test_a_claim_knows_its_theme_its_note_and_its_code():
    c = make(nothing, slug="rates.a-claim")
    assert c.theme == "rates"
    assert c.note == "A note."
    assert "return exactly(True)" in c.code
    assert c.file.name == "test_ledger.py"
    assert c.code.splitlines()[0] == c.file.read_text().splitlines()[c.line - 1]
    assert c(Case(Replay({}))).holds is True


def ledger(*claims):
    return Ledger(("test",), claims)


def test_a_ledger_refuses_a_slug_given_twice():
    with pytest.raises(ValueError, match=r"^slug must be unique, got a\.b twice$"):
        ledger(make(nothing, slug="a.b"), make(nothing, slug="a.b"))


def test_a_ledger_refuses_to_rest_on_what_is_not_there():
    with pytest.raises(ValueError, match=r"^uses of a\.b must name claims, got a\.c, a\.d$"):
        ledger(make(nothing, slug="a.b", uses=("a.c", "a.b", "a.d")))


@pytest.mark.parametrize("expect", [HOLDS, HOLDS_UNDER])
def test_a_ledger_refuses_a_true_claim_that_rests_on_a_false_one(expect):
    false = [make(nothing, slug=slug, expect=REFUTED) for slug in ("a.c", "a.e")]
    with pytest.raises(ValueError, match=r"^uses of a\.b must name claims that hold, as it does, got a\.c, a\.e$"):
        ledger(make(nothing, slug="a.d"), *false, make(nothing, expect, slug="a.b", uses=("a.d", "a.c", "a.e")))
    ledger(*false, make(nothing, slug="a.b", expect=REFUTED, uses=("a.c",)))


def test_questions_of_the_ledger_are_told_from_statements_of_the_literature():
    asked = make(nothing, source="asked here of all tokens: a paper")
    assert asked.asked_here
    assert not make(nothing, source="a paper").asked_here
    assert by_origin([asked, make(nothing), asked]) == "1 of the literature, 2 asked here"


def test_the_source_of_a_false_claim_says_in_one_form_whether_it_was_asked_here():
    other = re.compile(r"asked|\bhere\b|reading of|question|derived:")
    unclear = [c.slug for c in claims.ledger() if c.expect == REFUTED and not c.asked_here and other.search(c.source)]
    assert unclear == []


def test_a_ledger_refuses_to_rest_on_itself():
    with pytest.raises(ValueError, match=r"^uses must have no circle, got a\.\w -> a\.\w -> a\.\w -> a\.\w$"):
        ledger(
            make(nothing, slug="a.b", uses=("a.c",)),
            make(nothing, slug="a.c", uses=("a.d",)),
            make(nothing, slug="a.d", uses=("a.b",)),
        )


def test_a_ledger_finds_and_selects():
    b, c, d = make(nothing, slug="one.b"), make(nothing, slug="one.c"), make(nothing, slug="two.b")
    book = ledger(b, c, d)
    assert len(book) == 3
    assert list(book) == [b, c, d]
    assert book["one.c"] is c
    with pytest.raises(KeyError, match=r"^'one'$"):
        book["one"]
    assert book.select(["one"]) == (b, c)
    assert book.select(["*.b"]) == (b, d)
    assert book.select(["two.b", "one.c"]) == (c, d)
    assert book.select(["t*"]) == (d,)
    nowhere = r"^select must match a claim or a theme \(one, two\), got 'three'; see `srr list`$"
    with pytest.raises(ValueError, match=nowhere):
        book.select(["one", "three"])
    near = r"got 'xoX\*'; did you mean two\.xox\?$"
    with pytest.raises(ValueError, match=near):
        ledger(make(nothing, slug="two.xox")).select(["xoX*"])


def test_every_file_of_claims_is_in_the_ledger_and_holds_claims_of_its_theme():
    root = Path(claims.__file__).parent
    files = [path.relative_to(root).with_suffix("") for path in root.rglob("*.py") if not path.name.startswith("_")]
    assert sorted(".".join(file.parts) for file in files) == sorted(claims.MODULES)
    themes = {(f"verify.claims.{module}", module.partition(".")[0]) for module in claims.MODULES}
    assert {(c.check.__module__, c.theme) for c in claims.ledger()} == themes


def test_a_ledger_is_what_is_written_in_its_modules():
    book = Ledger.load("faulty_claims", "verify.claims._template")
    assert [c.slug for c in book][:2] == ["faulty.true", "faulty.rounded"]
    assert [c.slug for c in book][-3:] == [
        "template.sylvester",
        "template.square-grows",
        "template.halving-descends",
    ]
    assert book.modules == ("faulty_claims", "verify.claims._template")


def test_a_module_that_imports_a_claim_does_not_make_it_twice(monkeypatch):
    import faulty_claims

    from verify.claims import _template

    monkeypatch.setattr(_template, "borrowed", faulty_claims.true, raising=False)
    assert len(Ledger.load("faulty_claims", "verify.claims._template")) == len(Ledger.load("faulty_claims")) + 3


@pytest.mark.parametrize("c", [*Ledger.load("verify.claims._template")], ids=lambda c: c.slug)
def test_the_template_works(c):
    assert examine(c, QUICK).as_expected
