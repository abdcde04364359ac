"""The rows of a leaderboard: a submission, or a student who handed in nothing."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from facegen.grading.flags import Flag
from facegen.grading.outcome import Outcome
from facegen.scoring.score import Score

#: The further metrics of a score that have a column in the CSV and on the page.
METRICS = ("kid", "precision", "recall", "coverage")
#: Keys of a row's JSON that only some courses have.
EXTRAS = ("private_score", "points", "points_for", "attempts", "tied_with", "student_name", "submitted_at")


@dataclass(frozen=True)
class Attempt:
    """One of several submissions of a student.

    Attributes:
        outcome: The outcome of grading it.
        counts: Whether this attempt counts.
        points: The points by the course's rubric, lateness included; None without a rubric.
        days_late: The number of days begun after the deadline; 0 if in time, None if that is not known.
    """

    outcome: Outcome
    counts: bool
    points: float | None = None
    days_late: int | None = None

    def to_json(self) -> dict[str, Any]:
        """Return its object in a row's ``attempts``."""
        outcome, graded, rejection = self.outcome, self.outcome.graded, self.outcome.rejection
        return {
            "file": outcome.file,
            "sha256": outcome.sha256,
            "status": outcome.status,
            "reason": rejection.code.value if rejection else None,
            "value": graded.score.value if graded else None,
            "private_value": graded.private.value if graded and graded.private else None,
            "submitted_at": outcome.submitted_at.isoformat() if outcome.submitted_at else None,
            "days_late": self.days_late,
            "points": self.points,
            "counts": self.counts,
        }


@dataclass(frozen=True)
class LeaderboardRow:
    """A row of the leaderboard.

    Attributes:
        outcome: The outcome of grading the submission.
        flags: All flags, including those for images shared with other submissions.
        rank: The rank, 1 for the best. Values that are equal as printed share a rank. None for a row without a value
            and for a baseline.
        notes: Further remarks, in sentences.
        tied_with: The names (:attr:`name`) of the rows that cannot be told apart from this one by their values.
        points: The points by the course's rubric; None without a rubric.
        points_for: The reasons for the points, in sentences.
        attempts: Everything that the student handed in, including this submission, if the course counts one of several.
        student_name: The name from the roster; None if it is not known.
    """

    outcome: Outcome
    flags: tuple[Flag, ...] = ()
    rank: int | None = None
    notes: tuple[str, ...] = ()
    tied_with: tuple[str, ...] = ()
    points: float | None = None
    points_for: tuple[str, ...] = ()
    attempts: tuple[Attempt, ...] = ()
    student_name: str | None = None

    @property
    def name(self) -> str:
        """The student number, or the file's name if there is no number."""
        return self.outcome.name

    @property
    def private(self) -> Score | None:
        return self.outcome.graded.private if self.outcome.graded else None

    @property
    def score(self) -> Score | None:
        return self.outcome.graded.score if self.outcome.graded else None

    @property
    def passed(self) -> bool | None:
        return self.score.passed if self.score else None

    @property
    def metrics(self) -> dict[str, float]:
        """The values of :data:`METRICS` that were measured."""
        found = {} if self.score is None else {key: self.score.metrics.get(key) for key in METRICS}
        values = {key: value.get("value") if isinstance(value, Mapping) else value for key, value in found.items()}
        return {key: float(value) for key, value in values.items() if isinstance(value, int | float)}

    def extra(self, key: str) -> Any:
        """Return the row's value of one of :data:`EXTRAS`, ready for JSON; None or empty if the row has none."""
        if key == "private_score":
            return self.private.to_json() if self.private else None
        if key == "submitted_at":
            return self.outcome.submitted_at.isoformat() if self.outcome.submitted_at else None
        if key == "attempts":
            return [attempt.to_json() for attempt in self.attempts]
        value = getattr(self, key)
        return list(value) if isinstance(value, tuple) else value

    def to_json(self, extras: tuple[str, ...] = ()) -> dict[str, Any]:
        """Return the submission's object in ``leaderboard.json``, with the given keys of :data:`EXTRAS`."""
        outcome, rejection = self.outcome, self.outcome.rejection
        details = {flag.name: {"message": flag.message, **flag.details} for flag in self.flags}
        return {
            "student_number": outcome.student_number,
            "file": outcome.file,
            "sha256": outcome.sha256,
            "status": outcome.status,
            "reason": rejection.code.value if rejection else None,
            "message": rejection.message if rejection else None,
            "remedy": rejection.remedy if rejection else None,
            "score": self.score.to_json() if self.score else None,
            "rank": self.rank,
            "passed": self.passed,
            "flags": [flag.name for flag in self.flags],
            "details": details,
            "notes": list(self.notes),
            **{key: self.extra(key) for key in extras},
        }


def printed(score: Score) -> str:
    """Format a value as in the CSV, which has the most digits."""
    return f"{score.value:.4f}"
