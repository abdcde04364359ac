"""Shared images are those that a comparison of each with each finds; and what was found is kept."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import astuple
from pathlib import Path

import numpy as np
import pytest

from facegen.grading import shared_images as module
from facegen.grading.fingerprints import Fingerprints, find_matches
from facegen.grading.shared_images import shared_images
from facegen.metrics.phash import NEAR, Hashes

Class = list[Fingerprints]


def words(rng: np.random.Generator, count: int) -> Hashes:
    return rng.integers(0, 2**64, (count, 4), dtype=np.uint64)


def submission(rng: np.random.Generator, count: int = 30) -> Fingerprints:
    return Fingerprints(words(rng, count)[:, 0], words(rng, count), words(rng, count))


def flips(rng: np.random.Generator, count: int, most: int) -> Hashes:
    """Up to so many bits of 256 each."""
    bits = np.arange(256)[None, :] < rng.integers(0, most + 1, (count, 1))
    return np.packbits(rng.permuted(bits, axis=1), axis=1).view(np.uint64)


def copied(rng: np.random.Generator, prints: Fingerprints) -> Fingerprints:
    """Some of the images as they are, some changed, some mirrored, some twice, and others besides."""
    rows = rng.integers(0, len(prints), 24)
    pixels, hashes, mirrored = prints.pixels[rows], prints.hashes[rows], prints.mirrored[rows]
    changed = rng.random(24) < 0.6
    pixels = np.where(changed, words(rng, 24)[:, 0], pixels)
    change = np.where(changed[:, None], flips(rng, 24, NEAR + 4), 0).astype(np.uint64)
    turned = (rng.random(24) < 0.4)[:, None] & changed[:, None]
    hashes, mirrored = np.where(turned, mirrored, hashes) ^ change, np.where(turned, hashes, mirrored) ^ change
    own = submission(rng, 9)
    return Fingerprints(*map(np.concatenate, zip((pixels, hashes, mirrored), astuple(own), strict=True)))


def copies(rng: np.random.Generator) -> Class:
    first = [submission(rng) for _ in range(3)]
    return [*first, *(copied(rng, prints) for prints in first), copied(rng, first[0]), submission(rng, 1)]


def shuffled(rng: np.random.Generator) -> Class:
    first = submission(rng)
    orders = [rng.permutation(30) for _ in range(4)]
    return [Fingerprints(*(array[order] for array in astuple(first))) for order in orders]


def flat(rng: np.random.Generator) -> Class:
    zeros = np.zeros((30, 4), dtype=np.uint64)
    return [Fingerprints(words(rng, 30)[:, 0], zeros, zeros) for _ in range(3)]


def hub(rng: np.random.Generator) -> Class:
    """All within a few bits of one hash, which is its own mirror image: every image is like every other."""
    centre = np.repeat(words(rng, 1), 30, axis=0)
    return [
        Fingerprints(words(rng, 30)[:, 0], centre ^ flips(rng, 30, 14), centre ^ flips(rng, 30, 14)) for _ in range(4)
    ]


CLASSES: dict[str, Callable[[np.random.Generator], Class]] = {
    "copies": copies,
    "the same images": lambda rng: [submission(rng)] * 4,
    "in another order": shuffled,
    "flat images": flat,
    "a hub": hub,
    "strangers": lambda rng: [submission(rng) for _ in range(4)],
    "one": lambda rng: [submission(rng)],
    "none": lambda rng: [],
}


def told(found: Sequence[Sequence[tuple[int, object]]]) -> object:
    return [[(other, [column.tolist() for column in astuple(matches)]) for other, matches in each] for each in found]


def full(prints: Class) -> object:
    found = []
    for i, images in enumerate(prints):
        each = [(j, find_matches(images, other)) for j, other in enumerate(prints) if j != i]
        found.append([(j, matches) for j, matches in each if len(matches.found)])
    return told(found)


@pytest.mark.parametrize("name", CLASSES)
@pytest.mark.parametrize("seed", range(3))
def test_they_are_those_of_a_full_comparison(name: str, seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "PAIRS", 500)  # so that there are several parts
    prints = CLASSES[name](np.random.default_rng(seed))
    assert told(list(shared_images(prints))) == full(prints)


def test_what_was_found_is_not_looked_for_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    prints = copies(np.random.default_rng(3))
    looked_at: list[int] = []

    class Collection(module._Collection):
        def __init__(self, prints: dict[int, Fingerprints]) -> None:
            looked_at.append(len(prints))
            super().__init__(prints)

    monkeypatch.setattr(module, "_Collection", Collection)
    # All; the same in another order; without some; a new one, with which the others are compared; all again.
    for some, expected in (
        (prints[:-1], [7]),
        (prints[:-1][::-1], []),
        (prints[2:-1], []),
        (prints, [1, 8]),
        (prints, []),
    ):
        assert told(list(shared_images(some, tmp_path))) == full(some)
        assert looked_at == expected
        looked_at.clear()


def test_an_interrupted_search_goes_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    prints = copies(np.random.default_rng(4))
    search = shared_images(prints, tmp_path)
    for _ in range(3):
        next(search)
    search.close()
    saved: list[Path] = []
    save = module._save
    monkeypatch.setattr(module, "_save", lambda path, others, best: (saved.append(path), save(path, others, best)))
    assert told(list(shared_images(prints, tmp_path))) == full(prints)
    assert len(saved) == len(prints) - 3


def test_a_damaged_store_is_made_again(tmp_path: Path) -> None:
    prints = copies(np.random.default_rng(5))
    list(shared_images(prints, tmp_path))
    first, second, third, *_ = sorted(tmp_path.iterdir())
    first.write_bytes(first.read_bytes()[:99])
    second.write_bytes(b"")
    np.savez(third, others=np.zeros((1, 32), np.uint8), other=[7], image=[7], value=[7])
    assert told(list(shared_images(prints, tmp_path))) == full(prints)


def test_many_matches_are_not_stored(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_MOST_KEPT", 100)
    prints = shuffled(np.random.default_rng(6))
    for _ in range(2):
        assert told(list(shared_images(prints, tmp_path))) == full(prints)
    assert not list(tmp_path.iterdir())
