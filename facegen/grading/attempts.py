"""The rule that decides which of several submissions of one student counts."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timezone

from facegen.errors import InputError
from facegen.grading.found import Found, number_of, some
from facegen.grading.outcome import Outcome

#: The values of ``--policy``.
POLICIES = ("latest", "best")
_LONG_AGO = datetime.min.replace(tzinfo=timezone.utc)


@dataclass(frozen=True)
class Handed:
    """Everything that one student handed in.

    Attributes:
        counts: The attempt that counts.
        attempts: All attempts, including the one that counts. They are sorted by time, then by file name. Attempts
            without a time come first.
        notes: Sentences that explain why the attempt that counts is not the one that the policy names.
    """

    counts: Outcome
    attempts: tuple[Outcome, ...]
    notes: tuple[str, ...] = ()


def require_times(found: Sequence[Found]) -> None:
    """Raise InputError if the latest submission of a student cannot be determined.

    This is so if a student has several submissions and one of them lacks a time, or two have the same time.
    """
    students: dict[str, list[Found]] = {}
    for each in found:
        if (number := number_of(each)) is not None:
            students.setdefault(number.casefold(), []).append(each)
    for files in students.values():
        if len(files) < 2:
            continue
        names = some([each.file for each in files])
        if any(each.submitted_at is None for each in files):
            lacking = some([each.file for each in files if each.submitted_at is None])
            raise InputError(
                f"Cannot tell which of {names} is the latest: the time at which {lacking} was handed in is not known.",
                "Give its time in the --submitted-at file, or use --policy best.",
            )
        if len({each.submitted_at for each in files}) < len(files):
            raise InputError(
                f"Cannot tell which of {names} is the latest: two were handed in at the same time.",
                "Remove one of them, or use --policy best.",
            )


def by_student(outcomes: Sequence[Outcome], policy: str, merit: Callable[[Outcome], tuple[float, ...]]) -> list[Handed]:
    """Group outcomes by student and choose the one that counts for each.

    Student numbers are compared without regard to upper and lower case. A file without a number is a group by itself.
    A rejected submission counts only if the student has no graded one. Under ``latest``, the latest graded submission
    counts in that case, and a note says so. Under ``best``, the submission with the greatest merit counts. Among equal
    ones the earliest counts, then the first by file name.

    Args:
        outcomes: All outcomes.
        policy: ``"latest"`` or ``"best"``. For ``"latest"``, the times of a student's several submissions must be
            known (:func:`require_times`).
        merit: Returns the worth of a graded outcome as a tuple. The greater tuple is better.
    """
    students: dict[tuple[bool, str], list[Outcome]] = {}
    for outcome in outcomes:
        whose = outcome.student_number
        students.setdefault((whose is None, (whose or outcome.file).casefold()), []).append(outcome)
    return [_handed(sorted(files, key=_when), policy, merit) for files in students.values()]


def _handed(attempts: list[Outcome], policy: str, merit: Callable[[Outcome], tuple[float, ...]]) -> Handed:
    graded = [each for each in attempts if each.graded is not None]
    if policy == "best":
        ordered = sorted(graded, key=lambda each: (each.submitted_at is None, *_when(each)))
        return Handed(max(ordered, key=merit) if ordered else attempts[-1], tuple(attempts))
    latest = attempts[-1]
    if latest.graded is not None or not graded:
        return Handed(latest, tuple(attempts))
    note = f"The latest submission, {latest.file!r}, was rejected, so the latest one that could be graded counts."
    return Handed(graded[-1], tuple(attempts), (note,))


def _when(outcome: Outcome) -> tuple[datetime, str]:
    return outcome.submitted_at or _LONG_AGO, outcome.file
