"""The training loop. It is handed what it measures with: it does not know what FID is."""

from __future__ import annotations

import json
import math
import signal
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from facegen import console
from facegen.data.dataset import FaceDataset
from facegen.data.grid import contact_sheet, save_png
from facegen.errors import FacegenError, InputError
from facegen.gan.generators import latents_for, standing_statistics, to_uint8
from facegen.training.batches import RealImages
from facegen.training.checkpoint import BEST, LAST, save_checkpoint, save_generator
from facegen.training.distributed import Ranks
from facegen.training.log import Health, TrainingLog, describe_tick
from facegen.training.recipe import Recipe
from facegen.training.step import Game, mean_figures

#: Latents of the scores are not those of ``facegen sample``'s default seed: the best generator must not be chosen by
#: the very images that are handed in.
MEASURE_SEED, GRID_SEED = 1_000_003, 0
GRID_IMAGES = 64
#: How many latents the averaged generator's BatchNorm statistics are taken over, and how many images it makes at once.
STANDING_LATENTS, CHUNK = 2048, 128

Images = npt.NDArray[np.uint8]
Features = npt.NDArray[np.float32]
Figures = dict[str, float | None]


class Measure(Protocol):
    """What the averaged generator is scored with. Every rank takes features; the writer has the reference."""

    def features(self, images: Images) -> Features:
        """Of this rank's share: uint8 [n, S, S, 3] → float32 [n, D]."""

    def score(self, images: Images, features: Features) -> tuple[float, dict[str, Any]]:
        """Of all ranks' images: a value (lower is better) and its JSON."""


class Diverged(FacegenError):
    """A loss is no longer finite."""


def training_loop(
    recipe: Recipe,
    dataset: FaceDataset,
    run: Path,
    *,
    device: torch.device,
    precision: torch.dtype,
    ranks: Ranks,
    measure: Measure | None = None,
    checkpoint: dict[str, Any] | None = None,
) -> float | None:
    """Train until ``recipe.kimg``, from the start or from a checkpoint's state; return the best score, if any.

    Raises:
        InputError: a batch that does not divide into the ranks.
        Diverged: a loss is not finite; the last checkpoint is from before.
        KeyboardInterrupt: after Ctrl-C or SIGTERM, with a checkpoint written.
    """
    if recipe.batch % ranks.world:
        raise InputError(f"A batch of {recipe.batch} does not divide into {ranks.world} ranks.", "Change --batch.")
    rows = dataset.training_rows()
    real = RealImages(dataset.images, rows, batch=recipe.batch, seed=recipe.seed, device=device, ranks=ranks)
    game = Game(recipe, real, dataset.size, device, precision, ranks)
    seen, best, seconds = 0, None, 0.0
    if checkpoint is not None:
        game.load_state_dict(checkpoint["game"])
        seen, best, seconds = checkpoint["images_seen"], checkpoint["best"], checkpoint["seconds"]
    saved = Outputs(run, recipe, dataset)
    health = Health()
    pending: list[dict[str, Tensor]] = []

    with ExitStack() as stack:
        stop = stack.enter_context(_stop_requests())
        if ranks.is_writer:
            log = stack.enter_context(TrainingLog(run, seen / 1000))
            bar = stack.enter_context(console.progress(f"train {recipe.name}", _whole_steps(recipe), done=seen))
            place = "device" if real.on_device else "main"
            console.detail(f"{device}, {precision}, {len(rows):,} images in {place} memory")
        tick_started, tick_seen = time.perf_counter(), seen

        while seen < recipe.total_images:
            pending.append(game(seen // recipe.images_per_step))
            seen += recipe.images_per_step
            if ranks.is_writer:
                bar.advance(recipe.images_per_step)
            due = _due(recipe, seen)
            # One process may stop at any step; several must agree, which they do at ticks.
            stopping = stop.is_set() if ranks.world == 1 else bool(due) and ranks.any(stop.is_set())
            if not due and not stopping:
                continue

            figures: Figures = {"kimg": seen / 1000, **mean_figures(pending, ranks)}
            pending.clear()
            elapsed = time.perf_counter() - tick_started
            _require_finite(figures, run)
            seconds += elapsed
            figures["images_per_sec"] = (seen - tick_seen) / elapsed
            figures["sec_per_kimg"] = 1000 * elapsed / (seen - tick_seen)
            figures["seconds"], figures["memory_gib"] = seconds, _peak_memory_gib(device)
            if stopping or due & {"checkpoint", "score", "end"}:
                standing = latents_for(GRID_SEED, 0, STANDING_LATENTS, recipe.latent_dim)
                standing_statistics(game.ema, standing.to(device), CHUNK)
            drawn = None
            if measure is not None and not stopping and due & {"score", "end"}:
                drawn = _images_with_features(game, measure, ranks)
            if ranks.is_writer:
                health.check(figures)
                if measure is not None and drawn is not None:
                    figures["fid"], score = measure.score(*drawn)
                    if best is None or figures["fid"] < best:
                        best = figures["fid"]
                        saved.generator(BEST, game, seen, score)
                log.tick(figures)
                console.info(describe_tick(figures))
                if stopping or due & {"checkpoint", "end"}:
                    save_png(
                        run / "samples" / f"kimg-{seen / 1000:010.3f}.png",
                        contact_sheet(_images(game, GRID_SEED, 0, GRID_IMAGES)),
                    )
                    saved.generator(LAST, game, seen, None)
                    state = {"game": game.state_dict(), "images_seen": seen, "best": best, "seconds": seconds}
                    saved.checkpoint(state)
            if stopping:
                raise KeyboardInterrupt
            tick_started, tick_seen = time.perf_counter(), seen
    return best


def _whole_steps(recipe: Recipe) -> int:
    """The images that are shown in all: the last step is whole."""
    return -(-recipe.total_images // recipe.images_per_step) * recipe.images_per_step


def _due(recipe: Recipe, seen: int) -> set[str]:
    """What happens after the step that brought the images shown to ``seen``; nothing of it depends on a resume."""
    intervals = {"tick": recipe.tick_kimg, "score": recipe.fid_every, "checkpoint": recipe.checkpoint_every}
    due = {
        name
        for name, kimg in intervals.items()
        if kimg and seen // (kimg * 1000) > (seen - recipe.images_per_step) // (kimg * 1000)
    }
    return due | {"end"} if seen >= recipe.total_images else due


@dataclass(frozen=True)
class Outputs:
    """The files of a run that carry weights."""

    run: Path
    recipe: Recipe
    dataset: FaceDataset

    def generator(self, name: str, game: Game, seen: int, score: dict[str, Any] | None) -> None:
        save_generator(
            self.run / name,
            game.ema,
            self.recipe,
            size=self.dataset.size,
            dataset=self.dataset.sha256,
            images_seen=seen,
            score=None if score is None else json.dumps(score),
        )

    def checkpoint(self, state: dict[str, Any]) -> None:
        save_checkpoint(self.run, {**state, "recipe": self.recipe.to_dict(), "dataset_sha256": self.dataset.sha256})


@torch.no_grad()
def _images(game: Game, seed: int, first: int, count: int) -> Images:
    """The averaged generator's images of a seed: uint8 [count, S, S, 3]."""
    latents = latents_for(seed, first, count, game.recipe.latent_dim).to(game.device)
    return torch.cat([to_uint8(game.ema(part)).cpu() for part in latents.split(CHUNK)]).numpy()


def _images_with_features(game: Game, measure: Measure, ranks: Ranks) -> tuple[Images, Features]:
    """The images of a score and their features; each rank makes its share of both."""
    count = game.recipe.fid_images
    share = -(-count // ranks.world)  # equal shares: the last rank may make a few that are not used
    images = _images(game, MEASURE_SEED, ranks.rank * share, share)
    features = measure.features(images)
    return ranks.gather(images, game.device)[:count], ranks.gather(features, game.device)[:count]


def _require_finite(figures: Figures, run: Path) -> None:
    for name in ("loss_d", "loss_g"):
        value = figures[name]
        if value is None or not math.isfinite(value):
            raise Diverged(
                f"Training in {run} stopped at kimg {figures['kimg']:g}: {name} is {value}.",
                "The last checkpoint is from before: go on from it with --precision fp32, or start a new run with a "
                "lower learning rate.",
            )


def _peak_memory_gib(device: torch.device) -> float | None:
    """The most memory used so far: of the GPU, or of this process; None where the system does not tell."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device) / 2**30
    if sys.platform == "win32":
        return None
    import resource

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / 2**30 if sys.platform == "darwin" else peak / 2**20


@contextmanager
def _stop_requests() -> Iterator[threading.Event]:
    """An event that Ctrl-C or SIGTERM sets, so that the step at hand ends whole; a second Ctrl-C breaks it off."""
    requested = threading.Event()

    def request(number: int, frame: FrameType | None) -> None:
        if requested.is_set():
            raise KeyboardInterrupt
        requested.set()
        console.info("Stopping after this step; once more breaks it off at once.")

    if threading.current_thread() is not threading.main_thread():
        yield requested  # only the main thread may handle signals
        return
    before = {number: signal.signal(number, request) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield requested
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
