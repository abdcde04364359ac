"""Held to torchvision's, by copying weights across."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import nn
from torchvision.models import mobilenetv2

from facegen.cnn.blocks.inverted_residual import InvertedResidual

Copy = Callable[[nn.Module, nn.Module], None]
Randomise = Callable[[nn.Module], nn.Module]


@pytest.mark.parametrize(("expansion", "stride"), [(1, 1), (6, 1), (6, 2)])
def test_inverted_residual_is_torchvisions(
    copy_in_order: Copy, randomise: Randomise, expansion: int, stride: int
) -> None:
    theirs = randomise(mobilenetv2.InvertedResidual(8, 8, stride, expansion))
    ours = InvertedResidual(8, 8, stride=stride, expansion=expansion).eval()
    copy_in_order(theirs, ours)
    x = torch.randn(2, 8, 10, 10)
    torch.testing.assert_close(ours(x), theirs(x))
