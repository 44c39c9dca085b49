"""MLPs, convolutional networks and the notebook's transformers, through one list of operators and one price."""

from dataclasses import replace

import numpy as np
import pytest
from numpy.testing import assert_allclose

from perfmodel.convnet import RESNET_50, RESNET_101, RESNET_152, Conv, ResNet, pooling
from perfmodel.engine import ENGINES
from perfmodel.estimate import estimate, setup
from perfmodel.figures import network_layers, networks, notebook
from perfmodel.formulas.flops import generation_flops, matmul_flops
from perfmodel.formulas.overhead import reserved_bytes
from perfmodel.formulas.roofline import arithmetic_intensity, critical_batch
from perfmodel.hardware import ACCELERATORS
from perfmodel.mlp import MLP
from perfmodel.network import Network, NetworkSetup
from perfmodel.notebook import MEASURED_WIDTHS, llama_shape, run_of
from perfmodel.ops import Group, Kernels, Pass
from perfmodel.precision import Precision
from perfmodel.scenario import Scenario
from perfmodel.step import Step
from perfmodel.units import GIGA, MICRO, MILLI, TERA
from perfmodel.workload import Workload, decode

FP32, FP16 = Precision("fp32", "auto", "fp32"), Precision("fp16", "auto", "fp16")
T4, CPU, A100 = (ACCELERATORS[name] for name in ("t4", "colab-cpu", "a100-sxm-80gb"))
ONE = Pass(Workload(1.0, 1.0, 0.0), FP32, Kernels())


def on(network: Network, engine: str, precision: Precision = FP32, chip: str = "t4") -> NetworkSetup:
    """A network on a chip under a profile."""
    return NetworkSetup(network, ACCELERATORS[chip], ENGINES[engine], precision)


def products(step: Step, field: str) -> float:
    """The sum of one field over the matrix products of a step."""
    return float(sum(getattr(op, field) * op.count for op in step.ops if op.kind == "matmul"))


# One path for all networks


@pytest.mark.parametrize("network", [MLP(), MLP(3, 77, bias=True), RESNET_50], ids=lambda n: n.name)
@pytest.mark.parametrize("engine", ["ideal", "fused", "compiled", "eager", "t4-eager"])
def test_arrays_and_numbers_are_one_path(network: Network, engine: str) -> None:
    """A batch of arrays gives the same times as its numbers, in the array's shape."""
    batches = np.array([[1.0, 3.0], [64.0, 1000.0]])
    together = on(network, engine).run(batches)
    assert together.time_s.shape == batches.shape
    alone = [float(on(network, engine).run(batch).time_s) for batch in batches.flat]
    assert_allclose(together.time_s.ravel(), alone)


def test_mlp_does_two_flops_per_weight_and_input() -> None:
    """S62: an MLP does 2 P b FLOPs and reads P weights once."""
    step = on(MLP(8, 1024), "fused").run(32.0)
    assert products(step, "flops") == 2.0 * MLP(8, 1024).parameters * 32
    assert products(step, "weight_bytes") == 4.0 * MLP(8, 1024).parameters
    assert MLP(4, 10, bias=True).parameters == 440


def test_impossible_mlp_is_refused() -> None:
    """A network without layers or features is a mistake that names itself."""
    with pytest.raises(ValueError, match="depth=0"):
        MLP(0, 16)


def test_unpublished_bandwidth_is_said() -> None:
    """The memory bandwidth of the Colab core is not published: its memory is taken as free, and a note says so."""
    assert np.isfinite(on(RESNET_50, "eager-cpu", chip="colab-cpu").run(1.0).time_s)
    assert any("not published" in note for note in on(RESNET_50, "eager-cpu", chip="colab-cpu").notes)
    assert not on(RESNET_50, "eager").notes


# Convolutional networks


@pytest.mark.parametrize(
    ("network", "parameters"), [(RESNET_50, 25_557_032), (RESNET_101, 44_549_160), (RESNET_152, 60_192_808)]
)
def test_resnet_parameters(network: ResNet, parameters: int) -> None:
    """The parameter counts that torchvision publishes, to the last one."""
    assert network.parameters == parameters


def test_resnet_work() -> None:
    """S58: ResNet-50 does 4.09 G multiply-adds = 8.18 GFLOP on an image; with norms, additions and pooling 4.1 G."""
    step = on(RESNET_50, "eager").run(1.0)
    assert_allclose(products(step, "flops") / 2.0, 4.09 * GIGA, rtol=1e-3)
    assert_allclose(products(step, "flops"), 8.18 * GIGA, rtol=1e-3)
    assert 4.089 * GIGA < float(step.total("flops")) / 2.0 < 4.145 * GIGA
    assert sum(layer.count for layer in RESNET_50.layers) == 53


def test_convolution_weights_and_reuse() -> None:
    """S67, E23: k^2 C_in C_out weights; a padded 3 x 3 filter is used 224^2 = 50,176 times, an unpadded one 222^2."""
    padded = Conv("conv", 3, 64, 3, 1, 224)
    assert padded.weights == 9 * 3 * 64
    assert padded.reuse == 50_176
    assert replace(padded, padding=0).reuse == 49_284
    assert padded.weight_intensity(1.0, 4.0) == 25_088
    assert padded.weight_intensity(1.0, 4.0) > T4.ridge("fp16") > T4.ridge("fp32")
    op = padded.product(ONE)
    assert op.flops == 2 * 9 * 3 * 64 * 50_176
    assert op.flops / op.weight_bytes == 25_088


def test_pooling_costs_its_pixels() -> None:
    """S67: pooling is proportional to the number of pixels, in FLOPs and in bytes."""
    small, large = (pooling(ONE, "pool", 64, size, size // 2, 2) for size in (56, 112))
    assert large.flops == 4 * small.flops
    assert large.activation_bytes == 4 * small.activation_bytes


def test_batching_saves_a_convnet_little() -> None:
    """S67: on ideal hardware a batch of 64 makes an image of ResNet-50 1.1 times cheaper at most, an MLP 50 times."""
    gains = [float(64.0 * s.run(1.0).time_s / s.run(64.0).time_s) for s in (on(RESNET_50, "ideal"), on(MLP(), "ideal"))]
    assert 1.0 < gains[0] < 1.1
    assert gains[1] > 50.0


# Batching on CPU and T4


def test_processor_is_linear_from_the_first_image() -> None:
    """S58: 8.18 GFLOP at 70.4 GFLOP/s are at least 116 ms an image, and the slope is one from batch 1."""
    batches = np.arange(1.0, 9.0)
    bound = on(RESNET_50, "ideal", chip="colab-cpu").run(batches).time_s
    assert_allclose(bound[0], 0.116, rtol=5e-3)
    real = on(RESNET_50, "eager-cpu", chip="colab-cpu")
    assert real.run(1.0).time_s >= 0.116
    assert_allclose(real.run(batches).time_s / batches, real.run(1.0).time_s, rtol=0.01)
    assert_allclose(real.knee, 1.0, rtol=0.01)


def test_t4_is_flat_for_three_images_then_linear() -> None:
    """S59: an image is 1.01 ms of arithmetic, 102 MB of weights 0.34 ms; launches keep batches 1 to 3 equally long."""
    ideal = on(RESNET_50, "ideal").run(1.0)
    assert_allclose(products(ideal, "flops") / T4.peak_flops["fp32"], 1.01 * MILLI, rtol=1e-3)
    weights = products(ideal, "weight_bytes")
    assert_allclose(weights, 102e6, rtol=5e-3)
    assert_allclose(weights / T4.memory_bytes_per_s, 0.34 * MILLI, rtol=5e-3)
    times = on(RESNET_50, "t4-eager").run(np.array([1.0, 2, 3, 4, 8, 16, 32])).time_s
    assert_allclose(times[:3], times[0])
    assert times[3] > 1.05 * times[0]
    assert_allclose(times[5:] / times[4:-1], 2.0, rtol=0.06)


def test_a_lane_is_slower_than_a_core() -> None:
    """S60: one of the 6,912 lanes of an A100 is slower than one CPU core; all together are not."""
    assert A100.peak_flops["fp32"] / 6912 < CPU.peak_flops["fp32"] / CPU.sms < A100.peak_flops["fp32"]


def test_tiles_live_in_every_multiprocessor() -> None:
    """S61, E22: 192 KiB of shared memory on each of the 108 multiprocessors of an A100 are 20.25 MiB."""
    assert A100.sms * 192 / 1024 == 20.25


def test_critical_batch_of_the_t4() -> None:
    """S62, S63, E21: b* = s/2 F/W: 216.7 in fp16, 203 at 320 GB/s, 54 in fp32 (8.1 TFLOP/s), 216.7 in int8."""
    peak, bandwidth = T4.peak_flops, T4.memory_bytes_per_s
    assert_allclose(critical_batch(2.0, peak["fp16"], bandwidth), 216.7, atol=0.05)
    assert_allclose(critical_batch(2.0, peak["fp16"], 320 * GIGA), 203, atol=0.2)
    assert_allclose(critical_batch(4.0, peak["fp32"], bandwidth), 54)
    assert_allclose(critical_batch(1.0, peak["int8"], bandwidth), 216.7, atol=0.05)


@pytest.mark.parametrize(
    ("precision", "memory_us", "at_128_us", "at_512_us"), [(FP16, 55.9, 33, 132), (FP32, 111.8, 265, 1060)]
)
def test_mlp_times(precision: Precision, memory_us: float, at_128_us: float, at_512_us: float) -> None:
    """S64: 8,388,608 weights: 55.9 / 111.8 us to read; 33 and 132 us (fp16), 265 and 1060 us (fp32) to compute."""
    assert MLP(8, 1024).parameters == 8_388_608
    step = on(MLP(8, 1024), "ideal", precision).run(np.array([128.0, 512.0]))
    assert_allclose(step.total("weight_bytes") / T4.memory_bytes_per_s, memory_us * MICRO, rtol=1e-3)
    assert_allclose(step.totals_s[0], [at_128_us * MICRO, at_512_us * MICRO], rtol=5e-3)


def test_mlp_knee_between_the_critical_batches() -> None:
    """S64: the knee seen near 128 lies between fp32 (54) and fp16 (216); 16 launches put a floor under the rest."""
    low, high = (float(on(MLP(8, 1024), "ideal", precision).knee) for precision in (FP32, FP16))
    assert_allclose([low, high], [54.0, 216.7], rtol=0.01)
    assert low < 128 < high
    step = on(MLP(8, 1024), "eager").run(1.0)
    assert step.total("launches") == 16
    for host_us, floor_us in ((5.0, 80.0), (10.0, 160.0)):
        lean = replace(ENGINES["ideal"], host_s=host_us * MICRO, kernels=ENGINES["eager"].kernels)
        launched = NetworkSetup(MLP(8, 64), T4, lean, FP16).run(1.0)
        assert_allclose(launched.time_s, floor_us * MICRO)


def test_widths_share_a_knee_and_small_networks_have_none() -> None:
    """S65: wide MLPs bend at the same batch; small ones take the same time from batch 1 to 512."""
    knees = [float(on(MLP(8, width), "t4-eager").knee) for width in (4096, 8192, 16384)]
    assert_allclose(knees, knees[0], rtol=0.05)
    for width in (16, 64, 256):
        assert_allclose(
            on(MLP(8, width), "t4-eager").run(np.array([1.0, 64, 512])).time_s, 8 * 2 * 57.3 * MICRO, rtol=1e-3
        )


def test_small_networks_do_not_pay_on_a_gpu() -> None:
    """S66: while 2 P / F_cpu is below the launch floor, the processor is done first; a wide network turns it round."""
    processor, notebook_t4 = (
        (lambda n: on(n, "eager-cpu", chip="colab-cpu").run(1.0).time_s),
        (lambda n: on(n, "t4-eager").run(1.0).time_s),
    )
    assert 2 * MLP(8, 64).parameters / CPU.peak_flops["fp32"] < notebook_t4(MLP(8, 1))
    assert processor(MLP(8, 64)) < 0.1 * notebook_t4(MLP(8, 64))
    assert processor(MLP(8, 8192)) > notebook_t4(MLP(8, 8192))
    rows = networks.worth_rows(estimate(Scenario()), 8, "fp32")
    assert rows[0][1].startswith("from width")


# The T4 notebook


@pytest.mark.parametrize(("width", "seconds"), MEASURED_WIDTHS.items())
def test_width_sweep(width: int, seconds: float) -> None:
    """S51, E19: the five measured points within 0.05 s, with one set of constants."""
    assert_allclose(estimate(run_of(width)).e2e_s, seconds, atol=0.05)


def test_width_sweep_is_neither_linear_nor_quadratic() -> None:
    """S51: four times the width takes 1.65 times as long, not 16; from 2048 to 4096 it takes 1.58 times, not 4."""
    times = {width: estimate(run_of(width)).e2e_s for width in MEASURED_WIDTHS}
    assert_allclose(times[4096] / times[1024], 1.65, rtol=0.02)
    assert_allclose(times[4096] / times[2048], 1.58, rtol=0.02)


def test_time_is_linear_in_depth() -> None:
    """S54: equal steps in depth cost equal time, and doubling the depth nearly doubles it."""
    times = np.array([estimate(run_of(1024, layers)).e2e_s for layers in (4, 8, 12, 16, 20, 24)])
    assert_allclose(np.diff(times), np.diff(times)[0], rtol=0.01)
    assert_allclose(times[3] / times[1], 2.0, rtol=0.05)


def test_time_is_linear_in_tokens_while_the_cache_is_small() -> None:
    """S55: with a KV cache T(n) is linear; the n^2 of the cache reads only shows when they rival the weights."""
    times = np.array([estimate(run_of(4096, tokens=n)).e2e_s for n in (20, 40, 60, 80, 100)])
    assert_allclose(np.diff(times), np.diff(times)[0], rtol=0.01)
    run = setup(run_of(4096))
    near, far = run.run(decode(1, 100)), run.run(decode(1, 2000))
    assert near.total("kv_bytes") < 0.02 * near.total("weight_bytes")
    assert far.time_s > near.time_s


def test_cache_of_the_small_model() -> None:
    """S56, E20: 8 layers of 1024 keep 32,768 B a token; a block of 2 MiB is 3.2 times what twenty tokens need."""
    per_token = estimate(run_of(1024)).kv_bytes_per_token
    assert per_token == 32_768
    assert reserved_bytes(20 * per_token) / (20 * per_token) == pytest.approx(3.2)


def test_cache_shows_its_worth_when_it_is_switched_off() -> None:
    """S57, S39: without the cache 2048 tokens cost about T/2 = 1024 times the FLOPs of the linear layers."""
    assert_allclose(generation_flops(8.0, 1e6, 2048.0, False) / generation_flops(8.0, 1e6, 2048.0), 1024, rtol=1e-3)


def test_square_product_on_a_t4() -> None:
    """S52, E18: 1024^3 is 2.147 GFLOP: 30,268 a second at peak, 18,161-24,214 at 60-80 %; 341 FLOP/B: compute-bound."""
    flops, peak = matmul_flops(1024.0, 1024.0, 1024.0), T4.peak_flops["fp16"]
    assert_allclose(peak / flops, 30_268, rtol=1e-4)
    assert_allclose([0.6 * peak / flops, 0.8 * peak / flops], [18_161, 24_214], rtol=1e-4)
    intensity = arithmetic_intensity(flops, 3 * 2 * 1024.0**2)
    assert_allclose(intensity, 341, atol=0.5)
    assert intensity > T4.ridge("fp16")
    assert_allclose(on(MLP(1, 1024), "ideal", FP16).run(1024.0).time_s, flops / peak)


def test_t4_facts() -> None:
    """S53, E17: 2560 lanes at 1.59 GHz are 8.14 TFLOP/s in fp32; 65 is fp16 on tensor cores; Turing has no bf16."""
    assert_allclose(64 * T4.sms * 2 * T4.clock_hz, 8.14 * TERA, rtol=1e-3)
    assert_allclose(T4.peak_flops["fp32"], 8.14 * TERA, rtol=0.01)
    assert T4.peak_flops["fp16"] == 65 * TERA
    assert "bf16" not in T4.peak_flops


def device_shares(width: int) -> dict[str, float]:
    """Shares of attention, MLP and norms in the device time of one token in the notebook."""
    run = replace(setup(run_of(width)), engine=ENGINES["t4-eager"])
    step = run.run(decode(1, 64))
    spent = dict.fromkeys(Group, 0.0)
    for op, seconds in zip(step.ops, step.needs_s[:3].max(axis=0) + step.needs_s[3], strict=True):
        spent[op.group] += float(seconds)
    parts = {
        "attention": spent[Group.PROJECTIONS] + spent[Group.ATTENTION],
        "mlp": spent[Group.FFN],
        "rest": spent[Group.NORMS],
    }
    return {name: seconds / sum(parts.values()) for name, seconds in parts.items()}


def test_profile_split() -> None:
    """S48, E16: attention takes more than its third of the FLOPs, less than the MLP: 40.6 / 52.9 / 6.6 % measured.

    The width of the profiled model is not known; at 2048 the split is met within six points, and it tends to 1 : 2.
    """
    assert_allclose(list(device_shares(2048).values()), [0.406, 0.529, 0.066], atol=0.06)
    shares = [device_shares(width)["attention"] for width in (1024, 2048, 4096, 8192, 16384)]
    assert shares == sorted(shares, reverse=True)
    assert_allclose(shares[-1], 1 / 3, atol=0.01)


def grouped(width: int, kv_heads: int) -> Step:
    """One token of a notebook model with fewer key and value heads."""
    shape = llama_shape(width).model_copy(update={"kv_heads": kv_heads})
    run = replace(setup(run_of(width).change(dimensions=shape)), engine=ENGINES["t4-eager"])
    return run.run(decode(1, 64))


def test_linear_layers_of_grouped_attention() -> None:
    """S49: q, k, v, o with H/K = 4 do 4 : 1 : 1 : 4 FLOPs in about 2 : 1 : 1 : 1.5 of the time: a floor per kernel."""
    step = grouped(1024, 2)
    names = ("q_proj", "k_proj", "v_proj", "out_proj")
    times = dict(zip((op.name for op in step.ops), step.needs_s[:3].max(axis=0) + step.needs_s[3], strict=True))
    flops = {op.name: op.flops for op in step.ops}
    assert [flops[n] / flops["k_proj"] for n in names] == [4, 1, 1, 4]
    relative = [float(times[n] / times["k_proj"]) for n in names]
    assert_allclose(relative, [2.0, 1.0, 1.0, 1.5], atol=0.5)
    assert relative[0] < 0.5 * flops["q_proj"] / flops["k_proj"]


def test_grouping_speeds_the_projections_not_the_attention() -> None:
    """S50: with K/H = 1/4 the key and value projections do a quarter of the work; scores and values all of it."""
    few, many = ({op.name: op for op in grouped(1024, heads).ops} for heads in (2, 8))
    for name in ("k_proj", "v_proj"):
        assert few[name].flops * 4 == many[name].flops
    assert few["attention"].flops == many["attention"].flops


# What the page shows


@pytest.mark.parametrize("gpu", ["h100-sxm", "t4", "tpu-v4", "epyc-9654", "apple-m1"])
@pytest.mark.parametrize("dtype", networks.DTYPES)
def test_figures_are_figures(gpu: str, dtype: str) -> None:
    """Every figure of the page is one that Plotly accepts, and every description is a sentence without gaps."""
    go = pytest.importorskip("plotly.graph_objects")
    report = estimate(Scenario(gpu=gpu, model="llama-3.2-1b"))
    curves = networks.curves(report, RESNET_50, dtype)
    for figure in (
        networks.latency(curves),
        networks.throughput(curves),
        networks.family(report, 8, "own", dtype),
        networks.crossover(report, 8, dtype),
        network_layers.roofline(report, MLP(), 64, dtype),
        network_layers.layer_times(report, 1, dtype),
        notebook.widths(),
        notebook.staircase(),
    ):
        go.Figure(figure)
    for text in (
        networks.describe_curves(RESNET_50, curves),
        networks.describe_throughput(curves),
        networks.describe_family(report, 8, "own", dtype),
        networks.describe_crossover(report, 8, dtype),
        network_layers.describe_roofline(report, MLP(), 64, dtype),
        network_layers.describe_layers(report, 1, dtype),
        notebook.describe_widths(),
        notebook.describe_staircase(),
    ):
        assert text.endswith(".")
        assert "–" not in text
        assert "nan" not in text


def test_layer_table_counts_everything_once() -> None:
    """The rows of the layer table stand for all 53 convolutions and the classifier."""
    rows = network_layers.layer_rows(estimate(Scenario()), 1, "fp32")
    assert len(rows) == len(RESNET_50.layers) + 1
    assert rows[0]["Uses of a weight"] == "12,544"
