from __future__ import annotations

import pytest
import torch

from facegen.training import foresight
from facegen.training.foresight import seconds_of_training
from facegen.training.recipe import load_recipe
from facegen.training.trainer import Trainer

CPU = torch.device("cpu")
TINY = load_recipe("quick").with_overrides(
    {"generator_width": 2, "discriminator_width": 2, "batch": 4, "kimg": 4.0, "precision": "fp32"}
)


def test_it_is_a_steps_time_for_each_step(monkeypatch: pytest.MonkeyPatch) -> None:
    """By a clock on which a step takes three seconds: 4,000 images in batches of 4 are 1,000 steps."""
    now = [0.0]

    def step(self: Trainer, number: int) -> None:
        now[0] += 50.0 if number < 2 else 3.0  # a machine warms up

    monkeypatch.setattr(Trainer, "__call__", step)
    monkeypatch.setattr(Trainer, "read_figures", lambda self: {})
    monkeypatch.setattr(foresight.time, "perf_counter", lambda: now[0])
    assert seconds_of_training(TINY, 64, CPU) == pytest.approx(3000)


def test_it_leaves_nothing_behind(monkeypatch: pytest.MonkeyPatch) -> None:
    """What training draws at random afterwards is what it would have drawn."""
    monkeypatch.setattr(foresight, "SHORT", 0.0)
    torch.manual_seed(7)
    before = torch.get_rng_state()
    assert seconds_of_training(TINY, 64, CPU) > 0
    assert torch.equal(torch.get_rng_state(), before)
