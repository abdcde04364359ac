from __future__ import annotations

import pytest
import torch
from torch import nn

from facegen.cnn.blocks.gan import DownBlock, GlobalSumPool, ResidualDownBlock, ResidualUpBlock, UpBlock


def test_up_doubles_and_down_halves() -> None:
    x = torch.randn(2, 6, 8, 8)
    assert UpBlock(6, 3)(x).shape == (2, 3, 16, 16)
    assert DownBlock(6, 12)(x).shape == (2, 12, 4, 4)


@pytest.mark.parametrize("norm", ["batch", None])
@pytest.mark.parametrize("first", [True, False])
def test_residual_blocks_leave_their_input_alone(norm: str | None, first: bool) -> None:
    x = torch.full((2, 6, 8, 8), -1.0)
    ResidualUpBlock(6, 3, norm=norm)(x)
    ResidualDownBlock(6, 12, norm=norm, first=first)(x)
    assert (x == -1).all()


def test_the_first_down_block_has_all_channels_at_once() -> None:
    widths = [ResidualDownBlock(3, 8, first=first).conv1.conv.out_channels for first in (True, False)]
    assert widths == [8, 3]


def test_spectral_norm_reaches_every_convolution() -> None:
    layers = [layer for layer in ResidualDownBlock(4, 6).modules() if isinstance(layer, nn.Conv2d)]
    assert len(layers) == 3
    assert all(nn.utils.parametrize.is_parametrized(layer, "weight") for layer in layers)


def test_sum_pool_by_hand() -> None:
    assert GlobalSumPool()(torch.arange(8.0).reshape(1, 2, 2, 2)).tolist() == [[6, 22]]
