"""The training loop. It is handed what scores: it does not know what FID is."""

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
    """Of a run that ended: the images it was shown, and the value of its best score, if any."""

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
    """Train as long as the recipe says, from the start or from a checkpoint's state.

    What a stop or a kill kept from being written beside the checkpoint, its samples and its score, comes first.

    Args:
        scorer: scores the averaged generator now and then.
        must_compile: the recipe's ``compile`` is not to be given up where it fails.
        boards: what is told of the run beside its log, on the writer.
        rollback: a run that collapses goes back to its best checkpoint, once, and on from there at a lower rate.

    Raises:
        InputError: a batch that does not divide into the ranks; a dataset whose pixels change while they are read; a
            run that is moved or deleted.
        EnvironmentProblem: the compiler fails, and must not.
        Diverged: a figure or a weight is not finite; the last checkpoint is from before.
        Stopped: after Ctrl-C, SIGTERM or SIGHUP, with a checkpoint written.
        KeyboardInterrupt: the same before the first step, or for a second time; nothing is saved then.
        OSError: a file cannot be written; what was written before is whole.
        Exception: whatever ``scorer`` raises, with a checkpoint written.
    """
    if recipe.batch % ranks.world:
        raise InputError(f"A batch of {recipe.batch} does not divide into {ranks.world} ranks.", "Change --batch.")
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
        problem = caught.with_traceback(None)  # its frames hold the networks, and others are to fit
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
    """:func:`training_loop` from one point on. Collapsed where it is worth going back, and that was not done before."""
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
                    "Another program changed it: delete it to go on from the one before it, or start a new run.",
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
            saved.recipe(recipe)  # nothing earlier: what is broken off before its first step leaves nothing
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

        over = seen > 0 and length.is_over(seen)  # whatever the clock says, a run has a step
        while not over:
            take_step(seen // recipe.images_per_step)
            seen += recipe.images_per_step
            if ranks.is_writer:
                bar.advance(recipe.images_per_step)
            due = _due(recipe, seen)
            # One process may look up at any step; several must agree, which they do at ticks.
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
                        console.info(f"At this pace {recipe.minutes:g} minutes reach {trainer.recipe.kimg:,.4g} kimg.")
            due = {"score", "checkpoint"} if over else _in_time(due, recipe, clock, last, ranks)
            wants_score = scorer is not None and "score" in due
            due = due - {"score"} | {"checkpoint"} if stopping else due
            figures["images_per_sec"] = (seen - tick_seen) / elapsed if elapsed else None
            figures["sec_per_kimg"] = 1000 * elapsed / (seen - tick_seen)
            figures["memory_gib"] = peak_memory_gib(device)
            if due & {"checkpoint", "score"}:
                require_finite_weights(trainer, seen, run, precision)
                if not real.on_device:  # where they are, they are as they were when the run began
                    dataset.require_unchanged()
                stop.unless_asked(lambda: take_standing_statistics(trainer))
                stopping = ranks.any(stop.is_asked)
                due = due - {"score"} | {"checkpoint"} if stopping else due
            has_statistics = not stopping
            score = None
            if scorer is not None and "score" in due:
                try:
                    score = _score(trainer, scorer, ranks, stop)
                except Exception:  # what is trained is not lost because it cannot be scored
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
                # Where somebody may soon kill, what training goes on from comes first; it takes the statistics anew.
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
    """The best score of a run so far, and the metric that it is of."""

    def __init__(self, value: float | None, metric: str | None) -> None:
        self.value, self.metric = value, metric

    def of(self, metric: str) -> float | None:
        """The best value by ``metric``; None where there is none."""
        return self.value if self.metric == metric else None

    def is_beaten(self, score: PeriodicScore, seen: int) -> bool:
        """Whether ``score`` is the best from now on. One that is no number never is, and that is said."""
        if not math.isfinite(score.value):
            console.warn(f"The score at kimg {seen / 1000:g} is {score.value}: it is null in the log.")
            return False
        if self.metric not in (None, score.metric):
            console.warn(f"The best so far was found by {self.metric}, not by {score.metric}: it is sought anew.")
            self.value = None
        if self.value is not None and score.value >= self.value:
            return False
        self.value, self.metric = score.value, score.metric
        return True


def _progress(
    best: _Best, clock: Clock, length: Length, health: Health, start: Restart, *, owes_score: bool = False
) -> dict[str, float | str | None]:
    """What a checkpoint tells of the run beside its networks.

    ``best_by`` is the metric of the best score; ``is_settled``, whether a length by the clock is one in kimg too;
    ``owes_score``, that a score was due, and was broken off; ``troubled``, that something was amiss; ``rate_factor``,
    what the learning rates are of the recipe's.
    """
    return {
        **{"best": best.value, "best_by": best.metric, "seconds": clock.trained, "aside_seconds": clock.aside},
        **{"is_settled": length.is_settled, "owes_score": owes_score},
        **{"troubled": health.is_troubled, "rate_factor": start.rate_factor},
    }


def _whole_steps(recipe: Recipe) -> int:
    """The images that are shown in all: the last step is whole."""
    return -(-recipe.total_images // recipe.images_per_step) * recipe.images_per_step


def _due(recipe: Recipe, seen: int) -> set[str]:
    """What is due by kimg after the step that brought the images shown to ``seen``; a resume changes nothing of it."""
    intervals = {"tick": recipe.tick_kimg, "score": recipe.score_every, "checkpoint": recipe.checkpoint_every}
    due = {
        name
        for name, kimg in intervals.items()
        if kimg and seen // (kimg * 1000) > (seen - recipe.images_per_step) // (kimg * 1000)
    }
    return due | {"end"} if not recipe.minutes and seen >= recipe.total_images else due


def _in_time(due: set[str], recipe: Recipe, clock: Clock, last: dict[str, float], ranks: Ranks) -> set[str]:
    """Of what is due by kimg, what the clock does not put off: its last time is long enough ago."""
    apart = {"score": recipe.score_minutes, "checkpoint": recipe.checkpoint_minutes}
    return {
        name for name in sorted(due) if not apart.get(name) or ranks.agree(clock.now - last[name]) >= 60 * apart[name]
    }


def _score(trainer: Trainer, scorer: PeriodicScorer, ranks: Ranks, stop: StopRequests) -> PeriodicScore | None:
    """The averaged generator's score, on the writer; None where a request to stop broke it off."""
    drawn = draw_for_score(trainer, scorer, ranks, stop)
    if drawn is None or not ranks.is_writer:
        return None
    return stop.unless_asked(lambda: scorer.score(*drawn))


@contextmanager
def _tuned_convolutions() -> Iterator[None]:
    """cuDNN tries its ways of a convolution at each new shape, and takes the quickest: the shapes are few here."""
    before = torch.backends.cudnn.benchmark
    torch.backends.cudnn.benchmark = True
    try:
        yield
    finally:
        torch.backends.cudnn.benchmark = before
