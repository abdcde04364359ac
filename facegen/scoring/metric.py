"""The definition of a metric: how it is computed from features, and all texts about it.

All metrics are listed in :mod:`facegen.scoring.metric_table`.
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
    """The inputs of all metrics: features of one extractor with D dimensions, one row per image.

    Attributes:
        generated: Features of the measured images, [n, D], n ≥ 50.
        real: Features of the reference's images, [m, D], m ≥ 50. They may be in a memory-mapped file.
        training: Features of the images among which copies are looked for, [t, D]: first ``real``, then the images
            given by ``--train``.
        heldout: Features of real images that are in neither ``real`` nor ``training``, [h, D]; None if there are none.
        statistics: Statistics of all images of the reference. ``real`` may be a sample of these images.
        seed: Seed of all random choices.
    """

    generated: FeatureRows
    real: FeatureRows
    training: FeatureRows
    heldout: FeatureRows | None
    statistics: FrechetStatistics
    seed: int = 0

    def sample_of_real(self, count: int) -> FeatureRows:
        """Return ``count`` random rows of ``real``, or all rows if there are no more."""
        return self.real[sample_rows(len(self.real), count, self.seed)]


@dataclass(frozen=True)
class Compared:
    """The sets that were compared.

    Attributes:
        generated: Number of generated images.
        real: Number of real images.
        fid: Whether the features are those of FID.
    """

    generated: int
    real: int
    fid: bool


@dataclass(frozen=True)
class Row:
    """A row of the report's table.

    Attributes:
        value: The number for these images.
        real: The number that real images would have.
        meaning: One or two sentences on how to read it.
        name: Name of the row; None to use the name of the metric.
    """

    value: str
    real: str
    meaning: str
    name: str | None = None


def text_of(value: Any) -> str:
    """Return the JSON of a metric as text for people.

    A number is shown with 4 digits, ``{"value": …, "standard_error": …}`` as value ± error, None as "unknown", and
    other objects as a list of their keys and values.
    """
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
        key: Key of the metric in the JSON's ``metrics``.
        name: Name of the metric for people.
        compute: Computes the result from the features. Metrics with the same function share one result.
        to_json: Converts the result to what the JSON has under ``key``: numbers, strings, None, lists and objects of
            them.
        rows: Converts the result to rows of the report.
        text: Converts the JSON to the text that follows the key in a line for people.
    """

    key: str
    name: str
    compute: Callable[[MetricInputs], Result]
    to_json: Callable[[Result], Any]
    rows: Callable[[Result, Compared], Sequence[Row]]
    text: Callable[[Any], str] = text_of
