"""The generator that ships with facegen: faces without training.

This package holds data. ``scripts/pretrained.py`` makes it from a run, ``facegen sample --pretrained`` samples from
it, and ``facegen grade`` recognises its images by their fingerprints, and its weights by their hash. Training and
scoring never use it.
"""

from __future__ import annotations

import hashlib
import io
import re
from pathlib import Path

import numpy as np
import numpy.typing as npt

from facegen.errors import EnvironmentProblem

_FOLDER = Path(__file__).resolve().parent
GENERATOR, CARD, FINGERPRINTS = "generator.safetensors", "card.md", "fingerprints.npy"
#: The rows of the card that hold the sha256 of the other files.
SHA256_ROWS = {GENERATOR: "sha256", FINGERPRINTS: "sha256 of the fingerprints"}

#: The images that are recognised: the first ones of each of these seeds, sampled without options.
SEEDS, IMAGES_PER_SEED = 10, 1000


def generator_path() -> Path:
    """Return the path of the generator, a float16 .safetensors that the stages accept as a run."""
    return _FOLDER / GENERATOR


def card() -> str:
    """Return the model card, as Markdown: data, recipe, training, scores with their floor, and permitted uses."""
    return (_FOLDER / CARD).read_text(encoding="utf-8")


def require_whole(name: str) -> bytes:
    """Read an installed file and check it against the sha256 on the card.

    Raises:
        EnvironmentProblem: The file is not the one that ships with facegen.
    """
    data = (_FOLDER / name).read_bytes()
    stated = re.search(rf"^\| {SHA256_ROWS[name]} \| `([0-9a-f]{{64}})` \|", card(), re.MULTILINE)
    if stated is None or hashlib.sha256(data).hexdigest() != stated[1]:
        raise EnvironmentProblem(
            f"{_FOLDER / name} is damaged: it is not the file that ships with facegen.", "Install facegen again."
        )
    return data


def fingerprints() -> npt.NDArray[np.uint64]:
    """Return perceptual hashes (:mod:`facegen.metrics.phash`) of the generator's images, uint64 [10000, 4].

    Row 1000·s + i is image i + 1 of seed s, for seeds 0 to 9. Hashes of the exact pixels are not stored, because
    machines round differently by a pixel value in some places. Perceptual hashes tolerate that.

    Raises:
        EnvironmentProblem: The installed file is damaged.
    """
    hashes: npt.NDArray[np.uint64] = np.load(io.BytesIO(require_whole(FINGERPRINTS)), allow_pickle=False)
    return hashes
