"""An index of perceptual hashes: all near-duplicates of many images among many, without comparing each with each.

Multi-index hashing (Norouzi, Punjani and Fleet, "Fast Exact Search in Hamming Space with Multi-Index Hashing", 2014):
the 256 bits are dealt out to 11 bands. Two hashes that differ by 20 bits at most differ by one at most in some band:
two in each would make 22. So each band of a hash is looked up among those of the others, as it is and with each of its
bits flipped, and what is found there is compared in full. Nothing is missed, and few other images are compared.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt

from facegen.metrics.phash import NEAR, Hashes, popcount

Rows = npt.NDArray[np.int64]

_BANDS = NEAR // 2 + 1
#: Bits of a band's key: those of the largest band, in whole bytes.
_KEY_BITS = 8 * -(-256 // (8 * _BANDS))
#: Where each bit goes in the keys of all bands, one after another; and the bits of a byte.
_PLACES = np.arange(256) % _BANDS * _KEY_BITS + np.arange(256) // _BANDS
_BIT = np.uint8(1) << np.arange(8, dtype=np.uint8)
#: Hashes whose bits are unpacked at once, and pairs that are compared at once: some tens of megabytes.
_BLOCK, PAIRS = 1 << 12, 1 << 20
#: Where the bands leave more than this part of all hashes to compare, it is quicker to go through all.
_HEAVY = 0.2


class HashIndex:
    """Finds all hashes within :data:`~facegen.metrics.phash.NEAR` bits of others. It takes 150 bytes a hash and 25 MB.

    Args:
        hashes: uint64 [N, 4], as :func:`~facegen.metrics.phash.perceptual_hashes` makes them.
    """

    def __init__(self, hashes: Hashes) -> None:
        self._words = [np.ascontiguousarray(hashes[:, word]) for word in range(hashes.shape[1])]
        self._rows = np.empty((_BANDS, len(hashes)), dtype=np.int32)
        self._present = np.zeros((_BANDS, 1 << (_KEY_BITS - 3)), dtype=np.uint8)
        self._keys: list[npt.NDArray[np.uint32]] = []
        self._starts: list[Rows] = []
        for band, keys in enumerate(_band_keys(hashes)):
            order = np.argsort(keys, kind="stable")
            self._rows[band] = order
            distinct, starts = np.unique(keys[order], return_index=True)
            self._keys.append(distinct)
            self._starts.append(np.append(starts, len(hashes)).astype(np.int64))
            np.bitwise_or.at(self._present[band], distinct >> 3, _BIT[distinct & 7])

    def __len__(self) -> int:
        return len(self._words[0])

    def near(self, hashes: Hashes) -> Iterator[tuple[Rows, Rows, Rows]]:
        """All pairs of ``hashes`` and of the index's within the limit, some of them more than once.

        Args:
            hashes: uint64 [M, 4], some thousands: what is kept of each is a few kilobytes.

        Yields:
            Rows of ``hashes``, rows of the index and the bits by which they differ, int64 [K] each; at most a million.
        """
        rows, starts, counts = self._candidates(hashes)
        heavy = np.bincount(rows, weights=counts, minlength=len(hashes)) > _HEAVY * len(self)
        light = ~heavy[rows]
        rows, starts, counts = rows[light], starts[light], counts[light]
        candidates = self._rows.ravel()
        for some, within in spread(counts, PAIRS):
            columns = candidates[starts[some] + within].astype(np.int64)
            for near in self._within(hashes, rows[some], columns):
                # The nearest share all bands, and would come eleven times.
                _, once = np.unique(near[0] * len(self) + near[1], return_index=True)
                yield near[0][once], near[1][once], near[2][once]
        yield from self._through_all(hashes, np.flatnonzero(heavy))

    def _candidates(self, hashes: Hashes) -> tuple[Rows, Rows, Rows]:
        """Rows of ``hashes`` that share a band with some of the index; where those begin in ``_rows``; how many."""
        found = []
        for band, keys in enumerate(_band_keys(hashes)):
            flips = _flips(band)
            probes = (keys[:, None] ^ flips[None, :]).ravel()
            is_there = np.flatnonzero(np.take(self._present[band], probes >> 3) & np.take(_BIT, probes & 7))
            probes = probes[is_there]
            order = np.argsort(probes)  # the search jumps less then, and takes a fifth of the time
            at = np.searchsorted(self._keys[band], probes[order])
            starts, ends = self._starts[band][at], self._starts[band][at + 1]
            found.append((is_there[order] // len(flips), starts + band * len(self), ends - starts))
        rows, starts, counts = (np.concatenate(column) for column in zip(*found, strict=True))
        return rows, starts, counts

    def _within(self, hashes: Hashes, rows: Rows, columns: Rows) -> Iterator[tuple[Rows, Rows, Rows]]:
        """Those of these pairs that are near. The first 64 bits tell most that are not."""
        distance = popcount(hashes[rows, 0] ^ self._words[0][columns]).astype(np.int64)
        for word in range(1, len(self._words)):
            near = np.flatnonzero(distance <= NEAR)
            rows, columns, distance = rows[near], columns[near], distance[near]
            distance += popcount(hashes[rows, word] ^ self._words[word][columns])
        near = np.flatnonzero(distance <= NEAR)
        if len(near):
            yield rows[near], columns[near], distance[near]

    def _through_all(self, hashes: Hashes, heavy: Rows) -> Iterator[tuple[Rows, Rows, Rows]]:
        """All near pairs of the rows ``heavy`` of ``hashes``, each compared with each."""
        step = max(1, PAIRS // max(1, len(heavy)))
        for start in range(0, len(self) if len(heavy) else 0, step):
            first = self._words[0][start : start + step]
            rows, columns = np.nonzero(popcount(hashes[heavy, 0, None] ^ first[None, :]) <= NEAR)
            yield from self._within(hashes, heavy[rows], columns + start)


def spread(counts: Rows, most: int) -> Iterator[tuple[Rows, Rows]]:
    """Row i ``counts[i]`` times, each with 0, 1, … ``counts[i]`` − 1 beside it; some at once.

    Args:
        counts: int64 [N], 0 or more each.
        most: how many make a part, unless a single row has more.

    Yields:
        The rows and what is beside them, int64 [K] each.
    """
    ends = np.cumsum(counts)
    begin = 0
    while begin < len(counts):
        done = ends[begin - 1] if begin else 0
        end = max(begin + 1, int(np.searchsorted(ends, done + most, side="right")))
        some = counts[begin:end]
        firsts = ends[begin:end] - some - done
        yield np.repeat(np.arange(begin, end), some), np.arange(ends[end - 1] - done) - np.repeat(firsts, some)
        begin = end


def _band_keys(hashes: Hashes) -> npt.NDArray[np.uint32]:
    """Each band's bits as a number, uint32 [bands, N]: every 11th bit, since neighbours are of like frequency."""
    keys = np.empty((_BANDS, len(hashes)), dtype=np.uint32)
    for start in range(0, len(hashes), _BLOCK):
        block = np.ascontiguousarray(hashes[start : start + _BLOCK])
        dealt = np.zeros((len(block), _BANDS * _KEY_BITS), dtype=np.uint8)
        dealt[:, _PLACES] = np.unpackbits(block.view(np.uint8), axis=1)
        packed = np.packbits(dealt, axis=1).reshape(len(block), _BANDS, -1).astype(np.uint32)
        for byte in range(packed.shape[2]):
            shifted = packed[:, :, byte].T << (_KEY_BITS - 8 - 8 * byte)
            keys[:, start : start + _BLOCK] = shifted if not byte else keys[:, start : start + _BLOCK] | shifted
    return keys


def _flips(band: int) -> npt.NDArray[np.uint32]:
    """What turns a band's key into itself and into those that differ by one bit."""
    bits = len(range(band, 256, _BANDS))
    return np.array([0, *(1 << (_KEY_BITS - 1 - bit) for bit in range(bits))], dtype=np.uint32)
