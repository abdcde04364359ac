"""An index of perceptual hashes.

It finds all near-duplicates of many images among many others, without comparing every pair.

The method is multi-index hashing (Norouzi, Punjani and Fleet, "Fast Exact Search in Hamming Space with Multi-Index
Hashing", 2014). The 256 bits are distributed over 11 bands. If two hashes differ by at most 20 bits, then in some band
they differ by at most one, because two in each band would make 22. So the index looks up each band of a hash, as it is
and with each of its bits flipped, and compares the hashes that it finds in full. It misses nothing, and compares few
other images.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt

from facegen.metrics.phash import NEAR, Hashes, popcount

Rows = npt.NDArray[np.int64]

_BANDS = NEAR // 2 + 1
#: Number of bits of a band's key: those of the largest band, rounded up to whole bytes.
_KEY_BITS = 8 * -(-256 // (8 * _BANDS))
#: Place of each bit in the concatenated keys of all bands; and the bits of a byte.
_PLACES = np.arange(256) % _BANDS * _KEY_BITS + np.arange(256) // _BANDS
_BIT = np.uint8(1) << np.arange(8, dtype=np.uint8)
#: Number of hashes that are unpacked at once, and of pairs that are compared at once: some tens of megabytes.
_BLOCK, PAIRS = 1 << 12, 1 << 20
#: If the bands leave more than this fraction of all hashes to compare, comparing with all of them is faster.
_HEAVY = 0.2


class HashIndex:
    """An index that finds all hashes within :data:`~facegen.metrics.phash.NEAR` bits of others.

    It takes 150 bytes per hash and 25 MB.

    Args:
        hashes: Hashes from :func:`~facegen.metrics.phash.perceptual_hashes`, uint64 [N, 4].
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
        """Yield all pairs of ``hashes`` and of the indexed hashes within the limit.

        Some pairs occur more than once.

        Args:
            hashes: uint64 [M, 4]. Pass some thousands at a time: the search takes a few kilobytes per hash.

        Yields:
            Rows of ``hashes``, rows of the index, and the numbers of differing bits, int64 [K] each, K at most a
            million.
        """
        rows, starts, counts = self._candidates(hashes)
        heavy = np.bincount(rows, weights=counts, minlength=len(hashes)) > _HEAVY * len(self)
        light = ~heavy[rows]
        rows, starts, counts = rows[light], starts[light], counts[light]
        candidates = self._rows.ravel()
        for some, within in spread(counts, PAIRS):
            columns = candidates[starts[some] + within].astype(np.int64)
            for near in self._within(hashes, rows[some], columns):
                # The nearest hashes share all bands, and would occur eleven times.
                _, once = np.unique(near[0] * len(self) + near[1], return_index=True)
                yield near[0][once], near[1][once], near[2][once]
        yield from self._through_all(hashes, np.flatnonzero(heavy))

    def _candidates(self, hashes: Hashes) -> tuple[Rows, Rows, Rows]:
        """Return the candidates of each row of ``hashes``: the indexed hashes that share a band with it.

        Returns:
            Rows of ``hashes``, where the candidates of each begin in ``_rows``, and how many they are.
        """
        found = []
        for band, keys in enumerate(_band_keys(hashes)):
            flips = _flips(band)
            probes = (keys[:, None] ^ flips[None, :]).ravel()
            is_there = np.flatnonzero(np.take(self._present[band], probes >> 3) & np.take(_BIT, probes & 7))
            probes = probes[is_there]
            order = np.argsort(probes)  # sorted probes search memory in order, which takes a fifth of the time
            at = np.searchsorted(self._keys[band], probes[order])
            starts, ends = self._starts[band][at], self._starts[band][at + 1]
            found.append((is_there[order] // len(flips), starts + band * len(self), ends - starts))
        rows, starts, counts = (np.concatenate(column) for column in zip(*found, strict=True))
        return rows, starts, counts

    def _within(self, hashes: Hashes, rows: Rows, columns: Rows) -> Iterator[tuple[Rows, Rows, Rows]]:
        """Yield those of the given pairs that are near. The first 64 bits rule out most of the others."""
        distance = popcount(hashes[rows, 0] ^ self._words[0][columns]).astype(np.int64)
        for word in range(1, len(self._words)):
            near = np.flatnonzero(distance <= NEAR)
            rows, columns, distance = rows[near], columns[near], distance[near]
            distance += popcount(hashes[rows, word] ^ self._words[word][columns])
        near = np.flatnonzero(distance <= NEAR)
        if len(near):
            yield rows[near], columns[near], distance[near]

    def _through_all(self, hashes: Hashes, heavy: Rows) -> Iterator[tuple[Rows, Rows, Rows]]:
        """Yield the near pairs of the rows ``heavy`` of ``hashes``, comparing each with every indexed hash."""
        step = max(1, PAIRS // max(1, len(heavy)))
        for start in range(0, len(self) if len(heavy) else 0, step):
            first = self._words[0][start : start + step]
            rows, columns = np.nonzero(popcount(hashes[heavy, 0, None] ^ first[None, :]) <= NEAR)
            yield from self._within(hashes, heavy[rows], columns + start)


def spread(counts: Rows, most: int) -> Iterator[tuple[Rows, Rows]]:
    """Yield row i ``counts[i]`` times, together with 0, 1, … ``counts[i]`` − 1, in parts.

    Args:
        counts: int64 [N], each 0 or more.
        most: Maximum length of a part, unless a single row has more.

    Yields:
        The rows and the numbers beside them, int64 [K] each.
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
    """Return the bits of each band as a number, uint32 [bands, N].

    A band takes every 11th bit, because neighbouring bits have similar frequencies.
    """
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
    """Return the masks that, by XOR, turn a band's key into itself and into all keys that differ by one bit."""
    bits = len(range(band, 256, _BANDS))
    return np.array([0, *(1 << (_KEY_BITS - 1 - bit) for bit in range(bits))], dtype=np.uint32)
