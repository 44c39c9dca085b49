"""What fits on how many devices: the largest batch that any layout holds, over device counts and weight types."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from perfmodel.estimate import setup
from perfmodel.layouts import Layout, Layouts, neutral
from perfmodel.memory import Memory
from perfmodel.scenario import Scenario

#: Device counts that are tried, powers of two.
COUNTS = (1, 2, 4, 8, 16, 32, 64)
#: Weight types that are compared, beside the scenario's own.
TYPES = ("bf16", "fp8", "int4")
#: Layouts drawn side by side.
MOST_SHOWN = 8


@dataclass(frozen=True)
class Room:
    """What fits with one weight type: the largest batch on each of `devices`, 0 where not one sequence fits.

    `layouts`: the layout that holds it, as few stages as do; "" where none does.
    """

    weights: str
    devices: tuple[int, ...]
    batch: tuple[int, ...]
    layouts: tuple[str, ...]

    def least(self, batch: int = 1) -> int | None:
        """Return the smallest number of devices that holds a batch; None if none of them does."""
        return next((n for n, most in zip(self.devices, self.batch, strict=True) if most >= batch), None)


def rooms(scenario: Scenario) -> tuple[Room, ...]:
    """Return what fits with each weight type, sequences as long as the scenario's; nothing where memory is unknown.

    Equation: batch = data x (largest batch of one replica's tensor x pipeline devices), and with experts also the
    replicas that share them out. Validity: memory only; whether it is fast is the ranking's question.
    """
    # Any batch that every number of replicas can share: what fits does not depend on the scenario's own.
    types = tuple(dict.fromkeys((scenario.weights, *TYPES)))
    return _rooms(neutral(scenario).change(batch=COUNTS[-1]), types) if scenario.resolved_gpu.memory_bytes > 0 else ()


@lru_cache(maxsize=32)
def _rooms(scenario: Scenario, types: tuple[str, ...]) -> tuple[Room, ...]:
    return tuple(_room(scenario.change(weights=weights)) for weights in types)


def _room(scenario: Scenario) -> Room:
    groups: dict[int, tuple[int, Layout]] = {}
    rows = []
    for n in COUNTS:
        groups[n] = _most(scenario, _groups(scenario, n))
        # Replicas hold the same again: of every group that leaves a whole number of them.
        copies = [(n // k * most, _copied(one, n // k)) for k, (most, one) in groups.items() if most]
        rows.append(max(copies, key=lambda found: found[0], default=(0, None)))
    labels = tuple(one.label if one else "" for _, one in rows)
    return Room(scenario.weights, COUNTS, tuple(most for most, _ in rows), labels)


def _groups(scenario: Scenario, n: int) -> Iterator[Layout]:
    """List the layouts of one replica on n devices, and those whose replicas share the experts."""
    experts = scenario.resolved_model.dimensions.experts
    for tp in (k for k in COUNTS if k <= n):
        yield Layout(tp=tp, pp=n // tp)
        if experts and n > 1 and experts % n == 0:
            yield Layout(tp=tp, dp=n // tp, ep=n)


def _most(scenario: Scenario, tried: Iterator[Layout]) -> tuple[int, Layout]:
    best = (0, Layout())
    for one in tried:
        try:
            resolved = setup(scenario.change(**one.fields))
        except ValueError:
            continue  # heads or layers that this layout does not divide
        full = float(scenario.prefix + scenario.input + scenario.output)
        most = Memory(resolved, 1.0, float(scenario.input), full).largest_batch
        best = max(best, (most, one), key=lambda found: found[0])
    return best


def _copied(one: Layout, copies: int) -> Layout:
    return Layout(tp=one.tp, pp=one.pp, dp=one.dp * copies, ep=one.ep)


def room_table(found: tuple[Room, ...], batch: int) -> list[dict[str, Any]]:
    """Return what fits as table rows: one weight type each, the largest batch by number of devices."""
    return [
        {
            "weights": one.weights,
            "one sequence from": _devices(one.least()),
            f"batch {batch:,} from": _devices(one.least(batch)),
        }
        | {f"on {n}": f"{most:,}" if most else "does not fit" for n, most in zip(one.devices, one.batch, strict=True)}
        for one in found
    ]


def _devices(least: int | None) -> str:
    if least is None:
        return f"more than {COUNTS[-1]}"
    return "1 device" if least == 1 else f"{least} devices"


def shown(found: Layouts, ranked: tuple[Layout, ...]) -> tuple[Layout, ...]:
    """Return the layouts whose memory is drawn: the best, then those nearest to fitting."""
    beside = tuple(one for one in found.rejected if one.memory_parts)
    half = MOST_SHOWN // 2
    best = ranked[: max(half, MOST_SHOWN - len(beside))]
    return (*best, *beside[: MOST_SHOWN - len(best)])
