"""The documentation says what runs: its pages are written by the package, its drawing by the table of layers."""

import importlib.util
import re
from pathlib import Path
from types import ModuleType

import pytest

from perfmodel import ACCELERATORS, ENGINES, MODELS
from perfmodel.explain import sources

ROOT = Path(__file__).resolve().parents[1]
DOCS = ROOT / "docs"


def _written() -> ModuleType:
    """The module that writes pages; the documentation's folder is no package."""
    spec = importlib.util.spec_from_file_location("written", DOCS / "written.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


written = _written()


def test_the_drawing_shows_every_module() -> None:
    """The drawing of the architecture has one box for each module and package, as the import rules name them."""
    drawn = re.findall(r">([\w.]+)</text>", written.architecture())
    names = {name for row in written.layers() for name in row.split()}
    assert set(drawn) == names | {"app.py", "pages"}
    assert len(drawn) == len(set(drawn))


def test_reference_pages_are_complete() -> None:
    """Every formula, accelerator, model and engine profile stands on its page."""
    page = written.formulas()
    assert all(f".{function.__name__}`" in page for function in sources.search_formulas())
    assert all(ACCELERATORS[key].name in written.accelerators() for key in ACCELERATORS)
    assert all(MODELS[key].name in written.models() for key in MODELS)
    assert all(f"## {ENGINES[key].name}" in written.engines() for key in ENGINES)


@pytest.mark.parametrize("name", written.PAGES)
def test_each_written_page_is_in_the_contents(name: str) -> None:
    """A page that is written can be reached from the table of contents."""
    assert f"\ngenerated/{name}\n" in (DOCS / "index.md").read_text(encoding="utf-8")


def test_files_that_the_documentation_names_exist() -> None:
    """Each test, script and deployment file that the handwritten pages promise is there."""
    pages = [path for path in DOCS.rglob("*.md") if "generated" not in path.parts]
    text = "\n".join(path.read_text(encoding="utf-8") for path in pages)
    named = set(re.findall(r"`((?:tests|deploy|benchmarks)/[\w/.]+)`", text))
    assert named
    assert {name for name in named if not (ROOT / name).exists()} == set()
