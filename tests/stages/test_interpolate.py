"""Walks between the faces that facegen sample draws."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path

import numpy as np
import pytest
from click.testing import Result
from PIL import Image, ImageSequence

Run = Callable[..., Result]
OPTIONS = ("--seed", "3", "--truncation", "0.9")


@pytest.fixture
def faces(facegen: Run, generator: Path, tmp_path: Path) -> list[np.ndarray]:
    """What ``facegen sample`` draws."""
    facegen("sample", generator, tmp_path / "images", "-n", "6", *OPTIONS)
    return [np.asarray(Image.open(path)) for path in sorted((tmp_path / "images").iterdir())]


def test_rows_begin_and_end_with_the_faces_of_sample(
    facegen: Run, generator: Path, faces: list[np.ndarray], tmp_path: Path
) -> None:
    out = tmp_path / "walk.png"
    outcome = facegen("interpolate", generator, out, "--rows", "3", "--steps", "4", *OPTIONS)
    assert outcome.exit_code == 0 and outcome.stdout.strip() == str(out)
    sheet = np.asarray(Image.open(out))
    assert sheet.shape == (3 * 66 + 2, 4 * 66 + 2, 3)
    for row in range(3):
        top = 2 + 66 * row
        np.testing.assert_array_equal(sheet[top : top + 64, 2:66], faces[row])
        np.testing.assert_array_equal(sheet[top : top + 64, -66:-2], faces[3 + row])


def test_an_animation_goes_through_the_faces_and_round(
    facegen: Run, generator: Path, faces: list[np.ndarray], tmp_path: Path
) -> None:
    out = tmp_path / "walk.gif"
    facegen("interpolate", generator, out, "--rows", "3", "--steps", "4", "--fps", "25", *OPTIONS)
    with Image.open(out) as animation:
        frames = [np.asarray(frame.convert("RGB"), dtype=float) for frame in ImageSequence.Iterator(animation)]
        assert (animation.info["loop"], animation.info["duration"]) == (0, 40)
    assert len(frames) == 12
    for leg in range(3):
        errors = [np.abs(frames[4 * leg] - face).mean() for face in faces[:3]]
        # 256 colours a frame: not the face to the bit, but no other one.
        assert int(np.argmin(errors)) == leg and errors[leg] < 10
    steps = [np.abs(np.roll(frames, -1, 0)[i] - frames[i]).mean() for i in range(12)]
    assert max(steps) < 4 * np.median(steps), "the walk jumps, perhaps where it closes"


@pytest.mark.parametrize(
    ("out", "options", "said"),
    [
        ("walk.jpg", (), ".png or .gif"),
        ("walk.gif", ("--rows", "1"), "at least 2 rows"),
        ("walk.png", ("--steps", "1"), "--steps"),
        ("walk.png", ("--truncation", "nan"), "truncation of nan"),
    ],
)
def test_what_is_no_walk_is_refused(
    facegen: Run, generator: Path, tmp_path: Path, out: str, options: tuple[str, ...], said: str
) -> None:
    outcome = facegen("interpolate", generator, tmp_path / out, *options)
    assert outcome.exit_code == 2 and said in outcome.stderr and not (tmp_path / out).exists()


def test_an_apple_gpu_is_given_no_channels_last(
    facegen: Run, generator: Path, tmp_path: Path, apple_gpu: AbstractContextManager[None]
) -> None:
    out, words = tmp_path / "out.png", ("--rows", "1", "--steps", "2")
    facegen("interpolate", generator, out, *words, "--device", "cpu")
    expected = np.asarray(Image.open(out), int)
    with apple_gpu:
        facegen("interpolate", generator, out, *words, "--device", "mps")
    np.testing.assert_allclose(np.asarray(Image.open(out), int), expected, atol=1)
