"""What a set of images looks like to arithmetic: sizes, values, detail. Enough to warn of what spoils a comparison."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from facegen.metrics.denormalisation import PixelValues
from facegen.metrics.detail import Detail, detail_factor, log_detail

Images = npt.NDArray[np.uint8]
#: So many images tell a set's values and detail.
_ENOUGH = 1000


@dataclass(frozen=True)
class Looks:
    """Of a set of images.

    Attributes:
        sizes: (height, width) and how many images have it, the commonest first.
        sign: what tells that they were saved without undoing their normalisation, in words; None where nothing does.
        detail: how much fine detail they have; None where they are too small to tell or their sizes differ.
    """

    sizes: tuple[tuple[int, int, int], ...]
    sign: str | None
    detail: Detail | None


class Observer:
    """Looks at images as they pass on their way to the network."""

    def __init__(self) -> None:
        self._sizes: Counter[tuple[int, int]] = Counter()
        self._values = PixelValues()
        self._details: list[npt.NDArray[np.float64]] = []

    def watch(self, images: Iterable[Images]) -> Iterator[Images]:
        """The same images, uint8 [H, W, 3]."""
        for seen, image in enumerate(images):
            if image.ndim == 3 and image.dtype == np.uint8:  # else the network's to refuse
                self._sizes[image.shape[0], image.shape[1]] += 1
                if seen < _ENOUGH:
                    self._values.update(image)
                    detail = log_detail(image)
                    self._details += [] if detail is None else [detail]
            yield image

    def looks(self) -> Looks:
        detail = None
        if len(self._details) > 1 and len(self._sizes) == 1:
            details = np.array(self._details)
            detail = Detail(len(details), details.mean(axis=0), details.var(axis=0, ddof=1))
        sizes = tuple((height, width, count) for (height, width), count in self._sizes.most_common())
        return Looks(sizes, self._values.sign(), detail)


def warnings_of(images: Looks, reference: Looks | None) -> list[str]:
    """What spoils the comparison of images with a reference, in sentences; little is known of a reference's None."""
    found = []
    if len(images.sizes) > 1:
        found.append(f"the images have {_sizes(images)}; each is resized by itself, which leaves traces of its own")
    if reference is not None and images.sizes[0][:2] != reference.sizes[0][:2]:
        found.append(
            f"the images are {_size(images.sizes[0])} and the reference's {_size(reference.sizes[0])}: resizing alone "
            "sets them apart"
        )
    if images.sign is not None and (reference is None or reference.sign is None):
        found.append(f"the images look as if their normalisation was not undone on saving: {images.sign}")
    if reference is not None and images.sizes[0][:2] == reference.sizes[0][:2] and images.detail and reference.detail:
        factor = detail_factor(images.detail, reference.detail)
        if factor is not None:
            found.append(
                f"the images have {factor:.2g} times the reference's power in the finest detail and are like it "
                "otherwise, as when the two were resized by different filters: resize both alike"
            )
    return found


def _size(size: tuple[int, int, int]) -> str:
    return f"{size[1]}×{size[0]}"


def _sizes(looks: Looks) -> str:
    rarest, commonest = looks.sizes[-1], looks.sizes[0]
    return f"{len(looks.sizes):,} sizes, {_size(commonest)} {commonest[2]:,} times and {_size(rarest)} {rarest[2]:,}"
