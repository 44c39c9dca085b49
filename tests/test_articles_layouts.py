"""What the articles and their companions say of layouts (S18, S19, S47, S71-S74)."""

from itertools import product
from typing import Any

import numpy as np
import pytest

from perfmodel import ACCELERATORS, MODELS, Scenario, estimate
from perfmodel import layout_curves as curves
from perfmodel.blocks import parameters
from perfmodel.estimate import setup
from perfmodel.formulas import collectives, roofline
from perfmodel.formulas import layouts as f
from perfmodel.formulas.kv import kv_bytes_per_token
from perfmodel.layouts import layouts
from perfmodel.units import GIB, GIGA, MICRO, MILLI
from perfmodel.workload import decode

#: PaLM 540B: E, F and the tokens of the paper's batches.
E, F = 18_432.0, 73_728.0
LINK = 270 * GIGA
#: A100 40 GB as kipply counts it: 312 TFLOP/s, 1.5 TB/s, 300 GB/s.
A100_FLOPS, A100_BYTES, A100_LINK = 312e12, 1.5e12, 300e9


def decoder(layers: int, hidden: int, heads: int) -> dict[str, Any]:
    """A plain GPT: four times as wide inside, head size 128, no cache sharing."""
    keys = {"layers": layers, "hidden": hidden, "heads": heads, "kv_heads": heads, "head_dim": hidden // heads}
    return keys | {"ffn": 4 * hidden, "gated": False, "vocab": 50_000, "tied_embeddings": True, "max_context": 65_536}


def custom(dimensions: dict[str, Any], **fields: Any) -> Scenario:
    """A scenario of such a model on ideal A100s."""
    return Scenario(model="custom", dimensions=dimensions, gpu="a100-sxm-40gb", engine="ideal", **fields)


def test_s18_latency_floor() -> None:
    """S18: 4 collectives in each of 80 layers at 8 µs are 2.56 ms, beside 22 ms of reading 260B on 16 A100."""
    floor = 4 * 80 * collectives.ring_all_reduce_time(0.0, 16.0, A100_LINK, 8 * MICRO)
    np.testing.assert_allclose(floor, 2.56 * MILLI, rtol=1e-12)
    np.testing.assert_allclose(roofline.memory_time(260e9 * 2, 16 * A100_BYTES), 22 * MILLI, rtol=0.02)


def test_s18_engine_sends_the_megatron_volume() -> None:
    """S18: two all-reduces a layer send 2(n-1)/n of tokens x d each; that is what the engine counts."""
    for model, tp in (("llama-3.1-70b", 8), ("gpt-j-6b", 4), ("opt-66b", 2)):
        found = layouts(Scenario(model=model, batch=4, input=64, output=16), (tp,))
        one = next(one for one in found.found if one.tp == tp)
        d = MODELS[model].dimensions
        volume = f.megatron_volume(4.0, d.hidden, 2.0, tp, 1.0 if d.parallel_block else 2.0)
        np.testing.assert_allclose(dict(one.sent_bytes)["all_reduce"], d.layers * volume, rtol=1e-12)


@pytest.mark.parametrize("devices", [1.0, 64.0, 4096.0])
def test_s19_times(devices: float) -> None:
    """S19: t_1D = 2BLE/BW whatever n, t_2D = 8BLE/(sqrt(n) BW), t_WG = 4E sqrt(BLF)/(sqrt(n) BW), for F = 4E."""
    tokens = np.array([64.0, 512.0, 18_432.0, 512.0 * 2048])
    root = np.sqrt(devices)
    rows = [
        (f.weight_stationary_1d_time(tokens, E, 2.0, LINK), 2 * 2 * tokens * E / LINK),
        (f.weight_stationary_2d_time(tokens, E, F, devices, 2.0, LINK), 2 * 8 * tokens * E / (root * LINK)),
        (f.weight_gathered_best_time(tokens, E, F, devices, 2.0, LINK), 2 * 4 * E * np.sqrt(tokens * F) / root / LINK),
    ]
    for ours, published in rows:
        np.testing.assert_allclose(ours, published, rtol=1e-12)


def test_s19_best_proportions() -> None:
    """S19: no other cut of n = 64 beats the 2D form, and no other gather beats the best one (brute force)."""
    tokens, n = 20_000.0, 64.0
    x = np.geomspace(1.0, n, 2001)
    cuts = 2 * 2.0 * tokens * (E / x + F / (n / x)) / LINK
    np.testing.assert_allclose(cuts.min(), f.weight_stationary_2d_time(tokens, E, F, n, 2.0, LINK), rtol=1e-5)
    gathers = f.weight_gathered_time(tokens, E, F, n, x, 2.0, LINK)
    np.testing.assert_allclose(gathers.min(), f.weight_gathered_best_time(tokens, E, F, n, 2.0, LINK), rtol=1e-5)
    np.testing.assert_allclose(x[gathers.argmin()], f.best_gathered(tokens, F, n), rtol=0.01)


def test_s19_crossovers() -> None:
    """S19: 2D beats 1D beyond 16 devices at F = 4E; gathering beats 2D beyond F/4 = 18,432 tokens for PaLM 540B."""
    assert f.devices_for_2d(E, F) == 16.0
    assert f.tokens_for_gathered(E) == F / 4 == 18_432.0


def test_s19_crossovers_on_both_sides() -> None:
    """S19: a percent before each crossing the one layout sends less, a percent beyond it the other, for every model."""
    checked = 0
    for model, tokens, devices in product(("palm-540b", "llama-3.1-8b", "mixtral-8x7b"), (64.0, 9e4), (4, 16, 64, 512)):
        scenario = Scenario(model=model, gpu="tpu-v4", input=64, output=16)
        for found in (curves.pope_over_tokens(scenario, devices), curves.pope_over_devices(scenario, tokens)):
            for one in found.crossings:
                places = np.array([0.99, 1.0, 1.01]) * one.at
                where = (places, devices) if found.axis == "tokens" else (tokens, places)
                times = curves.pope_times(scenario, *where)
                ahead = times[one.after] - times[one.before]
                assert ahead[0] > 0 > ahead[2], (model, one)
                assert abs(ahead[1]) < 1e-9 * times[one.after][1]
                # Nothing else sends less there: the crossing is one of the lower envelope.
                least = min(times[name][1] for name in (curves.ONE_D, curves.TWO_D, curves.GATHERED))
                np.testing.assert_allclose(times[one.after][1], least, rtol=1e-9)
                checked += 1
    assert checked >= 24


def test_s19_what_moves() -> None:
    """S19: in a gather the weights move: with hardly any tokens it still sends all of them (003 reverses)."""
    few = f.weight_gathered_time(1e-9, E, F, 64.0, 64.0, 2.0, LINK)
    np.testing.assert_allclose(few, 2 * 2.0 * E * F / LINK, rtol=1e-9)


@pytest.mark.parametrize("engine", ["ideal", "fused"])
def test_s19_published_anchors(engine: str, record_property: Any) -> None:
    """S19: 29 ms a token (int8, batch 64) and 76 % of the peak in prefill on 64 TPU v4: ours within a factor of three.

    The datasheet bound beats both measurements, as it must; the errors are shown on the page.
    """
    step, prompt = curves.anchors(engine)
    for anchor in (step, prompt):
        for ours in (anchor.engine, anchor.paper_layout):
            record_property(anchor.what, f"{ours / anchor.published - 1:+.1%}")
            assert 1 / 3 < ours / anchor.published < 3
        assert set(anchor.row())
    if engine == "ideal":
        assert step.paper_layout < step.published
        assert 1.0 > prompt.paper_layout > prompt.published


def test_s19_why_not_the_same() -> None:
    """A chip reads a 64th of 118 layers of 64 padded heads and three FFN matrices, a KV head; embeddings wide."""
    shared = 118 * (2 * E * 64 * 256 + 3 * E * F) + 2 * 256_000 * E
    reading = (shared / 64 + 118 * 2 * E * 256 + 2 * 119 * E) / 1.2e12
    text = curves.anchor_words("fused")
    assert f"takes {reading / MILLI:.3g} ms at" in text
    (step, _) = curves.anchors("fused")
    assert f"{(step.published - step.paper_layout) / (6 * 118) / MICRO:.3g} µs for each of the 708" in text
    assert "This profile is that bound" in curves.anchor_words("ideal")


@pytest.mark.parametrize("model", ["llama-2-7b", "gpt-j-6b", "llama-3.1-8b", "falcon-40b"])
def test_s47_wide_parallelises_better(model: str) -> None:
    """S47: (L, d) against (L/4, 2d): the same FLOPs, a quarter of the kernels, half of the bytes sent, faster on 8."""
    scenario = Scenario(model=model, batch=2, input=256, output=64)
    deep, wide = curves.wide_and_deep(scenario)
    assert (wide.layers * 4, wide.hidden) == (deep.layers, deep.hidden * 2)
    np.testing.assert_allclose([wide.flops, wide.parameters], [deep.flops, deep.parameters], rtol=2e-3)
    np.testing.assert_allclose((wide.kernels - 1) / (deep.kernels - 1), 0.25, rtol=1e-12)
    np.testing.assert_allclose(wide.sent_bytes / deep.sent_bytes, 0.5, rtol=1e-12)
    assert wide.step_s < deep.step_s
    assert wide.alone_s / wide.step_s > deep.alone_s / deep.step_s


def test_s71_cache_and_weights_of_52b() -> None:
    """S71: 52B (d 8192, L 64) caches 2,097,152 B a token; weights take 69 ms on one A100 up to 208 tokens, 17 on 4."""
    assert kv_bytes_per_token(64.0, 64.0, 128.0, 2.0) == 2_097_152
    one, four = (roofline.memory_time(52e9 * 2, n * A100_BYTES) for n in (1, 4))
    np.testing.assert_allclose([one, four], [69 * MILLI, 17 * MILLI], rtol=0.03)
    assert roofline.critical_batch(2.0, A100_FLOPS, A100_BYTES) == 208
    below, at, beyond = (roofline.batch_latency(b, 52e9, 2.0, A100_FLOPS, A100_BYTES) for b in (1.0, 208.0, 209.0))
    assert below == at < beyond


def test_s71_engine() -> None:
    """S71: the engine's 52B caches as much, reads its weights as long; four A100 40GB hold 23,000 to 28,000 tokens.

    Three hold 16 GB of cache: 7,600 tokens, "8,000". The engine splits 64 heads over 4 devices, so it is asked for 4.
    """
    model = decoder(64, 8192, 64)
    report = estimate(custom(model, n=4, tp=4, input=24, output=8))
    assert report.kv_bytes_per_token == 2_097_152
    read = report.weight_bytes / (4 * ACCELERATORS["a100-sxm-40gb"].memory_bytes_per_s)
    np.testing.assert_allclose(read, 17 * MILLI, rtol=0.05)
    assert 23_000 <= report.memory.longest_context <= 28_000
    np.testing.assert_allclose([(n * 40e9 - 104e9) / 2_097_152 for n in (3, 4)], [8000, 26_700], rtol=0.05)


def test_s72_13b_on_one_and_two() -> None:
    """S72: 13B is predicted at 16.8 ms on one A100 and 8.4 on two; measured are 22.0 and 13.5 (FasterTransformer).

    Our ideal bound stays below the measurement, and the second device does not give the whole factor of two there.
    """
    model = decoder(40, 5120, 40)
    layers = setup(custom(model)).model.dimensions
    counted = parameters(layers).attention + parameters(layers).ffn
    predicted = [roofline.memory_time(counted * 2, n * A100_BYTES) for n in (1, 2)]
    np.testing.assert_allclose(predicted, [16.8 * MILLI, 8.4 * MILLI], rtol=2e-3)
    times = [float(setup(custom(model, n=n, tp=n)).run(decode(1, 512)).time_s) for n in (1, 2)]
    assert times[0] < 22.0 * MILLI
    assert times[1] < 13.5 * MILLI
    assert 1.0 < times[0] / times[1] <= 2.0


def test_s72_260b_at_batch_512() -> None:
    """S72: 260B on 16 A100 at batch 512: 53 ms of arithmetic and 18 ms on the links, counted in bytes."""
    np.testing.assert_allclose(roofline.compute_time(2 * 260e9 * 512, 16 * A100_FLOPS), 53 * MILLI, rtol=0.01)
    sent = 80 * f.megatron_volume(512.0, 16_384.0, 2.0, 1e9, 2.0)
    np.testing.assert_allclose(sent / A100_LINK, 18 * MILLI, rtol=0.01)
    ring = 80 * f.megatron_volume(512.0, 16_384.0, 2.0, 16.0, 2.0)
    np.testing.assert_allclose(ring / sent, 15 / 16, rtol=1e-9)


def test_s74_multi_query_attention() -> None:
    """S74: 540B with 48 heads of 128 caches 3 TB at b = 512, T = 2048; cut along the batch, one head of 256 holds 32x.

    Heads are padded to 64, one on each of 64 chips: 2 x 128 values a token and chip against 2 x 256 / 64.
    """
    per_token = kv_bytes_per_token(118.0, 48.0, 128.0, 2.0)
    np.testing.assert_allclose(per_token * 512 * 2048, 3e12, rtol=0.02)
    many = f.head_sharded_kv_time(kv_bytes_per_token(118.0, 64.0, 128.0, 2.0), 64.0, 64.0, 1.0)
    shared = kv_bytes_per_token(118.0, 1.0, 256.0, 2.0)
    copied = f.head_sharded_kv_time(shared, 1.0, 64.0, 1.0)
    spread = f.batch_sharded_kv_time(shared, 512.0, 64.0, 1.0)
    assert many / spread == 32.0
    assert copied / many == 2.0
    # Table 1 of the paper: 30 % of 32 GiB hold a context of 330, 165 or 10,700 tokens at batch 512.
    room = 0.3 * 32 * GIB
    np.testing.assert_allclose([room / 512 / each for each in (many, copied, spread)], [330, 165, 10_700], rtol=0.015)
