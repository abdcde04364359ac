from __future__ import annotations

import torch

from facegen.cnn.blocks.gan import DownBlock, UpBlock


def test_up_doubles_and_down_halves() -> None:
    x = torch.randn(2, 6, 8, 8)
    assert UpBlock(6, 3)(x).shape == (2, 3, 16, 16)
    assert DownBlock(6, 12)(x).shape == (2, 12, 4, 4)
