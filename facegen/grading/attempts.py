"""Several submissions of one student: which of them counts."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timezone

from facegen.errors import InputError
from facegen.grading.found import Found, number_of, some
from facegen.grading.outcome import Outcome

#: What ``--policy`` takes.
POLICIES = ("latest", "best")
_LONG_AGO = datetime.min.replace(tzinfo=timezone.utc)


@dataclass(frozen=True)
class Handed:
    """All that one student handed in.

    Attributes:
        counts: the attempt that counts.
        attempts: all of them, that one too: by time, those without one first, then by file name.
        notes: why another than the policy's own word is taken, in sentences.
    """

    counts: Outcome
    attempts: tuple[Outcome, ...]
    notes: tuple[str, ...] = ()


def require_times(found: Sequence[Found]) -> None:
    """InputError where ``latest`` cannot be told: a student's several submissions lack times, or two have the same."""
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
                f"Which of {names} is the latest cannot be told: when {lacking} was handed in is not known.",
                "Name its time in --submitted-at, or use --policy best.",
            )
        if len({each.submitted_at for each in files}) < len(files):
            raise InputError(
                f"Which of {names} is the latest cannot be told: two were handed in at the same time.",
                "Leave one of them out, or use --policy best.",
            )


def by_student(outcomes: Sequence[Outcome], policy: str, merit: Callable[[Outcome], tuple[float, ...]]) -> list[Handed]:
    """Outcomes by student, numbers in upper and lower case counting as one; a file without a number is by itself.

    A rejected submission counts only where the student has no graded one: under ``latest``, the latest of those that
    could be graded counts then, and a note says so. Under ``best``, that of the greatest merit counts; of equal ones
    the earliest, then the first by file name.

    Args:
        outcomes: all of them.
        policy: ``"latest"``, with which the times of a student's several submissions are known, or ``"best"``.
        merit: what a graded outcome is worth, compared as tuples are: greater is better.
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
    note = f"The latest submission, {latest.file!r}, was rejected, so the latest that could be graded counts."
    return Handed(graded[-1], tuple(attempts), (note,))


def _when(outcome: Outcome) -> tuple[datetime, str]:
    return outcome.submitted_at or _LONG_AGO, outcome.file
