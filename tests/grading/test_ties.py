"""Who cannot be told from whom, and the ranks that follow, by hand."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from facegen.grading.fingerprints import Fingerprints
from facegen.grading.outcome import GradedSubmission, Outcome
from facegen.grading.ranking import rank
from facegen.scoring.score import Score


def submission(value: float, error: float, first: int, private: float | None = None) -> GradedSubmission:
    """A submission of 40 images, numbered from ``first`` on, whose jackknife error is ``error``."""
    n = 40
    deviations = np.where(np.arange(n) % 2, 1.0, -1.0) * error * np.sqrt(1 / (n - 1))
    prints = Fingerprints(np.arange(first, first + n, dtype=np.uint64), _hashes(first), _hashes(first + 500))
    score = Score("fd", value, n, 1, "mean", "0" * 64, 9, "1" * 64)
    hidden = None if private is None else Score("fd", private, n, 1, "mean", "0" * 64, 9, "2" * 64)
    left_out = {"public": value + deviations, "private": (private or 0.0) + deviations}
    names = tuple(f"{i}.png" for i in range(n))
    return GradedSubmission(score, (), prints, names, (), b"", private=hidden, left_out=left_out)


def _hashes(seed: int) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 2**63, (40, 4)).astype(np.uint64)


@pytest.fixture
def outcomes() -> Callable[..., list[Outcome]]:
    """Of ``(value, error)`` or ``(value, error, private)`` each, called a, b, c and so on."""

    def make(*submissions: tuple[float, ...]) -> list[Outcome]:
        graded = [
            submission(value, error, 1000 * number, *private)
            for number, (value, error, *private) in enumerate(submissions)
        ]
        return [Outcome(f"{'abcdef'[i]}.tar.gz", "abcdef"[i], "2" * 64, graded=each) for i, each in enumerate(graded)]

    return make


def test_those_within_the_error_of_the_difference_share_a_rank(outcomes: Callable[..., list[Outcome]]) -> None:
    """Errors of 0.5 make one of 0.71 for the difference: 1 is within twice that, and 19 is not."""
    rows = rank(outcomes((11.0, 0.5), (10.0, 0.5), (30.0, 0.5)))
    assert [(row.name, row.rank, row.tied_with) for row in rows] == [("b", 1, ("a",)), ("a", 1, ("b",)), ("c", 3, ())]
    rows = rank(outcomes((11.0, 0.5), (10.0, 0.5), (30.0, 0.5)), strict=True)
    assert [(row.name, row.rank, row.tied_with) for row in rows] == [("b", 1, ()), ("a", 2, ()), ("c", 3, ())]


def test_a_chain_of_ties_is_not_one_tie(outcomes: Callable[..., list[Outcome]]) -> None:
    rows = rank(outcomes((10.0, 0.5), (11.2, 0.5), (12.4, 0.5)))
    assert [(row.rank, row.tied_with) for row in rows] == [(1, ("b",)), (1, ("a", "c")), (2, ("b",))]


def test_a_better_value_never_has_the_worse_rank(outcomes: Callable[..., list[Outcome]]) -> None:
    """b is surely behind a; c, behind b by its value, is known so badly that it is behind nobody surely."""
    rows = rank(outcomes((10.0, 0.1), (12.0, 0.1), (12.1, 9.0)))
    assert [(row.name, row.rank) for row in rows] == [("a", 1), ("b", 2), ("c", 2)]


def test_the_private_value_ranks_and_what_it_turns_around_is_said(outcomes: Callable[..., list[Outcome]]) -> None:
    given = outcomes((10.0, 0.1, 25.0), (15.0, 0.1, 20.0), (30.0, 0.1, 40.0))
    public, private = rank(given), rank(given, by="private")
    assert [row.name for row in public] == ["a", "b", "c"] and [row.name for row in private] == ["b", "a", "c"]
    notes = {row.name: row.notes for row in private}
    assert notes["c"] == ()
    assert "by the public value it is ahead of b, by the private one behind." in notes["a"][0]
    assert "by the public value it is behind a, by the private one ahead." in notes["b"][0]


def test_what_both_errors_allow_is_no_disagreement(outcomes: Callable[..., list[Outcome]]) -> None:
    rows = rank(outcomes((10.0, 3.0, 11.0), (11.0, 3.0, 10.0)))
    assert [row.notes for row in rows] == [(), ()]
