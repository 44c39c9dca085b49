"""Which pages there are and which view keys they use, read from the folder: a new page is one new file."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from perfmodel.languages import LINK_KEY

ROOT = Path(__file__).resolve().parents[2]
#: The ways of `Page` to draw a secondary control, and where among the arguments the default stands.
CONTROLS = {"choice": 3, "number": 2, "text": 2, "memo": 1, "several": 3}
#: The ways of `Page` to draw a figure: where its key stands among the arguments, and the one it has without.
FIGURES = {"show": (1, ""), "picture": (2, "picture")}
#: What a page is called in its own file and in those that draw for it.
OWN = ("page", "self.page")
_NAME = re.compile(r"^(\d+)[_ -]*(.+)$")
#: What pages are for: group -> the first number of its pages. The tens of a page's number say where it belongs.
GROUPS = {"Understand": 1, "Diagnose": 10, "Scale": 20, "Decide": 30, "Learn": 40, "Reference": 50}


@dataclass(frozen=True, slots=True)
class PageFile:
    """One page: the path Streamlit links to, its name, the question it answers (first docstring line), its group."""

    path: str
    name: str
    question: str
    group: str


def pages() -> tuple[PageFile, ...]:
    """Return the pages in the order of their numbers, the home page first; read again when the folder changes."""
    return _pages((ROOT / "pages").stat().st_mtime_ns)


@lru_cache(maxsize=1)
def _pages(_changed: int) -> tuple[PageFile, ...]:
    numbered = sorted((ROOT / "pages").glob("[0-9]*.py"), key=lambda path: (_number(path), path.name))
    return tuple(_page(path) for path in (ROOT / "app.py", *numbered) if path.is_file())


def _number(path: Path) -> int:
    found = _NAME.match(path.stem)
    return int(found.group(1)) if found else 0


def _page(path: Path) -> PageFile:
    found = _NAME.match(path.stem)
    name = found.group(2).replace("_", " ") if found else "Home"
    text = ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))) or name
    group = next((group for group, first in reversed(GROUPS.items()) if _number(path) >= first), "")
    return PageFile(path.relative_to(ROOT).as_posix(), name, text.splitlines()[0], group)


def groups() -> dict[str, tuple[PageFile, ...]]:
    """Return group -> its pages, in order; the home page stands alone in the group without a name."""
    found: dict[str, tuple[PageFile, ...]] = {}
    for page in pages():
        found[page.group] = (*found.get(page.group, ()), page)
    return found


def view_keys() -> frozenset[str]:
    """Return the link keys of all secondary controls, and that of the language."""
    return frozenset((LINK_KEY, *(key for page in pages() for key in view_defaults(page.name))))


@lru_cache(maxsize=64)
def view_defaults(name: str) -> Mapping[str, str | None]:
    """Return link key -> default of one page's secondary controls, read from its calls of `choice`, `number`, `text`.

    Those of the files in pages/parts that it imports count too. The key is the first argument: a literal, or an
    f-string with one digit in it. The default (`CONTROLS` says where) is a literal or a constant of the file; None
    stands for one that only the run can tell.
    """
    found: dict[str, str | None] = {}
    for page in pages():
        if page.name == name:
            tree = ast.parse((ROOT / page.path).read_text(encoding="utf-8"))
            for part in (tree, *_shared(tree)):
                found |= _controls(part)
    return found


@lru_cache(maxsize=64)
def figure_keys(name: str) -> tuple[str, ...]:
    """Return the keys of the figures that a page may show, read from its calls; `*` where only the run can tell."""
    found: list[str] = []
    for page in pages():
        if page.name == name:
            tree = ast.parse((ROOT / page.path).read_text(encoding="utf-8"))
            found += [key for part in (tree, *_shared(tree)) for key in _figures(part)]
    return tuple(dict.fromkeys(found))


def _figures(tree: ast.Module) -> Iterator[str]:
    for call in (node for node in ast.walk(tree) if isinstance(node, ast.Call)):
        if isinstance(call.func, ast.Attribute) and call.func.attr in FIGURES and ast.unparse(call.func.value) in OWN:
            place, default = FIGURES[call.func.attr]
            given = call.args[place] if len(call.args) > place else ast.Constant(default)
            parts = given.values if isinstance(given, ast.JoinedStr) else [given]
            yield "".join(str(part.value) if isinstance(part, ast.Constant) else "*" for part in parts)


def _shared(tree: ast.Module) -> Iterator[ast.Module]:
    """Yield the files of pages/parts that a page imports: controls that several pages share are drawn there."""
    for node in tree.body:
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("pages.parts."):
            path = ROOT.joinpath(*(node.module or "").split(".")).with_suffix(".py")
            yield ast.parse(path.read_text(encoding="utf-8"))


def _controls(tree: ast.Module) -> dict[str, str | None]:
    found: dict[str, str | None] = {}
    constants = dict(pair for node in tree.body for pair in _constant(node))
    for call in (node for node in ast.walk(tree) if isinstance(node, ast.Call)):
        if isinstance(call.func, ast.Attribute) and call.func.attr in CONTROLS and call.args:
            found |= dict.fromkeys(_keys(call.args[0]), _default(call, CONTROLS[call.func.attr], constants))
    return found


def _constant(node: ast.stmt) -> Iterator[tuple[str, str]]:
    if isinstance(node, ast.Assign) and isinstance(node.value, ast.Constant):
        yield from ((name.id, str(node.value.value)) for name in node.targets if isinstance(name, ast.Name))


def _keys(node: ast.expr) -> tuple[str, ...]:
    if isinstance(node, ast.Constant):
        return (str(node.value),)
    if not isinstance(node, ast.JoinedStr):
        return ()
    parts = [str(part.value) if isinstance(part, ast.Constant) else "{0}" for part in node.values]
    return tuple("".join(parts).format(digit) for digit in range(10))


def _default(call: ast.Call, place: int, constants: Mapping[str, str]) -> str | None:
    node = call.args[place] if len(call.args) > place else None
    if isinstance(node, ast.Name):
        return constants.get(node.id)
    literal = isinstance(node, ast.Constant) and isinstance(call.args[0], ast.Constant)
    return str(node.value) if literal and isinstance(node, ast.Constant) else None
