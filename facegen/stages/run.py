"""Run: all stages, from photographs to a graded tarball. A stage whose output exists already is skipped."""

from __future__ import annotations

import json
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from facegen import console
from facegen.data.images import open_images
from facegen.data.litter import is_litter
from facegen.data.sources import is_synthetic
from facegen.device import choose_device
from facegen.files import StrPath, optional_path, require_place, sha256_file, write_json, writing_told
from facegen.notebook.cards import card, facts, notes, picture_file, place
from facegen.scoring.score import Score
from facegen.stages.fid import fid, scorer_key
from facegen.stages.grade import GradeResult, grade
from facegen.stages.pack import pack
from facegen.stages.prepare import prepare
from facegen.stages.sample import sample
from facegen.stages.train import train
from facegen.submission.rules import LIMITS, limits_for
from facegen.training.foresight import seconds_of_training
from facegen.training.memory import is_out_of_memory
from facegen.training.recipe import load_recipe

if TYPE_CHECKING:
    import torch

#: File that records the inputs of finished stages, so that they are skipped only for the same inputs.
STATE = "state.json"
STEPS = 6


@dataclass(frozen=True)
class RunResult:
    """The results of the whole chain.

    Attributes:
        work: The folder that holds all results.
        generator: The trained generator, a .safetensors file.
        images: The folder of generated images.
        grid: A preview of them, a PNG.
        score: The score of the images against the dataset.
        tarball: The packed submission.
        leaderboard: The result of grading it.
        recipe: The trained recipe: a name or a file.
        device: The device: ``"cpu"``, ``"cuda"`` or ``"mps"``.
        drawn: Whether the photographs were faces that facegen drew itself.
    """

    work: Path
    generator: Path
    images: Path
    grid: Path
    score: Score
    tarball: Path
    leaderboard: GradeResult
    recipe: str
    device: str
    drawn: bool

    def _repr_html_(self) -> str | None:
        found = {"score": self.score.summary(), "generator": self.generator, "images": self.images}
        shown = picture_file(self.grid, "the first of the images")
        parts = (shown, place(self.tarball), place(self.leaderboard.html))
        return card(f"The whole chain, in {self.work}", facts(found), notes(self.score.warnings), *parts)


def run(
    source: str | Path = "synthetic",
    *,
    work: StrPath = Path("work"),
    student_number: str = "0000000",
    recipe: str | Path | None = None,
    kimg: float | None = None,
    size: int = LIMITS.size,
    device: str = "auto",
    extractor: str | None = None,
    weights: StrPath | None = None,
) -> RunResult:
    """Prepare, train, sample, score, pack and grade, in the folder ``work``.

    Args:
        source: Photographs, as for :func:`facegen.prepare`.
        work: The folder for ``dataset``, ``run``, ``images``, ``grid.png``, ``score.json``, ``submissions`` and
            ``grades``.
        student_number: Name of the tarball.
        recipe: A name or a file. By default ``t4`` for photographs on an NVIDIA GPU, else ``quick``.
        kimg: Length of the training, instead of the recipe's.
        size: Side of the images in pixels, as for :func:`facegen.prepare`, :func:`facegen.pack` and
            :func:`facegen.grade`; a multiple of 32.
        device, extractor, weights: As for :func:`facegen.train` and :func:`facegen.fid`.

    Raises:
        FacegenError: A stage cannot use its input. Finished stages are kept, so run it again to continue.
    """
    work = Path(work)
    weights = optional_path(weights)
    limits_for(size)  # raises before training for a size that cannot be graded
    chosen_device = choose_device(device)
    drawn = is_synthetic(source)
    if recipe is None:
        recipe = "t4" if chosen_device.type == "cuda" and not drawn else "quick"
    state, step = _State(work / STATE), _Steps()
    dataset, images = work / "dataset", work / "images"
    with writing_told(f"Cannot write to the folder {work}", "Name another folder with --work."):
        require_place(work / STATE)  # before anything is measured
    _tell_plan(source, work, recipe, kimg, size, chosen_device, drawn=drawn)

    step.begin(f"Prepare {source}.")
    prepare(source, dataset, size=size)

    step.begin(f"Train {recipe}.")
    trained = train(
        dataset,
        work / "run",
        recipe=recipe,
        overrides={"kimg": kimg},
        device=device,
        extractor=extractor,
        weights=weights,
    )

    step.begin(f"Sample {LIMITS.count:,} images.")
    drawn_from = {"generator": sha256_file(trained.generator), "n": LIMITS.count}
    if state.holds("sample", drawn_from, _contents(images)):
        console.info(f"Already sampled: {images}.")
    else:
        sample(trained.generator, images, n=LIMITS.count, device=device)
        state.keep("sample", drawn_from, _contents(images))

    step.begin("Score them against the dataset.")
    scorer = scorer_key(dataset, extractor=extractor, weights=weights, device=device)
    scored_from = {"images": _contents(images), "scorer": scorer}
    score_file = work / "score.json"
    if state.holds("fid", scored_from, _contents(score_file)):
        score = Score.from_json(json.loads(score_file.read_text(encoding="utf-8")))
        console.info(f"Already scored: {score_file}.")
    else:
        score = fid(images, dataset, extractor=extractor, weights=weights, device=device)
        write_json(score_file, score.to_json())
        state.keep("fid", scored_from, _contents(score_file))
    for line in score.lines():
        console.info(line)
    for warning in score.warnings:
        console.warn(warning)

    step.begin(f"Pack them as {student_number}.")
    submissions = work / "submissions"
    packed_from = {"images": _contents(images), "student_number": student_number}
    tarball = submissions / f"{student_number}.tar.gz"
    if state.holds("pack", packed_from, _contents(tarball)):
        console.info(f"Already packed: {tarball}.")
    else:
        packed = pack(images, student_number, size=size, out=submissions)
        tarball = packed.path
        state.keep("pack", packed_from, _contents(tarball))

    step.begin("Grade the tarball.")
    graded = grade(
        submissions,
        reference=dataset,
        train=dataset,
        size=size,
        out=work / "grades",
        extractor=extractor,
        weights=weights,
        device=device,
    )
    step.end()
    grid = images.with_name("grid.png")
    told = (str(recipe), chosen_device.type, drawn)
    return RunResult(work, trained.generator, images, grid, score, tarball, graded, *told)


def _tell_plan(
    source: str | Path,
    work: Path,
    recipe: str | Path,
    kimg: float | None,
    size: int,
    device: torch.device,
    *,
    drawn: bool,
) -> None:
    """Say before the start what will be made and how long training will take.

    A run that exists already says itself how much is left.
    """
    faces = "faces that facegen draws itself" if drawn else str(source)
    console.info(
        f"From {faces} to a graded tarball, in {STEPS} steps. All results go into {work}: the dataset, the run, "
        f"{LIMITS.count:,} images, their score, the tarball and its grade. Ctrl-C is safe: the same command continues."
    )
    if (work / "run").exists():
        return
    chosen = load_recipe(recipe).with_overrides({"kimg": kimg})
    where = "CPU" if device.type == "cpu" else "GPU"
    if chosen.minutes:
        console.info(f"Training takes the {chosen.minutes:g} minutes of {chosen.name}.")
        return
    try:
        ahead = console.duration(seconds_of_training(chosen, size, device))
    except RuntimeError as problem:
        if not is_out_of_memory(problem):
            raise
        return  # training itself reports the problem
    console.info(
        f"Training {chosen.name} for {chosen.kimg:g} kimg on this {where} will take about {ahead}, judging by a few "
        "steps. The other steps are not included; each says how long it took."
    )


class _Steps:
    """Reports the progress of the chain and the time of each step."""

    def __init__(self) -> None:
        self._number, self._began = 0, time.monotonic()

    def begin(self, sentence: str) -> None:
        """Print the headline of the next step."""
        self.end()
        self._number += 1
        console.info(f"[{self._number}/{STEPS}] {sentence}")

    def end(self) -> None:
        """Print how long the step took, if it was long."""
        now = time.monotonic()
        seconds, self._began = now - self._began, now
        if self._number and seconds >= 1:
            console.info(f"[{self._number}/{STEPS}] took {seconds:,.0f} s.")


def _contents(path: Path) -> str | None:
    """Return a content hash of a file or of a folder of images. None if it does not exist."""
    if path.is_dir():
        return open_images(path).sha256 if any(not is_litter(entry.name) for entry in path.iterdir()) else None
    return sha256_file(path) if path.is_file() else None


class _State:
    """Records for each stage its inputs and its output."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._stages: dict[str, Any] = {}
        if path.is_file():
            try:
                self._stages = dict(json.loads(path.read_text(encoding="utf-8")))
            except (ValueError, TypeError, RecursionError):
                console.warn(f"{path} is damaged, so its stages run again.")

    def holds(self, stage: str, inputs: dict[str, Any], output: str | None) -> bool:
        """Return whether the present output is the one that ``stage`` made from these inputs."""
        return output is not None and self._stages.get(stage) == {"inputs": inputs, "output": output}

    def keep(self, stage: str, inputs: dict[str, Any], output: str | None) -> None:
        self._stages[stage] = {"inputs": inputs, "output": output}
        write_json(self._path, self._stages)
