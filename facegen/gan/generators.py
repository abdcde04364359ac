"""Generators: latents in, images in [−1, 1] out, and their pixels. The networks are in ``facegen.cnn``."""

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

#: Number of latents that a generator gets at once. Kernels are chosen by this number and round differently: on a CPU,
#: images sampled one at a time differ from those sampled 32 at a time in some 15 of 786,432 pixel values. A fixed
#: number makes an image independent of how many are sampled with it. Rounding also depends on the memory format,
#: which changes as many values, and possibly on the device. Images are equal to the bit where all three are the same.
CHUNK = 32


def generator_names() -> tuple[str, ...]:
    """Return the names that a recipe can use, including those of extensions."""
    return tuple(name for name, architecture in ARCHITECTURES.items() if architecture.role == GENERATOR)


def build_generator(name: str, *, latent_dim: int, width: int, size: int, chroma_cutoff: float = 0.0) -> nn.Module:
    """Build the architecture ``name`` as a generator of RGB images: latents [B, latent_dim] → [B, 3, size, size].

    Args:
        width: Channels before the last layer.
        chroma_cutoff: Cutoff of the :class:`facegen.cnn.chroma.ChromaLowPass` behind the generator. 0 means no filter.
    """
    network = find_architecture(name).build(latent_dim=latent_dim, width=width, size=size)
    if chroma_cutoff:
        return nn.Sequential(OrderedDict(network=network, chroma=ChromaLowPass(chroma_cutoff)))
    return network


@torch.no_grad()
def image_chunks(generator: nn.Module, latents: Tensor, chunk: int = CHUNK) -> Iterator[Tensor]:
    """Generate images chunk by chunk: latents float32 [N, D] → float [≤ ``chunk``, 3, S, S] in [−1, 1].

    The generator always gets ``chunk`` latents, on its own device. If fewer are left, copies of the first latent fill
    the chunk, and their images are dropped.
    """
    device = next(generator.parameters()).device
    for part in latents.split(chunk):
        filled = torch.cat([part, latents[:1].expand(chunk - len(part), -1)])
        yield generator(filled.to(device))[: len(part)]


def draw_images(generator: nn.Module, latents: Tensor, chunk: int = CHUNK) -> npt.NDArray[np.uint8]:
    """Generate images as pixels: latents float32 [N, D], N > 0 → uint8 [N, S, S, 3].

    Args:
        chunk: Number of latents that the generator gets at once, as for :func:`image_chunks`.
    """
    return torch.cat([to_uint8(images).cpu() for images in image_chunks(generator, latents, chunk)]).numpy()


class NoImages(InputError):
    """The output of a generator contains NaN or infinity, or is one single colour.

    As pixels it would pass for black or grey images.
    """


def require_images(images: Tensor) -> None:
    """Raise NoImages if images [B, C, H, W] contain NaN or infinity, or all have the same single colour."""
    remedy = "Its training diverged, or the file is damaged. Use an earlier generator, or train again."
    least, most = images.amin((0, 2, 3)), images.amax((0, 2, 3))
    if not (least.isfinite() & most.isfinite()).all():  # a single NaN makes both NaN
        raise NoImages("The generator's output is not an image: it contains NaN or infinity.", remedy)
    if (least == most).all():
        raise NoImages("The generator's output is not an image: every pixel has the same colour.", remedy)


@torch.no_grad()
def to_uint8(images: Tensor) -> Tensor:
    """Convert [B, 3, H, W] in [−1, 1] to uint8 [B, H, W, 3] in 0–255: the inverse of ``x / 127.5 − 1``, rounded."""
    pixels = images.float().add(1).mul(127.5).round().clamp(0, 255)
    return pixels.to(torch.uint8).permute(0, 2, 3, 1).contiguous()


@torch.no_grad()
def standing_statistics(generator: nn.Module, latents: Tensor, batch: int) -> None:
    """Give every BatchNorm the statistics of ``latents`` under the present weights, in place.

    A moving average of weights has no matching running statistics. They are measured instead: the mean of the
    statistics over several batches, as in BigGAN's "standing statistics" (Brock et al., arXiv:1809.11096, section
    3.1). A generator without BatchNorm is not changed.
    """
    norms = [layer for layer in generator.modules() if isinstance(layer, nn.modules.batchnorm._BatchNorm)]
    if not norms:
        return
    momenta = [norm.momentum for norm in norms]
    was_training = generator.training
    for norm in norms:
        norm.reset_running_stats()
        norm.momentum = None  # makes torch compute a cumulative average
    generator.train()
    try:
        for part in latents.split(batch):
            generator(part)
    finally:
        for norm, momentum in zip(norms, momenta, strict=True):
            norm.momentum = momentum
        generator.train(was_training)
