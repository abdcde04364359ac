"""Held to the lecture's worked figures and to what torch computes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.flop_counter import FlopCounterMode

from facegen.cnn.layers import CONVOLUTIONS, TRANSPOSED
from facegen.cnn.shapes import (
    ReceptiveField,
    activation_bytes,
    convolution_macs,
    convolution_parameters,
    output_shape,
    output_size,
    per_dimension,
    receptive_field,
    same_padding,
    transposed_output_shape,
    transposed_output_size,
)


class TestLecture:
    def test_volume_of_32_with_ten_5x5_filters(self) -> None:
        assert output_shape((32, 32), 5, stride=1, padding=2) == (32, 32)
        assert convolution_parameters(3, 10, (5, 5)) == 760

    def test_alexnet_table_of_sizes(self) -> None:
        sizes = [227]
        for kernel, stride, padding in [(11, 4, 0), (3, 2, 0), (5, 1, 2), (3, 2, 0), (3, 1, 1), (3, 2, 0)]:
            sizes.append(output_size(sizes[-1], kernel, stride=stride, padding=padding, exact=True))
        assert sizes == [227, 55, 27, 27, 13, 13, 6]

    def test_three_3x3_see_as_much_as_one_7x7_with_fewer_parameters(self) -> None:
        assert receptive_field([(3, 1)] * 3) == receptive_field([(7, 1)])
        assert 3 * convolution_parameters(8, 8, (3, 3)) < convolution_parameters(8, 8, (7, 7))

    def test_inception_bottleneck_parameters(self) -> None:
        assert convolution_parameters(32, 64, (3, 3), bias=False) == 18_432
        parts = [convolution_parameters(32, 16, (1, 1), bias=False), convolution_parameters(16, 64, (3, 3), bias=False)]
        assert sum(parts) == 9_728

    def test_alexnets_first_linear_layer_is_a_convolution_without_positions(self) -> None:
        assert convolution_parameters(256 * 6 * 6, 4096, ()) == 37_752_832

    def test_macs_of_a_5x5_layer(self) -> None:
        # Each of the 32×32×10 outputs is a dot product of 5·5·3 numbers.
        assert convolution_macs(3, 10, (5, 5), (32, 32)) == 32 * 32 * 10 * 75

    def test_activation_memory_counts_the_batch(self) -> None:
        assert activation_bytes([(64, 32, 32), (10,)], batch=2, bytes_per_value=2) == 2 * 2 * (65536 + 10)

    def test_a_stride_that_does_not_fit_shows_the_arithmetic(self) -> None:
        with pytest.raises(ValueError, match=r"3×3 filter at stride 3 to 7×7: \(7 − 3\)/3 \+ 1 = 2\.33$"):
            output_size(7, 3, stride=3, exact=True)

    def test_a_stride_that_does_not_fit_shows_the_padding(self) -> None:
        with pytest.raises(ValueError, match=r"to 7×7 with padding 1: \(7 − 3 \+ 2·1\)/4 \+ 1 = 2\.50$"):
            output_size(7, 3, stride=4, padding=1, exact=True)


class TestReceptiveField:
    def test_vgg16s_features_see_212(self) -> None:
        # Araujo et al., "Computing Receptive Fields of Convolutional Neural Networks", Distill 2019, table 1.
        field = ReceptiveField()
        for convolutions in (2, 2, 3, 3, 3):
            for _ in range(convolutions):
                field = field.through(3, padding=1)
            field = field.through(2, stride=2)
        assert (field.size, field.stride, field.start) == (212, 32, -90)

    def test_resnet50s_stem_is_centred_on_the_first_pixels(self) -> None:
        stem = ReceptiveField().through(7, stride=2, padding=3)
        assert stem == ReceptiveField(7, 2, -3) and stem.centre == 0
        assert stem.through(3, stride=2, padding=1) == ReceptiveField(11, 4, -5)

    def test_dilation_widens_it(self) -> None:
        # Yu and Koltun, arXiv:1511.07122, figure 1: 3×3 at dilations 1, 2 and 4 see 3, 7 and 15.
        sizes, field = [], ReceptiveField()
        for dilation in (1, 2, 4):
            field = field.through(3, dilation=dilation)
            sizes.append(field.size)
        assert sizes == [3, 7, 15]


class TestErrors:
    def test_a_window_larger_than_the_input(self) -> None:
        with pytest.raises(ValueError, match=r"3 \+ 2·0 is smaller than 5"):
            output_size(3, 5)

    def test_a_transposed_convolution_that_crops_everything(self) -> None:
        with pytest.raises(ValueError, match="nothing of size 1"):
            transposed_output_size(1, 2, padding=1)

    def test_even_kernels_have_no_same_padding(self) -> None:
        with pytest.raises(ValueError, match="even"):
            same_padding(4)

    def test_a_kernel_of_other_dimensions_than_the_input(self) -> None:
        with pytest.raises(ValueError, match=r"3 numbers \(3, 3, 3\) for 2 dimensions"):
            output_shape((8, 8), (3, 3, 3))


def test_one_number_stands_for_every_dimension() -> None:
    assert per_dimension(3, 2) == (3, 3) and per_dimension([1, 2], 2) == (1, 2)


def sized(low: int, high: int, dims: int) -> st.SearchStrategy[tuple[int, ...]]:
    return st.tuples(*[st.integers(low, high)] * dims)


DIMS = st.integers(1, 3)
RANDOM = settings(deadline=None, derandomize=True)


@settings(RANDOM, max_examples=500)
@given(st.data(), DIMS)
def test_output_shape_is_what_torchs_convolution_computes(data: st.DataObject, dims: int) -> None:
    shape, kernel, stride, padding, dilation = (
        data.draw(sized(*bounds, dims)) for bounds in ((1, 14), (1, 5), (1, 4), (0, 4), (1, 3))
    )
    layer = CONVOLUTIONS[dims](1, 1, kernel, stride, padding, dilation, device="meta")
    expected = shape_or_none(layer, torch.empty(1, 1, *shape, device="meta"))
    assert or_none(output_shape, shape, kernel, stride=stride, padding=padding, dilation=dilation) == expected


@settings(RANDOM, max_examples=500)
@given(st.data(), DIMS)
def test_transposed_output_shape_is_what_torch_computes(data: st.DataObject, dims: int) -> None:
    shape, kernel, stride, padding, dilation = (
        data.draw(sized(*bounds, dims)) for bounds in ((1, 9), (1, 5), (1, 4), (0, 3), (1, 3))
    )
    extra = tuple(data.draw(st.integers(0, max(pair) - 1)) for pair in zip(stride, dilation, strict=True))
    layer = TRANSPOSED[dims](1, 1, kernel, stride, padding, extra, dilation=dilation, device="meta")
    expected = shape_or_none(layer, torch.empty(1, 1, *shape, device="meta"))
    options = {"stride": stride, "padding": padding, "output_padding": extra, "dilation": dilation}
    assert or_none(transposed_output_shape, shape, kernel, **options) == expected


@settings(RANDOM, max_examples=500)
@given(st.data(), DIMS, st.booleans())
def test_output_shape_is_what_torchs_pooling_computes(data: st.DataObject, dims: int, ceil_mode: bool) -> None:
    shape, kernel, stride, dilation = (data.draw(sized(*bounds, dims)) for bounds in ((1, 12), (1, 5), (1, 5), (1, 2)))
    padding = tuple(data.draw(st.integers(0, k // 2)) for k in kernel)
    pool = (F.max_pool1d, F.max_pool2d, F.max_pool3d)[dims - 1]
    expected = shape_or_none(lambda x: pool(x, kernel, stride, padding, dilation, ceil_mode), torch.zeros(1, 1, *shape))
    options: dict[str, Any] = {"stride": stride, "padding": padding, "dilation": dilation, "ceil_mode": ceil_mode}
    assert or_none(output_shape, shape, kernel, **options) == expected


def shape_or_none(layer: Callable[[Tensor], Tensor], x: Tensor) -> tuple[int, ...] | None:
    """The output's positions, or None where torch says that nothing is left."""
    try:
        shape = tuple(layer(x).shape[2:])
    except RuntimeError:
        return None
    return shape if all(shape) else None


def or_none(function: Callable[..., tuple[int, ...]], *args: object, **options: Any) -> tuple[int, ...] | None:
    try:
        return function(*args, **options)
    except ValueError:
        return None


LAYERS = st.lists(st.tuples(*(st.integers(*bounds) for bounds in ((1, 4), (1, 3), (0, 3), (1, 2)))), max_size=4)


@settings(RANDOM, max_examples=300)
@given(LAYERS)
def test_receptive_field_is_where_the_gradient_is(layers: list[tuple[int, int, int, int]]) -> None:
    x = torch.zeros(1, 1, 1200, dtype=torch.float64, requires_grad=True)
    y: Tensor = x
    field = ReceptiveField()
    for kernel, stride, padding, dilation in layers:
        weight = torch.ones(1, 1, kernel, dtype=torch.float64)  # positive, so that no two paths cancel
        y = F.conv1d(y, weight, stride=stride, padding=padding, dilation=dilation)
        field = field.through(kernel, stride=stride, padding=padding, dilation=dilation)
    middle = y.shape[2] // 2  # far from the border, where padding hides a part of the field
    (gradient,) = torch.autograd.grad(y[0, 0, middle], x)
    seen = gradient[0, 0].nonzero()
    first = field.start + middle * field.stride
    assert (seen.min().item(), seen.max().item()) == (first, first + field.size - 1)


@settings(RANDOM, max_examples=250)
@given(st.data(), DIMS, st.booleans(), st.booleans())
def test_parameters_and_macs_are_those_of_the_layer(
    data: st.DataObject, dims: int, transposed: bool, bias: bool
) -> None:
    groups, inputs, outputs = (data.draw(st.integers(1, 3)) for _ in range(3))
    inputs, outputs, kernel = inputs * groups, outputs * groups, data.draw(sized(1, 3, dims))
    shape = data.draw(sized(3, 6, dims))
    layer = (TRANSPOSED if transposed else CONVOLUTIONS)[dims](
        inputs, outputs, kernel, stride=2, groups=groups, bias=bias, device="meta"
    )
    with FlopCounterMode(display=False) as counter:
        y = layer(torch.empty(1, inputs, *shape, device="meta"))
    positions = shape if transposed else tuple(y.shape[2:])
    assert convolution_macs(inputs, outputs, kernel, positions, groups=groups) == counter.get_total_flops() / 2
    assert convolution_parameters(inputs, outputs, kernel, groups=groups, bias=bias) == count(layer)


def count(layer: nn.Module) -> int:
    return sum(parameter.numel() for parameter in layer.parameters())


@settings(RANDOM, max_examples=100)
@given(st.integers(1, 9), st.integers(1, 4))
def test_same_padding_keeps_the_size_at_stride_1(kernel: int, dilation: int) -> None:
    assume(dilation * (kernel - 1) % 2 == 0)
    assert output_size(20, kernel, padding=same_padding(kernel, dilation=dilation), dilation=dilation) == 20
