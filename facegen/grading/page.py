"""The leaderboard as a page."""

from __future__ import annotations

from typing import TYPE_CHECKING

from facegen.metrics.phash import NEAR
from facegen.printable import printable

if TYPE_CHECKING:
    from facegen.grading.leaderboard import Leaderboard


def render(board: Leaderboard) -> str:
    """A page that stands alone: styles and contact sheets are in it, and nothing is fetched."""
    from jinja2 import Environment, PackageLoader, StrictUndefined

    templates = Environment(
        loader=PackageLoader("facegen.grading"),
        autoescape=True,
        undefined=StrictUndefined,
        finalize=lambda value: printable(value) if isinstance(value, str) else value,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    values = sorted(row.score.value for row in board.graded if row.score)
    middle = len(values) // 2
    median = None if not values else values[middle] if len(values) % 2 else (values[middle - 1] + values[middle]) / 2
    return templates.get_template("leaderboard.html").render(
        board=board,
        passed=sum(row.passed is True for row in board.rows),
        flagged=sum(bool(row.flags) for row in board.rows),
        best=values[0] if values else None,
        median=median,
        label=next((row.score.label for row in board.graded if row.score), "score"),
        flattered=sum(row.score.flattery is not None for row in board.graded if row.score),
        is_fid=all(row.score.metric == "fid" for row in board.graded if row.score),
        scale=max(values, default=1.0) or 1.0,
        near=NEAR,
    )
