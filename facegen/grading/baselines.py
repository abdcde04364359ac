"""What the staff measures beside the class: real faces, a copy of the reference, images or generators of their own."""

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

#: Baselines that the reference itself gives: images of its other splits, and some of its own.
REAL, REFERENCE = "real", "reference"

Images = npt.NDArray[np.uint8]


@dataclass(frozen=True)
class Baseline:
    """Something to measure: its name, and images or a generator; of :data:`REAL` and :data:`REFERENCE` no path."""

    name: str
    path: Path | None


def parse_baselines(texts: Sequence[str]) -> list[Baseline]:
    """What ``--baseline`` names: ``real``, ``reference`` or ``NAME=PATH`` each.

    Raises:
        InputError: it is none of these, or two have one name.
    """
    found: dict[str, Baseline] = {}
    for text in texts:
        name, mark, path = text.partition("=")
        name = name.strip()
        if not name or (mark and not path) or (not mark and name not in (REAL, REFERENCE)):
            raise InputError(
                f"The baseline {text!r} is neither real nor reference, and names no images.",
                "Write NAME=PATH, as dcgan=dcgan.safetensors, say.",
            )
        if name.casefold() in found:
            raise InputError(f"There are two baselines called {name!r}.", "Give each a name of its own.")
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
    """What the baselines score, by rising value: each an outcome whose ``file`` is its name.

    Exactly as many images are measured as a submission has, for the value depends on their number: ``limits.count`` of
    them, drawn with seed 0, or what a generator draws with seed 0 as :func:`facegen.sample` does. Images of another
    size are resized and cropped to ``limits.size``. Scores are kept in ``cache`` by content.

    Args:
        baselines: what to measure.
        reference: the reference's path.
        scorer: what measures the submissions.
        cache: the folder to keep the scores in.
        limits: how many images a submission has, and of what size.
        private: what measures them against the private reference; None where there is none.
        device: where a generator draws.
        force: measure again what has been measured before.

    Raises:
        InputError: no such images; fewer than a submission has; or a reference that has none to take.
        EnvironmentProblem: a score that cannot be kept.
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
            with writing_told(f"Cannot keep the score of the baseline {baseline.name!r} in {cache}"):
                write_sealed_json(stored, _fields(graded))
        graded = replace(graded, score=scorer.judged(graded.score))
        if private is not None and graded.private is not None:
            graded = replace(graded, private=private.judged(graded.private))
        console.info(f"Baseline {baseline.name}: {graded.score.label} {graded.score.value:.2f}.")
        outcomes.append(Outcome(baseline.name, None, source.sha256, graded=graded))
    return sorted(outcomes, key=lambda each: (each.graded.score.value if each.graded else math.inf, each.file))


@dataclass(frozen=True)
class _Collection:
    """As many images of a collection as a submission has."""

    images: ImageCollection
    limits: Limits

    @property
    def sha256(self) -> str:
        return self.images.sha256

    def draw(self) -> tuple[Images, Origin, tuple[str, ...]]:
        """Images, uint8 [N, S, S, 3]; what they say of their origin; and what was done to them, in sentences."""
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
    """As many images of a generator as a submission has, drawn with seed 0."""

    path: Path
    limits: Limits
    device: str

    @property
    def sha256(self) -> str:
        return sha256_file(self.path)

    def draw(self) -> tuple[Images, Origin, tuple[str, ...]]:
        """As :meth:`_Collection.draw`."""
        saved = load_generator(self.path)
        if saved.size != self.limits.size:
            raise InputError(
                f"The generator {self.path} draws {saved.size}x{saved.size} pixels, and submissions have "
                f"{self.limits.resolution}."
            )
        latents = normal_latents(0, 0, self.limits.count, saved.recipe.latent_dim)
        drawn = draw_images(placed(saved.network, choose_device(self.device)), latents)
        return drawn, Origin(trained_against=saved.trained_against), ()


def _source(baseline: Baseline, reference: Path, limits: Limits, device: str) -> _Collection | _Generator:
    """Where a baseline's images come from."""
    what = f"The baseline {baseline.name!r}"
    path = baseline.path
    if path is not None and path.is_file() and kind_of_file(path) is SAFETENSORS:
        return _Generator(path, limits, device)
    if path is None and holds_statistics(reference):
        raise InputError(
            f"{what} needs images, and the reference {reference} holds statistics.",
            "Name some, as real=FOLDER, or take the dataset as the reference.",
        )
    images = open_images(reference if path is None else path)
    if path is None:
        own, others = parts(images)
        if baseline.name == REAL and others is None:
            raise InputError(
                f"{what} needs real images that are not in the reference, and {reference} has no split but one.",
                "Name some, as real=FOLDER, or prepare the dataset with its partition.",
            )
        images = own if others is None or baseline.name == REFERENCE else others
    if len(images) < limits.count:
        raise InputError(
            f"{what} has {len(images):,} images, and a submission {limits.count:,}: the value depends on their number.",
            "Name more of them.",
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
            raise InputError(f"The score of the baseline {baseline.name!r} is {score.value}, which is no number.")
        return replace(score, metrics=dict(scorer.metrics_of(rows)))

    hidden = None if private is None else score_of(private)
    return GradedSubmission(score_of(scorer), (), _NO_PRINTS, (), notes, sheet_jpeg(images), private=hidden)


#: Baselines are compared with no submission.
_NO_PRINTS = Fingerprints(np.empty(0, np.uint64), np.empty((0, 4), np.uint64), np.empty((0, 4), np.uint64))


def _fields(graded: GradedSubmission) -> dict[str, Any]:
    return {
        "score": graded.score.to_json(),
        "private": None if graded.private is None else graded.private.to_json(),
        "notes": list(graded.notes),
        "sheet": base64.b64encode(graded.sheet).decode(),
    }


def _load(path: Path) -> GradedSubmission | None:
    """What :func:`_fields` gave; None where there is nothing whole: it is only a cache, and is made again."""
    try:
        stored = read_sealed_json(path)
        score, private = Score.from_json(stored["score"]), stored["private"]
        hidden = None if private is None else Score.from_json(private)
        sheet = base64.b64decode(stored["sheet"])
        return GradedSubmission(score, (), _NO_PRINTS, (), tuple(stored["notes"]), sheet, private=hidden)
    except (OSError, ValueError, KeyError, TypeError):
        return None
