"""Perceptual hashes of images.

Near-duplicate images have nearly equal hashes. The hash is the DCT hash of Zauner, "Implementation and Benchmarking of
Perceptual Image Hash Functions" (2010), with 256 bits, four times the usual length. The usual 64 bits give thousands
of chance hits among 200,000 aligned faces.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from scipy.fft import dct

from facegen.metrics.luma import LUMA_WEIGHTS

#: Largest number of differing bits, of 256, at which two images count as near-duplicates. Measured on CelebA at 64×64:
#: a JPEG copy, or a slightly blurred, noisy or brightened copy, differs by a few bits; two photographs taken at
#: different moments differ by more.
NEAR = 20
_SIDE, _LOW = 32, 16
_BATCH = 4096
#: Pairs of hashes that are compared at once.
_PAIRS = 1 << 18

Hashes = npt.NDArray[np.uint64]


def perceptual_hashes(images: npt.NDArray[np.uint8]) -> Hashes:
    """Compute the 256-bit DCT hashes of RGB images.

    The luma is averaged over areas to 32×32, and its 16×16 lowest DCT-II frequencies are kept. A bit is 1 if its
    coefficient is above the median of all coefficients except the constant one. The constant coefficient's own bit is
    always 0, so the overall brightness does not matter.

    Args:
        images: uint8 [N, H, W, 3], with sides that are multiples of 32.

    Returns:
        The hashes, uint64 [N, 4].

    Raises:
        ValueError: A side is not a multiple of 32.
    """
    count, height, width, _ = images.shape
    if height % _SIDE or width % _SIDE:
        raise ValueError(f"the sides of {height}x{width} images are not multiples of {_SIDE}")
    hashes = np.empty((count, 4), dtype=np.uint64)
    for start in range(0, count, _BATCH):
        small = small_luma(images[start : start + _BATCH])
        low = (_DCT @ small @ _DCT.T).reshape(-1, _LOW * _LOW)
        # Rounding noise in the coefficients of a flat image must not look like content.
        low[np.abs(low) < 1e-2] = 0
        bits = low > np.median(low[:, 1:], axis=1, keepdims=True)
        bits[:, 0] = False
        hashes[start : start + _BATCH] = np.ascontiguousarray(np.packbits(bits[:, _ORDER], axis=1)).view(np.uint64)
    return hashes


def small_luma(images: npt.NDArray[np.uint8]) -> npt.NDArray[np.float32]:
    """Average the luma of images over equal blocks to float32 [n, 32, 32], in 0 to 255.

    The channels are summed over each block before they are weighted, which is faster.
    """
    rows, columns = images.shape[1] // _SIDE, images.shape[2] // _SIDE
    sums = np.zeros((len(images), _SIDE, _SIDE, 3), dtype=np.uint32)
    for row in range(rows):
        for column in range(columns):
            sums += images[:, row::rows, column::columns]
    weights = LUMA_WEIGHTS.astype(np.float32) / np.float32(rows * columns)
    luma: npt.NDArray[np.float32] = sums[..., 0] * weights[0] + sums[..., 1] * weights[1] + sums[..., 2] * weights[2]
    return luma.astype(np.float32)


def mirrored_hashes(images: npt.NDArray[np.uint8]) -> Hashes:
    """Compute the hashes of the mirror images of ``images``."""
    return perceptual_hashes(images[:, :, ::-1])


def hamming_distances(first: Hashes, second: Hashes) -> npt.NDArray[np.uint16]:
    """Count the differing bits of every pair of hashes: uint16 [N, M], 0 to 256.

    The whole matrix is in memory.
    """
    total = np.zeros((len(first), len(second)), dtype=np.uint16)
    for word in range(4):
        total += popcount(first[:, word, None] ^ second[None, :, word])
    return total


def nearest_within(
    first: Hashes, second: Hashes, limit: int = NEAR
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """Find the nearest row of ``second``, within ``limit`` bits, for each row of ``first``.

    The search compares all pairs, so it is exact, and takes a few tens of megabytes. A pair is dropped early if its
    first 64 bits already differ too much.

    Returns:
        The row of ``second`` and the number of differing bits, int64 [N] each. Both are -1 where no row is near enough.
        The earlier row wins a tie.
    """
    nearest = np.full(len(first), -1, dtype=np.int64)
    distances = np.full(len(first), limit + 1, dtype=np.int64)
    step = max(1, _PAIRS // max(1, len(first)))
    for start in range(0, len(second), step):
        block = second[start : start + step]
        rows, columns = np.nonzero(popcount(first[:, 0, None] ^ block[None, :, 0]) <= limit)
        distance = popcount(first[rows] ^ block[columns]).sum(axis=1, dtype=np.int64)
        close = np.flatnonzero(distance <= limit)  # only these few are sorted: sorting all would take most of the time
        order = close[np.lexsort((columns[close], distance[close], rows[close]))]
        rows, columns, distance = rows[order], columns[order], distance[order]
        rows, best = np.unique(rows, return_index=True)
        closer = distance[best] < distances[rows]
        rows, best = rows[closer], best[closer]
        nearest[rows], distances[rows] = columns[best] + start, distance[best]
    distances[nearest < 0] = -1
    return nearest, distances


if hasattr(np, "bitwise_count"):  # NumPy 2

    def popcount(words: Hashes) -> npt.NDArray[np.uint8]:
        """Count the bits that are set in each word, 0 to 64."""
        return np.bitwise_count(words)

else:
    _BITS = np.array([bin(word).count("1") for word in range(1 << 16)], dtype=np.uint8)

    def popcount(words: Hashes) -> npt.NDArray[np.uint8]:
        """Count the bits that are set in each word, 0 to 64."""
        halves = np.ascontiguousarray(words).view(np.uint16).reshape(*words.shape, 4)
        return _BITS[halves].sum(axis=-1, dtype=np.uint8)


#: The lowest frequencies of the DCT-II as a matrix, float32 [16, 32].
_DCT = dct(np.eye(_SIDE), axis=0, norm="ortho")[:_LOW].astype(np.float32)
#: Order of the bits, by falling frequency: the first word holds those in which aligned faces differ most.
_ORDER = np.argsort(-np.add.outer(np.arange(_LOW), np.arange(_LOW)).ravel(), kind="stable")
