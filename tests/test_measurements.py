"""Files of measurements: every format of the tools is understood, every bad line is named, hostile ones do no harm.

The samples have the fields and the spelling of the tools' own documentation.
"""

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from perfmodel import MODELS, Scenario
from perfmodel.calibration import parse
from perfmodel.fitting import fit, predict
from perfmodel.importers.text import MAX_BYTES
from perfmodel.measurements import MAX_PROBLEMS, MAX_ROWS, Measured, read_measurements

LLAMA_TABLE = """
| model                          |       size |     params | backend    | ngl | test       |              t/s |
| ------------------------------ | ---------: | ---------: | ---------- | --: | ---------- | ---------------: |
| llama 7B mostly Q4_0           |   3.56 GiB |     6.74 B | CUDA       |  99 | pp 512     |  2368.80 ± 93.24 |
| llama 7B mostly Q4_0           |   3.56 GiB |     6.74 B | CUDA       |  99 | tg 128     |    131.42 ± 0.59 |
| llama 7B mostly Q4_0           |   3.56 GiB |     6.74 B | CUDA       |  99 | tg128 @ d1024 |  120.00 ± 0.1 |

build: 3469684 (1275)
"""
LLAMA_CSV = (
    "build_commit,build_number,cpu_info,gpu_info,backends,model_filename,model_type,model_size,model_n_params,"
    "n_batch,n_threads,n_gpu_layers,n_prompt,n_gen,n_depth,test_time,avg_ns,stddev_ns,avg_ts,stddev_ts\n"
    '"3469684","1275","i9-13900K","RTX 3090 Ti","CUDA","models/7B/ggml-model-q4_0.gguf","llama 7B Q4_0","3825065984",'
    '"6738415616","512","16","99","512","0","0","2023-09-23T12:09:01Z","212155977","732372","2413.341687","8.305961"\n'
    '"3469684","1275","i9-13900K","RTX 3090 Ti","CUDA","models/7B/ggml-model-q4_0.gguf","llama 7B Q4_0","3825065984",'
    '"6738415616","512","16","99","0","128","0","2023-09-23T12:09:02Z","969320879","2728399","132.052051","0.371342"\n'
)
LLAMA_ROW = {
    "build_commit": "3469684",
    "cuda": True,
    "model_type": "llama 7B mostly Q4_0",
    "model_size": 3825065984,
    "model_n_params": 6738415616,
    "n_gpu_layers": 99,
    "n_prompt": 0,
    "n_gen": 128,
    "avg_ns": 977425219,
    "avg_ts": 130.965708,
    "samples_ns": [984472709, 974901233],
}
VLLM_LATENCY = {"avg_latency": 2.5, "latencies": [2.4, 2.6], "percentiles": {"50": 2.5, "99": 2.6}}
VLLM_THROUGHPUT = {
    "elapsed_time": 100.0,
    "num_requests": 1000,
    "total_num_tokens": 512000,
    "requests_per_second": 10.0,
    "tokens_per_second": 5120.0,
}
VLLM_SERVE = {
    "date": "20260101-000000",
    "backend": "vllm",
    "model_id": "meta-llama/Llama-3.1-8B",
    "num_prompts": 100,
    "max_concurrency": 16,
    "duration": 60.0,
    "completed": 100,
    "total_input_tokens": 102400,
    "total_output_tokens": 12800,
    "request_throughput": 1.67,
    "median_ttft_ms": 110.0,
    "median_tpot_ms": 12.5,
    "median_e2el_ms": 1700.0,
}
GENAI_CSV = (
    "Metric,avg,min,max,p99,p95,p90,p75,p50,p25\n"
    "Time To First Token (ms),23.94,22.92,30.75,30.10,27.51,24.26,23.38,23.20,23.02\n"
    "Inter Token Latency (ms),11.54,11.45,11.70,11.69,11.64,11.58,11.55,11.53,11.52\n"
    'Request Latency (ms),"5,919.16","5,912.73","5,934.45","5,933.31","5,928.74","5,923.03","5,920","5,918","5,915"\n'
    "Output Sequence Length,511.90,505.00,516.00,515.91,515.55,515.10,512.75,512.00,511.25\n"
    "Input Sequence Length,127.50,126.00,128.00,128.00,128.00,128.00,128.00,128.00,127.00\n"
    "\n"
    "Metric,Value\n"
    "Output Token Throughput (per sec),86.48\n"
)
GENAI_JSON = {
    "time_to_first_token": {"unit": "ms", "avg": 23.9, "p50": 23.2},
    "inter_token_latency": {"unit": "ms", "avg": 11.5, "p50": 11.5},
    "request_latency": {"unit": "ms", "avg": 5919.2},
    "output_sequence_length": {"unit": "tokens", "avg": 511.9},
    "input_sequence_length": {"unit": "tokens", "avg": 127.5},
    "input_config": {"perf_analyzer": {"stimulus": {"concurrency": 4}}},
}
OWN = "# machine: a test\nwhat,seconds,m,n,k,bytes,batch,input_len,output_len\ngemm,1e-5,16,4096,4096,,,,\n"
OWN += "copy,0.0008,,,,2000000000,,,\nlaunch,5e-6,,,,,,,\ntpot,0.01,,,,,8,512,128\n"


def read(text: str | dict | list, **fields: object) -> Measured:
    """Read a sample for a scenario."""
    plain = text if isinstance(text, str) else json.dumps(text)
    return read_measurements(plain, Scenario().change(**fields))


@pytest.mark.parametrize(
    "text", [LLAMA_TABLE, LLAMA_CSV, [LLAMA_ROW], json.dumps(LLAMA_ROW) + "\n" + json.dumps(LLAMA_ROW)]
)
def test_llama_bench(text: str | list) -> None:
    """llama-bench in every output: model by its parameters, type by its name, prompts and tokens as seconds."""
    found = read(text)
    assert found.problems == ()
    assert found.format.startswith("llama-bench")
    last = next(row for row in found.rows if row.what == "tpot")
    assert last.asked.model in ("llama-2-7b", "llama-1-7b")
    assert (last.asked.weights, last.asked.engine, last.asked.output) == ("int4", "llama.cpp", 128)
    np.testing.assert_allclose(last.seconds, 1 / 131.5, rtol=0.01)
    # 3,825,065,984 B for 6,738,415,616 weights are 4.54 bits: 4 bits and a 16-bit scale for every 30.
    assert 28 <= last.asked.group <= 32


def test_llama_bench_tests() -> None:
    """pp, tg and a depth become prefill, time per token and cached tokens."""
    rows = read(LLAMA_TABLE).rows
    assert [(row.what, row.asked.input, row.asked.prefix) for row in rows] == [
        ("prefill", 512, 0), ("tpot", 1, 0), ("tpot", 1, 1024),
    ]  # fmt: skip
    np.testing.assert_allclose(rows[0].seconds, 512 / 2368.80, rtol=1e-9)


def test_the_scenarios_own_model_is_kept() -> None:
    """A file whose parameters fit the model at hand is taken to be that model."""
    assert read(LLAMA_TABLE, model="llama-2-7b").rows[0].asked.model == "llama-2-7b"


def test_vllm_bench() -> None:
    """Vllm bench: latency and throughput take the lengths of the scenario, serve brings its own."""
    latency = read(VLLM_LATENCY, batch=8, input=32, output=128).rows[0]
    assert (latency.what, latency.seconds, latency.asked.batch, latency.asked.engine) == ("e2e", 2.5, 8, "vllm")
    # Little's law: 64 in flight at 10 a second take 6.4 s each.
    np.testing.assert_allclose(read(VLLM_THROUGHPUT, batch=64).rows[0].seconds, 6.4, rtol=1e-12)
    serve = read(VLLM_SERVE)
    assert [(row.what, row.seconds) for row in serve.rows] == [("tpot", 0.0125), ("e2e", 1.7)]
    assert (serve.rows[0].asked.batch, serve.rows[0].asked.input, serve.rows[0].asked.output) == (16, 1024, 128)


def test_vllm_serve_needs_its_concurrency() -> None:
    """Without the number of requests in flight a served time says nothing: the line names what to do."""
    found = read(VLLM_SERVE | {"max_concurrency": None})
    assert found.rows == ()
    assert "max_concurrency" in found.problems[0]


@pytest.mark.parametrize(("text", "batch"), [(GENAI_CSV, 1), (GENAI_JSON, 4)])
def test_genai_perf(text: str | dict, batch: int) -> None:
    """genai-perf: lengths and times from CSV and JSON; a first token under load waits for others and is left out."""
    found = read(text)
    assert found.problems == ()
    times = {row.what: row.seconds for row in found.rows}
    np.testing.assert_allclose(times["tpot"], 0.0115, rtol=0.01)
    np.testing.assert_allclose(times["e2e"], 5.919, rtol=1e-3)
    assert ("ttft" in times) == (batch == 1)
    assert (found.rows[0].asked.batch, found.rows[0].asked.input, found.rows[0].asked.output) == (batch, 128, 512)


def test_our_own_file() -> None:
    """Ours: kernels and requests in one table; comments and empty cells are nothing."""
    found = read(OWN)
    assert [row.what for row in found.rows] == ["gemm", "copy", "launch", "tpot"]
    assert found.rows[3].asked.batch == 8
    assert found.rows[0].line == 3


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("gem,1,1,1,1,,,,", "line 2: what='gem' is not known; allowed are prefill"),
        ("gemm,-1,1,1,1,,,,", "line 2: seconds='-1' is not allowed: a number above zero"),
        ("gemm,nan,1,1,1,,,,", "line 2: seconds='nan' is not allowed"),
        ("gemm,1,1.5,1,1,,,,", "line 2: m='1.5' is not allowed: a whole number"),
        ("copy,1,1,,,8,,,", "line 2: m is no field of copy"),
        ("tpot,1,,,,,0,1,1", "line 2: batch=0 is not allowed: it must be a whole number from 1"),
        ("gemm,1,1,1,1,,,,,9,9", "line 2: 11 cells, but the header has 9"),
    ],
)
def test_a_bad_line_is_named_and_the_rest_goes_on(line: str, message: str) -> None:
    """Line, field, value, what is allowed; the lines around it are read."""
    header, good = OWN.splitlines()[1], OWN.splitlines()[2]
    found = read("\n".join([header, line, good]))
    assert len(found.rows) == 1
    assert found.problems[0].startswith(message)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "empty"),
        ("   \n\n", "empty"),
        ("# only a comment\n", "only comments"),
        ("hello,world\n1,2\n", "belongs to no known format"),
        ("{}", "none of the keys"),
        ("[1, 2, 3]", "none of the keys"),
        ('{"avg_ts": ', "ends too early"),
        ("x" * (MAX_BYTES + 1), "more than 262,144 bytes"),
        ("[" * 1000, "nested more than 32"),
        ('{"avg_ts": NaN}', "NaN is not a number"),
    ],
)
def test_what_is_no_file_of_measurements(text: str, message: str) -> None:
    """What nothing can be made of is one `ValueError` that says what can be read."""
    with pytest.raises(ValueError, match=message):
        read(text)


def test_limits() -> None:
    """Rows beyond the limit are said and not read; so are problems beyond theirs."""
    header = OWN.splitlines()[1]
    many = read("\n".join([header, *["launch,1e-6,,,,,,,"] * (MAX_ROWS + 5)]))
    assert len(many.rows) == MAX_ROWS
    assert "only the first" in many.problems[-1]
    wrong = read("\n".join([header, *["x,1,,,,,,,"] * 50]))
    assert len(wrong.problems) == MAX_PROBLEMS + 1


@given(st.text(max_size=300) | st.sampled_from([LLAMA_TABLE, LLAMA_CSV, GENAI_CSV, OWN]).map(lambda t: t[::-1]))
def test_any_text_is_rows_or_a_value_error(text: str) -> None:
    """Whatever is pasted gives rows, problems, or one `ValueError`."""
    try:
        found = read(text)
    except ValueError:
        return
    assert found.rows or found.problems


@given(
    st.recursive(
        st.none() | st.booleans() | st.floats() | st.text(max_size=8),
        lambda inner: (
            st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(list(VLLM_SERVE)), inner, max_size=6)
        ),
        max_leaves=8,
    ),
    st.sampled_from([LLAMA_ROW, VLLM_SERVE, VLLM_LATENCY, VLLM_THROUGHPUT, GENAI_JSON]),
    st.integers(0, 20),
)
def test_any_value_in_a_field_is_rows_or_problems(value: object, sample: dict, index: int) -> None:
    """A field of a tool's output may hold anything; it gives rows, a named problem or one `ValueError`."""
    key = list(sample)[index % len(sample)]
    try:
        read_measurements(json.dumps(sample | {key: value}), Scenario())
    except ValueError:
        return


def test_a_model_of_ones_own_is_given_by_its_dimensions() -> None:
    """Columns of dimensions describe a model that no catalogue has; absent ones follow from the others."""
    text = "what,seconds,batch,model,layers,hidden,heads,ffn,gated\ntpot,0.01,4,My model,8,1024,8,2816,yes\n"
    asked = read(text).rows[0].asked
    assert (asked.model, asked.name, asked.batch) == ("custom", "My model", 4)
    shape = asked.dimensions
    assert (shape.layers, shape.hidden, shape.kv_heads, shape.head_dim, shape.gated) == (8, 1024, 8, 128, True)


def test_dimensions_beside_a_model_of_the_catalogue_change_it() -> None:
    """As in a link: half the layers of Llama 2 7B, all else its own."""
    shape = read("what,seconds,model,layers\ntpot,0.01,llama-2-7b,16\n").rows[0].asked.dimensions
    assert shape == MODELS["llama-2-7b"].dimensions.model_copy(update={"layers": 16})


@pytest.mark.parametrize(
    ("row", "message"),
    [
        (",8,,8,64,", "line 2: hidden is missing: no model is named"),
        ("ours,,1024,8,64,", "line 2: layers is missing: model='ours' is not in the catalogue"),
        (",8,1024,8,64,perhaps", "line 2: gated='perhaps' is not allowed: yes or no is needed"),
        (",8,1024,0,64,", "attention needs heads"),
        (",8,1.5,8,64,", "line 2: hidden='1.5' is not allowed: a whole number"),
        ("llama-2-7b,9999,,,,", "9999"),
    ],
)
def test_dimensions_that_are_none_are_named(row: str, message: str) -> None:
    """A model that cannot be is one sentence with line, field and value."""
    found = read(f"what,seconds,model,layers,hidden,heads,ffn,gated\ntpot,0.01,{row}\n")
    assert found.rows == ()
    assert message in found.problems[0]


def test_rows_of_an_unpublished_model_are_fitted() -> None:
    """Times that half the bandwidth gives for a model of one's own lead the fit to half the bandwidth."""
    names, shape = "layers,hidden,heads,kv_heads,head_dim,ffn,vocab", "8,4096,32,32,128,11008,32000"
    base = Scenario(gpu="a100-sxm-80gb", engine="fused")
    lines = [f"tpot,1.0,{batch},{shape}" for batch in (1, 2, 4, 8)]
    asked = read_measurements("\n".join([f"what,seconds,batch,{names}", *lines]), base)
    times = predict(asked.rows, "mem:0.41")
    text = [f"tpot,{seconds:.9g},{batch},{shape}" for seconds, batch in zip(times, (1, 2, 4, 8), strict=True)]
    found = fit(read_measurements("\n".join([f"what,seconds,batch,{names}", *text]), base))
    assert dict(parse(found.cal))["mem"] == pytest.approx(0.41, rel=0.02)


def test_attention_says_its_type() -> None:
    """The data type of an attention row is a name, as the calibrator writes it."""
    text = "what,seconds,phase,batch,q_len,kv_len,heads,kv_heads,head_dim,dtype\n"
    assert read(text + "attention,1e-4,decode,1,1,4096,32,8,128,fp16\n").rows[0].asked["dtype"] == "fp16"


def test_a_launch_under_an_engine_takes_its_host_too() -> None:
    """Launched from Python one by one, the smallest kernel takes the host's time; from a graph, the device's."""
    rows = read("what,seconds,engine,gpu\nlaunch,1e-5,eager,a100-sxm-80gb\nlaunch,1e-5,,a100-sxm-80gb\n").rows
    eager, graphed = predict(rows, "host_us:9,launch_us:2")
    assert (eager, graphed) == (pytest.approx(9e-6), pytest.approx(2e-6))
    wrong = read("what,seconds,engine\nlaunch,1e-5,eagre\n")
    assert "did you mean eager" in wrong.problems[0]


def test_a_copy_within_the_cache_is_shown_and_not_fitted() -> None:
    """It says nothing of memory: the row is read, and stands aside."""
    found = read("what,seconds,bytes\ncached_copy,1e-5,2097152\ncopy,1e-3,200000000\ncopy,2e-3,400000000\n")
    assert [row.what for row in found.aside] == ["cached_copy"]
    assert [row.what for row in found.rows] == ["copy", "copy"]
