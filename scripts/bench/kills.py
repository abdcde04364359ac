"""Check that a run that is killed again and again ends as the same run: SIGKILL at random moments, compared by bits.

A tiny recipe is trained once without a break, and once by a process that is killed (``kill -9``) at random moments and
started again. Every other kill strikes while a checkpoint is being written: when its ``.part`` file exists, and a
random little later. At the end, the last checkpoint and ``best.safetensors`` must be equal to the bit. The log must
have the same ticks with the same figures, except times. No ``.part`` file may be left. A score is here the score of the
images' mean, which is fast and as exact as any.

    python scripts/bench/kills.py --kills 30

It runs on a CPU with one thread, on a system that has fork. It prints a JSON object, and exits with 1 if anything
differs.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import signal
import sys
import tempfile
import time
from multiprocessing import get_context
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

#: Keys of a tick that the clock or the system measures, and that therefore differ each time.
OF_THE_MOMENT = ("images_per_sec", "sec_per_kimg", "memory_gib", "seconds", "aside_seconds")
#: Seconds that a killed process gets until it writes another checkpoint.
PATIENCE = 60.0
#: A run with fifty checkpoints in 8 kimg, and half as many scores.
CHANGES = {
    "name": "kills",
    "generator_width": 8,
    "discriminator_width": 8,
    "batch": 8,
    "augment": "color,translation",
    "augment_probability": 0.5,
    "tick_kimg": 0.08,
    "score_every": 0.32,
    "score_images": 16,
    "checkpoint_every": 0.16,
    "score_minutes": 0.0,
    "checkpoint_minutes": 0.0,
    "precision": "fp32",
}


class Means:
    """A score of the images' mean, which replaces a network's score."""

    def features(self, images: Any) -> Any:
        return images.reshape(len(images), -1).astype("float32")

    def score(self, images: Any, features: Any) -> Any:
        from facegen.training.outputs import PeriodicScore

        value = float(features.mean())
        return PeriodicScore(value, "mean", False, {"value": value})


def main() -> None:
    options = _options()
    with tempfile.TemporaryDirectory() as folder:
        outcome = measure(Path(folder), options.kills, options.kimg, options.seed)
    print(json.dumps(outcome, indent=2))
    sys.exit(0 if outcome["same"] else 1)


def measure(work: Path, kills: int, kimg: float, seed: int) -> dict[str, Any]:
    """Train both runs in ``work`` and return the result."""
    os.environ |= {"FACEGEN_OFFLINE": "1", "FACEGEN_CACHE": str(work / "cache")}
    _prepare(work, kimg)
    start = time.monotonic()
    if _ended(_child(work, "unbroken")):
        raise SystemExit("The unbroken run failed.")
    seconds, dice = time.monotonic() - start, random.Random(seed)
    struck, in_checkpoints = 0, 0
    for number in range(kills):
        child = _child(work, "killed")
        in_checkpoints += _strike(child, work / "killed", number % 2 == 1, dice, seconds, kills)
        struck += _ended(child) == -signal.SIGKILL
    ended = _ended(_child(work, "killed"))
    different = ["exit code"] * bool(ended) + _differences(work / "unbroken", work / "killed")
    return {
        "kills": struck,
        "while a checkpoint was written": in_checkpoints,
        "seconds of the unbroken run": round(seconds, 1),
        "seconds in all": round(time.monotonic() - start, 1),
        "different": different,
        "same": not different,
    }


def _prepare(work: Path, kimg: float) -> None:
    import numpy as np

    from facegen.data.dataset import new_dataset
    from facegen.training.recipe import load_recipe

    pixels = np.random.default_rng(0).integers(0, 256, (60, 16, 16, 3), np.uint8)
    with new_dataset(work / "dataset", 16) as writer:
        writer.append(pixels, [f"{index}.png" for index in range(60)], ["train"] * 60)
        writer.finish({})
    recipe = load_recipe("dcgan").with_overrides({**CHANGES, "kimg": kimg})
    (work / "recipe.toml").write_text(recipe.to_toml(), encoding="utf-8")


def _child(work: Path, run: str) -> BaseProcess:
    """Start a process that trains ``run``. It is a fork, so that it need not import everything first."""
    child = get_context("fork").Process(target=_train, args=(work, run))
    child.start()
    return child


def _train(work: Path, run: str) -> None:
    import torch

    from facegen.cli import main as facegen
    from facegen.stages import train as stage

    with (work / f"{run}.txt").open("ab") as messages:
        for stream in (1, 2):
            os.dup2(messages.fileno(), stream)
    torch.set_num_threads(1)
    vars(stage)["_open_scorer"] = lambda *words: Means()
    words = [str(work / "dataset"), str(work / run), "--recipe", str(work / "recipe.toml"), "--device", "cpu"]
    facegen(["train", *words], prog_name="facegen")


def _strike(
    child: BaseProcess, run: Path, in_checkpoint: bool, dice: random.Random, seconds: float, kills: int
) -> bool:
    """Kill the child at a moment drawn by ``dice``, and return whether a checkpoint was being written then."""
    checkpoints, deadline = run / "checkpoints", time.monotonic() + PATIENCE
    before = _newest(checkpoints)
    # Wait for a new checkpoint first. A run that is killed too early each time never ends.
    while child.is_alive() and _newest(checkpoints) == before and time.monotonic() < deadline:
        time.sleep(0.01)
    time.sleep(dice.uniform(0, 2 * seconds / (kills + 1) / 3))
    part = False
    while in_checkpoint and child.is_alive() and time.monotonic() < deadline:
        if any(checkpoints.glob(".*.part")):
            part = True
            time.sleep(dice.uniform(0, 0.005))
            break
        time.sleep(0.001)
    child.kill()
    child.join()
    return part and any(checkpoints.glob(".*.part"))


def _ended(child: BaseProcess) -> int | None:
    child.join()
    return child.exitcode


def _newest(checkpoints: Path) -> str:
    return max((path.name for path in checkpoints.glob("kimg-*.pt")), default="")


def _differences(one: Path, other: Path) -> list[str]:
    """Return what differs between two runs."""
    import torch

    from facegen.training.checkpoint import TRAINER, checkpoint_files, load_checkpoint
    from facegen.training.saved_generator import BEST, LAST

    found = [name for name in (BEST, LAST) if (one / name).read_bytes() != (other / name).read_bytes()]
    first, second = (load_checkpoint(checkpoint_files(run)[0]) for run in (one, other))
    found += [f"checkpoint's {key}" for key in ("images_seen", "best", "best_by") if first[key] != second[key]]
    try:
        torch.testing.assert_close(first[TRAINER], second[TRAINER], rtol=0, atol=0)
    except AssertionError as problem:
        found.append(f"checkpoint: {str(problem).splitlines()[0]}")
    if _ticks(one) != _ticks(other):
        found.append("log")
    found += [f"left over: {path.name}" for path in other.rglob("*.part")]
    return found


def _ticks(run: Path) -> list[dict[str, Any]]:
    lines = (run / "log.jsonl").read_text(encoding="utf-8").splitlines()
    return [{key: value for key, value in json.loads(line).items() if key not in OF_THE_MOMENT} for line in lines]


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=30, help="number of kills (30)")
    parser.add_argument("--kimg", type=float, default=8.0, help="length of the run in kimg (8)")
    parser.add_argument("--seed", type=int, default=0, help="seed of the moments (0)")
    return parser.parse_args()


if __name__ == "__main__":
    main()
