#!/usr/bin/env python
"""Check facegen on a GPU: each item against the same on the CPU, or against the plain way on the GPU.

    python scripts/bench/gpu_check.py --all --dataset D --out O --seconds 300     # writes O/check.jsonl
    python scripts/bench/gpu_check.py --item captured:best --dataset D            # one item
    python scripts/bench/gpu_check.py --all --dataset D --out O --device cpu --tiny   # a rehearsal without a GPU

Each item runs in its own process, several at a time. Each of its parts is a line of JSON as soon as it is known: ok
(null: not made), its figures, and the last words of a failure. Without a GPU a part is left out or replaced: a
captured step by one that is run again, the compiler by its tracer.

device          torch drives the GPU, and choose_device("auto") finds it.
step:RECIPE     A training step against the CPU's in float32: figures, and gradients of all networks. Precisions are
                fp32; tf32, which float32 convolutions are unless told otherwise; bf16; fp16. The learning rates are 0,
                because Adam's first steps are the signs of the gradients, and rounding flips small ones. Both trainers
                go on from one checkpoint of the CPU, after a step at which the moments' map is computed. The weight of
                the moments is a fiftieth, because the map of one batch is a wild one. Then a step with the recipe's
                rates runs, whose update must be Adam's in float64, within a thousandth.
compiled:RECIPE The compiled trainer against the eager one: the figures of four steps, the first step's gradients and
                the update. The gradients must be laid out in memory as the parameters are, because fused Adam walks
                through both side by side.
captured:RECIPE Eight replayed steps against eight plain ones: figures and weights. The capture must not change the
                trainer, and must take one graph for each kind of step. dcgan and best also go on from a checkpoint,
                and dcgan runs once in float16.
captured_compiled:RECIPE The same for a compiled trainer.
memory:RECIPE   torch.cuda.memory_allocated after each of 50 steps: equal to 1 MiB for steps of one kind.
no_sync:RECIPE  20 steps in which torch raises an error for everything that waits for the device.
interrupt       SIGINT ends a training with 130, and --resume takes it to its full length.
minutes         --minutes: the clock stops the run within a quarter, and its kimg was predicted to a half. Other items
                share the GPU meanwhile, which changes the pace.
sample          64 images of the generator that ships, against the CPU's: at most 2 levels of 255 apart, 0.1 on average.
                TF32 in all convolutions, imitated on a CPU, makes 1 and 0.02.
score           effnet-lite0's features against the CPU's, to 1e-4; the Fréchet distance of 1,000 images from 1,000
                others, to 1e-3. The scorer turns TF32 off.
two_formats     The real images with positions sent or pixels sent: channels_last, and equal to the CPU's to 2⁻²³, one
                unit in the last place of 1.
oom_capped      A batch that does not fit into a tenth of the GPU's memory ends in a sentence and exit code 2.
oom             A batch of 300,000 images does so on the whole GPU, with nothing else on it.
gpu_compare.py says how far a GPU may be from the CPU, and why.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
import traceback
from collections.abc import Callable, Collection, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any, NamedTuple

import torch
from gpu_commands import interrupt, minutes, oom, oom_capped, sample, score, two_formats
from gpu_compare import FIRST, ROOT, Part, Result, Setting, last_lines
from gpu_steps import captured, captured_compiled, compiled, device, memory, no_sync, step

from facegen.device import choose_device
from facegen.training.recipe import Recipe, load_recipe, recipe_names

RESULTS = "check.jsonl"
#: Number of items at a time. A CPU has no spare cores for several.
AT_ONCE = {"cuda": 4, "cpu": 1}
#: Seconds within which the lines of an ended process must arrive.
GRACE = 5.0
#: Recipes that equal others when small: `best`, and `r3gan_small`.
TWINS = ("laptop", "t4", "r3gan")


class Item(NamedTuple):
    """A check that runs in one process.

    Attributes:
        parts: Makes its parts, from the setting and a recipe's name, which is "" if the item has none.
        seconds: Its time limit.
        recipes: Which recipes it is made for; None if it has no recipe.
        is_alone: Whether nothing else runs meanwhile.
    """

    parts: Callable[[Setting, str], Iterator[Part]]
    seconds: float
    recipes: Callable[[Recipe], bool] | None = None
    is_alone: bool = False


def _is_first(recipe: Recipe) -> bool:
    return recipe.name in FIRST


#: Items in the order in which they start: the longest and most telling first.
ITEMS = {
    "compiled": Item(compiled, 170.0, lambda recipe: recipe.compile),
    "captured": Item(captured, 170.0, lambda recipe: recipe.cuda_graphs),
    "step": Item(step, 120.0, lambda recipe: True),
    "device": Item(device, 40.0),
    "no_sync": Item(no_sync, 60.0, _is_first),
    "interrupt": Item(interrupt, 90.0),
    "two_formats": Item(two_formats, 40.0),
    "oom_capped": Item(oom_capped, 60.0),
    "sample": Item(sample, 60.0),
    "score": Item(score, 100.0),
    "minutes": Item(minutes, 60.0),
    "captured_compiled": Item(captured_compiled, 170.0, lambda recipe: recipe.compile and recipe.cuda_graphs),
    "memory": Item(memory, 150.0, _is_first),
    "oom": Item(oom, 90.0, is_alone=True),
}


def item_names(*, tiny: bool = False) -> list[str]:
    """Return all items in the order in which they start."""
    recipes = [load_recipe(name) for name in recipe_names() if not (tiny and name in TWINS)]
    ranks: dict[str, tuple[bool, bool, bool, int, int]] = {}
    for number, (kind, item) in enumerate(ITEMS.items()):
        for recipe in recipes if item.recipes is not None else [None]:
            if recipe is None:
                ranks[kind] = (item.is_alone, False, False, number, 0)
            elif item.recipes is not None and item.recipes(recipe):
                later = not _is_first(recipe)
                order = 0 if later else FIRST.index(recipe.name)
                # Items that the compiler takes a minute for come last among the later ones.
                last = later and item.parts is compiled
                ranks[f"{kind}:{recipe.name}"] = (item.is_alone, later, last, number, order)
    return sorted(ranks, key=lambda name: ranks[name])


# The process of an item.


def run_item(name: str, setting: Setting) -> None:
    """Print the results of an item's parts, one per line."""
    kind, _, recipe = name.partition(":")
    parts = ITEMS[kind].parts(setting, recipe)
    start = time.perf_counter()
    for label, work in parts:
        result = result_of(label, work, start)
        print(json.dumps(result, allow_nan=False), flush=True)
        start = time.perf_counter()


def result_of(label: str, work: Callable[[], Result], start: float) -> Result:
    """Return the line of a part. Its time counts from ``start``."""
    try:
        figures = work()
        if torch.cuda.is_initialized():
            torch.cuda.synchronize()  # errors appear here, later than the call that caused them
    except Exception:  # noqa: BLE001 - a part that fails must not lose the item's others
        figures = {"ok": False, "error": last_lines(traceback.format_exc())}
    figures = {"check": label, "ok": None, "seconds": time.perf_counter() - start, **figures}
    cleaned: Result = _cleaned(figures)
    return cleaned


def _cleaned(value: Any) -> Any:
    """Return a value as JSON can hold it: four digits, and a word for what is not finite."""
    if isinstance(value, Mapping):
        return {str(key): _cleaned(each) for key, each in value.items()}
    if isinstance(value, (list, tuple)):
        return [_cleaned(each) for each in value]
    if isinstance(value, float):
        return float(f"{value:.4g}") if math.isfinite(value) else str(value)
    return value


# All items.


#: Starts a process group, so that an item ends with everything that it started. It is not a new session, if Python can
#: avoid that: a machine that ends a session's processes must find them.
GROUP: dict[str, Any] = {"process_group": 0} if sys.version_info >= (3, 11) else {"start_new_session": True}


def run_checks(
    dataset: Path,
    out: Path,
    seconds: float,
    *,
    device: str = "cuda",
    tiny: bool = False,
    wanted: Collection[str] | None = None,
) -> list[dict[str, Any]]:
    """Run items within ``seconds``. Write each result to ``out/check.jsonl`` and to stdout as it comes.

    An item for which no time is left gives one line with ``skipped``. An item that the end of the time breaks off is
    neither ok nor failed. Ctrl-C ends everything that runs.

    Args:
        dataset: A prepared dataset.
        out: A folder for the results.
        seconds: Time limit for all.
        device: ``"cuda"``, or ``"cpu"`` for a rehearsal.
        tiny: Whether networks, batches and runs are small.
        wanted: Names of the items; default: all.

    Returns:
        The results in the order in which they came.
    """
    out.mkdir(parents=True, exist_ok=True)
    words = [sys.executable, __file__, "--dataset", str(dataset), "--device", device, *(["--tiny"] if tiny else [])]
    names = [name for name in item_names(tiny=tiny) if wanted is None or name in wanted]
    alone = [name for name in names if ITEMS[name.partition(":")[0]].is_alone]
    with (out / RESULTS).open("w", encoding="utf-8") as file, tempfile.TemporaryDirectory() as work:
        runner = Runner(words, file, Path(work), time.monotonic() + seconds, AT_ONCE[device])
        with ThreadPoolExecutor(AT_ONCE[device]) as pool:
            try:
                list(pool.map(runner.run, [name for name in names if name not in alone]))
                for name in alone:
                    runner.run(name)
            finally:
                runner.stop()
    return runner.results


@dataclass
class Runner:
    """Run items in processes, from several threads.

    Args:
        words: The command that runs an item, without ``--item`` and its name.
        file: The file for the results.
        work: A folder for temporary files.
        deadline: The end of all, by :func:`time.monotonic`.
        at_once: Number of processes at a time. They share the cores.
    """

    words: list[str]
    file: IO[str]
    work: Path
    deadline: float
    at_once: int
    results: list[Result] = field(default_factory=list)
    _is_stopped: bool = False
    _running: dict[int, subprocess.Popen[str]] = field(default_factory=dict)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def stop(self) -> None:
        """End what runs, and start nothing more."""
        self._is_stopped = True
        with self._lock:
            running = list(self._running.values())
        for process in running:
            _kill_group(process)

    def _emit(self, result: Result) -> None:
        result = _cleaned(result)
        line = json.dumps(result, allow_nan=False)
        with self._lock:
            self.results.append(result)
            self.file.write(line + "\n")
            self.file.flush()
            print(line, flush=True)

    def run(self, name: str) -> None:
        """Run an item and report it."""
        left = self.deadline - time.monotonic()
        if left <= 0 or self._is_stopped:
            self._emit({"check": name, "ok": None, "seconds": 0.0, "skipped": True})
            return
        limit = ITEMS[name.partition(":")[0]].seconds
        start = time.monotonic()
        # Files that a killed item leaves are in the common folder and go with it.
        folder = Path(tempfile.mkdtemp(dir=self.work))
        with (folder / "errors").open("w+", encoding="utf-8", errors="replace") as errors:
            code, printed = self._process(name, min(limit, left), errors, folder)
            seconds = time.monotonic() - start
            errors.seek(0)
            said = last_lines(errors.read())
        if code is None or self._is_stopped:
            over = limit >= left or self._is_stopped
            what = "broken off when the time of all was over" if over else f"it ran past its limit of {limit:g} s"
            error = f"{what}: {said}" if said else what
            self._emit({"check": name, "ok": None if over else False, "seconds": seconds, "error": error})
        elif code or not printed:
            self._emit({"check": name, "ok": False, "seconds": seconds, "error": said or f"exit code {code}"})

    def _process(self, name: str, limit: float, errors: IO[str], folder: Path) -> tuple[int | None, int]:
        """Return an item's exit code, None if it ran out of time, and the number of results it printed."""
        words = [*self.words, "--item", name]
        process = subprocess.Popen(
            words,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=errors,
            text=True,
            encoding="utf-8",
            env=self._environment(folder),
            **GROUP,
        )
        with self._lock:
            self._running[process.pid] = process
        printed: list[Result] = []
        reader = threading.Thread(target=self._read, args=(process, printed), daemon=True)
        reader.start()
        code: int | None
        try:
            code = process.wait(limit)
        except subprocess.TimeoutExpired:
            code = None
        finally:
            _kill_group(process)  # everything that it started, also if it ended by itself
            process.wait()
            with self._lock:
                del self._running[process.pid]
        reader.join(GRACE)
        return code, len(printed)

    def _read(self, process: subprocess.Popen[str], printed: list[Result]) -> None:
        assert process.stdout is not None
        for line in process.stdout:
            if line.startswith('{"check"'):  # libraries print as well
                printed.append(json.loads(line))
                self._emit(printed[-1])

    def _environment(self, folder: Path) -> dict[str, str]:
        paths = [str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])]
        cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
        return {
            "OMP_NUM_THREADS": str(max(1, cores // self.at_once)),
            **os.environ,
            "PYTHONPATH": os.pathsep.join(paths),
            "PYTHONUNBUFFERED": "1",
            "FACEGEN_OFFLINE": "1",
            "TMPDIR": str(folder),
            # Items share the compiled code.
            "TORCHINDUCTOR_CACHE_DIR": str(self.work / "inductor"),
            "TRITON_CACHE_DIR": str(self.work / "triton"),
        }


def _kill_group(process: subprocess.Popen[str]) -> None:
    with suppress(ProcessLookupError, PermissionError):  # it and everything that it started have ended
        os.killpg(process.pid, signal.SIGKILL)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    what = parser.add_mutually_exclusive_group(required=True)
    what.add_argument("--all", action="store_true", help="all items")
    what.add_argument("--item", choices=item_names(), metavar="NAME", help="run one item in this process")
    parser.add_argument("--dataset", type=Path, required=True, help="prepared dataset")
    parser.add_argument("--device", choices=("cuda", "cpu"), default="cuda")
    parser.add_argument("--tiny", action="store_true", help="small networks, batches and runs, for a rehearsal")
    parser.add_argument("--out", type=Path, help="with --all: folder for check.jsonl")
    parser.add_argument("--seconds", type=float, default=300.0, help="with --all: time limit (300)")
    options = parser.parse_args()
    if options.item:
        run_item(options.item, Setting(options.dataset, choose_device(options.device), options.tiny))
        return
    if options.out is None:
        parser.error("--all needs --out")
    run_checks(options.dataset, options.out, options.seconds, device=options.device, tiny=options.tiny)


if __name__ == "__main__":
    main()
