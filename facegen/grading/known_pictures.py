"""Known images as pictures: of the reference, of the training set, and what the generator that ships draws."""

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
#: Chunks of 32 images that are drawn for a page, a tenth of a second each: what else is named is not shown.
_MOST_CHUNKS = 64
_DRAWN = re.compile(r"seed (\d+), image (\d+)")


class KnownPictures:
    """Finds the images that flags name as matches, so that the page can show them beside a submission's.

    Args:
        reference: what submissions are scored against; None where it holds no images.
        training: what generators were trained on; None where it was not given.
        size: the side, in pixels, to which images are brought as ``facegen prepare`` would.
    """

    def __init__(self, reference: Path | None, training: Path | None, size: int) -> None:
        self._paths = {COPIED_FROM_REFERENCE.code: reference, COPIED_FROM_TRAINING.code: training}
        self._size = size

    def __call__(self, flag: str, names: Sequence[str]) -> Mapping[str, Picture]:
        """uint8 [S, S, 3] by name, for a flag's code: of those that can be shown. What cannot is said on stderr."""
        path = self._paths.get(flag)
        try:
            if path is not None:
                return _from_collection(path, set(names), self._size)
            return _drawn(names) if flag == PRETRAINED_GENERATOR.code else {}
        except (FacegenError, Unreadable, OSError) as problem:
            console.warn(f"The page shows no picture beside those of {flag}: {in_words(problem)}.")
            return {}


def _from_collection(path: Path, names: set[str], size: int) -> dict[str, Picture]:
    if is_dataset(path) and (dataset := FaceDataset.open(path)).size == size:
        rows = {name: row for row, name in enumerate(dataset.names) if name in names}
        return {name: np.array(dataset.images[row]) for name, row in rows.items()}
    images = open_images(path)
    chosen = images.take([row for row, name in enumerate(images.names) if name in names])
    return {name: resize_and_crop(Image.fromarray(image), size) for name, image in chosen}


def _drawn(names: Sequence[str]) -> dict[str, Picture]:
    """What ``facegen sample --pretrained`` draws, by "seed 3, image 17": in the same chunks, so the same pixels."""
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
