"""Multilayer perceptron: `depth` square layers of one width, the simplest network that batches."""

from __future__ import annotations

from dataclasses import dataclass

from perfmodel.ops import Group, Op, Pass


@dataclass(frozen=True)
class MLP:
    """Linear layers with a ReLU behind each. `bias` adds one vector per layer; its addition is not counted."""

    depth: int = 8
    width: int = 1024
    bias: bool = False

    def __post_init__(self) -> None:
        """Refuse a network without layers or features."""
        if self.depth < 1 or self.width < 1:
            raise ValueError(f"depth={self.depth} and width={self.width} must be at least 1")

    @property
    def name(self) -> str:
        """What a reader calls it."""
        return f"MLP {self.depth} × {self.width:,}"

    @property
    def parameters(self) -> int:
        """Weights and biases: depth (width² + width with bias)."""
        return self.depth * self.width * (self.width + self.bias)

    def ops(self, run: Pass) -> tuple[Op, ...]:
        """List the operators of one pass over `run.work.tokens` inputs; the layers share one entry."""
        linear = run.matmul("linear", Group.FFN, float(self.width), float(self.width))
        if run.kernels.fused_elementwise:
            # The ReLU runs in the epilogue of the matrix product.
            return (linear.repeated(float(self.depth)),)
        values = run.work.tokens * self.width
        relu = run.elementwise("relu", Group.FFN, 2.0 * values, flops=values)
        return linear.repeated(float(self.depth)), relu.repeated(float(self.depth))
