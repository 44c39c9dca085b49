"""The folded parts of the sidebar: layout, every dimension of the model, every number of the accelerator."""

from __future__ import annotations

from collections.abc import Sequence

from pages.parts.edits import chip_numbers, preset_of
from pages.parts.speech import st
from pages.parts.state import choose, session
from pages.parts.widgets import number, words
from perfmodel import ACCELERATORS, MODELS, Scenario
from perfmodel.dimensions import FFNS, MIXERS, Dimensions
from perfmodel.hardware import Chip
from perfmodel.scenario import CHOICES, CUSTOM, field_keys

#: Dimensions by what they describe; the first two groups are always shown, the others when the model has them.
GROUPS: dict[str, tuple[str, ...]] = {
    "Size": ("layers", "hidden", "vocab", "max_context", "tied_embeddings"),
    "Attention": ("heads", "kv_heads", "head_dim", "mixers", "window"),
    "Feed-forward": ("ffn", "gated", "ffns"),
    "Mixture of experts": (
        "experts",
        "top_k",
        "expert_ffn",
        "shared_ffn",
        "dense_layers",
        "shared_gate",
        "router_bias",
    ),
    "Latent attention (MLA)": (
        "q_lora",
        "kv_lora",
        "rope_dim",
        "nope_dim",
        "v_dim",
        "index_heads",
        "index_dim",
        "index_top_k",
    ),
    "State space": ("ssm_heads", "ssm_head_dim", "ssm_state", "ssm_groups", "ssm_conv", "ssm_dt_rank"),
}
SMALL_PRINT = "Small print"
GROUPS[SMALL_PRINT] = tuple(
    name for name in Dimensions.model_fields if not any(name in names for names in GROUPS.values())
)
_ALWAYS = 3


def layout_fields(scenario: Scenario, names: Sequence[str]) -> None:
    """Draw the fields that spread the work over devices; the number of devices follows from them."""
    devices = "1 device" if scenario.n == 1 else f"{scenario.n:,} devices"
    st.caption(
        f"{devices} = tensor {scenario.tp} × pipeline {scenario.pp} × data {scenario.dp} × context {scenario.cp}"
    )
    for name in names:
        _plain(scenario, name)


def other_fields(scenario: Scenario, taken: frozenset[str]) -> None:
    """Draw every plain field that is not `taken`: whatever a later version adds is found here."""
    for name in field_keys(Scenario):
        if name not in taken:
            _plain(scenario, name)


def _plain(scenario: Scenario, name: str) -> None:
    if name in CHOICES:
        words(name, getattr(scenario, name))
    else:
        number(Scenario, "", name, getattr(scenario, name))


def model_fields(scenario: Scenario) -> None:
    """Draw every dimension of the model, by group; editing one makes the model a custom one in the link."""
    dimensions = scenario.resolved_model.dimensions
    if scenario.model == CUSTOM:
        preset = preset_of(scenario) or Scenario().model
        _back("model", preset, MODELS[preset].name)
    values = dimensions.model_dump()
    optional = tuple(GROUPS)[_ALWAYS:]
    used = [group for group in optional if group != SMALL_PRINT and any(values[name] for name in GROUPS[group])]
    more = st.pills(
        "Also show", [group for group in optional if group not in used], selection_mode="multi", key="fold.groups"
    )
    for group in (*tuple(GROUPS)[:_ALWAYS], *used, *more):
        st.markdown(f"**{group}**")
        for name in GROUPS[group]:
            number(Dimensions, "model.", name, values[name])
        if group == "Attention":
            st.caption("Mixers: " + ", ".join(f"`{code}` {text}" for code, text in MIXERS.items()))
        if group == "Feed-forward":
            st.caption("Ffns: " + ", ".join(f"`{code}` {text}" for code, text in FFNS.items()))


def chip_fields(scenario: Scenario) -> None:
    """Draw the twelve numbers of the accelerator; editing one makes it a custom one in the link."""
    if scenario.gpu == CUSTOM:
        _back("gpu", session().last_gpu, ACCELERATORS[session().last_gpu].name)
    st.caption("Dense peaks, decimal GB, one direction of the link. 0: has none, or nobody published it.")
    values = chip_numbers(scenario.resolved_gpu)
    for name in Chip.model_fields:
        number(Chip, "gpu.", name, values[name])


def _back(name: str, preset: str, shown: str) -> None:
    st.button(f"Back to {shown}", key=f"back.{name}", on_click=choose, args=(name, preset), width="stretch")
