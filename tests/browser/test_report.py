"""The report in a real browser: it opens without a network, draws every figure and prints; exports and embedding."""

from pathlib import Path

from playwright.sync_api import Browser, Page, Route, expect

from perfmodel import Scenario
from perfmodel.dossier import Subject, html, shown
from tests.browser.test_share import forgive_missing_files, ready

SUBJECT = Subject(Scenario(batch=8), "https://perf.example.org/", "2026-01-31")


def test_opens_without_a_network(browser: Browser, tmp_path: Path) -> None:
    """Opened from a file, the report draws each of its figures; no request leaves it, no error is logged."""
    path = tmp_path / "report.html"
    path.write_text(html(SUBJECT), encoding="utf-8")
    asked: list[str] = []
    errors: list[str] = []

    def refuse(route: Route) -> None:
        if route.request.url == path.as_uri():
            route.continue_()
        elif not route.request.url.startswith(("data:", "blob:")):
            asked.append(route.request.url)
            route.abort()

    context = browser.new_context(viewport={"width": 1000, "height": 900}, accept_downloads=True)
    tab = context.new_page()
    tab.on("console", lambda message: errors.append(message.text) if message.type == "error" else None)
    tab.on("pageerror", lambda error: errors.append(str(error)))
    tab.route("**/*", refuse)
    tab.goto(path.as_uri())
    tab.wait_for_selector("html[data-drawn]", state="attached", timeout=60_000)
    expect(tab.locator(".js-plotly-plot")).to_have_count(len(shown(SUBJECT)))
    with tab.expect_download() as saved:
        tab.get_by_role("button", name="PNG").first.click()
    assert saved.value.suggested_filename == "perfmodel-time.png"
    assert (asked, errors) == ([], [])
    paper = tab.pdf(format="A4", prefer_css_page_size=True)
    assert paper.startswith(b"%PDF")
    context.close()


def test_export_hands_out_the_report(page: Page) -> None:
    """The report of the Export button is the one that the package writes for that link."""
    page.goto("/?batch=8")
    ready(page)
    page.get_by_role("button", name="Export").click()
    with page.expect_download() as saved:
        page.get_by_role("button", name="Report (HTML)").click()
    text = saved.value.path().read_text(encoding="utf-8")
    assert "Open this scenario in perfmodel" in text
    assert text.count('<div class=plot data-figure="') == len(shown(SUBJECT))
    expect(page.get_by_test_id("stCode").first).to_contain_text("vllm serve")


def test_one_figure_alone(page: Page, console_errors: list[str]) -> None:
    """An embedded page has one figure, no sidebar and no heading, and its link opens the whole page elsewhere."""
    page.goto("/Roofline?batch=8&alone=roofline&embed=true")
    ready(page)
    forgive_missing_files(console_errors)
    expect(page.locator(".js-plotly-plot")).to_have_count(1)
    expect(page.get_by_test_id("stSidebar")).to_have_count(0)
    expect(page.get_by_test_id("stHeading")).to_have_count(0)
    link = page.get_by_role("link", name="Open in perfmodel")
    assert "alone=" not in str(link.get_attribute("href"))
    assert link.get_attribute("target") == "_blank"
