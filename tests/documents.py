"""Blocks of code in Markdown: what they are, what they print, and whether that is what is shown."""

from __future__ import annotations

import contextlib
import io
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).parent.parent
LEFT_OUT = "…"
"""A line that is shown in the place of any number of lines."""
NUMBER = re.compile(r"[-+]?\d+(?:\.\d+)?(?:e[-+]?\d+)?")


class Block(NamedTuple):
    """A fenced block."""

    language: str
    text: str
    file: str
    """Its caption, the file that it is to be saved as; empty for one without."""


_BLOCK = re.compile(r"^```(?:\{code-block\} )?(\w+)\n(?::caption: (\S+)\n\n)?(.*?)^```$", re.MULTILINE | re.DOTALL)


def blocks(path: Path) -> list[Block]:
    return [Block(language, text, file) for language, file, text in _BLOCK.findall(path.read_text(encoding="utf-8"))]


def differs(shown: str, printed: str) -> str | None:
    """The first line that is not the same, numbers to 2 %."""
    want, got = (text.strip().splitlines() for text in (shown, printed))
    got = _without_what_is_left_out(want, got)
    for a, b in zip(want, got, strict=False):
        if not _same(a, b):
            return f"{a!r} is shown, {b!r} printed"
    return None if len(want) == len(got) else f"{len(want)} lines are shown, {len(got)} printed"


def _without_what_is_left_out(want: list[str], got: list[str]) -> list[str]:
    found, rest, skipping = [], iter(got), False
    for line in want:
        if line == LEFT_OUT:
            found.append(LEFT_OUT)
            skipping = True
            continue
        following = next((other for other in rest if not skipping or _same(line, other)), None)
        if following is None:
            break
        found.append(following)
        skipping = False
    return found if skipping else [*found, *rest]


def _same(want: str, got: str) -> bool:
    if NUMBER.sub("#", want).split() != NUMBER.sub("#", got).split():
        return False
    pairs = zip(map(float, NUMBER.findall(want)), map(float, NUMBER.findall(got)), strict=True)
    return all(abs(a - b) <= 0.02 * abs(a) + 1e-9 for a, b in pairs)


def python_output(code: str, names: dict | None = None) -> str:
    out = io.StringIO()
    with contextlib.redirect_stdout(out):
        exec(compile(code, "document", "exec", dont_inherit=True), {"__name__": "document"} if names is None else names)
    return out.getvalue()


def command_output(command: str, folder: Path) -> str:
    """What a command prints in a folder, srr and python being those of this checkout; it may exit with 0 or 1."""
    commands = ("srr", "verify"), ("python", "")
    here = "".join(f'{name}() {{ "$PYTHON" {f"-m {module}" if module else ""} "$@"; }}\n' for name, module in commands)
    run = subprocess.run(
        ["bash", "-c", here + command],
        cwd=folder,
        env={**os.environ, "PYTHON": sys.executable, "PYTHONPATH": str(ROOT), "NO_COLOR": "1", "COLUMNS": "80"},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert run.returncode in (0, 1), run.stderr
    return run.stdout


def outputs(path: Path, folder: Path) -> Iterator[tuple[Block, str, str]]:
    """Every block that runs, in order, with what is shown and what it printed. The folder is to be the one at hand."""
    names: dict = {"__name__": "document"}
    for block, after in pairwise([*blocks(path), Block("", "", "")]):
        if block.file:
            (folder / block.file).write_text(block.text, encoding="utf-8")
        elif block.language == "python":
            yield block, after.text if after.language == "text" else "", python_output(block.text, names)
        elif block.language == "console":
            command, _, shown = block.text.removeprefix("$ ").partition("\n")
            yield block, shown, command_output(command, folder)
