"""The table of metrics that ``facegen fid --all-metrics`` computes.

To add a metric, write one file in :mod:`facegen.metrics` (arrays in, numbers out) and one entry here. Or call
:func:`register_metric` in a module of your own. The metric is then in the JSON, in the lines for people and in the
report.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Mapping
from dataclasses import replace
from typing import Any

from facegen.errors import EnvironmentProblem, in_words
from facegen.metrics.extrapolation import Extrapolation, fid_infinity
from facegen.metrics.kernel import KernelDistance, kernel_distance
from facegen.metrics.manifold import ManifoldMetrics, equal_coverage, manifold_metrics
from facegen.metrics.memorization import Memorization, memorization
from facegen.scoring.metric import Compared, Metric, MetricInputs, Result, Row, text_of

#: Maximum number of real images for KID. More would take minutes and would not make it more precise.
_KERNEL_REALS = 10_000
#: Metrics that compare features with those of the reference only. They take seconds, and do not look for copies.
FEATURE_METRICS = ("kid", "precision", "recall", "density", "coverage")
_TABLE: dict[str, Metric[Any]] = {}


def register_metric(metric: Metric[Result]) -> Metric[Result]:
    """Add a metric to the end of the table and return it.

    If a module is loaded again, its metric replaces the previous one.

    Raises:
        ValueError: Another module has a metric with the same key.
    """
    other = _TABLE.get(metric.key)
    if other is not None and other.compute.__module__ != metric.compute.__module__:
        raise ValueError(f"there is a metric {metric.key!r} already")
    _TABLE[metric.key] = metric
    return metric


def metrics() -> tuple[Metric[Any], ...]:
    """Return all metrics in the table."""
    return tuple(_TABLE.values())


def measure(inputs: MetricInputs, keys: Collection[str] | None = None) -> dict[str, Any]:
    """Compute all metrics, or only those with the given ``keys``, and return the results by key.

    Raises:
        EnvironmentProblem: A metric raised an exception. The message names the metric.
    """
    results: dict[str, Any] = {}
    computed: dict[Callable[[MetricInputs], Any], Any] = {}
    for metric in metrics():
        if keys is not None and metric.key not in keys:
            continue
        if metric.compute not in computed:
            try:
                computed[metric.compute] = metric.compute(inputs)
            except Exception as problem:  # anybody may have written the metric
                raise _failed(metric, problem) from problem
        results[metric.key] = computed[metric.compute]
    return results


def results_to_json(results: Mapping[str, Any]) -> dict[str, Any]:
    """Return the JSON's ``metrics`` for the results of :func:`measure`.

    Raises:
        EnvironmentProblem: A result cannot be written as JSON.
    """
    values = {}
    for key, result in results.items():
        try:
            values[key] = _TABLE[key].to_json(result)
            json.dumps(values[key], allow_nan=False)
        except Exception as problem:
            raise _failed(_TABLE[key], problem) from problem
    return values


def _failed(metric: Metric[Any], problem: Exception) -> EnvironmentProblem:
    return EnvironmentProblem(
        f"The metric {metric.key} of {metric.compute.__module__} fails: {in_words(problem)}.",
        "Score without --all-metrics.",
    )


def report_rows(results: Mapping[str, Any], compared: Compared) -> list[Row]:
    """Return the rows of the report for the results of :func:`measure`, each with a name."""
    return [
        replace(row, name=row.name or _TABLE[key].name)
        for key, result in results.items()
        for row in _TABLE[key].rows(result, compared)
    ]


def metric_line(key: str, value: Any) -> str:
    """Return a line for people from the JSON of a metric, such as ``"precision 0.71"``.

    The table need not know the key.
    """
    text = _TABLE[key].text if key in _TABLE else text_of
    return f"{key.replace('_', ' ')} {text(value)}"


def _extrapolation(inputs: MetricInputs) -> Extrapolation:
    return fid_infinity(inputs.generated, inputs.statistics, seed=inputs.seed)


def _kernel_distance(inputs: MetricInputs) -> KernelDistance:
    return kernel_distance(inputs.generated, inputs.sample_of_real(_KERNEL_REALS))


def _manifold_metrics(inputs: MetricInputs) -> ManifoldMetrics:
    """Compare as many real images as generated ones: with more, coverage could not be near 1."""
    return manifold_metrics(inputs.sample_of_real(len(inputs.generated)), inputs.generated)


def _memorization(inputs: MetricInputs) -> Memorization:
    return memorization(inputs.generated, inputs.training, inputs.heldout, seed=inputs.seed)


def _memorization_json(found: Memorization) -> dict[str, Any]:
    """Return all results except those for single images."""
    return {
        "red": found.red,
        "flagged": len(found.flagged),
        "expected": found.expected,
        "p_value": found.p_value,
        "threshold": found.threshold,
        "c_t": found.c_t,
        "authenticity": found.authenticity,
        "heldout_authenticity": found.heldout_authenticity,
        "duplicates": len(found.duplicates),
        "duplicate_share": found.duplicate_share,
        "uncalibrated": found.uncalibrated,
    }


def _memorization_text(panel: Mapping[str, Any]) -> str:
    if panel["uncalibrated"] is not None:
        return f"not calibrated: {panel['uncalibrated']}"
    verdict = "RED, there are copies" if panel["red"] else "green"
    return f"{verdict}: {panel['flagged']:,} images look like copies; by chance it would be {panel['expected']:.1f}"


def _memorization_rows(found: Memorization, _: Compared) -> list[Row]:
    return [
        Row(
            "not calibrated" if found.expected is None else f"{len(found.flagged):,}",
            "unknown" if found.expected is None else f"{found.expected:.1f}",
            "The number of images that are much nearer to one training or reference image than to all others.",
            name="Flagged as copies",
        ),
        Row(
            "not calibrated" if found.c_t is None else f"{found.c_t:.2f}",
            "near 0",
            "Compares this set with held-out real images. Well below 0, it is nearer to the training images than they "
            "are, as copies would be. Well above 0, it is further away.",
            name="C_T",
        ),
        Row(
            f"{found.authenticity:.3f}",
            "unknown" if found.heldout_authenticity is None else f"{found.heldout_authenticity:.3f}",
            "The share of images that are further from their nearest training image than that image is from the "
            "others.",
            name="Authenticity",
        ),
        Row(
            f"{found.duplicate_share:.1%}",
            "0.5%",
            "The share of images that are nearly the same as another image of this set.",
            name="Near-duplicates",
        ),
    ]


def _manifold_metric(key: str, real: Callable[[Compared], str], meaning: str) -> Metric[ManifoldMetrics]:
    """Register one number of :class:`ManifoldMetrics`, whose attribute has the same name as the key."""

    def number(found: ManifoldMetrics) -> float:
        value: float = getattr(found, key)
        return value

    return register_metric(
        Metric(
            key=key,
            name=key.capitalize(),
            compute=_manifold_metrics,
            to_json=number,
            rows=lambda found, compared: [Row(f"{number(found):.3f}", real(compared), meaning)],
        )
    )


# FID∞ comes first, directly below the score in the report, because it is the same value for infinitely many images.
FID_INFINITY = register_metric(
    Metric(
        key="fid_infinity",
        name="FID∞",
        compute=_extrapolation,
        to_json=lambda found: {"value": found.value, "slope": found.slope},
        rows=lambda found, compared: [
            Row(
                f"{found.value:.2f}",
                "near 0",
                "The value for infinitely many images, extrapolated. Use it to compare sets of different sizes, but "
                "only roughly.",
                name=None if compared.fid else "FD∞",
            )
        ],
    )
)
KID = register_metric(
    Metric(
        key="kid",
        name="KID",
        compute=_kernel_distance,
        to_json=lambda found: {"value": found.value, "standard_error": found.standard_error},
        rows=lambda found, compared: [
            Row(
                f"{found.value:.3g} ± {found.standard_error:.1g}",
                "0",
                "Another distance between the features. It has no bias at any number of images, so it can be below 0. "
                "Within two standard errors of 0, it counts as 0.",
                name=None if compared.fid else "Kernel distance",
            )
        ],
    )
)
PRECISION = _manifold_metric(
    "precision",
    lambda _: "below 1",
    "The share of images that resemble some real image. If it is low, many images look unreal.",
)
RECALL = _manifold_metric(
    "recall",
    lambda _: "below 1",
    "The share of real images that resemble some image of this set. If it is low, variety is missing.",
)
DENSITY = _manifold_metric(
    "density",
    lambda _: "1",
    "How densely real images surround the images of this set. Above 1, the set keeps to the most common faces.",
)
COVERAGE = _manifold_metric(
    "coverage",
    lambda compared: f"{equal_coverage(min(compared.generated, compared.real), compared.generated):.2f}",
    "The share of real images with an image of this set among their nearest neighbours. If it is low, kinds of faces "
    "are missing.",
)
MEMORIZATION = register_metric(
    Metric(
        key="memorization",
        name="Memorization",
        compute=_memorization,
        to_json=_memorization_json,
        rows=_memorization_rows,
        text=_memorization_text,
    )
)
