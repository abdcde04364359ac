"""Images in, features out: decoding runs ahead of the network in a thread of its own."""

from __future__ import annotations

import queue
import tempfile
import threading
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import islice
from typing import TypeVar

import numpy as np
import numpy.typing as npt

from facegen import console
from facegen.data.images import ImageCollection
from facegen.errors import InputError
from facegen.extractors.table import FeatureExtractor
from facegen.metrics.frechet import FrechetStatistics, RunningStatistics
from facegen.metrics.sampling import sample_rows
from facegen.scoring.image_checks import Looks, Observer

Images = npt.NDArray[np.uint8]
Features = npt.NDArray[np.float32]
T = TypeVar("T")
_AHEAD = 4  # batches
#: Features of so many images are kept: 410 MB of Inception's.
KEPT = 50_000


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
class Extracted:
    """What one pass over images leaves of them.

    Attributes:
        statistics: of the features of all.
        features: float32 [k, D], of the images in :func:`kept_rows`; they lie in a file, not in memory.
        looks: sizes, values and detail of the images themselves.
    """

    statistics: FrechetStatistics
    features: Features
    looks: Looks


def kept_rows(total: int) -> npt.NDArray[np.int64]:
    """Of which images, rising, the features are kept: all of them up to 50,000, beyond that a seeded sample."""
    if total <= KEPT:
        return np.arange(total)
    return sample_rows(total, KEPT)


def extract(
    images: Iterable[Images], extractor: FeatureExtractor, description: str, total: int | None = None
) -> Extracted:
    """Take the features of ``images``, each uint8 [H, W, 3], in one pass; memory does not grow with their number.

    ``description`` names the progress bar and what an error speaks of; ``total``, the number of images, is the bar's
    end. Where it is not known, the features of the first 50,000 are kept.

    Raises:
        InputError: fewer than two images, or features that are not finite.
    """
    running, observer = RunningStatistics(extractor.dims), Observer()
    wanted = kept_rows(KEPT if total is None else total)
    with tempfile.TemporaryFile() as file, console.progress(description, total) as task:
        for batch in ahead(_batches(observer.watch(images), extractor.batch)):
            features = extractor(batch)
            if not np.isfinite(features).all():
                raise InputError(
                    f"{extractor.name} gives features that are not finite for {description}.",
                    "Its weights are damaged.",
                )
            first, last = np.searchsorted(wanted, [running.n, running.n + len(features)])
            file.write(features[wanted[first:last] - running.n].tobytes())
            running.update(features)
            task.advance(len(batch))
        require_enough(running.n, description)
        file.flush()
        # The mapping outlives the file's name, and the system may drop its pages from memory at any time.
        kept = np.memmap(file, np.float32, "r").reshape(-1, extractor.dims)
    return Extracted(running.finish(), kept, observer.looks())


def observed(images: Images, features: Features) -> Extracted:
    """What :func:`extract` leaves of images [N, H, W, 3] whose features [N, D] there are already."""
    running, observer = RunningStatistics(features.shape[1]), Observer()
    for _ in observer.watch(images):
        pass
    running.update(features)
    return Extracted(running.finish(), features[kept_rows(len(features))], observer.looks())


def require_enough(n: int, description: str) -> None:
    """InputError when ``n`` images are too few to have a covariance."""
    if n < 2:
        raise InputError(
            f"{description} has {n} image{'s' if n == 0 else ''}: a Fréchet distance compares covariances, and a "
            "covariance needs at least 2.",
            "A score that means something takes about 1,000.",
        )


def _batches(images: Iterable[Images], size: int) -> Iterator[list[Images]]:
    rest = iter(images)
    while batch := list(islice(rest, size)):
        for image in batch:
            if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3:
                raise ValueError(f"expected images uint8 [H, W, 3], got {image.dtype} {list(image.shape)}")
        yield batch


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
