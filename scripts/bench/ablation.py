#!/usr/bin/env python
"""What each part of a recipe is worth: variants of a recipe, each for the same CPU time on one thread.

    facegen prepare img_align_celeba.zip faces --partition list_eval_partition.txt --split train
    python scripts/bench/ablation.py faces                    # dcgan's and quick's game, 200 s of one core each
    python scripts/bench/ablation.py faces --seconds 170 --only "dcgan" "rate 0.002"
    python scripts/bench/ablation.py faces --of laptop --seconds 480 --weights near-exact.pth      # laptop's own parts

Each variant trains on one thread for --seconds of CPU time. Then, and at half time, images of its averaged generator
are compared with the dataset's first 4,000: 500 images in effnet-lite0's features, or, with --weights, 1,000 in
Inception's with those weights, as a generator that was trained against effnet-lite0's would be flattered by them. One
seed each: differences of a tenth say nothing.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from facegen.data.dataset import FaceDataset
from facegen.device import choose_precision
from facegen.gan.generators import latents_for, standing_statistics
from facegen.gan.latents import images_of
from facegen.metrics.frechet import FrechetStatistics, RunningStatistics, frechet_distance
from facegen.scoring.extractors import open_extractor
from facegen.training.batches import RealImages
from facegen.training.distributed import Ranks
from facegen.training.recipe import Recipe, load_recipe
from facegen.training.step import Game

SMALL = {"generator_width": 16, "discriminator_width": 16, "batch": 32, "precision": "fp32", "compile": False}
REFERENCE, STATISTICS = 4000, 1024
CPU = torch.device("cpu")


def rate(value: float) -> dict[str, float]:
    return {"generator_lr": value, "discriminator_lr": value}


#: What `quick` has for a few minutes' sake, as it is for a longer run.
REGULARISED = {"latent_dim": 64, "ema_half_life_kimg": 20.0}

Variants = dict[str, tuple[str, dict[str, Any]]]

#: What is changed in which recipe, of networks of width 16 with batches of 32.
NARROW: Variants = {
    "dcgan": ("dcgan", {}),
    "dcgan, rate 0.0004": ("dcgan", rate(0.0004)),
    "dcgan, rate 0.0008": ("dcgan", rate(0.0008)),
    "dcgan, batches of 16": ("dcgan", {"batch": 16}),
    "dcgan, relativistic": ("dcgan", {"loss": "relativistic"}),
    "dcgan, spectral norm, rate 0.0004": ("dcgan", {**rate(0.0004), "discriminator_norm": "spectral"}),
    "dcgan, no norm, R1 of 1": ("dcgan", {"discriminator_norm": "none", "r1_gamma": 1.0, "penalty_every": 4}),
    "rate 0.0005": ("quick", {**REGULARISED, **rate(0.0005)}),
    "rate 0.0005, weights 1": ("quick", {**REGULARISED, **rate(0.0005), "r1_gamma": 1.0, "r2_gamma": 1.0}),
    "rate 0.0005, weights 0.3": ("quick", {**REGULARISED, **rate(0.0005), "r1_gamma": 0.3, "r2_gamma": 0.3}),
    "rate 0.0005, R1 of 4 alone": ("quick", {**REGULARISED, **rate(0.0005), "r1_gamma": 4.0, "r2_gamma": 0.0}),
    "rate 0.001": ("quick", {**REGULARISED, **rate(0.001)}),
    "rate 0.001, weights 1": ("quick", {**REGULARISED, **rate(0.001), "r1_gamma": 1.0, "r2_gamma": 1.0}),
    "rate 0.002": ("quick", {**REGULARISED, **rate(0.002)}),
    "rate 0.002, weights 1": ("quick", {**REGULARISED, **rate(0.002), "r1_gamma": 1.0, "r2_gamma": 1.0}),
    "rate 0.002, every update": ("quick", {**REGULARISED, **rate(0.002), "penalty_every": 1}),
    "rate 0.002, one in eight": ("quick", {**REGULARISED, **rate(0.002), "penalty_every": 8}),
}

#: What is changed in `laptop`, at its own size.
LAPTOP: Variants = {
    name: ("laptop", changes)
    for name, changes in {
        "laptop": {},
        "pixels alone": {"features": "", "moments_weight": 0.0},
        "features alone": {"discriminator": "none"},
        "no moments": {"moments_weight": 0.0},
        "moments, weight 0.5": {"moments_weight": 0.5},
        "moments, weight 2": {"moments_weight": 2.0},
        "no augmentation": {"augment": ""},
        "augmentation, probability 0.1": {"augment_probability": 0.1},
        "features' γ of 1": {"features_gamma": 1.0},
        "features' γ of 20": {"features_gamma": 20.0},
        "features of 128×128": {"features_size": 128},
        "features' critic of width 64": {"features_width": 64},
        "pixels' critic of width 16": {"discriminator_width": 16},
        "pixels' critic of width 48": {"discriminator_width": 48},
        "batches of 16": {"batch": 16},
        "batches of 64": {"batch": 64},
        "rate 0.0005": rate(0.0005),
        "rate 0.002": rate(0.002),
        "averaged over 4 kimg": {"ema_half_life_kimg": 4.0},
        "latents of 64": {"latent_dim": 64},
        "latents of 256": {"latent_dim": 256},
        "DCGAN's generator, width 64": {"generator": "dcgan_generator", "generator_width": 64, "latent_dim": 100},
        "R3GAN's generator, width 48": {"generator": "r3gan_small_generator", "generator_width": 48, "latent_dim": 64},
    }.items()
} | {"quick": ("quick", {}), "dcgan": ("dcgan", {"batch": 32})}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("dataset", type=Path, help="a prepared dataset")
    parser.add_argument("--of", choices=["narrow", "laptop"], default="narrow", help="which table (narrow)")
    parser.add_argument("--seconds", type=float, default=200, help="CPU time of each variant's steps (200)")
    parser.add_argument("--only", nargs="+", metavar="VARIANT", help="some of its rows")
    parser.add_argument("--weights", type=Path, help="Inception weights to score with, in place of effnet-lite0")
    options = parser.parse_args()
    variants, more = (LAPTOP, {}) if options.of == "laptop" else (NARROW, SMALL)
    if unknown := set(options.only or ()) - set(variants):
        parser.error(f"there is no {', '.join(sorted(unknown))}; there are: {', '.join(variants)}")
    torch.set_num_threads(1)
    faces = FaceDataset.open(options.dataset)
    distance = Distance(faces, options.weights)
    print("| variant | half time | kimg | in the end | kimg | images/s |\n|---|--:|--:|--:|--:|--:|", flush=True)
    for name in options.only or variants:
        base, changes = variants[name]
        recipe = load_recipe(base).with_overrides({**more, **changes})
        scores = trained(recipe, faces, options.seconds, distance)
        cells = [f"{value:.1f} | {kimg:.1f}" for value, kimg in scores]
        print(f"| {name} | {' | '.join(cells)} | {1000 * scores[-1][1] / options.seconds:.0f} |", flush=True)


class Distance:
    """The Fréchet distance of a game's averaged generator from the dataset's first training images.

    Inception's features are taken in bfloat16 where the processor is quick in it, on both sides alike: three times as
    quick, and good enough to tell variants apart, if not for a score.
    """

    def __init__(self, faces: FaceDataset, weights: Path | None) -> None:
        self._extractor = open_extractor(None if weights else "effnet-lite0", weights=weights, device="cpu")
        self._n, self._dtype = 500, torch.float32
        if weights:
            self._n, self._dtype = 1000, choose_precision("auto", CPU)
        rows = faces.training_rows()[:REFERENCE]
        self._reference = self._statistics(faces.images[rows])

    @torch.inference_mode()
    def _statistics(self, images: npt.NDArray[np.uint8]) -> FrechetStatistics:
        running, network = RunningStatistics(self._extractor.dims), self._extractor.network
        for batch in torch.from_numpy(images).permute(0, 3, 1, 2).split(self._extractor.batch):
            with torch.autocast("cpu", self._dtype, enabled=self._dtype != torch.float32):
                features = network(network.resize(batch))
            running.update(features.float().numpy())
        return running.finish()

    def __call__(self, game: Game) -> float:
        latent_dim = game.recipe.latent_dim
        standing_statistics(game.ema, latents_for(0, 0, STATISTICS, latent_dim), 128)
        drawn = images_of(game.ema, latents_for(1, 0, self._n, latent_dim))
        return frechet_distance(self._statistics(drawn), self._reference)


def trained(recipe: Recipe, faces: FaceDataset, seconds: float, distance: Distance) -> list[tuple[float, float]]:
    """The distance at half time and in the end, each with the kimg seen until then."""
    real = RealImages(
        faces.images, faces.training_rows(), batch=recipe.batch, seed=recipe.seed, device=CPU, ranks=Ranks()
    )
    game = Game(recipe, real, faces.size, CPU, choose_precision(recipe.precision, CPU), Ranks())
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
