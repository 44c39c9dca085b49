"""The command line: the same numbers as Python, one answer per line whatever the line, and errors that teach."""

from __future__ import annotations

import json
import math
import random
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from perfmodel import ACCELERATORS, ENGINES, MODELS, Scenario, estimate, from_row
from perfmodel.__main__ import MAX_LINE_CHARS, _line, main, results
from perfmodel.precision import KV_DTYPES, WEIGHT_DTYPES, native_dtype

ROOT = Path(__file__).resolve().parents[1]
#: DESIGN 5: what a result holds at least.
FIELDS = {
    "prefill_s", "decode_step_s", "ttft_s", "tpot_s", "e2e_s", "tokens_per_s", "weight_bytes", "kv_bytes",
    "kv_bytes_per_token", "memory_bytes", "fits", "flops_prefill", "flops_decode", "params_total", "params_active",
    "regime_prefill", "regime_decode", "shares", "notes",
}  # fmt: skip
#: A price is not published for every chip; all else is a number.
MAY_BE_NULL = {"usd_per_million_tokens"}
TINY = {
    "layers": 4,
    "hidden": 256,
    "heads": 8,
    "kv_heads": 2,
    "head_dim": 32,
    "ffn": 1024,
    "gated": True,
    "vocab": 32000,
}
CHIP = {"bandwidth": 2000, "memory": 80, "bf16": 500, "fp8": 1000, "link": 300}


def run(*arguments: str, stdin: bytes | None = None) -> subprocess.CompletedProcess[bytes]:
    """Run the command line as a user does."""
    command = [sys.executable, "-m", "perfmodel", *arguments]
    return subprocess.run(command, cwd=ROOT, input=stdin, capture_output=True, check=False, timeout=120)


def cli(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str, str]:
    """Run the command line in this process: status, output, errors."""
    status = main(list(arguments))
    captured = capsys.readouterr()
    return status, captured.out, captured.err


def one(line: str) -> dict[str, Any]:
    """The result of one line of `batch`."""
    return next(iter(results(iter([line]))))


# estimate


def test_text_report(capsys: pytest.CaptureFixture[str]) -> None:
    """`estimate` prints the verdict, the headline numbers and the largest operators."""
    status, out, err = cli(capsys, "estimate", "--model", "llama-2-7b", "--gpu", "a10", "--batch", "2")
    assert (status, err) == (0, "")
    assert out.startswith("Llama 2 7B on 1 x ")
    for words in ("Decode is memory-bound", "Time to first token", "Time per output token", "Prefill:", "FLOP/B"):
        assert words in out


def test_json_equals_python(capsys: pytest.CaptureFixture[str]) -> None:
    """`estimate --json` holds exactly the numbers of Python, and all documented fields."""
    options = ("--model", "mixtral-8x7b", "--gpu", "h200-sxm", "--n-gpu", "4", "--weight-dtype", "fp8", "--batch", "32")
    status, out, _ = cli(capsys, "estimate", "--json", *options, "--input-len", "1000")
    expected = Scenario(model="mixtral-8x7b", gpu="h200-sxm", n=4, tp=4, weights="fp8", batch=32, input=1000)
    found = json.loads(out)
    assert status == 0
    assert found == json.loads(json.dumps(estimate(expected).to_dict()))
    assert set(found) >= FIELDS


@pytest.mark.parametrize("start", ["", "?", "https://example.org/page?"])
def test_link(capsys: pytest.CaptureFixture[str], start: str) -> None:
    """`estimate --link` takes a link or its query string and says the same as the scenario; problems go to stderr."""
    scenario = Scenario(model="llama-2-7b", gpu="a10", batch=7, kv="fp8")
    query = "&".join(f"{key}={value}" for key, value in scenario.to_query().items())
    status, out, err = cli(capsys, "estimate", "--json", "--link", f"{start}{query}#top")
    assert (status, err) == (0, "")
    assert json.loads(out) == json.loads(json.dumps(estimate(scenario).to_dict()))
    status, out, err = cli(capsys, "estimate", "--link", start + "batch=0&model=llama-2-7b")
    assert status == 0
    assert "batch='0' is not allowed" in err
    assert out.startswith("Llama 2 7B")


BAD = [
    (("--batch", "0"), ("batch=0", "from 1 to 1,000,000")),
    (("--batch", "-1"), ("batch=-1", "from 1 to 1,000,000")),
    (("--batch", "1e999"), ("batch='1e999'", "whole number")),
    (("--batch", "many"), ("batch='many'", "whole number")),
    (("--batch", "9" * 30), ("batch=", "whole number")),
    (("--input-len", "1.5"), ("input_len='1.5'", "whole number")),
    (("--input-len", "50000000"), ("context", "at most")),
    (("--model", "gpt-2-124m", "--input-len", "1000"), ("context", "1,024", "position embeddings")),
    (("--gpu", "h100_sxn"), ("h100_sxn", "did you mean", "h100-sxm")),
    (("--model", "lama-3.1-8b"), ("lama-3.1-8b", "did you mean", "llama-3.1-8b")),
    (("--weight-dtype", "fp9"), ("weight_dtype='fp9'", "fp8")),
    (("--engine", "fussed"), ("fussed", "did you mean fused")),
    (("--n-gpu", "3"), ("tp=3", "heads=32", "try 1, 2, 4")),
    (("--n-gpu", "8", "--tp", "3"), ("n=8", "tp x pp x dp")),
    (("--ep", "2"), ("ep=2", "no experts")),
    (("--model", "custom"), ("custom", "dimensions")),
    (("--link", "batch=2", "--batch", "4"), ("--link", "--batch")),
]


@pytest.mark.parametrize(("arguments", "words"), BAD, ids=lambda v: " ".join(v)[:40])
def test_bad_input_is_explained(capsys: pytest.CaptureFixture[str], arguments: tuple[str, ...], words: Any) -> None:
    """Bad input ends with status 2 and one line on stderr that names thing, value and what is allowed."""
    status, out, err = cli(capsys, "estimate", *arguments)
    assert (status, out) == (2, "")
    assert err.startswith("perfmodel: ")
    assert len(err.splitlines()) == 1
    for word in words:
        assert word in err


def test_heads_not_divisible() -> None:
    """A model object whose KV heads do not divide its heads is refused with the divisors."""
    error = one(json.dumps({"model": TINY | {"kv_heads": 3}}))["error"]
    assert "kv_heads=3 does not divide heads=8" in error
    assert "try 1, 2, 4, 8" in error


@pytest.mark.parametrize("command", ["models", "gpus", "engines"])
def test_lists(capsys: pytest.CaptureFixture[str], command: str) -> None:
    """`models`, `gpus` and `engines` list every id once."""
    status, out, err = cli(capsys, command)
    catalog = {"models": MODELS, "gpus": ACCELERATORS, "engines": ENGINES}[command]
    assert (status, err) == (0, "")
    assert [line.split()[0] for line in out.splitlines()] == list(catalog)


# batch


def good_rows(count: int) -> list[dict[str, Any]]:
    """Valid rows over models, chips, data types, layouts, engines, model and gpu objects; the same every time."""
    draw = random.Random(20)
    models = [name for name in MODELS if MODELS[name].dimensions.max_context >= 1024]
    gpus = [name for name in ACCELERATORS if priced(name)]
    rows: list[dict[str, Any]] = [{}]
    while len(rows) < count:
        row: dict[str, Any] = {
            "model": draw.choice(models),
            "gpu": draw.choice(gpus),
            "batch": draw.choice([8, 64, 512]),
        }
        if draw.random() < 0.2:
            row["model"] = TINY | draw.choice([{}, {"window": 64}, {"experts": 8, "top_k": 2, "expert_ffn": 128}])
        if draw.random() < 0.2:
            row["gpu"] = CHIP
        row |= {
            "input_len": draw.randint(1, 600),
            "output_len": draw.randint(1, 300),
            "prefix_len": draw.randint(0, 99),
        }
        row |= {"weight_dtype": draw.choice(WEIGHT_DTYPES), "kv_dtype": draw.choice(KV_DTYPES)}
        row["engine"] = draw.choice(list(ENGINES))
        row |= draw.choice(
            [{}, {"n_gpu": 2}, {"n_gpu": 4, "pp": 4}, {"n_gpu": 8, "dp": 8}, {"n_gpu": 4, "tp": 2, "dp": 2}]
        )
        row = {key: value for key, value in row.items() if draw.random() < 0.9 or key in ("n_gpu", "batch", "pp", "dp")}
        if fits_layout(row):
            rows.append(row)
    return rows


def priced(gpu: str) -> bool:
    """Whether bandwidth and a peak are published, so that there is a time at all."""
    chip = ACCELERATORS[gpu]
    return chip.memory_bytes_per_s > 0 and native_dtype(chip, "bf16") is not None


def fits_layout(row: dict[str, Any]) -> bool:
    """Whether tensor parallelism divides the heads: worked out here, not by the program."""
    model = row.get("model", "llama-3.1-8b")
    d = Scenario(model=model, input=1, output=1).resolved_model.dimensions if isinstance(model, str) else None
    heads, kv_heads = (d.heads, d.kv_heads) if d else (8, 2)
    tp = row.get("tp") or row.get("n_gpu", 1) // (row.get("pp", 1) * row.get("dp", 1))
    layers = d.layers if d else 4
    if d and d.max_context < 2304 and not {"input_len", "output_len"} <= set(row):
        return False
    shared = not kv_heads or max(tp, kv_heads) % min(tp, kv_heads) == 0
    return (tp == 1 or (heads % tp == 0 and shared)) and row.get("pp", 1) <= layers


def broken_lines(count: int) -> list[str]:
    """Lines that cannot be understood, each kind of breakage many times; the same every time."""
    fixed = [
        "", "   ", "null", "[]", "[{}]", "1", "true", '"text"', "{", "}", '{"batch": 1', "{'batch': 1}", "{batch: 1}",
        '{"batch": 1,}', '{"batch": NaN}', '{"batch": Infinity}', '{"batch": -Infinity}', '{"batch": 1e999}',
        '{"batch": -1}', '{"batch": 0}', '{"batch": 1.5}', '{"batch": true}', '{"batch": "8"}', '{"batch": [8]}',
        '{"batch": {}}', '{"batch": 1000001}', '{"batch": ' + "9" * 400 + "}", '{"batch": ' + "9" * 6000 + "}",
        '{"input_len": -5}', '{"output_len": 0}', '{"prefix_len": -1}', '{"input_len": 99999999}',
        '{"input_len": 1e300}',
        '{"model": "nope"}', '{"model": ""}', '{"model": 7}', '{"model": []}', '{"model": {}}', '{"model": "custom"}',
        '{"gpu": "nope"}', '{"gpu": false}', '{"gpu": {}}', '{"gpu": {"bandwidth": 1}}', '{"gpu": "custom"}',
        '{"engine": "warp"}', '{"engine": 3}', '{"weight_dtype": "fp9"}', '{"kv_dtype": 8}', '{"math_dtype": "int4"}',
        '{"n_gpu": 8, "tp": 3}', '{"tp": 5}', '{"n_gpu": 3}', '{"pp": 1000}', '{"dp": 2}', '{"ep": 4}', '{"n_gpu": 0}',
        '{"n_gpu": 100001}', '{"model": "mixtral-8x7b", "n_gpu": 4, "ep": 3}', '{"bach": 8}', '{"batch": 8, "x": 1}',
        '{"model": "gpt-2-124m"}', '{"model": "\\ud800"}', '{"\\ud800": 1}', '{"model": "\\u0000"}', "\ud800", "\x00",
        "{" * 100_000, '{"a":' * 100_000, "[" * 100_000 + "]" * 100_000, '{"batch": [' * 500 + "]}" * 500,
        '{"model": "' + "m" * 900_000 + '"}', '{"model": "' + "m" * 2_000_000 + '"}', '{"' + "k" * 50_000 + '": 1}',
        '{"id": [1], "batch": 1}', '{"id": {}, "batch": 1}', "# comment", "batch=1",
        '{"batch": 1}{"batch": 1}', "\ufeff{}",
    ]  # fmt: skip
    shapes = [
        {"kv_heads": 3}, {"heads": 0}, {"layers": 0}, {"layers": "4"[:0]}, {"hidden": -1}, {"hidden": None},
        {"window": [1]}, {"window": -1}, {"experts": 8}, {"experts": 8, "top_k": 9, "expert_ffn": 8},
        {"shared_experts": 1, "expert_ffn": [1]},
        {"shared_experts": "2"}, {"shared_experts": -1}, {"vocab": 1e300}, {"ffn": {"a": 1}}, {"gated": "perhaps"},
        {"unknown": 1}, {"mixers": "XYZ"}, {"mixers": ""}, {"ffns": "e"}, {"layers": 10**9},
        {"head_dim": True}, {"kv_lora": 5},
    ]  # fmt: skip
    chips = [
        {"bandwidth": 0},
        {"bandwidth": -1},
        {"memory": "80"[:0]},
        {"memory": []},
        {"bf16": 0, "fp8": 0},
        {"tdp": -1},
    ]
    fixed += [json.dumps({"model": TINY | shape}) for shape in shapes]
    fixed += [json.dumps({"gpu": CHIP | chip}) for chip in chips]
    lines = list(fixed)
    draw = random.Random(21)
    while len(lines) < count:
        whole = json.dumps(draw.choice(good_rows(20)))
        cut = whole[: draw.randrange(1, max(2, len(whole) - 1))]
        lines.append(draw.choice([cut, "x" + whole, whole.replace(":", "=", 1) if ":" in whole else cut, whole + "]"]))
    return lines[:count]


def finite(value: Any) -> bool:
    """Whether all numbers in a result are finite."""
    if isinstance(value, dict):
        return all(finite(v) for k, v in value.items() if not (v is None and k in MAY_BE_NULL))
    if isinstance(value, list):
        return all(finite(v) for v in value)
    return isinstance(value, (str, bool)) or (isinstance(value, (int, float)) and math.isfinite(value))


def test_two_thousand_rows() -> None:
    """2,000 lines in, 2,000 out in order; errors on the 200 broken lines and on no other; finite JSON, all fields."""
    good, broken = good_rows(1800), broken_lines(200)
    places = set(random.Random(22).sample(range(2000), 200))
    rows, left = iter(good), iter(broken)
    lines = [next(left) if n in places else json.dumps(next(rows) | {"id": n}) for n in range(2000)]
    done = run("batch", stdin="\n".join(lines).encode("utf-8", "surrogatepass") + b"\n")
    assert (done.returncode, done.stderr) == (0, b"")
    answers = done.stdout.decode("ascii").splitlines()
    assert len(answers) == 2000
    wrong = []
    for place, (line, answer) in enumerate(zip(lines, answers, strict=True)):
        result = json.loads(answer, parse_constant=pytest.fail)
        if place in places:
            if not (isinstance(result.get("error"), str) and result["error"]) or set(result) - {"error", "id"}:
                wrong.append((place, line[:100], result))
        elif "error" in result or result["id"] != place or not set(result) >= FIELDS or not finite(result):
            wrong.append((place, line[:300], result))
    assert not wrong, "\n".join(map(str, wrong[:10]))


def test_rows_equal_python() -> None:
    """A row of `batch` holds exactly the numbers of `estimate` in Python."""
    for row in good_rows(60):
        assert one(json.dumps(row)) == estimate(from_row(row)).to_dict()


def test_every_chip_answers() -> None:
    """Each accelerator gives a result or an error that says what is missing; none stops the stream."""
    lines = b"".join(json.dumps({"gpu": gpu}).encode() + b"\n" for gpu in ACCELERATORS)
    answers = [json.loads(line) for line in run("batch", stdin=lines).stdout.splitlines()]
    assert len(answers) == len(ACCELERATORS)
    for gpu, answer in zip(ACCELERATORS, answers, strict=True):
        assert ("error" in answer) != priced(gpu), gpu
        assert "error" not in answer or "published" in answer["error"]


def test_bytes_that_are_no_text() -> None:
    """Bytes that are not UTF-8 spoil one line; a byte order mark and Windows line ends spoil none."""
    done = run("batch", stdin=b'\xef\xbb\xbf{"batch": 2}\r\n{"model": "\xff\xfe"}\r\n{}\n{"batch": 3}')
    answers = [json.loads(line) for line in done.stdout.splitlines()]
    assert (done.returncode, ["error" in answer for answer in answers]) == (0, [False, True, False, False])


def test_long_line_is_refused_unread() -> None:
    """A line beyond the limit is refused by its length, before it is parsed."""
    assert f"at most {MAX_LINE_CHARS:,}" in one('{"model": "' + "m" * MAX_LINE_CHARS + '"}')["error"]


def test_errors_keep_the_id() -> None:
    """A row's own id comes back with its error, so that answers can be joined to questions."""
    assert one('{"id": "a7", "batch": 0}')["id"] == "a7"
    assert one('{"id": 3}')["id"] == 3


@pytest.mark.parametrize("number", ["NaN", "Infinity", "-Infinity", "1e999"])
def test_numbers_that_json_does_not_know(number: str) -> None:
    """What JSON has no word for, or no room, is refused by name wherever it stands, also in the row's own id."""
    for row in ('{"id": %s}', '{"batch": %s}', '{"model": {"ffn": %s}}'):
        assert number in one(row % number)["error"]


def test_a_result_without_a_number_is_an_error() -> None:
    """Should a result ever hold NaN, its line becomes an error with its id, and the stream goes on."""
    answer = json.loads(_line({"id": 5, "ttft_s": math.nan}))
    assert answer["id"] == 5
    assert set(answer) == {"id", "error"}


def test_empty_input() -> None:
    """No lines in, no lines out."""
    done = run("batch", stdin=b"")
    assert (done.returncode, done.stdout) == (0, b"")
