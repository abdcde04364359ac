"""Held to the lecture's worked figures and to what torch computes."""

from __future__ import annotations

import pytest
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from torch.nn import functional as F

from facegen.cnn.shapes import (
    activation_bytes,
    convolution_macs,
    convolution_parameters,
    output_size,
    receptive_field,
    same_padding,
    transposed_output_size,
)


def test_lecture_volume_of_32_with_ten_5x5_filters() -> None:
    assert output_size(32, 5, stride=1, padding=2) == 32
    assert convolution_parameters(3, 10, (5, 5)) == 760


def test_alexnet_table_of_sizes() -> None:
    sizes = [227]
    for kernel, stride, padding in [(11, 4, 0), (3, 2, 0), (5, 1, 2), (3, 2, 0), (3, 1, 1), (3, 2, 0)]:
        sizes.append(output_size(sizes[-1], kernel, stride=stride, padding=padding, exact=True))
    assert sizes == [227, 55, 27, 27, 13, 13, 6]


def test_three_3x3_see_as_much_as_one_7x7_with_fewer_parameters() -> None:
    assert receptive_field([(3, 1)] * 3) == receptive_field([(7, 1)])
    assert 3 * convolution_parameters(8, 8, (3, 3)) < convolution_parameters(8, 8, (7, 7))


def test_receptive_field_of_vgg16_features_is_212() -> None:
    # Araujo et al., "Computing Receptive Fields of Convolutional Neural Networks", Distill 2019, table 1: 212.
    stages = [2, 2, 3, 3, 3]
    layers = [layer for convs in stages for layer in [(3, 1)] * convs + [(2, 2)]]
    assert (receptive_field(layers).size, receptive_field(layers).stride) == (212, 32)


def test_inception_bottleneck_parameters() -> None:
    assert convolution_parameters(32, 64, (3, 3), bias=False) == 18_432
    bottleneck = convolution_parameters(32, 16, (1, 1), bias=False) + convolution_parameters(16, 64, (3, 3), bias=False)
    assert bottleneck == 9_728


def test_macs_of_a_5x5_layer() -> None:
    # Each of the 32×32×10 outputs is a dot product of 5·5·3 numbers.
    assert convolution_macs(3, 10, (5, 5), (32, 32)) == 32 * 32 * 10 * 75


def test_activation_memory_counts_the_batch() -> None:
    assert activation_bytes([(64, 32, 32), (10,)], batch=2, bytes_per_value=2) == 2 * 2 * (65536 + 10)


def test_a_stride_that_does_not_fit_shows_the_arithmetic() -> None:
    with pytest.raises(ValueError, match=r"3×3 filter at stride 3 to 7×7: \(7 − 3\)/3 \+ 1 = 2\.33"):
        output_size(7, 3, stride=3, exact=True)


def test_a_window_larger_than_the_input_is_an_error() -> None:
    with pytest.raises(ValueError, match="smaller than 5"):
        output_size(3, 5)


def test_even_kernels_have_no_same_padding() -> None:
    with pytest.raises(ValueError, match="even"):
        same_padding(4)


@settings(max_examples=150, deadline=None, derandomize=True)
@given(st.integers(1, 40), st.integers(1, 7), st.integers(1, 4), st.integers(0, 4), st.integers(1, 3))
def test_output_size_is_what_torch_computes(size: int, kernel: int, stride: int, padding: int, dilation: int) -> None:
    assume(size + 2 * padding >= dilation * (kernel - 1) + 1)
    x, weight = torch.zeros(1, 1, size), torch.zeros(1, 1, kernel)
    y = F.conv1d(x, weight, stride=stride, padding=padding, dilation=dilation)
    assert output_size(size, kernel, stride=stride, padding=padding, dilation=dilation) == y.shape[2]


@settings(max_examples=150, deadline=None, derandomize=True)
@given(st.integers(1, 20), st.integers(1, 7), st.integers(1, 4), st.integers(0, 3), st.integers(1, 3), st.data())
def test_transposed_output_size_is_what_torch_computes(
    size: int, kernel: int, stride: int, padding: int, dilation: int, data: st.DataObject
) -> None:
    extra = data.draw(st.integers(0, max(stride, dilation) - 1))
    assume((size - 1) * stride - 2 * padding + dilation * (kernel - 1) + extra + 1 > 0)
    x, weight = torch.zeros(1, 1, size), torch.zeros(1, 1, kernel)
    y = F.conv_transpose1d(x, weight, stride=stride, padding=padding, output_padding=extra, dilation=dilation)
    mine = transposed_output_size(size, kernel, stride=stride, padding=padding, output_padding=extra, dilation=dilation)
    assert mine == y.shape[2]
