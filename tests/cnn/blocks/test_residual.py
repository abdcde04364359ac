"""Residual blocks held to torchvision's, by copying weights across."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import nn
from torchvision.models import resnet

from facegen.cnn.blocks.residual import BasicBlock, Bottleneck

Copy = Callable[[nn.Module, nn.Module], None]
Randomise = Callable[[nn.Module], nn.Module]


def test_basic_block_is_torchvisions(copy_in_order: Copy, randomise: Randomise) -> None:
    projection = nn.Sequential(nn.Conv2d(8, 16, 1, 2, bias=False), nn.BatchNorm2d(16))
    theirs = randomise(resnet.BasicBlock(8, 16, stride=2, downsample=projection))
    ours = BasicBlock(8, 16, stride=2).eval()
    copy_in_order(theirs, ours)
    x = torch.randn(2, 8, 10, 10)
    torch.testing.assert_close(ours(x), theirs(x))


def test_bottleneck_is_torchvisions(copy_in_order: Copy, randomise: Randomise) -> None:
    projection = nn.Sequential(nn.Conv2d(8, 16, 1, 2, bias=False), nn.BatchNorm2d(16))
    theirs = randomise(resnet.Bottleneck(8, 4, stride=2, downsample=projection))
    ours = Bottleneck(8, 4, stride=2).eval()
    # torchvision's block registers its layers as conv1, bn1, conv2, … in the order of ours.
    copy_in_order(theirs, ours)
    x = torch.randn(2, 8, 10, 10)
    torch.testing.assert_close(ours(x), theirs(x))


def test_an_identity_shortcut_has_no_parameters() -> None:
    assert sum(parameter.numel() for parameter in BasicBlock(8, 8).shortcut.parameters()) == 0
