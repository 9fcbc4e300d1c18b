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
    assert all(d["standing"].startswith("proved") for d in found)


def test_a_name_that_is_none_is_named(capsys):
    assert main(["derive", "curvature-of-the-coding-rate-from-bellow"]) == 2
    err = capsys.readouterr().err
    assert "NAMES must be derivations that `srr derive` lists, got 'curvature-of-the-coding-rate-from-bellow'" in err
    assert f"did you mean {NAME}?" in err


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
