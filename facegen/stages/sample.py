"""Sample: a run becomes images."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from PIL import Image

from facegen import console
from facegen.data.grid import contact_sheet, save_png
from facegen.device import choose_device
from facegen.errors import InputError
from facegen.files import atomic_folder
from facegen.gan.generators import latents_for, to_uint8
from facegen.training.checkpoint import BEST, LAST, load_generator

#: The network is always given this many latents at once, padded where fewer are left. Kernels round differently for
#: other batch sizes, by up to a pixel value, so this alone makes an image depend on its seed and index only.
CHUNK = 32
PREVIEW, GRID = 64, "grid.png"


@dataclass(frozen=True)
class Sampled:
    """Where the images and their preview grid are, how many there are, and which generator drew them."""

    images: Path
    grid: Path
    n: int
    generator: Path


def sample(
    run: Path,
    images: Path,
    *,
    n: int = 1000,
    seed: int = 0,
    truncation: float = 1.0,
    batch: int = 256,
    device: str = "auto",
) -> Sampled:
    """Draw ``n`` images as ``0001.png`` … into the folder ``images``, and a preview ``grid.png`` beside it.

    Args:
        run: a run folder (its best generator, or the last where none was scored) or a .safetensors file.
        n: how many.
        seed: image i depends on (seed, i) and the generator alone.
        truncation: latents are multiplied by it; below 1 faces are more alike and more typical.
        batch: how many images are held in memory before they are written; rounded up to whole chunks.

    Raises:
        InputError: no generator at ``run``; ``images`` holds something that is not ours to replace.
    """
    if n < 1 or batch < 1:
        raise InputError(f"Cannot sample {n} images in batches of {batch}.", "Both must be at least 1.")
    if not 0 <= truncation <= 10:
        raise InputError(f"A truncation of {truncation} makes no faces.", "Use 1.0, or a little less.")
    path = generator_of(run)
    _require_replaceable(images)
    saved = load_generator(path)
    where = choose_device(device)
    network = saved.network.to(where).to(memory_format=torch.channels_last)
    digits = max(4, len(str(n)))
    held = -(-batch // CHUNK) * CHUNK
    preview: list[npt.NDArray[np.uint8]] = []
    with atomic_folder(images) as folder, console.progress("sample", n) as bar, torch.no_grad():
        for first in range(0, n, held):
            count = min(held, n - first)
            padded = -(-count // CHUNK) * CHUNK
            latents = latents_for(seed, first, padded, saved.recipe.latent_dim).mul_(truncation).to(where)
            pixels = torch.cat([to_uint8(network(chunk)).cpu() for chunk in latents.split(CHUNK)])[:count].numpy()
            for index, image in enumerate(pixels, first):
                Image.fromarray(image).save(folder / f"{index + 1:0{digits}d}.png")
                bar.advance()
            preview.append(pixels)
            preview = [np.concatenate(preview)[:PREVIEW]]
    grid = images.with_name(GRID)
    save_png(grid, contact_sheet(preview[0]))
    console.info(f"Sampled {n:,} images from {path.name} ({saved.recipe.name}, {saved.kimg:g} kimg); preview: {grid}")
    return Sampled(images, grid, n, path)


def generator_of(run: Path) -> Path:
    """The generator file of a run: its best by score, else its last; a .safetensors file is itself."""
    if not run.is_dir():
        return run
    for name in (BEST, LAST):
        if (run / name).is_file():
            return run / name
    raise InputError(f"The run {run} has no generator yet: neither {BEST} nor {LAST}.", "Train it longer.")


def _require_replaceable(images: Path) -> None:
    """Only a folder of earlier samples is replaced: anything else may be the user's own."""
    if not images.exists():
        return
    if not images.is_dir():
        raise InputError(f"{images} is a file.", "Name a folder for the images.")
    foreign = next((entry.name for entry in images.iterdir() if not re.fullmatch(r"\d{4,}\.png", entry.name)), None)
    if foreign is not None:
        raise InputError(f"The folder {images} holds {foreign}, which is no sample.", "Name another folder.")
