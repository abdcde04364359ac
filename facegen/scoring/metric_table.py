"""The metrics of ``facegen fid --all-metrics``: one entry each.

A new metric is one file in :mod:`facegen.metrics` (arrays in, numbers out) and one entry here; or a module anywhere
that calls :func:`register_metric`. It is then in the JSON, in the lines for people, and in the report.
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

#: KID compares with at most so many real images: more would cost minutes and add nothing to its precision.
_KERNEL_REALS = 10_000
#: Those that compare features with the reference's alone, in seconds, and look for no copies.
FEATURE_METRICS = ("kid", "precision", "recall", "density", "coverage")
_TABLE: dict[str, Metric[Any]] = {}


def register_metric(metric: Metric[Result]) -> Metric[Result]:
    """Add a metric to the table, behind all others; returns it. A module that is loaded again replaces its own.

    Raises:
        ValueError: another module has a metric of that key.
    """
    other = _TABLE.get(metric.key)
    if other is not None and other.compute.__module__ != metric.compute.__module__:
        raise ValueError(f"there is a metric {metric.key!r} already")
    _TABLE[metric.key] = metric
    return metric


def metrics() -> tuple[Metric[Any], ...]:
    """All metrics there are."""
    return tuple(_TABLE.values())


def measure(inputs: MetricInputs, keys: Collection[str] | None = None) -> dict[str, Any]:
    """The results of all metrics by key, or of those ``keys``. EnvironmentProblem, which names it, where one raises."""
    results: dict[str, Any] = {}
    computed: dict[Callable[[MetricInputs], Any], Any] = {}
    for metric in metrics():
        if keys is not None and metric.key not in keys:
            continue
        if metric.compute not in computed:
            try:
                computed[metric.compute] = metric.compute(inputs)
            except Exception as problem:  # the metric may be anybody's
                raise _failed(metric, problem) from problem
        results[metric.key] = computed[metric.compute]
    return results


def results_to_json(results: Mapping[str, Any]) -> dict[str, Any]:
    """The JSON's ``metrics`` of what :func:`measure` returned. EnvironmentProblem where one's is no JSON."""
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
    """The report's rows of what :func:`measure` returned, each with a name."""
    return [
        replace(row, name=row.name or _TABLE[key].name)
        for key, result in results.items()
        for row in _TABLE[key].rows(result, compared)
    ]


def metric_line(key: str, value: Any) -> str:
    """A line for people of a metric's JSON, whether this table knows the key or not: ``"precision 0.71"``."""
    text = _TABLE[key].text if key in _TABLE else text_of
    return f"{key.replace('_', ' ')} {text(value)}"


def _extrapolation(inputs: MetricInputs) -> Extrapolation:
    return fid_infinity(inputs.generated, inputs.statistics, seed=inputs.seed)


def _kernel_distance(inputs: MetricInputs) -> KernelDistance:
    return kernel_distance(inputs.generated, inputs.sample_of_real(_KERNEL_REALS))


def _manifold_metrics(inputs: MetricInputs) -> ManifoldMetrics:
    """Of as many real images as generated ones: with more of them, coverage could not be near 1."""
    return manifold_metrics(inputs.sample_of_real(len(inputs.generated)), inputs.generated)


def _memorization(inputs: MetricInputs) -> Memorization:
    return memorization(inputs.generated, inputs.training, inputs.heldout, seed=inputs.seed)


def _memorization_json(found: Memorization) -> dict[str, Any]:
    """All of it but what it says of each image."""
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
    return f"{verdict}: {panel['flagged']:,} images look like copies, where chance makes it {panel['expected']:.1f}"


def _memorization_rows(found: Memorization, _: Compared) -> list[Row]:
    return [
        Row(
            "not calibrated" if found.expected is None else f"{len(found.flagged):,}",
            "unknown" if found.expected is None else f"{found.expected:.1f}",
            "Images much nearer to one training or reference image than to all others.",
            name="Flagged as copies",
        ),
        Row(
            "not calibrated" if found.c_t is None else f"{found.c_t:.2f}",
            "near 0",
            "Well below 0, the set is nearer to the training images than held-out ones are; well above, further away.",
            name="C_T",
        ),
        Row(
            f"{found.authenticity:.3f}",
            "unknown" if found.heldout_authenticity is None else f"{found.heldout_authenticity:.3f}",
            "The share of images that are further from their nearest training image than its nearest other is.",
            name="Authenticity",
        ),
        Row(
            f"{found.duplicate_share:.1%}",
            "0.5%",
            "The share of images that another one of the set is nearly the same as.",
            name="Near-duplicates",
        ),
    ]


def _manifold_metric(key: str, real: Callable[[Compared], str], meaning: str) -> Metric[ManifoldMetrics]:
    """The entry of one number of :class:`ManifoldMetrics`: the one that is called ``key`` there too."""

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


# FID∞ comes first, below the score in the report: it is "the same" for infinitely many images.
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
                "The same for infinitely many images, extrapolated: it compares sets of different sizes, but roughly.",
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
                "Free of bias at any size, and so at times below 0. Within two standard errors of 0, it is 0.",
                name=None if compared.fid else "Kernel distance",
            )
        ],
    )
)
PRECISION = _manifold_metric(
    "precision", lambda _: "below 1", "The share of images that resemble some real one. Low: many look unreal."
)
RECALL = _manifold_metric(
    "recall",
    lambda _: "below 1",
    "The share of real images that resemble some image of the set. Low: variety is missing.",
)
DENSITY = _manifold_metric(
    "density",
    lambda _: "1",
    "How crowded with real images the set's places are. Above 1: it keeps to the commonest faces.",
)
COVERAGE = _manifold_metric(
    "coverage",
    lambda compared: f"{equal_coverage(min(compared.generated, compared.real), compared.generated):.2f}",
    "The share of real images with one of the set among their nearest. Low: kinds of faces are missing.",
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
