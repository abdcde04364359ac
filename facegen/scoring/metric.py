"""What a metric is: how it is computed from features, and all that is said of it.

All metrics there are stand in :mod:`facegen.scoring.metric_table`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

import numpy as np
import numpy.typing as npt

from facegen.metrics.frechet import FrechetStatistics
from facegen.metrics.sampling import sample_rows

FeatureRows = npt.NDArray[np.floating]
Result = TypeVar("Result")


@dataclass(frozen=True)
class MetricInputs:
    """What a metric may be computed from: features of images, a row each, all of one extractor with D dims.

    Attributes:
        generated: of the measured images, [n, D], n ≥ 50.
        real: of the reference's images, [m, D], m ≥ 50; they may lie in a mapped file.
        training: of the images among which copies are looked for, [t, D]: ``real``, then what ``--train`` named.
        heldout: of real images that are in neither of those, [h, D]; None where there are none.
        statistics: of all of the reference's images, of which ``real`` may be a sample.
        seed: of whatever is drawn at random.
    """

    generated: FeatureRows
    real: FeatureRows
    training: FeatureRows
    heldout: FeatureRows | None
    statistics: FrechetStatistics
    seed: int = 0

    def sample_of_real(self, count: int) -> FeatureRows:
        """``count`` rows of ``real``, drawn with the seed; all of them where there are no more."""
        return self.real[sample_rows(len(self.real), count, self.seed)]


@dataclass(frozen=True)
class Compared:
    """What was compared: so many ``generated`` images with so many ``real`` ones, by FID's features if ``fid``."""

    generated: int
    real: int
    fid: bool


@dataclass(frozen=True)
class Row:
    """A row of the report's table.

    Attributes:
        value: the number of these images.
        real: what real images instead of them would give.
        meaning: a sentence or two on how to read it.
        name: None for the metric's own.
    """

    value: str
    real: str
    meaning: str
    name: str | None = None


def text_of(value: Any) -> str:
    """A metric's JSON for people: a number, ``{"value": …, "standard_error": …}``, or whatever else it is."""
    if isinstance(value, Mapping):
        if "value" not in value:
            return ", ".join(f"{key.replace('_', ' ')} {text_of(part)}" for key, part in value.items())
        error = value.get("standard_error")
        return text_of(value["value"]) + ("" if error is None else f" ± {error:.2g}")
    if isinstance(value, bool) or not isinstance(value, int | float):
        return "unknown" if value is None else str(value)
    return f"{value:.4g}"


@dataclass(frozen=True)
class Metric(Generic[Result]):
    """A metric.

    Attributes:
        key: in the JSON's ``metrics``.
        name: its name for people.
        compute: the features to its result. Metrics with the same function share one result.
        to_json: the result to what stands under ``key``: numbers, strings, None, lists and objects of them.
        rows: the result to rows of the report.
        text: that JSON to what stands behind the key in a line for people.
    """

    key: str
    name: str
    compute: Callable[[MetricInputs], Result]
    to_json: Callable[[Result], Any]
    rows: Callable[[Result, Compared], Sequence[Row]]
    text: Callable[[Any], str] = text_of
