"""What arithmetic tells of a set of images: sizes, colours, framing, detail. Enough to warn of what spoils a score."""

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
#: So many images tell a set's values and detail.
_ENOUGH = 1000
#: Aspect ratios that differ by less are the same: a pixel more or less by rounding.
_SAME_ASPECT = 0.03
#: Of a subject: sizes and places that differ by less are not mentioned; height and width by more, and it is squeezed.
_SAME_ZOOM, _SAME_SHIFT, _SQUEEZED = 0.03, 0.03, 0.1
#: Sizes nearer than this are told to the hundredth.
_TENTH = 0.15


@dataclass(frozen=True)
class ImageProperties:
    """Of a set of images.

    Attributes:
        sizes: (height, width) and how many images have it, the commonest first.
        sign: what tells that they were saved without undoing their normalisation, in words; None where nothing does.
        detail: how much fine detail they have; None where they are too small to tell or their sizes differ.
        colours: how often each colour occurs; None where a file of statistics does not tell.
        mean: the mean image; None likewise.
        crop: how ``facegen prepare`` cropped them, in words; None where nothing tells.
        losses: what getting to RGB lost, of the notes in :mod:`facegen.data.rgb`, and how many images lost it.
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
        """How many they are."""
        return sum(count for _, _, count in self.sizes)

    def losses_in(self, whose: str) -> list[str]:
        """What conversion to RGB lost of these images, which are those in ``whose``, in whole sentences."""
        return [f"In {whose}, {loss_sentence(note, count, self.n)}" for note, count in self.losses]


class PropertyCollector:
    """Measures images as they come."""

    def __init__(self) -> None:
        self._sizes: Counter[tuple[int, int]] = Counter()
        self._seen = 0
        self._values = PixelValues()
        self._details: list[npt.NDArray[np.float64]] = []
        self._colours, self._mean = ColourCounts(), MeanImageSum()
        self._losses: Counter[str] = Counter()

    def update(self, images: Iterable[Images], notes: Iterable[tuple[str, ...]] = ()) -> None:
        """Add images, each uint8 [H, W, 3], and what getting each to RGB lost, where that is known."""
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
        """What has been measured so far, as plain arrays from which :meth:`restore` goes on."""
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
        """Go on from what :meth:`state` gave. KeyError or ValueError where it is something else."""
        self._sizes = Counter({(int(height), int(width)): int(count) for height, width, count in state["sizes"]})
        self._seen = sum(self._sizes.values())
        self._details = list(state["details"])
        self._values.restore(state["values"])
        self._colours.restore(state["colours"])
        self._mean.restore(state["mean_image"])
        lost = zip(state["losses"], state["loss_counts"], strict=True)
        self._losses = Counter({str(note): int(count) for note, count in lost})

    def properties(self) -> ImageProperties:
        """Of all images so far."""
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
    """What spoils the comparison of images with a reference, in sentences; little is known of a reference's None."""
    found = []
    if len(images.sizes) > 1:
        found.append(f"The images have {_sizes(images)}. Each is resized by itself, which leaves traces of its own.")
    if reference is not None and images.sizes[0][:2] != reference.sizes[0][:2]:
        found.append(
            f"The images are {_size(images.sizes[0])} and the reference's {_size(reference.sizes[0])}: resizing alone "
            "sets them apart."
        )
    found += [loss_sentence(note, count, images.n) for note, count in images.losses]
    shown = None if reference is None else _framing(images, reference)
    mixed_up = shown is not None and shown.arrangement == "reshaped"  # then neighbours are no neighbours
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
            f"The images were prepared with {images.crop} and the reference with {reference.crop}: prepare both with "
            "the same --crop."
        )
    elif shown is not None:
        found.append(_framed(shown))
    elif fault is not None or images.sign is not None or reference.sign is not None:
        pass  # such colours have another spectrum as well: one cause is named, not what follows from it
    elif images.sizes[0][:2] == reference.sizes[0][:2] and images.detail and reference.detail:
        factor = detail_factor(images.detail, reference.detail)
        if factor is not None:
            found.append(
                f"The images have {factor:.2g} times the reference's power in the finest detail and are like it "
                "otherwise, as when the two were resized by different filters: resize both alike."
            )
    return found


def colour_fault(colours: Colours, reference: ImageProperties) -> WrongColours | None:
    """How images with such colours were saved wrong, or the reference's were; None where nothing tells.

    Where ``sign`` says that their normalisation was not undone, that is what is wrong, and this is not asked for.
    """
    if reference.colours is None or reference.sign is not None:
        return None
    return wrong_colours(colours, reference.colours)


def _framing(images: ImageProperties, reference: ImageProperties) -> Framing | None:
    """How the images show what the reference shows; None where it is alike, or their shapes do not allow to tell."""
    if images.mean is None or reference.mean is None or max(len(images.sizes), len(reference.sizes)) > 1:
        return None
    aspects = [height / width for height, width, _ in (images.sizes[0], reference.sizes[0])]
    if abs(aspects[0] / aspects[1] - 1) > _SAME_ASPECT:
        return None
    return framing(images.mean, reference.mean)


def _framed(shown: Framing) -> str:
    """How the images show what the reference shows, in sentences."""
    if shown.arrangement is not None:
        return f"Beside the reference's, the images are {ARRANGEMENTS[shown.arrangement]}."
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
        "one of the two was squeezed. Resize both with their aspect kept, and crop them alike"
        if squeezed
        else "the two were cropped differently. Prepare both with the same --crop"
    )
    what = " and ".join(ways or ["at a slightly different size or place"])
    return f"Beside the reference, the images show their subject {what}: {cause}."


def _size(size: tuple[int, int, int]) -> str:
    return f"{size[1]}×{size[0]}"


def _sizes(images: ImageProperties) -> str:
    rarest, commonest = images.sizes[-1], images.sizes[0]
    return f"{len(images.sizes):,} sizes, {_size(commonest)} {commonest[2]:,} times and {_size(rarest)} {rarest[2]:,}"
