"""The arithmetic of convolutional networks: sizes, receptive fields, parameters, multiply-adds, activation memory.

Inputs and outputs are plain integers. ``*_size`` and :class:`ReceptiveField` treat one dimension, as on a slide.
``*_shape`` treats all dimensions of an image or a video, and one number stands for all of them. The formulas are
those of Dumoulin and Visin, "A guide to convolution arithmetic for deep learning" (arXiv:1603.07285).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from math import prod

#: One number for all dimensions, or one per dimension.
Size = int | Sequence[int]


def output_size(
    size: int,
    kernel: int,
    *,
    stride: int = 1,
    padding: int = 0,
    dilation: int = 1,
    ceil_mode: bool = False,
    exact: bool = False,
) -> int:
    """Return the output size of a convolution or pooling along one dimension: ``floor((W − F + 2P)/S) + 1``.

    With dilation D the window spans ``D(F − 1) + 1`` pixels.

    Args:
        ceil_mode: Round up instead, as pooling can. This adds a window that extends beyond the padded input, if it
            still starts on the input or on the padding before it.
        exact: Raise an error if the stride does not fit, as on the lecture's slide. torch drops the remainder.

    Raises:
        ValueError: No window fits the padded input, or the stride does not fit with ``exact``. The message shows the
            arithmetic.
    """
    span = dilation * (kernel - 1) + 1
    slack = size - span + 2 * padding
    if exact and slack >= 0 and slack % stride:
        raise ValueError(
            f"cannot apply a {kernel}×{kernel} filter at stride {stride} to {size}×{size}"
            f"{f' with padding {padding}' if padding else ''}: "
            f"({size} − {span}{f' + 2·{padding}' if padding else ''})/{stride} + 1 = {slack / stride + 1:.2f}"
        )
    result = slack // stride + 1
    if ceil_mode and slack % stride and result * stride < size + padding:
        result += 1
    if result < 1:
        raise ValueError(
            f"cannot apply a filter spanning {span} to size {size} with padding {padding}: "
            f"{size} + 2·{padding} is smaller than {span}"
        )
    return result


def output_shape(
    shape: Sequence[int],
    kernel: Size,
    *,
    stride: Size = 1,
    padding: Size = 0,
    dilation: Size = 1,
    ceil_mode: bool = False,
    exact: bool = False,
) -> tuple[int, ...]:
    """Apply :func:`output_size` to every dimension.

    For example, ``output_shape((224, 224), 7, stride=2, padding=3) == (112, 112)``.
    """
    settings = (per_dimension(value, len(shape)) for value in (kernel, stride, padding, dilation))
    return tuple(
        output_size(size, k, stride=s, padding=p, dilation=d, ceil_mode=ceil_mode, exact=exact)
        for size, k, s, p, d in zip(shape, *settings, strict=True)
    )


def transposed_output_size(
    size: int, kernel: int, *, stride: int = 1, padding: int = 0, output_padding: int = 0, dilation: int = 1
) -> int:
    """Return the output size of a transposed convolution: ``(W − 1)S − 2P + D(F − 1) + output_padding + 1``.

    Raises:
        ValueError: The output would be empty.
    """
    result = (size - 1) * stride - 2 * padding + dilation * (kernel - 1) + output_padding + 1
    if result < 1:
        raise ValueError(
            f"a transposed {kernel}-wide filter at stride {stride} and padding {padding} leaves nothing of size {size}"
        )
    return result


def transposed_output_shape(
    shape: Sequence[int],
    kernel: Size,
    *,
    stride: Size = 1,
    padding: Size = 0,
    output_padding: Size = 0,
    dilation: Size = 1,
) -> tuple[int, ...]:
    """Apply :func:`transposed_output_size` to every dimension."""
    settings = (per_dimension(value, len(shape)) for value in (kernel, stride, padding, output_padding, dilation))
    return tuple(
        transposed_output_size(size, k, stride=s, padding=p, output_padding=extra, dilation=d)
        for size, k, s, p, extra, d in zip(shape, *settings, strict=True)
    )


def same_padding(kernel: int, *, dilation: int = 1) -> int:
    """Return the padding that keeps the size at stride 1: ``D(F − 1)/2``.

    Raises:
        ValueError: The window spans an even number of pixels, for which no symmetric padding exists.
    """
    reach = dilation * (kernel - 1)
    if reach % 2:
        raise ValueError(f"no symmetric padding keeps the size for a filter spanning {reach + 1}, an even number")
    return reach // 2


def per_dimension(value: Size, dims: int) -> tuple[int, ...]:
    """Repeat ``value`` for each of ``dims`` dimensions. ValueError if it is a sequence of another length."""
    values = (value,) * dims if isinstance(value, int) else tuple(value)
    if len(values) != dims:
        raise ValueError(f"{len(values)} numbers {values} for {dims} dimensions")
    return values


@dataclass(frozen=True)
class ReceptiveField:
    """The receptive field of a unit along one dimension.

    Araujo, Norris and Sim, Computing Receptive Fields of Convolutional Neural Networks (Distill 2019). Transposed
    convolutions are not supported, because neighbouring outputs can depend on different numbers of inputs.

    Attributes:
        size: Number of pixels from the first to the last that matters.
        stride: Distance between the fields of neighbouring units, in pixels.
        start: First pixel of the first unit. It is negative on padding.
    """

    size: int = 1
    stride: int = 1
    start: int = 0

    @property
    def centre(self) -> float:
        """The centre of the first unit's field. 0 is the centre of the first pixel."""
        return self.start + (self.size - 1) / 2

    def through(self, kernel: int, *, stride: int = 1, padding: int = 0, dilation: int = 1) -> ReceptiveField:
        """Return the field after one more convolution or pooling: it grows by ``D(F − 1)`` times the stride so far."""
        return ReceptiveField(
            self.size + dilation * (kernel - 1) * self.stride,
            self.stride * stride,
            self.start - padding * self.stride,
        )


def receptive_field(layers: Iterable[tuple[int, int]]) -> ReceptiveField:
    """Return the receptive field of a chain of (kernel, stride) layers without padding, first layer first."""
    field = ReceptiveField()
    for kernel, stride in layers:
        field = field.through(kernel, stride=stride)
    return field


def convolution_parameters(
    in_channels: int, out_channels: int, kernel: Sequence[int], *, groups: int = 1, bias: bool = True
) -> int:
    """Return the number of weights and biases of a convolution: ``F²CK/groups + K`` for a square 2-D kernel.

    Any number of dimensions is supported. A transposed convolution has the same number. A linear layer is a
    convolution with the kernel ``()``.
    """
    return prod(kernel) * in_channels * out_channels // groups + (out_channels if bias else 0)


def convolution_macs(
    in_channels: int, out_channels: int, kernel: Sequence[int], output: Sequence[int], *, groups: int = 1
) -> int:
    """Return the multiply-adds of a convolution for one image: its weights times the positions of ``output``.

    A transposed convolution uses its weights once per position of its input. Pass the input's shape as ``output``.
    """
    return convolution_parameters(in_channels, out_channels, kernel, groups=groups, bias=False) * prod(output)


def activation_bytes(shapes: Iterable[Sequence[int]], *, batch: int = 1, bytes_per_value: int = 4) -> int:
    """Return the memory of the activations that training keeps for the backward pass, in bytes.

    Args:
        shapes: Output shape of each layer without the batch dimension, such as ``(64, 32, 32)``.
        batch: Number of images in the batch.
        bytes_per_value: 4 for float32, 2 for bfloat16 and float16.
    """
    return batch * bytes_per_value * sum(prod(shape) for shape in shapes)
