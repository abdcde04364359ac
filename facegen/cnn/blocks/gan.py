"""Blocks of generators and discriminators that double or halve the size: DCGAN's, SNGAN's and self-modulated ones."""

from __future__ import annotations

from math import sqrt

import torch
from torch import Tensor, nn
from torch.nn.functional import relu

from ..initialisers import init_normal_, init_xavier_
from ..layers import Activation, ConvNormAct, Norm, WeightNorm, normalise_weight
from .residual import PreActivation

#: Number of hidden units of the network that maps the latent to a norm's scale and shift, as in the paper.
HIDDEN = 32


class UpBlock(ConvNormAct):
    """DCGAN's generator block: doubles height and width by a transposed 4×4 convolution at stride 2.

    The kernel size is a multiple of the stride, so every output pixel has equally many inputs, and overlap causes no
    checkerboard pattern. [B, C, H, W] → [B, K, 2H, 2W].
    """

    def __init__(
        self, in_channels: int, out_channels: int, *, norm: Norm = "batch", activation: Activation = "relu"
    ) -> None:
        super().__init__(
            in_channels,
            out_channels,
            4,
            stride=2,
            padding=1,
            bias=False,
            norm=norm,
            activation=activation,
            transposed=True,
        )


class DownBlock(ConvNormAct):
    """DCGAN's discriminator block: halves height and width by a 4×4 convolution at stride 2.

    [B, C, H, W] → [B, K, H/2, W/2] for even sizes.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        *,
        norm: Norm = "batch",
        weight_norm: WeightNorm = None,
        activation: Activation = "leaky_relu",
    ) -> None:
        super().__init__(
            in_channels,
            out_channels,
            4,
            stride=2,
            padding=1,
            bias=False,
            norm=norm,
            weight_norm=weight_norm,
            activation=activation,
        )


class ResidualUpBlock(nn.Module):
    """SNGAN's generator block, which doubles height and width: y = F(x) + 1×1(upsample(x)).

    Miyato et al., arXiv:1802.05957, appendix B.4; F is norm → ReLU → upsample → 3×3 → norm → ReLU → 3×3. Upsampling
    repeats pixels, as in the authors' code (https://github.com/pfnet-research/sngan_projection), and weights are
    initialised as there. [B, C, H, W] → [B, K, 2H, 2W].
    """

    def __init__(self, in_channels: int, out_channels: int, *, norm: Norm = "batch") -> None:
        super().__init__()
        self.preact = PreActivation(in_channels, norm=norm)
        self.upsample = nn.Upsample(scale_factor=2)
        # The authors keep biases although a norm subtracts them again.
        self.conv1 = ConvNormAct(in_channels, out_channels, 3, bias=True, norm=norm)
        self.conv2 = nn.Conv2d(out_channels, out_channels, 3, padding=1)
        self.shortcut = nn.Conv2d(in_channels, out_channels, 1)
        _init_residual(self.conv1.get_submodule("conv"), self.conv2, self.shortcut, None)

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.conv2(self.conv1(self.upsample(self.preact(x))))
        # The authors upsample first, which gives the same values with four times the work.
        return y + self.upsample(self.shortcut(x))


class SelfModulatedNorm(nn.Module):
    """BatchNorm whose scale and shift are functions of the latent: γ(z) ⊙ (h − μ)/σ + β(z).

    Chen et al., arXiv:1810.01365, equations 1 to 3: a network with one hidden layer of 32 ReLUs maps the latent to
    both. The scale is 1 + the network's output, which starts small, so the layer starts close to BatchNorm. [B, C, H,
    W], [B, latent_dim] → [B, C, H, W].
    """

    def __init__(self, channels: int, latent_dim: int) -> None:
        super().__init__()
        self.norm = nn.BatchNorm2d(channels, affine=False)
        self.hidden = nn.Linear(latent_dim, HIDDEN)
        self.modulation = nn.Linear(HIDDEN, 2 * channels)
        init_xavier_(self.hidden)
        init_normal_(self.modulation)

    def forward(self, x: Tensor, latents: Tensor) -> Tensor:
        normalised = self.norm(x)
        scale, shift = self.modulation(relu(self.hidden(latents))).to(normalised.dtype)[:, :, None, None].chunk(2, 1)
        return torch.addcmul(shift, normalised, 1 + scale)


class SelfModulatedUpBlock(nn.Module):
    """SNGAN's generator block (:class:`ResidualUpBlock`) with both norms modulated.

    [B, C, H, W], [B, latent_dim] → [B, K, 2H, 2W].
    """

    def __init__(self, in_channels: int, out_channels: int, latent_dim: int) -> None:
        super().__init__()
        self.norm1 = SelfModulatedNorm(in_channels, latent_dim)
        self.upsample = nn.Upsample(scale_factor=2)
        self.conv1 = nn.Conv2d(in_channels, out_channels, 3, padding=1)
        self.norm2 = SelfModulatedNorm(out_channels, latent_dim)
        self.conv2 = nn.Conv2d(out_channels, out_channels, 3, padding=1)
        self.shortcut = nn.Conv2d(in_channels, out_channels, 1)
        _init_residual(self.conv1, self.conv2, self.shortcut, None)

    def forward(self, x: Tensor, latents: Tensor) -> Tensor:
        y = self.conv1(self.upsample(relu(self.norm1(x, latents))))
        y = self.conv2(relu(self.norm2(y, latents)))
        result: Tensor = y + self.upsample(self.shortcut(x))
        return result


class ResidualDownBlock(nn.Module):
    """SNGAN's discriminator block, which halves height and width: y = pool(F(x)) + 1×1(pool(x)).

    Miyato et al., arXiv:1802.05957, appendix B.4; F is ReLU → 3×3 → ReLU → 3×3, and pool is 2×2 average pooling.
    [B, C, H, W] → [B, K, H/2, W/2] for even sizes.

    Args:
        norm: The norm before each ReLU, see :func:`.make_norm`. The published block has none.
        weight_norm: The weight norm of all three convolutions, see :func:`.normalise_weight`.
        first: The input is the image. It gets no activation, and the first 3×3 has the full number of channels.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        *,
        norm: Norm = None,
        weight_norm: WeightNorm = "spectral",
        first: bool = False,
    ) -> None:
        super().__init__()
        hidden = out_channels if first else in_channels
        self.preact = nn.Identity() if first else PreActivation(in_channels, norm=norm)
        self.conv1 = ConvNormAct(in_channels, hidden, 3, norm=norm)
        self.conv2 = nn.Conv2d(hidden, out_channels, 3, padding=1)
        self.pool = nn.AvgPool2d(2)
        self.shortcut = nn.Conv2d(in_channels, out_channels, 1)
        _init_residual(self.conv1.get_submodule("conv"), self.conv2, self.shortcut, weight_norm)

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.pool(self.conv2(self.conv1(self.preact(x))))
        # Averages commute with a 1×1 convolution. The authors pool after it, except in the first block.
        return y + self.shortcut(self.pool(x))


class GlobalSumPool(nn.Module):
    """The sum over all positions: [B, C, H, W] → [B, C]. Miyato et al., arXiv:1802.05957, appendix B.4."""

    def forward(self, x: Tensor) -> Tensor:
        return x.sum((2, 3))


def _init_residual(conv1: nn.Module, conv2: nn.Module, shortcut: nn.Module, weight_norm: WeightNorm) -> None:
    """Initialise as the authors do.

    Weights are Xavier uniform with gain √2 in the 3×3 convolutions and 1 in the shortcut. Biases are 0.
    """
    for layer, gain in ((conv1, sqrt(2)), (conv2, sqrt(2)), (shortcut, 1.0)):
        nn.init.xavier_uniform_(layer.get_parameter("weight"), gain)
        if layer.bias is not None:
            nn.init.zeros_(layer.get_parameter("bias"))
        # This comes last, so that the power iteration starts from these weights.
        normalise_weight(layer, weight_norm)
