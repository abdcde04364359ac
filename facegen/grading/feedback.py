"""Feedback pages: one page for each student, with the student's own row in words and nothing about anyone else."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from facegen import console
from facegen.data.litter import came_by_itself
from facegen.errors import InputError
from facegen.files import atomic_folder, open_regular, require_folder_place
from facegen.grading.charts import Axis, axis_of, histogram_of
from facegen.grading.evidence import Album, ShownRow
from facegen.grading.flags import FLAGS, Flag
from facegen.grading.flags.copies import SHARED_WITH
from facegen.grading.leaderboard import Leaderboard
from facegen.grading.page import median_of, page_of, place_of, scale_of_score, sharing
from facegen.grading.rows import LeaderboardRow
from facegen.language import translate_count
from facegen.submission.rules import check_student_number

#: The mark of a feedback page, and the bytes in which it is searched for. A folder with other files is not replaced.
_MARK, _HEAD = b'<meta name="generator" content="facegen feedback">', 4096
#: Minimum number of values for a histogram. With fewer values, a bar could be recognized as one student.
_FEWEST_SHOWN = 10


def require_feedback_place(folder: Path, out: Path) -> None:
    """Check that pages may be written into ``folder``. This runs before grading.

    Raises:
        InputError: The folder holds files other than earlier feedback, or the grades folder ``out`` is inside it.
        OSError: The folder cannot be written.
    """
    require_folder_place(folder)
    here, grades = folder.resolve(), out.resolve()
    if here == grades or here in grades.parents:
        raise InputError(f"Feedback would replace {folder}, which holds the grades.", "Choose a folder of its own.")
    for entry in sorted(folder.iterdir()) if folder.is_dir() else ():
        if not came_by_itself(entry.name) and not _is_ours(entry):
            raise InputError(f"{folder} holds {entry.name!r}, which is not feedback.", "Choose another folder.")


def write_feedback(
    board: Leaderboard,
    folder: Path,
    album: Album | None = None,
    called: Mapping[str, str] | None = None,
) -> int:
    """Write ``<student_number>.html`` for each student into ``folder`` and return the number of pages.

    The folder is replaced. A file without a student number gets no page. If two numbers differ only in upper and lower
    case, which some file systems do not distinguish, eight digits are added to each file name.

    Args:
        board: The leaderboard with all rows.
        folder: The folder to write; check it with :func:`require_feedback_place`.
        album: The pictures. Without an album, no known images are shown beside a student's images.
        called: The pseudonym of each student, by the row's name, if the class has a leaderboard of its own.
    """
    rows = [row for row in board.rows if _may_name_a_file(row.outcome.student_number)]
    shown = (album or Album()).shown([replace(row, flags=for_student(row.flags)) for row in rows])
    values = sorted(row.score.value for row in board.graded if row.score)
    floor = next((row.score.floor for row in board.graded if row.score and row.score.floor is not None), None)
    axis = axis_of(values, [mark for mark in (floor, board.target) if mark is not None])
    class_words = {
        "target": board.target,
        "floor": floor,
        "median": median_of(values),
        "of": len(board.graded),
        "measure": board.description,
        "ranked_by": board.ranked_by,
        "histogram": histogram_of(axis, values, board.target) if len(values) >= _FEWEST_SHOWN else None,
    }
    shared = sharing(board.rows)
    with atomic_folder(folder) as temporary:
        for name, row, pictures in zip(file_names(rows), rows, shown, strict=True):
            own = {"place": place_of(row, shared), "pseudonym": (called or {}).get(row.name)}
            (temporary / name).write_bytes(_page(row, pictures, axis, {**class_words, **own}).encode())
    left_out = len(board.rows) - len(rows)
    without = f"; {left_out:,} without a student number got none" if left_out else ""
    console.info(f"Wrote {len(rows):,} feedback page{'s' * (len(rows) != 1)} to {folder}{without}.")
    return len(rows)


def for_student(flags: Sequence[Flag]) -> tuple[Flag, ...]:
    """Return the flags as the student may read them. Flags that compare submissions are merged and name nobody."""
    own: list[Flag] = []
    shared: list[Flag] = []
    for flag in flags:
        code, _, other = flag.name.partition(":")
        (shared if other or (code in FLAGS and FLAGS[code].compare) else own).append(flag)
    merged: dict[str, list[Flag]] = {}
    for flag in shared:
        merged.setdefault(flag.name.partition(":")[0], []).append(flag)
    return (*own, *(_merged(code, some) for code, some in merged.items()))


def file_names(rows: Sequence[LeaderboardRow]) -> list[str]:
    """Return a file name for the page of each row. Names differ even if upper and lower case are not distinguished."""
    numbers = [str(row.outcome.student_number) for row in rows]
    known = Counter(number.casefold() for number in numbers)
    names = []
    for number, row in zip(numbers, rows, strict=True):
        digits = hashlib.sha256(f"{number}/{row.outcome.file}".encode()).hexdigest()[:8]
        names.append(f"{number}.html" if known[number.casefold()] == 1 else f"{number}.{digits}.html")
    return names


def _page(row: LeaderboardRow, shown: ShownRow, axis: Axis, words: dict[str, Any]) -> str:
    score = row.score
    if score is not None:
        words |= {"scale": scale_of_score(axis, score), "own": axis.at(score.value)}
    return page_of("feedback.html", row=row, outcome=row.outcome, score=score, shown=shown, **words)


def _merged(code: str, flags: Sequence[Flag]) -> Flag:
    message: str = translate_count(
        "Some images look the same as images of 1 other submission.",
        "Some images look the same as images of {count} other submissions.",
        len(flags),
    )
    if code == SHARED_WITH.code:
        code = "shared_with_others"
    elif code in FLAGS:
        message = FLAGS[code].meaning
    own: dict[str, dict[str, Any]] = {}
    for flag in flags:
        for example in flag.details.get("examples", ()):
            own.setdefault(example["image"], {**example, "match": ""})
    return Flag(code, message, {"examples": list(own.values())})


def _may_name_a_file(number: str | None) -> bool:
    if number is None:
        return False
    try:
        check_student_number(number)
    except InputError:
        console.warn(f"{number!r} gets no feedback page, because this student number cannot be used as a file name.")
        return False
    return True


def _is_ours(path: Path) -> bool:
    if path.suffix != ".html" or not path.is_file():
        return False
    with open_regular(path) as file:
        return _MARK in file.read(_HEAD)
