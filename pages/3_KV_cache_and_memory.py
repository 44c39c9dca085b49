"""What fills the memory, and how much more would fit?"""

from pages import frame
from pages.parts.speech import st
from perfmodel import breakdown
from perfmodel.explain import MEMORY, cards
from perfmodel.figures import kv, memory

VIEWS = {
    "fit": "What fits",
    "context": "Longer context",
    "batch": "Larger batch",
    "heads": "MHA, GQA, MQA",
    "precision": "Cache precision",
}


with frame("KV cache and memory", "What fills the memory, and how much more would fit?") as page:
    report, held = page.report, page.report.memory

    page.say(lambda: breakdown.memory_answer(report))
    page.show(memory.stack_figure(held), "stack", height=150, describe=memory.describe_stack(held))
    view = page.choice("view", "Look closer", tuple(VIEWS), "fit", labels=VIEWS)

    if view == "fit":
        found = breakdown.scenario_map(report)
        page.show(memory.fit_figure(found, held), "fit", height=420, describe=memory.describe_fit(held))
        st.markdown(
            "Weights and runtime are paid once; every sequence adds its own cache. What fits is therefore a product: "
            "twice the context is half the batch. Along the left edge the weights set the floor."
        )
    elif view in ("context", "batch"):
        curve = breakdown.cache_curve(report, "tokens" if view == "context" else "sequences")
        page.show(kv.curve_figure(curve), f"curve-{view}", height=400, describe=kv.describe_curve(curve))
        st.markdown(
            "The cache is linear in the batch and, while no window is full, in the context. A sliding window caps it: "
            "Mistral 7B v0.1 never keeps more than 4,096 × 131,072 B = 536.9 MB per sequence. State-space layers keep "
            "a fixed state. *An article gives Llama 7B a window of 4,096; Llama has none, that is its longest context. "
            "It also says that the cache costs no memory: true within one pass, which needs the keys and values of one "
            "layer at a time; a server keeps those of all layers, for every sequence.*"
        )
    elif view == "heads":
        variants = breakdown.kv_variants(page.scenario)
        if variants:
            page.show(kv.variants_figure(variants), "variants", height=260, describe=kv.describe_variants(variants))
        st.markdown(
            "The cache is linear in the KV heads: sharing one among H/K query heads divides it by H/K, 8 for Llama 2 "
            "34B and 70B (*an article says 5 for 34B*). MLA keeps one small latent per token for all heads. The "
            "weights change little, so at long contexts this sets the batch."
        )
    else:
        found = breakdown.kv_precisions(report)
        page.show(
            kv.precision_figure(found, page.scenario.kv), "precision", height=240, describe=kv.describe_precision(found)
        )
        st.markdown(
            "Bytes per token scale with the bits of a value: fp8 halves the cache and what decode reads of it. 4-bit "
            "formats carry a scale per block, so they reach 3.6 ×, not 4. What this does to quality is not modelled."
        )

    page.cards(cards(report, MEMORY))
    st.caption(
        "Sources: Finbarr Timbers, *Where do LLMs spend their FLOPS?* (cases S40–S45). GPT-3 keeps 4,718,592 B per "
        "token, 9.66 GB at 2,048 tokens; the article's 5.6 GB are 1,187 tokens. 1 GB = 10⁹ B."
    )
