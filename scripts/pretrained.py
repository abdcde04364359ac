#!/usr/bin/env python
"""Make the generator that ships with facegen from a run: generator.safetensors, fingerprints.npy, card.md's figures.

    facegen sample run images
    facegen fid images --reference celeba --json > score.json
    python scripts/pretrained.py run --dataset celeba --scores score.json --hardware "one H100"

RUN is a run folder or a .safetensors file. The script stores its generator as float16 with all metadata. It draws
1,000 images in both precisions, and refuses a generator whose pixels differ by more than a few values, or whose file
exceeds 10 MB. 'facegen grade' recognises images of seeds 0 to 9 by their fingerprints: 10,000 images are drawn
for these, which takes minutes on a CPU.

Only the figures between the two marks of the card are written. All are read or measured: recipe, kimg and dataset from
the file, hours from the run's log, and scores from the output of 'facegen fid --json'.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch

from facegen.data.dataset import FaceDataset
from facegen.device import choose_device, placed
from facegen.errors import InputError
from facegen.files import atomic_path, sha256_file, write_text
from facegen.gan.generators import draw_images
from facegen.gan.latents import normal_latents
from facegen.metrics.phash import perceptual_hashes
from facegen.pretrained import CARD, FINGERPRINTS, GENERATOR, IMAGES_PER_SEED, SEEDS, SHA256_ROWS, generator_path
from facegen.scoring.score import Score
from facegen.stages.sample import generator_of
from facegen.training.log import read_log
from facegen.training.saved_generator import SavedGenerator, load_generator
from facegen.weights.content import read_safetensors, write_safetensors

MOST_BYTES = 10_000_000
#: Largest difference that float16 may make to a pixel, of 255.
MOST_DIFFERENCE = 8
BEGIN, END = "<!-- scripts/pretrained.py writes from here -->", "<!-- to here -->"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path, help="run folder or .safetensors file")
    parser.add_argument("--dataset", type=Path, help="dataset that it was trained on, for the number of images")
    parser.add_argument("--scores", type=Path, nargs="+", default=[], help="outputs of 'facegen fid --json'")
    parser.add_argument("--hours", type=float, help="hours of training; default: from the run's log")
    parser.add_argument("--hardware", default="not recorded", help="hardware that trained it, in words")
    parser.add_argument("--device", default="auto", help="device to draw images on (auto)")
    parser.add_argument("--out", type=Path, default=generator_path().parent, help="folder of its card.md")
    options = parser.parse_args()
    source = generator_of(options.run)
    whole = load_generator(source)
    hours = training_hours(options.run, whole.kimg) if options.hours is None else options.hours
    facts = [
        *described(whole, options.dataset),
        ("training", f"{whole.kimg:,g} kimg (thousands of real images shown)"),
        ("hours", "not recorded" if hours is None else f"{hours:,.2f}"),
        ("hardware", options.hardware),
    ]
    scores = [Score.from_json(json.loads(path.read_text(encoding="utf-8"))) for path in options.scores]
    with tempfile.TemporaryDirectory() as folder:
        half_file = Path(folder) / GENERATOR
        store_half(source, half_file)
        require_small(half_file)
        half = load_generator(half_file)
        difference = compare(whole, half, options.device)
        hashes = draw_fingerprints(half, options.device)
        stored = half_file.read_bytes()
    facts += [
        ("stored", f"float16, {len(stored) / 1e6:.2f} MB"),
        ("float16 against float32", str(difference)),
        ("fingerprints", f"{len(hashes):,}: seeds 0 to {SEEDS - 1}, {IMAGES_PER_SEED:,} images each"),
    ]
    for name, write in (
        (GENERATOR, lambda file: file.write(stored)),
        (FINGERPRINTS, lambda file: np.save(file, hashes)),
    ):
        with atomic_path(options.out / name) as temporary, temporary.open("wb") as file:
            write(file)
    facts += [(row, f"`{sha256_file(options.out / name)}`") for name, row in SHA256_ROWS.items()]
    card = options.out / CARD
    write_text(card, with_figures(card.read_text(encoding="utf-8"), figures(facts, scores)))
    print("\n".join(f"{name}: {value}" for name, value in facts))


def store_half(source: Path, target: Path) -> None:
    """Write the generator at ``source`` as float16 with all its metadata. Whole numbers stay as they are.

    A tensor that float16 cannot hold stays in its own precision. Such tensors exist because a norm cancels the scale of
    its input again, so this scale and the running variance can grow without end.

    Raises:
        InputError: A weight is not finite.
    """
    tensors: dict[str, torch.Tensor] = {}
    stored, metadata = read_safetensors(source)
    for name, tensor in stored.items():
        if not tensor.isfinite().all():
            raise InputError(f"The weights {name} in {source} are not finite.", "Take an earlier generator.")
        fits = tensor.is_floating_point() and tensor.half().isfinite().all()
        tensors[name] = tensor.half() if fits else tensor
    write_safetensors(target, tensors, metadata)


def require_small(target: Path) -> None:
    """Raise InputError if a file is too large to ship."""
    if target.stat().st_size > MOST_BYTES:
        size, most = target.stat().st_size / 1e6, MOST_BYTES / 1e6
        raise InputError(
            f"The generator is {size:.1f} MB as float16, and at most {most:g} MB ship.", "Take a narrower one."
        )


@dataclass(frozen=True)
class Difference:
    """The difference that float16 makes to ``n`` images, in pixel values of 255: greatest, mean and share."""

    n: int
    most: int
    mean: float
    share: float

    def __str__(self) -> str:
        return (
            f"at most {self.most} of 255 and {self.mean:.3f} on average; {self.share:.1%} of the values differ "
            f"({self.n:,} images)"
        )


def compare(whole: SavedGenerator, half: SavedGenerator, device: str) -> Difference:
    """Raise InputError if a pixel value is off by more than a few."""
    off = np.abs(draw(whole, 0, device).astype(np.int16) - draw(half, 0, device).astype(np.int16))
    difference = Difference(len(off), int(off.max()), float(off.mean()), float((off > 0).mean()))
    if difference.most > MOST_DIFFERENCE:
        raise InputError(f"As float16 it draws other images: they differ by {difference}.")
    return difference


def draw(generator: SavedGenerator, seed: int, device: str) -> npt.NDArray[np.uint8]:
    """Draw the images of 'facegen sample' for ``seed``: uint8 [IMAGES_PER_SEED, S, S, 3]."""
    latents = normal_latents(seed, 0, IMAGES_PER_SEED, generator.recipe.latent_dim)
    return draw_images(placed(generator.network, choose_device(device)), latents)


def draw_fingerprints(generator: SavedGenerator, device: str) -> npt.NDArray[np.uint64]:
    """Return hashes in the form of :func:`facegen.pretrained.fingerprints`."""
    return np.concatenate([perceptual_hashes(draw(generator, seed, device)) for seed in range(SEEDS)])


def training_hours(run: Path, kimg: float) -> float | None:
    """Return the hours of training up to ``kimg`` by the log of a run folder; None if there is no log."""
    seconds = [tick["seconds"] for tick in read_log(run) if tick["kimg"] <= kimg * (1 + 1e-5)]
    return max(seconds) / 3600 if seconds else None


def described(generator: SavedGenerator, dataset: Path | None) -> list[tuple[str, str]]:
    """Describe recipe, network and data. Raise InputError if the generator was not trained on ``dataset``."""
    recipe = generator.recipe
    parameters = sum(parameter.numel() for parameter in generator.network.parameters())
    data = "CelebA"
    if dataset is not None:
        faces = FaceDataset.open(dataset)
        if faces.sha256 != generator.dataset_sha256:
            raise InputError(f"The generator was not trained on {dataset}.", "Name the dataset of its run.")
        data = f"{len(faces.training_rows()):,} images of CelebA"
    facts = [
        ("recipe", f"`{recipe.name}`"),
        ("generator", f"`{recipe.generator}`, width {recipe.generator_width}, {parameters:,} parameters"),
        ("images", f"{generator.size}×{generator.size}"),
        ("data", f"{data}, sha256 `{generator.dataset_sha256}`"),
    ]
    if generator.trained_against is not None:
        facts.append(("trained against", f"{generator.trained_against}: a score in its features is flattered"))
    return facts


def figures(facts: Sequence[tuple[str, str]], scores: Sequence[Score]) -> str:
    """Return two tables: the generator's properties and its scores."""
    lines = ["| | |", "|---|---|", *(f"| {name} | {value} |" for name, value in facts), ""]
    if not scores:
        return "\n".join([*lines, "Its scores and their floor are not measured."])
    lines += ["| score | value | 95% interval | floor | images | reference |", "|---|--:|--:|--:|--:|--:|"]
    for score in scores:
        interval = "–" if score.interval95 is None else "{:.2f} to {:.2f}".format(*score.interval95)
        floor = "not measured" if score.floor is None else f"{score.floor:.2f}"
        reference = "unknown" if score.reference_n is None else f"{score.reference_n:,}"
        lines.append(f"| {score.label} | {score.value:.2f} | {interval} | {floor} | {score.n:,} | {reference} |")
    return "\n".join([*lines, *(f"\n{score.label}: {warning}" for score in scores for warning in score.warnings)])


def with_figures(page: str, figures: str) -> str:
    """Return the card with ``figures`` between its marks. Raise InputError if it lacks a mark."""
    before, begin, rest = page.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise InputError(f"The card lacks its marks, {BEGIN} and {END}.")
    return f"{before}{BEGIN}\n\n{figures}\n\n{END}{after}"


if __name__ == "__main__":
    main()
