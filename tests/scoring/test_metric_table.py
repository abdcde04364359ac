"""The table of metrics: one call adds one to the JSON, the lines for people and the report."""

from __future__ import annotations

import importlib
import json
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
from PIL import Image

from facegen.data.images import open_images
from facegen.errors import EnvironmentProblem
from facegen.extractors.feature_extractor import FeatureExtractor
from facegen.metrics.frechet import frechet_statistics
from facegen.scoring import metric_table
from facegen.scoring.evaluation import Evaluation
from facegen.scoring.metric import Metric, MetricInputs, text_of
from facegen.scoring.metric_table import FID_INFINITY, PRECISION, measure, metrics, register_metric, results_to_json
from facegen.scoring.reference import open_reference
from facegen.scoring.report import write_report
from facegen.scoring.score import Score
from facegen.scoring.scorer import SetScorer

DOCUMENTATION = Path(__file__).parents[2] / "docs" / "score.md"

#: All that a stranger writes: what is computed, and one call.
SPREAD = """
import numpy as np
from facegen.scoring.metric import Metric, MetricInputs, Row
from facegen.scoring.metric_table import register_metric

def spread(inputs: MetricInputs) -> float:
    return float(np.sqrt(inputs.generated.var(axis=0).sum() / inputs.real.var(axis=0).sum()))

register_metric(Metric(
    key="spread_ratio",
    name="Spread",
    compute=spread,
    to_json=lambda ratio: {"value": ratio, "log": float(np.log(ratio))},
    rows=lambda ratio, compared: [Row(f"{ratio:.3f}", "1", "How wide the set is. Below 1: it is narrower.")],
))
"""


@pytest.fixture
def spread(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[ModuleType]:
    """A package outside of facegen that adds a metric; the next test does not have it."""
    package = tmp_path / "packages" / "someones_metrics"
    package.mkdir(parents=True)
    (package / "__init__.py").write_text(SPREAD, encoding="utf-8")
    monkeypatch.syspath_prepend(package.parent)
    monkeypatch.setattr(metric_table, "_TABLE", dict(metric_table._TABLE))
    yield importlib.import_module(package.name)
    del sys.modules[package.name]


@pytest.fixture
def evaluation(tiny: FeatureExtractor, tmp_path: Path) -> Evaluation:
    """50 random images against 60 others."""
    random = np.random.default_rng(0)
    for name, count in (("generated", 50), ("real", 60)):
        (tmp_path / name).mkdir()
        for index, image in enumerate(random.integers(0, 256, (count, 16, 16, 3), dtype=np.uint8)):
            Image.fromarray(image).save(tmp_path / name / f"{index:03}.png")
    scorer = SetScorer(tiny, open_reference(tmp_path / "real", tiny), target=None)
    return scorer.evaluate(open_images(tmp_path / "generated"))


def test_a_registered_metric_is_in_json_lines_and_report(
    spread: ModuleType, evaluation: Evaluation, tmp_path: Path
) -> None:
    ratio = float(np.sqrt(evaluation.generated.features.var(axis=0).sum() / evaluation.real.features.var(axis=0).sum()))
    written = json.loads(json.dumps(evaluation.score.to_json()))
    assert written["metrics"]["spread_ratio"] == {"value": pytest.approx(ratio), "log": pytest.approx(np.log(ratio))}
    assert f"spread ratio {ratio:.4g}" in evaluation.score.lines()
    page = write_report(evaluation, tmp_path / "report").read_text(encoding="utf-8")
    assert (
        f'<th scope="row">Spread</th><td class="number">{ratio:.3f}</td><td class="number">1</td>'
        "<td>How wide the set is. Below 1: it is narrower.</td>"
    ) in page


def test_a_score_read_back_prints_a_metric_that_is_not_registered() -> None:
    score = Score("fd", 9.0, 60, 12, "tiny", "0" * 64, 60, "1" * 64, metrics={"spread_ratio": {"value": 0.98765}})
    assert "spread ratio 0.9877" in Score.from_json(json.loads(json.dumps(score.to_json()))).lines()


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0.123456, "0.1235"),
        (7, "7"),
        ({"value": 0.0123, "standard_error": 0.0004}, "0.0123 ± 0.0004"),
        ({"value": 3.0, "slope": 2.0}, "3"),
        ({"left_eye": 1.5, "kind": "open"}, "left eye 1.5, kind open"),
        (None, "unknown"),
        (True, "True"),
    ],
)
def test_any_json_has_a_text(value: object, text: str) -> None:
    assert text_of(value) == text


def test_a_key_is_another_modules_once() -> None:
    with pytest.raises(ValueError, match="there is a metric 'precision' already"):
        register_metric(replace(PRECISION, compute=lambda inputs: None))


def test_a_module_that_is_loaded_again_replaces_its_metric(spread: ModuleType) -> None:
    before = metrics()
    importlib.reload(spread)
    assert [metric.key for metric in metrics()] == [metric.key for metric in before]
    assert metrics()[-1].compute is spread.spread


@pytest.mark.parametrize(("compute", "to_json"), [(lambda inputs: 1 / 0, str), (lambda inputs: 1.0, np.float32)])
def test_a_metric_that_fails_is_named(compute: Any, to_json: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    failing = Metric(key="odd", name="Odd", compute=compute, to_json=to_json, rows=lambda found, compared: [])
    monkeypatch.setattr(metric_table, "_TABLE", {"odd": failing})
    real = np.zeros((60, 4))
    with pytest.raises(EnvironmentProblem, match=rf"The metric odd of {__name__} fails: "):
        results_to_json(measure(MetricInputs(real, real, real, None, frechet_statistics(real))))


def test_metrics_of_one_function_share_its_result(monkeypatch: pytest.MonkeyPatch) -> None:
    random, calls = np.random.default_rng(0), []
    real = random.normal(size=(60, 4))
    both = [
        Metric(key=key, name=key, compute=calls.append, to_json=str, rows=lambda found, compared: []) for key in "ab"
    ]
    monkeypatch.setattr(metric_table, "_TABLE", {metric.key: metric for metric in both})
    assert measure(MetricInputs(real, real, real, None, frechet_statistics(real))) == {"a": None, "b": None}
    assert len(calls) == 1


def test_results_are_found_with_their_type(evaluation: Evaluation) -> None:
    assert evaluation.result(FID_INFINITY).value == evaluation.score.metrics["fid_infinity"]["value"]
    assert len(evaluation.result(PRECISION).support) == 50


@pytest.mark.parametrize("metric", metrics(), ids=lambda metric: metric.key)
def test_every_metric_is_documented(metric: Metric[object]) -> None:
    assert f"| `{metric.key}` | {metric.name} |" in DOCUMENTATION.read_text(encoding="utf-8")
