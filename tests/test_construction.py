"""`srr redunet`: what it prints, that it goes on where it was killed, exit codes, and one clear error for bad input."""

import json
import subprocess
import sys
import time

import numpy as np
import pytest

import srr
from srr.redunet import class_subspaces, construct, nearest_subspace, on_sphere
from verify import construction
from verify.cli import main

SIZES = {"--n": "24", "--d": "6", "--K": "2", "--p": "2", "--layers": "7"}
SMALL = [word for option in SIZES.items() for word in option]


@pytest.fixture(autouse=True)
def somewhere(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "80")
    return tmp_path


def small(option, value):
    """The small options with one of them changed, or added."""
    return [word for pair in {**SIZES, option: value}.items() for word in pair]


def told(capsys, *arguments):
    code = main(["redunet", *arguments])
    captured = capsys.readouterr()
    return code, captured.out, captured.err


def data_of(capsys, *arguments):
    code, out, err = told(capsys, *arguments, "--json")
    assert (code, err) == (0, "")
    return json.loads(out)


def test_the_numbers_are_those_of_the_network(capsys):
    data = data_of(capsys, *SMALL, "--eps", "0.4", "--seed", "3", "--eta", "0.2", "--noise", "0.3")
    assert [row["layer"] for row in data["layers"]] == [0, 1, 2, 5, 7]
    mixture = srr.mixtures.sample(n=24, d=6, K=2, p=2, noise=0.3, coherence="random", seed=3)
    Z, X = on_sphere(mixture.Z), on_sphere(mixture.draw(1).Z)
    first = np.mean(nearest_subspace(X, class_subspaces(Z, mixture.Pi, 2)) == mixture.draw(1).labels)
    assert data["layers"][0]["nearest"] == first
    for layer, after in construct(Z, mixture.Pi, layers=7, eps=0.4, eta=0.2):
        Z, X = after, layer(X)
    last = data["layers"][-1]
    assert last["reduction"] == float(srr.rate_reduction(Z, Pi=mixture.Pi, eps=0.4))
    assert last["held_out_reduction"] == float(srr.rate_reduction(X, Pi=mixture.draw(1).Pi, eps=0.4))
    apart = mixture.draw(1).labels[:, None] != mixture.labels
    assert last["cosine"] == pytest.approx(np.abs(X @ Z.T)[apart].mean(), rel=1e-12)


def test_the_network_separates_a_mixture(capsys):
    rows = data_of(capsys, "--layers", "100", "--seed", "1")["layers"]
    assert rows[-1]["cosine"] < rows[0]["cosine"] / 5
    assert rows[-1]["reduction"] > 1.5 * rows[0]["reduction"]
    assert min(row["nearest"] for row in rows) > 0.97


@pytest.mark.parametrize("rule", ["network", "gradient", "official"])
def test_the_table_fits_80_columns(capsys, rule):
    code, out, _ = told(capsys, *SMALL, "--rule", rule)
    assert code == 0
    assert max(map(len, out.splitlines())) <= 80
    assert "\x1b" not in out
    assert "nearest subspace" in out


@pytest.mark.parametrize("rule", ["network", "gradient"])
def test_a_construction_goes_on_to_the_same_result(capsys, somewhere, rule):
    whole = data_of(capsys, *SMALL, "--rule", rule)
    data_of(capsys, *SMALL[:-1], "3", "--rule", rule, "--state", "state.npz")
    assert data_of(capsys, *SMALL, "--rule", rule, "--state", "state.npz") == whole
    assert data_of(capsys, *SMALL, "--rule", rule, "--state", "state.npz") == whole  # and stands still at the end
    assert [path.name for path in somewhere.iterdir()] == ["state.npz"]


def test_a_construction_that_was_killed_goes_on(capsys, somewhere):
    command = [sys.executable, "-m", "verify", "redunet", *SMALL[:-1], "100000", "--state", "state.npz"]
    state = somewhere / "state.npz"
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    try:
        for _ in range(600):
            time.sleep(0.1)
            if state.exists():
                break
    finally:
        process.kill()
        process.wait()
    settings = construction.Settings(24, 6, 2, 2, 0.1, "random", "network", 0.5, 0.5, 500.0, 0, 10**6)
    layer = construction.load(state, settings).layer
    assert layer > 0
    number = small("--layers", str(layer + 3))
    assert data_of(capsys, *number, "--state", "state.npz") == data_of(capsys, *number)


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["--layers", "0"], "layers must be >= 1, got 0"),
        (["--eps", "0"], "eps must be > 0, got 0.0"),
        (["--eta", "-1"], "eta must be > 0, got -1.0"),
        (["--p", "9"], "p must be <= d = 6, got 9"),
        (["--noise", "-1"], "noise must be >= 0, got -1.0"),
        (["--sharpness", "nan"], "sharpness must be finite, got nan"),
        (["--state", "nowhere/state.npz"], "state must be in a folder that exists"),
    ],
)
def test_bad_input(capsys, arguments, says):
    code, out, err = told(capsys, *small(*arguments))
    assert (code, out) == (2, "")
    assert says in err
    assert len(err.splitlines()) == 2


def test_states_of_other_constructions_are_refused(capsys, somewhere):
    told(capsys, *SMALL, "--state", "state.npz")
    for change, says in ((["--seed", "1"], "the same construction"), (["--layers", "5"], "layers must be >= 7")):
        code, _, err = told(capsys, *small(*change), "--state", "state.npz")
        assert code == 2
        assert says in err
    (somewhere / "state.npz").write_bytes((somewhere / "state.npz").read_bytes()[:100])
    code, _, err = told(capsys, *SMALL, "--state", "state.npz")
    assert code == 2
    assert "state must be a whole file" in err
