"""A game on a stand-in for an Apple GPU: the rules that are known of one, on the CPU. Nothing here has run on one."""

from __future__ import annotations

from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import pytest
import torch

from facegen.data.dataset import FaceDataset
from facegen.training.checkpoint import checkpoint_files, load_checkpoint
from facegen.training.distributed import Ranks
from facegen.training.log import read_log
from facegen.training.loop import training_loop
from facegen.training.recipe import Recipe

FEATURES = {
    "discriminator_norm": "none",
    "loss": "relativistic",
    "r1_gamma": 2.0,
    "r2_gamma": 2.0,
    "penalty_every": 2,
    "features": "efficientnet_lite0",
    "features_size": 32,
    "features_width": 2,
    "moments_weight": 1e-3,
    "moments_half_life_kimg": 0.016,
    "augment": "color,translation",
    "augment_probability": 0.5,
    "cuda_graphs": True,
    "generator_lr": 2e-5,
    "discriminator_lr": 2e-5,
}


@pytest.mark.parametrize("changes", [{}, FEATURES], ids=["published", "features and moments"])
def test_a_run_is_the_cpus(
    changes: dict[str, Any],
    tiny_recipe: Recipe,
    tiny_dataset: FaceDataset,
    tmp_path: Path,
    apple_gpu: AbstractContextManager[None],
) -> None:
    recipe = tiny_recipe.with_overrides({**changes, "kimg": 0.048})

    def go(name: str, device: str) -> list[dict[str, Any]]:
        (tmp_path / name).mkdir()
        where = torch.device(device)
        training_loop(recipe, tiny_dataset, tmp_path / name, device=where, precision=torch.float32, ranks=Ranks())
        return read_log(tmp_path / name)

    theirs = go("cpu", "cpu")
    with apple_gpu:
        ours = go("mps", "mps")
    for mine, his in zip(ours, theirs, strict=True):
        for name in ("loss_d", "loss_g", "d_real", "spread"):
            assert mine[name] == pytest.approx(his[name], rel=1e-3)
    state = load_checkpoint(checkpoint_files(tmp_path / "mps")[0])
    assert state["images_seen"] == 48
