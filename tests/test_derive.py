"""``srr derive``: as text, as a page, as an article that compiles."""

import json
import shutil
import subprocess
from dataclasses import replace
from xml.etree import ElementTree

import pytest

import derivations
from derivations import catalogue
from verify.cli import main

NAME = "curvature-of-the-coding-rate-from-below"


@pytest.fixture(autouse=True)
def somewhere(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_the_list_has_every_statement(capsys):
    assert main(["derive"]) == 0
    out = capsys.readouterr().out
    assert all(f"{name}\n    " in out for name in catalogue())
    assert f"{len(catalogue())} derivations" in out


def test_one_derivation_step_by_step(capsys):
    assert main(["derive", NAME]) == 0
    out = capsys.readouterr().out
    assert "proved, 2 steps, general sizes" in out
    assert "  ≥ -α/8 ‖H‖²\n" in out
    assert "  with NN = M\n" in out
    assert "[sum of squares; general sizes]" in " ".join(out.split())


def test_patterns_and_json(capsys):
    assert main(["derive", "curvature-of-the-coding-rate-*", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert [d["name"] for d in found] == [
        name for name in catalogue() if name.startswith("curvature-of-the-coding-rate-")
    ]
    for d in found:
        assert d["standing"].startswith("proved")
        derivation = catalogue()[d["name"]]
        assert len(d["steps"]) == len(derivation.steps)
        assert all(step["accepted"] and step["rule"] and step["means"] == "general sizes" for step in d["steps"])
        assert d["hypotheses"] == [*derivation.hypotheses]
        assert "NN = M" in d["with"] or d["name"] != NAME


def test_what_is_taken_as_given_is_shown_everywhere(capsys, somewhere):
    """Facts from outside, its own and those of what it uses, and ranges, own and inherited."""
    names = ("posterior-mean-of-a-mixture", "half-bit-bound")
    assert main(["derive", *names, "--html", "page.html", "--latex", "article.tex"]) == 0
    capsys.readouterr()
    assert main(["derive", *names]) == 0
    shown = " ".join(capsys.readouterr().out.split())
    page, article = ((somewhere / name).read_text() for name in ("page.html", "article.tex"))
    for fact in ("Bayes' rule", "total probability", "is, up to its integral"):
        assert fact in shown
        assert fact.replace("'", "&#39;") in page
        assert fact in article
    assert "for 0 ≤ r ≤ 1" in shown
    assert "For 0 ≤ r ≤ 1." in page
    assert "$0 \\le r \\le 1$." in article
    assert main(["derive", "half-bit-bound", "--json"]) == 0
    (found,) = json.loads(capsys.readouterr().out)
    assert found["for"] == ["0 ≤ r ≤ 1"]
    assert found["without_proof"] == []


def test_a_claim_that_is_proved_says_from_what(capsys):
    assert main(["show", "denoising.tweedie"]) == 0
    shown = " ".join(capsys.readouterr().out.split())
    assert "used without proof exp(−½(a − μ)ᵀC(a − μ))" in shown
    assert "Bayes' rule" in shown
    assert main(["show", "denoising.unit-spectrum", "--json"]) == 0
    assert len(json.loads(capsys.readouterr().out)["without_proof"]) == 3
    assert main(["show", "rates.sylvester"]) == 0
    assert "used without proof" not in capsys.readouterr().out


def test_what_stands_behind_a_claim_is_told_apart_from_its_proof(capsys):
    assert main(["show", "redunet.increment-is-the-gradient"]) == 0
    proof, behind = capsys.readouterr().out.split("derivations behind it, which do not prove it")
    assert "proved by\n    gradient-of-the-rate-reduction\n" in proof
    assert behind.startswith("\n    redunet-operators-are-the-gradient\n        D_Z")
    assert "srr derive redunet-operators-are-the-gradient" in behind
    assert main(["show", "compression.book-prefactor", "--json"]) == 0
    shown = json.loads(capsys.readouterr().out)
    assert (shown["proof"], shown["derivations"][0]["name"]) == ([], "prefactor-of-attention-in-the-gradient")


def test_a_name_that_is_none_is_named(capsys):
    assert main(["derive", "curvature-of-the-coding-rate-from-bellow"]) == 2
    err = capsys.readouterr().err
    assert "NAMES must be derivations that `srr derive` lists, got 'curvature-of-the-coding-rate-from-bellow'" in err
    assert f"did you mean {NAME}" in err


@pytest.mark.parametrize("option", ["--html", "--latex"])
def test_a_folder_that_is_missing_is_named_before_the_work(option, capsys, somewhere):
    assert main(["derive", NAME, option, "nowhere/file"]) == 2
    assert f"{option} must be in a folder that exists, got nowhere/file" in capsys.readouterr().err
    assert not list(somewhere.iterdir())


def test_a_step_that_is_not_accepted_is_said_and_exits_1(monkeypatch, capsys):
    right = catalogue()[NAME]
    *steps, last = right.steps
    wrong = replace(right, name="wrong", steps=(*steps, replace(last, end=2 * last.end)))
    monkeypatch.setattr(derivations, "catalogue", lambda: {"wrong": wrong})
    assert main(["derive", "wrong"]) == 1
    out = capsys.readouterr().out
    assert "wrong: a step is not accepted" in out
    assert "NOT ACCEPTED: the difference is not that sum of squares" in " ".join(out.split())


def test_the_page_has_a_section_for_each_and_is_well_formed(somewhere):
    assert main(["derive", "--html", "page.html"]) == 0
    text = (somewhere / "page.html").read_text()
    tree = ElementTree.fromstring(text[text.index("<main>") : text.index("</main>") + len("</main>")])
    ids = [section.get("id") for section in tree.iter("section")]
    assert ids == [f"derivation-{name}" for name in catalogue()]
    links = {a.get("href") for a in tree.iter("a")}
    assert links <= {f"#{place}" for place in ids}
    maths = [m for m in tree.iter() if m.tag.endswith("math")]
    assert len(maths) == sum(1 + len(d.steps) for d in catalogue().values())
    assert not [m for m in maths if "\\" in "".join(m.itertext())]


@pytest.mark.latex
def test_the_article_compiles(somewhere):
    if shutil.which("pdflatex") is None:
        pytest.skip("pdflatex is not installed")
    assert main(["derive", "--latex", "article.tex"]) == 0
    for _ in range(2):
        run = subprocess.run(
            ["pdflatex", "-interaction=nonstopmode", "-halt-on-error", "article.tex"], capture_output=True, timeout=120
        )
        assert run.returncode == 0, run.stdout[-2000:]
    log = (somewhere / "article.log").read_text(errors="replace")
    assert "undefined" not in log
    assert (somewhere / "article.pdf").stat().st_size > 100_000
