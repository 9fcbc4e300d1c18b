"""The page: the same bytes for the same run, one well-formed file that needs no other, every claim in it."""

import os
import re
import subprocess
import sys
from dataclasses import replace
from html.parser import HTMLParser
from math import sin
from xml.etree import ElementTree

import pytest

import verify.claims
import verify.report.page
from derivations import catalogue
from verify.figure import Curve, Figure, Points, inline
from verify.findings import FAMILIES, HALVES, findings, in_words
from verify.ledger import HOLDS, HOLDS_UNDER, REFUTED, Evidence, Ledger, Verdict
from verify.notation import NOTATION
from verify.report import render
from verify.report.page import body, link, mathml, number, percent, shown, standing, words, works
from verify.report.pages import EMPTY, together
from verify.results import Boundary, Counts, Result, Run, Settings, Twin, Witness, to_json
from verify.runner import run

VOID = {"area", "base", "br", "col", "embed", "hr", "img", "input", "link", "meta", "source", "track", "wbr"}


class Page(HTMLParser):
    """Refuses a tag that is not closed, or closed in the wrong order; keeps texts, ids, links and tags."""

    def __init__(self, text):
        super().__init__()
        self.open, self.ids, self.tags, self.texts = [], [], [], []
        self.feed(text)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag, attrs):
        attrs = dict(attrs)
        self.tags.append((tag, attrs))
        if "id" in attrs:
            self.ids.append(attrs["id"])
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag):
        assert self.open, f"</{tag}> closes nothing"
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.texts.append(data)

    @property
    def text(self):
        return " ".join("".join(self.texts).split())


@pytest.fixture(scope="module")
def faulty():
    ledger = Ledger.load("faulty_claims")
    names = ("true", "rounded", "false", "conditional", "undecided", "picky", "wishful", "raises", "infinite")
    return ledger, run(ledger, Settings(), claims=ledger.select(f"faulty.{n}" for n in names), jobs=2)


@pytest.fixture(scope="module")
def page(faulty):
    return render(*faulty)


def as_if_judged(ledger):
    """A run of every claim of the ledger without the work: a page depends on no more than these."""
    return Run(
        Settings(),
        tuple(
            Result(
                c.slug,
                c.expect,
                c.expect,
                Evidence.CHECKED,
                counts=Counts(held=9, failed=1, rejected=10),
                worst_ratio=0.5,
                boundary=Boundary("x", 2.0, 5, 4, 1, 1.5, 2.5) if c.expect == HOLDS_UNDER else None,
                witness=Witness({"n": 1}, "search", True, None, {"Z": [[1.0]]}) if c.expect == REFUTED else None,
                twin=Twin(c.twin, REFUTED, REFUTED, Counts(failed=1)),
            )
            for c in ledger
        ),
    )


def test_the_page_is_well_formed(page):
    parsed = Page(page)
    assert parsed.tags[0][0] == "html"
    assert len(parsed.ids) == len(set(parsed.ids))


def test_the_page_needs_nothing_else(page):
    for tag, attrs in Page(page).tags:
        assert "src" not in attrs, (tag, attrs)
        assert tag not in ("iframe", "object", "embed", "base")
        if tag == "link":
            assert attrs["href"] == "data:,"
    assert not re.search(r"https?://(?!www\.w3\.org/1998/Math/MathML)", page)
    assert "url(" not in page
    assert "@import" not in page


def test_the_same_run_gives_the_same_bytes(faulty, page):
    ledger, found = faulty
    assert render(ledger, found) == page
    code = (
        "import sys; from verify.ledger import Ledger; "
        "from verify.report import render; "
        "from verify.results import from_json; run = from_json(sys.stdin.read()); "
        "sys.stdout.reconfigure(encoding='utf-8', newline=''); "
        "sys.stdout.write(render(Ledger.load('faulty_claims'), run))"
    )
    path = os.pathsep.join([os.path.dirname(__file__), *sys.path])
    for hash_seed in ("1", "2"):
        done = subprocess.run(
            [sys.executable, "-c", code],
            input=to_json(found).encode(),
            capture_output=True,
            env={**os.environ, "PYTHONHASHSEED": hash_seed, "PYTHONPATH": path},
        )
        assert done.stdout == page.encode(), done.stderr


def test_another_run_gives_another_page(faulty, page):
    ledger, found = faulty
    assert render(ledger, Run(found.settings, found.results[:-1])) != page


def test_every_claim_is_there_with_all_that_is_known(faulty, page):
    ledger, found = faulty
    parsed = Page(page)
    articles = {a["id"]: a for tag, a in parsed.tags if tag == "article"}
    assert list(articles) == [r.slug for r in found.results]
    for result in found.results:
        assert articles[result.slug]["data-verdict"] == result.verdict
        assert articles[result.slug]["data-theme"] == "faulty"
        assert ledger[result.slug].hypotheses in parsed.text
    text = parsed.text
    assert "certified: all 40 instances hold" in text
    assert "with 95 % confidence at most 7.5 % fail under this sampling" in text
    assert "of the draws were outside the hypotheses" in text
    assert "x = 51 (the simplest that a search found, certified)" in text
    assert "Replay: srr show faulty.false --replay" in text
    assert "x < 50; held up to" in text
    assert "the opposite: refuted" in text
    assert "∞ of the rounding error allowed" in text
    assert "nan: nan" in text
    assert "return exactly(case.wrong(x > 0, x < 0))" in text


def test_letters_words_and_sources_are_explained_once(page):
    parsed = Page(page)
    assert "notation" in parsed.ids
    for entries in NOTATION.values():
        for meaning in entries.values():
            assert parsed.text.count(meaning) == 1
    first = [a["href"] for tag, a in parsed.tags if tag == "a"][:6]
    assert "#notation" in first  # one finds it from the top


def test_what_is_not_as_expected_is_told_twice(page):
    text = Page(page).text
    assert "2 are not as expected" in text
    assert "faulty.wishful: expected holds, found refuted" in text
    assert "faulty.raises: expected holds, found error" in text
    assert "✗ refuted expected holds" in text
    assert "ZeroDivisionError: of course it does \x00 <here>" in text.replace("\ufffd", "\x00")


def test_verdicts_are_words_and_filters_are_the_ones_that_occur(page):
    parsed = Page(page)
    boxes = [a["value"] for tag, a in parsed.tags if tag == "input" and a.get("name") == "verdict"]
    assert boxes == ["holds", "holds under", "refuted", "undecided", "error"]
    kinds = [a["value"] for tag, a in parsed.tags if tag == "input" and a.get("name") == "evidence"]
    assert kinds == ["certified", "checked", "none"]
    options = re.findall(r"<option[^>]*>([^<]*)</option>", page)
    assert options == ["all", "faulty", "all", "derived here"]


def test_links_lead_into_the_page_and_the_check_says_where_it_is(faulty, page):
    parsed = Page(page)
    links = [a["href"] for tag, a in parsed.tags if tag == "a"]
    assert links
    assert {link.removeprefix("#") for link in links} <= set(parsed.ids)
    false = faulty[0]["faulty.false"]
    assert f"The check, faulty_claims.py:{false.line}" in parsed.text


def test_what_is_refuted_is_told_apart_by_where_it_comes_from(faulty):
    ledger, found = faulty
    asked = Ledger((), tuple(replace(c, source="asked here") if c.slug == "faulty.false" else c for c in ledger))
    assert "Refuted: 3 of the literature, 0 asked here." in Page(render(ledger, found)).text
    assert "Refuted: 2 of the literature, 1 asked here." in Page(render(asked, found)).text


def test_a_claim_that_rests_on_one_outside_the_run_does_not_link_to_it(faulty):
    ledger, found = faulty
    alone = Run(found.settings, tuple(r for r in found.results if r.slug == "faulty.rounded"))
    parsed = Page(render(ledger, alone))
    assert "faulty.true (not in this run)" in parsed.text
    assert "Every verdict is the one" in parsed.text


CROWDED = Figure(
    title="As many marks and lines as a figure of the ledger has, or more",
    x_label="κ L_c",
    y_label="ΔRᶜ",
    curves=tuple(Curve(f"theory, {k}", *zip(*[(n, sin(n + k)) for n in range(60)], strict=True)) for k in range(3)),
    points=tuple(Points(f"srr, {k}", *zip(*[(n, sin(n + k)) for n in range(40)], strict=True)) for k in range(3)),
)


def test_the_whole_ledger_makes_a_page():
    ledger = verify.claims.ledger()
    text = render(ledger, as_if_judged(ledger))
    parsed = Page(text)
    assert [a["id"] for tag, a in parsed.tags if tag == "article"] == [c.slug for c in ledger]
    links = {a["href"].removeprefix("#") for tag, a in parsed.tags if tag == "a"}
    assert links <= set(parsed.ids)
    assert {f"derivation-{name}" for name in catalogue()} <= links
    behind = re.search('id="compression.book-prefactor".*?</article>', text, re.DOTALL).group()
    assert '<dt>Behind it, no proof</dt><dd><a href="#derivation-prefactor-of-attention-in-the-gradient">' in behind
    assert "<dt>Proof</dt>" not in behind
    figures = list(dict.fromkeys(c.figure for c in ledger if c.figure is not None))
    sizes = [len(inline(figure(), "f100").encode()) for figure in figures[::8]]  # all of them take half a minute
    boundaries = sum(c.expect == HOLDS_UNDER for c in ledger) * len(inline(CROWDED, "f100").encode())
    assert len(text.encode()) + len(figures) * sum(sizes) / len(sizes) + boundaries < 3e6


@pytest.mark.parametrize("claim", [*verify.claims.ledger()], ids=lambda c: c.slug)
def test_every_statement_is_mathml(claim):
    tree = ElementTree.fromstring(str(mathml(claim.statement)))
    assert tree.tag.endswith("math")
    said = "".join(tree.itertext())
    assert "\\" not in said, said  # a command that the converter does not know comes out as it is
    assert "&" not in said.replace("&amp;", "")


# --- the central question ---


def test_the_findings_are_of_claims_that_exist_and_each_family_is_asked_something():
    slugs = {c.slug for c in verify.claims.ledger()}
    for family in FAMILIES:
        assert family.questions
        assert {q.slug for q in family.questions} <= slugs
        assert {q.half for q in family.questions} <= {*HALVES}


def test_the_findings_follow_from_the_verdicts():
    ledger = verify.claims.ledger()
    found = {r.slug: r for r in as_if_judged(ledger).results}
    said = in_words(findings(found))
    assert (
        "Of the 6 whose whole layer should lower the loss, the descent layer and the implicit descent layer do." in said
    )
    slug = "layers.descent-lowers-loss"
    turned = in_words(findings({**found, slug: replace(found[slug], verdict=REFUTED)}))
    assert "the implicit descent layer does." in turned
    assert "the descent layer and" not in turned
    numbers = [int(n) for n in re.findall(r"(\d+) times", said)]
    assert numbers[0] == sum(numbers[1:])
    assert numbers[1] == int(re.findall(r"(\d+) times it does,", turned)[0]) + 1
    alone = findings({slug: found[slug]})
    assert [finding.name for finding in alone] == ["The descent layer"]
    assert findings({}) == []
    undecided = in_words(findings({slug: replace(r, verdict=Verdict.UNDECIDED) for slug, r in found.items()}))
    assert "0 times it does not, 44 times it was not decided." in undecided


def test_the_page_shows_each_finding_with_its_verdict_and_its_counts():
    ledger = verify.claims.ledger()
    slug = "layers.descent-lowers-loss"
    for verdict in (HOLDS, REFUTED):
        results = (replace(r, verdict=verdict) for r in as_if_judged(ledger).results if r.slug == slug)
        text = render(ledger, Run(Settings(), tuple(results)))
        table = re.search(r'<table class="findings".*?</table>', text, re.DOTALL).group()
        assert f'<a href="#{slug}"><span class="badge {verdict}">' in table
        assert "9 of 10" in table


# --- what stands with a claim ---


def test_a_check_is_shown_without_what_the_page_says_of_it_already(faulty):
    ledger, _ = faulty
    told = body(ledger["faulty.false"])
    assert told.startswith("def ")
    assert "Some numbers are larger than 50." not in told
    assert "@claim" not in told
    for claim in verify.claims.ledger():
        compile(body(claim), claim.slug, "exec")


def test_works_are_those_that_a_source_names():
    ledger = verify.claims.ledger()
    assert works(ledger["rates.gradient"]) == ["Yu et al. 2023 (arXiv 2306.01129)"]
    asked = next(c for c in ledger if c.asked_here)
    assert works(asked)[-1] == "asked here"
    assert works(replace(asked, source="derived")) == ["derived here"]


def test_code_is_linked_where_the_metadata_say_where_it_is(monkeypatch):
    (claim,) = verify.claims.ledger().select(["rates.gradient"])
    monkeypatch.setattr(verify.report.page, "source", lambda: "")
    assert link(claim) == ""
    monkeypatch.setattr(verify.report.page, "source", lambda: "https://example.org/srr/blob/v1")
    assert link(claim) == f"https://example.org/srr/blob/v1/verify/claims/rates/gradients.py#L{claim.line}"


def test_backticks_are_code_and_nothing_else_is_markup():
    assert words("see `a<b` & ``c``") == "see <code>a&lt;b</code> &amp; <code>c</code>"


# --- pages of one folder ---


def test_pages_of_one_folder_have_links_to_one_another(tmp_path):
    def page(title):
        return f"<title>{title}</title>{EMPTY}"

    def write(pages):
        files = together(tmp_path, pages)
        for path, text in files:
            path.write_text(text)
        return [path.name for path, _ in files]

    (tmp_path / "mine.html").write_text("<title>not of srr</title>")
    assert write({"room.html": page("Room &amp; more")}) == ["room.html"]
    assert (tmp_path / "room.html").read_text() == page("Room &amp; more")
    assert write({"index.html": page("Claims")}) == ["index.html", "room.html"]
    for name, here in (("index.html", "Claims"), ("room.html", "Room &amp; more")):
        text = (tmp_path / name).read_text()
        assert re.findall(r'href="([^"]*)"', text) == ["index.html", "room.html"]
        assert re.findall(r'aria-current="page">([^<]*)<', text) == [here]
    assert write({"index.html": page("Claims")}) == []  # as it is
    assert write({"index.html": page("More claims")}) == ["index.html", "room.html"]
    assert ">More claims<" in (tmp_path / "room.html").read_text()


@pytest.mark.parametrize(
    ("latex", "inside"),
    [
        (r"\mathcal L\in\mathbb R", "<mi>ℒ</mi><mo>∈</mo><mi>ℝ</mi>"),
        (r"\mathbf 1", "<mn>𝟏</mn>"),
        (r"\mathrm{MSSA}(Z)", '<mi>MSSA</mi><mo stretchy="false">(</mo><mi>Z</mi><mo stretchy="false">)</mo>'),
        (r"\mathrm d", '<mi mathvariant="normal">d</mi>'),
        (r"\mathtt{a\_b}", '<mi class="code">a_b</mi>'),
        (r"\left(x\right)", "<mo>(</mo><mi>x</mi><mo>)</mo>"),
        (
            r"\left|x\right|",
            '<mo stretchy="true" form="prefix">|</mo><mi>x</mi><mo stretchy="true" form="postfix">|</mo>',
        ),
        (r"x^{2}", "<msup><mi>x</mi><mn>2</mn></msup>"),
        (r"x^{n+1}", "<msup><mi>x</mi><mrow><mi>n</mi><mo>+</mo><mn>1</mn></mrow></msup>"),
    ],
)
def test_formulas_are_what_browsers_show_and_no_more(latex, inside):
    assert inside in mathml(latex)
    assert "xmlns" not in mathml(latex)


def test_numbers_in_words():
    assert number(None) == "–"
    assert number(float("nan")) == "not a number"
    assert number(float("inf")) == "∞"
    assert number(0.012345) == "0.0123"
    assert number(1.23456, 4) == "1.235"
    assert shown([[0.1 + 0.2, "a"], 3]) == "[[0.3, a], 3]"
    assert percent(0.015) == "1.5 %"
    assert standing(Result("a.b", HOLDS, HOLDS)) == "no instance judged"


def test_derivations_checked_in_processes_are_shown_as_in_one(monkeypatch):
    from verify.report import page

    claims = verify.claims.ledger().select(["rates.gradient", "rates.scale-is-precision"])
    alone = page._derivations(claims, 1)
    monkeypatch.setattr(page, "FEW", 2)
    assert page._derivations(claims, 2) == alone
    assert alone.count("<section") > 2
