"""What do users see when requests arrive at random, and how many can be promised an answer in time?"""

from pages import frame
from pages.parts.speech import st
from pages.parts.state import choose, set_view
from perfmodel.figures import serving as figures
from perfmodel.how_serving import loaded
from perfmodel.serving import PREFIX_HOMES, PRESETS, SCHEDULES, Lengths, Service, from_csv, words

with frame("Load", "What do users see when requests arrive at random?") as page:
    scenario = page.scenario
    top = st.container()
    with page.controls():
        rate = page.number(
            "rate", "Arrivals [requests/s]", 1.0, low=0.001, high=1e6, step=0.5, help="all copies together"
        )
        first = page.number("first", "Promise: first token [s]", 1.0, low=0.001, high=3600.0, step=0.25)
        speed = page.number("speed", "Promise: speed for each [tokens/s]", 30.0, low=0.01, high=1e5, step=5.0)
        schedule = page.choice("schedule", "Prompts", SCHEDULES, "chunked", labels=words.SCHEDULE_WORDS)
    place = st.container()
    with st.expander("Lengths, cache and scheduling", key="load.details"):
        with page.controls():
            spread_in = page.number(
                "ivar",
                "Spread of prompts [deviations/mean]",
                1.0,
                low=0.0,
                high=10.0,
                step=0.1,
                help="deviation over mean",
            )
            spread_out = page.number("ovar", "Spread of answers [deviations/mean]", 1.0, low=0.0, high=10.0, step=0.1)
            chunk = page.number("chunk", "Chunk [tokens]", 0, low=0, high=1_000_000, help="0: the engine's own")
            slots = page.number(
                "slots", "Most in flight [requests]", 256, low=0, high=4096, help="on one copy; 0: what memory holds"
            )
            pages_of = page.number("block", "KV page [tokens]", 16, low=1, high=4096)
            home = page.choice("home", "Cached prefix", PREFIX_HOMES, "own", labels=words.HOME_WORDS)

        def take(prompts: Lengths, answers: Lengths, prefix: int) -> None:
            """Make these the lengths of the scenario and their spread (a callback)."""
            for name, value in (("input", round(prompts.mean)), ("output", round(answers.mean)), ("prefix", prefix)):
                choose(name, value)
            for key, lengths in (("ivar", prompts), ("ovar", answers)):
                set_view(page.name, key, f"{lengths.variation:.2f}")

        with st.container(horizontal=True):
            for name, mix in PRESETS.items():
                given = (mix.input, mix.output, mix.prefix)
                st.button(mix.label, key=f"mix.{name}", on_click=take, args=given, help=words.mix_words(mix))
        table = st.file_uploader("Lengths from a CSV", type="csv", key="load.csv", max_upload_size=4)
        if table:
            try:
                prompts, answers, number = from_csv(table.getvalue().decode("utf-8", "replace"))
                st.markdown(words.table_words(prompts, answers, number))
                st.button("Use these lengths", key="mix.csv", on_click=take, args=(prompts, answers, scenario.prefix))
            except ValueError as error:
                page.notice(str(error), "error")
    try:
        service = Service(spread_in, spread_out, schedule, chunk, pages_of, slots, home)
        curve = words.curve(scenario, service)
    except ValueError as error:
        page.notice(f"{error}; prompts are taken in chunks instead")
        service = Service(spread_in, spread_out, "chunked", chunk, pages_of, slots, home)
        curve = words.curve(scenario, service)
    present = words.now(scenario, service, rate)
    with top:
        page.say(lambda: words.sentence(curve, present, first, words.period(speed)))
        page.metric_row(
            lambda: words.headline(present, first, words.period(speed)),
            lambda: loaded(present, first, words.period(speed)),
        )
    if curve:
        with place:
            for what, limit in (("first_s", first), ("token_s", words.period(speed))):
                figure = figures.over_rate(curve, what, rate, limit)
                said = figures.describe(curve, what, first, words.period(speed))
                page.show(figure, what, describe=said, legend=figures.legend(what))
            page.table(words.rows(present), "percentiles")
        if fold := page.fold("What it costs with this many in flight: money, energy, carbon", "bill"):
            with fold:
                page.table(words.bill_rows(present), "bill")
        if (
            fold := page.fold("Check the formulas by simulating 1,500 requests", "simulate")
        ) and rate < present.capacity:
            with fold:
                if service.schedule == "disaggregated" or scenario.mb > 1:
                    st.markdown("Pools of their own and micro-batches in a pipeline are not simulated; the rest is.")
                else:
                    page.table(words.checked(scenario, service, rate, 1500), "check")
    st.markdown(
        "**Why it bends.** With few requests a prompt waits for the running step only. With more, each step carries "
        "more prompts and reads more caches, so that all tokens come later, and requests stay longer (Little's law: "
        "the number in flight is the rate times the stay). At the capacity the wait has no limit: nothing but more "
        "devices helps."
    )
    st.caption(
        "Random (Poisson) arrivals, spread evenly over the copies; lognormal lengths with the scenario's means; the "
        "batch size of the sidebar does not matter here. Against the simulation of the steps the median error is 1 % "
        "of the time per token and 9 % of the time to first token, its 95th percentile included, from 20 to 85 % of "
        "the capacity. Preemption and failures are not modelled."
    )
