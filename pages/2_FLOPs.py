"""Where do the FLOPs go?"""

from pages import frame
from pages.parts.speech import st
from perfmodel import breakdown
from perfmodel.explain import cards
from perfmodel.figures import flops

VIEWS = {
    "rules": "Rules of thumb",
    "layers": "Layer by layer",
    "context": "Longer context",
    "cache": "Without a KV cache",
    "shape": "Deeper or wider",
}


with frame("FLOPs", "Where do the FLOPs go?") as page:
    scenario, both = page.scenario, breakdown.phases(page.scenario)
    model, context = scenario.resolved_model.dimensions, both[1].context

    page.say(lambda: breakdown.flops_answer(page.report))
    page.show(
        flops.blocks_figure(page.report, both), "blocks", height=300, describe=flops.describe_blocks(page.report, both)
    )
    st.caption(
        "A share of FLOPs is not a share of time: attention and element-wise work run far below the rate of the large "
        "matrix products, and decode waits for memory whatever it computes. FLOPs are those of the whole model."
    )
    view = page.choice("view", "Look closer", tuple(VIEWS), "rules", labels=VIEWS)

    if view == "rules":
        rules = breakdown.flops_per_token_rules(scenario)
        page.show(flops.rules_figure(rules), "rules", height=300, describe=flops.describe_rules(rules))
        st.markdown("**What separates a decoded token of this model from the classic rule**")
        st.markdown(flops.difference_text(breakdown.classic_differences(scenario), rules.total("classic"), model))
        st.markdown(
            "One multiply and one add per weight and token make 2 × active parameters. It misses attention, which has "
            "no weights, and counts an untied embedding, which is a look-up (a tied one stands for the LM head). 24 d² "
            "is the same for the classic layer: 6 d² for Q, K and V, 2 d² for the output, 16 d² for an FFN of width "
            "4d. *An article labels the 2 d² as softmax(QKᵀ)V; it is the output projection. Scores and values cost 4 d "
            "T.*"
        )
    elif view == "layers":
        names = {"decode": "Decode", "prefill": "Prefill"}
        phase = page.choice("phase", "Phase", tuple(names), "decode", labels=names)
        layers = breakdown.layer_groups(scenario, phase)
        page.show(flops.layers_figure(layers), "layers", height=340, describe=flops.describe_layers(layers))
        st.markdown(
            "Layers differ when some attend only to a window, mix the sequence by a state instead of attention, or "
            "route tokens to experts. Try Gemma 3 (five local layers for each global one), Jamba or DeepSeek V3."
        )
    elif view == "context":
        curve = breakdown.attention_curve(model)
        page.show(
            flops.context_figure(curve, model.hidden, context, model.max_context),
            "context",
            height=380,
            describe=flops.describe_context(curve, context),
        )
        st.markdown(
            "Scores and values cost 4 T × heads × head size per token and layer, the linear layers a constant: in the "
            "classic decoder the ratio is T / 6d, 8.3 % at 2,048 tokens and 16.7 % at 4,096 for d = 4096, and one at "
            "T = 6d = 24,576. MLA decodes on its latent: more FLOPs, far fewer bytes. "
            "*An article puts attention at 5d, 0.005 %: that leaves the context out.*"
        )
    elif view == "cache":
        found = breakdown.generation(scenario)
        page.show(flops.generation_figure(found), "generation", height=380, describe=flops.describe_generation(found))
        st.markdown(
            "Without a cache every new token sends the whole sequence through the model again. From an empty prompt "
            "the ratio is T / 2: 1,024 times at 2,048 tokens. Behind a long prompt it is nearly the number of "
            "generated tokens."
        )
    else:
        rows = breakdown.growth(model)
        page.show(flops.shape_figure(rows), "shape", height=360, describe=flops.describe_shape(rows))
        st.markdown(
            "Doubling the depth doubles everything. Doubling the width quadruples parameters and FLOPs, but only "
            "doubles the cache and adds no kernel to the chain: a wide model parallelises, a deep one waits layer "
            "after layer. Embeddings and LM head are left out."
        )

    page.cards(cards(page.report, ("flops_prefill", "flops_decode", "params_total", "params_active")))
    st.caption(
        "Sources: Finbarr Timbers, *Where do LLMs spend their FLOPS?* (cases S36–S39, S46, S47); "
        "one FLOP is one multiply or one add."
    )
