from __future__ import annotations

import pytest

from facegen.training.health import Health

WELL = {"d_real": 0.7, "d_fake": 0.3, "spread": 0.4}


def warnings_of(ticks: list[dict[str, float | None]], capsys: pytest.CaptureFixture[str]) -> list[str]:
    health = Health()
    for tick in ticks:
        health.check(tick)
    return [line for line in capsys.readouterr().err.splitlines() if line.startswith("warning")]


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"d_real": 0.999, "d_fake": 0.001}, "The discriminator has won"),
        ({"d_real": 0.4, "d_fake": 0.6}, "The discriminator has collapsed"),
        ({"spread": 0.01}, "The generator has collapsed"),
    ],
)
def test_each_collapse_is_said_once_an_episode(
    change: dict[str, float], words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    ill: dict[str, float | None] = {**WELL, **change}
    warnings = warnings_of([WELL, ill, ill, WELL, ill], capsys)
    assert len(warnings) == 2 and all(words in warning for warning in warnings)


def test_images_may_be_alike_at_the_start_but_not_for_long(capsys: pytest.CaptureFixture[str]) -> None:
    alike: dict[str, float | None] = {**WELL, "spread": 0.01}
    assert warnings_of([alike] * Health.GRACE, capsys) == []
    assert len(warnings_of([alike] * (Health.GRACE + 1), capsys)) == 1


def test_healthy_training_is_not_warned_about(capsys: pytest.CaptureFixture[str]) -> None:
    assert warnings_of([WELL] * 3, capsys) == []


def collapse_after(spreads: list[float]) -> str | None:
    health = Health()
    for spread in spreads:
        health.check({"d_real": 0.6, "d_fake": 0.4, "spread": spread})
    return health.collapse


def test_images_that_stay_alike_are_a_collapse_and_a_moment_is_none() -> None:
    assert collapse_after([0.5, 0.01, 0.01]) is None
    assert collapse_after([0.5, 0.01, 0.01, 0.5, 0.01, 0.01]) is None
    assert collapse_after([0.01] * 20) is None  # of a G that never drew anything else
    told = collapse_after([0.5, 0.02, 0.02, 0.01])
    assert told == "the generator's images have been nearly identical for 3 ticks (standard deviation 0.010 per pixel)"


@pytest.mark.parametrize(
    ("scores", "is_collapse"),
    [
        ([30.0, 20.0, 31.0, 20.5, 31.0], False),  # up and down
        ([30.0, 20.0, 29.0, 29.9, 29.9], False),  # worse, and not by so much
        ([20.0, 31.0, 31.0], True),
        ([300.0, 20.0, 31.0, 40.0], True),
    ],
)
def test_scores_far_above_the_best_are_a_collapse(scores: list[float], is_collapse: bool) -> None:
    health, best = Health(), None
    for score in scores:
        health.check_score(score, best, "FID")
        best = score if best is None else min(best, score)
    assert (health.collapse is not None) == is_collapse
