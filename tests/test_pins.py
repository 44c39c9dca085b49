"""Pinned scenarios travel in every link, whole and versioned; no link breaks them."""

from pathlib import Path
from urllib.parse import parse_qsl, urlencode

import pytest
from hypothesis import given
from hypothesis import strategies as st
from streamlit.testing.v1 import AppTest

from pages.parts import registry
from pages.parts.state import SLOTS
from perfmodel import MODELS, Scenario
from perfmodel.dimensions import Dimensions
from perfmodel.hardware import Chip
from perfmodel.pins import MAX_NAME_CHARS, MAX_PIN_CHARS, Pin, clean_name, from_link, pinned, refusal, to_link, unlike
from perfmodel.scenario import field_keys
from tests.test_pages import PAGES, check, link, messages, run

ROOT = Path(__file__).resolve().parents[1]
OWN = Scenario(
    model="custom",
    name="Mine (edited)",
    dimensions=MODELS["deepseek-v3"].dimensions.model_copy(update={"layers": 7}),
    gpu="custom",
    chip=Chip(bandwidth=1234.5, memory=80, bf16=321.25),
    batch=77,
)
FOUR = pinned(pinned(pinned(pinned({}, Scenario(batch=8), "Before"), OWN), Scenario(engine="eager"), "C"), Scenario())
#: What stood in links once; a link that was sent must mean the same for ever.
GOLDEN = {
    "Before~v~1~model~llama-3.1-8b~gpu~h100-sxm~n~1~tp~1~pp~1~dp~1~ep~1~batch~8~in~2048~out~256~prefix~0~w~bf16~math~"
    "auto~kv~bf16~group~128~engine~fused~attn~engine~sparse~none~skew~1": Pin("Before", Scenario(batch=8)),
    "~v~1~model~mixtral-8x7b~gpu~h200-sxm~n~2~tp~2~w~fp8": Pin(
        "", Scenario(model="mixtral-8x7b", gpu="h200-sxm", n=2, tp=2, weights="fp8")
    ),
}
#: A visitor's worst pins: each gives a notice, and those that can be read stay.
HOSTILE = {
    "empty": "",
    "one word": "x",
    "odd": "name~batch",
    "long": "n~batch~" + "9" * 10_000,
    "tildes": "~" * 3000,
    "html": "<script>alert(1)</script>~model~<img src=x onerror=alert(1)>",
    "numbers": "n~batch~1e999~in~NaN~out~-5~tp~0~skew~inf",
    "nul": "\0\u202e~model~llama\0",
    "version": "n~v~99~batch~2",
    "unknown": "n~nonsense~1",
    "nested": "n~a~n~b~n",
    "custom": "n~model~custom~gpu~custom~layers~0",
    "markdown": "[me](http://x) $x$~model~:red[y]",
}


@pytest.mark.parametrize("pin", [*FOUR.values(), *(Pin("x", Scenario(model=model, input=256)) for model in MODELS)])
def test_a_pin_comes_back_as_it_was(pin: Pin) -> None:
    """Written into an address and read from it, a pin is the same, custom models and chips too."""
    address = urlencode({"a": pin.text})
    assert from_link(dict(parse_qsl(address))) == ({"a": pin}, ())
    assert "%7E" not in address


@pytest.mark.parametrize("text", GOLDEN)
def test_golden_pins(text: str) -> None:
    """A pin that stood in a link once is read as what it was then."""
    assert from_link({"c": text}) == ({"c": GOLDEN[text]}, ())


@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_pin_gives_a_notice(name: str) -> None:
    """A broken pin is named with its letter, and is left out or read as far as it goes; a good one beside it stays."""
    pins, notices = from_link({"a": HOSTILE[name], "b": FOUR["a"].text})
    assert notices
    assert all(text.startswith("pinned scenario A: ") for text in notices)
    assert pins["b"] == FOUR["a"]
    assert from_link(to_link(pins)) == (pins, ())


@given(st.dictionaries(st.sampled_from(SLOTS), st.text(max_size=200)))
def test_reading_never_raises(link: dict[str, str]) -> None:
    """Whatever stands in a link, reading it gives pins that can be written and read again."""
    pins, _ = from_link(link)
    assert from_link(to_link(pins)) == (pins, ())


@given(st.text(max_size=300))
def test_names_are_harmless(text: str) -> None:
    """A name has no sign that means something in a link, in HTML or in Markdown, and is short."""
    name = clean_name(text)
    assert not set(name) & set("~<>&[]`*$:#|\\\n")
    assert len(name) <= MAX_NAME_CHARS
    assert clean_name(name) == name


def test_there_is_room_for_four() -> None:
    """A fifth pin is refused with the reason, and so is one too long for a link; a free place is used again."""
    assert "All 4 places" in refusal(FOUR, Scenario())
    with pytest.raises(ValueError, match="remove one first"):
        pinned(FOUR, Scenario())
    less = {slot: pin for slot, pin in FOUR.items() if slot != "b"}
    assert list(pinned(less, OWN)) == list(SLOTS)
    long = OWN.dimensions.model_copy(update={"mixers": "G" * 1024, "ffns": "d" * 1024}) if OWN.dimensions else None
    huge = Scenario(model="custom", dimensions=long)
    assert refusal({}, huge) == "" or len(Pin("", huge).text) > MAX_PIN_CHARS - MAX_NAME_CHARS


def test_what_a_pin_has_else() -> None:
    """The words beside a pin name what differs from the present scenario, and say when nothing does."""
    assert unlike(Scenario(), Scenario()) == "the same"
    assert unlike(Scenario(gpu="b200-sxm", batch=2), Scenario()) == "gpu b200-sxm, batch 2"
    assert unlike(OWN, Scenario()).endswith("more")


def test_no_other_key_is_a_pin() -> None:
    """The letters of the pins mean nothing else in any link."""
    taken = {key.key for record in (Scenario, Dimensions, Chip) for key in field_keys(record).values()} | {"v"}
    assert not set(SLOTS) & (taken | registry.view_keys())


@pytest.mark.parametrize("page", PAGES)
def test_pins_travel_on_every_page(page: str) -> None:
    """Every page keeps all pins of its link, and hands them on in its own."""
    app = run(page, Scenario(batch=3).to_query() | to_link(FOUR))
    check(app, page)
    assert to_link(FOUR).items() <= link(app).items()
    assert link(app)["batch"] == "3"
    assert not messages(app)


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_pins_on_the_page(name: str) -> None:
    """A broken pin gives a notice on the page, never an error, and the link that follows is clean."""
    app = run("pages/14_Compare.py", {"a": HOSTILE[name], "b": FOUR["a"].text})
    check(app)
    assert any("pinned scenario A" in text for text in messages(app))
    assert from_link(link(app))[1] == ()


def opened(app: AppTest) -> AppTest:
    """The home page with the pins' control open; only a browser keeps it open."""
    app.session_state["pin.Home"] = True
    return app.run()


def test_pin_change_swap_rename_remove() -> None:
    """A pin keeps the scenario while it changes; it can be named, exchanged with the present one, and removed."""
    app = opened(run("app.py", Scenario(batch=5).to_query()))
    app.button(key="pin.add").click().run()
    assert from_link(link(app))[0]["a"].scenario.batch == 5
    app.sidebar.slider(key="w.batch").set_value(9).run()
    assert (link(app)["batch"], from_link(link(app))[0]["a"].scenario.batch) == ("9", 5)
    opened(app).text_input(key="pin.name.a").set_value("Five ~ <b>").run()
    assert from_link(link(app))[0]["a"].name == "Five b"
    opened(app).button(key="pin.swap.a").click().run()
    assert (link(app)["batch"], from_link(link(app))[0]["a"].scenario.batch) == ("5", 9)
    assert app.sidebar.slider(key="w.batch").value == 5
    app.switch_page("pages/14_Compare.py").run()
    check(app)
    assert from_link(link(app))[0]["a"] == Pin("Five b", Scenario(batch=9))
    app.switch_page("app.py").run()
    opened(app).button(key="pin.drop.a").click().run()
    check(app)
    assert not set(SLOTS) & set(link(app))


def test_a_link_without_pins_has_none() -> None:
    """Back to a link from before the pin takes the pin away: the link holds the truth."""
    app = run("app.py", Scenario().to_query() | to_link(FOUR))
    for slot in SLOTS:
        del app.query_params[slot]
    app.query_params["batch"] = "7"
    app.run()
    assert not set(SLOTS) & set(link(app))


def test_neighbours_begin_a_comparison() -> None:
    """With nothing pinned the page offers neighbours of the scenario; one click pins one and shows the difference."""
    app = run("pages/14_Compare.py")
    app.button(key="start.fp8 weights").click().run()
    check(app)
    pins, _ = from_link(link(app))
    assert pins == {"a": Pin("fp8 weights", Scenario(weights="fp8"))}
    assert any("A decode step takes" in element.value for element in app.markdown)
