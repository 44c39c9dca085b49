"""The doors through which text comes in, and the law that holds at each: an answer, or one refusal that can be shown.

`knock` is what both fuzzers do: it opens a door with a text and fails unless the law holds.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlencode

from perfmodel import Scenario, estimate, from_query
from perfmodel.calibration import parse
from perfmodel.codec import from_row
from perfmodel.importer import import_chip, import_config
from perfmodel.kernels import kernel
from perfmodel.measurements import read_measurements
from perfmodel.pins import from_link, to_link
from perfmodel.serving.lengths import from_csv
from perfmodel.training import train

CONFIGS = Path(__file__).resolve().parents[2] / "tests" / "configs"
#: A text costs at most so much CPU: nobody may buy minutes with one request [s].
PATIENCE_S = 5.0
#: What a refusal may be long.
MOST_WORDS = 50_000
#: Longer texts are refused by the browser's and the proxy's limits; the doors have their own tests for 50 MB.
MOST_CHARS = 20_000


@dataclass(frozen=True)
class Door:
    """One way in: what is called with the text, and texts that lead far inside."""

    call: Callable[[str], Any]
    seeds: tuple[str, ...]
    never_refuses: bool = False


class Broken(Exception):
    """The law of a door does not hold."""


def hold(law: bool, text: str) -> None:
    """Raise `Broken` with a text unless the law holds."""
    if not law:
        raise Broken(text)


def link(text: str) -> None:
    """Read a link as a page does: never refused, computed, and the link of the result means the same."""
    query = dict(parse_qsl(text, keep_blank_values=True))
    scenario, _ = from_query(query)
    hold(from_query(scenario.to_query()) == (scenario, ()), f"the link of {text!r:.300} means something else")
    pins, _ = from_link(query)
    hold(from_link(to_link(pins))[0] == pins, f"the pins of {text!r:.300} are lost on the way")
    if scenario.chip is None:
        estimate(scenario)


def row(read: Callable[[Any], Any]) -> Callable[[str], Any]:
    """Return the door of a command that reads one JSON object a line."""

    def call(text: str) -> Any:
        try:
            value = json.loads(text)
        except (ValueError, RecursionError) as error:
            raise ValueError("no JSON") from error
        return read(value)

    return call


def _configs() -> tuple[str, ...]:
    names = ("llama-3.1-8b", "deepseek-v3", "gemma-3-27b", "jamba-1.5-mini", "qwen3-next-80b-a3b", "gpt-2-xl")
    return tuple((CONFIGS / f"{name}.json").read_text(encoding="utf-8") for name in names)


_CHIP = {"name": "Own", "memory_gb": 80, "bandwidth_gb_s": 3350, "bf16": 989}
_GEMM = {"kernel": "gemm", "gpu": "h100-sxm", "m": 1, "n": 4096, "k": 4096}
_ATTENTION = {"kernel": "attention", "gpu": "a100-sxm-80gb", "batch": 1, "kv_len": 9, "heads": 8, "kv_heads": 2}
_TRAIN = {"model": "llama-3.1-8b", "gpu": "h100-sxm", "n_gpu": 8, "global_batch": 64, "seq_len": 4096}
_CUSTOM = {"v": "1", "model": "custom", "layers": "2", "hidden": "64", "heads": "4", "kv_heads": "2", "vocab": "99"}

DOORS: dict[str, Door] = {
    "link": Door(
        link,
        (
            urlencode(Scenario().to_query()),
            urlencode(_CUSTOM),
            "batch=9&gpu=nope&p1=x&batch=-1",
            "mixers=GLMSD-&ffns=de",
        ),
        never_refuses=True,
    ),
    "config": Door(import_config, _configs()),
    "chip": Door(import_chip, (json.dumps(_CHIP), "h100", "{}")),
    "measurements": Door(
        lambda text: read_measurements(text, Scenario()), ("what,seconds,m,n,k\ngemm,1e-5,16,4096,4096\n", '{"a": [1]}')
    ),
    "lengths": Door(from_csv, ("input,output\n100,10\n300,30\n", "input,output\n1e9,x\n")),
    "calibration": Door(parse, ("mem:0.83,compute:0.71", "step_us:200", "mem:")),
    "batch": Door(row(from_row), ('{"model": "llama-3.1-8b", "batch": 4}', '{"model": {"layers": 2, "hidden": 64}}')),
    "kernels": Door(row(kernel), (json.dumps(_GEMM), json.dumps(_ATTENTION))),
    "train": Door(row(train), (json.dumps(_TRAIN),)),
}


def knock(name: str, text: str) -> bool:
    """Open a door with a text; return whether it was answered, and raise `Broken` where the law does not hold."""
    door, text, refusal = DOORS[name], text[:MOST_CHARS], None
    began = time.process_time()
    try:
        door.call(text)
    except ValueError as error:
        refusal = error
    took, at = time.process_time() - began, f"{name} and {text!r:.300}"
    hold(refusal is None or not door.never_refuses, f"a refusal where there is none, {refusal}: {at}")
    hold(refusal is None or type(refusal) is ValueError, f"{type(refusal).__name__} is no refusal of ours: {at}")
    hold(refusal is None or str(refusal).isprintable(), f"a refusal that cannot be shown: {at}")
    hold(refusal is None or 0 < len(str(refusal)) <= MOST_WORDS, f"a refusal without words, or with too many: {at}")
    hold(took < PATIENCE_S, f"{took:.0f} s: {at}")
    return refusal is None
