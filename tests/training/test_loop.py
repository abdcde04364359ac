from __future__ import annotations

import json
import os
import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from facegen.data.dataset import FaceDataset, new_dataset
from facegen.errors import InputError
from facegen.training import loop
from facegen.training.checkpoint import checkpoint_files, load_checkpoint
from facegen.training.distributed import Ranks
from facegen.training.health import Diverged
from facegen.training.log import read_log
from facegen.training.loop import LoopResult, training_loop
from facegen.training.outputs import Outputs, PeriodicScore
from facegen.training.recipe import Recipe, load_recipe
from facegen.training.saved_generator import load_generator
from facegen.training.stopping import Stopped
from facegen.training.tensorboard import TensorBoard
from facegen.training.trainer import Trainer

PENALISED = {"discriminator_norm": "none", "loss": "relativistic", "r1_gamma": 2.0, "r2_gamma": 2.0}
MEASURED = ("loss_d", "loss_g", "d_real", "d_fake", "spread")


def go(recipe: Recipe, dataset: FaceDataset, run: Path, **options: Any) -> LoopResult:
    run.mkdir(exist_ok=True)
    options.setdefault("boards", [TensorBoard])
    return training_loop(
        recipe, dataset, run, device=torch.device("cpu"), precision=torch.float32, ranks=Ranks(), **options
    )


class Scorer:
    """Hands out ``values``, and looks whether it is given the images and their own features."""

    def __init__(self, values: list[float], metric: str = "FID", *, is_fid: bool = True) -> None:
        self._values, self._metric, self._is_fid = iter(values), metric, is_fid

    def features(self, images: np.ndarray) -> np.ndarray:
        assert images.shape == (4, 16, 16, 3) and images.dtype == np.uint8
        return images.reshape(4, -1).astype(np.float32)

    def score(self, images: np.ndarray, features: np.ndarray) -> PeriodicScore:
        assert (features == images.reshape(4, -1)).all()
        value = next(self._values)
        return PeriodicScore(value, self._metric, self._is_fid, {"value": value})


def clocked(run: Callable[[], LoopResult]) -> tuple[float, LoopResult]:
    """How long it took, in seconds, and what came of it."""
    start = time.perf_counter()
    result = run()
    return time.perf_counter() - start, result


def test_leaves_log_samples_checkpoints_and_generator(
    tiny_recipe: Recipe, tiny_dataset: FaceDataset, tmp_path: Path
) -> None:
    run = tmp_path / "run"
    go(tiny_recipe, tiny_dataset, run)
    # Ticks at 32, 64 and 96 images; checkpoints at 48 (which makes a tick of its own) and 96.
    assert [tick["kimg"] for tick in read_log(run)] == [0.032, 0.048, 0.064, 0.096]
    assert {"images_per_sec", "loss_d", "loss_g", "sec_per_kimg", "d_real", "d_fake"} <= read_log(run)[0].keys()
    assert [path.name for path in checkpoint_files(run)] == ["kimg-000000.096.pt", "kimg-000000.048.pt"]
    assert len(list((run / "samples").glob("*.png"))) == 2
    assert list(run.glob("events.out.tfevents.*"))
    saved = load_generator(run / "last.safetensors")
    assert (saved.recipe, saved.size, saved.kimg) == (tiny_recipe, 16, 0.096)
    assert saved.dataset_sha256 == tiny_dataset.sha256


def test_a_resumed_run_is_the_uninterrupted_one_to_the_bit(
    tiny_recipe: Recipe, tiny_dataset: FaceDataset, tmp_path: Path
) -> None:
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    go(tiny_recipe, tiny_dataset, whole)
    go(tiny_recipe.with_overrides({"kimg": 0.048}), tiny_dataset, parts)
    go(tiny_recipe, tiny_dataset, parts, checkpoint=load_checkpoint(checkpoint_files(parts)[0]))
    ours, theirs = (load_checkpoint(checkpoint_files(run)[0])["trainer"] for run in (parts, whole))
    torch.testing.assert_close(ours, theirs, rtol=0, atol=0)
    for mine, his in zip(read_log(parts), read_log(whole), strict=True):
        assert {key: mine[key] for key in MEASURED} == {key: his[key] for key in MEASURED}


def test_the_best_generator_is_kept_with_its_score(
    tiny_recipe: Recipe, tiny_dataset: FaceDataset, tmp_path: Path
) -> None:
    recipe = tiny_recipe.with_overrides({"score_every": 0.032})
    assert go(recipe, tiny_dataset, tmp_path / "run", scorer=Scorer([3.0, 1.0, 2.0])) == LoopResult(96, 1.0)
    assert load_generator(tmp_path / "run" / "best.safetensors").kimg == 0.064
    scores = [(tick["kimg"], tick["score"]) for tick in read_log(tmp_path / "run") if "score" in tick]
    assert scores == [(0.032, 3.0), (0.064, 1.0), (0.096, 2.0)]


@pytest.mark.parametrize(("metric", "best"), [("FID", 3.0), ("another FD", 5.0)])
def test_a_resumed_run_compares_scores_of_one_metric_alone(
    metric: str, best: float, tiny_recipe: Recipe, tiny_dataset: FaceDataset, tmp_path: Path
) -> None:
    recipe = tiny_recipe.with_overrides({"score_every": 0.048, "kimg": 0.048})
    go(recipe, tiny_dataset, tmp_path / "run", scorer=Scorer([3.0]))
    checkpoint = load_checkpoint(checkpoint_files(tmp_path / "run")[0])
    more = recipe.with_overrides({"kimg": 0.096})
    ended = go(more, tiny_dataset, tmp_path / "run", scorer=Scorer([5.0], metric), checkpoint=checkpoint)
    assert ended.best == best


@pytest.mark.parametrize(("metric", "is_fid"), [("FID", True), ("effnet-lite0 FD", False)])
def test_the_log_and_tensorboard_call_fid_what_is_fid_alone(
    metric: str, is_fid: bool, tiny_recipe: Recipe, tiny_dataset: FaceDataset, tmp_path: Path
) -> None:
    recipe = tiny_recipe.with_overrides({"kimg": 0.008, "score_every": 0.008})
    go(recipe, tiny_dataset, tmp_path / "run", scorer=Scorer([3.0], metric, is_fid=is_fid))
    (tick,) = read_log(tmp_path / "run")
    assert (tick["score"], tick["metric"], tick.get("fid")) == (3.0, metric, 3.0 if is_fid else None)
    board = EventAccumulator(str(tmp_path / "run")).Reload()
    assert {"score", "fid"} & set(board.Tags()["scalars"]) == ({"score", "fid"} if is_fid else {"score"})


def test_ctrl_c_saves_after_the_step_at_hand(
    tiny_recipe: Recipe, tiny_dataset: FaceDataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Interrupted(loop.Trainer):
        def __call__(self, step: int) -> torch.Tensor:
            if step == 4:
                os.kill(os.getpid(), signal.SIGINT)
            return super().__call__(step)

    before = signal.getsignal(signal.SIGINT)
    with monkeypatch.context() as patch:
        patch.setattr(loop, "Trainer", Interrupted)
        with pytest.raises(KeyboardInterrupt):
            go(tiny_recipe, tiny_dataset, tmp_path / "run")
    assert signal.getsignal(signal.SIGINT) is before
    checkpoint = load_checkpoint(checkpoint_files(tmp_path / "run")[0])
    assert checkpoint["images_seen"] == 5 * tiny_recipe.batch

    go(tiny_recipe, tiny_dataset, tmp_path / "run", checkpoint=checkpoint)
    go(tiny_recipe, tiny_dataset, tmp_path / "whole")
    ours, theirs = (load_checkpoint(checkpoint_files(tmp_path / run)[0])["trainer"] for run in ("run", "whole"))
    torch.testing.assert_close(ours, theirs, rtol=0, atol=0)


def test_a_score_that_fails_does_not_lose_what_is_trained(
    tiny_recipe: Recipe, tiny_dataset: FaceDataset, tmp_path: Path
) -> None:
    recipe = tiny_recipe.with_overrides({"score_every": 0.032})
    with pytest.raises(StopIteration):
        go(recipe, tiny_dataset, tmp_path / "run", scorer=Scorer([3.0]))
    checkpoint = load_checkpoint(checkpoint_files(tmp_path / "run")[0])
    assert (checkpoint["images_seen"], checkpoint["best"]) == (64, 3.0)


def test_stops_rather_than_train_on_nan_and_keeps_the_checkpoint_before(
    tiny_recipe: Recipe, tiny_dataset: FaceDataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Poisoned(loop.Trainer):
        def __call__(self, step: int) -> torch.Tensor:
            if step == 8:
                with torch.no_grad():
                    next(self.generator.parameters()).fill_(float("nan"))
            return super().__call__(step)

    monkeypatch.setattr(loop, "Trainer", Poisoned)
    with pytest.raises(Diverged, match=r"stopped at kimg 0\.096: loss_d is nan"):
        go(tiny_recipe, tiny_dataset, tmp_path / "run")
    checkpoint = load_checkpoint(checkpoint_files(tmp_path / "run")[0])
    assert checkpoint["images_seen"] == 48
    weights = checkpoint["trainer"]["generator"].values()
    assert all(torch.isfinite(tensor).all() for tensor in weights if tensor.is_floating_point())


def test_a_log_cut_short_by_a_killed_process_is_mended(
    tiny_recipe: Recipe, tiny_dataset: FaceDataset, tmp_path: Path
) -> None:
    run = tmp_path / "run"
    go(tiny_recipe, tiny_dataset, run)
    with (run / "log.jsonl").open("a") as file:
        file.write('{"kimg": 0.1, "los')
    longer = tiny_recipe.with_overrides({"kimg": 0.128})
    go(longer, tiny_dataset, run, checkpoint=load_checkpoint(checkpoint_files(run)[0]))
    lines = (run / "log.jsonl").read_text().splitlines()
    assert [json.loads(line)["kimg"] for line in lines] == [0.032, 0.048, 0.064, 0.096, 0.128]


def test_by_the_clock_the_schedules_follow_the_pace(
    tiny_recipe: Recipe, tiny_dataset: FaceDataset, tmp_path: Path
) -> None:
    """Three seconds, for a recipe of hours: the run has as many kimg as it reached, and its rate is at its end."""
    recipe = tiny_recipe.with_overrides(
        {"minutes": 0.05, "kimg": 1000.0, "generator_lr": [1e-3, 1e-5], "schedule": "linear", "schedule_kimg": 500.0}
    )
    seconds, result = clocked(lambda: go(recipe, tiny_dataset, tmp_path / "run"))
    assert 3.0 <= seconds < 6.0
    state = load_checkpoint(checkpoint_files(tmp_path / "run")[0])
    planned = load_recipe(tmp_path / "run" / "recipe.toml")
    assert state["recipe"] == planned.to_dict() and planned.minutes == 0.05
    assert planned.schedule_kimg == pytest.approx(planned.kimg / 2)
    assert planned.kimg < 1000 and state["images_seen"] == result.images_seen
    assert read_log(tmp_path / "run")[-1]["kimg"] == result.images_seen / 1000
    (group,) = state["trainer"]["optimizer_g"]["param_groups"]
    assert group["lr"] == pytest.approx(planned.at("generator_lr", result.images_seen - recipe.batch))


def test_a_run_whose_time_is_over_at_the_start_has_a_step(
    tiny_recipe: Recipe, tiny_dataset: FaceDataset, tmp_path: Path
) -> None:
    go(tiny_recipe.with_overrides({"minutes": 1e-9}), tiny_dataset, tmp_path / "run")
    assert load_generator(tmp_path / "run" / "last.safetensors").kimg == tiny_recipe.images_per_step / 1000


def test_a_run_by_the_clock_that_was_stopped_goes_on_for_the_rest_of_its_time(
    tiny_recipe: Recipe, tiny_dataset: FaceDataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Interrupted(loop.Trainer):
        def __call__(self, step: int) -> Any:
            if step == 4:
                os.kill(os.getpid(), signal.SIGINT)
            return super().__call__(step)

    recipe = tiny_recipe.with_overrides({"minutes": 1.0, "kimg": 1000.0})
    with monkeypatch.context() as patch:
        patch.setattr(loop, "Trainer", Interrupted)
        with pytest.raises(KeyboardInterrupt):
            go(recipe, tiny_dataset, tmp_path / "run")
    state = load_checkpoint(checkpoint_files(tmp_path / "run")[0])
    assert state["images_seen"] == 40 and state["recipe"]["kimg"] != 1000.0
    state["seconds"] = 59.0
    seconds, result = clocked(
        lambda: go(
            recipe.with_overrides({"kimg": state["recipe"]["kimg"]}), tiny_dataset, tmp_path / "run", checkpoint=state
        )
    )
    assert seconds < 3.0 and result.images_seen > 40
    assert load_checkpoint(checkpoint_files(tmp_path / "run")[0])["recipe"]["kimg"] == state["recipe"]["kimg"]


def test_the_clock_puts_scores_and_checkpoints_off(
    tiny_recipe: Recipe, tiny_dataset: FaceDataset, tmp_path: Path
) -> None:
    """An hour between them is never over here: what is left is the end's."""
    recipe = tiny_recipe.with_overrides({"score_every": 0.032, "score_minutes": 60.0, "checkpoint_minutes": 60.0})

    go(recipe, tiny_dataset, tmp_path / "run", scorer=Scorer([1.0]))
    assert [tick["kimg"] for tick in read_log(tmp_path / "run") if "score" in tick] == [0.096]
    assert len(checkpoint_files(tmp_path / "run")) == 1


def test_the_log_tells_what_is_not_training(tiny_recipe: Recipe, tiny_dataset: FaceDataset, tmp_path: Path) -> None:
    class Slow(Scorer):
        def features(self, images: np.ndarray) -> np.ndarray:
            time.sleep(0.2)
            return super().features(images)

    recipe = tiny_recipe.with_overrides({"score_every": 0.032})
    seconds, _ = clocked(lambda: go(recipe, tiny_dataset, tmp_path / "run", scorer=Slow([1.0, 1.0, 1.0])))
    last = read_log(tmp_path / "run")[-1]
    assert last["aside_seconds"] >= 0.6 and last["seconds"] + last["aside_seconds"] <= seconds
    state = load_checkpoint(checkpoint_files(tmp_path / "run")[0])
    assert state["aside_seconds"] == last["aside_seconds"]


def test_a_penalty_that_float16_skipped_is_null_in_the_log(
    tiny_recipe: Recipe, tiny_dataset: FaceDataset, tmp_path: Path
) -> None:
    recipe = tiny_recipe.with_overrides({**PENALISED, "tick_kimg": 0.008})
    (tmp_path / "run").mkdir()
    training_loop(
        recipe, tiny_dataset, tmp_path / "run", device=torch.device("cpu"), precision=torch.float16, ranks=Ranks()
    )
    penalties = [tick["penalty"] for tick in read_log(tmp_path / "run")]
    assert penalties[0] is None and penalties[-1] > 0


@pytest.mark.parametrize("name", ["penalty", "d_fake", "spread"])
def test_any_figure_that_is_no_number_ends_a_run_in_float32(
    name: str, tiny_recipe: Recipe, tiny_dataset: FaceDataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Poisoned(loop.Trainer):
        def _figures(self, *words: Any) -> dict[str, torch.Tensor]:
            return {**super()._figures(*words), name: torch.tensor(float("inf"))}

    monkeypatch.setattr(loop, "Trainer", Poisoned)
    recipe = tiny_recipe.with_overrides({**PENALISED, "tick_kimg": 0.008})
    with pytest.raises(Diverged, match=rf"stopped at kimg 0\.008: {name} is inf"):
        go(recipe, tiny_dataset, tmp_path / "run")


@pytest.mark.parametrize("change", ["pixels", "times", "another dataset"])
def test_a_dataset_that_changes_in_place_ends_the_run_before_anything_is_written_of_it(
    change: str, tiny_recipe: Recipe, tiny_dataset: FaceDataset, tmp_path: Path
) -> None:
    """After the first checkpoint, at 0.048 kimg; where another dataset takes its place, before it."""
    images = tiny_dataset.path / "images.npy"

    class Changing(Scorer):
        def score(self, drawn: np.ndarray, features: np.ndarray) -> PeriodicScore:
            if change == "another dataset":
                with new_dataset(tiny_dataset.path, 16) as writer:
                    writer.append(255 - tiny_dataset.images, tiny_dataset.names, tiny_dataset.splits)
                    writer.finish({})
            else:
                data = images.read_bytes()
                images.write_bytes(data[:-1] + bytes([data[-1] ^ (change == "pixels")]))
            return super().score(drawn, features)

    score_every, run = 0.032 if change == "another dataset" else 0.064, tmp_path / "run"
    recipe = tiny_recipe.with_overrides({"score_every": score_every, "tick_kimg": 0.016})
    if change != "pixels":
        assert go(recipe, tiny_dataset, run, scorer=Changing([3.0, 2.0, 1.0])).images_seen == 96
        return
    with pytest.raises(InputError, match=r"changed since it was prepared: images\.npy holds other pixels"):
        go(recipe, tiny_dataset, run, scorer=Changing([3.0]))
    assert [load_checkpoint(path)["images_seen"] for path in checkpoint_files(run)] == [48]


def test_sigterm_breaks_a_score_off_and_saves(tiny_recipe: Recipe, tiny_dataset: FaceDataset, tmp_path: Path) -> None:
    class Endless(Scorer):
        def features(self, images: np.ndarray) -> np.ndarray:
            os.kill(os.getpid(), signal.SIGTERM)
            time.sleep(60)
            raise AssertionError("the score was waited for")

    recipe = tiny_recipe.with_overrides({"score_every": 0.032})
    with pytest.raises(Stopped):
        go(recipe, tiny_dataset, tmp_path / "run", scorer=Endless([]))
    assert load_checkpoint(checkpoint_files(tmp_path / "run")[0])["images_seen"] == 32
    assert "score" not in read_log(tmp_path / "run")[-1]


def test_a_request_before_the_first_step_leaves_nothing(
    tiny_recipe: Recipe, tiny_dataset: FaceDataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def compiling(*words: Any, **options: Any) -> None:
        os.kill(os.getpid(), signal.SIGTERM)
        time.sleep(60)

    monkeypatch.setattr(loop, "open_trainer", compiling)
    with pytest.raises(KeyboardInterrupt) as told:
        go(tiny_recipe, tiny_dataset, tmp_path / "run")
    assert not isinstance(told.value, Stopped) and not list((tmp_path / "run").iterdir())


def test_weights_that_are_not_finite_are_not_saved_in_the_place_of_good_ones(
    tiny_recipe: Recipe, tiny_dataset: FaceDataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The last step's figures are of the weights before it, and finite."""

    class Poisoned(loop.Trainer):
        def __call__(self, step: int) -> Any:
            figures = super().__call__(step)
            if step == 11:
                with torch.no_grad():
                    next(self.generator.parameters()).fill_(float("nan"))
            return figures

    monkeypatch.setattr(loop, "Trainer", Poisoned)
    run = tmp_path / "run"
    with pytest.raises(
        Diverged, match=r"0\.096: the weights of generator are not finite.*000\.048\.pt was saved before that"
    ):
        go(tiny_recipe, tiny_dataset, run)
    assert load_generator(run / "last.safetensors").kimg == 0.048
    assert [path.name for path in checkpoint_files(run)] == ["kimg-000000.048.pt"]


def test_a_score_that_is_no_number_is_null_and_never_the_best(
    tiny_recipe: Recipe, tiny_dataset: FaceDataset, tmp_path: Path
) -> None:
    recipe = tiny_recipe.with_overrides({"score_every": 0.032})
    scorer = Scorer([float("nan"), 2.0, float("nan")])
    assert go(recipe, tiny_dataset, tmp_path / "run", scorer=scorer).best == 2.0
    assert [tick["score"] for tick in read_log(tmp_path / "run") if "score" in tick] == [None, 2.0, None]


class Crash(BaseException):
    """In the place of kill -9: nothing catches it, and nothing is cleaned up."""


def test_a_crash_while_a_checkpoint_is_written_changes_nothing_of_the_run(
    tiny_recipe: Recipe, tiny_dataset: FaceDataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole, crashed = tmp_path / "whole", tmp_path / "crashed"
    recipe = tiny_recipe.with_overrides({"score_every": 0.032, "checkpoint_every": 0.032})
    go(recipe, tiny_dataset, whole, scorer=Scorer([3.0, 1.0, 2.0]))
    save, saves = torch.save, []

    def crash(state: Any, file: Any) -> None:
        saves.append(file)
        if len(saves) == 2:
            file.write(b"half of it")
            raise Crash
        save(state, file)

    with monkeypatch.context() as patch:
        patch.setattr(torch, "save", crash)
        with pytest.raises(Crash):
            go(recipe, tiny_dataset, crashed, scorer=Scorer([3.0, 1.0]))
    checkpoint = load_checkpoint(checkpoint_files(crashed)[0])
    assert checkpoint["images_seen"] == 32
    assert go(recipe, tiny_dataset, crashed, checkpoint=checkpoint, scorer=Scorer([1.0, 2.0])) == LoopResult(96, 1.0)
    ours, theirs = (load_checkpoint(checkpoint_files(run)[0])["trainer"] for run in (crashed, whole))
    torch.testing.assert_close(ours, theirs, rtol=0, atol=0)
    assert (crashed / "best.safetensors").read_bytes() == (whole / "best.safetensors").read_bytes()
    kept = ("kimg", "score", *MEASURED)
    mine, his = ([{key: tick.get(key) for key in kept} for tick in read_log(run)] for run in (crashed, whole))
    assert mine == his


def test_what_a_kill_kept_from_being_written_beside_the_last_checkpoint_is_written_then(
    tiny_recipe: Recipe, tiny_dataset: FaceDataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole, crashed = tmp_path / "whole", tmp_path / "crashed"
    go(tiny_recipe, tiny_dataset, whole)

    def crash(saved: Outputs, trainer: Trainer, seen: int) -> None:
        if seen == 96:
            raise Crash
        samples(saved, trainer, seen)

    samples = Outputs.samples
    with monkeypatch.context() as patch:
        patch.setattr(Outputs, "samples", crash)
        with pytest.raises(Crash):
            go(tiny_recipe, tiny_dataset, crashed)
    go(tiny_recipe, tiny_dataset, crashed, checkpoint=load_checkpoint(checkpoint_files(crashed)[0]))
    for name in ("last.safetensors", "samples/kimg-000000.096.png"):
        assert (crashed / name).read_bytes() == (whole / name).read_bytes()


def test_a_score_that_a_stop_broke_off_is_made_up_for(
    tiny_recipe: Recipe, tiny_dataset: FaceDataset, tmp_path: Path
) -> None:
    class Asked(Scorer):
        def score(self, images: np.ndarray, features: np.ndarray) -> PeriodicScore:
            score = super().score(images, features)
            if score.value == 1.0:
                os.kill(os.getpid(), signal.SIGTERM)
            return score

    whole, stopped = tmp_path / "whole", tmp_path / "stopped"
    recipe = tiny_recipe.with_overrides({"score_every": 0.048})
    go(recipe, tiny_dataset, whole, scorer=Scorer([2.0, 1.0]))
    with pytest.raises(Stopped):
        go(recipe, tiny_dataset, stopped, scorer=Asked([2.0, 1.0]))
    checkpoint = load_checkpoint(checkpoint_files(stopped)[0])
    assert checkpoint["owes_score"] and checkpoint["best"] == 2.0
    assert go(recipe, tiny_dataset, stopped, checkpoint=checkpoint, scorer=Scorer([1.0])) == LoopResult(96, 1.0)
    assert not load_checkpoint(checkpoint_files(stopped)[0])["owes_score"]
    assert (stopped / "best.safetensors").read_bytes() == (whole / "best.safetensors").read_bytes()
    mine, his = ([(tick["kimg"], tick.get("score")) for tick in read_log(run)] for run in (stopped, whole))
    assert mine == his


def test_a_run_by_the_clock_that_goes_on_before_its_pace_is_known_finds_it_then(
    tiny_recipe: Recipe, tiny_dataset: FaceDataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = tmp_path / "run"
    recipe = tiny_recipe.with_overrides({"minutes": 1.0, "tick_kimg": 0.008, "checkpoint_every": 0.008})
    save = Outputs.checkpoint

    def crash(saved: Outputs, *words: Any) -> None:
        save(saved, *words)
        raise Crash

    with monkeypatch.context() as patch:
        patch.setattr(Outputs, "checkpoint", crash)
        with pytest.raises(Crash):
            go(recipe, tiny_dataset, run)
    checkpoint = load_checkpoint(checkpoint_files(run)[0])
    assert not checkpoint["is_settled"]
    lengths = []

    def settled(saved: Outputs, recipe: Recipe) -> None:
        lengths.append(recipe.kimg)
        if len(lengths) == 2:
            raise Crash

    monkeypatch.setattr(Outputs, "recipe", settled)
    monkeypatch.setattr("facegen.training.clock.WARM_UP", (0.0, 0.0))
    monkeypatch.setattr("facegen.training.clock.MEASURED", (0.0, 0.0))
    with pytest.raises(Crash):
        go(recipe, tiny_dataset, run, checkpoint=checkpoint)
    assert lengths[0] == recipe.kimg != lengths[1]
