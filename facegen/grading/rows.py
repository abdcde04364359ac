"""The rows of a leaderboard: a submission, or a student who handed in none."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from facegen.grading.flags import Flag
from facegen.grading.outcome import Outcome
from facegen.scoring.score import Score

#: The other metrics of a score that have a column in the CSV and on the page.
METRICS = ("kid", "precision", "recall", "coverage")
#: Keys of a row's JSON that only some courses have.
EXTRAS = ("private_score", "points", "points_for", "attempts", "tied_with", "student_name", "submitted_at")


@dataclass(frozen=True)
class Attempt:
    """One of several submissions of a student.

    Attributes:
        outcome: what grading it found.
        counts: whether it is the one that counts.
        points: by the course's rubric, lateness included; None where there is none.
        days_late: begun days after the deadline; 0 in time, None where that is not known.
    """

    outcome: Outcome
    counts: bool
    points: float | None = None
    days_late: int | None = None

    def to_json(self) -> dict[str, Any]:
        """Its object in a row's ``attempts``."""
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
    """A tarball's line in the leaderboard.

    Attributes:
        outcome: what grading it found.
        flags: all of them, those shared with other submissions too.
        rank: 1 for the best; values that are equal as printed share a rank. None for those without a value, and for
            baselines.
        notes: what else there is to say of it, in sentences.
        tied_with: names (:attr:`name`) of those from which it cannot be told by its value.
        points: by the course's rubric; None where there is none.
        points_for: how they come about, in sentences.
        attempts: all that the student handed in, this one among them, where the course counts one of several.
        student_name: from the roster; None where it is not known.
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
        """The student number; where there is none, the file's name."""
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
        """The other metrics that were measured, of :data:`METRICS`."""
        found = {} if self.score is None else {key: self.score.metrics.get(key) for key in METRICS}
        values = {key: value.get("value") if isinstance(value, Mapping) else value for key, value in found.items()}
        return {key: float(value) for key, value in values.items() if isinstance(value, int | float)}

    def extra(self, key: str) -> Any:
        """What the row has of one of :data:`EXTRAS`, fit for JSON; None or empty where it has none."""
        if key == "private_score":
            return self.private.to_json() if self.private else None
        if key == "submitted_at":
            return self.outcome.submitted_at.isoformat() if self.outcome.submitted_at else None
        if key == "attempts":
            return [attempt.to_json() for attempt in self.attempts]
        value = getattr(self, key)
        return list(value) if isinstance(value, tuple) else value

    def to_json(self, extras: tuple[str, ...] = ()) -> dict[str, Any]:
        """The submission's object in ``leaderboard.json``, with these of :data:`EXTRAS`."""
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
    """The value as the CSV has it, where it has the most digits."""
    return f"{score.value:.4f}"
