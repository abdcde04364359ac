"""Pictures of known images: of the reference, of the training set, and of the generator that ships with facegen."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image

from facegen import console
from facegen.data.dataset import FaceDataset, is_dataset
from facegen.data.decode import Unreadable
from facegen.data.images import open_images
from facegen.data.transform import resize_and_crop
from facegen.errors import FacegenError, in_words
from facegen.grading.flags.copies import COPIED_FROM_REFERENCE, COPIED_FROM_TRAINING, PRETRAINED_GENERATOR
from facegen.pretrained import GENERATOR, generator_path, require_whole

Picture = npt.NDArray[np.uint8]
#: Maximum number of chunks of 32 images that are drawn for a page. A chunk takes 0.1 s. Images beyond are not shown.
_MOST_CHUNKS = 64
_DRAWN = re.compile(r"seed (\d+), image (\d+)")


class KnownPictures:
    """Finds the images that flags name as matches, so that the page can show them beside a submission's images.

    Args:
        reference: The reference of the submissions; None if it holds no images.
        training: The training set of the generators; None if it was not given.
        size: The side length in pixels. Images are prepared to this size as ``facegen prepare`` does.
    """

    def __init__(self, reference: Path | None, training: Path | None, size: int) -> None:
        self._paths = {COPIED_FROM_REFERENCE.code: reference, COPIED_FROM_TRAINING.code: training}
        self._size = size

    def __call__(self, flag: str, names: Sequence[str]) -> Mapping[str, Picture]:
        """Return the pictures, uint8 [S, S, 3], by name, for a flag's code.

        Pictures that cannot be made are left out, and a warning says so.
        """
        path = self._paths.get(flag)
        try:
            if path is not None:
                return _from_collection(path, set(names), self._size)
            return _drawn(names) if flag == PRETRAINED_GENERATOR.code else {}
        except (FacegenError, Unreadable, OSError) as problem:
            console.warn(f"The page shows no matching pictures for the flag {flag}: {in_words(problem)}.")
            return {}


def _from_collection(path: Path, names: set[str], size: int) -> dict[str, Picture]:
    if is_dataset(path) and (dataset := FaceDataset.open(path)).size == size:
        rows = {name: row for row, name in enumerate(dataset.names) if name in names}
        return {name: np.array(dataset.images[row]) for name, row in rows.items()}
    images = open_images(path)
    chosen = images.take([row for row, name in enumerate(images.names) if name in names])
    return {name: resize_and_crop(Image.fromarray(image), size) for name, image in chosen}


def _drawn(names: Sequence[str]) -> dict[str, Picture]:
    """Draw what ``facegen sample --pretrained`` draws, by names such as "seed 3, image 17".

    The images are drawn in the same chunks, so the pixels are the same.
    """
    from facegen.gan.generators import CHUNK, draw_images
    from facegen.gan.latents import normal_latents
    from facegen.training.saved_generator import load_generator

    require_whole(GENERATOR)
    generator = load_generator(generator_path())
    wanted: dict[tuple[int, int], list[tuple[str, int]]] = {}
    for name in names:
        if (found := _DRAWN.fullmatch(name)) is not None:
            chunk, place = divmod(int(found[2]) - 1, CHUNK)
            wanted.setdefault((int(found[1]), chunk), []).append((name, place))
    pictures = {}
    for (seed, chunk), places in sorted(wanted.items())[:_MOST_CHUNKS]:
        latents = normal_latents(seed, chunk * CHUNK, CHUNK, generator.recipe.latent_dim)
        drawn = draw_images(generator.network, latents)
        pictures.update({name: drawn[place] for name, place in places})
    return pictures
