"""Convolutional networks layer by layer: each convolution is a matrix product over output pixels."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

from perfmodel.formulas.types import Real
from perfmodel.ops import Group, Op, Pass

RGB = 3


@dataclass(frozen=True)
class Conv:
    """`count` equal square convolutions `inputs` -> `outputs` channels on an image of `size` x `size` pixels.

    No bias, padding k // 2 (or `padding`), a batch norm behind it, then a ReLU if `relu`; `skip` adds a residual first.
    """

    name: str
    inputs: int
    outputs: int
    kernel: int
    stride: int
    size: int
    count: int = 1
    relu: bool = True
    skip: bool = False
    padding: int | None = None

    @cached_property
    def output_size(self) -> int:
        """Height and width of the output [pixels]."""
        padding = self.kernel // 2 if self.padding is None else self.padding
        return (self.size + 2 * padding - self.kernel) // self.stride + 1

    @property
    def reuse(self) -> int:
        """How often one image uses each weight: once per output pixel."""
        return self.output_size**2

    @property
    def weights(self) -> int:
        """Weights of one convolution: k² C_in C_out."""
        return self.kernel**2 * self.inputs * self.outputs

    @property
    def parameters(self) -> int:
        """Weights of one convolution and the scale and shift of its batch norm."""
        return self.weights + 2 * self.outputs

    def weight_intensity(self, batch: Real, bytes_per_weight: float) -> Real:
        """Return the FLOPs per byte of weights: two per use [FLOP/B]."""
        return 2.0 * self.reuse * batch / bytes_per_weight

    def product(self, run: Pass) -> Op:
        """Return the convolution alone: an implicit matrix product, its patches never written to memory."""
        pixels = run.work.tokens * float(self.reuse)
        k, n = float(self.kernel**2 * self.inputs), float(self.outputs)
        moved = run.work.tokens * float(self.size**2 * self.inputs) + pixels * n
        return Op(
            self.name,
            Group.FFN,
            "matmul",
            "linear",
            count=float(self.count),
            flops=run.linear_flops(pixels, k, n),
            weight_bytes=k * n * run.precision.weight_bytes,
            activation_bytes=moved * run.precision.activation_bytes,
            shape=(pixels, k, n),
        )

    def ops(self, run: Pass) -> tuple[Op, ...]:
        """List convolution, batch norm, residual addition and ReLU; fused, all but the first ride along with it."""
        values = run.work.tokens * float(self.reuse * self.outputs)
        product = self.product(run)
        if run.kernels.fused_elementwise:
            # Batch norm folds into the weights, the ReLU into the epilogue; the residual must still be read.
            skip = run.elementwise(f"{self.name} residual", Group.NORMS, values, flops=values, launches=0)
            return (product, skip.repeated(float(self.count))) if self.skip else (product,)
        moved, vectors = 2.0 * values, 2.0 * self.outputs
        parts = [run.elementwise(f"{self.name} norm", Group.NORMS, moved, flops=2.0 * values, weights=vectors)]
        if self.skip:
            parts.append(run.elementwise(f"{self.name} residual", Group.NORMS, 3.0 * values, flops=values))
        if self.relu:
            parts.append(run.elementwise(f"{self.name} relu", Group.NORMS, moved, flops=values))
        return (product, *(part.repeated(float(self.count)) for part in parts))


def pooling(run: Pass, name: str, channels: int, size: int, output_size: int, window: int) -> Op:
    """Return a pooling layer: one comparison or addition per pixel of each window, every input read once."""
    read, written = run.work.tokens * float(channels * size**2), run.work.tokens * float(channels * output_size**2)
    return run.elementwise(name, Group.NORMS, read + written, flops=written * float(window**2))


@dataclass(frozen=True)
class ResNet:
    """Bottleneck residual network, stride on the 3 x 3 convolution (v1.5). `blocks`: per stage."""

    name: str = "ResNet-50"
    blocks: tuple[int, int, int, int] = (3, 4, 6, 3)
    image: int = 224
    classes: int = 1000

    @cached_property
    def stem(self) -> Conv:
        """The first convolution: 7 x 7, stride 2."""
        return Conv("conv1", RGB, 64, 7, 2, self.image)

    @cached_property
    def pooled(self) -> int:
        """Image size behind the first pooling, 3 x 3 with stride 2 [pixels]."""
        return (self.stem.output_size - 1) // 2 + 1

    @cached_property
    def layers(self) -> tuple[Conv, ...]:
        """Every convolution; equal ones of a stage share one entry."""
        found, inputs, size = [self.stem], self.stem.outputs, self.pooled
        for index, blocks in enumerate(self.blocks):
            width, stride = 64 * 2**index, 1 if index == 0 else 2
            name, wide = f"layer{index + 1}", 4 * width
            first = bottleneck(f"{name}.0", inputs, width, stride, size)
            shortcut = Conv(f"{name}.0.downsample", inputs, wide, 1, stride, size, relu=False)
            size, inputs = first[1].output_size, wide
            found += [*first, shortcut, *bottleneck(f"{name}.1+", inputs, width, 1, size, blocks - 1)]
        return tuple(layer for layer in found if layer.count)

    @property
    def features(self) -> int:
        """Channels behind the last stage."""
        return self.layers[-1].outputs

    @property
    def parameters(self) -> int:
        """Convolutions, batch norms and the classifier with its bias."""
        return sum(layer.count * layer.parameters for layer in self.layers) + (self.features + 1) * self.classes

    def ops(self, run: Pass) -> tuple[Op, ...]:
        """List the operators of one pass over `run.work.tokens` images."""
        stem, *body = self.layers
        last = body[-1].output_size
        return (
            *stem.ops(run),
            pooling(run, "maxpool", stem.outputs, stem.output_size, self.pooled, 3),
            *(op for layer in body for op in layer.ops(run)),
            pooling(run, "avgpool", self.features, last, 1, last),
            run.matmul("fc", Group.HEAD, float(self.features), float(self.classes)),
        )


def bottleneck(name: str, inputs: int, width: int, stride: int, size: int, count: int = 1) -> tuple[Conv, Conv, Conv]:
    """Return the three convolutions of `count` equal residual blocks: 1 x 1 down, 3 x 3, 1 x 1 up to 4 `width`."""
    middle = Conv(f"{name}.conv2", width, width, 3, stride, size, count)
    return (
        Conv(f"{name}.conv1", inputs, width, 1, 1, size, count),
        middle,
        Conv(f"{name}.conv3", width, 4 * width, 1, 1, middle.output_size, count, skip=True),
    )


RESNET_50 = ResNet()
RESNET_101 = ResNet("ResNet-101", (3, 4, 23, 3))
RESNET_152 = ResNet("ResNet-152", (3, 8, 36, 3))
