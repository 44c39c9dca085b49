"""Overhead by software stack: the same work from eager Python to a replayed graph, and who removes what."""

from __future__ import annotations

from functools import lru_cache

from perfmodel.diagnosis.case import Case, case_of
from perfmodel.engine import ENGINES
from perfmodel.formulas.overhead import jit_break_even
from perfmodel.scenario import Scenario
from perfmodel.units import show, significant

Row = dict[str, str]

#: From every launch paid by Python to none paid at all.
LADDER = ("eager", "traced", "compiled", "fused", "ideal")
#: Compiling one shape [s]: an estimate, of the order of a minute for a large model.
COMPILE_S = 60.0


def rows(scenario: Scenario, phase: str) -> list[Row]:
    """Return one row per software stack: the time, what launching takes of it, and when compiling has paid.

    The host queues N launches of c each ahead of the device: T = max(N c, device time).
    """
    names = dict.fromkeys((*LADDER, scenario.engine))
    cases = {name: case_of(scenario.change(engine=name), phase) for name in names}
    slow = float(cases[LADDER[0]].time_s())
    return [_row(name, case, slow, name == scenario.engine) for name, case in cases.items()]


def _row(name: str, case: Case, slow_s: float, here: bool) -> Row:
    host = float(case.joined(lambda step: step.host_s.sum(axis=0)))
    time, idle = float(case.time_s()), float(case.joined(lambda step: step.idle_s))
    return {
        "Stack": ENGINES[name].name + (" (this one)" if here else ""),
        "Time": show(time, "s"),
        "Against eager": f"{significant(slow_s / time)}×",
        "Overhead": f"{case.shares[3]:.0%}",
        "Host launches N c": show(host, "s"),
        "Device": show(time - idle, "s"),
        "Device idle": f"{idle / time:.0%}",
        "60 s of compiling pay after": f"{significant(float(jit_break_even(COMPILE_S, 1.0, slow_s, time)))} passes",
    }


#: What the table of stacks says.
SAID = (
    "A leaner host (traced: no Python; compiled: fewer, generated launches) lowers N c; a CUDA graph replays all of it "
    "as one launch. All of them help while N c is longer than the device needs, and not at all beyond. Tracing and "
    "graphs need fixed shapes; a just-in-time compiler pays once for every distinct shape. 60 s is an estimate."
)
#: Who removes which overhead, as the articles sort them.
TAXONOMY = (
    {
        "Kind": "Model optimiser",
        "Examples": "TensorRT, TensorRT-LLM (NVIDIA), OpenVINO (Intel)",
        "When": "ahead of time",
        "What it does": "compiles for one vendor's hardware, and changes the model: quantisation, pruning",
        "Price": "tied to the hardware; quality has to be checked",
    },
    {
        "Kind": "Ahead-of-time compiler",
        "Examples": "XLA, Glow",
        "When": "ahead of time",
        "What it does": "graph into an intermediate form; algebra, fusion, then kernels and data movement for a target",
        "Price": "a graph without data-dependent control flow; the model itself stays as it is",
    },
    {
        "Kind": "Just-in-time compiler",
        "Examples": "torch.compile: TorchDynamo with TorchInductor (the articles list Inductor as ahead of time)",
        "When": "at the first run of each shape",
        "What it does": "captures what it can, generates fused kernels, leaves the rest to Python",
        "Price": "compiles again when shapes change; unsupported code breaks the graph",
    },
    {
        "Kind": "Graph replay",
        "Examples": "CUDA Graphs",
        "When": "recorded once, replayed",
        "What it does": "the same kernels with one launch",
        "Price": "fixed shapes and addresses; worth nothing once the device is busy",
    },
)


@lru_cache(maxsize=1)
def examples() -> tuple[tuple[str, Scenario, str], ...]:
    """Return a scenario of every regime, as the articles' figures 1 to 5 draw them: title, scenario, phase."""
    return (
        ("Figure 1: compute-bound", Scenario(model="llama-2-7b", gpu="a10", input=4000, output=2), "prefill"),
        ("Figure 2: memory-bound", Scenario(model="llama-2-7b", gpu="a10"), "decode"),
        ("Figure 3: communication-bound", Scenario(model="llama-3.2-1b", gpu="l40s", n=8, tp=8), "prefill"),
        ("Figure 4: overlap against sequence", Scenario(model="llama-2-7b", gpu="a10", batch=208, input=1), "decode"),
        ("Figure 5: overhead-bound", Scenario(model="llama-3.2-1b", engine="eager"), "decode"),
    )
