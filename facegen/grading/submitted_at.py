"""The times at which submissions were handed in, read from a CSV of a learning platform."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime, tzinfo
from pathlib import Path

from facegen import console
from facegen.errors import InputError
from facegen.grading.found import Found, number_of, some
from facegen.grading.moments import NoMoment, placed, read_moment, shown
from facegen.grading.roster import require_unchanged
from facegen.grading.tables import NUMBERS, read_table

_FILES = ("file", "filename", "file_name", "tarball", "submission_file")
_TIMES = (
    *("submitted_at", "submission_time", "submitted", "submission_date", "time_submitted", "제출일시", "제출시간"),
    *("last_modified_submission", "timestamp", "time", "date", "created_at"),
)
#: Cells of students who handed in nothing.
_NOTHING = frozenset({"", "-", "–", "—"})
_WITH_OFFSET = "Write 2026-11-20T23:59:00+09:00, or omit the offset and add timezone = 'Asia/Seoul' to the rubric."


@dataclass(frozen=True)
class _Told:
    """A line of the table: the time of a file, or of a student's submission."""

    line: int
    file: str
    number: str
    at: datetime


def with_times(found: Sequence[Found], table: Path | None, zone: tzinfo | None) -> list[Found]:
    """Return the submissions with the times that a CSV gives.

    A time that is known from elsewhere stays if the CSV gives none. A line belongs to the file in its column
    ``file``, or to the student with its number. Case is ignored if only one submission can be meant. Lines of files
    and numbers that were not handed in lead to a warning.

    Args:
        found: All submissions.
        table: The CSV; None if there is none.
        zone: The time zone of times without an offset; None if it is not known.

    Raises:
        InputError: The table does not exist or lacks a necessary column. A time cannot be read or differs between time
            zones. A submission has two times. A line gives the number of a student who has several submissions.
    """
    known = [_placed(each, zone) for each in found]
    if table is None:
        return known
    what = f"The table of times {table}"
    told: dict[int, _Told] = {}
    unknown: list[str] = []
    for line in _read(table, what, zone):
        place = _place(line, known, what)
        if place is None:
            unknown.append(line.file or line.number)
        elif told.setdefault(place, line).at != line.at:
            raise InputError(
                f"{what} has two times for {known[place].file!r}, in lines {told[place].line} and {line.line}.",
                "Keep the right one, or give each file its own line in a column called file.",
            )
    if unknown:
        console.warn(f"{what} has times for files or students without a submission: {some(unknown)}.")
    return [replace(each, submitted_at=told[at].at) if at in told else each for at, each in enumerate(known)]


def _placed(found: Found, zone: tzinfo | None) -> Found:
    if found.submitted_at is None:
        return found
    try:
        return replace(found, submitted_at=placed(found.submitted_at, zone))
    except NoMoment as problem:
        time = shown(found.submitted_at)
        raise InputError(
            f"The time of {found.file!r}, {time}, {problem}.", 'Add timezone = "Asia/Seoul" to the rubric.'
        ) from problem


def _read(path: Path, what: str, zone: tzinfo | None) -> list[_Told]:
    table = read_table(path, what)
    file, number, time = (table.column(known) for known in (_FILES, NUMBERS, _TIMES))
    if time is None or (file is None and number is None):
        lacking = "times" if time is None else "files or student numbers"
        raise InputError(
            f"{what} has no column of {lacking} among {', '.join(map(repr, table.lines[0].cells))}.",
            "Call the columns file or student_number, and submitted_at.",
        )
    lines = []
    for line in table.lines[1:]:
        text = line.cell(time)
        if text in _NOTHING:
            continue
        try:
            at = read_moment(text, zone)
        except NoMoment as problem:
            raise InputError(
                f"Line {line.number} of {_lower(what)} has the time {text!r}, which {problem}.", _WITH_OFFSET
            ) from problem
        shown_at = at if zone is None else at.astimezone(zone)
        told = _Told(line.number, line.cell(file), line.cell(number), shown_at)
        if not told.file and not told.number:
            raise InputError(
                f"Line {line.number} of {_lower(what)} has a time but neither a file nor a student number.",
                "Add one of them, or delete the line.",
            )
        if not told.file:
            require_unchanged(told.number, line.number, what)
        lines.append(told)
    return lines


def _place(told: _Told, found: Sequence[Found], what: str) -> int | None:
    """Return the index of the submission that a line belongs to; None if there is none."""
    if told.file:
        name = told.file.replace("\\", "/").rpartition("/")[2]
        for ways in (str, str.casefold):
            places = [at for at, each in enumerate(found) if ways(each.file) == ways(name)]
            if len(places) == 1:
                return places[0]
        return None
    key = told.number.casefold()
    exact = [at for at, each in enumerate(found) if number_of(each) == told.number]
    places = [at for at, each in enumerate(found) if (number_of(each) or "").casefold() == key]
    places = exact if len(exact) == 1 else places
    if len(places) > 1:
        names = some([found[at].file for at in places])
        raise InputError(
            f"Line {told.line} of {_lower(what)} has a time for {told.number!r}, who has several submissions: {names}.",
            "Give each file its own line in a column called file.",
        )
    return places[0] if places else None


def _lower(what: str) -> str:
    return f"{what[:1].lower()}{what[1:]}"
