"""Images in, feature statistics out: decoding runs ahead of the network in a thread of its own."""

from __future__ import annotations

import queue
import threading
from collections.abc import Iterable, Iterator
from itertools import islice
from typing import TypeVar

import numpy as np
import numpy.typing as npt

from facegen import console
from facegen.errors import InputError
from facegen.metrics.frechet import FrechetStatistics, RunningStatistics
from facegen.scoring.extractors import FeatureExtractor

Images = npt.NDArray[np.uint8]
T = TypeVar("T")
_AHEAD = 4  # batches


def feature_statistics(
    images: Iterable[Images], extractor: FeatureExtractor, description: str, total: int | None = None
) -> FrechetStatistics:
    """The statistics of the features of ``images``, each uint8 [H, W, 3]; memory does not grow with their number.

    ``description`` names the progress bar and what an error speaks of; ``total`` is the bar's end.

    Raises:
        InputError: fewer than two images, or features that are not finite.
    """
    running = RunningStatistics(extractor.dims)
    with console.progress(description, total) as task:
        for batch in ahead(_batches(images, extractor.batch)):
            features = extractor(batch)
            if not np.isfinite(features).all():
                raise InputError(
                    f"{extractor.name} gives features that are not finite for {description}.",
                    "Its weights are damaged.",
                )
            running.update(features)
            task.advance(len(batch))
    require_enough(running.n, description)
    return running.finish()


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
