"""From a scenario to a report: prefill, decode, the whole generation, memory, notes and sources."""

from __future__ import annotations

from functools import lru_cache

from perfmodel.bands import band
from perfmodel.calibration import calibrated, words
from perfmodel.engine import Engine
from perfmodel.formulas.layouts import pipeline_idle_share
from perfmodel.memory import Memory
from perfmodel.report import Note, Report
from perfmodel.scenario import Scenario
from perfmodel.setup import Setup
from perfmodel.speculative import speculation
from perfmodel.split import split_of
from perfmodel.tuning import tuned
from perfmodel.units import show, significant
from perfmodel.workload import answer_steps, prefill


def setup(scenario: Scenario, engine: Engine | None = None) -> Setup:
    """Resolve the names of a scenario; `engine` takes the place of the profile it names."""
    chip, precision = scenario.resolved_gpu, scenario.precision
    return Setup(
        scenario.resolved_model,
        chip,
        calibrated(tuned(engine or scenario.resolved_engine, chip, precision), scenario.cal),
        precision,
        attention=scenario.attention,
        skew=scenario.skew,
        speculation=speculation(
            scenario.draft, scenario.spec, scenario.accept, scenario.resolved_model, scenario.tp, scenario.ep
        ),
        overlap=scenario.overlap,
        **split_of(scenario),
    )


def estimate(scenario: Scenario, engine: Engine | None = None) -> Report:
    """Estimate one scenario, with a profile of your own if `engine` is given.

    Time to first token is the prefill pass without queueing. The whole request adds the decode steps:
    Simpson's rule over the context, exact while a step's time is linear or quadratic in it.
    """
    s, resolved = scenario, setup(scenario, engine)
    first = resolved.run(prefill(s.batch, s.input, s.prefix))
    steps = resolved.run(answer_steps(s.batch, s.prefix, s.input, s.output))
    memory = Memory(resolved, float(s.batch), float(s.input), float(s.prefix + s.input + s.output))
    return Report(s, resolved, first, steps, memory, _notes(s, resolved, memory))


cached_estimate = lru_cache(maxsize=256)(estimate)


def _notes(scenario: Scenario, resolved: Setup, memory: Memory) -> tuple[Note, ...]:
    own = [Note("info", "cal", f"Calibrated to your machine: {words(scenario.cal)}")] if scenario.cal else []
    return (
        *_fit(memory),
        *_context(scenario),
        *_layout(scenario, resolved),
        *_types(resolved),
        *_drafting(scenario, resolved),
        *own,
        *_sureness(scenario, resolved),
    )


def _sureness(scenario: Scenario, resolved: Setup) -> list[Note]:
    known = band("decode", resolved.engine, resolved.chip)
    if known is None:
        name = resolved.engine.name
        return [Note("info", "band", f"{name} is a bound, not a prediction: real engines stay above these times")]
    if known.far:
        return [Note("info", "band", f"Far from any data: {known.far}, so the bands are wide")]
    if scenario.prefix > scenario.input and resolved.engine.kind == "local":
        text = "local engines took a third to 1.5 times as long for a short prompt on a longer cached context"
        return [Note("info", "band", f"The band of the first token does not hold: {text}")]
    return []


def _fit(memory: Memory) -> list[Note]:
    chip = memory.setup.chip
    if not memory.capacity > 0:
        return [
            Note("warning", "capacity", f"The memory size of {chip.name} is not published: whether it fits is unknown")
        ]
    if memory.fits:
        return []
    need, has = show(memory.total, "B"), show(memory.capacity, "B")
    text = f"Does not fit: {need} are needed on each {chip.name}, which has {has}."
    return [Note("error", "memory", f"{text} Times are what it would take if it did.")]


def _context(scenario: Scenario) -> list[Note]:
    d = scenario.resolved_model.dimensions
    context = scenario.prefix + scenario.input + scenario.output
    if context <= d.max_context:
        return []
    name = scenario.resolved_model.name
    text = f"prefix + in + out = {context:,} tokens is beyond the {d.max_context:,} that {name} was trained for"
    return [Note("warning", "context", f"{text}: the timing holds, the answers would not")]


def _layout(scenario: Scenario, resolved: Setup) -> list[Note]:
    notes = []
    d = resolved.model.dimensions
    if scenario.tp > 1 and not resolved.chip.link_bytes_per_s > 0:
        notes.append(Note("info", "link", f"{resolved.chip.name} has no chip-to-chip link: collectives go over PCIe"))
    if d.heads % scenario.tp:
        text = (
            f"tp={scenario.tp} does not divide heads={d.heads}: the busiest device holds {-(-d.heads // scenario.tp)}"
        )
        notes.append(Note("warning", "tp", f"{text}; vLLM and TensorRT-LLM refuse this, DeepSpeed shards unevenly"))
    if scenario.tp > max(1, d.kv_heads) and d.kv_heads:
        notes.append(Note("info", "tp", _copies(scenario)))
    if scenario.tp > resolved.chip.island > 1:
        notes.append(
            Note(
                "warning",
                "tp",
                f"tp={scenario.tp} reaches beyond the {resolved.chip.island} devices that share fast links",
            )
        )
    if scenario.pp > 1:
        notes.append(Note("info", "pp", _stages(scenario)))
    if scenario.cp > 1:
        text = "context parallel: prefill hands keys and values round, decode the queries; every device has all weights"
        notes.append(Note("info", "cp", text))
    if scenario.overlap > 0 and scenario.n > 1:
        text = f"{scenario.overlap:.0%} of the links' time, or of the computing where that is shorter, costs nothing"
        notes.append(Note("info", "overlap", f"overlap={scenario.overlap:g} is your assumption: {text}"))
    return notes


def _copies(scenario: Scenario) -> str:
    d = scenario.resolved_model.dimensions
    text = f"tp={scenario.tp} exceeds kv_heads={d.kv_heads}"
    if scenario.adp:
        return f"{text}: attention is split by sequences instead, each device has all heads"
    if scenario.kv_split == "batch":
        return f"{text}: the cache is split by sequences instead, the weights of K and V are replicated"
    return f"{text}: KV heads are replicated, in the cache and in the weights of K and V"


def _stages(scenario: Scenario) -> str:
    idle = pipeline_idle_share(float(scenario.pp), float(scenario.mb))
    flight = "one batch in flight" if scenario.mb == 1 else f"{scenario.mb} micro-batches in flight"
    text = f"Pipeline stages split memory, not the latency of a token; {flight}: stages idle {idle:.0%} of a prefill"
    return f"{text} and {max(0.0, 1.0 - scenario.mb / scenario.pp):.0%} of decode"


def _types(resolved: Setup) -> list[Note]:
    return [Note("info", "math", text) for text in resolved.rates.notes]


def _drafting(scenario: Scenario, resolved: Setup) -> list[Note]:
    plan = resolved.speculation
    if plan is None:
        return []
    tokens = f"{plan.tokens} drafted, {significant(float(plan.tokens_per_round))} tokens a round on average"
    what = "Speculative decoding: the decode step shown is a round of draft and verification"
    notes = [Note("info", "draft", f"{what} ({tokens}, if each is accepted with a chance of {scenario.accept:g})")]
    if plan.model is None or plan.shared:
        return notes
    draft, own = plan.model.dimensions, resolved.model.dimensions
    if draft.vocab != own.vocab:
        sizes = f"{draft.vocab:,} tokens, that of {resolved.model.name} {own.vocab:,}"
        text = f"The vocabulary of {plan.model.name} has {sizes}: a draft needs the same tokenizer"
        notes.append(Note("warning", "draft", text))
    return notes
