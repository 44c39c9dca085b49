"""Which accelerator does the same work best, for its price, its bandwidth, or as it is?"""

from functools import partial

from pages import frame
from pages.parts.searching import SERVING, study_of, take_button, tariff_control
from pages.parts.speech import st
from perfmodel.engine import ENGINES
from perfmodel.figures import search as figures
from perfmodel.hardware import ACCELERATORS
from perfmodel.search import contest, priced_chips, space_of
from perfmodel.search.words import work_words

NONE = "none"
PICKED = ("h100-sxm", "h200-sxm", "b200-sxm", "mi300x", "l40s", "a100-sxm-80gb")


with frame("Compare hardware", "Which accelerator does the same work best?", own_verdict=True) as page:
    chips = priced_chips()
    names = {id: ACCELERATORS[id].name for id in chips} | {NONE: "–"}
    top = st.container()
    with page.controls():
        speed = page.number("speed", "Speed for each user, at least [tokens/s]", 30.0, low=0.0, high=10_000.0, step=5.0)
        per = page.choice("per", "Per", tuple(contest.PER), "device", labels=contest.PER)
        what = page.choice("what", "Show", tuple(contest.WHAT), "throughput", labels=contest.WHAT)
        engines = {id: ENGINES[id].name for id in SERVING}
        engine = page.choice("by", "Engine", SERVING, "vllm", labels=engines)
    with page.controls():
        chosen = [
            page.choice(f"c{number}", f"Chip {number}", (*chips, NONE), gpu, labels=names)
            for number, gpu in enumerate(PICKED, start=1)
        ]
    place = st.container()
    with st.expander("What an hour costs", key="compare.tariff"):
        tariff = tariff_control(page)
    gpus = tuple(dict.fromkeys(gpu for gpu in chosen if gpu != NONE))
    if gpus:
        with top:
            study = study_of(page, space_of(page.scenario, gpus=gpus, engines=(engine,)))
            rows = contest.contest(study, gpus, speed, tariff)
            page.verdict(contest.sentence(rows, what, per).replace("$", r"\$"), work_words(page.scenario))
        with place:
            figure = figures.contest_bars(rows, what, per)
            page.show(figure, "contest", describe=contest.describe(rows, what, per))
            page.table(contest.table(rows), "contest")
            able = {row.gpu: row for row in rows if row.offer}
            if able:
                with page.controls("bottom"):
                    labels = {gpu: names[gpu] for gpu in able}
                    taken = page.choice("take", "Take over", tuple(able), next(iter(able)), labels=labels)
                    page.control(partial(take_button, able[taken].offer, page.scenario))
    else:
        st.info("Choose at least one accelerator.")
    st.caption(
        "The same model and lengths on every chip, each with the layout, types and batch that give the most tokens for "
        "a device among those that keep every user at the speed asked for and fit the memory. Relative values count "
        "the first chip as one. Bandwidth is that of main memory."
    )
