"""How quick training is on this machine, measured before it begins."""

from __future__ import annotations

import time
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import torch

from facegen import console
from facegen.device import choose_precision
from facegen.training.acceleration import open_trainer
from facegen.training.batches import RealImages
from facegen.training.distributed import Ranks
from facegen.training.recipe import Recipe
from facegen.training.trainer import Trainer

#: The share of the time in which a machine is not at its pace yet; and seconds that say enough for a first word.
WARM_UP, SHORT = 1 / 6, 2.0


class Pace(NamedTuple):
    """So many real images were shown in so many seconds, to a trainer whose networks are no more trained than that."""

    trainer: Trainer
    images: int
    seconds: float

    @property
    def images_per_sec(self) -> float:
        return self.images / self.seconds


def measure_pace(
    recipe: Recipe,
    images: npt.NDArray[np.uint8],
    rows: npt.NDArray[np.int64],
    begun: int,
    device: torch.device,
    precision: torch.dtype,
    seconds: float,
    *,
    must_compile: bool = False,
) -> Pace:
    """Train for ``seconds``, of untrained networks: their pace is that of trained ones. torch's RNG is left as it was.

    Args:
        recipe: what is trained.
        images, rows: uint8 [N, S, S, 3], and which of them to train on.
        begun: images that were shown before, by which the step's number is told.
        seconds: a sixth of them to warm up. A slow machine takes the steps that have all that a step can have, twice.
        must_compile: as for :func:`facegen.training.acceleration.open_trainer`.

    Raises:
        FacegenError: as training itself, of networks that do not fit the images or weights that are not there.
        RuntimeError: torch's, of too little memory.
    """
    with torch.random.fork_rng([device] if device.type == "cuda" else []):
        real = RealImages(images, rows, batch=recipe.batch, seed=recipe.seed, device=device, ranks=Ranks())

        def build(recipe: Recipe) -> Trainer:
            return Trainer(recipe, real, images.shape[1], device, precision, Ranks())

        step = begun // recipe.images_per_step
        trainer, take_step = open_trainer(build, recipe, step, world=1, must_compile=must_compile)
        together = -(-recipe.penalty_every // recipe.d_steps)
        began, warm, shown = time.perf_counter(), None, 0
        with console.progress("Measuring", None) as task:
            while True:
                for _ in range(together):
                    take_step(step)
                    step += 1
                trainer.read_figures()  # waits for the device
                now = time.perf_counter()
                task.advance(together * recipe.images_per_step)
                if warm is None:
                    warm = now if now - began >= seconds * WARM_UP else None
                    continue
                shown += together * recipe.images_per_step
                if now - began >= seconds:
                    return Pace(trainer, shown, now - warm)


def seconds_of_training(recipe: Recipe, size: int, device: torch.device) -> float:
    """How long the recipe's steps will take here, in seconds, by two seconds of them on images of noise.

    Noise takes as long as faces. Scores, files and a compiler come to it.

    Args:
        recipe: what is to be trained; its ``kimg`` is the length.
        size: side of the images in pixels.
        device: where.

    Raises:
        FacegenError, RuntimeError: as :func:`measure_pace`.
    """
    noise = np.random.default_rng(0).integers(0, 256, (recipe.batch, size, size, 3), np.uint8)
    precision = choose_precision(recipe.precision, device, double_backward=recipe.is_penalised)
    plain = recipe.with_overrides({"compile": False})
    pace = measure_pace(plain, noise, np.arange(len(noise)), 0, device, precision, SHORT)
    return recipe.kimg * 1000 / pace.images_per_sec
