"""Known faces are the same from every kind of collection, brought to the size asked for as prepare does, and cached."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image

from facegen.data.dataset import new_dataset
from facegen.data.transform import resize_and_crop
from facegen.grading.fingerprints import fingerprint, known_faces
from facegen.metrics.phash import hamming_distances

Smooth = Callable[..., npt.NDArray[np.uint8]]


def test_a_dataset_and_its_photographs_have_the_same_fingerprints(smooth: Smooth, tmp_path: Path) -> None:
    photographs = [Image.fromarray(image).resize((178, 218)) for image in smooth(5)]
    (tmp_path / "photographs").mkdir()
    for i, photograph in enumerate(photographs):
        photograph.save(tmp_path / "photographs" / f"{i}.png")
    faces = np.stack([resize_and_crop(photograph, 64) for photograph in photographs])
    with new_dataset(tmp_path / "dataset", 64) as writer:
        writer.append(faces, [f"{i}.png" for i in range(5)], ["train"] * 5)
        writer.finish({})
    truth = fingerprint(faces)
    for name in ("photographs", "dataset"):
        known = known_faces(tmp_path / name, name, 64, tmp_path / "cache")
        assert known.names == ("0.png", "1.png", "2.png", "3.png", "4.png")
        for key in ("pixels", "hashes", "mirrored"):
            np.testing.assert_array_equal(getattr(known.fingerprints, key), getattr(truth, key))


def test_fingerprints_are_cached_and_a_damaged_cache_is_made_again(smooth: Smooth, tmp_path: Path) -> None:
    with new_dataset(tmp_path / "dataset", 64) as writer:
        writer.append(smooth(3), ["a", "b", "c"], ["train"] * 3)
        writer.finish({})
    first = known_faces(tmp_path / "dataset", "sha", 64, tmp_path / "cache")
    (cached,) = (tmp_path / "cache").iterdir()
    (tmp_path / "dataset").rename(tmp_path / "gone")
    assert known_faces(tmp_path / "dataset", "sha", 64, tmp_path / "cache").names == first.names
    (tmp_path / "gone").rename(tmp_path / "dataset")
    data = cached.read_bytes()
    at = data.index(first.fingerprints.hashes.tobytes())
    for damaged in (data[:100], data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :]):
        cached.write_bytes(damaged)
        again = known_faces(tmp_path / "dataset", "sha", 64, tmp_path / "cache")
        np.testing.assert_array_equal(again.fingerprints.hashes, first.fingerprints.hashes)


def test_hashes_do_not_depend_on_the_size(smooth: Smooth) -> None:
    """So the hashes of 64x64 images that ship are of use at 128x128."""
    images = smooth(5)
    large = images.repeat(2, axis=1).repeat(2, axis=2)
    assert hamming_distances(fingerprint(images).hashes, fingerprint(large).hashes).diagonal().max() <= 1


def test_each_size_is_cached_by_itself(smooth: Smooth, tmp_path: Path) -> None:
    with new_dataset(tmp_path / "dataset", 64) as writer:
        writer.append(smooth(3), ["a", "b", "c"], ["train"] * 3)
        writer.finish({})
    prints = [known_faces(tmp_path / "dataset", "sha", size, tmp_path / "cache").fingerprints for size in (64, 128, 64)]
    assert (prints[0].pixels == prints[2].pixels).all() and (prints[0].pixels != prints[1].pixels).all()
    assert len(list((tmp_path / "cache").iterdir())) == 2
