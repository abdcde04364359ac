"""128x128 from prepare to grade: prepared faces, random images for a sample, their tarball, and its row."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import Result
from PIL import Image

from facegen.data.dataset import FaceDataset
from facegen.stages import grade as grade_stage
from facegen.stages import pack as pack_stage
from facegen.submission.rules import limits_for

CommandLine = Callable[..., Result]
COUNT = 6


@pytest.fixture(autouse=True)
def _few_images_and_no_network(monkeypatch: pytest.MonkeyPatch, scorer: Any) -> None:
    for stage in (pack_stage, grade_stage):
        monkeypatch.setattr(stage, "limits_for", lambda size: replace(limits_for(size), count=COUNT))
    monkeypatch.setattr(grade_stage, "open_scorer", lambda *words, **options: scorer)


def _sample(folder: Path, size: int) -> Path:
    """Random images as ``facegen sample`` would leave them."""
    folder.mkdir()
    pixels = np.random.default_rng(size).integers(0, 256, (COUNT, size, size, 3), dtype=np.uint8)
    for number, image in enumerate(pixels, 1):
        Image.fromarray(image).save(folder / f"{number:04d}.png", compress_level=1)
    return folder


@pytest.fixture
def dataset(tmp_path: Path, facegen: CommandLine) -> Path:
    assert facegen("prepare", f"synthetic:{COUNT}", tmp_path / "dataset", "--size", 128).exit_code == 0
    return tmp_path / "dataset"


def _grade(facegen: CommandLine, tmp_path: Path, dataset: Path, *words: object) -> list[dict]:
    options = ("--reference", dataset, "--train", dataset, "--out", tmp_path / "grades", "--json")
    outcome = facegen("grade", tmp_path / "submissions", *options, *words)
    assert outcome.exit_code == 0
    rows: list[dict] = json.loads(outcome.stdout)["submissions"]
    return rows


def test_prepare_pack_grade(dataset: Path, tmp_path: Path, facegen: CommandLine) -> None:
    images = _sample(tmp_path / "images", 128)
    Image.fromarray(FaceDataset.open(dataset).images[2][:, ::-1]).save(images / "0003.png")  # a copy, mirrored
    packed = facegen("pack", images, "s1", "--size", 128, "--out", tmp_path / "submissions")
    assert packed.exit_code == 0
    (row,) = _grade(facegen, tmp_path, dataset, "--size", 128)
    assert (row["status"], row["score"]["n"]) == ("graded", COUNT)
    assert {"copied_from_reference", "copied_from_training"} <= set(row["flags"])
    (copy,) = row["details"]["copied_from_training"]["examples"]
    assert (copy["image"], copy["mirrored"]) == ("0003.png", True)


def test_the_usual_size_is_rejected_there(dataset: Path, tmp_path: Path, facegen: CommandLine) -> None:
    assert facegen("pack", _sample(tmp_path / "images", 64), "s1", "--out", tmp_path / "submissions").exit_code == 0
    (row,) = _grade(facegen, tmp_path, dataset, "--size", 128)
    assert (row["reason"], row["message"]) == ("wrong_size", "'0001.png' is 64x64 pixels, not 128x128.")
    assert row["remedy"] == "Generate the images at 128x128."
    assert _grade(facegen, tmp_path, dataset)[0]["status"] == "graded"  # a course of 64x64, in the same folder


def test_pack_refuses_another_size(tmp_path: Path, facegen: CommandLine) -> None:
    refused = facegen("pack", _sample(tmp_path / "images", 128), "s1", "--out", tmp_path / "submissions")
    assert refused.exit_code == 1
    assert (
        "Refused (wrong_size): '0001.png' is 128x128 pixels, not 64x64. Generate the images at 64x64." in refused.stderr
    )


@pytest.mark.parametrize("command", [("pack", "images", "s1"), ("grade", "submissions", "--reference", "reference")])
def test_a_size_that_cannot_be_graded_is_told(command: tuple[str, ...], tmp_path: Path, facegen: CommandLine) -> None:
    (tmp_path / "images").mkdir()
    outcome = facegen(command[0], tmp_path / command[1], *command[2:], "--size", 100)
    assert outcome.exit_code == 2
    assert "cannot have a side of 100 pixels. It must be a multiple of 32." in outcome.stderr
