"""The inverted residual block of MobileNetV2 and EfficientNet."""

from __future__ import annotations

from torch import Tensor, nn

from ..layers import Activation, ConvNormAct, Norm


class InvertedResidual(nn.Module):
    """A 1×1 expansion, a depthwise k×k convolution and a linear 1×1 projection, with a shortcut if shapes agree.

    Sandler et al., MobileNetV2, arXiv:1801.04381, figure 3; This is EfficientNet-Lite's block, without
    squeeze-and-excitation and with ReLU6. With an ``expansion`` of 1 there is no expansion convolution. [B, C, H, W]
    → [B, K, ⌈H/stride⌉, ⌈W/stride⌉].
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: int = 3,
        *,
        stride: int = 1,
        expansion: int = 6,
        norm: Norm = "batch",
        activation: Activation = "relu6",
    ) -> None:
        super().__init__()
        width = in_channels * expansion
        self.expand = (
            ConvNormAct(in_channels, width, 1, norm=norm, activation=activation) if expansion != 1 else nn.Identity()
        )
        self.depthwise = ConvNormAct(
            width, width, kernel_size, stride=stride, groups=width, norm=norm, activation=activation
        )
        self.project = ConvNormAct(width, out_channels, 1, norm=norm, activation=None)
        self.has_shortcut = stride == 1 and in_channels == out_channels

    def forward(self, x: Tensor) -> Tensor:
        y = self.project(self.depthwise(self.expand(x)))
        return x + y if self.has_shortcut else y
