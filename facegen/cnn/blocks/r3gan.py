"""R3GAN's layers: a residual block without norm, filtered resampling, and the learned maps at 4×4.

Huang et al., arXiv:2501.05441, figure 2c, and the authors' code, https://github.com/brownvc/R3GAN.
"""

from __future__ import annotations

from math import sqrt
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..layers import ConvNormAct, Norm, WeightNorm, normalise_weight

#: The gain that keeps the variance through LeakyReLU(0.2). He et al., arXiv:1502.01852, section 2.2.
LEAKY_GAIN = sqrt(2 / (1 + 0.2**2))
#: Number of channels per group in the 3×3 convolutions.
GROUP = 16


class R3GANBlock(nn.Module):
    """R3GAN's residual block: 1×1 to twice the channels, 3×3 in groups of 16, 1×1 back: y = x + F(x).

    Huang et al., arXiv:2501.05441, figure 2c: a bias and LeakyReLU(0.2) follow the first two convolutions; there is
    no norm. Weights are initialised as in Fix-up (Zhang et al., arXiv:1901.09321): N(0, gain²/fan-in) with the gain
    of LeakyReLU times blocks^(−1/4) in the first two convolutions, and 0 in the last, so that the block starts as the
    identity. [B, C, H, W] → [B, C, H, W].

    Args:
        channels: Channels of the input and the output. Groups are larger if 16 does not divide twice this number.
        blocks: Number of residual blocks in the whole network.
        norm: The norm, see :func:`.make_norm`. The published block has none. A norm replaces the biases.
        weight_norm: The weight norm of all three convolutions, see :func:`.normalise_weight`. With a weight norm, the
            last convolution starts with a gain of 1, because a weight of zeros has no direction to keep.
    """

    def __init__(self, channels: int, *, blocks: int, norm: Norm = None, weight_norm: WeightNorm = None) -> None:
        super().__init__()
        wide = 2 * channels
        groups = max(count for count in range(1, max(wide // GROUP, 1) + 1) if wide % count == 0)
        self.conv1 = ConvNormAct(channels, wide, 1, norm=norm, activation="leaky_relu")
        self.conv2 = ConvNormAct(wide, wide, 3, groups=groups, norm=norm, activation="leaky_relu")
        self.conv3 = nn.Conv2d(wide, channels, 1, bias=False)
        gain = LEAKY_GAIN * blocks**-0.25
        for block in (self.conv1, self.conv2):
            normalise_weight(init_msr_(block.get_submodule("conv"), gain), weight_norm)
        normalise_weight(init_msr_(self.conv3, 0.0 if weight_norm is None else 1.0), weight_norm)

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.conv3(self.conv2(self.conv1(x)))
        return x + y


class FilteredUpsample(nn.Module):
    """Doubles height and width by bilinear interpolation, with zeros beyond the borders.

    It is a transposed depthwise convolution with [1, 3, 3, 1]/4 along both axes, which equals the authors' [1, 2, 1]
    after doubling each pixel. [B, C, H, W] → [B, C, 2H, 2W].
    """

    weight: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("weight", _low_pass() * 4, persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = _Spread.apply(x, self.weight)
        return y


class FilteredDownsample(nn.Module):
    """Halves height and width after the filter of :class:`FilteredUpsample`, whose transpose it is.

    It is a depthwise convolution with [1, 3, 3, 1]/8 along both axes. [B, C, H, W] → [B, C, H/2, W/2] for even sizes.
    """

    weight: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("weight", _low_pass(), persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = _Gather.apply(x, self.weight)
        return y


def _low_pass() -> Tensor:
    line = torch.tensor([1.0, 3.0, 3.0, 1.0]) / 8
    return torch.outer(line, line)[None, None]


# Each is the derivative of the other. torch's second derivative of a depthwise convolution takes about ten times as
# long.


class _Gather(torch.autograd.Function):
    @staticmethod
    def forward(x: Tensor, weight: Tensor) -> Tensor:
        channels = x.shape[1]
        return F.conv2d(x, weight.to(x.dtype).expand(channels, 1, 4, 4), stride=2, padding=1, groups=channels)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Tensor, Tensor], output: Tensor) -> None:
        ctx.save_for_backward(inputs[1])

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None]:
        return _Spread.apply(gradients[0], *ctx.saved_tensors), None


class _Spread(torch.autograd.Function):
    @staticmethod
    def forward(x: Tensor, weight: Tensor) -> Tensor:
        channels = x.shape[1]
        return F.conv_transpose2d(x, weight.to(x.dtype).expand(channels, 1, 4, 4), stride=2, padding=1, groups=channels)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Tensor, Tensor], output: Tensor) -> None:
        ctx.save_for_backward(inputs[1])

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None]:
        return _Gather.apply(gradients[0], *ctx.saved_tensors), None


class GenerativeBasis(nn.Module):
    """One learned 4×4 map per channel, initially N(0, 1), scaled by the input: [B, C] → [B, C, 4, 4].

    Huang et al., arXiv:2501.05441, figure 2c.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(channels, 4, 4))

    def forward(self, scales: Tensor) -> Tensor:
        return self.weight * scales[:, :, None, None]


class DiscriminativeBasis(nn.Module):
    """One learned 4×4 map per channel, initially N(0, 1/16), that weights the positions: [B, C, 4, 4] → [B, C].

    Huang et al., arXiv:2501.05441, figure 2c. It equals a depthwise convolution, but torch would compute that one's
    second derivatives channel by channel.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(channels, 4, 4) / 4)

    def forward(self, x: Tensor) -> Tensor:
        return (x * self.weight).sum((2, 3))


def init_msr_(layer: nn.Module, gain: float = 1.0) -> nn.Module:
    """Initialise weights as N(0, gain²/fan-in) and biases as 0, in place. Return the convolution or linear layer.

    He et al., arXiv:1502.01852, equation 10.
    """
    weight = layer.get_parameter("weight")
    nn.init.normal_(weight, 0.0, gain / sqrt(weight[0].numel()))
    if layer.bias is not None:
        nn.init.zeros_(layer.get_parameter("bias"))
    return layer
