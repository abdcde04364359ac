"""SNGAN's residual generator and discriminator. Miyato et al., arXiv:1802.05957."""

from __future__ import annotations

from collections import OrderedDict
from itertools import pairwise

from torch import Tensor, nn

from .architecture import CENTRED, DISCRIMINATOR, GENERATOR, Architecture
from .blocks.gan import GlobalSumPool, ResidualDownBlock, ResidualUpBlock
from .blocks.residual import PreActivation
from .classifier import Classifier
from .dcgan import doublings
from .initialisers import init_xavier_
from .layers import Norm, WeightNorm, normalise_weight


def generator_widths(width: int, size: int) -> list[int]:
    """Return the channels from the 4×4 map to the last block, halved by each block.

    ValueError unless doubling 4 gives ``size``.
    """
    return [width * 2**step for step in reversed(range(doublings(size) + 1))]


def projection(latent_dim: int, channels: int) -> nn.Sequential:
    """Return a linear layer that maps a latent to a 4×4 map: [B, latent_dim] → [B, channels, 4, 4]."""
    return nn.Sequential(nn.Linear(latent_dim, channels * 4 * 4), nn.Unflatten(1, (channels, 4, 4)))


class SNGANGenerator(nn.Module):
    """SNGAN's residual generator. Miyato et al., arXiv:1802.05957, appendix B.4.

    A linear layer maps the latent to a 4×4 map. Each residual block then doubles the size and halves the channels.
    BatchNorm, ReLU, a 3×3 convolution and tanh follow. At 64×64 with width 64 it is the authors' own network
    (https://github.com/pfnet-research/sngan_projection, ``gen_models/resnet_64.py``):

    ======= ================= ============
    layer   output            parameters
    ======= ================= ============
    project 1024 × 4 × 4      2,113,536
    up 1    512 × 8 × 8       7,606,784
    up 2    256 × 16 × 16     1,902,848
    up 3    128 × 32 × 32     476,288
    up 4    64 × 64 × 64      119,360
    image   3 × 64 × 64       1,859
    total                     12,220,675
    ======= ================= ============

    Args:
        latent_dim: Entries of a latent.
        channels: Channels of the images.
        width: Channels before the last layer; they double towards the latent.
        size: Side of the images, in pixels, a power of two.
    """

    def __init__(self, *, latent_dim: int = 128, channels: int = 3, width: int = 64, size: int = 64) -> None:
        super().__init__()
        self.latent_dim = latent_dim
        widths = generator_widths(width, size)
        self.project = projection(latent_dim, widths[0])
        self.blocks = nn.Sequential(*(ResidualUpBlock(before, after) for before, after in pairwise(widths)))
        self.image = nn.Sequential(
            OrderedDict(preact=PreActivation(width), conv=nn.Conv2d(width, channels, 3, padding=1), act=nn.Tanh())
        )
        init_xavier_(self.project)
        init_xavier_(self.image)

    def forward(self, latents: Tensor) -> Tensor:
        """Float [B, latent_dim] ~ N(0, 1) → [B, channels, size, size] in [−1, 1]."""
        images: Tensor = self.image(self.blocks(self.project(latents)))
        return images


class SNGANDiscriminator(Classifier):
    """SNGAN's residual discriminator. Miyato et al., arXiv:1802.05957, appendix B.4.

    Each residual block halves the size, the last one to 2×2. Each block but the first, whose input is the image,
    doubles the channels. ReLU, the sum over positions and a linear layer follow. Every weight has spectral norm. At
    64×64 with width 64 it is the authors' own network (``dis_models/snresnet_64.py`` there):

    ======= ================= ============
    layer   output            parameters
    ======= ================= ============
    down 1  64 × 32 × 32      38,976
    down 2  128 × 16 × 16     119,104
    down 3  256 × 8 × 8       475,776
    down 4  512 × 4 × 4       1,901,824
    down 5  1024 × 2 × 2      7,604,736
    logit   1                 1,025
    total                     10,141,441
    ======= ================= ============

    Args:
        classes: Number of logits, 1 for real against generated.
        in_channels: Channels of the images, which are in [−1, 1].
        width: Channels after the first block; they double from block to block.
        size: Side of the images, in pixels, a power of two.
        norm: The norm before each ReLU, see :func:`.make_norm`. The published network has none.
        weight_norm: The weight norm of every layer, see :func:`.normalise_weight`.
    """

    def __init__(
        self,
        *,
        classes: int = 1,
        in_channels: int = 3,
        width: int = 64,
        size: int = 64,
        norm: Norm = None,
        weight_norm: WeightNorm = "spectral",
    ) -> None:
        super().__init__()
        widths = [width * 2**step for step in range(doublings(size) + 1)]
        self.features = nn.Sequential(
            ResidualDownBlock(in_channels, width, norm=norm, weight_norm=weight_norm, first=True),
            *(
                ResidualDownBlock(before, after, norm=norm, weight_norm=weight_norm)
                for before, after in pairwise(widths)
            ),
            PreActivation(widths[-1], norm=norm),
        )
        self.pool = GlobalSumPool()
        self.classifier = nn.Linear(widths[-1], classes)
        init_xavier_(self.classifier)
        normalise_weight(self.classifier, weight_norm)


_SNGAN = "Miyato et al., Spectral Normalization for Generative Adversarial Networks, arXiv:1802.05957, appendix B.4"

ARCHITECTURES = (
    Architecture("sngan_generator", SNGANGenerator, (128,), _SNGAN, GENERATOR),
    Architecture("sngan_discriminator", SNGANDiscriminator, (3, 64, 64), _SNGAN, DISCRIMINATOR, pixels=CENTRED),
)
