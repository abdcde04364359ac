"""The pace of training on this machine, measured before training begins."""

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

#: Fraction of the time that is warm-up, and seconds of measurement that are enough for a first estimate.
WARM_UP, SHORT = 1 / 6, 2.0


class Pace(NamedTuple):
    """A measured pace: the real images shown, the seconds they took, and the trainer, which is hardly trained."""

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
    """Train for ``seconds`` and return the pace.

    The networks start untrained, which does not change their speed. The state of torch's random generator is restored
    afterwards.

    Args:
        recipe: The recipe to measure.
        images: The images of the dataset, uint8 [N, S, S, 3].
        rows: Indices of the images to train on.
        begun: Number of images that the run was shown before. It sets the number of the first step.
        device: The device to train on.
        precision: The arithmetic of the networks.
        seconds: How long to train, in seconds. The first sixth is warm-up and is not timed. A slow machine takes
            longer: it runs at least two rounds of steps, each with every kind of update.
        must_compile: Whether a compiler that fails is an error. Otherwise the step runs without it.

    Raises:
        FacegenError: Training itself would fail, for example because the networks do not fit the images or weights are
            not installed.
        RuntimeError: torch fails, for example for lack of memory.
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
                trainer.read_figures()  # Waits for the device.
                now = time.perf_counter()
                task.advance(together * recipe.images_per_step)
                if warm is None:
                    warm = now if now - began >= seconds * WARM_UP else None
                    continue
                shown += together * recipe.images_per_step
                if now - began >= seconds:
                    return Pace(trainer, shown, now - warm)


def seconds_of_training(recipe: Recipe, size: int, device: torch.device) -> float:
    """Estimate how long the steps of a recipe take here, in seconds, from two seconds of training on noise.

    Noise takes as long as faces. The estimate does not include scores, files and the compiler.

    Args:
        recipe: The recipe to train. Its ``kimg`` is the length.
        size: Side of the images, in pixels.
        device: The device to train on.

    Raises:
        FacegenError: Training itself would fail, for example because weights are not installed.
        RuntimeError: torch fails, for example for lack of memory.
    """
    noise = np.random.default_rng(0).integers(0, 256, (recipe.batch, size, size, 3), np.uint8)
    precision = choose_precision(recipe.precision, device, double_backward=recipe.is_penalised)
    plain = recipe.with_overrides({"compile": False})
    pace = measure_pace(plain, noise, np.arange(len(noise)), 0, device, precision, SHORT)
    return recipe.kimg * 1000 / pace.images_per_sec
