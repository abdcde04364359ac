"""DCGAN's generator and discriminator. Radford, Metz and Chintala, arXiv:1511.06434."""

from __future__ import annotations

from itertools import pairwise
from math import log2

from torch import Tensor, nn

from .architecture import CENTRED, DISCRIMINATOR, GENERATOR, Architecture
from .blocks.gan import DownBlock, UpBlock
from .classifier import Classifier
from .initialisers import init_normal_
from .layers import ConvNormAct, Norm, WeightNorm, normalise_weight


def doublings(size: int) -> int:
    """Return how often 4×4 doubles to reach ``size``. ValueError unless it is a power of two from 8 to 1,024."""
    steps = log2(size / 4)
    if not 8 <= size <= 1024 or steps != int(steps):
        raise ValueError(f"images of {size}×{size} cannot be built by doubling 4×4: use 8, 16, 32, 64, 128, …")
    return int(steps)


class DCGANGenerator(nn.Module):
    """DCGAN's generator. Radford, Metz and Chintala, arXiv:1511.06434, figure 1 and section 3.

    A transposed 4×4 convolution projects the latent to 4×4. Each block then doubles the size and halves the channels.
    BatchNorm and ReLU follow every layer except the last one, which has neither norm nor bias and ends in tanh. At
    64×64 with width 64 (the authors' code; figure 1 draws width 128):

    ======= ================= ============
    layer   output            parameters
    ======= ================= ============
    project 512 × 4 × 4       820,224
    up 1    256 × 8 × 8       2,097,664
    up 2    128 × 16 × 16     524,544
    up 3    64 × 32 × 32      131,200
    image   3 × 64 × 64       3,072
    total                     3,576,704
    ======= ================= ============

    Args:
        latent_dim: Entries of a latent.
        channels: Channels of the images.
        width: Channels before the last layer; they double towards the latent.
        size: Side of the images, in pixels, a power of two.
    """

    def __init__(self, *, latent_dim: int = 100, channels: int = 3, width: int = 64, size: int = 64) -> None:
        super().__init__()
        self.latent_dim = latent_dim
        steps = doublings(size)
        widths = [width * 2**step for step in reversed(range(steps))]
        self.project = ConvNormAct(latent_dim, widths[0], 4, padding=0, transposed=True)
        self.blocks = nn.Sequential(
            *(UpBlock(widths[step], widths[step + 1]) for step in range(steps - 1)),
            UpBlock(widths[-1], channels, norm=None, activation="tanh"),
        )
        init_normal_(self)

    def forward(self, latents: Tensor) -> Tensor:
        """Float [B, latent_dim] ~ N(0, 1) → [B, channels, size, size] in [−1, 1]."""
        images: Tensor = self.blocks(self.project(latents[:, :, None, None]))
        return images


class DCGANDiscriminator(Classifier):
    """DCGAN's discriminator. Radford, Metz and Chintala, arXiv:1511.06434, section 3.

    Each block halves the size and doubles the channels. LeakyReLU(0.2) follows every block, and BatchNorm every layer
    but the first and the last. The paper's sigmoid is part of the loss here. At 64×64 with width 64:

    ======= ================= ============
    layer   output            parameters
    ======= ================= ============
    down 1  64 × 32 × 32      3,072
    down 2  128 × 16 × 16     131,328
    down 3  256 × 8 × 8       524,800
    down 4  512 × 4 × 4       2,098,176
    logit   1                 8,192
    total                     2,765,568
    ======= ================= ============

    Args:
        classes: Number of logits, 1 for real against generated.
        in_channels: Channels of the images, which are in [−1, 1].
        width: Channels after the first block; they double from block to block.
        size: Side of the images, in pixels, a power of two.
        norm: The norm, see :func:`.make_norm`; of all blocks but the first.
        weight_norm: The weight norm of every layer, see :func:`.normalise_weight`; the published network has none.
    """

    def __init__(
        self,
        *,
        classes: int = 1,
        in_channels: int = 3,
        width: int = 64,
        size: int = 64,
        norm: Norm = "batch",
        weight_norm: WeightNorm = None,
    ) -> None:
        super().__init__()
        widths = [width * 2**step for step in range(doublings(size))]
        self.features = nn.Sequential(
            DownBlock(in_channels, widths[0], norm=None, weight_norm=weight_norm),
            *(DownBlock(before, after, norm=norm, weight_norm=weight_norm) for before, after in pairwise(widths)),
        )
        # The paper's last 4×4 filter is as large as the map, so it is a linear layer over all positions.
        self.pool = nn.Flatten()
        self.classifier = nn.Linear(widths[-1] * 4 * 4, classes, bias=False)
        init_normal_(self)
        normalise_weight(self.classifier, weight_norm)


ARCHITECTURES = (
    Architecture(
        "dcgan_generator",
        DCGANGenerator,
        (100,),
        "Radford, Metz and Chintala, Unsupervised Representation Learning with DCGANs, arXiv:1511.06434, figure 1",
        GENERATOR,
    ),
    Architecture(
        "dcgan_discriminator",
        DCGANDiscriminator,
        (3, 64, 64),
        "Radford, Metz and Chintala, Unsupervised Representation Learning with DCGANs, arXiv:1511.06434, section 3",
        DISCRIMINATOR,
        pixels=CENTRED,
    ),
)
