"""What does speed for one user cost in throughput, and which configurations are worth having at all?"""

from functools import partial

from pages import frame
from pages.parts.searching import space_control, study_of, take_button, tariff_control
from pages.parts.speech import st
from perfmodel.figures import search as figures
from perfmodel.search import Need, answered, words

OVER = {"device": "per device", "dollar": "per dollar"}
MAKERS = ("any", "NVIDIA", "AMD", "Google", "Intel")


with frame("Pareto", "What does speed for one user cost in throughput?", own_verdict=True) as page:
    with page.controls():
        over = page.choice("over", "Throughput", ("device", "dollar"), "device", labels=OVER)
        maker = page.choice("maker", "Maker", MAKERS, "any")
        space = space_control(page)
    place = st.container()
    with st.expander("What an hour costs", key="pareto.tariff"):
        tariff = tariff_control(page)
    with place:
        study = study_of(page, space)
        answer = answered(
            study, Need(users=1, first_s=0, tokens_per_s=0, vendor="" if maker == "any" else maker, tariff=tariff)
        )
        front = answer.front(over)
        page.verdict(figures.describe_pareto(answer, over), words.work_words(space.asked))
        if front.size:
            names = {rank: words.point_name(answer, int(point)) for rank, point in enumerate(front, start=1)}
            with page.controls("bottom"):
                chosen = page.choice("pick", "Point of the front", tuple(names), 1, labels=names)
                offer = answer.offer(int(front[chosen - 1]))
                page.control(partial(take_button, offer, page.scenario))
                link = words.link(answer, offer)
                open_it = partial(st.page_link, "app.py", label="Open its scenario", query_params=link)
                page.control(partial(open_it, icon=":material/open_in_new:"))
            page.show(
                figures.pareto(answer, over, chosen - 1),
                "front",
                describe="Grey: all that fit. The line: what no other beats in both. Click a point to choose it.",
                on_select="pick",
            )
            page.table(lambda: words.offer_rows(answer, (offer,)), "chosen")
            if fold := page.fold(f"The whole front ({front.size} configurations)", "whole"):
                with fold:
                    page.table(words.offer_rows(answer, tuple(answer.offer(int(point)) for point in front)), "whole")
    st.markdown(
        "**Why the front falls.** More requests share each reading of the weights, so that a device makes more tokens, "
        "but each request waits for the step of all; more devices a copy make the step shorter, but pay for their "
        "links. A point below the line is worth nothing: another gives more to every user *and* more for the money."
    )
    st.caption(
        "Throughput is that of continuous batching at full load, prefill included; tokens per dollar count rent only. "
        "Axes are logarithmic."
    )
