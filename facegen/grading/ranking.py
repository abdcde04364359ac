"""Outcomes become rows: ranked, and compared with one another."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from facegen import console
from facegen.grading.fingerprints import Matches
from facegen.grading.flags import EXAMPLES, SharedImages, shared_flags_of
from facegen.grading.outcome import GradedSubmission, Outcome
from facegen.grading.rows import LeaderboardRow, printed
from facegen.grading.shared_images import shared_images
from facegen.scoring.score import Score

#: Pairs that a submission's flags for shared images list at most in all, and at least one each: where a whole class
#: submits the same images, the page would have millions.
_ALL_EXAMPLES = 200


def rank(
    outcomes: Sequence[Outcome], cache: Path | None = None, beside: Sequence[Outcome] = ()
) -> tuple[LeaderboardRow, ...]:
    """Rows in the leaderboard's order: the graded by rising value, ties sharing a rank, then the rejected by name.

    Values that are equal as printed tie, and submissions of the same images, in whatever order, have one value: sums in
    another order differ in the last bits. The rows do not depend on the order of the outcomes.

    Args:
        outcomes: all that were graded and rejected, each of another file.
        cache: the folder to keep shared images in, which are then not looked for again; None keeps nothing.
        beside: attempts that do not count and get no row; images that are shared with them are flagged all the same.
    """
    graded = sorted(_with_one_value(outcomes), key=lambda pair: (pair[1].score.value, pair[0].file))
    others = [(outcome, outcome.graded) for outcome in beside if outcome.graded is not None]
    twice = _told_twice(outcomes)
    rows: list[LeaderboardRow] = []
    with console.progress("Looking for shared images", total=len(graded), unit="submissions") as task:
        compared = _shared_images([*graded, *others], cache)  # it goes on to the others, which get no row
        for place, ((outcome, found), shared) in enumerate(zip(graded, compared, strict=False), 1):
            flags, broken = shared_flags_of(shared)
            for sentence in broken:
                console.warn(f"{outcome.file}: {sentence}")
            before = rows[-1] if rows else None
            tied = before is not None and before.score is not None and printed(before.score) == printed(found.score)
            notes = (*found.notes, *broken, *twice.get(outcome.file, ()))
            rows.append(
                LeaderboardRow(outcome, (*found.flags, *flags), before.rank if before and tied else place, notes)
            )
            task.advance()
    rejected = sorted((outcome for outcome in outcomes if outcome.rejection), key=lambda outcome: outcome.file)
    return (*rows, *(LeaderboardRow(outcome, notes=twice.get(outcome.file, ())) for outcome in rejected))


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
    """For each graded submission those of other students that have some of its images, in their order.

    Of another student's several submissions it is the one that has the most of them, the first of these.
    """
    found = shared_images([submission.fingerprints for _, submission in graded], cache)
    for (outcome, submission), others in zip(graded, found, strict=True):
        most: dict[str, tuple[int, Matches]] = {}
        for other, matches in others:
            whose = _whose(graded[other][0])
            if whose != _whose(outcome) and (whose not in most or len(matches.found) > len(most[whose][1].found)):
                most[whose] = (other, matches)
        examples = max(1, min(EXAMPLES, _ALL_EXAMPLES // max(1, len(most))))
        yield [
            SharedImages(
                submission.names, str(graded[other][0].student_number), graded[other][1].names, matches, examples
            )
            for other, matches in most.values()
        ]


def _whose(outcome: Outcome) -> str:
    """Equal for submissions of one student."""
    return (outcome.student_number or outcome.file).casefold()
