"""What arithmetic tells of a set of images: sizes, values, detail. Enough to warn of what spoils a comparison."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from facegen.metrics.denormalisation import PixelValues
from facegen.metrics.detail import Detail, detail_factor, log_detail

Images = npt.NDArray[np.uint8]
#: So many images tell a set's values and detail.
_ENOUGH = 1000


@dataclass(frozen=True)
class ImageProperties:
    """Of a set of images.

    Attributes:
        sizes: (height, width) and how many images have it, the commonest first.
        sign: what tells that they were saved without undoing their normalisation, in words; None where nothing does.
        detail: how much fine detail they have; None where they are too small to tell or their sizes differ.
    """

    sizes: tuple[tuple[int, int, int], ...]
    sign: str | None
    detail: Detail | None


class PropertyCollector:
    """Measures images as they come."""

    def __init__(self) -> None:
        self._sizes: Counter[tuple[int, int]] = Counter()
        self._seen = 0
        self._values = PixelValues()
        self._details: list[npt.NDArray[np.float64]] = []

    def update(self, images: Iterable[Images]) -> None:
        """Add images, each uint8 [H, W, 3]."""
        for image in images:
            self._sizes[image.shape[0], image.shape[1]] += 1
            if self._seen < _ENOUGH:
                self._values.update(image)
                detail = log_detail(image)
                self._details += [] if detail is None else [detail]
            self._seen += 1

    def state(self) -> dict[str, npt.NDArray[Any]]:
        """What has been measured so far, as plain arrays from which :meth:`restore` goes on."""
        sizes = np.array([(*size, count) for size, count in self._sizes.items()], np.int64).reshape(-1, 3)
        return {"sizes": sizes, "details": np.array(self._details).reshape(-1, 2), "values": self._values.state()}

    def restore(self, state: Mapping[str, npt.NDArray[Any]]) -> None:
        """Go on from what :meth:`state` gave. KeyError or ValueError where it is something else."""
        self._sizes = Counter({(int(height), int(width)): int(count) for height, width, count in state["sizes"]})
        self._seen = sum(self._sizes.values())
        self._details = list(state["details"])
        self._values.restore(state["values"])

    def properties(self) -> ImageProperties:
        """Of all images so far."""
        detail = None
        if len(self._details) > 1 and len(self._sizes) == 1:
            details = np.array(self._details)
            detail = Detail(len(details), details.mean(axis=0), details.var(axis=0, ddof=1))
        sizes = tuple((height, width, count) for (height, width), count in self._sizes.most_common())
        return ImageProperties(sizes, self._values.sign(), detail)


def warnings_of(images: ImageProperties, reference: ImageProperties | None) -> list[str]:
    """What spoils the comparison of images with a reference, in sentences; little is known of a reference's None."""
    found = []
    if len(images.sizes) > 1:
        found.append(f"The images have {_sizes(images)}. Each is resized by itself, which leaves traces of its own.")
    if reference is not None and images.sizes[0][:2] != reference.sizes[0][:2]:
        found.append(
            f"The images are {_size(images.sizes[0])} and the reference's {_size(reference.sizes[0])}: resizing alone "
            "sets them apart."
        )
    if images.sign is not None and (reference is None or reference.sign is None):
        found.append(f"The images look as if their normalisation was not undone on saving: {images.sign}.")
    if reference is not None and images.sizes[0][:2] == reference.sizes[0][:2] and images.detail and reference.detail:
        factor = detail_factor(images.detail, reference.detail)
        if factor is not None:
            found.append(
                f"The images have {factor:.2g} times the reference's power in the finest detail and are like it "
                "otherwise, as when the two were resized by different filters: resize both alike."
            )
    return found


def _size(size: tuple[int, int, int]) -> str:
    return f"{size[1]}×{size[0]}"


def _sizes(images: ImageProperties) -> str:
    rarest, commonest = images.sizes[-1], images.sizes[0]
    return f"{len(images.sizes):,} sizes, {_size(commonest)} {commonest[2]:,} times and {_size(rarest)} {rarest[2]:,}"
