"""Experiments: repeatable, complete, and with verdicts that follow their numbers."""

import json
from dataclasses import replace
from typing import get_args, get_type_hints

import numpy as np
import pytest
from test_report import Page

import srr
import verify.experiments
from verify import sparse_autoencoder
from verify.cli import main
from verify.commands.experiment import _print
from verify.experiments import (
    NAMES,
    attention_only,
    denoising,
    feature_splitting,
    interpretability,
    landscape,
    load,
    room,
)
from verify.experiments.page import short
from verify.experiments.phase_diagram import PHASE_DIAGRAM
from verify.experiments.results import to_json
from verify.terminal import page

TINY = {
    "phase-diagram": {"eps": (0.5,), "rules": ("exact", "residual"), "n": 8, "d": 4, "K": 2, "p": 2, "draws": 2},
    "feature-splitting": {"coefficients": ("single",), "widths": (2, 4), "p": 2, "d": 4, "n": 512, "steps": 300},
    "room": {"d": (300, 1000), "readings": ("|cos| <= 0.004", "sin >= 0.996")},
    "twelve-layers": {"rules": ("exact", "residual", "conceptual"), "n": 12, "d": 8, "K": 2, "p": 4},
    "denoising": {"gammas": (1e-4, 1e3), "tokens": (8, 64), "beside": (0,), "K": 3, "p": 32},
    "redunet": {"data": ("mixture",), "samples": (2, 8), "d": 12, "K": 3, "layers": 5, "draws": 1, "held_out": 60},
    "landscape": {"eps": (2.0,), "lam": (0.5,), "scales": (1.0,), "sizes": (4, 3), "d": 3, "starts": 3},
    "interpretability": {"lam": (0.03,), "n": 12, "K": 2, "p": 2, "layers": 100},
    "attention-only": {"thresholds": (0.55, 0.0), "noise": (0.05,), "layers": 3, "n": 12, "K": 3, "p": 32},
    "tost-bound": {"eps": (0.3,), "noise": (0.0, 0.5), "n": 24, "d": 8, "K": 2},
    "decoder-inversion": {"layers": (8, 16), "tokens": 4, "K": 2, "p": 8},
}
"""Parameters with which each takes about a second."""


@pytest.fixture(scope="module")
def results():
    """Each experiment at its tiny size, run when it is first asked for."""
    kept = {}

    def result(name):
        if name not in kept:
            chosen = load(name)
            kept[name] = chosen, chosen.with_parameters(TINY[name]), list(chosen.run(chosen.parameters(**TINY[name])))
        return kept[name]

    return result


@pytest.mark.parametrize("name", TINY)
def test_runs_the_same_twice_and_says_all_it_promises(name, results):
    assert name in NAMES
    chosen, given, rows = results(name)
    assert len(rows) == chosen.total(given) > 0
    again = list(chosen.run(given))
    assert to_json(chosen, given, rows) == to_json(chosen, given, again)
    assert json.loads(to_json(chosen, given, rows))["rows"] == rows  # numbers, words, truth values and None alone
    assert all(set(row) == set(rows[0]) for row in rows)
    assert set(chosen.columns) <= set(rows[0])
    assert chosen.with_parameters(dict(chosen.full)) == chosen.parameters(**chosen.full)
    assert chosen.figure(rows).caption or name == "phase-diagram"
    assert chosen.verdict(rows).endswith(".")


@pytest.mark.parametrize("name", TINY)
def test_cut_along_its_grid_it_has_the_same_rows(name, results):
    chosen, given, rows = results(name)
    cells = list(chosen.cells(given))
    assert len(cells) > 1 or all(len(getattr(given, of)) == 1 for of in chosen.grid)
    assert [row for cell in cells for row in chosen.run(cell)] == rows


# --- the command ------------------------------------------------------------------------------------------------

SMALL = ["--set", "eps=[0.1, 1.0]", 'rules=["exact", "residual"]', "n=4", "d=2", "K=1", "p=2", "draws=2"]


def test_an_interrupted_experiment_goes_on(tmp_path, capsys, monkeypatch):
    out = ["--out", str(tmp_path / "out"), "--json"]
    assert main(["experiment", "phase-diagram", *SMALL, "--json"]) == 0
    undisturbed = capsys.readouterr().out
    asked, run = [], PHASE_DIAGRAM.run

    def interrupted(given):
        if len(asked) == 2:
            raise KeyboardInterrupt
        asked.append(given)
        yield from run(given)

    monkeypatch.setattr(verify.experiments, "load", lambda name: replace(PHASE_DIAGRAM, run=interrupted))
    assert main(["experiment", "phase-diagram", *SMALL, *out]) == 130
    assert "Ended at 2 of 4 rows; the same command goes on." in capsys.readouterr().out
    again = []
    counted = replace(PHASE_DIAGRAM, run=lambda given: again.append(given) or run(given))
    monkeypatch.setattr(verify.experiments, "load", lambda name: counted)
    assert main(["experiment", "phase-diagram", *SMALL, *out]) == 0
    assert capsys.readouterr().out == undisturbed == (tmp_path / "out" / "phase-diagram.json").read_text()
    assert len(again) == 2
    assert {path.suffix for path in (tmp_path / "out").iterdir()} == {".html", ".json", ".jsonl", ".svg", ".png"}


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ("nn=1", "nn must be a parameter of phase-diagram: rules, eps"),
        ("n=1.5", "n must be a whole number, got 1.5"),
        ("n=0", "n must be at least 1, got 0"),
        ("draws=0", "draws must be at least 1, got 0"),  # or every verdict would hold, on nothing
        ("seed=-1", "seed must be at least 0, got -1"),
        ("eps=[]", "eps must be a list of numbers, at least one, got []"),
        ("eps=0.5", "eps must be a list of numbers, at least one, got 0.5"),
        ("eps=[0.0]", "eps must be > 0, got 0.0"),
        ('rules=["none"]', "rules must be of exact, "),
        ("coherence=none", "coherence must be one of orthogonal, random, got 'none'"),
        ("n", "set must be name=value, got 'n'"),
    ],
)
def test_bad_parameters_get_one_clear_error(setting, message, capsys):
    assert main(["experiment", "phase-diagram", "--set", setting]) == 2
    err = " ".join(capsys.readouterr().err.split())
    assert message in err
    assert "Traceback" not in err


@pytest.mark.parametrize("name", TINY)
def test_the_table_fits_the_page_and_cuts_no_word(name, results, capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    chosen, _, rows = results(name)
    with page() as console:
        _print(console, chosen, rows)
    text = capsys.readouterr().out
    assert max(map(len, text.splitlines())) <= 80
    words = set(text.split())
    assert {word for column in chosen.columns for word in column.split()} <= words
    assert {word for row in rows for column in chosen.columns for word in short(row[column]).split()} <= words


def test_a_parameter_is_given_once(capsys):
    assert main(["experiment", "phase-diagram", "--set", "n=3", "n=4"]) == 2
    assert "set must give n once" in capsys.readouterr().err


OPPOSITE = {
    "phase-diagram": ({"Rc fell": 0}, {"Rc fell": 2}, "never lowered", "always lowered"),
    "feature-splitting": (
        {"features": 2.0, "most": 2},
        {"features": 9.0, "most": 9},
        "stops for single",
        "goes on beyond the dimension (single 9",
    ),
    "room": (
        {"certain": True, "impossible": False},
        {"certain": False, "impossible": True},
        "at d = 1000 true",
        "at d = 1000 false",
    ),
    "twelve-layers": (
        {"Rc": 0.5, "Rc at 0": 1.0, "measure": 2.0, "measure at 0": 1.0},
        {"Rc": 2.0, "Rc at 0": 1.0, "measure": 0.5, "measure at 0": 1.0},
        "fell though Rc did not for 0",
        "fell though Rc did not for 3",
    ),
    "denoising": ({"gradient": 0.9}, {"gradient": 0.1}, "Rc points to the nearest", "Rc never points to the nearest"),
    "redunet": (
        {"redunet": 0.2, "subspace": 0.9},
        {"redunet": 0.9, "subspace": 0.2},
        "ruin it with 2, 8",
        "to the better with 2, 8",
    ),
    "landscape": ({"reached": 3}, {"reached": 0}, "3 of 3 starts reach", "none reaches it"),
    "interpretability": (
        {"inside at 0": 0.2, "inside": 0.9, "minor": 1.0},
        {"inside at 0": 0.9, "inside": 0.2, "minor": 0.0, "principal": 1.0},
        "one subspace rises",
        "one subspace falls",
    ),
    "attention-only": ({"equal": True}, {"equal": False}, "holds in all 3 layers", "fails first in layer 1"),
    "tost-bound": ({"holds": True}, {"holds": False}, "a bound always", "a bound never"),
    "decoder-inversion": (
        {"SNR": 1.0, "SNR encoded": 2.0, "Rc": 2.0, "Rc encoded": 1.0},
        {"SNR": 1.0, "SNR encoded": 0.5, "Rc": 1.0, "Rc encoded": 2.0},
        "less noisy (SNR times 2) and lowers",
        "more noisy (SNR times 0.5) and raises",
    ),
}
"""Rows changed one way and the other, and what the verdict then says."""


@pytest.mark.parametrize("name", OPPOSITE)
def test_the_verdict_follows_the_rows(name, results):
    chosen, _, rows = results(name)
    one, other, first, second = OPPOSITE[name]
    said, opposite = (chosen.verdict([{**row, **change} for row in rows]) for change in (one, other))
    assert first in said
    assert second not in said
    assert second in opposite
    assert first not in opposite


REFUSED = {
    "phase-diagram": {
        "rules": ("nonesuch",),
        "eps": (0.5, 0.0),
        "step": (-1.0,),
        "noise": -0.1,
        "p": 3,
        "K": 3,
        "d": 3,
    },
    "feature-splitting": {"methods": ("nonesuch",), "coefficients": ("nonesuch",), "lam": -0.1, "p": 3, "K": 3, "d": 3},
    "room": {"readings": ("nonesuch",), "d": (300, 1), "wanted": 1},
    "twelve-layers": {
        "rules": ("exact", "nonesuch"),
        "halves": ("nonesuch",),
        "eps": 0.0,
        "noise": -0.1,
        "lam": -0.1,
        "p": 5,
        "d": 7,
    },
    "denoising": {"gammas": (1.0, 0.0), "noise": 0.0, "K": 1},
    "redunet": {
        "data": ("nonesuch",),
        "eps": 0.0,
        "noise": -0.1,
        "steps": (0.5, -1.0),
        "sharpness": -1.0,
        "K": 1,
        "p": 13,
    },
    "landscape": {
        "problems": ("nonesuch",),
        "eps": (0.0,),
        "lam": (0.0,),
        "regularised_eps": 0.0,
        "sizes": (4,),
        "d": 1,
    },
    "interpretability": {"tokens": ("nonesuch",), "bases": ("nonesuch",), "eps": 0.0, "lam": (-0.1,), "noise": -0.1},
    "attention-only": {"thresholds": (0.6, 1.0), "noise": (-0.1,), "eta": -5.0, "n": 2},
    "tost-bound": {
        "memberships": ("labels", "nonesuch"),
        "eps": (0.0,),
        "eta": 0.0,
        "noise": (-0.1,),
        "p": 5,
        "K": 3,
        "d": 7,
    },
    "decoder-inversion": {"flows": ("nonesuch",), "eps": 0.0, "noise": -0.1, "time": 0.0},
}
"""Values, each in place of one of `TINY`, that no cell can be run with."""


@pytest.mark.parametrize("name", NAMES)
def test_what_cannot_be_run_is_refused_before_anything_runs(name):
    chosen = load(name)
    chosen.with_parameters(TINY[name])
    for parameter, value in REFUSED[name].items():
        named = {"K": "p", "d": "p"}.get(parameter, parameter) if "p" in REFUSED[name] and value != 1 else parameter
        last = value[-1] if isinstance(value, tuple) else value
        with pytest.raises(ValueError, match=rf"^{named} must be .*(got '?{last}|got \({last},\)|got \d)"):
            chosen.with_parameters({**TINY[name], parameter: value})


def test_what_the_mixture_cannot_have_is_no_matter_where_there_is_none():
    chosen = load("redunet")
    assert chosen.with_parameters({**TINY["redunet"], "data": ["digits"], "K": 1, "p": 13}).K == 1


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")  # of tokens too few to mean anything
@pytest.mark.parametrize("name", NAMES)
def test_what_is_not_refused_runs(name):
    """Numbers below, at and above every bound: the first row at least."""
    chosen = load(name)
    hints = get_type_hints(chosen.parameters)
    ran = 0
    for parameter, hint in hints.items():
        numbers = {float: (-1.0, 0.0, 0.3, 5.0), int: (1, 2, 7, 40)}.get(
            get_args(hint)[0] if get_args(hint) else hint, ()
        )
        for value in numbers if parameter != "seed" else ():
            try:
                given = {**TINY[name], parameter: (value,) if chosen.is_list(parameter) else value}
                given = chosen.with_parameters(given)
            except ValueError as error:
                assert " must be " in str(error)  # noqa: PT017
                continue
            next(chosen.run(given), None)
            ran += 1
    assert ran


def test_a_number_where_a_list_must_be_is_written_as_it_must_be(capsys):
    for setting, how in (
        ("depths=2", "depths=[2]"),
        ("rules=tost", 'rules=["tost"]'),
        ("halves=both", 'halves=["both"]'),
    ):
        assert main(["experiment", "twelve-layers", "--set", setting]) == 2
        assert f"; write {how}" in " ".join(capsys.readouterr().err.split())
    chosen = load("twelve-layers")
    assert chosen.with_parameters({"depths": [2]}).depths == (2,)


def test_what_a_later_cell_cannot_be_run_with_is_refused_before_the_first(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    command = ["experiment", "tost-bound", "--set", 'memberships=["labels", "nonesuch"]', "--out", "there"]
    assert main(command) == 2
    assert "memberships must be of labels, softmax, official, got 'nonesuch'" in " ".join(
        capsys.readouterr().err.split()
    )
    assert not (tmp_path / "there").exists()


# --- feature splitting ------------------------------------------------------------------------------------------


def test_the_gradient_of_the_autoencoder():
    rng = np.random.default_rng(0)
    X, shapes = rng.standard_normal((20, 3)), ((3, 5), (5,), (5, 3), (3,))
    weights = [rng.standard_normal(shape) for shape in shapes]
    slopes = sparse_autoencoder.gradient(sparse_autoencoder.SparseAutoencoder(*weights), X, lam=0.3)
    for i, slope in enumerate(slopes):
        direction = rng.standard_normal(shapes[i])
        values = []
        for h in (1e-6, -1e-6):
            moved = [w + h * direction if j == i else w for j, w in enumerate(weights)]
            values.append(sparse_autoencoder.loss(sparse_autoencoder.SparseAutoencoder(*moved), X, lam=0.3))
        assert (values[0] - values[1]) / 2e-6 == pytest.approx(np.sum(slope * direction), rel=1e-6)


def test_which_features_are_counted():
    U = np.stack([np.eye(4)[:2], np.eye(4)[2:]])  # bases in rows
    near = [np.cos(0.1), np.sin(0.1), 0, 0]
    W = np.array([[1.0, 0, 0, 0], [-1, 0, 0, 0], near, [0, 1, 0, 0], [0, 0, 1, 0], [1, 0, 1, 0], [0, 0, 0, 1]])
    code = np.ones((2000, 7))
    code[:, 6] = 0
    code[0, 6] = 1  # active on too few tokens
    assert feature_splitting.distinct(code, W, U, signed=True) == [2, 1]
    assert feature_splitting.distinct(code, W, U, signed=False) == [3, 1]
    code[:, 3] = 0.01  # far below its fair share
    assert feature_splitting.distinct(code, W, U, signed=False) == [2, 1]


def test_whether_more_features_pay_is_read_from_the_losses():
    row = {"method": "dictionary", "coefficients": "single", "p": 2, "features": 4.0, "most": 4}
    for losses, word in (((0.2, 0.1), "single"), ((0.1, 0.2), "none")):
        rows = [{**row, "width": width, "loss": loss} for width, loss in zip((2, 4), losses, strict=True)]
        assert f"with a lower loss for {word}" in feature_splitting.verdict(rows)


def test_one_more_feature_than_the_dimension_helps_where_two_coefficients_are_there_at_once():
    """The least of ½‖x − Dc‖² + λ‖c‖₁ at x = (t, t): 2λt − λ² with the axes, √2 λt − λ²/2 with the diagonal as well."""
    from sklearn.decomposition import sparse_encode

    lam, x = 0.1, np.array([[1.0, 1.0]])

    def least(D):
        code = sparse_encode(x, D, algorithm="lasso_cd", alpha=lam, max_iter=100000)
        return float(np.sum((x - code @ D) ** 2) / 2 + lam * np.abs(code).sum())

    axes = np.eye(2)
    assert least(axes) == pytest.approx(2 * lam - lam**2, abs=1e-6)
    with_diagonal = least(np.vstack([axes, np.ones((1, 2)) / np.sqrt(2)]))
    assert with_diagonal == pytest.approx(np.sqrt(2) * lam - lam**2 / 2, abs=1e-6)
    assert with_diagonal < least(axes) - 0.01


def test_splitting_stops_for_single_coefficients_and_not_for_gaussian_ones():
    given = feature_splitting.Parameters(
        methods=("dictionary",), coefficients=("single", "gaussian"), widths=(6,), p=2, d=4, n=1024
    )
    single, gaussian = feature_splitting.run(given)
    assert (single["least"], single["most"]) == (2, 2)
    assert gaussian["least"] > 2


# --- the others -------------------------------------------------------------------------------------------------


def test_room_for_a_thousand_and_not_for_billions(results):
    _, _, rows = results("room")
    cosine = next(row for row in rows if row["d"] == 1000 and row["reading"] == "|cos| <= 0.004")
    assert cosine["impossible"]
    assert cosine["log10 most"] == pytest.approx(np.log10(1016))  # d(1 − c²)/(1 − dc²) = 1016.24
    sine = next(row for row in rows if row["d"] == 1000 and row["reading"] == "sin >= 0.996")
    assert sine["least"] == 2**28
    assert not sine["certain"]
    assert not sine["impossible"]
    assert float(room.READINGS["angle >= 89.64 degrees"]()) == pytest.approx(np.cos(np.deg2rad(89.64)) ** 2, rel=1e-12)
    assert cosine["random"] < 0.2 < 0.99 < sine["random"]


def test_the_official_measure_falls_where_attention_raises_the_rate(results):
    _, _, rows = results("twelve-layers")
    halves = {row["rule"]: row for row in rows if row["halves"] == "compress"}
    assert halves["exact"]["Rc"] < halves["exact"]["Rc at 0"]
    assert halves["conceptual"]["Rc"] > halves["conceptual"]["Rc at 0"]
    assert halves["conceptual"]["measure"] < halves["conceptual"]["measure at 0"]


def test_the_gradient_reaches_the_cosine_of_theory_in_its_window_alone(results):
    _, _, rows = results("denoising")
    few = {row["gamma"]: row for row in rows if row["tokens"] == 8}
    assert few[1e3]["theory"] == pytest.approx(np.sqrt(2 * 24 / 64))
    assert few[1e3]["gradient"] == pytest.approx(few[1e3]["theory"], abs=0.05)
    assert few[1e3]["SNR step"] == pytest.approx(few[1e3]["SNR theory"], rel=0.1)
    assert few[1e-4]["gradient"] < 0.1 < 0.99 < few[1e-4]["shrinks"]
    many = [row["gradient"] for row in rows if row["tokens"] == 64]
    assert max(many) < 0.1
    assert min(row["score"] for row in rows) > 0.99
    assert denoising.gain(8, 0, 3, 8) == 1


def test_ends_of_ascent_are_local_maxima_of_theory(results):
    _, _, rows = results("landscape")
    assert all(row["local"] == row["starts"] for row in rows)
    assert not any(row["above"] for row in rows)
    best = landscape.unconstrained_ranks((4, 3), 3, 2.0)
    assert best.value == pytest.approx(max(landscape.local_maxima((4, 3), 3, eps=2.0, lam=None)))


def test_the_control_has_the_second_moment_of_the_mixture_and_not_its_structure():
    given = interpretability.Parameters()
    mixture, control = (interpretability.drawn(given, kind, "rotated") for kind in ("mixture", "control"))
    assert np.allclose(mixture[1].T @ mixture[1], control[1].T @ control[1], atol=1e-12)
    objective = srr.SparseRateReduction(mixture[0], 0.5, 0.1)
    inside = [interpretability.measured(objective, Z)["inside"] for _, Z in (mixture, control)]
    assert inside[0] > 0.9 > 0.6 > inside[1]
    reductions = [interpretability.measured(objective, Z)["dR"] for _, Z in (mixture, control)]
    assert reductions[0] == pytest.approx(reductions[1])


def test_one_free_subspace_ends_in_the_minor_directions(results):
    _, _, rows = results("interpretability")
    assert min(row["minor"] for row in rows) > 0.999
    assert max(row["principal"] for row in rows) < 1e-3
    assert rows[0]["nonzero"] < rows[0]["nonzero at 0"]


def test_snr_grows_as_the_theorem_says_in_the_first_layer_and_not_with_the_softmax(results):
    _, _, rows = results("attention-only")
    thresholded = [row for row in rows if row["threshold"] == 0.55]
    assert thresholded[0]["equal"]
    assert thresholded[0]["SNR"] == pytest.approx(thresholded[0]["theory"])
    assert thresholded[0]["rest"] == pytest.approx(1)
    assert thresholded[0]["signal"] == pytest.approx(1.275)
    assert not next(row for row in rows if row["threshold"] == "softmax")["equal"]
    Z = np.array([[3.0, 0, 4.0]])
    U = np.eye(3)[None, :, :2]
    assert attention_only.parts(Z, U, np.array([0])) == (3, 4)


def test_the_bound_of_tost_needs_labels_and_no_noise(results):
    _, _, rows = results("tost-bound")
    for row in rows:
        assert row["holds"] == (row["memberships"] == "labels" and row["noise"] == 0)


def test_a_round_trip_costs_half_with_twice_the_layers(results):
    _, _, rows = results("decoder-inversion")
    for before, after in ((rows[0], rows[1]), (rows[2], rows[3])):
        assert before["flow"] == after["flow"]
        assert after["error"] == pytest.approx(before["error"] / 2, rel=0.15)


def test_redunet_and_its_baselines_on_separable_tokens():
    chosen = load("redunet")
    given = chosen.parameters(**{**TINY["redunet"], "noise": 0.01, "coherence": "orthogonal", "samples": (12,)})
    for row in chosen.run(given):
        assert row["subspace"] == row["affine"] == row["redunet"] == 1
        assert row["reduction"] > row["reduction at 0"]
        assert row["rank at 0"] <= 4


def test_a_page_with_figure_and_numbers_beside_it(tmp_path, capsys):
    typed = ["experiment", "room", "--set", "d=[100]", "--out", str(tmp_path)]
    assert main(typed) == 0
    assert "room.html" in capsys.readouterr().out
    written = {f"room.{kind}" for kind in ("html", "json", "png", "svg", "cells.jsonl")}
    assert {path.name for path in tmp_path.iterdir()} == written
    text = (tmp_path / "room.html").read_text()
    found = Page(text)
    assert json.loads((tmp_path / "room.json").read_text())["verdict"] in found.text
    assert "Run it: srr experiment room --set 'd=[100]'" in found.text
    assert {a["href"] for tag, a in found.tags if tag == "a"} == {"#main", "room.svg", "room.png", "room.json"}
    assert main(typed) == 0
    assert (tmp_path / "room.html").read_text() == text


def test_the_error_of_an_autoencoder_counts_its_bias(monkeypatch):
    rng = np.random.default_rng(0)
    model = sparse_autoencoder.SparseAutoencoder(*(rng.standard_normal(s) for s in ((4, 6), (6,), (6, 4), (4,))))
    monkeypatch.setattr(sparse_autoencoder, "train", lambda *_, **__: model)
    X = rng.standard_normal((5, 4))
    code, W, again = feature_splitting._learned("autoencoder", X, X, 6, feature_splitting.Parameters())
    assert np.array_equal(again, code @ W + model.decode_bias)
