"""Sphinx: the documentation site. `./dev docs` builds it into build/site; nothing in it is fetched from outside."""

import sys
from pathlib import Path

DOCS = Path(__file__).resolve().parent
sys.path[:0] = [str(DOCS.parent), str(DOCS)]

import written  # noqa: E402

written.write(DOCS / "generated")

project, author = "perfmodel", "the perfmodel maintainers"
copyright = f"{author}, Apache-2.0"
extensions = ["myst_parser", "sphinx.ext.autodoc"]
myst_heading_anchors = 3
exclude_patterns = ["*.in"]
html_theme = "furo"
html_title = "perfmodel"
html_static_path: list[str] = []
autodoc_typehints = "none"
autodoc_default_options = {"exclude-members": "model_config"}
suppress_warnings = ["myst.header", "docutils", "ref.python"]
