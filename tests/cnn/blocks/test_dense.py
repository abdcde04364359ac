"""DenseNet's layer and transition held to torchvision's, by copying weights across."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import nn
from torchvision.models import densenet

from facegen.cnn.blocks.dense import DenseLayer, Transition

Copy = Callable[[nn.Module, nn.Module], None]
Randomise = Callable[[nn.Module], nn.Module]


def test_dense_layer_adds_torchvisions_channels_to_its_input(copy_in_order: Copy, randomise: Randomise) -> None:
    theirs = randomise(densenet._DenseLayer(6, growth_rate=4, bn_size=4, drop_rate=0))
    ours = DenseLayer(6, 4).eval()
    copy_in_order(theirs, ours)
    x = torch.randn(2, 6, 5, 5)
    torch.testing.assert_close(ours(x), torch.cat([x, theirs(x)], 1))


def test_transition_is_torchvisions(copy_in_order: Copy, randomise: Randomise) -> None:
    theirs = randomise(densenet._Transition(8, 4))
    ours = Transition(8, 4).eval()
    copy_in_order(theirs, ours)
    x = torch.randn(2, 8, 7, 7)
    torch.testing.assert_close(ours(x), theirs(x))


def test_what_came_before_is_kept_without_a_norm_too() -> None:
    x = torch.full((1, 2, 3, 3), -1.0)
    assert (DenseLayer(2, 1, norm=None)(x)[:, :2] == -1).all()
