"""A residual generator with self-modulation: the latent modulates every norm. Chen et al., arXiv:1810.01365."""

from __future__ import annotations

from itertools import pairwise

from torch import Tensor, nn
from torch.nn.functional import relu

from .architecture import GENERATOR, Architecture
from .blocks.gan import SelfModulatedNorm, SelfModulatedUpBlock
from .initialisers import init_xavier_
from .sngan import generator_widths, projection


class SelfModulatedGenerator(nn.Module):
    """SNGAN's residual generator (:class:`.SNGANGenerator`) with self-modulation.

    Chen et al., arXiv:1810.01365, section 3.2 and figure 1: SNGAN's latent enters once, at 4×4. Here it also sets the
    scale and shift of every BatchNorm, which lowers FID by 5 to 35% in their experiments. At 64×64 with width 64:

    ======= ================= ============
    layer   output            parameters
    ======= ================= ============
    project 1024 × 4 × 4      2,113,536
    up 1    512 × 8 × 8       7,713,344
    up 2    256 × 16 × 16     1,960,256
    up 3    128 × 32 × 32     509,120
    up 4    64 × 64 × 64      139,904
    norm    64 × 64 × 64      8,352
    image   3 × 64 × 64       1,731
    total                     12,446,243
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
        self.blocks = nn.ModuleList(
            SelfModulatedUpBlock(before, after, latent_dim) for before, after in pairwise(widths)
        )
        self.norm = SelfModulatedNorm(width, latent_dim)
        self.image = nn.Sequential(nn.Conv2d(width, channels, 3, padding=1), nn.Tanh())
        init_xavier_(self.project)
        init_xavier_(self.image)

    def forward(self, latents: Tensor) -> Tensor:
        """Float [B, latent_dim] ~ N(0, 1) → [B, channels, size, size] in [−1, 1]."""
        x = self.project(latents)
        for block in self.blocks:
            x = block(x, latents)
        images: Tensor = self.image(relu(self.norm(x, latents)))
        return images


_CHEN = "Chen et al., On Self Modulation for Generative Adversarial Networks, arXiv:1810.01365, section 3.2"

ARCHITECTURES = (Architecture("self_modulated_generator", SelfModulatedGenerator, (128,), _CHEN, GENERATOR),)
