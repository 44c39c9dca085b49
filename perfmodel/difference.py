"""Why two scenarios take different times: the difference of one pass, by operator and by cause, without a remainder.

An operator's time is its four needs combined. Which need made it longer has no unique answer where they hide behind
one another, so each cause gets its Shapley value: what its change adds, averaged over all orders of changing them. The
values of an operator add up to the change of its time, whatever changed together.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from typing import Literal, TypeAlias

import numpy as np

from perfmodel.formulas.combine import overlapped_time
from perfmodel.report import Report
from perfmodel.step import REGIMES, Array, Step
from perfmodel.units import show, significant

Phase: TypeAlias = Literal["decode", "prefill"]

#: Why a time changes: one of the four needs, or how much of them hides behind one another.
CAUSES = (*REGIMES, "overlap")
#: Kernels that another engine runs as one: compared with it, they count together.
FUSED = {
    "q_proj": "qkv_proj",
    "k_proj": "qkv_proj",
    "v_proj": "qkv_proj",
    "gate_proj": "gate_up_proj",
    "up_proj": "gate_up_proj",
    "shared_gate_proj": "shared_gate_up_proj",
    "shared_up_proj": "shared_gate_up_proj",
    "expert_up": "expert_gate_up",
}
#: Factors that combine into a device time: compute, memory, network, and the two overlaps together.
_FACTORS = 4
_CAPITALS = frozenset(("kv", "lm", "qkv", "q", "k", "v", "x", "dt"))
_KIND, _DRAFT = re.compile(r" \[(\d+)\]"), " (draft)"
#: A ratio of work or rate closer to one than this is not worth a word.
_SAME = 0.02


@dataclass(frozen=True, slots=True)
class Totals:
    """What the kernels of one operator need in one pass, all occurrences: times [s] by regime, and the work."""

    needs_s: tuple[float, ...] = (0.0,) * 4
    parts_s: tuple[float, ...] = (0.0,) * 4
    flops: float = 0.0
    moved_bytes: float = 0.0
    network_bytes: float = 0.0
    launches: float = 0.0

    @property
    def time_s(self) -> float:
        """Time of the operator in the pass [s]."""
        return math.fsum(self.parts_s)

    @property
    def bound(self) -> str:
        """The regime that is charged most."""
        return REGIMES[int(np.argmax(self.parts_s))]

    @property
    def waiting_s(self) -> float:
        """Time for which the device waits for the host [s]."""
        return self.parts_s[3] - self.needs_s[3]

    def work(self, cause: str) -> float:
        """Return the work behind a need: FLOPs, bytes, bytes sent, launches."""
        return dict(zip(REGIMES, (self.flops, self.moved_bytes, self.network_bytes, self.launches), strict=True))[cause]


@dataclass(frozen=True, slots=True)
class Change:
    """One operator before and after; `causes_s` [s], in the order of `CAUSES`, add up to the change of its time."""

    name: str
    before: Totals | None
    after: Totals | None
    causes_s: tuple[float, ...]

    @property
    def status(self) -> str:
        """Whether both passes have the operator: "changed", "added" or "removed"."""
        return "added" if self.before is None else "removed" if self.after is None else "changed"

    @property
    def delta_s(self) -> float:
        """Change of the operator's time [s]."""
        return (self.after.time_s if self.after else 0.0) - (self.before.time_s if self.before else 0.0)

    @property
    def flip(self) -> str:
        """The regime it came into, when that is another one; else nothing."""
        if self.before is None or self.after is None or self.before.bound == self.after.bound:
            return ""
        return self.after.bound


@dataclass(frozen=True, slots=True)
class Part:
    """One part of a difference: an operator and a cause, in seconds."""

    change: Change
    cause: str
    delta_s: float


@dataclass(frozen=True)
class Difference:
    """The difference between one pass of two scenarios; the changes add up to `delta_s`."""

    phase: Phase
    before_s: float
    after_s: float
    changes: tuple[Change, ...]

    @property
    def delta_s(self) -> float:
        """Time after less time before [s]."""
        return self.after_s - self.before_s

    @cached_property
    def parts(self) -> tuple[Part, ...]:
        """Every operator and cause that changes the time, largest first."""
        found = (
            Part(change, cause, delta)
            for change in self.changes
            for cause, delta in zip(CAUSES, change.causes_s, strict=True)
            if delta
        )
        return tuple(sorted(found, key=lambda part: -abs(part.delta_s)))

    @cached_property
    def by_cause(self) -> dict[str, float]:
        """Cause -> its share of the difference over all operators [s]."""
        columns = zip(*(change.causes_s for change in self.changes), strict=True)
        return {cause: math.fsum(column) for cause, column in zip(CAUSES, columns, strict=True)}


def difference(before: Report, after: Report, phase: Phase = "decode") -> Difference:
    """Return why a pass of one scenario takes longer or shorter than the same pass of another.

    Operators are matched by name. Layers of different kinds are matched kind by kind where both models have the same
    kinds, else together; kernels that one engine fuses are compared with the fused one.
    """
    first, second = _pass(before, phase), _pass(after, phase)
    key = _keys(first, second)
    old, new = _groups(first, key), _groups(second, key)
    names = (*new, *(name for name in old if name not in new))
    both = [name for name in names if name in old and name in new]
    engines = before.setup.engine, after.setup.engine
    overlaps = tuple((engine.overlap, engine.network_overlap) for engine in engines)
    causes = dict(zip(both, _attributed([old[n] for n in both], [new[n] for n in both], overlaps), strict=True))
    found = tuple(Change(n, old.get(n), new.get(n), causes.get(n) or _alone(old.get(n), new.get(n))) for n in names)
    return Difference(phase, float(first.time_s), float(second.time_s), found)


def _pass(report: Report, phase: Phase) -> Step:
    if phase not in ("decode", "prefill"):
        raise ValueError(f"phase={phase!r} is not known; it must be decode or prefill")
    return report.prefill if phase == "prefill" else report.decode


def _alone(before: Totals | None, after: Totals | None) -> tuple[float, ...]:
    """Return the causes of an operator that only one pass has: what each regime is charged, gained or lost."""
    gained, lost = after or Totals(), before or Totals()
    return (*(new - old for new, old in zip(gained.parts_s, lost.parts_s, strict=True)), 0.0)


def _keys(before: Step, after: Step) -> dict[str, str]:
    """Return the name under which each operator is compared."""
    kinds: list[dict[str, set[str]]] = [{}, {}]
    for found, step in zip(kinds, (before, after), strict=True):
        for op in step.ops:
            found.setdefault(_base(op.name), set()).add(op.name)
    old, new = kinds
    return {op.name: _matched(op.name, old, new) for step in (before, after) for op in step.ops}


def _matched(name: str, old: dict[str, set[str]], new: dict[str, set[str]]) -> str:
    base = _base(name)
    if base in old and base in new:
        return name if old[base] == new[base] else base
    fused = FUSED.get(base, base)
    return fused if fused in old or fused in new else base


def _base(name: str) -> str:
    return _KIND.sub("", name)


def _groups(step: Step, key: dict[str, str]) -> dict[str, Totals]:
    """Return the totals of a pass by the names they are compared under."""
    members: dict[str, list[int]] = {}
    for index, op in enumerate(step.ops):
        members.setdefault(key[op.name], []).append(index)

    def total(rows: list[int], field: str) -> float:
        return math.fsum(float(getattr(step.ops[i], field) * step.ops[i].count) for i in rows)

    work = ("flops", "moved_bytes", "network_bytes", "launches")
    return {
        name: Totals(
            tuple(step.needs_s[:, rows].sum(axis=1).tolist()),
            tuple(step.parts_s[:, rows].sum(axis=1).tolist()),
            *(total(rows, field) for field in work),
        )
        for name, rows in members.items()
    }


def _attributed(
    before: list[Totals], after: list[Totals], overlaps: tuple[tuple[float, ...], ...]
) -> list[tuple[float, ...]]:
    """Return the causes of operators that both passes have.

    Several kernels that count as one operator may hide less behind one another than one kernel would: what their times
    have beyond the combination of their summed needs belongs to the overlap.
    """
    if not before:
        return []
    states = [np.array([totals.needs_s[:3] for totals in side]).T for side in (before, after)]
    values = [_device_time(states, overlaps, chosen) for chosen in range(2**_FACTORS)]
    shares = shapley(values)
    fixed = np.array([new.parts_s[3] - old.parts_s[3] for old, new in zip(before, after, strict=True)])
    delta = np.array([new.time_s - old.time_s for old, new in zip(before, after, strict=True)])
    shares[3] = shares[3] + (delta - fixed - (values[-1] - values[0]))
    rows = np.array([*shares[:3], fixed, shares[3]])
    return [tuple(row) for row in rows.T.tolist()]


def _device_time(states: list[Array], overlaps: tuple[tuple[float, ...], ...], chosen: int) -> Array:
    """Return the device times with the factors in the bits of `chosen` as they are after, the others as before."""
    compute, memory, network = (states[chosen >> factor & 1][factor] for factor in range(3))
    own, others = overlaps[chosen >> 3 & 1]
    return np.asarray(overlapped_time(overlapped_time(compute, memory, own), network, others))


def shapley(values: list[Array]) -> list[Array]:
    r"""Return the Shapley value of each factor of a function of on/off factors.

    `values[S]`: the function with the factors in the bits of S switched on. With N factors
    $$ \phi_i = \sum_{S \not\ni i} \frac{|S|!\,(N-|S|-1)!}{N!}\,\bigl(v(S \cup i) - v(S)\bigr) $$
    and the values of all factors add up to v(all) - v(none).
    Source: Shapley 1953, A value for n-person games.

    >>> [float(v) for v in shapley([np.array(x) for x in (0.0, 3.0, 1.0, 3.0)])]
    [2.5, 0.5]
    """
    count = len(values).bit_length() - 1
    total = math.factorial(count)
    found = []
    for bit in range(count):
        without = [mask for mask in range(len(values)) if not mask >> bit & 1]
        weights = [math.factorial(m.bit_count()) * math.factorial(count - m.bit_count() - 1) / total for m in without]
        gains = (w * (values[m | 1 << bit] - values[m]) for w, m in zip(weights, without, strict=True))
        found.append(np.asarray(sum(gains)))
    return found


_WORK = {"compute": "FLOPs", "memory": "bytes", "network": "bytes sent", "overhead": "launches"}
_RATE = {"compute": "rate", "memory": "bandwidth", "network": "link rate"}


def reason(part: Part) -> str:
    """Return why a part is what it is, in a few words: "16× the bytes, became memory-bound"."""
    change, old, new = part.change, part.change.before, part.change.after
    if old is None or new is None:
        return change.status
    found = list(_ratios(part.cause, old, new))
    if part.cause == "overhead" and abs(new.waiting_s - old.waiting_s) > abs(part.delta_s) / 2.0:
        waits = "longer" if new.waiting_s > old.waiting_s else "shorter"
        found.append(f"the device waits {waits} for the host")
    if change.flip and part.cause == _flipped_by(change):
        found.append(f"became {change.flip}-bound")
    return ", ".join(found) or _WORDS[part.cause]


_WORDS = {
    "compute": "more or less hidden arithmetic",
    "memory": "more or less hidden traffic",
    "network": "another start-up per collective",
    "overhead": "another cost per launch",
    "overlap": "another share of the shorter need is hidden",
}


def _flipped_by(change: Change) -> str:
    return CAUSES[int(np.argmax(np.abs(change.causes_s)))]


def _ratios(cause: str, old: Totals, new: Totals) -> Iterable[str]:
    if cause == "overlap" or not (old.work(cause) and new.work(cause)):
        return
    work = new.work(cause) / old.work(cause)
    if abs(work - 1.0) > _SAME:
        yield f"{significant(work)}× the {_WORK[cause]}"
    index = REGIMES.index(cause)
    if cause in _RATE and old.needs_s[index] and new.needs_s[index]:
        rate = work * old.needs_s[index] / new.needs_s[index]
        if abs(rate - 1.0) > _SAME:
            yield f"{significant(rate)}× the {_RATE[cause]}"


def signed(seconds: float) -> str:
    """Return a change of time with its sign.

    >>> signed(0.0031), signed(-8e-4)
    ('+3.1 ms', '−800 µs')
    """
    return f"{'−' if seconds < 0 else '+'}{show(abs(seconds), 's')}"


def sentences(found: Difference, most: int = 4) -> list[str]:
    """Return the largest parts as sentences: "+3.1 ms: attention, memory: 16× the bytes"."""
    return [f"{signed(p.delta_s)}: {spoken(p.change.name)}, {p.cause}: {reason(p)}" for p in found.parts[:most]]


def spoken(name: str) -> str:
    """Return the name of an operator as words: "attention, layers of kind 2".

    >>> spoken("lm_head"), spoken("attention [2]")
    ('LM head', 'attention, layers of kind 2')
    """
    base, kind = _base(name).removesuffix(_DRAFT), _KIND.search(name)
    words = " ".join(word.upper() if word in _CAPITALS else word for word in base.split("_"))
    words += ", draft" if name.endswith(_DRAFT) else ""
    return words + (f", layers of kind {kind[1]}" if kind else "")


def summary(found: Difference, before: str, after: str) -> str:
    """Return the whole difference in one sentence, causes largest first."""
    if not math.isfinite(found.delta_s):
        return "One of the two has no finite time: a number that its layout needs is not published."
    what = "A decode step" if found.phase == "decode" else "The prefill"
    ranked = sorted(found.by_cause.items(), key=lambda item: -abs(item[1]))
    words = [f"{cause} {signed(delta)}" for cause, delta in ranked if abs(delta) >= 0.005 * abs(found.delta_s) > 0]
    if not words:
        return f"{what} takes the same {show(found.after_s, 's')} in both."
    ratio = significant(found.after_s / found.before_s)
    times = f"{show(found.before_s, 's')} for {before}, {show(found.after_s, 's')} for {after} ({ratio}×)"
    return f"{what} takes {times}: {signed(found.delta_s)}, of it {', '.join(words)}."
