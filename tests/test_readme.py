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


def test_the_figure_is_what_its_command_draws(tmp_path):
    """The numbers to 1e-6; the picture to the byte, where matplotlib is the one that drew it."""
    import shlex

    import matplotlib

    from verify.cli import main

    (command,) = [code for language, code in blocks("README.md") if language == "sh"]
    words = shlex.split(command.replace("\\\n", " "))
    assert words[0] == "srr"
    assert words[-2:] == ["--out", "docs"]
    assert main([*words[1:-1], str(tmp_path)]) == 0
    kept, drawn = (json.loads((folder / "twelve-layers.json").read_text()) for folder in (ROOT / "docs", tmp_path))
    assert kept["parameters"] == drawn["parameters"]
    for ours, theirs in zip(kept["rows"], drawn["rows"], strict=True):
        for name, value in ours.items():
            assert value == theirs[name] if isinstance(value, str) else value == pytest.approx(theirs[name], rel=1e-6)
    picture = (ROOT / "docs" / "twelve-layers.svg").read_bytes()
    if f"Matplotlib v{matplotlib.__version__},".encode() in picture:
        assert (tmp_path / "twelve-layers.svg").read_bytes() == picture


def test_what_is_said_of_the_figure_is_in_its_numbers():
    rows = json.loads((ROOT / "docs" / "twelve-layers.json").read_text())["rows"]
    last = {row["rule"]: (row["Rc"] / row["Rc at 0"], row["measure"] / row["measure at 0"]) for row in rows[11::12]}
    assert last["residual"] == pytest.approx((6, 1 / 4), rel=0.1)
    assert last["exact"][0] == pytest.approx(1 / 400, rel=0.1)
    measure = [row["measure"] / row["measure at 0"] for row in rows if row["rule"] == "exact"]
    assert min(measure) == pytest.approx(0.7, rel=0.02)
    assert measure[-1] == pytest.approx(1, rel=0.1)


@pytest.mark.parametrize("name", ["README.md", "CONTRIBUTING.md"])
def test_every_command_that_is_mentioned_is_one(name):
    """With its options: what stands for a value need not exist."""
    from verify.cli import app

    mentioned = set(re.findall(r"`srr ([^`]+)`", (ROOT / name).read_text()))
    assert mentioned
    for words in mentioned:
        app.parse_args(words.split(), exit_on_error=False, print_error=False)


def test_the_citation_is_that_of_the_citation_file_and_the_version_that_of_the_package():
    import tomllib

    text, cff = (ROOT / "README.md").read_text(), (ROOT / "CITATION.cff").read_text()
    of_readme = dict(re.findall(r"^  (title|version) += \{(.*)\}", text, re.MULTILINE))
    of_cff = dict(re.findall(r'^(title|version): "?([^"\n]*)"?$', cff, re.MULTILINE))
    assert of_readme == of_cff
    assert of_cff["version"] == tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]
