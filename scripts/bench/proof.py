#!/usr/bin/env python
"""Train every recipe for equal wall time on one machine: a table, curves against minutes and kimg, and grids.

    facegen prepare img_align_celeba.zip celeba --partition list_eval_partition.txt
    python scripts/bench/proof.py celeba --minutes 10      # again and again until it says that it is done
    python scripts/bench/proof.py celeba --minutes 10 --recipes best --wall 30
    python scripts/bench/proof.py celeba --recipes dcgan:16 best:8 --batch 32 --wall 15 --threads 1      # on a CPU

Each recipe trains for --wall minutes, without the time of scores and checkpoints. A call works for about --minutes and
then saves. The next call goes on where it stopped, to the bit, also on another machine that has --work. When all
recipes have had their time, each draws 1,000 images (seed 0). These are scored with all metrics against the dataset's
train split. Its held-out splits give the floor and the unseen real images. With --weights every score is also taken in
Inception's features, which no recipe is trained against, and the plot shows these. If dlib is installed, faces are also
scored without ImageNet (independent.py beside this script). The script writes OUT.png, OUT-RECIPE.png and
figures/NAME.json beside them. The plot needs matplotlib.

NAME:WIDTH is a recipe at another width. Its learning rates are in inverse proportion to the width (Yang et al.,
arXiv:2203.03466, table 3: Adam, hidden layers), so that no recipe keeps a rate that suits only another width. The
--batch and --schedule-kimg of the first call of a recipe hold for all its calls.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

from curve import N, plot
from record import Table, record, table, this_command

from facegen.files import write_text
from facegen.training.hyperparameter import Scheduled
from facegen.training.log import read_log
from facegen.training.recipe import Recipe, load_recipe, recipe_names

if TYPE_CHECKING:
    from independent import FaceReference
    from matplotlib.figure import Figure

#: The columns of the table of recipes, and the formats of their numbers.
COLUMNS = {
    "recipe": "",
    "kimg": ".0f",
    "minutes": ".0f",
    "≈FID": ".1f",
    "≈FID's floor": ".1f",
    "effnet-lite0 FD": ".1f",
    "its floor": ".1f",
    "face FD": ".3f",
    "face FD's floor": ".3f",
    "faces found": ".0%",
    "in real images": ".0%",
    "precision": ".2f",
    "recall": ".2f",
    "coverage": ".2f",
    "copies": "",
}
LONG = 1e6  # kimg: the clock ends a run, not its length
POLL = 0.5


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("dataset", type=Path, help="prepared dataset with a train split and others")
    parser.add_argument("--recipes", nargs="+", default=recipe_names(), help="NAME, FILE or NAME:WIDTH; default: all")
    parser.add_argument("--wall", type=float, default=30, help="minutes of training per recipe (30)")
    parser.add_argument("--minutes", type=float, default=10, help="minutes of training in this call (10)")
    parser.add_argument("--score-minutes", type=float, default=5, help="training minutes between two scores (5)")
    parser.add_argument("--batch", type=int, help="batch size; default: the recipe's")
    parser.add_argument("--schedule-kimg", type=float, help="length of the schedules; default: the recipe's")
    parser.add_argument("--threads", type=int, help="number of CPU threads of a training")
    parser.add_argument("--compile", action=argparse.BooleanOptionalAction, help="default: as the recipe says")
    parser.add_argument("--precision", choices=("auto", "fp32", "bf16", "fp16"), help="default: the recipe's")
    parser.add_argument("--tick-kimg", type=float, help="kimg between looks at the clock; default: the recipe's")
    parser.add_argument("--weights", type=Path, help="Inception weights to score with as well")
    parser.add_argument("--work", type=Path, default=Path("work/proof"))
    parser.add_argument("--out", type=Path, default=Path("docs/proof"))
    options = parser.parse_args()
    deadline = time.monotonic() + 60 * options.minutes
    runs = [Run.of(name, options) for name in options.recipes]
    for run in runs:
        while run.minutes < options.wall and time.monotonic() < deadline:
            run.train(options, deadline)
            run.keep_snapshot()
    left = [run for run in runs if run.minutes < options.wall]
    if left:
        raise SystemExit(f"To go on, run this again: {', '.join(f'{run.name} {run.minutes:.1f} min' for run in left)}.")
    report(runs, options)


@dataclass(frozen=True)
class Run:
    """One recipe's training, with a copy of its averaged generator for each score."""

    name: str
    folder: Path

    @classmethod
    def of(cls, name: str, options: argparse.Namespace) -> Run:
        """Return the run of a recipe. ``name`` may end in ``:WIDTH``."""
        name, _, width = name.partition(":")
        folder = options.work / f"{Path(name).stem}{'-' if width else ''}{width}"
        if not (folder / "recipe.toml").is_file():
            recipe = fitted(load_recipe(name), int(width) if width else None, options)
            write_text(folder / "recipe.toml", recipe.to_toml())
        return cls(folder.name, folder)

    @property
    def minutes(self) -> float:
        """The minutes trained so far."""
        log = read_log(self.folder / "run")
        return float(log[-1]["seconds"]) / 60 if log else 0.0

    def train(self, options: argparse.Namespace, deadline: float) -> None:
        """Train to the next score, the wall or the deadline, whichever comes first. Ctrl-C makes facegen save."""
        before = self.minutes
        goal = min((before // options.score_minutes + 1) * options.score_minutes, options.wall)
        words = [sys.executable, "-m", "facegen", "--quiet", "train", options.dataset, self.folder / "run"]
        environment = {**os.environ, **({"OMP_NUM_THREADS": str(options.threads)} if options.threads else {})}
        process = subprocess.Popen([*words, "--recipe", self.folder / "recipe.toml"], env=environment)
        while process.poll() is None and self.minutes < goal and time.monotonic() < deadline:
            time.sleep(POLL)
        if process.poll() is None:
            process.send_signal(signal.SIGINT)
        if process.wait() not in (0, 130):
            raise SystemExit(f"{self.name}: training ended with exit code {process.returncode}.")
        print(f"{self.name}: {before:.1f} → {self.minutes:.1f} min", flush=True)

    def keep_snapshot(self) -> None:
        kimg = read_log(self.folder / "run")[-1]["kimg"]
        target = self.folder / "snapshots" / f"{kimg:010.3f}-{self.minutes:07.2f}min.safetensors"
        target.parent.mkdir(exist_ok=True)
        shutil.copy(self.folder / "run" / "last.safetensors", target)


def fitted(recipe: Recipe, width: int | None, options: argparse.Namespace) -> Recipe:
    """Return the recipe at another width. The clock ends its run, and this script scores it."""

    def scaled(rate: Scheduled, published: int) -> Scheduled | None:
        if width is None:
            return None
        factor = published / width
        return tuple(factor * each for each in rate) if isinstance(rate, tuple) else factor * rate

    changes: dict[str, Any] = {
        "generator_lr": scaled(recipe.generator_lr, recipe.generator_width),
        "discriminator_lr": scaled(recipe.discriminator_lr, recipe.discriminator_width),
        "generator_width": width,
        "discriminator_width": width,
        "batch": options.batch,
        "compile": options.compile,
        "schedule_kimg": options.schedule_kimg if recipe.schedule_kimg else None,
        "precision": options.precision,
        "kimg": LONG,
        "score_every": 0.0,
        "checkpoint_every": LONG,
        "tick_kimg": options.tick_kimg,
    }
    return recipe.with_overrides(changes)


def report(runs: list[Run], options: argparse.Namespace) -> None:
    """Score every snapshot, the last with all metrics. Write the figures, the plot and the grids."""
    import facegen

    options.out.parent.mkdir(parents=True, exist_ok=True)
    recipes: dict[str, Any] = {}
    for run in runs:
        kept = run.folder / "scores.json"
        scores: dict[str, Any] = json.loads(kept.read_text()) if kept.is_file() else {}
        snapshots = sorted((run.folder / "snapshots").iterdir())
        for snapshot in snapshots:
            last = snapshot is snapshots[-1]
            if snapshot.stem in scores and (not last or scores[snapshot.stem]["metrics"]):
                continue
            images = run.folder / "images"
            drawn = facegen.sample(snapshot, images, n=N)
            measures = {"effnet-lite0": {"extractor": "effnet-lite0"}}
            if options.weights:
                measures["inception"] = {"weights": options.weights}
            found = {
                name: facegen.fid(images, options.dataset, all_metrics=last and name == "effnet-lite0", **how).to_json()
                for name, how in measures.items()
            }
            kimg, minutes = snapshot.stem.removesuffix("min").split("-")
            scores[snapshot.stem] = {
                "kimg": float(kimg),
                "minutes": float(minutes),
                **{
                    name: {key: score[key] for key in ("value", "interval95", "floor")} for name, score in found.items()
                },
                "metrics": found["effnet-lite0"]["metrics"],
                "faces": face_scores(images, options.dataset) if last else None,
            }
            write_text(kept, json.dumps(scores, indent=2) + "\n")
            print(f"{run.name} {kimg} kimg: {found['effnet-lite0']['value']:.2f}", flush=True)
            if last:
                shutil.copy(drawn.grid, options.out.with_name(f"{options.out.name}-{run.name}.png"))
        recipes[run.name] = list(scores.values())
    record(
        options.out.name,
        title="Recipes at equal wall time",
        command=this_command(),
        tables={"recipes": rows_of(recipes)},
        data={"recipes": recipes},
        folder=options.out.parent / "figures",
    )
    curves_of(recipes).savefig(options.out.with_suffix(".png"), dpi=120)


def face_scores(images: Path, dataset: Path) -> dict[str, float] | None:
    """Return the scores of independent.py for the images and as many held-out ones; None without dlib."""
    if find_spec("dlib") is None:
        return None
    from independent import read_images

    reference = face_reference(dataset)
    score, floor = reference.score(read_images(images, N)), reference.floor
    assert floor is not None, "a dataset with held-out splits"
    return {
        "distance": score.distance,
        "found": score.found,
        "floor_distance": floor.distance,
        "floor_found": floor.found,
    }


@cache
def face_reference(dataset: Path) -> FaceReference:
    """Open the reference and measure its floor, once for all recipes."""
    from independent import open_face_reference

    return open_face_reference(dataset, N)


def measure_of(lasts: Iterable[dict[str, Any]]) -> tuple[str, str]:
    """Return the extractor to compare by, and the name of its distance: Inception if all recipes were scored by it."""
    scored = all("inception" in last for last in lasts)
    return ("inception", "≈FID") if scored else ("effnet-lite0", "effnet-lite0 FD")


def curves_of(recipes: dict[str, Any]) -> Figure:
    """Return each recipe's scores against minutes and kimg."""
    lasts = [scores[-1] for scores in recipes.values()]
    network, label = measure_of(lasts)
    panels = {
        against: {
            name: [(score[against], score[network]["value"]) for score in scores] for name, scores in recipes.items()
        }
        for against in ("minutes", "kimg")
    }
    figure = plot(panels, lasts[0][network]["floor"], f"{label} of {N:,} images")
    for axis in figure.axes:
        axis.set_xlim(left=0)  # with one score each, rounding of minutes would spread over the whole axis
    return figure


def rows_of(recipes: dict[str, Any]) -> Table:
    """Return the last score of each recipe, the best first. A score that was not taken is empty."""
    lasts = {name: scores[-1] for name, scores in recipes.items()}
    by, _ = measure_of(lasts.values())
    rows = []
    for name, last in sorted(lasts.items(), key=lambda item: item[1][by]["value"]):
        row = [name, last["kimg"], last["minutes"]]
        for network in ("inception", "effnet-lite0"):
            score = last.get(network)
            row += [[score["value"], *score["interval95"]], score["floor"]] if score else [None, None]
        faces, metrics = last.get("faces") or {}, last["metrics"]
        row += [faces.get(key) for key in ("distance", "floor_distance", "found", "floor_found")]
        row += [metrics[key] for key in ("precision", "recall", "coverage")]
        rows.append([*row, "red" if metrics["memorization"]["red"] else "green"])
    return table(COLUMNS, rows)


if __name__ == "__main__":
    main()
