"""Every door keeps its law: hypothesis knocks with damaged seeds and with any text at all."""

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from benchmarks.fuzz.doors import DOORS, knock
from perfmodel.serving.lengths import from_csv

#: What turns one document into another, or into none.
SHARDS = st.sampled_from(
    [*'{}[]":,&=%;\r\n\t\\-+.eE0189\x00\u2028', "null", "NaN", "1e999", "-1", "true", "custom", "1" * 5000]
)


@st.composite
def damaged(draw: st.DrawFn, name: str) -> str:
    """A seed of the door with a few places cut out, doubled or written over."""
    text = draw(st.sampled_from(DOORS[name].seeds))
    for _ in range(draw(st.integers(1, 6))):
        start = draw(st.integers(0, len(text)))
        end = min(len(text), start + draw(st.integers(0, 12)))
        text = text[:start] + draw(SHARDS | st.just(text[start:end] * 2) | st.text(max_size=3)) + text[end:]
    return text


@pytest.mark.parametrize("name", DOORS)
def test_seeds_lead_inside(name: str) -> None:
    """At least one seed of each door is answered, so that a search around it starts behind the door."""
    assert sum(knock(name, seed) for seed in DOORS[name].seeds) > 0


def test_what_the_searches_found() -> None:
    """A text that once broke a door's law never does again."""
    for name, text in (
        ("batch", '{"model": {"lay\\rs": 2, "hidden": 64}}'),
        ("calibration", "mem:\x1b0.83"),
        ("kernels", '{"kernel": "gemm", "gpu": "h100-sxm", "\x7fm": 1}'),
        ("lengths", "\x1binput,output\n100,10\n"),
    ):
        assert not knock(name, text)


@pytest.mark.parametrize("text", ["1" * 200_000 + ",3\n", '"' + "1," * 90_000 + "\n"])
def test_a_table_with_an_enormous_field(text: str) -> None:
    """Python's own limit on a field of a table is a refusal like any other, and old line ends are line ends."""
    with pytest.raises(ValueError, match="cannot be read: field larger than field limit"):
        from_csv(f"input,output\n{text}")
    assert from_csv("input,output\r1,2\r")[2] == 1


@pytest.mark.parametrize("name", DOORS)
def test_whatever_is_said_there(name: str) -> None:
    """Each door answers or refuses in words that can be shown, in bounded time, and raises nothing else."""

    @given(damaged(name) | st.text(max_size=300))
    @settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
    def law(text: str) -> None:
        knock(name, text)

    law()
