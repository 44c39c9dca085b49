"""The command line: `python -m perfmodel estimate|report|batch|kernels|train|import|calibrate|models|gpus|engines`."""

from __future__ import annotations

import argparse
import io
import json
import math
import sys
from collections.abc import Callable, Iterator
from datetime import date
from pathlib import Path
from typing import Any, TextIO
from urllib.parse import urlencode

from perfmodel.catalog import Catalog
from perfmodel.codec import ROW_FIELDS, from_query, from_row
from perfmodel.engine import ENGINES
from perfmodel.estimate import estimate
from perfmodel.hardware import ACCELERATORS
from perfmodel.importer import import_config, import_text_report
from perfmodel.importers.text import decoded
from perfmodel.kernels import kernel
from perfmodel.model import MODELS
from perfmodel.pins import SLOTS, Pins, from_link
from perfmodel.scenario import CUSTOM, Scenario, field_keys
from perfmodel.text import report_text
from perfmodel.training import train

#: A JSON line longer than this is refused unread.
MAX_LINE_CHARS = 1_000_000
#: What a row is answered with.
Answer = Callable[[dict[str, Any]], dict[str, Any]]


def main(arguments: list[str] | None = None) -> int:
    """Run one command; return the exit status: 0, or 2 when the input was not understood."""
    options = _parser().parse_args(arguments)
    try:
        return int(options.run(options))
    except ValueError as error:
        print(f"perfmodel: {error}", file=sys.stderr)
        return 2
    except BrokenPipeError:
        return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m perfmodel", description=__doc__)
    commands = parser.add_subparsers(required=True, metavar="command")
    one = commands.add_parser("estimate", help="one scenario: a readable report, or JSON")
    one.add_argument("--json", action="store_true", help="print the machine form")
    one.set_defaults(run=_estimate)
    page = commands.add_parser("report", help="one scenario as a page to hand on: opens offline, prints; or its tables")
    page.add_argument("-o", "--output", metavar="FILE", required=True, help="the file to write")
    kind = page.add_mutually_exclusive_group()
    kind.add_argument("--json", action="store_true", help="write results and all tables as JSON instead")
    kind.add_argument("--csv", action="store_true", help="write all tables as CSV files in a zip instead")
    page.add_argument("--address", default="", help="page of the dashboard for the link back; default: that of --link")
    page.set_defaults(run=_report)
    for command in (one, page):
        _scenario_arguments(command)
    rows = commands.add_parser("batch", help="one JSON scenario a line in, one JSON result a line out")
    rows.set_defaults(run=_batch, answer=_scenario)
    single = commands.add_parser("kernels", help="one JSON kernel a line in, its time and bound a line out")
    single.set_defaults(run=_batch, answer=kernel)
    run = commands.add_parser("train", help="one JSON training run a line in, step time, MFU, HFU, memory a line out")
    run.set_defaults(run=_batch, answer=train)
    config = commands.add_parser(
        "import", help="read a Hugging Face config.json: what was understood, assumed, ignored"
    )
    config.add_argument("file", help="path of the file, or - for standard input")
    config.set_defaults(run=_import)
    own = commands.add_parser("calibrate", help="measure this machine; write a file that the page Your machine reads")
    own.add_argument("-o", "--output", metavar="FILE", help="the file to write; without it the rows are printed")
    own.add_argument(
        "--seconds", type=float, default=60.0, metavar="X", help="about how long to measure [s]; default 60"
    )
    own.add_argument(
        "--device", choices=("auto", "cpu", "cuda"), default="auto", help="auto: CUDA where PyTorch sees one"
    )
    own.add_argument(
        "--library", choices=("auto", "numpy", "torch"), default="auto", help="auto: PyTorch where it is installed"
    )
    own.add_argument(
        "--rounds", type=int, default=1, metavar="N", help="measure all N times and keep the least of each"
    )
    own.add_argument(
        "--busy", action="store_true", help="the machine does other work: time one thread by the processor time it got"
    )
    own.set_defaults(run=_calibrate)
    for name, catalog in (("models", MODELS), ("gpus", ACCELERATORS), ("engines", ENGINES)):
        listing = commands.add_parser(name, help=f"list the known {name}")
        listing.set_defaults(run=_list, catalog=catalog)
    return parser


def _scenario_arguments(command: argparse.ArgumentParser) -> None:
    command.add_argument("--link", help="take the scenario from a shared link or its query string")
    keys = field_keys(Scenario)
    for row, field in ROW_FIELDS.items():
        unit = f" [{keys[field].unit}]" if keys[field].unit else ""
        default = Scenario.model_fields[field].default
        command.add_argument(
            f"--{row.replace('_', '-')}", dest=row, metavar="X", help=f"{keys[field].help}{unit}; default {default}"
        )


def _asked(options: argparse.Namespace) -> tuple[Scenario, Pins]:
    """Return the scenario, and what a link pins beside it; what the link says wrongly is told on standard error."""
    given = {row: getattr(options, row) for row in ROW_FIELDS if getattr(options, row) is not None}
    if options.link and given:
        raise ValueError(
            f"--link holds the whole scenario: leave out --{next(iter(given)).replace('_', '-')}, or change the link"
        )
    if not options.link:
        return from_row({row: _value(row, text) for row, text in given.items()}), {}
    query = _query(options.link)
    pins, lost = from_link({slot: query[slot][-1] for slot in SLOTS if slot in query})
    scenario, notices = from_query({key: texts for key, texts in query.items() if key not in SLOTS})
    for notice in (*notices, *lost):
        print(f"perfmodel: {notice}", file=sys.stderr)
    return scenario, pins


def _report(options: argparse.Namespace) -> int:
    from perfmodel.dossier import Subject, archive, html, machine_text

    scenario, pins = _asked(options)
    page = (options.link or "").partition("?")[0]
    address = options.address or (page if page.startswith(("http://", "https://")) else "")
    subject = Subject(scenario, address, date.today().isoformat(), pins)
    write = machine_text if options.json else html
    data = archive(subject) if options.csv else write(subject).encode()
    try:
        Path(options.output).write_bytes(data)
    except OSError as error:
        raise ValueError(f"{options.output} cannot be written: {error.strerror}") from None
    return 0


def _estimate(options: argparse.Namespace) -> int:
    report = estimate(_asked(options)[0])
    print(json.dumps(report.to_dict(), indent=2, allow_nan=False) if options.json else report_text(report))
    return 0


def _query(link: str) -> dict[str, Any]:
    from urllib.parse import parse_qs

    query = link.partition("#")[0]
    return dict(parse_qs(query.partition("?")[2] or query, keep_blank_values=True, max_num_fields=1000))


def _value(row: str, text: str) -> Any:
    """Return a number or a switch where the field is one, else the text itself (and let the scenario complain)."""
    kind = Scenario.model_fields[ROW_FIELDS[row]].annotation
    read = {int: int, bool: int, float: float}.get(kind) if isinstance(kind, type) else None
    try:
        return read(text) if read and len(text) < 20 else text
    except ValueError:
        return text


def _scenario(row: dict[str, Any]) -> dict[str, Any]:
    return estimate(from_row(row)).to_dict()


def _batch(options: argparse.Namespace) -> int:
    if isinstance(sys.stdin, io.TextIOWrapper):
        # Bytes that are not UTF-8 spoil their own line, not the stream; a byte order mark is no part of the first row.
        sys.stdin.reconfigure(encoding="utf-8-sig", errors="replace")
    for result in results(sys.stdin, options.answer):
        print(_line(result))
    return 0


def _line(result: dict[str, Any]) -> str:
    try:
        return json.dumps(result, allow_nan=False)
    except ValueError:
        gpu = "a number that this needs is not published for the accelerator, so there is no result"
        return json.dumps({name: result[name] for name in ("id",) if name in result} | {"error": gpu})


def results(lines: TextIO | Iterator[str], answer: Answer = _scenario) -> Iterator[dict[str, Any]]:
    """Yield one result per line; a line that cannot be read yields `{"error": ...}` and the stream goes on."""
    for line in lines:
        try:
            yield _result(line, answer)
        except (ValueError, TypeError, ArithmeticError, RecursionError) as error:
            yield {"error": str(error) or type(error).__name__}


def _result(line: str, answer: Answer) -> dict[str, Any]:
    if len(line) > MAX_LINE_CHARS:
        raise ValueError(f"the line has {len(line):,} characters; at most {MAX_LINE_CHARS:,} are read")
    if not line.strip():
        raise ValueError("the line is empty; a JSON object is needed, {} takes every default")
    row = json.loads(line, parse_constant=_refuse, parse_float=_finite)
    echo = {"id": row.pop("id")} if isinstance(row, dict) and "id" in row else {}
    if isinstance(echo.get("id"), (dict, list)):
        raise ValueError("id is not allowed: text or a number is needed")
    try:
        return echo | answer(row)
    except ValueError as error:
        return echo | {"error": str(error)}


def _refuse(text: str) -> float:
    raise ValueError(f"{text} is not a number that JSON allows")


def _finite(text: str) -> float:
    value = float(text)
    if not math.isfinite(value):
        raise ValueError(f"{text[:40]} is too large for a number")
    return value


def _import(options: argparse.Namespace) -> int:
    try:
        data = sys.stdin.buffer.read() if options.file == "-" else Path(options.file).read_bytes()
    except OSError as error:
        raise ValueError(f"{options.file} cannot be read: {error.strerror}") from None
    imported = import_config(decoded(data, options.file))
    print(import_text_report(imported))
    query = Scenario(model=CUSTOM, dimensions=imported.dimensions).to_query()
    print(f"\nlink: ?{urlencode(query)}")
    return 0


def _calibrate(options: argparse.Namespace) -> int:
    from perfmodel.measure import Wish, calibrate

    wish = Wish(options.seconds, options.device, options.library, options.rounds, options.busy)
    return calibrate(wish, options.output)


def _list(options: argparse.Namespace) -> int:
    catalog: Catalog[Any] = options.catalog
    for key in catalog:
        print(f"{key:28} {catalog[key].name}")
    for problem in catalog.problems:
        print(f"perfmodel: left out {problem}", file=sys.stderr)
    return 0


if __name__ == "__main__":
    sys.exit(main())
