"""Where do the time, the bytes and the money go?"""

from pages import frame
from perfmodel.figures import operators, roofline, time_bar
from perfmodel.units import show, significant

page = frame("Home", "Where do the time, the bytes and the money go?")
report = page.report

page.metric_row(
    [
        ("Time to first token", show(report.ttft_s, "s"), "The prefill pass, without queueing."),
        ("Time per token", show(report.tpot_s, "s"), "After the first one, mean over the generation."),
        (
            "Tokens per second",
            significant(report.tokens_per_s),
            "Output tokens of all sequences together, prefill included.",
        ),
        (
            "Memory per device",
            operators.memory_text(report),
            "Weights, KV cache, activations and runtime, of capacity.",
        ),
        ("Cost per million", operators.cost_text(report), "A million output tokens at the accelerator's list price."),
    ]
)
page.show(time_bar.figure(report), "time")
page.show(roofline.figure(report), "roofline", height=390, describe=roofline.describe(report))

if fold := page.fold("Why: every operator, largest share first", "why"):
    with fold:
        page.table(operators.rows(report), "operators")
