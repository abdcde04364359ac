"""The files that training writes into a run, and the images drawn for them."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple, Protocol

import numpy as np
import numpy.typing as npt

from facegen.files import write_text
from facegen.gan.generators import draw_images, standing_statistics
from facegen.gan.latents import normal_latents
from facegen.pictures.contact_sheet import contact_sheet, save_png
from facegen.training.boards import Board
from facegen.training.checkpoint import RECIPE, TRAINER, save_checkpoint
from facegen.training.distributed import Ranks
from facegen.training.grids import GRID_GAP, GRID_IMAGES, GRID_ROWS, grid_path
from facegen.training.log import null_where_not_finite
from facegen.training.recipe import Recipe
from facegen.training.saved_generator import LAST, save_generator
from facegen.training.stopping import StopRequests
from facegen.training.trainer import Trainer

#: The seeds of the latents for scores and for grids. Scores do not use the default seed of ``facegen sample``, because
#: the best generator must not be chosen by the images that are handed in.
MEASURE_SEED, GRID_SEED = 1_000_003, 0
#: Number of latents from which the averaged generator takes its BatchNorm statistics, and number of images per pass.
STANDING_LATENTS, CHUNK = 2048, 128

Images = npt.NDArray[np.uint8]
Features = npt.NDArray[np.float32]


class PeriodicScore(NamedTuple):
    """A score of the averaged generator during training. Lower is better.

    ``metric`` is the name of the score, such as ``"FID"`` or ``"effnet-lite0 FD"``. ``is_fid`` tells whether the
    score is the FID that publications report. ``details`` is everything known about the score, as JSON.
    """

    value: float
    metric: str
    is_fid: bool
    details: dict[str, Any]

    def for_log(self) -> dict[str, float | str]:
        """Return the fields of this score in a tick of the log."""
        tick: dict[str, float | str] = {"score": self.value, "metric": self.metric}
        return {**tick, "fid": self.value} if self.is_fid else tick


class PeriodicScorer(Protocol):
    """A scorer of the averaged generator. Every rank extracts features, and the writer has the reference."""

    def features(self, images: Images) -> Features:
        """Return the features of this rank's share of images: uint8 [n, S, S, 3] → float32 [n, D]."""

    def score(self, images: Images, features: Features) -> PeriodicScore:
        """Return the score of all ranks' images and features."""


@dataclass(frozen=True)
class Outputs:
    """The writer of a run's files.

    Attributes:
        run: The folder of the run.
        size: Side of the images, in pixels.
        dataset_sha256: Content hash of the dataset.
        boards: Boards that are shown each new grid.
    """

    run: Path
    size: int
    dataset_sha256: str
    boards: Sequence[Board] = ()

    def recipe(self, recipe: Recipe) -> None:
        """Write the recipe of the run."""
        write_text(self.run / RECIPE, recipe.to_toml())

    def generator(self, name: str, trainer: Trainer, seen: int, score: dict[str, Any] | None) -> None:
        """Write the averaged generator; ``score`` is the score that made it the best, if any."""
        save_generator(
            self.run / name,
            trainer.ema,
            trainer.recipe,
            size=self.size,
            dataset=self.dataset_sha256,
            images_seen=seen,
            score=None if score is None else json.dumps(null_where_not_finite(score)),
        )

    def checkpoint(self, trainer: Trainer, seen: int, progress: dict[str, Any]) -> Path:
        """Write everything that is needed to continue, with the fields of ``progress``; return the path."""
        whose = {"recipe": trainer.recipe.to_dict(), "dataset_sha256": self.dataset_sha256}
        return save_checkpoint(self.run, {TRAINER: trainer.state_dict(), "images_seen": seen, **progress, **whose})

    def samples(self, trainer: Trainer, seen: int) -> None:
        """Write the averaged generator and a grid of its images, and show the grid to the boards."""
        path = grid_path(self.run, seen)
        save_png(path, contact_sheet(draw(trainer, GRID_SEED, 0, GRID_IMAGES), columns=GRID_ROWS, gap=GRID_GAP))
        self.generator(LAST, trainer, seen, None)
        for board in self.boards:
            board.picture(seen, path)


def take_standing_statistics(trainer: Trainer) -> None:
    """Give the averaged generator its own BatchNorm statistics."""
    latents = normal_latents(GRID_SEED, 0, STANDING_LATENTS, trainer.recipe.latent_dim)
    standing_statistics(trainer.ema, latents.to(trainer.device), CHUNK)


def draw(trainer: Trainer, seed: int, first: int, count: int) -> Images:
    """Return images of the averaged generator for a seed: uint8 [count, S, S, 3].

    The latents are numbers ``first`` to ``first + count − 1`` of the seed.
    """
    latents = normal_latents(seed, first, count, trainer.recipe.latent_dim)
    return draw_images(trainer.ema, latents, min(CHUNK, count))


def draw_for_score(
    trainer: Trainer, scorer: PeriodicScorer, ranks: Ranks, stop: StopRequests
) -> tuple[Images, Features] | None:
    """Return the images of a score and their features; None if any rank is to stop.

    Each rank makes its share of both.
    """
    count = trainer.recipe.score_images
    share = -(-count // ranks.world)  # All shares are equal, so the last rank may make a few images too many.

    def drawn() -> tuple[Images, Features]:
        images = draw(trainer, MEASURE_SEED, ranks.rank * share, share)
        return images, scorer.features(images)

    made = stop.unless_asked(drawn)
    if ranks.any(made is None) or made is None:
        return None
    images, features = (ranks.gather(part, trainer.device)[:count] for part in made)
    return images, features
