"""The evaluation of ``facegen fid --all-metrics``: the score, all metrics, and the evidence for them."""

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

#: Minimum number of generated images, and of real images, for all metrics. With fewer, the metrics say nothing.
FEWEST = 50


@dataclass(frozen=True)
class Evaluation:
    """A set of images, measured with all metrics.

    Attributes:
        score: The value and everything else that the JSON has: label, target, warnings.
        generated: The images that were scored.
        real: The images of the reference whose features are kept: at most 50,000, drawn with a seed.
        training: The images among which copies were looked for: ``real``, then those given by ``--train``. The
            memorization metric numbers their rows consecutively; :meth:`training_image` finds an image by its row.
        heldout: Real images that are not in ``training``, which calibrate memorization. If this is None, images of
            ``training`` calibrate it.
        floor, interval: The floor and the confidence interval of the value; None if they could not be measured.
        results: Result of each metric by its key, in the metric's own type. :meth:`result` returns it with that type.
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
        """Return the result of a metric in the metric's own type.

        For example, ``evaluation.result(MEMORIZATION).flagged`` has the flagged rows. The metrics are in
        :mod:`facegen.scoring.metric_table`.
        """
        return cast(Result, self.results[metric.key])

    @property
    def compared(self) -> Compared:
        """The numbers of images that were compared, and whether the features are those of FID."""
        return Compared(len(self.generated), len(self.real), fid=self.score.metric == "fid")

    def training_image(self, row: int) -> tuple[ImageCollection, int]:
        """Return the collection of ``training`` that has the memorization metric's training row, and its row there."""
        for known in self.training:
            if row < len(known):
                return known.images, row
            row -= len(known)
        raise IndexError(f"there is no training image {row} rows after the last")


def metric_inputs(generated: Features, reference: Reference, known: Sequence[FeatureSet]) -> MetricInputs:
    """Return the inputs of all metrics for a set of images.

    Args:
        generated: Features of the images, [n, D].
        reference: The reference.
        known: The images among which copies are looked for. The first set is the reference's images.
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
    """Measure ``generated`` against the reference with all metrics.

    Each set needs at least 50 images. Copies are looked for in the reference and in ``training``.

    Raises:
        ValueError: The reference has statistics only.
    """
    real = reference.real
    if real is None:
        raise ValueError("the reference has statistics only")
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
