"""The cache of real images' statistics, properties and features, stored by content."""

from __future__ import annotations

import hashlib
import json
import zlib
from pathlib import Path

import numpy as np

from facegen import console
from facegen.code_hash import code_hash
from facegen.data.images import ImageCollection
from facegen.errors import InputError
from facegen.extractors.feature_extractor import FeatureExtractor
from facegen.files import OTHER_CONTENTS, Damaged, atomic_path, cache_folder, sha256_file
from facegen.locks import sole_use
from facegen.metrics.frechet import FrechetStatistics
from facegen.scoring.features import SetFeatures, complete, stored_rows
from facegen.scoring.pass_checkpoint import PassCheckpoint
from facegen.scoring.saved_statistics import properties_in, write_statistics
from facegen.scoring.statistics_layouts import open_statistics

#: The modules, besides the extractor's own, that produce the stored results: they read the images, run the network, sum
#: the features and write the files. Each stands for everything that it imports.
FEATURE_CODE = ("facegen.data.images", "facegen.scoring.features", "facegen.scoring.saved_statistics")

#: Key of the sha256 of the file with the features. It is stored with the statistics, whose zip has checksums of its
#: own.
FEATURES_SHA256 = "features_sha256"


def cache_path(sha256: str, extractor: FeatureExtractor, *code: str) -> Path:
    """Return the path, without suffix, of what the modules ``code`` compute from images with this content hash.

    The name depends on everything that the result depends on except rounding (:mod:`facegen.code_hash`). Results of
    other code are therefore not found. They are not deleted either, because another version of facegen may use them.
    """
    depends_on = [code_hash(*code), extractor.code, sha256, extractor.name, extractor.weights_sha256, extractor.dims]
    return cache_folder() / "references" / hashlib.sha256(json.dumps(depends_on).encode()).hexdigest()[:32]


def cached_features(collection: ImageCollection, extractor: FeatureExtractor, description: str) -> SetFeatures:
    """Return the statistics, features and properties of the images, from the cache or by one pass over them.

    If a pass was interrupted, the next call continues it, with the same result.

    Args:
        collection: The images.
        extractor: The feature extractor.
        description: What messages call the images.

    Raises:
        InputError: There are fewer than two images.
    """
    path = cache_path(collection.sha256, extractor, *FEATURE_CODE)
    before = _state(path)
    known = _known(path, collection, extractor, description)
    if known is not None:
        return known
    # If two processes need the same features, the second waits and reads what the first has stored.
    with sole_use(path, f"computes the features of {collection.path}", wait=True):
        if _state(path) != before:
            known = _known(path, collection, extractor, description)
        return known or _store(path, collection, extractor, description)


def _state(path: Path) -> tuple[int, int] | None:
    """Return a value that changes when another process stores something at ``path``; None if nothing is stored."""
    try:
        status = path.with_suffix(".npz").stat()
    except OSError:
        return None
    return status.st_ino, status.st_mtime_ns


def _known(
    path: Path, collection: ImageCollection, extractor: FeatureExtractor, description: str
) -> SetFeatures | None:
    """Return what is stored at ``path``, or None if nothing usable is."""
    if not path.with_suffix(".npz").is_file():
        return None
    try:
        known = _read(path, len(collection), extractor)
    except (InputError, OSError, ValueError, RuntimeError, zlib.error) as problem:
        console.warn(f"{description}: computing the features anew, because the stored ones cannot be used. {problem}")
        return None
    console.detail(f"{description}: features from {path}.npy.")
    return known


def _store(path: Path, collection: ImageCollection, extractor: FeatureExtractor, description: str) -> SetFeatures:
    """Compute the features, and store the result at ``path`` if it can be written."""
    checkpoint = PassCheckpoint(
        cache_path(collection.sha256, extractor, *FEATURE_CODE, "facegen.scoring.pass_checkpoint").with_suffix(".part")
    )
    new = _compute(collection, extractor, description, checkpoint)
    try:
        with atomic_path(path.with_suffix(".npy")) as temporary, temporary.open("wb") as file:
            np.save(file, new.features)
            file.flush()
            more = {FEATURES_SHA256: sha256_file(temporary)}
        write_statistics(path.with_suffix(".npz"), new.statistics, new.properties, extractor, more)
    except OSError as problem:
        console.warn(f"Cannot store the statistics in {path.parent}: {problem.strerror or problem}.")
    checkpoint.remove()
    # The n×D factor is left out, so that a computed reference and one read back give equal results.
    statistics = FrechetStatistics(new.statistics.n, new.statistics.mu, new.statistics.sigma)
    return SetFeatures(statistics, new.features, new.properties)


def _compute(
    collection: ImageCollection, extractor: FeatureExtractor, description: str, checkpoint: PassCheckpoint
) -> SetFeatures:
    """Make one pass over the images, or over what is left of them."""
    total = len(collection)
    console.info(f"{description}: computing {extractor.name} features of {total:,} images.")
    with checkpoint.begin(extractor.dims, total, description) as so_far:
        rest = collection.take(np.arange(so_far.n, total)) if so_far.n else collection
        try:
            noted = ((picture.pixels, picture.notes) for picture in rest.pictures())
            return complete(so_far, noted, extractor, description, checkpoint.save_if_due).cropped(collection.crop)
        except KeyboardInterrupt:
            saved = checkpoint.save(so_far)
            goes_on = "The next run continues from there." if saved else f"{checkpoint.path} was not written."
            console.info(f"{description}: stopped after {so_far.n:,} of {total:,} images. {goes_on}")
            raise


def _read(path: Path, images: int, extractor: FeatureExtractor) -> SetFeatures:
    stored = open_statistics(path.with_suffix(".npz"))
    statistics = stored.statistics(extractor)
    if str(stored.arrays.get(FEATURES_SHA256)) != sha256_file(path.with_suffix(".npy")):
        raise Damaged(f"{path.name}.npy: {OTHER_CONTENTS}.")
    features = np.load(path.with_suffix(".npy"), mmap_mode="r", allow_pickle=False)
    properties = properties_in(stored.arrays)
    if (
        properties is None
        or statistics.n != images
        or features.shape != (len(stored_rows(images)), extractor.dims)
        or features.dtype != np.float32
    ):
        raise ValueError(f"{path.name} is damaged.")
    return SetFeatures(statistics, features, properties)
