"""``srr audit`` and its report page; the small networks of the experiment on digits."""

import json
import os
import re
import sys
import tracemalloc
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from torch.nn import functional as F

import verify
from verify.auditing.half import COSINE
from verify.auditing.result import Form
from verify.cli import main
from verify.experiments import small_networks, trained_digits

NETWORKS = """
import torch
from verify.models.crate import Crate

def net():
    torch.manual_seed(0)
    return Crate(image_size=4, patch_size=2, num_classes=3, channels=1, dim=16, depth=2, heads=2)

def batches():
    torch.manual_seed(1)
    return [(torch.randn(2, 1, 4, 4), "labels") for _ in range(3)]

def nothing():
    return None
"""
HEADS = ("--heads", "2")


@pytest.fixture(autouse=True)
def somewhere(tmp_path, monkeypatch):
    """A folder to run in, with networks, images and 80 columns."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    monkeypatch.delitem(sys.modules, "audited_networks", raising=False)
    monkeypatch.setenv("COLUMNS", "80")
    (tmp_path / "audited_networks.py").write_text(NETWORKS)
    np.save("images.npy", np.random.default_rng(0).standard_normal((6, 1, 4, 4)).astype(np.float32))
    return tmp_path


def error(capsys, *arguments):
    """What a command says that cannot be done."""
    assert main(["audit", *arguments]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    return " ".join(err.split())


def test_it_audits_a_network_of_the_users_own_code(somewhere, capsys):
    given = ["audited_networks:net", "--data", "images.npy", *HEADS, "--eps", "0.5", "--certify", "1"]
    assert main(["audit", *given, "--json", "a.json", "--npz", "a.npz", "--out", "report"]) == 0
    out, err = capsys.readouterr()
    assert err == ""
    assert max(map(len, out.splitlines())) <= 80
    assert "2 layers, 5 tokens of dimension 16, beside the untrained twin" in " ".join(out.split())
    read = json.loads(Path("a.json").read_text())
    assert (read["samples"], read["certified"], read["settings"]["eps"]) == (6, 1, [0.5])
    assert Path("a.npz").stat().st_size > 1000
    names = {path.name for path in (somewhere / "report").iterdir()}
    assert {
        "audit.html",
        "audit.json",
        "audit.npz",
        "term-rc.svg",
        "term-rc.pdf",
        "controls.svg",
        "cosine.pdf",
    } <= names
    for path in (somewhere / "report").glob("*.svg"):
        ElementTree.parse(path)


def test_the_page_needs_nothing_but_itself_and_says_every_verdict(somewhere, capsys):
    given = ["audited_networks:net", "--data", "audited_networks:batches", *HEADS, "--eps", "0.5"]
    assert main(["audit", *given, "--out", "report", "--json", "a.json"]) == 0
    page = (somewhere / "report" / "audit.html").read_text()
    assert "http" not in re.sub(r"http://www\.w3\.org/\S+", "", page)
    ids = re.findall(r'\bid="([^"]+)"', page)
    assert len(ids) == len(set(ids))
    for used in re.findall(r'href="#([^"]+)"', page):
        assert used in ids
    for used in re.findall(r'href="([^"#:]+)"', page):
        assert (somewhere / "report" / used).is_file()
    text = " ".join(re.sub(r"<[^>]+>", " ", page).split())
    for verdict in json.loads(Path("a.json").read_text())["verdicts"]:
        assert verdict["sentence"].replace("'", "&#39;").split(";")[0] in text
    capsys.readouterr()
    again = (somewhere / "report" / "audit.html").read_bytes()
    assert main(["audit", *given, "--out", "report"]) == 0
    assert (somewhere / "report" / "audit.html").read_bytes() == again


def test_it_audits_a_checkpoint_of_a_layout_that_it_knows(capsys):
    save_file(small_networks.network("crate").state_dict(), "weights.safetensors")
    np.save("digits.npy", np.zeros((2, 1, 8, 8), np.float32) + np.arange(8, dtype=np.float32))
    given = ["weights.safetensors", "--data", "digits.npy", "--heads", "4", "--no-twin"]
    assert main(["audit", *given, "--tokens", "raw", "--controls", "0"]) == 0
    assert "4 layers, 17 tokens of dimension 32" in " ".join(capsys.readouterr().out.split())


def test_bad_input_gets_one_sentence(somewhere, capsys):
    net, data = "audited_networks:net", ("--data", "images.npy")
    assert "layout must be one of" in error(capsys, net, *data, *HEADS, "--layout", "none")
    assert "model must be importable, got 'no.such:net': no no" in error(capsys, "no.such:net", *data, *HEADS)
    assert "model must be in audited_networks, which has no no" in error(capsys, "audited_networks:no", *data, *HEADS)
    assert "must give a torch module, got NoneType" in error(capsys, "audited_networks:nothing", *data, *HEADS)
    assert "audited_networks:net must be a Layout" in error(capsys, net, *data, "--layout", net)
    assert "data must be a file that exists" in error(capsys, net, "--data", "none.npy", *HEADS)
    assert "heads must divide the 16 rows" in error(capsys, net, *data, "--heads", "3")
    assert "constant must be NAME=VALUE" in error(capsys, net, *data, *HEADS, "--constant", "lambd")
    assert "eps must be > 0" in error(capsys, net, *data, *HEADS, "--eps", "0")
    assert "twin must not be given with no-twin" in error(capsys, net, *data, *HEADS, "--twin", net, "--no-twin")
    assert "json must be in a folder that exists" in error(capsys, net, *data, *HEADS, "--json", "no/where.json")
    images = np.load("images.npy")
    images[3] = np.nan
    np.save("images.npy", images)
    assert "data in images.npy must be finite, got nan at index (3, 0, 0, 0)" in error(capsys, net, *data, *HEADS)
    np.savez("many.npz", a=images, b=images)
    assert "data in many.npz must be named as FILE:ARRAY" in error(capsys, net, "--data", "many.npz", *HEADS)


def test_data_may_be_the_numbers_of_words(somewhere):
    from verify import settings
    from verify.auditing import source

    np.save("words.npy", np.arange(6, dtype=np.int32).reshape(2, 3))
    found, samples = source.data("words.npy")
    assert (found[0:2].dtype, samples) == (np.int64, 2)
    assert settings.constants(("heads=4", "eta=0.5", "subspaces=key")) == {"heads": 4, "eta": 0.5, "subspaces": "key"}


def test_a_file_of_rows_is_read_batch_by_batch(somewhere):
    from verify.auditing import run, source

    images = np.asfortranarray(np.random.default_rng(0).standard_normal((2000, 3, 100)).astype(">f4"))
    images[1500, 1, 7] = np.inf
    np.save("large.npy", images)
    tracemalloc.start()
    found, samples = source.data("large.npy")
    assert samples == 2000
    batches = run._batches(found, 8)
    for i in range(0, 1496, 8):
        part = next(batches)
        assert part.dtype == torch.float32
        assert np.array_equal(part.numpy(), images[i : i + 8])
    with pytest.raises(ValueError, match=r"^data in large\.npy must be finite, got inf at index \(1500, 1, 7\)$"):
        next(batches)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < images.nbytes / 10


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (np.ones((2, 3), complex), "data in bad.npy must be float32 or float64, got complex128"),
        (np.array([[None]]), "data must be an array of numbers, got bad.npy: damaged, or pickled objects"),
        (np.full((2, 3), 2**63), "data in bad.npy must be of integers that int64 can hold, got 9223372036854775808"),
    ],
)
def test_a_file_without_rows_of_numbers_is_refused(somewhere, data, message):
    from verify.auditing import source

    np.save("bad.npy", data)
    with pytest.raises(ValueError, match=f"^{re.escape(message)}"):
        source.data("bad.npy")[0][:2]


@pytest.mark.parametrize("later", [np.zeros((4, 3)), np.zeros((2, 3)), np.zeros((4, 3, 1), np.float32)])
def test_a_file_that_changes_while_it_is_read_is_refused(somewhere, later):
    from verify.auditing import source

    np.save("rows.npy", np.ones((4, 3)))
    os.utime("rows.npy", ns=(0, 0))
    found, _ = source.data("rows.npy")
    assert np.array_equal(found[:2], np.ones((2, 3)))
    np.save("rows.npy", later)
    with pytest.raises(ValueError, match=r"^data in rows\.npy must stay as it is while it is read, got another file$"):
        found[2:4]


# --- the experiment ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", small_networks.NAMES)
def test_the_small_networks_are_what_they_are_called(name):
    torch.manual_seed(0)
    model = small_networks.network(name)
    layout, constants = small_networks.layout(name)
    images = torch.rand(12, 1, 8, 8)
    found = verify.audit(
        model, images, layout=layout, constants=constants, eps=small_networks.EPS, twin=False, batch=12
    )
    assert len(found.halves) == 2 * small_networks.DEPTH
    form = Form("raw", True, small_networks.EPS)
    first = [half for half in found.halves if half.half == "compress"]
    falls = [half.get("Rc", "change", form).below for half in first]
    cosines = [half.get(COSINE, "value", form).mean for half in first]
    if name == small_networks.EXACT:
        assert falls == [12] * 4
        assert cosines == pytest.approx([1] * 4)
    if name == small_networks.TIED:  # attention with the sign of the papers
        assert falls == [0] * 4
        assert max(cosines) < 0
    if name == small_networks.DESCENT:
        for a, b in zip(found.halves[::2], found.halves[1::2], strict=True):
            gain = b.get("SRR", "after", form).mean - a.get("SRR", "before", form).mean
            assert gain > 0
    if name == small_networks.VIT:
        assert not first[0].get("lasso", "change", form)
    loss = F.cross_entropy(model(images), torch.zeros(12, dtype=torch.long))
    loss.backward()
    assert all(p.grad is not None and torch.isfinite(p.grad).all() for p in model.parameters())


def test_its_table_is_of_the_numbers_that_are_there():
    results = json.loads(trained_digits.RESULT.read_text())
    assert {(r["network"], r["seed"]) for r in results} == {(n, s) for n in small_networks.NAMES for s in (0, 1, 2)}
    table = trained_digits.table(results)
    assert max(map(len, table.splitlines())) <= 80
    exact = [half for r in results if r["network"] == "exact" for half in r["halves"] if half["half"] == "compress"]
    assert all(half["verdicts"]["Rc"]["shown"] == results[0]["samples"] == 360 for half in exact)
    for name in small_networks.NAMES:
        assert re.search(rf"^{name} ", table, re.MULTILINE)


def test_it_goes_on_where_it_was(somewhere, monkeypatch, capsys):
    ran = []

    def run(jobs, epochs):
        for name, seed in jobs:
            ran.append((name, seed))
            yield {"network": name, "seed": seed, "epochs": epochs, "accuracy": 0.5}

    monkeypatch.setattr(trained_digits, "run", run)
    monkeypatch.setattr(trained_digits, "table", lambda results: f"{len(results)} runs")
    command = ["trained_digits", "--out", "r.json", "--epochs", "2", "--networks", "vit", "--seeds"]
    for seeds, more in ((["0"], [("vit", 0)]), (["1", "0"], [("vit", 1)]), (["0", "--fresh"], [("vit", 0)])):
        ran.clear()
        monkeypatch.setattr(sys, "argv", [*command, *seeds])
        trained_digits.main()
        assert ran == more
    assert "2 runs" in capsys.readouterr().out
