"""How long a run will take on this machine, measured before it begins."""

from __future__ import annotations

import time

import numpy as np
import torch

from facegen.device import choose_precision
from facegen.training.batches import RealImages
from facegen.training.distributed import Ranks
from facegen.training.recipe import Recipe
from facegen.training.trainer import Trainer

#: Steps that a machine needs to be at its pace, and seconds that are then measured: as many whole steps as fit.
_WARM_UP, _SECONDS = 2, 2.0


def seconds_of_training(recipe: Recipe, size: int, device: torch.device) -> float:
    """How long the recipe's steps will take here, in seconds: those of a few of them, times how many there are.

    The steps are of images of noise, which take as long as faces. What they learn is thrown away. Scores, files and a
    compiler come to it, and captured steps of a GPU are quicker. It takes two seconds, or three steps where those are
    longer.

    Args:
        recipe: what is to be trained; its ``kimg`` is the length.
        size: side of the images in pixels.
        device: where.

    Raises:
        FacegenError: as training itself, of networks that do not fit the images or weights that are not there.
    """
    noise = np.random.default_rng(0).integers(0, 256, (recipe.batch, size, size, 3), np.uint8)
    plain = recipe.with_overrides({"compile": False})
    devices = [device] if device.type == "cuda" else []
    with torch.random.fork_rng(devices):
        real = RealImages(noise, np.arange(len(noise)), batch=recipe.batch, seed=0, device=device, ranks=Ranks())
        precision = choose_precision(recipe.precision, device, double_backward=recipe.is_penalised)
        trainer = Trainer(plain, real, size, device, precision, Ranks())
        steps, began = 0, time.perf_counter()
        while steps <= _WARM_UP or time.perf_counter() - began < _SECONDS:
            trainer(steps)
            if device.type != "cpu":
                trainer.read_figures()  # which waits for the device
            steps += 1
            if steps == _WARM_UP:
                began = time.perf_counter()
    return (time.perf_counter() - began) / (steps - _WARM_UP) * recipe.kimg * 1000 / recipe.images_per_step
