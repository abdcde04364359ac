"""Finds the submissions in a folder."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from facegen import console
from facegen.data.litter import came_by_itself, is_litter
from facegen.errors import InputError
from facegen.files import is_left
from facegen.submission.rules import SUFFIX, Rejection, student_number_of

#: Beside tarballs in a folder these are no submissions.
_NOT_SUBMISSIONS = frozenset({".md", ".txt", ".csv", ".json", ".html", ".pdf", ".log"})


@dataclass(frozen=True)
class Found:
    """A file to grade.

    Attributes:
        path: where it is.
        file: what the leaderboard calls it.
        student_number: whose it is; None where its own name has to say so.
        submitted_at: when it was handed in; None where that is not known.
    """

    path: Path
    file: str
    student_number: str | None = None
    submitted_at: datetime | None = None

    @classmethod
    def at(cls, path: Path) -> Found:
        """A file that is called by its own name."""
        return cls(path, file_name(path))


def find_submissions(path: Path, out: Path | None = None) -> list[Found]:
    """What to grade, by name. Whatever could be meant as a submission is one: a .zip earns a row that says why.

    What is passed over is told: a hidden file or a folder, in which a submission may be, by a warning.

    Args:
        path: the folder to look in, or one file.
        out: the folder that is graded into; it is none of theirs.

    Raises:
        InputError: there is none.
    """
    if path.is_file():
        return [Found.at(path)]
    if not path.is_dir():
        what = "is no folder and no regular file" if path.exists() else "does not exist"
        raise InputError(f"{path} {what}.", "Name the folder with the tarballs.")
    own = None if out is None else os.path.realpath(out)
    files, ignored, hidden, folders = [], [], [], []
    for entry in sorted(path.iterdir()):
        if entry.name.endswith(SUFFIX) and not is_litter(entry.name):  # a folder too: its row says what is wrong
            files.append(entry)
        elif came_by_itself(entry.name) or os.path.realpath(entry) == own:
            ignored.append(entry.name)
        elif is_left(entry.name):  # of a 'pack' that was killed, or runs now
            continue
        elif entry.is_dir():
            folders.append(entry.name)
        elif is_litter(entry.name):
            hidden.append(entry.name)
        elif entry.suffix.lower() in _NOT_SUBMISSIONS:
            ignored.append(entry.name)
        else:
            files.append(entry)
    if ignored:
        console.info(f"Not submissions, ignored: {some(ignored)}.")
    if hidden:
        console.warn(f"Hidden in {path}, and not graded: {some(hidden)}. Rename what is a submission.")
    if folders:
        console.warn(f"Folders in {path} are not looked into: {some(folders)}. Move the submissions out of them.")
    if not files:
        raise InputError(f"There is no submission in {path}.", "Submissions are files called <student_number>.tar.gz.")
    return [Found.at(file) for file in files]


def file_name(path: Path) -> str:
    """The name of a file in whatever locale it was listed: its bytes as UTF-8, and as escapes what is none."""
    name = os.fsencode(path.name).decode("utf-8", "surrogateescape")
    return name.encode("utf-8", "backslashreplace").decode()


def number_of(found: Found) -> str | None:
    """The student number of a file, as its row will have it; None where its name has none."""
    try:
        return found.student_number or student_number_of(found.file)
    except Rejection:
        return None


def some(names: Sequence[str]) -> str:
    """Names for a message: the first five, and how many more there are."""
    return ", ".join(map(repr, names[:5])) + (f" and {len(names) - 5} more" if len(names) > 5 else "")
