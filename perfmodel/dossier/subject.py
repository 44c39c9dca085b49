"""What a dossier is about: a scenario, what is pinned beside it, the link back and the day."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from functools import cached_property
from urllib.parse import urlencode

from perfmodel.estimate import cached_estimate
from perfmodel.pins import Pins, to_link
from perfmodel.report import Report
from perfmodel.scenario import Scenario

_UNSAFE = re.compile(r"[^a-z0-9.]+")
_ADDRESS = re.compile(r"https?://[^\s\"'<>?#]+")


@dataclass(frozen=True)
class Subject:
    """One scenario to write about. `address`: a page of the dashboard, without parameters; `date`: as text.

    `views`: what else the link back carries, the secondary controls of that page.
    """

    scenario: Scenario
    address: str = ""
    date: str = ""
    pins: Pins = field(default_factory=dict)
    views: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Refuse an address that is none: it becomes a link that people click."""
        if self.address and not _ADDRESS.fullmatch(self.address):
            raise ValueError(f"address={self.address[:80]!r} is not allowed: http:// or https:// and a page is needed")

    @cached_property
    def report(self) -> Report:
        """All results of the scenario."""
        return cached_estimate(self.scenario)

    @property
    def link(self) -> str:
        """The link back to the dashboard, or only its parameters where no address is known."""
        return f"{self.address}?{urlencode(self.scenario.to_query() | self.views | to_link(self.pins))}"

    @property
    def title(self) -> str:
        """What runs on what."""
        setup = self.report.setup
        return f"{setup.model.name} on {self.scenario.n:,} × {setup.chip.name}"

    @property
    def file_name(self) -> str:
        """A name for files about this, without an ending: "llama-3.1-8b-on-1-h100-sxm"."""
        parts = (self.report.setup.model.name, "on", str(self.scenario.n), self.report.setup.chip.name)
        return _UNSAFE.sub("-", " ".join(parts).lower()).strip("-.")
