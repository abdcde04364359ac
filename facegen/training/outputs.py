"""The files of a run that training writes, and the images that it draws for them."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from facegen.data.dataset import FaceDataset
from facegen.files import write_text
from facegen.gan.generators import draw_images, standing_statistics
from facegen.gan.latents import normal_latents
from facegen.pictures.contact_sheet import contact_sheet, save_png
from facegen.training.checkpoint import LAST, RECIPE, save_checkpoint, save_generator
from facegen.training.distributed import Ranks
from facegen.training.step import Game

#: Latents of the scores are not those of ``facegen sample``'s default seed: the best generator must not be chosen by
#: the very images that are handed in.
MEASURE_SEED, GRID_SEED = 1_000_003, 0
GRID_IMAGES = 64
#: How many latents the averaged generator's BatchNorm statistics are taken over, and how many images it makes at once.
STANDING_LATENTS, CHUNK = 2048, 128

Images = npt.NDArray[np.uint8]
Features = npt.NDArray[np.float32]


class Measure(Protocol):
    """What the averaged generator is scored with. Every rank takes features; the writer has the reference."""

    def features(self, images: Images) -> Features:
        """Of this rank's share: uint8 [n, S, S, 3] → float32 [n, D]."""

    def score(self, images: Images, features: Features) -> tuple[float, dict[str, Any]]:
        """Of all ranks' images: a value (lower is better) and its JSON."""


@dataclass(frozen=True)
class Outputs:
    """Writes the files of one run."""

    run: Path
    dataset: FaceDataset

    def recipe(self, game: Game) -> None:
        write_text(self.run / RECIPE, game.recipe.to_toml())

    def generator(self, name: str, game: Game, seen: int, score: dict[str, Any] | None) -> None:
        """The averaged generator; ``score`` is what made it the best."""
        save_generator(
            self.run / name,
            game.ema,
            game.recipe,
            size=self.dataset.size,
            dataset=self.dataset.sha256,
            images_seen=seen,
            score=None if score is None else json.dumps(score),
        )

    def checkpoint(self, game: Game, seen: int, progress: dict[str, Any]) -> None:
        """A sample grid, the averaged generator, and all that is needed to go on, ``progress`` among it."""
        grid = contact_sheet(draw(game, GRID_SEED, 0, GRID_IMAGES))
        save_png(self.run / "samples" / f"kimg-{seen / 1000:010.3f}.png", grid)
        self.generator(LAST, game, seen, None)
        whose = {"recipe": game.recipe.to_dict(), "dataset_sha256": self.dataset.sha256}
        save_checkpoint(self.run, {"game": game.state_dict(), "images_seen": seen, **progress, **whose})


def take_standing_statistics(game: Game) -> None:
    """Give the averaged generator BatchNorm statistics of its own."""
    latents = normal_latents(GRID_SEED, 0, STANDING_LATENTS, game.recipe.latent_dim)
    standing_statistics(game.ema, latents.to(game.device), CHUNK)


def draw(game: Game, seed: int, first: int, count: int) -> Images:
    """The averaged generator's images of a seed: uint8 [count, S, S, 3]."""
    latents = normal_latents(seed, first, count, game.recipe.latent_dim)
    return draw_images(game.ema, latents, min(CHUNK, count))


def draw_for_score(game: Game, measure: Measure, ranks: Ranks) -> tuple[Images, Features]:
    """The images of a score and their features; each rank makes its share of both."""
    count = game.recipe.fid_images
    share = -(-count // ranks.world)  # equal shares: the last rank may make a few that are not used
    images = draw(game, MEASURE_SEED, ranks.rank * share, share)
    features = measure.features(images)
    return ranks.gather(images, game.device)[:count], ranks.gather(features, game.device)[:count]
