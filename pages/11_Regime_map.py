"""Where does the regime change?"""

from pages import frame
from pages.parts.share import onward
from pages.parts.speech import st
from pages.parts.state import choose
from perfmodel.diagnosis import PHASES, case_of, flips, tables
from perfmodel.diagnosis.plane import fields, plane
from perfmodel.figures import regime_map


def take(point: list[float]) -> None:
    """Make the point that was clicked the scenario; speeds of resources belong to no chip, so they stay."""
    for axis, value in zip((across, up), point, strict=False):
        for name, changed in fields(page.scenario, axis, int(value)).items():
            choose(name, changed)


with frame("Regime map", "Where does the regime change?") as page:
    scenario, names = page.scenario, regime_map.labels(page.scenario)
    with page.controls():
        phase = page.choice("phase", "Phase", tuple(PHASES), "decode", labels={"decode": "decode step"})
        across = page.choice("x", "Across", tuple(names), "batch", labels=names)
        others = tuple(axis for axis in names if axis != across)
        up = page.choice("y", "Up", others, "input" if across != "input" else "batch", labels=names)
    found = plane(scenario, phase, across, up)

    page.show(
        regime_map.figure(found, page.report),
        "map",
        height=470,
        describe=regime_map.describe(found),
        legend=regime_map.legend(found),
        on_select=take,
    )
    st.caption(
        "Click a point and it becomes the scenario (workload, layout and model; the speed of a resource belongs to a "
        "chip and stays). Hover for the time, the shares of the four regimes and the memory at that point."
    )
    case = case_of(scenario, phase)
    flips_found = flips(case)
    st.markdown(tables.sentence(page.report, case, flips_found))
    onward(("Diagnosis", "Cures", "Raising intensity"))
    st.markdown(
        "**How to read it.** Along a border two regimes take equally long. A border that runs upright is a critical "
        "*batch*, one that lies flat a critical *length*; where decode never leaves memory, its KV cache grows with "
        "the batch as fast as the arithmetic. Two speeds as axes show which chip would make this work overhead-bound."
    )
