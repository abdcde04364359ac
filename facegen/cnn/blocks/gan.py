"""Blocks that double or halve an image, for generators and discriminators: DCGAN's, SNGAN's and self-modulated."""

from __future__ import annotations

from math import sqrt

import torch
from torch import Tensor, nn
from torch.nn.functional import relu

from ..initialisers import init_normal_, init_xavier_
from ..layers import Activation, ConvNormAct, Norm, WeightNorm, normalise_weight
from .residual import PreActivation

#: Hidden units of what makes a norm's scale and shift of the latent: the paper's.
HIDDEN = 32


class UpBlock(ConvNormAct):
    """Twice the height and width by a transposed 4×4 convolution at stride 2: DCGAN's generator block.

    The kernel is a multiple of the stride, so every output pixel has as many inputs (no checkerboard from overlap).
    [B, C, H, W] → [B, K, 2H, 2W].
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
    """Half the height and width by a 4×4 convolution at stride 2: DCGAN's discriminator block.

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
    """Twice the height and width: SNGAN's generator block, y = F(x) + 1×1(upsample(x)).

    Miyato et al., arXiv:1802.05957, appendix B.4; F is norm → ReLU → upsample → 3×3 → norm → ReLU → 3×3. Upsampling
    repeats pixels, as in the authors' code (https://github.com/pfnet-research/sngan_projection), and weights start as
    theirs. [B, C, H, W] → [B, K, 2H, 2W].
    """

    def __init__(self, in_channels: int, out_channels: int, *, norm: Norm = "batch") -> None:
        super().__init__()
        self.preact = PreActivation(in_channels, norm=norm)
        self.upsample = nn.Upsample(scale_factor=2)
        # The authors keep the biases that a norm subtracts again.
        self.conv1 = ConvNormAct(in_channels, out_channels, 3, bias=True, norm=norm)
        self.conv2 = nn.Conv2d(out_channels, out_channels, 3, padding=1)
        self.shortcut = nn.Conv2d(in_channels, out_channels, 1)
        _init_residual(self.conv1.get_submodule("conv"), self.conv2, self.shortcut, None)

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.conv2(self.conv1(self.upsample(self.preact(x))))
        # The authors upsample first: the same numbers from four times the work.
        return y + self.upsample(self.shortcut(x))


class SelfModulatedNorm(nn.Module):
    """BatchNorm whose scale and shift are functions of the latent: γ(z) ⊙ (h − μ)/σ + β(z).

    Chen et al., arXiv:1810.01365, equations 1 to 3: of the latent, one hidden layer of 32 ReLUs makes both. The scale
    is 1 + what that network says, which starts small: the layer starts near BatchNorm. [B, C, H, W], [B, latent_dim] →
    [B, C, H, W].
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
    """Half the height and width: SNGAN's discriminator block, y = pool(F(x)) + 1×1(pool(x)).

    Miyato et al., arXiv:1802.05957, appendix B.4; F is ReLU → 3×3 → ReLU → 3×3, pool the average of 2×2.
    [B, C, H, W] → [B, K, H/2, W/2] for even sizes.

    Args:
        norm: see :func:`.make_norm`; before each ReLU. The published block has none.
        weight_norm: of all three convolutions, see :func:`.normalise_weight`.
        first: the input is the image: no activation of it, and the first 3×3 has all the channels already.
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
        # Averages commute with a 1×1 convolution; the authors pool after it but in the first block.
        return y + self.shortcut(self.pool(x))


class GlobalSumPool(nn.Module):
    """The sum over all positions: [B, C, H, W] → [B, C]. Miyato et al., arXiv:1802.05957, appendix B.4."""

    def forward(self, x: Tensor) -> Tensor:
        return x.sum((2, 3))


def _init_residual(conv1: nn.Module, conv2: nn.Module, shortcut: nn.Module, weight_norm: WeightNorm) -> None:
    """Xavier's uniform weights, gain √2 in the 3×3 convolutions and 1 in the shortcut, biases 0: as the authors do."""
    for layer, gain in ((conv1, sqrt(2)), (conv2, sqrt(2)), (shortcut, 1.0)):
        nn.init.xavier_uniform_(layer.get_parameter("weight"), gain)
        if layer.bias is not None:
            nn.init.zeros_(layer.get_parameter("bias"))
        # Last, so that the power iteration starts from these weights.
        normalise_weight(layer, weight_norm)
