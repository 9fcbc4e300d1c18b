"""Whether the ledger would notice a wrong function: how wrong versions are made, put in place, and found out."""

import inspect
import json
from contextlib import nullcontext
from dataclasses import replace
from operator import attrgetter

import catalogue
import faulty_claims
import numpy as np
import pytest

import srr
from verify import sabotage
from verify.arrays import to_numpy
from verify.claims import ledger
from verify.cli import main
from verify.ledger import HOLDS, Ledger, claim
from verify.outcome import equal
from verify.results import Settings
from verify.sabotage import Finding, Sabotage

LEDGER = ledger()
HERE = (*LEDGER.modules, __name__)


def wrong(name, fault):
    target = sabotage.targets()[name]
    return sabotage._faults(target)[fault]


def finding(name, fault, *slugs, modules=HERE):
    return sabotage.detect(modules, Settings(), (Sabotage(name, fault), slugs))


# --- what is sabotaged ------------------------------------------------------------------------------------------


def test_every_public_function_is_sabotaged_or_says_why_not():
    functions = {name for name in catalogue.CALLS if " with" not in name and not inspect.isclass(attrgetter(name)(srr))}
    found = {each.function for each in sabotage.sabotages()}
    assert functions - found <= {*sabotage.EXEMPT, *(each.function for each in sabotage.EQUIVALENT)}
    assert not found & set(sabotage.EXEMPT)
    halves = {
        f"layers.{layer}.{half}" for layer in ("Crate", "Official", "Descent") for half in ("compress", "sparsify")
    }
    assert halves <= found


def test_the_faults_are_those_that_people_make():
    faults = {each.fault for each in sabotage.sabotages() if each.function == "attention.exact_step"}
    assert faults == {"factor 2", "sign", "eps for eps^2", "n + 1 for n", "twice the step", "wrong bases"}
    faults = {each.fault for each in sabotage.sabotages() if each.function == "prox.ista_step"}
    assert {"twice the lam", "D transposed"} <= faults
    assert Sabotage("rates.coding_rate", "Z transposed") in sabotage.sabotages()


# --- wrong versions ---------------------------------------------------------------------------------------------

Z = np.random.default_rng(0).standard_normal((5, 4))
U = np.linalg.qr(np.random.default_rng(1).standard_normal((2, 4, 2)))[0]
D = np.random.default_rng(2).standard_normal((4, 4))


def test_a_factor_and_a_sign_in_each_result():
    value, gradient = srr.coding_rate_and_gradient(Z, eps=0.5)
    for factor, fault in ((2, "factor 2"), (-1, "sign")):
        first = wrong("rates.coding_rate_and_gradient", f"{fault} in result 0")(Z, eps=0.5)
        second = wrong("rates.coding_rate_and_gradient", f"{fault} in result 1")(Z, eps=0.5)
        assert first[0] == factor * value
        assert np.array_equal(first[1], gradient)
        assert second[0] == value
        assert np.array_equal(second[1], factor * gradient)


def test_eps_for_its_square():
    assert wrong("rates.coding_rate", "eps for eps^2")(Z, eps=0.25) == srr.coding_rate(Z, eps=0.5)


def test_one_token_more():
    more = np.concatenate([Z, np.zeros((1, 4))])
    expected = srr.coding_rate(more, eps=0.5)
    assert wrong("rates.coding_rate", "n + 1 for n")(Z, eps=0.5) == pytest.approx(expected, rel=1e-12)
    assert wrong("curvature.expansion", "n + 1 for n")(5, 4, eps=0.5) == srr.curvature.expansion(6, 4, eps=0.5)


def test_transposes_and_wrong_bases():
    assert wrong("rates.coding_rate", "Z transposed")(Z, eps=0.5) == srr.coding_rate(Z.T, eps=0.5)
    ista = wrong("prox.ista_step", "D transposed")(Z, D, step=0.1, lam=0.1)
    assert np.array_equal(ista, srr.prox.ista_step(Z, D.T, step=0.1, lam=0.1))
    assert np.array_equal(wrong("attention.ssa", "wrong bases")(Z, U), srr.attention.ssa(Z, U[:, ::-1]))


def test_the_settings_of_an_object_and_of_its_objective():
    layer = srr.layers.crate(U, D, rule="exact", eps=0.25, lam=0.1)
    off = wrong("layers.Crate.compress", "eps for eps^2")(layer, Z)
    assert np.array_equal(off, replace(layer, eps=0.5).compress(Z))
    descent = srr.layers.descent(U, eps=0.5, lam=0.1)
    longer = replace(descent, objective=srr.SparseRateReduction(U, 0.5, 0.2))
    off = wrong("layers.Descent.sparsify", "twice the lam")(descent, Z)
    assert np.array_equal(off, longer.sparsify(Z))
    assert not np.array_equal(off, descent.sparsify(Z))


def test_half_a_threshold_and_half_of_what_may_be_none():
    layer = srr.layers.aot(U, threshold=0.8)
    off = wrong("layers.Aot.compress", "half the threshold")(layer, Z)
    assert np.array_equal(off, replace(layer, threshold=0.4).compress(Z))
    double = wrong("mcr2.stationary_points", "factor 2 in result 1")
    smaller, larger = srr.mcr2.stationary_points(0.5, 1.0, 0.1)
    assert double(0.5, 1.0, 0.1) == (smaller, 2 * larger)
    assert double(0.5, 1.0, 10.0) is None


def test_what_is_no_number_has_no_wrong_version():
    assert not any(each.function == "layers.crate_autoencoder" for each in sabotage.sabotages())


@pytest.mark.parametrize("result", [None, (1.0,), (1.0, 3.0), (1.0, 2.0, 2.0)])
def test_a_result_of_another_kind_or_length_or_an_error_is_a_difference(result):
    def wrong_version():
        if result is None:
            raise ValueError("no such result")
        return result

    seen = []
    watched = sabotage._watched(lambda: (1.0, 2.0), wrong_version, lambda: seen.append(None))
    with nullcontext() if result else pytest.raises(ValueError, match="no such"):
        assert watched() == result
    assert seen == [None]
    assert sabotage._same((1.0, 2.0), (1.0, 2.0))
    assert not sabotage._same((1.0, 2.0), None)


def test_a_wrong_version_is_put_wherever_the_function_is_held_and_taken_away():
    target = sabotage.targets()["rates.coding_rate"]
    right = srr.coding_rate(Z, eps=0.5)
    with sabotage.sabotaged(target, wrong("rates.coding_rate", "factor 2")):
        assert srr.coding_rate(Z, eps=0.5) == 2 * right
        assert srr.rates.coding_rate(Z, eps=0.5) == 2 * right
    assert srr.coding_rate(Z, eps=0.5) == right
    objective = srr.SparseRateReduction(U, 0.5, 0.1)
    loss = objective.loss(Z)
    method = sabotage.targets()["objective.SparseRateReduction.loss"]
    with sabotage.sabotaged(method, wrong(method.name, "sign")):
        assert objective.loss(Z) == -loss
    assert objective.loss(Z) == loss


# --- who notices ------------------------------------------------------------------------------------------------


def about(slug, check):
    texts = dict.fromkeys(("title", "statement", "source", "hypotheses", "twin"), "x")
    return claim(f"sabotaged.{slug}", relation="=", expect=HOLDS, instances=3, **texts)(check)


def _rate(case):
    tokens = case.asarray(np.eye(2) * case.uniform("size", 1.0, 2.0))
    return srr.coding_rate(tokens, eps=1.0), np.log(1 + to_numpy(tokens)[0, 0] ** 2)


notices = about(
    "notices",
    lambda case: equal(*(case.wrong(1, f) * x for x, f in zip(_rate(case), (1, 2), strict=True)), size=2, scale=5.0),
)


def _crash(case):
    rate, expected = _rate(case)
    if abs(rate - expected) > 0.1:
        raise RuntimeError("no such rate")
    return equal(rate, case.wrong(1, 2) * expected, size=2, scale=5.0)


crashes = about("crashes", _crash)


def test_a_sabotage_is_detected_by_the_first_claim_that_changes():
    found = finding("rates.coding_rate", "factor 2", "sabotaged.crashes", "sabotaged.notices")
    assert (found.outcome, found.claim, found.asked) == ("detected", "sabotaged.notices", 2)


def test_a_check_that_crashes_notices_nothing():
    found = finding("rates.coding_rate", "factor 2", "sabotaged.crashes")
    assert (found.outcome, found.claim) == ("undetected", None)


@pytest.mark.parametrize(
    ("name", "fault", "outcome"),
    [("layers.Alpha.compress", "sign", "undetected"), ("layers.Alpha.flops", "factor 2", "detected")],
)
def test_a_claim_that_the_watch_itself_disturbs_notices_nothing(name, fault, outcome):
    """It counts the products of the right version, with which the wrong one is compared, as well."""
    assert finding(name, fault, "layers.cost").outcome == outcome


def drawn():
    raise ValueError("nothing can be drawn of wrong numbers")


draws = replace(about("draws", lambda case: notices.check(case)), figure=drawn)


def test_a_figure_that_fails_on_wrong_numbers_hides_nothing():
    assert finding("rates.coding_rate", "factor 2", "sabotaged.draws").outcome == "detected"


def test_a_change_that_makes_no_difference_is_none():
    assert finding("rates.coding_rate", "eps for eps^2", "sabotaged.notices").outcome == "no difference"  # eps = 1


def test_who_calls_what():
    called = sabotage.called_by(HERE, Settings(), "sabotaged.notices")
    assert called == ("rates.coding_rate",)


def test_a_run_asks_those_who_call_and_goes_on_where_it_stopped(tmp_path):
    wanted = [
        Sabotage("mixtures.coherence", "factor 2"),
        Sabotage("prox.lasso_step", "D transposed"),
        Sabotage("rates.partition_coding_rate", "sign"),
    ]
    claims = LEDGER.select(["plain.principal-angles", "plain.lasso-optimum"])
    keep, steps = tmp_path / "kept.jsonl", []

    def run(chosen, **settings):
        steps.clear()
        told = {"keep": keep, "on_done": lambda said, before: steps.append(before)}
        return sabotage.run(LEDGER, Settings(**settings), claims=claims, chosen=chosen, **told)

    first = run(wanted[:1])
    assert steps == [False] * 3
    found = run(wanted)
    assert steps == [True, True, True, True, False]
    assert found[0] == first[0]
    assert [finding.sabotage for finding in found] == wanted
    assert [finding.outcome for finding in found] == ["detected", "no difference", "not called"]
    assert found[0].claim == "plain.principal-angles"
    assert run(wanted) == found
    assert steps == [True] * 5
    run(wanted[:1], seed=1)
    assert steps == [False] * 3


def test_a_claim_that_cannot_be_run_stops_it():
    broken = Ledger.load(faulty_claims.__name__)
    with pytest.raises(RuntimeError, match="the process died"):
        sabotage.run(broken, Settings(), claims=broken.select(["faulty.dies"]), chosen=[])


@pytest.mark.parametrize("chosen", [("mixtures.coherence", "factor 2"), ("rates.coding_rate", "sign")])
def test_the_command(capsys, monkeypatch, tmp_path, chosen):
    monkeypatch.setattr(sabotage, "sabotages", lambda: [Sabotage(*chosen)])
    monkeypatch.chdir(tmp_path)
    detected = chosen[0].startswith("mixtures")
    arguments = ["verify", "--sabotage", "--select", "plain.principal-angles", "--jobs", "1"]
    assert main(arguments) == 0
    out = capsys.readouterr().out
    said = f"1 wrong versions: {int(detected)} detected, 0 undetected; 0 make no difference, {int(not detected)} not"
    assert said in " ".join(out.split())
    assert max(map(len, out.splitlines())) <= 80
    kept = (tmp_path / "srr-report" / "sabotage.jsonl").read_text().splitlines()
    assert len([line for line in kept if line]) == 1 + detected
    main([*arguments, "--json"])
    (data,) = json.loads(capsys.readouterr().out)
    assert data["sabotage"] == dict(zip(("function", "fault"), chosen, strict=True))
    assert data["claim"] == ("plain.principal-angles" if detected else None)


@pytest.mark.parametrize(
    ("outcome", "whole", "part"),
    [("detected", 0, 0), ("no difference", 0, 0), ("not called", 1, 0), ("undetected", 1, 1)],
)
def test_what_is_missed_fails_the_command(capsys, monkeypatch, tmp_path, outcome, whole, part):
    found = [Finding(Sabotage("rates.coding_rate", "sign"), outcome, None, None, 3)]
    monkeypatch.setattr(sabotage, "run", lambda *_, **__: found)
    monkeypatch.chdir(tmp_path)
    assert main(["verify", "--sabotage"]) == whole
    assert main(["verify", "--sabotage", "--select", "plain"]) == part
    said = "undetected: none of 3 claims noticed" if outcome == "undetected" else outcome
    assert f"sign   {said}" in capsys.readouterr().out
