"""Different framing of two sets of images, detected from their mean images.

Faces that were aligned and cropped in the same way have a mean image that shows a face. Another crop of the same
photographs shows this face larger, smaller, squeezed or elsewhere. One mean image is then a zoomed and shifted copy of
the other. Photographs that are not aligned have a mean image without a subject, and no zoom improves the fit.

The thresholds were set on CelebA at 64×64, against 1,000 faces with the course's crop. In the table, r is the
correlation of the two mean images as they are, and "left" is the fraction of 1 − r that remains after the best zoom
and shift.

===============================================  ==============  ============  ============
the images                                       r               r at best     left
===============================================  ==============  ============  ============
1,000 other faces; 19 sets of 50 against 50       0.99; 0.81      0.99; 0.88    1.0; 0.57
419 sheets of 64 by generators                    0.88            0.89          0.66 and more
a generator after 0.3 kimg; after 1 kimg          0.25; 0.53      0.41; 0.62    0.79; 0.81
random parts of faces (not aligned)               0.96            0.97          0.80 and more
centre crops of 168, 160, 148, 128, 108           0.96 to 0.18    0.99          0.14 to 0.01
178×218 squeezed into a square; padded to one     0.88; 0.18      0.99          0.05; 0.01
top or bottom square; DDIM's crop                 0.48; 0.20      0.98; 0.99    0.04; 0.01
a generator's of 10 kimg, enlarged 1.2 times      0.72            0.96          0.15
===============================================  ==============  ============  ============
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import numpy.typing as npt

from facegen.metrics.luma import LUMA_WEIGHTS

Floats = npt.NDArray[np.float64]

#: Side of a mean image, in pixels.
SIDE = 32
#: Minimum number of images for a mean image that can be relied on.
_FEWEST = 50
#: The best zoom and shift indicate another framing if they reach this correlation and leave less than this fraction of
#: 1 − r.
_ALIKE, _LEFT = 0.85, 0.45
#: Zooms, and shifts as fractions of the side, that are tried. The fine ones are tried around the best coarse ones.
_ZOOMS, _SHIFTS = 1.06 ** np.arange(-10, 11), np.arange(-4, 5) / 32
_FINE_ZOOMS, _FINE_SHIFTS = 1.02 ** np.arange(-6, 7), np.arange(-2, 3) / 64
#: A zoom within 4% and a shift within 3% of the side count as the same framing.
_SAME_ZOOM, _SAME_SHIFT = 1.04, 0.03
#: Minimum number of rows, and of columns, in which the two mean images must overlap.
_OVERLAP = 12


@dataclass(frozen=True, eq=False)
class MeanImage:
    """The mean of ``n`` images.

    Attributes:
        n: Number of images.
        luma: Mean luma, 0 to 255, after every image was resized to 32×32: float64 [32, 32].
    """

    n: int
    luma: Floats


class MeanImageSum:
    """A running sum of images of any size."""

    def __init__(self) -> None:
        self._n, self._sum = 0, np.zeros((SIDE, SIDE))

    def update(self, image: npt.NDArray[np.uint8]) -> None:
        """Add an image, uint8 [H, W, 3]."""
        height, width = image.shape[:2]
        # Shrink the rows first: the order does not change the sums, and this one needs the fewest multiplications.
        rows = np.tensordot(_shrinking(height), image.astype(np.float64), axes=1)
        self._sum += (rows @ LUMA_WEIGHTS) @ _shrinking(width).T
        self._n += 1

    def state(self) -> Floats:
        """Return the sum and the number of images as one float64 array [32 · 32 + 1].

        :meth:`restore` continues from it.
        """
        return np.append(self._sum, self._n)

    def restore(self, state: Floats) -> None:
        """Continue from what :meth:`state` returned.

        Raises:
            ValueError: The array has another shape or dtype.
        """
        if state.shape != (SIDE * SIDE + 1,) or state.dtype != np.float64:
            raise ValueError(f"expected sums float64 [{SIDE * SIDE + 1}], got {state.dtype} {list(state.shape)}")
        self._sum, self._n = state[:-1].reshape(SIDE, SIDE).copy(), int(state[-1])

    def mean(self) -> MeanImage:
        """Return the mean of all images so far."""
        return MeanImage(self._n, self._sum / max(self._n, 1))


@lru_cache(maxsize=32)
def _shrinking(side: int) -> Floats:
    """Return the matrix [32, side] that averages ``side`` rows down to 32.

    Each weight is the part of an old row that a new row covers.
    """
    edges, rows = np.linspace(0, side, SIDE + 1), np.arange(side)
    covered = np.minimum(edges[1:, None], rows + 1) - np.maximum(edges[:-1, None], rows)
    return covered.clip(min=0) * SIDE / side


@dataclass(frozen=True)
class Framing:
    """How the images show the subject, compared with the reference.

    Attributes:
        height, width: How many times as high and as wide as in the reference the subject is.
        down, right: How far the subject lies below and to the right of its place in the reference, as a fraction of the
            image's height and width.
        arrangement: A code of :data:`ARRANGEMENTS` if the whole image is turned or mixed up, otherwise None.
    """

    height: float = 1.0
    width: float = 1.0
    down: float = 0.0
    right: float = 0.0
    arrangement: str | None = None


def _reshaped(luma: Floats) -> Floats:
    """Return the mean image of [3, H, W] arrays that were reshaped to [H, W, 3].

    It shows small copies of each channel, three by three.
    """
    shrinking = _shrinking(3 * SIDE)
    return shrinking @ np.tile(luma, (3, 3)) @ shrinking.T


#: How a mean image may be arranged, by code. Mirroring is not among them, because a mean face is symmetric.
ARRANGEMENTS: Mapping[str, str] = {
    "upside_down": "upside down",
    "turned_left": "turned to the left, as when height and width are exchanged",
    "turned_right": "turned to the right, as when height and width are exchanged",
    "reshaped": "mixed up into nine small copies, as when [3, H, W] is reshaped to [H, W, 3] instead of transposed",
}


def framing(images: MeanImage, reference: MeanImage) -> Framing | None:
    """Return how the framing of the images differs from that of the reference.

    Returns:
        None if the framing is the same, or if it cannot be determined: there are fewer than 50 images, or no zoom and
        shift makes the mean images fit.
    """
    if min(images.n, reference.n) < _FEWEST:
        return None
    here, there = images.luma, reference.luma
    plain = _correlation(here, there)
    red = SIDE // 3  # the upper third of a reshaped image is its red channel, whose copies are equally bright
    arranged = {
        "upside_down": _correlation(here, there[::-1]),
        "turned_left": _correlation(here, np.rot90(there)),
        "turned_right": _correlation(here, np.rot90(there, -1)),
        "reshaped": _correlation(here[:red], _reshaped(there)[:red]),
    }
    code, best = max(arranged.items(), key=lambda item: item[1])
    zoomed, found = _fit(here, there, plain)
    if best > zoomed and _explains(best, plain):
        return Framing(arrangement=code)
    height, down, width, right = (float(number) for number in found)
    zooms, shifts = (height, width), (down, right)
    alike = all(1 / _SAME_ZOOM < zoom < _SAME_ZOOM for zoom in zooms) and all(abs(s) < _SAME_SHIFT for s in shifts)
    if alike or not _explains(zoomed, plain):
        return None
    return Framing(height, width, 0.0 - down * height, 0.0 - right * width)


def _explains(best: float, plain: float) -> bool:
    return best >= _ALIKE and 1 - best < _LEFT * (1 - plain)


def _fit(here: Floats, there: Floats, plain: float) -> tuple[float, tuple[float, float, float, float]]:
    """Return the best correlation, and the fit (vertical zoom, shift, horizontal zoom, shift) that reaches it.

    Position u in ``here`` corresponds to (u − ½)/zoom + ½ + shift in ``there``. The search begins with one zoom for
    both axes and a vertical shift, because that is how crops of one photograph differ. Then it refines each number by
    itself.
    """
    best = plain, (1.0, 0.0, 1.0, 0.0)

    def attempt(height: float, down: float, width: float, right: float) -> None:
        nonlocal best
        fit = (height, down, width, right)
        best = max(best, (_zoomed_correlation(here, there, fit), fit), key=lambda found: found[0])

    for zoom in _ZOOMS:
        for shift in _SHIFTS:
            attempt(zoom, shift, zoom, 0.0)
    for zooms, shifts in ((_ZOOMS, _SHIFTS), (_FINE_ZOOMS, _FINE_SHIFTS), (_FINE_ZOOMS, _FINE_SHIFTS)):
        for axis, choices in enumerate((zooms, shifts, zooms, shifts)):
            start = best[1]
            for choice in choices:
                one = list(start)
                one[axis] = one[axis] + choice if axis % 2 else one[axis] * choice
                attempt(one[0], one[1], one[2], one[3])
    return best


def _zoomed_correlation(here: Floats, there: Floats, fit: tuple[float, float, float, float]) -> float:
    """Return the correlation of ``here`` with the zoomed and shifted ``there``, where they overlap.

    Return −1 if the overlap is too small.
    """
    (rows, seen_rows), (columns, seen_columns) = _zooming(*fit[:2]), _zooming(*fit[2:])
    if min(seen_rows.sum(), seen_columns.sum()) < _OVERLAP:
        return -1.0
    return _correlation(here[seen_rows][:, seen_columns], rows @ there @ columns.T)


@lru_cache(maxsize=4096)
def _zooming(zoom: float, shift: float) -> tuple[Floats, npt.NDArray[np.bool_]]:
    """Return the matrix [k, 32] that interpolates the visible rows, and which of the 32 rows are visible."""
    at = (((np.arange(SIDE) + 0.5) / SIDE - 0.5) / zoom + 0.5 + shift) * SIDE - 0.5
    seen = (at >= -0.5) & (at <= SIDE - 0.5)
    at = at[seen].clip(0, SIDE - 1)
    before = np.minimum(at.astype(np.int64), SIDE - 2)
    weights = np.zeros((len(at), SIDE))
    weights[np.arange(len(at)), before] = before + 1 - at
    weights[np.arange(len(at)), before + 1] = at - before
    return weights, seen


def _correlation(first: Floats, second: Floats) -> float:
    """Return Pearson's correlation, or 0 if one of the images is flat."""
    one, two = first - first.mean(), second - second.mean()
    norms = np.sqrt((one**2).sum() * (two**2).sum())
    return float((one * two).sum() / norms) if norms > 1e-6 else 0.0
