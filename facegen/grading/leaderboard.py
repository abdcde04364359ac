"""Outcomes become rows: ranked, compared with one another, and rendered as JSON, CSV and HTML."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from facegen import console
from facegen.grading.fingerprints import find_matches
from facegen.grading.flags import Flag, SharedImages, shared_flags_of
from facegen.grading.grader import GradedSubmission, Outcome
from facegen.metrics.phash import NEAR
from facegen.printable import printable
from facegen.scoring.score import Score

SCHEMA = 1
_COLUMNS = (
    "rank",
    "student_number",
    "file",
    "status",
    "reason",
    "message",
    "metric",
    "extractor",
    "value",
    "n",
    "passed",
    "flags",
    "sha256",
)
#: A cell that starts so is run as a formula by spreadsheets; East Asian ones know the wide signs too.
_FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n", "＝", "＋", "－", "＠")


@dataclass(frozen=True)
class LeaderboardRow:
    """A tarball's line in the leaderboard.

    Attributes:
        outcome: what grading it found.
        flags: all of them, those shared with other submissions too.
        rank: 1 for the best; equal values share a rank. None for the rejected.
        notes: what else there is to say of it, in sentences.
    """

    outcome: Outcome
    flags: tuple[Flag, ...] = ()
    rank: int | None = None
    notes: tuple[str, ...] = ()

    @property
    def score(self) -> Score | None:
        return self.outcome.graded.score if self.outcome.graded else None

    @property
    def passed(self) -> bool | None:
        return self.score.passed if self.score else None

    def to_json(self) -> dict[str, Any]:
        """The submission's object in ``leaderboard.json``."""
        outcome, rejection = self.outcome, self.outcome.rejection
        details = {flag.name: {"message": flag.message, **flag.details} for flag in self.flags}
        return {
            "student_number": outcome.student_number,
            "file": outcome.file,
            "sha256": outcome.sha256,
            "status": "rejected" if rejection else "graded",
            "reason": rejection.code.value if rejection else None,
            "message": rejection.message if rejection else None,
            "remedy": rejection.remedy if rejection else None,
            "score": self.score.to_json() if self.score else None,
            "rank": self.rank,
            "passed": self.passed,
            "flags": [flag.name for flag in self.flags],
            "details": details,
            "notes": list(self.notes),
        }


@dataclass(frozen=True)
class Leaderboard:
    """All rows in order, and what they were measured against.

    Attributes:
        rows: the graded by rising value, then the rejected by file name.
        reference: ``name``, ``n`` (None where it is unknown) and ``sha256`` of the reference.
        description: the measure in words.
        target: the value to stay below; None where there is none.
        notice: what the whole class should know of the measure; None where there is nothing.
    """

    rows: tuple[LeaderboardRow, ...]
    reference: dict[str, Any]
    description: str
    target: float | None
    notice: str | None = None

    @property
    def graded(self) -> tuple[LeaderboardRow, ...]:
        return tuple(row for row in self.rows if row.rank is not None)

    @property
    def rejected(self) -> tuple[LeaderboardRow, ...]:
        return tuple(row for row in self.rows if row.rank is None)

    def to_json(self) -> dict[str, Any]:
        """The object of ``leaderboard.json`` and ``facegen grade --json``."""
        return {
            "schema": SCHEMA,
            "reference": self.reference,
            "measure": self.description,
            "target": self.target,
            "notice": self.notice,
            "submissions": [row.to_json() for row in self.rows],
        }

    def to_csv(self) -> str:
        """A table for spreadsheets; no cell of it can run as a formula, and all that is in it can be seen."""
        table = io.StringIO()
        writer = csv.writer(table, lineterminator="\n")
        writer.writerow(_COLUMNS)
        for row in self.rows:
            outcome, score, rejection = row.outcome, row.score, row.outcome.rejection
            cells = [
                row.rank,
                outcome.student_number,
                outcome.file,
                "rejected" if rejection else "graded",
                rejection.code.value if rejection else None,
                rejection.message if rejection else None,
                score.metric if score else None,
                score.extractor if score else None,
                f"{score.value:.4f}" if score else None,
                score.n if score else None,
                {True: "yes", False: "no", None: None}[row.passed],
                " ".join(flag.name for flag in row.flags),
                outcome.sha256,
            ]
            writer.writerow(["" if cell is None else _guarded(str(cell)) for cell in cells])
        return table.getvalue()

    def to_html(self) -> str:
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
        values = sorted(row.score.value for row in self.graded if row.score)
        middle = len(values) // 2
        median = (
            None if not values else values[middle] if len(values) % 2 else (values[middle - 1] + values[middle]) / 2
        )
        return templates.get_template("leaderboard.html").render(
            board=self,
            passed=sum(row.passed is True for row in self.rows),
            flagged=sum(bool(row.flags) for row in self.rows),
            best=values[0] if values else None,
            median=median,
            label=next((row.score.label for row in self.graded if row.score), "score"),
            flattered=sum(row.score.flattery is not None for row in self.graded if row.score),
            is_fid=all(row.score.metric == "fid" for row in self.graded if row.score),
            scale=max(values, default=1.0) or 1.0,
            near=NEAR,
        )


def rank(outcomes: Sequence[Outcome]) -> tuple[LeaderboardRow, ...]:
    """Rows in the leaderboard's order: the graded by rising value, ties sharing a rank, then the rejected by name."""
    graded = sorted(
        ((outcome, outcome.graded) for outcome in outcomes if outcome.graded),
        key=lambda pair: (pair[1].score.value, pair[0].file),
    )
    rows: list[LeaderboardRow] = []
    shared = _shared_images(graded)
    for place, (outcome, found) in enumerate(graded, start=1):
        tied = bool(rows) and rows[-1].score is not None and rows[-1].score.value == found.score.value
        flags, broken = shared_flags_of(shared[place - 1])
        for sentence in broken:
            console.warn(f"{outcome.file}: {sentence}")
        rows.append(
            LeaderboardRow(outcome, (*found.flags, *flags), rows[-1].rank if tied else place, (*found.notes, *broken))
        )
    rejected = sorted((outcome for outcome in outcomes if outcome.rejection), key=lambda outcome: outcome.file)
    return (*rows, *map(LeaderboardRow, rejected))


def _shared_images(graded: Sequence[tuple[Outcome, GradedSubmission]]) -> list[list[SharedImages]]:
    """For each graded submission those others that have some of its images, in their order."""
    shared: list[list[SharedImages]] = [[] for _ in graded]
    for i, (outcome, found) in enumerate(graded):
        for j, (other_outcome, other) in enumerate(graded[:i]):
            matches = find_matches(found.fingerprints, other.fingerprints)
            if not len(matches.found):
                continue
            back = find_matches(other.fingerprints, found.fingerprints)
            shared[i].append(SharedImages(found.names, str(other_outcome.student_number), other.names, matches))
            shared[j].append(SharedImages(other.names, str(outcome.student_number), found.names, back))
    return shared


def _guarded(cell: str) -> str:
    """``cell`` fit to be seen, and behind a ' where a spreadsheet would run it."""
    return f"'{printable(cell)}" if cell.lstrip().startswith(_FORMULA) or cell.startswith(_FORMULA) else printable(cell)
