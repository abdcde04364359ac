"""Features of images, computed in one pass.

A separate thread decodes images ahead of the network.
"""

from __future__ import annotations

import queue
import re
import tempfile
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from itertools import islice
from types import TracebackType
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt

from facegen import console
from facegen.data.images import ImageCollection
from facegen.errors import InputError
from facegen.extractors.feature_extractor import FeatureExtractor
from facegen.files import writing_told
from facegen.metrics.frechet import FrechetStatistics, RunningStatistics
from facegen.metrics.sampling import sample_rows
from facegen.scoring.image_checks import ImageProperties, PropertyCollector

Images = npt.NDArray[np.uint8]
Features = npt.NDArray[np.float32]
T = TypeVar("T")
_AHEAD = 4  # batches that are decoded ahead
#: Maximum number of images whose features are stored: 410 MB with Inception.
STORED = 50_000


@dataclass(frozen=True)
class FeatureSet:
    """Images and their features.

    ``images.take(rows)`` reads some images, with rows in ascending order. ``images.path`` and ``images.names`` say what
    they are.

    Attributes:
        images: The collection of images.
        features: Features of the images, float32 [n, D]: row i belongs to image i.
    """

    images: ImageCollection
    features: Features

    def __len__(self) -> int:
        return len(self.features)

    def take(self, rows: npt.NDArray[np.int64]) -> FeatureSet:
        """Return the images in these rows, which must be in ascending order."""
        return FeatureSet(self.images.take(rows), self.features[rows])


@dataclass(frozen=True)
class SetFeatures:
    """The result of one pass over a set of images.

    Attributes:
        statistics: Statistics of the features of all images.
        features: Features of the images in :func:`stored_rows`, float32 [k, D], in a file and not in memory. If the
            statistics come from a file, there are none.
        properties: Sizes, values and detail of the images; None if a file of statistics does not have them.
    """

    statistics: FrechetStatistics
    features: Features
    properties: ImageProperties | None

    def cropped(self, crop: str | None) -> SetFeatures:
        """Return the same result for images with this crop (:attr:`facegen.data.images.ImageCollection.crop`)."""
        return self if self.properties is None else replace(self, properties=replace(self.properties, crop=crop))


def stored_rows(total: int) -> npt.NDArray[np.int64]:
    """Return the rows of the images whose features are stored, in ascending order.

    These are all images up to 50,000, and a random sample with a fixed seed beyond that.
    """
    if total <= STORED:
        return np.arange(total)
    return sample_rows(total, STORED)


class FeaturePass:
    """One pass over images, as far as it has come.

    Memory does not grow with the number of images.

    Args:
        dims: Number of features per image.
        total: Number of images; None if it is unknown. The features of the first 50,000 images are then stored.

    Attributes:
        total: Number of images, or None.
        whole: Whether the pass can be saved. It cannot be if :meth:`add` was interrupted.
    """

    def __init__(self, dims: int, total: int | None) -> None:
        self.total, self.whole = total, True
        self._dims = dims
        self._statistics, self._properties = RunningStatistics(dims), PropertyCollector()
        self._rows = stored_rows(STORED if total is None else total)
        with _full_disk_told():
            self._file = tempfile.TemporaryFile()  # noqa: SIM115 - closed by __exit__

    def __enter__(self) -> FeaturePass:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, problem: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the temporary file. Features that are mapped from it stay available."""
        self._file.close()

    @property
    def n(self) -> int:
        """The number of images so far."""
        return self._statistics.n

    def add(self, images: Sequence[Images], features: Features, notes: Sequence[tuple[str, ...]] = ()) -> None:
        """Add the next images.

        Args:
            images: Each image is uint8 [H, W, 3].
            features: Features of the images, float32 [n, D].
            notes: For each image, what the conversion to RGB lost.
        """
        self.whole = False
        first, last = np.searchsorted(self._rows, [self.n, self.n + len(features)])
        with _full_disk_told():
            self._file.write(features[self._rows[first:last] - self.n].tobytes())
        self._statistics.update(features)
        self._properties.update(images, notes)
        self.whole = True

    def _stored(self) -> Features:
        """Return the features stored so far, [k, D], mapped from the file."""
        with _full_disk_told():
            self._file.flush()
        if not self._file.tell():
            return np.empty((0, self._dims), np.float32)
        return np.memmap(self._file, np.float32, "r").reshape(-1, self._dims)

    def finish(self) -> SetFeatures:
        """Return the result of the pass.

        Raises:
            ValueError: There are fewer than two images.
        """
        return SetFeatures(self._statistics.finish(), self._stored(), self._properties.properties())

    def state(self) -> dict[str, npt.NDArray[Any]]:
        """Return everything that :meth:`restore` needs to continue, as plain arrays."""
        return {**self._statistics.state(), **self._properties.state(), "features": self._stored()}

    def restore(self, state: Mapping[str, npt.NDArray[Any]]) -> None:
        """Continue from what :meth:`state` returned. The final result is the same to the last bit.

        After an error, this pass cannot be used.

        Raises:
            KeyError: ``state`` lacks an array.
            ValueError: An array has another shape or dtype.
        """
        self._statistics.restore(state)
        self._properties.restore(state)
        features = state["features"]
        count = int(np.searchsorted(self._rows, self.n))
        if features.shape != (count, self._dims) or features.dtype != np.float32 or self.n > (self.total or self.n):
            raise ValueError(f"{self.n} images of {self.total} and {len(features)} features do not belong together")
        with _full_disk_told():
            self._file.write(features.tobytes())


def _full_disk_told() -> AbstractContextManager[None]:
    """Raise EnvironmentProblem if the temporary file cannot be written."""
    return writing_told(
        "The features cannot be written to a temporary file",
        "Make room there, or set TMPDIR to a folder on another disk.",
    )


def compute_features(
    images: Iterable[Images], extractor: FeatureExtractor, description: str, total: int | None = None
) -> SetFeatures:
    """Compute the features of images in one pass.

    Memory does not grow with the number of images.

    Args:
        images: Each image is uint8 [H, W, 3].
        extractor: The feature extractor.
        description: What the progress bar and errors call the images.
        total: Number of images, for the progress bar. If it is None, the features of the first 50,000 images are
            stored.

    Raises:
        InputError: There are fewer than two images, or the features are not finite.
    """
    with FeaturePass(extractor.dims, total) as so_far:
        return complete(so_far, ((image, ()) for image in images), extractor, description)


def complete(
    so_far: FeaturePass,
    rest: Iterable[tuple[Images, tuple[str, ...]]],
    extractor: FeatureExtractor,
    description: str,
    after_batch: Callable[[FeaturePass], None] = lambda so_far: None,
) -> SetFeatures:
    """Take the remaining images through a pass and return its result.

    Args:
        so_far: The pass.
        rest: The remaining images, each with what its conversion to RGB lost.
        extractor: The feature extractor.
        description: What the progress bar and errors call the images.
        after_batch: Called with the pass after every batch.

    Raises:
        InputError: There are fewer than two images, or the features are not finite.
    """
    with console.progress(
        f"Computing features of {re.sub('^The ', 'the ', description)}", so_far.total, done=so_far.n
    ) as task:
        for batch, notes in ahead(_batches(rest, extractor.batch)):
            so_far.add(batch, finite(extractor(batch), extractor, description), notes)
            task.advance(len(batch))
            after_batch(so_far)
    require_enough(so_far.n, description)
    return so_far.finish()


def features_of(images: Images, extractor: FeatureExtractor, description: str) -> Features:
    """Return the features [N, D] of images, uint8 [N, H, W, 3].

    Args:
        images: uint8 [N, H, W, 3].
        extractor: The feature extractor.
        description: What errors call the images.

    Raises:
        InputError: The features are not finite.
    """
    starts = range(0, len(images), extractor.batch)
    parts = (extractor(list(images[start : start + extractor.batch])) for start in starts)
    return np.concatenate([finite(part, extractor, description) for part in parts])


def finite(features: Features, extractor: FeatureExtractor, description: str) -> Features:
    """Return the features unchanged.

    Raises:
        InputError: The features are not finite.
    """
    if not np.isfinite(features).all():
        raise InputError(
            f"{extractor.name} computes features that are not finite for {description}.", "Its weights are damaged."
        )
    return features


def summarise(images: Images, features: Features) -> SetFeatures:
    """Return what :func:`compute_features` would for images [N, H, W, 3] whose features [N, D] you already have."""
    properties = PropertyCollector()
    properties.update(images)
    return summarise_features(features, properties.properties(), len(features))


def summarise_features(features: Features, properties: ImageProperties, batch: int) -> SetFeatures:
    """Return what :func:`compute_features` would for images with these features [N, D] and properties.

    The features are summed in batches of the given size, because the last digits of the result depend on the batches.
    """
    running = RunningStatistics(features.shape[1])
    for start in range(0, len(features), batch):
        running.update(features[start : start + batch])
    return SetFeatures(running.finish(), features[stored_rows(len(features))], properties)


def require_enough(n: int, description: str) -> None:
    """Raise InputError if ``n`` images are too few to have a covariance."""
    if n < 2:
        raise InputError(
            f"{description} has {n} image{'s' if n == 0 else ''}: a Fréchet distance compares covariances, and a "
            "covariance needs at least 2 images.",
            "For a meaningful score, use about 1,000 images.",
        )


def _batches(
    images: Iterable[tuple[Images, tuple[str, ...]]], size: int
) -> Iterator[tuple[list[Images], list[tuple[str, ...]]]]:
    rest = iter(images)
    while batch := list(islice(rest, size)):
        for image, _ in batch:
            if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3:
                raise ValueError(f"expected images uint8 [H, W, 3], got {image.dtype} {list(image.shape)}")
        yield [image for image, _ in batch], [notes for _, notes in batch]


def ahead(items: Iterable[T]) -> Iterator[T]:
    """Yield the same items, made ahead of time in another thread.

    An exception in that thread is raised here, where the item would have been.
    """
    line: queue.Queue[tuple[list[T], BaseException | None]] = queue.Queue(maxsize=_AHEAD)
    stop = threading.Event()

    def put(item: list[T], problem: BaseException | None = None) -> bool:
        while not stop.is_set():
            try:
                line.put((item, problem), timeout=0.1)
            except queue.Full:
                continue
            return True
        return False

    def work() -> None:
        try:
            for item in items:
                if not put([item]):
                    return
        except BaseException as problem:  # noqa: BLE001 - handed over, and raised in the thread that asked
            put([], problem)
        else:
            put([])

    thread = threading.Thread(target=work, daemon=True, name="decode-ahead")
    thread.start()
    try:
        while True:
            item, problem = line.get()
            if problem is not None:
                raise problem
            if not item:
                return
            yield item[0]
    finally:
        stop.set()
        thread.join()
