"""The scorer: a reference and a feature extractor, ready to score any number of image sets."""

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
    """A score, with the numbers that comparisons to other scores need.

    Attributes:
        score: The score.
        left_out: The values of the n sets that lack one image each, float64 [n]
            (:func:`facegen.metrics.interval.leave_one_out`); empty if they cannot be measured.
    """

    score: Score
    left_out: npt.NDArray[np.float64]


@dataclass(frozen=True)
class SetScorer:
    """A scorer of image sets against one reference.

    Attributes:
        extractor: The feature extractor whose features are compared.
        reference: The reference.
        target: The value to stay below, or None if there is no target.
    """

    extractor: FeatureExtractor
    reference: Reference
    target: float | None
    _margin_warnings: dict[int, str | None] = field(default_factory=dict, init=False, repr=False, compare=False)

    @property
    def key(self) -> str:
        """A hash that changes whenever a score of the same images could, apart from the verdict on the target."""
        return self._hash(code_hash(__name__), self.reference.sha256)

    @property
    def features_key(self) -> str:
        """A hash that changes whenever the result of :meth:`features_of` for the same images could change."""
        return self._hash(code_hash("facegen.scoring.features"))

    def _hash(self, *depends_on: str) -> str:
        """Return a hash of the network and of everything else a result depends on."""
        network = [self.extractor.name, self.extractor.weights_sha256, self.extractor.dims, self.extractor.code]
        return hashlib.sha256(json.dumps([*network, *depends_on]).encode()).hexdigest()

    @property
    def label(self) -> str:
        """The name of the distance, as in :attr:`facegen.scoring.score.Score.label`."""
        return metric_label(self.extractor.name, self.extractor.dims)

    @property
    def description(self) -> str:
        """A description in words, such as ``"effnet-lite0 FD against 10,000 images"``."""
        return f"{self.label} against {self.reference.description}"

    def score(
        self,
        images: Iterable[npt.NDArray[np.uint8]],
        *,
        description: str = "The set of images",
        total: int | None = None,
        trained_against: str | None = None,
    ) -> Score:
        """Score images.

        Args:
            images: Each image is uint8 [H, W, 3] of any size. An array [N, H, W, 3] works too.
            description: What a progress bar or an error calls the images.
            total: Number of images, for the progress bar; None if it is unknown.
            trained_against: Name of the extractor against whose features the images' generator was trained; None if
                there was none.

        Raises:
            InputError: There are fewer than two images.
        """
        found = compute_features(images, self.extractor, description, total)
        return self._scored(found, Origin(trained_against=trained_against))[0]

    def score_set(self, found: SetFeatures, *, all_metrics: bool = False) -> Score:
        """Score the result of a pass over images.

        Args:
            found: Statistics, features and properties of the images.
            all_metrics: Compute all other metrics too, as :meth:`evaluate` does.

        Raises:
            InputError: All metrics are asked for, but there are fewer than 50 images, or the reference has statistics
                only.
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
        """Score images [N, H, W, 3] whose features [N, D] you already have from the same extractor."""
        return self._scored(summarise(images, features), Origin(trained_against=trained_against))[0]

    def features_of(self, images: npt.NDArray[np.uint8], description: str) -> npt.NDArray[np.float32]:
        """Return the features [N, D] of images, uint8 [N, H, W, 3].

        This is the only step that needs the network. :meth:`measure` does the rest without it.

        Args:
            images: uint8 [N, H, W, 3].
            description: What errors call the images.

        Raises:
            InputError: The features are not finite.
        """
        try:
            return features_of(images, self.extractor, description)
        finally:
            if self.extractor.one_by_one:  # with little memory, the network is loaded only while it is used
                self.extractor.release()

    def measure(
        self, features: npt.NDArray[np.float32], properties: ImageProperties, origin: Origin, *, judge: bool = True
    ) -> Measured:
        """Score images from their features [N, D], their properties and the origin that they state.

        The score equals that of :meth:`score_collection` to the last digit. Without ``judge``, the target is ignored.
        """
        batch = len(features) if self.extractor.one_by_one else self.extractor.batch
        found = summarise_features(features, properties, batch)
        return self._measured(found, origin, judge=judge)[0]

    def metrics_of(self, features: npt.NDArray[np.float32]) -> dict[str, Any]:
        """Return KID, precision, recall, density and coverage of images from their features [N, D], as JSON by key.

        They equal those of :meth:`evaluate`. The result is empty if the reference has statistics only, or if there
        are fewer than 50 generated or real images.
        """
        real = self.reference.real
        if real is None or min(len(real), len(features)) < FEWEST:
            return {}
        inputs = MetricInputs(features, real.features, real.features, None, self.reference.statistics)
        return results_to_json(measure(inputs, FEATURE_METRICS))

    def judged(self, score: Score) -> Score:
        """Return a score that was measured without the target, together with the verdict on the target."""
        if self.target is None:
            return score
        margin = None if score.n is None else self.margin_warning(score.n)
        warnings = score.warnings if margin is None else (*score.warnings, margin)
        passed = score.value < self.target
        return replace(score, target=self.target, passed=passed, warnings=tuple(dict.fromkeys(warnings)))

    def score_statistics(self, file: StatisticsFile) -> Score:
        """Score images that are given as statistics or as features.

        If only statistics are given, there is no interval. If they do not say how many images they summarise, there
        is no floor either.

        Raises:
            InputError: The file has no valid statistics, or they are of another extractor.
        """
        statistics = file.statistics(self.extractor)
        kept = stored_rows(0 if file.rows is None else len(file.rows))
        features = file.features(kept)
        if features is None:
            features = np.empty((0, self.extractor.dims), np.float32)
        return self._scored(SetFeatures(statistics, features, properties_in(file.arrays)), Origin())[0]

    def score_collection(self, collection: ImageCollection) -> Score:
        """Score the images of a folder, archive or dataset."""
        return self._scored(*self._features_of(collection), collection.warnings)[0]

    def evaluate(self, collection: ImageCollection, training: ImageCollection | None = None) -> Evaluation:
        """Compute the score and all other metrics in one pass.

        Copies are looked for in the reference, and also in ``training`` if it is given.

        Raises:
            InputError: There are fewer than 50 images, or the reference has statistics only.
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
        """Return the reference's images, which all metrics need."""
        if self.reference.real is None:
            raise InputError(
                f"All metrics need the reference's images, but {self.reference.path} holds statistics alone.",
                "Give the images as the reference.",
            )
        return self.reference.real

    def _known(self, training: ImageCollection | None) -> FeatureSet | None:
        """Return the features of at most 50,000 training images, or None if the reference has the same images."""
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
        """Return the features of the images, and the origin that they state."""
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
        """Return the score with its floor and interval.

        ``left_out`` has sentences about images that were left out.
        """
        measured, floor, interval = self._measured(found, origin, left_out)
        return measured.score, floor, interval

    def _measured(
        self, found: SetFeatures, origin: Origin, left_out: tuple[str, ...] = (), *, judge: bool = True
    ) -> tuple[Measured, Floor | None, Interval | None]:
        statistics, reference = found.statistics, self.reference
        n = statistics.n
        value = frechet_distance(statistics, reference.statistics)
        # With more images than have stored features, the interval for n cannot be computed; nor can it for two images.
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
            properties = replace(properties, detail=None)  # truncation smooths images; that is not a resizing filter
        warnings = [] if properties is None else warnings_of(properties, self.reference.properties)
        for whose, sigma in (("images'", found.statistics.sigma), ("reference's", self.reference.statistics.sigma)):
            if not sigma.any():
                warnings.append(f"The {whose} features are all the same, so their covariance is zero.")
        if n is None:
            warnings.append(
                "The statistics of the images do not say how many images they summarise, so there is no floor and no "
                "interval."
            )
            return warnings
        if n <= dims:
            warnings.append(
                f"{n:,} images do not fill {dims:,} dims, so the value is higher than that of more images would be. "
                f"Compare it only with values of {n:,} images, and with the floor."
            )
        if floor is None:
            warnings.append(
                f"There is no floor, because too few real images are available to measure what {n:,} of them score."
            )
        elif floor.reference_n is not None and floor.reference_n < 0.9 * (self.reference.statistics.n or 0):
            warnings.append(
                f"The floor was measured against {floor.reference_n:,} of the {self.reference.statistics.n:,} "
                "reference images, because the images of each draw were left out. Against all of them it would be "
                "lower."
            )
        return warnings

    def margin_warning(self, n: int) -> str | None:
        """Return a warning if n real images score too high for the target to leave a margin, otherwise None."""
        if n not in self._margin_warnings:
            self._margin_warnings[n] = None
            if self.target is not None:
                floor = floor_of(self.reference, self.extractor, n)
                self._margin_warnings[n] = margin_warning(self.reference, floor, n, self.target)
        return self._margin_warnings[n]

    def floor(self, n: int) -> float | None:
        """Return the score of n real images against the reference, or None if it cannot be measured."""
        floor = floor_of(self.reference, self.extractor, n)
        return None if floor is None else floor.value

    def save_reference(self, target: Path, *, for_sets_of: int | None = None) -> None:
        """Write the reference's statistics as an ``.npz`` file that can serve as a reference later.

        Args:
            target: The file to write.
            for_sets_of: Number of images in the sets that will be scored. The file then has the floor for this
                number, if it can be measured. If this is None, the file has the features from which a floor for any
                number can be measured.

        Raises:
            EnvironmentProblem: ``target`` cannot be written.
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
    """Return a scorer against ``reference``.

    Args:
        reference: A folder, archive or dataset of images, a file of statistics, or images that are already open.
        extractor: Name of the feature extractor. If it is None, statistics that name their extractor choose it.
            Otherwise Inception is used if its weights are available, and effnet-lite0 if not.
        weights: A state dict to use instead of the extractor's published one.
        dims: Number of features per image. If it is None, statistics choose among those that the extractor offers;
            otherwise it is the extractor's default.
        device: Where the network runs: ``"auto"``, ``"cpu"``, ``"cuda"`` or ``"mps"``.
        target: The value to stay below. None means 20 for FID and no target for any other distance, because 20 would
            mean something else in the features of another network.
        images: The images that will be scored, if they are given as statistics. If the reference is statistics too, no
            network is needed.
        low_memory: Keep the network and the statistics in memory only while they are needed.

    Raises:
        InputError: The reference, the weights or an option cannot be used.
        EnvironmentProblem: The weights of the chosen extractor, or the device, are not available.
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
