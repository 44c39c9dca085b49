"""One visitor without a browser: Streamlit's own protocol over a real websocket.

    visitor = await Visitor.open("http://127.0.0.1:8501", "Lessons", "lesson=1")
    await visitor.rerun()                                   # the first run
    await visitor.set("Batch size [sequences]", 8)          # what a slider, number or text box sends
    await visitor.press("Submit")

Latency is request sent to script finished, every delta received. The protobufs are those of the installed Streamlit,
so a change of its protocol shows here first.
"""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass, field
from typing import Any, Self

import websockets
from streamlit.proto.BackMsg_pb2 import BackMsg
from streamlit.proto.ForwardMsg_pb2 import ForwardMsg
from streamlit.proto.WidgetStates_pb2 import WidgetState

#: A run that takes longer than this is an error.
PATIENCE_S = 60.0
#: How many cached messages a visitor tells the server of.
_REMEMBERED = 200


@dataclass(frozen=True)
class Run:
    """One run of the script as the visitor saw it."""

    latency_s: float
    received_bytes: int
    texts: tuple[str, ...]
    exceptions: tuple[str, ...]


@dataclass
class Visitor:
    """A session: its widgets with their values, the page it is on, what it has cached."""

    socket: Any
    page: str
    query: str
    page_hash: str = ""
    widgets: dict[str, Any] = field(default_factory=dict)
    fragments: dict[str, str] = field(default_factory=dict)
    values: dict[str, WidgetState] = field(default_factory=dict)
    cache: dict[str, ForwardMsg] = field(default_factory=dict)

    @classmethod
    async def open(cls, url: str, page: str = "", query: str = "") -> Self:
        """Connect to a server; `url` is its root, `page` a page's name in addresses."""
        address = f"{url.replace('http', 'ws', 1).rstrip('/')}/_stcore/stream"
        names = [websockets.Subprotocol(name) for name in ("streamlit", "no-xsrf")]
        socket = await websockets.connect(
            address, subprotocols=names, max_size=None, compression=None, open_timeout=PATIENCE_S, ping_interval=None
        )
        return cls(socket, page, query)

    async def close(self) -> None:
        """Leave, as a browser does that is closed."""
        await self.socket.close()

    async def set(self, label: str, value: Any) -> Run:
        """Give the widget with this label a value and run."""
        element = self.widgets[label]
        state = WidgetState(id=element.id)
        match element.DESCRIPTOR.name:
            case "Slider" if element.options:  # names on a row: the value is a place among them
                state.string_array_value.data.append(element.options[int(value)])
            case "Slider":
                state.double_array_value.data.append(float(value))
            case "NumberInput":
                state.double_value = float(value)
            case "TextInput" | "TextArea":
                state.string_value = str(value)
            case "Checkbox":
                state.bool_value = bool(value)
            case "ButtonGroup" | "Selectbox" | "Radio":
                state.string_value = str(value)
            case other:
                raise ValueError(f"widget {label!r} is a {other}: no visitor knows how to set it")
        self.values[element.id] = state
        return await self.rerun(self.fragments.get(label, ""))

    async def press(self, label: str) -> Run:
        """Press a button and run; a form's button sends the form."""
        element = self.widgets[label]
        self.values[element.id] = WidgetState(id=element.id, trigger_value=True)
        try:
            return await self.rerun(self.fragments.get(label, ""))
        finally:
            del self.values[element.id]

    async def ask(self, fragment: str = "") -> None:
        """Ask for a run and leave it at that."""
        message = BackMsg()
        ask = message.rerun_script
        ask.query_string, ask.page_script_hash, ask.fragment_id = self.query, self.page_hash, fragment
        if self.page and not self.page_hash:
            ask.page_name = self.page
        ask.cached_message_hashes.extend(list(self.cache)[-_REMEMBERED:])
        ask.widget_states.widgets.extend(self.values.values())
        await self.socket.send(message.SerializeToString())

    async def rerun(self, fragment: str = "") -> Run:
        """Ask for a run and read until it has finished."""
        began, received = time.perf_counter(), 0
        texts: list[str] = []
        exceptions: list[str] = []
        await self.ask(fragment)
        while True:
            data = await asyncio.wait_for(self.socket.recv(), PATIENCE_S)
            received += len(data)
            answer = self._unpacked(ForwardMsg.FromString(data))
            kind = answer.WhichOneof("type")
            if kind == "delta":
                self._see(answer, texts, exceptions)
            elif kind == "new_session":
                self.page_hash = answer.new_session.page_script_hash
            elif kind == "navigation":  # which page the script chose, where the first message only guessed
                self.page_hash = answer.navigation.page_script_hash
            elif kind == "page_info_changed":
                self.query = answer.page_info_changed.query_string
            elif kind == "script_finished" and answer.script_finished != ForwardMsg.FINISHED_EARLY_FOR_RERUN:
                return Run(time.perf_counter() - began, received, tuple(texts), tuple(exceptions))

    def _unpacked(self, answer: ForwardMsg) -> ForwardMsg:
        if answer.WhichOneof("type") == "ref_hash":
            return self.cache.get(answer.ref_hash, answer)
        if answer.metadata.cacheable:
            self.cache[answer.hash] = answer
        return answer

    def _see(self, answer: ForwardMsg, texts: list[str], exceptions: list[str]) -> None:
        element = answer.delta.new_element
        kind = element.WhichOneof("type")
        if kind is None:
            return
        body = getattr(element, kind)
        if kind == "exception":
            exceptions.append(f"{body.type}: {body.message}")
        elif kind in ("markdown", "heading", "alert"):
            texts.append(body.body)
        elif hasattr(body, "label") and hasattr(body, "id"):
            self.widgets[body.label] = body
            self.fragments[body.label] = answer.delta.fragment_id
