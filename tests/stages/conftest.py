from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from facegen.data.dataset import new_dataset
from facegen.training.networks import build_networks
from facegen.training.recipe import load_recipe
from facegen.training.saved_generator import save_generator


@pytest.fixture
def recipe(tmp_path: Path) -> Path:
    """A recipe file of networks of a few thousand weights and four steps."""
    small = {"generator_width": 2, "discriminator_width": 2, "batch": 8, "kimg": 0.032, "tick_kimg": 0.016}
    small |= {"precision": "fp32"}  # what "auto" takes is the machine's
    path = tmp_path / "tiny.toml"
    path.write_text(load_recipe("quick").with_overrides(small).to_toml(), encoding="utf-8")
    return path


@pytest.fixture
def generator(tmp_path: Path) -> Path:
    """A run folder with a generator whose images differ and fill the range."""
    recipe = load_recipe("quick").with_overrides({"generator_width": 4})
    network, _ = build_networks(recipe, 64)
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.mul_(3)
    run = tmp_path / "run"
    run.mkdir()
    save_generator(run / "last.safetensors", network, recipe, size=64, dataset="ab", images_seen=0, score=None)
    return run


@pytest.fixture
def dataset(tmp_path: Path) -> Path:
    """20 images of noise, 16×16, all to train on."""
    pixels = np.random.default_rng(0).integers(0, 256, (20, 16, 16, 3), np.uint8)
    with new_dataset(tmp_path / "dataset", 16) as writer:
        writer.append(pixels, [f"{index}.png" for index in range(20)], ["train"] * 20)
        writer.finish({})
    return tmp_path / "dataset"
