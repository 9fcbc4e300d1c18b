"""`srr descend`: what it prints, draws and reads, its exit codes, and one clear error for bad input."""

import json
import math
import os
import pickle
import re
import subprocess
import sys
from types import SimpleNamespace

import numpy as np
import pytest

import srr
from verify import decide, digits, files, subspaces
from verify.cli import main
from verify.layer_families import FAMILIES
from verify.promises import compression, promises_of
from verify.trace_figure import places_of

SMALL = ["--n", "8", "--d", "4", "--K", "2", "--p", "2", "--layers", "2"]


@pytest.fixture(autouse=True)
def somewhere(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "80")
    return tmp_path


@pytest.fixture
def mixture():
    return srr.mixtures.sample(n=10, d=6, K=2, p=2, noise=0.1, seed=3)


def told(capsys, *arguments):
    """The exit code and what was printed."""
    code = main(["descend", *arguments])
    return code, capsys.readouterr().out


def data_of(capsys, *arguments):
    code, out = told(capsys, *arguments, "--json")
    return code, json.loads(out)


# --- the table --------------------------------------------------------------------------------------------------


def test_the_descent_layer_exits_0(capsys):
    code, out = told(capsys, "descent", *SMALL)
    assert code == 0
    assert "layer    loss          fell 2 of 2" in out
    assert "rose" not in out


@pytest.mark.parametrize("eps", ["0.003", "0.5"])
def test_the_implicit_families_exit_0(capsys, eps):
    for family in ("implicit", "semi-implicit"):
        _, out = told(capsys, family, *SMALL, "--eps", eps, "--kappa", "100")
        (compress,) = (line for line in out.splitlines() if line.startswith("compress Rc"))
        assert "fell" in compress
        assert "rose" not in compress
    code, out = told(capsys, "implicit-descent", *SMALL, "--eps", eps)
    assert code == 0
    assert "compress loss, shrunk  fell 2 of 2" in out
    assert "layer    loss          fell 2 of 2" in out


def test_a_broken_promise_exits_1(capsys):
    code, out = told(capsys, "residual", *SMALL)
    assert code == 1
    assert "compress Rc            rose 2 of 2; first in layer 1" in out


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("more", [[], ["--pre-norm"]])
def test_the_table_fits_80_columns(capsys, family, more):
    code, out = told(capsys, family, *SMALL, *more)
    assert code in (0, 1)
    assert max(map(len, out.splitlines())) <= 80
    assert "\x1b" not in out
    assert out.count("compress ") == (6 if family == "autoencoder" else 3)
    assert ("LayerNorm before each half" in out) == bool(more)


def test_the_numbers_are_those_of_the_layers(capsys):
    code, data = data_of(capsys, "exact", *SMALL, "--seed", "5", "--eps", "0.7", "--lam", "0.2", "--eta", "0.3")
    mixture = srr.mixtures.sample(n=8, d=4, K=2, p=2, noise=0.1, seed=5)
    objective = srr.SparseRateReduction(mixture.U, 0.7, 0.2)
    assert data["objective"] == {"K": 2, "d": 4, "p": 2, "eps": 0.7, "lam": 0.2}
    assert data["start"]["loss"] == float(objective.loss(mixture.Z))
    first = data["steps"][0]
    step = srr.curvature.compression_step(mixture.U, 8, eps=0.7)
    after = srr.attention.exact_step(mixture.Z, mixture.U, eps=0.7, step=step)
    assert (first["layer"], first["half"], first["must_not_raise"]) == (1, "compress", "Rc")
    assert first["terms"]["R"] == float(srr.coding_rate(after, eps=0.7))
    change = decide.subspace_rate_change(mixture.Z, after, mixture.U, eps=0.7)
    assert first["change"] == [change.lower, change.upper]
    assert first["verdict"] == "fell"
    assert [s["half"] for s in data["steps"]] == ["compress", "sparsify", "layer"] * 2
    assert code == int(any(s["verdict"] in ("rose", "not finite") for s in data["steps"]))


def test_steps_and_scale_reach_the_layers(capsys):
    _, plain = data_of(capsys, "exact", *SMALL)
    for option in (
        ["--kappa", "0.01"],
        ["--eta", "0.01"],
        ["--scale", "3"],
        ["--seed", "1"],
        ["--noise", "0"],
    ):
        _, other = data_of(capsys, "exact", *SMALL, *option)
        assert other["steps"] != plain["steps"], option
    _, again = data_of(capsys, "exact", *SMALL)
    assert again == plain


def test_the_official_layer_has_the_theoretical_output_matrix(capsys):
    _, data = data_of(capsys, "official", *SMALL)
    mixture = srr.mixtures.sample(n=8, d=4, K=2, p=2, noise=0.1, seed=0)
    attended = srr.attention.mssa_official(mixture.Z, mixture.U, output=np.hstack(list(mixture.U)))
    assert data["steps"][0]["terms"]["R"] == pytest.approx(float(srr.coding_rate(mixture.Z + attended, eps=0.5)))


def test_tokens_that_leave_the_floats_end_the_trace(capsys):
    code, out = told(capsys, "neumann", *SMALL[:-1], "40", "--scale", "1e4")
    assert code == 1
    assert "not finite" in out
    assert max(map(len, out.splitlines())) <= 80
    assert "…" not in out


def test_changes_below_every_float_are_no_zeros(capsys):
    code, out = told(capsys, "residual", *SMALL[:-1], "1", "--scale", "1e-200")
    assert code == 1
    assert out.count("<5e-324 rose") == 1
    assert not re.search(r"[-+]0 ", out)
    code, out = told(capsys, "exact", *SMALL[:-1], "1", "--scale", "1e-200")
    assert ">-5e-324 fell" in out


# --- tokens of one's own ----------------------------------------------------------------------------------------


def save(kind, path, **arrays):
    if kind == "npy":
        (array,) = arrays.values()
        np.save(path, array)
    elif kind == "npz":
        np.savez(path, **arrays)
    else:
        from safetensors.numpy import save_file

        save_file(arrays, path)


@pytest.mark.parametrize("family", FAMILIES)
def test_every_family_takes_tokens_of_ones_own(capsys, mixture, family):
    np.save("Z.npy", mixture.Z)
    np.save("U.npy", mixture.U)
    bases = ["--K", "3" if family in ("transpose", "identity") else "2", "--p", "2"]  # those two ask for K p = d
    if family == "implicit":  # and this one for orthogonal subspaces
        bases = ["--bases", "U.npy"]
    code, data = data_of(capsys, family, "--tokens", "Z.npy", *bases, "--layers", "2")
    assert code in (0, 1)
    assert {step["layer"] for step in data["steps"]} == ({1, 2, 3, 4} if family == "autoencoder" else {1, 2})
    assert all(step["verdict"] not in ("undecided", "not finite") for step in data["steps"])


@pytest.mark.parametrize("family", ["tost", "tost-official", "tost-block", "cbsa"])
def test_what_keeps_its_promise(capsys, family):
    _, data = data_of(capsys, family, *SMALL)
    first = [step for step in data["steps"] if step["half"] == "compress"]
    assert [step["verdict"] for step in first] == ["fell", "fell"]
    assert {step["must_not_raise"] for step in first} == {"Rc" if family == "cbsa" else "Rvar"}


@pytest.mark.parametrize("kind", ["npy", "npz", "safetensors"])
def test_tokens_and_bases_from_files(capsys, mixture, kind):
    save(kind, f"Z.{kind}", Z=mixture.Z)
    save(kind, f"U.{kind}", U=mixture.U)
    save(kind, f"D.{kind}", D=2 * np.eye(6))
    _, data = data_of(capsys, "exact", "--tokens", f"Z.{kind}", "--bases", f"U.{kind}", "--layers", "1")
    objective = srr.SparseRateReduction(mixture.U, 0.5, 0.1)
    assert data["start"]["loss"] == float(objective.loss(mixture.Z))
    assert data["tokens"] == f"10 tokens of dimension 6 from Z.{kind}"
    assert data["bases"] == f"2 of dimension 2 from U.{kind}"
    _, other = data_of(
        capsys, "exact", "--tokens", f"Z.{kind}", "--bases", f"U.{kind}", "--layers", "1",
        "--dictionary", f"D.{kind}",
    )  # fmt: skip
    assert other["steps"][0] == data["steps"][0]
    assert other["steps"][1] != data["steps"][1]


def test_one_file_may_hold_several_arrays(capsys, mixture):
    np.savez("all.npz", Z=mixture.Z, U=mixture.U, other=2 * mixture.Z)
    _, data = data_of(capsys, "exact", "--tokens", "all.npz", "--bases", "all.npz", "--layers", "1")
    _, named = data_of(capsys, "exact", "--tokens", "all.npz:other", "--bases", "all.npz:U", "--layers", "1")
    assert named["start"]["l1"] == pytest.approx(2 * data["start"]["l1"])


def test_float32_tokens_stay_float32(capsys, mixture):
    np.save("Z.npy", mixture.Z.astype(np.float32))
    np.save("U.npy", mixture.U.astype(np.float32))
    for bases in (["--bases", "U.npy"], ["--K", "2", "--p", "2"]):
        code, data = data_of(capsys, "descent", "--tokens", "Z.npy", *bases, "--layers", "3", "--scale", "2")
        assert code == 0
        assert np.float32(data["start"]["loss"]) == data["start"]["loss"]


def test_bases_are_fitted_and_it_is_said(capsys, mixture):
    np.save("Z.npy", mixture.Z)
    _, data = data_of(capsys, "exact", "--tokens", "Z.npy", "--K", "2", "--p", "2", "--layers", "1")
    assert data["bases"].startswith("2 of dimension 2, fitted to these tokens (K-subspaces: ")


def test_digits(capsys):
    pytest.importorskip("sklearn")
    code, out = told(capsys, "descent", "--data", "digits", "--layers", "2", "--n", "32")
    assert code == 0
    assert "32 patches, 4 x 4 pixels of unit norm, of scikit-learn's digits" in out
    assert "4 of dimension 4, fitted to all 7173 patches (K-subspaces: 93 % kept)" in out


# --- figures ----------------------------------------------------------------------------------------------------


def test_halves_in_either_order_have_their_places_in_a_figure(somewhere, capsys):
    told(capsys, "autoencoder", *SMALL, "--figure", "a.svg")
    assert (somewhere / "a.svg").stat().st_size > 5000
    _, data = data_of(capsys, "autoencoder", *SMALL)
    steps = [step for step in data["steps"] if step["half"] != "layer"]
    shapes = tuple(SimpleNamespace(index=s["layer"] - 1, half=s["half"]) for s in steps)
    assert list(places_of(shapes).values()) == [0.5, 1, 1.5, 2, 2.5, 3, 3.5, 4]
    assert [(s["layer"], s["half"]) for s in steps[-4:]] == [
        (3, "sparsify"),
        (3, "compress"),
        (4, "sparsify"),
        (4, "compress"),
    ]


@pytest.mark.parametrize("suffix", [".svg", ".png", ".pdf"])
def test_a_figure_is_the_same_bytes_each_time(capsys, somewhere, suffix):
    (somewhere / "folder").mkdir()
    written = []
    for place in (f"a{suffix}", f"folder/b{suffix}"):
        _, out = told(capsys, "residual", *SMALL, "--figure", place)
        assert f"Figure  {place}" in out
        written.append((somewhere / place).read_bytes())
    assert written[0] == written[1]
    assert len(written[0]) > 5000
    assert sorted(p.name for p in somewhere.iterdir()) == [f"a{suffix}", "folder"]


def test_a_figure_that_fails_leaves_nothing(somewhere, monkeypatch, capsys):
    from matplotlib.figure import Figure

    def full_disk(self, place, **options):
        place.write(b"half a figure")
        raise OSError("No space left on device")

    monkeypatch.setattr(Figure, "savefig", full_disk)
    assert main(["descend", "exact", *SMALL, "--figure", "a.svg"]) == 2
    assert "No space left on device" in capsys.readouterr().err
    assert list(somewhere.iterdir()) == []


def test_a_figure_that_cannot_be_drawn_keeps_the_old_one(somewhere, capsys):
    (somewhere / "a.jpg").write_text("old")
    assert main(["descend", "exact", *SMALL, "--figure", "a.jpg"]) == 2
    assert "figure must be a file .svg, .png, .pdf, got 'a.jpg'" in capsys.readouterr().err
    assert (somewhere / "a.jpg").read_text() == "old"


# --- bad input --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", ["f4", "f8"])
def test_the_byte_order_of_a_file_does_not_matter(capsys, mixture, dtype):
    for order in "<>":
        np.save(f"{order}.npy", mixture.Z.astype(f"{order}{dtype}"))
    _, little = data_of(capsys, "exact", "--tokens", "<.npy", "--K", "2")
    _, big = data_of(capsys, "exact", "--tokens", ">.npy", "--K", "2")
    assert big["steps"] == little["steps"]


@pytest.fixture
def broken(somewhere, mixture):
    """Files that are not what they should be."""
    Z = mixture.Z
    np.save("Z.npy", Z)
    np.save("U.npy", mixture.U)
    np.save("flat.npy", Z[0])
    np.save("empty.npy", Z[:0])
    np.save("whole.npy", np.arange(6).reshape(2, 3))
    np.save("half.npy", Z.astype(np.float16))
    np.save("complex.npy", Z.astype(complex))
    np.save("nan.npy", np.where(np.arange(60).reshape(10, 6) == 7, np.nan, Z))
    np.save("short.npy", Z[:, :4])
    np.save("U32.npy", mixture.U.astype(np.float32))
    np.save("wide.npy", np.ones((2, 6, 7)))
    np.savez("two.npz", a=Z, b=Z)
    (somewhere / "objects.npy").write_bytes(b"")
    np.save("objects.npy", np.array([{"a": 1}], dtype=object), allow_pickle=True)
    (somewhere / "pickle.npy").write_bytes(pickle.dumps([1.0]))
    whole = (somewhere / "Z.npy").read_bytes()
    (somewhere / "cut.npy").write_bytes(whole[:-100])
    (somewhere / "nothing.npy").write_bytes(b"")
    (somewhere / "cut.npz").write_bytes((somewhere / "two.npz").read_bytes()[:-50])
    (somewhere / "bad.safetensors").write_bytes(whole)
    (somewhere / "folder.npy").mkdir()
    (somewhere / "Z.txt").write_text("1.0")
    return somewhere


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--tokens", "none.npy"], "tokens must be a file that exists, got 'none.npy'"),
        (["--tokens", "folder.npy"], "tokens must be a file, got the directory 'folder.npy'"),
        (["--tokens", "Z.txt"], "tokens must be a file .npy, .npz, .safetensors, got 'Z.txt'"),
        (["--tokens", "flat.npy"], "tokens must have shape (n, d) with no empty axis, got (6,)"),
        (["--tokens", "empty.npy"], "tokens must have shape (n, d) with no empty axis, got (0, 6)"),
        (["--tokens", "U.npy"], "tokens must have shape (n, d) with no empty axis, got (2, 6, 2)"),
        (["--tokens", "whole.npy"], "tokens in whole.npy must be float32 or float64, got int64"),
        (["--tokens", "half.npy"], "tokens in half.npy must be float32 or float64, got float16"),
        (["--tokens", "complex.npy"], "tokens in complex.npy must be float32 or float64, got complex128"),
        (["--tokens", "nan.npy"], "tokens in nan.npy must be finite, got nan at index (1, 1)"),
        (["--tokens", "objects.npy"], "pickled objects, which srr does not load"),
        (["--tokens", "pickle.npy"], "pickled objects, which srr does not load"),
        (["--tokens", "cut.npy"], "tokens must be a whole .npy file, got cut.npy:"),
        (["--tokens", "nothing.npy"], "tokens must be a whole .npy file, got nothing.npy:"),
        (["--tokens", "cut.npz"], "tokens must be a whole .npz file, got cut.npz:"),
        (["--tokens", "bad.safetensors"], "tokens must be a whole .safetensors file, got bad.safetensors:"),
        (["--tokens", "two.npz"], "tokens in two.npz must be named as FILE:ARRAY, got a file with 'a', 'b'"),
        (["--tokens", "two.npz:c"], "tokens in two.npz must be one of its arrays 'a', 'b', got 'c'"),
        (["--tokens", "Z.npy", "--bases", "short.npy"], "bases must have shape (K, 6, p)"),
        (["--tokens", "Z.npy", "--bases", "wide.npy"], "bases must have shape (K, 6, p) with p <= 6"),
        (["--tokens", "Z.npy", "--bases", "U32.npy"], "bases must be float64 as the tokens are, got float32"),
        (["--tokens", "Z.npy", "--dictionary", "short.npy"], "dictionary must have shape (6, 6)"),
        (["--tokens", "Z.npy", "--dictionary", "U32.npy"], "dictionary must be float64 as the tokens are"),
        (["--tokens", "Z.npy", "--n", "3"], "n must be left out with tokens, got 3"),
        (["--tokens", "Z.npy", "--noise", "0.0"], "noise must be left out with tokens, got 0.0"),
        (["--tokens", "Z.npy", "--data", "digits"], "data must be left out with tokens, got 'digits'"),
        (["--tokens", "Z.npy", "--bases", "U.npy", "--K", "2"], "K must be left out with bases, got 2"),
        (["--bases", "U.npy"], "bases must go with tokens, got bases alone"),
        (["--data", "digits", "--d", "3"], "d must be left out with data digits, got 3"),
        (["--data", "digits", "--n", "99999"], "n must be <= 7173, the patches there are, got 99999"),
        (["--n", "0"], "n must be >= 1, got 0"),
        (["--d", "4", "--K", "2", "--p", "5"], "p must be <= d = 4, got 5"),
        (["--d", "4", "--K", "3", "--p", "2"], 'coherence must be "random" when K p = 6 > d = 4'),
        (["--eps", "0"], "eps must be > 0, got 0"),
        (["--eps", "nan"], "eps must be finite, got nan"),
        (["--lam", "-1"], "lam must be >= 0, got -1"),
        (["--scale", "0"], "scale must be > 0, got 0"),
        (["--scale", "1e308"], "scale must leave the tokens finite in float64, got 1e+308"),
        (["--eta", "-1"], "eta must be > 0, got -1"),
        (["--kappa", "inf"], "kappa must be finite, got inf"),
        (["--layers", "0"], "layers must be >= 1, got 0"),
        (["--layers", "1.5"], "whole number"),
        (["--seed", "-1"], "seed must be >= 0, got -1"),
        (["--figure", "a.gif"], "figure must be a file .svg, .png, .pdf, got 'a.gif'"),
        (["--figure", "none/a.svg"], "figure must be in a folder that exists, got none/a.svg"),
        (["--figure", "/proc/a.svg"], "figure must be where files can be written, got /proc/a.svg"),
        (["--data", "mnist"], "mnist"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_bad_input_is_one_clear_error(broken, capsys, arguments, message):
    before = sorted(broken.iterdir())
    assert main(["descend", "exact", *arguments]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert message in err
    assert err.startswith("srr: ")
    assert len(err.splitlines()) == 2
    assert sorted(broken.iterdir()) == before


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["descent", "--eta", "0.1"], "eta must be left out with descent, which has no such step, got 0.1"),
        (["descent", "--kappa", "1"], "kappa must be left out with descent, which has no such step, got 1"),
        (["tost", "--kappa", "1"], "kappa must be left out with tost, which has no such step, got 1"),
        (["cbsa-official", "--kappa", "1"], "kappa must be left out with cbsa-official, which has no such step"),
        (["official", "--kappa", "1"], "kappa must be left out with official, which has no such step, got 1"),
        (["crate"], "crate"),
    ],
)
def test_options_that_a_family_does_not_have(capsys, arguments, message):
    assert main(["descend", *arguments]) == 2
    assert message in capsys.readouterr().err


def test_what_is_not_installed_is_named(mixture, monkeypatch, capsys):
    save("safetensors", "Z.safetensors", Z=mixture.Z)
    monkeypatch.setitem(sys.modules, "safetensors.numpy", None)
    monkeypatch.setitem(sys.modules, "sklearn", None)
    assert main(["descend", "exact", "--tokens", "Z.safetensors"]) == 2
    assert "needs the safetensors package: pip install safetensors" in capsys.readouterr().err
    assert main(["descend", "exact", "--data", "digits"]) == 2
    assert "data digits needs scikit-learn, which is not installed: pip install scikit-learn" in capsys.readouterr().err


def test_the_command_in_its_own_process():
    def run(**environment):
        return subprocess.run(
            [sys.executable, "-m", "verify", "descend", "residual", *SMALL],
            capture_output=True,
            text=True,
            env={**os.environ, **environment},
            timeout=120,
        )

    plain, coloured, bare = run(), run(FORCE_COLOR="1"), run(FORCE_COLOR="1", NO_COLOR="1")
    assert plain.returncode == coloured.returncode == bare.returncode == 1
    assert "\x1b[31m" in coloured.stdout
    assert "\x1b[31m" not in bare.stdout + plain.stdout
    assert plain.stderr == ""


# --- parts ------------------------------------------------------------------------------------------------------


def test_planted_subspaces_are_found():
    mixture = srr.mixtures.sample(n=60, d=8, K=3, p=2, seed=0)
    U = subspaces.fit(mixture.Z, 3, 2, seed=0)
    assert subspaces.kept(mixture.Z, U) == pytest.approx(1)
    assert U.shape == (3, 8, 2)
    assert np.einsum("kdp,kdq->kpq", U, U) == pytest.approx(np.broadcast_to(np.eye(2), (3, 2, 2)))
    nearest = np.sum((mixture.Z @ U) ** 2, axis=2).argmax(axis=0)
    for k in range(3):
        assert len(set(mixture.labels[nearest == k])) == 1
    assert subspaces.kept(mixture.Z, U[:1]) < 0.7
    assert np.array_equal(U, subspaces.fit(mixture.Z, 3, 2, seed=0))


def test_more_subspaces_than_tokens_are_still_bases():
    Z = np.zeros((2, 4))
    Z[0, 0] = 1.0
    U = subspaces.fit(Z, 3, 3, seed=1)
    assert np.einsum("kdp,kdq->kpq", U, U) == pytest.approx(np.broadcast_to(np.eye(3), (3, 3, 3)))
    assert subspaces.kept(Z, U) == pytest.approx(1)
    assert subspaces.kept(np.zeros((2, 4)), U) == 1.0


def test_ties_between_subspaces_do_not_go_on(monkeypatch):
    rounds = []
    principal, Z = subspaces._principal, srr.mixtures.sample(n=200, d=4, K=2, p=2, seed=0).Z
    monkeypatch.setattr(subspaces, "_principal", lambda Z, p: rounds.append(p) or principal(Z, p))
    subspaces.fit(Z, 2, 4, seed=0)  # either subspace is everything: rounding decides which is nearer
    assert len(rounds) <= 2 * 2 * subspaces.STARTS


def test_patches_are_pieces_of_the_digits():
    datasets = pytest.importorskip("sklearn.datasets")
    some, everything = digits.patches(50, seed=0)
    assert everything.shape == (7173, 16)
    assert some.shape == (50, 16)
    assert np.linalg.norm(some, axis=1) == pytest.approx(np.ones(50))
    image = datasets.load_digits().images[0]
    corners = [image[i : i + 4, j : j + 4].ravel() for i in (0, 4) for j in (0, 4)]
    for patch, corner in zip(everything, corners, strict=False):
        assert patch == pytest.approx(corner / np.linalg.norm(corner))
    assert len({tuple(row) for row in some}) == 50
    assert not np.array_equal(some, digits.patches(50, seed=1)[0])


def test_a_file_name_with_a_colon_is_split_at_the_last(somewhere):
    np.savez("a:b.npz", x=np.ones(2), y=np.zeros(2))
    assert files.load("a:b.npz:y", "tokens", key="Z").tolist() == [0.0, 0.0]


def test_the_promise_of_the_first_half_is_that_of_the_theory():
    mixture = srr.mixtures.sample(n=8, d=4, K=2, p=2, seed=0)
    objective = srr.SparseRateReduction(mixture.U, 0.5, 0.1)
    layer = srr.layers.crate(mixture.U, np.eye(4), rule="exact", eps=0.5)
    assert promises_of(layer, objective)[0].quantity == compression(objective).quantity
    assert math.isfinite(promises_of(layer, objective)[0].rounding(mixture.Z, layer.compress(mixture.Z)))


# --- ReduNet ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("family", ["redunet", "redunet-gradient", "redunet-official"])
def test_redunet_raises_the_rate_reduction_of_the_labels(capsys, family):
    code, data = data_of(capsys, family, *SMALL)
    assert code == 0
    mixture = srr.mixtures.sample(n=8, d=4, K=2, p=2, noise=0.1, seed=0)
    Z = srr.redunet.on_sphere(mixture.Z)
    rule = {"redunet": "network"}.get(family, family.removeprefix("redunet-"))
    eta = srr.curvature.sphere_step(8, 4, eps=0.5) if rule == "gradient" else 0.5
    layer = srr.layers.redunet(Z, mixture.Pi, rule=rule, eps=0.5, eta=eta)
    change = decide.partition_rate_reduction_change(Z, layer.compress(Z), mixture.Pi, eps=0.5)
    assert data["steps"][0]["must_not_raise"] == "-dR(Z|Pi)"
    assert data["steps"][0]["change"] == [-change.upper, -change.lower]
    assert [s["must_not_raise"] for s in data["steps"][:3]] == ["-dR(Z|Pi)", "off sphere", "-dR(Z|Pi)"]
    assert {s["verdict"] for s in data["steps"]} == {"fell"}


def test_redunet_breaks_its_promise_with_a_long_step(capsys):
    assert told(capsys, "redunet-gradient", *SMALL, "--eta", "50", "--eps", "0.3")[0] == 1
    assert told(capsys, "redunet-gradient", *SMALL, "--eps", "0.3")[0] == 0


def test_redunet_with_labels_from_a_file(capsys, mixture):
    np.save("Z.npy", mixture.Z)
    np.save("labels.npy", 3 - 2 * mixture.labels)  # any integers
    np.savez("both.npz", Z=mixture.Z, labels=mixture.labels.astype(np.int8))
    given = ["redunet", "--tokens", "Z.npy", "--K", "2", "--p", "2"]
    _, data = data_of(capsys, *given, "--labels", "labels.npy")
    _, again = data_of(capsys, *given, "--labels", "both.npz")
    assert data["steps"] == again["steps"]
    Z = srr.redunet.on_sphere(mixture.Z)
    half = srr.layers.redunet(Z, mixture.Pi, eps=0.5).compress(Z)
    assert data["steps"][0]["terms"]["R"] == pytest.approx(float(srr.coding_rate(half, eps=0.5)))
    assert told(capsys, *given)[0] in (0, 1)  # of the nearest subspace


def test_labels_are_for_redunet_and_bases_for_any_family(capsys, mixture):
    np.save("Z.npy", mixture.Z)
    np.save("U.npy", 2 * mixture.U)  # not orthonormal: the nearest subspace is that of its span
    for family in ("redunet", "exact"):
        assert told(capsys, family, "--tokens", "Z.npy", "--bases", "U.npy", "--layers", "1")[0] in (0, 1)
    assert main(["descend", "exact", "--tokens", "Z.npy", "--labels", "labels.npy"]) == 2
    assert "labels must be left out with exact, got 'labels.npy'" in capsys.readouterr().err


@pytest.mark.parametrize("labels", [np.zeros(9, int), np.zeros((10, 1), int), np.zeros(10)])
def test_bad_labels(capsys, mixture, labels):
    np.save("Z.npy", mixture.Z)
    np.save("labels.npy", labels)
    assert main(["descend", "redunet", "--tokens", "Z.npy", "--labels", "labels.npy"]) == 2
    assert "labels in labels.npy must be 10 integers, got" in capsys.readouterr().err
