"""The score of images that a program makes as it goes: its own training loop's."""

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
    """Scores images as they come, for a training loop of your own: ``update``, ``compute``, ``reset``.

    The value is that of :func:`facegen.fid` of the same images saved as PNG, to the last digit, in whatever batches
    they come: images wait until the network's batch is full, and ``compute`` takes those that wait without using them
    up. On a GPU the last digits differ, as they do from one ``fid`` to the next. The reference is made ready once, and
    kept in the cache folder. Memory does not grow with the number of images: features lie in a temporary file.

    The caller's random numbers, autocast, gradient mode, default dtype and number of threads count for nothing, and
    stay as they are. Under several processes each has a scorer of its own: gather the images in one.

    Args:
        reference: what :func:`facegen.fid` takes: a folder, archive or dataset of images, or statistics; or real images
            as an array or tensor, at least two, in the forms of :meth:`update`.
        extractor: the network, as in :func:`facegen.fid`; None for Inception where its weights can be had.
        weights: a state dict to use instead of the extractor's published one.
        dims: features an image; None for the extractor's default.
        device: ``"auto"``, ``"cpu"``, ``"cuda"`` or ``"mps"``: where the network runs, wherever the images are.
        target: the value to stay below; None is 20 for FID, and no target for another distance.
        value_range: the numbers that stand for black and white in floating-point images: ``(0, 1)``, or ``(-1, 1)``.
        layout: ``"NCHW"`` or ``"NHWC"``; None to tell it by the axis that is 3 long.

    Raises:
        InputError: a reference, weights or options that cannot be used.
        EnvironmentProblem: the chosen extractor's weights, or the device, are not there.
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
        self._waiting: list[npt.NDArray[np.uint8]] = []  # fewer than the network takes at a time
        self._close = weakref.finalize(self, self._passed.close)

    @property
    def n(self) -> int:
        """How many images there are since the last :meth:`reset`."""
        return self._passed.n + len(self._waiting)

    def reset(self) -> None:
        """Forget the images; the reference stays."""
        self._close()
        self._begin()

    def update(self, images: ImageArray) -> None:
        """Add a batch of images.

        Args:
            images: [N, 3, H, W] or [N, H, W, 3], uint8 in 0–255, or floating-point in the scorer's ``value_range``,
                which is rounded to bytes; an array, or a tensor on any device. Sizes may change between batches.

        Raises:
            InputError: images that are none of it, or can be read in two ways. None of the batch is taken then.
        """
        pixels = as_pixels(images, "The images", layout=self._layout, value_range=self._value_range)
        self._waiting.extend(pixels.copy())  # the caller may fill its array anew
        size = self._scorer.extractor.batch
        while len(self._waiting) >= size:
            self._take(self._passed, self._waiting[:size])
            del self._waiting[:size]

    def compute(self, *, all_metrics: bool = False) -> Score:
        """The score of all images since the last :meth:`reset`; more may follow.

        Args:
            all_metrics: fill ``metrics``, as :func:`facegen.fid` does; copies are looked for in the reference.

        Raises:
            InputError: fewer than two images; all metrics of fewer than 50, or against statistics alone.
        """
        require_enough(self.n, "The scorer")
        if not self._passed.whole:
            raise InputError("An update of the scorer was broken off.", "Call reset(), and give the images again.")
        if not self._waiting:
            return self._scorer.score_set(self._passed.finish(), all_metrics=all_metrics)
        with FeaturePass(self._scorer.extractor.dims, None) as whole:
            whole.restore(self._passed.state())
            self._take(whole, self._waiting)
            return self._scorer.score_set(whole.finish(), all_metrics=all_metrics)

    def _take(self, passed: FeaturePass, images: list[npt.NDArray[np.uint8]]) -> None:
        extractor = self._scorer.extractor
        passed.add(images, finite(extractor(images), extractor, "the images"))
