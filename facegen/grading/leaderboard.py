"""Outcomes become rows: ranked, compared with one another, and rendered as JSON, CSV and HTML."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from facegen import console
from facegen.grading.flags import EXAMPLES, Flag, SharedImages, shared_flags_of
from facegen.grading.grader import GradedSubmission, Outcome
from facegen.grading.shared_images import shared_images
from facegen.metrics.phash import NEAR
from facegen.printable import printable
from facegen.scoring.score import Score

SCHEMA = 1
_COLUMNS = (
    "rank",
    "student_number",
    "file",
    "status",
    "reason",
    "message",
    "metric",
    "extractor",
    "value",
    "n",
    "passed",
    "flags",
    "sha256",
)
#: Pairs that a submission's flags for shared images list at most in all, and at least one each: where a whole class
#: submits the same images, the page would have millions.
_ALL_EXAMPLES = 200
#: A cell that starts so is run as a formula by spreadsheets; East Asian ones know the wide signs too.
_FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n", "＝", "＋", "－", "＠")
#: Where cells are split at semicolons, as in much of Europe, another cell begins behind each.
_FORMULA_BEHIND = re.compile(rf';(?=[\s"]*[{re.escape("".join(_FORMULA))}])')


@dataclass(frozen=True)
class LeaderboardRow:
    """A tarball's line in the leaderboard.

    Attributes:
        outcome: what grading it found.
        flags: all of them, those shared with other submissions too.
        rank: 1 for the best; values that are equal as printed share a rank. None for the rejected.
        notes: what else there is to say of it, in sentences.
    """

    outcome: Outcome
    flags: tuple[Flag, ...] = ()
    rank: int | None = None
    notes: tuple[str, ...] = ()

    @property
    def score(self) -> Score | None:
        return self.outcome.graded.score if self.outcome.graded else None

    @property
    def passed(self) -> bool | None:
        return self.score.passed if self.score else None

    def to_json(self) -> dict[str, Any]:
        """The submission's object in ``leaderboard.json``."""
        outcome, rejection = self.outcome, self.outcome.rejection
        details = {flag.name: {"message": flag.message, **flag.details} for flag in self.flags}
        return {
            "student_number": outcome.student_number,
            "file": outcome.file,
            "sha256": outcome.sha256,
            "status": "rejected" if rejection else "graded",
            "reason": rejection.code.value if rejection else None,
            "message": rejection.message if rejection else None,
            "remedy": rejection.remedy if rejection else None,
            "score": self.score.to_json() if self.score else None,
            "rank": self.rank,
            "passed": self.passed,
            "flags": [flag.name for flag in self.flags],
            "details": details,
            "notes": list(self.notes),
        }


@dataclass(frozen=True)
class Leaderboard:
    """All rows in order, and what they were measured against.

    Attributes:
        rows: the graded by rising value, then the rejected by file name.
        reference: ``name``, ``n`` (None where it is unknown) and ``sha256`` of the reference.
        description: the measure in words.
        target: the value to stay below; None where there is none.
        notice: what the whole class should know of the measure; None where there is nothing.
    """

    rows: tuple[LeaderboardRow, ...]
    reference: dict[str, Any]
    description: str
    target: float | None
    notice: str | None = None

    @property
    def graded(self) -> tuple[LeaderboardRow, ...]:
        return tuple(row for row in self.rows if row.rank is not None)

    @property
    def rejected(self) -> tuple[LeaderboardRow, ...]:
        return tuple(row for row in self.rows if row.rank is None)

    def to_json(self) -> dict[str, Any]:
        """The object of ``leaderboard.json`` and ``facegen grade --json``."""
        return {
            "schema": SCHEMA,
            "reference": self.reference,
            "measure": self.description,
            "target": self.target,
            "notice": self.notice,
            "submissions": [row.to_json() for row in self.rows],
        }

    def to_csv(self) -> str:
        """A table for spreadsheets; no cell of it can run as a formula, and all that is in it can be seen."""
        table = io.StringIO()
        writer = csv.writer(table, lineterminator="\n")
        writer.writerow(_COLUMNS)
        for row in self.rows:
            outcome, score, rejection = row.outcome, row.score, row.outcome.rejection
            cells = [
                row.rank,
                outcome.student_number,
                outcome.file,
                "rejected" if rejection else "graded",
                rejection.code.value if rejection else None,
                rejection.message if rejection else None,
                score.metric if score else None,
                score.extractor if score else None,
                _printed(score) if score else None,
                score.n if score else None,
                {True: "yes", False: "no", None: None}[row.passed],
                " ".join(flag.name for flag in row.flags),
                outcome.sha256,
            ]
            writer.writerow(["" if cell is None else _guarded(str(cell)) for cell in cells])
        return table.getvalue()

    def to_html(self) -> str:
        """A page that stands alone: styles and contact sheets are in it, and nothing is fetched."""
        from jinja2 import Environment, PackageLoader, StrictUndefined

        templates = Environment(
            loader=PackageLoader("facegen.grading"),
            autoescape=True,
            undefined=StrictUndefined,
            finalize=lambda value: printable(value) if isinstance(value, str) else value,
            trim_blocks=True,
            lstrip_blocks=True,
        )
        values = sorted(row.score.value for row in self.graded if row.score)
        middle = len(values) // 2
        median = (
            None if not values else values[middle] if len(values) % 2 else (values[middle - 1] + values[middle]) / 2
        )
        return templates.get_template("leaderboard.html").render(
            board=self,
            passed=sum(row.passed is True for row in self.rows),
            flagged=sum(bool(row.flags) for row in self.rows),
            best=values[0] if values else None,
            median=median,
            label=next((row.score.label for row in self.graded if row.score), "score"),
            flattered=sum(row.score.flattery is not None for row in self.graded if row.score),
            is_fid=all(row.score.metric == "fid" for row in self.graded if row.score),
            scale=max(values, default=1.0) or 1.0,
            near=NEAR,
        )


def rank(outcomes: Sequence[Outcome], cache: Path | None = None) -> tuple[LeaderboardRow, ...]:
    """Rows in the leaderboard's order: the graded by rising value, ties sharing a rank, then the rejected by name.

    Values that are equal as printed tie, and submissions of the same images, in whatever order, have one value: sums in
    another order differ in the last bits. The rows do not depend on the order of the outcomes.

    Args:
        outcomes: all that were graded and rejected, each of another file.
        cache: the folder to keep shared images in, which are then not looked for again; None keeps nothing.
    """
    graded = sorted(_with_one_value(outcomes), key=lambda pair: (pair[1].score.value, pair[0].file))
    twice = _told_twice(outcomes)
    rows: list[LeaderboardRow] = []
    with console.progress("Looking for shared images", total=len(graded), unit="submissions") as task:
        for place, ((outcome, found), shared) in enumerate(zip(graded, _shared_images(graded, cache), strict=True), 1):
            flags, broken = shared_flags_of(shared)
            for sentence in broken:
                console.warn(f"{outcome.file}: {sentence}")
            before = rows[-1] if rows else None
            tied = before is not None and before.score is not None and _printed(before.score) == _printed(found.score)
            notes = (*found.notes, *broken, *twice.get(outcome.file, ()))
            rows.append(
                LeaderboardRow(outcome, (*found.flags, *flags), before.rank if before and tied else place, notes)
            )
            task.advance()
    rejected = sorted((outcome for outcome in outcomes if outcome.rejection), key=lambda outcome: outcome.file)
    return (*rows, *(LeaderboardRow(outcome, notes=twice.get(outcome.file, ())) for outcome in rejected))


def _printed(score: Score) -> str:
    """The value as the CSV has it, where it has the most digits."""
    return f"{score.value:.4f}"


def _with_one_value(outcomes: Sequence[Outcome]) -> list[tuple[Outcome, GradedSubmission]]:
    """The graded. Those of the same images have the smallest of their values, and the verdict on it."""
    lowest: dict[bytes, Score] = {}
    graded = []
    for outcome in outcomes:
        if outcome.graded is not None:
            images = np.sort(outcome.graded.fingerprints.pixels).tobytes()
            score = outcome.graded.score
            lowest[images] = min(lowest.get(images, score), score, key=lambda score: score.value)
            graded.append((outcome, outcome.graded, images))
    pairs = []
    for outcome, found, images in graded:
        score = replace(found.score, value=lowest[images].value, passed=lowest[images].passed)
        found = replace(found, score=score)
        pairs.append((replace(outcome, graded=found), found))
    return pairs


def _told_twice(outcomes: Sequence[Outcome]) -> dict[str, tuple[str, ...]]:
    """By file a note that others have the same student number, upper and lower case counting as one; said as well."""
    files: dict[str, list[str]] = {}
    for outcome in sorted(outcomes, key=lambda outcome: outcome.file):
        if outcome.student_number is not None:
            files.setdefault(outcome.student_number.casefold(), []).append(outcome.file)
    notes: dict[str, tuple[str, ...]] = {}
    for same in files.values():
        if len(same) > 1:
            sentence = (
                f"{' and '.join(map(repr, same))} have one student number but for upper and lower case: "
                "they may be of one student."
            )
            console.warn(sentence)
            notes.update(dict.fromkeys(same, (sentence,)))
    return notes


def _shared_images(
    graded: Sequence[tuple[Outcome, GradedSubmission]], cache: Path | None
) -> Iterator[list[SharedImages]]:
    """For each graded submission those others that have some of its images, in their order."""
    found = shared_images([submission.fingerprints for _, submission in graded], cache)
    for (_, submission), others in zip(graded, found, strict=True):
        examples = max(1, min(EXAMPLES, _ALL_EXAMPLES // max(1, len(others))))
        yield [
            SharedImages(
                submission.names, str(graded[other][0].student_number), graded[other][1].names, matches, examples
            )
            for other, matches in others
        ]


def _guarded(cell: str) -> str:
    """``cell`` fit to be seen, and behind a ' where a spreadsheet would run it, or what follows a semicolon in it."""
    cell = _FORMULA_BEHIND.sub(";'", cell)
    return f"'{printable(cell)}" if cell.lstrip().startswith(_FORMULA) or cell.startswith(_FORMULA) else printable(cell)
