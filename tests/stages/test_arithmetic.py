"""Sums of faces, as a figure."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path

import numpy as np
import pytest
import torch
from click.testing import Result
from PIL import Image

from facegen.gan.generators import to_uint8
from facegen.gan.latents import normal_latents
from facegen.stages import arithmetic as stage
from facegen.training.saved_generator import load_generator

Run = Callable[..., Result]


@pytest.fixture
def panels(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, np.ndarray]]:
    """The figure's captions and pictures, at half their size: as large as the faces are."""
    seen: list[tuple[str, np.ndarray]] = []
    whole = stage.figure

    def figure(panels: list[tuple[str, np.ndarray]]) -> np.ndarray:
        seen.extend((caption, image[2:, 2:]) for caption, image in panels)
        return whole(panels)

    monkeypatch.setattr(stage, "figure", figure)
    return seen


def face(panel: np.ndarray, row: int, column: int = 0) -> np.ndarray:
    """One of a panel's faces, which are drawn twice their size with a gap of two."""
    return panel[130 * row : 130 * row + 128 : 2, 130 * column : 130 * column + 128 : 2]


def drawn(run: Path, latents: torch.Tensor) -> np.ndarray:
    with torch.no_grad():
        return to_uint8(load_generator(run / "last.safetensors").network(latents[None]))[0].numpy()


def test_groups_their_means_and_the_sum_are_drawn(
    facegen: Run, generator: Path, tmp_path: Path, panels: list[tuple[str, np.ndarray]]
) -> None:
    facegen("sample", generator, tmp_path / "images", "-n", "6", "--seed", "2")
    out = tmp_path / "sum.png"
    words = ("--add", "3,1", "--add", "4", "--subtract", "6,5,2", "--seed", "2")
    outcome = facegen("arithmetic", generator, out, *words)
    assert outcome.exit_code == 0 and outcome.stdout.strip() == str(out) and Image.open(out).mode == "RGB"
    captions = [caption for caption, _ in panels]
    groups = ["+ the mean (last) of 3, 1", "- the mean (last) of 6, 5, 2", "+ the mean (last) of 4"]
    assert captions == [*groups, "= the sum"]

    for (_, panel), group in zip(panels, [(3, 1), (6, 5, 2), (4,)], strict=False):
        for row, number in enumerate(group):
            original = np.asarray(Image.open(tmp_path / "images" / f"{number:04d}.png"))
            np.testing.assert_array_equal(face(panel, row), original)
        assert (face(panel, 2) == 255).all() == (len(group) < 3)

    z = {number: normal_latents(2, number - 1, 1, 100)[0] for number in range(1, 7)}
    # By hand: a mean of two has variance 1/2, and the sum 1/2 + 1/3 + 1.
    mean = (z[3] + z[1]) / 2
    total = mean - (z[6] + z[5] + z[2]) / 3 + z[4]
    for panel, row, latent in ((panels[0][1], 3, mean * 2**0.5), (panels[3][1], 0, total / (11 / 6) ** 0.5)):
        difference = face(panel, row).astype(int) - drawn(generator, latent)
        assert np.abs(difference).max() <= 1  # another batch size rounds otherwise


def test_noise_surrounds_the_result(
    facegen: Run, generator: Path, tmp_path: Path, panels: list[tuple[str, np.ndarray]]
) -> None:
    for noise in ("0", "0.25"):
        facegen("arithmetic", generator, tmp_path / "sum.png", "--add", "1", "--noise", noise)
    (_, alone), (caption, around) = panels[1], panels[3]
    assert "±0.25" in caption
    np.testing.assert_array_equal(face(around, 1, 1), face(alone, 0))
    others = [face(around, row, column) for row in range(3) for column in range(3) if (row, column) != (1, 1)]
    assert all((other != face(alone, 0)).any() for other in others)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--add", "0"), "is not a list of faces"),
        (("--add", "1,,2"), "is not a list of faces"),
        (("--subtract", "1"), "--add"),
        (("--add", "1,2,3", "--subtract", "2,3,1"), "cancel"),
    ],
)
def test_what_is_no_sum_is_refused(
    facegen: Run, generator: Path, tmp_path: Path, words: tuple[str, ...], said: str
) -> None:
    outcome = facegen("arithmetic", generator, tmp_path / "sum.png", *words)
    assert outcome.exit_code == 2 and said in outcome.stderr


def test_the_figure_is_a_png(facegen: Run, generator: Path, tmp_path: Path) -> None:
    outcome = facegen("arithmetic", generator, tmp_path / "sum.jpg", "--add", "1")
    assert outcome.exit_code == 2 and "sum.png" in outcome.stderr


def test_an_apple_gpu_is_given_no_channels_last(
    facegen: Run, generator: Path, tmp_path: Path, apple_gpu: AbstractContextManager[None]
) -> None:
    out, words = tmp_path / "out.png", ("--add", "1,2")
    facegen("arithmetic", generator, out, *words, "--device", "cpu")
    expected = np.asarray(Image.open(out), int)
    with apple_gpu:
        facegen("arithmetic", generator, out, *words, "--device", "mps")
    np.testing.assert_allclose(np.asarray(Image.open(out), int), expected, atol=1)
