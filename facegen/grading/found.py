"""Finds the submissions in a folder, or in the zip that a learning platform packs of them."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path

from facegen import console
from facegen.data.litter import came_by_itself, is_litter
from facegen.errors import InputError
from facegen.files import is_left
from facegen.grading.entries import files_below, is_zip, member_at_hand, members_of, read_text
from facegen.grading.layouts import Layout, Placed, recognise, submitted_at
from facegen.grading.number_pattern import NumberPattern
from facegen.submission.rules import LIMITS, SUFFIX, Limits, Rejection, student_number_of

#: Beside tarballs in a folder these are no submissions.
_NOT_SUBMISSIONS = frozenset({".md", ".txt", ".csv", ".json", ".html", ".pdf", ".log"})


@dataclass(frozen=True)
class Found:
    """A file to grade.

    Attributes:
        path: where it is; of a member of a zip, the zip.
        file: what the leaderboard calls it: its name, or where it is below what was named.
        student_number: whose it is; None where its own name has to say so.
        submitted_at: when it was handed in; None where that is not known.
        member: its place in the zip's list; None for a file of its own.
        refused: what is wrong before anything is read; None mostly.
    """

    path: Path
    file: str
    student_number: str | None = None
    submitted_at: datetime | None = None
    member: int | None = None
    refused: Rejection | None = None

    @classmethod
    def at(cls, path: Path) -> Found:
        """A file that is called by its own name."""
        return cls(path, file_name(path))

    @contextmanager
    def at_hand(self, cache: Path, most: int) -> Iterator[Path]:
        """The file's path; of a member of a zip, that of a copy in ``cache``, of ``most`` + 1 bytes at most.

        The copy is there as long as it is at hand. UnreadableTarball where the member cannot be read.
        """
        if self.member is None:
            yield self.path
            return
        with member_at_hand(self.path, self.member, self.file, cache / "unpacked", most) as copy:
            yield copy


def find_submissions(path: Path, out: Path | None = None, number_pattern: str | None = None) -> list[Found]:
    """What to grade, by name. Whatever could be meant as a submission is one: a .zip earns a row that says why.

    What Moodle, Canvas and nbgrader lay out is recognised, in a folder or in the zip that they pack; which, is said
    (:mod:`facegen.grading.layouts`). What is passed over is told: a hidden file or a folder, in which a submission may
    be, by a warning.

    Args:
        path: the folder to look in, or a zip of one, or one file.
        out: the folder that is graded into; it is none of theirs.
        number_pattern: a regular expression, searched for in each file's path below ``path``, that finds the student
            number; see :class:`facegen.grading.number_pattern.NumberPattern`. Without it, or where it finds none, the
            number is that in the file's own name, else the platform's id.

    Raises:
        InputError: there is none; a pattern that is no regular expression, or finds nothing at all.
    """
    pattern = None if number_pattern is None else NumberPattern(number_pattern)
    if path.is_file():
        if path.name.endswith(SUFFIX) or not is_zip(path):
            return _numbered([Found.at(path)], pattern)
        found = _in_zip(path, pattern)
        return _numbered([Found.at(path)], pattern) if found is None else found
    if not path.is_dir():
        what = "is no folder and no regular file" if path.exists() else "does not exist"
        raise InputError(f"{path} {what}.", "Name the folder with the tarballs.")
    own = None if out is None else os.path.realpath(out)
    if any(entry.is_dir() for entry in path.iterdir()) or any("_" in entry.name for entry in path.iterdir()):
        layout = recognise([name for name in files_below(path, own) if not _is_aside(name)])
        if layout is not None:
            return _placed(path, layout, None, pattern)
    return _numbered(_in_folder(path, own), pattern)


def _in_folder(path: Path, own: str | None) -> list[Found]:
    """The files of a folder without a platform's layout."""
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


def _in_zip(path: Path, pattern: NumberPattern | None) -> list[Found] | None:
    """The submissions in a zip; None where it is no zip of submissions, but meant as one itself."""
    members = members_of(path)
    names = sorted(name for name in members if not _is_aside(name))
    layout = recognise(names)
    if layout is not None:
        return _placed(path, layout, members, pattern)
    tarballs = [name for name in names if name.endswith(SUFFIX)]
    if not tarballs:
        return None
    ignored = [name for name in names if not name.endswith(SUFFIX)]
    if ignored:
        console.warn(f"Not tarballs in {path}, and not graded: {some(ignored)}.")
    shown = {name: name.rpartition("/")[2] for name in tarballs}
    twice = len(set(shown.values())) < len(shown)  # in several folders: where each is tells them apart
    return _numbered([Found(path, name if twice else shown[name], member=members[name]) for name in tarballs], pattern)


def _placed(path: Path, layout: Layout, members: dict[str, int] | None, pattern: NumberPattern | None) -> list[Found]:
    """The submissions of a platform's layout, with their student numbers."""
    chosen, ignored = _chosen(layout)
    console.info(f"{path} is {layout.name}: {len(chosen):,} submission{'s' * (len(chosen) != 1)}.")
    if ignored:
        console.warn(f"Not submissions in {path}, and not graded: {some(ignored)}.")
    if not chosen:
        raise InputError(f"There is no submission in {path}.", "Submissions are files called <student_number>.tar.gz.")
    by_pattern = [None if pattern is None else pattern.number_in(each.path) for each in chosen]
    by_name = _own_numbers(chosen)
    if pattern is not None:
        pattern.require_some([each.path for each in chosen], by_pattern)
    sources = Counter[str]()
    found = []
    for each, matched in zip(chosen, by_pattern, strict=True):
        own = by_name.get(each.path)
        number = matched or own or each.id
        sources["the pattern" if matched else "the file's own name" if own else f"the {layout.id_name}"] += 1
        at = None if each.beside is None else _time_of(path, each.beside, members)
        if members is None:
            found.append(Found(path / each.path, each.path, number, at))
        else:
            found.append(Found(path, each.path, number, at, members[each.path]))
    whence = ", ".join(f"{source} ({count:,})" for source, count in sources.items())
    console.info(f"Student numbers are from {whence}.")
    return found


def _chosen(layout: Layout) -> tuple[list[Placed], list[str]]:
    """Of each student's files the tarballs; where there is none, all that may be meant. And the paths of the rest."""
    by_student: dict[str, list[Placed]] = {}
    for each in layout.placed:
        by_student.setdefault(each.id, []).append(each)
    chosen: list[Placed] = []
    ignored = [path for path in layout.others if not path.endswith(tuple(_NOT_SUBMISSIONS))]
    for files in by_student.values():
        tarballs = [each for each in files if each.file.endswith(SUFFIX)]
        meant = tarballs or [each for each in files if Path(each.file).suffix.lower() not in _NOT_SUBMISSIONS]
        if each_is_notebook := [each for each in meant if each.file.endswith(".ipynb")]:
            meant = [each for each in meant if each not in each_is_notebook]
        chosen += meant
        ignored += [each.path for each in files if each not in meant and each.path != each.beside]
    return sorted(chosen, key=lambda each: each.path), sorted(ignored)


def _own_numbers(placed: Sequence[Placed]) -> dict[str, str]:
    """By path the number in the student's own file name, where no other student has a file of that name.

    Where a course says what the file is to be called, ``project1.tar.gz``, that is nobody's number.
    """
    owners: dict[str, set[str]] = {}
    for each in placed:
        if each.own_number is not None:
            owners.setdefault(each.own_number.casefold(), set()).add(each.id)
    several = sorted(number for number, ids in owners.items() if len(ids) > 1)
    if several:
        console.warn(
            f"Files of different students are called {some([number + SUFFIX for number in several])}: "
            "that is taken for no student number."
        )
    numbers = {each.path: each.own_number for each in placed}
    return {path: own for path, own in numbers.items() if own is not None and own.casefold() not in several}


def _time_of(path: Path, name: str, members: dict[str, int] | None) -> datetime | None:
    text = read_text(path, name, members)
    at = submitted_at(text)
    if text and at is None:
        console.warn(f"{name} in {path} says {text.strip()[:60]!r}, which is no time with a zone: it is left out.")
    return at


def _numbered(found: list[Found], pattern: NumberPattern | None) -> list[Found]:
    """The same with the student numbers that the pattern finds; the others' own names have to tell."""
    if pattern is None:
        return found
    numbers = [pattern.number_in(each.file) for each in found]
    pattern.require_some([each.file for each in found], numbers)
    return [replace(each, student_number=number) for each, number in zip(found, numbers, strict=True)]


def _is_aside(path: str) -> bool:
    """Whether a file is what systems leave, or what a killed 'pack' does."""
    return is_litter(path) or is_left(path.rpartition("/")[2])


def file_name(path: Path) -> str:
    """The name of a file in whatever locale it was listed: its bytes as UTF-8, and as escapes what is none."""
    name = os.fsencode(path.name).decode("utf-8", "surrogateescape")
    return name.encode("utf-8", "backslashreplace").decode()


def number_of(found: Found, limits: Limits = LIMITS) -> str | None:
    """The student number of a file, as its row will have it under ``limits``; None where its name has none."""
    try:
        return found.student_number or student_number_of(found.file, limits)
    except Rejection:
        return None


def some(names: Sequence[str]) -> str:
    """Names for a message: the first five, and how many more there are."""
    return ", ".join(map(repr, names[:5])) + (f" and {len(names) - 5} more" if len(names) > 5 else "")
