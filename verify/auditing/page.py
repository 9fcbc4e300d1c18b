"""The report page of an audit, and its figures as files."""

from __future__ import annotations

from pathlib import Path

from verify.auditing import figures, text
from verify.auditing.files import to_json, to_npz
from verify.auditing.result import Audit
from verify.auditing.verdict import ALONE, MORE, NOT, SAID, SPECIFIC, UNCLEAR, first, verdicts
from verify.figure import embedded, saved, style
from verify.report.page import template
from verify.report.pages import together

BADGES = {
    SPECIFIC: ("holds", "✓"),
    MORE: ("holds-under", "◐"),
    NOT: ("refuted", "✗"),
    UNCLEAR: ("undecided", "?"),
    ALONE: ("undecided", "–"),
}
"""The look of each verdict, and a sign beside its words, so that nothing is told by colour alone."""
FORMATS = (".svg", ".pdf")


def files(found: Audit, folder: Path) -> list[tuple[Path, str | bytes]]:
    """Everything of the report: the page, which needs none of the rest, its figures, and the data."""
    drawings = list(figures.drawings(found))
    with style(text="path"):
        drawn = [
            (folder / f"{drawing.name}{suffix}", saved(drawing.drawn(), suffix))
            for drawing in drawings
            for suffix in FORMATS
        ]
    data = [(folder / "audit.json", to_json(found)), (folder / "audit.npz", to_npz(found))]
    return [*together(folder, {"audit.html": render(found, drawings)}), *data, *drawn]


def render(found: Audit, drawings: list[figures.Drawing]) -> str:
    """The page as one HTML text: no clock, no network; only its links to the files beside it lead out of it."""
    with style(text="none"):
        shown = [
            (drawing, embedded(saved(drawing.drawn(), ".svg"), f"figure-{drawing.name}", drawing.title))
            for drawing in drawings
        ]
    chosen = first(found)
    tally = {word: sum(verdict.word == word for verdict in chosen) for word in SAID}
    return template("audit.html", Path(__file__).parent).render(
        found=found,
        head=text.head(found),
        tables=[text.terms(found), text.forms(found), text.direction(found), text.other(found), text.weights(found)],
        figures=shown,
        chosen=chosen,
        verdicts=list(verdicts(found)),
        tally=tally,
        said=SAID,
        badges=BADGES,
        formats=FORMATS,
    )
