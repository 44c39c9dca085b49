"""The sidebar: presets first, then the workload, then every other number, one group at a time."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import lru_cache, partial

from pages.parts.details import chip_fields, layout_fields, model_fields, other_fields
from pages.parts.speech import st
from pages.parts.state import choose, edited, hold, session, touch
from pages.parts.widgets import help_text, label, number, pick, words
from perfmodel import ACCELERATORS, ENGINES, MODELS, Scenario
from perfmodel.calibration import words as words_of
from perfmodel.scenario import CUSTOM
from perfmodel.speculative import DRAFTS
from perfmodel.split import ONE_DEVICE

#: Ends of the batch slider: the first that holds the batch.
_BATCH_ENDS = (512, 4096, 65_536, 1_000_000)
#: Stops of the length sliders [tokens].
_LENGTHS = (
    1,
    16,
    32,
    64,
    128,
    256,
    512,
    1024,
    2048,
    4096,
    8192,
    16_384,
    32_768,
    65_536,
    131_072,
    262_144,
    524_288,
    1_048_576,
)
_TYPES = ("weights", "kv")
_WORKLOAD = ("batch", "input", "output", "prefix")
#: Drawn above; every other field of the scenario, present or future, is found under details.
_SERVING = ("draft", "spec", "accept")
_LAYOUT = (*ONE_DEVICE, "overlap")
_TAKEN = frozenset(("model", "name", "gpu", "engine", "n", *_TYPES, *_WORKLOAD, *_SERVING, *_LAYOUT))


def draw(scenario: Scenario) -> None:
    """Draw the whole sidebar for the scenario of this run."""
    _presets(scenario)
    _workload(scenario)
    now, key = session(), "fold.details"
    st.pills("Edit every number", tuple(_DETAILS), on_change=_open, args=(key,), **hold(key, now.details, "default"))
    if now.details:
        _DETAILS[now.details](scenario)


def _open(key: str) -> None:
    session().details = st.session_state[key]
    touch()


@lru_cache(maxsize=1)
def _models() -> tuple[str, ...]:
    return (*sorted(MODELS, key=lambda key: MODELS[key].name.lower()), CUSTOM)


@lru_cache(maxsize=1)
def _chips() -> tuple[str, ...]:
    return (
        *sorted(ACCELERATORS, key=lambda key: (ACCELERATORS[key].vendor.lower(), ACCELERATORS[key].name.lower())),
        CUSTOM,
    )


def _presets(scenario: Scenario) -> None:
    own = scenario.name or "Custom model"
    pick(
        "model",
        "Model",
        _models(),
        scenario.model,
        lambda key: own if key == CUSTOM else MODELS[key].name,
        help_text(Scenario, "model"),
    )
    pick("gpu", "Accelerator", _chips(), scenario.gpu, _chip_name, help_text(Scenario, "gpu"))
    pick("engine", "Engine", tuple(ENGINES), scenario.engine, lambda key: ENGINES[key].name, _engine_help())
    if scenario.cal:
        st.caption(f"Calibrated to your machine: {words_of(scenario.cal)}.")
        st.button("Back to the profile", key="back.cal", on_click=choose, args=("cal", ""), width="stretch")
    for name, column in zip(_TYPES, st.columns(2, gap="small"), strict=True):
        with column:
            words(name, getattr(scenario, name))


def _chip_name(key: str) -> str:
    return "Custom accelerator" if key == CUSTOM else ACCELERATORS[key].name


@lru_cache(maxsize=1)
def _engine_help() -> str:
    return "  \n".join(f"**{ENGINES[key].name}**: {ENGINES[key].summary}" for key in ENGINES)


def _workload(scenario: Scenario) -> None:
    batch, key = session().edits.get("batch", scenario.batch), "w.batch"
    end = next(end for end in _BATCH_ENDS if batch <= end)
    common = {"on_change": edited, "args": ("batch", key), "help": help_text(Scenario, "batch")} | hold(key, batch)
    st.slider("Batch size [sequences]", 1, end, step=1, **common)
    _length("input", "Input length [tokens]", scenario.input, _LENGTHS)
    _length("output", "Output length [tokens]", scenario.output, _LENGTHS)
    _length("prefix", "Cached prefix [tokens]", scenario.prefix, (0, *_LENGTHS))


def _length(name: str, text: str, value: int, stops: Sequence[int]) -> None:
    value, key = session().edits.get(name, value), f"w.{name}"
    options = stops if value in stops else sorted((*stops, value))
    common = {"on_change": edited, "args": (name, key), "help": help_text(Scenario, name)} | hold(key, value)
    st.select_slider(text, options, format_func=_thousands, **common)


def _thousands(value: int) -> str:
    return f"{value:,}"


def _exact(scenario: Scenario) -> None:
    for name in _WORKLOAD:
        number(Scenario, "", name, getattr(scenario, name))


def _serving(scenario: Scenario) -> None:
    pick("draft", label(Scenario, "draft"), _drafts(), scenario.draft, _draft_name, help_text(Scenario, "draft"))
    for name in _SERVING[1:]:
        number(Scenario, "", name, getattr(scenario, name))
    st.caption("Off with `none` or nothing drafted. A cached prefix, the other technique, has its slider above.")


@lru_cache(maxsize=1)
def _drafts() -> tuple[str, ...]:
    return (*DRAFTS, *_models()[:-1])


def _draft_name(key: str) -> str:
    return DRAFTS.get(key) or MODELS[key].name


#: The parts that open below the sliders, one at a time.
_DETAILS: dict[str, Callable[[Scenario], None]] = {
    "Workload": _exact,
    "Serving techniques": _serving,
    "Layout": partial(layout_fields, names=_LAYOUT),
    "Kernels": partial(other_fields, taken=_TAKEN),
    "Model": model_fields,
    "Accelerator": chip_fields,
}
