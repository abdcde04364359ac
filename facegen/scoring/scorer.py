"""The scorer: a reference and an extractor, ready to turn any number of image sets into scores."""

from __future__ import annotations

import hashlib
import json
import math
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from facegen import console
from facegen.code_hash import code_hash
from facegen.data.images import ImageCollection
from facegen.data.origin import Origin, summary
from facegen.errors import InputError
from facegen.extractors.feature_extractor import FeatureExtractor
from facegen.extractors.labels import is_fid, metric_label
from facegen.files import writing_told
from facegen.metrics.floor import Floor
from facegen.metrics.frechet import frechet_distance
from facegen.metrics.interval import Interval, interval_of, leave_one_out
from facegen.scoring.evaluation import FEWEST, Evaluation, evaluate, metric_inputs
from facegen.scoring.feature_cache import cached_features
from facegen.scoring.features import (
    STORED,
    FeaturePass,
    FeatureSet,
    SetFeatures,
    complete,
    compute_features,
    features_of,
    stored_rows,
    summarise,
    summarise_features,
)
from facegen.scoring.image_checks import ImageProperties, warnings_of
from facegen.scoring.margin import margin_warning
from facegen.scoring.metric import MetricInputs
from facegen.scoring.metric_table import FEATURE_METRICS, measure, results_to_json
from facegen.scoring.reference import (
    Reference,
    floor_of,
    laid_aside,
    open_reference,
    parts,
    reference_of_images,
    reference_of_statistics,
    save_reference,
)
from facegen.scoring.saved_statistics import properties_in
from facegen.scoring.score import FID_TARGET, Score
from facegen.scoring.statistics_extractor import open_extractor_for
from facegen.scoring.statistics_file import StatisticsFile
from facegen.scoring.statistics_layouts import holds_statistics, open_statistics


@dataclass(frozen=True)
class Measured:
    """A score, and what differences to other scores are judged by.

    Attributes:
        score: the value, and what it is worth.
        left_out: the values of the n sets that lack one image each, float64 [n]
            (:func:`facegen.metrics.interval.leave_one_out`); empty where they cannot be measured.
    """

    score: Score
    left_out: npt.NDArray[np.float64]


@dataclass(frozen=True)
class SetScorer:
    """Scores image sets against one reference.

    Attributes:
        extractor: the network whose features are compared.
        reference: the statistics they are compared with.
        target: the value to stay below, or None where there is none.
    """

    extractor: FeatureExtractor
    reference: Reference
    target: float | None
    _margin_warnings: dict[int, str | None] = field(default_factory=dict, init=False, repr=False, compare=False)

    @property
    def key(self) -> str:
        """A hash that changes whenever a score of the same images could, but for the verdict on the target."""
        return self._hash(code_hash(__name__), self.reference.sha256)

    @property
    def features_key(self) -> str:
        """A hash that changes whenever :meth:`features_of` the same images could."""
        return self._hash(code_hash("facegen.scoring.features"))

    def _hash(self, *depends_on: str) -> str:
        """A hash of the network and of what else a result depends on."""
        network = [self.extractor.name, self.extractor.weights_sha256, self.extractor.dims, self.extractor.code]
        return hashlib.sha256(json.dumps([*network, *depends_on]).encode()).hexdigest()

    @property
    def label(self) -> str:
        """What its distance is called, as :attr:`facegen.scoring.score.Score.label`."""
        return metric_label(self.extractor.name, self.extractor.dims)

    @property
    def description(self) -> str:
        """In words: ``"effnet-lite0 FD against 10,000 images"``."""
        return f"{self.label} against {self.reference.description}"

    def score(
        self,
        images: Iterable[npt.NDArray[np.uint8]],
        *,
        description: str = "The set of images",
        total: int | None = None,
        trained_against: str | None = None,
    ) -> Score:
        """The score of images, each uint8 [H, W, 3] of any size (an array [N, H, W, 3] will do).

        ``description`` is how a progress bar or an error names them; ``total``, how many there are, for the bar;
        ``trained_against``, the extractor whose network's features their generator was trained against.

        Raises:
            InputError: fewer than two images.
        """
        found = compute_features(images, self.extractor, description, total)
        return self._scored(found, Origin(trained_against=trained_against))[0]

    def score_set(self, found: SetFeatures, *, all_metrics: bool = False) -> Score:
        """The score of what a pass over images left; with ``all_metrics``, all others too, as in :meth:`evaluate`.

        Raises:
            InputError: all metrics of fewer than 50 images, or against a reference that is statistics alone.
        """
        score = self._scored(found, Origin())[0]
        if not all_metrics:
            return score
        real = self._real()
        for n, of in ((len(found.features), "there are"), (len(real), f"{self.reference.path} has")):
            if n < FEWEST:
                raise InputError(f"All metrics need at least {FEWEST} images; {of} {n}.")
        results = measure(metric_inputs(found.features, self.reference, [real]))
        return replace(score, metrics=results_to_json(results))

    def score_features(
        self,
        images: npt.NDArray[np.uint8],
        features: npt.NDArray[np.float32],
        *,
        trained_against: str | None = None,
    ) -> Score:
        """The score of images [N, H, W, 3] whose features [N, D] were taken elsewhere, with the same extractor."""
        return self._scored(summarise(images, features), Origin(trained_against=trained_against))[0]

    def features_of(self, images: npt.NDArray[np.uint8], description: str) -> npt.NDArray[np.float32]:
        """The features [N, D] of images uint8 [N, H, W, 3]: all that takes the network; :meth:`measure` needs no more.

        Raises:
            InputError: features that are not finite, which are said to be those of ``description``.
        """
        try:
            return features_of(images, self.extractor, description)
        finally:
            if self.extractor.one_by_one:  # in little memory it is there only while it looks
                self.extractor.release()

    def measure(
        self, features: npt.NDArray[np.float32], properties: ImageProperties, origin: Origin, *, judge: bool = True
    ) -> Measured:
        """The score of images from their features [N, D], their properties and where they say they come from.

        It is that of :meth:`score_collection` to the last digit. Without ``judge`` the target counts for nothing.
        """
        batch = len(features) if self.extractor.one_by_one else self.extractor.batch
        found = summarise_features(features, properties, batch)
        return self._measured(found, origin, judge=judge)[0]

    def metrics_of(self, features: npt.NDArray[np.float32]) -> dict[str, Any]:
        """KID, precision, recall, density and coverage of images from their features [N, D], as JSON by key.

        They are those of :meth:`evaluate`. Empty where the reference is statistics alone, or there are fewer than 50
        images of either.
        """
        real = self.reference.real
        if real is None or min(len(real), len(features)) < FEWEST:
            return {}
        inputs = MetricInputs(features, real.features, real.features, None, self.reference.statistics)
        return results_to_json(measure(inputs, FEATURE_METRICS))

    def judged(self, score: Score) -> Score:
        """A score that was measured without the target, with the verdict on it."""
        if self.target is None:
            return score
        margin = None if score.n is None else self.margin_warning(score.n)
        warnings = score.warnings if margin is None else (*score.warnings, margin)
        passed = score.value < self.target
        return replace(score, target=self.target, passed=passed, warnings=tuple(dict.fromkeys(warnings)))

    def score_statistics(self, file: StatisticsFile) -> Score:
        """The score of images that are there as statistics, or as features.

        Of statistics alone there is no interval, and no floor where they do not tell how many images they sum up.

        Raises:
            InputError: statistics that are none, or of another extractor.
        """
        statistics = file.statistics(self.extractor)
        kept = stored_rows(0 if file.rows is None else len(file.rows))
        features = file.features(kept)
        if features is None:
            features = np.empty((0, self.extractor.dims), np.float32)
        return self._scored(SetFeatures(statistics, features, properties_in(file.arrays)), Origin())[0]

    def score_collection(self, collection: ImageCollection) -> Score:
        """The score of the images of a folder, archive or dataset."""
        return self._scored(*self._features_of(collection), collection.warnings)[0]

    def evaluate(self, collection: ImageCollection, training: ImageCollection | None = None) -> Evaluation:
        """The score and all other metrics, in one pass; copies are also looked for in ``training``.

        Raises:
            InputError: fewer than 50 images, or a reference that is statistics alone.
        """
        real = self._real()
        for images in (collection, real.images, *([] if training is None else [training])):
            if len(images) < FEWEST:
                raise InputError(f"All metrics need at least {FEWEST} images; {images.path} has {len(images)}.")
        known = self._known(training)
        found, origin = self._features_of(collection)
        generated = FeatureSet(collection.take(stored_rows(len(collection))), found.features)
        console.info("Comparing the images with the real ones.")
        scored = self._scored(found, origin, collection.warnings)
        return evaluate(*scored, generated, self.reference, known)

    def _real(self) -> FeatureSet:
        """The reference's images, which all metrics need."""
        if self.reference.real is None:
            raise InputError(
                f"All metrics need the reference's images, and {self.reference.path} holds statistics alone.",
                "Give the images as the reference.",
            )
        return self.reference.real

    def _known(self, training: ImageCollection | None) -> FeatureSet | None:
        """The features of training images (at most 50,000); None where the reference has the same images."""
        if training is None:
            return None
        images, _ = parts(training)
        if images.sha256 == self.reference.sha256:
            return None
        if len(images) > STORED:
            console.info(f"Copies are looked for among {STORED:,} of the {len(images):,} images in {images.path}.")
        images = images.take(stored_rows(len(images)))
        known = cached_features(images, self.extractor, f"The training images {images.path}")
        for sentence in () if known.properties is None else known.properties.losses_in("the training images"):
            console.warn(sentence)
        return FeatureSet(images, known.features)

    def _features_of(self, collection: ImageCollection) -> tuple[SetFeatures, Origin]:
        """Features, and where the images say they come from."""
        origins = Counter[Origin]()

        def noted() -> Iterator[tuple[npt.NDArray[np.uint8], tuple[str, ...]]]:
            for picture in collection.pictures():
                origins[picture.origin] += 1
                yield picture.pixels, picture.notes

        with FeaturePass(self.extractor.dims, len(collection)) as begun:
            found = complete(begun, noted(), self.extractor, str(collection.path))
        return found.cropped(collection.crop), summary(origins)

    def _scored(
        self, found: SetFeatures, origin: Origin, left_out: tuple[str, ...] = ()
    ) -> tuple[Score, Floor | None, Interval | None]:
        """The value, and what it is worth; ``left_out``: what was left out of the images, in whole sentences."""
        measured, floor, interval = self._measured(found, origin, left_out)
        return measured.score, floor, interval

    def _measured(
        self, found: SetFeatures, origin: Origin, left_out: tuple[str, ...] = (), *, judge: bool = True
    ) -> tuple[Measured, Floor | None, Interval | None]:
        statistics, reference = found.statistics, self.reference
        n = statistics.n
        value = frechet_distance(statistics, reference.statistics)
        # The features of more images than are stored say nothing of the spread at that number; of two, nothing at all.
        measurable = n is not None and 2 < n == len(found.features)
        without_one = np.empty(0)
        interval = None
        if measurable:
            centre, without_one = leave_one_out(found.features, reference.statistics, statistics)
            interval = interval_of(centre, without_one)
        floor = None if n is None else floor_of(reference, self.extractor, n)
        score = Score(
            metric="fid" if is_fid(self.extractor.name, self.extractor.dims) else "fd",
            value=value,
            n=n,
            dims=self.extractor.dims,
            extractor=self.extractor.name,
            weights_sha256=self.extractor.weights_sha256,
            reference_n=reference.statistics.n,
            reference_sha256=reference.sha256,
            floor=None if floor is None else floor.value,
            floor_spread=None if floor is None else floor.spread,
            floor_draws=() if floor is None else floor.draws,
            interval95=None if interval is None else (interval.low, interval.high),
            warnings=tuple(dict.fromkeys([*left_out, *self.reference.warnings, *self._warnings(found, floor, origin)])),
        )
        score = (self.judged(score) if judge else score).with_origin(origin)
        return Measured(score, without_one), floor, interval

    def _warnings(self, found: SetFeatures, floor: Floor | None, origin: Origin) -> list[str]:
        n, dims = found.statistics.n, self.extractor.dims
        properties = found.properties
        if properties is not None and origin.sampling is not None:
            properties = replace(properties, detail=None)  # truncation smooths images, and is no resizing filter
        warnings = [] if properties is None else warnings_of(properties, self.reference.properties)
        for whose, sigma in (("images'", found.statistics.sigma), ("reference's", self.reference.statistics.sigma)):
            if not sigma.any():
                warnings.append(f"The {whose} features are all the same: their covariance is zero.")
        if n is None:
            warnings.append("The images' statistics do not tell how many images they sum up: no floor, no interval.")
            return warnings
        if n <= dims:
            warnings.append(
                f"{n:,} images do not fill {dims:,} dims, so the value lies above that of more images: compare it with "
                f"values of {n:,} images and with the floor alone."
            )
        if floor is None:
            warnings.append(f"There are too few real images to say what {n:,} of them would score: no floor.")
        elif floor.reference_n is not None and floor.reference_n < 0.9 * (self.reference.statistics.n or 0):
            warnings.append(
                f"The floor is that of {floor.reference_n:,} of the {self.reference.statistics.n:,} reference images, "
                "for each draw was left out of them: against all it is lower."
            )
        return warnings

    def margin_warning(self, n: int) -> str | None:
        """What to know where n real images score so much that the target leaves a generator no margin; else None."""
        if n not in self._margin_warnings:
            self._margin_warnings[n] = None
            if self.target is not None:
                floor = floor_of(self.reference, self.extractor, n)
                self._margin_warnings[n] = margin_warning(self.reference, floor, n, self.target)
        return self._margin_warnings[n]

    def floor(self, n: int) -> float | None:
        """What n real images score against the reference; None where that cannot be measured."""
        floor = floor_of(self.reference, self.extractor, n)
        return None if floor is None else floor.value

    def save_reference(self, target: Path, *, for_sets_of: int | None = None) -> None:
        """Write the reference's statistics as an ``.npz`` that can be given as a reference later.

        With ``for_sets_of``, it has the floor of sets of so many images, where that can be measured, in place of the
        features with which one of any size can be. EnvironmentProblem where ``target`` cannot be written.
        """
        floor = None if for_sets_of is None else floor_of(self.reference, self.extractor, for_sets_of)
        with writing_told(f"Cannot write {target}", "Name another place for it."):
            save_reference(self.reference, self.extractor, target, floor)


def open_scorer(
    reference: Path | ImageCollection,
    *,
    extractor: str | None = None,
    weights: Path | None = None,
    dims: int | None = None,
    device: str = "auto",
    target: float | None = None,
    images: StatisticsFile | None = None,
    low_memory: bool = False,
) -> SetScorer:
    """A scorer against ``reference``: a folder, archive or dataset of images, or statistics; or images that are open.

    ``target`` None means 20 for FID and no target for anything else: 20 in another network's features is another
    distance. ``images`` are what will be scored, where they are statistics; with a reference of statistics no network
    is needed. Where nobody chooses the extractor or its dims, statistics that name them do. With ``low_memory``, the
    network and the statistics are in memory only while they are needed. For the other options and errors see
    :func:`facegen.extractors.opening.open_extractor`.
    """
    if target is not None and not (math.isfinite(target) and target > 0):
        raise InputError(f"The target is {target} and should be a number above 0.")
    statistics = None
    if isinstance(reference, Path) and holds_statistics(reference):
        statistics = open_statistics(reference)
    looks = images is None or statistics is None
    files = [file for file in (statistics, images) if file is not None]
    network = open_extractor_for(
        files, looks, extractor, weights=weights, dims=dims, device=device, low_memory=low_memory
    )
    if target is None and is_fid(network.name, network.dims):
        target = FID_TARGET
    if isinstance(reference, ImageCollection):
        return SetScorer(network, reference_of_images(reference, network), target)
    if statistics is None:
        return SetScorer(network, open_reference(reference, network), target)
    of_statistics = reference_of_statistics(statistics, network)
    return SetScorer(network, laid_aside(of_statistics) if low_memory else of_statistics, target)
