"""Take the pictures of the documentation from the running app: `python docs/pictures.py [page ...]`."""

import re
import sys
from pathlib import Path

from playwright.sync_api import Browser, expect

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from benchmarks.product.browser import chromium  # noqa: E402
from benchmarks.product.server import serve  # noqa: E402
from pages.parts.registry import PageFile, pages  # noqa: E402

FOLDER = Path(__file__).with_name("pictures")
#: What the pictures show: a scenario with something to see in every regime.
SCENARIO = "model=llama-3.1-70b&gpu=h100-sxm&n=4&tp=4&batch=16&w=fp8&kv=fp8&engine=vllm"
SIZE = {"width": 1280, "height": 860}


def take(browser: Browser, url: str, page: PageFile) -> None:
    """Photograph one page once nothing on it moves."""
    tab = browser.new_context(viewport=SIZE, color_scheme="light", locale="en-GB").new_page()
    name = "" if page.path == "app.py" else page.name.replace(" ", "_")
    tab.goto(f"{url}/{name}?{SCENARIO}")
    tab.wait_for_url(re.compile("engine=vllm"))
    expect(tab.get_by_test_id("stHeading").first).to_be_visible(timeout=60_000)
    expect(tab.get_by_test_id("stStatusWidget")).to_have_count(0, timeout=60_000)
    expect(tab.get_by_test_id("stSkeleton")).to_have_count(0, timeout=60_000)
    tab.wait_for_timeout(1500)
    tab.screenshot(path=FOLDER / f"{page.name.lower().replace(' ', '_')}.png")
    tab.context.close()


def main() -> None:
    """Photograph the pages named, or all of them."""
    wanted = set(sys.argv[1:])
    with serve() as server, chromium() as browser:
        for page in pages():
            if not wanted or page.name in wanted:
                take(browser, server.url, page)


if __name__ == "__main__":
    main()
