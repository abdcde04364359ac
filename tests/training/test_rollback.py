"""A run that collapses goes back to where it was at its best, once."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from facegen.data.dataset import FaceDataset
from facegen.training import loop, rollback
from facegen.training.checkpoint import checkpoint_files, load_checkpoint, newest_checkpoint
from facegen.training.distributed import Ranks
from facegen.training.health import Diverged
from facegen.training.log import read_log
from facegen.training.loop import LoopResult, training_loop
from facegen.training.outputs import PeriodicScore
from facegen.training.recipe import Recipe
from facegen.training.trainer import Trainer

Go = Callable[..., LoopResult]


class Scorer:
    """Hands out ``values``."""

    def __init__(self, *values: float) -> None:
        self._values = iter(values)

    def features(self, images: np.ndarray) -> np.ndarray:
        return images.reshape(len(images), -1).astype(np.float32)

    def score(self, images: np.ndarray, features: np.ndarray) -> PeriodicScore:
        return PeriodicScore(next(self._values), "FID", True, {})


Rates = dict[int, list[float]]


@pytest.fixture
def rates(monkeypatch: pytest.MonkeyPatch) -> Rates:
    """G's learning rates in the order of its steps: ``{step: [rate, …]}``.

    From the ninth step on a trainer at the recipe's rate collapses, so that its images are alike; at a lower rate, not.
    """
    seen: Rates = {}

    class Collapsing(Trainer):
        def __call__(self, step: int) -> dict[str, torch.Tensor]:
            figures = super().__call__(step)
            seen.setdefault(step, []).append(float(self._inputs.rates[0]))
            return figures

        def _figures(self, *words: Any) -> dict[str, torch.Tensor]:
            figures = super()._figures(*words)
            is_collapse = self._inputs.rate_factor == 1 and len(seen) >= 8
            return {**figures, "spread": torch.tensor(0.01 if is_collapse else 0.5)}

    monkeypatch.setattr(loop, "Trainer", Collapsing)
    return seen


@pytest.fixture
def go(tiny_recipe: Recipe, tiny_dataset: FaceDataset, tmp_path: Path) -> Go:
    """Trains 16 steps into ``run``: a tick each, a checkpoint every fourth, and rollback, unless options differ."""

    def go(run: str = "run", changes: dict[str, Any] | None = None, **options: Any) -> LoopResult:
        folder = tmp_path / run
        folder.mkdir(exist_ok=True)
        often = {"kimg": 0.128, "tick_kimg": 0.008, "checkpoint_every": 0.032, **(changes or {})}
        given = {"rollback": True, "checkpoint": newest_checkpoint(folder), **options}
        return training_loop(
            tiny_recipe.with_overrides(often),
            tiny_dataset,
            folder,
            device=torch.device("cpu"),
            precision=torch.float32,
            ranks=Ranks(),
            **given,
        )

    return go


def test_a_collapse_goes_back_to_a_checkpoint_of_when_all_was_well(
    go: Go, rates: Rates, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Alike from the tick of 72 images on, told at the third, 88; the newest checkpoint is of 64."""
    assert go().images_seen == 128
    run = tmp_path / "run"
    told = capsys.readouterr().err.replace("\n", " ")
    assert "collapsed at kimg 0.088: the generator's images have been nearly identical for 3 ticks" in told
    assert "goes back to its best checkpoint, kimg 0.064, and continues at 0.5 times the learning rates" in told
    assert [len(rates[step]) for step in range(16)] == [1] * 8 + [2] * 3 + [1] * 5
    full, slowed = rates[8]
    assert full == pytest.approx(2e-4) and slowed == pytest.approx(1e-4) == rates[15][0]
    ticks = read_log(run)
    assert [tick["kimg"] for tick in ticks] == [step * 8 / 1000 for step in range(1, 17)]
    assert all(tick["spread"] == 0.5 for tick in ticks)


def test_what_is_dropped_is_kept(go: Go, rates: Rates, tmp_path: Path) -> None:
    """Checkpoints come sooner than the third bad tick: they were saved in trouble, and are not gone back to."""
    go(changes={"checkpoint_every": 0.016})
    record = json.loads((tmp_path / "run" / "rollback.json").read_text(encoding="utf-8"))
    assert (record["from_kimg"], record["to_kimg"], record["rate_factor"]) == (0.088, 0.064, 0.5)
    assert [tick["spread"] for tick in record["ticks"]] == pytest.approx([0.01] * 3)
    assert [path.name for path in (tmp_path / "run" / "rolled-back").iterdir()] == ["kimg-000000.080.png"]
    grids = sorted(path.name for path in (tmp_path / "run" / "samples").iterdir())
    assert grids == [f"kimg-{kimg:010.3f}.png" for kimg in np.arange(1, 9) * 0.016]


def test_the_best_score_says_where_to(go: Go, tmp_path: Path) -> None:
    """The best checkpoint, of 32 images, is none of the newest two by then. A second collapse is only warned of."""
    changes = {"score_every": 0.016, "checkpoint_every": 0.016}
    scorer = Scorer(30.0, 10.0, 15.0, 16.0, 16.0, 9.0, 20.0, 20.0, 20.0, 20.0, 20.0)
    result = go(changes=changes, scorer=scorer)
    record = json.loads((tmp_path / "run" / "rollback.json").read_text(encoding="utf-8"))
    assert (record["from_kimg"], record["to_kimg"]) == (0.08, 0.032)
    assert (
        "collapsed at kimg 0.08: 2 scores in a row are far worse than the best (FID 16.0, best 10.0)."
        in record["reason"]
    )
    assert [tick["score"] for tick in record["ticks"] if "score" in tick] == [15.0, 16.0, 16.0]
    assert [tick["score"] for tick in read_log(tmp_path / "run") if "score" in tick] == [
        30.0,
        10.0,
        9.0,
        *[20.0] * 4,
        20.0,
    ]
    assert result == LoopResult(128, 9.0)


def test_a_run_without_a_checkpoint_begins_anew(
    go: Go, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Once: where the lower rate does no better, it is an error as without a rollback."""

    class Poisoned(Trainer):
        def __call__(self, step: int) -> dict[str, torch.Tensor]:
            if step == 2:
                with torch.no_grad():
                    next(self.generator.parameters()).fill_(float("nan"))
            return super().__call__(step)

    monkeypatch.setattr(loop, "Trainer", Poisoned)
    with pytest.raises(Diverged, match=r"stopped at kimg 0\.024: loss_d is nan"):
        go()
    told = capsys.readouterr().err.replace("\n", " ")
    assert told.count("goes back to its start, and continues at 0.5 times the learning rates") == 1
    assert [tick["kimg"] for tick in read_log(tmp_path / "run")] == [0.008, 0.016]


def test_without_a_rollback_it_is_said_and_trained_on(
    go: Go, rates: Rates, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert go(rollback=False).images_seen == 128
    assert capsys.readouterr().err.replace("\n", " ").count("The generator has collapsed") == 1
    assert not (tmp_path / "run" / "rollback.json").exists()
    assert all(len(times) == 1 for times in rates.values())


def test_a_run_that_was_rolled_back_goes_on_at_its_lower_rate(go: Go, rates: Rates, tmp_path: Path) -> None:
    """Stopped and gone on with, it is the run that was never stopped, to the bit."""
    go("whole")
    rates.clear()
    go("parts", changes={"kimg": 0.096})
    go("parts")
    ours, theirs = (load_checkpoint(checkpoint_files(tmp_path / run)[0]) for run in ("parts", "whole"))
    torch.testing.assert_close(ours["trainer"], theirs["trainer"], rtol=0, atol=0)
    assert ours["rate_factor"] == 0.5 and not ours["troubled"]
    assert len(read_log(tmp_path / "parts")) == 16


class Crash(BaseException):
    """In the place of kill -9: nothing catches it, and nothing is cleaned up."""


@pytest.mark.parametrize("step", ["write_json", "write_checkpoint", "_set_grids_aside"])
def test_a_kill_in_between_leaves_a_run_that_is_rolled_back_anew(
    step: str, go: Go, rates: Rates, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def crash(*words: Any) -> None:
        raise Crash

    go("whole")
    rates.clear()
    with monkeypatch.context() as patch:
        patch.setattr(rollback, step, crash)
        with pytest.raises(Crash):
            go("killed")
    go("killed")
    ours, theirs = (load_checkpoint(checkpoint_files(tmp_path / run)[0]) for run in ("killed", "whole"))
    torch.testing.assert_close(ours["trainer"], theirs["trainer"], rtol=0, atol=0)
    assert [tick["kimg"] for tick in read_log(tmp_path / "killed")] == [
        tick["kimg"] for tick in read_log(tmp_path / "whole")
    ]


def test_a_file_system_without_links_keeps_a_copy(
    go: Go, rates: Rates, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def no_links(*paths: Path) -> None:
        raise PermissionError

    monkeypatch.setattr("os.link", no_links)
    go(changes={"score_every": 0.032}, scorer=Scorer(3.0, 2.0, 1.5, 1.0, 1.0, 1.0))
    assert load_checkpoint(tmp_path / "run" / "checkpoints" / "best.pt")["best"] == 1.0


def test_other_ranks_go_where_the_writer_went(go: Go, rates: Rates, tmp_path: Path) -> None:
    go()
    restart = rollback.follow_roll_back(tmp_path / "run", 64)
    assert restart.checkpoint is not None and restart.checkpoint["rate_factor"] == restart.rate_factor == 0.5
    assert rollback.follow_roll_back(tmp_path / "run", 0).checkpoint is None
