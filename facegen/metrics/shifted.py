"""A search for shifted copies of images.

A shifted copy is an image that was moved by a few pixels, mirrored or not, at any brightness. Perceptual hashes miss
such copies: a shift by one pixel of 64 changes 32 of 256 bits.

The search has two stages, both on luma averaged to 32×32. The first stage compares low frequencies of the middle of
each image, which a shift by two pixels of 64 hardly changes. It does so at 9 shifts of each image and of its mirror
image. One matrix product selects the few likeliest of all known images. The second stage computes the normalised
cross-correlation (Lewis, "Fast Normalized Cross-Correlation", 1995) of fine detail with those few, at every nearby
shift. Neither stage depends on brightness or contrast.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.fft import dct
from scipy.ndimage import gaussian_filter1d

from facegen.metrics.luma import LUMA_WEIGHTS
from facegen.metrics.phash import small_luma

#: Correlation of fine detail from which two images count as copies. docs/grading.md lists what copies reach. Among
#: 2,044 CelebA faces, compared with 15,978 others, the most similar strangers reach 0.84, 0.77 and 0.76.
ALIKE = 0.88
#: If strangers are more alike, as drawn faces are, a copy must exceed 95% of them by this much in Fisher's z.
_FURTHER = 0.7
Floats = npt.NDArray[np.float32]
Thumbnails = npt.NDArray[np.uint8]

_SIDE = 32
#: First stage: side of the window, number of frequencies, and the shifts that are tried, in pixels of 32.
_COARSE, _FREQUENCIES, _GRID = 24, 7, (-2, 0, 2)
#: Second stage: side of the window, and the scale up to which detail counts as fine, in pixels of 32.
_FINE, _DETAIL = 26, 1.2
#: Number of known images per block, each of which names its likeliest one; and number of candidates for the second
#: stage.
_BLOCK, _CANDIDATES = 2000, 3
#: Fine detail weaker than this, in steps of 0 to 255, is rounding.
_LEAST = 1.0


@dataclass(frozen=True)
class ShiftedMatches:
    """The likeliest shifted copy for each of N images.

    Attributes:
        row: Row of the known images, int64 [N]; -1 if no correlation reaches the limit.
        correlation: Best correlation, float64 [N], -1 to 1, including those that are too low to count; -1 if nothing
            was compared.
        shift: How many pixels the image lies right of and below the known one, int64 [N, 2]. A mirrored image is
            mirrored back first.
        mirrored: True if the image matches as its mirror image, bool [N].
    """

    row: npt.NDArray[np.int64]
    correlation: npt.NDArray[np.float64]
    shift: npt.NDArray[np.int64]
    mirrored: npt.NDArray[np.bool_]


def thumbnails(images: npt.NDArray[np.uint8]) -> Thumbnails:
    """Average the luma of images to uint8 [N, 32, 32].

    Thumbnails are all that is kept of the known images.

    Args:
        images: uint8 [N, S, S, 3], S a multiple of 32.
    """
    return np.rint(small_luma(images)).astype(np.uint8)


def find_shifted(images: npt.NDArray[np.uint8], known: Thumbnails, limit: float = ALIKE) -> ShiftedMatches:
    """Find the likeliest shifted copy of each image.

    Args:
        images: uint8 [N, S, S, 3], S a multiple of 32.
        known: Thumbnails of the known images from :func:`thumbnails`, uint8 [M, 32, 32].
        limit: The least correlation that counts as a copy.
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
    # Half pixels of 32 are whole pixels of 64. An odd number of them takes its phase from _at_half_pixels.
    shift = np.stack(
        [each[first] // 2 * (images.shape[1] // _SIDE) + each[first] % 2 * half for each in (right, down)], 1
    )
    correlation = best[first]
    row = np.where(correlation >= limit, rows[first], -1)
    return ShiftedMatches(row, correlation, shift, variants[first] >= len(_GRID) ** 2)


def least_of_copies(known: Thumbnails) -> float:
    """Return the least correlation that makes an image a copy of one of these known images.

    It is :data:`ALIKE`, or more if strangers among the known images are very much alike. To find out, up to 200 images
    from one half are compared with the other half.
    """
    ones, others = known[::2][:: max(1, len(known) // 400)][:200], known[1::2]
    if not len(others):
        return ALIKE
    strangers = find_shifted(np.repeat(ones[..., None], 3, axis=-1), others).correlation
    usual = np.arctanh(np.clip(np.quantile(strangers, 0.95), 0, 0.999))
    return max(ALIKE, float(np.tanh(usual + _FURTHER)))


def _at_half_pixels(luma: Floats, half: int) -> Floats:
    """Return block means of the luma [N, S, S], and of the luma moved up and left by ``half`` pixels.

    The result is float32 [2, 2, N, 32, 32], indexed by whether it is moved up and whether it is moved left.
    """
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
    """Return the likeliest known rows for each image, and the variants that match, both int64 [N, K].

    A variant is one of the 9 shifts of the image (0 to 8) or of its mirror image (9 to 17). ``luma`` holds the images
    and their mirror images, [2, N, 32, 32].
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
    """Return the best correlation of each pair over nearby shifts, and the shift down and right that reaches it.

    The shifts are in half pixels of 32. All three arrays are [N, K]. ``luma`` holds the images and their mirror images,
    moved as by ``_at_half_pixels``: [2, 2, 2, N, 32, 32].
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
    """Return low frequencies of the middle, moved by pixels of 32, as rows of unit length: float32 [N, F]."""
    top, left = ((_SIDE - _COARSE) // 2 + each for each in (down, right))
    found = (_LOW @ luma[:, top : top + _COARSE, left : left + _COARSE] @ _LOW.T).reshape(len(luma), -1)[:, _USED]
    return _unit(found * _WEIGHTS, 1.0)


def _centred(low: Floats, centre: Floats) -> Floats:
    return _unit(low - centre, 1e-3)


def _detail(luma: Floats) -> Floats:
    return luma - _SMOOTH @ luma @ _SMOOTH.T


def _windows(planes: Floats, down: int, right: int) -> Floats:
    """Return the middle of [N, 32, 32], moved, as rows of unit length: float32 [N, P].

    A window that holds only rounding becomes 0.
    """
    top, left = ((_SIDE - _FINE) // 2 + each for each in (down, right))
    return _unit(planes[:, top : top + _FINE, left : left + _FINE].reshape(len(planes), -1), _LEAST * _FINE)


def _unit(rows: Floats, least: float) -> Floats:
    """Scale the rows to unit length; rows shorter than ``least`` become 0."""
    length = np.sqrt(np.einsum("np,np->n", rows, rows))
    scale = np.divide(1, length, out=np.zeros_like(length), where=length >= least)
    return rows * scale[:, None]


#: The lowest frequencies of a window as a matrix, the products of them that count, and their weights. Photographs have
#: less power at higher frequencies, so the weights grow.
_LOW = dct(np.eye(_COARSE), axis=0, norm="ortho")[:_FREQUENCIES].astype(np.float32)
_RADIUS = np.hypot.outer(np.arange(_FREQUENCIES), np.arange(_FREQUENCIES)).ravel()
_USED = (_RADIUS > 0) & (_RADIUS < _FREQUENCIES)
_WEIGHTS = (_RADIUS[_USED] ** 0.7).astype(np.float32)
_SMOOTH = gaussian_filter1d(np.eye(_SIDE), _DETAIL, axis=0, mode="nearest").astype(np.float32)
