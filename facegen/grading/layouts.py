"""The folder layouts of learning platforms, so that a download from one is graded as it is.

- Moodle, "Download all submissions": a folder for each student, ``Jane Doe_12345_assignsubmission_file_``
  (``download_submissions`` in mod/assign/locallib.php). The number belongs to the participant in the assignment, or to
  the user if names are shown.
- Canvas, "Download submissions": flat files ``doejane_1234_5678_work.tar.gz``, with the ids of the user and of the
  attachment in the middle. A late file is ``doejane_LATE_1234_5678_work.tar.gz``. A file handed in again is
  ``work-1.tar.gz`` or ``work.tar-1.gz`` (lib/content_zipper.rb and the attachments' display names).
- nbgrader: ``submitted/<student>/<assignment>/<file>``, with a ``timestamp.txt`` beside the files
  (https://nbgrader.readthedocs.io, "The philosophy and the approach").
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timezone
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from facegen.errors import InputError
from facegen.submission.rules import SUFFIX, Rejection, student_number_of

_MOODLE = re.compile(r"(?P<name>.+)_(?P<id>\d+)_assignsubmission_(?P<plugin>[a-z]+)_?", re.DOTALL)
_CANVAS = re.compile(r"(?P<name>[^_/]+)_(?:LATE_)?(?P<id>\d+)_(?P<attachment>\d+)_(?P<file>[^/]+)", re.DOTALL)
#: The text that Canvas adds to the name of a file that is handed in again.
_AGAIN = re.compile(r"(?:-\d{1,3}(?=\.tar\.gz\Z)|(?<=\.tar)-\d{1,3}(?=\.gz\Z))")
TIMESTAMP = "timestamp.txt"


@dataclass(frozen=True)
class Placed:
    """A file in a platform's layout.

    Attributes:
        path: The path relative to the folder or zip that was named, with forward slashes.
        file: The file name that the student chose.
        id: The platform's id of the student.
        beside: The path of nbgrader's ``timestamp.txt`` beside the file; None on other platforms.
    """

    path: str
    file: str
    id: str
    beside: str | None = None

    @property
    def own_number(self) -> str | None:
        """The student number in the student's own file name; None unless it has a digit."""
        try:
            number = student_number_of(self.file)
        except Rejection:
            return None
        return number if any(map(str.isdigit, number)) else None


@dataclass(frozen=True)
class Layout:
    """A layout that was recognised.

    Attributes:
        name: The name of the layout in a sentence: ``"Moodle's download of all submissions"``.
        id_name: The name of the platform's own student id.
        placed: The files that fit the layout.
        others: The paths of the files that do not fit.
    """

    name: str
    id_name: str
    placed: tuple[Placed, ...]
    others: tuple[str, ...]


def recognise(paths: Sequence[str]) -> Layout | None:
    """Recognise the layout of files at these relative paths, with forward slashes; return None if no platform made it.

    A single folder around all files is ignored. A layout is recognised if most files fit it, so a stray file changes
    nothing.

    Raises:
        InputError: The nbgrader tree has tarballs of several assignments.
    """
    for prefix in dict.fromkeys(("", _around(paths))):
        inner = [path.removeprefix(prefix) for path in paths]
        for name, id_name, place in _LAYOUTS:
            found = [(path, place(path)) for path in inner]
            placed = tuple(_at(prefix, each) for _, each in found if each is not None)
            others = tuple(prefix + path for path, each in found if each is None)
            if len(placed) > len(others) and _is_meant(name, placed):
                return Layout(name, id_name, placed, others)
    return None


def submitted_at(timestamp: str) -> datetime | None:
    """Parse the ``timestamp.txt`` of an nbgrader submission; return None if it is not a time with a zone.

    The format is ``%Y-%m-%d %H:%M:%S.%f %Z`` (nbgrader's ``Exchange.timestamp_format``). The zone is UTC unless the
    course chose another.
    """
    moment, _, zone = timestamp.strip().rpartition(" ")
    try:
        naive = datetime.fromisoformat(moment)
        return naive.replace(tzinfo=timezone.utc if zone in ("UTC", "GMT", "Z") else ZoneInfo(zone))
    except (ValueError, ZoneInfoNotFoundError, OSError):  # OSError: the name is a folder of zones, such as "Asia"
        return None


def _at(prefix: str, placed: Placed) -> Placed:
    beside = None if placed.beside is None else prefix + placed.beside
    return Placed(prefix + placed.path, placed.file, placed.id, beside)


def _around(paths: Sequence[str]) -> str:
    """Return the single folder that holds all files, with its slash; "" if there is none."""
    tops = {path.partition("/")[0] for path in paths if "/" in path}
    return f"{tops.pop()}/" if len(tops) == 1 and all("/" in path for path in paths) else ""


def _moodle(path: str) -> Placed | None:
    folder, _, rest = path.partition("/")
    match = _MOODLE.fullmatch(folder)
    if match is None or not rest or match["plugin"] != "file":
        return None
    return Placed(path, rest.rpartition("/")[2], match["id"])


def _canvas(path: str) -> Placed | None:
    match = _CANVAS.fullmatch(path)
    return None if match is None else Placed(path, _AGAIN.sub("", match["file"]), match["id"])


def _nbgrader(path: str) -> Placed | None:
    parts = path.split("/")
    if len(parts) != 3 or {"", ".", ".."} & set(parts):
        return None
    student, assignment, file = parts
    return Placed(path, file, student, f"{student}/{assignment}/{TIMESTAMP}")


_LAYOUTS: tuple[tuple[str, str, Callable[[str], Placed | None]], ...] = (
    ("Moodle's download of all submissions", "participant's number", _moodle),
    ("Canvas's download of submissions", "user id", _canvas),
    ("nbgrader's tree", "student's folder", _nbgrader),
)


def _is_meant(name: str, placed: Sequence[Placed]) -> bool:
    """Return whether the files make up the layout. Only the contents of nbgrader's folders mark them as such."""
    if not name.startswith("nbgrader"):
        return True
    tarballs = [each for each in placed if each.file.endswith(SUFFIX)]
    if not tarballs:
        return False
    assignments = Counter(each.path.split("/")[-2] for each in tarballs)
    if len(assignments) > 1:
        raise InputError(
            f"The tree has tarballs of {len(assignments)} assignments: "
            f"{', '.join(map(repr, sorted(assignments)[:5]))}.",
            "Copy the tarballs of one assignment to a folder of their own and grade that folder.",
        )
    return True
