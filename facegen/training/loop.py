"""The training loop. Its caller passes in a scorer, so the loop does not know what FID is."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import torch

from facegen import console
from facegen.data.dataset import FaceDataset
from facegen.errors import InputError, in_words
from facegen.training.acceleration import open_trainer
from facegen.training.batches import RealImages
from facegen.training.boards import BoardOpener
from facegen.training.checkpoint import TRAINER, owes_score
from facegen.training.clock import Clock, Length, settled_recipe
from facegen.training.distributed import Ranks
from facegen.training.figures import Figures
from facegen.training.health import Collapsed, Health, require_finite, require_finite_weights
from facegen.training.log import TrainingLog, describe_tick
from facegen.training.memory import peak_memory_gib
from facegen.training.outputs import Outputs, PeriodicScore, PeriodicScorer, draw_for_score, take_standing_statistics
from facegen.training.pace import PaceTeller
from facegen.training.recipe import Recipe
from facegen.training.rollback import Restart, follow_roll_back, keep_as_best, roll_back
from facegen.training.saved_generator import BEST, is_last
from facegen.training.stopping import Stopped, StopRequests, stop_requests
from facegen.training.trainer import Trainer


class LoopResult(NamedTuple):
    """The result of a run that ended: the number of images shown, and the best score or None."""

    images_seen: int
    best: float | None


def training_loop(
    recipe: Recipe,
    dataset: FaceDataset,
    run: Path,
    *,
    device: torch.device,
    precision: torch.dtype,
    ranks: Ranks,
    scorer: PeriodicScorer | None = None,
    checkpoint: dict[str, Any] | None = None,
    must_compile: bool = False,
    boards: Sequence[BoardOpener] = (),
    rollback: bool = False,
) -> LoopResult:
    """Train for as long as the recipe says, from the start or from a checkpoint.

    If a stop or a kill prevented the samples or the score of the checkpoint from being written, they are written first.

    Args:
        recipe: The recipe to train.
        dataset: The dataset to train on.
        run: The folder of the run.
        device: The device to train on.
        precision: The arithmetic of the networks.
        ranks: The ranks that train together.
        scorer: Scores the averaged generator every ``score_every`` kimg; None: the run is not scored.
        checkpoint: The state of the checkpoint to continue from; None: start from the beginning.
        must_compile: Whether a compiler that fails is an error. Otherwise training continues without it.
        boards: Openers of the boards that show the run in addition to its log. Only the writer opens them.
        rollback: Whether a run that collapses returns to its best checkpoint, once, and continues at a lower learning
            rate.

    Raises:
        InputError: The ranks do not divide the batch; the pixels of the dataset changed during training; or the run was
            moved or deleted.
        EnvironmentProblem: The compiler fails and ``must_compile`` is true.
        Diverged: A figure or a weight is not finite. The last checkpoint was saved before that.
        Stopped: Ctrl-C, SIGTERM or SIGHUP asked for a stop. A checkpoint was written.
        KeyboardInterrupt: The same before the first step, or for a second time. Nothing was saved.
        OSError: A file cannot be written. Files written before are whole.
        Exception: ``scorer`` raised it. A checkpoint was written.
    """
    if recipe.batch % ranks.world:
        raise InputError(
            f"A batch of {recipe.batch} cannot be shared equally by {ranks.world} ranks.", "Change --batch."
        )
    train_from = partial(
        _train_from,
        dataset=dataset,
        run=run,
        device=device,
        precision=precision,
        ranks=ranks,
        scorer=scorer,
        must_compile=must_compile,
        boards=boards,
        rollback=rollback,
    )
    start = Restart.of_run(checkpoint)
    clock = start.clock()
    try:
        return train_from(start, recipe, clock)
    except Collapsed as caught:
        if not rollback or start.rate_factor < 1:
            raise
        problem = caught.with_traceback(None)  # The frames of the traceback keep the networks in memory.
    if ranks.is_writer:
        start = roll_back(run, problem, clock.now)
    to = ranks.agree(start.images_seen)
    if not ranks.is_writer:
        start = follow_roll_back(run, to)
    settled = recipe if start.checkpoint is None else settled_recipe(recipe, start.checkpoint)
    return train_from(start, settled, start.clock())


def _train_from(
    start: Restart,
    recipe: Recipe,
    clock: Clock,
    *,
    dataset: FaceDataset,
    run: Path,
    device: torch.device,
    precision: torch.dtype,
    ranks: Ranks,
    scorer: PeriodicScorer | None,
    must_compile: bool,
    boards: Sequence[BoardOpener],
    rollback: bool,
) -> LoopResult:
    """Run :func:`training_loop` from one starting point.

    Raises:
        Collapsed: The run collapsed, and it was not rolled back before.
    """
    checkpoint = start.checkpoint
    before = checkpoint or {"images_seen": 0, "best": None, "seconds": 0.0}
    seen, best = before["images_seen"], _Best(before["best"], before.get("best_by"))
    if ranks.any(ranks.agree(seen) != seen):
        raise InputError(
            f"The ranks do not find the same checkpoint in {run}.", "Put the run where every machine sees it."
        )
    length = Length(recipe, clock, settled=checkpoint is not None and before.get("is_settled", True))
    rows = dataset.training_rows()
    real = RealImages(dataset.images, rows, batch=recipe.batch, seed=recipe.seed, device=device, ranks=ranks)

    def build(recipe: Recipe) -> Trainer:
        trainer = Trainer(recipe, real, dataset.size, device, precision, ranks)
        trainer.slow_down(start.rate_factor)
        if checkpoint is not None:
            try:
                trainer.load_state_dict(checkpoint[TRAINER])
            except (AttributeError, KeyError, TypeError, ValueError, RuntimeError) as problem:
                if isinstance(problem, torch.cuda.OutOfMemoryError):
                    raise
                raise InputError(
                    f"The checkpoint of kimg {seen / 1000:g} in {run} does not fit its recipe: {in_words(problem)}.",
                    "Another program changed it. Delete it to continue from the previous one, or start a new run.",
                ) from problem
        return trainer

    health = Health()
    progress = partial(_progress, best, clock, length, health, start)
    with ExitStack() as stack:
        stop = stack.enter_context(stop_requests())
        stack.enter_context(_tuned_convolutions())
        first = seen // recipe.images_per_step
        trainer, take_step = open_trainer(build, recipe, first, world=ranks.world, must_compile=must_compile)
        told = [stack.enter_context(closing(open_board(run, recipe, seen))) for open_board in boards if ranks.is_writer]
        saved = Outputs(run, dataset.size, dataset.sha256, told)
        if ranks.is_writer:
            saved.recipe(recipe)  # Not earlier, so that a run that ends before its first step leaves no files.
            log = stack.enter_context(TrainingLog(run, seen / 1000, told))
            health.look_back(log.past)
            teller = PaceTeller(dataset.size, device, seen, clock.trained)
            total = None if recipe.minutes and not length.is_settled else _whole_steps(recipe)
            bar = stack.enter_context(console.progress(f"Training {recipe.name}", total, done=seen))
            memory = "the device's" if real.on_device else "main"
            console.detail(f"{device}, {precision}: {len(rows):,} images are in {memory} memory.")
            if checkpoint is not None and not is_last(run, seen):
                take_standing_statistics(trainer)
                saved.samples(trainer, seen)
        if owes_score(before, recipe) and scorer is not None:
            take_standing_statistics(trainer)
            score = _score(trainer, scorer, ranks, stop)
            if ranks.is_writer and score is not None:
                log.complete(seen / 1000, score.for_log())
                is_best = best.is_beaten(score, seen)
                if is_best:
                    saved.generator(BEST, trainer, seen, score.details)
                path = saved.checkpoint(trainer, seen, progress())
                if is_best and rollback:
                    keep_as_best(path)
        clock.lap(training=False)
        length.start(seen)
        tick_seen, last = seen, {"score": clock.now, "checkpoint": clock.now}
        stop.begin()

        over = seen > 0 and length.is_over(seen)  # A new run takes at least one step, whatever the clock says.
        while not over:
            take_step(seen // recipe.images_per_step)
            seen += recipe.images_per_step
            if ranks.is_writer:
                bar.advance(recipe.images_per_step)
            due = _due(recipe, seen)
            # A single process can react after any step. Several ranks must agree, which they do only at ticks.
            if not due and (ranks.world > 1 or not (stop.is_asked or length.is_over(seen) or length.wants_to_look())):
                continue

            figures: Figures = {"kimg": seen / 1000, **trainer.read_figures()}
            require_finite(figures, run, precision)
            elapsed = clock.lap(training=True)
            stopping, over = ranks.any(stop.is_asked), ranks.any(length.is_over(seen))
            if not length.is_settled and (stopping or over or ranks.any(length.wants_to_look())):
                reached = length.look(seen, last=stopping or over)
                if reached is not None:
                    trainer.follow(length.settle(ranks.agree(reached)))
                    if ranks.is_writer:
                        bar.expect(trainer.recipe.total_images)
                        saved.recipe(trainer.recipe)
                        console.info(
                            f"At this pace {recipe.minutes:g} minutes are enough for {trainer.recipe.kimg:,.4g} kimg."
                        )
            due = {"score", "checkpoint"} if over else _in_time(due, recipe, clock, last, ranks)
            wants_score = scorer is not None and "score" in due
            due = due - {"score"} | {"checkpoint"} if stopping else due
            figures["images_per_sec"] = (seen - tick_seen) / elapsed if elapsed else None
            figures["sec_per_kimg"] = 1000 * elapsed / (seen - tick_seen)
            figures["memory_gib"] = peak_memory_gib(device)
            if due & {"checkpoint", "score"}:
                require_finite_weights(trainer, seen, run, precision)
                if not real.on_device:  # Images in device memory cannot have changed since the run began.
                    dataset.require_unchanged()
                stop.unless_asked(lambda: take_standing_statistics(trainer))
                stopping = ranks.any(stop.is_asked)
                due = due - {"score"} | {"checkpoint"} if stopping else due
            has_statistics = not stopping
            score = None
            if scorer is not None and "score" in due:
                try:
                    score = _score(trainer, scorer, ranks, stop)
                except Exception:  # Save the trained networks before the error of the scorer ends the run.
                    if ranks.is_writer:
                        saved.checkpoint(trainer, seen, progress(owes_score=True))
                        saved.samples(trainer, seen)
                    raise
                stopping = ranks.any(stop.is_asked)
                due = due | {"checkpoint"} if stopping else due
            is_best = False
            if ranks.is_writer:
                log.require_in_place()
                health.check(figures)
                scored: dict[str, float | str] = {}
                if score is not None:
                    scored = score.for_log()
                    health.check_score(score.value, best.of(score.metric), score.metric)
                    is_best = best.is_beaten(score, seen)
                    if is_best:
                        saved.generator(BEST, trainer, seen, score.details)
                clock.lap(training=False)
                tick = {**figures, **scored, "seconds": clock.trained, "aside_seconds": clock.aside}
                log.tick(tick)
                console.info(describe_tick(tick))
                if length.is_settled:
                    teller.look(trainer.recipe, seen, clock.trained)
            if rollback and start.rate_factor == 1 and not stopping and ranks.any(health.collapse is not None):
                raise Collapsed(seen / 1000, f"Training in {run} collapsed at kimg {seen / 1000:g}: {health.collapse}.")
            is_best = rollback and ranks.any(is_best)
            due = due | {"checkpoint"} if is_best else due
            if "checkpoint" in due:
                # The checkpoint comes first, because a process that was asked to stop may be killed soon. A resumed run
                # takes the standing statistics again.
                if ranks.is_writer:
                    owing = wants_score and score is None
                    path = saved.checkpoint(trainer, seen, progress(owes_score=owing))
                    if is_best:
                        keep_as_best(path)
                if not has_statistics:
                    take_standing_statistics(trainer)
                if ranks.is_writer:
                    saved.samples(trainer, seen)
            if stopping:
                raise Stopped
            clock.lap(training=False)
            last.update(dict.fromkeys(due, clock.now))
            tick_seen = seen
    return LoopResult(seen, best.value)


class _Best:
    """The best score of a run so far, and its metric."""

    def __init__(self, value: float | None, metric: str | None) -> None:
        self.value, self.metric = value, metric

    def of(self, metric: str) -> float | None:
        """Return the best score by ``metric``; None if there is none."""
        return self.value if self.metric == metric else None

    def is_beaten(self, score: PeriodicScore, seen: int) -> bool:
        """Return whether ``score`` is the best so far, and keep it if it is.

        A score that is not finite never is; a warning says so.
        """
        if not math.isfinite(score.value):
            console.warn(f"The score at kimg {seen / 1000:g} is {score.value}. The log has null in its place.")
            return False
        if self.metric not in (None, score.metric):
            console.warn(f"The best score so far is in {self.metric}, not in {score.metric}, and no longer counts.")
            self.value = None
        if self.value is not None and score.value >= self.value:
            return False
        self.value, self.metric = score.value, score.metric
        return True


def _progress(
    best: _Best, clock: Clock, length: Length, health: Health, start: Restart, *, owes_score: bool = False
) -> dict[str, float | str | None]:
    """Return the fields of a checkpoint that describe the run's progress.

    ``best_by`` is the metric of the best score. ``is_settled`` tells whether a length by the clock has been turned
    into kimg. ``owes_score`` tells that a score was due and was interrupted. ``troubled`` tells that a health warning
    applied. ``rate_factor`` is the factor of the recipe's learning rates.
    """
    return {
        **{"best": best.value, "best_by": best.metric, "seconds": clock.trained, "aside_seconds": clock.aside},
        **{"is_settled": length.is_settled, "owes_score": owes_score},
        **{"troubled": health.is_troubled, "rate_factor": start.rate_factor},
    }


def _whole_steps(recipe: Recipe) -> int:
    """Return the total number of images shown. It is rounded up to whole steps."""
    return -(-recipe.total_images // recipe.images_per_step) * recipe.images_per_step


def _due(recipe: Recipe, seen: int) -> set[str]:
    """Return what is due by kimg after the step that brought the images shown to ``seen``.

    The answer does not depend on where a run was resumed.
    """
    intervals = {"tick": recipe.tick_kimg, "score": recipe.score_every, "checkpoint": recipe.checkpoint_every}
    due = {
        name
        for name, kimg in intervals.items()
        if kimg and seen // (kimg * 1000) > (seen - recipe.images_per_step) // (kimg * 1000)
    }
    return due | {"end"} if not recipe.minutes and seen >= recipe.total_images else due


def _in_time(due: set[str], recipe: Recipe, clock: Clock, last: dict[str, float], ranks: Ranks) -> set[str]:
    """Return the part of ``due`` whose last time is long enough ago, by the clock."""
    apart = {"score": recipe.score_minutes, "checkpoint": recipe.checkpoint_minutes}
    return {
        name for name in sorted(due) if not apart.get(name) or ranks.agree(clock.now - last[name]) >= 60 * apart[name]
    }


def _score(trainer: Trainer, scorer: PeriodicScorer, ranks: Ranks, stop: StopRequests) -> PeriodicScore | None:
    """Return the averaged generator's score on the writer; None on other ranks, or after a request to stop."""
    drawn = draw_for_score(trainer, scorer, ranks, stop)
    if drawn is None or not ranks.is_writer:
        return None
    return stop.unless_asked(lambda: scorer.score(*drawn))


@contextmanager
def _tuned_convolutions() -> Iterator[None]:
    """Let cuDNN time its algorithms on each new shape of a convolution and use the fastest one.

    This pays because training has few shapes.
    """
    before = torch.backends.cudnn.benchmark
    torch.backends.cudnn.benchmark = True
    try:
        yield
    finally:
        torch.backends.cudnn.benchmark = before
