"""Finding the submissions in a folder, or in a zip from a learning platform."""

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

#: Suffixes of files that are not taken for submissions when they lie beside tarballs.
_NOT_SUBMISSIONS = frozenset({".md", ".txt", ".csv", ".json", ".html", ".pdf", ".log"})


@dataclass(frozen=True)
class Found:
    """A file to grade.

    Attributes:
        path: The path of the file. For a member of a zip, the path of the zip.
        file: The name on the leaderboard: the file's name, or its path below the folder that was named.
        student_number: The student number; None if it must be read from the file's own name.
        submitted_at: The time at which the file was handed in; None if it is not known.
        member: The index in the zip's list; None if the file is not in a zip.
        refused: A rejection that is known before the file is read; usually None.
    """

    path: Path
    file: str
    student_number: str | None = None
    submitted_at: datetime | None = None
    member: int | None = None
    refused: Rejection | None = None

    @classmethod
    def at(cls, path: Path) -> Found:
        """Return the file at ``path`` under its own name."""
        return cls(path, file_name(path))

    @contextmanager
    def at_hand(self, cache: Path, most: int) -> Iterator[Path]:
        """Yield the path of the file, or of a temporary copy in ``cache`` if the file is a member of a zip.

        The copy has at most ``most`` + 1 bytes and is deleted at the end of the block. Raise UnreadableTarball if the
        member cannot be read.
        """
        if self.member is None:
            yield self.path
            return
        with member_at_hand(self.path, self.member, self.file, cache / "unpacked", most) as copy:
            yield copy


def find_submissions(path: Path, out: Path | None = None, number_pattern: str | None = None) -> list[Found]:
    """Find the files to grade, sorted by name.

    Every file that a student may have meant as a submission is graded. For example, a .zip gets a row with the reason
    for its rejection. Downloads of Moodle, Canvas and nbgrader are recognised, as a folder or as a zip, and a message
    names the platform (:mod:`facegen.grading.layouts`). Skipped files are reported. Hidden files and folders are
    reported with a warning, because they may hold a submission.

    Args:
        path: The folder to search, a zip of such a folder, or one file.
        out: The folder that results are written to. It is not searched.
        number_pattern: A regular expression that finds the student number in each file's path below ``path``; see
            :class:`facegen.grading.number_pattern.NumberPattern`. Without a pattern, or if it does not match a file,
            the number in the file's own name is used, then the platform's id.

    Raises:
        InputError: There is no submission, or the pattern is not a regular expression or matches no file at all.
    """
    pattern = None if number_pattern is None else NumberPattern(number_pattern)
    if path.is_file():
        if path.name.endswith(SUFFIX) or not is_zip(path):
            return _numbered([Found.at(path)], pattern)
        found = _in_zip(path, pattern)
        return _numbered([Found.at(path)], pattern) if found is None else found
    if not path.is_dir():
        what = "is neither a folder nor a regular file" if path.exists() else "does not exist"
        raise InputError(f"{path} {what}.", "Name the folder that holds the tarballs.")
    own = None if out is None else os.path.realpath(out)
    if any(entry.is_dir() for entry in path.iterdir()) or any("_" in entry.name for entry in path.iterdir()):
        layout = recognise([name for name in files_below(path, own) if not _is_aside(name)])
        if layout is not None:
            return _placed(path, layout, None, pattern)
    return _numbered(_in_folder(path, own), pattern)


def _in_folder(path: Path, own: str | None) -> list[Found]:
    """Return the files of a folder that has no platform's layout."""
    files, ignored, hidden, folders = [], [], [], []
    for entry in sorted(path.iterdir()):
        if entry.name.endswith(SUFFIX) and not is_litter(entry.name):  # a folder too: its row says what is wrong
            files.append(entry)
        elif came_by_itself(entry.name) or os.path.realpath(entry) == own:
            ignored.append(entry.name)
        elif is_left(entry.name):  # an unfinished file of a 'pack' that was killed or is still running
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
        console.info(f"These files are not submissions and were ignored: {some(ignored)}.")
    if hidden:
        console.warn(f"Hidden files in {path} are not graded: {some(hidden)}. If one is a submission, rename it.")
    if folders:
        console.warn(f"Folders in {path} are not searched: {some(folders)}. Move the submissions out of them.")
    if not files:
        raise InputError(f"There is no submission in {path}.", "Name each file <student_number>.tar.gz.")
    return [Found.at(file) for file in files]


def _in_zip(path: Path, pattern: NumberPattern | None) -> list[Found] | None:
    """Return the submissions in a zip; None if the zip holds no tarballs and is itself meant as a submission."""
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
        console.warn(f"These files in {path} are not tarballs and are not graded: {some(ignored)}.")
    shown = {name: name.rpartition("/")[2] for name in tarballs}
    twice = len(set(shown.values())) < len(shown)  # equal names in several folders are told apart by their paths
    return _numbered([Found(path, name if twice else shown[name], member=members[name]) for name in tarballs], pattern)


def _placed(path: Path, layout: Layout, members: dict[str, int] | None, pattern: NumberPattern | None) -> list[Found]:
    """Return the submissions of a platform's layout, with their student numbers."""
    chosen, ignored = _chosen(layout)
    console.info(f"{path} is {layout.name}, with {len(chosen):,} submission{'s' * (len(chosen) != 1)}.")
    if ignored:
        console.warn(f"These files in {path} are not submissions and are not graded: {some(ignored)}.")
    if not chosen:
        raise InputError(f"There is no submission in {path}.", "Name each file <student_number>.tar.gz.")
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
    console.info(f"Student numbers come from {whence}.")
    return found


def _chosen(layout: Layout) -> tuple[list[Placed], list[str]]:
    """Return each student's tarballs and the paths of the remaining files.

    If a student has no tarball, return every file of the student that may be meant as a submission.
    """
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
    """Return the student number in each file's own name, by path.

    Names that several students use are left out: if a course asks for ``project1.tar.gz``, "project1" is not a number.
    """
    owners: dict[str, set[str]] = {}
    for each in placed:
        if each.own_number is not None:
            owners.setdefault(each.own_number.casefold(), set()).add(each.id)
    several = sorted(number for number, ids in owners.items() if len(ids) > 1)
    if several:
        console.warn(
            f"Several students use the file names {some([number + SUFFIX for number in several])}, so these names "
            "are not taken for student numbers."
        )
    numbers = {each.path: each.own_number for each in placed}
    return {path: own for path, own in numbers.items() if own is not None and own.casefold() not in several}


def _time_of(path: Path, name: str, members: dict[str, int] | None) -> datetime | None:
    text = read_text(path, name, members)
    at = submitted_at(text)
    if text and at is None:
        console.warn(f"{name} in {path} says {text.strip()[:60]!r}, which is not a time with a zone. It is ignored.")
    return at


def _numbered(found: list[Found], pattern: NumberPattern | None) -> list[Found]:
    """Set the student numbers that the pattern finds. For the other files, the number is read from the name later."""
    if pattern is None:
        return found
    numbers = [pattern.number_in(each.file) for each in found]
    pattern.require_some([each.file for each in found], numbers)
    return [replace(each, student_number=number) for each, number in zip(found, numbers, strict=True)]


def _is_aside(path: str) -> bool:
    """Return whether the system left this file behind, or a 'pack' that was killed."""
    return is_litter(path) or is_left(path.rpartition("/")[2])


def file_name(path: Path) -> str:
    """Return the name of a file independently of the locale: its bytes as UTF-8, with escapes for invalid bytes."""
    name = os.fsencode(path.name).decode("utf-8", "surrogateescape")
    return name.encode("utf-8", "backslashreplace").decode()


def number_of(found: Found, limits: Limits = LIMITS) -> str | None:
    """Return the student number of a file as its row shows it under ``limits``; None if its name has none."""
    try:
        return found.student_number or student_number_of(found.file, limits)
    except Rejection:
        return None


def some(names: Sequence[str]) -> str:
    """Join names for a message: the first five, and how many more there are."""
    return ", ".join(map(repr, names[:5])) + (f" and {len(names) - 5} more" if len(names) > 5 else "")
