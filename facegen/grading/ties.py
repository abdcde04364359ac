"""Which submissions cannot be told from one another by their values, and the ranks that follow from that."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from facegen.grading.outcome import GradedSubmission
from facegen.metrics.paired import margins_of_difference

#: Examples in a sentence.
_NAMED = 5


@dataclass(frozen=True)
class Comparison:
    """Graded submissions compared by one of their values.

    Attributes:
        values: float64 [k], as printed: to four decimals.
        better: bool [k, k]: whether the first's value is lower than the second's by more than the difference's error.
    """

    values: npt.NDArray[np.float64]
    better: npt.NDArray[np.bool_]

    def ranks(self) -> list[int]:
        """1 and the number of those that are better beyond the error; no better than that of any with a lower value.

        So two that cannot be told apart need not share a rank: each is judged by those that are surely ahead of it. And
        a value that is known badly does not overtake, nor changes any other's rank.
        """
        ranks = 1 + self.better.sum(axis=0)
        order = np.argsort(self.values, kind="stable")
        from_ahead = np.maximum.accumulate(ranks[order])
        # Values that are equal as printed share the worst of their ranks.
        last = np.searchsorted(self.values[order], self.values[order], side="right") - 1
        ranks[order] = from_ahead[last]
        return [int(rank) for rank in ranks]

    def strict_ranks(self) -> list[int]:
        """The place by value; values that are equal as printed share one."""
        return [int(place) for place in 1 + np.searchsorted(np.sort(self.values), self.values)]

    def tied(self, row: int) -> npt.NDArray[np.int64]:
        """The others from which this one cannot be told, rising."""
        others = ~(self.better[row] | self.better[:, row])
        others[row] = False
        return np.flatnonzero(others)


def compare(graded: Sequence[GradedSubmission], which: str) -> Comparison:
    """Compare submissions by their ``"public"`` or ``"private"`` values.

    Without what errors are measured by (few images, other scorers) any difference of printed values counts.
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
    """For each submission a sentence where the two values disagree, beyond both errors, on who is ahead of whom."""
    sentences: list[str | None] = []
    for row in range(len(names)):
        overtaken = np.flatnonzero(public.better[row] & private.better[:, row])
        overtakes = np.flatnonzero(public.better[:, row] & private.better[row])
        parts = [
            f"it is {how} {_some([names[int(other)] for other in others])}"
            for how, others in (
                ("ahead of, and by the private one behind,", overtaken),
                ("behind, and by the private one ahead of,", overtakes),
            )
            if len(others)
        ]
        sentences.append(
            f"The two references disagree beyond their errors: by the public value {'; '.join(parts)}."
            if parts
            else None
        )
    return sentences


def _some(names: Sequence[str]) -> str:
    more = f" and {len(names) - _NAMED} more" if len(names) > _NAMED else ""
    return ", ".join(names[:_NAMED]) + more
