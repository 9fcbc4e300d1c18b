"""Every python block and every ``srr`` command of the README runs and prints what it shows."""

from __future__ import annotations

import json
import re

import documents
import pytest
from documents import ROOT, command_output, differs, python_output

from verify.claims import ledger
from verify.layer_families import FAMILIES

NUMBERS = {30: "thirty", 31: "thirty-one", 32: "thirty-two"}


def blocks(name: str) -> list[tuple[str, str]]:
    return [block[:2] for block in documents.blocks(ROOT / name)]


def test_python_of_the_readme():
    found = blocks("README.md")
    pairs = [
        (code, shown)
        for (language, code), (after, shown) in zip(found, [*found[1:], ("", "")], strict=True)
        if language == "python" and after == "text"
    ]
    assert pairs
    for code, shown in pairs:
        assert (problem := differs(shown, python_output(code))) is None, problem


def commands() -> list[tuple[str, str]]:
    return [
        tuple(block.removeprefix("$ ").split("\n", 1))
        for language, block in blocks("README.md")
        if language == "console" and block.startswith("$ srr")
    ]


@pytest.mark.parametrize(("command", "shown"), commands(), ids=lambda text: text.split("\n")[0][:40])
def test_command_of_the_readme(command, shown, tmp_path):
    assert shown.strip()
    assert (problem := differs(shown, command_output(command, tmp_path))) is None, problem


def test_a_wrong_number_in_the_readme_is_noticed():
    assert differs("rate 12.5", "rate 12.6") is None
    assert differs("rate 12.5", "rate 13.5") is not None
    assert differs("rate 12.5", "price 12.5") is not None
    assert differs("a\nb", "a") is not None
    assert differs("a\n…\nb", "a\n1\n2\nb") is None
    assert differs("a\n…\nb", "a\nb") is None
    assert differs("a\n…\nb", "a\n1\n2\nc") is not None
    assert differs("a\n…\nb", "c\n1\n2\nb") is not None
    assert differs("a\n…\na", "a") is not None
    assert differs("a\n…\nb\n…\nc", "a\n1\nb\n2\nc") is None
    assert differs("a\n…\nb\n…\nc", "a\n1\nc\n2\nb") is not None
    assert differs("a\n…", "a\n1\n2") is None
    assert differs("a\n…", "b\n1\n2") is not None
    assert differs("a\n…\nb\nc", "a\nb\nd") is not None


def test_the_layer_of_the_contributing_guide_runs():
    codes = [code for language, code in blocks("CONTRIBUTING.md") if language == "python" and "class MyLayer" in code]
    assert len(codes) == 1
    assert "refuted" in python_output(codes[0]) or "holds" in python_output(codes[0])


def test_the_derivation_of_the_contributing_guide_proves():
    codes = [code for language, code in blocks("CONTRIBUTING.md") if language == "python" and "Derivation(" in code]
    assert len(codes) == 1
    assert python_output(codes[0]) == "True general sizes\n"
    wrong = codes[0].replace("I_n + beta * Y @ Y.T", "I_n + 2 * beta * Y @ Y.T")
    assert python_output(wrong) == "False general sizes\n"


def test_what_the_readme_says_was_found_is_what_the_ledger_stands_by():
    row = re.compile(r"^\| `([a-z0-9]+\.[a-z0-9-]+)`: .* \| ([a-z ]+) \|$", re.MULTILINE)
    rows = row.findall((ROOT / "README.md").read_text())
    claims = ledger()
    assert len(rows) >= 8
    assert [(slug, str(claims[slug].expect)) for slug, _ in rows] == rows


def test_the_readme_counts_the_families_of_layers():
    assert f"knows {NUMBERS[len(FAMILIES)]} families of layers" in (ROOT / "README.md").read_text()


@pytest.mark.parametrize("name", ["README.md", "CONTRIBUTING.md"])
def test_every_file_that_is_linked_exists(name):
    links = re.findall(r"\]\((?!https?:)([^)#]+)", (ROOT / name).read_text())
    assert [link for link in links if not (ROOT / link).exists()] == []


def test_the_table_of_trained_networks_is_that_of_the_committed_numbers():
    from verify.experiments.trained_digits import RESULT, table

    shown = (ROOT / "README.md").read_text()
    for line in table(json.loads(RESULT.read_text())).splitlines():
        assert line.rstrip() in shown, line
