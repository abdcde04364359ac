"""The fastest form in which a trainer works on this machine: captured as CUDA graphs, compiled, or plain."""

from __future__ import annotations

from collections.abc import Callable

import torch

from facegen import console
from facegen.errors import EnvironmentProblem, FacegenError
from facegen.training.cuda_graphs import capture, obstacle_to_capture
from facegen.training.figures import StepFigures
from facegen.training.recipe import Recipe
from facegen.training.trainer import Trainer

#: A function that runs the training step with the given number, counted from 0.
StepFunction = Callable[[int], StepFigures]


def open_trainer(
    build: Callable[[Recipe], Trainer], recipe: Recipe, first: int, *, world: int, must_compile: bool
) -> tuple[Trainer, StepFunction]:
    """Return a recipe's trainer, and the function that runs its steps from number ``first`` on.

    The recipe may ask for the compiler and for CUDA graphs. Both are optional. A trial run shows whether they work;
    where one fails, a warning says so and training continues without it.

    Args:
        build: Makes the trainer, in the state from which training continues.
        recipe: The recipe to train.
        first: Number of the first step.
        world: Number of ranks that train together.
        must_compile: Whether the user asked for the compiler explicitly, so that it must work.

    Raises:
        EnvironmentProblem: The compiler fails and ``must_compile`` is true.
    """
    trainer = build(recipe)
    if recipe.compile:
        console.info("Compiling the training step. This takes a minute or more.")
        try:
            warm_up(trainer, first)
        except (FacegenError, torch.cuda.OutOfMemoryError):
            raise
        except Exception as problem:
            # A compiler can raise any exception. If the step itself is at fault, the plain trainer raises as well.
            failed = compiler_failed(problem)
            if must_compile:
                raise failed from problem
            console.warn(f"{failed.message} Training continues without it.")
            recipe = recipe.with_overrides({"compile": False})
            trainer = build(recipe)
    if recipe.cuda_graphs:
        reason = obstacle_to_capture(trainer, world)
        if reason is None:
            try:
                return trainer, capture(trainer, first)
            except Exception as problem:  # noqa: BLE001 - as above
                # When an error interrupts a recording, torch raises a second error about the recording.
                cause = problem.__context__ or problem
                console.warn(
                    f"A step cannot be captured as a CUDA graph on this machine: {_first_line(cause)} "
                    "Training continues without it."
                )
                torch.cuda.synchronize(trainer.device)
                trainer = build(recipe)
        elif trainer.device.type == "cuda":
            console.detail(f"Steps are not captured as CUDA graphs: {reason}.")
    return trainer, trainer


def compiler_failed(problem: Exception) -> EnvironmentProblem:
    """Return an error that quotes what the compiler raised and names the remedy."""
    return EnvironmentProblem(
        f"torch.compile does not work on this machine: {_first_line(problem)}", "Use --no-compile."
    )


def warm_up(trainer: Trainer, first: int) -> None:
    """Run one step of each kind from number ``first`` on, so that all of them are compiled.

    The trainer's state is restored afterwards.
    """
    with trainer.trial_run():
        for step in range(first, first + trainer.recipe.penalty_every):
            trainer(step)
        trainer.read_figures()  # Waits for the device, which reports a failure later than the call that caused it.


def _first_line(problem: BaseException) -> str:
    text = str(problem).strip()
    line = text.splitlines()[0].rstrip(".") if text else type(problem).__name__
    return f"{line}."
