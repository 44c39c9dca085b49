"""Everybody can use it: axe-core on every page, keyboard alone, a narrow screen, dark, less motion, paper."""

import re
import zlib
from collections.abc import Iterator
from importlib.resources import files
from typing import Any
from urllib.parse import quote

import pytest
from playwright.sync_api import Browser, BrowserContext, Locator, Page, expect

from benchmarks.product.server import Server
from pages.parts.registry import pages
from perfmodel.figures import theme
from perfmodel.figures.theme import REGIME_COLOURS
from tests.browser.test_share import parameter, ready

AXE = files("axe_playwright_python").joinpath("axe.min.js").read_text(encoding="utf-8")
PAGES = [page.name for page in pages()]
NARROW = {"width": 390, "height": 844}
GRAVE = ("serious", "critical")
AUDIT = """async rules => (await axe.run(document, {
    resultTypes: ['violations'], ...(rules && {runOnly: {type: 'rule', values: rules}})})).violations.flatMap(
    found => found.nodes.map(node => [found.impact, found.id, `${node.html.slice(0, 160)}: ${node.failureSummary}`]))"""
BACKGROUND = "getComputedStyle(document.querySelector('[data-testid=stApp]')).backgroundColor"
SETTLED = """() => document.querySelector('[data-testid=stApp]')?.dataset.testScriptState === 'notRunning'
    && document.querySelector('[data-testid=stMainBlockContainer] [data-testid]')
    && !document.querySelector('[data-testid=stSkeleton], [data-testid=stStatusWidget]')
    && [...document.querySelectorAll('[data-testid=stPlotlyChart]')].every(e => e.querySelector('.main-svg'))"""
#: What leaves the screen to the right, what hides a part of its text, and figures without a text of their own.
#: A table of data scrolls inside its frame; KaTeX keeps a second, hidden copy of a formula for screen readers.
FIGURES = '[data-testid="stPlotlyChart"], [data-testid="stImage"] img'
GEOMETRY = """figures => {
  const found = [], wide = innerWidth + 1, text = e => (e.innerText || e.tagName).slice(0, 40);
  if (document.documentElement.scrollWidth > wide) found.push('the page scrolls sideways');
  const main = document.querySelector('[data-testid=stMain]');
  if (main.scrollWidth > main.clientWidth + 1) found.push('the main part scrolls sideways');
  for (const e of document.querySelectorAll(figures)) {
    const box = e.getBoundingClientRect();
    if (box.left < -1 || box.right > wide) found.push(`a figure from ${box.left} to ${box.right}`);
    if (!(e.getAttribute('alt') || e.getAttribute('aria-label'))) found.push('a figure without a description');
  }
  for (const e of main.querySelectorAll('*')) {
    if (e.closest('svg, .katex, [data-testid=stDataFrame], [data-testid=stCode]') || !e.innerText) continue;
    const box = e.getBoundingClientRect(), hides = getComputedStyle(e).overflowX !== 'visible';
    if (hides && e.clientWidth && e.scrollWidth > e.clientWidth + 1) found.push(`clipped: ${text(e)}`);
    if (box.width && box.right > wide) found.push(`beyond the edge: ${text(e)}`);
  }
  return found;
}"""

#: Regimes that a figure tells apart by their colour alone: the same pattern, symbol and dash in two of the colours.
#: Sectors of the heat map of regimes carry their names.
COLOUR_ALONE = """colours => [...document.querySelectorAll('.js-plotly-plot')].flatMap(figure => {
  const marks = {}, at = (value, i) => Array.isArray(value) ? value[i] : value ?? '';
  for (const trace of figure.data) {
    const own = trace.marker?.color ?? trace.line?.color;
    (Array.isArray(own) ? own : [own]).forEach((colour, i) => {
      if (!colours.includes(colour)) return;
      const told = [at(trace.marker?.pattern?.shape, i), at(trace.marker?.symbol, i), trace.line?.dash ?? ''];
      ((marks[trace.type + told.join('|')] ??= new Set()).add(colour));
    });
  }
  return Object.entries(marks).filter(([, found]) => found.size > 1).map(([mark, found]) => [mark, ...found].join(' '));
})"""


def visit(tab: Page, name: str) -> None:
    """Open a page by its name and wait until it is all there."""
    tab.goto("/" if name == "Home" else "/" + quote(name.replace(" ", "_")))
    tab.wait_for_function(SETTLED)


def grave(tab: Page, rules: list[str] | None = None) -> list[str]:
    """What axe-core finds serious or critical on the page as it stands, by all its rules or by some."""
    if not tab.evaluate("'axe' in window"):
        tab.evaluate(AXE)
    found: list[list[Any]] = tab.evaluate(AUDIT, rules)
    return [f"{rule}: {text}" for impact, rule, text in found if impact in GRAVE]


def context(browser: Browser, server: Server, **options: Any) -> BrowserContext:
    """A visitor with a device of their own."""
    made = browser.new_context(base_url=server.url, **options)
    made.set_default_timeout(60_000)
    return made


@pytest.fixture(scope="module")
def desk(browser: Browser, app_server: Server) -> Iterator[Page]:
    """A wide, light screen that goes from page to page, on which Plotly complains about no figure."""
    visitor = context(browser, app_server, viewport={"width": 1280, "height": 900}, color_scheme="light")
    tab, complaints = visitor.new_page(), []
    tab.on("console", lambda message: complaints.append(message.text) if message.text.startswith("WARN: ") else None)
    yield tab
    visitor.close()
    assert complaints == []


@pytest.fixture(scope="module")
def phone(browser: Browser, app_server: Server) -> Iterator[Page]:
    """A narrow, dark screen that goes from page to page."""
    visitor = context(browser, app_server, viewport=NARROW, color_scheme="dark")
    yield visitor.new_page()
    visitor.close()


#: Words of figures in the ink that a figure gives them, for any page, instead of the ink of this page.
INK = f"rgb({', '.join(map(str, bytes.fromhex(theme.INK[1:])))})"
PALE_WORDS = f"""[...document.querySelectorAll('.js-plotly-plot text[style*="{INK}"]')]
  .filter(text => getComputedStyle(text).fill !== getComputedStyle(document.querySelector('.stApp')).color)
  .map(text => text.textContent)"""


@pytest.mark.parametrize("name", PAGES)
def test_a_page_on_a_desk(desk: Page, name: str) -> None:
    """On a wide, light screen axe-core finds nothing grave, figures have a sentence and need no colour."""
    visit(desk, name)
    assert desk.evaluate(COLOUR_ALONE, list(REGIME_COLOURS.values())) == []
    assert desk.evaluate(GEOMETRY, FIGURES) == []
    assert grave(desk) == []


@pytest.mark.parametrize("name", PAGES)
def test_a_page_on_a_phone(phone: Page, name: str) -> None:
    """On a narrow screen, dark and light, nothing is cut off or scrolls sideways and axe-core finds nothing grave."""
    phone.emulate_media(color_scheme="dark")
    visit(phone, name)
    assert phone.evaluate(BACKGROUND) == "rgb(20, 23, 27)"
    assert phone.evaluate(GEOMETRY, FIGURES) == []
    assert phone.evaluate(PALE_WORDS) == []
    assert grave(phone) == []
    # Colours alone change with the light, and the page follows without a reload.
    phone.emulate_media(color_scheme="light")
    phone.wait_for_function(f"{BACKGROUND} === 'rgb(255, 255, 255)'")
    assert phone.evaluate(PALE_WORDS) == []
    assert grave(phone, ["color-contrast"]) == []


def tab_to(page: Page, target: Locator, limit: int = 80) -> None:
    """Press the tab key until the target has the focus, and see that the screen shows where the focus is."""
    target.scroll_into_view_if_needed()
    box = target.bounding_box()
    assert box is not None
    for _ in range(limit):
        if target.evaluate("e => e === document.activeElement"):
            break
        page.keyboard.press("Tab")
    assert target.evaluate("e => e === document.activeElement"), "the tab key does not reach it"
    focused = look(page, target)
    target.evaluate("e => e.blur()")
    assert look(page, target) != focused, "the focus cannot be seen"
    target.focus()


def look(page: Page, target: Locator) -> bytes:
    """A picture of the target and a few pixels around it."""
    page.wait_for_timeout(250)  # a tooltip or a transition of Streamlit's
    box = target.bounding_box()
    assert box is not None
    clip = {"x": box["x"] - 6, "y": box["y"] - 6, "width": box["width"] + 12, "height": box["height"] + 12}
    return page.screenshot(clip=clip)


def test_the_keyboard_is_enough(page: Page) -> None:
    """Move a slider, open a fold, share, change the page, choose, leave by keys; the focus is seen all along."""
    page.goto("/?batch=8")
    ready(page)
    page.wait_for_function(SETTLED)
    tab_to(page, page.locator('input[type=range][aria-label="Batch size [sequences]"]'))
    page.keyboard.press("ArrowRight")
    page.wait_for_url(re.compile("batch=9"))
    ready(page)
    tab_to(page, page.locator("summary").first)
    page.keyboard.press("Enter")
    expect(page.locator("details[open]").first).to_be_visible()
    ready(page)
    share = page.get_by_role("button", name="Share")
    tab_to(page, share)
    page.keyboard.press("Enter")
    expect(page.get_by_test_id("stCode").first).to_contain_text("batch=9")
    page.keyboard.press("Escape")
    expect(page.get_by_test_id("stCode")).to_have_count(0)
    tab_to(page, page.get_by_role("link", name="Understand"))
    page.keyboard.press("Enter")
    page.wait_for_url(re.compile("/Roofline"))
    ready(page)
    assert parameter(page, "batch") == "9"
    page.wait_for_function(SETTLED)
    tab_to(page, page.get_by_role("radio", name="both"))  # one stop for the group; arrows move within it
    page.keyboard.press("ArrowRight")
    page.keyboard.press("Space")
    page.wait_for_url(re.compile("phase=prefill"))
    ready(page)
    for _ in range(100):  # no trap: the focus leaves the page at its end
        page.keyboard.press("Tab")
        if page.evaluate("document.activeElement === document.body"):
            break
    assert page.evaluate("document.activeElement === document.body")


def test_less_motion(browser: Browser, app_server: Server) -> None:
    """Whoever asks for less motion sees none while a page stands still or a slider moves its figures."""
    visitor = context(browser, app_server, viewport={"width": 1280, "height": 900}, reduced_motion="reduce")
    tab = visitor.new_page()
    visit(tab, "Home")
    tab.locator('input[type=range][aria-label="Batch size [sequences]"]').focus()
    tab.keyboard.press("ArrowRight")
    tab.wait_for_url(re.compile("batch=2"))
    tab.wait_for_function(SETTLED)
    running = "document.getAnimations().filter(a => a.playState === 'running' && a.effect?.getTiming().iterations > 1)"
    assert tab.evaluate(f"{running}.length") == 0
    layouts = "[...document.querySelectorAll('.js-plotly-plot')].map(e => e.layout.transition?.duration ?? 0)"
    assert set(tab.evaluate(layouts)) == {0}
    visitor.close()


#: What takes part in a printed page: controls that paper has no use for, and figures wider than the page's own width.
CONTROLS = ["stSidebar", "stHeader", "stButton", "stDownloadButton", "stPopover", "stPageLink"]
ON_PAPER = """([controls, figures]) => {
  const shown = e => e.getClientRects().length > 0;
  const found = controls.filter(id => [...document.querySelectorAll(`[data-testid=${id}]`)].some(shown));
  for (const e of document.querySelectorAll(figures)) {
    for (let box = e.closest('[data-testid=stElementContainer]'), up = box.parentElement; up; up = up.parentElement) {
      const cuts = getComputedStyle(up).overflowX !== 'visible';
      if (cuts && up.clientWidth < e.getBoundingClientRect().width) found.push('a figure is cut');
    }
  }
  return found;
}"""


def sheets(paper: bytes) -> list[int]:
    """The number of drawing operations on each page of a printed document, uncompressed."""
    streams = re.findall(rb"/Type /Page\b.*?/Contents (\d+) 0 R", paper, re.DOTALL)
    found = []
    for number in streams:
        body = re.search(rb"\n" + number + rb" 0 obj\n.*?stream\n(.*?)\nendstream", paper, re.DOTALL)
        found.append(len(zlib.decompress(body[1])) if body else 0)
    return found


@pytest.mark.parametrize(("name", "width"), [("Home", 1920), ("FLOPs", 1280), ("Operators", 1920)])
def test_on_paper(browser: Browser, app_server: Server, name: str, width: int) -> None:
    """A printed page has no controls, no cut figure and no empty sheet, and each figure keeps its description."""
    visitor = context(browser, app_server, viewport={"width": width, "height": 900})
    tab = visitor.new_page()
    visit(tab, name)
    paper = tab.pdf(prefer_css_page_size=True, tagged=True)
    tab.emulate_media(media="print")
    assert tab.evaluate(ON_PAPER, [CONTROLS, FIGURES]) == []
    assert len(re.findall(rb"/Alt ?[(<]", paper)) >= tab.locator(FIGURES).count() >= 2
    drawn = sheets(paper)
    assert 1 < len(drawn) <= 4
    assert min(drawn) > 400
    visitor.close()
