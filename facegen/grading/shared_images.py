"""The search for images that submissions share, across a whole class at once. The results are kept."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from facegen.code_hash import code_hash
from facegen.files import atomic_path, read_arrays
from facegen.grading.fingerprints import Fingerprints, Matches
from facegen.metrics.hash_index import PAIRS, HashIndex, Rows, spread

#: Matches as single numbers. Smaller is better: the upper bits hold the rank, the lower bits the row of the other
#: image. The rank is 0 if the pixels are the same, else 1 + 2 × distance + mirrored.
Best = npt.NDArray[np.uint32]
_ROW_BITS = 26
_NONE = np.uint32(2**32 - 1)
#: Maximum number of matches of a submission that are stored. If all students submit the same images, there are more:
#: storing them would fill the disk and take longer than finding them again.
_MOST_KEPT = 20_000


def shared_images(prints: Sequence[Fingerprints], cache: Path | None = None) -> Iterator[list[tuple[int, Matches]]]:
    """For each submission in turn, find the other submissions that have some of its images, and the matching images.

    The result is the same as from :func:`~facegen.grading.fingerprints.find_matches` on every pair, but takes seconds
    instead of minutes. The matches of each submission are stored, so the next run compares it only with new
    submissions.

    Args:
        prints: The fingerprints of the submissions.
        cache: The folder to store matches in; None to store nothing.

    Yields:
        The indices of the other submissions, rising. Each comes with the nearest of its images for every image of the
        submission.
    """
    keys = [_key(each) for each in prints]
    search = _Search(dict(zip(keys, prints, strict=True)), cache)
    last, best = "", np.empty((0, 0), dtype=np.uint32)
    for number, key in enumerate(keys):
        if key != last:  # copies of a submission have the same score, so they follow one another
            last, best = key, search.best_of(key)
        has_some = (best != _NONE).any(axis=0)
        columns = [search.columns[other] for other in keys]
        yield [
            (other, _matches(best[:, column]))
            for other, column in enumerate(columns)
            if other != number and has_some[column]
        ]


class _Search:
    """The search among different submissions, by their keys. ``columns`` is the column of each one in the answers."""

    def __init__(self, prints: dict[str, Fingerprints], cache: Path | None) -> None:
        self._prints, self._cache = prints, cache
        self.columns = {key: column for column, key in enumerate(prints)}
        kept = {key: self._kept(key) for key in prints}
        compared = {key: set(each.others) for key, each in kept.items() if each is not None}
        # Compare a known submission with those that are new since then, and a new one with all.
        lacking = [key for key in prints if any(key not in others for others in compared.values())]
        self._new = self._collection(lacking)
        is_new = len(compared) < len(prints)
        self._all = self._new if len(lacking) == len(prints) else self._collection(list(prints) if is_new else [])

    def _collection(self, keys: list[str]) -> _Collection | None:
        return _Collection({self.columns[key]: self._prints[key] for key in keys}) if keys else None

    def best_of(self, key: str) -> Best:
        """Return the best match of each image in each submission, including its own: uint32 [N, submissions]."""
        images, kept = self._prints[key], self._kept(key)
        best = np.full((len(images), len(self.columns)), _NONE, dtype=np.uint32)
        if kept is not None:
            columns = np.array([self.columns.get(other, -1) for other in kept.others], dtype=np.int64)[kept.other]
            still = columns >= 0  # a submission may have been removed
            best[kept.image[still], columns[still]] = kept.value[still]
            if set(kept.others) >= self.columns.keys():
                return best
        collection = self._all if kept is None else self._new
        assert collection is not None
        collection.find(images, best)
        if self._cache is not None:
            _save(self._path(key), list(self.columns), best)
        return best

    def _kept(self, key: str) -> _Kept | None:
        return None if self._cache is None else _load(self._path(key), len(self._prints[key]))

    def _path(self, key: str) -> Path:
        assert self._cache is not None
        return self._cache / f"shared-{hashlib.sha256(f'{code_hash(__name__)} {key}'.encode()).hexdigest()[:32]}.npz"


class _Collection:
    """The images of submissions, each with its column, to search in."""

    def __init__(self, prints: dict[int, Fingerprints]) -> None:
        owners = np.repeat(list(prints), [len(each) for each in prints.values()])
        rows = np.concatenate([np.arange(len(each)) for each in prints.values()])
        hashes = np.concatenate([each.hashes for each in prints.values()])
        pixels = np.concatenate([each.pixels for each in prints.values()])
        self._hashes = _Occurrences(hashes, owners, rows)
        self._pixels = _Occurrences(pixels[:, None], owners, rows)
        self._index = HashIndex(self._hashes.values)

    def find(self, images: Fingerprints, best: Best) -> None:
        """Lower the numbers in ``best``, [N, submissions], to those of the best matches of ``images`` here."""
        for rows, found, distance in self._index.near(np.concatenate([images.hashes, images.mirrored])):
            mirrored, images_rows = np.divmod(rows, len(images))
            self._hashes.note(images_rows, found, 1 + 2 * distance + mirrored, best)
        values = self._pixels.values[:, 0]
        found = np.minimum(np.searchsorted(values, images.pixels), len(values) - 1)
        exact = np.flatnonzero(values[found] == images.pixels)
        self._pixels.note(exact, found[exact], np.zeros(len(exact), dtype=np.int64), best)


class _Occurrences:
    """The distinct values of images, and the first image of each submission that has a value.

    The values are uint64 [K, words], in rising order.
    """

    def __init__(self, values: npt.NDArray[np.uint64], owners: Rows, rows: Rows) -> None:
        order = np.lexsort(values.T[::-1])  # a stable sort: equal values stay in order
        values, owners, rows = values[order], owners[order], rows[order]
        is_other = np.ones(len(values), dtype=np.bool_)
        is_other[1:] = (values[1:] != values[:-1]).any(axis=1)
        is_first = is_other.copy()
        is_first[1:] |= owners[1:] != owners[:-1]
        self.values = values[is_other]
        self._owners, self._rows = owners[is_first], rows[is_first].astype(np.uint32)
        self._starts = np.append(np.flatnonzero(is_other[is_first]), len(self._rows))

    def note(self, images: Rows, found: Rows, good: Rows, best: Best) -> None:
        """Lower ``best`` where the images' matches with the values ``found`` are better.

        ``good`` is the rank of each match.
        """
        starts = self._starts[found]
        flat = best.reshape(-1)
        for some, within in spread(self._starts[found + 1] - starts, PAIRS):
            at = starts[some] + within
            value = good[some].astype(np.uint32) << _ROW_BITS | self._rows[at]
            np.minimum.at(flat, images[some] * best.shape[1] + self._owners[at], value)


def _matches(best: Best) -> Matches:
    """Return the matches of N images with one submission, from uint32 [N]."""
    number = best.astype(np.int64)
    found, good = best != _NONE, number >> _ROW_BITS
    row = np.where(found, number & ((1 << _ROW_BITS) - 1), -1)
    distance = np.where(found, np.maximum(good - 1, 0) // 2, -1)
    return Matches(row, distance, good == 0, found & (good > 0) & (good % 2 == 0))


def _key(prints: Fingerprints) -> str:
    arrays = (prints.pixels, prints.hashes, prints.mirrored)
    return hashlib.sha256(b"".join(array.tobytes() for array in arrays)).hexdigest()


@dataclass(frozen=True)
class _Kept:
    """The stored matches of a submission.

    ``others``: The keys of all submissions with which it was compared. ``other`` (the index of the submission),
    ``image`` and ``value``: The matches, [M] each.
    """

    others: tuple[str, ...]
    other: Rows
    image: Rows
    value: Best


def _save(path: Path, others: list[str], best: Best) -> None:
    other, image = np.nonzero(best.T != _NONE)
    if len(other) > _MOST_KEPT:
        return
    with atomic_path(path) as temporary, temporary.open("wb") as file:
        np.savez(
            file,
            others=np.array([np.frombuffer(bytes.fromhex(key), dtype=np.uint8) for key in others]),
            other=other.astype(np.uint32),
            image=image.astype(np.uint32),
            value=best[image, other],
        )


def _load(path: Path, images: int) -> _Kept | None:
    """Return what ``_save`` wrote; None if it is missing or damaged, so that it is made again."""
    if not path.is_file():
        return None
    try:
        stored: dict[str, npt.NDArray[Any]] = read_arrays(path)
        others = tuple(key.tobytes().hex() for key in stored["others"])
        other, image, value = (stored[name].astype(np.int64) for name in ("other", "image", "value"))
    except (ValueError, KeyError):
        return None
    is_whole = len(other) == len(image) == len(value) and other.max(initial=0) < len(others)
    return _Kept(others, other, image, value.astype(np.uint32)) if is_whole and image.max(initial=0) < images else None
