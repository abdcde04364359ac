"""Fingerprints that recognise images: a hash of the pixels and two perceptual hashes."""

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

#: Minimum number of shifted copies that count (:func:`find_copies`).
FEWEST_SHIFTED = 3
_BATCH = 1024


@dataclass(frozen=True)
class Fingerprints:
    """The fingerprints of N images.

    ``pixels``: The first 64 bits of each image's SHA-256, uint64 [N]. ``hashes`` and ``mirrored``: Perceptual hashes of
    the image and of its mirror image, uint64 [N, 4].
    """

    pixels: npt.NDArray[np.uint64]
    hashes: Hashes
    mirrored: Hashes

    def __len__(self) -> int:
        return len(self.pixels)


@dataclass(frozen=True)
class KnownFaces:
    """The names and fingerprints of a collection in which copies are looked for.

    ``thumbnails``: uint8 [N, 32, 32], which are needed to find shifted copies; None to skip shifted copies.
    """

    names: tuple[str, ...]
    fingerprints: Fingerprints
    thumbnails: Thumbnails | None = None

    @cached_property
    def least_correlation(self) -> float:
        """The correlation from which an image counts as a shifted copy.

        Unrelated images of the collection stay below it.
        """
        return ALIKE if self.thumbnails is None else least_of_copies(self.thumbnails)


@dataclass(frozen=True)
class Matches:
    """The nearest near-duplicate of each of N images.

    ``row``: int64 [N], the row of the near-duplicate, or -1 if there is none. ``distance``: The number of differing
    bits. ``exact``: Whether the pixels are identical. ``mirrored``: Whether the nearest one is a mirror image.
    """

    row: npt.NDArray[np.int64]
    distance: npt.NDArray[np.int64]
    exact: npt.NDArray[np.bool_]
    mirrored: npt.NDArray[np.bool_]

    @property
    def found(self) -> npt.NDArray[np.int64]:
        """The rows of the images that have a match, in rising order."""
        return np.flatnonzero(self.row >= 0)


@dataclass(frozen=True)
class Copies:
    """The original of each of N images, including originals of shifted copies.

    ``matches``: The originals. ``shift``: int64 [N, 2], how many pixels the image lies to the right of and below its
    original, after mirroring back. ``correlation``: float64 [N], the correlation of the detail after the shift. It is
    NaN where a hash already tells the copy.
    """

    matches: Matches
    shift: npt.NDArray[np.int64]
    correlation: npt.NDArray[np.float64]

    @property
    def shifted(self) -> npt.NDArray[np.bool_]:
        """Whether each image is a copy that no hash tells."""
        return ~np.isnan(self.correlation)


def fingerprint(images: npt.NDArray[np.uint8]) -> Fingerprints:
    """Return the fingerprints of uint8 [N, S, S, 3] images. S must be a multiple of 32."""
    starts = b"".join(hashlib.sha256(image.tobytes()).digest()[:8] for image in images)
    return Fingerprints(np.frombuffer(starts, dtype=np.uint64), perceptual_hashes(images), mirrored_hashes(images))


def find_near_duplicates(images: Fingerprints, hashes: Hashes) -> Matches:
    """Find the nearest near-duplicate of each image among perceptual ``hashes``.

    Images are compared as they are and mirrored. If both are equally near, the unmirrored match is taken. No match is
    called exact, because perceptual hashes cannot tell.
    """
    row, distance = nearest_within(images.hashes, hashes)
    mirror_row, mirror_distance = nearest_within(images.mirrored, hashes)
    mirrored = (mirror_row >= 0) & ((row < 0) | (mirror_distance < distance))
    row, distance = np.where(mirrored, mirror_row, row), np.where(mirrored, mirror_distance, distance)
    return Matches(row, distance, np.zeros(len(images), dtype=np.bool_), mirrored)


def find_matches(images: Fingerprints, known: Fingerprints) -> Matches:
    """Find the nearest near-duplicate of each image among ``known`` images, and tell exact copies."""
    near = find_near_duplicates(images, known.hashes)
    # An exact copy has the same perceptual hash, so it is among the matches, but it may not be the first of them.
    order = np.argsort(known.pixels, kind="stable")
    nearest = order[np.minimum(np.searchsorted(known.pixels, images.pixels, sorter=order), len(known) - 1)]
    exact = known.pixels[nearest] == images.pixels
    row, distance = np.where(exact, nearest, near.row), np.where(exact, 0, near.distance)
    return Matches(row, distance, exact, near.mirrored & ~exact)


def find_copies(images: npt.NDArray[np.uint8], prints: Fingerprints, known: KnownFaces) -> Copies:
    """Find near-duplicates as :func:`find_matches` does, and shifted copies that these hashes miss.

    Shifted copies count only if at least :data:`FEWEST_SHIFTED` different known images are copied. One in a thousand
    images may resemble one of many thousand by chance, and the images of a collapsed generator all resemble the same
    few.
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
    """Return the fingerprints of the images at ``path``, whose content hash is ``sha256``.

    The fingerprints are cached in the folder ``cache``. ``size`` is the side length of a submission's images. Images of
    another size are first prepared as ``facegen prepare`` does.
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
    """Yield the names and the images, uint8 [n, size, size, 3], of a collection, about a thousand at once."""
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
    """Return what ``_save`` wrote; None if the file is damaged, so that it is made again."""
    try:
        stored: dict[str, npt.NDArray[Any]] = read_arrays(path)
        prints = Fingerprints(stored["pixels"], stored["hashes"], stored["mirrored"])
        return KnownFaces(tuple(map(str, stored["names"])), prints, stored["thumbnails"])
    except (ValueError, KeyError):
        return None
