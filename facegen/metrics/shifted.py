"""Finds shifted copies: images that are others moved by some pixels, mirrored or not, in any brightness.

Perceptual hashes miss them: a shift by one pixel of 64 alters 32 of 256 bits. Two stages find them here, on luma
averaged to 32x32. The first compares low frequencies of the middle, which a shift by two pixels of 64 hardly alters, at
9 shifts of each image and of its mirror image: a product of matrices names the likeliest few of all known images. The
second is normalised cross-correlation (Lewis, "Fast Normalized Cross-Correlation", 1995) of fine detail with those few,
at every shift nearby. Neither depends on brightness or contrast.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.fft import dct
from scipy.ndimage import gaussian_filter1d

from facegen.metrics.luma import LUMA_WEIGHTS
from facegen.metrics.phash import small_luma

#: Two images whose fine detail correlates this much count as copies: docs/grading.md has what copies reach. Of 2,044
#: faces of CelebA the likeliest strangers among 15,978 others reach 0.84, 0.77 and 0.76.
ALIKE = 0.88
#: Where strangers are more alike, as drawn faces are, copies have to be so much further (Fisher's z) than 95% of them.
_FURTHER = 0.7
Floats = npt.NDArray[np.float32]
Thumbnails = npt.NDArray[np.uint8]

_SIDE = 32
#: Of the first stage: the window's side, frequencies, and the shifts, in pixels of 32.
_COARSE, _FREQUENCIES, _GRID = 24, 7, (-2, 0, 2)
#: Of the second: the window's side, and pixels of 32 up to which detail is fine.
_FINE, _DETAIL = 26, 1.2
#: Known images that are compared at once, each part of which names its likeliest; and how many go on to the second.
_BLOCK, _CANDIDATES = 2000, 3
#: Fine detail of less than this, of 255, is rounding.
_LEAST = 1.0


@dataclass(frozen=True)
class ShiftedMatches:
    """For each of N images its likeliest shifted copy.

    Attributes:
        row: int64 [N], of the known images; -1 where there is none.
        correlation: float64 [N], -1 to 1, also of pairs that are too low to count; -1 where none was compared.
        shift: int64 [N, 2], pixels by which the image, mirrored back first, lies right of and below the known one.
        mirrored: bool [N].
    """

    row: npt.NDArray[np.int64]
    correlation: npt.NDArray[np.float64]
    shift: npt.NDArray[np.int64]
    mirrored: npt.NDArray[np.bool_]


def thumbnails(images: npt.NDArray[np.uint8]) -> Thumbnails:
    """Luma averaged to uint8 [N, 32, 32], of uint8 [N, S, S, 3], S a multiple of 32: what is kept of known images."""
    return np.rint(small_luma(images)).astype(np.uint8)


def find_shifted(images: npt.NDArray[np.uint8], known: Thumbnails, limit: float = ALIKE) -> ShiftedMatches:
    """The likeliest shifted copy of each image.

    Args:
        images: uint8 [N, S, S, 3], S a multiple of 32.
        known: uint8 [M, 32, 32], as :func:`thumbnails` makes them.
        limit: the least correlation that counts.
    """
    count = len(images)
    if not count or not len(known):
        none = np.full(count, -1, dtype=np.int64)
        return ShiftedMatches(none, none.astype(np.float64), np.zeros((count, 2), np.int64), np.zeros(count, np.bool_))
    half = images.shape[1] // (2 * _SIDE)
    whole: Floats = np.matmul(images, LUMA_WEIGHTS, dtype=np.float32)
    luma = np.stack([_at_half_pixels(each, half) for each in (whole, whole[:, :, ::-1])])
    rows, variants = _candidates(luma[:, 0, 0], known)
    best, down, right = _correlations(luma, rows, variants, known)
    first = np.arange(count), best.argmax(axis=1)
    # Half pixels of 32 are the pixels of 64; of an odd number the phase is that of _at_half_pixels.
    shift = np.stack(
        [each[first] // 2 * (images.shape[1] // _SIDE) + each[first] % 2 * half for each in (right, down)], 1
    )
    correlation = best[first]
    row = np.where(correlation >= limit, rows[first], -1)
    return ShiftedMatches(row, correlation, shift, variants[first] >= len(_GRID) ** 2)


def least_of_copies(known: Thumbnails) -> float:
    """The least correlation that makes a copy among these: :data:`ALIKE`, or more where strangers are much alike.

    200 of them are compared with the half that they are not of.
    """
    ones, others = known[::2][:: max(1, len(known) // 400)][:200], known[1::2]
    if not len(others):
        return ALIKE
    strangers = find_shifted(np.repeat(ones[..., None], 3, axis=-1), others).correlation
    usual = np.arctanh(np.clip(np.quantile(strangers, 0.95), 0, 0.999))
    return max(ALIKE, float(np.tanh(usual + _FURTHER)))


def _at_half_pixels(luma: Floats, half: int) -> Floats:
    """Block means, float32 [2, 2, N, 32, 32], of luma [N, S, S], and of it moved up and left by ``half`` pixels."""
    side = luma.shape[1]
    block = side // _SIDE
    padded = np.pad(luma, ((0, 0), (0, half), (0, half)), mode="edge")
    planes = np.zeros((2, 2, len(luma), _SIDE, _SIDE), dtype=np.float32)
    for down, right in np.ndindex(2, 2):
        view = padded[:, down * half : down * half + side, right * half : right * half + side]
        for row, column in np.ndindex(block, block):
            planes[down, right] += view[:, row::block, column::block]
    return planes / np.float32(block**2)


def _candidates(luma: Floats, known: Thumbnails) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """The likeliest known rows of images and their mirror images [2, N, 32, 32]; and which of 9 shifts, then mirrored.

    Both int64 [N, K].
    """
    centre = _low(known[:: max(1, len(known) // 4096)].astype(np.float32), 0, 0).mean(axis=0)
    views = [_centred(_low(each, y, x), centre) for each in luma for y in _GRID for x in _GRID]
    everyone = np.arange(luma.shape[1])
    alike, rows = [], []
    for start in range(0, len(known), _BLOCK):
        block = _centred(_low(known[start : start + _BLOCK].astype(np.float32), 0, 0), centre).T
        for view in views:
            product = view @ block
            nearest = product.argmax(axis=1)
            alike.append(product[everyone, nearest])
            rows.append(nearest + start)
    likeness = np.stack(alike, axis=1)
    most = min(_CANDIDATES, likeness.shape[1])
    chosen = np.argsort(-likeness, axis=1, kind="stable")[:, :most]
    return np.take_along_axis(np.stack(rows, axis=1), chosen, axis=1), chosen % len(views)


def _correlations(
    luma: Floats, rows: npt.NDArray[np.int64], variants: npt.NDArray[np.int64], known: Thumbnails
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """The best of each pair's shifts nearby, and where it is, down and right in half pixels of 32: [N, K] each.

    ``luma`` is that of the images and of their mirror images, [2, 2, 2, N, 32, 32], as ``_at_half_pixels`` moves them.
    """
    detail = _detail(luma)
    distinct, place = np.unique(rows, return_inverse=True)
    place = place.reshape(rows.shape)
    known_detail = _windows(_detail(known[distinct].astype(np.float32)), 0, 0)
    best = np.full(rows.shape, -1.0)
    down, right = np.zeros(rows.shape, dtype=np.int64), np.zeros(rows.shape, dtype=np.int64)
    width = len(_GRID)
    for variant in np.unique(variants):
        mirror, cell = divmod(int(variant), width**2)
        near_y, near_x = 2 * _GRID[cell // width], 2 * _GRID[cell % width]
        image, which = np.nonzero(variants == variant)
        other = known_detail[place[image, which]]
        for y in range(near_y - 2, near_y + 3):
            for x in range(near_x - 2, near_x + 3):
                alike = np.einsum("np,np->n", _windows(detail[mirror, y % 2, x % 2, image], y // 2, x // 2), other)
                better = alike > best[image, which]
                at = image[better], which[better]
                best[at], down[at], right[at] = alike[better], y, x
    return best, down, right


def _low(luma: Floats, down: int, right: int) -> Floats:
    """Low frequencies of the middle, moved by so many pixels of 32, of unit length: float32 [N, F]."""
    top, left = ((_SIDE - _COARSE) // 2 + each for each in (down, right))
    found = (_LOW @ luma[:, top : top + _COARSE, left : left + _COARSE] @ _LOW.T).reshape(len(luma), -1)[:, _USED]
    return _unit(found * _WEIGHTS, 1.0)


def _centred(low: Floats, centre: Floats) -> Floats:
    return _unit(low - centre, 1e-3)


def _detail(luma: Floats) -> Floats:
    return luma - _SMOOTH @ luma @ _SMOOTH.T


def _windows(planes: Floats, down: int, right: int) -> Floats:
    """The middle of [N, 32, 32], moved, as rows of unit length: float32 [N, P]. What is only rounding is made 0."""
    top, left = ((_SIDE - _FINE) // 2 + each for each in (down, right))
    return _unit(planes[:, top : top + _FINE, left : left + _FINE].reshape(len(planes), -1), _LEAST * _FINE)


def _unit(rows: Floats, least: float) -> Floats:
    """Rows of unit length; 0 those that are shorter than ``least``."""
    length = np.sqrt(np.einsum("np,np->n", rows, rows))
    scale = np.divide(1, length, out=np.zeros_like(length), where=length >= least)
    return rows * scale[:, None]


#: The lowest frequencies of a window as a matrix; which of their products count; and by how much: photographs have the
#: less of a frequency, the higher it is.
_LOW = dct(np.eye(_COARSE), axis=0, norm="ortho")[:_FREQUENCIES].astype(np.float32)
_RADIUS = np.hypot.outer(np.arange(_FREQUENCIES), np.arange(_FREQUENCIES)).ravel()
_USED = (_RADIUS > 0) & (_RADIUS < _FREQUENCIES)
_WEIGHTS = (_RADIUS[_USED] ** 0.7).astype(np.float32)
_SMOOTH = gaussian_filter1d(np.eye(_SIDE), _DETAIL, axis=0, mode="nearest").astype(np.float32)
