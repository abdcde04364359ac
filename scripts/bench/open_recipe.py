"""Open a recipe's trainer as `facegen train` would open it here, for the benchmarks."""

from __future__ import annotations

from pathlib import Path

import torch

from facegen.data.dataset import FaceDataset
from facegen.device import choose_device, choose_precision
from facegen.training.acceleration import StepFunction, open_trainer
from facegen.training.batches import RealImages
from facegen.training.distributed import Ranks
from facegen.training.recipe import Recipe
from facegen.training.trainer import Trainer


def open_recipe(
    recipe: Recipe, dataset: Path, device: str, *, must_compile: bool, images: type[RealImages] = RealImages
) -> tuple[Trainer, StepFunction]:
    """Return the trainer and the function that runs its steps, compiled and captured as the recipe says.

    Args:
        must_compile: Whether a compiler that fails is an error, instead of training without it.
        images: Makes the batches of real images.
    """
    torch.backends.cudnn.benchmark = True
    chosen = choose_device(device)
    precision = choose_precision(recipe.precision, chosen, double_backward=recipe.is_penalised)
    faces = FaceDataset.open(dataset)
    rows = faces.training_rows()
    real = images(faces.images, rows, batch=recipe.batch, seed=0, device=chosen, ranks=Ranks())

    def build(recipe: Recipe) -> Trainer:
        return Trainer(recipe, real, faces.size, chosen, precision, Ranks())

    return open_trainer(build, recipe, 0, world=1, must_compile=must_compile)
