"""Colour faults: differences in colour that are typical of a known mistake in saving images.

A set of images is summarised by how often each colour occurs. A fault is a function of the colour of one pixel, so it
can be applied to these counts. A fault is the likely cause if two things hold: the colours of the images are far from
those of the reference, and they are close to what the fault makes of the reference's colours. A generator that is
merely bad is far from both.

The thresholds were set on CelebA at 64×64, against 1,000 faces. Distances are in steps of 0 to 255. "Left" is the
fraction of the distance that remains after the best fault whose range of values is as wide as that of the images. The
number in brackets is for the best of all faults.

==================================================  ============  =======================
the images                                          distance      left
==================================================  ============  =======================
1,000 other faces; 30 sets of 10 against 10         1.8; 23       7.2; 0.75 and more
those as JPEG of quality 30; blurred (sigma 3)      2.3; 6.6      5.6; 2.3
419 sheets of 64 by generators, 8 to 1,490 kimg     0.6 to 9.0    1.7 (1.1) and more
36 generators of 8 to 1,480 kimg, 512 images each   1 to 8.8      1.8 (0.84) and more
a generator after 0.3 kimg; after 1; after 3        29; 27; 13    0.67; 0.80; 1.4 (0.53)
a generator of drawn faces after 0.3; 1; 3 kimg     18; 16; 6.7   0.78; 0.90; 1.8 (0.69)
drawn faces (``synthetic``)                         15            1.3 (0.63)
noise; one grey                                     41; 47        0.71; 0.62
other faces with a fault                            13 to 70      0.04 to 0.18
a generator's of 10 kimg with a fault               15 to 69      0.13 to 0.35 of 12 in 15
other faces at 16 to 235, also as JPEG              7.2; 7.5      0.41; 0.43
the darkest, the brightest tenth of 10,000 faces    32; 33        0.32; 0.33 by a gamma
==================================================  ============  =======================
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from facegen.metrics.luma import LUMA_WEIGHTS

Floats = npt.NDArray[np.float64]
Counts = npt.NDArray[np.int64]

#: Number of bins per channel; each holds 8 of the 256 values.
_BINS = 32
#: Number of colours that are told apart.
COLOURS = _BINS**3
#: Maximum number of pixels per side to count. In a larger image, pixels at equal steps are counted.
_SIDE = 64
#: Axes along which colours are compared: red, green, blue and the difference of each two. [3, 6]
_AXES = np.array([[1, 0, 0, 1, 0, 1], [0, 1, 0, -1, 1, 0], [0, 0, 1, 0, -1, -1]], dtype=np.float64)
#: The colour in the middle of each bin, float64 [32³, 3].
_CENTRES = ((np.arange(COLOURS)[:, None] >> np.array([10, 5, 0])) % _BINS) * 8 + 3.5

#: Minimum number of images for a comparison.
_FEWEST = 10
#: Distance from which colours count as different. Random sets of n faces are about 20/√n apart.
DIFFERENT, _BY_CHANCE = 5.0, 20.0
#: A fault is the likely cause if it leaves less than this fraction of the distance.
LEAVES = 0.42
#: A fault is ruled out if more than this fraction of the values lies further than this many steps outside the range
#: that it can produce. JPEG carries values no further.
_OUT_OF_REACH, _BEYOND = 0.005, 8
#: Conditions for "squeezed". The scale of each channel lies within these bounds, and the three scales are within this
#: factor of each other. The middles of the channels lie near that of all values. Almost no value lies outside the
#: range. Less than this fraction of the distance is left. Faces that were denormalised with the means and standard
#: deviations of CIFAR, CLIP or CelebA leave 0.12 to 0.19. Sheets by generators that meet the other conditions leave
#: 1.2 or more.
_SCALES, _SCALES_APART, _MIDDLES, _SQUEEZED = (0.4, 0.85), 1.25, (90.0, 160.0), 0.25
#: If another fault is likely too, squeezing is likelier if it leaves less than this fraction of what that fault leaves.
_FITS_BETTER = 0.6

#: Conditions for "stretched". This fraction of the images have both a 0 and a 255. In this fraction, few values are
#: either. In the reference, no more than this fraction have both. Of CelebA's faces, 14% have both, and of a
#: generator's images at most 36%. Of stretched images, 61 to 86% have both with few values that are either.
_STRETCHED, _BARELY, _REFERENCE = 0.98, 0.5, 0.7
_FEW = 0.005


@dataclass(frozen=True, eq=False)
class Colours:
    """The colours of ``n`` images.

    Attributes:
        n: Number of images.
        counts: How often each colour occurs, int64 [32³]. The bin of red is the most significant.
        full: Fraction of the images that have both a 0 and a 255.
        barely: Fraction of the images that have both, in at most 0.5% of their values.
    """

    n: int
    counts: Counts
    full: float
    barely: float

    @property
    def means(self) -> tuple[int, int, int]:
        """The mean red, green and blue, 0 to 255."""
        red, green, blue = (self.counts @ _CENTRES) / max(self.counts.sum(), 1)
        return round(red), round(green), round(blue)


class ColourCounts:
    """A running count of the colours of images of any size."""

    def __init__(self) -> None:
        self._counts = np.zeros(COLOURS, dtype=np.int64)
        self._n = self._full = self._barely = 0

    def update(self, image: npt.NDArray[np.uint8]) -> None:
        """Add an image, uint8 [H, W, 3]."""
        step = max(1, min(image.shape[:2]) // _SIDE)
        red, green, blue = (image[::step, ::step] >> 3).reshape(-1, 3).T.astype(np.int64)
        self._counts += np.bincount(red << 10 | green << 5 | blue, minlength=COLOURS)
        self._n += 1
        if image.min() == 0 and image.max() == 255:
            self._full += 1
            ends = np.count_nonzero(image == 0) + np.count_nonzero(image == 255)
            self._barely += int(ends <= _FEW * image.size)

    def state(self) -> Counts:
        """Return all counts, int64 [32³ + 3]; :meth:`restore` continues from them."""
        return np.array([*self._counts, self._n, self._full, self._barely], dtype=np.int64)

    def restore(self, state: Counts) -> None:
        """Continue from what :meth:`state` returned.

        Raises:
            ValueError: The array has another shape or dtype.
        """
        if state.shape != (COLOURS + 3,) or state.dtype != np.int64:
            raise ValueError(f"expected counts int64 [{COLOURS + 3}], got {state.dtype} {list(state.shape)}")
        self._counts, (self._n, self._full, self._barely) = state[:-3].copy(), (int(count) for count in state[-3:])

    def colours(self) -> Colours:
        """Return the colours of all images so far."""
        images = max(self._n, 1)
        return Colours(self._n, self._counts.copy(), self._full / images, self._barely / images)


@dataclass(frozen=True)
class Fault:
    """A way to save images with wrong colours.

    Attributes:
        says: A sentence that says what the images look like, compared with a reference that has no fault.
        remedy: A sentence that says what to do about it.
        change: What the fault does to colours, float64 [k, 3] in 0 to 255, before rounding and clipping. None if it
            depends on more of an image than one pixel.
        either: Whether the reference may be the one that has the fault. The two names in ``says`` are then exchanged.
        leaves: The fault is the likely cause if it leaves less than this fraction of the distance.
    """

    says: str
    remedy: str
    change: Callable[[Floats], Floats] | None
    either: bool = False
    leaves: float = LEAVES


def _channels(*order: int) -> Callable[[Floats], Floats]:
    return lambda colours: colours[:, order]


def _ycbcr(colours: Floats) -> Floats:
    """Convert to ITU-R BT.601 YCbCr at full range, as JPEG uses it."""
    luma = colours @ LUMA_WEIGHTS
    blue, red = 128 + 0.564 * (colours[:, 2] - luma), 128 + 0.713 * (colours[:, 0] - luma)
    return np.stack([luma, blue, red], axis=1)


def _ycrcb(colours: Floats) -> Floats:
    """Convert to YCrCb: YCbCr with the two chroma channels exchanged, as OpenCV uses it."""
    return _ycbcr(colours)[:, [0, 2, 1]]


def _hsv(colours: Floats) -> Floats:
    """Convert to hue, saturation and value, each in 0 to 255, as Pillow does."""
    red, green, blue = colours.T
    value = colours.max(axis=1)
    spread = value - colours.min(axis=1)
    by = np.where(spread > 0, spread, 1.0)
    hue = np.where(
        value == red, (green - blue) / by % 6, np.where(value == green, (blue - red) / by + 2, (red - green) / by + 4)
    )
    saturation = spread / np.where(value > 0, value, 1.0)
    return np.stack([np.where(spread > 0, hue, 0) * 255 / 6, saturation * 255, value], axis=1)


#: ImageNet's means and standard deviations of red, green and blue, for values from 0 to 1.
_MEANS, _DEVIATIONS = np.array([0.485, 0.456, 0.406]), np.array([0.229, 0.224, 0.225])

_ORDER = "Bring the channels into the order red, green, blue before you save the images."
_ONE_PLUS_X = "Map the generator's output from [-1, 1] to [0, 1] by (x + 1) / 2 once, and save it as 8-bit RGB."
_POWER = "Save the values as the generator gives them, without a gamma of your own."

#: The known faults, by code.
FAULTS: Mapping[str, Fault] = {
    "bgr": Fault(
        "{Images} look as if red and blue were swapped, compared with {reference}. OpenCV uses that order.",
        "Convert with cv2.cvtColor(image, cv2.COLOR_RGB2BGR) before cv2.imwrite, and with cv2.COLOR_BGR2RGB after "
        "cv2.imread.",
        _channels(2, 1, 0),
    ),
    "gbr": Fault(
        "{Images} look as if red, green and blue were saved in the order green, blue, red.", _ORDER, _channels(1, 2, 0)
    ),
    "brg": Fault(
        "{Images} look as if red, green and blue were saved in the order blue, red, green.", _ORDER, _channels(2, 0, 1)
    ),
    "grb": Fault(
        "{Images} look as if red and green were swapped, compared with {reference}.", _ORDER, _channels(1, 0, 2)
    ),
    "rbg": Fault(
        "{Images} look as if green and blue were swapped, compared with {reference}.", _ORDER, _channels(0, 2, 1)
    ),
    "grey": Fault(
        "{Images} look grey, unlike {reference}.",
        "Save all three channels of each image, or compare with a reference that is grey too.",
        lambda colours: np.repeat((colours @ LUMA_WEIGHTS)[:, None], 3, axis=1),
        either=True,
    ),
    "negative": Fault(
        "{Images} look like negatives: they are dark where {reference} is bright.",
        "Save x instead of 255 - x.",
        lambda colours: 255 - colours,
    ),
    "imagenet_denormalised": Fault(
        "{Images} look as if they were denormalised with ImageNet's means and standard deviations. That leaves only "
        "values between 46 and 182.",
        _ONE_PLUS_X,
        lambda colours: ((colours / 127.5 - 1) * _DEVIATIONS + _MEANS) * 255,
        either=True,
    ),
    "imagenet_normalised": Fault(
        "{Images} look as if they were normalised with ImageNet's means and standard deviations, but denormalised by "
        "(x + 1) / 2.",
        "Denormalise them by x · deviation + mean, or train on pixels from -1 to 1.",
        lambda colours: (colours / 255 - _MEANS) / _DEVIATIONS * 127.5 + 127.5,
    ),
    "half": Fault(
        "{Images} look half as bright as {reference}, as when values from 0 to 1 are multiplied by 127.5.",
        "Multiply values from 0 to 1 by 255.",
        lambda colours: colours / 2,
        either=True,
    ),
    "brightened": Fault(
        "{Images} look brighter than {reference} by a gamma of 1/2.2, as when the sRGB curve is applied twice.",
        _POWER,
        lambda colours: 255 * (colours / 255) ** (1 / 2.2),
        leaves=0.3,  # photographs that are bright by nature leave little more than this
    ),
    "darkened": Fault(
        "{Images} look darker than {reference} by a gamma of 2.2, as when linear light is saved without the sRGB "
        "curve.",
        _POWER,
        lambda colours: 255 * (colours / 255) ** 2.2,
        leaves=0.3,
    ),
    "ycbcr": Fault(
        "{Images} look as if luma and chroma (YCbCr) were saved in place of red, green and blue.",
        'Convert them with image.convert("RGB") or cv2.cvtColor before you save them.',
        _ycbcr,
        either=True,
    ),
    "ycrcb": Fault(
        "{Images} look as if luma and chroma (YCrCb, OpenCV's order) were saved in place of red, green and blue.",
        "Convert them with cv2.COLOR_YCrCb2BGR before cv2.imwrite.",
        _ycrcb,
        either=True,
    ),
    "hsv": Fault(
        "{Images} look as if hue, saturation and value were saved in place of red, green and blue.",
        'Convert them with image.convert("RGB") or cv2.cvtColor before you save them.',
        _hsv,
        either=True,
    ),
    "limited_range": Fault(
        "{Images} look as if 0 to 255 were squeezed into 16 to 235, the limited range that video uses.",
        "Convert from video's limited range to the full range.",
        lambda colours: 16 + colours * 219 / 255,
        leaves=0.6,  # its distance is small, and few other sets lie within its range of values
    ),
    "squeezed": Fault(
        "{Images} look as if 0 to 255 were squeezed into {ranges} in red, green and blue, as when images are "
        "normalised with one set of means and standard deviations and denormalised with another.",
        _ONE_PLUS_X,
        None,
        either=True,
    ),
    "stretched": Fault(
        "{Images} look as if each was stretched to its own range: {share} of them use all of 0 to 255, but only "
        "{reference_share} of {reference}'s do.",
        "Denormalise all images by (x + 1) / 2, as save_image(x, file, normalize=True, value_range=(-1, 1)) does, "
        "without scale_each and without autocontrast.",
        None,
    ),
}


@dataclass(frozen=True)
class WrongColours:
    """A fault that explains how the colours of two sets of images differ.

    Attributes:
        fault: A code of :data:`FAULTS`.
        of_reference: Whether it is the reference that looks as if it had the fault.
        distance: How far a value has to move, in steps of 0 to 255, to give one set the colours of the other. It is the
            1-Wasserstein distance, averaged over the channels and their differences.
        explained: The fraction of ``distance``, 0 to 1, that goes away if the set without the fault is given the
            fault too. None for a fault that a single pixel does not show.
        message: Sentences that describe the fault, the mean colours of both sets, and the remedy.
    """

    fault: str
    of_reference: bool
    distance: float
    explained: float | None
    message: str


def wrong_colours(images: Colours, reference: Colours) -> WrongColours | None:
    """Return the fault that explains how the images' colours differ from the reference's, or None if no fault does."""
    if min(images.n, reference.n) < _FEWEST:
        return None
    here, there = _distributions(images.counts), _distributions(reference.counts)
    distance = _distance(here, there)
    if images.full >= _STRETCHED and images.barely >= _BARELY and reference.full <= _REFERENCE:
        return _found("stretched", False, distance, None, images, reference)
    if distance < DIFFERENT + _BY_CHANCE * np.sqrt(1 / images.n + 1 / reference.n):
        return None
    left, code, of_reference = min(
        (_distance(faulty, _distributions(right, fault.change)) / distance, code, of_reference)
        for of_reference, faulty, right in ((False, here, reference.counts), (True, there, images.counts))
        for code, fault in FAULTS.items()
        if fault.change is not None and (fault.either or not of_reference)
        if _within_reach(faulty, fault.change)
    )
    named = left < FAULTS[code].leaves
    for squeezed_reference, faulty, right in ((False, here, reference.counts), (True, there, images.counts)):
        squeezing = _squeezing(faulty, right)
        # If both fit, the fault without free parameters is the likelier one.
        if squeezing is not None and squeezing[1] < distance * min(_SQUEEZED, _FITS_BETTER * left if named else 1.0):
            explained = 1 - squeezing[1] / distance
            return _found("squeezed", squeezed_reference, distance, explained, images, reference, squeezing[0])
    return _found(code, of_reference, distance, 1 - left, images, reference) if named else None


def _found(
    code: str,
    of_reference: bool,
    distance: float,
    explained: float | None,
    images: Colours,
    reference: Colours,
    ranges: str = "",
) -> WrongColours:
    fault = FAULTS[code]
    subject, other = ("The images", "the reference")
    if of_reference:
        subject, other = ("The reference's images", "the images")
    said = fault.says.format(
        Images=subject,
        reference=other,
        share=f"{images.full:.0%}",
        reference_share=f"{reference.full:.0%}",
        ranges=ranges,
    )
    means = (
        f"The mean red, green and blue are {_listed(images)} in the images and {_listed(reference)} in the reference."
    )
    return WrongColours(code, of_reference, distance, explained, f"{said} {means} {fault.remedy}")


def _listed(colours: Colours) -> str:
    return "{}, {} and {}".format(*colours.means)


def _distributions(counts: Counts, change: Callable[[Floats], Floats] | None = None) -> Floats:
    """Return the cumulative distribution of the changed colours along each axis, [6, 511], from −255 to 255."""
    there = np.flatnonzero(counts)
    colours = _CENTRES[there] if change is None else change(_CENTRES[there]).clip(0, 255)
    along = np.rint(colours @ _AXES).astype(np.int64) + 255
    weights = counts[there] / counts.sum()
    return np.stack([np.cumsum(np.bincount(axis, weights, 511)) for axis in along.T])


def _squeezing(faulty: Floats, right: Counts) -> tuple[str, float] | None:
    """Return into what ranges 0 to 255 of each channel was squeezed, in words, and the distance that this leaves.

    The channels are assumed to be scaled and shifted. Scale and shift map the first and last tenth of the right
    colours to those of the faulty ones. Return None if the result is not what a mistake in saving would give.
    """
    values = np.arange(-255, 256)
    tenths = [
        np.array([[np.interp(share, channel, values) for share in (0.1, 0.9)] for channel in cumulative[:3]])
        for cumulative in (faulty, _distributions(right))
    ]
    seen, true = tenths
    spread = true[:, 1] - true[:, 0]
    if spread.min() < 1:
        return None
    scales = (seen[:, 1] - seen[:, 0]) / spread
    lowest = seen[:, 0] - scales * true[:, 0]
    middles = lowest + 127.5 * scales
    if scales.min() < _SCALES[0] or scales.max() > min(_SCALES[1], _SCALES_APART * scales.min()):
        return None
    if middles.min() < _MIDDLES[0] or middles.max() > _MIDDLES[1]:
        return None

    def change(colours: Floats) -> Floats:
        return colours * scales + lowest

    if not _within_reach(faulty, change):
        return None
    ends = zip(lowest.clip(0, 255), (lowest + 255 * scales).clip(0, 255), strict=True)
    first, second, third = (f"{round(float(low))} to {round(float(high))}" for low, high in ends)
    return f"{first}, {second} and {third}", _distance(faulty, _distributions(right, change))


def _distance(first: Floats, second: Floats) -> float:
    """Return how far a value has to move to turn one distribution into the other, averaged over the axes."""
    return float(np.abs(first - second).sum(axis=1).mean())


def _within_reach(values: Floats, change: Callable[[Floats], Floats]) -> bool:
    """Return whether almost all red, green and blue values lie in or near the range that ``change`` can produce."""
    everywhere = np.stack(np.meshgrid(*[np.linspace(0, 255, 9)] * 3), axis=-1).reshape(-1, 3)
    reached = change(everywhere).clip(0, 255)
    outside = 0.0
    for channel, lowest, highest in zip(values[:3], reached.min(axis=0), reached.max(axis=0), strict=True):
        outside += channel[max(int(lowest) - _BEYOND, 0) + 254] + 1 - channel[min(int(highest) + _BEYOND, 255) + 255]
    return outside / 3 <= _OUT_OF_REACH
