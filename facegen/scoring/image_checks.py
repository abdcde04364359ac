"""Properties of a set of images that can spoil a score: sizes, colours, framing and fine detail.

They are computed from the pixels, without a network.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from facegen.data.rgb import loss_sentence
from facegen.metrics.colours import ColourCounts, Colours, WrongColours, wrong_colours
from facegen.metrics.denormalisation import PixelValues
from facegen.metrics.detail import Detail, detail_factor, log_detail
from facegen.metrics.framing import ARRANGEMENTS, Framing, MeanImage, MeanImageSum, framing

Images = npt.NDArray[np.uint8]
#: Number of images that suffices to measure the values and the detail of a set.
_ENOUGH = 1000
#: Aspect ratios that differ by less count as the same, because rounding adds or removes a pixel.
_SAME_ASPECT = 0.03
#: Differences in size and place below the first two are not mentioned. If height and width differ by more than the
#: third, the subject is squeezed.
_SAME_ZOOM, _SAME_SHIFT, _SQUEEZED = 0.03, 0.03, 0.1
#: Sizes that differ from 1 by less are given to two decimal places.
_TENTH = 0.15


@dataclass(frozen=True)
class ImageProperties:
    """The properties of a set of images.

    Attributes:
        sizes: (height, width, number of images with this size), most common size first.
        sign: The sign that the images were saved without undoing their normalisation, as a clause; None if there is
            none.
        detail: The fine detail of the images; None if they are too small or differ in size.
        colours: How often each colour occurs; None if a file of statistics does not have it.
        mean: The mean image; None if a file of statistics does not have it.
        crop: How ``facegen prepare`` cropped the images, in words; None if this is unknown.
        losses: What the conversion to RGB lost, as notes of :mod:`facegen.data.rgb`, and the number of images affected.
    """

    sizes: tuple[tuple[int, int, int], ...]
    sign: str | None
    detail: Detail | None
    colours: Colours | None = None
    mean: MeanImage | None = None
    crop: str | None = None
    losses: tuple[tuple[str, int], ...] = ()

    @property
    def n(self) -> int:
        """The number of images."""
        return sum(count for _, _, count in self.sizes)

    def losses_in(self, whose: str) -> list[str]:
        """Return sentences about what the conversion to RGB lost. ``whose`` says which images these are."""
        return [f"In {whose}, {loss_sentence(note, count, self.n)}" for note, count in self.losses]


class PropertyCollector:
    """A running measurement of images as they come."""

    def __init__(self) -> None:
        self._sizes: Counter[tuple[int, int]] = Counter()
        self._seen = 0
        self._values = PixelValues()
        self._details: list[npt.NDArray[np.float64]] = []
        self._colours, self._mean = ColourCounts(), MeanImageSum()
        self._losses: Counter[str] = Counter()

    def update(self, images: Iterable[Images], notes: Iterable[tuple[str, ...]] = ()) -> None:
        """Add images.

        Args:
            images: Each image is uint8 [H, W, 3].
            notes: For each image, what the conversion to RGB lost. Leave it out if this is unknown.
        """
        self._losses.update(note for of_image in notes for note in of_image)
        for image in images:
            self._sizes[image.shape[0], image.shape[1]] += 1
            if self._seen < _ENOUGH:
                self._values.update(image)
                self._colours.update(image)
                self._mean.update(image)
                detail = log_detail(image)
                self._details += [] if detail is None else [detail]
            self._seen += 1

    def state(self) -> dict[str, npt.NDArray[Any]]:
        """Return the measurements so far as plain arrays; :meth:`restore` continues from them."""
        sizes = np.array([(*size, count) for size, count in self._sizes.items()], np.int64).reshape(-1, 3)
        return {
            "sizes": sizes,
            "details": np.array(self._details).reshape(-1, 2),
            "values": self._values.state(),
            "colours": self._colours.state(),
            "mean_image": self._mean.state(),
            "losses": np.array(list(self._losses), np.str_),
            "loss_counts": np.array(list(self._losses.values()), np.int64),
        }

    def restore(self, state: Mapping[str, npt.NDArray[Any]]) -> None:
        """Continue from what :meth:`state` returned.

        Raises:
            KeyError: ``state`` lacks an array.
            ValueError: An array has another shape or dtype.
        """
        self._sizes = Counter({(int(height), int(width)): int(count) for height, width, count in state["sizes"]})
        self._seen = sum(self._sizes.values())
        self._details = list(state["details"])
        self._values.restore(state["values"])
        self._colours.restore(state["colours"])
        self._mean.restore(state["mean_image"])
        lost = zip(state["losses"], state["loss_counts"], strict=True)
        self._losses = Counter({str(note): int(count) for note, count in lost})

    def properties(self) -> ImageProperties:
        """Return the properties of all images so far."""
        detail = None
        if len(self._details) > 1 and len(self._sizes) == 1:
            details = np.array(self._details)
            detail = Detail(len(details), details.mean(axis=0), details.var(axis=0, ddof=1))
        sizes = tuple((height, width, count) for (height, width), count in self._sizes.most_common())
        return ImageProperties(
            sizes,
            self._values.sign(),
            detail,
            self._colours.colours(),
            self._mean.mean(),
            losses=tuple(self._losses.most_common()),
        )


def warnings_of(images: ImageProperties, reference: ImageProperties | None) -> list[str]:
    """Return warnings, in sentences, about what spoils the comparison of images with a reference.

    Without the properties of the reference, only the images themselves are checked.
    """
    found = []
    if len(images.sizes) > 1:
        found.append(
            f"The images have {_sizes(images)}. Each size is resized differently, which changes the features. "
            "Save all images at one size."
        )
    if reference is not None and images.sizes[0][:2] != reference.sizes[0][:2]:
        found.append(
            f"The images are {_size(images.sizes[0])} and those of the reference are {_size(reference.sizes[0])}. "
            "Resizing alone makes the two differ."
        )
    found += [loss_sentence(note, count, images.n) for note, count in images.losses]
    shown = None if reference is None else _framing(images, reference)
    mixed_up = shown is not None and shown.arrangement == "reshaped"  # neighbouring pixels then do not belong together
    if images.sign is not None and (reference is None or reference.sign is None) and not mixed_up:
        found.append(f"The images look as if their normalisation was not undone on saving: {images.sign}.")
    if reference is None:
        return found
    found += reference.losses_in("the reference")
    fault = None if images.sign is not None or images.colours is None else colour_fault(images.colours, reference)
    if fault is not None:
        found.append(fault.message)
    if images.crop is not None and reference.crop is not None and images.crop != reference.crop:
        found.append(
            f"The images were prepared with {images.crop} and the reference with {reference.crop}. Prepare both with "
            "the same --crop."
        )
    elif shown is not None:
        found.append(_framed(shown))
    elif fault is not None or images.sign is not None or reference.sign is not None:
        pass  # wrong colours change the spectrum too: name the cause, not what follows from it
    elif images.sizes[0][:2] == reference.sizes[0][:2] and images.detail and reference.detail:
        factor = detail_factor(images.detail, reference.detail)
        if factor is not None:
            found.append(
                f"The images have {factor:.2g} times the reference's power in the finest detail, but are otherwise "
                "alike. This happens when the two are resized with different filters. Resize both in the same way."
            )
    return found


def colour_fault(colours: Colours, reference: ImageProperties) -> WrongColours | None:
    """Return the fault with which the images or the reference were saved, or None if there is no sign of one.

    Do not call this if the images have a ``sign`` that their normalisation was not undone. That is then what is wrong.
    """
    if reference.colours is None or reference.sign is not None:
        return None
    return wrong_colours(colours, reference.colours)


def _framing(images: ImageProperties, reference: ImageProperties) -> Framing | None:
    """Return how the framing differs from the reference's.

    Return None if it does not differ, or if the sizes or shapes of the images rule out a comparison.
    """
    if images.mean is None or reference.mean is None or max(len(images.sizes), len(reference.sizes)) > 1:
        return None
    aspects = [height / width for height, width, _ in (images.sizes[0], reference.sizes[0])]
    if abs(aspects[0] / aspects[1] - 1) > _SAME_ASPECT:
        return None
    return framing(images.mean, reference.mean)


def _framed(shown: Framing) -> str:
    """Return sentences about how the framing differs from the reference's."""
    if shown.arrangement is not None:
        return f"Compared with the reference, the images are {ARRANGEMENTS[shown.arrangement]}."
    size, squeezed = (shown.height * shown.width) ** 0.5, abs(shown.height / shown.width - 1) > _SQUEEZED
    ways = []
    if squeezed:
        ways.append(f"{shown.height:.2f} times as high and {shown.width:.2f} times as wide")
    elif abs(size - 1) > _SAME_ZOOM:
        ways.append(f"about {size:.{1 if abs(size - 1) > _TENTH else 2}f} times as large")
    for shift, side, forth, back in (
        (shown.down, "height", "lower", "higher"),
        (shown.right, "width", "further right", "further left"),
    ):
        if abs(shift) > _SAME_SHIFT:
            ways.append(f"{abs(shift):.0%} of the {side} {forth if shift > 0 else back}")
    cause = (
        "One of the two was squeezed. Keep the aspect ratio when you resize them, and crop both in the same way"
        if squeezed
        else "The two were cropped differently. Prepare both with the same --crop"
    )
    what = " and ".join(ways or ["at a slightly different size or place"])
    return f"Compared with the reference, the images show their subject {what}. {cause}."


def _size(size: tuple[int, int, int]) -> str:
    return f"{size[1]}×{size[0]}"


def _sizes(images: ImageProperties) -> str:
    rarest, commonest = images.sizes[-1], images.sizes[0]
    return (
        f"{len(images.sizes):,} sizes: {_size(commonest)} is the most common ({commonest[2]:,} images), "
        f"{_size(rarest)} the rarest ({rarest[2]:,})"
    )
