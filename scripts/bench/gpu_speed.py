"""Measure training speed on a GPU: recipes by batch, each plain, compiled, and captured as CUDA graphs.

Each case is a line of JSON: images per second, and the most memory. Its profile is another line, written after all the
rates because it can take a minute. The profile has the share of the time that the GPU's kernels ran, which the
profiler measures over ten more steps, and the operations per image: those of the convolutions and products that
torch.utils.flop_counter finds in a step. Two cases measure other work: the plain loop of the PyTorch example's DCGAN
beside facegen's (`scripts/bench/train.py`, one round), and the scoring of 1,000 images.

The cases run one after the other in one process, because starting one takes longer than most of them. If a case breaks
the process or takes too long, it is reported and another process goes on with the next.
"""

from __future__ import annotations

import argparse
import gc
import json
import os
import queue
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from facegen.training.acceleration import StepFunction
    from facegen.training.recipe import Recipe
    from facegen.training.trainer import Trainer

HERE = Path(__file__).parent
RESULTS = "speed.jsonl"

#: Recipe settings, by the name of a case's form.
FORMS = {
    "eager": {"compile": False, "cuda_graphs": False},
    "captured": {"compile": False, "cuda_graphs": True},
    "compiled": {"compile": True, "cuda_graphs": False},
    "compiled and captured": {"compile": True, "cuda_graphs": True},
}
PROFILED = ("eager", "captured")
#: Seconds after which a case is given up. The compiler alone may take two minutes.
LIMIT, COMPILER_LIMIT = 45.0, 150.0
#: Seconds, and the least number of steps, that count after the first steps.
COUNTED, STEPS, WARM_UP, PROFILED_STEPS = 3.0, 20, 10, 10
#: Batch size for counting operations.
FLOPS_BATCH = 8


class Case(NamedTuple):
    """One measurement."""

    recipe: str
    batch: int
    form: str

    @property
    def name(self) -> str:
        return f"{self.recipe}:{self.batch}:{self.form}"

    @property
    def limit(self) -> float:
        return COMPILER_LIMIT if "compiled" in self.form or self == PEER else LIMIT


PEER, SCORING = Case("dcgan", 128, "peer"), Case("effnet-lite0", 1000, "scoring")
#: Forms of a case that are profiled.
PROFILE = " profile"
#: Cases, the most telling first: there may be no time for the last.
CASES = (
    *(Case("best", 64, form) for form in ("eager", "captured")),
    *(Case("dcgan", 128, form) for form in ("eager", "captured")),
    SCORING,
    PEER,
    Case("best", 64, "compiled and captured"),
    *(Case("best", batch, "captured") for batch in (128, 256)),
    *(Case("laptop", batch, form) for batch in (32, 128) for form in ("eager", "captured")),
    Case("dcgan", 512, "captured"),
    Case("r3gan_small", 128, "eager"),
    *(Case("sngan", 64, form) for form in ("eager", "captured")),
    Case("best", 256, "compiled and captured"),
    Case("r3gan_small", 128, "compiled"),
    Case("r3gan", 256, "eager"),
    *(Case("best", 64, form + PROFILE) for form in PROFILED),
    *(Case("dcgan", 128, form + PROFILE) for form in PROFILED),
)


def run_speed(
    dataset: Path, out: Path, seconds: float, *, device: str = "cuda", tiny: bool = False
) -> list[dict[str, Any]]:
    """Measure the cases until the time is up, write each to ``out/speed.jsonl`` and stdout, and return them."""
    until = time.monotonic() + seconds
    results: list[dict[str, Any]] = []
    left = [case for case in CASES if not tiny or case.batch <= 128 or case == SCORING]
    with (out / RESULTS).open("w", encoding="utf-8") as file:

        def report(line: dict[str, Any]) -> None:
            results.append(line)
            file.write(json.dumps(line) + "\n")
            file.flush()
            print(json.dumps(line), flush=True)

        while left:
            if time.monotonic() >= until - 5:
                for case in left:
                    report({"case": case.name, "skipped": "no time was left"})
                break
            left = _work_off(left, dataset, until, report, ["--device", device, *(["--tiny"] if tiny else [])])
    return results


def _work_off(
    left: Sequence[Case], dataset: Path, until: float, report: Callable[[dict[str, Any]], None], options: list[str]
) -> list[Case]:
    """Run a process over the cases until one breaks it or takes too long, and return the cases after that one."""
    words = [sys.executable, __file__, "--dataset", str(dataset), *options, *(case.name for case in left)]
    with tempfile.TemporaryFile("w+") as complaints:
        worker = subprocess.Popen(words, stdout=subprocess.PIPE, stderr=complaints, text=True, start_new_session=True)
        assert worker.stdout is not None
        lines: queue.Queue[str] = queue.Queue()
        threading.Thread(target=_read, args=(worker.stdout, lines), daemon=True).start()
        try:
            for index, case in enumerate(left):
                # The first case also waits for the process to start.
                limit = case.limit + (30 if index == 0 else 0)
                try:
                    line = lines.get(timeout=max(1.0, min(limit, until - time.monotonic())))
                except queue.Empty:
                    report({"case": case.name, "error": f"took more than {limit:g} s, or than was left"})
                    return list(left[index + 1 :])
                if not line:
                    complaints.seek(0)
                    last = complaints.read().strip().splitlines()[-1:] or [f"exit code {worker.wait()}"]
                    report({"case": case.name, "error": last[0]})
                    return list(left[index + 1 :])
                report(json.loads(line))
            return []
        finally:
            with suppress(ProcessLookupError):
                os.killpg(worker.pid, signal.SIGKILL)  # it and everything that it started
            worker.wait()


def _read(stdout: Any, lines: queue.Queue[str]) -> None:
    for line in stdout:
        if line.startswith("{"):
            lines.put(line)
    lines.put("")  # marks the end


def main() -> None:
    parser = argparse.ArgumentParser(description="Measures the cases that are named, a line of JSON each.")
    parser.add_argument("cases", nargs="+")
    parser.add_argument("--dataset", type=Path, required=True)
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--tiny", action="store_true")
    options = parser.parse_args()
    for name in options.cases:
        recipe, batch, form = name.split(":")
        case = Case(recipe, int(batch), form)
        start = time.perf_counter()
        try:
            figures = measured(case, options.dataset, options.device, options.tiny)
        except Exception as problem:  # noqa: BLE001 - a case that fails says so, and the next begins
            figures = {
                "error": f"{type(problem).__name__}: {str(problem).strip().splitlines()[0] if str(problem) else ''}"
            }
        print(json.dumps({"case": name, **figures, "seconds": round(time.perf_counter() - start, 1)}), flush=True)


def measured(case: Case, dataset: Path, device: str, tiny: bool) -> dict[str, Any]:
    if case == PEER:
        return beside_the_plain_loop(device, tiny)
    if case == SCORING:
        return scoring(dataset, device, 50 if tiny else 1000)
    recipe, trainer, take_step, opening = _opened(case, dataset, device, tiny)
    if "captured" in case.form and take_step is trainer and device == "cuda":
        return {"error": "it was not captured"}
    if case.form.endswith(PROFILE):
        return profile_of(recipe, trainer, take_step, dataset, device, tiny)
    return {**rate_of(recipe, trainer, take_step, device, tiny), "opening_seconds": opening}


def _opened(case: Case, dataset: Path, device: str, tiny: bool) -> tuple[Recipe, Trainer, StepFunction, float]:
    """Return a case's trainer, the function that runs its steps, and the seconds until they could begin."""
    import torch
    from gpu_compare import TINY
    from open_recipe import open_recipe

    from facegen.training.recipe import load_recipe

    changes: dict[str, Any] = {"batch": case.batch, **FORMS[case.form.removesuffix(PROFILE)]}
    if tiny:
        changes |= {**TINY, "batch": 4, "compile": False}
    recipe = load_recipe(case.recipe).with_overrides(changes)
    gc.collect()
    torch._dynamo.reset()
    if device == "cuda":
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats()
    start = time.perf_counter()
    trainer, take_step = open_recipe(recipe, dataset, device, must_compile=recipe.compile)
    return recipe, trainer, take_step, round(time.perf_counter() - start, 1)


def rate_of(recipe: Recipe, trainer: Trainer, take_step: StepFunction, device: str, tiny: bool) -> dict[str, Any]:
    """Measure a recipe's steps alone."""
    import torch

    steps = _numbers()
    for _ in range(WARM_UP):
        take_step(next(steps))
    trainer.read_figures()
    start, taken = time.perf_counter(), 0
    while taken < STEPS or time.perf_counter() - start < (0.1 if tiny else COUNTED):
        for _ in range(STEPS):
            take_step(next(steps))
        taken += STEPS
        trainer.read_figures()
    rate = taken * recipe.images_per_step / (time.perf_counter() - start)
    return {
        "images_per_sec": round(rate, 1),
        "ms_per_step": round(1000 * recipe.images_per_step / rate, 3),
        "memory_gib": round(torch.cuda.max_memory_allocated() / 2**30, 2) if device == "cuda" else None,
    }


def profile_of(
    recipe: Recipe, trainer: Trainer, take_step: StepFunction, dataset: Path, device: str, tiny: bool
) -> dict[str, Any]:
    """Measure how busy the GPU is, and what an image costs."""
    steps = _numbers()
    for _ in range(WARM_UP):
        take_step(next(steps))
    busy = _busy(trainer, take_step, steps) if device == "cuda" else None
    small = recipe.with_overrides({"batch": 4 if tiny else FLOPS_BATCH, **FORMS["eager"]})
    return {"busy": busy, "gflop_per_image": round(flops_of_an_image(small, dataset, device) / 1e9, 3)}


def _numbers() -> Iterator[int]:
    number = 0
    while True:
        yield number
        number += 1


def _busy(trainer: Trainer, take_step: StepFunction, steps: Iterator[int]) -> float | str:
    """Return the share of ten steps' time in which a kernel or a copy was running."""
    from torch.autograd import DeviceType
    from torch.profiler import ProfilerActivity, profile

    try:
        with profile(activities=[ProfilerActivity.CUDA]) as profiler:
            start = time.perf_counter()
            for _ in range(PROFILED_STEPS):
                take_step(next(steps))
            trainer.read_figures()
            elapsed = time.perf_counter() - start
    except RuntimeError as problem:
        return f"the profiler does not work here: {str(problem).splitlines()[0]}"
    spans = sorted(
        (event.time_range.start, event.time_range.end)
        for event in profiler.events()
        if event.device_type == DeviceType.CUDA
    )
    running, end = 0.0, 0.0
    for first, last in spans:  # in microseconds, and they may overlap
        running += max(0.0, last - max(first, end))
        end = max(end, last)
    return round(running / 1e6 / elapsed, 3)


def flops_of_an_image(recipe: Recipe, dataset: Path, device: str) -> float:
    """Return a step's operations per real image: a mean over as many steps as there are between penalties."""
    from open_recipe import open_recipe
    from torch.utils._python_dispatch import TorchDispatchMode
    from torch.utils.flop_counter import flop_registry

    class Counter(TorchDispatchMode):
        """An own counter: torch's FlopCounterMode also hooks modules, which stops torch.func.grad."""

        total = 0

        def __torch_dispatch__(self, operation: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
            result = operation(*args, **(kwargs or {}))
            count = flop_registry.get(operation._overloadpacket)
            if count is not None:
                self.total += count(*args, **(kwargs or {}), out_val=result)
            return result

    trainer, take_step = open_recipe(recipe, dataset, device, must_compile=recipe.compile)
    with Counter() as counter:
        for step in range(recipe.penalty_every):
            take_step(step)
    return counter.total / (recipe.penalty_every * trainer.recipe.images_per_step)


def scoring(dataset: Path, device: str, count: int) -> dict[str, Any]:
    """Return the seconds that the periodic score of ``count`` images takes: features and distance."""
    from facegen.data.dataset import FaceDataset
    from facegen.scoring.scorer import open_scorer

    faces = FaceDataset.open(dataset)
    start = time.perf_counter()
    scorer = open_scorer(faces.path, extractor="effnet-lite0", device=device)
    reference = time.perf_counter() - start
    images = faces.images[:count].copy()
    scorer.extractor.all_features(images)
    start = time.perf_counter()
    features = scorer.extractor.all_features(images)
    extracted = time.perf_counter()
    scorer.score_features(images, features, trained_against=None)
    return {
        "reference_seconds": round(reference, 2),
        "feature_seconds": round(extracted - start, 3),
        "distance_seconds": round(time.perf_counter() - extracted, 3),
    }


def beside_the_plain_loop(device: str, tiny: bool) -> dict[str, Any]:
    """Return the images per second of the plain DCGAN loop and of facegen's, in one round."""
    from train import make_images

    rates = {}
    with tempfile.TemporaryDirectory() as work:
        make_images(Path(work), 1536 if tiny else 4096)
        for side in ("plain", "facegen"):
            words = [sys.executable, str(HERE / "train.py"), "--side", side, "--work", work, "--device", device]
            words += ["--steps", "1"] if tiny else []
            done = subprocess.run(words, capture_output=True, text=True)
            if done.returncode:
                return {"error": f"{side}: {(done.stderr.strip().splitlines() or ['it failed'])[-1]}"}
            rates[side] = json.loads(done.stdout.splitlines()[-1])["images_per_sec"]
    return {
        **{side: round(rate, 1) for side, rate in rates.items()},
        "ratio": round(rates["facegen"] / rates["plain"], 2),
    }


if __name__ == "__main__":
    main()
