"""The rules of a course: its roster, the times of submissions, which attempt counts, and how many points it earns."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from facegen import console
from facegen.errors import InputError
from facegen.grading.attempts import POLICIES, Handed, by_student, require_times
from facegen.grading.found import Found, number_of, some
from facegen.grading.outcome import Outcome
from facegen.grading.roster import Roster, read_roster
from facegen.grading.rows import Attempt, LeaderboardRow
from facegen.grading.rubric import Award, Rubric, read_rubric
from facegen.grading.submitted_at import with_times


@dataclass(frozen=True)
class Course:
    """The rules of a course. A rule is None if the course does not have it.

    Attributes:
        rubric: The rubric that gives points to a submission.
        roster: The list of students who should hand in.
        times: The CSV with the times at which submissions were handed in.
        policy: Which submission of a student counts, ``"latest"`` or ``"best"``. With None, each gets a row of its own.
        ranked_by: The value that decides the ranks, ``"public"`` or ``"private"``. It also earns the points unless the
            rubric names the other one.
    """

    rubric: Rubric | None = None
    roster: Roster | None = None
    times: Path | None = None
    policy: str | None = None
    ranked_by: str = "public"

    def dated(self, found: Sequence[Found]) -> list[Found]:
        """Return the submissions with the times at which they were handed in, as far as the times are known.

        This runs before the hours of grading, so that missing information is reported at once.

        Raises:
            InputError: The table of times cannot be used (:func:`facegen.grading.submitted_at.with_times`), or the
                policy cannot be followed.
        """
        dated = with_times(found, self.times, None if self.rubric is None else self.rubric.zone)
        if self.policy == "latest":
            require_times(dated)
        if self.rubric is not None and self.rubric.late is not None:
            if without := [each.file for each in dated if each.submitted_at is None]:
                console.warn(
                    f"The times of these submissions are not known, so they lose no points for lateness: "
                    f"{some(without)}. Give their times in the --submitted-at file."
                )
            known = {number.casefold() for each in dated if (number := number_of(each)) is not None}
            known |= set(() if self.roster is None else self.roster.students)
            if unknown := [number for number in self.rubric.late.extensions or {} if number not in known]:
                console.warn(
                    f"The rubric extends the deadline for student numbers that no submission or roster has: "
                    f"{some(unknown)}. Check these numbers in the rubric."
                )
        return dated

    def counting(self, outcomes: Sequence[Outcome]) -> tuple[list[Outcome], list[Outcome]]:
        """Return the outcomes that count, which get a row each, and the other attempts of the same students."""
        if self.policy is None:
            return list(outcomes), []
        handed = self._handed(outcomes)
        counting = [each.counts for each in handed]
        return counting, [other for each in handed for other in each.attempts if other is not each.counts]

    def completed(self, rows: Sequence[LeaderboardRow], outcomes: Sequence[Outcome]) -> tuple[LeaderboardRow, ...]:
        """Return the rows with points, attempts and names, followed by rows for the missing students.

        Args:
            rows: The ranked rows of the outcomes that count.
            outcomes: All outcomes, including those that do not count.
        """
        handed = {} if self.policy is None else {each.counts.file: each for each in self._handed(outcomes)}
        complete = [self._with_attempts(self.with_points(row), handed.get(row.outcome.file)) for row in rows]
        if self.roster is None:
            return tuple(complete)
        numbers = [outcome.student_number for outcome in outcomes]
        absent = self.roster.missing(numbers)
        strangers = {
            number: self.roster.stranger(number, absent)
            for number in sorted({number for number in numbers if number and self.roster.find(number) is None})
        }
        for sentence in strangers.values():
            console.warn(sentence)
        known = []
        for row in complete:
            student, strange = (
                self.roster.find(row.outcome.student_number),
                strangers.get(row.outcome.student_number or ""),
            )
            notes = row.notes if strange is None else (*row.notes, strange)
            known.append(replace(row, student_name=student.name if student else None, notes=notes))
        missing = [LeaderboardRow(Outcome("", each.number, None), student_name=each.name) for each in absent]
        return (*known, *map(self.with_points, missing))

    def with_points(self, row: LeaderboardRow) -> LeaderboardRow:
        """Return a row with the points that the rubric gives it, and the reasons for them."""
        award = self._award(row.outcome)
        if award is None:
            return row
        return replace(row, points=award.points, points_for=award.reasons, notes=(*row.notes, *award.notes))

    def baseline_rows(self, outcomes: Sequence[Outcome]) -> tuple[LeaderboardRow, ...]:
        """Return rows for the baselines.

        They have no rank, and the points that they would earn if handed in on time.
        """
        timeless = self if self.rubric is None else replace(self, rubric=replace(self.rubric, late=None))
        return tuple(
            timeless.with_points(LeaderboardRow(outcome, notes=outcome.graded.notes if outcome.graded else ()))
            for outcome in outcomes
        )

    def _with_attempts(self, row: LeaderboardRow, handed: Handed | None) -> LeaderboardRow:
        if handed is None:
            return row
        attempts = []
        for outcome in handed.attempts:
            counts = outcome.file == row.outcome.file
            outcome = row.outcome if counts else outcome  # the row may have the value of the same images elsewhere
            award = self._award(outcome)
            attempts.append(
                Attempt(outcome, counts, award.points, award.days_late) if award else Attempt(outcome, counts)
            )
        return replace(row, attempts=tuple(attempts), notes=(*row.notes, *handed.notes))

    def _award(self, outcome: Outcome) -> Award | None:
        return None if self.rubric is None else self.rubric.award(outcome, self.ranked_by)

    def _handed(self, outcomes: Sequence[Outcome]) -> list[Handed]:
        def merit(outcome: Outcome) -> tuple[float, ...]:
            assert outcome.graded is not None
            score = outcome.graded.private if self.ranked_by == "private" else outcome.graded.score
            value = (outcome.graded.score if score is None else score).value
            award = self._award(outcome)
            return (-value,) if award is None else (award.points, -value)

        return by_student(outcomes, str(self.policy), merit)


def open_course(
    points: Path | None,
    roster: Path | None,
    submitted_at: Path | None,
    policy: str | None,
    *,
    has_private: bool = False,
    ranked_by: str = "public",
) -> Course:
    """Read the rules of a course.

    Args:
        points: The rubric, a TOML file.
        roster, submitted_at: The roster and the times of submissions, CSV files.
        policy: ``"latest"``, ``"best"`` or None.
        has_private: Whether submissions are also measured against a private reference.
        ranked_by: The value that decides the ranks, ``"public"`` or ``"private"``.

    Raises:
        InputError: A file cannot be used, or a rule cannot be applied.
    """
    if policy is not None and policy not in POLICIES:
        raise InputError(f"There is no policy {policy!r}.", f"Use one of: {', '.join(POLICIES)}.")
    rubric = None if points is None else read_rubric(points)
    if rubric is not None and rubric.value == "private" and not has_private:
        raise InputError(
            f"The rubric {points} gives points for the private value, but there is no private reference.",
            "Name one with --private-reference, or remove 'value' from the rubric.",
        )
    return Course(rubric, None if roster is None else read_roster(roster), submitted_at, policy, ranked_by)
