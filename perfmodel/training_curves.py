"""What the training page asks: the run that its controls describe, and how speed changes with the number of devices."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from perfmodel.explain.docstrings import contract
from perfmodel.formulas.training import flops_utilization, pipeline_bubble, training_days, training_flops_per_token
from perfmodel.model import Model
from perfmodel.scenario import Scenario
from perfmodel.training import TrainingReport, attention_shape, cached_training
from perfmodel.training_ops import model_parameters
from perfmodel.training_scenario import TrainingScenario
from perfmodel.units import count, show, significant

#: Token budgets by the name the page shows.
BUDGETS = {"100 B": 1e11, "1 T": 1e12, "2 T": 2e12, "15 T": 1.5e13}
#: Largest cluster of the scaling curve.
MOST_DEVICES = 32_768


@dataclass(frozen=True)
class Choices:
    """What the controls of the page say."""

    devices: int
    tensor: int
    stages: int
    micro: int
    accumulate: int
    length: int
    sharding: str
    precision: str
    recompute: str


def chosen(scenario: Scenario, want: Choices) -> tuple[TrainingScenario, tuple[str, ...]]:
    """Return the training run of the page: its model and chip with the controls' layout, made possible, and how."""
    model, notes = scenario.resolved_model, []
    tensor, stages = _tensor(model, want), min(want.stages, model.dimensions.layers)
    while tensor * stages > want.devices and stages > 1:
        stages //= 2
    tensor = min(tensor, want.devices)
    if tensor != want.tensor:
        notes.append(f"tensor={want.tensor} does not fit {model.name} on {want.devices:,} devices; using {tensor}")
    if stages != want.stages:
        notes.append(f"stages={want.stages} does not fit {model.name} on {want.devices:,} devices; using {stages}")
    replicas = want.devices // (tensor * stages)
    run = TrainingScenario(
        model=scenario.model, dimensions=scenario.dimensions, gpu=scenario.gpu, chip=scenario.chip,
        n=replicas * tensor * stages, dp=replicas, tp=tensor, pp=stages, micro_batch=want.micro,
        global_batch=replicas * want.micro * want.accumulate, seq_len=want.length,
        sharding=want.sharding, precision=want.precision, recompute=want.recompute,
    )  # fmt: skip
    return run, tuple(notes)


def _tensor(model: Model, want: Choices) -> int:
    heads, width = model.dimensions.heads, want.tensor
    while width > 1 and heads and heads % width:
        width //= 2
    return width


def headline(report: TrainingReport, budget: str) -> list[tuple[str, str, str]]:
    """Return the numbers on top of the page: label, text, help."""
    tokens = BUDGETS[budget]
    cost = report.cost_usd(tokens)
    price = f"USD {count(cost)}" if math.isfinite(cost) else "no list price"
    return [
        ("Step", show(report.step_s, "s"), f"{count(report.scenario.tokens)} tokens"),
        ("Tokens/s", count(report.tokens_per_s), f"{count(report.tokens_per_s_per_gpu)} on each device"),
        ("MFU", show(report.mfu, "%"), "model FLOPs over the dense peak of the type of the linear layers"),
        ("HFU", show(report.hfu, "%"), "with the FLOPs that are computed again"),
        ("Memory", show(report.memory.total, "B"), f"of {show(report.memory.capacity, 'B')} on each device"),
        (f"{budget} tokens", f"{significant(report.days(tokens))} days", "without restarts, evaluation or failures"),
        ("Cost", price, "all devices at the list price per hour"),
    ]


def answer(report: TrainingReport) -> str:
    """Return in one sentence where the time of a step goes."""
    ranked = sorted(report.parts_s.items(), key=lambda part: -part[1])
    computing = sum(report.parts_s[name] for name in ("forward", "recompute", "backward"))
    others = [(name, time) for name, time in ranked if name not in ("forward", "recompute", "backward") and time > 0]
    rest = f"; the largest of the rest is {others[0][0]}, {show(others[0][1] / report.step_s, '%')}" if others else ""
    return (
        f"A step of {show(report.step_s, 's')} computes for {show(computing / report.step_s, '%')} of its time{rest}. "
        f"MFU is {show(report.mfu, '%')}."
    )


def summary(report: TrainingReport, model: str) -> str:
    """Return in one line what is trained on what, and how it is spread."""
    s = report.scenario
    ways = (("tensor", s.tp), ("pipeline", s.pp), ("data", s.dp), ("context", s.cp), ("expert", s.ep))
    layout = ", ".join(f"{word} {size:,}" for word, size in ways if size > 1)
    chips = f"{s.n:,} × {s.resolved_gpu.name}" + (f" ({layout} parallel)" if layout else "")
    step = f"{s.global_batch:,} sequences of {count(s.seq_len)} tokens a step"
    return " · ".join((model, f"{s.precision} linear layers", chips, f"sharding {s.sharding}", step))


@dataclass(frozen=True)
class Scaling:
    """Tokens/s over the number of devices; `per_device` relative to the smallest layout. NaN where impossible."""

    label: str
    devices: tuple[int, ...]
    tokens_per_s: tuple[float, ...]
    efficiency: tuple[float, ...]


def scaling(run: TrainingScenario) -> tuple[Scaling, Scaling]:
    """Return weak scaling (batch grows with the devices) and strong scaling (the batch stays)."""
    group = run.tp * run.pp * run.cp
    sizes = [group * 2**power for power in range(24) if group * 2**power <= max(MOST_DEVICES, group)]
    each = run.global_batch // run.dp
    weak = {n: _speed(run, n, n // group * each) for n in sizes}
    strong = {n: _speed(run, n, run.global_batch) for n in sizes if n // group * run.micro_batch <= run.global_batch}
    return _curve("batch grows with the devices", weak), _curve(f"batch stays at {run.global_batch:,}", strong)


def _speed(run: TrainingScenario, devices: int, batch: int) -> float:
    replicas = devices // (run.tp * run.pp * run.cp)
    sized = run.model_copy(update={"n": devices, "dp": replicas, "global_batch": batch})
    return cached_training(TrainingScenario.model_validate(sized.model_dump())).tokens_per_s


def _curve(label: str, found: Mapping[int, float]) -> Scaling:
    sizes = tuple(found)
    first = found[sizes[0]] / sizes[0] if sizes else math.nan
    return Scaling(label, sizes, tuple(found.values()), tuple(found[n] / n / first for n in sizes))


def cards(report: TrainingReport, budget: str) -> list[dict[str, str]]:
    """Return the formula cards behind the page, with this run's numbers put in."""
    s = report.scenario
    layers, width = attention_shape(s)
    per_token = (model_parameters(s.trained), layers, width, float(s.seq_len))
    return [
        _card("MFU", flops_utilization, (report.model_flops, report.step_s, float(s.n), report.peak_flops)),
        _card("Model FLOPs per token", training_flops_per_token, per_token),
        _card("Pipeline bubble", pipeline_bubble, (float(s.pp), s.micro_batches, float(s.vpp))),
        _card("Days", training_days, (BUDGETS[budget], report.tokens_per_s)),
    ]


def _card(title: str, formula: Callable[..., Any], given: tuple[float, ...]) -> dict[str, str]:
    told = contract(formula)
    names = ((symbol.letter or name, symbol.unit) for name, symbol in told.symbols.items())
    put_in = ", ".join(f"{name} = {show(value, _unit(unit))}" for (name, unit), value in zip(names, given, strict=True))
    value, unit = formula(*given), _unit(told.result.unit)
    return {
        "title": title,
        "latex": told.equation,
        "substituted": f"{put_in}: {show(value, '%' if title == 'MFU' else unit)}",
        "value": show(value, "%" if title == "MFU" else unit),
        "source": told.source,
        "confidence": "derived",
    }


def _unit(unit: str) -> str:
    return "" if unit in ("1", "1/s") else unit
