"""Which pages there are and which view keys they use, read from the folder: a new page is one new file."""

from __future__ import annotations

import ast
import re
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
_NAME = re.compile(r"^(\d+)[_ -]*(.+)$")


@dataclass(frozen=True, slots=True)
class PageFile:
    """One page: the path Streamlit links to, the name shown, the question it answers (first docstring line)."""

    path: str
    name: str
    question: str


@lru_cache(maxsize=1)
def pages() -> tuple[PageFile, ...]:
    """Return the pages in the order of their numbers, the home page first."""
    numbered = sorted((ROOT / "pages").glob("[0-9]*.py"), key=lambda path: (_number(path), path.name))
    return tuple(_page(path) for path in (ROOT / "app.py", *numbered) if path.is_file())


def _number(path: Path) -> int:
    found = _NAME.match(path.stem)
    return int(found.group(1)) if found else 0


def _page(path: Path) -> PageFile:
    found = _NAME.match(path.stem)
    name = found.group(2).replace("_", " ") if found else "Home"
    text = ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))) or name
    return PageFile(path.relative_to(ROOT).as_posix(), name, text.splitlines()[0])


@lru_cache(maxsize=1)
def view_keys() -> frozenset[str]:
    """Return the link keys of all secondary controls: the literal first argument of every call of `choice`."""
    files = (ROOT / "app.py", *sorted((ROOT / "pages").glob("**/*.py")))
    return frozenset(key for path in files if path.is_file() for key in _choices(path))


def _choices(path: Path) -> list[str]:
    calls = [node for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))) if isinstance(node, ast.Call)]
    found = [call.args[0] for call in calls if isinstance(call.func, ast.Attribute) and call.func.attr == "choice" and call.args]
    return [key.value for key in found if isinstance(key, ast.Constant) and isinstance(key.value, str)]
