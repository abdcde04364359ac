"""The rows of a leaderboard: a submission, or a student who handed in none."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from facegen.grading.flags import Flag
from facegen.grading.outcome import Outcome
from facegen.scoring.score import Score


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
        """Its object among a row's ``attempts`` in ``leaderboard.json``."""
        outcome, score = self.outcome, self.outcome.graded.score if self.outcome.graded else None
        return {
            "file": outcome.file,
            "sha256": outcome.sha256,
            "status": outcome.status,
            "reason": outcome.rejection.code.value if outcome.rejection else None,
            "value": score.value if score else None,
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
        return self.outcome.student_number or self.outcome.file

    @property
    def private(self) -> Score | None:
        return self.outcome.graded.private if self.outcome.graded else None

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
            "student_name": self.student_name,
            "file": outcome.file,
            "sha256": outcome.sha256,
            "submitted_at": outcome.submitted_at.isoformat() if outcome.submitted_at else None,
            "status": outcome.status,
            "reason": rejection.code.value if rejection else None,
            "message": rejection.message if rejection else None,
            "remedy": rejection.remedy if rejection else None,
            "score": self.score.to_json() if self.score else None,
            "rank": self.rank,
            "passed": self.passed,
            "points": self.points,
            "points_for": list(self.points_for),
            "attempts": [attempt.to_json() for attempt in self.attempts],
            "flags": [flag.name for flag in self.flags],
            "details": details,
            "notes": list(self.notes),
        }


def printed(score: Score) -> str:
    """The value as the CSV has it, where it has the most digits."""
    return f"{score.value:.4f}"
