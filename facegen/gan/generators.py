"""Generators: latents in, images in [−1, 1] out."""

from __future__ import annotations

from collections.abc import Callable
from math import log2

import torch
from torch import Tensor, nn

from facegen.cnn.blocks import UpBlock
from facegen.cnn.layers import ConvNormAct, init_normal_


def doublings(size: int) -> int:
    """How often 4×4 doubles to reach ``size``; ValueError unless it is a power of two from 8 to 1,024."""
    steps = log2(size / 4)
    if not 8 <= size <= 1024 or steps != int(steps):
        raise ValueError(f"images of {size}×{size} cannot be built by doubling 4×4: use 8, 16, 32, 64, 128, …")
    return int(steps)


class DCGANGenerator(nn.Module):
    """DCGAN's generator. Radford, Metz and Chintala, arXiv:1511.06434, figure 1 and section 3.

    A transposed 4×4 convolution projects the latent to 4×4, then each block doubles the size and halves the
    channels; BatchNorm and ReLU everywhere but in the last layer, which has neither norm nor bias and ends in tanh.
    At 64×64 with width 64 (the authors' code; figure 1 draws width 128):

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
        latent_dim: entries of a latent.
        width: channels before the last layer; they double towards the latent.
        size: side of the images, a power of two.
    """

    def __init__(self, *, latent_dim: int = 100, width: int = 64, size: int = 64) -> None:
        super().__init__()
        self.latent_dim = latent_dim
        steps = doublings(size)
        channels = [width * 2**step for step in reversed(range(steps))]
        self.project = ConvNormAct(latent_dim, channels[0], 4, padding=0, transposed=True)
        self.blocks = nn.Sequential(
            *(UpBlock(channels[step], channels[step + 1]) for step in range(steps - 1)),
            UpBlock(channels[-1], 3, norm=None, activation="tanh"),
        )
        init_normal_(self)

    def forward(self, latents: Tensor) -> Tensor:
        """Float [B, latent_dim] ~ N(0, 1) → [B, 3, size, size] in [−1, 1]."""
        images: Tensor = self.blocks(self.project(latents[:, :, None, None]))
        return images


#: What a recipe can name: each takes ``latent_dim``, ``width`` and ``size``, and has an attribute ``latent_dim``.
GENERATORS: dict[str, Callable[..., nn.Module]] = {"dcgan": DCGANGenerator}


def latents_for(seed: int, first: int, count: int, latent_dim: int) -> Tensor:
    """Latents ``first`` to ``first + count − 1`` of ``seed``: float32 [count, latent_dim] ~ N(0, 1) on the CPU.

    Each is drawn by its own generator from (seed, index), so latent i is the same whatever the batch.
    """
    rows = []
    for index in range(first, first + count):
        # Odd multipliers spread (seed, index) over the 64-bit seeds of neighbouring pairs (Knuth's and Weyl's).
        key = (seed * 0x9E3779B97F4A7C15 + index * 0xBF58476D1CE4E5B9 + 0x94D049BB133111EB) % 2**63
        rows.append(torch.randn(latent_dim, generator=torch.Generator().manual_seed(key)))
    return torch.stack(rows)


@torch.no_grad()
def to_uint8(images: Tensor) -> Tensor:
    """[B, 3, H, W] in [−1, 1] → uint8 [B, H, W, 3] in 0–255: the inverse of ``x / 127.5 − 1``, rounded."""
    pixels = images.float().add(1).mul(127.5).round().clamp(0, 255)
    return pixels.to(torch.uint8).permute(0, 2, 3, 1).contiguous()


@torch.no_grad()
def standing_statistics(generator: nn.Module, latents: Tensor, batch: int) -> None:
    """Give every BatchNorm the statistics of ``latents`` under the present weights, in place.

    A moving average of weights has no matching running statistics of its own, so they are measured: the mean of the
    statistics over batches, as in BigGAN's "standing statistics" (Brock et al., arXiv:1809.11096, section 3.1).
    A generator without BatchNorm is left as it is.
    """
    norms = [layer for layer in generator.modules() if isinstance(layer, nn.modules.batchnorm._BatchNorm)]
    if not norms:
        return
    momenta = [norm.momentum for norm in norms]
    was_training = generator.training
    for norm in norms:
        norm.reset_running_stats()
        norm.momentum = None  # torch's cumulative average
    generator.train()
    for part in latents.split(batch):
        generator(part)
    for norm, momentum in zip(norms, momenta, strict=True):
        norm.momentum = momentum
    generator.train(was_training)
