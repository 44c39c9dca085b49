"""Which networks gain from a batch?"""

from pages import frame
from pages.parts.speech import st
from perfmodel.convnet import RESNET_50
from perfmodel.figures import network_layers, networks, notebook
from perfmodel.mlp import MLP

VIEWS = {
    "batch": "Batching",
    "roofline": "One roofline",
    "layers": "Layers of ResNet-50",
    "small": "Small networks",
    "notebook": "T4 notebook",
}

DEVICES = {"cpu": "CPU", "t4": "T4", "own": "The scenario's"}


def dtype() -> str:
    """Draw the control of the data type."""
    about = "Of weights, activations and arithmetic; the articles measured in fp32. A CPU without fp16 units runs fp32."
    return page.choice("dtype", "Data type", networks.DTYPES, "fp32", help=about)


def mlp() -> MLP:
    """Draw the controls of the perceptron."""
    depth = page.choice("depth", "MLP layers", networks.DEPTHS, 8)
    return MLP(depth, page.choice("width", "MLP width", networks.WIDTHS, 1024))


def batching() -> None:
    """Latency and throughput over the batch on three devices."""
    with page.controls():
        which = page.choice("net", "Network", networks.NETWORKS, "resnet", labels={"resnet": "ResNet-50", "mlp": "MLP"})
        network = RESNET_50 if which == "resnet" else mlp()
        curves = networks.curves(report, network, dtype())
    page.metric_row(lambda: networks.knee_rows(curves), lambda: networks.knee_cards(curves))
    left, right = st.columns(2)
    with left:
        page.show(networks.latency(curves), "latency", describe=networks.describe_curves(network, curves))
    with right:
        page.show(networks.throughput(curves), "throughput", describe=networks.describe_throughput(curves))
    page.cards(networks.cards(network, curves[1]))
    st.markdown(
        "**Why.** A processor is busy with one input: twice the batch, twice the time. A GPU first waits for its "
        "kernels to be launched and for the weights to arrive; inputs that fit into that wait are free. An MLP uses "
        "each weight once per input, so it stays flat until the batch reaches the ridge. A convolution uses each "
        "weight once per *pixel*: it needs no batch to keep the arithmetic units busy, and on a T4 only the launches "
        "make the first three images of ResNet-50 free."
    )


def one_roofline() -> None:
    """MLP, ResNet-50 and the scenario's transformer under one roof."""
    with page.controls():
        perceptron = mlp()
        batch = page.choice("images", "Inputs at once", networks.PICKED, 64)
        kind = dtype()
    about = network_layers.describe_roofline(report, perceptron, batch, kind)
    page.show(network_layers.roofline(report, perceptron, batch, kind), "networks", describe=about)
    st.markdown(
        "**How to read it.** Each point is an operator; its size is its share of the pass. The MLP and the decode step "
        "of a transformer climb the slope as the batch grows; prefill and most convolutions need no batch. "
        "Attention to the KV cache does not move with the batch: every sequence reads its own."
    )


def layers() -> None:
    """ResNet-50 layer by layer."""
    with page.controls():
        batch = page.choice("images", "Images at once", networks.PICKED, 64)
        kind = dtype()
    about = network_layers.describe_layers(report, batch, kind)
    page.show(network_layers.layer_times(report, batch, kind), "layers", describe=about)
    page.table(network_layers.layer_rows(report, batch, kind), "layers")
    st.markdown(
        "**Weight reuse.** A 3 × 3 filter on an image of 224 × 224 is applied 50,176 times, once per output pixel (an "
        "article says 224). In fp32 that is 25,088 FLOP per byte of weights at batch 1: batching has nothing left to "
        "save. Weights are k² · C_in · C_out; pooling costs what its pixels cost."
    )


def small() -> None:
    """Widths of an MLP over the batch, and one input on every device."""
    with page.controls():
        depth = page.choice("depth", "MLP layers", networks.DEPTHS, 8)
        device = page.choice("on", "Batch curves on", tuple(DEVICES), "t4", labels=DEVICES)
        kind = dtype()
    page.metric_row(networks.worth_rows(report, depth, kind), networks.worth_cards(report, depth, kind))
    left, right = st.columns(2)
    with left:
        about = networks.describe_crossover(report, depth, kind)
        page.show(networks.crossover(report, depth, kind), "crossover", describe=about)
    with right:
        about = networks.describe_family(report, depth, device, kind)
        page.show(networks.family(report, depth, device, kind), "family", describe=about)
    st.markdown(
        "**When a GPU is not worth it.** A small network is over before its kernels are launched: its time hardly "
        "depends on the width or the batch, and a processor core finishes one input sooner. That is the case of a "
        "single agent that acts step by step. Remedies: a larger network, a larger batch, or fewer launches (fusion, "
        "CUDA graphs)."
    )


def t4_notebook() -> None:
    """The measured width sweep and the staircase of reserved memory."""
    left, right = st.columns(2)
    with left:
        page.show(notebook.widths(), "widths", describe=notebook.describe_widths())
    with right:
        page.show(notebook.staircase(), "staircase", describe=notebook.describe_staircase())
    page.table(notebook.width_rows(), "widths")
    st.markdown(
        "**What the notebook measured.** Time against width looks linear between 2,048 and 4,096, and is a floor plus "
        "a parabola: the host needs the same time for each token whatever the width, and reading the weights grows "
        "with d². The memory that grows 3.2 times too fast is *reserved* memory: small tensors come out of blocks of "
        "2 MiB."
    )


with frame("Other networks", "Which networks gain from a batch?") as page:
    report = page.report
    view = page.choice("view", "Show", tuple(VIEWS), "batch", labels=VIEWS)

    {"batch": batching, "roofline": one_roofline, "layers": layers, "small": small, "notebook": t4_notebook}[view]()
