"""Every command that uses a dataset reads its content first, and ends where that is not what was prepared."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from click.testing import Result

Run = Callable[..., Result]


@pytest.fixture
def named(dataset: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, Path]:
    """What the commands name: CHANGED is a dataset each of whose pixels was inverted after it was prepared."""
    files = {"IMAGES": tmp_path / "sound", "SUBMISSIONS": tmp_path / "s1.tar.gz", "STATISTICS": tmp_path / "x.npz"}
    shutil.copytree(dataset, files["IMAGES"])
    np.save(dataset / "images.npy", 255 - np.load(dataset / "images.npy"))
    files["SUBMISSIONS"].write_bytes(b"")
    np.savez(files["STATISTICS"], mu=np.zeros(4), sigma=np.eye(4))
    (tmp_path / "corners.py").write_text("def corners(images):\n    return images[:, :2, :2, 0].reshape(-1, 4) / 255\n")
    monkeypatch.syspath_prepend(tmp_path)
    return {**files, "CHANGED": dataset, "RUN": tmp_path / "run"}


USES = {
    "fid, the images": ["fid", "CHANGED", "--reference", "IMAGES"],
    "fid, the reference": ["fid", "IMAGES", "--reference", "CHANGED"],
    "fid, --train": ["fid", "IMAGES", "--reference", "IMAGES", "--all-metrics", "--train", "CHANGED"],
    "grade, the reference": ["grade", "SUBMISSIONS", "--reference", "CHANGED"],
    "grade, --train": ["grade", "SUBMISSIONS", "--reference", "STATISTICS", "--train", "CHANGED"],
    "train": ["train", "CHANGED", "RUN"],
}


@pytest.mark.parametrize("use", USES)
def test_a_dataset_that_changed_is_not_used(use: str, named: dict[str, Path], facegen: Run, tmp_path: Path) -> None:
    words = [named.get(word, word) for word in USES[use]]
    if words[0] != "train":
        words += ["--extractor", "corners:corners"]
    outcome = facegen(*words, *(["--out", tmp_path / "out"] if words[0] == "grade" else []))
    assert outcome.exit_code == 2, outcome.stderr
    said = f"The dataset {named['CHANGED']} changed since it was prepared: images.npy holds other pixels."
    assert said in outcome.stderr and not named["RUN"].exists()
