"""Blocks held to torchvision's, by copying weights across."""

from __future__ import annotations

import pytest
import torch
from torch import nn
from torchvision.models import mobilenetv2, resnet

from facegen.cnn.blocks import BasicBlock, Bottleneck, DownBlock, InvertedResidual, UpBlock


def copy_in_order(source: nn.Module, target: nn.Module) -> None:
    """Give ``target`` the weights of ``source``, whose tensors come in the same order and shapes."""
    ours, theirs = target.state_dict(), list(source.state_dict().values())
    assert [tensor.shape for tensor in ours.values()] == [tensor.shape for tensor in theirs]
    target.load_state_dict(dict(zip(ours, theirs, strict=True)))


def randomised(module: nn.Module) -> nn.Module:
    torch.manual_seed(0)
    for parameter in module.parameters():
        nn.init.uniform_(parameter, -0.5, 0.5)
    return module


def test_basic_block_is_torchvisions() -> None:
    projection = nn.Sequential(nn.Conv2d(8, 16, 1, 2, bias=False), nn.BatchNorm2d(16))
    theirs = randomised(resnet.BasicBlock(8, 16, stride=2, downsample=projection))
    ours = BasicBlock(8, 16, stride=2)
    copy_in_order(theirs, ours)
    x = torch.randn(2, 8, 10, 10)
    torch.testing.assert_close(ours(x), theirs(x))


def test_bottleneck_is_torchvisions() -> None:
    projection = nn.Sequential(nn.Conv2d(8, 16, 1, 2, bias=False), nn.BatchNorm2d(16))
    theirs = randomised(resnet.Bottleneck(8, 4, stride=2, downsample=projection))
    ours = Bottleneck(8, 4, stride=2)
    # torchvision's block registers its layers as conv1, bn1, conv2, … in the order of ours.
    copy_in_order(theirs, ours)
    x = torch.randn(2, 8, 10, 10)
    torch.testing.assert_close(ours(x), theirs(x))


@pytest.mark.parametrize(("expansion", "stride"), [(1, 1), (6, 1), (6, 2)])
def test_inverted_residual_is_torchvisions(expansion: int, stride: int) -> None:
    theirs = randomised(mobilenetv2.InvertedResidual(8, 8, stride, expansion))
    ours = InvertedResidual(8, 8, stride=stride, expansion=expansion)
    copy_in_order(theirs, ours)
    x = torch.randn(2, 8, 10, 10)
    torch.testing.assert_close(ours(x), theirs(x))


def test_an_identity_shortcut_has_no_parameters() -> None:
    assert sum(parameter.numel() for parameter in BasicBlock(8, 8).shortcut.parameters()) == 0


def test_up_doubles_and_down_halves() -> None:
    x = torch.randn(2, 6, 8, 8)
    assert UpBlock(6, 3)(x).shape == (2, 3, 16, 16)
    assert DownBlock(6, 12)(x).shape == (2, 12, 4, 4)
