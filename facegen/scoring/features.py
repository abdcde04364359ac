"""Images in, features out: decoding runs ahead of the network in a thread of its own."""

from __future__ import annotations

import queue
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
_AHEAD = 4  # batches
#: The features of so many images are stored: 410 MB of Inception's.
STORED = 50_000


@dataclass(frozen=True)
class FeatureSet:
    """Images and their features: row i of ``features``, float32 [n, D], is of the collection's image i.

    ``images.take(rows)`` reads some of them, rows rising; ``images.path`` and ``images.names`` say what they are.
    """

    images: ImageCollection
    features: Features

    def __len__(self) -> int:
        return len(self.features)

    def take(self, rows: npt.NDArray[np.int64]) -> FeatureSet:
        """The images in these rows, rising."""
        return FeatureSet(self.images.take(rows), self.features[rows])


@dataclass(frozen=True)
class SetFeatures:
    """What one pass over a set of images leaves of them.

    Attributes:
        statistics: of the features of all.
        features: float32 [k, D], of the images in :func:`stored_rows`; they lie in a file, not in memory. None are left
            of statistics from a file.
        properties: sizes, values and detail of the images themselves; None where a file of statistics does not tell.
    """

    statistics: FrechetStatistics
    features: Features
    properties: ImageProperties | None

    def cropped(self, crop: str | None) -> SetFeatures:
        """The same, of images that were cropped so (:attr:`facegen.data.images.ImageCollection.crop`)."""
        return self if self.properties is None else replace(self, properties=replace(self.properties, crop=crop))


def stored_rows(total: int) -> npt.NDArray[np.int64]:
    """Of which images, rising, the features are stored: all of them up to 50,000, beyond that a seeded sample."""
    if total <= STORED:
        return np.arange(total)
    return sample_rows(total, STORED)


class FeaturePass:
    """One pass over images, as far as it has come. Its memory does not grow with their number.

    Attributes:
        total: how many images there are; None where that is not known, and then the features of the first 50,000 are
            stored.
        whole: whether it can be saved: not where :meth:`add` was broken off.
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
        """Give the file up, but for what is mapped of it."""
        self._file.close()

    @property
    def n(self) -> int:
        """How many images have passed."""
        return self._statistics.n

    def add(self, images: Sequence[Images], features: Features, notes: Sequence[tuple[str, ...]] = ()) -> None:
        """Add the next images, their features [n, D], and what getting each to RGB lost."""
        self.whole = False
        first, last = np.searchsorted(self._rows, [self.n, self.n + len(features)])
        with _full_disk_told():
            self._file.write(features[self._rows[first:last] - self.n].tobytes())
        self._statistics.update(features)
        self._properties.update(images, notes)
        self.whole = True

    def _stored(self) -> Features:
        """The features stored so far, [k, D]; they stay in the file, which the mapping keeps when it is closed."""
        with _full_disk_told():
            self._file.flush()
        if not self._file.tell():
            return np.empty((0, self._dims), np.float32)
        return np.memmap(self._file, np.float32, "r").reshape(-1, self._dims)

    def finish(self) -> SetFeatures:
        """What the pass leaves. ValueError below two images."""
        return SetFeatures(self._statistics.finish(), self._stored(), self._properties.properties())

    def state(self) -> dict[str, npt.NDArray[Any]]:
        """All that :meth:`restore` needs to go on, as plain arrays."""
        return {**self._statistics.state(), **self._properties.state(), "features": self._stored()}

    def restore(self, state: Mapping[str, npt.NDArray[Any]]) -> None:
        """Go on from what :meth:`state` gave: what is left in the end is the same to the last bit.

        KeyError or ValueError where it is something else; this pass is then of no use.
        """
        self._statistics.restore(state)
        self._properties.restore(state)
        features = state["features"]
        count = int(np.searchsorted(self._rows, self.n))
        if features.shape != (count, self._dims) or features.dtype != np.float32 or self.n > (self.total or self.n):
            raise ValueError(f"{self.n} images of {self.total} and {len(features)} features do not go together")
        with _full_disk_told():
            self._file.write(features.tobytes())


def _full_disk_told() -> AbstractContextManager[None]:
    """EnvironmentProblem where the temporary file cannot be written."""
    return writing_told(
        "The features cannot be written to a temporary file",
        "Make room there, or set TMPDIR to a folder on another disk.",
    )


def compute_features(
    images: Iterable[Images], extractor: FeatureExtractor, description: str, total: int | None = None
) -> SetFeatures:
    """Compute the features of ``images``, each uint8 [H, W, 3], in one pass; memory does not grow with their number.

    ``description`` names the progress bar and what an error speaks of; ``total``, the number of images, is the bar's
    end. Where it is not known, the features of the first 50,000 are stored.

    Raises:
        InputError: fewer than two images, or features that are not finite.
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
    """Take the rest of the images, each with what getting it to RGB lost, through a pass.

    ``after_batch`` sees the pass whenever it has come further.
    """
    with console.progress(f"Taking features of {description}", so_far.total, done=so_far.n) as task:
        for batch, notes in ahead(_batches(rest, extractor.batch)):
            so_far.add(batch, finite(extractor(batch), extractor, description), notes)
            task.advance(len(batch))
            after_batch(so_far)
    require_enough(so_far.n, description)
    return so_far.finish()


def features_of(images: Images, extractor: FeatureExtractor, description: str) -> Features:
    """The features [N, D] of images uint8 [N, H, W, 3], and nothing else of them.

    Raises:
        InputError: features that are not finite, which are said to be those of ``description``.
    """
    starts = range(0, len(images), extractor.batch)
    parts = (extractor(list(images[start : start + extractor.batch])) for start in starts)
    return np.concatenate([finite(part, extractor, description) for part in parts])


def finite(features: Features, extractor: FeatureExtractor, description: str) -> Features:
    """The features as they are. InputError where they are not finite."""
    if not np.isfinite(features).all():
        raise InputError(
            f"{extractor.name} gives features that are not finite for {description}.", "Its weights are damaged."
        )
    return features


def summarise(images: Images, features: Features) -> SetFeatures:
    """What :func:`compute_features` leaves of images [N, H, W, 3] whose features [N, D] there are already."""
    properties = PropertyCollector()
    properties.update(images)
    return summarise_features(features, properties.properties(), len(features))


def summarise_features(features: Features, properties: ImageProperties, batch: int) -> SetFeatures:
    """The same of images of which only features [N, D] and properties are there.

    Features are summed up in batches, as where they were taken in such ones: the last digits depend on it.
    """
    running = RunningStatistics(features.shape[1])
    for start in range(0, len(features), batch):
        running.update(features[start : start + batch])
    return SetFeatures(running.finish(), features[stored_rows(len(features))], properties)


def require_enough(n: int, description: str) -> None:
    """InputError when ``n`` images are too few to have a covariance."""
    if n < 2:
        raise InputError(
            f"{description} has {n} image{'s' if n == 0 else ''}: a Fréchet distance compares covariances, and a "
            "covariance needs at least 2.",
            "A score that means something takes about 1,000.",
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
    """The same items, made in a thread that keeps a few in hand; its exception is raised where it would have been."""
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
