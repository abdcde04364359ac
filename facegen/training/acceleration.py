"""The quickest form in which a trainer works on this machine: captured as CUDA graphs, compiled, or plain."""

from __future__ import annotations

from collections.abc import Callable

import torch

from facegen import console
from facegen.errors import EnvironmentProblem, FacegenError
from facegen.training.cuda_graphs import capture, obstacle_to_capture
from facegen.training.figures import StepFigures
from facegen.training.recipe import Recipe
from facegen.training.trainer import Trainer

#: Runs the training step of a number, counted from 0.
StepFunction = Callable[[int], StepFigures]


def open_trainer(
    build: Callable[[Recipe], Trainer], recipe: Recipe, first: int, *, world: int, must_compile: bool
) -> tuple[Trainer, StepFunction]:
    """The trainer of a recipe, and what runs its steps from number ``first`` on.

    The recipe asks for the compiler and for CUDA graphs, and both are no more than wishes: where one of them fails,
    which shows in a trial run, one sentence says so and training goes on without it.

    Args:
        build: makes the trainer, in the state that it goes on from.
        world: number of ranks that train together.
        must_compile: somebody asked for the compiler by hand, so it must work.

    Raises:
        EnvironmentProblem: the compiler fails, and must not.
    """
    trainer = build(recipe)
    if recipe.compile:
        console.info("Compiling the step, which takes a minute or more.")
        try:
            warm_up(trainer, first)
        except (FacegenError, torch.cuda.OutOfMemoryError):
            raise
        except Exception as problem:
            # A compiler fails in any way there is. What is not its fault, the plain trainer raises too.
            failed = compiler_failed(problem)
            if must_compile:
                raise failed from problem
            console.warn(f"{failed.message} Training goes on without it.")
            recipe = recipe.with_overrides({"compile": False})
            trainer = build(recipe)
    if recipe.cuda_graphs:
        reason = obstacle_to_capture(trainer, world)
        if reason is None:
            try:
                return trainer, capture(trainer, first)
            except Exception as problem:  # noqa: BLE001 - as above
                # A recording that an error breaks off complains of that itself.
                cause = problem.__context__ or problem
                console.warn(
                    f"A step cannot be captured as a CUDA graph on this machine: {_first_line(cause)} "
                    "Training goes on without it."
                )
                torch.cuda.synchronize(trainer.device)
                trainer = build(recipe)
        elif trainer.device.type == "cuda":
            console.detail(f"Steps are not captured as CUDA graphs: {reason}.")
    return trainer, trainer


def compiler_failed(problem: Exception) -> EnvironmentProblem:
    """What the compiler threw, in a sentence with its remedy."""
    return EnvironmentProblem(
        f"torch.compile does not work on this machine: {_first_line(problem)}", "Use --no-compile."
    )


def warm_up(trainer: Trainer, first: int) -> None:
    """Run a step of each kind, from number ``first`` on, so that all is compiled; then restore the trainer's state."""
    with trainer.trial_run():
        for step in range(first, first + trainer.recipe.penalty_every):
            trainer(step)
        trainer.read_figures()  # waits for the device, which fails later than it was asked


def _first_line(problem: BaseException) -> str:
    text = str(problem).strip()
    line = text.splitlines()[0].rstrip(".") if text else type(problem).__name__
    return f"{line}."
