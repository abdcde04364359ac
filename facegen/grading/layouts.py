"""How learning platforms lay submissions out, so that what was downloaded from one is graded as it is.

- Moodle, "Download all submissions": a folder for each student, ``Jane Doe_12345_assignsubmission_file_``
  (``download_submissions`` in mod/assign/locallib.php). The number is that of the participant in the assignment, or of
  the user where names are shown.
- Canvas, "Download submissions": flat files ``doejane_1234_5678_work.tar.gz``, the ids of the user and of the
  attachment in the middle; ``doejane_LATE_1234_5678_work.tar.gz`` where it was late, and ``work-1.tar.gz`` or
  ``work.tar-1.gz`` where it was handed in again (lib/content_zipper.rb and the attachments' display names).
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
#: What Canvas adds to the name of a file that is handed in again.
_AGAIN = re.compile(r"(?:-\d{1,3}(?=\.tar\.gz\Z)|(?<=\.tar)-\d{1,3}(?=\.gz\Z))")
TIMESTAMP = "timestamp.txt"


@dataclass(frozen=True)
class Placed:
    """A file in a platform's layout.

    Attributes:
        path: relative to what was named, with forward slashes.
        file: the name that the student gave it.
        id: whose it is, by the platform.
        beside: the path of nbgrader's ``timestamp.txt`` beside it; None elsewhere.
    """

    path: str
    file: str
    id: str
    beside: str | None = None

    @property
    def own_number(self) -> str | None:
        """The student number in the student's own file name: one that has a digit; None where there is none."""
        try:
            number = student_number_of(self.file)
        except Rejection:
            return None
        return number if any(map(str.isdigit, number)) else None


@dataclass(frozen=True)
class Layout:
    """A layout that was recognised.

    Attributes:
        name: whose, in a sentence: ``"Moodle's download of all submissions"``.
        id_name: what the platform's own id of a student is.
        placed: the files that are in their places.
        others: paths of those that are not.
    """

    name: str
    id_name: str
    placed: tuple[Placed, ...]
    others: tuple[str, ...]


def recognise(paths: Sequence[str]) -> Layout | None:
    """The layout of files at these paths, relative and with forward slashes; None where it is none of a platform's.

    One folder around everything is looked through. A layout is recognised where most files are in their places: a
    stray file changes nothing.

    Raises:
        InputError: nbgrader's tree has tarballs of several assignments.
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
    """When an nbgrader submission was handed in, by its ``timestamp.txt``; None where that is no time with a zone.

    The format is ``%Y-%m-%d %H:%M:%S.%f %Z`` (nbgrader's ``Exchange.timestamp_format``), of a zone that is UTC unless
    the course chose another.
    """
    moment, _, zone = timestamp.strip().rpartition(" ")
    try:
        naive = datetime.fromisoformat(moment)
        return naive.replace(tzinfo=timezone.utc if zone in ("UTC", "GMT", "Z") else ZoneInfo(zone))
    except (ValueError, ZoneInfoNotFoundError, OSError):  # OSError: a zone that is a folder of zones
        return None


def _at(prefix: str, placed: Placed) -> Placed:
    beside = None if placed.beside is None else prefix + placed.beside
    return Placed(prefix + placed.path, placed.file, placed.id, beside)


def _around(paths: Sequence[str]) -> str:
    """The one folder that everything is in, with its slash; "" where there is none."""
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
    """Whether such files make the layout: nbgrader's folders have no mark of their own but what is in them."""
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
            "Copy those of the one to grade to a folder of their own.",
        )
    return True
