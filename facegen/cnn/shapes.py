"""The arithmetic of convolutional networks: sizes, receptive fields, parameters and activation memory.

Plain integers in and out, one dimension at a time: a 2-D layer is two calls. The formulas are those of
Dumoulin and Visin, "A guide to convolution arithmetic for deep learning" (arXiv:1603.07285).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from math import prod


def output_size(
    size: int, kernel: int, *, stride: int = 1, padding: int = 0, dilation: int = 1, exact: bool = False
) -> int:
    """Positions of a convolution or pooling window along one dimension: ``floor((W − F + 2P)/S) + 1``.

    With dilation D the window spans ``D(F − 1) + 1`` pixels. ``exact`` makes a stride that does not fit an error,
    as on the lecture's slide, where torch would drop the remainder.

    Raises:
        ValueError: the window is larger than the padded input, or ``exact`` and the stride does not fit; the
            message shows the arithmetic.
    """
    span = dilation * (kernel - 1) + 1
    room = size - span + 2 * padding
    if room < 0:
        raise ValueError(
            f"cannot apply a filter spanning {span} to size {size} with padding {padding}: "
            f"{size} + 2·{padding} is smaller than {span}"
        )
    if exact and room % stride:
        raise ValueError(
            f"cannot apply a {kernel}×{kernel} filter at stride {stride} to {size}×{size}"
            f"{f' with padding {padding}' if padding else ''}: "
            f"({size} − {span}{f' + 2·{padding}' if padding else ''})/{stride} + 1 = {room / stride + 1:.2f}"
        )
    return room // stride + 1


def transposed_output_size(
    size: int, kernel: int, *, stride: int = 1, padding: int = 0, output_padding: int = 0, dilation: int = 1
) -> int:
    """Size after a transposed convolution: ``(W − 1)S − 2P + D(F − 1) + output_padding + 1``.

    Raises:
        ValueError: nothing is left of the output.
    """
    result = (size - 1) * stride - 2 * padding + dilation * (kernel - 1) + output_padding + 1
    if result < 1:
        raise ValueError(
            f"a transposed {kernel}-wide filter at stride {stride} and padding {padding} leaves nothing of size {size}"
        )
    return result


def same_padding(kernel: int, *, dilation: int = 1) -> int:
    """The padding that keeps the size at stride 1: ``D(F − 1)/2``.

    Raises:
        ValueError: the window spans an even number of pixels, for which no symmetric padding exists.
    """
    reach = dilation * (kernel - 1)
    if reach % 2:
        raise ValueError(f"no symmetric padding keeps the size for a filter spanning {reach + 1}, an even number")
    return reach // 2


@dataclass(frozen=True)
class ReceptiveField:
    """How much of the input one output unit sees: its ``size`` in pixels, and the ``stride`` between neighbours."""

    size: int = 1
    stride: int = 1

    def through(self, kernel: int, *, stride: int = 1, dilation: int = 1) -> ReceptiveField:
        """After one more convolution or pooling: the field grows by ``D(F − 1)`` times the stride so far."""
        return ReceptiveField(self.size + dilation * (kernel - 1) * self.stride, self.stride * stride)


def receptive_field(layers: Iterable[tuple[int, int]]) -> ReceptiveField:
    """The receptive field of a chain of (kernel, stride) layers, first layer first."""
    field = ReceptiveField()
    for kernel, stride in layers:
        field = field.through(kernel, stride=stride)
    return field


def convolution_parameters(
    in_channels: int, out_channels: int, kernel: Sequence[int], *, groups: int = 1, bias: bool = True
) -> int:
    """Weights and biases of a convolution: ``F²CK/groups + K`` for a square 2-D kernel, any dimension here."""
    return prod(kernel) * in_channels * out_channels // groups + (out_channels if bias else 0)


def convolution_macs(
    in_channels: int, out_channels: int, kernel: Sequence[int], output: Sequence[int], *, groups: int = 1
) -> int:
    """Multiply-adds of a convolution for one image: its weights, once for every output position."""
    return convolution_parameters(in_channels, out_channels, kernel, groups=groups, bias=False) * prod(output)


def activation_bytes(shapes: Iterable[Sequence[int]], *, batch: int = 1, bytes_per_value: int = 4) -> int:
    """Memory of the activations that training keeps for the backward pass.

    Args:
        shapes: each layer's output without the batch dimension, such as ``(64, 32, 32)``.
        batch: images in the batch.
        bytes_per_value: 4 for float32, 2 for bfloat16 and float16.
    """
    return batch * bytes_per_value * sum(prod(shape) for shape in shapes)
