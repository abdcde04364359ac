#!/usr/bin/env python
"""Make the most of a quarter of an hour with a GPU: checks, speeds, and a trained generator.

    python scripts/bench/gpu.py pack celeba                      # here: writes carry/
    python scripts/bench/gpu.py all best --out OUT               # there: unpacks it, and does the following three
    python scripts/bench/gpu.py check --out OUT --seconds 200
    python scripts/bench/gpu.py speed --out OUT --seconds 200
    python scripts/bench/gpu.py train best --out OUT --minutes 5
    python scripts/bench/gpu.py join OUT generator.safetensors   # here again
    python scripts/bench/gpu.py report OUT report.md             # a page of the results

It is for a machine without a network that has PyTorch and the common libraries. Little can be carried to it, and
little comes back: the project's tree with carry/ is less than 60 MiB, and OUT has fewer than eight files of less than
15 MiB each. Every result is written as soon as it is known. So a machine that is taken away early costs one minute of
training and the current measurement. The last line of each part says how it went.

The project need not be installed on the GPU machine: the wheels that it lacks are unpacked beside the dataset, in the
folder --work. Rehearse on a CPU with `all best --out OUT --device cpu --tiny`.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))

#: Seconds of `all`: for the checks, until the end of the speeds, and for training.
CHECKS, CHECKS_AND_SPEEDS, TRAINING = 150.0, 270.0, 330.0


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(dest="command", required=True)

    def command(name: str, *words: str) -> argparse.ArgumentParser:
        added = commands.add_parser(name)
        for word in words:
            added.add_argument(word, type=str if word == "recipe" else Path)
        return added

    pack = command("pack", "dataset")
    pack.add_argument("--pack", type=Path, default=ROOT / "carry", help="folder to write (carry)")
    pack.add_argument("--quality", type=int, default=92, help="quality of the JPEG files (92)")
    pack.add_argument("--limit", type=int, help="number of training images (all)")
    for name, words in (("check", ()), ("speed", ()), ("train", ("recipe",)), ("all", ("recipe",))):
        part = command(name, *words)
        part.add_argument("--out", type=Path, required=True, help="folder for the results")
        part.add_argument("--pack", type=Path, default=ROOT / "carry", help="folder that `pack` wrote (carry)")
        part.add_argument("--work", type=Path, default=Path(tempfile.gettempdir()) / "facegen-gpu")
        part.add_argument("--device", choices=("cuda", "cpu"), default="cuda")
        part.add_argument("--tiny", action="store_true", help="small networks and few steps, for a rehearsal")
        if name in ("check", "speed"):
            part.add_argument("--seconds", type=float, default=150.0, help="time limit (150)")
        if name == "check":
            part.add_argument("--items", nargs="+", metavar="ITEM", help="names of the checks (all)")
        if name == "train":
            part.add_argument("--no-compile", action="store_true", help="do not compile, which takes a minute or two")
            part.add_argument("--minutes", type=float, default=5.0, help="time limit of everything (5)")
        if name == "all":
            part.add_argument("--share", type=float, default=1.0, help="share of 600 seconds to use (1)")
    command("join", "out", "generator")
    command("report", "out", "page")
    options = parser.parse_args()

    from facegen.errors import FacegenError

    try:
        PARTS[options.command](options)
    except FacegenError as problem:
        raise SystemExit(f"error: {problem}") from problem


def pack(options: argparse.Namespace) -> None:
    from gpu_pack import pack as packed

    print(json.dumps(packed(options.dataset, options.pack, quality=options.quality, limit=options.limit), indent=1))


def _dataset(options: argparse.Namespace) -> Path:
    """Return the path of the dataset that was carried, ready to use."""
    from gpu_pack import install_words, unpack

    options.out.mkdir(parents=True, exist_ok=True)
    site, dataset = options.work / "site", options.work / "dataset"
    if not site.is_dir():
        subprocess.run(install_words(options.pack, site), check=True)
    sys.path.append(str(site))
    paths = [str(ROOT), str(site), *filter(None, [os.environ.get("PYTHONPATH")])]
    os.environ["PYTHONPATH"] = os.pathsep.join(paths)
    os.environ["FACEGEN_OFFLINE"] = "1"
    if not dataset.is_dir():
        unpack(options.pack, dataset)
    return dataset


def check(options: argparse.Namespace) -> None:
    dataset = _dataset(options)  # first: the wheels that the imports below need come with it
    from gpu_check import run_checks

    results = run_checks(
        dataset, options.out, options.seconds, device=options.device, tiny=options.tiny, wanted=options.items
    )
    good, bad = (sum(result.get("ok") is wanted for result in results) for wanted in (True, False))
    print(f"checks: {good} good, {bad} bad, {len(results) - good - bad} not made", flush=True)


def speed(options: argparse.Namespace) -> None:
    dataset = _dataset(options)
    from gpu_speed import run_speed

    results = run_speed(dataset, options.out, options.seconds, device=options.device, tiny=options.tiny)
    measured = sum("error" not in result and "skipped" not in result for result in results)
    print(f"speeds: {measured} of {len(results)} measured", flush=True)


def train(options: argparse.Namespace) -> None:
    dataset, seconds = _dataset(options), 60 * options.minutes
    from gpu_train import run_training

    result = run_training(
        options.recipe,
        dataset,
        options.out,
        seconds,
        device=options.device,
        tiny=options.tiny,
        compiled=not options.no_compile,
    )
    told = result.get("error") or f"{result['kimg']:g} kimg, {len(result['log'])} lines of log"
    print(f"training: {told}", flush=True)


def everything(options: argparse.Namespace) -> None:
    """Run the three parts in turn, each within its time, whatever happened to the part before."""
    start, share = time.monotonic(), options.share

    def part(name: str, *words: str, until: float) -> None:
        limit = share * until - (time.monotonic() - start)
        length = ["--minutes", str(limit / 60)] if name == "train" else ["--seconds", str(limit)]
        common = ["--out", options.out, "--pack", options.pack, "--work", options.work, "--device", options.device]
        command = [sys.executable, __file__, name, *words, *common, *length, *(["--tiny"] if options.tiny else [])]
        process = subprocess.Popen([str(word) for word in command])
        try:
            process.wait(limit + 10 * share)
        except subprocess.TimeoutExpired:
            print(f"{name}: it did not end in time", flush=True)
            process.send_signal(signal.SIGINT)  # lets it end the processes that it started
            try:
                process.wait(5)
            except subprocess.TimeoutExpired:
                process.kill()

    _dataset(options)
    part("check", until=CHECKS)
    part("speed", until=CHECKS_AND_SPEEDS)
    part("train", options.recipe, until=CHECKS_AND_SPEEDS + TRAINING)


def join(options: argparse.Namespace) -> None:
    from gpu_train import join as joined

    joined(options.out, options.generator)
    print(options.generator)


def report(options: argparse.Namespace) -> None:
    from gpu_report import write_report

    write_report(options.out, options.page)
    print(options.page)


PARTS = {
    "pack": pack,
    "check": check,
    "speed": speed,
    "train": train,
    "all": everything,
    "join": join,
    "report": report,
}

if __name__ == "__main__":
    main()
