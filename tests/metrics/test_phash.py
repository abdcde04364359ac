"""Perceptual hashes against a plain reading of their definition, and on copies and strangers."""

from __future__ import annotations

import io
import sys

import numpy as np
import numpy.typing as npt
import pytest
from PIL import Image
from scipy.fft import dctn
from scipy.ndimage import gaussian_filter

from facegen.metrics import phash
from facegen.metrics.phash import NEAR, hamming_distances, mirrored_hashes, nearest_within, perceptual_hashes


def smooth(count: int, seed: int = 0) -> npt.NDArray[np.uint8]:
    """Random smooth pictures, uint8 [count, 64, 64, 3]: low frequencies as faces have them."""
    noise = np.random.default_rng(seed).normal(size=(count, 64, 64, 3))
    soft = gaussian_filter(noise, (0, 3, 3, 0), mode="wrap")
    return np.clip(128 + 60 * soft / soft.std(), 0, 255).astype(np.uint8)


def _bits(hashes: npt.NDArray[np.uint64]) -> npt.NDArray[np.uint8]:
    return np.unpackbits(hashes.view(np.uint8), axis=1)


def test_bits_are_those_of_the_definition() -> None:
    images = smooth(5)
    luma = images @ np.array([0.299, 0.587, 0.114])
    for hashed, picture in zip(_bits(perceptual_hashes(images)), luma, strict=True):
        small = picture.reshape(32, 2, 32, 2).mean(axis=(1, 3))
        low = dctn(small, norm="ortho")[:16, :16].ravel()
        bits = low > np.median(low[1:])
        bits[0] = False
        assert hashed.sum() == bits.sum()
        np.testing.assert_array_equal(hashed, bits[phash._ORDER])


@pytest.mark.parametrize(("height", "width"), [(32, 32), (64, 64), (64, 96), (96, 32)])
def test_luma_is_the_mean_of_equal_blocks(height: int, width: int) -> None:
    images = np.random.default_rng(0).integers(0, 256, (3, height, width, 3), dtype=np.uint8)
    luma = (images @ np.array([0.299, 0.587, 0.114])).reshape(3, 32, height // 32, 32, width // 32).mean(axis=(2, 4))
    np.testing.assert_allclose(phash.small_luma(images), luma, rtol=1e-5)


def test_hashes_do_not_depend_on_the_batch(monkeypatch: pytest.MonkeyPatch) -> None:
    images = smooth(7)
    whole = perceptual_hashes(images)
    monkeypatch.setattr(phash, "_BATCH", 3)
    np.testing.assert_array_equal(perceptual_hashes(images), whole)


def test_copies_are_near_and_strangers_far() -> None:
    images = smooth(60)
    hashes = perceptual_hashes(images)

    def changed(image: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
        buffer = io.BytesIO()
        Image.fromarray(image).save(buffer, "JPEG", quality=75)
        return np.asarray(Image.open(buffer))

    copies = perceptual_hashes(np.stack([changed(image) for image in images]))
    distances = hamming_distances(hashes, copies)
    assert distances.diagonal().max() <= NEAR / 2
    assert distances[~np.eye(60, dtype=bool)].min() > 2 * NEAR


def test_mirrored_hashes_find_mirror_images() -> None:
    images = smooth(4)
    np.testing.assert_array_equal(mirrored_hashes(images), perceptual_hashes(np.ascontiguousarray(images[:, :, ::-1])))


def test_flat_images_have_an_empty_hash() -> None:
    flat = np.stack([np.full((64, 64, 3), value, np.uint8) for value in (0, 77, 255)])
    assert not perceptual_hashes(flat).any()


def test_sides_must_be_multiples_of_32() -> None:
    for shape in ((1, 60, 64, 3), (1, 64, 60, 3)):
        with pytest.raises(ValueError, match="multiples"):
            perceptual_hashes(np.zeros(shape, np.uint8))


def test_distances_count_bits() -> None:
    rng = np.random.default_rng(0)
    first, second = (rng.integers(0, 2**63, (n, 4), dtype=np.uint64) for n in (5, 6))
    truth = (_bits(first)[:, None] != _bits(second)[None]).sum(axis=2)
    np.testing.assert_array_equal(hamming_distances(first, second), truth)


@pytest.mark.parametrize("pairs", [1, 300 * 30, phash._PAIRS])
def test_nearest_within_equals_a_full_search(pairs: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(phash, "_PAIRS", pairs)
    rng = np.random.default_rng(1)
    second = rng.integers(0, 2**63, (400, 4), dtype=np.uint64)
    second[200:] = second[:200]  # each twice: the earlier wins
    first = second[rng.integers(0, 400, 300)]
    for _ in range(15):  # flips up to 15 bits of each
        first[np.arange(300), rng.integers(0, 4, 300)] ^= np.uint64(1) << rng.integers(0, 64, 300).astype(np.uint64)
    first[:2] = second[0] ^ np.array([[0] * 4, [2**9 - 1, 0, 0, 0]], dtype=np.uint64)  # of all bits, the first word's
    rows, distances = nearest_within(first, second, limit=9)
    full = hamming_distances(first, second).astype(int)
    found = full.min(axis=1) <= 9
    np.testing.assert_array_equal(rows, np.where(found, full.argmin(axis=1), -1))
    np.testing.assert_array_equal(distances, np.where(found, full.min(axis=1), -1))
    assert 0 < found.sum() < 300


def test_nearest_within_has_none_among_nothing() -> None:
    rows, distances = nearest_within(np.zeros((2, 4), np.uint64), np.empty((0, 4), np.uint64))
    assert rows.tolist() == distances.tolist() == [-1, -1]


def test_bits_are_counted_alike_by_older_numpy(monkeypatch: pytest.MonkeyPatch) -> None:
    import importlib

    words = np.random.default_rng(0).integers(0, 2**63, (7, 4), dtype=np.uint64)
    truth = _bits(words).reshape(7, 4, 64).sum(axis=2)
    if sys.modules["numpy"].__version__ >= "2":
        monkeypatch.delattr(np, "bitwise_count")
    try:
        np.testing.assert_array_equal(importlib.reload(phash).popcount(words), truth)
    finally:
        monkeypatch.undo()
        importlib.reload(phash)
