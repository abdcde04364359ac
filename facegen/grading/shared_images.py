"""Finds the images that submissions share, in all of a class at once, and keeps what was found."""

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

#: A match as one number, the smaller the better: its rank in the upper bits, and the row of the other image below them.
#: The rank is 0 where the pixels are the same, else 1 + 2 × distance + mirrored.
Best = npt.NDArray[np.uint32]
_ROW_BITS = 26
_NONE = np.uint32(2**32 - 1)
#: A submission's matches are stored up to this number. There are more where all students submit the same images: to
#: store those would fill the disk, and take longer than to find them again.
_MOST_KEPT = 20_000


def shared_images(prints: Sequence[Fingerprints], cache: Path | None = None) -> Iterator[list[tuple[int, Matches]]]:
    """For each submission in turn, those others that have some of its images, and which these are.

    It is what :func:`~facegen.grading.fingerprints.find_matches` of each with each finds, in seconds, not minutes.
    What is found of a submission is stored then: the next time it is compared with those alone that are new.

    Args:
        prints: the submissions' fingerprints.
        cache: the folder to store in; None stores nothing.

    Yields:
        The numbers of the others, rising, each with the nearest of its images for every image of the submission.
    """
    keys = [_key(each) for each in prints]
    search = _Search(dict(zip(keys, prints, strict=True)), cache)
    last, best = "", np.empty((0, 0), dtype=np.uint32)
    for number, key in enumerate(keys):
        if key != last:  # copies of one submission have one score, and so stand together
            last, best = key, search.best_of(key)
        has_some = (best != _NONE).any(axis=0)
        columns = [search.columns[other] for other in keys]
        yield [
            (other, _matches(best[:, column]))
            for other, column in enumerate(columns)
            if other != number and has_some[column]
        ]


class _Search:
    """Among submissions that all differ, by their keys: ``columns`` says which stands where in what it answers."""

    def __init__(self, prints: dict[str, Fingerprints], cache: Path | None) -> None:
        self._prints, self._cache = prints, cache
        self.columns = {key: column for column, key in enumerate(prints)}
        kept = {key: self._kept(key) for key in prints}
        compared = {key: set(each.others) for key, each in kept.items() if each is not None}
        # What was compared before is compared with those that are new since, and a new one with all.
        lacking = [key for key in prints if any(key not in others for others in compared.values())]
        self._new = self._collection(lacking)
        is_new = len(compared) < len(prints)
        self._all = self._new if len(lacking) == len(prints) else self._collection(list(prints) if is_new else [])

    def _collection(self, keys: list[str]) -> _Collection | None:
        return _Collection({self.columns[key]: self._prints[key] for key in keys}) if keys else None

    def best_of(self, key: str) -> Best:
        """The best match of each image in each submission, uint32 [N, submissions]; itself is among them."""
        images, kept = self._prints[key], self._kept(key)
        best = np.full((len(images), len(self.columns)), _NONE, dtype=np.uint32)
        if kept is not None:
            columns = np.array([self.columns.get(other, -1) for other in kept.others], dtype=np.int64)[kept.other]
            still = columns >= 0  # one may be gone
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
    """The images of submissions, each by its column, to look for others among."""

    def __init__(self, prints: dict[int, Fingerprints]) -> None:
        owners = np.repeat(list(prints), [len(each) for each in prints.values()])
        rows = np.concatenate([np.arange(len(each)) for each in prints.values()])
        hashes = np.concatenate([each.hashes for each in prints.values()])
        pixels = np.concatenate([each.pixels for each in prints.values()])
        self._hashes = _Occurrences(hashes, owners, rows)
        self._pixels = _Occurrences(pixels[:, None], owners, rows)
        self._index = HashIndex(self._hashes.values)

    def find(self, images: Fingerprints, best: Best) -> None:
        """Lower the numbers in ``best``, [N, submissions], to those of the best matches of ``images`` that are here."""
        for rows, found, distance in self._index.near(np.concatenate([images.hashes, images.mirrored])):
            mirrored, images_rows = np.divmod(rows, len(images))
            self._hashes.note(images_rows, found, 1 + 2 * distance + mirrored, best)
        values = self._pixels.values[:, 0]
        found = np.minimum(np.searchsorted(values, images.pixels), len(values) - 1)
        exact = np.flatnonzero(values[found] == images.pixels)
        self._pixels.note(exact, found[exact], np.zeros(len(exact), dtype=np.int64), best)


class _Occurrences:
    """The distinct values of images, uint64 [K, words], rising, and the first image of each submission that has one."""

    def __init__(self, values: npt.NDArray[np.uint64], owners: Rows, rows: Rows) -> None:
        order = np.lexsort(values.T[::-1])  # equal ones stay in their order
        values, owners, rows = values[order], owners[order], rows[order]
        is_other = np.ones(len(values), dtype=np.bool_)
        is_other[1:] = (values[1:] != values[:-1]).any(axis=1)
        is_first = is_other.copy()
        is_first[1:] |= owners[1:] != owners[:-1]
        self.values = values[is_other]
        self._owners, self._rows = owners[is_first], rows[is_first].astype(np.uint32)
        self._starts = np.append(np.flatnonzero(is_other[is_first]), len(self._rows))

    def note(self, images: Rows, found: Rows, good: Rows, best: Best) -> None:
        """Lower ``best`` where the images' matches with the values ``found`` are better, which are so ``good``."""
        starts = self._starts[found]
        flat = best.reshape(-1)
        for some, within in spread(self._starts[found + 1] - starts, PAIRS):
            at = starts[some] + within
            value = good[some].astype(np.uint32) << _ROW_BITS | self._rows[at]
            np.minimum.at(flat, images[some] * best.shape[1] + self._owners[at], value)


def _matches(best: Best) -> Matches:
    """The matches of N images with one submission, of uint32 [N]."""
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
    """What is stored of a submission.

    ``others``: the keys of all with which it was compared; ``other`` (which of them), ``image`` and ``value``: its
    matches, [M] each.
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
    """What ``_save`` wrote; None where there is nothing whole: it is only a cache, and is made again."""
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
