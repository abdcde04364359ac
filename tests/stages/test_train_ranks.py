"""Training by two gloo ranks, started as torchrun starts them, against one process."""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from facegen.stages.train import train
from facegen.training.checkpoint import checkpoint_files, load_checkpoint
from facegen.training.log import read_log
from facegen.training.recipe import load_recipe

Words = list[object]
COMPARED = {"loss_d", "loss_g", "d_real", "d_fake", "penalty", "augment_p", "score"}


@pytest.fixture
def started() -> Iterator[list[subprocess.Popen[str]]]:
    """Processes that do not outlive the test."""
    processes: list[subprocess.Popen[str]] = []
    yield processes
    for process in processes:
        process.kill()
        process.communicate()


def start(processes: list[subprocess.Popen[str]], words: Words, world: int) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = str(free.getsockname()[1])
    for rank in range(world):
        environment = {"WORLD_SIZE": str(world), "RANK": str(rank), "LOCAL_RANK": str(rank), "OMP_NUM_THREADS": "1"}
        environment |= {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port}
        command = [sys.executable, "-m", "facegen", *map(str, words)]
        processes.append(
            subprocess.Popen(command, env={**os.environ, **environment}, stderr=subprocess.PIPE, text=True)
        )


def write_recipe(path: Path, name: str, **changes: object) -> Path:
    small = {"generator_width": 4, "discriminator_width": 4, "latent_dim": 4, "batch": 8, "tick_kimg": 0.016}
    small |= {"score_minutes": 0.0, "checkpoint_minutes": 0.0}
    recipe = load_recipe(name).with_overrides({**small, "precision": "fp32", "compile": False, **changes})
    path.write_text(recipe.to_toml(), encoding="utf-8")
    return path


@pytest.mark.parametrize(
    ("name", "changes", "expected"),
    [
        ("dcgan", {"sync_batch_norm": True, "score_every": 0.032, "score_images": 9}, {"score", "metric"}),
        (
            "laptop",
            # At its own rate of 0.001 the signs of gradients near 0, which Adam follows, part the weights.
            {
                "augment": "color,translation,cutout",
                "ada_target": 0.6,
                "features_size": 32,
                "features_width": 2,
                "moments_half_life_kimg": 0.016,
                # Of 16 images the map between the moments is ill-conditioned: rounding shows in what it weighs.
                "moments_weight": 1e-4,
                "sync_batch_norm": True,
                "generator_lr": 2e-5,
                "discriminator_lr": 2e-5,
            },
            {"penalty", "augment_p", "d_real_features"},
        ),
    ],
)
def test_two_ranks_train_as_one(
    name: str,
    changes: dict[str, object],
    expected: set[str],
    dataset: Path,
    tmp_path: Path,
    started: list[subprocess.Popen[str]],
) -> None:
    """Networks with BatchNorm over all ranks and without it; penalties, alterations, scores and features."""
    recipe = write_recipe(tmp_path / "recipe.toml", name, kimg=0.064, **changes)
    words = ["train", dataset, tmp_path / "two", "--recipe", recipe, "--device", "cpu", "--extractor", "effnet-lite0"]
    start(started, words, 2)
    train(dataset, tmp_path / "one", recipe=recipe, device="cpu", extractor="effnet-lite0")
    assert [process.wait(timeout=120) for process in started] == [0, 0]
    one, two = read_log(tmp_path / "one"), read_log(tmp_path / "two")
    assert [tick["kimg"] for tick in one] == [0.016, 0.032, 0.048, 0.064]
    for ours, theirs in zip(two, one, strict=True):
        assert ours.keys() == theirs.keys()
        for figure in ours.keys() & COMPARED:
            assert ours[figure] == pytest.approx(theirs[figure], rel=1e-4)
    assert expected <= one[-1].keys()
    ours, theirs = (load_checkpoint(checkpoint_files(tmp_path / run)[0])["trainer"]["ema"] for run in ("two", "one"))
    for key in theirs:
        # A bias that BatchNorm subtracts again has a gradient of 0 but for rounding, whose sign Adam follows, and moves
        # the mean that is subtracted.
        if not re.search(r"(conv\d?|shortcut)\.bias|running_mean", key):
            torch.testing.assert_close(ours[key], theirs[key], rtol=1e-3, atol=1e-5)


def test_a_rank_that_dies_ends_the_run_with_a_checkpoint_to_go_on_from(
    dataset: Path, tmp_path: Path, started: list[subprocess.Popen[str]]
) -> None:
    run = tmp_path / "run"
    recipe = write_recipe(tmp_path / "recipe.toml", "quick", kimg=1000.0, checkpoint_every=0.016)
    start(started, ["train", dataset, run, "--recipe", recipe, "--device", "cpu"], 2)
    deadline = time.monotonic() + 60
    while not checkpoint_files(run) and time.monotonic() < deadline:
        time.sleep(0.05)
    os.kill(started[1].pid, signal.SIGKILL)
    _, errors = started[0].communicate(timeout=60)
    assert started[0].returncode == 2
    assert "Another rank has ended" in errors and "Traceback" not in errors
    images_seen = load_checkpoint(checkpoint_files(run)[0])["images_seen"]

    train(dataset, run, overrides={"kimg": (images_seen + 32) / 1000}, device="cpu", resume=True)
    assert load_checkpoint(checkpoint_files(run)[0])["images_seen"] == images_seen + 32
