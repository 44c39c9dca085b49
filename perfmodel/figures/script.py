"""Plotly's own JavaScript and figures as data, for pages that must draw figures without a server or a network."""

from __future__ import annotations

import json
from collections.abc import Mapping
from functools import lru_cache

from perfmodel.figures.theme import Figure


@lru_cache(maxsize=1)
def plotly_js() -> str:
    """Return plotly.js as the installed Plotly ships it, 4.8 MB: the version that draws the dashboard's figures."""
    from plotly.offline import get_plotlyjs

    return str(get_plotlyjs())


def script_safe(data: Mapping[str, Figure]) -> str:
    r"""Return JSON that cannot end the script element it stands in.

    >>> script_safe({"a": {"data": ["</script>"]}})
    '{"a":{"data":["\\u003c/script>"]}}'
    """
    from plotly.utils import PlotlyJSONEncoder

    text = json.dumps(data, cls=PlotlyJSONEncoder, separators=(",", ":"))
    return text.replace("<", "\\u003c").replace("\u2028", "\\u2028").replace("\u2029", "\\u2029")
