"""What every test shares: how hypothesis searches, and how two workers divide the tests."""

import os
from typing import Any

import pytest
from hypothesis import settings

# Speed belongs in a benchmark, so no deadline. CI tries the same examples each time: a red run means a changed program.
settings.register_profile("everyday", deadline=None)
settings.register_profile("ci", deadline=None, derandomize=True, print_blob=True)
settings.load_profile("ci" if os.environ.get("CI") else "everyday")


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    """Give all browser tests to one worker, so that one server and one Chromium serve them; the rest goes anywhere.

    This is `--dist loadgroup`, whose marks xdist 3.8 no longer sees under pytest 9.2.
    """
    from xdist.scheduler import LoadScopeScheduling

    class BrowserTogether(LoadScopeScheduling):
        def _split_scope(self, nodeid: str) -> str:
            return "browser" if nodeid.startswith("tests/browser/") else nodeid

    return BrowserTogether(config, log)


@pytest.fixture(autouse=True)
def no_rest(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let no run rest for a browser where there is none."""
    monkeypatch.setattr("pages.parts.waiting.BREATH_S", 0.0)
