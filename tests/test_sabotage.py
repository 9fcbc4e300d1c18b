"""Whether the ledger would notice a wrong function: how wrong versions are made, put in place, and found out."""

import inspect
import json
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
from verify.sabotage import Sabotage

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
    assert functions - found == set(sabotage.EXEMPT)
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


def test_a_change_that_makes_no_difference_is_none():
    assert finding("rates.coding_rate", "eps for eps^2", "sabotaged.notices").outcome == "no difference"  # eps = 1
    assert finding("rates.coding_rate", "factor 2").outcome == "undetected"  # nobody was asked


def test_who_calls_what():
    called = sabotage.called_by(HERE, Settings(), "sabotaged.notices")
    assert called == ("rates.coding_rate",)


def test_a_run_asks_those_who_call():
    wanted = [
        Sabotage("mixtures.coherence", "factor 2"),
        Sabotage("prox.lasso_step", "D transposed"),
        Sabotage("rates.partition_coding_rate", "sign"),
    ]
    claims = LEDGER.select(["plain.principal-angles", "plain.lasso-optimum"])
    steps = []
    found = sabotage.run(LEDGER, Settings(), claims=claims, chosen=wanted, on_done=steps.append)
    assert [finding.sabotage for finding in found] == wanted
    assert [finding.outcome for finding in found] == ["detected", "no difference", "undetected"]
    assert found[0].claim == "plain.principal-angles"
    assert len(steps) == len(claims) + len(wanted)


def test_a_claim_that_cannot_be_run_stops_it():
    broken = Ledger.load(faulty_claims.__name__)
    with pytest.raises(RuntimeError, match="the process died"):
        sabotage.run(broken, Settings(), claims=broken.select(["faulty.dies"]), chosen=[])


@pytest.mark.parametrize("chosen", [[("mixtures.coherence", "factor 2")], [("rates.coding_rate", "sign")]])
def test_the_command(capsys, monkeypatch, chosen):
    monkeypatch.setattr(sabotage, "sabotages", lambda: [Sabotage(*each) for each in chosen])
    detected = chosen[0][0].startswith("mixtures")
    arguments = ["verify", "--sabotage", "--select", "plain.principal-angles", "--jobs", "1"]
    assert main(arguments) == (0 if detected else 1)
    out = capsys.readouterr().out
    assert f"1 wrong versions: {int(detected)} detected, {int(not detected)} undetected" in out
    assert max(map(len, out.splitlines())) <= 80
    main([*arguments, "--json"])
    (data,) = json.loads(capsys.readouterr().out)
    assert data["sabotage"] == dict(zip(("function", "fault"), chosen[0], strict=True))
    assert data["claim"] == ("plain.principal-angles" if detected else None)
