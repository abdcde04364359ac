"""Baselines, which the staff measures beside the class: real faces, the reference, other images or generators."""

from __future__ import annotations

import base64
import hashlib
import json
import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image

from facegen import console
from facegen.code_hash import code_hash
from facegen.data.decode import Unreadable
from facegen.data.images import ImageCollection, open_images
from facegen.data.origin import Origin, summary
from facegen.data.transform import resize_and_crop
from facegen.device import choose_device, placed
from facegen.errors import InputError
from facegen.file_kinds import SAFETENSORS, kind_of_file
from facegen.files import read_sealed_json, sha256_file, write_sealed_json, writing_told
from facegen.gan.generators import draw_images
from facegen.gan.latents import normal_latents
from facegen.grading.fingerprints import Fingerprints
from facegen.grading.grader import Scores
from facegen.grading.outcome import GradedSubmission, Outcome, sheet_jpeg
from facegen.metrics.sampling import sample_rows
from facegen.scoring.image_checks import PropertyCollector
from facegen.scoring.reference import parts
from facegen.scoring.score import Score
from facegen.scoring.statistics_layouts import holds_statistics
from facegen.submission.rules import Limits
from facegen.training.saved_generator import load_generator

#: Baselines taken from the reference: images of its other splits, and images of the reference itself.
REAL, REFERENCE = "real", "reference"

Images = npt.NDArray[np.uint8]


@dataclass(frozen=True)
class Baseline:
    """A baseline: its name, and the path of its images or its generator.

    The path is None for :data:`REAL` and :data:`REFERENCE`.
    """

    name: str
    path: Path | None


def parse_baselines(texts: Sequence[str]) -> list[Baseline]:
    """Parse the values of ``--baseline``, each of which is ``real``, ``reference`` or ``NAME=PATH``.

    Raises:
        InputError: A value has none of these forms, or two baselines have the same name.
    """
    found: dict[str, Baseline] = {}
    for text in texts:
        name, mark, path = text.partition("=")
        name = name.strip()
        if not name or (mark and not path) or (not mark and name not in (REAL, REFERENCE)):
            raise InputError(
                f"The baseline {text!r} is neither 'real' nor 'reference', and it names no images.",
                "Write NAME=PATH, for example dcgan=dcgan.safetensors.",
            )
        if name.casefold() in found:
            raise InputError(f"Two baselines are called {name!r}.", "Give each baseline a name of its own.")
        found[name.casefold()] = Baseline(name, Path(path) if mark else None)
    return list(found.values())


def measure_baselines(
    baselines: Sequence[Baseline],
    reference: Path,
    scorer: Scores,
    cache: Path,
    limits: Limits,
    *,
    private: Scores | None = None,
    device: str = "auto",
    force: bool = False,
) -> list[Outcome]:
    """Measure the baselines and return their outcomes, sorted by value. The ``file`` of each outcome is its name.

    A Fréchet distance depends on the number of images, so exactly as many images are measured as a submission has:
    ``limits.count``. Images are drawn at random with seed 0. A generator draws with seed 0, as :func:`facegen.sample`
    does. Images of another size are resized and cropped to ``limits.size``. Scores are cached in ``cache`` by content.

    Args:
        baselines: The baselines to measure.
        reference: The path of the reference.
        scorer: The scorer that measures the submissions.
        cache: The folder in which scores are kept.
        limits: The number and size of the images of a submission.
        private: The scorer that measures against the private reference; None if there is none.
        device: The device on which a generator draws.
        force: Measure again even if the cache has a score.

    Raises:
        InputError: The images do not exist, are fewer than a submission has, or cannot be taken from this reference.
        EnvironmentProblem: A score cannot be written to the cache.
    """
    outcomes = []
    for baseline in baselines:
        source = _source(baseline, reference, limits, device)
        keys = [scorer.key, None if private is None else private.key, limits.count, limits.size, source.sha256]
        name = hashlib.sha256(json.dumps([code_hash(__name__), *keys]).encode()).hexdigest()[:40]
        stored = cache / f"{name}.baseline.json"
        graded = None if force else _load(stored)
        if graded is None:
            graded = _measured(baseline, source, scorer, private)
            with writing_told(f"Cannot write the score of the baseline {baseline.name!r} to {cache}"):
                write_sealed_json(stored, _fields(graded))
        graded = replace(graded, score=scorer.judged(graded.score))
        if private is not None and graded.private is not None:
            graded = replace(graded, private=private.judged(graded.private))
        console.info(f"Baseline {baseline.name}: {graded.score.label} {graded.score.value:.2f}.")
        outcomes.append(Outcome(baseline.name, None, source.sha256, graded=graded))
    return sorted(outcomes, key=lambda each: (each.graded.score.value if each.graded else math.inf, each.file))


@dataclass(frozen=True)
class _Collection:
    """Images of a collection, as many as a submission has."""

    images: ImageCollection
    limits: Limits

    @property
    def sha256(self) -> str:
        return self.images.sha256

    def draw(self) -> tuple[Images, Origin, tuple[str, ...]]:
        """Return the images, uint8 [N, S, S, 3], their origin, and sentences that say how they were changed."""
        origins, drawn, resized = Counter[Origin](), [], 0
        size = self.limits.size
        for picture in self.images.pictures():
            origins[picture.origin] += 1
            pixels = picture.pixels
            if pixels.shape[:2] != (size, size):
                resized += 1
                try:
                    pixels = resize_and_crop(Image.fromarray(pixels), size)
                except Unreadable as problem:
                    raise InputError(
                        f"The image {picture.name} in {self.images.path} cannot be resized: {problem.reason}."
                    ) from problem
            drawn.append(pixels)
        notes = (f"{resized:,} images were resized and cropped to {self.limits.resolution}.",) if resized else ()
        return np.stack(drawn), summary(origins), notes


@dataclass(frozen=True)
class _Generator:
    """Images of a generator, drawn with seed 0, as many as a submission has."""

    path: Path
    limits: Limits
    device: str

    @property
    def sha256(self) -> str:
        return sha256_file(self.path)

    def draw(self) -> tuple[Images, Origin, tuple[str, ...]]:
        """Return the images, uint8 [N, S, S, 3], the origin that the generator's file states, and no sentences."""
        saved = load_generator(self.path)
        if saved.size != self.limits.size:
            raise InputError(
                f"The generator {self.path} draws images of {saved.size}x{saved.size} pixels, but submissions have "
                f"{self.limits.resolution}."
            )
        latents = normal_latents(0, 0, self.limits.count, saved.recipe.latent_dim)
        drawn = draw_images(placed(saved.network, choose_device(self.device)), latents)
        return drawn, Origin(trained_against=saved.trained_against), ()


def _source(baseline: Baseline, reference: Path, limits: Limits, device: str) -> _Collection | _Generator:
    """Return the images or the generator of a baseline."""
    what = f"The baseline {baseline.name!r}"
    path = baseline.path
    if path is not None and path.is_file() and kind_of_file(path) is SAFETENSORS:
        return _Generator(path, limits, device)
    if path is None and holds_statistics(reference):
        raise InputError(
            f"{what} needs images, but the reference {reference} holds only statistics.",
            f"Name a folder of images, as in {baseline.name}=FOLDER, or use the dataset as the reference.",
        )
    images = open_images(reference if path is None else path)
    if path is None:
        own, others = parts(images)
        if baseline.name == REAL and others is None:
            raise InputError(
                f"{what} needs real images that are not in the reference, but {reference} has only one split.",
                "Name a folder of images, as in real=FOLDER, or prepare the dataset with its partition file.",
            )
        images = own if others is None or baseline.name == REFERENCE else others
    if len(images) < limits.count:
        raise InputError(
            f"{what} has {len(images):,} images, but a submission has {limits.count:,}, and the value depends on "
            "their number.",
            "Name a folder with more images.",
        )
    return _Collection(images.take(sample_rows(len(images), limits.count)), limits)


def _measured(
    baseline: Baseline, source: _Collection | _Generator, scorer: Scores, private: Scores | None
) -> GradedSubmission:
    console.detail(f"Measuring the baseline {baseline.name!r}.")
    images, origin, notes = source.draw()
    properties = PropertyCollector()
    properties.update(images)
    features: dict[str, npt.NDArray[np.float32]] = {}

    def score_of(scorer: Scores) -> Score:
        if scorer.features_key not in features:
            features[scorer.features_key] = scorer.features_of(images, f"the baseline {baseline.name!r}")
        rows = features[scorer.features_key]
        score = scorer.measure(rows, properties.properties(), origin, judge=False).score
        if not math.isfinite(score.value):
            raise InputError(f"The score of the baseline {baseline.name!r} is {score.value}, which is not a number.")
        return replace(score, metrics=dict(scorer.metrics_of(rows)))

    hidden = None if private is None else score_of(private)
    return GradedSubmission(score_of(scorer), (), _NO_PRINTS, (), notes, sheet_jpeg(images), private=hidden)


#: Fingerprints of a baseline. They are empty, because baselines are not compared with submissions.
_NO_PRINTS = Fingerprints(np.empty(0, np.uint64), np.empty((0, 4), np.uint64), np.empty((0, 4), np.uint64))


def _fields(graded: GradedSubmission) -> dict[str, Any]:
    return {
        "score": graded.score.to_json(),
        "private": None if graded.private is None else graded.private.to_json(),
        "notes": list(graded.notes),
        "sheet": base64.b64encode(graded.sheet).decode(),
    }


def _load(path: Path) -> GradedSubmission | None:
    """Read a stored score; return None if it is missing or damaged, so that it is measured again."""
    try:
        stored = read_sealed_json(path)
        score, private = Score.from_json(stored["score"]), stored["private"]
        hidden = None if private is None else Score.from_json(private)
        sheet = base64.b64decode(stored["sheet"])
        return GradedSubmission(score, (), _NO_PRINTS, (), tuple(stored["notes"]), sheet, private=hidden)
    except (OSError, ValueError, KeyError, TypeError):
        return None
