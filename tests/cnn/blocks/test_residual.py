"""Residual blocks held to torchvision's, by copying weights across, and to the papers' equations in plain torch."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torchvision.models import resnet

from facegen.cnn.blocks.residual import (
    BasicBlock,
    Bottleneck,
    PadShortcut,
    PreActBasicBlock,
    PreActBottleneck,
    PreActivation,
)

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


def test_option_a_skips_pixels_and_adds_channels_of_zeros() -> None:
    x = torch.arange(9.0).reshape(1, 1, 3, 3)
    zeros = [[0, 0], [0, 0]]
    assert PadShortcut(1, 3, stride=2)(x)[0].tolist() == [[[0, 2], [6, 8]], zeros, zeros]


@pytest.mark.parametrize("block", [BasicBlock, Bottleneck, PreActBasicBlock, PreActBottleneck])
@pytest.mark.parametrize(("in_channels", "shortcut"), [(8, "projection"), (8, "pad"), (4, "pad")])
def test_the_identity_and_option_a_have_no_parameters(block: type[BasicBlock], in_channels: int, shortcut: str) -> None:
    module = block(in_channels, 8 // block.expansion, shortcut=shortcut).shortcut
    assert sum(parameter.numel() for parameter in module.parameters()) == 0


@pytest.mark.parametrize("block", [BasicBlock, Bottleneck])
def test_a_plain_block_is_its_convolutions(block: type[BasicBlock], randomise: Randomise) -> None:
    plain, x = randomise(block(4, 4, stride=2, shortcut=None)), torch.randn(2, 4, 6, 6)
    expected = x
    for layer in plain.children():
        expected = layer(expected)
    torch.testing.assert_close(plain(x), expected)


def test_an_unknown_shortcut_is_an_error() -> None:
    with pytest.raises(ValueError, match="unknown shortcut 'padding': projection, pad or None"):
        BasicBlock(1, 1, shortcut="padding")


def relu_norm(x: Tensor, norm: nn.Module) -> Tensor:
    return F.relu(F.batch_norm(x, norm.running_mean, norm.running_var, norm.weight, norm.bias))


@pytest.mark.parametrize(("in_channels", "stride"), [(8, 1), (8, 2), (4, 1)])
def test_pre_activated_basic_block_is_the_papers_equation(randomise: Randomise, in_channels: int, stride: int) -> None:
    block, x = randomise(PreActBasicBlock(in_channels, 8, stride=stride)), torch.randn(2, in_channels, 6, 6)
    activated = relu_norm(x, block.preact.norm)
    y = F.conv2d(activated, block.conv1.conv.weight, stride=stride, padding=1)
    y = F.conv2d(relu_norm(y, block.conv1.norm), block.conv2.weight, padding=1)
    changes = (in_channels, stride) != (8, 1)
    shortcut = F.conv2d(activated, block.shortcut.conv.weight, stride=stride) if changes else x
    torch.testing.assert_close(block(x), shortcut + y)


@pytest.mark.parametrize(("in_channels", "stride"), [(8, 1), (8, 2), (4, 1)])
def test_pre_activated_bottleneck_is_the_papers_equation(randomise: Randomise, in_channels: int, stride: int) -> None:
    block, x = randomise(PreActBottleneck(in_channels, 2, stride=stride)), torch.randn(2, in_channels, 6, 6)
    activated = relu_norm(x, block.preact.norm)
    y = F.conv2d(activated, block.conv1.conv.weight)
    y = F.conv2d(relu_norm(y, block.conv1.norm), block.conv2.conv.weight, stride=stride, padding=1)
    y = F.conv2d(relu_norm(y, block.conv2.norm), block.conv3.weight)
    changes = (in_channels, stride) != (8, 1)
    shortcut = F.conv2d(activated, block.shortcut.conv.weight, stride=stride) if changes else x
    torch.testing.assert_close(block(x), shortcut + y)


def test_pre_activation_with_option_a_pads_the_activated_input(randomise: Randomise) -> None:
    block, x = randomise(PreActBasicBlock(4, 6, stride=2, shortcut="pad")), torch.randn(2, 4, 6, 6)
    activated = relu_norm(x, block.preact.norm)
    padded = torch.cat([activated[:, :, ::2, ::2], torch.zeros(2, 2, 3, 3)], 1)
    torch.testing.assert_close(block(x), padded + block.conv2(block.conv1(activated)))


@pytest.mark.parametrize("norm", ["batch", None])
def test_pre_activation_leaves_the_shortcuts_input_alone(norm: str | None) -> None:
    x = torch.full((2, 4, 3, 3), -1.0)
    PreActivation(4, norm=norm)(x)
    assert (x == -1).all()
