"""One submission on Gradescope: the student's upload in, ``results.json`` out.

The folders and the file are those of Gradescope's "Autograder Specifications" and "Submission Metadata"
(https://gradescope-autograders.readthedocs.io/en/latest/specs/ and …/submission_metadata/):

- ``/autograder/submission`` has what the student uploaded, a zip unpacked;
- ``/autograder/submission_metadata.json`` says who uploaded it, when, and when it was due;
- ``/autograder/results/results.json`` is what is shown: ``score``, ``output``, ``tests``, ``leaderboard``.

A ``score`` is required there, or one of each test. So a results.json without any is no grade: that is what is written
where the grader fails, for a failure of the course's machine must not be a student's 0.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import datetime
from pathlib import Path
from typing import Any

from facegen.data.litter import is_litter
from facegen.errors import FacegenError, InputError, in_words
from facegen.files import open_regular, write_json
from facegen.grading.entries import files_below
from facegen.grading.found import Found, file_name, some
from facegen.grading.leaderboard import Leaderboard
from facegen.grading.rows import LeaderboardRow
from facegen.printable import printable
from facegen.submission.rules import SUFFIX, Code, Rejection, student_number_of

#: Bytes of the metadata, which has the results of all earlier submissions in it.
_MOST_METADATA = 64 << 20
_FAILED = (
    "The autograder failed. That is no fault of this submission, and no grade was given. "
    "The course's staff finds the reason in the autograder's log, and can run it again."
)


@dataclass(frozen=True)
class Metadata:
    """What Gradescope says of a submission; what it does not say is None.

    Attributes:
        student: the student id of the first who submits, else the e-mail address, else the name.
        submitted_at: when.
        due: the student's due date, which may be an extension; else the assignment's.
        total_points: of the assignment.
    """

    student: str | None = None
    submitted_at: datetime | None = None
    due: datetime | None = None
    total_points: float | None = None


@dataclass(frozen=True)
class Upload:
    """What a student uploaded.

    Attributes:
        folder: ``/autograder/submission``, or one laid out alike: results and metadata are beside it.
        metadata: what Gradescope says of it.
    """

    folder: Path
    metadata: Metadata
    _begun: float = field(default_factory=time.monotonic, repr=False, compare=False)

    @classmethod
    def begin(cls, folder: Path) -> Upload:
        """The upload in ``folder``. That grading failed is written at once, and stands until something else is.

        InputError where there is no such folder, or metadata that cannot be read.
        """
        if not folder.is_dir():
            raise InputError(
                f"{folder} is no folder, and --gradescope takes that of one submission.",
                "On Gradescope it is /autograder/submission.",
            )
        begun = cls(folder, Metadata())
        begun.write_failure("It was ended before it was done: too little time or memory, or it could not begin.")
        return replace(begun, metadata=read_metadata(folder.absolute().parent / "submission_metadata.json"))

    @property
    def results(self) -> Path:
        """Where ``results.json`` belongs."""
        return self.folder.absolute().parent / "results" / "results.json"

    def found(self) -> Found:
        """The tarball to grade; where there is not one, what is wrong with the upload, as a rejection.

        It may be called anything where Gradescope tells who the student is.
        """
        files = [path for path in files_below(self.folder, None) if not is_litter(path)]
        tarballs = [path for path in files if path.endswith(SUFFIX)]
        chosen = tarballs if tarballs else files
        if len(chosen) == 1:
            path = self.folder / chosen[0]
            return Found(path, file_name(path), self._number(path.name), self.metadata.submitted_at)
        if not files:
            refused = _refused(Code.EMPTY, "Nothing was uploaded.", "Upload the tarball that 'facegen pack' makes.")
        elif tarballs:
            refused = _refused(
                Code.FOREIGN_MEMBER,
                f"{len(tarballs)} tarballs were uploaded: {some(tarballs)}.",
                "Upload the one that is to be graded, alone.",
            )
        else:
            refused = _refused(
                Code.NOT_GZIP,
                f"{len(files):,} files were uploaded and no {SUFFIX} among them: {some(files)}. "
                "Gradescope unpacks a .zip.",
                "Upload the tarball that 'facegen pack' makes, as it is.",
            )
        number = self.metadata.student
        return Found(self.folder, "upload", number, self.metadata.submitted_at, refused=refused)

    def _number(self, name: str) -> str | None:
        """The student number in the file's name, where it has a digit; else who Gradescope says that the student is."""
        try:
            number = student_number_of(name)
        except Rejection:
            return self.metadata.student
        return number if any(map(str.isdigit, number)) or self.metadata.student is None else self.metadata.student

    def write(self, leaderboard: Leaderboard) -> None:
        """Write ``results.json`` of the one row of ``leaderboard``."""
        self._write(results_of(leaderboard.rows[0], leaderboard, self.metadata))

    def write_failure(self, reason: str) -> None:
        """Write that grading failed. The student reads that it did; the staff, why."""
        self._write(_failure(reason))

    def _write(self, results: dict[str, Any]) -> None:
        write_json(self.results, {"execution_time": round(time.monotonic() - self._begun, 1), **results})


@contextmanager
def failures_told(upload: Upload | None) -> Iterator[None]:
    """What the block raises is written to ``results.json``, and raised again; nothing is, where there is no upload."""
    try:
        yield
    except BaseException as problem:
        if upload is not None:
            upload.write_failure(str(problem) if isinstance(problem, FacegenError) else in_words(problem))
        raise


def results_of(row: LeaderboardRow, leaderboard: Leaderboard, metadata: Metadata) -> dict[str, Any]:
    """What ``results.json`` has of a graded or rejected submission.

    The score is the row's points. Where the course has no rubric, all of the assignment's points (1 where Gradescope
    does not tell) are for what keeps the rules and stays below the target, if there is one. A rejected one has 0.
    Flags, which inform the staff, are hidden tests. All texts are shown as text, not as Markdown or HTML.
    """
    rejection, score = row.outcome.rejection, row.score
    total = 1.0 if metadata.total_points is None else metadata.total_points
    if rejection is not None:
        points = 0.0
        output = [f"Not graded: {rejection.message}", rejection.remedy or ""]
        tests = [_test("The tarball keeps the rules", False, f"{rejection.message} {rejection.remedy or ''}")]
    else:
        assert score is not None
        points = 0.0 if row.passed is False else total
        output = [score.summary() + "."]
        tests = [_test("The tarball keeps the rules", True, " ".join(row.notes) or "It does.")]
        if score.target is not None:
            passed = bool(row.passed)
            tests.append(_test(f"{score.label} below {score.target:g}", passed, "\n".join(score.lines())))
    if row.points is not None:
        points, output = row.points, [*output, *row.points_for]
    tests += [_test(f"For the staff: {flag.name}", False, flag.message, hidden=True) for flag in row.flags]
    results: dict[str, Any] = {
        "score": round(points, 4),
        "output": _text("\n".join(line for line in output if line)),
        "output_format": "text",
        "test_output_format": "text",
        "test_name_format": "text",
        "stdout_visibility": "hidden",
        "tests": tests,
        "extra_data": _extra(row, leaderboard, metadata),
    }
    if score is not None:
        results["leaderboard"] = [{"name": score.label, "value": round(score.value, 4), "order": "asc"}]
    return results


def read_metadata(path: Path) -> Metadata:
    """What ``submission_metadata.json`` says; nothing where there is none, as when a course tries its autograder.

    InputError where it cannot be read, or is no JSON object.
    """
    try:
        with open_regular(path) as file:
            text = file.read(_MOST_METADATA)
    except FileNotFoundError:
        return Metadata()
    except OSError as problem:
        raise InputError(f"Cannot read {path}: {problem.strerror or problem}.") from problem
    try:
        told = json.loads(text)
    except (ValueError, RecursionError) as problem:
        raise InputError(f"{path} is no JSON: {in_words(problem)}.", "Gradescope writes it.") from problem
    if not isinstance(told, dict):
        raise InputError(f"{path} holds no JSON object.", "Gradescope writes it.")
    users, assignment = told.get("users"), _object(told.get("assignment"))
    user = _object(users[0]) if isinstance(users, list) and users else {}
    named = (user.get(key) for key in ("sid", "email", "name", "id"))
    own = _object(user.get("assignment"))
    return Metadata(
        next((str(name).strip() for name in named if name is not None and str(name).strip()), None),
        _time(told.get("created_at")),
        _time(own.get("due_date")) or _time(assignment.get("due_date")),
        _number(assignment.get("total_points")),
    )


def _object(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def _time(value: Any) -> datetime | None:
    try:
        at = datetime.fromisoformat(str(value).replace("Z", "+00:00"))
    except ValueError:
        return None
    return at if at.tzinfo is not None else None


def _number(value: Any) -> float | None:
    try:
        number = float(value)
    except (TypeError, ValueError):
        return None
    return number if 0 <= number < float("inf") else None


def _refused(code: Code, message: str, remedy: str) -> Rejection:
    rejection = Rejection(code, message)
    rejection.remedy = remedy
    return rejection


def _test(name: str, passed: bool, output: str, *, hidden: bool = False) -> dict[str, Any]:
    return {
        "name": _text(name),
        "status": "passed" if passed else "failed",
        "output": _text(output),
        "visibility": "hidden" if hidden else "visible",
    }


def _text(text: str) -> str:
    return "\n".join(printable(line) for line in text.split("\n"))


def _extra(row: LeaderboardRow, leaderboard: Leaderboard, metadata: Metadata) -> dict[str, Any]:
    """For later submissions' metadata, and for who reads the JSON: nothing of it is shown."""
    return {
        "student_number": row.outcome.student_number,
        "file": row.outcome.file,
        "sha256": row.outcome.sha256,
        "measure": leaderboard.description,
        "score": row.score.to_json() if row.score else None,
        "submitted_at": None if metadata.submitted_at is None else metadata.submitted_at.isoformat(),
        "due": None if metadata.due is None else metadata.due.isoformat(),
    }


def _failure(reason: str) -> dict[str, Any]:
    """Without a score, which is no grade."""
    return {
        "output": _FAILED,
        "output_format": "text",
        "test_output_format": "text",
        "stdout_visibility": "hidden",
        "tests": [_test("For the staff: why the autograder failed", False, reason, hidden=True)],
    }
