from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from click.testing import Result
from PIL import Image

from facegen.gan.generators import latents_for
from facegen.training.checkpoint import save_generator
from facegen.training.recipe import load_recipe
from facegen.training.step import build_networks

Run = Callable[..., Result]


@pytest.fixture
def generator(tmp_path: Path) -> Path:
    recipe = load_recipe("quick").with_overrides({"generator_width": 4})
    network, _ = build_networks(recipe, 64)
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.mul_(3)  # so that images differ and fill the range
    run = tmp_path / "run"
    run.mkdir()
    save_generator(run / "last.safetensors", network, recipe, size=64, dataset="ab", images_seen=0, score=None)
    return run


def pixels(folder: Path) -> list[np.ndarray]:
    return [np.asarray(Image.open(path)) for path in sorted(folder.glob("*.png"))]


def test_images_are_numbered_64x64_rgb_pngs_and_the_grid_lies_beside(
    facegen: Run, generator: Path, tmp_path: Path
) -> None:
    outcome = facegen("sample", generator, tmp_path / "images", "-n", "5")
    assert outcome.exit_code == 0 and outcome.stdout.strip() == str(tmp_path / "images")
    assert sorted(path.name for path in (tmp_path / "images").iterdir()) == [f"{i:04d}.png" for i in range(1, 6)]
    with Image.open(tmp_path / "images" / "0001.png") as image:
        assert (image.format, image.mode, image.size) == ("PNG", "RGB", (64, 64))
    assert (tmp_path / "grid.png").is_file()


def test_pixels_are_the_denormalised_output_of_each_index(facegen: Run, generator: Path, tmp_path: Path) -> None:
    facegen("sample", generator, tmp_path / "images", "-n", "3", "--seed", "5", "--truncation", "0.7")
    from facegen.training.checkpoint import load_generator

    network = load_generator(generator / "last.safetensors").network
    for index, image in enumerate(pixels(tmp_path / "images")):
        with torch.no_grad():
            output = network(0.7 * latents_for(5, index, 1, 100))[0]
        expected = ((output + 1) * 127.5).permute(1, 2, 0).numpy()
        assert np.abs(image - expected).max() <= 0.51


def test_the_batch_changes_no_pixel(facegen: Run, generator: Path, tmp_path: Path) -> None:
    for batch in (1, 7, 64):
        facegen("sample", generator, tmp_path / str(batch), "-n", "70", "--batch", batch)
    one, seven, many = (pixels(tmp_path / batch) for batch in ("1", "7", "64"))
    assert len(one) == 70
    assert all(np.array_equal(a, b) and np.array_equal(a, c) for a, b, c in zip(one, seven, many, strict=True))


def test_fewer_images_are_the_first_of_more(facegen: Run, generator: Path, tmp_path: Path) -> None:
    facegen("sample", generator, tmp_path / "a", "-n", "3")
    facegen("sample", generator, tmp_path / "b", "-n", "40")
    a, b = pixels(tmp_path / "a"), pixels(tmp_path / "b")[:3]
    assert all(np.array_equal(x, y) for x, y in zip(a, b, strict=True))


def test_the_best_generator_is_preferred(facegen: Run, generator: Path, tmp_path: Path) -> None:
    (generator / "best.safetensors").write_bytes((generator / "last.safetensors").read_bytes())
    outcome = facegen("sample", generator, tmp_path / "images", "-n", "1")
    assert "from best.safetensors" in outcome.stderr


def test_earlier_samples_are_replaced_and_nothing_else(facegen: Run, generator: Path, tmp_path: Path) -> None:
    facegen("sample", generator, tmp_path / "images", "-n", "4")
    assert facegen("sample", generator, tmp_path / "images", "-n", "2").exit_code == 0
    assert len(pixels(tmp_path / "images")) == 2
    (tmp_path / "images" / "holiday.png").write_bytes(b"mine")
    refused = facegen("sample", generator, tmp_path / "images", "-n", "2")
    assert refused.exit_code == 2 and "holiday.png" in refused.stderr
    assert (tmp_path / "images" / "holiday.png").read_bytes() == b"mine"


def test_a_run_without_a_generator_is_said(facegen: Run, tmp_path: Path) -> None:
    (tmp_path / "run").mkdir()
    outcome = facegen("sample", tmp_path / "run", tmp_path / "images")
    assert outcome.exit_code == 2 and "no generator yet" in outcome.stderr
