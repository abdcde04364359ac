"""The plan of a run: its time, memory and disk space, measured by half a minute of training.

The measurement leaves nothing behind.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from facegen import console
from facegen.data.dataset import FaceDataset
from facegen.device import choose_device, choose_precision, world_size
from facegen.errors import InputError
from facegen.extractors.opening import open_extractor
from facegen.files import StrPath, optional_path
from facegen.notebook.cards import card, notes
from facegen.training.checkpoint import KEPT
from facegen.training.clock import TRAINING_SHARE, settled_recipe
from facegen.training.distributed import Ranks
from facegen.training.foresight import measure_pace
from facegen.training.memory import is_out_of_memory, peak_memory_gib, tensor_bytes, too_large
from facegen.training.outputs import MEASURE_SEED, draw
from facegen.training.pace import outlook
from facegen.training.recipe import Recipe
from facegen.training.starting import checkpoint_to_continue, chosen_recipe
from facegen.training.trainer import Trainer

#: Default length of the measurement, in seconds.
SECONDS = 30.0
#: Number of images with which the time of a score is measured.
SCORED = 64


@dataclass(frozen=True)
class PlanResult:
    """The time, memory and disk space that a run would take on this machine.

    Attributes:
        recipe: The recipe to train. With ``minutes``, its ``kimg`` is what these would reach.
        images: Number of images to train on.
        size: Side of the images, in pixels.
        device: The device of the measurement, such as ``"cpu"``.
        precision: The arithmetic of the measurement, such as ``"bfloat16"``.
        kimg: Where the run stands now: 0, or the kimg of its last checkpoint.
        images_per_sec: The measured pace, in real images shown per second.
        measured: How long the pace was measured, in seconds.
        seconds: Seconds of training to the end, without scores and files.
        scores: Number of scores to the end.
        score_seconds: Seconds per score; None if the recipe never scores.
        memory_gib: Peak memory of the measurement, in GiB: of the GPU, or of this process without one. None if unknown.
        disk_bytes: Disk space of the run's checkpoints and generators, in bytes.
        outlook: What the pace means, in sentences: for the end, for the target, and for a shorter run.
    """

    recipe: Recipe
    images: int
    size: int
    device: str
    precision: str
    kimg: float
    images_per_sec: float
    measured: float
    seconds: float
    scores: int
    score_seconds: float | None
    memory_gib: float | None
    disk_bytes: int
    outlook: tuple[str, ...]

    def _repr_html_(self) -> str | None:
        return card("What a run would take", notes(self.lines()))

    def lines(self) -> list[str]:
        """Return the plan as lines of text."""
        recipe = self.recipe
        start = f"from kimg {self.kimg:g} " if self.kimg else ""
        said = [
            f"{recipe.name} {start}to {recipe.kimg:,.4g} kimg, in batches of {recipe.batch}, on {self.images:,} images "
            f"of {self.size}×{self.size}: {self.device}, {self.precision}.",
            f"Measured for {self.measured:.0f} s. {self.outlook[0]}",
        ]
        if self.score_seconds is not None:
            every = f"Scores: {self.scores:,}, of {recipe.score_images:,} images"
            each, of_all = self.score_seconds, self.scores * self.score_seconds
            said.append(f"{every}: {each:,.0f} s each, about {console.duration(of_all)} in total.")
        memory = "" if self.memory_gib is None else f"Memory: {self.memory_gib:.1f} GiB. "
        said.append(f"{memory}Disk: {self.disk_bytes / 1e9:.2g} GB, plus a picture at every checkpoint.")
        return [*said, *self.outlook[1:]]


def plan(
    dataset: StrPath,
    run: StrPath | None = None,
    *,
    recipe: str | Path | None = None,
    overrides: Mapping[str, Any] | None = None,
    device: str = "auto",
    extractor: str | None = None,
    weights: StrPath | None = None,
    seconds: float = SECONDS,
) -> PlanResult:
    """Measure what :func:`facegen.train` would take: time, memory, disk space, and the time to the target.

    The measurement trains for ``seconds``. It writes and keeps nothing. If ``run`` already exists, the plan is for
    the rest of the run, and training is measured from its last checkpoint on.

    Args:
        dataset: A prepared dataset, as for :func:`facegen.train`.
        run: The folder of the run; None for a new run.
        recipe: The name of a recipe or a TOML file, as for :func:`facegen.train`.
        overrides: Fields that replace those of the recipe. None values are ignored.
        device: ``"auto"``, ``"cpu"``, ``"cuda"`` or ``"mps"``.
        extractor: The network of the periodic score, as in :func:`facegen.fid`.
        weights: The weights file of that network, as in :func:`facegen.fid`.
        seconds: How long to measure, in seconds. The first sixth is warm-up and is not timed. A slow machine takes
            longer.

    Raises:
        InputError: As for :func:`facegen.train`; or torchrun started this process, where every rank would measure.
        EnvironmentProblem: As for :func:`facegen.train`. If the batch does not fit into memory, the remedy names one
            that does.
    """
    if world_size() > 1:
        raise InputError(
            "A plan is measured by one process, not by several ranks.", "Run the command without torchrun."
        )
    faces = FaceDataset.open(Path(dataset))
    folder = None if run is None else Path(run)
    chosen = chosen_recipe(recipe, folder or Path(), overrides or {})
    checkpoint = None if folder is None else checkpoint_to_continue(folder, chosen, faces, is_writer=False)
    if checkpoint is not None:
        chosen = settled_recipe(chosen, checkpoint)
    begun = 0 if checkpoint is None else checkpoint["images_seen"]
    where = choose_device(device)
    precision = choose_precision(chosen.precision, where, double_backward=chosen.is_penalised)
    console.info(f"Training {chosen.name} for {seconds:g} s to measure the pace. Nothing is kept.")
    try:
        must_compile = (overrides or {}).get("compile") is True
        rows = faces.training_rows()
        pace = measure_pace(chosen, faces.images, rows, begun, where, precision, seconds, must_compile=must_compile)
        score_seconds = None
        if chosen.score_every:
            score_seconds = _seconds_of_a_score(pace.trainer, extractor, optional_path(weights), device)
    except RuntimeError as problem:
        if not is_out_of_memory(problem):
            raise
        pace = None
    if pace is None:  # Handled here, because inside the except block the exception keeps the memory in use.
        raise too_large(chosen, faces, where, precision, Ranks())
    rate = pace.images_per_sec
    taken = 0.0 if checkpoint is None else checkpoint["seconds"] + checkpoint.get("aside_seconds", 0.0)
    if chosen.minutes:
        left = max(60 * chosen.minutes - taken, 0.0)
        chosen = chosen.with_overrides({"kimg": max(begun + left * TRAINING_SHARE * rate, chosen.batch) / 1000})
    training = max(chosen.total_images - begun, 0) / rate
    return PlanResult(
        recipe=chosen,
        images=len(rows),
        size=faces.size,
        device=where.type,
        precision=str(precision).split(".")[-1],
        kimg=begun / 1000,
        images_per_sec=rate,
        measured=pace.seconds,
        seconds=training,
        scores=_scores(chosen, begun, training),
        score_seconds=score_seconds,
        memory_gib=peak_memory_gib(where),
        disk_bytes=_disk_bytes(pace.trainer, chosen),
        outlook=tuple(outlook(chosen, faces.size, begun / 1000, rate, where)),
    )


def _seconds_of_a_score(trainer: Trainer, extractor: str | None, weights: Path | None, device: str) -> float:
    """Measure the seconds of a score on a few images. The distance itself takes negligible time."""
    network = open_extractor(extractor, weights=weights, device=device)
    network.all_features(draw(trainer, MEASURE_SEED, 0, SCORED))  # The first call takes longer.
    start = time.perf_counter()
    network.all_features(draw(trainer, MEASURE_SEED, 0, SCORED))
    return (time.perf_counter() - start) * trainer.recipe.score_images / SCORED


def _scores(recipe: Recipe, begun: int, seconds: float) -> int:
    """Return the number of scores to the end, limited both by kimg and by the clock."""
    if not recipe.score_every:
        return 0
    by_kimg = recipe.kimg // recipe.score_every - begun / 1000 // recipe.score_every
    by_clock = seconds / (60 * recipe.score_minutes) if recipe.score_minutes else by_kimg
    return max(1, int(min(by_kimg, by_clock)))


def _disk_bytes(trainer: Trainer, recipe: Recipe) -> int:
    """Return the size of the checkpoints that a run keeps, including that of the best score, and of its generators."""
    checkpoints, generators = (KEPT + 1, 2) if recipe.score_every else (KEPT, 1)
    return checkpoints * tensor_bytes(trainer.state_dict()) + generators * tensor_bytes(trainer.ema.state_dict())
