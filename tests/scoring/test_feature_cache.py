"""The features of a reference are stored, and a pass over it that is broken off goes on where it stopped."""

from __future__ import annotations

import errno
import io
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import asdict, dataclass, field
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from facegen.data.images import ImageCollection, open_images
from facegen.errors import EnvironmentProblem
from facegen.extractors.feature_extractor import CPU_BATCH, FeatureExtractor
from facegen.files import cache_folder
from facegen.metrics.frechet import RunningStatistics
from facegen.scoring import feature_cache, features, pass_checkpoint
from facegen.scoring.feature_cache import cached_features
from facegen.scoring.features import FeaturePass, SetFeatures, stored_rows

Images = np.ndarray


@dataclass
class Network:
    """12 seeded projections of an image; counts the images, and is interrupted at a batch."""

    interrupted_at: int | None = None
    images: int = 0
    batches: int = 0
    weight: Tensor = field(default_factory=lambda: torch.randn(768, 12, generator=torch.Generator().manual_seed(0)))

    def resize(self, images: Tensor) -> Tensor:
        return images.float().flatten(1) / 255

    def __call__(self, resized: Tensor) -> Tensor:
        if self.batches == self.interrupted_at:
            raise KeyboardInterrupt
        self.batches += 1
        self.images += len(resized)
        return resized @ self.weight


def extractor(network: Network) -> FeatureExtractor:
    return FeatureExtractor("linear", "0" * 64, 12, network, torch.device("cpu"))


@pytest.fixture
def collection(folder: Path) -> ImageCollection:
    return open_images(folder)


@pytest.fixture
def whole(collection: ImageCollection, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> SetFeatures:
    """What an undisturbed pass leaves."""
    with monkeypatch.context() as patch:
        patch.setenv("FACEGEN_CACHE", str(tmp_path / "elsewhere"))
        return cached_features(collection, extractor(Network()), "The reference")


def partial_files() -> list[Path]:
    return sorted((cache_folder() / "references").glob("*.part"))


def interrupt(collection: ImageCollection, batches: int) -> None:
    with pytest.raises(KeyboardInterrupt):
        cached_features(collection, extractor(Network(batches)), "The reference")


def assert_same(found: SetFeatures, expected: SetFeatures) -> None:
    assert found.statistics.n == expected.statistics.n
    assert found.properties is not None and expected.properties is not None
    np.testing.assert_equal(asdict(found.properties), asdict(expected.properties))
    np.testing.assert_array_equal(found.statistics.mu, expected.statistics.mu)
    np.testing.assert_array_equal(found.statistics.sigma, expected.statistics.sigma)
    np.testing.assert_array_equal(found.features, expected.features)


@pytest.mark.parametrize("batches", [1, 2])
def test_an_interrupted_pass_goes_on_with_the_rest(
    collection: ImageCollection, whole: SetFeatures, batches: int, capsys: pytest.CaptureFixture[str]
) -> None:
    interrupt(collection, batches)
    network = Network()
    found = cached_features(collection, extractor(network), "The reference")
    assert network.images == 20 - batches * CPU_BATCH
    assert f"The reference: continuing after {batches * CPU_BATCH} of 20 images." in capsys.readouterr().err
    assert_same(found, whole)
    assert partial_files() == []


def test_images_that_have_passed_are_not_decoded(
    collection: ImageCollection, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    interrupt(collection, 2)
    asked = []
    members = type(collection._content).members
    monkeypatch.setattr(
        type(collection._content), "members", lambda content, names: asked.extend(names) or members(content, names)
    )
    cached_features(collection, extractor(Network()), "The reference")
    assert asked == [f"{index:04}.png" for index in range(16, 20)]


def test_a_pass_may_be_interrupted_again_and_again(collection: ImageCollection, whole: SetFeatures) -> None:
    interrupt(collection, 1)
    interrupt(collection, 1)
    network = Network()
    assert_same(cached_features(collection, extractor(network), "The reference"), whole)
    assert network.images == 4


def test_a_killed_pass_goes_on_from_the_last_checkpoint(
    collection: ImageCollection, whole: SetFeatures, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A checkpoint is due after every batch, and the process dies without a word in the third."""
    monkeypatch.setattr(pass_checkpoint, "INTERVAL", 0)
    monkeypatch.setattr(pass_checkpoint, "SHARE", float("inf"))
    with monkeypatch.context() as patch:
        patch.setattr(Network, "__call__", dies_at(2))
        with pytest.raises(SystemError):
            cached_features(collection, extractor(Network()), "The reference")
    network = Network()
    assert_same(cached_features(collection, extractor(network), "The reference"), whole)
    assert network.images == 4


def dies_at(batch: int) -> Callable[[Network, Tensor], Tensor]:
    alive = Network.__call__

    def call(network: Network, resized: Tensor) -> Tensor:
        if network.batches == batch:
            raise SystemError
        return alive(network, resized)

    return call


def test_a_quick_pass_writes_no_checkpoint(collection: ImageCollection, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pass_checkpoint.PassCheckpoint, "save", None)
    cached_features(collection, extractor(Network()), "The reference")


def test_nothing_is_saved_of_a_batch_that_was_half_added(
    collection: ImageCollection, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(statistics: RunningStatistics, batch: Images) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(RunningStatistics, "update", interrupted)
        cached_features(collection, extractor(Network()), "The reference")
    assert partial_files() == []


@pytest.mark.parametrize("content", [b"", b"<html></html>", None], ids=["empty", "web page", "cut off"])
def test_a_damaged_checkpoint_is_thrown_away(
    collection: ImageCollection, whole: SetFeatures, content: bytes | None, capsys: pytest.CaptureFixture[str]
) -> None:
    interrupt(collection, 2)
    (path,) = partial_files()
    path.write_bytes(path.read_bytes()[:1000] if content is None else content)
    network = Network()
    assert_same(cached_features(collection, extractor(network), "The reference"), whole)
    assert network.images == 20 and "is damaged" in capsys.readouterr().err


def test_a_checkpoint_of_other_images_is_not_taken_up(collection: ImageCollection) -> None:
    interrupt(collection, 2)
    network = Network()
    cached_features(collection.take(np.arange(19)), extractor(network), "The reference")
    assert network.images == 19


def test_without_a_cache_folder_the_features_are_computed_all_the_same(
    collection: ImageCollection, whole: SetFeatures, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_bytes(b"")
    monkeypatch.setenv("FACEGEN_CACHE", str(tmp_path / "file"))
    np.testing.assert_array_equal(cached_features(collection, extractor(Network()), "x").features, whole.features)


def test_where_nothing_can_be_stored_nothing_is_promised(
    collection: ImageCollection, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "file").write_bytes(b"")
    monkeypatch.setenv("FACEGEN_CACHE", str(tmp_path / "file"))
    interrupt(collection, 2)
    said = capsys.readouterr().err
    assert "stopped after 16 of 20 images" in said and "was not written" in said
    assert "stored" not in said and "continues" not in said


def test_a_second_process_waits_and_reads_what_the_first_stored(
    collection: ImageCollection, whole: SetFeatures, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The first ends while the second waits for its lock."""

    @contextmanager
    def other_process(path: Path, purpose: str, *, wait: bool) -> Iterator[None]:
        assert wait
        with monkeypatch.context() as patch:
            patch.setattr(feature_cache, "sole_use", lambda *_, **__: nullcontext())
            cached_features(collection, extractor(Network()), "The reference")
        yield

    monkeypatch.setattr(feature_cache, "sole_use", other_process)
    network = Network()
    assert_same(cached_features(collection, extractor(network), "The reference"), whole)
    assert network.images == 0


def test_a_full_temporary_folder_is_told(collection: ImageCollection, monkeypatch: pytest.MonkeyPatch) -> None:
    class Full(io.BytesIO):
        def write(self, data: object) -> int:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr("tempfile.TemporaryFile", Full)
    with pytest.raises(EnvironmentProblem, match=r"temporary file: No space left on device\."):
        cached_features(collection, extractor(Network()), "The reference")


def test_what_nobody_takes_up_does_not_pile_up(collection: ImageCollection) -> None:
    interrupt(collection, 2)
    (path,) = partial_files()
    os.utime(path, (0, 0))
    cached_features(collection.take(np.arange(19)), extractor(Network()), "Other images")
    assert partial_files() == []


@pytest.mark.parametrize("first", [5, 12, 13, 30])
def test_sums_go_on_to_the_last_bit_beyond_the_number_that_is_stored(
    monkeypatch: pytest.MonkeyPatch, first: int
) -> None:
    """37 images of 12 dims, which merge blocks thrice, and 20 of them stored."""
    monkeypatch.setattr(features, "STORED", 20)
    random = np.random.default_rng(0)
    images, rows = random.integers(0, 256, (37, 4, 4, 3), dtype=np.uint8), random.normal(size=(37, 12)).astype("f4")
    with FeaturePass(12, 37) as undisturbed, FeaturePass(12, 37) as broken_off, FeaturePass(12, 37) as resumed:
        for at in range(37):
            undisturbed.add(images[at : at + 1], rows[at : at + 1])
        broken_off.add(images[:first], rows[:first])
        resumed.restore({name: np.array(array) for name, array in broken_off.state().items()})
        resumed.add(images[first:], rows[first:])
        found = resumed.finish()
        assert_same(found, undisturbed.finish())
    np.testing.assert_array_equal(found.features, rows[stored_rows(37)])


@pytest.mark.parametrize("suffix", [".npy", ".npz"])
@pytest.mark.parametrize("place", [0.0, 0.5, 0.9])
def test_a_flipped_bit_in_what_is_stored_has_it_computed_anew(
    suffix: str, place: float, collection: ImageCollection, whole: SetFeatures, capsys: pytest.CaptureFixture[str]
) -> None:
    cached_features(collection, extractor(Network()), "The reference")
    (path,) = (cache_folder() / "references").glob(f"*{suffix}")
    data = path.read_bytes()
    at = int(place * len(data))
    path.write_bytes(data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :])
    network = Network()
    assert_same(cached_features(collection, extractor(network), "The reference"), whole)
    assert network.images == 20 and "computing the features anew" in capsys.readouterr().err
    assert_same(cached_features(collection, extractor(Network(0)), "The reference"), whole)
