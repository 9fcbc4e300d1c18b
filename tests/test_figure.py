"""Figures: what cannot be drawn is refused, the bytes are the same each time, and a page can hold many of them."""

import math
import os
import re
import subprocess
import sys
from dataclasses import replace
from xml.etree import ElementTree

import pytest
from test_ledger import make
from test_report import Page

import verify.claims
from verify.cli import main
from verify.examine import examine
from verify.figure import Curve, Figure, Points, inline, write
from verify.ledger import ERROR, HOLDS, HOLDS_UNDER, Ledger
from verify.outcome import exactly
from verify.report import render
from verify.results import Run, Settings, from_json, to_json

X = (0.1, 1.0, 10.0)
FIGURE = Figure(
    title="A <figure> & more",
    x_label="κ L_c, $x$",
    y_label="ΔRᶜ",
    curves=(Curve("theory", X, X),),
    points=(Points("measured", X, X), Points("holds", X[:2], X[:2], True, True), Points("fails", (2.0,), (3.0,))),
    edges=(("bound", 2.0),),
    x_log=True,
    y_log=True,
    caption="How & where.",
)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"curves": (), "points": ()}, "figure 'A <figure> & more' must have a curve or points, got none"),
        ({"curves": (Curve("c", (), ()),), "points": ()}, "must have a curve or points"),
        ({"curves": (Curve("c", X, X[:2]),)}, "'c' must have as many x as y, got 3 and 2"),
        ({"points": (Points("p", X, (1.0, math.nan, 1.0)),)}, "y of 'p' must be finite and positive .*, got nan"),
        ({"points": (Points("p", (0.0,), (1.0,)),)}, "x of 'p' must be finite and positive .*, got 0.0"),
        ({"points": (Points("p", (-math.inf,), (1.0,)),), "x_log": False}, "x of 'p' must be finite, got -inf"),
        ({"edges": (("e", math.inf),)}, "edge 'e' must be finite, got inf"),
    ],
)
def test_what_cannot_be_drawn_is_refused(options, message):
    with pytest.raises(ValueError, match=message):
        replace(FIGURE, **options)


def test_zero_can_be_drawn_on_a_linear_axis():
    assert replace(FIGURE, points=(Points("p", (0.0,), (1.0,)),), x_log=False).points[0].x == (0.0,)


# --- in a page ---


def test_an_inlined_figure_is_well_formed_and_needs_nothing_else():
    text = inline(FIGURE, "one")
    root = ElementTree.fromstring(text)
    assert root.tag == "svg"
    assert root.attrib["aria-label"] == FIGURE.title
    assert {element.tag for element in root.iter()} <= {"svg", "g", "defs", "path", "use", "text"}
    for forbidden in ("url(", "http", "<style", "xmlns", "<metadata", "DejaVu", "#000000"):
        assert forbidden not in text
    said = [element.text for element in root.iter("text")]
    for text in ("κ L_c, $x$", "ΔRᶜ", "theory", "measured", "holds, certified", "bound", "0.1"):
        assert text in said
    assert FIGURE.title not in said  # the page says it


def test_numbers_in_words_keep_their_digits():
    figure = Figure(
        "t", "x", "y", points=(Points("from 2.00026", X, (0.12345, 0.1235, 0.1236)),), edges=(("1.2345", 2.0),)
    )
    root = ElementTree.fromstring(inline(figure, "n"))
    said = [element.text for element in root.iter("text")]
    assert {"from 2.00026", "1.2345"} < {*said}
    assert not any(re.search(r"\.\d{3}", e.attrib.get("d", "") + e.attrib.get("x", "")) for e in root.iter())


def test_two_inlined_figures_share_no_id_and_every_reference_has_one():
    one, two = (ElementTree.fromstring(inline(FIGURE, name)) for name in ("one", "two"))
    ids = [[e.attrib["id"] for e in root.iter() if "id" in e.attrib] for root in (one, two)]
    assert ids[0]
    assert not {*ids[0]} & {*ids[1]}
    for root, names in zip((one, two), ids, strict=True):
        assert len(names) == len(set(names))
        assert {e.attrib["href"] for e in root.iter("use")} == {f"#{name}" for name in names}


def test_hollow_marks_are_in_floating_point():
    def marks(certified):
        figure = Figure("t", "x", "y", points=(Points("p", X, X, certified),))
        root = ElementTree.fromstring(inline(figure, "n"))
        groups = [g for g in root if "#0072b2" in g.attrib.get("style", "")]
        return [group.attrib["style"] for group in groups for _ in group.iter("use")]

    assert len(marks(True)) == len(marks(False)) == len(X) + 1  # and the one in the legend
    assert all("fill: #0072b2" in style for style in marks(True))
    assert all("fill-opacity: 0" in style for style in marks(False))


def test_theory_has_the_colour_of_its_measurement_and_outcomes_have_their_own():
    figure = Figure("t", "x", "y", (Curve("a", X, X), Curve("b", X, X)), (Points("a", X, X), Points("b", X, X)))
    text = inline(figure, "n")
    assert {c for c in ("#0072b2", "#d55e00", "#009e73") if c in text} == {"#0072b2", "#d55e00"}
    holds = inline(Figure("t", "x", "y", points=(Points("a", X, X, holds=True),)), "n")
    fails = inline(Figure("t", "x", "y", points=(Points("a", X, X, holds=False),)), "n")
    assert "#009e73" in holds
    assert "#d55e00" in fails


# --- files ---


@pytest.mark.parametrize(("suffix", "start"), [(".svg", b"<?xml"), (".png", b"\x89PNG"), (".pdf", b"%PDF")])
def test_a_figure_is_written_with_the_same_bytes_each_time(suffix, start, tmp_path):
    paths = [tmp_path / f"{name}{suffix}" for name in "ab"]
    for path in paths:
        write([FIGURE, FIGURE], path)
    assert paths[0].read_bytes().startswith(start)
    assert paths[0].read_bytes() == paths[1].read_bytes()
    write([FIGURE], paths[1])
    assert paths[0].read_bytes() != paths[1].read_bytes()


def test_the_bytes_do_not_depend_on_the_process():
    code = "import sys, test_figure; sys.stdout.buffer.write(test_figure.inline(test_figure.FIGURE, 'n').encode())"
    outputs = {
        subprocess.run(
            [sys.executable, "-c", code],
            capture_output=True,
            check=True,
            env={
                **os.environ,
                "PYTHONHASHSEED": seed,
                "PYTHONPATH": os.pathsep.join([os.path.dirname(__file__), *sys.path]),
            },
        ).stdout
        for seed in ("1", "2")
    }
    assert outputs == {inline(FIGURE, "n").encode()}


# --- with claims ---


def good(case):
    return exactly(case.wrong(case.integer("x", 1, 9) > 0, False))


def conditional(case):
    x = case.integer("x", 1, 100)
    case.condition("x", x, 50)
    return exactly(case.wrong(x < 60, x < 40))


def test_a_claim_shows_its_figure_in_results_and_page():
    found = examine(make(good, figure=lambda: FIGURE), Settings())
    assert found.verdict == HOLDS
    assert found.figures == (FIGURE,)
    run = Run(Settings(), (found,))
    assert from_json(to_json(run)) == run
    page = Page(render([make(good)], run))
    assert "A <figure> & more. How & where." in page.text
    assert [a["aria-label"] for tag, a in page.tags if tag == "svg"] == [FIGURE.title]


def test_a_figure_of_two_claims_is_drawn_with_the_first():
    pair = [replace(make(good, figure=lambda: FIGURE), slug=slug) for slug in ("theme.one", "theme.two")]
    page = Page(render(pair, Run(Settings(), tuple(examine(claim, Settings()) for claim in pair))))
    assert len([tag for tag, _ in page.tags if tag == "svg"]) == 1
    assert "Figure: A <figure> & more, with theme.one." in page.text


def test_a_conditional_claim_shows_where_its_instances_lie():
    found = examine(make(conditional, HOLDS_UNDER, figure=lambda: FIGURE), Settings())
    own, strip = found.figures
    assert own == FIGURE
    assert strip.x_label == "x"
    assert strip.edges[0][1] == 50
    rows = {points.label: points for points in strip.points}
    assert set(rows) == {"holds", "fails"}
    assert max(rows["holds"].x) < 60 <= min(rows["fails"].x)
    assert len(rows["holds"].x) + len(rows["fails"].x) == found.counts.accepted
    assert all(points.certified for points in strip.points)
    assert strip.y_ticks == (("fails", 0.0), ("holds", 1.0))


def test_infinite_values_of_a_condition_are_told_and_not_drawn():
    def check(case):
        x = case.integer("x", 1, 100)
        case.condition("x", x if x < 70 else math.inf, 50)
        return exactly(case.wrong(x < 60, x < 40))

    found = examine(make(check, HOLDS_UNDER), Settings())
    (strip,) = found.figures
    drawn = sum(len(points.x) for points in strip.points)
    assert 0 < drawn < found.counts.accepted
    assert f"of which {found.counts.accepted - drawn} at an infinite value" in strip.caption


@pytest.mark.parametrize(("figure", "message"), [(lambda: 1 / 0, "ZeroDivisionError"), (lambda: "x", "got str")])
def test_a_figure_that_cannot_be_had_is_an_error(figure, message):
    found = examine(make(good, figure=figure), Settings())
    assert found.verdict == ERROR
    assert message in found.message


# --- srr show ---


@pytest.fixture
def somewhere(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(verify.claims, "ledger", lambda: Ledger.load("faulty_claims"))
    return tmp_path


def test_show_writes_the_figure(somewhere, capsys):
    assert main(["show", "faulty.conditional", "--figure", "a.png"]) == 0
    assert (somewhere / "a.png").read_bytes().startswith(b"\x89PNG")
    assert "faulty.conditional" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["faulty.conditional", "--figure", "a.gif"], "figure must be a file .svg, .png, .pdf, got 'a.gif'"),
        (["faulty.conditional", "--figure", "none/a.svg"], "figure must be in a folder that exists"),
        (["faulty.true", "--figure", "a.svg"], "CLAIM must have a figure, got faulty.true, which came out holds"),
    ],
)
def test_show_tells_why_there_is_no_figure(arguments, message, somewhere, capsys):
    assert main(["show", *arguments]) == 2
    assert message in capsys.readouterr().err
    assert not list(somewhere.iterdir())
