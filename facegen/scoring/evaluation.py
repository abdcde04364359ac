"""Everything ``facegen fid --all-metrics`` finds out about a set of images: the score, all metrics, the evidence."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, cast

import numpy as np

from facegen.data.images import ImageCollection
from facegen.metrics.floor import Floor
from facegen.metrics.interval import Interval
from facegen.scoring.features import Features, FeatureSet
from facegen.scoring.metric import Compared, Metric, MetricInputs, Result
from facegen.scoring.metric_table import measure, results_to_json
from facegen.scoring.reference import Reference
from facegen.scoring.score import Score

#: Below so many images, generated or real, the metrics say nothing.
FEWEST = 50


@dataclass(frozen=True)
class Evaluation:
    """A set of images measured in every way there is.

    Attributes:
        score: the value, and all that goes into the JSON: label, target, warnings.
        generated: the images that were scored.
        real: those of the reference whose features are kept (at most 50,000, drawn with a seed).
        training: where copies were looked for: ``real``, then what ``--train`` named. The memorization metric counts
            rows through them one after the other; :meth:`training_image` finds them again.
        heldout: real images that are in none of ``training``, which calibrate memorization; None where there are
            none, and those of ``training`` do.
        floor, interval: of the value; None where they could not be measured.
        results: what each metric found, by its key, as its own type; :meth:`result` gives it as that.
    """

    score: Score
    generated: FeatureSet
    real: FeatureSet
    training: tuple[FeatureSet, ...]
    heldout: FeatureSet | None
    floor: Floor | None
    interval: Interval | None
    results: Mapping[str, Any]

    def result(self, metric: Metric[Result]) -> Result:
        """What a metric of :mod:`facegen.scoring.metric_table` found: ``evaluation.result(MEMORIZATION).flagged``."""
        return cast(Result, self.results[metric.key])

    @property
    def compared(self) -> Compared:
        """How many images were compared, and by which features."""
        return Compared(len(self.generated), len(self.real), fid=self.score.metric == "fid")

    def training_image(self, row: int) -> tuple[ImageCollection, int]:
        """Which collection of ``training`` the memorization metric's training row is in, and its row there."""
        for known in self.training:
            if row < len(known):
                return known.images, row
            row -= len(known)
        raise IndexError(f"there is no training image {row} rows after the last")


def metric_inputs(generated: Features, reference: Reference, known: Sequence[FeatureSet]) -> MetricInputs:
    """What all metrics of images are computed from.

    Args:
        generated: the images' features, [n, D].
        reference: what they are compared with.
        known: where copies are looked for; the first is the reference's images.
    """
    real, heldout = known[0].features, reference.heldout
    return MetricInputs(
        generated=generated,
        real=real,
        training=real if len(known) == 1 else np.concatenate([each.features for each in known]),
        heldout=None if heldout is None else heldout.features,
        statistics=reference.statistics,
    )


def evaluate(
    score: Score,
    floor: Floor | None,
    interval: Interval | None,
    generated: FeatureSet,
    reference: Reference,
    training: FeatureSet | None,
) -> Evaluation:
    """Measure ``generated`` against the reference in every way; each set has at least 50 images.

    Copies are looked for in the reference and ``training``.
    """
    real = reference.real
    if real is None:
        raise ValueError("the reference is statistics alone")
    known = (real,) if training is None else (real, training)
    results = measure(metric_inputs(generated.features, reference, known))
    return Evaluation(
        score=replace(score, metrics=results_to_json(results)),
        generated=generated,
        real=real,
        training=known,
        heldout=reference.heldout,
        floor=floor,
        interval=interval,
        results=results,
    )
