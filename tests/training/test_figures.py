from __future__ import annotations

import math

import pytest
import torch

from facegen.training.distributed import Ranks
from facegen.training.figures import RunningMeans


def add(means: RunningMeans, **figures: float) -> None:
    means.add({name: torch.tensor(value) for name, value in figures.items()})


def test_means_are_of_the_steps_since_the_last_reading() -> None:
    means = RunningMeans()
    for loss in (1.0, 2.0, 6.0):
        add(means, loss=loss, spread=2 * loss)
    assert means.read(Ranks()) == {"loss": 3.0, "spread": 6.0}
    add(means, loss=5.0, spread=1.0)
    assert means.read(Ranks()) == {"loss": 5.0, "spread": 1.0}


@pytest.mark.parametrize("missing", [math.nan, math.inf, -math.inf])
def test_what_may_be_missing_is_left_out_of_its_mean(missing: float) -> None:
    means = RunningMeans(skippable=("penalty",))
    for penalty in (missing, 1.0, missing, 3.0):
        add(means, loss=1.0, penalty=penalty)
    assert means.read(Ranks()) == {"loss": 1.0, "penalty": 2.0}
    add(means, loss=1.0, penalty=missing)
    assert means.read(Ranks()) == {"loss": 1.0, "penalty": None}


def test_what_may_not_be_missing_shows() -> None:
    means = RunningMeans(skippable=("penalty",))
    add(means, loss=1.0, penalty=1.0)
    add(means, loss=math.nan, penalty=1.0)
    figures = means.read(Ranks())
    assert math.isnan(figures["loss"] or 0.0) and figures["penalty"] == 1.0


def test_means_are_over_ranks_too() -> None:
    """A rank that skipped a step has fewer of them to the mean."""

    class Two(Ranks):
        def average(self, tensors):  # type: ignore[no-untyped-def]
            sums, counts = tensors
            sums.add_(torch.tensor([10.0, 4.0])).div_(2)  # the other rank's: one step more, both with a penalty
            counts.add_(torch.tensor([2.0, 2.0])).div_(2)

    means = RunningMeans(skippable=("penalty",))
    add(means, loss=2.0, penalty=math.nan)
    assert means.read(Two()) == {"loss": 4.0, "penalty": 2.0}
