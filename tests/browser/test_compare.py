"""Pins and the operator graph in a real browser: pin, change, compare, hand the link to a stranger; click a box."""

from playwright.sync_api import Browser, Page, expect

from tests.browser.test_share import figures, forgive_missing_files, parameter, ready, set_batch


def words(tab: Page) -> str:
    """Everything that the page says beside its sidebar."""
    return tab.get_by_test_id("stMain").inner_text()


def test_pin_change_compare_share(page: Page, browser: Browser, console_errors: list[str]) -> None:
    """A pinned scenario stays while another is set; the link of the comparison shows a stranger exactly the same."""
    page.goto("/?batch=8")
    ready(page)
    page.get_by_role("button", name="Pin", exact=True).click()
    page.get_by_role("button", name="Pin this scenario").click()
    page.wait_for_url(lambda url: "a=" in url)
    ready(page)
    set_batch(page, 2)
    page.get_by_role("link", name="Diagnose").first.click()
    page.get_by_role("link", name="Compare").first.click()
    page.get_by_text("A decode step takes").wait_for()
    ready(page)
    assert (parameter(page, "batch"), "~batch~8~" in parameter(page, "a")) == ("10", True)
    stranger = browser.new_context(viewport={"width": 1280, "height": 900}).new_page()
    stranger.goto(page.url)
    stranger.get_by_text("A decode step takes").wait_for()
    ready(stranger)
    expect(stranger.get_by_test_id("stMain")).to_contain_text("From A to Now")
    assert words(stranger) == words(page)
    assert figures(stranger) == figures(page)
    stranger.context.close()
    forgive_missing_files(console_errors)


def test_a_click_on_a_box_chooses_the_operator(page: Page, console_errors: list[str]) -> None:
    """A click on a box of the graph puts the operator into the link and opens its card with the values put in."""
    page.goto("/Operators")
    ready(page)
    page.locator(".js-plotly-plot").first.locator(".barlayer .point path").first.click(force=True)
    page.wait_for_url(lambda url: "op=decode.embedding" in url)
    expect(page.get_by_test_id("stMain")).to_contain_text("With the values put in")
    forgive_missing_files(console_errors)


def test_an_open_card_follows_the_slider(page: Page, console_errors: list[str]) -> None:
    """A formula card that is open stays open while its value changes; one that is closed stays closed."""
    page.goto("/Batching?batch=8")
    ready(page)
    cards = page.get_by_test_id("stExpander").filter(has_text="=")
    first, second = (cards.nth(index).locator("details") for index in range(2))
    heading = first.locator("summary")
    for wanted in (True, False):
        heading.click()
        expect(first).to_have_js_property("open", wanted)
        before = heading.inner_text()
        set_batch(page, 4)
        expect(heading).not_to_have_text(before, use_inner_text=True)
        expect(first).to_have_js_property("open", wanted)
        expect(first.get_by_text("With the values put in")).to_be_visible(visible=wanted)
        expect(second).to_have_js_property("open", False)
    forgive_missing_files(console_errors)


def test_a_number_opens_into_its_formula(page: Page) -> None:
    """The way below a headline number opens its formula, the values put in and the source."""
    page.goto("/?batch=8")
    ready(page)
    page.get_by_role("button", name="how?").nth(1).click()
    popover = page.get_by_test_id("stPopoverBody")
    expect(popover).to_contain_text("With the values put in")
    expect(popover).to_contain_text("Confidence")
