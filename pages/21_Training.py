"""How long does training take, what fills the memory, and what does it cost?"""

from pages import frame
from pages.parts.speech import plain, st
from perfmodel import how, training_anchors
from perfmodel.figures import training as figures
from perfmodel.training import cached_training
from perfmodel.training_curves import BUDGETS, Choices, answer, cards, chosen, headline, scaling, summary

with frame(
    "Training", "How long does training take, what fills the memory, and what does it cost?", own_verdict=True
) as page:
    with page.controls():
        devices = page.choice("devices", "Devices", (1, 8, 64, 256, 1024, 4096, 16384), 64)
        tensor = page.choice("tensor", "Tensor parallel", (1, 2, 4, 8), 1)
        stages = page.choice("stages", "Pipeline stages", (1, 2, 4, 8, 16), 1)
        sharding = page.choice(
            "zero", "Sharding", ("none", "zero1", "zero2", "zero3"), "zero3",
            labels={"zero1": "ZeRO-1", "zero2": "ZeRO-2", "zero3": "ZeRO-3 / FSDP"},
            help="What the replicas split: optimizer states, also gradients, also weights",
        )  # fmt: skip
        recompute = page.choice(
            "recompute", "Recompute", ("none", "selective", "full"), "selective",
            help="Activations that the backward pass computes again instead of keeping them",
        )  # fmt: skip
        precision = page.choice("train", "Linear layers", ("bf16", "fp8", "fp32"), "bf16")
        micro = page.choice("micro", "Sequences per pass", (1, 2, 4, 8, 16), 1)
        accumulate = page.choice("accumulate", "Micro-batches per step", (1, 2, 4, 8, 16, 64), 4)
        length = page.choice("length", "Sequence length", (2048, 4096, 8192, 32768, 131072), 8192)
        budget = page.choice("budget", "Token budget", tuple(BUDGETS), "15 T")

    want = Choices(devices, tensor, stages, micro, accumulate, length, sharding, precision, recompute)
    run, changed = chosen(page.scenario, want)
    report = cached_training(run)
    for text in (*changed, *report.notes):
        page.notice(text, "warning")

    page.verdict(answer(report), plain(summary(report, page.scenario.resolved_model.name)))
    page.metric_row(headline(report, budget), how.training(report, BUDGETS[budget]))
    page.show(figures.step_figure(report), "step", height=420, describe=figures.describe_step(report))

    st.subheader("More devices: how much faster?")
    curves = scaling(run)
    page.show(figures.scaling_figure(curves, run.n), "scaling", height=340, describe=figures.describe_scaling(curves))

    st.subheader("Beside what Megatron-LM measured")
    st.markdown(training_anchors.sentence())
    page.table(training_anchors.table(), "anchors")
    st.caption(
        "Sequences of 2,048 tokens, fp16, attention not fused. The 2021 paper prints FLOP/s that count what is "
        "computed again; its step follows from its equation 3, and the MFU here counts a token's work once. None of "
        "these runs is "
        f"among those that our constants were fitted on. Sources: {training_anchors.sources()}."
    )

    st.markdown(
        "**Why.** A token costs $6P$ FLOPs and its attention $12Lhs$: forward once, backward twice. MFU counts these "
        "and nothing else; HFU adds what is computed again. Published figures count the whole square of attention "
        "scores, although a causal kernel computes half, so a long sequence may show a higher MFU than its kernels "
        "reach."
    )
    st.caption(
        "The layout above holds the model and the chip of the sidebar; batch and lengths there are those of inference. "
        "Synchronous steps with a 1F1B pipeline; no stragglers, failures, checkpoints or evaluation."
    )
    page.cards(cards(report, budget))
