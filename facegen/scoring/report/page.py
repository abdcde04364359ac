"""The page of the report: a template filled with sentences, charts and pictures."""

from __future__ import annotations

from pathlib import Path

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from facegen import __version__
from facegen.files import write_text, writing_told
from facegen.printable import printable_lines
from facegen.scoring.evaluation import Evaluation
from facegen.scoring.metric_table import FID_INFINITY
from facegen.scoring.report import sentences
from facegen.scoring.report.charts import Mark, curve_chart, scale_chart
from facegen.scoring.report.galleries import galleries


def write_report(evaluation: Evaluation, directory: Path) -> Path:
    """Write the report as ``index.html`` into ``directory`` and return its path.

    The folder is created if it does not exist. Styles, charts and pictures are part of the page and nothing is
    fetched, so you can mail, print and keep it. The images that it shows are read again. The same evaluation gives
    the same bytes.

    Raises:
        InputError: An image can no longer be read.
        EnvironmentProblem: The page cannot be written.
    """
    templates = Environment(
        loader=PackageLoader("facegen.scoring.report"),
        autoescape=True,
        undefined=StrictUndefined,
        # Charts are already drawn, including their labels. A caption has two lines.
        finalize=lambda value: (
            printable_lines(value) if isinstance(value, str) and not isinstance(value, Markup) else value
        ),
        trim_blocks=True,
        lstrip_blocks=True,
    )
    score = evaluation.score
    page = templates.get_template("report.html").render(
        score=score,
        set_name=evaluation.generated.images.path.name,
        badges=sentences.badges(evaluation),
        verdict=sentences.verdict(evaluation),
        scale=_scale(evaluation),
        curve=curve_chart(evaluation.result(FID_INFINITY), _ends(evaluation), score.target, score.label),
        rows=sentences.rows(evaluation),
        copies=sentences.copies(evaluation),
        shown=galleries(evaluation),
        facts=sentences.facts(evaluation),
        limits=sentences.limits(evaluation),
        version=__version__,
    )
    target = directory / "index.html"
    with writing_told(f"Cannot write {target}", "Name another folder for it."):
        write_text(target, page)
    return target


def _scale(evaluation: Evaluation) -> Markup:
    score, floor, interval = evaluation.score, evaluation.floor, evaluation.interval
    marks = []
    if floor is not None:
        bar = (floor.value - floor.spread, floor.value + floor.spread)
        marks.append(Mark("real images (floor)", floor.value, bar, sentences.floor_value(floor), "floor"))
    text = f"{score.value:.2f}" + (f" ({interval.low:.2f} to {interval.high:.2f})" if interval else "")
    marks.append(Mark("these images", score.value, _ends(evaluation), text, "value"))
    limit = evaluation.result(FID_INFINITY).value
    marks.append(Mark("these, N = ∞", limit, None, f"{limit:.2f}, extrapolated", "limit"))
    return scale_chart(marks, score.target)


def _ends(evaluation: Evaluation) -> tuple[float, float] | None:
    return None if evaluation.interval is None else (evaluation.interval.low, evaluation.interval.high)
