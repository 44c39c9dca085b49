"""A small real decoder with random weights, as the articles ran on a T4: over model, batch and context.

The dimensions are those of models of the catalogue, so that a row can be asked of the model; each step runs eagerly,
launch by launch, and as one CUDA graph.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from perfmodel.dimensions import Dimensions
from perfmodel.measure.timing import Task
from perfmodel.model import MODELS

#: Width and depth vary together with the model, batch and cached tokens on the middle one.
SIZES = ("qwen2.5-0.5b", "llama-3.2-1b", "llama-3.2-3b")
GRID = ((1, 128), (1, 2048), (8, 2048), (32, 512))


def tasks(torch: Any, device: str, graphed: Callable[[Callable[[], object]], Callable[[], object]]) -> Iterator[Task]:
    """Yield decode steps: every model at batch 1, the grid on the middle one; eagerly and as a graph."""
    cases = [(id, 1, 512) for id in SIZES] + [(SIZES[1], batch, context) for batch, context in GRID]
    for id, batch, context in cases:
        fields = {"model": id, "batch": batch, "input_len": context, "output_len": 2, "weight_dtype": "bf16",
                  "kv_dtype": "bf16"}  # fmt: skip
        for engine in ("eager", "fused") if device == "cuda" else ("eager",):
            yield Task("tpot", fields | {"engine": engine}, _step(torch, device, id, batch, context, engine, graphed))


def _step(
    torch: Any, device: str, id: str, batch: int, context: int, engine: str, graphed: Callable[..., Any]
) -> Callable[[], Callable[[], object]]:
    def prepare() -> Callable[[], object]:
        step = Decoder(torch, MODELS[id].dimensions, device, batch, context).step
        return graphed(step) if engine == "fused" else step

    return prepare


class Decoder:
    """Weights and cache of one model; `step` computes one token of every sequence."""

    def __init__(self, torch: Any, d: Dimensions, device: str, batch: int, context: int) -> None:
        """Draw weights once: their values do not matter, their bytes do."""
        self.torch, self.d, self.batch = torch, d, batch

        def draw(*shape: int) -> Any:
            return torch.randn(shape, device=device, dtype=torch.bfloat16) / d.hidden**0.5

        inner, kept = d.heads * d.head_dim, d.kv_heads * d.head_dim
        self.embedding, self.head = draw(d.vocab, d.hidden), draw(d.vocab, d.hidden)
        self.layers = [
            (draw(inner + 2 * kept, d.hidden), draw(d.hidden, inner), draw(2 * d.ffn, d.hidden), draw(d.hidden, d.ffn))
            for _ in range(d.layers)
        ]
        shape = (batch, d.kv_heads, context, d.head_dim)
        self.cache = [(draw(*shape), draw(*shape)) for _ in range(d.layers)]
        self.token = torch.zeros(batch, dtype=torch.long, device=device)

    def step(self) -> Any:
        """Return the logits of the next token of every sequence; the newest entry of the cache is overwritten."""
        f, d = self.torch.nn.functional, self.d
        x = self.embedding[self.token]
        for (qkv, out, up, down), (keys, values) in zip(self.layers, self.cache, strict=True):
            widths = (d.heads * d.head_dim, d.kv_heads * d.head_dim, d.kv_heads * d.head_dim)
            q, k, v = f.linear(f.rms_norm(x, (d.hidden,)), qkv).split(widths, dim=-1)
            keys[:, :, -1] = k.view(self.batch, d.kv_heads, d.head_dim)
            values[:, :, -1] = v.view(self.batch, d.kv_heads, d.head_dim)
            rows = q.view(self.batch, d.heads, 1, d.head_dim)
            seen = f.scaled_dot_product_attention(rows, keys, values, enable_gqa=True)
            x = x + f.linear(seen.reshape(self.batch, -1), out)
            gate, middle = f.linear(f.rms_norm(x, (d.hidden,)), up).chunk(2, dim=-1)
            x = x + f.linear(f.silu(gate) * middle, down)
        return f.linear(f.rms_norm(x, (d.hidden,)), self.head)
