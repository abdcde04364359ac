"""Plan: what a run would take, measured by training for half a minute, of which nothing is kept."""

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

#: Seconds that are measured.
SECONDS = 30.0
#: How many images a score is measured of.
SCORED = 64


@dataclass(frozen=True)
class PlanResult:
    """What a run would take on this machine.

    Attributes:
        recipe: what would be trained; with ``minutes``, its ``kimg`` is what these would reach.
        images: how many the dataset has to train on; ``size``, their side in pixels.
        device, precision: where, and in what, it was measured: ``"cpu"``, ``"bfloat16"``.
        kimg: where the run stands now: 0, or that of its last checkpoint.
        images_per_sec: the pace, in real images shown a second, over ``measured`` seconds.
        seconds: of training to the end, without scores and files.
        scores: how many scores there would be; ``score_seconds``, what each would take; None where there are none.
        memory_gib: the most that was used meanwhile: of the GPU, or of this process; None where it is not known.
        disk_bytes: what the run's checkpoints and generators take.
        outlook: what the pace means, in sentences: for the end, the target, and for somebody with less time.
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
        """For people, a line each."""
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
            said.append(f"{every}: {each:,.0f} s each, about {console.duration(of_all)} in all.")
        memory = "" if self.memory_gib is None else f"Memory: {self.memory_gib:.1f} GiB. "
        said.append(f"{memory}Disk: {self.disk_bytes / 1e9:.2g} GB, and a picture at every checkpoint.")
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
    """Measure what :func:`facegen.train` would take: its pace, memory, disk, and the time to its end and to the target.

    It trains for ``seconds``, and keeps and writes nothing. Where ``run`` is there already, it is measured from its
    last checkpoint on, and the rest is planned.

    Args:
        dataset, run, recipe, overrides, device, extractor, weights: as for :func:`facegen.train`.
        seconds: how long to measure, a sixth of it to warm up; a slow machine takes the steps that it needs.

    Raises:
        InputError: as :func:`facegen.train`; or under torchrun, whose ranks would each measure.
        EnvironmentProblem: as :func:`facegen.train`; a batch that does not fit, with the one that does.
    """
    if world_size() > 1:
        raise InputError("A plan is measured by one process.", "Leave torchrun out.")
    faces = FaceDataset.open(Path(dataset))
    folder = None if run is None else Path(run)
    chosen = chosen_recipe(recipe, folder or Path(), overrides or {})
    checkpoint = None if folder is None else checkpoint_to_continue(folder, chosen, faces, is_writer=False)
    if checkpoint is not None:
        chosen = settled_recipe(chosen, checkpoint)
    begun = 0 if checkpoint is None else checkpoint["images_seen"]
    where = choose_device(device)
    precision = choose_precision(chosen.precision, where, double_backward=chosen.is_penalised)
    console.info(f"Training {chosen.name} for {seconds:g} s, of which nothing is kept.")
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
    if pace is None:  # here, and not above: there the exception holds what fills the memory
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
    """Measured of a few images; the distance itself takes next to nothing beside."""
    network = open_extractor(extractor, weights=weights, device=device)
    network.all_features(draw(trainer, MEASURE_SEED, 0, SCORED))  # the first takes longer
    start = time.perf_counter()
    network.all_features(draw(trainer, MEASURE_SEED, 0, SCORED))
    return (time.perf_counter() - start) * trainer.recipe.score_images / SCORED


def _scores(recipe: Recipe, begun: int, seconds: float) -> int:
    """How many there will be, by kimg and by the clock."""
    if not recipe.score_every:
        return 0
    by_kimg = recipe.kimg // recipe.score_every - begun / 1000 // recipe.score_every
    by_clock = seconds / (60 * recipe.score_minutes) if recipe.score_minutes else by_kimg
    return max(1, int(min(by_kimg, by_clock)))


def _disk_bytes(trainer: Trainer, recipe: Recipe) -> int:
    """The checkpoints that a run keeps, that of the best score among them, and its generators."""
    checkpoints, generators = (KEPT + 1, 2) if recipe.score_every else (KEPT, 1)
    return checkpoints * tensor_bytes(trainer.state_dict()) + generators * tensor_bytes(trainer.ema.state_dict())
