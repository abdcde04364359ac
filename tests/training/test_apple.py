"""Training on a stand-in for an Apple GPU: the rules that are known of one, on the CPU. Nothing has run on one."""

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

#: So that rounding does not show: Adam follows its signs, and of 16 images the map between moments is ill-conditioned.
CALM = {"generator_lr": 2e-5, "discriminator_lr": 2e-5, "kimg": 0.048}
MOMENTS = {"moments_weight": 1e-4}


@pytest.mark.parametrize("name", ["tiny_recipe", "features_recipe"])
def test_a_run_is_the_cpus(
    name: str,
    request: pytest.FixtureRequest,
    tiny_dataset: FaceDataset,
    tmp_path: Path,
    apple_gpu: AbstractContextManager[None],
) -> None:
    recipe: Recipe = request.getfixturevalue(name).with_overrides({**CALM, "cuda_graphs": True})
    if recipe.moments_weight:
        recipe = recipe.with_overrides(MOMENTS)

    def go(name: str) -> list[dict[str, Any]]:
        run, device = tmp_path / name, torch.device(name)
        run.mkdir()
        training_loop(recipe, tiny_dataset, run, device=device, precision=torch.float32, ranks=Ranks())
        return read_log(run)

    theirs = go("cpu")
    with apple_gpu:
        ours = go("mps")
    for mine, his in zip(ours, theirs, strict=True):
        for figure in ("loss_d", "loss_g", "d_real", "spread"):
            assert mine[figure] == pytest.approx(his[figure], rel=1e-3)
    state = load_checkpoint(checkpoint_files(tmp_path / "mps")[0])
    assert state["images_seen"] == 48
