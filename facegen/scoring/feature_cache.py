"""What the cache folder keeps of real images: their statistics, their looks and their features, by content."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import numpy as np

from facegen import console
from facegen.data.images import ImageCollection
from facegen.errors import InputError
from facegen.extractors.table import FeatureExtractor
from facegen.files import atomic_path, cache_folder
from facegen.metrics.frechet import FrechetStatistics
from facegen.scoring.features import Extracted, extract, kept_rows
from facegen.scoring.statistics_file import looks_in, read_statistics, write_statistics

#: Part of every key: raise it when anything in a score of the same images changes, or what is kept of a reference.
SCHEMA = 2


def kept_path(sha256: str, extractor: FeatureExtractor) -> Path:
    """Where things known of the images with this content hash are kept, but for the suffix."""
    everything = json.dumps([SCHEMA, sha256, extractor.name, extractor.weights_sha256, extractor.dims])
    return cache_folder() / "references" / hashlib.sha256(everything.encode()).hexdigest()[:32]


def extracted(collection: ImageCollection, extractor: FeatureExtractor, description: str) -> Extracted:
    """What is known of the images, from the cache or by one pass over them; ``description`` is what messages call them.

    Raises:
        InputError: fewer than two images.
    """
    path = kept_path(collection.sha256, extractor)
    if path.with_suffix(".npz").is_file():
        try:
            known = _read(path, len(collection), extractor)
        except (InputError, OSError, ValueError) as problem:
            console.warn(f"{description}: computing the features anew, for what is kept is of no use: {problem}")
        else:
            console.detail(f"{description}: features from {path}.npy")
            return known
    console.info(f"{description}: computing {extractor.name} features of {len(collection):,} images; they are kept.")
    new = extract((image for _, image in collection), extractor, description, len(collection))
    try:
        with atomic_path(path.with_suffix(".npy")) as temporary, temporary.open("wb") as file:
            np.save(file, new.features)
        write_statistics(path.with_suffix(".npz"), new.statistics, new.looks, extractor, {})
    except OSError as problem:
        console.warn(f"cannot keep the statistics in {path.parent}: {problem.strerror or problem}")
    # The n×D factor is left out: a reference answers alike whether it was just computed or read back.
    statistics = FrechetStatistics(new.statistics.n, new.statistics.mu, new.statistics.sigma)
    return Extracted(statistics, new.features, new.looks)


def _read(path: Path, images: int, extractor: FeatureExtractor) -> Extracted:
    statistics, arrays = read_statistics(path.with_suffix(".npz"), extractor)
    features = np.load(path.with_suffix(".npy"), mmap_mode="r", allow_pickle=False)
    looks = looks_in(arrays)
    if looks is None or features.shape != (len(kept_rows(images)), extractor.dims) or features.dtype != np.float32:
        raise ValueError(f"{path.name} is damaged")
    return Extracted(statistics, features, looks)
