"""The main job in a real browser: move a slider, see the verdict, share the link."""

import re
from urllib.parse import parse_qs, urlsplit

import pytest
from playwright.sync_api import Browser, Page, expect

FIGURE = ".js-plotly-plot .main-svg"


def ready(tab: Page) -> None:
    """Wait until the page's figures are drawn and the script has finished."""
    tab.locator(FIGURE).first.wait_for()
    expect(tab.get_by_test_id("stStatusWidget")).to_have_count(0)


def parameter(tab: Page, key: str) -> str:
    """A parameter of the address bar."""
    return parse_qs(urlsplit(tab.url).query).get(key, [""])[-1]


def numbers(tab: Page) -> list[str]:
    """The headline numbers and the verdict."""
    return [*tab.get_by_test_id("stMetricValue").all_inner_texts(), *tab.get_by_test_id("stHeading").all_inner_texts()]


def figures(tab: Page) -> str:
    """What the figures draw."""
    script = "() => [...document.querySelectorAll('.js-plotly-plot path')].map(e => e.getAttribute('d')).join()"
    return str(tab.evaluate(script))


def set_batch(tab: Page, presses: int) -> None:
    """Move the batch slider to the right by so many steps, with the keyboard, and wait for the link to follow."""
    slider = tab.locator('input[type=range][aria-label="Batch size [sequences]"]')
    slider.focus()
    for _ in range(presses):
        wanted = str(int(slider.input_value()) + 1)
        tab.keyboard.press("ArrowRight")
        tab.wait_for_url(lambda url, wanted=wanted: parse_qs(urlsplit(url).query).get("batch") == [wanted])
        ready(tab)


def forgive_missing_files(console_errors: list[str]) -> None:
    """Streamlit asks for its health address below the page's path first when a page other than the first is opened."""
    console_errors[:] = [text for text in console_errors if "404" not in text]


def test_slider_verdict_link(page: Page, browser: Browser) -> None:
    """Moving a slider changes figures and numbers, and the link in the address bar shows a stranger the same."""
    page.goto("/?batch=8")
    ready(page)
    before, drawn = numbers(page), figures(page)
    set_batch(page, 3)
    expect(page.get_by_test_id("stMetricValue").first).not_to_have_text(before[0])
    assert figures(page) != drawn
    stranger = browser.new_context(viewport={"width": 1280, "height": 900}).new_page()
    stranger.goto(page.url)
    ready(stranger)
    assert numbers(stranger) == numbers(page)
    assert stranger.url == page.url
    stranger.context.close()


def test_share_button_shows_the_address(page: Page) -> None:
    """The share button offers the very address that stands in the address bar."""
    page.goto("/?batch=8")
    ready(page)
    set_batch(page, 1)
    page.get_by_role("button", name="Share").click()
    expect(page.get_by_test_id("stCode").first).to_contain_text("batch=9")
    assert page.get_by_test_id("stCode").first.inner_text().strip() == page.url


def test_page_change_back_forward_reload(page: Page) -> None:
    """Page change, Back, Forward and reload all keep the scenario; Back takes back one edit after another."""
    page.goto("/?batch=8")
    ready(page)
    set_batch(page, 2)
    page.get_by_role("link", name="Understand").click()
    page.wait_for_url(re.compile("/Roofline"))
    ready(page)
    assert parameter(page, "batch") == "10"
    set_batch(page, 1)
    for go, batch, path in (
        ("back", "10", "/Roofline"),
        ("back", "10", "/"),
        ("back", "9", "/"),
        ("forward", "10", "/"),
    ):
        page.go_back() if go == "back" else page.go_forward()
        ready(page)
        expect(page.locator('input[type=range][aria-label="Batch size [sequences]"]')).to_have_value(batch)
        assert (parameter(page, "batch"), urlsplit(page.url).path) == (batch, path)
    page.reload()
    ready(page)
    expect(page.locator('input[type=range][aria-label="Batch size [sequences]"]')).to_have_value("10")


def test_edit_after_back_is_kept(page: Page) -> None:
    """An edit made right after Back starts from what is shown and is not lost to an older link."""
    page.goto("/?batch=8")
    ready(page)
    set_batch(page, 4)
    page.go_back()
    slider = page.locator('input[type=range][aria-label="Batch size [sequences]"]')
    expect(slider).to_have_value("11")
    set_batch(page, 2)
    expect(slider).to_have_value("13")


def test_click_opens_an_operator(page: Page, console_errors: list[str]) -> None:
    """A click on a point of the roofline shows that operator's numbers, and the link remembers it."""
    page.goto("/Roofline?batch=16&phase=decode")
    ready(page)
    forgive_missing_files(console_errors)
    spot = page.evaluate(
        "() => { const e = [...document.querySelectorAll('.js-plotly-plot .scatterlayer .points path')].pop();"
        " const r = e.getBoundingClientRect(); return [r.x + r.width / 2, r.y + r.height / 2]; }"
    )
    page.mouse.move(*spot)
    page.mouse.click(*spot)
    page.wait_for_url(re.compile(r"op=decode\.\w+"))
    ready(page)
    name = parameter(page, "op").removeprefix("decode.").replace("_", " ")
    expect(page.get_by_role("heading", name=re.compile(name, re.IGNORECASE)).first).to_be_visible()


@pytest.mark.parametrize(
    "query", ["batch=1e999&gpu=<img src=x onerror=alert(1)>", "model=" + "x" * 10_000, "v=99&zz=1"]
)
def test_broken_link_gives_notices(page: Page, query: str) -> None:
    """A broken or hostile link shows notices above a page that works, and the address bar then holds a sound link."""
    page.goto(f"/?{query}")
    ready(page)
    expect(page.get_by_test_id("stAlert").first).to_be_visible()
    expect(page.get_by_test_id("stException")).to_have_count(0)
    assert parameter(page, "model") == "llama-3.1-8b"
    assert parameter(page, "gpu") == "h100-sxm"
    set_batch(page, 1)


def test_edited_model_travels(page: Page, browser: Browser) -> None:
    """A dimension edited in the sidebar reaches a stranger by the link alone."""
    page.goto("/?batch=8")
    ready(page)
    page.get_by_test_id("stSidebar").get_by_role("radio", name="Model", exact=True).click()
    layers = page.get_by_role("spinbutton", name=re.compile("^Layers"))
    layers.fill("40")
    layers.press("Enter")
    page.wait_for_url(re.compile("model=custom.*layers=40"))
    ready(page)
    stranger = browser.new_context().new_page()
    stranger.goto(page.url)
    ready(stranger)
    assert numbers(stranger) == numbers(page)
    stranger.context.close()


def test_narrow_screen(page: Page) -> None:
    """At 390 px nothing is wider than the screen, and the sidebar is out of the way."""
    page.set_viewport_size({"width": 390, "height": 844})
    page.goto("/?batch=8")
    ready(page)
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    expect(page.get_by_role("heading", name=re.compile("^Decode is")).first).to_be_in_viewport()
