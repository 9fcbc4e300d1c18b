"""The documentation: its tutorials run and print what they show, and the site builds without a warning."""

from __future__ import annotations

import doctest
import os
import pkgutil
import re
import shutil
import subprocess
import sys
from dataclasses import dataclass
from importlib import import_module
from itertools import pairwise

import pytest
from documents import ROOT, blocks, differs, outputs

import srr
from derivations import catalogue
from verify import layouts
from verify.claims import ledger

DOCS = ROOT / "docs"
TUTORIALS = ("layer", "block", "checkpoint", "sweep", "claim")
LANGUAGES = {"python", "console", "text", "toml"}
REFERENCE = re.findall(r"^   ((?:srr|derivations|verify)[\w.]*)$", (DOCS / "api/index.md").read_text(), re.MULTILINE)
HOSTS = ("https://arxiv.org/abs/", "https://github.com/pradyunsg/furo")
"""Where links that leave the site lead: to papers, and from the theme's footer."""


@pytest.mark.parametrize("name", TUTORIALS)
def test_a_tutorial_prints_what_it_shows(name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    ran = 0
    for block, shown, printed in outputs(DOCS / "tutorials" / f"{name}.md", tmp_path):
        assert (problem := differs(shown, printed)) is None, f"{block.text}\n{problem}"
        ran += 1
    assert ran >= 2


def test_no_code_of_the_documents_is_left_unexecuted():
    """Tutorials have code that runs and what it prints; no other page has a block of code."""
    pages = [*DOCS.glob("*.md"), *DOCS.glob("tutorials/*.md")]
    assert {page.stem for page in pages if page.parent != DOCS} == set(TUTORIALS)
    for page in pages:
        fences = re.findall(r"^```(.+)$", page.read_text(encoding="utf-8"), re.MULTILINE)
        found = blocks(page)
        assert len(found) == len([fence for fence in fences if fence != "{toctree}"]), page
        assert not found or page.stem in TUTORIALS, page
        assert {block.language for block in found} <= LANGUAGES, page
        for before, block in pairwise(found):
            assert block.language != "text" or (before.language == "python" and not before.file), page
        assert all(block.text.startswith("$ ") for block in found if block.language == "console"), page


@pytest.mark.parametrize("name", REFERENCE)
def test_examples_in_docstrings_run(name):
    names = {"srr": srr, "prox": srr.prox, "dataclass": dataclass} | {n: getattr(layouts, n) for n in layouts.__all__}
    assert doctest.testmod(import_module(name), extraglobs=names).failed == 0


def test_the_reference_has_every_public_module_of_srr():
    public = {f"srr.{info.name}" for info in pkgutil.iter_modules(srr.__path__) if not info.name.startswith("_")}
    assert public - set(REFERENCE) == set()


@pytest.mark.slow
def test_the_site_builds_without_a_warning(tmp_path):
    """Every name that a docstring mentions leads somewhere, and every link; nothing is fetched when a page is read."""
    source, site = tmp_path / "docs", tmp_path / "site"
    shutil.copytree(DOCS, source, ignore=shutil.ignore_patterns("_build", "generated", "ledger", "derivations"))
    command = ["sphinx", "-q", "-W", "--keep-going", "-n", "-b", "html", "-D", "srr_check=0", source, site]
    given = {"env": {**os.environ, "PYTHONPATH": str(ROOT)}, "capture_output": True, "text": True}
    built = subprocess.run([sys.executable, "-m", *command], **given, check=False)
    assert built.returncode == 0, built.stderr
    pages = {str(page.relative_to(site)): page.read_text(encoding="utf-8") for page in site.rglob("*.html")}
    claims = {c.slug for c in ledger()}
    shown = [slug for name, text in pages.items() if name.startswith("ledger/") for slug in _claims_on(text)]
    assert sorted(shown) == sorted(claims)
    derived = "".join(text for name, text in pages.items() if name.startswith("derivations/"))
    assert all(f"derivation-{name}" in derived for name in catalogue())
    steps = pages["ledger/compression.html"]
    assert 'href="../derivations/compression_step.html#derivation-exact-step-descends"' in steps
    assert 'href="../api/generated/srr.attention.html#srr.attention.exact_step"' in steps
    assert 'href="../../_modules/srr/attention.html#exact_step"' in pages["api/generated/srr.attention.html"]
    for name, text in pages.items():
        fetched = re.findall(r"<(?:script|link|img)[^>]*(?:src|href)=\"((?:https?:)?//[^\"]*)", text)
        assert not fetched, name
        away = [link for link in re.findall(r"href=\"(https?://[^\"]*)", text) if not link.startswith(HOSTS)]
        assert not away, name


def _claims_on(page: str) -> list[str]:
    return re.findall(r"<p>\S <strong>[a-z ]+</strong> <code[^>]*><span class=\"pre\">([a-z0-9.-]+)</span>", page)
