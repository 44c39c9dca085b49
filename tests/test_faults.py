"""What the app does with an installation that is not whole: it starts, names the file, goes on with the rest."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import perfmodel.catalog
from perfmodel.catalog import Catalog, load_sources

ROOT = Path(__file__).resolve().parents[1]
PARTS = ("app.py", ".streamlit", "hardware_specs", "perfmodel", "pages")
#: Runs the home page and a page of the catalogue, and says what they show.
VISIT = """
import json
from streamlit.testing.v1 import AppTest

seen = []
for page in ("app.py", "pages/50_Hardware.py"):
    app = AppTest.from_file("app.py", default_timeout=120)
    app = (app.switch_page(page) if page != "app.py" else app).run()
    seen.append({
        "errors": [error.value for error in app.exception],
        "verdict": [text.value for text in app.subheader],
        "notices": [box.value.replace("\\\\", "") for box in (*app.warning, *app.error)],
    })
print(json.dumps(seen))
"""


@pytest.fixture(autouse=True)
def _of_their_own(monkeypatch: pytest.MonkeyPatch) -> None:
    """Keep the broken catalogues of these tests from the pages of the others."""
    monkeypatch.setattr(perfmodel.catalog, "_CATALOGS", [])
    monkeypatch.setattr(perfmodel.catalog, "_BROKEN", {})


def text(table: dict[str, object]) -> str:
    """What the catalogue of the tests makes of a table."""
    return str(table["name"])


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"name = ", "invalid"),
        (b"\xff\xfe", "decode"),
        (b"other = 1", "name"),
        (b"name = 'a'\nname = 'b'", "overwrite"),
    ],
)
def test_a_broken_file_is_named_and_left_out(tmp_path: Path, content: bytes, said: str) -> None:
    """One unreadable file costs one entry: the others stand, and the problem names the file and not the machine."""
    (tmp_path / "good.toml").write_text("name = 'x'")
    (tmp_path / "bad.toml").write_bytes(content)
    catalog = Catalog(tmp_path, "thing", lambda _id, table: text(table))
    assert list(catalog) == ["good"]
    (problem,) = catalog.problems
    assert problem.startswith(f"{tmp_path.name}/bad.toml: ")
    assert said in problem.lower()
    assert str(tmp_path) not in problem
    assert catalog.preferred("bad", "good") == "good"
    assert catalog.preferred("gone") == "good"


def test_an_empty_catalogue_says_so(tmp_path: Path) -> None:
    """A folder without entries is a problem of its own, and a default stays what it was."""
    catalog = Catalog(tmp_path, "thing", lambda _id, table: text(table))
    assert "no thing could be read" in catalog.problems[0]
    assert catalog.preferred("wanted") == "wanted"


def test_sources_without_their_file(tmp_path: Path) -> None:
    """Numbers keep their source's key when the list of sources is gone; a list that is there knows what it lacks."""
    gone = load_sources(tmp_path / "sources.toml")
    assert "anything" in gone
    assert gone["anything"].key == "anything"
    assert str(tmp_path) not in gone.problem
    (tmp_path / "whole").mkdir()
    (tmp_path / "whole" / "sources.toml").write_text("[one]\ntitle = 'One'")
    whole = load_sources(tmp_path / "whole" / "sources.toml")
    assert "two" not in whole
    with pytest.raises(KeyError):
        whole["two"]


def test_the_app_starts_with_files_lost_and_broken(tmp_path: Path) -> None:
    """Default model lost, default chip broken, sources and a link unreadable: pages run, with a verdict and names."""
    for part in PARTS:
        source = ROOT / part
        copy = shutil.copytree if source.is_dir() else shutil.copy
        copy(source, tmp_path / part)
    (tmp_path / "perfmodel/model_specs/llama-3.1-8b.toml").unlink()
    (tmp_path / "perfmodel/generations/hopper.toml").write_text("x =")
    (tmp_path / "hardware_specs/accelerators/h100-sxm.toml").write_text("name = 3")
    (tmp_path / "hardware_specs/sources.toml").write_bytes(b"\xff")
    ran = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", VISIT], cwd=tmp_path, capture_output=True, text=True, check=True
    )
    for seen in json.loads(ran.stdout):
        assert seen["errors"] == []
        assert "Decode is" in seen["verdict"][0]
        (named,) = [notice for notice in seen["notices"] if "could not be read" in notice]
        for file in ("accelerators/h100-sxm.toml", "hardware_specs/sources.toml", "generations/hopper.toml"):
            assert file in named
