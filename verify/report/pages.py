"""Pages that lie in one folder, and the links between them."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

EMPTY = '<nav class="pages" aria-label="Pages"></nav>'
_LINKS = re.compile(EMPTY.replace("><", ">.*?<"))
_TITLE = re.compile(r"<title>(.*?)</title>")


def together(folder: Path, pages: Mapping[str, str]) -> list[tuple[Path, str | bytes]]:
    """These pages and those that are in the folder already, each with links to the others: files to be written.

    A page that is alone has no links, and one that stays as it is is left out.
    """
    before = {path.name: _read(path) for path in folder.glob("*.html")}
    every = {name: text for name, text in before.items() if _LINKS.search(text)} | pages
    names = sorted(every, key=lambda name: (name != "index.html", name))
    titles = {name: _title(every[name]) for name in names}
    linked = {name: _LINKS.sub(lambda _, name=name: _nav(name, titles), every[name], count=1) for name in names}
    return [(folder / name, text) for name, text in linked.items() if before.get(name) != text]


def _read(path: Path) -> str:
    return path.read_text(encoding="utf-8", errors="replace") if path.is_file() else ""


def _title(page: str) -> str:
    found = _TITLE.search(page)
    return found[1] if found else ""


def _nav(here: str, titles: Mapping[str, str]) -> str:
    if len(titles) == 1:
        return EMPTY
    current = {name: ' aria-current="page"' if name == here else "" for name in titles}
    links = " ".join(f'<a href="{name}"{current[name]}>{title}</a>' for name, title in titles.items())
    return EMPTY.replace("><", f">{links}<")
