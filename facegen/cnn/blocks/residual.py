"""Residual blocks: a few convolutions beside a shortcut, so that depth does not harm."""

from __future__ import annotations

from torch import Tensor, nn

from facegen.cnn.layers import Activation, ConvNormAct, Norm, make_activation


def _shortcut(in_channels: int, out_channels: int, stride: int, norm: Norm) -> nn.Module:
    """ResNet's option B: the identity where shapes agree, else a 1×1 projection."""
    if stride == 1 and in_channels == out_channels:
        return nn.Identity()
    return ConvNormAct(in_channels, out_channels, 1, stride=stride, norm=norm, activation=None)


class BasicBlock(nn.Module):
    """Two 3×3 convolutions and a shortcut: y = act(F(x) + x). He et al., arXiv:1512.03385, figure 5 left.

    [B, C, H, W] → [B, K, ⌈H/stride⌉, ⌈W/stride⌉].
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        *,
        stride: int = 1,
        norm: Norm = "batch",
        activation: Activation = "relu",
    ) -> None:
        super().__init__()
        self.conv1 = ConvNormAct(in_channels, out_channels, 3, stride=stride, norm=norm, activation=activation)
        self.conv2 = ConvNormAct(out_channels, out_channels, 3, norm=norm, activation=None)
        self.shortcut = _shortcut(in_channels, out_channels, stride, norm)
        self.act = make_activation(activation) or nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        return self.act(self.conv2(self.conv1(x)) + self.shortcut(x))


class Bottleneck(nn.Module):
    """1×1 down, 3×3, 1×1 up to ``4 × width``, and a shortcut. He et al., arXiv:1512.03385, figure 5 right.

    The stride sits on the 3×3, as in torchvision ("ResNet v1.5"). [B, C, H, W] → [B, 4·width, ⌈H/s⌉, ⌈W/s⌉].
    """

    expansion = 4

    def __init__(
        self, in_channels: int, width: int, *, stride: int = 1, norm: Norm = "batch", activation: Activation = "relu"
    ) -> None:
        super().__init__()
        out_channels = self.expansion * width
        self.conv1 = ConvNormAct(in_channels, width, 1, norm=norm, activation=activation)
        self.conv2 = ConvNormAct(width, width, 3, stride=stride, norm=norm, activation=activation)
        self.conv3 = ConvNormAct(width, out_channels, 1, norm=norm, activation=None)
        self.shortcut = _shortcut(in_channels, out_channels, stride, norm)
        self.act = make_activation(activation) or nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        return self.act(self.conv3(self.conv2(self.conv1(x))) + self.shortcut(x))
