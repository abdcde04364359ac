"""``facegen prepare`` on the command line."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from click.testing import Result
from PIL import Image

from facegen.data.dataset import FaceDataset

Facegen = Callable[..., Result]


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    folder = tmp_path / "photos"
    folder.mkdir()
    for number in range(3):
        Image.fromarray(np.full((9, 8, 3), number, np.uint8)).save(folder / f"{number}.png")
    return folder


def test_prints_the_dataset_and_tells_the_rest_on_stderr(facegen: Facegen, photos: Path, tmp_path: Path) -> None:
    outcome = facegen("prepare", photos, tmp_path / "out")
    assert outcome.exit_code == 0
    assert outcome.stdout == f"{tmp_path / 'out'}\n"
    assert "Prepared 3 images (3 train)" in outcome.stderr
    assert FaceDataset.open(tmp_path / "out").size == 64


def test_options_reach_the_stage(facegen: Facegen, photos: Path, tmp_path: Path) -> None:
    table = tmp_path / "list.txt"
    table.write_text("0.png 1\n1.png 0\n2.png 1\n")
    options = ("--size", 8, "--limit", 1, "--partition", table, "--split", "valid", "--workers", 0, "--strict")
    assert facegen("prepare", photos, tmp_path / "out", *options).exit_code == 0
    dataset = FaceDataset.open(tmp_path / "out")
    assert (dataset.size, dataset.names, dataset.splits) == (8, ("0.png",), ("valid",))


def test_crop_and_preview_reach_the_stage(facegen: Facegen, photos: Path, tmp_path: Path) -> None:
    outcome = facegen("prepare", photos, tmp_path / "out", "--crop", 7, "--preview", tmp_path / "preview.png")
    assert (outcome.exit_code, outcome.stdout) == (0, f"{tmp_path / 'out'}\n")
    assert FaceDataset.open(tmp_path / "out").manifest["crop"] == 7
    assert f"The preview {tmp_path / 'preview.png'} shows 3 of 3 images.\n" in outcome.stderr
    assert Image.open(tmp_path / "preview.png").size == (134, 134)


def test_seed_draws_other_faces(facegen: Facegen, tmp_path: Path) -> None:
    for seed in (0, 1):
        assert facegen("prepare", "synthetic:2", tmp_path / str(seed), "--seed", seed).exit_code == 0
    assert FaceDataset.open(tmp_path / "0").sha256 != FaceDataset.open(tmp_path / "1").sha256


def test_again_says_so_and_force_does_it(facegen: Facegen, photos: Path, tmp_path: Path) -> None:
    facegen("prepare", photos, tmp_path / "out")
    assert "already prepared" in facegen("prepare", photos, tmp_path / "out").stderr
    assert "already prepared" not in facegen("prepare", photos, tmp_path / "out", "--force").stderr


def test_bad_input_ends_in_one_sentence_and_2(facegen: Facegen, tmp_path: Path) -> None:
    outcome = facegen("prepare", tmp_path / "nowhere", tmp_path / "out")
    assert (outcome.exit_code, outcome.stdout) == (2, "")
    assert outcome.stderr == f"error: {tmp_path / 'nowhere'} does not exist.\n"


def test_help_tells_how_to_get_celeba(facegen: Facegen) -> None:
    help = facegen("prepare", "--help").stdout
    for words in ("mmlab.ie.cuhk.edu.hk", "Google Drive", "download=True", "Kaggle", "non-commercial"):
        assert words in help
