"""The pages in a browser: filters, keyboard, widths, contrast, print, and all of it without scripts.

They run in the Chromium of the system, driven by Playwright; in CI, `.ci/run` installs both.
"""

import re
import shutil
import time
from dataclasses import replace
from itertools import cycle, pairwise

import pytest
from test_figure import FIGURE
from test_report import as_if_judged

import verify.claims
from verify.claims._sources import AOT
from verify.experiments import load, page
from verify.ledger import ERROR, HOLDS_UNDER, REFUTED, Evidence, Ledger
from verify.report import render
from verify.report.pages import together
from verify.results import Run

pytestmark = pytest.mark.browser
PATH = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
SELECTION = ("compression.*-step-descends", "layers.crate-lowers-loss", "tost.*step-descends", "aot.*")
WIDTHS = (375, 1440)


@pytest.fixture(scope="module")
def browser():
    try:
        from playwright.sync_api import sync_playwright
    except ImportError:
        pytest.skip("no Playwright: pip install playwright")
    if PATH is None:
        pytest.skip("no Chromium: apt-get install chromium")
    with sync_playwright() as driver:
        started = driver.chromium.launch(executable_path=PATH, args=["--no-sandbox", "--disable-gpu"])
        yield started
        started.close()


@pytest.fixture(scope="module")
def ledger():
    """A few claims of several themes, without the derivations, which take long to check, but for one."""
    every = verify.claims.ledger()
    chosen = (replace(c, proof=(), uses=(), derivations=()) for c in every.select(SELECTION))
    return Ledger((), (every["rates.gradient"], *chosen))


@pytest.fixture(scope="module")
def run(ledger):
    """A run of these, with evidence of every kind, one figure, and one verdict that is not as expected."""
    everything = as_if_judged(ledger)
    results = [replace(r, evidence=kind) for r, kind in zip(everything.results, cycle(Evidence), strict=False)]
    results[2] = replace(results[2], figures=(FIGURE,))
    results[3] = replace(results[3], verdict=ERROR, evidence=None, message="ZeroDivisionError: of course")
    return Run(everything.settings, tuple(results), {"srr": "0.1"})


@pytest.fixture(scope="module")
def folder(ledger, run, tmp_path_factory):
    """The pages of a ledger and of an experiment, in one folder."""
    found = tmp_path_factory.mktemp("pages")
    room = load("room")
    given = room.parameters()
    shown = page.render(room, given, list(room.run(given)))
    pages = {"index.html": render(ledger, run), "room.html": shown}
    for path, text in together(found, pages):
        path.write_text(text, encoding="utf-8")
    return found


@pytest.fixture
def opened(browser, folder):
    """A function that opens a page, and fails if the console says anything."""
    contexts, said = [], []

    def opening(name="index.html", width=1440, **options):
        context = browser.new_context(viewport={"width": width, "height": 900}, **options)
        contexts.append(context)
        tab = context.new_page()
        tab.on("console", lambda message: said.append(message.text))
        tab.on("pageerror", lambda error: said.append(str(error)))
        tab.on("requestfailed", lambda request: said.append(request.url))
        tab.goto((folder / name).as_uri())
        return tab

    yield opening
    for context in contexts:
        context.close()
    assert said == []


def shown(tab):
    return tab.locator("article:visible").evaluate_all("all => all.map(one => one.id)")


def told(tab):
    return tab.locator("#filter output").inner_text()


def test_it_opens_at_once_with_every_claim(opened, run):
    start = time.monotonic()
    tab = opened()
    seconds = time.monotonic() - start
    assert shown(tab) == [r.slug for r in run.results]
    assert told(tab) == f"{len(run.results)} of {len(run.results)} claims shown"
    assert seconds < 10  # of a machine that may be busy; on an idle one it takes a tenth of a second


def test_every_filter_shows_what_it_says(opened, ledger, run):
    tab = opened()
    claims = {c.slug: c for c in ledger}

    def expect(keep):
        wanted = [r.slug for r in run.results if keep(claims[r.slug], r)]
        assert 0 < len(wanted) < len(run.results)
        assert shown(tab) == wanted
        assert told(tab) == f"{len(wanted)} of {len(run.results)} claims shown"
        headings = tab.locator("section.theme h3:visible").all_inner_texts()
        assert headings == list(dict.fromkeys(claims[slug].theme for slug in wanted))

    def everything():
        tab.get_by_role("button", name="Show all").click()
        tab.wait_for_function("document.querySelectorAll('article[hidden]').length === 0")
        assert shown(tab) == [r.slug for r in run.results]

    tab.get_by_role("checkbox", name="refuted").uncheck()
    expect(lambda claim, result: result.verdict != REFUTED)
    tab.get_by_role("checkbox", name="holds under").uncheck()
    expect(lambda claim, result: result.verdict not in (REFUTED, HOLDS_UNDER))
    everything()
    tab.get_by_role("combobox", name="Theme").select_option("aot")
    expect(lambda claim, result: claim.theme == "aot")
    everything()
    tab.get_by_role("combobox", name="Source").select_option(label=AOT)
    expect(lambda claim, result: AOT in claim.source)
    everything()
    tab.get_by_role("checkbox", name="checked").uncheck()
    expect(lambda claim, result: result.evidence != "checked")
    everything()
    tab.get_by_role("searchbox", name="Search").fill("  Softmax ")
    tab.wait_for_function("document.querySelectorAll('article[hidden]').length > 0")
    text = tab.locator("article").evaluate_all("all => all.map(one => [one.id, one.textContent.toLowerCase()])")
    having = {slug for slug, words in text if "softmax" in words}
    expect(lambda claim, result: claim.slug in having)
    everything()


def test_a_link_to_a_claim_that_is_filtered_away_shows_it(opened):
    tab = opened()
    tab.get_by_role("combobox", name="Theme").select_option("aot")
    tab.locator(".findings a[href='#tost.step-descends']").first.click()
    tab.locator("[id='tost.step-descends'] h4").wait_for(state="visible")


def test_titles_only_leaves_titles(opened, run):
    tab = opened()
    assert tab.locator(".statement:visible").count() == len(run.results)
    tab.get_by_role("checkbox", name="Titles only").check()
    assert tab.locator(".statement:visible").count() == 0
    assert tab.locator("article h4:visible").count() == len(run.results)


def test_the_keyboard_reaches_everything(opened):
    tab = opened()
    everything = tab.locator("a[href], input, select, button, summary, article .scroll, pre")
    assert everything.evaluate_all("all => all.filter(one => one.tabIndex < 0).map(one => one.outerHTML)") == []
    tab.keyboard.press("Tab")
    assert tab.evaluate("document.activeElement.className") == "skip"
    assert tab.evaluate("document.activeElement.getBoundingClientRect().top") >= 0
    tab.keyboard.press("Enter")
    assert tab.evaluate("location.hash") == "#main"
    tab.locator("input[type=search]").focus()
    reached = []
    while tab.evaluate("document.activeElement.closest('form') !== null"):
        reached.append(tab.evaluate("document.activeElement.name || document.activeElement.textContent"))
        width = tab.evaluate("parseFloat(getComputedStyle(document.activeElement).outlineWidth)")
        assert width >= 1, reached
        tab.keyboard.press("Tab")
    every = tab.locator("form :is(input, select, button)").count()
    assert len(reached) == every
    assert list(dict.fromkeys(reached)) == ["text", "verdict", "evidence", "theme", "source", "brief", "Show all"]
    tab.locator("input[value=refuted]").focus()
    tab.keyboard.press("Space")
    assert tab.locator("article[data-verdict=refuted]:visible").count() == 0
    tab.locator("details summary").first.focus()
    tab.keyboard.press("Enter")
    assert tab.locator("details[open]").count() == 1


OVERFLOWING = """
() => [...document.querySelectorAll("body *")].filter((one) => {
  if (one.closest(".scroll, pre, svg, math, .skip") && !one.matches(".scroll, pre")) return false;
  if (!one.checkVisibility() || getComputedStyle(one).clipPath !== "none") return false;
  const box = one.getBoundingClientRect();
  return box.width > 0 && (box.left < -0.5 || box.right > innerWidth + 0.5);
}).map((one) => one.outerHTML.slice(0, 100))
"""


@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize("name", ["index.html", "room.html"])
def test_nothing_overflows(opened, name, width):
    tab = opened(name, width)
    tab.add_style_tag(content="* { content-visibility: visible !important; }")
    tab.evaluate("for (const one of document.querySelectorAll('details')) one.open = true")
    assert tab.evaluate("document.documentElement.scrollWidth") <= width
    assert tab.evaluate(OVERFLOWING) == []


# Of every text that is seen: the contrast of its colour with the ground behind it, as WCAG 2 defines it.
CONTRAST = """
() => {
  const canvas = document.createElement("canvas").getContext("2d", { willReadFrequently: true });
  const rgb = (colour) => {
    canvas.clearRect(0, 0, 1, 1);
    canvas.fillStyle = colour;
    canvas.fillRect(0, 0, 1, 1);
    return [...canvas.getImageData(0, 0, 1, 1).data];
  };
  const light = (colour) => {
    const linear = (v) => v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4;
    const [r, g, b] = colour.slice(0, 3).map((v) => linear(v / 255));
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const ground = (one) => {
    for (; one; one = one.parentElement) {
      const colour = rgb(getComputedStyle(one).backgroundColor);
      if (colour[3] === 255) return colour;
    }
    return rgb("Canvas");
  };
  const found = new Map();
  const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  while (walker.nextNode()) {
    const one = walker.currentNode.parentElement;
    if (!walker.currentNode.data.trim() || one.matches("script, style, option")) continue;
    const style = getComputedStyle(one);
    const drawn = one.closest("svg") ? style.fill : style.color;
    const [a, b] = [light(rgb(drawn)), light(ground(one))];
    const ratio = (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
    if (ratio < 4.5) found.set(`${one.tagName}.${one.className.baseVal ?? one.className}`, ratio);
  }
  return [...found];
}
"""


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("name", ["index.html", "room.html"])
def test_every_text_can_be_told_from_its_ground(opened, name, scheme):
    tab = opened(name, color_scheme=scheme)
    dark = tab.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(22, 24, 27)"
    assert dark == (scheme == "dark")
    assert tab.evaluate(CONTRAST) == []


@pytest.mark.parametrize("name", ["index.html", "room.html"])
def test_headings_come_in_order_and_figures_are_named(opened, name):
    tab = opened(name)
    levels = tab.locator("h1, h2, h3, h4, h5, h6").evaluate_all("all => all.map(one => Number(one.tagName[1]))")
    assert levels[0] == 1
    assert levels.count(1) == 1
    assert all(b <= a + 1 for a, b in pairwise(levels))
    drawings = tab.locator("figure svg")
    assert drawings.count() >= 1
    assert all(drawings.evaluate_all("all => all.map(one => one.getAttribute('role') === 'img' && !!one.ariaLabel)"))
    assert tab.evaluate("document.documentElement.lang") == "en"


def test_pages_of_one_folder_lead_to_one_another(opened):
    tab = opened()
    tab.get_by_role("navigation", name="Pages").get_by_role("link", name="room for", exact=False).click()
    assert tab.url.endswith("/room.html")
    tab.get_by_role("navigation", name="Pages").get_by_role("link", name="claims").click()
    assert tab.url.endswith("/index.html")


def test_everything_is_there_without_scripts(opened, run):
    tab = opened(java_script_enabled=False)
    assert tab.locator("article:visible").count() == len(run.results)
    assert tab.locator(".statement:visible").count() == len(run.results)
    assert tab.locator("form:visible").count() == 0


def test_print_has_every_claim_and_no_controls(opened, run, tmp_path):
    tab = opened(color_scheme="dark")
    tab.emulate_media(media="print")
    assert tab.locator("form:visible, nav:visible").count() == 0
    assert tab.locator("article:visible").count() == len(run.results)
    assert tab.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)"
    assert tab.evaluate(CONTRAST) == []
    printed = tab.pdf(path=tmp_path / "report.pdf", format="A4")
    assert len(re.findall(rb"/Type\s*/Page\b", printed)) > 1
