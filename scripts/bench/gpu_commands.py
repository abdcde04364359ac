"""The checks of gpu_check.py that run commands, and the checks of sampled, scored and read images."""

from __future__ import annotations

import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import IO

import numpy as np
import torch
from gpu_compare import CPU, NEEDS_CUDA, TINY, Part, Result, Setting, last_lines, relative
from PIL import Image

import facegen
from facegen.data.dataset import FaceDataset
from facegen.extractors.opening import FALLBACK, open_extractor
from facegen.metrics.frechet import frechet_distance, frechet_statistics
from facegen.pretrained import generator_path
from facegen.training.checkpoint import RECIPE
from facegen.training.log import read_log
from facegen.training.recipe import load_recipe
from facegen.training.saved_generator import LAST, load_generator

#: Time limit of a command that an item runs. It is below the item's own, so that the command's last words are reported.
COMMAND_SECONDS = 55.0


def _train_words(setting: Setting, run: Path, *words: object) -> list[str]:
    """Return the command that trains the recipe quick, or in a tiny setting a recipe file."""
    recipe = "quick"
    if setting.tiny:
        file = run.parent / "tiny.toml"
        small = {**TINY, "batch": 8, "tick_kimg": 0.08, "checkpoint_every": 0.4}
        file.write_text(load_recipe("quick").with_overrides(small).to_toml(), encoding="utf-8")
        recipe = str(file)
    start = [sys.executable, "-m", "facegen", "train", setting.dataset, run, "--recipe", recipe]
    return [str(word) for word in (*start, "--device", setting.device.type, *words)]


def _run(words: Sequence[str], errors: IO[str], until: Callable[[], object] | None = None) -> tuple[int | None, float]:
    """Run a command, and return its exit code (None if it took too long) and its seconds.

    The command is interrupted as soon as ``until`` returns True.
    """
    start = time.perf_counter()
    process = subprocess.Popen(words, stdout=subprocess.DEVNULL, stderr=errors, stdin=subprocess.DEVNULL)
    while process.poll() is None:
        if time.perf_counter() - start > COMMAND_SECONDS:
            process.kill()
            process.wait()
            return None, time.perf_counter() - start
        if until is not None and until():
            process.send_signal(signal.SIGINT)
            until = None
        time.sleep(0.02)
    return process.returncode, time.perf_counter() - start


def _with_errors(result: Result, errors: IO[str]) -> Result:
    """Add the command's output to the result if it is not ok."""
    if not result["ok"]:
        errors.seek(0)
        result["error"] = last_lines(errors.read())
    return result


def interrupt(setting: Setting, _: str) -> Iterator[Part]:
    yield "interrupt", partial(_interrupt, setting)


def _interrupt(setting: Setting) -> Result:
    kimg = 1.0 if setting.tiny else 40.0
    with tempfile.TemporaryDirectory() as work, (Path(work) / "errors").open("w+") as errors:
        run = Path(work) / "run"
        words = _train_words(setting, run, "--kimg", kimg)
        interrupted, _ = _run(words, errors, lambda: read_log(run))
        stopped = max((tick["kimg"] for tick in read_log(run)), default=0.0)
        resumed, seconds = _run([*words, "--resume"], errors)
        ticks = [tick["kimg"] for tick in read_log(run)]
        reached = load_generator(run / LAST).kimg if (run / LAST).is_file() else None
        rising = all(tick < later for tick, later in pairwise(ticks))
        ok = (interrupted, resumed, reached) == (130, 0, kimg) and rising and 0 < stopped < kimg
        told = {"exit_codes": [interrupted, resumed], "stopped_at_kimg": stopped, "reached_kimg": reached}
        return _with_errors({"ok": ok, **told, "ticks_rise": rising, "resumed_seconds": seconds}, errors)


def minutes(setting: Setting, _: str) -> Iterator[Part]:
    yield "minutes", partial(_minutes, setting)


def _minutes(setting: Setting) -> Result:
    wanted = 0.05 if setting.tiny else 0.2
    with tempfile.TemporaryDirectory() as work, (Path(work) / "errors").open("w+") as errors:
        run = Path(work) / "run"
        code, seconds = _run(_train_words(setting, run, "--minutes", wanted), errors)
        if code != 0:
            return _with_errors({"ok": False, "exit_code": code, "process_seconds": seconds}, errors)
        end = read_log(run)[-1]
        lasted, reached = end["seconds"] + end["aside_seconds"], load_generator(run / LAST).kimg
        foreseen = load_recipe(run / RECIPE).kimg
        ok = 60 * wanted <= lasted <= 75 * wanted + 1 and abs(foreseen / reached - 1) <= 0.5
        told = {"wanted_seconds": 60 * wanted, "lasted_seconds": lasted, "process_seconds": seconds}
        return _with_errors({"ok": ok, **told, "foreseen_kimg": foreseen, "reached_kimg": reached}, errors)


def oom_capped(setting: Setting, _: str) -> Iterator[Part]:
    limited = "import torch; torch.cuda.set_per_process_memory_fraction(0.1); from facegen.cli import main; main()"
    # Its largest tensors have less than 2³¹ entries, so memory alone is short.
    words = ["-c", limited]
    part = partial(_oom, setting, words, batch=30_000) if setting.has_cuda else lambda: dict(NEEDS_CUDA)
    yield "oom_capped", part


def oom(setting: Setting, _: str) -> Iterator[Part]:
    # Of such a batch the host holds only latents (120 MB) and positions. The images are on the GPU.
    part = partial(_oom, setting, ["-m", "facegen"], batch=300_000) if setting.has_cuda else lambda: dict(NEEDS_CUDA)
    yield "oom", part


def _oom(setting: Setting, start: Sequence[str], *, batch: int) -> Result:
    with tempfile.TemporaryDirectory() as work, (Path(work) / "errors").open("w+") as errors:
        words = [sys.executable, *start, "train", str(setting.dataset), str(Path(work) / "run"), "--recipe", "dcgan"]
        # Without scores, because a score reads the whole dataset first.
        code, seconds = _run([*words, "--device", "cuda", "--batch", str(batch), "--score-every", "0"], errors)
        errors.seek(0)
        # The console may break lines.
        said = " ".join(errors.read().split())
        sentence = f"A batch of {batch} images does not fit into the memory of the GPU."
        told = {"exit_code": code, "sentence": sentence in said, "process_seconds": seconds}
        return _with_errors({"ok": code == 2 and sentence in said, **told}, errors)


def sample(setting: Setting, _: str) -> Iterator[Part]:
    yield "sample", partial(_sample, setting)


def _sample(setting: Setting) -> Result:
    count = 8 if setting.tiny else 64
    with tempfile.TemporaryDirectory() as work:
        pictures = []
        for device in (CPU.type, setting.device.type):
            folder = Path(work) / device / "images"
            facegen.sample(generator_path(), folder, n=count, device=device)
            pictures.append(np.stack([np.asarray(Image.open(file)) for file in sorted(folder.glob("*.png"))]))
    apart = np.abs(pictures[0].astype(np.int64) - pictures[1])
    most, mean = int(apart.max()), float(apart.mean())
    return {"ok": most <= 2 and mean < 0.1, "images": len(apart), "most_levels": most, "mean_levels": mean}


def score(setting: Setting, _: str) -> Iterator[Part]:
    yield "score", partial(_score, setting)


def _score(setting: Setting) -> Result:
    faces = FaceDataset.open(setting.dataset)
    rows = faces.training_rows()[: 60 if setting.tiny else 2000]
    images, count = np.ascontiguousarray(faces.images[rows]), len(rows) // 2
    theirs, ours = (
        open_extractor(FALLBACK, device=device).all_features(images) for device in (CPU.type, setting.device.type)
    )
    error = relative(torch.from_numpy(ours[:256]).double(), torch.from_numpy(theirs[:256]).double())
    distances = [
        frechet_distance(frechet_statistics(features[:count]), frechet_statistics(features[count:]))
        for features in (theirs, ours)
    ]
    apart = abs(distances[1] / distances[0] - 1)
    told = {"features": error, "distance": distances[1], "distance_on_cpu": distances[0], "distances": apart}
    return {"ok": error <= 1e-4 and apart <= 1e-3, "images": [count, len(rows) - count], **told}


def two_formats(setting: Setting, _: str) -> Iterator[Part]:
    yield "two_formats positions", partial(_two_formats, setting, on_device=True)
    yield "two_formats pixels", partial(_two_formats, setting, on_device=False)


def _two_formats(setting: Setting, *, on_device: bool) -> Result:
    if on_device and not setting.has_cuda:
        return dict(NEEDS_CUDA)
    batch = 8 if setting.tiny else 128
    theirs, ours = (setting.real_images(batch, device) for device in (CPU, setting.device))
    kept = ours.on_device
    if not on_device:
        ours._images = None  # as on a device that has no room for them
    mirrored = torch.rand(batch, generator=torch.Generator().manual_seed(0)) < 0.5
    most, unequal, layouts = 0.0, 0, True
    for number, flips in enumerate((None, mirrored, mirrored)):
        here, there = theirs(number, flips), ours(number, flips)
        layouts = layouts and there.is_contiguous(memory_format=torch.channels_last)
        apart = (there.cpu() - here).abs()
        most, unequal = max(most, apart.max().item()), unequal + int(apart.count_nonzero())
    ok = layouts and most <= 2**-23 and kept == setting.has_cuda and there.device.type == setting.device.type
    return {"ok": ok, "channels_last": layouts, "to_the_bit": not unequal, "most": most, "entries_unequal": unequal}
