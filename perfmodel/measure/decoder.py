"""A small real decoder with random weights: the Llama that the articles ran on a T4, over the axes that they varied.

Run unfused as an eager framework does (a kernel for every norm's step, two products and a softmax in attention), or
fused as a serving engine (one product for Q, K and V, scaled-dot-product attention).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import lru_cache
from typing import Any

from perfmodel.dimensions import Dimensions
from perfmodel.measure.device import Call, Device
from perfmodel.measure.timing import Task
from perfmodel.notebook import LAYERS, PROMPT, llama_shape

#: Device -> the values of every axis; all others stay at the first of theirs, except `WIDTH` and `LAYERS`.
WIDTH = 1024
AXES: dict[str, dict[str, tuple[int, ...]]] = {
    "cpu": {
        "width": (128, 256, 512, 1024, 1536, 2048),
        "depth": (1, 2, 4, 8, 16),
        "batch": (1, 2, 4, 8, 16, 32, 64),
        "context": (64, 512, 1024, 2048, 4096),
        "prompt": (16, 64, 256, 1024),
        "tokens": (8, 16, 32, 64),
    },
    "cuda": {
        "width": (1024, 1536, 2048, 3072, 4096),
        "depth": (2, 4, 8, 16, 32),
        "batch": (1, 2, 4, 8, 16, 32, 64, 128, 256, 512),
        "context": (64, 1024, 4096, 16384),
        "prompt": (64, 256, 1024, 4096),
        "tokens": (8, 16, 32, 64),
    },
}
#: Base of the rotary angles (Llama 2), and the term that keeps a norm from dividing by zero.
ROPE_BASE, EPSILON = 10_000.0, 1e-5
#: Values drawn at random; larger tensors repeat them, so that a billion weights need no minute.
DRAWN = 1 << 20


def tasks(device: Device) -> Iterator[Task]:
    """Yield the sweeps: time per token over width, depth, batch and context, a prefill over the prompt, whole runs."""
    for engine in device.engines:
        for axis, values in AXES[device.name].items():
            # The base case stands in the width sweep; the other axes do not measure it again.
            again = {"depth": LAYERS, "batch": 1, "context": AXES[device.name]["context"][0]}
            for value in values:
                if value != again.get(axis):
                    yield _task(device, engine, axis, value)


def _task(device: Device, engine: str, axis: str, value: int) -> Task:
    width, layers = value if axis == "width" else WIDTH, value if axis == "depth" else LAYERS
    shape, batch = llama_shape(width, layers), value if axis == "batch" else 1
    context = value if axis == "context" else AXES[device.name]["context"][0]
    lengths = {"prompt": (value, 1), "tokens": (PROMPT, value)}.get(axis, (context, 2))
    what = {"prompt": "prefill", "tokens": "e2e"}.get(axis, "tpot")
    dtypes = {"weight_dtype": device.dtype, "math_dtype": device.dtype, "kv_dtype": device.dtype}
    run = {"batch": batch, "input_len": lengths[0], "output_len": lengths[1], "engine": engine}
    names = ("layers", "hidden", "heads", "kv_heads", "head_dim", "ffn", "vocab")
    return Task(what, run | dtypes | {name: getattr(shape, name) for name in names},
                _prepared(device, shape, engine, what, (batch, *lengths)))  # fmt: skip


def _prepared(
    device: Device, shape: Dimensions, engine: str, what: str, run: tuple[int, int, int]
) -> Callable[[], Call]:
    batch, prompt, tokens = run

    def prepare() -> Call:
        fused = engine == "fused"
        decoder = Decoder(weights(device, shape), batch, prompt + tokens, fused)
        call: Call
        if what == "prefill":
            call = decoder.prefill_call(prompt)
        elif what == "e2e":
            call = decoder.run_call(prompt, tokens)
        else:
            call = decoder.step_call(prompt)
        return device.replayed(call, 1) if fused else call

    return prepare


@lru_cache(maxsize=1)
def weights(device: Device, shape: Dimensions) -> Weights:
    """Return the weights of one model; the last one is kept, as sweeps run over one model."""
    return Weights(device, shape)


class Weights:
    """The random weights of one Llama: their values do not matter, their bytes do."""

    def __init__(self, device: Device, d: Dimensions, dtype: str = "") -> None:
        """Draw them in the device's data type; Q, K and V, and the FFN's two, lie beside each other."""
        self.torch, self.d, self.place = device.torch, d, device.name
        kinds = {"fp32": "float32", "bf16": "bfloat16", "fp16": "float16"}
        self.kind = getattr(self.torch, kinds[dtype or device.dtype])
        inner, kept = d.heads * d.head_dim, d.kv_heads * d.head_dim
        self.embedding, self.head = self.draw(d.vocab, d.hidden), self.draw(d.vocab, d.hidden)
        self.layers = [
            {
                "qkv": self.draw(inner + 2 * kept, d.hidden),
                "out": self.draw(d.hidden, inner),
                "up": self.draw(2 * d.ffn, d.hidden),
                "down": self.draw(d.hidden, d.ffn),
                "norm1": self.ones(d.hidden),
                "norm2": self.ones(d.hidden),
            }
            for _ in range(d.layers)
        ]
        self.norm = self.ones(d.hidden)

    def draw(self, *shape: int) -> Any:
        """Return random values of the size that keeps activations near one."""
        count = 1
        for size in shape:
            count *= size
        values = self.torch.randn(min(count, DRAWN), device=self.place, dtype=self.torch.float32)
        values = (values / self.d.hidden**0.5).to(self.kind)
        return values.repeat(-(-count // DRAWN))[:count].reshape(shape)

    def ones(self, size: int) -> Any:
        """Return the gain of a norm."""
        return self.torch.ones(size, device=self.place, dtype=self.kind)

    @property
    def parameters(self) -> int:
        """Learned numbers: those of the model's own count."""
        own = [self.embedding, self.head, self.norm]
        return sum(int(x.numel()) for x in (*own, *(x for layer in self.layers for x in layer.values())))


class Decoder:
    """A KV cache for some sequences on given weights, and the passes over them."""

    def __init__(self, given: Weights, batch: int, room: int, fused: bool) -> None:
        """Allocate the cache for `room` tokens of each sequence, and the rotary angles of their places."""
        self.given, self.torch, self.d, self.batch, self.fused = given, given.torch, given.d, batch, fused
        shape = (batch, self.d.kv_heads, room, self.d.head_dim)
        self.cache = [(given.draw(*shape), given.draw(*shape)) for _ in range(self.d.layers)]
        steps = self.torch.arange(0, self.d.head_dim, 2, device=given.place, dtype=self.torch.float32)
        places = self.torch.arange(room, device=given.place, dtype=self.torch.float32)
        angles = self.torch.outer(places, ROPE_BASE ** (-steps / self.d.head_dim)).repeat(1, 2)
        self.cos, self.sin = angles.cos().to(given.kind), angles.sin().to(given.kind)

    def step_call(self, past: int) -> Call:
        """Return a call that computes one token of every sequence after `past` cached ones."""
        token = self.torch.zeros((self.batch, 1), dtype=self.torch.long, device=self.given.place)
        return lambda: self.forward(token, past).argmax(-1)

    def prefill_call(self, prompt: int) -> Call:
        """Return a call that computes a whole prompt."""
        return self._first(prompt)

    def run_call(self, prompt: int, tokens: int) -> Call:
        """Return a call that computes a prompt and generates so many tokens, one after the other."""
        first = self._first(prompt)

        def run() -> object:
            token = first()
            for past in range(prompt, prompt + tokens - 1):
                token = self.forward(token, past).argmax(-1)
            return token

        return run

    def _first(self, prompt: int) -> Callable[[], Any]:
        given = self.torch.zeros((self.batch, prompt), dtype=self.torch.long, device=self.given.place)
        return lambda: self.forward(given, 0).argmax(-1)

    def forward(self, tokens: Any, past: int, every: bool = False) -> Any:
        """Return the logits after the last of these tokens, or after `every` one; keys and values are cached."""
        f = self.torch.nn.functional
        with self.torch.inference_mode():
            x = self.given.embedding[tokens]
            for layer, cache in zip(self.given.layers, self.cache, strict=True):
                x = x + f.linear(self._attend(self._norm(x, layer["norm1"]), layer["qkv"], cache, past), layer["out"])
                x = x + f.linear(self._gated(self._norm(x, layer["norm2"]), layer["up"]), layer["down"])
            return f.linear(self._norm(x if every else x[:, -1:], self.given.norm), self.given.head)

    def _norm(self, x: Any, gain: Any) -> Any:
        if self.fused:
            return self.torch.nn.functional.rms_norm(x, (self.d.hidden,), gain, EPSILON)
        wide = x.to(self.torch.float32)
        wide = wide * self.torch.rsqrt(wide.pow(2).mean(-1, keepdim=True) + EPSILON)
        return gain * wide.to(x.dtype)

    def _linear(self, x: Any, together: Any, sizes: tuple[int, ...]) -> tuple[Any, ...]:
        """Return the products with matrices that lie beside each other: one product, or one each."""
        f = self.torch.nn.functional
        if self.fused:
            return tuple(f.linear(x, together).split(sizes, dim=-1))
        return tuple(f.linear(x, part) for part in together.split(sizes))

    def _gated(self, x: Any, up: Any) -> Any:
        gate, middle = self._linear(x, up, (self.d.ffn, self.d.ffn))
        return self.torch.nn.functional.silu(gate) * middle

    def _attend(self, x: Any, qkv: Any, cache: tuple[Any, Any], past: int) -> Any:
        d, new = self.d, x.shape[1]
        kept = d.kv_heads * d.head_dim
        q, k, v = (
            part.view(self.batch, new, -1, d.head_dim).transpose(1, 2)
            for part in self._linear(x, qkv, (d.heads * d.head_dim, kept, kept))
        )
        cos, sin = self.cos[past : past + new], self.sin[past : past + new]
        keys, values = (part[:, :, : past + new] for part in cache)
        keys[:, :, past:], values[:, :, past:] = self._turned(k, cos, sin), v
        seen = self._softmax(self._turned(q, cos, sin), keys, values, past)
        return seen.transpose(1, 2).reshape(self.batch, new, -1)

    def _turned(self, x: Any, cos: Any, sin: Any) -> Any:
        """Return queries or keys turned by the angles of their places."""
        left, right = x.chunk(2, dim=-1)
        return x * cos + self.torch.cat((-right, left), dim=-1) * sin

    def _softmax(self, q: Any, keys: Any, values: Any, past: int) -> Any:
        """Return what causal attention sees: one fused kernel, or two products with a softmax between them."""
        f, new = self.torch.nn.functional, q.shape[2]
        mask = None
        if new > 1:
            places = self.torch.arange(past, past + new, device=q.device)[:, None]
            mask = places >= self.torch.arange(past + new, device=q.device)
        if self.fused:
            plain = mask is not None and past == 0
            return f.scaled_dot_product_attention(
                q, keys, values, attn_mask=None if plain else mask, is_causal=plain, enable_gqa=True
            )
        shared = self.d.heads // self.d.kv_heads
        if shared > 1:
            keys, values = keys.repeat_interleave(shared, dim=1), values.repeat_interleave(shared, dim=1)
        scores = self.torch.matmul(q, keys.transpose(2, 3)) * self.d.head_dim**-0.5
        if mask is not None:
            scores = scores.masked_fill(~mask, float("-inf"))
        return self.torch.matmul(scores.softmax(dim=-1, dtype=self.torch.float32).to(q.dtype), values)
