"""What one visitor's session keeps: the page as it stands, not those that were."""

import gc

import pytest

from tests.test_pages import run


@pytest.mark.parametrize("page", ["pages/1_Roofline.py", "pages/11_Regime_map.py", "pages/15_Operators.py"])
def test_a_session_keeps_no_page_of_the_past(page: str) -> None:
    """After eight changes of a page with a clickable figure, the pages and reports of the changes before are gone.

    Streamlit keeps the callback of every version of such a figure as long as the session lives.
    """
    app = run(page)
    for batch in range(2, 10):
        app.slider(key="w.batch").set_value(batch).run()
        assert not app.exception
    gc.collect()
    kept = {id(one) for one in gc.get_objects() if type(one).__module__ == "pages" and type(one).__name__ == "Page"}
    assert len(kept) <= 2
