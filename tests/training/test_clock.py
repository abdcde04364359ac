"""By a clock that is set by hand."""

from __future__ import annotations

import pytest

from facegen.training.clock import Clock, Length
from facegen.training.hyperparameter import MOST_KIMG, MOST_MINUTES
from facegen.training.recipe import Recipe


class Hand:
    """A clock's hand."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.at = 1000.0
        monkeypatch.setattr("facegen.training.clock.time.perf_counter", lambda: self.at)


@pytest.fixture
def hand(monkeypatch: pytest.MonkeyPatch) -> Hand:
    return Hand(monkeypatch)


def test_training_and_what_is_beside_it_are_told_apart(hand: Hand) -> None:
    clock = Clock(trained=100.0, aside=10.0)
    hand.at += 3
    assert clock.lap(training=False) == 3.0
    hand.at += 20
    assert clock.now == 133.0
    assert clock.lap(training=True) == 20.0
    assert (clock.trained, clock.aside, clock.now) == (120.0, 13.0, 133.0)


def test_a_length_in_kimg_is_reached_with_the_last_image(hand: Hand, tiny_recipe: Recipe) -> None:
    length = Length(tiny_recipe.with_overrides({"kimg": 0.096}), Clock(), settled=False)
    length.start()
    hand.at += 1e6
    assert length.is_settled and not length.wants_to_look()
    assert [length.is_over(seen) for seen in (88, 96)] == [False, True]


def test_by_the_clock_the_pace_of_the_first_seconds_says_how_far(hand: Hand, tiny_recipe: Recipe) -> None:
    """Ten minutes at 100 images a second, of which 3% go to scores and files."""
    recipe = tiny_recipe.with_overrides(
        {"minutes": 10.0, "kimg": 4.0, "generator_lr": [1.0, 0.5], "schedule_kimg": 3.0, "schedule": "linear"}
    )
    clock = Clock()
    hand.at += 60  # of compiling
    clock.lap(training=False)
    length = Length(recipe, clock, settled=False)
    length.start()
    hand.at += 4.9
    assert not length.wants_to_look()
    hand.at += 0.2
    assert length.wants_to_look() and length.look(96) is None  # slow at first
    hand.at += 17.9
    assert not length.wants_to_look()
    hand.at += 1.1
    assert length.wants_to_look()
    kimg = length.look(96 + 1904)
    left = 600 - 60 - 5.1 - 19.0
    assert kimg == pytest.approx((2000 + 0.97 * left * 1904 / 19.0) / 1000, abs=0.008)
    assert kimg * 1000 % recipe.batch == 0
    settled = length.settle(kimg)
    assert length.is_settled and not length.wants_to_look()
    assert settled.kimg == kimg and settled.schedule_kimg == pytest.approx(kimg * 3 / 4)
    assert settled.at("generator_lr", round(500 * kimg * 3 / 4)) == pytest.approx(0.75, rel=1e-3)
    hand.at += left - 0.1
    assert not length.is_over(10**9)
    hand.at += 0.2
    assert length.is_over(0)


def test_a_run_that_stops_before_its_pace_is_known_takes_what_it_has(hand: Hand, tiny_recipe: Recipe) -> None:
    length = Length(tiny_recipe.with_overrides({"minutes": 1.0}), Clock(), settled=False)
    length.start()
    hand.at += 0.1
    assert length.look(80, last=True) == pytest.approx((80 + 0.97 * 59.9 * 800) / 1000, abs=0.008)


def test_a_run_that_goes_on_before_its_pace_is_known_takes_its_own(hand: Hand, tiny_recipe: Recipe) -> None:
    recipe = tiny_recipe.with_overrides({"minutes": 1.0})
    length = Length(recipe, Clock(trained=1.0), settled=False)
    length.start(8000)
    hand.at += 1
    assert length.look(8080, last=True) == pytest.approx((8080 + 0.97 * 58 * 80) / 1000, abs=0.008)


@pytest.mark.parametrize(("kimg", "schedule_kimg"), [(1.0, 1e8), (1e-320, 1.0), (1e-320, 0.0)])
def test_a_length_of_any_proportion_is_within_the_limits(
    tiny_recipe: Recipe, kimg: float, schedule_kimg: float
) -> None:
    recipe = tiny_recipe.with_overrides({"minutes": 1.0, "kimg": kimg, "schedule_kimg": schedule_kimg})
    settled = Length(recipe, Clock(), settled=False).settle(2.0)
    assert (settled.kimg, settled.schedule_kimg) == (2.0, min(schedule_kimg * 1e9, MOST_KIMG))


def test_ten_years_of_a_quick_machine_are_within_the_limits(hand: Hand, tiny_recipe: Recipe) -> None:
    length = Length(tiny_recipe.with_overrides({"minutes": float(MOST_MINUTES)}), Clock(), settled=False)
    length.start()
    hand.at += 1
    reached = length.look(8_000_000, last=True)
    assert reached == MOST_KIMG and length.settle(reached).kimg == MOST_KIMG


def test_a_clock_that_stands_still_is_no_division_by_zero(hand: Hand, tiny_recipe: Recipe) -> None:
    length = Length(tiny_recipe.with_overrides({"minutes": 1.0}), Clock(), settled=False)
    length.start()
    assert length.look(8, last=True) is not None


def test_a_run_that_goes_on_keeps_its_length_and_its_time(hand: Hand, tiny_recipe: Recipe) -> None:
    length = Length(tiny_recipe.with_overrides({"minutes": 1.0}), Clock(trained=40.0, aside=10.0), settled=True)
    length.start()
    hand.at += 9.9
    assert not length.wants_to_look() and not length.is_over(0)
    hand.at += 0.2
    assert length.is_over(0)
