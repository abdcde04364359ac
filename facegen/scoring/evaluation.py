"""Everything ``facegen fid --all-metrics`` finds out about a set of images: the score, its panel, and the evidence."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from facegen.data.images import ImageCollection
from facegen.metrics.extrapolation import Extrapolation, fid_infinity
from facegen.metrics.floor import Floor
from facegen.metrics.interval import Interval
from facegen.metrics.kernel import KernelDistance, kernel_distance
from facegen.metrics.manifold import ManifoldMetrics, manifold_metrics
from facegen.metrics.memorization import Memorization, memorization
from facegen.scoring.features import FeatureSet, sample_rows
from facegen.scoring.reference import Reference
from facegen.scoring.score import Score

#: Below so many images, generated or real, the metrics say nothing.
FEWEST = 50
#: KID compares with at most so many real images: more would cost minutes and add nothing to its precision.
_KERNEL_REALS = 10_000


@dataclass(frozen=True)
class Evaluation:
    """A set of images measured in every way there is.

    Attributes:
        score: the value, and all that goes into the JSON: label, target, warnings.
        generated: the images that were scored.
        real: those of the reference whose features are kept (at most 50,000, drawn with a seed).
        training: where copies were looked for: ``real``, then what ``--train`` named. The memorization panel counts
            rows through them one after the other; :meth:`training_image` finds them again.
        heldout: real images that are in none of ``training``, which calibrate the panel; None where there are none,
            and those of ``training`` do.
        floor, interval: of the value; None where they could not be measured.
    """

    score: Score
    generated: FeatureSet
    real: FeatureSet
    training: tuple[FeatureSet, ...]
    heldout: FeatureSet | None
    floor: Floor | None
    interval: Interval | None
    kernel: KernelDistance
    extrapolation: Extrapolation
    manifold: ManifoldMetrics
    memorization: Memorization

    def training_image(self, row: int) -> tuple[ImageCollection, int]:
        """Which collection of ``training`` the panel's training row is in, and its row there."""
        for known in self.training:
            if row < len(known):
                return known.images, row
            row -= len(known)
        raise IndexError(f"there is no training image {row} rows after the last")


def evaluate(
    score: Score,
    floor: Floor | None,
    interval: Interval | None,
    generated: FeatureSet,
    reference: Reference,
    training: FeatureSet | None,
) -> Evaluation:
    """Measure ``generated`` against the reference in every way; each set has at least 50 images.

    Precision, recall, density and coverage need as many real images as generated ones, so a sample of the more
    numerous stands for them. The memorization panel looks for copies in the reference and ``training``.
    """
    real, heldout = reference.real, reference.heldout
    if real is None:
        raise ValueError("the reference is statistics alone")
    n = min(len(generated), len(real))
    known = (real,) if training is None else (real, training)
    kernel = kernel_distance(generated.features, real.features[sample_rows(len(real), _KERNEL_REALS)])
    extrapolation = fid_infinity(generated.features, reference.statistics)
    manifold = manifold_metrics(real.features[sample_rows(len(real), n)], generated.features)
    copies = memorization(
        generated.features,
        np.concatenate([each.features for each in known]),
        None if heldout is None else heldout.features,
    )
    metrics: dict[str, Any] = {
        "kid": {"value": kernel.value, "standard_error": kernel.standard_error},
        "fid_infinity": {"value": extrapolation.value, "slope": extrapolation.slope},
        "precision": manifold.precision,
        "recall": manifold.recall,
        "density": manifold.density,
        "coverage": manifold.coverage,
        "memorization": _panel(copies),
    }
    return Evaluation(
        score=replace(score, metrics=metrics),
        generated=generated,
        real=real,
        training=known,
        heldout=heldout,
        floor=floor,
        interval=interval,
        kernel=kernel,
        extrapolation=extrapolation,
        manifold=manifold,
        memorization=copies,
    )


def _panel(copies: Memorization) -> dict[str, Any]:
    """The memorization panel without its rows: the ``memorization`` object of the JSON."""
    return {
        "red": copies.red,
        "flagged": len(copies.flagged),
        "expected": copies.expected,
        "p_value": copies.p_value,
        "threshold": copies.threshold,
        "c_t": copies.c_t,
        "authenticity": copies.authenticity,
        "heldout_authenticity": copies.heldout_authenticity,
        "duplicates": len(copies.duplicates),
        "duplicate_share": copies.duplicate_share,
        "uncalibrated": copies.uncalibrated,
    }
