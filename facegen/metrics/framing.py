"""Whether two sets of images show their subject at different sizes or places: by their mean images.

Faces that were aligned and cropped alike have a mean image with a face in it. Another crop of the same photographs
shows it larger, smaller, squeezed or elsewhere, so one mean image is the other's, zoomed and shifted. Photographs that
are not aligned have a mean without a subject, which no zoom makes fit better.

The thresholds were set on CelebA at 64×64, against 1,000 faces by the course's crop (r: the correlation of the two mean
images as they are; left: what the best zoom and shift leave of 1 − r):

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

#: Side of a mean image.
SIDE = 32
#: Fewer images than this have no mean to rely on.
_FEWEST = 50
#: The best zoom and shift name another framing where they correlate so well, and leave less than this part of 1 − r.
_ALIKE, _LEFT = 0.85, 0.45
#: Zooms and shifts (parts of the side) that are tried, the finer ones around the best of the coarse ones.
_ZOOMS, _SHIFTS = 1.06 ** np.arange(-10, 11), np.arange(-4, 5) / 32
_FINE_ZOOMS, _FINE_SHIFTS = 1.02 ** np.arange(-6, 7), np.arange(-2, 3) / 64
#: What is the same after rounding: a zoom within 4%, a shift within 3% of the side.
_SAME_ZOOM, _SAME_SHIFT = 1.04, 0.03
#: At least so many rows and columns of the two must lie on each other.
_OVERLAP = 12


@dataclass(frozen=True, eq=False)
class MeanImage:
    """The mean of ``n`` images, each brought to 32×32: float64 [32, 32], luma in 0 to 255."""

    n: int
    luma: Floats


class MeanImageSum:
    """Sums up images as they come, whatever their sizes."""

    def __init__(self) -> None:
        self._n, self._sum = 0, np.zeros((SIDE, SIDE))

    def update(self, image: npt.NDArray[np.uint8]) -> None:
        """Add an image, uint8 [H, W, 3]."""
        height, width = image.shape[:2]
        # Rows first: the sums are the same in any order, and this one leaves the least to multiply.
        rows = np.tensordot(_shrinking(height), image.astype(np.float64), axes=1)
        self._sum += (rows @ LUMA_WEIGHTS) @ _shrinking(width).T
        self._n += 1

    def state(self) -> Floats:
        """The sum and the number, [32 · 32 + 1]; :meth:`restore` goes on from them."""
        return np.append(self._sum, self._n)

    def restore(self, state: Floats) -> None:
        """Go on from what :meth:`state` gave. ValueError where it is something else."""
        if state.shape != (SIDE * SIDE + 1,) or state.dtype != np.float64:
            raise ValueError(f"expected sums float64 [{SIDE * SIDE + 1}], got {state.dtype} {list(state.shape)}")
        self._sum, self._n = state[:-1].reshape(SIDE, SIDE).copy(), int(state[-1])

    def mean(self) -> MeanImage:
        """Of all images so far."""
        return MeanImage(self._n, self._sum / max(self._n, 1))


@lru_cache(maxsize=32)
def _shrinking(side: int) -> Floats:
    """What makes 32 rows of ``side``: [32, side], each row's weights the parts of the old rows that it covers."""
    edges, rows = np.linspace(0, side, SIDE + 1), np.arange(side)
    covered = np.minimum(edges[1:, None], rows + 1) - np.maximum(edges[:-1, None], rows)
    return covered.clip(min=0) * SIDE / side


@dataclass(frozen=True)
class Framing:
    """How the images show what the reference shows.

    Attributes:
        height, width: how many times as high and wide.
        down, right: by what part of the image's height and width lower and further right.
        arrangement: None, or how the image as a whole is turned or mixed up, a code of :data:`ARRANGEMENTS`.
    """

    height: float = 1.0
    width: float = 1.0
    down: float = 0.0
    right: float = 0.0
    arrangement: str | None = None


def _reshaped(luma: Floats) -> Floats:
    """What [3, H, W] looks like that was reshaped to [H, W, 3]: small copies of each channel, three by three."""
    shrinking = _shrinking(3 * SIDE)
    return shrinking @ np.tile(luma, (3, 3)) @ shrinking.T


#: How a mean image may be arranged, by code; a mirror image is not among them, for a mean face is symmetric.
ARRANGEMENTS: Mapping[str, str] = {
    "upside_down": "upside down",
    "turned_left": "turned to the left, as when height and width are exchanged",
    "turned_right": "turned to the right, as when height and width are exchanged",
    "reshaped": "mixed up, three small ones beside each other and three below: [3, H, W] has to be transposed to "
    "[H, W, 3], not reshaped",
}


def framing(images: MeanImage, reference: MeanImage) -> Framing | None:
    """How the images show what the reference shows; None where it is alike, or there is nothing to tell it by."""
    if min(images.n, reference.n) < _FEWEST:
        return None
    here, there = images.luma, reference.luma
    plain = _correlation(here, there)
    red = SIDE // 3  # reshaped, the upper third is the red channel, and of one brightness
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
    """The best correlation, and (vertical zoom, shift, horizontal zoom, shift): here's u is there's (u−½)/zoom+½+shift.

    One zoom for both and a vertical shift first, as crops of one photograph differ; then each by itself, finely.
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
    """Of ``here`` with ``there`` zoomed and shifted, where they overlap; −1 where that is too little."""
    (rows, seen_rows), (columns, seen_columns) = _zooming(*fit[:2]), _zooming(*fit[2:])
    if min(seen_rows.sum(), seen_columns.sum()) < _OVERLAP:
        return -1.0
    return _correlation(here[seen_rows][:, seen_columns], rows @ there @ columns.T)


@lru_cache(maxsize=4096)
def _zooming(zoom: float, shift: float) -> tuple[Floats, npt.NDArray[np.bool_]]:
    """What interpolates the rows that are seen, [k, 32], and which of 32 they are."""
    at = (((np.arange(SIDE) + 0.5) / SIDE - 0.5) / zoom + 0.5 + shift) * SIDE - 0.5
    seen = (at >= -0.5) & (at <= SIDE - 0.5)
    at = at[seen].clip(0, SIDE - 1)
    before = np.minimum(at.astype(np.int64), SIDE - 2)
    weights = np.zeros((len(at), SIDE))
    weights[np.arange(len(at)), before] = before + 1 - at
    weights[np.arange(len(at)), before + 1] = at - before
    return weights, seen


def _correlation(first: Floats, second: Floats) -> float:
    """Pearson's; 0 where either is flat."""
    one, two = first - first.mean(), second - second.mean()
    norms = np.sqrt((one**2).sum() * (two**2).sum())
    return float((one * two).sum() / norms) if norms > 1e-6 else 0.0
