"""Generators: latents in, images in [−1, 1] out, and these as pixels. The networks are ``facegen.cnn``'s."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterator

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from facegen.cnn.architecture import GENERATOR
from facegen.cnn.chroma import ChromaLowPass
from facegen.cnn.registry import ARCHITECTURES, find_architecture
from facegen.errors import InputError

#: How many latents a generator is given at once. Kernels are chosen by that number and round differently: on a CPU,
#: images drawn one at a time differ in some 15 of 786,432 pixel values from those drawn 32 at a time. A fixed number
#: makes an image independent of how many are drawn with it. Rounding depends on more: the memory format changes as
#: many values, and another device may change others. Images are equal to the bit where all three are the same.
CHUNK = 32


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


@torch.no_grad()
def image_chunks(generator: nn.Module, latents: Tensor, chunk: int = CHUNK) -> Iterator[Tensor]:
    """A generator's images, chunk by chunk: latents float32 [N, D] → float [≤ ``chunk``, 3, S, S] in [−1, 1].

    The generator is always given ``chunk`` latents, on its own device. Where fewer are left, copies of the first latent
    fill the chunk, and their images are dropped.
    """
    device = next(generator.parameters()).device
    for part in latents.split(chunk):
        filled = torch.cat([part, latents[:1].expand(chunk - len(part), -1)])
        yield generator(filled.to(device))[: len(part)]


def draw_images(generator: nn.Module, latents: Tensor, chunk: int = CHUNK) -> npt.NDArray[np.uint8]:
    """A generator's images as pixels: latents float32 [N, D], N > 0 → uint8 [N, S, S, 3].

    ``chunk`` is as for :func:`image_chunks`.
    """
    return torch.cat([to_uint8(images).cpu() for images in image_chunks(generator, latents, chunk)]).numpy()


class NoImages(InputError):
    """A generator's output is NaN, infinite or one colour alone: as pixels it would pass for black or grey images."""


def require_images(images: Tensor) -> None:
    """NoImages where [B, C, H, W] hold NaN or infinity, or are all of the same one colour."""
    remedy = "Its training diverged, or it was damaged: take a generator from before that, or train anew."
    least, most = images.amin((0, 2, 3)), images.amax((0, 2, 3))
    if not (least.isfinite() & most.isfinite()).all():  # both are NaN where any pixel is
        raise NoImages("The generator draws no images: they hold NaN or infinity.", remedy)
    if (least == most).all():
        raise NoImages("The generator draws no images: they are all of one colour.", remedy)


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
    try:
        for part in latents.split(batch):
            generator(part)
    finally:
        for norm, momentum in zip(norms, momenta, strict=True):
            norm.momentum = momentum
        generator.train(was_training)
