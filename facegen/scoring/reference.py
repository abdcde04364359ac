"""The reference: the real images to which generated images are compared."""

from __future__ import annotations

import dataclasses
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from facegen import console
from facegen.data.images import ImageCollection, open_images
from facegen.errors import InputError
from facegen.extractors.custom import MOST_DIMS
from facegen.extractors.feature_extractor import FeatureExtractor
from facegen.files import read_sealed_json, write_sealed_json, writing_told
from facegen.metrics.floor import Floor, frechet_floor
from facegen.metrics.frechet import FrechetStatistics
from facegen.metrics.sampling import sample_rows
from facegen.scoring.feature_cache import cache_path, cached_features
from facegen.scoring.features import FeatureSet, stored_rows
from facegen.scoring.image_checks import ImageProperties
from facegen.scoring.npz_arrays import read_at_most
from facegen.scoring.saved_statistics import properties_in, write_statistics
from facegen.scoring.statistics_file import StatisticsFile
from facegen.scoring.statistics_layouts import holds_statistics, open_statistics

#: Maximum number of images from which the draws of a floor come.
POOL = 5_000


@dataclass(frozen=True)
class Pool:
    """Features of real images with which a floor is measured.

    Attributes:
        features: float32 [m, D].
        within: Whether the images are among those that the reference statistics summarise.
    """

    features: npt.NDArray[np.float32]
    within: bool


@dataclass(frozen=True)
class Reference:
    """Statistics of real images, with everything else that is known of these images.

    Attributes:
        path: Where the images or statistics come from.
        statistics: Statistics of the images' features.
        sha256: Content hash of the images in the statistics, or of the file of statistics.
        description: A description in words, such as ``"10,000 images"``.
        pools: Features with which floors are measured, best pool first.
        properties: Properties of the images; None if a file of statistics does not have them.
        real: The images in the statistics (at most 50,000, drawn with a seed); None if there are only statistics.
        heldout: Images of a dataset's other splits (at most 5,000); None if there are none.
        warnings: Sentences about pictures and archives in ``path`` that were left out.
        floors: Floors that were measured when the statistics were saved, by the number of images.
    """

    path: Path
    statistics: FrechetStatistics
    sha256: str
    description: str
    pools: tuple[Pool, ...] = ()
    properties: ImageProperties | None = None
    real: FeatureSet | None = None
    heldout: FeatureSet | None = None
    warnings: tuple[str, ...] = ()
    floors: Mapping[int, Floor] = field(default_factory=dict)


def open_reference(path: Path, extractor: FeatureExtractor) -> Reference:
    """Open the reference at ``path`` for an extractor.

    Results are stored in the cache folder.

    Args:
        path: A folder, archive or dataset of images; or a file of statistics, ``mu`` [D] and ``sigma`` [D, D], in any
            of the layouts that :func:`facegen.scoring.statistics_layouts.open_statistics` reads. If a dataset has a
            train split and others, its train split is the reference and the others are held out. In all other cases,
            all images are used.
        extractor: The feature extractor.

    Raises:
        InputError: There is nothing at ``path``, there are fewer than two images, or the statistics are invalid or do
            not fit the extractor.
    """
    if holds_statistics(path):
        return reference_of_statistics(open_statistics(path), extractor)
    images = open_images(path)
    images.say_remark()
    return reference_of_images(images, extractor)


def reference_of_images(images: ImageCollection, extractor: FeatureExtractor) -> Reference:
    """Return the reference that consists of all images, or of the train split of a dataset.

    Raises:
        InputError: There are fewer than two images.
    """
    path = images.path
    used, others = parts(images)
    known = cached_features(used, extractor, f"The reference {path}")
    real = FeatureSet(used.take(stored_rows(len(used))), known.features)
    within = Pool(known.features[sample_rows(len(real), POOL)], within=True)
    description = f"{len(used):,} {'images' if others is None else 'train images'}"
    if others is None:
        used_alone = (within,), known.properties, real, None, images.warnings
        return Reference(path, known.statistics, used.sha256, description, *used_alone)
    drawn = others.take(sample_rows(len(others), POOL))
    heldout = FeatureSet(drawn, cached_features(drawn, extractor, f"The held-out images of {path}").features)
    pools = (Pool(heldout.features, within=False), within)
    return Reference(path, known.statistics, used.sha256, description, pools, known.properties, real, heldout)


def parts(images: ImageCollection) -> tuple[ImageCollection, ImageCollection | None]:
    """Return a dataset's train split and its other splits.

    Return all images and None if either part has fewer than two images.
    """
    train = images.splits == "train"
    if train.sum() < 2 or (~train).sum() < 2:
        return images, None
    return images.take(np.flatnonzero(train)), images.take(np.flatnonzero(~train))


def reference_of_statistics(file: StatisticsFile, extractor: FeatureExtractor) -> Reference:
    """Return the reference from a file of statistics.

    Raises:
        InputError: The file has no valid statistics, or they do not fit the extractor.
    """
    found = file.statistics(extractor)
    statistics = FrechetStatistics(found.n, found.mu, found.sigma)  # without the factor, like stored statistics
    what = "statistics" if file.rows is None else "features"
    of = "" if statistics.n is None else f" of {statistics.n:,} images"
    description = f"the {what}{of} in {file.path}"
    return Reference(
        file.path,
        statistics,
        file.sha256,
        description,
        _pools(file, extractor),
        properties_in(file.arrays),
        floors=_floors(file),
    )


def _pools(file: StatisticsFile, extractor: FeatureExtractor) -> tuple[Pool, ...]:
    arrays = file.arrays
    features = None if file.rows is None else file.features(sample_rows(len(file.rows), POOL))
    if features is not None:
        return (Pool(features, within=True),)
    if "pool" not in arrays or "pool_within" not in arrays:
        return ()
    pool, within = read_at_most(arrays, "pool", 8 * POOL * MOST_DIMS), arrays["pool_within"]
    if (
        within.size != 1
        or pool.ndim != 2
        or pool.shape[1] != extractor.dims
        or pool.dtype.kind != "f"
        or not np.isfinite(pool).all()
    ):
        raise InputError(f"The pool of features in {file.path} is damaged.", "Save the statistics again.")
    return (Pool(pool.astype(np.float32, copy=False), bool(within)),)


def laid_aside(reference: Reference) -> Reference:
    """Return the same reference with its covariance and its pools in temporary files.

    They are then in memory only while they are used.

    Raises:
        EnvironmentProblem: The files cannot be written.
    """
    statistics = dataclasses.replace(reference.statistics, sigma=_in_a_file(reference.statistics.sigma))
    pools = tuple(Pool(_in_a_file(pool.features), pool.within) for pool in reference.pools)
    return dataclasses.replace(reference, statistics=statistics, pools=pools)


def _in_a_file(array: npt.NDArray[Any]) -> npt.NDArray[Any]:
    told = writing_told("The reference cannot be written to a temporary file", "Make room there, or set TMPDIR.")
    with told, tempfile.TemporaryFile() as file:  # the mapping keeps the file after it is closed
        np.ascontiguousarray(array).tofile(file)
        file.flush()
        return np.memmap(file, array.dtype, "r", shape=array.shape)


def _floors(file: StatisticsFile) -> dict[int, Floor]:
    """Return the floors that were saved with statistics, or none if ``save_reference`` did not write them."""
    stored = file.arrays.get("floors")
    if stored is None or stored.ndim != 2 or stored.shape[1] < 5 or stored.dtype.kind != "f":
        return {}
    floors = (
        Floor(float(value), float(spread), tuple(map(float, draws)), int(n), None if np.isnan(of) else int(of))
        for n, of, value, spread, *draws in stored
        if np.isfinite([n, value, spread, *draws]).all()
    )
    return {floor.n: floor for floor in floors}


def save_reference(reference: Reference, extractor: FeatureExtractor, target: Path, floor: Floor | None = None) -> None:
    """Write the statistics as ``.npz``: pytorch-fid's ``mu`` and ``sigma``, and what facegen needs for the floor.

    Without ``floor``, the file has features of real images, from which a floor for sets of any size can be measured.
    With ``floor``, it has this floor only, for sets of its size. That saves the memory of the features and the time
    to measure.
    """
    more: dict[str, Any] = {}
    if floor is not None:
        of = np.nan if floor.reference_n is None else floor.reference_n
        more = {"floors": np.array([[floor.n, of, floor.value, floor.spread, *floor.draws]], np.float64)}
    elif reference.pools:
        more = {"pool": reference.pools[0].features, "pool_within": reference.pools[0].within}
    write_statistics(target, reference.statistics, reference.properties, extractor, more)


def floor_of(reference: Reference, extractor: FeatureExtractor, n: int) -> Floor | None:
    """Return the score of n real images that are not in the statistics, and store it in the cache folder.

    Return None if there are no pools, or if they are too small.
    """
    if n < 3:
        return None
    if n in reference.floors:
        return reference.floors[n]
    path = cache_path(reference.sha256, extractor, __name__)  # this module draws the pools and imports the rest
    stored = path.with_name(f"{path.name}-floor-{n}.json")
    try:
        floor = Floor(**read_sealed_json(stored))
        return dataclasses.replace(floor, draws=tuple(floor.draws))
    except (OSError, ValueError, TypeError):  # the file does not exist yet, or is damaged
        pass
    for pool in reference.pools:
        console.detail(f"Computing the floor: the score of {n:,} real images against {reference.description}.")
        floor_now = frechet_floor(pool.features, reference.statistics, n, within=pool.within)
        if floor_now is not None:
            try:
                write_sealed_json(stored, dataclasses.asdict(floor_now))
            except OSError as problem:
                console.warn(f"Cannot store the floor in {stored.parent}: {problem.strerror or problem}.")
            return floor_now
    return None
