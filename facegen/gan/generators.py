"""Generators: latents in, images in [−1, 1] out. The networks are ``facegen.cnn``'s."""

from __future__ import annotations

from collections import OrderedDict

import torch
from torch import Tensor, nn

from facegen.cnn.architecture import GENERATOR
from facegen.cnn.chroma import ChromaLowPass
from facegen.cnn.registry import ARCHITECTURES, find_architecture


def generator_names() -> tuple[str, ...]:
    """What a recipe can name at present, architectures registered from outside too."""
    return tuple(name for name, architecture in ARCHITECTURES.items() if architecture.role == GENERATOR)


def build_generator(name: str, *, latent_dim: int, width: int, size: int, chroma_cutoff: float = 0.0) -> nn.Module:
    """The architecture ``name`` as a generator of RGB images: latents [B, latent_dim] → [B, 3, size, size].

    Args:
        width: channels before the last layer.
        chroma_cutoff: of a :class:`facegen.cnn.chroma.ChromaLowPass` on its images; 0: there is none.
    """
    network = find_architecture(name).build(latent_dim=latent_dim, width=width, size=size)
    if chroma_cutoff:
        return nn.Sequential(OrderedDict(network=network, chroma=ChromaLowPass(chroma_cutoff)))
    return network


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
