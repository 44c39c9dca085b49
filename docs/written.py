"""Pages of the documentation that the package writes itself: what the site says is what runs."""

from __future__ import annotations

import ast
import inspect
import tomllib
from collections.abc import Callable, Iterable, Mapping
from itertools import groupby
from pathlib import Path
from typing import Any

import perfmodel
from pages.parts import registry
from perfmodel import validation
from perfmodel.catalogue_tables import cited
from perfmodel.chip_tables import chip_row
from perfmodel.engine import ENGINES
from perfmodel.explain import contract, sources
from perfmodel.hardware import ACCELERATORS
from perfmodel.model import MODELS
from perfmodel.model_tables import model_row

ROOT = Path(__file__).resolve().parents[1]
BOX_W, BOX_H, GAP = 104, 30, 10


def table(rows: Iterable[Mapping[str, Any]]) -> str:
    """Return rows as a Markdown table."""
    rows = list(rows)
    heads = list(dict.fromkeys(key for row in rows for key in row))
    lines = [heads, ["---"] * len(heads), *([cell(row.get(head, "")) for head in heads] for row in rows)]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def cell(value: Any) -> str:
    """Return one value as the text of a cell."""
    text = f"{value:,.4g}" if isinstance(value, float) else str(value)
    return text.replace("|", "\\|").replace("\n", " ").replace("<", "&lt;")


def formulas() -> str:
    """Every formula: sentence, equation, symbols with units, validity, source."""
    found = [contract(function) for function in sources.search_formulas()]
    parts = [
        "# Formulas",
        f"{len(found)} functions; each is called by the engine and by the formula cards of the pages.",
    ]
    for title, group in groupby(found, key=lambda one: one.module):
        parts.append(f"## {title}")
        for one in group:
            parts += [f"### {one.title}", one.sentence, f"`{one.equation}`"]
            symbols = [*one.symbols.values(), one.result]
            parts.append(table({"Symbol": s.letter, "Meaning": s.meaning, "Unit": s.unit} for s in symbols))
            parts.append(f"*Valid:* {one.validity}  \n*Source:* {one.source}  \n*Code:* `{one.place}`")
    return "\n\n".join(parts)


def accelerators() -> str:
    """The catalogue of accelerators, and where each one's numbers come from."""
    parts = [
        "# Accelerators",
        "Dense peaks with FP32 accumulate, decimal GB, links in one direction, all links of a chip together.",
    ]
    parts.append(table(chip_row(ACCELERATORS[key]) for key in ACCELERATORS))
    parts.append("## Sources")
    for key in ACCELERATORS:
        chip = ACCELERATORS[key]
        parts.append(f"**{chip.name}** (`{key}`): " + "; ".join(dict.fromkeys(map(cited, chip.sources.values()))))
    return "\n\n".join(parts)


def models() -> str:
    """The catalogue of models."""
    head = (
        "Parameters are counted from the dimensions; differences from the published totals are explained in the files."
    )
    return "\n\n".join(["# Models", head, table(model_row(MODELS[key]) for key in MODELS)])


def engines() -> str:
    """The engine profiles with their constants."""
    parts = ["# Engine profiles"]
    for key in ENGINES:
        text = (ROOT / "perfmodel" / "engines" / f"{key}.toml").read_text(encoding="utf-8")
        parts += [f"## {ENGINES[key].name}", ENGINES[key].summary, f"```toml\n{text}\n```"]
    return "\n\n".join(parts)


def report() -> str:
    """Predicted against measured, scored at the time the site was built."""
    found = validation.checks()
    parts = [
        "# Validation",
        f"{len(found)} published figures, each answered by the functions that the pages use. Mean over families of",
    ]
    parts[-1] += f" their median error: **{validation.percent(validation.headline(found))}**."
    parts += [table(validation.subject_rows()), "## By family", table(validation.family_rows(found))]
    rows = validation.failures()
    return "\n\n".join([*parts, "## Where it fails", table(rows)])


def cases() -> str:
    """Which test proves which case of the articles."""
    listed = tomllib.loads((ROOT / "tests" / "cases.toml").read_text(encoding="utf-8"))
    rows = [
        {"Case": case, "Proved by": ", ".join(f"`{name}`" for name in names)} for case, names in listed["cases"].items()
    ]
    rows += [{"Case": case, "Proved by": f"open: {why}"} for case, why in listed["open"].items()]
    return "# Cases of the articles\n\n" + table(sorted(rows, key=lambda row: int(row["Case"][1:])))


def api() -> str:
    """The public surface, from its docstrings."""
    parts = ["# Python"]
    for name in filter(lambda name: callable(getattr(perfmodel, name)), perfmodel.__all__):
        is_class = inspect.isclass(getattr(perfmodel, name))
        directive = (
            f".. autoclass:: perfmodel.{name}\n   :members:" if is_class else f".. autofunction:: perfmodel.{name}"
        )
        parts.append(f"```{{eval-rst}}\n{directive}\n```")
    return "\n\n".join(parts)


def pages() -> str:
    """Every page of the dashboard with the question it answers and its picture."""
    parts = ["# The pages", "Groups stand in the first row of links, their pages in the second."]
    for group, members in registry.groups().items():
        parts.append(f"## {group or 'Home'}")
        for page in members:
            picture = f"pictures/{page.name.lower().replace(' ', '_')}.png"
            parts.append(f"### {page.name}\n\n{page.question}")
            if (ROOT / "docs" / picture).exists():
                parts.append(f"![{page.name}](../{picture})")
    return "\n\n".join(parts)


def architecture() -> str:
    """The layers of the package, drawn from the table that a test enforces."""
    text = (ROOT / "docs" / "architecture.md.in").read_text(encoding="utf-8")
    return text.replace("{{layers}}", drawing(layers()))


def layers() -> tuple[str, ...]:
    """Return the table of layers that `tests/test_architecture.py` enforces on every import."""
    tree = ast.parse((ROOT / "tests" / "test_architecture.py").read_text(encoding="utf-8"))
    for node in tree.body:
        if isinstance(node, ast.Assign) and getattr(node.targets[0], "id", "") == "LAYERS":
            found: tuple[str, ...] = ast.literal_eval(node.value)
            return found
    raise ValueError("tests/test_architecture.py: LAYERS is missing")


def drawing(rows: tuple[str, ...]) -> str:
    """Draw the layers as rows of boxes, the ground at the bottom, the dashboard on top."""
    shown = ["app.py pages", *(names for names in reversed(rows))]
    across = 8
    lines = [names.split()[i : i + across] for names in shown for i in range(0, len(names.split()), across)]
    height = len(lines) * (BOX_H + GAP) + GAP
    width = across * (BOX_W + GAP) + GAP
    boxes = []
    for row, names in enumerate(lines):
        y = GAP + row * (BOX_H + GAP)
        for column, name in enumerate(names):
            x = GAP + column * (BOX_W + GAP)
            boxes.append(
                f'<rect x="{x}" y="{y}" width="{BOX_W}" height="{BOX_H}" rx="4" fill="none" stroke="currentColor"/>'
            )
            place = f'x="{x + BOX_W / 2}" y="{y + 19}" text-anchor="middle"'
            boxes.append(f'<text {place} font-size="11" fill="currentColor">{name}</text>')
    label = "Layers of the package: each row imports from itself and from the rows below it"
    return f'<svg viewBox="0 0 {width} {height}" role="img" aria-label="{label}">{"".join(boxes)}</svg>'


PAGES: dict[str, Callable[[], str]] = {
    "formulas": formulas,
    "accelerators": accelerators,
    "models": models,
    "engines": engines,
    "validation": report,
    "cases": cases,
    "api": api,
    "pages": pages,
    "architecture": architecture,
}


def write(folder: Path) -> None:
    """Write every page into a folder, touching only those that changed."""
    folder.mkdir(exist_ok=True)
    for name, page in PAGES.items():
        path, text = folder / f"{name}.md", page()
        if not path.exists() or path.read_text(encoding="utf-8") != text:
            path.write_text(text, encoding="utf-8")
