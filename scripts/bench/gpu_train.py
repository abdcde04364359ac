"""Train and write results during the run, for a machine that may be taken away at any moment.

`facegen train` runs by the clock in its own process. Once a minute its state is written to the output folder, each
file whole or not at all: the averaged generator as float16 in pieces of less than 15 MiB, 1,000 of its images as a
tarball, a grid of 64, and `train.json` with the log, the recipe and the sha256 of the generator.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from hashlib import sha256
from pathlib import Path
from typing import Any

from facegen.errors import InputError
from facegen.files import atomic_path, write_text

sys.path.insert(0, str(Path(__file__).parents[1]))

IMAGES, GRID, RESULT = "images.tar.gz", "grid.png", "train.json"
PIECE_BYTES = 15 << 20
#: Seconds between two looks at the run, and seconds kept at the end for the last results.
EVERY, LAST_RESULTS = 2.0, 15.0
#: Seconds that a run takes before its first step (reference features) and after its last (last score).
AROUND = 40.0


def run_training(
    recipe: str,
    dataset: Path,
    out: Path,
    seconds: float,
    *,
    device: str = "cuda",
    tiny: bool = False,
    compiled: bool = True,
) -> dict[str, Any]:
    """Train ``recipe`` so that everything is done after ``seconds``, and return the contents of ``train.json``.

    Args:
        compiled: Whether to compile if the recipe does.
    """
    from facegen.training.recipe import load_recipe

    until = time.monotonic() + seconds
    minutes = max(seconds / 4, seconds - AROUND - LAST_RESULTS) / 60
    chosen = load_recipe(recipe)
    # The clock decides at every tick.
    often = {"score_every": chosen.tick_kimg, "checkpoint_every": chosen.tick_kimg}
    every = {"score_minutes": min(1.0, minutes / 4), "checkpoint_minutes": min(1.0, minutes / 4)}
    changes: dict[str, Any] = {**often, **every, "minutes": minutes}
    if not compiled:
        changes["compile"] = False
    if tiny:
        small = {"generator_width": 4, "discriminator_width": 4, "features_size": 32, "features_width": 2, "batch": 8}
        changes |= {**small, "tick_kimg": 0.064, "score_images": 50, "compile": False}
        changes |= {"score_every": 0.064, "checkpoint_every": 0.064}
    with tempfile.TemporaryDirectory() as folder:
        run = Path(folder) / "run"
        mine = Path(folder) / "recipe.toml"
        write_text(mine, chosen.with_overrides(changes).to_toml())
        words = [sys.executable, "-m", "facegen", "train", str(dataset), str(run), "--recipe", str(mine)]
        words += ["--device", device, "--extractor", "effnet-lite0"]
        with _started(words, Path(folder) / "stderr") as process:
            brought, asked, late = 0.0, False, False
            while process.poll() is None:
                time.sleep(min(EVERY, seconds / 20))
                if time.monotonic() > until - LAST_RESULTS and not asked:
                    process.send_signal(signal.SIGINT)  # the run is late; this writes a checkpoint
                    asked = True
                late = time.monotonic() > until
                if late:
                    break
                last = run / "last.safetensors"
                if last.is_file() and last.stat().st_mtime > brought:
                    brought = last.stat().st_mtime
                    bring(run, out, device, tiny)
        said = (Path(folder) / "stderr").read_text(encoding="utf-8", errors="replace").strip().splitlines()
        if not (run / "last.safetensors").is_file():
            why = f"nothing was saved in {seconds:.0f} s; its last words: " if late else ""
            result = {"recipe": recipe, "error": why + (said or ["it said nothing"])[-1]}
            write_text(out / RESULT, json.dumps(result, indent=1))
            return result
        return bring(run, out, device, tiny, said=[line for line in said if not line.startswith("kimg ")])


@contextmanager
def _started(words: list[str], stderr: Path) -> Iterator[subprocess.Popen[bytes]]:
    with stderr.open("wb") as file:
        process = subprocess.Popen(words, stdout=subprocess.DEVNULL, stderr=file, start_new_session=True)
        try:
            yield process
        finally:
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()


def bring(run: Path, out: Path, device: str, tiny: bool = False, said: list[str] | None = None) -> dict[str, Any]:
    """Write the state of the run to ``out``, and return the contents of ``train.json``."""
    from pretrained import store_half

    from facegen import sample
    from facegen.submission.writer import find_files, write_tarball
    from facegen.training.log import read_log
    from facegen.training.saved_generator import load_generator

    start = time.perf_counter()
    with tempfile.TemporaryDirectory() as folder:
        half = Path(folder) / "generator.safetensors"
        store_half(run / "last.safetensors", half)
        content, saved = half.read_bytes(), load_generator(half)
        drawn = sample(half, Path(folder) / "images", n=64 if tiny else 1000, device=device)
        files = find_files(drawn.images).files
        with atomic_path(out / IMAGES) as temporary:
            write_tarball(files, temporary)
        with atomic_path(out / GRID) as temporary:
            temporary.write_bytes(drawn.grid.read_bytes())
    pieces = [content[at : at + PIECE_BYTES] for at in range(0, len(content), PIECE_BYTES)]
    for number, piece in enumerate(pieces):
        with atomic_path(out / piece_name(number)) as temporary:
            temporary.write_bytes(piece)
    result = {
        "recipe": saved.recipe.to_dict(),
        "kimg": saved.kimg,
        "pieces": len(pieces),
        "sha256": sha256(content).hexdigest(),
        "log": read_log(run),
        "said": said,
        "bringing_seconds": round(time.perf_counter() - start, 1),
    }
    write_text(out / RESULT, json.dumps(result, indent=1))
    return result


def piece_name(number: int) -> str:
    return f"generator.{number:02}"


def join(out: Path, generator: Path) -> None:
    """Join the generator's pieces in ``out``. Raise InputError if they are not those of one generator."""
    path = out / RESULT
    if not path.is_file():
        raise InputError(f"There is no {path}, so no generator came back.", "Name the folder that the run wrote to.")
    result = json.loads(path.read_text(encoding="utf-8"))
    if "error" in result:
        raise InputError(f"The run in {out} brought no generator: {result['error']}")
    names = [out / piece_name(number) for number in range(result["pieces"])]
    missing = [str(name) for name in names if not name.is_file()]
    if missing:
        raise InputError(f"{missing[0]} is missing.", "Fetch all of the run's files.")
    content = b"".join(name.read_bytes() for name in names)
    if sha256(content).hexdigest() != result["sha256"]:
        raise InputError(
            f"The pieces in {out} are of several minutes: the run was broken off while it wrote them.",
            f"Its images, {IMAGES}, are whole.",
        )
    with atomic_path(generator) as temporary:
        temporary.write_bytes(content)
