"""A recipe's game as `facegen train` would play it here, for the benchmarks."""

from __future__ import annotations

from pathlib import Path

import torch

from facegen.data.dataset import FaceDataset
from facegen.device import choose_device, choose_precision
from facegen.training.batches import RealImages
from facegen.training.distributed import Ranks
from facegen.training.opening import Step, open_game
from facegen.training.recipe import Recipe
from facegen.training.step import Game


def opened(
    recipe: Recipe, dataset: Path, device: str, *, must_compile: bool, images: type[RealImages] = RealImages
) -> tuple[Game, Step]:
    """The game, and what plays its steps: compiled and captured as the recipe says.

    Args:
        must_compile: a compiler that fails is an error, not done without.
        images: makes the batches of real images.
    """
    torch.backends.cudnn.benchmark = True
    place = choose_device(device)
    precision = choose_precision(recipe.precision, place, double_backward=recipe.is_penalised)
    faces = FaceDataset.open(dataset)
    rows = faces.training_rows()
    real = images(faces.images, rows, batch=recipe.batch, seed=0, device=place, ranks=Ranks())

    def build(recipe: Recipe) -> Game:
        return Game(recipe, real, faces.size, place, precision, Ranks())

    return open_game(build, recipe, 0, world=1, must_compile=must_compile)
