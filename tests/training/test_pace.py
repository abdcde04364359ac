from __future__ import annotations

import math

import pytest
import torch

from facegen.training.known_curves import KNOWN_CURVES, OUT_OF_REACH, RELATIVES, KnownCurve, known_curve
from facegen.training.pace import PaceTeller, outlook
from facegen.training.recipe import load_recipe, recipe_names

CPU, GPU = torch.device("cpu"), torch.device("cuda")


def said(
    name: str, rate: float, *, size: int = 64, kimg: float = 0.0, device: torch.device = CPU, **changes: object
) -> str:
    return " ".join(outlook(load_recipe(name).with_overrides(changes), size, kimg, rate, device))


class TestKnownCurves:
    CURVE = KnownCurve("FID", 20.0, ((10.0, 40.0), (100.0, 20.0), (1000.0, 10.0)))

    def test_values_between_the_measured_ones_are_linear_in_the_logarithm(self) -> None:
        assert self.CURVE.value_at(100.0) == 20.0
        assert self.CURVE.value_at(math.sqrt(1000.0)) == pytest.approx(30.0)
        assert self.CURVE.value_at(9.0) is None and self.CURVE.value_at(1001.0) is None

    def test_a_pass_is_below_the_target_and_measured(self) -> None:
        assert self.CURVE.kimg_to_target == 1000.0
        assert KnownCurve("FID", 20.0, ((10.0, 40.0),)).kimg_to_target is None

    def test_a_curve_is_that_of_what_the_recipe_learns_by(self) -> None:
        laptop = load_recipe("laptop")
        assert (
            known_curve(laptop.with_overrides({"kimg": 3.0, "seed": 7, "score_every": 1.0})) is KNOWN_CURVES["laptop"]
        )
        assert known_curve(laptop.with_overrides({"generator_lr": 0.1})) is None
        assert known_curve(laptop.with_overrides({"name": "mine"})) is None

    def test_what_is_known_is_of_recipes_that_there_are(self) -> None:
        assert {*KNOWN_CURVES, *OUT_OF_REACH, *RELATIVES, *RELATIVES.values()} <= set(recipe_names())
        for curve in KNOWN_CURVES.values():
            assert list(curve.points) == sorted(curve.points)


class TestOutlook:
    """1,010 kimg at 33 images/s take 30,606 s, which are 8 h 30 min; 1,200 take 10.1 h; 7,200 s see 237.6 kimg."""

    def test_the_target_is_that_far_and_two_hours_would_do_for_less(self) -> None:
        words = said("laptop", 33.0)
        assert words.startswith(
            "At 33 images/s the run needs about 10 hours to reach 1,200 kimg. On CelebA this recipe reached the "
        )
        assert "after 1,010 kimg (≈FID 18.0; the target is 18.5), about 8 hours 30 minutes from now." in words
        assert words.endswith(
            "A new run with --minutes 120 would fit the whole schedule into 238 kimg and reach about ≈FID 21."
        )

    def test_a_run_that_stands_somewhere_has_the_rest_before_it(self) -> None:
        assert "needs about 2 hours 37 minutes to reach 1,200 kimg" in said("laptop", 33.0, kimg=890.0)
        assert "the target is 18.5), about 1 hour 1 minute from now." in said("laptop", 33.0, kimg=890.0)

    def test_a_run_that_ends_before_the_target_is_told_so(self) -> None:
        words = said("laptop", 33.0, kimg=20.0, minutes=120.0) + said("laptop", 33.0, schedule_kimg=160.0)
        assert "At 33 images/s the run reaches 1,200 kimg in 120 minutes." in words
        short = load_recipe("laptop").with_overrides({"kimg": 160.0, "schedule_kimg": 160.0})
        assert "This run ends before that, at about ≈FID 21." in " ".join(outlook(short, 64, 0.0, 33.0, CPU))

    def test_what_cannot_pass_or_is_not_known_is_said(self) -> None:
        assert "dcgan does not reach a FID of 20 at 1,000 images, however long it trains" in said(
            "dcgan", 5000.0, device=GPU
        )
        assert "It is not known how long best takes to reach a FID of 20." in said("best", 5000.0, device=GPU)
        assert "laptop, which has the same networks, reached the target after 1,010 kimg" in said(
            "t4", 400.0, device=GPU
        )

    def test_a_recipe_of_a_gpu_on_a_cpu_is_pointed_to_laptop(self) -> None:
        assert said("best", 10.0).endswith("On a CPU, use --recipe laptop instead.")
        assert "On a CPU" not in said("best", 10.0, device=GPU) + said("laptop", 1.0)

    def test_of_other_sizes_nothing_is_known(self) -> None:
        assert "FID" not in said("laptop", 33.0, size=128)


def test_the_pace_is_told_once_when_it_is_known_and_the_end_is_far(capsys: pytest.CaptureFixture[str]) -> None:
    recipe = load_recipe("laptop")
    teller = PaceTeller(64, CPU, 32_000, 1000.0)
    teller.look(recipe, 32_640, 1019.0)
    assert capsys.readouterr().err == ""
    teller.look(recipe, 33_000, 1025.0)
    teller.look(recipe, 34_000, 1050.0)
    assert (
        capsys.readouterr()
        .err.replace("\n", " ")
        .count("At 40 images/s the run needs about 8 hours 6 minutes to reach 1,200 kimg.")
        == 1
    )
    near = PaceTeller(64, CPU, 1_190_000, 0.0)
    near.look(recipe, 1_191_000, 25.0)
    assert capsys.readouterr().err == ""
