"""Faces are found where OpenCV is installed, the reference's share is kept, and a run without OpenCV says so once."""

from __future__ import annotations

import builtins
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from facegen.data.images import open_images
from facegen.grading import face_share as share_module
from facegen.grading import faces
from facegen.grading.face_share import face_share
from facegen.grading.faces import SAMPLE, detector, measure_faces, rows_looked_at

Images = npt.NDArray[np.uint8]


@pytest.fixture(autouse=True)
def _asked_anew() -> Iterator[None]:
    detector.cache_clear()
    yield
    detector.cache_clear()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    path = tmp_path / "reference.npy"
    np.save(path, np.random.default_rng(0).integers(0, 256, (8, 64, 64, 3), dtype=np.uint8))
    return path


@pytest.fixture
def every_second(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """A detector that finds a face in every second image that it is shown, and notes how many it was shown."""
    shown: list[int] = []

    def has_face(image: Images) -> bool:
        shown.append(image.shape[0])
        return len(shown) % 2 == 1

    for module in (faces, share_module):
        monkeypatch.setattr(module, "has_face", has_face)
        monkeypatch.setattr(module, "detector", lambda: "OpenCV 4.8")
    return shown


def test_drawn_faces_are_found_and_noise_has_none(drawn: tuple[Images, Images]) -> None:
    pytest.importorskip("cv2")
    if detector() is None:
        pytest.skip("this OpenCV has no cascades")
    images = np.ascontiguousarray(drawn[0][:20, 55:183:2, 25:153:2])
    noise = np.random.default_rng(0).integers(0, 256, (20, 64, 64, 3), dtype=np.uint8)
    assert measure_faces(images).mean() > 0.8
    assert measure_faces(noise).mean() == 0


@pytest.mark.parametrize("count", [1, 7, SAMPLE, 1000])
def test_images_are_looked_at_evenly(count: int) -> None:
    rows = rows_looked_at(count)
    assert len(rows) == min(count, SAMPLE) and rows[0] == 0 and rows[-1] == count - 1
    assert len(rows) == 1 or np.ptp(np.diff(rows)) <= 1


def test_a_measure_is_1_where_a_face_is_found(every_second: list[int]) -> None:
    assert measure_faces(np.zeros((5, 64, 64, 3), dtype=np.uint8)).tolist() == [1, 0, 1, 0, 1]


def test_the_references_share_is_kept_by_its_content(folder: Path, every_second: list[int], tmp_path: Path) -> None:
    sha256 = open_images(folder).sha256
    assert [face_share(folder, sha256, 64, tmp_path / "cache") for _ in range(2)] == [0.5, 0.5]
    assert len(every_second) == 8
    assert face_share(folder, "1" * 64, 32, tmp_path / "cache") == 0.5  # other content, brought to another size
    assert every_second[8:] == [32] * 8


def test_a_damaged_share_is_measured_anew(folder: Path, every_second: list[int], tmp_path: Path) -> None:
    assert face_share(folder, "1" * 64, 64, tmp_path / "cache") == 0.5
    (kept,) = (tmp_path / "cache").iterdir()
    kept.write_text("{}", encoding="utf-8")
    assert face_share(folder, "1" * 64, 64, tmp_path / "cache") == 0.5
    assert len(every_second) == 16


def without_opencv(monkeypatch: pytest.MonkeyPatch) -> None:
    find = builtins.__import__

    def missing(name: str, *given: Any) -> Any:
        if name == "cv2":
            raise ImportError(name)
        return find(name, *given)

    monkeypatch.setattr(builtins, "__import__", missing)


def opencv_5(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(
        __import__("sys").modules, "cv2", SimpleNamespace(__version__="5.0.0", data=SimpleNamespace(haarcascades=""))
    )


@pytest.mark.parametrize("lack", [without_opencv, opencv_5])
def test_without_a_detector_it_is_said_and_nothing_is_measured(
    lack: Any, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    lack(monkeypatch)
    assert detector() is None
    assert face_share(folder, "1" * 64, 64, tmp_path / "cache") is None
    assert "pip install 'facegen[faces]'" in capsys.readouterr().err
    assert measure_faces(np.zeros((5, 64, 64, 3), dtype=np.uint8)).shape == (0,)
