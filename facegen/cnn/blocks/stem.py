"""The stem of networks for photographs."""

from __future__ import annotations

from torch import nn

from ..classifier import SMALL
from ..layers import ConvNormAct, Norm
from ..pooling import make_pool


def stem(in_channels: int, width: int, size: int, *, norm: Norm = "batch") -> nn.Sequential:
    """Build ``stem``, 7×7 at stride 2, and ``pool``, 3×3 max pooling at stride 2: the start of ResNet and DenseNet.

    He et al., arXiv:1512.03385, table 1. For images up to 96 pixels the stem is 3×3 at stride 1 (section 4.2 there)
    and there is no ``pool``. [B, C, H, W] → [B, width, ⌈H/4⌉, ⌈W/4⌉], or the size of the input.
    """
    layers = nn.Sequential()
    if size > SMALL:
        layers.add_module("stem", ConvNormAct(in_channels, width, 7, stride=2, norm=norm))
        layers.add_module("pool", make_pool("max", 3, stride=2, padding=1))
    else:
        layers.add_module("stem", ConvNormAct(in_channels, width, 3, norm=norm))
    return layers
