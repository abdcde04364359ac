"""DenseNet's layer and transition. Huang et al., arXiv:1608.06993."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from ..layers import Activation, ConvNormAct, Norm
from ..pooling import make_pool
from .residual import PreActivation


class DenseLayer(nn.Module):
    """Appends ``growth`` channels computed from all earlier ones: y = [x, F(x)].

    Huang et al., arXiv:1608.06993, section 3. F is norm, activation, 1×1 to ``4 × growth`` (the bottleneck), then
    norm, activation, 3×3. [B, C, H, W] → [B, C + growth, H, W].
    """

    bottleneck = 4

    def __init__(self, in_channels: int, growth: int, *, norm: Norm = "batch", activation: Activation = "relu") -> None:
        super().__init__()
        width = self.bottleneck * growth
        self.preact = PreActivation(in_channels, norm=norm, activation=activation)
        self.conv1 = ConvNormAct(in_channels, width, 1, norm=norm, activation=activation)
        self.conv2 = nn.Conv2d(width, growth, 3, padding=1, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        return torch.cat([x, self.conv2(self.conv1(self.preact(x)))], 1)


class Transition(PreActivation):
    """Norm, activation, a 1×1 convolution and 2×2 average pooling. Huang et al., arXiv:1608.06993, section 3.

    [B, C, H, W] → [B, K, H/2, W/2]; ``out_channels`` is C/2 in the paper's networks.
    """

    def __init__(
        self, in_channels: int, out_channels: int, *, norm: Norm = "batch", activation: Activation = "relu"
    ) -> None:
        super().__init__(in_channels, norm=norm, activation=activation)
        self.add_module("conv", nn.Conv2d(in_channels, out_channels, 1, bias=False))
        self.add_module("pool", make_pool("average", 2))
