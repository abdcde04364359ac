"""Reference statistics: what images are compared with, computed once and kept by content."""

from __future__ import annotations

import hashlib
import json
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from facegen import console
from facegen.data.images import open_images
from facegen.errors import InputError
from facegen.files import atomic_path, cache_folder, sha256_file
from facegen.metrics.frechet import FrechetStatistics
from facegen.scoring.extractors import FeatureExtractor
from facegen.scoring.features import feature_statistics

#: Part of every cache key: raise it when features or statistics of the same images change.
SCHEMA = 1


@dataclass(frozen=True)
class Reference:
    """Statistics of the real images, and the content hash of what they were made from."""

    path: Path
    statistics: FrechetStatistics
    sha256: str


def open_reference(path: Path, extractor: FeatureExtractor) -> Reference:
    """The statistics of ``path`` under ``extractor``.

    ``path`` is a folder, archive or dataset of images, whose statistics are kept in the cache folder by the hash of
    the images, the extractor, its weights and dims; or an ``.npz`` in pytorch-fid's layout, ``mu`` [D] and ``sigma``
    [D, D].

    Raises:
        InputError: nothing there, fewer than two images, or an ``.npz`` that does not fit the extractor.
    """
    if path.suffix.lower() == ".npz":
        return Reference(path, _read(path, extractor), sha256_file(path))
    collection = open_images(path)
    kept = _cache_path(collection.sha256, extractor)
    if kept.is_file():
        try:
            statistics = _read(kept, extractor)
        except InputError as problem:
            console.warn(f"computing the reference statistics anew: {problem.message}")
        else:
            console.detail(f"reference statistics of {path} from {kept}")
            return Reference(path, statistics, collection.sha256)
    console.info(f"Computing {extractor.name} statistics of {path}, {len(collection):,} images; they are kept.")
    statistics = feature_statistics(
        (image for _, image in collection), extractor, f"The reference {path}", len(collection)
    )
    # The n×D factor is not kept: a reference answers alike whether it was just computed or read back.
    reference = Reference(path, FrechetStatistics(statistics.n, statistics.mu, statistics.sigma), collection.sha256)
    try:
        save_reference(reference, extractor, kept)
    except OSError as problem:
        console.warn(f"cannot keep the reference statistics in {kept.parent}: {problem.strerror or problem}")
    return reference


def save_reference(reference: Reference, extractor: FeatureExtractor, target: Path) -> None:
    """Write the statistics as ``.npz``: pytorch-fid's ``mu`` and ``sigma``, and n and the extractor that made them."""
    statistics = reference.statistics
    arrays: dict[str, Any] = {
        "mu": statistics.mu,
        "sigma": statistics.sigma,
        "extractor": np.array(extractor.name),
        "weights_sha256": np.array(extractor.weights_sha256),
    }
    if statistics.n is not None:
        arrays["n"] = np.array(statistics.n)
    with atomic_path(target) as temporary, temporary.open("wb") as file:
        np.savez(file, **arrays)


def _cache_path(sha256: str, extractor: FeatureExtractor) -> Path:
    everything = json.dumps([SCHEMA, sha256, extractor.name, extractor.weights_sha256, extractor.dims])
    return cache_folder() / "references" / f"{hashlib.sha256(everything.encode()).hexdigest()[:32]}.npz"


def _read(path: Path, extractor: FeatureExtractor) -> FrechetStatistics:
    if not path.is_file():
        raise InputError(f"The reference {path} is not there.")
    try:
        with np.load(path, allow_pickle=False) as file:
            arrays = {name: file[name] for name in file.files}
    except (OSError, ValueError, EOFError, KeyError, zipfile.BadZipFile) as problem:
        raise InputError(f"{path} is not an .npz file of plain arrays: {problem}.") from problem
    if missing := {"mu", "sigma"} - arrays.keys():
        raise InputError(
            f"{path} lacks {' and '.join(sorted(missing))}.",
            "Reference statistics are an .npz with mu and sigma, as 'pytorch-fid --save-stats' and "
            "'facegen fid --save-stats' write them.",
        )
    for name, made_by in (("extractor", extractor.name), ("weights_sha256", extractor.weights_sha256)):
        if name in arrays and str(arrays[name]) != made_by:
            raise InputError(
                f"{path} was made with another extractor: its {name} is {arrays[name]}, not {made_by}.",
                "Distances between features of two networks mean nothing: choose the same --extractor and --weights.",
            )
    mu, sigma = arrays["mu"], arrays["sigma"]
    dims = extractor.dims
    if mu.shape != (dims,) or sigma.shape != (dims, dims):
        raise InputError(
            f"{path} has mu {list(mu.shape)} and sigma {list(sigma.shape)}, but {extractor.name} has {dims} dims.",
            "Choose the --extractor and --dims that the statistics were made with.",
        )
    if mu.dtype.kind not in "fiu" or sigma.dtype.kind not in "fiu":
        raise InputError(f"{path} holds {mu.dtype} and {sigma.dtype}, not numbers.")
    mu, sigma = mu.astype(np.float64), sigma.astype(np.float64)
    if not (np.isfinite(mu).all() and np.isfinite(sigma).all()):
        raise InputError(f"{path} holds NaN or infinity.")
    if np.abs(sigma - sigma.T).max() > 1e-6 * np.abs(sigma).max():
        raise InputError(f"The sigma in {path} is not symmetric, so it is no covariance.")
    count = arrays.get("n")
    if count is not None and (count.shape != () or count.dtype.kind not in "iu" or count < 2):
        raise InputError(f"The n in {path} is not a number of images.")
    return FrechetStatistics(None if count is None else int(count), mu, sigma)
