"""``facegen sample``: what takes the place of RUN."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import Result

from facegen.cli import sample as cli
from facegen.gan import latents

Run = Callable[..., Result]


def test_the_pretrained_generator_needs_no_run(facegen: Run, tmp_path: Path) -> None:
    outcome = facegen("sample", "--pretrained", tmp_path / "images", "-n", "5", "--device", "cpu")
    assert outcome.exit_code == 0 and outcome.stdout.strip() == str(tmp_path / "images")
    assert len(list((tmp_path / "images").glob("*.png"))) == 5
    (notice,) = (line for line in outcome.stderr.splitlines() if "ships with facegen" in line)
    assert "kimg" in notice and "non-commercial" in notice and "do not hand them in" in notice


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ((), "takes RUN and IMAGES, or --pretrained and IMAGES; given: no path."),
        (("images",), "takes RUN and IMAGES, or --pretrained and IMAGES; given: images."),
        (("run", "images", "more"), "takes RUN and IMAGES, or --pretrained and IMAGES; given: run images more."),
        (("--pretrained",), "'facegen sample --pretrained' takes IMAGES alone; given: no path."),
        (("--pretrained", "run", "images"), "'facegen sample --pretrained' takes IMAGES alone; given: run images."),
    ],
)
def test_wrong_usage_is_one_sentence(facegen: Run, words: tuple[str, ...], said: str) -> None:
    outcome = facegen("sample", *words)
    assert outcome.exit_code == 2 and said in outcome.stderr


def test_the_usage_shows_both_ways(facegen: Run) -> None:
    assert "facegen sample [OPTIONS] (RUN | --pretrained) IMAGES" in facegen("sample", "--help").stdout


def test_latents_are_those_that_can_be_drawn() -> None:
    assert tuple(latents.LATENTS) == cli.LATENTS


def test_no_discriminator_ships(facegen: Run, tmp_path: Path) -> None:
    outcome = facegen("sample", "--pretrained", tmp_path / "images", "--rejection", "--device", "cpu")
    assert outcome.exit_code == 2
    assert "--rejection needs a discriminator, but facegen ships a generator only." in outcome.stderr
    assert not (tmp_path / "images").exists()
