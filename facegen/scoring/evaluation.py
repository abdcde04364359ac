"""Everything ``facegen fid --all-metrics`` finds out about a set of images: the score, its panel, and the evidence."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from facegen.data.images import ImageCollection

if TYPE_CHECKING:
    from facegen.metrics.extrapolation import Extrapolation
    from facegen.metrics.floor import Floor
    from facegen.metrics.interval import Interval
    from facegen.metrics.kernel import KernelDistance
    from facegen.metrics.manifold import ManifoldMetrics
    from facegen.metrics.memorization import Memorization
    from facegen.scoring.score import Score


@dataclass(frozen=True)
class FeatureSet:
    """Images and their features: row i of ``features``, float32 [n, D], is of the collection's image i.

    ``images.take(rows)`` reads some of them, rows rising; ``images.path`` and ``images.names`` say what they are.
    """

    images: ImageCollection
    features: npt.NDArray[np.float32]

    def __len__(self) -> int:
        return len(self.features)


@dataclass(frozen=True)
class Evaluation:
    """A set of images measured in every way there is.

    Attributes:
        score: the value, and all that goes into the JSON: label, target, warnings.
        generated: the images that were scored.
        real: those of the reference whose features are kept (at most 50,000, drawn with a seed).
        training: where copies were looked for: ``real``, then what ``--train`` named. The memorization panel counts
            rows through them one after the other; :meth:`training_image` finds them again.
        heldout: real images that are not in the reference, which calibrate the panel; None where there are none.
        floor, interval: of the value; None where they could not be measured.
        extrapolation: None below 50 images.
    """

    score: Score
    generated: FeatureSet
    real: FeatureSet
    training: tuple[FeatureSet, ...]
    heldout: FeatureSet | None
    floor: Floor | None
    interval: Interval | None
    kernel: KernelDistance
    extrapolation: Extrapolation | None
    manifold: ManifoldMetrics
    memorization: Memorization

    def training_image(self, row: int) -> tuple[ImageCollection, int]:
        """Which collection of ``training`` the panel's training row is in, and its row there."""
        for known in self.training:
            if row < len(known):
                return known.images, row
            row -= len(known)
        raise IndexError(f"there is no training image {row} rows after the last")
