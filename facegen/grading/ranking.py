"""Ranking: outcomes are compared with one another and become rows."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from facegen import console
from facegen.grading.fingerprints import Matches
from facegen.grading.flags import EXAMPLES, SharedImages, shared_flags_of
from facegen.grading.outcome import GradedSubmission, Outcome
from facegen.grading.rows import LeaderboardRow
from facegen.grading.shared_images import shared_images
from facegen.grading.ties import compare, disagreements
from facegen.scoring.score import Score

#: Maximum number of pairs that all flags for shared images of a submission list together; each flag lists at least one.
#: If a whole class submits the same images, the page would otherwise list millions of pairs.
_ALL_EXAMPLES = 200


def rank(
    outcomes: Sequence[Outcome],
    cache: Path | None = None,
    beside: Sequence[Outcome] = (),
    *,
    by: str = "public",
    strict: bool = False,
) -> tuple[LeaderboardRow, ...]:
    """Return the rows of the leaderboard: the graded submissions by rising value, then the rejected ones by name.

    The rank of a submission is 1 plus the number of submissions that are better by more than the error of the
    difference (:func:`facegen.metrics.paired.margins_of_difference`). So chance alone costs nobody a place. Values
    that are equal as printed tie. Submissions of the same images in a different order get one value, because sums in
    another order differ in the last bits. The rows do not depend on the order of the outcomes.

    Args:
        outcomes: All graded and rejected submissions, each from a different file.
        cache: The folder in which shared images are kept, so that they are not searched for again; None to keep
            nothing.
        beside: Attempts that do not count and get no row. Images shared with them are flagged all the same.
        by: The value that ranks, ``"public"`` or ``"private"``.
        strict: Whether to rank by value alone, whatever its error.
    """
    pairs = _with_one_value(outcomes)
    graded = sorted(pairs, key=lambda pair: (_value(pair[1], by), pair[0].file))
    others = [(outcome, outcome.graded) for outcome in beside if outcome.graded is not None]
    found = [each for _, each in graded]
    has_private = bool(found) and all(each.private is not None for each in found)
    comparisons = {which: compare(found, which) for which in (("public", "private") if has_private else (by,))}
    comparison = comparisons[by]
    ranks = comparison.strict_ranks() if strict else comparison.ranks()
    names = [outcome.name for outcome, _ in graded]
    sentences: list[str | None] = [None] * len(graded)
    if has_private:
        sentences = disagreements(comparisons["public"], comparisons["private"], names)
    twice = _told_twice(outcomes)
    rows: list[LeaderboardRow] = []
    with console.progress("Looking for shared images", total=len(graded), unit="submissions") as task:
        compared = _shared_images([*graded, *others], cache)  # the others come last and get no row
        for row, ((outcome, each), shared) in enumerate(zip(graded, compared, strict=False)):
            flags, broken = shared_flags_of(shared)
            for sentence in broken:
                console.warn(f"{outcome.file}: {sentence}")
            said = sentences[row]
            notes = (*each.notes, *([] if said is None else [said]), *broken, *twice.get(outcome.file, ()))
            tied_with = () if strict else tuple(names[other] for other in comparison.tied(row))
            rows.append(LeaderboardRow(outcome, (*each.flags, *flags), ranks[row], notes, tied_with))
            task.advance()
    rejected = sorted((outcome for outcome in outcomes if outcome.rejection), key=lambda outcome: outcome.file)
    return (*rows, *(LeaderboardRow(outcome, notes=twice.get(outcome.file, ())) for outcome in rejected))


def _value(found: GradedSubmission, by: str) -> float:
    score = found.score if by == "public" else found.private
    assert score is not None
    return score.value


def _with_one_value(outcomes: Sequence[Outcome]) -> list[tuple[Outcome, GradedSubmission]]:
    """Return the graded outcomes.

    Submissions of the same images all get the smallest of their values and its verdict.
    """
    lowest: dict[tuple[bytes, str], Score] = {}
    graded = []
    for outcome in outcomes:
        if outcome.graded is not None:
            images = np.sort(outcome.graded.fingerprints.pixels).tobytes()
            for which in ("score", "private"):
                score: Score | None = getattr(outcome.graded, which)
                if score is not None:
                    known = lowest.get((images, which), score)
                    lowest[images, which] = min(known, score, key=lambda score: score.value)
            graded.append((outcome, outcome.graded, images))
    pairs = []
    for outcome, found, images in graded:
        found = replace(found, score=_as_low(found.score, lowest[images, "score"]))
        if found.private is not None:
            found = replace(found, private=_as_low(found.private, lowest[images, "private"]))
        pairs.append((replace(outcome, graded=found), found))
    return pairs


def _as_low(score: Score, least: Score) -> Score:
    return replace(score, value=least.value, passed=least.passed)


def _told_twice(outcomes: Sequence[Outcome]) -> dict[str, tuple[str, ...]]:
    """Return, by file, a note that other files have the same student number, ignoring case.

    Also print it as a warning.
    """
    files: dict[str, list[str]] = {}
    for outcome in sorted(outcomes, key=lambda outcome: outcome.file):
        if outcome.student_number is not None:
            files.setdefault(outcome.student_number.casefold(), []).append(outcome.file)
    notes: dict[str, tuple[str, ...]] = {}
    for same in files.values():
        if len(same) > 1:
            sentence = (
                f"{' and '.join(map(repr, same))} have the same student number except for upper and lower case. "
                "They may be from one student."
            )
            console.warn(sentence)
            notes.update(dict.fromkeys(same, (sentence,)))
    return notes


def _shared_images(
    graded: Sequence[tuple[Outcome, GradedSubmission]], cache: Path | None
) -> Iterator[list[SharedImages]]:
    """Yield, for each graded submission, the submissions of other students that have some of its images, in order.

    If another student has several submissions, take the one that shares the most images, or the first of these.
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
    """Return a key that is equal for submissions of one student."""
    return outcome.name.casefold()
