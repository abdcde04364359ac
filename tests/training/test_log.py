from __future__ import annotations

import pytest

from facegen.training.log import Health, describe_tick

WELL = {"d_real": 0.7, "d_fake": 0.3, "spread": 0.4}


def warnings_of(ticks: list[dict[str, float | None]], capsys: pytest.CaptureFixture[str]) -> list[str]:
    health = Health()
    for tick in ticks:
        health.check(tick)
    return [line for line in capsys.readouterr().err.splitlines() if line.startswith("warning")]


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"d_real": 0.999, "d_fake": 0.001}, "the discriminator has won"),
        ({"d_real": 0.4, "d_fake": 0.6}, "the discriminator has collapsed"),
        ({"spread": 0.01}, "the generator has collapsed"),
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


def test_a_healthy_game_is_not_warned_about(capsys: pytest.CaptureFixture[str]) -> None:
    assert warnings_of([WELL] * 3, capsys) == []


def test_a_tick_tells_the_figures_of_the_interface() -> None:
    figures: dict[str, float | None] = {
        "kimg": 12.0,
        "sec_per_kimg": 3.5,
        "images_per_sec": 285.7,
        "loss_d": 1.2,
        "loss_g": 0.9,
        "d_real": 0.61,
        "d_fake": 0.42,
        "memory_gib": None,
        "fid": 123.456,
    }
    line = describe_tick(figures)
    for part in ("kimg 12.0", "sec/kimg 3.50", "286 images/s", "loss D 1.200 G 0.900", "D(x) 0.61", "D(G(z)) 0.42"):
        assert part in line
    assert line.endswith("score 123.46") and "memory" not in line
