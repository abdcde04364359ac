"""Grading of one submission on Gradescope: it reads the student's upload and writes ``results.json``.

The folders and files are those of Gradescope's "Autograder Specifications" and "Submission Metadata"
(https://gradescope-autograders.readthedocs.io/en/latest/specs/ and …/submission_metadata/):

- ``/autograder/submission`` holds the student's upload. Gradescope has unpacked a zip.
- ``/autograder/submission_metadata.json`` says who uploaded it, when, and when it was due.
- ``/autograder/results/results.json`` is what Gradescope shows: ``score``, ``output``, ``tests``, ``leaderboard``.

Gradescope requires a ``score``, or a score for each test. A results.json without any score is therefore no grade. This
is what is written if the grader fails, because a failure of the course's machine must not give a student 0 points.
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

#: Maximum size of the metadata, in bytes. The metadata include the results of all earlier submissions.
_MOST_METADATA = 64 << 20
_FAILED = (
    "The autograder failed. This is not the fault of your submission, and no grade was given. "
    "The teaching staff can find the reason in the autograder's log and run it again."
)


@dataclass(frozen=True)
class Metadata:
    """The data that Gradescope gives about a submission. A field is None if Gradescope does not give it.

    Attributes:
        student: The student id of the first submitter, or the e-mail address, or the name.
        submitted_at: The time of the submission.
        due: The student's own due date, which may be an extension, or the due date of the assignment.
        total_points: The points of the assignment.
    """

    student: str | None = None
    submitted_at: datetime | None = None
    due: datetime | None = None
    total_points: float | None = None


@dataclass(frozen=True)
class Upload:
    """The upload of a student.

    Attributes:
        folder: ``/autograder/submission``, or a folder with the results and the metadata beside it as on Gradescope.
        metadata: What Gradescope says about the upload.
    """

    folder: Path
    metadata: Metadata
    _begun: float = field(default_factory=time.monotonic, repr=False, compare=False)

    @classmethod
    def begin(cls, folder: Path) -> Upload:
        """Return the upload in ``folder``.

        First write a results.json that says that grading failed. It stands until another one is written. Raise
        InputError if there is no such folder, or if the metadata cannot be read.
        """
        if not folder.is_dir():
            raise InputError(
                f"{folder} is not a folder. With --gradescope, name the folder of one submission.",
                "On Gradescope, it is /autograder/submission.",
            )
        begun = cls(folder, Metadata())
        begun.write_failure("Grading ended early: it could not start, or it ran out of time or memory.")
        return replace(begun, metadata=read_metadata(folder.absolute().parent / "submission_metadata.json"))

    @property
    def results(self) -> Path:
        """The path of ``results.json``."""
        return self.folder.absolute().parent / "results" / "results.json"

    def found(self) -> Found:
        """Return the tarball to grade. If there is not exactly one, return a rejection that says what is wrong.

        The tarball may have any name if Gradescope says who the student is.
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
                "Upload only the one that should be graded.",
            )
        else:
            refused = _refused(
                Code.NOT_GZIP,
                f"{len(files):,} files were uploaded, but none is a {SUFFIX} file: {some(files)}. "
                "Gradescope unpacks .zip files.",
                "Upload the tarball that 'facegen pack' makes, unchanged.",
            )
        number = self.metadata.student
        return Found(self.folder, "upload", number, self.metadata.submitted_at, refused=refused)

    def _number(self, name: str) -> str | None:
        """Return the number in the file's name if it has a digit, otherwise the student that Gradescope names."""
        try:
            number = student_number_of(name)
        except Rejection:
            return self.metadata.student
        return number if any(map(str.isdigit, number)) or self.metadata.student is None else self.metadata.student

    def write(self, leaderboard: Leaderboard) -> None:
        """Write ``results.json`` for the only row of ``leaderboard``."""
        self._write(results_of(leaderboard.rows[0], leaderboard, self.metadata))

    def write_failure(self, reason: str) -> None:
        """Write that grading failed. The student reads that it failed, and the staff reads why."""
        self._write(_failure(reason))

    def _write(self, results: dict[str, Any]) -> None:
        write_json(self.results, {"execution_time": round(time.monotonic() - self._begun, 1), **results})


@contextmanager
def failures_told(upload: Upload | None) -> Iterator[None]:
    """Write an exception of the block to ``results.json`` and raise it again; write nothing if ``upload`` is None."""
    try:
        yield
    except BaseException as problem:
        if upload is not None:
            upload.write_failure(str(problem) if isinstance(problem, FacegenError) else in_words(problem))
        raise


def results_of(row: LeaderboardRow, leaderboard: Leaderboard, metadata: Metadata) -> dict[str, Any]:
    """Return the contents of ``results.json`` for a graded or rejected submission.

    The score is the row's points. If the course has no rubric, a submission gets all of the assignment's points (1 if
    Gradescope does not say) if it keeps the rules and stays below the target, if there is one. A rejected submission
    gets
    0. Flags are information for the staff, so they are hidden tests. All texts are shown as plain text, not as
       Markdown or HTML.
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
    """Read ``submission_metadata.json``.

    Return empty metadata if the file does not exist, as when a course tries out its autograder. Raise InputError if the
    file cannot be read or is not a JSON object.
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
        raise InputError(
            f"{path} is not valid JSON: {in_words(problem)}.", "Use the file that Gradescope writes."
        ) from problem
    if not isinstance(told, dict):
        raise InputError(f"{path} does not hold a JSON object.", "Use the file that Gradescope writes.")
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
    """Return data for the metadata of later submissions and for readers of the JSON. Gradescope shows none of it."""
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
    """Return results without a score, which Gradescope does not take as a grade."""
    return {
        "output": _FAILED,
        "output_format": "text",
        "test_output_format": "text",
        "stdout_visibility": "hidden",
        "tests": [_test("For the staff: why the autograder failed", False, reason, hidden=True)],
    }
