"""Curves that a page can show: what a point is where there are more ticks than points."""

from __future__ import annotations

import math

import numpy as np
import pytest

from facegen.training.recipe import load_recipe
from facegen.training.run_view import Rollback
from facegen.watching.curves import MOST_POINTS, Curves


def test_few_ticks_are_the_points() -> None:
    ticks = [
        {"kimg": 1.0, "loss_d": 0.5, "seconds": 1800, "aside_seconds": 1800, "metric": "FID", "score": 3},
        {"kimg": 2.0, "loss_d": None, "loss_g": 7, "seconds": 3600},
        {"kimg": 3.0, "loss_d": math.inf, "loss_g": True, "new": 1.0},
    ]
    curves = Curves().of(ticks, None)
    assert (curves["kimg"], curves["hours"][:2], curves["ticks_a_point"]) == ([1.0, 2.0, 3.0], [1.0, 1.0], 1)
    assert curves["figures"] == {
        "loss_d": {"mean": [0.5, None, None]},
        "loss_g": {"mean": [None, 7.0, None]},
        "new": {"mean": [None, None, 1.0]},
    }


def test_many_ticks_are_means_between_their_extremes() -> None:
    values = np.random.default_rng(0).normal(size=2 * MOST_POINTS - 1)
    ticks = [{"kimg": float(place), "x": float(value)} for place, value in enumerate(values)]
    curves = Curves().of(ticks, None)
    x = curves["figures"]["x"]
    assert curves["ticks_a_point"] == 2 and len(x["mean"]) == len(curves["kimg"]) == MOST_POINTS
    pairs = values[:-1].reshape(-1, 2)
    np.testing.assert_allclose(x["mean"][:-1], pairs.mean(1), rtol=1e-3, atol=1e-4)
    np.testing.assert_allclose(x["low"][:-1], pairs.min(1), rtol=1e-4)
    np.testing.assert_allclose(x["high"][:-1], pairs.max(1), rtol=1e-4)
    assert x["mean"][-1] == x["low"][-1] == pytest.approx(values[-1], rel=1e-4)
    assert curves["kimg"][:2] == [1.0, 3.0] and curves["kimg"][-1] == ticks[-1]["kimg"]


def test_a_point_without_any_figure_is_none() -> None:
    ticks = [{"kimg": float(place), **({"x": 1.0} if place < 2 else {})} for place in range(MOST_POINTS + 2)]
    x = Curves().of(ticks, None)["figures"]["x"]
    assert x["mean"][:2] == x["low"][:2] == x["high"][:2] == [1.0, None]


def test_ticks_are_added_to_those_that_were_seen() -> None:
    ticks = [{"kimg": float(place), "x": float(place)} for place in range(5)]
    curves = Curves()
    curves.of(ticks[:3], None)
    assert curves.of(ticks, None) == Curves().of(ticks, None)


def test_another_log_is_looked_through_anew() -> None:
    curves = Curves()
    curves.of([{"kimg": 1.0, "x": 5.0}, {"kimg": 2.0, "x": 5.0}], None)
    other = [{"kimg": 1.0, "x": 1.0}, {"kimg": 2.0}, {"kimg": 3.0, "y": 2.0}]
    assert curves.of(other, None) == Curves().of(other, None)


def test_the_rate_is_the_recipes() -> None:
    recipe = load_recipe("quick").with_overrides(
        {"generator_lr": [0.002, 0.001], "schedule": "linear", "schedule_kimg": 4.0}
    )
    ticks = [{"kimg": float(kimg)} for kimg in (1, 2, 4)]
    rollback = Rollback(3.0, 2.0, "", 0.5, ())
    assert Curves().of(ticks, recipe)["figures"]["generator_lr"]["mean"] == [0.00175, 0.0015, 0.001]
    assert Curves().of(ticks, recipe, rollback)["figures"]["generator_lr"]["mean"] == [0.00175, 0.0015, 0.0005]
    said = [{"kimg": 1.0, "generator_lr": 0.7}]
    assert Curves().of(said, recipe)["figures"]["generator_lr"]["mean"] == [0.7]
