"""results.json and JUnit XML: valid whatever the numbers, the same for the same run, whole or not there."""

import json
import math
from dataclasses import replace
from xml.etree import ElementTree

import numpy as np
import pytest

from verify.arrays import Arrays
from verify.examine import examine
from verify.ledger import ERROR, HOLDS, REFUTED, Evidence, Ledger
from verify.results import (
    Boundary,
    Counts,
    Result,
    Run,
    Settings,
    Twin,
    Witness,
    from_json,
    plain,
    to_json,
    to_junit,
)

WITNESS = Witness({"n": 1, "x": 0.1, "kind": "a", "none": None}, "search", True, math.inf, {"Z": [[1.0, 2.0]]})
RUN = Run(
    Settings("full", 3, Arrays("torch", "float32", "cuda:0")),
    (
        Result(
            "a.holds",
            HOLDS,
            HOLDS,
            Evidence.CHECKED,
            counts=Counts(held=5, rejected=15),
            worst_ratio=0.1,
            twin=Twin("twin", REFUTED, REFUTED, Counts(failed=1)),
        ),
        Result(
            "a.false",
            REFUTED,
            HOLDS,
            Evidence.CERTIFIED,
            "é\n& <b>",
            Counts(1, 2, 3, 4),
            math.nan,
            witness=WITNESS,
        ),
        Result("b.edge", HOLDS, HOLDS, boundary=Boundary("x", 2.0, 1, 2, 1, math.inf, None)),
        Result("b.error", ERROR, HOLDS, message="nul \x00 and \x1b[31m"),
    ),
    {"numpy": "2"},
)


def strict(text):
    def refuse(constant):
        raise AssertionError(f"{constant} is not JSON")

    return json.loads(text, parse_constant=refuse)


def test_json_is_strict_and_says_what_is_not_finite_in_words():
    document = strict(to_json(RUN))
    assert document["format"] == 1
    assert document["settings"] == {
        "tier": "full",
        "seed": 3,
        "arrays": {"library": "torch", "dtype": "float32", "device": "cuda:0"},
    }
    assert document["versions"] == {"numpy": "2"}
    false = document["results"][1]
    assert false["verdict"] == "refuted"
    assert false["expected"] == "holds"
    assert false["as_expected"] is False
    assert false["worst_ratio"] == "nan"
    assert false["witness"]["ratio"] == "inf"
    assert document["results"][2]["boundary"]["held_up_to"] == "inf"
    assert document["results"][2]["boundary"]["failed_from"] is None
    assert document["results"][0]["as_expected"] is True


def test_json_comes_back_as_it_went():
    again = from_json(to_json(RUN))
    assert to_json(again) == to_json(RUN)
    assert replace(again.results[1], worst_ratio=0.0) == replace(RUN.results[1], worst_ratio=0.0)
    assert math.isnan(again.results[1].worst_ratio)
    assert (again.settings, again.results[0], again.results[2:]) == (
        RUN.settings,
        RUN.results[0],
        RUN.results[2:],
    )


def test_the_json_of_a_real_result_with_infinities_is_strict():
    claim = Ledger.load("faulty_claims")["faulty.infinite"]
    run = Run(Settings(), (examine(claim, Settings()),))
    document = strict(to_json(run))
    assert document["results"][0]["witness"]["data"] == {"nan": "nan", "<b>": "&"}
    assert document["results"][0]["worst_ratio"] == "inf"
    assert run.results[0].as_expected
    assert from_json(to_json(run)) == run


@pytest.mark.parametrize(
    "change",
    [
        lambda d: d.pop("format"),
        lambda d: d.update(format=2),
        lambda d: d.update(more=1),
        lambda d: d.pop("settings"),
        lambda d: d["results"][0].update(verdict="true"),
        lambda d: d["results"][0].update(slugs="a"),
        lambda d: d["settings"]["arrays"].update(library="pandas"),
        lambda d: d["settings"].update(seed=-1),
    ],
)
def test_json_that_is_not_a_run_is_refused(change):
    document = json.loads(to_json(RUN))
    change(document)
    with pytest.raises(ValueError, match="results must be a file that `srr verify` wrote"):
        from_json(json.dumps(document))


@pytest.mark.parametrize("text", ["", "[]", "3", "{", '{"format": 1}', "null"])
def test_text_that_is_not_a_run_is_refused(text):
    with pytest.raises(ValueError, match="results must be a file that `srr verify` wrote"):
        from_json(text)


def test_plain_data():
    assert plain({"a": (1, 2.5, None, True, "x")}) == {"a": [1, 2.5, None, True, "x"]}
    assert plain(np.float32(0.5)) == 0.5
    assert plain(np.bool_(True)) is True
    assert type(plain(np.int64(3))) is int
    assert plain([math.nan, math.inf, -math.inf]) == ["nan", "inf", "-inf"]
    assert plain(np.array([[1.0, math.nan]])) == [[1.0, "nan"]]
    assert plain(np.zeros(256)) == [0.0] * 256
    assert plain(np.zeros((1, 257))) == "float64 array of shape (1, 257)"
    assert type(plain(HOLDS)) is str
    assert plain(object).startswith("<class")


def test_plain_takes_any_librarys_array():
    import jax.numpy as jnp
    import torch

    assert plain(torch.tensor([1.0, 2.0], requires_grad=True)) == [1.0, 2.0]
    assert plain(jnp.asarray([1.0, 2.0])) == [1.0, 2.0]


def test_shares_and_bounds():
    assert Counts(5, 3, 2, 10).accepted == 10
    assert Counts(5, 3, 2, 10).share_rejected == 0.5
    assert Counts().share_rejected == 0.0
    assert RUN.results[0].failure_bound == 3 / 5
    assert replace(RUN.results[0], evidence=Evidence.PROVED).failure_bound is None
    assert RUN.results[1].failure_bound is None
    assert RUN.results[2].failure_bound == 3.0


def test_a_run_tallies_and_finds():
    assert RUN.tally() == {"holds": 2, "holds under": 0, "refuted": 1, "undecided": 0, "error": 1}
    assert RUN["b.error"] is RUN.results[3]
    assert not RUN.as_expected
    assert replace(RUN, results=RUN.results[:1]).as_expected
    with pytest.raises(KeyError):
        RUN["b"]


def test_junit_is_xml_and_tells_failures_from_errors():
    text = to_junit(RUN, {"a.holds": 1.5, "a.false": 0.25})
    suite = ElementTree.fromstring(text)
    assert dict(suite.attrib) == {
        "name": "srr verify",
        "tests": "4",
        "failures": "1",
        "errors": "1",
        "time": "1.750",
    }
    holds, false, edge, error = suite
    assert holds.attrib == {"classname": "a", "name": "holds", "time": "1.500"}
    assert len(holds) == len(edge) == 0
    assert false[0].tag == "failure"
    assert false[0].attrib["message"] == "expected holds, found refuted. é"
    assert false[0].text == "expected holds, found refuted. é\n& <b>"
    assert error[0].tag == "error"
    assert "nul \ufffd and \ufffd[31m" in error[0].text
