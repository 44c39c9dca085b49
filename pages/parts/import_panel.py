"""The import panel: paste or upload a config.json or an accelerator description, see what was made of it, use it.

`import_panel()` draws the panel wherever it is called and returns the change to the scenario when the button was
pressed, else None:

    change = import_panel()
    if change:
        scenario = scenario.change(**change)    # a ValueError says what does not fit, such as tp and the new heads

The text stays in the session: nothing is stored, evaluated or fetched. What is used travels in the link.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from pages.parts.speech import plain, st
from perfmodel.importer import Imported, ImportedChip, import_chip, import_config
from perfmodel.importers.text import MAX_BYTES, decoded

Found = Imported | ImportedChip
#: What can be imported: label -> reader, name of the file, hint, button.
KINDS: dict[str, tuple[Callable[[str], Found], str, str, str]] = {
    "Model": (
        import_config,
        "config.json",
        'config.json of a model on the Hugging Face Hub, from { to }: {"model_type": "llama", "hidden_size": 4096, …}',
        "Use this model",
    ),
    "Accelerator": (
        import_chip,
        "accelerator.json",
        '{"name": "X1", "memory_gb": 80, "bandwidth_tb_per_s": 3.35, "bf16_tflops": 989, "tdp_w": 700}',
        "Use this accelerator",
    ),
}


def import_panel(key: str = "import") -> dict[str, Any] | None:
    """Draw the panel; return the fields for `Scenario.change` when the user takes what was read, else None.

    `key` starts the keys of the widgets: two panels on one page need two.
    """
    kind = st.segmented_control("Import", list(KINDS), default="Model", required=True, key=f"{key}.kind")
    read, file_name, hint, button = KINDS[kind or "Model"]
    text = st.text_area(
        f"Paste {file_name}", key=f"{key}.{file_name}.text", placeholder=hint, height=160, max_chars=MAX_BYTES
    )
    upload = st.file_uploader(
        f"or upload {file_name} (at most {MAX_BYTES:,} bytes)",
        type="json",
        key=f"{key}.{file_name}.file",
        max_upload_size=1,
    )
    if upload is None and not text.strip():
        return None
    try:
        found = read(decoded(upload.getvalue(), file_name) if upload is not None else text)
    except ValueError as error:
        st.error(plain(str(error)))
        return None
    return _offer(found, button, key)


def _offer(found: Found, button: str, key: str) -> dict[str, Any] | None:
    """Show what was read and the button that takes it."""
    st.markdown(f"**{plain(found.title)}**")
    family = getattr(found, "family", "")
    if family:
        st.caption(plain(f"Read as {family}."))
    for note in found.notes:
        st.caption(plain(note + "."))
    unknown = getattr(found, "unknown", ())
    if unknown:
        st.warning(plain(f"Not known here: {', '.join(unknown)}. If one of them adds weights, the total is too low."))
    with st.expander(f"Understood {len(found.understood)}, assumed {len(found.assumed)}, ignored {len(found.ignored)}"):
        _table("Understood: the file says it", found.understood, key)
        _table("Assumed: the file does not say it", found.assumed, key)
        if found.ignored:
            st.caption(plain(f"Ignored: {', '.join(found.ignored)}"))
    change = found.change()
    weights = getattr(found, "weights", "")
    if weights and st.checkbox(
        f"Set the weights to {weights}, as the file says", value=weights != "fp32", key=f"{key}.weights"
    ):
        change["weights"] = weights
    return change if st.button(button, type="primary", key=f"{key}.use") else None


def _table(title: str, facts: tuple[Any, ...], key: str) -> None:
    if facts:
        st.caption(title)
        columns = {"Field": "field", "Value": "value", "From": "why"}
        rows = {column: [getattr(fact, name) for fact in facts] for column, name in columns.items()}
        st.dataframe(rows, hide_index=True, width="stretch", key=f"{key}.{title[:4]}")
