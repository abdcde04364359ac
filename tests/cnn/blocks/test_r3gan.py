"""Resampling held to the reference: a convolution of each map with StyleGAN2's filter, written out in plain torch."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from facegen.cnn.blocks.r3gan import FilteredDownsample, FilteredUpsample

LINE = torch.tensor([1.0, 3, 3, 1], dtype=torch.float64) / 8


def reference_up(x: Tensor) -> Tensor:
    """Zeros between the pixels, then the filter with a gain of 4; zeros beyond the borders too."""
    spread = torch.zeros(*x.shape[:2], 2 * x.shape[2], 2 * x.shape[3], dtype=x.dtype)
    spread[:, :, ::2, ::2] = x
    padded = F.pad(spread, (2, 1, 2, 1))
    windows = padded.unfold(2, 4, 1).unfold(3, 4, 1)
    return 4 * torch.einsum("bchwij,i,j->bchw", windows, LINE, LINE)


def reference_down(x: Tensor) -> Tensor:
    windows = F.pad(x, (1, 1, 1, 1)).unfold(2, 4, 2).unfold(3, 4, 2)
    return torch.einsum("bchwij,i,j->bchw", windows, LINE, LINE)


@pytest.mark.parametrize(
    ("layer", "reference"), [(FilteredUpsample(), reference_up), (FilteredDownsample(), reference_down)]
)
@pytest.mark.parametrize("memory_format", [torch.contiguous_format, torch.channels_last])
def test_equals_the_filter_to_the_borders(
    layer: nn.Module, reference: Callable[[Tensor], Tensor], memory_format: torch.memory_format
) -> None:
    x = torch.randn(2, 3, 4, 6, dtype=torch.float64).contiguous(memory_format=memory_format)
    y = layer(x)
    torch.testing.assert_close(y, reference(x))
    assert y.is_contiguous(memory_format=memory_format)


def test_up_is_bilinear_interpolation_inside() -> None:
    x = torch.randn(2, 3, 4, 4, dtype=torch.float64)
    expected = F.interpolate(x, scale_factor=2, mode="bilinear", align_corners=False)
    torch.testing.assert_close(FilteredUpsample()(x)[:, :, 1:-1, 1:-1], expected[:, :, 1:-1, 1:-1])


@pytest.mark.parametrize("layer", [FilteredUpsample(), FilteredDownsample()])
def test_gradients_of_any_order(layer: nn.Module) -> None:
    x = torch.randn(1, 2, 4, 4, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(layer, x) and torch.autograd.gradgradcheck(layer, x)
