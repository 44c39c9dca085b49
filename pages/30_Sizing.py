"""How many of which accelerator serve these users in time, and at what price?"""

from functools import partial

from pages import frame
from pages.parts.searching import space_control, study_of, take_button, tariff_control
from pages.parts.speech import st
from perfmodel.cost import price_source
from perfmodel.figures import search as figures
from perfmodel.how_serving import sizing
from perfmodel.search import GOALS, Need, answered, words

MAKERS = ("any", "NVIDIA", "AMD", "Google", "Intel")


with frame(
    "Sizing", "How many of which accelerator serve these users in time, and at what price?", own_verdict=True
) as page:
    top = st.container()
    with page.controls():
        users = page.number("users", "Users [people]", 1000, low=1, high=10_000_000, step=100)
        hourly = page.number(
            "hourly", "Requests of each [per hour]", 0.0, low=0.0, high=3600.0, help="0: all at the same time"
        )
        first = page.number(
            "first", "First token within [s]", 2.0, low=0.0, high=600.0, step=0.5, help="95 %, queue included"
        )
        speed = page.number("speed", "Speed for each [tokens/s]", 30.0, low=0.1, high=10_000.0, step=5.0)
    with page.controls():
        goal = page.choice("goal", "Best is", GOALS, "price", labels=words.GOAL_WORDS)
        maker = page.choice("maker", "Maker", MAKERS, "any")
        budget = page.number("budget", "At most [USD/h]", 0.0, low=0.0, high=1e7, step=10.0, help="0: no limit")
        most = page.number("most", "At most [devices]", 0, low=0, high=1_000_000, help="0: no limit")
        space = space_control(page)
    place = st.container()
    with st.expander("What an hour costs", key="sizing.tariff"):
        tariff = tariff_control(page)
    need = Need(users, hourly, first, speed, budget, most, "" if maker == "any" else maker, goal, tariff)
    with top:
        answer = answered(study_of(page, space), need)
        page.verdict(words.decision(answer).replace("$", r"\$"), words.need_words(need, space.asked))
        page.metric_row(lambda: words.headline(answer), lambda: sizing(answer))
    with place:
        offers = answer.offers(10)
        if offers:
            page.table(lambda: words.offer_rows(answer, offers), "offers")
            names = {rank: words.offer_name(answer, offer) for rank, offer in enumerate(offers, start=1)}
            with page.controls("bottom"):
                chosen = offers[page.choice("pick", "Configuration", tuple(names), 1, labels=names) - 1]
                page.control(partial(take_button, chosen, page.scenario))
            page.show(figures.offer_bars(answer, offers), "offers", describe=figures.describe_offers(answer, offers))
            st.caption(
                "Price of one: " + price_source(chosen.combination.scenario(space.asked).resolved_gpu, tariff) + "."
            )
            if fold := page.fold("What a token, a request and a user cost: money, energy, carbon", "bill"):
                with fold:
                    page.table(words.bill_rows(answer, chosen), "bill")
        st.markdown("**What excluded the others.** Each point is counted for the first thing that is wrong with it:")
        page.table(words.reason_rows(answer), "reasons")
    st.caption(
        "All copies are equal and independent; each always has its number of requests in flight (continuous batching). "
        "The first token waits for the running step and for the prompts that came with it; with requests per hour, "
        "copies are planned to at most 85 % of their capacity. No failures, no spare copies. Batches are tried up to "
        "1,024 a copy."
    )
