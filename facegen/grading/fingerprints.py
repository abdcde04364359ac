"""Fingerprints by which images are recognised: a hash of the pixels and two perceptual hashes."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image

from facegen.code_hash import code_hash
from facegen.data.dataset import FaceDataset, is_dataset
from facegen.data.decode import Unreadable
from facegen.data.images import open_images
from facegen.data.transform import resize_and_crop
from facegen.errors import InputError
from facegen.files import atomic_path, read_arrays
from facegen.metrics.phash import Hashes, mirrored_hashes, nearest_within, perceptual_hashes, popcount
from facegen.metrics.shifted import ALIKE, Thumbnails, find_shifted, least_of_copies, thumbnails

#: Shifted copies that count, at least: see :func:`find_copies`.
FEWEST_SHIFTED = 3
_BATCH = 1024


@dataclass(frozen=True)
class Fingerprints:
    """Of N images.

    ``pixels``: uint64 [N], the start of their sha256; ``hashes`` and ``mirrored``: uint64 [N, 4], perceptual.
    """

    pixels: npt.NDArray[np.uint64]
    hashes: Hashes
    mirrored: Hashes

    def __len__(self) -> int:
        return len(self.pixels)


@dataclass(frozen=True)
class KnownFaces:
    """A collection in which copies are looked for: its images' names and fingerprints.

    ``thumbnails``: uint8 [N, 32, 32], by which shifted copies are found; None where those are not looked for.
    """

    names: tuple[str, ...]
    fingerprints: Fingerprints
    thumbnails: Thumbnails | None = None

    @cached_property
    def least_correlation(self) -> float:
        """From where an image counts as a shifted copy of one of these: so far strangers among them are not alike."""
        return ALIKE if self.thumbnails is None else least_of_copies(self.thumbnails)


@dataclass(frozen=True)
class Matches:
    """For each of N images its nearest near-duplicate elsewhere.

    ``row``: int64 [N], -1 where there is none; ``distance``: differing bits; ``exact``: the very same pixels;
    ``mirrored``: the nearest is a mirror image.
    """

    row: npt.NDArray[np.int64]
    distance: npt.NDArray[np.int64]
    exact: npt.NDArray[np.bool_]
    mirrored: npt.NDArray[np.bool_]

    @property
    def found(self) -> npt.NDArray[np.int64]:
        """The rows of the images that have a match, rising."""
        return np.flatnonzero(self.row >= 0)


@dataclass(frozen=True)
class Copies:
    """For each of N images that of which it is a copy, shifted ones too.

    ``matches``: which; ``shift``: int64 [N, 2], pixels by which it lies right of and below that, after it is mirrored
    back; ``correlation``: float64 [N], of their detail then, where no hash tells it, and NaN elsewhere.
    """

    matches: Matches
    shift: npt.NDArray[np.int64]
    correlation: npt.NDArray[np.float64]

    @property
    def shifted(self) -> npt.NDArray[np.bool_]:
        """Those that no hash tells."""
        return ~np.isnan(self.correlation)


def fingerprint(images: npt.NDArray[np.uint8]) -> Fingerprints:
    """Fingerprints of uint8 [N, S, S, 3] images, S a multiple of 32."""
    starts = b"".join(hashlib.sha256(image.tobytes()).digest()[:8] for image in images)
    return Fingerprints(np.frombuffer(starts, dtype=np.uint64), perceptual_hashes(images), mirrored_hashes(images))


def find_near_duplicates(images: Fingerprints, hashes: Hashes) -> Matches:
    """Each image's nearest near-duplicate among perceptual ``hashes``, straight or mirrored; straight wins a tie.

    None is called exact: that is not to be told from such hashes.
    """
    row, distance = nearest_within(images.hashes, hashes)
    mirror_row, mirror_distance = nearest_within(images.mirrored, hashes)
    mirrored = (mirror_row >= 0) & ((row < 0) | (mirror_distance < distance))
    row, distance = np.where(mirrored, mirror_row, row), np.where(mirrored, mirror_distance, distance)
    return Matches(row, distance, np.zeros(len(images), dtype=np.bool_), mirrored)


def find_matches(images: Fingerprints, known: Fingerprints) -> Matches:
    """The same among ``known`` images, and which are exact copies."""
    near = find_near_duplicates(images, known.hashes)
    # The same pixels have the same hash, so an exact copy is among the matches; it may not be the first of them.
    order = np.argsort(known.pixels, kind="stable")
    nearest = order[np.minimum(np.searchsorted(known.pixels, images.pixels, sorter=order), len(known) - 1)]
    exact = known.pixels[nearest] == images.pixels
    row, distance = np.where(exact, nearest, near.row), np.where(exact, 0, near.distance)
    return Matches(row, distance, exact, near.mirrored & ~exact)


def find_copies(images: npt.NDArray[np.uint8], prints: Fingerprints, known: KnownFaces) -> Copies:
    """What :func:`find_matches` finds, and, where there are enough, the shifted copies that it does not find.

    They count from :data:`FEWEST_SHIFTED` on, each of another known image: one in a thousand images may be like one of
    many thousand by chance, and the images of a collapsed generator are all like the same few.
    """
    matches = find_matches(prints, known.fingerprints)
    copies = Copies(matches, np.zeros((len(images), 2), dtype=np.int64), np.full(len(images), np.nan))
    if known.thumbnails is None:
        return copies
    rest = np.flatnonzero(matches.row < 0)
    moved = find_shifted(images[rest], known.thumbnails, known.least_correlation)
    found = np.flatnonzero(moved.row >= 0)
    if len(np.unique(moved.row[found])) < FEWEST_SHIFTED:
        return copies
    at, of = rest[found], moved.row[found]
    hashes = np.where(moved.mirrored[found, None], prints.mirrored[at], prints.hashes[at])
    matches.row[at], matches.mirrored[at] = of, moved.mirrored[found]
    matches.distance[at] = popcount(hashes ^ known.fingerprints.hashes[of]).sum(axis=1, dtype=np.int64)
    copies.shift[at], copies.correlation[at] = moved.shift[found], moved.correlation[found]
    return copies


def known_faces(path: Path, sha256: str, size: int, cache: Path) -> KnownFaces:
    """The fingerprints of the images at ``path``, whose content hash is ``sha256``; cached in the folder ``cache``.

    Images of another size than ``size``, a submission's, are first brought to it as ``facegen prepare`` would.
    """
    key = hashlib.sha256(f"{code_hash(__name__)} {sha256} {size}".encode()).hexdigest()
    cached = cache / f"faces-{key[:32]}.npz"
    if cached.is_file() and (known := _load(cached)) is not None:
        return known
    names: list[str] = []
    parts: list[Fingerprints] = []
    small: list[Thumbnails] = []
    for batch_names, batch in prepared_batches(path, size):
        names += batch_names
        parts.append(fingerprint(batch))
        small.append(thumbnails(batch))
    columns = (np.concatenate([getattr(part, key) for part in parts]) for key in ("pixels", "hashes", "mirrored"))
    known = KnownFaces(tuple(names), Fingerprints(*columns), np.concatenate(small))
    _save(cached, known)
    return known


def prepared_batches(path: Path, size: int) -> Iterator[tuple[list[str], npt.NDArray[np.uint8]]]:
    """The names and the images uint8 [n, size, size, 3] of the collection at ``path``, about a thousand at once."""
    if is_dataset(path) and (dataset := FaceDataset.open(path)).size == size:
        for start in range(0, len(dataset), _BATCH):
            yield list(dataset.names[start : start + _BATCH]), dataset.images[start : start + _BATCH]
        return
    names: list[str] = []
    faces: list[npt.NDArray[np.uint8]] = []
    for name, face in _prepared(path, open_images(path), size):
        names.append(name)
        faces.append(face)
        if len(faces) == _BATCH:
            yield names, np.stack(faces)
            names, faces = [], []
    if faces:
        yield names, np.stack(faces)


def _prepared(
    path: Path, images: Iterable[tuple[str, npt.NDArray[np.uint8]]], size: int
) -> Iterator[tuple[str, npt.NDArray[np.uint8]]]:
    for name, image in images:
        try:
            yield name, resize_and_crop(Image.fromarray(image), size)
        except Unreadable as problem:
            raise InputError(f"Cannot use the image {name} in {path}: {problem.reason}.") from problem


def _save(path: Path, known: KnownFaces) -> None:
    prints = known.fingerprints
    assert known.thumbnails is not None
    with atomic_path(path) as temporary, temporary.open("wb") as file:
        np.savez(
            file,
            names=np.asarray(known.names, dtype=np.str_),
            pixels=prints.pixels,
            hashes=prints.hashes,
            mirrored=prints.mirrored,
            thumbnails=known.thumbnails,
        )


def _load(path: Path) -> KnownFaces | None:
    """What ``_save`` wrote; None where the file is damaged: it is only a cache, and is made again."""
    try:
        stored: dict[str, npt.NDArray[Any]] = read_arrays(path)
        prints = Fingerprints(stored["pixels"], stored["hashes"], stored["mirrored"])
        return KnownFaces(tuple(map(str, stored["names"])), prints, stored["thumbnails"])
    except (ValueError, KeyError):
        return None
