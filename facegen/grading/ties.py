"""Ties: the submissions that cannot be told apart by their values, and the ranks that follow from that."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from facegen.grading.outcome import GradedSubmission
from facegen.metrics.paired import margins_of_difference

#: Maximum number of names in a sentence.
_NAMED = 5


@dataclass(frozen=True)
class Comparison:
    """A comparison of graded submissions by one of their values.

    Attributes:
        values: The values as printed, to four decimal places: float64 [k].
        better: bool [k, k], whether the first value is lower than the second by more than the error of the difference.
    """

    values: npt.NDArray[np.float64]
    better: npt.NDArray[np.bool_]

    def ranks(self) -> list[int]:
        """Return the ranks: 1 plus the number of submissions that are better beyond the error.

        A rank is never better than that of a submission with a lower value. Two submissions that cannot be told apart
        need not share a rank, because each is judged by those that are surely ahead of it. A value with a large error
        neither overtakes others nor changes their ranks.
        """
        ranks = 1 + self.better.sum(axis=0)
        order = np.argsort(self.values, kind="stable")
        from_ahead = np.maximum.accumulate(ranks[order])
        # Values that are equal as printed share the worst of their ranks.
        last = np.searchsorted(self.values[order], self.values[order], side="right") - 1
        ranks[order] = from_ahead[last]
        return [int(rank) for rank in ranks]

    def strict_ranks(self) -> list[int]:
        """Return the ranks by value alone. Values that are equal as printed share a rank."""
        return [int(place) for place in 1 + np.searchsorted(np.sort(self.values), self.values)]

    def tied(self, row: int) -> npt.NDArray[np.int64]:
        """Return the other submissions that cannot be told apart from this one, in rising order."""
        others = ~(self.better[row] | self.better[:, row])
        others[row] = False
        return np.flatnonzero(others)


def compare(graded: Sequence[GradedSubmission], which: str) -> Comparison:
    """Compare submissions by their ``"public"`` or ``"private"`` values.

    If the errors cannot be measured (few images, other scorers), any difference of printed values counts.
    """
    scores = [found.score if which == "public" else found.private for found in graded]
    values = np.array([round(score.value, 4) for score in scores if score is not None])
    difference = values[None, :] - values[:, None]
    margins = np.zeros_like(difference)
    known = [row for row, found in enumerate(graded) if len(found.left_out.get(which, ())) > 2]
    if known:
        left_out = [graded[row].left_out[which] for row in known]
        margins[np.ix_(known, known)] = margins_of_difference(
            left_out, [graded[row].fingerprints.pixels for row in known]
        )
    return Comparison(values, difference > margins)


def disagreements(public: Comparison, private: Comparison, names: Sequence[str]) -> list[str | None]:
    """Return a sentence for each submission whose two values disagree, beyond both errors, about who is ahead."""
    sentences: list[str | None] = []
    for row in range(len(names)):
        overtaken = np.flatnonzero(public.better[row] & private.better[:, row])
        overtakes = np.flatnonzero(public.better[:, row] & private.better[row])
        parts = [
            f"by the public value it is {one} {_some([names[int(at)] for at in others])}, by the private one {other}"
            for one, other, others in (("ahead of", "behind", overtaken), ("behind", "ahead", overtakes))
            if len(others)
        ]
        sentences.append(
            f"The public and the private value disagree beyond their errors: {'; '.join(parts)}." if parts else None
        )
    return sentences


def _some(names: Sequence[str]) -> str:
    more = f" and {len(names) - _NAMED} more" if len(names) > _NAMED else ""
    return ", ".join(names[:_NAMED]) + more
