"""The house keeps its shape: who may import whom, how long things get, what must never be committed.

To add a module to perfmodel, put its name into LAYERS; nothing else here needs to change.
"""

import ast
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]

#: From the ground up. A module, or a package with all that is in it, imports from its own layer and from those above it
#: in this table; never from those below.
LAYERS = (
    "units catalog score languages",
    "formulas",
    "dimensions model hardware precision workload engine backend generation split ops",
    "attention ffn ssm mlp convnet blocks exchange transformer speculative",
    "parallel collectives step setup tuning calibration network",
    "scenario codec importers importer training_scenario published measurements",
    "memory bands training_ops training_memory pins",
    "report",  # below estimate, which returns one
    "estimate grid notebook training confidence",
    "catalogue_tables chip_compare chip_tables model_tables model_compare",
    "diagnosis",
    "advice cost docstrings explain breakdown batching kernels training_curves layouts layout_curves text validation",
    "training_anchors layout_links layout_room serving search fitting measure difference operator_graph cures launch",
    "how how_serving ours",
    "figures glossary",
    "lessons dossier",
    "__init__ __main__ batch",
)
LEVEL = {name: level for level, names in enumerate(LAYERS) for name in names.split()}

FILE_LINES, BODY_LINES = 400, 60
SCALES = {1e6, 1e9, 1e12, 1e15, 1e-6, 1e-9, 2**20, 2**30, 2**40}
#: Written so that this file does not find itself.
MACHINE_PATHS = re.compile(r"/wor[k]/|/roo[t]/|/far[m]/|/hom[e]/\w|/tm[p]/bash")
INJECTION = re.compile(r"unsafe_allow_|components\.v1|<style|<script")


def tracked() -> list[Path]:
    """Every file that is committed or would be; without git, every file outside hidden folders."""
    command = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    try:
        names = subprocess.run(command, cwd=ROOT, capture_output=True, check=True, text=True).stdout.split("\0")
    except (OSError, subprocess.CalledProcessError):
        hidden = re.compile(r"(^|/)\.(?!ci/|streamlit/)|__pycache__")
        names = [path.relative_to(ROOT).as_posix() for path in ROOT.rglob("*")]
        names = [name for name in names if not hidden.search(name)]
    return sorted(ROOT / name for name in names if name and (ROOT / name).is_file())


def python_files(*places: str) -> list[Path]:
    """The tracked .py files at or below the given places; all of them when none is given."""
    files = [path for path in tracked() if path.suffix == ".py"]
    roots = [ROOT / place for place in places] or [ROOT]
    return [path for path in files if any(path.is_relative_to(root) for root in roots)]


def tree(path: Path) -> ast.Module:
    """The file's syntax tree."""
    return ast.parse(path.read_text(encoding="utf-8"), filename=str(path))


def shown(path: Path) -> str:
    """The path as a reader of a failure wants it."""
    return path.relative_to(ROOT).as_posix()


def module(path: Path) -> str:
    """perfmodel/figures/theme.py -> perfmodel.figures.theme; a package is its __init__."""
    return ".".join(path.relative_to(ROOT).with_suffix("").parts)


def imports(path: Path) -> Iterator[str]:
    """The dotted names that a file imports anywhere in it, `from a import b` as a.b, relative ones resolved."""
    for node in ast.walk(tree(path)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            package = module(path).split(".")[: -node.level] if node.level else []
            base = ".".join([*package, *([node.module] if node.module else [])])
            yield from (f"{base}.{alias.name}" for alias in node.names)


def imported_modules(path: Path) -> set[str]:
    """The modules of perfmodel that a file imports: the longest part of each name that is a file."""
    found = set()
    for name in imports(path):
        parts = name.split(".")
        if parts[0] == "perfmodel":
            found.add(next(m for size in range(len(parts), 0, -1) if (m := existing(parts[:size]))))
    return found


def existing(parts: list[str]) -> str | None:
    """The module that the dotted name stands for, if there is one."""
    place = ROOT.joinpath(*parts)
    if place.with_suffix(".py").is_file():
        return ".".join(parts)
    return ".".join([*parts, "__init__"]) if (place / "__init__.py").is_file() else None


def level(name: str) -> int:
    """The layer of a module of perfmodel, which is that of its first name below perfmodel."""
    first = name.split(".")[1]
    if first not in LEVEL:
        pytest.fail(f"{name} belongs to no layer: add '{first}' to LAYERS in {shown(Path(__file__))}", pytrace=False)
    return LEVEL[first]


def functions(path: Path) -> Iterator[ast.FunctionDef | ast.AsyncFunctionDef]:
    """Every function and method in the file."""
    return (node for node in ast.walk(tree(path)) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef))


def body_lines(function: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    """The lines from the first statement after the docstring to the last."""
    body = function.body[1:] if ast.get_docstring(function) is not None else function.body
    return function.end_lineno - body[0].lineno + 1 if body else 0


def value(node: ast.AST) -> float | None:
    """The number that a literal or a power of literals stands for."""
    match node:
        case ast.Constant(value=int() | float() as number) if not isinstance(number, bool):
            return number
        case ast.BinOp(left=ast.Constant(value=int() as base), op=ast.Pow(), right=ast.Constant(value=int() as power)):
            return base**power
    return None


def test_every_module_has_a_layer() -> None:
    """Each module of perfmodel stands in LAYERS, once."""
    names = " ".join(LAYERS).split()
    assert len(names) == len(set(names)), "a name stands in two layers"
    for path in python_files("perfmodel"):
        level(module(path))


def test_imports_go_down() -> None:
    """A lower layer of perfmodel never imports a higher one."""
    wrong = [
        f"{shown(path)} (layer {level(module(path))}) imports {name} (layer {level(name)})"
        for path in python_files("perfmodel")
        for name in sorted(imported_modules(path))
        if level(name) > level(module(path))
    ]
    assert not wrong, "\n".join(wrong)


def test_no_import_cycles() -> None:
    """The modules of perfmodel can be read in some order, each after all that it imports."""
    graph = {module(path): imported_modules(path) - {module(path)} for path in python_files("perfmodel")}
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        pytest.fail("import cycle: " + " -> ".join(error.args[1]), pytrace=False)


def test_only_pages_know_streamlit() -> None:
    """Outside the tests, only app.py and pages/ import streamlit, and the bench that measures them."""
    allowed = {*python_files("app.py", "pages", "tests", "benchmarks/product")}
    wrong = [
        f"{shown(path)} imports {name}"
        for path in python_files()
        if path not in allowed
        for name in imports(path)
        if name.split(".")[0] == "streamlit"
    ]
    assert not wrong, "\n".join(wrong)


def test_only_figures_know_plotly() -> None:
    """Outside the tests, only perfmodel/figures/ imports plotly."""
    allowed = {*python_files("perfmodel/figures", "tests")}
    wrong = [
        f"{shown(path)} imports {name}"
        for path in python_files()
        if path not in allowed
        for name in imports(path)
        if name.split(".")[0] == "plotly"
    ]
    assert not wrong, "\n".join(wrong)


def test_the_package_loads_without_the_page() -> None:
    """`import perfmodel` loads neither streamlit nor plotly, whatever route an import takes."""
    code = "import sys, perfmodel; print(*sorted({'streamlit', 'plotly'} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout.strip()) == (0, ""), done.stdout + done.stderr


def test_files_are_short() -> None:
    """A file is one noun: at most 400 lines."""
    lengths = {path: len(path.read_text().splitlines()) for path in python_files("perfmodel", "pages", "app.py")}
    long = [f"{shown(path)}: {lines} lines" for path, lines in lengths.items() if lines > FILE_LINES]
    assert not long, "\n".join(long)


def test_functions_are_short() -> None:
    """A body fits the eye: at most 60 lines, the docstring not counted."""
    long = [
        f"{shown(path)}:{function.lineno} {function.name}: {body_lines(function)} lines"
        for path in python_files("perfmodel", "pages", "app.py")
        for function in functions(path)
        if body_lines(function) > BODY_LINES
    ]
    assert not long, "\n".join(long)


def test_formulas_are_documented() -> None:
    """Every public function in perfmodel/formulas has a docstring."""
    bare = [
        f"{shown(path)}:{function.lineno} {function.name}"
        for path in python_files("perfmodel/formulas")
        for function in functions(path)
        if not function.name.startswith("_") and not ast.get_docstring(function)
    ]
    assert not bare, "\n".join(bare)


def test_tests_state_their_law() -> None:
    """Every test has a docstring: the law that it proves."""
    bare = [
        f"{shown(path)}:{function.lineno} {function.name}"
        for path in python_files("tests")
        for function in functions(path)
        if function.name.startswith("test") and not ast.get_docstring(function)
    ]
    assert not bare, "\n".join(bare)


def test_scales_live_in_units() -> None:
    """Only perfmodel/units.py multiplies or divides by 1e9, 1e12, 2**30 and their kin."""
    wrong = [
        f"{shown(path)}:{node.lineno} {ast.unparse(node)}"
        for path in python_files("perfmodel", "pages", "app.py")
        if path != ROOT / "perfmodel" / "units.py"
        for node in ast.walk(tree(path))
        if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Mult | ast.Div)
        if {value(node.left), value(node.right)} & SCALES
    ]
    assert not wrong, "\n".join(wrong)


def test_pages_inject_nothing() -> None:
    """Pages bring no CSS or JavaScript of their own."""
    wrong = [
        f"{shown(path)}:{number} {line.strip()}"
        for path in python_files("pages", "app.py")
        for number, line in enumerate(path.read_text().splitlines(), start=1)
        if INJECTION.search(line)
    ]
    assert not wrong, "\n".join(wrong)


def test_pages_sleep_only_behind_their_figures() -> None:
    """The one place where a run rests is behind the figures of a page, for less than the eye needs to notice."""
    sleepers = [shown(path) for path in python_files("pages", "app.py") if "sleep(" in path.read_text()]
    assert sleepers == ["pages/parts/waiting.py"]
    source = (ROOT / sleepers[0]).read_text()
    assert float(re.search(r"BREATH_S = ([\d.]+)", source)[1]) <= 0.1  # type: ignore[index]


def test_the_one_style_sheet_is_for_paper() -> None:
    """The only style that pages bring is a file for paper; a screen sees three rules: fading, words in its ink, links.

    Streamlit has no setting for print: the open sidebar takes a third of the sheet, buttons are drawn, figures are cut
    by the edge and by page breaks, and an answer on paper is what a stakeholder takes to a meeting. Nor has it one for
    the fading of what a run has not drawn yet, which costs a tenth of the way from a slider to its figure; and its
    theme for figures has each drawn twice, so that a figure dresses itself, for any page, and only the page knows its
    ink. A heading without a link has its name worked out by the browser at every run, a twentieth of the way: each has
    a name, and the link to it is hidden. So one static file is allowed: every other rule stands in `@media print` or
    `@page`, it fetches nothing, and one call hands it over.
    """
    (sheet,) = [path for path in tracked() if path.suffix == ".css" and path.is_relative_to(ROOT / "pages")]
    text = re.sub(r"/\*.*?\*/", "", sheet.read_text(), flags=re.DOTALL)
    outside = re.sub(r"@media print \{(?:[^{}]*\{[^{}]*\})*\s*\}|@page \{[^{}]*\}", "", text)
    assert [rule.strip() for rule in re.findall(r"([^{}]+)\{", outside)] == [
        '[data-stale="true"]',
        '[data-testid="stHeaderActionElements"] a[aria-label="Link to heading"]',
        '.js-plotly-plot text[style*="rgb(116, 125, 135)"]',
    ]
    assert not re.search(r"url\(|@import|expression", text)
    calls = [line.strip() for path in python_files("pages", "app.py") for line in path.read_text().splitlines()]
    assert {line for line in calls if ".html(" in line} == {"st.html(head.STYLE)"}


def test_no_machine_paths() -> None:
    """No committed file names a place on one machine."""
    wrong = [
        f"{shown(path)}:{number} {line.strip()[:160]}"
        for path in tracked()
        if b"\0" not in path.read_bytes()
        for number, line in enumerate(path.read_text(errors="replace").splitlines(), start=1)
        if MACHINE_PATHS.search(line)
    ]
    assert not wrong, "\n".join(wrong)


def test_no_collection_after_each_rerun() -> None:
    """runner.postScriptGC stays off: Streamlit's default makes a rerun five times dearer."""
    settings = tomllib.loads((ROOT / ".streamlit" / "config.toml").read_text())
    assert settings["runner"]["postScriptGC"] is False


def test_settings_are_known() -> None:
    """Streamlit ignores a setting that it does not know, so each one in .streamlit/config.toml must be known to it."""
    from streamlit import config

    def keys(table: dict[str, object], prefix: str = "") -> Iterator[str]:
        for key, entry in table.items():
            yield from keys(entry, f"{prefix}{key}.") if isinstance(entry, dict) else [prefix + key]

    written = set(keys(tomllib.loads((ROOT / ".streamlit" / "config.toml").read_text())))
    assert written <= set(config.get_config_options())
