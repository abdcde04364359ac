"""The leaderboard as an HTML page. The page is self-contained and runs only its own script."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import cache
from typing import TYPE_CHECKING, Any

from facegen.grading.charts import Axis, Scale, axis_of, histogram_of, scale_of
from facegen.grading.evidence import MOST_FLAGS, Album, ShownRow
from facegen.grading.rows import METRICS, LeaderboardRow
from facegen.language import current, template_in
from facegen.metrics.phash import NEAR
from facegen.pages import templates_of
from facegen.printable import printable
from facegen.scoring.score import Score

if TYPE_CHECKING:
    from jinja2 import Environment
    from markupsafe import Markup

    from facegen.grading.leaderboard import Leaderboard


@dataclass(frozen=True)
class Entry:
    """A row of the page.

    Attributes:
        row: The row of the leaderboard.
        kind: ``"graded"``, ``"rejected"``, ``"missing"`` or ``"baseline"``.
        place: The rank in words: ``"4"``, or ``"=3"`` if others share it; "" without a rank.
        scale: The value on the axis of the class; None without a value.
        shown: The pictures and flags.
        keys: Attributes by which the page's script sorts and filters.
    """

    row: LeaderboardRow
    kind: str
    place: str
    scale: Scale | None
    shown: ShownRow
    keys: Mapping[str, str]


@dataclass(frozen=True)
class Columns:
    """Which optional columns the page has."""

    private: bool
    metrics: tuple[str, ...]
    points: bool
    flags: bool
    strips: bool
    names: bool

    @property
    def count(self) -> int:
        """Number of all columns, including those of every page: rank, student, scale, value, and the button."""
        return 5 + self.private + len(self.metrics) + self.points + self.flags + self.strips


def render(board: Leaderboard, album: Album | None = None, *, for_class: bool = False) -> str:
    """Return a self-contained page: styles, script and pictures are inside, and nothing is fetched.

    Args:
        board: The leaderboard. Its rows are shown in order, with the baselines among them by value.
        album: The pictures. Without an album, no known images are shown beside a submission's images.
        for_class: Whether to word the page for students. They may see no more than
            :func:`facegen.grading.anonymous.for_class` leaves in ``board``.
    """
    rows = _with_baselines(board)
    scores = [row.score for row in board.graded if row.score]
    values = sorted(score.value for score in scores)
    floor = next((score.floor for score in scores if score.floor is not None), None)
    marks = [mark for mark in (floor, board.target) if mark is not None]
    axis = axis_of(values, marks)
    entries = _entries(board, rows, axis, (album or Album()).shown(rows))
    columns = Columns(
        any(row.private for row in rows),
        tuple(key for key in METRICS if any(key in row.metrics for row in rows)),
        any(row.points is not None for row in rows),
        any(row.flags for row in rows),
        any(entry.shown.strip for entry in entries),
        any(row.student_name for row in rows),
    )
    return page_of(
        "leaderboard.html",
        board=board,
        entries=entries,
        columns=columns,
        for_class=for_class,
        counts={
            "all": len(board.rows),
            "passed": sum(row.passed is True for row in board.rows),
            "failed": sum(row.passed is False for row in board.rows),
            "flagged": sum(bool(row.flags) for row in board.rows),
            "rejected": len(board.rejected),
            "missing": len(board.missing),
        },
        best=values[0] if values else None,
        median=median_of(values),
        floor=floor,
        label=scores[0].label if scores else "score",
        flattered=sum(score.flattery is not None for score in scores),
        is_fid=all(score.metric == "fid" for score in scores),
        histogram=histogram_of(axis, values, board.target),
        baselines=[(axis.at(row.score.value), row) for row in board.baselines if row.score],
        near=NEAR,
        most_flags=MOST_FLAGS,
        translate=_filled,  # this page is in English, and so are the drawings that it shares with feedback
    )


def page_of(template: str, **words: Any) -> str:
    """Fill in a template of this package. All text is escaped and has visible characters only.

    The page's Content-Security-Policy names its style and its script by their SHA-256, so a browser runs nothing else.
    """
    return _templates().get_template(template).render(**words)


@cache
def _templates() -> Environment:
    templates = templates_of("facegen.grading")
    templates.filters.update(
        when=_when, fixed=_fixed, flag_words=lambda name: str(name).replace("_", " ").replace(":", " ")
    )
    templates.globals.update(language=current, translate=_translated, translate_count=_translated_count)
    return templates


def _translated(template: str, /, **fields: Any) -> Markup:
    return _filled(template_in(current(), template), **fields)


def _translated_count(one: str, many: str, count: int, /, **fields: Any) -> Markup:
    return _filled(template_in(current(), one, many, count), count=count, **fields)


def _filled(template: str, /, **fields: Any) -> Markup:
    """Fill in a template of a page, whose values are escaped and made fit to be seen."""
    from markupsafe import Markup

    shown = {name: printable(value) if isinstance(value, str) else value for name, value in fields.items()}
    return Markup(template).format(**shown)


def median_of(values: Sequence[float]) -> float | None:
    """Return the median of rising values; None if there are none."""
    middle = len(values) // 2
    if not values:
        return None
    return values[middle] if len(values) % 2 else (values[middle - 1] + values[middle]) / 2


def place_of(row: LeaderboardRow, shared: Mapping[int, int]) -> str:
    """Return the rank of a row in words, as in :attr:`Entry.place`. ``shared`` comes from :func:`sharing`."""
    if row.rank is None:
        return ""
    return f"={row.rank}" if shared[row.rank] > 1 else str(row.rank)


def sharing(rows: Sequence[LeaderboardRow]) -> dict[int, int]:
    """Return the number of rows that have each rank."""
    return dict(Counter(row.rank for row in rows if row.rank is not None))


def _with_baselines(board: Leaderboard) -> list[LeaderboardRow]:
    """Return the rows with each baseline inserted before the first row that is worse."""
    rows = list(board.rows)
    for baseline in board.baselines:
        worse = (at for at, row in enumerate(rows) if not _is_better(row, baseline, board.ranked_by))
        rows.insert(next(worse, len(rows)), baseline)
    return rows


def _is_better(row: LeaderboardRow, baseline: LeaderboardRow, ranked_by: str) -> bool:
    one, other = ((each.private if ranked_by == "private" else each.score) for each in (row, baseline))
    return one is not None and (other is None or one.value <= other.value)


def scale_of_score(axis: Axis, score: Score) -> Scale:
    """Return the marks of a score on the axis of the class."""
    return scale_of(axis, score.value, score.interval95, score.floor, score.target)


def _entries(board: Leaderboard, rows: Sequence[LeaderboardRow], axis: Axis, shown: Sequence[ShownRow]) -> list[Entry]:
    shared = sharing(board.rows)
    baselines = {id(row) for row in board.baselines}
    entries = []
    for row, pictures in zip(rows, shown, strict=True):
        kind = "baseline" if id(row) in baselines else row.outcome.status
        score = row.score
        scale = scale_of_score(axis, score) if score else None
        entries.append(Entry(row, kind, place_of(row, shared), scale, pictures, _keys(row, kind)))
    return entries


def _keys(row: LeaderboardRow, kind: str) -> dict[str, str]:
    """Return the attributes of an entry. Numbers have all digits, because equal printed values may differ."""
    rejection = row.outcome.rejection
    words = (
        row.outcome.student_number,
        row.student_name,
        row.outcome.file,
        *(flag.name.replace("_", " ").replace(":", " ") for flag in row.flags),
        rejection and rejection.code.value.replace("_", " "),
        kind if kind != "graded" else None,
    )
    states = [kind] + [word for word, has in (("flagged", row.flags), ("passed", row.passed)) if has]
    if row.passed is False:
        states.append("failed")
    numbers = {
        "rank": row.rank,
        "value": row.score and row.score.value,
        "private": row.private and row.private.value,
        **row.metrics,
        "points": row.points,
        "flags": len(row.flags) or None,
    }
    return {
        "search": " ".join(word for word in words if word).lower(),
        "state": " ".join(states if kind != "baseline" else ["baseline"]),
        "student": row.name,
        **{key: repr(value) for key, value in numbers.items() if value is not None},
    }


def _when(at: datetime) -> str:
    """Format a time to the minute, with its offset if it has one."""
    return at.strftime("%Y-%m-%d %H:%M %z").rstrip()


def _fixed(value: float, digits: int = 2) -> str:
    return f"{value:,.{digits}f}"
