from __future__ import annotations

import json
import os
import signal
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from facegen.data.dataset import FaceDataset
from facegen.training import loop
from facegen.training.checkpoint import checkpoint_files, load_checkpoint, load_generator
from facegen.training.distributed import Ranks
from facegen.training.log import read_log
from facegen.training.loop import Diverged, training_loop
from facegen.training.recipe import Recipe

MEASURED = ("loss_d", "loss_g", "d_real", "d_fake", "spread")


def go(recipe: Recipe, dataset: FaceDataset, run: Path, **options: Any) -> float | None:
    run.mkdir(exist_ok=True)
    return training_loop(
        recipe, dataset, run, device=torch.device("cpu"), precision=torch.float32, ranks=Ranks(), **options
    )


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
    ours, theirs = (load_checkpoint(checkpoint_files(run)[0])["game"] for run in (parts, whole))
    torch.testing.assert_close(ours, theirs, rtol=0, atol=0)
    for mine, his in zip(read_log(parts), read_log(whole), strict=True):
        assert {key: mine[key] for key in MEASURED} == {key: his[key] for key in MEASURED}


def test_the_best_generator_is_kept_with_its_score(
    tiny_recipe: Recipe, tiny_dataset: FaceDataset, tmp_path: Path
) -> None:
    values = iter([3.0, 1.0, 2.0])

    class Measured:
        def features(self, images: np.ndarray) -> np.ndarray:
            assert images.shape == (4, 16, 16, 3) and images.dtype == np.uint8
            return images.reshape(4, -1).astype(np.float32)

        def score(self, images: np.ndarray, features: np.ndarray) -> tuple[float, dict[str, Any]]:
            assert (features == images.reshape(4, -1)).all()
            value = next(values)
            return value, {"value": value}

    recipe = tiny_recipe.with_overrides({"fid_every": 0.032})
    assert go(recipe, tiny_dataset, tmp_path / "run", measure=Measured()) == 1.0
    assert load_generator(tmp_path / "run" / "best.safetensors").kimg == 0.064
    scores = [(tick["kimg"], tick["fid"]) for tick in read_log(tmp_path / "run") if "fid" in tick]
    assert scores == [(0.032, 3.0), (0.064, 1.0), (0.096, 2.0)]


def test_ctrl_c_saves_after_the_step_at_hand(
    tiny_recipe: Recipe, tiny_dataset: FaceDataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Interrupted(loop.Game):
        def __call__(self, step: int) -> torch.Tensor:
            if step == 4:
                os.kill(os.getpid(), signal.SIGINT)
            return super().__call__(step)

    before = signal.getsignal(signal.SIGINT)
    with monkeypatch.context() as patch:
        patch.setattr(loop, "Game", Interrupted)
        with pytest.raises(KeyboardInterrupt):
            go(tiny_recipe, tiny_dataset, tmp_path / "run")
    assert signal.getsignal(signal.SIGINT) is before
    checkpoint = load_checkpoint(checkpoint_files(tmp_path / "run")[0])
    assert checkpoint["images_seen"] == 5 * tiny_recipe.batch

    go(tiny_recipe, tiny_dataset, tmp_path / "run", checkpoint=checkpoint)
    go(tiny_recipe, tiny_dataset, tmp_path / "whole")
    ours, theirs = (load_checkpoint(checkpoint_files(tmp_path / run)[0])["game"] for run in ("run", "whole"))
    torch.testing.assert_close(ours, theirs, rtol=0, atol=0)


def test_stops_rather_than_train_on_nan_and_keeps_the_checkpoint_before(
    tiny_recipe: Recipe, tiny_dataset: FaceDataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Poisoned(loop.Game):
        def __call__(self, step: int) -> torch.Tensor:
            if step == 8:
                with torch.no_grad():
                    next(self.generator.parameters()).fill_(float("nan"))
            return super().__call__(step)

    monkeypatch.setattr(loop, "Game", Poisoned)
    with pytest.raises(Diverged, match=r"stopped at kimg 0\.096: loss_d is nan"):
        go(tiny_recipe, tiny_dataset, tmp_path / "run")
    checkpoint = load_checkpoint(checkpoint_files(tmp_path / "run")[0])
    assert checkpoint["images_seen"] == 48
    weights = checkpoint["game"]["generator"].values()
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
