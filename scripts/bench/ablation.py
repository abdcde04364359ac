#!/usr/bin/env python
"""What each part of a recipe is worth: variants of dcgan and best at a small width, for the same CPU time each.

    facegen prepare img_align_celeba.zip faces --partition list_eval_partition.txt --split train
    python scripts/bench/ablation.py faces                    # every variant for 200 s of one core
    python scripts/bench/ablation.py faces --seconds 170 --only "dcgan" "rate 0.002"

Each variant trains on one thread for --seconds of CPU time, networks of width 16 with batches of 32. Then, and at half
time, 500 images of its averaged generator are compared with the dataset's first 4,000, in effnet-lite0's features. One
seed each: differences of a tenth say nothing.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path
from typing import Any

import torch

from facegen.data.dataset import FaceDataset
from facegen.gan.generators import latents_for, standing_statistics
from facegen.gan.latents import images_of
from facegen.metrics.frechet import FrechetStatistics, frechet_distance
from facegen.scoring.extractors import open_extractor
from facegen.scoring.features import extract
from facegen.training.batches import RealImages
from facegen.training.distributed import Ranks
from facegen.training.recipe import load_recipe
from facegen.training.step import Game

SMALL = {"generator_width": 16, "discriminator_width": 16, "batch": 32, "precision": "fp32", "compile": False}
N, REFERENCE, STATISTICS = 500, 4000, 1024
CPU = torch.device("cpu")


def rate(value: float) -> dict[str, float]:
    return {"generator_lr": value, "discriminator_lr": value}


#: What is changed in which recipe.
VARIANTS: dict[str, tuple[str, dict[str, Any]]] = {
    "dcgan": ("dcgan", {}),
    "dcgan, rate 0.0004": ("dcgan", rate(0.0004)),
    "dcgan, rate 0.0008": ("dcgan", rate(0.0008)),
    "dcgan, batches of 16": ("dcgan", {"batch": 16}),
    "dcgan, relativistic": ("dcgan", {"loss": "relativistic"}),
    "dcgan, spectral norm, rate 0.0004": ("dcgan", {**rate(0.0004), "discriminator_norm": "spectral"}),
    "dcgan, no norm, R1 of 1": ("dcgan", {"discriminator_norm": "none", "r1_gamma": 1.0, "penalty_every": 4}),
    "rate 0.0005": ("best", rate(0.0005)),
    "rate 0.0005, weights 1": ("best", {**rate(0.0005), "r1_gamma": 1.0, "r2_gamma": 1.0}),
    "rate 0.0005, weights 0.3": ("best", {**rate(0.0005), "r1_gamma": 0.3, "r2_gamma": 0.3}),
    "rate 0.0005, R1 of 4 alone": ("best", {**rate(0.0005), "r1_gamma": 4.0, "r2_gamma": 0.0}),
    "rate 0.001": ("best", rate(0.001)),
    "rate 0.001, weights 1": ("best", {**rate(0.001), "r1_gamma": 1.0, "r2_gamma": 1.0}),
    "rate 0.002": ("best", rate(0.002)),
    "rate 0.002, weights 1": ("best", {**rate(0.002), "r1_gamma": 1.0, "r2_gamma": 1.0}),
    "rate 0.002, every update": ("best", {**rate(0.002), "penalty_every": 1}),
    "rate 0.002, one in eight": ("best", {**rate(0.002), "penalty_every": 8}),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("dataset", type=Path, help="a prepared dataset")
    parser.add_argument("--seconds", type=float, default=200, help="CPU time of each variant's steps (200)")
    parser.add_argument("--only", nargs="+", choices=VARIANTS, default=list(VARIANTS), metavar="VARIANT")
    options = parser.parse_args()
    torch.set_num_threads(1)
    faces = FaceDataset.open(options.dataset)
    distance = Distance(faces)
    print("| variant | half time | kimg | in the end | kimg | images/s |\n|---|--:|--:|--:|--:|--:|")
    for name in options.only:
        base, changes = VARIANTS[name]
        scores = trained(base, changes, faces, options.seconds, distance)
        cells = [f"{value:.1f} | {kimg:.1f}" for value, kimg in scores]
        print(f"| {name} | {' | '.join(cells)} | {1000 * scores[-1][1] / options.seconds:.0f} |", flush=True)


class Distance:
    """effnet-lite0 FD of a game's averaged generator from the dataset's first images."""

    def __init__(self, faces: FaceDataset) -> None:
        self._extractor = open_extractor("effnet-lite0", device="cpu")
        self._reference = self._statistics(faces.images[:REFERENCE])

    def _statistics(self, images: Any) -> FrechetStatistics:
        return extract(images, self._extractor, "the images").statistics

    def __call__(self, game: Game) -> float:
        latent_dim = game.recipe.latent_dim
        standing_statistics(game.ema, latents_for(0, 0, STATISTICS, latent_dim), 128)
        return frechet_distance(
            self._statistics(images_of(game.ema, latents_for(1, 0, N, latent_dim))), self._reference
        )


def trained(
    base: str, changes: dict[str, Any], faces: FaceDataset, seconds: float, distance: Distance
) -> list[tuple[float, float]]:
    """The distance at half time and in the end, each with the kimg seen until then."""
    recipe = load_recipe(base).with_overrides({**SMALL, **changes})
    real = RealImages(
        faces.images, faces.training_rows(), batch=recipe.batch, seed=recipe.seed, device=CPU, ranks=Ranks()
    )
    game = Game(recipe, real, faces.size, CPU, torch.float32, Ranks())
    used, step = 0.0, 0
    scores = []
    for until in (seconds / 2, seconds):
        while used < until:
            began = time.process_time()
            game(step)
            used += time.process_time() - began
            step += 1
        scores.append((distance(game), step * recipe.images_per_step / 1000))
    return scores


if __name__ == "__main__":
    main()
