"""What we stand on: every requirement has a range, is used and is declared, and the audit says what it did."""

import ast
import json
import re
import sys
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest

from deploy import audit
from tests.test_architecture import ROOT, imports, python_files

FILES = sorted(ROOT.glob("requirements*.txt"))
#: What names a tool without importing it.
SCRIPTS = ("dev", "docs/conf.py", "pyproject.toml", "deploy/audit.py", ".ci/run")


def modules(name: str) -> set[str]:
    """The modules that a distribution brings, under the names that code uses; tools may be called by their own."""
    wanted = re.sub(r"[-_.]+", "-", name).lower()
    brought = {module for module, owners in packages_distributions().items() if wanted in map(str.lower, owners)}
    return brought | {wanted, wanted.replace("-", "_"), wanted.removesuffix("-parser") + "_parser"}


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_every_requirement_has_a_range(file: Path) -> None:
    """A lower bound that the code was written for and an upper one; a version that is a date promises nothing above."""
    for requirement in audit.written(file):
        operators = {one.operator: one.version for one in requirement.specifier}
        dated = operators.get(">=", "").startswith("20")
        assert set(operators) == ({">="} if dated else {">=", "<"}), f"{file.name}: {requirement}"


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_every_requirement_is_used(file: Path) -> None:
    """Each is imported somewhere, or called by name by one of our scripts: what nobody uses is not asked for."""
    imported = {name.split(".")[0] for path in python_files() for name in imports(path)}
    named = set(re.findall(r"[\w-]+", "\n".join((ROOT / script).read_text() for script in SCRIPTS)))
    strings = {
        node.value
        for path in python_files("tests", "docs")
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Constant) and isinstance(node.value, str)
    }
    idle = [one.name for one in audit.written(file) if not modules(one.name) & (imported | named | strings)]
    assert idle == []


def test_what_runs_is_declared() -> None:
    """Whatever perfmodel and the pages import is their own, Python's, or stands in a requirement file of running."""
    running = [ROOT / name for name in ("requirements.txt", "requirements-rooms.txt")]
    allowed = {module for file in running for one in audit.written(file) for module in modules(one.name)}
    allowed |= {"perfmodel", "pages"} | set(sys.stdlib_module_names)
    wrong = [
        f"{path.name} imports {name}"
        for path in python_files("perfmodel", "pages", "app.py")
        for name in imports(path)
        if name.split(".")[0] not in allowed
    ]
    assert wrong == []


def test_the_image_gets_what_it_copies() -> None:
    """Docker sends only what .dockerignore lets through, so each file that the Dockerfile copies is let through."""
    allowed = {line[1:] for line in (ROOT / ".dockerignore").read_text().splitlines() if line.startswith("!")}
    copied = re.findall(r"^COPY (?!--from)(.+) \S+$", (ROOT / "Dockerfile").read_text(), re.MULTILINE)
    missing = [
        name
        for name in " ".join(copied).split()
        if not any(name == entry or entry.startswith(f"{name}/") for entry in allowed)
    ]
    assert copied
    assert missing == []


def test_the_audit_sees_what_is_installed() -> None:
    """Everything that requirements.txt names is looked at, and what comes along with it."""
    found = audit.installed(ROOT / "requirements.txt")
    assert {one.name for one in audit.written(ROOT / "requirements.txt")} < set(found)


def test_the_audit_never_passes_in_silence() -> None:
    """No answer, nonsense and packages that the database does not know are all "not looked at"; a hole is named."""
    unknown = {"name": "numpy", "skip_reason": "Dependency not found on PyPI"}
    for text in ("", "{}", "[]", json.dumps({"dependencies": [unknown]})):
        with pytest.raises(audit.NoAnswer):
            audit.answered(text)
    vulns = [{"id": "PYSEC-1", "fix_versions": ["2.1"], "description": ""}]
    known = audit.answered(json.dumps({"dependencies": [{"name": "a", "version": "2.0", "vulns": vulns}, unknown]}))
    assert [str(hole) for hole in audit.holes(known)] == ["a 2.0: PYSEC-1, fixed in 2.1"]
    assert audit.holes([{"name": "a", "version": "2.1", "vulns": []}]) == []
