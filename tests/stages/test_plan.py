from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

from facegen.errors import EnvironmentProblem, InputError
from facegen.stages.plan import plan
from facegen.stages.train import train
from facegen.training import foresight
from facegen.training.checkpoint import checkpoint_files


@pytest.fixture
def step_takes(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """``step_takes(seconds)``: by the plan's clock, a step takes so long, and nothing else any time."""
    now = [0.0]

    def step_takes(seconds: float) -> None:
        class Timed(foresight.Trainer):
            def __call__(self, step: int) -> Any:
                now[0] += seconds
                return super().__call__(step)

        monkeypatch.setattr(foresight, "Trainer", Timed)

    monkeypatch.setattr(time, "perf_counter", lambda: now[0])
    yield step_takes


def test_the_pace_is_that_of_the_steps_and_nothing_is_left(
    dataset: Path, recipe: Path, tmp_path: Path, step_takes: Any
) -> None:
    """8 images in a step of half a second are 16 images/s; 8 of 1.0 kimg take 500 s."""
    step_takes(0.5)
    before = sorted(tmp_path.rglob("*"))
    planned = plan(dataset, tmp_path / "run", recipe=recipe, overrides={"kimg": 8.0}, device="cpu", seconds=6.0)
    assert planned.images_per_sec == pytest.approx(16.0) and planned.seconds == pytest.approx(500.0)
    assert (planned.images, planned.size, planned.device, planned.precision) == (20, 16, "cpu", "float32")
    assert planned.measured >= 4.0 and planned.score_seconds is None
    assert sorted(tmp_path.rglob("*")) == before


def test_by_the_clock_it_says_how_far_the_minutes_reach(dataset: Path, recipe: Path, step_takes: Any) -> None:
    """10 minutes at 16 images/s, of which 3% are for files."""
    step_takes(0.5)
    planned = plan(dataset, recipe=recipe, overrides={"minutes": 10.0}, device="cpu", seconds=6.0)
    assert planned.recipe.kimg == pytest.approx(600 * 0.97 * 16 / 1000)
    assert planned.lines()[1] == "Measured for 4 s. At 16 images/s the run reaches 9.312 kimg in 10 minutes."


def test_a_run_is_planned_from_where_it_stands(dataset: Path, recipe: Path, tmp_path: Path, step_takes: Any) -> None:
    train(dataset, tmp_path / "run", recipe=recipe, device="cpu")
    step_takes(0.5)
    planned = plan(dataset, tmp_path / "run", overrides={"kimg": 8.032}, device="cpu", seconds=6.0)
    assert planned.kimg == 0.032 and planned.seconds == pytest.approx(500.0)
    assert planned.lines()[0].startswith("quick from kimg 0.032 to 8.032 kimg, in batches of 8, on 20 images of 16×16")
    with pytest.raises(InputError, match="holds a run that differs in batch"):
        plan(dataset, tmp_path / "run", overrides={"batch": 4}, device="cpu", seconds=0.0)


def test_disk_is_what_the_run_then_takes(dataset: Path, recipe: Path, tmp_path: Path) -> None:
    """Two checkpoints and the generator, within what files have around their tensors."""
    planned = plan(dataset, recipe=recipe, device="cpu", seconds=0.0)
    train(dataset, tmp_path / "run", recipe=recipe, overrides={"checkpoint_every": 0.016}, device="cpu")
    files = [*checkpoint_files(tmp_path / "run"), tmp_path / "run" / "last.safetensors"]
    taken = sum(path.stat().st_size for path in files)
    assert len(files) == 3 and 0.3 * taken < planned.disk_bytes < taken


def test_scores_are_measured_and_counted(dataset: Path, recipe: Path) -> None:
    planned = plan(
        dataset,
        recipe=recipe,
        overrides={"kimg": 1.0, "score_every": 0.25},
        device="cpu",
        extractor=f"{__name__}:mean_colours",
        seconds=0.0,
    )
    assert planned.scores == 4 and planned.score_seconds is not None and planned.score_seconds > 0
    assert planned.lines()[2].startswith("Scores: 4, of 1,000 images: ")


def mean_colours(images: Any) -> Any:
    return images.mean((1, 2), dtype="float32")


def test_a_batch_that_does_not_fit_is_an_error_with_one_that_does(
    dataset: Path, recipe: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def too_large(*words: Any, **options: Any) -> None:
        raise torch.cuda.OutOfMemoryError("CUDA out of memory")

    monkeypatch.setattr(foresight, "open_trainer", too_large)
    with pytest.raises(EnvironmentProblem, match=r"A batch of 8 images does not fit into memory\. A batch of 4 fits"):
        plan(dataset, recipe=recipe, device="cpu")


def test_ranks_do_not_measure(dataset: Path, recipe: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WORLD_SIZE", "2")
    with pytest.raises(InputError, match="measured by one process"):
        plan(dataset, recipe=recipe)


def test_the_command_prints_it(facegen: Any, dataset: Path, recipe: Path, tmp_path: Path, step_takes: Any) -> None:
    step_takes(8.0)
    outcome = facegen(
        "train", dataset, tmp_path / "run", "--recipe", recipe, "--kimg", "2", "--dry-run", "--device", "cpu"
    )
    assert outcome.exit_code == 0, outcome.stderr
    _, second, third = outcome.stdout.splitlines()
    assert second == "Measured for 32 s. At 1.0 images/s the run needs about 33 minutes to reach 2 kimg."
    assert third.startswith("Memory: ") and not (tmp_path / "run").exists()
