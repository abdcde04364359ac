from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from facegen.data.dataset import FaceDataset, new_dataset
from facegen.training import outputs
from facegen.training.batches import RealImages
from facegen.training.distributed import Ranks
from facegen.training.recipe import Recipe, load_recipe
from facegen.training.trainer import Trainer


@pytest.fixture(autouse=True)
def few_standing_latents(monkeypatch: pytest.MonkeyPatch) -> None:
    """Statistics of the averaged generator are taken at every checkpoint: over 2,048 latents, most of a test's time."""
    monkeypatch.setattr(outputs, "STANDING_LATENTS", 64)


@pytest.fixture
def tiny_recipe() -> Recipe:
    """DCGAN's trainer with a few thousand weights: a step takes milliseconds."""
    return load_recipe("dcgan").with_overrides(
        {
            "name": "tiny",
            "generator_width": 2,
            "discriminator_width": 2,
            "latent_dim": 4,
            "batch": 8,
            "kimg": 0.096,
            "ema_half_life_kimg": 1.0,
            "score_every": 0.0,
            "tick_kimg": 0.032,
            "checkpoint_every": 0.048,
            "score_images": 4,
            "score_minutes": 0.0,
            "checkpoint_minutes": 0.0,
        }
    )


@pytest.fixture
def features_recipe(tiny_recipe: Recipe) -> Recipe:
    """A tiny trainer with two critics, seldom penalties, moments and alterations."""
    return tiny_recipe.with_overrides(
        {
            "discriminator_norm": "none",
            "loss": "relativistic",
            "r1_gamma": 2.0,
            "r2_gamma": 2.0,
            "penalty_every": 2,
            "features": "efficientnet_lite0",
            "features_size": 32,
            "features_width": 2,
            "moments_weight": 1.0,
            "moments_half_life_kimg": 0.016,
            "augment": "color,translation",
            "augment_probability": 0.5,
        }
    )


@pytest.fixture
def tiny_dataset(tmp_path: Path) -> FaceDataset:
    """20 images of 16×16: 18 to train, 2 held out."""
    pixels = np.random.default_rng(0).integers(0, 256, (20, 16, 16, 3), np.uint8)
    with new_dataset(tmp_path / "dataset", 16) as writer:
        writer.append(pixels, [f"{index}.png" for index in range(20)], ["train"] * 18 + ["valid"] * 2)
        writer.finish({})
    return FaceDataset.open(tmp_path / "dataset")


@pytest.fixture
def trainer_of(tiny_dataset: FaceDataset) -> Callable[..., Trainer]:
    """``trainer_of(recipe)``: its trainer on the tiny dataset, alone on a CPU; in float32, or in another precision."""

    def trainer_of(
        recipe: Recipe, precision: torch.dtype = torch.float32, dataset: FaceDataset = tiny_dataset
    ) -> Trainer:
        device, ranks, rows = torch.device("cpu"), Ranks(), dataset.training_rows()
        real = RealImages(dataset.images, rows, batch=recipe.batch, seed=recipe.seed, device=device, ranks=ranks)
        return Trainer(recipe, real, dataset.size, device, precision, ranks)

    return trainer_of
