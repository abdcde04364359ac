"""The generator that ships with facegen: faces at once, without training.

A folder of data: ``scripts/pretrained.py`` makes it from a run, ``facegen sample --pretrained`` draws from it, and
``facegen grade`` recognises its images by their fingerprints, and its weights. Training and scoring never look in here.
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

#: The images that are recognised: these seeds', the first so many of each, plainly sampled.
SEEDS, IMAGES_PER_SEED = 10, 1000


def generator_path() -> Path:
    """Where the generator is: a float16 .safetensors that the stages take for a run, as :func:`facegen.sample`."""
    return _FOLDER / GENERATOR


def card() -> str:
    """What the generator is, as Markdown: data, recipe, training, scores, their floor, and what it may be used for."""
    return (_FOLDER / CARD).read_text(encoding="utf-8")


def require_whole(name: str) -> bytes:
    """The bytes of an installed file. EnvironmentProblem where it is not the one that shipped, by the card's sha256."""
    data = (_FOLDER / name).read_bytes()
    stated = re.search(rf"^\| {SHA256_ROWS[name]} \| `([0-9a-f]{{64}})` \|", card(), re.MULTILINE)
    if stated is None or hashlib.sha256(data).hexdigest() != stated[1]:
        raise EnvironmentProblem(
            f"{_FOLDER / name} is damaged: it is not the file that ships with facegen.", "Install facegen again."
        )
    return data


def fingerprints() -> npt.NDArray[np.uint64]:
    """Perceptual hashes (:mod:`facegen.metrics.phash`) of what it draws, uint64 [10000, 4].

    Row 1000·s + i is image i + 1 of seed s, for seeds 0 to 9. Hashes of pixels are not stored: machines round
    differently, by a pixel value here and there, which perceptual hashes outlast.

    Raises:
        EnvironmentProblem: the installed file is damaged.
    """
    hashes: npt.NDArray[np.uint64] = np.load(io.BytesIO(require_whole(FINGERPRINTS)), allow_pickle=False)
    return hashes
