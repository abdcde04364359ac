#!/usr/bin/env python
r"""Measure what each part of a recipe is worth: train variants of a recipe for the same CPU time on one thread.

    facegen prepare img_align_celeba.zip faces --partition list_eval_partition.txt --split train
    python scripts/bench/ablation.py faces                    # dcgan and quick and variants, 200 s of one core each
    python scripts/bench/ablation.py faces --seconds 170 --only "dcgan" "rate 0.002"
    python scripts/bench/ablation.py faces --of laptop --seconds 480 --anneal --weights near-exact.pth --keep rows

Each variant trains on one thread for --seconds of CPU time. At half time and at the end, images of its averaged
generator are compared with the dataset's first 4,000: 500 images in effnet-lite0's features, or, with --weights, 1,000
in Inception's features with those weights. effnet-lite0 would flatter a generator that was trained against it. Recall
is in the same features. There is one seed per variant, so differences of a tenth mean nothing.

A rate that stays high favours variants that average well. With --anneal the rate falls linearly to a tenth of its
first value over each variant's own time, as in a run that is meant to end. Only the end is scored then. --keep writes
each variant's images, for scripts/bench/independent.py.

A change that helps a generator at its start may be worth nothing to a good one. --from starts each variant from a
run's checkpoint, with that run's own recipe and the variant's change. Networks and optimizers are the checkpoint's, so
a variant of another recipe or with other networks is refused. Name the variants that fit with --only.

    python scripts/bench/ablation.py faces --of laptop --from run/checkpoints/kimg-000269.216.pt --seconds 420 \
        --anneal --weights near-exact.pth --only laptop "no moments" "moments, weight 5" "pixels' γ of 0.2"
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import torch

from facegen.data.dataset import FaceDataset
from facegen.device import choose_precision
from facegen.extractors.opening import open_extractor
from facegen.gan.generators import draw_images, standing_statistics
from facegen.gan.latents import normal_latents
from facegen.metrics.frechet import frechet_distance, frechet_statistics
from facegen.metrics.manifold import manifold_metrics
from facegen.training.batches import RealImages
from facegen.training.checkpoint import TRAINER, load_checkpoint
from facegen.training.distributed import Ranks
from facegen.training.recipe import Recipe, load_recipe, recipe_from_dict
from facegen.training.trainer import Trainer

SMALL = {"generator_width": 16, "discriminator_width": 16, "batch": 32, "precision": "fp32", "compile": False}
REFERENCE, STATISTICS = 4000, 1024
#: Steps before the pace is measured, and while it is. The pace gives the number of images over which the rates fall.
WARM_UP, PACED = 8, 24
CPU = torch.device("cpu")


def rate(value: float) -> dict[str, float]:
    return {"generator_lr": value, "discriminator_lr": value}


#: Settings that `quick` has for runs of a few minutes, with the values for a longer run.
REGULARISED = {"latent_dim": 64, "ema_half_life_kimg": 20.0}

#: No norm of the discriminator's activations, and spectral norm of its weights.
SPECTRAL = {"discriminator_norm": "none", "discriminator_weight_norm": "spectral"}

Variants = dict[str, tuple[str, dict[str, Any]]]

#: Variants: the recipe and its changes. Networks have a width of 16, and batches have 32 images.
NARROW: Variants = {
    "dcgan": ("dcgan", {}),
    "dcgan, rate 0.0004": ("dcgan", rate(0.0004)),
    "dcgan, rate 0.0008": ("dcgan", rate(0.0008)),
    "dcgan, batches of 16": ("dcgan", {"batch": 16}),
    "dcgan, relativistic": ("dcgan", {"loss": "relativistic"}),
    "dcgan, spectral norm, rate 0.0004": ("dcgan", {**rate(0.0004), **SPECTRAL}),
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

#: Variants of `laptop`, at its own size.
CHANGES: dict[str, dict[str, Any]] = {
    "laptop": {},
    "pixels alone": {"features": "", "moments_weight": 0.0},
    "features alone": {"discriminator": "none"},
    "features' γ of 1": {"features_gamma": 1.0},
    "features' γ of 20": {"features_gamma": 20.0},
    "features of 64×64": {"features_size": 64},
    "features of 128×128": {"features_size": 128},
    "features' critic of width 16": {"features_width": 16},
    "features' critic of width 64": {"features_width": 64},
    "pixels' critic of width 16": {"discriminator_width": 16},
    "pixels' critic of width 64": {"discriminator_width": 64},
    "both critics twice as wide": {"discriminator_width": 64, "features_width": 64},
    "penalties at every update": {"penalty_every": 1},
    "pixels' γ of 0.2": {"r1_gamma": 0.2, "r2_gamma": 0.2},
    "γ of 0.5 for pixels, of 1.5 for features": {"r1_gamma": 0.5, "r2_gamma": 0.5, "features_gamma": 1.5},
    "colour as it comes": {"chroma_cutoff": 0.0},
    "no moments": {"moments_weight": 0.0},
    "moments, weight 2": {"moments_weight": 2.0},
    "moments, weight 5": {"moments_weight": 5.0},
    "batches of 16": {"batch": 16},
    "batches of 64": {"batch": 64},
    "rate 0.0005": rate(0.0005),
    "rate 0.002": rate(0.002),
    "averaged over 4 kimg": {"ema_half_life_kimg": 4.0},
    "averaged over 1 kimg": {"ema_half_life_kimg": 1.0},
    "no augmentation": {"augment": ""},
    "translation alone": {"augment": "translation"},
    "augmentation, probability 0.1": {"augment_probability": 0.1},
    "augmentation, probability 0.5": {"augment_probability": 0.5},
    "latents of 64": {"latent_dim": 64},
    "latents of 256": {"latent_dim": 256},
    "SNGAN's generator, width 32": {"generator": "sngan_generator"},
    "DCGAN's generator, width 64": {"generator": "dcgan_generator", "generator_width": 64, "latent_dim": 100},
    "R3GAN's generator, width 48": {"generator": "r3gan_small_generator", "generator_width": 48, "latent_dim": 64},
}
LAPTOP: Variants = {name: ("laptop", changes) for name, changes in CHANGES.items()}
LAPTOP |= {"quick": ("quick", {}), "dcgan": ("dcgan", {"batch": 32})}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("dataset", type=Path, help="prepared dataset")
    parser.add_argument("--of", choices=["narrow", "laptop"], default="narrow", help="table of variants (narrow)")
    parser.add_argument("--seconds", type=float, default=200, help="CPU time of each variant's steps (200)")
    parser.add_argument("--only", nargs="+", metavar="VARIANT", help="variants to train; default: all")
    parser.add_argument("--anneal", action="store_true", help="let the rates fall to a tenth over each variant's time")
    parser.add_argument("--from", dest="start", type=Path, metavar="CHECKPOINT", help="checkpoint to start from")
    parser.add_argument("--keep", type=Path, metavar="FOLDER", help="write each variant's images there, as .npy")
    parser.add_argument("--weights", type=Path, help="Inception weights to score with, instead of effnet-lite0")
    options = parser.parse_args()
    variants, more = (LAPTOP, {}) if options.of == "laptop" else (NARROW, SMALL)
    start = load_checkpoint(options.start) if options.start else None
    if start:
        variants = {name: variant for name, variant in variants.items() if variant[0] == start["recipe"]["name"]}
        more = {}
    if unknown := set(options.only or ()) - set(variants):
        parser.error(f"there is no {', '.join(sorted(unknown))}; there are: {', '.join(variants)}")
    torch.set_num_threads(1)
    faces = FaceDataset.open(options.dataset)
    distance = Distance(faces, options.weights)
    print("| variant | kimg | images/s | distance (half time, end) | recall |\n|---|--:|--:|--:|--:|", flush=True)
    for name in options.only or variants:
        base, changes = variants[name]
        recipe = recipe_from_dict(start["recipe"], str(options.start)) if start else load_recipe(base)
        recipe = recipe.with_overrides({**more, **changes})
        row = trained(recipe, faces, options.seconds, distance, anneal=options.anneal, start=start)
        distances = ", ".join(f"{score.distance:.1f}" for score in row.scores)
        pace = 1000 * row.kimg / options.seconds
        print(f"| {name} | {row.kimg:.1f} | {pace:.0f} | {distances} | {row.scores[-1].recall:.2f} |", flush=True)
        if options.keep:
            options.keep.mkdir(parents=True, exist_ok=True)
            np.save(options.keep / f"{name.replace(' ', '-')}.npy", row.images)


class Score(NamedTuple):
    distance: float
    recall: float


class Row(NamedTuple):
    """The results of a variant, and its images at the end: uint8 [N, S, S, 3]."""

    kimg: float
    scores: Sequence[Score]
    images: npt.NDArray[np.uint8]


class Distance:
    """The Fréchet distance of a trainer's averaged generator from the dataset's first training images.

    On a processor that is fast in bfloat16, Inception's features are computed in bfloat16 on both sides. This is three
    times as fast. It is accurate enough to compare variants, but not for a score.
    """

    def __init__(self, faces: FaceDataset, weights: Path | None) -> None:
        self._extractor = open_extractor(None if weights else "effnet-lite0", weights=weights, device="cpu")
        self._n, self._dtype = 500, torch.float32
        if weights:
            self._n, self._dtype = 1000, choose_precision("auto", CPU)
        rows = faces.training_rows()[:REFERENCE]
        features = self._features(faces.images[rows])
        self._reference = frechet_statistics(features)
        self._real = features[: self._n]

    @torch.inference_mode()
    def _features(self, images: npt.NDArray[np.uint8]) -> npt.NDArray[np.float32]:
        features, network = [], self._extractor.network
        for batch in torch.from_numpy(images).permute(0, 3, 1, 2).split(self._extractor.batch):
            with torch.autocast("cpu", self._dtype, enabled=self._dtype != torch.float32):
                features.append(network(network.resize(batch)).float().numpy())
        return np.concatenate(features)

    def __call__(self, trainer: Trainer) -> tuple[Score, npt.NDArray[np.uint8]]:
        latent_dim = trainer.recipe.latent_dim
        standing_statistics(trainer.ema, normal_latents(0, 0, STATISTICS, latent_dim), 128)
        drawn = draw_images(trainer.ema, normal_latents(1, 0, self._n, latent_dim))
        features = self._features(drawn)
        distance = frechet_distance(frechet_statistics(features), self._reference)
        return Score(distance, manifold_metrics(self._real, features).recall), drawn


def annealed(recipe: Recipe, kimg: float, seen: int) -> Recipe:
    """Return the recipe with rates that fall to a tenth over ``kimg`` more, from their value after ``seen`` images."""
    rates = {}
    for name in ("generator_lr", "discriminator_lr"):
        first, last = recipe.at(name, seen), recipe.at(name, seen) / 10
        rates[name] = (first + (first - last) * seen / (1000 * kimg), last)  # a line through both, from image 0 on
    return recipe.with_overrides({**rates, "schedule": "linear", "schedule_kimg": seen / 1000 + kimg})


def begun(recipe: Recipe, real: RealImages, size: int, start: dict[str, Any] | None) -> Trainer:
    """Return the recipe's trainer, restored from ``start``, the state of a checkpoint."""
    trainer = Trainer(recipe, real, size, CPU, choose_precision(recipe.precision, CPU), Ranks())
    if start:
        try:
            trainer.load_state_dict(start[TRAINER])
        except (KeyError, RuntimeError, ValueError) as problem:  # critics, layers or optimizer parameters differ
            raise SystemExit(
                f"This variant has other networks than the checkpoint: {str(problem).splitlines()[0]}"
            ) from problem
    return trainer


def trained(
    recipe: Recipe,
    faces: FaceDataset,
    seconds: float,
    distance: Distance,
    *,
    anneal: bool,
    start: dict[str, Any] | None = None,
) -> Row:
    """Train a variant and return its scores at half time and at the end, or at the end alone.

    Args:
        start: The state of a checkpoint to start from.
    """
    real = RealImages(
        faces.images, faces.training_rows(), batch=recipe.batch, seed=recipe.seed, device=CPU, ranks=Ranks()
    )
    seen = start["images_seen"] if start else 0
    first = seen // recipe.images_per_step
    trainer = begun(recipe, real, faces.size, start)
    if anneal:
        for step in range(first, first + WARM_UP + PACED):
            if step == first + WARM_UP:
                began = time.process_time()
            trainer(step)
        pace = PACED * recipe.images_per_step / (time.process_time() - began)
        trainer = begun(annealed(recipe, pace * seconds / 1000, seen), real, faces.size, start)
    used, step, scores = 0.0, first, []
    for until in [seconds] if anneal else [seconds / 2, seconds]:
        while used < until:
            began = time.process_time()
            trainer(step)
            used += time.process_time() - began
            step += 1
        score, images = distance(trainer)
        scores.append(score)
    return Row((step - first) * recipe.images_per_step / 1000, scores, images)


if __name__ == "__main__":
    main()
