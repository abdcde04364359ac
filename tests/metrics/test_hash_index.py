"""The index of hashes finds every near pair that a full comparison finds, and none besides."""

from __future__ import annotations

from collections.abc import Callable
from unittest.mock import Mock

import numpy as np
import pytest

from facegen.metrics import hash_index
from facegen.metrics.hash_index import HashIndex, spread
from facegen.metrics.phash import NEAR, Hashes, hamming_distances


def randoms(rng: np.random.Generator, count: int) -> Hashes:
    return rng.integers(0, 2**64, (count, 4), dtype=np.uint64)


def flipped(rng: np.random.Generator, hashes: Hashes, bits: int) -> Hashes:
    """Hashes that differ from these by exactly so many bits."""
    flips = np.zeros((len(hashes), 256), dtype=np.uint8)
    flips[:, :bits] = 1
    return hashes ^ np.packbits(rng.permuted(flips, axis=1), axis=1).view(np.uint64)


def two_in_each_band(hashes: Hashes) -> Hashes:
    """Flipped where it is hardest: bits 0 to 19 are two of nine bands and one of two."""
    flips = np.zeros(256, dtype=np.uint8)
    flips[:NEAR] = 1
    return hashes ^ np.packbits(flips).view(np.uint64)


def at_the_edge(rng: np.random.Generator) -> tuple[Hashes, Hashes]:
    many = randoms(rng, 300)
    near = [flipped(rng, many, bits) for bits in (0, 1, NEAR - 1, NEAR, NEAR + 1, NEAR + 2)]
    return np.concatenate([*near, two_in_each_band(many)]), many


def hub(rng: np.random.Generator) -> tuple[Hashes, Hashes]:
    """All around one hash: the bands tell nothing apart."""
    centre = np.zeros((120, 4), dtype=np.uint64)
    return flipped(rng, centre, 12), np.concatenate([flipped(rng, centre, 9), randoms(rng, 50)])


CASES: dict[str, Callable[[np.random.Generator], tuple[Hashes, Hashes]]] = {
    "random": lambda rng: (randoms(rng, 200), randoms(rng, 300)),
    "at the edge": at_the_edge,
    "a hub": hub,
    "all identical": lambda rng: (np.repeat(randoms(rng, 1), 90, axis=0),) * 2,
    "flat images": lambda rng: (np.zeros((50, 4), np.uint64), np.concatenate([np.zeros((9, 4), np.uint64)] * 2)),
    "flipped in the first word": lambda rng: (two_in_each_band(one := randoms(rng, 1)), np.repeat(one, 90, axis=0)),
    "all bits": lambda rng: (np.full((5, 4), 2**64 - 1, np.uint64), np.full((3, 4), 2**64 - 1, np.uint64)),
    "none asked": lambda rng: (randoms(rng, 0), randoms(rng, 9)),
    "none known": lambda rng: (randoms(rng, 9), randoms(rng, 0)),
}


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize(("pairs", "heavy"), [(hash_index.PAIRS, hash_index._HEAVY), (700, 0.2), (700, 1e9)])
def test_it_finds_what_a_full_comparison_finds(
    case: str, pairs: int, heavy: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(hash_index, "PAIRS", pairs)
    monkeypatch.setattr(hash_index, "_HEAVY", heavy)
    asked, known = CASES[case](np.random.default_rng(5))
    full = hamming_distances(asked, known).astype(int)
    truth = {(row, column, full[row, column]) for row, column in np.argwhere(full <= NEAR).tolist()}
    found = list(HashIndex(known).near(asked))
    assert {pair for part in found for pair in zip(*(column.tolist() for column in part), strict=True)} == truth
    assert all(len(rows) <= pairs for rows, _, _ in found)


def test_bits_that_are_dealt_out_evenly_miss_no_pair(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where no hash is gone through by itself, the bands alone find the very worst pairs: two bits in almost each."""
    monkeypatch.setattr(hash_index, "_HEAVY", 1e9)
    known = randoms(np.random.default_rng(6), 200)
    found = HashIndex(known).near(two_in_each_band(known))
    pairs = {pair for rows, columns, _ in found for pair in zip(rows.tolist(), columns.tolist(), strict=True)}
    assert pairs == {(row, row) for row in range(200)}


def test_few_of_other_images_are_compared(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(7)
    index = HashIndex(randoms(rng, 5000))
    within = Mock(return_value=())
    monkeypatch.setattr(index, "_within", within)
    assert not list(index.near(randoms(rng, 100)))
    assert sum(len(rows) for (_, rows, _), _ in within.call_args_list) < 0.003 * 100 * 5000


def test_rows_are_spread_in_parts() -> None:
    counts = np.array([2, 0, 3, 7, 1, 0])
    parts = list(spread(counts, most=5))
    rows, within = (np.concatenate(column) for column in zip(*parts, strict=True))
    assert rows.tolist() == np.repeat(np.arange(6), counts).tolist()
    assert within.tolist() == [0, 1, 0, 1, 2, 0, 1, 2, 3, 4, 5, 6, 0]
    assert [len(part) for part, _ in parts] == [5, 7, 1]
