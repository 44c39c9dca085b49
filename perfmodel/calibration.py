"""Constants measured on the user's own machine, in the place of a profile's: `cal=mem:0.83,compute:0.71` in a link."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import lru_cache

from perfmodel.catalog import closest
from perfmodel.engine import ATTENTION_CLASSES, Constant, Engine, KernelClass
from perfmodel.units import MICRO, show

#: What is said of a number that was fitted on the user's own measurements.
SOURCE = "your measurements"


@dataclass(frozen=True, slots=True)
class Knob:
    """One constant that a machine can be fitted with: in words, its unit, its bounds, the names it has in a profile."""

    words: str
    unit: str
    low: float
    high: float
    general: str
    of_class: str
    classes: tuple[str, ...] = ()


_MATMUL = ("linear", "wide", "experts")
_ALL = (*_MATMUL, *ATTENTION_CLASSES)
#: Shares are of the datasheet, so that none can pass it.
KNOBS = {
    "mem": Knob("memory bandwidth reached", "", 1e-3, 1.0, "memory_efficiency", "memory_efficiency", _ALL),
    "compute": Knob("matrix peak reached", "", 1e-3, 1.0, "linear_efficiency", "efficiency", _MATMUL),
    "attn": Knob("peak reached in attention", "", 1e-3, 1.0, "attention_efficiency", "efficiency", ATTENTION_CLASSES),
    "launch_us": Knob("device time of the smallest kernel", "µs", 1e-3, 1e6, "kernel_us", "kernel_us", _ALL),
    "host_us": Knob("host time of a launch", "µs", 1e-3, 1e6, "host_us", ""),
    "step_us": Knob("fixed time of a step", "µs", 1e-3, 1e7, "step_us", ""),
}
#: More than every knob once is a mistake.
MOST_CHARS = 200


@lru_cache(maxsize=256)
def parse(text: str) -> tuple[tuple[str, float], ...]:
    """Return the constants of a text, in our order; a `ValueError` names the part, its value and what is allowed.

    >>> parse("compute:0.71, mem:0.83")
    (('mem', 0.83), ('compute', 0.71))
    """
    if len(text) > MOST_CHARS:
        raise ValueError(f"{len(text)} characters are too many; at most {MOST_CHARS}, such as mem:0.83,compute:0.71")
    found: dict[str, float] = {}
    for part in filter(None, (piece.strip() for piece in text.split(","))):
        name, _, number = part.partition(":")
        name = name.strip()
        if name not in KNOBS:
            raise ValueError(f"{name!r} is no constant; allowed are {', '.join(KNOBS)}{closest(name, tuple(KNOBS))}")
        if name in found:
            raise ValueError(f"{name} is given twice")
        found[name] = _checked(name, number)
    return tuple((name, found[name]) for name in KNOBS if name in found)


def _checked(name: str, number: str) -> float:
    knob = KNOBS[name]
    try:
        value = float(number)
    except ValueError:
        value = float("nan")
    if not knob.low <= value <= knob.high:
        shown = repr(number.strip()[:20])[1:-1]  # a control character is written, not sent
        raise ValueError(f"{name}:{shown} is not allowed: a number from {knob.low:g} to {knob.high:g}")
    return value


def text_of(values: Mapping[str, float]) -> str:
    """Return constants as a link carries them, four digits each; `parse` reads it back.

    >>> text_of({"compute": 0.71, "mem": 0.8312})
    'mem:0.8312,compute:0.71'
    """
    return ",".join(f"{name}:{values[name]:.4g}" for name in KNOBS if name in values)


def canonical(text: str) -> str:
    """Return a text of constants in our order and spelling, keeping every digit."""
    return ",".join(f"{name}:{value:.12g}" for name, value in parse(text))


def words(text: str) -> str:
    """Return constants in words.

    >>> words("mem:0.83,step_us:200")
    'memory bandwidth reached 83 %, fixed time of a step 200 µs'
    """
    return ", ".join(f"{KNOBS[name].words} {shown(name, value)}" for name, value in parse(text))


def shown(name: str, value: float) -> str:
    """Return the value of a constant with its unit; a share in percent."""
    return show(value * MICRO, "s") if KNOBS[name].unit else f"{100 * value:.3g} %"


@lru_cache(maxsize=256)
def calibrated(engine: Engine, text: str) -> Engine:
    """Return the engine with these constants instead of its own, for every kernel they speak of; "" changes nothing."""
    if not text:
        return engine
    classes, constants = dict(engine.classes), dict(engine.constants)
    general: dict[str, float] = {}
    for name, value in parse(text):
        knob = KNOBS[name]
        constant = Constant(value=value, source=SOURCE, note=knob.words)
        constants[knob.general] = constant
        general |= _in_si(knob.general, value)
        for kind in (kind for kind in knob.classes if kind in classes):
            constants[f"{kind}.{knob.of_class}"] = constant
            classes[kind] = _with(classes[kind], _in_si(knob.of_class, value))
    shown_name = f"{engine.name}, calibrated to your machine"
    return replace(engine, name=shown_name, classes=classes, constants=constants, **general)  # type: ignore[arg-type]


def _in_si(name: str, value: float) -> dict[str, float]:
    return {f"{name.removesuffix('_us')}_s": value * MICRO} if name.endswith("_us") else {name: value}


def _with(kernel: KernelClass, values: Mapping[str, float]) -> KernelClass:
    return replace(kernel, **values)  # type: ignore[arg-type]


def constants_of(engine: Engine) -> dict[str, float]:
    """Return what a profile itself holds of these constants: those of its matrix products, and its general ones."""
    linear, attention = engine.kernel_class("linear"), engine.kernel_class("prefill_attention")
    return {
        "mem": float(linear.memory_efficiency),
        "compute": float(linear.efficiency),
        "attn": float(attention.efficiency),
        "launch_us": float(linear.kernel_s) / MICRO,
        "host_us": engine.host_s / MICRO,
        "step_us": engine.step_s / MICRO,
    }
