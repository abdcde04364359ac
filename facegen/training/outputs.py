"""The files of a run that training writes, and the images that it draws for them."""

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

#: Latents of the scores are not those of ``facegen sample``'s default seed: the best generator must not be chosen by
#: the very images that are handed in.
MEASURE_SEED, GRID_SEED = 1_000_003, 0
#: How many latents the averaged generator's BatchNorm statistics are taken over, and how many images it makes at once.
STANDING_LATENTS, CHUNK = 2048, 128

Images = npt.NDArray[np.uint8]
Features = npt.NDArray[np.float32]


class PeriodicScore(NamedTuple):
    """A score of the averaged generator during training; lower is better.

    ``metric`` is what it is called, such as ``"FID"`` or ``"effnet-lite0 FD"``; ``is_fid``, whether that is the field's
    FID; ``details``, all that is known of it, as JSON.
    """

    value: float
    metric: str
    is_fid: bool
    details: dict[str, Any]

    def for_log(self) -> dict[str, float | str]:
        """Its part of a tick of the log."""
        tick: dict[str, float | str] = {"score": self.value, "metric": self.metric}
        return {**tick, "fid": self.value} if self.is_fid else tick


class PeriodicScorer(Protocol):
    """What the averaged generator is scored with. Every rank takes features; the writer has the reference."""

    def features(self, images: Images) -> Features:
        """Of this rank's share: uint8 [n, S, S, 3] → float32 [n, D]."""

    def score(self, images: Images, features: Features) -> PeriodicScore:
        """Of all ranks' images."""


@dataclass(frozen=True)
class Outputs:
    """Writes the files of one run: of images of this size, and a dataset with this content hash."""

    run: Path
    size: int
    dataset_sha256: str
    boards: Sequence[Board] = ()

    def recipe(self, recipe: Recipe) -> None:
        """What the run is trained by."""
        write_text(self.run / RECIPE, recipe.to_toml())

    def generator(self, name: str, trainer: Trainer, seen: int, score: dict[str, Any] | None) -> None:
        """The averaged generator; ``score`` is what made it the best."""
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
        """All that is needed to go on, ``progress`` among it; its path."""
        whose = {"recipe": trainer.recipe.to_dict(), "dataset_sha256": self.dataset_sha256}
        return save_checkpoint(self.run, {TRAINER: trainer.state_dict(), "images_seen": seen, **progress, **whose})

    def samples(self, trainer: Trainer, seen: int) -> None:
        """The averaged generator, and a grid of its images, which boards are shown."""
        path = grid_path(self.run, seen)
        save_png(path, contact_sheet(draw(trainer, GRID_SEED, 0, GRID_IMAGES), columns=GRID_ROWS, gap=GRID_GAP))
        self.generator(LAST, trainer, seen, None)
        for board in self.boards:
            board.picture(seen, path)


def take_standing_statistics(trainer: Trainer) -> None:
    """Give the averaged generator BatchNorm statistics of its own."""
    latents = normal_latents(GRID_SEED, 0, STANDING_LATENTS, trainer.recipe.latent_dim)
    standing_statistics(trainer.ema, latents.to(trainer.device), CHUNK)


def draw(trainer: Trainer, seed: int, first: int, count: int) -> Images:
    """The averaged generator's images of a seed: uint8 [count, S, S, 3]."""
    latents = normal_latents(seed, first, count, trainer.recipe.latent_dim)
    return draw_images(trainer.ema, latents, min(CHUNK, count))


def draw_for_score(
    trainer: Trainer, scorer: PeriodicScorer, ranks: Ranks, stop: StopRequests
) -> tuple[Images, Features] | None:
    """The images of a score and their features; each rank makes its share of both. None where a rank is to stop."""
    count = trainer.recipe.score_images
    share = -(-count // ranks.world)  # equal shares: the last rank may make a few that are not used

    def drawn() -> tuple[Images, Features]:
        images = draw(trainer, MEASURE_SEED, ranks.rank * share, share)
        return images, scorer.features(images)

    made = stop.unless_asked(drawn)
    if ranks.any(made is None) or made is None:
        return None
    images, features = (ranks.gather(part, trainer.device)[:count] for part in made)
    return images, features
