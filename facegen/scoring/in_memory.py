"""Scores for images that a program makes as it goes, such as in a training loop of your own."""

from __future__ import annotations

import os
import weakref
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from torch import Tensor

from facegen.data.images import ImageCollection, images_in_memory
from facegen.errors import InputError
from facegen.files import StrPath, optional_path
from facegen.scoring.features import FeaturePass, finite, require_enough
from facegen.scoring.image_batches import Layout, as_pixels, check_forms
from facegen.scoring.score import Score
from facegen.scoring.scorer import open_scorer

ImageArray = npt.NDArray[Any] | Tensor


class Scorer:
    """A score for images as they come, for a training loop of your own: ``update``, ``compute``, ``reset``.

    The value equals that of :func:`facegen.fid` for the same images saved as PNG, to the last digit, whatever the
    batches. To that end images wait until the network's batch is full. ``compute`` includes the waiting images
    without using them up. On a GPU the last digits differ, as they do between two calls of ``fid``.

    The reference is prepared once and kept in the cache folder. Memory does not grow with the number of images, because
    features are in a temporary file.

    The scorer neither depends on nor changes the caller's random state, autocast, gradient mode, default dtype and
    number of threads. With several processes, each has its own scorer: gather the images in one process.

    Args:
        reference: As in :func:`facegen.fid`: a folder, archive or dataset of images, or a file of statistics. Or at
            least two real images as an array or tensor, in the forms that :meth:`update` takes.
        extractor: Name of the feature extractor, as in :func:`facegen.fid`. None for Inception if its weights are
            available, otherwise effnet-lite0.
        weights: A state dict to use instead of the extractor's published one.
        dims: Number of features per image; None for the extractor's default.
        device: Where the network runs: ``"auto"``, ``"cpu"``, ``"cuda"`` or ``"mps"``. The images may be elsewhere.
        target: The value to stay below. None means 20 for FID, and no target for any other distance.
        value_range: The numbers that stand for black and white in floating-point images: ``(0, 1)`` or ``(-1, 1)``.
        layout: ``"NCHW"`` or ``"NHWC"``; None to recognise it by the axis of length 3.

    Raises:
        InputError: The reference, the weights or an option cannot be used.
        EnvironmentProblem: The weights of the chosen extractor, or the device, are not available.
    """

    def __init__(
        self,
        reference: StrPath | ImageArray,
        *,
        extractor: str | None = None,
        weights: StrPath | None = None,
        dims: int | None = None,
        device: str = "auto",
        target: float | None = None,
        value_range: tuple[float, float] | None = None,
        layout: Layout | None = None,
    ) -> None:
        check_forms(layout, value_range)
        self._value_range, self._layout = value_range, layout
        if isinstance(reference, str | os.PathLike):
            opened: Path | ImageCollection = Path(reference)
        else:
            pixels = as_pixels(reference, "The reference's images", layout=layout, value_range=value_range)
            require_enough(len(pixels), "The reference in memory")
            opened = images_in_memory(pixels, "in memory")
        self._scorer = open_scorer(
            opened, extractor=extractor, weights=optional_path(weights), dims=dims, device=device, target=target
        )
        self._begin()

    def _begin(self) -> None:
        self._passed = FeaturePass(self._scorer.extractor.dims, None)
        self._waiting: list[npt.NDArray[np.uint8]] = []  # fewer images than one batch of the network
        self._close = weakref.finalize(self, self._passed.close)

    @property
    def n(self) -> int:
        """The number of images since the last :meth:`reset`."""
        return self._passed.n + len(self._waiting)

    def reset(self) -> None:
        """Forget the images and keep the reference."""
        self._close()
        self._begin()

    def update(self, images: ImageArray) -> None:
        """Add a batch of images.

        Args:
            images: [N, 3, H, W] or [N, H, W, 3], as an array or as a tensor on any device. Either uint8 in 0–255, or
                floating-point in the scorer's ``value_range``, which is rounded to bytes. The size may change between
                batches.

        Raises:
            InputError: The images have another form, or can be read in two ways. No image of the batch is added then.
        """
        pixels = as_pixels(images, "The images", layout=self._layout, value_range=self._value_range)
        self._waiting.extend(pixels.copy())  # copied, because the caller may refill its array
        size = self._scorer.extractor.batch
        while len(self._waiting) >= size:
            self._take(self._passed, self._waiting[:size])
            del self._waiting[:size]

    def compute(self, *, all_metrics: bool = False) -> Score:
        """Return the score of all images since the last :meth:`reset`.

        You can add more images afterwards.

        Args:
            all_metrics: Fill ``metrics`` as :func:`facegen.fid` does. Copies are looked for in the reference.

        Raises:
            InputError: There are fewer than two images. With ``all_metrics``: there are fewer than 50 images, or the
                reference has statistics only.
        """
        require_enough(self.n, "The scorer")
        if not self._passed.whole:
            raise InputError("An update of the scorer was broken off.", "Call reset() and add the images again.")
        if not self._waiting:
            return self._scorer.score_set(self._passed.finish(), all_metrics=all_metrics)
        with FeaturePass(self._scorer.extractor.dims, None) as whole:
            whole.restore(self._passed.state())
            self._take(whole, self._waiting)
            return self._scorer.score_set(whole.finish(), all_metrics=all_metrics)

    def _take(self, passed: FeaturePass, images: list[npt.NDArray[np.uint8]]) -> None:
        extractor = self._scorer.extractor
        passed.add(images, finite(extractor(images), extractor, "the images"))
